package cli

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/compliance"
)

// Evidence is what the cluster says of its MailDomains, for those who audit them. Its form is public: scripts
// read it.
type Evidence struct {
	At      time.Time          `json:"at"`
	Outcome compliance.Outcome `json:"outcome"`
	Domains []DomainEvidence   `json:"domains"`
}

// DomainEvidence is that of one MailDomain.
type DomainEvidence struct {
	Object string    `json:"object"` // namespace/name
	Domain string    `json:"domain"`
	Ready  Condition `json:"ready"`
	// WaitsFor are the conditions that are not True.
	WaitsFor  []Condition            `json:"waitsFor"`
	Baselines []BaselineEvidence     `json:"baselines"` // of spec.compliance; none: the domain is not judged
	Keys      []KeyEvidence          `json:"keys"`
	Rotation  *metav1.Time           `json:"nextRotation,omitempty"`
	Rotations []Rotation             `json:"rotations"`
	Policy    *v1alpha1.MTASTSStatus `json:"policy,omitempty"`
	Findings  []v1alpha1.Finding     `json:"findings"`
}

// BaselineEvidence is how a domain does by one baseline.
type BaselineEvidence struct {
	Baseline    string            `json:"baseline"`
	Title       string            `json:"title"`
	Source      string            `json:"source"`
	Verdict     v1alpha1.Verdict  `json:"verdict"`
	LastChecked *metav1.Time      `json:"lastChecked,omitempty"` // none: it was not judged yet
	Controls    []ControlEvidence `json:"controls"`
	NotJudged   []string          `json:"notJudged"` // what the baseline demands beside
}

// ControlEvidence is how it does by one control.
type ControlEvidence struct {
	Control string           `json:"control"`
	Title   string           `json:"title"`
	Source  string           `json:"source"`
	Verdict v1alpha1.Verdict `json:"verdict"`
	Seen    string           `json:"seen"`
}

// KeyEvidence is one DKIM key.
type KeyEvidence struct {
	Selector string                `json:"selector"`
	Kind     string                `json:"kind"` // such as "rsa 2048"
	State    v1alpha1.DKIMKeyState `json:"state"`
	AgeDays  int                   `json:"ageDays"` // since it was made
	// SignedFrom and SignedUntil are when mail was signed with it; unset: not yet, or it still is.
	SignedFrom  *metav1.Time `json:"signedFrom,omitempty"`
	SignedUntil *metav1.Time `json:"signedUntil,omitempty"`

	key v1alpha1.DKIMKeyStatus
}

// Rotation is a moment in the life of a key.
type Rotation struct {
	At       time.Time `json:"at"`
	Selector string    `json:"selector"`
	What     string    `json:"what"`
}

// evidenceOf is what status says; it asks nobody. It is a pure function.
func evidenceOf(list []v1alpha1.MailDomain, now time.Time) Evidence {
	e := Evidence{At: now.UTC().Truncate(time.Second), Outcome: compliance.Pass, Domains: []DomainEvidence{}}
	for i := range list {
		e.Domains = append(e.Domains, domainEvidence(&list[i], now))
	}
	slices.SortFunc(e.Domains, func(a, b DomainEvidence) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Object, b.Object))
	})
	for _, d := range e.Domains {
		for _, b := range d.Baselines {
			switch {
			case b.Verdict == v1alpha1.VerdictFail:
				e.Outcome = compliance.Fail
			case b.Verdict == v1alpha1.VerdictUnknown && e.Outcome != compliance.Fail:
				e.Outcome = compliance.Unknown
			}
		}
	}
	return e
}

func domainEvidence(md *v1alpha1.MailDomain, now time.Time) DomainEvidence {
	d := DomainEvidence{
		Object: md.Namespace + "/" + md.Name, Domain: md.Spec.Domain, WaitsFor: []Condition{}, Keys: []KeyEvidence{}, Rotations: []Rotation{},
		Baselines: []BaselineEvidence{}, Findings: append([]v1alpha1.Finding{}, md.Status.Findings...), Policy: md.Status.MTASTS,
	}
	d.Ready, d.WaitsFor = conditionsIn(md)
	if md.Spec.Compliance != nil {
		for _, b := range md.Spec.Compliance.Baselines {
			d.Baselines = append(d.Baselines, baselineEvidence(b, md.Status.Compliance))
		}
	}
	if s := md.Status.DKIM; s != nil {
		d.Rotation = s.NextRotation
		for _, k := range s.Keys {
			d.Keys = append(d.Keys, keyEvidence(k, now))
			d.Rotations = append(d.Rotations, momentsOf(k)...)
		}
	}
	slices.SortStableFunc(d.Rotations, func(a, b Rotation) int { return a.At.Compare(b.At) })
	return d
}

// baselineEvidence joins what status says with what the baseline is. What spec asks for and status does
// not have is not known yet.
func baselineEvidence(name v1alpha1.Baseline, list []v1alpha1.ComplianceStatus) BaselineEvidence {
	e := BaselineEvidence{Baseline: string(name), Verdict: v1alpha1.VerdictUnknown, Controls: []ControlEvidence{}, NotJudged: []string{}}
	b, known := compliance.Find(string(name))
	if known {
		e.Title, e.Source = b.Title, b.Source
		e.NotJudged = append(e.NotJudged, b.NotJudged...)
	}
	at := slices.IndexFunc(list, func(c v1alpha1.ComplianceStatus) bool { return c.Baseline == name })
	if at < 0 {
		return e
	}
	e.Verdict, e.LastChecked = list[at].Verdict, list[at].LastChecked
	for _, c := range list[at].Controls {
		control := ControlEvidence{Control: c.Name, Verdict: c.Verdict, Seen: c.Message}
		if i := slices.IndexFunc(b.Controls, func(one compliance.Control) bool { return one.Name == c.Name }); i >= 0 {
			control.Title, control.Source = b.Controls[i].Title, b.Controls[i].Source
			if b.Controls[i].SecondHand {
				control.Source += " (second-hand)"
			}
		}
		e.Controls = append(e.Controls, control)
	}
	return e
}

func keyEvidence(k v1alpha1.DKIMKeyStatus, now time.Time) KeyEvidence {
	e := KeyEvidence{Selector: k.Selector, Kind: kindOf(k), State: k.State, SignedFrom: k.Active, SignedUntil: k.Retired, key: k}
	if k.Created != nil {
		e.AgeDays = max(0, int(now.Sub(k.Created.Time).Hours()/24))
	}
	return e
}

func momentsOf(k v1alpha1.DKIMKeyStatus) (list []Rotation) {
	for _, m := range []struct {
		at   *metav1.Time
		what string
	}{{k.Created, "made"}, {k.Active, "signs"}, {k.Retired, "signs no more"}, {k.Revoked, "revoked"}} {
		if m.at != nil {
			list = append(list, Rotation{At: m.at.UTC(), Selector: k.Selector, What: m.what})
		}
	}
	return list
}
