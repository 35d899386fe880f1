package simulate

import (
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/controllers"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/probe"
	"github.com/maildomain/maildomain-operator/test/certificate"
)

// year is what a world has that is of MTA-STS: the replicas that serve policies, the hosts of MX
// records, the owner of the domain, and those who write to it.
type year struct {
	w     *World
	hosts *hosts
	mx    mailservers
	watch *watchMX // of the operator's process; nil: --starttls-probe=off
	owner *owner
	posts *posts

	lag     time.Duration // of the replicas' caches, at the most
	noProbe bool
	hairpin bool      // the public address can't be reached from inside
	port25  time.Time // until when the operator reaches no MX host

	authority *certificate.Authority
	promises
}

// day is 24 hours.
const day = 24 * time.Hour

// yearPlan is what sort of world a seed makes, of those for MTA-STS.
func yearPlan(r *rand.Rand) plan {
	return plan{
		servers:     1 + r.IntN(3),
		negativeTTL: pick(r, 5*time.Second, time.Minute, time.Hour),
		slowest:     pick(r, 5*time.Second, time.Minute, 20*time.Minute, 2*time.Hour),
		cas:         r.IntN(2) == 0,
		poll:        pick(r, time.Minute, 5*time.Minute),
		resync:      pick(r, 4*time.Hour, 12*time.Hour, day),
		days:        365,
		crash:       pick(r, 0, 0.02, 0.1),
		fault:       pick(r, 0, 0.03, 0.15),
		pause:       pick(r, 0, 0.05, 0.2),
	}
}

// Year plays the world of a seed: a year in which everything about a policy changes, and what has to
// come to its end after it.
func Year(o Options) Outcome {
	rng := rand.New(rand.NewPCG(o.Seed, 2))
	w := &World{plan: yearPlan(rng), rng: rng, now: epoch, keys: &pool{}, watch: newWatch()}
	w.trace.on = o.Trace
	w.names, w.provider = newNames(w), newProvider(w)
	w.cluster = newCluster(w)
	w.year = newYear(w, o.Seed)
	defer w.year.hosts.clear()
	w.operator = newOperator(w)
	return w.play(func(w *World) { w.year.story() })
}

func newYear(w *World, seed uint64) *year {
	y := &year{w: w, mx: newMailservers(), posts: newPosts(seed), promises: newPromises()}
	y.hosts = newHosts(w, 2+w.rng.IntN(2))
	y.lag = pick(w.rng, 2*time.Second, 20*time.Second, time.Minute)
	y.noProbe, y.hairpin = w.rng.IntN(5) == 0, w.rng.IntN(6) == 0
	y.owner = &owner{w: w, announces: w.rng.IntN(3) > 0}
	var err error
	y.authority, err = certificate.NewAuthority()
	must(err)
	y.hosts.trust = parseCertificate(y.authority.PEM)
	return y
}

// equip gives the operator's process what it needs for policies.
func (y *year) equip(r *controllers.Reconciler) {
	w := y.w
	y.disturbed = w.now
	f := fetcher{y.hosts, resolver{w.names, &receiver{cache: map[string]cached{}}}}
	r.Fetcher, r.Replicas, r.PolicyService = f, f, policyService
	r.PolicyAddress = dnsprovider.Targets{dnsprovider.TypeA: []string{balancers[0].String()}}
	r.TrustReplicas = y.hairpin
	if y.watch = nil; !y.noProbe {
		y.watch = &watchMX{w: w, hosts: map[string]*watchedMX{}}
		r.MX = y.watch
	}
}

// story is how it all begins, a year of faults, and what must come about without them.
func (y *year) story() {
	w := y.w
	y.begin()
	w.in(w.between(time.Hour, 2*day), w.trouble)
	w.run(epoch.Add(time.Duration(w.plan.days) * day))
	w.settle()
	y.calm()
	y.completes()
}

// begin is what there is on the first day.
func (y *year) begin() {
	w := y.w
	y.hosts.start()
	y.owner.points([]string{mailHosts[0]}, false)
	for _, s := range w.names.servers {
		s.due = len(w.names.changes)
		w.names.catchUp(s)
	}
	y.owner.renews(90 * day)
	must(w.cluster.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "tsig"}, Data: map[string][]byte{"secret": []byte("c2VjcmV0")}}))
	must(w.cluster.create(&v1alpha1.DNSProvider{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "dns"}, Spec: v1alpha1.DNSProviderSpec{
		Domains: []string{domain},
		RFC2136: &v1alpha1.RFC2136Provider{Server: "192.0.2.1:53", TSIG: &v1alpha1.TSIGKey{KeyName: "maildomain.", SecretRef: &v1alpha1.SecretKeyRef{Name: "tsig", Key: "secret"}}},
	}}))
	must(w.cluster.create(&v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: object}, Spec: v1alpha1.MailDomainSpec{
		Domain: domain,
		DNS:    &v1alpha1.DNSSpec{ProviderRef: &v1alpha1.ProviderRef{Kind: v1alpha1.KindDNSProvider, Name: "dns"}},
		MTASTS: &v1alpha1.MTASTSSpec{
			Mode: pick(w.rng, v1alpha1.MTASTSEnforce, v1alpha1.MTASTSTesting), MX: []string{mailHosts[0]}, MaxAge: &metav1.Duration{Duration: pick(w.rng, maxAges...)},
		},
	}}))
	y.owner.wishes()
}

// troubles are what may go wrong at any time, beside the failures of single calls.
func (y *year) troubles() []func() {
	w := y.w
	one := func(do func(*replica)) func() {
		return func() { y.disturbed = w.now; do(pick(w.rng, y.hosts.replicas...)) }
	}
	return []func(){
		w.silence, w.slowness, w.cutOff, w.providerOutage, w.absence, w.kill, w.kill,
		one((*replica).kill), one((*replica).restart), one((*replica).replace), one((*replica).replace), one((*replica).isolate),
		y.hostTrouble, y.hostTrouble, y.noPort25,
	}
}

// hostTrouble has a host of MX records be one that no sender with a policy delivers to.
func (y *year) hostTrouble() {
	host, lasts := pick(y.w.rng, mailHosts...), y.w.between(time.Minute, 4*day)
	if y.mx[host] != probe.MXValid {
		return
	}
	y.mx[host] = pick(y.w.rng, probe.MXNoSTARTTLS, probe.MXBadCertificate, probe.MXNoAnswer)
	y.w.tell(host, "%s for %s", y.mx[host], lasts)
	y.w.in(lasts, func() { y.mx[host] = probe.MXValid })
}

// noPort25 keeps the operator from every MX host.
func (y *year) noPort25() {
	lasts := y.w.between(time.Hour, 6*day)
	y.w.tell("network", "the operator reaches no MX host for %s", lasts)
	y.port25 = y.w.now.Add(lasts)
}

// calm ends what is of this kind of world, and has the owner undo what stands in the way.
func (y *year) calm() {
	w := y.w
	y.port25 = time.Time{}
	for _, host := range mailHosts {
		y.mx[host] = probe.MXValid
	}
	for _, r := range y.hosts.replicas {
		r.cut = time.Time{}
		if r.writer == nil {
			r.starts()
		} else {
			r.sees()
		}
	}
	no := false
	w.cluster.edit(func(md *v1alpha1.MailDomain) { md.Spec.Suspend, md.Spec.Mode = &no, v1alpha1.ModeEnforce })
	y.owner.renews(400 * day)
	w.run(w.now.Add(2 * day)) // what was planned comes about
	y.owner.restores()
	y.owner.mends()
	y.reaches("the end of what is under way", longest, func() bool { return y.owner.next == nil && y.owner.good == nil })
	y.owner.enforces()
}

// longest is how long a commitment may last: the longest max_age, a day for caches and one for probes.
const longest = 30*day + 4*day

// completes judges the progress: what the owner wishes comes about when nothing is in the way.
func (y *year) completes() {
	w := y.w
	y.reaches("mode enforce", longest, y.fulfilled)

	// An announced move, with the old hosts gone from the policy at its end.
	y.owner.move()
	y.reaches("an announced move", 2*longest, func() bool { return y.owner.next == nil && y.fulfilled() })

	// One that is not announced: seen at the next look, and mended by spec at once.
	stranger := mailHosts[slices.IndexFunc(mailHosts, func(h string) bool { return !y.inForce.Covers(h) })]
	y.owner.strays([]string{stranger})
	y.reaches("MailAtRisk", w.plan.resync+recordTTL+w.plan.slowest+time.Hour, func() bool { return y.owner.told(v1alpha1.ReasonMailAtRisk) })
	y.owner.mends()
	y.reaches("a wider policy", 6*time.Hour+w.plan.slowest, func() bool {
		p, ok := y.announced()
		return ok && p.Covers(stranger)
	})
	y.reaches("the end of the risk", 2*longest, func() bool { return y.owner.good == nil && y.fulfilled() })
	y.rests()

	y.owner.withdraws()
	y.reaches("the end of a withdrawal", longest, y.gone)
	y.rests()
}

// reaches has the world go on until something is true, which must not take longer.
func (y *year) reaches(what string, within time.Duration, done func() bool) {
	w := y.w
	w.tell("world", "waits for %s", what)
	for ends := w.now.Add(within); !done(); {
		if w.now.After(ends) {
			w.violated("no progress in %s to %s: %s", within, what, w.status())
		}
		w.run(w.now.Add(20 * time.Minute))
	}
}

// rests judges that an unchanged world is left alone: nothing is written, and it is looked at rarely.
func (y *year) rests() {
	w := y.w
	for last := -1; last < w.Counts.Effects; { // what is under way comes to its end
		last = w.Counts.Effects
		w.run(w.now.Add(w.plan.resync + time.Hour))
	}
	passes, effects, quiet := w.Counts.Passes, w.Counts.Effects, 3*day
	w.run(w.now.Add(quiet))
	if most := int(quiet/w.plan.resync) + 6; w.Counts.Passes-passes > most {
		w.violated("nothing happens for %s, and the operator makes %d passes, want %d at the most", quiet, w.Counts.Passes-passes, most)
	}
	if w.Counts.Effects > effects {
		w.violated("an unchanged world is written to")
	}
}

// fulfilled reports whether the policy is announced that spec wants, and no other, and all is well.
func (y *year) fulfilled() bool {
	md := get(y.w.cluster, object, &v1alpha1.MailDomain{})
	p, ok := y.announced()
	return ok && md.Status.ObservedGeneration == md.Generation && meta.IsStatusConditionTrue(md.Status.Conditions, v1alpha1.ConditionReady) &&
		y.unmixed() && string(p.Mode) == string(md.Spec.MTASTS.Mode) && p.MaxAge == md.Spec.MTASTS.MaxAgeOrDefault() && slices.Equal(slices.Sorted(slices.Values(p.MX)), slices.Sorted(slices.Values(md.Spec.MTASTS.MX)))
}

// gone reports whether nothing is left of the policy.
func (y *year) gone() bool {
	z := y.w.provider.zone
	return len(z["_mta-sts."+domain]) == 0 && (y.owner.keepsHost || len(z[rrsetAt(policyHost, "A")]) == 0) &&
		!slices.ContainsFunc(y.hosts.replicas, func(r *replica) bool { return r.body != "" })
}
