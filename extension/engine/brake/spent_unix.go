//go:build unix

package brake

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Spent is the processor time that this process has taken, its own and the kernel's for
// it.
func Spent() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("ask for our own processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
