package dnsprovider

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// find returns the zone's identifier. The first call asks Cloudflare for it; what comes back
// must be of our name even where the identifier was given, because in another zone nothing of
// ours would be seen, and what we write would get that zone's name behind its own.
func (z *cloudflareZone) find(ctx context.Context) (string, error) {
	z.mu.Lock()
	id := z.id
	z.mu.Unlock()
	if id != "" {
		return id, nil
	}
	id, err := z.ask(ctx)
	if err != nil {
		return "", err
	}
	z.mu.Lock()
	z.id = id
	z.mu.Unlock()
	return id, nil
}

// remember passes an error on. If it says that the zone is not there, the next call finds it
// anew: it may have been removed and made again.
func (z *cloudflareZone) remember(err error) error {
	if KindOf(err) == ZoneNotFound {
		z.mu.Lock()
		z.id = ""
		z.mu.Unlock()
	}
	return err
}

type cloudflareZoneView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func (z *cloudflareZone) ask(ctx context.Context) (string, error) {
	var found []cloudflareZoneView
	if z.givenID != "" {
		a, err := z.get(ctx, "/zones/"+z.givenID, nil)
		if err != nil {
			return "", err
		}
		var view cloudflareZoneView
		if json.Unmarshal(a.Result, &view) != nil {
			return "", failure(Unreachable, nil, "Cloudflare's answer does not show the zone: check the endpoint")
		}
		found = append(found, view)
	} else {
		// Without an operator the filter is for equal names. A page holds 50, far more than can be.
		a, err := z.get(ctx, "/zones", url.Values{"name": {z.apex}, "per_page": {"50"}})
		if err != nil {
			return "", err
		}
		if json.Unmarshal(a.Result, &found) != nil {
			return "", failure(Unreachable, nil, "Cloudflare's answer does not show the zones: check the endpoint")
		}
	}

	var ids []string
	for _, view := range found {
		if Canonical(view.Name) == z.apex {
			ids = append(ids, view.ID)
		}
	}
	switch {
	case len(ids) == 1 && isCloudflareID(ids[0]):
		return ids[0], nil
	case len(ids) == 1:
		return "", failure(Unreachable, nil, "Cloudflare's answer does not show the zone's id: check the endpoint")
	case len(ids) > 1:
		return "", failure(ZoneNotFound, nil, "the token sees %d zones named %s: give the id of the right one", len(ids), z.apex)
	case z.givenID != "":
		return "", failure(ZoneNotFound, nil, "the zone id is not that of zone %s: correct it, or leave it out", z.apex)
	default:
		return "", failure(ZoneNotFound, nil, "the token sees no zone named %s: check the zone's name, and that the token covers it", z.apex)
	}
}

// get makes a call that changes nothing.
func (z *cloudflareZone) get(ctx context.Context, path string, query url.Values) (*cloudflareAnswer, error) {
	a, err := z.call(ctx, http.MethodGet, path, query, nil)
	if err == nil && a.succeeded() {
		return a, nil
	}
	return nil, z.unread(a, err)
}
