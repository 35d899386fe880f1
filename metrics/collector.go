package metrics

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// Collector makes the metrics of MailDomains when it is asked for them, so that nothing is left of one that is gone.
type Collector struct {
	leads     func() bool
	list      func() ([]v1alpha1.MailDomain, error)
	perObject bool
	descs     map[*gauge]*prometheus.Desc
}

// NewCollector returns the collector of what list returns, which is only read. Replicas that do not lead
// tell nothing: each MailDomain is to be counted once. With perObject each series is of one MailDomain, which
// its labels namespace and name say; so who may scrape, or look at what was scraped, learns of all of them.
func NewCollector(leads func() bool, list func() ([]v1alpha1.MailDomain, error), perObject bool) *Collector {
	c := &Collector{leads: leads, list: list, perObject: perObject, descs: map[*gauge]*prometheus.Desc{}}
	for _, g := range gauges {
		labels := g.labels
		if perObject {
			labels = append([]string{"namespace", "name"}, labels...)
		}
		c.descs[g] = prometheus.NewDesc(g.name, g.help, labels, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, g := range gauges {
		to <- c.descs[g]
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	if !c.leads() {
		return
	}
	all, err := c.list()
	if err != nil {
		to <- prometheus.NewInvalidMetric(c.descs[domains], fmt.Errorf("listing MailDomains: %w", err))
		return
	}
	found := figures{}
	if !c.perObject {
		for _, mode := range []string{string(v1alpha1.ModeEnforce), string(v1alpha1.ModeObserve), "Suspended"} {
			found.add(domains, 0, mode) // that there are none is worth telling
		}
	}
	for i := range all {
		found.describe(&all[i])
		if c.perObject {
			c.send(to, found, all[i].Namespace, all[i].Name)
			clear(found)
		}
	}
	c.send(to, found)
}

func (c *Collector) send(to chan<- prometheus.Metric, found figures, object ...string) {
	for s, value := range found {
		labels := make([]string, 0, 2+maxLabels)
		labels = append(append(labels, object...), s.values[:len(s.labels)]...)
		to <- prometheus.MustNewConstMetric(c.descs[s.gauge], prometheus.GaugeValue, value, labels...)
	}
}
