package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/survey"
)

// asking bounds the names that are asked for at the same time.
const asking = 8

// answers is what the name servers of the zone that holds a name give for it.
type answers struct {
	probe.Authority
	list    []probe.Answer
	unknown string // why they could not be asked
}

// authoritative asks every name server of the zones that hold the keys.
func (w *world) authoritative(ctx context.Context, keys []dnsprovider.Key) map[dnsprovider.Key]answers {
	prober := probe.NewProber(probe.Options{Resolver: w.resolver, Port: w.dnsPort, Timeout: w.timeout / 5, AllowPrivate: w.allowed})
	var mu sync.Mutex
	seen := map[dnsprovider.Key]answers{}
	var group errgroup.Group
	group.SetLimit(asking)
	for _, key := range keys {
		group.Go(func() error {
			var a answers
			authority, err := prober.Authority(ctx, key.Name, nil)
			if err != nil {
				a.unknown = fmt.Sprintf("%s: the name servers of its zone can't be found: %s", key, firstLine(err))
			} else {
				a.Authority, a.list = authority, prober.Ask(ctx, authority, key.Name, key.Type)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[key] = a
			return nil
		})
	}
	_ = group.Wait()
	return seen
}

// proves reports whether an answer is a fact about the name.
func proves(a probe.Answer) bool {
	return a.Outcome == probe.Found || a.Outcome == probe.NoData || a.Outcome == probe.NXDomain
}

// rrset puts together what the servers serve; unknown says why nothing is known of it.
func (a answers) rrset(key dnsprovider.Key) (set dnsprovider.RRset, unknown string) {
	if a.unknown != "" {
		return set, a.unknown
	}
	set.Key = key
	var values, silent []string
	answered := false
	for _, one := range a.list {
		if !proves(one) {
			silent = append(silent, fmt.Sprintf("%s (%s)", one.Server, cmp.Or(one.Detail, string(one.Outcome))))
			continue
		}
		answered = true
		values = append(values, one.Values...)
		set.Alias = cmp.Or(one.Alias, set.Alias)
	}
	if !answered {
		slices.Sort(silent)
		return set, fmt.Sprintf("%s: no name server of its zone answers: %s", key, strings.Join(slices.Compact(silent), ", "))
	}
	slices.Sort(values)
	for _, value := range slices.Compact(values) {
		set.Records = append(set.Records, dnsprovider.Record{Value: value})
	}
	return set, ""
}

// recursive asks the resolver for the values at a key.
func (w *world) recursive(ctx context.Context, key dnsprovider.Key) (values []string, unknown string) {
	var err error
	switch key.Type {
	case dnsprovider.TypeTXT:
		values, err = w.resolver.LookupTXT(ctx, key.Name)
	case dnsprovider.TypeCNAME:
		var alias string
		if alias, err = w.resolver.Alias(ctx, key.Name); alias != "" {
			values = []string{alias}
		}
	default:
		network := map[string]string{dnsprovider.TypeA: "ip4", dnsprovider.TypeAAAA: "ip6"}[key.Type]
		addrs, lookup := w.resolver.LookupNetIP(ctx, network, key.Name)
		for _, a := range addrs {
			values = append(values, a.Unmap().String())
		}
		err = lookup
	}
	if err != nil && !survey.IsNotFound(err) {
		return nil, survey.CauseOf(err)
	}
	slices.Sort(values)
	return values, ""
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
