// Package secrecy finds private keys in what people and programs can see (Law 13).
package secrecy

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"sync"
)

// Keys are what must not be seen. The zero value has none.
type Keys struct {
	mu      sync.Mutex
	known   map[string]bool   // files that were taken apart
	needles map[string]string // what betrays a key, and the file that it is in
}

// Find names a private key of which the text holds a part; "" is none.
func (k *Keys) Find(text string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	text += undumped(text)
	whole := strings.NewReplacer("\n", "", `\n`, "", "\r", "", `\r`, "").Replace(text) // PEM has lines
	for needle, file := range k.needles {
		if strings.Contains(text, needle) || strings.Contains(whole, needle) {
			return file
		}
	}
	return ""
}

// undumped is what hex.Dump was given, as client-go logs bodies with it.
func undumped(text string) string {
	var octets strings.Builder
	for _, line := range dumpLine.FindAllStringSubmatch(text, -1) {
		part, _ := hex.DecodeString(strings.ReplaceAll(line[1], " ", ""))
		octets.Write(part)
	}
	return octets.String()
}

// dumpLine has the offset, sixteen octets in two halves, and the same as text.
var dumpLine = regexp.MustCompile(`[0-9a-f]{8}  ((?:[0-9a-f]{2}  ?)+) *\|`)

// Learn takes in the private keys of a PEM file.
func (k *Keys) Learn(name string, content []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known[string(content)] {
		return
	}
	if k.known == nil {
		k.known = map[string]bool{}
	}
	k.known[string(content)] = true
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		for _, secret := range privateOf(block.Bytes) {
			k.add(name, secret)
		}
	}
}

// LearnText takes in a secret of 16 octets and more that is no PEM, such as a token.
func (k *Keys) LearnText(name string, secret []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add(name, secret)
}

func (k *Keys) add(name string, secret []byte) {
	if k.needles == nil {
		k.needles = map[string]string{}
	}
	for _, needle := range shapes(secret) {
		k.needles[needle] = name
	}
}

// privateOf are the numbers of a key that its public part does not have.
func privateOf(der []byte) [][]byte {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if key, err = x509.ParsePKCS1PrivateKey(der); err != nil {
			return nil
		}
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return [][]byte{key.D.Bytes(), key.Primes[0].Bytes(), key.Primes[1].Bytes()}
	case ed25519.PrivateKey:
		return [][]byte{key.Seed()}
	case *ecdsa.PrivateKey:
		d, err := key.Bytes()
		if err != nil {
			return nil
		}
		return [][]byte{d}
	}
	return nil
}

// shapes are the forms in which a number may be written, some 16 octets of each: raw, hex, base64 of whatever begins before
// it, as Go prints octets, and decimal.
func shapes(secret []byte) []string {
	const part = 16
	digits := hex.EncodeToString(secret[:part])
	list := []string{
		string(secret[:part]), digits, strings.ToUpper(digits), strings.Trim(fmt.Sprintf("%d", secret[:part]), "[]"),
		new(big.Int).SetBytes(secret).String()[:2*part],
	}
	for skip := range 3 {
		text := base64.RawStdEncoding.EncodeToString(secret[skip : skip+part-1])
		list = append(list, text, strings.NewReplacer("+", "-", "/", "_").Replace(text))
	}
	return list
}
