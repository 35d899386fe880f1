package dnsprovider

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// Whoever may not write is told that nothing was changed, and nothing is; questions are asked all the same. A write
// that is made is over when Apply returns.
func TestBegin(t *testing.T) {
	server := startServer(t, "zone.example")
	m := &memory{}
	for name, open := range map[string]func(Begin) Zone{
		"rfc2136": func(b Begin) Zone {
			z, err := NewRFC2136(RFC2136Config{Server: server.Addr(), Zone: "zone.example", KeyName: keyName, KeySecret: keySecret, Timeout: patience, Begin: b})
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
		"libdns": func(b Begin) Zone {
			z := openMemory(t, m, libdnsModule{replaces: replacesRRset, bulk: 1, appends: true, deletes: true})
			z.(*libdnsZone).begin = b
			return z
		},
	} {
		t.Run(name, func(t *testing.T) {
			no := errors.New("not now")
			allowed, asked, underWay := false, 0, 0
			z := open(func(longest time.Duration) (func(bool), error) {
				if asked++; longest < patience {
					t.Errorf("a write may take %s, and says %s", patience, longest)
				}
				if !allowed {
					return nil, no
				}
				underWay++
				return func(answered bool) {
					if underWay--; !answered {
						t.Error("an answer is taken for none")
					}
				}, nil
			})
			change := Change{Seen: mustRead(t, z, txtAt("_dmarc")), Add: []string{"v=DMARC1; p=none"}, TTL: time.Hour}
			err := z.Apply(t.Context(), change)[0]
			if KindOf(err) != Unreachable || !errors.Is(err, no) || asked != 1 {
				t.Errorf("got %v, asked %d times", err, asked)
			}
			if got := mustRead(t, z, txtAt("_dmarc")); len(got.Records) > 0 {
				t.Errorf("written: %q", got.Values())
			}
			allowed = true
			if err := z.Apply(t.Context(), change)[0]; err != nil || underWay != 0 || asked != 2 {
				t.Errorf("got %v, asked %d times, %d under way", err, asked, underWay)
			}
			if got := mustRead(t, z, txtAt("_dmarc")); len(got.Records) != 1 {
				t.Errorf("written: %q", got.Values())
			}
		})
	}
}

// An UPDATE that is not answered may still be carried out.
func TestBeginOfAWriteWithoutAnAnswer(t *testing.T) {
	server := startServer(t, "zone.example")
	var answers []bool
	z, err := NewRFC2136(RFC2136Config{
		Server: server.Addr(), Zone: "zone.example", KeyName: keyName, KeySecret: keySecret, Timeout: 2 * time.Second,
		Begin: func(time.Duration) (func(bool), error) {
			return func(answered bool) { answers = append(answers, answered) }, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Fault(dnsserver.Fault{MuteUpdates: true})
	err = z.Apply(t.Context(), Change{Seen: RRset{Key: txtAt("_dmarc")}, Add: []string{"v=DMARC1; p=none"}, TTL: time.Hour})[0]
	if KindOf(err) != UnknownOutcome || !slices.Equal(answers, []bool{false}) {
		t.Errorf("got %v, answered: %v", err, answers)
	}
}
