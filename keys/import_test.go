package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/mailauth/dkim"
	"github.com/maildomain/maildomain-operator/test/real"
)

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestReadPrivate(t *testing.T) {
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(long.Public())
	if err != nil {
		t.Fatal(err)
	}
	eight, one := block("PRIVATE KEY", pkcs8(t, long)), block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(long))
	base := base64.StdEncoding.EncodeToString
	wrong := append(bytes.Clone(ed[:32]), make([]byte, 32)...)
	for name, test := range map[string]struct {
		file string
		key  crypto.Signer // nil: refused
		says string
	}{
		"PKCS #8":                        {eight, long, ""},
		"PKCS #1":                        {one, long, ""},
		"1024 bits":                      {block("PRIVATE KEY", pkcs8(t, short)), short, ""},
		"ed25519":                        {block("PRIVATE KEY", pkcs8(t, ed)), ed, ""},
		"CRLF":                           {strings.ReplaceAll(one, "\n", "\r\n"), long, ""},
		"CR alone":                       {strings.ReplaceAll(one, "\n", "\r"), long, ""},
		"no end of line":                 {strings.TrimSpace(one), long, ""},
		"indented, as in YAML":           {"    " + strings.ReplaceAll(one, "\n", "\n    "), long, ""},
		"a byte order mark":              {"\uFEFF" + one, long, ""},
		"text around it":                 {"; key s1 for example.com\n# since 2019\nBag Attributes: <none>\n\n" + one + "that is all\n", long, ""},
		"a public key before it":         {block("PUBLIC KEY", public) + eight, long, ""},
		"twice the same":                 {one + eight, long, ""},
		"PKCS #8 that is called PKCS #1": {block("RSA PRIVATE KEY", pkcs8(t, long)), long, ""},
		"PKCS #1 that is called PKCS #8": {block("PRIVATE KEY", x509.MarshalPKCS1PrivateKey(long)), long, ""},
		"rspamd's seed":                  {base(ed.Seed()) + "\n", ed, ""},
		"rspamd's pair":                  {base(ed), ed, ""},
		"DER in base64":                  {base(pkcs8(t, long)), long, ""},

		"nothing":                {"", nil, "can't be read as a private key"},
		"no base64":              {"s1._domainkey IN TXT", nil, "neither PEM"},
		"a pair that is none":    {base(wrong), nil, "second half"},
		"only the public key":    {block("PUBLIC KEY", public), nil, "no whole PEM block"},
		"cut off":                {one[:len(one)/2], nil, "no whole PEM block"},
		"damaged":                {block("PRIVATE KEY", pkcs8(t, long)[:900]), nil, "can't be read"},
		"two keys":               {one + block("PRIVATE KEY", pkcs8(t, short)), nil, "several private keys"},
		"an EC key":              {block("PRIVATE KEY", pkcs8(t, ec)), nil, "neither an RSA nor an Ed25519 key"},
		"an EC key of SEC 1":     {block("EC PRIVATE KEY", []byte("x")), nil, "neither an RSA nor an Ed25519 key"},
		"of OpenSSH":             {block("OPENSSH PRIVATE KEY", []byte("x")), nil, "ssh-keygen -p -m PKCS8"},
		"encrypted":              {block("ENCRYPTED PRIVATE KEY", []byte("x")), nil, "without a passphrase"},
		"encrypted, as of old":   {strings.Replace(one, "\n", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\n", 1), nil, "without a passphrase"},
		"too long":               {one + strings.Repeat("x", maxFile), nil, "longer than 65536 octets"},
		"too many bits":          {block("PRIVATE KEY", make([]byte, maxDER+1)), nil, "more than 16384 bits"},
		"nothing but beginnings": {strings.Repeat("-----BEGIN X-----\n", maxFile/18), nil, "no whole PEM block"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadPrivate([]byte(test.file))
			if test.key == nil {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("error %v does not say %q", err, test.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want, err := dkim.NewRecord(test.key.Public())
			if err != nil {
				t.Fatal(err)
			}
			if got.Record != want.String() || got.Algorithm != want.KeyType {
				t.Errorf("got %s %q, want %q", got.Algorithm, got.Record, want)
			}
			if record, err := RecordOf(got.Private); err != nil || record != got.Record {
				t.Errorf("it is not stored as others are: %v", err)
			}
			if key, ok := test.key.(*rsa.PrivateKey); ok && got.Bits != key.N.BitLen() {
				t.Errorf("%d bits", got.Bits)
			}
		})
	}
}

// The files that the tools of signers write are read.
func TestReadPrivateOfRealPrograms(t *testing.T) {
	d := t.TempDir()
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(real.Program(t, name), args...)
		cmd.Dir = d
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	reads := func(file, algorithm string, bits int) {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(d, file))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ReadPrivate(content); err != nil || got.Algorithm != algorithm || got.Bits != bits {
			t.Errorf("%s: %s of %d bits, %v", file, got.Algorithm, got.Bits, err)
		}
	}
	t.Run("opendkim-genkey", func(t *testing.T) {
		run("opendkim-genkey", "-b", "1024", "-d", "example.com", "-s", "s1")
		reads("s1.private", "rsa", 1024)
	})
	t.Run("rspamadm", func(t *testing.T) {
		for file, kind := range map[string]string{"pair": "ed25519", "seed": "ed25519-seed", "rsa": "rsa"} {
			run("rspamadm", "dkim_keygen", "-t", kind, "-b", "1024", "-d", "example.com", "-s", "s1", "-k", filepath.Join(d, file))
		}
		reads("pair", "ed25519", 0)
		reads("seed", "ed25519", 0)
		reads("rsa", "rsa", 1024)
	})
	t.Run("openssl", func(t *testing.T) {
		run("openssl", "genrsa", "-traditional", "-out", "one.pem", "1024")
		run("openssl", "pkcs8", "-topk8", "-passout", "pass:x", "-in", "one.pem", "-out", "locked.pem")
		run("openssl", "rsa", "-traditional", "-aes128", "-passout", "pass:x", "-in", "one.pem", "-out", "locked-of-old.pem")
		reads("one.pem", "rsa", 1024)
		for _, file := range []string{"locked.pem", "locked-of-old.pem"} {
			content, err := os.ReadFile(filepath.Join(d, file))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ReadPrivate(content); err == nil || !strings.Contains(err.Error(), "without a passphrase") {
				t.Errorf("%s: %v", file, err)
			}
		}
	})
}

// A private key belongs to its record, whatever else stands in that.
func TestBelongs(t *testing.T) {
	pair, err := Generate("rsa", 2048)
	if err != nil {
		t.Fatal(err)
	}
	another, err := Generate("rsa", 2048)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := dkim.Parse(pair.Record)
	if err != nil {
		t.Fatal(err)
	}
	key, err := parsed.Public()
	if err != nil {
		t.Fatal(err)
	}
	bare := base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(key.(*rsa.PublicKey)))
	for record, want := range map[string]bool{
		pair.Record: true,
		strings.Replace(pair.Record, "v=DKIM1;", "v=DKIM1; h=sha256; s=email; t=y;", 1): true,
		strings.Replace(pair.Record, "v=DKIM1; k=rsa; ", "", 1):                         true,
		"v=DKIM1; p=" + bare:            true, // RFC 6376 §3.6.1, as before its erratum 3017
		another.Record:                  false,
		"v=DKIM1; k=rsa; p=":            false,
		"v=DKIM1; k=ed25519; p=" + bare: false,
		"":                              false,
	} {
		if got := Belongs(pair.Private, record); got != want {
			t.Errorf("%v for %.80q", got, record)
		}
	}
	if Belongs(nil, pair.Record) {
		t.Error("nothing belongs to a record")
	}
}

func FuzzReadPrivate(f *testing.F) {
	for _, algorithm := range []string{"rsa", "ed25519"} {
		pair, err := Generate(algorithm, 2048)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(pair.Private)
	}
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----"))
	f.Add([]byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := ReadPrivate(file)
		if err != nil {
			if got.Private != nil {
				t.Error("a key and an error")
			}
			return
		}
		if !Belongs(got.Private, got.Record) {
			t.Error("the key does not belong to its record")
		}
		if again, err := ReadPrivate(got.Private); err != nil || again.Record != got.Record {
			t.Errorf("its own form is not read: %v", err)
		}
	})
}
