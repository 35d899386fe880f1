package controllers

import (
	"context"
	"hash/maphash"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/probe"
)

// DriftWatch looks, between the passes of a Reconciler, whether DNS still shows what the last one saw, and has a pass made at once
// where it does not. A check asks one name server of a zone, and the next check another one, where a pass asks all of them (MX
// records are asked of all, as each host that any of them names counts); it reads nothing from the API server and writes
// nothing anywhere (Law 14).
//
// Only what is at rest and in plain sight is watched: a MailDomain that is Ready, with nothing under way, of which the name servers that
// answered said the same, and which goes by nothing behind an alias or at a third party. For any other passes come as often
// as checks would. What is known is gone with the process.
type DriftWatch struct {
	Prober   ServerProber
	Interval time.Duration // between the checks of a MailDomain, at most: up to a tenth earlier

	mu      sync.Mutex
	watches map[types.NamespacedName]*watch
	due     workqueue.TypedRateLimitingInterface[reconcile.Request] // of this watch; nil until it is started
	news    workqueue.TypedRateLimitingInterface[reconcile.Request] // of the Reconciler
}

// checkTime is how long a check may take, however slow a zone is. What could not be asked by then is looked at in a pass.
const checkTime = 15 * time.Second

// foundPriority is that of a pass which a check asks for: after what users change, before mere looks.
const foundPriority = handler.LowPriority / 2

// watch is what is known of a MailDomain.
type watch struct {
	view *view  // nil: passes go on
	turn uint64 // which of the name servers is asked next
}

// view is what the last pass over a MailDomain was shown. It does not change.
type view struct {
	rrsets      []shownRRset
	nameservers []string // of the provider
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
		if a.Outcome != probe.Found {
			values = append(values, "nothing")
		}
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
func everyServerCounts(rrtype string) bool { return rrtype == typeMX }

// viewOf is what the pass was shown; nil if that is not clear.
func viewOf(s *scope) *view {
	if s.unclear {
		return nil
	}
	v := &view{nameservers: s.provider.nameservers()}
	for question, seen := range s.sights {
		print, ok := printOf(question.rrtype, seen.answers)
		if seen.err != nil || !ok || leadsAway(question.rrtype, seen.answers) {
			return nil
		}
		v.rrsets = append(v.rrsets, shownRRset{question, seen.authority.Apex, print})
	}
	return v
}

// leadsAway reports whether what counts stands where an alias leads. Of a host the alias itself counts.
func leadsAway(rrtype string, answers []probe.Answer) bool {
	return (rrtype == dnsprovider.TypeTXT || rrtype == typeMX) && slices.ContainsFunc(answers, func(a probe.Answer) bool { return proves(a) && a.Alias != "" })
}

// begin is for a pass that begins, which sees for itself.
func (w *DriftWatch) begin(name types.NamespacedName) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.watches[name]; ok {
		known.view = nil
	}
}

// remember takes the view of a pass, and plans a check. watched is false if there is no view, or nobody to check it yet.
func (w *DriftWatch) remember(name types.NamespacedName, v *view) (watched bool) {
	if w == nil || v == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.due == nil || w.news == nil {
		return false
	}
	if w.watches == nil {
		w.watches = map[types.NamespacedName]*watch{}
	}
	if w.watches[name] == nil {
		w.watches[name] = &watch{turn: maphash.String(seed, name.String())}
	}
	w.watches[name].view = v
	w.due.AddAfter(reconcile.Request{NamespacedName: name}, early(w.Interval, name.String()))
	return true
}

// forget is for a MailDomain that is gone.
func (w *DriftWatch) forget(name types.NamespacedName) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watches, name)
}

// next is the view to be checked, and by the turn of which server; nil if there is none.
func (w *DriftWatch) next(name types.NamespacedName) (v *view, turn uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.watches[name]
	if known == nil || known.view == nil {
		return nil, 0
	}
	known.turn++
	return known.view, known.turn
}

// changed asks for a pass, unless one was faster since the view.
func (w *DriftWatch) changed(name types.NamespacedName, since *view) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.watches[name]; known == nil || known.view != since {
		return
	}
	w.watches[name].view = nil
	request := reconcile.Request{NamespacedName: name}
	if queue, ok := w.news.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		queue.AddWithOpts(priorityqueue.AddOpts{Priority: new(foundPriority)}, request)
	} else {
		w.news.Add(request)
	}
}

// Reconcile makes one check.
func (w *DriftWatch) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	v, turn := w.next(req.NamespacedName)
	if v == nil {
		return ctrl.Result{}, nil
	}
	if w.stands(ctx, v, turn) {
		return ctrl.Result{RequeueAfter: early(w.Interval, req.String())}, nil
	}
	w.changed(req.NamespacedName, v)
	return ctrl.Result{}, nil
}

// stands reports whether DNS shows what it did. That somebody could not be asked is no yes: a pass finds out more.
func (w *DriftWatch) stands(ctx context.Context, v *view, turn uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	type zone struct {
		apex       string
		configured bool
	}
	zones := map[zone]*inTurn{}
	for _, before := range v.rrsets {
		at := zone{before.apex, before.configured}
		if zones[at] == nil {
			zones[at] = &inTurn{prober: w.Prober, apex: at.apex, turn: turn}
			if at.configured {
				zones[at].nameservers = v.nameservers
			}
		}
		answers, err := zones[at].ask(ctx, before.name, before.rrtype)
		if err != nil {
			return false
		}
		if now, ok := printOf(before.rrtype, answers); !ok || now != before.print {
			return false
		}
	}
	return ctx.Err() == nil
}

// inTurn asks one server of a zone, which is the next one that there is a way to.
type inTurn struct {
	prober      ServerProber
	apex        string
	nameservers []string
	turn        uint64
	server      *probe.Server // the one; nil: not found yet
}

func (z *inTurn) ask(ctx context.Context, name, rrtype string) (answers []probe.Answer, err error) {
	if z.server != nil && !everyServerCounts(rrtype) {
		return z.askThese(ctx, name, rrtype, *z.server), nil
	}
	var all []probe.Server
	for server, err := range z.prober.InTurn(ctx, z.apex, z.nameservers, z.turn) {
		if err != nil {
			return nil, err
		}
		if everyServerCounts(rrtype) {
			all = append(all, server)
			continue
		}
		for _, addr := range server.Addrs {
			one := probe.Server{Name: server.Name, Addrs: []netip.AddrPort{addr}}
			if answers = z.askThese(ctx, name, rrtype, one); !slices.ContainsFunc(answers, unroutable) {
				z.server = &one
				return answers, nil
			}
		}
	}
	if everyServerCounts(rrtype) {
		answers = z.askThese(ctx, name, rrtype, all...)
	}
	return answers, nil
}

func (z *inTurn) askThese(ctx context.Context, name, rrtype string, servers ...probe.Server) []probe.Answer {
	return z.prober.Ask(ctx, probe.Authority{Apex: z.apex, Servers: servers}, name, rrtype)
}

func unroutable(a probe.Answer) bool { return a.Outcome == probe.Unroutable }

// SetupWithManager has the manager call Reconcile when a check is due.
func (w *DriftWatch) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).Named("drift").WatchesRawSource(w.into(&w.due)).WithOptions(options).Complete(w)
}

// into fetches the work queue of a controller.
func (w *DriftWatch) into(queue *workqueue.TypedRateLimitingInterface[reconcile.Request]) source.Source {
	return source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		*queue = q
		return nil
	})
}
