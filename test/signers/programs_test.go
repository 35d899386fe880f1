package signers

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/maildomain/maildomain-operator/test/real"
)

// program is a real signer, set up as docs/rotation.md says.
type program struct {
	name   string
	daemon *real.Daemon
	send   func(from string, message []byte) ([]byte, error)

	signsWith []string  // the names of the keys that it signs with
	rereads   bool      // it notices new tables, after a while
	reload    os.Signal // what makes it read its tables again; nil: it needs none
	stale     string    // what happens to a message when its tables name a file that is gone
}

// What happens to a message that a program should sign and cannot.
const (
	isDeferred = "is deferred"
	isUnsigned = "goes out unsigned"
)

// startPrograms starts every signer with the Secret in the volume.
func startPrograms(t *testing.T, v *volume) []*program {
	t.Helper()
	conf := func(title string) string { return fromDoc(t, title, v.path) }
	milter := func(d *real.Daemon, p program) *program {
		p.daemon = d
		p.send = func(from string, message []byte) ([]byte, error) { return throughMilter(t, d.Addr, from, message) }
		return &p
	}
	next := newSink(t)
	exim := real.Exim(t, next.addr, conf("exim.conf, in the smtp transport"))
	return []*program{
		milter(real.OpenDKIM(t, conf("opendkim.conf")),
			program{name: "OpenDKIM", signsWith: []string{"rsa"}, reload: syscall.SIGUSR1, stale: isDeferred}),
		milter(real.OpenDKIM(t, conf("opendkim-ed25519.conf")),
			program{name: "OpenDKIM for ed25519", signsWith: []string{"ed"}, reload: syscall.SIGUSR1, stale: isDeferred}),
		milter(real.Rspamd(t, conf("dkim_signing.conf, one signature")),
			program{name: "rspamd, one signature", signsWith: []string{"rsa"}, rereads: true}),
		milter(real.Rspamd(t, conf("dkim_signing.conf, a signature with each key")),
			program{name: "rspamd, a signature with each key", signsWith: []string{"rsa", "ed"}, reload: syscall.SIGHUP, stale: isUnsigned}),
		{name: "Exim", signsWith: []string{"rsa", "ed"}, daemon: exim, send: func(from string, message []byte) ([]byte, error) {
			return throughMTA(exim.Addr, next, from, message)
		}},
	}
}

// message returns a message from the address.
func message(from string) []byte {
	return fmt.Appendf(nil, "From: Ann <%s>\r\nTo: someone@example.org\r\nSubject: Hello\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nHow are you?\r\n.\r\n", from)
}

const ann = "ann@" + theDomain
