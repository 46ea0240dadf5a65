package script

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
)

// space passes over blanks and comments.
func (s *scanner) space() {
	for s.pos < len(s.text) {
		rest := s.text[s.pos:]
		switch c := rest[0]; {
		case c == ' ' || c >= '\t' && c <= '\r':
			s.pos++
		case c == '#' && (s.lang == python || s.lang == perl && !s.afterDollar() || s.lang == ruby || s.lang == php || s.lang == awk):
			s.toLineEnd()
		case strings.HasPrefix(rest, "//") && (s.lang == php || s.lang == node):
			s.toLineEnd()
		case strings.HasPrefix(rest, "--") && (s.lang == lua || s.lang == applescript):
			s.toLineEnd()
		case strings.HasPrefix(rest, "/*") && (s.lang == php || s.lang == node):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				s.pos = len(s.text)
				return
			}
			s.pos += end + 4
		default:
			return
		}
	}
}

func (s *scanner) afterDollar() bool { return s.pos > 0 && s.text[s.pos-1] == '$' }

func (s *scanner) toLineEnd() {
	n := strings.IndexByte(s.text[s.pos:], '\n')
	if n < 0 {
		s.pos = len(s.text)
		return
	}
	s.pos += n + 1
}

// identifier reads a name with its members: os.system, IO::popen, $x->y, and
// module calls in front of them such as __import__('os').system.
func (s *scanner) identifier() string {
	start := s.pos
	for s.pos < len(s.text) && (s.text[s.pos] == '$' || s.text[s.pos] == '@') {
		s.pos++
	}
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		if isNameByte(c) {
			s.pos++
			continue
		}
		rest := s.text[s.pos:]
		n := 0
		switch {
		case c == '.' && s.lang != perl && s.lang != php && s.lang != awk:
			n = 1
		case strings.HasPrefix(rest, "::"), strings.HasPrefix(rest, "->"):
			n = 2
		}
		if n == 0 || s.pos+n >= len(s.text) || !isNameStart(s.text[s.pos+n]) {
			break
		}
		s.pos += n
	}
	if s.pos == start {
		s.pos++
	}
	return s.text[start:s.pos]
}

// arguments reads (a, b, ...), or without the parentheses where the language
// allows it. It reports false if there are none.
func (s *scanner) arguments() ([]value, bool) {
	if s.pos >= len(s.text) {
		return nil, false
	}
	closed := s.text[s.pos] == '('
	if closed {
		s.pos++
	} else if (s.lang != perl && s.lang != ruby && s.lang != lua && s.lang != php) || !s.valueStart() {
		return nil, false
	}
	return s.list(')', closed), true
}

// list reads values between commas up to the closing byte.
func (s *scanner) list(end byte, closed bool) []value {
	var out []value
	for s.pos < len(s.text) && !s.done {
		s.space()
		if s.pos >= len(s.text) {
			break
		}
		if closed && s.text[s.pos] == end {
			s.pos++
			return out
		}
		if !s.spend(1, 0) {
			break
		}
		v := s.argument()
		if len(out) < 256 {
			// qw(...) and %w(...) are several arguments.
			if v.isList && v.bare {
				out = append(out, v.list...)
			} else {
				out = append(out, v)
			}
		}
		s.space()
		if s.pos >= len(s.text) {
			break
		}
		switch c := s.text[s.pos]; {
		case c == ',':
			s.pos++
		case closed && c == end:
			s.pos++
			return out
		case !closed:
			return out
		default:
			// Something that is not understood makes the value unknown, and the
			// list goes on behind the next comma.
			if len(out) > 0 {
				out[len(out)-1] = unknown()
			}
			if !s.skipTo(end) {
				return out
			}
		}
	}
	return out
}

// skipTo passes over what is not understood, up to a comma or the closing byte
// of this list. It stops at the end of a statement outside of brackets.
func (s *scanner) skipTo(end byte) bool {
	depth, from := 0, s.pos
	defer func() { s.spend(1+(s.pos-from)/32, 0) }()
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; c {
		case '"', '\'':
			s.quotedString()
			continue
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth == 0 {
				return c == end
			}
			depth--
		case ',':
			if depth == 0 {
				return true
			}
		}
		s.pos++
	}
	return false
}

// argument reads one argument; the name of a named one is passed over.
func (s *scanner) argument() value {
	at := s.pos
	if isNameStart(s.text[s.pos]) {
		for s.pos < len(s.text) && isNameByte(s.text[s.pos]) {
			s.pos++
		}
		id := s.text[at:s.pos]
		s.space()
		if s.lang == python && strings.HasPrefix(s.text[s.pos:], "=") && !strings.HasPrefix(s.text[s.pos:], "==") {
			s.pos++
			s.space()
			v := s.concat()
			if id != "args" && id != "cmd" {
				return unknown()
			}
			return v
		}
		s.pos = at
	}
	return s.concat()
}

// stringStart reports whether a string begins here.
func (s *scanner) stringStart() bool {
	if s.pos >= len(s.text) {
		return false
	}
	switch s.text[s.pos] {
	case '"':
		return true
	case '\'':
		return s.lang != awk && s.lang != applescript
	case '`':
		return s.lang == node
	case '[':
		return s.lang == lua && (strings.HasPrefix(s.text[s.pos:], "[[") || strings.HasPrefix(s.text[s.pos:], "[="))
	}
	return false
}

// valueStart reports whether something that may be a value begins here.
func (s *scanner) valueStart() bool {
	if s.stringStart() {
		return true
	}
	c := s.text[s.pos]
	return c == '[' || c == '$' || c == '(' || c == '@' || isNameStart(c) || c == '%' && s.lang == ruby
}

// concat reads values with the language's operator of concatenation between.
func (s *scanner) concat() value {
	s.depth++
	defer func() { s.depth-- }()
	if s.depth > maxDepth || !s.spend(1, 0) {
		return unknown()
	}
	s.space()
	v := s.primary()
	for s.pos < len(s.text) && !s.done {
		at := s.pos
		s.space()
		if s.pos >= len(s.text) {
			return v
		}
		rest := s.text[s.pos:]
		switch {
		case s.lang == lua && strings.HasPrefix(rest, ".."):
			s.pos += 2
		case s.lang == applescript && rest[0] == '&':
			s.pos++
		case (s.lang == perl || s.lang == php) && rest[0] == '.' && !strings.HasPrefix(rest, ".="):
			s.pos++
		case (s.lang == python || s.lang == ruby || s.lang == node) && rest[0] == '+' && !strings.HasPrefix(rest, "+="):
			s.pos++
		case s.lang == ruby && strings.HasPrefix(rest, "<<"):
			s.pos += 2
		case (s.lang == python || s.lang == awk || s.lang == ruby) && s.stringStart():
			// Strings side by side.
		default:
			s.pos = at
			return v
		}
		s.space()
		if s.pos >= len(s.text) || !s.spend(1, 0) {
			return unknown()
		}
		v = join(v, s.primary())
		if len(v.s) > maxValue || !s.spend(0, len(v.s)/16) {
			return unknown()
		}
	}
	return v
}

func join(a, b value) value {
	if !a.ok || !b.ok || a.isList != b.isList {
		return unknown()
	}
	m := addMarks(addMarks(nil, a.marks), b.marks)
	if a.isList {
		if len(a.list)+len(b.list) > 256 {
			return unknown()
		}
		return value{list: append(append([]value(nil), a.list...), b.list...), isList: true, ok: true, marks: m}
	}
	return value{s: a.s + b.s, ok: true, marks: dialect.AddMark(m, dialect.Concat)}
}

// primary reads one value with the methods called on it.
func (s *scanner) primary() value {
	s.depth++
	defer func() { s.depth-- }()
	if s.pos >= len(s.text) || s.depth > maxDepth {
		return unknown()
	}
	var v value
	switch c := s.text[s.pos]; {
	case s.stringStart():
		v = s.quotedString()
	case c == '(':
		s.pos++
		l := s.list(')', true)
		switch {
		case len(l) == 1:
			v = l[0]
		case s.lang == python || s.lang == perl:
			v = listOf(l)
		}
	case c == '[' || c == '{' && s.lang == lua:
		s.pos++
		end := byte(']')
		if c == '{' {
			end = '}'
		}
		v = listOf(s.list(end, true))
	case c == '%' && s.lang == ruby && s.pos+2 < len(s.text):
		kind := s.text[s.pos+1]
		s.pos++
		if isNameStart(kind) {
			s.pos++
		}
		v = s.anyDelimiter(kind != 'q' && kind != 'w')
		if kind == 'w' || kind == 'W' {
			v = splitWords(v)
			v.bare = false
		}
	case isNameStart(c) || c == '$' || c == '@':
		v = s.named()
	case c >= '0' && c <= '9':
		start := s.pos
		for s.pos < len(s.text) && isNameByte(s.text[s.pos]) {
			s.pos++
		}
		v = value{s: s.text[start:s.pos], ok: true}
	default:
		return unknown()
	}
	return s.methods(v)
}

func listOf(l []value) value { return value{list: l, isList: true, ok: true} }

func splitWords(v value) value {
	if !v.ok || v.isList {
		return unknown()
	}
	out := value{isList: true, ok: true, bare: true, marks: v.marks}
	for i, f := range strings.Fields(v.s) {
		if i == 256 {
			return unknown()
		}
		out.list = append(out.list, value{s: f, ok: true})
	}
	return out
}

// named is a variable, a quoting operator, a string with a prefix, or a call.
func (s *scanner) named() value {
	start := s.pos
	id := s.identifier()
	rest := s.text[s.pos:]
	if s.lang == python && len(id) <= 2 && rest != "" && (rest[0] == '"' || rest[0] == '\'') {
		raw := strings.ContainsAny(id, "rR")
		v := s.pythonString(raw)
		if strings.ContainsAny(id, "fF") && strings.ContainsAny(v.s, "{}") {
			return unknown()
		}
		return v
	}
	if s.lang == perl {
		switch id {
		case "q", "qq", "qw":
			v := s.anyDelimiter(id == "qq")
			if id == "qw" {
				return splitWords(v)
			}
			return v
		}
	}
	if v, ok := s.vars[id]; ok {
		v.bare = false
		return v
	}
	at := s.pos
	s.space()
	if s.pos >= len(s.text) || s.text[s.pos] != '(' {
		// x.split() of a variable: the method is part of the name.
		s.pos = at
		if i := strings.LastIndexByte(id, '.'); i > 0 {
			if v, ok := s.vars[id[:i]]; ok {
				s.pos = start + i
				return v
			}
		}
		return unknown()
	}
	if i := strings.LastIndexByte(id, '.'); i > 0 {
		if v, ok := s.vars[id[:i]]; ok {
			s.pos = start + i
			return v
		}
	}
	s.pos++
	args := s.list(')', true)
	return function(id, args)
}

// function is the value of a call of one of the functions that only decode or
// arrange text.
func function(id string, args []value) value {
	if len(args) == 0 || !args[0].ok {
		return unknown()
	}
	a := args[0]
	name := strings.ToLower(id[strings.LastIndexAny(id, ".:>")+1:])
	switch name {
	case "b64decode", "decode64", "base64_decode", "decode_base64", "strict_decode64", "urlsafe_b64decode", "atob", "decodestring", "decodebytes", "standard_b64decode":
		return decode64(a)
	case "unhexlify", "fromhex", "hex2bin", "a2b_hex":
		return decodeHex(a)
	case "from":
		// Buffer.from(text, encoding)
		if len(args) > 1 {
			switch strings.ToLower(args[1].s) {
			case "base64", "base64url":
				return decode64(a)
			case "hex":
				return decodeHex(a)
			}
		}
		return a
	case "decode":
		// codecs.decode(text, encoding)
		if len(args) > 1 {
			switch strings.ToLower(strings.ReplaceAll(args[1].s, "_", "")) {
			case "rot13":
				return rot13(a)
			case "hex":
				return decodeHex(a)
			case "base64":
				return decode64(a)
			}
		}
	case "str_rot13":
		return rot13(a)
	case "strrev", "reverse":
		return reversed(a)
	case "chr", "fromcharcode", "char":
		out := value{ok: true, marks: []dialect.Mark{dialect.Concat}}
		for _, v := range args {
			n, err := strconv.ParseInt(v.s, 0, 32)
			if !v.ok || v.isList || err != nil {
				return unknown()
			}
			out.s += string(rune(n))
		}
		return out
	case "split":
		// shlex.split(text)
		if strings.HasPrefix(id, "shlex") {
			v := splitWords(a)
			v.bare = false
			return v
		}
	case "str", "bytes", "string", "strval", "array", "list", "trim":
		return a
	}
	return unknown()
}

func decode64(v value) value {
	if v.isList {
		return unknown()
	}
	s := strings.TrimRight(strings.Join(strings.Fields(v.s), ""), "=")
	raw, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		raw, err = base64.RawURLEncoding.DecodeString(s)
	}
	if err != nil {
		return unknown()
	}
	return value{s: string(raw), ok: true, marks: addMarks([]dialect.Mark{dialect.Encoded}, v.marks)}
}

func decodeHex(v value) value {
	raw, err := hex.DecodeString(v.s)
	if err != nil || v.isList {
		return unknown()
	}
	return value{s: string(raw), ok: true, marks: addMarks([]dialect.Mark{dialect.Encoded}, v.marks)}
}

func rot13(v value) value {
	if v.isList {
		return unknown()
	}
	v.s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return 'a' + (r-'a'+13)%26
		case r >= 'A' && r <= 'Z':
			return 'A' + (r-'A'+13)%26
		}
		return r
	}, v.s)
	v.marks = addMarks([]dialect.Mark{dialect.Encoded}, v.marks)
	return v
}

func reversed(v value) value {
	if v.isList {
		return unknown()
	}
	r := []rune(v.s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return value{s: string(r), ok: true, marks: addMarks([]dialect.Mark{dialect.Reversed}, v.marks)}
}

// methods applies the methods and subscripts that follow a value.
func (s *scanner) methods(v value) value {
	for s.pos < len(s.text) && !s.done {
		rest := s.text[s.pos:]
		if s.lang == python && strings.HasPrefix(rest, "[::-1]") && v.ok {
			s.pos += len("[::-1]")
			v = reversed(v)
			continue
		}
		if rest[0] != '.' || s.lang == perl || s.lang == php || s.lang == awk || len(rest) < 2 || !isNameStart(rest[1]) {
			return v
		}
		if !s.spend(1, 0) {
			return unknown()
		}
		at := s.pos
		s.pos++
		start := s.pos
		for s.pos < len(s.text) && isNameByte(s.text[s.pos]) {
			s.pos++
		}
		name := s.text[start:s.pos]
		var args []value
		if s.pos < len(s.text) && s.text[s.pos] == '(' {
			s.pos++
			args = s.list(')', true)
		} else if s.lang != ruby {
			s.pos = at
			return v
		}
		v = method(v, name, args)
	}
	return v
}

func method(v value, name string, args []value) value {
	if !v.ok {
		return unknown()
	}
	switch name {
	case "decode", "encode", "toString", "strip", "to_s", "chomp", "format", "freeze", "trim":
		if v.isList {
			return unknown()
		}
		if len(args) > 0 && (name == "decode" || name == "toString") {
			switch strings.ToLower(args[0].s) {
			case "hex":
				return decodeHex(v)
			case "base64":
				return decode64(v)
			case "rot13", "rot_13":
				return rot13(v)
			}
		}
		if name == "format" && strings.Contains(v.s, "{") {
			return unknown()
		}
		return v
	case "unpack1", "unpack":
		if len(args) == 1 && (args[0].s == "m" || args[0].s == "m0") {
			return decode64(v)
		}
	case "reverse":
		return reversed(v)
	case "lower", "downcase", "toLowerCase":
		v.s = strings.ToLower(v.s)
		return v
	case "split":
		if len(args) == 0 || args[0].ok && strings.TrimSpace(args[0].s) == "" {
			v = splitWords(v)
			v.bare = false
			return v
		}
	case "join":
		// Python joins with the string, the others the list.
		l, sep := v, value{ok: true}
		if len(args) == 1 {
			sep = args[0]
		}
		if !v.isList && len(args) == 1 && args[0].isList {
			l, sep = args[0], v
		}
		if !l.isList || !sep.ok || sep.isList {
			return unknown()
		}
		out := value{ok: true, marks: []dialect.Mark{dialect.Concat}}
		var b strings.Builder
		for i, w := range l.list {
			if !w.ok || w.isList || b.Len()+len(w.s)+len(sep.s) > maxValue {
				return unknown()
			}
			if i > 0 {
				b.WriteString(sep.s)
			}
			b.WriteString(w.s)
		}
		out.s = b.String()
		return out
	case "replace", "gsub":
		if len(args) == 2 && args[0].ok && args[1].ok && !v.isList && strings.Count(v.s, args[0].s)*(len(args[1].s)+1) < maxValue && args[0].s != "" {
			return value{s: strings.ReplaceAll(v.s, args[0].s, args[1].s), ok: true, marks: addMarks([]dialect.Mark{dialect.Concat}, v.marks)}
		}
	}
	return unknown()
}

// quotedString reads the string that begins here.
func (s *scanner) quotedString() value {
	c := s.text[s.pos]
	switch s.lang {
	case python:
		return s.pythonString(false)
	case lua:
		if c == '[' {
			return s.luaLong()
		}
		return s.delimited(c, c, true)
	case perl, ruby, php:
		return s.delimited(c, c, c != '\'')
	}
	return s.delimited(c, c, true)
}

func (s *scanner) pythonString(raw bool) value {
	q := s.text[s.pos : s.pos+1]
	if triple := strings.Repeat(q, 3); strings.HasPrefix(s.text[s.pos:], triple) {
		end := strings.Index(s.text[s.pos+3:], triple)
		if end < 0 {
			s.pos = len(s.text)
			return unknown()
		}
		body := s.text[s.pos+3 : s.pos+3+end]
		s.pos += end + 6
		if raw {
			return value{s: body, ok: s.spend(1, len(body))}
		}
		out, escaped := s.unescape(body)
		return literal(out, escaped, s.spend(1, len(body)))
	}
	if raw {
		start := s.pos + 1
		end := strings.Index(s.text[start:], q)
		if end < 0 {
			s.pos = len(s.text)
			return unknown()
		}
		s.pos = start + end + 1
		return value{s: s.text[start : start+end], ok: s.spend(1, end)}
	}
	return s.delimited(q[0], q[0], true)
}

func (s *scanner) luaLong() value {
	n := s.pos + 1
	for n < len(s.text) && s.text[n] == '=' {
		n++
	}
	if n >= len(s.text) || s.text[n] != '[' {
		s.pos++
		return unknown()
	}
	stop := "]" + s.text[s.pos+1:n] + "]"
	end := strings.Index(s.text[n+1:], stop)
	if end < 0 {
		s.pos = len(s.text)
		return unknown()
	}
	body := s.text[n+1 : n+1+end]
	s.pos = n + 1 + end + len(stop)
	return value{s: body, ok: s.spend(1, len(body))}
}

// anyDelimiter reads what stands behind q, qq, qx, %x and their like.
func (s *scanner) anyDelimiter(interpolate bool) value {
	for s.pos < len(s.text) && s.text[s.pos] == ' ' && s.lang == perl {
		s.pos++
	}
	if s.pos >= len(s.text) {
		return unknown()
	}
	open := s.text[s.pos]
	if isNameByte(open) || open == ' ' || open == ',' || open == '=' || open == ';' || open == ')' {
		return unknown()
	}
	end := open
	switch open {
	case '(':
		end = ')'
	case '[':
		end = ']'
	case '{':
		end = '}'
	case '<':
		end = '>'
	case '\'':
		interpolate = false
	}
	return s.delimited(open, end, interpolate)
}

// delimited reads a string from its opening delimiter on. Brackets nest.
func (s *scanner) delimited(open, end byte, escapes bool) value {
	start := s.pos + 1
	depth := 0
	for i := start; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '\\':
			i++
		case c == end && depth == 0:
			s.pos = i + 1
			body := s.text[start:i]
			if !s.spend(1, len(body)) {
				return unknown()
			}
			if !escapes {
				return value{s: strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(body), ok: true}
			}
			if s.interpolated(body, open) {
				return s.interpolate(body)
			}
			out, escaped := s.unescape(body)
			return literal(out, escaped, true)
		case c == end:
			depth--
		case c == open && open != end:
			depth++
		}
	}
	s.pos = len(s.text)
	return unknown()
}

func literal(s string, escaped, ok bool) value {
	v := value{s: s, ok: ok}
	if escaped {
		v.marks = []dialect.Mark{dialect.Escape}
	}
	return v
}

// interpolated reports whether a string has parts that are computed.
func (s *scanner) interpolated(body string, quote byte) bool {
	switch s.lang {
	case ruby:
		return strings.Contains(body, "#{")
	case node:
		return quote == '`' && strings.Contains(body, "${")
	case perl, php:
		for i := 0; i+1 < len(body); i++ {
			if body[i] == '\\' {
				i++
				continue
			}
			if (body[i] == '$' || body[i] == '@' && s.lang == perl) && (isNameStart(body[i+1]) || body[i+1] == '{') {
				return true
			}
		}
	}
	return false
}

// interpolate puts in variables that are known and leaves the others as they
// are written: the rest of the command still says what it is.
func (s *scanner) interpolate(body string) value {
	out := value{ok: true}
	var b strings.Builder
	for i := 0; i < len(body); {
		c := body[i]
		name, n := "", 0
		switch {
		case c == '\\' && i+1 < len(body):
			b.WriteString(body[i : i+2])
			i += 2
			continue
		case (c == '$' || c == '#') && i+1 < len(body) && body[i+1] == '{':
			if end := strings.IndexByte(body[i:min(len(body), i+256)], '}'); end > 0 {
				name, n = body[i+2:i+end], end+1
			}
		case c == '$' && (s.lang == perl || s.lang == php):
			j := i + 1
			for j < len(body) && isNameByte(body[j]) {
				j++
			}
			name, n = body[i+1:j], j-i
		}
		v, ok := s.vars[name]
		if !ok {
			v, ok = s.vars["$"+name]
		}
		if n > 0 && ok && v.ok && !v.isList && b.Len()+len(v.s) < maxValue && s.spend(1, len(v.s)) {
			b.WriteString(v.s)
			out.marks = addMarks(out.marks, v.marks)
			i += n
			continue
		}
		b.WriteByte(c)
		i++
	}
	var escaped bool
	out.s, escaped = s.unescape(b.String())
	if escaped {
		out.marks = dialect.AddMark(out.marks, dialect.Escape)
	}
	return out
}

// unescape decodes backslash escapes and reports those that stand for a letter
// or digit which could have been written as it is.
func (s *scanner) unescape(body string) (string, bool) {
	if strings.IndexByte(body, '\\') < 0 {
		return body, false
	}
	var b strings.Builder
	escaped := false
	put := func(n uint64, err error) bool {
		if err != nil {
			return false
		}
		if n < 0x80 && isNameByte(byte(n)) {
			escaped = true
		}
		b.WriteRune(rune(n))
		return true
	}
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' || i+1 == len(body) {
			b.WriteByte(body[i])
			continue
		}
		i++
		switch c := body[i]; c {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		case 'e':
			b.WriteByte(0x1b)
		case '\n':
		case 'x':
			j := i + 1
			for j < len(body) && j < i+3 && strings.IndexByte("0123456789abcdefABCDEF", body[j]) >= 0 {
				j++
			}
			if put(strconv.ParseUint(body[i+1:j], 16, 8)) {
				i = j - 1
			}
		case 'u':
			if i+5 <= len(body) && put(strconv.ParseUint(body[i+1:i+5], 16, 16)) {
				i += 4
			}
		case '0', '1', '2', '3', '4', '5', '6', '7':
			// Lua's are decimal.
			base, digits := 8, "01234567"
			if s.lang == lua {
				base, digits = 10, "0123456789"
			}
			j := i
			for j < len(body) && j < i+3 && strings.IndexByte(digits, body[j]) >= 0 {
				j++
			}
			if put(strconv.ParseUint(body[i:j], base, 8)) {
				i = j - 1
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), escaped
}
