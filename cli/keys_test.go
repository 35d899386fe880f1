package cli

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"math/big"
)

// rsaText is the record of an rsa key of so many bits, also of sizes that nobody should use. Nobody has
// its private half.
func rsaText(bits int) string {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537})
	if err != nil {
		panic(err)
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
}
