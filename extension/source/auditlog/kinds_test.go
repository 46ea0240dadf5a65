package auditlog

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

const at = 1_700_000_000

func user(typ, head, inner string) string {
	return "type=" + typ + " msg=audit(1700000000.999:7): " + head + " msg='" + inner + "'\x1dUID=\"root\" AUID=\"anna\"\n"
}

func TestUsers(t *testing.T) {
	logon := func(change func(*evidence.Logon)) evidence.Batch {
		l := evidence.Logon{Time: at, Platform: evidence.Linux, Username: "anna", UID: "1000", Type: "ssh", From: "10.0.0.5", PID: 900, LogonID: "3", Source: Source, EID: "1700000000.999:7"}
		change(&l)
		return evidence.Batch{Logons: []evidence.Logon{l}}
	}
	changed := func(kind, subject, detail string, more ...func(*evidence.Change)) evidence.Batch {
		c := evidence.Change{Time: at, Platform: evidence.Linux, Kind: kind, Subject: subject, Detail: detail, Username: "anna", UID: "1000", PID: 900, Source: Source, EID: "1700000000.999:7"}
		for _, f := range more {
			f(&c)
		}
		return evidence.Batch{Changes: []evidence.Change{c}}
	}
	const (
		head = "pid=900 uid=0 auid=1000 ses=3 subj=x"
		ssh  = `exe="/usr/sbin/sshd" hostname=10.0.0.5 addr=10.0.0.5 terminal=ssh res=success`
		open = `op=PAM:session_open grantors=pam_unix acct="anna" ` + ssh
	)
	fail := func(s string) string { return strings.Replace(s, "res=success", "res=failed", 1) }
	failed := func(l *evidence.Logon) { l.Failed, l.UID = true, "" }
	none := evidence.Batch{}
	tests := []struct {
		name, log string
		want      evidence.Batch
	}{
		{"a session of ssh, told three times", user("USER_AUTH", head, `op=PAM:authentication acct="anna" `+ssh) + user("CRED_ACQ", head, `op=PAM:setcred acct="anna" `+ssh) + user("USER_START", head, open) + user("USER_START", head, `op=login id=1000 `+ssh) + user("USER_LOGIN", head, "op=login id=1000 "+ssh),
			logon(func(*evidence.Logon) {})},
		{"by number", strings.Replace(user("USER_START", head, open), "USER_START", "1105", 1), logon(func(*evidence.Logon) {})},
		{"a login without PAM", user("USER_LOGIN", head, `op=login acct="anna" `+ssh), logon(func(*evidence.Logon) {})},
		{"a login at the console", user("USER_START", head, `op=PAM:session_open acct="root" exe="/usr/bin/login" hostname=web1 addr=? terminal=/dev/tty1 res=success`),
			logon(func(l *evidence.Logon) {
				l.Username, l.UID, l.Type, l.From, l.TTY, l.Privileged = "root", "0", "console", "", "tty1", evidence.Yes
			})},
		{"sudo", user("USER_START", head, `op=PAM:session_open acct="root" exe="/usr/bin/sudo" hostname=? addr=? terminal=/dev/pts/0 res=success`),
			logon(func(l *evidence.Logon) {
				l.Username, l.UID, l.Type, l.From, l.TTY, l.Privileged = "root", "0", "sudo", "", "pts/0", evidence.Yes
			})},
		{"su to another user", user("USER_START", head, `op=PAM:session_open acct="bob" exe="/usr/bin/su" hostname=? addr=? terminal=pts/0 res=success`),
			logon(func(l *evidence.Logon) {
				l.Username, l.UID, l.Type, l.From, l.TTY = "bob", "", "sudo", "", "pts/0"
			})},
		{"cron and the manager of a user", user("USER_START", head, `op=PAM:session_open acct="root" exe="/usr/sbin/cron" terminal=cron res=success`) + user("USER_START", head, `op=PAM:session_open acct="anna" exe="/usr/lib/systemd/systemd" terminal=? res=success`), none},
		{"a failed password, told three times", user("USER_AUTH", head, fail(`op=PAM:authentication acct="anna" `+ssh)) + user("USER_AUTH", head, fail(`op=password acct="anna" `+ssh)) + user("USER_LOGIN", head, fail(`op=login acct="anna" `+ssh)), logon(failed)},
		{"a login that failed", user("USER_LOGIN", head, fail(`op=login acct=`+enc("(unknown user)")+` `+ssh)), logon(func(l *evidence.Logon) { failed(l); l.Username = "" })},
		{"a key that was not the right one", user("USER_AUTH", head, fail(`op=pubkey acct="anna" `+ssh)), none},
		{"a user is created", user("ADD_USER", head, `op=add-user acct="evil" exe="/usr/sbin/useradd" hostname=web1 addr=? terminal=pts/0 res=success`), changed(evidence.ChangeAccount, "user evil", "user created: add-user (/usr/sbin/useradd)")},
		{"words without quotes", user("ADD_USER", head, `op=adding user id=1001 exe="/usr/sbin/useradd" res=success`), changed(evidence.ChangeAccount, "user 1001", "user created: adding user (/usr/sbin/useradd)")},
		{"one that was not created", user("ADD_USER", head, `op=add-user acct="evil" exe="/usr/sbin/useradd" res=failed`), none},
		{"a user is deleted", user("DEL_USER", head, `op=delete-user acct="evil" exe="/usr/sbin/userdel" res=success`), changed(evidence.ChangeAccount, "user evil", "user deleted: delete-user (/usr/sbin/userdel)")},
		{"a group is made", user("ADD_GROUP", head, `op=add-group acct="evil" exe="/usr/sbin/groupadd" res=success`), changed(evidence.ChangeAccount, "group evil", "group created: add-group (/usr/sbin/groupadd)")},
		{"a group is made, told for each file", user("ADD_GROUP", head, `op=adding group to /etc/group id=1004 exe="/usr/sbin/groupadd" res=success`) + user("ADD_GROUP", head, `op=adding group to /etc/gshadow id=1004 exe="/usr/sbin/groupadd" res=success`) + user("ADD_GROUP", head, `op= id=1004 exe="/usr/sbin/groupadd" res=success`),
			changed(evidence.ChangeAccount, "group 1004", "group created: adding group to /etc/group (/usr/sbin/groupadd)")},
		{"a user becomes a member", user("USER_MGMT", head, `op=add-user-to-group grp="sudo" acct="evil" exe="/usr/sbin/usermod" res=success`), changed(evidence.ChangeAccount, "user evil", "user changed, group sudo: add-user-to-group (/usr/sbin/usermod)")},
		{"a password", user("USER_CHAUTHTOK", head, `op=PAM:chauthtok grantors=pam_unix acct="evil" exe="/usr/bin/passwd" res=success`), changed(evidence.ChangeAccount, "user evil", "password or attributes of a user changed: PAM:chauthtok (/usr/bin/passwd)")},
		{"rules while it starts", "type=CONFIG_CHANGE msg=audit(1700000000.999:7): auid=4294967295 ses=4294967295 op=add_rule key=\"x\" list=4 res=1\n", none},
		{"a rule by somebody", "type=CONFIG_CHANGE msg=audit(1700000000.999:7): auid=1000 ses=3 op=remove_rule key=\"x y\" list=4 res=1\n",
			changed(evidence.ChangeAudit, "audit rules", "op=remove_rule key=x y list=4", func(c *evidence.Change) { c.PID, c.Username = 0, "" })},
		{"auditing is turned off", "type=CONFIG_CHANGE msg=audit(1700000000.999:7): op=set audit_enabled=0 old=1 auid=4294967295 ses=4294967295 res=1\n",
			changed(evidence.ChangeAudit, "audit settings", "op=set audit_enabled=0 old=1", func(c *evidence.Change) { c.PID, c.UID, c.Username = 0, "", "" })},
		{"the daemon ends", "type=DAEMON_END msg=audit(1700000000.999:7): op=terminate auid=1000 uid=0 ses=3 pid=900 res=success\x1dAUID=\"anna\"\n", changed(evidence.ChangeAudit, "auditd", "ended: terminate")},
		{"the host starts", "type=SYSTEM_BOOT msg=audit(1700000000.999:7): pid=900 uid=0 auid=4294967295 ses=4294967295 msg=' comm=\"systemd-update-utmp\" exe=\"/usr/lib/systemd/systemd-update-utmp\" hostname=? addr=? terminal=? res=success'\n",
			changed(evidence.ChangeRestart, "host", "started", func(c *evidence.Change) { c.UID, c.Username = "0", "" })},
		{"a user says that the host starts", "type=SYSTEM_BOOT msg=audit(1700000000.999:7): pid=900 uid=1000 auid=1000 ses=3 msg=' comm=\"x\" res=success'\n", none},
		{"a service starts", user("SERVICE_START", head, `unit=evil comm="systemd" exe="/usr/lib/systemd/systemd" res=success`), none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, decodeAll(t, tt.log)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// sys is a system call of curl, or of whatever program that is.
func sys(arch, number, rest string) string {
	return "SYSCALL arch=" + arch + " syscall=" + number + " success=yes exit=0 " + rest + ` ppid=100 pid=200 auid=1000 uid=1000 euid=1000 tty=pts0 ses=3 exe="/usr/bin/curl"` + "\x1dEUID=\"anna\" AUID=\"anna\""
}

func TestConnections(t *testing.T) {
	want := func(change func(*evidence.Connection)) []evidence.Connection {
		c := evidence.Connection{Time: at, Platform: evidence.Linux, PID: 200, ParentPID: 100, Path: "/usr/bin/curl", CmdLine: "curl x", UID: "1000", Username: "anna", RemoteAddr: "203.0.113.7", RemotePort: 443, Source: Source, EID: "1700000000.999:7"}
		change(&c)
		return []evidence.Connection{c}
	}
	same := func(*evidence.Connection) {}
	const (
		v4    = "SOCKADDR saddr=020001BBCB0071070000000000000000"
		title = "PROCTITLE proctitle=6375726C0078"
	)
	x86 := sys("c000003e", "42", "a0=3 a1=7f a2=10")
	tests := []struct {
		name string
		log  string
		want []evidence.Connection
	}{
		{"IPv4", event0(7, x86, v4, title), want(same)},
		{"IPv6", event0(7, x86, "SOCKADDR saddr=0A0001BB0000000020010DB800000000000000000000000100000000", title), want(func(c *evidence.Connection) { c.RemoteAddr = "2001:db8::1" })},
		{"IPv4 in IPv6", event0(7, x86, "SOCKADDR saddr=0A0001BB0000000000000000000000000000FFFFCB00710700000000", title), want(same)},
		{"of a machine that counts from the other end", event0(7, sys("80000016", "362", "a0=3"), "SOCKADDR saddr=000201BBCB0071070000000000000000", title), want(same)},
		{"behind socketcall", event0(7, sys("40000003", "102", "a0=3 a1=ff"), v4, title), want(same)},
		{"by name", event0(7, x86+"\x1dSYSCALL=connect", v4, title), want(same)},
		{"one that goes on by itself", event0(7, strings.Replace(x86, "success=yes exit=0", "success=no exit=-115", 1), v4, title), want(same)},
		{"one that was accepted", event0(7, sys("c00000b7", "242", "a0=3"), v4, title), want(func(c *evidence.Connection) { c.Inbound = true })},
		{"one that was refused", event0(7, strings.Replace(x86, "success=yes exit=0", "success=no exit=-111", 1), v4, title), nil},
		{"a question for the way", event0(7, x86, "SOCKADDR saddr=02000000CB0071070000000000000000", title), nil},
		{"to itself", event0(7, x86, "SOCKADDR saddr=020001BB7F0000010000000000000000", title), nil},
		{"to a file", event0(7, x86, "SOCKADDR saddr=01002F72756E2F78", title), nil},
		{"another call", event0(7, sys("c000003e", "49", "a0=3"), v4, title), nil},
		{"socketcall for something else", event0(7, sys("40000003", "102", "a0=2 a1=ff"), v4, title), nil},
		{"addresses that are none", event0(7, x86, "SOCKADDR saddr=02", title) + event0(8, x86, "SOCKADDR saddr=zz", title) + event0(9, x86, "SOCKADDR saddr="+strings.Repeat("00", 4000), title) + event0(10, x86, "SOCKADDR saddr=0A0001BB00", title), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(evidence.Batch{Connections: tt.want}, decodeAll(t, tt.log)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestUnitFiles(t *testing.T) {
	want := func(change func(*evidence.Install)) []evidence.Install {
		i := evidence.Install{Time: at, TimeBasis: evidence.BasisEvent, Platform: evidence.Linux, Action: evidence.Created, Kind: "systemd", Name: "evil.service", UnitPath: "/etc/systemd/system/evil.service",
			InstallerPID: 200, InstallerPath: "/usr/bin/curl", InstallerCmdLine: "curl x", InstallerUID: "1000", InstallerUsername: "anna", LoginUser: "anna", Session: "3", Source: Source, EID: "1700000000.999:7"}
		change(&i)
		return []evidence.Install{i}
	}
	const title = "PROCTITLE proctitle=6375726C0078"
	path := func(name, kind string) string { return `PATH item=1 name="` + name + `" inode=1 nametype=` + kind }
	openat := sys("c000003e", "257", "a0=ffffff9c a1=7f a2=241 a3=1b6")
	tests := []struct {
		name string
		log  string
		want []evidence.Install
	}{
		{"a unit", event0(7, openat, `CWD cwd="/root"`, path("/etc/systemd/system/", "PARENT"), path("/etc/systemd/system/evil.service", "CREATE"), title), want(func(*evidence.Install) {})},
		{"a unit by a relative name", event0(7, openat, `CWD cwd="/etc/systemd"`, path("./system/../system/evil.service", "CREATE"), title), want(func(*evidence.Install) {})},
		{"a unit by a name in hexadecimal digits", event0(7, openat, `CWD cwd="/root"`, "PATH item=1 name="+enc("/etc/systemd/system/evil.service")+" nametype=CREATE", title), want(func(*evidence.Install) {})},
		{"a unit that is written to", event0(7, openat, path("/etc/systemd/system/evil.service", "NORMAL"), title), want(func(i *evidence.Install) { i.Action = evidence.Modified })},
		{"a unit that is read", event0(7, sys("c000003e", "257", "a0=ffffff9c a1=7f a2=80000 a3=0"), path("/etc/systemd/system/evil.service", "NORMAL"), title), nil},
		{"a unit that is renamed from an editor's file", event0(7, sys("c000003e", "82", "a0=1"), path("/etc/systemd/system/.#evil.service1", "DELETE"), path("/etc/systemd/system/evil.service", "CREATE"), title), want(func(*evidence.Install) {})},
		{"a unit that is removed", event0(7, sys("c000003e", "87", "a0=1"), path("/etc/systemd/system/evil.service", "DELETE"), title), want(func(i *evidence.Install) { i.Action = evidence.Removed })},
		{"a unit that is turned on", event0(7, sys("c000003e", "88", "a0=1"), path("/etc/systemd/system/multi-user.target.wants/evil.service", "CREATE"), title),
			want(func(i *evidence.Install) {
				i.Action, i.UnitPath = evidence.Enabled, "/etc/systemd/system/multi-user.target.wants/evil.service"
			})},
		{"a unit that is turned off", event0(7, sys("c000003e", "87", "a0=1"), path("/etc/systemd/system/multi-user.target.wants/evil.service", "DELETE"), title),
			want(func(i *evidence.Install) {
				i.Action, i.UnitPath = evidence.Disabled, "/etc/systemd/system/multi-user.target.wants/evil.service"
			})},
		{"an init script", event0(7, openat, path("/etc/init.d/evil", "CREATE"), title), want(func(i *evidence.Install) { i.Kind, i.Name, i.UnitPath = "sysv", "evil", "/etc/init.d/evil" })},
		{"a call that failed", event0(7, strings.Replace(openat, "success=yes exit=0", "success=no exit=-13", 1), path("/etc/systemd/system/evil.service", "CREATE"), title), nil},
		{"another file", event0(7, openat, path("/etc/passwd", "CREATE"), path("/etc/systemd/system/x.txt", "CREATE"), path("/tmp/evil.service", "CREATE"), title), nil},
		{"more files than are kept", event0(7, append([]string{openat, path("/etc/systemd/system/evil.service", "CREATE")}, append(slices.Repeat([]string{path("/tmp/x", "CREATE")}, 1000), title)...)...), want(func(*evidence.Install) {})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(evidence.Batch{Installs: tt.want}, decodeAll(t, tt.log)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestUnit(t *testing.T) {
	type result struct{ action, kind, name string }
	for p, want := range map[string]result{
		"/usr/lib/systemd/system/a.service":                            {evidence.Created, "systemd", "a.service"},
		"/lib/systemd/user/a.timer":                                    {evidence.Created, "systemd", "a.timer"},
		"/home/anna/.config/systemd/user/a@.service":                   {evidence.Created, "systemd", "a@.service"},
		"/home/anna/.config/systemd/user/x.wants/a.service":            {evidence.Enabled, "systemd", "a.service"},
		"/run/systemd/transient/run-u1.service":                        {evidence.Created, "systemd", "run-u1.service"},
		"/etc/systemd/system/ssh.service.d/override.conf":              {evidence.Modified, "systemd", "ssh.service"},
		"/etc/systemd/system-generators/evil":                          {evidence.Created, "systemd", "evil"},
		"/etc/rc3.d/S20evil":                                           {evidence.Enabled, "sysv", "evil"},
		"/etc/rc.d/rc3.d/S20evil":                                      {evidence.Enabled, "sysv", "evil"},
		"/etc/rc.local":                                                {evidence.Created, "sysv", "rc.local"},
		"/etc/runlevels/default/evil":                                  {evidence.Enabled, "openrc", "evil"},
		"/etc/init/evil.conf":                                          {evidence.Created, "sysv", "evil"},
		"/etc/rc3.d/K20evil":                                           {},
		"/etc/rc3.d/README":                                            {},
		"/etc/systemd/system/ssh.service.d/note.txt":                   {},
		"/etc/systemd/system/a.service.dpkg-new":                       {},
		"/etc/systemd/system/.a.service":                               {},
		"/etc/systemd/system/.service":                                 {},
		"/etc/systemd/system":                                          {},
		"/etc/systemd/systemx/a.service":                               {},
		"/etc/init.d/.evil":                                            {},
		"/run/systemd/generator/a.service":                             {},
		"/.config/systemd/user/a.service":                              {},
		"/etc/systemd/system/a/b/c/d.service":                          {},
		"":                                                             {},
		"/etc/systemd/system/" + strings.Repeat("a", 300) + ".service": {},
	} {
		i, ok := Unit(p)
		if got := (result{i.Action, i.Kind, i.Name}); ok != (want.name != "") || ok && got != want {
			t.Errorf("%q: %+v, %v", p, got, ok)
		}
	}
}
