// Package cputime measures what a test's own work costs, for tests of how cost grows:
// the processor time of their thread, which neither a busy machine nor the tests beside
// them change, as the time on the wall does.
package cputime

import (
	"runtime"
	"time"
)

// Watch is one measurement under way.
type Watch struct{ begun time.Duration }

// Start begins a measurement. The goroutine keeps its thread until Took is called.
func Start() Watch {
	runtime.LockOSThread()
	return Watch{spent()}
}

// Took ends the measurement: what this goroutine has cost since Start.
func (w Watch) Took() time.Duration {
	defer runtime.UnlockOSThread()
	return spent() - w.begun
}
