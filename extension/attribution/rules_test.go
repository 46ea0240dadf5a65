package attribution_test

import (
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

// TestNothingAttributes: an entry for everybody and the best of ancestors don't help
// where attribution is ruled out.
func TestNothingAttributes(t *testing.T) {
	conf := attribution.Config{Expected: []attribution.Entry{{User: "root", Reason: "all of root"}}}
	p := &evidence.Process{Platform: evidence.Linux, Username: "root", ParentPath: "/usr/bin/dpkg"}
	if r := attribution.Attribute(attribution.Facts{Process: p}, conf); r.Kind != attribution.Expected || r.Strength != 1 {
		t.Fatalf("without an obstacle: %+v", r)
	}
	for _, lineage := range []string{"web", "database", "office", "browser", "mail"} {
		r := attribution.Attribute(attribution.Facts{Process: p, Lineage: lineage}, conf)
		if r.Attributed() || r.Strength != 0 || !strings.Contains(r.Basis, lineage) {
			t.Errorf("under %s: %+v", lineage, r)
		}
	}
	if r := attribution.Attribute(attribution.Facts{Process: p, Concealed: true}, conf); r.Attributed() || r.Basis == "" {
		t.Errorf("hidden: %+v", r)
	}
}

// TestEntries compares every field of a configured entry.
func TestEntries(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	p := evidence.Process{Platform: evidence.Linux, Host: "web-01.example", Username: "root", LoginUser: "Deploy", ParentPath: "/usr/bin/puppet"}
	list := []string{"systemctl list-units --all"}
	for _, c := range []struct {
		name string
		e    attribution.Entry
		cmds []string
		want bool
	}{
		{"user", attribution.Entry{User: "root"}, list, true},
		{"user by login", attribution.Entry{User: "deploy"}, list, true},
		{"another user", attribution.Entry{User: "roo"}, list, false},
		{"user by pattern", attribution.Entry{User: "dep*"}, list, true},
		{"parent", attribution.Entry{Parent: "/usr/bin/puppet"}, list, true},
		{"parent by its name alone", attribution.Entry{Parent: "puppet"}, list, false},
		{"command", attribution.Entry{Command: "systemctl list-units*"}, list, true},
		{"command is whole", attribution.Entry{Command: "systemctl list-units"}, list, false},
		{"command in the middle", attribution.Entry{Command: "*list-units*"}, list, true},
		{"several stars", attribution.Entry{Command: "s*l*-u*s --a*l"}, list, true},
		{"stars that don't fit", attribution.Entry{Command: "s*z*l"}, list, false},
		{"every command must agree", attribution.Entry{Command: "systemctl*"}, append([]string{"sc query"}, list...), false},
		{"no command is known", attribution.Entry{Command: "*"}, nil, false},
		{"host", attribution.Entry{User: "root", Host: "web-*"}, list, true},
		{"another host", attribution.Entry{User: "root", Host: "db-*"}, list, false},
		{"host alone is for everything", attribution.Entry{Host: "web-*"}, list, false},
		{"user agrees, command doesn't", attribution.Entry{User: "root", Command: "sc*"}, list, false},
		{"still valid", attribution.Entry{User: "root", Expires: now}, list, true},
		{"expired a second ago", attribution.Entry{User: "root", Expires: now.Add(-time.Second)}, list, false},
	} {
		c.e.Reason = "because"
		r := attribution.Attribute(attribution.Facts{Process: &p, Canonical: c.cmds, Now: now}, attribution.Config{Expected: []attribution.Entry{c.e}})
		if r.Attributed() != c.want {
			t.Errorf("%s: %+v, want %v", c.name, r, c.want)
		}
		if c.want && r.Subject != "because" {
			t.Errorf("%s: the reason is not shown: %+v", c.name, r)
		}
	}
}

// TestGatherNetworkInfo: Windows' own script by its own script host, and nothing that
// only looks like it.
func TestGatherNetworkInfo(t *testing.T) {
	const host, script = `C:\Windows\System32\cscript.exe`, `C:\Windows\System32\gatherNetworkInfo.vbs`
	for _, c := range []struct {
		name, path, line string
		want             bool
	}{
		{"as Windows runs it", host, `"C:\Windows\System32\cscript.exe" //B ` + script, true},
		{"quoted, other case", `c:\windows\SYSTEM32\CScript.exe`, `cscript.exe //Nologo "c:\windows\system32\GATHERNETWORKINFO.VBS"`, true},
		{"32 bits", `C:\Windows\SysWOW64\cscript.exe`, `cscript ` + script, true},
		{"as another script's argument", host, `cscript.exe C:\Users\Public\evil.vbs ` + script, false},
		{"a directory called system32", host, `cscript.exe C:\Temp\system32\gatherNetworkInfo.vbs`, false},
		{"out of it again", host, `cscript.exe C:\Windows\System32\..\..\Temp\gatherNetworkInfo.vbs`, false},
		{"another script host", `C:\Temp\cscript.exe`, `cscript.exe ` + script, false},
		{"another program", `C:\Windows\System32\wscript.exe`, `wscript.exe ` + script, false},
		{"no script", host, `cscript.exe`, false},
		{"nothing", host, ``, false},
	} {
		p := &evidence.Process{Platform: evidence.Windows, Ancestry: []evidence.Ancestor{{Path: `C:\Windows\System32\cmd.exe`}, {Path: c.path, CmdLine: c.line}}}
		if r := attribution.Attribute(attribution.Facts{Process: p}, attribution.Config{}); (r.Kind == attribution.System) != c.want {
			t.Errorf("%s: %+v, want %v", c.name, r, c.want)
		}
	}
}

// TestAncestorsBelongToTheirPlatform and to the host, not to a container.
func TestAncestorsBelongToTheirPlatform(t *testing.T) {
	for _, path := range []string{"/usr/bin/dpkg", "/usr/bin/deb-systemd-helper"} {
		p := evidence.Process{Platform: evidence.Linux, ParentPath: path}
		if r := attribution.Attribute(attribution.Facts{Process: &p}, attribution.Config{}); !r.Attributed() || r.Strength >= 1 {
			t.Errorf("%s: %+v", path, r)
		}
		in := p
		in.ContainerID = "c0ffee"
		if r := attribution.Attribute(attribution.Facts{Process: &in}, attribution.Config{}); r.Attributed() {
			t.Errorf("%s in a container: %+v", path, r)
		}
		mac := p
		mac.Platform = evidence.Darwin
		if r := attribution.Attribute(attribution.Facts{Process: &mac}, attribution.Config{}); r.Attributed() {
			t.Errorf("%s on another platform: %+v", path, r)
		}
		home := p
		home.ParentPath = "/home/al" + path
		if r := attribution.Attribute(attribution.Facts{Process: &home}, attribution.Config{}); r.Attributed() {
			t.Errorf("%s: %+v", home.ParentPath, r)
		}
	}
}

// TestPatternsEndInTime: a pattern of many stars over a long text.
func TestPatternsEndInTime(t *testing.T) {
	e := attribution.Entry{Command: strings.Repeat("*a", 50) + "*b", Reason: "x"}
	f := attribution.Facts{Process: &evidence.Process{}, Canonical: []string{strings.Repeat("a", 100_000)}}
	start := cputime.Start()
	if r := attribution.Attribute(f, attribution.Config{Expected: []attribution.Entry{e}}); r.Attributed() {
		t.Error("matched")
	}
	if took := start.Took(); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
