package cloudflare

import (
	"net/http"
	"slices"
)

// draft is a record as a caller sends it. What is absent keeps its value in a PATCH and takes its
// default elsewhere.
type draft struct {
	ID       string   `json:"id"`
	Type     *string  `json:"type"`
	Name     *string  `json:"name"`
	Content  *string  `json:"content"`
	TTL      *int     `json:"ttl"`
	Proxied  *bool    `json:"proxied"`
	Priority *int     `json:"priority"`
	Comment  *string  `json:"comment"`
	Tags     []string `json:"tags"`
}

func (d draft) over(r Record) Record {
	set(&r.Type, d.Type)
	set(&r.Name, d.Name)
	set(&r.Content, d.Content)
	set(&r.TTL, d.TTL)
	set(&r.Proxied, d.Proxied)
	set(&r.Comment, d.Comment)
	if d.Priority != nil {
		r.Priority = d.Priority
	}
	return r
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// batch is the body of POST .../batch:
// https://developers.cloudflare.com/dns/manage-dns-records/how-to/batch-record-changes
type batch struct {
	Deletes []draft `json:"deletes"`
	Patches []draft `json:"patches"`
	Puts    []draft `json:"puts"`
	Posts   []draft `json:"posts"`
}

// change carries out a change of a zone's records. path is what follows dns_records.
func (s *Server) change(z *zone, r *http.Request, path []string) answer {
	if r.Method == http.MethodPost && len(path) == 1 && path[0] == "batch" {
		var b batch
		if err := decode(r, &b); err != nil {
			return answer{err: err}
		}
		return s.batch(z, b)
	}
	if r.Method == http.MethodDelete && len(path) == 1 {
		return single(s.delete(z, path[0]))
	}
	var d draft
	if err := decode(r, &d); err != nil {
		return answer{err: err}
	}
	switch {
	case r.Method == http.MethodPost && len(path) == 0:
		return single(s.post(z, d))
	case r.Method == http.MethodPatch && len(path) == 1:
		return single(s.patch(z, path[0], d))
	case r.Method == http.MethodPut && len(path) == 1:
		return single(s.put(z, path[0], d))
	default:
		return answer{err: errRoute}
	}
}

func single[T any](result T, err *apiError) answer { return answer{result: result, err: err} }

// batch does all operations in the documented order; the caller takes all back after the first
// that fails.
func (s *Server) batch(z *zone, b batch) answer {
	if n := len(b.Deletes) + len(b.Patches) + len(b.Puts) + len(b.Posts); n == 0 || n > s.cfg.MaxBatch {
		return answer{err: errBody}
	}
	result := map[string][]Record{"deletes": {}, "patches": {}, "puts": {}, "posts": {}}
	for _, step := range []struct {
		name   string
		drafts []draft
		do     func(d draft) (Record, *apiError)
	}{
		{"deletes", b.Deletes, func(d draft) (Record, *apiError) { return s.delete(z, d.ID) }},
		{"patches", b.Patches, func(d draft) (Record, *apiError) { return s.patch(z, d.ID, d) }},
		{"puts", b.Puts, func(d draft) (Record, *apiError) { return s.put(z, d.ID, d) }},
		{"posts", b.Posts, func(d draft) (Record, *apiError) { return s.post(z, d) }},
	} {
		for _, d := range step.drafts {
			r, err := step.do(d)
			if err != nil {
				return answer{err: err}
			}
			result[step.name] = append(result[step.name], r)
		}
	}
	return answer{result: result}
}

func (s *Server) post(z *zone, d draft) (Record, *apiError) {
	if d.Type == nil || d.Name == nil || d.Content == nil {
		return Record{}, errBody
	}
	r := d.over(Record{ID: s.newID(), TTL: autoTTL, CreatedOn: s.cfg.Now(), ModifiedOn: s.cfg.Now()})
	if err := s.check(z, &r); err != nil {
		return Record{}, err
	}
	z.records = append(z.records, r)
	return r, nil
}

// patch changes the fields that are given.
func (s *Server) patch(z *zone, id string, d draft) (Record, *apiError) {
	return s.edit(z, id, func(old Record) Record { return d.over(old) })
}

// put replaces all fields; those not given take their defaults.
func (s *Server) put(z *zone, id string, d draft) (Record, *apiError) {
	if d.Type == nil || d.Name == nil || d.Content == nil {
		return Record{}, errBody
	}
	return s.edit(z, id, func(old Record) Record {
		return d.over(Record{ID: old.ID, TTL: autoTTL, CreatedOn: old.CreatedOn})
	})
}

func (s *Server) edit(z *zone, id string, edited func(old Record) Record) (Record, *apiError) {
	at := z.index(id)
	if at < 0 {
		return Record{}, errNoRecord
	}
	r := edited(z.records[at])
	r.ModifiedOn = s.cfg.Now()
	if err := s.check(z, &r); err != nil {
		return Record{}, err
	}
	z.records[at] = r
	return r, nil
}

func (s *Server) delete(z *zone, id string) (Record, *apiError) {
	at := z.index(id)
	if at < 0 {
		return Record{}, errNoRecord
	}
	r := z.records[at]
	z.records = slices.Delete(z.records, at, at+1)
	return r, nil
}

func (s *Server) check(z *zone, r *Record) *apiError {
	if err := s.validate(z, r); err != nil {
		return err
	}
	return s.canStand(z, *r)
}

func (z *zone) index(id string) int {
	return slices.IndexFunc(z.records, func(r Record) bool { return r.ID == id })
}
