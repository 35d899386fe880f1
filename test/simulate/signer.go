package simulate

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maildomain/maildomain-operator/keys"
)

const (
	ledgerSecret = object + "-maildomain-ledger"
	signerSecret = object + "-dkim"
)

// files are what a signer's Secret says.
type files struct {
	selectors []string
	private   map[string]string // by selector
}

func filesOf(s *corev1.Secret) *files {
	data := s.Data
	if s.Annotations[sharedMark] == "true" {
		data = keys.PartOf(data, domain)
	}
	f := &files{selectors: strings.Fields(string(data[keys.SelectorsFile])), private: map[string]string{}}
	for name, content := range data {
		if selector, ok := strings.CutSuffix(name, keys.PrivateFile("")); ok {
			f.private[selector] = string(content)
		}
	}
	return f
}

// reading is what a signer keeps in memory.
type reading string

const (
	readsAll    reading = "reads tables and keys for each message" // Exim
	readsKeys   reading = "reads the key for each message"         // OpenDKIM: the tables are in memory
	readsLoaded reading = "has all in memory"
)

// reloading is when it loads what it keeps.
type reloading string

const (
	prompt reloading = "promptly"
	late   reloading = "late"  // within half of the retention
	never  reloading = "never" // until its owner has it load
)

// signer is one replica of one that signs for the domain.
type signer struct {
	name   string
	reads  reading
	loads  reloading
	volume *files // nil: there is no Secret yet, so it does not run
	loaded *files
	// apart: it never loads anew, and nobody waits for it.
	apart bool
	// owes: it was to load and could not, for want of a file. Whoever had it load tries again as soon
	// as the file is there.
	owes bool
}

func newSigners(w *World) []*signer {
	if w.plan.quiet {
		return []*signer{{name: "signer 1", reads: readsAll}, {name: "signer 2", reads: readsKeys, loads: late}, {name: "signer 3", reads: readsLoaded, loads: prompt}}
	}
	list := []*signer{
		{name: "signer 1", reads: pick(w.rng, readsAll, readsKeys, readsLoaded), loads: prompt},
		{name: "signer 2", reads: pick(w.rng, readsKeys, readsLoaded), loads: prompt},
		{name: "signer 3", reads: pick(w.rng, readsKeys, readsLoaded), loads: late}, // one replica of three
	}
	switch {
	case w.plan.manual:
		list[0].reads, list[0].loads, list[2].loads = pick(w.rng, readsKeys, readsLoaded), never, never
	case w.plan.apart:
		list[1].loads, list[1].apart = never, true
	case w.rng.IntN(3) == 0: // all are late
		list[1].loads = late
	}
	return list
}

// mountAll has the kubelets bring the signer's Secret to where the signers find it.
func (w *World) mountAll() {
	for _, s := range w.signers {
		w.in(w.uniform(time.Second, mounted), func() { w.mount(s) })
	}
}

// mount brings what the Secret says now. One that was deleted stays in the volumes.
func (w *World) mount(s *signer) {
	secret, there := w.cluster.objects[at("Secret", types.NamespacedName{Namespace: namespace, Name: signerSecret})].(*corev1.Secret)
	if !there {
		return
	}
	first, volume := s.volume == nil, filesOf(secret)
	if first && len(volume.selectors) == 0 {
		return // a Secret of others, in which there is nothing for it yet
	}
	s.volume = volume
	switch {
	case first || s.loads == prompt && w.calm:
		w.load(s)
	case s.loads == prompt || s.owes:
		w.in(w.uniform(0, 10*time.Second), func() { w.load(s) })
	case s.loads == late:
		w.in(w.uniform(0, shortestRetention/2-mounted-time.Minute), func() { w.load(s) })
	}
}

// load has the signer take in what is mounted. It refuses tables that name a file which is not there,
// or that do not name its domain.
func (w *World) load(s *signer) {
	s.owes = len(s.volume.selectors) == 0 || slices.ContainsFunc(s.volume.selectors, func(selector string) bool { return s.volume.private[selector] == "" })
	if s.owes && s.loaded != nil {
		return
	}
	if s.loaded == nil || !slices.Equal(s.loaded.selectors, s.volume.selectors) {
		w.tell(s.name, "loads %v (%s)", s.volume.selectors, s.reads)
	}
	s.loaded = s.volume
}

// tables are the selectors that it signs with, and keys where it finds them.
func (s *signer) tables() (selectors []string, keys *files) {
	switch s.reads {
	case readsAll:
		return s.volume.selectors, s.volume
	case readsKeys:
		return s.loaded.selectors, s.volume
	}
	return s.loaded.selectors, s.loaded
}
