//go:build unix

package lifecycle_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/extension/lifecycle"
)

// TestDisinherit: what another program has locked is not kept locked by the one that it
// started.
func TestDisinherit(t *testing.T) {
	if os.Getenv("ROLLCALL_TEST_INHERITS") != "" {
		own, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		if err := lifecycle.Disinherit(); err != nil {
			t.Error(err)
		}
		if _, err := unix.FcntlInt(3, unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) && own.Fd() != 3 {
			t.Errorf("the inherited file is open: %v", err)
		}
		if err := errors.Join(own.Close(), os.Stderr.Sync()); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
			t.Errorf("its own files: %v", err)
		}
		if _, err := os.ReadDir(t.TempDir()); err != nil {
			t.Error(err)
		}
		return
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "osqueryd.pidfile"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestDisinherit$", "-test.v")
	cmd.Env = append(os.Environ(), "ROLLCALL_TEST_INHERITS=1")
	cmd.ExtraFiles = []*os.File{f}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
