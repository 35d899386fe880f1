package dnsprovider

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
)

const (
	// cloudflarePage is how many records are asked for at once. The API allows more; memory says no.
	cloudflarePage = 5000
	// maxCloudflarePages bounds one list: more than any plan's zone can hold.
	maxCloudflarePages = 1000
)

// records returns the records at the names, and others. The filter by the end of the name makes
// it one call for a name and all that could delegate it, or for all names of a domain below the
// apex; where the apex itself is among several, it is the whole zone. Only if that takes more
// calls than the names have branches (children of the apex), each branch is asked for alone.
func (z *cloudflareZone) records(ctx context.Context, names []string) ([]cloudflareRecord, error) {
	id, err := z.find(ctx)
	if err != nil {
		return nil, err
	}
	var branches []string
	for _, name := range names {
		if b := branch(name, z.apex); !slices.Contains(branches, b) {
			branches = append(branches, b)
		}
	}
	if len(branches) > 1 {
		records, complete, err := z.list(ctx, id, url.Values{}, 1+len(branches))
		if complete || err != nil {
			return records, z.remember(err)
		}
	}
	var all []cloudflareRecord
	for _, b := range branches {
		filter := url.Values{"name.endswith": {b}}
		if b == z.apex {
			filter = url.Values{"name.exact": {b}}
		}
		records, complete, err := z.list(ctx, id, filter, maxCloudflarePages)
		if err == nil && !complete {
			err = failure(Unreachable, nil, "the zone holds more records than can be read")
		}
		if err != nil {
			return nil, z.remember(err)
		}
		all = append(all, records...)
	}
	return all, nil
}

// branch returns the child of the apex that name is or lies below, or the apex for itself.
func branch(name, apex string) string {
	for name != apex && parent(name) != apex {
		name = parent(name)
	}
	return name
}

// list returns all records that pass the filter, or none and not complete if they are on more
// pages than are wanted. The pages are one list only if nothing moved between them: the total
// must stay, and no record may come twice. Anything less is no proof of absence.
func (z *cloudflareZone) list(ctx context.Context, zoneID string, filter url.Values, mostPages int) (all []cloudflareRecord, complete bool, err error) {
	seen, total := map[string]bool{}, 0
	for page := 1; page <= mostPages; page++ {
		records, count, err := z.page(ctx, zoneID, filter, page)
		if err != nil {
			return nil, false, err
		}
		if page == 1 {
			total = count
		}
		for _, r := range records {
			if seen[r.ID] {
				return nil, false, moved()
			}
			seen[r.ID] = true
		}
		all = append(all, records...)
		switch {
		case count != total || len(all) > total:
			return nil, false, moved()
		case len(all) == total:
			return all, true, nil
		case len(records) == 0:
			return nil, false, moved()
		case page == 1 && (total-1)/len(records) >= mostPages:
			return nil, false, nil
		}
	}
	return nil, false, moved()
}

// page returns one page, and how many records there are on all pages.
func (z *cloudflareZone) page(ctx context.Context, zoneID string, filter url.Values, page int) ([]cloudflareRecord, int, error) {
	query := maps.Clone(filter)
	query.Set("page", strconv.Itoa(page))
	query.Set("per_page", strconv.Itoa(cloudflarePage))
	a, err := z.get(ctx, "/zones/"+zoneID+"/dns_records", query)
	if err != nil {
		return nil, 0, err
	}
	var records []cloudflareRecord
	if json.Unmarshal(a.Result, &records) != nil || slices.ContainsFunc(records, func(r cloudflareRecord) bool { return !isCloudflareID(r.ID) }) {
		return nil, 0, failure(Unreachable, nil, "Cloudflare's answer does not show the records: check the endpoint")
	}
	if a.ResultInfo == nil || a.ResultInfo.TotalCount == nil {
		return nil, 0, failure(Unreachable, nil, "Cloudflare's answer does not say whether it is complete: check the endpoint")
	}
	return records, *a.ResultInfo.TotalCount, nil
}

func moved() error {
	return failure(Unreachable, nil, "Cloudflare's answer is not complete, as if the zone had changed while it was read page by page")
}
