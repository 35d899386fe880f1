package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// panel is what is looked at of a panel of Grafana's.
type panel struct {
	ID         int                      `json:"id"`
	Type       string                   `json:"type"`
	Title      string                   `json:"title"`
	Datasource *struct{ UID string }    `json:"datasource"`
	GridPos    struct{ X, Y, W, H int } `json:"gridPos"`
	Targets    []struct {
		RefID string `json:"refId"`
		Expr  string `json:"expr"`
	} `json:"targets"`
}

func panels(t *testing.T) []panel {
	t.Helper()
	var dashboard struct {
		UID    string  `json:"uid"`
		Title  string  `json:"title"`
		Panels []panel `json:"panels"`
	}
	must(t, json.Unmarshal(file(t, "config/prometheus/dashboard.json"), &dashboard))
	if dashboard.UID == "" || dashboard.Title == "" || len(dashboard.Panels) == 0 {
		t.Fatalf("the dashboard: %+v", dashboard)
	}
	return dashboard.Panels
}

// queries are those of the dashboard, by title and letter, with Grafana's variable as Grafana would fill it in.
func queries(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			all[p.Title+" "+target.RefID] = strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")
		}
	}
	return all
}

// Every query of the dashboard is one that Prometheus understands.
func TestDashboardQueries(t *testing.T) {
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	type group struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	}
	var g group
	g.Name = "dashboard"
	for name, expr := range queries(t) {
		if strings.Contains(expr, "$") {
			t.Errorf("%s: a variable that nobody fills in: %s", name, expr)
		}
		g.Rules = append(g.Rules, rule{Record: fmt.Sprintf("dashboard:query:%d", len(g.Rules)), Expr: expr})
	}
	content, err := yaml.Marshal(map[string]any{"groups": []group{g}})
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "dashboard.yaml"), content, 0o600))
	promtool(t, dir, "check", "rules", "dashboard.yaml")
}

// Every part of the operator has its row, every panel asks the data source that the user has chosen, and none lies on another.
func TestDashboardPanels(t *testing.T) {
	var rows []string
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range panels(t) {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, there := taken[[2]int{x, y}]; there || x >= 24 {
					t.Fatalf("%q lies on %q, or outside", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if len(p.Targets) == 0 || p.Datasource == nil || p.Datasource.UID != "${datasource}" {
			t.Errorf("%q asks nobody, or %+v", p.Title, p.Datasource)
		}
	}
	if want := []string{"Overview", "DKIM keys", "DNS providers", "MTA-STS", "Policy server"}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
}
