package powershell

import (
	"strings"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/cmdexe"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
)

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isNameByte(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' || c >= utf8.RuneSelf }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\v' || c == '\f' }

// spaceAt returns the length of the Unicode blank at i, 0 for none.
func spaceAt(s string, i int) int {
	if i+1 < len(s) && s[i] == 0xC2 && (s[i+1] == 0xA0 || s[i+1] == 0x85) {
		return 2
	}
	if i+2 < len(s) && (s[i] == 0xE2 && s[i+1] == 0x80 && s[i+2] >= 0x80 && s[i+2] <= 0x8A || s[i] == 0xE3 && s[i+1] == 0x80 && s[i+2] == 0x80) {
		return 3
	}
	return 0
}

// dashAt returns the length of the dash at i: a hyphen, or the en dash, em dash
// or horizontal bar that PowerShell takes for one.
func dashAt(s string, i int) int {
	if i < len(s) && s[i] == '-' {
		return 1
	}
	if i+2 < len(s) && s[i] == 0xE2 && s[i+1] == 0x80 && s[i+2] >= 0x93 && s[i+2] <= 0x95 {
		return 3
	}
	return 0
}

// quoteAt returns which quote stands at i ('\”, '"' or 0) and its length:
// typographic quotes count as the plain ones.
func quoteAt(s string, i int) (byte, int) {
	if i >= len(s) {
		return 0, 0
	}
	switch s[i] {
	case '\'', '"':
		return s[i], 1
	case 0xE2:
		if i+2 < len(s) && s[i+1] == 0x80 {
			switch c := s[i+2]; {
			case c >= 0x98 && c <= 0x9B:
				return '\'', 3
			case c >= 0x9C && c <= 0x9E:
				return '"', 3
			}
		}
	}
	return 0, 0
}

func isQuote(s string, i int) bool {
	q, _ := quoteAt(s, i)
	return q != 0
}

func (p *parser) peek() byte {
	if p.pos < len(p.s) {
		return p.s[p.pos]
	}
	return 0
}

// skip skips blanks, comments and line continuations, and with lines also ends of
// lines.
func (p *parser) skip(lines bool) {
	for p.pos < len(p.s) {
		c := p.s[p.pos]
		switch {
		case isSpace(c), lines && (c == '\n' || c == '\r'):
			p.pos++
		case c == '`' && p.pos+1 < len(p.s) && (p.s[p.pos+1] == '\n' || p.s[p.pos+1] == '\r'):
			p.pos += 2
			if p.s[p.pos-1] == '\r' && p.peek() == '\n' {
				p.pos++
			}
		case c == '#':
			if i := strings.IndexByte(p.s[p.pos:], '\n'); i >= 0 {
				p.pos += i
			} else {
				p.pos = len(p.s)
			}
		case c == '<' && strings.HasPrefix(p.s[p.pos:], "<#"):
			if i := strings.Index(p.s[p.pos+2:], "#>"); i >= 0 {
				p.pos += i + 4
			} else {
				p.pos = len(p.s)
			}
		case c >= utf8.RuneSelf:
			n := spaceAt(p.s, p.pos)
			if n == 0 {
				return
			}
			p.pos += n
		default:
			return
		}
	}
}

// identifier reads letters, digits and underscores.
func (p *parser) identifier() string {
	start := p.pos
	for p.pos < len(p.s) && isNameByte(p.s[p.pos]) && spaceAt(p.s, p.pos) == 0 {
		p.pos++
	}
	return p.s[start:p.pos]
}

// endsWord reports whether a bare word ends at i.
func endsWord(s string, i int) bool {
	switch c := s[i]; c {
	case ' ', '\t', '\v', '\f', '\n', '\r', ';', '|', '&', '(', ')', '{', '}', ',', '<', '>':
		return true
	default:
		return c >= utf8.RuneSelf && spaceAt(s, i) > 0
	}
}

// genericWord reads a bare word, in which quotes, backticks and variables keep
// their meaning. A command's name may start with signs that end an argument. The
// colon of "-Name:value" ends a parameter and is skipped.
func (p *parser) genericWord(command bool) (string, bits) {
	start := p.pos
	i := p.pos
	param := false
	if n := dashAt(p.s, i); n > 0 {
		param = i+n < len(p.s) && isLetter(p.s[i+n])
		if n > 1 {
			return p.slowWord(param)
		}
	}
	for ; i < len(p.s); i++ {
		c := p.s[i]
		if endsWord(p.s, i) {
			break
		}
		if c == '`' || c == '$' || c == '"' || c == '\'' || c == 0xE2 {
			return p.slowWord(param && !command)
		}
		if c == ':' && param && !command {
			p.pos = i + 1
			return p.s[start:i], 0
		}
	}
	p.pos = i
	return p.s[start:i], 0
}

func (p *parser) slowWord(param bool) (string, bits) {
	var buf []byte
	var b bits
	start := p.pos
	if n := dashAt(p.s, p.pos); n > 0 {
		buf = append(buf, '-')
		p.pos += n
		if n > 1 {
			b |= bitHomoglyph
		}
	}
	pieces := 0 // pieces that are worth a word of their own
	for p.pos < len(p.s) && !p.flat {
		c := p.s[p.pos]
		if endsWord(p.s, p.pos) {
			break
		}
		if q, _ := quoteAt(p.s, p.pos); q != 0 {
			v := p.quoted()
			inner := v.String()
			// x"y z" joins a text that needs quotes; x"y" hides.
			if !strings.ContainsAny(inner, " \t$;|&(){},<>\\/:=") && p.gluedAround(start, len(inner)) {
				b |= bitQuotes
			}
			b |= v.bits
			buf = append(buf, inner...)
			pieces++
			continue
		}
		switch c {
		case '`':
			p.pos++
			if p.pos >= len(p.s) {
				continue
			}
			if c := p.s[p.pos]; c == '\n' || c == '\r' {
				p.pos--
				return string(buf), b
			}
			if isNameByte(p.s[p.pos]) || p.s[p.pos] == '-' || p.s[p.pos] == '.' {
				b |= bitBacktick
			}
			_, n := utf8.DecodeRuneInString(p.s[p.pos:])
			buf = append(buf, p.s[p.pos:p.pos+n]...)
			p.pos += n
		case '$':
			s, vb, _ := p.interpolated()
			b |= vb
			buf = append(buf, s...)
		case ':':
			if param {
				p.pos++
				return string(buf), b
			}
			fallthrough
		default:
			buf = append(buf, c)
			p.pos++
		}
	}
	return string(buf), b
}

// gluedAround reports whether the quoted text that ends at the position has word
// signs on a side outside: n is the length of what was inside.
func (p *parser) gluedAround(start, n int) bool {
	if p.pos < len(p.s) && (isNameByte(p.s[p.pos]) || p.s[p.pos] == '-') && spaceAt(p.s, p.pos) == 0 {
		return true
	}
	open := p.pos - n - 2
	return open > start && open <= len(p.s) && (isNameByte(p.s[open-1]) || p.s[open-1] == '-' && open-1 > start)
}

// quoted reads a quoted text of either kind.
func (p *parser) quoted() value {
	q, n := quoteAt(p.s, p.pos)
	p.pos += n
	if q == '\'' {
		return text(p.singleQuoted())
	}
	return p.doubleQuoted(false)
}

// singleQuoted reads to the closing quote; two quotes are one.
func (p *parser) singleQuoted() string {
	start := p.pos
	var buf []byte
	for p.pos < len(p.s) {
		c := p.s[p.pos]
		if c != '\'' && c != 0xE2 {
			p.pos++
			continue
		}
		q, n := quoteAt(p.s, p.pos)
		if q != '\'' {
			p.pos++
			continue
		}
		if q2, n2 := quoteAt(p.s, p.pos+n); q2 == '\'' {
			buf = append(append(buf, p.s[start:p.pos]...), '\'')
			p.pos += n + n2
			start = p.pos
			continue
		}
		end := p.pos
		p.pos += n
		if buf == nil {
			return p.s[start:end]
		}
		return string(append(buf, p.s[start:end]...))
	}
	p.fail(errQuote)
	return string(append(buf, p.s[min(start, len(p.s)):]...))
}

// doubleQuoted reads to the closing quote, or in a here-string to its end, and
// puts variables in.
func (p *parser) doubleQuoted(here bool) value {
	start := p.pos
	var buf []byte
	var b bits
	plain := true
	for p.pos < len(p.s) && !p.flat {
		c := p.s[p.pos]
		switch {
		case c == '`' && p.pos+1 < len(p.s):
			if plain {
				buf, plain = append(buf, p.s[start:p.pos]...), false
			}
			p.pos++
			r, n := utf8.DecodeRuneInString(p.s[p.pos:])
			p.pos += n
			switch r {
			case 'n':
				buf = append(buf, '\n')
			case 't':
				buf = append(buf, '\t')
			case 'r':
				buf = append(buf, '\r')
			case '0':
				buf = append(buf, 0)
			case 'a':
				buf = append(buf, '\a')
			case 'b':
				buf = append(buf, '\b')
			case 'f':
				buf = append(buf, '\f')
			case 'v':
				buf = append(buf, '\v')
			case 'e':
				buf = append(buf, 0x1B)
			default:
				if isNameByte(p.s[p.pos-n]) && r != '\n' {
					b |= bitBacktick
				}
				buf = append(buf, p.s[p.pos-n:p.pos]...)
			}
		case c == '$':
			if plain {
				buf, plain = append(buf, p.s[start:p.pos]...), false
			}
			s, vb, _ := p.interpolated()
			b |= vb
			if !p.produce(len(s)) {
				s = ""
			}
			buf = append(buf, s...)
		case here && (c == '\n' || c == '\r'):
			end := p.pos
			if strings.HasPrefix(p.s[p.pos:], "\r\n") {
				p.pos++
			}
			p.pos++
			if q, n := quoteAt(p.s, p.pos); q == '"' && p.pos+n < len(p.s) && p.s[p.pos+n] == '@' {
				p.pos += n + 1
				if plain {
					return value{kind: kindString, s: p.s[start:end]}
				}
				return value{kind: kindString, s: string(buf), bits: b}
			}
			if !plain {
				buf = append(buf, p.s[end:p.pos]...)
			}
		case !here && (c == '"' || c == 0xE2):
			q, n := quoteAt(p.s, p.pos)
			if q == '"' {
				q2, n2 := quoteAt(p.s, p.pos+n)
				if q2 == '"' {
					if plain {
						buf, plain = append(buf, p.s[start:p.pos]...), false
					}
					buf = append(buf, '"')
					p.pos += n + n2
					continue
				}
				end := p.pos
				p.pos += n
				if plain {
					return value{kind: kindString, s: p.s[start:end]}
				}
				return value{kind: kindString, s: string(buf), bits: b}
			}
			fallthrough
		default:
			if !plain {
				buf = append(buf, c)
			}
			p.pos++
		}
	}
	if !p.flat {
		p.fail(errQuote)
	}
	if plain {
		buf = append(buf, p.s[start:p.pos]...)
	}
	return value{kind: kindString, s: string(buf), bits: b}
}

// hereString reads @' or @" when the line ends behind it.
func (p *parser) hereString() (value, bool) {
	q, n := quoteAt(p.s, p.pos+1)
	if q == 0 {
		return value{}, false
	}
	i := p.pos + 1 + n
	for i < len(p.s) && isSpace(p.s[i]) {
		i++
	}
	if i < len(p.s) && p.s[i] == '\r' {
		i++
	}
	if i >= len(p.s) || p.s[i] != '\n' {
		return value{}, false
	}
	if q == '"' {
		// The terminator may follow at once, so the line's end belongs to it.
		p.pos = i
		v := p.doubleQuoted(true)
		v.s = strings.TrimPrefix(v.s, "\n")
		return v, true
	}
	body := p.s[i+1:]
	if strings.HasPrefix(body, "'@") {
		p.pos = i + 3
		return text(""), true
	}
	end := strings.Index(body, "\n'@")
	if end < 0 {
		p.pos = len(p.s)
		p.fail(errQuote)
		return text(body), true
	}
	p.pos = i + 1 + end + 3
	return text(strings.TrimSuffix(body[:end], "\r")), true
}

// interpolated reads the variable or $(...) at the position as text.
func (p *parser) interpolated() (s string, b bits, ok bool) {
	start := p.pos
	if p.pos+1 < len(p.s) && p.s[p.pos+1] == '(' {
		p.pos++
		v := p.paren()
		if v.flatText() && v.kind != kindNull && p.produce(v.size()) {
			return v.joined(" "), v.allBits() | bitConcat, true
		}
		return p.s[start:p.pos], 0, false
	}
	name, ok := p.variableName()
	if !ok {
		p.pos = start + 1
		return "$", 0, false
	}
	v, own, ok := p.lookup(name)
	if !ok || !v.flatText() || !p.produce(v.size()) {
		return p.s[start:p.pos], 0, false
	}
	b = v.allBits()
	if own {
		b |= bitVariable
	}
	return v.joined(" "), b, true
}

// variableName reads a variable at its dollar sign.
func (p *parser) variableName() (string, bool) {
	i := p.pos + 1
	if i >= len(p.s) {
		return "", false
	}
	switch c := p.s[i]; {
	case c == '{':
		end := strings.IndexByte(p.s[i:min(len(p.s), i+256)], '}')
		if end < 0 {
			return "", false
		}
		name := p.s[i+1 : i+end]
		p.pos = i + end + 1
		return strings.ReplaceAll(name, "`", ""), name != ""
	case c == '$' || c == '?' || c == '^':
		p.pos = i + 1
		return p.s[i : i+1], true
	case !isNameByte(c) && !(c == ':' && i+1 < len(p.s) && isNameByte(p.s[i+1])):
		return "", false
	}
	for i < len(p.s) {
		c := p.s[i]
		if isNameByte(c) || c == '?' {
			if c >= utf8.RuneSelf && (spaceAt(p.s, i) > 0 || isQuote(p.s, i) || dashAt(p.s, i) > 0) {
				break
			}
			i++
			continue
		}
		// A scope or drive: $script:x, $env:x; not $type::Member.
		if c == ':' && i+1 < len(p.s) && isNameByte(p.s[i+1]) {
			i++
			continue
		}
		break
	}
	name := p.s[p.pos+1 : i]
	p.pos = i
	return name, name != ""
}

// variableKey is how a variable is kept: in lower case without its scope.
func variableKey(name string) string {
	name = strings.ToLower(name)
	if scope, rest, ok := strings.Cut(name, ":"); ok {
		switch scope {
		case "global", "script", "local", "private", "variable", "using", "":
			return rest
		}
	}
	return name
}

// lookup finds a variable's value; own says that the script set it.
func (p *parser) lookup(name string) (v value, own, ok bool) {
	if name == "_" || len(name) == 6 && strings.EqualFold(name, "psitem") {
		return p.it, false, p.it.kind != kindUnknown || p.it.cmd > 0
	}
	key := variableKey(name)
	if v, ok := p.vars[key]; ok {
		return v, true, true
	}
	switch key {
	case "null":
		return value{kind: kindNull}, false, true
	case "true":
		return value{kind: kindBool, n: 1}, false, true
	case "false":
		return value{kind: kindBool}, false, true
	case "pshome":
		return text(`C:\Windows\System32\WindowsPowerShell\v1.0`), false, true
	case "shellid":
		return text("Microsoft.PowerShell"), false, true
	case "verbosepreference", "debugpreference", "informationpreference":
		return text("SilentlyContinue"), false, true
	case "executioncontext":
		return value{kind: kindUnknown, s: "$ExecutionContext"}, false, true
	}
	if env, found := strings.CutPrefix(key, "env:"); found {
		if s, ok := cmdexe.WellKnown(env); ok {
			return text(s), false, true
		}
	}
	return value{}, false, false
}

// redirectAhead reports whether a redirection starts at the position.
func (p *parser) redirectAhead() bool {
	p.skip(false)
	i := p.pos
	if i < len(p.s) && (p.s[i] >= '1' && p.s[i] <= '6' || p.s[i] == '*') {
		i++
	}
	return i < len(p.s) && p.s[i] == '>'
}

// redirect reads a redirection for command i.
func (p *parser) redirect(i int) {
	start := p.pos
	if p.s[p.pos] != '>' {
		if p.s[p.pos] == '1' {
			start++
		}
		p.pos++
	}
	p.pos++
	if p.peek() == '>' {
		p.pos++
	}
	r := dialect.Redirect{Op: p.s[start:p.pos]}
	if p.peek() == '&' {
		p.pos++
		if p.pos < len(p.s) {
			p.pos++
		}
		r.Target = p.s[p.pos-2 : p.pos]
	} else {
		p.skip(false)
		if p.pos < len(p.s) && !(endsWord(p.s, p.pos) && p.s[p.pos] != '(') {
			words, _ := p.argument(nil, nil)
			r.Target = strings.Join(words, " ")
		}
	}
	if i >= 0 && i < len(p.out) && len(p.out[i].Redirects) < 64 {
		p.out[i].Redirects = append(p.out[i].Redirects, r)
	}
}

// flatCommand reads one command as words, without nesting or evaluation.
func (p *parser) flatCommand() {
	for p.pos < len(p.s) && strings.IndexByte(" \t\r\n;|&(){}@$,=", p.s[p.pos]) >= 0 {
		p.pos++
	}
	if p.pos >= len(p.s) || !p.spend(1) {
		return
	}
	start := p.pos
	var argv []string
	var b bits
	var word []byte
	in := false
	var quote byte
	for ; p.pos < len(p.s); p.pos++ {
		c := p.s[p.pos]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				word = append(word, c)
			}
			continue
		case c == '"' || c == '\'':
			quote, in = c, true
			continue
		case c == '`':
			b |= bitBacktick
			continue
		case strings.IndexByte("\r\n;|&(){}", c) >= 0:
		case isSpace(c):
			if in {
				argv, word, in = append(argv, string(word)), nil, false
			}
			continue
		default:
			word, in = append(word, c), true
			continue
		}
		break
	}
	if in {
		argv = append(argv, string(word))
	}
	if len(argv) > 0 && argv[0] != "" && p.spend(len(argv)) {
		p.emit(p.begin(), argv, b, p.s[start:p.pos])
	}
}
