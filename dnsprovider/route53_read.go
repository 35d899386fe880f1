package dnsprovider

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
)

const (
	route53Page = 300 // record sets in an answer, the API's limit
	// maxNamePages bounds what is read of one name: weighted records can be many.
	maxNamePages = 20
)

// Read lists the zone from the first name that is needed, and jumps to the next one where an
// answer did not reach: the names of one domain lie next to each other, and cost one call.
//
// Record sets that Route 53 makes up answers from, aliases to AWS resources and those with a
// routing policy (weighted, latency and so on) are Unsupported: they are no RRset, and are never
// changed.
func (z *route53Zone) Read(ctx context.Context, keys ...Key) []Reading {
	ctx, cancel := context.WithTimeout(ctx, z.timeout)
	defer cancel()

	readings := make([]Reading, len(keys))
	var names []string
	for i, key := range keys {
		if err := z.check(key); err != nil {
			readings[i].Err = z.complete(err, "read", key)
			continue
		}
		names = append(names, z.lineage(key.Name)...)
	}
	found, err := z.list(ctx, names)
	for i, key := range keys {
		if readings[i].Err != nil {
			continue
		}
		set, setErr := z.rrset(key, found, err)
		if setErr != nil {
			readings[i].Err = z.complete(setErr, "read", key)
			continue
		}
		readings[i].RRset = set
	}
	return readings
}

// lineage returns name and the names above it, below the apex: at each the name may be delegated.
func (z *route53Zone) lineage(name string) []string {
	names := []string{name}
	for name != z.apex {
		if name = parent(name); name != z.apex {
			names = append(names, name)
		}
	}
	return names
}

// found holds what stands at each name that was read to its end.
type found map[string][]types.ResourceRecordSet

// list reads the names. With an error, what it found before is returned too.
func (z *route53Zone) list(ctx context.Context, names []string) (found, error) {
	all := found{}
	if len(names) == 0 {
		return all, nil
	}
	id, err := z.zoneID(ctx)
	if err != nil {
		return all, err
	}
	// Names with a "*" come last, each on its own: where it stands in Route 53's order, as itself or
	// as "\052", the documentation does not say.
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(orderOfRoute53(a), orderOfRoute53(b)) })
	names = slices.Compact(names)
	plain := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !plainName(name) })
	for len(plain) > 0 {
		got, n, err := z.listFrom(ctx, id, plain)
		if err != nil {
			return all, err
		}
		for _, name := range plain[:n] {
			all[name] = got[name]
		}
		plain = plain[n:]
	}
	for _, name := range names {
		if plainName(name) {
			continue
		}
		got, _, err := z.listFrom(ctx, id, []string{name})
		if err != nil {
			return all, err
		}
		all[name] = got[name]
	}
	return all, nil
}

// orderOfRoute53 is what Route 53 sorts names by, as octets: the labels in reverse, each with a dot
// behind it (API Reference, ListResourceRecordSets).
func orderOfRoute53(name string) string {
	labels := strings.Split(name, ".")
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "."
}

// listFrom reads the first of the names to its end, and returns how many of them are read to their
// end with it. Names are sorted.
func (z *route53Zone) listFrom(ctx context.Context, id string, names []string) (found, int, error) {
	got := found{}
	in := &route53.ListResourceRecordSetsInput{HostedZoneId: &id, MaxItems: aws.Int32(route53Page), StartRecordName: aws.String(names[0] + ".")}
	for range maxNamePages {
		var out *route53.ListResourceRecordSetsOutput
		err := call(ctx, func(ctx context.Context) (err error) {
			out, err = z.api.ListResourceRecordSets(ctx, in)
			if err == nil && (out.MaxItems == nil || out.ResourceRecordSets == nil) {
				return errNotTheAPI
			}
			return err
		})
		if err != nil {
			err = z.errorOf(err, false)
			if KindOf(err) == ZoneNotFound {
				z.forgetZone()
			}
			return nil, 0, err
		}
		reached := ""
		for _, set := range out.ResourceRecordSets {
			name := nameOfRoute53(aws.ToString(set.Name))
			if !within(name, z.apex) {
				return nil, 0, failure(ZoneNotFound, nil, "the hosted zone holds names that are not within zone %s: check the zone id", z.apex)
			}
			if slices.Contains(names, name) {
				got[name] = append(got[name], set)
			}
			if plainName(name) {
				reached = name
			}
		}
		if !out.IsTruncated {
			return got, len(names), nil
		}
		next := nameOfRoute53(aws.ToString(out.NextRecordName))
		if next != names[0] {
			if plainName(next) {
				reached = next
			}
			return got, max(1, before(names, reached)), nil
		}
		if same(in, out) {
			break
		}
		in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier
	}
	return nil, 0, failure(Unsupported, nil, "too many record sets stand at the name")
}

// within is Within for a name that may hold escapes of Route 53.
func within(name, apex string) bool { return name == apex || strings.HasSuffix(name, "."+apex) }

// before returns how many of the names come before the one that a list has reached: that one's
// own records may not all have been listed. Only plain names are compared.
func before(names []string, reached string) int {
	if reached == "" {
		return 0
	}
	at, _ := slices.BinarySearchFunc(names, orderOfRoute53(reached), func(name, order string) int {
		return strings.Compare(orderOfRoute53(name), order)
	})
	return at
}

// same reports whether an answer points to where it began.
func same(in *route53.ListResourceRecordSetsInput, out *route53.ListResourceRecordSetsOutput) bool {
	return aws.ToString(in.StartRecordName) == aws.ToString(out.NextRecordName) &&
		in.StartRecordType == out.NextRecordType &&
		aws.ToString(in.StartRecordIdentifier) == aws.ToString(out.NextRecordIdentifier)
}

// rrset says what stands at key. err is why not all names were read.
func (z *route53Zone) rrset(key Key, all found, err error) (RRset, error) {
	for _, name := range z.lineage(key.Name) {
		sets, ok := all[name]
		switch {
		case !ok && err == nil:
			return RRset{}, failure(Unreachable, nil, "the name was not read")
		case !ok:
			return RRset{}, err
		}
		if name != z.apex && slices.ContainsFunc(sets, func(s types.ResourceRecordSet) bool { return s.Type == types.RRTypeNs }) {
			return RRset{}, delegated(name)
		}
	}
	set, seen := RRset{Key: key}, 0
	for _, s := range all[key.Name] {
		switch {
		case string(s.Type) == key.Type:
			if seen++; seen > 1 || !simple(s) {
				return RRset{}, unsupportedSet(s)
			}
			records, err := recordsOf(s)
			if err != nil {
				return RRset{}, err
			}
			set.Records, set.TTL = records, time.Duration(*s.TTL)*time.Second
		case s.Type == types.RRTypeCname && set.Alias == "":
			set.Alias = targetOf(s)
		}
	}
	return set, nil
}

// simple reports whether s is an RRset as DNS knows it, of which nothing gets lost when it is
// written from name, type, TTL and values.
func simple(s types.ResourceRecordSet) bool {
	return s.TTL != nil && s.AliasTarget == nil && s.SetIdentifier == nil && s.Weight == nil && s.Region == "" &&
		s.Failover == "" && s.GeoLocation == nil && s.GeoProximityLocation == nil && s.MultiValueAnswer == nil &&
		s.CidrRoutingConfig == nil && s.HealthCheckId == nil && s.TrafficPolicyInstanceId == nil
}

func unsupportedSet(s types.ResourceRecordSet) error {
	if s.AliasTarget != nil {
		return failure(Unsupported, nil, "an alias of Route 53 to an AWS resource stands at the name: remove it, or have its owner publish the record")
	}
	return failure(Unsupported, nil, "records with a routing policy of Route 53 (weighted, latency or another) stand at the name: replace them by one simple record, or have their owner publish it")
}

func targetOf(s types.ResourceRecordSet) string {
	switch {
	case s.AliasTarget != nil:
		return nameOfRoute53(aws.ToString(s.AliasTarget.DNSName))
	case len(s.ResourceRecords) > 0:
		return nameOfRoute53(aws.ToString(s.ResourceRecords[0].Value))
	default:
		return "an unknown name"
	}
}

// recordsOf keeps each value as it came in the Handle: so what is not ours goes back character by
// character.
func recordsOf(s types.ResourceRecordSet) ([]Record, error) {
	var records []Record
	for _, r := range s.ResourceRecords {
		handle := aws.ToString(r.Value)
		value, err := valueOfRoute53(string(s.Type), handle)
		if err != nil {
			return nil, failure(Unsupported, err, "a record that cannot be read stands at the name: correct or remove it")
		}
		records = append(records, Record{Value: value, Handle: handle})
	}
	slices.SortFunc(records, compareRecords)
	return records, nil
}

func valueOfRoute53(recordType, raw string) (string, error) {
	switch recordType {
	case TypeTXT:
		return unquoteRoute53(raw)
	case TypeCNAME:
		return nameOfRoute53(raw), nil
	default:
		addr, err := netip.ParseAddr(raw)
		return addr.String(), err
	}
}
