package sigma

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// rawByte is added to a byte that is not part of valid UTF-8, so that it is a
// character of its own that equals nothing else.
const rawByte = utf8.MaxRune + 1

func lowerASCII(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + ('a' - 'A')
	}
	return b
}

// fold returns the representative of the characters that equal r when case is
// ignored: the smallest that simple folding reaches. ASCII stays among itself.
func fold(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}
	if r > utf8.MaxRune {
		return r
	}
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		if f >= utf8.RuneSelf && f < least {
			least = f
		}
	}
	return least
}

// first decodes the first character of a non-empty s.
func first(s string) (rune, int) {
	if s[0] < utf8.RuneSelf {
		return rune(s[0]), 1
	}
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		return rawByte + rune(s[0]), 1
	}
	return r, n
}

// last decodes the last character of a non-empty s.
func last(s string) (rune, int) {
	if b := s[len(s)-1]; b < utf8.RuneSelf {
		return rune(b), 1
	}
	r, n := utf8.DecodeLastRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		return rawByte + rune(s[len(s)-1]), 1
	}
	return r, n
}

// bound cuts a value to what is examined.
func bound(s string) string {
	if len(s) > MaxValue {
		return s[:MaxValue]
	}
	return s
}

// prefixFold reports whether s begins with p and how much of s that is.
func prefixFold(s, p string, cased bool) (int, bool) {
	if cased {
		return len(p), strings.HasPrefix(s, p)
	}
	i := 0
	for j := 0; j < len(p); {
		if i == len(s) {
			return 0, false
		}
		a, n := first(s[i:])
		b, m := first(p[j:])
		if a != b && fold(a) != fold(b) {
			return 0, false
		}
		i, j = i+n, j+m
	}
	return i, true
}

// suffixFold reports whether s ends with p.
func suffixFold(s, p string, cased bool) bool {
	if cased {
		return strings.HasSuffix(s, p)
	}
	for len(p) > 0 {
		if len(s) == 0 {
			return false
		}
		a, n := last(s)
		b, m := last(p)
		if a != b && fold(a) != fold(b) {
			return false
		}
		s, p = s[:len(s)-n], p[:len(p)-m]
	}
	return true
}

// containsFold reports whether p occurs in s. It copies both to stay linear,
// whatever they hold.
func containsFold(s, p string, cased bool) bool {
	if cased {
		return strings.Contains(s, p)
	}
	return strings.Contains(foldString(s), foldString(p))
}

func foldString(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for len(s) > 0 {
		r, n := first(s)
		if r >= rawByte {
			b.WriteString(s[:n])
		} else {
			b.WriteRune(fold(r))
		}
		s = s[n:]
	}
	return b.String()
}

// literal is a text of bytes that is searched for byte by byte: ASCII, or data
// that is not text. Only ASCII letters fold.
type literal struct {
	text   string // in lower case unless cased
	cased  bool
	off    int  // where in text the byte is that is searched for first
	lo, up byte // its two spellings; the same when it is no letter
}

// commonBytes are the usual bytes of command lines and paths, the most common
// first. A byte that is not among them is a good one to search for.
const commonBytes = "e\\ .tsinoracxlmdp/w-uyfgh\"b:v32"

func newLiteral(text string, cased bool) literal {
	l := literal{text: text, cased: cased}
	if !cased {
		b := []byte(text)
		for i := range b {
			b[i] = lowerASCII(b[i])
		}
		l.text = string(b)
	}
	best := -1
	for i := range len(l.text) {
		b := l.text[i]
		rank := strings.IndexByte(commonBytes, lowerASCII(b))
		if rank < 0 {
			rank = len(commonBytes)
			if b < 'a' || b > 'z' {
				rank++ // one spelling, one search
			}
		}
		if rank > best {
			best, l.off = rank, i
		}
	}
	if l.text != "" {
		l.lo = l.text[l.off]
		l.up = l.lo
		if !cased && 'a' <= l.lo && l.lo <= 'z' {
			l.up = l.lo - ('a' - 'A')
		}
	}
	return l
}

// at reports whether the literal is at s[i:], which is long enough to hold it.
func (l *literal) at(s string, i int) bool {
	s = s[i : i+len(l.text)]
	if l.cased {
		return s == l.text
	}
	for j := range len(s) {
		if lowerASCII(s[j]) != l.text[j] {
			return false
		}
	}
	return true
}

// index returns the first place at or after from where the literal is, or -1.
func (l *literal) index(s string, from int) int {
	final := len(s) - len(l.text) // the last place there is room
	if final < from {
		return -1
	}
	if l.text == "" {
		return from
	}
	// w holds every place where the searched byte of a hit can be.
	w := s[:final+l.off+1]
	lo := indexByte(w, l.lo, from+l.off)
	up := len(w)
	if l.up != l.lo {
		up = indexByte(w, l.up, from+l.off)
	}
	for {
		at := min(lo, up)
		if at == len(w) {
			return -1
		}
		if l.at(s, at-l.off) {
			return at - l.off
		}
		if at == lo {
			lo = indexByte(w, l.lo, at+1)
		} else {
			up = indexByte(w, l.up, at+1)
		}
	}
}

// indexByte returns where b is in s at or after from, or len(s).
func indexByte(s string, b byte, from int) int {
	if i := strings.IndexByte(s[from:], b); i >= 0 {
		return from + i
	}
	return len(s)
}
