package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/records"
)

// draft is a plan in the making. All but the asking of DNS is pure.
type draft struct {
	Plan
	md   *v1alpha1.MailDomain
	seen map[dnsprovider.Key]answers
}

func (d *draft) missing(what string) {
	if !slices.Contains(d.Unknown, what) {
		d.Unknown = append(d.Unknown, what)
	}
}

// keys are the places that have to be looked at.
func (d *draft) keys(list []wanted) []dnsprovider.Key {
	var all []dnsprovider.Key
	for _, w := range list {
		all = append(all, w.Key)
	}
	if s := d.md.Spec.DKIM; s != nil {
		for _, e := range s.External {
			all = append(all, records.DKIMSlot(d.md.Spec.Domain, e.Selector).Key)
		}
	}
	if d.md.Spec.MTASTS != nil {
		all = append(all, dnsprovider.HostKeys(records.MTASTSHost(d.md.Spec.Domain))...)
	}
	for _, r := range d.md.Status.Records {
		all = append(all, dnsprovider.Key{Name: r.Name, Type: r.Type})
	}
	slices.SortFunc(all, func(a, b dnsprovider.Key) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
	return slices.Compact(all)
}

// record compares one TXT record.
func (d *draft) record(w wanted) {
	set, unknown := d.seen[w.Key].rrset(w.Key)
	if unknown != "" {
		d.missing(unknown)
		return
	}
	if w.value == "" { // of the words it can only be said whether something fits
		d.unvalued(w, set)
		return
	}
	decision := dnsprovider.Decide(w.Slot.Slot, dnsprovider.Wish{Value: w.value, Adopt: d.adopts()}, set, d.owned(w.Slot, set))
	d.decided(w, set, decision)
}

func (d *draft) decided(w wanted, set dnsprovider.RRset, decision dnsprovider.Decision) {
	switch decision.Verb {
	case dnsprovider.Conflict:
		note := "it is another's and stays: remove it, or set spec.dns.conflictPolicy: Adopt"
		if state := d.unwritten(w.Slot); state != "" {
			note = fmt.Sprintf("the new record is %s, and whether this one is the operator's own only its ledger says: see the command status", state)
		}
		for _, foreign := range decision.Foreign {
			d.conflict(w, foreign, note)
		}
	case dnsprovider.Blocked:
		d.conflict(w, "CNAME "+set.Alias, "an alias occupies the name, so nothing else can stand there: remove it, or publish the record at its target")
	}
	for _, step := range records.Planned(decision.Change) {
		d.Steps = append(d.Steps, PlanStep{PlannedChange: step, Purpose: w.Purpose, Note: w.note})
	}
}

func (d *draft) conflict(w wanted, old, note string) {
	d.Steps = append(d.Steps, PlanStep{
		PlannedChange: v1alpha1.PlannedChange{Action: planConflict, Name: w.Name, Type: w.Type, Old: old, New: w.value}, Purpose: w.Purpose, Note: note,
	})
}

// unvalued compares a record of which only its kind is known.
func (d *draft) unvalued(w wanted, set dnsprovider.RRset) {
	if set.Alias != "" {
		d.decided(w, set, dnsprovider.Decision{Verb: dnsprovider.Blocked})
		return
	}
	var standing []string
	for _, value := range set.Values() {
		if w.Is(value) {
			standing = append(standing, value)
		}
	}
	switch {
	case len(standing) == 1 && w.fits(standing[0]):
	case len(standing) == 0:
		d.Steps = append(d.Steps, PlanStep{PlannedChange: v1alpha1.PlannedChange{Action: v1alpha1.PlanCreate, Name: w.Name, Type: w.Type}, Purpose: w.Purpose, Note: w.words})
	default:
		for _, value := range standing {
			if !w.fits(value) {
				d.conflict(w, value, "it is not "+w.words)
			}
		}
	}
}

// adopts: what stands is taken over; without a provider a human, whose it is, is told what to make of it.
func (d *draft) adopts() bool {
	return d.md.Spec.Manual() || d.md.Spec.DNS.ConflictPolicyOrDefault() == v1alpha1.ConflictAdopt
}

// owned is what the operator wrote at a slot, by what status says: only there where it may write at all.
func (d *draft) owned(slot records.Slot, set dnsprovider.RRset) (owned []dnsprovider.Owned) {
	if !d.wrote(slot.Key, slot.Purpose) {
		return nil
	}
	for _, value := range set.Values() {
		if slot.Is(value) {
			owned = append(owned, dnsprovider.Owned{Value: value, Settled: true})
		}
	}
	return owned
}

// wrote reports whether status says that the record is the operator's work.
func (d *draft) wrote(key dnsprovider.Key, purpose v1alpha1.RecordPurpose) bool {
	ready := meta.FindStatusCondition(d.md.Status.Conditions, v1alpha1.ConditionReady)
	if d.md.Spec.Manual() || ready == nil || ready.Reason == v1alpha1.ReasonObserving || ready.Reason == v1alpha1.ReasonDomainNotClaimed {
		return false
	}
	return slices.ContainsFunc(d.md.Status.Records, func(r v1alpha1.RecordStatus) bool {
		return r.Name == key.Name && r.Type == key.Type && r.Purpose == purpose &&
			(r.State == v1alpha1.RecordVerified || r.State == v1alpha1.RecordPublished || r.State == v1alpha1.RecordWithdrawing)
	})
}

// unwritten is the state of a record that the operator has not written, for a reason: what stands in its
// place may be the one that it wrote before. "" for any other.
func (d *draft) unwritten(slot records.Slot) v1alpha1.RecordState {
	for _, r := range d.md.Status.Records {
		unwritten := r.State == v1alpha1.RecordPending || r.State == v1alpha1.RecordHeld || r.State == v1alpha1.RecordFailed
		if unwritten && r.Name == slot.Name && r.Purpose == slot.Purpose {
			return r.State
		}
	}
	return ""
}

// policy compares the policy of spec with the one that is out. Another one gets another id, which only the
// operator can tell.
func (d *draft) policy(inForce compliance.Fact[compliance.Policy], mx []string) {
	s := d.md.Spec.MTASTS
	if s == nil || announced(d.md) == "" || thirdParty(d.md) {
		return
	}
	seen, known := inForce.Get()
	if !known || seen.Failure != "" {
		d.missing("the policy that is in force: " + cmp.Or(inForce.Cause(), seen.Failure))
		return
	}
	now, err := mtasts.ParsePolicy(seen.Body)
	want := records.MTASTSPolicy(s, mx)
	if err == nil && now.Mode == want.Mode && now.MaxAge == want.MaxAge && now.CoversAll(want.MX) && want.CoversAll(now.MX) {
		return
	}
	slot := records.MTASTSSlot(d.md.Spec.Domain)
	d.Steps = append(d.Steps, PlanStep{
		PlannedChange: v1alpha1.PlannedChange{Action: v1alpha1.PlanChange, Name: slot.Name, Type: slot.Type, Old: mtasts.Record{ID: announced(d.md)}.String()},
		Purpose:       v1alpha1.PurposeMTASTS, Note: "another policy is served, and gets an id of its own: " + strings.ReplaceAll(strings.TrimSpace(want.String()), "\r\n", ", "),
	})
}

// externals compares the records of keys that others hold.
func (d *draft) externals() {
	if d.md.Spec.DKIM == nil {
		return
	}
	for _, e := range d.md.Spec.DKIM.External {
		if e.VerifiesOnly() {
			continue
		}
		slot := records.DKIMSlot(d.md.Spec.Domain, e.Selector)
		set, unknown := d.seen[slot.Key].rrset(slot.Key)
		if unknown != "" {
			d.missing(unknown)
			continue
		}
		w := valued(slot, e.TXT, "this version does not publish external selectors: publish it by hand")
		switch {
		case e.CNAME == "":
			d.decided(w, set, dnsprovider.Decide(slot.Slot, dnsprovider.Wish{Value: e.TXT, Adopt: d.adopts()}, set, nil))
		case set.Alias != e.CNAME:
			w.Type, w.value = dnsprovider.TypeCNAME, e.CNAME
			for _, value := range set.Values() {
				d.conflict(w, "TXT "+value, "no alias can stand beside it")
			}
			if len(set.Records) == 0 {
				action := v1alpha1.PlanCreate
				if set.Alias != "" {
					action = v1alpha1.PlanChange
				}
				d.Steps = append(d.Steps, PlanStep{PlannedChange: v1alpha1.PlannedChange{Action: action, Name: w.Name, Type: w.Type, Old: set.Alias, New: e.CNAME}, Purpose: w.Purpose, Note: w.note})
			}
		}
	}
}

// generate plans a key that is yet to be made. Its selector is the next one of today, as far as is known.
func (d *draft) generate(key v1alpha1.DKIMKey, env Env) {
	taken := func(selector string) bool {
		name := records.DKIMSlot(d.md.Spec.Domain, selector).Name
		return slices.ContainsFunc(d.Steps, func(s PlanStep) bool { return s.Name == name }) ||
			d.md.Status.DKIM != nil && slices.ContainsFunc(d.md.Status.DKIM.Keys, func(k v1alpha1.DKIMKeyStatus) bool { return k.Selector == selector })
	}
	if key.Import != nil {
		d.Steps = append(d.Steps, PlanStep{
			PlannedChange: v1alpha1.PlannedChange{Action: v1alpha1.PlanGenerate, Name: records.DKIMSlot(d.md.Spec.Domain, key.Import.Selector).Name, Type: dnsprovider.TypeTXT},
			Purpose:       v1alpha1.PurposeDKIM, Note: fmt.Sprintf("key %s is imported, and its record written unless it stands", key.Name),
		})
		return
	}
	selector := keys.NewSelector(d.md.Spec.DKIM.SelectorOrDefault(), env.Now(), taken)
	d.Steps = append(d.Steps, PlanStep{
		PlannedChange: v1alpha1.PlannedChange{Action: v1alpha1.PlanGenerate, Name: records.DKIMSlot(d.md.Spec.Domain, selector).Name, Type: dnsprovider.TypeTXT},
		Purpose:       v1alpha1.PurposeDKIM, Note: fmt.Sprintf("key %s is made, under a selector such as this", key.Name),
	})
}

// drop plans the end of a key that spec names no more.
func (d *draft) drop(key v1alpha1.DKIMKeyStatus) {
	slot := records.DKIMSlot(d.md.Spec.Domain, key.Selector)
	d.Steps = append(d.Steps, PlanStep{
		PlannedChange: v1alpha1.PlannedChange{Action: v1alpha1.PlanRemove, Name: slot.Name, Type: slot.Type},
		Purpose:       v1alpha1.PurposeDKIM, Note: fmt.Sprintf("spec has key %s no more: when nobody relies on it, it is retired, and its record revoked and then removed in its time", key.Name),
	})
}

// host compares where the policy host leads.
func (d *draft) host() {
	targets, known, err := hostOf(d.md)
	name := records.MTASTSHost(d.md.Spec.Domain)
	switch {
	case err != nil:
		d.missing("spec.mtaSTS.address: " + err.Error())
		return
	case known && len(targets) == 0:
		return
	}
	var sets []dnsprovider.RRset
	var owned [][]dnsprovider.Owned
	for _, key := range dnsprovider.HostKeys(name) {
		set, unknown := d.seen[key].rrset(key)
		if unknown != "" {
			d.missing(unknown)
			return
		}
		if key.Type != dnsprovider.TypeCNAME {
			set.Alias = "" // it is the record of the first key
		}
		var ours []dnsprovider.Owned
		if d.wrote(key, v1alpha1.PurposeMTASTSAddress) {
			for _, value := range set.Values() {
				ours = append(ours, dnsprovider.Owned{Value: value, Settled: true})
			}
		}
		sets, owned = append(sets, set), append(owned, ours)
	}
	if !known {
		d.auto(name, sets)
		return
	}
	decision := dnsprovider.DecideHost(dnsprovider.HostWish{Targets: targets, Adopt: d.adopts()}, sets, owned)
	for _, foreign := range decision.Foreign {
		kind, value, _ := strings.Cut(foreign, " ")
		d.Steps = append(d.Steps, PlanStep{
			PlannedChange: v1alpha1.PlannedChange{Action: planConflict, Name: name, Type: kind, Old: value}, Purpose: v1alpha1.PurposeMTASTSAddress,
			Note: "it is another's and stays: remove it, or set spec.dns.conflictPolicy: Adopt",
		})
	}
	if decision.Verb == dnsprovider.Blocked {
		d.Steps = append(d.Steps, PlanStep{
			PlannedChange: v1alpha1.PlannedChange{Action: planConflict, Name: name, Type: dnsprovider.TypeCNAME, Old: decision.Alias}, Purpose: v1alpha1.PurposeMTASTSAddress,
			Note: "other records occupy the name",
		})
	}
	for _, change := range decision.Changes {
		for _, step := range records.Planned(change) {
			d.Steps = append(d.Steps, PlanStep{PlannedChange: step, Purpose: v1alpha1.PurposeMTASTSAddress})
		}
	}
}

// auto says what is not known of a host that is to lead to the operator's mta-sts Service.
func (d *draft) auto(name string, sets []dnsprovider.RRset) {
	var leads []string
	for _, set := range sets {
		for _, value := range set.Values() {
			leads = append(leads, set.Type+" "+value)
		}
	}
	proven := slices.ContainsFunc(d.md.Status.Records, func(r v1alpha1.RecordStatus) bool {
		return r.Purpose == v1alpha1.PurposeMTASTSAddress && r.State == v1alpha1.RecordVerified
	})
	switch {
	case len(leads) == 0:
		d.missing(name + " has no address: with spec.mtaSTS.address.type Auto the operator writes that of its mta-sts Service, if it knows it")
	case proven, announced(d.md) != "" && d.md.Spec.DNS.ConflictPolicyOrDefault() != v1alpha1.ConflictAdopt: // a policy is out, so it leads there
	default:
		d.missing(name + " leads to " + strings.Join(leads, ", ") + ": whether that is the operator's mta-sts Service only the operator knows; what leads elsewhere is replaced with spec.dns.conflictPolicy: Adopt, and else in the way")
	}
}

// withdrawals are the records of status that spec no longer wants. Keys and policies go in their own time,
// as status says; what a third party publishes stays.
func (d *draft) withdrawals(list []wanted) {
	for _, r := range d.md.Status.Records {
		key := dnsprovider.Key{Name: r.Name, Type: r.Type}
		still := slices.ContainsFunc(list, func(w wanted) bool { return w.Key == key && w.Purpose == r.Purpose }) ||
			r.Purpose == v1alpha1.PurposeMTASTSAddress && d.md.Spec.MTASTS != nil || r.Purpose == v1alpha1.PurposeMTASTS && thirdParty(d.md) || r.Purpose == v1alpha1.PurposeClaim
		if still || !d.wrote(key, r.Purpose) {
			continue
		}
		set, unknown := d.seen[key].rrset(key)
		if unknown != "" {
			d.missing(unknown)
			continue
		}
		for _, value := range set.Values() {
			if is := protocols[r.Purpose]; is != nil && !is(value) {
				continue
			}
			d.Steps = append(d.Steps, PlanStep{
				PlannedChange: v1alpha1.PlannedChange{Action: v1alpha1.PlanRemove, Name: r.Name, Type: r.Type, Old: value}, Purpose: r.Purpose,
				Note: "spec has it no more: it goes when nobody relies on it",
			})
		}
	}
}

var protocols = map[v1alpha1.RecordPurpose]func(string) bool{
	v1alpha1.PurposeSPF: records.SPFSlot("").Is, v1alpha1.PurposeDKIM: records.DKIMSlot("", "").Is, v1alpha1.PurposeDMARC: records.DMARCSlot("").Is,
	v1alpha1.PurposeMTASTS: records.MTASTSSlot("").Is, v1alpha1.PurposeTLSRPT: records.TLSRPTSlot("").Is,
}
