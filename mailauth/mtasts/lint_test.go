package mtasts

import (
	"strings"
	"testing"
	"time"

	"github.com/maildomain/maildomain-operator/test/linttest"
)

func TestLint(t *testing.T) {
	const record = "v=STSv1; id=1"
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	file := func(lines ...string) *Served {
		body := strings.Join(append([]string{"version: STSv1"}, lines...), "\r\n") + "\r\n"
		return &Served{Body: body, ContentType: "text/plain; charset=utf-8"}
	}
	enforced := file("mode: enforce", "mx: mx1.example.com", "mx: *.example.net", "max_age: 604800")
	tested := file("mode: testing", "mx: mx1.example.com", "max_age: 86400")
	hosts := []string{"MX1.example.com.", "a.example.net"}
	with := func(s Subject, change func(*Subject)) Subject { change(&s); return s }
	good := Subject{Texts: []string{record}, Served: enforced, MX: hosts, Now: now}
	texts := func(texts ...string) Subject { return Subject{Texts: texts} }
	served := func(f *Served) Subject { return Subject{Texts: []string{record}, Served: f} }

	gets := linttest.Start(t, Rules(), Lint)
	gets("", good)
	gets("", served(file("mode: none", "max_age: 1")))
	gets("", with(good, func(s *Subject) { s.Before = &Seen{ID: "0", Body: "another"} }))
	gets("", with(good, func(s *Subject) { s.Before = &Seen{ID: "1", Body: enforced.Body} }))
	gets("MTASTS-MISSING", texts())
	gets("MTASTS-MISSING", with(texts(), func(s *Subject) { s.Now, s.Before = now, &Seen{Until: now} }))
	gets("MTASTS-MISSING MTASTS-LEFT-EARLY", with(texts(), func(s *Subject) { s.Now, s.Before = now, &Seen{Until: now.Add(time.Second)} }))
	gets("MTASTS-MULTIPLE", texts(record, record+";"))
	gets("MTASTS-VERSION MTASTS-MISSING", texts("v=stsv1; id=1"))
	gets("MTASTS-VERSION MTASTS-MISSING", texts(" id=1; v=STSv1"))
	gets("MTASTS-VERSION MTASTS-MISSING", texts("v=STSv1"))
	gets("MTASTS-VERSION", texts(record, " v=STSv1; id=1"))
	gets("MTASTS-SYNTAX", texts("v=STSv1; id=a-b"))
	gets("MTASTS-UNKNOWN-FIELD", texts(record+"; a=b"))
	gets("MTASTS-UNKNOWN-FIELD", served(file("mode: testing", "mx: a.example", "max_age: 86400", "a: b")))
	gets("MTASTS-NO-REPORTS", with(texts(record), func(s *Subject) { s.NoReports = true }))
	gets("MTASTS-NO-REPORTS", with(good, func(s *Subject) { s.NoReports = true }))
	gets("", with(served(file("mode: none", "max_age: 86400")), func(s *Subject) { s.NoReports = true }))
	gets("MTASTS-POLICY-NOT-SERVED", served(&Served{Failure: "status 404"}))
	gets("MTASTS-ID-UNCHANGED", with(good, func(s *Subject) { s.Before = &Seen{ID: "1", Body: "another"} }))
	gets("MTASTS-CONTENT-TYPE", served(&Served{Body: enforced.Body, ContentType: "text/html"}))
	gets("MTASTS-CONTENT-TYPE", served(&Served{Body: enforced.Body}))
	gets("", served(&Served{Body: enforced.Body, ContentType: "Text/Plain ; charset"}))
	gets("MTASTS-LINE-ENDS", served(&Served{Body: strings.Replace(enforced.Body, "\r\n", "\n", 1), ContentType: "text/plain"}))
	gets("MTASTS-POLICY-SYNTAX", served(file("mode: strict")))
	gets("MTASTS-MAX-AGE-SHORT", served(file("mode: enforce", "mx: a.example", "max_age: 604799")))
	gets("MTASTS-MAX-AGE-SHORT", served(file("mode: testing", "mx: a.example", "max_age: 86399")))
	gets("MTASTS-TESTING-LONG", with(served(tested), func(s *Subject) {
		s.Now, s.Before = now, &Seen{ID: "0", Body: "another", ModeSince: now.Add(-12*7*24*time.Hour - 1)}
	}))
	gets("", with(served(tested), func(s *Subject) {
		s.Now, s.Before = now, &Seen{ID: "0", Body: "another", ModeSince: now.Add(-12 * 7 * 24 * time.Hour)}
	}))
	gets("", with(served(tested), func(s *Subject) { s.Now, s.Before = now, &Seen{ID: "0", Body: "another"} }))
	gets("MTASTS-MX-TWICE", served(file("mode: testing", "mx: a.example", "mx: A.example", "max_age: 86400")))
	gets("MTASTS-MX-UNUSED", with(good, func(s *Subject) { s.MX = hosts[:1] }))
	gets("MTASTS-MX-NOT-COVERED", with(good, func(s *Subject) { s.MX = append([]string{"a.b.example.net"}, hosts...) }))
	gets("MTASTS-MX-CERTIFICATE", with(good, func(s *Subject) { s.BadTLS = map[string]string{"a.example.net": "no STARTTLS"} }))
}
