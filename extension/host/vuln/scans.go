package vuln

import (
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// Scans are the files of scans that the user points to. They are read when they are
// first asked for, and again when they change. It is safe for concurrent use.
type Scans struct {
	paths []string
	open  func(path string) (fs.File, error)

	mu   sync.Mutex
	kept map[string]scan
	set  *Set
}

// scan is one file as it was read.
type scan struct {
	modified time.Time
	size     int64
	found    []Finding
	err      error
}

// NewScans returns the scans at paths. open opens one for reading; it is where files
// are refused that others could have written.
func NewScans(paths []string, open func(path string) (fs.File, error)) *Scans {
	return &Scans{paths: paths, open: open, kept: map[string]scan{}, set: NewSet()}
}

// Set is what the scans found, and what is wrong with them, in words. The findings of
// a scan that can't be read any more stay.
func (s *Scans) Set() (*Set, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := false
	var problems []string
	for _, p := range s.paths {
		fresh, err := s.refresh(p)
		changed = changed || fresh
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	if changed {
		lists := make([][]Finding, 0, len(s.paths))
		for _, p := range s.paths {
			lists = append(lists, s.kept[p].found)
		}
		s.set = NewSet(lists...)
	}
	return s.set, problems
}

// refresh reads a scan if it changed.
func (s *Scans) refresh(path string) (changed bool, err error) {
	f, err := s.open(path)
	if err != nil {
		return false, fmt.Errorf("open the scan %s: %w", path, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("open the scan %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("the scan %s is not a regular file", path)
	}
	old, have := s.kept[path]
	if have && old.modified.Equal(info.ModTime()) && old.size == info.Size() {
		return false, old.err
	}
	found, err := Load(path, f)
	if err != nil && len(found) == 0 {
		found = old.found // what was known stays better than nothing
	}
	s.kept[path] = scan{modified: info.ModTime(), size: info.Size(), found: found, err: err}
	return true, err
}
