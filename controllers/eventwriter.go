package controllers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/reference"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maildomain/maildomain-operator/lease"
)

// EventWriter writes Events. client-go has a recorder too: it holds each Event in memory for six minutes and more, to count the
// ones that come again, takes any two of the same reason, action and object for the same, and drops the note of the second.
// For ten thousand new MailDomains that is 30 MiB, and what a record said before may be lost. Here an Event is the same only
// if all of it is, and what is remembered has a bound.
type EventWriter struct {
	client     client.Client
	clock      clock.PassiveClock
	controller string // events.k8s.io/v1: reportingController
	instance   string
	queue      chan *eventsv1.Event
	written    *cache.LRUExpireCache // by sameness
	retry      wait.Backoff
}

const (
	// queuedEvents may wait to be written. While the API server is away for long others are dropped: they tell of what
	// happened, and status of what is.
	queuedEvents = 1000
	// eventSenders write at the same time.
	eventSenders = 4
	// An Event that is the same as one of the last is not written again for sameEvent: a pass that fails at the same place
	// has the same to tell each time.
	sameEvent, rememberedEvents = 6 * time.Minute, 1000
	// lastEvents is how long the writer may take for what is queued when the process ends.
	lastEvents = 5 * time.Second
)

// NewEventWriter returns a writer that reports as a controller, in an instance of it. It writes once it is started.
func NewEventWriter(client client.Client, clock clock.PassiveClock, controller, instance string) *EventWriter {
	return &EventWriter{
		client: client, clock: clock, controller: controller, instance: instance,
		queue:   make(chan *eventsv1.Event, queuedEvents),
		written: cache.NewLRUExpireCacheWithClock(rememberedEvents, clock),
		retry:   wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.25, Steps: 8}, // for two minutes
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: the writer ends after those who have something to tell.
func (*EventWriter) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. Before it returns it writes what is queued.
func (w *EventWriter) Start(ctx context.Context) error {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(lastEvents, cancel) })
	var senders sync.WaitGroup
	for range eventSenders {
		senders.Go(func() { w.send(late, ctx.Done()) })
	}
	senders.Wait()
	return nil
}

// send writes what is queued until the end, and then what is left.
func (w *EventWriter) send(late context.Context, end <-chan struct{}) {
	for {
		select {
		case e := <-w.queue:
			w.write(late, e)
			continue
		case <-end:
		}
		select {
		case e := <-w.queue:
			w.write(late, e)
		default:
			return
		}
	}
}

// Eventf implements events.EventRecorder. It never waits.
func (w *EventWriter) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	e := &eventsv1.Event{
		EventTime: metav1.NewMicroTime(w.clock.Now()), Type: kind, Reason: reason, Action: action, Note: fmt.Sprintf(note, args...),
		ReportingController: w.controller, ReportingInstance: w.instance,
	}
	about, err := reference.GetReference(w.client.Scheme(), regarding)
	if err != nil {
		log.Log.Error(err, "an Event is about nothing that can be named", "reason", reason)
		return
	}
	e.Regarding = *about
	if related != nil {
		if e.Related, err = reference.GetReference(w.client.Scheme(), related); err != nil {
			log.Log.Error(err, "what an Event relates to can't be named", "reason", reason)
		}
	}
	e.Namespace, e.Name = about.Namespace, eventName(about.Name)
	if e.Namespace == "" {
		e.Namespace = metav1.NamespaceDefault // where Kubernetes has those about what is in none
	}
	same := sameness(e)
	if _, again := w.written.Get(same); again {
		return
	}
	select {
	case w.queue <- e:
		w.written.Add(same, true, sameEvent)
	default:
		log.Log.Info("an Event is dropped, as too many wait for the API server", "object", about.Namespace+"/"+about.Name, "reason", reason)
	}
}

// eventName is one that nobody has yet, and that shows what it is about. An object's name may be as long as an Event's.
func eventName(of string) string {
	return strings.TrimRight(of[:min(len(of), 200)], ".-") + "." + string(uuid.NewUUID())
}

// sameness is what two Events have in common that say the same of the same version of an object.
func sameness(e *eventsv1.Event) [sha256.Size]byte {
	related := corev1.ObjectReference{}
	if e.Related != nil {
		related = *e.Related
	}
	return sha256.Sum256(fmt.Appendf(nil, "%q", []string{e.Type, e.Reason, e.Action, e.Note, e.Regarding.String(), related.String()}))
}

// write tries for a while where the API server is away, and not where it has refused.
func (w *EventWriter) write(ctx context.Context, e *eventsv1.Event) {
	log := log.FromContext(ctx).WithValues("object", e.Regarding.Namespace+"/"+e.Regarding.Name, "reason", e.Reason)
	log.V(1).Info("Event", "type", e.Type, "note", e.Note)
	var failed error
	err := wait.ExponentialBackoffWithContext(ctx, w.retry, func(ctx context.Context) (bool, error) {
		failed = w.client.Create(ctx, e.DeepCopy())
		switch {
		case failed == nil || apierrors.IsAlreadyExists(failed): // the latter: the answer to an earlier try was lost
			return true, nil
		case refuses(failed):
			return false, failed
		}
		return false, nil
	})
	if err != nil && !errors.Is(failed, lease.ErrNotHeld) { // else it is for who leads now to tell
		log.Error(errors.Join(failed, context.Cause(ctx)), "an Event is not stored")
	}
}

// refuses reports whether the same request would have the same answer.
func refuses(err error) bool {
	if errors.Is(err, lease.ErrNotHeld) {
		return true
	}
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && status.ErrStatus.Code < http.StatusInternalServerError && !apierrors.IsTooManyRequests(err)
}

// +kubebuilder:rbac:roleName=maildomain-domains,groups=events.k8s.io,resources=events,verbs=create
