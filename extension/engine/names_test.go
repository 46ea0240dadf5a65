package engine

import (
	"fmt"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

func TestNames(t *testing.T) {
	n := names{}
	n.learn(evidence.Linux, "a", "1000", "anna")
	n.learn(evidence.Linux, "a", "1001", "")
	n.learn(evidence.Windows, "a", "S-1-5-21-1", "bob")
	for _, c := range []struct {
		platform        evidence.Platform
		host, uid, want string
	}{
		{evidence.Linux, "a", "1000", "anna"}, {evidence.Linux, "b", "1000", ""}, {evidence.Linux, "a", "1001", ""},
		{evidence.Linux, "b", "0", "root"}, {evidence.Linux, "a", "4294967295", ""}, {evidence.Windows, "a", "S-1-5-21-1", ""}, {evidence.Darwin, "a", "", ""},
	} {
		if got := n.of(c.platform, c.host, c.uid); got != c.want {
			t.Errorf("%s %s %s: %q, want %q", c.platform, c.host, c.uid, got, c.want)
		}
	}
	for _, c := range [][3]string{{"anna", "1000", "anna"}, {"", "1000", "uid 1000"}, {"", "4294967295", ""}, {"", "-1", ""}, {"", "", ""}, {"", "S-1-5-18", "S-1-5-18"}} {
		if got := account(c[0], c[1]); got != c[2] {
			t.Errorf("%q %q: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// TestSessionsOfManyDays has all logins of recorded evidence at once: each process is
// of the last one before it.
func TestSessionsOfManyDays(t *testing.T) {
	var s sessions
	for _, l := range []evidence.Logon{
		{Host: "a", Username: "anna", Time: 100, From: "10.0.0.1"}, {Host: "a", Username: "anna", Time: 90000, From: "192.0.2.9"}, {Host: "a", Username: "anna", Time: 50000, From: "10.0.0.2"},
		{Host: "a", Username: `CORP\bob`, LogonID: "0x7", Time: 100, From: "10.0.0.3"}, {Host: "a", Username: "anna", Time: 60000, Failed: true, From: "203.0.113.1"},
	} {
		s.remember(&l)
	}
	for _, c := range []struct {
		user, logon string
		at          int64
		want        string
	}{
		{"anna", "", 99, "10.0.0.1"}, {"anna", "", 90, ""}, {"anna", "", 49000, "10.0.0.1"}, {"anna", "", 70000, "10.0.0.2"}, {"anna", "", 90001, "192.0.2.9"},
		{"anna", "", 90000 + 86400, ""}, {`CORP\bob`, "0x7", 200, "10.0.0.3"}, {"bob", "", 200, "10.0.0.3"}, {"eve", "", 200, ""},
	} {
		if got := s.from("a", c.user, c.logon, c.at); got != c.want {
			t.Errorf("%s %s at %d: %q, want %q", c.user, c.logon, c.at, got, c.want)
		}
	}
	for i := range int64(3 * maxLogins) {
		s.remember(&evidence.Logon{Host: "b", Username: "x", Time: i, From: "10.0.0.4"})
	}
	if n := len(s.byKey["b\x00user\x00x"]); n != maxLogins {
		t.Errorf("%d logins kept", n)
	}
}

// TestVisits are the logons over the network in the minute before a time.
func TestVisits(t *testing.T) {
	var s sessions
	for _, l := range []evidence.Logon{
		{Username: `CORP\early`, Time: 939}, {Username: `CORP\scan`, Time: 960}, {Username: `CORP\now`, Time: 1000}, {Username: `CORP\late`, Time: 1001},
		{Username: `CORP\desk`, Time: 990, Type: "interactive"}, {Username: `CORP\failed`, Time: 990, Failed: true}, {Username: `CORP\bo`, Time: 990, Host: "pc2"},
	} {
		l.From = "10.9.0.5"
		if l.Host == "" {
			l.Host = "PC1"
		}
		if l.Type == "" {
			l.Type = "network"
		}
		s.remember(&l)
	}
	var got []string
	for _, v := range s.visits("pc1", 1000) {
		got = append(got, v.User+" "+v.From)
	}
	if fmt.Sprint(got) != `[CORP\now 10.9.0.5 CORP\scan 10.9.0.5]` {
		t.Errorf("visits: %q", got)
	}
}

func TestWatched(t *testing.T) {
	const day = 86400
	since := map[store.BaselineKey]baseline.State{{Username: "al", Family: "@session"}: {FirstSeen: 10 * day}, {Username: "bo", Family: "sc"}: {FirstSeen: 11 * day}}
	for _, c := range []struct {
		name string
		h    history
		at   int64
		want bool
	}{
		{"nothing was learned", history{now: 20 * day}, 20 * day, false},
		{"two days", history{now: 12 * day, known: since}, 12 * day, false},
		{"three days", history{now: 13 * day, known: since}, 13 * day, true},
		{"read later than it happened", history{now: 90 * day, known: since}, 12 * day, false},
		{"all of it at once", history{now: 13 * day, changed: since}, 13 * day, true},
		{"by the clock", history{now: 12 * day, known: since, learned: true}, 12 * day, true},
	} {
		if got := c.h.Watched(c.at); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestInteractive(t *testing.T) {
	under := func(p evidence.Process, chain ...string) *evidence.Process {
		for _, c := range chain {
			p.Ancestry = append(p.Ancestry, evidence.Ancestor{PID: 2, Path: c})
		}
		return &p
	}
	linux, mac, win := evidence.Process{Platform: evidence.Linux}, evidence.Process{Platform: evidence.Darwin}, evidence.Process{Platform: evidence.Windows}
	with := func(p evidence.Process, edit func(*evidence.Process)) evidence.Process { edit(&p); return p }
	for name, c := range map[string]struct {
		p                     *evidence.Process
		interactive, somebody bool
	}{
		"a terminal":           {under(with(linux, func(p *evidence.Process) { p.TTY = "pts/0" }), "/usr/bin/bash"), true, true},
		"an id that logged in": {under(with(linux, func(p *evidence.Process) { p.LoginUID, p.LoginSource = "1000", "10.0.0.1" }), "/usr/bin/bash"), true, true},
		"nobody":               {under(with(linux, func(p *evidence.Process) { p.LoginUID, p.UID = "4294967295", "0" }), "/usr/bin/x"), false, false},
		"root's cron":          {under(with(linux, func(p *evidence.Process) { p.LoginUID, p.LoginUser, p.Session = "0", "root", "7" }), "/bin/sh", "/usr/sbin/cron"), false, false},
		"a user's cron":        {under(with(linux, func(p *evidence.Process) { p.LoginUID, p.LoginUser, p.Session = "1000", "anna", "7" }), "/home/anna/bin/m.sh", "/usr/sbin/cron"), false, false},
		"a login below cron":   {under(with(linux, func(p *evidence.Process) { p.LoginUID, p.LoginUser, p.Session = "1000", "anna", "7" }), "/bin/bash", "/usr/sbin/sshd", "/usr/sbin/cron"), true, true},
		"a daemon of root's whose start nobody saw": {under(with(linux, func(p *evidence.Process) { p.UID = "0" })), false, false},
		"root by name alone":                        {under(with(linux, func(p *evidence.Process) { p.Username = "root" })), false, false},
		"a daemon's account":                        {under(with(linux, func(p *evidence.Process) { p.UID = "113" })), false, false},
		"a Mac's daemon":                            {under(with(mac, func(p *evidence.Process) { p.UID = "89" })), false, false},
		"a person of whose login nothing is told":   {under(with(linux, func(p *evidence.Process) { p.UID = "1000" })), false, true},
		"a person of a Mac":                         {under(with(mac, func(p *evidence.Process) { p.UID = "501" })), false, true},
		"an agent without a login":                  {under(with(linux, func(p *evidence.Process) { p.UID = "113" }), "/usr/sbin/zabbix_agentd"), false, false},
		"a Mac's terminal":                          {under(with(mac, func(p *evidence.Process) { p.UID = "501" }), "/bin/zsh", "/usr/bin/login", "/System/Applications/Utilities/Terminal.app/Contents/MacOS/Terminal"), true, true},
		"4688 of a person":                          {under(with(win, func(p *evidence.Process) { p.UID, p.Username = "S-1-5-21-1-2-3-1104", `CORP\anna` }), `C:\Windows\System32\cmd.exe`, `C:\Windows\explorer.exe`), true, true},
		"4688 from elsewhere":                       {under(with(win, func(p *evidence.Process) { p.UID, p.Username = "S-1-5-21-1-2-3-1104", `CORP\anna` }), `C:\Windows\System32\wsmprovhost.exe`), false, true},
		"4688 of the machine":                       {under(with(win, func(p *evidence.Process) { p.UID, p.Username = "S-1-5-18", `CORP\WS1$` }), `C:\Windows\System32\cmd.exe`), false, false},
	} {
		if got := interactive(c.p); got != c.interactive {
			t.Errorf("%s: interactive is %v", name, got)
		}
		if got := somebody(c.p); got != c.somebody {
			t.Errorf("%s: somebody is %v", name, got)
		}
	}
}

func TestSudoKeepsItsCommandLine(t *testing.T) {
	child := evidence.Process{Source: "a", CmdLine: "launchctl list", ArgsJoined: true}
	merge(&child, &evidence.Process{Source: "b"})
	if child.CmdLine != "launchctl list" || child.Source != "a,b" {
		t.Errorf("%q of %s", child.CmdLine, child.Source)
	}
}

func TestCaller(t *testing.T) {
	l := newLineage()
	l.remember(&evidence.Process{PID: 5, ParentPID: 1, Time: 1, Path: "/bin/zsh", Username: "anna", UID: "501", Platform: evidence.Darwin})
	l.remember(&evidence.Process{PID: 6, ParentPID: 5, Time: 2, Path: "/usr/bin/sudo", Username: "root", UID: "0", Platform: evidence.Darwin})
	l.remember(&evidence.Process{PID: 8, ParentPID: 5, Time: 2, Path: "/opt/x", Username: "root", UID: "0", Platform: evidence.Darwin})
	for parent, want := range map[int64]string{6: "anna", 8: "", 9: ""} {
		p := &evidence.Process{PID: 7, ParentPID: parent, Time: 3, Path: "/bin/launchctl", Username: "root", UID: "0", Platform: evidence.Darwin}
		l.complete(p)
		if got := l.caller(p); got != want {
			t.Errorf("under %d: %q, want %q", parent, got, want)
		}
	}
}
