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

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/test/certificate"
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

// A PEM file may hold other blocks before the certificate. What is served is the first certificate.
func TestWhatStandsBeforeTheCertificate(t *testing.T) {
	cert, key, err := certificate.SelfSigned("mta-sts.example.com")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := certificate.SelfSigned("other.example")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(other)
	block.Type = "X509 CRL"
	for what, file := range map[string][]byte{"another block": append(pem.EncodeToMemory(block), cert...), "no PEM": append([]byte("subject=CN = mta-sts\n"), cert...)} {
		read := judge("example.com", &corev1.Secret{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1"}, Data: map[string][]byte{corev1.TLSCertKey: file, corev1.TLSPrivateKeyKey: key}})
		leaf, fault := pairLeaf("example.com", file, key)
		if fault != "" || read.unusable != "" || !read.notAfter.Equal(leaf.NotAfter) || read.fault(leaf.NotAfter) != "" || read.fault(leaf.NotAfter.Add(time.Second)) == "" {
			t.Errorf("%s: %q, %q, valid until %v", what, fault, read.unusable, read.notAfter)
		}
	}
}
