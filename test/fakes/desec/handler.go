package desec

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ServeHTTP answers one call, or does what a Fault says. It is called by the listener.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return
	}
	s.mu.Lock()
	s.count(r)
	f := s.fault(r)
	s.mu.Unlock()
	if f.Before != nil {
		f.Before()
	}
	answer := reply{status: f.Status, header: f.Header, raw: f.Body}
	if !f.fails() || f.Apply {
		s.mu.Lock()
		done := s.answer(r, body, f.Lose)
		s.mu.Unlock()
		if !f.fails() {
			answer = done
		}
	}
	if f.After != nil {
		f.After()
	}
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
	case f.Drop:
		panic(http.ErrAbortHandler)
	default:
		answer.write(w, f.Cut)
	}
}

// reply is an answer: a body of JSON, or a raw one.
type reply struct {
	status int
	header http.Header
	body   any
	raw    string
}

func (a reply) write(w http.ResponseWriter, cut bool) {
	content := []byte(a.raw)
	if a.body != nil {
		w.Header().Set("Content-Type", "application/json")
		content, _ = json.Marshal(a.body)
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if cut {
		content = content[:len(content)/2]
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(content)
}

func detail(status int, format string, args ...any) reply {
	return reply{status: status, body: map[string]string{"detail": fmt.Sprintf(format, args...)}}
}

// where returns what a path is about. An RRset at the apex is at "@".
func where(path string) (domain, subname, recordType string, single, ok bool) {
	path, ok = strings.CutPrefix(path, "/api/v1/domains/")
	parts := strings.Split(path, "/")
	switch {
	case ok && len(parts) == 3 && parts[1] == "rrsets" && parts[2] == "":
		return parts[0], "", "", false, true
	case ok && len(parts) == 5 && parts[1] == "rrsets" && parts[2] != "" && parts[4] == "":
		subname = parts[2]
		if subname == "@" {
			subname = ""
		}
		return parts[0], subname, parts[3], true, true
	}
	return "", "", "", false, false
}

func (s *Server) count(r *http.Request) {
	_, _, _, single, ok := where(r.URL.Path)
	switch {
	case !ok:
		s.calls.Others++
	case single:
		s.calls.Singles++
	case r.Method == http.MethodGet:
		s.calls.Lists++
	default:
		s.calls.Bulks++
	}
}

func (s *Server) answer(r *http.Request, body []byte, lose bool) reply {
	if !strings.HasSuffix(r.URL.Path, "/") {
		return reply{status: http.StatusMovedPermanently, header: http.Header{"Location": {r.URL.Path + "/"}}}
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Token ")
	held, known := s.tokens[token]
	if !ok || !known {
		return detail(http.StatusUnauthorized, "Invalid token.")
	}
	name, subname, recordType, single, ok := where(r.URL.Path)
	d := s.domains[name]
	if !ok || d == nil || !slices.Contains(held, name) {
		return detail(http.StatusNotFound, "Not found.")
	}
	if s.cfg.Limits {
		header := http.Header{}
		against, rates := "read "+token, readRates
		if r.Method != http.MethodGet {
			against, rates = "write "+name, writeRates
		}
		if !s.limiter.admit(against, rates, s.cfg.Now(), header) {
			a := detail(http.StatusTooManyRequests, "Request was throttled. Expected available in %s seconds.", header.Get("Retry-After"))
			a.header = header
			return a
		}
	}
	if lose {
		before := slices.Clone(d.rrsets)
		defer func() { d.rrsets = before }()
	}
	switch {
	case single && r.Method == http.MethodGet:
		set, at := d.find(subname, recordType)
		if at < 0 {
			return detail(http.StatusNotFound, "Not found.")
		}
		return reply{status: http.StatusOK, body: d.view(set)}
	case single:
		return detail(http.StatusMethodNotAllowed, "Method %q not allowed here.", r.Method)
	case r.Method == http.MethodGet:
		return s.list(d, r)
	case r.Method == http.MethodPut, r.Method == http.MethodPatch, r.Method == http.MethodPost:
		done := d.bulk(r, body)
		if !lose {
			s.show()
		}
		return done
	default:
		return detail(http.StatusMethodNotAllowed, "Method %q not allowed.", r.Method)
	}
}

// list shows the RRsets, the newest first. More than a page are shown only to who asks for pages.
func (s *Server) list(d *domain, r *http.Request) reply {
	query := r.URL.Query()
	found := []view{}
	for _, set := range slices.Backward(d.rrsets) {
		if query.Has("type") && query.Get("type") != set.Type || query.Has("subname") && query.Get("subname") != set.Subname {
			continue
		}
		found = append(found, d.view(set))
	}
	if len(found) <= s.cfg.PageSize {
		return reply{status: http.StatusOK, body: found}
	}
	at := 0
	if !query.Has("cursor") {
		a := detail(http.StatusBadRequest, "Pagination required. You can query up to %d items at a time (%d total). Please use the `first` page link (see Link header).", s.cfg.PageSize, len(found))
		a.header = http.Header{"Link": {fmt.Sprintf(`<https://desec.io%s?cursor=>; rel="first"`, r.URL.Path)}}
		return a
	}
	if cursor := query.Get("cursor"); cursor != "" {
		if _, err := fmt.Sscanf(cursor, "c%d", &at); err != nil || at < 0 || at > len(found) {
			return detail(http.StatusNotFound, "Invalid cursor")
		}
	}
	end := min(at+s.cfg.PageSize, len(found))
	header := http.Header{}
	if end < len(found) {
		header.Set("Link", fmt.Sprintf(`<https://desec.io%s?cursor=c%d>; rel="next"`, r.URL.Path, end))
	}
	return reply{status: http.StatusOK, body: found[at:end], header: header}
}

func (d *domain) bulk(r *http.Request, body []byte) reply {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return detail(http.StatusUnsupportedMediaType, "Unsupported media type in request.")
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	var requests []request
	if err := decoder.Decode(&requests); err != nil {
		return detail(http.StatusBadRequest, "JSON parse error: %v", err)
	}
	results, err := d.change(r.Method, requests)
	if err != nil {
		return reply{status: http.StatusBadRequest, body: []map[string][]string{{"non_field_errors": {err.Error()}}}}
	}
	views := []view{}
	for _, set := range results {
		views = append(views, d.view(set))
	}
	status := http.StatusOK
	if r.Method == http.MethodPost {
		status = http.StatusCreated
	}
	return reply{status: status, body: views}
}

// view is an RRset as the API shows it.
type view struct {
	Created string   `json:"created"`
	Domain  string   `json:"domain"`
	Subname string   `json:"subname"`
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Records []string `json:"records"`
	TTL     int      `json:"ttl"`
	Touched string   `json:"touched"`
}

func (d *domain) view(set rrset) view {
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Format(time.RFC3339Nano)
	return view{when, d.name, set.Subname, d.absolute(set.Subname) + ".", set.Type, set.Records, set.TTL, when}
}
