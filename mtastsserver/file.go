package mtastsserver

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// Files hold private keys: the owner writes, the pod's group (fsGroup) reads.
	fileMode = 0o640
	dirMode  = 0o750
	// newPrefix begins the name of a file that is not yet in place.
	newPrefix = ".new-"
)

// writeFile puts a file into place for good: it outlives a loss of power.
func writeFile(dir, name string, content []byte) error {
	if err := replaceFile(dir, name, content); err != nil {
		return err
	}
	return syncDir(dir)
}

// replaceFile renames a new, synced file into place. The directory is not synced.
func replaceFile(dir, name string, content []byte) (err error) {
	f, err := os.CreateTemp(dir, newPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Chmod(fileMode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// removeFiles removes the files whose names are to go.
func removeFiles(dir string, gone func(name string) bool) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !gone(f.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// isPathError holds for what the file system refused, and not for what was found in a file.
func isPathError(err error) bool {
	_, refused := errors.AsType[*fs.PathError](err)
	return refused
}
