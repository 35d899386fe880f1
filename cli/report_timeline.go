package cli

import (
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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
