package lease

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Lock returns the lock, of which the guard hears.
func (g *Guard) Lock(of resourcelock.Interface) resourcelock.Interface {
	return &lock{Interface: of, guard: g}
}

// lock is used by one goroutine, as its elector.
type lock struct {
	resourcelock.Interface
	guard  *Guard
	holder string // as last read
	held   bool   // it was this process's own
	lost   bool   // and then it was not
}

// errLost ends an elector's term for good. A process that was stopped for long would lead on in the middle of what it was
// at, if the one that led meanwhile has given the lease back: what it knows is of before.
var errLost = errors.New("the lease was lost in the meantime: this process has to end")

// Get implements resourcelock.Interface.
func (l *lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	switch {
	case err == nil:
		l.holder = record.HolderIdentity
		l.lost = l.lost || l.held && l.holder != l.Identity()
	case apierrors.IsNotFound(err):
		l.lost = l.lost || l.held
	}
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (l *lock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.renew(record, func() error { return l.Interface.Create(ctx, record) })
}

// Update implements resourcelock.Interface.
func (l *lock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	if record.HolderIdentity == "" {
		return l.release(ctx, record)
	}
	return l.renew(record, func() error { return l.Interface.Update(ctx, record) })
}

func (l *lock) renew(record resourcelock.LeaderElectionRecord, write func() error) error {
	if l.lost {
		l.guard.drop()
		return errLost
	}
	sent := l.guard.now()
	if err := write(); err != nil {
		return err
	}
	l.holder, l.held = record.HolderIdentity, true
	l.guard.hold(sent)
	return nil
}

// release gives the lease back, if that is safe: no write is under way, and the lease is this process's own. An
// elector that was stopped for long believes so even when another one has led since.
func (l *lock) release(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	idle := l.guard.drop()
	switch {
	case l.holder != l.Identity():
		return errors.New("the lease is another's by now: it is left alone")
	case !idle:
		return errors.New("a write is under way: the lease is left to run out")
	}
	return l.Interface.Update(ctx, record)
}
