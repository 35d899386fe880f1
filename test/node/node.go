// Package node brings up a real one-node Kubernetes on this machine, for what no API server alone can show: kubelet, containerd
// and runc run the Pods, kube-proxy leads to them. Nothing of it is seen outside of its own namespaces.
//
// Node, the test of this package, needs root, Linux, and what `make e2e-node` prepares.
package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// The network, which nobody else sees.
const (
	nodeName    = "node"
	nodeAddress = "192.0.2.1"
	nodeNetwork = "192.0.2.0/24"
	podNetwork  = "10.244.0.0/24"
	services    = "10.96.0.0/16"
)

// Node is the running node, and the cluster that it is all of.
type Node struct {
	API        client.Client
	Kubeconfig string // an administrator's

	dir          string
	assets       string // directory of kubelet, containerd and so on
	controlPlane string // directory of kube-apiserver, etcd, kubectl
	programs     []*program
}

// Start brings the node up. It runs in the enclosure, and ends with it.
func Start(dir, assets, controlPlane string) (*Node, error) {
	n := &Node{dir: dir, assets: assets, controlPlane: controlPlane}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"what the node needs", look},
		{"the enclosure", func() error { return settle(dir) }},
		{"directories", n.makeDirs},
		{"the network", n.startNetwork},
		{"the control plane", n.startControlPlane},
		{"containerd", n.startContainerd},
		{"the kubelet", n.startKubelet},
		{"kube-proxy", n.startProxy},
	} {
		if err := step.do(); err != nil {
			return n, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return n, nil
}

// look finds what others have to bring.
func look() error {
	for _, needed := range []struct{ program, pkg string }{
		{"ip", "iproute2"}, {"nft", "nftables"},
		{plugins + "/ptp", "containernetworking-plugins"}, {plugins + "/host-local", "containernetworking-plugins"}, {plugins + "/loopback", "containernetworking-plugins"},
	} {
		if _, err := exec.LookPath(needed.program); err != nil {
			return fmt.Errorf("%w: install Debian's %s", err, needed.pkg)
		}
	}
	return nil
}

// Logs is the end of what each program has logged.
func (n *Node) Logs() string {
	var all strings.Builder
	for _, p := range n.programs {
		fmt.Fprintln(&all, p.tail())
	}
	return all.String()
}

func (n *Node) path(elements ...string) string {
	return filepath.Join(append([]string{n.dir}, elements...)...)
}

func (n *Node) write(name, text string) (path string, err error) {
	path = n.path(name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

func (n *Node) makeDirs() error {
	var all []error
	for _, name := range []string{"logs", "pods", "certs", "cni"} {
		all = append(all, os.MkdirAll(n.path(name), 0o755))
	}
	return errors.Join(all...)
}

// startNetwork makes the node's address, and a way to everywhere, which ends here.
func (n *Node) startNetwork() error {
	for _, command := range []string{
		"link set lo up",
		"link add node0 type veth peer name node1",
		"address add " + nodeAddress + "/24 dev node0",
		"link set node1 up",
		"link set node0 up",
		"route add default dev node0",
	} {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", command, err, out)
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

// ready asks a program for its health.
func ready(url string) func() error {
	plain := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // only whether it answers
	return func() error {
		response, err := plain.Get(url)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	}
}

// connect makes the administrator's client.
func (n *Node) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", n.Kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	n.API, err = client.New(config, client.Options{Scheme: scheme})
	return err
}

// nodeReady waits until the kubelet says that Pods can run.
func (n *Node) nodeReady() error {
	var node corev1.Node
	if err := n.API.Get(context.Background(), client.ObjectKey{Name: nodeName}, &node); err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			if c.Status == corev1.ConditionTrue {
				return nil
			}
			return errors.New(c.Message)
		}
	}
	return errors.New("no condition Ready")
}
