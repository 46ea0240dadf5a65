package cmdline

import (
	"path"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// unixBase is the base name of a program on a POSIX system: without directory,
// a login shell's dash and the kernel's " (deleted)".
func unixBase(s string) string {
	s = strings.TrimSuffix(strings.TrimSpace(s), " (deleted)")
	if s == "" {
		return ""
	}
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		s = s[i+1:]
	}
	return strings.TrimPrefix(strings.TrimPrefix(s, "-"), `\`)
}

func isPowerShell(name string) bool {
	return name == "powershell" || name == "pwsh" || name == "powershell_ise"
}

func isWrapper(name string) bool {
	_, ok := unixWrappers[name]
	return ok
}

// initScript reads a call of a System V or BSD init script, /etc/init.d/ssh
// status, as the call of service(8) that it is.
func initScript(argv []string) ([]string, bool) {
	if len(argv) < 2 || !strings.HasPrefix(argv[0], "/") {
		return argv, false
	}
	dir, name := path.Split(argv[0])
	switch strings.TrimSuffix(dir, "/") {
	case "/etc/init.d", "/etc/rc.d/init.d", "/usr/local/etc/rc.d", "/etc/rc.d":
		if name == "" {
			return argv, false
		}
		return append([]string{"service", strings.TrimPrefix(name, "rc.")}, argv[1:]...), true
	}
	return argv, false
}

// isInterpreter reports whether a command line that starts with name hands its
// rest to another language.
func isInterpreter(name string) bool {
	return name == "cmd" || isPowerShell(name) || isShell(name)
}

// multiCall reports whether one image is many programs, told apart by argv[0].
func multiCall(image string) bool {
	switch image {
	case "busybox", "toybox", "coreutils", "systemd-executor", "":
		return true
	}
	return strings.HasPrefix(image, "busybox")
}

// guessPlatform tells Windows command lines by their paths and tools.
func guessPlatform(image, text string) evidence.Platform {
	if image != "" {
		if strings.Contains(image, `\`) || len(image) > 1 && image[1] == ':' {
			return evidence.Windows
		}
		if strings.HasPrefix(image, "/") {
			return evidence.Linux
		}
	}
	word := text
	if i := strings.IndexAny(word, " \t"); i >= 0 {
		word = word[:i]
	}
	lower := strings.ToLower(word)
	switch {
	case strings.HasPrefix(word, "/"), strings.HasPrefix(word, "./"), strings.HasPrefix(word, "~/"):
		return evidence.Linux
	case strings.Contains(lower, ".exe"), strings.Contains(word, `:\`), strings.HasPrefix(word, `\\`),
		strings.ContainsAny(word, "^%"), strings.Contains(lower, ".cmd"), strings.Contains(lower, ".bat"):
		return evidence.Windows
	}
	base := winargv.Base(word)
	if windowsOnly[resolveTool(base)] || isPowerShell(base) || looksLikePowerShell(word) {
		return evidence.Windows
	}
	if strings.Contains(text, `:\`) && !strings.Contains(text, " /") {
		return evidence.Windows
	}
	return evidence.Linux
}

var windowsOnly = map[string]bool{
	"sc": true, "net": true, "tasklist": true, "wmic": true, "reg": true, "driverquery": true, "cmd": true,
	"psservice": true, "accesschk": true, "schtasks": true, "psexec": true, "winrs": true, "forfiles": true,
	"autorunsc": true,
}

// looksLikePowerShell reports whether a first word can only be PowerShell's.
func looksLikePowerShell(word string) bool {
	lower := strings.ToLower(strings.TrimLeft(word, "(&. "))
	if strings.HasPrefix(lower, "[system.") || strings.HasPrefix(lower, "[serviceprocess.") || strings.HasPrefix(lower, "$") {
		return true
	}
	if _, ok := powershellAliases[lower]; ok {
		switch lower {
		case "gsv", "gwmi", "gcim", "gci", "iex", "icm", "gp", "gi", "spsv", "sasv":
			return true
		}
	}
	for _, verb := range []string{"get-", "invoke-", "start-", "stop-", "set-", "new-", "select-", "where-", "foreach-", "write-", "out-"} {
		if strings.HasPrefix(lower, verb) {
			return !strings.Contains(lower, ".") && !strings.Contains(lower, "/")
		}
	}
	return false
}

// powershellAliases are the aliases and short names that matter here, to the
// cmdlet they call; Windows PowerShell's built-in list.
var powershellAliases = map[string]string{
	"gsv": "get-service", "service": "get-service", "gwmi": "get-wmiobject", "gcim": "get-ciminstance",
	"wmiobject": "get-wmiobject", "ciminstance": "get-ciminstance",
	"gci": "get-childitem", "ls": "get-childitem", "dir": "get-childitem", "childitem": "get-childitem",
	"gi": "get-item", "gp": "get-itemproperty", "itemproperty": "get-itemproperty", "gpv": "get-itempropertyvalue",
	"%": "foreach-object", "foreach": "foreach-object", "?": "where-object", "where": "where-object",
	"select": "select-object", "sort": "sort-object", "measure": "measure-object", "group": "group-object",
	"fl": "format-list", "ft": "format-table", "fw": "format-wide", "sls": "select-string",
	"iex": "invoke-expression", "iwr": "invoke-webrequest", "irm": "invoke-restmethod", "ipmo": "import-module", "icm": "invoke-command", "iwmi": "invoke-wmimethod", "icim": "invoke-cimmethod",
	"cd": "set-location", "chdir": "set-location", "sl": "set-location", "pushd": "push-location",
	"sasv": "start-service", "spsv": "stop-service", "saps": "start-process", "start": "start-process",
	"echo": "write-output", "write": "write-output", "cat": "get-content", "gc": "get-content", "type": "get-content",
	"ps": "get-process", "gps": "get-process", "ndr": "new-psdrive", "mount": "new-psdrive", "gdr": "get-psdrive",
	"sajb": "start-job", "tee": "tee-object", "epcsv": "export-csv", "swmi": "set-wmiinstance", "rwmi": "remove-wmiobject",
	"gcls": "get-cimclass", "h": "get-history", "sp": "set-itemproperty", "ni": "new-item", "kill": "stop-process",
	"scheduledtask": "get-scheduledtask", "sc": "sc",
}

// resolveTool folds a program's names into one: net1 is net's engine, copies of
// PsService come with the word size behind.
func resolveTool(base string) string {
	base = strings.ToLower(base)
	if name, ok := sameTool[base]; ok {
		return name
	}
	return base
}

var sameTool = map[string]string{
	"net1": "net", "psservice64": "psservice", "psservice64a": "psservice", "accesschk64": "accesschk", "accesschk64a": "accesschk",
	"psexec64": "psexec", "psexec64a": "psexec", "autorunsc64": "autorunsc", "autorunsc64a": "autorunsc",
	"pwsh": "powershell", "pwsh-preview": "powershell", "powershell_ise": "powershell",
	"drvqry": "driverquery", "driver~1": "driverquery", "taskli~1": "tasklist", "powers~1": "powershell",
	"schtas~1": "schtasks", "psserv~1": "psservice", "access~1": "accesschk",
	"gmake": "make", "vdir": "ls", "exa": "ls", "eza": "ls", "lsd": "ls", "gls": "ls",
	"egrep": "grep", "fgrep": "grep", "zgrep": "grep", "rg": "grep", "ag": "grep", "ack": "grep", "ggrep": "grep",
	"gfind": "find", "bfs": "find", "fdfind": "fd", "batcat": "cat", "bat": "cat",
}

// knownTool reports whether Rollcall understands the tool's arguments, so that a
// copy of it under another name is still the tool.
func knownTool(tool string) bool {
	if _, ok := tools[tool]; ok {
		return true
	}
	switch tool {
	case "cmd", "powershell", "psexec":
		return true
	}
	return false
}

func sameProgram(image, orig string) bool {
	return image == orig || resolveTool(image) == orig
}

// remoteName is the host a value names, empty for this machine.
func remoteName(s string) string {
	s = strings.Trim(strings.TrimSpace(s), `"'`)
	s = strings.TrimLeft(s, `\`)
	if i := strings.IndexAny(s, `\/`); i >= 0 {
		s = s[:i]
	}
	if host, port, ok := strings.Cut(s, ":"); ok && isNumber(port) {
		s = host
	}
	switch strings.ToLower(s) {
	case "", ".", "localhost", "127.0.0.1", "::1", "$env:computername", "%computername%", "(local)", ".host", "localhost.localdomain":
		return ""
	}
	return clip(s, 255)
}

func changesDirectory(argv []string) (string, bool) {
	if len(argv) < 2 {
		return "", false
	}
	switch strings.ToLower(argv[0]) {
	case "cd", "chdir", "pushd", "set-location", "sl", "push-location":
		for _, a := range argv[1:] {
			if !strings.HasPrefix(a, "-") && !strings.EqualFold(a, "/d") {
				return a, true
			}
		}
	}
	return "", false
}

// joinPath resolves name against dir when both are known.
func joinPath(dir, name string) string {
	if dir == "" || name == "" || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "~") ||
		strings.HasPrefix(name, "$") || strings.Contains(name, ":") || strings.HasPrefix(name, `\`) {
		return name
	}
	if name == "." {
		return dir
	}
	if strings.Contains(dir, `\`) || strings.Contains(dir, ":") {
		return strings.TrimRight(dir, `\`) + `\` + strings.TrimPrefix(name, `.\`)
	}
	return path.Join(dir, name)
}
