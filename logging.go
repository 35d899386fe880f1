package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// loggingFlags say what is logged, and how.
//
// There is no number for verbosity as other controllers have it (-v): from 8 on, client-go writes the bodies of
// requests and answers, so every Secret that is read or made (Law 13). The most that can be had, debug, is its 4.
type loggingFlags struct {
	level  slog.Level
	format logFormat
}

type logFormat string

const (
	logText logFormat = "text"
	logJSON logFormat = "json"
)

func (f *loggingFlags) register(set *flag.FlagSet) {
	f.format = logText
	set.Func("log-level", "least `level` that is logged: debug, info, warn or error (default info)", func(text string) error {
		switch text {
		case "debug", "info", "warn", "error":
			return f.level.UnmarshalText([]byte(text))
		}
		return fmt.Errorf("want debug, info, warn or error")
	})
	set.Func("log-format", "`format` of the log: text or json, a line each (default text)", func(text string) error {
		switch f.format = logFormat(text); f.format {
		case logText, logJSON:
			return nil
		}
		return fmt.Errorf("want text or json")
	})
}

// logger writes to w.
func (f *loggingFlags) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: f.level}
	if f.format == logJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// forKubernetes has controller-runtime and client-go log to w as well.
func (f *loggingFlags) forKubernetes(w io.Writer) {
	logger := f.logger(w)
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	klog.SetSlogLogger(logger)
}
