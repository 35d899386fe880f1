package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/records"
)

// heir finds the ClusterDNSProvider that a tombstone may go on with: the MailDomain's own, or else the
// first by name with a grant for its namespace and domain that holds the zone. A tenant writes its
// ledger, so without a grant that would be a tenant's way to an administrator's credentials.
func (r *Reconciler) heir(ctx context.Context, s *scope) (string, error) {
	if s.md.Spec.Manual() || !r.Watched.cluster() {
		return "", nil
	}
	if ref := s.md.Spec.DNS.ProviderRef; ref.Kind == v1alpha1.KindClusterDNSProvider {
		if p, err := r.findProvider(ctx, s.md); err != nil || !p.granted {
			return "", err
		}
		return ref.Name, nil
	}
	var list v1alpha1.ClusterDNSProviderList
	if err := r.Client.List(ctx, &list); err != nil {
		return "", err
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.ClusterDNSProvider) int { return cmp.Compare(a.Name, b.Name) })
	slot := records.ClaimSlot(s.md.Spec.Domain)
	claim := records.NewClaim(r.OwnerID, s.md.Namespace, s.md.Name).String()
	apex := s.apex(r.look(ctx, s, slot.Name))
	for _, object := range list.Items {
		spec := &object.Spec.DNSProviderSpec
		if granted, err := r.grants(ctx, object.Spec.Grants, s.md); err != nil {
			return "", err
		} else if !granted || !covers(spec, s.md.Spec.Domain) || apex == "" {
			continue
		}
		p, err := r.use(ctx, spec, providerRoom{v1alpha1.KindClusterDNSProvider, object.Name, r.Namespace})
		if err != nil {
			return "", err
		}
		if !p.usable() {
			continue
		}
		if zone, err := p.open(apex); err == nil {
			if seen := zone.Read(ctx, slot.Key)[0]; seen.Err == nil && slices.ContainsFunc(seen.RRset.Values(), func(v string) bool { return slot.Same(v, claim) }) {
				return object.Name, nil
			}
		}
	}
	return "", nil
}

// providerOf returns the provider that a tombstone may use.
func (r *Reconciler) providerOf(ctx context.Context, t *tombstone) (provider, error) {
	none := func(why string) provider { return provider{verdict: verdict{v1alpha1.ReasonProviderNotFound, why}} }
	switch {
	case t.Manual:
		return none(fmt.Sprintf("the records of %s were a human's to publish", t.Domain)), nil
	case t.Provider == "":
		return none(fmt.Sprintf("no ClusterDNSProvider with a grant for namespace %s held %s", t.Namespace, t.Domain)), nil
	case !r.Watched.cluster():
		return none(fmt.Sprintf("ClusterDNSProvider %s can't be used by an operator that is confined to namespaces", t.Provider)), nil
	}
	var object v1alpha1.ClusterDNSProvider
	err := r.Client.Get(ctx, types.NamespacedName{Name: t.Provider}, &object)
	switch {
	case apierrors.IsNotFound(err), err == nil && !covers(&object.Spec.DNSProviderSpec, t.Domain):
		return none(fmt.Sprintf("ClusterDNSProvider %s is not there for %s", t.Provider, t.Domain)), nil
	case err != nil:
		return provider{}, err
	}
	p, err := r.use(ctx, &object.Spec.DNSProviderSpec, providerRoom{v1alpha1.KindClusterDNSProvider, object.Name, r.Namespace})
	p.granted = true
	return p, err
}
