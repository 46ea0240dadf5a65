//go:build !linux

package lifecycle

// releaseProgram has nothing to do where nobody counts those pages as ours.
func releaseProgram() error { return nil }
