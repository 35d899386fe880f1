package dnsprovider

import (
	"context"
	"net/http"
)

// cloudflareBatch is one transaction. Cloudflare carries it out in this order, and nothing of it
// if anything fails
// (https://developers.cloudflare.com/dns/manage-dns-records/how-to/batch-record-changes).
type cloudflareBatch struct {
	Deletes []cloudflareDraft `json:"deletes,omitempty"`
	Patches []cloudflareDraft `json:"patches,omitempty"`
	Posts   []cloudflareDraft `json:"posts,omitempty"`
}

// cloudflareDraft is a record to delete, with its id alone; to edit, with the fields that change;
// or to make.
type cloudflareDraft struct {
	ID      string `json:"id,omitempty"`
	Type    string `json:"type,omitempty"`
	Name    string `json:"name,omitempty"`
	Content string `json:"content,omitempty"`
	TTL     int    `json:"ttl,omitempty"`
	Proxied *bool  `json:"proxied,omitempty"` // false where Cloudflare's own address could be served in place of ours
}

// order is what a unit of changes comes to: whole in one batch or not at all.
type order struct {
	unit []int // the changes
	key  Key
	cloudflareBatch
}

func (o order) size() int { return len(o.Deletes) + len(o.Patches) + len(o.Posts) }

// orderOf puts together what a unit comes to. Cloudflare deletes before it makes, so a CNAME and addresses
// change places within a batch.
func (z *cloudflareZone) orderOf(unit []int, changes []Change) (order, error) {
	whole := order{unit: unit, key: changes[unit[0]].Seen.Key}
	for _, i := range unit {
		o, err := z.order(changes[i])
		if err != nil {
			return order{}, err
		}
		whole.Deletes, whole.Patches, whole.Posts = append(whole.Deletes, o.Deletes...), append(whole.Patches, o.Patches...), append(whole.Posts, o.Posts...)
	}
	if whole.size() > z.batchSize {
		return order{}, failure(Invalid, nil, "the change is of more records than one batch can hold (%d): make it in steps", z.batchSize)
	}
	return whole, nil
}

// order turns records to remove and values to add into edits in place, as far as there are both:
// an edit is neither two records for a moment nor none. What is left over is deleted or made.
//
// The TTL is Change.TTL where the RRset is new or ours alone. Beside records that stay, an edited
// record keeps its TTL, and a new one gets that of the others.
func (z *cloudflareZone) order(change Change) (order, error) {
	o := order{key: change.Seen.Key}
	if err := o.key.check(z.apex); err != nil {
		return order{}, err
	}
	if err := change.check(); err != nil {
		return order{}, err
	}
	if o.key.Type == TypeCNAME && change.Seen.Shared && len(change.Seen.Records) == 0 {
		return order{}, notBeside()
	}

	ttl, err := cloudflareTTL(change.TTL)
	edited := ttl
	if change.keepsSome() && err == nil {
		ttl, err = cloudflareTTL(change.Seen.TTL)
		edited = 0 // left out
	}
	if err != nil {
		return order{}, err
	}
	var proxied *bool
	if o.key.Type != TypeTXT {
		proxied = new(bool)
	}

	for i, value := range change.Add {
		content, err := cloudflareContent(o.key.Type, value)
		if err != nil {
			return order{}, err
		}
		if i >= len(change.Remove) {
			o.Posts = append(o.Posts, cloudflareDraft{Type: o.key.Type, Name: cloudflareName(o.key.Name), Content: content, TTL: ttl, Proxied: proxied})
			continue
		}
		id, err := cloudflareID(change.Remove[i].Handle)
		if err != nil {
			return order{}, err
		}
		o.Patches = append(o.Patches, cloudflareDraft{ID: id, Content: content, TTL: edited, Proxied: proxied})
	}
	for _, r := range change.Remove[min(len(change.Add), len(change.Remove)):] {
		id, err := cloudflareID(r.Handle)
		if err != nil {
			return order{}, err
		}
		o.Deletes = append(o.Deletes, cloudflareDraft{ID: id})
	}
	return o, nil
}

// maxSplits bounds how often one Apply halves a batch, for two calls each time. One bad change
// among 200 is found with 8.
const maxSplits = 20

// delivery is one Apply on its way.
type delivery struct {
	zone   *cloudflareZone
	ctx    context.Context
	zoneID string
	splits int   // that it may still make
	halt   error // why no more is sent
	errs   []error
}

// deliver sends the orders in as few batches as they fit into.
func (d *delivery) deliver(orders []order) {
	d.zoneID, d.halt = d.zone.find(d.ctx)
	for len(orders) > 0 {
		size, n := 0, 0
		for n < len(orders) && size+orders[n].size() <= d.zone.batchSize {
			size += orders[n].size()
			n++
		}
		d.send(orders[:n])
		orders = orders[n:]
	}
}

// send sends one batch. If Cloudflare refuses it for what it holds, nothing of it was applied,
// and each half is sent by itself: so what is bad is found, and the rest is done. After any other
// failure nothing more is sent, as it would fail as well, or on a base that nobody knows.
func (d *delivery) send(part []order) {
	if d.halt != nil {
		d.fail(part, d.halt)
		return
	}
	a, err := d.zone.batch(d.ctx, d.zoneID, part)
	if err == nil {
		return
	}
	switch KindOf(err) {
	case Refused, Changed:
		if half := len(part) / 2; half > 0 && len(a.codes()) > 0 {
			if d.splits == 0 {
				err = failure(Refused, err, "Cloudflare refuses it or something sent with it (%v), and so much else that the search was given up", a)
				break
			}
			d.splits--
			d.send(part[:half])
			d.send(part[half:])
			return
		}
	case UnknownOutcome:
		d.halt = failure(Unreachable, err, "not sent, as it is not known what became of a change before it")
	default:
		d.halt = err
	}
	d.fail(part, err)
}

func (d *delivery) fail(part []order, err error) {
	for _, o := range part {
		for _, i := range o.unit {
			d.errs[i] = err
		}
	}
}

// batch makes the call.
func (z *cloudflareZone) batch(ctx context.Context, zoneID string, part []order) (*cloudflareAnswer, error) {
	var all cloudflareBatch
	var key Key
	for _, o := range part {
		all.Deletes = append(all.Deletes, o.Deletes...)
		all.Patches = append(all.Patches, o.Patches...)
		all.Posts = append(all.Posts, o.Posts...)
	}
	if len(part) == 1 {
		key = part[0].key
	}
	a, err := z.call(ctx, http.MethodPost, "/zones/"+zoneID+"/dns_records/batch", nil, all)
	if err == nil && a.succeeded() {
		return a, nil
	}
	return a, z.remember(z.unwritten(a, err, key))
}
