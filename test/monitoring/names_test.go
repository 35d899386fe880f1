package monitoring

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/metrics"
	"github.com/maildomain/maildomain-operator/mtastsserver"
)

// described keeps what is registered.
type described struct {
	prometheus.Registerer
	collectors []prometheus.Collector
}

func (d *described) MustRegister(collectors ...prometheus.Collector) {
	d.collectors = append(d.collectors, collectors...)
}

// A Desc shows what it says as a text alone.
var description = regexp.MustCompile(`^Desc\{fqName: "([a-z0-9_]+)", .* variableLabels: \{(.*)\}\}$`)

// ofManager are the metrics of the manager with their labels, whether or not they have samples.
func ofManager(t *testing.T) map[string][]string {
	t.Helper()
	d := &described{}
	leads := func() bool { return true }
	metrics.NewProcess(d, func() int { return 0 }, leads)
	d.MustRegister(metrics.NewCollector(leads, func() ([]v1alpha1.MailDomain, error) { return nil, nil }, true))
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		for _, c := range d.collectors {
			c.Describe(descs)
		}
	}()
	known := map[string][]string{}
	for desc := range descs {
		match := description.FindStringSubmatch(desc.String())
		if match == nil {
			t.Fatalf("%s is not understood", desc)
		}
		known[match[1]] = strings.Split(match[2], ",")
	}
	return known
}

// ofPolicyServer are the metrics that a running one tells, also those of its process, which a manager has too.
func ofPolicyServer(t *testing.T) map[string][]string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	opened, ended := make(chan net.Addr, 2), make(chan error, 1)
	go func() {
		ended <- mtastsserver.Run(ctx, mtastsserver.Options{
			Dir: t.TempDir(), Listen: "127.0.0.1:0", HealthListen: "127.0.0.1:0",
			Opened: func(_ mtastsserver.Port, a net.Addr) { opened <- a },
		})
	}()
	defer func() {
		cancel()
		must(t, <-ended)
	}()
	response, err := http.Get("http://" + (<-opened).String() + "/metrics")
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	known := map[string][]string{}
	for _, match := range regexp.MustCompile(`(?m)^([a-z][a-z0-9_]+)(?:\{([a-z_]+)=)?`).FindAllStringSubmatch(string(text), -1) {
		known[match[1]] = []string{match[2]}
	}
	return known
}

var (
	quoted    = regexp.MustCompile(`"[^"]*"`)
	selector  = regexp.MustCompile(`([a-z][a-z0-9_]*)\s*\{([^}]*)\}`)
	groupings = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
	word      = regexp.MustCompile(`[a-z_][a-z0-9_]*`)
	metric    = regexp.MustCompile(`\b(?:maildomain|process|go|leader|controller|workqueue|rest)_[a-z0-9_]+`)
)

// Alerts and dashboard ask for metrics that there are, by labels that they have: a name with a mistake in it would be an
// alert that never fires.
func TestEveryMetricThatIsAskedForExists(t *testing.T) {
	known := ofManager(t)
	maps.Copy(known, ofPolicyServer(t))
	targets := []string{"namespace", "name", "pod", "instance", "le"} // of the scrape, and of histograms
	asked := map[string]bool{}
	base := func(name string) string {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if trimmed, is := strings.CutSuffix(name, suffix); is && known[trimmed] != nil {
				return trimmed
			}
		}
		return name
	}
	for who, expr := range expressions(t) {
		text := quoted.ReplaceAllString(expr, `""`)
		var labels []string
		for _, name := range metric.FindAllString(text, -1) {
			name = base(name)
			if _, there := known[name]; !there {
				t.Errorf("%s asks for %s, which there is not", who, name)
			}
			labels = append(labels, known[name]...)
			asked[name] = true
		}
		if len(metric.FindAllString(text, -1)) == 0 {
			t.Errorf("%s asks for nothing: %s", who, expr)
		}
		for _, match := range selector.FindAllStringSubmatch(text, -1) {
			for _, label := range word.FindAllString(match[2], -1) {
				if !slices.Contains(known[base(match[1])], label) {
					t.Errorf("%s selects by %s, which %s has not: %q", who, label, match[1], known[base(match[1])])
				}
			}
		}
		for _, match := range groupings.FindAllStringSubmatch(text, -1) {
			for _, label := range word.FindAllString(match[1], -1) {
				if !slices.Contains(labels, label) && !slices.Contains(targets, label) {
					t.Errorf("%s groups by %s: %s", who, label, expr)
				}
			}
		}
	}
	// And what is told is shown somewhere.
	for name := range known {
		if strings.HasPrefix(name, "maildomain_") && !asked[name] {
			t.Errorf("%s is in no alert and not on the dashboard", name)
		}
	}
}

// The values that are selected by are those of the API and of the code.
func TestEveryValueThatIsSelectedByExists(t *testing.T) {
	values := append(v1alpha1.Reasons(), v1alpha1.ConditionReady, v1alpha1.ConditionMTASTSReady, "True", "RateLimited", "HeldBack")
	for who, expr := range expressions(t) {
		for _, text := range quoted.FindAllString(expr, -1) {
			for _, value := range strings.Split(strings.Trim(text, `"`), "|") {
				if !slices.Contains(values, value) {
					t.Errorf("%s selects by %q: %s", who, value, expr)
				}
			}
		}
	}
}
