package controllers

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
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
		secret.Data = map[string][]byte{"token": []byte(string(s.uid) + s.version)}
	}
	return nil
}

// Credentials are read once for each version that the cache shows, and never used for longer than it shows it.
func TestCredentialsAreReadOnceForEachVersion(t *testing.T) {
	broken := errors.New("the API server is away")
	var c credentials
	at := types.NamespacedName{Namespace: "mail", Name: "token"}
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
		secret, err := c.read(t.Context(), &step.cache, &step.live, at)
		got := ""
		if err == nil {
			got = string(secret.Data["token"])
		}
		if got != step.want || step.live.reads != step.reads {
			t.Errorf("%s: got %q, %v after %d reads, want %q after %d", step.name, got, err, step.live.reads, step.want, step.reads)
		}
	}
}
