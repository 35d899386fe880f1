package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
)

// sight is what the authoritative servers of the zone that holds a name give for it.
type sight struct {
	authority probe.Authority
	answers   []probe.Answer
	vantage   v1alpha1.Vantage
	err       error // who has to be asked could not be found out
}

// look asks, once in a pass, what is served as TXT at name.
func (r *Reconciler) look(ctx context.Context, s *scope, name string) sight {
	if seen, ok := s.looks[name]; ok {
		return seen
	}
	seen := lookThrough(ctx, s, name, s.provider.nameservers())
	s.looks[name] = seen
	return seen
}

func lookThrough(ctx context.Context, s *scope, name string, nameservers []string) sight {
	return lookFor(ctx, s, name, dnsprovider.TypeTXT, nameservers)
}

func lookFor(ctx context.Context, s *scope, name, recordType string, nameservers []string) sight {
	seen := sight{vantage: v1alpha1.VantageDelegation}
	if len(nameservers) > 0 {
		seen.vantage = v1alpha1.VantageConfigured
	}
	seen.authority, seen.err = s.prober.Authority(ctx, name, nameservers)
	if seen.err == nil {
		seen.answers = s.prober.Ask(ctx, seen.authority, name, recordType)
	}
	s.sights[asked{name, recordType, len(nameservers) > 0}] = seen
	return seen
}

// proves reports whether the answer is a fact about the name, not a failure to get one.
func proves(a probe.Answer) bool {
	return a.Outcome == probe.Found || a.Outcome == probe.NoData || a.Outcome == probe.NXDomain
}

// values returns what any server serves at the name, each value once, sorted.
func (v sight) values() []string {
	var all []string
	for _, a := range v.answers {
		if proves(a) {
			all = append(all, a.Values...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// absent reports whether the servers prove that nothing stands at the name.
func (v sight) absent() bool {
	answered := false
	for _, a := range v.answers {
		if a.Outcome == probe.Found {
			return false
		}
		answered = answered || proves(a)
	}
	return answered
}

// lacks reports whether the servers prove that the wish is gone: somebody answers, and nobody with
// the wish. What else they have there, such as a wildcard's text, does not count.
func (v sight) lacks(slot records.Slot, wish string) bool {
	answered := false
	for _, a := range v.answers {
		if shows(a, slot, wish) {
			return false
		}
		answered = answered || proves(a)
	}
	return answered
}

// unanswered says who gave no answer about the name, in stable words; "" if everybody did who can
// be asked from here.
func (v sight) unanswered() string {
	if v.err != nil {
		return firstLine(v.err)
	}
	var silent []string
	answered := false
	for _, a := range v.answers {
		answered = answered || proves(a)
		if !proves(a) && a.Outcome != probe.Unroutable {
			silent = append(silent, fmt.Sprintf("%s (%s)", a.Server, a.Outcome))
		}
	}
	switch {
	case len(silent) > 0:
		return "no answer from " + strings.Join(distinct(silent), ", ")
	case !answered:
		return "no address of the zone's name servers can be reached from here"
	}
	return ""
}

// waiting names the servers that gave no answer about the name and are waited for, each for an
// hour as for the proof of a key (Law 3). silent is since when which address is silent, before is
// what it was.
func (v sight) waiting(before map[string]time.Time, now time.Time) (names []string, silent map[string]time.Time) {
	silent = map[string]time.Time{}
	for _, a := range v.answers {
		if proves(a) || a.Outcome == probe.Unroutable {
			continue
		}
		since, known := before[place(a)]
		if !known || since.After(now) {
			since = now
		}
		silent[place(a)] = since
		if now.Sub(since) < keys.SilenceLimit {
			names = append(names, fmt.Sprintf("%s (%s)", a.Server, a.Outcome))
		}
	}
	return distinct(names), silent
}

// place tells the addresses of name servers apart, also of one that has none.
func place(a probe.Answer) string {
	if !a.Addr.IsValid() {
		return a.Server
	}
	return a.Addr.String()
}

// ttl is the longest for which a cache may keep what was found.
func (v sight) ttl() time.Duration {
	var longest time.Duration
	for _, a := range v.answers {
		if a.Outcome == probe.Found {
			longest = max(longest, a.TTL)
		}
	}
	return longest
}

// rrset puts together what the servers serve in the form that dnsprovider.Decide wants.
func (v sight) rrset(key dnsprovider.Key) dnsprovider.RRset {
	set := dnsprovider.RRset{Key: key}
	for _, value := range v.values() {
		set.Records = append(set.Records, dnsprovider.Record{Value: value})
	}
	for _, a := range v.answers {
		if proves(a) && a.Alias != "" {
			set.Alias = a.Alias
		}
	}
	return set
}

// shows reports whether the answer has the wish as the one record of its protocol.
func shows(a probe.Answer, slot records.Slot, wish string) bool {
	if a.Outcome != probe.Found || a.Alias != "" {
		return false
	}
	found := 0
	for _, value := range a.Values {
		if slot.Is(value) {
			if !slot.Same(value, wish) {
				return false
			}
			found++
		}
	}
	return found == 1
}

// others are the servers that have another record of the slot's protocol in the wish's place: alone, as
// nobody goes by one of several, or at the target of an alias, as far as anybody knows.
func (v sight) others(slot records.Slot, wish string) []string {
	var list []string
	for _, a := range v.answers {
		if a.Outcome != probe.Found {
			continue
		}
		texts := slices.DeleteFunc(slices.Clone(a.Values), func(value string) bool { return !slot.Is(value) })
		if a.Alias != "" || len(texts) == 1 && !slot.Same(texts[0], wish) {
			list = append(list, a.Server)
		}
	}
	return distinct(list)
}

// verify says how far the wish is served: Verified when every address that answers serves it
// as the only record of its protocol.
func (v sight) verify(slot records.Slot, wish string) (v1alpha1.RecordState, verdict) {
	return v.verifyThat(slot.String(), fmt.Sprintf("%q", wish), func(a probe.Answer) bool { return shows(a, slot, wish) })
}

// verifyThat is verify for what and wish in words: shown reports whether an answer has the wish.
func (v sight) verifyThat(what, wish string, shown func(probe.Answer) bool) (v1alpha1.RecordState, verdict) {
	if v.err != nil {
		reason := v1alpha1.ReasonServersUnreachable
		if errors.Is(v.err, probe.ErrNoZone) {
			reason = v1alpha1.ReasonZoneNotFound
		}
		return v1alpha1.RecordPublished, verdict{reason, fmt.Sprintf("%s: the name servers of its zone can't be found: %s", what, firstLine(v.err))}
	}
	answered := 0
	var without, silent []string
	for _, a := range v.answers {
		switch {
		case !proves(a):
			if a.Outcome != probe.Unroutable {
				silent = append(silent, fmt.Sprintf("%s (%s)", a.Server, a.Outcome))
			}
		case shown(a):
			answered++
		default:
			answered++
			without = append(without, a.Server)
		}
	}
	without, silent = distinct(without), distinct(silent)
	switch {
	case answered == 0 && len(silent) == 0:
		return v1alpha1.RecordPublished, verdict{v1alpha1.ReasonServersUnreachable,
			what + ": no address of the zone's name servers can be reached from here"}
	case answered == 0:
		return v1alpha1.RecordPublished, verdict{v1alpha1.ReasonServersUnreachable,
			fmt.Sprintf("%s: no name server of the zone answers: %s", what, strings.Join(silent, ", "))}
	case len(without) > 0:
		return v1alpha1.RecordPublished, verdict{v1alpha1.ReasonWaitingForPropagation,
			fmt.Sprintf("%s: waiting for %s to serve %s", what, strings.Join(without, ", "), wish)}
	}
	return v1alpha1.RecordVerified, verdict{}
}

// evidence is what the servers say about a key's record, which belongs to its private key.
func (v sight) evidence(slot records.Slot, record string, standing bool) keys.Evidence {
	e := keys.Evidence{Standing: standing, NegativeTTL: v.authority.NegativeTTL}
	for _, a := range v.answers {
		w := keys.Witness{Server: a.Server, Addr: place(a)}
		switch {
		case shows(a, slot, record):
			w.Sight = keys.Serves
		case proves(a):
			w.Sight = keys.Differs
		case a.Outcome == probe.Unroutable:
			w.Sight = keys.NoRoute
		default:
			w.Sight = keys.Silence
		}
		e.Witnesses = append(e.Witnesses, w)
	}
	return e
}

func distinct(texts []string) []string {
	slices.Sort(texts)
	return slices.Compact(texts)
}

// firstLine keeps an error readable in a condition.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
