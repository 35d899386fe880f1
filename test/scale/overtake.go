package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// always is a time between drift checks in which no machine looks at each domain: all are due all the time.
const always = time.Millisecond

// changes is how many MailDomains change: a few dozen, and more of many.
func (s *stage) changes() int { return min(s.domains, 50+s.domains/50) }

// between is the time between two changes. Each takes three calls of a provider's API, and what is measured is not how long they wait
// for each other.
func (s *stage) between() time.Duration {
	shortest := 200 * time.Millisecond
	if s.host.rate == 0 {
		return shortest
	}
	return max(shortest, time.Duration(3.6/float64(s.host.rate)*float64(time.Second)))
}

// overtaken is how soon a change is in DNS while drift checks of all domains are due.
type overtaken struct {
	Changes int     `json:"changes"`
	Waiting float64 `json:"waiting"` // drift checks in the queue, mean
	P50     float64 `json:"p50"`     // seconds from the API server's answer until the name server serves the record
	P99     float64 `json:"p99"`
	Most    float64 `json:"max"`
}

// overtake starts the operator with drift checks that are due again as soon as they are made, and changes MailDomains, one after
// another, wherever they are in the queue.
func (s *stage) overtake(ctx context.Context) (o overtaken, err error) {
	if err := s.stopOperator(); err != nil {
		return o, err
	}
	if err := s.startOperator(ctx, "--resync", always.String()); err != nil {
		return o, err
	}
	if err := until(ctx, patience+2*s.interval(), func() (bool, error) { // each looked at once: what a start takes is over
		done, err := s.operator.progress()
		return done.passes >= float64(s.domains), err
	}); err != nil {
		return o, err
	}
	took := make([]float64, s.changes())
	group, changing := errgroup.WithContext(ctx)
	tick := time.NewTicker(s.between())
	defer tick.Stop()
	var waited float64
	for n := range took {
		group.Go(func() (err error) {
			took[n], err = s.change(changing, n*s.domains/len(took))
			return err
		})
		done, err := s.operator.progress()
		if err != nil {
			return o, errors.Join(err, group.Wait())
		}
		waited += done.waiting
		select {
		case <-tick.C:
		case <-changing.Done():
		}
	}
	if err := group.Wait(); err != nil {
		return o, err
	}
	slices.Sort(took)
	o.Changes, o.Waiting = len(took), waited/float64(len(took))
	o.P50, o.P99, o.Most = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	return o, nil
}

// change has another address get the domain's TLS reports, and returns how many seconds after the API server's answer the name server
// says so too.
func (s *stage) change(ctx context.Context, i int) (seconds float64, err error) {
	const address = "mailto:other@scale.example"
	md := &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: mailDomain(i).Name}}
	patch := fmt.Sprintf(`{"spec": {"tlsRPT": {"rua": [%q]}}}`, address)
	if err := s.api.Patch(ctx, md, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return 0, err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if slices.Contains(s.dns.TXT("_smtp._tls."+domain(i)), "v=TLSRPTv1; rua="+address) {
			return time.Since(began).Seconds(), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("the change of %s is not in DNS: %w", md.Name, context.Cause(ctx))
		}
	}
}
