package dnsprovider

import (
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/route53/types"
)

// HostedZones keeps what the search for one hosted zone of an account showed of others: an answer
// lists up to 100, in the order of their names, so that neighbours which are looked for at about the same time are found with one
// call. What it does not know is no proof of absence. The zero value is ready for use.
type HostedZones struct {
	// Now is the clock; nil: nothing is kept.
	Now func() time.Time

	mu    sync.Mutex
	turn  chan struct{} // held by the one search under way: it may find what others look for
	shown map[string]hostedZones
}

// hostedZones are all that an account has of one name.
type hostedZones struct {
	at    time.Time
	zones []types.HostedZone
}

// hostedZonesKept is how long an answer is believed for a name that was not asked for: zones come and go.
const hostedZonesKept = time.Minute

// searchTurn is how long one search waits for another that may find the same.
const searchTurn = 2 * time.Second

func (h *HostedZones) searching() chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.turn == nil {
		h.turn = make(chan struct{}, 1)
	}
	return h.turn
}

// note keeps what was listed, all zones of each name.
func (h *HostedZones) note(shown map[string][]types.HostedZone) {
	if h.Now == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.Now()
	for name, old := range h.shown {
		if now.Sub(old.at) >= hostedZonesKept {
			delete(h.shown, name)
		}
	}
	if h.shown == nil {
		h.shown = map[string]hostedZones{}
	}
	for name, zones := range shown {
		h.shown[name] = hostedZones{now, zones}
	}
}

// take returns all zones of the name, if that is known, and once: who asks again has found them to be wrong.
func (h *HostedZones) take(name string) (zones []types.HostedZone, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	shown, known := h.shown[name]
	delete(h.shown, name)
	if !known || h.Now().Sub(shown.at) >= hostedZonesKept {
		return nil, false
	}
	return shown.zones, true
}

// forget is for a name whose zones are found to be others.
func (h *HostedZones) forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.shown, name)
}
