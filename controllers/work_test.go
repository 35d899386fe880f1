package controllers

import (
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/records"
)

// Ours was to be withdrawn, as somebody else's was there first. The ledger forgets it when it is
// gone, and not when its withdrawal was lost and theirs went instead.
func TestWithdrawalIsSettledByAbsence(t *testing.T) {
	slot := records.Slot{
		Slot: dnsprovider.Slot{
			Key:  dnsprovider.Key{Name: "example.com", Type: dnsprovider.TypeTXT},
			Is:   func(value string) bool { return strings.HasPrefix(value, "v=spf1") },
			Same: func(a, b string) bool { return a == b },
		},
		Purpose: v1alpha1.PurposeSPF,
	}
	const ours, theirs = "v=spf1 -all", "v=spf1 mx -all"
	for name, test := range map[string]struct {
		stands []string
		kept   int
	}{
		"ours is gone":                  {[]string{theirs}, 0},
		"theirs is gone, ours stands":   {[]string{ours}, 1},
		"both stand":                    {[]string{ours, theirs}, 1},
		"both are gone":                 {nil, 0},
		"ours stands beside two others": {[]string{ours, theirs, theirs + " "}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scope{book: &book{Ledger: ledger.New("example.com")}, blocked: map[string]verdict{}}
			s.book.Intend("example.com", slot.Key, "SPF", ours)
			seen := dnsprovider.RRset{Key: slot.Key}
			for _, value := range test.stands {
				seen.Records = append(seen.Records, dnsprovider.Record{Value: value})
			}
			j := &job{wish: wish{slot: slot, value: ours}, apex: "example.com", decision: dnsprovider.Decision{Verb: dnsprovider.Conflict}, fact: &fact{}}
			new(Reconciler).settle(t.Context(), s, j, seen)
			if got := len(s.book.At(slot.Key)); got != test.kept {
				t.Errorf("the ledger holds %d of ours, want %d", got, test.kept)
			}
		})
	}
}
