//go:build unix

package config

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags keep a FIFO from blocking the open.
const openFlags = unix.O_NONBLOCK | unix.O_CLOEXEC

// Trusted checks an open file: regular, of root or ourselves, and not writable by
// others. It looks at the file that is open, not at its name.
func Trusted(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("not a regular file")
	}
	return ownerOnly(info)
}

// TrustedDir checks a directory the same way.
func TrustedDir(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("not a directory")
	}
	return ownerOnly(info)
}

func ownerOnly(info os.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to uid %d, must be root's", st.Uid)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others can write to it (mode %v); chmod go-w", info.Mode().Perm())
	}
	return nil
}
