package engine

import (
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func TestRuns(t *testing.T) {
	for _, tt := range []struct {
		launcher, command string
		want              bool
	}{
		{"sudo -n systemctl list-units", "systemctl list-units", true},
		{"sudo -u al -- sc 'a b'", `sc "a b"`, true},
		{"sudo FOO=1 timeout 9 systemctl list-units", "timeout 9 systemctl list-units", true},
		{"sudo -s systemctl list-units", `/bin/bash -c 'systemctl list\-units'`, true},
		{"sudo -i systemctl list-units", "-bash -c 'systemctl list-units'", true},
		{"sudo systemctl list-units", "systemctl list-timers", false},
		{"sudo systemctl list-units --all", "systemctl list-units", false},
		{"systemctl list-units", "systemctl list-units", false},
		{"sudo -i", "", false},
		{"sudo -i", "-bash -c ", false},
	} {
		if got := runs(tt.launcher, tt.command); got != tt.want {
			t.Errorf("%q runs %q: %v", tt.launcher, tt.command, got)
		}
	}
}

// TestAdopt: the parent that nobody told of is a fork of sudo only where everything
// speaks for it.
func TestAdopt(t *testing.T) {
	type process = evidence.Process
	sudo := process{Host: "h", PID: 700, ParentPID: 600, Time: 100, Path: "/usr/bin/sudo", CmdLine: "sudo systemctl list-units", UID: "0", LoginUID: "1000", Session: "3"}
	command := process{Host: "h", PID: 702, ParentPID: 701, Time: 130, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units", UID: "0", LoginUID: "1000", Session: "3"}
	with := func(p process, edit func(*process)) process { edit(&p); return p }
	for name, tt := range map[string]struct {
		before []process
		p      process
		want   []int64 // the ancestry
	}{
		"a fork":                {[]process{sudo}, command, []int64{701, 700}},
		"and what is above":     {[]process{{Host: "h", PID: 600, ParentPID: 1, Time: 5, Path: "/bin/bash", CmdLine: "bash"}, sudo}, command, []int64{701, 700, 600}},
		"sudo itself":           {[]process{sudo}, with(command, func(p *process) { p.ParentPID = 700 }), []int64{700}},
		"the later of two":      {[]process{sudo, with(sudo, func(p *process) { p.PID = 650 })}, command, []int64{701, 700}},
		"through setpriv":       {[]process{with(sudo, func(p *process) { p.Path, p.CmdLine = "/usr/bin/setpriv", "setpriv "+p.CmdLine }), sudo}, command, []int64{701, 700}},
		"another command":       {[]process{sudo}, with(command, func(p *process) { p.CmdLine = "systemctl list-timers" }), nil},
		"another session":       {[]process{sudo}, with(command, func(p *process) { p.Session = "4" }), nil},
		"another user":          {[]process{sudo}, with(command, func(p *process) { p.LoginUID = "1001" }), nil},
		"another host":          {[]process{sudo}, with(command, func(p *process) { p.Host = "i" }), nil},
		"another parent":        {[]process{sudo}, with(command, func(p *process) { p.ParentPath = "/bin/bash" }), nil},
		"a parent from before":  {[]process{sudo}, with(command, func(p *process) { p.ParentPID = 650 }), nil},
		"too late":              {[]process{sudo}, with(command, func(p *process) { p.Time = 401 }), nil},
		"before sudo":           {[]process{sudo}, with(command, func(p *process) { p.Time = 90 }), nil},
		"a parent told of":      {[]process{sudo, {Host: "h", PID: 701, ParentPID: 1, Time: 101, Path: "/bin/bash", CmdLine: "bash"}}, command, []int64{701}},
		"no launcher":           {[]process{with(sudo, func(p *process) { p.Path = "/usr/bin/echo" })}, command, nil},
		"sudo has started it":   {[]process{sudo, with(command, func(p *process) { p.PID, p.ParentPID = 701, 700 })}, with(command, func(p *process) { p.PID, p.ParentPID = 720, 710 }), nil},
		"a fork has started it": {[]process{sudo, command}, with(command, func(p *process) { p.PID, p.ParentPID = 720, 710 }), nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLineage()
			for i := range tt.before {
				l.remember(&tt.before[i])
				l.complete(&tt.before[i])
			}
			p := tt.p
			l.remember(&p)
			l.complete(&p)
			var got []int64
			for _, a := range p.Ancestry {
				got = append(got, a.PID)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("ancestry %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("ancestry %v, want %v", got, tt.want)
				}
			}
		})
	}
	l := newLineage()
	for i := range int64(3 * maxLaunches) {
		p := sudo
		p.PID += 10 * i
		l.remember(&p)
	}
	if len(l.launches) != maxLaunches {
		t.Errorf("%d launchers kept", len(l.launches))
	}
}
