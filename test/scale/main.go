// Command scale measures the operator with many MailDomains on one machine: a real kube-apiserver and etcd, the in-tree name
// server, which takes dynamic updates or serves what a fake of a provider's API holds, and the operator in a process of its own.
// It prints a table, and writes the same as JSON; with -ranges it compares the figures with a file of ranges, and fails where one
// is outside.
//
// It runs on Linux: what processes use is read from /proc.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// options are what one run is about.
type options struct {
	domains  int
	zones    string // oneZone or zoneEach
	provider string // one of hosts
	stock    bool   // keys are taken from a stock that was made before
	binary   string
	foreign  int    // Secrets of others
	profiles string // directory; "": none are taken
}

const (
	oneZone  = "one"
	zoneEach = "each"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := scale(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func scale(ctx context.Context) error {
	var o options
	flag.IntVar(&o.domains, "n", 1000, "`number` of MailDomains")
	flag.StringVar(&o.zones, "zones", oneZone, "one: all domains are in one zone; each: each has its own")
	flag.StringVar(&o.provider, "provider", "rfc2136", "rfc2136: the name server takes dynamic updates; cloudflare, route53: a strict fake of their API, with its limit of calls")
	flag.BoolVar(&o.stock, "stock", true, "rsa keys come from a stock that is made before the clock starts; false: the operator makes them meanwhile")
	flag.StringVar(&o.binary, "operator", "bin/maildomain-scale", "the operator, built with the tag scale")
	flag.IntVar(&o.foreign, "foreign", 0, "`number` of Secrets of 100 KiB that are nothing to the operator: what they cost it in memory is measured at the end")
	flag.StringVar(&o.profiles, "profiles", "", "`directory` for profiles of the operator, and of kube-apiserver; empty: none are taken")
	soaks := flag.Duration("soak", 0, "instead of measuring: `time` for which MailDomains come, change and go, the name server fails and the operator is killed; then all is compared")
	seed := flag.Uint64("seed", 1, "with -soak: what chance begins with")
	output := flag.String("json", "", "`file` for the figures; empty: none")
	ranges := flag.String("ranges", "", "`file` that says within which bounds the figures must be; empty: anything goes")
	flag.Parse()
	if o.domains < 1 || o.zones != oneZone && o.zones != zoneEach || hosts[o.provider] == nil || flag.NArg() > 0 {
		return errors.New("want -n of 1 or more, -zones one or each, and -provider rfc2136, cloudflare or route53")
	}
	if *soaks > 0 {
		if o.provider != "rfc2136" {
			return errors.New("-soak is for -provider rfc2136 alone: its faults are those of a name server")
		}
		o.stock = false
		result, err := play(ctx, o, func(s *stage) (soaked, error) { return soak(ctx, s, *soaks, *seed) })
		fmt.Print(result.table())
		return err
	}
	result, err := play(ctx, o, func(s *stage) (result, error) { return measure(ctx, s) })
	if err != nil {
		return err
	}
	fmt.Print(result.table())
	if *output != "" {
		text, err := json.MarshalIndent(result, "", "  ")
		if err != nil {
			return err
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(*output), 0o755), os.WriteFile(*output, append(text, '\n'), 0o644)); err != nil {
			return err
		}
	}
	if *ranges == "" {
		return nil
	}
	content, err := os.ReadFile(*ranges)
	if err != nil {
		return err
	}
	return check(content, result.figures())
}

// play has do use a stage of its own, which begins with an empty cluster.
func play[T any](ctx context.Context, o options, do func(*stage) (T, error)) (came T, err error) {
	s := &stage{options: o}
	defer func() {
		err = errors.Join(err, s.stop())
		if err == nil {
			err = os.RemoveAll(s.dir)
		} else if s.dir != "" {
			err = fmt.Errorf("%w\nthe logs: %s", err, s.dir)
		}
	}()
	if err := s.start(ctx); err != nil {
		return came, err
	}
	return do(s)
}

// measure plays one run.
func measure(ctx context.Context, s *stage) (result result, err error) {
	o := s.options
	result.Domains, result.Zones, result.Provider, result.Stock = o.domains, o.zones, o.provider, o.stock
	if result.Apply, err = s.apply(ctx); err != nil {
		return result, fmt.Errorf("from nothing to Ready: %w", err)
	}
	if result.Restart, err = s.restart(ctx); err != nil {
		return result, fmt.Errorf("the restart: %w", err)
	}
	if result.Steady, err = s.steady(ctx); err != nil {
		return result, fmt.Errorf("the steady state: %w", err)
	}
	if result.Overtake, err = s.overtake(ctx); err != nil {
		return result, fmt.Errorf("changes among drift checks: %w", err)
	}
	if result.Foreign, err = s.beside(ctx); err != nil {
		return result, fmt.Errorf("the Secrets of others: %w", err)
	}
	return result, nil
}
