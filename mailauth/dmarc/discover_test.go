package dmarc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
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
