package controllers

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/records"
)

// Whatever was offered, announced and told in whatever order, the commitment ends at the maximum over all
// policies of the last time that each could be fetched or renewed plus its max_age, not earlier and not later.
func TestCommitmentOutlivesEveryPolicyThatCouldBeHeld(t *testing.T) {
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
		now, end := start, time.Time{}
		holdable := map[string]mtasts.Policy{} // what a sender may get or renew now
		var inForce mtasts.Policy
		offers := func(p mtasts.Policy) {
			holdable[p.String()] = p
			if c = offer(c, p); !reflect.DeepEqual(c, offer(c, p)) {
				t.Fatalf("seed %d: offered again, the commitment changes", seed)
			}
		}
		proves := func(p mtasts.Policy) {
			inForce = p
			c = announced(c, p, now)
			if later := announced(offer(c, p), p, now.Add(time.Hour)); !reflect.DeepEqual(later, c) {
				t.Fatalf("seed %d: a policy that stays in force changes the commitment:\n%+v\n%+v", seed, c, later)
			}
		}
		tells := func() {
			for body, p := range holdable {
				if body != inForce.String() && p.Mode != mtasts.None {
					end = latest(end, now.Add(recordCaches+p.MaxAge))
				}
			}
			holdable = map[string]mtasts.Policy{inForce.String(): inForce}
			c = settled(c, now)
			if later := settled(c, now.Add(time.Minute)); open(c) || ends(later).After(ends(c)) {
				t.Fatalf("seed %d: told again, the commitment changes:\n%+v\n%+v", seed, c, later)
			}
		}
		for range random.IntN(8) {
			p := policies[random.IntN(len(policies))]
			offers(p)
			now = now.Add(time.Duration(random.Int64N(int64(1000 * time.Hour))))
			if random.IntN(2) == 0 {
				proves(p)
				now = now.Add(time.Duration(random.Int64N(int64(100 * time.Hour))))
				if random.IntN(2) == 0 {
					tells()
				}
			}
		}
		offers(none)
		now = now.Add(time.Hour)
		proves(none)
		soonest := ends(c)
		now = now.Add(time.Hour)
		tells()
		if now.After(end) && now.After(ends(c)) {
			end = ends(c) // what has ended need not be remembered
		}
		if !closing(c) || !ends(c).Equal(end) || soonest.After(latest(end, now)) {
			t.Fatalf("seed %d: ends at %v, want %v, at first %v: %+v", seed, ends(c), end, soonest, c)
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
	if got, want := ends(settled(announced(c, records.MTASTSWithdrawal(), now), now)), now.Add(recordCaches+p.MaxAge); !got.Equal(want) {
		t.Errorf("ends at %v, want %v", got, want)
	}
}

// A policy whose id may be seen has no end, though another one is served and announced.
func TestAnIDThatIsSeenRenewsItsPolicy(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	before := mtasts.Policy{Mode: mtasts.Enforce, MaxAge: 168 * time.Hour, MX: []string{"mx1.example.com"}}
	c := announced(ledger.MTASTS{}, before, now)
	if open(c) {
		t.Errorf("the first policy: %+v", c)
	}
	c = announced(c, records.MTASTSWithdrawal(), now.Add(time.Hour))
	if !open(c) || closing(c) {
		t.Errorf("its id may be seen: %+v", c)
	}
	if got, want := ends(c), now.Add(time.Hour+recordCaches+before.MaxAge); !got.Equal(want) {
		t.Errorf("ends at %v at the soonest, want %v", got, want)
	}
	if c = settled(c, now.Add(1000*time.Hour)); !closing(c) || !ends(c).Equal(now.Add(1000*time.Hour+recordCaches+before.MaxAge)) {
		t.Errorf("told: %+v", c)
	}
}

// What the holder before had served binds the new one, and is served as it was, with the old
// holder's certificate, until the new one has a policy of its own.
func TestANewHolderTakesOverWhatIsServed(t *testing.T) {
	p := mtasts.Policy{Mode: mtasts.Enforce, MaxAge: 168 * time.Hour, MX: []string{"mx1.example.com"}}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	before := now.Add(time.Hour)
	md := &v1alpha1.MailDomain{Spec: v1alpha1.MailDomainSpec{Domain: "example.com"}}
	md.Namespace, md.Name = "new", "mail"
	s := &scope{md: md, now: now, claim: claimState{held: true}, book: &book{Ledger: ledger.New("example.com")}}
	s.site = site{holder: "old/mail/example.com", config: &corev1.ConfigMap{Data: map[string]string{
		siteHolder: "old/mail/example.com", siteDomain: "example.com", sitePolicy: p.String(),
		siteNamespace: "old", siteTLSSecret: "certificate", siteUntil: before.Format(time.RFC3339),
	}}}
	c := s.commitment()
	if len(c.Held) != 1 || c.Held[0].Policy != p.String() || !c.Until.Equal(before) {
		t.Fatalf("took over %+v", c)
	}
	if got := siteData(s); got[sitePolicy] != p.String() || got[siteNamespace] != "old" || got[siteTLSSecret] != "certificate" || got[siteHolder] != "new/mail/example.com" {
		t.Errorf("without a section: %v", got)
	}

	// It withdraws what it never had in its own name.
	none := records.MTASTSWithdrawal()
	s.mtasts.serve = &none
	s.commit(c)
	if got := siteData(s); got[sitePolicy] != none.String() || got[siteNamespace] != "old" || got[siteTLSSecret] != "certificate" {
		t.Errorf("during a withdrawal: %v", got)
	}

	// With its own section it has its own certificate, and passes on what it took over.
	md.Spec.MTASTS = &v1alpha1.MTASTSSpec{Mode: v1alpha1.MTASTSEnforce}
	own := mtasts.Policy{Mode: mtasts.Enforce, MaxAge: time.Hour, MX: []string{"mx2.example.com"}}
	s.mtasts.serve = &own
	s.commit(settled(announced(c, own, now), now))
	if got := siteData(s); got[sitePolicy] != own.String() || got[siteNamespace] != "new" || got[siteTLSSecret] != "mta-sts-mail" || got[siteUntil] != now.Add(recordCaches+p.MaxAge).Format(time.RFC3339) {
		t.Errorf("with its own policy: %v", got)
	}
}

// However many policies were offered and proven, the list stays short and the commitment as long as ever.
func TestCommitmentIsBounded(t *testing.T) {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, proves := range []bool{true, false} { // and tells the name servers
		var c ledger.MTASTS
		now := start
		first := mtasts.Policy{Mode: mtasts.Enforce, MaxAge: 8760 * time.Hour, MX: []string{"mx1.example.com"}}
		c = announced(offer(c, first), first, now)
		for i := range 10 * maxHeld {
			now = now.Add(time.Minute)
			p := mtasts.Policy{Mode: mtasts.Enforce, MaxAge: 168 * time.Hour, MX: []string{fmt.Sprintf("mx%d.example.com", i)}}
			if c = offer(c, p); proves {
				c = settled(announced(c, p, now), now)
			}
			if len(c.Held) > maxHeld {
				t.Fatalf("proven %v: %d policies are listed", proves, len(c.Held))
			}
		}
		if proves {
			now = start.Add(time.Minute) // when the first was found to be replaced
		}
		none := records.MTASTSWithdrawal()
		if got, want := ends(settled(announced(offer(c, none), none, now), now)), now.Add(recordCaches+first.MaxAge); !got.Equal(want) {
			t.Errorf("proven %v: ends at %v, want %v", proves, got, want)
		}
	}
}

// A holder that leaves while a change is under way leaves two policies: the one that is served, and the
// one before, whose id is still out.
func TestANewHolderTakesOverWhatIsAnnounced(t *testing.T) {
	year := mtasts.Policy{Mode: mtasts.Enforce, MaxAge: 8760 * time.Hour, MX: []string{"mx1.example.com"}}
	day := mtasts.Policy{Mode: mtasts.Enforce, MaxAge: 24 * time.Hour, MX: []string{"mx1.example.com", "mx2.example.com"}}
	for _, next := range []mtasts.Policy{day, records.MTASTSWithdrawal()} {
		md := &v1alpha1.MailDomain{Spec: v1alpha1.MailDomainSpec{Domain: "example.com"}}
		old := &scope{md: md, now: noon, claim: claimState{held: true}, book: &book{Ledger: ledger.New("example.com")}}
		old.commit(announced(offer(ledger.MTASTS{}, year), year, noon.Add(-time.Hour)))
		old.mtasts.serve = &year
		steady := siteData(old)
		if _, there := steady[siteAnnounced]; there {
			t.Errorf("in an unchanged world: %v", steady)
		}
		old.mtasts.serve = &next
		old.commit(offer(old.commitment(), next))
		left := siteData(old)

		s := &scope{md: md, now: noon, claim: claimState{held: true}, book: &book{Ledger: ledger.New("example.com")}, site: site{config: &corev1.ConfigMap{Data: left}}}
		c := s.commitment()
		if len(c.Held) == 0 || c.Held[0].Policy != year.String() || !c.Held[0].Until.IsZero() {
			t.Fatalf("%s: took over %+v", next.Mode, c)
		}
		if id := old.book.MTASTS.ID; s.lastID() != id || c.ID != id || announced(c, year, noon).ID == id {
			t.Errorf("%s: the id %s is out, and the new holder goes by %q", next.Mode, id, s.lastID())
		}
		s.commit(c)
		s.mtasts.serve = &next
		if got := siteData(s); got[siteAnnounced] != year.String() {
			t.Errorf("%s: before it has announced anything: %v", next.Mode, got)
		}
		s.commit(announced(c, next, noon))
		if got, there := siteData(s)[siteAnnounced]; there {
			t.Errorf("%s: announced, and %q still is", next.Mode, got)
		}
	}
}
