// Package cputime measures what a test's own work costs, for tests of how cost grows:
// the processor time of their thread, which neither a busy machine nor the tests beside
// them change, as the time on the wall does.
package cputime

import (
	"runtime"
	"time"
)

// Watch is one measurement under way.
type Watch struct {
	begun time.Duration
	all   bool
}

// Start begins a measurement. The goroutine keeps its thread until Took is called.
func Start() Watch {
	runtime.LockOSThread()
	return Watch{begun: spent()}
}

// StartAll begins a measurement of everything that this process does, for work that is
// handed to other goroutines.
func StartAll() Watch { return Watch{begun: spentByAll(), all: true} }

// Took ends the measurement: what this goroutine has cost since Start, or the process
// since StartAll.
func (w Watch) Took() time.Duration {
	if w.all {
		return spentByAll() - w.begun
	}
	defer runtime.UnlockOSThread()
	return spent() - w.begun
}
