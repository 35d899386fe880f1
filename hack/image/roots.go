package main

import (
	"bytes"
	"encoding/pem"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// rootsFile is the first place that crypto/x509 looks at on Linux.
const rootsFile = "etc/ssl/certs/ca-certificates.crt"

// roots are the public certificate authorities that Mozilla trusts, as the Go team keeps them: of the version in go.mod,
// not of the machine that builds. One that is trusted for older certificates only is left out, as PEM can't say so.
func roots() []byte {
	var file bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&file, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a Buffer takes all
		}
	}
	return file.Bytes()
}
