package main

import (
	"errors"
	"flag"
	"os"
)

// clusterFlags are those that manager and snapshot have in common: both read the cluster and write the
// directory that mta-sts serves from.
type clusterFlags struct {
	kubeconfig  string
	namespace   string
	snapshotDir string
	plain       bool
	health      string
	metricsFlags
}

func (f *clusterFlags) register(set *flag.FlagSet) {
	set.StringVar(&f.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig `file`; empty: the cluster that this runs in")
	set.StringVar(&f.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "the operator's own `namespace`: claims, and the Secrets of ClusterDNSProviders")
	set.StringVar(&f.snapshotDir, "snapshot-dir", "", "`directory` that mta-sts serves from; empty: none is written")
	set.BoolVar(&f.plain, "mta-sts-plain", false, "policies are served with mta-sts --plain, behind an Ingress or a Gateway that ends TLS: no Secret with a certificate is asked for, and replicas are asked over HTTP")
	f.metricsFlags.register(set)
	set.StringVar(&f.health, "health-listen", "0", "`address` of /healthz and /readyz, plain HTTP; 0: none")
}

var errNoNamespace = errors.New("--namespace is empty: name the operator's own namespace")
