package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/maildomain/maildomain-operator/compliance"
)

var alignedWords = map[compliance.Outcome]string{
	compliance.Pass: "aligned with the author", compliance.Fail: "not aligned with the author", compliance.Unknown: "it is unknown whether it is aligned", compliance.NotApplicable: "aligned with nobody",
}

// table tells people what receivers do, in their order.
func (r MessageReport) table(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "DMARC: %s: %s\n\n", r.Outcome, plain(r.Why))
	fmt.Fprintf(w, "Author\t%s\n", plain(cmp.Or(r.Author, "none")))
	fmt.Fprintf(w, "Delivered by\t%s, HELO %s, MAIL FROM <%s> (%s)\n", plain(cmp.Or(r.Source.IP, "an unknown host")), plain(cmp.Or(r.Source.HELO, "unknown")), plain(r.Source.MailFrom), plain(cmp.Or(r.Source.From, "no header says so")))

	fmt.Fprintf(w, "\nSPF\t%s\t%s\n", cmp.Or(string(r.SPF.Result), "unknown"), plain(r.SPF.Why))
	for _, s := range r.SPF.Trace {
		fmt.Fprintf(w, "  %s%s\t%s\t%s\n", strings.Repeat("  ", s.Level), plain(s.Term), s.Outcome, plain("of "+s.Domain))
	}
	if r.SPF.Domain != "" {
		fmt.Fprintf(w, "  %s\t%s\t%d lookups, %d of them got nothing\n", plain(r.SPF.Domain), alignedWords[r.SPF.Aligned], r.SPF.Lookups, r.SPF.Voids)
	}

	if len(r.DKIM) == 0 {
		fmt.Fprintf(w, "\nDKIM\tnone\tthe message has no signature\n")
	}
	for _, s := range r.DKIM {
		fmt.Fprintf(w, "\nDKIM\t%s\t%s\n", s.Outcome, plain(s.Why))
		fmt.Fprintf(w, "  d=%s\t%s\ts=%s a=%s\n", plain(s.Domain), alignedWords[s.Aligned], plain(s.Selector), plain(s.Algorithm))
		for _, f := range s.Findings {
			fmt.Fprintf(w, "  %s\t%s\t%s: %s\n", f.Severity, f.Code, plain(f.Message), f.Mend)
		}
	}

	fmt.Fprintf(w, "\nDMARC\t%s\t%s\n", r.Outcome, plain(r.Why))
	if r.DMARC.Record != "" {
		modes := map[bool]string{true: "strict", false: "relaxed"}
		fmt.Fprintf(w, "  %s\tpolicy %s\t%s\n", plain(r.DMARC.At), r.DMARC.Policy, plain(r.DMARC.Record))
		fmt.Fprintf(w, "  alignment\tSPF %s\tDKIM %s\n", modes[r.DMARC.StrictSPF], modes[r.DMARC.StrictDKIM])
	}
	_ = w.Flush() // as with Fprint, who reads has gone
}
