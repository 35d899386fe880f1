package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
)

// story brings something about in passes. Before each of its writes the process is to die once, and after
// the last, and the next one is to bring the same about.
type story struct {
	begin func(*testing.T) *world // a world, with what must hold at every instant in its check
	act   func(*world)            // what the user does
	done  func(*world) bool
}

func (s story) dieAtEveryWrite(t *testing.T) {
	rehearsal := s.play(t, 0, false)
	if len(rehearsal) < 2 {
		t.Fatalf("it takes no more than %q", rehearsal)
	}
	for n, effect := range rehearsal { // to die after a write is to die before the next one
		t.Run(fmt.Sprintf("%d %s not yet", n+1, effect), func(t *testing.T) {
			t.Parallel()
			s.play(t, n+1, false)
		})
	}
	t.Run("at the end", func(t *testing.T) {
		t.Parallel()
		s.play(t, len(rehearsal), true)
	})
}

// play returns the writes. The process is away for an hour after it has died.
func (s story) play(t *testing.T, crashAt int, after bool) []string {
	t.Helper()
	w := s.begin(t)
	before := len(w.effects)
	if w.after = after; crashAt > 0 {
		w.crashAt = before + crashAt
	}
	s.act(w)
	for range 100 {
		if w.pass("example-com") {
			w.restart()
			w.forward(time.Hour)
			continue
		}
		if s.done(w) {
			w.settles("example-com")
			if !isReady(w.get("example-com")) {
				t.Error(describe(w.get("example-com")))
			}
			return w.effects[before:]
		}
		w.forward(time.Second)
	}
	t.Fatalf("it does not end:\n%s", describe(w.get("example-com")))
	return nil
}

// signsBy fails unless the part of a signer's Secret has, for each selector to sign with, the private key
// whose record is the one that stands. It returns the selectors.
func (w *world) signsBy(part map[string][]byte, domain string) []string {
	w.t.Helper()
	selectors := strings.Fields(string(part[keys.SelectorsFile]))
	for _, selector := range selectors {
		texts := w.dns.TXT(selector + "._domainkey." + domain)
		if len(texts) != 1 || !keys.Belongs(part[keys.PrivateFile(selector)], texts[0]) {
			w.t.Fatalf("the signer is told to sign with %s, whose record is %q", selector, texts)
		}
	}
	return selectors
}

// content is what a Secret has, nil if there is none.
func (w *world) content(name string) map[string][]byte {
	secret := &corev1.Secret{}
	if err := w.api.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, secret); err != nil {
		return nil
	}
	if secret.Data == nil {
		return map[string][]byte{}
	}
	return secret.Data
}

// Whenever the process dies while a key is imported: its record stays as it stands, octet for octet, the
// signer is told nothing that does not verify, and once it is told to sign it always is.
func TestCrashAtEveryWriteOfAnImport(t *testing.T) {
	file, p := legacy(t, 1024)
	text := "v=DKIM1;h=sha256 ; k=rsa; n=since 2019; p=" + p
	begin := func(t *testing.T, signed bool) *world {
		w := newWorld(t)
		w.must(w.dns.SetTXT("s1._domainkey.example.com", text))
		w.importSecret(file)
		if signed {
			w.apply("example-com", signing())
			w.until("example-com", "ready", isReady)
		}
		w.check = func() {
			if diff := cmp.Diff([]string{text}, w.dns.TXT("s1._domainkey.example.com")); diff != "" {
				t.Fatalf("the record of the imported key: %s", diff)
			}
			if signs := w.signsBy(w.content(theSigner), "example.com"); len(signs) == 0 && signed {
				t.Fatal("nothing is signed any more")
			}
			signed = signed || w.content(theSigner) != nil
		}
		return w
	}
	done := func(w *world) bool {
		md := w.get("example-com")
		return isReady(md) && slices.Contains(md.Status.DKIM.ActiveSelectors, "s1")
	}
	t.Run("as the first key", func(t *testing.T) {
		story{
			begin: func(t *testing.T) *world { return begin(t, false) },
			act:   func(w *world) { w.apply("example-com", importing("s1")) },
			done:  done,
		}.dieAtEveryWrite(t)
	})
	t.Run("in the place of another", func(t *testing.T) {
		story{
			begin: func(t *testing.T) *world { return begin(t, true) },
			act: func(w *world) {
				w.edit("example-com", func(md *v1alpha1.MailDomain) {
					md.Spec.DKIM.Keys[0] = v1alpha1.DKIMKey{Name: "ed25519", Import: importing("s1").DKIM.Keys[0].Import}
				})
			},
			done: done,
		}.dieAtEveryWrite(t)
	})
}

// Whenever the process dies while a domain joins a Secret that another one has a part in, or leaves it:
// the signer is told to sign by one Secret or the other, and the other domain's part stays as it is.
func TestCrashAtEveryWriteOfASharedSecret(t *testing.T) {
	const neighbour = "neighbour.example.com"
	begin := func(t *testing.T, joined bool) *world {
		w := newWorld(t)
		w.apply("neighbour", sharing(neighbour))
		w.until("neighbour", "ready", isReady)
		theirs := keys.PartOf(w.content("shared"), neighbour)
		spec := sharing("example.com")
		if !joined {
			spec.DKIM.SignerSecret = nil
		}
		w.apply("example-com", spec)
		w.until("example-com", "ready", isReady)
		w.check = func() {
			if diff := cmp.Diff(theirs, keys.PartOf(w.content("shared"), neighbour)); diff != "" {
				t.Fatalf("the other domain's part: %s", diff)
			}
			if len(w.signsBy(keys.PartOf(w.content("shared"), "example.com"), "example.com"))+len(w.signsBy(w.content(theSigner), "example.com")) == 0 {
				t.Fatal("nothing is signed any more")
			}
		}
		return w
	}
	moves := func(to *v1alpha1.SignerSecret) func(*world) {
		return func(w *world) {
			w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DKIM.SignerSecret = to })
		}
	}
	// One Secret alone has the domain's keys, half of a retention after the change.
	only := func(w *world, has, lacks map[string][]byte) bool {
		if len(has) > 0 && len(lacks) > 0 {
			w.forward(v1alpha1.DefaultRotationRetention / 8)
		}
		return len(has) > 0 && len(lacks) == 0
	}
	t.Run("joins", func(t *testing.T) {
		story{
			begin: func(t *testing.T) *world { return begin(t, false) },
			act:   moves(sharing("example.com").DKIM.SignerSecret),
			done: func(w *world) bool {
				return only(w, keys.PartOf(w.content("shared"), "example.com"), w.content(theSigner))
			},
		}.dieAtEveryWrite(t)
	})
	t.Run("leaves", func(t *testing.T) {
		story{
			begin: func(t *testing.T) *world { return begin(t, true) },
			act:   moves(nil),
			done: func(w *world) bool {
				return only(w, w.content(theSigner), keys.PartOf(w.content("shared"), "example.com"))
			},
		}.dieAtEveryWrite(t)
	})
	t.Run("finds the Secret gone", func(t *testing.T) {
		story{
			begin: func(t *testing.T) *world {
				w := newWorld(t)
				w.apply("example-com", sharing("example.com"))
				w.until("example-com", "ready", isReady)
				w.check = func() { // it is whole, or not there: a volume keeps what it had
					if data := w.content("shared"); data != nil && len(w.signsBy(keys.PartOf(data, "example.com"), "example.com")) == 0 {
						t.Fatal("nothing is signed any more")
					}
				}
				return w
			},
			act:  func(w *world) { w.must(w.api.Delete(w.t.Context(), w.secret("shared"))) },
			done: func(w *world) bool { return w.content("shared") != nil },
		}.dieAtEveryWrite(t)
	})
}

// A process that dies right after it gave the signer its key may find the Secret deleted, and the key out
// of spec, when it comes back: mail was signed with it all the same, and its record stays.
func TestAKeyThatMayHaveSignedOutlivesItsMail(t *testing.T) {
	w := newWorld(t)
	w.apply("example-com", signing())
	w.check = func() {
		if len(w.content(theSigner)) > 0 {
			w.check = nil
			panic(crash{})
		}
	}
	for !w.pass("example-com") {
		if isReady(w.get("example-com")) {
			t.Fatal("it did not die")
		}
		w.forward(time.Second)
	}
	const record = "001-20261123a._domainkey.example.com"
	text := w.dns.TXT(record)
	w.must(w.api.Delete(t.Context(), w.secret(theSigner)))
	w.edit("example-com", func(md *v1alpha1.MailDomain) { md.Spec.DKIM.Keys[0].Name = "another" })
	w.restart()
	w.until("example-com", "ready", isReady)
	w.settles("example-com")
	if states := keyStates(w.get("example-com")); !slices.Contains(states, "001-20261123a Retired") || len(text) != 1 || !slices.Equal(text, w.dns.TXT(record)) {
		t.Errorf("the keys are %v, and the record is %q, and was %q", states, w.dns.TXT(record), text)
	}
}
