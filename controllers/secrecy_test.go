package controllers

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/test/certificate"
)

// secrecy watches, in every test that has a world, that no private key leaves the Secrets (Law 13): not to another object,
// the metadata of a Secret, an Event, an error or a line of the log.
type secrecy struct {
	mu      sync.Mutex
	known   map[string]bool   // files that were taken apart
	needles map[string]string // what betrays a key, and the file that it is in
}

// stored is told of every object that the operator stores.
func (s *secrecy) stored(t *testing.T, o client.Object) {
	t.Helper()
	if secret, is := o.(*corev1.Secret); is {
		for file, content := range secret.Data {
			s.learn(secret.Name+"/"+file, content)
		}
		o = &corev1.Secret{ObjectMeta: secret.ObjectMeta}
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	s.read(t, fmt.Sprintf("%T %s", o, o.GetName()), string(text))
}

// read is told of what people and programs can see.
func (s *secrecy) read(t *testing.T, where, text string) {
	t.Helper()
	if key := s.find(text); key != "" {
		t.Errorf("%s holds a part of the private key in %s", where, key)
	}
}

// find names a private key of which the text holds a part; "" is none.
func (s *secrecy) find(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	whole := strings.NewReplacer("\n", "", `\n`, "", "\r", "", `\r`, "").Replace(text) // PEM has lines
	for needle, key := range s.needles {
		if strings.Contains(text, needle) || strings.Contains(whole, needle) {
			return key
		}
	}
	return ""
}

// learn takes in the private keys of a file.
func (s *secrecy) learn(name string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[string(content)] {
		return
	}
	if s.known == nil {
		s.known, s.needles = map[string]bool{}, map[string]string{}
	}
	s.known[string(content)] = true
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		for _, secret := range privateOf(block.Bytes) {
			for _, needle := range shapes(secret) {
				s.needles[needle] = name
			}
		}
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

// logged is all that was logged, also what is for debugging.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

var everything logged

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// since returns what was logged after the first n octets.
func (l *logged) since(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text.Bytes()[n:])
}

func (l *logged) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Len()
}

func (l *logged) logger() logr.Logger {
	return logr.FromSlogHandler(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.Level(-100)}))
}

// recorder passes Events on when they were read.
type recorder struct {
	*events.FakeRecorder
	w *world
}

// Eventf implements events.EventRecorder.
func (r recorder) Eventf(about, related runtime.Object, kind, reason, action, note string, args ...any) {
	r.w.secrecy.read(r.w.t, "an Event", fmt.Sprintf(note, args...))
	r.FakeRecorder.Eventf(about, related, kind, reason, action, note, args...)
}

// What is looked for is found, in whatever shape a program may write a key; what everybody may know is not.
func TestAPrivateKeyIsFoundWhereverItIsWritten(t *testing.T) {
	_, elliptic, err := certificate.SelfSigned("mta-sts.example.com")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"ecdsa": elliptic}
	for _, algorithm := range []string{"rsa", "ed25519"} {
		pair, err := keys.Generate(algorithm, keys.MinBits)
		if err != nil {
			t.Fatal(err)
		}
		files[algorithm] = pair.Private
		var s secrecy
		if s.learn(algorithm, pair.Private); s.find("p="+pair.Record) != "" {
			t.Errorf("%s: the public key is taken for the private one", algorithm)
		}
	}
	for name, file := range files {
		var s secrecy
		s.learn(name, file)
		block, _ := pem.Decode(file)
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		quoted, err := json.Marshal(string(file))
		if err != nil {
			t.Fatal(err)
		}
		texts := map[string]string{
			"the file":            string(file),
			"quoted":              fmt.Sprintf("%q", file),
			"as JSON":             string(quoted),
			"as octets":           fmt.Sprintf("%d", block.Bytes),
			"as hex":              fmt.Sprintf("%x", block.Bytes),
			"as HEX":              fmt.Sprintf("%X", block.Bytes),
			"raw":                 string(block.Bytes),
			"in base64":           base64.StdEncoding.EncodeToString(block.Bytes),
			"in base64, shifted":  base64.StdEncoding.EncodeToString(append([]byte("x"), block.Bytes...)),
			"in base64, and more": base64.URLEncoding.EncodeToString(append([]byte("xx"), block.Bytes...)),
		}
		if name != "ed25519" {
			texts["as Go prints it"] = fmt.Sprintf("%+v", key) // numbers in decimal
		}
		for shape, text := range texts {
			if s.find("before "+text+" after") != name {
				t.Errorf("%s: not found %s", name, shape)
			}
		}
	}
}
