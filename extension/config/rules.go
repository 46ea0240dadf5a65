package config

import (
	"errors"
	"io/fs"
	"os"

	"github.com/osquery-rollcall/rollcall/extension/trust"
)

// Rules is a directory of the user's rules. It cannot be left by links, and every
// file in it is looked at when it is opened: what others can write is refused, file
// by file, so that one mistake does not switch off all rules.
type Rules struct {
	root *os.Root
}

// OpenRules opens a directory that only its owner, root or ourselves, can write.
func OpenRules(dir string) (*Rules, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if err := trustedRoot(root); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Rules{root}, nil
}

// trustedRoot checks the directory that is open, not whatever has its name now.
func trustedRoot(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return trust.Dir(d)
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

// trusted checks files and directories alike.
func trusted(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return trust.Dir(f)
	}
	return trust.File(f)
}
