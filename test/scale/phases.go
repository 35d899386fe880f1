package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// domain is the i-th one.
func domain(i int) string { return fmt.Sprintf("d%05d.%s", i, apex) }

// mailDomain asks for five TXT records: SPF, one for each of the two DKIM keys that are made where spec names none (rsa of
// 2048 bits, and ed25519), DMARC and TLS-RPT. The registry record comes on top.
func mailDomain(i int) *v1alpha1.MailDomain {
	return &v1alpha1.MailDomain{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("d%05d", i)},
		Spec: v1alpha1.MailDomainSpec{
			Domain: domain(i),
			DNS:    &v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: v1alpha1.KindDNSProvider, Name: "dns"}},
			SPF:    &v1alpha1.SPFSpec{Mechanisms: []string{"ip4:192.0.2.0/24"}, All: v1alpha1.SPFFail},
			DKIM:   &v1alpha1.DKIMSpec{},
			DMARC:  &v1alpha1.DMARCSpec{Policy: v1alpha1.DMARCReject, RUA: []string{"mailto:dmarc@" + domain(i)}},
			TLSRPT: &v1alpha1.TLSRPTSpec{RUA: []string{"mailto:tls@" + domain(i)}},
		},
	}
}

// creators is how many MailDomains the harness creates at the same time.
const creators = 8

// applied is what came of creating all MailDomains at once.
type applied struct {
	Seconds float64 `json:"seconds"` // from the first to be created to the last to be Ready
	P50     float64 `json:"p50"`     // seconds of one domain, from its creation to Ready
	P99     float64 `json:"p99"`
	spent
	Bound float64 `json:"boundSeconds"` // that the calls of the provider's API take at the operator's pace, if nothing else takes time
	RSS   float64 `json:"rssMiB"`       // of the operator, at its most
}

// apply creates all MailDomains and waits until each is Ready: published, and proven by DNS.
func (s *stage) apply(ctx context.Context) (a applied, err error) {
	if err := s.startOperator(ctx); err != nil {
		return a, err
	}
	before, err := s.read(ctx)
	if err != nil {
		return a, err
	}
	profiled := make(chan error, 1)
	began := time.Now()
	go func() { profiled <- s.profileAll(ctx, "apply", 15) }()
	created, ready, err := s.createAll(ctx)
	if err != nil {
		return a, err
	}
	a.Seconds = time.Since(began).Seconds()
	after, err := s.read(ctx)
	if err != nil {
		return a, err
	}
	if err := errors.Join(<-profiled, s.profile("apply-heap.pprof", "heap")); err != nil {
		return a, err
	}
	a.spent = after.since(before)
	a.Bound = s.host.bound(total(a.Calls))
	if _, a.RSS, err = memory(s.operator.pid()); err != nil {
		return a, err
	}
	var took []float64
	for name, at := range ready {
		took = append(took, at.Sub(created[name]).Seconds())
	}
	slices.Sort(took)
	a.P50, a.P99 = took[len(took)/2], took[len(took)*99/100]
	return a, nil
}

// createAll returns when each MailDomain was created and when it was seen to be Ready.
func (s *stage) createAll(ctx context.Context) (created, ready map[string]time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience+time.Duration(s.domains)*time.Second)
	defer cancel()
	events, err := s.api.Watch(ctx, &v1alpha1.MailDomainList{}, client.InNamespace(namespace))
	if err != nil {
		return nil, nil, err
	}
	defer events.Stop()
	times := make([]time.Time, s.domains)
	creation, creating := errgroup.WithContext(ctx)
	creation.SetLimit(creators)
	failed := make(chan error, 1)
	go func() {
		for i := range s.domains {
			creation.Go(func() error {
				times[i] = time.Now()
				return s.api.Create(creating, mailDomain(i))
			})
		}
		failed <- creation.Wait()
	}()
	ready = map[string]time.Time{}
	latest := map[string]*v1alpha1.MailDomain{}
	for done := false; !done || len(ready) < s.domains; {
		select {
		case err := <-failed:
			if err != nil {
				return nil, nil, err
			}
			done = true
		case event, ok := <-events.ResultChan():
			md, is := event.Object.(*v1alpha1.MailDomain)
			if !ok || event.Type == watch.Error || !is {
				return nil, nil, fmt.Errorf("the watch has ended, with %d of %d Ready%s", len(ready), s.domains, stuck(latest))
			}
			if _, there := ready[md.Name]; there {
				break
			}
			if latest[md.Name] = md; meta.IsStatusConditionTrue(md.Status.Conditions, v1alpha1.ConditionReady) {
				ready[md.Name] = time.Now()
				delete(latest, md.Name)
			}
		}
	}
	created = map[string]time.Time{}
	for i, at := range times {
		created[mailDomain(i).Name] = at
	}
	return created, ready, nil
}

// stuck shows the conditions of one that is not Ready.
func stuck(latest map[string]*v1alpha1.MailDomain) (text string) {
	for _, name := range slices.Sorted(maps.Keys(latest))[:min(1, len(latest))] {
		text = "; " + name
		for _, c := range latest[name].Status.Conditions {
			text += fmt.Sprintf("\n%s %s %s: %s", c.Type, c.Status, c.Reason, c.Message)
		}
	}
	return text
}

// restarted is what a new process does that finds everything as it should be.
type restarted struct {
	Seconds float64 `json:"seconds"` // from the start of the process until each domain was looked at once
	spent
	RSS float64 `json:"rssMiB"`
}

// restart stops the operator and starts it again, with drift checks as often as steady needs them.
func (s *stage) restart(ctx context.Context) (r restarted, err error) {
	if err := s.stopOperator(); err != nil {
		return r, err
	}
	began := time.Now()
	if err := s.startOperator(ctx, "--drift-check", s.interval().String()); err != nil {
		return r, err
	}
	// The first reading of a new process has what it did before: a reading of nothing of the operator's own is what to compare with.
	before, err := s.read(ctx)
	if err != nil {
		return r, err
	}
	before.passes, before.checks, before.cpu["operator"] = 0, 0, 0
	profiled := make(chan error, 1)
	go func() { profiled <- s.profileAll(ctx, "restart", max(1, min(s.domains/250, 30))) }()
	after, err := s.readAfter(ctx, func(p progress) float64 { return float64(s.domains) - p.passes })
	if err != nil {
		return r, err
	}
	r.Seconds = time.Since(began).Seconds()
	r.spent = after.since(before)
	_, r.RSS, err = memory(s.operator.pid())
	return r, errors.Join(err, <-profiled)
}

// interval is that of the drift checks in the steady state, so that a run need not last for hours: 20 a second.
func (s *stage) interval() time.Duration {
	return max(10*time.Second, time.Duration(s.domains)*time.Second/20)
}

// readAfter reads the meters when nothing is left to be done, and nothing waits. For each look the operator goes through all of its
// MailDomains, to count them, which is not to be what is measured: the next look is when half of what is left should be done.
func (s *stage) readAfter(ctx context.Context, left func(progress) float64) (reading, error) {
	ctx, cancel := context.WithTimeout(ctx, patience+2*s.interval())
	defer cancel()
	var first, began = 0.0, time.Now()
	for {
		p, err := s.operator.progress()
		if err != nil {
			return reading{}, err
		}
		rest := left(p)
		if rest <= 0 && p.waiting == 0 {
			return s.read(ctx)
		}
		first = max(first, rest)
		select {
		case <-time.After(halfTime(time.Since(began), first-rest, rest)):
		case <-ctx.Done():
			return reading{}, ctx.Err()
		}
	}
}

// halfTime is how long half of the rest will take at the pace so far, between half a second and ten.
func halfTime(elapsed time.Duration, done, rest float64) time.Duration {
	const least, most = 500 * time.Millisecond, 10 * time.Second
	if done <= 0 {
		return least
	}
	return min(max(time.Duration(float64(elapsed)*rest/done/2), least), most)
}

// steady looks at the operator while nothing happens but drift checks, for one interval. Its own looks are no more than they must be, as
// each has the operator tell all of its metrics.
func (s *stage) steady(ctx context.Context) (d spent, err error) {
	before, err := s.read(ctx)
	if err != nil {
		return d, err
	}
	profiled := make(chan error, 1)
	go func() {
		profiled <- s.profile("steady.pprof", fmt.Sprintf("profile?seconds=%d", int(s.interval().Seconds())))
	}()
	select {
	case <-time.After(s.interval()):
	case <-ctx.Done():
	}
	after, err := s.readAfter(ctx, func(p progress) float64 { return before.checks + float64(s.domains) - p.checks })
	if err != nil {
		return d, err
	}
	return after.since(before), errors.Join(<-profiled, s.profile("steady-heap.pprof", "heap"))
}

// foreign is what Secrets of others cost.
type foreign struct {
	Secrets int     `json:"secrets"`
	RSS     float64 `json:"rssMiB"` // at the most, of a process that starts without them and looks at each domain once
	More    float64 `json:"moreMiB"`
}

const foreignSize = 100 << 10

// beside compares a process that starts in a cluster full of Secrets with one that started before they were there.
func (s *stage) beside(ctx context.Context) (f foreign, err error) {
	f.Secrets = s.foreign
	if f.Secrets == 0 {
		return f, nil
	}
	without, err := s.restart(ctx)
	if err != nil {
		return f, err
	}
	content := make([]byte, foreignSize)
	creation, creating := errgroup.WithContext(ctx)
	creation.SetLimit(creators)
	for i := range f.Secrets {
		creation.Go(func() error {
			return s.api.Create(creating, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("foreign-%05d", i), Labels: map[string]string{"app.kubernetes.io/name": "something"}},
				Data:       map[string][]byte{"content": content},
			})
		})
	}
	if err := creation.Wait(); err != nil {
		return f, err
	}
	with, err := s.restart(ctx)
	f.RSS, f.More = without.RSS, with.RSS-without.RSS
	return f, err
}
