//go:build !linux

package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Other systems have no systemd: this serves a copy of a Linux host's files, which
// nobody else writes meanwhile.

func local(p string) string { return filepath.FromSlash(p) }

func lstat(p string) (Info, error) {
	st, err := os.Lstat(local(p))
	if err != nil {
		return Info{}, err
	}
	return fromStat(st), nil
}

func fromStat(st os.FileInfo) Info {
	i := Info{Size: st.Size(), Mode: uint32(st.Mode().Perm()), MTime: st.ModTime().UnixNano()}
	switch m := st.Mode(); {
	case m.IsDir():
		i.Mode |= modeDir
	case m.IsRegular():
		i.Mode |= modeReg
	case m&os.ModeSymlink != 0:
		i.Mode |= modeLink
	case m&os.ModeCharDevice != 0:
		i.Mode |= modeChar
	}
	if st.Mode()&os.ModeSticky != 0 {
		i.Mode |= sticky
	}
	return i
}

func readlink(p string) (string, error) {
	s, err := os.Readlink(local(p))
	return filepath.ToSlash(s), err
}

func readFile(root, p string, limit int) ([]byte, Info, bool, error) {
	f, err := os.Open(local(root + p))
	if err != nil {
		return nil, Info{}, false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, Info{}, false, err
	}
	if !st.Mode().IsRegular() {
		return nil, fromStat(st), false, fmt.Errorf("%s: %w", p, ErrNotRegular)
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, Info{}, false, err
	}
	if len(b) > limit {
		return b[:limit], fromStat(st), true, nil
	}
	return b, fromStat(st), false, nil
}

func openFile(root, p string) (*os.File, error) { return os.Open(local(root + p)) }

func readDir(root, p string, limit int) ([]Entry, bool, error) {
	d, err := os.Open(local(root + p))
	if err != nil {
		return nil, false, err
	}
	defer d.Close()
	some, err := d.ReadDir(limit + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	all := make([]Entry, 0, len(some))
	for _, e := range some {
		t := e.Type()
		all = append(all, Entry{Name: e.Name(), Dir: t.IsDir(), Link: t&os.ModeSymlink != 0, File: t.IsRegular()})
	}
	if len(all) > limit {
		return all[:limit], true, nil
	}
	return all, false, nil
}

func hasAccessList(string) bool { return false }

func remoteMounts() map[string]string { return nil }
