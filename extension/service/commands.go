package service

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// program looks at what kind of program runs and, where it runs others, at what
// it is told to run.
func (f *finder) program(driver bool) {
	if driver {
		return
	}
	p := programs[f.img.Base]
	if (p.class == classProxy || p.class == classNoService) && strings.HasPrefix(f.img.lower, `c:\program files`) {
		p.class = classNone // a vendor's program of the same name
	}
	what := show(baseName(f.img.Program))
	switch p.class {
	case classShell:
		switch {
		case f.img.Args == "":
			f.add("no_service", 1, "%s without a command: %s is no service", what, p.is)
		case f.trusted():
			f.add("shell_program", 0.8, "%s, %s, runs a script that only administrators can change", what, p.is)
		default:
			f.add("shell_program", 1, "%s is %s", what, p.is)
		}
	case classScript:
		scale := 1.0
		if f.trusted() {
			scale = 0.8
		}
		f.add("script_program", scale, "%s is %s", what, p.is)
	case classProxy:
		f.add("proxy_program", 1, "%s %s", what, p.is)
	case classRuntime:
		if inlineCode(f.img.Args) {
			f.add("inline_code", 1, "%s runs code of its command line", p.is)
		}
	case classWrapper:
		f.add("service_wrapper", 1, "%s turns any program into a service", p.is)
	case classNoService:
		f.add("no_service", 1, "%s is %s and never a service", what, p.is)
	}
	if p.class == classNone || p.class == classWrapper {
		if f.img.Args == "" || !interesting(f.img.Args) {
			return
		}
	}
	if p.class == classNoService && f.img.Args == "" {
		return
	}
	f.commands(p.class)
}

// trusted reports whether a script host is given nothing but a script that lies
// where only administrators write.
func (f *finder) trusted() bool {
	args := strings.ToLower(clip(f.img.Args, 1024))
	if strings.ContainsAny(args, "|<>&") {
		return false
	}
	i := strings.Index(args, `:\`)
	if i < 1 {
		return false
	}
	rest := args[i+1:]
	for _, p := range []string{`\program files\`, `\program files (x86)\`, `\windows\system32\`, `\windows\ccm\`} {
		if strings.HasPrefix(rest, p) && strings.Count(args, `:\`) == 1 {
			return true
		}
	}
	return false
}

// inlineCode reports whether a runtime is given code instead of a file.
func inlineCode(args string) bool {
	for w := range strings.FieldsSeq(clip(args, 256)) {
		switch w {
		case "-c", "-e", "-r", "-E", "--eval", "-ec", "-ne", "-pe", "-":
			return true
		}
		if !strings.HasPrefix(w, "-") {
			return false
		}
	}
	return false
}

// interesting reports whether the arguments of an ordinary program may hold a
// command line.
func interesting(args string) bool {
	l := strings.ToLower(clip(args, 4096))
	for _, m := range []string{"powershell", "pwsh", "cmd.exe", "cmd ", "%comspec%", "mshta", "rundll32", "regsvr32", "wscript", "cscript", `\\.\pipe\`, " | ", " & ", "&&", "http://", "https://"} {
		if strings.Contains(l, m) {
			return true
		}
	}
	return false
}

// maxText bounds the text that is searched for what commands do.
const maxText = 64 << 10

// sign is one thing that a command line does, told by words in it.
type sign struct {
	factor string
	why    string
	// all of the words of one group must occur, in lower case text.
	groups [][]string
}

var signs = []sign{
	{"download", "it fetches what it runs from the network", [][]string{
		{"downloadstring"}, {"downloadfile"}, {"downloaddata"}, {"invoke-webrequest"}, {"iwr ", "http"}, {"irm ", "http"}, {"invoke-restmethod", "http"}, {"net.webclient"}, {"start-bitstransfer"},
		{"bitsadmin", "/transfer"}, {"certutil", "urlcache"}, {"certutil", "verifyctl"}, {"curl", "http", "-o"}, {"curl", "http", "|"}, {"wget", "http"}, {"mshta", "http"}, {"regsvr32", "/i:http"}, {"regsvr32", "http"}, {"msiexec", "http"}, {"rundll32", "http"},
		{"msxml2.xmlhttp"}, {"winhttp.winhttprequest"}, {"urlmon", "urldownloadtofile"}, {"scrobj.dll"}, {"wmic", "/format:", "http"},
	}},
	{"in_memory_code", "it runs code that is never a file", [][]string{
		{"frombase64string", "memorystream"}, {"frombase64string", "iex"}, {"frombase64string", "invoke-expression"}, {"frombase64string", "assembly"}, {"reflection.assembly", "load"}, {"virtualalloc"}, {"getdelegateforfunctionpointer"},
		{"gzipstream"}, {"deflatestream"}, {"iex", "new-object"}, {"[scriptblock]::create"}, {"invoke-mimikatz"}, {"amsiutils"}, {"scriptblocklogging"}, {"createthread"}, {"vbscript:"}, {"javascript:"}, {"marshal]::copy"},
	}},
	{"credential_access", "it reads stored credentials", [][]string{
		{"reg", "save", `hklm\sam`}, {"reg", "save", `hklm\security`}, {"reg", "save", `hklm\system`}, {"comsvcs", "minidump"}, {"comsvcs", "#24"}, {"comsvcs", "#+0"}, {"procdump", "lsass"}, {"-ma", "lsass"}, {"ntds.dit"}, {"ntdsutil", "ifm"}, {"sekurlsa"}, {"vssadmin", "create shadow"}, {"lsadump"}, {`\config\sam`}, {"/etc/shadow"},
	}},
	{"account_added", "it adds an account or a member of administrators", [][]string{
		{"net", " user ", "/add"}, {"net", "localgroup", "/add"}, {"net", " group ", "/add"}, {"new-localuser"}, {"add-localgroupmember"}, {"useradd "}, {"usermod ", "sudo"},
	}},
	{"defence_off", "it turns off defences or destroys the means of recovery", [][]string{
		{"vssadmin", "delete shadows"}, {"wbadmin", "delete"}, {"bcdedit", "recoveryenabled"}, {"bcdedit", "bootstatuspolicy"}, {"set-mppreference", "-disable"}, {"add-mppreference", "exclusion"}, {"sc", "stop", "windefend"}, {"net", "stop", "windefend"}, {"advfirewall", "state off"}, {"wevtutil", " cl "}, {"clear-eventlog"}, {"fdenytsconnections"}, {"disableantispyware"}, {"shadowcopy", "delete"}, {"disablerealtimemonitoring"},
	}},
	{"self_delete", "it deletes what it ran", [][]string{{"del ", ".bat"}, {"del /", ".exe"}, {"ping", " & del"}, {"ping", "&del"}, {"choice", "& del"}}},
	{"reverse_shell", "it hands a shell to the network", [][]string{
		{"/dev/tcp/"}, {"/dev/udp/"}, {"nc ", " -e "}, {"ncat ", " -e "}, {"nc ", "mkfifo"}, {"socket", "connect", "subprocess"}, {"socket", "connect", "dup2"}, {"socket", "pty.spawn"}, {"socat ", "exec:"}, {"bash -i", ">&"}, {"net.sockets.tcpclient"}, {"fsockopen", "exec"}, {"tcpsocket", "exec"}, {"use socket", "exec"}, {"openssl s_client", "|"},
	}},
}

// commands looks at the command lines that an interpreter or a program of Windows
// is handed.
func (f *finder) commands(c class) {
	line := clip(f.img.Line, maxText)
	res := cmdline.Parse(cmdline.Input{Text: line, Platform: evidence.Windows})
	lower := strings.ToLower(line)
	var more strings.Builder
	var ways []string
	hidden, encoded := false, false
	for i := range res.Commands {
		cmd := &res.Commands[i]
		hidden = hidden || cmd.HiddenWindow
		for _, m := range cmd.Obfuscation {
			switch m {
			case dialect.Encoded:
				encoded = true
			case dialect.InvokeString, dialect.Variable:
			default:
				if !has(ways, string(m)) {
					ways = append(ways, string(m))
				}
			}
		}
		if more.Len() < maxText && cmd.Depth > 0 {
			more.WriteByte('\n')
			more.WriteString(strings.ToLower(clip(cmd.Canonical, maxText)))
			more.WriteByte('\n')
			more.WriteString(strings.ToLower(clip(cmd.Raw, maxText)))
		}
		if cmd.Depth > 0 {
			f.inner(cmd)
		}
	}
	shell := powershellSwitches(line)
	hidden = hidden || shell.hidden || strings.Contains(lower, "start") && strings.Contains(lower, " /min ")
	encoded = encoded || shell.encoded
	if encoded {
		f.add("encoded", 1, "the command is encoded")
	}
	if len(ways) > 0 {
		f.add("obfuscated", 1, "the command is hidden: %s", strings.Join(ways, ", "))
	}
	if hidden {
		f.add("hidden_window", 1, "it asks for an invisible window")
	}
	more.WriteString(shell.decoded)
	text := lower + more.String()
	f.signs(text)
	f.pipe(lower, c)
	if c == classShell && strings.HasPrefix(f.img.Base, "cmd") && operators(f.img.Args) {
		f.add("shell_operators", 1, "several commands, pipes or redirections in one service: %s", show(f.img.Args))
	}
	if i := adminShare(text); i >= 0 {
		f.add("admin_share", 1, "it writes to or runs from an administrative share: %s", show(text[i:min(len(text), i+80)]))
	}
	f.payload(text)
}

func has(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// inner looks at a program that a wrapped command line runs.
func (f *finder) inner(cmd *cmdline.Command) {
	p := programs[cmd.Tool]
	switch p.class {
	case classProxy:
		f.add("proxy_program", 0.8, "it runs %s, which %s", show(cmd.Tool), p.is)
	case classScript:
		f.add("script_program", 0.8, "it runs %s, %s", show(cmd.Tool), p.is)
	case classRuntime:
		if inlineCode(strings.Join(cmd.Arguments, " ")) {
			f.add("inline_code", 1, "%s runs code of its command line", p.is)
		}
	}
}

// signs looks for what text does, by its words.
func (f *finder) signs(text string) {
	for _, s := range signs {
	groups:
		for _, g := range s.groups {
			for _, w := range g {
				if !containsWord(text, w) {
					continue groups
				}
			}
			f.add(s.factor, 1, "%s: %s", s.why, strings.TrimSpace(strings.Join(g, " ... ")))
			break
		}
	}
}

// containsWord reports whether w occurs in text, where it begins with a letter at
// the beginning of a word: "nc " is not in "rsync ".
func containsWord(text, w string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], w)
		if i < 0 {
			return false
		}
		i += from
		if i == 0 || symbol(w[0]) > symDigit || symbol(text[i-1]) > symDigit {
			return true
		}
		from = i + 1
	}
}

// pipe finds the way a service hands its token to a listener: it writes a word
// into a named pipe.
func (f *finder) pipe(lower string, c class) {
	i := strings.Index(lower, `\\.\pipe\`)
	if i < 0 {
		return
	}
	before := lower[:i]
	if strings.IndexByte(before, '>') >= 0 || c == classShell {
		f.add("named_pipe", 1, "a shell writes into the named pipe %s, so that whoever listens gets its rights (getsystem)", show(lower[i:min(len(lower), i+60)]))
	}
}

// operators reports whether text for cmd.exe joins or redirects commands outside
// quotes.
func operators(s string) bool {
	inside := false
	for i := 0; i < len(s) && i < maxText; i++ {
		switch s[i] {
		case '"':
			inside = !inside
		case '|', '&', '<', '>':
			if !inside {
				return true
			}
		}
	}
	// cmd /c "a & b" keeps its operators inside the quotes it takes off.
	return strings.Contains(s, " & ") || strings.Contains(s, "&&") || strings.Contains(s, " | ") || strings.Contains(s, " > ")
}

// adminShare is where lower-case text names an administrative share, or -1.
func adminShare(text string) int {
	for from := 0; ; {
		i := strings.Index(text[from:], `\\`)
		if i < 0 {
			return -1
		}
		i += from
		rest := clip(text[i+2:], 300)
		host, share, ok := strings.Cut(rest, `\`)
		if ok && host != "" && host != "." && host != "?" && !strings.ContainsAny(host, " \t\"'") {
			for _, s := range []string{"admin$", "c$", "d$", "ipc$"} {
				if strings.HasPrefix(share, s) {
					return i
				}
			}
		}
		from = i + 2
	}
}

// payload looks at the files a command line names: their places count like the
// program's own.
func (f *finder) payload(text string) {
	found := 0
	for i := 1; i+1 < len(text) && found < 32; i++ {
		if text[i] != ':' || text[i+1] != '\\' && text[i+1] != '/' || text[i-1] < 'a' || text[i-1] > 'z' || i > 1 && symbol(text[i-2]) < symDigit {
			continue
		}
		end := i
		for end < len(text) && end-i < 512 && !strings.ContainsRune("\"'<>|&;,)\n\t", rune(text[end])) && !(text[end] == ' ' && hasEnding(text[i-1:end])) {
			end++
		}
		found++
		path := clean(strings.ReplaceAll(strings.TrimSpace(text[i-1:end]), "/", `\`))
		if j := strings.IndexByte(path, ' '); j > 0 && !strings.HasPrefix(path, `c:\program files`) && !strings.HasPrefix(path, `c:\documents`) && !hasEnding(path) {
			path = path[:j]
		}
		switch p := windowsPlace(path, "", false); p.factor {
		case "user_directory", "temp_directory", "everybodys_directory":
			f.add(p.factor, p.scale, "it is handed %s: %s", show(path), p.why)
		case "drive_root", "odd_directory":
			if strings.HasSuffix(path, ".dll") || hasEnding(path) {
				f.add(p.factor, p.scale, "it is handed %s: %s", show(path), p.why)
			}
		}
		i = end
	}
}

// switches are what PowerShell's own switches say, also where what follows is no
// PowerShell that could be read.
type switches struct {
	hidden, encoded bool
	decoded         string // of -EncodedCommand, lower case
}

// powershellSwitches looks for the switches of any powershell in line.
func powershellSwitches(line string) switches {
	var s switches
	seen, prev := false, ""
	for w := range strings.FieldsSeq(line) {
		w = strings.Trim(w, `"'`)
		lower := strings.ToLower(clip(w, 64))
		if !seen {
			base := winargv.Base(clip2(lower, 64))
			seen = base == "powershell" || base == "pwsh"
			continue
		}
		switch {
		case isSwitch(prev, "encodedcommand", 1) && len(w) >= 16 && looksEncoded(w):
			s.encoded = true
			s.decoded += "\n" + decode(w)
		case isSwitch(prev, "windowstyle", 1) && (strings.HasPrefix("hidden", lower) && lower != "" || lower == "1"):
			s.hidden = true
		}
		prev = lower
	}
	return s
}

// isSwitch reports whether w is the switch name, shortened to no less than shortest
// letters: "-e", "/enc", "-EncodedCommand".
func isSwitch(w, name string, shortest int) bool {
	if len(w) < 1+shortest || w[0] != '-' && w[0] != '/' {
		return false
	}
	return strings.HasPrefix(name, w[1:]) || name == "encodedcommand" && w[1:] == "ec"
}

func looksEncoded(w string) bool {
	for i := 0; i < len(w); i++ {
		c := w[i]
		if symbol(c) > symDigit && c != '+' && c != '/' && c != '=' {
			return false
		}
	}
	return true
}

// decode reads base64 of UTF-16, as PowerShell takes it; text that is cut short is
// read as far as it goes.
func decode(w string) string {
	w = strings.TrimRight(clip(w, maxText), "=")
	raw, err := base64.RawStdEncoding.DecodeString(w[:len(w)-len(w)%4])
	if err != nil || len(raw) < 2 {
		return ""
	}
	units := make([]uint16, 0, len(raw)/2)
	for i := 0; i+1 < len(raw); i += 2 {
		units = append(units, uint16(raw[i])|uint16(raw[i+1])<<8)
	}
	return strings.ToLower(string(utf16.Decode(units)))
}
