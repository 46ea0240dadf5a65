package sigma

import (
	"fmt"
	"strings"
)

// InvalidError is a file that is not YAML or a rule that the specification does
// not allow.
type InvalidError struct {
	Reason string // one of a small set, fit for grouping
	Detail string // what exactly; may be empty
	Line   int    // from 1; 0 when unknown
	Column int    // in characters from 1; 0 when unknown
}

func (e *InvalidError) Error() string {
	return describe(e.Line, e.Column, e.Reason, e.Detail)
}

// UnsupportedError is a rule that needs a feature of Sigma, past or present,
// that this package does not have.
type UnsupportedError struct {
	Feature string // one of a small set, fit for grouping
	Detail  string // what exactly; may be empty
	Line    int    // from 1; 0 when unknown
	Column  int    // in characters from 1; 0 when unknown
}

func (e *UnsupportedError) Error() string {
	return describe(e.Line, e.Column, "not supported: "+e.Feature, e.Detail)
}

func describe(line, column int, what, detail string) string {
	var b strings.Builder
	if line > 0 {
		fmt.Fprintf(&b, "%d:", line)
		if column > 0 {
			fmt.Fprintf(&b, "%d:", column)
		}
		b.WriteByte(' ')
	}
	b.WriteString(what)
	if detail != "" {
		b.WriteString(": ")
		b.WriteString(clip(detail))
	}
	return b.String()
}

// clip keeps a quotation from a hostile file short.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
