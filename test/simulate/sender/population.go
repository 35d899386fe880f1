package sender

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// Population is many senders to one domain: of all habits, and from those who write every hour to those who write every few months, so that at any time somebody holds each policy that can still
// be held.
type Population struct {
	Domain string

	rng     *rand.Rand
	senders queue
}

// correspondent is a sender with a time for its next message.
type correspondent struct {
	Sender
	pace time.Duration // between messages, on average
	next time.Time
}

// queue is a heap of senders, whose turn it is first.
type queue []*correspondent

// Len implements heap.Interface.
func (q queue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }

// Swap implements heap.Interface.
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) { *q = append(*q, x.(*correspondent)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// Between two messages of one sender lies, on average, an hour, two, four, up to 85 days.
const (
	shortestPace = time.Hour
	paces        = 12
)

// NewPopulation draws senders who begin to write after now.
func NewPopulation(rng *rand.Rand, domain string, size int, now time.Time) *Population {
	p := &Population{Domain: domain, rng: rng}
	for i := range size {
		c := &correspondent{
			Sender: Sender{Domain: domain, Habits: Habits{Asks: i%2 == 0, Renews: i/2%2 == 0}},
			pace:   shortestPace << rng.IntN(paces),
		}
		p.plan(c, now)
		heap.Push(&p.senders, c)
	}
	return p
}

func (p *Population) plan(c *correspondent, now time.Time) {
	c.next = now.Add(time.Duration(p.rng.ExpFloat64()*float64(c.pace)) + time.Second)
}

// Next returns the time of the next message.
func (p *Population) Next() time.Time { return p.senders[0].next }

// Post has the sender whose turn it is send a message, at Next.
func (p *Population) Post(world Internet) (by *Sender, outcome Outcome) {
	c := p.senders[0]
	outcome = c.Deliver(world, c.next)
	p.plan(c, c.next)
	heap.Fix(&p.senders, 0)
	return &c.Sender, outcome
}
