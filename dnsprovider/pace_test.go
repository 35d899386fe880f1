package dnsprovider

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// okTransport answers every call and counts them.
type okTransport struct {
	mu    sync.Mutex
	calls int
}

func (t *okTransport) RoundTrip(*http.Request) (*http.Response, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func paced(t *testing.T, transport http.RoundTripper) error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://192.0.2.1/", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(r)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// The burst goes out at once, then the rate is kept to within a tenth.
func TestPaceKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &okTransport{}
		transport := NewPace(10, 50, time.Minute, time.Now).Transport(next)
		start := time.Now()
		for range 150 {
			if err := paced(t, transport); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("100 calls beyond the burst took %v, want 10 s", took)
		}
	})
}

// Who would wait too long is told when to come back, one after another, and takes nobody's turn.
func TestPaceHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &okTransport{}
		transport := NewPace(0.1, 1, time.Second, time.Now).Transport(next)
		if err := paced(t, transport); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			e, _ := errors.AsType[*Error](paced(t, transport))
			latest := min(time.Duration(10+30*i), 310) * time.Second // three calls each, and nobody much later than furthest
			if e == nil || e.Kind != RateLimited || e.RetryAfter < latest-time.Second || e.RetryAfter > latest {
				t.Fatalf("number %d got %+v, want %v", i, e, latest)
			}
		}
		time.Sleep(10 * time.Second)
		if err := paced(t, transport); err != nil || next.calls != 2 {
			t.Errorf("after its time: %v, %d calls", err, next.calls)
		}
	})
}

// refusingZone says that there were too many calls.
type refusingZone struct {
	Zone
	after time.Duration
}

func (z refusingZone) Read(context.Context, ...Key) []Reading {
	return []Reading{{Err: &Error{Kind: RateLimited, RetryAfter: z.after, Err: errors.New("slow down")}}}
}

// A refusal stops all calls for as long as the provider says, then slows them down for a while.
// Another credential is not concerned.
func TestPaceHeedsARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &okTransport{}
		pace := NewPace(16, 1, time.Second, time.Now)
		transport := pace.Transport(next)
		other := NewPace(16, 1, time.Second, time.Now).Transport(next)
		pace.Zone(refusingZone{after: time.Minute}).Read(t.Context())
		e, _ := errors.AsType[*Error](paced(t, transport))
		if e == nil || e.RetryAfter != time.Minute {
			t.Fatalf("during the pause: %+v", e)
		}
		if err := paced(t, other); err != nil {
			t.Errorf("another credential: %v", err)
		}
		time.Sleep(time.Minute)
		rate := func() int {
			before, start := next.calls, time.Now()
			for time.Since(start) < 10*time.Second {
				if err := paced(t, transport); err != nil {
					t.Fatal(err)
				}
			}
			return (next.calls - before) / 10
		}
		if n := rate(); n < 8 || n > 10 {
			t.Errorf("%d calls a second after a refusal, want 8 to 10", n)
		}
		time.Sleep(10 * time.Minute)
		if n := rate(); n != 16 {
			t.Errorf("%d calls a second in the end, want 16", n)
		}
		// What the pace itself holds back is no refusal.
		pace.Zone(refusingZone{}).Read(t.Context())
		limit := pace.limiter.Limit()
		pace.Zone(holdingZone{}).Read(t.Context())
		if pace.limiter.Limit() != limit {
			t.Error("its own word slowed it down")
		}
		for range 20 {
			pace.refused(0)
		}
		if pace.limiter.Limit() < 1 {
			t.Errorf("the rate fell to %v", pace.limiter.Limit())
		}
	})
}

type holdingZone struct{ Zone }

func (holdingZone) Read(context.Context, ...Key) []Reading {
	return []Reading{{Err: &Error{Kind: RateLimited, Err: errHeldBack}}}
}

// A call that is held back says so, through each adapter, and nothing is sent.
func TestAdaptersPassOnWhatIsHeldBack(t *testing.T) {
	spent := NewPace(0.001, 1, time.Second, time.Now)
	spent.limiter.AllowN(time.Now(), 1)
	next := &okTransport{}
	wrap := func(http.RoundTripper) http.RoundTripper { return spent.Transport(next) }
	cloudflare, err := NewCloudflare(CloudflareConfig{Token: cloudflareToken, Zone: "zone.example", ZoneID: strings.Repeat("a", 32), Wrap: wrap})
	if err != nil {
		t.Fatal(err)
	}
	route53, err := NewRoute53(Route53Config{Zone: "zone.example", ZoneID: "Z1", AccessKeyID: "AKIA", SecretAccessKey: "x", Wrap: wrap})
	if err != nil {
		t.Fatal(err)
	}
	for name, z := range map[string]Zone{"cloudflare": cloudflare, "route53": route53} {
		key := Key{"_dmarc.zone.example", TypeTXT}
		_, readErr := readOne(t.Context(), z, key)
		applyErr := applyOne(t.Context(), z, Change{Seen: RRset{Key: key}, Add: []string{"x"}, TTL: time.Hour})
		for _, err := range []error{readErr, applyErr} {
			e, _ := errors.AsType[*Error](err)
			if e == nil || e.Kind != RateLimited || e.RetryAfter < time.Minute || !errors.Is(err, errHeldBack) || !strings.Contains(err.Error(), "_dmarc.zone.example") {
				t.Errorf("%s: got %+v", name, err)
			}
		}
	}
	if next.calls != 0 {
		t.Errorf("%d calls were sent", next.calls)
	}
}
