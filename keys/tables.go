package keys

import (
	"crypto/ed25519"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
)

// The tables of the signer's Secret. Every line is of one domain, and a domain that does not sign
// has none. docs/rotation.md shows how each program is told to read them.
const (
	// OpenDKIM signs with one algorithm, SignatureAlgorithm, whatever the key is, and defers a
	// message whose table names a key of another one. So each algorithm has tables of its own.
	KeyTableFile            = "KeyTable"
	SigningTableFile        = "SigningTable"
	KeyTableEd25519File     = "KeyTable.ed25519"
	SigningTableEd25519File = "SigningTable.ed25519"

	// RspamdMapFile is the selector_map of rspamd's dkim_signing, with the first key of spec: a map
	// has one value for a domain. RspamdConfFile is the inside of its section domain, with all keys.
	RspamdMapFile  = "rspamd_selectors.map"
	RspamdConfFile = "rspamd_domains.conf"

	// EximFile is for an lsearch lookup: the domain and the list of selectors.
	EximFile = "exim_selectors"
)

var tableFiles = []string{KeyTableFile, SigningTableFile, KeyTableEd25519File, SigningTableEd25519File, RspamdMapFile, RspamdConfFile, EximFile}

// The endings of a private key's files.
const (
	pemEnding = ".pem" // PKCS #8
	keyEnding = ".key" // what rspamd reads
)

// tables returns the tables of a domain that signs with these keys, whose files' names begin with
// prefix. All tables are there, with no line if no key signs.
func tables(domain, prefix string, signing Keyring) map[string][]byte {
	text := map[string]*strings.Builder{}
	for _, name := range tableFiles {
		text[name] = &strings.Builder{}
	}
	var selectors, objects []string
	for _, k := range signing {
		keyTable, signingTable := KeyTableFile, SigningTableFile
		if k.Algorithm == ed25519Algorithm {
			keyTable, signingTable = KeyTableEd25519File, SigningTableEd25519File
		}
		// A path that begins with ./ is relative to BaseDirectory, which is where the Secret is mounted.
		fmt.Fprintf(text[keyTable], "%[1]s._domainkey.%[2]s %[2]s:%[1]s:./%[3]s%[4]s\n", k.Selector, domain, prefix, PrivateFile(k.Selector))
		fmt.Fprintf(text[signingTable], "*@%[2]s %[1]s._domainkey.%[2]s\n", k.Selector, domain)
		selectors = append(selectors, k.Selector)
		objects = append(objects, fmt.Sprintf("{ selector = %q }", k.Selector))
	}
	if len(selectors) > 0 {
		fmt.Fprintf(text[RspamdMapFile], "%s %s\n", domain, selectors[0])
		fmt.Fprintf(text[RspamdConfFile], "%q { selectors [ %s ] }\n", domain, strings.Join(objects, ", "))
		fmt.Fprintf(text[EximFile], "%s: %s\n", domain, strings.Join(selectors, " : "))
	}
	data := map[string][]byte{}
	for name, b := range text {
		data[name] = []byte(b.String())
	}
	return data
}

// domainOf returns the domain that a table's line is of: its first word is the domain, or the name
// of a key's record.
func domainOf(line string) string {
	words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune("*@\": \n", r) })
	if len(words) == 0 {
		return ""
	}
	if _, domain, ok := strings.Cut(words[0], "._domainkey."); ok {
		return domain
	}
	return words[0]
}

// rspamdKey returns the private key in the form that rspamd reads: PEM, but of an ed25519 key the seed
// (RFC 8032 §5.1.5) in base64. Its PEM reader takes RSA alone.
func rspamdKey(private []byte) []byte {
	if block, _ := pem.Decode(private); block != nil {
		if seed := ed25519Seed(block.Bytes); seed != nil {
			return []byte(base64.StdEncoding.EncodeToString(seed))
		}
	}
	return private
}

// ed25519Seed reads the seed out of a PKCS #8 key (RFC 8410 §7), nil if it is of another algorithm. It
// does without crypto/x509, which computes the public half too, at most of the cost of a pass.
func ed25519Seed(der []byte) []byte {
	var key struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Private   []byte
	}
	var seed []byte
	if rest, err := asn1.Unmarshal(der, &key); err != nil || len(rest) > 0 || !key.Algorithm.Algorithm.Equal(oidEd25519) {
		return nil
	}
	if rest, err := asn1.Unmarshal(key.Private, &seed); err != nil || len(rest) > 0 || len(seed) != ed25519.SeedSize {
		return nil
	}
	return seed
}

var oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}
