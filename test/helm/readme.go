// Package helm tests charts/maildomain-operator, by Helm's own library, which is large, so in a module of
// its own; and writes the README of the chart. What the chart renders is compared with what config/ renders; that is applied to a real API server by
// test/manifests.
package helm

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// page is the chart's README without its table of values.
//
//go:embed README.tmpl.md
var page string

// row is a value of the chart.
type row struct{ Name, Default, Meaning string }

// readme is the README of the chart with these values.
func readme(values []byte) (string, error) {
	all, err := rows(values)
	if err != nil {
		return "", err
	}
	return strings.Replace(page, "{{values}}\n", table(all), 1), nil
}

// rows lists the values of values.yaml in their order. The comment above one that begins with "-- " is its meaning. A map
// that has a meaning, or is empty, is one value.
func rows(values []byte) ([]row, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(values, &document); err != nil {
		return nil, err
	}
	return walk(document.Content[0], "")
}

func walk(in *yaml.Node, prefix string) ([]row, error) {
	var all []row
	for i := 0; i < len(in.Content); i += 2 {
		key, value := in.Content[i], in.Content[i+1]
		name, meaning := prefix+key.Value, meaningOf(key.HeadComment)
		if value.Kind == yaml.MappingNode && len(value.Content) > 0 && meaning == "" {
			below, err := walk(value, name+".")
			if err != nil {
				return nil, err
			}
			all = append(all, below...)
			continue
		}
		var content any
		if err := value.Decode(&content); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		text, err := json.Marshal(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, row{name, string(text), meaning})
	}
	return all, nil
}

func meaningOf(comment string) string {
	meaning, ok := strings.CutPrefix(comment, "# -- ")
	if !ok {
		return ""
	}
	return strings.ReplaceAll(meaning, "\n# ", " ")
}

func table(rows []row) string {
	var out strings.Builder
	out.WriteString("| value | default | meaning |\n|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&out, "| `%s` | `%s` | %s |\n", r.Name, r.Default, strings.ReplaceAll(r.Meaning, "|", "\\|"))
	}
	return out.String()
}
