package survey

import (
	"net/netip"
	"testing"

	"github.com/maildomain/maildomain-operator/probe"
)

// A silent address of an MX host never lets the host pass; one that is wrong makes it fail in any case.
func TestTLSOf(t *testing.T) {
	for name, c := range map[string]struct {
		outcomes []probe.MXOutcome
		known    bool
		offered  bool
		ok       bool
	}{
		"sound":                       {[]probe.MXOutcome{probe.MXValid}, true, true, true},
		"no route to one":             {[]probe.MXOutcome{probe.MXValid, probe.MXUnroutable}, true, true, true},
		"one is silent":               {[]probe.MXOutcome{probe.MXValid, probe.MXNoAnswer}, false, false, false},
		"all are silent":              {[]probe.MXOutcome{probe.MXNoAnswer}, false, false, false},
		"none can be reached":         {[]probe.MXOutcome{probe.MXUnroutable}, false, false, false},
		"none was asked":              {nil, false, false, false},
		"a bad certificate":           {[]probe.MXOutcome{probe.MXValid, probe.MXBadCertificate}, true, true, false},
		"a bad one, and one silent":   {[]probe.MXOutcome{probe.MXBadCertificate, probe.MXNoAnswer}, false, false, false},
		"no STARTTLS":                 {[]probe.MXOutcome{probe.MXValid, probe.MXNoSTARTTLS}, true, false, false},
		"no STARTTLS, and one silent": {[]probe.MXOutcome{probe.MXNoAnswer, probe.MXTLSFailed}, true, false, false},
	} {
		var a probe.MXAnswer
		for i, o := range c.outcomes {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 25)
			a.Results = append(a.Results, probe.MXResult{Addr: addr, Outcome: o, Detail: string(o)})
		}
		fact := TLSOf(a)
		got, known := fact.Get()
		if known != c.known || got.Offered != c.offered || got.OK != c.ok || known && !got.OK && got.Failure == "" || !known && fact.Cause() == "" {
			t.Errorf("%s: known %v, %+v (%s)", name, known, got, fact.Cause())
		}
	}
}
