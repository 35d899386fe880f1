package keys

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares a Secret's data with a golden file, where each entry follows a line with its name.
func golden(t *testing.T, name string, data map[string][]byte) {
	t.Helper()
	var got strings.Builder
	for _, entry := range slices.Sorted(maps.Keys(data)) {
		if !regexp.MustCompile(`^[-._a-zA-Z0-9]+$`).MatchString(entry) {
			t.Errorf("%q can't be an entry of a Secret", entry)
		}
		fmt.Fprintf(&got, "-- %s --\n%s\n", entry, bytes.TrimSuffix(data[entry], []byte("\n")))
	}
	path := "testdata/signer_" + name + ".golden"
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s: run go test ./keys -update if this is meant: %s", path, diff)
	}
}

func signingKey(name, selector, algorithm string) Key {
	return Key{Name: name, Selector: selector, Algorithm: algorithm, Created: start, Active: start}
}

// theKeys are an rsa and an ed25519 key that sign, one that did, and one that will.
func theKeys() (Keyring, Policy, map[string][]byte) {
	policy := Policy{Retention: keep, Keys: []Spec{{Name: "rsa", Algorithm: "rsa"}, {Name: "ed", Algorithm: "ed25519"}}}
	old := signingKey("rsa", "mail-20260601a", "rsa")
	old.Retired = start
	ring := Keyring{old, signingKey("ed", "mail-20261123b", "ed25519"), signingKey("rsa", "mail-20261123a", "rsa"), newKey("rsa", "next", start)}
	return ring, policy, map[string][]byte{"mail-20260601a": []byte("OLD"), "mail-20261123b": []byte(ed25519PEM), "mail-20261123a": []byte("RSA"), "next": []byte("NEXT")}
}

// The key of RFC 8410 §10.3.
const ed25519PEM = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
`

func TestSignerData(t *testing.T) {
	ring, policy, privates := theKeys()
	lingering := SignerData("example.com", ring, policy, privates)
	golden(t, "own", lingering)

	delete(lingering, "mail-20260601a.pem")
	delete(lingering, "mail-20260601a.key")
	withdrawn := slices.Clone(ring)
	withdrawn[withdrawn.Find("mail-20260601a")].Withdrawn = start
	if diff := cmp.Diff(lingering, SignerData("example.com", withdrawn, policy, privates)); diff != "" {
		t.Errorf("the retired key is withdrawn: %s", diff)
	}

	policy.Compromised = []string{"mail-20260601a"}
	if diff := cmp.Diff(lingering, SignerData("example.com", ring, policy, privates)); diff != "" {
		t.Errorf("the retired key is compromised: %s", diff)
	}
	if got := SignerData("example.com", Keyring{newKey("ed", "a", start)}, policy, privates); got != nil {
		t.Errorf("got %v, and no key was ever active", got)
	}
}

// When nothing signs any more, every table stays, and is empty.
func TestSignerDataOfNothing(t *testing.T) {
	last := signingKey("ed", "mail-20261123b", "ed25519")
	last.Retired, last.Withdrawn = start, start
	_, _, privates := theKeys()
	data := SignerData("example.com", Keyring{last}, Policy{Retention: keep}, privates)
	golden(t, "nothing", data)
	for _, name := range append(slices.Clone(tableFiles), SelectorFile, SelectorsFile) {
		if content, there := data[name]; !there || len(content) > 0 {
			t.Errorf("%s is there: %v, %q", name, there, content)
		}
	}
}

func TestSharedData(t *testing.T) {
	ring, policy, privates := theKeys()
	golden(t, "shared", SharedData("example.com", ring, policy, privates))
	if got := SharedData("example.com", Keyring{newKey("ed", "a", start)}, policy, privates); got != nil {
		t.Errorf("got %v, and no key was ever active", got)
	}
}

func TestCombine(t *testing.T) {
	ring, policy, privates := theKeys()
	shareOf := func(domain string) map[string][]byte { return SharedData(domain, ring, policy, privates) }
	domains := []string{"b.example", "a.example", "a.example.net", "xn--bcher-kva.example"}
	var data map[string][]byte
	for _, domain := range domains {
		data = Combine(data, domain, shareOf(domain))
	}
	golden(t, "combined", data)

	without := Combine(data, "a.example", nil)
	for name, content := range without {
		if strings.HasPrefix(name, "a.example_") || regexp.MustCompile(`\ba\.example\b[^.]`).Match(content) {
			t.Errorf("a.example is taken out, and %s has: %s", name, content)
		}
	}
	if diff := cmp.Diff(data, Combine(without, "a.example", shareOf("a.example"))); diff != "" {
		t.Errorf("taken out and put in again: %s", diff)
	}
	for _, domain := range domains {
		without = Combine(without, domain, nil)
	}
	golden(t, "combined_nothing", without)
}

// Whatever domains come, change and go, in whatever order: the Secret is what the last share of each
// makes it, and a share of another domain is never touched.
func TestCombineDependsOnNoOrder(t *testing.T) {
	_, policy, privates := theKeys()
	rapid.Check(t, func(t *rapid.T) {
		domain := rapid.SampledFrom([]string{"a.example", "a.example.net", "ba.example", "example.net", "xn--a-example"})
		shares := map[string]map[string][]byte{}
		var data map[string][]byte
		for range rapid.IntRange(1, 20).Draw(t, "changes") {
			name, share := domain.Draw(t, "domain"), map[string][]byte(nil)
			if n := rapid.IntRange(0, 2).Draw(t, "keys"); n > 0 {
				share = SharedData(name, Keyring{signingKey("rsa", "mail-20261123a", "rsa"), signingKey("ed", "s1.mail_x", "ed25519")}[:n], policy,
					map[string][]byte{"mail-20261123a": privates["mail-20261123a"], "s1.mail_x": []byte(ed25519PEM)})
			}
			data, shares[name] = Combine(data, name, share), share
		}
		var want map[string][]byte
		for _, name := range rapid.Permutation(slices.Sorted(maps.Keys(shares))).Draw(t, "order") {
			want = Combine(want, name, shares[name])
		}
		if diff := cmp.Diff(want, data); diff != "" {
			t.Fatal(diff)
		}
	})
}
