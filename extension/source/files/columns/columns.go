// Package columns reads logs that say in their own header what their columns are:
// Zeek's (#fields, split by tabs) and those in W3C's extended format (#Fields,
// split by blanks), such as that of Windows' firewall. It makes rows of them by
// name; what they mean is the business of field maps.
package columns

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

const (
	// maxColumns bounds the columns of a log.
	maxColumns = 256
	// maxValue bounds a value, in bytes; longer ones are cut.
	maxValue = 4096
)

// Table reads one log, line by line.
type Table struct {
	location *time.Location
	split    string
	names    []string
	unset    string
	empty    string
	w3c      bool
	date     int // columns of W3C's time, -1 none
	clock    int
}

// New returns a Table. W3C's times are in location where the log says that they
// are local, and nothing is said by nil.
func New(location *time.Location) *Table {
	if location == nil {
		location = time.UTC
	}
	return &Table{location: location, split: "\t", unset: "-", empty: "(empty)"}
}

// IsHeader reports whether a line begins a log of columns.
func IsHeader(line []byte) bool {
	for _, p := range []string{"#separator ", "#fields\t", "#Fields: ", "#Version: ", "#Software: "} {
		if bytes.HasPrefix(line, []byte(p)) {
			return true
		}
	}
	return false
}

// Line takes a line. ok says that it belongs to the log; row is nil for one of the
// header. The row of a log in W3C's format has its time under "epoch", too, in
// seconds since 1970 UTC.
func (t *Table) Line(line []byte) (row map[string]any, ok bool) {
	if len(line) > 0 && line[0] == '#' {
		t.header(string(line))
		return nil, true
	}
	if len(t.names) == 0 {
		return nil, false
	}
	values := t.values(string(line))
	if len(values) != len(t.names) {
		return nil, false
	}
	row = make(map[string]any, len(values)+1)
	for i, v := range values {
		switch {
		case v == t.unset || v == "":
		case v == t.empty:
			row[t.names[i]] = ""
		case len(v) > maxValue:
			row[t.names[i]] = strings.ToValidUTF8(v[:maxValue], "")
		default:
			row[t.names[i]] = v
		}
	}
	if t.date >= 0 && t.clock >= 0 && t.w3c {
		when, err := time.ParseInLocation(time.DateTime, values[t.date]+" "+values[t.clock], t.location)
		if err != nil || when.Unix() < 0 {
			return nil, false
		}
		row["epoch"] = strconv.FormatInt(when.Unix(), 10)
	}
	return row, true
}

// values splits a line, into as many parts as there are columns and one more.
func (t *Table) values(line string) []string {
	if !t.w3c {
		return strings.SplitN(line, t.split, len(t.names)+1)
	}
	out := strings.Fields(line)
	// The firewall writes fewer values than it names where its last ones are new.
	for len(out) < len(t.names) && len(out) >= len(t.names)-1 && len(out) > 0 {
		out = append(out, "")
	}
	return out
}

func (t *Table) header(line string) {
	switch {
	case strings.HasPrefix(line, "#separator "):
		s := strings.TrimSpace(strings.TrimPrefix(line, "#separator "))
		if code, ok := strings.CutPrefix(s, `\x`); ok {
			if n, err := strconv.ParseUint(code, 16, 8); err == nil {
				s = string([]byte{byte(n)})
			}
		}
		if s != "" && len(s) <= 8 {
			t.split = s
		}
	case strings.HasPrefix(line, "#unset_field"+t.split):
		t.unset = line[len("#unset_field"+t.split):]
	case strings.HasPrefix(line, "#empty_field"+t.split):
		t.empty = line[len("#empty_field"+t.split):]
	case strings.HasPrefix(line, "#fields"+t.split):
		t.w3c = false
		t.name(strings.SplitN(line[len("#fields"+t.split):], t.split, maxColumns+1))
	case strings.HasPrefix(line, "#Fields: "):
		t.w3c = true
		t.name(strings.Fields(line[len("#Fields: "):]))
	}
}

func (t *Table) name(names []string) {
	t.names, t.date, t.clock = nil, -1, -1
	if len(names) > maxColumns {
		return
	}
	for i, n := range names {
		switch n {
		case "date":
			t.date = i
		case "time":
			t.clock = i
		}
	}
	t.names = names
}
