package cmdexe

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// span is a stretch of expanded text that came from a variable.
type span struct {
	start, end int  // in the expanded text
	from, to   int  // in the text before
	sub        bool // cut or changed on the way (%x:~1,2%, %x:a=b%)
	own        bool // the variable was set in the same text
	delayed    bool // written !x!
}

// lookup finds a variable's value; own says that the text itself set it.
type lookup func(name string) (value string, own, ok bool)

// allowance bounds what expansion may cost in one text, apart from the budget
// that all texts share.
type allowance struct {
	bytes    int // bytes added
	refs     int // variables looked up and found
	replaces int // %x:old=new%, whose cost is a product
}

// expand replaces the variables of text that find knows, written between two
// sign bytes ('%' or '!', the former also doubled as logs and batch files have
// it). What find does not know stays as written; so does what al has no room
// for, and then full is false. Without a change out is text itself.
func expand(text string, sign byte, find lookup, al *allowance) (out string, spans []span, full bool) {
	if strings.IndexByte(text, sign) < 0 {
		return text, nil, true
	}
	var buf []byte
	done := 0 // text before this is in buf
	full = true
	for i := 0; i < len(text); {
		k := strings.IndexByte(text[i:], sign)
		if k < 0 {
			break
		}
		i += k
		if sign == '!' && i > 0 && text[i-1] == '^' {
			i++
			continue
		}
		name := i + 1
		double := sign == '%' && name < len(text) && text[name] == '%'
		if double {
			name++
		}
		end := strings.IndexByte(text[name:], sign)
		if end < 0 {
			break
		}
		end += name
		value, own, sub, ok := reference(text[name:end], find, al)
		if !ok {
			// The closing sign may open the next reference.
			i = max(end, i+1)
			continue
		}
		if len(value) > al.bytes || al.refs == 0 {
			full = false
			i = end + 1
			continue
		}
		al.bytes -= len(value)
		al.refs--
		next := end + 1
		if double && next < len(text) && text[next] == '%' {
			next++
		}
		buf = append(buf, text[done:i]...)
		spans = append(spans, span{
			start: len(buf), end: len(buf) + len(value), from: i, to: next,
			sub: sub, own: own, delayed: sign == '!',
		})
		buf = append(buf, value...)
		done, i = next, next
	}
	if spans == nil {
		return text, nil, full
	}
	return string(append(buf, text[done:]...)), spans, full
}

// reference evaluates what stands between two signs: name, name:~a,b or
// name:old=new.
func reference(ref string, find lookup, al *allowance) (value string, own, sub, ok bool) {
	if ref == "" || len(ref) > 8192 {
		return "", false, false, false
	}
	name, mod, has := strings.Cut(ref, ":")
	value, own, ok = find(name)
	if !ok || !has {
		return value, own, false, ok
	}
	if strings.HasPrefix(mod, "~") {
		value, ok = substring(value, mod[1:])
		return value, own, true, ok
	}
	old, repl, has := strings.Cut(mod, "=")
	if !has || old == "" || len(old) > 32 || len(value) > 4096 || al.replaces == 0 {
		return "", false, false, false
	}
	al.replaces--
	value, ok = replace(value, old, repl, al.bytes)
	return value, own, true, ok
}

// substring cuts by cmd's rules: a start and a length, each counted from the end
// when negative. Blanks and plus signs are allowed, as are 0x and octal numbers.
func substring(value, mod string) (string, bool) {
	from, length, has := strings.Cut(mod, ",")
	a, ok := number(from)
	if !ok {
		return "", false
	}
	var runes []rune
	n := len(value)
	if !ascii(value) {
		runes = []rune(value)
		n = len(runes)
	}
	if a < 0 {
		a = max(0, n+a)
	}
	a = min(a, n)
	b := n
	if has {
		l, ok := number(length)
		if !ok {
			return "", false
		}
		if l < 0 {
			b = max(a, n+l)
		} else {
			b = min(n, a+l)
		}
	}
	if runes != nil {
		return string(runes[a:b]), true
	}
	return value[a:b], true
}

func number(s string) (int, bool) {
	s = strings.Trim(s, " \t")
	if s == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(s, "+"), 0, 32)
	return int(n), err == nil
}

// replace is %x:old=new%: without regard to case, "*old" meaning everything up
// to the first old.
func replace(value, old, repl string, room int) (string, bool) {
	if rest, ok := strings.CutPrefix(old, "*"); ok && rest != "" {
		i := indexFold(value, rest)
		if i < 0 {
			return value, true
		}
		return repl + value[i+len(rest):], true
	}
	var buf []byte
	for {
		i := indexFold(value, old)
		if i < 0 {
			break
		}
		buf = append(append(buf, value[:i]...), repl...)
		value = value[i+len(old):]
		if len(buf) > room {
			return "", false
		}
	}
	if buf == nil {
		return value, true
	}
	return string(append(buf, value...)), true
}

// indexFold is strings.Index without regard to ASCII case. Callers bound both.
func indexFold(s, sub string) int {
	if len(sub) == 0 {
		return -1
	}
	first := sub[0] | 0x20
	for i := 0; i+len(sub) <= len(s); i++ {
		if s[i]|0x20 == first && equalFoldASCII(s[i:i+len(sub)], sub) {
			return i
		}
	}
	return -1
}

func equalFoldASCII(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
