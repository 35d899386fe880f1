package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// directory makes a directory with executable files of these names.
func directory(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFirst(t *testing.T) {
	full, partial := directory(t, programs...), directory(t, "etcd")
	empty := source{"empty", at("")}
	broken := source{"broken", func(context.Context) (string, error) { return "", errors.New("no network") }}
	incomplete := source{"incomplete", at(partial)}
	good := source{"good", at(full)}
	forbidden := source{"forbidden", func(context.Context) (string, error) {
		t.Error("a source was asked although an earlier one had all programs")
		return "", nil
	}}
	cases := []struct {
		name    string
		sources []source
		want    string
		said    []string // the sources that were complained about, in order
	}{
		{"nothing at all", nil, "", nil},
		{"nothing to offer is silent", []source{empty}, "", nil},
		{"the first wins", []source{good, forbidden}, full, nil},
		{"what fails is passed over", []source{empty, broken, incomplete, good, forbidden}, full, []string{"broken", "incomplete"}},
		{"all fail", []source{broken, incomplete}, "", []string{"broken", "incomplete"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var said []string
			say := func(format string, args ...any) {
				name, _, _ := strings.Cut(fmt.Sprintf(format, args...), ":")
				said = append(said, name)
			}
			if got := first(t.Context(), say, programs, c.sources...); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if !slices.Equal(said, c.said) {
				t.Errorf("said %q, want %q", said, c.said)
			}
		})
	}
	t.Run("nothing is started once stopped", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		first(ctx, t.Logf, programs, forbidden)
	})
}

func TestComplete(t *testing.T) {
	plain := directory(t, programs...)
	if err := os.Chmod(filepath.Join(plain, "kubectl"), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, dir string
		want      string // part of the error
	}{
		{"all", directory(t, programs...), ""},
		{"more than all", directory(t, append(programs[:len(programs):len(programs)], "kubelet")...), ""},
		{"one missing", directory(t, "etcd", "kubectl"), "no kube-apiserver in"},
		{"none", t.TempDir(), "no kube-apiserver, etcd, kubectl in"},
		{"not executable", plain, "no kubectl in"},
		{"not there", filepath.Join(plain, "absent"), "no kube-apiserver, etcd, kubectl in"},
		{"relative", "bin", "bin is not an absolute path"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := complete(c.dir, programs)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
