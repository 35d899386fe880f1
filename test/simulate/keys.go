package simulate

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"sync"

	"github.com/maildomain/maildomain-operator/keys"
)

// pool hands out key pairs. They follow from the seed, and all are ed25519: where nobody signs for
// real only which key it is matters. With real signatures an rsa key is one.
type pool struct {
	seed    uint64
	rsa     *RSAKeys // nil: no real ones
	made    int
	records map[string]string // by private key
}

// Take implements controllers.KeyMaker: nobody has to wait.
func (p *pool) Take(_ string, specs []keys.Spec) (pairs []keys.Pair, ok bool, err error) {
	for _, spec := range specs {
		p.made++
		make := func() (keys.Pair, error) { return ed25519Key(p.seed, p.made) }
		if p.rsa != nil && spec.Algorithm == "rsa" {
			make = func() (keys.Pair, error) { return p.rsa.key(p.made, spec.Bits) }
		}
		pair, err := make()
		if err != nil {
			return nil, false, err
		}
		p.records[string(pair.Private)] = pair.Record
		pairs = append(pairs, pair)
	}
	return pairs, true, nil
}

// Forget implements controllers.KeyMaker.
func (p *pool) Forget(string) {}

// OnReady implements controllers.KeyMaker.
func (p *pool) OnReady(func(string)) {}

func ed25519Key(seed uint64, n int) (keys.Pair, error) {
	material := sha256.Sum256(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, seed), uint64(n)))
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(material[:]))
	if err != nil {
		return keys.Pair{}, err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	record, err := keys.RecordOf(private)
	return keys.Pair{Private: private, Record: record}, err
}

// RSAKeys are shared by the worlds of a run, as they take long to make: the n-th key that a world
// makes is always the same one.
type RSAKeys struct {
	mu   sync.Mutex
	made []keys.Pair
}

func (r *RSAKeys) key(n, bits int) (keys.Pair, error) {
	if bits != keys.MinBits {
		return keys.Pair{}, fmt.Errorf("no world makes rsa keys of %d bits", bits)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.made) < n {
		pair, err := keys.Generate("rsa", bits)
		if err != nil {
			return keys.Pair{}, err
		}
		r.made = append(r.made, pair)
	}
	return r.made[n-1], nil
}
