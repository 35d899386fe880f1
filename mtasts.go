package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/maildomain/maildomain-operator/mtastsserver"
)

func mtaSTS(ctx context.Context, args []string, stderr io.Writer) error {
	var options mtastsserver.Options
	var logging loggingFlags
	set := flag.NewFlagSet("maildomain mta-sts", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&options.Dir, "dir", "", "`directory` that snapshot writes, or a manager")
	set.StringVar(&options.Listen, "listen", ":8443", "`address` of the policy port")
	set.StringVar(&options.HealthListen, "health-listen", "", "`address` of /healthz, /readyz and /metrics, plain HTTP; empty: none")
	set.BoolVar(&options.Plain, "plain", false, "serve HTTP, behind an Ingress or a Gateway that ends TLS")
	logging.register(set)
	set.BoolVar(&options.AccessLog, "access-log", false, "log a line for each request")
	set.DurationVar(&options.Patience, "client-timeout", 5*time.Second, "`time` that a client may take for the TLS handshake, and then for the header of its request; after five times this a connection over TLS is closed in any case")
	set.IntVar(&options.MaxConnections, "max-connections", 2048, "`number` of connections at the policy port; more wait")
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case set.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", set.Arg(0))
	case options.Dir == "":
		return errors.New("--dir is empty: name the directory that maildomain snapshot writes")
	case options.Patience <= 0:
		return errors.New("--client-timeout must be more than 0")
	case options.MaxConnections < 1:
		return errors.New("--max-connections must be at least 1")
	}
	options.Log = logging.logger(stderr)
	return mtastsserver.Run(ctx, options)
}
