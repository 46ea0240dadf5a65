package core_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/extension/source/winevent"
)

// logger writes events 4688 into a machine's log, each with a command line of its
// own.
type logger struct {
	*follower
	written int
}

func newLogger(t testing.TB) *logger {
	m := newMachine(t, evidence.Windows, "")
	m.exec("UPDATE osquery_events SET active = 0")
	m.events = nil
	l := &logger{follower: &follower{m: m}}
	l.write(m.hands.wall-10, 1, 1) // so that the log is worth reading
	l.src = m.source("windows_eventlog_4688")
	return l
}

// write adds n events at a second, apart ticks of 100 ns from each other.
func (l *logger) write(when int64, n, apart int) {
	for i := range n {
		l.written++
		l.m.events = append(l.m.events, map[string]string{
			"channel": winevent.Security, "provider_name": "Microsoft-Windows-Security-Auditing", "computer_name": "WS", "eventid": "4688", "pid": "4",
			"datetime": time.Unix(when, int64(i*apart)*100).UTC().Format("2006-01-02T15:04:05.0000000Z"),
			"data":     fmt.Sprintf(`{"EventData":{"NewProcessId":"0x%x","NewProcessName":"C:\\x.exe","CommandLine":"x %d","ProcessId":"0x10"}}`, l.written, l.written),
		})
	}
}

// complete checks that everything written came, once or at least once.
func (l *logger) complete(once bool) {
	l.m.t.Helper()
	seen := map[string]int{}
	for _, p := range l.all.Processes {
		seen[p.CmdLine]++
		if once && seen[p.CmdLine] > 1 {
			l.m.t.Fatalf("%q came twice", p.CmdLine)
		}
	}
	if len(seen) != l.written {
		l.m.t.Errorf("%d of %d events were read", len(seen), l.written)
	}
}

func TestEventLogFollows(t *testing.T) {
	l := newLogger(t)
	l.read(10_000)
	for i := range 40 {
		l.write(l.m.hands.wall, 3, 7)
		l.write(l.m.hands.wall-int64(i%50), 1, 0) // written late
		if i%3 == 0 {
			l.read(10_000)
		}
		l.m.hands.pass(11)
		if i%7 == 0 {
			l.src = l.m.source("windows_eventlog_4688")
		}
		l.read(10_000)
	}
	l.complete(true)
	if len(l.all.Gaps) != 0 {
		t.Errorf("gaps: %v", l.all.Gaps)
	}
}

// The log keeps what happened while nobody read: nothing is lost up to a week.
func TestEventLogCatchesUp(t *testing.T) {
	for _, limit := range []int{3, 600, 10_000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			l := newLogger(t)
			l.read(10_000)
			for s := int64(1); s < 5*86400; s += 14_400 {
				l.write(l.m.hands.wall+s, 3, 1000)
			}
			l.m.hands.pass(5 * 86400)
			l.write(l.m.hands.wall-2, 40, 0) // of one instant
			l.write(l.m.hands.wall-1, 40, 3)
			l.src = l.m.source("windows_eventlog_4688")
			for range 30 {
				l.read(limit)
				l.m.hands.pass(31)
			}
			l.complete(true)
			if len(l.all.Gaps) != 0 {
				t.Errorf("gaps: %v", l.all.Gaps)
			}
		})
	}
}

func TestEventLogWeekAway(t *testing.T) {
	l := newLogger(t)
	l.read(10_000)
	through := l.m.hands.wall
	l.m.hands.pass(10 * 86400)
	l.src = l.m.source("windows_eventlog_4688")
	l.write(l.m.hands.wall-6*86400, 5, 1)
	l.write(l.m.hands.wall-5, 5, 1)
	for range 30 {
		l.read(10_000)
		l.m.hands.pass(31)
	}
	l.complete(true)
	if len(l.all.Gaps) != 1 || l.all.Gaps[0].From != through || !strings.Contains(l.all.Gaps[0].Reason, "604800") {
		t.Errorf("got %v", l.all.Gaps)
	}
}

// One second, and even one tick, may hold more than a read.
func TestEventLogBurst(t *testing.T) {
	l := newLogger(t)
	l.read(10_000)
	l.m.hands.pass(20)
	l.write(l.m.hands.wall-2, 1000, 1)
	l.write(l.m.hands.wall-1, 1300, 0) // all of one tick
	l.write(l.m.hands.wall-1, 500, 5)
	for range 3 {
		l.read(700)
		l.m.hands.pass(31)
	}
	l.complete(true)
	if len(l.all.Gaps) != 0 {
		t.Errorf("gaps: %v", l.all.Gaps)
	}
}

// More of one tick than a query can return is a gap, and the reading goes on.
func TestEventLogFlood(t *testing.T) {
	l := newLogger(t)
	l.read(10_000)
	l.m.hands.pass(20)
	l.write(l.m.hands.wall-2, 10_500, 0)
	for range 3 {
		l.read(10_000)
		l.m.hands.pass(31)
	}
	l.write(l.m.hands.wall-1, 3, 1)
	l.m.hands.pass(31)
	l.read(10_000)
	seen := map[string]bool{}
	for _, p := range l.all.Processes {
		seen[p.CmdLine] = true
	}
	if len(seen) < 10_001 || !seen[fmt.Sprintf("x %d", l.written)] {
		t.Errorf("%d of %d were read", len(seen), l.written)
	}
	if len(l.all.Gaps) == 0 || !strings.Contains(l.all.Gaps[0].Reason, "of one instant") {
		t.Errorf("gaps: %v", l.all.Gaps)
	}
}

func TestEventLogClock(t *testing.T) {
	for _, back := range []int64{5, 59, 61, 600, 40_000, 86400 * 30} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("back %d restarted %v", back, restarted), func(t *testing.T) {
				l := newLogger(t)
				for range 5 {
					l.write(l.m.hands.wall, 3, 1)
					l.read(10_000)
					l.m.hands.pass(31)
				}
				l.write(l.m.hands.wall-2, 3, 1)
				l.m.hands.wall -= back
				l.write(l.m.hands.wall, 3, 1)
				l.m.hands.pass(31)
				l.write(l.m.hands.wall, 3, 1)
				if restarted {
					l.src = l.m.source("windows_eventlog_4688")
				}
				for range 4 {
					l.read(10_000)
					l.m.hands.pass(31)
				}
				if restarted && back > 60 && back <= 60+31 {
					return // stepped back by less than passed since
				}
				l.complete(false)
			})
		}
	}
}

// A broken answer loses nothing.
func TestEventLogFailure(t *testing.T) {
	l := newLogger(t)
	l.read(10_000)
	l.m.hands.pass(31)
	l.write(l.m.hands.wall-1, 50, 1)
	l.m.fail = func(sql string) error {
		if strings.Contains(sql, "ORDER BY datetime") {
			return fmt.Errorf("query: %w", context.DeadlineExceeded)
		}
		return nil
	}
	_, err := l.src.Read(context.Background(), l.cursor, 10_000)
	if u := unavailable(t, err); u.State != evidence.StateDegraded {
		t.Errorf("got %v", u)
	}
	l.m.fail = nil
	l.m.hands.pass(31)
	l.read(10_000)
	l.complete(true)
}

// Processes without command lines are a policy that is off: said once a day.
func TestBareCommandLines(t *testing.T) {
	l := newLogger(t)
	l.m.events = nil
	add := func(n int, cmdline string) {
		for i := range n {
			l.m.events = append(l.m.events, map[string]string{
				"channel": winevent.Security, "provider_name": "Microsoft-Windows-Security-Auditing", "computer_name": "WS", "eventid": "4688", "pid": "4",
				"datetime": time.Unix(l.m.hands.wall-1, int64(i)*100).UTC().Format("2006-01-02T15:04:05.0000000Z"),
				"data":     fmt.Sprintf(`{"EventData":{"NewProcessId":"0x%x","NewProcessName":"C:\\x.exe","CommandLine":%q}}`, i, cmdline),
			})
		}
	}
	said := func() int {
		b := l.read(10_000)
		n := 0
		for _, g := range b.Gaps {
			if strings.Contains(g.Reason, "ProcessCreationIncludeCmdLine_Enabled") {
				n++
			}
		}
		return n
	}
	add(6, "x")
	if said() != 0 {
		t.Error("said with command lines")
	}
	for i := range 3 {
		l.m.hands.pass(31)
		add(6, "")
		if got, want := said(), map[int]int{0: 1}[i]; got != want {
			t.Errorf("read %d: said %d times", i, got)
		}
	}
	l.m.hands.pass(86400)
	add(6, "")
	if said() != 1 {
		t.Error("not said again a day later")
	}
}

// An event whose data cannot be read is counted, and no other is lost for it.
func TestEventLogDamaged(t *testing.T) {
	l := newLogger(t)
	l.write(l.m.hands.wall-5, 3, 10)
	l.m.events = append(l.m.events, map[string]string{"channel": winevent.Security, "provider_name": "Microsoft-Windows-Security-Auditing", "eventid": "4688",
		"datetime": time.Unix(l.m.hands.wall-5, 50).UTC().Format("2006-01-02T15:04:05.0000000Z"), "data": `{"EventData":`})
	l.m.events = append(l.m.events, map[string]string{"channel": winevent.Security, "provider_name": "Another", "eventid": "4688",
		"datetime": time.Unix(l.m.hands.wall-5, 60).UTC().Format("2006-01-02T15:04:05.0000000Z"), "data": `{"EventData":""}`})
	b := l.read(10_000)
	if b.Dropped != 1 {
		t.Errorf("dropped %d", b.Dropped)
	}
	l.complete(true)
}

// Of the files that Sysmon sees made, those of services are taken, where that can be
// asked for.
func TestSysmonFiles(t *testing.T) {
	m := prepare(t, evidence.Windows, "windows_events", "")
	m.flag("windows_event_channels", "Microsoft-Windows-Sysmon/Operational")
	m.exec("DELETE FROM windows_events")
	for i, file := range []string{`C:\App\Services\x.dll`, `C:\Temp\y.dll`, `C:\services`} {
		data, err := json.Marshal(map[string]any{"EventData": map[string]string{"Image": `C:\%%a.exe`, "ProcessId": "70", "TargetFilename": file}})
		if err != nil {
			t.Fatal(err)
		}
		m.insert("windows_events", map[string]string{"time": fmt.Sprint(fixtureTime), "eid": fmt.Sprint(i + 1), "eventid": "11",
			"provider_name": "Microsoft-Windows-Sysmon", "datetime": "2026-03-02T09:00:01.0000000Z", "data": string(data)})
	}
	b := m.follow("windows_events").read(100)
	if b.Read != 1 || len(b.Changes) != 1 || b.Changes[0].Subject != `C:\App\Services\x.dll` || b.Changes[0].Detail != `created by C:\%a.exe` || b.Changes[0].PID != 70 {
		t.Errorf("%d read: %+v", b.Read, b.Changes)
	}
}

// PowerShell's blocks have no event ids and come by hundreds in one second.
func TestPowerShellTies(t *testing.T) {
	for _, limit := range []int{50, 10_000} {
		m := newMachine(t, evidence.Windows, "")
		m.exec("DELETE FROM powershell_events")
		f := m.follow("powershell_events")
		f.read(limit)
		total := 0
		add := func(when int64, n int) {
			for range n {
				total++
				m.insert("powershell_events", map[string]string{"time": fmt.Sprint(when), "datetime": "2026-03-02T09:00:01.0000000Z",
					"script_block_id": fmt.Sprintf("id-%d", total), "script_text": fmt.Sprintf("Get-Service %d", total)})
			}
		}
		for range 3 {
			m.hands.pass(10)
			add(m.hands.wall-1, 20)
			add(m.hands.wall, 170)
			f.read(limit)
		}
		seen := map[string]int{}
		for _, p := range f.all.Processes {
			if seen[p.CmdLine]++; seen[p.CmdLine] > 1 {
				t.Fatalf("limit %d: %s came twice", limit, p.CmdLine)
			}
		}
		if len(seen) != total {
			t.Errorf("limit %d: %d of %d", limit, len(seen), total)
		}
	}
}

func TestLogons(t *testing.T) {
	m := newMachine(t, evidence.Windows, "")
	logons := core.NewLogons(m, evidence.Windows)
	ask := func(from, to int64) evidence.Batch {
		t.Helper()
		b, err := logons.Logons(context.Background(), from, to)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	got := ask(fixtureTime-3600, fixtureTime+3600)
	sid := "S-1-5-21-111-222-333-500"
	want := []evidence.Logon{
		{Time: fixtureTime + 9, Platform: evidence.Windows, Host: "WS01.corp.example", Username: `CORP\admin`, UID: sid, Type: "remote_interactive",
			From: "10.23.23.9", PID: 0x4d0, LogonID: "0xa11ce", Privileged: evidence.Yes, Source: "windows_eventlog", EID: "4624/2026-03-02T09:00:09.1000001Z"},
		{Time: fixtureTime + 11, Platform: evidence.Windows, Host: "WS01.corp.example", Username: `WS01\Administrator`, Type: "network", From: "198.51.100.66",
			Failed: true, Source: "windows_eventlog", EID: "4625/2026-03-02T09:00:11.1234567Z"},
		{Time: fixtureTime + 12, Platform: evidence.Windows, Host: "WS01.corp.example", Username: `CORP\admin`, Type: "explicit", From: "::1",
			PID: 0x1a00, LogonID: "0x7428d", Source: "windows_eventlog", EID: "4648/2026-03-02T09:00:12.1234567Z"},
	}
	if diff := cmp.Diff(want, got.Logons); diff != "" {
		t.Error(diff)
	}
	if got.More {
		t.Error("more than there is")
	}
	if b := ask(fixtureTime+10, fixtureTime+11); len(b.Logons) != 1 || b.Logons[0].Time != fixtureTime+11 {
		t.Errorf("a narrow span: %v", b.Logons)
	}
	if b := ask(fixtureTime+11, fixtureTime); len(b.Logons) != 0 {
		t.Error("a span of nothing")
	}

	// Never polled.
	for _, s := range core.Sources(m, evidence.Windows, core.Options{Clock: m.hands.clock}) {
		_, _ = s.Read(context.Background(), "", 10_000)
	}
	for _, id := range []string{"4624", "4625", "4648", "4672"} {
		for _, q := range m.asked("=" + id) {
			if strings.Contains(q, "LIMIT 10000") || strings.HasSuffix(q, "LIMIT 1") {
				t.Errorf("polled: %s", q)
			}
		}
	}

	// A domain controller in an hour.
	m.events = nil
	for i := range 6000 {
		m.events = append(m.events, map[string]string{"channel": winevent.Security, "provider_name": "Microsoft-Windows-Security-Auditing", "eventid": "4624",
			"computer_name": "DC", "datetime": time.Unix(fixtureTime+int64(i)*600/1000, 0).UTC().Format("2006-01-02T15:04:05.0000000Z"),
			"data": fmt.Sprintf(`{"EventData":{"TargetUserName":"u%d","LogonType":"3","IpAddress":"10.0.0.9"}}`, i)})
	}
	b := ask(fixtureTime, fixtureTime+3600)
	if !b.More || len(b.Logons) == 0 || len(b.Logons) > 5000 || !slices.IsSortedFunc(b.Logons, func(a, b evidence.Logon) int { return int(a.Time - b.Time) }) {
		t.Errorf("%d logons, more %v", len(b.Logons), b.More)
	}
	m.events = m.events[:3]
	if b := ask(0, fixtureTime*2); !b.More {
		t.Error("a span of years is cut without a word")
	}
}

func TestLogonsElsewhere(t *testing.T) {
	m := newMachine(t, evidence.Linux, "")
	b, err := core.NewLogons(m, evidence.Linux).Logons(context.Background(), fixtureTime-250, fixtureTime)
	if err != nil || len(b.Logons) != 2 || b.Logons[0].Username != "root" || b.Logons[1].Username != "eva" {
		t.Errorf("got %+v, %v", b.Logons, err)
	}
	if _, err := core.NewLogons(m, "").Logons(context.Background(), 1, 2); unavailable(t, err).State != evidence.StateOff {
		t.Errorf("got %v", err)
	}
	m.fail = func(string) error { return core.ErrUnreachable }
	if _, err := core.NewLogons(m, evidence.Linux).Logons(context.Background(), 1, 2); unavailable(t, err).State != evidence.StateFailed {
		t.Errorf("got %v", err)
	}
	m.fail = func(string) error { return &core.StatusError{Code: 1, Message: "no such table: last"} }
	if _, err := core.NewLogons(m, evidence.Linux).Logons(context.Background(), 1, 2); unavailable(t, err).State != evidence.StateOff {
		t.Errorf("got %v", err)
	}
}

func FuzzLogCursor(f *testing.F) {
	m := newMachine(f, evidence.Windows, "")
	m.exec("UPDATE osquery_events SET active = 0")
	src := m.source("windows_eventlog_system")
	b, err := src.Read(context.Background(), "", 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Cursor)
	f.Add("")
	f.Add(`{"v":1,"next":1772442020,"todo":[{"from":1772442000,"to":1772442020,"after":{"time":1772442003,"eid":0,"text":"2026-03-02T09:00:03.1234567Z","keys":"AAAAAAAAAAE="}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		m.t = t
		m.hands.pass(31)
		b, err := src.Read(context.Background(), text, 100)
		if err != nil {
			t.Fatal(err)
		}
		m.hands.pass(31)
		next, err := src.Read(context.Background(), b.Cursor, 100)
		if err != nil || slices.ContainsFunc(next.Gaps, func(g evidence.Gap) bool { return strings.Contains(g.Reason, "could not be read") }) {
			t.Fatalf("its own cursor %q: %v %v", b.Cursor, err, next.Gaps)
		}
	})
}
