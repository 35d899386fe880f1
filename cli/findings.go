package cli

import (
	"crypto"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/mailauth/dmarc"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
	"github.com/maildomain/maildomain-operator/mailauth/tlsrpt"
	"github.com/maildomain/maildomain-operator/survey"
)

// oldestKey is half a year, which is how long a key should sign at the most, and time to rotate it.
const oldestKey = 190 * 24 * time.Hour

// Observed is what a check has seen that a later one compares with.
type Observed struct {
	At     time.Time              `json:"at"`
	MTASTS *ObservedPolicy        `json:"mtaSTS,omitempty"`
	Keys   map[string]ObservedKey `json:"keys,omitempty"` // by selector
}

// ObservedPolicy is an announced MTA-STS policy.
type ObservedPolicy struct {
	ID        string    `json:"id"`
	Body      string    `json:"body"`
	ModeSince time.Time `json:"modeSince"` // since when policies of this one's mode are seen
	Until     time.Time `json:"until"`     // when the last sender forgets it
}

// ObservedKey is a key that is in use.
type ObservedKey struct {
	Record string    `json:"record"`
	Since  time.Time `json:"since"` // when it was first seen
}

// history is what lint needs beside the look.
type history struct {
	before *Observed
	now    time.Time
	public map[string]crypto.PublicKey // of the private keys that sign, by selector
	parked bool
}

// lint judges what was found; unknown is what could not be judged for want of an answer.
func (l *look) lint(h history) (found []Finding, unknown []string) {
	found = []Finding{}
	missing := func(cause string) {
		if cause != "" && !slices.Contains(unknown, cause) {
			unknown = append(unknown, cause)
		}
	}
	add := func(name string, list []lint.Finding) {
		for _, f := range list {
			found = append(found, findingOf(name, f))
		}
	}
	if texts, known := l.DomainTexts.Get(); known {
		s, _ := l.Facts.SPF.Get()
		add(l.Domain, spf.Lint(spf.Subject{Domain: l.Domain, Texts: texts, Analysis: &s.Analysis, SendsNoMail: h.parked}))
		for _, u := range s.Analysis.Unanswered {
			missing(u)
		}
	} else {
		missing(l.DomainTexts.Cause())
	}
	l.lintKeys(h, add, missing)
	l.lintDMARC(add, missing)
	enforced := l.lintMTASTS(h, add, missing)
	if texts, known := l.Facts.TLSRPT.Get(); known {
		add("_smtp._tls."+l.Domain, tlsrpt.Lint(tlsrpt.Subject{Domain: l.Domain, Texts: texts, Enforced: enforced}))
	} else {
		missing(l.Facts.TLSRPT.Cause())
	}
	order := []lint.Severity{lint.Error, lint.Warning, lint.Info}
	slices.SortStableFunc(found, func(a, b Finding) int { return slices.Index(order, a.Severity) - slices.Index(order, b.Severity) })
	if unknown == nil {
		unknown = []string{}
	}
	return found, unknown
}

func (l *look) lintKeys(h history, add func(string, []lint.Finding), missing func(string)) {
	selectors, _ := l.Facts.Selectors.Get()
	exists, known := l.Facts.KeysBelow.Get()
	if !known && len(selectors) > 0 {
		missing(l.Facts.KeysBelow.Cause())
	}
	missing(l.Silent)
	for i, s := range selectors {
		texts, known := s.Texts.Get()
		if !known {
			missing(s.Texts.Cause())
			continue
		}
		subject := dkim.Subject{
			Texts: texts, InUse: true, Public: h.public[s.Name], Servers: l.Servers[s.Name], Others: map[string]string{}, Now: h.now, MaxAge: oldestKey,
			ParentMissing: l.Facts.KeysBelow.Cause() == "" && !exists && len(texts) > 0,
		}
		for _, other := range selectors[:i] { // of two that share a key one is told
			if texts, _ := other.Texts.Get(); len(texts) == 1 {
				subject.Others[survey.KeyName(other.Name, l.Domain)] = texts[0]
			}
		}
		if h.before != nil && len(texts) == 1 {
			if k := h.before.Keys[s.Name]; k.Record == texts[0] {
				subject.Created = k.Since
			}
		}
		add(survey.KeyName(s.Name, l.Domain), dkim.Lint(subject))
	}
}

func (l *look) lintDMARC(add func(string, []lint.Finding), missing func(string)) {
	texts, known := l.DMARCTexts.Get()
	walk, walked := l.Facts.DMARC.Get()
	if !known || !walked {
		missing(l.DMARCTexts.Cause())
		missing(l.Facts.DMARC.Cause())
		return
	}
	subject := dmarc.Subject{Texts: texts}
	subject.DomainTexts, _ = l.DomainTexts.Get()
	if walk.Organization != l.Domain {
		subject.Organization = walk.Organization
	}
	// What applies from above is its owner's to mend: of the domain nothing is missing.
	inherited := walk.Policy != nil && walk.Policy.Domain != l.Domain
	if inherited && len(texts) == 0 {
		return
	}
	if !inherited {
		if subject.Destinations, known = l.Facts.Destinations.Get(); !known {
			missing(l.Facts.Destinations.Cause())
		} else if subject.NoMX, known = l.NoMX.Get(); !known {
			missing(l.NoMX.Cause())
		}
	}
	add("_dmarc."+l.Domain, dmarc.Lint(subject))
}

// lintMTASTS judges the policy where there is one, or was one: not having any is no mistake. enforced
// is whether it can keep mail from being delivered.
func (l *look) lintMTASTS(h history, add func(string, []lint.Finding), missing func(string)) (enforced bool) {
	texts, known := l.Facts.MTASTS.Get()
	if !known {
		missing(l.Facts.MTASTS.Cause())
		return false
	}
	policy, fetched := l.Facts.Policy.Get()
	subject := mtasts.Subject{Texts: texts, Now: h.now, BadTLS: map[string]string{}}
	if h.before != nil && h.before.MTASTS != nil {
		before := mtasts.Seen(*h.before.MTASTS)
		subject.Before = &before
	}
	switch {
	case fetched && l.Mislabelled != "":
		subject.Served = &mtasts.Served{Body: l.Mislabelled, ContentType: "not text/plain"}
		policy.Body = l.Mislabelled
	case fetched && policy.Failure != "":
		subject.Served = &mtasts.Served{Failure: policy.Failure}
	case fetched:
		subject.Served = &mtasts.Served{Body: policy.Body, ContentType: "text/plain"}
	}
	offered := fetched && policy.Body != ""
	announces := slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), "stsv1") })
	if !announces && !offered && subject.Before == nil {
		return false
	}
	if !announces && !offered {
		subject.Served = nil // that it is gone too is said by what is missing
	}
	if !fetched {
		missing(l.Facts.Policy.Cause())
	}
	if mx, known := l.Facts.MX.Get(); known {
		for _, host := range mx.Hosts {
			subject.MX = append(subject.MX, host.Name)
			if tls, known := host.TLS.Get(); known && !tls.OK {
				subject.BadTLS[host.Name] = tls.Failure
			} else if !known && l.starttls {
				missing(host.Name + ": " + host.TLS.Cause())
			}
		}
	} else {
		missing(l.Facts.MX.Cause())
	}
	if reports, known := l.Facts.TLSRPT.Get(); known {
		subject.NoReports = !slices.ContainsFunc(reports, tlsrpt.IsRecord)
	}
	add("_mta-sts."+l.Domain, mtasts.Lint(subject))
	p, err := mtasts.ParsePolicy(policy.Body)
	return err == nil && p.Mode == mtasts.Enforce
}

// observe is what a later check compares with.
func (l *look) observe(before *Observed, now time.Time) Observed {
	o := Observed{At: now.UTC().Truncate(time.Second), Keys: map[string]ObservedKey{}}
	var earlier Observed
	if before != nil {
		earlier = *before
	}
	selectors, _ := l.Facts.Selectors.Get()
	for _, s := range selectors {
		texts, _ := s.Texts.Get()
		if len(texts) != 1 {
			continue
		}
		k := ObservedKey{Record: texts[0], Since: o.At}
		if old, ok := earlier.Keys[s.Name]; ok && old.Record == k.Record {
			k.Since = old.Since
		}
		o.Keys[s.Name] = k
	}
	texts, _ := l.Facts.MTASTS.Get()
	id := announcedID(texts)
	policy, _ := l.Facts.Policy.Get()
	p, err := mtasts.ParsePolicy(policy.Body)
	if id == "" || policy.Failure != "" || err != nil {
		o.MTASTS = earlier.MTASTS // senders hold it all the same
		return o
	}
	o.MTASTS = &ObservedPolicy{ID: id, Body: policy.Body, ModeSince: o.At, Until: o.At.Add(p.MaxAge)}
	if old := earlier.MTASTS; old != nil {
		if was, err := mtasts.ParsePolicy(old.Body); err == nil && was.Mode == p.Mode {
			o.MTASTS.ModeSince = old.ModeSince
		}
		if old.ID == id && old.Body != policy.Body { // senders that hold the old one have no reason to fetch
			o.MTASTS.Body, o.MTASTS.ModeSince = old.Body, old.ModeSince
		}
		if old.Until.After(o.MTASTS.Until) {
			o.MTASTS.Until = old.Until
		}
	}
	return o
}
