package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/kubernetes"
)

// reading is what all meters show at one moment.
type reading struct {
	apiserver map[string]float64 // requests, by "VERB resource" or "VERB resource/subresource"
	passes    float64            // of the operator over MailDomains
	checks    float64            // of it whether DNS is as it was
	queries   int                // that the name server has got
	updates   int
	calls     calls              // of the provider's API
	cpu       map[string]float64 // seconds, by process
}

// read reads all meters.
func (s *stage) read(ctx context.Context) (reading, error) {
	r := reading{queries: s.dns.Queries(), updates: s.dns.Updates(), calls: s.host.calls(), cpu: map[string]float64{}}
	for name, pid := range map[string]int{"operator": s.operator.pid(), "kube-apiserver": s.apiserver, "etcd": s.etcd, "harness": os.Getpid()} {
		var err error
		if r.cpu[name], err = cpu(pid); err != nil {
			return r, err
		}
	}
	var err error
	if r.apiserver, err = s.requests(ctx); err != nil {
		return r, fmt.Errorf("metrics of kube-apiserver: %w", err)
	}
	done, err := s.operator.progress()
	r.passes, r.checks = done.passes, done.checks
	return r, err
}

// progress is how much the operator has done, and how much waits in its queues now.
type progress struct{ passes, checks, waiting float64 }

func (o *operator) progress() (p progress, err error) {
	response, err := http.Get(o.metrics)
	if err != nil {
		return p, err
	}
	defer response.Body.Close()
	families, err := parse(response.Body)
	if err != nil {
		return p, fmt.Errorf("metrics of the operator: %w", err)
	}
	done, queued := families["controller_runtime_reconcile_total"], families["workqueue_depth"]
	p.passes, p.checks = sum(done, "controller", "maildomain"), sum(done, "controller", "drift")
	p.waiting = sum(queued, "name", "maildomain") + sum(queued, "name", "drift")
	return p, nil
}

// sum adds up the series of one controller.
func sum(family *dto.MetricFamily, label, controller string) (total float64) {
	for _, metric := range family.GetMetric() {
		for _, pair := range metric.GetLabel() {
			if pair.GetName() == label && pair.GetValue() == controller {
				total += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			}
		}
	}
	return total
}

// own are the resources that the API server itself looks after.
var own = []string{"leases", "endpoints", "endpointslices", "masterleases"}

// requests returns how many requests the API server has answered. It does not say whose; there is nobody but the operator,
// the harness and the API server itself.
func (s *stage) requests(ctx context.Context) (map[string]float64, error) {
	clients, err := kubernetes.NewForConfig(s.config)
	if err != nil {
		return nil, err
	}
	text, err := clients.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	families, err := parse(strings.NewReader(string(text)))
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for _, metric := range families["apiserver_request_total"].GetMetric() {
		labels := map[string]string{}
		for _, pair := range metric.GetLabel() {
			labels[pair.GetName()] = pair.GetValue()
		}
		name := labels["verb"] + " " + labels["resource"]
		if labels["subresource"] != "" {
			name += "/" + labels["subresource"]
		}
		all[name] += metric.GetCounter().GetValue()
	}
	return all, nil
}

func parse(text io.Reader) (map[string]*dto.MetricFamily, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(text)
}

// spent is the difference of two readings.
type spent struct {
	// Writes are those of the operator to the API server, by verb and resource; Events are apart.
	Writes map[string]float64 `json:"writes"`
	Events float64            `json:"events"`
	// Reads are those of the operator past its caches, by verb and resource.
	Reads   map[string]float64 `json:"reads"`
	Passes  float64            `json:"passes"`
	Checks  float64            `json:"checks"`
	Queries int                `json:"queries"`
	Updates int                `json:"updates"`
	// Calls are those of the provider's API, by kind; Refused of them came when there had been too many.
	Calls   map[string]float64 `json:"calls,omitempty"`
	Refused float64            `json:"refused"`
	CPU     map[string]float64 `json:"cpuSeconds"`
}

func (r reading) since(before reading) spent {
	d := spent{Writes: map[string]float64{}, Reads: map[string]float64{}, CPU: map[string]float64{},
		Passes: r.passes - before.passes, Checks: r.checks - before.checks, Queries: r.queries - before.queries, Updates: r.updates - before.updates,
		Calls: map[string]float64{}, Refused: r.calls.Refused - before.calls.Refused}
	for kind, n := range r.calls.ByKind {
		d.Calls[kind] = n - before.calls.ByKind[kind]
	}
	for name, seconds := range r.cpu {
		d.CPU[name] = seconds - before.cpu[name]
	}
	for name, n := range r.apiserver {
		n -= before.apiserver[name]
		verb, resource, _ := strings.Cut(name, " ")
		switch {
		case n == 0 || slices.Contains(own, resource) || name == "POST maildomains": // the latter are the harness'
		case resource == "events":
			d.Events += n
		case verb == "GET" && resource != "" && !strings.HasPrefix(resource, "/"): // a path is none
			d.Reads[name] = n
		case verb == "POST" || verb == "PUT" || verb == "PATCH" || verb == "DELETE":
			d.Writes[name] = n
		}
	}
	return d
}

func total(counts map[string]float64) (n float64) {
	for _, count := range counts {
		n += count
	}
	return n
}
