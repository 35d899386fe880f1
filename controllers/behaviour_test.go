package controllers

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/records"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// What users get wrong, or the world does: each with a clear condition, and nothing lost. mend
// is the way out that the message names.
func TestBadInput(t *testing.T) {
	provider := func(w *world, change func(*v1alpha1.DNSProvider)) {
		p := &v1alpha1.DNSProvider{}
		w.must(w.api.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "dns"}, p))
		old := p.DeepCopy()
		change(p)
		w.must(w.api.Patch(w.t.Context(), p, client.MergeFrom(old)))
	}
	tsig := func(w *world, secret string) {
		s := w.secret("tsig")
		s.Data["secret"] = []byte(secret)
		w.must(w.api.Update(w.t.Context(), s))
	}
	tests := map[string]struct {
		spoil, mend  func(*world)
		kind, reason string
		says         []string
		retries      bool // what fails is tried again for as long as it fails
	}{
		"wrong TSIG key": {
			spoil: func(w *world) { tsig(w, base64.StdEncoding.EncodeToString([]byte("another"))) },
			mend:  func(w *world) { tsig(w, tsigSecret) },
			kind:  v1alpha1.ConditionProviderReady, reason: v1alpha1.ReasonUnauthorized, says: []string{"key"},
		},
		"no Secret": {
			spoil: func(w *world) { w.must(w.api.Delete(w.t.Context(), w.secret("tsig"))) },
			mend: func(w *world) {
				w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tsig"}, StringData: map[string]string{"secret": tsigSecret}})
			},
			kind: v1alpha1.ConditionProviderReady, reason: v1alpha1.ReasonCredentialsNotFound, says: []string{"Secret tsig", "create it"},
		},
		"unreachable server": {
			spoil: func(w *world) { provider(w, func(p *v1alpha1.DNSProvider) { p.Spec.RFC2136.Server = "127.0.0.1:1" }) },
			mend:  func(w *world) { provider(w, func(p *v1alpha1.DNSProvider) { p.Spec.RFC2136.Server = w.dns.Addr() }) },
			kind:  v1alpha1.ConditionProviderReady, reason: v1alpha1.ReasonUnreachable, says: []string{"127.0.0.1:1"},
		},
		"a zone that the server does not hold": {
			spoil: func(w *world) {
				other, err := dnsserver.Start(dnsserver.Config{Addr: "127.0.0.1:0", Keys: map[string]string{"maildomain.": tsigSecret}, Zones: []string{"example.org"}})
				w.must(err)
				w.t.Cleanup(func() { other.Close() })
				provider(w, func(p *v1alpha1.DNSProvider) { p.Spec.RFC2136.Server = other.Addr() })
			},
			mend: func(w *world) { provider(w, func(p *v1alpha1.DNSProvider) { p.Spec.RFC2136.Server = w.dns.Addr() }) },
			kind: v1alpha1.ConditionProviderReady, reason: v1alpha1.ReasonZoneNotFound, says: []string{"zone"},
		},
		"a provider for other domains": {
			spoil: func(w *world) { provider(w, func(p *v1alpha1.DNSProvider) { p.Spec.Domains = []string{"ample.com"} }) },
			mend: func(w *world) {
				provider(w, func(p *v1alpha1.DNSProvider) { p.Spec.Domains = []string{"example.com"} })
			},
			kind: v1alpha1.ConditionProviderReady, reason: v1alpha1.ReasonProviderNotAllowed, says: []string{"example.com", "spec.domains"},
		},
		"a public suffix": {
			spoil: func(w *world) {
				provider(w, func(p *v1alpha1.DNSProvider) { p.Spec.Domains = []string{"example.com", "co.uk"} })
			},
			mend: func(w *world) {
				provider(w, func(p *v1alpha1.DNSProvider) { p.Spec.Domains = []string{"example.com"} })
			},
			kind: v1alpha1.ConditionProviderReady, reason: v1alpha1.ReasonProviderInvalid, says: []string{"co.uk"},
		},
		"a provider that is not there": {
			spoil: func(w *world) {
				w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DNS.ProviderRef.Name = "none" })
			},
			mend: func(w *world) {
				w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DNS.ProviderRef.Name = "dns" })
			},
			kind: v1alpha1.ConditionProviderReady, reason: v1alpha1.ReasonProviderNotFound, says: []string{"DNSProvider none", "create it"},
		},
		"a foreign SPF record": {
			spoil: func(w *world) { w.must(w.dns.SetTXT("example.com", "v=spf1 a ~all", "other")) },
			mend:  func(w *world) { w.must(w.dns.SetTXT("example.com", "other")) },
			kind:  v1alpha1.ConditionSPFReady, reason: v1alpha1.ReasonRecordConflict, says: []string{`"v=spf1 a ~all"`, `"v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all"`},
		},
		"a CNAME at _dmarc": {
			spoil: func(w *world) { w.must(w.dns.Set("_dmarc.example.com", "CNAME", "dmarc.smarter.se.")) },
			mend:  func(w *world) { w.must(w.dns.Set("_dmarc.example.com", "CNAME")) },
			kind:  v1alpha1.ConditionDMARCReady, reason: v1alpha1.ReasonAliasInTheWay, says: []string{"CNAME to dmarc.smarter.se", "remove it"},
		},
		"a Secret of the same name": {
			spoil: func(w *world) {
				w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "example-com-dkim"}, StringData: map[string]string{"precious": "x"}})
			},
			mend: func(w *world) { w.must(w.api.Delete(w.t.Context(), w.secret("example-com-dkim"))) },
			kind: v1alpha1.ConditionDKIMReady, reason: v1alpha1.ReasonSecretConflict, says: []string{"Secret example-com-dkim", "signerSecret.name"},
		},
		"an include without SPF": {
			spoil: func(w *world) { w.must(w.dns.SetTXT("smarter.se", "nothing")) },
			mend:  func(w *world) { w.must(w.dns.SetTXT("smarter.se", "v=spf1 -all")) },
			kind:  v1alpha1.ConditionSPFReady, reason: v1alpha1.ReasonSPFPermError, says: []string{"include:smarter.se"},
		},
		"too many SPF lookups": {
			spoil: func(w *world) {
				w.must(w.dns.SetTXT("smarter.se", "v=spf1"+strings.Repeat(" mx", 9)+" -all"))
				w.must(w.dns.Set("smarter.se", "MX", "10 mx1.example.com."))
			},
			mend: func(w *world) { w.must(w.dns.SetTXT("smarter.se", "v=spf1 -all")) },
			kind: v1alpha1.ConditionSPFReady, reason: v1alpha1.ReasonTooManyLookups, says: []string{"11 of 10 lookups: mx (1), include:smarter.se (10)", "remove includes"},
		},
		"an MX host that the policy leaves out": {
			spoil: func(w *world) { w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com.", "20 mx2.example.com.")) },
			mend: func(w *world) {
				w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com."))
				w.pass("example-com")
				w.forward(recordCaches)
			},
			kind: v1alpha1.ConditionMTASTSReady, reason: v1alpha1.ReasonMXNotCovered, says: []string{"mx2.example.com", "spec.mtaSTS.mx"},
		},
		"no address for the policy": {
			spoil: func(w *world) { w.must(w.dns.Set("mta-sts.example.com", "A")) },
			mend:  func(w *world) { w.must(w.dns.Set("mta-sts.example.com", "A", "127.0.0.1")) },
			kind:  v1alpha1.ConditionMTASTSReady, reason: v1alpha1.ReasonAddressPending, says: []string{"mta-sts.example.com", "publish"},
		},
		"updates that are answered and lost": {
			spoil: func(w *world) { w.dns.Fault(dnsserver.Fault{LoseUpdates: true}) },
			mend:  func(w *world) { w.dns.Fault(dnsserver.Fault{}) },
			kind:  v1alpha1.ConditionReady, reason: v1alpha1.ReasonDomainNotClaimed, says: []string{"does not show"}, retries: true,
		},
		"name servers that fail": {
			spoil: func(w *world) { w.dns.Fault(dnsserver.Fault{ServFail: true}) },
			mend:  func(w *world) { w.dns.Fault(dnsserver.Fault{}) },
			kind:  v1alpha1.ConditionReady, reason: v1alpha1.ReasonDomainNotClaimed, says: []string{"SERVFAIL"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.apply("example-com", spec())
			test.spoil(w)
			w.until("example-com", test.reason, hasReason(test.kind, test.reason))
			text := message(w.get("example-com"), test.kind)
			for _, part := range test.says {
				if !strings.Contains(text, part) {
					t.Errorf("the message lacks %q: %s", part, text)
				}
			}
			if !test.retries {
				w.settles("example-com")
			}
			test.mend(w)
			w.until("example-com", "ready", isReady)
		})
	}
}

// A provider says itself what is wrong with it, in the words that its MailDomains use.
func TestProviderStatus(t *testing.T) {
	w := newWorld(t)
	r := &ProviderReconciler{Client: w.r.Client, Reader: w.api, Clock: w.clock, Namespace: w.operator}
	cluster := &v1alpha1.ClusterDNSProvider{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	cluster.Spec.DNSProviderSpec = v1alpha1.DNSProviderSpec{
		Domains: []string{"example.com"},
		RFC2136: &v1alpha1.RFC2136Provider{Server: w.dns.Addr(), TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}},
	}
	w.must(w.api.Create(t.Context(), cluster))
	t.Cleanup(func() { w.must(w.api.Delete(context.Background(), cluster)) })

	status := func(object client.Object) v1alpha1.DNSProviderStatus {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)}); err != nil {
			t.Fatal(err)
		}
		w.must(w.api.Get(t.Context(), client.ObjectKeyFromObject(object), object))
		if p, ok := object.(*v1alpha1.DNSProvider); ok {
			return p.Status
		}
		return object.(*v1alpha1.ClusterDNSProvider).Status
	}
	want := func(got v1alpha1.DNSProviderStatus, status metav1.ConditionStatus, reason string, says ...string) {
		t.Helper()
		c := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionReady)
		if c == nil || c.Status != status || c.Reason != reason || got.Type != v1alpha1.ProviderRFC2136 || got.ObservedGeneration == 0 {
			t.Fatalf("got %+v, want %s for %s", got, status, reason)
		}
		for _, part := range says {
			if !strings.Contains(c.Message, part) {
				t.Errorf("the message lacks %q: %s", part, c.Message)
			}
		}
	}
	p := &v1alpha1.DNSProvider{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "dns"}}
	want(status(p), metav1.ConditionTrue, v1alpha1.ReasonReady)
	effects := len(w.effects)
	want(status(p), metav1.ConditionTrue, v1alpha1.ReasonReady)
	if more := w.effects[effects:]; len(more) > 0 {
		t.Errorf("an unchanged provider was written to: %v", more)
	}
	// The Secrets of a ClusterDNSProvider are the operator's, not those of any tenant.
	want(status(cluster), metav1.ConditionFalse, v1alpha1.ReasonCredentialsNotFound, "Secret tsig in namespace "+w.operator, "create it")
	w.must(w.api.Delete(t.Context(), w.secret("tsig")))
	want(status(p), metav1.ConditionFalse, v1alpha1.ReasonCredentialsNotFound, "Secret tsig in namespace "+w.namespace)
	old := p.DeepCopy()
	p.Spec.Domains = []string{"example.com", "co.uk"}
	w.must(w.api.Patch(t.Context(), p, client.MergeFrom(old)))
	want(status(p), metav1.ConditionFalse, v1alpha1.ReasonProviderInvalid, "co.uk", "DNSProvider dns")

	requests := r.requestsFor(t.Context(), w.operator, "tsig")
	if !slices.Contains(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(cluster)}) {
		t.Errorf("a Secret of the operator's namespace concerns %v, without %s", requests, cluster.Name)
	}
	if diff := cmp.Diff([]ctrl.Request{{NamespacedName: client.ObjectKeyFromObject(p)}}, r.requestsFor(t.Context(), w.namespace, "tsig")); diff != "" {
		t.Error(diff)
	}
	if requests := r.requestsFor(t.Context(), w.namespace, "another"); len(requests) > 0 {
		t.Errorf("a Secret that no provider names concerns %v", requests)
	}
}

// A Secret of the signer's name that is not the operator's is left alone, also where one that
// was the operator's stood before.
func TestForeignSecretIsLeftAlone(t *testing.T) {
	for name, before := range map[string]func(*world){
		"from the beginning": func(*world) {},
		"in place of ours": func(w *world) {
			w.until("example-com", "ready", isReady)
			w.must(w.api.Delete(w.t.Context(), w.secret("example-com-dkim")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.apply("example-com", spec())
			before(w)
			w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "example-com-dkim"}, StringData: map[string]string{"precious": "x"}})
			w.until("example-com", "a conflict", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonSecretConflict))
			if !w.told("Warning SecretConflict") {
				t.Error("nobody was told")
			}
			w.settles("example-com")
			if diff := cmp.Diff(map[string][]byte{"precious": []byte("x")}, w.secret("example-com-dkim").Data); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Of two MailDomains for one domain the registry record says which one acts; the other only
// looks, and is not told who holds the domain.
func TestTwoMailDomains(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)
	rival := spec()
	rival.SPF.All = v1alpha1.SPFPass
	w.apply("rival", rival)
	effects, updates := len(w.effects), w.dns.Updates()
	for range 3 {
		w.pass("rival")
		w.forward(time.Minute)
	}
	if n := len(w.effects) - effects; n != 1 {
		t.Errorf("the rival's status was written %d times for one state of the world", n)
	}
	md := w.get("rival")
	if !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonDomainNotClaimed)(md) {
		t.Fatal(describe(md))
	}
	if more := slices.DeleteFunc(slices.Clone(w.effects[effects:]), func(e string) bool { return e == "patch status" }); len(more) > 0 || w.dns.Updates() != updates {
		t.Errorf("the rival wrote: %v, %d updates", more, w.dns.Updates()-updates)
	}
	if strings.Contains(describe(md), "example-com") || strings.Contains(describe(md), w.namespace) {
		t.Errorf("the rival is told who holds the domain:\n%s", describe(md))
	}
	w.theTalksRecordsStand()
}

// A stricter DMARC policy waits for SPF and DKIM; what stood before stays meanwhile.
func TestDMARCWaitsForTheBasics(t *testing.T) {
	for name, test := range map[string]struct {
		standing, meanwhile string
		change              func(*v1alpha1.MailDomainSpec)
	}{
		"nothing there": {"", "v=DMARC1; p=none; rua=mailto:dmarc@example.com", func(*v1alpha1.MailDomainSpec) {}},
		"one to adopt":  {"v=DMARC1; p=quarantine", "v=DMARC1; p=quarantine", func(s *v1alpha1.MailDomainSpec) { s.DNS.ConflictPolicy = v1alpha1.ConflictAdopt }},
		"immediate":     {"", "v=DMARC1; p=reject; rua=mailto:dmarc@example.com", func(s *v1alpha1.MailDomainSpec) { s.DMARC.Enforcement = v1alpha1.EnforceImmediate }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if test.standing != "" {
				w.must(w.dns.SetTXT("_dmarc.example.com", test.standing))
			}
			w.must(w.dns.SetTXT("smarter.se", "nothing")) // SPF would be permerror
			s := spec()
			test.change(&s)
			w.apply("example-com", s)
			w.until("example-com", "signing", func(md *v1alpha1.MailDomain) bool {
				return md.Status.DKIM != nil && len(md.Status.DKIM.ActiveSelectors) == 2
			})
			w.forward(24 * time.Hour)
			w.pass("example-com")
			if diff := cmp.Diff([]string{test.meanwhile}, w.dns.TXT("_dmarc.example.com")); diff != "" {
				t.Errorf("%s\n%s", diff, describe(w.get("example-com")))
			}
			w.must(w.dns.SetTXT("smarter.se", "v=spf1 -all"))
			w.until("example-com", "ready", isReady)
			w.theTalksRecordsStand()
		})
	}
}

// An SPF record with which receivers would end in permerror, or that can't be evaluated now, is not
// published; the last good one stays.
func TestSPFIsHeld(t *testing.T) {
	w := newWorld(t)
	s := spec()
	s.DKIM, s.DMARC, s.MTASTS, s.TLSRPT = nil, nil, nil, nil
	w.must(w.dns.SetTXT("smarter.se", "nothing"))
	w.apply("example-com", s)
	held := func(reason string, want ...string) {
		t.Helper()
		w.until("example-com", reason, hasReason(v1alpha1.ConditionSPFReady, reason))
		w.settles("example-com")
		if diff := cmp.Diff(want, w.dns.TXT("example.com")); diff != "" {
			t.Errorf("%s: %s\n%s", reason, diff, describe(w.get("example-com")))
		}
	}
	include := func(names ...string) {
		w.edit("example-com", func(md *v1alpha1.MailDomain) {
			md.Spec.SPF.Mechanisms = nil
			for _, name := range names {
				md.Spec.SPF.Mechanisms = append(md.Spec.SPF.Mechanisms, "include:"+name)
			}
		})
	}
	held(v1alpha1.ReasonSPFPermError)
	w.must(w.dns.SetTXT("smarter.se", "v=spf1 -all"))
	w.until("example-com", "ready", isReady)
	good := w.dns.TXT("example.com")
	include("nothing.smarter.se")
	held(v1alpha1.ReasonSPFPermError, good...)
	include("nobody.answers.example.org") // of a zone that the resolver refuses
	held(v1alpha1.ReasonSPFTempError, good...)
	include("smarter.se")
	w.until("example-com", "ready", isReady)
	if diff := cmp.Diff([]string{"v=spf1 include:smarter.se -all"}, w.dns.TXT("example.com")); diff != "" {
		t.Error(diff)
	}
}

// A section that is taken out of spec is withdrawn; one that a re-created object never had is not.
func TestRemovedSections(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)
	w.must(w.dns.SetTXT("_smtp._tls.example.com", append(w.dns.TXT("_smtp._tls.example.com"), "somebody's note")...))
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.TLSRPT = nil })
	w.until("example-com", "withdrawn", func(*v1alpha1.MailDomain) bool { return len(w.dns.TXT("_smtp._tls.example.com")) == 1 })
	if diff := cmp.Diff([]string{"somebody's note"}, w.dns.TXT("_smtp._tls.example.com")); diff != "" {
		t.Error(diff)
	}
	w.until("example-com", "ready", isReady)

	// DKIM can't go while DMARC relies on it.
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DKIM = nil })
	w.until("example-com", "stalled", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonDKIMRequired))
	w.forward(time.Hour)
	w.pass("example-com")
	if len(w.secret("example-com-dkim").Data["selector"]) == 0 || len(w.get("example-com").Status.DKIM.ActiveSelectors) != 2 {
		t.Error("the keys stopped signing")
	}
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DMARC.Policy = v1alpha1.DMARCNone })
	w.until("example-com", "relaxed", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonWithdrawing))
	w.forward(v1alpha1.DefaultTTL)
	w.until("example-com", "retired", func(md *v1alpha1.MailDomain) bool { return len(md.Status.DKIM.ActiveSelectors) == 0 })
}

// With Retain the object goes at once and everything else stays, and the registry record says that
// the domain may be claimed. One that is created again claims it, and takes all else up without a write.
func TestDeletionAndReturn(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)
	w.must(w.api.Delete(w.t.Context(), w.get("example-com")))
	w.pass("example-com")
	var list v1alpha1.MailDomainList
	w.must(w.api.List(t.Context(), &list, client.InNamespace(w.namespace)))
	if len(list.Items) != 0 {
		t.Fatal("the object is still there")
	}
	claim := records.NewClaim("test", w.namespace, "example-com")
	claim.Released = true
	if diff := cmp.Diff([]string{claim.String()}, w.dns.TXT("_maildomain.example.com")); diff != "" {
		t.Error(diff)
	}
	effects, provider := len(w.effects), w.provider
	w.restart()
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)
	more := slices.DeleteFunc(slices.Clone(w.effects[effects:]), func(e string) bool { return e == "patch status" })
	want := []string{
		"patch *v1alpha1.MailDomain example-com", // the finalizer
		"update *v1.Secret example-com-maildomain-ledger",
		"DNS TXT _maildomain.example.com",
		"update *v1.Secret example-com-maildomain-ledger",
		"patch *v1.ConfigMap " + siteName("example.com"),
		"delete *v1.Secret " + siteName("example.com"), // the certificate that was kept
	}
	if diff := cmp.Diff(want, more); diff != "" || w.provider != provider+3 {
		t.Errorf("%s, %d calls to the provider", diff, w.provider-provider)
	}
	w.theTalksRecordsStand()
}

// Observe writes nothing but status, and says what Enforce would do.
func TestObserve(t *testing.T) {
	w := newWorld(t)
	w.must(w.dns.SetTXT("_dmarc.example.com", "v=DMARC1; p=none"))
	s := spec()
	s.Mode = v1alpha1.ModeObserve
	s.DNS.ConflictPolicy = v1alpha1.ConflictAdopt
	s.DMARC.Enforcement = v1alpha1.EnforceImmediate
	w.apply("example-com", s)
	for range 3 {
		w.pass("example-com")
		w.forward(time.Minute)
	}
	if more := slices.DeleteFunc(slices.Clone(w.effects), func(e string) bool { return e == "patch status" }); len(more) > 0 || w.provider > 0 {
		t.Errorf("Observe wrote %v and called the provider %d times", more, w.provider)
	}
	md := w.get("example-com")
	var plan []string
	for _, p := range md.Status.Plan {
		plan = append(plan, fmt.Sprintf("%s %s %q -> %q", p.Action, p.Name, p.Old, p.New))
	}
	want := []string{
		`Change _dmarc.example.com "v=DMARC1; p=none" -> "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"`,
		`Create _maildomain.example.com "" -> "` + records.NewClaim("test", w.namespace, "example-com").String() + `"`,
		`Create _smtp._tls.example.com "" -> "v=TLSRPTv1; rua=mailto:tls@example.com"`,
		`Create example.com "" -> "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all"`,
		`Generate 001-20261123a._domainkey.example.com "" -> ""`,
		`Generate 001-20261123b._domainkey.example.com "" -> ""`,
	}
	slices.Sort(plan)
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Error(diff)
	}
	if !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonObserving)(md) {
		t.Error(describe(md))
	}
}

// Without a provider a human publishes what status.plan lists, and each step goes on when its
// record is seen.
func TestManualMode(t *testing.T) {
	w := newWorld(t)
	s := spec()
	s.DNS = nil
	w.apply("example-com", s)
	w.until("example-com", "ready", func(md *v1alpha1.MailDomain) bool {
		for _, p := range md.Status.Plan {
			if p.New != "" {
				w.must(w.dns.SetTXT(p.Name, p.New))
			}
		}
		return isReady(md)
	})
	w.theTalksRecordsStand()
	if w.provider != 0 || w.dns.Updates() != 0 {
		t.Errorf("%d calls to a provider, %d updates", w.provider, w.dns.Updates())
	}
	effects := len(w.effects)
	w.forward(time.Minute)
	w.pass("example-com")
	if more := w.effects[effects:]; len(more) > 0 {
		t.Errorf("an unchanged world was written to: %v", more)
	}

	// What is no longer wanted is a human's to remove.
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DMARC = nil })
	w.pass("example-com")
	removal := v1alpha1.PlannedChange{Action: v1alpha1.PlanRemove, Name: "_dmarc.example.com", Type: "TXT", Old: "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"}
	if md := w.get("example-com"); !slices.Contains(md.Status.Plan, removal) {
		t.Error(describe(md))
	}
	w.must(w.dns.SetTXT("_dmarc.example.com"))
	w.until("example-com", "ready", isReady)
}

func TestSuspend(t *testing.T) {
	w := newWorld(t)
	s := spec()
	s.Suspend = new(bool)
	*s.Suspend = true
	w.apply("example-com", s)
	w.pass("example-com")
	if !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonSuspended)(w.get("example-com")) || w.provider > 0 || len(w.effects) != 1 {
		t.Errorf("wrote %v\n%s", w.effects, describe(w.get("example-com")))
	}
}
