package metrics

import (
	"cmp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// Process counts what this process does, since its start.
type Process struct {
	calls      *prometheus.CounterVec
	errors     *prometheus.CounterVec
	operations *prometheus.HistogramVec
	drifted    *prometheus.CounterVec
	repaired   *prometheus.CounterVec
	verified   prometheus.Histogram
	left       prometheus.Counter
}

// purposes are those of records; each is told with 0 from the start, so that the first one counts as an increase.
var purposes = []v1alpha1.RecordPurpose{
	v1alpha1.PurposeSPF, v1alpha1.PurposeDKIM, v1alpha1.PurposeDMARC, v1alpha1.PurposeMTASTS, v1alpha1.PurposeMTASTSAddress,
	v1alpha1.PurposeTLSRPT, v1alpha1.PurposeClaim,
}

// NewProcess registers the metrics of the process. readyKeys are the RSA keys in stock; leads says whether it works
// on MailDomains.
func NewProcess(to prometheus.Registerer, readyKeys func() int, leads func() bool) *Process {
	p := &Process{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maildomain_provider_calls_total",
			Help: "HTTP calls to the APIs of DNS providers, by type of provider; sts is AWS STS, where roles of route53 are assumed.",
		}, []string{"type"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maildomain_provider_errors_total",
			Help: "Operations on zones with an error, by type of provider and kind of error: RateLimited where the provider refuses for there being too many, HeldBack where the operator itself waits so that it need not.",
		}, []string{"type", "kind"}),
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "maildomain_provider_operation_seconds",
			Help:    "Time of operations on zones, by type of provider: read or apply. One can be several calls.",
			Buckets: []float64{.01, .03, .1, .3, 1, 3, 10, 30},
		}, []string{"type", "operation"}),
		drifted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maildomain_records_drifted_total",
			Help: "Records that had been written and read back, and that somebody else removed or changed, by purpose.",
		}, []string{"purpose"}),
		repaired: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maildomain_records_repaired_total",
			Help: "Of the records that drifted, those that were written and read back again, by purpose.",
		}, []string{"purpose"}),
		verified: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "maildomain_record_verification_seconds",
			Help:    "Time from the read-back of a record that was written to the first look that found it on every name server that answers.",
			Buckets: []float64{1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600},
		}),
		left: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "maildomain_records_left_total",
			Help: "Records that deleted MailDomains left published, because no provider could be used to remove them.",
		}),
	}
	for _, purpose := range purposes {
		p.drifted.WithLabelValues(string(purpose))
		p.repaired.WithLabelValues(string(purpose))
	}
	to.MustRegister(p.calls, p.errors, p.operations, p.drifted, p.repaired, p.verified, p.left,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "maildomain_dkim_keys_ready",
			Help: "RSA keys that are made and that no domain has taken yet.",
		}, func() float64 { return float64(readyKeys()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "maildomain_leader",
			Help: "1: this process works on MailDomains; 0: it stands by.",
		}, func() float64 {
			if leads() {
				return 1
			}
			return 0
		}))
	return p
}

// Called counts an HTTP call.
func (p *Process) Called(api string) { p.calls.WithLabelValues(api).Inc() }

// Operated counts an operation on a zone: how long it took, and each kind of error among those that it brought.
func (p *Process) Operated(provider, operation string, took time.Duration, errs []error) {
	p.operations.WithLabelValues(provider, operation).Observe(took.Seconds())
	kinds := map[string]bool{}
	for _, err := range errs {
		switch {
		case err == nil:
		case dnsprovider.HeldBack(err):
			kinds["HeldBack"] = true
		default:
			kinds[cmp.Or(string(dnsprovider.KindOf(err)), "Other")] = true
		}
	}
	for kind := range kinds {
		p.errors.WithLabelValues(provider, kind).Inc()
	}
}

// Drifted counts a record that somebody else removed or changed.
func (p *Process) Drifted(purpose v1alpha1.RecordPurpose) {
	p.drifted.WithLabelValues(string(purpose)).Inc()
}

// Repaired counts one of these that stands again.
func (p *Process) Repaired(purpose v1alpha1.RecordPurpose) {
	p.repaired.WithLabelValues(string(purpose)).Inc()
}

// Verified notes how long after its read-back a record was found on every name server.
func (p *Process) Verified(after time.Duration) { p.verified.Observe(after.Seconds()) }

// Left counts records that were left published.
func (p *Process) Left(records int) { p.left.Add(float64(records)) }
