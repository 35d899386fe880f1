// Package rounds looks after many things in the background, each when it is due, and tenant by tenant in turn, so that
// nobody's things keep those of others waiting.
package rounds

import (
	"container/list"
	"context"
	"hash/fnv"
	"sync"
	"time"
)

// Rounds has workers look after things. Each has a key, under which what is known of it is remembered, up to a limit:
// then what was not visited for the longest gives way. All of it is gone with the process.
type Rounds[T any] struct {
	workers int
	limit   int
	work    func(ctx context.Context, thing T) (note func(*T))

	mu      sync.Mutex
	waiting *sync.Cond
	stopped bool
	things  map[string]*list.Element // of recent
	recent  *list.List               // of *entry[T], the last visited first
	shares  map[string]*list.Element // of turns: each tenant with something in its queue
	turns   *list.List               // of *share, the next first
	queued  int                      // how many things wait
}

// entry is what is remembered of a thing.
type entry[T any] struct {
	key    string
	thing  T
	busy   bool                     // a worker has it
	places map[string]*list.Element // in the queue of each tenant who waits for it
}

// share is a tenant's queue.
type share struct {
	tenant string
	queue  *list.List // of *entry[T], the next first
}

// New returns Rounds in which, once they are started, workers do work. A worker has a copy of the thing as it was when
// its turn came; the note that it returns is made on the thing as it is by then, and is lost where the process ends. work is called
// by several workers at once, note by one at a time.
func New[T any](workers, limit int, work func(ctx context.Context, thing T) (note func(*T))) *Rounds[T] {
	r := &Rounds[T]{workers: workers, limit: limit, work: work, things: map[string]*list.Element{}, recent: list.New(), shares: map[string]*list.Element{}, turns: list.New()}
	r.waiting = sync.NewCond(&r.mu)
	return r
}

// Visit has look read and change the thing of a key; one that nobody has visited yet, or that was forgotten, is the zero T.
// Where look finds that it is due, a worker looks after it when it is the tenant's turn, or that of another tenant who waits
// for the same thing: once for all of them. Visit itself never waits, and look must not: it is called under a lock.
//
// turns is how many turns it takes, about, until the last thing of the tenant has had its own.
func (r *Rounds[T]) Visit(tenant, key string, look func(thing *T) (due bool)) (turns int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	element, ok := r.things[key]
	if ok {
		r.recent.MoveToFront(element)
	} else {
		element = r.recent.PushFront(&entry[T]{key: key})
		r.things[key] = element
		if r.recent.Len() > r.limit {
			r.forget(r.recent.Back())
		}
	}
	e := element.Value.(*entry[T])
	if due := look(&e.thing); due && !e.busy {
		r.enqueue(tenant, e)
	}
	return min(r.queued, r.turns.Len()*r.backlog(tenant))
}

// enqueue gives a thing a place in the tenant's queue, if it has none there.
func (r *Rounds[T]) enqueue(tenant string, e *entry[T]) {
	if _, waits := e.places[tenant]; waits {
		return
	}
	element, ok := r.shares[tenant]
	if !ok {
		element = r.turns.PushBack(&share{tenant: tenant, queue: list.New()})
		r.shares[tenant] = element
	}
	if e.places == nil {
		e.places = map[string]*list.Element{}
		r.queued++
		r.waiting.Signal()
	}
	e.places[tenant] = element.Value.(*share).queue.PushBack(e)
}

func (r *Rounds[T]) backlog(tenant string) int {
	if element, ok := r.shares[tenant]; ok {
		return element.Value.(*share).queue.Len()
	}
	return 0
}

// dequeue takes a thing out of all queues.
func (r *Rounds[T]) dequeue(e *entry[T]) {
	if e.places == nil {
		return
	}
	for tenant, place := range e.places {
		element := r.shares[tenant]
		queue := element.Value.(*share).queue
		if queue.Remove(place); queue.Len() == 0 {
			r.turns.Remove(element)
			delete(r.shares, tenant)
		}
	}
	e.places = nil
	r.queued--
}

func (r *Rounds[T]) forget(element *list.Element) {
	e := r.recent.Remove(element).(*entry[T])
	delete(r.things, e.key)
	r.dequeue(e)
}

// Start works until ctx is done.
func (r *Rounds[T]) Start(ctx context.Context) error {
	release := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stopped = true
		r.waiting.Broadcast()
	})
	defer release()
	var workers sync.WaitGroup
	for range r.workers {
		workers.Go(func() {
			for e, thing := r.begin(); e != nil; e, thing = r.begin() {
				r.end(ctx, e, r.work(ctx, thing))
			}
		})
	}
	workers.Wait()
	return nil
}

// begin waits for the next turn; nil at the end.
func (r *Rounds[T]) begin() (e *entry[T], thing T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.stopped {
		if next := r.turns.Front(); next != nil {
			r.turns.MoveToBack(next)
			e = next.Value.(*share).queue.Front().Value.(*entry[T])
			r.dequeue(e)
			e.busy = true
			return e, e.thing
		}
		r.waiting.Wait()
	}
	return nil, thing
}

func (r *Rounds[T]) end(ctx context.Context, e *entry[T], note func(*T)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.busy = false
	if ctx.Err() == nil {
		note(&e.thing)
	}
}

// Jitter spreads things that were first looked after together: each has, by the hash of its key, its share of a
// sixth of an interval.
func Jitter(key string, interval time.Duration) time.Duration {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(key))
	return interval / 6 * time.Duration(hash.Sum64()%1000) / 1000
}
