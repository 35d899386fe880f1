package kill

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/test/envtest"
)

// pair is a scene with two managers, of which one leads. What is served is written by a process of its own, so that
// it does not depend on either.
type pair struct {
	*scene
	replicas [2]*replica
	flags    []string

	mu     sync.Mutex
	leader *replica // who wrote the lease last
	// stopAt says whether a leader is to be stopped at the write, and whether the write lands late; nil: at none.
	stopAt func(write string) (stop, late bool)
	stops  chan *stop
}

// replica is one of the managers. It has a way of its own to the API server, which tells its writes from the other's.
type replica struct {
	name    string
	process *exec.Cmd
	ended   chan struct{}
	err     error // of the process, when it has ended

	asked            int // questions about the lease since it was started
	stopped, resumed bool
	wrote            []string // since it was resumed
}

// stop is a leader that was stopped in the middle of a write.
type stop struct {
	of    *replica
	write string
	at    time.Time
	late  bool // the write lands when land is closed; else it has landed
	land  chan struct{}
	done  chan struct{} // it has landed, and may be answered
}

func newPair(t *testing.T, binary string, flags ...string) *pair {
	t.Helper()
	p := &pair{scene: newScene(t, binary), flags: flags, stops: make(chan *stop, 10)}
	p.serve()
	config := envtest.Config(t)
	direct := filepath.Join(p.dir, "direct")
	p.proxy(config, direct, func(_ *http.Request, do func()) { do() })
	writer := p.command("snapshot", "--kubeconfig", direct, "--namespace", p.namespace, "--snapshot-dir", filepath.Join(p.dir, "snapshot"))
	p.must(writer.Start())
	t.Cleanup(func() {
		writer.Process.Kill()
		_ = writer.Wait()
	})
	p.updated = p.update
	for i := range p.replicas {
		r := &replica{name: fmt.Sprintf("manager-%d", i+1)}
		p.replicas[i] = r
		p.proxy(config, filepath.Join(p.dir, r.name), func(request *http.Request, do func()) { p.through(r, request, do) })
	}
	t.Cleanup(func() {
		for _, r := range p.replicas {
			if r.process != nil {
				r.process.Process.Kill() // also one that is stopped
				<-r.ended
			}
		}
		if t.Failed() {
			p.logs()
		}
	})
	return p
}

// start starts a manager, as a kubelet does.
func (p *pair) start(r *replica) {
	p.t.Helper()
	_, policyPort, _ := strings.Cut(p.policy, ":")
	flags := append([]string{"--kubeconfig", filepath.Join(p.dir, r.name), "--leader-elect", "--mta-sts-roots", p.certFile, "--mta-sts-port", policyPort}, p.flags...)
	manager := p.manager(flags...)
	output, err := os.OpenFile(filepath.Join(p.dir, r.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	p.must(err)
	manager.Stdout, manager.Stderr = output, output
	p.must(manager.Start())
	ended := make(chan struct{})
	p.mu.Lock()
	r.process, r.ended, r.asked, r.stopped, r.resumed, r.wrote = manager, ended, 0, false, false, nil
	p.mu.Unlock()
	go func() {
		r.err = manager.Wait()
		output.Close()
		close(ended)
	}()
}

func (r *replica) running() bool {
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

// logs shows the end of what each manager wrote.
func (p *pair) logs() {
	for _, r := range p.replicas {
		output, _ := os.ReadFile(filepath.Join(p.dir, r.name+".log"))
		p.t.Logf("%s:\n%s", r.name, output[max(0, len(output)-3000):])
	}
}

// leads waits for a leader among the replicas.
func (p *pair) leads(among ...*replica) *replica {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		p.mu.Lock()
		leader := p.leader
		p.mu.Unlock()
		if leader != nil && slices.Contains(among, leader) {
			return leader
		}
	}
	p.t.Fatal("there is no leader")
	return nil
}

func (p *pair) other(than *replica) *replica {
	if p.replicas[0] == than {
		return p.replicas[1]
	}
	return p.replicas[0]
}

// holder is who has the lease, and for how many seconds.
func (p *pair) holder() (identity string, seconds int32) {
	p.t.Helper()
	var lease coordinationv1.Lease
	p.must(p.api.Get(context.Background(), client.ObjectKey{Namespace: p.namespace, Name: "maildomain-operator"}, &lease))
	return ptr.Deref(lease.Spec.HolderIdentity, ""), ptr.Deref(lease.Spec.LeaseDurationSeconds, 0)
}

// through is where the requests of a manager to the API server pass.
func (p *pair) through(r *replica, request *http.Request, do func()) {
	switch {
	case strings.Contains(request.URL.Path, "/leases"):
		p.mu.Lock()
		resumed := r.resumed
		r.asked++
		if request.Method != http.MethodGet && !resumed {
			p.leader = r
		}
		p.mu.Unlock()
		if resumed { // how it does hears as late as can be: it must know by itself that it leads no more
			<-request.Context().Done()
			return
		}
		do()
	case request.Method == http.MethodGet || strings.Contains(request.URL.Path, "/events"):
		do()
	default:
		p.write(r, nameOf(request), do)
	}
}

// objects are what the operator writes, by a part of their names. A tombstone names others.
var objects = []string{"tombstone-", "claim-", "maildomain-ledger", "example-com-dkim"}

// nameOf names a write: what is done to which object.
func nameOf(request *http.Request) string {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		log.Print(err) // the manager is gone
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	parts := strings.Split(request.URL.Path, "/")
	kind := 4 // /apis/group/version/kind
	if i := slices.Index(parts, "namespaces"); i > 0 {
		kind = i + 2
	}
	name := request.Method + " " + parts[kind]
	for _, object := range objects {
		if strings.Contains(request.URL.Path, object) || request.Method == http.MethodPost && bytes.Contains(body, []byte(object)) {
			name += " " + object
			break
		}
	}
	switch {
	case parts[len(parts)-1] == "status":
		name += " status"
	case request.Method == http.MethodPatch && bytes.Contains(body, []byte("finalizers")):
		name += " finalizers"
	}
	return name
}

// update is where UPDATEs of the zone pass. Only a leader sends them; one that was resumed does while the other is
// stopped, or has nothing to do.
func (p *pair) update(update *dns.Msg, apply func()) {
	p.mu.Lock()
	r := p.leader
	for _, one := range p.replicas {
		if one.resumed {
			r = one
		}
	}
	p.mu.Unlock()
	name := "UPDATE"
	if len(update.Ns) > 0 {
		owner, _, _ := strings.Cut(update.Ns[0].Header().Name, ".")
		if stem, _, selector := strings.Cut(owner, "-"); selector {
			owner = stem + "-…"
		}
		name += " " + owner
	}
	p.write(r, name, apply)
}

// write is where every write of a manager passes. A leader that is to be stopped at it is stopped before it lands.
func (p *pair) write(r *replica, name string, do func()) {
	p.mu.Lock()
	if r.resumed {
		r.wrote = append(r.wrote, name)
	}
	stops, late := false, false
	if !r.resumed && !r.stopped && p.stopAt != nil {
		stops, late = p.stopAt(name)
	}
	if !stops {
		p.mu.Unlock()
		do()
		return
	}
	r.stopped = true
	if err := r.process.Process.Signal(syscall.SIGSTOP); err != nil {
		p.t.Error(err)
	}
	s := &stop{of: r, write: name, at: time.Now(), late: late, land: make(chan struct{}), done: make(chan struct{})}
	p.mu.Unlock()
	defer close(s.done)
	if !late {
		do()
	}
	p.stops <- s
	<-s.land
	if late {
		do()
	}
}
