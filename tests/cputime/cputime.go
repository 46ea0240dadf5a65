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
	begun, work time.Duration
	all         bool
}

// Start begins a measurement. The goroutine keeps its thread until Took is called.
func Start() Watch {
	runtime.LockOSThread()
	return Watch{begun: spent(), work: worked()}
}

// StartAll begins a measurement of everything that this process does, for work that is
// handed to other goroutines.
func StartAll() Watch { return Watch{begun: spentByAll(), work: worked(), all: true} }

// coarse is from where on a coarse clock of work says more than the wall's.
const coarse = 100 * time.Millisecond

// settle takes what the process worked for what a while on the wall cost, where the
// processor's time of a thread is not to be had.
func (w Watch) settle(took time.Duration) time.Duration {
	if Exact || took < coarse {
		return took
	}
	return min(took, worked()-w.work)
}

// Took ends the measurement: what this goroutine has cost since Start, or the process
// since StartAll.
func (w Watch) Took() time.Duration {
	if w.all {
		return w.settle(spentByAll() - w.begun)
	}
	defer runtime.UnlockOSThread()
	return w.settle(spent() - w.begun)
}
