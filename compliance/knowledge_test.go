package compliance

import (
	"reflect"
	"slices"
	"testing"

	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"pgregory.net/rapid"
)

// With less knowledge a verdict stays, or becomes unknown: so a name server that is down, or one that
// an attacker keeps silent, never makes a domain pass.
func TestLessKnowledge(t *testing.T) {
	changed := 0
	rapid.Check(t, func(rt *rapid.T) {
		whole := drawFacts(rt, t)
		less := forget(rt, whole)
		for _, b := range Baselines() {
			before, after := Judge(b, whole), Judge(b, less)
			for i, v := range before.Verdicts {
				now := after.Verdicts[i].Outcome
				if now != v.Outcome && now != Unknown {
					rt.Fatalf("%s %s: %s (%s) becomes %s (%s)", b.Name, v.Control, v.Outcome, v.Seen, now, after.Verdicts[i].Seen)
				}
				if now != v.Outcome {
					changed++
				}
			}
			if before.Outcome != Pass && after.Outcome == Pass {
				rt.Fatalf("%s: %s becomes pass", b.Name, before.Outcome)
			}
		}
	})
	if changed == 0 {
		t.Error("no verdict has changed: nothing was tested")
	}
}

// drawFacts draws a world of which everything is known.
func drawFacts(rt *rapid.T, t *testing.T) Facts {
	f := sound(t)
	if rapid.Bool().Draw(rt, "parked") {
		f = parked(t)
	}
	f.Exists = Seen(rapid.Bool().Draw(rt, "exists"))
	f.KeysBelow = Seen(rapid.Bool().Draw(rt, "keysBelow"))
	switch rapid.IntRange(0, 3).Draw(rt, "mx") {
	case 0:
		f.MX = Seen(MX{Null: true})
	case 1:
		f.MX = Seen(MX{})
	case 2:
		var mx MX
		for _, name := range []string{"mx1.example.com", "mx2.example.net"} {
			tls := TLS{OK: rapid.Bool().Draw(rt, "tls")}
			if tls.Offered = tls.OK || rapid.Bool().Draw(rt, "offered"); !tls.OK {
				tls.Failure = "it fails"
			}
			mx.Hosts = append(mx.Hosts, Host{Name: name, IPv6: Seen(rapid.Bool().Draw(rt, "ipv6")), TLS: Seen(tls)})
		}
		f.MX = Seen(mx)
	}
	if rapid.Bool().Draw(rt, "otherSPF") {
		record := rapid.SampledFrom([]string{"v=spf1 ?all", "v=spf1 mx ~all", "v=spf1 redirect=a.example", "v=spf1 nonsense"}).Draw(rt, "record")
		end := rapid.SampledFrom([]spf.Result{spf.Fail, spf.SoftFail, spf.Neutral, spf.Pass}).Draw(rt, "end")
		f.SPF = Seen(SPF{Records: []string{record}, RedirectEnd: Seen(end)})
	}
	keys := []string{rsaRecord(1024), rsaRecord(2048), edRecord(), "v=DKIM1; p=", "nonsense"}
	if rapid.Bool().Draw(rt, "otherKeys") {
		var list []Selector
		for _, name := range []string{"a", "b"}[:rapid.IntRange(0, 2).Draw(rt, "selectors")] {
			list = append(list, Selector{name, Seen([]string{rapid.SampledFrom(keys).Draw(rt, "key")})})
		}
		f.Selectors = Seen(list)
	}
	f.NullKey = Seen([]string{rapid.SampledFrom(keys).Draw(rt, "null")})
	if rapid.Bool().Draw(rt, "otherDMARC") {
		text := rapid.SampledFrom([]string{
			"v=DMARC1; p=none", "v=DMARC1; p=reject; t=y", "v=DMARC1; p=reject; sp=none; rua=mailto:a@example.com", "v=DMARC1; p=none; sp=reject; np=none",
		}).Draw(rt, "dmarc")
		f.DMARC = discovery(t, "example.com", rapid.SampledFrom([]string{"example.com", "com"}).Draw(rt, "at"), text)
		f.Destinations = Seen([]dmarc.Destination{{Host: "example.net", External: true, Agrees: rapid.Bool().Draw(rt, "agrees")}})
	}
	if rapid.Bool().Draw(rt, "otherPolicy") {
		f.Policy = policyOf(rapid.SampledFrom([]mtasts.Mode{mtasts.Enforce, mtasts.Testing}).Draw(rt, "mode"), "mx1.example.com")
		f.MTASTS = Seen([]string{"v=STSv1; id=1", "v=STSv1; id=2"}[:rapid.IntRange(0, 2).Draw(rt, "sts")])
		f.TLSRPT = Seen([]string{"v=TLSRPTv1; rua=mailto:t@example.net"}[:rapid.IntRange(0, 1).Draw(rt, "rpt")])
	}
	return f
}

// forget returns the facts without some of them.
func forget(rt *rapid.T, f Facts) Facts {
	dark := func(what string) bool { return rapid.Bool().Draw(rt, "forget "+what) }
	if selectors, known := f.Selectors.Get(); known {
		selectors = slices.Clone(selectors)
		for i := range selectors {
			if dark("a key") {
				selectors[i].Texts = Unseen[[]string]("dark")
			}
		}
		f.Selectors = Seen(selectors)
	}
	if mx, known := f.MX.Get(); known {
		mx.Hosts = slices.Clone(mx.Hosts)
		for i := range mx.Hosts {
			if dark("TLS") {
				mx.Hosts[i].TLS = Unseen[TLS]("dark")
			}
			if dark("IPv6") {
				mx.Hosts[i].IPv6 = Unseen[bool]("dark")
			}
		}
		f.MX = Seen(mx)
	}
	if s, known := f.SPF.Get(); known {
		if dark("redirect") {
			s.RedirectEnd = Unseen[spf.Result]("dark")
		}
		if dark("a term of SPF") {
			s.Analysis.Unanswered = append(slices.Clone(s.Analysis.Unanswered), "dark")
		}
		f.SPF = Seen(s)
	}
	// Every fact of Facts, those that are added one day too.
	v := reflect.ValueOf(&f).Elem()
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.Type.Kind() == reflect.Struct && rapid.IntRange(0, 3).Draw(rt, "forget "+field.Name) == 0 {
			v.Field(i).SetZero()
		}
	}
	return f
}
