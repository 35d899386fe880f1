package simulate

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/simulate/sender"
)

// posts are many senders who write to the domain, each with the cache of its policies and that of its
// resolver. They only look at the world.
type posts struct {
	*sender.Population
	rng *rand.Rand
}

const senders = 48

func newPosts(seed uint64) *posts {
	rng := rand.New(rand.NewPCG(seed, 3))
	return &posts{sender.NewPopulation(rng, domain, senders, epoch), rng}
}

// post has the senders write until a time, up to which nothing else happens.
func (y *year) post(until time.Time) {
	w, began := y.w, y.w.now
	for y.posts.Next().Before(until) {
		w.now = y.posts.Next()
		looked := &internet{w: w}
		by, outcome := y.posts.Post(looked)
		w.Counts.Posted++
		if outcome == sender.Refused {
			y.refused(by, looked)
		}
	}
	w.now = began
}

// refused judges a message that its sender does not deliver to anybody.
func (y *year) refused(by *sender.Sender, looked *internet) {
	w, policy, hosts := y.w, by.Holds(y.w.now), by.Hosts()
	w.tell("sender", "refuses %v by %s: %v", hosts, inALine(policy.String()), looked.failed)
	switch {
	case slices.ContainsFunc(hosts, policy.Covers):
		w.Counts.LostToServers++ // the host's own trouble
	case y.loose(hosts):
		w.Counts.LostUnannounced++
		y.prolonged(*policy, hosts, looked)
	default:
		w.violated("mail is lost: a sender holds %q, and the MX records name %v, as announced", policy.String(), hosts)
	}
}

// internet implements sender.Internet for one message.
type internet struct {
	w      *World
	failed bool // something could not be had
}

var errNoAnswer = errors.New("no answer")

// TXT implements sender.Internet.
func (i *internet) TXT(name string) ([]string, time.Duration, error) { return i.ask(name) }

// MX implements sender.Internet.
func (i *internet) MX(name string) ([]string, time.Duration, error) {
	return i.ask(rrsetAt(name, typeMX))
}

func (i *internet) ask(at string) ([]string, time.Duration, error) {
	var live []*server
	for s := range i.w.names.live {
		live = append(live, s)
	}
	if len(live) == 0 || i.luck(200) == 0 {
		i.failed = true
		return nil, 0, errNoAnswer
	}
	outcome, values := i.w.names.content(live[i.luck(len(live))], at)
	if outcome != probe.Found {
		return nil, i.w.plan.negativeTTL, nil
	}
	return values, recordTTL, nil
}

func (i *internet) luck(n int) int { return i.w.year.posts.rng.IntN(n) }

// Policy implements sender.Internet.
func (i *internet) Policy(string) (string, error) {
	addrs, _, err := i.ask(rrsetAt(policyHost, "A"))
	if err != nil || len(addrs) == 0 || i.luck(20) == 0 {
		i.failed = true
		return "", errNoAnswer
	}
	at := netip.MustParseAddr(addrs[i.luck(len(addrs))])
	answer := probe.PolicyResult{}
	if slices.Contains(balancers, at) {
		answer = i.w.year.hosts.balance(i.luck).get(netip.AddrPortFrom(at, 443))
	}
	if answer.Outcome != probe.PolicyServed {
		i.failed = true
		return "", errNoAnswer
	}
	return answer.Body, nil
}

// Secure implements sender.Internet.
func (i *internet) Secure(host string) bool { return i.w.year.mx[host] == probe.MXValid }

// inALine is a policy in short.
func inALine(body string) string {
	p, err := mtasts.ParsePolicy(body)
	if err != nil {
		return "nothing"
	}
	return string(p.Mode) + " " + p.MaxAge.String() + " " + brief(p.MX)
}
