package controllers

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mtastsserver"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/certificate"
)

// What is served stays, although the certificate's Secret, the MailDomain and the process that
// wrote the snapshot are gone.
func TestServingOutlivesItsSources(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)
	w.must(w.api.Delete(t.Context(), w.secret("mta-sts-example-com")))
	w.vanish(w.get("example-com"))
	for range 2 {
		w.restart()
		if _, err := w.snapshot.Reconcile(t.Context(), ctrl.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	// The policy server may look a moment later: what it will find is on the disk.
	snapshot, err := mtastsserver.LoadSnapshot(w.snapshot.Dir)
	w.must(err)
	if sites := snapshot.Sites(); len(sites) != 1 || sites[0].Domain != "example.com" || len(sites[0].PrivateKey) == 0 {
		t.Fatalf("the snapshot holds %d sites", len(sites))
	}
	answer, err := w.r.Fetcher.Fetch(t.Context(), "example.com")
	if err != nil || len(answer.Results) != 1 || answer.Results[0].Outcome != probe.PolicyServed {
		t.Fatalf("got %+v, %v", answer, err)
	}
	if policy, err := mtasts.ParsePolicy(answer.Results[0].Body); err != nil || policy.Mode != mtasts.Enforce {
		t.Errorf("got %v, %v", policy, err)
	}
}

// sites is what a policy server finds in the directory.
func (w *world) sites(dir string) map[string]mtastsserver.Site {
	w.t.Helper()
	snapshot, err := mtastsserver.LoadSnapshot(dir)
	w.must(err)
	sites := map[string]mtastsserver.Site{}
	for _, s := range snapshot.Sites() {
		sites[s.Domain] = s
	}
	return sites
}

func (w *world) writeSnapshot() {
	w.t.Helper()
	_, err := w.snapshot.Reconcile(w.t.Context(), ctrl.Request{})
	w.must(err)
}

// newPod is a replica that starts with an empty directory.
func (w *world) newPod() map[string]mtastsserver.Site {
	w.t.Helper()
	fresh := &SnapshotWriter{Client: w.api, Reader: w.api, Clock: w.clock, Namespace: w.operator, Dir: w.t.TempDir()}
	_, err := fresh.Reconcile(w.t.Context(), ctrl.Request{})
	w.must(err)
	return w.sites(fresh.Dir)
}

func (w *world) siteOf(domain string) site {
	w.t.Helper()
	s, err := w.r.readSite(w.t.Context(), domain)
	w.must(err)
	if s.config == nil {
		w.t.Fatalf("nothing is stored of %s", domain)
	}
	return s
}

// A certificate that the world would refuse does not replace a good one, and what is wrong with
// one domain does not keep another from its new policy.
func TestBadCertificatesStayOutside(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)
	neighbour := func(policy string) {
		w.t.Helper()
		config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.operator, Name: siteName("smarter.se"), Labels: map[string]string{siteLabel: "true"}}}
		_, err := controllerutil.CreateOrUpdate(t.Context(), w.api, config, func() error {
			config.Data = map[string]string{siteDomain: "smarter.se", sitePolicy: policy, siteNamespace: w.namespace, siteTLSSecret: "neighbour"}
			return nil
		})
		w.must(err)
	}
	pair := func(host string) (cert, key []byte) {
		cert, key, err := certificate.SelfSigned(host)
		w.must(err)
		return cert, key
	}
	cert, key := pair("mta-sts.smarter.se")
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "neighbour"}, Data: map[string][]byte{"tls.crt": cert, "tls.key": key}})
	good := w.secret("mta-sts-example-com").Data
	other, otherKey := pair("mta-sts.example.com")
	foreign, foreignKey := pair("mta-sts.smarter.se")
	put := func(data map[string][]byte) {
		secret := w.secret("mta-sts-example-com")
		secret.Data = data
		w.must(w.api.Update(t.Context(), secret))
	}
	now := w.clock.Now()
	for name, test := range map[string]struct {
		cert, key []byte
		at        time.Duration
		says      string
	}{
		"rubbish":            {[]byte("rubbish"), good["tls.key"], 0, "not a certificate with its key"},
		"nothing":            {nil, nil, 0, "not a certificate with its key"},
		"another's key":      {good["tls.crt"], otherKey, 0, "not a certificate with its key"},
		"for another host":   {foreign, foreignKey, 0, "for other names"},
		"too large":          {append(slices.Clone(good["tls.crt"]), bytes.Repeat([]byte("#\n"), 150<<10)...), good["tls.key"], 0, "larger than 256 KiB"},
		"expired":            {other, otherKey, 100 * 365 * 24 * time.Hour, "expired"},
		"not valid yet":      {other, otherKey, -100 * 365 * 24 * time.Hour, "not valid yet"},
		"an oversized key":   {good["tls.crt"], bytes.Repeat([]byte("#\n"), 9<<10), 0, "larger than 16 KiB"},
		"an oversized chain": {bytes.Repeat([]byte("#\n"), 150<<10), good["tls.key"], 0, "larger than 256 KiB"},
		"a good one, as was": {good["tls.crt"], good["tls.key"], 0, ""},
	} {
		put(map[string][]byte{"tls.crt": test.cert, "tls.key": test.key})
		neighbour(name)
		w.clock.SetTime(now.Add(test.at))
		w.writeSnapshot()
		w.clock.SetTime(now)
		sites := w.sites(w.snapshot.Dir)
		if site := sites["example.com"]; !bytes.Equal(site.Certificate, good["tls.crt"]) || !bytes.Equal(site.PrivateKey, good["tls.key"]) || site.Policy == "" {
			t.Errorf("%s: the good certificate was replaced by %.20q", name, site.Certificate)
		}
		if got := sites["smarter.se"].Policy; test.at == 0 && got != name {
			t.Errorf("%s: the neighbour's policy is %q", name, got)
		}
		if got := pairFault("example.com", test.cert, test.key, now.Add(test.at)); !strings.Contains(got, test.says) || (got == "") != (test.says == "") {
			t.Errorf("%s: the fault is %q", name, got)
		}
	}
	// A site that can't stand in a snapshot at all leaves the others alone, too.
	neighbour(strings.Repeat("x", 65<<10))
	put(map[string][]byte{"tls.crt": other, "tls.key": otherKey})
	w.roots.AppendCertsFromPEM(other)
	w.writeSnapshot()
	sites := w.sites(w.snapshot.Dir)
	if !bytes.Equal(sites["example.com"].Certificate, other) {
		t.Error("a renewal was not taken")
	}
	if len(sites["smarter.se"].Policy) > 100 {
		t.Error("an oversized policy was taken")
	}
	put(map[string][]byte{"tls.crt": bytes.Repeat([]byte("#\n"), 150<<10), "tls.key": otherKey})
	w.until("example-com", "a fault", hasReason(v1alpha1.ConditionMTASTSReady, v1alpha1.ReasonCertificateNotReady))
	if text := message(w.get("example-com"), v1alpha1.ConditionMTASTSReady); !strings.Contains(text, "larger than 256 KiB") {
		t.Error(text)
	}
}

// unreadable fails to read Secrets.
type unreadable struct{ client.Reader }

func (unreadable) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("the API server is away")
}

// Absence ends nothing: not that of a stored site, not that of an answer of the API server.
func TestServingEndsOnlyWithAWithdrawal(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)
	policy := w.sites(w.snapshot.Dir)["example.com"].Policy
	lost := w.siteOf("example.com").config
	w.must(w.api.Delete(t.Context(), lost))
	if requests := holderOf(t.Context(), lost); !slices.Equal(requests, []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: "example-com"}}}) {
		t.Errorf("the loss is made up for by %v", requests)
	}
	w.writeSnapshot()
	w.restart()
	w.writeSnapshot()
	if got := w.sites(w.snapshot.Dir)["example.com"].Policy; got != policy {
		t.Errorf("the loss of a ConfigMap ended serving: %q", got)
	}
	// It is made again, although nothing new could be served at the moment.
	mended := w.secret("mta-sts-example-com")
	w.must(w.api.Delete(t.Context(), mended))
	w.pass("example-com")
	if got := w.siteOf("example.com").config.Data; got[sitePolicy] != policy || got[siteTLSSecret] != "mta-sts-example-com" || got[siteNamespace] != w.namespace {
		t.Errorf("made again: %v", got)
	}
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: mended.Name}, Data: mended.Data})
	if got := w.newPod()["example.com"].Policy; got != policy {
		t.Errorf("a new pod serves %q", got)
	}

	// Without its Secrets a running replica goes on, and a new one writes nothing rather than a part.
	w.restart()
	w.snapshot.Reader = unreadable{}
	if _, err := w.snapshot.Reconcile(t.Context(), ctrl.Request{}); err == nil || len(w.sites(w.snapshot.Dir)) != 1 {
		t.Errorf("got %v, want an error and what was served", err)
	}
	fresh := &SnapshotWriter{Client: w.api, Reader: unreadable{}, Clock: w.clock, Namespace: w.operator, Dir: t.TempDir()}
	if _, err := fresh.Reconcile(t.Context(), ctrl.Request{}); err == nil {
		t.Error("a part of a snapshot was written")
	}
	if _, err := mtastsserver.LoadSnapshot(fresh.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a part of a snapshot was written: %v", err)
	}
	w.restart()

	// A claim that moves takes nothing from senders: the policy stays, with its certificate, until
	// the new holder has one of its own.
	second := spec()
	second.MTASTS = nil
	w.apply("second", second)
	w.must(w.dns.SetTXT("_maildomain.example.com"))
	w.until("second", "the holder", func(*v1alpha1.MailDomain) bool { return strings.Contains(w.siteOf("example.com").holder, "/second/") })
	w.pass("second")
	if got := w.siteOf("example.com").config.Data; got[sitePolicy] != policy || got[siteTLSSecret] != "mta-sts-example-com" || w.newPod()["example.com"].Policy != policy {
		t.Errorf("the new holder's site: %v", got)
	}
	if len(w.dns.TXT("_mta-sts.example.com")) != 1 {
		t.Error("the announcement is gone")
	}
	cert, key, err := certificate.SelfSigned("mta-sts.example.com")
	w.must(err)
	w.roots.AppendCertsFromPEM(cert)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "mta-sts-second"}, Data: map[string][]byte{"tls.crt": cert, "tls.key": key}})
	w.must(w.dns.SetTXT("_mta-sts.example.com")) // it is not the second's to replace
	w.edit("second", func(md *v1alpha1.MailDomain) {
		md.Spec.MTASTS = &v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSTesting, MX: []string{"mx1.example.com"}, MaxAge: &metav1.Duration{Duration: time.Hour}}
	})
	w.until("second", "announced", func(md *v1alpha1.MailDomain) bool { return md.Status.MTASTS != nil && md.Status.MTASTS.PolicyID != "" })
	if got := w.siteOf("example.com").config.Data; !strings.Contains(got[sitePolicy], "testing") || got[siteTLSSecret] != "mta-sts-second" {
		t.Errorf("the new holder's own policy: %v", got)
	}

	// What the first one served binds the second.
	w.edit("second", func(md *v1alpha1.MailDomain) { md.Spec.MTASTS = nil })
	w.until("second", "withdrawing", func(md *v1alpha1.MailDomain) bool {
		return md.Status.MTASTS != nil && md.Status.MTASTS.CommitmentEnds != nil
	})
	ends := w.get("second").Status.MTASTS.CommitmentEnds
	if left := ends.Sub(w.clock.Now()); left < v1alpha1.DefaultMTASTSMaxAge-time.Hour {
		t.Errorf("the commitment ends in %v", left)
	}
	w.clock.SetTime(ends.Time)
	w.until("second", "withdrawn", func(*v1alpha1.MailDomain) bool {
		return len(w.dns.TXT("_mta-sts.example.com")) == 0 && len(w.sites(w.snapshot.Dir)) == 0
	})
	w.restart()
	w.writeSnapshot()
	if got := w.sites(w.snapshot.Dir); len(got) > 0 || len(w.newPod()) > 0 {
		t.Errorf("after the withdrawal %d domains are served", len(got))
	}
	effects := len(w.effects)
	w.pass("second")
	w.pass("second")
	if more := w.effects[effects:]; len(more) > 0 {
		t.Errorf("an unchanged world was written to: %v", more)
	}
}

// A ledger that can't be read ends the pass before anything is touched.
func TestUnreadableLedger(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", spec())
	w.until("example-com", "ready", isReady)
	ledger := w.secret("example-com-maildomain-ledger")
	good := ledger.Data["ledger.json"]
	ledger.Data["ledger.json"] = []byte(`{"version": 99}`)
	w.must(w.api.Update(t.Context(), ledger))
	w.must(w.dns.SetTXT("_dmarc.example.com"))
	effects := len(w.effects)
	if _, err := w.r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w.get("example-com"))}); err == nil {
		t.Error("the pass succeeded")
	}
	md := w.get("example-com")
	if !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonLedgerUnreadable)(md) || len(w.effects) != effects+1 || len(w.dns.TXT("_dmarc.example.com")) != 0 {
		t.Errorf("wrote %v\n%s", w.effects[effects:], describe(md))
	}
	ledger.Data["ledger.json"] = good
	w.must(w.api.Update(t.Context(), ledger))
	w.until("example-com", "ready", isReady)
	w.theTalksRecordsStand() // the record that somebody deleted is back
}

// What is under way is looked at soon, what has been stuck for long seldom.
func TestPace(t *testing.T) {
	w := newWorld(t)
	w.must(w.dns.SetTXT("example.com", "v=spf1 a ~all"))
	w.apply("example-com", spec())
	w.until("example-com", "a conflict", hasReason(v1alpha1.ConditionSPFReady, v1alpha1.ReasonRecordConflict))
	w.settles("example-com")
	var last time.Time
	for _, c := range w.get("example-com").Status.Conditions {
		last = latest(last, c.LastTransitionTime.Time)
	}
	for age, want := range map[time.Duration]time.Duration{time.Second: time.Second, time.Minute: 15 * time.Second, time.Hour: early(10*time.Minute, w.namespace+"/example-com")} {
		w.clock.SetTime(last.Add(age))
		result, err := w.r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w.get("example-com"))})
		if err != nil || result.RequeueAfter != want {
			t.Errorf("after %v without a change: looks again in %v, want %v (%v)", age, result.RequeueAfter, want, err)
		}
	}
}
