package kill

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	election "github.com/maildomain/maildomain-operator/lease"
)

// Two managers with the timings that they have by themselves: when the leader ends, the other one brings about what
// a user changes then. After a clean end it need not wait for the lease, which was given back by then; after a
// crash the lease that it waits for is one of the default, for which lease.TestDefaultTimings has the sum. The times
// themselves are logged: on a busy machine they say nothing.
func TestFailover(t *testing.T) {
	p := newPair(t, build(t))
	p.apply()
	for _, r := range p.replicas {
		p.start(r)
	}
	p.eventually("ready", p.ready)

	first := p.leads(p.replicas[:]...)
	identity, seconds := p.holder()
	if want := election.Default.Duration; time.Duration(seconds)*time.Second != want {
		t.Errorf("the lease is one of %d s, want %s", seconds, want)
	}
	began := time.Now()
	p.must(first.process.Process.Signal(syscall.SIGTERM))
	p.soften("~all")
	<-first.ended
	if now, _ := p.holder(); first.err != nil || now == identity {
		t.Errorf("the leader ended with %v, and the lease is %q's, which was its own", first.err, now)
	}
	t.Logf("after SIGTERM the leader ended within %s", time.Since(began).Round(10*time.Millisecond))
	p.published("~all")
	t.Logf("after SIGTERM the change was in DNS within %s", time.Since(began).Round(10*time.Millisecond))

	p.start(first) // stands by from now on
	second := p.leads(p.other(first))
	p.standsBy(first)
	began = time.Now()
	p.must(second.process.Process.Kill())
	<-second.ended
	p.soften("?all")
	p.published("?all")
	t.Logf("after SIGKILL the change was in DNS within %s", time.Since(began).Round(10*time.Millisecond))
	p.eventually("ready", p.ready)
}

// soften changes the end of the SPF record, as a user does.
func (p *pair) soften(to string) {
	p.t.Helper()
	old := p.get()
	next := old.DeepCopy()
	next.Spec.SPF.All = map[string]v1alpha1.SPFQualifier{"~all": v1alpha1.SPFSoftFail, "?all": v1alpha1.SPFNeutral}[to]
	p.must(p.api.Patch(p.t.Context(), next, client.MergeFrom(old)))
}

// published waits for a record with that end: nobody but the manager that is left can have written it.
func (p *pair) published(end string) {
	p.t.Helper()
	p.eventually("the change is in DNS", func() bool {
		return slices.ContainsFunc(p.dns.TXT("example.com"), func(text string) bool { return strings.HasSuffix(text, end) })
	})
}

// standsBy waits until the manager has its caches and waits for the lease.
func (p *pair) standsBy(r *replica) {
	p.t.Helper()
	p.eventually(r.name+" stands by", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return r.asked > 0
	})
}
