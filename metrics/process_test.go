package metrics

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
)

func none() int { return 0 }

func TestProcess(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	leads := false
	p := NewProcess(registry, func() int { return 7 }, func() bool { return leads })
	limited := &dnsprovider.Error{Kind: dnsprovider.RateLimited}
	p.Called("cloudflare")
	p.Operated("cloudflare", "read", 200*time.Millisecond, []error{nil, limited, fmt.Errorf("again: %w", limited), &dnsprovider.Error{Kind: dnsprovider.Refused}})
	p.Operated("cloudflare", "apply", 2*time.Second, []error{nil})
	p.Operated("route53", "apply", time.Second, []error{errors.New("a mistake of ours")})
	p.Drifted(v1alpha1.PurposeSPF)
	p.Repaired(v1alpha1.PurposeSPF)
	p.Verified(20 * time.Second)
	p.Left(3)
	leads = true
	got, err := samples(registry)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`maildomain_dkim_keys_ready{} 7`,
		`maildomain_leader{} 1`,
		`maildomain_provider_calls_total{type="cloudflare"} 1`,
		`maildomain_provider_errors_total{kind="Other",type="route53"} 1`,
		`maildomain_provider_errors_total{kind="RateLimited",type="cloudflare"} 1`,
		`maildomain_provider_errors_total{kind="Refused",type="cloudflare"} 1`,
		`maildomain_provider_operation_seconds{operation="apply",type="cloudflare"} 1 in 2s`,
		`maildomain_provider_operation_seconds{operation="apply",type="route53"} 1 in 1s`,
		`maildomain_provider_operation_seconds{operation="read",type="cloudflare"} 1 in 0.2s`,
		`maildomain_record_verification_seconds{} 1 in 20s`,
		`maildomain_records_left_total{} 3`,
	}
	for _, metric := range []string{"drifted", "repaired"} {
		for _, purpose := range purposes {
			want = append(want, fmt.Sprintf("maildomain_records_%s_total{purpose=%q} %d", metric, purpose, map[bool]int{true: 1}[purpose == v1alpha1.PurposeSPF]))
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// pacedZone makes one call for each read.
type pacedZone struct {
	dnsprovider.Zone
	transport http.RoundTripper
}

func (z pacedZone) Read(ctx context.Context, _ ...dnsprovider.Key) []dnsprovider.Reading {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example", nil)
	if err != nil {
		return []dnsprovider.Reading{{Err: err}}
	}
	response, err := (&http.Client{Transport: z.transport}).Do(request)
	if err != nil {
		return []dnsprovider.Reading{{Err: &dnsprovider.Error{Kind: dnsprovider.KindOf(err), Err: err}}}
	}
	response.Body.Close()
	return []dnsprovider.Reading{{}}
}

type answers struct{}

func (answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
}

// What the operator itself holds back is told apart from what the provider refuses.
func TestHeldBackIsNoRefusal(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	p := NewProcess(registry, none, always)
	pace := dnsprovider.NewPace(0.001, 1, 0, func() time.Time { return time.Unix(0, 0) })
	zone := pace.Zone(pacedZone{transport: pace.Transport(answers{})})
	for range 2 {
		p.Operated("cloudflare", "read", 0, []error{zone.Read(t.Context())[0].Err})
	}
	got, err := samples(registry)
	if err != nil {
		t.Fatal(err)
	}
	got = slices.DeleteFunc(got, func(line string) bool { return !strings.HasPrefix(line, "maildomain_provider_errors_total") })
	if want := []string{`maildomain_provider_errors_total{kind="HeldBack",type="cloudflare"} 1`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
