package cloudflare

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// apiError is an error as the API answers it.
type apiError struct {
	status  int
	code    int
	message string
	cause   int // code in error_chain; 0: no chain
}

// invalid is a record that fails validation.
func invalid(cause int, message string) *apiError {
	return &apiError{http.StatusBadRequest, 1004, message, cause}
}

var (
	errToken     = &apiError{http.StatusUnauthorized, 10000, "Authentication error", 0}
	errRight     = &apiError{http.StatusForbidden, 9109, "Unauthorized to access requested resource", 0}
	errHeaders   = &apiError{http.StatusBadRequest, 6003, "Invalid request headers", 6111}
	errRoute     = &apiError{http.StatusNotFound, 7003, "Could not route to the resource, perhaps your object identifier is invalid?", 7000}
	errNoRecord  = &apiError{http.StatusNotFound, 81044, "Record does not exist.", 0}
	errBody      = &apiError{http.StatusBadRequest, 9207, "Request body is invalid.", 0}
	errParameter = &apiError{http.StatusBadRequest, 9208, "Query parameter is unknown or invalid.", 0}
	errLimit     = &apiError{http.StatusTooManyRequests, 10100, "Rate limited. Please wait and consider throttling your request speed", 0}
)

type resultInfo struct {
	Page       int `json:"page"`
	PerPage    int `json:"per_page"`
	Count      int `json:"count"`
	TotalCount int `json:"total_count"`
	TotalPages int `json:"total_pages"`
}

const maxBody = 8 << 20

// answer is what a call comes to.
type answer struct {
	result any
	info   *resultInfo
	err    *apiError
}

// ServeHTTP handles one call. It is called by the listener. The state is locked except while hooks run.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/client/v4/"), "/")
	// All of it, or net/http does not notice that a client has gone while its call hangs.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))

	s.mu.Lock()
	s.count(r.Method, path)
	fault := s.fault(r)
	s.mu.Unlock()

	if fault.Before != nil {
		fault.Before()
	}
	var a answer
	if !fault.replaces() {
		s.mu.Lock()
		a = s.call(w.Header(), r, path, fault)
		s.mu.Unlock()
	}
	if fault.After != nil {
		fault.After()
	}
	s.respond(w, r, a, fault)
}

func (s *Server) count(method string, path []string) {
	switch {
	case path[0] != "zones":
		s.calls.Others++
	case method == http.MethodGet && len(path) <= 2:
		s.calls.Zones++
	case method == http.MethodGet && len(path) == 3 && path[2] == "dns_records":
		s.calls.Lists++
	case len(path) == 4 && path[3] == "batch":
		s.calls.Batches++
	default:
		s.calls.Others++
	}
}

// call carries one call out.
func (s *Server) call(header http.Header, r *http.Request, path []string, fault Fault) answer {
	if !s.limiter.admit(s.cfg, header) {
		s.limited++
		return answer{err: errLimit}
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return answer{err: errHeaders}
	}
	rights, ok := s.tokens[token]
	if !ok {
		return answer{err: errToken}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || path[0] != "zones" {
		return answer{err: errRoute}
	}
	if fault.PerPage > 0 && query.Has("per_page") {
		query.Set("per_page", "100") // valid, whatever was asked for
	}
	if len(path) == 1 && r.Method == http.MethodGet {
		return s.listZones(rights, query)
	}
	if len(path) == 1 {
		return answer{err: errRoute}
	}

	z := s.zone(path[1])
	switch {
	case z == nil:
		return answer{err: errRoute}
	case !slices.Contains(rights, z.id):
		return answer{err: errRight}
	case len(path) == 2 && r.Method == http.MethodGet:
		return answer{result: zoneView{z.id, z.name, "active"}}
	case len(path) < 3 || path[2] != "dns_records":
		return answer{err: errRoute}
	case len(path) == 3 && r.Method == http.MethodGet:
		return z.listRecords(s.cfg, query, fault.PerPage)
	}
	before := slices.Clone(z.records)
	a := s.change(z, r, path[3:])
	if fault.Lose || a.err != nil {
		z.records = before
	}
	s.show(z)
	return a
}

// respond sends the answer, or what the fault makes of it.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, a answer, fault Fault) {
	for name, values := range fault.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	switch {
	case fault.Hang:
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
		panic(http.ErrAbortHandler)
	case fault.Drop:
		panic(http.ErrAbortHandler)
	case fault.Status != 0 && fault.Code == 0:
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(fault.Status)
		_, _ = w.Write([]byte("<!DOCTYPE html><title>" + http.StatusText(fault.Status) + "</title><p>Ray ID: 8f1c"))
		return
	case fault.Status != 0:
		a = answer{err: &apiError{fault.Status, fault.Code, "a fault", 0}}
	}

	body := map[string]any{"success": a.err == nil, "errors": []any{}, "messages": []any{}, "result": a.result}
	status := http.StatusOK
	if a.err != nil {
		status = a.err.status
		e := map[string]any{"code": a.err.code, "message": a.err.message}
		if a.err.cause != 0 {
			e["message"] = "DNS Validation Error"
			e["error_chain"] = []any{map[string]any{"code": a.err.cause, "message": a.err.message}}
		}
		body["errors"] = []any{e}
	}
	if a.info != nil && !fault.NoResultInfo {
		body["result_info"] = a.info
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		status, encoded = http.StatusInternalServerError, []byte(err.Error())
	}
	if fault.Malformed {
		encoded = encoded[:len(encoded)/2]
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if fault.Huge {
		_, _ = w.Write(bytes.Repeat([]byte(" "), 64<<20))
	}
	_, _ = w.Write(encoded) // the client is gone, or asks again
}

// decode reads the body of a call. A field that the API does not know is an error.
func decode(r *http.Request, into any) *apiError {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil || !errors.Is(decoder.Decode(&struct{}{}), io.EOF) {
		return errBody
	}
	return nil
}
