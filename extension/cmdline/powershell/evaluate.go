package powershell

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/cmdexe"
)

const (
	maxPattern    = 128      // bytes of a pattern that is compiled
	maxRegexInput = 16 << 10 // bytes of a text it is run over
	maxRegexps    = 64       // patterns of one text
)

// glue says whether a and b meet inside a word.
func glue(a []byte, b string) bits {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	if wordSign(a[len(a)-1]) && wordSign(b[0]) {
		return bitGlue
	}
	return 0
}

func wordSign(c byte) bool { return isLetter(c) || isDigit(c) || c == '-' || c == '_' }

// add is a + b of data.
func (p *parser) add(a, b value) value {
	switch {
	case a.kind == kindNumber:
		if n, ok := b.number(); ok {
			return value{kind: kindNumber, n: a.n + n, bits: a.bits | b.bits}
		}
		return value{}
	case a.kind == kindArray:
		if !p.produce(len(a.list) + len(b.list)) {
			return value{}
		}
		return value{kind: kindArray, list: append(slices.Clone(a.list), b.elements()...), bits: a.bits | b.bits}
	case a.kind == kindNull:
		return b
	case a.scalar() && b.flatText():
		if !p.produce(a.size() + b.size()) {
			return value{}
		}
		s, t := a.String(), b.joined(" ")
		return value{kind: kindString, s: s + t, bits: a.allBits() | b.allBits() | bitConcat | glue([]byte(s), t)}
	}
	return value{}
}

// binary applies an operator; what it cannot tell is unknown.
func (p *parser) binary(op string, a, b value) value {
	if len(op) > 1 && op != ".." && (op[0] == 'i' || op[0] == 'c') {
		switch op[1:] {
		case "replace", "split":
			op = op[1:]
		}
	}
	bs := a.allBits() | b.allBits()
	switch op {
	case "+":
		if a.known() && b.known() {
			return p.add(a, b)
		}
		// Partly known: good enough to be shown and searched.
		if a.s != "" && b.s != "" && len(a.s)+len(b.s) < 4096 && (a.kind == kindString || b.kind == kindString) && p.produce(len(a.s)+len(b.s)) {
			return value{s: a.s + b.s}
		}
		return value{}
	case "join":
		if a.flatText() && b.scalar() && p.produce(a.size()+len(a.list)*len(b.String())) {
			return value{kind: kindString, s: a.joined(b.String()), bits: bs | bitConcat | bitGlue}
		}
		return value{}
	case "f":
		if a.scalar() && b.flatText() {
			if s, ok := p.format(a.String(), b.elements()); ok {
				return value{kind: kindString, s: s, bits: bs | bitConcat | bitGlue}
			}
		}
		return value{}
	case "replace":
		return p.replaceAll(a, b, bs)
	case "split":
		return p.split(a, b, bs)
	case "..":
		return p.span(a, b, bs)
	case "*":
		n, ok := b.number()
		if a.kind == kindString && ok && n >= 0 && n < 1<<20 && p.produce(len(a.s)*int(n)) {
			return value{kind: kindString, s: strings.Repeat(a.s, int(n)), bits: bs | bitConcat}
		}
	case "as":
		if b.kind == kindType {
			return p.cast(b.s, a, int(b.n))
		}
		if b.kind == kindUnknown {
			return value{cmd: a.cmd}
		}
	}
	x, okX := a.number()
	y, okY := b.number()
	if !okX || !okY || a.kind == kindString && op != "bxor" && op != "-" {
		return value{}
	}
	v := value{kind: kindNumber, bits: bs}
	switch op {
	case "-":
		v.n = x - y
	case "*":
		v.n = x * y
	case "/":
		if y == 0 || x%y != 0 {
			return value{}
		}
		v.n = x / y
	case "%":
		if y == 0 {
			return value{}
		}
		v.n = x % y
	case "band":
		v.n = x & y
	case "bor":
		v.n = x | y
	case "bxor":
		v.n = x ^ y
	case "shl":
		v.n = x << (uint64(y) & 31)
	case "shr":
		v.n = x >> (uint64(y) & 31)
	default:
		return value{}
	}
	return v
}

// span is a..b.
func (p *parser) span(a, b value, bs bits) value {
	x, okX := a.number()
	y, okY := b.number()
	n := y - x
	if n < 0 {
		n = -n
	}
	if !okX || !okY || n < 0 || n > 1<<16 || !p.produce(int(n)+1) || !p.afford(int(n/16)+1) {
		return value{}
	}
	v := value{kind: kindArray, list: make([]value, 0, n+1), bits: bs}
	step := int64(1)
	if y < x {
		step = -1
	}
	for ; ; x += step {
		v.list = append(v.list, value{kind: kindNumber, n: x})
		if x == y {
			return v
		}
	}
}

// format is -f and [string]::Format.
func (p *parser) format(f string, args []value) (string, bool) {
	var b []byte
	for i := 0; i < len(f); i++ {
		switch c := f[i]; c {
		case '{':
			if i+1 < len(f) && f[i+1] == '{' {
				b = append(b, '{')
				i++
				continue
			}
			end := strings.IndexByte(f[i:min(len(f), i+64)], '}')
			if end < 0 {
				return "", false
			}
			spec := f[i+1 : i+end]
			i += end
			spec, style, styled := strings.Cut(spec, ":")
			spec, _, _ = strings.Cut(spec, ",")
			n, err := strconv.Atoi(strings.TrimSpace(spec))
			if err != nil || n < 0 || n >= len(args) {
				return "", false
			}
			s := args[n].String()
			if styled && args[n].kind == kindNumber {
				s = formatNumber(args[n].n, style)
			}
			if !p.produce(len(s)) {
				return "", false
			}
			b = append(b, s...)
		case '}':
			if i+1 < len(f) && f[i+1] == '}' {
				i++
			}
			b = append(b, '}')
		default:
			b = append(b, c)
		}
	}
	return string(b), p.produce(len(f))
}

func formatNumber(n int64, style string) string {
	if style == "" {
		return strconv.FormatInt(n, 10)
	}
	width, _ := strconv.Atoi(style[1:])
	var s string
	switch style[0] {
	case 'x':
		s = strconv.FormatInt(n, 16)
	case 'X':
		s = strings.ToUpper(strconv.FormatInt(n, 16))
	default:
		s = strconv.FormatInt(n, 10)
	}
	for len(s) < width && width <= 20 {
		s = "0" + s
	}
	return s
}

// literalPattern returns the text a regular expression matches when it is plain.
func literalPattern(pattern string) (string, bool) {
	if !strings.ContainsAny(pattern, `\.[]{}()*+?^$|`) {
		return pattern, true
	}
	var b []byte
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		if c == '\\' {
			i++
			if i == len(pattern) || isNameByte(pattern[i]) {
				return "", false
			}
			c = pattern[i]
		} else if strings.IndexByte(`.[]{}()*+?^$|`, c) >= 0 {
			return "", false
		}
		b = append(b, c)
	}
	return string(b), true
}

// compile compiles a pattern of the text. The engine's time is linear in the
// input, whose size, like the pattern's, is bounded here.
func (p *parser) compile(pattern string, input int) *regexp.Regexp {
	if len(pattern) > maxPattern || input > maxRegexInput || p.regexps >= maxRegexps || !p.afford(8) {
		return nil
	}
	p.regexps++
	re, err := regexp.Compile("(?i)" + pattern)
	if err != nil {
		return nil
	}
	return re
}

func (p *parser) replaceAll(a, b value, bs bits) value {
	parts := b.elements()
	if !a.flatText() || !b.flatText() || len(parts) == 0 || len(parts) > 2 {
		return value{}
	}
	repl := ""
	if len(parts) == 2 {
		repl = parts[1].String()
	}
	pattern := parts[0].String()
	if a.kind == kindArray {
		out := value{kind: kindArray, bits: bs | bitConcat | bitGlue}
		for i := range a.list {
			s, ok := p.replaced(a.list[i].String(), pattern, repl)
			if !ok {
				return value{}
			}
			out.list = append(out.list, text(s))
		}
		return out
	}
	s, ok := p.replaced(a.String(), pattern, repl)
	if !ok {
		return value{}
	}
	return value{kind: kindString, s: s, bits: bs | bitConcat | bitGlue}
}

// replaced is s -replace pattern, repl.
func (p *parser) replaced(s, pattern, repl string) (string, bool) {
	if pattern == "" {
		return s, true
	}
	lit, plain := literalPattern(pattern)
	if plain && !strings.Contains(repl, "$") {
		return p.replaceFold(s, lit, repl)
	}
	re := p.compile(pattern, len(s))
	if re == nil {
		return "", false
	}
	if n := len(re.FindAllStringIndex(s, -1)); !p.produce(len(s) + n*(len(repl)+len(s)/(n+1))) {
		return "", false
	}
	return re.ReplaceAllString(s, groupNames(repl)), true
}

// groupNames writes $1 as ${1}, which in Go is not part of a longer name.
func groupNames(repl string) string {
	if !strings.Contains(repl, "$") {
		return repl
	}
	var b []byte
	for i := 0; i < len(repl); i++ {
		b = append(b, repl[i])
		if repl[i] == '$' && i+1 < len(repl) && isDigit(repl[i+1]) {
			b = append(b, '{')
			for i+1 < len(repl) && isDigit(repl[i+1]) {
				i++
				b = append(b, repl[i])
			}
			b = append(b, '}')
		}
	}
	return string(b)
}

// replaceFold replaces old without regard to ASCII case.
func (p *parser) replaceFold(s, old, repl string) (string, bool) {
	if old == "" {
		return s, true
	}
	var b []byte
	done := 0
	// A long needle in a long text would cost their product.
	if len(old) > 64 && len(s) > 4096 {
		return "", false
	}
	for i := 0; i+len(old) <= len(s); {
		if s[i]|0x20 == old[0]|0x20 && strings.EqualFold(s[i:i+len(old)], old) {
			if !p.produce(len(repl)) {
				return "", false
			}
			b = append(append(b, s[done:i]...), repl...)
			i += len(old)
			done = i
			continue
		}
		i++
	}
	if !p.produce(len(s)) {
		return "", false
	}
	if b == nil {
		return s, true
	}
	return string(append(b, s[done:]...)), true
}

func (p *parser) split(a, b value, bs bits) value {
	parts := b.elements()
	if !a.flatText() || !b.flatText() || len(parts) == 0 || a.kind == kindArray {
		return value{}
	}
	s, sep := a.String(), parts[0].String()
	limit := -1
	if len(parts) > 1 {
		if n, ok := parts[1].number(); ok && n > 0 {
			limit = int(n)
		}
	}
	return p.splitText(s, sep, limit, bs)
}

func (p *parser) splitText(s, sep string, limit int, bs bits) value {
	if !p.produce(len(s)) || !p.afford(1+len(s)/64) {
		return value{}
	}
	var list []string
	if lit, plain := literalPattern(sep); plain {
		list = strings.SplitN(s, lit, limit)
	} else if re := p.compile(sep, len(s)); re != nil {
		list = re.Split(s, limit)
	} else {
		return value{}
	}
	return texts(list, bs)
}

func texts(list []string, bs bits) value {
	v := value{kind: kindArray, list: make([]value, len(list)), bits: bs}
	for i, s := range list {
		v.list[i] = text(s)
	}
	return v
}

// prefix applies a unary operator.
func (p *parser) prefix(op string, v value) value {
	switch op {
	case "join":
		return p.binary("join", v, text(""))
	case "split", "csplit", "isplit":
		if v.scalar() && p.produce(v.size()) {
			return texts(strings.Fields(v.String()), v.bits)
		}
	case "-":
		if n, ok := v.number(); ok && v.kind == kindNumber {
			return value{kind: kindNumber, n: -n, bits: v.bits}
		}
	case "+":
		return v
	case ",":
		if v.known() {
			return value{kind: kindArray, list: []value{v}, bits: v.bits, cmd: v.cmd}
		}
		return v
	case "bnot":
		if v.kind == kindNumber {
			return value{kind: kindNumber, n: ^v.n, bits: v.bits}
		}
	}
	return value{cmd: v.cmd}
}

// typeKey is a type's name in lower case without the System namespace.
func typeKey(name string) string {
	if len(name) > 96 {
		return ""
	}
	return strings.TrimPrefix(strings.ToLower(strings.ReplaceAll(name, " ", "")), "system.")
}

// cast applies [typ] to v. A cast that reaches out is a command.
func (p *parser) cast(typ string, v value, start int) value {
	bs := v.allBits()
	switch key := typeKey(typ); key {
	case "char":
		if v.kind == kindString && utf8.RuneCountInString(v.s) == 1 {
			r, _ := utf8.DecodeRuneInString(v.s)
			c := char(r)
			c.bits = bs | bitConcat
			return c
		}
		if n, ok := v.number(); ok && n >= 0 && n <= 0xFFFF {
			c := char(rune(n))
			c.bits = bs | bitConcat
			return c
		}
		if v.kind == kindArray {
			return p.castAll("char", v, start)
		}
		return value{}
	case "char[]":
		if v.kind == kindString && p.produce(len(v.s)) && p.afford(1+len(v.s)/64) {
			out := value{kind: kindArray, bits: bs}
			for _, r := range v.s {
				out.list = append(out.list, char(r))
			}
			return out
		}
		return p.castAll("char", v, start)
	case "string":
		if v.flatText() && p.produce(v.size()) {
			return value{kind: kindString, s: v.joined(" "), bits: bs}
		}
		if v.kind == kindBlock || v.kind == kindCode {
			return value{kind: kindString, s: strings.TrimSuffix(strings.TrimPrefix(v.s, "{"), "}"), bits: bs}
		}
		return value{s: v.s, cmd: v.cmd}
	case "int", "int32", "int16", "int64", "long", "byte", "uint32", "uint16", "uint64", "short":
		if n, ok := v.number(); ok {
			return value{kind: kindNumber, n: n, bits: bs}
		}
		return value{}
	case "int[]", "byte[]", "int32[]", "string[]", "array", "object[]", "collections.arraylist", "psobject", "object", "regex", "void", "text.regularexpressions.regex":
		if key == "byte[]" && v.kind == kindBytes {
			return v
		}
		if v.known() && v.kind != kindArray && strings.HasSuffix(key, "]") {
			return value{kind: kindArray, list: []value{v}, bits: bs, cmd: v.cmd}
		}
		return v
	case "scriptblock", "management.automation.scriptblock":
		if v.scalar() {
			return value{kind: kindCode, s: v.String(), bits: bs}
		}
		return v
	case "type":
		if v.scalar() && v.s != "" {
			return value{kind: kindType, s: strings.Trim(v.s, "[]"), bits: bs | bitInvoke, n: int64(start)}
		}
		return value{}
	case "wmi", "wmiclass", "wmisearcher", "adsi", "adsisearcher", "management.managementclass", "management.managementobject",
		"management.managementobjectsearcher", "serviceprocess.servicecontroller", "ciminstance", "cimclass", "ref", "directoryservices.directorysearcher":
		if !v.flatText() && v.s == "" || v.kind == kindNull || key == "ref" {
			return value{cmd: v.cmd}
		}
		i := p.begin()
		s := v.s
		if v.flatText() {
			s = v.joined(",")
		}
		p.emit(i, []string{"[" + typ + "]", s}, bs&inArgument, p.s[start:p.pos])
		return value{cmd: i + 1}
	}
	return value{cmd: v.cmd, s: v.s}
}

func (p *parser) castAll(typ string, v value, start int) value {
	if !v.flatText() || !p.produce(v.size()) || !p.afford(1+len(v.list)/16) {
		return value{}
	}
	out := value{kind: kindArray, bits: v.allBits(), list: make([]value, 0, len(v.list)+1)}
	for _, e := range v.elements() {
		c := p.cast(typ, e, start)
		if c.kind == kindUnknown {
			return value{}
		}
		out.bits |= c.bits
		out.list = append(out.list, c)
	}
	return out
}

// at is v[i].
func (p *parser) at(v, i value) value {
	bs := v.allBits() | i.allBits() | bitSubstring
	var n int
	switch {
	case v.kind == kindString || v.kind == kindChar:
		n = -1
	case v.kind == kindArray:
		n = len(v.list)
		bs = v.allBits() | i.allBits()
	default:
		return value{cmd: v.cmd}
	}
	pick := func(k int64) (value, bool) {
		if n < 0 {
			return indexText(v.s, k)
		}
		if k < 0 {
			k += int64(n)
		}
		if k < 0 || k >= int64(n) {
			return value{}, false
		}
		return v.list[k], true
	}
	if i.kind == kindNumber {
		e, ok := pick(i.n)
		if !ok {
			return value{}
		}
		e.bits |= bs
		return e
	}
	if i.kind != kindArray || !p.produce(len(i.list)) || !p.afford(1+len(i.list)/16) {
		return value{cmd: v.cmd}
	}
	text := v.s
	if n < 0 && !ascii(text) {
		// Offsets into text that is not ASCII cost its length each.
		if len(text)*len(i.list) > 1<<20 {
			return value{}
		}
	}
	out := value{kind: kindArray, list: make([]value, 0, len(i.list))}
	back := len(i.list) > 1
	for k := range i.list {
		e, ok := pick(i.list[k].n)
		if i.list[k].kind != kindNumber {
			return value{}
		}
		if !ok {
			continue
		}
		back = back && (k == 0 || i.list[k].n == i.list[k-1].n-1)
		out.list = append(out.list, e)
	}
	if back {
		bs = bs&^bitSubstring | bitReversed
	}
	out.bits = bs
	return out
}

// property is v.name without a call.
func (p *parser) property(v value, name string, static bool) value {
	low := lowerShort(name)
	if static {
		switch typeKey(v.s) {
		case "microsoft.win32.registry":
			// A hive is read through the methods of this property.
			i := p.begin()
			p.emit(i, []string{"[" + v.s + "]::" + name}, v.bits&(inArgument|bitVariable|bitInvoke), p.s[max(0, min(int(v.n), p.pos)):p.pos])
			return value{cmd: i + 1}
		case "text.encoding":
			return value{kind: kindEncoding, s: low, bits: v.bits}
		case "string":
			if low == "empty" {
				return text("")
			}
		case "environment":
			if low == "newline" {
				return text("\r\n")
			}
		}
		return value{}
	}
	if v.known() {
		switch low {
		case "length", "count":
			if v.kind == kindArray {
				return value{kind: kindNumber, n: int64(len(v.list))}
			}
			if v.kind == kindString {
				return value{kind: kindNumber, n: int64(utf8.RuneCountInString(v.s))}
			}
		case "value", "name", "key", "groups":
			// A match of [regex]::Matches is kept as its text.
			if v.scalar() && low == "value" {
				return v
			}
			return value{}
		}
		return value{kind: kindMethod, s: low, list: []value{v}, bits: v.allBits()}
	}
	out := value{cmd: v.cmd}
	if v.kind == kindHash {
		for i := 0; i+1 < len(v.list); i += 2 {
			if strings.EqualFold(v.list[i].s, name) {
				return v.list[i+1]
			}
		}
		return value{}
	}
	if v.kind == kindUnknown && v.s != "" && len(v.s) < 64 {
		out.s = v.s + "." + name
	}
	return out
}

// run makes a command of a text that is run; empty when it is not known.
func (p *parser) run(i int, code string, bs bits, raw string) {
	argv := []string{"iex", code}
	if code == "" {
		argv = argv[:1]
	}
	p.emit(i, argv, bs|bitInvoke, raw)
}

// invoke calls the method name of v.
func (p *parser) invoke(v value, name string, static bool) value {
	low := lowerShort(name)
	if static {
		return p.invokeStatic(v, name, low)
	}
	start := p.pos
	switch {
	case v.kind == kindCode && (low == "invoke" || low == "invokereturnasis" || low == "invokewithcontext"):
		i := p.begin()
		p.callArguments()
		p.run(i, v.s, v.bits, p.s[start:p.pos])
		return value{cmd: i + 1}
	case v.kind == kindUnknown && strings.EqualFold(v.s, "$ExecutionContext.InvokeCommand"):
		return p.invokeCommand(low)
	}
	if low == "foreach" || low == "where" {
		it := p.it
		p.it = value{cmd: v.cmd, s: "$_"}
		defer func() { p.it = it }()
		if p.pos+1 < len(p.s) && v.kind == kindArray && v.flatText() && low == "foreach" {
			// ('a','b').ForEach({ ... })
			save := p.pos
			p.pos++
			p.skip(true)
			if p.peek() == '{' {
				out, known := p.each(v, func(item value) { p.it = item })
				p.skip(true)
				p.close(')')
				if known {
					return out
				}
				return value{}
			}
			p.pos = save
		}
	}
	args := p.callArguments()
	if (low == "execquery" || low == "instancesof" || low == "isservicerunning") && len(args) > 0 && args[0].scalar() {
		// The scripting objects of WMI and the shell, asked as a cmdlet would be.
		i := p.begin()
		argv := []string{"Get-WmiObject", args[0].String()}
		switch low {
		case "execquery":
			argv = []string{"Get-WmiObject", "-Query", args[0].String()}
		case "isservicerunning":
			argv[0] = "Get-Service"
		}
		p.emit(i, argv, args[0].allBits(), p.s[start:p.pos])
		return value{cmd: i + 1}
	}
	if argv := p.launched(v, low, args); argv != nil {
		i := p.begin()
		p.emit(i, argv, args[0].allBits(), p.s[start:p.pos])
		return value{cmd: i + 1}
	}
	if v.kind == kindMethod {
		if low != "invoke" || len(v.list) != 1 {
			return value{}
		}
		out, _ := p.textMethod(v.list[0], v.s, args)
		return out
	}
	if v.kind == kindEncoding || v.cmd > 0 && (low == "getstring" || low == "getbytes") {
		if out, ok := p.encoding(v, low, args); ok {
			return out
		}
	}
	if v.known() {
		if out, ok := p.textMethod(v, low, args); ok {
			return out
		}
		return value{}
	}
	if v.cmd > 0 {
		p.member(v.cmd, name)
		if (low == "opensubkey" || low == "downloadstring") && len(args) > 0 && p.mute == 0 {
			// The key or page is what the object before it is asked for.
			s, _ := p.shown(&args[0], args[0].s)
			p.out[v.cmd-1].Argv = append(p.out[v.cmd-1].Argv, s)
		}
	}
	return value{cmd: v.cmd}
}

// launched is the Start-Process that a method of a scripting object comes to:
// WScript.Shell's Run and Exec take a line, the shell's ShellExecute a program and
// its arguments, MMC's ExecuteShellCommand these around a directory.
func (p *parser) launched(v value, low string, args []value) []string {
	if len(args) == 0 || !args[0].scalar() {
		return nil
	}
	file, rest := args[0].String(), ""
	switch low {
	case "run", "exec":
		if v.cmd == 0 || p.mute > 0 || !slices.ContainsFunc(p.out[v.cmd-1].Argv, func(a string) bool { return strings.EqualFold(a, "WScript.Shell") }) {
			return nil
		}
		if inner, ok := strings.CutPrefix(strings.TrimSpace(file), `"`); ok {
			file, rest, _ = strings.Cut(inner, `"`)
		} else {
			file, rest, _ = strings.Cut(strings.TrimSpace(file), " ")
		}
	case "shellexecute":
		if len(args) > 1 && args[1].scalar() {
			rest = args[1].String()
		}
	case "executeshellcommand":
		if len(args) > 2 && args[2].scalar() {
			rest = args[2].String()
		}
	default:
		return nil
	}
	if rest = strings.TrimSpace(rest); rest == "" {
		return []string{"Start-Process", file}
	}
	return []string{"Start-Process", file, rest}
}

// invokeCommand is a method of $ExecutionContext.InvokeCommand.
func (p *parser) invokeCommand(low string) value {
	start := p.pos
	i := -1
	if low == "invokescript" {
		i = p.begin()
	}
	args := p.callArguments()
	for k := range args {
		if args[k].kind != kindString || args[k].s == "" {
			continue
		}
		switch low {
		case "invokescript":
			p.run(i, args[k].s, args[k].allBits(), p.s[start:p.pos])
			return value{cmd: i + 1}
		case "newscriptblock":
			return value{kind: kindCode, s: args[k].s, bits: args[k].allBits()}
		case "expandstring":
			return args[k]
		case "getcommand", "getcmdlet", "getcmdlets", "getcommandname":
			return value{kind: kindString, s: wildcardCommand(args[k].s), bits: args[k].allBits() | bitInvoke}
		}
		break
	}
	return value{}
}

// pureStatic reports whether a static method only computes, so that a call of it
// is no command.
func pureStatic(typ, method string) bool {
	switch typ {
	case "string", "char", "convert", "text.encoding", "regex", "text.regularexpressions.regex", "math", "array", "uri",
		"bitconverter", "int", "int32", "byte", "text.stringbuilder", "guid", "datetime", "timespan", "version",
		"scriptblock", "management.automation.scriptblock", "net.webutility":
		return true
	case "environment":
		return method == "getenvironmentvariable" || method == "expandenvironmentvariables"
	}
	return false
}

func (p *parser) invokeStatic(v value, name, low string) value {
	start := int(v.n)
	typ := typeKey(v.s)
	if v.kind != kindType {
		args := p.callArguments()
		_ = args // the type is unknown, and so is what the call does
		return value{cmd: v.cmd}
	}
	if start > p.pos {
		start = 0
	}
	if !pureStatic(typ, low) {
		i := p.begin()
		args := p.callArguments()
		bs := v.bits & (inArgument | bitVariable | bitInvoke)
		argv := make([]string, 1, 1+len(args))
		argv[0] = "[" + v.s + "]::" + name
		for k := range args {
			s, ab := p.shown(&args[k], args[k].s)
			argv = append(argv, s)
			bs |= ab & inArgument
		}
		p.emit(i, argv, bs, p.s[start:p.pos])
		return value{cmd: i + 1}
	}
	args := p.callArguments()
	return p.static(typ, low, args)
}

// static evaluates a static method of data.
func (p *parser) static(typ, method string, args []value) value {
	var bs bits
	for i := range args {
		bs |= args[i].allBits()
		if !args[i].flatText() && args[i].kind != kindBytes {
			if strings.HasSuffix(typ, "scriptblock") {
				return value{kind: kindCode}
			}
			return value{}
		}
	}
	if len(args) == 0 {
		return value{}
	}
	a := args[0]
	switch typ + "." + method {
	case "scriptblock.create", "management.automation.scriptblock.create":
		return value{kind: kindCode, s: a.joined(" "), bits: bs}
	case "string.join":
		if len(args) < 2 {
			return value{}
		}
		list := args[1]
		if len(args) > 2 {
			list = value{kind: kindArray, list: args[1:]}
		}
		return p.binary("join", list, a)
	case "string.concat":
		list := a
		if len(args) > 1 {
			list = value{kind: kindArray, list: args}
		}
		return p.binary("join", list, text(""))
	case "string.format":
		rest := args[1:]
		if len(rest) == 1 && rest[0].kind == kindArray {
			rest = rest[0].list
		}
		if s, ok := p.format(a.String(), rest); ok {
			return value{kind: kindString, s: s, bits: bs | bitConcat | bitGlue}
		}
	case "string.new", "string.copy":
		return p.binary("join", a, text(""))
	case "char.convertfromutf32", "convert.tochar":
		return p.cast("char", a, p.pos)
	case "char.tostring", "convert.tostring":
		if len(args) == 1 && a.scalar() {
			return value{kind: kindString, s: a.String(), bits: bs}
		}
	case "convert.toint32", "convert.tobyte", "convert.toint16", "convert.toint64", "int.parse", "int32.parse", "convert.touint32":
		if base, ok := int64(10), true; a.scalar() {
			if len(args) > 1 {
				base, ok = args[1].number()
			}
			if ok && (base == 2 || base == 8 || base == 16) {
				n, err := strconv.ParseInt(strings.TrimPrefix(strings.ToLower(a.String()), "0x"), int(base), 64)
				if err == nil {
					return value{kind: kindNumber, n: n, bits: bs | bitEncoded}
				}
				return value{}
			}
			if n, ok := a.number(); ok {
				return value{kind: kindNumber, n: n, bits: bs}
			}
		}
	case "convert.frombase64string":
		if raw, ok := p.base64(a.String()); ok {
			return value{kind: kindBytes, s: raw, bits: bs | bitEncoded}
		}
	case "convert.fromhexstring":
		if raw, err := hex.DecodeString(a.String()); err == nil && p.produce(len(raw)) {
			return value{kind: kindBytes, s: string(raw), bits: bs | bitEncoded}
		}
	case "text.encoding.getencoding":
		return value{kind: kindEncoding, s: strings.ToLower(a.String()), bits: bs}
	case "array.reverse":
		if a.kind == kindArray && a.name != "" && p.produce(len(a.list)) {
			list := slices.Clone(a.list)
			slices.Reverse(list)
			p.assign(a.name, value{kind: kindArray, list: list, bits: a.bits&^bitVariable | bitReversed})
		}
		return value{kind: kindNull}
	case "regex.replace", "text.regularexpressions.regex.replace":
		if len(args) >= 3 {
			return p.replaceAll(a, value{kind: kindArray, list: args[1:3]}, bs)
		}
	case "regex.split", "text.regularexpressions.regex.split":
		if len(args) >= 2 && a.scalar() {
			return p.splitText(a.String(), args[1].String(), -1, bs)
		}
	case "regex.matches", "text.regularexpressions.regex.matches":
		if len(args) >= 2 && a.scalar() {
			return p.matches(a.String(), args, bs)
		}
	case "regex.unescape", "text.regularexpressions.regex.unescape":
		if s := a.String(); p.produce(len(s)) {
			return value{kind: kindString, s: unescapeRegex(s), bits: bs | bitEncoded}
		}
	case "environment.getenvironmentvariable":
		if s, ok := cmdexe.WellKnown(a.String()); ok {
			return value{kind: kindString, s: s, bits: bs}
		}
	case "uri.unescapedatastring", "net.webutility.urldecode":
		if s, err := url.PathUnescape(a.String()); err == nil && p.produce(len(s)) {
			return value{kind: kindString, s: s, bits: bs | bitEncoded}
		}
	case "char.toupper":
		return value{kind: kindString, s: strings.ToUpper(a.String()), bits: bs}
	case "char.tolower":
		return value{kind: kindString, s: strings.ToLower(a.String()), bits: bs}
	}
	return value{}
}

// matches is [regex]::Matches; each match is kept as its text.
func (p *parser) matches(s string, args []value, bs bits) value {
	re := p.compile(args[1].String(), len(s))
	if re == nil || !p.produce(len(s)) {
		return value{}
	}
	list := re.FindAllString(s, -1)
	if len(args) > 2 && strings.Contains(strings.ToLower(args[2].String()), "righttoleft") {
		slices.Reverse(list)
		bs |= bitReversed
	}
	return texts(list, bs)
}

// unescapeRegex undoes \xHH and \uHHHH.
func unescapeRegex(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		digits := 0
		switch s[i] {
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		}
		if digits > 0 && i+digits < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+1+digits], 16, 32); err == nil {
				b = utf8.AppendRune(b, rune(n))
				i += digits
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// base64 decodes leniently: without padding, with blanks in between.
func (p *parser) base64(s string) (string, bool) {
	if !p.produce(len(s)) {
		return "", false
	}
	return decodeBase64(s)
}

func decodeBase64(s string) (string, bool) {
	clean := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case isLetter(c), isDigit(c), c == '+', c == '/':
			clean = append(clean, c)
		case c == '=' || isSpace(c) || c == '\r' || c == '\n' || c == '"' || c == '\'':
		default:
			return "", false
		}
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, err := base64.RawStdEncoding.Decode(out, clean)
	if err != nil {
		return "", false
	}
	return string(out[:n]), true
}

// decodeUTF16 reads UTF-16, low byte first unless big.
func decodeUTF16(s string, big bool) string {
	units := make([]uint16, 0, len(s)/2)
	for i := 0; i+1 < len(s); i += 2 {
		u := uint16(s[i]) | uint16(s[i+1])<<8
		if big {
			u = u>>8 | u<<8
		}
		units = append(units, u)
	}
	if len(units) > 0 && units[0] == 0xFEFF {
		units = units[1:]
	}
	return string(utf16.Decode(units))
}

// encoding is GetString or GetBytes of a text encoding, or of an object that New-
// Object made.
func (p *parser) encoding(v value, method string, args []value) (value, bool) {
	name := v.s
	if v.kind != kindEncoding {
		if p.mute > 0 || v.cmd == 0 {
			return value{}, false
		}
		argv := p.out[v.cmd-1].Argv
		if len(argv) < 2 || !strings.EqualFold(argv[0], "new-object") && !strings.Contains(strings.ToLower(argv[0]), "encoding") {
			return value{}, false
		}
		name = strings.ToLower(argv[len(argv)-1])
	}
	if len(args) == 0 {
		return value{}, true
	}
	a := args[0]
	bs := v.bits | a.allBits()
	wide := strings.Contains(name, "unicode") && !strings.Contains(name, "big") || name == "1200" || name == "utf-16" || name == "utf16"
	big := strings.Contains(name, "bigendian") || name == "1201"
	switch method {
	case "getstring":
		raw := a.s
		if a.kind == kindArray && a.flatText() {
			b := make([]byte, 0, len(a.list))
			for i := range a.list {
				n, ok := a.list[i].number()
				if !ok {
					return value{}, true
				}
				b = append(b, byte(n))
			}
			raw, bs = string(b), bs|bitEncoded
		} else if a.kind != kindBytes {
			return value{}, true
		}
		if !p.produce(len(raw)) {
			return value{}, true
		}
		if wide || big {
			raw = decodeUTF16(raw, big)
		}
		return value{kind: kindString, s: strings.ToValidUTF8(raw, "\uFFFD"), bits: bs}, true
	case "getbytes":
		if a.kind == kindString && !wide && !big && p.produce(len(a.s)) {
			return value{kind: kindBytes, s: a.s, bits: bs}, true
		}
	}
	return value{}, true
}

// textMethod evaluates a method of data; false when it has none of that name.
func (p *parser) textMethod(v value, method string, args []value) (value, bool) {
	bs := v.allBits()
	for i := range args {
		bs |= args[i].allBits()
		if !args[i].flatText() {
			return value{}, false
		}
	}
	arg := func(i int) string {
		if i < len(args) {
			return args[i].joined("")
		}
		return ""
	}
	num := func(i int) (int, bool) {
		if i >= len(args) {
			return 0, false
		}
		n, ok := args[i].number()
		return int(n), ok && n >= 0 && n < 1<<20
	}
	if v.kind == kindArray {
		return value{}, false
	}
	s := v.String()
	if !p.produce(len(s)) {
		return value{}, true
	}
	result := func(s string, b bits) (value, bool) {
		return value{kind: kindString, s: s, bits: bs | b}, true
	}
	switch method {
	case "replace":
		if len(args) != 2 || arg(0) == "" {
			return value{}, true
		}
		if !p.produce(strings.Count(s, arg(0)) * len(arg(1))) {
			return value{}, true
		}
		return result(strings.ReplaceAll(s, arg(0), arg(1)), bitConcat|bitGlue)
	case "tolower", "tolowerinvariant":
		return result(strings.ToLower(s), 0)
	case "toupper", "toupperinvariant":
		return result(strings.ToUpper(s), 0)
	case "tostring", "normalize", "clone":
		return result(s, 0)
	case "trim", "trimstart", "trimend":
		cut := " \t\r\n"
		if len(args) > 0 {
			cut = arg(0)
		}
		if len(cut) > 64 {
			return value{}, true
		}
		if method != "trimend" {
			s = strings.TrimLeft(s, cut)
		}
		if method != "trimstart" {
			s = strings.TrimRight(s, cut)
		}
		return result(s, 0)
	case "substring":
		r := []rune(s)
		from, ok := num(0)
		if !ok || from > len(r) {
			return value{}, true
		}
		to := len(r)
		if len(args) > 1 {
			n, ok := num(1)
			if !ok || from+n > len(r) {
				return value{}, true
			}
			to = from + n
		}
		return result(string(r[from:to]), bitSubstring)
	case "remove":
		r := []rune(s)
		from, ok := num(0)
		if !ok || from > len(r) {
			return value{}, true
		}
		if len(args) < 2 {
			return result(string(r[:from]), bitSubstring)
		}
		n, ok := num(1)
		if !ok || from+n > len(r) {
			return value{}, true
		}
		return result(string(r[:from])+string(r[from+n:]), bitSubstring)
	case "insert":
		r := []rune(s)
		from, ok := num(0)
		if !ok || from > len(r) {
			return value{}, true
		}
		return result(string(r[:from])+arg(1)+string(r[from:]), bitConcat|bitGlue)
	case "split":
		seps := arg(0)
		if len(args) == 0 {
			seps = " \t\r\n"
		}
		if len(seps) > 64 {
			return value{}, true
		}
		return texts(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(seps, r) }), bs), true
	case "tochararray", "getenumerator":
		out := value{kind: kindArray, bits: bs}
		for _, r := range s {
			out.list = append(out.list, char(r))
		}
		return out, true
	case "chars", "get_chars":
		if n, ok := num(0); ok {
			if c, ok := indexText(s, int64(n)); ok {
				c.bits = bs | bitSubstring
				return c, true
			}
		}
		return value{}, true
	case "concat":
		return result(s+arg(0), bitConcat|bitGlue)
	case "indexof":
		if i := strings.Index(s, arg(0)); len(args) == 1 {
			return value{kind: kindNumber, n: int64(i)}, true
		}
	}
	return value{}, false
}
