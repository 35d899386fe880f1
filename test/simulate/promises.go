package simulate

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
)

// promises are what has to be remembered to judge a year. The senders of a world are a sample; so what any
// sender may hold, and from where a resolver may have the MX records, is reckoned as well.
type promises struct {
	ids      map[string]time.Time      // when a name server that answers last had the id
	means    map[string]string         // the policy that the id was announced for
	held     map[holding]time.Time     // until when a sender may hold a policy
	policies map[string]*mtasts.Policy // by body
	sets     map[string]*mxSet         // by their hosts
	specs    []spec                    // since the last announcement
	inForce  *mtasts.Policy            // as announced last; nil: none

	began     time.Time // the pass
	passes    []time.Time
	disturbed time.Time // when something last kept the operator from seeing
}

// holding is a policy that a sender may have got under an id. It is renewed when the id is seen.
type holding struct{ body, id string }

// mxSet are MX records as they stood at some time.
type mxSet struct {
	hosts []string
	loose bool      // they name what was not announced
	since time.Time // without a break
	seen  time.Time // when a name server last had them
}

// spec is what the owner has asked for.
type spec struct {
	mode   mtasts.Mode
	maxAge time.Duration
	mx     []string
}

func newPromises() promises {
	return promises{
		ids: map[string]time.Time{}, means: map[string]string{}, held: map[holding]time.Time{},
		policies: map[string]*mtasts.Policy{}, sets: map[string]*mxSet{},
	}
}

// policy parses a body once; nil: it is none.
func (p *promises) policy(body string) *mtasts.Policy {
	policy, known := p.policies[body]
	if !known {
		if parsed, err := mtasts.ParsePolicy(body); err == nil {
			policy = &parsed
		}
		p.policies[body] = policy
	}
	return policy
}

// asked is told of each change of spec.
func (y *year) asked(s *v1alpha1.MTASTSSpec) {
	if s == nil {
		y.specs = append(y.specs, spec{mode: mtasts.None, maxAge: day})
		return
	}
	y.specs = append(y.specs, spec{mtasts.Mode(s.Mode), s.MaxAgeOrDefault(), slices.Clone(s.MX)})
}

// begins notes a pass. There are not many where nothing has to be done: a pass for each change, and one for
// each poll.
func (y *year) begins() {
	w := y.w
	y.began = w.now
	y.passes = append(y.passes, w.now)
	for y.passes[0].Before(w.now.Add(-time.Hour)) {
		y.passes = y.passes[1:]
	}
	if most := 2*int(time.Hour/w.plan.poll) + 120; len(y.passes) > most {
		w.violated("the operator makes %d passes in an hour: it does not rest", len(y.passes))
	}
}

// setOf is what is known of MX records.
func (p *promises) setOf(list []string) *mxSet {
	key := strings.Join(list, " ")
	if p.sets[key] == nil {
		p.sets[key] = &mxSet{hosts: list}
	}
	return p.sets[key]
}

// loose reports whether MX records are not as announced.
func (p *promises) loose(list []string) bool { return p.setOf(list).loose }

// visible are the MX records that a resolver may have.
func (y *year) visible(set *mxSet) bool {
	return !set.seen.IsZero() && !y.w.now.After(set.seen.Add(recordTTL))
}

// observe notes what is true at this instant.
func (y *year) observe() {
	w := y.w
	for s := range w.names.live {
		if id := idOf(s.served["_mta-sts."+domain]); id != "" {
			y.ids[id] = w.now
		}
		if list := s.served[rrsetAt(domain, typeMX)]; len(list) > 0 {
			set := y.setOf(list)
			if !y.visible(set) {
				set.since = w.now
			}
			set.seen = w.now
		}
	}
	for id, seen := range y.ids {
		if w.now.After(seen.Add(recordTTL)) {
			delete(y.ids, id)
			continue
		}
		for _, r := range y.hosts.replicas {
			if r.server != nil && r.body != "" && r.secure() {
				y.held[holding{r.body, id}] = time.Time{} // the end comes below
			}
		}
	}
	for h, until := range y.held {
		_, visible := y.ids[h.id]
		switch policy := y.policy(h.body); {
		case policy == nil:
			delete(y.held, h)
		case visible:
			y.held[h] = w.now.Add(policy.MaxAge)
		case !w.now.Before(until):
			delete(y.held, h)
		}
	}
}

// idOf is the id of the one record among texts.
func idOf(texts []string) string {
	id := ""
	for _, text := range texts {
		record, err := mtasts.ParseRecord(text)
		switch {
		case !mtasts.IsRecord(text):
		case err != nil || id != "":
			return ""
		default:
			id = record.ID
		}
	}
	return id
}

// judge holds the world to what must be true at every instant.
func (y *year) judge() {
	w := y.w
	y.observe()
	for h := range y.held {
		policy := y.policy(h.body)
		if policy.Mode != mtasts.Enforce {
			continue
		}
		for _, set := range y.sets {
			if !set.loose && y.visible(set) && !slices.ContainsFunc(set.hosts, policy.Covers) {
				w.violated("a sender that holds %q, got under the id %s, can't deliver to %v, which was announced", h.body, h.id, set.hosts)
			}
		}
	}
	y.detected()
}

// detected judges that who moves MX records without a word hears of it at the next look.
func (y *year) detected() {
	w, md := y.w, y.w.cluster.objects
	domain, ok := md["MailDomain "+namespace+"/"+object].(*v1alpha1.MailDomain)
	blind := !ok || domain.Spec.MTASTS == nil || domain.Spec.Suspended() || w.operator.down || w.now.Before(w.names.cut) || w.busy ||
		!w.cluster.has("Secret", ledgerSecret) || domain.Status.ObservedGeneration != domain.Generation
	risky := false
	for _, set := range y.sets {
		if y.visible(set) && y.inForce != nil && y.inForce.Mode == mtasts.Enforce && slices.ContainsFunc(set.hosts, func(h string) bool { return !y.inForce.Covers(h) }) {
			risky = true
		} else if y.visible(set) {
			blind = true // some resolver has other MX records
		}
	}
	if _, known := y.announced(); blind || !risky || !known {
		y.disturbed = w.now
		return
	}
	if late := min(w.now.Sub(y.disturbed), w.now.Sub(w.names.cut)); late > w.plan.resync+30*time.Minute && !y.owner.told(v1alpha1.ReasonMailAtRisk) {
		w.violated("the MX records name what the policy does not cover, for %s, and nobody is told: %s", late, w.status())
	} else if y.owner.told(v1alpha1.ReasonMailAtRisk) {
		w.Counts.Detected++
	}
}

// announced is the policy whose id every name server that answers has.
func (y *year) announced() (mtasts.Policy, bool) {
	found := ""
	for s := range y.w.names.live {
		id := idOf(s.served["_mta-sts."+domain])
		if id == "" || found != "" && found != id {
			return mtasts.Policy{}, false
		}
		found = id
	}
	policy := y.policy(y.means[found])
	if policy == nil {
		return mtasts.Policy{}, false
	}
	return *policy, true
}

// prolonged judges mail that is lost as nobody said that the MX records move. Who can look again after the
// owner has mended it, and everybody has the new id, delivers. Until the id is a new one, for those who hold something
// else under it, it is not mended.
func (y *year) prolonged(held mtasts.Policy, hosts []string, looked *internet) {
	w := y.w
	policy, ok := y.announced()
	if !ok || looked.failed || !slices.ContainsFunc(hosts, policy.Covers) || len(y.ids) != 1 || !y.unmixed() {
		return
	}
	w.violated("mail is lost by %q, while %q is announced", held.String(), policy.String())
}

// change is told of each change that the operator makes in the zone, before it is made.
func (y *year) change(c dnsprovider.Change) {
	w := y.w
	stands := w.provider.zone[rrsetAt(c.Seen.Name, c.Seen.Type)]
	stays := slices.DeleteFunc(slices.Clone(stands), func(value string) bool {
		return slices.ContainsFunc(c.Remove, func(r dnsprovider.Record) bool { return r.Handle == value })
	})
	switch {
	case c.Seen.Name == policyHost && len(c.Add) == 0 && len(c.Remove) > 0 && len(c.Remove) == len(c.Seen.Records):
		y.unheld("the address of the policy host goes")
	case c.Seen.Name != "_mta-sts."+domain || w.provider.late:
	case len(c.Add) == 0 && len(stands) > 0 && len(stays) == 0:
		y.unheld("the record goes")
		y.inForce, y.specs = nil, y.specs[max(0, len(y.specs)-1):]
	case len(c.Add) > 0 && !slices.Contains(stands, c.Add[0]): // else it is out already, and reads don't show it
		y.announces(idOf(c.Add))
	}
}

// unheld judges an end: nobody may hold a policy.
func (y *year) unheld(what string) {
	for h, until := range y.held {
		if y.w.now.Before(until) && y.policy(h.body).Mode != mtasts.None {
			y.w.violated("%s, and for another %s a sender may hold %q", what, until.Sub(y.w.now), h.body)
		}
	}
}

// dropped is told of what a replica serves now in place of what it served.
func (y *year) dropped(r *replica, before, after string) {
	if before != "" && after == "" {
		y.unheld(r.String() + " serves no policy any more")
	}
}

// announces judges that the id is one of a policy that every replica serves, that somebody asked for, and
// that stops no mail.
func (y *year) announces(id string) {
	w := y.w
	body, again := y.means[id]
	for _, r := range y.hosts.replicas {
		switch {
		case r.server == nil:
		case body == "" && !again:
			body = r.body
		case r.body != body:
			w.violated("the id %s is announced for %q, and %s serves %q", id, body, r, r.body)
		}
	}
	policy := y.policy(body)
	if y.means[id] = body; !y.unmixed(id) {
		w.violated("the id %s is announced for %q, and a sender may hold something else under it: %v", id, body, y.held)
	}
	if policy == nil {
		w.violated("the id %s is announced, and nobody serves a policy", id)
	}
	asked := func(s spec) bool { return s.mode == policy.Mode && s.maxAge == policy.MaxAge && policy.CoversAll(s.mx) }
	// It stays, as what was to follow is held back; or it binds nobody, after a withdrawal whose end was not noted.
	stays := y.inForce != nil && y.inForce.String() == body || y.inForce == nil && policy.Mode == mtasts.None
	if !stays && !slices.ContainsFunc(y.specs, asked) {
		w.violated("%q is announced, and nobody has asked for it: %+v", body, y.specs)
	}
	if policy.Mode == mtasts.Enforce && (y.inForce == nil || y.inForce.Mode != mtasts.Enforce) {
		y.enters(policy)
	}
	w.Counts.Announced++
	y.inForce = policy
	if len(y.specs) > 8 {
		y.specs = y.specs[len(y.specs)-8:]
	}
}

// unmixed reports whether who holds something under the ids, or those that may be seen, holds what they were
// announced for.
func (y *year) unmixed(ids ...string) bool {
	if len(ids) == 0 {
		ids = slices.Collect(maps.Keys(y.ids))
	}
	for h, until := range y.held {
		if slices.Contains(ids, h.id) && y.w.now.Before(until) && h.body != y.means[h.id] {
			return false
		}
	}
	return true
}

// enters judges the way into mode enforce: the hosts of MX records that stood for long enough are covered, and none is known to
// fail.
func (y *year) enters(policy *mtasts.Policy) {
	w := y.w
	for _, set := range y.sets {
		if !y.visible(set) || set.since.After(y.began.Add(-2*recordTTL)) {
			continue
		}
		for _, host := range set.hosts {
			if !policy.Covers(host) {
				w.violated("mode enforce is announced with %v, and %s is in the MX records", policy.MX, host)
			}
			if y.watch != nil && y.watch.fails(host, y.began) {
				w.violated("mode enforce is announced, and %s is known to fail", host)
			}
		}
	}
}
