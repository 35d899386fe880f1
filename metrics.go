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

// gaugeReadyKeys registers the metric of rsa keys in stock.
func gaugeReadyKeys(ready func() int) {
	metrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "maildomain_dkim_keys_ready",
		Help: "RSA keys that are made and that no domain has taken yet.",
	}, func() float64 { return float64(ready()) }))
}
