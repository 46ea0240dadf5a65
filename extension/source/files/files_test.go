package files

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/evtx"
	"github.com/osquery-rollcall/rollcall/extension/source/files/fieldmap"
)

// The time of the fixtures: 2023-11-14 22:13:20 UTC.
const at = 1_700_000_000

var modified = time.Unix(at+3600, 0)

func write(t testing.TB, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, modified, modified); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll reads every source to its end.
func readAll(t testing.TB, r *Reader, limit int) map[string][]evidence.Process {
	t.Helper()
	out := map[string][]evidence.Process{}
	for _, s := range r.Sources() {
		for cursor, more := "", true; more; {
			b, err := s.Read(context.Background(), cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			out[s.Name()] = append(out[s.Name()], b.Processes...)
			cursor, more = b.Cursor, b.More
		}
	}
	return out
}

const auditText = `type=SYSCALL msg=audit(1700000000.999:7): arch=c000003e syscall=59 success=yes exit=0 ppid=100 pid=200 auid=1000 uid=0 euid=0 tty=pts0 ses=3 exe="/usr/bin/systemctl"
type=EXECVE msg=audit(1700000000.999:7): argc=2 a0="systemctl" a1="list-units"
type=CWD msg=audit(1700000000.999:7): cwd="/root"
`

func one(p evidence.Process) []evidence.Process { return []evidence.Process{p} }

func TestForms(t *testing.T) {
	audit := evidence.Process{Time: at, Platform: evidence.Linux, PID: 200, ParentPID: 100, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units", CWD: "/root",
		UID: "0", LoginUID: "1000", Session: "3", TTY: "pts/0", Elevated: evidence.Yes, Source: "auditlog", EID: "1700000000.999:7"}
	sudo := evidence.Process{Time: at, Platform: evidence.Linux, Host: "web1", ParentPID: 812, ParentPath: "sudo", Path: "/usr/bin/systemctl", CmdLine: "/usr/bin/systemctl list-units",
		CWD: "/home/anna", UID: "0", Username: "root", LoginUser: "anna", TTY: "pts/0", Elevated: evidence.Yes, ArgsJoined: true, Source: "syslog"}
	journal := sudo
	journal.Source, journal.EID, journal.LoginUID, journal.Session = "journal", "s=1", "1000", "4"
	row := evidence.Process{Time: at, Platform: evidence.Linux, Host: "web1", PID: 5, ParentPID: 4, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units", CWD: "/root",
		UID: "0", LoginUID: "1000", Elevated: evidence.Yes, ArgsJoined: true, Source: "osquery_log", EID: "77"}
	const columns = `{"auid":"1000","cmdline":"systemctl list-units","cwd":"\"/root\"","eid":"77","euid":"0","uid":"1000","parent":"4","path":"/usr/bin/systemctl","pid":"5","syscall":"execve","time":"1700000000"}`
	defender := evidence.Process{Time: at, Platform: evidence.Windows, Host: "ws1", PID: 9, ParentPID: 8, Path: `C:\Windows\System32\sc.exe`, CmdLine: "sc  query", OriginalFileName: "sc.exe",
		ParentPath: `C:\Windows\System32\cmd.exe`, ParentCmdLine: "cmd /c sc query", Username: `corp\anna`, UID: "S-1-5-21-1", IntegrityLevel: "High", Elevated: evidence.Yes, LogonID: "99",
		LoginUser: `corp\boss`, Source: "defender", EID: "12"}

	tests := []struct {
		name, text, kind string
		want             []evidence.Process
	}{
		{"audit log", auditText, "auditlog", one(audit)},
		{"audit log behind a separator", "----\n" + auditText, "auditlog", one(audit)},
		{"auth.log", "Nov 14 22:13:10 web1 sshd[3]: Accepted publickey for anna\nNov 14 22:13:20 web1 sudo[812]:     anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl list-units\n", "syslog", one(sudo)},
		{"auth.log with full times", "2023-11-14T23:13:20.999+01:00 web1 sudo[812]:     anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl list-units\n", "syslog", one(sudo)},
		{"the journal, to the microsecond", "Nov 14 22:13:20.123456 web1 sudo[812]:     anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl list-units\n", "syslog", one(sudo)},
		{"the journal, with whole dates", "Tue 2023-11-14 22:13:20 UTC web1 sudo[812]:     anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl list-units\n", "syslog", one(sudo)},
		{"lines that are nearly the journal's", "Tue 2023-11-14 22:13:20 nowhere\nNov 14 22:13:20.\nNov 14 22:13:20.x web1 sudo: x\nTue 2023-11-14 22:13:20 UTC web1 sudo[812]:     anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl list-units\n", "syslog", one(sudo)},
		{"LAUREL", `{"ID":"1700000000.100:9","NODE":"web1","SYSCALL":{"success":"no","pid":1,"exe":"/x"},"EXECVE":{"argc":1,"ARGV":["x"]}}
{"ID":"1700000000.100:10","NODE":"web1","SYSCALL":{"arch":"0xc000003e","syscall":59,"success":"yes","exit":0,"ppid":100,"pid":200,"auid":1000,"uid":0,"euid":0,"tty":"pts0","ses":3,"exe":"/usr/bin/systemctl","AUID":"anna","EUID":"root"},"EXECVE":{"argc":2,"ARGV":["systemctl","list-units"]},"CWD":{"cwd":"/root"},"PARENT_INFO":{"exe":"/usr/bin/bash","ARGV":["bash","-l"]}}`, "laurel",
			one(evidence.Process{Time: at, Platform: evidence.Linux, Host: "web1", PID: 200, ParentPID: 100, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units", CWD: "/root", ParentPath: "/usr/bin/bash", ParentCmdLine: "bash -l",
				UID: "0", Username: "root", LoginUID: "1000", LoginUser: "anna", Session: "3", TTY: "pts0", Elevated: evidence.Yes, Source: "laurel", EID: "1700000000.100:10"})},
		{"RFC 5424", `<86>1 2023-11-14T22:13:20Z web1 sudo 812 - [x@1 a="]"] anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl list-units`, "syslog", one(sudo)},
		{"a sudo command in two reports", "Nov 14 22:13:20 web1 sudo[812]: anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl\nNov 14 22:13:20 web1 sudo[812]: anna : (command continued) list-units\n", "syslog", one(sudo)},
		{"sudo that refused, and one that lists", "Nov 14 22:13:20 web1 sudo[812]: anna : command not allowed ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh\nNov 14 22:13:20 web1 sudo[812]: anna : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=list\n", "syslog", nil},
		{"cron and pkexec", "Nov 14 22:13:20 web1 CRON[7]: (root) CMD (cd / && systemctl list-units)\nNov 14 22:13:20 web1 pkexec[6]: anna: Executing command [USER=root] [TTY=unknown] [CWD=/home/anna] [COMMAND=/usr/bin/id -u]\n", "syslog", []evidence.Process{
			{Time: at, Platform: evidence.Linux, Host: "web1", ParentPID: 7, ParentPath: "cron", CmdLine: "cd / && systemctl list-units", UID: "0", Username: "root", Elevated: evidence.Yes, Source: "syslog"},
			{Time: at, Platform: evidence.Linux, Host: "web1", ParentPID: 6, ParentPath: "pkexec", CmdLine: "/usr/bin/id -u", CWD: "/home/anna", UID: "0", Username: "root", LoginUser: "anna", Elevated: evidence.Yes, ArgsJoined: true, Source: "syslog"}}},
		{"Sysmon for Linux", `Nov 14 22:13:21 web1 sysmon: <Event><System><Provider Name="Linux-Sysmon" Guid="{x}"/><EventID>1</EventID><TimeCreated SystemTime="2023-11-14T22:13:20.999Z"/><EventRecordID>44</EventRecordID><Computer>web1</Computer></System><EventData><Data Name="ProcessId">200</Data><Data Name="Image">/usr/bin/systemctl</Data><Data Name="CommandLine">systemctl list-units &amp;</Data><Data Name="OriginalFileName">-</Data><Data Name="User">root</Data><Data Name="LogonId">1000</Data><Data Name="TerminalSessionId">4294967295</Data><Data Name="ParentProcessId">100</Data><Data Name="ParentImage">/bin/bash</Data><Data Name="ParentCommandLine">bash</Data></EventData></Event>`, "syslog",
			one(evidence.Process{Time: at, Platform: evidence.Linux, Host: "web1", PID: 200, ParentPID: 100, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units &", ParentPath: "/bin/bash", ParentCmdLine: "bash",
				Username: "root", LoginUID: "1000", Elevated: evidence.Yes, ArgsJoined: true, Source: "sysmon_linux", EID: "44"})},
		{"journal as JSON", `{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1700000000999999","_HOSTNAME":"web1","SYSLOG_IDENTIFIER":"sudo","_COMM":"sudo","_PID":"812","_AUDIT_LOGINUID":"1000","_AUDIT_SESSION":"4","MESSAGE":"    anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl list-units"}`, "journal", one(journal)},
		{"journal, text as numbers", `{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1700000000999999","_HOSTNAME":"web1","SYSLOG_IDENTIFIER":"sudo","_COMM":"sudo","_PID":"812","_AUDIT_LOGINUID":"1000","_AUDIT_SESSION":"4","MESSAGE":` + numbers("anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl list-units") + `}`, "journal", one(journal)},
		{"journal, somebody else under sudo's name", `{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1700000000999999","_HOSTNAME":"web1","SYSLOG_IDENTIFIER":"sudo","_COMM":"logger","_PID":"812","MESSAGE":"    anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl list-units"}`, "journal", nil},
		{"journal export", "__CURSOR=s=1\n__REALTIME_TIMESTAMP=1700000000999999\n_HOSTNAME=web1\nSYSLOG_IDENTIFIER=sudo\n_COMM=sudo\n_PID=812\n_AUDIT_LOGINUID=1000\n_AUDIT_SESSION=4\n" +
			binaryField("OTHER", "a\n\nb") + binaryField("MESSAGE", "anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl list-units") + "\n", "journal", one(journal)},
		{"journal, the kernel's audit records", `{"__CURSOR":"a","__REALTIME_TIMESTAMP":"1","_SOURCE_REALTIME_TIMESTAMP":"1700000000999000","_TRANSPORT":"audit","_AUDIT_ID":"7","_AUDIT_TYPE_NAME":"SYSCALL","MESSAGE":"SYSCALL arch=c000003e syscall=59 success=yes ppid=100 pid=200 auid=1000 euid=0 tty=pts0 ses=3 exe=\"/usr/bin/systemctl\""}
{"__CURSOR":"b","__REALTIME_TIMESTAMP":"1","_SOURCE_REALTIME_TIMESTAMP":"1700000000999000","_TRANSPORT":"audit","_AUDIT_ID":"7","_AUDIT_TYPE_NAME":"EXECVE","MESSAGE":"EXECVE argc=2 a0=\"systemctl\" a1=\"list-units\""}
{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1","_SOURCE_REALTIME_TIMESTAMP":"1700000000999000","_TRANSPORT":"audit","_AUDIT_ID":"7","_AUDIT_TYPE_NAME":"CWD","MESSAGE":"CWD cwd=\"/root\""}`, "journal", one(audit)},
		{"osquery, differential", `{"name":"pack_x_process_events","hostIdentifier":"web1","calendarTime":"x","unixTime":1700000009,"epoch":0,"counter":1,"numerics":false,"columns":` + columns + `,"action":"added"}
{"name":"pack_x_process_events","hostIdentifier":"web1","unixTime":1700000009,"columns":` + columns + `,"action":"removed"}
{"name":"os_version","hostIdentifier":"web1","unixTime":1700000009,"columns":{"name":"x"},"action":"added"}`, "osquery_log", one(row)},
		{"osquery, snapshot", `{"snapshot":[` + columns + `],"action":"snapshot","name":"p","hostIdentifier":"web1","unixTime":1700000009}`, "osquery_log", one(row)},
		{"osquery, a batch", `{"diffResults":{"added":[` + columns + `],"removed":[` + columns + `]},"name":"p","hostIdentifier":"x","decorations":{"hostname":"web1"},"unixTime":"1700000009"}`, "osquery_log", one(row)},
		{"osquery, the body of a request", "{\n \"node_key\": \"k\", \"log_type\": \"result\",\n \"data\": [\n {\"name\":\"p\",\"hostIdentifier\":\"web1\",\"unixTime\":1700000009,\"columns\":" + columns + ",\"action\":\"added\"}]}\n", "osquery_log", one(row)},
		{"osquery, exec events of macOS", `{"name":"p","hostIdentifier":"mac","unixTime":1700000009,"action":"added","columns":{"event_type":"exec","cmdline":"launchctl list","codesigning_flags":"x","path":"/bin/launchctl","pid":"3","parent":"2","uid":"501","euid":"501","username":"anna","time":"1700000000","eid":"1"}}
{"name":"p","hostIdentifier":"mac","unixTime":1700000009,"action":"added","columns":{"event_type":"fork","cmdline":"launchctl list","codesigning_flags":"x","path":"/bin/launchctl","pid":"3"}}`, "osquery_log",
			one(evidence.Process{Time: at, Platform: evidence.Darwin, Host: "mac", PID: 3, ParentPID: 2, Path: "/bin/launchctl", CmdLine: "launchctl list", UID: "501", Username: "anna", Elevated: evidence.No, ArgsJoined: true, Source: "osquery_log", EID: "1"})},
		{"generic", `{"id":"a1","platform":"windows","path":"C:\\Windows\\System32\\sc.exe","cmdline":"sc query","parent":"C:\\x\\cmd.exe","parent_cmdline":"cmd","user":"CORP\\anna","original_filename":"sc.exe","time":1700000000.9,"pid":7,"host":"ws1"}`, "ndjson",
			one(evidence.Process{Time: at, Platform: evidence.Windows, Host: "ws1", PID: 7, Path: `C:\Windows\System32\sc.exe`, CmdLine: "sc query", OriginalFileName: "sc.exe", ParentPath: `C:\x\cmd.exe`, ParentCmdLine: "cmd", Username: `CORP\anna`, Source: "ndjson", EID: "a1"})},
		{"ECS", `{"@timestamp":"2023-11-14T22:13:20.999Z","event":{"category":["process"],"action":"exec","id":"e1"},"host":{"name":"web1","os":{"type":"linux"}},"user":{"name":"root","id":"0"},"process":{"pid":5,"executable":"/usr/bin/systemctl","args":["systemctl","--state=not found"],"working_directory":"/root","parent":{"pid":4,"executable":"/bin/bash","command_line":"bash -l"}}}`, "ecs",
			one(evidence.Process{Time: at, Platform: evidence.Linux, Host: "web1", PID: 5, ParentPID: 4, Path: "/usr/bin/systemctl", CmdLine: "systemctl '--state=not found'", CWD: "/root", ParentPath: "/bin/bash", ParentCmdLine: "bash -l", UID: "0", Username: "root", Elevated: evidence.Yes, Source: "ecs", EID: "e1"})},
		{"ECS out of an index, with dots, behind another event", `{"_source":{"@timestamp":"2023-11-14T22:13:20Z","event.action":"connection_attempted","process.command_line":"curl x"}}
{"_index":"x","_id":"i","_source":{"@timestamp":"2023-11-14T22:13:20Z","host.name":"ws1","host.os.family":"windows","user.domain":"CORP","user.name":"anna","process.executable":"C:\\Windows\\System32\\sc.exe","process.command_line":"sc  query","process.pid":5,"event.action":"created-process"}}`, "ecs",
			one(evidence.Process{Time: at, Platform: evidence.Windows, Host: "ws1", PID: 5, Path: `C:\Windows\System32\sc.exe`, CmdLine: "sc  query", Username: `CORP\anna`, Source: "ecs"})},
		{"Defender", `[{"Timestamp":"2023-11-14T22:13:20.9Z","DeviceName":"ws1","ActionType":"ProcessCreated","FileName":"sc.exe","FolderPath":"C:\\Windows\\System32\\sc.exe","ProcessId":9,"ProcessCommandLine":"sc  query","ProcessIntegrityLevel":"High","ProcessVersionInfoOriginalFileName":"sc.exe","AccountDomain":"corp","AccountName":"anna","AccountSid":"S-1-5-21-1","LogonId":99,"InitiatingProcessId":8,"InitiatingProcessFileName":"cmd.exe","InitiatingProcessFolderPath":"C:\\Windows\\System32\\cmd.exe","InitiatingProcessCommandLine":"cmd /c sc query","InitiatingProcessAccountDomain":"corp","InitiatingProcessAccountName":"boss","ReportId":12},
 {"ActionType":"OpenProcess","ProcessCommandLine":"x"}]`, "defender", one(defender)},
		{"eslogger", `{"schema_version":1,"time":"2023-11-14T22:13:20.5Z","event_type":15,"event":{"exit":{"stat":0}},"process":{"executable":{"path":"/bin/zsh"}}}
{"schema_version":1,"time":"2023-11-14T22:13:20.5Z","global_seq_num":12,"event_type":9,"process":{"executable":{"path":"/bin/zsh"},"audit_token":{"pid":501}},"event":{"exec":{"cwd":{"path":"/Users/bob"},"args":["launchctl","print","system"],"target":{"ppid":400,"executable":{"path":"/bin/launchctl"},"audit_token":{"pid":501,"euid":0,"auid":502,"asid":100012},"tty":{"path":"/dev/ttys001"}}}}}`, "eslogger",
			one(evidence.Process{Time: at, Platform: evidence.Darwin, PID: 501, ParentPID: 400, Path: "/bin/launchctl", CmdLine: "launchctl print system", CWD: "/Users/bob", UID: "0", LoginUID: "502", Session: "100012", TTY: "/dev/ttys001", Elevated: evidence.Yes, Source: "eslogger", EID: "12"})},
		{"CrowdStrike", `{"event_simpleName":"ProcessRollup2","event_platform":"Win","ComputerName":"ws1","aid":"x","timestamp":"1700000000999","ImageFileName":"\\Device\\HarddiskVolume2\\Windows\\System32\\sc.exe","CommandLine":"sc  query","ParentBaseFileName":"cmd.exe","UserName":"anna","RawProcessId":"9","id":"u"}
{"event_simpleName":"NetworkConnectIP4","ImageFileName":"a","CommandLine":"b"}`, "crowdstrike",
			one(evidence.Process{Time: at, Platform: evidence.Windows, Host: "ws1", PID: 9, Path: `\Device\HarddiskVolume2\Windows\System32\sc.exe`, CmdLine: "sc  query", ParentPath: "cmd.exe", Username: "anna", Source: "crowdstrike", EID: "u"})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "f"), tt.text)
			for name, open := range map[string]func() (*Reader, error){
				"file":  func() (*Reader, error) { return Open([]string{path}, Options{}) },
				"stdin": func() (*Reader, error) { return Open([]string{"-"}, Options{Stdin: strings.NewReader(tt.text)}) },
				"gzip":  func() (*Reader, error) { return Open([]string{write(t, path+".gz", zipped(t, tt.text))}, Options{}) },
			} {
				r, err := open()
				if err != nil {
					t.Fatal(err)
				}
				got := readAll(t, r, 0)
				if len(r.Sources()) != 1 || r.Sources()[0].Name() != tt.kind {
					t.Fatalf("%s: sources %v, accounts %+v", name, got, r.Accounts())
				}
				have := got[tt.kind]
				if name == "stdin" && strings.HasPrefix(tt.text, "Nov") {
					for i := range have { // the year is that of today
						have[i].Time = at
					}
				}
				if d := cmp.Diff(tt.want, have); d != "" {
					t.Errorf("%s (-want +got):\n%s", name, d)
				}
				a := r.Accounts()[0]
				if !a.Done || a.Lost != 0 || a.Matched != int64(len(tt.want)) || a.Read < a.Matched {
					t.Errorf("%s: account %+v", name, a)
				}
				if name == "file" && len(tt.want) > 0 && r.Newest() != at {
					t.Errorf("newest is %d", r.Newest())
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func numbers(s string) string {
	var b strings.Builder
	for i, c := range []byte(s) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, c)
	}
	return "[" + b.String() + "]"
}

func binaryField(name, value string) string {
	return name + "\n" + string(binary.LittleEndian.AppendUint64(nil, uint64(len(value)))) + value + "\n"
}

func zipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEventLog(t *testing.T) {
	gz, err := os.ReadFile(filepath.Join("testdata", "events.evtx.gz"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(plain)
	damaged[4096+1000] ^= 1
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.evtx"), string(plain))
	write(t, filepath.Join(dir, "b.evtx.gz"), string(gz))
	write(t, filepath.Join(dir, "c.log"), string(damaged))
	r, err := Open([]string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := r.Sources()[0]
	b, err := s.Read(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name() != "evtx" || len(b.Processes) != 6 || b.Read != 14 || len(b.Installs) != 2 || len(b.Logons) != 2 || len(b.Connections) != 2 || len(b.Changes) != 2 || r.Newest() != at+60 || !r.Drained() {
		t.Errorf("%s: %d records, %d processes, installs %+v, logons %+v, connections %+v, changes %+v, newest %d", s.Name(), b.Read, len(b.Processes), b.Installs, b.Logons, b.Connections, b.Changes, r.Newest())
	}
	if p := b.Processes[0]; p.Source != evtx.SourceSecurity || p.CmdLine != "sc  query" || p.Time != at {
		t.Errorf("%+v", p)
	}
	if b.Dropped != 1 || len(b.Gaps) != 1 || !strings.Contains(b.Gaps[0].Reason, "c.log: chunk 0: checksum of the data does not match") {
		t.Errorf("dropped %d, gaps %+v", b.Dropped, b.Gaps)
	}
}

func TestFieldMapsOfTheUser(t *testing.T) {
	builtin, err := fieldmap.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	maps, err := builtin.With(strings.NewReader("- name: tool\n  has: [Cmd, meta.kind]\n  only: {meta.kind: [start]}\n  platform: windows\n  fields:\n    cmdline: [Cmd]\n    user: ['{Dom}\\{Usr}', Usr]\n    time: [When]\n"))
	if err != nil {
		t.Fatal(err)
	}
	text := `{"Cmd":"sc query","Dom":"CORP","Usr":"a","When":"133444736000000000","meta":{"kind":"Start"}}
{"Cmd":["net","start x"],"Usr":"a","When":"11/14/2023 10:13:20 PM","meta.kind":"start"}
{"Cmd":"x","meta":{"kind":"stop"}}
{"cmdline":"generic"}`
	r, err := Open([]string{"-"}, Options{Stdin: strings.NewReader(text), Maps: maps})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]evidence.Process{"tool": {
		{Source: "ndjson", CmdLine: "generic"},
		{Time: at, Platform: evidence.Windows, Source: "tool", CmdLine: "sc query", Username: `CORP\a`},
		{Time: at, Platform: evidence.Windows, Source: "tool", CmdLine: `net "start x"`, Username: "a"},
	}}
	if d := cmp.Diff(want, readAll(t, r, 0)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, bad := range []string{
		"", "x: [", "- name: A\n  has: [x]\n  fields: {cmdline: [x]}", "- name: a\n  fields: {cmdline: [x]}", "- name: a\n  has: [x]",
		"- name: a\n  has: [x]\n  fields: {cmdline: [x], colour: [y]}", "- name: a\n  has: [x]\n  fields: {cmdline: [x]}\n  platform: amiga",
		"- name: a\n  has: [x]\n  fields: {cmdline: [x]}\n  within: somewhere", "- name: a\n  has: [x]\n  unknown: 1\n  fields: {cmdline: [x]}",
		strings.Repeat("#", 2<<20),
	} {
		if _, err := builtin.With(strings.NewReader(bad)); err == nil {
			t.Errorf("accepted: %.60q", bad)
		}
	}
}

func TestFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: links in folders: they need a privilege on Windows")
	}
	dir := t.TempDir()
	old := strings.NewReplacer("1700000000", "1600000000", "list-units", "old").Replace(auditText)
	write(t, filepath.Join(dir, "logs", "audit.log"), auditText)
	write(t, filepath.Join(dir, "logs", "audit.log.1"), old)
	write(t, filepath.Join(dir, "logs", "audit.log.2.gz"), zipped(t, strings.ReplaceAll(old, "1600000000", "1500000000")))
	write(t, filepath.Join(dir, "notes.txt"), "hello\n")
	write(t, filepath.Join(dir, "empty"), "")
	write(t, filepath.Join(dir, "deep", "a", "b", "c", "audit.log"), auditText)
	outside := write(t, filepath.Join(t.TempDir(), "outside.log"), auditText)
	if err := os.Symlink(outside, filepath.Join(dir, "link.log")); err != nil {
		t.Skipf("NOT TESTED: links: %v", err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(dir, "linked")); err != nil {
		t.Fatal(err)
	}
	r, err := Open([]string{dir}, Options{Limits: Limits{Depth: 3}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := readAll(t, r, 0)
	var times []int64
	for _, p := range got["auditlog"] {
		times = append(times, p.Time)
	}
	if d := cmp.Diff([]int64{1_500_000_000, 1_600_000_000, at}, times); d != "" {
		t.Errorf("times (-want +got):\n%s", d)
	}
	notes := map[string]string{}
	for _, a := range r.Accounts() {
		rel, _ := filepath.Rel(dir, a.Path)
		notes[filepath.ToSlash(rel)] = a.Kind + ":" + strings.Join(a.Notes, ";")
	}
	want := map[string]string{
		"logs/audit.log": "auditlog:", "logs/audit.log.1": "auditlog:", "logs/audit.log.2.gz": "auditlog:",
		"notes.txt": ":not a form of evidence that is known", "empty": ":not a form of evidence that is known",
		"link.log": ":not read: a link or special file", "linked": ":not read: a link or special file",
		"deep/a/b": ":not read: deeper than 3 folders",
	}
	if d := cmp.Diff(want, notes); d != "" {
		t.Errorf("accounts (-want +got):\n%s", d)
	}
	if _, err := Open([]string{dir}, Options{Limits: Limits{Files: 3}}); err == nil {
		t.Error("more files than the limit are read")
	}
	if _, err := Open([]string{filepath.Join(dir, "absent")}, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestBatches reads in small steps, repeats some, and gets every process once.
func TestBatches(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&b, `{"cmdline":"c%d","time":%d}`+"\n", i, at+i)
	}
	write(t, filepath.Join(dir, "a"), b.String())
	write(t, filepath.Join(dir, "b"), `{"cmdline":"last","time":1800000000}`)
	var progress []Progress
	r, err := Open([]string{dir}, Options{Progress: func(p Progress) { progress = append(progress, p) }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := r.Sources()[0]
	seen := map[string]int{}
	cursor := "of an earlier run"
	for step := 0; ; step++ {
		got, err := s.Read(t.Context(), cursor, 100)
		if err != nil {
			t.Fatal(err)
		}
		if step%3 == 1 { // it could not be stored
			again, err := s.Read(t.Context(), cursor, 100)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, again); d != "" {
				t.Fatalf("asked again:\n%s", d)
			}
		}
		if len(got.Processes) > 100 {
			t.Fatalf("%d processes in a batch", len(got.Processes))
		}
		for _, p := range got.Processes {
			seen[p.CmdLine]++
		}
		cursor = got.Cursor
		if !got.More {
			break
		}
	}
	if len(seen) != 2501 {
		t.Errorf("%d processes of 2501", len(seen))
	}
	for c, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", c, n)
		}
	}
	if r.Newest() != 1_800_000_000 || len(progress) == 0 || progress[0].TotalFiles != 2 || progress[0].TotalBytes == 0 {
		t.Errorf("newest %d, progress %+v", r.Newest(), progress)
	}
	if _, err := s.Read(t.Context(), "other", 1); err == nil {
		t.Error("a cursor from nowhere is accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fresh, err := Open([]string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if _, err := fresh.Sources()[0].Read(ctx, "", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: %v", err)
	}
	if got := readAll(t, fresh, 0)["ndjson"]; len(got) != 2501 {
		t.Errorf("%d processes after a canceled read", len(got))
	}
}

func TestHostileFiles(t *testing.T) {
	good := `{"cmdline":"good","time":1700000000}` + "\n"
	tests := []struct {
		name, text string
		limits     Limits
		want       int // good processes
		note       string
	}{
		{"a line of 1 MiB", good + `{"cmdline":"` + strings.Repeat("a", 1<<20) + `"}` + "\n" + good, Limits{}, 2, ""},
		{"a line without end", good + strings.Repeat("a", 6<<20) + "\n" + good, Limits{}, 2, "line 2: longer than"},
		{"NULs", good + strings.Repeat("\x00", 100) + "\n" + good, Limits{}, 2, "line 2"},
		{"nested lists", good + `{"cmdline":"x","a":` + strings.Repeat("[", 100_000) + "\n" + good, Limits{}, 2, "line 2: JSON nested"},
		{"nested objects", good + strings.Repeat(`{"data":[`, 30) + strings.Repeat("]}", 30) + "\n" + good, Limits{}, 2, "passed by"},
		{"many rows in one", good + `{"data":[` + strings.Repeat(`{"x":1},`, 300_000) + `{}]}` + "\n" + good, Limits{}, 2, "passed by"},
		{"cut in a line", good + good + `{"cmdline":"go`, Limits{}, 2, "line 3"},
		{"cut in a list", "[" + good + ",\n" + good + `,{"cmdline":"go`, Limits{}, 2, "ends within object"},
		{"wrong UTF-8", good + "{\"cmdline\":\"\xff\xfe\"}\n" + good, Limits{}, 2, ""},
		{"types that don't fit", good + `{"cmdline":{"a":1},"time":[1],"pid":"x"}` + "\n" + `{"cmdline":"b","time":-1,"pid":1e300,"uid":null}` + "\n" + good, Limits{}, 2, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Open([]string{write(t, filepath.Join(t.TempDir(), "f"), tt.text)}, Options{Limits: tt.limits})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			n := 0
			for _, p := range readAll(t, r, 0)["ndjson"] {
				if p.CmdLine == "good" {
					n++
				}
			}
			notes := strings.Join(r.Accounts()[0].Notes, "; ")
			if n != tt.want || !strings.Contains(notes, tt.note) || (notes == "") != (tt.note == "") {
				t.Errorf("%d good ones, notes %q", n, notes)
			}
		})
	}
	t.Run("a gzip bomb", func(t *testing.T) {
		path := write(t, filepath.Join(t.TempDir(), "f.gz"), zipped(t, good+strings.Repeat("\n", 64<<20)))
		r, err := Open([]string{path}, Options{Limits: Limits{Expanded: 1 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got := readAll(t, r, 0)["ndjson"]; len(got) != 1 || !strings.Contains(strings.Join(r.Accounts()[0].Notes, ""), "expands") {
			t.Errorf("%d processes, %+v", len(got), r.Accounts())
		}
	})
	t.Run("gzip that is cut", func(t *testing.T) {
		z := zipped(t, strings.Repeat(good, 5000))
		r, err := Open([]string{write(t, filepath.Join(t.TempDir(), "f.gz"), z[:len(z)/2])}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got := readAll(t, r, 0)["ndjson"]
		if len(got) == 0 || len(got) >= 5000 || r.Accounts()[0].Lost == 0 {
			t.Errorf("%d processes, %+v", len(got), r.Accounts())
		}
	})
	t.Run("compressed otherwise", func(t *testing.T) {
		r, err := Open([]string{write(t, filepath.Join(t.TempDir(), "f.zst"), "\x28\xb5\x2f\xfdxxxx")}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if a := r.Accounts()[0]; len(r.Sources()) != 0 || a.Lost == 0 || !strings.Contains(a.Notes[0], "compressed") {
			t.Errorf("%+v", a)
		}
	})
}

func FuzzFile(f *testing.F) {
	maps, err := fieldmap.Builtin()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(auditText))
	f.Add([]byte("Nov 14 22:13:20 web1 sudo[812]: anna : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/id\nNov 14 22:13:20 web1 sudo: anna : (command continued) x\n"))
	f.Add([]byte(`<86>1 2023-11-14T22:13:20Z web1 sysmon 812 - - <Event><System><Provider Name="Linux-Sysmon"/><EventID>1</EventID></System><EventData><Data Name="CommandLine">a</Data></EventData></Event>`))
	f.Add([]byte("__CURSOR=s=1\n__REALTIME_TIMESTAMP=1\n" + binaryField("MESSAGE", "x") + "\n"))
	f.Add([]byte(`{"__REALTIME_TIMESTAMP":"1","_TRANSPORT":"audit","MESSAGE":[1,2]}`))
	f.Add([]byte(`{"data":[{"name":"p","columns":{"cmdline":"a b","auid":"1","path":"/a"},"action":"added"}]}`))
	f.Add([]byte(`[{"process":{"args":["a",1],"pid":1},"@timestamp":"2023-11-14T22:13:20Z"},{"_source":{"cmdline":"a"}}]`))
	f.Add([]byte("#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.resp_h\tid.resp_p\tproto\tconn_state\n1700000000\tC\t10.0.0.9\t203.0.113.7\t443\ttcp\tSF\n"))
	f.Add([]byte("#Fields: date time action protocol src-ip dst-ip src-port dst-port path\n2023-11-14 22:13:20 ALLOW TCP 10.0.0.9 203.0.113.7 1 2 SEND\n"))
	f.Add([]byte("Start-Date: 2023-11-14  22:13:20\nInstall: nginx:amd64 (1.24-1)\n2023-11-14 22:13:20 install nginx:amd64 <none> 1.24-1\n"))
	f.Add([]byte(`{"name":"q","counter":2,"columns":{"name":"a","service_type":"b","start_type":"c","path":"d"},"action":"added"}`))
	f.Add([]byte(`{"name":"q","columns":{"message":"op=PAM:session_open acct=a","auid":"1","pid":"2","terminal":"x","type":"1105"},"action":"added"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Open([]string{"-"}, Options{Stdin: bytes.NewReader(b), Maps: maps})
		if err != nil {
			t.Fatal(err)
		}
		all := readEvidence(t, r, 0)
		times(&all, func(at int64) {
			if at < 0 {
				t.Errorf("a time of %d", at)
			}
		})
		for _, p := range all.Processes {
			if p.Source == "" || p.CmdLine == "" && p.Path == "" {
				t.Errorf("%+v", p)
			}
		}
		for _, i := range all.Installs {
			if i.Source == "" || i.Action == "" || i.Name == "" && i.ImagePath == "" && i.UnitPath == "" {
				t.Errorf("%+v", i)
			}
		}
		for _, c := range all.Connections {
			if c.Source == "" || c.RemoteAddr == "" {
				t.Errorf("%+v", c)
			}
		}
	})
}

func BenchmarkNDJSON(b *testing.B) {
	line := `{"@timestamp":"2023-11-14T22:13:20.999Z","event":{"category":["process"],"action":"exec"},"host":{"name":"web1","os":{"type":"linux"}},"user":{"name":"root","id":"0"},"process":{"pid":5,"executable":"/usr/bin/systemctl","command_line":"systemctl list-units"}}` + "\n"
	text := strings.Repeat(line, 1000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := Open([]string{"-"}, Options{Stdin: strings.NewReader(text)})
		if err != nil {
			b.Fatal(err)
		}
		if n := len(readAll(b, r, 0)["ecs"]); n != 1000 {
			b.Fatal(n)
		}
	}
}
