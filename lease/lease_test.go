package lease

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	clocktesting "k8s.io/utils/clock/testing"
)

const (
	duration = 14 * time.Second
	longest  = 10 * time.Second
)

var began = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fakeLock is a Lease that is read and written at once.
type fakeLock struct {
	resourcelock.Interface
	id     string
	stored *resourcelock.LeaderElectionRecord
	err    error
	during func() // while a write is on its way

	missing error // of a Get; nil: the Lease is there
}

func (f *fakeLock) Identity() string { return f.id }

func (f *fakeLock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	if f.missing != nil {
		return nil, nil, f.missing
	}
	record := *f.stored
	return &record, nil, f.err
}

func (f *fakeLock) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return f.Update(ctx, r)
}

func (f *fakeLock) Update(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	if f.during != nil {
		f.during()
	}
	if f.err == nil {
		*f.stored = r
	}
	return f.err
}

type scene struct {
	t     *testing.T
	clock *clocktesting.FakePassiveClock
	guard *Guard
	lease *fakeLock
	lock  resourcelock.Interface
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t, clock: clocktesting.NewFakePassiveClock(began), lease: &fakeLock{id: "us", stored: &resourcelock.LeaderElectionRecord{}}}
	s.guard = NewGuard(duration, s.clock.Now)
	s.lock = s.guard.Lock(s.lease)
	return s
}

func (s *scene) forward(d time.Duration) { s.clock.SetTime(s.clock.Now().Add(d)) }

func (s *scene) renew() error {
	return s.lock.Update(s.t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "us"})
}

// release is what an elector does at its end, which believes to lead.
func (s *scene) release() error {
	if _, _, err := s.lock.Get(s.t.Context()); err != nil {
		return err
	}
	return s.lock.Update(s.t.Context(), resourcelock.LeaderElectionRecord{})
}

func (s *scene) mayWrite(when string, want bool) {
	s.t.Helper()
	end, err := s.guard.Begin(longest)
	if (err == nil) != want || err != nil && !errors.Is(err, ErrNotHeld) {
		s.t.Errorf("%s: %v, want it to pass: %t", when, err, want)
	}
	if err == nil {
		end(true)
	}
}

// A write passes while the lease outlasts it, counted from when the renewal was sent.
func TestWritesNeedTheLease(t *testing.T) {
	s := newScene(t)
	s.mayWrite("before the first renewal", false)
	s.lease.during = func() { s.forward(time.Second) }
	if err := s.lock.Create(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "us"}); err != nil {
		t.Fatal(err)
	}
	s.mayWrite("a second after the renewal was sent", true)
	s.forward(duration - longest - time.Second - time.Nanosecond)
	s.mayWrite("with a nanosecond more left than it may take", true)
	s.forward(time.Nanosecond)
	s.mayWrite("with as much left as it may take", false)
	s.lease.err = errors.New("conflict")
	if s.renew() == nil {
		t.Error("a renewal that failed is taken for one")
	}
	s.mayWrite("after a renewal that failed", false)
	s.lease.err = nil
	if err := s.renew(); err != nil {
		t.Error(err)
	}
	s.mayWrite("after a renewal", true)
	s.forward(2 * duration)
	s.mayWrite("after a stop of twice the lease", false)
}

func TestRelease(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(*scene)
		want    string // the holder afterwards
	}{
		"nothing is under way": {func(*scene) {}, ""},
		"a write is under way": {func(s *scene) { _, _ = s.guard.Begin(longest) }, "us"},
		"a write is over": {func(s *scene) {
			end, err := s.guard.Begin(longest)
			if err == nil {
				end(true)
				end(false)
			}
		}, ""},
		"a write was given up, and can still land": {func(s *scene) {
			s.giveUp()
			s.forward(longest - time.Nanosecond)
		}, "us"},
		"a write was given up, and can land no more": {func(s *scene) {
			s.giveUp()
			s.forward(longest)
		}, ""},
		"of two writes that were given up the first can't land any more": {func(s *scene) {
			s.giveUp()
			s.forward(time.Second)
			s.giveUp()
			s.forward(longest - time.Second)
		}, "us"},
		"another has taken over": {func(s *scene) { s.lease.stored.HolderIdentity = "them" }, "them"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			if err := s.renew(); err != nil {
				t.Fatal(err)
			}
			test.prepare(s)
			if err := s.release(); (err == nil) != (test.want == "") {
				t.Error(err)
			}
			if got := s.lease.stored.HolderIdentity; got != test.want {
				t.Errorf("the holder is %q, want %q", got, test.want)
			}
			s.mayWrite("after the end", false)
		})
	}
}

func (s *scene) giveUp() {
	s.t.Helper()
	end, err := s.guard.Begin(longest)
	if err != nil {
		s.t.Fatal(err)
	}
	end(false)
}

// Whoever has lost the lease never leads again: it may be in the middle of something that it began before another one led.
func TestALostLeaseIsLost(t *testing.T) {
	for name, lose := range map[string]func(*scene){
		"another holds it":          func(s *scene) { s.lease.stored.HolderIdentity = "them" },
		"another has given it back": func(s *scene) { s.lease.stored.HolderIdentity = "" },
		"it is gone": func(s *scene) {
			s.lease.missing = apierrors.NewNotFound(schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}, "maildomain-operator")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			if _, _, err := s.lock.Get(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.renew(); err != nil {
				t.Fatalf("the first time: %v", err)
			}
			s.forward(2 * duration)
			lose(s)
			_, _, _ = s.lock.Get(t.Context())
			s.lease.stored.HolderIdentity, s.lease.missing = "", nil
			for range 2 {
				if s.renew() == nil || s.lock.Create(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "us"}) == nil {
					t.Error("it leads again")
				}
				s.mayWrite("afterwards", false)
				_, _, _ = s.lock.Get(t.Context())
			}
		})
	}
}

func TestNoOthers(t *testing.T) {
	var none *Guard
	end, err := none.Begin(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	end(true)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Questions pass; a write only with the lease, with an end, and until its answer was read it is under way.
func TestTransport(t *testing.T) {
	s := newScene(t)
	sent, fails := 0, error(nil)
	transport := s.guard.Transport(roundTripper(func(r *http.Request) (*http.Response, error) {
		sent++
		if deadline, ok := r.Context().Deadline(); ok != (r.Method == http.MethodPut) || ok && time.Until(deadline) > longest {
			t.Errorf("%s: deadline %s", r.Method, deadline)
		}
		return &http.Response{Body: io.NopCloser(strings.NewReader("answer"))}, fails
	}), longest)
	do := func(method string) (read func(), err error) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://api.example", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(r) //nolint:bodyclose // read closes it
		if err != nil {
			return nil, err
		}
		return func() { response.Body.Close() }, nil
	}
	if _, err := do(http.MethodGet); err != nil || sent != 1 {
		t.Errorf("a question: %v", err)
	}
	if _, err := do(http.MethodPut); !errors.Is(err, ErrNotHeld) || sent != 1 {
		t.Errorf("a write without the lease: %v, %d sent", err, sent)
	}
	if err := s.renew(); err != nil {
		t.Fatal(err)
	}
	read, err := do(http.MethodPut)
	if err != nil || sent != 2 {
		t.Fatalf("a write with the lease: %v, %d sent", err, sent)
	}
	if s.release() == nil {
		t.Error("the lease was given back while a write was under way")
	}
	read()
	if err := s.release(); err != nil {
		t.Error(err)
	}
	if err := s.renew(); err != nil {
		t.Fatal(err)
	}
	fails = context.Canceled
	if _, err := do(http.MethodPut); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if s.release() == nil {
		t.Error("the lease was given back while a write that was given up could still land")
	}
	s.forward(longest)
	if err := s.release(); err != nil {
		t.Error(err)
	}
}

// The default timings keep what is promised of them: with a second and more for the answers of the API server, and
// for the first pass.
func TestDefaultTimings(t *testing.T) {
	if err := Default.Check(); err != nil {
		t.Fatal(err)
	}
	if got := Default.TakeOver(); got > 19*time.Second {
		t.Errorf("after a crash another leads within %s, want 20 s with its first write", got)
	}
	if got := Default.HandOver(); got > 3*time.Second {
		t.Errorf("after a clean end another leads within %s, want 5 s with its first write", got)
	}
	if got := Default.Longest(); got < longest {
		t.Errorf("a write may take %s, and the time-out of providers is %s", got, longest)
	}
}

func TestTimingsThatMakeNoSense(t *testing.T) {
	for _, test := range []struct {
		timings Timings
		want    string
	}{
		{Timings{1500 * time.Millisecond, time.Second, 100 * time.Millisecond}, "whole seconds"},
		{Timings{14 * time.Second, 10 * time.Second, 0}, "more than 0"},
		{Timings{14 * time.Second, 2 * time.Second, time.Second}, "renew-deadline is 2s, want more than 2.2s"},
		{Timings{10 * time.Second, 10 * time.Second, time.Second}, "want more than --leader-elect-renew-deadline"},
		{Timings{14 * time.Second, 13 * time.Second, 4 * time.Second}, "retry-period is 4s, too long"},
	} {
		if err := test.timings.Check(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.timings, err, test.want)
		}
	}
}
