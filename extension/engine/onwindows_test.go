package engine_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// The event log calls a host by its name and domain, everything else by its name.
const full = "H.corp.example"

// TestAnInstallOnWindowsIsOneRow: the logs of the system, of security and of Sysmon and the
// list of services tell of one install, each what it knows, in any order.
func TestAnInstallOnWindowsIsOneRow(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	all := []evidence.Install{
		{Host: full, Name: "Evil Service", ServiceType: "user mode service", StartType: "demand start", Account: "LocalSystem", Source: "windows_eventlog_system", EID: "7045/x"},
		{Host: full, Name: "evil", ServiceType: "0x10", StartType: "3", Account: "LocalSystem", InstallerUsername: `CORP\alex`, LogonID: "0x7428d", Source: "windows_eventlog_security", EID: "4697/x"},
		{Host: full, Name: "evil", StartType: "3", Source: "windows_eventlog_sysmon", EID: "13/x"},
		{Name: "evil", ServiceType: "OWN_PROCESS", StartType: "DEMAND_START", Account: "LocalSystem", OnDisk: evidence.Yes, Source: "services"},
	}
	for i := range all {
		in := &all[i]
		in.Time, in.TimeBasis, in.Platform, in.Action, in.Kind, in.ImagePath = at.Unix()+int64(i), evidence.BasisEvent, evidence.Windows, evidence.Created, "windows_service", `C:\Windows\evil.exe -k`
	}
	for first := range all {
		st := temporary(t)
		r := newRig(t, st, at.Add(10*time.Second))
		r.a.next.Installs = slices.Concat(all[first:], all[:first])
		for i := range r.a.next.Installs {
			r.a.next.Installs[i].Time = at.Unix() + int64(i)
		}
		r.collect()
		rows := r.installs()
		if len(rows) != 1 {
			t.Errorf("from the %d. on: %d rows", first+1, len(rows))
			continue
		}
		in := rows[0].Install
		sources := strings.Split(in.Source, ",")
		slices.Sort(sources)
		if strings.Join(sources, " ") != "services windows_eventlog_security windows_eventlog_sysmon windows_eventlog_system" || in.Name != "evil" || in.DisplayName != "Evil Service" ||
			in.Account != "LocalSystem" || in.InstallerUsername != `CORP\alex` || in.LogonID != "0x7428d" || in.OnDisk != evidence.Yes || in.Host != "h" {
			t.Errorf("from the %d. on: %+v", first+1, in)
		}
	}
}

// TestAStartOnWindowsIsOneRow: so does a start of the security log's, Sysmon's and of ETW;
// and what PowerShell ran is of whoever runs that PowerShell, which goes on.
func TestAStartOnWindowsIsOneRow(t *testing.T) {
	st := temporary(t)
	at := time.Unix(1_800_000_000, 0)
	r := newRig(t, st, at.Add(10*time.Second))
	start := func(host, source string, pid, parent int64, path, line string) evidence.Process {
		return evidence.Process{Time: at.Unix(), Platform: evidence.Windows, Host: host, PID: pid, ParentPID: parent, Path: path, CmdLine: line, Username: `CORP\alex`, Source: source, EID: source}
	}
	const sc, shell = `C:\Windows\System32\sc.exe`, `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`
	security, sysmon, etw := start(full, "windows_eventlog_4688", 6700, 5112, sc, "sc  query"), start(full, "windows_eventlog_sysmon", 6700, 5112, sc, "sc  query"), start("", "process_etw_events", 6700, 5112, sc, "sc  query")
	security.LogonID, sysmon.CWD, etw.Session = "0x7428d", `C:\Users\alex`, "2"
	ps := start(full, "windows_eventlog_4688", 5112, 4564, shell, "powershell -nop")
	ps.LogonID, ps.Time, ps.ParentPath = "0x7428d", at.Unix()-60, `C:\Windows\explorer.exe`
	block := evidence.Process{Time: at.Unix() - 30, Platform: evidence.Windows, Host: full, PID: 5112, Path: "powershell.exe", CmdLine: "Get-Service | Where-Object Status -eq Running", Source: "windows_eventlog_powershell", EID: "4104/x"}
	other := block
	other.PID, other.EID = 99, "4104/y"
	r.a.next.Processes = []evidence.Process{ps, block, other, security}
	r.b.next.Processes = []evidence.Process{sysmon, etw}
	r.collect()
	got := map[string]store.Event{}
	if _, err := r.store.Events(context.Background(), store.Filter{}, func(e *store.Event) error { got[e.Process.Source+" "+e.Process.EID] = *e; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 {
		t.Errorf("%d rows: %v", len(got), got)
	}
	for key, e := range got {
		p := &e.Process
		switch {
		case strings.Contains(key, "4104/y"):
			if p.Username != "" || p.LogonID != "" {
				t.Errorf("of a process nobody knows: %+v", p)
			}
		case strings.Contains(key, "4104/x"):
			if p.Path != shell || p.Username != `CORP\alex` || p.LogonID != "0x7428d" || p.ParentPath != `C:\Windows\explorer.exe` || p.ParentPID != 4564 {
				t.Errorf("what PowerShell ran: %+v", p)
			}
		default:
			for _, s := range []string{"windows_eventlog_4688", "windows_eventlog_sysmon", "process_etw_events"} {
				if !strings.Contains(p.Source, s) {
					t.Errorf("%s does not name %s", p.Source, s)
				}
			}
			if p.LogonID != "0x7428d" || p.CWD != `C:\Users\alex` || p.Session != "2" || p.Host != "h" || p.ParentCmdLine != "powershell -nop" {
				t.Errorf("a start of three sources: %+v", p)
			}
		}
	}
}

// TestAConnectionOnWindowsIsOfAProgram: event 5156 names a device where everything else
// names a drive.
func TestAConnectionOnWindowsIsOfAProgram(t *testing.T) {
	st := temporary(t)
	at := time.Unix(1_800_000_000, 0)
	r := newRig(t, st, at.Add(10*time.Second))
	const program = `C:\Windows\System32\rundll32.exe`
	p := asked(at, 820)
	p.Host, p.Path, p.CmdLine = full, program, `rundll32.exe x.dll,Go & tasklist /svc`
	connection := func(path string, port int64) evidence.Connection {
		return evidence.Connection{Time: at.Unix() + 5, Platform: evidence.Windows, Host: full, PID: 820, Path: path, Protocol: "tcp", RemoteAddr: "203.0.113.9", RemotePort: port, Source: "windows_eventlog_5156", EID: path}
	}
	r.a.next.Processes = []evidence.Process{asked(at, 100), p}
	r.a.next.Connections = []evidence.Connection{connection(`\device\harddiskvolume1\windows\system32\rundll32.exe`, 443), connection(`\device\harddiskvolume1\x\other.exe`, 444)}
	r.collect()
	paths := map[int64]string{}
	for _, x := range r.incidents() {
		for _, c := range x.Connections {
			paths[c.RemotePort] = c.Path
		}
	}
	if paths[443] != program || paths[444] != `\device\harddiskvolume1\x\other.exe` {
		t.Errorf("programs of connections: %v", paths)
	}
}

// TestHostsOfTheSameName: of another domain, and on Linux, a name is another host's.
func TestHostsOfTheSameName(t *testing.T) {
	st := temporary(t)
	at := time.Unix(1_800_000_000, 0)
	r := newRig(t, st, at.Add(10*time.Second))
	linux := evidence.Process{Time: at.Unix(), Platform: evidence.Linux, Host: "h.example.org", PID: 1, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units", Source: "a", EID: "1"}
	other := evidence.Process{Time: at.Unix(), Platform: evidence.Windows, Host: "hh.corp.example", PID: 2, Path: `C:\Windows\System32\sc.exe`, CmdLine: "sc query", Source: "a", EID: "2"}
	r.a.next.Processes = []evidence.Process{linux, other}
	r.collect()
	var hosts []string
	if _, err := r.store.Events(context.Background(), store.Filter{}, func(e *store.Event) error { hosts = append(hosts, e.Process.Host); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(hosts)
	if strings.Join(hosts, " ") != "h.example.org hh.corp.example" {
		t.Errorf("hosts %q", hosts)
	}
}
