package compliance

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
)

// Baseline is a published set of requirements.
type Baseline struct {
	Name     string    `json:"name"`
	Title    string    `json:"title"`
	Source   string    `json:"source"` // where the requirements are published
	Controls []Control `json:"controls"`
	// NotJudged are requirements that can't be seen in DNS and HTTPS; a pass says nothing of them.
	NotJudged []string `json:"notJudged"`
}

// Control is one requirement: a test, and what the test is to want.
type Control struct {
	Name   string `json:"name"` // unique in its baseline
	Title  string `json:"title"`
	Test   string `json:"test"`   // a key of tests
	Source string `json:"source"` // the place that demands it
	// SecondHand: what the source demands was read in texts about it, not in the source itself.
	SecondHand bool `json:"secondHand,omitempty"`
	Want       Want `json:"want,omitzero"`
}

// Want are the parameters of tests. Each test uses its own ones.
type Want struct {
	All         string       `json:"all,omitempty"`         // the weakest end of an SPF record: softfail or fail
	Bits        int          `json:"bits,omitempty"`        // the shortest RSA key
	RSA         bool         `json:"rsa,omitempty"`         // one of the keys is an RSA key
	Policy      dmarc.Policy `json:"policy,omitempty"`      // the weakest DMARC policy
	Subdomains  bool         `json:"subdomains,omitempty"`  // it holds for all subdomains too
	Address     string       `json:"address,omitempty"`     // a URI that must be among those of rua
	Modes       []string     `json:"modes,omitempty"`       // of MTA-STS
	Certificate bool         `json:"certificate,omitempty"` // an MX host's must be valid for its name
}

//go:embed baselines.json
var data []byte

var load = sync.OnceValues(func() ([]Baseline, error) { return read(data) })

// Baselines returns the baselines that there are.
func Baselines() []Baseline {
	list, err := load()
	if err != nil {
		panic("compliance: baselines.json: " + err.Error()) // a test reads it
	}
	return slices.Clone(list)
}

// Find returns the baseline of a name.
func Find(name string) (Baseline, bool) {
	list := Baselines()
	at := slices.IndexFunc(list, func(b Baseline) bool { return b.Name == name })
	if at < 0 {
		return Baseline{}, false
	}
	return list[at], true
}

// read reads baselines and checks that each can be judged.
func read(data []byte) (list []Baseline, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind the list")
	}
	names := map[string]bool{}
	for _, b := range list {
		if b.Name == "" || b.Title == "" || b.Source == "" || len(b.Controls) == 0 || names[b.Name] {
			return nil, fmt.Errorf("%q lacks a name of its own, a title, a source or controls", b.Name)
		}
		names[b.Name] = true
		controls := map[string]bool{}
		for _, c := range b.Controls {
			if c.Name == "" || c.Title == "" || c.Source == "" || controls[c.Name] {
				return nil, fmt.Errorf("%s: %q lacks a name of its own, a title or a source", b.Name, c.Name)
			}
			controls[c.Name] = true
			if tests[c.Test] == nil {
				return nil, fmt.Errorf("%s: %s: there is no test %q", b.Name, c.Name, c.Test)
			}
		}
	}
	return list, nil
}
