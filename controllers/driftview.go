package controllers

import (
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/probe"
)

// view is what the last pass over a MailDomain was shown. It does not change.
type view struct {
	rrsets      []shownRRset
	nameservers []string // of the provider
}

// asked is a question to the name servers of a zone.
type asked struct {
	name, rrtype string
	configured   bool // the name servers are those of the provider, not those of the delegation
}

// shownRRset is the answer to it, as far as it has to stay the same.
type shownRRset struct {
	asked
	apex  string
	print uint64 // of the values
}

// seed makes a print nothing that a zone could aim at.
var seed = maphash.MakeSeed()

// printOf is that of what proving answers show; ok is false if there is none, or if they differ. That a name does not exist and
// that it has no such records is the same: it changes with the names below.
func printOf(rrtype string, answers []probe.Answer) (print uint64, ok bool) {
	var union []string
	for _, a := range answers {
		if !proves(a) {
			continue
		}
		values := []string{"CNAME " + a.Alias}
		if a.Outcome != probe.Found {
			values = append(values, "nothing")
		}
		for _, value := range a.Values {
			values = append(values, strconv.Quote(value))
		}
		slices.Sort(values)
		switch {
		case !ok:
			union, ok = values, true
		case everyServerCounts(rrtype):
			union = append(union, values...)
		case !slices.Equal(union, values):
			return 0, false
		}
	}
	slices.Sort(union)
	return maphash.String(seed, strings.Join(slices.Compact(union), " ")), ok
}

// everyServerCounts: a host that one name server has among its MX records is one that senders come to, so all are asked.
func everyServerCounts(rrtype string) bool { return rrtype == typeMX }

// viewOf is what the pass was shown; nil if that is not clear.
func viewOf(s *scope) *view {
	if s.unclear {
		return nil
	}
	v := &view{nameservers: s.provider.nameservers()}
	for question, seen := range s.sights {
		print, ok := printOf(question.rrtype, seen.answers)
		if seen.err != nil || !ok || leadsAway(question.rrtype, seen.answers) {
			return nil
		}
		v.rrsets = append(v.rrsets, shownRRset{question, seen.authority.Apex, print})
	}
	return v
}

// leadsAway reports whether what counts stands where an alias leads. Of a host the alias itself counts.
func leadsAway(rrtype string, answers []probe.Answer) bool {
	return (rrtype == dnsprovider.TypeTXT || rrtype == typeMX) && slices.ContainsFunc(answers, func(a probe.Answer) bool { return proves(a) && a.Alias != "" })
}
