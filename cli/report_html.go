package cli

import (
	_ "embed"
	"html/template"
	"io"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

//go:embed report.html
var reportHTML string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"day":      when,
	"minute":   func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04") },
	"plain":    plain,
	"verdict":  func(v v1alpha1.Verdict) string { return verdictWords[v] },
	"class":    func(v v1alpha1.Verdict) string { return verdictClasses[v] },
	"bad":      func(v v1alpha1.Verdict) bool { return v == v1alpha1.VerdictFail || v == v1alpha1.VerdictUnknown },
	"timeline": timelineOf,
	"count":    Evidence.count,
	"columns":  Evidence.columns,
	"under":    DomainEvidence.under,
}).Parse(reportHTML))

// html prints one page that needs nothing else, and runs nothing.
func (e Evidence) html(out io.Writer) error { return reportPage.Execute(out, e) }

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

// timeline shows the lives of keys over time: places are percent of its width.
type timeline struct {
	Rows  []timelineRow
	Ticks []timelineTick
	Now   float64
}

type timelineRow struct {
	Selector string
	Kind     string
	Bars     []timelineBar
}

// timelineBar is a part of a key's life: "published" before it signs, "signs", or "retired".
type timelineBar struct {
	Class       string
	Left, Width float64
	Title       string
}

type timelineTick struct {
	Left float64
	Text string
}

// oldest is how far back a timeline goes.
const oldest = 400 * 24 * time.Hour

// timelineOf draws a domain's keys from the first one to a tenth beyond now, or to the next rotation.
func timelineOf(d DomainEvidence, now time.Time) timeline {
	from, to := now, now
	for _, r := range d.Rotations {
		if r.At.Before(from) {
			from = r.At
		}
	}
	if earliest := now.Add(-oldest); from.Before(earliest) {
		from = earliest
	}
	to = to.Add(max(now.Sub(from)/10, 24*time.Hour))
	if d.Rotation != nil && d.Rotation.After(to) && d.Rotation.Sub(now) < oldest {
		to = d.Rotation.Time
	}
	place := func(at time.Time) float64 {
		share := float64(at.Sub(from)) / float64(to.Sub(from))
		return math.Round(1000*min(1, max(0, share))) / 10
	}
	t := timeline{Now: place(now)}
	for _, k := range d.Keys {
		row := timelineRow{Selector: k.Selector, Kind: k.Kind}
		bar := func(class, what string, begin, end *metav1.Time) {
			if begin == nil || end != nil && !end.After(from) {
				return
			}
			until, words := now, "now"
			if end != nil {
				until, words = end.Time, when(end)
			}
			left := place(begin.Time)
			row.Bars = append(row.Bars, timelineBar{class, left, max(0.5, place(until)-left), what + " from " + when(begin) + " to " + words})
		}
		bar("published", "waits", k.key.Created, first(k.key.Active, k.key.Retired, k.key.Revoked))
		bar("signs", "signs", k.key.Active, first(k.key.Retired, k.key.Revoked))
		bar("retired", "is published, and signs no more", k.key.Retired, k.key.Revoked)
		t.Rows = append(t.Rows, row)
	}
	for at := time.Date(from.Year(), from.Month()+1, 1, 0, 0, 0, 0, time.UTC); at.Before(to); at = at.AddDate(0, tickMonths(to.Sub(from)), 0) {
		t.Ticks = append(t.Ticks, timelineTick{place(at), at.Format("Jan 2006")})
	}
	return t
}

// tickMonths keeps the names of months from running into each other.
func tickMonths(span time.Duration) int {
	return max(1, int(span/(180*24*time.Hour)))
}

func first(list ...*metav1.Time) *metav1.Time {
	for _, at := range list {
		if at != nil {
			return at
		}
	}
	return nil
}
