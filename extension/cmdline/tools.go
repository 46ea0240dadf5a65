package cmdline

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
)

// A reader fills in what a command asks of one tool: Verb, Object, Target,
// RemoteHost, Options and Paths. It knows the tool's own grammar and nothing of
// what is suspicious.
type reader func(cmd *Command, args []string, s scope)

// tools maps a tool to the reader of its arguments.
var tools = map[string]reader{
	// Windows
	"sc": readSC, "net": readNet, "tasklist": readTasklist, "wmic": readWMIC, "reg": readReg,
	"driverquery": readSlashOptions, "schtasks": readSchtasks, "psservice": readPsService, "regedit": readRegedit,
	"accesschk": readAccessChk, "autorunsc": readSlashOptions, "cscript": readScriptHost, "wscript": readScriptHost,
	"winrm": readWinRM, "osqueryi": readOsquery,
	// PowerShell
	"get-service": readGetService, "get-wmiobject": readWMIObject, "get-ciminstance": readWMIObject, "get-cimassociatedinstance": readWMIObject,
	"get-childitem": readPathCmdlet, "get-item": readPathCmdlet, "get-itemproperty": readPathCmdlet,
	"get-itempropertyvalue": readPathCmdlet, "get-content": readPathCmdlet, "resolve-path": readPathCmdlet,
	"test-path": readPathCmdlet, "get-acl": readPathCmdlet, "new-psdrive": readNewPSDrive,
	"get-scheduledtask": readScheduledTask, "get-wsmaninstance": readWSManInstance, "new-object": readNewObject, "invoke-cimmethod": readWMIObject, "invoke-wmimethod": readWMIObject,
	"get-cimclass": readWMIObject, "set-service": readGetService, "start-service": readGetService,
	"stop-service": readGetService, "restart-service": readGetService, "new-service": readGetService,
	// Linux and other Unix
	"systemctl": readSystemctl, "service": readService, "chkconfig": readChkconfig, "rc-status": readRCStatus,
	"rc-service": readRCService, "rc-update": readVerbTarget, "initctl": readVerbTarget, "sv": readVerbTarget,
	"s6-rc": readVerbTarget, "s6-rc-db": readVerbTarget, "s6-svstat": readTargets, "svstat": readTargets,
	"dinitctl": readVerbTarget, "rcctl": readVerbTarget, "eselect": readVerbTarget, "supervisorctl": readSupervisor, "svcs": readTargets, "snap": readVerbTarget, "monit": readVerbTarget, "ansible": readManaged, "salt": readManaged, "salt-ssh": readManaged,
	"services.py": readImpacket, "impacket-services": readImpacket, "nxc": readManyHosts, "netexec": readManyHosts, "crackmapexec": readManyHosts, "cme": readManyHosts, "ubus": readUbus, "lssrc": readTargets,
	"systemd-analyze": readVerbTarget, "systemd-cgls": readTargets, "systemd-cgtop": readTargets, "systemd-delta": readTargets,
	"busctl": readBus, "dbus-send": readBus, "gdbus": readBus, "qdbus": readBus,
	"invoke-rc.d": readService, "sysv-rc-conf": readTargets, "insserv": readTargets, "crontab": readCrontab,
	"update-rc.d": readVerbTarget,
	"ls":          readFiles, "dir": readFiles, "find": readFind, "fd": readFiles, "tree": readFiles, "cat": readFiles,
	"grep": readGrep, "head": readFiles, "tail": readFiles, "less": readFiles, "more": readFiles, "stat": readFiles,
	"file": readFiles, "getfacl": readFiles, "lsattr": readFiles, "echo": readFiles, "printf": readFiles, "wc": readFiles,
	"du": readFiles, "namei": readFiles, "realpath": readFiles, "readlink": readFiles, "md5sum": readFiles,
	"sha256sum": readFiles, "strings": readFiles, "awk": readGrep, "sed": readGrep, "xxd": readFiles,
	"ps": readTargets, "pgrep": readTargets, "locate": readTargets, "plocate": readTargets, "mlocate": readTargets,
	// macOS
	"plistbuddy": readFiles, "codesign": readFiles, "xattr": readFiles, "launchctl": readLaunchctl, "brew": readBrew, "plutil": readFiles, "defaults": readFiles, "sfltool": readVerbTarget,
}

// understand fills in cmd by its tool's reader.
func (p *parser) understand(cmd *Command, c dialect.Simple, s scope) {
	args := c.Argv[1:]
	if strings.HasPrefix(c.Argv[0], "[") {
		readDotNet(cmd, c.Argv)
		return
	}
	read, ok := tools[cmd.Tool]
	if !ok {
		// What nobody knows the grammar of still has files among its words: a
		// script that enumerates is recognised by its name.
		cmd.Paths = scriptPaths(c.Argv)
		return
	}
	if s.lang != langPowerShell && (cmd.Tool == "ls" || cmd.Tool == "dir") && p.win {
		read = readFiles
	}
	read(cmd, args, s)
}

// scriptPaths keeps the base names of the program and its first words, in lower
// case.
func scriptPaths(argv []string) []string {
	var out []string
	for i, a := range argv {
		if i > 4 {
			break
		}
		if strings.HasPrefix(a, "-") || a == "" || len(a) > 1024 {
			continue
		}
		b := a
		if j := strings.LastIndexAny(b, `/\`); j >= 0 {
			b = b[j+1:]
		}
		out = append(out, strings.ToLower(b))
	}
	return out
}

// option spells a switch in one way: lower case with "-" for "/" and the dashes
// that word processors make.
func option(a string) (string, bool) {
	r := a
	switch {
	case len(r) > 1 && (r[0] == '/' || r[0] == '-'):
		r = r[1:]
	case strings.HasPrefix(r, "\u2013"), strings.HasPrefix(r, "\u2014"), strings.HasPrefix(r, "\u2015"):
		r = r[len("\u2013"):]
	default:
		return "", false
	}
	return "-" + strings.ToLower(r), true
}

// readSlashOptions reads tools whose only words are switches (driverquery).
func readSlashOptions(cmd *Command, args []string, _ scope) {
	for i := 0; i < len(args); i++ {
		o, ok := option(args[i])
		if !ok {
			cmd.Target = append(cmd.Target, args[i])
			continue
		}
		cmd.Options = append(cmd.Options, o)
		switch o {
		case "-s":
			if i+1 < len(args) {
				i++
				setRemote(cmd, args[i])
			}
		case "-u", "-p", "-fo", "-a":
			if i+1 < len(args) {
				i++
			}
		}
	}
}

func setRemote(cmd *Command, host string) {
	if h := remoteName(host); h != "" {
		cmd.RemoteHost = h
	}
}

// readVerbTarget reads "tool [options] verb [name...]".
func readVerbTarget(cmd *Command, args []string, _ scope) {
	for i, a := range args {
		if strings.HasPrefix(a, "-") {
			cmd.Options = append(cmd.Options, a)
			continue
		}
		// chkconfig and update-rc.d put the name first; what matters is whether
		// there is one.
		if cmd.Verb == "" && !(cmd.Tool == "chkconfig" || cmd.Tool == "update-rc.d") {
			cmd.Verb = strings.ToLower(a)
			continue
		}
		if i < 64 {
			cmd.Target = append(cmd.Target, a)
		}
	}
}

// readTargets reads "tool [options] [name...]".
func readTargets(cmd *Command, args []string, _ scope) {
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			cmd.Options = append(cmd.Options, a)
		} else {
			cmd.Target = append(cmd.Target, a)
		}
	}
}

// readFiles reads "tool [options] path...".
func readFiles(cmd *Command, args []string, s scope) {
	ended := false
	for _, a := range args {
		if !ended && a == "--" {
			ended = true
			continue
		}
		if !ended && len(a) > 1 && a[0] == '-' {
			cmd.Options = append(cmd.Options, a)
			continue
		}
		cmd.Paths = append(cmd.Paths, cleanPath(joinPath(s.cwd, a)))
	}
	if len(cmd.Paths) == 0 && s.cwd != "" {
		switch cmd.Tool {
		case "ls", "dir", "find", "tree", "fd", "du":
			cmd.Paths = []string{cleanPath(s.cwd)}
		}
	}
}

// readFind reads find: starting points, then the expression.
func readFind(cmd *Command, args []string, s scope) {
	i := 0
	for i < len(args) && strings.HasPrefix(args[i], "-") && len(args[i]) == 2 && strings.Contains("HLPX", args[i][1:]) {
		i++
	}
	for ; i < len(args) && !strings.HasPrefix(args[i], "-") && args[i] != "!" && args[i] != "("; i++ {
		cmd.Paths = append(cmd.Paths, cleanPath(joinPath(s.cwd, args[i])))
	}
	if len(cmd.Paths) == 0 && s.cwd != "" {
		cmd.Paths = []string{cleanPath(s.cwd)}
	}
	for ; i < len(args); i++ {
		if args[i] == "!" || args[i] == `\!` {
			cmd.Options = append(cmd.Options, "-not")
		}
		if !strings.HasPrefix(args[i], "-") {
			continue
		}
		o := args[i]
		switch o {
		case "-name", "-iname", "-path", "-ipath", "-wholename", "-iwholename", "-regex", "-iregex", "-lname":
			if i+1 < len(args) {
				i++
				o += "=" + args[i]
			}
		case "-delete":
			cmd.Verb = "delete"
		case "-exec", "-execdir", "-ok", "-okdir":
			// What it runs is a command of its own.
			for i+1 < len(args) && args[i] != ";" && args[i] != "+" {
				i++
			}
		}
		cmd.Options = append(cmd.Options, o)
	}
}

// readGrep reads "grep [options] pattern path...".
func readGrep(cmd *Command, args []string, s scope) {
	havePattern := false
	for i := 0; i < len(args); i++ {
		a := args[i]
		if len(a) > 1 && a[0] == '-' {
			cmd.Options = append(cmd.Options, a)
			switch a {
			case "-e", "--regexp", "-f", "--file":
				havePattern = true
				i++
			case "-A", "-B", "-C", "-m", "--include", "--exclude", "-d", "-v", "-F":
				if cmd.Tool == "awk" || strings.HasPrefix(a, "--") || a == "-A" || a == "-B" || a == "-C" || a == "-m" || a == "-d" {
					if i+1 < len(args) && !strings.Contains(a, "=") {
						i++
					}
				}
			}
			continue
		}
		if !havePattern {
			havePattern = true
			cmd.Verb = clip(a, 200)
			continue
		}
		cmd.Paths = append(cmd.Paths, cleanPath(joinPath(s.cwd, a)))
	}
	if len(cmd.Paths) == 0 && s.cwd != "" && hasLetter(cmd.Options, 'r', 'R') {
		cmd.Paths = []string{cleanPath(s.cwd)}
	}
}

// hasLetter reports whether a short option cluster carries one of the letters.
func hasLetter(options []string, letters ...byte) bool {
	for _, o := range options {
		if len(o) < 2 || o[0] != '-' || o[1] == '-' {
			continue
		}
		for _, l := range letters {
			if strings.IndexByte(o[1:], l) >= 0 {
				return true
			}
		}
	}
	return false
}

// cleanPath writes a path in one way: no doubled or trailing slashes, no "./".
func cleanPath(s string) string {
	if len(s) > 4096 {
		s = clip(s, 4096)
	}
	if !strings.HasPrefix(s, "/") {
		return strings.TrimRight(s, "/")
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		j := i + 1
		for j < len(s) && s[j] != '/' {
			j++
		}
		switch part := s[i:j]; part {
		case "/", "/.":
		case "/..":
			t := b.String()
			if k := strings.LastIndexByte(t, '/'); k >= 0 {
				b.Reset()
				b.WriteString(t[:k])
			}
		default:
			b.WriteString(part)
		}
		i = j
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}
