//go:build node

package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// fetch gets the policy as a sender would, over a connection of its own to an address that stands for the policy host's.
func (s scene) fetch(address string) error {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{RootCAs: s.roots}, DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Get("https://" + policyHost + "/.well-known/mta-sts.txt")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "version: STSv1\r\n") {
		return errors.New(response.Status + ": " + string(body))
	}
	return nil
}

// senders fetch the policy from the load balancer's address all the time.
type senders struct {
	mu     sync.Mutex
	asked  int
	failed []string
	stop   func()
}

// send lets them begin. Their pace is slow enough for them not to be all that the machine does.
func (s scene) send() *senders {
	const many, pace = 4, 50 * time.Millisecond
	ctx, cancel := context.WithCancel(s.t.Context())
	all, began := &senders{}, time.Now()
	var running sync.WaitGroup
	for range many {
		running.Go(func() {
			for ; ctx.Err() == nil; time.Sleep(pace) {
				err := s.fetch(loadBalancer + ":443")
				all.mu.Lock()
				all.asked++
				if err != nil {
					all.failed = append(all.failed, fmt.Sprintf("%5.1f s: %v", time.Since(began).Seconds(), err))
				}
				all.mu.Unlock()
			}
		})
	}
	all.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	s.t.Cleanup(all.stop)
	return all
}

func (l *senders) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

// more waits until they have asked so many times more.
func (s scene) more(l *senders, times int) {
	s.t.Helper()
	from := l.count()
	s.until("more fetches", func() (bool, string) { now := l.count() - from; return now >= times, fmt.Sprint(now) })
}

// none fails when one of them got no policy.
func (s scene) none(l *senders, while string) {
	s.t.Helper()
	l.stop()
	s.t.Logf("%s: %d fetches, %d failed", while, l.asked, len(l.failed))
	if l.asked == 0 || len(l.failed) > 0 {
		s.t.Errorf("%d of %d fetches failed while %s:\n%s", len(l.failed), l.asked, while, strings.Join(l.failed[:min(20, len(l.failed))], "\n"))
	}
}
