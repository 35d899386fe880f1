package keys

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/maildomain/maildomain-operator/mailauth/dkim"
)

// MinBits is the size of the smallest rsa key that is made (RFC 8301 §3.2).
const MinBits = 2048

const (
	rsaAlgorithm     = "rsa"
	ed25519Algorithm = "ed25519"
	pemType          = "PRIVATE KEY" // PKCS #8 (RFC 5958), which all signers read
)

// maxBits is the size of the largest: verifiers need not know more (RFC 8301 §3.2).
const maxBits = 4096

// Generate makes a key pair: "rsa" with 2048 to 4096 bits, or "ed25519", for which bits are
// not used.
func Generate(algorithm string, bits int) (Pair, error) {
	if err := makeable(algorithm, bits); err != nil {
		return Pair{}, err
	}
	var signer crypto.Signer
	var err error
	if algorithm == rsaAlgorithm {
		signer, err = rsa.GenerateKey(rand.Reader, bits)
	} else {
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		return Pair{}, fmt.Errorf("generating an %s key: %w", algorithm, err)
	}
	return pairOf(signer)
}

func makeable(algorithm string, bits int) error {
	switch algorithm {
	case rsaAlgorithm:
		if bits < MinBits || bits > maxBits {
			return fmt.Errorf("an rsa key of %d bits is not made: use 2048 to 4096 (RFC 8301 section 3.2)", bits)
		}
	case ed25519Algorithm:
	default:
		return fmt.Errorf("unknown algorithm %q: use rsa or ed25519", algorithm)
	}
	return nil
}

// pairOf puts a key into the forms that are stored (RFC 5958) and published (RFC 6376 §3.6.1).
func pairOf(signer crypto.Signer) (Pair, error) {
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return Pair{}, fmt.Errorf("encoding a private key: %w", err)
	}
	text, err := dkim.NewRecord(signer.Public())
	if err != nil {
		return Pair{}, err
	}
	return Pair{pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), text.String()}, nil
}

// RecordOf recomputes the record of the public key from the private key in PEM. It is what
// proofs compare with, so that a private key which does not belong to its record never signs.
// Errors quote nothing of the input.
func RecordOf(private []byte) (string, error) {
	block, _ := pem.Decode(private)
	if block == nil || block.Type != pemType {
		return "", errors.New("not a private key in PEM of type PRIVATE KEY (PKCS #8)")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return "", errors.New("not a readable PKCS #8 private key")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return "", errors.New("not a key that signs")
	}
	record, err := dkim.NewRecord(signer.Public())
	if err != nil {
		return "", err
	}
	return record.String(), nil
}
