package files

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

const (
	// maxLine bounds one line, or one object of JSON, in bytes.
	maxLine = 4 << 20
	// maxNesting bounds the objects and lists in each other of JSON that is read.
	maxNesting = 64
)

var errTooLong = fmt.Errorf("longer than %d bytes", maxLine)

// lines reads lines of bounded length.
type lines struct {
	r   *bufio.Reader
	buf []byte
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next line without its end; it is valid until the next call.
// errTooLong says that a line was passed by.
func (l *lines) next() ([]byte, error) {
	l.buf = l.buf[:0]
	long := false
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.buf)+len(part) > maxLine {
			long = true
		} else {
			l.buf = append(l.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(l.buf) == 0 && !long):
			return nil, err
		case long:
			l.buf = nil // give the memory back
			return nil, errTooLong
		}
		line := l.buf
		for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
			line = line[:len(line)-1]
		}
		return line, nil
	}
}

// objects reads the outermost JSON objects of a text, whatever is between them:
// lists, pretty-printed objects, one after another.
type objects struct {
	r   *bufio.Reader
	buf []byte
}

func newObjects(r io.Reader) *objects { return &objects{r: bufio.NewReaderSize(r, 64<<10)} }

func (o *objects) next() ([]byte, error) {
	o.buf = o.buf[:0]
	depth, quoted, escaped, long := 0, false, false, false
	for {
		c, err := o.r.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) && depth > 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if depth == 0 && c != '{' {
			continue
		}
		if len(o.buf) < maxLine {
			o.buf = append(o.buf, c)
		} else {
			long = true
		}
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped = c == '\\'
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				if long {
					o.buf = nil
					return nil, errTooLong
				}
				return o.buf, nil
			}
		}
	}
}

// nesting returns how deep the objects and lists of a JSON text go.
func nesting(b []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted:
			if c == '\\' {
				i++
			}
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}
