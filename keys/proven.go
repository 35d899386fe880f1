package keys

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// Proven remembers for which private keys and records Belongs has held. To read an RSA key of 2048 bits takes a third of a
// millisecond, most of it to check the key itself, and every pass over a domain asks again for keys that have not changed.
//
// What was found counts for exactly those octets: they are told apart by a hash of the private key and the record together.
// Only hashes are kept, and what did not hold is not remembered. The zero value is ready, and can be used by many at once.
type Proven struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]struct{}
}

// provenPairs is how many pairs each of the two generations has: together some 10 MiB.
const provenPairs = 1 << 16

// Belongs is the function of that name.
func (p *Proven) Belongs(private []byte, record string) bool {
	id := pairID(private, record)
	if p.has(id) {
		return true
	}
	if !Belongs(private, record) {
		return false
	}
	p.add(id)
	return true
}

// pairID has the length of the first part in front, so that no other two parts make the same octets.
func pairID(private []byte, record string) (id [sha256.Size]byte) {
	hash := sha256.New()
	hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(private))))
	hash.Write(private)
	hash.Write([]byte(record))
	hash.Sum(id[:0])
	return id
}

// has also renews what it finds, so that a pair in use is not forgotten.
func (p *Proven) has(id [sha256.Size]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.young[id]; ok {
		return true
	}
	_, ok := p.old[id]
	if ok {
		p.enter(id)
	}
	return ok
}

func (p *Proven) add(id [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enter(id)
}

// enter begins a new generation when the young one is full: the old one, with what nobody has asked for since, is forgotten.
func (p *Proven) enter(id [sha256.Size]byte) {
	if len(p.young) >= provenPairs || p.young == nil {
		p.young, p.old = map[[sha256.Size]byte]struct{}{}, p.young
	}
	p.young[id] = struct{}{}
}
