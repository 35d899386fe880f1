//go:build node

package node

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	corev1 "k8s.io/api/core/v1"
)

// jwt is what every token of the API server looks like.
var jwt = regexp.MustCompile(`eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}`)

// noToken looks through all that the policy server could read, and through its environment. The same search finds the token of
// the container beside it.
func (s scene) noToken() {
	for _, pod := range s.pods(policyServers) {
		if found := s.tokens(pod, server); len(found) > 0 {
			s.t.Errorf("the policy server of %s has a token: %q", pod.Name, found)
		}
		if found := s.tokens(pod, writer); len(found) == 0 {
			s.t.Errorf("no token is found in %s of %s either, which has one: the search is no good", writer, pod.Name)
		}
	}
}

// tokens are the files with a token that a container sees, as it sees them.
func (s scene) tokens(pod corev1.Pod, container string) (found []string) {
	s.t.Helper()
	const largest = 1 << 20 // the program itself is larger
	process := fmt.Sprintf("/proc/%d", s.pid(pod, container))
	look := func(path, shown string) {
		content, err := os.ReadFile(path)
		s.must(err)
		if jwt.Match(content) {
			found = append(found, shown)
		}
	}
	look(process+"/environ", "the environment")
	root, files := process+"/root", 0
	s.must(filepath.WalkDir(root+"/", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		shown := path[len(root):]
		if entry.IsDir() && (shown == "/proc" || shown == "/sys" || shown == "/dev") {
			return filepath.SkipDir
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() && info.Size() <= largest {
			files++
			look(path, shown)
		}
		return nil
	}))
	if files == 0 {
		s.t.Errorf("%s of %s has no file at all", container, pod.Name)
	}
	return found
}
