// Package term writes results for people and for programs: a table, lines, JSON
// and CSV. Values come from what an attacker writes, so nothing in them can
// steer a terminal: control characters, escape sequences, text that runs the
// other way and characters that cannot be seen are shown as escapes.
package term

import (
	"fmt"
	"io"
	"strings"
)

// Writer writes the results of queries, one after another. Begin and End
// enclose each; rows have as many values as there are columns. What was written
// is complete after End: an output that ends early is left as it is, which for
// JSON means that it does not parse.
type Writer interface {
	Begin(cols []string) error
	Row(vals []string) error
	End() error
}

// Options say what the output can show. The zero value suits a file or a pipe;
// Detect finds those of a terminal.
type Options struct {
	// Terminal says that a person is looking.
	Terminal bool
	// Width is the terminal's width in columns; 0 is unlimited.
	Width int
	// Unicode says that the terminal shows UTF-8. Otherwise tables are drawn in
	// ASCII, and table and line escape all that is not ASCII.
	Unicode bool
	// Color allows colours.
	Color bool
}

// The formats of New.
const (
	// Table draws rows with aligned columns. Widths come from the first rows, wide
	// cells are wrapped to fit Width, and what cannot fit at all is written as Line.
	Table = "table"
	// JSON is an array of objects whose values are all strings, NULL an empty one,
	// as osqueryi --json has it. Keys keep the order of the columns; of columns
	// with the same name the last one counts. What is invisible or steers
	// terminals is written as \u escapes; bytes that are no UTF-8 become U+FFFD.
	JSON = "json"
	// CSV is RFC 4180 with a header and line feeds. On a terminal its values are
	// escaped as in a table.
	CSV = "csv"
	// Line writes "column = value" lines and a blank line between rows, as
	// osqueryi --line does.
	Line = "line"
)

// Formats lists the formats of New.
func Formats() []string { return []string{Table, JSON, CSV, Line} }

// New makes a Writer of a format onto w. It fails for a format there is none of.
func New(format string, w io.Writer, opts Options) (Writer, error) {
	switch format {
	case Table:
		return newTable(w, opts), nil
	case JSON:
		return newJSON(w), nil
	case CSV:
		return newCSV(w, opts), nil
	case Line:
		return newLine(w, opts), nil
	}
	return nil, fmt.Errorf("output format %q: it is one of %s", format, strings.Join(Formats(), ", "))
}

// The colours are of the 16 that every terminal has, chosen by its owner.
const (
	sgrReset = "\x1b[0m"
	sgrBold  = "\x1b[1m"
)

// sgr is the colour of a severity, decision or state, or "".
func sgr(word string) string {
	switch word {
	case "critical", "failed", "escalate":
		return "\x1b[1;31m"
	case "high", "supports":
		return "\x1b[31m"
	case "medium", "review", "degraded":
		return "\x1b[33m"
	case "low":
		return "\x1b[36m"
	case "ok", "refutes":
		return "\x1b[32m"
	case "informational", "off", "record", "unknown":
		return "\x1b[2m"
	}
	return ""
}

// Paint colours a word of a severity, decision, verdict or state; any other text
// comes back as it is, as does all when there are no colours. The text is not
// escaped.
func (o Options) Paint(word string) string {
	if c := sgr(word); o.Color && c != "" {
		return c + word + sgrReset
	}
	return word
}

// Bold makes text bold where colours are allowed. The text is not escaped.
func (o Options) Bold(text string) string {
	if !o.Color || text == "" {
		return text
	}
	return sgrBold + text + sgrReset
}

// paintColumn reports whether the words in a column are coloured.
func (o Options) paintColumn(name string) bool {
	if !o.Color {
		return false
	}
	switch name {
	case "severity", "level", "decision", "state", "verdict":
		return true
	}
	return false
}

// Visible is s on one line and safe for the terminal: what it cannot show or
// should not obey is written as an escape.
func (o Options) Visible(s string) string { return visible(s, o.Unicode) }
