package cmdline

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/powershell"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/script"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
)

// unwrapCmd handles cmd.exe, which reads its own command line: everything behind
// /c or /k is text.
func (p *parser) unwrapCmd(c dialect.Simple, s scope) bool {
	in := s.inside("cmd")
	line := c.Line
	if line == "" {
		line = windowsLine(c.Argv)
	}
	rest := winargv.Tail(line, 1)
	for {
		rest = strings.TrimLeft(rest, " \t,;=")
		if len(rest) < 2 || rest[0] != '/' && rest[0] != '-' {
			break
		}
		switch rest[1] | 0x20 {
		case 'c', 'k', 'r':
			return p.shell(stripOuterQuotes(strings.TrimSpace(rest[2:])), langCmd, in)
		case 'v':
			in.delayed = !strings.HasPrefix(strings.ToLower(rest), "/v:off")
		}
		end := strings.IndexAny(rest[1:], " \t/,;=")
		if end < 0 {
			break
		}
		rest = rest[1+end:]
	}
	return p.stdin(c, langCmd, in)
}

// stripOuterQuotes applies cmd /c's rule: a leading quote goes with the last one.
func stripOuterQuotes(t string) string {
	if len(t) < 2 || t[0] != '"' {
		return t
	}
	last := strings.LastIndexByte(t, '"')
	if last <= 0 {
		return t[1:]
	}
	// Exactly two quotes around one existing program with blanks keeps them; a
	// program's path is told by its ending.
	if strings.Count(t, `"`) == 2 && !strings.ContainsAny(t[1:last], "&<>()@^|") {
		inner := t[1:last]
		if strings.Contains(inner, " ") && strings.Contains(inner, `\`) && hasProgramEnding(inner) {
			return t
		}
	}
	return t[1:last] + t[last+1:]
}

func hasProgramEnding(s string) bool {
	l := strings.ToLower(s)
	for _, e := range []string{".exe", ".com", ".bat", ".cmd"} {
		if strings.HasSuffix(l, e) {
			return true
		}
	}
	return false
}

func (p *parser) unwrapPowerShell(c dialect.Simple, s scope) bool {
	inv, ok := powershell.ParseCommandLine(c.Argv, &p.budget)
	if !ok || inv.File != "" {
		return false
	}
	in := s.inside("powershell")
	in.hidden = in.hidden || inv.HiddenWindow
	if inv.Encoded {
		in = in.marked(dialect.Encoded)
	}
	if inv.Script == "" {
		return p.stdin(c, langPowerShell, in)
	}
	if p.in.Path == "" {
		inv.Script = unquoted(inv.Script)
	}
	return p.shell(inv.Script, langPowerShell, in)
}

// unquoted takes the apostrophes off a text that is one literal. Run as it is it
// would only be shown; typed at a prompt of PowerShell or a POSIX shell, as what
// is copied from reports mostly was, they are that shell's and not part of it.
func unquoted(text string) string {
	t := strings.TrimSpace(text)
	if len(t) > 2 && t[0] == '\'' && strings.IndexByte(t[1:], '\'') == len(t)-2 {
		return t[1 : len(t)-1]
	}
	return text
}

// unwrapShell handles the shells of POSIX systems.
func (p *parser) unwrapShell(tool string, c dialect.Simple, s scope) bool {
	args := c.Argv[1:]
	in := s.inside(tool)
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-o" || a == "+o" || a == "-O" || a == "+O" || a == "--rcfile" || a == "--init-file":
			i++
		case a == "-" || strings.HasPrefix(a, "--"):
		case a == "" || a[0] != '-' && a[0] != '+':
			return p.unwrapFile(c, i+1, in)
		case strings.Contains(a, "c"):
			if i+1 < len(args) && args[i+1] == "--" {
				i++
			}
			return p.shell(p.script(c, i+2, s), langPOSIX, in)
		}
	}
	if p.stdin(c, langPOSIX, in) {
		return true
	}
	for _, r := range c.Redirects {
		if r.Op == "<<<" {
			return p.shell(r.Target, langPOSIX, in)
		}
	}
	return false
}

// unwrapFile handles a script that an interpreter was started with, its n-th
// word: a tool by itself (service and invoke-rc.d are programs to people and
// "/bin/sh /usr/sbin/service" to the kernel), or what the same command line has
// written.
func (p *parser) unwrapFile(c dialect.Simple, n int, in scope) bool {
	file := c.Argv[n]
	_, written := p.written(file)
	_, init := initScript(c.Argv[n:])
	_, tool := tools[unixBase(file)]
	if !written && !init && (!tool || !strings.Contains(file, "/")) {
		return false
	}
	return p.simple(in.behind(c, n), in)
}

// unwrapSu handles su(1): -c takes text for the shell of the user named last.
func (p *parser) unwrapSu(c dialect.Simple, s scope) bool {
	args := c.Argv[1:]
	in := s.inside("su")
	in.user = "root"
	text := ""
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-c" || a == "--command" || a == "--session-command":
			text = p.script(c, i+2, s)
			if i++; i < len(args) && text != args[i] {
				// Quoting is lost, so that a user behind the text is part of it.
				text, i = strings.TrimSuffix(text, " root"), len(args)
			}
		case strings.HasPrefix(a, "--command="):
			text = strings.TrimPrefix(a, "--command=")
		case a == "-s" || a == "--shell" || a == "-g" || a == "-G" || a == "-w":
			i++
		case strings.HasPrefix(a, "-"):
		default:
			in.user = a
		}
	}
	return p.shell(text, langPOSIX, in)
}

// unwrapTypescript handles script(1): -c on Linux, words behind the file on BSD.
func (p *parser) unwrapTypescript(c dialect.Simple, s scope) bool {
	args := c.Argv[1:]
	in := s.inside("script")
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--command" || strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.HasSuffix(a, "c"):
			// Where quoting is lost, the file behind the text is part of it.
			return p.shell(strings.TrimSuffix(p.script(c, i+2, s), " /dev/null"), langPOSIX, in)
		case strings.HasPrefix(a, "--command="):
			return p.shell(strings.TrimPrefix(a, "--command="), langPOSIX, in)
		case len(a) == 2 && a[0] == '-' && strings.Contains("tFIOBTmoE", a[1:]):
			i++
		case !strings.HasPrefix(a, "-"):
			return p.simple(in.behind(c, i+2), in)
		}
	}
	return false
}

// unwrapSSH reads ssh's options by letter; what follows the host is shell text of
// the remote machine.
func (p *parser) unwrapSSH(c dialect.Simple, s scope) bool {
	args := c.Argv[1:]
	in := s.inside("ssh")
	i := 0
	for i < len(args) && strings.HasPrefix(args[i], "-") {
		a := args[i]
		if a == "--" {
			i++
			break
		}
		if j := strings.IndexAny(a, "BbcDEeFIiJLlmOoPpQRSWw"); j > 0 {
			value := a[j+1:]
			if value == "" && i+1 < len(args) {
				i++
				value = args[i]
			}
			if a[j] == 'l' {
				in.user = value
			}
		}
		i++
	}
	if i >= len(args) {
		return false
	}
	host := args[i]
	if u, h, ok := strings.Cut(host, "@"); ok {
		in.user, host = u, h
	}
	in.remote = remoteName(host)
	if i+1 == len(args) {
		return p.stdin(c, langPOSIX, in)
	}
	return p.shell(s.textBehind(c, i+2), langPOSIX, in)
}

// scriptFlags are the letters of the option that takes a program's text, by
// language; awk has none, its program is the first operand.
var scriptFlags = map[string]string{
	"python": "c", "pypy": "c", "py": "c", "perl": "eE", "ruby": "e", "php": "r", "node": "ep", "nodejs": "ep", "lua": "e", "osascript": "e",
	"awk": "", "gawk": "", "mawk": "", "nawk": "",
}

// scriptLanguage returns the interpreter a tool is, without its version.
func scriptLanguage(tool string) (string, bool) {
	name := strings.TrimRight(tool, "0123456789.-")
	_, ok := scriptFlags[name]
	return name, ok
}

// unwrapScript handles the interpreters of script languages: a program given as
// text runs commands by strings that can be read.
func (p *parser) unwrapScript(tool, lang string, c dialect.Simple, s scope) bool {
	text, ok := p.oneLiner(lang, c, s)
	if !ok {
		args := c.Argv[1:]
		i := operand(args, "")
		return i < len(args) && p.unwrapFile(c, i+1, s.inside(tool))
	}
	calls := script.Commands(lang, text, &p.budget)
	for _, call := range calls {
		in := s.inside(tool).marked(call.Marks...)
		switch {
		case call.Text == "":
			p.simple(dialect.Simple{Argv: call.Argv, Raw: c.Raw}, in)
		case p.win:
			p.shell(call.Text, langCmd, in)
		default:
			p.shell(call.Text, langPOSIX, in)
		}
	}
	return len(calls) > 0
}

// oneLiner finds the program's text among an interpreter's arguments; several
// options are lines of one program.
func (p *parser) oneLiner(lang string, c dialect.Simple, s scope) (string, bool) {
	args := c.Argv[1:]
	flags := scriptFlags[lang]
	if flags == "" {
		i := operand(args, "vFf")
		return p.script(c, i+1, s), i < len(args)
	}
	var lines []string
	for i := 0; i < len(args) && strings.HasPrefix(args[i], "-"); i++ {
		a := args[i]
		if a == "-l" && lang == "osascript" {
			i++ // the language
			continue
		}
		j := strings.IndexAny(a, flags)
		if long := strings.HasPrefix(a, "--"); long && a != "--eval" && a != "--execute" && a != "--print" || j < 1 {
			continue
		} else if long || a[j+1:] == "" || lang == "perl" || lang == "ruby" {
			lines = append(lines, p.script(c, i+2, s))
			i++
		} else {
			lines = append(lines, a[j+1:]+" "+s.textBehind(c, i+2))
		}
		if s.joined {
			break
		}
	}
	if len(lines) == 0 {
		return c.Stdin, c.Stdin != ""
	}
	return strings.Join(lines, "\n"), true
}
