package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
)

// insideEnv is set for the process within the enclosure: the directory of all that is of this run.
const insideEnv = "MAILDOMAIN_NODE_DIR"

// cgroup is the cgroup of all Pods, in each hierarchy.
const cgroup = "maildomain-node"

// enclose runs this program again, as the first process of its own process, mount, network, IPC and host name namespaces, and
// returns its exit code. When that process ends, however it does, the kernel ends every other one in there, and takes the
// mounts and the network down; it is killed when this one ends. What remains, and is removed here, are a directory and cgroups.
func enclose() (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("a node needs root: namespaces, mounts, cgroups")
	}
	if err := removeCgroups(); err != nil {
		return 1, fmt.Errorf("another run is under way, or has left a cgroup: %w", err)
	}
	dir, err := os.MkdirTemp("", "maildomain-node-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, removeCgroups(), os.RemoveAll(dir)) }()

	runtime.LockOSThread() // it is this thread whose end the child's death follows
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Env = append(os.Environ(), insideEnv+"="+dir)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := child.Start(); err != nil {
		return 1, err
	}
	go func() {
		<-stop
		_ = child.Process.Kill()
	}()
	if err := child.Wait(); child.ProcessState == nil {
		return 1, err
	}
	if code := child.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 1, errors.New("stopped")
}

// settle makes what is around the first process of the enclosure its own: /proc shows its processes, and nothing that is
// mounted or written below /run, /var/log and /var/lib/kubelet gets out.
func settle(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("taking mounts apart from the machine's: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, private := range []string{"/run", "/var/log", "/var/lib/kubelet"} {
		if err := os.MkdirAll(private, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount("tmpfs", private, "tmpfs", 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", private, err)
		}
	}
	return shieldSysctls(dir)
}

// shieldSysctls puts files in the place of the kernel parameters that a kubelet sets, as these are the whole machine's.
func shieldSysctls(dir string) error {
	for _, name := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"} {
		real, shield := filepath.Join("/proc/sys", name), filepath.Join(dir, "sysctl", name)
		value, err := os.ReadFile(real)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(shield), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(shield, value, 0o644); err != nil {
			return err
		}
		if err := syscall.Mount(shield, real, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("shielding %s: %w", real, err)
		}
	}
	return nil
}

// hierarchies are the mounts of cgroups: one, or with cgroups v1 one for each controller.
func hierarchies() ([]string, error) {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err == nil {
		return []string{root}, nil
	}
	found, err := filepath.Glob(filepath.Join(root, "*", "cgroup.procs"))
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found, err
}

// makeCgroups makes the cgroup that a kubelet wants to find.
func makeCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range all {
		ours := filepath.Join(hierarchy, cgroup)
		if err := os.MkdirAll(ours, 0o755); err != nil {
			return err
		}
		// With cgroups v1 no process can be in a cpuset that nobody has filled.
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(hierarchy, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(ours, name), value, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeCgroups removes the cgroup and all in it, which fails while a process is there.
func removeCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range all {
		var dirs []string
		err := filepath.WalkDir(filepath.Join(hierarchy, cgroup), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, dir := range slices.Backward(dirs) {
			if err := syscall.Rmdir(dir); err != nil {
				return fmt.Errorf("removing %s: %w", dir, err)
			}
		}
	}
	return nil
}
