package keys

import (
	"context"
	"slices"
	"sync"
)

// Pair is a private key, as PKCS #8 in PEM, and the record of its public half.
type Pair struct {
	Private []byte
	Record  string
}

// Pool makes keys in the background. An rsa key takes a tenth of a second and more of a processor,
// so a thousand new domains would hold up all others if each made its own in its pass. An ed25519
// key costs nothing and is made on the spot.
//
// Take never waits. Who finds too little in stock is called back, in the order of asking, when all
// that was asked for is put aside; nothing is made twice for one wish.
type Pool struct {
	workers int
	stock   int
	make    func(algorithm string, bits int) (Pair, error)

	mu      sync.Mutex
	work    *sync.Cond
	stopped bool
	ready   map[int][]Pair // rsa keys, by bits, as in the following
	making  map[int]int
	wanted  map[int]int               // by all who wait
	waiting map[string]map[int]int    // by customer
	aside   map[string]map[int][]Pair // for customers who were called
	queue   []string                  // of those who wait; who does not any more is passed over
	failed  map[string]error          // what to tell a customer who was called back
	broken  bool                      // the last attempt failed, so no stock is made
	wake    func(customer string)
}

// NewPool returns a pool in which, once it is started, workers make keys and keep stock rsa keys of
// 2048 bits ready. make is Generate, or something quicker in tests.
func NewPool(workers, stock int, make func(algorithm string, bits int) (Pair, error)) *Pool {
	p := &Pool{
		workers: workers, stock: stock, make: make,
		ready: map[int][]Pair{}, making: map[int]int{}, wanted: map[int]int{},
		waiting: map[string]map[int]int{}, aside: map[string]map[int][]Pair{}, failed: map[string]error{}, wake: func(string) {},
	}
	p.work = sync.NewCond(&p.mu)
	return p
}

// OnReady has wake called, by a worker, when a customer whom Take sent away should come again.
func (p *Pool) OnReady(wake func(customer string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake = wake
}

// Ready returns how many rsa keys are in stock.
func (p *Pool) Ready() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, pairs := range p.ready {
		n += len(pairs)
	}
	return n
}

// Take returns a pair for each spec, all of them or none: keys that are due together begin together.
// ok is false while they are being made. An error says that one can't be made.
func (p *Pool) Take(customer string, specs []Spec) (pairs []Pair, ok bool, err error) {
	needs := map[int]int{}
	for _, s := range specs {
		if err := makeable(s.Algorithm, s.Bits); err != nil {
			return nil, false, err
		}
		if s.Algorithm == rsaAlgorithm {
			needs[s.Bits]++
		}
	}
	taken, ok, err := p.take(customer, needs)
	if !ok {
		return nil, false, err
	}
	for _, s := range specs {
		var pair Pair
		if s.Algorithm == rsaAlgorithm {
			pair, taken[s.Bits] = taken[s.Bits][0], taken[s.Bits][1:]
		} else if pair, err = p.make(s.Algorithm, s.Bits); err != nil {
			return nil, false, err
		}
		pairs = append(pairs, pair)
	}
	return pairs, true, nil
}

func (p *Pool) take(customer string, needs map[int]int) (taken map[int][]Pair, ok bool, err error) {
	p.change(func() []string {
		if err = p.failed[customer]; err != nil {
			delete(p.failed, customer)
			return nil
		}
		_, queued := p.waiting[customer]
		p.drop(customer)
		if taken, ok = p.fetch(needs); !ok {
			p.waiting[customer] = needs
			for bits, n := range needs {
				p.wanted[bits] += n
			}
			if !queued {
				p.queue = append(p.queue, customer)
			}
		}
		return p.call()
	})
	return taken, ok, err
}

// change makes a change, has the workers look for what there is to do now, and calls whom it names.
func (p *Pool) change(do func() []string) {
	p.mu.Lock()
	called, wake := do(), p.wake
	p.work.Broadcast()
	p.mu.Unlock()
	for _, customer := range called {
		wake(customer)
	}
}

// fetch takes pairs out of the stock, if there are enough.
func (p *Pool) fetch(needs map[int]int) (map[int][]Pair, bool) {
	for bits, n := range needs {
		if len(p.ready[bits]) < n {
			return nil, false
		}
	}
	taken := map[int][]Pair{}
	for bits, n := range needs {
		taken[bits], p.ready[bits] = p.ready[bits][:n], slices.Clone(p.ready[bits][n:])
	}
	return taken, true
}

// Forget ends the order of a customer who will not come back. What was put aside goes into stock.
func (p *Pool) Forget(customer string) {
	p.change(func() []string {
		p.drop(customer)
		delete(p.failed, customer)
		return p.call()
	})
}

func (p *Pool) drop(customer string) {
	for bits, pairs := range p.aside[customer] {
		p.ready[bits] = append(p.ready[bits], pairs...)
	}
	delete(p.aside, customer)
	for bits, n := range p.waiting[customer] {
		p.wanted[bits] -= n
	}
	delete(p.waiting, customer)
}

// Start makes keys until ctx is done. What is being made then is finished and forgotten.
func (p *Pool) Start(ctx context.Context) error {
	release := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stopped = true
		p.work.Broadcast()
	})
	defer release()
	var workers sync.WaitGroup
	for range p.workers {
		workers.Go(p.run)
	}
	workers.Wait()
	return nil
}

func (p *Pool) run() {
	for {
		bits := p.begin()
		if bits == 0 {
			return
		}
		pair, err := p.make(rsaAlgorithm, bits)
		p.change(func() []string {
			p.making[bits]--
			p.broken = err != nil
			if err != nil {
				return p.fail(bits, err)
			}
			p.ready[bits] = append(p.ready[bits], pair)
			return p.call()
		})
	}
}

// begin waits for something to do, and returns the bits of the key to make; 0 at the end.
func (p *Pool) begin() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.stopped {
		if bits := p.next(); bits > 0 {
			p.making[bits]++
			return bits
		}
		p.work.Wait()
	}
	return 0
}

// next returns the bits of the key to make: what the longest waiting lacks, else for the stock; 0:
// none.
func (p *Pool) next() int {
	for len(p.queue) > 0 && p.waiting[p.queue[0]] == nil {
		p.queue = p.queue[1:]
	}
	lacks := func(bits int) bool { return len(p.ready[bits])+p.making[bits] < p.wanted[bits] }
	if len(p.queue) > 0 {
		for bits := range p.waiting[p.queue[0]] {
			if lacks(bits) {
				return bits
			}
		}
	}
	for bits := range p.wanted {
		if lacks(bits) {
			return bits
		}
	}
	if !p.broken && len(p.ready[MinBits])+p.making[MinBits] < p.wanted[MinBits]+p.stock {
		return MinBits
	}
	return 0
}

// call puts aside what those get who can be served now, the longest waiting first, up to one who
// can't. It returns who is to come.
func (p *Pool) call() []string {
	var called []string
	for ; len(p.queue) > 0; p.queue = p.queue[1:] {
		customer := p.queue[0]
		needs, waits := p.waiting[customer]
		if !waits {
			continue
		}
		pairs, ok := p.fetch(needs)
		if !ok {
			break
		}
		p.drop(customer)
		p.aside[customer] = pairs
		called = append(called, customer)
	}
	return called
}

// fail notes an error for the first who waits for a key of that size. It returns who is to come.
func (p *Pool) fail(bits int, err error) []string {
	i := slices.IndexFunc(p.queue, func(customer string) bool { return p.waiting[customer][bits] > 0 })
	if i < 0 {
		return nil
	}
	customer := p.queue[i]
	p.failed[customer] = err
	p.drop(customer)
	return []string{customer}
}
