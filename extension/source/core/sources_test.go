package core_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/extension/source/winevent"
	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

// able is an osquery that has everything and has it on.
func able(platform evidence.Platform) *core.Capabilities {
	caps := &core.Capabilities{Tables: map[string]bool{}, Publishers: map[string]core.EventPart{}, Subscribers: map[string]core.EventPart{},
		Flags: map[string]string{}, Logs: map[core.Log]bool{}}
	for _, t := range []string{"process_open_sockets", "last", "logged_in_users", "launchd", "services", "patches", "windows_eventlog"} {
		caps.Tables[t] = true
	}
	for subscriber, publisher := range publishers[platform] {
		caps.Tables[subscriber] = true
		caps.Subscribers[subscriber] = core.EventPart{Publisher: publisher, Active: true}
		caps.Publishers[publisher] = core.EventPart{Publisher: publisher, Active: true, Events: 5}
	}
	for name, value := range flagsOn {
		caps.Flags[name] = value
	}
	for _, log := range []core.Log{{Channel: winevent.Security}, {Channel: winevent.System}, {Channel: winevent.Sysmon},
		{Channel: winevent.Security, ID: winevent.ProcessCreated}, {Channel: winevent.Security, ID: winevent.Connection},
		{Channel: winevent.Sysmon, ID: winevent.SysmonConnection}, {Channel: winevent.PowerShell, ID: winevent.ScriptBlock},
		{Channel: winevent.Application}, {Channel: winevent.Setup}, {Channel: winevent.Terminal}} {
		caps.Logs[log] = true
	}
	return caps
}

func reads(caps *core.Capabilities, platform evidence.Platform, of ...string) (out []string) {
	for _, c := range core.Plan(caps, platform) {
		if c.Off == nil && (len(of) == 0 || slices.Contains(of, c.Source)) {
			out = append(out, c.Source)
		}
	}
	return out
}

// The platform table of the design, both columns: the sources of a kind, best
// first, are read one for another as the better ones go.
func TestPlatformTable(t *testing.T) {
	subscriber := func(name string) func(*core.Capabilities) {
		return func(c *core.Capabilities) {
			s := c.Subscribers[name]
			s.Active = false
			c.Subscribers[name] = s
		}
	}
	log := func(channel string, id int64) func(*core.Capabilities) {
		return func(c *core.Capabilities) { delete(c.Logs, core.Log{Channel: channel, ID: id}) }
	}
	none := func(*core.Capabilities) {}
	type step struct {
		less func(*core.Capabilities)
		want []string
	}
	for _, tt := range []struct {
		platform evidence.Platform
		kind     string
		of       []string
		steps    []step
	}{
		{evidence.Linux, "processes", []string{"process_events", "bpf_process_events"}, []step{
			{none, []string{"process_events"}},
			{subscriber("process_events"), []string{"bpf_process_events"}},
			{subscriber("bpf_process_events"), nil},
		}},
		{evidence.Linux, "installs and commands of syslog", []string{"syslog_events"}, []step{
			{none, []string{"syslog_events"}}, {subscriber("syslog_events"), nil}}},
		{evidence.Linux, "connections", []string{"socket_events", "bpf_socket_events", "process_open_sockets"}, []step{
			{none, []string{"socket_events"}},
			{subscriber("socket_events"), []string{"bpf_socket_events"}},
			{subscriber("bpf_socket_events"), []string{"process_open_sockets"}},
		}},
		{evidence.Linux, "logons", []string{"user_events", "last", "logged_in_users"}, []step{
			{none, []string{"user_events", "last", "logged_in_users"}},
			{subscriber("user_events"), []string{"last", "logged_in_users"}},
		}},
		{evidence.Darwin, "processes", []string{"es_process_events", "process_events"}, []step{
			{none, []string{"es_process_events"}},
			{subscriber("es_process_events"), []string{"process_events"}},
			{subscriber("process_events"), nil},
		}},
		{evidence.Darwin, "installs", []string{"launchd"}, []step{{none, []string{"launchd"}}}},
		{evidence.Darwin, "connections", []string{"socket_events", "process_open_sockets"}, []step{
			{none, []string{"socket_events"}},
			{subscriber("socket_events"), []string{"process_open_sockets"}},
		}},
		{evidence.Windows, "processes", []string{"process_etw_events", "windows_eventlog_sysmon", "windows_eventlog_4688"}, []step{
			{none, []string{"process_etw_events", "windows_eventlog_sysmon"}},
			{subscriber("process_etw_events"), []string{"windows_eventlog_sysmon"}},
			{log(winevent.Sysmon, 0), nil}, // windows_events reads 4688
			{subscriber("windows_events"), []string{"windows_eventlog_4688"}},
			{log(winevent.Security, winevent.ProcessCreated), nil},
		}},
		{evidence.Windows, "script blocks", []string{"powershell_events", "windows_eventlog_powershell"}, []step{
			{none, []string{"powershell_events"}},
			{subscriber("powershell_events"), []string{"windows_eventlog_powershell"}},
			{log(winevent.PowerShell, winevent.ScriptBlock), nil},
		}},
		{evidence.Windows, "installs", []string{"windows_events", "windows_eventlog_system", "windows_eventlog_security", "services"}, []step{
			{none, []string{"windows_events", "services"}},
			{subscriber("windows_events"), []string{"windows_eventlog_system", "windows_eventlog_security", "services"}},
			{log(winevent.Security, 0), []string{"windows_eventlog_system", "services"}},
			{log(winevent.System, 0), []string{"services"}},
		}},
		{evidence.Windows, "packages, patches, sessions", []string{"windows_events", "windows_eventlog_application", "windows_eventlog_setup", "windows_eventlog_terminal"}, []step{
			{none, []string{"windows_events", "windows_eventlog_terminal"}},
			{subscriber("windows_events"), []string{"windows_eventlog_application", "windows_eventlog_setup", "windows_eventlog_terminal"}},
			{log(winevent.Setup, 0), []string{"windows_eventlog_application", "windows_eventlog_terminal"}},
		}},
		{evidence.Windows, "connections", []string{"windows_eventlog_sysmon", "windows_eventlog_5156", "process_open_sockets"}, []step{
			{none, []string{"windows_eventlog_sysmon"}},
			{log(winevent.Sysmon, winevent.SysmonConnection), []string{"windows_eventlog_sysmon", "windows_eventlog_5156"}},
			{log(winevent.Security, winevent.Connection), []string{"windows_eventlog_sysmon", "process_open_sockets"}},
		}},
	} {
		t.Run(string(tt.platform)+"/"+tt.kind, func(t *testing.T) {
			caps := able(tt.platform)
			for i, s := range tt.steps {
				s.less(caps)
				if diff := cmp.Diff(s.want, reads(caps, tt.platform, tt.of...)); diff != "" {
					t.Errorf("step %d: %s", i, diff)
				}
			}
		})
	}
	if got := core.Plan(able(""), ""); len(got) != 0 {
		t.Errorf("an unknown platform has sources: %v", got)
	}
}

// Which channels windows_events is fed from is a flag.
func TestWindowsEventChannels(t *testing.T) {
	logs := []string{"windows_eventlog_sysmon", "windows_eventlog_4688", "windows_eventlog_powershell", "windows_eventlog_system", "windows_eventlog_security"}
	for _, tt := range []struct {
		channels string
		want     []string
	}{
		{"System,Application,Setup,Security", []string{"windows_eventlog_sysmon"}},
		{`"system", 'microsoft-windows-sysmon/operational'`, []string{"windows_eventlog_security"}},
		{"Application", []string{"windows_eventlog_sysmon", "windows_eventlog_system", "windows_eventlog_security"}},
		{"System,Security,Microsoft-Windows-Sysmon/Operational,Microsoft-Windows-PowerShell/Operational", nil},
	} {
		caps := able(evidence.Windows)
		caps.Flags["windows_event_channels"] = tt.channels
		if diff := cmp.Diff(tt.want, reads(caps, evidence.Windows, logs...)); diff != "" {
			t.Errorf("%s: %s", tt.channels, diff)
		}
	}
}

// What health says in each of the ways a host can be.
func TestHealth(t *testing.T) {
	eventOf := map[evidence.Platform][]string{}
	for platform, subscribers := range publishers {
		for s := range subscribers {
			eventOf[platform] = append(eventOf[platform], s)
		}
	}
	flagsOff := map[string]string{
		"disable_audit": "true", "audit_allow_process_events": "false", "audit_allow_sockets": "false", "audit_allow_user_events": "false",
		"enable_bpf_events": "false", "enable_syslog": "false", "disable_endpointsecurity": "true", "enable_process_etw_events": "false",
		"enable_windows_events_publisher": "false", "enable_windows_events_subscriber": "false", "enable_powershell_events_subscriber": "false",
	}
	inactive := func(m *machine) { m.exec("UPDATE osquery_events SET active = 0") }
	for _, tt := range []struct {
		name   string
		break_ func(*machine)
		// of says which sources are concerned, all when it is nil.
		of     func(platform evidence.Platform, source string) bool
		state  string
		detail string
		remedy map[string][]string // of one source: what its remedy has to name
	}{
		{"nothing on", func(m *machine) {
			inactive(m)
			for name, value := range flagsOff {
				m.flag(name, value)
			}
		}, func(p evidence.Platform, s string) bool { return slices.Contains(eventOf[p], s) }, evidence.StateOff, " is off: ", map[string][]string{
			"linux/process_events":       {"--disable_audit=false", "--audit_allow_process_events=true", "--disable_events=false"},
			"linux/socket_events":        {"--audit_allow_sockets=true", "--disable_audit=false"},
			"linux/user_events":          {"--audit_allow_user_events=true"},
			"linux/bpf_process_events":   {"--enable_bpf_events=true"},
			"linux/syslog_events":        {"--enable_syslog=true", "rsyslog"},
			"darwin/es_process_events":   {"--disable_endpointsecurity=false"},
			"darwin/process_events":      {"--disable_audit=false"},
			"windows/process_etw_events": {"--enable_process_etw_events=true"},
			"windows/windows_events":     {"--enable_windows_events_publisher=true", "--enable_windows_events_subscriber=true"},
			"windows/powershell_events":  {"--enable_powershell_events_subscriber=true", "Script Block Logging"},
		}},
		{"events off", func(m *machine) { m.flag("disable_events", "true"); inactive(m) },
			func(p evidence.Platform, s string) bool { return slices.Contains(eventOf[p], s) }, evidence.StateOff, "disable_events=true",
			map[string][]string{"linux/process_events": {"--disable_events=false"}, "darwin/es_process_events": {"--disable_events=false"},
				"windows/windows_events": {"--disable_events=false"}}},
		{"no permission", inactive,
			func(p evidence.Platform, s string) bool { return slices.Contains(eventOf[p], s) }, evidence.StateFailed, "publisher is not active",
			map[string][]string{"linux/process_events": {"root", "CAP_AUDIT_CONTROL"}, "linux/bpf_process_events": {"root"}, "linux/syslog_events": {"pipe"},
				"darwin/es_process_events": {"root", "Full Disk Access"}, "darwin/process_events": {"/dev/auditpipe"}, "windows/process_etw_events": {"SYSTEM"},
				"windows/windows_events": {"SYSTEM"}}},
		{"logs not readable", func(m *machine) { m.events = nil; inactive(m) },
			func(p evidence.Platform, s string) bool { return strings.HasPrefix(s, "windows_eventlog_") }, evidence.StateOff, "the log ",
			map[string][]string{"windows/windows_eventlog_4688": {"auditpol", "Process Creation", "Include command line", "SYSTEM"},
				"windows/windows_eventlog_sysmon": {"Sysmon", "SYSTEM"}, "windows/windows_eventlog_powershell": {"Script Block Logging"},
				"windows/windows_eventlog_system": {"SYSTEM"}, "windows/windows_eventlog_security": {"auditpol", "Security System Extension"}}},
		{"audit held by another", func(m *machine) {
			m.exec("UPDATE osquery_events SET events = 0")
			m.exec("INSERT INTO processes (pid, name) VALUES (612, 'auditd')")
		}, func(p evidence.Platform, s string) bool {
			return p == evidence.Linux && slices.Contains([]string{"process_events", "socket_events", "user_events"}, s)
		}, evidence.StateFailed, "auditd (pid 612)", map[string][]string{"linux/process_events": {"systemctl disable --now auditd", "--audit_persist=true"}}},
		{"core gone", func(m *machine) {
			m.fail = func(string) error { return fmt.Errorf("osquery query: connecting: %w", core.ErrUnreachable) }
		}, nil, evidence.StateFailed, "not reachable", map[string][]string{"linux/last": {"start osqueryd"}, "windows/services": {"start osqueryd"}}},
		{"table missing", func(m *machine) { m.exec("DELETE FROM osquery_registry") }, nil, evidence.StateOff, "this osquery has no ",
			map[string][]string{"linux/bpf_process_events": {"5.23", "process_events"}, "windows/process_etw_events": {"5.8"}}},
		{"slow core", func(m *machine) {
			m.fail = func(string) error { return fmt.Errorf("osquery query: %w", context.DeadlineExceeded) }
		}, nil, evidence.StateDegraded, "deadline", map[string][]string{"darwin/launchd": {"slow scheduled queries"}}},
		{"refused", func(m *machine) {
			m.fail = func(string) error { return &core.StatusError{Op: "query", Code: 1, Message: "disk I/O error"} }
		}, nil, evidence.StateFailed, "disk I/O error", map[string][]string{"linux/last": {"version"}}},
		{"not to be trusted", func(m *machine) { m.fail = func(string) error { return core.ErrUnsafe } }, nil,
			evidence.StateFailed, "not to be trusted", map[string][]string{"linux/last": {"root"}}},
	} {
		for _, platform := range []evidence.Platform{evidence.Linux, evidence.Darwin, evidence.Windows} {
			t.Run(tt.name+"/"+string(platform), func(t *testing.T) {
				m := newMachine(t, platform, "")
				tt.break_(m)
				p := m.pipeline(core.Sources(m, platform, core.Options{Clock: m.hands.clock})...)
				p.cycle()
				rows := p.health()
				for _, s := range core.Sources(m, platform, core.Options{Clock: m.hands.clock}) {
					if tt.of != nil && !tt.of(platform, s.Name()) {
						continue
					}
					_, err := s.Read(context.Background(), "", 100)
					u := unavailable(t, err)
					if row := rows[s.Name()]; row.State != u.State || row.Detail != u.Detail || row.Remedy != u.Remedy {
						t.Errorf("%s: the row of health says %+v, its source %+v", s.Name(), row, u)
					}
					covered := strings.HasPrefix(u.Detail, "not needed: ")
					if !covered && (u.State != tt.state || !strings.Contains(u.Detail, tt.detail)) {
						t.Errorf("%s: got %s: %s", s.Name(), u.State, u.Detail)
					}
					if !covered && u.Remedy == "" {
						t.Errorf("%s: nothing to do about: %s", s.Name(), u.Detail)
					}
					for _, part := range tt.remedy[string(platform)+"/"+s.Name()] {
						if !strings.Contains(u.Remedy, part) {
							t.Errorf("%s: the remedy %q lacks %q", s.Name(), u.Remedy, part)
						}
					}
				}
			})
		}
	}
}

// A table can go after it was found, with --disable_tables.
func TestTableLostLater(t *testing.T) {
	for _, platform := range []evidence.Platform{evidence.Linux, evidence.Darwin, evidence.Windows} {
		for _, s := range core.Sources(nil, platform, core.Options{}) {
			m := prepare(t, platform, s.Name(), "")
			m.fail = func(sql string) error {
				if !strings.Contains(sql, "FROM osquery_") && !strings.Contains(sql, `FROM processes`) && !strings.Contains(sql, "LIMIT 1") || strings.Contains(sql, "LIMIT 10000") {
					return &core.StatusError{Op: "query", Code: 1, Message: "no such table: x"}
				}
				return nil
			}
			_, err := m.source(s.Name()).Read(context.Background(), "", 10_000)
			if u := unavailable(t, err); u.State != evidence.StateOff || !strings.Contains(u.Detail, "this osquery has no ") {
				t.Errorf("%s/%s: %v", platform, s.Name(), u)
			}
		}
	}
}

func TestSourcesCancelled(t *testing.T) {
	for _, platform := range []evidence.Platform{evidence.Linux, evidence.Darwin, evidence.Windows} {
		m := newMachine(t, platform, "")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for _, s := range core.Sources(m, platform, core.Options{Clock: m.hands.clock}) {
			_, err := s.Read(ctx, "", 10)
			var u *evidence.Unavailable
			if !errors.Is(err, context.Canceled) || errors.As(err, &u) {
				t.Errorf("%s/%s: %v", platform, s.Name(), err)
			}
		}
	}
}

// All sources of a platform share what is known about osquery.
func TestSourcesAskOnce(t *testing.T) {
	m := newMachine(t, evidence.Windows, "")
	sources := core.Sources(m, evidence.Windows, core.Options{Clock: m.hands.clock})
	cursors := map[string]string{}
	round := func() {
		for _, s := range sources {
			b, err := s.Read(context.Background(), cursors[s.Name()], 10_000)
			var u *evidence.Unavailable
			if err != nil && !errors.As(err, &u) {
				t.Fatal(err)
			}
			if b.Cursor != "" {
				cursors[s.Name()] = b.Cursor
			}
		}
	}
	round()
	if n := len(m.asked("FROM osquery_registry")); n != 1 {
		t.Errorf("asked %d times what there is", n)
	}
	probes := func() (n int) {
		for _, q := range m.asked("FROM windows_eventlog") {
			if strings.HasSuffix(q, "LIMIT 1") {
				n++
			}
		}
		return n
	}
	first := probes()
	if first == 0 || first > 10 {
		t.Errorf("looked %d times into event logs", first)
	}
	for range 30 {
		m.hands.pass(10)
		round()
	}
	if n := len(m.asked("FROM osquery_registry")); n > 12 {
		t.Errorf("asked %d times what there is, in five minutes", n)
	}
	if n := probes(); n != first {
		t.Errorf("looked %d times into event logs, then %d times more", first, n-first)
	}
	for range 8 {
		m.hands.pass(500)
		round()
	}
	if n := probes(); n == first {
		t.Error("never looked again")
	}
}

// The engine reads all sources side by side.
func TestSourcesConcurrently(t *testing.T) {
	for _, platform := range []evidence.Platform{evidence.Linux, evidence.Darwin, evidence.Windows} {
		m := newMachine(t, platform, "")
		var wg sync.WaitGroup
		for _, s := range core.Sources(m, platform, core.Options{Clock: m.hands.clock}) {
			for range 2 {
				wg.Go(func() {
					_, err := s.Read(context.Background(), "", 100)
					var u *evidence.Unavailable
					if err != nil && !errors.As(err, &u) {
						t.Errorf("%s: %v", s.Name(), err)
					}
				})
			}
		}
		wg.Wait()
		if n := len(m.asked("FROM osquery_registry")); n != 1 {
			t.Errorf("%s: asked %d times what there is", platform, n)
		}
	}
}

// While osquery starts its publishers, a source that has none yet looks again
// within seconds.
func TestSourceComesUp(t *testing.T) {
	m := newMachine(t, evidence.Darwin, "")
	m.exec("UPDATE osquery_events SET active = 0")
	src := m.source("es_process_events")
	for range 3 {
		if _, err := src.Read(context.Background(), "", 10); err == nil {
			t.Fatal("read without a publisher")
		}
	}
	m.exec("UPDATE osquery_events SET active = 1")
	m.hands.pass(3)
	b, err := src.Read(context.Background(), "", 10)
	if err != nil || len(b.Processes) == 0 {
		t.Errorf("got %d, %v", len(b.Processes), err)
	}
}

// An audit daemon that comes up later takes the events away without a word.
func TestAuditLostLater(t *testing.T) {
	m := newMachine(t, evidence.Linux, "")
	f := m.follow("process_events")
	f.read(100)
	m.exec("INSERT INTO processes (pid, name) VALUES (700, 'auditd')")
	for range 4 {
		m.hands.pass(65)
		m.exec("UPDATE osquery_events SET events = events + 1 WHERE type = 'publisher'")
		f.read(100)
	}
	for range 4 {
		m.hands.pass(65)
		f.read(100)
	}
	m.hands.pass(65)
	m.hands.pass(65)
	_, err := f.src.Read(context.Background(), f.cursor, 100)
	if u := unavailable(t, err); u.State != evidence.StateFailed || !strings.Contains(u.Detail, "auditd (pid 700)") {
		t.Errorf("got %v", u)
	}
}

// behind is a machine that may be another one after each new connection.
type behind struct {
	*machine
	dialled int64
	// swap, when set, happens within the next query of events.
	swap func()
}

func (b *behind) Connections() int64 { return b.dialled }

func (b *behind) Query(ctx context.Context, sql string, row func(*core.Row) error) error {
	if b.swap != nil && strings.Contains(sql, "FROM process_events") {
		swap := b.swap
		b.swap = nil
		b.dialled++
		swap()
	}
	return b.machine.Query(ctx, sql, row)
}

// The time osquery did not run is a gap, once, whoever was started with it; so is what
// its predecessor had not stored yet, and what it missed at first.
func TestOsqueryRestartIsAGap(t *testing.T) {
	const before, after = 15, 10
	for _, tt := range []struct {
		name string
		away int64 // seconds, from the last read on
		// restart is called when osquery has been started again; it may make new sources.
		restart func(b *behind, f *follow)
	}{
		{"with us", 280, func(_ *behind, f *follow) { f.again() }},
		{"at once, with us", 1, func(_ *behind, f *follow) { f.again() }},
		{"beside us", 280, func(b *behind, _ *follow) { b.dialled++ }},
		{"beside us, and nobody noticed", 70, func(*behind, *follow) {}},
		{"at once, beside us", 1, func(b *behind, _ *follow) { b.dialled++ }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, evidence.Linux, "")
			b := &behind{machine: m, dialled: 1}
			f := &follow{t: t, open: func() *core.Events { return core.NewProcessEvents(b, m.hands.clock) }}
			f.again()
			if got := f.read(); len(got) != 0 {
				t.Fatalf("at first: %v", got)
			}
			through := m.hands.wall
			m.hands.pass(tt.away)
			started := m.hands.wall
			m.exec("UPDATE osquery_info SET start_time = ?", started)
			m.hands.pass(3)
			tt.restart(b, f)
			if got := f.read(); len(got) != 1 || got[0].From != through-before || got[0].To != started+after {
				t.Errorf("got %v, want %d to %d", got, through-before, started+after)
			}
			m.hands.pass(70)
			if got := f.read(); len(got) != 0 {
				t.Errorf("later: %v", got)
			}
			f.again()
			if got := f.read(); len(got) != 0 {
				t.Errorf("after a start of ours: %v", got)
			}
		})
	}
	t.Run("within a read", func(t *testing.T) {
		m := newMachine(t, evidence.Linux, "")
		b := &behind{machine: m, dialled: 1}
		f := &follow{t: t, open: func() *core.Events { return core.NewProcessEvents(b, m.hands.clock) }}
		f.again()
		f.read()
		through := m.hands.wall
		m.hands.pass(10)
		b.swap = func() { m.exec("UPDATE osquery_info SET start_time = ?", m.hands.wall-4) }
		if got := f.read(); len(got) != 1 || got[0].From != through-before || got[0].To != m.hands.wall-4+after {
			t.Errorf("got %v", got)
		}
	})
	t.Run("unknown before", func(t *testing.T) {
		m := newMachine(t, evidence.Linux, "")
		f := &follow{t: t, open: func() *core.Events { return core.NewProcessEvents(m, m.hands.clock) }}
		f.again()
		f.read()
		f.cursor = regexp.MustCompile(`,"started":\d+`).ReplaceAllString(f.cursor, "")
		through := m.hands.wall
		m.hands.pass(100)
		m.exec("UPDATE osquery_info SET start_time = ?", m.hands.wall-5)
		f.again()
		if got := f.read(); len(got) != 1 || got[0].From != through-before {
			t.Errorf("got %v", got)
		}
	})
}

// follow reads a source and remembers its cursor.
type follow struct {
	t      *testing.T
	open   func() *core.Events
	src    *core.Events
	cursor string
}

func (f *follow) again() { f.src = f.open() }

func (f *follow) read() []evidence.Gap {
	f.t.Helper()
	b, err := f.src.Read(context.Background(), f.cursor, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	f.cursor = b.Cursor
	return b.Gaps
}

// The sources speak to osquery over its socket as NewProcessEvents does.
func TestSourcesOverTheSocket(t *testing.T) {
	fake := fakecore.Start(t)
	client := newClient(t, fake, core.ClientOptions{})
	h := &hands{wall: epoch}
	fake.Exec(t, `CREATE TABLE last (username TEXT, tty TEXT, pid INTEGER, type INTEGER, type_name TEXT, time INTEGER, host TEXT)`)
	fake.Exec(t, `INSERT INTO osquery_registry VALUES ('table', 'last', 0, 0, 1)`)
	fake.Exec(t, `INSERT INTO last VALUES ('alex', 'pts/0', 5, 7, 'user-process', ?, '10.0.0.9')`, epoch-60)
	fake.Exec(t, `INSERT INTO last VALUES ('reboot', '~', 0, 2, 'boot-time', ?, '6.8.0-45-generic')`, epoch-90)
	fake.AddExecs(t, fakecore.ExecEvent{Time: epoch - 1, EID: 1, PID: 41, CmdLine: "systemctl"})
	got := map[string]evidence.Batch{}
	for _, s := range core.Sources(client, evidence.Linux, core.Options{Clock: h.clock}) {
		b, err := s.Read(context.Background(), "", 100)
		var u *evidence.Unavailable
		if err != nil && !errors.As(err, &u) {
			t.Errorf("%s: %v", s.Name(), err)
		}
		if err == nil {
			got[s.Name()] = b
		}
	}
	if len(got) != 2 || len(got["process_events"].Processes) != 1 || len(got["last"].Logons) != 1 {
		t.Errorf("got %+v", got)
	}
	if c := got["last"].Changes; len(c) != 1 || c[0].Kind != evidence.ChangeRestart || c[0].Time != epoch-90 {
		t.Errorf("the host's start: %+v", c)
	}
}

// Whether Sysmon writes its event 3 decides who tells of connections.
func TestWhoTellsOfConnections(t *testing.T) {
	for _, tt := range []struct {
		drop []string
		want string
	}{
		{nil, "windows_eventlog_sysmon"},
		{[]string{"3"}, "windows_eventlog_5156"},
		{[]string{"3", "5156"}, "process_open_sockets"},
	} {
		m := newMachine(t, evidence.Windows, "")
		m.dropEvents(tt.drop...)
		for _, name := range []string{"windows_eventlog_sysmon", "windows_eventlog_5156", "process_open_sockets"} {
			_, err := m.source(name).Read(context.Background(), "", 100)
			if want := name == tt.want || name == "windows_eventlog_sysmon"; (err == nil) != want {
				t.Errorf("without %v: %s: %v", tt.drop, name, err)
			}
		}
	}
}

// A query that takes long is not asked again soon.
func TestSlowTablesGetRest(t *testing.T) {
	m := newMachine(t, evidence.Windows, "")
	m.exec("UPDATE osquery_events SET active = 0")
	m.dropEvents("1", "3", "12", "13")
	m.cost = func(sql string) time.Duration {
		if strings.Contains(sql, "EventID=4688") && !strings.HasSuffix(sql, "LIMIT 1") {
			return 2 * time.Second
		}
		return 0
	}
	f := m.follow("windows_eventlog_4688")
	f.read(10_000)
	reads := func() (n int) {
		for _, q := range m.asked("EventID=4688") {
			if !strings.HasSuffix(q, "LIMIT 1") {
				n++
			}
		}
		return n
	}
	before := reads()
	for range 60 { // ten minutes
		m.hands.pass(10)
		f.read(10_000)
	}
	if n := reads() - before; n < 4 || n > 7 {
		t.Errorf("%d reads of 2 s in ten minutes", n)
	}
}
