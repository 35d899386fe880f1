package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/certificate"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

const (
	dnsPort           = 5354 // as config/samples/ has it
	operatorNamespace = "maildomain-system"
)

// stage is everything that runs for the demo.
type stage struct {
	dir        string // logs, certificates, kubeconfig, snapshot
	kubeconfig string
	caFile     string
	roots      *x509.CertPool
	policyPort int
	api        client.Client
	dns        *dnsserver.Server
	samples    []*unstructured.Unstructured
	stops      []func() error // in the order of starting
}

func (s *stage) stop() error {
	var all []error
	for _, stop := range slices.Backward(s.stops) {
		all = append(all, stop())
	}
	return errors.Join(all...)
}

func (s *stage) kubectl() string { return filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl") }

func start(ctx context.Context) (*stage, error) {
	log.SetLogger(logr.Discard())
	s := &stage{}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"the directory", s.makeDir},
		{"the samples", s.readSamples},
		{"the control plane", s.startControlPlane},
		{"the name server", s.startDNS},
		{"the certificate", s.makeCertificate},
		{"the operator", s.startOperator},
	} {
		if err := step.do(ctx); err != nil {
			return s, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return s, nil
}

func (s *stage) makeDir(context.Context) (err error) {
	s.dir, err = os.MkdirTemp("", "maildomain-demo-")
	return err
}

// readSamples reads config/samples/, the namespace first.
func (s *stage) readSamples(context.Context) error {
	files, err := filepath.Glob("config/samples/*.yaml")
	if err != nil {
		return err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
			object := &unstructured.Unstructured{}
			if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			switch object.GetKind() {
			case "Namespace":
				s.samples = slices.Insert(s.samples, 0, object)
			case "", "Kustomization":
			default:
				if object.GetAPIVersion() != "" {
					s.samples = append(s.samples, object)
				}
			}
		}
	}
	if len(s.samples) == 0 {
		return errors.New("config/samples/ is empty: run make demo at the root of the repository")
	}
	return nil
}

func (s *stage) sample(kind, name string) *unstructured.Unstructured {
	for _, o := range s.samples {
		if o.GetKind() == kind && o.GetName() == name {
			return o
		}
	}
	return &unstructured.Unstructured{Object: map[string]any{}}
}

func (s *stage) startControlPlane(ctx context.Context) error {
	env := &envtest.Environment{
		CRDDirectoryPaths:        []string{"config/crd/bases"},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: patience,
		ControlPlaneStopTimeout:  patience,
		CRDInstallOptions:        envtest.CRDInstallOptions{MaxTime: patience},
	}
	s.stops = append(s.stops, env.Stop)
	config, err := env.Start()
	if err != nil {
		return err
	}
	admin, err := env.AddUser(envtest.User{Name: "demo", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return err
	}
	content, err := admin.KubeConfig()
	if err != nil {
		return err
	}
	s.kubeconfig = filepath.Join(s.dir, "kubeconfig")
	if err := os.WriteFile(s.kubeconfig, content, 0o600); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	s.api, err = client.New(config, client.Options{Scheme: scheme})
	return err
}

// startDNS serves the zones of the samples, as they were before anybody cared for their mail.
func (s *stage) startDNS(context.Context) (err error) {
	secret, _, _ := unstructured.NestedString(s.sample("Secret", "demo-tsig").Object, "stringData", "secret")
	s.dns, err = dnsserver.Start(dnsserver.Config{
		Addr:    fmt.Sprintf("127.0.0.1:%d", dnsPort),
		Keys:    map[string]string{"maildomain.": secret},
		Zones:   []string{"com", "example.com", "net", "example.net", "org", "example.org", "se", "smarter.se"},
		SOATTL:  time.Minute,
		Minimum: 2 * time.Second, // a new key waits for as long
	})
	if err != nil {
		return fmt.Errorf("%w (config/samples/ names port %d)", err, dnsPort)
	}
	s.stops = append(s.stops, s.dns.Close)
	return errors.Join(
		s.dns.Set("example.com", "MX", "10 mx1.example.com."),
		s.dns.Set("mx1.example.com", "A", "127.0.0.1"),
		s.dns.Set("mta-sts.example.com", "A", "127.0.0.1"),
		s.dns.SetTXT("smarter.se", "v=spf1 ip4:198.51.100.0/24 -all"),
		s.dns.SetTXT("example.net", "v=spf1 mx ~all"),
		s.dns.Set("example.net", "MX", "10 mx1.example.com."),
		s.dns.Set("example.org", "MX", "10 mx1.example.com."),
	)
}

// makeCertificate makes what cert-manager or a person would bring: a certificate for the policy
// host, in a Secret, and the authority that the world trusts.
func (s *stage) makeCertificate(context.Context) error {
	cert, key, err := certificate.SelfSigned("mta-sts.example.com")
	if err != nil {
		return err
	}
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(cert)
	s.caFile = filepath.Join(s.dir, "ca.pem")
	s.samples = append(s.samples, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
		"metadata":   map[string]any{"name": "mta-sts-example-com", "namespace": "mail"},
		"stringData": map[string]any{"tls.crt": string(cert), "tls.key": string(key)},
	}})
	return os.WriteFile(s.caFile, cert, 0o644)
}

// startOperator runs bin/maildomain twice, as the pod does: the manager and the policy server.
func (s *stage) startOperator(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.policyPort = listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return err
	}
	namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": operatorNamespace}}}
	if err := s.api.Create(ctx, namespace); err != nil {
		return err
	}
	snapshot := filepath.Join(s.dir, "snapshot")
	dns := fmt.Sprintf("127.0.0.1:%d", dnsPort)
	if err := s.run("mta-sts", "--snapshot-dir", snapshot, "--listen", fmt.Sprintf("127.0.0.1:%d", s.policyPort)); err != nil {
		return err
	}
	return s.run("manager", "--kubeconfig", s.kubeconfig, "--namespace", operatorNamespace, "--owner-id", "demo",
		"--snapshot-dir", snapshot, "--resolver", dns, "--authoritative-port", strconv.Itoa(dnsPort), "--allow-private-targets", "127.0.0.0/8",
		"--mta-sts-roots", s.caFile, "--mta-sts-port", strconv.Itoa(s.policyPort), "--poll", "1s",
		"--starttls-probe", "off") // nobody listens at the demo's MX host
}

// run starts bin/maildomain, with its output in a log file.
func (s *stage) run(command string, args ...string) error {
	output, err := os.Create(filepath.Join(s.dir, command+".log"))
	if err != nil {
		return err
	}
	process := exec.Command("bin/maildomain", append([]string{command}, args...)...)
	process.Stdout, process.Stderr = output, output
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the demo, which ends them in order
	if err := process.Start(); err != nil {
		return errors.Join(err, output.Close())
	}
	s.stops = append(s.stops, func() error {
		err := process.Process.Signal(syscall.SIGTERM)
		return errors.Join(err, process.Wait(), output.Close())
	})
	return nil
}
