// Package cmdexe reads the command language of Windows' cmd.exe: it says which
// simple commands a text runs, undoing what the language offers to hide them
// (carets, quotes, delimiters, variables cut into letters, for loops that put a
// command together).
//
// cmd.exe expands %variables% of a line before it runs any of it, so that
// variables set in the same line show only through call, for, delayed expansion
// or the next line. Parse resolves them wherever they stand: a text that would
// not work has nothing to hide.
//
// Source: Microsoft, "cmd", "set", "for", "if", "call" and "start" (Windows
// commands reference).
package cmdexe

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
)

const (
	maxExpanded   = 128 << 10 // bytes one text may grow by
	maxRefs       = 4096      // variables one text may use
	maxReplaces   = 256       // %x:a=b% in one text
	maxRounds     = 1024      // rounds of all for loops of one text
	maxRedirects  = 4         // redirections of one group that its commands inherit
	maxPrefixes   = 64        // call and start in front of one command
	maxReread     = 512 << 10 // bytes of loop bodies run in further rounds
	emittedRounds = 8         // rounds of one loop whose commands are all kept
)

// Options are what the caller knows about the cmd.exe that reads the text.
type Options struct {
	// DelayedExpansion is cmd /v:on.
	DelayedExpansion bool
	// Env holds variables known to be set, by name in any case. It goes before
	// the well-known ones.
	Env map[string]string
}

// Parse returns the simple commands of text, which is what cmd.exe would run:
// what stands behind /c, or was typed. Commands inside parentheses, if, for and
// for /f are included, flattened and in order; both branches of an if are, since
// which one runs is seldom known. rem, labels and the words call and start are
// not commands. A known variable is expanded, any other stays as written.
//
// The error names what could not be read; the commands found are valid even so.
func Parse(text string, opts Options, b *dialect.Budget) (cmds []dialect.Simple, err error) {
	m := &machine{
		b: b, delayed: opts.DelayedExpansion,
		al:      allowance{bytes: min(maxExpanded, b.Bytes/2), refs: min(maxRefs, b.Steps/4), replaces: maxReplaces},
		reserve: b.Steps / 2, reread: maxReread,
	}
	if len(opts.Env) > 0 {
		m.env = make(map[string]string, len(opts.Env))
		for k, v := range opts.Env {
			m.env[strings.ToLower(k)] = v
		}
	}
	sc := &script{src: text, orig: text}
	if strings.IndexByte(text, '%') >= 0 {
		sc.src, sc.spans = m.expand(text, '%', m.outer)
	}
	m.read(sc)
	if m.err != nil {
		err = fmt.Errorf("reading cmd.exe text: %w", m.err)
	}
	return m.out, err
}

// script is one text with what is known about how it came to be.
type script struct {
	src   string
	orig  string // before expansion, or all of it for people when raw is set
	spans []span
	raw   bool // orig is the Raw of every command
	final bool // percents are done
	marks []dialect.Mark
}

// origin returns the part of the original text that [start,end) came from.
func (sc *script) origin(start, end int) string {
	if sc.raw {
		return sc.orig
	}
	if sc.spans == nil {
		return sc.orig[start:end]
	}
	return sc.orig[sc.before(start, false):sc.before(end, true)]
}

// before maps an offset to the text before expansion; inside an expansion it is
// the end of the reference when up, else its start.
func (sc *script) before(off int, up bool) int {
	k := sort.Search(len(sc.spans), func(i int) bool { return sc.spans[i].end >= off })
	switch {
	case k < len(sc.spans) && sc.spans[k].start < off && off < sc.spans[k].end:
		if up {
			return sc.spans[k].to
		}
		return sc.spans[k].from
	case k < len(sc.spans) && sc.spans[k].end == off && (up || sc.spans[k].start < off):
		return sc.spans[k].to
	case k < len(sc.spans) && sc.spans[k].end == off && !up:
		return sc.spans[k].from
	case k == 0:
		return off
	}
	s := sc.spans[k-1]
	return s.to + off - s.end
}

// marksOf says how the expansions in [start,end) hide a command whose program
// word ends at name.
func (sc *script) marksOf(start, name, end int) []dialect.Mark {
	marks := sc.marks[:len(sc.marks):len(sc.marks)]
	k := sort.Search(len(sc.spans), func(i int) bool { return sc.spans[i].end > start })
	for ; k < len(sc.spans) && sc.spans[k].start < end; k++ {
		marks = sc.spans[k].addTo(marks, name)
	}
	return marks
}

func (s span) addTo(marks []dialect.Mark, name int) []dialect.Mark {
	if s.sub {
		marks = dialect.AddMark(marks, dialect.Substring)
	}
	if s.delayed {
		marks = dialect.AddMark(marks, dialect.DelayedVar)
	}
	if s.own && s.start < name {
		marks = dialect.AddMark(marks, dialect.Variable)
	}
	return marks
}

// extra is what is known about a command beyond what is handed out.
type extra struct {
	fed    bool   // something is piped into it
	output string // what it writes, when that is known
	known  bool
}

// binding is a for variable.
type binding struct {
	name  byte
	value string
	known bool
}

// machine runs the syntax tree as far as that tells what is executed.
type machine struct {
	b       *dialect.Budget
	al      allowance
	delayed bool
	env     map[string]string // lower-case names
	vars    map[string]string // set in the text; lower-case names
	out     []dialect.Simple
	extra   []extra
	loops   []binding
	rounds  int
	reserve int // steps that loops leave for reading
	reread  int // bytes of loop bodies that may be run again
	depth   int
	seen    map[string]bool // programs of the loop's kept rounds; nil when all are kept
	err     error
}

func (m *machine) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// outer finds what is known before the text runs.
func (m *machine) outer(name string) (string, bool, bool) {
	if m.env != nil {
		if v, ok := m.env[strings.ToLower(name)]; ok {
			return v, false, true
		}
	}
	v, ok := WellKnown(name)
	return v, false, ok
}

// inner finds what the text set, then what is known before.
func (m *machine) inner(name string) (string, bool, bool) {
	if v, ok := m.vars[strings.ToLower(name)]; ok {
		return v, true, true
	}
	return m.outer(name)
}

func (m *machine) orNothing(name string) (string, bool, bool) {
	if v, own, ok := m.inner(name); ok {
		return v, own, ok
	}
	for i := 0; i < len(name); i++ {
		if c := lower(name[i]); (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return "", false, false
		}
	}
	return "", true, true
}

func (m *machine) set(name, value string) {
	name = strings.ToLower(strings.TrimLeft(name, " \t"))
	if name == "" {
		return
	}
	if m.vars == nil {
		m.vars = make(map[string]string)
	}
	m.vars[name] = value
}

func (m *machine) unset(name string) {
	delete(m.vars, strings.ToLower(strings.TrimSpace(name)))
}

func (m *machine) expand(text string, sign byte, find lookup) (string, []span) {
	left := m.al.bytes
	out, spans, full := expand(text, sign, find, &m.al)
	if !full || !m.b.Spend(len(spans), left-m.al.bytes) {
		m.fail(errExpand)
	}
	return out, spans
}

// read parses and runs one text.
func (m *machine) read(sc *script) {
	if m.depth >= maxDepth {
		m.fail(errDepth)
		m.emit(sc.src, nil, sc.marks, sc.origin(0, len(sc.src)))
		return
	}
	m.depth++
	defer func() { m.depth-- }()
	root, err := parse(sc.src, m.b)
	if err != nil {
		m.fail(err)
	}
	m.exec(&root, sc)
}

func (m *machine) exec(n *node, sc *script) {
	from := len(m.out)
	switch n.kind {
	case kindSimple:
		m.simple(n, sc)
		return
	case kindSeq, kindGroup:
		for i := range n.kids {
			m.exec(&n.kids[i], sc)
		}
	case kindPipe:
		m.pipe(n, sc)
	case kindIf:
		m.branch(n, sc)
	case kindFor:
		m.loop(n, sc)
	}
	m.redirect(from, n.redirects)
	if n.pad && from < len(m.out) {
		m.out[from].Marks = dialect.AddMark(m.out[from].Marks, dialect.Padding)
	}
}

// redirect adds the redirections of a group to its commands.
func (m *machine) redirect(from int, redirects []dialect.Redirect) {
	if len(redirects) == 0 {
		return
	}
	redirects = redirects[:min(len(redirects), maxRedirects)]
	for i := from; i < len(m.out); i++ {
		if m.out[i].Next >= 0 {
			continue
		}
		if !m.b.Spend(len(redirects), 0) {
			m.fail(errBudget)
			return
		}
		if len(m.out[i].Redirects) == 0 {
			m.out[i].Redirects = redirects[:len(redirects):len(redirects)]
		} else {
			m.out[i].Redirects = append(m.out[i].Redirects, redirects...)
		}
	}
}

func (m *machine) pipe(n *node, sc *script) {
	prev, prevEnd := 0, 0
	for i := range n.kids {
		from := len(m.out)
		m.exec(&n.kids[i], sc)
		if i > 0 && from < len(m.out) {
			m.join(prev, prevEnd, from, len(m.out))
		}
		prev, prevEnd = from, len(m.out)
	}
}

// join pipes the commands [a,b) into the commands [c,d).
func (m *machine) join(a, b, c, d int) {
	text, known := "", false
	for i := a; i < b; i++ {
		if m.out[i].Next >= 0 {
			continue
		}
		m.out[i].Next = c
		e := m.extra[i]
		if !e.known || !m.b.Spend(0, len(text)) {
			continue
		}
		if known {
			text += "\n"
		}
		text, known = text+e.output, true
	}
	for i := c; i < d; i++ {
		if !m.extra[i].fed {
			m.extra[i].fed = true
			m.out[i].Stdin = text
		}
	}
}

// branch runs both sides of an if. Inside a loop, where conditions pick the round
// in which a command is complete, one that is known picks its side.
func (m *machine) branch(n *node, sc *script) {
	yes, known := m.decide(&n.cond)
	if known && len(m.loops) > 0 {
		if yes {
			m.exec(&n.kids[0], sc)
		} else {
			m.exec(&n.kids[1], sc)
		}
		return
	}
	m.exec(&n.kids[0], sc)
	m.exec(&n.kids[1], sc)
}

func (m *machine) decide(c *condition) (yes, known bool) {
	right := m.value(c.right)
	switch c.op {
	case "defined":
		_, _, ok := m.inner(right)
		return !c.not, ok
	case "exist", "errorlevel", "cmdextversion":
		return false, false
	}
	left := m.value(c.left)
	if strings.ContainsAny(left, "%!") || strings.ContainsAny(right, "%!") {
		return false, false
	}
	a, errA := strconv.Atoi(left)
	b, errB := strconv.Atoi(right)
	cmp := strings.Compare(left, right)
	if c.fold {
		cmp = strings.Compare(strings.ToLower(left), strings.ToLower(right))
	}
	if c.op != "==" && errA == nil && errB == nil {
		cmp = a - b
	}
	switch c.op {
	case "==", "equ":
		yes = cmp == 0
	case "neq":
		yes = cmp != 0
	case "lss":
		yes = cmp < 0
	case "leq":
		yes = cmp <= 0
	case "gtr":
		yes = cmp > 0
	case "geq":
		yes = cmp >= 0
	default:
		return false, false
	}
	return yes != c.not, true
}

// value evaluates a word of a condition or a for set.
func (m *machine) value(s string) string {
	if strings.IndexByte(s, '%') >= 0 {
		s = m.bound(s)
		s, _ = m.expand(s, '%', m.inner)
	}
	s = unescape(s)
	if m.delayed && strings.IndexByte(s, '!') >= 0 {
		s, _ = m.expand(s, '!', m.inner)
	}
	return s
}

// bound replaces the for variables of s, written %i, %%i or %~i.
func (m *machine) bound(s string) string {
	if len(m.loops) == 0 || strings.IndexByte(s, '%') < 0 {
		return s
	}
	var buf []byte
	done := 0
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '%' {
			continue
		}
		k := i + 1
		if s[k] == '%' && k+1 < len(s) {
			k++
		}
		tilde := false
		if s[k] == '~' && k+1 < len(s) {
			// %~nxi: letters that pick parts of a path. Only %~i is understood.
			k++
			tilde = true
		}
		value, ok := m.bindingOf(s[k])
		if !ok || len(value) > m.al.bytes || m.al.refs == 0 {
			i = k - 1
			continue
		}
		// %set% is rather the variable of that name.
		if e := strings.IndexByte(s[k:min(len(s), k+64)], '%'); e > 1 && !tilde {
			name, _, _ := strings.Cut(s[k:k+e], ":")
			if _, ok := m.vars[strings.ToLower(name)]; ok {
				i = k - 1
				continue
			}
		}
		if tilde {
			value = strings.Trim(value, `"`)
		}
		m.al.bytes -= len(value)
		m.al.refs--
		if !m.b.Spend(1, len(value)) {
			m.fail(errBudget)
			break
		}
		buf = append(append(buf, s[done:i]...), value...)
		done = k + 1
		i = k
	}
	if done == 0 {
		return s
	}
	return string(append(buf, s[done:]...))
}

func (m *machine) bindingOf(name byte) (string, bool) {
	for i := len(m.loops) - 1; i >= 0; i-- {
		if m.loops[i].name == name {
			return m.loops[i].value, m.loops[i].known
		}
	}
	return "", false
}

func (m *machine) simple(n *node, sc *script) {
	text := sc.src[n.start:n.end]
	name := n.start + nameEnd(text)
	marks := sc.marksOf(n.start, name, n.end)
	raw := strings.TrimRight(sc.origin(n.start, n.end), " \t\v\f")
	if n.pad {
		marks = dialect.AddMark(marks, dialect.Padding)
	}
	percent := strings.IndexByte(text, '%') >= 0
	if percent && len(m.loops) > 0 {
		text = m.bound(text)
		percent = strings.IndexByte(text, '%') >= 0
	}
	if percent && !sc.final && len(m.vars) > 0 && !isCall(text) {
		if out, spans := m.expand(text, '%', m.inner); spans != nil {
			m.read(&script{src: out, orig: raw, spans: spans, raw: true, final: true, marks: marks})
			return
		}
	}
	line, redirects, caret := lex(text)
	if caret {
		marks = dialect.AddMark(marks, dialect.Caret)
	}
	if m.delayed && strings.IndexByte(line, '!') >= 0 {
		find := m.inner
		if len(line) > 4 && equalFoldASCII(line[:3], "set") && isDelim(line[3]) {
			// A loop that puts a text together starts with a variable that is not
			// set, and delayed expansion makes nothing of such a one.
			find = m.orNothing
		}
		out, spans := m.expand(line, '!', find)
		if spans != nil {
			end := nameEnd(out)
			for _, s := range spans {
				marks = s.addTo(marks, end)
			}
		}
		line = strings.ReplaceAll(out, "^!", "!")
	}
	m.run(line, redirects, marks, raw)
}

// isCall reports whether text is a call, which expands for itself.
func isCall(text string) bool {
	t := strings.TrimLeft(text, "@,;= \t")
	return len(t) > 4 && equalFoldASCII(t[:4], "call") && isDelim(t[4])
}

// run looks at a command line whose carets are gone: builtins that run others or
// set variables have their effect, all else is a command.
func (m *machine) run(line string, redirects []dialect.Redirect, marks []dialect.Mark, raw string) {
	for prefixes := 0; ; prefixes++ {
		line = strings.TrimLeft(line, "@ \t\v\f,;=")
		if line == "" {
			return
		}
		end := nameEnd(line)
		name := line[:end]
		// Only short words can be builtins that matter here.
		if len(name) > 16 {
			break
		}
		if prefixes > maxPrefixes {
			m.fail(fmt.Errorf("more than %d times call and start", maxPrefixes))
			break
		}
		switch winargv.Base(name) {
		case "call":
			var again bool
			if line, marks, again = m.call(line[end:], marks, raw); !again {
				return
			}
			continue
		case "start":
			if rest := startTail(line[end:]); rest != "" {
				line = rest
				continue
			}
		case "rem":
			return
		case "set":
			m.assign(line[end:])
		case "setlocal":
			if indexFold(line, "enabledelayedexpansion") >= 0 {
				m.delayed = true
			}
		}
		break
	}
	m.emit(line, redirects, marks, raw)
}

// call handles what stands behind the word call. The text is read a second time
// when something in it changes by that; otherwise again says to go on with line.
func (m *machine) call(rest string, marks []dialect.Mark, raw string) (line string, out []dialect.Mark, again bool) {
	rest = strings.TrimLeft(rest, " \t,;=")
	for n := nameEnd(rest); n == 4 && equalFoldASCII(rest[:4], "call"); n = nameEnd(rest) {
		marks = dialect.AddMark(marks, dialect.Padding)
		rest = strings.TrimLeft(rest[n:], " \t,;=")
	}
	if rest == "" || rest[0] == ':' {
		return "", nil, false
	}
	if strings.IndexByte(rest, '%') >= 0 || strings.IndexByte(rest, '^') >= 0 {
		text, spans := m.expand(rest, '%', m.inner)
		if spans != nil || strings.IndexByte(rest, '^') >= 0 {
			m.read(&script{src: text, orig: raw, spans: spans, raw: true, final: true, marks: marks})
			return "", nil, false
		}
	}
	// One call in front of a program is needless but common in scripts.
	return rest, marks, true
}

// startTail is the command that start runs: without title and switches.
func startTail(rest string) string {
	rest = strings.TrimLeft(rest, " \t,;=")
	if strings.HasPrefix(rest, `"`) {
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return ""
		}
		if tail := strings.TrimLeft(rest[end+2:], " \t,;="); tail != "" {
			rest = tail
		}
	}
	for strings.HasPrefix(rest, "/") {
		end := 1
		for end < len(rest) && !isBlank(rest[end]) && rest[end] != '/' && rest[end] != '"' {
			end++
		}
		sw := rest[1:end]
		rest = rest[end:]
		switch {
		case equalFoldASCII(sw, "d"), equalFoldASCII(sw, "affinity"), equalFoldASCII(sw, "node"), equalFoldASCII(sw, "machine"):
			rest = skipWord(strings.TrimLeft(rest, " \t"))
		case strings.HasPrefix(rest, `"`), len(sw) > 1 && sw[0]|0x20 == 'd' && strings.ContainsAny(sw, `\:`):
			rest = skipWord(rest)
		}
		rest = strings.TrimLeft(rest, " \t,;=")
	}
	return rest
}

func skipWord(s string) string {
	quoted := false
	for i := 0; i < len(s); i++ {
		if s[i] == '"' {
			quoted = !quoted
		} else if isBlank(s[i]) && !quoted {
			return s[i:]
		}
	}
	return ""
}

// assign does what set does.
func (m *machine) assign(rest string) {
	rest = strings.TrimLeft(rest, " \t,;=")
	if len(rest) > 1 && rest[0] == '/' {
		sw := rest[1] | 0x20
		rest = strings.Trim(strings.TrimLeft(rest[2:], " \t"), `"`)
		name, value, ok := strings.Cut(rest, "=")
		if !ok {
			return
		}
		if sw == 'a' {
			if n, err := strconv.ParseInt(strings.TrimSpace(value), 0, 32); err == nil {
				m.set(strings.TrimSpace(name), strconv.FormatInt(n, 10))
				return
			}
		}
		m.unset(name)
		return
	}
	if strings.HasPrefix(rest, `"`) {
		rest = rest[1:]
		if end := strings.LastIndexByte(rest, '"'); end >= 0 {
			rest = rest[:end]
		}
	}
	name, value, ok := strings.Cut(rest, "=")
	if !ok {
		return
	}
	if value == "" {
		m.unset(name)
		return
	}
	if len(m.vars) < maxRefs {
		m.set(name, value)
	}
}

// emit adds one command.
func (m *machine) emit(line string, redirects []dialect.Redirect, marks []dialect.Mark, raw string) {
	line = strings.TrimRight(line, " \t\v\f")
	end := nameEnd(line)
	if end == 0 {
		return
	}
	word := line[:end]
	if strings.IndexByte(word, '"') >= 0 {
		word = strings.ReplaceAll(word, `"`, "")
	}
	if word == "" {
		return
	}
	rest := line[end:]
	if end < len(line) && !isBlank(line[end]) {
		// sc,query and tasklist/svc: the child gets a blank in between.
		if isDelim(line[end]) {
			marks = dialect.AddMark(marks, dialect.Padding)
			rest = strings.TrimLeft(rest, ",;= \t")
		} else if line[end] != '/' && equalFoldASCII(word, "echo") {
			rest = rest[1:] // echo.text writes text
		}
		line = strings.TrimRight(line[:end]+" "+rest, " ")
	} else if t := strings.TrimLeft(rest, " \t"); t != "" && (t[0] == ',' || t[0] == ';' || t[0] == '=') {
		marks = dialect.AddMark(marks, dialect.Padding)
		line = strings.TrimRight(line[:end]+" "+strings.TrimLeft(t, ",;= \t"), " ")
	}
	if m.seen != nil {
		key := strings.ToLower(word)
		if m.seen[key] {
			return
		}
		m.seen[key] = true
	}
	argv := winargv.Split(line)
	if len(argv) == 0 {
		return
	}
	argv[0] = word
	if winargv.OddQuotes(line) {
		marks = dialect.AddMark(marks, dialect.QuoteSplit)
	}
	if !m.b.Spend(len(argv), 0) {
		m.fail(errBudget)
	}
	m.out = append(m.out, dialect.Simple{
		Argv: argv, Line: line, Redirects: redirects, Next: -1, Marks: marks, Raw: raw,
	})
	output, known := echoes(line, end)
	m.extra = append(m.extra, extra{output: output, known: known})
}

// echoes returns what a command is known to write.
func echoes(line string, end int) (string, bool) {
	word := line[:end]
	if len(line) <= end || len(word) > 4 {
		return "", false
	}
	switch {
	case equalFoldASCII(word, "echo"):
		text := strings.Trim(line[end+1:], " \t")
		return text, text != ""
	case equalFoldASCII(word, "set"):
		// <nul set /p x=text writes text.
		rest := strings.TrimLeft(line[end:], " \t")
		if len(rest) > 2 && rest[0] == '/' && rest[1]|0x20 == 'p' {
			if _, text, ok := strings.Cut(rest, "="); ok {
				return strings.Trim(text, `"`), text != ""
			}
		}
	}
	return "", false
}

// nameEnd is where the program's word ends: quotes group, delimiters and a slash
// behind a bare name end it. Builtins also end at a few other signs (echo.text).
func nameEnd(s string) int {
	quoted, path := false, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '%' || c == '!':
			// A variable that is not known is one piece, commas and all.
			if k := strings.IndexByte(s[i+1:min(len(s), i+64)], c); k > 0 && strings.IndexByte(s[i+1:i+1+k], ':') > 0 {
				i += k + 1
			}
		case isDelim(c):
			return i
		case c == '\\' || c == ':' || c == '.' || c == '(' || c == '[' || c == '+' || c == ']':
			if !path && i > 1 && i < 9 && glues(s[:i]) {
				return i
			}
			if c != '(' {
				path = path || c != '.' || i == 0
			}
		case c == '/':
			if !path && i > 0 {
				return i
			}
		}
	}
	return len(s)
}

// glues reports whether a word is a builtin that takes its text without a blank.
func glues(word string) bool {
	var buf [8]byte
	for i := 0; i < len(word); i++ {
		buf[i] = lower(word[i])
	}
	switch string(buf[:len(word)]) {
	case "echo", "cd", "chdir", "md", "mkdir", "rd", "rmdir", "dir", "del", "erase", "type", "set", "call", "start", "rem", "title":
		return true
	}
	return false
}

// lex removes carets and redirections from a command's text.
func lex(text string) (line string, redirects []dialect.Redirect, caret bool) {
	if strings.IndexByte(text, '^') < 0 && strings.IndexByte(text, '<') < 0 && strings.IndexByte(text, '>') < 0 {
		return text, nil, false
	}
	buf := make([]byte, 0, len(text))
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '^':
			i++
			if i+1 < len(text) && text[i] == '\r' && text[i+1] == '\n' {
				i++
			}
			continued := i < len(text) && text[i] == '\n'
			if continued {
				// The line goes on, and its first sign is taken as it is.
				i++
			}
			if i >= len(text) {
				continue
			}
			c = text[i]
			caret = caret || !continued && hides(c)
		case c == '>' || c == '<':
			start := i
			if n := len(buf); n > 0 && '0' <= buf[n-1] && buf[n-1] <= '9' && text[i-1] == buf[n-1] && (n == 1 || isDelim(buf[n-2])) {
				start--
				buf = buf[:n-1]
			}
			r, end := redirectAt(text, start)
			redirects = append(redirects, r)
			i = end - 1
			continue
		}
		buf = append(buf, c)
	}
	return strings.TrimLeft(string(buf), " \t\v\f"), redirects, caret
}

// hides reports whether a caret in front of c serves no purpose of the language.
func hides(c byte) bool {
	switch c {
	case '|', '&', '>', '<', '^', '(', ')', '%', '!', '"', '\r', '\n', '\'', '`':
		return false
	}
	return true
}
