package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/records"
)

// recall mends a ledger that is older than the world, as after a restore: the signer's Secret then
// holds keys that the ledger does not know, or knows as not yet proven. No key gets into that Secret
// without a proof, so one that DNS serves is taken back: as active if the tables name it, else as
// retired now. Otherwise the tables would move back to a key that may be revoked, and the private key
// that signs would be removed.
//
// It returns why nothing may be written now: it can't be seen what is served.
func (r *Reconciler) recall(ctx context.Context, s *scope) verdict {
	signer := s.dkim.signers[0]
	if signer.secret == nil || signer.foreign || !s.writes() {
		return verdict{}
	}
	signs := strings.Fields(string(signer.data[keys.SelectorsFile]))
	for _, selector := range selectorsIn(signer.data, signs) {
		private := signer.data[keys.PrivateFile(selector)]
		i := s.book.Keyring.Find(selector)
		active := slices.Contains(signs, selector)
		if i >= 0 && (!active || !s.book.Keyring[i].Pending() || !r.proven.Belongs(private, s.book.Keyring[i].Record)) {
			continue
		}
		read, err := keys.ReadPrivate(private)
		name, imported, ours := s.nameFor(read, selector, signs)
		if err != nil || !ours {
			continue // it will be overwritten, like all that does not belong there
		}
		slot := records.DKIMSlot(s.md.Spec.Domain, selector)
		seen := r.look(ctx, s, slot.Name)
		texts := slices.DeleteFunc(seen.values(), func(text string) bool { return !keys.SameKey(text, read.Record) })
		if len(texts) == 0 && seen.unanswered() != "" {
			return verdict{v1alpha1.ReasonServersUnreachable, fmt.Sprintf("Secret %s holds a private key for %s that the ledger does not know, and whether it is served can't be seen: %s", signer.name, slot.Key, seen.unanswered())}
		}
		if len(texts) == 0 {
			continue
		}
		if i < 0 {
			s.book.privates[selector] = read.Private
			s.book.Keyring = append(s.book.Keyring, keys.Key{Name: name, Selector: selector, Algorithm: read.Algorithm, Bits: read.Bits, Record: texts[0], Imported: imported, Created: s.now})
			i = len(s.book.Keyring) - 1
		}
		s.book.Keyring.Recall(i, active, s.now)
		s.events = append(s.events, event{warning: true, reason: v1alpha1.ReasonKeyRecalled, action: "RestoreKey", part: partOf(partKeys, selector), note: fmt.Sprintf("the key of %s is in Secret %s and served, and the ledger did not know that: it is older than the world, and takes the key back", selector, signer.name)})
	}
	return verdict{}
}

// selectorsIn are those that the Secret holds private keys for: first the ones that sign, in the order
// of the tables, which is that of spec.
func selectorsIn(data map[string][]byte, signs []string) []string {
	var others []string
	for file := range data {
		if selector, ok := strings.CutSuffix(file, keys.PrivateFile("")); ok && !slices.Contains(signs, selector) {
			others = append(others, selector)
		}
	}
	slices.Sort(others)
	return append(slices.DeleteFunc(slices.Clone(signs), func(selector string) bool { return data[keys.PrivateFile(selector)] == nil }), others...)
}

// nameFor says which key of spec one is that the ledger does not know: the one that it is imported as;
// or for a selector of the operator's making, the first of its algorithm and size that no other key
// of the tables is. "" without one: then it goes as a key that left spec. ok is false for a selector
// that is not the operator's: its record would be somebody's.
func (s *scope) nameFor(read keys.Private, selector string, signs []string) (name string, imported, ok bool) {
	for _, key := range s.md.Spec.DKIM.KeysOrDefault() {
		if key.Import != nil && key.Import.Selector == selector {
			return key.Name, true, true
		}
	}
	if !keys.IsSelector(selector) {
		return "", false, false
	}
	for _, key := range s.md.Spec.DKIM.KeysOrDefault() {
		spec := s.specOf(key)
		taken := slices.ContainsFunc(s.book.Keyring, func(k keys.Key) bool { return k.Name == key.Name && slices.Contains(signs, k.Selector) })
		if !taken && spec.Algorithm == read.Algorithm && spec.Bits == read.Bits {
			return key.Name, false, true
		}
	}
	return "", false, true
}
