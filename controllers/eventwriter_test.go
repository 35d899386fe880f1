package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/lease"
)

// eventStore is an API server that has Events alone.
type eventStore struct {
	client.Client
	scheme *runtime.Scheme

	mu     sync.Mutex
	fails  func(tried int) error // nil: it takes all
	tried  int
	stored []eventsv1.Event
}

func (s *eventStore) Scheme() *runtime.Scheme { return s.scheme }

func (s *eventStore) Create(ctx context.Context, object client.Object, _ ...client.CreateOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried++
	if s.fails != nil {
		if err := s.fails(s.tried); err != nil {
			return err
		}
	}
	s.stored = append(s.stored, *object.(*eventsv1.Event))
	return ctx.Err()
}

func (s *eventStore) notes() (notes []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.stored {
		notes = append(notes, e.Note)
	}
	slices.Sort(notes) // several senders
	return notes
}

// eventWriter returns a writer whose clock stands, what it writes to, and what starts it, ends it and waits for that.
func eventWriter(t *testing.T) (w *EventWriter, store *eventStore, finish func()) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	store = &eventStore{scheme: scheme}
	w = NewEventWriter(store, clocktesting.NewFakePassiveClock(time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)), "maildomain-operator", "maildomain-operator-0")
	w.retry = wait.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 5}
	return w, store, func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = w.Start(ctx) // which writes what is queued
	}
}

func subject(version string) *v1alpha1.MailDomain {
	return &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: "example-com", UID: "uid", ResourceVersion: version}}
}

func TestAnEventIsWhole(t *testing.T) {
	w, store, finish := eventWriter(t)
	part := &corev1.ObjectReference{APIVersion: "maildomain.dev/v1alpha1", Kind: "MailDomain", Namespace: "mail", Name: "example-com", UID: "uid", ResourceVersion: "7", FieldPath: "status.records{x}"}
	w.Eventf(part, nil, "Normal", "Create", "WriteRecord", "%s was made", "a record")
	w.Eventf(&v1alpha1.ClusterDNSProvider{ObjectMeta: metav1.ObjectMeta{Name: strings.Repeat("x", 199) + "-" + strings.Repeat("x", 53)}}, subject("7"), "Warning", "Unauthorized", "Verify", "100%%")
	finish()
	slices.SortFunc(store.stored, func(a, b eventsv1.Event) int { return strings.Compare(a.Type, b.Type) })
	if len(store.stored) != 2 {
		t.Fatalf("%d Events are stored", len(store.stored))
	}
	first, second := store.stored[0], store.stored[1]
	if !strings.HasPrefix(first.Name, "example-com.") || first.Namespace != "mail" || len(second.Name) > 253 || strings.Contains(second.Name, "-.") || second.Namespace != "default" {
		t.Errorf("%s/%s, %s/%s", first.Namespace, first.Name, second.Namespace, second.Name)
	}
	want := eventsv1.Event{
		ObjectMeta: first.ObjectMeta, EventTime: metav1.NewMicroTime(w.clock.Now()), ReportingController: "maildomain-operator", ReportingInstance: "maildomain-operator-0",
		Type: "Normal", Reason: "Create", Action: "WriteRecord", Note: "a record was made", Regarding: *part,
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Error(diff)
	}
	if second.Note != "100%" || second.Related == nil || second.Related.Name != "example-com" || second.Regarding.Kind != "ClusterDNSProvider" {
		t.Errorf("%+v", second)
	}
}

// The same Event is written once in a while. One that differs in anything is another.
func TestTheSameEventAgain(t *testing.T) {
	w, store, finish := eventWriter(t)
	tell := func(version, note string) {
		w.Eventf(subject(version), nil, "Normal", "Replace", "WriteRecord", "%s", note)
	}
	for range 3 {
		tell("7", "before it was a")
		tell("7", "before it was b")
		tell("8", "before it was a")
	}
	clock := w.clock.(*clocktesting.FakePassiveClock)
	clock.SetTime(clock.Now().Add(sameEvent + time.Second))
	tell("8", "before it was a")
	finish()
	if diff := cmp.Diff([]string{"before it was a", "before it was a", "before it was a", "before it was b"}, store.notes()); diff != "" {
		t.Error(diff)
	}
}

// An API server that is away is tried again; one that refuses, or a lease that is lost, ends it.
func TestEventsWhileTheAPIServerIsAway(t *testing.T) {
	events := schema.GroupResource{Group: "events.k8s.io", Resource: "events"}
	for name, test := range map[string]struct {
		fails  func(tried int) error
		tried  int
		stored bool
	}{
		"away for a while": {func(tried int) error {
			if tried < 4 {
				return errors.New("connection refused")
			}
			return nil
		}, 4, true},
		"busy for a while": {func(tried int) error {
			if tried < 3 {
				return apierrors.NewTooManyRequests("busy", 1)
			}
			return nil
		}, 3, true},
		"away for good":     {func(int) error { return apierrors.NewInternalError(errors.New("etcd")) }, 5, false},
		"forbidden":         {func(int) error { return apierrors.NewForbidden(events, "x", errors.New("no role")) }, 1, false},
		"the lease is lost": {func(int) error { return fmt.Errorf("writing: %w", lease.ErrNotHeld) }, 1, false},
		"there already":     {func(int) error { return apierrors.NewAlreadyExists(events, "x") }, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, store, finish := eventWriter(t)
			store.fails = test.fails
			w.Eventf(subject("7"), nil, "Normal", "Create", "WriteRecord", "note")
			finish()
			if store.tried != test.tried || (len(store.stored) == 1) != test.stored {
				t.Errorf("tried %d times, stored %d", store.tried, len(store.stored))
			}
		})
	}
}

// Who tells never waits: what is too much is dropped, and can be told again.
func TestTooManyEvents(t *testing.T) {
	w, store, finish := eventWriter(t)
	for i := range queuedEvents + 10 {
		w.Eventf(subject("7"), nil, "Normal", "Create", "WriteRecord", "%d", i)
	}
	finish()
	w.Eventf(subject("7"), nil, "Normal", "Create", "WriteRecord", "%d", queuedEvents+9)
	finish()
	if notes := store.notes(); len(notes) != queuedEvents+1 || !slices.Contains(notes, fmt.Sprint(queuedEvents+9)) {
		t.Errorf("%d Events are stored", len(notes))
	}
}
