package kill

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/test/real"
)

// A rotation with a real BIND, its times shortened: the manager's process dies by SIGKILL whenever a
// key is first seen in a state, from Generated to Removed. At every moment in between the signer has
// keys to sign with, and BIND serves the public half of each; and no selector is given twice.
func TestKillInEachStateOfARotation(t *testing.T) {
	const retention = 20 * time.Second
	s := newScene(t, build(t))
	s.server = real.BIND(t, real.Key{Name: "maildomain.", Secret: tsigSecret}, real.Zone{Apex: "example.com", Negative: time.Second})
	s.createProvider()
	s.create(&v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Name: "example-com"}, Spec: v1alpha1.MailDomainSpec{
		Domain: "example.com",
		DNS:    &v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: v1alpha1.KindDNSProvider, Name: "dns"}},
		DKIM: &v1alpha1.DKIMSpec{
			Keys:     []v1alpha1.DKIMKey{{Name: "rsa"}, {Name: "ed25519", Algorithm: v1alpha1.DKIMEd25519}},
			Rotation: &v1alpha1.DKIMRotation{Interval: &metav1.Duration{Duration: 10 * time.Second}, Retention: &metav1.Duration{Duration: retention}},
		},
	}})
	s.allowWrites()
	seen := map[string]bool{}
	records := map[string]string{}
	lives, signed := 0, false
	stop := s.begin()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			stop()
			t.Fatalf("no key was removed in %d lives\n%s", lives, s.status())
		}
		ring := s.ring()
		removed, kill := false, false
		for _, k := range ring {
			if before := records[k.Selector]; before != "" && before != k.Record {
				t.Errorf("%s was used twice", k.Selector)
			}
			records[k.Selector] = k.Record
			state := k.Name + " " + string(k.State())
			kill = kill || !seen[state]
			seen[state] = true
			removed = removed || k.State() == keys.Removed
		}
		signed = s.signs(signed, retention)
		if removed && signed && len(ring.With(keys.Active)) == 2 {
			break
		}
		if kill {
			stop()
			lives++
			s.signs(signed, retention)
			stop = s.begin()
		}
	}
	stop()
	t.Logf("%d lives: %v", lives, seen)
	for _, state := range []keys.State{keys.Generated, keys.Active, keys.Retired, keys.Revoked, keys.Removed} {
		if !seen["rsa "+string(state)] {
			t.Errorf("nobody saw an rsa key %s", state)
		}
	}
}

// allowWrites has the proxy pass everything.
func (s *scene) allowWrites() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.allowed = &exec.Cmd{}, 1<<30
}

// begin starts the manager, and returns what kills it.
func (s *scene) begin() (stop func()) {
	s.t.Helper()
	manager := s.manager()
	s.must(manager.Start())
	return func() {
		s.t.Helper()
		s.must(manager.Process.Kill())
		if err := manager.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			s.t.Fatalf("the manager ended by itself: %v", err)
		}
	}
}

func (s *scene) ring() keys.Keyring {
	s.t.Helper()
	secret := &corev1.Secret{}
	err := s.api.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "example-com-maildomain-ledger"}, secret)
	if apierrors.IsNotFound(err) {
		return nil
	}
	s.must(err)
	l, err := ledger.Decode(secret.Data["ledger.json"], "example.com")
	s.must(err)
	return l.Keyring
}

// signs checks what the signer has, and reports whether it has anything; once it had, it must have.
func (s *scene) signs(before bool, retention time.Duration) bool {
	s.t.Helper()
	began := time.Now()
	secret := &corev1.Secret{}
	err := s.api.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "example-com-dkim"}, secret)
	if !apierrors.IsNotFound(err) {
		s.must(err)
	}
	if selector := string(secret.Data[keys.SelectorFile]); selector == "" || len(secret.Data[keys.PrivateFile(selector)]) == 0 {
		if before {
			s.t.Errorf("the signer is left without a key: selector %q", selector)
		}
		return false
	}
	var wrong []string
	for name, private := range secret.Data {
		selector, ok := strings.CutSuffix(name, keys.PrivateFile(""))
		if !ok {
			continue
		}
		want, err := keys.RecordOf(private)
		s.must(err)
		if got := s.ask(selector + "._domainkey.example.com."); got != want {
			wrong = append(wrong, fmt.Sprintf("%s: BIND serves %q", selector, got))
		}
	}
	// A file leaves half a retention before its record is emptied: what took that long proves nothing.
	if time.Since(began) < retention/4 && len(wrong) > 0 {
		s.t.Errorf("the signer can use keys that do not verify: %s", strings.Join(wrong, "; "))
	}
	return true
}

// ask returns the text that BIND serves at a name.
func (s *scene) ask(name string) string {
	s.t.Helper()
	question := new(dns.Msg)
	question.SetQuestion(name, dns.TypeTXT)
	client := &dns.Client{Net: "tcp", Timeout: patience}
	reply, _, err := client.ExchangeContext(context.Background(), question, s.server)
	s.must(err)
	var texts []string
	for _, rr := range reply.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			texts = append(texts, strings.Join(txt.Txt, ""))
		}
	}
	return strings.Join(texts, " | ")
}
