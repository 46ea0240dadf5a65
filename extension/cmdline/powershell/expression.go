package powershell

import (
	"strings"
)

// arguments are what follows a command's name. words[0] is left for the name.
type arguments struct {
	words []string
	bits  bits
	each  value // what ForEach-Object's block writes
}

// arguments reads the arguments of command i, whose name is low in lower case.
func (p *parser) arguments(i int, prev *element, low string) arguments {
	a := arguments{words: make([]string, 1, 4)}
	var over *value
	if prev != nil && prev.expr && prev.v.known() && prev.v.kind != kindNull {
		switch low {
		case "%", "foreach", "foreach-object":
			over = &prev.v
		}
	}
	comma := false // the next word continues a list
	for !p.flat {
		p.skip(comma)
		if p.pos >= len(p.s) {
			break
		}
		c := p.s[p.pos]
		if c == '\n' || c == '\r' || c == ';' || c == '|' || c == ')' || c == '}' || c == '&' {
			break
		}
		if !p.spend(1) {
			break
		}
		if c == ',' {
			comma = true
			p.pos++
			continue
		}
		if p.redirectAhead() {
			p.redirect(i)
			comma = false
			continue
		}
		if strings.HasPrefix(p.s[p.pos:], "--%") && (p.pos+3 >= len(p.s) || isSpace(p.s[p.pos+3])) {
			p.pos += 3
			end := strings.IndexAny(p.s[p.pos:], "\n|")
			if end < 0 {
				end = len(p.s) - p.pos
			}
			a.words = append(a.words, strings.Fields(p.s[p.pos:p.pos+end])...)
			p.pos += end
			continue
		}
		before := p.pos
		var words []string
		if c == '{' && over != nil {
			a.each, _ = p.each(*over, func(v value) { p.it = v })
			words = []string{p.s[before:p.pos]}
		} else {
			words, a.bits = p.argument(words, &a.bits)
		}
		if p.pos == before {
			p.pos++
			continue
		}
		if comma && len(a.words) > 1 && len(words) > 0 {
			a.words = appendList(a.words, words[0])
			words = words[1:]
		}
		a.words = append(a.words, words...)
		comma = false
		// A list is put together where its commas are, so that it costs one copy.
		if p.listAhead() {
			a.words, comma = p.list(a.words, &a.bits), false
		}
	}
	return a
}

// listAhead reports whether a comma follows.
func (p *parser) listAhead() bool {
	p.skip(false)
	return p.peek() == ','
}

// list reads the rest of "a, b, c" and joins it to the last word.
func (p *parser) list(words []string, b *bits) []string {
	last := len(words) - 1
	buf := []byte(words[last])
	for !p.flat && p.peek() == ',' && p.spend(1) {
		p.pos++
		p.skip(true)
		if p.pos >= len(p.s) || endsWord(p.s, p.pos) && p.s[p.pos] != '(' && p.s[p.pos] != '{' {
			break
		}
		before := p.pos
		var more []string
		more, *b = p.argument(nil, b)
		if p.pos == before {
			break
		}
		for _, w := range more {
			buf = append(append(buf, ','), w...)
		}
		p.skip(false)
	}
	words[last] = string(buf)
	return words
}

func appendList(words []string, w string) []string {
	words[len(words)-1] += "," + w
	return words
}

// argument reads one argument and appends its words: one, but for a splatted
// table.
func (p *parser) argument(words []string, b *bits) ([]string, bits) {
	var have bits
	if b != nil {
		have = *b
	}
	start := p.pos
	c := p.s[p.pos]
	switch {
	case c == '(' || c == '{' || isQuote(p.s, p.pos):
		v := p.postfix(p.primary())
		s, vb := p.shown(&v, p.s[start:p.pos])
		return append(words, s), have | vb
	case c == '$':
		v := p.postfix(p.primary())
		s, vb := p.shown(&v, p.s[start:p.pos])
		if p.pos < len(p.s) && !endsWord(p.s, p.pos) {
			// $env:temp\x is one word.
			rest, rb := p.slowWord(false)
			s += rest
			vb |= rb
		}
		return append(words, s), have | vb
	case c == '@':
		if p.pos+1 < len(p.s) {
			if n := p.s[p.pos+1]; n == '(' || n == '{' || isQuote(p.s, p.pos+1) {
				v := p.postfix(p.primary())
				s, vb := p.shown(&v, p.s[start:p.pos])
				return append(words, s), have | vb
			}
		}
		p.pos++
		name := p.identifier()
		if v, ok := p.vars[variableKey(name)]; ok && v.kind == kindHash {
			for k := 0; k+1 < len(v.list) && k < 64; k += 2 {
				words = append(words, "-"+v.list[k].String(), v.list[k+1].joined(","))
			}
			return words, have | v.allBits()
		}
		if name == "" {
			w, wb := p.genericWord(false)
			return append(words, p.s[start:start+1]+w), have | wb
		}
		return append(words, p.s[start:p.pos]), have
	}
	w, wb := p.genericWord(false)
	return append(words, w), have | wb
}

// shown is how an argument shows a value: its text, or what was written when
// that is not known.
func (p *parser) shown(v *value, raw string) (string, bits) {
	if v.flatText() && v.kind != kindNull {
		if v.kind == kindArray && !p.produce(v.size()) {
			return raw, bitRaw
		}
		return v.joined(","), v.allBits()
	}
	if v.kind == kindCode {
		return v.s, v.bits | bitInvoke
	}
	return raw, bitRaw
}

// expressionAhead reports whether an expression starts here and not a command.
func (p *parser) expressionAhead() bool {
	if p.pos >= len(p.s) {
		return false
	}
	next := byte(0)
	if p.pos+1 < len(p.s) {
		next = p.s[p.pos+1]
	}
	switch c := p.s[p.pos]; {
	case c == '$', c == '(', c == '{', c == '!', c == '[', c == ',':
		return true
	case c == '@':
		return next == '(' || next == '{' || isQuote(p.s, p.pos+1)
	case isDigit(c), c == '.' && isDigit(next):
		_, end := p.numberAt(p.pos)
		return end > 0
	case c == '+':
		return next == '+' || next == '(' || next == '$' || isDigit(next) || isQuote(p.s, p.pos+1)
	}
	if isQuote(p.s, p.pos) {
		return true
	}
	if n := dashAt(p.s, p.pos); n > 0 {
		if n == 1 && (isDigit(next) || next == '(' || next == '$' || next == '-') {
			return true
		}
		op, _ := p.namedOperator()
		return unaryOperator(op)
	}
	return false
}

func unaryOperator(op string) bool {
	switch op {
	case "join", "split", "not", "bnot", "csplit", "isplit":
		return true
	}
	return false
}

// namedOperator returns the operator such as -join at the position in lower case
// and where it ends.
func (p *parser) namedOperator() (string, int) {
	n := dashAt(p.s, p.pos)
	if n == 0 {
		return "", 0
	}
	var buf [12]byte
	i, k := p.pos+n, 0
	for i < len(p.s) && isLetter(p.s[i]) {
		if k == len(buf) {
			return "", 0
		}
		buf[k] = p.s[i] | 0x20
		k++
		i++
	}
	if k == 0 || i < len(p.s) && (isDigit(p.s[i]) && k > 1 || p.s[i] == '_') {
		return "", 0
	}
	return string(buf[:k]), i
}

// The levels of binary operators, loosest first.
const (
	levelLogical = iota + 1
	levelCompare
	levelAdd
	levelMultiply
	levelFormat
	levelRange
	levelComma
)

func namedLevel(op string) int {
	switch op {
	case "and", "or", "xor":
		return levelLogical
	case "f":
		return levelFormat
	case "join", "replace", "ireplace", "creplace", "split", "isplit", "csplit",
		"eq", "ne", "gt", "ge", "lt", "le", "like", "notlike", "match", "notmatch", "contains", "notcontains", "in", "notin",
		"ieq", "ine", "igt", "ige", "ilt", "ile", "ilike", "inotlike", "imatch", "inotmatch", "icontains", "inotcontains",
		"ceq", "cne", "cgt", "cge", "clt", "cle", "clike", "cnotlike", "cmatch", "cnotmatch", "ccontains", "cnotcontains",
		"is", "isnot", "as", "band", "bor", "bxor", "shl", "shr":
		return levelCompare
	}
	return 0
}

// operator returns the binary operator at the position, its level and where it
// ends; level 0 is none.
func (p *parser) operator() (op string, level, end int) {
	p.skip(false)
	if p.pos >= len(p.s) {
		return "", 0, 0
	}
	next := byte(0)
	if p.pos+1 < len(p.s) {
		next = p.s[p.pos+1]
	}
	switch c := p.s[p.pos]; c {
	case ',':
		if p.noComma {
			return "", 0, 0
		}
		return ",", levelComma, p.pos + 1
	case '+':
		if next != '=' && next != '+' {
			return "+", levelAdd, p.pos + 1
		}
		return "", 0, 0
	case '*':
		if next != '=' && next != '>' {
			return "*", levelMultiply, p.pos + 1
		}
		return "", 0, 0
	case '/', '%':
		if next != '=' {
			return p.s[p.pos : p.pos+1], levelMultiply, p.pos + 1
		}
		return "", 0, 0
	case '.':
		if next == '.' {
			return "..", levelRange, p.pos + 2
		}
		return "", 0, 0
	}
	if n := dashAt(p.s, p.pos); n > 0 {
		if name, end := p.namedOperator(); name != "" {
			return name, namedLevel(name), end
		}
		if next != '=' && next != '-' {
			return "-", levelAdd, p.pos + n
		}
	}
	return "", 0, 0
}

// expression reads an expression of operators that bind at least as tightly as
// level.
func (p *parser) expression(level int) value {
	start := p.pos
	left := p.unary()
	listed := false // left is a list that this loop puts together
	var acc []byte  // the text of left while it grows, so that a chain is linear
	flush := func() {
		if acc != nil {
			left.s = string(acc)
			acc = nil
		}
	}
	for !p.flat {
		op, l, end := p.operator()
		if l == 0 || l < level {
			break
		}
		if !p.spend(1) {
			break
		}
		p.pos = end
		p.skip(true)
		if p.pos >= len(p.s) {
			break
		}
		right := p.expression(l + 1)
		if op == "+" && left.kind == kindString && right.scalar() && p.produce(len(right.s)+1) {
			if acc == nil {
				acc = append(acc, left.s...)
			}
			s := right.String()
			left.bits |= right.bits | bitConcat | glue(acc, s)
			left.name = ""
			acc = append(acc, s...)
			continue
		}
		if op == "," {
			flush()
			if !listed {
				left = value{kind: kindArray, list: []value{left}, bits: left.bits, cmd: left.cmd}
				listed = true
			}
			right.name = ""
			left.list = append(left.list, right)
			left.bits |= right.bits
			continue
		}
		flush()
		left = p.binary(op, left, right)
		if !left.known() && left.s == "" {
			left.s = p.s[start:p.pos]
		}
		listed = false
	}
	flush()
	return left
}

// unary reads prefix operators and casts, then what they apply to.
func (p *parser) unary() value {
	type prefix struct {
		op    string // an operator, or empty for a cast
		typ   string
		start int
	}
	var stack [8]prefix
	ops := stack[:0]
	var v value
	for {
		p.skip(false)
		if p.pos >= len(p.s) || p.flat || !p.spend(1) {
			return value{}
		}
		c := p.s[p.pos]
		if c == '[' {
			start := p.pos
			typ, ok := p.typeLiteral()
			if !ok {
				p.pos++
				return value{}
			}
			if strings.HasPrefix(p.s[p.pos:], "::") {
				v = p.postfix(value{kind: kindType, s: typ, n: int64(start)})
				break
			}
			save := p.pos
			p.skip(false)
			if p.operandAhead() {
				ops = append(ops, prefix{typ: typ, start: start})
				continue
			}
			p.pos = save
			v = value{kind: kindType, s: typ, n: int64(start)}
			break
		}
		if c == '!' || c == ',' {
			ops = append(ops, prefix{op: string(c)})
			p.pos++
			continue
		}
		if c == '+' {
			ops = append(ops, prefix{op: "+"})
			p.pos++
			continue
		}
		if n := dashAt(p.s, p.pos); n > 0 {
			if op, end := p.namedOperator(); unaryOperator(op) {
				ops = append(ops, prefix{op: op})
				p.pos = end
				p.skip(true)
				continue
			}
			ops = append(ops, prefix{op: "-"})
			p.pos += n
			continue
		}
		v = p.postfix(p.primary())
		break
	}
	for i := len(ops) - 1; i >= 0; i-- {
		v.name = ""
		if ops[i].op != "" {
			v = p.prefix(ops[i].op, v)
		} else {
			v = p.cast(ops[i].typ, v, ops[i].start)
		}
	}
	return v
}

// operandAhead reports whether something a cast applies to starts here.
func (p *parser) operandAhead() bool {
	switch c := p.peek(); {
	case c == '$', c == '(', c == '[', c == '{', c == '@', isDigit(c), isQuote(p.s, p.pos):
		return true
	case c == '-' || c == '+':
		return p.pos+1 < len(p.s) && (isDigit(p.s[p.pos+1]) || p.s[p.pos+1] == '$' || p.s[p.pos+1] == '(')
	}
	return false
}

// typeLiteral reads [Type], also generic, array types and attributes.
func (p *parser) typeLiteral() (string, bool) {
	depth := 0
	end := min(len(p.s), p.pos+512)
	for i := p.pos; i < end; i++ {
		switch p.s[i] {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				typ := strings.TrimSpace(p.s[p.pos+1 : i])
				p.pos = i + 1
				return typ, true
			}
		case ';', '{', '}', '|':
			return "", false
		}
	}
	return "", false
}

// numberAt reads the number at i; end is 0 when it is a word such as 7z.
func (p *parser) numberAt(i int) (value, int) {
	start := i
	s := p.s
	var n int64
	if i+2 < len(s) && s[i] == '0' && s[i+1]|0x20 == 'x' {
		i += 2
		for i < len(s) && (isDigit(s[i]) || s[i]|0x20 >= 'a' && s[i]|0x20 <= 'f') {
			d := int64(s[i]|0x20) - 'a' + 10
			if isDigit(s[i]) {
				d = int64(s[i] - '0')
			}
			n = n<<4 | d
			i++
		}
	} else {
		for i < len(s) && isDigit(s[i]) {
			n = n*10 + int64(s[i]-'0')
			i++
		}
	}
	whole := true
	if i+1 < len(s) && s[i] == '.' && isDigit(s[i+1]) {
		whole = false
		i++
		for i < len(s) && isDigit(s[i]) {
			i++
		}
	}
	if i+1 < len(s) && s[i+1]|0x20 == 'b' {
		switch s[i] | 0x20 {
		case 'k':
			n <<= 10
			i += 2
		case 'm':
			n <<= 20
			i += 2
		case 'g':
			n <<= 30
			i += 2
		}
	} else if i < len(s) && (s[i]|0x20 == 'l' || s[i]|0x20 == 'd') {
		i++
	}
	if i < len(s) && (isNameByte(s[i]) && spaceAt(s, i) == 0 && !isQuote(s, i) && dashAt(s, i) == 0 || s[i] == '\\' || s[i] == ':') {
		return value{}, 0
	}
	if i-start > 18 || !whole {
		return value{s: s[start:i]}, i
	}
	return value{kind: kindNumber, n: n}, i
}

// primary reads a literal, a variable or something in brackets.
func (p *parser) primary() value {
	start := p.pos
	c := p.s[p.pos]
	switch {
	case c == '(':
		v := p.paren()
		v.name = ""
		return v
	case c == '{':
		v := p.block()
		return value{kind: kindBlock, s: p.s[start:p.pos], cmd: v.cmd}
	case c == '@':
		if p.pos+1 < len(p.s) {
			switch p.s[p.pos+1] {
			case '(':
				p.pos++
				v := p.paren()
				v.name = ""
				if v.known() && v.kind != kindArray {
					if v.kind == kindNull {
						return value{kind: kindArray, cmd: v.cmd}
					}
					return value{kind: kindArray, list: []value{v}, bits: v.bits, cmd: v.cmd}
				}
				return v
			case '{':
				return p.hash()
			}
			if v, ok := p.hereString(); ok {
				return v
			}
		}
		p.pos++
		return value{}
	case c == '$':
		if p.pos+1 < len(p.s) && p.s[p.pos+1] == '(' {
			p.pos++
			return p.paren()
		}
		name, ok := p.variableName()
		if !ok {
			p.pos = start + 1
			return value{s: "$"}
		}
		v, own, ok := p.lookup(name)
		if !ok {
			return value{s: p.s[start:p.pos], name: name}
		}
		if own {
			v.bits |= bitVariable
		}
		v.name = name
		return v
	case isQuote(p.s, p.pos):
		return p.quoted()
	case isDigit(c) || c == '.':
		if v, end := p.numberAt(p.pos); end > 0 {
			p.pos = end
			return v
		}
	}
	// Not an expression: a word in its place.
	w, b := p.genericWord(false)
	if p.pos == start {
		p.pos++
	}
	return value{s: w, bits: b}
}

// hash reads @{ key = value; ... }.
func (p *parser) hash() value {
	start := p.pos
	if !p.enter() {
		return value{}
	}
	defer p.leave()
	defer p.commas(true)()
	v := value{kind: kindHash}
	p.pos += 2
	for !p.flat {
		p.skip(true)
		if p.pos >= len(p.s) {
			p.fail(errBracket)
			break
		}
		c := p.s[p.pos]
		if c == '}' {
			p.pos++
			break
		}
		if c == ';' || c == ',' || c == '=' {
			p.pos++
			continue
		}
		if !p.spend(1) {
			break
		}
		before := p.pos
		key := ""
		if isNameByte(c) && !isDigit(c) && !isQuote(p.s, p.pos) {
			key = p.identifier()
		} else if k := p.unary(); k.scalar() {
			key = k.String()
		}
		p.skip(true)
		if p.peek() == '=' {
			p.pos++
			p.skip(true)
			if p.pos < len(p.s) && p.s[p.pos] != '}' && p.s[p.pos] != ';' {
				item, _ := p.statement()
				item.name = ""
				if item.flatText() && len(v.list) < 128 {
					v.list = append(v.list, text(key), item)
				}
			}
		}
		if p.pos == before {
			p.pos++
		}
	}
	v.s = p.s[start:min(p.pos, len(p.s))]
	return v
}

// postfix reads members, calls and indexes.
func (p *parser) postfix(v value) value {
	for !p.flat && p.pos < len(p.s) {
		c := p.s[p.pos]
		switch {
		case c == '.' && p.pos+1 < len(p.s) && p.memberAhead(p.pos+1):
			p.pos++
			v = p.memberOf(v, false)
		case c == ':' && strings.HasPrefix(p.s[p.pos:], "::") && v.kind != kindString && v.kind != kindNumber:
			p.pos += 2
			p.skip(false)
			v = p.memberOf(v, true)
		case c == '[' && v.kind != kindNumber:
			v = p.index(v)
		case (c == '+' || c == '-') && p.pos+1 < len(p.s) && p.s[p.pos+1] == c && v.name != "":
			p.pos += 2
			p.assign(v.name, value{})
			v = value{}
		default:
			return v
		}
	}
	return v
}

// commas says whether a comma makes a list from here on, and returns what sets
// that back.
func (p *parser) commas(list bool) func() {
	was := p.noComma
	p.noComma = !list
	return func() { p.noComma = was }
}

func (p *parser) memberAhead(i int) bool {
	c := p.s[i]
	return isLetter(c) || c == '_' || c == '$' || c == '(' || isQuote(p.s, i) || c == '`'
}

// memberOf reads the name of a member of v and, when brackets follow, the call.
func (p *parser) memberOf(v value, static bool) value {
	if p.pos >= len(p.s) || !p.spend(1) {
		return value{}
	}
	name := ""
	start := p.pos
	var b bits
	switch c := p.s[p.pos]; {
	case c == '$' || c == '(' || isQuote(p.s, p.pos):
		n := p.primary()
		if n.scalar() {
			name = n.String()
			b = n.allBits()
			if !isQuote(p.s, start) {
				b |= bitConcat
			}
		}
	default:
		name = p.identifier()
		for p.peek() == '`' && p.pos+1 < len(p.s) && isNameByte(p.s[p.pos+1]) {
			p.pos++
			name += p.identifier()
			b |= bitBacktick
		}
	}
	v.bits |= b
	switch p.peek() {
	case '(':
		return p.invoke(v, name, static)
	case '{':
		if low := strings.ToLower(name); low == "foreach" || low == "where" {
			return p.overBlock(v, low)
		}
	}
	return p.property(v, name, static)
}

// callArguments reads the bracketed arguments of a method.
func (p *parser) callArguments() []value {
	if !p.enter() {
		return nil
	}
	defer p.leave()
	defer p.commas(false)()
	p.pos++
	var args []value
	for !p.flat {
		p.skip(true)
		if p.pos >= len(p.s) {
			p.fail(errBracket)
			return args
		}
		switch c := p.s[p.pos]; c {
		case ')':
			p.pos++
			return args
		case ',':
			p.pos++
			// (,$x) is an array of one; the comma in front is otherwise a separator.
			continue
		}
		before := p.pos
		arg := p.expression(0)
		if !arg.flatText() && arg.s == "" {
			arg.s = strings.TrimSpace(p.s[before:p.pos])
		}
		args = append(args, arg)
		p.skip(true)
		if p.pos < len(p.s) && p.s[p.pos] != ')' && p.s[p.pos] != ',' {
			// Not an expression: read on as statements.
			p.statements(')')
		}
		if p.pos == before {
			p.pos++
		}
	}
	return args
}

// overBlock is .ForEach{ } and .Where{ }.
func (p *parser) overBlock(v value, name string) value {
	it := p.it
	out, known := p.each(v, func(item value) { p.it = item })
	p.it = it
	if known && name == "foreach" {
		return out
	}
	return value{cmd: v.cmd}
}

// index reads [...] behind v.
func (p *parser) index(v value) value {
	if !p.enter() {
		return value{}
	}
	defer p.leave()
	defer p.commas(true)()
	p.pos++
	p.skip(true)
	if p.pos >= len(p.s) {
		p.fail(errBracket)
		return value{}
	}
	i := p.expression(0)
	p.skip(true)
	if p.peek() != ']' {
		p.statements(']')
	}
	p.close(']')
	return p.at(v, i)
}
