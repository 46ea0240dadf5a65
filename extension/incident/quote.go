package incident

import (
	"strings"
	"unicode"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// plain are the characters that no shell reads as anything but themselves.
func plain(s string) bool {
	if s == "" || s[0] == '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("._-/@:+", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// printable reports whether a text can be put on a command line at all: a line break
// or a control character can't be pasted safely, however it is quoted, and what turns or
// hides the letters around it can't be read before it is.
func printable(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) || r == unicode.ReplacementChar {
			return false
		}
	}
	return true
}

// posix quotes a word for a POSIX shell; ok is false when it can't be pasted.
func posix(s string) (word string, ok bool) {
	switch {
	case !printable(s):
		return "", false
	case plain(s):
		return s, true
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'", true
}

// powershell quotes a word for PowerShell, which takes the typographic quotes for
// quotes too.
func powershell(s string) (word string, ok bool) {
	if !printable(s) {
		return "", false
	}
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		switch r {
		case '\'', '\u2018', '\u2019', '\u201a', '\u201b':
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String(), true
}

// literal quotes a text for SQL.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// command fills the words into a command's holes (%1, %2) for the platform's shell:
// PowerShell on Windows, POSIX elsewhere. What can't be pasted makes no command.
func command(p evidence.Platform, format string, words ...string) string {
	quote := posix
	if p == evidence.Windows {
		quote = powershell
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] == '%' && i+1 < len(format) && '1' <= format[i+1] && int(format[i+1]-'1') < len(words) {
			w, ok := quote(words[format[i+1]-'1'])
			if !ok {
				return ""
			}
			b.WriteString(w)
			i++
			continue
		}
		b.WriteByte(format[i])
	}
	return b.String()
}
