//go:build !windows

package files

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPipes opens a folder with a pipe that nobody writes to.
func TestPipes(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "audit.log")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skipf("NOT TESTED: pipes in folders: %v", err)
	}
	write(t, filepath.Join(dir, "b.log"), auditText)
	done := time.AfterFunc(2*time.Minute, func() { panic("opening waits for the pipe") })
	defer done.Stop()
	r, err := Open([]string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := readAll(t, r, 0)["auditlog"]; len(got) != 1 || !strings.Contains(r.Accounts()[0].Notes[0], "special file") {
		t.Errorf("%+v, %+v", got, r.Accounts())
	}
	if _, err := Open([]string{pipe}, Options{}); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a pipe that was named: %v", err)
	}
	if f, err := openRegular(os.OpenFile, pipe); err == nil {
		f.Close()
		t.Error("a file that became a pipe is read")
	}
}

// TestBecomesALink exchanges a file for a link out of the folder after it was found.
func TestBecomesALink(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "a.log"), auditText)
	outside := write(t, filepath.Join(t.TempDir(), "outside"), strings.ReplaceAll(auditText, "list-units", "secret"))
	r, err := Open([]string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, path); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, r, 0)["auditlog"]; len(got) != 0 || r.Accounts()[0].Lost != 1 {
		t.Errorf("%+v, %+v", got, r.Accounts())
	}
}
