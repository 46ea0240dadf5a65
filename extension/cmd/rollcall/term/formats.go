package term

import (
	"bufio"
	"encoding/csv"
	"io"
	"strings"
	"unicode/utf8"
)

// lineWriter writes one value a line.
type lineWriter struct {
	w    *bufio.Writer
	opts Options

	cols  []string
	paint []bool
	rows  int
}

func newLine(w io.Writer, opts Options) *lineWriter {
	return &lineWriter{w: bufio.NewWriter(w), opts: opts}
}

func (l *lineWriter) Begin(cols []string) error {
	shown, paint := make([]string, len(cols)), make([]bool, len(cols))
	for i, c := range cols {
		shown[i] = l.opts.Visible(c)
		paint[i] = l.opts.paintColumn(c)
	}
	l.begin(shown, paint)
	return nil
}

func (l *lineWriter) Row(vals []string) error {
	row := make([]string, len(l.cols))
	for i := range row {
		if i < len(vals) {
			row[i] = l.opts.Visible(vals[i])
		}
	}
	return l.row(row)
}

func (l *lineWriter) End() error {
	l.end()
	return l.w.Flush()
}

// begin takes columns that are safe to show, padded to the longest, at least 5.
func (l *lineWriter) begin(cols []string, paint []bool) {
	width := 5
	for _, c := range cols {
		width = max(width, Width(c))
	}
	l.cols, l.paint, l.rows = make([]string, len(cols)), paint, 0
	for i, c := range cols {
		l.cols[i] = strings.Repeat(" ", width-Width(c)) + l.opts.Bold(c)
	}
}

func (l *lineWriter) row(row []string) error {
	if l.rows++; l.rows > 1 {
		_ = l.w.WriteByte('\n') // a bufio.Writer repeats its first error
	}
	var err error
	for i, v := range row {
		if l.paint[i] {
			v = l.opts.Paint(v)
		}
		_, err = l.w.WriteString(l.cols[i] + " = " + v + "\n")
	}
	return err
}

func (l *lineWriter) end() {
	if l.rows == 0 && l.opts.Terminal {
		_, _ = l.w.WriteString("(no rows)\n") // Flush tells
	}
}

type csvWriter struct {
	csv  *csv.Writer
	opts Options
	row  []string
}

func newCSV(w io.Writer, opts Options) *csvWriter {
	return &csvWriter{csv: csv.NewWriter(w), opts: opts}
}

func (c *csvWriter) Begin(cols []string) error { return c.Row(cols) }

func (c *csvWriter) Row(vals []string) error {
	if !c.opts.Terminal {
		return c.csv.Write(vals)
	}
	c.row = c.row[:0]
	for _, v := range vals {
		c.row = append(c.row, c.opts.Visible(v))
	}
	return c.csv.Write(c.row)
}

func (c *csvWriter) End() error {
	c.csv.Flush()
	return c.csv.Error()
}

type jsonWriter struct {
	w    *bufio.Writer
	keys []string // encoded; "" for a column that a later one of the name replaces
	from []int    // the column whose value a key has
	rows int
	buf  []byte
}

func newJSON(w io.Writer) *jsonWriter { return &jsonWriter{w: bufio.NewWriter(w)} }

func (j *jsonWriter) Begin(cols []string) error {
	j.keys, j.from, j.rows = j.keys[:0], j.from[:0], 0
	place := make(map[string]int, len(cols))
	for i, c := range cols {
		// Names that differ only in bytes that are no UTF-8 become one.
		key := string(appendJSON(nil, c))
		if p, dup := place[key]; dup {
			j.from[p] = i
			continue
		}
		place[key] = len(j.keys)
		j.keys = append(j.keys, key)
		j.from = append(j.from, i)
	}
	_, err := j.w.WriteString("[\n")
	return err
}

func (j *jsonWriter) Row(vals []string) error {
	j.buf = j.buf[:0]
	if j.rows++; j.rows > 1 {
		j.buf = append(j.buf, ",\n"...)
	}
	j.buf = append(j.buf, "  {"...)
	for i, key := range j.keys {
		if i > 0 {
			j.buf = append(j.buf, ',')
		}
		j.buf = append(append(j.buf, key...), ':')
		v := ""
		if j.from[i] < len(vals) {
			v = vals[j.from[i]]
		}
		j.buf = appendJSON(j.buf, v)
	}
	j.buf = append(j.buf, '}')
	_, err := j.w.Write(j.buf)
	return err
}

func (j *jsonWriter) End() error {
	_, _ = j.w.WriteString("\n]\n") // Flush tells
	return j.w.Flush()
}

// appendJSON appends s as a JSON string that is also safe to look at.
func appendJSON(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', s[i])
		case r >= ' ' && r < 0x7f:
			b = append(b, s[i])
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == utf8.RuneError && size <= 1:
			b = append(b, `\ufffd`...)
		case shown(r):
			b = append(b, s[i:i+size]...)
		case r < 0x10000:
			b = append(append(b, `\u`...), hex(uint64(r), 4)...)
		default:
			r -= 0x10000
			b = append(append(b, `\u`...), hex(uint64(0xd800+r>>10), 4)...)
			b = append(append(b, `\u`...), hex(uint64(0xdc00+r&0x3ff), 4)...)
		}
		i += size
	}
	return append(b, '"')
}
