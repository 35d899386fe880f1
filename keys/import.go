package keys

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/maildomain/maildomain-operator/mailauth/dkim"
)

// The limits of a file with a private key (Law 13). The largest key that is read has 16384 bits.
const (
	maxFile   = 64 << 10
	maxBlocks = 16
	maxDER    = 12 << 10
	minRead   = 1024 // verifiers accept no shorter one (RFC 8301 §3.2)
	maxRead   = 16384
)

// Private is a private key that was read from somebody's file.
type Private struct {
	Pair
	Algorithm string
	Bits      int // of an rsa key
}

// ReadPrivate reads a private key in any form that a signer has it in: PKCS #8 or PKCS #1 in PEM,
// with whatever text, indentation, line ends and public blocks around it; and the bare base64 that
// rspamd writes for ed25519, the seed with or without the public half. Errors say what to do and
// quote nothing of the input.
func ReadPrivate(file []byte) (Private, error) {
	if len(file) > maxFile {
		return Private{}, fmt.Errorf("is longer than %d octets: keep the private key alone", maxFile)
	}
	file = tidy(file)
	if !bytes.Contains(file, []byte("-----BEGIN ")) {
		key, err := readBare(file)
		if err != nil {
			return Private{}, err
		}
		return read(key)
	}
	var found signer
	for range maxBlocks {
		var block *pem.Block
		if block, file = pem.Decode(file); block == nil {
			break
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue // a certificate, a public key, parameters
		}
		key, err := readBlock(block)
		if err != nil {
			return Private{}, err
		}
		if found != nil && !found.Public().(public).Equal(key.Public()) {
			return Private{}, errors.New("holds several private keys: keep the one that signs")
		}
		found = key
	}
	if found == nil {
		return Private{}, errors.New("holds no whole PEM block of a private key: write all of it, from BEGIN to END")
	}
	return read(found)
}

// tidy takes away what a copy by hand or by YAML adds to lines.
func tidy(file []byte) []byte {
	file = bytes.TrimPrefix(file, []byte("\uFEFF"))
	lines := strings.FieldsFunc(string(file), func(r rune) bool { return r == '\n' || r == '\r' })
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

func readBlock(block *pem.Block) (signer, error) {
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return nil, errors.New("is encrypted: store it without a passphrase, as openssl pkey -in FILE writes it")
	case block.Type == "OPENSSH PRIVATE KEY":
		return nil, errors.New("is in the form of OpenSSH: convert it with ssh-keygen -p -m PKCS8 -f FILE")
	case block.Type == pemType || block.Type == "RSA PRIVATE KEY":
		return readDER(block.Bytes)
	}
	return nil, errNoDKIM
}

var (
	errNoDKIM     = errors.New("holds neither an RSA nor an Ed25519 key, and DKIM knows no others (RFC 6376, RFC 8463)")
	errUnreadable = errors.New("can't be read as a private key: write it anew, as openssl pkey -in FILE does")
)

// readDER reads PKCS #8 or PKCS #1, whatever the block says that it is.
func readDER(der []byte) (signer, error) {
	if len(der) > maxDER {
		return nil, fmt.Errorf("holds a private key of more than %d bits", maxRead)
	}
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		switch key := key.(type) {
		case *rsa.PrivateKey:
			return key, nil
		case ed25519.PrivateKey:
			return key, nil
		}
		return nil, errNoDKIM
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	return nil, errUnreadable
}

// readBare reads base64 without PEM around it: what rspamd writes for ed25519, or DER.
func readBare(file []byte) (signer, error) {
	raw, err := base64.StdEncoding.DecodeString(string(file)) // which passes over line ends
	if err != nil {
		return nil, errors.New("holds neither PEM (-----BEGIN PRIVATE KEY-----) nor base64")
	}
	switch len(raw) {
	case ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(raw), nil
	case ed25519.PrivateKeySize:
		key := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
		if !bytes.Equal(key, raw) {
			return nil, errors.New("holds 64 octets in base64, of which the second half is not the public key of the first")
		}
		return key, nil
	}
	return readDER(raw)
}

// read puts a key into the operator's own form.
func read(key signer) (Private, error) {
	p := Private{Algorithm: ed25519Algorithm}
	if key, ok := key.(*rsa.PrivateKey); ok {
		p.Algorithm, p.Bits = rsaAlgorithm, key.N.BitLen()
		switch {
		case p.Bits < minRead:
			return Private{}, fmt.Errorf("holds an RSA key of %d bits, which receivers must not accept: leave import out to have a new one made (RFC 8301 section 3.2)", p.Bits)
		case p.Bits > maxRead:
			return Private{}, fmt.Errorf("holds a private key of more than %d bits", maxRead)
		case len(key.Primes) != 2:
			return Private{}, errors.New("holds an RSA key of more than two primes, which signers can't use")
		}
	}
	var err error
	p.Pair, err = pairOf(key)
	return p, err
}

// Belongs reports whether the private key, in the form of Pair, is that of the record: the public key
// is recomputed and compared, so the record may have other tags and another spelling.
func Belongs(private []byte, record string) bool {
	text, err := RecordOf(private)
	return err == nil && SameKey(text, record)
}

// SameKey reports whether both records hold the same public key.
func SameKey(a, b string) bool {
	x, errX := publicOf(a)
	y, errY := publicOf(b)
	return errX == nil && errY == nil && x.Equal(y)
}

func publicOf(text string) (public, error) {
	record, err := dkim.Parse(text)
	if err != nil {
		return nil, err
	}
	key, err := record.Public()
	if err != nil {
		return nil, err
	}
	return key.(public), nil // both types that Public returns are
}

// signer and public are what all of crypto's private and public keys implement.
type (
	signer = crypto.Signer
	public interface{ Equal(crypto.PublicKey) bool }
)
