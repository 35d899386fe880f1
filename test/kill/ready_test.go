package kill

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/mtastsserver"
)

// The writer beside a policy server is ready when there is a snapshot of its own to serve: that its caches have synced is
// not enough.
func TestTheWriterIsReadyWithItsSnapshot(t *testing.T) {
	s := newScene(t, build(t))
	dir, health := filepath.Join(s.dir, "snapshot"), free(t)
	s.must(os.WriteFile(dir, nil, 0o600)) // where the directory is to be
	writer := s.command("snapshot", "--kubeconfig", s.kubeconfig(), "--namespace", s.namespace, "--snapshot-dir", dir, "--health-listen", health)
	s.must(writer.Start())
	t.Cleanup(func() {
		writer.Process.Kill()
		_ = writer.Wait()
	})
	until := func(what string, holds func(status int, text string) bool) {
		t.Helper()
		text := ""
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			response, err := http.Get("http://" + health + "/readyz")
			if err != nil {
				continue // it does not listen yet
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			s.must(err)
			if text = string(body); holds(response.StatusCode, text) {
				return
			}
		}
		output, _ := os.ReadFile(filepath.Join(s.dir, "snapshot.log"))
		t.Fatalf("never %s: %s\n%s", what, text, output)
	}
	until("synced, and not ready", func(status int, text string) bool {
		if status == http.StatusOK {
			t.Fatal("ready without a snapshot")
		}
		return strings.Contains(text, "[+]caches ok") && strings.Contains(text, "[-]snapshot failed")
	})
	s.must(os.Remove(dir))
	until("ready", func(status int, _ string) bool { return status == http.StatusOK })
	if _, err := mtastsserver.LoadSnapshot(dir); err != nil {
		t.Errorf("ready, and what is to be served is not: %v", err)
	}
}
