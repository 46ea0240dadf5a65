//go:build unix

package trust_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/trust"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOwnFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	f, err := trust.OwnFile(path)
	must(t, err)
	must(t, trust.File(f))
	must(t, f.Close())
	must(t, os.Chmod(path, 0o666))
	f, err = os.Open(path)
	must(t, err)
	if err := trust.File(f); err == nil || !strings.Contains(err.Error(), "others can write") {
		t.Errorf("a file others can write: %v", err)
	}
	must(t, f.Close())
	f, err = trust.OwnFile(path)
	must(t, err)
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it was not made private: %v, %v", info.Mode(), err)
	}
	must(t, f.Close())
	must(t, os.Symlink(path, path+".link"))
	if _, err := trust.OwnFile(path + ".link"); err == nil {
		t.Error("a link was followed")
	}
	if _, err := trust.OwnFile("/dev/null"); !errors.Is(err, trust.ErrNoFile) {
		t.Errorf("a device: %v", err)
	}
}

func TestOwnDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "state")
	must(t, trust.OwnDir(dir, nil))
	must(t, os.Symlink(dir, dir+".link"))
	if err := trust.OwnDir(dir+".link", nil); !errors.Is(err, trust.ErrNoDir) {
		t.Errorf("a link: %v", err)
	}
	must(t, os.Chmod(dir, 0o777))
	if err := trust.OwnDir(dir, nil); err == nil || !strings.Contains(err.Error(), "others can write") {
		t.Errorf("a directory others can write: %v", err)
	}
	d, err := os.Open(dir)
	must(t, err)
	defer d.Close()
	if err := trust.File(d); !errors.Is(err, trust.ErrNoFile) {
		t.Errorf("a directory for a file: %v", err)
	}
}
