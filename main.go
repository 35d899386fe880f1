// Command maildomain is the operator: `maildomain manager` keeps MailDomains true,
// `maildomain mta-sts` serves their MTA-STS policies, and `maildomain snapshot` writes what that
// serves. And it is a command line for people: package cli.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/cobra"

	"github.com/maildomain/maildomain-operator/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	env := cli.Env{Program: os.Args[0], Stdin: stdin, Stdout: stdout, Stderr: stderr, Now: time.Now}
	return cli.Run(ctx, env, args,
		service("manager", "Publish, rotate, serve and prove what MailDomains state", manager, stderr),
		service("mta-sts", "Serve MTA-STS policies over HTTPS from a snapshot", mtaSTS, stderr),
		service("snapshot", "Write that snapshot from what the cluster has, and nothing else", snapshot, stderr),
	)
}

// memoryShare is how much of a container's memory limit the collector keeps the heap and its like to, by working more where
// it must. The rest is for what is not Go's.
const memoryShare = 7.0 / 8

// service is a command that runs until it is stopped. It reads its flags by itself, and lists them with
// -h.
func service(name, short string, serve func(context.Context, []string, io.Writer) error, stderr io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:                name,
		Short:              short,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := memlimit.Set(memlimit.WithRatio(memoryShare)); err != nil {
				fmt.Fprintf(stderr, "%s: the memory limit of the container can't be found out, so none is kept to: %v\n", name, err)
			}
			err := serve(c.Context(), args, stderr)
			if err == nil || errors.Is(err, flag.ErrHelp) {
				return nil
			}
			return cli.Failed{Err: fmt.Errorf("%s: %w", name, err)}
		},
	}
}
