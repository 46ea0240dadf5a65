package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Rules is a directory of the user's rules. It cannot be left by links, and every
// file in it is looked at when it is opened: what others can write is refused, file
// by file, so that one mistake does not switch off all rules.
type Rules struct {
	root *os.Root
}

// OpenRules opens a directory that only its owner, root or ourselves, can write.
func OpenRules(dir string) (*Rules, error) {
	if err := TrustedDir(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the rules: %w", err)
	}
	return &Rules{root}, nil
}

// Open implements fs.FS.
func (r *Rules) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := r.root.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	if err := trusted(f); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "open", Path: name, Err: err}, f.Close())
	}
	return f, nil
}

// Close ends the use of the directory.
func (r *Rules) Close() error { return r.root.Close() }

// trusted is Trusted for files and directories alike.
func trusted(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return ownerOnly(info)
	}
	return Trusted(f)
}
