package attribution_test

import (
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// attributed is one example of each kind, in the order of preference.
func attributed() (attribution.Config, []attribution.Facts, []attribution.Kind) {
	conf := attribution.Config{
		Expected:    []attribution.Entry{{User: "deploy", Reason: "deploys"}},
		Cases:       []attribution.Responder{{ID: "IR-1", Users: []string{"ir"}, Reason: "r", Expires: now.Add(time.Hour)}},
		Scanners:    []attribution.Authorised{{Name: "s", Users: []string{"scan"}, Sources: []string{"10.0.0.1"}, Reason: "r"}},
		Maintenance: []attribution.Window{{Reference: "C1", Users: []string{"maint"}, Schedule: attribution.Schedule{From: now.Add(-time.Hour), To: now.Add(time.Hour)}, Reason: "r"}},
	}
	scan := attribution.Facts{Process: linux("scan"), Session: attribution.Session{RemoteAddr: "10.0.0.1"}}
	known := attribution.Facts{Process: linux("al"), History: attribution.History{SameHours: 9, Interactive: true}}
	return conf, []attribution.Facts{
		{Process: linux("deploy")}, {Process: linux("ir")}, scan,
		{Process: linux("root", "/usr/bin/deb-systemd-helper")},
		{Process: linux("root", "/usr/bin/apt-get")},
		{Process: linux("root", "/usr/bin/puppet", "/sbin/init")},
		{Process: linux("maint")}, known,
	}, []attribution.Kind{attribution.Expected, attribution.Case, attribution.Scanner, attribution.System, attribution.Package, attribution.Management, attribution.Maintenance, attribution.KnownUser}
}

// TestNothingHelps: what rules attribution out does so for every kind.
func TestNothingHelps(t *testing.T) {
	conf, facts, kinds := attributed()
	for i, f := range facts {
		f.Now, f.Canonical = now, []string{list}
		if r := attribution.Attribute(f, conf); r.Kind != kinds[i] {
			t.Fatalf("%s: %+v", kinds[i], r)
		}
		for _, lineage := range []string{"web", "database", "office", "browser", "mail"} {
			g := f
			g.Lineage = lineage
			if r := attribution.Attribute(g, conf); r.Attributed() || !strings.Contains(r.Basis, lineage) {
				t.Errorf("%s under %s: %+v", kinds[i], lineage, r)
			}
		}
		g := f
		g.Concealed = true
		if r := attribution.Attribute(g, conf); r.Attributed() {
			t.Errorf("%s, hidden: %+v", kinds[i], r)
		}
		g = f
		g.YoungService, g.Under = "evil.service", attribution.Result{Kind: attribution.Case, Subject: "IR-1", Strength: 1}
		if r := attribution.Attribute(g, conf); r.Attributed() || !strings.Contains(r.Basis, "evil.service") {
			t.Errorf("%s under a young service: %+v", kinds[i], r)
		}
	}
}

// TestTheMostSpecificCounts: with everything true at once, the order is that of
// attributed.
func TestTheMostSpecificCounts(t *testing.T) {
	conf, _, kinds := attributed()
	p := linux("root", "/usr/bin/deb-systemd-helper", "/usr/bin/puppet", "/usr/bin/apt-get", "/sbin/init")
	conf.Expected[0].User, conf.Cases[0].Users, conf.Scanners[0].Users, conf.Maintenance[0].Users = "root", []string{"root"}, []string{"root"}, []string{"root"}
	f := attribution.Facts{Process: p, Canonical: []string{list}, Now: now, Session: attribution.Session{RemoteAddr: "10.0.0.1"}, History: attribution.History{SameHours: 9, Interactive: true}}
	for i, without := range []func(){
		func() { conf.Expected = nil }, func() { conf.Cases = nil }, func() { conf.Scanners = nil },
		func() { p.Ancestry = p.Ancestry[1:] },
		func() { p.Ancestry = append(p.Ancestry[:1:1], p.Ancestry[2]) },
		func() { p.Ancestry = p.Ancestry[1:] },
		func() { conf.Maintenance = nil },
		func() { f.History = attribution.History{} },
	} {
		if r := attribution.Attribute(f, conf); r.Kind != kinds[i] {
			t.Errorf("%d: %+v, want %s", i, r, kinds[i])
		}
		without()
	}
	if r := attribution.Attribute(f, conf); r.Attributed() || r.Basis == "" {
		t.Errorf("nothing is left: %+v", r)
	}
}

// FuzzAttribute: whatever the facts are, the answer is whole, the same twice, and
// none where attribution is ruled out.
func FuzzAttribute(f *testing.F) {
	for _, c := range []struct{ path, line, parent, user string }{
		{"/usr/bin/systemctl", list, "/usr/sbin/zabbix_agentd: /usr/sbin/zabbix_agentd", "root"},
		{`C:\Windows\System32\sc.exe`, "sc query", `C:\Windows\System32\svchost.exe: svchost.exe -k netsvcs -s wuauserv`, "SYSTEM"},
		{"/bin/sh", "sh -c /usr/lib/nagios/plugins/x", nrpe, "nagios"},
		{"/bin/launchctl", "launchctl list", "/sbin/launchd", "root"},
	} {
		f.Add(c.path, c.line, c.parent, c.user, uint8(1))
	}
	conf, _, _ := attributed()
	conf.Agents = []attribution.Agent{{Name: "ansible", Users: []string{"root"}, Sources: []string{"10.0.0.0/8"}, Reason: "r"}, {Name: "sccm", Reason: "r"}}
	platforms := []evidence.Platform{evidence.Linux, evidence.Windows, evidence.Darwin, ""}
	f.Fuzz(func(t *testing.T, path, line, parent, user string, mode uint8) {
		p := &evidence.Process{Time: now.Unix(), Platform: platforms[mode%4], Username: user, Path: path, CmdLine: line, Ancestry: ancestors(line, parent, path+": "+line, parent)}
		facts := attribution.Facts{Process: p, Canonical: []string{line}, Now: now, Session: attribution.Session{RemoteAddr: user}}
		switch mode / 4 % 3 {
		case 1:
			facts.Process, facts.Install = nil, &evidence.Install{Platform: p.Platform, Name: user, ImagePath: line, UnitPath: path, InstallerPath: path, InstallerCmdLine: line, InstallerUsername: user, InstallerAncestry: p.Ancestry}
		case 2:
			facts.Process, facts.Connection, facts.Ancestry = nil, &evidence.Connection{Platform: p.Platform, Path: path, CmdLine: line, Username: user, RemoteAddr: parent}, p.Ancestry
		}
		r := attribution.Attribute(facts, conf)
		if r.Attributed() != (r.Strength > 0) || r.Strength > 1 || r.Basis == "" || r.Kind == "" {
			t.Errorf("%+v", r)
		}
		if again := attribution.Attribute(facts, conf); again != r {
			t.Errorf("%+v, then %+v", r, again)
		}
		attribution.Ask(facts, conf)
		text, err := attribution.AllowEntry([]attribution.Facts{facts}, "i", "r", now)
		if (err == nil) == (text == "") {
			t.Errorf("%q, %v", text, err)
		}
		facts.Lineage = "web"
		if r := attribution.Attribute(facts, conf); r.Attributed() {
			t.Errorf("under a web server: %+v", r)
		}
	})
}

func BenchmarkAttribute(b *testing.B) {
	conf, _, _ := attributed()
	conf.BusinessHours.TimeZone = "Europe/Berlin"
	for range 50 {
		conf.Maintenance = append(conf.Maintenance, attribution.Window{Reference: "C", Schedule: attribution.Schedule{Weekdays: []string{"sat"}, Hours: "22:00-04:00", TimeZone: "Europe/Berlin"}, Reason: "r"})
		conf.Expected = append(conf.Expected, attribution.Entry{User: "x", Command: "systemctl*", Reason: "r"})
	}
	f := attribution.Facts{Process: linux("al", "/usr/bin/bash", "/usr/bin/sudo", "/usr/bin/bash", "/usr/sbin/sshd", "/sbin/init"), Canonical: []string{list}, Now: now,
		History: attribution.History{UserDays: 9, Interactive: true}}
	for name, c := range map[string]attribution.Config{"a hundred entries": conf, "no configuration": {}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := attribution.Attribute(f, c); r.Kind != attribution.KnownUser {
					b.Fatal(r)
				}
			}
		})
	}
}
