package cmdexe

import (
	"errors"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
)

// maxDepth bounds nesting: of parentheses, if and for in one text, and of texts
// that are read again (call, for /f).
const maxDepth = 16

var (
	errDepth  = errors.New("nested more than 16 deep")
	errBudget = errors.New("more commands than the budget allows")
	errExpand = errors.New("variables expand to more than allowed")
	errParen  = errors.New("unclosed parenthesis")
)

type kind uint8

const (
	kindSimple kind = iota
	kindSeq
	kindPipe
	kindGroup
	kindIf
	kindFor
)

// node is a piece of the syntax tree. Its texts are spans of the source.
type node struct {
	kind       kind
	start, end int
	pad        bool // ",;=" stood in front
	kids       []node
	redirects  []dialect.Redirect // of a group
	cond       condition
	loop       forHead
}

// condition is what an if asks. op is "==", a comparison ("equ"), or one of
// "exist", "defined", "errorlevel", "cmdextversion" with only right set.
type condition struct {
	op, left, right string
	not, fold       bool
}

// forHead is what stands between for and do.
type forHead struct {
	mode byte // 0, 'd', 'r', 'l' or 'f'
	opts string
	name byte
	set  string
}

// parser reads one text. Once it met something nested too deep, flat is set:
// every level returns and the rest is read without nesting.
type parser struct {
	src   string
	pos   int
	depth int
	flat  bool
	b     *dialect.Budget
	err   error
}

func parse(src string, b *dialect.Budget) (node, error) {
	p := &parser{src: src, b: b}
	root := p.sequence(false)
	for p.flat && p.pos < len(p.src) && !errors.Is(p.err, errBudget) {
		n := len(p.src) - p.pos
		p.skipSeparators(true)
		if cmd, ok := p.simple(p.pos, false, true); ok {
			root.kids = append(root.kids, cmd)
		}
		if len(p.src)-p.pos == n {
			p.pos++
		}
	}
	return root, p.err
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
	if errors.Is(err, errBudget) {
		p.err = err
		p.pos = len(p.src)
	}
	if errors.Is(err, errDepth) {
		p.flat = true
	}
}

// enter counts one level of nesting and reports whether it is allowed.
func (p *parser) enter() bool {
	if p.depth >= maxDepth {
		p.fail(errDepth)
		return false
	}
	p.depth++
	return true
}

// sequence reads commands up to the end, or in parentheses to the closing one,
// which it leaves.
func (p *parser) sequence(paren bool) node {
	seq := node{kind: kindSeq, start: p.pos}
	for !p.flat {
		p.skipSeparators(!paren)
		if p.pos >= len(p.src) || paren && p.src[p.pos] == ')' {
			break
		}
		if n, ok := p.pipeline(paren); ok {
			seq.kids = append(seq.kids, n)
		}
	}
	seq.end = p.pos
	return seq
}

// skipSeparators skips what may stand between two commands; a closing
// parenthesis too when it closes nothing.
func (p *parser) skipSeparators(paren bool) {
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '&', c == '|', c == '\n', c == '\r', isBlank(c), paren && c == ')', p.flat && c == '(':
			p.pos++
		default:
			return
		}
	}
}

func (p *parser) pipeline(paren bool) (node, bool) {
	first, ok := p.command(paren)
	if !p.atPipe() || p.flat {
		return first, ok
	}
	pipe := node{kind: kindPipe, start: first.start}
	if ok {
		pipe.kids = append(pipe.kids, first)
	}
	for p.atPipe() && !p.flat {
		p.pos++
		p.skipBlanks()
		if next, ok := p.command(paren); ok {
			pipe.kids = append(pipe.kids, next)
		}
	}
	pipe.end = p.pos
	return pipe, len(pipe.kids) > 0
}

func (p *parser) atPipe() bool {
	p.skipBlanks()
	return p.pos < len(p.src) && p.src[p.pos] == '|' && (p.pos+1 >= len(p.src) || p.src[p.pos+1] != '|')
}

// body is what an if or for runs: commands joined by & up to the end of the
// line, and the else that follows a parenthesis.
func (p *parser) body(paren bool) (then, other node) {
	then = node{kind: kindSeq, start: p.pos}
	for !p.flat {
		p.skipBlanks()
		n, ok := p.pipeline(paren)
		if ok {
			then.kids = append(then.kids, n)
		}
		p.skipBlanks()
		if ok && n.kind == kindGroup && len(then.kids) == 1 {
			if w, end := p.word(p.pos); w == "else" {
				p.pos = end
				other, _ = p.body(paren)
				break
			}
		}
		if p.pos >= len(p.src) || p.src[p.pos] != '&' && p.src[p.pos] != '|' {
			break
		}
		for p.pos < len(p.src) && (p.src[p.pos] == '&' || p.src[p.pos] == '|' || isBlank(p.src[p.pos])) {
			p.pos++
		}
	}
	then.end = p.pos
	return then, other
}

func (p *parser) command(paren bool) (node, bool) {
	if !p.b.Spend(1, 0) {
		p.fail(errBudget)
		return node{}, false
	}
	pad := false
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		if c == ',' || c == ';' || c == '=' {
			pad = true
		} else if c != '@' && !isBlank(c) {
			break
		}
		p.pos++
	}
	if p.pos >= len(p.src) {
		return node{}, false
	}
	start := p.pos
	var redirects []dialect.Redirect
	for p.atRedirect() {
		redirects = append(redirects, p.redirect())
		p.skipBlanks()
	}
	if p.pos >= len(p.src) {
		p.pos = start
		return p.simple(start, paren, false)
	}
	switch c := p.src[p.pos]; {
	case c == '(':
		n, ok := p.group(start, redirects)
		n.pad = pad
		return n, ok
	case c == ':':
		p.skipLine()
		return node{}, false
	case c == '^' || c|0x20 == 'f' || c|0x20 == 'i' || c|0x20 == 'r':
		w, end := p.word(p.pos)
		switch w {
		case "for":
			save := p.pos
			p.pos = end
			if n, ok := p.loop(start, paren); ok || p.flat {
				n.redirects, n.pad = redirects, pad
				return n, ok
			}
			p.pos = save
		case "if":
			p.pos = end
			n, ok := p.branch(start, paren)
			n.redirects, n.pad = redirects, pad
			return n, ok
		case "rem":
			p.remark(end)
			return node{}, false
		}
	}
	p.pos = start
	n, ok := p.simple(start, paren, false)
	n.pad = pad
	return n, ok
}

func (p *parser) group(start int, redirects []dialect.Redirect) (node, bool) {
	if !p.enter() {
		return node{}, false
	}
	p.pos++
	n := node{kind: kindGroup, start: start, kids: []node{p.sequence(true)}}
	p.depth--
	if p.flat {
		return n, true
	}
	if p.pos >= len(p.src) {
		p.fail(errParen)
		n.end = p.pos
		return n, true
	}
	p.pos++
	for {
		p.skipBlanks()
		if !p.atRedirect() {
			break
		}
		redirects = append(redirects, p.redirect())
	}
	n.redirects, n.end = redirects, p.pos
	return n, true
}

// remark skips a rem: one word is read, and only behind a blank the rest of the
// line is lost, operators included.
func (p *parser) remark(end int) {
	p.pos = end
	p.skipBlanks()
	p.pos = p.wordEnd(p.pos)
	if p.pos < len(p.src) {
		switch p.src[p.pos] {
		case '&', '|', ')':
			return
		}
	}
	p.skipLine()
}

// branch reads an if behind its keyword.
func (p *parser) branch(start int, paren bool) (node, bool) {
	if !p.enter() {
		return node{}, false
	}
	defer func() { p.depth-- }()
	n := node{kind: kindIf, start: start}
	var w string
	var end int
	for {
		p.skipDelims()
		w, end = p.word(p.pos)
		if w == "/i" {
			n.cond.fold = true
		} else if w == "not" {
			n.cond.not = !n.cond.not
		} else {
			break
		}
		p.pos = end
	}
	switch w {
	case "exist", "defined", "errorlevel", "cmdextversion":
		n.cond.op = w
		p.pos = end
		p.skipDelims()
		end = p.wordEnd(p.pos)
		n.cond.right = p.src[p.pos:end]
		p.pos = end
	default:
		n.cond.left = p.operand()
		p.skipBlanks()
		if strings.HasPrefix(p.src[p.pos:], "==") {
			n.cond.op = "=="
		} else {
			n.cond.op, end = p.word(p.pos)
			switch n.cond.op {
			case "equ", "neq", "lss", "leq", "gtr", "geq":
				p.pos = end
			}
		}
		p.skipDelims()
		n.cond.right = p.operand()
	}
	p.skipDelims()
	then, other := p.body(paren)
	n.kids = []node{then, other}
	n.end = p.pos
	return n, true
}

// operand reads one side of a comparison.
func (p *parser) operand() string {
	start, quoted := p.pos, false
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		if c == '\n' || c == '\r' {
			break
		}
		if c == '"' {
			quoted = !quoted
		} else if !quoted && (isDelim(c) || c == '&' || c == '|') {
			break
		}
		p.pos++
	}
	return p.src[start:p.pos]
}

// loop reads a for behind its keyword; false means that it is none.
func (p *parser) loop(start int, paren bool) (node, bool) {
	if !p.enter() {
		return node{}, false
	}
	defer func() { p.depth-- }()
	n := node{kind: kindFor, start: start}
	p.skipDelims()
	for p.pos+1 < len(p.src) && p.src[p.pos] == '/' {
		n.loop.mode = p.src[p.pos+1] | 0x20
		p.pos += 2
		p.skipDelims()
		if p.pos < len(p.src) && p.src[p.pos] != '%' && p.src[p.pos] != '/' {
			end := p.wordEnd(p.pos)
			if n.loop.mode == 'f' {
				n.loop.opts = strings.Trim(p.src[p.pos:end], `"`)
			}
			p.pos = end
			p.skipDelims()
		}
	}
	percent := p.pos
	for p.pos < len(p.src) && p.src[p.pos] == '%' {
		p.pos++
	}
	if p.pos == percent || p.pos >= len(p.src) {
		return node{}, false
	}
	n.loop.name = p.src[p.pos]
	p.pos++
	p.skipDelims()
	w, end := p.word(p.pos)
	if w != "in" {
		return node{}, false
	}
	p.pos = end
	p.skipDelims()
	if p.pos >= len(p.src) || p.src[p.pos] != '(' {
		return node{}, false
	}
	p.pos++
	end = p.setEnd(n.loop.mode == 'f')
	n.loop.set = p.src[p.pos:end]
	p.pos = min(end+1, len(p.src))
	p.skipDelims()
	if w, end := p.word(p.pos); w == "do" {
		p.pos = end
	}
	p.skipDelims()
	then, _ := p.body(paren)
	n.kids = []node{then}
	n.end = p.pos
	return n, true
}

// setEnd finds the parenthesis that closes a for's set.
func (p *parser) setEnd(file bool) int {
	i := p.pos
	for i < len(p.src) && isBlank(p.src[i]) {
		i++
	}
	if file && i < len(p.src) && (p.src[i] == '\'' || p.src[i] == '`') {
		// A command may hold parentheses: the quote in front of one ends it.
		q := p.src[i]
		for k := i + 1; k < len(p.src); k++ {
			if p.src[k] != q {
				continue
			}
			e := k + 1
			for e < len(p.src) && isBlank(p.src[e]) {
				e++
			}
			if e < len(p.src) && p.src[e] == ')' {
				return e
			}
			k = e - 1
		}
	}
	quoted := false
	for ; i < len(p.src); i++ {
		switch c := p.src[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '^':
			i++
		case c == ')':
			return i
		}
	}
	return len(p.src)
}

// simple finds the end of a simple command that starts at start.
func (p *parser) simple(start int, paren, flat bool) (node, bool) {
	if flat && !p.b.Spend(1, 0) {
		p.fail(errBudget)
		return node{}, false
	}
	quoted := false
	i := p.pos
scan:
	for i < len(p.src) {
		c := p.src[i]
		switch {
		case c == '\n' || c == '\r':
			break scan
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '^':
			if strings.HasPrefix(p.src[i+1:], "\r\n") {
				i++
			}
			i++
		case c == '>' || c == '<':
			for i+1 < len(p.src) && (p.src[i+1] == '>' || p.src[i+1] == '&') {
				i++
			}
		case c == '&' || c == '|':
			break scan
		case c == ')' && (paren || flat):
			break scan
		}
		i++
	}
	// Trailing blanks belong to the command: set keeps them.
	p.pos = min(i, len(p.src))
	return node{kind: kindSimple, start: start, end: p.pos}, p.pos > start
}

// atRedirect reports whether a redirection starts here.
func (p *parser) atRedirect() bool {
	i := p.pos
	if i+1 < len(p.src) && '0' <= p.src[i] && p.src[i] <= '9' {
		i++
	}
	return i < len(p.src) && (p.src[i] == '>' || p.src[i] == '<')
}

func (p *parser) redirect() dialect.Redirect {
	r, end := redirectAt(p.src, p.pos)
	p.pos = end
	return r
}

// redirectAt reads the redirection at i, which starts with its digit or sign.
func redirectAt(s string, i int) (dialect.Redirect, int) {
	start := i
	if '0' <= s[i] && s[i] <= '9' {
		if s[i] == '1' {
			start++
		}
		i++
	}
	for n := 0; n < 2 && i < len(s) && (s[i] == '>' || s[i] == '<'); n++ {
		i++
	}
	r := dialect.Redirect{Op: s[start:i]}
	if i < len(s) && s[i] == '&' {
		end := i + 1
		for end < len(s) && isBlank(s[end]) {
			end++
		}
		if end < len(s) {
			end++
		}
		r.Target = "&" + strings.TrimLeft(s[i+1:end], " \t")
		return r, end
	}
	for i < len(s) && isBlank(s[i]) {
		i++
	}
	end := i
	quoted, plain := false, true
scan:
	for end < len(s) {
		c := s[end]
		switch {
		case c == '\n' || c == '\r':
			break scan
		case c == '"':
			quoted, plain = !quoted, false
		case quoted:
		case c == '^':
			plain = false
			end++
		case isDelim(c), c == '&', c == '|', c == '<', c == '>', c == ')':
			break scan
		}
		end++
	}
	end = min(end, len(s))
	r.Target = s[i:end]
	if !plain {
		r.Target = unescape(strings.ReplaceAll(r.Target, `"`, ""))
	}
	return r, end
}

// word returns the word at i in lower case without carets, as far as it can be a
// keyword, and where it ends.
func (p *parser) word(i int) (string, int) {
	var buf [16]byte
	n := 0
	for i < len(p.src) {
		c := p.src[i]
		if isDelim(c) || c == '(' || c == ')' || c == '&' || c == '|' || c == '<' || c == '>' || c == '\n' || c == '\r' {
			break
		}
		if c != '^' {
			if n == len(buf) {
				return "", i
			}
			buf[n] = lower(c)
			n++
		}
		i++
	}
	switch string(buf[:n]) {
	case "for", "if", "rem", "else", "in", "do", "not", "/i", "exist", "defined", "errorlevel", "cmdextversion",
		"equ", "neq", "lss", "leq", "gtr", "geq":
		return string(buf[:n]), i
	}
	return "", i
}

// wordEnd is where the word at i ends: at an unquoted delimiter or operator.
func (p *parser) wordEnd(i int) int {
	quoted := false
	for i < len(p.src) {
		c := p.src[i]
		if c == '\n' || c == '\r' {
			break
		}
		if c == '"' {
			quoted = !quoted
		} else if !quoted {
			if c == '^' {
				i++
			} else if isDelim(c) || c == '&' || c == '|' || c == '<' || c == '>' || c == '(' || c == ')' {
				break
			}
		}
		i++
	}
	return min(i, len(p.src))
}

func (p *parser) skipLine() {
	if i := strings.IndexByte(p.src[p.pos:], '\n'); i >= 0 {
		p.pos += i
	} else {
		p.pos = len(p.src)
	}
}

func (p *parser) skipBlanks() {
	for p.pos < len(p.src) && isBlank(p.src[p.pos]) {
		p.pos++
	}
}

func (p *parser) skipDelims() {
	for p.pos < len(p.src) && isDelim(p.src[p.pos]) {
		p.pos++
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\v' || c == '\f' }

func isDelim(c byte) bool { return c == ',' || c == ';' || c == '=' || isBlank(c) }

// unescape removes carets.
func unescape(s string) string {
	if strings.IndexByte(s, '^') < 0 {
		return s
	}
	buf := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '^' {
			i++
			if i == len(s) {
				break
			}
		}
		buf = append(buf, s[i])
	}
	return string(buf)
}
