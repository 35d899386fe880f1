package mtastsserver

import (
	"fmt"
	"log/slog"
	"net/http"
)

// logged logs a line for each request. What the client sent is quoted and cut.
func logged(handler http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		handler.ServeHTTP(answer, r)
		log.Info("request", "from", r.RemoteAddr, "host", fmt.Sprintf("%.80q", r.Host), "method", fmt.Sprintf("%.16q", r.Method),
			"path", fmt.Sprintf("%.80q", r.URL.Path), "protocol", r.Proto, "status", answer.status)
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
