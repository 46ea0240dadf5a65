package evtx

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func scm(id int, data ...fieldOf) eventOf {
	return eventOf{provider: "Service Control Manager", channel: "System", computer: "ws1.corp.example", id: id, time: filetime(at, 0), user: sidv(21, 7), data: data}
}

func sysmon(id int, data ...fieldOf) eventOf {
	return eventOf{provider: "Microsoft-Windows-Sysmon", channel: "Microsoft-Windows-Sysmon/Operational", computer: "ws1.corp.example", id: id, time: filetime(at, 0), user: sidv(18), data: data}
}

func msi(id int, values ...string) eventOf {
	return eventOf{provider: "MsiInstaller", channel: "Application", computer: "ws1.corp.example", id: id, time: filetime(at, 0), user: sidv(21, 7), data: []fieldOf{{"", list(values...)}}}
}

// subject is who did it, as Security's events tell.
func subject(more ...fieldOf) []fieldOf {
	return append([]fieldOf{{"SubjectUserSid", sidv(21, 5)}, {"SubjectUserName", str("anna")}, {"SubjectDomainName", str("CORP")}, {"SubjectLogonId", hex64(0x77)}}, more...)
}

// logonData are the fields of 4624 and 4625.
func logonData(kind uint32, user, domain string, id value, address, station string, more ...fieldOf) []fieldOf {
	return append([]fieldOf{{"SubjectUserSid", sidv(18)}, {"TargetUserSid", id}, {"TargetUserName", str(user)}, {"TargetDomainName", str(domain)}, {"TargetLogonId", hex64(0x99)},
		{"LogonType", u32v(kind)}, {"WorkstationName", str(station)}, {"ProcessId", hex64(0)}, {"IpAddress", str(address)}, {"IpPort", str("50000")}}, more...)
}

func registry(kind, target, details, image string) []fieldOf {
	return []fieldOf{{"EventType", str(kind)}, {"ProcessId", u32v(700)}, {"Image", str(image)}, {"TargetObject", str(target)}, {"Details", str(details)}}
}

const (
	taskXML = "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n<Task version=\"1.2\" xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\">\r\n" +
		"<Triggers><BootTrigger/></Triggers><Actions Context=\"A\"><Exec><Command>cmd.exe</Command><Arguments>/c a &amp;&amp; b</Arguments></Exec><Exec><Command>C:\\x.exe</Command></Exec>" +
		"<ComHandler><ClassId>{1}</ClassId></ComHandler></Actions></Task>"
	scmImage = `C:\Windows\system32\services.exe`
	keys     = `HKLM\System\CurrentControlSet\Services\`
)

func TestKinds(t *testing.T) {
	logon := func(change func(*evidence.Logon)) evidence.Batch {
		l := evidence.Logon{Time: at, Platform: evidence.Windows, Host: "ws1.corp.example", Username: `CORP\bob`, UID: "S-1-5-21-9", Type: "network", From: "10.0.0.5", LogonID: "0x99", Source: SourceSecurity, EID: "1"}
		change(&l)
		return evidence.Batch{Logons: []evidence.Logon{l}}
	}
	change := func(kind, subject, detail string, more ...func(*evidence.Change)) evidence.Batch {
		c := evidence.Change{Time: at, Platform: evidence.Windows, Host: "ws1.corp.example", Kind: kind, Subject: subject, Detail: detail, Username: `CORP\anna`, UID: "S-1-5-21-5", Source: SourceSecurity, EID: "1"}
		for _, f := range more {
			f(&c)
		}
		return evidence.Batch{Changes: []evidence.Change{c}}
	}
	bySystem := func(source, eid string) func(*evidence.Change) {
		return func(c *evidence.Change) { c.Source, c.EID, c.Username, c.UID = source, eid, "", "S-1-5-21-7" }
	}
	connection := func(change func(*evidence.Connection)) evidence.Batch {
		c := evidence.Connection{Time: at, Platform: evidence.Windows, Host: "ws1.corp.example", PID: 700, Path: `C:\a.exe`, Username: `CORP\bob`, Protocol: "tcp", LocalAddr: "10.0.0.9", LocalPort: 50001,
			RemoteAddr: "203.0.113.7", RemotePort: 443, RemoteName: "c2.example", Source: SourceSysmon, EID: "1"}
		change(&c)
		return evidence.Batch{Connections: []evidence.Connection{c}}
	}
	install := func(change func(*evidence.Install)) evidence.Batch {
		i := evidence.Install{Time: at, TimeBasis: evidence.BasisEvent, Platform: evidence.Windows, Host: "ws1.corp.example", Action: evidence.Created, Name: "Upd", Source: SourceSysmon, EID: "1"}
		change(&i)
		return evidence.Batch{Installs: []evidence.Install{i}}
	}
	none := evidence.Batch{}
	bob := sidv(21, 9)
	net := []fieldOf{{"ProcessId", u32v(700)}, {"Image", str(`C:\a.exe`)}, {"User", str(`CORP\bob`)}, {"Protocol", str("tcp")}, {"Initiated", boolv(true)}, {"SourceIp", str("10.0.0.9")}, {"SourceHostname", str("-")},
		{"SourcePort", u16v(50001)}, {"DestinationIp", str("203.0.113.7")}, {"DestinationHostname", str("c2.example")}, {"DestinationPort", u16v(443)}}
	with := func(all []fieldOf, name string, v value) []fieldOf {
		out := append([]fieldOf{}, all...)
		for i := range out {
			if out[i].name == name {
				out[i].v = v
			}
		}
		return out
	}

	tests := []struct {
		name   string
		events []eventOf
		want   evidence.Batch
	}{
		{"4624 over the network", []eventOf{security(4624, 0, logonData(3, "bob", "CORP", bob, "::ffff:10.0.0.5", "WS2")...)}, logon(func(*evidence.Logon) {})},
		{"4624 from a workstation without an address", []eventOf{security(4624, 0, logonData(3, "bob", "CORP", bob, "-", `\\WS2`)...)}, logon(func(l *evidence.Logon) { l.From = "WS2" })},
		{"4624 at the desk, elevated", []eventOf{security(4624, 0, logonData(2, "bob", "CORP", bob, "-", "WS1", fieldOf{"ElevatedToken", str("%%1842")})...)},
			logon(func(l *evidence.Logon) { l.Type, l.From, l.Privileged = "interactive", "", evidence.Yes })},
		{"4624 of a remote desktop, not elevated", []eventOf{security(4624, 0, logonData(10, "bob", "CORP", bob, "10.0.0.5", "WS1", fieldOf{"ElevatedToken", str("%%1843")})...)},
			logon(func(l *evidence.Logon) { l.Type, l.Privileged = "remote_interactive", evidence.No })},
		{"4624 of a machine from elsewhere", []eventOf{security(4624, 0, logonData(3, "WS2$", "CORP", bob, "10.0.0.5", "-")...)}, logon(func(l *evidence.Logon) { l.Username = `CORP\WS2$` })},
		{"4624 of the machine itself", []eventOf{security(4624, 0, logonData(3, "WS1$", "CORP", bob, "::1", "-")...)}, none},
		{"4624 of a service's account", []eventOf{security(4624, 0, logonData(5, "LOCAL SERVICE", "NT AUTHORITY", sidv(19), "-", "-")...)}, none},
		{"4624 of a service that a person's account runs", []eventOf{security(4624, 0, logonData(5, "svc_backup", "CORP", bob, "-", "-")...)},
			logon(func(l *evidence.Logon) { l.Username, l.Type, l.From = `CORP\svc_backup`, "service", "" })},
		{"4624 of a window manager", []eventOf{security(4624, 0, logonData(2, "DWM-1", "Window Manager", sidv(90, 0, 1), "-", "-")...)}, none},
		{"4624 of a logon type nobody knows", []eventOf{security(4624, 0, logonData(99, "bob", "CORP", bob, "10.0.0.5", "-")...)}, logon(func(l *evidence.Logon) { l.Type = "" })},
		{"4625", []eventOf{security(4625, 0, logonData(3, "bob", "CORP", sidv(0), "10.0.0.5", "-")...)}, logon(func(l *evidence.Logon) { l.Failed, l.UID, l.LogonID = true, "S-1-5-0", "" })},
		{"4672 before its logon", []eventOf{
			security(4672, 0, fieldOf{"SubjectUserSid", bob}, fieldOf{"SubjectUserName", str("bob")}, fieldOf{"SubjectDomainName", str("CORP")}, fieldOf{"SubjectLogonId", hex64(0x99)}),
			security(4624, 0, logonData(3, "bob", "CORP", bob, "10.0.0.5", "-")...)}, logon(func(l *evidence.Logon) { l.Privileged, l.EID = evidence.Yes, "2" })},
		{"4672 behind its logon", []eventOf{
			security(4624, 0, logonData(3, "bob", "CORP", bob, "10.0.0.5", "-")...),
			security(4672, 0, fieldOf{"SubjectUserSid", bob}, fieldOf{"SubjectUserName", str("bob")}, fieldOf{"SubjectDomainName", str("CORP")}, fieldOf{"SubjectLogonId", hex64(0x99)})},
			logon(func(l *evidence.Logon) { l.Privileged = evidence.Yes })},
		{"4672 alone, and one of the system", []eventOf{
			security(4672, 0, fieldOf{"SubjectUserSid", bob}, fieldOf{"SubjectUserName", str("bob")}, fieldOf{"SubjectDomainName", str("CORP")}, fieldOf{"SubjectLogonId", hex64(0x99)}),
			security(4672, 0, fieldOf{"SubjectUserSid", sidv(18)}, fieldOf{"SubjectUserName", str("SYSTEM")}, fieldOf{"SubjectDomainName", str("NT AUTHORITY")}, fieldOf{"SubjectLogonId", hex64(0x3e7)})},
			logon(func(l *evidence.Logon) { l.Privileged, l.Type, l.From = evidence.Yes, "", "" })},
		{"4648", []eventOf{security(4648, 0, subject(fieldOf{"TargetUserName", str("bob")}, fieldOf{"TargetDomainName", str("CORP")}, fieldOf{"TargetServerName", str("localhost")},
			fieldOf{"ProcessId", hex64(700)}, fieldOf{"IpAddress", str("10.0.0.5")}, fieldOf{"IpPort", str("0")})...)},
			logon(func(l *evidence.Logon) { l.Type, l.UID, l.LogonID, l.PID = "explicit", "", "0x77", 700 })},
		{"4648 shown to a server", []eventOf{security(4648, 0, subject(fieldOf{"TargetUserName", str("bob")}, fieldOf{"TargetDomainName", str("CORP")},
			fieldOf{"ProcessId", hex64(4)}, fieldOf{"IpAddress", str("10.0.0.5")}, fieldOf{"IpPort", str("445")})...)},
			logon(func(l *evidence.Logon) { l.Type, l.UID, l.LogonID, l.PID, l.From = "explicit", "", "0x77", 4, "" })},
		{"4648 of the system, to let somebody in", []eventOf{security(4648, 0, fieldOf{"SubjectUserSid", sidv(18)}, fieldOf{"SubjectUserName", str("WS1$")}, fieldOf{"TargetUserName", str("bob")}, fieldOf{"TargetDomainName", str("CORP")},
			fieldOf{"TargetServerName", str("localhost")}, fieldOf{"ProcessId", hex64(700)}, fieldOf{"IpAddress", str("127.0.0.1")}, fieldOf{"IpPort", str("0")})}, none},
		{"4634 and 4647", []eventOf{security(4634, 0, fieldOf{"TargetUserName", str("bob")}), security(4647, 0, fieldOf{"TargetUserName", str("bob")})}, none},
		{"a session of terminal services", []eventOf{{provider: "Microsoft-Windows-TerminalServices-LocalSessionManager", channel: "x", computer: "ws1.corp.example", id: 21, time: filetime(at, 0), user: sidv(18), own: "EventXML",
			data: []fieldOf{{"User", str(`CORP\bob`)}, {"SessionID", u32v(2)}, {"Address", str("10.0.0.5")}}}},
			logon(func(l *evidence.Logon) {
				l.Type, l.UID, l.LogonID, l.Source = "remote_interactive", "", "", SourceTerminal
			})},

		{"4720", []eventOf{security(4720, 0, subject(fieldOf{"TargetUserName", str("evil")}, fieldOf{"TargetDomainName", str("WS1")})...)}, change(evidence.ChangeAccount, `user WS1\evil`, "created")},
		{"4722", []eventOf{security(4722, 0, subject(fieldOf{"TargetUserName", str("evil")}, fieldOf{"TargetDomainName", str("WS1")})...)}, change(evidence.ChangeAccount, `user WS1\evil`, "enabled")},
		{"4724", []eventOf{security(4724, 0, subject(fieldOf{"TargetUserName", str("evil")}, fieldOf{"TargetDomainName", str("WS1")})...)}, change(evidence.ChangeAccount, `user WS1\evil`, "password reset")},
		{"4726", []eventOf{security(4726, 0, subject(fieldOf{"TargetUserName", str("evil")}, fieldOf{"TargetDomainName", str("WS1")})...)}, change(evidence.ChangeAccount, `user WS1\evil`, "deleted")},
		{"4728", []eventOf{security(4728, 0, subject(fieldOf{"MemberName", str("CN=evil,DC=corp")}, fieldOf{"TargetUserName", str("Domain Admins")}, fieldOf{"TargetDomainName", str("CORP")})...)},
			change(evidence.ChangeAccount, `group CORP\Domain Admins`, "member added: CN=evil,DC=corp")},
		{"4732", []eventOf{security(4732, 0, subject(fieldOf{"MemberName", str("-")}, fieldOf{"MemberSid", bob}, fieldOf{"TargetUserName", str("Administrators")}, fieldOf{"TargetDomainName", str("Builtin")})...)},
			change(evidence.ChangeAccount, `group Builtin\Administrators`, "member added: S-1-5-21-9")},
		{"4756", []eventOf{security(4756, 0, subject(fieldOf{"MemberName", str("CN=evil")}, fieldOf{"TargetUserName", str("Enterprise Admins")}, fieldOf{"TargetDomainName", str("CORP")})...)},
			change(evidence.ChangeAccount, `group CORP\Enterprise Admins`, "member added: CN=evil")},
		{"4738", []eventOf{security(4738, 0, subject(fieldOf{"TargetUserName", str("bob")}, fieldOf{"TargetDomainName", str("CORP")}, fieldOf{"SamAccountName", str("-")}, fieldOf{"PasswordLastSet", str("1/1/2024 1:00")}, fieldOf{"SidHistory", str("%{S-1-5-21-1-512}")})...)},
			change(evidence.ChangeAccount, `user CORP\bob`, "changed: PasswordLastSet, SidHistory")},
		{"4781", []eventOf{security(4781, 0, subject(fieldOf{"OldTargetUserName", str("bob")}, fieldOf{"NewTargetUserName", str("dc1")}, fieldOf{"TargetDomainName", str("CORP")})...)},
			change(evidence.ChangeAccount, `user CORP\bob`, "renamed to dc1")},
		{"1102", []eventOf{{provider: "Microsoft-Windows-Eventlog", channel: "Security", computer: "ws1.corp.example", id: 1102, time: filetime(at, 0), own: "LogFileCleared", data: subject()}},
			change(evidence.ChangeAudit, "log Security", "cleared")},
		{"104", []eventOf{{provider: "Microsoft-Windows-Eventlog", channel: "System", computer: "ws1.corp.example", id: 104, time: filetime(at, 0), user: sidv(21, 7), own: "LogFileCleared",
			data: []fieldOf{{"SubjectUserName", str("anna")}, {"SubjectDomainName", str("CORP")}, {"Channel", str("Windows PowerShell")}, {"BackupPath", str(`C:\b.evtx`)}}}},
			change(evidence.ChangeAudit, "log Windows PowerShell", `cleared, saved as C:\b.evtx`, func(c *evidence.Change) { c.Source, c.UID = SourceSystem, "S-1-5-21-7" })},
		{"4719", []eventOf{security(4719, 0, subject(fieldOf{"CategoryId", str("%%8276")}, fieldOf{"SubcategoryId", str("%%13312")}, fieldOf{"SubcategoryGuid", str("x")}, fieldOf{"AuditPolicyChanges", str("%%8448, %%8450")})...)},
			change(evidence.ChangeAudit, "audit policy Process Creation", "success removed, failure removed")},
		{"4698", []eventOf{security(4698, 0, subject(fieldOf{"TaskName", str(`\Upd`)}, fieldOf{"TaskContent", str(taskXML)})...)},
			change(evidence.ChangeFile, `task \Upd`, `created: cmd.exe /c a && b; C:\x.exe; COM class {1}`)},
		{"4702 of a task that is no XML", []eventOf{security(4702, 0, subject(fieldOf{"TaskName", str(`\Upd`)}, fieldOf{"TaskContentNew", str("<<<")})...)}, change(evidence.ChangeFile, `task \Upd`, "changed")},
		{"an update", []eventOf{{provider: "Microsoft-Windows-WindowsUpdateClient", channel: "System", computer: "ws1.corp.example", id: 19, time: filetime(at, 0), pid: 9, user: sidv(18), data: []fieldOf{{"updateTitle", str("2024-01 Cumulative Update (KB5034122)")}, {"updateGuid", str("x")}}}},
			change(evidence.ChangePatch, "2024-01 Cumulative Update (KB5034122)", "installed", func(c *evidence.Change) { c.Source, c.Username, c.UID, c.PID = SourceSystem, "", "S-1-5-18", 9 })},
		{"a package of Windows", []eventOf{{provider: "Microsoft-Windows-Servicing", channel: "Setup", computer: "ws1.corp.example", id: 2, time: filetime(at, 0), user: sidv(18), own: "CbsPackageChangeState",
			data: []fieldOf{{"PackageIdentifier", str("KB5034122")}, {"IntendedPackageState", u32v(5112)}, {"IntendedPackageStateTextized", str("Installed")}, {"ErrorCode", str("0x0")}, {"Client", str("WindowsUpdateAgent")}}}},
			change(evidence.ChangePatch, "KB5034122", "installed by WindowsUpdateAgent", func(c *evidence.Change) { c.Source, c.Username, c.UID = SourceSetup, "", "S-1-5-18" })},
		{"Windows Installer", []eventOf{msi(11707, "Product: Tool -- Installation completed successfully.", "(NULL)"), msi(1033, "Tool", "1.2", "1033", "0", "Maker", "(NULL)")},
			change(evidence.ChangePackage, "Tool 1.2", "installed", bySystem(SourceApplication, "2"))},
		{"Windows Installer, the other way around", []eventOf{msi(1034, "Tool", "1.2", "1033", "0", "Maker"), msi(11724, "Product: Tool -- Removal completed successfully.")},
			change(evidence.ChangePackage, "Tool 1.2", "removed", bySystem(SourceApplication, "1"))},
		{"Windows Installer that failed", []eventOf{msi(1033, "Tool", "1.2", "1033", "1603", "Maker"), msi(11707, "?")}, none},

		{"7040", []eventOf{scm(7040, fieldOf{"param1", str("Windows Event Log")}, fieldOf{"param2", str("auto start")}, fieldOf{"param3", str("disabled")}, fieldOf{"param4", str("EventLog")})},
			install(func(i *evidence.Install) {
				i.Action, i.Name, i.DisplayName, i.StartType, i.Source, i.InstallerUID = evidence.Modified, "EventLog", "Windows Event Log", "disabled", SourceSystem, "S-1-5-21-7"
				i.Changes = []string{"start_type: auto start -> disabled"}
			})},
		{"7036", []eventOf{scm(7036, fieldOf{"param1", str("Upd")}, fieldOf{"param2", str("running")})}, none},
		{"Sysmon, a service the manager makes", []eventOf{
			sysmon(12, registry("CreateKey", keys+"Upd", "", scmImage)...), sysmon(13, registry("SetValue", keys+`Upd\Type`, "DWORD (0x00000010)", scmImage)...),
			sysmon(13, registry("SetValue", keys+`Upd\Start`, "DWORD (0x00000002)", scmImage)...), sysmon(13, registry("SetValue", keys+`Upd\ImagePath`, `%%COMSPEC%% /c x`, scmImage)...),
			sysmon(13, registry("SetValue", keys+`Upd\DisplayName`, "Update", scmImage)...), sysmon(13, registry("SetValue", keys+`Upd\ObjectName`, "LocalSystem", scmImage)...),
			sysmon(13, registry("SetValue", keys+`Upd\Parameters\ServiceDll`, `C:\x.dll`, scmImage)...)},
			install(func(i *evidence.Install) {
				i.Kind = "windows_service"
				i.EID, i.ServiceType, i.StartType, i.ImagePath, i.DisplayName, i.Account, i.ServiceDLL = "4", "16", "2", "%COMSPEC% /c x", "Update", "LocalSystem", `C:\x.dll`
			})},
		{"Sysmon, another image path", []eventOf{sysmon(13, registry("SetValue", `HKLM\SYSTEM\ControlSet001\services\Upd\ImagePath`, `C:\x.exe`, `C:\Windows\System32\reg.exe`)...)},
			install(func(i *evidence.Install) {
				i.Kind = "windows_service"
				i.Action, i.ImagePath, i.InstallerPID, i.InstallerPath, i.Changes = evidence.Modified, `C:\x.exe`, 700, `C:\Windows\System32\reg.exe`, []string{`image_path: ? -> C:\x.exe`}
			})},
		{"Sysmon, another library", []eventOf{sysmon(13, registry("SetValue", keys+`TermService\Parameters\ServiceDll`, `%%ProgramFiles%%\r.dll`, `C:\i.exe`)...)},
			install(func(i *evidence.Install) {
				i.Action, i.Name, i.ServiceDLL, i.InstallerPID, i.InstallerPath, i.Changes = evidence.Modified, "TermService", `%ProgramFiles%\r.dll`, 700, `C:\i.exe`, []string{`service_dll: ? -> %ProgramFiles%\r.dll`}
			})},
		{"Sysmon, a key that is deleted", []eventOf{sysmon(12, registry("DeleteKey", keys+"Upd", "", scmImage)...)}, install(func(i *evidence.Install) { i.Action = evidence.Removed })},
		{"Sysmon, other keys", []eventOf{
			sysmon(13, registry("SetValue", keys+`bam\State\UserSettings\ImagePath`, "x", scmImage)...), sysmon(13, registry("SetValue", `HKLM\Software\Services\a\ImagePath`, "x", scmImage)...),
			sysmon(13, registry("SetValue", `HKLM\System\CurrentControlSet\Control\ImagePath`, "x", scmImage)...), sysmon(13, registry("SetValue", `HKLM\System\Setup\Services\a\ImagePath`, "x", scmImage)...),
			sysmon(13, registry("SetValue", keys, "x", scmImage)...), sysmon(12, registry("DeleteValue", keys+`Upd\ImagePath`, "x", scmImage)...)}, none},
		{"Sysmon, a file", []eventOf{sysmon(11, fieldOf{"ProcessId", u32v(700)}, fieldOf{"Image", str(`C:\a.exe`)}, fieldOf{"TargetFilename", str(`C:\App\Services\x.dll`)}),
			sysmon(11, fieldOf{"ProcessId", u32v(700)}, fieldOf{"Image", str(`C:\a.exe`)}, fieldOf{"TargetFilename", str(`C:\Temp\x.dll`)})},
			change(evidence.ChangeFile, `C:\App\Services\x.dll`, `created by C:\a.exe`, func(c *evidence.Change) { c.Source, c.PID, c.Username, c.UID = SourceSysmon, 700, "", "" })},

		{"Sysmon 3", []eventOf{sysmon(3, net...)}, connection(func(*evidence.Connection) {})},
		{"Sysmon 3, inbound, the host first", []eventOf{sysmon(3, with(with(net, "Initiated", boolv(false)), "SourcePort", u16v(22))...)},
			connection(func(c *evidence.Connection) { c.Inbound, c.LocalPort = true, 22 })},
		{"Sysmon 3, inbound, the peer first", []eventOf{sysmon(3, with(net, "Initiated", boolv(false))...)},
			connection(func(c *evidence.Connection) {
				c.Inbound, c.LocalAddr, c.LocalPort, c.RemoteAddr, c.RemotePort, c.RemoteName = true, "203.0.113.7", 443, "10.0.0.9", 50001, ""
			})},
		{"Sysmon 3, inbound, the host by its name", []eventOf{sysmon(3, with(with(with(net, "Initiated", boolv(false)), "DestinationHostname", str("c2.example")), "SourceHostname", str("WS1"))...)},
			connection(func(c *evidence.Connection) { c.Inbound = true })},
		{"Sysmon 3 of a process that is gone", []eventOf{sysmon(3, with(net, "Image", str("<unknown process>"))...)}, connection(func(c *evidence.Connection) { c.Path = "" })},
		{"Sysmon 3 to its own address", []eventOf{sysmon(3, with(net, "DestinationIp", str("10.0.0.9"))...)}, none},
		{"Sysmon 3 to itself, to everybody", []eventOf{sysmon(3, with(net, "DestinationIp", str("127.0.0.1"))...), sysmon(3, with(net, "DestinationIp", str("ff02:0:0:0:0:0:1:3"))...)}, none},
		{"Sysmon 22 and 6", []eventOf{sysmon(22, fieldOf{"QueryName", str("x")}), sysmon(6, fieldOf{"ImageLoaded", str("x.sys")})}, none},
		{"5156, outbound", []eventOf{security(5156, 0, fieldOf{"ProcessID", u64v(700)}, fieldOf{"Application", str(`\device\harddiskvolume1\a.exe`)}, fieldOf{"Direction", str("%%14593")}, fieldOf{"SourceAddress", str("10.0.0.9")}, fieldOf{"SourcePort", str("50001")},
			fieldOf{"DestAddress", str("203.0.113.7")}, fieldOf{"DestPort", str("443")}, fieldOf{"Protocol", u32v(6)})},
			connection(func(c *evidence.Connection) {
				c.Path, c.Username, c.RemoteName, c.Source = `\device\harddiskvolume1\a.exe`, "", "", SourceSecurity
			})},
		{"5156, inbound", []eventOf{security(5156, 0, fieldOf{"ProcessID", u64v(700)}, fieldOf{"Application", str("System")}, fieldOf{"Direction", str("%%14592")}, fieldOf{"SourceAddress", str("10.0.0.9")}, fieldOf{"SourcePort", str("445")},
			fieldOf{"DestAddress", str("10.0.0.5")}, fieldOf{"DestPort", str("50000")}, fieldOf{"Protocol", u32v(17)})},
			connection(func(c *evidence.Connection) {
				c.Path, c.Username, c.RemoteName, c.Source, c.Inbound, c.LocalPort, c.RemoteAddr, c.RemotePort, c.Protocol = "System", "", "", SourceSecurity, true, 445, "10.0.0.5", 50000, "udp"
			})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMaker()
			for _, e := range tt.events {
				m.add(e)
			}
			got, r := readAll(t, m.file())
			if got.Read != int64(len(tt.events)) || len(r.Notes()) > 0 {
				t.Errorf("%d records, notes %q", got.Read, r.Notes())
			}
			tt.want.Read = got.Read
			if d := cmp.Diff(tt.want, got.Batch); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestWorkers reads chunks in parallel and gets what one after another brings.
func TestWorkers(t *testing.T) {
	file := fill(1200)
	second := fileHeaderSize + chunkSize
	file[second+5000] ^= 1
	want, one := readAll(t, file)
	for _, workers := range []int{2, 3, 8, 1000} {
		r, err := NewReader(bytes.NewReader(file), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		var got Batch
		for err == nil {
			var b Batch
			b, err = r.Next(t.Context(), workers)
			got.Processes = append(got.Processes, b.Processes...)
			got.Read += b.Read
		}
		if d := cmp.Diff(want.Processes, got.Processes); d != "" || got.Read != want.Read {
			t.Errorf("%d workers: %d records of %d\n%s", workers, got.Read, want.Read, d)
		}
		if d := cmp.Diff(one.Notes(), r.Notes()); d != "" {
			t.Errorf("%d workers: notes\n%s", workers, d)
		}
	}
}

// TestAllAreTold reads many rights without their logons, and keys between them.
func TestAllAreTold(t *testing.T) {
	m := newMaker()
	const n = 3000
	for i := range n {
		m.add(security(4672, 0, fieldOf{"SubjectUserSid", sidv(21, 9)}, fieldOf{"SubjectUserName", str("bob")}, fieldOf{"SubjectDomainName", str("CORP")}, fieldOf{"SubjectLogonId", hex64(uint64(1000 + i))}))
		m.add(sysmon(13, registry("SetValue", keys+"S"+itoa(uint64(i))+`\Start`, "DWORD (0x00000002)", scmImage)...))
	}
	got, _ := readAll(t, m.file())
	if len(got.Logons) != n {
		t.Errorf("%d logons of %d", len(got.Logons), n)
	}
}
