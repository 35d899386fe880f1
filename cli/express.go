package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/mailauth/tlsrpt"
	"github.com/maildomain/maildomain-operator/records"
)

// The functions below say records in terms of the API. Each returns a section, or why there is none
// that means the same: a section counts only if the API server would take it, and if the record that
// the operator makes of it is the same as the one that stands.

// only returns the one record among texts. Neither it nor a reason: none stands there.
func only(texts []string, is func(string) bool, what string) (record, reason string) {
	list := slices.DeleteFunc(slices.Clone(texts), func(t string) bool { return !is(t) })
	switch len(list) {
	case 0:
		return "", ""
	case 1:
		return list[0], ""
	}
	return "", fmt.Sprintf("%d %s records stand there, and receivers want one", len(list), what)
}

func expressSPF(domain string, texts []string) (*v1alpha1.SPFSpec, string) {
	text, reason := only(texts, spf.IsRecord, "SPF")
	if text == "" {
		return nil, reason
	}
	r, err := spf.Parse(text)
	if err != nil {
		return nil, err.Error()
	}
	s := &v1alpha1.SPFSpec{Redirect: strings.TrimSuffix(r.Redirect, "."), Exp: strings.TrimSuffix(r.Exp, ".")}
	for i, m := range r.Mechanisms {
		if m.Name != spf.All {
			s.Mechanisms = append(s.Mechanisms, m.String())
			continue
		}
		s.All = map[spf.Result]v1alpha1.SPFQualifier{
			spf.Fail: v1alpha1.SPFFail, spf.SoftFail: v1alpha1.SPFSoftFail, spf.Neutral: v1alpha1.SPFNeutral, spf.Pass: v1alpha1.SPFPass, "": v1alpha1.SPFPass,
		}[m.Result]
		if i < len(r.Mechanisms)-1 {
			return nil, "terms stand behind all, where nobody evaluates them, and the API has no place for them"
		}
	}
	if reason := refused(v1alpha1.MailDomainSpec{Domain: domain, SPF: s}); reason != "" {
		return nil, reason
	}
	made, err := records.SPF(s)
	if err != nil {
		return nil, err.Error()
	}
	switch {
	case !spf.Same(made.String(), text):
		return nil, fmt.Sprintf("the API would make %q of it", made)
	case len(r.Unknown) > 0:
		return nil, "the API has no modifier " + r.Unknown[0].Name
	}
	return s, ""
}

func expressDMARC(domain string, texts []string) (*v1alpha1.DMARCSpec, string) {
	text, reason := only(texts, dmarc.IsRecord, "DMARC")
	if text == "" {
		return nil, reason
	}
	r, err := dmarc.Parse(text)
	if err != nil {
		return nil, err.Error()
	}
	s := &v1alpha1.DMARCSpec{
		Policy: v1alpha1.DMARCPolicy(r.Policy), SubdomainPolicy: v1alpha1.DMARCPolicy(r.SubdomainPolicy),
		NonexistentSubdomainPolicy: v1alpha1.DMARCPolicy(r.NonexistentSubdomainPolicy), Testing: r.Testing,
		DKIMAlignment: alignments[r.DKIMAlignment], SPFAlignment: alignments[r.SPFAlignment], RUA: r.RUA, RUF: r.RUF,
	}
	for _, o := range r.FailureOptions {
		s.FailureOptions = append(s.FailureOptions, v1alpha1.DMARCFailureOption(o))
	}
	if r.Pct != nil || r.RF != "" || r.RI != nil {
		s.Legacy = &v1alpha1.DMARCLegacy{Pct: number(r.Pct), RF: r.RF, RI: number(r.RI)}
	}
	if reason := refused(v1alpha1.MailDomainSpec{Domain: domain, DMARC: s}); reason != "" {
		return nil, reason
	}
	made := records.DMARC(s)
	switch {
	case r.PSD != "":
		return nil, "the API has no psd"
	case len(r.Extensions) > 0:
		return nil, "the API has no " + r.Extensions[0].Name
	case !dmarc.Same(made.String(), text):
		return nil, fmt.Sprintf("the API would make %q of it", made)
	}
	return s, ""
}

var alignments = map[string]v1alpha1.DMARCAlignment{"r": v1alpha1.AlignmentRelaxed, "s": v1alpha1.AlignmentStrict}

func number(n *int) *int32 {
	if n == nil {
		return nil
	}
	return ptr.To(int32(min(*n, 1<<31-1))) // the rules of the API refuse what is larger than they allow
}

func expressTLSRPT(domain string, texts []string) (*v1alpha1.TLSRPTSpec, string) {
	text, reason := only(texts, tlsrpt.IsRecord, "TLS-RPT")
	if text == "" {
		return nil, reason
	}
	r, err := tlsrpt.Parse(text)
	if err != nil {
		return nil, err.Error()
	}
	s := &v1alpha1.TLSRPTSpec{RUA: r.RUA}
	if reason := refused(v1alpha1.MailDomainSpec{Domain: domain, TLSRPT: s}); reason != "" {
		return nil, reason
	}
	switch made := records.TLSRPT(s); {
	case len(r.Extensions) > 0:
		return nil, "the API has no " + r.Extensions[0].Name
	case !tlsrpt.Same(made.String(), text):
		return nil, fmt.Sprintf("the API would make %q of it", made)
	}
	return s, ""
}

// expressMTASTS says a policy as one that another host serves: it does, and goes on.
func expressMTASTS(domain string, texts []string, body string) (*v1alpha1.MTASTSSpec, string) {
	text, reason := only(texts, mtasts.IsRecord, "MTA-STS")
	if text == "" {
		return nil, reason
	}
	if _, err := mtasts.ParseRecord(text); err != nil {
		return nil, err.Error()
	}
	p, err := mtasts.ParsePolicy(body)
	if err != nil {
		return nil, err.Error()
	}
	var hosts []string // their case and their number say nothing
	for _, mx := range p.MX {
		if mx = strings.ToLower(mx); !slices.Contains(hosts, mx) {
			hosts = append(hosts, mx)
		}
	}
	s := &v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSMode(p.Mode), MaxAge: &metav1.Duration{Duration: p.MaxAge}, MX: hosts, Hosting: v1alpha1.HostingExternal}
	if reason := refused(v1alpha1.MailDomainSpec{Domain: domain, MTASTS: s}); reason != "" {
		return nil, reason
	}
	made := records.MTASTSPolicy(s, nil)
	switch {
	case len(p.Extensions) > 0:
		return nil, "the API has no " + p.Extensions[0].Name
	case made.Mode != p.Mode || made.MaxAge != p.MaxAge || !made.CoversAll(p.MX) || !p.CoversAll(made.MX):
		return nil, "the API would make another policy of it"
	}
	return s, ""
}

// expressKey says a key record as one of somebody else, who holds its private key and goes on publishing it.
func expressKey(domain, selector string, texts []string) (*v1alpha1.ExternalSelector, string) {
	switch len(texts) {
	case 0:
		return nil, "no key stands there"
	case 1:
	default:
		return nil, fmt.Sprintf("%d texts stand there, and receivers want one", len(texts))
	}
	r, err := dkim.Parse(texts[0])
	switch {
	case err != nil:
		return nil, err.Error()
	case r.Revoked():
		return nil, "the key is revoked: nothing signs with it"
	}
	e := v1alpha1.ExternalSelector{Selector: selector, VerifyOnly: new(true)}
	spec := v1alpha1.MailDomainSpec{Domain: domain, DKIM: &v1alpha1.DKIMSpec{Keys: []v1alpha1.DKIMKey{}, External: []v1alpha1.ExternalSelector{e}}}
	if reason := refused(spec); reason != "" {
		return nil, reason
	}
	return &e, ""
}

// refused says why the API server would not take a spec; "" if it would.
func refused(spec v1alpha1.MailDomainSpec) string {
	known, err := kinds()
	if err != nil {
		return err.Error()
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(maildomain("import", "", spec))
	if err != nil {
		return err.Error()
	}
	var messages []string
	for _, f := range known["MailDomain"].judge(context.Background(), object) {
		messages = append(messages, f.Message)
	}
	return strings.Join(messages, "; ")
}

// maildomain is the object of a spec.
func maildomain(name, namespace string, spec v1alpha1.MailDomainSpec) *v1alpha1.MailDomain {
	return &v1alpha1.MailDomain{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MailDomain"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       spec,
	}
}
