package probe

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// Ask asks every address of every server for the records at name, without
// recursion, in parallel within bounds, over UDP and on truncation over TCP.
// rrtype is a mnemonic such as "TXT". The answers stand in the order of
// a.Servers and their addresses. A server of which not all addresses are known
// has one more Answer, with the zero Addr and the outcome Timeout.
func (p *Prober) Ask(ctx context.Context, a Authority, name, rrtype string) []Answer {
	var replies []reply
	if qtype, ok := dns.StringToType[strings.ToUpper(rrtype)]; ok {
		replies = p.askAll(ctx, a, name, qtype)
	} else {
		replies = questions(a)
		for i := range replies {
			replies[i].err = &silence{outcome: ServFail, detail: "not a DNS record type: " + rrtype}
		}
	}
	answers := make([]Answer, len(replies))
	for i, r := range replies {
		answers[i] = r.answer()
	}
	return answers
}

// reply is what came back from one address: a message or the reason for none.
type reply struct {
	server   string
	addr     netip.AddrPort
	question dns.Question
	msg      *dns.Msg
	err      error
}

func (r reply) answer() Answer {
	var a Answer
	var s *silence
	switch {
	case errors.As(r.err, &s):
		a = Answer{Outcome: s.outcome, Detail: s.detail}
	case r.err != nil:
		a = Answer{Outcome: Timeout}
	default:
		a = interpret(r.question, r.msg)
	}
	a.Server, a.Addr = r.server, r.addr
	return a
}

// questions lays out one reply per address, and one for what is not resolved.
func questions(a Authority) []reply {
	var replies []reply
	for _, s := range a.Servers {
		for _, addr := range s.Addrs {
			replies = append(replies, reply{server: s.Name, addr: addr})
		}
		if s.Unresolved != "" || len(s.Addrs) == 0 {
			replies = append(replies, reply{server: s.Name, err: &silence{outcome: Timeout, detail: s.Unresolved}})
		}
	}
	return replies
}

// askAll sends one question to all addresses.
func (p *Prober) askAll(ctx context.Context, a Authority, name string, qtype uint16) []reply {
	replies := questions(a)
	var group errgroup.Group
	group.SetLimit(parallel)
	for i := range replies {
		r := &replies[i]
		if r.err != nil {
			continue
		}
		group.Go(func() error {
			query := newQuery(name, qtype, false)
			r.question = query.Question[0]
			r.msg, r.err = p.exchange(ctx, r.addr.String(), query)
			return nil
		})
	}
	_ = group.Wait()
	return replies
}
