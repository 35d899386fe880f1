// Command maildomain is the operator: `maildomain manager` keeps MailDomains true, and
// `maildomain mta-sts` serves their MTA-STS policies beside it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: maildomain <command> [flags]

  manager   publish, rotate, serve and prove what MailDomains state
  mta-sts   serve MTA-STS policies over HTTPS from the manager's snapshot
  snapshot  write that snapshot and nothing else, for policy servers apart from the manager

"maildomain <command> -h" lists the flags.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "maildomain:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "manager":
			return manager(ctx, args[1:], stderr)
		case "mta-sts":
			return mtaSTS(ctx, args[1:], stderr)
		case "snapshot":
			return snapshot(ctx, args[1:], stderr)
		}
	}
	_, _ = io.WriteString(stderr, usage)
	return fmt.Errorf("no such command: want manager, mta-sts or snapshot")
}
