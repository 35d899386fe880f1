package controllers

import (
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/lease"
)

// That the lease does not outlast a write is nobody's fault: nothing is written, nobody is told of it, and the pass is made again.
func TestAShortLeaseIsNoFaultOfTheProvider(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.r.Accounts.Lease = lease.NewGuard(14*time.Second, w.clock.Now) // which was never renewed
	for range 3 {
		if err := w.try("example-com"); err != nil {
			t.Fatal(err)
		}
		w.forward(time.Second)
	}
	if md := w.get("example-com"); len(md.Status.Conditions) > 0 || w.told("Warning") {
		t.Errorf("status says\n%s", describe(md))
	}
	if texts := w.dns.TXT("_maildomain.example.com"); len(texts) > 0 {
		t.Errorf("written: %q", texts)
	}
	w.restart() // leads, and alone
	w.until("example-com", "ready", isReady)
}
