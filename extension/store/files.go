package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/trust"
)

// createPrivate makes sure that the database file exists, is a regular file of
// ours and is not readable by others, before SQLite opens it by name.
func createPrivate(path string) error {
	f, err := trust.OwnFile(path)
	if err != nil {
		return fmt.Errorf("create the database %s: %w", path, err)
	}
	return f.Close()
}

// secureDir makes sure that the state directory exists and that only its owner,
// who is us or root, can write to it.
func secureDir(dir string) error {
	if err := trust.OwnDir(dir, func(name string) bool { return strings.HasPrefix(name, "rollcall.") }); err != nil {
		return fmt.Errorf("refuse state directory %s: %w", dir, err)
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
