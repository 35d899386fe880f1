package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/records"
)

// Meter counts what becomes of records.
type Meter interface {
	// Drifted: a record that stood as written was found removed or changed at the provider.
	Drifted(purpose v1alpha1.RecordPurpose)
	// Repaired: a record that had drifted was written and read back.
	Repaired(purpose v1alpha1.RecordPurpose)
	// Verified: a record that was written is on every name server that answers, this long after its read-back.
	Verified(after time.Duration)
}

// traces is what the process remembers of records under way, for the Meter alone: a drift is one however many
// passes it takes to repair it. It is gone with the process.
type traces struct {
	mu sync.Mutex
	of map[types.NamespacedName]map[traced]trace
}

// traced is a record of one MailDomain.
type traced struct {
	dnsprovider.Key
	purpose v1alpha1.RecordPurpose
}

type trace struct {
	drifted bool
	written time.Time // zero: not yet
}

// change has f change the trace of a record, and drops it if nothing is left of it.
func (t *traces) change(s *scope, slot records.Slot, f func(*trace)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name, record := client.ObjectKeyFromObject(s.md), traced{slot.Key, slot.Purpose}
	known := t.of[name][record]
	f(&known)
	switch {
	case known == trace{}:
		delete(t.of[name], record)
		if len(t.of[name]) == 0 {
			delete(t.of, name)
		}
	case t.of[name] == nil:
		if t.of == nil {
			t.of = map[types.NamespacedName]map[traced]trace{}
		}
		t.of[name] = map[traced]trace{record: known}
	default:
		t.of[name][record] = known
	}
}

// forget is for a MailDomain that is gone.
func (t *traces) forget(name types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.of, name)
}

// noteDrift: somebody else has removed or changed what stood at the slot.
func (r *Reconciler) noteDrift(s *scope, slot records.Slot) {
	if r.Meter == nil {
		return
	}
	r.traces.change(s, slot, func(t *trace) {
		if !t.drifted {
			t.drifted = true
			r.Meter.Drifted(slot.Purpose)
		}
	})
}

// noteWritten: the wish was written at the slot, and read back.
func (r *Reconciler) noteWritten(s *scope, slot records.Slot) {
	if r.Meter == nil {
		return
	}
	r.traces.change(s, slot, func(t *trace) {
		if t.drifted {
			t.drifted = false
			r.Meter.Repaired(slot.Purpose)
		}
		t.written = r.Clock.Now()
	})
}

// noteVerified looks, at the end of a pass, which of the written records are served.
func (r *Reconciler) noteVerified(s *scope) {
	if r.Meter == nil {
		return
	}
	for _, f := range s.facts {
		if f.state != v1alpha1.RecordVerified {
			continue
		}
		r.traces.change(s, f.slot, func(t *trace) {
			if !t.written.IsZero() {
				r.Meter.Verified(r.Clock.Since(t.written))
			}
			*t = trace{} // also where somebody else put right what had drifted
		})
	}
}
