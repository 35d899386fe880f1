package main

import (
	"crypto/tls"
	"flag"
	"fmt"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// metricsFlags say where /metrics is served, and to whom.
type metricsFlags struct {
	metricsListen  string
	metricsCertDir string
	metricsPlain   bool
}

func (f *metricsFlags) register(set *flag.FlagSet) {
	set.StringVar(&f.metricsListen, "metrics-listen", "0", "`address` of /metrics over HTTPS, for accounts of the cluster that may get this path; 0: none")
	set.StringVar(&f.metricsCertDir, "metrics-cert-dir", "", "`directory` of the tls.crt and tls.key that /metrics is served with, read again when they change; empty: a self-signed certificate, made at each start")
	set.BoolVar(&f.metricsPlain, "metrics-plain", false, "serve /metrics over HTTP and to whoever asks, for trials or behind what does both")
}

// scrapes is how many scrapes are answered at the same time: each costs memory for all that it tells.
const scrapes = 3

// options are those of the server.
func (f *metricsFlags) options() (server.Options, error) {
	o := server.Options{
		BindAddress: f.metricsListen,
		HandlerOpts: []func(*promhttp.HandlerOpts){func(h *promhttp.HandlerOpts) { h.MaxRequestsInFlight = scrapes }},
	}
	if f.metricsPlain {
		if f.metricsCertDir != "" {
			return o, fmt.Errorf("--metrics-cert-dir is %q, and --metrics-plain serves without a certificate: leave one of them out", f.metricsCertDir)
		}
		return o, nil
	}
	o.SecureServing, o.FilterProvider = true, onlyReaders
	// No scraper needs HTTP/2, whose streams multiply what one connection can ask for.
	o.TLSOpts = []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }}
	if f.metricsCertDir != "" {
		o.CertDir = f.metricsCertDir
		if _, err := tls.LoadX509KeyPair(f.metricsCertDir+"/tls.crt", f.metricsCertDir+"/tls.key"); err != nil {
			return o, fmt.Errorf("--metrics-cert-dir: want a certificate in tls.crt and its key in tls.key: %w", err) // else it would be a self-signed one, in silence
		}
	}
	return o, nil
}
