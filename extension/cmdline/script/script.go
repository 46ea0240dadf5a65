// Package script finds the commands that a one-liner of a scripting language
// runs: os.system("...") in python -c, system(...) in perl -e, and their like.
//
// It is a reader of literals, not an interpreter: a command that is a string, a
// list of strings, a concatenation or a decoding of such is found; one that is
// computed from anything else is not.
package script

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
)

// Call is one command that a script runs. Exactly one of Text and Argv is set.
type Call struct {
	// Text is a line for the shell.
	Text string
	// Argv are the words of a program started without a shell.
	Argv []string
	// Marks are the ways the script hid the command.
	Marks []dialect.Mark
}

const (
	// maxText bounds the script that is read, in bytes.
	maxText = 256 << 10
	// maxDepth bounds nested expressions and nested scripts.
	maxDepth = 24
	// maxCalls bounds the commands of one script.
	maxCalls = 256
	// maxValue bounds one string that is put together, in bytes.
	maxValue = 64 << 10
)

// Commands returns the literal commands that text runs, in the order in which
// they stand there. lang is the interpreter's name, with or without a version
// ("python3.11", "perl", "ruby", "php", "node", "lua", "gawk", "osascript"); for
// any other there are none. Work is charged to b; when it is spent, the commands
// found so far come back.
func Commands(lang, text string, b *dialect.Budget) []Call {
	l, ok := languageOf(lang)
	if !ok {
		return nil
	}
	if l == applescript && strings.Contains(text, "doShellScript") {
		l = node // osascript -l JavaScript
	}
	s := &scanner{lang: l, budget: b}
	s.run(text, 0)
	return s.calls
}

// Supported reports whether Commands knows the interpreter of that name.
func Supported(lang string) bool {
	_, ok := languageOf(lang)
	return ok
}

type language int

const (
	python language = iota
	perl
	ruby
	php
	node
	lua
	awk
	applescript
)

func languageOf(name string) (language, bool) {
	name = strings.ToLower(name)
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.TrimSuffix(name, ".exe")
	name = strings.TrimRight(name, "0123456789.-")
	switch name {
	case "python", "pypy", "py":
		return python, true
	case "perl":
		return perl, true
	case "ruby", "jruby":
		return ruby, true
	case "php", "php-cli":
		return php, true
	case "node", "nodejs", "javascript", "js", "bun", "deno":
		return node, true
	case "lua", "luajit", "texlua":
		return lua, true
	case "awk", "gawk", "mawk", "nawk":
		return awk, true
	case "osascript", "applescript":
		return applescript, true
	}
	return 0, false
}

// how says what a function does with its arguments.
type how int

const (
	none how = iota
	// line: the first argument is a shell line, or a list of words.
	line
	// argv: several arguments are words; a single one is a shell line.
	argv
	// fileArgs: the program, then a list of its arguments without argv[0].
	fileArgs
	// fileArgv: the program, then a list or further arguments with argv[0].
	fileArgv
	// modeArgv is fileArgv behind a mode.
	modeArgv
	// openPipe is perl's open.
	openPipe
	// code: the first argument is a script of the same language.
	code
	// listing: the library reads the directory that the first argument names.
	listing
	// services: the library lists the services of Windows, or asks about the named one.
	services
)

// function returns what a function of that name does. Names that are in use for
// other things need their module to be named somewhere in the script.
func (s *scanner) function(name string) how {
	switch s.lang {
	case python:
		switch name {
		case "system", "popen", "getoutput", "getstatusoutput", "check_output", "check_call", "Popen", "popen2", "popen3", "create_subprocess_shell":
			return line
		case "run", "call", "spawn":
			if s.spawns {
				return line
			}
		case "create_subprocess_exec":
			return argv
		case "execv", "execve", "execvp", "execvpe", "execl", "execlp", "execle", "execlpe", "posix_spawn", "posix_spawnp":
			return fileArgv
		case "spawnl", "spawnlp", "spawnv", "spawnvp", "spawnve", "spawnvpe", "spawnle", "spawnlpe":
			return modeArgv
		case "exec", "eval", "compile":
			return code
		case "listdir", "scandir", "glob", "iglob":
			return listing
		case "win_service_iter", "win_service_get", "EnumServicesStatus", "EnumServicesStatusEx", "QueryServiceStatus",
			"Win32_Service", "Win32_BaseService":
			return services
		}
	case perl:
		switch name {
		case "system", "exec", "readpipe":
			return argv
		case "open":
			return openPipe
		case "eval":
			return code
		}
	case ruby:
		switch name {
		case "system", "exec", "spawn", "popen", "popen2", "popen2e", "popen3", "capture2", "capture2e", "capture3", "pipeline":
			return argv
		case "eval", "instance_eval", "class_eval":
			return code
		}
	case php:
		switch strings.ToLower(name) {
		case "system", "exec", "shell_exec", "passthru", "popen", "proc_open":
			return line
		case "pcntl_exec":
			return fileArgs
		case "eval", "assert":
			return code
		}
	case node:
		switch name {
		case "exec", "execSync":
			if s.spawns {
				return line
			}
		case "spawn", "spawnSync", "execFile", "execFileSync":
			if s.spawns {
				return fileArgs
			}
		case "doShellScript":
			return line
		case "eval":
			return code
		}
	case lua:
		switch name {
		case "execute", "popen":
			return line
		case "load", "loadstring", "dostring":
			return code
		}
	case awk:
		if name == "system" {
			return line
		}
	}
	return none
}

// spawning reports whether a script names a module that starts programs, which
// tells its functions from others of the same name.
func spawning(text string) bool {
	for _, module := range []string{"subprocess", "pty", "child_process", "execa", "zx"} {
		if strings.Contains(text, module) {
			return true
		}
	}
	return false
}

// scanner walks one script from token to token.
type scanner struct {
	lang   language
	budget *dialect.Budget
	calls  []Call
	done   bool

	text   string
	pos    int
	depth  int
	vars   map[string]value
	spawns bool // a module that starts programs is named somewhere
}

// value is what an expression comes to, if that is known.
type value struct {
	s      string
	list   []value
	isList bool
	ok     bool
	marks  []dialect.Mark
	bare   bool // a plain literal
}

func unknown() value { return value{} }

func (s *scanner) spend(steps, bytes int) bool {
	if s.done || !s.budget.Spend(steps, bytes) {
		s.done = true
		return false
	}
	return true
}

// run reads a script, which may stand inside another.
func (s *scanner) run(text string, level int) {
	if len(text) > maxText {
		text = text[:maxText]
	}
	if level > 4 || !s.spend(1+len(text)/256, 0) {
		return
	}
	saved, pos, depth := s.text, s.pos, s.depth
	s.text, s.pos, s.depth = text, 0, 0
	if level == 0 {
		s.vars = map[string]value{}
	}
	s.spawns = s.spawns || spawning(text)
	s.statements(level)
	s.text, s.pos, s.depth = saved, pos, depth
}

func (s *scanner) statements(level int) {
	for s.pos < len(s.text) && !s.done {
		s.space()
		if s.pos >= len(s.text) {
			return
		}
		before := s.pos
		s.step(level)
		if s.pos == before {
			s.pos++
		}
	}
}

// step reads one token of interest, or passes over one that is not.
func (s *scanner) step(level int) {
	if !s.spend(1, 0) {
		return
	}
	c := s.text[s.pos]
	switch {
	case c == '`' && (s.lang == perl || s.lang == ruby || s.lang == php):
		if v := s.delimited('`', '`', true); v.ok {
			s.shell(v)
		}
		return
	case s.lang == ruby && strings.HasPrefix(s.text[s.pos:], "%x") && s.pos+2 < len(s.text):
		s.pos += 2
		if v := s.anyDelimiter(true); v.ok {
			s.shell(v)
		}
		return
	case isNameStart(c) || c == '$' && s.lang != applescript || c == '@' && s.lang == ruby:
		s.name(level)
		return
	case c == '"' || c == '\'' || c == '`' || c == '[' && s.lang == lua:
		if !s.stringStart() {
			s.pos++
			return
		}
		v := s.concat()
		if s.lang == awk {
			s.awkPipe(v)
		}
		return
	case c == '|' && s.lang == awk:
		// print | "command"
		s.pos++
		if s.pos < len(s.text) && s.text[s.pos] == '&' {
			s.pos++
		}
		s.space()
		if s.pos < len(s.text) && s.text[s.pos] == '"' {
			if v := s.concat(); v.ok {
				s.shell(v)
			}
		}
		return
	}
	s.pos++
}

// awkPipe is "command" | getline.
func (s *scanner) awkPipe(v value) {
	s.space()
	rest := strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(s.text[s.pos:], "|"), "&"), " \t")
	if v.ok && strings.HasPrefix(s.text[s.pos:], "|") && strings.HasPrefix(rest, "getline") {
		s.shell(v)
		s.pos = len(s.text) - len(rest)
	}
}

// name reads an identifier with its members, and what it is the name of.
func (s *scanner) name(level int) {
	id := s.identifier()
	if s.lang == perl && id == "qx" {
		if v := s.anyDelimiter(true); v.ok {
			s.shell(v)
		}
		return
	}
	if s.lang == applescript {
		s.apple(id)
		return
	}
	// Only the last member says what is called: modules have many names.
	member := id[strings.LastIndexAny(id, ".:>")+1:]
	if how := s.function(member); how != none {
		s.space()
		at := s.pos
		if args, ok := s.arguments(); ok {
			s.use(how, args, level)
			for _, a := range args {
				if !a.ok {
					// What is not a literal may run commands itself.
					s.pos = at
					break
				}
			}
			return
		}
	}
	s.assignment(id)
}

// apple is "do shell script text" and "set name to text".
func (s *scanner) apple(id string) {
	switch strings.ToLower(id) {
	case "do":
		for _, word := range []string{"shell", "script"} {
			if !s.word(word) {
				return
			}
		}
		if v := s.concat(); v.ok && !v.isList {
			s.shell(v)
		}
	case "set":
		s.space()
		if s.pos >= len(s.text) || !isNameStart(s.text[s.pos]) {
			return
		}
		name := s.identifier()
		if s.word("to") {
			if v := s.concat(); v.ok && len(s.vars) < 256 {
				s.vars[name] = v
			}
		}
	}
}

// word passes over the next word if it is the given one.
func (s *scanner) word(want string) bool {
	s.space()
	end := s.pos + len(want)
	if end > len(s.text) || !strings.EqualFold(s.text[s.pos:end], want) || end < len(s.text) && isNameByte(s.text[end]) {
		return false
	}
	s.pos = end
	return true
}

// assignment remembers name = literal.
func (s *scanner) assignment(id string) {
	s.space()
	add := false
	rest := s.text[s.pos:]
	switch {
	case strings.HasPrefix(rest, "+=") || strings.HasPrefix(rest, ".="):
		add = true
		s.pos += 2
	case strings.HasPrefix(rest, ":="):
		s.pos += 2
	case strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "==") && !strings.HasPrefix(rest, "=~") && !strings.HasPrefix(rest, "=>"):
		s.pos++
	default:
		return
	}
	s.space()
	if s.pos >= len(s.text) || !s.valueStart() {
		delete(s.vars, id)
		return
	}
	at := s.pos
	v := s.concat()
	if !v.ok {
		// What stands there may run commands itself: x = os.popen("...").
		s.pos = at
		delete(s.vars, id)
		return
	}
	if add {
		v = join(s.vars[id], v)
	}
	if len(s.vars) < 256 {
		s.vars[id] = v
	}
}

// use records what a call with these arguments runs.
func (s *scanner) use(h how, args []value, level int) {
	if h == services {
		words := []value{{s: "get-service", ok: true}}
		if len(args) > 0 && args[0].ok && !args[0].isList {
			words = append(words, args[0])
		}
		s.program(words, nil)
		return
	}
	if len(args) == 0 {
		return
	}
	first := args[0]
	switch h {
	case line:
		if first.isList {
			s.program(first.list, first.marks)
		} else if first.ok {
			s.shell(first)
		}
	case argv:
		switch {
		case first.isList:
			s.program(first.list, first.marks)
		case len(args) == 1 || !args[1].ok || args[1].isList:
			if first.ok {
				s.shell(first)
			}
		default:
			s.program(args, nil)
		}
	case fileArgs:
		words := []value{first}
		if len(args) > 1 && args[1].isList {
			words = append(words, args[1].list...)
		}
		s.program(words, nil)
	case fileArgv, modeArgv:
		if h == modeArgv {
			args = args[1:]
		}
		if len(args) == 0 {
			return
		}
		rest := args[1:]
		if len(rest) > 0 && rest[0].isList {
			rest = rest[0].list
		}
		words := []value{args[0]}
		if len(rest) > 1 {
			words = append(words, rest[1:]...)
		}
		s.program(words, nil)
	case openPipe:
		s.open(args)
	case listing:
		if first.ok && !first.isList && strings.HasPrefix(first.s, "/") {
			s.program([]value{{s: "ls", ok: true}, first}, nil)
		}
	case code:
		if first.ok && !first.isList && first.s != "" {
			n := len(s.calls)
			s.run(first.s, level+1)
			for i := n; i < len(s.calls); i++ {
				s.calls[i].Marks = addMarks(s.calls[i].Marks, append(first.marks, dialect.InvokeString))
			}
		}
	}
}

// open is perl's open(FH, "command |") and open(FH, "-|", "command", ...).
func (s *scanner) open(args []value) {
	for i, a := range args {
		if !a.ok || a.isList || i == 0 && len(args) > 1 && !strings.ContainsAny(a.s, "|") {
			continue
		}
		mode := strings.TrimSpace(a.s)
		if mode == "-|" || mode == "|-" {
			rest := args[i+1:]
			if len(rest) == 1 {
				if rest[0].isList {
					s.program(rest[0].list, nil)
				} else if rest[0].ok {
					s.shell(rest[0])
				}
			} else {
				s.program(rest, nil)
			}
			return
		}
		if cmd, ok := strings.CutSuffix(mode, "|"); ok {
			s.shell(value{s: strings.TrimSpace(cmd), ok: true, marks: a.marks})
			return
		}
		if cmd, ok := strings.CutPrefix(mode, "|"); ok {
			s.shell(value{s: strings.TrimSpace(cmd), ok: true, marks: a.marks})
			return
		}
	}
}

func (s *scanner) shell(v value) {
	if strings.TrimSpace(v.s) == "" || len(s.calls) >= maxCalls || !s.spend(1, len(v.s)) {
		return
	}
	s.calls = append(s.calls, Call{Text: v.s, Marks: addMarks(nil, v.marks)})
}

// program records a command that is given as words; a word that is not known
// ends what can be said, but an unknown program says nothing.
func (s *scanner) program(words []value, marks []dialect.Mark) {
	c := Call{Marks: addMarks(nil, marks)}
	n := 0
	for _, w := range words {
		if !w.ok || w.isList {
			break
		}
		c.Argv = append(c.Argv, w.s)
		c.Marks = addMarks(c.Marks, w.marks)
		n += len(w.s)
	}
	if len(c.Argv) == 0 || c.Argv[0] == "" || len(s.calls) >= maxCalls || !s.spend(len(c.Argv), n) {
		return
	}
	s.calls = append(s.calls, c)
}

func addMarks(to, more []dialect.Mark) []dialect.Mark {
	for _, m := range more {
		to = dialect.AddMark(to, m)
	}
	return to
}

func isNameStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isNameByte(c byte) bool { return isNameStart(c) || c >= '0' && c <= '9' }
