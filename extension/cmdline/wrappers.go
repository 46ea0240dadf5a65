package cmdline

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/powershell"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/script"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
)

// unixWrapper describes a program that runs another one given as its arguments.
type unixWrapper struct {
	args    string   // short options that take a value
	long    []string // long options that take a value in the next word
	skip    int      // words between the options and the command
	assign  bool     // NAME=value words may stand before the command
	user    string   // option that names the user ("u")
	shell   string   // option whose value is shell text ("c")
	joined  bool     // the words are joined and given to a shell
	comment string
}

func (w unixWrapper) known() bool { return w.comment != "" }

// unixWrappers is the list; the option letters are those of the programs' manual
// pages (util-linux, coreutils, sudo, procps).
var unixWrappers = map[string]unixWrapper{
	"sudo":             {args: "ugpCcrtTUDRh", long: []string{"--user", "--group", "--prompt", "--chdir", "--host", "--role", "--type", "--other-user", "--close-from"}, assign: true, user: "u", comment: "sudo(8)"},
	"doas":             {args: "uC", assign: true, user: "u", comment: "doas(1)"},
	"pkexec":           {long: []string{"--user"}, comment: "pkexec(1)"},
	"env":              {args: "uCS", long: []string{"--unset", "--chdir", "--split-string"}, assign: true, comment: "env(1)"},
	"nohup":            {comment: "nohup(1)"},
	"timeout":          {args: "ks", long: []string{"--kill-after", "--signal"}, skip: 1, comment: "timeout(1)"},
	"gtimeout":         {args: "ks", long: []string{"--kill-after", "--signal"}, skip: 1, comment: "timeout(1)"},
	"nice":             {args: "n", long: []string{"--adjustment"}, comment: "nice(1)"},
	"ionice":           {args: "cnp", long: []string{"--class", "--classdata"}, comment: "ionice(1)"},
	"chrt":             {args: "TPD", skip: 1, comment: "chrt(1)"},
	"taskset":          {skip: 1, comment: "taskset(1)"},
	"numactl":          {args: "CmNip", comment: "numactl(8)"},
	"setsid":           {comment: "setsid(1)"},
	"stdbuf":           {args: "ioe", long: []string{"--input", "--output", "--error"}, comment: "stdbuf(1)"},
	"unbuffer":         {comment: "unbuffer(1)"},
	"time":             {args: "fo", long: []string{"--format", "--output"}, comment: "time(1)"},
	"xargs":            {args: "aEIiLnPsd", long: []string{"--arg-file", "--delimiter", "--max-lines", "--max-args", "--max-procs", "--max-chars", "--replace"}, comment: "xargs(1)"},
	"parallel":         {args: "jaNnLS", long: []string{"--jobs", "--arg-file"}, comment: "parallel(1)"},
	"watch":            {args: "nq", long: []string{"--interval", "--equexit"}, joined: true, comment: "watch(1)"},
	"chroot":           {long: []string{"--userspec", "--groups"}, skip: 1, comment: "chroot(8)"},
	"nsenter":          {args: "tSGr", long: []string{"--target", "--setuid", "--setgid"}, comment: "nsenter(1)"},
	"unshare":          {args: "SGRw", long: []string{"--root", "--wd", "--setuid", "--setgid", "--propagation"}, comment: "unshare(1)"},
	"runuser":          {args: "ugGsw", long: []string{"--user", "--group", "--shell"}, user: "u", shell: "c", comment: "runuser(1)"},
	"setpriv":          {long: []string{"--reuid", "--regid", "--groups"}, comment: "setpriv(1)"},
	"gosu":             {skip: 1, comment: "gosu"},
	"su-exec":          {skip: 1, comment: "su-exec"},
	"chpst":            {args: "uUbeodmpfcr/n", comment: "chpst(8)"},
	"flock":            {args: "wE", long: []string{"--timeout", "--conflict-exit-code"}, skip: 1, shell: "c", comment: "flock(1)"},
	"strace":           {args: "aeEfIoOpPsSuUX", comment: "strace(1)"},
	"ltrace":           {args: "aAeDFlnopsuwX", comment: "ltrace(1)"},
	"systemd-run":      {args: "puMHEd", long: []string{"--unit", "--property", "--description", "--slice", "--uid", "--gid", "--nice", "--setenv", "--machine", "--host", "--on-active", "--on-boot", "--on-calendar", "--working-directory", "--service-type", "--timer-property"}, comment: "systemd-run(1)"},
	"systemd-cat":      {args: "tp", long: []string{"--identifier", "--priority"}, comment: "systemd-cat(1)"},
	"exec":             {args: "a", comment: "POSIX exec"},
	"command":          {comment: "POSIX command"},
	"builtin":          {comment: "bash builtin"},
	"caffeinate":       {args: "tw", comment: "caffeinate(8)"},
	"arch":             {comment: "arch(1) on macOS"},
	"proot":            {args: "rbwSR", comment: "proot(1)"},
	"fakeroot":         {args: "lsib", comment: "fakeroot(1)"},
	"firejail":         {comment: "firejail(1)"},
	"faketime":         {args: "f", skip: 1, comment: "faketime(1)"},
	"cpulimit":         {args: "lpe", comment: "cpulimit(1)"},
	"ssh-agent":        {args: "at", comment: "ssh-agent(1)"},
	"dbus-run-session": {long: []string{"--config-file"}, comment: "dbus-run-session(1)"},
}

// unwrap hands on to what c runs and reports whether it did. Wrappers that run
// nothing (sudo -l) are ordinary commands.
func (p *parser) unwrap(tool string, c dialect.Simple, s scope, depth int) bool {
	args := c.Argv[1:]
	switch {
	case tool == "cmd":
		return p.unwrapCmd(c, s, depth)
	case tool == "powershell":
		return p.unwrapPowerShell(c, s, depth)
	case s.lang == langPowerShell && (tool == "invoke-expression" || tool == "iex"):
		text := c.Stdin
		if v := positional(args, "command"); v != "" {
			text = v
		}
		if text == "" {
			return false
		}
		in := s.inside("invoke-expression").marked(dialect.InvokeString)
		p.text(text, in, depth+1)
		return true
	case s.lang == langPowerShell && (tool == "start-process" || tool == "start-job" || tool == "invoke-wmimethod" || tool == "invoke-cimmethod" || tool == "set-wmiinstance"):
		return p.unwrapCmdlet(tool, args, s, depth)
	}
	if p.win || s.lang == langCmd || s.lang == langPowerShell {
		if p.unwrapWindowsTool(tool, c, s, depth) {
			return true
		}
	}
	if s.lang == langPowerShell && tool != "ssh" && tool != "bash" && tool != "sh" && tool != "wsl" {
		return false
	}
	return p.unwrapUnix(tool, c, s, depth)
}

func (p *parser) unwrapCmd(c dialect.Simple, s scope, depth int) bool {
	in := s.inside("cmd")
	line := c.Line
	if line == "" {
		line = windowsLine(c.Argv)
	}
	// cmd reads its own command line: everything behind /c or /k is text.
	rest := winargv.Tail(line, 1)
	for {
		rest = strings.TrimLeft(rest, " \t,;=")
		if len(rest) < 2 || rest[0] != '/' && rest[0] != '-' {
			break
		}
		sw := rest[1] | 0x20
		switch sw {
		case 'c', 'k', 'r':
			text := strings.TrimSpace(rest[2:])
			in.lang = langCmd
			p.text(stripOuterQuotes(text), in, depth+1)
			return true
		case 'v':
			in.delayed = !strings.HasPrefix(strings.ToLower(rest), "/v:off")
		}
		end := strings.IndexAny(rest[1:], " \t/,;=")
		if end < 0 {
			break
		}
		rest = rest[1+end:]
	}
	// "%COMSPEC% echo /c ..." and typed "cmd dir": nothing is run unless text
	// arrives on standard input.
	if c.Stdin != "" {
		in.lang = langCmd
		p.text(c.Stdin, in, depth+1)
		return true
	}
	return false
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

func (p *parser) unwrapPowerShell(c dialect.Simple, s scope, depth int) bool {
	inv, ok := powershell.ParseCommandLine(c.Argv, &p.budget)
	if !ok {
		return false
	}
	in := s.inside("powershell")
	in.lang = langPowerShell
	in.hidden = in.hidden || inv.HiddenWindow
	if inv.Encoded {
		in = in.marked(dialect.Encoded)
	}
	text := inv.Script
	if text == "" && c.Stdin != "" {
		text = c.Stdin
	}
	if text == "" {
		return false
	}
	if inv.File == "" {
		p.text(text, in, depth+1)
		return true
	}
	return false
}

// unwrapCmdlet handles the cmdlets that start a process from their arguments.
func (p *parser) unwrapCmdlet(tool string, args []string, s scope, depth int) bool {
	in := s.inside(tool)
	in.lang = langWords
	switch tool {
	case "start-process":
		file := namedArg(args, "filepath", "pspath")
		rest := positionals(args)
		if file == "" && len(rest) > 0 {
			file, rest = rest[0], rest[1:]
		}
		list := namedArg(args, "argumentlist", "args")
		if list == "" && len(rest) > 0 {
			list = rest[0]
		}
		if file == "" {
			return false
		}
		if strings.EqualFold(namedArg(args, "windowstyle"), "hidden") {
			in.hidden = true
		}
		line := file + " " + strings.ReplaceAll(list, ",", " ")
		p.run(dialect.Simple{Argv: winargv.Split(line), Line: line, Raw: line, Next: -1}, in, depth+1)
		return true
	case "start-job":
		return false
	}
	// Invoke-WmiMethod -Class Win32_Process -Name Create -ArgumentList "cmd"
	class := strings.ToLower(namedArg(args, "class", "classname", "path"))
	method := strings.ToLower(namedArg(args, "name", "methodname"))
	rest := positionals(args)
	if class == "" && len(rest) > 0 {
		class, rest = strings.ToLower(rest[0]), rest[1:]
	}
	if method == "" && len(rest) > 0 {
		method, rest = strings.ToLower(rest[0]), rest[1:]
	}
	if !strings.HasSuffix(class, "win32_process") || method != "create" {
		return false
	}
	line := namedArg(args, "argumentlist", "arguments")
	if line == "" && len(rest) > 0 {
		line = rest[0]
	}
	if i := strings.IndexByte(line, '='); strings.HasPrefix(line, "@{") && i > 0 {
		line = strings.Trim(strings.TrimRight(strings.TrimSpace(line[i+1:]), "}"), `"' `)
	}
	if line == "" {
		return false
	}
	if h := remoteName(namedArg(args, "computername", "cn")); h != "" {
		in.remote = h
	}
	p.run(dialect.Simple{Argv: winargv.Split(line), Line: line, Raw: line, Next: -1}, in, depth+1)
	return true
}

// unwrapWindowsTool handles the programs of Windows that run a command line.
func (p *parser) unwrapWindowsTool(tool string, c dialect.Simple, s scope, depth int) bool {
	line := c.Line
	if line == "" {
		line = windowsLine(c.Argv)
	}
	argv := winargv.Split(line)
	if len(argv) != len(c.Argv) {
		argv = c.Argv
		line = windowsLine(argv)
	}
	rest := func(n int) bool {
		tail := strings.TrimSpace(winargv.Tail(line, n))
		if tail == "" {
			return false
		}
		in := s.inside(tool)
		in.lang = langWords
		if strings.HasPrefix(tail, `"`) && len(winargv.Split(tail)) == 1 {
			tail = winargv.Split(tail)[0] // one quoted word that is a whole command line
		}
		p.run(dialect.Simple{Argv: winargv.Split(tail), Line: tail, Raw: tail, Next: -1, Marks: nil}, in, depth+1)
		return true
	}
	args := argv[1:]
	switch tool {
	case "psexec", "paexec", "remcom", "csexec", "psexesvc":
		i := 0
		for i < len(args) {
			a := args[i]
			switch {
			case strings.HasPrefix(a, `\\`) || strings.HasPrefix(a, "@"):
				if h := remoteName(a); h != "" {
					s.remote = h
				}
				i++
			case strings.HasPrefix(a, "-") || strings.HasPrefix(a, "/"):
				switch strings.ToLower(strings.TrimLeft(a, "-/")) {
				case "u", "p", "n", "r", "w", "a", "g", "to", "rlo", "lo", "csrc", "clist", "user", "pwd":
					if strings.EqualFold(strings.TrimLeft(a, "-/"), "u") && i+1 < len(args) {
						s.user = args[i+1]
					}
					i++
				}
				i++
			default:
				return rest(i + 1)
			}
		}
		return false
	case "winrs":
		for i := 0; i < len(args); i++ {
			a := args[i]
			if !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "/") {
				in := s.inside(tool)
				in.lang = langCmd
				p.text(strings.TrimSpace(winargv.Tail(line, i+1)), in, depth+1)
				return true
			}
			k, v, _ := strings.Cut(a[1:], ":")
			switch strings.ToLower(k) {
			case "r", "remote":
				if u := strings.TrimPrefix(strings.TrimPrefix(v, "//"), "https://"); u != "" {
					v = strings.TrimPrefix(u, "http://")
				}
				s.remote = remoteName(v)
			case "u", "username":
				s.user = v
			}
		}
		return false
	case "wmic":
		h, i := wmicGlobals(args)
		if h != "" {
			s.remote = h
		}
		if i+2 < len(args) && (strings.EqualFold(args[i], "process") || strings.EqualFold(args[i], "path") || strings.EqualFold(args[i], "class")) {
			j := i + 1
			if !strings.EqualFold(args[i], "process") {
				if !strings.EqualFold(args[j], "win32_process") {
					return false
				}
				j++
			}
			if j+2 < len(args) && strings.EqualFold(args[j], "call") && strings.EqualFold(args[j+1], "create") {
				in := s.inside(tool)
				in.lang = langWords
				text := strings.TrimSpace(strings.Join(args[j+2:], " "))
				p.run(dialect.Simple{Argv: winargv.Split(text), Line: text, Raw: text, Next: -1}, in, depth+1)
				return true
			}
		}
		return false
	case "runas":
		for i := 0; i < len(args); i++ {
			if strings.HasPrefix(args[i], "/") || strings.HasPrefix(args[i], "-") {
				if k, v, ok := strings.Cut(args[i][1:], ":"); ok && strings.EqualFold(k, "user") {
					s.user = v
				}
				continue
			}
			return rest(i + 1)
		}
		return false
	case "forfiles":
		for i, a := range args {
			if strings.EqualFold(a, "/c") && i+1 < len(args) {
				in := s.inside(tool)
				in.lang = langWords
				p.run(dialect.Simple{Argv: winargv.Split(args[i+1]), Line: args[i+1], Raw: args[i+1], Next: -1}, in, depth+1)
				return true
			}
		}
		return false
	case "pcalua":
		var prog, a string
		for i := 0; i+1 < len(args); i++ {
			switch strings.ToLower(args[i]) {
			case "-a":
				prog = args[i+1]
			case "-c":
				a = args[i+1]
			}
		}
		if prog == "" {
			return false
		}
		in := s.inside(tool)
		in.lang = langWords
		t := prog + " " + a
		p.run(dialect.Simple{Argv: winargv.Split(t), Line: t, Raw: t, Next: -1}, in, depth+1)
		return true
	case "conhost":
		i := 0
		for i < len(args) && (strings.HasPrefix(args[i], "--") || strings.HasPrefix(args[i], "0x")) {
			i++
		}
		return rest(i + 1)
	case "start":
		i := 0
		for i < len(args) && strings.HasPrefix(args[i], "/") {
			i++
		}
		return rest(i + 1)
	case "wsl", "bash":
		if tool == "bash" && !p.win {
			return false
		}
		if tool == "bash" {
			return p.unwrapUnix(tool, c, s, depth)
		}
		i := 0
		for i < len(args) && strings.HasPrefix(args[i], "-") {
			switch args[i] {
			case "-d", "--distribution", "-u", "--user", "--cd":
				i++
			case "--", "-e", "--exec":
				i++
				goto found
			}
			i++
		}
	found:
		if i >= len(args) {
			return false
		}
		in := s.inside(tool)
		in.lang = langPOSIX
		p.text(strings.Join(args[i:], " "), in, depth+1)
		return true
	}
	return false
}

// wmicGlobals reads the switches before wmic's alias: the remote node and the
// index of the first word that is not one.
func wmicGlobals(args []string) (remote string, next int) {
	for next < len(args) {
		a := args[next]
		if !strings.HasPrefix(a, "/") && !strings.HasPrefix(a, "-") {
			return remote, next
		}
		k, v, ok := strings.Cut(a[1:], ":")
		if strings.EqualFold(k, "node") {
			if !ok || v == "" {
				if next+1 < len(args) {
					next++
					v = strings.TrimPrefix(args[next], ":")
				}
			}
			if h := remoteName(strings.Split(v, ",")[0]); h != "" {
				remote = h
			}
		}
		next++
	}
	return remote, next
}

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

// unwrapUnix handles shells, wrappers and interpreters of POSIX systems.
func (p *parser) unwrapUnix(tool string, c dialect.Simple, s scope, depth int) bool {
	args := c.Argv[1:]
	if isShell(tool) {
		return p.unwrapShell(tool, c, s, depth)
	}
	switch tool {
	case "eval":
		if len(args) == 0 {
			return false
		}
		in := s.inside("eval").marked(dialect.InvokeString)
		in.lang = langPOSIX
		p.text(strings.Join(args, " "), in, depth+1)
		return true
	case "trap":
		if len(args) < 2 || args[0] == "-" || strings.HasPrefix(args[0], "-") {
			return false
		}
		in := s.inside("trap")
		in.lang = langPOSIX
		p.text(args[0], in, depth+1)
		return true
	case "su":
		return p.unwrapSu(args, s, depth)
	case "script":
		return p.unwrapScript(args, s, depth)
	case "busybox", "toybox":
		if len(args) == 0 || strings.HasPrefix(args[0], "-") {
			return false
		}
		p.run(dialect.Simple{Argv: args, Raw: c.Raw, Next: -1, Stdin: c.Stdin}, s.inside(tool), depth+1)
		return true
	case "ssh", "sshpass", "autossh", "dropbear", "dbclient":
		return p.unwrapSSH(tool, args, s, depth)
	case "docker", "podman", "nerdctl", "kubectl", "oc", "lxc", "crictl", "lxc-attach", "machinectl", "ctr", "incus":
		return p.unwrapContainer(tool, args, s, depth)
	case "find", "fd":
		p.unwrapFindExec(tool, c, s, depth)
		return false // the search itself counts too
	case "at", "batch":
		if c.Stdin == "" {
			return false
		}
		in := s.inside(tool)
		in.lang = langPOSIX
		p.text(c.Stdin, in, depth+1)
		return true
	case "launchctl":
		if len(args) > 2 && (args[0] == "asuser" || args[0] == "bsexec") {
			in := s.inside(tool)
			p.run(dialect.Simple{Argv: args[2:], Raw: c.Raw, Next: -1}, in, depth+1)
			return true
		}
		return false
	case "osascript":
		for i := 0; i+1 < len(args); i++ {
			if args[i] != "-e" {
				continue
			}
			if text, ok := appleShellScript(args[i+1]); ok {
				in := s.inside(tool)
				in.lang = langPOSIX
				p.text(text, in, depth+1)
				return true
			}
		}
		return false
	}
	if isScriptLanguage(tool) {
		for i, a := range args {
			if !strings.HasPrefix(a, "-") {
				if p.unwrapScriptFile(tool, args[i:], c, s, depth) {
					return true
				}
				break
			}
		}
	}
	if lang, text, ok := oneLiner(tool, args, c.Stdin); ok {
		calls := script.Commands(lang, text, &p.budget)
		in := s.inside(tool)
		for _, call := range calls {
			in := in.marked(call.Marks...)
			if call.Text != "" {
				in.lang = langPOSIX
				if p.win {
					in.lang = langCmd
				}
				p.text(call.Text, in, depth+1)
			} else if len(call.Argv) > 0 {
				in.lang = langWords
				p.run(dialect.Simple{Argv: call.Argv, Raw: c.Raw, Next: -1}, in, depth+1)
			}
		}
		return len(calls) > 0
	}
	w, ok := unixWrappers[tool]
	if !ok {
		return false
	}
	return p.unwrapGeneric(tool, w, c, s, depth)
}

// isScriptLanguage reports interpreters whose scripts are programs by themselves.
func isScriptLanguage(tool string) bool {
	return strings.HasPrefix(tool, "python") || strings.HasPrefix(tool, "perl") || strings.HasPrefix(tool, "ruby")
}

// oneLiner finds the program text in an interpreter's arguments.
func oneLiner(tool string, args []string, stdin string) (lang, text string, ok bool) {
	var flags string
	switch {
	case strings.HasPrefix(tool, "python") || strings.HasPrefix(tool, "pypy"):
		lang, flags = "python", "c"
	case strings.HasPrefix(tool, "perl"):
		lang, flags = "perl", "eE"
	case strings.HasPrefix(tool, "ruby"):
		lang, flags = "ruby", "e"
	case strings.HasPrefix(tool, "php"):
		lang, flags = "php", "r"
	case tool == "node" || tool == "nodejs":
		lang, flags = "node", "e"
	case strings.HasPrefix(tool, "lua"):
		lang, flags = "lua", "e"
	case tool == "awk" || tool == "gawk" || tool == "mawk" || tool == "nawk":
		for i := 0; i < len(args); i++ {
			if strings.HasPrefix(args[i], "-") {
				if args[i] == "-v" || args[i] == "-F" || args[i] == "-f" {
					i++
				}
				continue
			}
			return "awk", args[i], true
		}
		return "", "", false
	default:
		return "", "", false
	}
	for i, a := range args {
		if !strings.HasPrefix(a, "-") {
			break
		}
		if strings.HasPrefix(a, "--") {
			if (a == "--eval" || a == "--execute") && i+1 < len(args) {
				return lang, args[i+1], true
			}
			continue
		}
		j := strings.IndexAny(a, flags)
		if j < 1 {
			continue
		}
		if j+1 < len(a) && (lang == "python" || lang == "php" || lang == "lua") {
			return lang, a[j+1:] + join(args[i+1:]), true
		}
		if i+1 < len(args) {
			// Joined words lose the quotes around the program text: what follows is
			// part of it as far as anybody can tell.
			return lang, strings.Join(args[i+1:], " "), true
		}
	}
	if stdin != "" {
		return lang, stdin, true
	}
	return "", "", false
}

func join(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return " " + strings.Join(args, " ")
}

func appleShellScript(text string) (string, bool) {
	const marker = "do shell script"
	i := strings.Index(strings.ToLower(text), marker)
	if i < 0 {
		return "", false
	}
	rest := strings.TrimSpace(text[i+len(marker):])
	if len(rest) < 2 || rest[0] != '"' {
		return "", false
	}
	var b strings.Builder
	for j := 1; j < len(rest); j++ {
		switch {
		case rest[j] == '\\' && j+1 < len(rest):
			j++
			b.WriteByte(rest[j])
		case rest[j] == '"':
			return b.String(), true
		default:
			b.WriteByte(rest[j])
		}
	}
	return b.String(), true
}

func (p *parser) unwrapShell(tool string, c dialect.Simple, s scope, depth int) bool {
	args := c.Argv[1:]
	in := s.inside(tool)
	outer := s.lang
	in.lang = langPOSIX
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "-o" || a == "+o" || a == "-O" || a == "+O" || a == "--rcfile" || a == "--init-file" {
			i++
			continue
		}
		if strings.HasPrefix(a, "--") || a == "-" {
			continue
		}
		if !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "+") {
			return p.unwrapScriptFile(tool, args[i:], c, s, depth)
		}
		if !strings.Contains(a, "c") {
			continue
		}
		if i+1 >= len(args) {
			return false
		}
		text := args[i+1]
		if text == "--" && i+2 < len(args) {
			i++
			text = args[i+1]
		}
		// A joined command line has lost the quotes around the script: all the
		// rest belongs to it, unless quoting kept it in one word.
		if outer == langWords && len(args) > i+2 && !strings.ContainsAny(text, " \t;|&\n") {
			text = strings.Join(args[i+1:], " ")
		}
		p.text(text, in, depth+1)
		return true
	}
	if c.Stdin != "" {
		p.text(c.Stdin, in, depth+1)
		return true
	}
	for _, r := range c.Redirects {
		if r.Op == "<<<" {
			p.text(r.Target, in, depth+1)
			return true
		}
	}
	return false
}

// unwrapScriptFile handles a script that is a tool by itself: service, invoke-rc.d
// and others are programs to people and "/bin/sh /usr/sbin/service" to the kernel.
func (p *parser) unwrapScriptFile(interpreter string, argv []string, c dialect.Simple, s scope, depth int) bool {
	if _, ok := tools[unixBase(argv[0])]; !ok || !strings.Contains(argv[0], "/") {
		return false
	}
	p.run(dialect.Simple{Argv: argv, Raw: c.Raw, Next: -1, Stdin: c.Stdin, Redirects: c.Redirects}, s.inside(interpreter), depth+1)
	return true
}

func (p *parser) unwrapSu(args []string, s scope, depth int) bool {
	in := s.inside("su")
	in.lang = langPOSIX
	in.user = "root"
	text := ""
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-c" || a == "--command" || a == "--session-command":
			if i+1 < len(args) {
				text = args[i+1]
				if s.lang == langWords && !strings.ContainsAny(text, " \t") {
					// quoting lost: up to a trailing user name nobody can tell
					text = strings.Join(args[i+1:], " ")
					i = len(args)
				}
				i++
			}
		case strings.HasPrefix(a, "--command="):
			text = strings.TrimPrefix(a, "--command=")
		case a == "-s" || a == "--shell" || a == "-g" || a == "-G" || a == "-w":
			i++
		case a == "-" || strings.HasPrefix(a, "-"):
		default:
			in.user = a
		}
	}
	if text == "" {
		return false
	}
	p.text(text, in, depth+1)
	return true
}

func (p *parser) unwrapScript(args []string, s scope, depth int) bool {
	in := s.inside("script")
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-c" || a == "--command":
			if i+1 < len(args) {
				in.lang = langPOSIX
				text := args[i+1]
				if s.lang == langWords && !strings.ContainsAny(text, " \t") {
					text = strings.Join(args[i+1:], " ")
				}
				p.text(text, in, depth+1)
				return true
			}
		case strings.HasPrefix(a, "-") && strings.HasSuffix(a, "c") && !strings.HasPrefix(a, "--") && i+1 < len(args):
			in.lang = langPOSIX
			p.text(args[i+1], in, depth+1)
			return true
		case strings.HasPrefix(a, "--command="):
			in.lang = langPOSIX
			p.text(strings.TrimPrefix(a, "--command="), in, depth+1)
			return true
		case strings.HasPrefix(a, "-"):
			if a == "-t" || a == "-F" || a == "-I" || a == "-O" || a == "-B" || a == "-T" || a == "-m" || a == "-o" || a == "-E" {
				i++
			}
		default:
			// BSD: script [file [command ...]]
			if i+1 < len(args) {
				p.run(dialect.Simple{Argv: args[i+1:], Next: -1, Raw: strings.Join(args[i+1:], " ")}, in, depth+1)
				return true
			}
			return false
		}
	}
	return false
}

// unwrapSSH reads ssh's options by letter; what follows the host is shell text of
// the remote machine.
func (p *parser) unwrapSSH(tool string, args []string, s scope, depth int) bool {
	const withValue = "BbcDEeFIiJLlmOoPpQRSWw"
	i := 0
	if tool == "sshpass" {
		for i < len(args) && strings.HasPrefix(args[i], "-") {
			if strings.ContainsAny(args[i], "pfdP") && len(args[i]) == 2 && args[i] != "-e" {
				i++
			}
			i++
		}
		if i >= len(args) {
			return false
		}
		p.run(dialect.Simple{Argv: args[i:], Raw: strings.Join(args[i:], " "), Next: -1}, s.inside(tool), depth+1)
		return true
	}
	in := s.inside("ssh")
	for i < len(args) && strings.HasPrefix(args[i], "-") {
		a := args[i]
		if a == "--" {
			i++
			break
		}
		for j := 1; j < len(a); j++ {
			if strings.IndexByte(withValue, a[j]) >= 0 {
				value := a[j+1:]
				if value == "" && i+1 < len(args) {
					i++
					value = args[i]
				}
				if a[j] == 'l' {
					in.user = value
				}
				break
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
	if i+1 >= len(args) {
		return false
	}
	in.lang = langPOSIX
	p.text(strings.Join(args[i+1:], " "), in, depth+1)
	return true
}

// unwrapContainer handles "exec" of container tools: the command runs inside.
func (p *parser) unwrapContainer(tool string, args []string, s scope, depth int) bool {
	in := s.inside(tool)
	if tool == "lxc-attach" || tool == "kubectl" || tool == "oc" || tool == "lxc" || tool == "incus" {
		for i, a := range args {
			if a == "--" && i+1 < len(args) && (tool == "lxc-attach" || contains(args[:i], "exec")) {
				p.run(dialect.Simple{Argv: args[i+1:], Raw: strings.Join(args[i+1:], " "), Next: -1}, in, depth+1)
				return true
			}
		}
	}
	i := 0
	for i < len(args) && args[i] != "exec" && args[i] != "shell" && args[i] != "run" {
		i++
	}
	if i >= len(args) || tool == "machinectl" && args[i] != "shell" {
		return false
	}
	i++
	for i < len(args) && strings.HasPrefix(args[i], "-") {
		if !strings.Contains(args[i], "=") {
			switch args[i] {
			case "-e", "--env", "-u", "--user", "-w", "--workdir", "--env-file", "--detach-keys", "-c", "--container", "-n", "--namespace", "-v", "--volume", "--name", "-p", "--publish", "--network", "--entrypoint", "-M", "--pid", "--ipc", "--mount", "-h", "--hostname":
				if (args[i] == "-u" || args[i] == "--user") && i+1 < len(args) {
					in.user = args[i+1]
				}
				i++
			}
		}
		i++
	}
	i++ // the container, pod or image
	if i < len(args) && args[i] == "--" {
		i++
	}
	if i >= len(args) {
		return false
	}
	p.run(dialect.Simple{Argv: args[i:], Raw: strings.Join(args[i:], " "), Next: -1}, in, depth+1)
	return true
}

// unwrapFindExec runs what find -exec runs, once.
func (p *parser) unwrapFindExec(tool string, c dialect.Simple, s scope, depth int) {
	args := c.Argv[1:]
	for i, a := range args {
		switch a {
		case "-exec", "-execdir", "-ok", "-okdir", "-x", "--exec":
			end := i + 1
			for end < len(args) && args[end] != ";" && args[end] != "+" && args[end] != `\;` {
				end++
			}
			if end > i+1 {
				p.run(dialect.Simple{Argv: args[i+1 : end], Raw: strings.Join(args[i+1:end], " "), Next: -1}, s.inside(tool), depth+1)
			}
			return
		}
	}
}

// unwrapGeneric walks a wrapper's options by its description.
func (p *parser) unwrapGeneric(tool string, w unixWrapper, c dialect.Simple, s scope, depth int) bool {
	args := c.Argv[1:]
	in := s.inside(tool)
	if tool == "sudo" {
		in.user = "root"
	}
	i := 0
options:
	for i < len(args) {
		a := args[i]
		switch {
		case a == "--":
			i++
			break options
		case strings.HasPrefix(a, "--"):
			name, value, has := strings.Cut(a, "=")
			if !has && contains(w.long, name) && i+1 < len(args) {
				i++
				value = args[i]
			}
			switch name {
			case "--user", "--uid", "--reuid":
				in.user = value
			case "--split-string":
				in.lang = langPOSIX
				p.text(value+join(args[i+1:]), in, depth+1)
				return true
			case "--command":
				if w.shell != "" {
					in.lang = langPOSIX
					p.text(value, in, depth+1)
					return true
				}
			case "--host", "--machine":
				if tool == "systemd-run" {
					in.remote = remoteName(value)
				}
			}
			i++
		case len(a) > 1 && a[0] == '-':
			if tool == "sudo" && (a == "-l" || a == "-v" || a == "-k" || a == "-K" || a == "-V") {
				return false
			}
			if tool == "command" && (a == "-v" || a == "-V") {
				return false
			}
			for j := 1; j < len(a); j++ {
				letter := a[j : j+1]
				if w.shell != "" && letter == w.shell {
					if i+1 >= len(args) {
						return false
					}
					in.lang = langPOSIX
					text := args[i+1]
					if s.lang == langWords && !strings.ContainsAny(text, " \t") {
						text = strings.Join(args[i+1:], " ")
					}
					p.text(text, in, depth+1)
					return true
				}
				if strings.Contains(w.args, letter) {
					value := a[j+1:]
					if value == "" && i+1 < len(args) && !(tool == "xargs" && (letter == "i" || letter == "I" && j+1 < len(a))) {
						i++
						value = args[i]
					}
					if letter == w.user {
						in.user = value
					}
					if tool == "env" && letter == "S" {
						in.lang = langPOSIX
						p.text(value+join(args[i+1:]), in, depth+1)
						return true
					}
					break
				}
			}
			i++
		case w.assign && strings.Contains(a, "=") && !strings.HasPrefix(a, "/") && !strings.HasPrefix(a, "="):
			i++
		default:
			break options
		}
	}
	i += w.skip
	if tool == "flock" && i < len(args) && (args[i] == "-c" || args[i] == "--command") && i+1 < len(args) {
		in.lang = langPOSIX
		p.text(strings.Join(args[i+1:], " "), in, depth+1)
		return true
	}
	if i >= len(args) {
		return false
	}
	if tool == "runuser" {
		// runuser [-] user -c text has no command words of its own
		for j := i; j+1 < len(args); j++ {
			if args[j] == "-c" {
				in.user, in.lang = args[i], langPOSIX
				p.text(strings.Join(args[j+1:], " "), in, depth+1)
				return true
			}
		}
	}
	if w.joined {
		in.lang = langPOSIX
		p.text(strings.Join(args[i:], " "), in, depth+1)
		return true
	}
	next := dialect.Simple{Argv: args[i:], Raw: c.Raw, Next: -1, Stdin: c.Stdin, Redirects: c.Redirects}
	if tool == "parallel" && strings.Contains(args[i], " ") {
		in.lang = langPOSIX
		p.text(strings.Join(args[i:], " "), in, depth+1)
		return true
	}
	p.run(next, in, depth+1)
	return true
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
