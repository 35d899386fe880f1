package route53

import (
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limits of one request (API Reference, ChangeResourceRecordSets) and of a record set.
const (
	maxRecords    = 1000
	maxChars      = 32000
	maxSetRecords = 400
)

func (s *Server) change(req request, lose bool) any {
	var in changeRequest
	if err := xml.Unmarshal(req.body, &in); err != nil {
		return apiError{status: 400, code: "InvalidInput", message: "Invalid XML ; " + err.Error()}
	}
	if len(in.Changes) == 0 {
		return invalidInput("Invalid XML ; the batch has no changes")
	}

	s.mu.Lock()
	z := s.zones[req.id]
	if z == nil {
		s.mu.Unlock()
		return noSuchZone(req.id)
	}
	if s.cfg.OneAtATime && z.changing > 0 {
		s.mu.Unlock()
		return apiError{status: 400, code: "PriorRequestNotComplete", message: "The request was rejected because Route 53 was still processing a prior request."}
	}
	z.changing++
	s.mu.Unlock()
	if s.cfg.Before != nil {
		s.cfg.Before(Applying)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	z.changing--

	work := &zone{id: z.id, name: z.name, sets: slices.Clone(z.sets)}
	if problems := work.apply(in); len(problems) > 0 {
		return invalidBatch(s.cfg.ShortErrors, problems)
	}
	if !lose {
		z.sets = work.sets
		if err := s.show(z); err != nil {
			return apiError{status: 500, code: "InternalFailure", message: err.Error()}
		}
	}
	id := fmt.Sprintf("C%013d", len(s.changes)+1)
	now := time.Now().UTC()
	s.changes[id] = now
	return changeAnswer{XMLName: xml.Name{Local: "ChangeResourceRecordSetsResponse"}, Info: changeInfo{ID: "/change/" + id, Status: "PENDING", SubmittedAt: now.Format(time.RFC3339)}}
}

// Applying is what Config.Before is called with while a change is under way, between its beginning
// and its end.
const Applying = "ChangeResourceRecordSets, under way"

func (s *Server) getChange(req request) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.changes[req.id]
	if !ok {
		return apiError{status: 404, code: "NoSuchChange", message: "Could not find resource with ID: " + req.id}
	}
	return changeAnswer{XMLName: xml.Name{Local: "GetChangeResponse"}, Info: changeInfo{ID: "/change/" + req.id, Status: "INSYNC", SubmittedAt: at.Format(time.RFC3339)}}
}

// apply makes all changes, one after the other, and says what is wrong with them.
func (z *zone) apply(in changeRequest) (problems []string) {
	records, chars := 0, 0
	for _, c := range in.Changes {
		times := 1
		if c.Action == "UPSERT" {
			times = 2
		}
		records += times * len(c.Set.Values)
		for _, value := range c.Set.Values {
			chars += times * len([]rune(value))
		}
	}
	if records > maxRecords {
		problems = append(problems, fmt.Sprintf("Number of records limit of %d exceeded.", maxRecords))
	}
	if chars > maxChars {
		problems = append(problems, fmt.Sprintf("RDATA character limit of %d exceeded.", maxChars))
	}
	if len(problems) > 0 {
		return problems
	}

	touched := map[string]bool{}
	for _, c := range in.Changes {
		set := c.Set
		name, err := normal(set.Name)
		if err != nil {
			problems = append(problems, "FATAL problem: DomainLabelInvalid encountered with '"+set.Name+"'")
			continue
		}
		set.Name = name
		touched[name] = true
		if !within(name, z.name) {
			problems = append(problems, fmt.Sprintf("RRSet with DNS name %s is not permitted in zone %s", name, z.name))
			continue
		}
		wrong := z.check(set)
		if len(wrong) == 0 {
			wrong = z.one(c.Action, set)
		}
		problems = append(problems, wrong...)
	}
	if len(problems) == 0 {
		problems = z.standTogether(slices.Sorted(maps.Keys(touched)))
	}
	return problems
}

// one makes one change.
func (z *zone) one(action string, set Set) []string {
	at, there := z.find(set)
	apex := set.Name == z.name && (set.Type == "SOA" || set.Type == "NS")
	switch action {
	case "CREATE":
		if there {
			return []string{fmt.Sprintf("Tried to create resource record set %s but it already exists", label(set))}
		}
	case "UPSERT":
	case "DELETE":
		switch {
		case !there:
			return []string{fmt.Sprintf("Tried to delete resource record set %s but it was not found", label(set))}
		case !equal(z.sets[at], set):
			return []string{fmt.Sprintf("Tried to delete resource record set %s but the values provided do not match the current values", label(set))}
		case apex:
			return []string{"A HostedZone must contain exactly one SOA record and at least one NS record."}
		}
		z.sets = slices.Delete(z.sets, at, at+1)
		return nil
	default:
		return []string{fmt.Sprintf("Invalid action %q", action)}
	}
	z.put(set)
	return nil
}

// label is how messages name a set.
func label(set Set) string {
	text := fmt.Sprintf("[name='%s', type='%s'", set.Name, set.Type)
	if set.SetIdentifier != "" {
		text += fmt.Sprintf(", set-identifier='%s'", set.SetIdentifier)
	}
	return text + "]"
}

// equal reports whether two sets say the same, the order of their values apart.
func equal(a, b Set) bool {
	return same(a.TTL, b.TTL) && same(a.Weight, b.Weight) && same(a.MultiValue, b.MultiValue) && same(a.Alias, b.Alias) &&
		a.Region == b.Region && a.Failover == b.Failover && a.HealthCheckID == b.HealthCheckID &&
		slices.Equal(slices.Sorted(slices.Values(a.Values)), slices.Sorted(slices.Values(b.Values)))
}

func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// standTogether says which of the sets at the names exclude each other: a CNAME and anything else
// (RFC 1034 §3.6.2), and a simple set and ones with a routing policy.
func (z *zone) standTogether(names []string) (problems []string) {
	for _, name := range names {
		var at []Set
		for _, set := range z.sets {
			if set.Name == name {
				at = append(at, set)
			}
		}
		for _, set := range at {
			for _, other := range at {
				switch {
				case set.Type == "CNAME" && other.Type != "CNAME":
					problems = append(problems,
						fmt.Sprintf("RRSet of type CNAME with DNS name %s is not permitted as it conflicts with other records with the same DNS name in zone %s", name, z.name),
						fmt.Sprintf("RRSet of type %s with DNS name %s is not permitted because a conflicting RRSet of type CNAME with the same DNS name already exists in zone %s", other.Type, name, z.name))
				case set.Type == other.Type && set.SetIdentifier == "" && other.SetIdentifier != "":
					problems = append(problems, fmt.Sprintf("RRSet with DNS name %s, type %s, SetIdentifier null cannot be created as a weighted set exists with the same name and type.", name, set.Type))
				}
			}
		}
		if name == z.name && slices.ContainsFunc(at, func(set Set) bool { return set.Type == "CNAME" }) {
			problems = []string{fmt.Sprintf("RRSet of type CNAME with DNS name %s is not permitted at apex in zone %s", name, z.name)}
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}

// check says what is wrong with a set alone.
func (z *zone) check(set Set) (problems []string) {
	if !known(set.Type) {
		return []string{fmt.Sprintf("Invalid type %q", set.Type)}
	}
	if set.Alias != nil {
		if set.TTL != nil || len(set.Values) > 0 {
			return []string{"Invalid request: an alias has neither TTL nor ResourceRecords"}
		}
		return nil
	}
	routed := set.Weight != nil || set.Region != "" || set.Failover != "" || set.MultiValue != nil
	if routed != (set.SetIdentifier != "") {
		return []string{"Invalid request: Expected exactly one of [Weight, Region, Failover, MultiValueAnswer] with SetIdentifier"}
	}
	if set.TTL == nil || *set.TTL < 0 || *set.TTL > 1<<31-1 {
		return []string{"Invalid request: Missing or invalid field 'TTL' in Change with " + label(set)}
	}
	if len(set.Values) == 0 {
		return []string{"Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords]] in Change with " + label(set)}
	}
	if len(set.Values) > maxSetRecords {
		problems = append(problems, fmt.Sprintf("Cannot have more than %d records in a RRSet.", maxSetRecords))
	}
	if len(set.Values) > 1 && (set.Type == "CNAME" || set.Type == "SOA") {
		problems = append(problems, fmt.Sprintf("Cannot have more than one record in a RRSet of type %s", set.Type))
	}
	for i, value := range set.Values {
		if slices.Contains(set.Values[:i], value) {
			problems = append(problems, fmt.Sprintf("Duplicate Resource Record: '%s'", value))
		}
		if reason := checkValue(set.Type, value); reason != "" {
			problems = append(problems, fmt.Sprintf("Invalid Resource Record: 'FATAL problem: %s encountered with '%s''", reason, value))
		}
	}
	return problems
}

const recordTypes = " SOA A TXT NS CNAME MX NAPTR PTR SRV SPF AAAA CAA DS TLSA SSHFP SVCB HTTPS "

func known(rrtype string) bool {
	return rrtype != "" && strings.Contains(recordTypes, " "+rrtype+" ")
}
