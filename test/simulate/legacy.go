package simulate

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// A world may have signed before the operator came: with a key that spec imports, and whose record is
// worded as somebody once worded it.
const (
	legacySecret   = "legacy"
	legacyFile     = "private.pem"
	legacySelector = "s1"
)

// signedBefore begins such a world.
func (w *World) signedBefore() {
	pair, err := ed25519Key(w.keys.seed, 0) // the pool's begin with 1
	must(err)
	text := strings.Replace(pair.Record, "v=DKIM1; ", "v=DKIM1;h=sha256 ; n=since 2019; ", 1)
	w.legacy = string(pair.Private)
	w.keys.records[w.legacy] = text
	w.watch.record[legacySelector] = text
	w.provider.zone[nameOf(legacySelector)] = []string{text}
	w.names.stands(nameOf(legacySelector), text)
	must(w.cluster.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: legacySecret, Labels: map[string]string{v1alpha1.LabelImport: "true"}},
		Data:       map[string][]byte{legacyFile: pair.Private},
	}))
	w.in(w.between(time.Hour, 20*24*time.Hour), w.dropLegacy)
}

// dropLegacy has the user delete the Secret that the key came from, when the operator signs with it.
func (w *World) dropLegacy() {
	if _, signed := w.watch.listed[legacySelector]; !signed || !w.watch.began || !w.cluster.has("Secret", ledgerSecret) ||
		filesOf(get(w.cluster, ledgerSecret, &corev1.Secret{})).private[legacySelector] != w.legacy {
		w.in(24*time.Hour, w.dropLegacy)
		return
	}
	w.Counts.Imports++
	w.tell("user", "deletes the Secret that the key was imported from")
	must(w.cluster.remove(get(w.cluster, legacySecret, &corev1.Secret{})))
}

// signBefore has a signer that does not read the operator's Secret yet go on as before.
func (w *World) signBefore() {
	w.watch.listed[legacySelector] = w.now
	w.mail.note(w, legacySelector, w.legacy)
}
