package dnsprovider

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

// libdnsStep is how a change is made. Exactly one way is set, or both delete and then append.
type libdnsStep struct {
	set      []libdns.Record // SetRecords: all that is to stand at the key
	deletion []libdns.Record // DeleteRecords
	addition []libdns.Record // AppendRecords
}

// plan says how to make a change to what stands there now, as Law 6 allows it: never two of
// ours, and none where one stood only where nothing else stands and no signature depends on it.
// In this order:
//
//	the module replaces RRsets, and all that stays can be written back  SetRecords of all
//	it replaces one record by one, and it is one by one                 SetRecords of that
//	only additions, and it appends beside others                        AppendRecords
//	only removals, and it deletes no others                             DeleteRecords
//	nothing stays, and it is no DKIM                                    DeleteRecords, AppendRecords
//	else                                                                Unsupported
func (z *libdnsZone) plan(change Change, now RRset) (libdnsStep, error) {
	seen := change.Seen
	if !slices.Equal(now.Records, sortedRecords(seen.Records)) || now.Alias != seen.Alias || now.Shared != seen.Shared {
		return libdnsStep{}, failure(Changed, nil, "somebody else changed the records since they were read")
	}
	if now.Shared && len(change.Add) > 0 {
		return libdnsStep{}, failure(Refused, nil, "other records stand at the name, and a CNAME cannot stand beside them (RFC 1034 §3.6.2): remove them, or do without the CNAME")
	}
	kept := now.Records
	for _, r := range change.Remove {
		at := slices.Index(kept, r)
		if at < 0 {
			return libdnsStep{}, failure(Invalid, nil, "a record to remove is named twice")
		}
		kept = slices.Delete(slices.Clone(kept), at, at+1)
	}
	ttl := z.ttl(change, now)
	record := func(text string) libdns.Record {
		return libdns.RR{Name: libdnsRelative(now.Name, z.apex), Type: now.Type, TTL: ttl, Data: text}
	}

	var added []libdns.Record
	for _, value := range change.Add {
		text, err := z.text(now.Type, value)
		if err != nil {
			return libdnsStep{}, err
		}
		added = append(added, record(text))
	}

	all, unkept := z.whole(kept, now, record)
	all = append(all, added...)
	switch {
	case z.replaces == replacesRRset && unkept == "" && len(all) > 0:
		return libdnsStep{set: all}, nil
	case z.replaces == replacesOne && len(kept) == 0 && len(change.Remove) == 1 && len(added) == 1:
		return libdnsStep{set: added}, nil
	case len(change.Remove) == 0 && z.appends:
		return libdnsStep{addition: added}, nil
	case len(change.Remove) == 0:
		return libdnsStep{}, z.unsupported(unkept, "%s does not add a record to others without harm", z.name)
	case !z.deletes:
		return libdnsStep{}, z.unsupported(unkept, "%s does not remove a record without harm to others", z.name)
	}

	removed, err := z.removals(change.Remove, now, record)
	switch {
	case err != nil:
		return libdnsStep{}, err
	case len(added) == 0:
		return libdnsStep{deletion: removed}, nil
	case len(kept) > 0:
		return libdnsStep{}, z.unsupported(unkept, "%s replaces no record in place where others stand", z.name)
	case isDKIM(now.Name):
		return libdnsStep{}, z.unsupported(unkept, "%s replaces no record in place, and a DKIM key must not be away for a moment: publish the new one under another selector", z.name)
	case !z.appends:
		return libdnsStep{}, z.unsupported(unkept, "%s does not add a record to others without harm", z.name)
	default:
		return libdnsStep{deletion: removed, addition: added}, nil
	}
}

// whole returns the records that stay, as SetRecords must be given them. unkept says why they
// cannot be written back, "" if they can.
func (z *libdnsZone) whole(kept []Record, now RRset, record func(text string) libdns.Record) (all []libdns.Record, unkept string) {
	if len(kept) > 0 && now.TTL < z.minTTL {
		return nil, fmt.Sprintf("the records there have a TTL below %v, which would be raised", z.minTTL)
	}
	for _, r := range kept {
		text := r.Handle
		if now.Type == TypeTXT {
			again, ok := z.txt.keep(r.Handle)
			if !ok {
				return nil, "another record there, cut into strings in its own way, would not be written back as it is"
			}
			text = again
		}
		all = append(all, record(text))
	}
	return all, ""
}

// removals returns the records as DeleteRecords finds them. An empty text would be a wildcard to
// it: it would delete all.
func (z *libdnsZone) removals(remove []Record, now RRset, record func(text string) libdns.Record) ([]libdns.Record, error) {
	var removed []libdns.Record
	for _, r := range remove {
		text, ok := r.Handle, true
		if now.Type == TypeTXT {
			text, ok = z.txt.remove(r.Handle)
		}
		if !ok || text == "" {
			return nil, failure(Unsupported, nil, "%s cannot delete a record with such a text: delete it at the provider", z.name)
		}
		removed = append(removed, record(text))
	}
	return removed, nil
}

// text returns what the module is given of a value that we write.
func (z *libdnsZone) text(recordType, value string) (string, error) {
	switch recordType {
	case TypeTXT:
		text, ok := z.txt.write(value)
		if !ok || text == "" {
			return "", failure(Unsupported, nil, "the text would not come back from %s as it is: use printable ASCII without quotes", z.name)
		}
		return text, nil
	case TypeCNAME:
		return dns.Fqdn(Canonical(value)), nil
	default:
		return value, nil
	}
}

// ttl returns the TTL of all records of the RRset. It is never 0, with which modules mean the
// provider's default and any TTL at all.
func (z *libdnsZone) ttl(change Change, now RRset) time.Duration {
	if change.keepsSome() {
		return now.TTL // the owners of the others chose it
	}
	ttl := max(change.TTL, z.minTTL, time.Second)
	if z.maxTTL > 0 {
		ttl = min(ttl, z.maxTTL)
	}
	return ttl
}

// unsupported says why a change is not made.
func (z *libdnsZone) unsupported(unkept, format string, args ...any) error {
	reason := fmt.Sprintf(format, args...)
	if unkept != "" {
		reason = unkept + " by " + z.name
	}
	return failure(Unsupported, nil, "%s: make the change at the provider", reason)
}

// isDKIM reports whether DKIM keys can stand at the name (RFC 6376 §3.6.2.1).
func isDKIM(name string) bool { return slices.Contains(strings.Split(name, "."), "_domainkey") }

func sortedRecords(records []Record) []Record {
	return slices.SortedFunc(slices.Values(records), compareRecords)
}
