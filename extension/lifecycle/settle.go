package lifecycle

import "runtime/debug"

// Settle gives back what was needed for a while: the heap in which rules were compiled and
// the host was looked at for the first time, and the pages of the program that did it or
// anything else that is rare; they come one by one, and in hours nearly all of it would be
// resident. osquery's watchdog counts both. What turns out to be needed comes back from
// the page cache by itself.
func Settle() error {
	debug.FreeOSMemory()
	return releaseProgram()
}
