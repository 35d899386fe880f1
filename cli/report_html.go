package cli

import (
	_ "embed"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// The page is built by functions, not by html/template: for a template the linker keeps every method of every type, as it may
// be called by its name, and the operator is in the same binary. All texts are escaped; the style alone is not.

//go:embed report.css
var reportStyle string

// html prints one page that needs nothing else, and runs nothing.
func (e Evidence) html(out io.Writer) error {
	domains := "domains"
	if len(e.Domains) == 1 {
		domains = "domain"
	}
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(g.Attr("http-equiv", "Content-Security-Policy"), h.Content("default-src 'none'; style-src 'unsafe-inline'")),
			h.TitleEl(g.Text("E-mail security, "+minute(e.At)+" UTC")),
			h.StyleEl(g.Raw("\n"+reportStyle)),
		),
		h.Body(h.Main(
			h.H1(g.Textf("E-mail security of %d %s", len(e.Domains), domains)),
			soft("As the operator had it in status on "+minute(e.At)+" UTC. Verdicts are of what DNS and HTTPS show, not of what was configured."),
			e.tiles(),
			e.overview(),
			g.Group(each(e.Domains, func(i int, d DomainEvidence) g.Node { return d.card(i, e.At) })),
			h.Footer(
				g.Text("Keys whose records were removed are in status no more, and so not in here. "),
				h.I(g.Text("Second-hand")),
				g.Text(" marks what was read in texts about a source, not in the source itself."),
			),
		)),
	)).Render(out)
}

func (e Evidence) tiles() g.Node {
	tile := func(class string, verdict v1alpha1.Verdict, what string) g.Node {
		return h.Div(h.Class("tile"), h.B(h.Class(class), g.Text(strconv.Itoa(e.count(verdict)))), g.Text(what))
	}
	return h.Div(h.Class("tiles"),
		tile("pass", v1alpha1.VerdictPass, "compliant"),
		tile("fail", v1alpha1.VerdictFail, "not compliant"),
		tile("unknown", v1alpha1.VerdictUnknown, "unknown"),
		tile("na", "", "not judged"),
	)
}

// overview is a line for each domain, which leads to its card.
func (e Evidence) overview() g.Node {
	if len(e.Domains) == 0 {
		return h.P(g.Text("There is no MailDomain."))
	}
	columns := e.columns()
	line := func(i int, d DomainEvidence) g.Node {
		return h.Tr(
			h.Td(h.A(h.Href("#"+anchor(i)), g.Text(plain(d.Domain)))),
			h.Td(g.Text(string(d.Ready.Status))),
			g.Map(columns, func(baseline string) g.Node {
				if v := d.under(baseline); v != "" {
					return h.Td(badge(v))
				}
				return h.Td(h.Span(h.Class("soft"), g.Text("–")))
			}),
		)
	}
	return h.Div(h.Class("card wide"), table(append([]string{"Domain", "Ready"}, columns...), each(e.Domains, line)))
}

// anchor is what the overview leads to.
func anchor(i int) string { return "d" + strconv.Itoa(i) }

// card is all that is known of one domain.
func (d DomainEvidence) card(i int, now time.Time) g.Node {
	return h.Section(h.Class("card"), h.ID(anchor(i)),
		h.Div(h.Class("head"), h.H2(g.Text(plain(d.Domain))), softly("MailDomain "+plain(d.Object))),
		h.P(g.Text("Ready="+string(d.Ready.Status)+" "), softly(d.Ready.Reason)),
		g.Map(d.WaitsFor, func(c Condition) g.Node {
			return h.P(h.B(g.Text(c.Type+"="+string(c.Status))), g.Text(" "+c.Reason+": "+plain(c.Message)))
		}),
		g.If(len(d.Baselines) > 0, h.H3(g.Text("Baselines"))),
		g.Map(d.Baselines, BaselineEvidence.details),
		g.Iff(len(d.Keys) > 0, func() g.Node { return g.Group{d.keys(), timelineOf(d, now).lines(d.Rotation)} }),
		g.Iff(d.Policy != nil && d.Policy.Mode != "", d.policy),
		g.If(len(d.Findings) > 0, h.H3(g.Text("Findings"))),
		g.Map(d.Findings, func(f v1alpha1.Finding) g.Node {
			return h.P(h.B(g.Text(string(f.Severity))), g.Text(" "), h.Code(g.Text(f.Code)), g.Text(" "+plain(f.Name)+": "+plain(f.Message)))
		}),
	)
}

// details are open where something is to be done.
func (b BaselineEvidence) details() g.Node {
	checked := "not judged yet"
	if b.LastChecked != nil {
		checked = "checked " + when(b.LastChecked)
	}
	line := func(_ int, c ControlEvidence) g.Node {
		return h.Tr(
			h.Td(g.Text(plain(c.Control))),
			h.Td(badge(c.Verdict)),
			h.Td(g.Text(c.Title)),
			h.Td(h.Class("seen"), g.Text(plain(c.Seen))),
			h.Td(h.Class("source"), g.Text(c.Source)),
		)
	}
	return h.Details(
		g.If(b.Verdict == v1alpha1.VerdictFail || b.Verdict == v1alpha1.VerdictUnknown, g.Attr("open")),
		h.Summary(h.B(g.Text(b.Baseline)), badge(b.Verdict), softly(checked)),
		soft(b.Title+". Source: "+b.Source+"."),
		h.Div(h.Class("wide"), table([]string{"Control", "Verdict", "Wanted", "Seen", "Source"}, each(b.Controls, line))),
		g.If(len(b.NotJudged) > 0, soft("Not judged, as DNS and HTTPS do not show it: "+strings.Join(b.NotJudged, "; ")+".")),
	)
}

func (d DomainEvidence) keys() g.Node {
	line := func(_ int, k KeyEvidence) g.Node {
		return h.Tr(
			h.Td(h.Code(g.Text(plain(k.Selector)))),
			h.Td(g.Text(k.Kind)),
			h.Td(g.Text(string(k.State))),
			h.Td(g.Textf("%d days", k.AgeDays)),
			h.Td(g.Text(when(k.SignedFrom))),
			h.Td(g.Text(when(k.SignedUntil))),
		)
	}
	return g.Group{
		h.H3(g.Text("DKIM keys")),
		h.Div(h.Class("wide"), table([]string{"Selector", "Key", "State", "Age", "Signs from", "until"}, each(d.Keys, line))),
	}
}

func (d DomainEvidence) policy() g.Node {
	id := g.Group{}
	if d.Policy.PolicyID != "" {
		id = g.Group{g.Text(", id "), h.Code(g.Text(d.Policy.PolicyID))}
	}
	return g.Group{h.H3(g.Text("MTA-STS")), h.P(g.Text("Mode "+string(d.Policy.Mode)), id, g.Text("."))}
}

// lines draw the timeline. The places are numbers, so that nothing but a number is in a style.
func (t timeline) lines(next *metav1.Time) g.Node {
	at := func(left float64) string { return "left: " + percent(left) }
	row := func(r timelineRow) g.Node {
		return h.Div(h.Class("key"), h.Code(g.Text(plain(r.Selector))), h.Div(h.Class("track"),
			g.Map(r.Bars, func(b timelineBar) g.Node {
				return h.Div(h.Class("bar "+b.Class), h.Style(at(b.Left)+"; width: "+percent(b.Width)), h.Title(b.Title))
			}),
			h.Div(h.Class("now"), h.Style(at(t.Now))),
		))
	}
	tick := func(one timelineTick) g.Node { return h.Span(h.Style(at(one.Left)), g.Text(one.Text)) }
	legend := func(class, what string) g.Node { return h.Span(h.I(h.Class(class)), g.Text(what)) }
	return g.Group{
		h.H3(g.Text("Rotations")),
		g.Map(t.Rows, row),
		h.Div(h.Class("key"), h.Span(), h.Div(h.Class("axis"), g.Map(t.Ticks, tick))),
		h.Div(h.Class("legend"),
			legend("published", "made and published, waits"),
			legend("signs", "signs"),
			legend("retired", "published for mail under way"),
			legend("today", "now"),
			g.Iff(next != nil, func() g.Node { return h.Span(g.Text("next rotation: " + when(next))) }),
		),
	}
}

func percent(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) + "%" }

func table(heads []string, lines []g.Node) g.Node {
	return h.Table(h.THead(h.Tr(g.Map(heads, func(head string) g.Node { return h.Th(g.Text(head)) }))), h.TBody(lines...))
}

// each is g.Map with the index.
func each[T any](list []T, node func(int, T) g.Node) []g.Node {
	nodes := make([]g.Node, len(list))
	for i, one := range list {
		nodes[i] = node(i, one)
	}
	return nodes
}

func soft(text string) g.Node { return h.P(h.Class("soft"), g.Text(text)) }

func softly(text string) g.Node { return h.Span(h.Class("soft"), g.Text(text)) }

func badge(v v1alpha1.Verdict) g.Node {
	return h.Span(h.Class("v "+verdictClasses[v]), g.Text(verdictWords[v]))
}

func minute(at time.Time) string { return at.UTC().Format("2006-01-02 15:04") }

// Verdicts are told by a word and a sign, not by their colour alone.
var verdictWords = map[v1alpha1.Verdict]string{
	v1alpha1.VerdictPass: "✓ pass", v1alpha1.VerdictFail: "✗ fail", v1alpha1.VerdictUnknown: "? unknown", v1alpha1.VerdictNotApplicable: "– not applicable",
}

var verdictClasses = map[v1alpha1.Verdict]string{
	v1alpha1.VerdictPass: "pass", v1alpha1.VerdictFail: "fail", v1alpha1.VerdictUnknown: "unknown", v1alpha1.VerdictNotApplicable: "na",
}

// sum is how a domain does by all its baselines; "" if none is asked for.
func (d DomainEvidence) sum() v1alpha1.Verdict {
	var sum v1alpha1.Verdict
	for _, b := range d.Baselines {
		switch {
		case b.Verdict == v1alpha1.VerdictFail || sum == v1alpha1.VerdictFail:
			sum = v1alpha1.VerdictFail
		case b.Verdict == v1alpha1.VerdictUnknown || sum == v1alpha1.VerdictUnknown:
			sum = v1alpha1.VerdictUnknown
		default:
			sum = v1alpha1.VerdictPass
		}
	}
	return sum
}

// count is how many domains do so by all their baselines.
func (e Evidence) count(v v1alpha1.Verdict) (n int) {
	for _, d := range e.Domains {
		if d.sum() == v {
			n++
		}
	}
	return n
}

// columns are the baselines that any domain is judged by.
func (e Evidence) columns() (names []string) {
	for _, d := range e.Domains {
		for _, b := range d.Baselines {
			if !slices.Contains(names, b.Baseline) {
				names = append(names, b.Baseline)
			}
		}
	}
	slices.Sort(names)
	return names
}

// under is how a domain does by one baseline; "" if it is not asked for.
func (d DomainEvidence) under(baseline string) v1alpha1.Verdict {
	for _, b := range d.Baselines {
		if b.Baseline == baseline {
			return b.Verdict
		}
	}
	return ""
}
