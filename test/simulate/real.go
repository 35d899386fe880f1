package simulate

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// realMail signs and verifies with a library of somebody else's.
type realMail struct {
	on   bool
	keys map[string]crypto.Signer // by private key
	// letters are the signed ones, by the keys that signed. The text is always the same, and so is what
	// the same keys make of it; it is verified anew whenever it arrives.
	letters map[string][]byte
}

const letter = "From: someone@example.com\r\nTo: somebody@example.net\r\nSubject: Hello\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\nHello.\r\n"

// sign returns a message with a signature of each key; nil in a world without real ones.
func (m *realMail) sign(w *World, by []*signed) []byte {
	if !m.on {
		return nil
	}
	which := ""
	for _, s := range by {
		which += s.selector + "\n" + s.private
	}
	if signed := m.letters[which]; signed != nil {
		return signed
	}
	message := []byte(letter)
	for _, s := range by {
		var out bytes.Buffer
		err := dkim.Sign(&out, bytes.NewReader(message), &dkim.SignOptions{Domain: domain, Selector: s.selector, Signer: m.key(w, s.private), HeaderKeys: []string{"From", "To", "Subject", "Date"}})
		if err != nil {
			w.violated("signing with %s: %v", s.selector, err)
		}
		message = out.Bytes()
		w.Counts.RealSignatures++
	}
	if m.letters == nil {
		m.letters = map[string][]byte{}
	}
	m.letters[which] = message
	return message
}

func (m *realMail) key(w *World, private string) crypto.Signer {
	if key, there := m.keys[private]; there {
		return key
	}
	block, _ := pem.Decode([]byte(private))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		w.violated("a signer can't read its key: %v", err)
	}
	if m.keys == nil {
		m.keys = map[string]crypto.Signer{}
	}
	m.keys[private] = parsed.(crypto.Signer)
	return m.keys[private]
}

// verify has the receiver verify each signature, with the records that its resolver has found.
func (m *realMail) verify(w *World, message []byte, by []*signed, to *receiver) {
	found := map[string][]string{} // beforehand: the library asks in goroutines, and a world has one
	for _, s := range by {
		found[s.name], _ = to.lookup(w, s.name)
	}
	results, err := dkim.VerifyWithOptions(bytes.NewReader(message), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		return found[strings.TrimSuffix(name, ".")], nil
	}})
	if err != nil || len(results) != len(by) {
		w.violated("a message with %d signatures has %d: %v", len(by), len(results), err)
	}
	for i, result := range results {
		if result.Err != nil && !w.watch.compromised[by[len(by)-1-i].selector] {
			w.violated("signature %d of a message does not verify at %s: %v", i+1, to.name, result.Err)
		}
	}
}
