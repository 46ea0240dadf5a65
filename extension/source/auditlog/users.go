package auditlog

import (
	"bytes"
	"path"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/peer"
)

// users remembers what was told of a session, to tell it once.
type users struct {
	sessions [64]string // that PAM opened, of the host
	next     int
	failed   string // process whose authentication failed last, of the host
	failedAt int64
	changed  string // account that was changed last, by which process
}

// quietly is how long, in seconds, after a failed authentication the report of the
// failed login of the same process belongs to it.
const quietly = 300

// userRecord is what programs report through the audit daemon.
type userRecord struct {
	pid, uid, auid, ses, acct, grp, exe, addr, host, terminal, op, res string
	userName, loginName                                                string // as an enriched log resolved them
}

func parseUser(body []byte) (u userRecord) {
	inner := func(key, raw []byte) {
		switch string(key) {
		case "op":
			u.op = plain(raw)
		case "acct":
			u.acct = untrusted(raw)
		case "grp":
			u.grp = untrusted(raw)
		case "exe":
			u.exe = untrusted(raw)
		case "hostname":
			u.host = plain(raw)
		case "addr":
			u.addr = plain(raw)
		case "terminal":
			u.terminal = terminal(raw)
		case "res", "result":
			u.res = plain(raw)
		case "id":
			if u.acct == "" {
				u.acct = unset(raw) // a number where no name was at hand
			}
		}
	}
	fields(body, func(key, raw []byte) {
		switch string(key) {
		case "msg":
			inside := bytes.Trim(raw, "'")
			// "op=adding user to group acct=...": the words of an operation are not
			// quoted.
			if after, ok := bytes.CutPrefix(inside, []byte("op=")); ok {
				if end := bytes.IndexByte(after, '='); end > 0 {
					if sp := bytes.LastIndexByte(after[:end], ' '); sp > 0 {
						u.op = plain(after[:sp])
						inside = after[sp+1:]
					}
				}
			}
			fields(inside, inner)
		case "pid":
			u.pid = plain(raw)
		case "uid":
			u.uid = unset(raw)
		case "auid":
			u.auid = unset(raw)
		case "ses":
			u.ses = unset(raw)
		case "UID":
			u.userName = name(raw)
		case "AUID":
			u.loginName = name(raw)
		case "op", "res":
			inner(key, raw)
		}
	})
	return u
}

func (u *userRecord) failure() bool { return strings.HasPrefix(u.res, "fail") || u.res == "0" }

// record reads what is no part of an event of several records.
func (s *users) record(h *header, to *evidence.Batch) {
	switch h.typ {
	case "USER_LOGIN", "USER_AUTH", "USER_START":
		u := parseUser(h.body)
		if l, ok := s.logon(h, &u); ok {
			to.Logons = append(to.Logons, l)
		}
	case "ADD_USER", "DEL_USER", "ADD_GROUP", "DEL_GROUP", "USER_CHAUTHTOK", "USER_MGMT", "GRP_MGMT", "GRP_CHAUTHTOK", "CHGRP_ID", "ACCT_LOCK", "ACCT_UNLOCK":
		u := parseUser(h.body)
		c, ok := accountChange(h, &u)
		if !ok {
			return
		}
		// The tools tell of each file that they change for one group.
		if what := h.node + "\x00" + h.typ + "\x00" + u.pid + "\x00" + c.Subject + "\x00" + u.grp; what != s.changed {
			s.changed = what
			to.Changes = append(to.Changes, c)
		}
	case "SYSTEM_BOOT":
		u := parseUser(h.body)
		if c := u.begin(h, evidence.ChangeRestart); !u.failure() && (u.uid == "0" || u.uid == "") {
			c.Subject, c.Detail = "host", "started"
			to.Changes = append(to.Changes, c)
		}
	case "CONFIG_CHANGE", "DAEMON_END", "DAEMON_ABORT":
		u := parseUser(h.body)
		if c, ok := auditChange(h, &u); ok {
			to.Changes = append(to.Changes, c)
		}
	}
}

// logon reads a session, a login or a failed authentication.
func (s *users) logon(h *header, u *userRecord) (evidence.Logon, bool) {
	l := evidence.Logon{Time: h.second, Platform: evidence.Linux, Host: h.node, Source: Source, EID: h.id(),
		Username: u.acct, PID: id([]byte(u.pid)), LogonID: u.ses, Failed: u.failure()}
	if strings.Contains(u.terminal, "tty") || strings.HasPrefix(u.terminal, "pts/") || strings.HasPrefix(u.terminal, ":") {
		l.TTY = u.terminal
	}
	program := path.Base(u.exe)
	l.Type = LogonType(program)
	l.From = peer.Address(u.addr)
	switch l.Type {
	case "ssh", "network", "remote_interactive":
		if l.From == "" { // of others the host's name is their own
			l.From = peer.Address(u.host)
		}
	}
	switch program {
	case "cron", "crond", "atd", "systemd", "systemd-executor":
		return l, false
	}
	process, session := h.node+"\x00"+u.pid, h.node+"\x00"+u.ses
	switch h.typ {
	case "USER_AUTH":
		if !l.Failed || u.op != "" && u.op != "PAM:authentication" && u.op != "password" {
			return l, false
		}
		if s.failed == process && s.failedAt == h.second && u.op == "password" {
			return l, false // PAM and the program itself, of one attempt
		}
		s.failed, s.failedAt = process, h.second
	case "USER_LOGIN":
		if l.Failed && s.failed == process && h.second-s.failedAt <= quietly {
			return l, false
		}
		if !l.Failed && s.opened(session) {
			return l, false
		}
	case "USER_START":
		if l.Failed || u.op != "PAM:session_open" {
			return l, false
		}
		s.sessions[s.next] = session
		s.next = (s.next + 1) % len(s.sessions)
	}
	if l.Username == "" || strings.HasPrefix(l.Username, "(") {
		l.Username = "" // "(unknown user)", "(invalid user)"
		return l, l.Failed
	}
	if !l.Failed {
		if l.Type != "sudo" && u.auid != "" {
			l.UID = u.auid
		}
		if l.Username == "root" || l.UID == "0" {
			l.UID, l.Privileged = "0", evidence.Yes
		}
	}
	return l, true
}

func (s *users) opened(session string) bool {
	for _, have := range s.sessions {
		if have == session {
			return true
		}
	}
	return false
}

// LogonType tells how somebody logs on, by the program that lets him in or by the
// name of its PAM service; "" when that says nothing.
func LogonType(program string) string {
	switch program {
	case "sshd", "sshd-session", "sshd-auth", "dropbear":
		return "ssh"
	case "login", "agetty":
		return "console"
	case "sudo", "sudo-i", "sudo-rs", "su", "su-l", "doas", "pkexec", "polkit-1", "polkit-agent-helper-1", "run0", "runuser", "runuser-l":
		return "sudo"
	case "gdm", "gdm-session-worker", "gdm-password", "gdm-autologin", "gdm-smartcard", "gdm-fingerprint", "lightdm", "lightdm-autologin", "sddm", "sddm-helper", "sddm-autologin", "xdm", "lxdm", "kdm", "greetd", "ly":
		return "interactive"
	case "xrdp-sesman", "xrdp-sesexec":
		return "remote_interactive"
	case "vsftpd", "proftpd", "cockpit", "cockpit-session", "smbd", "samba", "dovecot", "auth":
		return "network"
	}
	return ""
}

// begin begins a change by whom a record tells.
func (u *userRecord) begin(h *header, kind string) evidence.Change {
	c := evidence.Change{Time: h.second, Platform: evidence.Linux, Host: h.node, Source: Source, EID: h.id(), Kind: kind, PID: id([]byte(u.pid)), UID: u.auid, Username: u.loginName}
	if c.UID == "" {
		c.UID, c.Username = u.uid, u.userName
	}
	return c
}

var accountWords = map[string]string{
	"ADD_USER": "user created", "DEL_USER": "user deleted", "ADD_GROUP": "group created", "DEL_GROUP": "group deleted", "USER_CHAUTHTOK": "password or attributes of a user changed",
	"USER_MGMT": "user changed", "GRP_MGMT": "group changed", "GRP_CHAUTHTOK": "group's password changed", "CHGRP_ID": "id of a group changed", "ACCT_LOCK": "account locked", "ACCT_UNLOCK": "account unlocked",
}

func accountChange(h *header, u *userRecord) (evidence.Change, bool) {
	c := u.begin(h, evidence.ChangeAccount)
	what, who := "user ", u.acct
	if strings.Contains(h.typ, "GROUP") || strings.HasPrefix(h.typ, "GRP_") || h.typ == "CHGRP_ID" {
		what = "group "
		if u.grp != "" {
			who = u.grp
		}
	}
	if who == "" || u.failure() {
		return c, false
	}
	c.Subject, c.Detail = clip(what+who), accountWords[h.typ]
	switch {
	case what == "user " && u.grp != "":
		c.Detail += ", group " + clip(u.grp)
	case what == "group " && u.grp != "" && u.acct != "":
		c.Detail += ", user " + clip(u.acct)
	}
	if u.op != "" {
		c.Detail += ": " + clip(u.op)
	}
	if u.exe != "" {
		c.Detail += " (" + clip(u.exe) + ")"
	}
	return c, true
}

// auditChange reads changes of the audit system. The rules that are loaded while
// the machine starts have no login user.
func auditChange(h *header, u *userRecord) (evidence.Change, bool) {
	c := u.begin(h, evidence.ChangeAudit)
	if h.typ != "CONFIG_CHANGE" {
		c.Subject, c.Detail = "auditd", "ended"
		if h.typ == "DAEMON_ABORT" {
			c.Detail = "ended on an error"
		}
		if u.op != "" {
			c.Detail += ": " + clip(u.op)
		}
		return c, true
	}
	less := bytes.Contains(h.body, []byte("audit_enabled=0")) || strings.HasPrefix(u.op, "remove")
	if u.failure() || u.auid == "" && !less {
		return c, false
	}
	c.Subject = "audit rules"
	if bytes.Contains(h.body, []byte("audit_")) {
		c.Subject = "audit settings"
	}
	var said []string
	fields(h.body, func(key, raw []byte) {
		if len(said) == maxSaid {
			return
		}
		switch k := string(key); k {
		case "op", "list", "audit_enabled", "old", "audit_failure", "audit_backlog_limit", "audit_pid", "path", "dir":
			said = append(said, k+"="+clip(plain(raw)))
		case "key":
			said = append(said, k+"="+clip(untrusted(raw)))
		}
	})
	c.Detail = clip(strings.Join(said, " "))
	return c, true
}

const (
	// maxText bounds a text that is put together, in bytes.
	maxText = 1024
	// maxSaid bounds the fields of a record that are repeated.
	maxSaid = 16
)

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "..."
}
