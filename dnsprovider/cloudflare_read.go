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
	seen := map[string]bool{}
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
		for _, r := range records {
			if !seen[r.ID] { // the end of one name can be the end of another, too
				seen[r.ID] = true
				all = append(all, r)
			}
		}
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
//
// With a filter the total cannot be relied on: documented is the number "without any search
// parameters", and seen is the number with them. Then the last page is the one that is not full.
func (z *cloudflareZone) list(ctx context.Context, zoneID string, filter url.Values, mostPages int) (all []cloudflareRecord, complete bool, err error) {
	seen, total := map[string]bool{}, 0
	for number := 1; number <= mostPages; number++ {
		page, err := z.page(ctx, zoneID, filter, number)
		if err != nil {
			return nil, false, err
		}
		if number == 1 {
			total = page.total
		}
		for _, r := range page.records {
			if seen[r.ID] {
				return nil, false, moved()
			}
			seen[r.ID] = true
		}
		all = append(all, page.records...)
		switch n := len(page.records); {
		case page.total != total || len(all) > total:
			return nil, false, moved()
		case len(all) == total, len(filter) > 0 && n < page.size:
			return all, true, nil
		case n == 0 || n < page.size:
			return nil, false, moved()
		case number == 1 && (total-1)/n >= mostPages:
			return nil, false, nil
		}
	}
	return nil, false, moved()
}

// cloudflarePageView is one page of a list.
type cloudflarePageView struct {
	records []cloudflareRecord
	size    int // of a full page
	total   int // records on all pages
}

func (z *cloudflareZone) page(ctx context.Context, zoneID string, filter url.Values, number int) (page cloudflarePageView, err error) {
	query := maps.Clone(filter)
	query.Set("page", strconv.Itoa(number))
	query.Set("per_page", strconv.Itoa(cloudflarePage))
	a, err := z.get(ctx, "/zones/"+zoneID+"/dns_records", query)
	if err != nil {
		return page, err
	}
	if json.Unmarshal(a.Result, &page.records) != nil || slices.ContainsFunc(page.records, func(r cloudflareRecord) bool { return !isCloudflareID(r.ID) }) {
		return page, failure(Unreachable, nil, "Cloudflare's answer does not show the records: check the endpoint")
	}
	if a.ResultInfo == nil || a.ResultInfo.TotalCount == nil || a.ResultInfo.PerPage < 1 {
		return page, failure(Unreachable, nil, "Cloudflare's answer does not say whether it is complete: check the endpoint")
	}
	page.size, page.total = a.ResultInfo.PerPage, *a.ResultInfo.TotalCount
	return page, nil
}

func moved() error {
	return failure(Unreachable, nil, "Cloudflare's answer is not complete, as if the zone had changed while it was read page by page")
}
