package controllers

import (
	"testing"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/probe"
)

// shown are answers of one server each: the records that it has, in words; nil: it gives no answer.
func shown(servers ...[]string) sight {
	var seen sight
	for _, words := range servers {
		outcome := probe.Found
		if words == nil {
			outcome = probe.Timeout
		}
		seen.answers = append(seen.answers, probe.Answer{Outcome: outcome, Values: words})
	}
	return seen
}

// The provider is asked only where there is something to do (Law 14).
func TestWhatIsQuiet(t *testing.T) {
	settled := []ledger.Entry{{Type: "A", Value: "192.0.2.1", Settled: true}}
	ours, theirs := []string{"A 192.0.2.1"}, []string{"A 192.0.2.9"}
	for _, c := range []struct {
		name    string
		entries []ledger.Entry
		targets []string
		seen    sight
		want    bool
	}{
		{"stands", settled, ours, shown(ours), true},
		{"one server is behind", settled, ours, shown(ours, []string{}), true},
		{"another's beside ours", settled, ours, shown([]string{"A 192.0.2.1", "A 192.0.2.9"}), false},
		{"another's at one server", settled, ours, shown(ours, theirs), false},
		{"gone", settled, ours, shown([]string{}), false},
		{"no answer", settled, ours, shown(nil), true},
		{"another wish", settled, theirs, shown(ours), false},
		{"an intent", []ledger.Entry{{Type: "A", Value: "192.0.2.1"}}, ours, shown(ours), false},
		{"another's that is as wanted", nil, ours, shown(ours), false},
		{"nothing wanted, nothing there by our hand", nil, nil, shown(theirs), true},
		{"nothing wanted, ours is there", settled, nil, shown(ours), false},
	} {
		if got := hostQuiet(c.entries, hostWish{targets: targetsOf(c.targets)}, c.seen); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// With Auto another's record is as good as ours, where the policy is seen to be served through it.
func TestWhoLeadsElsewhere(t *testing.T) {
	ours, theirs := []string{"A 192.0.2.1"}, []string{"CNAME lb.example"}
	for _, c := range []struct {
		name    string
		entries []ledger.Entry
		state   mtastsState
		seen    sight
		want    bool
	}{
		{"another's, and the policy is seen", nil, mtastsState{proven: true}, shown(theirs), true},
		{"the policy is not seen", nil, mtastsState{}, shown(theirs), false},
		{"the replicas do not serve the next one yet", nil, mtastsState{unasked: true}, shown(theirs), true},
		{"the replicas alone were asked", nil, mtastsState{proven: true, unseen: true}, shown(theirs), false},
		{"as wanted", nil, mtastsState{proven: true}, shown(ours), false},
		{"ours stood there", []ledger.Entry{{Type: "A", Value: "192.0.2.1", Settled: true}}, mtastsState{proven: true}, shown(theirs), false},
	} {
		s := &scope{mtasts: c.state}
		if got := s.leadsElsewhere(&hostJob{hostWish: hostWish{targets: dnsprovider.Targets{"A": {"192.0.2.1"}}}, seen: c.seen}, c.entries); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
