package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"github.com/maildomain/maildomain-operator/probe"
)

// world is how the commands see DNS, HTTPS and SMTP.
type world struct {
	resolvers  []string
	timeout    time.Duration
	roots      string
	policyPort uint16
	smtpPort   uint16
	dnsPort    uint16
	private    []string

	resolver *probe.Resolver
	pool     *x509.CertPool
	allowed  func(netip.Addr) bool
}

func (w *world) flags(c *cobra.Command) {
	set := c.Flags()
	set.StringSliceVar(&w.resolvers, "resolver", nil, "recursive resolvers, `host:port`; without: those of /etc/resolv.conf")
	set.DurationVar(&w.timeout, "timeout", 15*time.Second, "`time` for all questions together; what has no answer by then is unknown")
	set.StringVar(&w.roots, "mta-sts-roots", "", "PEM `file` of the authorities for certificates of policy hosts and MX hosts; without: the machine's")
	set.Uint16Var(&w.policyPort, "mta-sts-port", 443, "`port` of policy hosts; any other is for trials, as senders use 443")
	set.StringSliceVar(&w.private, "allow-private-targets", nil, "`networks` such as 10.0.0.0/8 that policy hosts, MX hosts and name servers may be in although they are not public")
	complete(c, "resolver", nil)
}

// open makes the clients, once flags are read.
func (w *world) open() error {
	if w.timeout <= 0 {
		return fmt.Errorf("--timeout is %s, want more than 0", w.timeout)
	}
	servers := slices.Clone(w.resolvers)
	for i, s := range servers {
		if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
			servers[i] = net.JoinHostPort(strings.Trim(s, "[]"), "53")
		} else if _, _, err := net.SplitHostPort(s); err != nil {
			return fmt.Errorf("--resolver: %q is neither an address nor host:port, such as 192.0.2.53:53", s)
		}
	}
	if len(servers) == 0 {
		config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil {
			return fmt.Errorf("reading the resolvers: %w: name them with --resolver", err)
		}
		for _, s := range config.Servers {
			servers = append(servers, net.JoinHostPort(s, config.Port))
		}
	}
	if len(servers) == 0 {
		return errors.New("/etc/resolv.conf names no resolver: name one with --resolver")
	}
	// One silent server must leave time for the next one.
	w.resolver = probe.NewResolver(servers, min(3*time.Second, w.timeout/3)).Once()
	if w.roots != "" {
		content, err := os.ReadFile(w.roots)
		if err != nil {
			return fmt.Errorf("--mta-sts-roots: %w", err)
		}
		w.pool = x509.NewCertPool()
		if !w.pool.AppendCertsFromPEM(content) {
			return fmt.Errorf("--mta-sts-roots: %s holds no certificate in PEM", w.roots)
		}
	}
	var networks []netip.Prefix
	for _, text := range w.private {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("--allow-private-targets: %q is not a network, such as 10.0.0.0/8", text)
		}
		networks = append(networks, network)
	}
	w.allowed = func(addr netip.Addr) bool {
		return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr.Unmap()) })
	}
	return nil
}

// domainOf reads a domain argument: as DNS has it, in A-labels.
func domainOf(text string) (string, error) {
	domain := strings.ToLower(strings.TrimSuffix(text, "."))
	labels := strings.Split(domain, ".")
	bad := len(domain) > 253 || len(labels) < 2
	for _, label := range labels {
		bad = bad || label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != ""
	}
	if bad {
		return "", fmt.Errorf("%q is not a domain: write it in A-labels, such as example.com", text)
	}
	return domain, nil
}

// complete offers values for a flag in the shell; without any it offers none, not even files.
func complete(c *cobra.Command, flag string, values []string) {
	err := c.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // there is no such flag
	}
}
