// Package logline keeps what is logged on its line: values come from whom they warn of.
package logline

import (
	"bytes"
	"io"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Writer returns a writer that makes one line of each Write, which is what a logger
// writes of one message: what would end the line, or turn or hide what is on it, is
// written as Go writes it in a text ("\n", "\u202e").
func Writer(w io.Writer) io.Writer { return lines{w} }

type lines struct{ w io.Writer }

// Write implements io.Writer.
func (l lines) Write(p []byte) (int, error) {
	if _, err := l.w.Write(append(line(bytes.TrimRight(p, "\n")), '\n')); err != nil {
		return 0, err
	}
	return len(p), nil
}

func line(p []byte) []byte {
	out := make([]byte, 0, len(p)+1)
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		switch {
		case r == utf8.RuneError && n == 1, unicode.IsControl(r) && r != '\t', unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp):
			quoted := strconv.AppendQuoteToASCII(nil, string(p[:n]))
			out = append(out, quoted[1:len(quoted)-1]...)
		default:
			out = append(out, p[:n]...)
		}
		p = p[n:]
	}
	return out
}
