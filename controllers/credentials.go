package controllers

import (
	"context"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// credentials are those of providers, which the passes of many MailDomains ask for over and over. Each is read past the cache, and
// once for each version of its Secret that the cache shows, which has metadata alone. So a new version is used as soon as its coming
// is known, which also is when passes come for it. What nobody uses is forgotten within two hours (idle, and as long until the next
// sweep), and what a provider refuses at once. The zero credentials know none.
type credentials struct {
	mu    sync.Mutex
	known map[credentialAt]*credential
	swept time.Time
}

// credentialAt is where one stands: under a key of a Secret.
type credentialAt struct {
	secret types.NamespacedName
	key    string
}

// credential is one that was read. Nothing else of its Secret is kept.
type credential struct {
	uid     types.UID
	version string
	value   string
	used    time.Time
}

// longestCredential is in bytes, and more than any is. What is longer is none, and is read each time.
const longestCredential = 16 << 10

// read returns the value, and whether the Secret has the key. An error is that of the cache or of the API server.
func (c *credentials) read(ctx context.Context, cache, reader client.Reader, at credentialAt, now time.Time) (value string, there bool, err error) {
	c.sweep(now)
	var shown metav1.PartialObjectMetadata
	shown.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	switch err := cache.Get(ctx, at.secret, &shown); {
	case apierrors.IsNotFound(err): // the cache may be late
	case err != nil:
		return "", false, err
	default:
		if value, known := c.find(at, shown.UID, shown.ResourceVersion, now); known {
			return value, true, nil
		}
	}
	var secret corev1.Secret
	if err := reader.Get(ctx, at.secret, &secret); err != nil {
		c.forget(at)
		return "", false, err
	}
	text, there := secret.Data[at.key]
	if value = string(text); !there || len(value) > longestCredential {
		c.forget(at)
		return value, there, nil
	}
	c.keep(at, &credential{secret.UID, secret.ResourceVersion, value, now})
	return value, true, nil
}

func (c *credentials) find(at credentialAt, uid types.UID, version string, now time.Time) (value string, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.known[at]
	if one == nil || one.uid != uid || one.version != version {
		return "", false
	}
	one.used = now
	return one.value, true
}

func (c *credentials) keep(at credentialAt, one *credential) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[credentialAt]*credential{}
	}
	c.known[at] = one
}

func (c *credentials) forget(at credentialAt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, at)
}

// sweep forgets what was not used for long: Secrets are withdrawn, and MailDomains go.
func (c *credentials) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.swept) < idle {
		return
	}
	c.swept = now
	maps.DeleteFunc(c.known, func(_ credentialAt, one *credential) bool { return now.Sub(one.used) >= idle })
}
