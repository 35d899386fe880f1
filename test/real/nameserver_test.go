package real_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/maildomain/maildomain-operator/test/real"
	"github.com/miekg/dns"
)

// Each server holds its zones, takes updates signed with the key, and no others, and transfers nothing.
func TestNameServers(t *testing.T) {
	key := real.Key{Name: "a-key", Secret: "YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBvY3RldHMuLi4="}
	for _, name := range slices.Sorted(maps.Keys(real.NameServers)) {
		t.Run(name, func(t *testing.T) {
			addr := real.NameServers[name](t, key,
				real.Zone{Apex: "one.example", Records: "@ TXT \"it's\" \"here;\"\n*.deep.tree CNAME ns1\n"},
				real.Zone{Apex: "two.example", Closed: true})
			client := &dns.Client{Net: "tcp", TsigSecret: map[string]string{key.Name + ".": key.Secret}}
			ask := func(msg *dns.Msg) *dns.Msg {
				t.Helper()
				reply, _, err := client.Exchange(msg, addr)
				if err != nil && (reply == nil || reply.Rcode == dns.RcodeSuccess) { // a refusal need not be signed
					t.Fatal(err)
				}
				return reply
			}
			update := func(apex string, sign bool) int {
				t.Helper()
				rr, _ := dns.NewRR("new." + apex + ` 300 TXT "x"`)
				msg := new(dns.Msg).SetUpdate(apex)
				msg.Insert([]dns.RR{rr})
				if sign {
					msg.SetTsig(key.Name+".", dns.HmacSHA256, 300, 0)
				}
				return ask(msg).Rcode
			}

			texts := ask(new(dns.Msg).SetQuestion("one.example.", dns.TypeTXT)).Answer
			if len(texts) != 1 || !slices.Equal(texts[0].(*dns.TXT).Txt, []string{"it's", "here;"}) {
				t.Errorf("%v", texts)
			}
			if reply := ask(new(dns.Msg).SetQuestion("tree.one.example.", dns.TypeTXT)); reply.Rcode != dns.RcodeSuccess {
				t.Errorf("an empty name: %s", dns.RcodeToString[reply.Rcode])
			}
			for what, c := range map[string]struct {
				apex   string
				sign   bool
				worked bool
			}{"signed": {"one.example.", true, true}, "unsigned": {"one.example.", false, false}, "closed": {"two.example.", true, false}} {
				if rcode := update(c.apex, c.sign); (rcode == dns.RcodeSuccess) != c.worked {
					t.Errorf("%s: %s", what, dns.RcodeToString[rcode])
				}
			}

			msg := new(dns.Msg).SetAxfr("one.example.")
			msg.SetTsig(key.Name+".", dns.HmacSHA256, 300, 0)
			transfer := &dns.Transfer{TsigSecret: client.TsigSecret}
			answers, err := transfer.In(msg, addr)
			if err != nil {
				t.Fatal(err)
			}
			for answer := range answers {
				if answer.Error == nil {
					t.Errorf("transfers the zone: %v", answer.RR)
				}
			}
		})
	}
}
