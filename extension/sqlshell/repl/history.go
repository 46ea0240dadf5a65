package repl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// maxHistory bounds the history file, in bytes.
const maxHistory = 1 << 20

// HistoryPath is where a person's history is kept: the state directory of the
// platform. It fails when that directory belongs to somebody else, as a home
// does under sudo: root must not write where another account can lay links.
func HistoryPath(getenv func(string) string) (string, error) {
	var base string
	switch runtime.GOOS {
	case "windows":
		base = getenv("LocalAppData")
		if base == "" {
			return "", errors.New("no place for the history: %LocalAppData% is not set")
		}
		return filepath.Join(base, "Rollcall", "history"), nil
	case "darwin":
		base = getenv("HOME")
		if err := ownDirectory(base); err != nil {
			return "", fmt.Errorf("no place for the history: %w", err)
		}
		return filepath.Join(base, "Library", "Application Support", "Rollcall", "history"), nil
	}
	base, sub := getenv("XDG_STATE_HOME"), []string{}
	if !filepath.IsAbs(base) { // the specification has others ignored
		base, sub = getenv("HOME"), []string{".local", "state"}
	}
	if err := ownDirectory(base); err != nil {
		return "", fmt.Errorf("no place for the history: %w", err)
	}
	return filepath.Join(append(append([]string{base}, sub...), "rollcall", "history")...), nil
}

func ownDirectory(dir string) error {
	if !filepath.IsAbs(dir) {
		return errors.New("there is no home directory")
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() || !owned(info) {
		return fmt.Errorf("%s is not a directory of this account's", dir)
	}
	return nil
}

// ReadHistory reads a history file, at most the last of it. A file that is not
// there is empty; one that is no regular file of this account's is refused.
func ReadHistory(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	if !info.Mode().IsRegular() || !owned(info) {
		return nil, fmt.Errorf("read the history: %s is not a regular file of this account's", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) {
		return nil, fmt.Errorf("read the history: %s changed meanwhile", path)
	}
	if info.Size() > maxHistory {
		if _, err := f.Seek(-maxHistory, io.SeekEnd); err != nil {
			return nil, fmt.Errorf("read the history: %w", err)
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxHistory))
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	return data, nil
}

// WriteHistory puts a new history file, readable by its owner alone, in the
// place of the old one.
func WriteHistory(path string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write the history: %w", err)
		}
	}()
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if info, err := os.Lstat(dir); err != nil {
		return err
	} else if !info.IsDir() || !owned(info) {
		return fmt.Errorf("%s is not a directory of this account's", dir)
	}
	f, err := os.CreateTemp(dir, ".history-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
