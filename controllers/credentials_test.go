package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// safe has one Secret, of which a cache shows the metadata.
type safe struct {
	client.Reader
	uid     types.UID
	version string // "": there is none
	err     error
	reads   int
}

func (s *safe) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	s.reads++
	if s.err != nil {
		return s.err
	}
	if s.version == "" {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	into.SetUID(s.uid)
	into.SetResourceVersion(s.version)
	if secret, ok := into.(*corev1.Secret); ok {
		secret.Data = map[string][]byte{"token": []byte(string(s.uid) + s.version), "long": make([]byte, longestCredential+1)}
	}
	return nil
}

// Credentials are read once for each version that the cache shows, and never used for longer than it shows it.
func TestCredentialsAreReadOnceForEachVersion(t *testing.T) {
	broken := errors.New("the API server is away")
	var c credentials
	at := credentialAt{types.NamespacedName{Namespace: "mail", Name: "token"}, "token"}
	for _, step := range []struct {
		name        string
		cache, live safe
		want        string
		reads       int
	}{
		{"at first", safe{uid: "a", version: "1"}, safe{uid: "a", version: "1"}, "a1", 1},
		{"again", safe{uid: "a", version: "1"}, safe{uid: "a", version: "1"}, "a1", 0},
		{"the change is not known yet", safe{uid: "a", version: "1"}, safe{uid: "a", version: "2"}, "a1", 0},
		{"the change is known", safe{uid: "a", version: "2"}, safe{uid: "a", version: "2"}, "a2", 1},
		{"the cache is behind what was read", safe{uid: "a", version: "1"}, safe{uid: "a", version: "2"}, "a2", 1},
		{"another object", safe{uid: "b", version: "2"}, safe{uid: "b", version: "2"}, "b2", 1},
		{"gone", safe{}, safe{}, "", 1},
		{"back, of which the cache does not know yet", safe{}, safe{uid: "c", version: "3"}, "c3", 1},
		{"it can't be read", safe{uid: "c", version: "4"}, safe{err: broken}, "", 1},
		{"nor the cache", safe{err: broken}, safe{uid: "c", version: "4"}, "", 0},
		{"what was known is forgotten with that", safe{uid: "c", version: "3"}, safe{uid: "c", version: "4"}, "c4", 1},
		{"it can be again", safe{uid: "c", version: "4"}, safe{uid: "c", version: "4"}, "c4", 0},
	} {
		got, there, err := c.read(t.Context(), &step.cache, &step.live, at, noon)
		if there != (step.want != "") || got != step.want || step.live.reads != step.reads {
			t.Errorf("%s: got %q, %v after %d reads, want %q after %d", step.name, got, err, step.live.reads, step.want, step.reads)
		}
	}
}

// Nothing is kept that is no credential, that nobody uses, or that was refused.
func TestCredentialsThatAreNotKept(t *testing.T) {
	secret := types.NamespacedName{Namespace: "mail", Name: "token"}
	var c credentials
	read := func(key string, now time.Time) (reads int) {
		t.Helper()
		live, shown := safe{uid: "a", version: "1"}, safe{uid: "a", version: "1"}
		if _, _, err := c.read(t.Context(), &shown, &live, credentialAt{secret, key}, now); err != nil {
			t.Fatal(err)
		}
		return live.reads
	}
	for _, key := range []string{"long", "none"} {
		if reads := read(key, noon) + read(key, noon); reads != 2 || len(c.known) > 0 {
			t.Errorf("the value under %s was read %d times in 2, and %d are kept", key, reads, len(c.known))
		}
	}
	if reads := read("token", noon) + read("token", noon.Add(idle-1)); reads != 1 {
		t.Errorf("one that is in use was read %d times", reads)
	}
	c.forget(credentialAt{secret, "token"})
	if reads := read("token", noon); reads != 1 {
		t.Error("one that was refused was not read again")
	}
	if read("none", noon.Add(2*idle)); len(c.known) > 0 {
		t.Errorf("%d are kept that nobody uses", len(c.known))
	}
}

// What a provider refuses is read again, also while the cache does not know of a newer version.
func TestRefusedCredentialsAreReadAgain(t *testing.T) {
	w := newWorld(t)
	tsig := func(secret string) {
		s := w.secret("tsig")
		s.Data["secret"] = []byte(secret)
		w.must(w.api.Update(t.Context(), s))
	}
	tsig("YW5vdGhlcg==")
	late := &lateCache{Client: w.r.Client, secret: "tsig"}
	late.version = w.secret("tsig").ResourceVersion
	w.r.Client = late
	w.apply("example-com", spec())
	w.until("example-com", "refused", hasReason(v1alpha1.ConditionProviderReady, v1alpha1.ReasonUnauthorized))
	tsig(tsigSecret)
	w.until("example-com", "ready", isReady)
}

// lateCache shows an old version of one Secret.
type lateCache struct {
	client.Client
	secret, version string
}

// Get implements client.Reader.
func (c *lateCache) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	err := c.Client.Get(ctx, key, into, opts...)
	if _, metadata := into.(*metav1.PartialObjectMetadata); metadata && key.Name == c.secret {
		into.SetResourceVersion(c.version)
	}
	return err
}
