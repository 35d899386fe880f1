package main

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// synced notes when the caches have synced: a manager starts what it was given only then.
type synced struct{ done atomic.Bool }

// Start implements manager.Runnable.
func (s *synced) Start(context.Context) error {
	s.done.Store(true)
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: a replica that waits for the lease is ready too.
func (s *synced) NeedLeaderElection() bool { return false }

func (s *synced) check(*http.Request) error {
	if !s.done.Load() {
		return errors.New("the caches have not synced yet")
	}
	return nil
}

// addChecks answers /healthz while the process runs, whatever the API server does (Law 12), and /readyz when
// the caches have synced once.
func addChecks(mgr ctrl.Manager) error {
	s := &synced{}
	return errors.Join(mgr.Add(s), mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("caches", s.check))
}
