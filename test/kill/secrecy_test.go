package kill

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/secrecy"
)

// Private keys and credentials leave the Secrets by no way that a program has (Law 13): not in the log at its most talkative,
// with a provider that refuses what it is asked; not in metrics, Events and objects, nor in what Go prints of every goroutine
// when a process comes to grief.
func TestProgramsKeepSecrets(t *testing.T) {
	s := newScene(t, build(t))
	s.serve()
	s.apply()
	s.allowWrites()
	metrics := free(t)
	_, policyPort, _ := strings.Cut(s.policy, ":")
	manager := s.manager("--snapshot-dir", filepath.Join(s.dir, "snapshot"), "--mta-sts-roots", s.certFile, "--mta-sts-port", policyPort,
		"--log-level", "debug", "--metrics-listen", metrics, "--metrics-plain", "--metrics-per-object")
	manager.Env = append(os.Environ(), "GOTRACEBACK=system")
	s.must(manager.Start())
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = manager.Process.Kill()
			_ = manager.Wait()
		}
	})
	s.waitFor("ready", func(*v1alpha1.MailDomain) bool { return s.ready() })

	var known secrecy.Keys
	known.LearnText("tsig", []byte(tsigSecret))
	const wrong = "YSBrZXkgdGhhdCB0aGUgc2VydmVyIGRvZXMgbm90IGtub3c="
	known.LearnText("the wrong tsig", []byte(wrong))
	s.patch(&corev1.Secret{}, "tsig", `{"stringData":{"secret":"`+wrong+`"}}`)
	s.patch(&v1alpha1.MailDomain{}, "example-com", `{"spec":{"dmarc":{"policy":"quarantine"}}}`)
	s.waitFor("told of the refusal", func(md *v1alpha1.MailDomain) bool { return !s.ready() && strings.Contains(s.status(), "BADSIG") })

	response, err := http.Get("http://" + metrics + "/metrics")
	s.must(err)
	figures, err := io.ReadAll(response.Body)
	s.must(err)
	s.must(response.Body.Close())
	s.must(manager.Process.Signal(syscall.SIGQUIT))
	err = manager.Wait()
	if ended = true; !errors.As(err, new(*exec.ExitError)) {
		t.Errorf("the manager ended with %v, want exit status 2", err)
	}

	secrets := &corev1.SecretList{}
	s.must(s.api.List(t.Context(), secrets, client.InNamespace(s.namespace)))
	files := 0
	for _, secret := range secrets.Items {
		for name, content := range secret.Data {
			known.Learn(secret.Name+"/"+name, content)
			files++
		}
	}
	if files < 6 {
		t.Errorf("%d files in Secrets: there are more keys than that", files)
	}
	shown := map[string]string{"/metrics": string(figures)}
	for _, log := range []string{"manager.log", "mta-sts.log"} {
		text, err := os.ReadFile(filepath.Join(s.dir, log))
		s.must(err)
		shown[log] = string(text)
	}
	for kind, list := range map[string]client.ObjectList{
		"Events": &eventsv1.EventList{}, "MailDomains": &v1alpha1.MailDomainList{}, "DNSProviders": &v1alpha1.DNSProviderList{}, "ConfigMaps": &corev1.ConfigMapList{},
	} {
		s.must(s.api.List(t.Context(), list, client.InNamespace(s.namespace)))
		text, err := json.Marshal(list)
		s.must(err)
		shown[kind] = string(text)
	}
	for where, want := range map[string]string{
		"/metrics": "maildomain_dkim_keys", "manager.log": "SIGQUIT", "mta-sts.log": "level=", "Events": "Create", "MailDomains": "BADSIG", "DNSProviders": "tsig", "ConfigMaps": "mta-sts",
	} {
		if !strings.Contains(shown[where], want) {
			t.Errorf("%s has no %q, so it is not what this test means to search:\n%.2000s", where, want, shown[where])
		}
	}
	if !strings.Contains(shown["manager.log"], "level=DEBUG") || !strings.Contains(shown["manager.log"], "goroutine 1 ") {
		t.Error("the manager's log is not at its most talkative, or has no goroutines")
	}
	for where, text := range shown {
		if key := known.Find(text); key != "" {
			t.Errorf("%s shows a part of %s", where, key)
		}
	}
}

// waitFor waits until the MailDomain is as it should be.
func (s *scene) waitFor(what string, done func(*v1alpha1.MailDomain) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !done(s.get()); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			output, _ := os.ReadFile(filepath.Join(s.dir, "manager.log"))
			s.t.Fatalf("never %s\n%s\n%s", what, s.status(), output)
		}
	}
}

// patch changes an object as its user would.
func (s *scene) patch(o client.Object, name, patch string) {
	s.t.Helper()
	o.SetNamespace(s.namespace)
	o.SetName(name)
	s.must(s.api.Patch(context.Background(), o, client.RawPatch(types.MergePatchType, []byte(patch))))
}

// free is an address that nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
