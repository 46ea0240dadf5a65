package attribution_test

import (
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// now is a Tuesday, 10:00 in Berlin.
var now = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// ancestors reads "path" or "path: command line", nearest first.
func ancestors(chain ...string) []evidence.Ancestor {
	var out []evidence.Ancestor
	for i, c := range chain {
		path, line, ok := strings.Cut(c, ": ")
		if !ok {
			line = ""
		}
		out = append(out, evidence.Ancestor{PID: int64(len(chain) - i), Path: path, CmdLine: line})
	}
	return out
}

const list = "systemctl list-units"

// linux is a systemctl of a user under the ancestors.
func linux(user string, chain ...string) *evidence.Process {
	p := &evidence.Process{Time: now.Unix(), Platform: evidence.Linux, Host: "web-01", Username: user, UID: "1000", Path: "/usr/bin/systemctl", CmdLine: list, Ancestry: ancestors(chain...)}
	if user == "root" {
		p.UID = "0"
	}
	return p
}

// windows is an sc query of a user under the ancestors.
func windows(user string, chain ...string) *evidence.Process {
	p := &evidence.Process{Time: now.Unix(), Platform: evidence.Windows, Host: "PC-7", Username: user, LoginUser: user, Path: `C:\Windows\System32\sc.exe`, CmdLine: "sc query", Ancestry: ancestors(chain...)}
	if user == "SYSTEM" {
		p.Username, p.LoginUser, p.UID = `NT AUTHORITY\SYSTEM`, "", "S-1-5-18"
	}
	return p
}

// loggedIn makes somebody log in.
func loggedIn(p *evidence.Process, user, from string) *evidence.Process {
	p.LoginUser, p.LoginUID, p.LoginSource = user, "1001", from
	return p
}

func install(edit func(*evidence.Install)) *evidence.Install {
	in := &evidence.Install{Time: now.Unix(), TimeBasis: evidence.BasisEvent, Platform: evidence.Linux, Host: "web-01", Action: evidence.Created, Kind: "systemd",
		Name: "app.service", ImagePath: "/opt/app/bin/app --serve", Path: "/opt/app/bin/app", UnitPath: "/etc/systemd/system/app.service",
		InstallerPath: "/usr/bin/cp", InstallerCmdLine: "cp app.service /etc/systemd/system", InstallerUID: "0", InstallerUsername: "root", LoginUser: "al"}
	if edit != nil {
		edit(in)
	}
	return in
}

type want struct {
	kind    attribution.Kind
	subject string
	basis   string // a part of it
}

type kindCase struct {
	name string
	f    attribution.Facts
	want
}

func judge(t *testing.T, conf attribution.Config, cases []kindCase) {
	t.Helper()
	if _, err := conf.Check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.f.Now.IsZero() {
			c.f.Now = now
		}
		if c.f.Process != nil && c.f.Canonical == nil {
			c.f.Canonical = []string{c.f.Process.CmdLine}
		}
		r := attribution.Attribute(c.f, conf)
		if r.Kind != c.kind || c.subject != "" && r.Subject != c.subject || !strings.Contains(r.Basis, c.basis) {
			t.Errorf("%s: %+v, want %+v", c.name, r, c.want)
		}
		if r.Attributed() != (r.Strength > 0) || r.Strength > 1 || r.Basis == "" || r.Attributed() && r.Subject == "" {
			t.Errorf("%s: %+v is not whole", c.name, r)
		}
	}
}

// none is what nothing accounts for.
func none(basis string) want { return want{attribution.None, "", basis} }

func TestExpectedInstalls(t *testing.T) {
	const hash = "aa11111111111111111111111111111111111111111111111111111111111111"
	conf := attribution.Config{Expected: []attribution.Entry{
		{ID: "app", Name: "app.service", Path: "/opt/app/bin/app", SHA256: strings.ToUpper(hash), Reason: "our application", Expires: now.Add(time.Hour)},
		{ID: "signed", Name: "Agent*", Path: `C:\Program Files\Agent\agent.exe`, Signer: "Example GmbH", Reason: "the agent"},
		{ID: "packaged", Name: "tool.service", Path: "/usr/bin/tool", Package: "tool", Parent: "/usr/bin/cp", Reason: "the tool"},
		{ID: "shell", Name: "sh.service", Path: "/usr/bin/bash", SHA256: hash, Reason: "any shell"},
		{ID: "script", Name: "py.service", Path: "/usr/bin/python3", SHA256: hash, Command: "/usr/bin/python3 /opt/app/x.py", Reason: "one script"},
		{ID: "dll", Name: "MySvc", Path: `C:\Program Files\My\my.dll`, SHA256: hash, Reason: "a library of svchost"},
		{ID: "old", Name: "old.service", Path: "/opt/app/bin/app", SHA256: hash, Reason: "gone", Expires: now.Add(-time.Hour)},
		{ID: "user", User: "al", Reason: "all commands of al"},
	}}
	in := func(edit func(*evidence.Install)) attribution.Facts {
		return attribution.Facts{Install: install(func(in *evidence.Install) { in.SHA256 = hash; edit(in) })}
	}
	agent := func(signed evidence.Tristate, signer string) attribution.Facts {
		f := in(func(in *evidence.Install) {
			in.Platform, in.Kind, in.Name, in.Path = evidence.Windows, "windows_service", "AgentSvc", ""
			in.ImagePath, in.Signed = `"C:\Program Files\Agent\agent.exe" /run`, signed
		})
		f.Signer = signer
		return f
	}
	tool := func(verified evidence.Tristate) attribution.Facts {
		return in(func(in *evidence.Install) {
			in.Name, in.Path, in.ImagePath, in.Package, in.PackageVerified = "tool.service", "/usr/bin/tool", "/usr/bin/tool", "tool", verified
			if verified == evidence.Yes {
				in.InstallerPath = "/usr/bin/cp"
			}
		})
	}
	judge(t, conf, []kindCase{
		{"by hash", in(func(*evidence.Install) {}), want{attribution.Expected, "app", "our application, until 2026-11-24 10:00Z"}},
		{"the binary was changed", in(func(in *evidence.Install) { in.SHA256 = strings.Repeat("b", 64) }), none("it was changed")},
		{"the hash is not known", in(func(in *evidence.Install) { in.SHA256 = "" }), none("is not known")},
		{"another program", in(func(in *evidence.Install) { in.Path = "/tmp/app" }), none(`the entry "app" is for app.service, but it runs /tmp/app`)},
		{"another name", in(func(in *evidence.Install) { in.Name = "app2.service" }), none("")},
		{"signed", agent(evidence.Yes, "Example GmbH"), want{attribution.Expected, "signed", ""}},
		{"signed by another", agent(evidence.Yes, "Evil GmbH"), none("is not signed by Example GmbH")},
		{"the signature does not hold", agent(evidence.No, "Example GmbH"), none("is not signed")},
		{"nobody looked at the signature", agent(evidence.Unknown, "Example GmbH"), none("is not signed")},
		{"verifies", tool(evidence.Yes), want{attribution.Expected, "packaged", ""}},
		{"does not verify", tool(evidence.No), none("does not verify as the package tool brought it")},
		{"a shell without a command", in(func(in *evidence.Install) {
			in.Name, in.Path, in.ImagePath = "sh.service", "/usr/bin/bash", "/usr/bin/bash -c evil"
		}), none("runs what its command line says")},
		{"a script", in(func(in *evidence.Install) {
			in.Name, in.Path, in.ImagePath = "py.service", "/usr/bin/python3", "/usr/bin/python3 /opt/app/x.py"
		}), want{attribution.Expected, "script", ""}},
		{"another script", in(func(in *evidence.Install) {
			in.Name, in.Path, in.ImagePath = "py.service", "/usr/bin/python3", "/usr/bin/python3 /tmp/x.py"
		}), none("its command line is another")},
		{"a library", in(func(in *evidence.Install) {
			in.Platform, in.Kind, in.Name, in.ServiceDLL = evidence.Windows, "windows_service", "MySvc", `C:\Program Files\My\my.dll`
			in.ImagePath, in.Path = `%SystemRoot%\system32\svchost.exe -k netsvcs`, ""
		}), want{attribution.Expected, "dll", ""}},
		{"another library under the same svchost", in(func(in *evidence.Install) {
			in.Platform, in.Kind, in.Name, in.ServiceDLL = evidence.Windows, "windows_service", "MySvc", `C:\Temp\my.dll`
			in.ImagePath, in.Path = `%SystemRoot%\system32\svchost.exe -k netsvcs`, ""
		}), none(`but it runs C:\Temp\my.dll`)},
		{"expired", in(func(in *evidence.Install) { in.Name = "old.service" }), none(`the entry "old" has expired on 2026-11-24 08:00Z`)},
		{"an entry for commands is none for installs", in(func(in *evidence.Install) { in.Name = "x.service" }), none("")},
	})
}

func TestExpectedCommandsAndConnections(t *testing.T) {
	conf := attribution.Config{Expected: []attribution.Entry{
		{ID: "several", User: "al", Commands: []string{"sc query", "net start*"}, Reason: "both"},
		{ID: "stars", User: "bo", Command: "ls /etc/*", Exact: true, Reason: "as it stands"},
		{ID: "program", User: "cy", Path: "/usr/bin/systemctl", Host: "web-*", Reason: "one program"},
		{ID: "net", Path: "/usr/bin/curl", Remote: "10.0.0.0/8", Reason: "the mirror"},
		{ID: "name", User: "root", Remote: "*.example.org", Reason: "updates"},
		{ID: "app", Name: "app", Path: "/x", Package: "app", Reason: "an install"},
		{ID: "parent", Parent: "/opt/x/agent", Command: list, Reason: "by parent"},
		{ID: "everything of dan", User: "dan", Reason: "dan"},
	}}
	cmd := func(user string, canonical ...string) attribution.Facts {
		return attribution.Facts{Process: linux(user), Canonical: canonical}
	}
	conn := func(user, path, addr, name string) attribution.Facts {
		return attribution.Facts{Connection: &evidence.Connection{Time: now.Unix(), Platform: evidence.Linux, Host: "web-01", Path: path, Username: user, RemoteAddr: addr, RemoteName: name}}
	}
	parent := cmd("eve", list)
	parent.Process.ParentPath = "/opt/x/agent"
	judge(t, conf, []kindCase{
		{"each command matches one", cmd("al", "net start", "sc query"), want{attribution.Expected, "several", "both"}},
		{"one matches none", cmd("al", "net start", "sc query", "reg query"), none("")},
		{"no command is known", cmd("al"), none("")},
		{"exactly", cmd("bo", "ls /etc/*"), want{attribution.Expected, "stars", ""}},
		{"not what the star would match", cmd("bo", "ls /etc/init.d"), none("")},
		{"program and host", cmd("cy", "systemctl x"), want{attribution.Expected, "program", ""}},
		{"by parent", parent, want{attribution.Expected, "parent", ""}},
		{"to the network", conn("al", "/usr/bin/curl", "10.2.3.4", ""), want{attribution.Expected, "net", ""}},
		{"to the network as IPv6 has it", conn("al", "/usr/bin/curl", "::ffff:10.2.3.4", ""), want{attribution.Expected, "net", ""}},
		{"elsewhere", conn("al", "/usr/bin/curl", "11.2.3.4", ""), none("")},
		{"another program", conn("al", "/tmp/curl", "10.2.3.4", ""), none("")},
		{"to a name", conn("root", "/usr/bin/x", "192.0.2.1", "a.example.org."), want{attribution.Expected, "name", ""}},
		{"without a name", conn("root", "/usr/bin/x", "192.0.2.1", ""), none("")},
		{"an entry for a user's commands is none for connections", conn("dan", "/usr/bin/curl", "192.0.2.1", ""), none("")},
		{"nothing", attribution.Facts{}, none("nothing is known")},
		{"two things", attribution.Facts{Process: linux("al"), Install: install(nil)}, none("nothing is known")},
	})
}

func TestMaintenance(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	conf := attribution.Config{Maintenance: []attribution.Window{
		{Reference: "CHG-1", Schedule: attribution.Schedule{From: now.Add(-time.Hour), To: now.Add(time.Hour)}, Hosts: []string{"web-*"}, Users: []string{"al", "CORP\\al"}, Reason: "upgrade"},
		{Reference: "CHG-2", Schedule: attribution.Schedule{Weekdays: []string{"tue"}, Weeks: []int{2}, Hours: "22:00-04:00", TimeZone: "Europe/Berlin"}, Hosts: []string{"pc-*"}, Reason: "patches"},
		{Reference: "CHG-3", Schedule: attribution.Schedule{Weekdays: []string{"sat"}}, Hosts: []string{"over"}, Reason: "gone", Expires: now.Add(-time.Hour)},
		{Reference: "CHG-4", Schedule: attribution.Schedule{From: now.AddDate(0, 0, -2), To: now.AddDate(0, 0, -1), Hours: "01:00-02:00"}, Hosts: []string{"db"}, Reason: "two nights"},
	}}
	at := func(p *evidence.Process, host string, when time.Time) attribution.Facts {
		p.Host, p.Time = host, when.Unix()
		return attribution.Facts{Process: p}
	}
	patch := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 30, 0, 0, berlin) }
	key := func(when, seen time.Time) attribution.Facts {
		return attribution.Facts{Now: seen, Install: install(func(in *evidence.Install) {
			in.Platform, in.Host, in.Time, in.TimeBasis = evidence.Windows, "pc-1", when.Unix(), evidence.BasisKeyTime
		})}
	}
	saturday := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	judge(t, conf, []kindCase{
		{"once", at(linux("al"), "web-01", now), want{attribution.Maintenance, "CHG-1", "al within the window 2026-11-24 08:00Z to 2026-11-24 10:00Z: upgrade"}},
		{"before", at(linux("al"), "web-01", now.Add(-time.Hour-time.Second)), none("")},
		{"at its end", at(linux("al"), "web-01", now.Add(time.Hour)), none("")},
		{"another user", at(linux("bo"), "web-01", now), none("")},
		{"another host", at(linux("al"), "db-01", now), none("")},
		{"after sudo", at(loggedIn(linux("root"), "al", ""), "web-01", now), want{attribution.Maintenance, "CHG-1", ""}},
		{"somebody else became al", at(loggedIn(linux("al"), "bo", ""), "web-01", now), none("")},
		{"second Tuesday, evening", at(linux("x"), "pc-1", patch(10, 23)), want{attribution.Maintenance, "CHG-2", "Tue (2 of the month) 22:00-04:00 Europe/Berlin"}},
		{"second Tuesday, the morning after", at(linux("x"), "pc-1", patch(11, 3)), want{attribution.Maintenance, "CHG-2", ""}},
		{"second Tuesday, before", at(linux("x"), "pc-1", patch(10, 21)), none("")},
		{"second Tuesday, too late", at(linux("x"), "pc-1", patch(11, 4)), none("")},
		{"the morning of the second Tuesday", at(linux("x"), "pc-1", patch(10, 3)), none("")},
		{"third Tuesday", at(linux("x"), "pc-1", patch(17, 23)), none("")},
		{"expired", at(linux("x"), "over", saturday), none("the entry of the window CHG-3 has expired")},
		{"recurring within its dates", at(linux("x"), "db", now.AddDate(0, 0, -1).Add(-7*time.Hour-30*time.Minute)), want{attribution.Maintenance, "CHG-4", ""}},
		{"recurring after its dates", at(linux("x"), "db", now.Add(-7*time.Hour-30*time.Minute)), none("")},
		{"a key dated into the window", key(patch(10, 23), now), none("")},
		{"a key written in the window", key(patch(10, 23), patch(10, 23).Add(time.Minute)), want{attribution.Maintenance, "CHG-2", ""}},
		{"an event needs no second look", attribution.Facts{Install: install(func(in *evidence.Install) { in.Host, in.Time = "pc-1", patch(10, 23).Unix() })}, want{attribution.Maintenance, "CHG-2", ""}},
		{"a connection", attribution.Facts{Connection: &evidence.Connection{Time: patch(10, 23).Unix(), Platform: evidence.Linux, Host: "pc-1", Path: "/usr/bin/curl", RemoteAddr: "192.0.2.1"}}, want{attribution.Maintenance, "CHG-2", ""}},
		{"under a web server", func() attribution.Facts { f := at(linux("al"), "web-01", now); f.Lineage = "web"; return f }(), none("never")},
	})
	// The more a window says whom it is for, the more it tells.
	who := attribution.Attribute(attribution.Facts{Process: linux("al"), Now: now}, conf)
	f := at(linux("x"), "pc-1", patch(10, 23))
	f.Now = now
	any := attribution.Attribute(f, conf)
	if who.Strength <= any.Strength {
		t.Errorf("for a user %v, for everybody %v", who.Strength, any.Strength)
	}
}

func TestScanner(t *testing.T) {
	conf := attribution.Config{Scanners: []attribution.Authorised{
		{Name: "nessus", Users: []string{`CORP\svc_scan`, "scan"}, Sources: []string{"10.9.0.0/24", "fd00:9::/64"}, Services: []string{"Audit-*"}, Schedule: attribution.Schedule{Weekdays: []string{"mon-fri"}, Hours: "08:00-12:00", TimeZone: "Europe/Berlin"}, Reason: "weekly scan"},
		{Name: "old", Users: []string{"old"}, Sources: []string{"10.8.0.1"}, Reason: "gone", Expires: now.Add(-time.Hour)},
	}}
	cmd := func(user, from string) attribution.Facts {
		return attribution.Facts{Process: loggedIn(linux("root"), user, from)}
	}
	service := func(name, user, from string) attribution.Facts {
		return attribution.Facts{Session: attribution.Session{RemoteAddr: from}, Install: &evidence.Install{Time: now.Unix(), Platform: evidence.Windows, Host: "PC-7", Kind: "windows_service",
			Name: name, ImagePath: `C:\Windows\` + name + ".exe", InstallerUsername: user}}
	}
	under := func(subject string, kind attribution.Kind) attribution.Facts {
		return attribution.Facts{Process: windows("SYSTEM", `C:\Windows\PSEXESVC.exe`), Under: attribution.Result{Kind: kind, Subject: subject, Basis: "b", Strength: 0.9}}
	}
	visited := func(name string, by ...attribution.Visit) attribution.Facts {
		f := service(name, "", "")
		f.Visits = by
		return f
	}
	known := service("tenable_mw_scan_142a90", "", "")
	known.Visits = []attribution.Visit{{User: `CORP\svc_scan`, From: "10.9.0.5"}}
	known.Install.InstallerPath = `C:\Windows\System32\sc.exe`
	after := visited("tenable_mw_scan_142a90", attribution.Visit{User: `CORP\svc_scan`, From: "10.9.0.5"})
	after.Install.Time += 3 * 3600
	late := under("nessus", attribution.Scanner)
	late.Process.Time += 3 * 3600
	session := cmd("scan", "")
	session.Session.RemoteAddr = "fd00:9::7"
	better := cmd("scan", "10.9.0.5")
	better.Session.RemoteAddr = "192.0.2.1"
	judge(t, conf, []kindCase{
		{"account, address and time", cmd("scan", "10.9.0.5"), want{attribution.Scanner, "nessus", "scan from 10.9.0.5, scheduled Mon-Fri 08:00-12:00 Europe/Berlin: weekly scan"}},
		{"by the session", session, want{attribution.Scanner, "nessus", "fd00:9::7"}},
		{"what is known best decides", better, none("but it came from 192.0.2.1")},
		{"another address", cmd("scan", "10.9.1.5"), none("scan is the account of the scanner nessus, but it came from 10.9.1.5")},
		{"an unknown address", cmd("scan", ""), none("an unknown address")},
		{"a name is no address", cmd("scan", "scanner.example.org"), none("an unknown address")},
		{"another account", cmd("al", "10.9.0.5"), none("")},
		{"another account became the scanner's", func() attribution.Facts {
			return attribution.Facts{Process: loggedIn(linux("scan"), "al", "10.9.0.5")}
		}(), none("")},
		{"outside its schedule", func() attribution.Facts { f := cmd("scan", "10.9.0.5"); f.Process.Time += 3 * 3600; return f }(), none("outside its schedule")},
		{"expired", cmd("old", "10.8.0.1"), none("the entry of the scanner old has expired")},
		{"its temporary service", service("PSEXESVC", `CORP\svc_scan`, "10.9.0.5"), want{attribution.Scanner, "nessus", ""}},
		{"its own temporary service", service("tenable_mw_scan_142a90", `corp\SVC_scan`, "10.9.0.5"), want{attribution.Scanner, "nessus", ""}},
		{"a declared one", service("Audit-77", `CORP\svc_scan`, "10.9.0.5"), want{attribution.Scanner, "nessus", ""}},
		{"another service", service("Updater", `CORP\svc_scan`, "10.9.0.5"), none("no temporary service of its")},
		{"PsExec by somebody", service("PSEXESVC", `CORP\al`, "10.9.0.5"), none("")},
		{"PsExec from elsewhere", service("PSEXESVC", `CORP\svc_scan`, "10.1.1.1"), none("it came from 10.1.1.1")},
		{"the account in another domain", service("PSEXESVC", `PC-7\svc_scan`, "10.9.0.5"), none("")},
		{"nobody is told, its logon just before", visited("tenable_mw_scan_142a90", attribution.Visit{User: `CORP\al`, From: "10.9.0.6"}, attribution.Visit{User: `CORP\svc_scan`, From: "10.9.0.5"}),
			want{attribution.Scanner, "nessus", `CORP\svc_scan from 10.9.0.5, scheduled Mon-Fri 08:00-12:00 Europe/Berlin, who logged on just before: weekly scan`}},
		{"nobody is told, a declared service", visited("Audit-77", attribution.Visit{User: `CORP\svc_scan`, From: "10.9.0.5"}), want{attribution.Scanner, "nessus", ""}},
		{"nobody is told, another service", visited("Updater", attribution.Visit{User: `CORP\svc_scan`, From: "10.9.0.5"}), none("no temporary service of its")},
		{"nobody is told, a tool that anybody has", visited("PSEXESVC", attribution.Visit{User: `CORP\svc_scan`, From: "10.9.0.5"}), none("no temporary service of its")},
		{"nobody is told, its account from elsewhere", visited("tenable_mw_scan_142a90", attribution.Visit{User: `CORP\svc_scan`, From: "10.1.1.1"}), none("")},
		{"nobody is told, another account", visited("tenable_mw_scan_142a90", attribution.Visit{User: `CORP\al`, From: "10.9.0.5"}), none("")},
		{"nobody is told, outside its schedule", after, none("outside its schedule")},
		{"its logon before another's install", known, none("")},
		{"under its service", under("nessus", attribution.Scanner), want{attribution.Scanner, "nessus", "under a service of nessus"}},
		{"under its service after its schedule", late, none("")},
		{"under another's service", under("other", attribution.Scanner), none("")},
		{"a package's service is no excuse", under("nginx", attribution.Package), none("")},
		{"under a service that is nobody's", func() attribution.Facts {
			f := under("nessus", attribution.Scanner)
			f.YoungService = "PSEXESVC"
			return f
		}(), none("never attributed under PSEXESVC, a service younger than 24 hours")},
	})
}

func TestCases(t *testing.T) {
	conf := attribution.Config{Cases: []attribution.Responder{
		{ID: "IR-7", Users: []string{"ir-*"}, Sources: []string{"10.1.1.0/24"}, Hosts: []string{"web-*", "PC-*"}, Reason: "incident 7", Expires: now.Add(time.Hour)},
		{ID: "IR-6", Users: []string{"old"}, Reason: "incident 6", Expires: now.Add(-time.Hour)},
	}}
	elsewhere := attribution.Facts{Process: loggedIn(linux("root"), "ir-al", "10.1.1.7")}
	elsewhere.Process.Host = "db-1"
	judge(t, conf, []kindCase{
		{"a responder", attribution.Facts{Process: loggedIn(linux("root"), "ir-al", "10.1.1.7")}, want{attribution.Case, "IR-7", "ir-al works on it: incident 7, until 2026-11-24 10:00Z"}},
		{"from elsewhere", attribution.Facts{Process: loggedIn(linux("root"), "ir-al", "10.2.1.7")}, none("ir-al is in case IR-7, but from 10.2.1.7")},
		{"on another host", elsewhere, none("")},
		{"somebody else", attribution.Facts{Process: loggedIn(linux("root"), "al", "10.1.1.7")}, none("")},
		{"expired", attribution.Facts{Process: linux("old")}, none("the entry of case IR-6 has expired")},
		{"an install", attribution.Facts{Install: install(func(in *evidence.Install) { in.LoginUser = "ir-al" }), Session: attribution.Session{RemoteAddr: "10.1.1.9"}}, want{attribution.Case, "IR-7", ""}},
		{"under a responder's service", attribution.Facts{Process: windows("SYSTEM", `C:\Program Files\Velociraptor\v.exe`), Under: attribution.Result{Kind: attribution.Case, Subject: "IR-7", Basis: "b", Strength: 0.9}}, want{attribution.Case, "IR-7", ""}},
		{"hidden, even so", attribution.Facts{Process: loggedIn(linux("root"), "ir-al", "10.1.1.7"), Concealed: true}, none("never")},
	})
}

func TestPackages(t *testing.T) {
	const dpkg = "/usr/bin/dpkg: /usr/bin/dpkg --status-fd 20 --no-triggers --configure --pending"
	conn := attribution.Facts{Connection: &evidence.Connection{Time: now.Unix(), Platform: evidence.Linux, Path: "/usr/lib/apt/methods/https", UID: "0", RemoteAddr: "192.0.2.1"},
		Ancestry: ancestors("/usr/bin/apt-get: apt-get install nginx")}
	inContainer := conn
	inContainer.ContainerID = "c0ffee"
	judge(t, attribution.Config{}, []kindCase{
		{"a maintainer's script", attribution.Facts{Process: linux("root", "/bin/sh: sh /var/lib/dpkg/info/x.postinst", dpkg, "/usr/bin/apt-get: apt-get install x")}, want{attribution.Package, "dpkg", "ancestor /usr/bin/dpkg"}},
		{"a script that is a manager", attribution.Facts{Process: linux("root", "/usr/bin/python3.11: /usr/bin/python3 /usr/bin/unattended-upgrade")}, want{attribution.Package, "unattended-upgrades", ""}},
		{"a script of that name by an interpreter of nobody", attribution.Facts{Process: linux("root", "/tmp/python3: /usr/bin/python3 /usr/bin/unattended-upgrade")}, none("")},
		{"code before the script", attribution.Facts{Process: linux("root", "/usr/bin/python3: python3 -c evil /usr/bin/unattended-upgrade")}, none("")},
		{"a pager", attribution.Facts{Process: linux("root", "/bin/sh: sh", "/usr/bin/less: less", "/usr/bin/dpkg: dpkg -l")}, none("changed no packages")},
		{"a hook of its caller's", attribution.Facts{Process: linux("root", "/bin/sh: sh", "/usr/bin/apt-get: apt-get install -o APT::Update::Pre-Invoke::=/bin/sh x")}, none("its caller's")},
		{"a hook of dpkg's caller", attribution.Facts{Process: linux("root", "/usr/bin/dpkg: dpkg --pre-invoke=/tmp/x -i y.deb")}, none("its caller's")},
		{"a configuration of its caller's", attribution.Facts{Process: linux("root", "/usr/bin/apt: apt -c /tmp/evil upgrade")}, none("its caller's")},
		{"a package called hook", attribution.Facts{Process: linux("root", "/usr/bin/apt: apt install webhook")}, want{attribution.Package, "apt", ""}},
		{"rpm evaluates", attribution.Facts{Process: linux("root", "/usr/bin/rpm: rpm --eval %(systemctl)")}, none("its caller's")},
		{"a file somebody brought", attribution.Facts{Process: linux("root", "/usr/bin/dpkg: dpkg -i /tmp/x.deb")}, want{attribution.Package, "dpkg", "that somebody brought: /tmp/x.deb"}},
		{"as a user", attribution.Facts{Process: linux("al", "/usr/bin/apt: apt update install")}, none("did not run as root")},
		{"dnf", attribution.Facts{Process: linux("root", "/usr/bin/python3.9: /usr/bin/python3 /usr/bin/dnf -y upgrade")}, want{attribution.Package, "dnf", ""}},
		{"out of its directory", attribution.Facts{Process: linux("root", "/usr/bin/../../tmp/dpkg: dpkg --configure x")}, none("")},
		{"deleted", attribution.Facts{Process: linux("root", "/usr/bin/dpkg (deleted): dpkg --configure x")}, none("")},
		{"dpkg wrote the unit", attribution.Facts{Install: install(func(in *evidence.Install) { in.InstallerPath, in.InstallerCmdLine = "/usr/bin/dpkg", "dpkg --unpack x" })}, want{attribution.Package, "dpkg", ""}},
		{"unit and program verify", attribution.Facts{Install: install(func(in *evidence.Install) { in.Package, in.PackageVerified = "nginx", evidence.Yes })}, want{attribution.Package, "nginx", "as the package brought them"}},
		{"they don't", attribution.Facts{Install: install(func(in *evidence.Install) { in.Package, in.PackageVerified = "nginx", evidence.No })}, none("")},
		{"nobody looked", attribution.Facts{Install: install(func(in *evidence.Install) { in.Package = "nginx" })}, none("")},
		{"apt downloads", conn, want{attribution.Package, "apt", ""}},
		{"apt downloads in a container", inContainer, none("")},
		{"macOS", attribution.Facts{Install: install(func(in *evidence.Install) {
			in.Platform, in.Kind, in.InstallerPath = evidence.Darwin, "launchd", "/System/Library/PrivateFrameworks/PackageKit.framework/Resources/installd"
		})}, want{attribution.Package, "installd", ""}},
	})
}

func TestKnownUser(t *testing.T) {
	hours := attribution.Config{BusinessHours: attribution.BusinessHours{TimeZone: "Europe/Berlin", Holidays: []string{"2026-11-25"}}}
	cmd := func(h attribution.History, edit func(*attribution.Facts)) attribution.Facts {
		f := attribution.Facts{Process: linux("al"), History: h}
		if edit != nil {
			edit(&f)
		}
		return f
	}
	same := attribution.History{Days: 9, SameHours: 3, UserDays: 20, Interactive: true}
	worked := attribution.History{UserDays: 5, Interactive: true}
	in := func(n int) attribution.Facts {
		return attribution.Facts{Install: install(nil), History: attribution.History{InstallDays: n, UserDays: 50, SameHours: 50, Interactive: true}}
	}
	fewer := attribution.History{Days: 9, SameHours: 2, UserDays: 4, Interactive: true}
	role := func(h attribution.History) attribution.History { h.Administrator = evidence.Yes; return h }
	known := func(f *attribution.Facts) {
		f.Session = attribution.Session{RemoteAddr: "10.1.2.3", KnownSource: evidence.Yes}
		f.Process.Time += 12 * 3600 // at night
	}
	// Without business hours of the configuration, working here accounts for nothing
	// but an administrator's own work.
	judge(t, attribution.Config{}, []kindCase{
		{"one day less", cmd(fewer, nil), none("al did so on 9 days before, at these hours on 2, and worked here on 4")},
		{"an administrator for the first time", cmd(role(attribution.History{Interactive: true}), nil), want{attribution.KnownUser, "al", "an administrator of this host at work; "}},
		{"somebody who became root", cmd(attribution.History{Interactive: true, Elevated: true}, nil), want{attribution.KnownUser, "al", "with administrator's rights; "}},
		{"an administrator from outside", cmd(role(attribution.History{Interactive: true}), func(f *attribution.Facts) { f.Session.RemoteAddr = "192.0.2.1" }), none("")},
		{"an administrator for the first time, at night", cmd(role(attribution.History{Interactive: true}), func(f *attribution.Facts) { f.Process.Time += 12 * 3600 }), none("")},
		{"an administrator, at night, from where they come from", cmd(role(attribution.History{Interactive: true, UserDays: 1}), known), want{attribution.KnownUser, "al", "worked here on 1 day before"}},
		{"an administrator of no day, at night", cmd(role(attribution.History{Interactive: true}), known), none("")},
		{"a habit at other hours, from where they come from", cmd(attribution.History{Interactive: true, Days: 3}, known), want{attribution.KnownUser, "al", "though not at these hours"}},
		{"a habit at other hours, from somewhere", cmd(attribution.History{Interactive: true, Days: 3}, func(f *attribution.Facts) { f.Process.Time += 12 * 3600 }), none("")},
		{"an administrator's install", attribution.Facts{Install: install(nil), History: role(attribution.History{UserDays: 50, Interactive: true})}, none("installed services on 0 days before")},
	})
	night := func(since int64) func(*attribution.Facts) {
		return func(f *attribution.Facts) {
			f.Process.Time += 12 * 3600
			if since != 0 {
				f.Started = f.Process.Time - since
			}
		}
	}
	judge(t, hours, []kindCase{
		{"days in the same hours", cmd(same, nil), want{attribution.KnownUser, "al", "did so on 9 days before, on 3 of them at these hours"}},
		{"one day less", cmd(fewer, nil), want{attribution.KnownUser, "al", "somebody at work; "}},
		{"not a person", cmd(attribution.History{Days: 9, SameHours: 9, UserDays: 9}, nil), none("")},
		{"from somewhere new", cmd(same, func(f *attribution.Facts) {
			f.Session = attribution.Session{RemoteAddr: "192.0.2.1", KnownSource: evidence.No}
		}), none("al never came from 192.0.2.1 before")},
		{"from a known place", cmd(same, func(f *attribution.Facts) {
			f.Session = attribution.Session{RemoteAddr: "192.0.2.1", KnownSource: evidence.Yes}
		}), want{attribution.KnownUser, "al", ""}},
		{"works here by day", cmd(worked, nil), want{attribution.KnownUser, "al", "worked here on 5 days before; 10:00 Tue, business hours Mon-Fri 07:00-19:00 Europe/Berlin"}},
		{"works here, at night", cmd(worked, func(f *attribution.Facts) { f.Process.Time += 12 * 3600 }), none("")},
		{"works here, on a holiday", cmd(worked, func(f *attribution.Facts) { f.Process.Time += 24 * 3600 }), none("")},
		{"somebody new at night", cmd(attribution.History{Interactive: true}, night(0)), none("")},
		{"somebody new at night, after the host started", cmd(attribution.History{Interactive: true}, night(9*3600)), want{attribution.KnownUser, "al", "somebody from the own networks; the host started 540 min before"}},
		{"somebody new at night, long after the host started", cmd(attribution.History{Interactive: true}, night(86400)), none("")},
		{"somebody new at night, before the host started", cmd(attribution.History{Interactive: true}, night(-60)), none("")},
		{"from outside, after the host started", cmd(attribution.History{Interactive: true}, func(f *attribution.Facts) {
			night(3600)(f)
			f.Session.RemoteAddr = "192.0.2.1"
		}), none("")},
		{"not a person, after the host started", cmd(attribution.History{}, night(3600)), none("")},
		{"to another machine, after the host started", cmd(attribution.History{Interactive: true}, func(f *attribution.Facts) {
			night(3600)(f)
			f.RemoteTarget = "srv2"
		}), none("")},
		{"at the own desktop, at night", cmd(worked, func(f *attribution.Facts) {
			night(0)(f)
			f.Process.Ancestry = ancestors("/usr/bin/bash", "/usr/libexec/gnome-terminal-server", "/usr/lib/systemd/systemd")
		}), want{attribution.KnownUser, "al", "at the desktop where they worked on 5 days before"}},
		{"at a desktop where they seldom worked, at night", cmd(attribution.History{UserDays: 4, Interactive: true}, func(f *attribution.Facts) {
			night(0)(f)
			f.Process.Ancestry = ancestors("/usr/bin/bash", "/usr/libexec/gnome-terminal-server", "/usr/lib/systemd/systemd")
		}), none("")},
		{"a terminal of their own making, at night", cmd(worked, func(f *attribution.Facts) {
			night(0)(f)
			f.Process.Ancestry = ancestors("/usr/bin/bash", "/home/al/.cache/konsole", "/usr/lib/systemd/systemd")
		}), none("")},
		{"another host, by ssh and from where they come from", cmd(attribution.History{UserDays: 1, Interactive: true}, func(f *attribution.Facts) {
			f.RemoteTarget, f.RemoteShell = "web1", true
			f.Session = attribution.Session{RemoteAddr: "10.1.2.3", KnownSource: evidence.Yes}
		}), want{attribution.KnownUser, "al", "somebody at work, who worked here on 1 day before"}},
		{"another host, by its service manager", cmd(attribution.History{UserDays: 1, Interactive: true}, func(f *attribution.Facts) {
			f.RemoteTarget = "web1"
			f.Session = attribution.Session{RemoteAddr: "10.1.2.3", KnownSource: evidence.Yes}
		}), none("")},
		{"works here, remote", cmd(worked, func(f *attribution.Facts) { f.Session.RemoteAddr = "192.0.2.1" }), none("")},
		{"works here, remote by the evidence", cmd(worked, func(f *attribution.Facts) { f.Process.LoginSource = "192.0.2.1" }), none("")},
		{"works here, remote as always", cmd(worked, func(f *attribution.Facts) {
			f.Session = attribution.Session{RemoteAddr: "192.0.2.1", KnownSource: evidence.Yes}
		}), want{attribution.KnownUser, "al", ""}},
		{"works here since four days", cmd(attribution.History{UserDays: 4, Interactive: true}, nil), want{attribution.KnownUser, "al", "somebody at work; "}},
		{"who logged in counts", attribution.Facts{Process: loggedIn(linux("root"), "al", "pts/0"), History: same}, want{attribution.KnownUser, "al", ""}},
		{"installs as before", in(3), want{attribution.KnownUser, "al", "installed services on 3 days before"}},
		{"commands make no installs", in(2), none("al installed services on 2 days before")},
		{"under an office program", cmd(same, func(f *attribution.Facts) { f.Lineage = "office" }), none("never")},
	})
	near := func(f *attribution.Facts) {
		f.Session = attribution.Session{RemoteAddr: "10.50.0.7", KnownSource: evidence.No}
	}
	remote := func(edit func(*attribution.Facts)) attribution.Facts {
		f := attribution.Facts{Process: windows(`CORP\al`, `C:\Windows\System32\wsmprovhost.exe`), Session: attribution.Session{RemoteAddr: "10.1.2.3"}, History: attribution.History{Remote: true, Elevated: true}}
		if edit != nil {
			edit(&f)
		}
		return f
	}
	judge(t, hours, []kindCase{
		{"an administrator from another of the own networks", cmd(role(worked), near), want{attribution.KnownUser, "al", "who worked here on 5 days before, though al never came from 10.50.0.7 before"}},
		{"an administrator of few days from there", cmd(role(attribution.History{UserDays: 2, Interactive: true}), near), none("al never came from 10.50.0.7 before")},
		{"a user from there", cmd(worked, near), none("al never came from 10.50.0.7 before")},
		{"an administrator from there at night", cmd(role(worked), func(f *attribution.Facts) { near(f); f.Process.Time += 12 * 3600 }), none("never came from")},
		{"an administrator from there, about another host", cmd(role(worked), func(f *attribution.Facts) { near(f); f.RemoteTarget = "db-1" }), none("never came from")},
		{"a remote shell by day", remote(nil), want{attribution.KnownUser, `CORP\al`, "in a remote shell from 10.1.2.3; 10:00 Tue"}},
		{"a remote shell at night", remote(func(f *attribution.Facts) { f.Process.Time += 12 * 3600 }), none("")},
		{"a remote shell from outside", remote(func(f *attribution.Facts) { f.Session.RemoteAddr = "192.0.2.1" }), none("")},
		{"a remote shell from nobody knows where", remote(func(f *attribution.Facts) { f.Session.RemoteAddr = "" }), none("")},
		{"a remote shell without administrator's rights", remote(func(f *attribution.Facts) { f.History.Elevated = false }), none("")},
		{"WMI", remote(func(f *attribution.Facts) { f.Process.Ancestry[0].Path = `C:\Windows\System32\wbem\WmiPrvSE.exe` }), none("")},
		{"a copy of the remote shell", remote(func(f *attribution.Facts) { f.Process.Ancestry[0].Path = `C:\Users\al\wsmprovhost.exe` }), none("")},
	})
	judge(t, attribution.Config{KnownUser: attribution.Habit{Off: true}}, []kindCase{{"off", cmd(same, nil), none("")}})
	judge(t, attribution.Config{KnownUser: attribution.Habit{Days: 10}}, []kindCase{{"more is asked", cmd(attribution.History{SameHours: 9, Interactive: true}, nil), none("")}})
	last := 0.0
	for n := 3; n < 30; n++ {
		r := attribution.Attribute(cmd(attribution.History{Days: n, SameHours: n, Interactive: true}, nil), hours)
		if r.Strength < last || n == 4 && r.Strength <= last || r.Strength > 0.8 {
			t.Errorf("%d days: strength %v after %v", n, r.Strength, last)
		}
		last = r.Strength
	}
}
