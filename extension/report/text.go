package report

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/extension/cmd/rollcall/term"
)

// The most characters that are shown of one text.
const (
	maxWord    = 160  // a name
	maxEntry   = 300  // of a timeline
	maxLine    = 500  // a command line, a sentence
	maxCommand = 4000 // what somebody pastes, which is useless when it is cut
)

// shown makes a text of the evidence safe to look at: what can't be seen, or changes
// how other characters are seen, is written as an escape. HTML's own escapes are the
// template's work. The rest of a long text is counted.
func shown(s string, most int) string {
	o := term.Options{Unicode: true}
	if len(s) <= most {
		if v := o.Visible(s); len(v) <= most {
			return v
		}
	}
	// As much as there is room for once it is escaped.
	n, room := 0, most
	for n < len(s) {
		_, size := utf8.DecodeRuneInString(s[n:])
		if room -= utf8.RuneCountInString(o.Visible(s[n : n+size])); room < 0 {
			break
		}
		n += size
	}
	if n == len(s) {
		return o.Visible(s)
	}
	return o.Visible(s[:n]) + fmt.Sprintf("\u2026 (%d more characters)", utf8.RuneCountInString(s[n:]))
}

// shownLines is shown for a text of several lines.
func shownLines(s string, most int) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = shown(l, most)
	}
	return strings.Join(lines, "\n")
}

func shownAll(list []string, most int) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = shown(s, most)
	}
	return out
}

// maxTime is the last second of the year 9999.
const maxTime = 253402300799

// sane reports a time that can be one, in seconds since 1970 UTC.
func sane(t int64) bool { return t > 0 && t <= maxTime }

// Moment is a time (seconds since 1970 UTC) for people; a time that is none is
// "unknown".
func Moment(t int64) string {
	if !sane(t) {
		return "unknown"
	}
	return time.Unix(t, 0).UTC().Format("2006-01-02 15:04:05")
}

func clock(t int64) string { return time.Unix(t, 0).UTC().Format("15:04:05") }

func date(t int64) string { return time.Unix(t, 0).UTC().Format("Mon 2 Jan 2006") }

// span is a length of time in its two largest units.
func span(seconds int64) string {
	switch {
	case seconds < 60:
		return fmt.Sprintf("%d s", seconds)
	case seconds < 3600:
		return pair(seconds, 60, "min", "s")
	case seconds < 86400:
		return pair(seconds/60, 60, "h", "min")
	}
	return pair(seconds/3600, 24, "d", "h")
}

func pair(n, each int64, large, small string) string {
	if n%each == 0 || n/each >= 10 {
		return fmt.Sprintf("%d %s", n/each, large)
	}
	return fmt.Sprintf("%d %s %d %s", n/each, large, n%each, small)
}

// many is a number with its noun.
func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
