package metrics

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// series is a gauge with the values of its labels; those that it has no label for are "".
type series struct {
	*gauge
	values [maxLabels]string
}

// figures are the samples of one or many MailDomains.
type figures map[series]float64

// add folds a value in.
func (f figures) add(g *gauge, value float64, labels ...string) {
	key := series{gauge: g}
	copy(key.values[:], labels)
	if before, there := f[key]; there {
		value = g.fold(before, value)
	}
	f[key] = value
}

// addTime folds a time in, if it has come.
func (f figures) addTime(g *gauge, t *metav1.Time, labels ...string) {
	if !t.IsZero() {
		f.add(g, float64(t.Unix()), labels...)
	}
}

// describe adds what a MailDomain's spec and status say. It changes neither.
func (f figures) describe(md *v1alpha1.MailDomain) {
	mode := string(md.Spec.ModeOrDefault())
	if md.Spec.Suspended() {
		mode = "Suspended"
	}
	f.add(domains, 1, mode)
	for i := range md.Status.Conditions {
		f.condition(&md.Status.Conditions[i])
	}
	for i := range md.Status.Records {
		r := &md.Status.Records[i]
		f.add(records, 1, string(r.Purpose), string(r.State))
	}
	if spf := md.Status.SPF; spf != nil && spf.Lookups != nil {
		f.add(spfLookups, float64(*spf.Lookups))
	}
	if dkim := md.Status.DKIM; dkim != nil {
		f.keys(dkim, md.Status.Records)
		if mode == string(v1alpha1.ModeEnforce) {
			f.addTime(nextRotation, dkim.NextRotation)
		}
	}
	if policy := md.Status.MTASTS; policy != nil {
		f.policy(policy)
	}
}

func (f figures) condition(c *metav1.Condition) {
	f.add(conditions, 1, c.Type, string(c.Status), c.Reason)
	// Reconciling and Stalled are there only while they are True, and Ready says the same.
	if c.Status != metav1.ConditionTrue {
		f.addTime(notTrueSince, &c.LastTransitionTime, c.Type, c.Reason)
	}
}

func (f figures) keys(dkim *v1alpha1.DKIMStatus, served []v1alpha1.RecordStatus) {
	unserved := 0.0
	for i := range dkim.Keys {
		k := &dkim.Keys[i]
		f.add(dkimKeys, 1, string(k.State))
		switch k.State {
		case v1alpha1.KeyGenerated, v1alpha1.KeyPublished, v1alpha1.KeyPropagated:
			f.addTime(pendingCreated, k.Created)
		case v1alpha1.KeyActive:
			f.addTime(activeCreated, k.Created)
			if lacking(k.Selector, served) {
				unserved++
			}
		}
	}
	f.add(unservedKeys, unserved)
}

// lacking reports whether a name server is known not to serve the selector's record. That none answers is no
// proof of it.
func lacking(selector string, served []v1alpha1.RecordStatus) bool {
	name := selector + "._domainkey."
	for i := range served {
		r := &served[i]
		if r.Purpose == v1alpha1.PurposeDKIM && strings.HasPrefix(r.Name, name) {
			return r.State != v1alpha1.RecordVerified && r.Reason != v1alpha1.ReasonServersUnreachable && r.Reason != v1alpha1.ReasonZoneNotFound
		}
	}
	return false
}

func (f figures) policy(m *v1alpha1.MTASTSStatus) {
	if m.Mode != "" {
		f.add(policies, 1, string(m.Mode))
	}
	f.addTime(commitmentEnd, m.CommitmentEnds)
	for i := range m.MX {
		probed := string(m.MX[i].StartTLS)
		if probed == "" {
			probed = "NotProbed"
		}
		f.add(mxHosts, 1, string(m.MX[i].Covered), probed)
	}
}
