package records

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/keys"
)

// The records of a 2019 talk on e-mail security, letter by letter.
func TestTheTalksRecords(t *testing.T) {
	spf, err := SPF(&v1alpha1.SPFSpec{Mechanisms: []string{"ip4:192.0.2.0/24", "mx", "include:smarter.se"}, All: v1alpha1.SPFFail})
	if err != nil {
		t.Fatal(err)
	}
	policy := MTASTSPolicy(&v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSEnforce, MX: []string{"mx1.example.com"}}, nil)
	for got, want := range map[string]string{
		spf.String(): "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all",
		DMARC(&v1alpha1.DMARCSpec{Policy: v1alpha1.DMARCReject, RUA: []string{"mailto:dmarc@example.com"}}).String(): "v=DMARC1; p=reject; rua=mailto:dmarc@example.com",
		TLSRPT(&v1alpha1.TLSRPTSpec{RUA: []string{"mailto:tls@example.com"}}).String():                               "v=TLSRPTv1; rua=mailto:tls@example.com",
		policy.String(): "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.com\r\nmax_age: 604800\r\n",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestEveryFieldReachesItsTag(t *testing.T) {
	yes, pct, ri := true, int32(50), int32(3600)
	spf, err := SPF(&v1alpha1.SPFSpec{Mechanisms: []string{"~a:mail.example.com/28"}, Redirect: "_spf.example.net", Exp: "why.example.com"})
	if want := "v=spf1 ~a:mail.example.com/28 redirect=_spf.example.net exp=why.example.com"; err != nil || spf.String() != want {
		t.Errorf("got %q, %v, want %q", spf, err, want)
	}
	for qualifier, want := range map[v1alpha1.SPFQualifier]string{"pass": "v=spf1 all", "neutral": "v=spf1 ?all", "softfail": "v=spf1 ~all", "fail": "v=spf1 -all"} {
		if spf, err := SPF(&v1alpha1.SPFSpec{All: qualifier}); err != nil || spf.String() != want {
			t.Errorf("%s: got %q, %v", qualifier, spf, err)
		}
	}
	dmarc := DMARC(&v1alpha1.DMARCSpec{
		Policy: "reject", SubdomainPolicy: "quarantine", NonexistentSubdomainPolicy: "none", Testing: &yes,
		DKIMAlignment: v1alpha1.AlignmentStrict, SPFAlignment: v1alpha1.AlignmentRelaxed, RUA: []string{"mailto:a@x.se"}, RUF: []string{"mailto:b@x.se"},
		FailureOptions: []v1alpha1.DMARCFailureOption{"1", "d"}, Legacy: &v1alpha1.DMARCLegacy{Pct: &pct, RF: "afrf", RI: &ri},
	})
	if want := "v=DMARC1; p=reject; sp=quarantine; np=none; t=y; adkim=s; aspf=r; rua=mailto:a@x.se; ruf=mailto:b@x.se; fo=1:d; pct=50; rf=afrf; ri=3600"; dmarc.String() != want {
		t.Errorf("got %q, want %q", dmarc, want)
	}
	live := MTASTSPolicy(&v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSTesting, MaxAge: &metav1.Duration{Duration: time.Hour}}, []string{"mx.example.com"})
	if diff := cmp.Diff([]string{"mx.example.com"}, live.MX); diff != "" || live.MaxAge != time.Hour {
		t.Errorf("got %+v", live)
	}
	if err := MTASTSWithdrawal().Validate(); err != nil {
		t.Error(err)
	}
}

func TestSlots(t *testing.T) {
	for _, test := range []struct {
		slot        Slot
		name, value string
	}{
		{ClaimSlot("example.com"), "_maildomain.example.com", NewClaim("owner", "mail", "example-com").String()},
		{SPFSlot("example.com"), "example.com", "v=spf1 -all"},
		{DKIMSlot("example.com", "001-20261123a"), "001-20261123a._domainkey.example.com", "v=DKIM1; k=rsa; p="},
		{DMARCSlot("example.com"), "_dmarc.example.com", "v=DMARC1; p=none"},
		{MTASTSSlot("example.com"), "_mta-sts.example.com", "v=STSv1; id=1"},
		{TLSRPTSlot("example.com"), "_smtp._tls.example.com", "v=TLSRPTv1; rua=mailto:a@x.se"},
	} {
		if test.slot.Name != test.name || test.slot.Type != "TXT" || !test.slot.Is(test.value) || test.slot.Is("some other text") || !test.slot.Same(test.value, test.value) {
			t.Errorf("%s: got %+v", test.name, test.slot)
		}
	}
}

func TestDKIM(t *testing.T) {
	at := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	k := keys.Key{Algorithm: "ed25519", Record: "v=DKIM1; k=ed25519; p=AAAA"}
	for _, test := range []struct {
		change func()
		want   string
	}{
		{func() {}, k.Record},
		{func() { k.Published, k.Active = at, at }, k.Record},
		{func() { k.Retired = at }, k.Record},
		{func() { k.Revoked = at }, "v=DKIM1; k=ed25519; p="},
		{func() { k.Removed = at }, ""},
	} {
		test.change()
		if got := DKIM(k); got != test.want {
			t.Errorf("%s: got %q, want %q", k.State(), got, test.want)
		}
	}
}

func TestClaim(t *testing.T) {
	mine := NewClaim("cluster-a", "mail", "example-com")
	parsed, ok := ParseClaim(mine.String())
	if !ok || parsed != mine {
		t.Errorf("got %v, %v from %q", parsed, ok, mine)
	}
	if !SameClaim(mine.String(), "v=maildomain1;id="+mine.ID+"; owner=cluster-a") {
		t.Error("the order of the parts does not matter")
	}
	for _, other := range []Claim{NewClaim("cluster-b", "mail", "example-com"), NewClaim("cluster-a", "mail", "example"), NewClaim("cluster-a", "other", "example-com")} {
		if SameClaim(mine.String(), other.String()) {
			t.Errorf("%s is not ours", other)
		}
	}
	released := mine
	released.Released = true
	if parsed, ok := ParseClaim(released.String()); !ok || parsed != released || SameClaim(mine.String(), released.String()) {
		t.Errorf("a released claim: got %v, %v from %q", parsed, ok, released)
	}
	for _, text := range []string{"v=maildomain1; owner=a; id=b; state=free", "v=maildomain1; owner=a; id=b; state=", "v=maildomain1; owner=a; id=b; state=released; state=released", "", "v=maildomain1", "v=maildomain1; owner=a", "v=maildomain1; id=b", "v=maildomain1; owner=a; id=b; x=y", "v=maildomain1; owner=a; owner=b; id=c", "v=maildomain10; owner=a; id=b"} {
		if _, ok := ParseClaim(text); ok {
			t.Errorf("%q was read", text)
		}
	}
	if !IsClaim("v=maildomain1; broken") || IsClaim("v=spf1 -all") || IsClaim("v=maildomain2; owner=a; id=b") {
		t.Error("what is meant to be a claim has its version")
	}
}
