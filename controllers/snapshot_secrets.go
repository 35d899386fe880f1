package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secretsOf are the Secrets that a site's certificate may come from: the holder's, and what was kept
// of it for when that can't be served.
func secretsOf(site *corev1.ConfigMap) [2]types.NamespacedName {
	return [2]types.NamespacedName{
		{Namespace: site.Data[siteNamespace], Name: site.Data[siteTLSSecret]},
		{Namespace: site.Namespace, Name: site.Name},
	}
}

// secretVersion is a Secret as it stood at one time; without a resourceVersion it did not exist.
type secretVersion struct {
	types.NamespacedName
	resourceVersion string
}

func versionOf(secret *corev1.Secret) secretVersion {
	return secretVersion{client.ObjectKeyFromObject(secret), secret.ResourceVersion}
}

// reading is what was found in a Secret.
type reading struct {
	version             secretVersion
	unusable            string // why it never can be served; "": it can, within these times
	notBefore, notAfter time.Time
}

// fault says what keeps the certificate from being served at the time; "" is nothing.
func (r reading) fault(now time.Time) string {
	switch {
	case r.version.resourceVersion == "":
		return "it does not exist"
	case r.unusable != "":
		return r.unusable
	}
	return timeFault(r.notBefore, r.notAfter, now)
}

// version asks the cache, which has the metadata of Secrets only.
func (w *SnapshotWriter) version(ctx context.Context, name types.NamespacedName) (secretVersion, error) {
	var secret metav1.PartialObjectMetadata
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err := w.Client.Get(ctx, name, &secret)
	return secretVersion{name, secret.ResourceVersion}, client.IgnoreNotFound(err)
}

// read reads the Secret past the cache, unless the cache says that there is none.
func (w *SnapshotWriter) read(ctx context.Context, site *corev1.ConfigMap, version secretVersion) (*corev1.Secret, reading, error) {
	if version.resourceVersion == "" {
		return nil, reading{version: version}, nil
	}
	secret := &corev1.Secret{}
	if err := w.Reader.Get(ctx, version.NamespacedName, secret); client.IgnoreNotFound(err) != nil {
		return nil, reading{}, err
	} else if err != nil {
		return nil, reading{version: secretVersion{NamespacedName: version.NamespacedName}}, nil
	}
	return secret, judge(site.Data[siteDomain], secret), nil
}

func judge(domain string, secret *corev1.Secret) reading {
	r := reading{version: versionOf(secret)}
	leaf, what := pairLeaf(domain, secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if r.unusable = what; leaf != nil {
		r.notBefore, r.notAfter = leaf.NotBefore, leaf.NotAfter
	}
	return r
}
