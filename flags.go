package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/maildomain/maildomain-operator/controllers"
)

// clusterFlags are those that manager and snapshot have in common: both read the cluster, and can write the
// directory that mta-sts serves from.
type clusterFlags struct {
	kubeconfig  string
	namespace   string
	watch       string
	snapshotDir string
	plain       bool
	health      string
	metricsFlags
	loggingFlags
}

func (f *clusterFlags) register(set *flag.FlagSet) {
	set.StringVar(&f.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig `file`; empty: the cluster that this runs in")
	set.StringVar(&f.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "the operator's own `namespace`: claims, and the Secrets of ClusterDNSProviders")
	set.StringVar(&f.watch, "watch-namespaces", "", "`namespaces` with MailDomains, with commas between them: nothing is read or written outside of them and of the operator's own, Roles are enough, and ClusterDNSProviders are off; empty: all namespaces")
	set.StringVar(&f.snapshotDir, "snapshot-dir", "", "`directory` that mta-sts serves from. a manager keeps one for itself: of a certificate whose Secret goes before its MailDomain; empty: it keeps none")
	set.BoolVar(&f.plain, "mta-sts-plain", false, "policies are served with mta-sts --plain, behind an Ingress or a Gateway that ends TLS: no Secret with a certificate is asked for, and replicas are asked over HTTP")
	f.metricsFlags.register(set)
	f.loggingFlags.register(set)
	set.StringVar(&f.health, "health-listen", "0", "`address` of /healthz and /readyz, plain HTTP; 0: none")
}

// cluster is how to reach the API server. It has a queue for each of its clients, and lets them share what it can do (API
// Priority and Fairness), so none is kept here: client-go's own holds back what is more than 5 requests a second.
func (f *clusterFlags) cluster() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", f.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reaching the cluster: %w", err)
	}
	config.QPS = -1
	return config, nil
}

// watched reads --watch-namespaces.
func (f *clusterFlags) watched() (controllers.Watched, error) {
	if f.watch == "" {
		return nil, nil
	}
	names := strings.Split(f.watch, ",")
	for _, name := range names {
		if faults := validation.IsDNS1123Label(name); len(faults) > 0 {
			return nil, fmt.Errorf("--watch-namespaces: %q is not the name of a namespace: %s", name, strings.Join(faults, "; "))
		}
	}
	return names, nil
}

// cached are the namespaces that the caches hold objects of; nil: all.
func (f *clusterFlags) cached(watched controllers.Watched) map[string]cache.Config {
	if len(watched) == 0 {
		return nil
	}
	namespaces := map[string]cache.Config{}
	for _, name := range slices.Concat([]string{f.namespace}, watched) {
		namespaces[name] = cache.Config{}
	}
	return namespaces
}

var errNoNamespace = errors.New("--namespace is empty: name the operator's own namespace")
