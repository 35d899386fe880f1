package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
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
