package dmarc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maildomain/maildomain-operator/test/corpora"
)

// txtZone answers TXT; a name with nil does not answer.
type txtZone map[string][]string

func (z txtZone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if !strings.HasSuffix(name, ".") {
		panic("asked for " + name + " without a dot at its end: a search list would apply")
	}
	texts, there := z[strings.TrimSuffix(name, ".")]
	switch {
	case !there:
		return nil, &net.DNSError{IsNotFound: true}
	case texts == nil:
		return nil, &net.DNSError{IsTemporary: true}
	}
	return texts, nil
}

var _ Resolver = (*net.Resolver)(nil)

// recorder notes the names that are asked for.
type recorder struct {
	txtZone
	asked []string
}

func (r *recorder) LookupTXT(ctx context.Context, name string) ([]string, error) {
	r.asked = append(r.asked, name)
	return r.txtZone.LookupTXT(ctx, name)
}

// The walk of RFC 9989 §4.10 asks for eight names at most.
func TestWalk(t *testing.T) {
	r := &recorder{txtZone: txtZone{"_dmarc.example.com": {"v=DMARC1; p=none"}}}
	d, err := Discover(t.Context(), r, "a.b.c.d.e.f.g.h.i.j.k.example.com.")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"_dmarc.a.b.c.d.e.f.g.h.i.j.k.example.com.", "_dmarc.g.h.i.j.k.example.com.", "_dmarc.h.i.j.k.example.com.",
		"_dmarc.i.j.k.example.com.", "_dmarc.j.k.example.com.", "_dmarc.k.example.com.", "_dmarc.example.com.", "_dmarc.com.",
	}
	if diff := cmp.Diff(want, r.asked); diff != "" || d.Queries != MaxQueries || d.Organization != "example.com" {
		t.Errorf("%s\n%+v", diff, d)
	}
	if _, err := Discover(t.Context(), txtZone{"_dmarc.example.com": nil}, "a.example.com"); err == nil {
		t.Error("no answer is taken for no record")
	}
	if _, err := Discover(t.Context(), txtZone{}, "."); err == nil {
		t.Error("no domain, no error")
	}
}

// The vectors that another implementation made from RFC 9989.
func TestDiscoveryVectors(t *testing.T) {
	var cases []struct {
		Name        string
		Zone        map[string]map[string]json.RawMessage
		DKIMDomains []struct{ Domain string }
		SPFDomains  []struct{ Domain string }
		HeaderFrom  []string
		Expect      [][2]string
	}
	if err := json.Unmarshal(corpora.Read(t, "mailauth-rfc9989", "rfc9989-discovery.json"), &cases); err != nil {
		t.Fatal(err)
	}
	deviations := map[string]string{
		"does not inherit the org policy when the author domain publishes multiple records (§4.10 step 2)": "the text discards them and walks on: see Discover",
	}
	checks := 0
	for _, c := range cases {
		z := txtZone{}
		exists := map[string]bool{}
		for name, types := range c.Zone {
			exists[name] = true
			var texts [][]string
			if raw, there := types["TXT"]; there {
				if err := json.Unmarshal(raw, &texts); err != nil {
					t.Fatal(err)
				}
				z[name] = []string{}
			}
			for _, parts := range texts {
				z[name] = append(z[name], strings.Join(parts, ""))
			}
		}
		_, author, _ := strings.Cut(c.HeaderFrom[0], "@")
		d, err := Discover(t.Context(), z, author)
		if err != nil {
			t.Fatal(err)
		}
		var authenticated []string
		for _, x := range append(c.DKIMDomains, c.SPFDomains...) {
			authenticated = append(authenticated, x.Domain)
		}
		// A name below which something stands exists as well (RFC 8020).
		for name := range c.Zone {
			if strings.HasSuffix(name, "."+author) && !strings.HasPrefix(name, "_dmarc.") {
				exists[author] = true
			}
		}
		got := map[string]string{"result.status.result": "none", "result.rr": ""}
		if d.Policy != nil {
			got["result.domain"], got["result.rr"] = d.Policy.Domain, d.Policy.Text
			got["result.policy"] = string(d.Effective(exists[author]))
			_, strict := d.Policy.Record.Alignment()
			got["result.alignment.dkim.strict"] = fmt.Sprint(strict)
			got["result.status.result"], got["unaligned.status.result"] = "fail", "fail"
			for _, a := range authenticated {
				if ok, err := Aligned(t.Context(), z, author, a, strict); err != nil {
					t.Fatal(err)
				} else if ok {
					got["result.status.result"] = "pass"
				}
			}
			got["aligned.status.result"] = got["result.status.result"]
		}
		agrees := true
		for _, e := range c.Expect {
			what, must := e[0], e[1]
			value, quoted := strings.CutPrefix(must, "to.equal('")
			value = strings.TrimSuffix(value, "')")
			switch {
			case strings.HasPrefix(what, "result.alignment.spf") || must == "to.not.be.ok":
				continue // of the shape of its result object
			case quoted && got[what] != value, must == "to.be.true" && got[what] != "true",
				strings.HasPrefix(must, "to.contain(") && !strings.Contains(got[what], strings.Trim(must[len("to.contain("):len(must)-1], "'")):
				agrees = false
			case must == "to.not.have.property('policy')":
				agrees = agrees && d.Policy == nil
			}
			checks++
		}
		if _, deviates := deviations[c.Name]; deviates == agrees {
			t.Errorf("%s: agrees %v, got %v, want %v", c.Name, agrees, got, c.Expect)
		}
	}
	if len(cases) != 29 || checks < 35 {
		t.Errorf("%d cases with %d checks", len(cases), checks)
	}
	t.Logf("%d of %d cases agree", len(cases)-len(deviations), len(cases))
}

func TestDestinations(t *testing.T) {
	z := txtZone{
		"_dmarc.example.com":                           {"v=DMARC1; p=none"},
		"_dmarc.example.org":                           {"v=DMARC1; p=none"},
		"example.com._report._dmarc.collector.example": {"v=DMARC1"},
	}
	r := must(t, "v=DMARC1; p=none; rua=mailto:a@reports.example.com,mailto:b@Collector.example!10m; ruf=mailto:c@example.org,https://x.example.org:8443/y,mailto:d@collector.example")
	got, err := Destinations(t.Context(), z, "example.com", r)
	if err != nil {
		t.Fatal(err)
	}
	want := []Destination{
		{Host: "reports.example.com"},
		{Host: "collector.example", External: true, Name: "example.com._report._dmarc.collector.example", Agrees: true},
		{Host: "example.org", External: true, Name: "example.com._report._dmarc.example.org"},
		{Host: "x.example.org", External: true, Name: "example.com._report._dmarc.x.example.org"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	z["example.com._report._dmarc.example.org"] = nil
	if _, err := Destinations(t.Context(), z, "example.com", r); err == nil {
		t.Error("no answer is taken for a refusal")
	}
	if _, ok := ReportName(strings.Repeat("long.", 45)+"example.com", "collector.example"); ok {
		t.Error("a name that is too long")
	}
}

// What the walk from sub.example.com finds: the organizational domain, and the policy for names that
// exist and that do not, with the place of its record.
func TestDiscover(t *testing.T) {
	const own, parent, suffix = "_dmarc.sub.example.com", "_dmarc.example.com", "_dmarc.com"
	for name, test := range map[string]struct {
		zone             txtZone
		organization, at string
		exists, missing  Policy
		walk, queries    int
		ambiguous        []string
	}{
		"p is for the domain itself":             {txtZone{own: {"v=DMARC1; p=reject; sp=none; np=quarantine"}}, "sub.example.com", "sub.example.com", Reject, Reject, 1, 3, nil},
		"sp and np for those below":              {txtZone{parent: {"v=DMARC1; p=reject; sp=none; np=quarantine"}}, "example.com", "example.com", None, Quarantine, 1, 3, nil},
		"t takes a step off":                     {txtZone{parent: {"v=DMARC1; p=reject; np=quarantine; t=y"}}, "example.com", "example.com", Quarantine, None, 1, 3, nil},
		"the record of the fewest labels":        {txtZone{own: {"v=DMARC1; p=none"}, parent: {"v=DMARC1; p=reject"}}, "example.com", "sub.example.com", None, None, 2, 3, nil},
		"psd=n ends the walk":                    {txtZone{own: {"v=DMARC1; p=none; psd=n"}, parent: {"v=DMARC1; p=reject"}}, "sub.example.com", "sub.example.com", None, None, 1, 1, nil},
		"psd=y ends the walk":                    {txtZone{parent: {"v=DMARC1; p=reject; psd=y"}, suffix: {"v=DMARC1; p=none"}}, "sub.example.com", "example.com", Reject, Reject, 1, 2, nil},
		"psd=y at the start":                     {txtZone{own: {"v=DMARC1; p=reject; psd=y"}, parent: {"v=DMARC1; p=none"}}, "sub.example.com", "sub.example.com", Reject, Reject, 1, 1, nil},
		"the public suffix, as a last resort":    {txtZone{suffix: {"v=DMARC1; p=reject; psd=y"}}, "example.com", "com", Reject, Reject, 1, 3, nil},
		"not where the organization has one":     {txtZone{parent: {"v=DMARC1; p=none"}, suffix: {"v=DMARC1; p=reject; psd=y"}}, "example.com", "example.com", None, None, 2, 3, nil},
		"an unusable record keeps the parent's":  {txtZone{own: {"v=DMARC1; p=rejekt"}, parent: {"v=DMARC1; p=reject"}}, "example.com", "", None, None, 2, 3, nil},
		"an unusable one still ends the walk":    {txtZone{own: {"v=DMARC1; psd=n"}, parent: {"v=DMARC1; p=reject"}}, "sub.example.com", "", None, None, 1, 1, nil},
		"and keeps the public suffix's":          {txtZone{parent: {"v=DMARC1"}, suffix: {"v=DMARC1; p=reject; psd=y"}}, "example.com", "", None, None, 2, 3, nil},
		"an unusable suffix shows where it ends": {txtZone{own: {"v=DMARC1; p=reject"}, suffix: {"v=DMARC1; psd=y"}}, "example.com", "sub.example.com", Reject, Reject, 2, 3, nil},
		"several records are none":               {txtZone{own: {"v=DMARC1; p=none", "v=DMARC1; p=none"}, parent: {"v=DMARC1; p=reject", "x"}}, "example.com", "example.com", Reject, Reject, 1, 3, []string{"sub.example.com"}},
		"white space before the version":         {txtZone{own: {" v=DMARC1; p=none"}, parent: {"v=DMARC1; p=reject"}}, "example.com", "example.com", Reject, Reject, 1, 3, nil},
		"nothing":                                {txtZone{}, "sub.example.com", "", None, None, 0, 3, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Discover(t.Context(), test.zone, "sub.example.com")
			at := ""
			if d.Policy != nil {
				at = d.Policy.Domain
			}
			if err != nil || d.Organization != test.organization || at != test.at || len(d.Walk) != test.walk || d.Queries != test.queries || !slices.Equal(d.Ambiguous, test.ambiguous) {
				t.Errorf("got %+v (%v), want %+v", d, err, test)
			}
			if exists, missing := d.Effective(true), d.Effective(false); exists != test.exists || missing != test.missing {
				t.Errorf("got %s and %s, want %s and %s", exists, missing, test.exists, test.missing)
			}
		})
	}
}

// The record of a destination may lead reports to other addresses, but not to another host.
func TestAgreement(t *testing.T) {
	r := must(t, "v=DMARC1; p=none; rua=mailto:a@c.example")
	for text, want := range map[string]bool{
		"v=DMARC1": true, "v=DMARC1;": true, "v=DMARC1; rua=mailto:b@C.example": true, "v=DMARC1; rua=x": true, "v=DMARC1; p=none; sp=x": true,
		" v=DMARC1": false, "v=spf1 -all": false, "v=DMARC1; rua=mailto:a@other.example": false, "v=DMARC1; ruf=mailto:a@c.example,mailto:a@other.example": false,
	} {
		z := txtZone{"_dmarc.example.com": {"v=DMARC1; p=none"}, "example.com._report._dmarc.c.example": {"a site's token", text}}
		if got, err := Destinations(t.Context(), z, "example.com", r); err != nil || len(got) != 1 || got[0].Agrees != want {
			t.Errorf("%q: got %+v (%v)", text, got, err)
		}
	}
	// An address is a host of nobody's, and more than twenty are not looked at.
	r.RUA = []string{"https://[2001:db8::1]/", "mailto:a@[192.0.2.1]", "mailto:a@[IPv6:2001:db8::2]"}
	for i := range 20 {
		r.RUA = append(r.RUA, fmt.Sprintf("mailto:a@c%d.example", i))
	}
	asked := &recorder{txtZone: txtZone{}}
	got, err := Destinations(t.Context(), asked, "example.com", r)
	if err != nil || len(got) != 20 || strings.Contains(strings.Join(asked.asked, " "), ":") {
		t.Fatalf("got %+v (%v), asked for %s", got, err, asked.asked)
	}
	want := []Destination{{Host: "2001:db8::1", External: true}, {Host: "192.0.2.1", External: true}, {Host: "2001:db8::2", External: true}}
	if diff := cmp.Diff(want, got[:3]); diff != "" {
		t.Error(diff)
	}
	const rest = len("._report._dmarc.c.example")
	for length, want := range map[int]bool{253: true, 254: false} {
		if _, ok := ReportName(strings.Repeat("a", length-rest), "c.example"); ok != want {
			t.Errorf("%d octets: got %v", length, ok)
		}
	}
}

func TestHost(t *testing.T) {
	for uri, want := range map[string]string{
		"mailto:A@X.SE.": "x.se", "MAILTO:a@x.se!10m": "x.se", "mailto:a@x.se?subject=b@y.se": "x.se", "mailto:a@y.se@x.se": "x.se", "mailto:a@x.se#b@y.se": "x.se",
		"mailto:foo": "", "mailto:@x.se": "", "mailto:a@": "", "mailto:a!b@x.se": "x.se",
		"https://h.se:8443/x@y.se": "h.se", "https://user@H.se./": "h.se", "https://h.se?x=@y.se": "h.se", "https://h.se#@y.se": "h.se", "https://h.se!10m": "h.se",
		"https://[2001:db8::1]:443/x": "2001:db8::1", "https:h.se": "", "https:///x": "", "https://h.se:port/": "", "h.se": "",
	} {
		if got, ok := Host(uri); got != want || ok != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", uri, got, ok, want)
		}
	}
}

func TestInterpret(t *testing.T) {
	for text, want := range map[string]string{
		"v=DMARC1; p=reject; sp=x":                                     "ignored",
		"v=DMARC1; p=reject; sp=x; rua=mailto:a@x.se":                  "v=DMARC1; p=none; rua=mailto:a@x.se",
		"v=DMARC1; p=reject; np=x; rua=a@x.se":                         "ignored",
		"v=DMARC1":                                                     "ignored",
		"v=DMARC1; rua=mailto:a@x.se":                                  "v=DMARC1; p=none; rua=mailto:a@x.se",
		"v=DMARC1; p=reject; p=none; adkim=x; fo=1:9; t=?":             "v=DMARC1; p=reject",
		"v=DMARC1;; =; p=reject; nonsense; rua=a@x.se, mailto:b@x.se ": "v=DMARC1; p=reject; rua=mailto:b@x.se",
		"v=DMARC1; p=reject; ruf=mailto:b@x.se,x; pct=900":             "v=DMARC1; p=reject; ruf=mailto:b@x.se",
		"v=dmarc1; p=reject":                                           "no record",
		" v=DMARC1; p=reject":                                          "no record",
		"v=DMARC1; p=reject; sp=none; np=x; rua=mailto:a@x.se":         "v=DMARC1; p=none; rua=mailto:a@x.se",
		"v=DMARC1; p=; sp=reject; rua=mailto:a@x.se":                   "v=DMARC1; p=none; rua=mailto:a@x.se",
		"v=DMARC1; sp=reject; np=none; rua=mailto:a@x.se":              "v=DMARC1; p=none; sp=reject; np=none; rua=mailto:a@x.se",
		"v=DMARC1; sp=reject":                                          "ignored",
		"v=DMARC1; p=reject; rua=mailto:foo":                           "v=DMARC1; p=reject",
		"v=DMARC1; p=none; ri=4294967295":                              "v=DMARC1; p=none; ri=4294967295",
		"v=DMARC1; p=none; ri=4294967296":                              "v=DMARC1; p=none",
	} {
		r, err := Interpret(text)
		got := r.String()
		switch {
		case errors.Is(err, ErrNotProcessed):
			got = "ignored"
		case err != nil:
			got = "no record"
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		if strict, err := Parse(text); err == nil && strict.Strictness() != r.Strictness() {
			t.Errorf("%q: Parse and Interpret differ", text)
		}
	}
	r, err := Interpret("v=DMARC1; psd=n; sp=reject; np=reject")
	if diff := cmp.Diff(Record{PSD: "n"}, r); diff != "" || !errors.Is(err, ErrNotProcessed) {
		t.Errorf("%v: %s", err, diff)
	}
}

// The vectors follow RFC 7489.
func TestCorpus(t *testing.T) {
	const size = "RFC 9989 §4.8: what stands behind ! is ignored; Lint warns of it (DMARC-URI-SIZE)"
	corpora.Check(t, corpora.Cases(t, "", "mox", "dmarc_parse.json"), func(text string) error { _, err := Parse(text); return err }, map[string]string{
		"v=DMARC1; sp=reject; p=reject":                                                                   "RFC 9989 §4.7: p may stand anywhere; Lint warns of old receivers (DMARC-P-NOT-SECOND)",
		"v=DMARC1; rua=mailto:dmarc-feedback@example.com!":                                                size,
		"v=DMARC1; rua=mailto:dmarc-feedback@example.com!10p":                                             size,
		"v=DMARC1; rua=mailto:dmarc-feedback@example.com!99999999999999999999999999999999999999999999999": size,
		"v=DMARC1; p=reject; sp=invalid; rua=mailto:mjl@mox.example":                                      "Parse is strict: it is Interpret that reads it as p=none (RFC 9989 §4.10.1)",
	})
}
