// Package powershell reads PowerShell: it says which commands a script runs,
// evaluating the expressions over literals that hide a name (concatenation,
// -join, -f, -replace, casts of character codes, reversed and encoded texts).
//
// Source: Microsoft, "PowerShell language specification" and the about_ topics
// (about_Parsing, about_Quoting_Rules, about_Operator_Precedence,
// about_PowerShell_exe, about_pwsh).
package powershell

import (
	"errors"
	"fmt"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
)

const (
	maxDepth      = 16        // nesting of parentheses, blocks and subexpressions
	maxRounds     = 4096      // rounds of all loops over literals in one text
	maxReread     = 512 << 10 // bytes of blocks read in further rounds
	emittedRounds = 8         // rounds of one loop whose commands are kept
	maxProduced   = 256 << 10 // bytes one text may evaluate to
	maxVariables  = 4096
)

var (
	errDepth   = errors.New("nested more than 16 deep")
	errBudget  = errors.New("more to read than the budget allows")
	errProduce = errors.New("expressions evaluate to more than allowed")
	errQuote   = errors.New("unclosed quote")
	errBracket = errors.New("unclosed bracket")
)

// Parse returns the commands of script, flattened and in order of appearance:
// also those in blocks, parentheses, $(...) and @(...), in every branch and loop.
// Names and aliases stay as written; variables that the script set to a literal
// are resolved, others stay as text. What is not literal stays as written in an
// argument, a script block always.
//
// Invoke-Expression's text, however it is passed, is its first argument, and the
// text of [scriptblock]::Create and of $ExecutionContext.InvokeCommand is that of
// an "iex". A static method that does more than compute is a command of the form
// "[Type]::Method", and so is a cast that reaches WMI ("[wmisearcher]").
//
// The error names what could not be read; the commands found are valid even so.
func Parse(script string, b *dialect.Budget) (cmds []dialect.Simple, err error) {
	p := &parser{s: script, b: b, room: min(maxProduced, b.Bytes/2), reserve: b.Steps / 2, reread: maxReread}
	p.statements(0)
	for p.flat && p.pos < len(p.s) {
		p.flatCommand()
	}
	for i := range p.out {
		p.out[i].Marks = p.bits[i].marks()
	}
	p.drop()
	if p.err != nil {
		err = fmt.Errorf("reading PowerShell at byte %d: %w", p.errPos, p.err)
	}
	return p.out, err
}

// parser reads a script in one pass and evaluates as it goes. Once it met
// something nested too deep, flat is set: every level returns and the rest is
// read as words.
type parser struct {
	s       string
	pos     int
	b       *dialect.Budget
	room    int // bytes still to be evaluated to
	reread  int // bytes of blocks that may be read again
	reserve int // steps that only reading may take, not evaluating
	depth   int
	rounds  int
	mute    int // no commands are added while positive
	flat    bool
	noComma bool // between the arguments of a method, where a comma separates
	regexps int
	out     []dialect.Simple
	bits    []bits // of out
	ends    []int  // where the commands of out end in the text
	vars    map[string]value
	aliases map[string]string
	it      value // $_
	err     error
	errPos  int
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err, p.errPos = err, min(p.pos, len(p.s))
	}
	switch {
	case errors.Is(err, errDepth):
		p.flat = true
	case errors.Is(err, errBudget):
		p.pos = len(p.s)
	}
}

func (p *parser) enter() bool {
	if p.depth >= maxDepth {
		p.fail(errDepth)
		return false
	}
	p.depth++
	return true
}

func (p *parser) leave() { p.depth-- }

// spend takes steps for what is read; without it reading ends.
func (p *parser) spend(steps int) bool {
	if !p.b.Spend(steps, 0) {
		p.fail(errBudget)
		return false
	}
	return true
}

// afford takes steps for what is evaluated; without it the value is unknown and
// reading goes on.
func (p *parser) afford(steps int) bool {
	if p.b.Steps-steps < p.reserve {
		p.fail(errProduce)
		return false
	}
	return p.b.Spend(steps, 0)
}

// produce takes n bytes for what is evaluated; without it the value is unknown
// and reading goes on.
func (p *parser) produce(n int) bool {
	if n > p.room || n > p.b.Bytes {
		p.fail(errProduce)
		return false
	}
	p.room -= n
	return p.b.Spend(0, n)
}

// begin makes room for a command and returns its index, -1 when muted.
func (p *parser) begin() int {
	if p.mute > 0 {
		return -1
	}
	p.out = append(p.out, dialect.Simple{Next: -1})
	p.bits = append(p.bits, 0)
	p.ends = append(p.ends, 0)
	return len(p.out) - 1
}

func (p *parser) emit(i int, argv []string, b bits, raw string) {
	if i < 0 {
		return
	}
	p.out[i].Argv, p.out[i].Raw = argv, strings.TrimRight(raw, " \t\r\n")
	p.bits[i] |= b
	p.ends[i] = p.pos
}

func (p *parser) member(cmd int, name string) {
	if cmd > 0 && p.mute == 0 && len(p.out[cmd-1].Members) < 64 {
		p.out[cmd-1].Members = append(p.out[cmd-1].Members, strings.ToLower(name))
	}
}

// drop removes slots that were left without a name, and the commands of later
// rounds of a loop that are the same as those of earlier ones.
func (p *parser) drop() {
	type place struct {
		end  int
		argv string
	}
	var seen map[place]bool
	var fed map[int]bool
	if p.rounds > 0 {
		fed, seen = make(map[int]bool), make(map[place]bool)
		for i := range p.out {
			if n := p.out[i].Next; n >= 0 {
				fed[n] = true
			}
		}
	}
	to := make([]int, len(p.out))
	kept := 0
	for i, c := range p.out {
		to[i] = -1
		if len(c.Argv) == 0 || c.Argv[0] == "" {
			continue
		}
		if seen != nil && c.Next < 0 && !fed[i] && c.Stdin == "" && len(c.Members) == 0 {
			at := place{p.ends[i], strings.Join(c.Argv, "\x00")}
			if seen[at] {
				continue
			}
			seen[at] = true
		}
		to[i] = kept
		p.out[kept] = c
		kept++
	}
	p.out = p.out[:kept]
	for i := range p.out {
		if n := p.out[i].Next; n >= 0 {
			p.out[i].Next = to[n]
		}
	}
}

// statements reads up to term (0 for the end of the text), which it leaves, and
// returns what the expressions among them write.
func (p *parser) statements(term byte) value {
	var outs []value
	unknown := false
	var cmd int
	var all bits
	for !p.flat {
		p.skip(true)
		if p.pos >= len(p.s) {
			break
		}
		switch c := p.s[p.pos]; {
		case c == term && term != 0:
			return p.collect(outs, unknown, cmd, all)
		case c == ';', c == '&' && !p.callAhead(), c == '|', c == ')', c == '}', c == ',', c == ']':
			p.pos++
			continue
		}
		if !p.spend(1) {
			break
		}
		before := p.pos
		v, silent := p.statement()
		if p.pos == before {
			p.pos++
		}
		if silent {
			continue
		}
		if v.cmd > 0 {
			cmd = v.cmd
		}
		if term == 0 {
			continue
		}
		all |= v.bits
		if v.kind == kindArray && len(outs) > 0 {
			outs = append(outs, v.list...)
			continue
		}
		unknown = unknown || v.kind == kindUnknown
		outs = append(outs, v)
	}
	if term != 0 && !p.flat {
		p.fail(errBracket)
	}
	return p.collect(outs, unknown, cmd, all)
}

func (p *parser) collect(outs []value, unknown bool, cmd int, all bits) value {
	switch {
	case len(outs) == 1:
		v := outs[0]
		v.name = ""
		if v.cmd == 0 {
			v.cmd = cmd
		}
		return v
	case len(outs) == 0:
		return value{kind: kindNull, cmd: cmd}
	case unknown:
		return value{cmd: cmd, bits: all}
	}
	if outs[0].kind == kindArray {
		outs = append(append([]value(nil), outs[0].list...), outs[1:]...)
	}
	return value{kind: kindArray, list: outs, cmd: cmd, bits: all}
}

// callAhead reports whether the & here is the call operator, not one that ends
// or joins commands.
func (p *parser) callAhead() bool {
	i := p.pos + 1
	for i < len(p.s) && (p.s[i] == ' ' || p.s[i] == '\t') {
		i++
	}
	return i < len(p.s) && p.s[i] != '&' && p.s[i] != ';' && p.s[i] != '\n' && p.s[i] != '\r' && p.s[i] != ')' && p.s[i] != '}'
}

// statement reads one statement; silent says that it writes nothing.
func (p *parser) statement() (v value, silent bool) {
	c := p.s[p.pos]
	if c == '{' {
		return p.block(), true
	}
	if c == ':' {
		p.pos++
		p.identifier()
		return value{}, true
	}
	if isLetter(c) {
		if word, end := p.keyword(); word != "" {
			if v, silent, ok := p.keywordStatement(word, end); ok {
				return v, silent
			}
		}
	}
	return p.pipeline()
}

// keyword returns the keyword at the position in lower case, or nothing.
func (p *parser) keyword() (string, int) {
	var buf [16]byte
	i, n := p.pos, 0
	for i < len(p.s) && isLetter(p.s[i]) {
		if n == len(buf) {
			return "", 0
		}
		buf[n] = p.s[i] | 0x20
		n++
		i++
	}
	if i < len(p.s) {
		switch c := p.s[i]; c {
		case ' ', '\t', '\r', '\n', '(', '{', ';', '}', ')', '$', '[', '"', '\'':
		default:
			return "", 0
		}
	}
	switch string(buf[:n]) {
	case "if", "elseif", "else", "while", "until", "for", "foreach", "switch", "function", "filter", "workflow", "param",
		"try", "catch", "finally", "do", "begin", "process", "end", "clean", "dynamicparam", "trap", "return", "throw", "exit",
		"break", "continue", "class", "enum", "default", "data", "parallel", "sequence", "inlinescript":
		return string(buf[:n]), i
	}
	return "", 0
}

// keywordStatement reads what starts with a keyword. Blocks that follow are read
// as the statements after it. ok is false for a command of that name.
func (p *parser) keywordStatement(word string, end int) (v value, silent, ok bool) {
	start := p.pos
	p.pos = end
	p.skip(true)
	next := p.peek()
	switch word {
	case "if", "elseif", "while", "until", "switch":
		for word == "switch" && next == '-' {
			p.pos++
			p.identifier()
			p.skip(true)
			next = p.peek()
		}
		if next == '(' {
			p.paren()
			return value{}, true, true
		}
		if word == "switch" {
			return value{}, true, true
		}
	case "for":
		if next == '(' {
			p.paren()
			return value{}, true, true
		}
	case "foreach":
		for next == '-' && strings.HasPrefix(strings.ToLower(p.s[p.pos:min(len(p.s), p.pos+9)]), "-parallel") {
			p.pos += 9
			p.skip(true)
			next = p.peek()
		}
		if next == '(' {
			v, silent = p.foreach()
			return v, silent, true
		}
	case "else", "try", "finally", "do", "begin", "process", "end", "clean", "dynamicparam", "default", "data", "parallel", "sequence", "inlinescript":
		if next == '{' {
			return value{}, true, true
		}
		if word == "else" {
			return value{}, true, true
		}
	case "catch", "trap":
		for next == '[' || next == ',' {
			if next == '[' {
				if _, ok := p.typeLiteral(); !ok {
					p.pos++
				}
			} else {
				p.pos++
			}
			p.skip(true)
			next = p.peek()
		}
		if next == '{' {
			return value{}, true, true
		}
	case "function", "filter", "workflow":
		p.genericWord(false)
		p.skip(true)
		if p.peek() == '(' {
			p.paren()
		}
		return value{}, true, true
	case "param":
		if next == '(' {
			p.paren()
			return value{}, true, true
		}
	case "class":
		for p.pos < len(p.s) && p.s[p.pos] != '{' && p.s[p.pos] != '\n' && p.s[p.pos] != ';' {
			p.pos++
		}
		return value{}, true, true
	case "enum":
		for p.pos < len(p.s) && p.s[p.pos] != '}' {
			p.pos++
		}
		return value{}, true, true
	case "return", "throw", "exit":
		if next == 0 || next == ';' || next == '}' || next == ')' || strings.ContainsAny(p.s[end:p.pos], "\n") {
			return value{}, true, true
		}
		v, silent = p.pipeline()
		return v, silent, true
	case "break", "continue":
		if next == ';' || next == '}' || next == 0 || strings.ContainsAny(p.s[end:p.pos], "\n") {
			return value{}, true, true
		}
		p.identifier()
		return value{}, true, true
	}
	p.pos = start
	return value{}, false, false
}

// foreach reads "($x in expression) { ... }".
func (p *parser) foreach() (value, bool) {
	if !p.enter() {
		return value{}, true
	}
	defer p.leave()
	p.pos++
	p.skip(true)
	name := ""
	if p.peek() == '$' {
		name, _ = p.variableName()
	}
	p.skip(true)
	if word := p.identifier(); !strings.EqualFold(word, "in") {
		name = ""
	}
	over := p.statements(')')
	p.close(')')
	p.skip(true)
	if p.peek() != '{' {
		return value{}, true
	}
	out, known := p.each(over, func(item value) { p.assign(name, item) })
	if !known {
		return value{cmd: out.cmd}, false
	}
	return out, false
}

// each reads the block at the position once for every element of over, told by
// bind, and returns what the rounds write. Of an unknown value there is one round.
func (p *parser) each(over value, bind func(value)) (value, bool) {
	start := p.pos
	items := over.elements()
	if !over.known() || over.kind == kindNull || len(items) == 0 {
		v := value{cmd: over.cmd, s: "$_"}
		bind(v)
		return p.block(), false
	}
	var outs []value
	known := true
	all := over.bits
	var length int
	if len(items) > emittedRounds {
		defer func(mute int) { p.mute = mute }(p.mute)
	}
	for i, item := range items {
		if p.flat {
			break
		}
		p.reread -= length
		if p.reread < 0 || p.rounds >= maxRounds || !p.afford(1+length/16) {
			p.fail(errProduce)
			known = false
			if i > 0 {
				break
			}
			items = items[:1]
		}
		p.rounds++
		if i == emittedRounds {
			p.mute++
		}
		p.pos = start
		if item.cmd == 0 {
			item.cmd = over.cmd
		}
		item.name = ""
		bind(item)
		v := p.block()
		length = p.pos - start
		if v.kind == kindUnknown || v.kind > kindBytes {
			known = false
			// Nothing is gained by more rounds than commands are kept of.
			if i+1 >= emittedRounds {
				break
			}
			continue
		}
		all |= v.allBits()
		if v.kind == kindArray {
			outs = append(outs, v.list...)
		} else if v.kind != kindNull {
			outs = append(outs, v)
		}
	}
	if p.pos == start && !p.flat {
		p.pos++
	}
	return value{kind: kindArray, list: outs, bits: all, cmd: over.cmd}, known
}

// block reads a script block with its commands and returns what it writes.
func (p *parser) block() value {
	if !p.enter() {
		return value{}
	}
	defer p.leave()
	defer p.commas(true)()
	p.pos++
	v := p.statements('}')
	p.close('}')
	return v
}

func (p *parser) paren() value {
	if !p.enter() {
		return value{}
	}
	defer p.leave()
	defer p.commas(true)()
	p.pos++
	v := p.statements(')')
	p.close(')')
	return v
}

func (p *parser) close(c byte) {
	if p.pos < len(p.s) && p.s[p.pos] == c {
		p.pos++
	}
}

// element is one part of a pipeline.
type element struct {
	v     value
	main  int // its command, -1 for none
	first int // the command the pipeline starts with, -1 for none
	expr  bool
	text  string // what a command is known to write (echo)
	says  bool
}

// pipeline reads commands and expressions joined by |, and assignments.
func (p *parser) pipeline() (value, bool) {
	e, assigned := p.element(nil)
	if assigned {
		return value{}, true
	}
	e.first = e.main
	it := p.it
	for !p.flat {
		p.skip(false)
		if p.peek() != '|' || strings.HasPrefix(p.s[p.pos:], "||") {
			break
		}
		p.pos++
		p.skip(true)
		if p.pos >= len(p.s) || p.s[p.pos] == ')' || p.s[p.pos] == '}' || !p.spend(1) {
			break
		}
		next, _ := p.element(&e)
		if e.main >= 0 && next.main > e.main && p.out[e.main].Next < 0 {
			// What a variable holds of a pipeline went where that led first.
			p.out[e.main].Next = next.main
		}
		next.first = e.first
		if next.first < 0 {
			next.first = next.main
		}
		if next.main < 0 {
			next.main = e.main
		}
		e = next
	}
	p.it = it
	if e.main >= 0 && e.v.cmd == 0 {
		e.v.cmd = e.main + 1
	}
	if e.first >= 0 && !e.expr {
		// Methods of what a pipeline returns are those of what it starts with.
		e.v.cmd = e.first + 1
	}
	e.v.name = ""
	return e.v, false
}

// element reads one part of a pipeline; prev is the part before it.
func (p *parser) element(prev *element) (e element, assigned bool) {
	c := p.peek()
	switch {
	case c == '&':
		return p.call(prev), false
	case c == '.' && p.pos+1 < len(p.s) && strings.IndexByte(" \t\"'($&{", p.s[p.pos+1]) >= 0:
		return p.call(prev), false
	case p.expressionAhead():
		start := p.pos
		v := p.expression(0)
		if prev == nil && p.assignment(v) {
			return element{main: -1}, true
		}
		e = element{v: v, main: v.cmd - 1, expr: true}
		for p.redirectAhead() {
			p.redirect(e.main)
		}
		if p.pos == start {
			p.pos++
		}
		return e, false
	}
	return p.command(prev), false
}

// assignment reads the operator and right side behind a left side.
func (p *parser) assignment(left value) bool {
	p.skip(false)
	op := byte('=')
	switch c := p.peek(); c {
	case '=':
		p.pos++
	case '+', '-', '*', '/', '%':
		if p.pos+1 >= len(p.s) || p.s[p.pos+1] != '=' {
			return false
		}
		op = c
		p.pos += 2
	case '?':
		if !strings.HasPrefix(p.s[p.pos:], "??=") {
			return false
		}
		p.pos += 3
	default:
		return false
	}
	p.skip(true)
	if p.pos >= len(p.s) {
		return true
	}
	if !p.enter() {
		return true
	}
	v, _ := p.statement()
	p.leave()
	if left.name == "" {
		return true
	}
	if op == '+' {
		old, _, ok := p.lookup(left.name)
		switch {
		case !ok && v.known():
		case ok && old.known() && v.known():
			v = p.add(old, v)
		default:
			v = value{cmd: v.cmd}
		}
	} else if op != '=' {
		v = value{}
	}
	p.assign(left.name, v)
	return true
}

func (p *parser) assign(name string, v value) {
	if name == "" {
		return
	}
	v.name = ""
	if p.vars == nil {
		p.vars = make(map[string]value)
	}
	if len(p.vars) < maxVariables {
		p.vars[variableKey(name)] = v
	}
}

// call reads the call operator or dot-sourcing.
func (p *parser) call(prev *element) element {
	start := p.pos
	p.pos++
	p.skip(false)
	if p.pos >= len(p.s) {
		return element{main: -1}
	}
	switch c := p.s[p.pos]; {
	case c == '$' && p.startsPath():
		return p.commandAt(start, prev)
	case c == '{':
		n := len(p.out)
		v := p.block()
		e := element{v: v, main: -1}
		if len(p.out) > n {
			e.main = n
			for e.main+1 < len(p.out) && p.out[e.main].Next >= 0 {
				e.main = p.out[e.main].Next
			}
		}
		p.arguments(-1, nil, "")
		return e
	case c == '$' || c == '(' || c == '[' || c == '@' || isQuote(p.s, p.pos):
		i := p.begin()
		v := p.unary()
		name, b := p.callee(&v, p.s[start:p.pos])
		if v.kind == kindCode {
			p.arguments(-1, nil, "")
			p.run(i, v.s, b, p.s[start:p.pos])
			return element{main: i}
		}
		if v.kind == kindBlock && i >= 0 {
			// A block kept in a variable was read where it stands.
			p.arguments(-1, nil, "")
			return element{main: v.cmd - 1}
		}
		return p.finish(i, name, b, start, prev)
	}
	return p.commandAt(start, prev)
}

// startsPath reports whether the variable at the position is the directory of a
// program: $env:windir\system32\sc.exe is one word.
func (p *parser) startsPath() bool {
	start := p.pos
	_, ok := p.variableName()
	next := p.peek()
	p.pos = start
	return ok && (next == '\\' || next == '/')
}

// callee is the name that & runs when given v.
func (p *parser) callee(v *value, raw string) (string, bits) {
	b := v.allBits()
	if b&computed != 0 {
		b |= bitInvoke
	}
	switch {
	case v.scalar() && v.String() != "":
		return strings.TrimSpace(v.String()), b
	case v.kind == kindArray && v.flatText() && len(v.list) > 0:
		return strings.TrimSpace(v.list[0].String()), b
	case v.cmd > 0 && p.mute == 0:
		// & (Get-Command Get-Serv*) runs what it finds.
		argv := p.out[v.cmd-1].Argv
		if len(argv) > 1 {
			switch strings.ToLower(argv[0]) {
			case "gcm", "get-command", "gal", "get-alias":
				return wildcardCommand(argv[len(argv)-1]), b | bitInvoke
			}
		}
	}
	return strings.TrimLeft(raw, "&. \t"), b
}

// wildcardCommand is the usual cmdlet that a pattern stands for.
func wildcardCommand(pattern string) string {
	if !strings.ContainsAny(pattern, "*?[") || len(pattern) > 64 {
		return pattern
	}
	low := strings.ToLower(pattern)
	for _, name := range [...]string{
		"Get-Service", "Get-WmiObject", "Get-CimInstance", "Invoke-Expression", "Get-Process", "Get-ChildItem",
		"Get-ItemProperty", "Invoke-Command", "New-Object", "Get-ScheduledTask", "Get-EventLog", "Get-WinEvent",
	} {
		if wildcard(low, strings.ToLower(name)) {
			return name
		}
	}
	return pattern
}

// wildcard matches * and ?; both texts are short.
func wildcard(pattern, s string) bool {
	star, mark, i, j := -1, 0, 0, 0
	for j < len(s) {
		switch {
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == s[j]):
			i++
			j++
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == '*' {
		i++
	}
	return i == len(pattern)
}

// command reads a command in argument mode.
func (p *parser) command(prev *element) element { return p.commandAt(p.pos, prev) }

func (p *parser) commandAt(start int, prev *element) element {
	before := p.pos
	i := p.begin()
	name, b := p.genericWord(true)
	if p.pos == before {
		p.pos++
	}
	return p.finish(i, name, b, start, prev)
}

// finish reads the arguments of the command named name and completes slot i.
func (p *parser) finish(i int, name string, b bits, start int, prev *element) element {
	low := lowerShort(name)
	if target, ok := p.aliases[low]; ok {
		name, b = target, b|bitVariable
		low = lowerShort(name)
	}
	e := element{main: i}
	invoke := low == "iex" || low == "invoke-expression"
	if prev != nil {
		p.it = value{s: "$_"}
		if prev.first >= 0 {
			p.it.cmd = prev.first + 1
		}
	}
	args := p.arguments(i, prev, low)
	args.words[0] = name
	argv := args.words
	if invoke {
		b |= args.bits | bitInvoke
		if args.bits&bitRaw != 0 {
			// What it runs is unknown; as written it would only be read twice.
			argv = argv[:1]
		}
	} else {
		b |= args.bits & inArgument
	}
	raw := p.s[start:p.pos]
	switch low {
	case "echo", "write-output", "write":
		e.text, e.says = strings.Join(argv[1:], "\n"), len(argv) > 1
	case "set-alias", "new-alias", "sal", "nal":
		p.alias(argv[1:])
	case "foreach-object", "%", "foreach":
		e.v = args.each
		e.expr = e.v.known()
	}
	if prev != nil && i >= 0 {
		fed, known := prev.text, prev.says
		if prev.expr && prev.v.flatText() && prev.v.kind != kindNull && p.produce(prev.v.size()) {
			fed, known = prev.v.joined("\n"), true
		}
		if known && invoke && len(argv) == 1 {
			argv = append(argv, fed)
			b |= prev.v.allBits()
		} else if known {
			p.out[i].Stdin = fed
		}
	}
	p.emit(i, argv, b, raw)
	return e
}

func (p *parser) alias(args []string) {
	var words []string
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			words = append(words, a)
		}
	}
	if len(words) < 2 || len(words[0]) > 64 || len(p.aliases) >= 64 {
		return
	}
	if p.aliases == nil {
		p.aliases = make(map[string]string)
	}
	p.aliases[strings.ToLower(words[0])] = words[1]
}

// lowerShort lowers names that can matter; long ones are no cmdlet.
func lowerShort(s string) string {
	if len(s) > 64 {
		return ""
	}
	return strings.ToLower(s)
}
