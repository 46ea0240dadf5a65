package winevent

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/peer"
)

// LogonType names a logon type of Windows in the words of evidence.Logon; "" is
// one without a name.
func LogonType(n int) string {
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

// logon is 4624 and 4625. Those of the host's own machinery are most of a log and
// say nothing of a person.
func (r *Reader) logon(e *Event, b *evidence.Batch) {
	kind := e.text("LogonType")
	l := evidence.Logon{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID, Failed: e.ID == LogonFailed,
		Username: e.user("TargetDomainName", "TargetUserName"), UID: e.sid("TargetUserSid"),
		Type: LogonType(e.integer("LogonType")), From: e.from(), PID: e.pid("ProcessId"),
	}
	if l.Failed {
		b.Logons = append(b.Logons, l)
		return
	}
	l.LogonID, l.Privileged = e.logonID("TargetLogonId"), e.yesNo("ElevatedToken")
	if l.LogonID != "" && r.rights.take(l.Host, l.LogonID) {
		l.Privileged = evidence.Yes
	}
	if kind != "0" && !ofTheHost(&l) {
		b.Logons = append(b.Logons, l)
	}
}

// yesNo is a value that is yes or no.
func (e *Event) yesNo(name string) evidence.Tristate {
	switch e.text(name) {
	case "%%1842", "true", "1":
		return evidence.Yes
	case "%%1843", "false", "0":
		return evidence.No
	}
	return evidence.Unknown
}

// explicit is a use of other credentials than one's own: the logon is that of the
// credentials' owner, its id the session of who used them. When the system does so
// for this host, it lets somebody in, of which 4624 tells.
func (*Reader) explicit(e *Event, b *evidence.Batch) {
	l := evidence.Logon{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID, Type: "explicit",
		Username: e.user("TargetDomainName", "TargetUserName"), From: e.from(), LogonID: e.logonID("SubjectLogonId"), PID: e.pid("ProcessId"),
	}
	// A port of a service is that of the server the credentials are shown to.
	if port := e.port("IpPort"); port > 0 && port < 1024 {
		l.From = ""
	}
	system := e.text("SubjectUserSid") == "S-1-5-18" && strings.EqualFold(e.text("TargetServerName"), "localhost") && peer.Local(l.From)
	if !system && !ofTheHost(&l) {
		b.Logons = append(b.Logons, l)
	}
}

// from is where a logon came from: an address, or the name of another host.
func (e *Event) from() string {
	if addr := peer.Address(e.text("IpAddress")); addr != "" {
		return addr
	}
	name := strings.TrimLeft(strings.TrimSpace(e.text("WorkstationName")), `\`)
	if sameHost(name, e.Host) {
		return ""
	}
	return name
}

func sameHost(a, b string) bool {
	a, _, _ = strings.Cut(a, ".")
	b, _, _ = strings.Cut(b, ".")
	return a != "" && strings.EqualFold(a, b)
}

// ofTheHost reports whether a logon is one of the host's own machinery.
func ofTheHost(l *evidence.Logon) bool { return peer.Local(l.From) && machinery(l.UID, l.Username) }

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

// session is 21 and 25: a session of terminal services, also of one at the desk.
func (*Reader) session(e *Event, b *evidence.Batch) {
	l := evidence.Logon{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID, Type: "remote_interactive",
		Username: e.text("User"), From: peer.Address(e.text("Address")),
	}
	if l.From == "" || strings.EqualFold(l.From, "LOCAL") {
		l.From, l.Type = "", "interactive"
	}
	if l.Username != "" {
		b.Logons = append(b.Logons, l)
	}
}

const (
	// maxRights bounds the logons that got rights and wait to be told of.
	maxRights = 1024
	// lookBack is how many logons are searched for the one that got rights.
	lookBack = 32
)

// rights are the logons that got administrator's rights (4672), which a log tells
// mostly just before the logon itself.
type rights struct {
	waiting map[string]evidence.Logon
	order   []string // their keys, the oldest first; some are of logons told of since
}

func rightsKey(host, id string) string { return host + "\x00" + id }

func (r *Reader) privileges(e *Event, b *evidence.Batch) {
	l := evidence.Logon{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID, Privileged: evidence.Yes,
		Username: e.user("SubjectDomainName", "SubjectUserName"), UID: e.sid("SubjectUserSid"), LogonID: e.logonID("SubjectLogonId"),
	}
	if l.LogonID == "" {
		return
	}
	for n := len(b.Logons) - 1; n >= 0 && n >= len(b.Logons)-lookBack; n-- {
		if old := &b.Logons[n]; old.LogonID == l.LogonID && old.Host == l.Host && old.Type != "explicit" {
			old.Privileged = evidence.Yes
			return
		}
	}
	w := &r.rights
	if w.waiting == nil {
		w.waiting = map[string]evidence.Logon{}
	}
	key := rightsKey(l.Host, l.LogonID)
	if _, twice := w.waiting[key]; !twice {
		w.order = append(w.order, key)
	}
	w.waiting[key] = l
	for len(w.order) > maxRights {
		w.drop(b, r.Whole)
	}
}

// take reports whether a logon that is now told of got rights.
func (w *rights) take(host, id string) bool {
	key := rightsKey(host, id)
	_, ok := w.waiting[key]
	delete(w.waiting, key)
	return ok
}

// drop lets the oldest go; it counts as a logon when the log is read whole.
func (w *rights) drop(b *evidence.Batch, whole bool) {
	key := w.order[0]
	w.order = append(w.order[:0], w.order[1:]...)
	if l, ok := w.waiting[key]; ok {
		delete(w.waiting, key)
		if whole && !machinery(l.UID, l.Username) {
			b.Logons = append(b.Logons, l)
		}
	}
}

// flush ends the waiting for those whose logon did not come. It may stand farther
// up in b.
func (w *rights) flush(b *evidence.Batch, whole bool) {
	for i := range b.Logons {
		if l := &b.Logons[i]; len(w.waiting) > 0 && !l.Failed && l.Type != "explicit" && w.take(l.Host, l.LogonID) {
			l.Privileged = evidence.Yes
		}
	}
	for len(w.order) > 0 {
		w.drop(b, whole)
	}
}
