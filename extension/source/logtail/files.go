package logtail

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	// maxNames bounds the directory of a log, maxRotated the rotated files of it that
	// are looked at.
	maxNames   = 8192
	maxRotated = 512
	// maxExpanded bounds what is expanded of a compressed file, in bytes.
	maxExpanded = 2 << 30
)

var (
	errLink    = errors.New("reached by a link that others than root may place")
	errDamaged = errors.New("a compressed log is damaged, or expands to too much")
)

// opened is a regular file that is open.
type opened struct {
	identity
	file    *os.File
	size    int64
	mtime   time.Time
	ctime   time.Time
	links   uint64
	zipped  bool // to be expanded
	current bool // the log's path names it
}

// open opens a file below the root, which must be a regular one: links are
// followed where root alone can place them.
func (s *Source) open(sc *scene, name string) (*opened, error) {
	// What a rotation puts in its place between the two looks is opened at another
	// try.
	for range 3 {
		r, err := sc.tree.Resolve(name, 0)
		if err != nil {
			return nil, err
		}
		if r.Links > 0 && r.Writable != "" {
			return nil, errLink
		}
		if !r.Info.IsRegular() {
			return nil, fmt.Errorf("it is a %s", r.Info.Kind())
		}
		file, err := os.OpenFile(s.opts.Root+r.Path, openFlags, 0)
		if err != nil {
			return nil, err
		}
		sc.opened = append(sc.opened, file)
		o, err := look(file)
		if err != nil {
			return nil, err
		}
		if o.Dev == r.Info.Dev && o.Ino == r.Info.Ino {
			o.zipped = strings.HasSuffix(name, ".gz")
			return o, nil
		}
	}
	return nil, errors.New("it changes while it is opened")
}

// readAt reads up to n bytes at an offset; fewer where the file ends.
func (o *opened) readAt(off int64, n int) ([]byte, error) {
	b := make([]byte, n)
	got, err := o.file.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:got], nil
}

// line finds the first line that begins behind an offset; 0 and nil are none.
func (o *opened) line(off int64) (at int64, line []byte, err error) {
	s := newScanner(io.NewSectionReader(o.file, off, maxContent), nil, off, off > 0)
	line, at, err = s.next()
	if errors.Is(err, io.EOF) {
		return s.off, nil, nil
	}
	return at, line, err
}

// content is what the file holds, from an offset on.
func (o *opened) content(ctx context.Context, off int64) (io.Reader, error) {
	if !o.zipped {
		return io.NewSectionReader(o.file, off, maxContent), nil
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(io.NewSectionReader(o.file, 0, maxContent), 64<<10))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	r := &expanded{ctx: ctx, r: z, left: maxExpanded}
	if n, err := io.CopyN(io.Discard, r, off); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else if n < off {
		return nil, fmt.Errorf("%w: it ends before what was read of it", errDamaged)
	}
	return r, nil
}

// expanded reads what a compressed file expands to.
type expanded struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

func (e *expanded) Read(b []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	if e.left <= 0 {
		return 0, errDamaged
	}
	n, err := e.r.Read(b[:min(int64(len(b)), e.left)])
	e.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return n, err
}

// rotated is a file that a rotation left beside a log.
type rotated struct {
	identity
	name  string // its path
	mtime int64  // nanoseconds since 1970
	// unread says that it is compressed in a way that is not read.
	unread bool
}

// rotations lists the files that rotations left of a log, the oldest first.
func (sc *scene) rotations(log string) ([]rotated, error) {
	dir, base := path.Split(log)
	names, _, _, err := sc.tree.ReadDir(strings.TrimSuffix(dir, "/"), maxNames)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []rotated
	for _, e := range names {
		ok, unread := isRotation(base, e.Name)
		if !ok || len(out) == maxRotated {
			continue
		}
		r, err := sc.tree.Resolve(dir+e.Name, 0)
		if err != nil || !r.Info.IsRegular() || r.Links > 0 && r.Writable != "" {
			continue
		}
		out = append(out, rotated{identity{r.Info.Dev, r.Info.Ino}, dir + e.Name, r.Info.MTime, unread})
	}
	slices.SortFunc(out, func(a, b rotated) int {
		if a.mtime != b.mtime {
			return int(min(max(a.mtime-b.mtime, -1), 1))
		}
		return strings.Compare(a.name, b.name)
	})
	return out, nil
}

// isRotation reports whether a name is that of a rotated file of a log: with a
// number ("syslog.1", "syslog.2.gz") or a date ("secure-20250601"). unread says that
// it is compressed in a way that is not read.
func isRotation(base, name string) (ok, unread bool) {
	rest, found := strings.CutPrefix(name, base)
	if !found || len(rest) < 2 || rest[0] != '.' && rest[0] != '-' {
		return false, false
	}
	rest = strings.TrimSuffix(rest[1:], ".gz")
	for _, suffix := range []string{".xz", ".bz2", ".zst", ".lz4", ".Z"} {
		if cut, ok := strings.CutSuffix(rest, suffix); ok {
			rest, unread = cut, true
		}
	}
	if rest == "" || len(rest) > 32 || rest[0] < '0' || rest[0] > '9' || strings.Trim(rest, "0123456789-_.T") != "" {
		return false, false
	}
	return true, unread
}
