package main

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache", "lock")
	synctest.Test(t, func(t *testing.T) {
		release, err := lock(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}

		impatient, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := lock(impatient, path); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while it is held: got %v, want a time-out", err)
		}

		second := make(chan error)
		go func() {
			release, err := lock(t.Context(), path)
			if err == nil {
				release()
			}
			second <- err
		}()
		synctest.Wait()
		release()
		if err := <-second; err != nil {
			t.Errorf("after it was released: %v", err)
		}
	})
}
