package controllers

import (
	"maps"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/records"
)

// scope is one pass over one MailDomain: what its steps have gathered and decided so far.
// Each step reads what earlier ones left and adds its own.
type scope struct {
	now time.Time
	md  *v1alpha1.MailDomain // as read; never changed

	resolver spf.Resolver // of the pass, as the next one: each question is asked once
	prober   Prober
	book     *book // the ledger and the private keys
	provider provider
	zones    map[string]dnsprovider.Zone // by apex
	looks    map[string]sight            // what the name servers say, by name
	sights   map[asked]sight             // the same and all else that they were asked, by question
	unclear  bool                        // what the pass goes by is more than they were asked, and may change any time
	silent   map[string]time.Time        // addresses of name servers without an answer where it counts, since when

	claim   claimState
	site    site // what is stored of the domain, as read
	spf     spfState
	dkim    dkimState
	dmarc   *policyInForce // nil: not looked at yet
	mtasts  mtastsState
	host    hostState
	wishes  []wish
	facts   []fact             // one for each record
	blocked map[string]verdict // why a section's condition is not True, by condition type
	made    []made             // records, to be told of, as the next two
	steps   []keyStep
	events  []event
	// findings are what lint says of the records that are served.
	findings   []v1alpha1.Finding
	compliance complianceState
	recheck    time.Duration // when to look again; 0: at the next resync
	notBefore  time.Duration // see heldBack

	ending *ending // nil: the MailDomain is to be made true
}

// writes reports whether this pass may write anything for the domain, to DNS or the cluster.
func (s *scope) writes() bool {
	return s.md.Spec.ModeOrDefault() == v1alpha1.ModeEnforce && s.claim.held
}

// dropped reports whether the section was taken out of spec and is to be withdrawn.
func (s *scope) dropped(section string) bool {
	if s.ending != nil {
		return true
	}
	for _, d := range s.book.Spec.Dropped {
		if d == section {
			return true
		}
	}
	return false
}

// rotation is what spec says of the rotation of keys, or said when there was one.
func (s *scope) rotation() *v1alpha1.DKIMRotation {
	switch {
	case s.ending != nil:
		return s.ending.rotation
	case s.md.Spec.DKIM != nil:
		return s.md.Spec.DKIM.Rotation
	}
	return nil
}

// block notes why a section is not ready. The first reason stands: it is the deepest.
func (s *scope) block(condition string, v verdict) {
	if _, there := s.blocked[condition]; !there && v.bad() {
		s.blocked[condition] = v
	}
}

// want adds a record to what the pass is to bring about. At the end nothing is made anew.
func (s *scope) want(slot records.Slot, value string, hold verdict) {
	if s.ending != nil && value != "" && len(s.book.At(slot.Key)) == 0 {
		return
	}
	s.wishes = append(s.wishes, wish{slot, value, hold})
}

// forget has the name looked at anew.
func (s *scope) forget(name string) {
	delete(s.looks, name)
	maps.DeleteFunc(s.sights, func(question asked, _ sight) bool { return question.name == name })
}

// again asks for another pass after d, unless an earlier one was asked for.
func (s *scope) again(d time.Duration) {
	if d > 0 && (s.recheck == 0 || d < s.recheck) {
		s.recheck = d
	}
}

// longestHold is how long a provider is left alone at most, whatever it asks for.
const longestHold = 5 * time.Minute

// heldBack has the next pass come when the provider can be asked again, and no poll before that: it would come in vain, and may be one of
// thousands. What does not need the provider has its own time.
func (s *scope) heldBack(d time.Duration) {
	d = min(d, longestHold)
	s.notBefore = max(s.notBefore, d)
	s.again(d)
}

// wish is what should stand at a slot; value "" is nothing of ours.
type wish struct {
	slot  records.Slot
	value string
	hold  verdict // bad: nothing is written, and what stands stays
}

// verdict is a reason with a message; the zero verdict says that all is well.
type verdict struct {
	reason  string
	message string
}

func (v verdict) bad() bool { return v.reason != "" }

// fact is what is known of one record at the end of a pass.
type fact struct {
	slot    records.Slot
	want    string // "" is not wanted
	state   v1alpha1.RecordState
	verdict verdict
	vantage v1alpha1.Vantage
	plan    []v1alpha1.PlannedChange
}

type claimState struct {
	held    bool // this MailDomain may write and serve for the domain
	verdict verdict
}

type spfState struct {
	analysis spf.Analysis
	known    bool // the domain's record was evaluated
}

type dkimState struct {
	managed bool
	signers []signer // the wanted one first; empty: nothing is done about keys
	lost    verdict  // what signs, or is to, is not at hand or not known: no Secret is written
	policy  keys.Policy
	ring    keys.Keyring
	plan    []v1alpha1.PlannedChange
	ignored []string     // name servers that are no longer waited for
	waits   verdict      // the first thing that a key waits for
	offered keys.Keyring // what is stored before the signer's Secret is written, if offers
	offers  bool
}

type mtastsState struct {
	hosts   []string            // of the live MX records
	known   bool                // these could be read
	live    []v1alpha1.MXStatus // the same, judged
	unknown []string            // of them, those that can't be probed
	notes   []string            // what a person should know though all is well
	untold  verdict             // where the policy before may be renewed
	proven  bool                // what is to be served is what the world gets
	unasked bool                // one is in force, and the public name is asked when the replicas serve the next
	unseen  bool                // the policy was proven on the replicas alone
	serve   *mtasts.Policy      // nil: what is served stays as it is
	early   verdict             // why the policy host may not lead to the operator yet
	// external is what a third party serves; nil: the operator is to serve.
	external *external
	// withdrawing: mode none is served in place of a policy that senders may hold.
	withdrawing bool
	ended       bool // the withdrawal is complete: nothing is served any more
}

// enforced reports whether the policy that is wished or, of a third party, served has mode enforce.
func (m mtastsState) enforced() bool {
	return m.serve != nil && m.serve.Mode == mtasts.Enforce || m.external != nil && m.external.served.policy.Mode == mtasts.Enforce
}

func (m *mtastsState) noteThat(what string) {
	if what != "" {
		m.notes = append(m.notes, what)
	}
}
