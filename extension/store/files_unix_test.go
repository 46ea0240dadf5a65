//go:build unix

package store_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/extension/store"
)

// TestWhatIsNotOursIsRefused puts things in the place of the directory and its files.
func TestWhatIsNotOursIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    string
	}{
		"directory of others":  {func(t *testing.T, dir string) { chmod(t, dir, 0o777) }, "others can write"},
		"directory of a group": {func(t *testing.T, dir string) { chmod(t, dir, 0o770) }, "others can write"},
		"directory is a link": {func(t *testing.T, dir string) {
			must(t, os.Rename(dir, dir+"2"))
			must(t, os.Symlink(dir+"2", dir))
		}, "not a directory"},
		"directory is a file": {func(t *testing.T, dir string) {
			must(t, os.Remove(dir))
			must(t, os.WriteFile(dir, nil, 0o600))
		}, "not a directory"},
		"database is a link": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(dir+".target", []byte("keep"), 0o600))
			must(t, os.Symlink(dir+".target", filepath.Join(dir, store.FileName)))
		}, "create the database"},
		"database is a pipe": {func(t *testing.T, dir string) {
			must(t, unix.Mkfifo(filepath.Join(dir, store.FileName), 0o600))
		}, "not a regular file"},
		"database is a directory": {func(t *testing.T, dir string) {
			must(t, os.Mkdir(filepath.Join(dir, store.FileName), 0o700))
		}, "create the database"},
		"lock is a link": {func(t *testing.T, dir string) {
			must(t, os.Symlink(dir+".target", filepath.Join(dir, "rollcall.lock")))
		}, "open the lock file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			must(t, os.Mkdir(dir, 0o700))
			c.prepare(t, dir)
			done := make(chan error, 1)
			go func() {
				s, err := store.Open(context.Background(), dir)
				if err == nil {
					_ = s.Close()
				}
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
			case <-time.After(time.Minute):
				t.Fatal("it waits")
			}
			if data, err := os.ReadFile(dir + ".target"); err == nil && string(data) != "keep" {
				t.Errorf("the link's target was written: %q", data)
			}
		})
	}
}

func TestAnotherUsersDatabaseIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: files of other users, which only root can make")
	}
	for _, what := range []string{"", store.FileName} {
		dir := filepath.Join(t.TempDir(), "state")
		must(t, os.Mkdir(dir, 0o700))
		path := filepath.Join(dir, what)
		if what != "" {
			must(t, os.WriteFile(path, nil, 0o600))
		}
		must(t, os.Chown(path, 65534, 65534))
		s, err := store.Open(context.Background(), dir)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "belongs to uid 65534") {
			t.Errorf("%s of another user: %v", path, err)
		}
	}
}

// TestAnOpenDatabaseIsMadePrivate: one that others could read becomes ours alone.
func TestAnOpenDatabaseIsMadePrivate(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir, 0o755)
	path := filepath.Join(dir, store.FileName)
	must(t, os.WriteFile(path, nil, 0o600))
	chmod(t, path, 0o644)
	s := open(t, dir)
	defer s.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	must(t, os.Chmod(path, mode)) // the umask does not apply
}
