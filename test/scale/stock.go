package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/maildomain/maildomain-operator/keys"
)

// stock returns a file with at least n rsa keys. What was made before is kept in the user's cache directory, and only what
// is lacking is made: 10,000 keys take two cores a quarter of an hour. They are keys of nobody.
func stock(ctx context.Context, n int) (file string, err error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "maildomain-operator", "scale-keys.pem")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", err
	}
	there, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	lacking := n - bytes.Count(there, []byte("-----BEGIN"))
	if lacking <= 0 {
		return file, nil
	}
	fmt.Printf("Making %d rsa keys for the stock\n", lacking)
	made := make([][]byte, lacking)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range made {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			pair, err := keys.Generate("rsa", keys.MinBits)
			made[i] = pair.Private
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	whole := file + ".new"
	if err := os.WriteFile(whole, append(there, bytes.Join(made, nil)...), 0o600); err != nil {
		return "", err
	}
	return file, os.Rename(whole, file)
}
