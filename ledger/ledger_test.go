package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/ledger"
)

var key = dnsprovider.Key{Name: "_dmarc.example.com", Type: dnsprovider.TypeTXT}

func TestRoundTrip(t *testing.T) {
	l := ledger.New("example.com")
	l.Intend("example.com", key, "DMARC", "v=DMARC1; p=none")
	l.Keyring = keys.Keyring{{Name: "rsa", Selector: "mail-20261124a", Algorithm: "rsa", Bits: 2048,
		Created: time.Date(2026, 11, 24, 1, 2, 3, 0, time.UTC)}}
	l.MTASTS = &ledger.MTASTS{Policy: "version: STSv1\r\n", ID: "abc"}
	data, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ledger.Decode(data, "example.com")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l, back); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, test := range map[string]struct{ data, want string }{
		"rubbish":        {"{", "not a ledger"},
		"no version":     {`{"domain":"example.com"}`, "version 0"},
		"newer version":  {`{"version":2,"domain":"example.com"}`, "run the newer operator"},
		"another domain": {`{"version":1,"domain":"example.net"}`, `"example.net"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ledger.Decode([]byte(test.data), "example.com")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
}

// An intent is not a proof; a settled value replaces all others at its key and no others.
func TestIntentThenSettled(t *testing.T) {
	other := dnsprovider.Key{Name: "example.com", Type: dnsprovider.TypeTXT}
	l := ledger.New("example.com")
	l.Intend("example.com", other, "SPF", "v=spf1 -all")
	l.Intend("example.com", key, "DMARC", "v=DMARC1; p=none")
	if l.Settled("example.com", key, "v=DMARC1; p=none") {
		t.Error("an intent counts as settled")
	}
	l.Settle("example.com", key, "DMARC", "v=DMARC1; p=none")
	l.Intend("example.com", key, "DMARC", "v=DMARC1; p=reject")
	want := []dnsprovider.Owned{{Value: "v=DMARC1; p=none", Settled: true}, {Value: "v=DMARC1; p=reject"}}
	if diff := cmp.Diff(want, l.Owned("example.com", dnsprovider.RRset{Key: key})); diff != "" {
		t.Error(diff)
	}
	l.Intend("example.com", key, "DMARC", "v=DMARC1; p=none") // again, as after a crash: stays settled
	if !l.Settled("example.com", key, "v=DMARC1; p=none") {
		t.Error("a new intent took back what was settled")
	}
	l.Settle("example.com", key, "DMARC", "v=DMARC1; p=reject")
	if diff := cmp.Diff([]dnsprovider.Owned{{Value: "v=DMARC1; p=reject", Settled: true}}, l.Owned("example.com", dnsprovider.RRset{Key: key})); diff != "" {
		t.Error(diff)
	}
	l.Settle("example.com", key, "DMARC", "")
	if len(l.At(key)) != 0 || len(l.At(other)) != 1 {
		t.Errorf("after the removal: %+v", l.Entries)
	}
}

// The Secret that was written last is the one in use; the ones before it are left, each since
// the day that another took its place.
func TestSignersSecrets(t *testing.T) {
	at := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	l := ledger.New("example.com")
	if got := l.SignerInUse(); got != "" {
		t.Errorf("%q is in use, and none was ever written", got)
	}
	l.UseSigner("a", at)
	l.UseSigner("b", at.Add(time.Hour))
	l.UseSigner("b", at.Add(2*time.Hour))
	if diff := cmp.Diff([]ledger.Signer{{Name: "a", Left: at.Add(time.Hour)}, {Name: "b"}}, l.Signers); diff != "" {
		t.Error(diff)
	}
	l.UseSigner("a", at.Add(3*time.Hour))
	if diff := cmp.Diff([]ledger.Signer{{Name: "b", Left: at.Add(3 * time.Hour)}, {Name: "a"}}, l.Signers); diff != "" {
		t.Error(diff)
	}
	l.ForgetSigner("b")
	if len(l.Signers) != 1 || l.SignerInUse() != "a" {
		t.Errorf("left: %+v", l.Signers)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"domain":"example.com","entries":[{"name":"a","type":"TXT","value":"b"}]}`))
	f.Add([]byte(`{"version":1,"domain":"example.com","keyring":[{"created":"2026-11-24T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ledger.Decode(data, "example.com")
		if err != nil {
			return
		}
		out, err := l.Encode()
		if err != nil {
			t.Fatalf("decodes and does not encode: %v", err)
		}
		if _, err := ledger.Decode(out, "example.com"); err != nil {
			t.Fatalf("does not read its own form: %v", err)
		}
	})
}
