package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// noted is a Meter that keeps what it is told.
type noted struct {
	drifts   []string
	verified []time.Duration
}

func (n *noted) Drifted(p v1alpha1.RecordPurpose) { n.drifts = append(n.drifts, "drifted "+string(p)) }
func (n *noted) Repaired(p v1alpha1.RecordPurpose) {
	n.drifts = append(n.drifts, "repaired "+string(p))
}
func (n *noted) Verified(after time.Duration) { n.verified = append(n.verified, after) }

func onlyTLSRPT() v1alpha1.MailDomainSpec {
	s := spec()
	s.SPF, s.DKIM, s.DMARC, s.MTASTS = nil, nil, nil, nil
	return s
}

const tlsReports = "_smtp._tls.example.com"

// A drift is counted once, however long the provider refuses to have it repaired, and so is its repair. What the
// user changes is none, nor what stands where nothing of ours stood.
func TestDriftIsCountedOnce(t *testing.T) {
	w := newWorld(t)
	meter := &noted{}
	w.r.Meter = meter
	w.apply("example-com", onlyTLSRPT())
	w.until("example-com", "ready", isReady)
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.TLSRPT.RUA = []string{"mailto:other@example.com"} })
	w.until("example-com", "changed", func(*v1alpha1.MailDomain) bool {
		return strings.Contains(strings.Join(w.dns.TXT(tlsReports), ""), "other@")
	})
	w.until("example-com", "ready", isReady)
	want := func(when string, lines ...string) {
		t.Helper()
		if diff := cmp.Diff(lines, meter.drifts); diff != "" {
			t.Errorf("%s:\n%s", when, diff)
		}
		meter.drifts = nil
	}
	want("the user's own changes")

	w.must(w.dns.SetTXT(tlsReports, "v=TLSRPTv1; rua=mailto:evil@example.net"))
	w.dns.Fault(dnsserver.Fault{RefuseUpdates: true})
	for range 3 {
		w.pass("example-com")
		w.forward(time.Minute)
	}
	want("while the provider refuses", "drifted TLSRPT")
	w.dns.Fault(dnsserver.Fault{})
	w.until("example-com", "ready", isReady)
	want("after that", "repaired TLSRPT")

	w.must(w.dns.SetTXT(tlsReports))
	w.until("example-com", "ready", isReady)
	w.pass("example-com")
	want("taken away", "drifted TLSRPT", "repaired TLSRPT")

	stood := w.dns.TXT(tlsReports)
	w.must(w.dns.SetTXT(tlsReports))
	w.dns.Fault(dnsserver.Fault{RefuseUpdates: true})
	w.pass("example-com")
	w.must(w.dns.SetTXT(tlsReports, stood...)) // somebody else puts it right
	w.dns.Fault(dnsserver.Fault{})
	w.until("example-com", "ready", isReady)
	want("put right by another", "drifted TLSRPT")
	w.must(w.dns.SetTXT(tlsReports))
	w.until("example-com", "ready", isReady)
	w.pass("example-com")
	want("taken away again", "drifted TLSRPT", "repaired TLSRPT")
	if len(w.r.traces.of) > 0 {
		t.Errorf("remembered for nothing: %v", w.r.traces.of)
	}
}

func TestDriftOfTheHostIsCounted(t *testing.T) {
	w := newWorld(t)
	w.homeless()
	meter := &noted{}
	w.r.Meter = meter
	s := onlyMTASTS()
	s.MTASTS.Address = address(v1alpha1.AddressA, "127.0.0.1")
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	if len(meter.drifts) > 0 {
		t.Errorf("before anything drifted: %q", meter.drifts)
	}
	w.homeless()
	w.until("example-com", "repaired", func(*v1alpha1.MailDomain) bool { return len(w.host()) > 0 })
	w.until("example-com", "ready", isReady)
	if want := []string{"drifted MTASTSAddress", "repaired MTASTSAddress"}; !slices.Equal(meter.drifts, want) {
		t.Errorf("got %q, want %q", meter.drifts, want)
	}
}

// The time from a write to the moment when every name server has it is measured, for each record once.
func TestVerificationIsTimed(t *testing.T) {
	w := newWorld(t)
	meter := &noted{}
	w.r.Meter = meter
	second, err := w.dns.Secondary("127.0.0.1:0")
	w.must(err)
	t.Cleanup(func() { second.Close() })
	w.nameservers(w.dns.Addr(), second.Addr())
	w.apply("example-com", onlyTLSRPT())
	w.until("example-com", "ready", isReady)
	w.pass("example-com")
	if len(meter.verified) != 2 { // the claim and the record
		t.Errorf("got %v", meter.verified)
	}
	meter.verified = nil
	second.Freeze()
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.TLSRPT.RUA = []string{"mailto:other@example.com"} })
	w.pass("example-com")
	began := w.clock.Now()
	for range 3 {
		w.forward(time.Minute)
		w.pass("example-com")
	}
	if len(meter.verified) > 0 {
		t.Errorf("before any name server has it: %v", meter.verified)
	}
	second.Thaw()
	w.until("example-com", "ready", isReady)
	w.pass("example-com")
	if took := w.clock.Since(began); len(meter.verified) != 1 || meter.verified[0] < 3*time.Minute || meter.verified[0] > took {
		t.Errorf("got %v, want one of 3m0s to %s", meter.verified, took)
	}

	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.TLSRPT.RUA = []string{"mailto:third@example.com"} })
	second.Freeze()
	w.pass("example-com")
	if len(w.r.traces.of) == 0 {
		t.Error("nothing is remembered of a record under way")
	}
	w.vanish(w.get("example-com"))
	w.pass("example-com")
	if len(w.r.traces.of) > 0 {
		t.Errorf("remembered of one that is gone: %v", w.r.traces.of)
	}
}

// Operations are told of below what paces and gathers them: as the provider saw them.
func TestOperationsAreTold(t *testing.T) {
	w := newWorld(t)
	var told []string
	w.r.Accounts.Operated = func(provider, operation string, _ time.Duration, errs []error) {
		kinds := make([]string, len(errs))
		for i, err := range errs {
			kinds[i] = string(dnsprovider.KindOf(err))
		}
		told = append(told, fmt.Sprintf("%s %s %q", provider, operation, kinds))
	}
	w.apply("example-com", onlyTLSRPT())
	w.until("example-com", "ready", isReady)
	for _, want := range []string{`rfc2136 read [""]`, `rfc2136 apply [""]`} {
		if !slices.Contains(told, want) {
			t.Errorf("there is no %s in %q", want, told)
		}
	}
	told = nil
	w.must(w.dns.SetTXT(tlsReports))
	w.dns.Fault(dnsserver.Fault{RefuseUpdates: true})
	w.pass("example-com")
	if want := `rfc2136 apply ["Refused"]`; !slices.Contains(told, want) {
		t.Errorf("there is no %s in %q", want, told)
	}
}
