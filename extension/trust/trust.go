// Package trust says whether anybody but the administrators could have changed a file:
// root on Unix; SYSTEM, the administrators and TrustedInstaller on Windows; and the user
// we run as. It looks at the file that is open, never again at its name.
package trust

import (
	"errors"
	"os"
)

// ErrNoFile says that something is no regular file, ErrNoDir that it is no directory.
var (
	ErrNoFile = errors.New("not a regular file")
	ErrNoDir  = errors.New("not a directory")
)

// File checks an open file: a regular one that only its owner, root or ourselves, can
// change.
func File(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return ErrNoFile
	}
	return opened(f, info)
}

// Dir checks an open directory the same way.
func Dir(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return ErrNoDir
	}
	return opened(f, info)
}
