package simulate

import (
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/keys"
)

// A world's signer's Secret may be one that another domain has its part in.
const (
	neighbour    = "neighbour.example"
	sharedMark   = "maildomain.dev/shared"
	sharedPrefix = domain + "_" // of the names of this domain's files
)

// neighbourWrites has the other domain write its part, with a new key each time.
func (w *World) neighbourWrites() {
	w.Counts.Neighbours++
	selector := fmt.Sprintf("n%d", w.Counts.Neighbours)
	ring := keys.Keyring{{Name: "rsa", Selector: selector, Algorithm: "rsa", Active: w.now}}
	share := keys.SharedData(neighbour, ring, keys.Policy{Keys: []keys.Spec{{Name: "rsa"}}}, map[string][]byte{selector: []byte("the key " + selector)})
	w.neighbour = keys.PartOf(keys.Combine(nil, neighbour, share), neighbour)
	w.tell("neighbour", "signs with %s", selector)
	if !w.cluster.has("Secret", signerSecret) {
		must(w.cluster.create(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: signerSecret, Annotations: map[string]string{sharedMark: "true"}},
			Type:       corev1.SecretTypeOpaque, Data: keys.Combine(nil, neighbour, share),
		}))
		return
	}
	secret := get(w.cluster, signerSecret, &corev1.Secret{})
	secret.Data = keys.Combine(secret.Data, neighbour, share)
	must(w.cluster.update(secret))
}

// neighbourRotates has that happen now and then.
func (w *World) neighbourRotates() {
	if w.calm {
		return
	}
	w.neighbourWrites()
	w.in(w.between(time.Minute, 10*24*time.Hour), w.neighbourRotates)
}

// keepsOff judges that the other domain's part is what that wrote last.
func (w *World) keepsOff(secret *corev1.Secret) {
	if part := keys.PartOf(secret.Data, neighbour); w.neighbour != nil && !maps.EqualFunc(part, w.neighbour, func(a, b []byte) bool { return string(a) == string(b) }) {
		w.violated("the other domain's part of the signer's Secret is %q, and was %q", part, w.neighbour)
	}
}
