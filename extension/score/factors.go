package score

import (
	"fmt"
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/dialect"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// lineages maps the base name of an image to the kind of ancestor whose service
// questions are nobody's routine. Names are lower case without ".exe".
var lineages = map[string]string{
	"w3wp": "web", "httpd": "web", "apache2": "web", "apache": "web", "nginx": "web", "lighttpd": "web", "caddy": "web",
	"php-fpm": "web", "php-cgi": "web", "tomcat": "web", "tomcat8": "web", "tomcat9": "web", "catalina": "web", "ws_tomcatservice": "web",
	"iisexpress": "web", "umworkerprocess": "web", "coldfusion": "web", "uwsgi": "web", "gunicorn": "web", "puma": "web", "unicorn": "web",
	"jetty": "web", "weblogic": "web", "beasvc": "web", "litespeed": "web", "lsphp": "web", "passenger": "web",
	"sqlservr": "database", "sqlagent": "database", "mysqld": "database", "mysqld-nt": "database", "mariadbd": "database", "postgres": "database",
	"oracle": "database", "mongod": "database", "redis-server": "database", "db2sysc": "database", "reportingservicesservice": "database",
	"winword": "office", "excel": "office", "powerpnt": "office", "mspub": "office", "msaccess": "office", "onenote": "office",
	"visio": "office", "eqnedt32": "office", "soffice": "office", "soffice.bin": "office", "acrord32": "office", "acrobat": "office",
	"wordpad": "office", "microsoft word": "office", "microsoft excel": "office", "microsoft powerpoint": "office",
	"chrome": "browser", "firefox": "browser", "msedge": "browser", "iexplore": "browser", "opera": "browser", "brave": "browser",
	"vivaldi": "browser", "safari": "browser", "google chrome": "browser", "chromium": "browser",
	"outlook": "mail", "thunderbird": "mail", "exim4": "mail", "exim": "mail", "postfix": "mail", "sendmail": "mail", "master": "",
	"dovecot": "mail", "zmmailboxd": "mail", "edgetransport": "mail", "microsoft outlook": "mail",
	"mshta": "script_host", "wscript": "script_host", "cscript": "script_host", "regsvr32": "script_host", "rundll32": "script_host",
	"installutil": "script_host", "msbuild": "script_host", "cmstp": "script_host", "hh": "script_host",
}

// SuspiciousAncestor finds the nearest ancestor of a category whose children have
// no business listing services.
func SuspiciousAncestor(p *evidence.Process) (category, name string) {
	look := func(path string) (string, string) {
		b := path
		if i := strings.LastIndexAny(b, `/\`); i >= 0 {
			b = b[i+1:]
		}
		b = strings.TrimSuffix(strings.ToLower(strings.TrimSuffix(b, " (deleted)")), ".exe")
		if c := lineages[b]; c != "" {
			return c, path
		}
		for _, prefix := range []string{"php-fpm", "tomcat", "w3wp"} {
			if strings.HasPrefix(b, prefix) {
				return "web", path
			}
		}
		return "", ""
	}
	for i, a := range p.Ancestry {
		if i >= 8 {
			break
		}
		if c, n := look(a.Path); c != "" {
			return c, n
		}
		if n := webRuntime(a.Path, a.CmdLine); n != "" {
			return "web", a.Path + " (" + n + ")"
		}
	}
	if len(p.Ancestry) == 0 {
		if n := webRuntime(p.ParentPath, p.ParentCmdLine); n != "" {
			return "web", p.ParentPath + " (" + n + ")"
		}
		return look(p.ParentPath)
	}
	return "", ""
}

// webRuntimes are words of the command lines with which runtimes of languages serve
// the web, by the runtime's name.
var webRuntimes = map[string][]string{
	"java":   {"org.apache.catalina.", "-dcatalina.", "org.eclipse.jetty", "jetty-", "weblogic.server", "jboss-modules", "org.jboss.", "org.wildfly", "com.ibm.ws."},
	"python": {"/gunicorn", "/uwsgi", "/uvicorn", "/hypercorn", "/daphne"},
	"ruby":   {"/puma", "/unicorn", "/passenger", "/thin "},
}

// webRuntime is the word that tells that a runtime serves the web, empty for none.
func webRuntime(path, line string) string {
	b := strings.TrimSuffix(strings.ToLower(path[strings.LastIndexAny(path, `/\`)+1:]), ".exe")
	words := webRuntimes[strings.TrimRight(b, "w0123456789.")]
	if words == nil || len(line) > 1<<16 {
		return ""
	}
	line = strings.ToLower(line)
	for _, w := range words {
		if strings.Contains(line, w) {
			return strings.Trim(w, "/- .")
		}
	}
	return ""
}

// everybodys are directories that every user can write into.
var everybodys = []string{"/tmp/", "/var/tmp/", "/dev/shm/", "/private/tmp/", "/private/var/tmp/", "/users/shared/", `c:\users\public\`, `c:\windows\temp\`, `c:\perflogs\`, `c:\$recycle.bin\`}

// temporaryAncestor is the nearest ancestor whose program lies where every user can
// write, empty for none.
func temporaryAncestor(p *evidence.Process) string {
	in := func(path string) bool {
		path = strings.ToLower(path)
		for _, d := range everybodys {
			if strings.HasPrefix(path, d) {
				return true
			}
		}
		return false
	}
	if len(p.Ancestry) == 0 && in(p.ParentPath) {
		return p.ParentPath
	}
	for i, a := range p.Ancestry {
		if i < 8 && in(a.Path) {
			return a.Path
		}
	}
	return ""
}

// Concealed reports whether a command was hidden in a way ordinary use is not.
func Concealed(cmds []cmdline.Command) bool {
	for i := range cmds {
		if cmds[i].Renamed || len(cmds[i].Obfuscation) > 0 {
			return true
		}
	}
	return false
}

// ByShell reports whether a command asks another host through a login there.
func ByShell(c *cmdline.Command) bool { return slices.Contains(c.Wrappers, "ssh") }

// remoteTools are wrappers that run a command for somebody elsewhere.
var remoteTools = map[string]bool{"psexec": true, "paexec": true, "remcom": true, "csexec": true, "winrs": true, "psexesvc": true}

// CommandFactors are the factors that the matched commands and their process show
// by themselves, without history.
func CommandFactors(p *evidence.Process, cmds []cmdline.Command, families int) []Factor {
	var out []Factor
	marks := map[dialect.Mark]bool{}
	var hidden, renamed, remote, output, via string
	shell := false
	for i := range cmds {
		c := &cmds[i]
		for _, m := range c.Obfuscation {
			marks[m] = true
		}
		if c.HiddenWindow {
			hidden = nonEmpty(c.Canonical, "a command that was not understood")
		}
		if c.Renamed {
			renamed = nonEmpty(c.Tool, "a known tool")
		}
		if c.RemoteHost != "" {
			remote = c.RemoteHost
			shell = ByShell(c)
		}
		if c.OutputFile != "" {
			output = c.OutputFile
		}
		for _, w := range c.Wrappers {
			if remoteTools[w] {
				via = w
			}
		}
	}
	if marks[dialect.Encoded] {
		out = append(out, Factor{Name: "encoded", Evidence: "the command was decoded from base64 or hex"})
	}
	var ways []string
	for _, m := range []dialect.Mark{dialect.Caret, dialect.Backtick, dialect.QuoteSplit, dialect.Concat, dialect.Substring,
		dialect.Variable, dialect.IFS, dialect.Escape, dialect.Reversed, dialect.DelayedVar, dialect.Padding, dialect.Homoglyph} {
		if marks[m] {
			ways = append(ways, string(m))
		}
	}
	if len(ways) > 0 {
		out = append(out, Factor{Name: "obfuscated", Evidence: strings.Join(ways, ", ")})
	} else if marks[dialect.InvokeString] && !marks[dialect.Encoded] {
		out = append(out, Factor{Name: "obfuscated", Evidence: "a string is run as code", Scale: 0.5})
	}
	if renamed != "" {
		out = append(out, Factor{Name: "renamed_binary", Evidence: fmt.Sprintf("%s is a copy of %s", p.Path, renamed)})
	}
	if hidden != "" {
		out = append(out, Factor{Name: "hidden_window", Evidence: "started without a window: " + hidden})
	}
	if output != "" {
		out = append(out, Factor{Name: "output_to_file", Evidence: output})
	}
	if remote != "" {
		f := Factor{Name: "remote_target", Evidence: remote}
		if shell {
			f.Scale = 0.3 // who works on many hosts works so
		}
		out = append(out, f)
	}
	if via != "" {
		out = append(out, Factor{Name: "remote_execution", Evidence: "run through " + via})
	} else if n := remoteService(p); n != "" {
		f := Factor{Name: "remote_execution", Evidence: "child of " + n}
		if RemoteShell(n) {
			f.Scale = 0.3 // that is how administrators work elsewhere
		}
		out = append(out, f)
	}
	if category, name := SuspiciousAncestor(p); category != "" {
		out = append(out, Factor{Name: category + "_ancestor", Evidence: name})
	}
	if name := temporaryAncestor(p); name != "" {
		out = append(out, Factor{Name: "temporary_ancestor", Evidence: name})
	}
	if elevated(p) {
		if unauthorised(p) {
			out = append(out, Factor{Name: "elevated_unauthorised", Evidence: fmt.Sprintf("login user %s is root without sudo, su, pkexec or a login in its ancestry", p.LoginUser)})
		} else {
			out = append(out, Factor{Name: "elevated", Evidence: "ran as " + nonEmpty(p.Username, "root")})
		}
	}
	if families > 1 {
		out = append(out, Factor{Name: "several_families", Evidence: fmt.Sprintf("%d different ways in one command line", families)})
	}
	return out
}

// Unlisted makes more of an elevated token of Windows' whose user is certainly in no
// group that has administrator's rights: it was not the system that gave it.
func Unlisted(factors []Factor, p *evidence.Process, administrator evidence.Tristate) []Factor {
	if p.Platform != evidence.Windows || p.Elevated != evidence.Yes || administrator != evidence.No {
		return factors
	}
	for i := range factors {
		if factors[i].Name == "elevated" {
			factors[i] = Factor{Name: "elevated_unauthorised", Evidence: fmt.Sprintf("%s has an elevated token and is in no group of administrators", nonEmpty(p.Username, p.UID))}
		}
	}
	return factors
}

// elevated reports administrative rights: known, or by who ran it.
func elevated(p *evidence.Process) bool {
	if p.Elevated != evidence.Unknown {
		return p.Elevated == evidence.Yes
	}
	switch strings.ToLower(p.IntegrityLevel) {
	case "high", "system":
		return true
	}
	switch strings.ToLower(p.Username) {
	case "root", "system", `nt authority\system`:
		return true
	}
	return p.UID == "0"
}

func nonEmpty(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// remoteService finds the server side of a remote execution tool among the parents.
func remoteService(p *evidence.Process) string {
	l := strings.ToLower(p.ParentPath)
	for _, n := range []string{"psexesvc", "paexec", "remcomsvc", "csexecsvc", "wsmprovhost", "winrshost", "wmiprvse", "winexesvc"} {
		if strings.HasSuffix(strings.TrimSuffix(l, ".exe"), `\`+n) {
			return p.ParentPath
		}
	}
	return ""
}

// RemoteShell reports whether a program is the far end of Windows' own shell for
// administrators elsewhere (PowerShell remoting, winrs).
func RemoteShell(path string) bool {
	switch strings.ToLower(path[strings.LastIndexAny(path, `/\`)+1:]) {
	case "wsmprovhost.exe", "winrshost.exe":
		return true
	}
	return false
}

// Authorised reports whether a process has administrator's rights that the system
// gave its user: root by sudo, su or the like, or an elevated token.
func Authorised(p *evidence.Process) bool {
	if !elevated(p) {
		return false
	}
	if p.Platform == evidence.Windows {
		return true
	}
	for _, a := range p.Ancestry {
		switch a.Path[strings.LastIndexByte(a.Path, '/')+1:] {
		case "sudo", "su", "doas", "pkexec", "run0":
			return true
		}
	}
	return false
}

// unauthorised reports effective root for somebody who logged in as another user
// although nothing in a complete ancestry may change users.
func unauthorised(p *evidence.Process) bool {
	switch p.LoginUID {
	case "", "0", "4294967295", "-1": // unset: nobody logged in
		return false
	}
	if p.UID != "0" || len(p.Ancestry) == 0 {
		return false
	}
	last := p.Ancestry[len(p.Ancestry)-1]
	if last.PID != 1 {
		return false // the chain is cut: nobody knows
	}
	for _, a := range p.Ancestry {
		b := a.Path[strings.LastIndexByte(a.Path, '/')+1:]
		switch b {
		case "sudo", "su", "pkexec", "doas", "login", "sshd", "sshd-session", "cron", "crond", "systemd-run", "polkitd", "run0", "gdm-session-worker", "lightdm", "sddm-helper", "at", "atd", "su-exec", "runuser", "":
			return false
		}
	}
	return true
}
