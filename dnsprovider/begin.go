package dnsprovider

import "time"

// Begin is asked right before a write is sent, which takes no longer than longest. With an error nothing is
// sent; else end is called when Apply is done with it: not answered is one whose outcome is unknown. A nil Begin lets all pass.
type Begin func(longest time.Duration) (end func(answered bool), err error)

// ask returns an *Error that says that nothing was changed.
func (b Begin) ask(longest time.Duration) (end func(answered bool), err error) {
	if b == nil {
		return func(bool) {}, nil
	}
	if end, err = b(longest); err != nil {
		return nil, failure(Unreachable, err, "nothing was sent: %v", err)
	}
	return end, nil
}
