package simulate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/mailauth/dkim"
)

// violation is an invariant that does not hold.
type violation struct{ text string }

func (w *World) violated(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.tell("VIOLATED", "%s", text)
	panic(violation{text})
}

// watch is what has to be remembered to judge.
type watch struct {
	files       *files               // of the signer's Secret; nil: there is none
	began       bool                 // there was one with a key
	gone        bool                 // a human deleted or spoiled it: until the operator has mended it
	spoiled     time.Time            // when that was last
	listed      map[string]time.Time // when a selector was last among those to sign with
	denied      map[string]time.Time // when a name server last answered without a selector's record
	record      map[string]string    // the key record that a selector has, once written
	written     []written            // the same, in their order
	revoked     map[string]time.Time
	compromised map[string]bool
	foreign     map[string]string // values of others, by name
	since       time.Time         // since when the operator's clock has not been set forward
	forward     time.Duration     // by how much it was, in all
}

// written is a key record that the operator has written.
type written struct{ selector, name, record string }

func newWatch() watch {
	return watch{
		listed: map[string]time.Time{}, denied: map[string]time.Time{}, record: map[string]string{},
		revoked: map[string]time.Time{}, compromised: map[string]bool{}, foreign: map[string]string{},
	}
}

// signer is told of each new state of the signer's Secret.
func (v *watch) signer(w *World, secret *corev1.Secret) {
	if secret == nil {
		v.files = nil
		return
	}
	v.files = filesOf(secret)
	if v.gone && (len(v.files.selectors) > 0 || !v.began) && !slices.ContainsFunc(v.files.selectors, func(s string) bool { return v.files.private[s] == "" }) {
		v.gone, v.spoiled = false, w.now
	}
	w.tell("cluster", "the signer's Secret lists %v and has %v", v.files.selectors, slices.Sorted(maps.Keys(v.files.private)))
}

// observe notes what is true at this instant, before and after anything happens.
func (w *World) observe() {
	v := &w.watch
	if v.files != nil {
		for _, selector := range v.files.selectors {
			v.listed[selector] = w.now
		}
	}
	for _, k := range v.written {
		for s := range w.names.live {
			if !serves(s, k.name, k.record) {
				v.denied[k.selector] = w.now
			}
		}
	}
}

func serves(s *server, name, record string) bool {
	values := s.served[name]
	return len(values) == 1 && values[0] == record
}

func nameOf(selector string) string { return selector + "._domainkey." + domain }

// judge holds the world to what must be true at every instant.
func (w *World) judge() {
	v := &w.watch
	for _, m := range w.mail.signed {
		if !m.underWay(w.now) || v.compromised[m.selector] {
			continue
		}
		for s := range w.names.live {
			if !serves(s, m.name, m.record) {
				w.violated("a message signed with %s %s ago does not verify where %s is asked: it serves %s", m.selector, w.now.Sub(m.last), s.name, brief(s.served[m.name]))
			}
		}
	}
	if v.files == nil {
		if v.began && !v.gone {
			w.violated("the signer's Secret is gone")
		}
		return
	}
	if v.gone {
		return
	}
	if len(v.files.selectors) > 0 {
		v.began = true
	} else if v.began {
		w.violated("no key is active")
	}
	for _, selector := range v.files.selectors {
		if v.files.private[selector] == "" {
			w.violated("the signer's Secret tells to sign with %s and does not have its key", selector)
		}
	}
	for _, selector := range slices.Sorted(maps.Keys(v.files.private)) {
		record, isKey := w.keys.records[v.files.private[selector]]
		if !isKey {
			continue // a person damaged it where nothing could restore it from
		}
		for s := range w.names.live {
			if !serves(s, nameOf(selector), record) && !v.compromised[selector] {
				w.violated("the signer's Secret has the private key of %s, which %s does not serve: it serves %s", selector, s.name, brief(s.served[nameOf(selector)]))
			}
		}
	}
	for name, value := range v.foreign {
		if !slices.Contains(w.provider.zone[name], value) {
			w.violated("somebody else's value at %s is gone", name)
		}
	}
}

// first judges the first signature of a key: no resolver may still believe that its name is not there.
func (v *watch) first(w *World, m *signed) {
	if v.compromised[m.selector] || v.since.After(v.denied[m.selector].Add(-w.plan.negativeTTL-time.Hour)) && w.plan.clock {
		return
	}
	if until := v.denied[m.selector].Add(w.plan.negativeTTL); w.now.Before(until) {
		w.violated("%s signs, and for another %s a resolver may believe that its record does not exist", m.selector, until.Sub(w.now))
	}
}

// change is told of each change that the operator makes in the zone.
func (v *watch) change(w *World, c dnsprovider.Change) {
	selector, isKey := strings.CutSuffix(c.Seen.Name, "._domainkey."+domain)
	if !isKey {
		return
	}
	adds := ""
	for _, value := range c.Add {
		record, err := dkim.Parse(value)
		switch {
		case err != nil:
			w.violated("the operator writes %q at %s, which is no key record", value, c.Seen.Name)
		case record.Revoked():
			adds = "revoked"
			if _, again := v.revoked[selector]; !again {
				v.early(w, selector, v.listed[selector], "revoked")
				v.revoked[selector] = w.now
			}
		default:
			adds = "key"
			was, used := v.record[selector]
			if used && was != value {
				w.violated("selector %s is used for a second key", selector)
			}
			if _, ended := v.revoked[selector]; ended {
				w.violated("selector %s is used again after its revocation", selector)
			}
			if !used {
				v.written = append(v.written, written{selector, c.Seen.Name, value})
				v.denied[selector] = w.now // later on see observe: a write that comes late may change nothing
			}
			v.record[selector] = value
		}
	}
	if len(c.Remove) > 0 && adds == "" {
		v.early(w, selector, v.listed[selector].Add(w.plan.retention), "removed")
	}
}

// passLasts is how long a pass takes at the most. The ledger has the time of its beginning for all that it
// brings about.
const passLasts = time.Hour

// early judges the end of a record: since is when what has to come before it was over.
func (v *watch) early(w *World, selector string, since time.Time, what string) {
	if _, used := v.listed[selector]; !used || v.compromised[selector] {
		return
	}
	if lasted := w.now.Sub(since); lasted < w.plan.retention-v.forward-passLasts {
		w.violated("the record of %s is %s %s too early", selector, what, w.plan.retention-lasted)
	}
}

// deferred judges a message that a signer can't sign for want of the key's file. One that loads within
// half of the retention never has to.
func (v *watch) deferred(w *World, s *signer, selector string) {
	if v.compromised[selector] || v.gone || w.now.Sub(v.spoiled) < shortestRetention/2 {
		return
	}
	w.violated("%s (%s, reloads %s) defers mail: the file of %s is gone", s.name, s.reads, s.loads, selector)
}

// signedApart judges a signer that never loads anew although nobody waits for it: where it reads the key
// for each message it must not sign with a revoked one.
func (v *watch) signedApart(w *World, s *signer, selector, record string) {
	if _, ended := v.revoked[selector]; !ended || v.compromised[selector] {
		return
	}
	if s.reads == readsLoaded {
		w.Counts.ApartLoadedAll++ // nobody but its owner can keep it from that
		return
	}
	w.violated("%s signs with the revoked key %s", s.name, selector)
}
