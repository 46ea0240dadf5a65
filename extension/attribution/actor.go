package attribution

import (
	"net/netip"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// actor is who did it, for commands, installs and connections alike.
type actor struct {
	what      string // "command", "install" or "connection"
	platform  evidence.Platform
	host      string
	container string
	time      int64

	uid, user       string // effective
	loginUID, login string // who logged in
	tty             string
	source          string // where the login came from

	// all is the process that did it and its ancestors, nearest first. For a command
	// it is the command itself: who started it comes second.
	all []evidence.Ancestor
}

// newActor finds who did it; ok is false when the facts are about nothing, or about
// several things.
func newActor(f *Facts) (a *actor, ok bool) {
	switch {
	case f.Process != nil && f.Install == nil && f.Connection == nil:
		p := f.Process
		a = &actor{
			what: "command", platform: p.Platform, host: p.Host, container: p.ContainerID, time: p.Time,
			uid: p.UID, user: p.Username, loginUID: p.LoginUID, login: p.LoginUser, tty: p.TTY, source: p.LoginSource,
			all: append([]evidence.Ancestor{{PID: p.PID, Path: p.Path, CmdLine: p.CmdLine}}, lineage(p)...),
		}
	case f.Install != nil && f.Process == nil && f.Connection == nil:
		in := f.Install
		a = &actor{
			what: "install", platform: in.Platform, host: in.Host, container: f.ContainerID, time: in.Time,
			uid: in.InstallerUID, user: in.InstallerUsername, login: in.LoginUser,
		}
		if in.InstallerPath != "" || in.InstallerCmdLine != "" {
			a.all = append(a.all, evidence.Ancestor{PID: in.InstallerPID, Path: in.InstallerPath, CmdLine: in.InstallerCmdLine})
			a.all = append(a.all, in.InstallerAncestry...)
		}
	case f.Connection != nil && f.Process == nil && f.Install == nil:
		c := f.Connection
		a = &actor{
			what: "connection", platform: c.Platform, host: c.Host, container: f.ContainerID, time: c.Time,
			uid: c.UID, user: c.Username,
			all: append([]evidence.Ancestor{{PID: c.PID, Path: c.Path, CmdLine: c.CmdLine}}, f.Ancestry...),
		}
	default:
		return nil, false
	}
	return a, true
}

// chain are the processes that may answer for it: a command's ancestors, and for an
// install or connection the process itself too.
func (a *actor) chain() []evidence.Ancestor {
	if a.what == "command" {
		return a.all[1:]
	}
	return a.all
}

// lineage is the ancestry with the parent first, when only the parent is known.
func lineage(p *evidence.Process) []evidence.Ancestor {
	if len(p.Ancestry) > 0 {
		return p.Ancestry
	}
	if p.ParentPath == "" && p.ParentCmdLine == "" {
		return nil
	}
	return []evidence.Ancestor{{PID: p.ParentPID, Path: p.ParentPath, CmdLine: p.ParentCmdLine}}
}

// at is when it happened, now when that is unknown. The zone is that of now, the
// host's.
func (a *actor) at(now time.Time) time.Time {
	if a.time <= 0 {
		return now
	}
	return time.Unix(a.time, 0).In(now.Location())
}

// account is who answers for it: the login user, else the effective one; an id stands
// for a name that nobody told.
func (a *actor) account() string {
	login := ""
	switch a.loginUID {
	case "", "4294967295", "-1":
	default:
		login = "uid " + a.loginUID
	}
	user := ""
	if a.uid != "" && a.platform != evidence.Windows {
		user = "uid " + a.uid
	}
	return nonEmpty(a.login, login, a.user, user)
}

// is reports whether the effective or the login user matches a pattern.
func (a *actor) is(pattern string) bool {
	return a.user != "" && glob(pattern, a.user) || a.login != "" && glob(pattern, a.login)
}

// on reports whether the host is one of the patterns'; none are every host.
func (a *actor) on(hosts []string) bool {
	if len(hosts) == 0 {
		return true
	}
	_, ok := anyHost(hosts, a.host)
	return ok
}

// Accounts that run services and belong to nobody, lower case.
var serviceAccounts = map[string]bool{
	"root": true, "system": true, "localsystem": true, "local system": true, "local service": true, "localservice": true,
	"network service": true, "networkservice": true, `nt authority\system`: true, `nt authority\local service`: true,
	`nt authority\localservice`: true, `nt authority\network service`: true, `nt authority\networkservice`: true,
}

// systemAccount reports whether an account is root, or one of Windows' own for
// services. An id that is known decides: names can be anything.
func (a *actor) systemAccount(uid, user string) bool {
	if a.platform == evidence.Windows {
		if strings.HasPrefix(uid, "S-1-") {
			return uid == "S-1-5-18" || uid == "S-1-5-19" || uid == "S-1-5-20" || strings.HasPrefix(uid, "S-1-5-80-")
		}
		// The log names the machine's own account for SYSTEM.
		if name, ok := strings.CutSuffix(bareUser(user), "$"); ok && name != "" {
			host, _, _ := strings.Cut(a.host, ".")
			return strings.EqualFold(name, host)
		}
		return user != "root" && serviceAccounts[strings.ToLower(user)]
	}
	if uid != "" {
		return uid == "0"
	}
	return user == "root"
}

// daemon reports whether it ran as a service does: as root, SYSTEM or one of the
// accounts given (patterns), with no terminal, and for nobody else who logged in.
func (a *actor) daemon(accounts ...string) bool {
	switch a.tty {
	case "", "?", "-", "none", "(none)":
	default:
		return false
	}
	own := func(uid, user string) bool {
		if a.systemAccount(uid, user) {
			return true
		}
		for _, n := range accounts {
			if user != "" && (glob(n, user) || a.platform == evidence.Windows && glob(n, bareUser(user))) {
				return true
			}
		}
		return false
	}
	if !own(a.uid, a.user) {
		return false
	}
	switch a.loginUID {
	case "4294967295", "-1":
		return true
	case "":
		return a.login == "" || own("", a.login)
	}
	return own(a.loginUID, a.login)
}

// nameless reports whether it ran as an account of the system's own range whose name
// nobody told, with nobody logged in: as the services of packages do.
func (a *actor) nameless() bool {
	if a.platform != evidence.Linux || a.user != "" || a.login != "" || len(a.uid) > 3 || a.uid == "" || a.uid == "0" || !digitsOnly(a.uid) {
		return false
	}
	switch a.loginUID {
	case "", "4294967295", "-1":
		return a.tty == "" || a.tty == "(none)" || a.tty == "?"
	}
	return false
}

func digitsOnly(s string) bool { return strings.Trim(s, "0123456789") == "" }

// from reports which of the networks the session came from. A name proves nothing:
// whoever connects chooses what it resolves to.
func (f *Facts) from(a *actor, sources []string) (source string, ok bool) {
	for _, s := range []string{f.Session.RemoteAddr, f.Session.LoginSource, a.source} {
		addr, err := netip.ParseAddr(strings.TrimSpace(s))
		if err != nil {
			continue
		}
		addr = addr.Unmap().WithZone("")
		for _, p := range sources {
			if n, err := parseNetwork(p); err == nil && n.Contains(addr) {
				return addr.String(), true
			}
		}
		return addr.String(), false // what is known best decides
	}
	return "", false
}

// remote reports whether the session is known to have come over the network.
func (f *Facts) remote(a *actor) bool {
	if f.Session.RemoteAddr != "" {
		return true
	}
	for _, s := range []string{f.Session.LoginSource, a.source} {
		if addr, err := netip.ParseAddr(strings.TrimSpace(s)); err == nil && !addr.IsLoopback() && !addr.IsUnspecified() {
			return true
		}
	}
	return false
}

// ownNetwork reports whether the session is a local one, or came from a private
// address. What is not known is taken for local: sources that tell of logins tell of
// addresses.
func (f *Facts) ownNetwork(a *actor) bool {
	for _, s := range []string{f.Session.RemoteAddr, f.Session.LoginSource, a.source} {
		if addr, err := netip.ParseAddr(strings.TrimSpace(s)); err == nil {
			addr = addr.Unmap()
			return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified()
		}
	}
	return true
}

// parseNetwork reads an address or a network.
func parseNetwork(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		return p.Masked(), nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	addr = addr.Unmap().WithZone("")
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}
