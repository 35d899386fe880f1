package secrecy

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"testing"

	"github.com/maildomain/maildomain-operator/keys"
	"github.com/maildomain/maildomain-operator/test/certificate"
)

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
		var k Keys
		if k.Learn(algorithm, pair.Private); k.Find("p="+pair.Record) != "" {
			t.Errorf("%s: the public key is taken for the private one", algorithm)
		}
	}
	for name, file := range files {
		var k Keys
		k.Learn(name, file)
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
			"dumped":              hex.Dump(block.Bytes),
			"dumped and quoted":   fmt.Sprintf("%q", hex.Dump(file)),
			"raw":                 string(block.Bytes),
			"in base64":           base64.StdEncoding.EncodeToString(block.Bytes),
			"in base64, shifted":  base64.StdEncoding.EncodeToString(append([]byte("x"), block.Bytes...)),
			"in base64, and more": base64.URLEncoding.EncodeToString(append([]byte("xx"), block.Bytes...)),
		}
		if name != "ed25519" {
			texts["as Go prints it"] = fmt.Sprintf("%+v", key) // numbers in decimal
		}
		for shape, text := range texts {
			if k.Find("before "+text+" after") != name {
				t.Errorf("%s: not found %s", name, shape)
			}
		}
	}
}
