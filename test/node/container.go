package node

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	socket     = "/run/containerd/containerd.sock"
	pauseImage = "registry.example/pause:node"
	plugins    = "/usr/lib/cni" // where Debian has them
)

// containerdConfig: %[1]s is the directory of this run, %[2]s runc.
//
// With restrict_oom_score_adj a container gets no more protection from the kernel than its starter has, which may be none to give.
const containerdConfig = `version = 3
root = "%[1]s/containerd"
state = "/run/containerd"

[grpc]
  address = "` + socket + `"

[plugins."io.containerd.internal.v1.opt"]
  path = "%[1]s/opt"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "` + pauseImage + `"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["` + plugins + `"]
  conf_dir = "%[1]s/cni"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "%[2]s"
  SystemdCgroup = false
`

// cniConfig gives each Pod a link of its own to the node, so that whatever one Pod sends another passes kube-proxy's rules. %[1]s is the
// directory of this run.
const cniConfig = `{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [{
    "type": "ptp",
    "ipMasq": false,
    "ipam": {"type": "host-local", "subnet": "` + podNetwork + `", "dataDir": "%[1]s/addresses", "routes": [{"dst": "0.0.0.0/0"}]}
  }]
}
`

// startContainerd starts the runtime, and gives it the sandbox image.
func (n *Node) startContainerd() error {
	if _, err := n.write("cni/pods.conflist", fmt.Sprintf(cniConfig, n.dir)); err != nil {
		return err
	}
	config, err := n.write("containerd.toml", fmt.Sprintf(containerdConfig, n.dir, n.binary("runc")))
	if err != nil {
		return err
	}
	containerd, err := n.run("containerd", "--config", config)
	if err != nil {
		return err
	}
	if err := containerd.becomes("ready", func() error { _, err := n.ctr("plugins", "ls"); return err }); err != nil {
		return err
	}
	archive, err := n.makePause()
	if err != nil {
		return err
	}
	return n.Import(archive)
}

// ctr talks to containerd about what Kubernetes has there.
func (n *Node) ctr(args ...string) (string, error) {
	return n.call("ctr", append([]string{"--address", socket, "--namespace", "k8s.io"}, args...)...)
}

// Import gives the node an image, from an archive in the format of `docker save`.
func (n *Node) Import(archive string) error {
	_, err := n.ctr("images", "import", archive)
	return err
}

// PID is the first process of a container that runs, as the node numbers it.
func (n *Node) PID(pod *corev1.Pod, container string) (int, error) {
	id, err := runningID(pod, container)
	if err != nil {
		return 0, err
	}
	tasks, err := n.ctr("tasks", "ls")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(tasks) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == id && fields[2] == "RUNNING" {
			return strconv.Atoi(fields[1])
		}
	}
	return 0, fmt.Errorf("containerd runs no %s of Pod %s", container, pod.Name)
}

func runningID(pod *corev1.Pod, container string) (string, error) {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, s := range list {
			if s.Name == container && s.State.Running != nil {
				return strings.TrimPrefix(s.ContainerID, "containerd://"), nil
			}
		}
	}
	return "", fmt.Errorf("container %s of Pod %s does not run", container, pod.Name)
}
