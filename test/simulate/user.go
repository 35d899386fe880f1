package simulate

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/probe"
)

// apply is how it all begins: a user applies a provider and a MailDomain.
func (w *World) apply() {
	must(w.cluster.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "tsig"}, Data: map[string][]byte{"secret": []byte("c2VjcmV0")}}))
	must(w.cluster.create(&v1alpha1.DNSProvider{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "dns"}, Spec: v1alpha1.DNSProviderSpec{
		Domains: []string{domain},
		RFC2136: &v1alpha1.RFC2136Provider{Server: "192.0.2.1:53", TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}},
	}}))
	rotation := &v1alpha1.DKIMRotation{Interval: &metav1.Duration{Duration: w.plan.interval}, Retention: &metav1.Duration{Duration: w.plan.retention}}
	if w.plan.manual {
		rotation.Confirm = v1alpha1.ConfirmManual
	}
	list := []v1alpha1.DKIMKey{{Name: "rsa", Algorithm: v1alpha1.DKIMRSA}}
	if w.plan.imports {
		w.signedBefore()
		list[0] = v1alpha1.DKIMKey{Name: "rsa", Import: &v1alpha1.DKIMImport{SecretName: legacySecret, Key: legacyFile, Selector: legacySelector}}
	}
	var shared *v1alpha1.SignerSecret
	if yes := true; w.plan.combine {
		w.neighbourRotates()
		shared = &v1alpha1.SignerSecret{Name: signerSecret, Combine: &yes}
	}
	if w.rng.IntN(2) == 0 {
		list = append(list, v1alpha1.DKIMKey{Name: "ed25519", Algorithm: v1alpha1.DKIMEd25519})
	}
	must(w.cluster.create(&v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: object}, Spec: v1alpha1.MailDomainSpec{
		Domain: domain,
		DNS:    &v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: v1alpha1.KindDNSProvider, Name: "dns"}},
		DKIM:   &v1alpha1.DKIMSpec{Selector: "mail", Keys: list, Rotation: rotation, SignerSecret: shared},
	}}))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// deeds are what a user may do at any time.
func (w *World) deeds() []func() {
	if w.year != nil {
		return w.year.owner.deeds()
	}
	return []func(){
		w.rotate, w.rotate, w.rotate, w.rotate,
		w.compromise,
		w.changeKeys, w.changeKeys,
		w.suspend, w.observeOnly, w.pauseRotation,
		w.deleteSigner, w.spoilSigner, w.loseLedger, w.spoilLedger,
		w.squat,
		w.dropClaim,
	}
}

func (w *World) annotate(name, value string) {
	w.tell("user", "sets %s: %s", name, value)
	w.cluster.edit(func(md *v1alpha1.MailDomain) {
		if md.Annotations == nil {
			md.Annotations = map[string]string{}
		}
		md.Annotations[name] = value
	})
}

// rotate asks for a rotation. It is the time at which a short silence of a name server does most.
func (w *World) rotate() {
	w.annotate(v1alpha1.AnnotationRotate, stamp(w.now))
	if w.chance(0.4) {
		lasts := w.between(2*time.Minute, waitedFor-2*time.Minute)
		w.in(w.between(time.Second, time.Minute), func() { w.names.fail(w.anyServer(), probe.Timeout, lasts) })
	}
}

// compromise has a key that signs be known to others. Its mail is nobody's promise any more.
func (w *World) compromise() {
	if w.watch.files == nil || len(w.watch.files.selectors) == 0 {
		return
	}
	selector := w.watch.files.selectors[w.rng.IntN(len(w.watch.files.selectors))]
	w.watch.compromised[selector] = true
	w.annotate(v1alpha1.AnnotationCompromised, selector)
}

// changeKeys adds the second key, or takes it out.
func (w *World) changeKeys() {
	w.dropped++
	w.cluster.edit(func(md *v1alpha1.MailDomain) {
		list := &md.Spec.DKIM.Keys
		if len(*list) == 1 {
			w.tell("user", "adds the key ed25519")
			*list = append(*list, v1alpha1.DKIMKey{Name: "ed25519", Algorithm: v1alpha1.DKIMEd25519})
		} else {
			w.tell("user", "takes out the key ed25519")
			*list = slices.Clone((*list)[:1])
		}
	})
}

// forAWhile makes a change and takes it back.
func (w *World) forAWhile(what string, change, back func(*v1alpha1.MailDomain)) {
	lasts := w.between(time.Minute, 10*24*time.Hour)
	w.tell("user", "%s for %s", what, lasts)
	w.cluster.edit(change)
	w.in(lasts, func() {
		w.tell("user", "ends: %s", what)
		w.cluster.edit(back)
	})
}

func (w *World) suspend() {
	yes, no := true, false
	w.forAWhile("suspends", func(md *v1alpha1.MailDomain) { md.Spec.Suspend = &yes }, func(md *v1alpha1.MailDomain) { md.Spec.Suspend = &no })
}

func (w *World) observeOnly() {
	w.forAWhile("observes only", func(md *v1alpha1.MailDomain) { md.Spec.Mode = v1alpha1.ModeObserve }, func(md *v1alpha1.MailDomain) { md.Spec.Mode = v1alpha1.ModeEnforce })
}

func (w *World) pauseRotation() {
	yes := true
	w.forAWhile("pauses rotation", func(md *v1alpha1.MailDomain) { md.Spec.DKIM.Rotation.Paused = &yes }, func(md *v1alpha1.MailDomain) { md.Spec.DKIM.Rotation.Paused = nil })
}

// deleteSigner deletes the signer's Secret.
func (w *World) deleteSigner() {
	if !w.cluster.has("Secret", signerSecret) {
		return
	}
	w.tell("user", "deletes the signer's Secret")
	w.watch.gone = true
	if w.plan.combine {
		w.neighbour = nil
		w.in(w.between(time.Second, time.Hour), w.neighbourWrites)
	}
	must(w.cluster.remove(get(w.cluster, signerSecret, &corev1.Secret{})))
}

// spoilSigner takes a file out of the signer's Secret. The signers have it until the kubelet comes.
func (w *World) spoilSigner() {
	if !w.cluster.has("Secret", signerSecret) {
		return
	}
	secret := get(w.cluster, signerSecret, &corev1.Secret{})
	for _, selector := range filesOf(secret).selectors {
		w.tell("user", "takes the file of %s out of the signer's Secret", selector)
		delete(secret.Data, keys.PrivateFile(selector))
		delete(secret.Data, sharedPrefix+keys.PrivateFile(selector))
		w.watch.gone = true
		must(w.cluster.update(secret))
		return
	}
}

// loss is one of the ledger, until it is restored.
type loss struct {
	began bool // a key had signed
}

// loseLedger deletes the ledger, and restores it later as it was; if it was lost again meanwhile, as it was then.
func (w *World) loseLedger() {
	if !w.cluster.has("Secret", ledgerSecret) {
		return
	}
	if w.lost != nil && w.lost.began {
		w.violated("a ledger was made anew in place of a lost one")
	}
	backup := get(w.cluster, ledgerSecret, &corev1.Secret{})
	lasts := w.between(time.Minute, 12*time.Hour)
	w.tell("user", "loses the ledger for %s", lasts)
	this := &loss{began: w.watch.began}
	w.lost = this
	lost := backup.DeepCopy()
	lost.Finalizers = nil // as when the cluster's store loses it
	must(w.cluster.update(lost))
	must(w.cluster.remove(lost))
	w.in(lasts, func() {
		if w.lost != this {
			return
		}
		w.lost = nil
		if w.cluster.has("Secret", ledgerSecret) {
			if this.began {
				w.violated("a ledger was made anew in place of a lost one")
			}
			w.cleanUp() // no key has signed yet: no more than that was lost
			return
		}
		w.tell("user", "restores the ledger")
		restored := backup.DeepCopy()
		restored.ResourceVersion = ""
		must(w.cluster.create(restored))
	})
}

// cleanUp removes the key records of a lost ledger that the one which was made anew does not know: to
// it they are somebody else's, and stand in the way where it chose the same selector before any server
// had them. No key of them has signed.
func (w *World) cleanUp() {
	v, ledger := &w.watch, filesOf(get(w.cluster, ledgerSecret, &corev1.Secret{}))
	v.written = slices.DeleteFunc(v.written, func(k written) bool {
		private := ledger.private[k.selector]
		if private == damaged || w.keys.records[private] == k.record {
			return false
		}
		w.tell("user", "removes the record of %s, whose key is lost", k.selector)
		w.provider.set(k.name, slices.DeleteFunc(slices.Clone(w.provider.zone[k.name]), func(value string) bool { return value == k.record })...)
		delete(v.record, k.selector)
		return true
	})
}

// damaged is what a private key in the ledger is for a while.
const damaged = "damaged"

// spoilLedger damages one private key in the ledger, and restores it later.
func (w *World) spoilLedger() {
	if !w.cluster.has("Secret", ledgerSecret) {
		return
	}
	secret := get(w.cluster, ledgerSecret, &corev1.Secret{})
	for _, selector := range sorted(filesOf(secret).private) {
		if w.rng.IntN(2) == 0 {
			continue
		}
		file := keys.PrivateFile(selector)
		good := secret.Data[file]
		if string(good) == damaged {
			continue
		}
		lasts := w.between(time.Minute, 24*time.Hour)
		w.tell("user", "damages the private key of %s in the ledger for %s", selector, lasts)
		secret.Data[file] = []byte(damaged)
		w.watch.spoiled = w.now
		must(w.cluster.update(secret))
		w.in(lasts, func() { w.mend(file, good) })
		return
	}
}

// mend restores a damaged private key, when there is a ledger to restore it in.
func (w *World) mend(file string, good []byte) {
	if !w.cluster.has("Secret", ledgerSecret) {
		w.in(time.Hour, func() { w.mend(file, good) })
		return
	}
	secret := get(w.cluster, ledgerSecret, &corev1.Secret{})
	if string(secret.Data[file]) == damaged {
		w.tell("user", "restores %s in the ledger", file)
		secret.Data[file] = good
		must(w.cluster.update(secret))
	}
}

// squat has somebody else take the selectors that come next.
func (w *World) squat() {
	for _, letter := range "ab" {
		name := "mail-" + w.now.Add(w.operator.ahead).Format("20060102") + string(letter) + "._domainkey." + domain
		if w.provider.zone[name] == nil && w.watch.foreign[name] == "" {
			w.tell("user", "has another tool write %s", name)
			w.watch.foreign[name] = "v=DKIM1; p="
			w.provider.set(name, "v=DKIM1; p=")
		}
	}
	w.in(w.between(time.Hour, 12*time.Hour), w.clearForeign)
}

// clearForeign removes it again. Where it was written between the choice of a selector and the
// operator's own write that is a conflict, which only a person ends.
func (w *World) clearForeign() {
	for _, name := range sorted(w.watch.foreign) {
		w.provider.set(name, slices.DeleteFunc(slices.Clone(w.provider.zone[name]), func(v string) bool { return v == w.watch.foreign[name] })...)
	}
	clear(w.watch.foreign)
}

// dropClaim removes the registry record.
func (w *World) dropClaim() {
	w.tell("user", "removes the registry record")
	w.provider.set("_maildomain." + domain)
}

// confirm has the owner of signers that wait for him load what is there now, and say so.
func (w *World) confirm() {
	if !w.plan.manual {
		return
	}
	for _, s := range w.signers {
		if s.volume == nil {
			return
		}
		w.load(s)
	}
	selectors := w.signers[0].loaded.selectors
	if len(selectors) == 0 || slices.ContainsFunc(w.signers, func(s *signer) bool { return !slices.Equal(s.loaded.selectors, selectors) }) {
		return
	}
	says, dropped := pick(w.rng, selectors...), w.dropped
	w.in(w.between(time.Second, time.Hour), func() {
		w.annotate(v1alpha1.AnnotationSignerSwitched, "")
		w.in(w.uniform(cacheLag, time.Minute), func() {
			if dropped == w.dropped { // else what he loaded is from before he took a key out himself
				w.annotate(v1alpha1.AnnotationSignerSwitched, says)
			}
		})
	})
}

// confirms has that happen now and then.
func (w *World) confirms() {
	w.confirm()
	w.in(w.between(time.Hour, 20*24*time.Hour), w.confirms)
}
