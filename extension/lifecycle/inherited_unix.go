//go:build unix

package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Disinherit closes the files that whoever started this program left open in it, save for
// standard input, output and error. osqueryd does not mean its pid file for us; but as
// long as somebody has it, it is locked, and no other osqueryd starts. It is to be called
// before anything is opened.
func Disinherit() error {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return fmt.Errorf("look for inherited files: %w", err)
	}
	var errs []error
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= int(os.Stderr.Fd()) {
			continue
		}
		// What this program opens itself is closed when it starts another; what comes from
		// another was not.
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		if err := unix.Close(fd); err != nil {
			errs = append(errs, fmt.Errorf("close the inherited file %d: %w", fd, err))
		}
	}
	return errors.Join(errs...)
}
