package dnsprovider

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

// libdnsGates hold one gate for each zone at a provider, so that whoever opens the zone waits
// for whoever opened it before. A process knows few zones: none is ever taken out.
var libdnsGates sync.Map

func libdnsGate(id string) chan struct{} {
	gate, _ := libdnsGates.LoadOrStore(id, make(chan struct{}, 1))
	return gate.(chan struct{})
}

// LibdnsGrace is how long a module has to return after the time is up, before it is left alone.
const LibdnsGrace = time.Second

// libdnsVisit is one Read or Apply: the calls that it makes, with no others of the zone between
// them.
type libdnsVisit struct {
	*libdnsZone
	ctx context.Context
	// gone is of a call that did not return when its time was up. Until it does, the gate stays shut.
	gone chan struct{}
}

// visit waits for its turn. A module that never returns keeps the gate, so that no more than one
// goroutine waits for it, and its late write cannot fall between our read and our write.
func (z *libdnsZone) visit(ctx context.Context) (v *libdnsVisit, leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, z.timeout)
	if ctx.Err() == nil {
		select {
		case z.gate <- struct{}{}:
			v = &libdnsVisit{libdnsZone: z, ctx: ctx}
			return v, func() { cancel(); v.leave() }, nil
		case <-ctx.Done():
		}
	}
	defer cancel()
	return nil, nil, failure(Unreachable, ctx.Err(), "the time was up before anything was sent")
}

func (v *libdnsVisit) leave() {
	if v.gone == nil {
		<-v.gate
		return
	}
	go func() {
		<-v.gone
		<-v.gate
	}()
}

// list has the module list the zone.
func (v *libdnsVisit) list() (libdnsList, error) {
	list, err := libdnsCall(v, false, func(ctx context.Context) (libdnsList, error) {
		records, err := v.client.GetRecords(ctx, dns.Fqdn(v.apex))
		if err != nil {
			return nil, err
		}
		return libdnsListOf(records, v.apex), nil
	})
	if err == nil && v.showsNS && !list.complete(v.apex) {
		err = failure(Unreachable, nil, "the list of records lacks the zone's own NS, so it is not the whole zone")
	}
	return list, err
}

// write has the module change something.
func (v *libdnsVisit) write(method func(context.Context, string, []libdns.Record) ([]libdns.Record, error), records []libdns.Record) error {
	end, err := v.begin.ask(v.timeout + LibdnsGrace)
	if err != nil {
		return err
	}
	_, err = libdnsCall(v, true, func(ctx context.Context) (struct{}, error) {
		_, err := method(ctx, dns.Fqdn(v.apex), records)
		return struct{}{}, err
	})
	end(KindOf(err) != UnknownOutcome)
	return err
}

// deliver makes changes that fit into one call.
func (v *libdnsVisit) deliver(changes []Change, batch []int, errs []error) {
	list, err := v.list()
	if err != nil {
		for _, i := range batch {
			errs[i] = err
		}
		return
	}
	var together []int
	var all []libdns.Record
	walked := "" // the name at which something was changed since the list was read
	for at, i := range batch {
		if changes[i].Seen.Name == walked {
			// It may rely on that: read at once, so that a name is without records for no longer than it takes.
			v.set(changes, together, all, errs)
			v.deliver(changes, batch[at:], errs)
			return
		}
		now, err := v.rrset(changes[i].Seen.Key, list)
		var step libdnsStep
		if err == nil {
			step, err = v.plan(changes[i], now)
		}
		if failed := failedBefore(changes[:i], changes[i], errs); failed != nil {
			err = failed
		}
		switch {
		case err != nil:
			errs[i] = err
		case step.set != nil:
			together = append(together, i)
			all = append(all, step.set...)
		default: // in the order of the changes: it may rely on those before it
			v.set(changes, together, all, errs)
			together, all = nil, nil
			if errs[i] = failedBefore(changes[:i], changes[i], errs); errs[i] == nil {
				errs[i] = v.walk(changes[i].Seen.Key, step)
				walked = changes[i].Seen.Name
			}
		}
	}
	v.set(changes, together, all, errs)
}

// failedBefore says that a change of the same unit, before this one, came to nothing: to go on would take
// away what nothing takes the place of.
func failedBefore(before []Change, change Change, errs []error) error {
	for i, b := range before {
		if errs[i] != nil && b.Seen.Name == change.Seen.Name && leading(b.Seen.Type) && leading(change.Seen.Type) {
			return failure(KindOf(errs[i]), errs[i], "not made, as the change of %s was not", b.Seen.Key)
		}
	}
	return nil
}

// set makes the changes that are one SetRecords.
func (v *libdnsVisit) set(changes []Change, together []int, all []libdns.Record, errs []error) {
	if len(together) == 0 {
		return
	}
	err := v.write(v.client.SetRecords, all)
	if KindOf(err) == Refused && len(together) > 1 {
		// One of them is to blame, and which one the provider need not say.
		half := len(together) / 2
		v.deliver(changes, together[:half], errs)
		v.deliver(changes, together[half:], errs)
		return
	}
	for _, i := range together {
		errs[i] = err
	}
}

// walk makes a change that is no SetRecords. Before something is put in the place of what was
// deleted, that must be seen to be gone, or there would be two.
func (v *libdnsVisit) walk(key Key, step libdnsStep) error {
	if step.deletion != nil {
		if err := v.write(v.client.DeleteRecords, step.deletion); err != nil || step.addition == nil {
			return err
		}
		list, err := v.list()
		if err != nil {
			return failure(UnknownOutcome, err, "the old record was to be deleted, the new one was not added: what stands there now cannot be read")
		}
		now, err := v.rrset(key, list)
		if err != nil || len(now.Records) > 0 || now.Alias != "" {
			return failure(UnknownOutcome, err, "the old record was to be deleted, and something stands there still: the new one was not added")
		}
	}
	err := v.write(v.client.AppendRecords, step.addition)
	if err != nil && step.deletion != nil {
		return failure(UnknownOutcome, err, "the old record was deleted, and the new one may not have been added")
	}
	return err
}

// libdnsCall makes one call of the module, which may panic, and need not heed the end of the context.
func libdnsCall[T any](v *libdnsVisit, writing bool, f func(context.Context) (T, error)) (T, error) {
	var none T
	if err := v.ctx.Err(); err != nil || v.gone != nil {
		return none, failure(Unreachable, err, "the time was up before anything was sent")
	}

	var connecting, connected atomic.Bool
	ctx := httptrace.WithClientTrace(v.ctx, &httptrace.ClientTrace{
		GetConn: func(string) { connecting.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	type outcome struct {
		result T
		err    error
	}
	done, gone := make(chan outcome, 1), make(chan struct{})
	go func() {
		defer close(gone)
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				cause, _ := p.(error) // no other value: it could hold a credential
				o.err = libdnsPanic{cause}
			}
			done <- o
		}()
		o.result, o.err = f(ctx)
	}()

	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		grace := time.NewTimer(LibdnsGrace)
		defer grace.Stop()
		select {
		case o = <-done: // it says more than that the time was up
		case <-grace.C:
			v.gone = gone
			o.err = ctx.Err()
		}
	}
	if o.err == nil {
		return o.result, nil
	}
	return none, v.verdict(o.err, writing, connecting.Load() && !connected.Load())
}

type libdnsPanic struct{ cause error }

func (libdnsPanic) Error() string   { return "panic" }
func (p libdnsPanic) Unwrap() error { return p.cause }

// verdict says what an error of the module means. unsent: there was no connection on which
// anything could have been sent.
func (v *libdnsVisit) verdict(err error, writing, unsent bool) error {
	unknown := func(reason string) error {
		if writing {
			return failure(UnknownOutcome, err, "the change was sent and may have been applied: %s", reason)
		}
		return failure(Unreachable, err, "%s", reason)
	}
	if _, ok := errors.AsType[libdnsPanic](err); ok {
		return unknown(v.name + " panicked, which is a bug to report")
	}
	if v.judge != nil {
		if judged := v.judge(err, writing); judged != nil {
			return judged
		}
	}
	ended := v.ctx.Err()
	switch {
	case unsent && ended != nil:
		return failure(Unreachable, ended, "cannot connect: %s: check the network policy", networkReason(ended))
	case unsent:
		return failure(Unreachable, err, "cannot connect: check the network policy and the name resolution")
	case ended != nil:
		err = ended
		return unknown(networkReason(ended))
	default:
		return unknown("no usable answer")
	}
}
