package main

import (
	"math"
	"os"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		ranges string
		value  float64
		wants  string // "": nothing is wrong
	}{
		"at the most":    {`writes: {max: 8}`, 8, ""},
		"above":          {`writes: {max: 8}`, 8.01, "writes is 8.01, want at most 8"},
		"at the least":   {`writes: {min: 1, max: 8}`, 1, ""},
		"below":          {`writes: {min: 1}`, 0.5, "writes is 0.5, want at least 1"},
		"no number":      {`writes: {max: 8}`, math.NaN(), "writes is NaN"},
		"no bound":       {`writes: {}`, 1, "do not bound it"},
		"another figure": {"writes: {max: 8}\nreads: {max: 8}", 1, "reads, which is not measured"},
		"not a range":    {`writes: {most: 8}`, 1, "unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			err := check([]byte(test.ranges), map[string]float64{"writes": test.value})
			switch {
			case test.wants == "" && err != nil:
				t.Error(err)
			case test.wants != "" && (err == nil || !strings.Contains(err.Error(), test.wants)):
				t.Errorf("want %q, got %v", test.wants, err)
			}
		})
	}
}

// Each of the committed files bounds every figure, and nothing else.
func TestRangesAreOfTheFigures(t *testing.T) {
	for _, name := range []string{"rangespec.yaml", "rangespec-route53.yaml"} {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		figures := result{}.figures()
		for name := range figures {
			figures[name] = math.Inf(1)
		}
		err = check(file, figures)
		for figure := range figures {
			if err == nil || !strings.Contains(err.Error(), figure+" is +Inf, want at most") {
				t.Errorf("%s: %s has no upper bound: %v", name, figure, err)
			}
		}
		if err != nil && strings.Contains(err.Error(), "not measured") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Calls take no time as long as they are no more than may be made at once.
func TestBound(t *testing.T) {
	for name, test := range map[string]struct {
		pace  pace
		calls float64
		want  float64
	}{
		"as many as one likes": {pace{}, 1000, 0},
		"at once":              {pace{7, 35}, 35, 0},
		"one after another":    {pace{7, 35}, 105, 10},
	} {
		if got := test.pace.bound(test.calls); got != test.want {
			t.Errorf("%s: %v s, want %v", name, got, test.want)
		}
	}
}
