package sender

import (
	"slices"
	"time"

	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
)

// Internet is what there is to ask at an instant. An error is no answer, which says nothing.
type Internet interface {
	// TXT returns the TXT records at a name, none if there are none, and for how long a resolver may
	// remember that.
	TXT(name string) (texts []string, ttl time.Duration, err error)
	// MX returns the hosts of a domain's MX records, the preferred first, and likewise.
	MX(domain string) (hosts []string, ttl time.Duration, err error)
	// Policy returns what https://mta-sts.<domain>/.well-known/mta-sts.txt serves, with a valid
	// certificate and status 200.
	Policy(domain string) (body string, err error)
	// Secure reports whether an MX host offers TLS as RFC 8461 §4.2 wants it.
	Secure(host string) bool
}

// Outcome is what becomes of a message.
type Outcome string

const (
	Delivered Outcome = "Delivered"
	Reported  Outcome = "Reported" // delivered, although a policy in mode testing forbids it
	Deferred  Outcome = "Deferred" // the MX records can't be had now
	Refused   Outcome = "Refused"  // the policy allows none of the hosts, and there is no other: bounced, if it stays so
)

// Habits are where senders differ.
type Habits struct {
	// Asks says that the record is looked at for each message; else only without a policy, or before a
	// message is refused (RFC 8461 §5.1).
	Asks bool
	// Renews says that a policy lasts for its max_age from each time that its id was seen unchanged, not
	// only from when it was fetched. postfix-mta-sts-resolver does so.
	Renews bool
}

// Sender is one who sends mail to one domain, with the cache of its resolver and that of its
// policies.
type Sender struct {
	Domain string
	Habits Habits

	policy *held
	txt    remembered
	mx     remembered
}

// held is a policy in the cache.
type held struct {
	mtasts.Policy
	id   string
	from time.Time
}

// remembered is an answer in the cache of a resolver.
type remembered struct {
	values []string
	until  time.Time
}

// Deliver sends one message (RFC 8461 §5.1). No policy is known to be outdated before DNS says so: a
// message is refused only after another look.
func (s *Sender) Deliver(world Internet, now time.Time) Outcome {
	if s.Holds(now) == nil || s.Habits.Asks {
		s.discover(world, now)
	}
	outcome := s.try(world, now)
	if outcome == Refused {
		s.discover(world, now)
		outcome = s.try(world, now)
	}
	return outcome
}

// Holds returns the policy that is in force for the sender; nil: none.
func (s *Sender) Holds(now time.Time) *mtasts.Policy {
	if s.policy == nil || !now.Before(s.policy.from.Add(s.policy.MaxAge)) {
		return nil
	}
	return &s.policy.Policy
}

// Hosts returns what the sender's resolver last found as the hosts of the MX records.
func (s *Sender) Hosts() []string { return s.mx.values }

// discover looks for a policy (RFC 8461 §3.3). Whatever fails, one that is held stays in force.
func (s *Sender) discover(world Internet, now time.Time) {
	texts, ok := s.txt.ask(now, func() ([]string, time.Duration, error) { return world.TXT("_mta-sts." + s.Domain) })
	if !ok {
		return
	}
	texts = slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return !mtasts.IsRecord(text) })
	if len(texts) != 1 {
		return
	}
	record, err := mtasts.ParseRecord(texts[0])
	if err != nil {
		return
	}
	if s.Holds(now) != nil && s.policy.id == record.ID {
		if s.Habits.Renews {
			s.policy.from = now
		}
		return
	}
	body, err := world.Policy(s.Domain)
	if err != nil {
		return
	}
	if policy, err := mtasts.ParsePolicy(body); err == nil {
		s.policy = &held{policy, record.ID, now}
	}
}

// try goes through the hosts with the policy that is held.
func (s *Sender) try(world Internet, now time.Time) Outcome {
	hosts, ok := s.mx.ask(now, func() ([]string, time.Duration, error) { return world.MX(s.Domain) })
	if !ok || len(hosts) == 0 {
		return Deferred
	}
	policy := s.Holds(now)
	if policy == nil || policy.Mode == mtasts.None {
		return Delivered
	}
	if slices.ContainsFunc(hosts, func(host string) bool { return policy.Covers(host) && world.Secure(host) }) {
		return Delivered
	}
	if policy.Mode == mtasts.Testing {
		return Reported
	}
	return Refused
}

// ask returns what is remembered, or the answer of the world, which is remembered; false: there is none.
func (r *remembered) ask(now time.Time, world func() ([]string, time.Duration, error)) ([]string, bool) {
	if now.Before(r.until) {
		return r.values, true
	}
	values, ttl, err := world()
	if err != nil {
		return nil, false
	}
	*r = remembered{values, now.Add(ttl)}
	return values, true
}
