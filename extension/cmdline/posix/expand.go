package posix

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// field is one word after expansion, or one that is being put together.
type field struct {
	// s is the word, set when it is complete.
	s string
	// bare is s without what is unknown: what it comes to where that is empty.
	bare  []byte
	known bool
	glob  bool // an unquoted pattern character
	open  bool // something was added, be it empty
	marks marks

	// A word of one piece needs no buffer of its own.
	piece string
	buf   []byte
}

func (f *field) append(s string) {
	f.open = true
	switch {
	case f.buf != nil:
		f.buf = append(f.buf, s...)
	case f.piece == "":
		f.piece = s
	case s != "":
		f.buf = append(append(make([]byte, 0, 2*(len(f.piece)+len(s))), f.piece...), s...)
	}
}

func (f *field) add(s string) {
	f.append(s)
	if !f.known {
		f.bare = append(f.bare, s...)
	}
}

func (f *field) unknown(src string) {
	if f.known {
		f.known = false
		f.bare = append(f.bare, f.text()...)
	}
	f.append(src)
}

func (f *field) text() string {
	if f.buf != nil {
		return string(f.buf)
	}
	return f.piece
}

func (f *field) size() int { return max(len(f.buf), len(f.piece)) }

// complete ends the word.
func (f *field) complete() field {
	f.s = f.text()
	f.piece, f.buf = "", nil
	return *f
}

// words are the words of one simple command.
type words struct {
	argv  []string
	marks marks
	known bool
	// file is the text of a process substitution among the words.
	file *value
}

// words expands the words of a simple command and decides which marks tell.
func (e *evaluator) words(list []*syntax.Word) words {
	w := words{known: true}
	command := 0 // the index of the word that names the program
	texty := false
	for wi, word := range list {
		if p, ok := onlyPart(word).(*syntax.ProcSubst); ok && p.Op == syntax.CmdIn {
			if v, known := e.procSubst(p); known {
				w.argv = append(w.argv, "/dev/stdin")
				w.file = &v
			} else {
				w.argv = append(w.argv, e.source(p))
				w.known = false
			}
			continue
		}
		fs := e.fields(word)
		if e.err != nil && len(fs) == 0 {
			break
		}
		for _, f := range fs {
			i := len(w.argv)
			s := f.s
			if i == command && i > 0 && (strings.HasPrefix(s, "-") || strings.Contains(s, "=")) {
				// Options of a wrapper, and the assignments env takes, stand before
				// the program.
				command++
			}
			if i == command {
				w.marks |= f.marks &^ (mEscape | mPadding)
				if f.marks&mEscape != 0 && !aliasBypass(e.source(word)) {
					w.marks |= mEscape
				}
				if wi == 0 && len(fs) > 1 {
					w.marks |= f.marks & mPadding
				}
				switch {
				case !f.known:
					if _, tool := tools[base(string(f.bare))]; tool {
						s = string(f.bare)
						w.marks |= mVariable
					}
				case f.glob:
					if r, ok := resolveGlob(s); ok {
						s = r
						w.marks |= mEscape
					}
				}
				texty = handlesPatterns(s)
				if isPrefix(s) {
					command = i + 1
				}
			} else {
				m := f.marks & hiding
				if !f.known {
					// Behind a wrapper the program is any of the words.
					if _, tool := tools[base(string(f.bare))]; tool {
						s = string(f.bare)
						m |= mVariable
					}
				}
				if texty || aliasBypass(e.source(word)) || f.marks&mTame != 0 {
					m &^= mEscape
				}
				// What names a subcommand stands next to the program.
				if i == command+1 {
					m |= f.marks & (mConcat | mSlice)
				}
				w.marks |= m
			}
			w.known = w.known && f.known
			if !e.spend(1, len(s)) {
				return w
			}
			w.argv = append(w.argv, s)
		}
	}
	if e.broken && len(w.argv) > 0 {
		// What looks like hiding may only be where the text was cut.
		if _, tool := tools[base(w.argv[0])]; !tool {
			w.marks &^= mEscape | mQuoteSplit
		}
	}
	return w
}

// isPrefix reports whether a command's first plain argument names another
// program.
func isPrefix(program string) bool {
	switch base(program) {
	case "sudo", "doas", "command", "builtin", "exec", "env", "nohup", "nice", "setsid", "busybox", "toybox", "eval":
		return true
	}
	return false
}

// handlesPatterns reports whether a program's arguments are ordinarily patterns
// or text with backslashes in them.
func handlesPatterns(program string) bool {
	switch base(program) {
	case "echo", "printf", "grep", "egrep", "fgrep", "rg", "sed", "awk", "gawk", "mawk", "find", "tr", "perl", "expr", "ag", "ack", "pcregrep", "git", "ls", "locate":
		return true
	}
	return false
}

// aliasBypass reports whether the only backslash of a word is at its start, as
// in \ls, which asks for the program instead of an alias.
func aliasBypass(src string) bool {
	return strings.HasPrefix(src, `\`) && strings.Count(src, `\`) == 1 && !strings.Contains(src, "$'")
}

// fields expands one word the way the words of a command are: braces, variables,
// substitutions, splitting.
func (e *evaluator) fields(w *syntax.Word) []field {
	if w == nil || !e.enter() {
		return nil
	}
	defer e.leave()
	m := wordMarks(w.Parts)
	lists := [][]syntax.WordPart{w.Parts}
	if mayHaveBraces(w.Parts) {
		// The word belongs to the tree, which may be walked again.
		split := &syntax.Word{Parts: append([]syntax.WordPart(nil), w.Parts...)}
		if syntax.SplitBraces(split) {
			if l, ok := e.braces(split.Parts, 0); ok {
				lists = l
			}
		}
	}
	var out []field
	for _, parts := range lists {
		fs := e.expand(parts, m)
		if len(lists) > 1 {
			for i := range fs {
				fs[i].marks |= mPadding
			}
		}
		out = append(out, fs...)
		if e.err != nil || len(out) > maxText/16 {
			break
		}
	}
	return out
}

// mayHaveBraces reports whether a word may hold brace expressions, and not more
// than anybody writes.
func mayHaveBraces(parts []syntax.WordPart) bool {
	n, size := 0, 0
	for _, p := range parts {
		if l, ok := p.(*syntax.Lit); ok {
			n += strings.Count(l.Value, "{")
			size += len(l.Value)
		}
	}
	return n > 0 && n <= 64 && size <= 8<<10
}

// braces multiplies brace expressions out. It gives up beyond maxBrace words.
func (e *evaluator) braces(parts []syntax.WordPart, depth int) ([][]syntax.WordPart, bool) {
	if depth > 16 {
		return nil, false
	}
	lists := [][]syntax.WordPart{nil}
	for _, p := range parts {
		b, ok := p.(*syntax.BraceExp)
		if !ok {
			for i := range lists {
				lists[i] = append(lists[i], p)
			}
			continue
		}
		var alts [][]syntax.WordPart
		if b.Sequence {
			for _, s := range sequence(b.Elems) {
				alts = append(alts, []syntax.WordPart{&syntax.Lit{Value: s}})
			}
		} else {
			for _, el := range b.Elems {
				a, ok := e.braces(el.Parts, depth+1)
				if !ok {
					return nil, false
				}
				alts = append(alts, a...)
			}
		}
		if len(alts) == 0 || len(alts)*len(lists) > maxBrace || !e.spend(len(alts)*len(lists), 0) {
			return nil, false
		}
		next := make([][]syntax.WordPart, 0, len(alts)*len(lists))
		for _, l := range lists {
			for _, a := range alts {
				next = append(next, append(append([]syntax.WordPart(nil), l...), a...))
			}
		}
		lists = next
	}
	return lists, true
}

// sequence is {a..z} or {1..9..2}; nil if it is not one or too long.
func sequence(elems []*syntax.Word) []string {
	if len(elems) < 2 {
		return nil
	}
	from, to := elems[0].Lit(), elems[1].Lit()
	step := int64(1)
	if len(elems) > 2 {
		n, err := strconv.ParseInt(elems[2].Lit(), 10, 32)
		if err != nil {
			return nil
		}
		if n < 0 {
			n = -n
		}
		step = max(n, 1)
	}
	a, aerr := strconv.ParseInt(from, 10, 32)
	b, berr := strconv.ParseInt(to, 10, 32)
	letters := aerr != nil && berr != nil && len(from) == 1 && len(to) == 1
	if letters {
		a, b = int64(from[0]), int64(to[0])
	} else if aerr != nil || berr != nil {
		return nil
	}
	if a > b {
		step = -step
	}
	var out []string
	for n := a; step > 0 && n <= b || step < 0 && n >= b; n += step {
		if len(out) >= maxBrace {
			return nil
		}
		if letters {
			out = append(out, string(rune(n)))
		} else {
			out = append(out, strconv.FormatInt(n, 10))
		}
	}
	return out
}

// wordMarks are the marks that a word's own spelling earns.
func wordMarks(parts []syntax.WordPart) marks {
	var m marks
	if len(parts) > 1 && allEmpty(parts) {
		m |= mQuoteSplit
	}
	for i, p := range parts {
		switch x := p.(type) {
		case *syntax.Lit:
			switch letter, tame := escapedLetter(x.Value); {
			case letter && tame:
				m |= mEscape | mTame
			case letter:
				m |= mEscape
			}
		case *syntax.SglQuoted:
			if x.Dollar && escapesLetters(x.Value) {
				m |= mEscape
			}
			if splits(parts, i) {
				m |= mQuoteSplit
			}
		case *syntax.DblQuoted:
			if splits(parts, i) {
				m |= mQuoteSplit
			}
		}
	}
	return m
}

// escapedLetter reports a backslash in front of a letter or digit, outside of
// what looks like a Windows path, and whether all of them may be escapes of
// another language.
func escapedLetter(s string) (found, tame bool) {
	tame = true
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		if i > 0 && s[i-1] == ':' {
			return found, tame
		}
		i++
		if isAlnum(s[i]) {
			found = true
			tame = tame && strings.IndexByte("nrt0123456789", s[i]) >= 0
		}
	}
	return found, tame
}

// escapesLetters reports an escape in $'...' that stands for a letter, a digit
// or a character of a name, which could have been written as it is.
func escapesLetters(s string) bool {
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		r, n := ansiEscape(s[i:])
		switch s[i+1] {
		case 'x', 'u', 'U', '0', '1', '2', '3', '4', '5', '6', '7':
			if len(r) == 1 && (isAlnum(r[0]) || strings.IndexByte("-_./", r[0]) >= 0) {
				return true
			}
		}
		i += n - 1
	}
	return false
}

// splits reports whether the quotes of parts[i] cut a word into pieces with no
// need: nothing in them needs quoting, and a letter touches them from outside.
func splits(parts []syntax.WordPart, i int) bool {
	text, quoted, ok := piece(parts[i])
	if !ok || !quoted || text != "" && needsQuotes(text) {
		return false
	}
	left, right := "", ""
	first := i == 0
	if !first {
		left = touching(parts[i-1])
		_, _, ok := piece(parts[i-1])
		first = ok && left == "" && i == 1
	}
	if i+1 < len(parts) {
		right = touching(parts[i+1])
	}
	before := left != "" && isAlnum(left[len(left)-1]) && !isShortOption(left)
	after := right != "" && isAlnum(right[0])
	if text == "" {
		// x="" and --opt="" end in a separator, which is no letter. A text with
		// blanks is no name: quotes that end it were meant for what it quotes.
		return before && !(i+1 == len(parts) && blanks(parts)) || after && first
	}
	return before && isAlnum(text[0]) || after && isAlnum(text[len(text)-1])
}

// blanks reports whether a word holds blanks.
func blanks(parts []syntax.WordPart) bool {
	return slices.ContainsFunc(parts, func(p syntax.WordPart) bool {
		text, _, ok := piece(p)
		return ok && strings.Contains(text, " ")
	})
}

// touching is the literal text of a neighbour, unless it stands in quotes that
// it needs.
func touching(p syntax.WordPart) string {
	text, quoted, ok := piece(p)
	if !ok || quoted && needsQuotes(text) {
		return ""
	}
	return text
}

// needsQuotes reports whether text would mean something else without quotes.
func needsQuotes(text string) bool {
	for i := range len(text) {
		if !isWordByte(text[i]) && strings.IndexByte(".-/", text[i]) < 0 {
			return true
		}
	}
	return false
}

// allEmpty reports a word of nothing but quotes with nothing in them.
func allEmpty(parts []syntax.WordPart) bool {
	for _, p := range parts {
		if text, _, ok := piece(p); !ok || text != "" {
			return false
		}
	}
	return true
}

func isShortOption(s string) bool {
	return len(s) >= 2 && len(s) <= 3 && s[0] == '-'
}

// piece is the literal text of a word part, and whether quotes stand around it.
func piece(p syntax.WordPart) (text string, quoted, ok bool) {
	switch x := p.(type) {
	case *syntax.Lit:
		return x.Value, false, true
	case *syntax.SglQuoted:
		return x.Value, true, true
	case *syntax.DblQuoted:
		if len(x.Parts) == 0 {
			return "", true, true
		}
		// Literal text is one part.
		if l, lit := x.Parts[0].(*syntax.Lit); lit && len(x.Parts) == 1 {
			return l.Value, true, true
		}
		return "", true, false
	}
	return "", false, false
}

// expand expands the parts of one word, with splitting.
func (e *evaluator) expand(parts []syntax.WordPart, m marks) []field {
	var out []field
	cur := field{known: true, marks: m}
	flush := func() {
		if cur.open {
			out = append(out, cur.complete())
		}
		cur = field{known: true, marks: m}
	}
	afterIFS := false
	for _, p := range parts {
		if e.err != nil {
			break
		}
		if cur.size() > maxValue || len(out) > maxText/16 {
			break
		}
		ifs := false
		switch x := p.(type) {
		case *syntax.Lit:
			s, glob := unescape(x.Value)
			cur.add(s)
			cur.glob = cur.glob || glob
		case *syntax.SglQuoted:
			cur.add(single(x))
		case *syntax.DblQuoted:
			if list, lm, ok := e.listRef(x.Parts); ok {
				cur.marks |= lm
				for i, s := range list {
					if i > 0 {
						flush()
						cur.marks |= lm
					}
					cur.add(s)
				}
				break
			}
			e.quoted(x.Parts, &cur)
		case *syntax.ParamExp:
			v, ok := e.param(x)
			switch {
			case ok:
				cur.marks |= v.marks
				ifs = v.marks&mIFS != 0
				if !e.spend(0, len(v.s)) {
					break
				}
				e.split(v.s, &cur, flush, v.marks)
			case afterIFS && isPositional(x):
				// $IFS$9 is a blank: the parameter only ends the name.
				cur.marks |= mIFS
			default:
				cur.unknown(e.source(x))
			}
		case *syntax.CmdSubst:
			v, ok := e.cmdSubst(x)
			if ok {
				cur.marks |= v.marks
				e.split(v.s, &cur, flush, v.marks)
			} else {
				cur.unknown(e.source(x))
			}
		default:
			e.other(p, &cur)
		}
		afterIFS = ifs
	}
	flush()
	return out
}

func isPositional(p *syntax.ParamExp) bool {
	return p.Param != nil && (p.Param.Value == "@" || p.Param.Value == "*" || len(p.Param.Value) == 1 && p.Param.Value[0] >= '1' && p.Param.Value[0] <= '9')
}

// split appends s to the field, with a new field at every separator.
func (e *evaluator) split(s string, cur *field, flush func(), m marks) {
	seps := " \t\n"
	custom := false
	if v := e.env.get("IFS"); v != nil && v.known && m&mIFS == 0 {
		custom = v.s != seps
		seps = v.s
	}
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && strings.IndexByte(seps, s[i]) < 0 {
			continue
		}
		if i > start {
			cur.add(s[start:i])
			cur.marks |= m
		}
		if i < len(s) {
			flush()
			cur.marks |= m
			if custom && !isBlank(s[i]) {
				cur.marks |= mIFS
			}
		}
		start = i + 1
	}
}

// str expands a word to one string, without splitting: assignments,
// redirections, here-strings.
func (e *evaluator) str(w *syntax.Word) field {
	f := field{known: true}
	if w == nil || !e.enter() {
		return f
	}
	defer e.leave()
	f.marks = wordMarks(w.Parts)
	for _, p := range w.Parts {
		switch x := p.(type) {
		case *syntax.Lit:
			s, _ := unescape(x.Value)
			f.add(s)
		case *syntax.SglQuoted:
			f.add(single(x))
		case *syntax.DblQuoted:
			e.quoted(x.Parts, &f)
		default:
			e.one(p, &f)
		}
	}
	return f.complete()
}

// body expands a here-document.
func (e *evaluator) body(w *syntax.Word, literal bool) field {
	f := field{known: true}
	if w == nil || !e.enter() {
		return f
	}
	defer e.leave()
	for _, p := range w.Parts {
		l, ok := p.(*syntax.Lit)
		switch {
		case ok && literal:
			f.add(l.Value)
		case ok:
			f.add(unescapeQuoted(l.Value, "$`\\"))
		default:
			e.one(p, &f)
		}
	}
	return f.complete()
}

// quoted expands what stands between double quotes.
func (e *evaluator) quoted(parts []syntax.WordPart, f *field) {
	f.open = true
	for _, p := range parts {
		if l, ok := p.(*syntax.Lit); ok {
			f.add(unescapeQuoted(l.Value, "$`\"\\"))
			continue
		}
		e.one(p, f)
	}
}

// one appends an expansion that is not split.
func (e *evaluator) one(p syntax.WordPart, f *field) {
	if e.err != nil {
		return
	}
	switch x := p.(type) {
	case *syntax.ParamExp:
		if v, ok := e.param(x); ok && e.spend(0, len(v.s)) && f.size()+len(v.s) <= maxValue {
			f.add(v.s)
			f.marks |= v.marks &^ mIFS
			return
		}
		f.unknown(e.source(x))
	case *syntax.CmdSubst:
		if v, ok := e.cmdSubst(x); ok && f.size()+len(v.s) <= maxValue {
			f.add(v.s)
			f.marks |= v.marks
			return
		}
		f.unknown(e.source(x))
	default:
		e.other(p, f)
	}
}

// other appends the rarer kinds of parts.
func (e *evaluator) other(p syntax.WordPart, f *field) {
	switch x := p.(type) {
	case *syntax.ArithmExp:
		if e.depth < maxDepth {
			e.inside(x.X)
			if n, ok := e.arith(x.X); ok {
				f.add(strconv.FormatInt(n, 10))
				return
			}
		}
	case *syntax.ProcSubst:
		if e.quiet == 0 {
			e.subshell(func() { e.stmts(x.Stmts, nil) })
		}
	case *syntax.ExtGlob:
		f.glob = true
	case *syntax.SglQuoted:
		f.add(single(x))
		return
	case *syntax.DblQuoted:
		e.quoted(x.Parts, f)
		return
	case *syntax.Lit:
		s, _ := unescape(x.Value)
		f.add(s)
		return
	case *syntax.BraceExp:
		return
	}
	f.unknown(e.source(p))
}

// cmdSubst emits the commands of $(...) and works out what they write.
func (e *evaluator) cmdSubst(c *syntax.CmdSubst) (value, bool) {
	if e.quiet == 0 {
		e.subshell(func() { e.stmts(c.Stmts, nil) })
	}
	v, ok := e.substituted(c.Stmts)
	if !ok {
		return value{}, false
	}
	v.s = strings.TrimRight(v.s, "\n")
	if v.marks&(mEncoded|mReversed) == 0 {
		v.marks |= mConcat
	}
	return v, e.spend(0, len(v.s))
}

// listRef is "$@" or "${a[@]}" where it is all there is between the quotes.
func (e *evaluator) listRef(parts []syntax.WordPart) ([]string, marks, bool) {
	if len(parts) != 1 {
		return nil, 0, false
	}
	p, ok := parts[0].(*syntax.ParamExp)
	if !ok || p.Param == nil || p.Slice != nil || p.Exp != nil || p.Repl != nil || p.Length || p.Excl {
		return nil, 0, false
	}
	if p.Param.Value == "@" {
		args, ok := e.env.positional()
		return args, mVariable, ok
	}
	if index, ok := p.Index.(*syntax.Word); ok && index.Lit() == "@" {
		if v := e.env.get(p.Param.Value); v != nil && v.known && v.isList && e.spend(len(v.list), 0) {
			return v.list, v.marks | mVariable, true
		}
	}
	return nil, 0, false
}

// param expands $x and ${x...} if all it needs is known.
func (e *evaluator) param(p *syntax.ParamExp) (value, bool) {
	if !e.enter() {
		return value{}, false
	}
	defer e.leave()
	if p.Slice != nil {
		e.inside(p.Slice.Offset)
		e.inside(p.Slice.Length)
	}
	if p.Param == nil || p.Flags != nil || p.NestedParam != nil || p.Width || p.IsSet || p.Names != 0 || len(p.Modifiers) > 0 {
		return value{}, false
	}
	v, set := e.lookup(p)
	if p.Excl {
		if !set || !syntax.ValidName(v.s) {
			return value{}, false
		}
		ref := e.env.get(v.s)
		if ref == nil || !ref.known {
			return value{}, false
		}
		v = value{s: ref.s, marks: ref.marks | mVariable}
	}
	if p.Length {
		if ref := e.env.get(p.Param.Value); ref != nil && ref.isList && every(p.Index) {
			return value{s: strconv.Itoa(len(ref.list)), marks: v.marks}, set
		}
		return value{s: strconv.Itoa(utf8.RuneCountInString(v.s)), marks: v.marks}, set
	}
	if p.Exp != nil {
		return e.paramOp(p, v, set)
	}
	if !set {
		if p.Repl != nil {
			e.str(p.Repl.Orig)
			e.str(p.Repl.With)
		}
		// Whatever they hold, the first character of a path is a slash.
		if p.Slice != nil {
			switch p.Param.Value {
			case "PATH", "HOME", "PWD", "OLDPWD", "SHELL":
				off, ok := e.arith(p.Slice.Offset)
				n, ok2 := e.arith(p.Slice.Length)
				if ok && ok2 && off == 0 && n == 1 {
					return value{s: "/", marks: mSlice}, true
				}
			}
		}
		return value{}, false
	}
	switch {
	case p.Slice != nil:
		return e.slice(p.Slice, v)
	case p.Repl != nil:
		orig, with := e.str(p.Repl.Orig), e.str(p.Repl.With)
		if !orig.known || !with.known || len(orig.s) > 256 && hasMeta(orig.s) {
			return value{}, false
		}
		s, ok := replace(v.s, orig.s, with.s, p.Repl.All)
		return value{s: s, marks: v.marks | with.marks | mConcat}, ok && e.spend(1, len(s))
	}
	return v, true
}

// every reports whether an index names all elements of a list.
func every(index syntax.ArithmExpr) bool {
	w, ok := index.(*syntax.Word)
	return ok && (w.Lit() == "@" || w.Lit() == "*")
}

// lookup is the value before any operator.
func (e *evaluator) lookup(p *syntax.ParamExp) (value, bool) {
	name := p.Param.Value
	if v := e.env.get(name); v != nil {
		if !v.known {
			return value{}, false
		}
		m := v.marks | mVariable
		if name == "IFS" {
			m = v.marks | mIFS
		}
		if !v.isList {
			if p.Index != nil {
				if n, ok := e.arith(p.Index); !ok || n != 0 {
					return value{}, false
				}
			}
			return value{s: v.s, marks: m}, true
		}
		if p.Index == nil {
			if len(v.list) == 0 {
				return value{marks: m}, true
			}
			return value{s: v.list[0], marks: m}, true
		}
		if every(p.Index) {
			s := strings.Join(v.list, " ")
			return value{s: s, marks: m}, len(s) <= maxValue && e.spend(1, len(s))
		}
		n, ok := e.arith(p.Index)
		if n < 0 {
			n += int64(len(v.list))
		}
		if !ok || n < 0 || n >= int64(len(v.list)) {
			return value{}, false
		}
		return value{s: v.list[n], marks: m}, true
	}
	switch name {
	case "IFS":
		return value{s: " \t\n", marks: mIFS}, true
	case "@", "*":
		if args, ok := e.env.positional(); ok {
			s := strings.Join(args, " ")
			return value{s: s, marks: mVariable}, len(s) <= maxValue && e.spend(1, len(s))
		}
	case "#":
		if args, ok := e.env.positional(); ok {
			return value{s: strconv.Itoa(len(args))}, true
		}
	}
	if n, err := strconv.Atoi(name); err == nil && n > 0 {
		if args, ok := e.env.positional(); ok {
			if n > len(args) {
				return value{marks: mVariable}, true
			}
			return value{s: args[n-1], marks: mVariable}, true
		}
	}
	return value{}, false
}

func (e *evaluator) paramOp(p *syntax.ParamExp, v value, set bool) (value, bool) {
	x := p.Exp
	w := e.str(x.Word)
	// A variable the text never sets may still come from outside, but a default
	// is given for the case that it does not.
	isUnset := !set && e.env.get(p.Param.Value) == nil
	switch x.Op {
	case syntax.DefaultUnset, syntax.DefaultUnsetOrNull, syntax.AssignUnset, syntax.AssignUnsetOrNull:
		orNull := x.Op == syntax.DefaultUnsetOrNull || x.Op == syntax.AssignUnsetOrNull
		if set && (v.s != "" || !orNull) {
			return v, true
		}
		if !set && !isUnset || !w.known {
			return value{}, false
		}
		def := value{s: w.s, marks: w.marks | mVariable}
		if (x.Op == syntax.AssignUnset || x.Op == syntax.AssignUnsetOrNull) && syntax.ValidName(p.Param.Value) {
			e.env.set(p.Param.Value, &variable{value: def, known: true})
		}
		return def, true
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		if set && (v.s != "" || x.Op == syntax.AlternateUnset) && w.known {
			return value{s: w.s, marks: w.marks | mVariable}, true
		}
		return value{marks: mVariable}, set
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		return v, set
	}
	if !set || !w.known {
		return value{}, false
	}
	switch x.Op {
	case syntax.RemSmallPrefix, syntax.RemLargePrefix, syntax.RemSmallSuffix, syntax.RemLargeSuffix:
		if len(w.s) > 256 && hasMeta(w.s) {
			return value{}, false
		}
		s, ok := trim(v.s, w.s,
			x.Op == syntax.RemSmallSuffix || x.Op == syntax.RemLargeSuffix,
			x.Op == syntax.RemLargePrefix || x.Op == syntax.RemLargeSuffix)
		return value{s: s, marks: v.marks | mSubstring}, ok
	case syntax.UpperAll:
		return value{s: strings.ToUpper(v.s), marks: v.marks | mConcat}, w.s == ""
	case syntax.LowerAll:
		return value{s: strings.ToLower(v.s), marks: v.marks | mConcat}, w.s == ""
	case syntax.UpperFirst, syntax.LowerFirst:
		if v.s == "" || w.s != "" {
			return v, w.s == ""
		}
		head := strings.ToUpper(v.s[:1])
		if x.Op == syntax.LowerFirst {
			head = strings.ToLower(v.s[:1])
		}
		return value{s: head + v.s[1:], marks: v.marks | mConcat}, true
	case syntax.OtherParamOps:
		switch w.s {
		case "P", "Q", "E", "U", "L", "u":
			switch w.s {
			case "U":
				v.s = strings.ToUpper(v.s)
			case "L":
				v.s = strings.ToLower(v.s)
			case "E":
				v.s = ansi(v.s)
				v.marks |= mEscape
			}
			return v, w.s != "Q" && w.s != "u"
		}
	}
	return value{}, false
}

func (e *evaluator) slice(sl *syntax.Slice, v value) (value, bool) {
	off, ok := int64(0), true
	if sl.Offset != nil {
		off, ok = e.arith(sl.Offset)
	}
	if !ok {
		return value{}, false
	}
	size := int64(len(v.s))
	if off < 0 {
		off += size
	}
	if off < 0 || off > size {
		return value{marks: v.marks | mSlice}, true
	}
	end := size
	if sl.Length != nil {
		n, ok := e.arith(sl.Length)
		if !ok {
			return value{}, false
		}
		if n < 0 {
			end = size + n
		} else {
			end = min(size, off+min(n, size))
		}
	}
	if end < off {
		return value{}, false
	}
	return value{s: v.s[off:end], marks: v.marks | mSlice}, true
}

// arith evaluates integer arithmetic over literals and known variables.
func (e *evaluator) arith(x syntax.ArithmExpr) (int64, bool) {
	if x == nil || e.depth >= maxDepth {
		return 0, false
	}
	e.depth++
	defer e.leave()
	switch x := x.(type) {
	case *syntax.ParenArithm:
		return e.arith(x.X)
	case *syntax.UnaryArithm:
		n, ok := e.arith(x.X)
		switch x.Op {
		case syntax.Minus:
			return -n, ok
		case syntax.Plus:
			return n, ok
		}
		return 0, false
	case *syntax.BinaryArithm:
		a, ok := e.arith(x.X)
		b, ok2 := e.arith(x.Y)
		if !ok || !ok2 {
			return 0, false
		}
		switch x.Op {
		case syntax.Add:
			return a + b, true
		case syntax.Sub:
			return a - b, true
		case syntax.Mul:
			return a * b, true
		case syntax.Quo, syntax.Rem:
			if b == 0 || b == -1 {
				return 0, false
			}
			if x.Op == syntax.Quo {
				return a / b, true
			}
			return a % b, true
		case syntax.Xor:
			return a ^ b, true
		case syntax.Or:
			return a | b, true
		case syntax.And:
			return a & b, true
		}
		return 0, false
	case *syntax.Word:
		// Its substitutions were emitted by whoever asked.
		e.quiet++
		f := e.str(x)
		e.quiet--
		s := f.s
		if !f.known {
			return 0, false
		}
		if syntax.ValidName(s) {
			v := e.env.get(s)
			if v == nil || !v.known {
				return 0, false
			}
			s = v.s
		}
		return number(s)
	}
	return 0, false
}

// number reads a shell integer: decimal, 0 for octal, 0x, base#digits.
func number(s string) (int64, bool) {
	if b, digits, ok := strings.Cut(s, "#"); ok {
		radix, err := strconv.Atoi(b)
		if err != nil || radix < 2 || radix > 36 {
			return 0, false
		}
		n, err := strconv.ParseInt(digits, radix, 32)
		return n, err == nil
	}
	n, err := strconv.ParseInt(s, 0, 32)
	return n, err == nil && !strings.ContainsAny(s, "_oOB")
}

// unescape removes the backslashes of unquoted text and reports unescaped
// pattern characters.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, hasMeta(s)
	}
	var b strings.Builder
	glob := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			if s[i] != '\n' {
				b.WriteByte(s[i])
			}
		case c == '*' || c == '?' || c == '[':
			glob = true
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), glob
}

// unescapeQuoted removes the backslashes in front of the given characters and of
// line ends, the only ones that count inside double quotes.
func unescapeQuoted(s, special string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if s[i+1] == '\n' {
				i++
				continue
			}
			if strings.IndexByte(special, s[i+1]) >= 0 {
				i++
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func single(q *syntax.SglQuoted) string {
	if q.Dollar {
		return ansi(q.Value)
	}
	return q.Value
}

// ansi decodes the escapes of $'...'.
func ansi(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			i++
			continue
		}
		r, n := ansiEscape(s[i:])
		b.WriteString(r)
		i += n
	}
	return b.String()
}

// ansiEscape decodes the escape at the start of s, which begins with a backslash
// and one more byte, and returns how long it is.
func ansiEscape(s string) (string, int) {
	c := s[1]
	switch c {
	case 'a':
		return "\a", 2
	case 'b':
		return "\b", 2
	case 'e', 'E':
		return "\x1b", 2
	case 'f':
		return "\f", 2
	case 'n':
		return "\n", 2
	case 'r':
		return "\r", 2
	case 't':
		return "\t", 2
	case 'v':
		return "\v", 2
	case '\\', '\'', '"', '?':
		return s[1:2], 2
	case 'c':
		if len(s) > 2 {
			return string(rune(s[2] & 0x1f)), 3
		}
	case 'x':
		return digits(s, 2, 16, 2, false)
	case 'u':
		return digits(s, 2, 16, 4, true)
	case 'U':
		return digits(s, 2, 16, 8, true)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		return digits(s, 1, 8, 3, false)
	}
	return s[:2], 2
}

// digits reads up to limit digits of the radix from s[from:].
func digits(s string, from, radix, limit int, wide bool) (string, int) {
	i, n := from, 0
	for i < len(s) && i < from+limit {
		d, err := strconv.ParseUint(s[i:i+1], radix, 8)
		if err != nil {
			break
		}
		n = n*radix + int(d)
		i++
	}
	if i == from {
		return s[:from], from
	}
	if wide {
		return string(rune(n)), i
	}
	return string([]byte{byte(n)}), i
}
