package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/lease"
)

// leaderFlags are how replicas agree on which of them writes. The names are those of Kubernetes' own components.
type leaderFlags struct {
	elect   bool
	timings lease.Timings
}

func (f *leaderFlags) register(set *flag.FlagSet) {
	set.BoolVar(&f.elect, "leader-elect", false, "of several replicas let one write")
	set.DurationVar(&f.timings.Duration, "leader-elect-lease-duration", lease.Default.Duration, "`time` after which another replica takes over from a leader that is silent; whole seconds")
	set.DurationVar(&f.timings.RenewDeadline, "leader-elect-renew-deadline", lease.Default.RenewDeadline, "`time` that a leader tries to renew its lease before it ends; a write to the API server may take half of it")
	set.DurationVar(&f.timings.RetryPeriod, "leader-elect-retry-period", lease.Default.RetryPeriod, "`time` between tries to get or renew the lease")
}

// check: providerTimeout is that of one call to a DNS provider, and a module may take its grace on top.
func (f *leaderFlags) check(providerTimeout time.Duration) error {
	if !f.elect {
		return nil
	}
	if err := f.timings.Check(); err != nil {
		return err
	}
	if most := f.timings.Longest() - dnsprovider.LibdnsGrace; providerTimeout > most {
		return fmt.Errorf("--provider-timeout is %s, and with a lease of %s (--leader-elect-lease-duration) it may be %s at the most: a call is made only if the lease outlasts it", providerTimeout, f.timings.Duration, most)
	}
	return nil
}

// leaseName is that of the Lease in the operator's namespace.
const leaseName = "maildomain-operator"

// election is one replica's part in it. The zero value is that of a process without others.
type election struct {
	guard *lease.Guard
	lock  resourcelock.Interface
	stop  func() // no more Events are sent
}

// newElection prepares the election; with --leader-elect alone, else there is none.
func (f *leaderFlags) newElection(cluster *rest.Config, namespace string, scheme *runtime.Scheme, now func() time.Time) (election, error) {
	if !f.elect {
		return election{stop: func() {}}, nil
	}
	cluster = rest.AddUserAgent(cluster, "leader-election")
	cluster.Timeout = f.timings.Call() // one request that hangs does not cost the lease
	api, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		return election{}, err
	}
	host, err := os.Hostname()
	if err != nil {
		return election{}, err
	}
	identity := host + "_" + string(uuid.NewUUID())
	events := record.NewBroadcaster()
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: api.CoreV1().Events(namespace)})
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, namespace, leaseName, api.CoreV1(), api.CoordinationV1(), resourcelock.ResourceLockConfig{
		Identity: identity, EventRecorder: events.NewRecorder(scheme, corev1.EventSource{Component: identity}),
	})
	if err != nil {
		return election{}, err
	}
	guard := lease.NewGuard(f.timings.Duration, now)
	return election{guard: guard, lock: guard.Lock(lock), stop: events.Shutdown}, nil
}

// writer makes the client that the controllers write with: each write to the API server asks for the lease.
func (f *leaderFlags) writer(guard *lease.Guard) client.NewClientFunc {
	if guard == nil {
		return client.New
	}
	return func(cluster *rest.Config, options client.Options) (client.Client, error) {
		cluster = rest.CopyConfig(cluster)
		cluster.Wrap(guard.Writes(f.timings.Call()))
		options.HTTPClient = nil // the one that is there knows of no lease
		return client.New(cluster, options)
	}
}
