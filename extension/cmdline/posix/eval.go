package posix

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
)

// value is text that is known, and how it came about.
type value struct {
	s     string
	marks marks
}

// variable is what an assignment left behind. A variable that was set to
// something unknown is not known, which is different from one never set.
type variable struct {
	value
	list   []string
	isList bool
	known  bool
}

// scope is the environment of one shell; a subshell has its own on top.
type scope struct {
	up    *scope
	vars  map[string]*variable
	args  []string // positional parameters from $1 on
	bound bool     // args are known
}

func (s *scope) get(name string) *variable {
	for ; s != nil; s = s.up {
		if v, ok := s.vars[name]; ok {
			return v
		}
	}
	return nil
}

func (s *scope) set(name string, v *variable) {
	if s.vars == nil {
		s.vars = make(map[string]*variable, 4)
	}
	s.vars[name] = v
}

func (s *scope) positional() ([]string, bool) {
	for ; s != nil; s = s.up {
		if s.bound {
			return s.args, true
		}
	}
	return nil, false
}

// function is a function of the text.
type function struct {
	body *syntax.Stmt
	// open says that something in it depends on what it finds when it is called.
	open bool
}

// evaluator walks the statements of one text.
type evaluator struct {
	text   string
	budget *dialect.Budget
	out    []dialect.Simple
	err    error

	env   *scope
	funcs map[string]*function
	// locals are the variables that end with the function that is followed.
	locals map[string]bool
	// broken says that the text is not a whole program.
	broken bool
	// quiet says that text is worked out for its value only: nothing is emitted.
	quiet  int
	depth  int
	rounds int
	calls  int
}

func newEvaluator(text string, opts Options, b *dialect.Budget) *evaluator {
	e := &evaluator{text: text, budget: b, env: &scope{}}
	for name, val := range opts.Vars {
		e.env.set(name, &variable{value: value{s: val}, known: true})
	}
	return e
}

func (e *evaluator) run(list []*syntax.Stmt) { e.stmts(list, nil) }

// fail stops the walk; what was found stays.
func (e *evaluator) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

func (e *evaluator) spend(steps, bytes int) bool {
	if e.err != nil {
		return false
	}
	if !e.budget.Spend(steps, bytes) {
		e.fail(ErrBudget)
		return false
	}
	return true
}

// enter goes one level down; the caller leaves again if it returns true.
func (e *evaluator) enter() bool {
	if e.depth >= maxDepth {
		e.fail(ErrNesting)
		return false
	}
	if !e.spend(1, 0) {
		return false
	}
	e.depth++
	return true
}

func (e *evaluator) leave() { e.depth-- }

// subshell runs f in an environment of its own.
func (e *evaluator) subshell(f func()) {
	saved := e.env
	e.env = &scope{up: saved}
	f()
	e.env = saved
}

// certainty is what is known of a condition.
type certainty int8

const (
	no certainty = iota
	perhaps
	yes
)

// truth is what is known of the end of a condition without running it.
func truth(cond []*syntax.Stmt) certainty {
	if len(cond) == 0 {
		return yes // else
	}
	s := cond[len(cond)-1]
	call, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) != 1 {
		return perhaps
	}
	holds := perhaps
	switch call.Args[0].Lit() {
	case "true", ":":
		holds = yes
	case "false":
		holds = no
	}
	if s.Negated {
		holds = yes - holds
	}
	return holds
}

// branches are the alternatives of a condition, with the environment each leaves
// behind.
type branches struct {
	left  []*scope
	taken bool // one of them is certain to be taken: none behind it is
}

// branch runs an alternative in the environment before the condition, which holds with
// some certainty.
func (e *evaluator) branch(b *branches, holds certainty, f func()) {
	saved := e.env
	e.env = &scope{up: saved}
	f()
	if holds != no && !b.taken {
		b.left = append(b.left, e.env)
	}
	b.taken = b.taken || holds == yes
	e.env = saved
}

// join goes on behind the condition with what its alternatives set, the last one's
// where several may have.
func (e *evaluator) join(b *branches) {
	for _, s := range b.left {
		for name, v := range s.vars {
			e.env.set(name, v)
		}
		if s.bound {
			e.env.args, e.env.bound = s.args, true
		}
	}
}

// flow is where the commands of a statement are connected: head reads its
// standard input, tails write its standard output.
type flow struct {
	head  int
	tails []int
}

func noFlow() flow { return flow{head: -1} }

func (f *flow) add(g flow) {
	if f.head < 0 {
		f.head = g.head
	}
	f.tails = append(f.tails, g.tails...)
}

func (e *evaluator) stmts(list []*syntax.Stmt, in *value) flow {
	f := noFlow()
	for _, s := range list {
		if e.err != nil {
			break
		}
		f.add(e.stmt(s, in))
		if f.head >= 0 {
			in = nil // the first command reads it
		}
	}
	return f
}

// chain flattens a left-leaning tree of one kind of operators, which may be as
// deep as the text is long.
func chain(s *syntax.Stmt, pipe bool) []*syntax.Stmt {
	var rev []*syntax.Stmt
	for {
		b, ok := s.Cmd.(*syntax.BinaryCmd)
		if !ok || len(s.Redirs) > 0 || isPipe(b.Op) != pipe {
			break
		}
		rev = append(rev, b.Y)
		s = b.X
	}
	rev = append(rev, s)
	for i, j := 0, len(rev)-1; i < j; i, j = i+1, j-1 {
		rev[i], rev[j] = rev[j], rev[i]
	}
	return rev
}

func isPipe(op syntax.BinCmdOperator) bool {
	return op == syntax.Pipe || op == syntax.PipeAll
}

func (e *evaluator) stmt(s *syntax.Stmt, in *value) flow {
	if s == nil || !e.enter() {
		return noFlow()
	}
	defer e.leave()

	first := len(e.out)
	redirs, given := e.redirects(s.Redirs)
	if given != nil {
		in = given
	}
	f := noFlow()
	if s.Background {
		e.subshell(func() { f = e.command(s, in, redirs) })
	} else {
		f = e.command(s, in, redirs)
	}
	// Redirections of a compound command hold for all commands inside.
	if len(redirs) > 0 && e.quiet == 0 {
		if !e.spend(len(e.out)-first, 0) {
			return f
		}
		for i := first; i < len(e.out); i++ {
			if _, simple := s.Cmd.(*syntax.CallExpr); !simple {
				e.out[i].Redirects = append(e.out[i].Redirects, redirs...)
			}
		}
	}
	return f
}

func (e *evaluator) command(s *syntax.Stmt, in *value, redirs []dialect.Redirect) flow {
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		return e.call(c, in, redirs)
	case *syntax.BinaryCmd:
		if isPipe(c.Op) {
			return e.pipeline(chain(&syntax.Stmt{Cmd: c}, true), in)
		}
		return e.stmts(chain(&syntax.Stmt{Cmd: c}, false), in)
	case *syntax.Block:
		return e.stmts(c.Stmts, in)
	case *syntax.Subshell:
		f := noFlow()
		e.subshell(func() { f = e.stmts(c.Stmts, in) })
		return f
	case *syntax.IfClause:
		f := noFlow()
		var b branches
		for ; c != nil; c = c.Else {
			f.add(e.stmts(c.Cond, in))
			e.branch(&b, truth(c.Cond), func() { f.add(e.stmts(c.Then, nil)) })
		}
		e.join(&b)
		return f
	case *syntax.WhileClause:
		f := e.stmts(c.Cond, in)
		f.add(e.stmts(c.Do, nil))
		return f
	case *syntax.ForClause:
		return e.forLoop(c, in)
	case *syntax.CaseClause:
		subject := e.str(c.Word)
		f := noFlow()
		var b branches
		for _, item := range c.Items {
			holds := no
			for _, p := range item.Patterns {
				switch pattern := e.str(p); {
				case !subject.known || !pattern.known || len(pattern.s) > 256:
					holds = max(holds, perhaps)
				case match(pattern.s, subject.s):
					holds = yes
				}
			}
			e.branch(&b, holds, func() { f.add(e.stmts(item.Stmts, in)) })
		}
		e.join(&b)
		return f
	case *syntax.FuncDecl:
		first := len(e.out)
		// What it is called with, and what its output goes to, is not known here.
		e.subshell(func() {
			e.env.args, e.env.bound = nil, false
			e.stmt(c.Body, nil)
		})
		if c.Name != nil {
			if e.funcs == nil {
				e.funcs = map[string]*function{}
			}
			e.funcs[c.Name.Value] = &function{body: c.Body, open: slices.ContainsFunc(e.out[first:], func(s dialect.Simple) bool {
				return slices.ContainsFunc(s.Argv, func(w string) bool { return strings.ContainsAny(w, "$`") })
			})}
		}
	case *syntax.TimeClause:
		return e.stmt(c.Stmt, in)
	case *syntax.CoprocClause:
		return e.stmt(c.Stmt, in)
	case *syntax.DeclClause:
		return e.declaration(c)
	case *syntax.ArithmCmd:
		e.inside(c.X)
	case *syntax.LetClause:
		for _, x := range c.Exprs {
			e.inside(x)
		}
	case *syntax.TestClause:
		e.inside(c.X)
	case *syntax.TestDecl:
		return e.stmt(c.Body, in)
	}
	return noFlow()
}

// inside emits the commands substituted somewhere inside a node that is not a
// command itself.
func (e *evaluator) inside(n syntax.Node) {
	if n == nil || e.quiet > 0 {
		return
	}
	syntax.Walk(n, func(n syntax.Node) bool {
		if n == nil || !e.spend(1, 0) {
			return false
		}
		switch x := n.(type) {
		case *syntax.CmdSubst:
			e.subshell(func() { e.stmts(x.Stmts, nil) })
			return false
		case *syntax.ProcSubst:
			e.subshell(func() { e.stmts(x.Stmts, nil) })
			return false
		}
		return true
	})
}

// pipeline connects each stage to the next, and hands on the text where every
// stage so far is a text tool at work on literals.
func (e *evaluator) pipeline(stages []*syntax.Stmt, in *value) flow {
	f := noFlow()
	var tails []int
	for i, s := range stages {
		if e.err != nil {
			break
		}
		var g flow
		e.subshell(func() { g = e.stmt(s, in) })
		if f.head < 0 && i == 0 {
			f.head = g.head
		}
		for _, t := range tails {
			if g.head >= 0 && g.head != t {
				e.out[t].Next = g.head
			}
		}
		tails = g.tails
		if i+1 == len(stages) {
			break
		}
		e.subshell(func() {
			v, ok := e.textOf(s, in)
			in = nil
			if ok {
				in = &v
			}
		})
	}
	f.tails = tails
	return f
}

func (e *evaluator) forLoop(c *syntax.ForClause, in *value) flow {
	f := noFlow()
	iter, ok := c.Loop.(*syntax.WordIter)
	if !ok {
		e.inside(c.Loop)
		return e.stmts(c.Do, in)
	}
	items, known := e.items(iter)
	name := iter.Name.Value
	if known && !c.Select && len(items) <= maxLoop && e.rounds+len(items) <= maxRounds {
		e.rounds += len(items)
		for _, item := range items {
			if !e.spend(1, len(item.s)) {
				return f
			}
			e.env.set(name, &variable{value: item, known: true})
			f.add(e.stmts(c.Do, in))
			in = nil
		}
		return f
	}
	e.env.set(name, &variable{})
	f.add(e.stmts(c.Do, in))
	return f
}

// items are the words a loop runs over, if they are all known. An empty list is
// reported as unknown, so that the body is looked at all the same.
func (e *evaluator) items(iter *syntax.WordIter) ([]value, bool) {
	var out []value
	if !iter.InPos.IsValid() {
		args, ok := e.env.positional()
		for _, a := range args {
			out = append(out, value{s: a})
		}
		return out, ok && len(out) > 0
	}
	known := true
	for _, w := range iter.Items {
		for _, f := range e.fields(w) {
			// A pattern stands for the files it selects: one round with all of them.
			known = known && f.known
			out = append(out, value{s: f.s, marks: f.marks})
		}
		if len(out) > maxLoop {
			known = false
		}
	}
	return out, known && len(out) > 0
}

func (e *evaluator) declaration(c *syntax.DeclClause) flow {
	argv := []string{c.Variant.Value}
	for _, a := range c.Args {
		if e.locals != nil && a.Name != nil && (c.Variant.Value == "local" || c.Variant.Value == "declare" || c.Variant.Value == "typeset") {
			e.locals[a.Name.Value] = true
		}
		switch {
		case a.Name == nil:
			for _, f := range e.fields(a.Value) {
				argv = append(argv, f.s)
			}
		case a.Naked:
			argv = append(argv, a.Name.Value)
		default:
			v := e.assign(a)
			argv = append(argv, a.Name.Value+"="+v.s)
		}
	}
	return e.emit(dialect.Simple{Argv: argv, Raw: e.source(c)}, 0)
}

// assign carries out one assignment and returns the value, or the source where
// it is not known.
func (e *evaluator) assign(a *syntax.Assign) value {
	if a.Name == nil {
		return value{}
	}
	v := &variable{known: true}
	switch {
	case a.Array != nil:
		v.isList = true
		if a.Append {
			if old := e.env.get(a.Name.Value); old != nil && old.isList {
				v.list = append(v.list, old.list...)
				v.known = old.known
				v.marks = old.marks
			}
		}
		for _, el := range a.Array.Elems {
			if el.Index != nil {
				e.inside(el.Index)
				v.known = false
			}
			if el.Value == nil {
				continue
			}
			for _, f := range e.fields(el.Value) {
				v.list = append(v.list, f.s)
				v.known = v.known && f.known
				v.marks |= f.marks
			}
		}
		if len(v.list) > maxBrace {
			v.list, v.known = nil, false
		}
		e.env.set(a.Name.Value, v)
		return value{s: e.source(a.Array)}
	case a.Value != nil:
		f := e.str(a.Value)
		v.s, v.marks, v.known = f.s, f.marks, f.known
	}
	if a.Index != nil {
		e.inside(a.Index)
		shown := v.value
		old := e.env.get(a.Name.Value)
		n, ok := e.arith(a.Index)
		next := &variable{isList: true, known: true}
		if old != nil && old.isList {
			next.list = append(next.list, old.list...)
			next.known, next.marks = old.known, old.marks
		}
		if !ok || !v.known || n < 0 || n > int64(len(next.list)) || n >= maxBrace {
			next.known = false
		} else {
			next.marks |= v.marks
			if int(n) == len(next.list) {
				next.list = append(next.list, v.s)
			} else {
				next.list[n] = v.s
			}
		}
		e.env.set(a.Name.Value, next)
		return shown
	}
	if a.Append {
		if old := e.env.get(a.Name.Value); old == nil || !old.known || old.isList {
			v.known = old == nil && v.known
		} else {
			if len(old.s)+len(v.s) > maxValue || !e.spend(1, len(old.s)+len(v.s)) {
				v.known = false
			} else {
				v.s = old.s + v.s
			}
			v.marks |= old.marks
		}
	}
	if !v.known {
		shown := v.value
		e.env.set(a.Name.Value, &variable{})
		return shown
	}
	e.env.set(a.Name.Value, v)
	return v.value
}

// redirects returns the redirections to and from files, and the text that
// arrives on standard input where it is known. Copies of descriptors (2>&1) are
// left out.
func (e *evaluator) redirects(list []*syntax.Redirect) ([]dialect.Redirect, *value) {
	var out []dialect.Redirect
	var in *value
	for _, r := range list {
		switch r.Op {
		case syntax.Hdoc, syntax.DashHdoc:
			if r.Hdoc == nil {
				continue
			}
			body, ok := e.hereDoc(r)
			if ok {
				in = &body
			} else {
				in = nil
			}
			continue
		}
		if r.Word == nil {
			continue
		}
		if r.Op == syntax.WordHdoc {
			f := e.str(r.Word)
			out = append(out, dialect.Redirect{Op: "<<<", Target: f.s})
			in = nil
			if f.known {
				in = &value{s: f.s + "\n", marks: f.marks}
			}
			continue
		}
		if p, ok := onlyPart(r.Word).(*syntax.ProcSubst); ok && p.Op == syntax.CmdIn {
			v, known := e.procSubst(p)
			in = nil
			if known {
				in = &v
			}
			continue
		}
		f := e.str(r.Word)
		op := r.Op.String()
		if r.Op == syntax.DplOut || r.Op == syntax.DplIn {
			if strings.Trim(f.s, "0123456789-") == "" || !f.known {
				continue
			}
			op = strings.Replace(op, ">&", "&>", 1)
		}
		if r.N != nil && (r.N.Value != "1" || !strings.HasPrefix(op, ">")) && (r.N.Value != "0" || op != "<") {
			op = r.N.Value + op
		}
		if r.Op == syntax.RdrIn && r.N == nil {
			in = nil
		}
		out = append(out, dialect.Redirect{Op: op, Target: f.s})
	}
	return out, in
}

func (e *evaluator) hereDoc(r *syntax.Redirect) (value, bool) {
	f := e.body(r.Hdoc, quotedWord(r.Word))
	if r.Op == syntax.DashHdoc {
		lines := strings.Split(f.s, "\n")
		for i := range lines {
			lines[i] = strings.TrimLeft(lines[i], "\t")
		}
		f.s = strings.Join(lines, "\n")
	}
	return value{s: f.s, marks: f.marks}, f.known
}

func quotedWord(w *syntax.Word) bool {
	for _, p := range w.Parts {
		switch x := p.(type) {
		case *syntax.Lit:
			if strings.IndexByte(x.Value, '\\') >= 0 {
				return true
			}
		default:
			return true
		}
	}
	return false
}

func onlyPart(w *syntax.Word) syntax.WordPart {
	if len(w.Parts) == 1 {
		return w.Parts[0]
	}
	return nil
}

// procSubst emits the commands of <(...) and works out their text.
func (e *evaluator) procSubst(p *syntax.ProcSubst) (value, bool) {
	if e.quiet == 0 {
		e.subshell(func() { e.stmts(p.Stmts, nil) })
	}
	return e.substituted(p.Stmts)
}

// substituted is what the statements write, in a shell of their own.
func (e *evaluator) substituted(list []*syntax.Stmt) (v value, ok bool) {
	e.subshell(func() { v, ok = e.texts(list, nil) })
	return v, ok
}

// source is the span of the text a node was read from.
func (e *evaluator) source(n syntax.Node) string {
	from, to := clamp(n.Pos(), len(e.text)), len(e.text)
	// An end that the parser had to make up is the end of the text.
	if end := n.End(); end.IsValid() {
		to = clamp(end, len(e.text))
	}
	if from >= to {
		return ""
	}
	return e.text[from:to]
}

func (e *evaluator) emit(s dialect.Simple, m marks) flow {
	if e.quiet > 0 {
		return noFlow()
	}
	n := len(s.Stdin)
	for _, a := range s.Argv {
		n += len(a)
	}
	if !e.spend(1+len(s.Argv), n) {
		return noFlow()
	}
	s.Next = -1
	s.Marks = m.list()
	e.out = append(e.out, s)
	i := len(e.out) - 1
	return flow{head: i, tails: []int{i}}
}

// call evaluates one simple command.
func (e *evaluator) call(c *syntax.CallExpr, in *value, redirs []dialect.Redirect) flow {
	if len(c.Args) == 0 {
		for _, a := range c.Assigns {
			e.assign(a)
		}
		return noFlow()
	}
	for _, a := range c.Assigns {
		// They hold for the command alone: its own words do not see them.
		if a.Value != nil {
			e.str(a.Value)
		}
		if a.Array != nil {
			e.inside(a.Array)
		}
	}
	w := e.words(c.Args)
	if len(w.argv) == 0 {
		return noFlow()
	}
	s := dialect.Simple{Argv: w.argv, Redirects: redirs, Raw: e.source(c)}
	m := w.marks
	if in == nil {
		in = w.file
	}
	if in != nil {
		s.Stdin = in.s
		if runsStdin(w.argv[0]) {
			m |= in.marks & hiding
		}
	}
	f := e.emit(s, m)
	e.builtin(w, in)
	e.follow(w)
	return f
}

// runsStdin reports whether a program may take its standard input for commands,
// or is a wrapper round one that does.
func runsStdin(program string) bool {
	switch base(program) {
	case "sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "pdksh", "rbash", "fish", "csh", "tcsh", "busybox", "toybox",
		"source", ".", "eval", "exec", "command", "builtin", "xargs", "parallel", "sudo", "doas", "su", "runuser", "setpriv", "chroot", "nsenter", "unshare",
		"env", "nohup", "nice", "ionice", "timeout", "stdbuf", "setsid", "script", "ssh", "at", "batch",
		"python", "python2", "python3", "perl", "ruby", "php", "node", "lua", "osascript",
		"docker", "podman", "kubectl", "while", "read":
		return true
	}
	return false
}

func base(program string) string {
	return program[strings.LastIndexByte(program, '/')+1:]
}

// builtin carries out the builtins that change what later words expand to.
func (e *evaluator) builtin(w words, in *value) {
	args := w.argv[1:]
	switch w.argv[0] {
	case "set":
		for len(args) > 0 && args[0] != "--" && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
			args = args[1:]
		}
		if len(args) == 0 {
			return
		}
		if args[0] == "--" {
			args = args[1:]
		}
		e.env.args, e.env.bound = args, w.known
	case "shift":
		if have, ok := e.env.positional(); ok && len(have) > 0 {
			e.env.args, e.env.bound = have[1:], true
		}
	case "unset":
		for _, a := range args {
			e.env.set(a, &variable{})
		}
	case "read":
		name := ""
		if len(args) > 0 {
			name = args[len(args)-1]
		}
		if !syntax.ValidName(name) {
			return
		}
		v := &variable{}
		if in != nil {
			line, _, _ := strings.Cut(in.s, "\n")
			v = &variable{value: value{s: strings.TrimSpace(line), marks: in.marks}, known: true}
		}
		e.env.set(name, v)
	case "printf":
		if len(args) > 2 && args[0] == "-v" && syntax.ValidName(args[1]) {
			v := &variable{}
			if out, ok := e.printf(args[2:]); ok && w.known {
				v = &variable{value: out, known: true}
			}
			e.env.set(args[1], v)
		}
	case "export", "readonly", "local", "typeset", "declare":
		for _, a := range args {
			if name, val, ok := strings.Cut(a, "="); ok && syntax.ValidName(name) {
				e.env.set(name, &variable{value: value{s: val, marks: w.marks & hiding}, known: w.known})
			}
		}
	}
}

// follow looks once more into a function that is called, now that it is known what
// with, and keeps what it leaves behind in the variables.
func (e *evaluator) follow(w words) {
	f := e.funcs[w.argv[0]]
	if f == nil || e.calls >= maxCalls || !w.known {
		return
	}
	e.calls++
	if len(w.argv) == 1 && !f.open {
		// Its commands were found where it was defined.
		e.quiet++
		defer func() { e.quiet-- }()
	}
	saved, locals := e.env, e.locals
	e.env, e.locals = &scope{up: saved, args: w.argv[1:], bound: true}, map[string]bool{}
	// A function that calls itself would be followed until the calls run out.
	delete(e.funcs, w.argv[0])
	e.stmt(f.body, nil)
	e.funcs[w.argv[0]] = f
	for name, v := range e.env.vars {
		if !e.locals[name] {
			saved.set(name, v)
		}
	}
	e.env, e.locals = saved, locals
}
