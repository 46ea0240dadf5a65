//go:build !windows

package lifecycle

import (
	"errors"
	"fmt"
	"os"
)

// clearStale removes a socket that nobody serves any more.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s is in the way and not a socket", path)
	}
	return os.Remove(path)
}

// restrict leaves a socket to its owner, whatever the umask was.
func restrict(path string) error { return os.Chmod(path, 0o600) }
