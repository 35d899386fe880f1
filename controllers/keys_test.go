package controllers

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

const (
	theLedger = "example-com-maildomain-ledger"
	theSigner = "example-com-dkim"
)

// signerEntries returns the names of the entries of a signer's Secret with the keys of the selectors.
func signerEntries(selectors ...string) []string {
	names := []string{keys.DomainFile, keys.SelectorFile, keys.SelectorsFile, keys.KeyTableFile, keys.SigningTableFile,
		keys.KeyTableEd25519File, keys.SigningTableEd25519File, keys.RspamdMapFile, keys.RspamdConfFile, keys.EximFile}
	for _, selector := range selectors {
		names = append(names, selector+".pem", selector+".key")
	}
	slices.Sort(names)
	return names
}

// signing is a domain with one key and nothing else.
func signing() v1alpha1.MailDomainSpec {
	s := spec()
	s.SPF, s.DMARC, s.MTASTS, s.TLSRPT = nil, nil, nil, nil
	s.DKIM.Keys = s.DKIM.Keys[1:]
	return s
}

// active is the one selector that signs.
func (w *world) active(name string) string {
	w.t.Helper()
	md := w.get(name)
	if md.Status.DKIM == nil || len(md.Status.DKIM.ActiveSelectors) != 1 {
		w.t.Fatalf("want one active key:\n%s", describe(md))
	}
	return md.Status.DKIM.ActiveSelectors[0]
}

// spoil changes a Secret behind the operator's back; nil removes the entry.
func (w *world) spoil(secret, file string, content []byte) {
	w.t.Helper()
	s := w.secret(secret)
	if s.Data[file] = content; content == nil {
		delete(s.Data, file)
	}
	w.must(w.api.Update(w.t.Context(), s))
}

// Whichever Secret holds the right private key is believed, and where none does nothing is
// written, whatever else may be wrong with DKIM at the time.
func TestALostKeyIsNeverOverwritten(t *testing.T) {
	w := newWorld(t)
	w.r.LostKeyGrace = 10000 * time.Hour
	w.apply("example-com", signing())
	w.until("example-com", "ready", isReady)
	file := keys.PrivateFile(w.active("example-com"))
	good := w.secret(theSigner).Data[file]
	made, err := keys.Generate("ed25519", 0)
	w.must(err)
	another := made.Private
	yes := true
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		md.Spec.DKIM.External = []v1alpha1.ExternalSelector{{Selector: "google", VerifyOnly: &yes}}
	})
	for name, test := range map[string]struct {
		ledger, signer []byte
		reason         string
	}{
		"unreadable in the ledger":             {[]byte("garbage"), good, ""},
		"another key's in the ledger":          {another, good, ""},
		"gone from the ledger":                 {nil, good, ""},
		"unreadable in the signer's Secret":    {good, []byte("garbage"), ""},
		"gone from the signer's Secret":        {good, nil, ""},
		"emptied in the ledger":                {[]byte{}, good, ""},
		"gone from both":                       {nil, nil, v1alpha1.ReasonKeyLost},
		"emptied in both":                      {[]byte{}, []byte{}, v1alpha1.ReasonKeyLost},
		"unreadable in both":                   {[]byte("garbage"), []byte("rubbish"), v1alpha1.ReasonKeyUnreadable},
		"another key's in both":                {another, another, v1alpha1.ReasonKeyUnreadable},
		"gone, and another's with the signer":  {nil, another, v1alpha1.ReasonKeyLost},
		"another's, and gone with the signer":  {another, nil, v1alpha1.ReasonKeyUnreadable},
		"gone, and unreadable with the signer": {nil, []byte("garbage"), v1alpha1.ReasonKeyLost},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.spoil(theLedger, file, test.ledger)
			w.spoil(theSigner, file, test.signer)
			if test.reason == "" {
				w.pass("example-com")
				for _, secret := range []string{theLedger, theSigner} {
					if got := w.secret(secret).Data[file]; !bytes.Equal(got, good) {
						t.Errorf("%s was not mended", secret)
					}
				}
				if !hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonNotServed)(w.get("example-com")) {
					t.Error(describe(w.get("example-com")))
				}
				return
			}
			rotate := func(value string) {
				w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: value} })
			}
			rotate("now") // which has to wait
			w.settles("example-com")
			md := w.get("example-com")
			says := map[string]string{"unreadable in both": "can't be read", "another key's in both": "is another key's"}[name]
			if !hasReason(v1alpha1.ConditionDKIMReady, test.reason)(md) || len(md.Status.DKIM.Keys) != 1 || !strings.Contains(message(md, v1alpha1.ConditionDKIMReady), says) {
				t.Errorf("want %s and the one key:\n%s", test.reason, describe(md))
			}
			for secret, want := range map[string][]byte{theLedger: test.ledger, theSigner: test.signer} {
				if got := w.secret(secret).Data[file]; !bytes.Equal(got, want) {
					t.Errorf("%s was overwritten", secret)
				}
			}
			rotate("")
			w.spoil(theLedger, file, good)
			w.pass("example-com")
		})
	}
}

// A Secret is the signer's only if the operator made it for that: the ledger of the MailDomain
// carries its name too.
func TestALedgerIsNoSignersSecret(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", signing())
	w.until("example-com", "ready", isReady)
	data := map[string][]byte{"ledger.json": []byte("{}")}
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "another", Annotations: map[string]string{ownerAnnotation: ownerOf(w.get("example-com"))}},
		Type:       ledgerType, Data: data,
	})
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DKIM.SignerSecret = &v1alpha1.SignerSecret{Name: "another"} })
	w.until("example-com", "a conflict", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonSecretConflict))
	w.settles("example-com")
	if diff := cmp.Diff(data, w.secret("another").Data); diff != "" {
		t.Error(diff)
	}
	if signer, err := w.r.readSigner(t.Context(), w.get("example-com"), theLedger); err != nil || !signer.foreign {
		t.Errorf("the ledger is taken for the signer's Secret: %v, %v", signer.foreign, err)
	}
}

// told drains the Events and reports whether one begins like this: "Warning Reason".
func (w *world) told(prefix string) bool { return len(w.heard(prefix)) > 0 }

// heard drains the Events and returns those that begin with prefix.
func (w *world) heard(prefix string) []string {
	var found []string
	for {
		select {
		case text := <-w.events.Events:
			if strings.HasPrefix(text, prefix) {
				found = append(found, text)
			}
		default:
			return found
		}
	}
}

// When spec.dkim goes, the Secret that the signer mounts tells it to stop, under the name that it
// had; the files stay as long as a signer may open them, the records as long as mail is under way.
func TestDroppedKeysEndInGoodOrder(t *testing.T) {
	w := newWorld(t)
	s := signing()
	s.DKIM.SignerSecret = &v1alpha1.SignerSecret{Name: "custom"}
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	selector := w.active("example-com")
	record := selector + "._domainkey.example.com"
	w.edit("example-com", func(md *v1alpha1.MailDomain) { // what can't be imported is no wish to stop
		md.Spec.DKIM.Keys = []v1alpha1.DKIMKey{{Name: "ed25519", Import: &v1alpha1.DKIMImport{SecretName: "x", Key: "y", Selector: "z"}}}
	})
	w.until("example-com", "refused", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonImportFailed))
	w.forward(2 * time.Hour)
	w.pass("example-com")
	if w.active("example-com") != selector {
		t.Error("the key stopped")
	}
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DKIM = nil })
	w.pass("example-com")
	w.forward(2 * time.Hour)
	w.until("example-com", "retired", func(md *v1alpha1.MailDomain) bool { return len(md.Status.DKIM.ActiveSelectors) == 0 })

	entries := func(selectors ...string) {
		t.Helper()
		data := w.secret("custom").Data
		if diff := cmp.Diff(signerEntries(selectors...), slices.Sorted(maps.Keys(data))); diff != "" || len(data["selector"]) > 0 || len(data["selectors"]) > 0 {
			t.Errorf("the signer is told to sign with %q: %s", data["selectors"], diff)
		}
	}
	entries(selector)
	w.forward(v1alpha1.DefaultRotationRetention/2 - time.Minute)
	w.settles("example-com")
	entries() // it takes more than a minute to settle
	if texts := w.dns.TXT(record); len(texts) != 1 || strings.HasSuffix(texts[0], "p=") {
		t.Errorf("the record is %q while mail is under way", texts)
	}
	w.forward(v1alpha1.DefaultRotationRetention)
	w.until("example-com", "revoked", func(*v1alpha1.MailDomain) bool { return slices.Contains(w.dns.TXT(record), "v=DKIM1; k=ed25519; p=") })
	w.forward(v1alpha1.DefaultRotationRetention)
	w.until("example-com", "removed", func(*v1alpha1.MailDomain) bool { return len(w.dns.TXT(record)) == 0 })

	w.must(w.api.Delete(t.Context(), w.secret("custom")))
	w.settles("example-com")
	var list corev1.SecretList
	w.must(w.api.List(t.Context(), &list, client.InNamespace(w.namespace), client.MatchingLabels{managedByLabel: managedBy}))
	if len(list.Items) != 1 || list.Items[0].Name != theLedger {
		t.Errorf("%d Secrets are left or were made again, want the ledger", len(list.Items))
	}
}

// A signer that still mounts the Secret of the old name goes on signing with the right keys, until
// half of the retention has passed.
func TestARenamedSignersSecretLingers(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", signing())
	w.until("example-com", "ready", isReady)
	rename := func(name string) {
		w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DKIM.SignerSecret = &v1alpha1.SignerSecret{Name: name} })
		w.pass("example-com")
	}
	same := func(names ...string) {
		t.Helper()
		for _, name := range names {
			if diff := cmp.Diff(w.secret(names[0]).Data, w.secret(name).Data); diff != "" {
				t.Errorf("%s and %s differ: %s", names[0], name, diff)
			}
		}
		if got := string(w.secret(names[0]).Data["selector"]); got != w.active("example-com") {
			t.Errorf("the signer is told to sign with %q", got)
		}
	}
	rename("second")
	if !w.told("Warning SignerSecretRenamed the signer's Secret is now second") {
		t.Error("nobody was told of the new name")
	}
	same(theSigner, "second")
	old := w.active("example-com")
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: "1"} })
	w.until("example-com", "rotated", func(md *v1alpha1.MailDomain) bool { return !slices.Contains(md.Status.DKIM.ActiveSelectors, old) })
	same(theSigner, "second")
	rename("third")
	rename("second")
	same(theSigner, "second", "third")
	w.settles("example-com")

	w.forward(v1alpha1.DefaultRotationRetention / 2)
	w.pass("example-com")
	same("second")
	for _, name := range []string{theSigner, "third"} {
		if err := w.api.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, &corev1.Secret{}); !apierrors.IsNotFound(err) {
			t.Errorf("Secret %s holds private keys for ever: %v", name, err)
		}
	}
	if !w.told("Normal SignerSecretDeleted") {
		t.Error("nobody was told of the deletion")
	}
	w.settles("example-com")
}

// A ledger that is gone is lost, never new: whatever of it is left to see stops the pass before
// anything is written, until it is restored or its owner begins anew.
func TestALedgerThatIsGoneIsLost(t *testing.T) {
	w := newWorld(t)
	s := spec()
	s.MTASTS = nil
	s.DKIM.Keys = s.DKIM.Keys[1:]
	w.apply("example-com", s)
	w.until("example-com", "ready", isReady)
	ledger, signer, selector := w.secret(theLedger), w.secret(theSigner), w.active("example-com")
	gone := func(secrets ...string) {
		for _, name := range secrets {
			w.vanish(w.secret(name))
		}
	}
	restore := func(secret *corev1.Secret) {
		secret = secret.DeepCopy()
		secret.ResourceVersion, secret.UID, secret.Finalizers = "", "", nil
		w.must(w.api.Create(t.Context(), secret))
	}
	lost := func(says ...string) {
		t.Helper()
		effects, updates := len(w.effects), w.dns.Updates()
		for range 3 {
			if _, err := w.r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: "example-com"}}); err == nil {
				t.Fatal("the pass goes on")
			}
			w.forward(time.Hour)
		}
		more := slices.DeleteFunc(slices.Clone(w.effects[effects:]), func(e string) bool { return e == "patch status" })
		if len(more) > 0 || w.dns.Updates() != updates {
			t.Errorf("wrote %v", more)
		}
		md := w.get("example-com")
		if !hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonLedgerUnreadable)(md) {
			t.Fatal(describe(md))
		}
		for _, part := range append(says, "Secret "+theLedger+" is gone", "restore it from a backup", "to begin anew") {
			if text := message(md, v1alpha1.ConditionReady); !strings.Contains(text, part) {
				t.Errorf("the message lacks %q: %s", part, text)
			}
		}
	}
	gone(theLedger)
	lost("Secret " + theSigner)
	gone(theSigner)
	lost("status still lists what was in it", "delete the MailDomain")
	restore(ledger)
	w.until("example-com", "ready", isReady) // the private key came back with it
	if got := w.active("example-com"); got != selector || !cmp.Equal(signer.Data, w.secret(theSigner).Data) {
		t.Errorf("%s signs, want %s", got, selector)
	}

	// Without keys a record tells.
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DKIM, md.Spec.DMARC = nil, nil })
	w.until("example-com", "relaxed", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonWithdrawing))
	for range 5 {
		w.forward(v1alpha1.DefaultRotationRetention)
		w.settles("example-com")
	}
	if md := w.get("example-com"); !isReady(md) || md.Status.DKIM != nil && len(md.Status.DKIM.Keys) > 0 {
		t.Fatal(describe(md))
	}
	gone(theLedger, theSigner)
	lost("status still lists records")

	// To begin anew is possible for whoever controls the zone.
	w.vanish(w.get("example-com"))
	w.apply("example-com", s)
	w.until("example-com", "unclaimed", hasReason(v1alpha1.ConditionReady, v1alpha1.ReasonDomainNotClaimed))
	w.must(w.dns.SetTXT("_maildomain.example.com"))
	w.until("example-com", "ready", isReady)
	if w.active("example-com") == selector {
		t.Error("a selector was used twice")
	}
}

// nameservers has the zone asked at these addresses.
func (w *world) nameservers(addrs ...string) {
	w.t.Helper()
	p := &v1alpha1.DNSProvider{}
	w.must(w.api.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "dns"}, p))
	old := p.DeepCopy()
	p.Spec.Nameservers = addrs
	w.must(w.api.Patch(w.t.Context(), p, client.MergeFrom(old)))
}

// passes makes some passes, a second apart.
func (w *world) passes(n int) {
	w.t.Helper()
	for range n {
		w.pass("example-com")
		w.forward(time.Second)
	}
}

// Every name server of the zone has a say: a selector that one of them may know is not taken, and
// a key does not sign that one of them lacks, nor while resolvers may believe in its absence. One
// that is silent holds things up for an hour, and is named then. Meanwhile no strict DMARC policy
// goes out.
func TestEveryNameServerHasASay(t *testing.T) {
	w := newWorld(t)
	second, err := w.dns.Secondary("127.0.0.1:0")
	w.must(err)
	t.Cleanup(func() { second.Close() })
	w.nameservers(w.dns.Addr(), second.Addr())
	taken := func(selector string) { w.must(w.dns.SetTXT(selector+"._domainkey.example.com", "somebody's")) }
	taken("001-20261123a")
	second.Fault(dnsserver.Fault{ServFail: true})
	s := spec()
	s.MTASTS, s.TLSRPT = nil, nil
	s.DKIM.Keys = s.DKIM.Keys[1:]
	w.apply("example-com", s)
	state := func(says string, want ...string) {
		t.Helper()
		md := w.get("example-com")
		var got []string
		for _, k := range md.Status.DKIM.Keys {
			got = append(got, k.Selector+" "+string(k.State))
		}
		if text := message(md, v1alpha1.ConditionDKIMReady); !cmp.Equal(want, got) || !strings.Contains(text, says) {
			t.Fatalf("want %v and %q, got %v\n%s", want, says, got, describe(md))
		}
	}
	w.passes(5)
	state(second.Addr() + " (ServFail) is waited for")
	const relaxed, strict = "v=DMARC1; p=none; rua=mailto:dmarc@example.com", "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"
	policy := func(want string) {
		t.Helper()
		if diff := cmp.Diff([]string{want}, w.dns.TXT("_dmarc.example.com")); diff != "" {
			t.Errorf("%s\n%s", diff, describe(w.get("example-com")))
		}
	}
	policy(relaxed)

	second.Fault(dnsserver.Fault{})
	second.Freeze()
	w.passes(60)
	state("waiting for "+second.Addr()+" to serve 001-20261123b, 1 of 2 servers have it", "001-20261123b Published")
	policy(relaxed)
	if !w.told("Normal Create TXT 001-20261123b._domainkey.example.com") {
		t.Error("nobody was told of the key")
	}
	second.Thaw()
	w.passes(5) // the negative TTL
	state("resolvers to forget", "001-20261123b Published")
	policy(relaxed)
	w.passes(1)
	state("every key signs", "001-20261123b Active")
	if !w.told("Normal KeyActive") {
		t.Error("nobody was told that the key signs")
	}
	w.until("example-com", "ready", isReady)
	policy(strict)

	// A rotation with a server that is down.
	second.Fault(dnsserver.Fault{ServFail: true})
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: "1"} })
	w.passes(2)
	state("is waited for", "001-20261123b Active")
	if !isReady(w.get("example-com")) {
		t.Errorf("not ready, and the active key signs:\n%s", describe(w.get("example-com")))
	}
	w.forward(time.Hour)
	w.passes(2)
	state("waiting for "+second.Addr()+" to answer for 001-20261123c, 1 of 2 servers have it", "001-20261123b Active", "001-20261123c Published")
	w.forward(time.Hour)
	w.passes(7)
	state(second.Addr()+": no answer for an hour", "001-20261123b Retired", "001-20261123c Active")
	if !isReady(w.get("example-com")) {
		t.Error(describe(w.get("example-com")))
	}
	w.settles("example-com")
	state(second.Addr()+": no answer for an hour", "001-20261123b Retired", "001-20261123c Active")
	second.Fault(dnsserver.Fault{})
	w.passes(2)
	if text := message(w.get("example-com"), v1alpha1.ConditionDKIMReady); strings.Contains(text, second.Addr()) {
		t.Errorf("it answers, and is named: %s", text)
	}
}

// A name server that has an answer for every name ends no pass, and no key comes of it.
func TestNoSelectorIsFree(t *testing.T) {
	w := newWorld(t)
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	w.must(err)
	var asked atomic.Int64
	hostile := &dns.Server{PacketConn: udp, Handler: dns.HandlerFunc(func(rw dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		soa := &dns.SOA{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 5}, Ns: "ns.example.com.", Mbox: "host.example.com.", Minttl: 5}
		switch name := q.Question[0].Name; {
		case q.Question[0].Qtype == dns.TypeTXT && strings.Contains(name, "_domainkey"):
			m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 5}, Txt: []string{fmt.Sprintf("x%d", asked.Add(1))}}}
		case q.Question[0].Qtype == dns.TypeSOA && name == "example.com.":
			m.Answer = []dns.RR{soa}
		default:
			m.Ns = []dns.RR{soa}
		}
		_ = rw.WriteMsg(m)
	})}
	go func() { _ = hostile.ActivateAndServe() }()
	t.Cleanup(func() { _ = hostile.Shutdown() })
	w.nameservers(udp.LocalAddr().String())
	w.apply("example-com", signing())
	w.until("example-com", "a verdict", hasReason(v1alpha1.ConditionDKIMReady, v1alpha1.ReasonVerificationFailed))
	asked.Store(0)
	w.pass("example-com")
	if n := asked.Load(); n > 2*maxSelectors {
		t.Errorf("one pass asked for %d selectors", n)
	}
	w.settles("example-com")
	if md := w.get("example-com"); md.Status.DKIM != nil && len(md.Status.DKIM.Keys) > 0 || !strings.Contains(message(md, v1alpha1.ConditionDKIMReady), "spec.nameservers") {
		t.Error(describe(md))
	}
}

// What annotations ask for is done once: a rotation, but not one that was asked for before there was
// anything to rotate; the revocation that waits for a person; the end of a compromised key.
func TestAnnotations(t *testing.T) {
	w := newWorld(t)
	annotate := func(name, value string) {
		w.edit("example-com", func(md *v1alpha1.MailDomain) {
			md.Annotations = map[string]string{name: value}
		})
	}
	s := signing()
	s.DKIM = nil
	w.create(&v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Name: "example-com", Annotations: map[string]string{v1alpha1.AnnotationRotate: "1"}}, Spec: s})
	w.until("example-com", "ready", isReady)
	book, err := openBook(t.Context(), w.api, w.get("example-com"))
	w.must(err)
	if book.Handled[v1alpha1.AnnotationRotate] != "1" {
		t.Errorf("a rotation is to come that nothing was there for: %v", book.Handled)
	}
	w.edit("example-com", func(md *v1alpha1.MailDomain) {
		md.Spec.DKIM = signing().DKIM
		md.Spec.DKIM.Rotation = &v1alpha1.DKIMRotation{Confirm: v1alpha1.ConfirmManual}
	})
	w.until("example-com", "ready", isReady)
	state := func(k *v1alpha1.DKIMKeyStatus, md *v1alpha1.MailDomain) v1alpha1.DKIMKeyState {
		for _, now := range md.Status.DKIM.Keys {
			if now.Selector == k.Selector {
				return now.State
			}
		}
		return "Removed"
	}
	first := w.get("example-com").Status.DKIM.Keys[0]
	w.settles("example-com")
	if md := w.get("example-com"); len(md.Status.DKIM.Keys) != 1 {
		t.Fatalf("it rotated:\n%s", describe(md))
	}
	annotate(v1alpha1.AnnotationRotate, "2")
	w.until("example-com", "rotated", func(md *v1alpha1.MailDomain) bool { return state(&first, md) == v1alpha1.KeyRetired })
	second := w.active("example-com")
	if text := message(w.get("example-com"), v1alpha1.ConditionDKIMReady); !strings.Contains(text, fmt.Sprintf("new mail should carry s=%s, and no more s=%s", second, first.Selector)) {
		t.Errorf("nobody is told what to look for: %s", text)
	}
	var notes string
	for len(w.events.Events) > 0 {
		notes += <-w.events.Events + "\n"
	}
	for _, note := range []string{
		fmt.Sprintf("Normal KeyActive DKIM key %s (ed25519) is active: new mail should carry s=%[1]s", second),
		fmt.Sprintf("Normal KeyRetired DKIM key %s (ed25519) is retired: if new mail still carries s=%[1]s, reload the signer within 84h0m0s: then the key's file leaves its Secret, and 168h0m0s later its record is revoked", first.Selector),
	} {
		if !strings.Contains(notes, note) {
			t.Errorf("no Event says %q", note)
		}
	}
	w.forward(2 * v1alpha1.DefaultRotationRetention)
	w.settles("example-com")
	md := w.get("example-com")
	c := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionDKIMReady)
	want := fmt.Sprintf("waiting for a person to confirm that the signer has switched from %s: when it signs with %s, set the annotation maildomain.dev/signer-switched to that", first.Selector, second)
	if state(&first, md) != v1alpha1.KeyRetired || !isReady(md) || c.Reason != v1alpha1.ReasonWaitingForSigner || !strings.Contains(c.Message, want) {
		t.Errorf("%s is %s:\n%s", first.Selector, state(&first, md), describe(md))
	}
	annotate(v1alpha1.AnnotationSignerSwitched, first.Selector) // not the one that signs
	w.settles("example-com")
	if md := w.get("example-com"); state(&first, md) != v1alpha1.KeyRetired {
		t.Errorf("%s is %s", first.Selector, state(&first, md))
	}
	annotate(v1alpha1.AnnotationSignerSwitched, second)
	w.settles("example-com")
	if _, there := w.secret(theSigner).Data[keys.PrivateFile(first.Selector)]; there || state(&first, w.get("example-com")) != v1alpha1.KeyRetired {
		t.Error("retention counts from the confirmation, and the file goes with it")
	}
	w.forward(v1alpha1.DefaultRotationRetention)
	w.until("example-com", "revoked", func(md *v1alpha1.MailDomain) bool { return state(&first, md) == v1alpha1.KeyRevoked })

	// It ends at once, but not before another one signs.
	annotate(v1alpha1.AnnotationCompromised, second)
	before := w.clock.Now()
	record := second + "._domainkey.example.com"
	w.until("example-com", "revoked", func(md *v1alpha1.MailDomain) bool {
		data := w.secret(theSigner).Data
		signs := string(data["selector"])
		if len(w.dns.TXT(signs+"._domainkey.example.com")) != 1 || len(data[keys.PrivateFile(signs)]) == 0 {
			t.Fatalf("nothing signs:\n%s", describe(md))
		}
		return signs != second && slices.Contains(w.dns.TXT(record), "v=DKIM1; k=ed25519; p=")
	})
	if took := w.clock.Now().Sub(before); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	if _, there := w.secret(theSigner).Data[keys.PrivateFile(second)]; there {
		t.Error("the signer still has the compromised key")
	}
	w.settles("example-com")
	if n := len(w.get("example-com").Status.DKIM.Keys); n != 3 {
		t.Errorf("%d keys, want three: it was replaced once", n)
	}
}

// The signer's Secret goes right after a switch, before a signer has seen it, and comes back when half of the retention is long over: that
// is when signers are told, so the retired key's file is in it for as long as after a switch, also if the process dies in between.
func TestASwitchThatNobodySaw(t *testing.T) {
	for crash := range 4 { // before which of the writes; 0: none
		t.Run(fmt.Sprintf("crash %d", crash), func(t *testing.T) {
			w := newWorld(t)
			s := signing()
			s.DKIM.Rotation = &v1alpha1.DKIMRotation{Interval: &metav1.Duration{Duration: 87600 * time.Hour}}
			w.apply("example-com", s)
			w.until("example-com", "ready", isReady)
			old := w.active("example-com")
			w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Annotations = map[string]string{v1alpha1.AnnotationRotate: "now"} })
			w.until("example-com", "switched", func(md *v1alpha1.MailDomain) bool { return !slices.Contains(md.Status.DKIM.ActiveSelectors, old) })
			w.must(w.api.Delete(t.Context(), w.secret(theSigner)))
			w.forward(v1alpha1.DefaultRotationRetention)
			if crash > 0 {
				w.crashAt = len(w.effects) + crash
			}
			for w.pass("example-com") {
				w.restart()
				w.forward(time.Second)
			}
			made := w.clock.Now()
			file := func() bool { _, there := w.secret(theSigner).Data[keys.PrivateFile(old)]; return there }
			if !file() {
				t.Fatal("the retired key's file is not in the Secret that tells of the switch")
			}
			w.forward(v1alpha1.DefaultRotationRetention/2 - time.Minute)
			w.pass("example-com")
			if !file() {
				t.Errorf("it has left it %s after", w.clock.Now().Sub(made))
			}
			w.forward(2 * time.Hour)
			w.passes(2)
			record := w.dns.TXT(old + "._domainkey.example.com")
			if file() || len(record) != 1 || strings.HasSuffix(record[0], "p=") {
				t.Errorf("after half of the retention: file %t, record %q", file(), record)
			}
		})
	}
}
