package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maildomain/maildomain-operator/test/certificate"
)

// What a flag names and is not there stops the start: a self-signed certificate in its place would show nowhere.
func TestMetricsOptions(t *testing.T) {
	whole, torn := t.TempDir(), t.TempDir()
	cert, key, err := certificate.SelfSigned("metrics.test")
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := certificate.SelfSigned("metrics.test")
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{
		filepath.Join(whole, "tls.crt"): cert, filepath.Join(whole, "tls.key"): key,
		filepath.Join(torn, "tls.crt"): cert, filepath.Join(torn, "tls.key"): other,
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		args           []string
		secure, filter bool
		err            string
	}{
		"by default":                {nil, true, true, ""},
		"with a certificate":        {[]string{"--metrics-cert-dir", whole}, true, true, ""},
		"plain":                     {[]string{"--metrics-plain"}, false, false, ""},
		"plain with a certificate":  {[]string{"--metrics-plain", "--metrics-cert-dir", whole}, false, false, "leave one of them out"},
		"a certificate without key": {[]string{"--metrics-cert-dir", torn}, true, true, "tls.key"},
		"no such directory":         {[]string{"--metrics-cert-dir", filepath.Join(whole, "none")}, true, true, "no such file"},
	} {
		var f metricsFlags
		set := flag.NewFlagSet("test", flag.ContinueOnError)
		set.SetOutput(io.Discard)
		f.register(set)
		if err := set.Parse(test.args); err != nil {
			t.Fatal(err)
		}
		o, err := f.options()
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v, want %q", name, err, test.err)
		}
		if o.SecureServing != test.secure || (o.FilterProvider != nil) != test.filter {
			t.Errorf("%s: secure %v, filter %v", name, o.SecureServing, o.FilterProvider != nil)
		}
	}
}
