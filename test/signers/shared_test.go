package signers

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/records"
	"github.com/maildomain/maildomain-operator/test/real"
)

// TestSharedSecret has two domains with the same selectors in one Secret.
func TestSharedSecret(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	v := newVolume(t)
	var zones []real.Zone
	var data map[string][]byte
	for _, domain := range []string{"one.example", "two.example"} {
		var ring keys.Keyring
		privates := map[string][]byte{}
		zone := real.Zone{Apex: domain}
		for selector, algorithm := range map[string]string{"a": "rsa", "b": "ed25519"} {
			pair, err := keys.Generate(algorithm, keys.MinBits)
			if err != nil {
				t.Fatal(err)
			}
			privates[selector] = pair.Private
			ring = append(ring, keys.Key{Name: algorithm, Selector: selector, Algorithm: algorithm, Record: pair.Record, Created: now, Active: now})
			var text []string
			for part := range slices.Chunk([]byte(pair.Record), 255) {
				text = append(text, fmt.Sprintf("%q", part))
			}
			zone.Records += fmt.Sprintf("%s. TXT %s\n", records.DKIMSlot(domain, selector).Name, strings.Join(text, " "))
		}
		zones = append(zones, zone)
		data = keys.Combine(data, domain, keys.SharedData(domain, ring, keys.Policy{}, privates))
	}
	v.write(data)
	verifier := newVerifier(t, real.BIND(t, real.Key{Name: "a-key", Secret: "YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBvY3RldHMuLi4="}, zones...))

	shared := func(title, line, instead string) string {
		conf := fromDoc(t, title, v.path)
		_, instead, _ = strings.Cut(fromDoc(t, instead, v.path), "\n")
		found := regexp.MustCompile(`(?m)^ *` + line + ` = .*$`).FindString(conf)
		if found == "" {
			t.Fatalf("%s has no line %s", title, line)
		}
		return strings.Replace(conf, found, instead, 1)
	}
	opendkim := real.OpenDKIM(t, fromDoc(t, "opendkim.conf", v.path))
	rspamd := real.Rspamd(t, shared("dkim_signing.conf, a signature with each key", "path", "dkim_signing.conf, several domains"))
	next := newSink(t)
	exim := real.Exim(t, next.addr, shared("exim.conf, in the smtp transport", "dkim_private_key", "exim.conf, several domains"))
	programs := map[string]func(from string) ([]byte, error){
		"OpenDKIM": func(from string) ([]byte, error) { return throughMilter(t, opendkim.Addr, from, message(from)) },
		"rspamd":   func(from string) ([]byte, error) { return throughMilter(t, rspamd.Addr, from, message(from)) },
		"Exim":     func(from string) ([]byte, error) { return throughMTA(exim.Addr, next, from, message(from)) },
	}
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		for _, zone := range zones {
			sent, err := programs[name]("ann@" + zone.Apex)
			if err != nil {
				t.Fatalf("%s: %v\n%s%s", name, err, rspamd.Log(), exim.Log())
			}
			want := []signature{{zone.Apex, "a", "rsa-sha256", true}, {zone.Apex, "b", "ed25519-sha256", true}}
			if name == "OpenDKIM" {
				want = want[:1]
			}
			if diff := cmp.Diff(want, verifier.signatures(sent)[0], cmp.AllowUnexported(signature{})); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}
