package cputime

import (
	"time"

	"golang.org/x/sys/windows"
)

// Exact says that it is the time on the wall that is measured, and of what takes long the
// work of the whole process: neither tells how the cost of something short grows.
const Exact = false

var begin = time.Now()

func spent() time.Duration { return time.Since(begin) }

func spentByAll() time.Duration { return spent() }

// worked is what the process cost, by a clock of 10 to 16 ms.
func worked() time.Duration {
	var created, ended, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(windows.CurrentProcess(), &created, &ended, &kernel, &user); err != nil {
		return spent()
	}
	ticks := func(t windows.Filetime) time.Duration {
		return time.Duration(int64(t.HighDateTime)<<32|int64(t.LowDateTime)) * 100
	}
	return ticks(kernel) + ticks(user)
}
