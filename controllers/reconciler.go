package controllers

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/reference"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/lease"
	"github.com/maildomain/maildomain-operator/mailauth/spf"
)

// Reconciler makes what a MailDomain states true, and says how far that is so.
type Reconciler struct {
	Client client.Client
	Reader client.Reader // past any cache: for Secrets
	Clock  clock.PassiveClock
	Events events.EventRecorder

	Resolver spf.Resolver // of the operator's own choice
	Prober   Prober
	Fetcher  PolicyFetcher
	// MX knows what the hosts of MX records offer; nil: they are not probed.
	MX       MXProber
	Surveyor Surveyor // needed where spec names baselines

	// PolicyService is the Service, in the operator's own namespace, whose EndpointSlices name the
	// replicas that serve policies; "": they are not asked one by one.
	PolicyService string
	Replicas      ReplicaFetcher // needed with PolicyService
	// PolicyAddress is where mta-sts.<domain> should lead with spec.mtaSTS.address.type Auto. Empty: to the
	// load balancer of PolicyService, or, without that, where a human has it lead.
	PolicyAddress dnsprovider.Targets
	// Plain says that policies are served over HTTP, and that what ends TLS in front of them holds the
	// certificates: none is asked for, or kept. The public name is asked over HTTPS all the same.
	Plain bool
	// TrustReplicas has a policy announced that every replica serves, also where the public name can't be
	// reached from here.
	TrustReplicas bool

	Accounts    *Accounts
	credentials credentials
	Keys        KeyMaker
	proven      keys.Proven

	Namespace string // the operator's own
	Watched   Watched
	OwnerID   string // of this installation, in registry records
	// AllowPrivate says which addresses that are not public a user's configuration may point at.
	AllowPrivate func(netip.Addr) bool

	// LostKeyGrace is how long a lost private key is waited for before another takes its place.
	LostKeyGrace time.Duration

	// Elapsed is the time that passed since some beginning, whatever the clock says; nil: the clock is
	// believed.
	Elapsed func() time.Duration
	jumps   jumps

	Poll   time.Duration // between passes while something is under way
	Resync time.Duration // between passes otherwise, at most: up to a tenth earlier
	// Drift looks between passes whether DNS has changed; nil: nobody does, and Resync is how often that is looked for.
	Drift *DriftWatch
	// DeletionGrace is how long a MailDomain that is deleted may stay to be wound up (Law 11).
	DeletionGrace time.Duration
	// Certificates is where a certificate is found that is gone from the cluster; nil: nowhere, as
	// without a snapshot of its own.
	Certificates Certificates
	// Left is told how many records were left published when their MailDomain was gone; nil: nobody is.
	Left func(records int)
	// Meter is told what becomes of records; nil: nobody is.
	Meter  Meter
	traces traces
}

// step is one part of a pass. An error ends the pass; what a user can mend is no error.
type step struct {
	name string
	run  func(context.Context, *scope) error
}

func (r *Reconciler) steps() []step {
	return []step{
		// Gather and decide.
		{"read the ledger", r.readLedger},
		{"find the provider", r.readProvider},
		{"claim the domain", r.claimDomain},
		{"SPF", r.decideSPF},
		{"DKIM", r.decideDKIM},
		{"DMARC", r.decideDMARC},
		{"TLS-RPT", r.decideTLSRPT},
		{"MTA-STS", r.decideMTASTS},
		{"the policy host", r.decideHost},
		{"note who is silent", r.rememberSilence},
		// Act.
		{"write the signer's Secret", r.writeSigner},
		{"write the records", r.writeRecords},
		{"write the policy host", r.writeHost},
		{"write what is served", r.writeSite},
		// Report.
		{"judge what is served", r.judge},
		{"judge by baselines", r.judgeCompliance},
	}
}

// patch: the finalizer.
// +kubebuilder:rbac:roleName=maildomain-domains,groups=maildomain.dev,resources=maildomains,verbs=get;list;watch;patch

// Reconcile makes one pass.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	md := &v1alpha1.MailDomain{}
	r.Drift.begin(req.NamespacedName)
	if err := r.Client.Get(ctx, req.NamespacedName, md); err != nil {
		if apierrors.IsNotFound(err) {
			r.Keys.Forget(customer(req.Namespace, req.Name))
			r.traces.forget(req.NamespacedName)
			r.Drift.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s := r.newScope(md)
	switch {
	case !md.DeletionTimestamp.IsZero():
		return r.end(ctx, s)
	case md.Spec.Suspended():
		return ctrl.Result{}, r.report(ctx, s, suspended(md, s.now))
	}
	if err := run(ctx, s, r.steps()); err != nil {
		return r.failed(ctx, s, err)
	}
	status := status(s)
	r.noteVerified(s)
	resting := viewOf(s)
	if unsettled(status) {
		resting = nil
		s.again(max(r.Poll, s.notBefore, s.now.Sub(lastTransition(status))/4)) // what does not move is looked at less often
	}
	if err := r.report(ctx, s, status); err != nil {
		return ctrl.Result{}, err // which comes back with the priority that it came with
	}
	return r.next(s, r.Drift.remember(req.NamespacedName, resting)), nil
}

// next is when to look at the MailDomain again. While something is under way that goes with what users change; a mere look
// whether all is as it was lets everything else pass first.
func (r *Reconciler) next(s *scope, watched bool) ctrl.Result {
	otherwise := r.unwatched()
	if watched {
		otherwise = r.Resync
	}
	otherwise = early(otherwise, s.md.Namespace+"/"+s.md.Name)
	if s.recheck > 0 && s.recheck < otherwise {
		return ctrl.Result{RequeueAfter: s.recheck, Priority: new(0)}
	}
	return ctrl.Result{RequeueAfter: otherwise, Priority: new(handler.LowPriority)}
}

// unwatched is the time between passes, at most, over what no DriftWatch looks at in between.
func (r *Reconciler) unwatched() time.Duration {
	if r.Drift == nil {
		return r.Resync
	}
	return min(r.Resync, r.Drift.Interval)
}

// early is the interval less up to a tenth of it, by a hash of the name: MailDomains that were looked at together, as at the
// start of the process, drift apart.
func early(interval time.Duration, name string) time.Duration {
	hash := fnv.New64a()
	hash.Write([]byte(name))
	return interval - time.Duration(hash.Sum64()%1024)*interval/10/1024
}

func (r *Reconciler) newScope(md *v1alpha1.MailDomain) *scope {
	resolver, prober := r.eyes()
	return &scope{
		now:      r.Clock.Now().UTC().Truncate(time.Second),
		md:       md,
		resolver: resolver,
		prober:   prober,
		zones:    map[string]dnsprovider.Zone{},
		looks:    map[string]sight{},
		sights:   map[asked]sight{},
		blocked:  map[string]verdict{},
	}
}

// stepError is what ended a pass.
type stepError struct {
	step string
	err  error
}

// Error implements error.
func (e stepError) Error() string { return e.step + ": " + e.err.Error() }

// Unwrap returns the cause.
func (e stepError) Unwrap() error { return e.err }

// run makes the steps of a pass, up to the first that fails.
func run(ctx context.Context, s *scope, steps []step) error {
	for _, step := range steps {
		if err := step.run(ctx, s); err != nil {
			return stepError{step.name, err}
		}
	}
	return nil
}

// outdone reports whether another writer was faster, or may be by now, as the lease does not outlast the write: the world
// has to be read anew.
func outdone(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || errors.Is(err, lease.ErrNotHeld)
}

// failed says in status why a pass could not be made, and has it tried again.
func (r *Reconciler) failed(ctx context.Context, s *scope, err error) (ctrl.Result, error) {
	if outdone(err) {
		r.tell(s.md, slices.Concat(recordsMade(s.made), s.events)) // what is in DNS by now; what was to be stored is not
		return ctrl.Result{RequeueAfter: r.Poll, Priority: new(0)}, nil
	}
	broken, ok := errors.AsType[stepError](err)
	if !ok {
		broken = stepError{"the pass", err}
	}
	why := verdict{v1alpha1.ReasonInternalError, fmt.Sprintf("%s failed, and is tried again: see the operator's log", broken.step)}
	switch {
	case errors.Is(err, errLedger):
		why = verdict{v1alpha1.ReasonLedgerUnreadable, broken.err.Error()}
	case apierrors.IsForbidden(err):
		why = verdict{v1alpha1.ReasonNotPermitted, fmt.Sprintf("%s: %s", broken.step, firstLine(broken.err))}
	}
	return ctrl.Result{}, errors.Join(err, r.report(ctx, s, failed(s.md, why, s.now)))
}

func (r *Reconciler) readLedger(ctx context.Context, s *scope) (err error) {
	if s.book, err = openBook(ctx, r.Reader, s.md); err != nil {
		return err
	}
	if s.book.secret.ResourceVersion == "" {
		if taken, err := r.takeUpTombstone(ctx, s); err != nil {
			return err
		} else if !taken {
			if err := r.lostLedger(ctx, s); err != nil {
				return err
			}
		}
		// What was asked for before the domain was ever managed has been overtaken.
		s.book.Handle(v1alpha1.AnnotationRotate, s.md.Annotations[v1alpha1.AnnotationRotate])
	}
	s.book.Spec = s.book.Spec.Next(string(s.md.UID), s.md.Generation, sections(s.md))
	r.restartWaits(s)
	s.dkim.ring = s.book.Keyring
	return nil
}

// The sections of spec, as the ledger names them.
const (
	sectionSPF    = "spf"
	sectionDKIM   = "dkim"
	sectionDMARC  = "dmarc"
	sectionMTASTS = "mtaSTS"
	sectionTLSRPT = "tlsRPT"
)

func sections(md *v1alpha1.MailDomain) []string {
	var list []string
	for _, section := range []struct {
		name  string
		there bool
	}{
		{sectionSPF, md.Spec.SPF != nil},
		{sectionDKIM, md.Spec.DKIM != nil},
		{sectionDMARC, md.Spec.DMARC != nil},
		{sectionMTASTS, md.Spec.MTASTS != nil},
		{sectionTLSRPT, md.Spec.TLSRPT != nil},
	} {
		if section.there {
			list = append(list, section.name)
		}
	}
	return list
}

func (r *Reconciler) readProvider(ctx context.Context, s *scope) (err error) {
	if s.ending != nil && s.ending.tombstone != nil {
		s.provider, err = r.providerOf(ctx, s.ending.tombstone)
		return err
	}
	s.provider, err = r.findProvider(ctx, s.md)
	return err
}

// +kubebuilder:rbac:roleName=maildomain-domains,groups=maildomain.dev,resources=maildomains/status,verbs=patch

// report patches status, if it says anything new, and tells of what happened.
func (r *Reconciler) report(ctx context.Context, s *scope, next v1alpha1.MailDomainStatus) error {
	r.tell(s.md, s.told()) // the next pass knows nothing of it
	if sameStatus(s.md.Status, next) {
		next = s.md.Status
	} else {
		updated := s.md.DeepCopy()
		updated.Status = next
		if err := r.Client.Status().Patch(ctx, updated, client.MergeFrom(s.md)); err != nil {
			return client.IgnoreNotFound(fmt.Errorf("writing status: %w", err))
		}
	}
	r.tell(s.md, changes(s.md.Status, next))
	return nil
}

// tell sends Events about an object.
func (r *Reconciler) tell(about runtime.Object, events []event) {
	for _, e := range events {
		kind := "Normal"
		if e.warning {
			kind = "Warning"
		}
		part := about
		if ref, err := reference.GetPartialReference(r.Client.Scheme(), about, e.part); err == nil {
			part = ref // else the recorder has the same error, and logs it
		}
		r.Events.Eventf(part, nil, kind, e.reason, e.action, "%s", cutTo(e.note, maxNote))
	}
}
