package dnsprovider

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

// Limits of one request (API Reference, ChangeResourceRecordSets). UPSERT counts twice; it is not
// used, as it asks for nothing that was there before.
const (
	maxRequestRecords = 1000
	maxRequestChars   = 32000 // of all values
	maxRoute53Text    = 4000  // of one value
)

// Apply sends all changes in one batch, or as few as the limits allow. Route 53 makes all changes of
// a batch or none, and a DELETE that does not name the exact current values is an error: so each
// change is a compare-and-swap. A batch that is refused is sent again in halves, so that one bad
// or outrun change does not stop the others. After an answer that leaves the outcome open, or
// that would be the same for all, nothing more is sent.
func (z *route53Zone) Apply(ctx context.Context, changes ...Change) []error {
	ctx, cancel := context.WithTimeout(ctx, z.timeout)
	defer cancel()

	errs := make([]error, len(changes))
	var edits []edit
	for _, unit := range units(changes) {
		e, err := z.editOf(unit, changes)
		if err == nil && len(e.changes) > 0 {
			edits = append(edits, e)
		}
		for _, i := range unit {
			errs[i] = err
		}
	}
	if len(edits) > 0 {
		w := &writing{zone: z, ctx: ctx, errs: errs}
		w.run(edits)
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = z.complete(err, "update", changes[i].Seen.Key)
		}
	}
	return errs
}

// edit is a unit of changes in the words of Route 53.
type edit struct {
	unit    []int
	key     Key
	changes []types.Change
	records int // ResourceRecord elements
	chars   int // in their values
}

// editOf builds the edit of a unit.
func (z *route53Zone) editOf(unit []int, changes []Change) (edit, error) {
	whole := edit{unit: unit, key: changes[unit[0]].Seen.Key}
	for _, i := range unit {
		e, err := z.editFor(changes[i])
		if err != nil {
			return edit{}, err
		}
		whole.changes = append(whole.changes, e.changes...)
		whole.records, whole.chars = whole.records+e.records, whole.chars+e.chars
	}
	return whole, nil
}

// editFor builds the edit of a change: the whole set as it was seen out, as it shall be in.
func (z *route53Zone) editFor(change Change) (edit, error) {
	if change.Empty() {
		return edit{}, nil
	}
	seen := change.Seen
	if err := z.check(seen.Key); err != nil {
		return edit{}, err
	}
	if seen.Alias != "" {
		return edit{}, failure(Invalid, nil, "an alias to %s occupies the name: remove that CNAME, or have its owner publish the record", seen.Alias)
	}
	if seen.Type == TypeCNAME && len(seen.Records)-len(change.Remove)+len(change.Add) > 1 {
		return edit{}, failure(Invalid, nil, "a name can have one CNAME only")
	}
	for _, r := range change.Remove {
		if !slices.Contains(seen.Records, r) {
			return edit{}, failure(Invalid, nil, "the record to remove is not among those that were seen")
		}
	}

	var was, want []string
	for _, r := range seen.Records {
		if r.Handle == "" {
			return edit{}, failure(Invalid, nil, "a record that was seen has no handle of this provider")
		}
		was = append(was, r.Handle)
		if !slices.Contains(change.Remove, r) {
			want = append(want, r.Handle)
		}
	}
	ttl := change.TTL
	if len(want) > 0 {
		ttl = seen.TTL // records of one RRset have one TTL (RFC 2181 §5.2): the owners of the others chose it
	}
	if ttl < 0 || ttl > maxTTL*time.Second {
		return edit{}, failure(Invalid, nil, "the TTL %v is not between 0 and %d seconds", ttl, maxTTL)
	}
	for _, value := range change.Add {
		raw, err := rawRoute53(seen.Type, value)
		if err != nil {
			return edit{}, err
		}
		if !slices.Contains(want, raw) { // a set holds a value once
			want = append(want, raw)
		}
	}

	if slices.Equal(was, want) && ttl == seen.TTL {
		return edit{}, nil // what shall be added is there
	}
	var e edit
	e.add(types.ChangeActionDelete, seen.Key, seen.TTL, was)
	e.add(types.ChangeActionCreate, seen.Key, ttl, want)
	if e.records > maxRequestRecords || e.chars > maxRequestChars {
		return edit{}, failure(Unsupported, nil, "the record set is too large for Route 53 to change it in one step: remove records that nobody needs")
	}
	return e, nil
}

func (e *edit) add(action types.ChangeAction, key Key, ttl time.Duration, values []string) {
	if len(values) == 0 {
		return
	}
	set := &types.ResourceRecordSet{Name: aws.String(key.Name + "."), Type: types.RRType(key.Type), TTL: aws.Int64(int64(ttl / time.Second))}
	for _, value := range values {
		set.ResourceRecords = append(set.ResourceRecords, types.ResourceRecord{Value: &value})
		e.records++
		e.chars += len(value)
	}
	e.changes = append(e.changes, types.Change{Action: action, ResourceRecordSet: set})
}

// rawRoute53 is the inverse of valueOfRoute53 for a record that we write.
func rawRoute53(recordType, value string) (string, error) {
	record, err := libdns.RR{Type: recordType, Data: value}.Parse()
	if err != nil {
		return "", failure(Invalid, err, "the value %q is not one of a %s record", value, recordType)
	}
	switch record := record.(type) {
	case libdns.TXT:
		if len(value) > maxRoute53Text {
			return "", failure(Invalid, nil, "the text has %d octets, and Route 53 takes no more than %d", len(value), maxRoute53Text)
		}
		return quoteRoute53(record.Text), nil
	case libdns.Address:
		if record.RR().Type != recordType || record.IP.Zone() != "" {
			return "", failure(Invalid, nil, "the value %q is not an address of a %s record", value, recordType)
		}
		return record.IP.String(), nil
	case libdns.CNAME:
		if _, ok := dns.IsDomainName(record.Target); !ok || !plainName(Canonical(record.Target)) {
			return "", failure(Invalid, nil, "the value %q is not a domain name of letters, digits, hyphens and underscores", value)
		}
		return Canonical(record.Target) + ".", nil
	default:
		return "", failure(Invalid, nil, "record type %q is not one of TXT, CNAME, A, AAAA", recordType)
	}
}

// writing is one Apply under way.
type writing struct {
	zone *route53Zone
	ctx  context.Context
	id   string
	errs []error // by index of the change
	stop error   // why nothing more is sent
}

func (w *writing) run(edits []edit) {
	select {
	case w.zone.turn <- struct{}{}:
		defer func() { <-w.zone.turn }()
	case <-w.ctx.Done():
		w.fail(edits, notSent(w.ctx.Err()))
		return
	}
	id, err := w.zone.zoneID(w.ctx)
	if err != nil {
		w.fail(edits, err)
		return
	}
	w.id = id
	for len(edits) > 0 {
		n := fitting(edits)
		w.write(edits[:n])
		edits = edits[n:]
	}
}

// fitting returns how many of the edits one request can carry.
func fitting(edits []edit) int {
	records, chars := 0, 0
	for i, e := range edits {
		records, chars = records+e.records, chars+e.chars
		if records > maxRequestRecords || chars > maxRequestChars || i == route53Changes {
			return i
		}
	}
	return len(edits)
}

// write sends the edits in one request, and in halves if Route 53 declines that.
func (w *writing) write(edits []edit) {
	if w.stop == nil && w.ctx.Err() != nil {
		w.stop = notSent(w.ctx.Err())
	}
	if w.stop != nil {
		w.fail(edits, w.stop)
		return
	}
	err := w.send(edits)
	switch {
	case err == nil:
	case declined(err) && len(edits) > 1:
		half := len(edits) / 2
		w.write(edits[:half])
		w.write(edits[half:])
	case declined(err):
		w.fail(edits, w.zone.declinedChange(err, edits[0].key))
	default:
		err = w.zone.errorOf(err, true)
		w.fail(edits, err)
		switch KindOf(err) {
		case UnknownOutcome:
			w.stop = failure(Unreachable, err, "not sent, as there was no answer to what was sent before")
		case ZoneNotFound:
			w.zone.forgetZone()
			w.stop = err
		default:
			w.stop = err
		}
	}
}

func (w *writing) send(edits []edit) error {
	batch := &types.ChangeBatch{}
	for _, e := range edits {
		batch.Changes = append(batch.Changes, e.changes...)
	}
	return call(w.ctx, func(ctx context.Context) error {
		out, err := w.zone.api.ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: &w.id, ChangeBatch: batch})
		if err == nil && (out.ChangeInfo == nil || aws.ToString(out.ChangeInfo.Id) == "") {
			return errNotTheAPI
		}
		return err
	})
}

func (w *writing) fail(edits []edit, err error) {
	for _, e := range edits {
		for _, i := range e.unit {
			w.errs[i] = err
		}
	}
}

func notSent(cause error) error {
	return failure(Unreachable, cause, "the time was up before anything was sent")
}
