package cloudflare

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// zoneView is a zone as the API shows it.
type zoneView struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Status string `json:"status"`
}

// listZones is GET /zones: https://developers.cloudflare.com/api/resources/zones/methods/list
func (s *Server) listZones(rights []string, query url.Values) answer {
	page, perPage, err := pageOf(query, 20, 50)
	if err != nil {
		return answer{err: err}
	}
	for parameter := range query {
		if !slices.Contains([]string{"name", "page", "per_page", "order", "direction", "status"}, parameter) {
			return answer{err: errParameter}
		}
	}
	found := []zoneView{}
	for _, z := range s.zones {
		if slices.Contains(rights, z.id) && (query.Get("name") == "" || strings.EqualFold(query.Get("name"), z.name)) {
			found = append(found, zoneView{z.id, z.name, "active"})
		}
	}
	return paginate(found, page, perPage)
}

// recordFilters are the ways to look for records; each compares without regard to case.
var recordFilters = map[string]func(r Record, value string) bool{
	"name":             func(r Record, value string) bool { return strings.EqualFold(r.Name, value) },
	"name.exact":       func(r Record, value string) bool { return strings.EqualFold(r.Name, value) },
	"name.contains":    func(r Record, value string) bool { return strings.Contains(lower(r.Name), lower(value)) },
	"name.startswith":  func(r Record, value string) bool { return strings.HasPrefix(lower(r.Name), lower(value)) },
	"name.endswith":    func(r Record, value string) bool { return strings.HasSuffix(lower(r.Name), lower(value)) },
	"type":             func(r Record, value string) bool { return r.Type == value },
	"content":          func(r Record, value string) bool { return strings.EqualFold(r.Content, value) },
	"content.exact":    func(r Record, value string) bool { return strings.EqualFold(r.Content, value) },
	"content.contains": func(r Record, value string) bool { return strings.Contains(lower(r.Content), lower(value)) },
}

func lower(s string) string { return strings.ToLower(s) }

// listRecords is GET /zones/{id}/dns_records:
// https://developers.cloudflare.com/api/resources/dns/subresources/records/methods/list
func (z *zone) listRecords(cfg Config, query url.Values, forcedPerPage int) answer {
	page, perPage, err := pageOf(query, 100, 5000000)
	if err != nil {
		return answer{err: err}
	}
	if forcedPerPage > 0 {
		perPage = forcedPerPage
	}
	matchAny := query.Get("match") == "any"
	order := query.Get("order")
	var filters []func(Record) bool
	for parameter, values := range query {
		switch {
		case recordFilters[parameter] != nil:
			filters = append(filters, func(r Record) bool { return recordFilters[parameter](r, values[0]) })
		case parameter == "match" && (matchAny || values[0] == "all"):
		case parameter == "order" && slices.Contains([]string{"name", "type", "content", "ttl"}, order):
		case parameter == "page" || parameter == "per_page":
		default:
			return answer{err: errParameter}
		}
	}

	found := []Record{}
	for _, r := range z.records {
		matches := 0
		for _, filter := range filters {
			if filter(r) {
				matches++
			}
		}
		if matches == len(filters) || matchAny && matches > 0 {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(a, b Record) int {
		switch order {
		case "name":
			return strings.Compare(a.Name, b.Name)
		case "type":
			return strings.Compare(a.Type, b.Type)
		case "content":
			return strings.Compare(a.Content, b.Content)
		case "ttl":
			return a.TTL - b.TTL
		default:
			return 0
		}
	})
	a := paginate(found, page, perPage)
	if cfg.WholeTotal {
		a.info.TotalCount = len(z.records)
	}
	return a
}

func pageOf(query url.Values, perPage, most int) (int, int, *apiError) {
	page := 1
	for parameter, into := range map[string]*int{"page": &page, "per_page": &perPage} {
		if !query.Has(parameter) {
			continue
		}
		n, err := strconv.Atoi(query.Get(parameter))
		if err != nil || n < 1 {
			return 0, 0, errParameter
		}
		*into = n
	}
	if perPage > most {
		return 0, 0, errParameter
	}
	return page, perPage, nil
}

func paginate[T any](all []T, page, perPage int) answer {
	from := min((page-1)*perPage, len(all))
	to := min(from+perPage, len(all))
	return answer{result: all[from:to], info: &resultInfo{
		Page: page, PerPage: perPage, Count: to - from, TotalCount: len(all), TotalPages: (len(all) + perPage - 1) / perPage,
	}}
}
