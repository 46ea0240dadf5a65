//go:build windows

package config

import (
	"fmt"
	"os"
)

const openFlags = 0

// Trusted checks an open file: regular. Who may write is for the access list that
// the installer puts on ProgramData\Rollcall.
func Trusted(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("not a regular file")
	}
	return nil
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
	return nil
}

func ownerOnly(os.FileInfo) error { return nil }
