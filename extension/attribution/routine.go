package attribution

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// sessions are programs through which people work: what is below one of them is
// theirs, not the host's own.
var sessions = map[string]bool{
	"sshd": true, "sshd-session": true, "login": true, "su": true, "dropbear": true, "telnetd": true, "in.telnetd": true, "tmux": true, "tmux: server": true, "screen": true, "xrdp-sesman": true, "xrdp-sesexec": true, "gdm-session-worker": true, "lightdm": true, "sddm-helper": true,
	"userinit": true, "explorer": true, "winlogon": true, "wsmprovhost": true, "winrshost": true, "rdpinit": true, "psexesvc": true, "paexec": true, "remcomsvc": true, "wmiprvse": true, "terminal": true, "iterm2": true, "ardagent": true, "applescriptrunner": true, "screensharingd": true, "loginwindow": true,
	"nsenter": true, "docker": true, "kubectl": true, "containerd-shim": true, "containerd-shim-runc-v2": true, "ttyd": true, "gotty": true, "at": true, "atd": true, "atrun": true,
}

// containers are programs that start what runs in a container.
var containers = map[string]bool{"containerd-shim": true, "containerd-shim-runc-v2": true, "conmon": true, "runc": true, "crun": true, "dockerd": true}

// Routine names what a service or job of the host does: who runs it, every program
// and script from the manager of services down, what the interpreters among them
// were told, and the commands. Numbers and ids in them don't matter. It is empty for
// what a person may have typed. What a service asked that was there before the evidence
// began has no ancestors; then it is the account and the commands.
func Routine(f Facts) string {
	a, ok := newActor(&f)
	if !ok || a.what != "command" || f.History.Interactive && !a.scheduled() || len(a.chain()) == 0 && !a.unstarted() {
		return ""
	}
	h := sha256.New()
	h.Write([]byte(strings.ToLower(a.user) + "\x00" + a.uid))
	if a.container != "" {
		if a.tty != "" && a.tty != "?" && a.tty != "(none)" {
			return ""
		}
		h.Write([]byte("\x00container"))
	}
	for _, p := range a.chain() {
		if a.container != "" && containers[base(p.Path)] {
			break
		}
		if p.Path == "" || sessions[base(p.Path)] {
			return ""
		}
		if managersOfServices[spelled(p.Path, a.platform)] {
			break
		}
		what := identity(p, a.platform)
		if what == "" {
			what = p.Path + "\x01" + p.CmdLine
		}
		h.Write([]byte("\x00" + numberless(what)))
	}
	for _, c := range f.Canonical {
		h.Write([]byte("\x00\x00" + numberless(c)))
	}
	return hex.EncodeToString(h.Sum(nil)[:10])
}

// unstarted reports whether a service did it whose start nobody saw: nothing is known
// of its ancestors, it ran as services do, and nobody was logged in.
func (a *actor) unstarted() bool {
	return len(a.chain()) == 0 && a.uid != "" && a.login == "" && (a.loginUID == "" || a.loginUID == "4294967295") && (a.daemon() || a.nameless())
}

// numberless is a text without its numbers and ids: runs of hexadecimal digits with a
// digit among them.
func numberless(s string) string {
	if len(s) > 4096 {
		s = s[:4096]
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		j, digit := i, false
		for j < len(s) && (s[j] >= '0' && s[j] <= '9' || s[j]|0x20 >= 'a' && s[j]|0x20 <= 'f') {
			digit = digit || s[j] <= '9'
			j++
		}
		switch {
		case j == i:
			b.WriteByte(s[i])
			i++
		case digit:
			b.WriteByte('#')
			i = j
		default:
			b.WriteString(s[i:j])
			i = j
		}
	}
	return b.String()
}

// scheduled reports whether the host's scheduler started it: cron gives its jobs a
// login and a session, but nobody is there.
func (a *actor) scheduled() bool {
	switch a.tty {
	case "", "?", "-", "none", "(none)":
	default:
		return false
	}
	for _, p := range a.chain() {
		switch base(p.Path) {
		case "cron", "crond", "anacron":
			return rootOnly(p.Path, a.platform)
		}
		if sessions[base(p.Path)] {
			return false
		}
	}
	return false
}

// ownFile reports whether a file is in the home of the user it ran for, who is not
// root.
func (a *actor) ownFile(path string) bool {
	if a.user == "" || strings.ContainsAny(a.user, `/\`) || a.systemAccount(a.uid, a.user) || !clean(path, a.platform) {
		return false
	}
	return under(path, []string{"/home/" + a.user + "/", "/Users/" + a.user + "/"})
}

// serviceOfHost looks at whether it is what a service or job of this host does: with
// nobody logged in, under programs and scripts that only root writes, the manager of
// services at the end. That alone accounts for a look at the services; what the same
// programs did on earlier days, by the same words, is their routine.
func serviceOfHost(f *Facts, a *actor, c *Config) Result {
	if a.what != "command" || c.KnownUser.Off {
		return Result{}
	}
	if a.container != "" {
		// Inside a container the same path is another file: only what it has done for days
		// by the same words tells that it is a job of this host.
		if n := f.History.Routine; n >= c.KnownUser.days() {
			return Result{Kind: Management, Subject: "container", Basis: fmt.Sprintf("a routine of a container of this host: it did so by the same words on %s before", days(n)), Strength: Weak}
		}
		return Result{}
	}
	if len(a.chain()) == 0 {
		if n := f.History.Routine; n >= c.KnownUser.days() && a.unstarted() && rootOnly(a.all[0].Path, a.platform) {
			return Result{Kind: Management, Subject: base(a.all[0].Path), Basis: fmt.Sprintf("a routine of this host: a service whose start was not seen did so by the same words on %s before", days(n)), Strength: Weak}
		}
		return Result{}
	}
	if f.History.Interactive && !a.scheduled() {
		return Result{}
	}
	if f.RootOnly == evidence.No || f.ScriptRootOnly == evidence.No || a.all[0].Path != "" && !rootOnly(a.all[0].Path, a.platform) {
		return Result{}
	}
	top, managed, own := "", false, false
	for _, p := range a.chain() {
		if managersOfServices[spelled(p.Path, a.platform)] {
			managed = !(strings.HasSuffix(p.Path, "/systemd") && strings.Contains(p.CmdLine, "--user"))
			break
		}
		if sessions[base(p.Path)] || !rootOnly(p.Path, a.platform) && !a.ownFile(p.Path) {
			return Result{}
		}
		own = own || !rootOnly(p.Path, a.platform)
		what := p.Path
		if interpreter(p.Path) != notInterpreter {
			r := told(p, a.platform)
			if r.script != "" && !rootOnly(r.script, a.platform) {
				if !a.ownFile(r.script) {
					return Result{}
				}
				own = true
			}
			what = nonEmpty(r.script, p.Path)
		}
		top = what
	}
	if top == "" {
		return Result{}
	}
	if n := f.History.Routine; n >= c.KnownUser.days() {
		return Result{Kind: Management, Subject: base(top), Basis: fmt.Sprintf("a routine of this host: %s did so by the same words on %s before", clip(top), days(n)), Strength: grown(0.3, n-c.KnownUser.days())}
	}
	// A job that a user left to the host's scheduler was there when the host's history
	// began; one that comes later must become a routine first.
	left := own && a.scheduled() && f.History.Short
	if !managed || !left && (own || !a.daemon()) {
		return Result{}
	}
	if _, ok := findAgent(a, c); ok {
		return Result{} // of agents more is known
	}
	// At first sight only what is plain counts: a script, or a program's one question.
	for i, p := range a.chain() {
		if managersOfServices[spelled(p.Path, a.platform)] {
			break
		}
		d := interpreter(p.Path)
		if d == notInterpreter {
			if i == 0 || a.platform == evidence.Linux && !packagesOwn(p.Path, a.platform) {
				return Result{} // a program that asks by itself is an agent, and those are known or declared
			}
			continue
		}
		if r := told(p, a.platform); r.inline && !r.named {
			return Result{}
		}
	}
	if left {
		return Result{Kind: Management, Subject: base(top), Basis: fmt.Sprintf("a job of this host: %s, which its scheduler started for %s before anything could be new here", clip(top), clip(a.user)), Strength: Weak}
	}
	return Result{Kind: Management, Subject: base(top), Basis: fmt.Sprintf("a service or job of this host: %s, started by its manager of services, lies where only root writes, and nobody is logged in", clip(top)), Strength: Weak}
}
