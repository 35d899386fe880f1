// Package upgrade holds the test of what an upgrade does, which is nothing (Law 10): what earlier versions left in
// clusters and zones is taken up by this one without a write, and without a key.
package upgrade

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maildomain/maildomain-operator/test/envtest"
)

var version = flag.String("snapshot", "", "make the snapshots of this `version` that are not there yet, below testdata, instead of testing")

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetLogger(logr.Discard())
	os.Exit(envtest.Main(m))
}

// Each snapshot is put into a cluster and a zone, and this version works on it for some minutes: it writes to
// neither, makes no key, and tells of nothing.
func TestAnUpgradeChangesNothing(t *testing.T) {
	if *version != "" {
		t.Skip("snapshots are made")
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*.yaml"))
	if err != nil || len(files) < len(shapes) {
		t.Fatalf("only %d snapshots: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "testdata"+string(filepath.Separator)), ".yaml")
		t.Run(name, func(t *testing.T) {
			before, err := readSnapshot(file)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, before.At)
			w.restore(before)
			zones, objects := w.dns.Dump(), w.versions()
			w.unchanging()
			for range minutes {
				w.pass()
				w.forward(time.Minute)
			}
			if wrote := w.writes.all(); len(wrote) > 0 {
				t.Errorf("written to the API server: %s\n%s", strings.Join(wrote, ", "), w.describe())
			}
			if n := w.dns.Updates(); n > 0 {
				t.Errorf("%d UPDATEs of the zone", n)
			}
			if told := w.told(); len(told) > 0 {
				t.Errorf("told: %q", told)
			}
			if diff := cmp.Diff(zones, w.dns.Dump()); diff != "" {
				t.Errorf("the zone: %s", diff)
			}
			if diff := cmp.Diff(objects, w.versions()); diff != "" {
				t.Errorf("the cluster: %s", diff)
			}
		})
	}
}

// minutes is for how long a snapshot is worked on. It was left alone for as long before it was made, so nothing
// is due in them.
const minutes = 4

// Every snapshot of this version's shapes is there: a shape that is added is recorded, too.
func TestEveryShapeIsRecorded(t *testing.T) {
	versions, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]bool{}
	for _, v := range versions {
		for name := range shapes {
			_, err := os.Stat(filepath.Join("testdata", v.Name(), name+".yaml"))
			recorded[name] = recorded[name] || err == nil
		}
	}
	for name := range shapes {
		if !recorded[name] {
			t.Errorf("no version has a snapshot of %s: make upgrade-snapshot VERSION=...", name)
		}
	}
}

// TestSnapshot makes snapshots, with -snapshot. One that is there stays: an earlier version can't be asked again.
func TestSnapshot(t *testing.T) {
	if *version == "" {
		t.Skip("no -snapshot")
	}
	dir := filepath.Join("testdata", *version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(keysOf(shapes)) {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, name+".yaml")
			if _, err := os.Stat(file); err == nil {
				t.Skip("it is there")
			}
			w := newWorld(t, began)
			shapes[name](w)
			w.settle()
			if err := w.snapshot().write(file); err != nil {
				t.Fatal(err)
			}
		})
	}
}
