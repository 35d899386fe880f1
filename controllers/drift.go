package controllers

import (
	"context"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/maildomain/maildomain-operator/probe"
)

// DriftWatch looks, between the passes of a Reconciler, whether DNS still shows what the last one saw, and has a pass made at once
// where it does not. A check asks one name server of a zone, and the next check another one, where a pass asks all of them; it
// reads nothing from the API server and writes nothing anywhere (Law 14).
//
// Only what is at rest is watched: a MailDomain that is Ready, with nothing under way, and of which the name servers that
// answered all said the same. For any other passes come as often as checks would. What is known is gone with the process.
type DriftWatch struct {
	Prober   ServerProber
	Interval time.Duration // between the checks of a MailDomain, at most: up to a tenth earlier

	mu    sync.Mutex
	views map[types.NamespacedName]*view
	due   adder // of this watch; nil until it is started
	news  adder // of the Reconciler
}

// adder is what is needed of a work queue.
type adder interface {
	Add(reconcile.Request)
	AddAfter(reconcile.Request, time.Duration)
}

// view is what the last pass over a MailDomain was shown. It does not change, but for the turn.
type view struct {
	rrsets      []shownRRset
	nameservers []string // of the provider
	turn        uint64   // which of the name servers is asked next
}

// asked is a question to the name servers of a zone.
type asked struct {
	name, rrtype string
	configured   bool // the name servers are those of the provider, not those of the delegation
}

// shownRRset is the answer to it, as far as it has to stay the same.
type shownRRset struct {
	asked
	apex  string
	print uint64 // of the values
}

// seed makes a print nothing that a zone could aim at.
var seed = maphash.MakeSeed()

// printOf is that of what proving answers show; ok is false if there is none, or if they differ. That a name does not exist and
// that it has no such records is the same: it changes with the names below.
func printOf(rrtype string, answers []probe.Answer) (print uint64, ok bool) {
	var union []string
	for _, a := range answers {
		if !proves(a) {
			continue
		}
		values := []string{"CNAME " + a.Alias}
		for _, value := range a.Values {
			values = append(values, strconv.Quote(value))
		}
		slices.Sort(values)
		switch {
		case !ok:
			union, ok = values, true
		case everyServerCounts(rrtype):
			union = append(union, values...)
		case !slices.Equal(union, values):
			return 0, false
		}
	}
	slices.Sort(union)
	return maphash.String(seed, strings.Join(slices.Compact(union), " ")), ok
}

// everyServerCounts: a host that one name server has among its MX records is one that senders come to, so all are asked.
func everyServerCounts(rrtype string) bool { return rrtype == "MX" }

// viewOf is what the pass was shown; ok is false if it is not at rest, or not clear.
func viewOf(s *scope) (v *view, ok bool) {
	v = &view{nameservers: s.provider.nameservers(), turn: maphash.String(seed, s.md.Spec.Domain)}
	for question, seen := range s.sights {
		print, ok := printOf(question.rrtype, seen.answers)
		if seen.err != nil || !ok {
			return nil, false
		}
		v.rrsets = append(v.rrsets, shownRRset{question, seen.authority.Apex, print})
	}
	return v, len(v.rrsets) > 0
}

// remember takes a view in place of the one before, and plans a check of it. nil: there is none, and passes go on.
func (w *DriftWatch) remember(name types.NamespacedName, v *view) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if v == nil || w.due == nil {
		delete(w.views, name)
		return
	}
	if w.views == nil {
		w.views = map[types.NamespacedName]*view{}
	}
	w.views[name] = v
	w.due.AddAfter(reconcile.Request{NamespacedName: name}, early(w.Interval, name.String()))
}

func (w *DriftWatch) of(name types.NamespacedName) *view {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.views[name]
}

// Reconcile makes one check.
func (w *DriftWatch) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	v := w.of(req.NamespacedName)
	if v == nil {
		return ctrl.Result{}, nil
	}
	if w.stands(ctx, v) {
		return ctrl.Result{RequeueAfter: early(w.Interval, req.String())}, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.views[req.NamespacedName] == v { // else a pass was faster
		delete(w.views, req.NamespacedName)
		w.news.Add(req)
	}
	return ctrl.Result{}, nil
}

// stands reports whether DNS shows what it did. That somebody could not be asked is no yes: a pass finds out more.
func (w *DriftWatch) stands(ctx context.Context, v *view) bool {
	type zone struct {
		apex       string
		configured bool
	}
	zones := map[zone][]probe.Server{}
	v.turn++
	for _, before := range v.rrsets {
		at := zone{before.apex, before.configured}
		servers, known := zones[at]
		if !known {
			var nameservers []string
			if at.configured {
				nameservers = v.nameservers
			}
			var err error
			if servers, err = w.Prober.Servers(ctx, at.apex, nameservers); err != nil {
				return false
			}
			zones[at] = servers
		}
		if now, ok := printOf(before.rrtype, w.ask(ctx, servers, v.turn, before)); !ok || now != before.print {
			return false
		}
	}
	return true
}

// ask asks the server whose turn it is, or the next that there is a way to.
func (w *DriftWatch) ask(ctx context.Context, servers []probe.Server, turn uint64, about shownRRset) []probe.Answer {
	if everyServerCounts(about.rrtype) {
		return w.Prober.Ask(ctx, probe.Authority{Apex: about.apex, Servers: servers}, about.name, about.rrtype)
	}
	var single []probe.Server
	for _, s := range servers {
		for _, addr := range s.Addrs {
			single = append(single, probe.Server{Name: s.Name, Addrs: append(s.Addrs[:0:0], addr)})
		}
	}
	for i := range single {
		one := single[(turn+uint64(i))%uint64(len(single))]
		answers := w.Prober.Ask(ctx, probe.Authority{Apex: about.apex, Servers: []probe.Server{one}}, about.name, about.rrtype)
		if !slices.ContainsFunc(answers, func(a probe.Answer) bool { return a.Outcome == probe.Unroutable }) {
			return answers
		}
	}
	return nil
}

// SetupWithManager has the manager call Reconcile when a check is due.
func (w *DriftWatch) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).Named("drift").WatchesRawSource(w.into(&w.due)).WithOptions(options).Complete(w)
}

// into fetches the work queue of a controller.
func (w *DriftWatch) into(queue *adder) source.Source {
	return source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		*queue = q
		return nil
	})
}
