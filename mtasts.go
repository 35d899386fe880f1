package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/maildomain/maildomain-operator/mtastsserver"
)

func mtaSTS(ctx context.Context, args []string, stderr io.Writer) error {
	options := mtastsserver.Options{Log: slog.New(slog.NewTextHandler(stderr, nil))}
	set := flag.NewFlagSet("maildomain mta-sts", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&options.Dir, "snapshot-dir", "", "`directory` that the manager writes to")
	set.StringVar(&options.Listen, "listen", ":8443", "`address` of the policy port")
	set.StringVar(&options.HealthListen, "health-listen", "", "`address` of /healthz and /readyz, plain HTTP; empty: none")
	set.BoolVar(&options.Plain, "plain", false, "serve HTTP, behind an Ingress that ends TLS")
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case set.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", set.Arg(0))
	case options.Dir == "":
		return errors.New("--snapshot-dir is empty: name the directory that the manager writes to")
	}
	return mtastsserver.Run(ctx, options)
}
