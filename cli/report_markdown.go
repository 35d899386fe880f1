package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// markdown prints the evidence for a ticket or a wiki.
func (e Evidence) markdown(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# E-mail security of %d domains, %s\n\n| domain | Ready | baseline | verdict | last checked |\n|---|---|---|---|---|\n", len(e.Domains), e.At.Format("2006-01-02 15:04 MST"))
	for _, d := range e.Domains {
		if len(d.Baselines) == 0 {
			fmt.Fprintf(&b, "| %s | %s | – | not judged | – |\n", cell(d.Domain), d.Ready.Status)
		}
		for _, one := range d.Baselines {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cell(d.Domain), d.Ready.Status, one.Baseline, one.Verdict, when(one.LastChecked))
		}
	}
	for _, d := range e.Domains {
		fmt.Fprintf(&b, "\n## %s\n\nMailDomain %s, Ready=%s %s\n", cell(d.Domain), cell(d.Object), d.Ready.Status, d.Ready.Reason)
		for _, c := range d.WaitsFor {
			fmt.Fprintf(&b, "\n- %s=%s %s: %s\n", c.Type, c.Status, c.Reason, cell(c.Message))
		}
		for _, one := range d.Baselines {
			fmt.Fprintf(&b, "\n### %s: %s\n\n%s. Source: %s.\n\n| control | verdict | wanted | seen | source |\n|---|---|---|---|---|\n", one.Baseline, one.Verdict, one.Title, one.Source)
			for _, c := range one.Controls {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cell(c.Control), c.Verdict, cell(c.Title), cell(c.Seen), cell(c.Source))
			}
			for _, n := range one.NotJudged {
				fmt.Fprintf(&b, "\nNot judged: %s\n", n)
			}
		}
		if len(d.Keys) > 0 {
			b.WriteString("\n### DKIM keys\n\n| selector | key | state | age, days | signs from | until |\n|---|---|---|---|---|---|\n")
		}
		for _, k := range d.Keys {
			fmt.Fprintf(&b, "| %s | %s | %s | %d | %s | %s |\n", cell(k.Selector), k.Kind, k.State, k.AgeDays, when(k.SignedFrom), when(k.SignedUntil))
		}
		if len(d.Findings) > 0 {
			b.WriteString("\n### Findings\n\n")
		}
		for _, f := range d.Findings {
			fmt.Fprintf(&b, "- %s %s, %s: %s\n", f.Severity, f.Code, cell(f.Name), cell(f.Message))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// cell is a text that neither ends a cell nor is markup: strangers' records are among them.
func cell(text string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "<", "&lt;", ">", "&gt;", "&", "&amp;", "*", "\\*", "_", "\\_", "`", "\\`", "[", "\\[", "]", "\\]").Replace(plain(text))
}

func when(at *metav1.Time) string {
	if at == nil {
		return "–"
	}
	return at.UTC().Format(time.DateOnly)
}
