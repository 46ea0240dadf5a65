package systemd

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

const maxWords = 1024 // of one command

var errQuoting = errors.New("unbalanced quoting")

// command is one command of an Exec setting before its program was looked for.
type command struct {
	prefixes string
	words    []string // the program first
}

// commands splits the value of an Exec setting as systemd does: its prefixes, its
// quotes and escapes, and a semicolon of its own between commands.
func commands(value string) (all []command, err error) {
	rest := value
	for {
		rest = strings.TrimLeft(rest, blanks)
		if rest == "" {
			return all, nil
		}
		first, after, err := word(rest)
		if err != nil {
			return all, err
		}
		var c command
		n := 0
		for n < len(first) && strings.IndexByte("-@:+!|", first[n]) >= 0 {
			n++
		}
		c.prefixes, first = first[:n], first[n:]
		if first == "" {
			return all, errors.New("empty path of a program")
		}
		c.words = append(c.words, first)
		rest = after
		next := false
		for {
			rest = strings.TrimLeft(rest, blanks)
			if rest == "" {
				break
			}
			if rest[0] == ';' && (len(rest) == 1 || strings.IndexByte(blanks, rest[1]) >= 0) {
				rest, next = rest[1:], true
				break
			}
			if strings.HasPrefix(rest, `\;`) && (len(rest) == 2 || strings.IndexByte(blanks, rest[2]) >= 0) {
				c.words, rest = append(c.words, ";"), rest[2:]
				continue
			}
			var w string
			if w, rest, err = word(rest); err != nil {
				return all, err
			}
			if len(c.words) < maxWords {
				c.words = append(c.words, w)
			}
		}
		all = append(all, c)
		if !next || len(all) == maxWords {
			return all, nil
		}
	}
}

// word takes one word off s, without its quotes, its C escapes undone. An escape
// systemd doesn't know stays as it is written.
func word(s string) (w, rest string, err error) {
	var b strings.Builder
	quote := byte(0)
	i := 0
	for i < len(s) {
		c := s[i]
		switch {
		case c == '\\':
			if i+1 == len(s) {
				return "", "", errQuoting
			}
			text, n := unescape(s[i+1:])
			if n == 0 {
				b.WriteByte('\\')
				i++
				// What follows is an ordinary letter, were it a quote.
				b.WriteByte(s[i])
				i++
				continue
			}
			b.WriteString(text)
			i += 1 + n
			continue
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				b.WriteByte(c)
			}
		case c == '\'' || c == '"':
			quote = c
		case strings.IndexByte(blanks, c) >= 0:
			return b.String(), s[i:], nil
		default:
			b.WriteByte(c)
		}
		i++
	}
	if quote != 0 {
		return "", "", errQuoting
	}
	return b.String(), "", nil
}

// unescape reads what follows a backslash: the text it stands for and how much of
// s it took, 0 for an escape that is none.
func unescape(s string) (string, int) {
	switch s[0] {
	case 'a':
		return "\a", 1
	case 'b':
		return "\b", 1
	case 'f':
		return "\f", 1
	case 'n':
		return "\n", 1
	case 'r':
		return "\r", 1
	case 't':
		return "\t", 1
	case 'v':
		return "\v", 1
	case '\\', '"', '\'':
		return s[:1], 1
	case 's':
		return " ", 1
	case 'x':
		return number(s, 1, 2, 16)
	case 'u':
		return number(s, 1, 4, 16)
	case 'U':
		return number(s, 1, 8, 16)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		return number(s, 0, 3, 8)
	}
	return "", 0
}

func number(s string, from, digits, base int) (string, int) {
	if len(s) < from+digits {
		return "", 0
	}
	n, err := strconv.ParseUint(s[from:from+digits], base, 32)
	if err != nil || n == 0 {
		return "", 0
	}
	if digits > 3 {
		if n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
			return "", 0
		}
		return string(rune(n)), from + digits
	}
	if n > 255 {
		return "", 0
	}
	return string([]byte{byte(n)}), from + digits
}

// specifiers are the values of a unit's %-specifiers; a missing one stays as it
// is written.
type specifiers map[byte]string

// expand replaces specifiers. whole is false when one was not known.
func (sp specifiers) expand(s string) (text string, whole bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	var b strings.Builder
	whole = true
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if s[i] == '%' {
			b.WriteByte('%')
			continue
		}
		v, ok := sp[s[i]]
		if !ok {
			whole = false
			v = s[i-1 : i+1]
		}
		if b.Len()+len(v) > maxKept {
			return b.String(), false
		}
		b.WriteString(v)
	}
	return b.String(), whole
}
