package lease

import (
	"context"
	"errors"

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
}

// Get implements resourcelock.Interface.
func (l *lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil {
		l.holder = record.HolderIdentity
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
	sent := l.guard.now()
	if err := write(); err != nil {
		return err
	}
	l.holder = record.HolderIdentity
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
