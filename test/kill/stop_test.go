package kill

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// lease is short, so that there can be many. The others are in proportion to it.
const lease = 4 * time.Second

var shortLease = []string{
	"--leader-elect-lease-duration", lease.String(), "--leader-elect-renew-deadline", "3s", "--leader-elect-retry-period", "300ms", "--provider-timeout", "2s",
	"--deletion-grace", "5s",
}

// The leader is stopped (SIGSTOP) for twice its lease, in the middle of a write, and the other one takes over and is
// stopped itself at the next kind of write that was not tried yet. Then the first one is resumed: what it wrote lands
// only now, or landed long ago, and it writes nothing more, though it does not hear of the other before it has to give
// up. So on through all kinds of writes of a first apply, and of a deletion that leaves a tombstone. In the end all is
// as it should be: two keys, one record of each, and what is somebody else's.
func TestStopTheLeaderInEveryWrite(t *testing.T) {
	p := newPair(t, build(t), shortLease...)
	p.stopAtEach()
	p.applyForDeletion()
	for _, r := range p.replicas {
		p.start(r)
	}
	p.play("ready", p.ready)
	p.check()

	published := p.get().Status.DKIM.Keys
	p.must(p.api.Delete(t.Context(), p.get()))
	p.play("gone, with a tombstone", func() bool {
		err := p.api.Get(t.Context(), client.ObjectKey{Namespace: p.namespace, Name: "example-com"}, &v1alpha1.MailDomain{})
		var tombstones corev1.SecretList
		p.must(p.api.List(t.Context(), &tombstones, client.InNamespace(p.namespace), client.HasLabels{"maildomain.dev/tombstone"}))
		return apierrors.IsNotFound(err) && len(tombstones.Items) == 1
	})
	// What nobody relies on any more is gone, and what mail under way is judged by stays: the tombstone goes on with it.
	for name, want := range map[string][]string{"example.com": {"a foreign text", "v=spf1 mx -all"}, "_dmarc.example.com": nil, "_smtp._tls.example.com": nil} {
		p.eventually(name, func() bool { return slices.Equal(p.dns.TXT(name), want) })
	}
	for _, k := range published {
		if texts := p.dns.TXT(k.Selector + "._domainkey.example.com"); len(texts) != 1 {
			t.Errorf("key %s: %q, want its record for the retention", k.Selector, texts)
		}
	}
}

// stopAtEach has leaders stopped at every kind of write, once: at every second one it has landed by then.
func (p *pair) stopAtEach() {
	seen := map[string]bool{}
	p.stopAt = func(write string) (stop, late bool) {
		if seen[write] {
			return false, false
		}
		seen[write] = true
		return true, len(seen)%2 == 0
	}
}

// applyForDeletion applies the MailDomain through an administrator's provider, which may finish it from a tombstone.
func (p *pair) applyForDeletion() {
	p.t.Helper()
	provider := &v1alpha1.ClusterDNSProvider{ObjectMeta: metav1.ObjectMeta{GenerateName: "kill-"}, Spec: v1alpha1.ClusterDNSProviderSpec{
		DNSProviderSpec: p.provider(),
		Grants: []v1alpha1.Grant{{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: p.namespace}}, Domains: []string{"example.com"},
		}},
	}}
	p.must(p.api.Create(p.t.Context(), provider))
	p.t.Cleanup(func() { p.must(p.api.Delete(context.Background(), provider)) })
	p.applyThrough(&v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: v1alpha1.KindClusterDNSProvider, Name: provider.Name}, DeletionPolicy: v1alpha1.DeletionDelete})
}

// play waits until done, and resumes each leader that was stopped when its successor is stopped, too, or has nothing
// more to do.
func (p *pair) play(what string, done func() bool) {
	p.t.Helper()
	var earlier *stop
	for {
		next := p.nextStop(what, done)
		if earlier != nil {
			p.resume(earlier)
		}
		if next == nil {
			return
		}
		p.t.Logf("%s is stopped at %s, which lands late: %t", next.of.name, next.write, next.late)
		earlier = next
	}
}

// nextStop is nil when all is done.
func (p *pair) nextStop(what string, done func() bool) *stop {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		select {
		case s := <-p.stops:
			return s
		case <-time.After(100 * time.Millisecond):
		}
		for _, r := range p.replicas {
			if !r.running() { // a lease is lost on a busy machine, too
				p.t.Logf("%s ended: %v", r.name, r.err)
				p.start(r)
			}
		}
		if len(p.stops) == 0 && done() {
			return nil
		}
	}
	p.t.Fatalf("never %s\n%s", what, p.dns.Dump())
	return nil
}

// resume has the write land and the leader go on, which is none any more: it ends, and writes nothing before.
func (p *pair) resume(s *stop) {
	p.t.Helper()
	time.Sleep(time.Until(s.at.Add(2 * lease)))
	p.mu.Lock()
	s.of.resumed = true
	p.mu.Unlock()
	close(s.land)
	<-s.done
	p.must(s.of.process.Process.Signal(syscall.SIGCONT))
	select {
	case <-s.of.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s goes on after it was stopped at %s", s.of.name, s.write)
	}
	if s.of.err == nil {
		p.t.Errorf("%s ended as if it had been asked to", s.of.name)
	}
	p.mu.Lock()
	wrote := s.of.wrote
	p.mu.Unlock()
	if len(wrote) > 0 {
		p.t.Errorf("%s was stopped at %s for twice its lease, and wrote when it was resumed: %q", s.of.name, s.write, wrote)
	}
	p.start(s.of)
}

func (p *pair) eventually(what string, holds func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("never: %s\n%s", what, p.dns.Dump())
		}
	}
}
