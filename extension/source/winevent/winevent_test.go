package winevent_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/winevent"
)

const (
	security   = "Microsoft-Windows-Security-Auditing"
	sysmon     = "Microsoft-Windows-Sysmon"
	powershell = "Microsoft-Windows-PowerShell"
)

func TestParseData(t *testing.T) {
	for _, tt := range []struct {
		text string
		want map[string]string
	}{
		{`{"EventData":{"A":"1","B":"C:\\x\/y"}}`, map[string]string{"A": "1", "B": `C:\x/y`}},
		{`{"EventData":["first","second"]}`, map[string]string{"0": "first", "1": "second"}},
		{`{"UserData":{"LogFileCleared":{"<xmlattr>":{"xmlns":"http:\/\/x"},"SubjectUserName":"alex"}}}`, map[string]string{"SubjectUserName": "alex"}},
		{`{"EventData":""}`, map[string]string{"": ""}},
		{`{}`, map[string]string{}},
		// A name with a dot becomes an object in osquery.
		{`{"EventData":{"A":{"B":"x"},"A":{"B":"y"}}}`, map[string]string{"B": "y"}},
	} {
		got, err := winevent.ParseData(tt.text)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", tt.text, err, diff)
		}
	}
	for _, bad := range []string{"", "x", `{"EventData":`, `[]`, `{"EventData":{"A":1}`} {
		if got, err := winevent.ParseData(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
	deep := `{"EventData":` + strings.Repeat(`{"a":`, 100) + `"x"` + strings.Repeat("}", 100) + "}"
	if got, err := winevent.ParseData(deep); err != nil || len(got) != 0 {
		t.Errorf("too deep: %v %v", got, err)
	}
	var wide strings.Builder
	wide.WriteString(`{"EventData":{`)
	for i := range 2000 {
		fmt.Fprintf(&wide, `"n%d":"",`, i)
	}
	if got, err := winevent.ParseData(wide.String() + `"z":""}}`); err != nil || len(got) > 600 {
		t.Errorf("%d names, %v", len(got), err)
	}
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]int64{
		"2020-06-17T14:27:41.3945738Z": 1592404061, "2020-06-17T14:27:41.999999999Z": 1592404061, "2020-06-17T14:27:41Z": 1592404061,
	} {
		if got, ok := winevent.ParseTime(in); got != want || !ok {
			t.Errorf("%s: %d %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "x", "1601-01-01T00:00:00Z", "2020-06-17 14:27:41"} {
		if got, ok := winevent.ParseTime(in); ok {
			t.Errorf("%q: %d", in, got)
		}
	}
}

// read reads events given as provider, id and pairs of name and value.
func read(t *testing.T, events ...*winevent.Event) evidence.Batch {
	t.Helper()
	var r winevent.Reader
	var b evidence.Batch
	for _, e := range events {
		r.Read(e, &b)
	}
	r.Flush(&b)
	return b
}

func event(provider string, id, when int64, pairs ...string) *winevent.Event {
	e := &winevent.Event{Provider: provider, ID: id, Time: when, Host: "WS01.corp.example", Source: "test", EID: "1", Data: map[string]string{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		e.Data[pairs[i]] = pairs[i+1]
	}
	return e
}

// Ids are only unique to their provider.
func TestOthers(t *testing.T) {
	for _, e := range []*winevent.Event{
		event("Microsoft-Windows-Kernel-General", 12, 1, "TargetObject", `HKLM\System\CurrentControlSet\Services\x\ImagePath`),
		event(security, 1, 1, "Image", "x"), event("", 4688, 1, "NewProcessName", "x"), event(sysmon, 4688, 1, "NewProcessName", "x"),
		event("Microsoft-Windows-Eventlog", 1100, 1), event(security, 4608, 1),
	} {
		var r winevent.Reader
		var b evidence.Batch
		if r.Read(e, &b) {
			t.Errorf("%s %d is read", e.Provider, e.ID)
		}
		r.Flush(&b)
		if diff := cmp.Diff(evidence.Batch{}, b); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRegistryInstalls(t *testing.T) {
	set := func(when int64, image, object, details string) *winevent.Event {
		return event(sysmon, 13, when, "EventType", "SetValue", "Image", image, "ProcessId", "77", "User", `CORP\alex`, "TargetObject", object, "Details", details)
	}
	const scm = `C:\Windows\system32\services.exe`
	const keys = `HKLM\System\CurrentControlSet\Services\`
	b := read(t,
		set(10, scm, keys+`Evil\Type`, "DWORD (0x00000010)"),
		set(10, scm, keys+`Evil\Start`, "DWORD (0x00000002)"),
		set(10, scm, keys+`Evil\ImagePath`, `C:\x\%%y%%.exe`),
		set(10, scm, keys+`Evil\DisplayName`, "Evil Service"),
		set(10, scm, keys+`Evil\ObjectName`, "LocalSystem"),
		set(11, scm, keys+`Evil\Parameters\ServiceDll`, `C:\x.dll`),
		// What changes of a service that is there.
		set(100, `C:\Windows\reg.exe`, `\REGISTRY\MACHINE\SYSTEM\ControlSet001\Services\Old\ImagePath`, `C:\z.exe`),
		set(200, `C:\Windows\reg.exe`, keys+`Old\Parameters\ServiceDll`, `C:\z.dll`),
		// A start type alone is no install, and other keys are none of ours.
		set(300, scm, keys+`Old\Start`, "DWORD (0x00000004)"),
		set(400, scm, keys+`bam\UserSettings\S-1-5-21-1`, "Binary Data"),
		set(400, scm, `HKLM\System\Other\Services\x\ImagePath`, "x"),
		set(400, scm, `HKU\x\System\CurrentControlSet\Services\x\ImagePath`, "x"),
		event(sysmon, 12, 500, "EventType", "CreateKey", "Image", `C:\Windows\regedit.exe`, "TargetObject", keys+"New"),
		set(501, `C:\Windows\regedit.exe`, keys+`New\ImagePath`, `C:\n.sys`),
		event(sysmon, 12, 600, "EventType", "DeleteKey", "Image", scm, "TargetObject", keys+"New"),
		event(sysmon, 12, 600, "EventType", "DeleteValue", "Image", scm, "TargetObject", keys+`New\x`),
	)
	base := evidence.Install{TimeBasis: evidence.BasisEvent, Platform: evidence.Windows, Host: "WS01.corp.example", Source: "test", EID: "1"}
	with := func(f func(*evidence.Install)) evidence.Install {
		in := base
		f(&in)
		return in
	}
	want := []evidence.Install{
		with(func(in *evidence.Install) {
			in.Time, in.Action, in.Kind, in.Name, in.DisplayName, in.ImagePath, in.ServiceDLL, in.ServiceType, in.StartType, in.Account =
				10, evidence.Created, "windows_service", "Evil", "Evil Service", `C:\x\%y%.exe`, `C:\x.dll`, "16", "2", "LocalSystem"
		}),
		with(func(in *evidence.Install) {
			in.Time, in.Action, in.Kind, in.Name, in.ImagePath, in.Changes = 100, evidence.Modified, "windows_service", "Old", `C:\z.exe`, []string{`image_path: ? -> C:\z.exe`}
			in.InstallerPID, in.InstallerPath, in.InstallerUsername = 77, `C:\Windows\reg.exe`, `CORP\alex`
		}),
		with(func(in *evidence.Install) {
			in.Time, in.Action, in.Name, in.ServiceDLL, in.Changes = 200, evidence.Modified, "Old", `C:\z.dll`, []string{`service_dll: ? -> C:\z.dll`}
			in.InstallerPID, in.InstallerPath, in.InstallerUsername = 77, `C:\Windows\reg.exe`, `CORP\alex`
		}),
		with(func(in *evidence.Install) {
			in.Time, in.Action, in.Kind, in.Name, in.ImagePath = 501, evidence.Created, "driver", "New", `C:\n.sys`
			in.InstallerPID, in.InstallerPath, in.InstallerUsername = 77, `C:\Windows\regedit.exe`, `CORP\alex`
		}),
		with(func(in *evidence.Install) { in.Time, in.Action, in.Name = 600, evidence.Removed, "New" }),
	}
	if diff := cmp.Diff(want, b.Installs); diff != "" {
		t.Error(diff)
	}
}

func TestRegistryKeysAreBounded(t *testing.T) {
	var events []*winevent.Event
	for i := range 5000 {
		events = append(events, event(sysmon, 13, 10, "EventType", "SetValue", "TargetObject", fmt.Sprintf(`HKLM\System\CurrentControlSet\Services\s%d\Start`, i), "Details", "DWORD (0x00000002)"))
	}
	if b := read(t, events...); len(b.Installs) != 0 {
		t.Errorf("%d installs of start types", len(b.Installs))
	}
}

func TestScripts(t *testing.T) {
	part := func(id string, n, of int, text string) *winevent.Event {
		return event(powershell, 4104, int64(n), "ScriptBlockId", id, "MessageNumber", fmt.Sprint(n), "MessageTotal", fmt.Sprint(of), "ScriptBlockText", text)
	}
	b := read(t,
		part("whole", 1, 1, "Get-Service"), part("two", 2, 2, "vice"), part("cut", 1, 3, "gsv -"), part("two", 1, 2, "Get-Ser"),
		part("cut", 3, 3, "x"), part("empty", 1, 1, ""), part("odd", 9, 3, "gwmi Win32_Service"), part("two", 1, 2, "again"),
	)
	got := map[string]bool{}
	for _, p := range b.Processes {
		got[p.CmdLine] = p.Truncated
	}
	want := map[string]bool{"Get-Service": false, "Get-Service ": false, "gsv -\nx": true, "gwmi Win32_Service": false, "again": true}
	delete(want, "Get-Service ")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	huge := read(t, part("a", 1, 1, strings.Repeat("x", 3<<20)), part("b", 1, 2, strings.Repeat("y", 900<<10)), part("b", 2, 2, strings.Repeat("z", 900<<10)))
	for _, p := range huge.Processes {
		if len(p.CmdLine) > 1<<20 || !p.Truncated {
			t.Errorf("%d bytes, truncated %v", len(p.CmdLine), p.Truncated)
		}
	}
	if len(huge.Processes) != 2 {
		t.Errorf("%d scripts", len(huge.Processes))
	}
}

func TestHostsOwnLogons(t *testing.T) {
	logon := func(user, sid, kind, from string) *winevent.Event {
		return event(security, 4624, 1, "TargetUserName", user, "TargetDomainName", "CORP", "TargetUserSid", sid, "LogonType", kind, "IpAddress", from, "TargetLogonId", "0x5")
	}
	b := read(t,
		logon("SYSTEM", "S-1-5-18", "5", "-"), logon("WS01$", "S-1-5-21-1-2-3-1000", "3", "::1"), logon("DWM-1", "S-1-5-90-0-1", "2", "-"),
		logon("alex", "S-1-5-21-1-2-3-1001", "0", "-"),
		logon("alex", "S-1-5-21-1-2-3-1001", "2", "127.0.0.1"), logon("DC01$", "S-1-5-21-1-2-3-1002", "3", "10.0.0.1"),
		event(security, 4648, 1, "SubjectUserSid", "S-1-5-18", "TargetServerName", "localhost", "TargetUserName", "alex", "IpAddress", "127.0.0.1"),
		event(security, 4648, 1, "SubjectUserSid", "S-1-5-18", "TargetServerName", "FS01", "TargetUserName", "alex", "IpAddress", "10.0.0.2", "IpPort", "445"),
	)
	var got []string
	for _, l := range b.Logons {
		got = append(got, l.Username+" "+l.Type)
	}
	if diff := cmp.Diff([]string{`CORP\alex interactive`, `CORP\DC01$ network`, "alex explicit"}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(security, int64(4688), `{"EventData":{"NewProcessId":"0x294","CommandLine":"sc query"}}`)
	f.Add(security, int64(4624), `{"EventData":{"LogonType":"3","IpAddress":"::ffff:10.0.0.1"}}`)
	f.Add("Microsoft-Windows-Eventlog", int64(1102), `{"UserData":{"LogFileCleared":{"SubjectUserName":"x"}}}`)
	f.Add("Service Control Manager", int64(7040), `{"EventData":{"param1":"a","param4":"b"}}`)
	f.Add(sysmon, int64(13), `{"EventData":{"EventType":"SetValue","TargetObject":"HKLM\\System\\CurrentControlSet\\Services\\x\\ImagePath"}}`)
	f.Add(sysmon, int64(3), `{"EventData":{"Initiated":"false","SourceIp":"1.2.3.4","DestinationIp":"::1"}}`)
	f.Add(powershell, int64(4104), `{"EventData":{"MessageNumber":"2","MessageTotal":"3","ScriptBlockText":"x"}}`)
	f.Fuzz(func(t *testing.T, provider string, id int64, text string) {
		data, err := winevent.ParseData(text)
		if err != nil {
			return
		}
		var r winevent.Reader
		var b evidence.Batch
		for when := range int64(2) {
			r.Read(&winevent.Event{Provider: provider, ID: id, Time: when, Data: data, Source: "s", EID: "e"}, &b)
		}
		r.Flush(&b)
		if n := len(b.Processes) + len(b.Installs) + len(b.Logons) + len(b.Connections) + len(b.Changes); n > 2 {
			t.Fatalf("%d facts of two events", n)
		}
		if _, err := json.Marshal(b); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkProcessCreated(b *testing.B) {
	const data = `{"EventData":{"SubjectUserSid":"S-1-5-18","SubjectUserName":"-","SubjectDomainName":"-","SubjectLogonId":"0x3e7","NewProcessId":"0x294","NewProcessName":"C:\\Windows\\System32\\lsass.exe","TokenElevationType":"%%1936","ProcessId":"0x200","CommandLine":"sc  query state= all","TargetUserSid":"S-1-0-0","TargetUserName":"-","TargetDomainName":"-","TargetLogonId":"0x0","ParentProcessName":"C:\\Windows\\System32\\wininit.exe","MandatoryLabel":"S-1-16-16384"}}`
	b.ReportAllocs()
	for b.Loop() {
		values, err := winevent.ParseData(data)
		if err != nil {
			b.Fatal(err)
		}
		var batch evidence.Batch
		var r winevent.Reader
		r.Read(&winevent.Event{Provider: security, ID: winevent.ProcessCreated, Time: 1, Data: values}, &batch)
		if len(batch.Processes) != 1 {
			b.Fatal(batch)
		}
	}
}
