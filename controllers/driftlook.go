package controllers

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/maildomain/maildomain-operator/probe"
)

// checkTime is how long a check may take, however slow a zone is. What could not be asked by then is looked at in a pass.
const checkTime = 15 * time.Second

// stands reports whether DNS shows what it did. That somebody could not be asked is no yes: a pass finds out more.
func (w *DriftWatch) stands(ctx context.Context, v *view, turn uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	type zone struct {
		apex       string
		configured bool
	}
	zones := map[zone]*inTurn{}
	for _, before := range v.rrsets {
		at := zone{before.apex, before.configured}
		if zones[at] == nil {
			zones[at] = &inTurn{prober: w.Prober, apex: at.apex, turn: turn}
			if at.configured {
				zones[at].nameservers = v.nameservers
			}
		}
		answers, err := zones[at].ask(ctx, before.name, before.rrtype)
		if err != nil {
			return false
		}
		if now, ok := printOf(before.rrtype, answers); !ok || now != before.print {
			return false
		}
	}
	return ctx.Err() == nil
}

// inTurn asks one server of a zone, which is the next one that there is a way to.
type inTurn struct {
	prober      ServerProber
	apex        string
	nameservers []string
	turn        uint64
	server      *probe.Server // the one; nil: not found yet
}

func (z *inTurn) ask(ctx context.Context, name, rrtype string) (answers []probe.Answer, err error) {
	switch {
	case everyServerCounts(rrtype):
		return z.askAll(ctx, name, rrtype)
	case z.server != nil:
		return z.askThese(ctx, name, rrtype, *z.server), nil
	}
	for server, err := range z.prober.InTurn(ctx, z.apex, z.nameservers, z.turn) {
		if err != nil {
			return nil, err
		}
		for _, addr := range server.Addrs {
			one := probe.Server{Name: server.Name, Addrs: []netip.AddrPort{addr}}
			if answers = z.askThese(ctx, name, rrtype, one); !slices.ContainsFunc(answers, unroutable) {
				z.server = &one
				return answers, nil
			}
		}
	}
	return answers, nil
}

func (z *inTurn) askAll(ctx context.Context, name, rrtype string) ([]probe.Answer, error) {
	var all []probe.Server
	for server, err := range z.prober.InTurn(ctx, z.apex, z.nameservers, z.turn) {
		if err != nil {
			return nil, err
		}
		all = append(all, server)
	}
	return z.askThese(ctx, name, rrtype, all...), nil
}

func (z *inTurn) askThese(ctx context.Context, name, rrtype string, servers ...probe.Server) []probe.Answer {
	return z.prober.Ask(ctx, probe.Authority{Apex: z.apex, Servers: servers}, name, rrtype)
}

func unroutable(a probe.Answer) bool { return a.Outcome == probe.Unroutable }
