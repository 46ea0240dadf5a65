package files

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
	"github.com/osquery-rollcall/rollcall/extension/source/files/fieldmap"
	"github.com/osquery-rollcall/rollcall/extension/source/files/syslog"
)

func newJSON(t *testing.T) *jsonDecoder {
	t.Helper()
	maps, err := fieldmap.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return &jsonDecoder{maps: maps, journal: syslog.NewDecoder(time.Time{}, nil), audit: auditlog.NewDecoder()}
}

// TestWindowsEvents reads the same two events in every form of JSON that collectors
// and converters write.
func TestWindowsEvents(t *testing.T) {
	const data = `{"SubjectUserSid":"S-1-5-21-1-2-3-1104","SubjectUserName":"anna","SubjectDomainName":"CORP","SubjectLogonId":"0x3e1a","NewProcessId":"0x1b0","NewProcessName":"C:\\Windows\\System32\\sc.exe","ProcessId":"0x1a0","CommandLine":"sc query","ParentProcessName":"C:\\Windows\\System32\\cmd.exe","MandatoryLabel":"S-1-16-12288"`
	const service = `{"ServiceName":"Upd","ImagePath":"C:\\u.exe","ServiceType":"user mode service","StartType":"auto start","AccountName":"LocalSystem"}`
	const at = "2026-11-26T09:00:00.5Z"
	for name, lines := range map[string][2]string{
		"a converter's": {
			`{"Event":{"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Security-Auditing"}},"EventID":4688,"TimeCreated":{"#attributes":{"SystemTime":"` + at + `"}},"EventRecordID":7,"Channel":"Security","Computer":"WS1"},"EventData":` + data + `}}}`,
			`{"Event":{"System":{"Provider":{"@Name":"Service Control Manager"},"EventID":{"@Qualifiers":"16384","#text":"7045"},"TimeCreated":{"@SystemTime":"` + at + `"},"EventRecordID":"8","Channel":"System","Computer":"WS1"},"EventData":{"Data":[{"@Name":"ServiceName","#text":"Upd"},{"@Name":"ImagePath","#text":"C:\\u.exe"},{"@Name":"ServiceType","#text":"user mode service"},{"@Name":"StartType","#text":"auto start"},{"@Name":"AccountName","#text":"LocalSystem"}]}}}`,
		},
		"Velociraptor": {
			`{"System":{"Provider":{"Name":"Microsoft-Windows-Security-Auditing"},"EventID":{"Value":4688},"TimeCreated":{"SystemTime":1795683600.5},"EventRecordID":7,"Channel":"Security","Computer":"WS1"},"EventData":` + data + `}}`,
			`{"System":{"Provider":{"Name":"Service Control Manager"},"EventID":{"Value":7045},"TimeCreated":{"SystemTime":1795683600.5},"EventRecordID":8,"Channel":"System","Computer":"WS1"},"EventData":` + service + `}`,
		},
		"Winlogbeat": {
			`{"@timestamp":"` + at + `","event":{"code":"4688"},"winlog":{"channel":"Security","event_id":"4688","provider_name":"Microsoft-Windows-Security-Auditing","computer_name":"WS1","record_id":7,"event_data":` + data + `}}}`,
			`{"@timestamp":"` + at + `","winlog":{"channel":"System","event_id":7045,"provider_name":"Service Control Manager","computer_name":"WS1","record_id":8,"event_data":` + service + `}}`,
		},
		"a forwarder's": {
			data + `,"EventID":4688,"Channel":"Security","SourceName":"Microsoft-Windows-Security-Auditing","Hostname":"WS1","@timestamp":"` + at + `","RecordNumber":7}`,
			service[:len(service)-1] + `,"EventID":7045,"Channel":"System","Hostname":"WS1","@timestamp":"` + at + `","RecordNumber":8}`,
		},
	} {
		d := newJSON(t)
		var got evidence.Batch
		for _, line := range lines {
			o, err := decodeObject([]byte(line))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if kind := d.object(o, &got); kind == "" {
				t.Errorf("%s: passed by: %s", name, line)
			}
		}
		d.flush(&got)
		if len(got.Processes) != 1 || len(got.Installs) != 1 {
			t.Errorf("%s: %d processes, %d installs", name, len(got.Processes), len(got.Installs))
			continue
		}
		p := got.Processes[0]
		want := evidence.Process{Time: 1795683600, Platform: evidence.Windows, Host: "WS1", PID: 0x1b0, ParentPID: 0x1a0, Path: `C:\Windows\System32\sc.exe`, CmdLine: "sc query", ParentPath: `C:\Windows\System32\cmd.exe`,
			UID: "S-1-5-21-1-2-3-1104", Username: `CORP\anna`, LogonID: "0x3e1a", IntegrityLevel: "High", Elevated: evidence.Yes, Source: KindWindows, EID: "7"}
		if diff := cmp.Diff(want, p); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if in := got.Installs[0]; in.Name != "Upd" || in.ImagePath != `C:\u.exe` || in.Time != 1795683600 || in.Host != "WS1" || in.Account != "LocalSystem" {
			t.Errorf("%s: %+v", name, in)
		}
	}
}

// TestWindowsRows reads what osquery's results log has of its tables of Windows' logs.
func TestWindowsRows(t *testing.T) {
	row := fieldmap.Object{"datetime": "2026-11-26T09:00:00.5Z", "source": "System", "provider_name": "Service Control Manager", "computer_name": "WS1", "eventid": "7045", "eid": "00042",
		"data": `{"EventData":{"ServiceName":"Upd","ImagePath":"C:\\u.exe"}}`}
	d := newJSON(t)
	var got evidence.Batch
	d.resultRows([]any{row, fieldmap.Object{"provider_name": "x", "eventid": "1", "data": "{"}}, fieldmap.About{Host: "other"}, "", false, &got)
	d.resultRows([]any{row}, fieldmap.About{}, "", true, &got)
	if len(got.Installs) != 1 || got.Installs[0].Name != "Upd" || got.Installs[0].Host != "WS1" || got.Installs[0].EID != "00042" || got.Installs[0].Source != KindOsquery {
		t.Errorf("%+v", got.Installs)
	}
}

// FuzzWindowsEvent takes any JSON for an event.
func FuzzWindowsEvent(f *testing.F) {
	f.Add([]byte(`{"Event":{"System":{"Provider":{"#attributes":{"Name":"Service Control Manager"}},"EventID":{"#text":7045}},"EventData":{"Data":[{"@Name":"ServiceName","#text":"x"},[["y"]]]}}}`))
	f.Add([]byte(`{"EventID":4688,"Channel":"Security","CommandLine":"sc query","NewProcessName":"C:\\sc.exe"}`))
	f.Add([]byte(`{"winlog":{"event_id":1,"provider_name":"Microsoft-Windows-Sysmon","event_data":{"Image":{"a":{"b":{"c":{"d":"e"}}}}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := decodeObject(b)
		if err != nil {
			return
		}
		d := newJSON(t)
		var got evidence.Batch
		d.event(o, &got)
		d.flush(&got)
	})
}
