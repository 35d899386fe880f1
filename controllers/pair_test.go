package controllers

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// A key whose signatures cost much is not served with: it would hold up the handshakes of all domains.
func TestALongKeyIsNotServedWith(t *testing.T) {
	for bits, want := range map[int]string{2048: "", 4096: "", 4608: "has 4608 bits, want at most 4096"} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		leaf := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour), DNSNames: []string{"mta-sts.example.com"}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
		if got := pairFault("example.com", certificate, private, noon); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%d bits: %q, want %q", bits, got, want)
		}
	}
}
