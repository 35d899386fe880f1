package senders

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
	"github.com/maildomain/maildomain-operator/test/real"
)

const (
	nothing    = "(<STSFetchResult.NONE: 0>, None)\n"
	fetchError = "(<STSFetchResult.FETCH_ERROR: 2>, None)\n"
)

// postfix-mta-sts-resolver from the first policy of a domain to the last: what mta-sts-query sees,
// which knows nothing from before, and what mta-sts-daemon has Postfix do, which remembers.
func TestPostfix(t *testing.T) {
	real.Program(t, "mta-sts-query")
	s := newScene(t)
	world := s.internet()
	daemon := real.MTASTSDaemon(t, world)
	query := func() string { return real.MTASTSQuery(t, world, "example.com") }
	lookup := func() string { return s.lookup(daemon) }
	ready := func() {
		t.Helper()
		s.eventually("MTASTSReady", v1alpha1.ReasonVerified, s.reason)
	}
	sees := func(queried, postfix string) {
		t.Helper()
		if got := query(); got != queried {
			t.Errorf("mta-sts-query: %swant %s", got, queried)
		}
		if got := lookup(); got != postfix {
			t.Errorf("mta-sts-daemon: %s, want %s", got, postfix)
		}
	}
	year := time.Now().Add(365 * 24 * time.Hour)
	maxAge := &metav1.Duration{Duration: time.Hour}
	policy := func(mode v1alpha1.MTASTSMode, mx ...string) *v1alpha1.MTASTSSpec {
		return &v1alpha1.MTASTSSpec{Mode: mode, MX: mx, MaxAge: maxAge}
	}

	s.certify(time.Now().Add(-time.Hour))
	s.apply(policy(v1alpha1.MTASTSTesting))
	s.manage()
	s.serve()
	s.eventually("MTASTSReady with an expired certificate", v1alpha1.ReasonCertificateNotReady, s.reason)
	sees(nothing, "NOTFOUND")

	s.certify(year)
	ready()
	sees(s.prints(mtasts.Testing, maxAge.Duration, "mx1.example.com"), "NOTFOUND") // Postfix has no mode for it

	s.want(policy(v1alpha1.MTASTSEnforce, "mx1.example.com"))
	ready()
	first := s.prints(mtasts.Enforce, maxAge.Duration, "mx1.example.com")
	sees(first, secure("mx1.example.com"))

	// A change of MX: the policy names the new host before mail goes there.
	s.want(policy(v1alpha1.MTASTSEnforce, "mx1.example.com", "mx2.example.com"))
	ready()
	both := s.prints(mtasts.Enforce, maxAge.Duration, "mx1.example.com", "mx2.example.com")
	s.must(s.dns.Set("example.com", "MX", "10 mx2.example.com."))
	if got := query(); got != both {
		t.Errorf("mta-sts-query: %swant %s", got, both)
	}
	for _, host := range []string{"mx1.example.com", "mx2.example.com"} { // the daemon's order is that of a Python set
		if got := lookup(); !strings.HasPrefix(got, "OK secure match=") || !strings.Contains(got, host) {
			t.Errorf("mta-sts-daemon: %s without %s", got, host)
		}
	}

	// Without the policy server a policy that is known stays in force.
	s.stopServing()
	if got, postfix := query(), lookup(); got != fetchError || !strings.HasPrefix(postfix, "OK secure match=") {
		t.Errorf("server down: mta-sts-query %s, mta-sts-daemon %s", got, postfix)
	}
	s.serve()
	s.eventually("mta-sts-query after a restart", both, query)

	// So it does when the certificate runs out in service.
	s.expire()
	s.eventually("mta-sts-query with an expired certificate", fetchError, query)
	if got := lookup(); !strings.HasPrefix(got, "OK secure match=") {
		t.Errorf("expired certificate: mta-sts-daemon %s", got)
	}
	s.certify(year)
	s.eventually("mta-sts-query with a new certificate", both, query)

	// The withdrawal is told first: no sender waits for max_age to pass.
	s.want(nil)
	none := func() string {
		if got := query(); !strings.Contains(got, "'mode': 'none'") {
			return got
		}
		return "none"
	}
	s.eventually("mta-sts-query after a withdrawal", "none", none)
	s.eventually("mta-sts-daemon after a withdrawal", "NOTFOUND", lookup)
}

// prints is what mta-sts-query prints of a policy, with the id of the record that stands.
func (s *scene) prints(mode mtasts.Mode, maxAge time.Duration, mx ...string) string {
	s.t.Helper()
	texts := s.dns.TXT("_mta-sts.example.com")
	if len(texts) != 1 {
		s.t.Fatalf("the record: %q", texts)
	}
	record, err := mtasts.ParseRecord(texts[0])
	s.must(err)
	return fmt.Sprintf("(<STSFetchResult.VALID: 1>, ('%s', {'mx': ['%s'], 'version': 'STSv1', 'mode': '%s', 'max_age': %d}))\n",
		record.ID, strings.Join(slices.Sorted(slices.Values(mx)), "', '"), mode, int(maxAge.Seconds()))
}

// secure is what mta-sts-daemon tells Postfix to demand.
func secure(host string) string { return "OK secure match=" + host + " servername=hostname" }

// expire has the policy host serve a certificate that runs out a little later: long enough for it to
// get there, which is tried with more time when it was not.
func (s *scene) expire() {
	s.t.Helper()
	for validity := 20 * time.Second; ; validity *= 2 {
		until := time.Now().Add(validity).Truncate(time.Second)
		s.certify(until)
		for time.Now().Before(until) {
			if s.served().Equal(until) {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		if validity > patience {
			s.t.Fatal("no new certificate is served")
		}
	}
}

// served is the end of the certificate that the policy host shows now.
func (s *scene) served() time.Time {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.policy, &tls.Config{ServerName: policyHost, InsecureSkipVerify: true}) // only to look at it
	s.must(err)
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].NotAfter
}
