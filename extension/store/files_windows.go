package store

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"

	"github.com/osquery-rollcall/rollcall/extension/trust"
)

// fileLock keeps a second writer out for as long as the process lives.
type fileLock struct{ f *os.File }

func acquire(path string) (*fileLock, error) {
	f, err := trust.OwnFile(path)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	var o windows.Overlapped
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &o)
	if err != nil {
		_ = f.Close()
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	return &fileLock{f}, nil
}

func (l *fileLock) release() error { return l.f.Close() }
