package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// patience is far longer than any step takes on a slow machine: it ends a run that hangs.
const patience = 5 * time.Minute

// program is a running part of the node. It ends with the enclosure.
type program struct {
	name  string
	log   string // file
	ended chan struct{}
}

// run starts a program of the node, with its output in a log file.
func (n *Node) run(name string, args ...string) (*program, error) {
	p := &program{name: name, log: filepath.Join(n.dir, "logs", name+".log"), ended: make(chan struct{})}
	output, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	command := exec.Command(n.binary(name), args...)
	command.Stdout, command.Stderr = output, output
	command.Env = append(os.Environ(), "PATH="+n.assets+":"+os.Getenv("PATH")) // containerd looks for its shim
	if err := command.Start(); err != nil {
		return nil, errors.Join(err, output.Close())
	}
	go func() {
		_ = command.Wait()
		output.Close()
		close(p.ended)
	}()
	n.programs = append(n.programs, p)
	return p, nil
}

// binary finds a program in the directory of the node's, or of the control plane's.
func (n *Node) binary(name string) string {
	path := filepath.Join(n.assets, name)
	if _, err := os.Stat(path); err != nil {
		return filepath.Join(n.controlPlane, name)
	}
	return path
}

// call runs a program to its end, and returns its standard output.
func (n *Node) call(name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	command := exec.Command(n.binary(name), args...)
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return stdout.String(), nil
}

// until waits for a condition of the world. What seen returns tells, should it never come true, what stood there last.
func until(what string, seen func() (done bool, state string)) error {
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		done, state := seen()
		if done {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v: %s", what, patience, state)
		}
	}
}

// becomes waits for something that a program does, and fails as soon as that has ended.
func (p *program) becomes(what string, seen func() error) error {
	var gone bool
	err := until(p.name+" "+what, func() (bool, string) {
		err := seen()
		if err == nil {
			return true, ""
		}
		select {
		case <-p.ended:
			gone = true
			return true, ""
		default:
			return false, err.Error()
		}
	})
	if gone {
		err = fmt.Errorf("%s has ended", p.name)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.tail())
	}
	return nil
}

// tail is the end of the log.
func (p *program) tail() string {
	const most = 4000
	text, _ := os.ReadFile(p.log)
	return fmt.Sprintf("--- %s\n%s", p.name, text[max(0, len(text)-most):])
}
