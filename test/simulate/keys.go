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

// generate has the form of keys.Generate.
func (p *pool) generate(algorithm string, bits int) (private []byte, record string, err error) {
	p.made++
	if p.rsa != nil && algorithm == "rsa" {
		private, record, err = p.rsa.key(p.made, bits)
	} else {
		private, record, err = ed25519Key(p.seed, p.made)
	}
	p.records[string(private)] = record
	return private, record, err
}

func ed25519Key(seed uint64, n int) (private []byte, record string, err error) {
	material := sha256.Sum256(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, seed), uint64(n)))
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(material[:]))
	if err != nil {
		return nil, "", err
	}
	private = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	record, err = keys.RecordOf(private)
	return private, record, err
}

// RSAKeys are shared by the worlds of a run, as they take long to make: the n-th key that a world
// makes is always the same one.
type RSAKeys struct {
	mu   sync.Mutex
	made []rsaPair
}

type rsaPair struct {
	private []byte
	record  string
}

func (r *RSAKeys) key(n, bits int) (private []byte, record string, err error) {
	if bits != keys.MinBits {
		return nil, "", fmt.Errorf("no world makes rsa keys of %d bits", bits)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.made) < n {
		private, record, err := keys.Generate("rsa", bits)
		if err != nil {
			return nil, "", err
		}
		r.made = append(r.made, rsaPair{private, record})
	}
	return r.made[n-1].private, r.made[n-1].record, nil
}
