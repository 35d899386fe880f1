package controllers

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
)

// What lint says of the served records stands in status and in the messages of conditions that
// are True all the same.
func TestFindings(t *testing.T) {
	w := newWorld(t)
	s := spec()
	s.DMARC.Policy = v1alpha1.DMARCNone
	s.DMARC.RUA = append(s.DMARC.RUA, "mailto:dmarc@smarter.se")
	s.TLSRPT = nil
	for i := range 6 {
		include := fmt.Sprintf("n%d.smarter.se", i)
		w.must(w.dns.SetTXT(include, fmt.Sprintf("v=spf1 ip4:198.51.100.%d -all", i)))
		s.SPF.Mechanisms = append(s.SPF.Mechanisms, "include:"+include)
	}
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)

	findings := func() []string {
		var lines []string
		for _, f := range w.get("example-com").Status.Findings {
			lines = append(lines, fmt.Sprintf("%s %s %s", f.Severity, f.Code, f.Name))
		}
		slices.Sort(lines)
		return lines
	}
	if diff := cmp.Diff([]string{
		"Error DMARC-REPORT-REFUSED _dmarc.example.com",
		"Warning DMARC-NONE _dmarc.example.com",
		"Warning MTASTS-NO-REPORTS _mta-sts.example.com",
		"Warning SPF-LOOKUPS-HIGH example.com",
	}, findings()); diff != "" {
		t.Error(diff)
	}
	md := w.get("example-com")
	for kind, want := range map[string]string{
		v1alpha1.ConditionSPFReady:    "SPF-LOOKUPS-HIGH: 8 of 10 lookups: mx (1), include:smarter.se (1), include:n0.smarter.se (1)",
		v1alpha1.ConditionDMARCReady:  "DMARC-REPORT-REFUSED: smarter.se: no such record at example.com._report._dmarc.smarter.se: have its owner publish v=DMARC1 at the name",
		v1alpha1.ConditionMTASTSReady: "MTASTS-NO-REPORTS: no TLS-RPT record: publish a TLS-RPT record",
	} {
		if got := message(md, kind); !strings.HasPrefix(got, "the record is served; ") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q in it", kind, got, want)
		}
	}
	w.settles("example-com")

	// What is mended goes, and so does what is not asked for any more.
	w.must(w.dns.SetTXT("example.com._report._dmarc.smarter.se", "v=DMARC1"))
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		md.Spec.TLSRPT = spec().TLSRPT
		md.Spec.SPF.Mechanisms = spec().SPF.Mechanisms
	})
	w.until("example-com", "mended", func(md *v1alpha1.MailDomain) bool {
		return isReady(md) && cmp.Equal([]string{"Warning DMARC-NONE _dmarc.example.com", "Warning TLSRPT-OWN-DOMAIN _smtp._tls.example.com"}, findings())
	})
}

// An intent that turns out to be the second record is withdrawn, and the ledger forgets it only
// when the read-back shows that it is gone: else ours would stay for ever beside theirs.
func TestAWithdrawalIsReadBack(t *testing.T) {
	rehearsal := newWorld(t)
	rehearsal.apply("example-com", spec())
	rehearsal.until("example-com", "ready", isReady)
	write := slices.Index(rehearsal.effects, "DNS TXT example.com")
	if write < 0 {
		t.Fatal(rehearsal.effects)
	}
	w := newWorld(t)
	w.apply("example-com", spec())
	w.crashAt, w.after = write+1, true
	w.until("example-com", "dead", func(*v1alpha1.MailDomain) bool { return len(w.dns.TXT("example.com")) == 1 })
	const theirs = "v=spf1 a ~all"
	w.must(w.dns.SetTXT("example.com", append(w.dns.TXT("example.com"), theirs)...))
	w.restart()
	w.lies = true
	for range 3 {
		w.pass("example-com")
	}
	w.lies = false
	w.until("example-com", "withdrawn", func(*v1alpha1.MailDomain) bool { return cmp.Equal([]string{theirs}, w.dns.TXT("example.com")) })
	w.until("example-com", "a conflict", hasReason(v1alpha1.ConditionSPFReady, v1alpha1.ReasonRecordConflict))
}

// What lint says of a policy counts how long its mode has lasted, whatever else of it changes, and stays as it is
// when a question has no answer for the moment.
func TestFindingsOfALongTest(t *testing.T) {
	w := newWorld(t)
	s := onlyMTASTS()
	s.MTASTS.Mode, s.MTASTS.MX, s.MTASTS.MaxAge = v1alpha1.MTASTSTesting, []string{"mx1.example.com", "mx2.example.com"}, &metav1.Duration{Duration: time.Hour}
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	began := w.clock.Now()
	codes := func() (found []string) {
		for _, f := range w.get("example-com").Status.Findings {
			found = append(found, f.Code)
		}
		return slices.Sorted(slices.Values(found))
	}
	want := func(when string, all ...string) {
		t.Helper()
		w.pass("example-com")
		if diff := cmp.Diff(all, codes()); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
		text := message(w.get("example-com"), v1alpha1.ConditionMTASTSReady)
		for _, code := range all {
			if isReady(w.get("example-com")) && !strings.Contains(text, code) {
				t.Errorf("%s: the condition does not say %s: %s", when, code, text)
			}
		}
	}
	want("at first", "MTASTS-MAX-AGE-SHORT", "MTASTS-MX-UNUSED", "MTASTS-NO-REPORTS")
	w.forward(50 * 24 * time.Hour)
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MaxAge = nil })
	w.until("example-com", "announced anew", func(md *v1alpha1.MailDomain) bool { return isReady(md) && w.isAnnounced(md) })
	w.clock.SetTime(began.Add(12 * 7 * 24 * time.Hour))
	want("12 weeks", "MTASTS-MX-UNUSED", "MTASTS-NO-REPORTS")
	w.forward(time.Minute)
	long := []string{"MTASTS-MX-UNUSED", "MTASTS-NO-REPORTS", "MTASTS-TESTING-LONG"}
	want("longer", long...)
	if !isReady(w.get("example-com")) {
		t.Errorf("a finding is no error:\n%s", describe(w.get("example-com")))
	}
	w.settles("example-com")

	before := w.get("example-com").Status.Findings
	resolver := w.r.Resolver
	w.r.Resolver = deaf{resolver}
	want("without an answer about MX records", long...)
	if diff := cmp.Diff(before, w.get("example-com").Status.Findings); diff != "" {
		t.Errorf("findings flap: %s", diff)
	}
	w.r.Resolver = resolver
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		md.Spec.MTASTS.Mode, md.Spec.MTASTS.MX = v1alpha1.MTASTSEnforce, []string{"mx1.example.com"}
	})
	w.until("example-com", "enforced", func(md *v1alpha1.MailDomain) bool { return isReady(md) && w.isAnnounced(md) })
	want("enforced", "MTASTS-NO-REPORTS")
	w.ledger("example-com", func(l *ledger.Ledger) {
		if !l.MTASTS.Testing.IsZero() {
			t.Errorf("testing since %v", l.MTASTS.Testing)
		}
	})
}

// deaf gets no answer about MX records.
type deaf struct{ spf.Resolver }

func (deaf) LookupMX(context.Context, string) ([]*net.MX, error) {
	return nil, &net.DNSError{Err: "no answer", IsTemporary: true}
}

// Since when a mode is announced, by table.
func TestTestingSince(t *testing.T) {
	tested, enforce := policy(mtasts.Testing, "a.example"), policy(mtasts.Enforce, "a.example")
	other := policy(mtasts.Testing, "b.example")
	early := noon.Add(-24 * time.Hour)
	for name, tt := range map[string]struct {
		before ledger.MTASTS
		next   mtasts.Policy
		want   time.Time
	}{
		"the first":                 {ledger.MTASTS{}, tested, noon},
		"after enforce":             {told(enforce), tested, noon},
		"after another":             {ledger.MTASTS{Policy: other.String(), Since: noon.Add(-time.Hour), Testing: early}, tested, early},
		"after an older ledger's":   {ledger.MTASTS{Policy: other.String(), Since: early}, tested, early},
		"enforce after testing":     {ledger.MTASTS{Policy: other.String(), Since: early, Testing: early}, enforce, time.Time{}},
		"the same, announced again": {ledger.MTASTS{Policy: tested.String(), Since: early, Testing: early}, tested, early},
	} {
		if got := announced(tt.before, tt.next, noon).Testing; !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
