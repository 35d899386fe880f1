package dnsprovider

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/libdns/rfc2136"
	"github.com/miekg/dns"
)

// RFC2136Config is how to reach the primary server of a zone that takes dynamic updates
// (RFC 2136), such as BIND, Knot or PowerDNS.
type RFC2136Config struct {
	Server string // host:port of the primary
	Zone   string // apex of the zone

	KeyName      string // name of the TSIG key (RFC 8945)
	KeyAlgorithm string // hmac-sha1, -sha224, -sha256 (default), -sha384 or -sha512
	KeySecret    string // base64

	// Timeout bounds one Read or Apply, connection included. Default 10 s.
	Timeout time.Duration

	// Dial connects to the server; nil is a plain net.Dialer. The place to keep a user's
	// configuration from reaching addresses that it should not.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Begin is asked before each UPDATE.
	Begin Begin
}

const defaultRFC2136Timeout = 10 * time.Second

var tsigAlgorithms = []string{dns.HmacSHA1, dns.HmacSHA224, dns.HmacSHA256, dns.HmacSHA384, dns.HmacSHA512}

// NewRFC2136 returns the zone behind a server that takes dynamic updates. It connects to
// nothing yet. The key needs the right to query and to update the zone; it needs no right
// to transfer it.
//
// From libdns/rfc2136 come the credentials. Its methods are not used: GetRecords wants a
// zone transfer, SetRecords drops the other values of the RRset, no call carries
// prerequisites, and its unexported conversion cuts TXT at 255 runes, writes Go escapes and
// returns presentation escapes.
func NewRFC2136(cfg RFC2136Config) (Zone, error) {
	z := &rfc2136Zone{
		creds: rfc2136.Provider{
			KeyName: Canonical(cfg.KeyName),
			KeyAlg:  Canonical(cmp.Or(cfg.KeyAlgorithm, dns.HmacSHA256)),
			Key:     cfg.KeySecret,
			Server:  cfg.Server,
		},
		apex:    Canonical(cfg.Zone),
		timeout: cmp.Or(cfg.Timeout, defaultRFC2136Timeout),
		dial:    cfg.Dial,
		begin:   cfg.Begin,
	}
	if z.dial == nil {
		z.dial = new(net.Dialer).DialContext
	}
	if err := z.validate(); err != nil {
		return nil, &Error{Kind: Invalid, Op: "configure rfc2136", Server: cfg.Server, Err: err}
	}
	return z, nil
}

func (z *rfc2136Zone) validate() error {
	if _, port, err := net.SplitHostPort(z.creds.Server); err != nil || port == "" {
		return fmt.Errorf("server: %q is not host:port, such as ns1.example.com:53", z.creds.Server)
	}
	if _, ok := dns.IsDomainName(z.apex); !ok || z.apex == "" {
		return fmt.Errorf("zone: %q is not a domain name, such as example.com", z.apex)
	}
	if _, ok := dns.IsDomainName(z.creds.KeyName); !ok || z.creds.KeyName == "" {
		return fmt.Errorf("key name: %q is not a domain name, such as maildomain-key", z.creds.KeyName)
	}
	if !slices.Contains(tsigAlgorithms, dns.Fqdn(z.creds.KeyAlg)) {
		return fmt.Errorf("key algorithm: %q is not one of %s", z.creds.KeyAlg, strings.ReplaceAll(strings.Join(tsigAlgorithms, " "), ".", ""))
	}
	if secret, err := base64.StdEncoding.DecodeString(z.creds.Key); err != nil || len(secret) == 0 {
		return errors.New("key secret: not base64, as tsig-keygen prints it") // never the secret itself
	}
	if z.timeout < 0 {
		return fmt.Errorf("timeout: %v is negative", z.timeout)
	}
	return nil
}

type rfc2136Zone struct {
	creds   rfc2136.Provider
	apex    string
	timeout time.Duration
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	begin   Begin
}

// Read asks the primary itself, over one TCP connection, with signed questions.
func (z *rfc2136Zone) Read(ctx context.Context, keys ...Key) []Reading {
	l, hangUp := z.line(ctx)
	defer hangUp()
	readings := make([]Reading, len(keys))
	for i, key := range keys {
		set, err := l.read(key)
		if err != nil {
			err = z.complete(err, "read", key)
		}
		readings[i] = Reading{set, err}
	}
	return readings
}

// Apply sends one UPDATE message for each change, or for those of a unit, which the server carries out
// whole or not at all (RFC 2136 §3.4), and only if each RRset is exactly what was seen (§2.4.2, §2.4.3). One
// message for all of them would have a single conflict stop the others.
func (z *rfc2136Zone) Apply(ctx context.Context, changes ...Change) []error {
	l, hangUp := z.line(ctx)
	defer hangUp()
	errs := make([]error, len(changes))
	for _, unit := range units(changes) {
		var together []Change
		for _, i := range unit {
			together = append(together, changes[i])
		}
		if err := l.apply(together); err != nil {
			for _, i := range unit {
				errs[i] = z.complete(err, "update", changes[i].Seen.Key)
			}
		}
	}
	return errs
}

// Capabilities says that an UPDATE carries one unit.
func (z *rfc2136Zone) Capabilities() Capabilities {
	return Capabilities{CompareAndSwap: true, MaxChanges: 1}
}

// line is the connection of one Read or Apply: made when it is first needed, and made anew after
// one that broke.
type line struct {
	zone *rfc2136Zone
	ctx  context.Context
	s    *session
}

func (z *rfc2136Zone) line(ctx context.Context) (l *line, hangUp func()) {
	ctx, cancel := context.WithTimeout(ctx, z.timeout)
	l = &line{zone: z, ctx: ctx}
	return l, func() { l.drop(); cancel() }
}

func (l *line) session() (_ *session, err error) {
	if l.s != nil && l.s.broken {
		l.drop()
	}
	if l.s == nil {
		l.s, err = l.zone.connect(l.ctx)
	}
	return l.s, err
}

func (l *line) drop() {
	if l.s != nil {
		l.s.close()
		l.s = nil
	}
}

// recover turns a panic, of miekg/dns or of Dial, into an error, wherever it happened.
func (l *line) recover(err *error, kind Kind) {
	p := recover()
	if p == nil {
		return
	}
	l.drop()
	cause, _ := p.(error) // no other value: nobody knows what it would print
	*err = failure(kind, cause, "the DNS client panicked, which is a bug to report")
}

func (l *line) read(key Key) (_ RRset, err error) {
	defer l.recover(&err, Unreachable)
	if err := l.zone.check(key); err != nil {
		return RRset{}, err
	}
	s, err := l.session()
	if err != nil {
		return RRset{}, err
	}
	found, err := s.lookup(key)
	if err != nil {
		return RRset{}, err
	}
	return rrsetOf(key, found)
}

func (l *line) apply(unit []Change) (err error) {
	defer l.recover(&err, UnknownOutcome)
	key := unit[0].Seen.Key
	for _, change := range unit {
		if err := l.zone.check(change.Seen.Key); err != nil {
			return err
		}
		if change.Seen.Type == TypeCNAME && len(change.Add) > 0 {
			key = change.Seen.Key
		}
	}
	update, err := updateFor(l.zone.apex, unit...)
	if err != nil {
		return err
	}
	s, err := l.session()
	if err != nil {
		return err
	}
	end, err := l.zone.begin.ask(l.zone.timeout)
	if err != nil {
		return err
	}
	answered := false // should it panic
	defer func() { end(answered) }()
	err = s.update(update, key)
	answered = KindOf(err) != UnknownOutcome
	return err
}

func (z *rfc2136Zone) check(key Key) error {
	if err := key.check(z.apex); err != nil {
		return err
	}
	// Room for the label that tells a wildcard's answer from a record (lookup).
	if _, ok := dns.IsDomainName(probeLabel + "." + key.Name); !ok {
		return failure(Invalid, nil, "the name is too long")
	}
	return nil
}

// complete fills in what was attempted and where.
func (z *rfc2136Zone) complete(err error, verb string, key Key) error {
	return completed(err, verb+" "+key.String(), z.creds.Server)
}
