package signers

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/records"
	"github.com/maildomain/maildomain-operator/test/real"
)

const (
	theDomain   = "example.com"
	negativeTTL = 300 * time.Second // of the zones of test/real
)

// domain is one domain whose keys live as the operator has them live: on a clock of its own, in a
// zone of a real name server, and in a Secret that is mounted.
type domain struct {
	t        *testing.T
	now      time.Time
	policy   keys.Policy
	ring     keys.Keyring
	privates map[string][]byte
	server   string
	zone     dnsprovider.Zone
	volume   *volume
}

func newDomain(t *testing.T, specs ...keys.Spec) *domain {
	t.Helper()
	tsig := real.Key{Name: "a-key", Secret: "YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBvY3RldHMuLi4="}
	d := &domain{
		t:        t,
		now:      time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		policy:   keys.Policy{Keys: specs, Interval: 180 * 24 * time.Hour, Retention: 7 * 24 * time.Hour, Spread: theDomain},
		privates: map[string][]byte{},
		server:   real.BIND(t, tsig, real.Zone{Apex: theDomain}),
		volume:   newVolume(t),
	}
	var err error
	if d.zone, err = dnsprovider.NewRFC2136(dnsprovider.RFC2136Config{Server: d.server, Zone: theDomain, KeyName: tsig.Name, KeySecret: tsig.Secret}); err != nil {
		t.Fatal(err)
	}
	return d
}

// pass does after a while what the operator does in a pass: it makes the keys that are due, sees what
// the zone serves, and writes first the signer's Secret and then the zone.
func (d *domain) pass(after time.Duration) {
	d.t.Helper()
	d.now = d.now.Add(after)
	for _, spec := range keys.Due(d.ring, d.policy, d.now) {
		pair, err := keys.Generate(spec.Algorithm, spec.Bits)
		if err != nil {
			d.t.Fatal(err)
		}
		selector := keys.NewSelector("mail", d.now, func(s string) bool { return d.ring.Find(s) >= 0 })
		d.privates[selector] = pair.Private
		d.ring = append(d.ring, keys.Key{Name: spec.Name, Selector: selector, Algorithm: spec.Algorithm, Bits: spec.Bits, Record: pair.Record, Created: d.now})
	}
	d.publish()
	evidence := map[string]keys.Evidence{}
	for _, k := range d.ring {
		evidence[k.Selector] = d.look(k)
	}
	d.ring = keys.Advance(d.ring, d.policy, evidence, d.now).Ring
	if data := keys.SignerData(theDomain, d.ring, d.policy, d.privates); data != nil {
		d.volume.write(data)
	}
	d.publish()
}

// publish brings the zone to what the keyring wants.
func (d *domain) publish() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	for _, k := range d.ring {
		reading := d.zone.Read(ctx, records.DKIMSlot(theDomain, k.Selector).Key)[0]
		if reading.Err != nil {
			d.t.Fatal(reading.Err)
		}
		change := dnsprovider.Change{Seen: reading.RRset, TTL: time.Hour}
		wish := records.DKIM(k)
		if wish != "" && !slices.Contains(reading.RRset.Values(), wish) {
			change.Add = []string{wish}
		}
		for _, r := range reading.RRset.Records {
			if r.Value != wish {
				change.Remove = append(change.Remove, r)
			}
		}
		if err := d.zone.Apply(ctx, change)[0]; err != nil {
			d.t.Fatal(err)
		}
	}
}

// look is what the name server serves of the key.
func (d *domain) look(k keys.Key) keys.Evidence {
	d.t.Helper()
	reply, err := ask(d.server, records.DKIMSlot(theDomain, k.Selector).Name)
	if err != nil {
		d.t.Fatal(err)
	}
	sight := keys.Differs
	if got := texts(reply); len(got) == 1 && got[0] == k.Record {
		sight = keys.Serves
	}
	return keys.Evidence{
		Standing:    sight == keys.Serves,
		Witnesses:   []keys.Witness{{Server: "ns1." + theDomain, Addr: d.server, Sight: sight}},
		NegativeTTL: negativeTTL,
	}
}

// rotate lets time pass until the next scheduled rotation has come to its switch.
func (d *domain) rotate() {
	d.t.Helper()
	at, ok := keys.NextRotation(d.ring, d.policy)
	if !ok {
		d.t.Fatal("no rotation is scheduled")
	}
	d.pass(at.Sub(d.now))
	d.pass(negativeTTL)
}

// selector returns the selector of the one key of this name in this state.
func (d *domain) selector(name string, state keys.State) string {
	d.t.Helper()
	i := slices.IndexFunc(d.ring, func(k keys.Key) bool { return k.Name == name && k.State() == state })
	if i < 0 {
		d.t.Fatalf("no %s key is %s", name, state)
	}
	return d.ring[i].Selector
}
