package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// countCalls registers the metric of calls to providers, and returns what counts them.
func countCalls() func(api string) {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "maildomain_provider_calls_total",
		Help: "HTTP calls to the APIs of DNS providers, by type of provider; sts is AWS STS, where roles of route53 are assumed.",
	}, []string{"type"})
	metrics.Registry.MustRegister(calls)
	return func(api string) { calls.WithLabelValues(api).Inc() }
}
