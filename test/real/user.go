package real

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"testing"
)

// nobody is who programs that handle mail run as if root runs the test: they refuse to be root, or
// change to a user of their own that cannot read the test's files.
const nobody = "nobody"

// unprivileged has the command run by an ordinary user.
func unprivileged(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if os.Geteuid() == 0 {
		uid, gid := idsOf(t, nobody)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return cmd
}

// userName returns the name of the user that runs the programs that handle mail.
func userName(t testing.TB) string {
	t.Helper()
	if os.Geteuid() == 0 {
		return nobody
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return me.Username
}

// idsOf returns the numbers of a user and of its group.
func idsOf(t testing.TB, name string) (uid, gid int) {
	t.Helper()
	found, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.Atoi(found.Uid)
	gid, gidErr := strconv.Atoi(found.Gid)
	if uidErr != nil || gidErr != nil {
		t.Fatalf("user %s: uid %s, gid %s", name, found.Uid, found.Gid)
	}
	return uid, gid
}

// groupName returns the name of its group.
func groupName(t testing.TB) string {
	t.Helper()
	found, err := user.Lookup(userName(t))
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroupId(found.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return g.Name
}
