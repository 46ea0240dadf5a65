package cmdline

import (
	"slices"
	"strings"
)

func isHelp(option string) bool {
	return option == "--help" || option == "-h" || option == "--version"
}

// systemctlValues are systemctl's options that take a value in the next word.
var systemctlValues = map[string]string{
	"-t": "--type", "-p": "--property", "-P": "--property", "-H": "--host", "-M": "--machine", "-n": "--lines",
	"-o": "--output", "-s": "--signal", "--type": "--type", "--state": "--state", "--property": "--property",
	"--host": "--host", "--machine": "--machine", "--lines": "--lines", "--output": "--output", "--signal": "--signal",
	"--root": "--root", "--job-mode": "--job-mode", "--what": "--what", "--kill-whom": "--kill-whom",
	"--kill-who": "--kill-who", "--preset-mode": "--preset-mode", "--image": "--image", "--timestamp": "--timestamp",
	"--check-inhibitors": "--check-inhibitors", "--message": "--message", "--drop-in": "--drop-in", "-C": "--capsule",
}

// readSystemctl reads "systemctl [options] [verb] [unit...]"; without a verb it
// is list-units.
func readSystemctl(cmd *Command, args []string, _ scope) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if len(a) < 2 || a[0] != '-' {
			if cmd.Verb == "" {
				cmd.Verb = strings.ToLower(a)
			} else {
				addUnit(cmd, a)
			}
			continue
		}
		name, value, has := strings.Cut(a, "=")
		if !strings.HasPrefix(a, "--") && len(a) > 2 && !has {
			// -tservice, -qa, -at service
			j := 1
			for j < len(a) && systemctlValues["-"+a[j:j+1]] == "" {
				cmd.Options = append(cmd.Options, "-"+a[j:j+1])
				j++
			}
			if j == len(a) {
				continue
			}
			name, value, has = systemctlValues["-"+a[j:j+1]], a[j+1:], j+1 < len(a)
		}
		if long, ok := systemctlValues[name]; ok {
			if !has && i+1 < len(args) {
				i++
				value = args[i]
			}
			name = long
			switch long {
			case "--host", "--machine":
				if u, h, ok := strings.Cut(value, "@"); ok {
					cmd.AsUser, value = u, h
				}
				setRemote(cmd, value)
			}
			for _, v := range strings.Split(value, ",") {
				cmd.Options = append(cmd.Options, strings.ToLower(name)+"="+strings.ToLower(v))
			}
			continue
		}
		if name == "-a" {
			name = "--all"
		}
		cmd.Options = append(cmd.Options, strings.ToLower(name))
	}
	cmd.Object = "unit"
	if cmd.Verb == "" {
		cmd.Verb = "list-units"
		if slices.ContainsFunc(cmd.Options, isHelp) {
			cmd.Verb = "help"
		}
	}
	types := 0
	for _, o := range cmd.Options {
		if v, ok := strings.CutPrefix(o, "--type="); ok {
			types++
			switch v {
			case "service", "timer", "socket", "path", "help", "all", "":
				return
			}
		}
	}
	if types > 0 {
		cmd.Object = "other_unit"
	}
}

// addUnit adds a unit name; a pattern that selects everything is none.
func addUnit(cmd *Command, name string) {
	switch name {
	case "":
		return
	case "*", "*.service", "*.*":
		cmd.Options = append(cmd.Options, "all-units")
		return
	}
	if len(cmd.Target) < 64 {
		cmd.Target = append(cmd.Target, name)
	}
}

// readService reads "service --status-all", "service name verb".
func readService(cmd *Command, args []string, _ scope) {
	for _, a := range args {
		switch {
		case strings.HasPrefix(a, "-"):
			cmd.Options = append(cmd.Options, a)
		case len(cmd.Target) == 0:
			cmd.Target = []string{a}
		case cmd.Verb == "":
			cmd.Verb = strings.ToLower(a)
		}
	}
	if cmd.Tool == "invoke-rc.d" && slices.Contains(cmd.Options, "--query") {
		cmd.Verb = "status" // it asks whether that verb would be run
	}
}

// readChkconfig reads "chkconfig [--list] [name]" and "chkconfig name on". A name
// alone asks whether the service is on, which the exit status tells.
func readChkconfig(cmd *Command, args []string, _ scope) {
	acts := false
	for i := 0; i < len(args); i++ {
		a := args[i]
		if !strings.HasPrefix(a, "-") {
			cmd.Target = append(cmd.Target, a)
			continue
		}
		cmd.Options = append(cmd.Options, a)
		switch a {
		case "--level", "--levels", "--type":
			i++
		case "--add", "--del", "--override":
			acts = true
		}
	}
	if len(cmd.Target) == 1 && !acts {
		cmd.Verb = "check"
	}
}

// readRCStatus reads OpenRC's rc-status: its word is a runlevel, not a service.
func readRCStatus(cmd *Command, args []string, _ scope) {
	cmd.Verb = "status"
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			cmd.Options = append(cmd.Options, a)
		}
	}
}

// readRCService reads OpenRC's "rc-service [-l] name verb".
func readRCService(cmd *Command, args []string, s scope) {
	readService(cmd, args, s)
	for _, o := range cmd.Options {
		if o == "-l" || o == "--list" {
			cmd.Verb, cmd.Target = "list", nil
		}
		if (o == "-e" || o == "--exists" || o == "-r" || o == "--resolve") && cmd.Verb == "" && len(cmd.Target) > 0 {
			cmd.Verb = "status"
		}
	}
}

// readBus reads the D-Bus clients: which of systemd's methods is called.
func readBus(cmd *Command, args []string, _ scope) {
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			cmd.Options = append(cmd.Options, a)
			if v, ok := strings.CutPrefix(a, "--host="); ok {
				setRemote(cmd, v)
			}
		} else if cmd.Verb == "" && cmd.Tool == "busctl" {
			cmd.Verb = strings.ToLower(a)
		}
		l := strings.ToLower(a)
		if i := strings.LastIndexByte(l, '.'); i >= 0 && strings.HasPrefix(l, "org.freedesktop.systemd1.manager.") {
			l = l[i+1:]
		}
		switch {
		case strings.HasPrefix(l, "listunit"), l == "listjobs":
			cmd.Object = "unit_list"
		case l == "org.freedesktop.dbus.listnames", l == "org.freedesktop.dbus.listactivatablenames":
			cmd.Object = "name_list"
		case l == "getunit", l == "loadunit", l == "getunitfilestate", l == "getunitbypid":
			cmd.Object = "unit"
		case l == "/org/freedesktop/systemd1" || l == "org.freedesktop.systemd1":
			if cmd.Object == "" {
				cmd.Object = "systemd"
			}
		}
	}
	if cmd.Tool == "busctl" && cmd.Verb == "" && !slices.ContainsFunc(cmd.Options, isHelp) {
		cmd.Verb = "list"
	}
}

// readUbus reads OpenWrt's bus: "ubus call service list '{"name": "x"}'".
func readUbus(cmd *Command, args []string, _ scope) {
	words := args[operand(args, "st"):]
	if len(words) < 3 || words[0] != "call" || words[1] != "service" && words[1] != "rc" {
		return
	}
	cmd.Object, cmd.Verb = "service", strings.ToLower(words[2])
	if len(words) > 3 && strings.Contains(words[3], `"name"`) {
		cmd.Target = words[3:4]
	}
}

// readManaged reads the hosts that a management tool's command is for: its first
// word.
func readManaged(cmd *Command, args []string, _ scope) {
	if i := operand(args, "iufeCELGSNt"); i < len(args) {
		setRemote(cmd, args[i])
	}
}

// readImpacket reads the target of Impacket's tools: domain/user:password@host.
func readImpacket(cmd *Command, args []string, _ scope) {
	for _, a := range args {
		if i := strings.LastIndexByte(a, '@'); i > 0 && !strings.HasPrefix(a, "-") {
			setRemote(cmd, a[i+1:])
			return
		}
	}
}

// readManyHosts reads "nxc protocol host... [options]".
func readManyHosts(cmd *Command, args []string, _ scope) {
	if len(args) > 1 && !strings.HasPrefix(args[1], "-") {
		setRemote(cmd, args[1])
	}
}

// readCrontab reads crontab: -l lists, everything else acts.
func readCrontab(cmd *Command, args []string, _ scope) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if len(a) < 2 || a[0] != '-' {
			cmd.Verb = "install"
			continue
		}
		cmd.Options = append(cmd.Options, a)
		letters, user, hasUser := strings.Cut(a[1:], "u")
		switch {
		case strings.HasPrefix(a, "--"):
		case strings.ContainsAny(letters, "rei"):
			cmd.Verb = "edit"
		case strings.Contains(letters, "l"):
			cmd.Verb = "list"
		}
		if hasUser && !strings.HasPrefix(a, "--") {
			if user == "" && i+1 < len(args) {
				i++
				user = args[i]
			}
			cmd.AsUser = user
		}
	}
}

// readLaunchctl reads "launchctl verb [domain/service]".
func readLaunchctl(cmd *Command, args []string, s scope) {
	if len(args) == 0 {
		return
	}
	cmd.Verb = strings.ToLower(args[0])
	if cmd.Verb == "asuser" || cmd.Verb == "bsexec" {
		return
	}
	for _, a := range args[1:] {
		if strings.HasPrefix(a, "-") {
			cmd.Options = append(cmd.Options, a)
			continue
		}
		switch cmd.Verb {
		case "print", "print-disabled", "dumpstate", "examine":
			// a domain (system, user/501, gui/501, pid/1) is all of its services
			parts := strings.Split(strings.Trim(a, "/"), "/")
			domain := 2
			if parts[0] == "system" {
				domain = 1
			}
			if len(parts) > domain {
				cmd.Target = append(cmd.Target, parts[len(parts)-1])
			}
		case "list":
			cmd.Target = append(cmd.Target, a)
		default:
			cmd.Target = append(cmd.Target, a)
		}
	}
}

// readBrew reads Homebrew's "brew services [verb] [name]".
func readBrew(cmd *Command, args []string, _ scope) {
	var words []string
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			cmd.Options = append(cmd.Options, a)
		} else {
			words = append(words, a)
		}
	}
	if len(words) == 0 || words[0] != "services" {
		return
	}
	cmd.Object, cmd.Verb = "service", "list"
	if len(words) > 1 {
		cmd.Verb = strings.ToLower(words[1])
	}
	if len(words) > 2 {
		cmd.Target = words[2:]
	}
}

// readSupervisor reads supervisorctl's "[options] verb [name...]"; "all" is every
// program.
func readSupervisor(cmd *Command, args []string, s scope) {
	i := operand(args, "csup", "--configuration", "--serverurl", "--username", "--password")
	cmd.Options = append(cmd.Options, args[:i]...)
	readVerbTarget(cmd, slices.DeleteFunc(slices.Clone(args[i:]), func(a string) bool { return a == "all" }), s)
}
