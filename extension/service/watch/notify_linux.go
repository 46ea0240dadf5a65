package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
)

// The bounds of waiting for changes.
const (
	maxWatches = 4096
	maxReads   = 64 // of 64 KiB each, in one go
)

const watched = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_MODIFY | unix.IN_ATTRIB |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW

// notifier tells whether one of the paths a reader looks at may have changed. It
// watches the directories they lie in, and of each only the names that matter.
type notifier struct {
	root string
	fd   int
	dirs map[string]int32 // directory -> watch
	by   map[int32]*names
	buf  []byte
}

// names are those of a directory that matter.
type names struct {
	all   bool
	names map[string]bool
}

func newNotifier(root string) (*notifier, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("wait for changes of files: %w", err)
	}
	return &notifier{root: strings.TrimRight(root, "/"), fd: fd, dirs: map[string]int32{}, by: map[int32]*names{}, buf: make([]byte, 64<<10)}, nil
}

func (n *notifier) close() error { return unix.Close(n.fd) }

// idle reports whether a path is not worth waiting for: what the kernel makes up,
// whose changes it does not tell, and devices, to which everybody writes all the
// time (a masked unit leads to /dev/null).
func idle(p string, i files.Info) bool {
	for _, d := range []string{"/proc", "/sys", "/dev"} {
		if rest, ok := strings.CutPrefix(p, d); ok && (rest == "" || rest[0] == '/') && rest != "/shm" && !strings.HasPrefix(rest, "/shm/") {
			return true
		}
	}
	return i.Mode != 0 && !i.IsRegular() && !i.IsDir() && !i.IsLink()
}

// sync watches what a reader looked at last, and says how many directories it did
// not watch before: what changed in those meanwhile is not known.
func (n *notifier) sync(looked func(fn func(p string, seen files.Seen))) (added int, err error) {
	want := map[string]*names{}
	at := func(dir string) *names {
		w := want[dir]
		if w == nil {
			w = &names{names: map[string]bool{}}
			want[dir] = w
		}
		return w
	}
	looked(func(p string, seen files.Seen) {
		if idle(p, seen.Info) {
			return
		}
		if seen.Listed {
			at(p).all = true
		}
		if p != "/" && p != "/dev/shm" {
			dir, base := path.Split(p)
			at(path.Clean(dir)).names[base] = true
		}
	})
	if len(want) > maxWatches {
		return 0, fmt.Errorf("wait for changes of files: %d directories, more than are watched", len(want))
	}
	clear(n.by)
	old := n.dirs
	n.dirs = make(map[string]int32, len(want))
	for dir, w := range want {
		// Also what is watched already: another directory may have its name by now.
		d, err := unix.InotifyAddWatch(n.fd, n.root+dir, watched)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EACCES), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENAMETOOLONG):
			continue // a directory above it tells when it comes
		case err != nil:
			n.dirs = old
			return added, fmt.Errorf("wait for changes in %s: %w", dir, err)
		}
		wd := int32(d)
		if have, ok := old[dir]; !ok || have != wd {
			added++
		}
		n.dirs[dir] = wd
		if same := n.by[wd]; same != nil { // one directory by two paths
			same.all = same.all || w.all
			for name := range w.names {
				same.names[name] = true
			}
			continue
		}
		n.by[wd] = w
	}
	for _, wd := range old {
		if n.by[wd] == nil {
			_, _ = unix.InotifyRmWatch(n.fd, uint32(wd)) // it may be gone by itself
		}
	}
	return added, nil
}

// changed takes what happened since the last call and reports whether any of it
// matters.
func (n *notifier) changed() (bool, error) {
	dirty := false
	for range maxReads {
		k, err := unix.Read(n.fd, n.buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return dirty, nil
		case err != nil:
			return true, fmt.Errorf("wait for changes of files: %w", err)
		case k <= 0:
			return dirty, nil
		}
		for b := n.buf[:k]; len(b) >= unix.SizeofInotifyEvent; {
			wd, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
			end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
			if end > len(b) {
				return true, nil
			}
			name := b[unix.SizeofInotifyEvent:end]
			if i := bytes.IndexByte(name, 0); i >= 0 {
				name = name[:i]
			}
			dirty = n.matters(wd, mask, name) || dirty
			b = b[end:]
		}
	}
	return true, nil // there is more than is read in one go
}

func (n *notifier) matters(wd int32, mask uint32, name []byte) bool {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		return true
	}
	if mask&unix.IN_IGNORED != 0 {
		gone := n.by[wd] != nil
		delete(n.by, wd)
		for dir, have := range n.dirs {
			if have == wd {
				delete(n.dirs, dir)
			}
		}
		return gone
	}
	w := n.by[wd]
	if w == nil {
		return false // not watched any more
	}
	return len(name) == 0 || w.all || w.names[string(name)]
}
