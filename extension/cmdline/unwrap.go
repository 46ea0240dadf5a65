package cmdline

import (
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/posix"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
)

// unwrap hands on to what c runs and reports whether it did. A wrapper that runs
// nothing (sudo -l) is an ordinary command.
//
// The unwrapping methods below it look at one kind of wrapper each, and answer in
// the same way.
func (p *parser) unwrap(tool string, c dialect.Simple, s scope) bool {
	if s.lang != langPowerShell && handsOn(tool) == handsNothing {
		return false
	}
	switch {
	case tool == "cmd":
		return p.unwrapCmd(c, s)
	case tool == "powershell":
		return p.unwrapPowerShell(c, s)
	case s.lang == langPowerShell && p.unwrapCmdlet(tool, c, s):
		return true
	}
	if (p.win || s.lang == langCmd || s.lang == langPowerShell) && p.unwrapMicrosoft(tool, c, s) {
		return true
	}
	if isShell(tool) {
		return p.unwrapShell(tool, c, s)
	}
	if s.lang == langPowerShell && tool != "ssh" {
		return false // cmdlets and their aliases share names with programs of Unix
	}
	if lang, ok := scriptLanguage(tool); ok {
		return p.unwrapScript(tool, lang, c, s)
	}
	return p.unwrapUnix(tool, c, s)
}

// shell runs text in a language inside s, which is the scope of its wrapper.
func (p *parser) shell(text string, lang language, s scope) bool {
	if strings.TrimSpace(text) == "" {
		return false
	}
	s.lang = lang
	p.text(text, s)
	return true
}

// stdin runs the text that arrives on c's standard input: it takes that input.
func (p *parser) stdin(c dialect.Simple, lang language, s scope) bool {
	s.from = nil
	return p.shell(c.Stdin, lang, s)
}

// simple runs one command inside s that is part of no pipeline of its own.
func (p *parser) simple(c dialect.Simple, s scope) bool {
	if len(c.Argv) == 0 {
		return false
	}
	c.Next = -1
	s.joined = s.joined && c.Line != ""
	if s.lang != langPOSIX {
		s.lang = langWords
	}
	p.run(c, s)
	return true
}

// line runs a whole command line of Windows.
func (p *parser) line(text string, s scope) bool {
	text = strings.TrimSpace(text)
	s.lang = langWords
	return p.simple(dialect.Simple{Argv: winargv.Split(text), Line: text, Raw: text}, s)
}

// behind is the command that c's words from the n-th on make, with its text
// where quoting was lost.
func (s scope) behind(c dialect.Simple, n int) dialect.Simple {
	n = min(n, len(c.Argv))
	out := dialect.Simple{Argv: c.Argv[n:], Raw: c.Raw, Stdin: c.Stdin, Redirects: c.Redirects}
	if s.joined {
		out.Line = posix.Tail(c.Line, n)
	}
	return out
}

// textBehind is c's text from the n-th word on, its words joined with blanks as
// ssh and watch do.
func (s scope) textBehind(c dialect.Simple, n int) string {
	if s.joined {
		return posix.Tail(c.Line, n)
	}
	return strings.Join(c.Argv[min(n, len(c.Argv)):], " ")
}

// script returns the shell text that c's n-th word is: that word, or where
// quoting was lost everything from it on.
func (p *parser) script(c dialect.Simple, n int, s scope) string {
	if n >= len(c.Argv) {
		return ""
	}
	oneWord := strings.ContainsAny(c.Argv[n], " \t\n") // its quotes are there
	if s.joined && !(oneWord && (n+1 == len(c.Argv) || !p.in.ArgsJoined)) {
		return s.textBehind(c, n)
	}
	return c.Argv[n]
}

// operand returns the index of the first argument that is no option. takes holds
// the short options whose value may be the next word, long those spelt out.
func operand(args []string, takes string, long ...string) int {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			return i + 1
		case len(a) < 2 || a[0] != '-':
			return i
		case strings.HasPrefix(a, "--"):
			if slices.Contains(long, a) {
				i++
			}
		default:
			if j := strings.IndexAny(a[1:], takes); takes != "" && j >= 0 && j+2 == len(a) {
				i++
			}
		}
	}
	return len(args)
}
