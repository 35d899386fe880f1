package controllers

import (
	"context"
	"slices"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/probe"
)

// lookHost asks where the name leads by the authoritative servers of its zone. The values of the answers
// are records in words, such as "A 192.0.2.1": a CNAME, or all addresses.
func (r *Reconciler) lookHost(ctx context.Context, s *scope, name string) sight {
	nameservers := s.provider.nameservers()
	four := lookFor(ctx, s, name, dnsprovider.TypeA, nameservers)
	if four.err != nil {
		return four
	}
	six, both := four, four
	six.answers = s.prober.Ask(ctx, four.authority, name, dnsprovider.TypeAAAA)
	s.sights[asked{name, dnsprovider.TypeAAAA, len(nameservers) > 0}] = six
	both.answers = make([]probe.Answer, len(four.answers))
	for i := range both.answers {
		both.answers[i] = hostAnswer(four.answers[i], six.answers[i])
	}
	return both
}

// hostAnswer puts together what one server says of both families. Half an answer is none.
func hostAnswer(four, six probe.Answer) probe.Answer {
	switch {
	case !proves(four):
		return four
	case !proves(six):
		return six
	}
	both := four
	both.Values, both.Alias, both.TTL = nil, "", max(four.TTL, six.TTL)
	for kind, a := range map[string]probe.Answer{dnsprovider.TypeA: four, dnsprovider.TypeAAAA: six} {
		if a.Outcome == probe.Found {
			both.Outcome = probe.Found
		}
		if a.Alias != "" {
			both.Values = append(both.Values, dnsprovider.TypeCNAME+" "+a.Alias)
		}
		for _, value := range a.Values {
			both.Values = append(both.Values, kind+" "+value)
		}
	}
	both.Values = distinct(both.Values)
	return both
}

// leads reports whether the answer has exactly the targets.
func leads(targets dnsprovider.Targets) func(probe.Answer) bool {
	wanted := typed(targets)
	return func(a probe.Answer) bool { return proves(a) && slices.Equal(a.Values, wanted) }
}

// hostSets puts together what the servers serve in the form that dnsprovider.DecideHost wants.
func hostSets(name string, seen sight) []dnsprovider.RRset {
	found := targetsOf(seen.values())
	sets := make([]dnsprovider.RRset, 0, 3)
	for _, key := range dnsprovider.HostKeys(name) {
		set := dnsprovider.RRset{Key: key}
		for _, value := range found[key.Type] {
			set.Records = append(set.Records, dnsprovider.Record{Value: value})
		}
		sets = append(sets, set)
	}
	return sets
}

// hostQuiet is quiet for the policy host.
func hostQuiet(entries []ledger.Entry, w hostWish, seen sight) bool {
	if len(w.targets) == 0 {
		return len(entries) == 0
	}
	wanted := typed(w.targets)
	var known []string
	for _, e := range entries {
		if !e.Settled {
			return false
		}
		known = append(known, e.Type+" "+e.Value)
	}
	if slices.Sort(known); !slices.Equal(known, wanted) {
		return false
	}
	answered, shown := false, false
	for _, a := range seen.answers {
		answered = answered || proves(a)
		shown = shown || leads(w.targets)(a)
	}
	foreign := slices.ContainsFunc(seen.values(), func(word string) bool { return !slices.Contains(wanted, word) })
	return (shown || !answered) && !foreign
}
