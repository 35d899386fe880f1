package controllers

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/records"
)

// Whatever was offered and proven in whatever order, the commitment ends at the maximum over all
// policies of the last time that each could be fetched plus its max_age, not earlier and not later.
func TestCommitmentOutlivesEveryPolicyThatCouldBeFetched(t *testing.T) {
	policies := []mtasts.Policy{
		{Mode: mtasts.Enforce, MaxAge: 8760 * time.Hour, MX: []string{"mx1.example.com"}},
		{Mode: mtasts.Enforce, MaxAge: 168 * time.Hour, MX: []string{"mx1.example.com"}},
		{Mode: mtasts.Testing, MaxAge: 168 * time.Hour, MX: []string{"mx1.example.com"}},
		{Mode: mtasts.Testing, MaxAge: time.Minute, MX: []string{"mx2.example.com"}},
		{Mode: mtasts.None, MaxAge: 8760 * time.Hour},
	}
	none := records.MTASTSWithdrawal()
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 0))
		var c ledger.MTASTS
		now, ends := start, time.Time{}
		live := map[string]mtasts.Policy{} // what a sender may get now
		offers := func(p mtasts.Policy) {
			live[p.String()] = p
			if c = offer(c, p); c != offer(c, p) {
				t.Fatalf("seed %d: offered again, the commitment changes", seed)
			}
		}
		proves := func(p mtasts.Policy) {
			for body, q := range live {
				if body != p.String() && q.Mode != mtasts.None {
					ends = latest(ends, now.Add(q.MaxAge))
				}
			}
			live = map[string]mtasts.Policy{p.String(): p}
			c = announced(c, p, now)
			if later := announced(offer(c, p), p, now.Add(time.Hour)); later != c {
				t.Fatalf("seed %d: a policy that stays in force changes the commitment:\n%+v\n%+v", seed, c, later)
			}
		}
		for range random.IntN(8) {
			p := policies[random.IntN(len(policies))]
			offers(p)
			now = now.Add(time.Duration(random.Int64N(int64(1000 * time.Hour))))
			if random.IntN(2) == 0 {
				proves(p)
			}
		}
		offers(none)
		now = now.Add(time.Hour)
		proves(none)
		if !closing(c) || !c.Until.Equal(ends) {
			t.Fatalf("seed %d: ends at %v, want %v: %+v", seed, c.Until, ends, c)
		}
	}
}

// A ledger that was written before offers were entered still binds for its policy.
func TestCommitmentOfAnOlderLedger(t *testing.T) {
	p := mtasts.Policy{Mode: mtasts.Enforce, MaxAge: 168 * time.Hour, MX: []string{"mx1.example.com"}}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	c := ledger.MTASTS{Policy: p.String(), ID: p.ID()}
	if closing(c) {
		t.Error("a policy in force binds nobody")
	}
	if got, want := announced(c, records.MTASTSWithdrawal(), now).Until, now.Add(p.MaxAge); !got.Equal(want) {
		t.Errorf("ends at %v, want %v", got, want)
	}
}
