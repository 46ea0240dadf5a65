package cmdexe

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
)

var errRounds = errors.New("for loops run longer than allowed")

// loop runs a for: the command it reads from, then its body for every value that
// is known, or once with the variable as written.
func (m *machine) loop(n *node, sc *script) {
	body := &n.kids[0]
	switch n.loop.mode {
	case 'f':
		m.fileLoop(n, sc, body)
		return
	case 'l':
		m.countLoop(n, sc, body)
		return
	case 'd', 'r':
		m.once(n.loop.name, body, sc)
		return
	}
	items, ok := m.items(n.loop.set)
	if !ok {
		m.once(n.loop.name, body, sc)
		return
	}
	r := m.start(body)
	for _, item := range items {
		if !r.next() {
			break
		}
		m.round(body, sc, binding{name: n.loop.name, value: item, known: true})
	}
	r.end()
}

// once runs the body once, without a value.
func (m *machine) once(name byte, body *node, sc *script) {
	m.round(body, sc, binding{name: name})
}

func (m *machine) round(body *node, sc *script, bs ...binding) {
	m.loops = append(m.loops, bs...)
	m.exec(body, sc)
	m.loops = m.loops[:len(m.loops)-len(bs)]
}

// rounds counts the rounds of one loop. After the first few only programs that
// were not seen in them are kept: a sweep over an address range is one finding.
type rounds struct {
	m    *machine
	from int // the first command of the loop
	size int // bytes of its body
	n    int // rounds so far
	was  map[string]bool
}

func (m *machine) start(body *node) *rounds {
	return &rounds{m: m, from: len(m.out), size: body.end - body.start, was: m.seen}
}

func (r *rounds) next() bool {
	m := r.m
	// The first round always runs: what it holds must not go unread. Further ones
	// cost by the size of the body.
	if cost := 1 + r.size/8; r.n > 0 {
		m.reread -= r.size
		if m.reread < 0 || m.rounds >= maxRounds || m.b.Steps-cost < m.reserve || !m.b.Spend(cost, 0) {
			m.fail(errRounds)
			return false
		}
	}
	m.rounds++
	r.n++
	if r.n == emittedRounds+1 && m.seen == nil {
		m.seen = make(map[string]bool)
		for _, c := range m.out[r.from:] {
			m.seen[strings.ToLower(c.Argv[0])] = true
		}
	}
	return true
}

// end drops the commands of later rounds that are the same as earlier ones.
func (r *rounds) end() {
	m := r.m
	m.seen = r.was
	if r.n < 2 || r.from == len(m.out) {
		return
	}
	lines := make(map[string]bool)
	to := make([]int, len(m.out)-r.from)
	kept := r.from
	for i := r.from; i < len(m.out); i++ {
		c := m.out[i]
		if c.Next < 0 && !m.extra[i].fed {
			if lines[c.Line] {
				continue
			}
			lines[c.Line] = true
		}
		to[i-r.from] = kept
		m.out[kept], m.extra[kept] = c, m.extra[i]
		kept++
	}
	m.out, m.extra = m.out[:kept], m.extra[:kept]
	for i := r.from; i < kept; i++ {
		// What is piped into is never dropped.
		if n := m.out[i].Next; n >= 0 {
			m.out[i].Next = to[n-r.from]
		}
	}
}

// items are the words of a plain set; false when they are files to be looked up.
func (m *machine) items(set string) ([]string, bool) {
	set = m.value(set)
	var items []string
	quoted := false
	start := -1
	for i := 0; i <= len(set); i++ {
		if i < len(set) && (quoted || !isDelim(set[i]) && set[i] != '\n' && set[i] != '\r') {
			if set[i] == '"' {
				quoted = !quoted
			}
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 {
			items = append(items, set[start:i])
			start = -1
		}
	}
	if len(items) == 0 || strings.ContainsAny(set, "*?") {
		return nil, false
	}
	return items, true
}

func (m *machine) countLoop(n *node, sc *script, body *node) {
	items, ok := m.items(n.loop.set)
	var num [3]int
	if len(items) != 3 {
		ok = false
	}
	for i := 0; ok && i < 3; i++ {
		v, err := strconv.ParseInt(items[i], 0, 32)
		num[i], ok = int(v), err == nil
	}
	if !ok || num[1] == 0 {
		m.once(n.loop.name, body, sc)
		return
	}
	r := m.start(body)
	for v := num[0]; num[1] > 0 && v <= num[2] || num[1] < 0 && v >= num[2]; v += num[1] {
		if !r.next() {
			break
		}
		m.round(body, sc, binding{name: n.loop.name, value: strconv.Itoa(v), known: true})
	}
	r.end()
}

// fileLoop runs for /f: over a command's output, a text or files.
func (m *machine) fileLoop(n *node, sc *script, body *node) {
	set := strings.Trim(n.loop.set, " \t\r\n")
	backq := indexFold(n.loop.opts, "usebackq") >= 0
	text, known := "", false
	if len(set) > 0 {
		q := set[0]
		inner := strings.TrimSuffix(set[1:], string(q))
		switch {
		case q == '`' || q == '\'' && !backq:
			quiet := *sc
			if hiddenByCaret(inner) {
				quiet.marks = dialect.AddMark(slices.Clone(sc.marks), dialect.Caret)
			}
			text, known = m.output(unescape(m.bound(inner)), &quiet, n)
		case q == '"' && !backq || q == '\'' && backq:
			text = m.value(inner)
			known = !strings.ContainsAny(text, "%!")
		}
	}
	if !known {
		m.once(n.loop.name, body, sc)
		return
	}
	opt := readOptions(n.loop.opts)
	r := m.start(body)
	for line := range strings.Lines(text) {
		values, ok := opt.tokens(strings.TrimRight(line, "\r\n"))
		if !ok {
			continue
		}
		if opt.skip > 0 {
			opt.skip--
			continue
		}
		if !r.next() {
			break
		}
		// The names of further tokens follow the first one: %a, %b, ...
		bs := make([]binding, len(values))
		for i, v := range values {
			bs[i] = binding{name: n.loop.name + byte(i), value: v, known: true}
		}
		m.round(body, sc, bs...)
	}
	r.end()
}

// hiddenByCaret reports whether a command that for /f reads from has a caret that
// serves no purpose: in there delimiters need one too.
func hiddenByCaret(s string) bool {
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '^' {
			continue
		}
		if i++; hides(s[i]) && !isDelim(s[i]) {
			return true
		}
	}
	return false
}

// output runs the command a for /f reads from and returns what it writes, when
// that is known.
func (m *machine) output(command string, sc *script, n *node) (string, bool) {
	from := len(m.out)
	seen := m.seen
	m.read(&script{src: command, orig: sc.origin(n.start, n.end), raw: true, marks: sc.marks})
	m.seen = seen
	if from == len(m.out) {
		return "", false
	}
	text, known := "", false
	for i := from; i < len(m.out); i++ {
		out, ok := m.writes(i, text)
		if i > from && (!ok || m.out[i-1].Next != i) {
			return "", false
		}
		text, known = out, ok
	}
	return text, known
}

// writes is what command i writes when it is fed with in.
func (m *machine) writes(i int, in string) (string, bool) {
	c := m.out[i]
	if m.extra[i].known {
		return m.extra[i].output, true
	}
	arg := ""
	if len(c.Argv) > 1 {
		arg = c.Argv[len(c.Argv)-1]
	}
	switch strings.ToLower(c.Argv[0]) {
	case "assoc", "ftype":
		if arg == "" {
			return "", false
		}
		out := association(strings.ToLower(arg))
		return out, out != ""
	case "set":
		if arg != "" {
			return m.variables(arg)
		}
		return m.variables("")
	case "find", "findstr":
		if m.extra[i].fed && in != "" && arg != "" {
			return grep(in, arg)
		}
	}
	return "", false
}

// names are the variables that "set" lists and that are the same on every host.
var names = [...]string{
	"ALLUSERSPROFILE", "CommonProgramFiles", "CommonProgramFiles(x86)", "CommonProgramW6432", "ComSpec", "DriverData",
	"OS", "Path", "PATHEXT", "PROCESSOR_ARCHITECTURE", "ProgramData", "ProgramFiles", "ProgramFiles(x86)",
	"ProgramW6432", "PSModulePath", "PUBLIC", "SystemDrive", "SystemRoot", "windir",
}

// variables is what "set prefix" lists.
func (m *machine) variables(prefix string) (string, bool) {
	var b strings.Builder
	if prefix != "" && len(m.vars) <= 64 {
		for _, name := range slices.Sorted(maps.Keys(m.vars)) {
			if v := m.vars[name]; len(name) >= len(prefix) && equalFoldASCII(name[:len(prefix)], prefix) && len(v) <= 1024 {
				b.WriteString(name + "=" + v + "\n")
			}
		}
	}
	for _, name := range names {
		if len(name) >= len(prefix) && equalFoldASCII(name[:len(prefix)], prefix) {
			v, _ := WellKnown(name)
			b.WriteString(name + "=" + v + "\n")
		}
	}
	return b.String(), b.Len() > 0
}

// grep keeps the lines that hold what, as find and findstr do.
func grep(text, what string) (string, bool) {
	if len(what) > 32 {
		return "", false
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) {
			b.WriteString(line)
		}
	}
	return b.String(), b.Len() > 0
}

// fileOptions are the options of for /f.
type fileOptions struct {
	delims string
	list   []int // 1-based tokens to hand out
	rest   bool  // the last one takes the rest of the line
	skip   int
	eol    byte
}

func readOptions(opts string) fileOptions {
	o := fileOptions{delims: " \t", list: []int{1}, eol: ';'}
	if i := indexFold(opts, "delims="); i >= 0 {
		d := opts[i+len("delims="):]
		// delims usually comes last and may hold a blank; before other options it
		// ends at one.
		for _, next := range []string{" tokens=", " skip=", " eol=", " usebackq"} {
			if k := indexFold(d, next); k >= 0 {
				d = d[:k]
			}
		}
		o.delims = d
	}
	if i := indexFold(opts, "eol="); i >= 0 && i+4 < len(opts) {
		o.eol = opts[i+4]
	}
	if i := indexFold(opts, "skip="); i >= 0 {
		end := i + 5
		for end < len(opts) && '0' <= opts[end] && opts[end] <= '9' {
			end++
		}
		o.skip, _ = strconv.Atoi(opts[i+5 : end])
	}
	if i := indexFold(opts, "tokens="); i >= 0 {
		spec, _, _ := strings.Cut(opts[i+len("tokens="):], " ")
		o.list = nil
		for part := range strings.SplitSeq(spec, ",") {
			if strings.HasSuffix(part, "*") {
				o.rest = true
				part = strings.TrimSuffix(part, "*")
			}
			a, b, isRange := strings.Cut(part, "-")
			lo, err := strconv.Atoi(a)
			if err != nil {
				continue
			}
			hi := lo
			if isRange {
				if hi, err = strconv.Atoi(b); err != nil {
					continue
				}
			}
			for t := lo; t <= hi && len(o.list) < 26; t++ {
				o.list = append(o.list, t)
			}
		}
	}
	return o
}

// tokens cuts a line; false for a line that for /f skips.
func (o *fileOptions) tokens(line string) ([]string, bool) {
	if line == "" || len(line) > 8192 || line[0] == o.eol && !strings.ContainsRune(o.delims, rune(o.eol)) {
		return nil, false
	}
	values := make([]string, len(o.list))
	last := 0
	for _, t := range o.list {
		last = max(last, t)
	}
	i, found := 0, false
	for t := 1; t <= last; t++ {
		for i < len(line) && strings.IndexByte(o.delims, line[i]) >= 0 {
			i++
		}
		start := i
		for i < len(line) && strings.IndexByte(o.delims, line[i]) < 0 {
			i++
		}
		if start == i {
			break
		}
		for k, want := range o.list {
			if want == t {
				values[k], found = line[start:i], true
			}
		}
	}
	if o.rest {
		for i < len(line) && strings.IndexByte(o.delims, line[i]) >= 0 {
			i++
		}
		values = append(values, line[i:])
		found = found || i < len(line)
	}
	return values, found
}
