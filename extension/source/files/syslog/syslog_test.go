package syslog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

// check says what is wrong with evidence that was read from any text.
func check(t *testing.T, b *evidence.Batch) {
	t.Helper()
	for _, p := range b.Processes {
		if p.Source == "" || p.Time < 0 || p.CmdLine == "" && p.Path == "" {
			t.Errorf("%+v", p)
		}
	}
	for _, i := range b.Installs {
		if i.Source == "" || i.Name == "" || i.Action == "" || i.UnitPath == "" {
			t.Errorf("%+v", i)
		}
	}
	for _, l := range b.Logons {
		if l.Source == "" || l.Time < 0 || len(l.Username) > 4*maxText {
			t.Errorf("%+v", l)
		}
	}
	for _, c := range b.Connections {
		if c.Source == "" || c.RemoteAddr == "" || c.RemotePort < 0 || c.RemotePort > 65535 || c.LocalPort < 0 || c.LocalPort > 65535 {
			t.Errorf("%+v", c)
		}
	}
	for _, c := range b.Changes {
		if c.Source == "" || c.Kind == "" || c.Subject == "" || len(c.Detail) > 4*maxText {
			t.Errorf("%+v", c)
		}
	}
}

// TestBounds reads lines that somebody made to cost something.
func TestBounds(t *testing.T) {
	start := cputime.Start()
	d := NewDecoder(time.Unix(1_700_000_000, 0), nil)
	var all evidence.Batch
	line := func(format string, args ...any) { d.Line(fmt.Appendf(nil, "Nov 14 22:13:20 h "+format, args...), &all) }
	for i := range 10_000 {
		line("CRON[1]: pam_unix(cron:session): session opened for user u%d by (uid=0)", i)
		line("sshd[1]: Accepted password for u%d from 10.0.0.5 port 1 ssh2", i)
	}
	if len(d.jobs) > maxJobs {
		t.Errorf("%d jobs are remembered", len(d.jobs))
	}
	long := strings.Repeat("x", 1<<20)
	line("kernel: IN=eth0 OUT= %s", strings.Repeat("SRC=1.2.3.4 ", 100_000))
	line("sshd[1]: Failed password for %s from 10.0.0.5 port 1 ssh2", strings.Repeat(" from ", 100_000))
	line("sshd[1]: Failed password for %s from 10.0.0.5 port 1 ssh2", long)
	line("useradd[1]: new user: name=%s", long)
	line("systemd[1]: Created symlink /etc/systemd/system/x.wants/%s.service → %s", long, long)
	line("yum[1]: Installed: %s", long)
	line("systemd-logind[1]: New session %s of user %s.", "5", long)
	d.Flush(&all)
	check(t, &all)
	if n := len(all.Logons); n != 10_003 {
		t.Errorf("%d logons", n)
	}
	if el := start.Took(); el > 20*time.Second {
		t.Errorf("it took %v", el)
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{
		"sudo[8]: anna : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/id",
		"sshd[7]: Accepted publickey for anna from 10.0.0.5 port 50001 ssh2",
		"sshd[7]: message repeated 2 times: [ Failed password for invalid user x from 10.0.0.5 port 1 ssh2]",
		"systemd-logind[5]: New session '5' of user 'anna' with class 'user' and type 'tty'.",
		"su[7]: pam_unix(su:auth): authentication failure; logname= uid=0 tty=/dev/pts/0 rhost=1.2.3.4 user=root",
		"useradd[7]: new user: name=evil, UID=1001", "gpasswd[7]: user evil added by root to group sudo",
		"systemd[1]: Created symlink /etc/systemd/system/x.wants/a.service → /a.service.", "systemd[1]: Removed \"/etc/systemd/system/x.wants/a.service\".",
		"dnf[7]: Upgraded: x-1", "kernel: [UFW ALLOW] IN= OUT=eth0 SRC=10.0.0.9 DST=203.0.113.7 PROTO=UDP SPT=1 DPT=53 UID=0",
		`sysmon: <Event><System><Provider Name="Linux-Sysmon"/><EventID>3</EventID></System><EventData><Data Name="Initiated">false</Data><Data Name="DestinationIp">1.2.3.4</Data></EventData></Event>`,
	} {
		f.Add("Nov 14 22:13:20 web1 " + s)
	}
	f.Add("<86>1 2023-11-14T22:13:20Z web1 sshd 812 - [x@1 a=\"]\"] Accepted x for y from 1.2.3.4 port 1")
	f.Fuzz(func(t *testing.T, text string) {
		d := NewDecoder(time.Unix(1_700_000_000, 0), nil)
		var all evidence.Batch
		for line := range strings.Lines(text) {
			d.Line([]byte(line), &all)
		}
		d.Flush(&all)
		check(t, &all)
		if d.logon != nil || d.waiting != nil {
			t.Error("something still waits")
		}
	})
}

// FuzzFirewall reads what a firewall's rule logs, behind any prefix.
func FuzzFirewall(f *testing.F) {
	f.Add("[UFW ALLOW] IN= OUT=eth0 SRC=10.0.0.9 DST=203.0.113.7 PROTO=TCP SPT=50001 DPT=443 UID=1000")
	f.Add("x: IN=eth0 OUT= SRC=::1 DST=ff02::1 PROTO=UDP SPT=99999 DPT=-1 [SRC=")
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := firewall(text)
		if !ok {
			return
		}
		if c.Protocol != "tcp" && c.Protocol != "udp" || c.LocalAddr == "" || c.RemoteAddr == "" || c.RemotePort < 0 || c.RemotePort > 65535 {
			t.Errorf("%q: %+v", text, c)
		}
	})
}
