package cli

import (
	"cmp"
	"crypto/rsa"
	"fmt"
	"slices"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/records"
)

// wanted is a record that a MailDomain stands for.
type wanted struct {
	records.Slot
	value string // "": it is not known here
	words string // what it is, where the value is not known
	// fits reports whether a text is what is wanted.
	fits func(text string) bool
	note string // when it is written, and by whom
}

func valued(slot records.Slot, value, note string) wanted {
	return wanted{Slot: slot, value: value, note: note, fits: func(text string) bool { return slot.Same(text, value) }}
}

// String is what is wanted, for people.
func (w wanted) String() string {
	if w.value != "" {
		return w.value
	}
	return w.words
}

// wantedOf says which TXT records a MailDomain stands for, by spec and, where the cluster made the keys, by
// status: what has no value here has it in the ledger, which is a Secret. mx are the live MX hosts, for a
// policy that names none. It is a pure function.
func wantedOf(md *v1alpha1.MailDomain, mx []string) (list []wanted, errs []error) {
	domain, spec := md.Spec.Domain, md.Spec
	list = append(list, claimOf(md))
	if spec.SPF != nil {
		record, err := records.SPF(spec.SPF)
		if err != nil {
			errs = append(errs, fmt.Errorf("spec.spf: %w", err))
		} else {
			list = append(list, valued(records.SPFSlot(domain), record.String(), ""))
		}
	}
	list = append(list, keysOf(md)...)
	if spec.DMARC != nil {
		note := ""
		if spec.DMARC.EnforcementOrDefault() != v1alpha1.EnforceImmediate {
			note = "a stricter policy is held until SPF evaluates and every DKIM key signs (spec.dmarc.enforcement)"
		}
		list = append(list, valued(records.DMARCSlot(domain), records.DMARC(spec.DMARC).String(), note))
	}
	if spec.MTASTS != nil && !thirdParty(md) {
		policy := records.MTASTSPolicy(spec.MTASTS, mx)
		if err := policy.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("spec.mtaSTS: %w", err))
		} else {
			list = append(list, valued(records.MTASTSSlot(domain), mtasts.Record{ID: cmp.Or(announced(md), policy.ID())}.String(), "it is announced once the policy is served and proven"))
		}
	}
	if spec.TLSRPT != nil {
		list = append(list, valued(records.TLSRPTSlot(domain), records.TLSRPT(spec.TLSRPT).String(), ""))
	}
	return list, errs
}

// thirdParty reports whether somebody else serves the policy, and publishes its record and its address.
func thirdParty(md *v1alpha1.MailDomain) bool {
	s := md.Spec.MTASTS
	return s != nil && s.HostingOrDefault() == v1alpha1.HostingExternal
}

// announced is the id of the operator's policy that is out; "" if none is. Only the first one follows from the
// policy, since no id comes back.
func announced(md *v1alpha1.MailDomain) string {
	if md.Status.MTASTS == nil {
		return ""
	}
	return md.Status.MTASTS.PolicyID
}

// claimOf is the registry record. Who installed the operator is not known here; the rest of it is.
func claimOf(md *v1alpha1.MailDomain) wanted {
	slot := records.ClaimSlot(md.Spec.Domain)
	id := records.NewClaim("", md.Namespace, md.Name).ID
	return wanted{
		Slot: slot, words: "v=maildomain1; owner=<the operator's --owner-id>; id=" + id,
		fits: func(text string) bool { c, ok := records.ParseClaim(text); return ok && c.ID == id && !c.Released },
		note: "it says that this MailDomain manages the domain",
	}
}

// keysOf are the records of the operator's keys, as far as status knows them.
func keysOf(md *v1alpha1.MailDomain) (list []wanted) {
	if md.Status.DKIM == nil {
		return nil
	}
	for _, k := range md.Status.DKIM.Keys {
		words := fmt.Sprintf("the %s key of %s", k.Algorithm, k.Selector)
		if k.State == v1alpha1.KeyRevoked {
			words = "a record that revokes " + k.Selector
		}
		list = append(list, wanted{
			Slot: records.DKIMSlot(md.Spec.Domain, k.Selector), words: words,
			fits: func(text string) bool { return isKey(text, k) },
		})
	}
	return list
}

// isKey reports whether a text is the record of such a key.
func isKey(text string, k v1alpha1.DKIMKeyStatus) bool {
	r, err := dkim.Parse(text)
	if err != nil || r.Revoked() != (k.State == v1alpha1.KeyRevoked) {
		return false
	}
	if r.Revoked() {
		return true
	}
	public, err := r.Public()
	if err != nil || r.KeyType != string(k.Algorithm) {
		return false
	}
	key, isRSA := public.(*rsa.PublicKey)
	return !isRSA || k.Bits == nil || key.N.BitLen() == int(*k.Bits)
}

// hostOf says where the policy host should lead by spec; known is false where only the operator knows it.
func hostOf(md *v1alpha1.MailDomain) (targets dnsprovider.Targets, known bool, err error) {
	s := md.Spec.MTASTS
	switch {
	case s == nil || thirdParty(md) || s.AddressTypeOrDefault() == v1alpha1.AddressNone:
		return nil, true, nil
	case s.AddressTypeOrDefault() == v1alpha1.AddressAuto:
		return nil, false, nil
	}
	targets, err = records.HostTargets(s.Address.Values...)
	return targets, true, err
}

// missingKeys are the keys of spec that status does not have, or has of another algorithm or size.
func missingKeys(md *v1alpha1.MailDomain) (list []v1alpha1.DKIMKey) {
	if md.Spec.DKIM == nil {
		return nil
	}
	for _, key := range md.Spec.DKIM.KeysOrDefault() {
		made := md.Status.DKIM != nil && slices.ContainsFunc(md.Status.DKIM.Keys, func(k v1alpha1.DKIMKeyStatus) bool {
			return k.Name == key.Name && signsOn(k) && isOf(k, key)
		})
		if !made {
			list = append(list, key)
		}
	}
	return list
}

// droppedKeys are the keys of status that spec names no more.
func droppedKeys(md *v1alpha1.MailDomain) (list []v1alpha1.DKIMKeyStatus) {
	if md.Status.DKIM == nil {
		return nil
	}
	var named []v1alpha1.DKIMKey
	if md.Spec.DKIM != nil {
		named = md.Spec.DKIM.KeysOrDefault()
	}
	for _, k := range md.Status.DKIM.Keys {
		if signsOn(k) && !slices.ContainsFunc(named, func(key v1alpha1.DKIMKey) bool { return key.Name == k.Name }) {
			list = append(list, k)
		}
	}
	return list
}

// signsOn holds for a key that signs, or is to.
func signsOn(k v1alpha1.DKIMKeyStatus) bool {
	return k.State != v1alpha1.KeyRetired && k.State != v1alpha1.KeyRevoked
}

// isOf reports whether a key is what spec has it be; one that is imported is as it is.
func isOf(k v1alpha1.DKIMKeyStatus, key v1alpha1.DKIMKey) bool {
	return key.Import != nil || k.Algorithm == key.AlgorithmOrDefault() && (k.Bits == nil || *k.Bits == key.BitsOrDefault())
}
