package manifests

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/certificate"
)

// metricsHost is the name in the certificates of these tests.
const metricsHost = "metrics.test"

// scraper is a ServiceAccount, and the token that it asks with.
func (s *scene) scraper() (account *corev1.ServiceAccount, token string) {
	s.t.Helper()
	account = &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.mail, GenerateName: "scraper-"}}
	s.create(account)
	request := &authenticationv1.TokenRequest{}
	must(s.t, s.api.SubResource("token").Create(s.t.Context(), account, request))
	return account, request.Status.Token
}

// scrape asks a process for /metrics over TLS, with what the certificate is verified by; nil: by nothing.
func (s *scene) scrape(p *process, token string, roots *x509.CertPool) (status int, text string, err error) {
	s.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: metricsHost, InsecureSkipVerify: roots == nil}, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "https://"+p.metrics+"/metrics", nil)
	must(s.t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(s.t, err)
	return response.StatusCode, string(body), nil
}

// reader is a scraper with the role that config/ has for it.
func (s *scene) reader() (token string) {
	s.t.Helper()
	account, token := s.scraper()
	role := one[rbacv1.ClusterRole](s.installed, "ClusterRole", "maildomain-metrics-reader")
	s.create(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "reader-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
	})
	return token
}

// read scrapes with the right to, which the API server takes a moment to know of.
func (s *scene) read(p *process, token string, roots *x509.CertPool) (text string) {
	s.t.Helper()
	var status int
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if status, text, err = s.scrape(p, token, roots); status == http.StatusOK {
			return text
		}
	}
	s.t.Fatalf("with the right: status %d, %v", status, err)
	return ""
}

// checkMetrics: without a token, with one that nobody knows or of an account without the right one is refused; with the
// right one gets the lines, and nothing that names a tenant's. Nobody gets it without TLS.
func (s *scene) checkMetrics(p *process, lines ...string) {
	s.t.Helper()
	text := s.read(p, s.reader(), nil) // first, as the port is not open at once
	_, stranger := s.scraper()
	for name, test := range map[string]struct {
		token string
		want  int
	}{
		"without a token":       {"", http.StatusUnauthorized},
		"with an unknown token": {"eyJhbGciOiJub25lIn0.e30.", http.StatusUnauthorized},
		"without the right":     {stranger, http.StatusForbidden},
	} {
		if status, text, err := s.scrape(p, test.token, nil); err != nil || status != test.want || strings.Contains(text, "# HELP") {
			s.t.Errorf("%s: status %d, %v, want %d\n%.200s", name, status, err, test.want, text)
		}
	}
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line) {
			s.t.Errorf("there is no %q in\n%s", line, text)
		}
	}
	for _, tenant := range []string{s.mail, "example"} {
		if strings.Contains(text, tenant) {
			s.t.Errorf("the metrics name %q of a tenant:\n%s", tenant, text)
		}
	}
	if response, err := http.Get("http://" + p.metrics + "/metrics"); err == nil {
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if strings.Contains(string(body), "# HELP") {
			s.t.Errorf("the metrics come without TLS: %s", response.Status)
		}
	}
}

// A certificate of the administrator's is served, and its successor without a restart. Who asks for it gets
// series that name each MailDomain.
func TestMetricsCertificateAndObjects(t *testing.T) {
	s := newScene(t, render(t, "install"))
	dir := t.TempDir()
	renew := func() *x509.CertPool {
		t.Helper()
		cert, key, err := certificate.SelfSigned(metricsHost)
		must(t, err)
		// As kubelet does: both files at once.
		for name, content := range map[string][]byte{"tls.crt": cert, "tls.key": key} {
			must(t, os.WriteFile(filepath.Join(dir, name+".new"), content, 0o600))
		}
		must(t, os.Rename(filepath.Join(dir, "tls.key.new"), filepath.Join(dir, "tls.key")))
		must(t, os.Rename(filepath.Join(dir, "tls.crt.new"), filepath.Join(dir, "tls.crt")))
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(cert)
		return roots
	}
	first := renew()
	manager := s.manage(s.account(s.deployed("maildomain-manager")), "--metrics-cert-dir", dir, "--metrics-per-object")
	comes := func(roots *x509.CertPool) func() bool {
		return func() bool {
			status, _, err := s.scrape(manager, "", roots)
			return err == nil && status == http.StatusUnauthorized
		}
	}
	s.until("the certificate of the directory served", comes(first))
	second := renew()
	s.until("its successor served", comes(second))

	yes := true
	s.create(&v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: s.mail, Name: "quiet"}, Spec: v1alpha1.MailDomainSpec{Domain: "example.com", Suspend: &yes}})
	token := s.reader()
	line := fmt.Sprintf("maildomain_conditions{name=%q,namespace=%q,reason=%q,status=%q,type=%q} 1\n", "quiet", s.mail, "Suspended", "Unknown", "Ready")
	told := func() bool { return strings.Contains(s.read(manager, token, second), line) }
	s.until("its series told", told)
	must(t, s.api.Delete(t.Context(), s.find("quiet")))
	s.until("nothing told of one that is gone", func() bool { return !strings.Contains(s.read(manager, token, second), `"quiet"`) })
}
