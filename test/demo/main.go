// Command demo shows the operator at work on one machine: a real control plane, a name server,
// the manager and the policy server, all on loopback; then config/samples/, from apply to
// proven records, and one rotation of a DKIM key.
//
// With DEMO_ONCE=1 it ends when everything was verified, and fails if something was not.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// patience ends a demo that hangs; nothing else depends on it.
const patience = 5 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context) (err error) {
	fmt.Println("Starting the control plane, a name server, the manager and the policy server (some 10 seconds)")
	s, err := start(ctx)
	defer func() {
		err = errors.Join(err, s.stop())
		if err == nil {
			err = os.RemoveAll(s.dir)
		} else {
			err = fmt.Errorf("%w\nthe logs: %s", err, s.dir)
		}
	}()
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.show(limited); err != nil {
		return err
	}
	if os.Getenv("DEMO_ONCE") == "1" {
		fmt.Println("\nAll records and the policy are verified.")
		return nil
	}
	fmt.Printf(`
Look around, in another terminal:

  export KUBECONFIG=%s
  kubectl -n mail get maildomains -w
  kubectl -n mail describe maildomain example-com
  dig @127.0.0.1 -p %d +short TXT _dmarc.example.com
  curl --cacert %s --resolve mta-sts.example.com:%d:127.0.0.1 https://mta-sts.example.com:%d/.well-known/mta-sts.txt

kubectl, if you have none: %s
The logs: %s
Ctrl-C ends it all.
`, s.kubeconfig, dnsPort, s.caFile, s.policyPort, s.policyPort, s.kubectl(), s.dir)
	<-ctx.Done()
	return nil
}
