package main

import (
	"fmt"

	"golang.org/x/time/rate"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/fakes/cloudflare"
	"github.com/maildomain/maildomain-operator/test/fakes/route53"
)

// host is who hosts the zones, and takes the operator's changes. Whoever it is, the in-tree name server serves what comes of them.
type host struct {
	spec   v1alpha1.DNSProviderSpec
	secret map[string]string // what spec refers to, in the Secret "dns"
	calls  func() calls      // of its API, up to now
	pace                     // which the operator keeps to where spec says nothing of it, see docs/providers.md
}

// pace is how many calls may be made; with a rate of 0, as many as one likes.
type pace struct {
	rate  rate.Limit // a second
	burst int        // at once, after a rest
}

// bound is how many seconds so many calls take at the least.
func (p pace) bound(calls float64) (seconds float64) {
	if p.rate == 0 {
		return 0
	}
	return max(0, calls-float64(p.burst)) / float64(p.rate)
}

// calls are those of an API.
type calls struct {
	ByKind  map[string]float64
	Refused float64 // of them, because there were too many
}

// hosts are the types of provider that a run can be about.
var hosts = map[string]func(*stage) (host, error){
	"rfc2136":    (*stage).onItself,
	"cloudflare": (*stage).atCloudflare,
	"route53":    (*stage).atRoute53,
}

// onItself has the name server take the changes. It has no API, and no limit.
func (s *stage) onItself() (host, error) {
	return host{
		spec: v1alpha1.DNSProviderSpec{RFC2136: &v1alpha1.RFC2136Provider{
			Server: s.dns.Addr(), TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: credential("secret")},
		}},
		secret: map[string]string{"secret": tsigSecret},
		calls:  func() calls { return calls{} },
	}, nil
}

// atCloudflare has the strict fake of its API, which allows 1200 calls in 5 minutes.
func (s *stage) atCloudflare() (host, error) {
	fake := cloudflare.Start(cloudflare.Config{})
	s.stops = append(s.stops, func() error { fake.Close(); return nil })
	var ids []string
	for _, apex := range s.apexes() {
		ids = append(ids, fake.AddZone(apex))
	}
	fake.AddToken("scale", ids...)
	fake.Serve(s.dns)
	return host{
		spec:   v1alpha1.DNSProviderSpec{Endpoint: fake.Endpoint(), Cloudflare: &v1alpha1.CloudflareProvider{APITokenSecretRef: credential("token")}},
		secret: map[string]string{"token": "scale"},
		calls: func() calls {
			c := fake.Calls()
			return calls{map[string]float64{"zones": float64(c.Zones), "lists": float64(c.Lists), "batches": float64(c.Batches), "others": float64(c.Others)}, float64(fake.Limited())}
		},
		pace: pace{0.7 * 1200 / 300, 50},
	}, nil
}

// atRoute53 has the strict fake of its API, which allows 10 calls a second, and 50 at once.
func (s *stage) atRoute53() (host, error) {
	fake, err := route53.Start(route53.Config{Keys: map[string]string{"AKIASCALE": "scale"}, Limited: true, OneAtATime: true})
	if err != nil {
		return host{}, err
	}
	s.stops = append(s.stops, fake.Close)
	for i, apex := range s.apexes() {
		id := fmt.Sprintf("Z%d", i)
		if err := fake.AddZone(id, apex); err != nil {
			return host{}, err
		}
		if err := fake.Serve(id, s.dns); err != nil {
			return host{}, err
		}
	}
	return host{
		spec:   v1alpha1.DNSProviderSpec{Endpoint: fake.URL(), Route53: &v1alpha1.Route53Provider{AccessKeyIDSecretRef: credential("id"), SecretAccessKeySecretRef: credential("secret")}},
		secret: map[string]string{"id": "AKIASCALE", "secret": "scale"},
		calls: func() calls {
			c := calls{map[string]float64{}, float64(fake.Limited())}
			for _, kind := range []string{route53.ListHostedZonesByName, route53.ListResourceRecordSets, route53.ChangeResourceRecordSets} {
				c.ByKind[kind] = float64(fake.Calls(kind))
			}
			return c
		},
		pace: pace{0.7 * 10, 35},
	}, nil
}

func credential(key string) *v1alpha1.SecretKeyRef {
	return &v1alpha1.SecretKeyRef{Name: "dns", Key: key}
}

// apexes are those of all zones: the one, and with a zone for each domain those below it.
func (s *stage) apexes() []string {
	zones := []string{apex}
	if s.zones == zoneEach {
		for i := range s.domains {
			zones = append(zones, domain(i))
		}
	}
	return zones
}
