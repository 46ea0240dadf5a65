package evtx

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/peer"
)

// LogonType names a logon type of Windows in the words of evidence.Logon; "" is
// one without a name.
func LogonType(n int64) string {
	switch n {
	case 2:
		return "interactive"
	case 3:
		return "network"
	case 4:
		return "batch"
	case 5:
		return "service"
	case 7:
		return "unlock"
	case 8:
		return "network_cleartext"
	case 9:
		return "new_credentials"
	case 10:
		return "remote_interactive"
	case 11:
		return "cached_interactive"
	case 12:
		return "cached_remote_interactive"
	case 13:
		return "cached_unlock"
	}
	return ""
}

// logon reads 4624 and 4625.
func (e *Reader) logon(b *Batch, r *record) {
	d := r.data
	kind, _ := number(d, "LogonType")
	id, _ := number(r.system, "EventID")
	l := evidence.Logon{
		Time: r.time, Platform: r.platform, Host: r.host, Source: SourceSecurity, EID: r.eid, Failed: id == 4625,
		Username: account(text(d, "TargetDomainName"), text(d, "TargetUserName")), UID: known(text(d, "TargetUserSid")),
		Type: LogonType(kind), From: from(r), PID: anyNumber(d, "ProcessId"),
	}
	if l.Failed {
		b.Logons = append(b.Logons, l)
		return
	}
	l.LogonID, l.Privileged = logonID(d, "TargetLogonId"), yesNo(d, "ElevatedToken")
	if e.rights.take(r.host, l.LogonID) {
		l.Privileged = evidence.Yes
	}
	if kind == 0 || ofTheHost(&l) {
		return
	}
	b.Logons = append(b.Logons, l)
}

// explicitLogon reads 4648: a process uses other credentials than its own. When
// the system does so for this host, it lets somebody in, of which 4624 tells.
func (e *Reader) explicitLogon(b *Batch, r *record) {
	d := r.data
	l := evidence.Logon{
		Time: r.time, Platform: r.platform, Host: r.host, Source: SourceSecurity, EID: r.eid, Type: "explicit",
		Username: account(text(d, "TargetDomainName"), text(d, "TargetUserName")), From: from(r),
		PID: anyNumber(d, "ProcessId"), LogonID: logonID(d, "SubjectLogonId"),
	}
	// A port of a service is that of the server the credentials are shown to.
	if port, ok := number(d, "IpPort"); ok && port > 0 && port < 1024 {
		l.From = ""
	}
	system := text(d, "SubjectUserSid") == "S-1-5-18" && strings.EqualFold(text(d, "TargetServerName"), "localhost") && peer.Local(l.From)
	if !system && !ofTheHost(&l) {
		b.Logons = append(b.Logons, l)
	}
}

// terminalSession reads the sessions that terminal services tell of.
func (e *Reader) terminalSession(b *Batch, r *record) {
	d := r.data
	l := evidence.Logon{
		Time: r.time, Platform: r.platform, Host: r.host, Source: SourceTerminal, EID: r.eid, Type: "remote_interactive",
		Username: dash(text(d, "User")),
	}
	if l.From = peer.Address(text(d, "Address")); strings.EqualFold(l.From, "LOCAL") || l.From == "" {
		l.From, l.Type = "", "interactive"
	}
	if l.Username != "" {
		b.Logons = append(b.Logons, l)
	}
}

// from is where a logon came from: an address, or the name of another host.
func from(r *record) string {
	if a := peer.Address(text(r.data, "IpAddress")); a != "" {
		return a
	}
	name := strings.TrimLeft(dash(strings.TrimSpace(text(r.data, "WorkstationName"))), `\`)
	if sameHost(name, r.host) {
		return ""
	}
	return name
}

func sameHost(a, b string) bool {
	a, _, _ = strings.Cut(a, ".")
	b, _, _ = strings.Cut(b, ".")
	return strings.EqualFold(a, b)
}

// ofTheHost reports whether a logon is one of the host's own machinery.
func ofTheHost(l *evidence.Logon) bool {
	return peer.Local(l.From) && machinery(l.UID, l.Username)
}

// machinery reports whether an account is a machine's, or one that services and
// the desktop's own processes run as.
func machinery(uid, user string) bool {
	switch uid {
	case "S-1-5-7", "S-1-5-18", "S-1-5-19", "S-1-5-20":
		return true
	}
	for _, p := range []string{"S-1-5-80-", "S-1-5-82-", "S-1-5-83-", "S-1-5-90-", "S-1-5-96-", "S-1-5-111-"} {
		if strings.HasPrefix(uid, p) {
			return true
		}
	}
	domain, _, _ := strings.Cut(user, `\`)
	switch strings.ToLower(domain) {
	case "window manager", "font driver host", "nt service", "iis apppool", "virtual users":
		return true
	}
	return user == "" || strings.HasSuffix(user, "$")
}

// rights are the logons that got administrator's rights (4672), which the log
// tells mostly just before the logon itself. They wait for it.
type rights struct {
	waiting []evidence.Logon
}

// maxRights bounds the logons that wait.
const maxRights = 32

// privileges reads 4672.
func (e *Reader) privileges(b *Batch, r *record) {
	d := r.data
	l := evidence.Logon{
		Time: r.time, Platform: r.platform, Host: r.host, Source: SourceSecurity, EID: r.eid, Privileged: evidence.Yes,
		Username: account(text(d, "SubjectDomainName"), text(d, "SubjectUserName")), UID: known(text(d, "SubjectUserSid")),
		LogonID: logonID(d, "SubjectLogonId"),
	}
	if l.LogonID == "" {
		return
	}
	for n := len(b.Logons) - 1; n >= 0 && n >= len(b.Logons)-maxRights; n-- {
		if old := &b.Logons[n]; old.LogonID == l.LogonID && old.Host == l.Host && old.Type != "explicit" {
			old.Privileged = evidence.Yes
			return
		}
	}
	w := &e.rights
	if len(w.waiting) == maxRights {
		if old := w.waiting[0]; !machinery(old.UID, old.Username) {
			b.Logons = append(b.Logons, old)
		}
		w.waiting = append(w.waiting[:0], w.waiting[1:]...)
	}
	w.waiting = append(w.waiting, l)
}

// take reports whether a logon that is now told of got rights.
func (w *rights) take(host, id string) bool {
	for n := range w.waiting {
		if w.waiting[n].LogonID == id && w.waiting[n].Host == host {
			w.waiting = append(w.waiting[:n], w.waiting[n+1:]...)
			return true
		}
	}
	return false
}

// flush returns those whose logon the log doesn't have.
func (w *rights) flush() (out []evidence.Logon) {
	for _, l := range w.waiting {
		if !machinery(l.UID, l.Username) {
			out = append(out, l)
		}
	}
	w.waiting = nil
	return out
}
