package sigma

import (
	"strings"
	"unicode/utf8"
)

// text is a value of a rule after its escapes were read: characters (raw bytes
// as rawByte+b) and the special elements below.
type text []rune

// The special elements of a text.
const (
	star   rune = -1 - iota // any characters, or none
	single                  // one character
	dash                    // one of dashes
)

// dashes are the characters that windash makes interchangeable.
const dashes = "-/\u2013\u2014\u2015"

func isDash(r rune) bool {
	return r == '-' || r == '/' || 0x2013 <= r && r <= 0x2015
}

// parseText reads wildcards and escapes: a backslash makes a following *, ? or
// backslash plain; before anything else it is a backslash.
func parseText(s string) text {
	out := make(text, 0, len(s))
	for len(s) > 0 {
		r, n := first(s)
		s = s[n:]
		switch r {
		case '*':
			r = star
		case '?':
			r = single
		case '\\':
			if s != "" && (s[0] == '*' || s[0] == '?' || s[0] == '\\') {
				r = rune(s[0])
				s = s[1:]
			}
		}
		out = append(out, r)
	}
	return out
}

// plain returns the text as bytes; ok is false when it has wildcards or dashes.
func (t text) plain() (s string, ok bool) {
	var b strings.Builder
	for _, r := range t {
		switch {
		case r < 0:
			return "", false
		case r >= rawByte:
			b.WriteByte(byte(r - rawByte))
		default:
			b.WriteRune(r)
		}
	}
	return b.String(), true
}

// segment is a part of a pattern without stars.
type segment struct {
	// literal is used when units is nil.
	literal literal
	// units are characters (folded unless cased), single and dash.
	units []rune
	cased bool
}

func newSegment(t text, cased bool) segment {
	bytewise := true
	for _, r := range t {
		// Bytes of a longer character are never equal to ASCII, so ASCII can be
		// compared byte by byte; so can data.
		if r < 0 || utf8.RuneSelf <= r && r < rawByte {
			bytewise = false
		}
	}
	if bytewise {
		s, _ := t.plain()
		return segment{literal: newLiteral(s, cased)}
	}
	units := make([]rune, len(t))
	for i, r := range t {
		units[i] = r
		if r >= 0 && !cased {
			units[i] = fold(r)
		}
	}
	return segment{units: units, cased: cased}
}

func (g *segment) is(unit, r rune) bool {
	switch {
	case unit == r || unit == single:
		return true
	case unit == dash:
		return isDash(r)
	case g.cased || unit < 0:
		return false
	}
	return fold(r) == unit
}

// prefix reports whether s begins with the segment and how much of s that is.
func (g *segment) prefix(s string) (int, bool) {
	if g.units == nil {
		n := len(g.literal.text)
		return n, n <= len(s) && g.literal.at(s, 0)
	}
	i := 0
	for _, u := range g.units {
		if i == len(s) {
			return 0, false
		}
		r, n := first(s[i:])
		if !g.is(u, r) {
			return 0, false
		}
		i += n
	}
	return i, true
}

// suffix reports whether s ends with the segment and where that begins.
func (g *segment) suffix(s string) (int, bool) {
	if g.units == nil {
		i := len(s) - len(g.literal.text)
		return i, i >= 0 && g.literal.at(s, i)
	}
	i := len(s)
	for j := len(g.units) - 1; j >= 0; j-- {
		if i == 0 {
			return 0, false
		}
		r, n := last(s[:i])
		if !g.is(g.units[j], r) {
			return 0, false
		}
		i -= n
	}
	return i, true
}

// index returns where the segment first is at or after from, and where it ends;
// start is -1 when it is nowhere.
func (g *segment) index(s string, from int) (start, end int) {
	if g.units == nil {
		i := g.literal.index(s, from)
		return i, i + len(g.literal.text)
	}
	for i := from; i < len(s); {
		if n, ok := g.prefix(s[i:]); ok {
			return i, i + n
		}
		_, n := first(s[i:])
		i += n
	}
	return -1, -1
}

// glob is a compiled pattern: segments with stars between them.
type glob struct {
	segments           []segment
	openStart, openEnd bool // a star before the first, after the last segment
	// must is the longest literal of a segment that is slow to search; when it
	// is absent there is no match. Empty when there is none.
	must literal
	// longest is the longest literal of the whole pattern, in lower case ASCII.
	longest string
}

func newGlob(t text, cased bool) *glob {
	g := &glob{}
	slow := false
	for start := 0; start <= len(t); {
		end := start
		for end < len(t) && t[end] != star {
			end++
		}
		if end > start {
			s := newSegment(t[start:end], cased)
			slow = slow || s.units != nil
			g.segments = append(g.segments, s)
		}
		start = end + 1
	}
	if len(t) > 0 {
		g.openStart, g.openEnd = t[0] == star, t[len(t)-1] == star
	}
	var run, best string
	for start, i := 0, 0; i <= len(t); i++ {
		if i < len(t) && 0 <= t[i] && t[i] < utf8.RuneSelf {
			continue
		}
		if i-start > len(best) {
			run, _ = t[start:i].plain()
			best = run
		}
		start = i + 1
	}
	g.longest = newLiteral(best, false).text
	if slow && best != "" {
		g.must = newLiteral(best, cased)
	}
	return g
}

func (g *glob) match(s string) bool {
	if g.must.text != "" && g.must.index(s, 0) < 0 {
		return false
	}
	at, segments := 0, g.segments
	if len(segments) == 0 {
		return g.openStart || s == ""
	}
	if !g.openStart {
		n, ok := segments[0].prefix(s)
		if !ok {
			return false
		}
		at, segments = n, segments[1:]
		if len(segments) == 0 {
			return g.openEnd || at == len(s)
		}
	}
	if !g.openEnd {
		i, ok := segments[len(segments)-1].suffix(s)
		if !ok || i < at {
			return false
		}
		s, segments = s[:i], segments[:len(segments)-1]
	}
	// Taking the first place for each segment leaves the most room for the rest.
	for i := range segments {
		start, end := segments[i].index(s, at)
		if start < 0 {
			return false
		}
		at = end
	}
	return true
}

func (g *glob) cost() int {
	c := 1
	for i := range g.segments {
		if len(g.segments) > 1 || g.openStart && g.openEnd {
			c += 4
		}
		if g.segments[i].units != nil {
			c += 4
		}
	}
	return c
}
