package lifecycle

import "runtime/debug"

// Settle gives back what the start took and what comes after it does not need: the heap
// in which rules were compiled and the host was looked at for the first time, and the
// pages of the program that did it. osquery's watchdog counts both. What turns out to
// be needed comes back from the page cache by itself.
func Settle() error {
	debug.FreeOSMemory()
	return releaseProgram()
}
