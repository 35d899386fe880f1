package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

// A soak is weeks of a cluster's life in minutes: MailDomains are created, changed, rotated and deleted, the name server fails in every
// way that it knows, and the operator's process is stopped and killed. It has its last life from half of the time on, which is where
// memory and goroutines are compared: once it has looked at every domain, and when all is over and quiet.
const (
	calm       = 20 * time.Second // between two faults
	faulty     = 10 * time.Second // how long one lasts
	life       = 90 * time.Second // of a process, before its last one
	operations = 5                // a second

	// What the last process may have more in the end than when it was warm: goroutines of connections that are kept, and what the
	// collector has not come to yet.
	moreGoroutines = 30
	moreMemory     = 1.25
)

var faults = []dnsserver.Fault{
	{DropQueries: true}, {ServFail: true}, {Lame: true}, {TruncateUDP: true}, {Unsigned: true},
	{RefuseUpdates: true}, {DropUpdates: true}, {LoseUpdates: true}, {MuteUpdates: true},
}

// soaking is a soak under way.
type soaking struct {
	*stage
	chance *rand.Rand
	wanted map[int]v1alpha1.MailDomainSpec // of the MailDomains that are there, by number
	soaked
}

// soaked is what came of it.
type soaked struct {
	Seed        uint64         `json:"seed"`
	Operations  map[string]int `json:"operations"`
	Faults      int            `json:"faults"`
	Processes   int            `json:"processes"`
	Warm, Quiet size
}

// size is how big the operator's process is.
type size struct {
	Goroutines float64 `json:"goroutines"`
	Heap       float64 `json:"heapMiB"` // in use, after a collection
	RSS        float64 `json:"rssMiB"`
}

func soak(ctx context.Context, s *stage, long time.Duration, seed uint64) (soaked, error) {
	k := &soaking{stage: s, chance: rand.New(rand.NewPCG(seed, 0)), wanted: map[int]v1alpha1.MailDomainSpec{}, soaked: soaked{Seed: seed, Operations: map[string]int{}}}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"the first MailDomains", k.begin},
		{"many lives", func(ctx context.Context) error { return k.lives(ctx, long/2) }},
		{"the last life", func(ctx context.Context) error { return k.lastLife(ctx, long/2) }},
		{"the end of all changes", k.settle},
		{"what stands in the end", k.judge},
	} {
		if err := step.do(ctx); err != nil {
			return k.soaked, fmt.Errorf("%s (-seed %d): %w", step.what, seed, err)
		}
	}
	return k.soaked, nil
}

// begin has a text of somebody else at each domain, a provider through which deletions come to their end, and all MailDomains.
func (k *soaking) begin(ctx context.Context) error {
	for i := range k.domains {
		if err := k.dns.SetTXT(domain(i), foreignText(i)); err != nil {
			return err
		}
	}
	tsig := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "tsig"}, StringData: map[string]string{"secret": tsigSecret}}
	provider := &v1alpha1.ClusterDNSProvider{ObjectMeta: metav1.ObjectMeta{Name: "dns"}, Spec: v1alpha1.ClusterDNSProviderSpec{
		DNSProviderSpec: v1alpha1.DNSProviderSpec{
			Domains: []string{apex},
			RFC2136: &v1alpha1.RFC2136Provider{Server: k.dns.Addr(), TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}},
		},
		Grants: []v1alpha1.Grant{{NamespaceSelector: &metav1.LabelSelector{}, Domains: []string{apex}}},
	}}
	if err := errors.Join(k.api.Create(ctx, tsig), k.api.Create(ctx, provider)); err != nil {
		return err
	}
	if err := k.live(ctx); err != nil {
		return err
	}
	for i := range k.domains {
		if err := k.create(ctx, i); err != nil {
			return err
		}
	}
	return k.allReady(ctx)
}

func foreignText(i int) string { return fmt.Sprintf("a text of somebody else, number %d", i) }

// live starts a process of the operator.
func (k *soaking) live(ctx context.Context) error {
	k.Processes++
	return k.startOperator(ctx, "--drift-check", "20s", "--resync", "2m", "--poll", "1s", "--provider-timeout", "2s", "--deletion-grace", "10s")
}

// lives has processes follow each other, which are stopped and killed in turn.
func (k *soaking) lives(ctx context.Context, long time.Duration) error {
	for end := time.Now().Add(long); time.Now().Before(end); {
		if err := k.churn(ctx, min(life, time.Until(end))); err != nil {
			return err
		}
		if k.Processes%2 == 0 {
			if err := k.stopOperator(); err != nil {
				return err
			}
		} else if err := k.killOperator(); err != nil {
			return err
		}
		if err := k.live(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (k *soaking) killOperator() error {
	o := k.operator
	k.operator = nil
	err := o.process.Process.Signal(syscall.SIGKILL)
	_ = o.process.Wait() // says that it was killed
	return errors.Join(err, o.log.Close())
}

// lastLife measures the process when it has looked at every domain, and goes on.
func (k *soaking) lastLife(ctx context.Context, long time.Duration) (err error) {
	began := time.Now()
	if err := k.churn(ctx, long/5); err != nil {
		return err
	}
	if k.Warm, err = k.size("warm"); err != nil {
		return err
	}
	return k.churn(ctx, long-time.Since(began))
}

// churn does to MailDomains what their owners do, and to the name server what happens to one.
func (k *soaking) churn(ctx context.Context, long time.Duration) error {
	defer k.dns.Fault(dnsserver.Fault{})
	tick := time.NewTicker(time.Second / operations)
	defer tick.Stop()
	next, failing := time.Now().Add(calm), false
	for end := time.Now().Add(long); time.Now().Before(end); {
		if now := time.Now(); now.After(next) {
			fault := dnsserver.Fault{}
			next = now.Add(calm)
			if failing = !failing; failing {
				fault, next = faults[k.Faults%len(faults)], now.Add(faulty)
				k.Faults++
			}
			k.dns.Fault(fault)
		}
		if err := k.operate(ctx, k.chance.IntN(k.domains)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// operate does one thing to a MailDomain.
func (k *soaking) operate(ctx context.Context, i int) error {
	if _, there := k.wanted[i]; !there {
		return k.create(ctx, i)
	}
	switch k.chance.IntN(10) {
	case 0, 1:
		k.Operations["deleted"]++
		delete(k.wanted, i)
		return k.api.Delete(ctx, named(i))
	case 2:
		k.Operations["rotated"]++
		return k.patch(ctx, i, map[string]any{"metadata": map[string]any{"annotations": map[string]string{v1alpha1.AnnotationRotate: fmt.Sprint(k.chance.Uint64())}}})
	default:
		k.Operations["changed"]++
		spec := k.spec(i)
		k.wanted[i] = spec
		return k.patch(ctx, i, map[string]any{"spec": spec})
	}
}

func named(i int) *v1alpha1.MailDomain {
	md := mailDomain(i)
	md.Spec = v1alpha1.MailDomainSpec{}
	return md
}

func (k *soaking) create(ctx context.Context, i int) error {
	md := named(i)
	md.Spec = k.spec(i)
	err := k.api.Create(ctx, md)
	if apierrors.IsAlreadyExists(err) {
		return nil // the deleted one is not gone yet
	}
	k.Operations["created"]++
	k.wanted[i] = md.Spec
	return err
}

func (k *soaking) patch(ctx context.Context, i int, patch any) error {
	text, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	return k.api.Patch(ctx, named(i), client.RawPatch(types.MergePatchType, text))
}

// spec is one that the domain's owner may want. Each section is there, so that a merge patch says all of it.
func (k *soaking) spec(i int) v1alpha1.MailDomainSpec {
	one := func(choices ...string) string { return choices[k.chance.IntN(len(choices))] }
	return v1alpha1.MailDomainSpec{
		Domain: domain(i),
		DNS: &v1alpha1.DNSSpec{
			ProviderRef:    &v1alpha1.ProviderRef{Kind: v1alpha1.KindClusterDNSProvider, Name: "dns"},
			DeletionPolicy: v1alpha1.DeletionDelete,
		},
		SPF:    &v1alpha1.SPFSpec{Mechanisms: []string{fmt.Sprintf("ip4:192.0.2.%d", k.chance.IntN(256))}, All: v1alpha1.SPFQualifier(one("fail", "softfail"))},
		DKIM:   &v1alpha1.DKIMSpec{Keys: []v1alpha1.DKIMKey{{Name: "ed25519", Algorithm: v1alpha1.DKIMEd25519}}},
		DMARC:  &v1alpha1.DMARCSpec{Policy: v1alpha1.DMARCPolicy(one("none", "quarantine", "reject")), RUA: []string{fmt.Sprintf("mailto:dmarc-%d@%s", k.chance.IntN(10), domain(i))}},
		TLSRPT: &v1alpha1.TLSRPTSpec{RUA: []string{fmt.Sprintf("mailto:tls-%d@%s", k.chance.IntN(10), domain(i))}},
	}
}

// settle waits until what is wanted is there, and what is not is gone.
func (k *soaking) settle(ctx context.Context) (err error) {
	if err := k.allReady(ctx); err != nil {
		return err
	}
	if err := until(ctx, patience, func() (bool, error) {
		done, err := k.operator.progress()
		return done.waiting == 0, err
	}); err != nil {
		return fmt.Errorf("its queue: %w", err)
	}
	if err := until(ctx, patience, func() (bool, error) { return k.zone() == nil, nil }); err != nil { // tombstones come again in their own time
		return fmt.Errorf("the zone: %w", errors.Join(err, k.zone()))
	}
	k.Quiet, err = k.size("quiet")
	return err
}

func (k *soaking) allReady(ctx context.Context) error {
	var wrong []string
	err := until(ctx, patience+time.Duration(k.domains)*time.Second, func() (bool, error) {
		var list v1alpha1.MailDomainList
		if err := k.api.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return false, err
		}
		wrong = nil
		for i := range list.Items {
			md := &list.Items[i]
			ready := meta.FindStatusCondition(md.Status.Conditions, v1alpha1.ConditionReady)
			switch {
			case !md.DeletionTimestamp.IsZero():
				wrong = append(wrong, fmt.Sprintf("%s is deleted, and not gone: finalizers %s", md.Name, strings.Join(md.Finalizers, ", ")))
			case ready == nil || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration != md.Generation:
				wrong = append(wrong, fmt.Sprintf("%s is not ready:%s", md.Name, stuck(map[string]*v1alpha1.MailDomain{md.Name: md})))
			}
		}
		return len(wrong) == 0 && len(list.Items) == len(k.wanted), nil
	})
	if err != nil && len(wrong) > 0 {
		return fmt.Errorf("%w: %d are wrong; %s", err, len(wrong), wrong[0])
	}
	return err
}

// size reads how big the process is, after it has collected its garbage.
func (k *soaking) size(when string) (z size, err error) {
	for range 2 { // of which the first leaves what pools hold
		response, err := http.Get(k.operator.profiles + "heap?gc=1") // the profile is nothing to us
		if err != nil {
			return z, err
		}
		if err := response.Body.Close(); err != nil {
			return z, err
		}
	}
	if err := k.profile("soak-"+when+".pprof", "heap"); err != nil {
		return z, err
	}
	response, err := http.Get(k.operator.metrics)
	if err != nil {
		return z, err
	}
	defer response.Body.Close()
	families, err := parse(response.Body)
	if err != nil {
		return z, err
	}
	z.Goroutines, z.Heap = gaugeOf(families["go_goroutines"]), gaugeOf(families["go_memstats_heap_alloc_bytes"])/(1<<20)
	z.RSS, _, err = memory(k.operator.pid())
	return z, err
}

func gaugeOf(family *dto.MetricFamily) (value float64) {
	for _, metric := range family.GetMetric() {
		value += metric.GetGauge().GetValue()
	}
	return value
}

// table is what a person reads.
func (s soaked) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Seed %d: %d created, %d changed, %d rotated, %d deleted; %d faults of the name server; %d processes\n",
		s.Seed, s.Operations["created"], s.Operations["changed"], s.Operations["rotated"], s.Operations["deleted"], s.Faults, s.Processes)
	fmt.Fprintf(&b, "The last process, warm: %.0f goroutines, heap %.0f MiB, RSS %.0f MiB; quiet: %.0f, %.0f, %.0f\n",
		s.Warm.Goroutines, s.Warm.Heap, s.Warm.RSS, s.Quiet.Goroutines, s.Quiet.Heap, s.Quiet.RSS)
	return b.String()
}
