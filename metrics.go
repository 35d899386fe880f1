package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// countCalls registers the metric of calls to providers, and returns what counts them.
func countCalls() func(v1alpha1.ProviderType) {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "maildomain_provider_calls_total",
		Help: "HTTP calls to the APIs of DNS providers, by type of provider.",
	}, []string{"type"})
	metrics.Registry.MustRegister(calls)
	return func(kind v1alpha1.ProviderType) { calls.WithLabelValues(string(kind)).Inc() }
}

// countLeft registers the metric of records that a deleted MailDomain left published, and returns
// what counts them.
func countLeft() func(records int) {
	left := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "maildomain_records_left_total",
		Help: "Records that deleted MailDomains left published, because no provider could be used to remove them.",
	})
	metrics.Registry.MustRegister(left)
	return func(records int) { left.Add(float64(records)) }
}
