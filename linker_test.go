package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Where a program calls methods by their names, as text/template does, the linker keeps every exported method of every type: of
// this one 18 MB more are mapped then, and 12 MiB stay in memory. Who uses such a thing is found with
// go build -ldflags=-dumpdep, which marks it ReflectMethod.
func TestMethodsThatNobodyCallsAreLeftOut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "maildomain")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", file, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	symbols, err := program.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == name })
	}
	if !has("main.main") {
		t.Fatal("no main.main among the symbols")
	}
	if nobodyCalls := "reflect.(*Value).MethodByName"; has(nobodyCalls) {
		t.Errorf("%s is in the binary, and so is every other method", nobodyCalls)
	}
}
