package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/mail"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/spf13/cobra"

	"github.com/maildomain/maildomain-operator/compliance"
	ourdkim "github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/survey"
)

const (
	maxMessage    = 64 << 20
	maxSignatures = 10 // that are verified; each costs a question and a computation
)

// MessageReport is what message says. Its form is public: scripts read it.
type MessageReport struct {
	Outcome compliance.Outcome `json:"outcome"` // of DMARC
	Why     string             `json:"why"`
	Author  string             `json:"author"` // the domain in From
	Source  Source             `json:"source"`
	SPF     SPFReport          `json:"spf"`
	DKIM    []Signature        `json:"dkim"`
	DMARC   DMARCReport        `json:"dmarc"`
}

// SPFReport is the evaluation of SPF.
type SPFReport struct {
	Result  spf.Result         `json:"result,omitempty"` // "" where it could not be evaluated
	Why     string             `json:"why,omitempty"`
	Domain  string             `json:"domain,omitempty"`
	Lookups int                `json:"lookups"`
	Voids   int                `json:"voids"`
	Trace   []Step             `json:"trace"`
	Aligned compliance.Outcome `json:"aligned"`
}

// Step is one term of SPF that was looked at.
type Step struct {
	Level   int         `json:"level"`
	Domain  string      `json:"domain"`
	Term    string      `json:"term"`
	Lookups int         `json:"lookups"`
	Outcome spf.Outcome `json:"outcome"`
}

// Signature is a DKIM signature of the message.
type Signature struct {
	Domain    string             `json:"domain"`
	Selector  string             `json:"selector"`
	Algorithm string             `json:"algorithm"`
	Outcome   compliance.Outcome `json:"outcome"`
	Why       string             `json:"why"`
	Aligned   compliance.Outcome `json:"aligned"`
	Findings  []Finding          `json:"findings"`
}

// DMARCReport is the record that applies to the author's domain.
type DMARCReport struct {
	Record     string       `json:"record,omitempty"`
	At         string       `json:"at,omitempty"`
	Policy     dmarc.Policy `json:"policy,omitempty"` // in force for the domain
	StrictSPF  bool         `json:"strictSPF"`
	StrictDKIM bool         `json:"strictDKIM"`
	Why        string       `json:"why,omitempty"` // why there is none
}

type messenger struct {
	env      Env
	world    world
	ip       string
	mailFrom string
	helo     string
	received int
	output   string
	fromSet  bool
}

func messageCommand(env Env) *cobra.Command {
	m := messenger{env: env}
	cmd := &cobra.Command{
		Use:   "message FILE",
		Short: "Say of a message what SPF, DKIM and DMARC give for it, and why",
		Long: `Say of a message, as it arrived with its Received and DKIM-Signature headers, what SPF, DKIM and DMARC give
for it, step by step, by what DNS says now. FILE is - for standard input.

SPF needs to know who delivered the message. That is read from the topmost Received header with a public address,
and from Return-Path; --ip, --helo and --mail-from say it better.

Exit code 0: DMARC passes; 1: it fails, or there is no DMARC record; 3: that could not be found out; 64: the
command could not be run.`,
		Example: `  maildomain message mail.eml
  maildomain message mail.eml --ip 192.0.2.1 --mail-from bounce@example.com`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m.fromSet = cmd.Flags().Changed("mail-from")
			return m.run(cmd.Context(), args[0])
		},
	}
	set := cmd.Flags()
	set.StringVar(&m.ip, "ip", "", "`address` of the host that delivered the message")
	set.StringVar(&m.helo, "helo", "", "`name` that the host gave in HELO or EHLO")
	set.StringVar(&m.mailFrom, "mail-from", "", "`address` of MAIL FROM; empty for a bounce")
	set.IntVar(&m.received, "received", 0, "`number` of the Received header that the receiver wrote, from 1 for the topmost")
	set.StringVarP(&m.output, "output", "o", "table", "`format`: table, json or yaml")
	m.world.flags(cmd)
	complete(cmd, "output", formats)
	return cmd
}

func (m *messenger) run(ctx context.Context, name string) error {
	if !slices.Contains(formats, m.output) {
		return fmt.Errorf("-o is %q, want one of %s", m.output, strings.Join(formats, ", "))
	}
	content, err := m.read(name)
	if err != nil {
		return err
	}
	header, err := readHeader(content)
	if err != nil {
		return fmt.Errorf("%s is no message: %w", name, err)
	}
	source, err := m.source(header)
	if err != nil {
		return err
	}
	if err := m.world.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.world.timeout)
	defer cancel()
	report := m.judge(ctx, content, header, source)
	if err := write(m.env.Stdout, m.output, report, report.table); err != nil {
		return err
	}
	return exitOf(report.Outcome)
}

// read returns the message with CRLF at the end of each line, as it was on the wire.
func (m *messenger) read(name string) ([]byte, error) {
	in := m.env.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	content, err := io.ReadAll(io.LimitReader(in, maxMessage+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxMessage {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, maxMessage>>20)
	}
	// A line "From " that mailboxes have before a message is none of its header fields.
	if bytes.HasPrefix(content, []byte("From ")) {
		_, content, _ = bytes.Cut(content, []byte("\n"))
	}
	content = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n")), nil
}

func (m *messenger) judge(ctx context.Context, content []byte, header mail.Header, source Source) MessageReport {
	r := MessageReport{Source: source, DKIM: []Signature{}}
	r.SPF = m.spf(ctx, source)
	r.DKIM = m.signatures(ctx, content, header)
	var wrong string
	if r.Author, wrong = author(header); wrong != "" {
		r.Outcome, r.Why = compliance.Fail, wrong
		r.SPF.Aligned = compliance.NotApplicable
		for i := range r.DKIM {
			r.DKIM[i].Aligned = compliance.NotApplicable
		}
		return r
	}
	m.dmarc(ctx, &r)
	return r
}

// author is the domain in From; DMARC is for messages that have exactly one (RFC 9989 §4.3).
func author(header mail.Header) (domain, wrong string) {
	fields := header["From"]
	if len(fields) != 1 {
		return "", fmt.Sprintf("%d From headers, want one", len(fields))
	}
	list, err := mail.ParseAddressList(fields[0])
	if err != nil {
		return "", "From can't be read: " + err.Error()
	}
	for _, a := range list {
		_, at, _ := cutLast(a.Address, "@")
		if at = strings.ToLower(at); domain != "" && at != domain {
			return "", fmt.Sprintf("From names authors of %s and of %s", domain, at)
		}
		domain = strings.ToLower(at)
	}
	if _, err := domainOf(domain); err != nil {
		return "", "From: " + err.Error()
	}
	return domain, ""
}

func cutLast(text, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return text, "", false
}

func (m *messenger) spf(ctx context.Context, source Source) SPFReport {
	r := SPFReport{Trace: []Step{}}
	ip, err := netip.ParseAddr(source.IP)
	switch {
	case err != nil:
		r.Why = "no Received header names the host that delivered the message: name it with --ip"
		return r
	case !source.mailFromKnown:
		r.Why = "no Return-Path header: name the address of MAIL FROM with --mail-from"
		return r
	}
	if _, r.Domain, _ = cutLast(source.MailFrom, "@"); source.MailFrom == "" {
		r.Domain = source.HELO
	}
	r.Domain = strings.ToLower(strings.TrimSuffix(r.Domain, "."))
	e := spf.Evaluator{Resolver: m.world.resolver}.Evaluate(ctx, ip.Unmap().WithZone(""), source.MailFrom, source.HELO)
	r.Result, r.Lookups, r.Voids = e.Result, e.Lookups, e.Voids
	if e.Err != nil {
		r.Why = e.Err.Error()
	}
	for _, s := range e.Trace {
		r.Trace = append(r.Trace, Step{s.Level, s.Domain, s.Term, s.Lookups, s.Outcome})
	}
	return r
}

func (m *messenger) signatures(ctx context.Context, content []byte, header mail.Header) []Signature {
	list := []Signature{}
	values, more := header["Dkim-Signature"], 0
	if len(values) > maxSignatures {
		values, more = values[:maxSignatures], len(values)-maxSignatures
	}
	verified, err := dkim.VerifyWithOptions(bytes.NewReader(content), &dkim.VerifyOptions{
		MaxVerifications: maxSignatures,
		LookupTXT:        func(name string) ([]string, error) { return m.world.resolver.LookupTXT(ctx, name) },
	})
	for i, value := range values {
		s := Signature{Outcome: compliance.Fail, Findings: []Finding{}}
		parsed, syntax := ourdkim.ParseSignature(value)
		s.Domain, s.Selector, s.Algorithm = strings.ToLower(parsed.Domain), parsed.Selector, parsed.Algorithm
		where := "DKIM-Signature " + fmt.Sprint(i+1)
		for _, f := range ourdkim.LintSignature(value, m.env.Now()) {
			s.Findings = append(s.Findings, findingOf(where, f))
		}
		switch {
		case syntax != nil: // whatever a more lenient verifier says of it
			s.Why = syntax.Error()
		case i >= len(verified):
			s.Outcome, s.Why = compliance.Unknown, "it was not verified"
			if err != nil {
				s.Why += ": " + err.Error()
			}
		case verified[i].Err == nil:
			s.Outcome, s.Why = compliance.Pass, "the signature verifies with the key at "+parsed.KeyName()
		case dkim.IsTempFail(verified[i].Err):
			s.Outcome, s.Why = compliance.Unknown, verified[i].Err.Error()
		default:
			s.Why = verified[i].Err.Error()
		}
		if syntax == nil {
			if texts, err := m.world.resolver.LookupTXT(ctx, parsed.KeyName()); err == nil || survey.IsNotFound(err) {
				for _, f := range ourdkim.Lint(ourdkim.Subject{Texts: texts, InUse: true}) {
					s.Findings = append(s.Findings, findingOf(parsed.KeyName(), f))
				}
			}
		}
		list = append(list, s)
	}
	if more > 0 {
		list = append(list, Signature{
			Outcome: compliance.Unknown, Aligned: compliance.Unknown, Findings: []Finding{},
			Why: fmt.Sprintf("%d more signatures were not looked at: %d are", more, maxSignatures),
		})
	}
	return list
}

// dmarc ties what SPF and DKIM have authenticated to the author (RFC 9989 §4.4, §5.3).
func (m *messenger) dmarc(ctx context.Context, r *MessageReport) {
	found, err := dmarc.Discover(ctx, m.world.resolver, r.Author)
	if err != nil {
		r.SPF.Aligned, r.Outcome, r.Why = compliance.Unknown, compliance.Unknown, survey.CauseOf(err)
		for i := range r.DKIM {
			r.DKIM[i].Aligned = compliance.Unknown
		}
		return
	}
	if p := found.Policy; p != nil {
		r.DMARC.Record, r.DMARC.At = p.Text, "_dmarc."+p.Domain
		r.DMARC.StrictSPF, r.DMARC.StrictDKIM = p.Record.Alignment()
		exists, err := m.world.resolver.Exists(ctx, r.Author)
		r.DMARC.Policy = found.Effective(exists || err != nil)
	}
	aligned := func(domain string, strict bool) compliance.Outcome {
		switch ok, err := dmarc.Aligned(ctx, m.world.resolver, r.Author, domain, strict); {
		case err != nil:
			return compliance.Unknown
		case ok:
			return compliance.Pass
		}
		return compliance.Fail
	}
	var passes, perhaps []string
	note := func(what string, authenticated, aligned compliance.Outcome) {
		switch {
		case authenticated == compliance.Pass && aligned == compliance.Pass:
			passes = append(passes, what)
		case authenticated != compliance.Fail && aligned != compliance.Fail:
			perhaps = append(perhaps, what)
		}
	}
	r.SPF.Aligned = compliance.Unknown
	if r.SPF.Domain != "" {
		r.SPF.Aligned = aligned(r.SPF.Domain, r.DMARC.StrictSPF)
	}
	authenticated := compliance.Fail
	switch r.SPF.Result {
	case spf.Pass:
		authenticated = compliance.Pass
	case "", spf.TempError:
		authenticated = compliance.Unknown
	}
	note("SPF", authenticated, r.SPF.Aligned)
	for i := range r.DKIM {
		s := &r.DKIM[i]
		switch {
		case s.Aligned != "": // what was not looked at
		case s.Domain == "":
			s.Aligned = compliance.Fail
		default:
			s.Aligned = aligned(s.Domain, r.DMARC.StrictDKIM)
		}
		note("DKIM of "+cmp.Or(s.Domain, "more signatures"), s.Outcome, s.Aligned)
	}
	switch {
	case found.Policy == nil:
		r.DMARC.Why = "no DMARC record that receivers can use"
		r.Outcome, r.Why = compliance.Fail, r.DMARC.Why
	case len(passes) > 0:
		r.Outcome, r.Why = compliance.Pass, strings.Join(passes, " and ")+" passes and is aligned with "+r.Author
	case len(perhaps) > 0:
		r.Outcome, r.Why = compliance.Unknown, "nothing passes for certain, and this could not be found out: "+strings.Join(perhaps, ", ")
	default:
		r.Outcome, r.Why = compliance.Fail, fmt.Sprintf("neither SPF nor DKIM passes for a domain that is aligned with %s: receivers are asked for %s", r.Author, r.DMARC.Policy)
	}
}
