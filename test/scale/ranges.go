package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/yaml"
)

// bounds are those of one figure, both included; nil is none.
type bounds struct {
	Min *float64 `json:"min,omitempty"`
	Max *float64 `json:"max,omitempty"`
}

// check compares figures with a file of ranges: each figure needs a range, and each range a figure.
func check(file []byte, figures map[string]float64) error {
	var ranges map[string]bounds
	if err := yaml.UnmarshalStrict(file, &ranges); err != nil {
		return fmt.Errorf("the ranges: %w", err)
	}
	var all []error
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		value := figures[name]
		within, ok := ranges[name]
		switch {
		case !ok || within.Min == nil && within.Max == nil:
			all = append(all, fmt.Errorf("%s is %.4g, and the ranges do not bound it", name, value))
		case within.Max != nil && !(value <= *within.Max): // as said, so that what is no number is outside
			all = append(all, fmt.Errorf("%s is %.4g, want at most %g", name, value, *within.Max))
		case within.Min != nil && !(value >= *within.Min):
			all = append(all, fmt.Errorf("%s is %.4g, want at least %g", name, value, *within.Min))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ranges)) {
		if _, ok := figures[name]; !ok {
			all = append(all, fmt.Errorf("the ranges bound %s, which is not measured", name))
		}
	}
	return errors.Join(all...)
}
