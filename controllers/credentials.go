package controllers

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// credentials are the Secrets of providers, which the passes of many MailDomains ask for over and over. Each is read past the cache,
// and once for each version that the cache shows, which has metadata alone. So a new version is used as soon as its coming is known,
// which also is when passes come for it. The zero credentials know none.
type credentials struct {
	mu    sync.Mutex
	known map[types.NamespacedName]*corev1.Secret
}

// read returns the Secret, which is not to be changed. An error is one of the API server.
func (c *credentials) read(ctx context.Context, cache, reader client.Reader, at types.NamespacedName) (*corev1.Secret, error) {
	var shown metav1.PartialObjectMetadata
	shown.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	switch err := cache.Get(ctx, at, &shown); {
	case apierrors.IsNotFound(err): // the cache may be late
	case err != nil:
		return nil, fmt.Errorf("looking for Secret %s: %w", at.Name, err)
	default:
		if known := c.find(at); known != nil && known.UID == shown.UID && known.ResourceVersion == shown.ResourceVersion {
			return known, nil
		}
	}
	var secret corev1.Secret
	err := reader.Get(ctx, at, &secret)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		delete(c.known, at)
		return nil, err
	}
	if c.known == nil {
		c.known = map[types.NamespacedName]*corev1.Secret{}
	}
	c.known[at] = &secret
	return &secret, nil
}

func (c *credentials) find(at types.NamespacedName) *corev1.Secret {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[at]
}
