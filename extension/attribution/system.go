package attribution

import (
	"fmt"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// system recognises parts of the operating system itself.
func system(f *Facts, a *actor, _ *Config) Result {
	if a.container != "" {
		return Result{} // inside a container the same path is another file
	}
	var r Result
	switch a.platform {
	case evidence.Windows:
		r = windowsSystem(f, a)
	case evidence.Linux:
		r = linuxSystem(f, a)
	case evidence.Darwin:
		r = darwinSystem(f, a)
	}
	if !r.Attributed() && f.FirstBoot && a.unattended() {
		return Result{Kind: System, Subject: "first boot", Basis: "the host runs for the first time, and nobody has logged in to do it", Strength: 0.5}
	}
	return r
}

// unattended reports whether something was done by the host alone: by what its
// manager of services started, or, for an install, by nobody who was seen.
func (a *actor) unattended() bool {
	switch {
	case a.what == "connection":
		return false
	case a.what == "install" && len(a.all) == 0 && a.user == "" && a.login == "":
		return true
	}
	return len(a.chain()) > 0 && a.daemon() && onlyServices(a.chain(), a.platform)
}

// windowsServices are services whose svchost.exe runs programs of Windows and
// nothing that its users ask for. Others are left out on purpose: Schedule, BITS,
// Winmgmt, DcomLaunch and seclogon run what they are told to.
var windowsServices = map[string]bool{
	"wuauserv": true, "usosvc": true, "waasmedicsvc": true, "dps": true, "wdiservicehost": true, "wdisystemhost": true, "diagtrack": true, "pcasvc": true,
	"installservice": true, "appxsvc": true, "clipsvc": true, "staterepository": true, "dsmsvc": true, "deviceinstall": true, "trustedinstaller": true, "sysmain": true, "netsetupsvc": true,
}

func windowsSystem(f *Facts, a *actor) Result {
	if f.Template != "" && f.Install != nil {
		return Result{Kind: System, Subject: clip(f.Template), Basis: "a user's instance of a per-user service, with Windows' own program", Strength: 1}
	}
	for _, p := range a.chain() {
		// netsh trace stop has Windows run gatherNetworkInfo.vbs, which lists the
		// services; the script lies in System32, which only TrustedInstaller writes.
		if windowsFile(p.Path, "cscript.exe") && windowsFile(told(p, a.platform).script, "gathernetworkinfo.vbs") {
			return Result{Kind: System, Subject: "gatherNetworkInfo", Basis: "child of Windows' own " + clip(p.CmdLine), Strength: 1}
		}
	}
	if (a.user != "" || a.uid != "") && !a.systemAccount(a.uid, a.user) {
		return Result{} // what Windows does for itself, it does as SYSTEM
	}
	for i, p := range a.chain() {
		l := strings.ToLower(p.Path)
		if !clean(p.Path, a.platform) {
			continue
		}
		switch {
		case l == `c:\windows\servicing\trustedinstaller.exe`,
			strings.HasPrefix(l, `c:\windows\winsxs\`) && strings.HasSuffix(l, `\tiworker.exe`) && strings.Count(l, `\`) == 4:
			return Result{Kind: System, Subject: "Windows servicing", Basis: "ancestor " + p.Path, Strength: 0.8}
		case strings.HasPrefix(l, `c:\program files\cloudbase solutions\cloudbase-init\`), l == `c:\program files\amazon\ec2launch\ec2launch.exe`, l == `c:\windows\system32\oobe\windeploy.exe`, l == `c:\windows\system32\oobe\setup.exe`:
			return Result{Kind: System, Subject: "first boot", Basis: "ancestor " + p.Path, Strength: 0.6}
		case l == `c:\windows\system32\svchost.exe`:
			// Only what the service itself started, and only Windows' own programs.
			name := serviceOf(p.CmdLine)
			below := a.all[:len(a.all)-len(a.chain())+i]
			if !windowsServices[strings.ToLower(name)] || len(below) > 0 && !ownPrograms(below, a.platform) {
				return Result{}
			}
			return Result{Kind: System, Subject: name, Basis: "a program of Windows under its service " + name, Strength: 0.6}
		}
	}
	return Result{}
}

// serviceOf is the service that svchost.exe hosts by its command line (-k GROUP -s
// NAME).
func serviceOf(line string) string {
	words := winargv.Split(line)
	group := false
	for i, w := range words {
		if strings.EqualFold(w, "-k") {
			group = true
		}
		if strings.EqualFold(w, "-s") && group && i+1 < len(words) {
			return words[i+1]
		}
	}
	return ""
}

// ownPrograms reports whether all processes run programs that the system keeps
// where only it writes, and none that runs what it is told.
func ownPrograms(list []evidence.Ancestor, p evidence.Platform) bool {
	for _, a := range list {
		own := false
		switch p {
		case evidence.Windows:
			l := strings.ToLower(a.Path)
			own = under(l, []string{`c:\windows\system32\`, `c:\windows\syswow64\`, `c:\windows\winsxs\`, `c:\windows\servicing\`})
		case evidence.Darwin:
			own = under(a.Path, []string{"/System/", "/usr/libexec/", "/usr/sbin/", "/usr/bin/", "/bin/", "/sbin/"})
		}
		if !own || !rootOnly(a.Path, p) || interpreter(a.Path) != notInterpreter {
			return false
		}
	}
	return len(list) > 0
}

// helpers are programs of Linux distributions that ask for or change services on
// their own, in places only root writes.
var helpers = map[string]string{
	"/usr/lib/systemd/systemd-update-helper": "systemd-update-helper", "/usr/lib/systemd/systemd-sysv-install": "systemd-sysv-install",
	"/usr/bin/deb-systemd-helper": "deb-systemd-helper", "/usr/bin/deb-systemd-invoke": "deb-systemd-invoke",
	"/usr/lib/update-notifier/apt-check": "apt-check", "/usr/lib/ubuntu-release-upgrader/check-new-release": "check-new-release",
	"/usr/sbin/needrestart": "needrestart", "/usr/sbin/invoke-rc.d": "invoke-rc.d", "/usr/sbin/update-rc.d": "update-rc.d",
	"/usr/sbin/authselect": "authselect", "/usr/lib/systemd/systemd-shutdown": "systemd-shutdown", "/usr/sbin/kdumpctl": "kdump", "/usr/bin/kdumpctl": "kdump",
}

// firstBoot are the programs that set a new machine up.
var firstBoot = map[string]string{
	"/usr/bin/cloud-init": "cloud-init", "/usr/local/bin/cloud-init": "cloud-init", "/usr/lib/cloud-init/ds-identify": "cloud-init",
	"/usr/lib/systemd/systemd-firstboot": "systemd-firstboot", "/usr/bin/systemd-firstboot": "systemd-firstboot", "/usr/bin/ignition": "ignition", "/usr/lib/dracut/modules.d/30ignition/ignition": "ignition",
}

func linuxSystem(f *Facts, a *actor) Result {
	r := ownSession(f, a)
	if f.Install != nil {
		r = generated(f.Install)
	}
	if r.Attributed() || (a.user != "" || a.uid != "") && !a.systemAccount(a.uid, a.user) {
		return r
	}
	for i, p := range a.chain() {
		path := identity(p, a.platform)
		if name := helpers[path]; name != "" {
			return Result{Kind: System, Subject: name, Basis: "ancestor " + path, Strength: 0.8}
		}
		if generator(path) {
			return Result{Kind: System, Subject: "systemd generators", Basis: "ancestor " + path, Strength: 0.8}
		}
		if name := firstBoot[path]; name != "" && a.daemon() && onlyServices(a.chain()[i+1:], a.platform) {
			return Result{Kind: System, Subject: name, Basis: fmt.Sprintf("ancestor %s, started by the service manager", path), Strength: 0.7}
		}
	}
	return r
}

// generator reports whether a program is one of the distribution's generators of
// units. Those below /etc, /run and /usr/local are somebody's own.
func generator(path string) bool {
	return under(path, []string{"/usr/lib/systemd/system-generators/", "/lib/systemd/system-generators/", "/usr/lib/systemd/user-generators/"})
}

// generated reports whether an install is a unit that a generator made of the
// host's configuration (fstab, init scripts).
func generated(in *evidence.Install) Result {
	if !under(in.UnitPath, []string{"/run/systemd/generator/", "/run/systemd/generator.early/", "/run/systemd/generator.late/"}) || !clean(in.UnitPath, evidence.Linux) {
		return Result{}
	}
	program := programOf(in)
	if in.InstallerPath != "" && !generator(in.InstallerPath) && base(in.InstallerPath) != "systemd" ||
		program != "" && (!rootOnly(program, evidence.Linux) || interpreter(program) != notInterpreter) {
		return near("a generated unit, but not plainly of the distribution's")
	}
	return Result{Kind: System, Subject: "systemd generators", Basis: "generated at boot from the host's configuration: " + clip(in.UnitPath), Strength: 0.6}
}

// desktops are programs that run a user's own session.
var desktops = map[string]bool{
	"gnome-session-binary": true, "gnome-session": true, "gnome-shell": true, "gnome-session-service": true, "startplasma-x11": true, "startplasma-wayland": true, "plasma_session": true, "plasmashell": true, "ksmserver": true, "kded5": true, "kded6": true,
	"xfce4-session": true, "lxsession": true, "lxqt-session": true, "mate-session": true, "cinnamon-session-binary": true, "cinnamon-session": true, "budgie-session": true, "sway": true, "xdg-desktop-portal": true,
}

// asksOwn are the tools that with --user ask the user's own service manager.
var asksOwn = map[string]bool{"systemctl": true, "busctl": true, "systemd-analyze": true}

// ownSession recognises somebody's questions to their own service manager within
// their own session.
func ownSession(f *Facts, a *actor) Result {
	if f.Process == nil || len(f.Canonical) == 0 || a.user == "" || a.systemAccount(a.uid, a.user) || a.login != "" && a.login != a.user {
		return Result{}
	}
	for _, c := range f.Canonical {
		words := strings.Fields(c)
		if len(words) == 0 || !asksOwn[words[0]] {
			return Result{}
		}
		user := false
		for _, w := range words[1:] {
			user = user || w == "--user"
			if w == "-H" || w == "-M" || strings.HasPrefix(w, "--host") || strings.HasPrefix(w, "--machine") || w == "--system" || w == "--global" {
				return Result{}
			}
		}
		if !user {
			return Result{}
		}
	}
	byHand := false
	for _, p := range a.chain() {
		if !rootOnly(p.Path, a.platform) {
			return near("it asked the user's own service manager, but under " + clip(nonEmpty(p.Path, "an unknown program")))
		}
		name := base(p.Path)
		switch {
		case name == "systemd" && strings.Contains(p.CmdLine, "--user"), desktops[name],
			name == "dbus-daemon" && strings.Contains(p.CmdLine, "--session"), name == "dbus-broker-launch" && strings.Contains(p.CmdLine, " user"):
			r := Result{Kind: System, Subject: "systemctl --user", Basis: fmt.Sprintf("%s asked their own service manager, in their own session under %s", clip(a.user), p.Path), Strength: 0.7}
			if byHand {
				r.Strength = 0.5
			}
			return r
		case name == "sshd" || name == "sshd-session" || name == "login":
			if why := f.newSource(a); why != "" {
				return near(why)
			}
			return Result{Kind: System, Subject: "systemctl --user", Basis: fmt.Sprintf("%s asked their own service manager, in their own session", clip(a.user)), Strength: Weak}
		case interpreter(p.Path) != notInterpreter:
			byHand = true
		}
	}
	return Result{}
}

// remoteApple are programs of macOS through which somebody elsewhere works.
var remoteApple = map[string]bool{"sshd": true, "sshd-session": true, "sshd-auth": true, "sshd-keygen-wrapper": true, "ardagent": true, "screensharingd": true, "screensharingagent": true, "remotemanagementagent": true, "applescriptrunner": true, "aeserver": true, "terminal": true, "script editor": true, "automator": true, "shortcuts": true, "cron": true, "atrun": true, "sudo": true}

func darwinSystem(f *Facts, a *actor) Result {
	if in := f.Install; in != nil && under(in.UnitPath, []string{"/System/Library/LaunchDaemons/", "/System/Library/LaunchAgents/"}) && clean(in.UnitPath, a.platform) && in.Signed != evidence.No {
		return Result{Kind: System, Subject: "macOS", Basis: "defined on the sealed system volume: " + clip(in.UnitPath), Strength: 0.9}
	}
	for i, p := range a.chain() {
		if p.Path != "/sbin/launchd" {
			continue
		}
		// launchd starts anybody's jobs: only a program of Apple's between it and the
		// command tells whose this one is.
		between := a.chain()[:i]
		if !ownPrograms(between, a.platform) {
			return Result{}
		}
		top := between[len(between)-1].Path
		for _, b := range between {
			if remoteApple[base(b.Path)] {
				return Result{}
			}
		}
		if !under(top, []string{"/System/", "/usr/libexec/"}) || interpreter(top) != notInterpreter {
			return Result{}
		}
		return Result{Kind: System, Subject: base(top), Basis: "a program of macOS, started by launchd: " + top, Strength: 0.7}
	}
	return Result{}
}

// windowsFile reports whether path is the file of that name in System32.
func windowsFile(path, name string) bool {
	l := strings.ToLower(path)
	return l == `c:\windows\system32\`+name || l == `c:\windows\syswow64\`+name
}

// managersOfServices start services, and what they start nobody typed.
var managersOfServices = map[string]bool{
	"/usr/lib/systemd/systemd": true, "/lib/systemd/systemd": true, "/sbin/init": true, "/usr/sbin/init": true, "/bin/busybox": true, "/usr/lib/systemd/systemd-executor": true,
	"/usr/sbin/cron": true, "/usr/sbin/crond": true, "/usr/sbin/anacron": true, "/usr/bin/runsv": true, "/usr/bin/runsvdir": true, "/sbin/supervise-daemon": true, "/sbin/openrc-run": true,
	"/sbin/launchd":                    true,
	`c:\windows\system32\services.exe`: true, `c:\windows\system32\wininit.exe`: true, `c:\windows\system32\smss.exe`: true, `c:\windows\system32\svchost.exe`: true, "system": true,
}

// onlyServices reports whether nothing among the ancestors is a person's: a chain
// that is known leads straight to the manager of services.
func onlyServices(list []evidence.Ancestor, p evidence.Platform) bool {
	for _, a := range list {
		if a.Path == "" {
			continue
		}
		path := a.Path
		if p == evidence.Windows {
			path = strings.ToLower(path)
		}
		if !managersOfServices[path] || strings.HasSuffix(path, "/systemd") && strings.Contains(a.CmdLine, "--user") {
			return false
		}
	}
	return true
}
