//go:build !linux

package watch

// packagesLocked reports whether a package manager works below root; only Linux
// tells.
func packagesLocked(string) bool { return false }
