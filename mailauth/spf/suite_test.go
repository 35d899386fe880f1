package spf

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/maildomain/maildomain-operator/test/corpora"
)

// suiteCase is one test of the openspf.org format.
type suiteCase struct {
	Host        string    `yaml:"host"`
	Helo        string    `yaml:"helo"`
	MailFrom    string    `yaml:"mailfrom"`
	Result      yaml.Node `yaml:"result"`
	Explanation string    `yaml:"explanation"`
	Comment     string    `yaml:"comment"`
}

type suiteScenario struct {
	Description string                 `yaml:"description"`
	Tests       map[string]suiteCase   `yaml:"tests"`
	Zone        map[string][]yaml.Node `yaml:"zonedata"`
}

const defaultExplanation = "DEFAULT"

// The suites of RFC 7208 and of other implementations. A deviation stands here with its reason;
// one that is gone fails the test as well.
func TestSuites(t *testing.T) {
	for file, suite := range map[string]struct {
		cases      int
		deviations map[string]string
	}{
		"rfc7208-tests.yml": {cases: 203},
		"rfc4408-tests.yml": {cases: 191},
		"pyspf-tests.yml": {cases: 16, deviations: map[string]string{
			"default-modifier":       "default= is of a draft before RFC 4408; RFC 7208 §6 has unknown modifiers ignored",
			"default-modifier-harsh": "as above; the result that it wants is none of RFC 7208's",
		}},
		"blitirispf-tests.yml": {cases: 83},
	} {
		t.Run(file, func(t *testing.T) {
			scenarios := loadSuite(t, file)
			ran, deviated := 0, map[string]bool{}
			for _, s := range scenarios {
				z := newSuiteZone(t, s)
				for name, c := range s.Tests {
					ran++
					why := c.run(t, z)
					reason, allowed := suite.deviations[name]
					switch {
					case allowed:
						deviated[name] = true
						if why == "" {
							t.Errorf("%s: agrees, although it was expected to deviate: %s", name, reason)
						}
					case why != "":
						t.Errorf("%s / %s: %s\n%s", s.Description, name, why, c.Comment)
					}
				}
			}
			if ran != suite.cases || len(deviated) != len(suite.deviations) {
				t.Errorf("%d cases, %d deviations, want %d and %d", ran, len(deviated), suite.cases, len(suite.deviations))
			}
			t.Logf("%d of %d cases agree", ran-len(deviated), ran)
		})
	}
}

func loadSuite(t *testing.T, file string) []suiteScenario {
	t.Helper()
	text := corpora.Read(t, "spf-rfc7208", file)
	if file == "blitirispf-tests.yml" {
		// Its domains have one label, which RFC 7208 §4.3 and §7.1 refuse: they get another.
		for _, place := range []string{
			`(?m)^(  )([a-z0-9-]+)(:\s*)$`, // a name of the zone
			`((?:include|a|mx|ptr|exists):|redirect=|@|MX: \["?[0-9]+"?, "?)([a-z0-9-]+)([\s"/\]]|$)`,
		} {
			text = regexp.MustCompile(place).ReplaceAll(text, []byte("${1}${2}.test${3}"))
		}
	}
	var scenarios []suiteScenario
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var s suiteScenario
		if err := decoder.Decode(&s); err != nil {
			if err.Error() == "EOF" {
				return scenarios
			}
			t.Fatalf("%s: %v", file, err)
		}
		scenarios = append(scenarios, s)
	}
}

func (c suiteCase) run(t *testing.T, z suiteZone) (why string) {
	t.Helper()
	ip, err := netip.ParseAddr(c.Host)
	if err != nil {
		t.Fatal(err)
	}
	got := Evaluator{Resolver: z, Receiver: "receiver.example.com", Explanation: defaultExplanation}.Evaluate(t.Context(), ip, c.MailFrom, c.Helo)
	var want []string
	if c.Result.Kind == yaml.ScalarNode {
		want = []string{c.Result.Value}
	} else if err := c.Result.Decode(&want); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(want, string(got.Result)) {
		return fmt.Sprintf("got %s (%v), want %v", got.Result, got.Err, want)
	}
	if c.Explanation != "" && got.Explanation != c.Explanation {
		return fmt.Sprintf("got the explanation %q, want %q", got.Explanation, c.Explanation)
	}
	if failed := got.Result == PermError || got.Result == TempError || got.Result == None; failed != (got.Err != nil) {
		return fmt.Sprintf("%s with the error %v", got.Result, got.Err)
	}
	return ""
}

// suiteZone is the DNS of a scenario, by name in lower case and type. A type TIMEOUT at a name
// is a server that does not answer what the name has no record for.
type suiteZone map[string]map[string][]yaml.Node

func newSuiteZone(t *testing.T, s suiteScenario) suiteZone {
	t.Helper()
	z := suiteZone{}
	for name, entries := range s.Zone {
		records := map[string][]yaml.Node{}
		for _, entry := range entries {
			if entry.Kind == yaml.ScalarNode {
				records[entry.Value] = nil
				continue
			}
			for i := 0; i+1 < len(entry.Content); i += 2 {
				records[entry.Content[i].Value] = append(records[entry.Content[i].Value], *entry.Content[i+1])
			}
		}
		// What the suites write as SPF is meant as TXT, where no TXT stands.
		if _, there := records["TXT"]; !there {
			records["TXT"] = records["SPF"]
		}
		z[strings.ToLower(strings.TrimSuffix(name, "."))] = records
	}
	return z
}

func (z suiteZone) lookup(name, rrtype string) ([]yaml.Node, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for range 10 {
		records := z[name]
		found := slices.DeleteFunc(slices.Clone(records[rrtype]), func(n yaml.Node) bool { return n.Value == "NONE" })
		if len(found) > 0 {
			for _, n := range found {
				if n.Value == "TIMEOUT" {
					return nil, failing(name)
				}
			}
			return found, nil
		}
		if alias := records["CNAME"]; len(alias) == 1 {
			name = strings.ToLower(strings.TrimSuffix(alias[0].Value, "."))
			continue
		}
		for _, fault := range []string{"TIMEOUT", "SERVFAIL"} {
			if _, dead := records[fault]; dead {
				return nil, failing(name)
			}
		}
		break
	}
	return nil, notFound(name)
}

func (z suiteZone) LookupTXT(_ context.Context, name string) ([]string, error) {
	nodes, err := z.lookup(name, "TXT")
	var texts []string
	for _, n := range nodes {
		text := n.Value
		for _, part := range n.Content {
			text += part.Value
		}
		texts = append(texts, text)
	}
	return texts, err
}

func (z suiteZone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	nodes, err := z.lookup(name, "MX")
	var hosts []*net.MX
	for _, n := range nodes {
		hosts = append(hosts, &net.MX{Host: n.Content[1].Value + "."})
	}
	return hosts, err
}

func (z suiteZone) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	nodes, err := z.lookup(host, map[string]string{"ip4": "A", "ip6": "AAAA"}[network])
	var addrs []netip.Addr
	for _, n := range nodes {
		addrs = append(addrs, netip.MustParseAddr(n.Value))
	}
	return addrs, err
}

func (z suiteZone) LookupAddr(_ context.Context, addr string) ([]string, error) {
	ip := netip.MustParseAddr(addr)
	labels := strings.Split(dotted(ip.AsSlice()), ".")
	slices.Reverse(labels)
	zone := ".in-addr.arpa"
	if ip.Is6() {
		zone = ".ip6.arpa"
	}
	nodes, err := z.lookup(strings.Join(labels, ".")+zone, "PTR")
	var names []string
	for _, n := range nodes {
		names = append(names, n.Value+".")
	}
	return names, err
}

func TestCorpus(t *testing.T) {
	corpora.Check(t, corpora.Cases(t, "TestParse", "mox", "spf_parse.json"), func(text string) error { _, err := Parse(text); return err }, map[string]string{
		"V=spf1 all Include:example.org a ?a -a +a ~a a:x a:x/0 a:x/24//64 a:x//64 mx mx:x ptr ptr:x IP4:10.0.0.1 ip4:0.0.0.0/0 ip4:10.0.0.1/24 ip6:2001:db8::1 ip6:2001:db8::1/128 exists:x REDIRECT=x exp=X Other=x": "a domain-spec ends in a dot and a top label (RFC 7208 §7.1): x alone is none, as the suite of RFC 7208 has it (a-only-toplabel)",
	})
}
