package evtx

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

const at = 1_700_000_000

func security(id int, ticks int, data ...fieldOf) eventOf {
	return eventOf{provider: "Microsoft-Windows-Security-Auditing", channel: "Security", computer: "ws1.corp.example",
		id: id, time: filetime(at, ticks), pid: 4, data: data}
}

func readAll(t testing.TB, file []byte) (Batch, *Reader) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var all Batch
	for {
		b, err := r.Next(context.Background(), 1)
		all.Processes = append(all.Processes, b.Processes...)
		all.Installs = append(all.Installs, b.Installs...)
		all.Logons = append(all.Logons, b.Logons...)
		all.Connections = append(all.Connections, b.Connections...)
		all.Changes = append(all.Changes, b.Changes...)
		all.Read += b.Read
		all.Bare += b.Bare
		if errors.Is(err, io.EOF) {
			return all, r
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEvents(t *testing.T) {
	tests := []struct {
		name     string
		event    eventOf
		process  []evidence.Process
		installs []evidence.Install
	}{
		{name: "4688 of the second version, started as somebody else",
			event: security(4688, 9_999_999,
				fieldOf{"SubjectUserSid", sidv(21, 1, 2, 3, 1104)}, fieldOf{"SubjectUserName", str("anna")}, fieldOf{"SubjectDomainName", str("CORP")},
				fieldOf{"SubjectLogonId", hex64(0x3e7a1)}, fieldOf{"NewProcessId", hex64(0x1a2c)}, fieldOf{"NewProcessName", str(`C:\Windows\System32\sc.exe`)},
				fieldOf{"TokenElevationType", str("%%1937")}, fieldOf{"ProcessId", hex64(0x4d2)}, fieldOf{"CommandLine", str(`sc  query "Spooler"`)},
				fieldOf{"TargetUserSid", sidv(21, 1, 2, 3, 500)}, fieldOf{"TargetUserName", str("adm")}, fieldOf{"TargetDomainName", str("CORP")},
				fieldOf{"TargetLogonId", hex64(0x99)}, fieldOf{"ParentProcessName", str(`C:\Windows\System32\cmd.exe`)}, fieldOf{"MandatoryLabel", str("S-1-16-12288")}),
			process: []evidence.Process{{Time: at, Platform: evidence.Windows, Host: "ws1.corp.example", PID: 0x1a2c, ParentPID: 0x4d2,
				Path: `C:\Windows\System32\sc.exe`, CmdLine: `sc  query "Spooler"`, ParentPath: `C:\Windows\System32\cmd.exe`,
				UID: "S-1-5-21-1-2-3-500", Username: `CORP\adm`, LoginUID: "S-1-5-21-1-2-3-1104", LoginUser: `CORP\anna`, LogonID: "0x99",
				Elevated: evidence.Yes, IntegrityLevel: "High", Source: SourceSecurity, EID: "1"}}},
		{name: "4688 of an older Windows, without a command line",
			event: security(4688, 0,
				fieldOf{"SubjectUserSid", sidv(18)}, fieldOf{"SubjectUserName", str("WS1$")}, fieldOf{"SubjectDomainName", str("CORP")},
				fieldOf{"SubjectLogonId", hex64(999)}, fieldOf{"NewProcessId", hex64(508)}, fieldOf{"NewProcessName", str(`C:\a.exe`)},
				fieldOf{"TokenElevationType", str("%%1936")}, fieldOf{"ProcessId", hex64(632)}, fieldOf{"CommandLine", nothing()}),
			process: []evidence.Process{{Time: at, Platform: evidence.Windows, Host: "ws1.corp.example", PID: 508, ParentPID: 632, Path: `C:\a.exe`,
				UID: "S-1-5-18", Username: `CORP\WS1$`, LogonID: "0x3e7", Source: SourceSecurity, EID: "1"}}},
		{name: "4688 as text, without a template",
			event: func() eventOf {
				e := security(4688, 0, fieldOf{"NewProcessId", str("0x1f4")}, fieldOf{"NewProcessName", str(`C:\a.exe`)}, fieldOf{"CommandLine", str("a b")})
				e.literal = true
				return e
			}(),
			process: []evidence.Process{{Time: at, Platform: evidence.Windows, Host: "ws1.corp.example", PID: 0x1f4, Path: `C:\a.exe`, CmdLine: "a b",
				Source: SourceSecurity, EID: "1"}}},
		{name: "Sysmon 1",
			event: eventOf{provider: "Microsoft-Windows-Sysmon", channel: "Microsoft-Windows-Sysmon/Operational", computer: "dc1", id: 1, time: filetime(at, 5_000_000), data: []fieldOf{
				{"UtcTime", str("2023-11-14 22:13:20.100")}, {"ProcessId", u32v(2728)}, {"Image", str(`C:\Windows\System32\net1.exe`)},
				{"OriginalFileName", str("net1.exe")}, {"CommandLine", str("net1  start %%TEMP%%")}, {"CurrentDirectory", str(`C:\Users\a\`)}, {"User", str(`CORP\a`)},
				{"LogonId", hex64(353996)}, {"TerminalSessionId", u32v(2)}, {"IntegrityLevel", str("Medium")},
				{"ParentProcessId", u32v(3408)}, {"ParentImage", str(`C:\Windows\System32\net.exe`)}, {"ParentCommandLine", str("net  start")}}},
			process: []evidence.Process{{Time: at, Platform: evidence.Windows, Host: "dc1", PID: 2728, ParentPID: 3408, Path: `C:\Windows\System32\net1.exe`,
				OriginalFileName: "net1.exe", CmdLine: "net1  start %TEMP%", CWD: `C:\Users\a\`, Username: `CORP\a`, LogonID: "0x566cc", Session: "2",
				IntegrityLevel: "Medium", Elevated: evidence.No, ParentPath: `C:\Windows\System32\net.exe`, ParentCmdLine: "net  start",
				Source: SourceSysmon, EID: "1"}}},
		{name: "4104 in one part",
			event: eventOf{provider: "Microsoft-Windows-PowerShell", channel: "Microsoft-Windows-PowerShell/Operational", computer: "dc1", id: 4104,
				time: filetime(at, 0), pid: 77, user: sidv(21, 9), data: []fieldOf{{"MessageNumber", i32v(1)}, {"MessageTotal", i32v(1)},
					{"ScriptBlockText", str("Get-Service")}, {"ScriptBlockId", str("x")}, {"Path", str("")}}},
			process: []evidence.Process{{Time: at, Platform: evidence.Windows, Host: "dc1", PID: 77, Path: "powershell.exe", CmdLine: "Get-Service",
				UID: "S-1-5-21-9", Source: SourcePowerShell, EID: "1"}}},
		{name: "7045",
			event: eventOf{provider: "Service Control Manager", channel: "System", computer: "dc1", id: 7045, time: filetime(at, 0), user: sidv(18), data: []fieldOf{
				{"ServiceName", str("Upd")}, {"ImagePath", str(`C:\Temp\u.exe -k`)}, {"ServiceType", str("user mode service")}, {"StartType", str("auto start")}, {"AccountName", str("LocalSystem")}}},
			installs: []evidence.Install{{Time: at, TimeBasis: evidence.BasisEvent, Platform: evidence.Windows, Action: evidence.Created, Kind: "windows_service", Host: "dc1", ServiceType: "user mode service", Name: "Upd", ImagePath: `C:\Temp\u.exe -k`, StartType: "auto start",
				Account: "LocalSystem", InstallerUID: "S-1-5-18", Source: SourceSystem, EID: "1"}}},
		{name: "4697 of a driver",
			event: security(4697, 0, fieldOf{"SubjectUserSid", sidv(21, 5)}, fieldOf{"SubjectUserName", str("a")}, fieldOf{"SubjectDomainName", str("CORP")},
				fieldOf{"SubjectLogonId", hex64(7)}, fieldOf{"ServiceName", str("drv")}, fieldOf{"ServiceFileName", str(`\??\C:\d.sys`)},
				fieldOf{"ServiceType", str("0x1")}, fieldOf{"ServiceStartType", str("3")}, fieldOf{"ServiceAccount", str("LocalSystem")}, fieldOf{"ClientProcessId", u32v(99)}),
			installs: []evidence.Install{{Time: at, TimeBasis: evidence.BasisEvent, Platform: evidence.Windows, Action: evidence.Created, Kind: "driver", Host: "ws1.corp.example", ServiceType: "0x1", Name: "drv", ImagePath: `\??\C:\d.sys`, StartType: "3", Account: "LocalSystem",
				InstallerUID: "S-1-5-21-5", InstallerUsername: `CORP\a`, LogonID: "0x7", InstallerPID: 99, Source: SourceSecurity, EID: "1"}}},
		{name: "the same id of another provider",
			event: eventOf{provider: "Microsoft-Windows-Winsock-WS2HELP", channel: "x", computer: "dc1", id: 1, time: filetime(at, 0),
				data: []fieldOf{{"Image", str("a.exe")}, {"CommandLine", str("a")}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMaker()
			m.add(tt.event)
			got, r := readAll(t, m.file())
			if got.Read != 1 || len(r.Notes()) > 0 {
				t.Errorf("%d records, notes %q", got.Read, r.Notes())
			}
			if d := cmp.Diff(tt.process, got.Processes); d != "" {
				t.Errorf("processes (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.installs, got.Installs); d != "" {
				t.Errorf("installs (-want +got):\n%s", d)
			}
		})
	}
}

var update = flag.Bool("update", false, "write the fixture of package files")

// TestFixture keeps the event log that the tests of package files read: what this
// package's own maker writes, compressed.
func TestFixture(t *testing.T) {
	m := newMaker()
	for i := range 3 {
		m.add(security(4688, i, fieldOf{"NewProcessId", hex64(uint64(100 + i))}, fieldOf{"NewProcessName", str(`C:\Windows\System32\sc.exe`)}, fieldOf{"CommandLine", str("sc  query")}))
	}
	m.add(eventOf{provider: "Service Control Manager", channel: "System", computer: "ws1.corp.example", id: 7045, time: filetime(at+60, 0), data: []fieldOf{
		{"ServiceName", str("Upd")}, {"ImagePath", str(`C:\Temp\u.exe`)}, {"ServiceType", str("user mode service")}, {"StartType", str("auto start")}, {"AccountName", str("LocalSystem")}}})
	m.add(security(4624, 0, logonData(3, "bob", "CORP", sidv(21, 9), "10.0.0.5", "-")...))
	m.add(security(5156, 0, fieldOf{"ProcessID", u64v(700)}, fieldOf{"Application", str("System")}, fieldOf{"Direction", str("%%14593")}, fieldOf{"SourceAddress", str("10.0.0.9")}, fieldOf{"SourcePort", str("50001")},
		fieldOf{"DestAddress", str("203.0.113.7")}, fieldOf{"DestPort", str("443")}, fieldOf{"Protocol", u32v(6)}))
	m.add(eventOf{provider: "Microsoft-Windows-Eventlog", channel: "Security", computer: "ws1.corp.example", id: 1102, time: filetime(at, 0), own: "LogFileCleared", data: subject()})
	want := m.file()
	path := filepath.Join("..", "files", "testdata", "events.evtx.gz")
	if *update {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(want); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the fixture is not what the maker writes; run with -update")
	}
}

func TestScriptBlocks(t *testing.T) {
	part := func(id string, n, total uint32, text string) eventOf {
		return eventOf{provider: "Microsoft-Windows-PowerShell", channel: "Microsoft-Windows-PowerShell/Operational", computer: "h", id: 4104,
			time: filetime(at, 0), data: []fieldOf{{"MessageNumber", i32v(n)}, {"MessageTotal", i32v(total)}, {"ScriptBlockText", str(text)}, {"ScriptBlockId", str(id)}}}
	}
	m := newMaker()
	m.add(part("a", 2, 3, "Ser"))
	m.add(part("b", 1, 2, "half"))
	m.add(part("a", 1, 3, "Get-"))
	m.add(part("a", 1, 3, "Get-")) // the same event twice
	m.add(part("a", 3, 3, "vice"))
	for i := range 256 { // more than a byte's worth, in reverse
		m.add(part("long", 256-uint32(i), 256, string(rune('a'+(255-i)%26))))
	}
	got, r := readAll(t, m.file())
	if len(r.Notes()) > 0 || len(got.Processes) != 3 {
		t.Fatalf("notes %q, processes %+v", r.Notes(), got.Processes)
	}
	if p := got.Processes[0]; p.CmdLine != "Get-Service" || p.Truncated || p.EID != "3" {
		t.Errorf("whole script: %+v", p)
	}
	if p := got.Processes[1]; len(p.CmdLine) != 256 || !strings.HasPrefix(p.CmdLine, "abcdef") || p.Truncated {
		t.Errorf("long script: %+v", p)
	}
	if p := got.Processes[2]; p.CmdLine != "half" || !p.Truncated {
		t.Errorf("script without its end: %+v", p)
	}
}

// fill makes a file of n processes over several chunks.
func fill(n int) []byte {
	m := newMaker()
	for i := range n {
		m.add(security(4688, i, fieldOf{"NewProcessId", hex64(uint64(i))}, fieldOf{"NewProcessName", str(`C:\x.exe`)}, fieldOf{"CommandLine", str("x " + itoa(uint64(i)))}))
	}
	return m.file()
}

func TestDamage(t *testing.T) {
	whole := fill(300)
	chunks := (len(whole) - fileHeaderSize) / chunkSize
	if chunks < 4 {
		t.Fatalf("only %d chunks", chunks)
	}
	all, _ := readAll(t, whole)
	if len(all.Processes) != 300 {
		t.Fatalf("%d processes of 300", len(all.Processes))
	}
	second := fileHeaderSize + chunkSize
	tests := []struct {
		name  string
		spoil func(b []byte) []byte
		min   int // processes that must be left
		max   int
		note  string
	}{
		{"a byte of the data", func(b []byte) []byte { b[second+5000] ^= 1; return b }, 200, 280, "chunk 1: checksum of the data"},
		{"a byte of the chunk's header", func(b []byte) []byte { b[second+30] ^= 1; return b }, 200, 280, "chunk 1: checksum of the header"},
		{"the chunk's signature", func(b []byte) []byte { b[second] = 'X'; return b }, 200, 280, "chunk 1: wrong signature"},
		{"a byte of the file's header", func(b []byte) []byte { b[20] ^= 1; return b }, 300, 300, "file header"},
		{"cut in the second chunk", func(b []byte) []byte { return b[:second+9000] }, 54, 100, "the file ends after 9000"},
		{"cut in a record's header", func(b []byte) []byte { return b[:second+chunkHeaderSize+10] }, 40, 53, "the file ends after 522"},
		{"cut in the file's header", func(b []byte) []byte { return b[:100] }, 0, 0, "ends within its header"},
		{"a free chunk at the end", func(b []byte) []byte { return append(b, make([]byte, chunkSize)...) }, 300, 300, ""},
		{"in use while it was copied", func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[120:], flagDirty)
			signFile(b)
			copy(b[second+52:], "\x00\x00\x00\x00")
			sign(b[second : second+chunkSize])
			return b
		}, 300, 300, "the log was in use"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, r := readAll(t, tt.spoil(bytes.Clone(whole)))
			if n := len(got.Processes); n < tt.min || n > tt.max {
				t.Errorf("%d processes, want %d to %d", n, tt.min, tt.max)
			}
			notes := strings.Join(r.Notes(), "; ")
			if !strings.Contains(notes, tt.note) || (tt.note == "") != (notes == "") {
				t.Errorf("notes %q, want %q", notes, tt.note)
			}
		})
	}
}

func TestNotAnEventLog(t *testing.T) {
	for _, s := range []string{"", "ElfFil", "MZ", strings.Repeat("x", 5000)} {
		if _, err := NewReader(strings.NewReader(s), Limits{}); err == nil {
			t.Errorf("%.10q is taken for an event log", s)
		}
	}
}

// TestMadeOnPurpose reads chunks with the right checksums that would keep the
// parser busy for ever, or eat the memory.
func TestMadeOnPurpose(t *testing.T) {
	header := func(count uint32) []byte {
		return bytes.Join([][]byte{{0x0C, 1}, le32(7), le32(0), le32(0), make([]byte, 16), le32(1), {0}, le32(count)}, nil)
	}
	known := func(id uint32, values int) []byte {
		return bytes.Join([][]byte{{0x0C, 1}, le32(id), le32(0), le32(uint32(values))}, nil)
	}
	nested := func(levels, width int) []byte {
		// Values of no length that all read what follows: width to the power of levels.
		var b []byte
		for range levels {
			b = append(b, known(7, width)...)
			b = append(b, bytes.Repeat([]byte{0, 0, 0x21, 0}, width)...)
		}
		return append(b, 0)
	}
	var wide []byte // one long name, used over and over
	{
		x := &xmlMaker{base: chunkHeaderSize + recordHeader}
		x.open(strings.Repeat("n", 15000))
		nameAt := uint32(x.base + 7 + 4)
		for range 2500 {
			x.put([]byte{0x01}, le16(0), le32(0), le32(nameAt-4+0), []byte{0x02})
		}
		wide = append(x.b, 0)
	}
	tests := map[string]func() []byte{
		"values without end": func() []byte { m := newMaker(); m.raw(header(0xFFFFFFFF), 0); return m.file() },
		"values in values": func() []byte {
			m := newMaker()
			m.raw(append(header(0), 0), 0)
			m.raw(nested(12, 40), 0)
			return m.file()
		},
		"elements without end": func() []byte {
			m := newMaker()
			m.raw(bytes.Repeat([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 5000), 0)
			return m.file()
		},
		"one long name":         func() []byte { m := newMaker(); m.raw(wide, 0); return m.file() },
		"a record of no length": func() []byte { return resize(fill(3), 0) },
		"a record too long":     func() []byte { return resize(fill(3), 0x7FFFFFFF) },
		"a template in itself": func() []byte {
			m := newMaker()
			body := append(known(7, 0), 0)
			m.raw(bytes.Join([][]byte{{0x0C, 1}, le32(7), le32(0), le32(0), make([]byte, 16), le32(uint32(len(body))), body, le32(0), {0}}, nil), 0)
			return m.file()
		},
		"records beyond the end": func() []byte {
			b := fill(3)
			c := b[fileHeaderSize:]
			binary.LittleEndian.PutUint64(c[16:], 1<<62)
			sign(c)
			return b
		},
	}
	for name, file := range tests {
		t.Run(name, func(t *testing.T) {
			done := time.AfterFunc(2*time.Minute, func() { panic("the reader hangs") })
			defer done.Stop()
			_, r := readAll(t, file())
			if len(r.Notes()) == 0 && name != "records beyond the end" {
				t.Error("nothing is said about it")
			}
		})
	}
}

// TestCostlyRecord has one record too costly to read among others.
func TestCostlyRecord(t *testing.T) {
	m := newMaker()
	process := security(4688, 0, fieldOf{"NewProcessId", hex64(1)}, fieldOf{"NewProcessName", str(`C:\x.exe`)}, fieldOf{"CommandLine", str("x")})
	m.add(process)
	m.raw(append(bytes.Repeat([]byte{0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 200), 0), 0) // 200 elements in each other
	m.add(process)
	got, r := readAll(t, m.file())
	if len(got.Processes) != 2 || got.Processes[1].EID != "3" || !strings.Contains(strings.Join(r.Notes(), ""), "1 of its records were passed by") {
		t.Errorf("%+v, notes %q", got.Processes, r.Notes())
	}
}

// resize gives the first record another length and makes the checksums right.
func resize(b []byte, size uint32) []byte {
	c := b[fileHeaderSize:]
	binary.LittleEndian.PutUint32(c[chunkHeaderSize+4:], size)
	return resign(b)
}

// resign makes all checksums of a file right.
func resign(b []byte) []byte {
	if len(b) >= fileHeaderSize {
		signFile(b)
	}
	for at := fileHeaderSize; at+chunkSize <= len(b); at += chunkSize {
		c := b[at : at+chunkSize]
		end := binary.LittleEndian.Uint32(c[48:])
		if end < chunkHeaderSize || end > chunkSize {
			continue
		}
		binary.LittleEndian.PutUint32(c[52:], crc32.ChecksumIEEE(c[chunkHeaderSize:end]))
		sign(c)
	}
	return b
}

func TestLimits(t *testing.T) {
	file := fill(300)
	for name, l := range map[string]Limits{"bytes": {Bytes: fileHeaderSize + chunkSize}, "records": {Records: 10}, "time": {Time: 1}} {
		r, err := NewReader(bytes.NewReader(file), l)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		for err == nil {
			var b Batch
			b, err = r.Next(context.Background(), 1)
			n += len(b.Processes)
		}
		if n == 0 || n >= 300 || len(r.Notes()) != 1 || !strings.Contains(r.Notes()[0], "reading stopped") {
			t.Errorf("%s: %d processes, notes %q", name, n, r.Notes())
		}
	}
	r, err := NewReader(bytes.NewReader(file), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Next(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	e := security(4697, 1, fieldOf{"ServiceName", str("x")}, fieldOf{"ServiceType", str("0x10")})
	plain := newMaker().record(e)
	e.literal = true
	f.Add(plain, newMaker().record(e), uint32(1), byte(0))
	f.Add([]byte("\x0c\x01"), plain, uint32(fileHeaderSize+chunkHeaderSize+4), byte(0xff))
	f.Fuzz(func(t *testing.T, first, second []byte, at uint32, flip byte) {
		if len(first)+len(second) > 60_000 {
			return
		}
		m := newMaker()
		m.raw(first, 0)
		m.raw(second, 0)
		file := m.file()
		file[int(at)%len(file)] ^= flip
		r, err := NewReader(bytes.NewReader(resign(file)), Limits{})
		if err != nil {
			return
		}
		start := cputime.Start()
		for err == nil {
			_, err = r.Next(context.Background(), 1)
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if d := start.Took(); d > 10*time.Second {
			t.Fatalf("it took %v", d)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	file := fill(2000)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		readAll(b, file)
	}
}
