package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/secret"
)

// The bounds of what is stored, in bytes: of one text and of a list of texts.
const (
	maxText = 16 << 10
	maxList = 64 << 10
)

// hidden are the characters that change what a person or a terminal sees without
// being seen: controls, marks of direction, separators, blanks of no width.
func hidden(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0:
		return true
	case r < 0x80:
		return false
	}
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// printable escapes hidden characters, so that no result breaks a log line or a
// terminal.
func printable(s string) string {
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case !hidden(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// shown is a text that holds no command line, as it is stored.
func shown(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "..."
	}
	return printable(strings.ToValidUTF8(s, "\ufffd"))
}

// present masks, cuts and cleans a command line for storing.
func present(s string) string {
	cut := len(s) > maxText
	if cut {
		s = s[:maxText]
	}
	s, _ = secret.MaskIn(strings.ToValidUTF8(s, "\ufffd"))
	if cut {
		s += "..."
	}
	return printable(s)
}

// presentAll does so for a list and leaves out what is too much.
func presentAll(list []string) []string {
	out := make([]string, 0, len(list))
	size := 0
	for _, s := range list {
		s = present(s)
		if size += len(s); size > maxList {
			return append(out, "...")
		}
		out = append(out, s)
	}
	return out
}

// Presentable returns texts as they may be shown: secrets masked, control
// characters escaped.
func Presentable(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = present(s)
	}
	return out
}

// jsonText writes v as JSON for a column, < and > as they are: people search for
// them. A value that cannot be written is an empty list.
func jsonText(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "[]"
	}
	s := strings.TrimSuffix(b.String(), "\n")
	if s == "null" {
		return "[]"
	}
	return s
}
