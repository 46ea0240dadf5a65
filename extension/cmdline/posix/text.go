package posix

import (
	"bytes"
	"compress/gzip"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// texts works out what a list of statements writes, if text tools and literals
// are all there is to it. Nothing is emitted.
func (e *evaluator) texts(list []*syntax.Stmt, in *value) (value, bool) {
	e.quiet++
	defer func() { e.quiet-- }()
	var out value
	for _, s := range list {
		v, ok := e.textOf(s, in)
		if !ok || !e.grow(&out, v) {
			return value{}, false
		}
		in = nil
	}
	return out, true
}

// grow appends v to out, within bounds.
func (e *evaluator) grow(out *value, v value) bool {
	if len(out.s)+len(v.s) > maxValue || !e.spend(1, len(v.s)) {
		return false
	}
	out.s += v.s
	out.marks |= v.marks
	return true
}

func (e *evaluator) textOf(s *syntax.Stmt, in *value) (value, bool) {
	if s == nil || s.Background || s.Coprocess || !e.enter() {
		return value{}, false
	}
	defer e.leave()
	e.quiet++
	defer func() { e.quiet-- }()
	redirs, given := e.redirects(s.Redirs)
	for _, r := range redirs {
		if strings.HasPrefix(r.Op, "2>") || r.Op == "<<<" {
			continue
		}
		return value{}, false
	}
	if given != nil {
		in = given
	} else if len(s.Redirs) > len(redirs) {
		for _, r := range s.Redirs {
			if r.Op == syntax.Hdoc || r.Op == syntax.DashHdoc || r.Op == syntax.WordHdoc {
				return value{}, false
			}
		}
	}
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		if len(c.Args) == 0 {
			for _, a := range c.Assigns {
				e.assign(a)
			}
			return value{}, true
		}
		if !mayBeTool(c.Args[0]) {
			return value{}, false
		}
		w := e.words(c.Args)
		if !w.known || len(w.argv) == 0 || e.err != nil {
			return value{}, false
		}
		if in == nil {
			in = w.file
		}
		v, ok := e.tool(w.argv, in)
		v.marks |= w.marks & (hiding | mConcat)
		if !ok || len(v.s) > maxValue || !e.spend(1, len(v.s)) {
			return value{}, false
		}
		return v, true
	case *syntax.BinaryCmd:
		if isPipe(c.Op) {
			var v value
			for _, stage := range chain(&syntax.Stmt{Cmd: c}, true) {
				out, ok := e.textOf(stage, in)
				if !ok {
					return value{}, false
				}
				v = out
				in = &v
			}
			return v, true
		}
		if c.Op == syntax.OrStmt {
			// Text tools do not fail.
			return e.textOf(chain(&syntax.Stmt{Cmd: c}, false)[0], in)
		}
		return e.texts(chain(&syntax.Stmt{Cmd: c}, false), in)
	case *syntax.Block:
		return e.texts(c.Stmts, in)
	case *syntax.Subshell:
		var v value
		ok := false
		e.subshell(func() { v, ok = e.texts(c.Stmts, in) })
		return v, ok
	case *syntax.ForClause:
		iter, ok := c.Loop.(*syntax.WordIter)
		if !ok || c.Select {
			return value{}, false
		}
		items, known := e.items(iter)
		if !known || len(items) > maxLoop || e.rounds+len(items) > maxRounds {
			return value{}, false
		}
		e.rounds += len(items)
		var out value
		for _, item := range items {
			e.env.set(iter.Name.Value, &variable{value: item, known: true})
			v, ok := e.texts(c.Do, nil)
			if !ok || !e.grow(&out, v) {
				return value{}, false
			}
			out.marks |= item.marks
		}
		return out, true
	}
	return value{}, false
}

// mayBeTool rules out early what tool would refuse, before all the other words
// of the command are expanded a second time.
func mayBeTool(w *syntax.Word) bool {
	lit, ok := onlyPart(w).(*syntax.Lit)
	if !ok {
		return true
	}
	return isTool(base(lit.Value)) || strings.IndexByte(lit.Value, '\\') >= 0 || hasMeta(lit.Value)
}

func isTool(name string) bool {
	switch name {
	case "echo", "printf", "cat", "base64", "gbase64", "base32", "rev", "tac", "tr", "xxd", "sed", "cut", "head", "tail",
		"gunzip", "gzip", "zcat", "openssl", "tee", "xargs", "command", "builtin", "true", ":", "busybox", "set", "shift", "awk":
		return true
	}
	return false
}

// tool is the output of a text tool for literal arguments and input.
func (e *evaluator) tool(argv []string, in *value) (value, bool) {
	name, args := base(argv[0]), argv[1:]
	switch name {
	case "command", "builtin", "busybox":
		if len(args) == 0 || !isTool(base(args[0])) || base(args[0]) == name {
			return value{}, false
		}
		return e.tool(args, in)
	case "true", ":":
		return value{}, true
	case "set", "shift":
		e.builtin(words{argv: argv, known: true}, nil)
		return value{}, true
	case "echo":
		return echo(args), true
	case "printf":
		return e.printf(args)
	}
	if in == nil {
		return value{}, false
	}
	out := *in
	ok := true
	switch name {
	case "cat", "tee":
		for _, a := range args {
			if a == "-" || a == "/dev/stdin" || name == "cat" && a == "-u" || name == "tee" {
				continue
			}
			return value{}, false
		}
	case "base64", "gbase64":
		out, ok = decode64(args, out)
	case "base32":
		if !hasOption(args, 'd', "decode") {
			return value{}, false
		}
		raw, err := base32.StdEncoding.DecodeString(strings.Join(strings.Fields(out.s), ""))
		out, ok = value{s: string(raw), marks: out.marks | mEncoded}, err == nil
	case "openssl":
		if len(args) == 0 || args[0] != "base64" && (args[0] != "enc" || !contains(args, "-base64") && !contains(args, "-a")) || !contains(args, "-d") {
			return value{}, false
		}
		out, ok = unbase64(out)
	case "xxd":
		flags := strings.Join(args, "")
		if strings.Trim(flags, "-rps") != "" || !strings.Contains(flags, "r") || !strings.Contains(flags, "p") {
			return value{}, false
		}
		digits := strings.Join(strings.Fields(out.s), "")
		raw, err := hex.DecodeString(digits[:len(digits)&^1])
		out, ok = value{s: string(raw), marks: out.marks | mEncoded}, err == nil
	case "gunzip", "gzip", "zcat":
		if name == "gzip" && !hasOption(args, 'd', "decompress") {
			return value{}, false
		}
		out, ok = unzip(out)
	case "rev":
		if len(args) > 0 {
			return value{}, false
		}
		lines := strings.Split(out.s, "\n")
		for i := range lines {
			lines[i] = reverse(lines[i])
		}
		out = value{s: strings.Join(lines, "\n"), marks: out.marks | mReversed}
	case "tac":
		lines := strings.SplitAfter(out.s, "\n")
		for i, j := 0, len(lines)-1; i < j; i, j = i+1, j-1 {
			lines[i], lines[j] = lines[j], lines[i]
		}
		out = value{s: strings.Join(lines, ""), marks: out.marks | mReversed}
	case "tr":
		out, ok = translate(args, out)
	case "sed":
		out, ok = sed(args, out)
	case "cut":
		out, ok = cut(args, out)
	case "head", "tail":
		out, ok = ends(name, args, out)
	case "xargs":
		if len(args) > 1 || len(args) == 1 && base(args[0]) != "echo" {
			return value{}, false
		}
		out.s = strings.Join(strings.Fields(out.s), " ") + "\n"
	default:
		return value{}, false
	}
	return out, ok
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

func hasOption(args []string, short byte, long string) bool {
	for _, a := range args {
		if a == "--"+long || len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.IndexByte(a, short) > 0 {
			return true
		}
	}
	return false
}

func echo(args []string) value {
	newline, escapes := true, false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && strings.Trim(args[0][1:], "neE") == "" {
		newline = newline && !strings.Contains(args[0], "n")
		escapes = strings.LastIndexByte(args[0], 'e') > strings.LastIndexByte(args[0], 'E') || escapes && !strings.Contains(args[0], "E")
		args = args[1:]
	}
	v := value{s: strings.Join(args, " ")}
	if escapes {
		if escapesLetters(v.s) {
			v.marks |= mEscape
		}
		v.s, newline = echoEscapes(v.s, newline)
	}
	if newline {
		v.s += "\n"
	}
	return v
}

// echoEscapes decodes the escapes of echo -e and %b, where \c ends the output.
func echoEscapes(s string, newline bool) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			i++
			continue
		}
		switch c := s[i+1]; {
		case c == 'c':
			return b.String(), false
		case c == '0':
			r, n := digits(s[i:], 2, 8, 3, false)
			if n == 2 {
				r = "\x00"
			}
			b.WriteString(r)
			i += n
		case c == '\'' || c == '"' || c == '?':
			b.WriteString(s[i : i+2])
			i += 2
		default:
			r, n := ansiEscape(s[i:])
			b.WriteString(r)
			i += n
		}
	}
	return b.String(), newline
}

// printf formats as the shell does: the format is used again until the arguments
// are used up.
func (e *evaluator) printf(args []string) (value, bool) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-v") {
		return value{}, false
	}
	format := args[0]
	args = args[1:]
	v := value{}
	if escapesLetters(format) {
		v.marks |= mEscape
	}
	var b strings.Builder
	for round := 0; ; round++ {
		used, ok := e.printfRound(&b, format, &args, &v)
		if !ok || b.Len() > maxValue || !e.spend(1, 0) {
			return value{}, false
		}
		if len(args) == 0 || !used {
			break
		}
	}
	v.s = b.String()
	return v, true
}

func (e *evaluator) printfRound(b *strings.Builder, format string, args *[]string, v *value) (used, ok bool) {
	next := func() string {
		used = true
		if len(*args) == 0 {
			return ""
		}
		a := (*args)[0]
		*args = (*args)[1:]
		return a
	}
	for i := 0; i < len(format); {
		switch c := format[i]; {
		case c == '\\' && i+1 < len(format):
			r, n := ansiEscape(format[i:])
			b.WriteString(r)
			i += n
		case c == '%' && i+1 < len(format):
			j := i + 1
			left, zero := false, false
			for j < len(format) && strings.IndexByte("-0 +#", format[j]) >= 0 {
				left = left || format[j] == '-'
				zero = zero || format[j] == '0'
				j++
			}
			k := j
			for k < len(format) && format[k] >= '0' && format[k] <= '9' {
				k++
			}
			width, _ := strconv.Atoi(format[j:k])
			prec := -1
			if k < len(format) && format[k] == '.' {
				p := k + 1
				for k = p; k < len(format) && format[k] >= '0' && format[k] <= '9'; k++ {
				}
				prec, _ = strconv.Atoi(format[p:k])
			}
			if k >= len(format) || width > 1024 {
				return used, false
			}
			var s string
			switch format[k] {
			case '%':
				s = "%"
			case 's', 'q':
				s = next()
				if prec >= 0 && prec < len(s) {
					s = s[:prec]
				}
			case 'b':
				a := next()
				if escapesLetters(a) {
					v.marks |= mEscape
				}
				s, _ = echoEscapes(a, false)
			case 'c':
				if s = next(); s != "" {
					s = s[:1]
				}
			case 'd', 'i', 'u', 'x', 'X', 'o':
				n, ok := printfNumber(next())
				if !ok {
					return used, false
				}
				switch format[k] {
				case 'x':
					s = strconv.FormatInt(n, 16)
				case 'X':
					s = strings.ToUpper(strconv.FormatInt(n, 16))
				case 'o':
					s = strconv.FormatInt(n, 8)
				default:
					s = strconv.FormatInt(n, 10)
				}
				for zero && !left && len(s) < width {
					s = "0" + s
				}
			default:
				return used, false
			}
			if pad := width - len(s); pad > 0 {
				if left {
					s += strings.Repeat(" ", pad)
				} else {
					s = strings.Repeat(" ", pad) + s
				}
			}
			b.WriteString(s)
			i = k + 1
		default:
			b.WriteByte(c)
			i++
		}
		if b.Len() > maxValue {
			return used, false
		}
	}
	return used, true
}

// printfNumber reads a number; 'c is the code of a character.
func printfNumber(s string) (int64, bool) {
	if s == "" {
		return 0, true
	}
	if s[0] == '\'' || s[0] == '"' {
		r, _ := utf8.DecodeRuneInString(s[1:])
		return int64(r), len(s) > 1
	}
	return number(s)
}

// decode64 is base64, which encodes unless it is told to decode.
func decode64(args []string, in value) (value, bool) {
	decode := false
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-" || a == "/dev/stdin" || a == "-i" || a == "--ignore-garbage":
		case a == "-d" || a == "-D" || a == "--decode" || a == "-di" || a == "-id" || a == "--d" || strings.HasPrefix(a, "--de"):
			decode = true
		case a == "-w" || a == "-b" || a == "--wrap" || a == "--break":
			i++
		case strings.HasPrefix(a, "-w") || strings.HasPrefix(a, "--wrap="):
		default:
			return value{}, false
		}
	}
	if decode {
		return unbase64(in)
	}
	return value{s: base64.StdEncoding.EncodeToString([]byte(in.s)) + "\n", marks: in.marks}, true
}

func unbase64(in value) (value, bool) {
	s := strings.Map(func(r rune) rune {
		if isBlankRune(r) || r == '=' {
			return -1
		}
		return r
	}, in.s)
	// What precedes garbage is written all the same.
	end := strings.IndexFunc(s, func(r rune) bool {
		return r != '+' && r != '/' && (r > 'z' || !isAlnum(byte(r)))
	})
	if end >= 0 {
		s = s[:end]
	}
	if len(s)%4 == 1 {
		s = s[:len(s)-1]
	}
	raw, err := base64.RawStdEncoding.DecodeString(s)
	return value{s: string(raw), marks: in.marks | mEncoded}, err == nil && len(raw) > 0
}

func isBlankRune(r rune) bool { return r < 0x80 && isBlank(byte(r)) }

func unzip(in value) (value, bool) {
	r, err := gzip.NewReader(strings.NewReader(in.s))
	if err != nil {
		return value{}, false
	}
	var b bytes.Buffer
	// A stream that is cut still gave what came before.
	if n, _ := io.Copy(&b, io.LimitReader(r, maxValue)); n == 0 {
		return value{}, false
	}
	return value{s: b.String(), marks: in.marks | mEncoded}, true
}

func reverse(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

// translate is tr with plain sets, ranges and classes; -d deletes.
func translate(args []string, in value) (value, bool) {
	del := false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		if args[0] == "-d" {
			del = true
		} else if args[0] != "--" {
			return value{}, false
		}
		args = args[1:]
	}
	if del {
		if len(args) != 1 {
			return value{}, false
		}
		set := trSet(args[0])
		var b strings.Builder
		for i := 0; i < len(in.s); i++ {
			if bytes.IndexByte(set, in.s[i]) < 0 {
				b.WriteByte(in.s[i])
			}
		}
		return value{s: b.String(), marks: in.marks | mConcat}, true
	}
	if len(args) != 2 {
		return value{}, false
	}
	from, to := trSet(args[0]), trSet(args[1])
	if len(to) == 0 {
		return value{}, false
	}
	var table [256]byte
	for i := range table {
		table[i] = byte(i)
	}
	m := mConcat
	for i, c := range from {
		t := to[min(i, len(to)-1)]
		table[c] = t
		// Letters that become other letters hide something; a change of case does
		// not.
		if isAlnum(c) && isAlnum(t) && c|0x20 != t|0x20 {
			m |= mEncoded
		}
	}
	out := []byte(in.s)
	for i, c := range out {
		out[i] = table[c]
	}
	return value{s: string(out), marks: in.marks | m}, true
}

func trSet(s string) []byte {
	var set []byte
	s, _ = echoEscapes(s, false)
	for i := 0; i < len(s) && len(set) < 1024; i++ {
		if strings.HasPrefix(s[i:], "[:") {
			if end := strings.Index(s[i:], ":]"); end > 0 {
				for c := range 256 {
					if inClass(s[i+2:i+end], byte(c)) {
						set = append(set, byte(c))
					}
				}
				i += end + 1
				continue
			}
		}
		if i+2 < len(s) && s[i+1] == '-' && s[i+2] >= s[i] {
			for c := int(s[i]); c <= int(s[i+2]); c++ {
				set = append(set, byte(c))
			}
			i += 2
			continue
		}
		set = append(set, s[i])
	}
	return set
}

// sed is one s command whose pattern is plain text.
func sed(args []string, in value) (value, bool) {
	if len(args) > 1 && (args[0] == "-e" || args[0] == "-E" || args[0] == "-r") {
		args = args[1:]
	}
	if len(args) != 1 || len(args[0]) < 4 || args[0][0] != 's' {
		return value{}, false
	}
	sep := args[0][1:2]
	parts := strings.Split(args[0][2:], sep)
	if len(parts) != 3 || parts[0] == "" || strings.ContainsAny(parts[0], `\.*[]^$+?(){}|`) || strings.ContainsAny(parts[1], `\&`) || strings.Trim(parts[2], "g") != "" {
		return value{}, false
	}
	n := 1
	if parts[2] != "" {
		n = -1
	}
	if strings.Count(in.s, parts[0])*len(parts[1]) > maxValue {
		return value{}, false
	}
	lines := strings.SplitAfter(in.s, "\n")
	for i := range lines {
		lines[i] = strings.Replace(lines[i], parts[0], parts[1], n)
	}
	return value{s: strings.Join(lines, ""), marks: in.marks | mConcat}, true
}

// cut is cut -cN-M and cut -dX -fN.
func cut(args []string, in value) (value, bool) {
	delim, list, bytewise := "\t", "", false
	for i := 0; i < len(args); i++ {
		a := args[i]
		if len(a) < 2 || a[0] != '-' {
			return value{}, false
		}
		arg := a[2:]
		if arg == "" {
			i++
			if i == len(args) {
				return value{}, false
			}
			arg = args[i]
		}
		switch a[1] {
		case 'c', 'b':
			list, bytewise = arg, true
		case 'f':
			list = arg
		case 'd':
			delim = arg
		default:
			return value{}, false
		}
	}
	from, to, ok := span(list)
	if !ok || len(delim) != 1 {
		return value{}, false
	}
	lines := strings.Split(strings.TrimSuffix(in.s, "\n"), "\n")
	for i, l := range lines {
		if bytewise {
			lines[i] = l[min(from-1, len(l)):min(to, len(l))]
			continue
		}
		f := strings.Split(l, delim)
		if len(f) > 1 {
			lines[i] = strings.Join(f[min(from-1, len(f)):min(to, len(f))], delim)
		}
	}
	return value{s: strings.Join(lines, "\n") + "\n", marks: in.marks | mSubstring}, true
}

// span reads N, N-, -M or N-M, counted from 1.
func span(s string) (from, to int, ok bool) {
	a, b, ranged := strings.Cut(s, "-")
	from, to = 1, 1<<30
	var err error
	if a != "" {
		if from, err = strconv.Atoi(a); err != nil || from < 1 {
			return 0, 0, false
		}
	}
	switch {
	case !ranged:
		to = from
	case b != "":
		if to, err = strconv.Atoi(b); err != nil || to < from {
			return 0, 0, false
		}
	}
	return from, to, a != "" || b != ""
}

// ends is head or tail, by lines (-n) or bytes (-c).
func ends(name string, args []string, in value) (value, bool) {
	n, byBytes := 10, false
	if len(args) > 0 {
		s := strings.Join(args, "")
		s = strings.TrimPrefix(s, "-")
		byBytes = strings.HasPrefix(s, "c")
		s = strings.TrimLeft(s, "nc")
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 0 {
			return value{}, false
		}
	}
	if byBytes {
		n = min(n, len(in.s))
		if name == "head" {
			in.s = in.s[:n]
		} else {
			in.s = in.s[len(in.s)-n:]
		}
		in.marks |= mSubstring
		return in, true
	}
	lines := strings.SplitAfter(in.s, "\n")
	if l := len(lines); l > 0 && lines[l-1] == "" {
		lines = lines[:l-1]
	}
	n = min(n, len(lines))
	if name == "head" {
		lines = lines[:n]
	} else {
		lines = lines[len(lines)-n:]
	}
	in.s = strings.Join(lines, "")
	return in, true
}
