package controllers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
)

// Text of any length and of any octets stands in status as far as it can, and is not written again
// and again.
func TestRecordsThatDoNotFitIntoStatus(t *testing.T) {
	w := newWorld(t)
	for name, text := range map[string]string{
		"long":     "v=spf1 " + strings.Repeat("ip4:192.0.2.1 ", 357) + "-all",
		"no UTF-8": "v=spf1 exp=\xff\xfe.example.com -all",
	} {
		for mode, change := range map[string]func(*v1alpha1.MailDomainSpec){
			"observe": func(s *v1alpha1.MailDomainSpec) {
				s.Mode, s.DNS.ConflictPolicy = v1alpha1.ModeObserve, v1alpha1.ConflictAdopt
			},
			"manual":  func(s *v1alpha1.MailDomainSpec) { s.DNS = nil },
			"enforce": func(*v1alpha1.MailDomainSpec) {},
		} {
			t.Run(name+" "+mode, func(t *testing.T) {
				w.in(t)
				w.must(w.dns.SetTXT("example.com", text))
				s := v1alpha1.MailDomainSpec{Domain: "example.com", DNS: spec().DNS, SPF: spec().SPF}
				change(&s)
				w.apply(mode, s)
				w.settles(mode)
				md := w.get(mode)
				if mode != "enforce" && !slices.ContainsFunc(md.Status.Plan, func(p v1alpha1.PlannedChange) bool {
					return p.Name == "example.com" && strings.HasPrefix(p.Old, "v=spf1 ") && len(p.Old) <= 4096 && p.New == "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all"
				}) {
					t.Error(describe(md))
				}
				w.vanish(md)
			})
		}
	}
}

// Reasons that are put together from other words are on the closed list, and so is every one that
// is named anywhere in this package.
func TestReasonsAreOnTheList(t *testing.T) {
	var made []string
	for _, state := range []keys.State{keys.Generated, keys.Published, keys.Propagated, keys.Active, keys.Retired, keys.Revoked, keys.Removed} {
		made = append(made, "Key"+string(state))
	}
	for _, verb := range []dnsprovider.Verb{dnsprovider.Create, dnsprovider.Replace, dnsprovider.Remove} {
		made = append(made, string(verb))
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok || len(literal.Elts) == 0 {
				return true
			}
			kind, _ := literal.Type.(*ast.Ident)
			first := literal.Elts[0]
			for _, e := range literal.Elts {
				if pair, keyed := e.(*ast.KeyValueExpr); keyed && fmt.Sprint(pair.Key) == "reason" {
					first = pair.Value
				}
			}
			if text, ok := first.(*ast.BasicLit); ok && kind != nil && (kind.Name == "verdict" || kind.Name == "event") {
				made = append(made, strings.Trim(text.Value, `"`))
			}
			return true
		})
	}
	for _, reason := range made {
		if !slices.Contains(v1alpha1.Reasons(), reason) {
			t.Errorf("%s is not on the list", reason)
		}
	}
}
