package controllers

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
	"github.com/maildomain/maildomain-operator/test/certificate"
)

// Where the policy host leads in these tests.
const (
	ourAddress   = "192.0.2.1"
	theirAddress = "192.0.2.9"
	theirRecord  = "v=STSv1; id=20261123T120000"
)

// twoHosts fetches as probe.PolicyFetcher does, from the servers of the test that stand for two public
// addresses.
type twoHosts struct {
	*probe.PolicyFetcher
	ports map[string]uint16
}

func (f twoHosts) Fetch(ctx context.Context, domain string) (probe.PolicyAnswer, error) {
	addrs, err := f.Resolver.LookupNetIP(ctx, "ip4", "mta-sts."+domain)
	if err != nil {
		return probe.PolicyAnswer{}, err
	}
	var local []netip.AddrPort
	for _, addr := range addrs {
		local = append(local, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), f.ports[addr.String()]))
	}
	answer, err := f.FetchFrom(ctx, domain, local)
	for i := range answer.Results {
		answer.Results[i].Addr = netip.AddrPortFrom(addrs[i], 443)
	}
	return answer, err
}

// thirdParty is somebody else's server for the policy of example.com.
type thirdParty struct{ body atomic.Pointer[string] }

func (p *thirdParty) serves(body string) { p.body.Store(&body) }

// withThirdParty has the world reach the operator and a third party at two addresses.
func (w *world) withThirdParty(policy mtasts.Policy) *thirdParty {
	w.t.Helper()
	cert, key, err := certificate.SelfSigned(policyHost)
	w.must(err)
	w.roots.AppendCertsFromPEM(cert)
	pair, err := tls.X509KeyPair(cert, key)
	w.must(err)
	p := &thirdParty{}
	p.serves(policy.String())
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(rw, *p.body.Load())
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	w.t.Cleanup(server.Close)
	w.r.Fetcher = twoHosts{w.r.Fetcher.(*probe.PolicyFetcher), map[string]uint16{
		ourAddress: w.fetchPort, theirAddress: netip.MustParseAddrPort(server.Listener.Addr().String()).Port(),
	}}
	return p
}

// theirs is what the third party serves to begin with: not what the operator would.
func theirs() mtasts.Policy {
	return mtasts.Policy{Mode: mtasts.Enforce, MaxAge: 336 * time.Hour, MX: []string{"mx1.example.com"}}
}

func toExternal(md *v1alpha1.MailDomain) {
	md.Spec.MTASTS.Hosting, md.Spec.MTASTS.Address, md.Spec.MTASTS.TLS = v1alpha1.HostingExternal, nil, nil
}

// writesAt are the writes so far at the two names.
func (w *world) writesAt() []string {
	return slices.DeleteFunc(slices.Clone(w.effects), func(e string) bool {
		return !strings.HasPrefix(e, "DNS ") || !strings.Contains(e, "mta-sts.")
	})
}

func (w *world) wantAnnounced(when string, want ...string) {
	w.t.Helper()
	got := slices.Sorted(slices.Values(w.dns.TXT("_mta-sts.example.com")))
	if !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		w.t.Errorf("%s: _mta-sts has %q, want %q\n%s", when, got, want, describe(w.get("example-com")))
	}
}

// A policy that a third party serves is checked, and nothing of it is the operator's: nothing is written, and
// nothing of the remote text is told.
func TestAThirdPartyIsChecked(t *testing.T) {
	w := newWorld(t)
	third := w.withThirdParty(theirs())
	w.must(w.dns.Set(policyHost, "A"))
	s := onlyMTASTS()
	s.MTASTS.Hosting = v1alpha1.HostingExternal
	w.apply("example-com", s)
	w.until("example-com", "told of no address", mtastsReason(v1alpha1.ReasonPolicyNotServed))
	w.settles("example-com")
	w.must(w.dns.Set(policyHost, "A", theirAddress))
	w.until("example-com", "told of no record", mtastsReason(v1alpha1.ReasonNotServed))
	w.must(w.dns.Set("_mta-sts.example.com", "CNAME", "_mta-sts.smarter.se."))
	w.until("example-com", "told of no record at the target", mtastsReason(v1alpha1.ReasonNotServed))
	w.must(w.dns.SetTXT("_mta-sts.smarter.se", theirRecord))
	w.until("example-com", "ready by an alias", isReady)
	w.must(w.dns.Set("_mta-sts.example.com", "CNAME"))
	w.must(w.dns.SetTXT("_mta-sts.example.com", theirRecord))
	w.until("example-com", "ready", isReady)
	w.settles("example-com")
	if m := w.get("example-com").Status.MTASTS; m == nil || m.Mode != v1alpha1.MTASTSEnforce || m.PolicyID != "" || len(m.MX) != 1 || m.MX[0].Covered != v1alpha1.VerdictPass {
		t.Errorf("status says %+v", m)
	}
	if text := message(w.get("example-com"), v1alpha1.ConditionMTASTSReady); !strings.Contains(text, "a third party serves the policy") || !strings.Contains(text, "MTASTS-NO-REPORTS") {
		t.Error(text)
	}

	for name, c := range map[string]struct {
		spoil, mend func()
		reason      string
	}{
		"weakened":   {func() { third.serves(policy(mtasts.Testing, "mx1.example.com").String()) }, nil, v1alpha1.ReasonThirdPartyMismatch},
		"unreadable": {func() { third.serves("version: " + sentinel) }, nil, v1alpha1.ReasonThirdPartyMismatch},
		"odd": {func() {
			p := theirs()
			p.MX = append(p.MX, sentinel, sentinel)
			p.Extensions = []mtasts.Extension{{Name: "x", Value: sentinel}}
			third.serves(p.String())
		}, nil, v1alpha1.ReasonThirdPartyMismatch},
		"without the live host": {func() { third.serves(policy(mtasts.Enforce, sentinel).String()) }, nil, v1alpha1.ReasonMailAtRisk},
		"two records": {func() { w.must(w.dns.SetTXT("_mta-sts.example.com", theirRecord, "v=STSv1; id=2")) },
			func() { w.must(w.dns.SetTXT("_mta-sts.example.com", theirRecord)) }, v1alpha1.ReasonVerificationFailed},
		"an MX record that moved": {func() { w.must(w.dns.Set("example.com", "MX", "10 mx7.example.com.")) },
			func() { w.must(w.dns.Set("example.com", "MX", "10 mx1.example.com.")) }, v1alpha1.ReasonMailAtRisk},
	} {
		c.spoil()
		w.heard("")
		w.until("example-com", name, mtastsReason(c.reason))
		w.settles("example-com")
		if c.reason == v1alpha1.ReasonMailAtRisk && !hasReason(v1alpha1.ConditionReady, c.reason)(w.get("example-com")) {
			t.Errorf("%s: Ready does not say so:\n%s", name, describe(w.get("example-com")))
		}
		status, err := json.Marshal(w.get("example-com").Status)
		w.must(err)
		if text := string(status) + strings.Join(w.heard(""), "\n"); strings.Contains(text, sentinel) {
			t.Errorf("%s: the remote text is told: %s", name, text)
		}
		third.serves(theirs().String())
		if c.mend != nil {
			c.mend()
		}
		w.until("example-com", "mended after "+name, isReady)
	}

	if sites := w.sites(w.snapshot.Dir); len(sites) > 0 {
		t.Errorf("%d sites are served", len(sites))
	}
	// The section goes, and the third party's stays.
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil })
	w.passes(3)
	w.settles("example-com")
	if md := w.get("example-com"); md.Status.MTASTS != nil || len(md.Status.Plan) > 0 {
		t.Errorf("%+v\n%s", md.Status.MTASTS, describe(md))
	}
	if got := w.writesAt(); len(got) > 0 {
		t.Errorf("written: %q", got)
	}
	w.wantHost("without the section", "A "+theirAddress)
	w.wantAnnounced("without the section", theirRecord)
	w.ledger("example-com", func(l *ledger.Ledger) {
		if l.ThirdParty != nil || l.MTASTS != nil {
			t.Errorf("%+v, %+v", l.ThirdParty, l.MTASTS)
		}
	})
}

// In manual mode the plan does not ask a human to take the third party's record away.
func TestAThirdPartysRecordIsNotInThePlan(t *testing.T) {
	w := newWorld(t)
	w.withThirdParty(theirs())
	w.must(w.dns.Set(policyHost, "A", theirAddress))
	w.must(w.dns.SetTXT("_mta-sts.example.com", theirRecord))
	w.must(w.dns.SetTXT("_maildomain.example.com", records.NewClaim("test", w.namespace, "example-com").String()))
	s := onlyMTASTS()
	s.DNS, s.MTASTS.Hosting = nil, v1alpha1.HostingExternal
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	for _, section := range []bool{true, false} {
		if !section {
			w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil })
			w.passes(3)
		}
		if plan := w.get("example-com").Status.Plan; len(plan) > 0 {
			t.Errorf("with the section %v: %v", section, plan)
		}
	}
}

// sidecar brings a MailDomain of which the operator serves the policy at ourAddress.
func (w *world) sidecar() {
	w.t.Helper()
	w.homeless()
	s := onlyMTASTS()
	s.MTASTS.Address = address(v1alpha1.AddressA, ourAddress)
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
}

// The operator serves until the third party's policy and record are in the place of its own, writes nothing
// meanwhile, and takes its own record away only from beside theirs.
func TestHandoverToAThirdParty(t *testing.T) {
	w := newWorld(t)
	third := w.withThirdParty(policy(mtasts.Testing, "mx1.example.com"))
	w.sidecar()
	own, ownRecord := w.policyOf(), w.dns.TXT("_mta-sts.example.com")
	writes := len(w.writesAt())
	serves := func(when string) {
		t.Helper()
		if got := w.policyOf(); got.String() != own.String() {
			t.Fatalf("%s: served is %q", when, got)
		}
	}
	w.edit("example-com", toExternal)
	pending := func(says string) func(md *v1alpha1.MailDomain) bool {
		return func(md *v1alpha1.MailDomain) bool {
			return mtastsReason(v1alpha1.ReasonThirdPartyPending)(md) && strings.Contains(message(md, v1alpha1.ConditionMTASTSReady), says)
		}
	}
	w.until("example-com", "waiting for the third party", pending(ourAddress+" still leads to the operator"))
	w.settles("example-com")
	serves("before")
	w.wantHost("before", "A "+ourAddress)
	w.wantAnnounced("before", ownRecord...)

	// The address moves; what is there is not what spec wants yet.
	w.must(w.dns.Set(policyHost, "A", theirAddress))
	w.until("example-com", "told that theirs is weaker", pending("mode: testing, and spec.mtaSTS.mode is enforce"))
	w.forward(48 * time.Hour)
	w.settles("example-com")
	serves("with a weaker policy")
	w.wantHost("moved", "A "+theirAddress)

	// Their record comes beside ours while the policy is wrong: nothing is taken away.
	w.must(w.dns.SetTXT("_mta-sts.example.com", ownRecord[0], theirRecord))
	w.passes(3)
	w.wantAnnounced("theirs is wrong", ownRecord[0], theirRecord)
	if got := w.writesAt(); len(got) > writes {
		t.Fatalf("written: %q", got[writes:])
	}
	w.must(w.dns.SetTXT("_mta-sts.example.com", ownRecord...))
	third.serves(theirs().String())
	w.until("example-com", "told of the record", pending("still has the operator's own record"))
	w.settles("example-com")
	serves("with the operator's record")
	w.must(w.dns.SetTXT("_mta-sts.example.com", ownRecord[0], theirRecord))
	w.heard("")
	w.until("example-com", "handed over", isReady)
	handed := w.clock.Now()
	w.wantAnnounced("handed over", theirRecord)
	if !w.told("Normal " + v1alpha1.ReasonThirdPartyServes) {
		t.Error("no Event tells of the handover")
	}
	w.settles("example-com")
	serves("for caches")
	w.ledger("example-com", func(l *ledger.Ledger) {
		if len(l.Of(string(v1alpha1.PurposeMTASTS)))+len(l.Of(string(v1alpha1.PurposeMTASTSAddress))) > 0 {
			t.Errorf("the ledger still has %+v", l.Entries)
		}
	})
	w.clock.SetTime(handed.Add(recordCaches - time.Minute))
	w.pass("example-com")
	serves("at the end")

	// Senders hold the operator's policy still, and it does not cover a host that is new in theirs.
	wider := theirs()
	wider.MX = append(wider.MX, "mx2.example.com")
	third.serves(wider.String())
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.MX = wider.MX })
	w.until("example-com", "served no more", func(md *v1alpha1.MailDomain) bool { return len(w.sites(w.snapshot.Dir)) == 0 && isReady(md) })
	if at := w.get("example-com").Status.MTASTS.SafeToMoveMXAfter; at == nil || at.Sub(handed) < recordCaches+336*time.Hour {
		t.Errorf("MX records may move %v, handed over %v", at, handed)
	}
	w.settles("example-com")
	w.forward(400 * time.Hour)
	w.until("example-com", "forgotten", func(md *v1alpha1.MailDomain) bool { return md.Status.MTASTS.SafeToMoveMXAfter == nil })
	w.settles("example-com")
	w.ledger("example-com", func(l *ledger.Ledger) {
		if l.MTASTS != nil {
			t.Errorf("%+v", l.MTASTS)
		}
	})
	w.wantHost("in the end", "A "+theirAddress)
	w.wantAnnounced("in the end", theirRecord)
}

// The third party may serve the very text that the operator does.
func TestHandoverOfTheSameText(t *testing.T) {
	w := newWorld(t)
	third := w.withThirdParty(theirs())
	w.sidecar()
	third.serves(w.policyOf().String())
	w.edit("example-com", toExternal)
	w.passes(3)
	if md := w.get("example-com"); !mtastsReason(v1alpha1.ReasonThirdPartyPending)(md) {
		t.Fatalf("the operator's own was taken for theirs:\n%s", describe(md))
	}
	w.must(w.dns.Set(policyHost, "A", theirAddress))
	w.must(w.dns.SetTXT("_mta-sts.example.com", theirRecord))
	w.until("example-com", "handed over", isReady)
	w.settles("example-com") // it is not taken for the operator's later, of which the address is forgotten
	w.forward(recordCaches)
	w.until("example-com", "served no more", func(md *v1alpha1.MailDomain) bool { return len(w.sites(w.snapshot.Dir)) == 0 && isReady(md) })

	// What was handed over and is led to the operator again while it still serves is the operator's again.
	again := newWorld(t)
	again.withThirdParty(theirs())
	again.sidecar()
	again.edit("example-com", toExternal)
	again.pass("example-com")
	again.must(again.dns.Set(policyHost, "A", theirAddress))
	again.must(again.dns.SetTXT("_mta-sts.example.com", theirRecord))
	again.until("example-com", "handed over", isReady)
	again.must(again.dns.Set(policyHost, "A", ourAddress))
	again.r.PolicyAddress, _ = records.HostTargets(ourAddress)
	again.until("example-com", "the operator's again", mtastsReason(v1alpha1.ReasonThirdPartyPending))
	again.forward(48 * time.Hour)
	again.settles("example-com")
	if len(again.sites(again.snapshot.Dir)) != 1 {
		t.Error("it is served no more, and the host leads here")
	}
}

// A change of mind changes nothing in DNS.
func TestHandoverThatIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.withThirdParty(theirs())
	w.sidecar()
	before := w.get("example-com").Spec.MTASTS
	writes, own := len(w.writesAt()), w.policyOf()
	w.edit("example-com", toExternal)
	w.until("example-com", "waiting", mtastsReason(v1alpha1.ReasonThirdPartyPending))
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = before })
	w.until("example-com", "ready", isReady)
	w.settles("example-com")
	if got := w.writesAt(); len(got) > writes {
		t.Errorf("written: %q", got[writes:])
	}
	if got := w.policyOf(); got.String() != own.String() || !w.isAnnounced(nil) {
		t.Errorf("served is %q", got)
	}
	// The records are ours still: their drift is repaired.
	w.homeless()
	w.until("example-com", "repaired", func(*v1alpha1.MailDomain) bool { return slices.Equal(w.host(), []string{"A " + ourAddress}) })
}

// From a third party back: what they have put there is theirs, and is taken over only when the operator
// serves, and when the user has it adopted.
func TestHandoverFromAThirdParty(t *testing.T) {
	for name, began := range map[string]func(w *world){
		"of a domain that was theirs": func(w *world) {
			s := onlyMTASTS()
			s.MTASTS.Hosting = v1alpha1.HostingExternal
			w.homeless()
			w.must(w.dns.Set(policyHost, "A", theirAddress))
			w.must(w.dns.SetTXT("_mta-sts.example.com", theirRecord))
			w.apply("example-com", s)
		},
		"of one that was the operator's": func(w *world) {
			w.sidecar()
			w.edit("example-com", toExternal)
			w.pass("example-com")
			w.must(w.dns.Set(policyHost, "A", theirAddress))
			w.must(w.dns.SetTXT("_mta-sts.example.com", theirRecord))
		},
		"in the middle of the way there": func(w *world) {
			w.sidecar()
			w.edit("example-com", toExternal)
			w.pass("example-com")
			w.must(w.dns.Set(policyHost, "A", theirAddress))
			w.must(w.dns.SetTXT("_mta-sts.example.com", theirRecord))
			w.t.Helper()
			w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS.Mode = v1alpha1.MTASTSNone }) // which they do not serve
			w.until("example-com", "waiting", mtastsReason(v1alpha1.ReasonThirdPartyPending))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.withThirdParty(theirs())
			began(w)
			if !strings.HasPrefix(name, "in the middle") {
				w.until("example-com", "ready", isReady)
			}
			w.must(w.api.Delete(t.Context(), w.secret("mta-sts-example-com")))
			writes := len(w.writesAt())
			w.edit("example-com", func(md *v1alpha1.MailDomain) {
				md.Spec.MTASTS.Hosting, md.Spec.MTASTS.Mode, md.Spec.MTASTS.MX = v1alpha1.HostingSidecar, v1alpha1.MTASTSEnforce, []string{"mx1.example.com"}
				md.Spec.MTASTS.Address = address(v1alpha1.AddressA, ourAddress)
				md.Spec.DNS.ConflictPolicy = v1alpha1.ConflictAdopt
			})
			// Without a certificate the operator can't serve, so nothing moves, though it may adopt.
			w.until("example-com", "without a certificate", mtastsReason(v1alpha1.ReasonCertificateNotReady))
			w.settles("example-com")
			w.wantHost("not served yet", "A "+theirAddress)
			w.wantAnnounced("not served yet", theirRecord)
			// Without Adopt it is served, and a conflict is reported.
			w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DNS.ConflictPolicy = v1alpha1.ConflictRefuse })
			w.reissue()
			w.until("example-com", "in conflict", mtastsReason(v1alpha1.ReasonRecordConflict))
			w.settles("example-com")
			w.wantHost("in conflict", "A "+theirAddress)
			w.wantAnnounced("in conflict", theirRecord)
			if got := w.writesAt(); len(got) > writes {
				t.Errorf("written: %q", got[writes:])
			}
			w.check = func() {
				if slices.Equal(w.host(), []string{"A " + ourAddress}) && len(w.sites(w.snapshot.Dir)) == 0 {
					t.Error("the host leads to the operator, which does not serve")
				}
				if !slices.Equal(w.dns.TXT("_mta-sts.example.com"), []string{theirRecord}) && slices.Equal(w.host(), []string{"A " + theirAddress}) {
					t.Errorf("announced is %q, while theirs is served", w.dns.TXT("_mta-sts.example.com"))
				}
			}
			w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DNS.ConflictPolicy = v1alpha1.ConflictAdopt })
			w.until("example-com", "taken over", func(md *v1alpha1.MailDomain) bool { return isReady(md) && w.isAnnounced(md) })
			w.wantHost("taken over", "A "+ourAddress)
			w.check = nil
			w.settles("example-com")
			// Who got the third party's policy holds it for its max_age.
			w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil })
			w.until("example-com", "withdrawing", func(md *v1alpha1.MailDomain) bool {
				return md.Status.MTASTS != nil && md.Status.MTASTS.CommitmentEnds != nil
			})
			if ends := w.get("example-com").Status.MTASTS.CommitmentEnds; ends.Sub(w.clock.Now()) < 336*time.Hour {
				t.Errorf("the commitment ends in %v", ends.Sub(w.clock.Now()))
			}
		})
	}
}

// reissue makes the TLS Secret anew.
func (w *world) reissue() {
	w.t.Helper()
	roots := w.roots
	w.certificate()
	issued := w.secret("mta-sts-example-com").Data["tls.crt"]
	w.roots = roots
	w.roots.AppendCertsFromPEM(issued)
}

// A deleted MailDomain leaves the third party's records to the third party.
func TestDeletionWithAThirdParty(t *testing.T) {
	w := newWorld(t)
	w.withThirdParty(theirs())
	w.homeless()
	w.must(w.dns.Set(policyHost, "A", theirAddress))
	w.must(w.dns.SetTXT("_mta-sts.example.com", theirRecord))
	s := onlyMTASTS()
	s.MTASTS.Hosting, s.DNS.DeletionPolicy = v1alpha1.HostingExternal, v1alpha1.DeletionDelete
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	w.delete("example-com")
	w.winds("example-com", "gone", time.Minute, func() bool { _, there := w.find("example-com"); return !there && w.buried() })
	if got := w.writesAt(); len(got) > 0 {
		t.Errorf("written: %q", got)
	}
	if len(w.dns.TXT("_maildomain.example.com")) > 0 {
		t.Error("the claim is left")
	}
	w.wantHost("deleted", "A "+theirAddress)
	if got := w.dns.TXT("_mta-sts.example.com"); !slices.Equal(got, []string{theirRecord}) {
		t.Errorf("_mta-sts has %q", got)
	}
}
