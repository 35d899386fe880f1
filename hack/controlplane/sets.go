package main

import (
	_ "embed"
	"strings"
)

// The versions are pinned by module files that are part of this program, so that those in the
// cache's names and those of the build cannot differ. containerd and runc have one of their own, as the
// kubelet wants other versions of what they are made of.
var (
	//go:embed go.mod
	goMod string
	//go:embed go.sum
	goSum string
	//go:embed containerd.mod
	containerdMod string
	//go:embed containerd.sum
	containerdSum string

	kubernetes = &module{"kubernetes", goMod, goSum}
	containerd = &module{"containerd", containerdMod, containerdSum}
)

// module is a go.mod and its go.sum.
type module struct{ name, mod, sum string }

// The modules whose versions are told in the cache's names.
const (
	kubernetesModule = "k8s.io/kubernetes"
	etcdModule       = "go.etcd.io/etcd/server/v3"
	containerdModule = "github.com/containerd/containerd/v2"
	runcModule       = "github.com/opencontainers/runc"
)

// set is programs that are looked for, built and kept together.
type set struct {
	name     string
	env      string // variable with the directory that a user has them in
	prefix   string // of its directory in the cache
	versions []version
	programs []program
	download bool   // setup-envtest has them
	usually  string // time that all programs take from source
}

// version is one by which directories of the cache are told apart.
type version struct {
	name, path string
	module     *module
}

// controlPlane is what envtest runs.
var controlPlane = set{
	name: "the control plane", env: "KUBEBUILDER_ASSETS", download: true,
	versions: []version{{"kubernetes", kubernetesModule, kubernetes}, {"etcd", etcdModule, kubernetes}},
	usually:  "4 minutes on 2 cores, up to 10 with the modules to download, seconds if Go has them in its build cache",
	programs: []program{
		{name: "kube-apiserver", pkg: "k8s.io/kubernetes/cmd/kube-apiserver", module: kubernetes, usually: "3 minutes, up to 9 with the modules to download"},
		{name: "etcd", pkg: "go.etcd.io/etcd/server/v3", module: kubernetes, usually: "10 seconds"},
		{name: "kubectl", pkg: "k8s.io/kubernetes/cmd/kubectl", module: kubernetes, usually: "20 seconds"},
	},
}

// containerd is built without the snapshotters that need libraries in C.
const containerdTags = "no_btrfs,no_devmapper,no_zfs"

// node is what runs Pods, beside the control plane.
var node = set{
	name: "the node", env: "MAILDOMAIN_NODE_ASSETS", prefix: "node-",
	versions: []version{{"kubernetes", kubernetesModule, kubernetes}, {"containerd", containerdModule, containerd}, {"runc", runcModule, containerd}},
	usually:  "5 minutes on 2 cores once there is a control plane",
	programs: []program{
		{name: "runc", pkg: runcModule, module: containerd, usually: "20 seconds", tags: "seccomp", needs: "a C compiler, pkg-config and libseccomp: Debian's gcc, pkg-config and libseccomp-dev"},
		{name: "containerd-shim-runc-v2", pkg: containerdModule + "/cmd/containerd-shim-runc-v2", module: containerd, usually: "20 seconds"},
		{name: "ctr", pkg: containerdModule + "/cmd/ctr", module: containerd, usually: "20 seconds", tags: containerdTags},
		{name: "containerd", pkg: containerdModule + "/cmd/containerd", module: containerd, usually: "1 minute", tags: containerdTags},
		{name: "kubelet", pkg: "k8s.io/kubernetes/cmd/kubelet", module: kubernetes, usually: "1 minute"},
		{name: "kube-proxy", pkg: "k8s.io/kubernetes/cmd/kube-proxy", module: kubernetes, usually: "20 seconds"},
		{name: "kube-scheduler", pkg: "k8s.io/kubernetes/cmd/kube-scheduler", module: kubernetes, usually: "20 seconds"},
		{name: "kube-controller-manager", pkg: "k8s.io/kubernetes/cmd/kube-controller-manager", module: kubernetes, usually: "1 minute"},
	},
}

// names are the programs of the set.
func (s set) names() []string {
	var names []string
	for _, p := range s.programs {
		names = append(names, p.name)
	}
	return names
}

// required returns the version at which a go.mod requires a module, or "".
func required(mod, path string) string {
	for line := range strings.Lines(mod) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == path && strings.HasPrefix(fields[1], "v") {
			return fields[1]
		}
	}
	return ""
}
