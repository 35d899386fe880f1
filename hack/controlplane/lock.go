package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lock takes the lock file, and waits as long as another process holds it. The system lets go
// of it when its holder ends, however that comes about.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	unlock = func() { file.Close() }
	if err = tryLock(file); errors.Is(err, syscall.EWOULDBLOCK) {
		defer heartbeat(say, "waiting for another run to finish", "as long as that builds")()
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for errors.Is(err, syscall.EWOULDBLOCK) {
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-ticker.C:
				err = tryLock(file)
			}
		}
	}
	if err != nil {
		unlock()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return unlock, nil
}

func tryLock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
