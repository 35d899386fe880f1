package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticks are those of a second in /proc: USER_HZ, which is 100 on every architecture that Go knows.
const ticks = 100

// child returns the process of that name which this one has started.
func child(name string) (pid int, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		command, fields, err := stat(file)
		if err == nil && command == name && fields[1] == strconv.Itoa(os.Getpid()) {
			return strconv.Atoi(filepath.Base(filepath.Dir(file)))
		}
	}
	return 0, fmt.Errorf("no process %s was started", name)
}

// stat returns the command and the fields behind it, from the state on (proc_pid_stat(5)).
func stat(file string) (command string, fields []string, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	before, after, _ := strings.Cut(string(content), "(")
	end := strings.LastIndex(after, ")")
	fields = strings.Fields(after[max(end, 0)+1:])
	if before == "" || end < 0 || len(fields) < 20 {
		return "", nil, fmt.Errorf("%s: not what was expected", file)
	}
	return after[:end], fields, nil
}

// cpu returns how many seconds of a processor the process has used.
func cpu(pid int) (seconds float64, err error) {
	_, fields, err := stat(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		seconds += float64(n) / ticks
	}
	return seconds, nil
}

// memory returns the resident set of the process in MiB, now and at its most.
func memory(pid int) (now, most float64, err error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(content)) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*float64{"VmRSS": &now, "VmHWM": &most}[name]
		if into == nil {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		if err != nil {
			return 0, 0, err
		}
		*into = kib / 1024
	}
	return now, most, nil
}
