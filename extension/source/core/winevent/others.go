package winevent

import (
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/peer"
)

// logonTypes are the numbers of the ways to log on.
var logonTypes = map[string]string{
	"2": "interactive", "3": "network", "4": "batch", "5": "service", "7": "unlock", "8": "network_cleartext", "9": "new_credentials",
	"10": "remote_interactive", "11": "cached_interactive", "12": "cached_remote_interactive", "13": "cached_unlock",
}

// logon is 4624 and 4625. Those of the host's own machinery are most of a log and
// say nothing of a person.
func (*Reader) logon(e *Event, b *evidence.Batch) {
	l := evidence.Logon{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID, Failed: e.ID == LogonFailed,
		Username: e.user("TargetDomainName", "TargetUserName"), UID: e.sid("TargetUserSid"),
		Type: logonTypes[e.text("LogonType")], From: e.from(), LogonID: e.logonID("TargetLogonId"), PID: e.pid("ProcessId"),
	}
	switch e.text("ElevatedToken") {
	case "%%1842":
		l.Privileged = evidence.Yes
	case "%%1843":
		l.Privileged = evidence.No
	}
	if l.Failed || e.text("LogonType") != "0" && !ofTheHost(&l) {
		b.Logons = append(b.Logons, l)
	}
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

// ofTheHost reports whether a logon is one of the host's own machinery: a
// machine's account, or one that services and the desktop's processes run as.
func ofTheHost(l *evidence.Logon) bool {
	if !peer.Local(l.From) {
		return false
	}
	switch l.UID {
	case "S-1-5-7", "S-1-5-18", "S-1-5-19", "S-1-5-20":
		return true
	}
	for _, p := range []string{"S-1-5-80-", "S-1-5-82-", "S-1-5-83-", "S-1-5-90-", "S-1-5-96-", "S-1-5-111-"} {
		if strings.HasPrefix(l.UID, p) {
			return true
		}
	}
	domain, _, _ := strings.Cut(l.Username, `\`)
	switch strings.ToLower(domain) {
	case "window manager", "font driver host", "nt service", "iis apppool", "virtual users":
		return true
	}
	return l.Username == "" || strings.HasSuffix(l.Username, "$")
}

// maxRights bounds the logons whose rights are remembered.
const maxRights = 4096

// rights are the ids of logons that got administrator's rights.
type rights map[string]bool

func (r *Reader) privileges(e *Event, _ *evidence.Batch) {
	id := e.logonID("SubjectLogonId")
	if id == "" || len(r.rights) >= maxRights {
		return
	}
	if r.rights == nil {
		r.rights = rights{}
	}
	r.rights[id] = true
}

// flush says of logons, wherever they stand, that they got rights.
func (r *rights) flush(b *evidence.Batch) {
	for i := range b.Logons {
		if l := &b.Logons[i]; !l.Failed && l.Type != "explicit" && (*r)[l.LogonID] {
			l.Privileged = evidence.Yes
		}
	}
	*r = nil
}

func (e *Event) port(name string) int64 {
	n, ok := e.number(name)
	if !ok || n > 65535 {
		return 0
	}
	return int64(n)
}

func (*Reader) sysmonConnection(e *Event, b *evidence.Batch) {
	c := evidence.Connection{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID,
		PID: e.pid("ProcessId"), Path: e.text("Image"), Username: e.text("User"), Protocol: strings.ToLower(e.text("Protocol")),
		Inbound: strings.EqualFold(e.text("Initiated"), "false"),
	}
	if strings.HasPrefix(c.Path, "<") {
		c.Path = "" // "<unknown process>"
	}
	local, remote := "Source", "Destination"
	// Which side an inbound connection calls the source differs by version: the
	// host's own name tells, or else the port that is served, which is the smaller.
	if c.Inbound {
		named := sameHost(e.text("DestinationHostname"), e.Host)
		if named == sameHost(e.text("SourceHostname"), e.Host) {
			named = e.port("DestinationPort") < e.port("SourcePort")
		}
		if named {
			local, remote = remote, local
		}
	}
	c.LocalAddr, c.LocalPort = peer.Address(e.text(local+"Ip")), e.port(local+"Port")
	c.RemoteAddr, c.RemotePort = peer.Address(e.text(remote+"Ip")), e.port(remote+"Port")
	c.RemoteName = e.text(remote + "Hostname")
	connect(b, c)
}

// filtered is 5156: the filtering platform let a connection through. It tells the
// local address first, whatever the direction.
func (*Reader) filtered(e *Event, b *evidence.Batch) {
	connect(b, evidence.Connection{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID,
		PID: e.pid("ProcessID"), Path: e.text("Application"), Protocol: Protocol(e.text("Protocol")), Inbound: e.text("Direction") == "%%14592",
		LocalAddr: peer.Address(e.text("SourceAddress")), LocalPort: e.port("SourcePort"),
		RemoteAddr: peer.Address(e.text("DestAddress")), RemotePort: e.port("DestPort"),
	})
}

// Protocol names the number of a protocol, of those that matter.
func Protocol(number string) string {
	switch number {
	case "6":
		return "tcp"
	case "17":
		return "udp"
	}
	return ""
}

// connect adds a connection with another host.
func connect(b *evidence.Batch, c evidence.Connection) {
	if c.RemoteAddr != "" && c.RemoteAddr != c.LocalAddr && peer.Other(c.RemoteAddr) && peer.Other(c.LocalAddr) {
		b.Connections = append(b.Connections, c)
	}
}

func (e *Event) change(kind, subject, detail string) evidence.Change {
	return evidence.Change{
		Time: e.Time, Platform: evidence.Windows, Host: e.Host, Source: e.Source, EID: e.EID, Kind: kind, Subject: subject, Detail: detail,
		Username: e.user("SubjectDomainName", "SubjectUserName"), UID: e.sid("SubjectUserSid"),
	}
}

// accountEvents are the Security events of accounts and groups: what it is, and
// what was done to it.
var accountEvents = map[int64][2]string{
	4720: {"user", "created"}, 4722: {"user", "enabled"}, 4724: {"user", "password reset"}, 4725: {"user", "disabled"}, 4726: {"user", "deleted"},
	4740: {"user", "locked out"}, 4781: {"user", "renamed"},
	4728: {"group", "member added"}, 4732: {"group", "member added"}, 4756: {"group", "member added"},
}

// AccountIDs are the ids of the events of accounts and groups.
func AccountIDs() []int64 {
	return []int64{4720, 4722, 4724, 4725, 4726, 4728, 4732, 4740, 4756, 4781}
}

func (*Reader) account(e *Event, b *evidence.Batch) {
	what := accountEvents[e.ID]
	name, detail := e.user("TargetDomainName", "TargetUserName"), what[1]
	switch {
	case e.ID == 4781:
		name = e.user("TargetDomainName", "OldTargetUserName")
		detail += " to " + clip(e.text("NewTargetUserName"))
	case what[0] == "group":
		member := e.text("MemberName")
		if member == "" {
			member = e.text("MemberSid")
		}
		detail += ": " + clip(member)
	}
	if name != "" {
		b.Changes = append(b.Changes, e.change(evidence.ChangeAccount, what[0]+" "+clip(name), detail))
	}
}

func (*Reader) cleared(e *Event, b *evidence.Batch) {
	log := e.text("Channel")
	if log == "" {
		log = Security // 1102 doesn't name it
	}
	detail := "cleared"
	if to := e.text("BackupPath"); to != "" {
		detail += ", saved as " + clip(to)
	}
	b.Changes = append(b.Changes, e.change(evidence.ChangeAudit, "log "+clip(log), detail))
}

// policies are the audit policies that matter here, by the number of their names.
var policies = map[string]string{
	"%%12289": "Security System Extension", "%%12544": "Logon", "%%12545": "Logoff", "%%12548": "Special Logon",
	"%%12804": "Other Object Access Events", "%%12810": "Filtering Platform Connection", "%%13312": "Process Creation",
	"%%13568": "Audit Policy Change", "%%13824": "User Account Management", "%%13826": "Security Group Management",
}

var policyWords = strings.NewReplacer("%%8448", "success removed", "%%8449", "success added", "%%8450", "failure removed", "%%8451", "failure added")

func (*Reader) auditPolicy(e *Event, b *evidence.Batch) {
	policy := e.text("SubcategoryId")
	if name := policies[policy]; name != "" {
		policy = name
	} else if guid := e.text("SubcategoryGuid"); guid != "" {
		policy = guid
	}
	b.Changes = append(b.Changes, e.change(evidence.ChangeAudit, "audit policy "+clip(policy), policyWords.Replace(clip(e.text("AuditPolicyChanges")))))
}
