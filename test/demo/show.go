package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/mailauth/mtasts"
)

var example = types.NamespacedName{Namespace: "mail", Name: "example-com"}

// show applies the samples and tells what happens, until all of it is verified.
func (s *stage) show(ctx context.Context) error {
	heading("kubectl apply -k config/samples")
	applied := time.Now()
	for _, object := range s.samples {
		if err := s.api.Create(ctx, object.DeepCopy()); err != nil {
			return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		fmt.Printf("  %s %s\n", object.GetKind(), object.GetName())
	}

	heading("The conditions of MailDomain example-com")
	seen := map[string]string{}
	err := s.follow(ctx, func(md *v1alpha1.MailDomain) bool {
		for _, c := range md.Status.Conditions {
			if line := fmt.Sprintf("%-14s %-7s %s", c.Type, c.Status, c.Reason); seen[c.Type] != line {
				seen[c.Type] = line
				fmt.Printf("  %5.1f s  %s\n", time.Since(applied).Seconds(), line)
			}
		}
		return meta.IsStatusConditionTrue(md.Status.Conditions, v1alpha1.ConditionReady)
	})
	if err != nil {
		return fmt.Errorf("example-com did not become ready: %w", err)
	}
	fmt.Printf("  from apply to Ready=True: %.1f s\n", time.Since(applied).Seconds())

	md := &v1alpha1.MailDomain{}
	if err := s.api.Get(ctx, example, md); err != nil {
		return err
	}
	if err := s.showRecords(ctx, md); err != nil {
		return err
	}
	if err := s.showPolicy(ctx); err != nil {
		return err
	}
	if err := s.showSecret(ctx, md); err != nil {
		return err
	}
	return s.showRotation(ctx, md)
}

// follow calls look on every state of example-com that it gets to see, until look is content.
func (s *stage) follow(ctx context.Context, look func(*v1alpha1.MailDomain) bool) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	md := &v1alpha1.MailDomain{}
	for {
		if err := s.api.Get(ctx, example, md); err != nil {
			return err
		}
		if look(md) {
			return nil
		}
		select {
		case <-ctx.Done():
			var stuck []string
			for _, c := range md.Status.Conditions {
				if c.Status != metav1.ConditionTrue {
					stuck = append(stuck, fmt.Sprintf("%s: %s: %s", c.Type, c.Reason, c.Message))
				}
			}
			return fmt.Errorf("%w\n%s", ctx.Err(), strings.Join(stuck, "\n"))
		case <-tick.C:
		}
	}
}

// policy is what spec.mtaSTS of the sample says.
var policy = mtasts.Policy{Mode: mtasts.Enforce, MaxAge: 168 * time.Hour, MX: []string{"mx1.example.com"}}

// showRecords asks the name server as any client would, and compares letter by letter.
func (s *stage) showRecords(ctx context.Context, md *v1alpha1.MailDomain) error {
	heading("The records, as a DNS client sees them")
	expected := []struct{ name, text string }{
		{"example.com", "v=spf1 ip4:192.0.2.0/24 mx include:smarter.se -all"},
		{"_dmarc.example.com", "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"},
		{"_mta-sts.example.com", "v=STSv1; id=" + policy.ID()},
		{"_smtp._tls.example.com", "v=TLSRPTv1; rua=mailto:tls@example.com"},
	}
	for _, e := range expected {
		texts, err := s.lookup(ctx, e.name)
		if err != nil {
			return err
		}
		print(e.name, texts)
		if !slices.Equal(texts, []string{e.text}) {
			return fmt.Errorf("TXT %s: want %q, got %q", e.name, e.text, texts)
		}
	}
	if len(md.Status.DKIM.ActiveSelectors) != 2 {
		return fmt.Errorf("want two active selectors, got %v", md.Status.DKIM.ActiveSelectors)
	}
	for i, selector := range md.Status.DKIM.ActiveSelectors {
		name := selector + "._domainkey.example.com"
		texts, err := s.lookup(ctx, name)
		if err != nil {
			return err
		}
		print(name, texts)
		want := []string{"v=DKIM1; k=rsa; p=", "v=DKIM1; k=ed25519; p="}[i]
		if len(texts) != 1 || !strings.HasPrefix(texts[0], want) {
			return fmt.Errorf("TXT %s: want one record %s…, got %q", name, want, texts)
		}
	}
	return nil
}

func print(name string, texts []string) {
	for _, text := range texts {
		if len(text) > 100 {
			text = text[:80] + "…" + text[len(text)-16:]
		}
		fmt.Printf("  %-36s %q\n", name, text)
	}
}

func (s *stage) lookup(ctx context.Context, name string) ([]string, error) {
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(name), dns.TypeTXT)
	answer, _, err := (&dns.Client{Net: "tcp"}).ExchangeContext(ctx, question, s.dns.Addr())
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, rr := range answer.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			texts = append(texts, strings.Join(txt.Txt, ""))
		}
	}
	slices.Sort(texts)
	return texts, nil
}

// showPolicy gets the policy as a sender would, but for the port.
func (s *stage) showPolicy(ctx context.Context) error {
	heading("The policy, as an HTTPS client sees it")
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", s.policyPort))
		},
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mta-sts.example.com/.well-known/mta-sts.txt", nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(body)) {
		fmt.Println("  " + strings.TrimRight(line, "\r\n"))
	}
	if response.StatusCode != http.StatusOK || string(body) != policy.String() {
		return fmt.Errorf("the policy: want %q, got status %d and %q", policy, response.StatusCode, body)
	}
	return nil
}

// showSecret names what is in the signer's Secret, and shows no private key.
func (s *stage) showSecret(ctx context.Context, md *v1alpha1.MailDomain) error {
	heading("The Secret that the signer mounts")
	secret := &corev1.Secret{}
	if err := s.api.Get(ctx, types.NamespacedName{Namespace: md.Namespace, Name: md.SignerSecretName()}, secret); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
		value := fmt.Sprintf("(%d octets)", len(secret.Data[key]))
		if !strings.HasSuffix(key, ".pem") {
			value = strings.Join(strings.Fields(string(secret.Data[key])), " ")
		}
		fmt.Printf("  %-20s %s\n", key, value)
	}
	for _, selector := range md.Status.DKIM.ActiveSelectors {
		if len(secret.Data[selector+".pem"]) == 0 {
			return fmt.Errorf("secret %s has no key %s.pem", secret.Name, selector)
		}
	}
	return nil
}

// showRotation asks for a rotation and follows every key to its end, in a retention of seconds.
func (s *stage) showRotation(ctx context.Context, md *v1alpha1.MailDomain) error {
	heading("One rotation of the DKIM keys, with a retention of 5 s instead of 7 days")
	old := md.Status.DKIM.ActiveSelectors
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"annotations": {"maildomain.dev/rotate": "demo"}}, "spec": {"dkim": {"rotation": {"retention": "5s"}}}}`))
	if err := s.api.Patch(ctx, md, patch); err != nil {
		return err
	}
	began := time.Now()
	states := map[string]v1alpha1.DKIMKeyState{}
	err := s.follow(ctx, func(md *v1alpha1.MailDomain) bool {
		present := map[string]bool{}
		for _, k := range md.Status.DKIM.Keys {
			present[k.Selector] = true
			if states[k.Selector] != k.State {
				states[k.Selector] = k.State
				fmt.Printf("  %5.1f s  %s %s\n", time.Since(began).Seconds(), k.Selector, k.State)
			}
		}
		for selector := range states {
			if !present[selector] && states[selector] != "" {
				states[selector] = ""
				fmt.Printf("  %5.1f s  %s Removed\n", time.Since(began).Seconds(), selector)
			}
		}
		gone := !slices.ContainsFunc(old, func(selector string) bool { return present[selector] })
		return gone && len(md.Status.DKIM.ActiveSelectors) == len(old)
	})
	if err != nil {
		return fmt.Errorf("the rotation did not end: %w", err)
	}
	return s.follow(ctx, func(md *v1alpha1.MailDomain) bool {
		for _, selector := range old {
			if texts, err := s.lookup(ctx, selector+"._domainkey.example.com"); err != nil || len(texts) > 0 {
				return false
			}
		}
		return meta.IsStatusConditionTrue(md.Status.Conditions, v1alpha1.ConditionReady)
	})
}

func heading(text string) { fmt.Printf("\n%s\n", text) }
