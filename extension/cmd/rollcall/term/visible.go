package term

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// maxMarks is how many combining marks a character may carry; piles of them
// cover other lines.
const maxMarks = 3

// visible escapes what may not reach a terminal. With unicode false all but
// ASCII is escaped.
func visible(s string, unicodeOK bool) string {
	i := 0
	for i < len(s) && s[i] >= ' ' && s[i] < 0x7f {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	// A mark needs a character before it to sit on.
	marks := maxMarks
	if i > 0 {
		marks = 0
	}
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		mark := unicode.Is(unicode.M, r)
		switch {
		case r == utf8.RuneError && size <= 1:
			b.WriteString(`\x`)
			b.WriteString(hex(uint64(s[i]), 2))
			marks = 0
		case r >= ' ' && r < 0x7f:
			b.WriteByte(s[i])
			marks = 0
		case !unicodeOK || !shown(r) || (mark && marks >= maxMarks):
			writeEscape(&b, r)
			marks = 0
		case mark:
			b.WriteString(s[i : i+size])
			marks++
		default:
			b.WriteString(s[i : i+size])
			marks = 0
		}
		i += size
	}
	return b.String()
}

func writeEscape(b *strings.Builder, r rune) {
	switch {
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\t':
		b.WriteString(`\t`)
	case r < 0x80:
		b.WriteString(`\x`)
		b.WriteString(hex(uint64(r), 2))
	case r < 0x10000:
		b.WriteString(`\u`)
		b.WriteString(hex(uint64(r), 4))
	default:
		b.WriteString(`\U`)
		b.WriteString(hex(uint64(r), 8))
	}
}

func hex(n uint64, digits int) string {
	s := strconv.FormatUint(n, 16)
	return strings.Repeat("0", max(0, digits-len(s))) + s
}

// shown reports whether a character can be seen and does nothing but that.
// Blanks other than the space, format characters (bidirectional overrides,
// joiners, tags), private ones and letters without a glyph are not.
func shown(r rune) bool {
	if !unicode.IsPrint(r) {
		return false
	}
	switch {
	case r == 0x034f, // combining grapheme joiner
		r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0, // Hangul fillers
		r == 0x17b4, r == 0x17b5, // inherent Khmer vowels
		r == 0x2800,                // the empty Braille cell
		r >= 0x180b && r <= 0x180f, // Mongolian variation selectors
		r >= 0xfe00 && r <= 0xfe0f,
		r >= 0xe0100 && r <= 0xe01ef: // variation selectors
		return false
	}
	return true
}

// runeWidth is how many columns a character that visible let through takes: 0
// for marks, 2 for wide ones. Characters of ambiguous width are narrow, as
// terminals outside East Asia have them.
func runeWidth(r rune) int {
	if r >= ' ' && r < 0x7f {
		return 1
	}
	c := runewidth.Condition{StrictEmojiNeutral: true}
	return c.RuneWidth(r)
}

// Width is how many columns a terminal uses for s, which holds nothing that
// Visible escapes.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// wrap cuts s into lines of at most width columns, at blanks where there is one
// in the second half of a line. At most maxLines come back; text beyond them is
// told in the last. It is for s as Visible makes it.
func wrap(s string, width, maxLines int) []string {
	var lines []string
	for {
		end, cut := fit(s, width)
		if end == len(s) {
			return append(lines, s)
		}
		if len(lines) == maxLines-1 {
			return append(lines, truncate(s, width))
		}
		if cut > 0 {
			lines = append(lines, s[:cut])
			s = strings.TrimLeft(s[cut:], " ")
			if s == "" {
				return lines
			}
			continue
		}
		lines = append(lines, s[:end])
		s = s[end:]
	}
}

// fit is how many bytes of s fit in width columns, at least one character, and
// where among them the last good blank is (0 for none).
func fit(s string, width int) (end, cut int) {
	used := 0
	for i, r := range s {
		w := runeWidth(r)
		if r == ' ' && used*2 >= width {
			cut = i
		}
		if used+w > width && i > 0 {
			return i, cut
		}
		used += w
	}
	return len(s), 0
}

// truncate is the beginning of s with "..." in width columns.
func truncate(s string, width int) string {
	const dots = "..."
	if width <= len(dots) {
		return dots[:max(0, width)]
	}
	end, _ := fit(s, width-len(dots))
	if end == len(s) {
		return s
	}
	return s[:end] + dots
}
