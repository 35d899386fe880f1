package controllers

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// legacy is a private key as an old signer has it, and the p= of its record.
func legacy(t *testing.T, bits int) (file []byte, p string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), base64.StdEncoding.EncodeToString(der)
}

// importing is a domain whose one key is imported.
func importing(selector string) v1alpha1.MailDomainSpec {
	s := signing()
	s.DKIM.Keys = []v1alpha1.DKIMKey{{Name: "old", Import: &v1alpha1.DKIMImport{SecretName: "legacy", Key: "private.pem", Selector: selector}}}
	return s
}

func (w *world) importSecret(file []byte) {
	w.t.Helper()
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "legacy", Labels: map[string]string{v1alpha1.LabelImport: "true"}}, Data: map[string][]byte{"private.pem": file}})
}

// states are the selectors of status with their states.
func keyStates(md *v1alpha1.MailDomain) (list []string) {
	if md.Status.DKIM != nil {
		for _, k := range md.Status.DKIM.Keys {
			list = append(list, k.Selector+" "+string(k.State))
		}
	}
	return list
}

// A key that signs already is taken up without a change of one octet in DNS, proven like any other, and
// replaced by a key of the operator's at the first rotation. Its record's restrictions are its own.
func TestALiveKeyIsAdopted(t *testing.T) {
	w := newWorld(t)
	file, p := legacy(t, 1024)
	text := "v=DKIM1;h=sha256 ; k=rsa; s=email; t=y; n=since 2019; p=" + p
	const record = "s1._domainkey.example.com"
	w.must(w.dns.SetTXT(record, text))
	w.importSecret(file)
	w.apply("example-com", importing("s1"))
	writes := func() []string {
		return slices.DeleteFunc(slices.Clone(w.effects), func(e string) bool { return !strings.HasPrefix(e, "DNS ") || !strings.Contains(e, "_domainkey") })
	}
	w.passes(2)
	if diff := cmp.Diff([]string{"s1 Published"}, keyStates(w.get("example-com"))); diff != "" {
		t.Errorf("%s\n%s", diff, describe(w.get("example-com")))
	}
	if !w.told("Normal KeyImported") {
		t.Error("nobody was told")
	}
	w.must(w.api.Delete(t.Context(), w.secret("legacy")))
	w.until("example-com", "ready", isReady)
	w.settles("example-com")
	if diff := cmp.Diff([]string{text}, w.dns.TXT(record)); diff != "" || len(writes()) > 0 {
		t.Errorf("%s\n%v", diff, writes())
	}
	data := w.secret(theSigner).Data
	if string(data["selector"]) != "s1" || !keys.Belongs(data["s1.pem"], text) {
		t.Errorf("the signer is told to sign with %q", data["selector"])
	}
	var codes []string
	for _, f := range w.get("example-com").Status.Findings {
		codes = append(codes, f.Code)
	}
	if !slices.Contains(codes, "DKIM-KEY-SHORT") || !slices.Contains(codes, "DKIM-TESTING") {
		t.Errorf("found %v", codes)
	}

	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: "1"} })
	w.until("example-com", "rotated", func(md *v1alpha1.MailDomain) bool { return slices.Contains(keyStates(md), "s1 Retired") })
	md := w.get("example-com")
	if next := md.Status.DKIM.Keys[1]; next.Selector != "001-20261123a" || *next.Bits != 2048 || next.Algorithm != v1alpha1.DKIMRSA || next.Name != "old" {
		t.Errorf("its successor is %+v", next)
	}
	if diff := cmp.Diff([]string{text}, w.dns.TXT(record)); diff != "" {
		t.Errorf("while mail is under way: %s", diff)
	}
	w.settles("example-com")
	w.forward(v1alpha1.DefaultRotationRetention / 2)
	w.pass("example-com") // its file leaves the signer's Secret
	w.forward(v1alpha1.DefaultRotationRetention)
	w.until("example-com", "revoked", func(*v1alpha1.MailDomain) bool { return cmp.Equal([]string{"v=DKIM1; k=rsa; p="}, w.dns.TXT(record)) })
	w.forward(v1alpha1.DefaultRotationRetention)
	w.until("example-com", "removed", func(*v1alpha1.MailDomain) bool { return len(w.dns.TXT(record)) == 0 })
	w.settles("example-com")
	if md := w.get("example-com"); !isReady(md) || len(md.Status.DKIM.Keys) != 1 {
		t.Errorf("it was imported again:\n%s", describe(md))
	}
}

// A key whose record is nowhere is published; not while a name server that may know another one is
// silent.
func TestAnImportedKeyIsPublished(t *testing.T) {
	w := newWorld(t)
	second, err := w.dns.Secondary("127.0.0.1:0")
	w.must(err)
	t.Cleanup(func() { second.Close() })
	w.nameservers(w.dns.Addr(), second.Addr())
	w.must(w.dns.SetTXT("*._domainkey.example.com", "v=DKIM1; p="))
	file, p := legacy(t, 3072)
	w.importSecret(file)
	second.Fault(dnsserver.Fault{ServFail: true})
	w.apply("example-com", importing("s1"))
	w.passes(3)
	md := w.get("example-com")
	if text := message(md, v1alpha1.ConditionDKIMReady); len(keyStates(md)) > 0 || !strings.Contains(text, second.Addr()+" (ServFail) is waited for") || isReady(md) {
		t.Errorf("%v\n%s", keyStates(md), describe(md))
	}
	w.forward(time.Hour)
	w.passes(2)
	if diff := cmp.Diff([]string{"v=DKIM1; k=rsa; p=" + p}, w.dns.TXT("s1._domainkey.example.com")); diff != "" {
		t.Errorf("%s\n%s", diff, describe(w.get("example-com")))
	}
	second.Fault(dnsserver.Fault{})
	w.until("example-com", "ready", isReady)
	if w.active("example-com") != "s1" {
		t.Error(keyStates(w.get("example-com")))
	}
}

// What can't be imported changes nothing: the key of that name goes on, no other is made, and the
// message says what to do.
func TestImportFails(t *testing.T) {
	w := newWorld(t)
	s := signing()
	s.DKIM.Keys[0].Name = "old"
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	own := w.active("example-com")
	file, p := legacy(t, 2048)
	_, other := legacy(t, 2048)
	const record = "s1._domainkey.example.com"
	w.importSecret(file)
	secret := func(change func(*corev1.Secret)) {
		now := w.secret("legacy")
		now.Labels, now.Data = map[string]string{v1alpha1.LabelImport: "true"}, map[string][]byte{"private.pem": file}
		change(now)
		w.must(w.api.Update(t.Context(), now))
	}
	w.must(w.dns.SetTXT(record, "v=DKIM1; p="+p))
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		md.Spec.DKIM.Keys = importing("s1").DKIM.Keys
		md.Spec.DKIM.Keys[0].Import.SecretName = "none"
	})
	selector := func(name string) {
		w.edit("example-com", func(md *v1alpha1.MailDomain) {
			md.Spec.DKIM.Keys[0].Import = &v1alpha1.DKIMImport{SecretName: "legacy", Key: "private.pem", Selector: name}
		})
	}
	for _, test := range []struct {
		name  string
		spoil func()
		says  []string
	}{
		{"no Secret", func() {}, []string{"there is no Secret none", "create it"}},
		{"no label", func() { selector("s1"); secret(func(s *corev1.Secret) { s.Labels = nil }) }, []string{"Secret legacy", `maildomain.dev/import: "true"`}},
		{"another label", func() { secret(func(s *corev1.Secret) { s.Labels[v1alpha1.LabelImport] = "yes" }) }, []string{"set the label"}},
		{"no entry", func() { secret(func(s *corev1.Secret) { s.Data = nil }) }, []string{"has no key private.pem"}},
		{"unreadable", func() { secret(func(s *corev1.Secret) { s.Data["private.pem"] = []byte("-----BEGIN X") }) }, []string{"Secret legacy, key private.pem holds no whole PEM block"}},
		{"another key is served", func() { secret(func(*corev1.Secret) {}); w.must(w.dns.SetTXT(record, "v=DKIM1; p="+other)) }, []string{p, other, "name the Secret of the key that is served"}},
		{"a revoked key is served", func() { w.must(w.dns.SetTXT(record, "v=DKIM1; p=")) }, []string{`is "v=DKIM1; p="`}},
		{"two are served", func() { w.must(w.dns.SetTXT(record, "v=DKIM1; p="+p, "v=DKIM1; p="+other)) }, []string{"show 2 keys at TXT " + record}},
		{"an alias", func() {
			w.must(w.dns.SetTXT(record))
			w.must(w.dns.Set("s2._domainkey.example.com", "CNAME", "s2.smarter.se."))
			selector("s2")
		}, []string{"is a CNAME to s2.smarter.se", "verifyOnly"}},
		{"its own selector", func() { selector(own) }, []string{"belongs to the key old of this MailDomain", "name another selector"}},
		{"its own key", func() {
			secret(func(s *corev1.Secret) { s.Data["private.pem"] = w.secret(theSigner).Data[keys.PrivateFile(own)] })
			selector("s3")
		}, []string{"holds the private key of selector " + own}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.in(t)
			test.spoil()
			texts := w.dns.TXT(record)
			w.until("example-com", "refused", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonImportFailed))
			w.settles("example-com")
			md := w.get("example-com")
			for _, part := range append(test.says, "spec.dkim.keys[old].import: ") {
				if text := message(md, v1alpha1.ConditionDKIMReady); !strings.Contains(text, part) {
					t.Errorf("it does not say %q: %s", part, text)
				}
			}
			if diff := cmp.Diff([]string{own + " Active"}, keyStates(md)); diff != "" || !cmp.Equal(texts, w.dns.TXT(record)) {
				t.Errorf("%s, %q", diff, w.dns.TXT(record))
			}
		})
	}

	// The way out; and the key that signed until now makes room as in a rotation.
	w.must(w.dns.SetTXT(record, "v=DKIM1; p="+p))
	secret(func(*corev1.Secret) {})
	good := w.secret("legacy")
	selector("s1")
	w.until("example-com", "imported", func(md *v1alpha1.MailDomain) bool {
		return cmp.Equal([]string{own + " Retired", "s1 Active"}, keyStates(md))
	})
	if diff := cmp.Diff(good, w.secret("legacy")); diff != "" {
		t.Errorf("the user's Secret was written: %s", diff)
	}
	w.settles("example-com")

	// One key is imported once, under one name.
	w.must(w.dns.SetTXT("s4._domainkey.example.com", "v=DKIM1; p="+p))
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		md.Spec.DKIM.Keys = append(md.Spec.DKIM.Keys, v1alpha1.DKIMKey{Name: "twin", Import: &v1alpha1.DKIMImport{SecretName: "legacy", Key: "private.pem", Selector: "s4"}})
	})
	w.until("example-com", "refused", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonImportFailed))
	if text := message(w.get("example-com"), v1alpha1.ConditionDKIMReady); !strings.Contains(text, "holds the private key of selector s1") {
		t.Error(text)
	}

	// Another selector is another import. Without import the key stays, if it is what spec wants then.
	file4, p4 := legacy(t, 2048)
	w.must(w.dns.SetTXT("s4._domainkey.example.com", "v=DKIM1; p="+p4))
	secret(func(s *corev1.Secret) { s.Data["private.pem"] = file4 })
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DKIM.Keys = importing("s4").DKIM.Keys })
	w.until("example-com", "imported", func(md *v1alpha1.MailDomain) bool {
		return cmp.Equal([]string{own + " Retired", "s1 Retired", "s4 Active"}, keyStates(md))
	})
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DKIM.Keys = []v1alpha1.DKIMKey{{Name: "old"}} })
	w.settles("example-com")
	if md := w.get("example-com"); !isReady(md) || !slices.Contains(keyStates(md), "s4 Active") || len(keyStates(md)) != 3 {
		t.Errorf("%v\n%s", keyStates(md), describe(md))
	}
}

// In mode Observe nothing is copied, and the plan says what would be written: nothing, for a key that
// is served.
func TestImportIsObserved(t *testing.T) {
	w := newWorld(t)
	file, p := legacy(t, 2048)
	w.importSecret(file)
	s := importing("s1")
	s.Mode = v1alpha1.ModeObserve
	w.apply("example-com", s)
	plan := func(want ...string) {
		t.Helper()
		w.passes(2)
		var got []string
		md := w.get("example-com")
		for _, step := range md.Status.Plan {
			if strings.Contains(step.Name, "_domainkey") {
				got = append(got, string(step.Action)+" "+step.Name+" "+step.New)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || !strings.Contains(message(md, v1alpha1.ConditionDKIMReady), "would be imported") || len(keyStates(md)) > 0 {
			t.Errorf("%s\n%s", diff, describe(md))
		}
	}
	plan("Create s1._domainkey.example.com v=DKIM1; k=rsa; p=" + p)
	w.must(w.dns.SetTXT("s1._domainkey.example.com", "v=DKIM1; p="+p))
	plan()
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.Mode = "" })
	w.until("example-com", "ready", isReady)
	if w.active("example-com") != "s1" {
		t.Error(keyStates(w.get("example-com")))
	}
}

// What one selector's look has found out of silent servers, another's does not undo.
func TestSilenceAddsUp(t *testing.T) {
	s := &scope{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), book: &book{Ledger: ledger.New("example.com")}}
	answer := func(server string, outcome probe.Outcome) probe.Answer {
		return probe.Answer{Server: server, Outcome: outcome}
	}
	s.silence(sight{answers: []probe.Answer{answer("ns1", probe.ServFail), answer("ns2", probe.NXDomain)}})
	s.silence(sight{answers: []probe.Answer{answer("ns1", probe.NXDomain), answer("ns3", probe.ServFail)}})
	if diff := cmp.Diff(map[string]time.Time{"ns1": s.now, "ns3": s.now}, s.silent); diff != "" {
		t.Error(diff)
	}
}
