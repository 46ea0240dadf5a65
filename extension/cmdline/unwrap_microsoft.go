package cmdline

import (
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
)

// windowsLine writes words as a Windows command line.
func windowsLine(argv []string) string {
	var b strings.Builder
	for i, a := range argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		if a == "" || strings.ContainsAny(a, " \t") && !strings.Contains(a, `"`) {
			b.WriteByte('"')
			b.WriteString(a)
			b.WriteByte('"')
			continue
		}
		b.WriteString(a)
	}
	return b.String()
}

// unwrapMicrosoft handles the programs of Windows that run a command line.
func (p *parser) unwrapMicrosoft(tool string, c dialect.Simple, s scope) bool {
	line := c.Line
	if line == "" || len(winargv.Split(line)) != len(c.Argv) {
		line = windowsLine(c.Argv)
	}
	args := c.Argv[1:]
	in := s.inside(tool)
	// rest runs the text behind n arguments; one quoted word may be all of it.
	rest := func(n int) bool {
		if n+1 == len(args) {
			return p.line(args[n], in)
		}
		return p.line(winargv.Tail(line, n+1), in)
	}
	switch tool {
	case "psexec", "paexec", "remcom", "csexec":
		return p.unwrapPsExec(args, &in, rest)
	case "winrs":
		i := slices.IndexFunc(args, func(a string) bool { return !isSwitch(a) })
		for _, a := range args[:max(i, 0)] {
			switch k, v, _ := strings.Cut(a[1:], ":"); strings.ToLower(k) {
			case "r", "remote":
				if _, host, ok := strings.Cut(v, "//"); ok {
					v = host
				}
				in.remote = remoteName(v)
			case "u", "username":
				in.user = v
			}
		}
		return i >= 0 && p.shell(winargv.Tail(line, i+1), langCmd, in)
	case "wmic":
		host, i := wmicGlobals(args)
		if host != "" {
			in.remote = host
		}
		if i < len(args) && (strings.EqualFold(args[i], "path") || strings.EqualFold(args[i], "class")) {
			i++
		}
		if len(args) == 0 && c.Stdin != "" {
			// At its own prompt each line is what would stand behind wmic.
			s.from = nil
			for line := range strings.Lines(c.Stdin) {
				p.line("wmic "+strings.TrimSpace(line), s)
			}
			return true
		}
		if i+3 >= len(args) || !strings.HasSuffix(strings.ToLower(args[i]), "process") || !strings.EqualFold(args[i+1], "call") || !strings.EqualFold(args[i+2], "create") {
			return false
		}
		return p.line(strings.Join(args[i+3:], " "), in)
	case "runas":
		for i, a := range args {
			if !isSwitch(a) {
				return rest(i)
			}
			if k, v, ok := strings.Cut(a[1:], ":"); ok && strings.EqualFold(k, "user") {
				in.user = v
			}
		}
	case "forfiles":
		text, mask := "", "*"
		for i := 0; i+1 < len(args); i++ {
			switch strings.ToLower(args[i]) {
			case "/c", "-c":
				text = args[i+1]
			case "/m", "-m":
				mask = args[i+1]
			}
		}
		if !strings.ContainsAny(mask, "*?") {
			// The variables stand for the one file there is.
			text = strings.NewReplacer("@file", mask, "@FILE", mask, "@path", mask, "@PATH", mask).Replace(text)
		}
		return p.line(strings.ReplaceAll(text, "0x22", `"`), in)
	case "pcalua":
		program, behind := "", ""
		for i := 0; i+1 < len(args); i++ {
			switch strings.ToLower(args[i]) {
			case "-a":
				program = args[i+1]
			case "-c":
				behind = winargv.Tail(line, i+2)
				if i+2 == len(args) {
					behind = args[i+1] // one word may be all of them
				}
				i = len(args) // it is the last that pcalua reads
			}
		}
		return program != "" && p.line(windowsLine([]string{program})+" "+behind, in)
	case "wt":
		i := 0
		for i < len(args) && (isSwitch(args[i]) || terminalVerb(args[i])) {
			switch args[i] {
			case "-w", "--window", "-d", "--startingDirectory", "-p", "--profile", "--title", "--tabColor", "--colorScheme", "-s", "--size", "--pos":
				i++
			}
			i++
		}
		return i < len(args) && rest(i)
	case "conhost":
		i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "0x") })
		return i >= 0 && rest(i)
	case "scriptrunner":
		if len(args) == 3 && strings.EqualFold(args[0], "-appvscript") {
			return p.line(windowsLine(args[1:2])+" "+args[2], in)
		}
		return len(args) > 1 && strings.EqualFold(args[0], "-appvscript") && rest(1)
	case "rundll32":
		if lower := strings.ToLower(line); strings.Contains(lower, "runhtmlapplication") {
			p.document(winargv.Tail(line, 1), in)
			return false
		}
		return len(args) > 1 && launches(args[0]) && rest(1)
	case "mshta":
		p.document(winargv.Tail(line, 1), in)
		return false // the document it shows counts too
	case "sqlcmd", "osql", "isql":
		return p.unwrapSQL(args, in)
	case "at":
		i := 0
		if i < len(args) && strings.HasPrefix(args[i], `\\`) {
			in.remote = remoteName(args[i])
			i++
		}
		if i >= len(args) || !strings.Contains(args[i], ":") {
			return false
		}
		for i++; i < len(args) && isSwitch(args[i]); i++ {
		}
		return i < len(args) && rest(i)
	case "cscript":
		// winrm.cmd is this script.
		i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "//") })
		return i >= 0 && winargv.Base(args[i]) == "winrm.vbs" && p.simple(dialect.Simple{Argv: append([]string{"winrm"}, args[i+1:]...), Raw: c.Raw}, in)
	case "wsl":
		i := operand(args, "due", "--distribution", "--user", "--cd", "--shell-type")
		return p.shell(strings.Join(args[i:], " "), langPOSIX, in)
	}
	return false
}

// terminalVerb reports the words of Windows Terminal that open a place for what
// follows them.
func terminalVerb(a string) bool {
	switch strings.ToLower(a) {
	case "nt", "new-tab", "sp", "split-pane":
		return true
	}
	return false
}

func isSwitch(a string) bool { return strings.HasPrefix(a, "-") || strings.HasPrefix(a, "/") }

// unwrapPsExec reads the options of PsExec and its like.
func (p *parser) unwrapPsExec(args []string, in *scope, rest func(int) bool) bool {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case strings.HasPrefix(a, `\\`) && !strings.HasPrefix(a, `\\?\`) && !strings.HasPrefix(a, `\\.\`) || strings.HasPrefix(a, "@"):
			if h := remoteName(a); h != "" {
				in.remote = h
			}
		case isSwitch(a):
			switch strings.ToLower(a[1:]) {
			case "u", "user":
				if i+1 < len(args) {
					in.user = args[i+1]
				}
				i++
			case "p", "n", "r", "w", "a", "g", "to", "rlo", "lo", "csrc", "clist", "pwd":
				i++
			}
		default:
			return rest(i)
		}
	}
	return false
}

// launches reports the exports of system libraries that start what follows them.
//
// Source: the LOLBAS project's pages on these libraries.
func launches(export string) bool {
	library, function, _ := strings.Cut(strings.ToLower(export), ",")
	switch winargv.Base(strings.TrimSuffix(library, ".dll")) + "," + strings.TrimLeft(function, " #") {
	case "zipfldr,routethecall", "shell32,shellexec_rundll", "shell32,shellexec_rundlla", "shell32,openas_rundll", "url,openurl", "url,openurla", "url,fileprotocolhandler",
		"advpack,registerocx", "ieadvpack,registerocx", "pcwutl,launchapplication":
		return true
	}
	return false
}

// unwrapSQL handles what a client of SQL Server has xp_cmdshell run.
func (p *parser) unwrapSQL(args []string, in scope) bool {
	text := ""
	for i := 0; i+1 < len(args); i++ {
		switch args[i] {
		case "-S", "/S":
			host, _, _ := strings.Cut(args[i+1], ",")
			in.remote = remoteName(host)
		case "-U", "/U":
			in.user = args[i+1]
		case "-Q", "-q", "/Q", "/q":
			text = args[i+1]
		}
	}
	ran := false
	for range 16 {
		i := strings.Index(strings.ToLower(text), "xp_cmdshell")
		if i < 0 {
			break
		}
		text = text[i+len("xp_cmdshell"):]
		open := strings.IndexByte(text, '\'')
		if open < 0 {
			break
		}
		// A doubled apostrophe stands for one.
		var b strings.Builder
		for i = open + 1; i < len(text); i++ {
			if text[i] == '\'' {
				if i++; i == len(text) || text[i] != '\'' {
					break
				}
			}
			b.WriteByte(text[i])
		}
		text = text[min(i, len(text)):]
		ran = p.shell(b.String(), langCmd, in) || ran
	}
	return ran
}

// document runs what the script of a document of mshta gives to WScript.Shell and
// asks of WMI, as far as it is literals.
func (p *parser) document(text string, in scope) {
	for _, call := range shellCalls(text) {
		p.line(call, in)
	}
	for _, call := range wmiCalls(text) {
		in.lang = langPowerShell
		p.simple(dialect.Simple{Argv: call, Raw: strings.Join(call, " ")}, in)
	}
}

// wmiCalls returns what a script of Windows Script Host asks of WMI, as the same
// question of PowerShell.
func wmiCalls(text string) [][]string {
	if !strings.Contains(strings.ToLower(text), "winmgmts") && !strings.Contains(strings.ToLower(text), "swbemlocator") {
		return nil
	}
	var out [][]string
	for _, query := range literalArguments(text, ".execquery") {
		out = append(out, []string{"Get-WmiObject", "-Query", query})
	}
	for _, class := range literalArguments(text, ".instancesof") {
		out = append(out, []string{"Get-WmiObject", class})
	}
	return out
}

// shellCalls returns the command lines that a script of Windows Script Host gives
// to WScript.Shell, as far as they are literals.
func shellCalls(text string) []string {
	if !strings.Contains(strings.ToLower(text), "wscript.shell") {
		return nil
	}
	return append(literalArguments(text, ".run"), literalArguments(text, ".exec")...)
}

// literalArguments returns the first arguments of a method's calls that are
// literals, in VBScript or JScript.
func literalArguments(text, method string) []string {
	lower := strings.ToLower(text)
	if strings.Contains(lower, `execute("`) || strings.Contains(lower, `eval("`) {
		// A program in a literal of another: its quotes are doubled.
		text = strings.ReplaceAll(text, `""`, `"`)
		lower = strings.ToLower(text)
	}
	if len(lower) != len(text) {
		return nil // letters that change their length with their case
	}
	var out []string
	for at := 0; len(out) < 16; {
		i := strings.Index(lower[at:], method)
		if i < 0 {
			break
		}
		at += i + len(method)
		literal := strings.TrimLeft(text[at:], " (")
		if literal == "" || literal[0] != '"' && literal[0] != '\'' {
			continue
		}
		if inner, ok := strings.CutPrefix(literal, `""`); ok {
			// In an argument that stands in quotes itself they are doubled.
			if end := strings.Index(inner, `""`); end > 0 {
				out = append(out, inner[:end])
			}
			continue
		}
		if end := strings.IndexByte(literal[1:], literal[0]); end > 0 {
			out = append(out, literal[1:end+1])
		}
	}
	return out
}

// wmicGlobals reads the switches before wmic's alias: the remote node and the
// index of the first word that is not one.
func wmicGlobals(args []string) (remote string, next int) {
	for next < len(args) && isSwitch(args[next]) {
		k, v, _ := strings.Cut(args[next][1:], ":")
		if strings.EqualFold(k, "node") {
			if v == "" && next+1 < len(args) {
				next++
				v = strings.TrimPrefix(args[next], ":")
			}
			if h := remoteName(strings.Split(v, ",")[0]); h != "" {
				remote = h
			}
		}
		next++
	}
	return remote, next
}

// unwrapCmdlet handles the cmdlets that run text or start a process.
func (p *parser) unwrapCmdlet(tool string, c dialect.Simple, s scope) bool {
	args := c.Argv[1:]
	in := s.inside(tool)
	switch strings.ToLower(c.Argv[0]) {
	case "[system.diagnostics.process]::start", "[diagnostics.process]::start":
		// Without literals the type shows nothing of what runs.
		if len(args) == 0 || args[0] == "" || strings.ContainsAny(args[0][:1], "$(@") {
			return false
		}
		in = s.inside("process")
		return p.line(windowsLine(args[:1])+" "+strings.Join(args[1:min(2, len(args))], ""), in)
	}
	switch tool {
	case "invoke-expression":
		in = in.marked(dialect.InvokeString)
		return p.shell(positional(args, "command"), langPowerShell, in) || p.stdin(c, langPowerShell, in)
	case "start-process":
		words := positionals(args)
		file := namedArg(args, "filepath", "pspath")
		if file == "" && len(words) > 0 {
			file, words = words[0], words[1:]
		}
		list := namedArg(args, "argumentlist", "args")
		if list == "" && len(words) > 0 {
			list = words[0]
		}
		in.hidden = in.hidden || strings.EqualFold(namedArg(args, "windowstyle"), "hidden")
		return file != "" && p.line(windowsLine([]string{file})+" "+strings.ReplaceAll(list, ",", " "), in)
	case "invoke-wmimethod", "invoke-cimmethod":
		// Invoke-WmiMethod -Class Win32_Process -Name Create -ArgumentList "cmd"
		words := append(positionals(args), "", "", "")
		take := func(names ...string) string {
			v := namedArg(args, names...)
			if v == "" {
				v, words = words[0], append(words[1:], "")
			}
			return v
		}
		class, method := take("class", "classname", "path"), take("name", "methodname")
		if !strings.HasSuffix(strings.ToLower(class), "win32_process") || !strings.EqualFold(method, "create") {
			return false
		}
		line := take("argumentlist", "arguments")
		if i := strings.IndexByte(line, '='); strings.HasPrefix(line, "@{") && i > 0 {
			line = strings.Trim(strings.TrimRight(strings.TrimSpace(line[i+1:]), "}"), `"' `)
		}
		if h := remoteName(namedArg(args, "computername", "cn")); h != "" {
			in.remote = h
		}
		return p.line(line, in)
	}
	return false
}
