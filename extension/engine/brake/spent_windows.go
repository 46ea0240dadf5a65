package brake

import (
	"fmt"
	"time"

	"golang.org/x/sys/windows"
)

// Spent is the processor time that this process has taken, its own and the kernel's for
// it.
func Spent() (time.Duration, error) {
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(windows.CurrentProcess(), &created, &exited, &kernel, &user); err != nil {
		return 0, fmt.Errorf("ask for our own processor time: %w", err)
	}
	ticks := func(t windows.Filetime) int64 { return int64(t.HighDateTime)<<32 | int64(t.LowDateTime) }
	return time.Duration(100 * (ticks(kernel) + ticks(user))), nil
}
