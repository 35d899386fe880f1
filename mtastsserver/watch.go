package mtastsserver

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// recheck is how many looks a refused manifest is left alone for before it is
// loaded again: its objects may have been repaired meanwhile.
const recheck = 20

// watcher follows the snapshot in a directory.
type watcher struct {
	dir    string
	server *Server
	log    *slog.Logger

	loaded, refused os.FileInfo // the manifest that was last loaded, and last refused
	waits           int         // looks until the refused manifest is loaded again
	problem         string      // what was last logged as wrong; "" when all is well
}

// watch looks for a new manifest every poll until ctx ends, and calls opened once,
// with the first whole snapshot in use.
func (w *watcher) watch(ctx context.Context, poll time.Duration, opened func()) {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		w.look()
		if w.loaded != nil && opened != nil {
			opened()
			opened = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look costs one stat while the manifest stands unchanged.
func (w *watcher) look() {
	info, err := os.Stat(filepath.Join(w.dir, manifestName))
	if err != nil {
		w.complain(err)
		return
	}
	if sameFile(info, w.loaded) {
		w.settle()
		return
	}
	if sameFile(info, w.refused) && w.waits > 0 {
		w.waits--
		return
	}
	previous := w.server.current.Load()
	snapshot, err := loadAfter(w.dir, previous)
	if err != nil {
		w.server.metrics.bad.Inc()
		w.refused, w.waits = info, recheck
		w.complain(err)
		return
	}
	w.server.Use(snapshot)
	w.server.metrics.written.Set(unix(info.ModTime()))
	w.loaded, w.refused, w.problem = info, nil, ""
	w.log.Info("serving a new snapshot", "domains", snapshot.Domains())
}

// complain logs a problem once for as long as it lasts unchanged.
func (w *watcher) complain(err error) {
	if err.Error() == w.problem {
		return
	}
	w.problem = err.Error()
	if w.loaded == nil {
		w.log.Warn("waiting for a complete snapshot", "error", err)
	} else {
		w.log.Error("the snapshot is refused; the last good one stays in use", "error", err)
	}
}

// settle ends a problem that went away by itself.
func (w *watcher) settle() {
	if w.problem != "" {
		w.problem = ""
		w.log.Info("the snapshot in use stands again")
	}
}

// sameFile holds for the same unchanged file; a renamed one has another identity.
func sameFile(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
