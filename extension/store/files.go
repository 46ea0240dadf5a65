package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// createPrivate makes sure that the database file exists, is a regular file of
// ours and is not readable by others, before SQLite opens it by name.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at the database: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if err := ownedByUs(info); err != nil {
		return fmt.Errorf("refuse %s: %w", path, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return fmt.Errorf("make the database private: %w", err)
		}
	}
	return nil
}

// secureDir makes sure that the state directory exists and that only its owner,
// who is us or root, can write to it.
func secureDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at the state directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("state directory %s is not a directory", dir)
	}
	if err := ownedByUs(info); err != nil {
		return fmt.Errorf("refuse state directory %s: %w", dir, err)
	}
	if othersWrite(info) {
		return fmt.Errorf("refuse state directory %s: others can write to it (mode %v); chmod 0700 it", dir, info.Mode().Perm())
	}
	return nil
}

// setAside renames a database that cannot be used, with its companions, to a name
// that is free, and returns that.
func setAside(path string, now time.Time) (string, error) {
	aside := fmt.Sprintf("%s.corrupt-%d", path, now.Unix())
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
		aside = fmt.Sprintf("%s.corrupt-%d-%d", path, now.Unix(), n)
	}
	for _, ext := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+ext, aside+ext); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return aside, nil
}
