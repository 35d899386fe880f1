package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/miekg/dns"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/compliance"
	"github.com/maildomain/maildomain-operator/controllers"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/records"
	"github.com/maildomain/maildomain-operator/survey"
)

// managerFlags are the installation's configuration.
type managerFlags struct {
	clusterFlags
	ownerID      string
	resolvers    string
	allowPrivate string
	policyRoots  string
	policyPort   uint
	service      string
	address      string
	trust        bool
	starttls     string
	smtpPort     uint
	dnsPort      uint
	timeout      time.Duration
	poll         time.Duration
	drift        time.Duration
	resync       time.Duration
	grace        time.Duration
	lostKeyGrace time.Duration
	workers      int
	ambient      bool
	leaderFlags

	metricsPerObject bool
}

// managed are the kinds that the manager reads, writes and names in Events: all of Kubernetes' would take a MiB and more.
var managed = []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme, eventsv1.AddToScheme, coordinationv1.AddToScheme}

// operator is what Events are reported by.
const operator = "maildomain-operator"

// readyKeys is how many rsa keys are kept in stock: a tenth of a second and more each, so that a few
// new domains at a time need not wait.
const readyKeys = 16

// mxProbes is how many MX hosts are probed at the same time. A probe mostly waits, for a minute at the most.
const mxProbes = 16

// surveyors is how many domains are surveyed at the same time for their baselines. A survey asks some 40
// questions at once.
const surveyors = 8

// shutdown is how long passes may take to end after SIGTERM. The lease is given back afterwards, and the Pod has 30 s
// for all of it.
const shutdown = 20 * time.Second

// heapGrowth is by how many percent the heap may grow between two collections, where GOGC does not say. Nearly all of it is the caches,
// which have no garbage, so the runtime's 100 would reserve as much again as ten thousand MailDomains take.
const heapGrowth = 50

// standingBy has a replica that waits for the lease fill its caches meanwhile, so that it begins at once.
var standingBy = func() config.Controller {
	c := patient
	c.EnableWarmup = ptr.To(true)
	return c
}()

func parseManagerFlags(args []string, stderr io.Writer) (managerFlags, error) {
	var f managerFlags
	set := flag.NewFlagSet("maildomain manager", flag.ContinueOnError)
	set.SetOutput(stderr)
	f.clusterFlags.register(set)
	set.StringVar(&f.ownerID, "owner-id", "", "`id` of this installation in registry records; another one makes every claim another's, so never change it")
	set.StringVar(&f.resolvers, "resolver", "", "recursive resolvers, `host:port` with commas between them; empty: those of /etc/resolv.conf")
	set.StringVar(&f.allowPrivate, "allow-private-targets", "", "`networks` such as 10.0.0.0/8, with commas between them, that users' name servers and policy hosts may be in although they are not public")
	set.StringVar(&f.policyRoots, "mta-sts-roots", "", "PEM `file` of the authorities that certificates of policy hosts and MX hosts are verified with; empty: the host's")
	set.UintVar(&f.policyPort, "mta-sts-port", 443, "`port` of policy hosts; any other is for trials, as senders use 443")
	set.StringVar(&f.service, "mta-sts-service", "", "`Service` in the operator's namespace that leads to the replicas which serve policies: each is asked before a policy is announced, and mta-sts.<domain> leads to its load balancer; empty: none is, and a human has the names lead there")
	set.StringVar(&f.address, "mta-sts-address", "", "where mta-sts.<domain> leads instead of to the load balancer of --mta-sts-service: one host `name`, or addresses with commas between them")
	set.BoolVar(&f.trust, "mta-sts-trust-replicas", false, "announce what every replica of --mta-sts-service serves, also where no public address of the policy host can be reached from here")
	set.StringVar(&f.starttls, "starttls-probe", "on", "on: probe the hosts of MX records before mode enforce is announced, and once a day; off: don't")
	set.UintVar(&f.smtpPort, "smtp-port", 25, "`port` of MX hosts; any other is for trials")
	set.UintVar(&f.dnsPort, "authoritative-port", 53, "`port` of name servers found by delegation; any other is for trials")
	set.DurationVar(&f.timeout, "provider-timeout", 10*time.Second, "`time` that one call to a DNS provider may take")
	set.DurationVar(&f.poll, "poll", 5*time.Second, "`time` between looks while something is under way")
	set.DurationVar(&f.drift, "drift-check", 10*time.Minute, "`time` between looks at DNS while nothing is under way, at one name server of a zone in turn; up to a tenth less, by MailDomain, so that they fall apart; 0: never, all is looked at with --resync")
	set.DurationVar(&f.resync, "resync", time.Hour, "`time` between looks at all that a MailDomain depends on, while nothing is under way; up to a tenth less")
	set.DurationVar(&f.grace, "deletion-grace", 5*time.Minute, "`time` that a deleted MailDomain may stay for its records to be withdrawn; what takes longer is done from the operator's own namespace")
	set.DurationVar(&f.lostKeyGrace, "lost-key-grace", 10*time.Minute, "`time` to restore a lost private key from a backup, before a new one takes its place")
	set.BoolVar(&f.ambient, "ambient-credentials", false, "let ClusterDNSProviders of Route 53 without keys use the identity that this process has at AWS")
	set.IntVar(&f.workers, "workers", 8, "`number` of MailDomains that are worked on at the same time")
	set.BoolVar(&f.metricsPerObject, "metrics-per-object", false, "tell the metrics of MailDomains for each of them, by namespace and name, instead of totals: whoever may read them then learns of every tenant's")
	f.leaderFlags.register(set)
	if err := set.Parse(args); err != nil {
		return f, err
	}
	switch {
	case set.NArg() > 0:
		return f, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case f.namespace == "":
		return f, errNoNamespace
	case f.ownerID == "" || strings.ContainsAny(f.ownerID, "; \t\"\\"):
		return f, errors.New("--owner-id must be a name for this installation without spaces, quotes and semicolons, such as production-eu")
	case f.starttls != "on" && f.starttls != "off":
		return f, fmt.Errorf("--starttls-probe is %q, want on or off", f.starttls)
	case f.service == "" && f.trust:
		return f, errors.New("--mta-sts-trust-replicas speaks of the replicas of --mta-sts-service, which is empty")
	}
	if err := f.check(f.timeout); err != nil {
		return f, err
	}
	for name, port := range map[string]uint{"mta-sts-port": f.policyPort, "authoritative-port": f.dnsPort, "smtp-port": f.smtpPort} {
		if port == 0 || port > 65535 {
			return f, fmt.Errorf("--%s is %d, want 1 to 65535", name, port)
		}
	}
	return f, nil
}

func manager(ctx context.Context, args []string, stderr io.Writer) error {
	f, err := parseManagerFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	f.forKubernetes(stderr)
	resolvers, err := resolversOf(f.resolvers)
	if err != nil {
		return err
	}
	var policyAddress dnsprovider.Targets
	if f.address != "" {
		if policyAddress, err = records.HostTargets(strings.Split(f.address, ",")...); err != nil {
			return fmt.Errorf("--mta-sts-address: %w", err)
		}
	}
	allowed, err := networks(f.allowPrivate)
	if err != nil {
		return fmt.Errorf("--allow-private-targets: %w", err)
	}
	watched, err := f.watched()
	if err != nil {
		return err
	}
	roots, err := rootsOf(f.policyRoots)
	if err != nil {
		return fmt.Errorf("--mta-sts-roots: %w", err)
	}
	metricsServer, err := f.options()
	if err != nil {
		return err
	}
	cluster, err := f.cluster()
	if err != nil {
		return err
	}
	mapper, err := reach(ctx, cluster)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	for _, kinds := range managed {
		if err := kinds(scheme); err != nil {
			return err
		}
	}
	election, err := f.newElection(cluster, f.namespace, scheme, clock.RealClock{}.Now)
	if err != nil {
		return err
	}
	defer election.stop()
	mgr, err := ctrl.NewManager(cluster, ctrl.Options{
		Scheme:                 scheme,
		MapperProvider:         mapper,
		Logger:                 log.Log,
		Metrics:                metricsServer,
		HealthProbeBindAddress: f.health,
		NewClient:              f.writer(election.guard),

		LeaderElection:                      f.elect,
		LeaderElectionResourceLockInterface: election.lock,
		LeaderElectionReleaseOnCancel:       true, // see lease.Guard.Lock
		LeaseDuration:                       &f.timings.Duration,
		RenewDeadline:                       &f.timings.RenewDeadline,
		RetryPeriod:                         &f.timings.RetryPeriod,
		GracefulShutdownTimeout:             ptr.To(shutdown),

		Controller: standingBy,
		Cache: cache.Options{DefaultNamespaces: f.cached(watched), DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}:             {Transform: controllers.CachedSecret},
			&v1alpha1.MailDomain{}:       {Transform: controllers.CachedMailDomain},
			&corev1.ConfigMap{}:          {Namespaces: map[string]cache.Config{f.namespace: {}}, Transform: controllers.CachedConfigMap},
			&corev1.Service{}:            {Namespaces: map[string]cache.Config{f.namespace: {}}},
			&discoveryv1.EndpointSlice{}: {Namespaces: map[string]cache.Config{f.namespace: {}}},
		}},
	})
	if err != nil {
		return err
	}
	if err := addChecks(mgr); err != nil {
		return err
	}
	resolver := probe.NewResolver(resolvers, 0)
	pool := keys.NewPool(max(1, goruntime.GOMAXPROCS(0)-1), readyKeys, makeKey)
	if err := mgr.Add(pool); err != nil {
		return err
	}
	prober := probe.NewProber(probe.Options{Resolver: resolver, Port: uint16(f.dnsPort), AllowPrivate: allowed})
	var drift *controllers.DriftWatch
	if f.drift > 0 {
		drift = &controllers.DriftWatch{Prober: prober, Interval: f.drift}
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	told := controllers.NewEventWriter(mgr.GetClient(), clock.RealClock{}, operator, operator+"-"+host)
	if err := mgr.Add(told); err != nil {
		return err
	}
	process := meter(ctx, mgr, pool, f.metricsPerObject)
	began := clock.RealClock{}.Now()
	reconciler := &controllers.Reconciler{
		Client:   mgr.GetClient(),
		Reader:   mgr.GetAPIReader(),
		Clock:    clock.RealClock{},
		Events:   told,
		Resolver: resolver,
		Prober:   prober,
		Fetcher:  &probe.PolicyFetcher{Resolver: resolver, Roots: roots, Port: uint16(f.policyPort), AllowPrivate: allowed},
		Accounts: &controllers.Accounts{Clock: clock.RealClock{}, Timeout: f.timeout, Lease: election.guard, Ambient: f.ambient, Called: process.Called, Operated: process.Operated},
		Keys:     pool,

		PolicyService: f.service,
		PolicyAddress: policyAddress,
		Replicas:      &probe.PolicyFetcher{Roots: roots, Plain: f.plain, AllowPrivate: func(netip.Addr) bool { return true }},
		Plain:         f.plain,
		TrustReplicas: f.trust,

		Namespace:    f.namespace,
		Watched:      watched,
		OwnerID:      f.ownerID,
		AllowPrivate: allowed,
		Poll:         f.poll,
		Resync:       f.resync,
		Drift:        drift,
		LostKeyGrace: f.lostKeyGrace,
		Elapsed:      func() time.Duration { return clock.RealClock{}.Since(began) }, // by the monotonic clock

		DeletionGrace: f.grace,
		Left:          process.Left,
		Meter:         process,
	}
	seen := survey.World{Resolver: resolver, Roots: roots, PolicyPort: uint16(f.policyPort), DNSPort: uint16(f.dnsPort), AllowPrivate: allowed}
	seen.TLS = func(context.Context, string) compliance.Fact[compliance.TLS] {
		return compliance.Unseen[compliance.TLS]("MX hosts are not asked for TLS with --starttls-probe=off")
	}
	seenBy := func(string) survey.World { return seen }
	if f.starttls == "on" {
		prober := &probe.STARTTLSProber{Resolver: resolver, Roots: roots, Port: uint16(f.smtpPort), AllowPrivate: allowed}
		watch := probe.NewMXWatch(mxProbes, prober.Probe, clock.RealClock{}.Now)
		if err := mgr.Add(watch); err != nil {
			return err
		}
		reconciler.MX = watch
		seenBy = func(tenant string) survey.World {
			seen := seen
			seen.TLS = survey.WatchedTLS(func(host string) (probe.MXSeen, bool) { return watch.Look(tenant, host) })
			return seen
		}
	}
	surveys := survey.NewWatch(surveyors, seenBy, clock.RealClock{}.Now)
	if err := mgr.Add(surveys); err != nil {
		return err
	}
	reconciler.Surveyor = surveys
	if f.snapshotDir != "" {
		writer := &controllers.SnapshotWriter{Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Clock: clock.RealClock{}, Namespace: f.namespace, Dir: filepath.Clean(f.snapshotDir), Plain: f.plain}
		if err := writer.SetupWithManager(mgr, controller.Options{}); err != nil {
			return err
		}
		reconciler.Certificates = writer.Certificates
	}
	if err := reconciler.SetupWithManager(mgr, controller.Options{MaxConcurrentReconciles: f.workers}); err != nil {
		return err
	}
	if drift != nil {
		if err := drift.SetupWithManager(mgr, controller.Options{MaxConcurrentReconciles: f.workers}); err != nil {
			return err
		}
	}
	providers := &controllers.ProviderReconciler{Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Clock: clock.RealClock{}, Namespace: f.namespace, Watched: watched, Ambient: f.ambient}
	if err := providers.SetupWithManager(mgr, controller.Options{}); err != nil {
		return err
	}
	tombstones := controllers.Tombstones{Reconciler: reconciler}
	if err := tombstones.SetupWithManager(mgr, controller.Options{MaxConcurrentReconciles: f.workers}); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// resolversOf reads the flag, or the machine's own configuration.
func resolversOf(list string) ([]string, error) {
	if list != "" {
		servers := strings.Split(list, ",")
		for _, s := range servers {
			if _, _, err := net.SplitHostPort(s); err != nil {
				return nil, fmt.Errorf("--resolver: %q is not host:port, such as 192.0.2.53:53", s)
			}
		}
		return servers, nil
	}
	config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil, fmt.Errorf("reading the resolvers: %w: name them with --resolver", err)
	}
	var servers []string
	for _, s := range config.Servers {
		servers = append(servers, net.JoinHostPort(s, config.Port))
	}
	if len(servers) == 0 {
		return nil, errors.New("/etc/resolv.conf names no resolver: name one with --resolver")
	}
	return servers, nil
}

// networks reads a list of prefixes into a question about addresses.
func networks(list string) (func(netip.Addr) bool, error) {
	var prefixes []netip.Prefix
	for text := range strings.SplitSeq(list, ",") {
		if text == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network, such as 10.0.0.0/8", text)
		}
		prefixes = append(prefixes, prefix)
	}
	return func(addr netip.Addr) bool {
		for _, p := range prefixes {
			if p.Contains(addr.Unmap()) {
				return true
			}
		}
		return false
	}, nil
}

func rootsOf(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}
