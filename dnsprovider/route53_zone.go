package dnsprovider

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
)

// hostedZonePrefix stands before ids in answers.
const hostedZonePrefix = "/hostedzone/"

// maxZonePages bounds the search among zones that all have one name.
const maxZonePages = 10

// zoneID returns the id of the hosted zone. The search is made once: ids do not change.
func (z *route53Zone) zoneID(ctx context.Context) (string, error) {
	z.mu.Lock()
	id := z.id
	z.mu.Unlock()
	if id != "" {
		return id, nil
	}
	id, err := z.findZone(ctx)
	if err != nil {
		return "", err
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.id = id
	return id, nil
}

// forgetZone has the zone be searched again: it can have been made anew, with another id.
func (z *route53Zone) forgetZone() {
	z.mu.Lock()
	defer z.mu.Unlock()
	if !z.given {
		z.id = ""
		z.hosted.forget(z.apex)
	}
}

// findZone looks for the one public hosted zone of the apex. One account can hold several zones of
// one name, private ones for its networks (split horizon) and public ones of which at most one is
// delegated to; the list begins with them.
func (z *route53Zone) findZone(ctx context.Context) (string, error) {
	if id, ok := z.shownZone(); ok {
		return id, nil
	}
	late := time.NewTimer(searchTurn)
	defer late.Stop()
	select {
	case z.hosted.searching() <- struct{}{}:
		defer func() { <-z.hosted.searching() }()
		if id, ok := z.shownZone(); ok {
			return id, nil
		}
	case <-late.C: // on its own
	case <-ctx.Done():
		return "", notSent(ctx.Err())
	}
	var named []types.HostedZone
	in := &route53.ListHostedZonesByNameInput{DNSName: aws.String(z.apex + "."), MaxItems: aws.Int32(100)}
	for range maxZonePages {
		var out *route53.ListHostedZonesByNameOutput
		err := call(ctx, func(ctx context.Context) (err error) {
			out, err = z.api.ListHostedZonesByName(ctx, in)
			if err == nil && out.MaxItems == nil {
				return errNotTheAPI
			}
			return err
		})
		if err != nil {
			return "", z.errorOf(err, false)
		}
		next := ""
		if out.IsTruncated {
			next = nameOfRoute53(aws.ToString(out.NextDNSName))
		}
		others := map[string][]types.HostedZone{}
		for _, zone := range out.HostedZones {
			switch name := nameOfRoute53(aws.ToString(zone.Name)); name {
			case z.apex:
				named = append(named, zone)
			case next: // there are more of it
			default:
				others[name] = append(others[name], zone)
			}
		}
		z.hosted.note(others)
		if next != z.apex {
			return z.onlyZone(named)
		}
		in.DNSName, in.HostedZoneId = out.NextDNSName, out.NextHostedZoneId
	}
	return "", failure(Invalid, nil, "too many hosted zones are named %s: set the zone id", z.apex)
}

// shownZone is the one zone that the search for another has shown. What it showed of none, or of several, may be mended by now.
func (z *route53Zone) shownZone() (id string, ok bool) {
	named, known := z.hosted.take(z.apex)
	if !known {
		return "", false
	}
	id, err := z.onlyZone(named)
	return id, err == nil
}

// onlyZone chooses among all hosted zones of the apex.
func (z *route53Zone) onlyZone(named []types.HostedZone) (string, error) {
	var public []string
	private := false
	for _, zone := range named {
		if isPrivate(zone) {
			private = true
		} else {
			public = append(public, strings.TrimPrefix(aws.ToString(zone.Id), hostedZonePrefix))
		}
	}
	switch {
	case len(public) > 1:
		return "", failure(Invalid, nil, "several public hosted zones are named %s: set the zone id of the one that the domain's NS records name", z.apex)
	case len(public) == 1 && public[0] != "":
		return public[0], nil
	case private:
		return "", failure(ZoneNotFound, nil, "the account of the keys holds %s as a private hosted zone only, which the world cannot see: create the public one", z.apex)
	default:
		return "", failure(ZoneNotFound, nil, "the account of the keys holds no hosted zone %s: check the zone's name and whose keys they are", z.apex)
	}
}

func isPrivate(zone types.HostedZone) bool { return zone.Config != nil && zone.Config.PrivateZone }
