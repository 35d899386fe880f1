package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/test/dnsserver"
)

const (
	// patience ends a wait for something that hangs; nothing else depends on it.
	patience = 5 * time.Minute

	apex              = "scale.example" // of the one zone, or above all of them
	namespace         = "mail"
	operatorNamespace = "maildomain-system"
	tsigSecret        = "YSBwdWJsaWMgZGVtbyBrZXk6IHByb3RlY3RzIG5vbmU="

	// minimum is the SOA MINIMUM of the zones: so long each new key waits, whatever the operator does (Law 3).
	minimum = time.Second
)

// stage is everything that runs.
type stage struct {
	options
	dir        string // logs, kubeconfigs
	admin      string // kubeconfig of who may do everything
	kubeconfig string // of the operator
	config     *rest.Config
	api        client.WithWatch
	dns        *dnsserver.Server
	host       host
	keys       string // file of the stock; "": none
	apiserver  int    // process id
	etcd       int
	operator   *operator
	stops      []func() error // in the order of starting
}

// operator is a running process of it.
type operator struct {
	process  *exec.Cmd
	log      *os.File
	metrics  string // URL
	profiles string // URL
}

func (s *stage) stop() error {
	var all []error
	if s.operator != nil {
		all = append(all, s.operator.stop())
	}
	for _, stop := range slices.Backward(s.stops) {
		all = append(all, stop())
	}
	return errors.Join(all...)
}

func (s *stage) start(ctx context.Context) error {
	log.SetLogger(logr.Discard())
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"the directory", s.makeDir},
		{"the stock of keys", s.makeStock},
		{"the control plane", s.startControlPlane},
		{"the name server", s.startDNS},
		{"the provider", s.makeProvider},
		{"the operator's account", s.makeAccount},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (s *stage) makeDir(context.Context) (err error) {
	s.dir, err = os.MkdirTemp("", "maildomain-scale-")
	return err
}

func (s *stage) makeStock(ctx context.Context) (err error) {
	if s.stock {
		s.keys, err = stock(ctx, s.domains)
	}
	return err
}

func (s *stage) startControlPlane(context.Context) error {
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
	if s.apiserver, err = child("kube-apiserver"); err != nil {
		return err
	}
	if s.etcd, err = child("etcd"); err != nil {
		return err
	}
	admin, err := env.AddUser(envtest.User{Name: "scale", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return err
	}
	content, err := admin.KubeConfig()
	if err != nil {
		return err
	}
	s.admin = filepath.Join(s.dir, "admin.kubeconfig")
	if err := os.WriteFile(s.admin, content, 0o600); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	config.QPS = -1 // what the harness does is to be no bottleneck
	s.config = config
	s.api, err = client.NewWithWatch(config, client.Options{Scheme: scheme})
	return err
}

// startDNS serves the zones, empty but for what makes a zone.
func (s *stage) startDNS(context.Context) (err error) {
	s.dns, err = dnsserver.Start(dnsserver.Config{
		Addr: "127.0.0.1:0", Keys: map[string]string{"maildomain.": tsigSecret}, Zones: s.apexes(),
		SOATTL: time.Minute, Minimum: minimum,
	})
	if err == nil {
		s.stops = append(s.stops, s.dns.Close)
	}
	return err
}

func (s *stage) makeProvider(ctx context.Context) (err error) {
	if s.host, err = hosts[s.provider](s); err != nil {
		return err
	}
	s.host.spec.Domains = []string{apex}
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "dns"}, StringData: s.host.secret},
		&v1alpha1.DNSProvider{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "dns"}, Spec: s.host.spec},
	} {
		if err := s.api.Create(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// makeAccount gives the operator the rights that config/ gives it, the limits on them, and a token: what each request of it costs the API
// server depends on how it proves who it is, and on what that account may do.
func (s *stage) makeAccount(ctx context.Context) error {
	for _, part := range []string{"config/rbac", "config/admission"} {
		command := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "--kubeconfig", s.admin, "create", "-k", part)
		if said, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("kubectl create -k %s: %w\n%s", part, err, said)
		}
	}
	day := int64(24 * 60 * 60)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &day}}
	manager := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "maildomain-manager"}}
	if err := s.api.SubResource("token").Create(ctx, manager, request); err != nil {
		return err
	}
	s.kubeconfig = filepath.Join(s.dir, "operator.kubeconfig")
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"scale": {Server: s.config.Host, CertificateAuthorityData: s.config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"operator": {Token: request.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{"scale": {Cluster: "scale", AuthInfo: "operator"}},
		CurrentContext: "scale",
	}, s.kubeconfig)
}

// startOperator runs the operator as it is deployed, but for its addresses and with more arguments. It is ready when this
// returns.
func (s *stage) startOperator(ctx context.Context, more ...string) (err error) {
	var ports [3]string
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return err
		}
	}
	o := &operator{metrics: "http://" + ports[0] + "/metrics", profiles: "http://" + ports[2] + "/debug/pprof/"}
	if o.log, err = os.OpenFile(filepath.Join(s.dir, "operator.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	o.process = exec.Command(s.binary, append([]string{"manager", "--kubeconfig", s.kubeconfig, "--namespace", operatorNamespace, "--owner-id", "scale",
		"--resolver", s.dns.Addr(), "--authoritative-port", strconv.Itoa(int(s.dns.AddrPort().Port())), "--allow-private-targets", "127.0.0.0/8",
		"--starttls-probe", "off", "--metrics-listen", ports[0], "--metrics-plain", "--health-listen", ports[1]}, more...)...)
	o.process.Env = append(os.Environ(), "MAILDOMAIN_SCALE_KEYS="+s.keys, "MAILDOMAIN_SCALE_PPROF="+ports[2])
	o.process.Stdout, o.process.Stderr = o.log, o.log
	o.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the harness, which ends all in order
	if err := o.process.Start(); err != nil {
		return errors.Join(err, o.log.Close())
	}
	s.operator = o
	return until(ctx, patience, func() (bool, error) {
		response, err := http.Get("http://" + ports[1] + "/readyz")
		if err != nil {
			return false, nil // it does not listen yet
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
}

func (s *stage) stopOperator() error {
	o := s.operator
	s.operator = nil
	return o.stop()
}

func (o *operator) stop() error {
	err := o.process.Process.Signal(syscall.SIGTERM)
	return errors.Join(err, o.process.Wait(), o.log.Close())
}

func (o *operator) pid() int { return o.process.Process.Pid }

// profile has the operator write the profile to a file, if profiles are wanted.
func (s *stage) profile(name, query string) error {
	if s.profiles == "" {
		return nil
	}
	response, err := http.Get(s.operator.profiles + query)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return errors.Join(err, os.MkdirAll(s.profiles, 0o755), os.WriteFile(filepath.Join(s.profiles, name), content, 0o644))
}

// profileAll has the operator and kube-apiserver write what they use a processor for, at the same time, if profiles are wanted.
func (s *stage) profileAll(ctx context.Context, name string, seconds int) error {
	if s.profiles == "" {
		return nil
	}
	var both errgroup.Group
	both.Go(func() error { return s.profile(name+".pprof", fmt.Sprintf("profile?seconds=%d", seconds)) })
	both.Go(func() error {
		clients, err := kubernetes.NewForConfig(s.config)
		if err != nil {
			return err
		}
		content, err := clients.RESTClient().Get().AbsPath("/debug/pprof/profile").Param("seconds", strconv.Itoa(seconds)).DoRaw(ctx)
		return errors.Join(err, os.MkdirAll(s.profiles, 0o755), os.WriteFile(filepath.Join(s.profiles, name+"-apiserver.pprof"), content, 0o644))
	})
	return both.Wait()
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// until asks again and again, for as long as the limit.
func until(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
