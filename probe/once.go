package probe

import (
	"context"
	"sync"

	"github.com/miekg/dns"
)

// Once returns a resolver of the same servers that asks each question once and keeps what came of
// it, also that nobody answered: for one look at the world, whose parts must not contradict each
// other. Who asks first decides by its context how long the answer is waited for; who asks the same
// meanwhile waits with it.
func (r *Resolver) Once() *Resolver {
	once := *r
	once.kept = &kept{answers: map[question]*keptAnswer{}}
	return &once
}

type question struct {
	name   string // canonical
	rrtype uint16
}

// kept is what has come of each question.
type kept struct {
	mu      sync.Mutex
	answers map[question]*keptAnswer
}

type keptAnswer struct {
	done sync.Once
	msg  *dns.Msg // read, never changed
	err  error
}

func (k *kept) ask(q question, ask func() (*dns.Msg, error)) (*dns.Msg, error) {
	k.mu.Lock()
	one := k.answers[q]
	if one == nil {
		one = &keptAnswer{}
		k.answers[q] = one
	}
	k.mu.Unlock()
	one.done.Do(func() { one.msg, one.err = ask() })
	return one.msg, one.err
}

// Once returns a Prober for one look at the world, as Resolver.Once does: it finds out once where the zones are cut and who
// serves each of them. What the servers give for a name they are asked anew each time, also after a change.
func (p *Prober) Once() *Prober {
	once := *p
	once.resolver = p.resolver.Once()
	once.kept = &keptZones{zones: map[string]*keptZone{}}
	return &once
}

// keptZones are the zones that were found by delegation, by apex.
type keptZones struct {
	mu    sync.Mutex
	zones map[string]*keptZone
}

type keptZone struct {
	done      sync.Once
	authority Authority // read, never changed
	err       error
}

func (k *keptZones) of(apex string, find func() (Authority, error)) (Authority, error) {
	k.mu.Lock()
	one := k.zones[apex]
	if one == nil {
		one = &keptZone{}
		k.zones[apex] = one
	}
	k.mu.Unlock()
	one.done.Do(func() { one.authority, one.err = find() })
	return one.authority, one.err
}

// Exists reports whether DNS knows the name: that the answer is not NXDOMAIN (RFC 2308 §2.1). What
// stands there, or below, does not matter (RFC 8020); but aliases must end somewhere. It asks for TXT.
func (r *Resolver) Exists(ctx context.Context, name string) (bool, error) {
	if _, err := r.lookup(ctx, name, dns.TypeTXT); err == nil || !isNotFound(err) {
		return err == nil, err
	}
	name = canonical(name)
	msg, err := r.ask(ctx, name, dns.TypeTXT)
	if err != nil {
		return false, err
	}
	// With an alias the code is about its target (RFC 6604 §3), and the alias is there.
	return msg.Rcode != dns.RcodeNameError || len(recordsAt(msg.Answer, name, dns.TypeCNAME)) > 0, nil
}

// Alias returns the target of the CNAME that stands at the name; "" without one. It asks for TXT, so that
// after a look for texts, and with Once, it costs nothing.
func (r *Resolver) Alias(ctx context.Context, name string) (string, error) {
	name = canonical(name)
	msg, err := r.ask(ctx, name, dns.TypeTXT)
	if err != nil {
		return "", err
	}
	if alias := recordsAt(msg.Answer, name, dns.TypeCNAME); len(alias) > 0 {
		return value(alias[0]), nil
	}
	return "", nil
}
