package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	// believed is how long an account may read on after its right, or its token, was taken away.
	believed = time.Minute
	// refused is how long an account that was just given the right may be told that it has none.
	refused = 10 * time.Second
	// reviewTime is how long the API server may take for one answer.
	reviewTime = 10 * time.Second
	// reviews is how many readers a second the API server is asked about, at most: whoever reaches the port can make up
	// tokens. Those who are known need no review, and are not forgotten over strangers (remembered).
	reviews = 10
	// remembered is for more answers than there can be reviews while one is believed.
	remembered = 1024
)

// metricsPath is what a reader must have the right to get.
const metricsPath = "/metrics"

// readers finds out who may read the metrics, by asking the API server: to whom a token belongs (TokenReview), and whether that
// account may get metricsPath (SubjectAccessReview).
type readers struct {
	tokens authenticationclient.TokenReviewInterface
	access authorizationclient.SubjectAccessReviewInterface
	known  *cache.LRUExpireCache // by the hash of a token, as tokens themselves are not kept: answer
	pace   *rate.Limiter
	clock  clock.PassiveClock
}

// answer is an HTTP status, and what is said with it.
type answer struct {
	status int
	text   string
}

// onlyReaders is a server.Options.FilterProvider.
func onlyReaders(config *rest.Config, client *http.Client) (server.Filter, error) {
	tokens, err := authenticationclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	access, err := authorizationclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	return newReaders(tokens.TokenReviews(), access.SubjectAccessReviews(), clock.RealClock{}).filter, nil
}

func newReaders(tokens authenticationclient.TokenReviewInterface, access authorizationclient.SubjectAccessReviewInterface, clock clock.PassiveClock) *readers {
	return &readers{tokens: tokens, access: access, known: cache.NewLRUExpireCacheWithClock(remembered, clock), pace: rate.NewLimiter(reviews, reviews), clock: clock}
}

// filter is a server.Filter: what it returns lets those through to handler who may.
func (r *readers) filter(log logr.Logger, handler http.Handler) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		got, err := r.may(req)
		if err != nil {
			log.Error(err, "who asks for metrics can't be found out")
		}
		switch got.status {
		case http.StatusOK:
			handler.ServeHTTP(w, req)
			return
		case http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", "Bearer") // RFC 9110, section 11.6.1
		case http.StatusMethodNotAllowed:
			w.Header().Set("Allow", http.MethodGet)
		}
		http.Error(w, got.text, got.status)
	}), nil
}

// may answers a request. What could not be found out is no answer that is kept.
func (r *readers) may(req *http.Request) (answer, error) {
	if req.Method != http.MethodGet {
		return answer{http.StatusMethodNotAllowed, "metrics can be read, by GET, and nothing else"}, nil
	}
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" { // RFC 6750, section 2.1
		return answer{http.StatusUnauthorized, "show the token of an account of the cluster: Authorization: Bearer TOKEN"}, nil
	}
	hash := sha256.Sum256([]byte(token))
	if got, ok := r.known.Get(hash); ok {
		return got.(answer), nil
	}
	if !r.pace.AllowN(r.clock.Now(), 1) {
		return answer{http.StatusTooManyRequests, "too many that nothing is known of ask at the same time: ask again"}, nil
	}
	ctx, cancel := context.WithTimeout(req.Context(), reviewTime)
	defer cancel()
	got, err := r.review(ctx, token)
	if err != nil {
		return answer{http.StatusServiceUnavailable, "the API server does not say who asks: ask again"}, err
	}
	lasts := refused
	if got.status == http.StatusOK {
		lasts = believed
	}
	r.known.Add(hash, got, lasts)
	return got, nil
}

func (r *readers) review(ctx context.Context, token string) (answer, error) {
	owner, err := r.tokens.Create(ctx, &authentication.TokenReview{Spec: authentication.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return answer{}, fmt.Errorf("TokenReview: %w", err)
	}
	if !owner.Status.Authenticated {
		return answer{http.StatusUnauthorized, "the API server does not accept the token"}, nil
	}
	user := owner.Status.User
	extra := map[string]authorization.ExtraValue{}
	for key, values := range user.Extra {
		extra[key] = authorization.ExtraValue(values)
	}
	right, err := r.access.Create(ctx, &authorization.SubjectAccessReview{Spec: authorization.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorization.NonResourceAttributes{Path: metricsPath, Verb: "get"},
	}}, metav1.CreateOptions{})
	if err != nil {
		return answer{}, fmt.Errorf("SubjectAccessReview of %s: %w", user.Username, err)
	}
	if !right.Status.Allowed || right.Status.Denied {
		return answer{http.StatusForbidden, fmt.Sprintf("%s may not get %s: bind it to a role with that among its nonResourceURLs", user.Username, metricsPath)}, nil
	}
	return answer{status: http.StatusOK}, nil
}
