package mtastsserver

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics have no label with a domain: there may be 100,000, and they are not all one tenant's.
type metrics struct {
	registry *prometheus.Registry
	classes  [6]prometheus.Counter // of answers by the first digit of their status; 0: any other
	refused  prometheus.Counter    // handshakes
	bad      prometheus.Counter    // snapshots
	written  prometheus.Gauge
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maildomain_mta_sts_handshakes_refused_total",
			Help: "TLS handshakes for a name that is not served, or has no usable certificate.",
		}),
		bad: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maildomain_mta_sts_snapshots_refused_total",
			Help: "Snapshots that were torn, altered or incomplete; the last good one stays in use.",
		}),
		written: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "maildomain_mta_sts_snapshot_timestamp_seconds",
			Help: "When the snapshot in use was written; 0: there is none.",
		}),
	}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "maildomain_mta_sts_requests_total",
		Help: "Answers of the policy port, by class of their status.",
	}, []string{"code"})
	for i, class := range [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		m.classes[i] = requests.WithLabelValues(class)
	}
	domains := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "maildomain_mta_sts_snapshot_domains",
		Help: "Domains in the snapshot in use.",
	}, func() float64 { return float64(s.current.Load().Domains()) })
	expiry := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "maildomain_mta_sts_certificate_expiry_timestamp_seconds",
		Help: "When the first of the certificates in use expires; 0: there is none.",
	}, func() float64 { return unix(s.current.Load().expiry()) })
	m.registry.MustRegister(requests, m.refused, m.bad, m.written, domains, expiry, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2})
}

func (m *metrics) count(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := statusWriter{w, http.StatusOK}
		handler.ServeHTTP(&answer, r)
		class := answer.status / 100
		if class < 1 || class >= len(m.classes) {
			class = 0
		}
		m.classes[class].Inc()
	})
}
