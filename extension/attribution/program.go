package attribution

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/posix"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// clean reports whether a path says where a file is without detours: whole, with
// nothing that the file system would resolve to something else.
func clean(path string, p evidence.Platform) bool {
	if len(path) < 2 || len(path) > 4096 || strings.ContainsAny(path, "\x00\n\r") {
		return false
	}
	sep := "/"
	if p == evidence.Windows {
		if len(path) < 4 || path[1] != ':' || path[2] != '\\' || strings.ContainsAny(path[2:], `:/*?"<>|`) {
			return false
		}
		sep, path = `\`, path[3:]
	} else {
		if path[0] != '/' || strings.HasSuffix(path, " (deleted)") {
			return false
		}
		path = path[1:]
	}
	for part := range strings.SplitSeq(path, sep) {
		if part == "" || part == "." || part == ".." {
			return false
		}
		if p == evidence.Windows && strings.TrimRight(part, ". ") != part {
			return false // Windows leaves out what ends a name
		}
	}
	return true
}

// Directories in which by default only root, or SYSTEM and administrators, write,
// and exceptions below them. Windows' are lower case.
var (
	rootOnlyLinux   = []string{"/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/", "/opt/", "/etc/", "/snap/", "/nix/store/", "/var/lib/waagent/", "/var/lib/amazon/", "/var/lib/cloud/", "/var/cfengine/", "/var/ossec/", "/var/opt/BESClient/"}
	rootOnlyDarwin  = []string{"/System/", "/usr/", "/bin/", "/sbin/", "/opt/", "/Library/Apple/", "/Library/Application Support/JAMF/", "/Library/Tanium/", "/Library/BESAgent/", "/Library/NessusAgent/", "/Library/Ossec/", "/Library/Intune/", "/Library/Kandji/", "/Library/Addigy/"}
	rootOnlyWindows = []string{`c:\windows\system32\`, `c:\windows\syswow64\`, `c:\windows\servicing\`, `c:\windows\winsxs\`, `c:\windows\ccm\`, `c:\windows\ccmcache\`, `c:\windows\ccmsetup\`, `c:\windows\imecache\`, `c:\windows\ltsvc\`, `c:\windowsazure\`, `c:\program files\`, `c:\program files (x86)\`}

	otherLinux   = []string{"/usr/tmp/", "/usr/games/"}
	otherDarwin  = []string{"/usr/local/", "/opt/homebrew/", "/System/Volumes/"}
	againDarwin  = []string{"/usr/local/jamf/", "/usr/local/qualys/", "/usr/local/kolide-k2/", "/usr/local/munki/"}
	otherWindows = []string{`c:\windows\system32\tasks\`, `c:\windows\system32\spool\`, `c:\windows\system32\com\dmp\`, `c:\windows\system32\microsoft\crypto\`, `c:\windows\system32\fxstmp\`, `c:\windows\system32\catroot2\`, `c:\windows\system32\config\`, `c:\windows\syswow64\tasks\`, `c:\windows\syswow64\com\dmp\`, `c:\windows\syswow64\fxstmp\`}
)

// rootOnly reports whether a path lies where by default only root or SYSTEM
// writes.
func rootOnly(path string, p evidence.Platform) bool {
	if !clean(path, p) {
		return false
	}
	switch p {
	case evidence.Windows:
		l := strings.ToLower(path)
		return under(l, rootOnlyWindows) && !under(l, otherWindows)
	case evidence.Darwin:
		return under(path, rootOnlyDarwin) && (!under(path, otherDarwin) || under(path, againDarwin))
	case evidence.Linux:
		return under(path, rootOnlyLinux) && !under(path, otherLinux)
	}
	return false
}

func under(path string, dirs []string) bool {
	for _, d := range dirs {
		if strings.HasPrefix(path, d) {
			return true
		}
	}
	return false
}

// base is the name of the program at path, lower case, without .exe.
func base(path string) string { return winargv.Base(path) }

// A dialect is how an interpreter is told what to run.
type dialect int8

const (
	notInterpreter dialect = iota
	shell
	python
	perl
	ruby
	powershell
	cmdExe
	scriptHost
	otherRuntime // what it runs is not looked for
)

var interpreters = map[string]dialect{
	"sh": shell, "bash": shell, "dash": shell, "zsh": shell, "ksh": shell, "ash": shell, "mksh": shell, "rbash": shell, "busybox": otherRuntime, "fish": otherRuntime, "csh": otherRuntime, "tcsh": otherRuntime,
	"python": python, "pythonw": python, "pypy": python, "py": otherRuntime, "perl": perl, "ruby": ruby, "rubyw": ruby,
	"powershell": powershell, "pwsh": powershell, "cmd": cmdExe, "wscript": scriptHost, "cscript": scriptHost,
	"mshta": otherRuntime, "rundll32": otherRuntime, "regsvr32": otherRuntime, "msbuild": otherRuntime, "installutil": otherRuntime, "forfiles": otherRuntime, "pcalua": otherRuntime, "conhost": otherRuntime, "dllhost": otherRuntime, "msiexec": otherRuntime,
	"php": otherRuntime, "node": otherRuntime, "java": otherRuntime, "javaw": otherRuntime, "lua": otherRuntime, "osascript": otherRuntime, "tclsh": otherRuntime, "gawk": otherRuntime, "awk": otherRuntime, "mawk": otherRuntime, "deno": otherRuntime, "autoit3": otherRuntime, "dotnet": otherRuntime, "expect": otherRuntime, "gdb": otherRuntime, "make": otherRuntime, "ssh": otherRuntime, "socat": otherRuntime, "nc": otherRuntime, "ncat": otherRuntime,
	"nssm": otherRuntime, "srvany": otherRuntime, "winsw": otherRuntime,
}

// interpreter returns how the program at path is told what to run. Versions in its
// name (python3.11, ruby3.1) don't matter.
func interpreter(path string) dialect {
	name := base(path)
	if d, ok := interpreters[name]; ok {
		return d
	}
	return interpreters[strings.TrimRight(name, "0123456789.-_")]
}

// run is what a process was told to run.
type run struct {
	// script is the file an interpreter reads, or the whole path of the program that
	// a shell's one simple command starts.
	script string
	// inline says that the code is on the command line, or comes from elsewhere.
	inline bool
	// plain says that script is the program of a shell's simple command.
	plain bool
	// named says that it is a shell's simple command whose program is looked for in
	// the search path.
	named bool
}

// told returns what an interpreter was told to run. Anything that is not plainly
// one script is inline: options can load code too.
func told(a evidence.Ancestor, p evidence.Platform) run {
	line := a.CmdLine
	if len(line) > 8192 {
		return run{inline: true}
	}
	var words []string
	if p == evidence.Windows {
		words = winargv.Split(line)
	} else if w, ok := posix.Quoted(line); ok {
		words = w
	} else {
		words = posix.Fields(line)
	}
	if p == evidence.Darwin {
		words = unsplit(words)
	}
	if len(words) < 2 {
		return run{inline: true}
	}
	switch d := interpreter(a.Path); d {
	case shell:
		return shellRuns(words, p)
	case python:
		return scriptBehind(words, "-", "BEIOPsSu")
	case perl:
		return scriptBehind(words, "-", "wWtT")
	case ruby:
		return scriptBehind(words, "-", "wWU")
	case scriptHost:
		for i := 1; i < len(words); i++ {
			if !strings.HasPrefix(words[i], "/") {
				return run{script: words[i]}
			}
		}
	case powershell:
		return powershellRuns(words)
	case cmdExe:
		return cmdRuns(words)
	}
	return run{inline: true}
}

// unsplit mends the one directory of macOS with a blank in its name: its sources of
// command lines join the words by blanks.
func unsplit(words []string) []string {
	for i := 0; i+1 < len(words); i++ {
		if strings.HasSuffix(words[i], "/Library/Application") && strings.HasPrefix(words[i+1], "Support/") {
			return append(append(append([]string(nil), words[:i]...), words[i]+" "+words[i+1]), words[i+2:]...)
		}
	}
	return words
}

// scriptBehind is the first argument that is no option, where all options before it
// are single letters of those that load nothing.
func scriptBehind(words []string, dash, harmless string) run {
	for _, w := range words[1:] {
		if !strings.HasPrefix(w, dash) {
			return run{script: w}
		}
		if w == dash || strings.Trim(w[1:], harmless) != "" {
			break
		}
	}
	return run{inline: true}
}

func shellRuns(words []string, p evidence.Platform) run {
	for i, w := range words[1:] {
		switch {
		case w == "--login" || w == "--posix" || w == "--norc" || w == "--noprofile":
		case w == "-c" || len(w) > 1 && len(w) < 6 && w[0] == '-' && w[len(w)-1] == 'c' && strings.Trim(w[1:], "abcefhuvxl") == "":
			return simple(words[i+2:], p)
		case strings.HasPrefix(w, "-"):
			if w == "-" || strings.Trim(w[1:], "aefhuvxl") != "" {
				return run{inline: true}
			}
		default:
			return run{script: w}
		}
	}
	return run{inline: true}
}

// simple reads the text of sh -c: a program named by its whole path with arguments
// and nothing that a shell would interpret is as if it was started itself.
func simple(words []string, p evidence.Platform) run {
	text := strings.TrimSpace(strings.Join(words, " "))
	if text == "" || strings.ContainsAny(text, "\n\r;&|<>`$(){}\\!") {
		return run{inline: true}
	}
	program, _, _ := strings.Cut(strings.TrimPrefix(text, "exec "), " ")
	if p != evidence.Windows && program != "" && !strings.ContainsAny(program, `"'=*?[~/`) {
		return run{inline: true, named: true}
	}
	if strings.ContainsAny(program, `"'=*?[~`) || !clean(program, p) {
		return run{inline: true}
	}
	return run{script: program, plain: true}
}

func powershellRuns(words []string) run {
	for i := 1; i < len(words); i++ {
		w := strings.ToLower(strings.Replace(words[i], "/", "-", 1))
		switch {
		case w == "-noprofile", w == "-nop", w == "-noninteractive", w == "-noni", w == "-nologo", w == "-nol", w == "-sta", w == "-mta":
		case w == "-executionpolicy", w == "-ep", w == "-exec", w == "-windowstyle", w == "-w", w == "-version":
			i++
		case w == "-file" || w == "-f":
			if i+1 < len(words) {
				return run{script: words[i+1]}
			}
			return run{inline: true}
		default:
			return run{inline: true}
		}
	}
	return run{inline: true}
}

func cmdRuns(words []string) run {
	for i := 1; i < len(words); i++ {
		w := strings.ToLower(words[i])
		switch w {
		case "/q", "/d", "/s":
		case "/c", "/r":
			text := strings.Join(words[i+1:], " ")
			if len(words) <= i+1 || strings.ContainsAny(text, "&|<>^%()\n\r") || !clean(words[i+1], evidence.Windows) {
				return run{inline: true}
			}
			return run{script: words[i+1], plain: true}
		default:
			return run{inline: true}
		}
	}
	return run{inline: true}
}

// identity is the file that says what a process is: its program, or, for an
// interpreter that lies where only root writes, the script it was told to run.
// Empty when a process could be anything.
func identity(a evidence.Ancestor, p evidence.Platform) string {
	if !clean(a.Path, p) {
		return ""
	}
	if interpreter(a.Path) == notInterpreter {
		return a.Path
	}
	if !rootOnly(a.Path, p) {
		return ""
	}
	r := told(a, p)
	if r.inline || r.plain || !clean(r.script, p) {
		return ""
	}
	return r.script
}

// wrappers start another program and are otherwise of no interest.
var wrappers = map[string]bool{"sudo": true, "env": true, "timeout": true, "nice": true, "ionice": true, "setsid": true, "nohup": true, "stdbuf": true, "chrt": true, "runuser": true, "su": true, "flock": true}
