package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	testclock "k8s.io/utils/clock/testing"
)

// gate is a filter in front of metrics, with what its API server says.
type gate struct {
	t       *testing.T
	clock   *testclock.FakePassiveClock
	handler http.Handler
	may     map[string]bool // by token; of others nobody knows
	away    error
	asked   []string
}

func newGate(t *testing.T) *gate {
	g := &gate{t: t, clock: testclock.NewFakePassiveClock(time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)), may: map[string]bool{"reader": true, "stranger": false}}
	api := fake.NewClientset()
	api.PrependReactor("create", "tokenreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authentication.TokenReview)
		g.asked = append(g.asked, "who is "+review.Spec.Token)
		_, review.Status.Authenticated = g.may[review.Spec.Token]
		review.Status.User = authentication.UserInfo{Username: "name of " + review.Spec.Token, UID: "uid", Groups: []string{"group"}, Extra: map[string]authentication.ExtraValue{"key": {"value"}}}
		return true, review, g.away
	})
	api.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorization.SubjectAccessReview)
		spec := review.Spec
		g.asked = append(g.asked, "may "+spec.User)
		if spec.UID != "uid" || !slices.Equal(spec.Groups, []string{"group"}) || len(spec.Extra["key"]) != 1 || *spec.NonResourceAttributes != (authorization.NonResourceAttributes{Path: "/metrics", Verb: "get"}) {
			t.Errorf("asked about %+v, %+v", spec, spec.NonResourceAttributes)
		}
		review.Status.Allowed = g.may[strings.TrimPrefix(spec.User, "name of ")]
		return true, review, nil
	})
	filter := newReaders(api.AuthenticationV1().TokenReviews(), api.AuthorizationV1().SubjectAccessReviews(), g.clock).filter
	handler, err := filter(logr.Discard(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the metrics")) }))
	if err != nil {
		t.Fatal(err)
	}
	g.handler = handler
	return g
}

// ask shows the value of an Authorization header; "": none.
func (g *gate) ask(method, header string) (status int, says http.Header) {
	g.t.Helper()
	req := httptest.NewRequestWithContext(g.t.Context(), method, "/metrics", nil)
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, req)
	if told := strings.Contains(w.Body.String(), "the metrics"); told != (w.Code == http.StatusOK) {
		g.t.Errorf("%s %q: status %d, and told: %v", method, header, w.Code, told)
	}
	return w.Code, w.Header()
}

func (g *gate) want(header string, status, asked int) {
	g.t.Helper()
	before := len(g.asked)
	if got, _ := g.ask(http.MethodGet, header); got != status || len(g.asked)-before != asked {
		g.t.Errorf("%q: status %d after %q, want %d after %d questions", header, got, g.asked[before:], status, asked)
	}
}

func TestWhoReadsMetrics(t *testing.T) {
	g := newGate(t)
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic reader", "reader"} {
		g.want(header, http.StatusUnauthorized, 0)
	}
	g.want("Bearer unknown", http.StatusUnauthorized, 1)
	g.want("Bearer stranger", http.StatusForbidden, 2)
	g.want("bearer reader", http.StatusOK, 2)
	if _, says := g.ask(http.MethodGet, ""); says.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("WWW-Authenticate: %q", says.Get("WWW-Authenticate"))
	}
	if status, says := g.ask(http.MethodPost, "Bearer reader"); status != http.StatusMethodNotAllowed || says.Get("Allow") != http.MethodGet {
		t.Errorf("POST: %d, Allow %q", status, says.Get("Allow"))
	}
}

// An answer is believed for a while, a refusal for less; that there was no answer never is.
func TestWhatIsKnownOfReaders(t *testing.T) {
	g := newGate(t)
	g.away = errors.New("away")
	g.want("Bearer reader", http.StatusServiceUnavailable, 1)
	g.away = nil
	g.want("Bearer reader", http.StatusOK, 2)
	g.want("Bearer stranger", http.StatusForbidden, 2)
	g.may["stranger"], g.may["reader"] = true, false
	pass := func(d time.Duration) { g.clock.SetTime(g.clock.Now().Add(d)) }
	pass(refused)
	g.want("Bearer stranger", http.StatusForbidden, 0)
	pass(time.Second)
	g.want("Bearer stranger", http.StatusOK, 2)
	pass(believed - refused - time.Second)
	g.want("Bearer reader", http.StatusOK, 0)
	pass(time.Second)
	g.want("Bearer reader", http.StatusForbidden, 2)
}

// Who makes up tokens keeps the API server busy at a bounded rate, and nobody out who is known.
func TestStrangersTokens(t *testing.T) {
	g := newGate(t)
	g.want("Bearer reader", http.StatusOK, 2)
	for i := range 2 * reviews {
		g.ask(http.MethodGet, "Bearer x"+strings.Repeat("x", i))
	}
	if n := len(g.asked) - 2; n != reviews-1 {
		t.Errorf("%d reviews at once, want %d", n, reviews-1)
	}
	g.want("Bearer y", http.StatusTooManyRequests, 0)
	g.want("Bearer reader", http.StatusOK, 0)
	g.clock.SetTime(g.clock.Now().Add(time.Second / reviews))
	g.want("Bearer y", http.StatusUnauthorized, 1)
	if needed := reviews * int(believed/time.Second); needed >= remembered {
		t.Errorf("%d strangers can come while a reader is believed, and %d are remembered", needed, remembered)
	}
}
