package simulate

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// owner is who writes spec, and moves the MX records as the documentation says (docs/mta-sts.md); in some
// worlds also without a word.
type owner struct {
	w         *World
	announces bool             // every move
	live      []string         // the MX records, as written last
	next      []string         // the hosts of a move that is under way; nil: there is none
	good      []string         // the last MX records of which others were told, if they were not of live; nil: they were
	away      *metav1.Duration // maxAge of the section while it is out of spec; nil: it is there
	keepsHost bool             // the address records are the owner's
	expires   time.Time        // the certificate
}

// tlsSecret has the certificate of the policy host.
const tlsSecret = "mta-sts-" + object

// maxAges are those that owners choose from.
var maxAges = []time.Duration{6 * time.Hour, day, 3 * day, 7 * day, 30 * day}

// deeds are what the owner may do at any time.
func (o *owner) deeds() []func() {
	list := []func(){
		o.move, o.move, o.move, o.move, o.changeMode, o.changeMode, o.changeMode, o.changeMaxAge, o.changeMaxAge,
		o.waver, o.waver, o.waver, o.waver, o.remove, o.changeAddress,
		o.w.suspend, o.w.observeOnly, o.w.dropClaim, o.loseLedger, o.spoilCertificate,
	}
	if !o.announces {
		list = append(list, o.moveUnannounced, o.moveUnannounced, o.moveUnannounced)
	}
	return list
}

func (o *owner) domain() *v1alpha1.MailDomain {
	return get(o.w.cluster, object, &v1alpha1.MailDomain{})
}

// edits changes the section, if it is in spec.
func (o *owner) edits(what string, change func(*v1alpha1.MTASTSSpec)) {
	o.w.cluster.edit(func(md *v1alpha1.MailDomain) {
		if md.Spec.MTASTS != nil {
			change(md.Spec.MTASTS)
			o.w.tell("owner", "%s: %s %s %v", what, md.Spec.MTASTS.Mode, md.Spec.MTASTS.MaxAgeOrDefault(), md.Spec.MTASTS.MX)
		}
	})
	o.wishes()
}

// wishes notes what spec says.
func (o *owner) wishes() {
	o.w.year.asked(o.domain().Spec.MTASTS)
}

// points has the MX records name the hosts.
func (o *owner) points(list []string, unannounced bool) {
	slices.Sort(list)
	o.live = list
	o.w.year.setOf(list).loose = unannounced
	o.w.tell("owner", "the MX records name %v", list)
	o.w.provider.set(rrsetAt(domain, typeMX), list...)
}

// move begins a move of the MX records, first of all in spec.
func (o *owner) move() {
	if o.next != nil || o.good != nil || o.away != nil {
		return
	}
	w := o.w
	for o.next == nil || slices.Equal(o.next, o.live) {
		o.next = []string{pick(w.rng, mailHosts...)}
		if more := pick(w.rng, mailHosts...); w.rng.IntN(2) == 0 && more != o.next[0] {
			o.next = append(o.next, more)
		}
		slices.Sort(o.next)
	}
	names := slices.Clone(o.next)
	if w.rng.IntN(2) == 0 {
		names = union(o.next, o.live)
	}
	o.edits("wants to move", func(s *v1alpha1.MTASTSSpec) { s.MX = names })
	w.in(w.between(time.Minute, day), o.tryMove)
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// safe reports whether status says that the MX records may name any host of spec.
func (o *owner) safe() bool {
	md := o.domain()
	if md.Status.ObservedGeneration != md.Generation {
		return false
	}
	if md.Spec.MTASTS == nil { // nobody holds a policy any more, when it is withdrawn
		ready := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionReady)
		return (md.Status.MTASTS == nil || md.Status.MTASTS.PolicyID == "") && ready != nil && ready.ObservedGeneration == md.Generation && ready.Reason == v1alpha1.ReasonVerified
	}
	c := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionMTASTSReady)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == md.Generation && md.Status.MTASTS != nil &&
		(md.Status.MTASTS.SafeToMoveMXAfter == nil || !o.w.now.Before(md.Status.MTASTS.SafeToMoveMXAfter.Time))
}

// told reports whether MTASTSReady has the reason.
func (o *owner) told(reason string) bool {
	c := meta.FindStatusCondition(o.domain().Status.Conditions, v1alpha1.ConditionMTASTSReady)
	return c != nil && c.Reason == reason
}

// tryMove moves the MX records when that is safe.
func (o *owner) tryMove() {
	w := o.w
	if o.next == nil {
		return
	}
	if !o.safe() {
		if o.told(v1alpha1.ReasonMXNotCovered) {
			o.edits("does as the condition says", func(s *v1alpha1.MTASTSSpec) { s.MX = union(o.next, o.live) })
		}
		w.in(w.between(10*time.Minute, 12*time.Hour), o.tryMove)
		return
	}
	w.Counts.Moves++
	to := o.next
	o.next = nil
	o.points(to, false)
	o.edits("has moved", func(s *v1alpha1.MTASTSSpec) { s.MX = to })
}

// moveUnannounced has the MX records name hosts that spec does not.
func (o *owner) moveUnannounced() {
	w := o.w
	if o.next != nil || o.good != nil || o.away != nil {
		return
	}
	wanted := o.domain().Spec.MTASTS.MX
	var strangers []string
	for _, host := range mailHosts {
		if !slices.Contains(wanted, host) && !slices.Contains(o.live, host) {
			strangers = append(strangers, host)
		}
	}
	if len(strangers) == 0 {
		return
	}
	w.Counts.Unannounced++
	to := []string{pick(w.rng, strangers...)}
	if w.rng.IntN(3) == 0 {
		to = union(to, o.live)
	}
	o.strays(to)
	w.in(w.between(time.Hour, 10*day), o.mends)
}

// strays has the MX records name hosts of which nobody was told.
func (o *owner) strays(to []string) {
	o.good = o.live
	o.points(to, true)
}

// mends ends a move without a word: what was moved is put into spec, or moved back.
func (o *owner) mends() {
	w := o.w
	if o.good == nil {
		return
	}
	if !w.calm && w.rng.IntN(3) == 0 {
		back := o.good
		o.good = nil
		o.points(back, false)
		return
	}
	names := union(o.live, o.good)
	o.edits("mends it", func(s *v1alpha1.MTASTSSpec) { s.MX = names })
	w.in(w.between(time.Minute, day), o.tryMend)
}

// tryMend ends the risk when status says that it is over.
func (o *owner) tryMend() {
	w := o.w
	if o.good == nil {
		return
	}
	if o.away != nil || !o.safe() || !slices.Equal(o.domain().Spec.MTASTS.MX, union(o.live, o.good)) {
		w.in(w.between(10*time.Minute, 12*time.Hour), o.tryMend)
		return
	}
	o.good = nil
	w.year.setOf(o.live).loose = false
	o.edits("has mended it", func(s *v1alpha1.MTASTSSpec) { s.MX = o.live })
}

func (o *owner) changeMode() {
	mode := pick(o.w.rng, v1alpha1.MTASTSEnforce, v1alpha1.MTASTSEnforce, v1alpha1.MTASTSTesting, v1alpha1.MTASTSNone)
	o.edits("changes the mode", func(s *v1alpha1.MTASTSSpec) { s.Mode = mode })
}

func (o *owner) changeMaxAge() {
	age := &metav1.Duration{Duration: pick(o.w.rng, maxAges...)}
	o.edits("changes max_age", func(s *v1alpha1.MTASTSSpec) { s.MaxAge = age })
}

// waver changes something and takes it back soon, or does so again and again.
func (o *owner) waver() {
	md := o.domain()
	if md.Spec.MTASTS == nil {
		return
	}
	before := md.Spec.MTASTS.DeepCopy()
	pick(o.w.rng, o.changeMode, o.changeMode, o.changeMaxAge)()
	o.w.in(o.w.between(time.Second, 12*time.Hour), func() {
		o.edits("takes it back", func(s *v1alpha1.MTASTSSpec) { s.Mode, s.MaxAge = before.Mode, before.MaxAge })
	})
}

// remove takes the section out of spec for a while.
func (o *owner) remove() {
	if o.away != nil || o.next != nil || o.good != nil {
		return
	}
	w := o.w
	lasts := w.between(time.Hour, 90*day)
	w.tell("owner", "removes the section for %s", lasts)
	o.withdraws()
	if w.rng.IntN(2) == 0 { // and moves meanwhile
		o.next = []string{pick(w.rng, mailHosts...)}
		w.in(w.between(time.Minute, day), o.tryMove)
	}
	w.in(lasts, func() {
		if !w.calm { // else it was put back already
			o.restores()
		}
	})
}

func (o *owner) withdraws() {
	o.away = &metav1.Duration{Duration: o.domain().Spec.MTASTS.MaxAgeOrDefault()}
	o.w.cluster.edit(func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil })
	o.wishes()
}

// restores puts the section back.
func (o *owner) restores() {
	if o.away == nil {
		return
	}
	mode := pick(o.w.rng, v1alpha1.MTASTSEnforce, v1alpha1.MTASTSTesting)
	o.w.cluster.edit(func(md *v1alpha1.MailDomain) {
		md.Spec.MTASTS = &v1alpha1.MTASTSSpec{Mode: mode, MaxAge: o.away, MX: union(o.live, o.next)}
		if o.keepsHost {
			md.Spec.MTASTS.Address = &v1alpha1.MTASTSAddress{Type: v1alpha1.AddressNone}
		}
	})
	o.away = nil
	o.edits("puts the section back", func(*v1alpha1.MTASTSSpec) {})
}

// enforces is what the owner wishes in the end.
func (o *owner) enforces() {
	o.edits("wishes in the end", func(s *v1alpha1.MTASTSSpec) {
		s.Mode, s.MX = v1alpha1.MTASTSEnforce, o.live
		s.MaxAge = &metav1.Duration{Duration: 7 * day}
	})
}

// changeAddress has the policy host lead to other addresses, or be the owner's own.
func (o *owner) changeAddress() {
	address := pick(o.w.rng,
		nil, nil,
		&v1alpha1.MTASTSAddress{Type: v1alpha1.AddressA, Values: []string{balancers[1].String()}},
		&v1alpha1.MTASTSAddress{Type: v1alpha1.AddressA, Values: []string{balancers[0].String(), balancers[1].String()}},
	)
	o.edits("changes the address", func(s *v1alpha1.MTASTSSpec) { s.Address = address })
}

// renews writes a certificate into the TLS Secret, and does so again in time, mostly.
func (o *owner) renews(lasts time.Duration) {
	w := o.w
	o.certifies(policyHost, w.now.Add(lasts))
	o.expires = w.now.Add(lasts)
	next := lasts * 2 / 3
	if w.chance(0.2) {
		next = lasts + w.between(time.Minute, 4*day)
	}
	expires := o.expires
	w.in(next, func() {
		if o.expires.Equal(expires) {
			o.renews(lasts)
		}
	})
}

// spoilCertificate has the TLS Secret hold a certificate for another name, for a while.
func (o *owner) spoilCertificate() {
	o.certifies("www."+domain, o.w.now.Add(90*day))
	expires := o.expires
	o.w.in(o.w.between(time.Minute, 3*day), func() {
		if o.expires.Equal(expires) {
			o.renews(90 * day)
		}
	})
}

func (o *owner) certifies(host string, until time.Time) {
	certificate, key, err := o.w.year.authority.Issue(host, until)
	must(err)
	o.w.tell("owner", "has a certificate for %s until %s", host, until.Format(time.DateOnly))
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: tlsSecret}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key},
	}
	if o.w.cluster.has("Secret", secret.Name) {
		must(o.w.cluster.update(secret))
		return
	}
	must(o.w.cluster.create(secret))
}

func parseCertificate(text []byte) *x509.Certificate {
	block, _ := pem.Decode(text)
	parsed, err := x509.ParseCertificate(block.Bytes)
	must(err)
	return parsed
}

// loseLedger deletes the ledger, and restores it later as it was.
func (o *owner) loseLedger() {
	w := o.w
	if !w.cluster.has("Secret", ledgerSecret) || w.busy {
		return
	}
	if _, told := w.year.announced(); !told {
		return // nothing was promised yet
	}
	backup := get(w.cluster, ledgerSecret, &corev1.Secret{})
	lasts := w.between(time.Minute, 12*time.Hour)
	w.tell("owner", "loses the ledger for %s", lasts)
	lost := backup.DeepCopy()
	lost.Finalizers = nil // as when the cluster's store loses it
	must(w.cluster.update(lost))
	must(w.cluster.remove(lost))
	w.in(lasts, func() {
		if w.cluster.has("Secret", ledgerSecret) {
			w.violated("a ledger was made anew in place of a lost one")
		}
		w.tell("owner", "restores the ledger")
		restored := backup.DeepCopy()
		restored.ResourceVersion = ""
		must(w.cluster.create(restored))
	})
}
