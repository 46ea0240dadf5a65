package cmdline

import (
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
)

// unixWrapper describes a program that runs another one given as its arguments.
type unixWrapper struct {
	args   string   // short options that take a value
	long   []string // long options that take a value in the next word
	skip   int      // words between the options and the command
	assign bool     // NAME=value words may stand before the command
	user   string   // option that names the user ("u")
	shell  string   // option whose value is shell text ("c")
	joined bool     // the words are joined and given to a shell
	host   string   // option that names the machines it runs on ("w")
}

// unixWrappers is the list; the options are those of the programs' manual pages
// (util-linux, coreutils, procps, sudo, daemontools and each its own).
var unixWrappers = map[string]unixWrapper{
	"sudo": {args: "ugpCcrtTUDRh", long: []string{"--user", "--group", "--prompt", "--chdir", "--host", "--role", "--type", "--other-user", "--close-from"}, assign: true, user: "u"},
	"doas": {args: "uC", assign: true, user: "u"}, "dzdo": {args: "ugp", assign: true, user: "u"}, "run0": {args: "uD", long: []string{"--user", "--chdir", "--setenv"}, user: "u"},
	"pkexec": {long: []string{"--user"}}, "gosu": {skip: 1}, "su-exec": {skip: 1}, "setuidgid": {skip: 1}, "chpst": {args: "uUbeodmpfcr/n"}, "envdir": {skip: 1},
	"env":   {args: "uCS", long: []string{"--unset", "--chdir", "--split-string"}, assign: true},
	"nohup": {}, "setsid": {}, "unbuffer": {}, "command": {}, "builtin": {}, "exec": {args: "a"}, "arch": {}, "time": {args: "fo", long: []string{"--format", "--output"}},
	"timeout": {args: "ks", long: []string{"--kill-after", "--signal"}, skip: 1}, "gtimeout": {args: "ks", long: []string{"--kill-after", "--signal"}, skip: 1},
	"nice": {args: "n", long: []string{"--adjustment"}}, "ionice": {args: "cnp", long: []string{"--class", "--classdata"}}, "chrt": {args: "TPD", skip: 1}, "taskset": {skip: 1}, "numactl": {args: "CmNip"}, "cpulimit": {args: "lpe"}, "cgexec": {args: "g"},
	"stdbuf": {args: "ioe", long: []string{"--input", "--output", "--error"}}, "caffeinate": {args: "tw"}, "faketime": {args: "f", skip: 1},
	"xargs":    {args: "aEILnPsd", long: []string{"--arg-file", "--delimiter", "--max-lines", "--max-args", "--max-procs", "--max-chars"}},
	"parallel": {args: "jaNnLS", long: []string{"--jobs", "--arg-file"}, joined: true}, "watch": {args: "nq", long: []string{"--interval", "--equexit"}, joined: true},
	"pdsh": {args: "wxgXtuflcnRFM", joined: true, host: "w"}, "clush": {args: "wgxXlfutoOmE", joined: true, host: "w"},
	"pssh": {args: "hHlpotOxXe", joined: true, host: "H"}, "parallel-ssh": {args: "hHlpotOxXe", joined: true, host: "H"},
	"chroot": {long: []string{"--userspec", "--groups"}, skip: 1}, "proot": {args: "rbwSR"}, "fakeroot": {args: "lsib"}, "firejail": {}, "flatpak-spawn": {},
	"nsenter": {args: "tSGr", long: []string{"--target", "--setuid", "--setgid"}}, "unshare": {args: "SGRw", long: []string{"--root", "--wd", "--setuid", "--setgid", "--propagation"}},
	"runuser": {args: "ugGsw", long: []string{"--user", "--group", "--shell"}, user: "u", shell: "c"}, "setpriv": {long: []string{"--reuid", "--regid", "--groups"}},
	"flock": {args: "wE", long: []string{"--timeout", "--conflict-exit-code"}, skip: 1, shell: "c"}, "sg": {skip: 1, shell: "c"},
	"strace": {args: "aeEIoOpPsSuUX"}, "ltrace": {args: "aAeDFlnopsuwX"}, "valgrind": {}, "rlwrap": {}, "torsocks": {}, "proxychains": {args: "f"}, "proxychains4": {args: "f"}, "xvfb-run": {args: "efnps"},
	"tini": {args: "pe"}, "dumb-init": {}, "screen": {args: "cehpSsTt"}, "ssh-agent": {args: "at"}, "dbus-run-session": {long: []string{"--config-file"}}, "systemd-cat": {args: "tp", long: []string{"--identifier", "--priority"}},
	"systemd-run": {args: "puMHEd", long: []string{"--unit", "--property", "--description", "--slice", "--uid", "--gid", "--nice", "--setenv", "--machine", "--host", "--on-active", "--on-boot", "--on-calendar", "--working-directory", "--service-type", "--timer-property"}},
}

// unwrapUnix handles the wrappers of POSIX systems.
func (p *parser) unwrapUnix(tool string, c dialect.Simple, s scope) bool {
	args := c.Argv[1:]
	switch tool {
	case "eval":
		return p.shell(strings.Join(args, " "), langPOSIX, s.inside(tool).marked(dialect.InvokeString))
	case "trap":
		return len(args) > 1 && !strings.HasPrefix(args[0], "-") && p.shell(args[0], langPOSIX, s.inside(tool))
	case "at", "batch":
		return p.stdin(c, langPOSIX, s.inside(tool))
	case "su":
		return p.unwrapSu(c, s)
	case "script":
		return p.unwrapTypescript(c, s)
	case "ssh", "autossh", "dbclient":
		return p.unwrapSSH(c, s)
	case "plink":
		return p.unwrapPlink(c, s)
	case "vagrant", "gcloud":
		return p.unwrapCloudShell(tool, args, s)
	case "tmux":
		return p.unwrapTmux(c, s)
	case "sshpass":
		return p.simple(s.behind(c, 1+operand(args, "pfdP")), s.inside(tool))
	case "busybox", "toybox":
		return len(args) > 0 && !strings.HasPrefix(args[0], "-") && p.simple(s.behind(c, 1), s.inside(tool))
	case "docker", "podman", "nerdctl", "kubectl", "oc", "lxc", "incus", "crictl", "lxc-attach", "machinectl", "ctr":
		return p.unwrapContainer(tool, c, s)
	case "ansible":
		return p.unwrapAnsible(args, s)
	case "salt", "salt-call", "salt-ssh":
		return p.unwrapSalt(tool, args, s)
	case "vi", "vim", "nvim", "ex":
		return p.unwrapEditor(tool, args, s)
	case "find", "fd":
		p.unwrapFindExec(tool, args, s)
		return false // the search itself counts too
	case "launchctl":
		return len(args) > 2 && (args[0] == "asuser" || args[0] == "bsexec") && p.simple(s.behind(c, 3), s.inside(tool))
	}
	if strings.HasPrefix(tool, loaders[0]) || strings.HasPrefix(tool, loaders[1]) {
		return p.simple(s.behind(c, 1+operand(args, "", "--library-path", "--inhibit-rpath", "--preload", "--argv0")), s.inside("ld.so"))
	}
	if w, ok := unixWrappers[tool]; ok {
		return p.unwrapGeneric(tool, w, c, s)
	}
	return false
}

// unwrapGeneric walks a wrapper's options by its description.
func (p *parser) unwrapGeneric(tool string, w unixWrapper, c dialect.Simple, s scope) bool {
	args := c.Argv[1:]
	in := s.inside(tool)
	if tool == "sudo" {
		in.user = "root"
	}
	i := 0
options:
	for ; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			i++
			break options
		case strings.HasPrefix(a, "--"):
			name, value, has := strings.Cut(a, "=")
			if !has && slices.Contains(w.long, name) && i+1 < len(args) {
				i++
				value = args[i]
			}
			switch name {
			case "--user", "--uid", "--reuid":
				in.user = value
			case "--split-string":
				return p.shell(value+" "+s.textBehind(c, i+2), langPOSIX, in)
			case "--command":
				return w.shell != "" && p.shell(value, langPOSIX, in)
			case "--host", "--machine":
				if tool == "systemd-run" {
					in.remote = remoteName(value)
				}
			}
		case len(a) > 1 && a[0] == '-':
			if runsNothing(tool, a) {
				return false
			}
			j := 1
			for j < len(a) && !strings.Contains(w.args+w.shell, a[j:j+1]) {
				j++
			}
			if j == len(a) {
				continue
			}
			letter, value := a[j:j+1], a[j+1:]
			if letter == w.shell {
				return p.shell(p.script(c, i+2, s), langPOSIX, in)
			}
			if value == "" && i+1 < len(args) {
				i++
				value = args[i]
			}
			switch letter {
			case w.user:
				in.user = value
			case w.host:
				host, _, _ := strings.Cut(value, ",")
				in.remote = remoteName(host)
			}
			if tool == "env" && letter == "S" {
				return p.shell(value+" "+s.textBehind(c, i+2), langPOSIX, in)
			}
		case w.assign && strings.Contains(a, "=") && !strings.HasPrefix(a, "/") && !strings.HasPrefix(a, "="):
		default:
			break options
		}
	}
	i += w.skip
	if i >= len(args) {
		return false
	}
	if w.shell != "" {
		// flock file -c text; runuser [-] user -c text, unless -u named the user
		j := slices.Index(args[i:], "-"+w.shell)
		if j > 0 && tool == "runuser" && in.user == s.user {
			in.user = args[i]
			return p.shell(p.script(c, i+j+2, s), langPOSIX, in)
		}
		if j == 0 {
			return p.shell(p.script(c, i+2, s), langPOSIX, in)
		}
	}
	if w.joined {
		return p.shell(s.textBehind(c, i+1), langPOSIX, in)
	}
	return p.simple(s.behind(c, i+1), in)
}

// runsNothing reports the options that make a wrapper answer a question instead.
func runsNothing(tool, option string) bool {
	switch tool {
	case "sudo":
		return strings.Contains("-l -ll -v -k -K -V", option)
	case "command":
		return option == "-v" || option == "-V"
	}
	return false
}

// containerValues are the options of container tools that take the next word.
var containerValues = []string{"-e", "--env", "-u", "--user", "-w", "--workdir", "--env-file", "--detach-keys", "-c", "--container", "-n", "--namespace", "-v", "--volume", "--name", "-p", "--publish",
	"--network", "--entrypoint", "-M", "--pid", "--ipc", "--mount", "-h", "--hostname"}

// unwrapContainer handles what container tools run: it runs inside.
func (p *parser) unwrapContainer(tool string, c dialect.Simple, s scope) bool {
	args := c.Argv[1:]
	in := s.inside(tool)
	i := slices.IndexFunc(args, func(a string) bool {
		return a == "exec" || a == "run" && tool != "kubectl" || a == "shell" && tool == "machinectl" || a == "rsh"
	})
	if i < 0 && (tool == "kubectl" || tool == "oc") && slices.Contains(args, "debug") {
		// A container beside a pod or a node: what it runs stands behind "--".
		i = slices.Index(args, "--")
		return i >= 0 && p.simple(s.behind(c, i+2), in)
	}
	if i < 0 && tool != "lxc-attach" {
		return false
	}
	// Options, the container with docker and its like, options, perhaps "--".
	named := tool == "lxc-attach"
	for i++; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--":
			return p.simple(s.behind(c, i+2), in)
		case strings.HasPrefix(a, "-") && (!named || tool == "kubectl" || tool == "oc" || tool == "lxc-attach"):
			if !slices.Contains(containerValues, a) || i+1 >= len(args) {
				continue
			}
			if i++; a == "-u" || a == "--user" {
				in.user = args[i]
			}
		case !named:
			named = true
		default:
			return p.simple(s.behind(c, i+1), in)
		}
	}
	return false
}

// unwrapPlink handles PuTTY's ssh, whose options are words.
func (p *parser) unwrapPlink(c dialect.Simple, s scope) bool {
	args := c.Argv[1:]
	in := s.inside("plink")
	named := false
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-l" && i+1 < len(args):
			i++
			in.user = args[i]
		case a == "-pw" || a == "-pwfile" || a == "-P" || a == "-i" || a == "-hostkey" || a == "-m" || a == "-load" || a == "-proxycmd" || a == "-L" || a == "-R" || a == "-D":
			i++
		case strings.HasPrefix(a, "-"):
		case !named:
			named = true
			if user, host, ok := strings.Cut(a, "@"); ok {
				in.user, a = user, host
			}
			in.remote = remoteName(a)
		default:
			return p.shell(s.textBehind(c, i+1), langPOSIX, in)
		}
	}
	return false
}

// unwrapCloudShell handles vagrant ssh -c TEXT and gcloud compute ssh VM --command TEXT.
func (p *parser) unwrapCloudShell(tool string, args []string, s scope) bool {
	if !slices.Contains(args, "ssh") {
		return false
	}
	in := s.inside(tool)
	for i, a := range args {
		if text, ok := strings.CutPrefix(a, "--command="); ok {
			return p.shell(text, langPOSIX, in)
		}
		if (a == "--command" || a == "-c") && i+1 < len(args) {
			return p.shell(args[i+1], langPOSIX, in)
		}
	}
	return false
}

// unwrapTmux handles the commands of tmux that open a place for a program.
func (p *parser) unwrapTmux(c dialect.Simple, s scope) bool {
	args := c.Argv[1:]
	i := operand(args, "LSfcT")
	if i >= len(args) {
		return false
	}
	switch args[i] {
	case "new", "new-session", "neww", "new-window", "splitw", "split-window", "respawnp", "respawn-pane", "run", "run-shell":
		i += 1 + operand(args[i+1:], "ceFfnstxyl")
		return i < len(args) && p.shell(s.textBehind(c, i+1), langPOSIX, s.inside("tmux"))
	}
	return false
}

// unwrapAnsible handles ad-hoc commands: ansible PATTERN -m shell -a TEXT.
func (p *parser) unwrapAnsible(args []string, s scope) bool {
	in := s.inside("ansible")
	module, text := "command", ""
	for i := 0; i+1 < len(args); i++ {
		switch args[i] {
		case "-m", "--module-name":
			module = args[i+1]
		case "-a", "--args":
			text = args[i+1]
		}
	}
	if len(args) == 0 || module != "command" && module != "shell" && module != "raw" {
		return false
	}
	in.remote = remoteName(args[0])
	return p.shell(text, langPOSIX, in)
}

// unwrapSalt handles salt 'web*' cmd.run 'text'; salt-call runs it on this machine.
func (p *parser) unwrapSalt(tool string, args []string, s scope) bool {
	in := s.inside(tool)
	for i := 0; i+1 < len(args); i++ {
		switch args[i] {
		case "cmd.run", "cmd.run_all", "cmd.run_stdout", "cmd.shell":
			if tool != "salt-call" && i > 0 {
				in.remote = remoteName(args[i-1])
			}
			return p.shell(args[i+1], langPOSIX, in)
		}
	}
	return false
}

// unwrapEditor handles vi -c ':!command', a usual way out of a restricted shell.
func (p *parser) unwrapEditor(tool string, args []string, s scope) bool {
	for i := 0; i+1 < len(args); i++ {
		if args[i] != "-c" && args[i] != "--cmd" {
			continue
		}
		if text, ok := strings.CutPrefix(strings.TrimPrefix(args[i+1], ":"), "!"); ok {
			return p.shell(text, langPOSIX, s.inside(tool))
		}
	}
	return false
}

// unwrapFindExec runs what find -exec runs, once.
func (p *parser) unwrapFindExec(tool string, args []string, s scope) {
	for i, a := range args {
		switch a {
		case "-exec", "-execdir", "-ok", "-okdir", "-x", "--exec":
			end := i + 1
			for end < len(args) && args[end] != ";" && args[end] != "+" && args[end] != `\;` {
				end++
			}
			run := dialect.Simple{Argv: args[i+1 : end], Raw: strings.Join(args[i+1:end], " ")}
			if s.joined {
				run.Line = run.Raw
			}
			p.simple(run, s.inside(tool))
			return
		}
	}
}
