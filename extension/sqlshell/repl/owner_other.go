//go:build !unix

package repl

import "io/fs"

// owned is true: the place of the history is the account's own by its access
// list.
func owned(fs.FileInfo) bool { return true }
