package dnsprovider

import "time"

// Begin is asked right before a write is sent, which takes no longer than longest. With an error nothing is
// sent; else end is called when the write is over, however it ended. A nil Begin lets all pass.
type Begin func(longest time.Duration) (end func(), err error)

// ask returns an *Error that says that nothing was changed.
func (b Begin) ask(longest time.Duration) (end func(), err error) {
	if b == nil {
		return func() {}, nil
	}
	if end, err = b(longest); err != nil {
		return nil, failure(Unreachable, err, "nothing was sent: %v", err)
	}
	return end, nil
}
