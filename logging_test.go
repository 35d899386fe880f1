package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

func parseLogging(args ...string) (*loggingFlags, error) {
	var f loggingFlags
	set := flag.NewFlagSet("maildomain", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	f.register(set)
	return &f, set.Parse(args)
}

// At no level is so much logged that client-go writes the bodies of requests, which have Secrets in them: it does from 8 on.
func TestNoLevelShowsBodies(t *testing.T) {
	for _, level := range []string{"debug", "info", "warn", "error"} {
		f, err := parseLogging("--log-level", level)
		if err != nil {
			t.Fatal(err)
		}
		f.forKubernetes(io.Discard)
		for v := 5; v < 12; v++ {
			if logr.FromSlogHandler(f.logger(io.Discard).Handler()).V(v).Enabled() || klog.Background().V(v).Enabled() || klog.V(klog.Level(v)).Enabled() {
				t.Errorf("--log-level %s shows lines of verbosity %d", level, v)
			}
		}
	}
}

func TestLogIsOfOneForm(t *testing.T) {
	f, err := parseLogging("--log-format", "json", "--log-level", "warn")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	f.forKubernetes(&out)
	operator := logr.FromSlogHandler(f.logger(&out).Handler()) // controller-runtime keeps the first that it was given
	operator.Error(io.EOF, "of the operator")
	operator.Info("not said")
	klog.ErrorS(io.EOF, "of client-go")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %q", lines)
	}
	for _, line := range lines {
		var entry struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level != "ERROR" {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestLoggingFlagsAreChecked(t *testing.T) {
	for _, args := range [][]string{{"--log-level", "9"}, {"--log-level", "DEBUG-4"}, {"--log-level", ""}, {"--log-format", "xml"}, {"--v", "9"}} {
		if _, err := parseLogging(args...); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
