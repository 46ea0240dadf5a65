package attribution

import (
	"fmt"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// Weak is the strength of an attribution that accounts for what is low and not for
// more: that somebody works here, without a habit.
const Weak = 0.1

// knownUser looks at whether an interactive user has done so often enough before.
// The more days, the stronger; a login from somewhere new never counts, since
// stolen credentials come from elsewhere.
func knownUser(f *Facts, a *actor, c *Config) Result {
	h, limits := &f.History, c.KnownUser
	who := clip(a.account())
	if limits.Off || who == "" || !h.Interactive && !h.Remote {
		return Result{}
	}
	inside, why := c.Business(a.at(f.Now))
	after, looked := f.lookedAfter(a, c)
	looked = looked && !inside
	if from := f.newSource(a); from != "" {
		// People move within the own networks. For those who work here at these hours
		// anyhow that accounts for a look at the services alone.
		if c.BusinessHours.Declared() && f.ownNetwork(a) && a.what == "command" && f.RemoteTarget == "" && h.Interactive && h.Administrator == evidence.Yes && max(h.Days, h.UserDays) >= limits.days() {
			switch {
			case inside:
				return Result{Kind: KnownUser, Subject: who, Basis: fmt.Sprintf("an administrator of this host at work, who worked here on %s before, though %s; %s", days(h.UserDays), from, why), Strength: Weak}
			case looked:
				return Result{Kind: KnownUser, Subject: who, Basis: fmt.Sprintf("an administrator of this host, who worked here on %s before, though %s; %s", days(h.UserDays), from, after), Strength: Weak}
			}
		}
		return near(from)
	}
	if a.what == "install" {
		if h.InstallDays < limits.days() {
			return near(fmt.Sprintf("%s installed services on %s before", who, days(h.InstallDays)))
		}
		return Result{Kind: KnownUser, Subject: who, Basis: "installed services on " + days(h.InstallDays) + " before",
			Strength: grown(0.3, h.InstallDays-limits.days())}
	}
	if h.SameHours >= limits.days() {
		return Result{Kind: KnownUser, Subject: who, Basis: fmt.Sprintf("did so on %s before, on %d of them at these hours", days(h.Days), h.SameHours),
			Strength: grown(0.4, h.SameHours-limits.days())}
	}
	if h.Days >= limits.days() && f.Session.KnownSource == evidence.Yes {
		return Result{Kind: KnownUser, Subject: who, Basis: fmt.Sprintf("did so on %s before, though not at these hours, and came from where they come from", days(h.Days)), Strength: 0.2}
	}
	if inside && c.BusinessHours.Declared() && f.RemoteTarget != "" && h.Interactive && h.UserDays > 0 && f.Session.KnownSource == evidence.Yes && a.what == "command" && f.RemoteShell {
		return Result{Kind: KnownUser, Subject: who, Basis: fmt.Sprintf("somebody at work, who worked here on %s before and came from where they come from; %s", days(h.UserDays), why), Strength: Weak}
	}
	// To ask other hosts takes a habit, or an administrator.
	if f.RemoteTarget != "" && h.Administrator != evidence.Yes && !h.Elevated {
		return near(fmt.Sprintf("%s asked %s, and did so on %s before", who, clip(f.RemoteTarget), days(h.Days)))
	}
	if !h.Interactive && h.Administrator == evidence.Yes && h.UserDays > 0 && f.Session.KnownSource == evidence.Yes && a.what == "command" {
		return Result{Kind: KnownUser, Subject: who, Basis: fmt.Sprintf("an administrator of this host, who worked here on %s before, from where they come from", days(h.UserDays)), Strength: 0.15}
	}
	if !h.Interactive {
		// The same as at a desktop, below, but an intruder's first steps look like it.
		if inside && c.BusinessHours.Declared() && h.Elevated && f.Session.RemoteAddr != "" && f.ownNetwork(a) && a.what == "command" && a.remoteShell() {
			return Result{Kind: KnownUser, Subject: who, Basis: "somebody at work, with administrator's rights in a remote shell from " + f.Session.RemoteAddr + "; " + why, Strength: Weak / 2}
		}
		return near(fmt.Sprintf("%s did so from elsewhere on %s before, at these hours on %d", who, days(h.Days), h.SameHours))
	}
	if h.Administrator == evidence.Yes && h.UserDays > 0 && f.Session.KnownSource == evidence.Yes && a.what == "command" {
		return Result{Kind: KnownUser, Subject: who, Basis: fmt.Sprintf("an administrator of this host, who worked here on %s before and came from where they come from", days(h.UserDays)), Strength: 0.15}
	}
	if h.UserDays >= limits.userDays() && inside && (!f.remote(a) || f.Session.KnownSource == evidence.Yes) {
		return Result{Kind: KnownUser, Subject: who, Basis: fmt.Sprintf("worked here on %s before; %s", days(h.UserDays), why), Strength: 0.3}
	}
	// Looking at services is what administrators do by day. It accounts for that alone:
	// more takes a habit, and so does coming from outside the own networks.
	if inside && f.ownNetwork(a) && a.what == "command" {
		switch {
		case h.Administrator == evidence.Yes && h.UserDays > 0:
			return Result{Kind: KnownUser, Subject: who, Basis: "an administrator of this host at work, who worked here on " + days(h.UserDays) + " before; " + why, Strength: 0.2}
		case h.Administrator == evidence.Yes:
			return Result{Kind: KnownUser, Subject: who, Basis: "an administrator of this host at work; " + why, Strength: 0.15}
		case h.Elevated:
			return Result{Kind: KnownUser, Subject: who, Basis: "somebody at work, with administrator's rights; " + why, Strength: Weak}
		case c.BusinessHours.Declared():
			return Result{Kind: KnownUser, Subject: who, Basis: "somebody at work; " + why, Strength: Weak}
		}
	}
	if !inside && !f.remote(a) && f.RemoteTarget == "" && h.UserDays >= limits.userDays() && a.what == "command" && a.atDesktop() {
		return Result{Kind: KnownUser, Subject: who, Basis: "at the desktop where they worked on " + days(h.UserDays) + " before", Strength: Weak}
	}
	if looked && f.ownNetwork(a) && a.what == "command" && f.RemoteTarget == "" {
		return Result{Kind: KnownUser, Subject: who, Basis: "somebody from the own networks; " + after, Strength: Weak}
	}
	return near(fmt.Sprintf("%s did so on %s before, at these hours on %d, and worked here on %d", who, days(h.Days), h.SameHours, h.UserDays))
}

// remoteShell reports whether it runs in Windows' own shell for administrators
// elsewhere: WMI and services run single commands, for tools.
func (a *actor) remoteShell() bool {
	for _, p := range a.chain() {
		if b := base(p.Path); sessions[b] {
			return a.platform == evidence.Windows && (b == "wsmprovhost" || b == "winrshost") && rootOnly(p.Path, a.platform)
		}
	}
	return false
}

// newSource says that the session came from where its user never came from; empty
// when it did not, or nobody knows.
func (f *Facts) newSource(a *actor) string {
	if f.Session.RemoteAddr == "" || f.Session.KnownSource != evidence.No {
		return ""
	}
	return fmt.Sprintf("%s never came from %s before", clip(a.account()), f.Session.RemoteAddr)
}

// grown is a strength that grows by the days beyond what was needed.
func grown(from float64, more int) float64 {
	return min(from+0.05*float64(more), from+0.4)
}

func days(n int) string {
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}

// afterStart is how long after a host started people come to look after it, seconds.
const afterStart = 86400

// lookedAfter reports whether the host started not long before, and says so in words:
// out of business hours that brings those who look whether all services are back, also
// such as never worked there. Where hours are not declared nothing is out of them.
func (f *Facts) lookedAfter(a *actor, c *Config) (why string, ok bool) {
	since := a.at(f.Now).Unix() - f.Started
	if f.Started <= 0 || since < 0 || since >= afterStart || !c.BusinessHours.Declared() {
		return "", false
	}
	return fmt.Sprintf("the host started %d min before", since/60), true
}

// terminals are programs in whose windows people type.
var terminals = map[string]bool{
	"gnome-terminal-server": true, "konsole": true, "xfce4-terminal": true, "mate-terminal": true, "tilix": true, "kgx": true, "ptyxis": true, "ptyxis-agent": true, "alacritty": true, "kitty": true, "foot": true, "wezterm-gui": true, "xterm": true,
	"code": true, "terminal": true, "iterm2": true, "warp": true, "explorer": true, "windowsterminal": true,
}

// atDesktop reports whether somebody works in the window of a desktop on this host,
// with no login from elsewhere between.
func (a *actor) atDesktop() bool {
	for _, p := range a.chain() {
		b := base(p.Path)
		switch {
		case b == "sshd" || b == "sshd-session" || !rootOnly(p.Path, a.platform) && !under(p.Path, []string{"/Applications/"}) && !strings.EqualFold(p.Path, `C:\Windows\explorer.exe`):
			return false
		case terminals[b]:
			return true
		}
	}
	return false
}
