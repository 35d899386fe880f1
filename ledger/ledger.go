// Package ledger is the operator's own memory of one MailDomain: what it wrote to DNS and
// meant to write, the keyring, what it promised to senders, and what it was asked and did.
//
// It, not status, is the truth: a restored backup has no status. A value that is not in the
// ledger is foreign and is never touched. So an entry is made before the write as an intent,
// and settled after the read-back.
package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
)

// Version is the version of the stored form. A newer one is not read.
const Version = 1

// Ledger is what is stored, without private keys.
type Ledger struct {
	Version int    `json:"version"`
	Domain  string `json:"domain"`

	Entries []Entry      `json:"entries,omitempty"`
	Keyring keys.Keyring `json:"keyring,omitempty"`
	MTASTS  *MTASTS      `json:"mtaSTS,omitempty"`
	MX      MX           `json:"mx,omitzero"`

	// PolicyID is the id of the MTA-STS policy that was announced last, once it is withdrawn: caches may have
	// it, so the next one is made of it.
	PolicyID string `json:"policyID,omitempty"`

	// ThirdParty is there for as long as spec has somebody else serve the MTA-STS policy.
	ThirdParty *ThirdParty `json:"thirdParty,omitempty"`

	// Signers are the Secrets that the domain's signers mount.
	Signers []Signer `json:"signers,omitempty"`

	// Proof is a secret that the stored claim of the domain knows by its hash: a ledger that does
	// not have it is not the one that the claim was made with.
	Proof string `json:"proof,omitempty"`

	Spec SpecSeen `json:"spec,omitzero"`

	// Silent says since when an address of a name server gives no answer that is waited for: about a
	// selector that is to be taken, or an id that is to be seen.
	Silent map[string]time.Time `json:"silent,omitempty"`

	// DMARC is how long receivers may go on to demand the signatures of keys that are to go.
	DMARC DMARC `json:"dmarc,omitzero"`

	// Jumped is when the clock was seen to go forward by itself: what the keyring waits for is counted
	// anew from then.
	Jumped time.Time `json:"jumped,omitzero"`

	// Switched is what a person last said of the signer.
	Switched keys.Confirmation `json:"switched,omitzero"`

	// Handled holds the annotation values that were acted on, by annotation.
	Handled map[string]string `json:"handled,omitempty"`
}

// Entry is one value that was written, or was about to be.
type Entry struct {
	// Zone is the apex of the zone that it was written to: where a name has moved to another zone,
	// what stands there is not ours. Empty in an older ledger: it counts for the zone in which it
	// is first seen standing.
	Zone    string `json:"zone,omitempty"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Purpose string `json:"purpose"`
	Value   string `json:"value"`
	Settled bool   `json:"settled,omitempty"` // read back
}

// MTASTS is what senders were told, and what they may have fetched.
type MTASTS struct {
	// Policy is the body that is announced. Empty: none is.
	Policy string `json:"policy"`
	// ID is the id of the policy that was announced last. Empty: none was.
	ID string `json:"id"`
	// Astray says that another policy was served while ID was out, or may have been: who fetched that under ID
	// does not come again for as long as it sees ID. So Policy needs another one, if it is to stay.
	Astray bool `json:"astray,omitempty"`
	// Served are the hashes of what was to be served, in this order. Again says that the last of them was
	// there before.
	Served []string `json:"served,omitempty"`
	Again  bool     `json:"again,omitempty"`
	// Since is when Policy was announced.
	Since time.Time `json:"since,omitzero"`
	// Testing is since when the announced policies have had mode testing. Zero: it is another, or an older
	// ledger.
	Testing time.Time `json:"testing,omitzero"`
	// Held are the other policies that senders may hold, in the order in which they were first served.
	Held []HeldPolicy `json:"held,omitempty"`
	// Until is when the last sender forgets the policies that were served and are not among Held:
	// those of another holder of the domain, and the oldest of very many.
	Until time.Time `json:"until,omitzero"`
	// TLSSecret is the Secret with the certificate that the policies are served with.
	TLSSecret string `json:"tlsSecret,omitempty"`

	// HandedOver is since when a third party's policy and record were seen in place of these: they are
	// served for caches alone. Zero: they were not.
	HandedOver time.Time `json:"handedOver,omitzero"`

	// Unprobed is since when nothing but probes without an answer keep a policy back.
	Unprobed time.Time `json:"unprobed,omitzero"`
}

// HeldPolicy is a policy that senders may have fetched, though another one is announced.
type HeldPolicy struct {
	Policy string `json:"policy"` // the body
	// Until is when the last sender forgets it. Zero: it may be served, or its id seen, even now. It is
	// entered so before it is served for the first time.
	Until time.Time `json:"until,omitzero"`
}

// ThirdParty is what was seen of the policy that somebody else serves, with spec.mtaSTS.hosting External.
type ThirdParty struct {
	// Policy is the body in its plainest form, as it was last seen at every address. Empty: none was seen.
	Policy string `json:"policy,omitempty"`
	// Since is since when the policies that were seen have had this one's mode.
	Since time.Time `json:"since,omitzero"`
	// Until is when the last sender forgets the policies that were seen before it.
	Until time.Time `json:"until,omitzero"`
}

// MX is what is remembered of the domain's MX records while it has an MTA-STS policy.
type MX struct {
	Hosts []string `json:"hosts,omitempty"` // as last seen, sorted
	// Left is when a host was first seen to be gone: caches may have it for some time.
	Left map[string]time.Time `json:"left,omitempty"`
}

// DMARC is what caches may still hold of a policy that relies on DKIM.
type DMARC struct {
	// Seconds is the longest TTL that was seen of a record with such a policy, if it was longer than
	// that of the records that are written.
	Seconds int64 `json:"seconds,omitempty"`
	// Relaxed is since when, with the keys to go, it is proven that no such policy is in force.
	Relaxed time.Time `json:"relaxed,omitzero"`
}

// Released returns when the last cache has forgotten the policy, where records are written with ttl.
func (d DMARC) Released(ttl time.Duration) time.Time {
	return d.Relaxed.Add(max(ttl, time.Duration(d.Seconds)*time.Second))
}

// Signer is a Secret that a signer mounts.
type Signer struct {
	Name string `json:"name"`
	// Left is when the files were written to a Secret of another name; zero for the one in use.
	Left time.Time `json:"left,omitzero"`
}

// SignerInUse returns the name of the Secret that was written last; "" if none ever was.
func (l *Ledger) SignerInUse() string {
	for _, s := range l.Signers {
		if s.Left.IsZero() {
			return s.Name
		}
	}
	return ""
}

// UseSigner notes that the Secret has the files from now on. One of another name is left: its
// signer may not have noticed yet.
func (l *Ledger) UseSigner(name string, now time.Time) {
	if l.SignerInUse() == name {
		return
	}
	l.ForgetSigner(name)
	for i := range l.Signers {
		if l.Signers[i].Left.IsZero() {
			l.Signers[i].Left = now
		}
	}
	l.Signers = append(l.Signers, Signer{Name: name})
}

// ForgetSigner notes that the Secret is not the operator's care any more.
func (l *Ledger) ForgetSigner(name string) {
	l.Signers = slices.DeleteFunc(l.Signers, func(s Signer) bool { return s.Name == name })
}

// Handle notes that the value of the annotation was acted on. It stays noted when the annotation
// goes: what comes and goes with a sync of somebody's repository is no new wish.
func (l *Ledger) Handle(annotation, value string) {
	if value == "" {
		return
	}
	if l.Handled == nil {
		l.Handled = map[string]string{}
	}
	l.Handled[annotation] = value
}

// New returns an empty ledger.
func New(domain string) *Ledger { return &Ledger{Version: Version, Domain: domain} }

// Decode reads the stored form. The domain must be the ledger's.
func Decode(data []byte, domain string) (*Ledger, error) {
	var l Ledger
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("not a ledger: %w", err)
	}
	switch {
	case l.Version < 1 || l.Version > Version:
		return nil, fmt.Errorf("a ledger of version %d, and this operator reads versions up to %d: run the newer operator", l.Version, Version)
	case l.Domain != domain:
		return nil, fmt.Errorf("the ledger of %q, not of %q: choose another metadata.name, or delete this Secret if the records and keys of %[1]q are no longer to be managed", l.Domain, domain)
	}
	return &l, nil
}

// Encode returns the stored form: the same ledger gives the same octets.
func (l *Ledger) Encode() ([]byte, error) {
	return json.MarshalIndent(l, "", "  ")
}

// At returns the entries at key in any zone, in the order in which they were made.
func (l *Ledger) At(key dnsprovider.Key) []Entry {
	return l.where(func(e Entry) bool { return e.at(key) })
}

// In returns those of At that were written to the zone, or of which it is not known.
func (l *Ledger) In(zone string, key dnsprovider.Key) []Entry {
	return l.where(func(e Entry) bool { return e.at(key) && (e.Zone == zone || e.Zone == "") })
}

func (l *Ledger) where(holds func(Entry) bool) []Entry {
	var list []Entry
	for _, e := range l.Entries {
		if holds(e) {
			list = append(list, e)
		}
	}
	return list
}

func (e Entry) at(key dnsprovider.Key) bool { return e.Name == key.Name && e.Type == key.Type }

// Of returns the entries of a purpose.
func (l *Ledger) Of(purpose string) []Entry {
	return l.where(func(e Entry) bool { return e.Purpose == purpose })
}

// Owned returns the entries at seen.Key in the zone in the form that dnsprovider.Decide wants. One
// without a zone is ours only where it stands, so it never is the ground for a repair.
func (l *Ledger) Owned(zone string, seen dnsprovider.RRset) []dnsprovider.Owned {
	var owned []dnsprovider.Owned
	for _, e := range l.In(zone, seen.Key) {
		if e.Zone == zone || slices.Contains(seen.Values(), e.Value) {
			owned = append(owned, dnsprovider.Owned{Value: e.Value, Settled: e.Settled})
		}
	}
	return owned
}

// Intend enters a value before it is written.
func (l *Ledger) Intend(zone string, key dnsprovider.Key, purpose, value string) {
	if l.find(zone, key, value) < 0 {
		l.Entries = append(l.Entries, Entry{Zone: zone, Name: key.Name, Type: key.Type, Purpose: purpose, Value: value})
	}
}

// Settle enters what a read-back, or a read that found the wish fulfilled, has proved: the values
// stand at key as ours, and no other value of ours does. No value, or an empty one, says that none
// stands, as after a removal. Other zones are not spoken of.
func (l *Ledger) Settle(zone string, key dnsprovider.Key, purpose string, values ...string) {
	l.Entries = slices.DeleteFunc(l.Entries, func(e Entry) bool {
		return e.at(key) && (e.Zone == zone || e.Zone == "") && !slices.Contains(values, e.Value)
	})
	for _, value := range values {
		if value == "" {
			continue
		}
		if i := l.find(zone, key, value); i >= 0 {
			l.Entries[i].Zone, l.Entries[i].Settled = zone, true
			continue
		}
		l.Entries = append(l.Entries, Entry{Zone: zone, Name: key.Name, Type: key.Type, Purpose: purpose, Value: value, Settled: true})
	}
}

// Forget gives up what was written for the purpose: it stays where it is, and is not ours any more.
func (l *Ledger) Forget(purpose string) {
	l.Entries = slices.DeleteFunc(l.Entries, func(e Entry) bool { return e.Purpose == purpose })
}

// Settled reports whether value was read back at key in the zone.
func (l *Ledger) Settled(zone string, key dnsprovider.Key, value string) bool {
	i := l.find(zone, key, value)
	return i >= 0 && l.Entries[i].Settled
}

// find prefers the entry of the zone to one of which the zone is not known.
func (l *Ledger) find(zone string, key dnsprovider.Key, value string) int {
	for _, z := range []string{zone, ""} {
		if i := slices.IndexFunc(l.Entries, func(e Entry) bool { return e.at(key) && e.Zone == z && e.Value == value }); i >= 0 {
			return i
		}
	}
	return -1
}
