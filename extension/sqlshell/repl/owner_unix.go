//go:build unix

package repl

import (
	"io/fs"
	"os"
	"syscall"
)

// owned reports whether this account owns the file.
func owned(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(st.Uid) == int64(os.Geteuid())
}
