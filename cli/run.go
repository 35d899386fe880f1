package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes. They are public: scripts depend on them.
const (
	ExitOK      = 0
	ExitFail    = 1  // what was judged fails
	ExitChanges = 2  // of plan: applying would change DNS
	ExitUnknown = 3  // it could not be found out, or not be expressed
	ExitUsage   = 64 // the command could not be run: flags, files
)

// Env is what the commands use of the world.
type Env struct {
	// Program is the name under which the binary was called: as kubectl-maildomain it is the plugin of
	// kubectl, and its help says kubectl maildomain. Empty: maildomain.
	Program        string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Now            func() time.Time
}

// exit ends a command with a code; what there is to say was said.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Failed is the error of a command that has run and failed; the exit code is ExitFail.
type Failed struct{ Err error }

func (f Failed) Error() string { return f.Err.Error() }
func (f Failed) Unwrap() error { return f.Err }

// Run runs the command line and returns the exit code. more are commands that are built elsewhere.
func Run(ctx context.Context, env Env, args []string, more ...*cobra.Command) int {
	name := env.name()
	root := &cobra.Command{
		Use:         "maildomain",
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: name},
		Short:       "A domain's e-mail security: check, lint and import it, and the operator that keeps it true",
		Long: `A domain's e-mail security: judge, plan and follow it, and the operator that keeps it true.

Exit codes: 0 pass, 1 fail, 2 (of plan) there is a difference, 3 it could not be found out (or, of import, not be expressed), 64 the command
could not be run.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("no such command: %q", args[0])
			}
			if err := c.Help(); err != nil {
				return err
			}
			return exit(ExitUsage)
		},
	}
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.AddCommand(more...)
	root.AddCommand(checkCommand(env), lintCommand(env), messageCommand(env), importCommand(env), planCommand(env), statusCommand(env), rotateCommand(env), reportCommand(env))
	if name != root.Use {
		for _, c := range root.Commands() {
			c.Example, c.Long = called(c.Example, name), called(c.Long, name)
		}
	}
	err := root.ExecuteContext(ctx)
	var code exit
	var failed Failed
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &failed):
		fmt.Fprintf(env.Stderr, "%s: %v\n", name, err)
		return ExitFail
	}
	fmt.Fprintf(env.Stderr, "%s: %v\n", name, err)
	return ExitUsage
}

// name is what a person types to run the program.
func (e Env) name() string {
	base := strings.TrimSuffix(filepath.Base(e.Program), ".exe")
	if plugin, ok := strings.CutPrefix(base, "kubectl-"); ok {
		return "kubectl " + plugin
	}
	return "maildomain"
}

// invocation is a command line in a help text: at its beginning or behind a pipe.
var invocation = regexp.MustCompile(`(?m)(^  |\| |: )maildomain `)

// called has a help text call the program by its name.
func called(text, name string) string { return invocation.ReplaceAllString(text, "${1}"+name+" ") }
