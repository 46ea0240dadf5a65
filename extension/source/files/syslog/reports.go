package syslog

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
	"github.com/osquery-rollcall/rollcall/extension/source/files/peer"
)

const (
	// sessionWait is how long, in seconds, a logon waits for systemd-logind to name
	// its session.
	sessionWait = 5
	// maxJobs bounds the users whose cron jobs are remembered.
	maxJobs = 64
	// maxText bounds a text that is handed on, in bytes.
	maxText = 1024
)

// reports reads what is no command: logons, changes, connections.
func (d *Decoder) reports(m message, to *evidence.Batch) {
	switch m.ident {
	case "sshd", "sshd-session", "sshd-auth":
		d.ssh(m, to)
	case "systemd-logind":
		d.session(m, to)
	case "useradd", "userdel", "usermod", "newusers", "groupadd", "groupdel", "groupmod", "gpasswd", "passwd", "chpasswd", "chage", "chsh", "chfn":
		if c, ok := account(m); ok {
			to.Changes = append(to.Changes, c)
		}
	case "systemd", "systemctl":
		if i, ok := link(m); ok {
			to.Installs = append(to.Installs, i)
		}
	case "yum", "dnf", "dnf5":
		if c, ok := Package(m.text); ok {
			c.Time, c.Host, c.Source, c.EID, c.PID, c.UID = m.time, m.host, m.source, m.eid, m.pid, m.actor()
			to.Changes = append(to.Changes, c)
		}
	case "kernel":
		if c, ok := firewall(m.text); ok {
			c.Time, c.Host, c.Source, c.EID = m.time, m.host, m.source, m.eid
			to.Connections = append(to.Connections, c)
		}
	default:
		d.pam(m, to)
	}
}

// actor is the login user of the reporting process, or its user.
func (m *message) actor() string {
	if m.loginUID != "" {
		return m.loginUID
	}
	return m.uid
}

func (m *message) logon(user, kind string) evidence.Logon {
	return evidence.Logon{Time: m.time, Platform: evidence.Linux, Host: m.host, Source: m.source, EID: m.eid, PID: m.pid, Username: clip(user), Type: kind}
}

// admitted adds a logon that worked, when its session is known or nobody tells it.
func (d *Decoder) admitted(l evidence.Logon, to *evidence.Batch) {
	if l.Username == "root" {
		l.UID, l.Privileged = "0", evidence.Yes
	}
	if l.Type == "sudo" || l.LogonID != "" {
		to.Logons = append(to.Logons, l)
		return
	}
	d.releaseLogon(to)
	d.logon = &l
}

func (d *Decoder) releaseLogon(to *evidence.Batch) {
	if d.logon != nil {
		to.Logons = append(to.Logons, *d.logon)
		d.logon = nil
	}
}

// ssh reads "Accepted publickey for anna from 10.0.0.5 port 50000 ssh2: ..." and
// "Failed password for invalid user x from ...". Users of failed logons are what
// somebody typed: the address is looked for from behind.
func (d *Decoder) ssh(m message, to *evidence.Batch) {
	text := m.text
	if rest, ok := strings.CutPrefix(text, "message repeated "); ok {
		_, rest, _ = strings.Cut(rest, "[ ")
		text = strings.TrimSuffix(rest, "]")
	}
	how, rest, found := strings.Cut(text, " for ")
	if !found {
		return
	}
	verdict, method, _ := strings.Cut(how, " ")
	failed := verdict == "Failed"
	if !failed && verdict != "Accepted" || failed && (method == "none" || method == "publickey") {
		return // a client asks what it may, and shows each of its keys
	}
	at := strings.LastIndex(rest, " from ")
	if at < 0 {
		return
	}
	user := rest[:at]
	addr, _, found := strings.Cut(rest[at+len(" from "):], " port ")
	if !found || strings.Contains(addr, " ") {
		return
	}
	if failed {
		user = strings.TrimPrefix(user, "invalid user ")
	}
	l := m.logon(user, "ssh")
	l.From, l.Failed = peer.Address(addr), failed
	if failed {
		to.Logons = append(to.Logons, l)
		return
	}
	d.admitted(l, to)
}

// session reads "New session 5 of user anna." and, since systemd 256, "New session
// '5' of user 'anna' with class 'user' and type 'tty'."
func (d *Decoder) session(m message, to *evidence.Batch) {
	rest, ok := strings.CutPrefix(m.text, "New session ")
	if !ok {
		return
	}
	id, rest, ok := strings.Cut(rest, " of user ")
	if !ok {
		return
	}
	user, how, _ := strings.Cut(rest, " with class ")
	id, user = strings.Trim(id, "'"), strings.Trim(strings.TrimSuffix(user, "."), "'")
	if class, _, _ := strings.Cut(how, " "); class != "" && !strings.HasPrefix(strings.Trim(class, "'."), "user") {
		return
	}
	if at, ok := d.jobs[user]; ok && m.time-at <= sessionWait {
		return
	}
	if d.logon != nil && d.logon.Username == user && d.logon.Host == m.host {
		d.logon.LogonID = id
		d.releaseLogon(to)
		return
	}
	l := m.logon(user, "")
	if l.LogonID = id; strings.Contains(how, "x11") || strings.Contains(how, "wayland") {
		l.Type = "interactive"
	}
	l.PID = 0 // that is systemd-logind
	d.admitted(l, to)
}

// pam reads "pam_unix(sudo:session): session opened for user root(uid=0) by
// anna(uid=1000)" and "pam_unix(su:auth): authentication failure; ... user=root".
func (d *Decoder) pam(m message, to *evidence.Batch) {
	rest, ok := strings.CutPrefix(m.text, "pam_unix(")
	if !ok {
		return
	}
	where, text, ok := strings.Cut(rest, "): ")
	if !ok {
		return
	}
	service, kind, _ := strings.Cut(where, ":")
	switch service {
	case "sshd", "systemd-user", "atd", "gdm-launch-environment", "lightdm-greeter", "sddm-greeter":
		return
	}
	switch kind {
	case "session":
		rest, ok := strings.CutPrefix(text, "session opened for user ")
		if !ok {
			return
		}
		user, _, _ := strings.Cut(rest, " ")
		user, _, _ = strings.Cut(user, "(uid=")
		if service == "cron" || service == "crond" {
			if len(d.jobs) >= maxJobs {
				clear(d.jobs)
			}
			if d.jobs == nil {
				d.jobs = map[string]int64{}
			}
			d.jobs[clip(user)] = m.time
			return
		}
		l := m.logon(user, auditlog.LogonType(service))
		if l.Username != "" {
			d.admitted(l, to)
		}
	case "auth":
		fields, ok := strings.CutPrefix(text, "authentication failure; ")
		if !ok {
			return
		}
		l := m.logon("", auditlog.LogonType(service))
		l.Failed = true
		for _, f := range strings.Fields(fields) {
			switch key, value, _ := strings.Cut(f, "="); key {
			case "user":
				l.Username = clip(value)
			case "tty":
				l.TTY = strings.TrimPrefix(value, "/dev/")
			case "rhost":
				l.From = peer.Address(value)
			}
		}
		to.Logons = append(to.Logons, l)
	}
}

// notAccounts are parts of reports about files that tell a thing again, and about
// what did not happen.
var notAccounts = []string{"shadow", "/etc/group", "failed", "fail ", "can't", "cannot", "session ", "authentication failure", "not changed"}

// account reads what the tools for users and groups report.
func account(m message) (evidence.Change, bool) {
	c := evidence.Change{Time: m.time, Platform: evidence.Linux, Host: m.host, Source: m.source, EID: m.eid, Kind: evidence.ChangeAccount, PID: m.pid, UID: m.actor()}
	text := m.text
	if rest, ok := strings.CutPrefix(text, "pam_unix("); ok {
		var kind string
		kind, text, _ = strings.Cut(rest, "): ")
		if !strings.HasSuffix(kind, ":chauthtok") {
			return c, false
		}
	}
	for _, s := range notAccounts {
		if strings.Contains(text, s) {
			return c, false
		}
	}
	what, who := "user ", ""
	if strings.HasPrefix(m.ident, "group") || strings.Contains(text, "new group:") || strings.HasPrefix(text, "removed group ") || strings.HasPrefix(text, "password of group ") {
		what = "group "
	}
	if _, rest, ok := strings.Cut(text, "name="); ok {
		who, _, _ = strings.Cut(rest, ",")
	} else if _, rest, ok := strings.Cut(text, "'"); ok {
		who, _, _ = strings.Cut(rest, "'")
	} else {
		for _, before := range []string{"user ", "group ", " for "} {
			if _, rest, ok := strings.Cut(text, before); ok {
				who, _, _ = strings.Cut(rest, " ")
				break
			}
		}
	}
	if who == "" {
		return c, false
	}
	c.Subject, c.Detail = what+clip(who), m.ident+": "+clip(text)
	return c, true
}

// link reads what turns a unit on or off: "Created symlink /etc/systemd/system/
// multi-user.target.wants/a.service → /etc/systemd/system/a.service.", older "from
// A to B.", newer with quotes, and "Removed /etc/...".
func link(m message) (evidence.Install, bool) {
	text := strings.TrimSuffix(strings.TrimSpace(m.text), ".")
	var from, to string
	made := true
	if rest, ok := strings.CutPrefix(text, "Created symlink "); ok {
		if from, to, ok = strings.Cut(rest, " → "); !ok {
			if from, to, ok = strings.Cut(strings.TrimPrefix(rest, "from "), " to "); !ok {
				return evidence.Install{}, false
			}
		}
	} else if rest, ok := strings.CutPrefix(text, "Removed "); ok {
		from, made = strings.TrimPrefix(rest, "symlink "), false
	} else {
		return evidence.Install{}, false
	}
	from, to = strings.Trim(from, `"'`), strings.Trim(to, `"'`)
	if !strings.HasPrefix(from, "/") || len(from) > maxText || len(to) > maxText {
		return evidence.Install{}, false
	}
	i, ok := auditlog.Unit(from)
	if !ok {
		return i, false
	}
	// A link to nothing masks a unit.
	if i.Action = evidence.Enabled; made == (to == "/dev/null") {
		i.Action = evidence.Disabled
	}
	if to != "" && to != "/dev/null" {
		i.UnitPath = to
	}
	i.Time, i.TimeBasis, i.Platform, i.Host, i.Source, i.EID = m.time, evidence.BasisEvent, evidence.Linux, m.host, m.source, m.eid
	if m.ident == "systemctl" {
		i.InstallerPID = m.pid
	}
	i.InstallerUID = m.uid
	i.Session = m.session
	return i, true
}

// Package reads what yum and dnf say of one package: "Installed: nginx-1.24-1.x86_64".
func Package(text string) (evidence.Change, bool) {
	what, name, ok := strings.Cut(text, ": ")
	if !ok {
		return evidence.Change{}, false
	}
	switch what {
	case "Installed", "Updated", "Upgraded", "Upgrade", "Downgraded", "Downgrade", "Erased", "Erase", "Removed", "Reinstalled", "Obsoleted", "Dep-Installed":
	default:
		return evidence.Change{}, false
	}
	name = strings.TrimSpace(name)
	if name == "" || strings.Contains(name, " ") {
		return evidence.Change{}, false
	}
	return evidence.Change{Platform: evidence.Linux, Kind: evidence.ChangePackage, Subject: clip(name), Detail: strings.ToLower(what)}, true
}

// refused are words of a firewall rule's prefix that say that nothing came of it.
var refused = []string{"BLOCK", "DROP", "DENY", "DENIED", "REJECT"}

// firewall reads a packet that iptables or nftables logged:
//
//	[UFW ALLOW] IN= OUT=eth0 SRC=10.0.0.9 DST=203.0.113.7 LEN=60 ... PROTO=TCP SPT=50001 DPT=443 ... UID=1000
//
// What was refused is no connection. One that is passed on is its sender's.
func firewall(text string) (evidence.Connection, bool) {
	at := strings.Index(text, "IN=")
	if at < 0 || at > 256 || at > 0 && text[at-1] != ' ' && text[at-1] != ']' && text[at-1] != ':' {
		return evidence.Connection{}, false
	}
	prefix := strings.ToUpper(text[:at])
	for _, w := range refused {
		if strings.Contains(prefix, w) {
			return evidence.Connection{}, false
		}
	}
	// An error carries the packet it is about, in brackets.
	text, _, _ = strings.Cut(text[at:], "[")
	c := evidence.Connection{Platform: evidence.Linux}
	var in, out, src, dst string
	var sport, dport int64
	for i, f := range strings.Fields(text) {
		if i == 64 {
			break
		}
		switch key, value, _ := strings.Cut(f, "="); key {
		case "IN":
			in = value
		case "OUT":
			out = value
		case "SRC":
			src = peer.Address(value)
		case "DST":
			dst = peer.Address(value)
		case "PROTO":
			c.Protocol = strings.ToLower(value)
		case "SPT":
			sport = port(value)
		case "DPT":
			dport = port(value)
		case "UID":
			c.UID = clip(value)
		}
	}
	if c.Protocol != "tcp" && c.Protocol != "udp" || src == "" || dst == "" {
		return c, false
	}
	c.LocalAddr, c.LocalPort, c.RemoteAddr, c.RemotePort = src, sport, dst, dport
	if in != "" && out == "" {
		c.Inbound = true
		c.LocalAddr, c.LocalPort, c.RemoteAddr, c.RemotePort = dst, dport, src, sport
	}
	return c, peer.Other(c.RemoteAddr) && peer.Other(c.LocalAddr) && c.RemoteAddr != c.LocalAddr
}

func port(s string) int64 {
	if n := number(s); n <= 65535 {
		return n
	}
	return 0
}

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "..."
}
