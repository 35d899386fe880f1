package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/ledger"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/records"
)

// Bounds of what a zone can put into ledger and status with its MX records (Law 13).
const (
	maxMX        = 32  // live hosts: no sender tries more
	maxMXNames   = 4   // the domain and what its aliases lead to: beyond, only the resolver follows
	maxLeft      = 128 // hosts that were live and may be in caches
	maxMXMessage = 512 // octets of what status says of each
)

// mxHost is a host of the live MX records, or the domain itself where it has none (RFC 5321 §5.1).
type mxHost struct {
	name     string
	implicit bool
	// where says who has it so, as far as those who were asked don't agree; empty: all of them.
	where string
	// tls says whether it offers STARTTLS with a certificate for its name: Pass, Fail or Unknown; empty:
	// nobody probes. The message says what was seen.
	tls     v1alpha1.Verdict
	message string
	// unprobed: this process has no result yet. tls is what status says from before, which may be old:
	// good enough to go on warning, not to let a policy through.
	unprobed bool
}

func (h mxHost) String() string {
	var notes []string
	if h.implicit {
		notes = append(notes, "which is where mail goes without an MX record")
	}
	if h.where != "" {
		notes = append(notes, h.where)
	}
	if len(notes) == 0 {
		return h.name
	}
	return fmt.Sprintf("%s (%s)", h.name, strings.Join(notes, ", "))
}

// unusableMX says why a policy can't be judged by MX records that were read.
type unusableMX string

func (e unusableMX) Error() string { return string(e) }

// gatherAnnouncement reads what the decision needs of the world.
func (r *Reconciler) gatherAnnouncement(ctx context.Context, s *scope) announcement {
	live, err := r.mxHosts(ctx, s)
	if err != nil {
		s.keepSilence()
	}
	names := make([]string, len(live))
	for i := range live {
		names[i] = live[i].name
		r.seeTLS(s, &live[i])
	}
	s.mtasts.hosts, s.mtasts.known = names, err == nil
	a := announcement{now: s.now, wanted: records.MTASTSPolicy(s.md.Spec.MTASTS, names), live: live, known: err == nil}
	a.served, _ = s.site.served()
	a.unusable, _ = errors.AsType[unusableMX](err)
	seen := a.remember(s.book.MX)
	a.left = seen.Left
	if s.writes() {
		s.book.MX = seen
	}
	if s.book.MTASTS != nil {
		a.told = *s.book.MTASTS
	}
	return a
}

// seeTLS notes what is known of the host's TLS.
func (r *Reconciler) seeTLS(s *scope, host *mxHost) {
	if r.MX == nil {
		return
	}
	seen, known := r.MX.Look(s.md.Namespace, host.name)
	s.again(max(r.unwatched(), seen.Again.Sub(s.now)))
	if known {
		outcome, message := seen.Verdict()
		host.tls, host.message = mxVerdicts[outcome], message
		return
	}
	host.unprobed, host.tls, host.message = true, v1alpha1.VerdictUnknown, "not probed yet"
	before := s.md.Status.MTASTS
	if before == nil {
		return
	}
	for _, mx := range before.MX {
		if mx.Host == host.name && mx.StartTLS != "" {
			host.tls, host.message = mx.StartTLS, mx.Message
		}
	}
}

// recent are the hosts that senders may take for live though they have left the MX records.
func (a announcement) recent() map[string]time.Time {
	recent := maps.Clone(a.left)
	maps.DeleteFunc(recent, func(_ string, left time.Time) bool { return !a.now.Before(left.Add(recordCaches)) })
	return recent
}

// remember is what is to be stored of the live MX records.
func (a announcement) remember(before ledger.MX) ledger.MX {
	if !a.known {
		return before
	}
	next := ledger.MX{}
	for _, host := range a.live {
		next.Hosts = append(next.Hosts, host.name)
	}
	if slices.Equal(next.Hosts, before.Hosts) {
		next.Left = before.Left // to forget the old ones is no reason to write
		return next
	}
	next.Left = announcement{now: a.now, left: before.Left}.recent()
	for _, host := range before.Hosts {
		if next.Left == nil {
			next.Left = map[string]time.Time{}
		}
		next.Left[host] = a.now
	}
	maps.DeleteFunc(next.Left, func(host string, _ time.Time) bool { return slices.Contains(next.Hosts, host) })
	for len(next.Left) > maxLeft { // of a zone that moves its mail all the time, the one that caches forget first
		hosts := slices.Collect(maps.Keys(next.Left))
		delete(next.Left, slices.MinFunc(hosts, func(a, b string) int { return next.Left[a].Compare(next.Left[b]) }))
	}
	return next
}

// mxStatus is what status says of the live MX hosts, judged by the policy in force or, before the first,
// by the next one.
func (a announcement) mxStatus(next mtasts.Policy) []v1alpha1.MXStatus {
	p := a.inForce()
	if p.Mode == "" || p.Mode == mtasts.None {
		p = next
	}
	var list []v1alpha1.MXStatus
	for _, host := range a.live {
		covered := v1alpha1.VerdictFail
		if p.Covers(host.name) {
			covered = v1alpha1.VerdictPass
		}
		list = append(list, v1alpha1.MXStatus{Host: host.name, Covered: covered, StartTLS: host.tls, Message: cutTo(host.message, maxMXMessage)})
	}
	return list
}
