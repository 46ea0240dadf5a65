package sqlshell

import "strings"

// Split cuts SQL text into statements, each with the semicolon that ends it and
// whatever blanks and comments come before it. What follows the last semicolon
// is rest. The parts joined are the text again. Quotes, brackets and comments
// are SQLite's; a quote that is never closed reaches to the end, into rest.
func Split(sql string) (stmts []string, rest string) {
	start := 0
	for pos := 0; pos < len(sql); {
		kind, end := token(sql, pos)
		pos = end
		if kind == semicolon {
			stmts = append(stmts, sql[start:pos])
			start = pos
		}
	}
	return stmts, sql[start:]
}

// Blank reports whether text holds nothing to run: blanks, comments that end,
// and semicolons. A block comment that is still open is not blank, since more of
// it may follow.
func Blank(sql string) bool {
	pos := skipBlank(sql, 0)
	if pos < len(sql) {
		return false
	}
	for pos = 0; pos < len(sql); {
		kind, end := token(sql, pos)
		if kind == openComment {
			return false
		}
		pos = end
	}
	return true
}

// skipBlank is the place from pos on where a statement begins, or len(sql).
func skipBlank(sql string, pos int) int {
	for pos < len(sql) {
		kind, end := token(sql, pos)
		if kind == other {
			return pos
		}
		pos = end
	}
	return pos
}

type tokenKind uint8

const (
	other       tokenKind = iota // anything a statement is made of
	blank                        // blanks, a comment
	openComment                  // a block comment without an end
	semicolon
)

// token is the kind and the end of the token at sql[pos], as far as matters to
// where statements end. The end is always beyond pos.
func token(sql string, pos int) (tokenKind, int) {
	rest := sql[pos+1:]
	// until is the place after the next s, or the end of the text.
	until := func(s string) (int, bool) {
		if i := strings.Index(rest, s); i >= 0 {
			return pos + 1 + i + len(s), true
		}
		return len(sql), false
	}
	switch c := sql[pos]; c {
	case ';':
		return semicolon, pos + 1
	case ' ', '\t', '\n', '\f', '\r':
		return blank, pos + 1
	case '-':
		if strings.HasPrefix(rest, "-") {
			end, _ := until("\n")
			return blank, end
		}
	case '/':
		if strings.HasPrefix(rest, "*") {
			rest = rest[1:]
			pos++
			end, closed := until("*/")
			if !closed {
				return openComment, end
			}
			return blank, end
		}
	case '\'', '"', '`':
		// A doubled quote reads as two strings side by side, which ends the same.
		end, _ := until(string(c))
		return other, end
	case '[':
		end, _ := until("]")
		return other, end
	}
	return other, pos + 1
}
