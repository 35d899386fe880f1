package metrics

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

func always() bool { return true }

// gather returns the samples of a collector as lines, sorted.
func gather(t *testing.T, c prometheus.Collector) ([]string, error) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	return samples(registry)
}

func samples(registry prometheus.Gatherer) (lines []string, err error) {
	families, err := registry.Gather()
	for _, family := range families {
		for _, m := range family.Metric {
			value := fmt.Sprint(m.GetGauge().GetValue() + m.GetCounter().GetValue())
			if h := m.GetHistogram(); h != nil {
				value = fmt.Sprintf("%d in %gs", h.GetSampleCount(), h.GetSampleSum())
			}
			lines = append(lines, family.GetName()+labelsOf(m)+" "+value)
		}
	}
	slices.Sort(lines)
	return lines, err
}

func labelsOf(m *dto.Metric) string {
	var pairs []string
	for _, pair := range m.Label {
		pairs = append(pairs, fmt.Sprintf("%s=%q", pair.GetName(), pair.GetValue()))
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

// What is told by default names neither a domain nor a namespace, a MailDomain, a selector or a host.
func TestTotalsNameNobody(t *testing.T) {
	all := []v1alpha1.MailDomain{full("tenant-a", "one"), full("tenant-b", "two")}
	lines, err := gather(t, NewCollector(always, func() ([]v1alpha1.MailDomain, error) { return all, nil }, false))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(lines, "\n")
	for _, word := range []string{"tenant", "one", "two", "example", "mx1", `"a"`} {
		if strings.Contains(text, word) {
			t.Errorf("%q is told:\n%s", word, text)
		}
	}
	for _, want := range []string{`maildomain_domains{mode="Enforce"} 2`, `maildomain_domains{mode="Observe"} 0`, `maildomain_dkim_keys{state="Active"} 4`} {
		if !slices.Contains(lines, want) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
}

func TestPerObjectNamesEach(t *testing.T) {
	all := []v1alpha1.MailDomain{full("tenant-a", "one"), full("tenant-b", "two")}
	c := NewCollector(always, func() ([]v1alpha1.MailDomain, error) { return all, nil }, true)
	lines, err := gather(t, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`maildomain_dkim_keys{name="one",namespace="tenant-a",state="Active"} 2`,
		`maildomain_dkim_keys{name="two",namespace="tenant-b",state="Active"} 2`,
		`maildomain_spf_lookups{name="two",namespace="tenant-b"} 3`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("there is no %s in\n%s", want, strings.Join(lines, "\n"))
		}
	}
	for _, line := range lines {
		if !strings.Contains(line, `namespace="tenant-`) || strings.Contains(line, "example") {
			t.Errorf("got %s", line)
		}
	}
	all = all[:1]
	if lines, err = gather(t, c); err != nil || strings.Contains(strings.Join(lines, "\n"), "tenant-b") {
		t.Errorf("something is left of one that is gone, or %v:\n%s", err, strings.Join(lines, "\n"))
	}
}

func TestOnlyTheLeaderTells(t *testing.T) {
	list := func() ([]v1alpha1.MailDomain, error) { t.Error("asked"); return nil, nil }
	if lines, err := gather(t, NewCollector(func() bool { return false }, list, false)); err != nil || len(lines) > 0 {
		t.Errorf("got %q, %v", lines, err)
	}
}

// That nothing is known is told as such, and not as nothing.
func TestAListThatFails(t *testing.T) {
	list := func() ([]v1alpha1.MailDomain, error) { return nil, errors.New("the cache has stopped") }
	if lines, err := gather(t, NewCollector(always, list, false)); err == nil || !strings.Contains(err.Error(), "the cache has stopped") || len(lines) > 0 {
		t.Errorf("got %q, %v", lines, err)
	}
}

// BenchmarkScrape is what one scrape costs with 10,000 MailDomains, each in the middle of a rotation, without
// the text that is made of it.
func BenchmarkScrape(b *testing.B) {
	all := make([]v1alpha1.MailDomain, 10_000)
	for i := range all {
		all[i] = full(fmt.Sprintf("tenant-%d", i%100), fmt.Sprintf("domain-%d", i))
	}
	for name, perObject := range map[string]bool{"totals": false, "per object": true} {
		b.Run(name, func(b *testing.B) {
			registry := prometheus.NewRegistry()
			registry.MustRegister(NewCollector(always, func() ([]v1alpha1.MailDomain, error) { return slices.Clone(all), nil }, perObject)) // a cache copies as well
			b.ReportAllocs()
			for b.Loop() {
				families, err := registry.Gather()
				if err != nil {
					b.Fatal(err)
				}
				series := 0
				for _, family := range families {
					series += len(family.Metric)
				}
				b.ReportMetric(float64(series), "series")
			}
		})
	}
}
