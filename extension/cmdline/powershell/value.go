package powershell

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
)

// bits are the marks a value carries to the command that uses it.
type bits uint16

const (
	bitBacktick bits = 1 << iota
	bitQuotes
	bitConcat // glued together anywhere
	bitGlue   // glued together inside a word: 'Get-Ser'+'vice', not 'C:\'+'x'
	bitSubstring
	bitReversed
	bitEncoded
	bitVariable // came through a variable the text set
	bitInvoke
	bitHomoglyph
	bitRaw // no mark: an argument is shown as written, its value being unknown
)

// inArgument are the bits that hide an argument. Variables and gluing paths
// together are ordinary there.
const inArgument = bitBacktick | bitQuotes | bitGlue | bitSubstring | bitReversed | bitEncoded | bitHomoglyph

// computed are the bits of a text that was not written down as it is.
const computed = bitConcat | bitGlue | bitSubstring | bitReversed | bitEncoded

func (b bits) marks() []dialect.Mark {
	if b == 0 {
		return nil
	}
	var out []dialect.Mark
	for _, m := range [...]struct {
		bit  bits
		mark dialect.Mark
	}{
		{bitBacktick, dialect.Backtick}, {bitQuotes, dialect.QuoteSplit}, {bitConcat | bitGlue, dialect.Concat},
		{bitSubstring, dialect.Substring}, {bitReversed, dialect.Reversed}, {bitEncoded, dialect.Encoded},
		{bitVariable, dialect.Variable}, {bitInvoke, dialect.InvokeString}, {bitHomoglyph, dialect.Homoglyph},
	} {
		if b&m.bit != 0 {
			out = append(out, m.mark)
		}
	}
	return out
}

type kind uint8

const (
	kindUnknown kind = iota
	kindNull
	kindString
	kindChar
	kindNumber
	kindBool
	kindArray
	kindBytes
	kindType
	kindEncoding // a text encoding; s is its name
	kindBlock    // a script block of this text
	kindCode     // a script block made of a text
	kindHash     // list alternates keys and values
	kindMethod   // a method without its call: s is the name, list[0] the object
)

// value is what an expression evaluates to, as far as the text tells.
type value struct {
	kind kind
	bits bits
	cmd  int // 1 + index of the command whose result it is; 0 for none
	n    int64
	s    string // text; of an unknown value how an argument shows it
	name string // the variable it was just read from
	list []value
}

func text(s string) value { return value{kind: kindString, s: s} }

// known reports whether v is plain data.
func (v *value) known() bool { return v.kind >= kindNull && v.kind <= kindBytes }

// scalar reports whether v is data with one text.
func (v *value) scalar() bool { return v.kind >= kindNull && v.kind <= kindBool }

// String is the text of a scalar, as PowerShell converts it.
func (v *value) String() string {
	switch v.kind {
	case kindNumber:
		return strconv.FormatInt(v.n, 10)
	case kindBool:
		if v.n != 0 {
			return "True"
		}
		return "False"
	case kindNull:
		return ""
	}
	return v.s
}

// allBits are the bits of v and its elements.
func (v *value) allBits() bits {
	b := v.bits
	for i := range v.list {
		b |= v.list[i].bits
	}
	return b
}

// flatText reports whether v is a scalar or an array of scalars, of which a text
// can be made.
func (v *value) flatText() bool {
	if v.kind != kindArray {
		return v.scalar()
	}
	for i := range v.list {
		if !v.list[i].scalar() {
			return false
		}
	}
	return true
}

// elements are what a pipeline or foreach sees of v.
func (v *value) elements() []value {
	if v.kind == kindArray {
		return v.list
	}
	return []value{*v}
}

// joined is the text of v with sep between elements. The caller pays.
func (v *value) joined(sep string) string {
	if v.kind != kindArray {
		return v.String()
	}
	if len(v.list) == 1 {
		return v.list[0].String()
	}
	var b strings.Builder
	for i := range v.list {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(v.list[i].String())
	}
	return b.String()
}

// size is about the number of bytes v's text has.
func (v *value) size() int {
	n := len(v.s) + 1
	for i := range v.list {
		n += len(v.list[i].s) + 1
	}
	return n
}

func char(r rune) value {
	if r < 0 || r > utf8.MaxRune {
		r = utf8.RuneError
	}
	return value{kind: kindChar, s: string(r), n: int64(r)}
}

// number converts v to an integer as [int] does for whole numbers.
func (v *value) number() (int64, bool) {
	switch v.kind {
	case kindNumber, kindChar, kindBool:
		return v.n, true
	case kindNull:
		return 0, true
	case kindString:
		s := strings.TrimSpace(v.s)
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil && len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
			n, err = strconv.ParseInt(s[2:], 16, 64)
		}
		return n, err == nil
	}
	return 0, false
}

// index returns the rune at i of a text; negative counts from the end.
func indexText(s string, i int64) (value, bool) {
	if ascii(s) {
		if i < 0 {
			i += int64(len(s))
		}
		if i < 0 || i >= int64(len(s)) {
			return value{}, false
		}
		return char(rune(s[i])), true
	}
	r := []rune(s)
	if i < 0 {
		i += int64(len(r))
	}
	if i < 0 || i >= int64(len(r)) {
		return value{}, false
	}
	return char(r[i]), true
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
