package simulate

import (
	"net/netip"
	"time"

	"github.com/maildomain/maildomain-operator/probe"
)

// mailHosts are the hosts that a world's MX records may name.
var mailHosts = []string{"mx1.example.com", "mx2.example.com", "mx3.example.com", "in1.mail.example.net", "in2.mail.example.net"}

// mailservers are these hosts: what is wrong with whom; MXValid is nothing.
type mailservers map[string]probe.MXOutcome

func newMailservers() mailservers {
	m := mailservers{}
	for _, host := range mailHosts {
		m[host] = probe.MXValid
	}
	return m
}

// watchMX knows what the operator's process has seen of MX hosts. It asks as probe.MXWatch does: who passes is
// asked again after a day, who does not after an hour, two, four, up to a day. It implements
// controllers.MXProber.
type watchMX struct {
	w     *World
	hosts map[string]*watchedMX
}

type watchedMX struct {
	seen probe.MXSeen
	wait time.Duration
	busy bool
}

// Look implements controllers.MXProber.
func (m *watchMX) Look(_, host string) (probe.MXSeen, bool) {
	h := m.hosts[host]
	if h == nil {
		h = &watchedMX{}
		m.hosts[host] = h
	}
	if !m.w.now.Before(h.seen.Again) && !h.busy {
		h.busy = true
		m.w.in(m.w.uniform(time.Second, 30*time.Second), func() { m.probe(host, h) })
	}
	return h.seen, !h.seen.At.IsZero()
}

func (m *watchMX) probe(host string, h *watchedMX) {
	w := m.w
	outcome := w.year.mx[host]
	if w.now.Before(w.year.port25) || outcome == "" {
		outcome = probe.MXNoAnswer
	}
	result := probe.MXResult{Addr: netip.MustParseAddrPort("192.0.2.25:25"), Outcome: outcome, Detail: "as the world has it"}
	if outcome == probe.MXValid {
		result.Version, result.NotAfter = 0x0304, epoch.Add(2*365*24*time.Hour)
	}
	wait := 24 * time.Hour
	if outcome == probe.MXValid {
		h.wait = 0
	} else {
		h.wait = min(max(2*h.wait, time.Hour), 24*time.Hour)
		wait = h.wait
	}
	h.seen = probe.MXSeen{MXAnswer: probe.MXAnswer{Host: host, Results: []probe.MXResult{result}}, At: w.now, Again: w.now.Add(wait)}
	h.busy = false
}

// fails reports whether the operator has seen, since a time, that the host fails.
func (m *watchMX) fails(host string, before time.Time) bool {
	h := m.hosts[host]
	if h == nil || h.seen.At.IsZero() || h.seen.At.After(before) {
		return false
	}
	verdict, _ := h.seen.Verdict()
	return verdict == probe.MXFail
}
