package cli

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/maildomain/maildomain-operator/compliance"
)

// A DNS that is broken, slow, lying or looping makes a verdict unknown, with the cause; never a pass, and
// never later than --timeout.
func TestCheckHostile(t *testing.T) {
	reply := func(change func(m, req *dns.Msg)) func(dns.ResponseWriter, *dns.Msg) bool {
		return func(w dns.ResponseWriter, req *dns.Msg) bool {
			m := new(dns.Msg).SetReply(req)
			m.RecursionAvailable = true
			change(m, req)
			_ = w.WriteMsg(m)
			return true
		}
	}
	code := func(rcode int) func(dns.ResponseWriter, *dns.Msg) bool {
		return reply(func(m, _ *dns.Msg) { m.Rcode = rcode })
	}
	alias := func(owner, target string) dns.RR {
		return &dns.CNAME{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 60}, Target: target}
	}
	txt := func(owner, text string) dns.RR {
		return &dns.TXT{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: []string{text}}
	}
	const good = "v=spf1 -all" // what a liar would have believed
	for name, answer := range map[string]func(dns.ResponseWriter, *dns.Msg) bool{
		"silent":        func(dns.ResponseWriter, *dns.Msg) bool { return true },
		"SERVFAIL":      code(dns.RcodeServerFailure),
		"REFUSED":       code(dns.RcodeRefused),
		"NOTAUTH":       code(dns.RcodeNotAuth),
		"not recursive": reply(func(m, _ *dns.Msg) { m.RecursionAvailable = false }),
		"a referral to itself": reply(func(m, req *dns.Msg) {
			m.RecursionAvailable = false
			m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: "test.", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 60}, Ns: "ns1.test."}}
		}),
		"another's id":    reply(func(m, req *dns.Msg) { m.Id++; m.Answer = []dns.RR{txt(req.Question[0].Name, good)} }),
		"another's name":  reply(func(m, _ *dns.Msg) { m.Question[0].Name = "other.test."; m.Answer = []dns.RR{txt("other.test.", good)} }),
		"always cut off":  reply(func(m, _ *dns.Msg) { m.Truncated = true }),
		"a circle":        reply(func(m, req *dns.Msg) { m.Answer = []dns.RR{alias(req.Question[0].Name, req.Question[0].Name)} }),
		"endless aliases": reply(func(m, req *dns.Msg) { m.Answer = []dns.RR{alias(req.Question[0].Name, longer(req.Question[0].Name))} }),
		"garbage": func(w dns.ResponseWriter, req *dns.Msg) bool {
			_, _ = w.Write([]byte{byte(req.Id >> 8), byte(req.Id), 0x80, 0, 0, 1, 0, 200, 0, 0, 0, 0, 0xc0, 0x0c})
			return true
		},
		"half an answer": func(w dns.ResponseWriter, req *dns.Msg) bool {
			m := new(dns.Msg).SetReply(req)
			m.RecursionAvailable = true
			m.Answer = []dns.RR{txt(req.Question[0].Name, good)}
			wire, err := m.Pack()
			if err != nil {
				return true
			}
			wire[7] = 2 // of which one is missing
			_, _ = w.Write(wire)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.sound()
			liar := between(t, p.dns.Addr(), answer)
			p.asked = liar.Addr
			began := time.Now()
			r, exit := p.check("--selector", "s1", "--baseline", "all", "--timeout", "1s")
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %s", took)
			}
			if exit != ExitUnknown || r.Outcome != compliance.Unknown || len(r.Unknown) == 0 {
				t.Errorf("exit code %d, %s, %q, findings %s", exit, r.Outcome, r.Unknown, r.codes())
			}
			for _, b := range r.Baselines {
				for _, v := range b.Verdicts {
					if v.Outcome != compliance.Unknown || v.Seen == "" {
						t.Errorf("%s %s: %s %q", b.Baseline, v.Control, v.Outcome, v.Seen)
					}
				}
			}
			if _, total := liar.twice(); total > 200 {
				t.Errorf("asked %d questions", total)
			}
		})
	}
}

// longer is another name that nobody has asked for.
func longer(name string) string {
	if len(name) > 200 {
		name = "x.test."
	}
	return "a" + name
}

// A record that leads on without end is one that fails, after a bounded number of questions.
func TestCheckEndless(t *testing.T) {
	p := newPlace(t)
	p.sound()
	var count atomic.Int64
	endless := between(t, p.dns.Addr(), func(w dns.ResponseWriter, req *dns.Msg) bool {
		q := req.Question[0]
		if q.Qtype != dns.TypeTXT || !strings.HasSuffix(q.Name, ".far.test.") && q.Name != "example.test." {
			return false
		}
		n := count.Add(1)
		m := new(dns.Msg).SetReply(req)
		m.RecursionAvailable = true
		m.Answer = []dns.RR{&dns.TXT{
			Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60},
			Txt: []string{fmt.Sprintf("v=spf1 include:%da.far.test include:%db.far.test redirect=%dc.far.test", n, n, n)},
		}}
		_ = w.WriteMsg(m)
		return true
	})
	p.asked = endless.Addr
	r, exit := p.check("--selector", "s1", "--baseline", "NZ-SGE")
	_, total := endless.twice()
	if exit != ExitFail || !strings.Contains(r.codes(), "SPF-LOOKUPS-EXCEEDED") || total > 100 {
		t.Errorf("exit code %d, %d questions, %s", exit, total, r.codes())
	}
}

// Whichever one question gets no answer: each verdict is what it is with it, or unknown.
func TestCheckOneSilent(t *testing.T) {
	p := newPlace(t)
	p.sound()
	counter := between(t, p.dns.Addr(), nil)
	p.asked = counter.Addr
	whole, _ := p.check("--selector", "s1", "--baseline", "all")
	questions := counter.questions()
	verdicts := 0
	for _, silent := range questions {
		p.asked = between(t, p.dns.Addr(), func(w dns.ResponseWriter, req *dns.Msg) bool {
			q := req.Question[0]
			if strings.ToLower(q.Name)+" "+dns.TypeToString[q.Qtype] != silent {
				return false
			}
			_ = w.WriteMsg(new(dns.Msg).SetRcode(req, dns.RcodeServerFailure))
			return true
		}).Addr
		less, _ := p.check("--selector", "s1", "--baseline", "all")
		for i, b := range less.Baselines {
			for j, v := range b.Verdicts {
				switch was := whole.Baselines[i].Verdicts[j].Outcome; {
				case v.Outcome == was:
				case v.Outcome != compliance.Unknown:
					t.Errorf("without an answer about %s: %s %s was %s and is %s (%s)", silent, b.Baseline, v.Control, was, v.Outcome, v.Seen)
				default:
					verdicts++
				}
			}
		}
		if findings := less.codes(); findings != "" {
			t.Errorf("without an answer about %s there are findings: %s", silent, findings)
		}
	}
	if verdicts < len(questions) {
		t.Errorf("%d verdicts became unknown by %d questions", verdicts, len(questions))
	}
}
