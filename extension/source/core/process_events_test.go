package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

// hands are a clock for tests: wall time can be set, and time can pass.
type hands struct {
	wall int64
	mono time.Duration
}

func (h *hands) clock() (int64, time.Duration) { return h.wall, h.mono }

func (h *hands) pass(seconds int64) {
	h.wall += seconds
	h.mono += time.Duration(seconds) * time.Second
}

const epoch = int64(1_700_000_000)

// reader drives a source as the engine does: the cursor goes with the rows.
type reader struct {
	t      testing.TB
	fake   *fakecore.Core
	client *core.Client
	src    *core.Events
	hands  *hands
	cursor string
	eid    int64
	seen   map[string]int
	gaps   []evidence.Gap
}

func newReader(t testing.TB) *reader {
	fake := fakecore.Start(t)
	r := &reader{t: t, fake: fake, hands: &hands{wall: epoch}, seen: map[string]int{}}
	r.client = newClient(t, fake, core.ClientOptions{})
	r.restart()
	return r
}

func (r *reader) restart() { r.src = core.NewProcessEvents(r.client, r.hands.clock) }

// store adds n events at a time, as osquery would stamp them.
func (r *reader) store(when int64, n int) {
	events := make([]fakecore.ExecEvent, n)
	for i := range events {
		r.eid++
		events[i] = fakecore.ExecEvent{Time: when, EID: r.eid, PID: r.eid + 100, Parent: 1, Path: "/bin/x",
			CmdLine: fmt.Sprintf("x %d %d", when, r.eid), AUID: 4294967295}
	}
	r.fake.AddExecs(r.t, events...)
}

func (r *reader) read(limit int) []evidence.Process {
	r.t.Helper()
	var all []evidence.Process
	for range 1000 {
		batch, err := r.src.Read(context.Background(), r.cursor, limit)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(batch.Processes) > limit {
			r.t.Fatalf("%d rows for a limit of %d", len(batch.Processes), limit)
		}
		r.cursor = batch.Cursor
		r.gaps = append(r.gaps, batch.Gaps...)
		for _, p := range batch.Processes {
			r.seen[p.CmdLine]++
		}
		all = append(all, batch.Processes...)
		if !batch.More {
			return all
		}
	}
	r.t.Fatal("reading does not end")
	return nil
}

// complete checks that each event stored so far came exactly once, or at least once.
func (r *reader) complete(once bool) {
	r.t.Helper()
	if len(r.seen) != int(r.eid) {
		r.t.Errorf("%d of %d events were read", len(r.seen), r.eid)
	}
	for cmdline, n := range r.seen {
		if once && n != 1 {
			r.t.Fatalf("%q came %d times", cmdline, n)
		}
	}
}

func TestProcessEventsRow(t *testing.T) {
	r := newReader(t)
	r.fake.AddExecs(t,
		fakecore.ExecEvent{Time: epoch - 5, EID: 12, PID: 41, Parent: 40, Path: "/usr/bin/systemctl",
			CmdLine: "systemctl list-units", CWD: `"/home/alex"`, UID: 1000, EUID: 0, AUID: 1000},
		fakecore.ExecEvent{Time: epoch - 4, EID: 13, PID: 42, Parent: -1, Path: "/usr/bin/sc",
			CmdLine: "a0 a1 a10 a11 a2 a3 a4 a5 a6 a7 a8 a9", CWD: `2F746D702F6120622F`, UID: 1000, EUID: 1000, AUID: 4294967295},
		fakecore.ExecEvent{Time: epoch - 3, EID: 14, PID: 43, Syscall: "clone", Path: "/bin/no"},
		fakecore.ExecEvent{Time: epoch - 2, EID: 15, PID: 44, Syscall: "kill", Path: "/bin/no"},
		fakecore.ExecEvent{Time: epoch - 1, EID: 16, PID: 45, Syscall: "execveat", Path: "/bin/y",
			CmdLine: strings.Repeat("y", 7500), AUID: -1, EUID: 5},
	)
	want := []evidence.Process{
		{Time: epoch - 5, Late: 120, Platform: evidence.Linux, PID: 41, ParentPID: 40, Path: "/usr/bin/systemctl",
			CmdLine: "systemctl list-units", CWD: "/home/alex", UID: "0", LoginUID: "1000", Elevated: evidence.Yes,
			Source: "process_events", EID: "0000000012", ArgsJoined: true},
		{Time: epoch - 4, Late: 120, Platform: evidence.Linux, PID: 42, Path: "/usr/bin/sc",
			CmdLine: "a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11", CWD: "/tmp/a b/", UID: "1000", Elevated: evidence.No,
			Source: "process_events", EID: "0000000013", ArgsJoined: true},
		{Time: epoch - 1, Late: 120, Platform: evidence.Linux, PID: 45, Path: "/bin/y", CmdLine: strings.Repeat("y", 7500), CWD: "/",
			UID: "5", Elevated: evidence.No, Source: "process_events", EID: "0000000016", ArgsJoined: true, Truncated: true},
	}
	if diff := cmp.Diff(want, r.read(100)); diff != "" {
		t.Error(diff)
	}
	if again := r.read(100); len(again) != 0 {
		t.Errorf("again: %v", again)
	}
}

func TestProcessEventsFollows(t *testing.T) {
	r := newReader(t)
	r.store(epoch-3700, 1) // older than the first look back
	r.store(epoch-3000, 3)
	if got := len(r.read(10_000)); got != 3 {
		t.Errorf("first start: %d rows", got)
	}
	r.seen["x "+fmt.Sprint(epoch-3700)+" 1"]++ // not to be expected
	for i := range 30 {
		r.store(r.hands.wall, 2)
		if i%3 == 0 {
			r.read(10_000)
		}
		r.store(r.hands.wall-int64(i%14), 1) // late
		r.hands.pass(10)
		if i%7 == 0 {
			r.restart()
		}
		r.read(10_000)
	}
	r.complete(true)
	if len(r.gaps) != 0 {
		t.Errorf("gaps: %v", r.gaps)
	}
}

func TestProcessEventsLimit(t *testing.T) {
	for _, limit := range []int{1, 7, 500, 10_000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			r := newReader(t)
			r.store(epoch-100, 20)
			r.store(epoch-1, 30)
			r.store(epoch, 40)
			r.read(limit)
			r.store(epoch, 5) // later in the same second
			r.hands.pass(3)
			r.store(epoch+2, 50)
			r.read(limit)
			r.complete(true)
		})
	}
}

// One second may hold more than a whole read, and more than a cursor remembers.
func TestProcessEventsBurst(t *testing.T) {
	r := newReader(t)
	r.read(10_000)
	r.hands.pass(10)
	for s := range int64(2) {
		r.store(epoch+s, 9000)
	}
	r.store(r.hands.wall, 12_000)
	if got := len(r.read(10_000)); got != 30_000 {
		t.Errorf("%d rows", got)
	}
	if n := len(r.cursor); n > 400_000 {
		t.Errorf("a cursor of %d bytes", n)
	}
	r.hands.pass(10)
	r.store(r.hands.wall-1, 10)
	r.read(10_000)
	r.hands.pass(30)
	r.store(r.hands.wall-1, 10)
	r.read(10_000)
	r.complete(true)
	if n := len(r.cursor); n > 2000 {
		t.Errorf("a cursor of %d bytes after the burst", n)
	}
}

func TestProcessEventsCatchUpStaysNarrow(t *testing.T) {
	r := newReader(t)
	for s := epoch - 3500; s < epoch; s += 10 {
		r.store(s, 30)
	}
	r.read(2000)
	r.complete(true)
	pages := 0
	for _, sql := range r.fake.Queries() {
		if !strings.Contains(sql, "FROM process_events") {
			continue
		}
		pages++
		if strings.Contains(sql, "time >= ") && !strings.Contains(sql, fmt.Sprintf("time >= %d", epoch-15)) {
			// From the start of an hour to now is what must not happen.
			var from int64
			if _, err := fmt.Sscanf(sql[strings.Index(sql, "time >= ")+8:], "%d", &from); err != nil || from < epoch-60 {
				t.Errorf("an open range: %s", sql)
			}
		}
	}
	if pages > 60 {
		t.Errorf("%d queries for 10,500 rows", pages)
	}
}

func TestProcessEventsDatabaseReset(t *testing.T) {
	r := newReader(t)
	r.store(epoch, 50)
	r.read(10_000)
	r.fake.Exec(t, `DELETE FROM process_events`)
	r.hands.pass(2)
	r.fake.AddExecs(t,
		fakecore.ExecEvent{Time: epoch + 1, EID: 1, PID: 7, CmdLine: "one"},
		fakecore.ExecEvent{Time: epoch + 1, EID: 2, PID: 8, CmdLine: "two"})
	if got := len(r.read(10_000)); got != 2 {
		t.Errorf("%d rows after the reset", got)
	}
}

func TestProcessEventsClock(t *testing.T) {
	for _, back := range []int64{1, 5, 14, 15, 16, 60, 600, 7200, 400 * 86400} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("back %d restarted %v", back, restarted), func(t *testing.T) {
				r := newReader(t)
				for range 5 {
					r.store(r.hands.wall, 3)
					r.read(10_000)
					r.hands.pass(10)
				}
				r.store(r.hands.wall-2, 3) // stored after the last read, before the step
				r.hands.wall -= back
				r.store(r.hands.wall, 3)
				r.hands.pass(7)
				r.store(r.hands.wall, 3)
				if restarted {
					// Time that passes unseen cannot be told from a clock that was
					// set, unless it ends before where we were.
					r.restart()
				}
				r.read(10_000)
				for range 5 {
					r.hands.pass(10)
					r.store(r.hands.wall, 3)
					r.read(10_000)
				}
				if restarted && back > 15 && back <= 16 {
					return // stepped back by less than passed since
				}
				r.complete(false)
			})
		}
	}
	t.Run("forward", func(t *testing.T) {
		r := newReader(t)
		r.store(r.hands.wall, 3)
		r.read(10_000)
		r.store(r.hands.wall+5, 3)
		r.hands.pass(10)
		r.hands.wall += 400 * 86400
		r.store(r.hands.wall, 3)
		r.read(10_000)
		r.complete(true)
		if len(r.gaps) != 0 {
			t.Errorf("no time passed, but %v", r.gaps)
		}
	})
	t.Run("years ahead, then right", func(t *testing.T) {
		r := newReader(t)
		r.hands.wall += 20 * 365 * 86400
		r.store(r.hands.wall, 3)
		r.read(10_000)
		r.hands.wall = epoch
		r.restart()
		r.store(epoch, 3)
		r.read(10_000)
		r.complete(false)
	})
}

func TestProcessEventsGap(t *testing.T) {
	r := newReader(t)
	r.fake.SetFlag(t, "events_expiry", "1800")
	r.read(10_000)
	r.hands.pass(1700)
	r.restart()
	r.read(10_000)
	if len(r.gaps) != 0 {
		t.Errorf("within the expiry: %v", r.gaps)
	}
	through := r.hands.wall
	r.hands.pass(5000)
	r.restart()
	r.store(r.hands.wall-100, 4)
	r.read(10_000)
	want := evidence.Gap{From: through, To: r.hands.wall - 1800}
	if len(r.gaps) != 1 || r.gaps[0].From != want.From || r.gaps[0].To != want.To || !strings.Contains(r.gaps[0].Reason, "1800") {
		t.Errorf("got %v, want %v", r.gaps, want)
	}
	r.complete(true)
	r.hands.pass(10)
	r.read(10_000)
	if len(r.gaps) != 1 {
		t.Error("the gap was reported again")
	}
}

func TestProcessEventsBadCursor(t *testing.T) {
	for _, cursor := range []string{"x", "{}", `{"v":2}`, `{"v":1,"through":-5}`, `{"v":1,"through":99999999999999999}`,
		`{"v":1,"seen":{"5":"AAAA"}}`, `{"v":1,"seen":{"5":"!"}}`, `{"v":1,"todo":[{"from":-1,"to":5}]}`, strings.Repeat("[", 2<<20)} {
		r := newReader(t)
		r.store(epoch-10, 3)
		r.cursor = cursor
		if got := len(r.read(10_000)); got != 3 {
			t.Errorf("%.20q: %d rows", cursor, got)
		}
		if len(r.gaps) != 1 {
			t.Errorf("%.20q: not reported", cursor)
		}
	}
}

func TestProcessEventsUnavailable(t *testing.T) {
	flags := []string{"--disable_audit=false", "--audit_allow_config=true", "--audit_allow_process_events=true", "--disable_events=false"}
	for _, tt := range []struct {
		name   string
		break_ func(*testing.T, *fakecore.Core)
		state  string
		detail string
		remedy []string
	}{
		{"no table", func(t *testing.T, f *fakecore.Core) {
			f.Exec(t, `DELETE FROM osquery_registry WHERE name = 'process_events'`)
		}, evidence.StateOff, "no process_events", flags},
		{"events off", func(t *testing.T, f *fakecore.Core) { f.SetFlag(t, "disable_events", "true") },
			evidence.StateOff, "disable_events=true", flags},
		{"audit off", func(t *testing.T, f *fakecore.Core) { f.SetFlag(t, "disable_audit", "true") },
			evidence.StateOff, "disable_audit=true", flags},
		{"no process events", func(t *testing.T, f *fakecore.Core) { f.SetFlag(t, "audit_allow_process_events", "false") },
			evidence.StateOff, "audit_allow_process_events=false", flags},
		{"not allowed to configure", func(t *testing.T, f *fakecore.Core) { f.SetFlag(t, "audit_allow_config", "false") },
			evidence.StateOff, "audit_allow_config=false", flags},
		{"publisher down", func(t *testing.T, f *fakecore.Core) {
			f.Exec(t, `UPDATE osquery_events SET active = 0 WHERE type = 'publisher'`)
		}, evidence.StateFailed, "not active", append(flags, "auditd")},
		{"core gone", func(_ *testing.T, f *fakecore.Core) { f.Stop() }, evidence.StateFailed, "not reachable", []string{"osqueryd"}},
		{"table lost later", func(t *testing.T, f *fakecore.Core) { f.Exec(t, `DROP TABLE process_events`) },
			evidence.StateOff, "no process_events", flags},
		{"status", func(_ *testing.T, f *fakecore.Core) { f.Fail(fakecore.Query, 1, "disk I/O error", 0) },
			evidence.StateFailed, "disk I/O error", []string{"version"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReader(t)
			tt.break_(t, r.fake)
			_, err := r.src.Read(context.Background(), "", 100)
			var u *evidence.Unavailable
			if !errors.As(err, &u) {
				t.Fatalf("got %v", err)
			}
			if u.State != tt.state || !strings.Contains(u.Detail, tt.detail) {
				t.Errorf("got %s: %s", u.State, u.Detail)
			}
			for _, part := range tt.remedy {
				if !strings.Contains(u.Remedy, part) {
					t.Errorf("remedy %q lacks %q", u.Remedy, part)
				}
			}
		})
	}

	t.Run("audit configured by another", func(t *testing.T) {
		r := newReader(t)
		r.fake.SetFlag(t, "audit_allow_config", "false")
		r.fake.Exec(t, `UPDATE osquery_events SET events = 5`)
		r.read(100)
	})
	t.Run("slow", func(t *testing.T) {
		r := newReader(t)
		r.fake.Delay(fakecore.Query, time.Second, 0)
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_, err := r.src.Read(ctx, "", 100)
		var u *evidence.Unavailable
		if !errors.As(err, &u) || u.State != evidence.StateDegraded {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		r := newReader(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := r.src.Read(ctx, "", 100); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("turned on later", func(t *testing.T) {
		r := newReader(t)
		r.fake.SetFlag(t, "disable_audit", "true")
		for range 3 {
			if _, err := r.src.Read(context.Background(), "", 100); err == nil {
				t.Fatal("off, but no error")
			}
		}
		if n := len(r.fake.Queries()); n != 4 {
			t.Errorf("%d queries to find out the same", n)
		}
		r.fake.SetFlag(t, "disable_audit", "false")
		r.hands.pass(61)
		r.read(100)
	})
}

func TestProcessEventsFailureLosesNothing(t *testing.T) {
	r := newReader(t)
	r.read(100)
	r.store(epoch, 200)
	r.hands.pass(5)
	r.fake.CutNextAnswer(3000)
	if _, err := r.src.Read(context.Background(), r.cursor, 10_000); err == nil {
		t.Fatal("the broken answer went unnoticed")
	}
	r.read(10_000)
	r.complete(true)
}

func TestDiscover(t *testing.T) {
	fake := fakecore.Start(t)
	fake.SetFlag(t, "enroll_secret_path", "/etc/secret")
	c := newClient(t, fake, core.ClientOptions{})
	caps, err := core.Discover(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	if caps.Version != "5.23.0" || !caps.Tables["users"] || caps.Tables["nothing"] || !caps.EventsActive("process_events") ||
		caps.EventsActive("socket_events") || caps.EventsExpiry() != 3600 {
		t.Errorf("got %+v", caps)
	}
	if set, known := caps.Flag("audit_allow_config"); !set || !known {
		t.Error("a flag that is set is not")
	}
	if _, known := caps.Flag("enroll_secret_path"); known {
		t.Error("a flag that is none of our business was asked for")
	}
	for _, sql := range fake.Queries() {
		if strings.Contains(sql, "osquery_schedule") || strings.Contains(sql, "osquery_packs") {
			t.Error(sql)
		}
	}
	users, err := core.Users(context.Background(), c)
	if diff := cmp.Diff(map[string]string{"0": "root", "1000": "alex"}, users); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add(`{"v":1,"through":1700000000,"from":1699999985,"seen":{"1699999990":"AAAAAAAAAAE="}}`)
	f.Add(`{"v":1,"next":1700000000,"todo":[{"from":1,"to":5,"after":{"time":3,"eid":9}}]}`)
	q := answers{}
	f.Fuzz(func(t *testing.T, text string) {
		h := &hands{wall: epoch}
		src := core.NewProcessEvents(q, h.clock)
		batch, err := src.Read(context.Background(), text, 100)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid([]byte(batch.Cursor)) {
			t.Fatalf("cursor %q", batch.Cursor)
		}
		h.pass(10)
		next, err := src.Read(context.Background(), batch.Cursor, 100)
		if err != nil || slices.ContainsFunc(next.Gaps, func(g evidence.Gap) bool { return strings.Contains(g.Reason, "could not be read") }) {
			t.Fatalf("its own cursor %q: %v %v", batch.Cursor, err, next.Gaps)
		}
	})
}

// answers is a core that has everything on and nothing to tell.
type answers struct{}

func (answers) Query(_ context.Context, sql string, row func(*core.Row) error) error {
	var rows []*core.Row
	switch {
	case strings.Contains(sql, "osquery_registry"):
		rows = []*core.Row{core.NewRow("name", "process_events")}
	case strings.Contains(sql, "osquery_events"):
		rows = []*core.Row{
			core.NewRow("name", "a", "publisher", "a", "type", "publisher", "active", "1"),
			core.NewRow("name", "process_events", "publisher", "a", "type", "subscriber", "active", "1"),
		}
	case strings.Contains(sql, "FROM process_events"):
		rows = []*core.Row{core.NewRow("time", fmt.Sprint(epoch-1), "eid", "0000000001", "pid", "5", "cmdline", "x")}
	}
	for _, r := range rows {
		if err := row(r); err != nil {
			return err
		}
	}
	return nil
}

// counting counts the queries of a table.
type counting struct {
	core.Querier
	table string
	n     int
}

func (c *counting) Query(ctx context.Context, sql string, row func(*core.Row) error) error {
	if strings.Contains(sql, "FROM "+c.table) {
		c.n++
	}
	return c.Querier.Query(ctx, sql, row)
}

// TestKnownRowsTakeNoRoom: where more is known of the seconds that are read again than one
// read returns, what is new comes in the same query all the same.
func TestKnownRowsTakeNoRoom(t *testing.T) {
	r := newReader(t)
	q := &counting{Querier: r.client, table: "process_events"}
	r.src = core.NewProcessEvents(q, r.hands.clock)
	for i := range 5 {
		for s := range int64(10) {
			r.store(r.hands.wall-9+s, 60)
		}
		before := q.n
		if got := len(r.read(700)); got != 600 {
			t.Fatalf("read %d: %d events", i, got)
		}
		if i > 0 && q.n != before+1 {
			t.Errorf("read %d took %d queries", i, q.n-before)
		}
		r.hands.pass(10)
	}
	r.complete(true)
}
