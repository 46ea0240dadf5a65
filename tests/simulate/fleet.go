// Package simulate makes a fleet's evidence up: hosts with administrators, agents,
// deploys, maintenance and holidays, and intrusions planted among them. It is
// seedable and shares no code with the detector but the types of evidence.
package simulate

import (
	"fmt"
	"math/rand/v2"
	"sort"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

const (
	day  = 86400
	hour = 3600
	// Start is Monday 2026-06-01 00:00 UTC.
	Start = 1_780_272_000
)

// Kind is what a host is for.
type Kind int

// The kinds of hosts.
const (
	LinuxServer Kind = iota
	WebServer
	WindowsServer
	Workstation
	Laptop
)

// Host is one machine of the fleet.
type Host struct {
	Name   string
	Kind   Kind
	Admins []string
	Owner  string // of a workstation or laptop
	Agent  string // "zabbix", "ansible", "sccm", "" for none
	Busy   bool   // its agent asks every few minutes
	rng    *rand.Rand
	pid    int64
	eid    int64
	dests  []string
	last   map[string]int64 // per user, the session number
}

// Intrusion is what was planted.
type Intrusion struct {
	Host  int
	Day   int
	Story string
	From  int64
	To    int64
}

// Fleet is the hosts and what is planted on them.
type Fleet struct {
	Hosts      []*Host
	Intrusions []Intrusion
	days       int
}

// New makes a fleet of so many hosts for so many days with so many intrusions, none
// before the day given.
func New(seed uint64, hosts, days, intrusions, after int) *Fleet {
	rng := rand.New(rand.NewPCG(seed, 1))
	f := &Fleet{days: days}
	for i := range hosts {
		h := &Host{Name: fmt.Sprintf("h%04d", i), rng: rand.New(rand.NewPCG(seed, uint64(i)+100)), pid: 2000, last: map[string]int64{}}
		switch r := rng.IntN(100); {
		case r < 40:
			h.Kind = LinuxServer
		case r < 60:
			h.Kind = WebServer
		case r < 78:
			h.Kind = WindowsServer
		case r < 90:
			h.Kind = Workstation
		default:
			h.Kind = Laptop
		}
		for range 1 + rng.IntN(3) {
			h.Admins = append(h.Admins, fmt.Sprintf("adm-%02d", rng.IntN(40)))
		}
		h.Owner = fmt.Sprintf("user%04d", i)
		switch h.Kind {
		case LinuxServer, WebServer:
			h.Agent = []string{"zabbix", "ansible", "ansible", ""}[rng.IntN(4)]
		case WindowsServer, Workstation:
			h.Agent = []string{"sccm", ""}[rng.IntN(2)]
		}
		h.Busy = rng.IntN(100) == 0
		for range 20 {
			h.dests = append(h.dests, fmt.Sprintf("%d.%d.%d.%d", 20+rng.IntN(60), rng.IntN(250), rng.IntN(250), 1+rng.IntN(250)))
		}
		f.Hosts = append(f.Hosts, h)
	}
	used := map[int]bool{}
	for i := 0; len(f.Intrusions) < intrusions && i < 10*intrusions; i++ {
		story := stories[i%len(stories)]
		// A small fleet can run out of hosts for a story: then the next one has its turn.
		for _, n := range rng.Perm(hosts) {
			if !used[n] && story.on(f.Hosts[n].Kind) {
				used[n] = true
				f.Intrusions = append(f.Intrusions, Intrusion{Host: n, Day: after + rng.IntN(days-after-1), Story: story.name})
				break
			}
		}
	}
	return f
}

// holiday reports days on which nobody works.
func holiday(d int) bool { return d == 33 || d == 46 }

func weekend(d int) bool { return d%7 >= 5 }

// Day returns what a host shows on a day, in the order of time.
func (f *Fleet) Day(host, d int) Evidence {
	h := f.Hosts[host]
	e := &Evidence{h: h}
	midnight := int64(Start + d*day)
	switch h.Kind {
	case LinuxServer, WebServer:
		h.linuxDay(e, midnight, d)
	case WindowsServer:
		h.windowsServerDay(e, midnight, d)
	case Workstation:
		h.workstationDay(e, midnight, d)
	case Laptop:
		h.laptopDay(e, midnight, d)
	}
	for i := range f.Intrusions {
		if x := &f.Intrusions[i]; x.Host == host && x.Day == d {
			for _, s := range stories {
				if s.name == x.Story {
					x.From, x.To = s.play(h, e, midnight)
				}
			}
		}
	}
	e.sort()
	return *e
}

// Evidence is a day of a host.
type Evidence struct {
	evidence.Batch
	h *Host
}

func (e *Evidence) sort() {
	sort.SliceStable(e.Processes, func(i, j int) bool { return e.Processes[i].Time < e.Processes[j].Time })
	sort.SliceStable(e.Installs, func(i, j int) bool { return e.Installs[i].Time < e.Installs[j].Time })
	sort.SliceStable(e.Logons, func(i, j int) bool { return e.Logons[i].Time < e.Logons[j].Time })
	sort.SliceStable(e.Connections, func(i, j int) bool { return e.Connections[i].Time < e.Connections[j].Time })
	sort.SliceStable(e.Changes, func(i, j int) bool { return e.Changes[i].Time < e.Changes[j].Time })
}

// session is where commands are typed or run.
type session struct {
	e        *Evidence
	platform evidence.Platform
	user     string // effective
	uid      string
	login    string
	loginUID string
	id       string
	logon    string
	tty      string
	from     string
	chain    []evidence.Ancestor
	elevated evidence.Tristate
}

func (h *Host) next() int64 { h.pid++; return h.pid }
func (h *Host) record() string {
	h.eid++
	return fmt.Sprint(h.eid)
}

func (s *session) run(t int64, path, cmdline string) int64 {
	h := s.e.h
	p := evidence.Process{
		Time: t, Platform: s.platform, Host: h.Name, PID: h.next(), Path: path, CmdLine: cmdline, Username: s.user, UID: s.uid, LoginUser: s.login, LoginUID: s.loginUID,
		Session: s.id, LogonID: s.logon, TTY: s.tty, LoginSource: s.from, Ancestry: s.chain, Elevated: s.elevated, Source: "simulated", EID: h.record(),
	}
	if len(s.chain) > 0 {
		p.ParentPID, p.ParentPath, p.ParentCmdLine = s.chain[0].PID, s.chain[0].Path, s.chain[0].CmdLine
	}
	s.e.Processes = append(s.e.Processes, p)
	return p.PID
}

// under returns a session whose commands descend from one more process.
func (s *session) under(pid int64, path, cmdline string) *session {
	c := *s
	c.chain = append([]evidence.Ancestor{{PID: pid, Path: path, CmdLine: cmdline}}, s.chain...)
	return &c
}

// install tells of a service that this session installed.
func (s *session) install(t int64, in evidence.Install) {
	in.Time, in.TimeBasis, in.Platform, in.Host = t, evidence.BasisEvent, s.platform, s.e.h.Name
	if in.Action == "" {
		in.Action = evidence.Created
	}
	in.InstallerUsername, in.InstallerUID, in.LoginUser, in.Session, in.LogonID = s.user, s.uid, s.login, s.id, s.logon
	if len(s.chain) > 0 {
		in.InstallerPID, in.InstallerPath, in.InstallerCmdLine, in.InstallerAncestry = s.chain[0].PID, s.chain[0].Path, s.chain[0].CmdLine, s.chain[1:]
	}
	in.Source, in.EID = "simulated", s.e.h.record()
	s.e.Installs = append(s.e.Installs, in)
}

func (s *session) connect(t int64, path, addr string, port int64) {
	c := evidence.Connection{Time: t, Platform: s.platform, Host: s.e.h.Name, PID: s.e.h.next(), Path: path, Username: s.user, UID: s.uid, RemoteAddr: addr, RemotePort: port, Protocol: "tcp", Source: "simulated", EID: s.e.h.record()}
	if len(s.chain) > 0 {
		c.ParentPID = s.chain[0].PID
	}
	s.e.Connections = append(s.e.Connections, c)
}

func (e *Evidence) logon(t int64, p evidence.Platform, user, kind, from string, failed bool) {
	e.Logons = append(e.Logons, evidence.Logon{Time: t, Platform: p, Host: e.h.Name, Username: user, Type: kind, From: from, Failed: failed, Source: "simulated", EID: e.h.record()})
}

// ssh is a login by ssh, and root by sudo where asked for.
func (h *Host) ssh(e *Evidence, t int64, user, from string) *session {
	h.last[user]++
	e.logon(t, evidence.Linux, user, "ssh", from, false)
	shell, sshd := h.next(), h.next()
	return &session{e: e, platform: evidence.Linux, user: user, uid: "1001", login: user, loginUID: "1001", id: fmt.Sprint(h.last[user]*100 + int64(len(user))), tty: "pts/0", from: from,
		elevated: evidence.No,
		chain: []evidence.Ancestor{{PID: shell, Path: "/usr/bin/bash", CmdLine: "-bash"}, {PID: sshd, Path: "/usr/sbin/sshd", CmdLine: "sshd: " + user + "@pts/0"},
			{PID: 700, Path: "/usr/sbin/sshd", CmdLine: "/usr/sbin/sshd -D"}, {PID: 1, Path: "/usr/lib/systemd/systemd", CmdLine: "/sbin/init"}}}
}

func (s *session) sudo(t int64, path, cmdline string) int64 {
	pid := s.run(t, "/usr/bin/sudo", "sudo "+cmdline)
	root := s.under(pid, "/usr/bin/sudo", "sudo "+cmdline)
	root.user, root.uid, root.elevated = "root", "0", evidence.Yes
	return root.run(t, path, cmdline)
}

// root is the session as root by sudo, for what it installs.
func (s *session) root(pid int64, path, cmdline string) *session {
	r := s.under(pid, path, cmdline)
	r.user, r.uid, r.elevated = "root", "0", evidence.Yes
	return r
}

// daemon is a program the system runs.
func (h *Host) daemon(e *Evidence, user, uid string, chain ...evidence.Ancestor) *session {
	s := &session{e: e, platform: evidence.Linux, user: user, uid: uid, loginUID: "4294967295", elevated: evidence.No}
	if uid == "0" {
		s.elevated = evidence.Yes
	}
	s.chain = append(s.chain, chain...)
	s.chain = append(s.chain, evidence.Ancestor{PID: 1, Path: "/usr/lib/systemd/systemd", CmdLine: "/sbin/init"})
	return s
}

func (h *Host) linuxDay(e *Evidence, midnight int64, d int) {
	r := h.rng
	h.linuxAgent(e, midnight, d)
	h.traffic(e, midnight)
	// Timers and scripts of the distribution.
	cron := h.daemon(e, "root", "0", evidence.Ancestor{PID: 810, Path: "/usr/sbin/cron", CmdLine: "/usr/sbin/cron -f"})
	for i := range 3 {
		cron.run(midnight+int64(i*8)*hour+17*60, "/usr/bin/df", "df -h /")
	}
	// Unattended upgrades restart what they upgraded.
	if r.IntN(5) == 0 {
		t := midnight + 6*hour + int64(r.IntN(hour))
		apt := h.daemon(e, "root", "0", evidence.Ancestor{PID: h.next(), Path: "/usr/bin/dpkg", CmdLine: "/usr/bin/dpkg --configure -a"}, evidence.Ancestor{PID: h.next(), Path: "/usr/bin/unattended-upgrade", CmdLine: "/usr/bin/python3 /usr/bin/unattended-upgrade"})
		apt.run(t, "/usr/bin/systemctl", "systemctl is-active --quiet nginx.service")
		apt.run(t+1, "/usr/bin/systemctl", "systemctl list-units --type=service --state=running")
		apt.install(t+2, evidence.Install{Action: evidence.Modified, Kind: "systemd", Name: "nginx.service", Path: "/usr/sbin/nginx", ImagePath: "/usr/sbin/nginx -g 'daemon on;'", UnitPath: "/lib/systemd/system/nginx.service",
			Package: "nginx", PackageVerified: evidence.Yes, Packaged: evidence.Yes, OnDisk: evidence.Yes, WritableByOthers: evidence.No, Account: "root"})
		e.Changes = append(e.Changes, evidence.Change{Time: t, Platform: evidence.Linux, Host: h.Name, Kind: evidence.ChangePackage, Subject: "nginx 1.24", Detail: "upgraded", Source: "simulated", EID: h.record()})
	}
	// Administrators by day; on call at night now and then.
	for _, a := range h.Admins {
		if !weekend(d) && !holiday(d) && r.IntN(100) < 22 {
			h.linuxVisit(e, midnight+8*hour+int64(r.IntN(9*hour)), a, d)
		}
		// On call is who looks after the host by day, too: somebody new at night is to be
		// escalated and no false alarm.
		if h.last[a] > 0 && r.IntN(1000) < 3 {
			h.linuxVisit(e, midnight+int64(r.IntN(5*hour)), a, d)
		}
	}
	// Patching: the second Saturday of the month, from 02:00 to 06:00.
	if d%28 == 12 {
		s := h.ssh(e, midnight+2*hour+int64(r.IntN(2*hour)), h.Admins[0], "10.1.0.20")
		t := midnight + 4*hour
		s.sudo(t, "/usr/bin/systemctl", "systemctl list-units --failed")
		s.sudo(t+20, "/usr/bin/systemctl", "systemctl list-unit-files --type=service")
		s.sudo(t+60, "/usr/bin/systemctl", "systemctl restart nginx")
	}
}

func (h *Host) linuxVisit(e *Evidence, t int64, admin string, d int) {
	r := h.rng
	s := h.ssh(e, t, admin, fmt.Sprintf("10.1.%d.%d", len(admin)%4, 10+r.IntN(3)))
	if r.IntN(12) == 0 {
		e.logon(t-20, evidence.Linux, admin, "ssh", "10.1.0.11", true)
	}
	t += 30
	for range 1 + r.IntN(6) {
		t += int64(5 + r.IntN(200))
		switch r.IntN(10) {
		case 0, 1, 2:
			s.sudo(t, "/usr/bin/systemctl", "systemctl status "+[]string{"nginx", "ssh", "postgresql", "app"}[r.IntN(4)])
		case 3:
			s.run(t, "/usr/bin/systemctl", "systemctl list-units --type=service")
		case 4:
			s.sudo(t, "/usr/bin/systemctl", "systemctl --failed")
		case 5:
			s.run(t, "/usr/bin/ps", "ps aux")
		case 6:
			s.sudo(t, "/usr/bin/systemctl", "systemctl restart app")
		case 7:
			s.run(t, "/usr/bin/ss", "ss -tlnp")
		case 8:
			s.run(t, "/usr/bin/tail", "tail -n 50 /var/log/syslog")
		case 9:
			s.run(t, "/usr/bin/uptime", "uptime")
		}
	}
	if r.IntN(60) == 0 { // software by hand, through the package manager
		pid := s.sudo(t+60, "/usr/bin/apt-get", "apt-get install -y redis-server")
		apt := s.root(pid, "/usr/bin/apt-get", "apt-get install -y redis-server")
		apt.connect(t+62, "/usr/lib/apt/methods/http", h.dests[0], 80)
		apt.install(t+80, evidence.Install{Kind: "systemd", Name: "redis-server.service", Path: "/usr/bin/redis-server", ImagePath: "/usr/bin/redis-server /etc/redis/redis.conf", UnitPath: "/lib/systemd/system/redis-server.service",
			Package: "redis-server", PackageVerified: evidence.Yes, Packaged: evidence.Yes, OnDisk: evidence.Yes, WritableByOthers: evidence.No, Account: "redis"})
	}
	if r.IntN(20) == 0 { // a look at a vendor's page
		s.connect(t+100, "/usr/bin/curl", h.dests[r.IntN(len(h.dests))], 443)
	}
}

// linuxAgent is what the management agents ask.
func (h *Host) linuxAgent(e *Evidence, midnight int64, d int) {
	r := h.rng
	switch h.Agent {
	case "zabbix":
		s := h.daemon(e, "zabbix", "110", evidence.Ancestor{PID: 900, Path: "/usr/sbin/zabbix_agentd", CmdLine: "/usr/sbin/zabbix_agentd: listener #1"})
		step := int64(3 * hour)
		if h.Busy {
			step = 120
		}
		for t := int64(r.IntN(300)); t < day; t += step {
			sh := s.under(h.next(), "/usr/bin/dash", "sh -c systemctl list-units --type=service --all --no-legend")
			sh.run(midnight+t, "/usr/bin/systemctl", "systemctl list-units --type=service --all --no-legend")
			sh.run(midnight+t+1, "/usr/bin/systemctl", "systemctl show -p ActiveState nginx.service")
		}
	case "ansible":
		if r.IntN(3) != 0 {
			return
		}
		t := midnight + int64(r.IntN(day))
		s := h.ssh(e, t, "ansible", "10.0.0.5")
		s.tty = ""
		py := s.root(h.next(), "/usr/bin/python3", "/usr/bin/python3 /home/ansible/.ansible/tmp/ansible-tmp-1/AnsiballZ_service_facts.py")
		py.run(t+2, "/usr/bin/systemctl", "systemctl list-units --no-pager --type service --all")
		py.run(t+2, "/usr/bin/systemctl", "systemctl list-unit-files --no-pager --type service --all")
		if r.IntN(15) == 0 { // a deploy
			in := evidence.Install{Kind: "systemd", Name: "app.service", Path: "/opt/app/bin/app", ImagePath: "/opt/app/bin/app --config /etc/app.yaml", UnitPath: "/etc/systemd/system/app.service",
				OnDisk: evidence.Yes, WritableByOthers: evidence.No, Packaged: evidence.No, Account: "app", Action: evidence.Modified, Changes: []string{"args: --config /etc/a.yaml -> --config /etc/app.yaml"}}
			py.install(t+30, in)
		}
	}
}

// traffic is the host's ordinary connections.
func (h *Host) traffic(e *Evidence, midnight int64) {
	s := h.daemon(e, "app", "990", evidence.Ancestor{PID: 950, Path: "/opt/app/bin/app", CmdLine: "/opt/app/bin/app"})
	for range 3 {
		s.connect(midnight+int64(h.rng.IntN(day)), "/opt/app/bin/app", h.dests[h.rng.IntN(len(h.dests))], 443)
	}
}

// rdp is an administrator's remote desktop.
func (h *Host) rdp(e *Evidence, t int64, user, from string) *session {
	h.last[user]++
	e.logon(t, evidence.Windows, user, "remote_interactive", from, false)
	explorer, cmd := h.next(), h.next()
	return &session{e: e, platform: evidence.Windows, user: `CORP\` + user, uid: "S-1-5-21-1-" + fmt.Sprint(1000+len(user)), id: "2", logon: fmt.Sprintf("0x%x", 0x50000+h.last[user]*7), from: from, elevated: evidence.Yes,
		chain: []evidence.Ancestor{{PID: cmd, Path: `C:\Windows\System32\cmd.exe`, CmdLine: `"C:\Windows\system32\cmd.exe"`}, {PID: explorer, Path: `C:\Windows\explorer.exe`, CmdLine: "C:\\Windows\\Explorer.EXE"}}}
}

func (h *Host) system(e *Evidence, chain ...evidence.Ancestor) *session {
	return &session{e: e, platform: evidence.Windows, user: `NT AUTHORITY\SYSTEM`, uid: "S-1-5-18", id: "0", logon: "0x3e7", elevated: evidence.Yes,
		chain: append(chain, evidence.Ancestor{PID: 640, Path: `C:\Windows\System32\services.exe`, CmdLine: `C:\Windows\system32\services.exe`})}
}

func (h *Host) windowsServerDay(e *Evidence, midnight int64, d int) {
	r := h.rng
	h.windowsAgent(e, midnight, d)
	h.windowsTraffic(e, midnight)
	for _, a := range h.Admins {
		if !weekend(d) && !holiday(d) && r.IntN(100) < 18 {
			t := midnight + 8*hour + int64(r.IntN(9*hour))
			s := h.rdp(e, t, a, fmt.Sprintf("10.1.%d.%d", len(a)%4, 10+r.IntN(3)))
			for range 1 + r.IntN(5) {
				t += int64(5 + r.IntN(200))
				switch r.IntN(8) {
				case 0, 1:
					s.run(t, `C:\Windows\System32\sc.exe`, `sc  query `+[]string{"Spooler", "W32Time", "MSSQLSERVER"}[r.IntN(3)])
				case 2:
					s.run(t, `C:\Windows\System32\net.exe`, `net  start`)
				case 3:
					ps := s.under(h.next(), `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, `powershell.exe`)
					ps.run(t, `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, `powershell -Command Get-Service`)
				case 4:
					s.run(t, `C:\Windows\System32\tasklist.exe`, `tasklist  /svc`)
				case 5:
					s.run(t, `C:\Windows\System32\ipconfig.exe`, `ipconfig  /all`)
				case 6:
					s.run(t, `C:\Windows\System32\net.exe`, `net  stop Spooler`)
				case 7:
					s.run(t, `C:\Windows\System32\whoami.exe`, `whoami`)
				}
			}
			if r.IntN(50) == 0 {
				msi := s.under(h.next(), `C:\Windows\System32\msiexec.exe`, `msiexec  /i 7zip.msi`)
				msi.user, msi.uid, msi.logon = `NT AUTHORITY\SYSTEM`, "S-1-5-18", "0x3e7"
				msi.install(t+90, evidence.Install{Kind: "windows_service", Name: "VendorUpdate", Path: `C:\Program Files\Vendor\update.exe`, ImagePath: `"C:\Program Files\Vendor\update.exe" /svc`, ServiceType: "0x10", StartType: "2", Account: "LocalSystem"})
			}
		}
	}
	if d%28 == 12 { // patching
		s := h.rdp(e, midnight+2*hour+int64(r.IntN(2*hour)), h.Admins[0], "10.1.0.20")
		s.run(midnight+4*hour+60, `C:\Windows\System32\sc.exe`, `sc  query state= all`)
	}
	// The vulnerability scanner on the first Sunday, with its temporary service.
	if d%28 == 6 {
		t := midnight + 3*hour + int64(r.IntN(hour))
		e.logon(t, evidence.Windows, "svc-scan", "network", "10.9.9.9", false)
		s := h.system(e, evidence.Ancestor{PID: h.next(), Path: `C:\Windows\nessus_agent_tmp.exe`, CmdLine: `C:\Windows\nessus_agent_tmp.exe`})
		s.user, s.logon, s.from, s.id = `CORP\svc-scan`, "0x77123", "10.9.9.9", ""
		s.install(t+1, evidence.Install{Kind: "windows_service", Name: "tenable_mw_scan", Path: `C:\Windows\tenable_mw_scan_1.exe`, ImagePath: `C:\Windows\tenable_mw_scan_1.exe`, ServiceType: "0x10", StartType: "3", Account: "LocalSystem"})
	}
}

func (h *Host) windowsAgent(e *Evidence, midnight int64, d int) {
	if h.Agent != "sccm" {
		return
	}
	r := h.rng
	s := h.system(e, evidence.Ancestor{PID: 1200, Path: `C:\Windows\CCM\CcmExec.exe`, CmdLine: `C:\Windows\CCM\CcmExec.exe`})
	step := int64(6 * hour)
	if h.Busy {
		step = 240
	}
	for t := int64(r.IntN(600)); t < day; t += step {
		s.run(midnight+t, `C:\Windows\System32\wbem\WMIC.exe`, `"C:\Windows\System32\wbem\WMIC.exe" service get name,state,startmode /format:csv`)
	}
}

func (h *Host) windowsTraffic(e *Evidence, midnight int64) {
	s := h.system(e, evidence.Ancestor{PID: 1300, Path: `C:\Windows\System32\svchost.exe`, CmdLine: `svchost.exe -k netsvcs`})
	for range 3 {
		s.connect(midnight+int64(h.rng.IntN(day)), `C:\Windows\System32\svchost.exe`, h.dests[h.rng.IntN(len(h.dests))], 443)
	}
}

func (h *Host) workstationDay(e *Evidence, midnight int64, d int) {
	r := h.rng
	h.windowsAgent(e, midnight, d)
	if weekend(d) || holiday(d) {
		return
	}
	t := midnight + 8*hour + int64(r.IntN(hour))
	e.logon(t, evidence.Windows, h.Owner, "interactive", "", false)
	// Per-user services come with every logon.
	svc := h.system(e)
	svc.install(t+3, evidence.Install{Kind: "windows_service", Name: fmt.Sprintf("CDPUserSvc_%x", 0x30000+r.IntN(0xfffff)), Path: `C:\Windows\System32\svchost.exe`, ImagePath: `C:\Windows\system32\svchost.exe -k UnistackSvcGroup`, ServiceType: "0xe0", StartType: "2"})
	chrome := &session{e: e, platform: evidence.Windows, user: `CORP\` + h.Owner, uid: "S-1-5-21-1-7", id: "1", logon: "0x41000", chain: []evidence.Ancestor{{PID: 4100, Path: `C:\Windows\explorer.exe`, CmdLine: "explorer.exe"}}}
	for range 6 {
		chrome.connect(t+int64(r.IntN(8*hour)), `C:\Program Files\Google\Chrome\Application\chrome.exe`, fmt.Sprintf("%d.%d.%d.%d", 20+r.IntN(150), r.IntN(250), r.IntN(250), 1+r.IntN(250)), 443)
	}
	if r.IntN(40) == 0 { // netsh trace stop collects the network's state
		t += int64(r.IntN(6 * hour))
		cs := h.system(e, evidence.Ancestor{PID: h.next(), Path: `C:\Windows\System32\cmd.exe`, CmdLine: `C:\Windows\System32\cmd.exe /c tasklist /svc`}, evidence.Ancestor{PID: h.next(), Path: `C:\Windows\System32\cscript.exe`, CmdLine: `C:\Windows\System32\cscript.exe //nologo C:\Windows\System32\gatherNetworkInfo.vbs`})
		cs.run(t, `C:\Windows\System32\tasklist.exe`, `tasklist  /svc`)
		cs.run(t+2, `C:\Windows\System32\net.exe`, `net  start`)
	}
}

func (h *Host) laptopDay(e *Evidence, midnight int64, d int) {
	r := h.rng
	if weekend(d) && r.IntN(3) > 0 {
		return
	}
	t := midnight + 8*hour + int64(r.IntN(3*hour))
	e.logon(t, evidence.Linux, h.Owner, "interactive", "", false)
	s := &session{e: e, platform: evidence.Linux, user: h.Owner, uid: "1000", login: h.Owner, loginUID: "1000", id: "2", elevated: evidence.No,
		chain: []evidence.Ancestor{{PID: 1500, Path: "/usr/bin/gnome-session-binary", CmdLine: "/usr/libexec/gnome-session-binary --systemd"}, {PID: 1400, Path: "/usr/lib/systemd/systemd", CmdLine: "/usr/lib/systemd/systemd --user"}, {PID: 1, Path: "/usr/lib/systemd/systemd", CmdLine: "/sbin/init"}}}
	s.run(t+5, "/usr/bin/systemctl", "systemctl --user list-units --type=service")
	s.run(t+6, "/usr/bin/systemctl", "systemctl --user is-active pipewire.service")
	for range 6 {
		s.connect(t+int64(r.IntN(8*hour)), "/usr/lib/firefox/firefox", fmt.Sprintf("%d.%d.%d.%d", 20+r.IntN(150), r.IntN(250), r.IntN(250), 1+r.IntN(250)), 443)
	}
	if r.IntN(4) == 0 { // a developer looks after own services
		sh := *s
		sh.tty = "pts/1"
		sh.chain = append([]evidence.Ancestor{{PID: h.next(), Path: "/usr/bin/zsh", CmdLine: "zsh"}}, s.chain...)
		sh.run(t+int64(r.IntN(6*hour)), "/usr/bin/systemctl", "systemctl status docker")
	}
}
