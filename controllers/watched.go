package controllers

import (
	"fmt"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// Watched are the namespaces that the operator has rights in, besides its own; none: all of the cluster. With names it
// has Roles alone, so that what stands in no namespace is out of its reach: ClusterDNSProviders are off.
type Watched []string

// cluster reports whether the operator may read what stands in no namespace.
func (w Watched) cluster() bool { return len(w) == 0 }

// noClusterProviders is said of a MailDomain that refers to one where they are off.
func noClusterProviders(md *v1alpha1.MailDomain) verdict {
	return verdict{v1alpha1.ReasonProviderNotAllowed, fmt.Sprintf(
		"ClusterDNSProvider %s can't be used: this operator is confined to named namespaces (--watch-namespaces), where it can't read it: refer to a DNSProvider in namespace %s", md.Spec.DNS.ProviderRef.Name, md.Namespace)}
}
