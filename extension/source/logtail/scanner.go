package logtail

import (
	"bytes"
	"io"
)

const (
	// maxLine bounds a line, in bytes. The longest of use are those of apt about an
	// upgrade of everything; an audit record has 8 KiB.
	maxLine = 1 << 20
	// firstBuffer is what most lines fit into.
	firstBuffer = 64 << 10
)

// scanner finds the lines of a log. It keeps what stands before the line that
// comes next, as far as tailSize, and passes lines by that are too long.
type scanner struct {
	r        io.Reader
	buf      []byte
	from, to int   // what has been read of the file and is no line yet
	seen     int   // up to there is no end of a line
	off      int64 // in the file, of from
	skip     bool  // within a line that is too long
	dropped  int64 // lines that were too long
	consumed bool
}

// newScanner reads from r, which stands at off in the file, into buf.
func newScanner(r io.Reader, buf []byte, off int64, skip bool) *scanner {
	if cap(buf) == 0 {
		buf = make([]byte, firstBuffer)
	}
	return &scanner{r: r, buf: buf[:cap(buf)], off: off, skip: skip}
}

// next returns the next line without its end, and where it begins. It is valid
// until the next call. The error is the reader's; io.EOF says that there is no
// whole line left.
func (s *scanner) next() (line []byte, at int64, err error) {
	for {
		// What a program leaves that goes on writing where it was in a file that was
		// truncated, or a file system that lost what was written.
		if n := zeros(s.buf[s.from:s.to]); n > 0 && !s.skip {
			s.advance(s.from + n)
		}
		if i := bytes.IndexByte(s.buf[s.seen:s.to], '\n'); i >= 0 {
			line, at = s.buf[s.from:s.seen+i], s.off
			s.advance(s.seen + i + 1)
			if s.skip {
				s.skip = false
				s.dropped++
				continue
			}
			return line, at, nil
		}
		s.seen = s.to
		if s.from < s.to && (s.skip || s.to-s.from > maxLine) {
			s.skip = true
			s.advance(s.to)
		}
		if err := s.fill(); err != nil {
			return nil, 0, err
		}
	}
}

// advance takes what is before the place in the buffer for read.
func (s *scanner) advance(to int) {
	s.off += int64(to - s.from)
	s.from, s.seen = to, max(s.seen, to)
	s.consumed = true
}

// zeros counts the zero bytes that b begins with.
func zeros(b []byte) int {
	if len(b) == 0 || b[0] != 0 {
		return 0
	}
	return len(b) - len(bytes.TrimLeft(b, "\x00"))
}

// rest returns the last line of a file that has no end.
func (s *scanner) rest() (line []byte, at int64) {
	line, at = s.buf[s.from:s.to], s.off
	if s.from < s.to {
		s.advance(s.to)
	}
	if s.skip {
		s.skip = false
		s.dropped++
		return nil, at
	}
	return line, at
}

// tail is what was read last, as much of it as identifies a position.
func (s *scanner) tail() []byte { return s.buf[max(0, s.from-tailSize):s.from] }

func (s *scanner) fill() error {
	if keep := max(0, s.from-tailSize); keep > 0 && len(s.buf)-s.to < firstBuffer/2 {
		copy(s.buf, s.buf[keep:s.to])
		s.from, s.to, s.seen = s.from-keep, s.to-keep, s.seen-keep
	}
	if s.to == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.to:])
		s.to += n
		switch {
		case n > 0:
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}
