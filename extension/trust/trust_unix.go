//go:build unix

package trust

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// User reports whether a user's things are root's or our own.
func User(uid uint32) bool { return uid == 0 || int64(uid) == int64(os.Geteuid()) }

func owned(info os.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && !User(st.Uid) {
		return fmt.Errorf("it belongs to uid %d, must be root's", st.Uid)
	}
	return nil
}

func opened(_ *os.File, info os.FileInfo) error {
	if err := owned(info); err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others can write to it (mode %v); chmod go-w", info.Mode().Perm())
	}
	return nil
}

// OwnDir makes sure that a directory for our own files exists, is no link, and that only
// its owner, root or ourselves, can change what is in it. mine tells what names our files
// have: on Windows, where a new directory inherits whatever the one above allows, one that
// holds nothing else is made ours alone.
func OwnDir(path string, _ func(name string) bool) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	d, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return ErrNoDir
	}
	if err != nil {
		return err
	}
	defer d.Close()
	return Dir(d)
}

// OwnFile opens a file of our own for reading and writing and makes it if need be. It
// follows no link, refuses what is not a regular file or not ours or root's, and lets
// nobody else read what it opened.
func OwnFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := private(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func private(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return ErrNoFile
	}
	if err := owned(info); err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return fmt.Errorf("make it private: %w", err)
		}
	}
	return nil
}
