package metrics

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// recorded keeps the descriptions of what is registered, those without a sample too.
type recorded struct {
	prometheus.Registerer
	collectors []prometheus.Collector
}

func (r *recorded) MustRegister(collectors ...prometheus.Collector) {
	r.collectors = append(r.collectors, collectors...)
}

// description is what a Desc says, which shows it as a text alone.
var description = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{\}, variableLabels: \{(.*)\}\}$`)

func typeOf(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.CounterVec, prometheus.Counter:
		if _, gauge := c.(prometheus.Gauge); gauge {
			return "gauge"
		}
		return "counter"
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	}
	return "gauge"
}

// docs/metrics.md lists every metric of the manager, with its labels and its help, in the order of the code.
func TestDocs(t *testing.T) {
	content, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, g := range gauges {
		fold := "the latest or largest"
		switch g.fold(1, 2) {
		case 3:
			fold = "sum"
		case 1:
			fold = "the earliest"
		}
		lines = append(lines, row(g.name, g.labels, fold, g.help))
	}
	process := &recorded{}
	NewProcess(process, none, always)
	for _, c := range process.collectors {
		descs := make(chan *prometheus.Desc, 1)
		c.Describe(descs)
		text := (<-descs).String()
		match := description.FindStringSubmatch(text)
		if match == nil {
			t.Fatalf("%s is not understood", text)
		}
		var labels []string
		if match[3] != "" {
			labels = strings.Split(match[3], ",")
		}
		lines = append(lines, row(unquote(t, match[1]), labels, typeOf(c), unquote(t, match[2])))
	}
	rest := string(content)
	for _, line := range lines {
		_, after, found := strings.Cut(rest, line+"\n")
		if !found {
			t.Errorf("docs/metrics.md lacks, or has elsewhere:\n%s", line)
			continue
		}
		rest = after
	}
	listed := regexp.MustCompile("(?m)^\\| `maildomain_[a-z_]+`").FindAllString(string(content), -1)
	ofPolicyServer := regexp.MustCompile("(?m)^\\| `maildomain_mta_sts_(requests|handshakes|snapshot|certificate)[a-z_]*`").FindAllString(string(content), -1)
	if len(listed)-len(ofPolicyServer) != len(lines) {
		t.Errorf("docs/metrics.md lists %d metrics of the manager, and there are %d", len(listed)-len(ofPolicyServer), len(lines))
	}
}

func row(name string, labels []string, third, help string) string {
	quoted := make([]string, len(labels))
	for i, label := range labels {
		quoted[i] = "`" + label + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |", name, strings.Join(quoted, ", "), third, help)
}

func unquote(t *testing.T, text string) string {
	t.Helper()
	var out string
	if _, err := fmt.Sscanf(text, "%q", &out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}
