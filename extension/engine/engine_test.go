package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a source that a test scripts.
type fake struct {
	name string
	read func(cursor string) (evidence.Batch, error)
}

func (f *fake) Name() string { return f.name }
func (f *fake) Read(_ context.Context, cursor string, _ int) (evidence.Batch, error) {
	return f.read(cursor)
}

func judge(t *testing.T) *engine.Judge {
	t.Helper()
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return &engine.Judge{Rules: set, Weights: score.DefaultWeights()}
}

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newEngine(t *testing.T, s *store.Store, now *time.Time, sources ...engine.Source) *engine.Engine {
	t.Helper()
	e, err := engine.New(context.Background(), engine.Options{Judge: judge(t), Store: s, Sources: sources, HostID: "host-1", Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func rows(t *testing.T, s *store.Store) []store.Event {
	t.Helper()
	var out []store.Event
	if _, err := s.Events(context.Background(), store.Filter{}, func(e *store.Event) error { out = append(out, *e); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func listing(pid int64, source string, at time.Time) evidence.Process {
	return evidence.Process{Platform: evidence.Linux, PID: pid, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units", Time: at.Unix(), Source: source, Username: "al"}
}

func TestTwoSightingsAreOneRow(t *testing.T) {
	s, now := open(t), time.Unix(1_800_000_000, 0)
	first := listing(7, "process_events", now)
	second := listing(7, "proc_connector", now.Add(time.Second))
	second.CmdLine, second.CWD = "'systemctl' list-units", "/root"
	once := func(p evidence.Process) func(string) (evidence.Batch, error) {
		return func(cursor string) (evidence.Batch, error) {
			if cursor != "" {
				return evidence.Batch{Cursor: cursor}, nil
			}
			return evidence.Batch{Processes: []evidence.Process{p}, Cursor: "1", Read: 1}, nil
		}
	}
	e := newEngine(t, s, &now, &fake{"process_events", once(first)}, &fake{"proc_connector", once(second)})
	for range 3 {
		if err := e.Collect(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	got := rows(t, s)
	if len(got) != 1 || got[0].Process.Source != "process_events,proc_connector" || got[0].Process.CWD != "/root" {
		t.Fatalf("rows %+v", got)
	}
	bases, err := s.Baselines(context.Background())
	if err != nil || bases[store.BaselineKey{Username: "al", Family: "systemctl"}].Observations != 1 {
		t.Errorf("baselines %+v, %v", bases, err)
	}
	// After a restart the source goes on at its cursor.
	var asked string
	e = newEngine(t, s, &now, &fake{"process_events", func(c string) (evidence.Batch, error) { asked = c; return evidence.Batch{Cursor: c}, nil }})
	if err := e.Collect(context.Background()); err != nil {
		t.Fatal(err)
	}
	if asked != "1" {
		t.Errorf("after the restart the cursor is %q", asked)
	}
}

func TestABadSourceHurtsNoOther(t *testing.T) {
	s, now := open(t), time.Unix(1_800_000_000, 0)
	e := newEngine(t, s, &now,
		&fake{"panics", func(string) (evidence.Batch, error) {
			var none []int
			return evidence.Batch{Read: int64(none[len(none)])}, nil
		}},
		&fake{"fails", func(string) (evidence.Batch, error) { return evidence.Batch{}, errors.New("broken pipe") }},
		&fake{"off", func(string) (evidence.Batch, error) {
			return evidence.Batch{}, &evidence.Unavailable{State: evidence.StateOff, Detail: "not on", Remedy: "turn it on"}
		}},
		&fake{"gap", func(string) (evidence.Batch, error) {
			return evidence.Batch{Cursor: "1", Dropped: 3, Gaps: []evidence.Gap{{From: 1, To: 2, Reason: "asleep"}}}, nil
		}},
		&fake{"good", func(string) (evidence.Batch, error) {
			return evidence.Batch{Processes: []evidence.Process{listing(1, "good", now)}, Cursor: "1", Read: 1}, nil
		}})
	if err := e.Collect(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(rows(t, s)) != 1 {
		t.Errorf("rows %v", rows(t, s))
	}
	health, err := s.Health(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, h := range health {
		got[h.Component] = h.State + ": " + h.Detail + ": " + h.Remedy
	}
	for component, want := range map[string]string{"panics": "failed: source panics panicked", "fails": "failed: broken pipe", "off": "off: not on: turn it on", "gap": "degraded: asleep", "good": "ok"} {
		if !strings.HasPrefix(got[component], want) {
			t.Errorf("health of %s is %q, want %q", component, got[component], want)
		}
	}
}

func TestWhatIsStoredIsMaskedAndPrintable(t *testing.T) {
	s, now := open(t), time.Unix(1_800_000_000, 0)
	p := listing(1, "x", now)
	p.CmdLine = "systemctl list-units --password=hunter2 '\x1b[31m\xff'"
	p.ParentCmdLine, p.CWD = "mysql --password=hunter2", "/tmp/\n\u202eevil"
	p.Ancestry = []evidence.Ancestor{{PID: 2, Path: "/bin/sh", CmdLine: "sh -c 'x --token hunter2'"}}
	e := newEngine(t, s, &now, &fake{"x", func(string) (evidence.Batch, error) {
		return evidence.Batch{Processes: []evidence.Process{p}, Cursor: "1"}, nil
	}})
	if err := e.Collect(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := rows(t, s)
	if len(got) != 1 {
		t.Fatalf("rows %v", got)
	}
	text := fmt.Sprintf("%+v", got[0])
	for _, bad := range []string{"hunter2", "\x1b", "\n", "\u202e", "\xff"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is stored: %s", bad, text)
		}
	}
}

func TestLineageComesFromEarlierEvents(t *testing.T) {
	s, now := open(t), time.Unix(1_800_000_000, 0)
	nginx := evidence.Process{Platform: evidence.Linux, PID: 10, ParentPID: 1, Path: "/usr/sbin/nginx", CmdLine: "nginx", Time: now.Unix() - 100, Source: "x"}
	shell := evidence.Process{Platform: evidence.Linux, PID: 11, ParentPID: 10, Path: "/bin/sh", CmdLine: "sh", Time: now.Unix(), Source: "x"}
	child := listing(12, "x", now)
	child.ParentPID = 11
	reused := listing(13, "x", now.Add(-200*time.Second)) // older than the process that has its parent's id now
	reused.ParentPID = 11
	e := newEngine(t, s, &now, &fake{"x", func(string) (evidence.Batch, error) {
		return evidence.Batch{Processes: []evidence.Process{child, shell, nginx, reused}, Cursor: "1"}, nil
	}})
	if err := e.Collect(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows(t, s) {
		switch r.Process.PID {
		case 12:
			if r.Process.ParentPath != "/bin/sh" || !strings.Contains(r.Ancestry, "/usr/sbin/nginx") || r.Severity != "critical" {
				t.Errorf("child: %s %s %s", r.Process.ParentPath, r.Ancestry, r.Severity)
			}
		case 13:
			if r.Process.ParentPath != "" {
				t.Errorf("a younger process became the parent: %s", r.Process.ParentPath)
			}
		}
	}
}

func TestAnotherMachineStartsAnew(t *testing.T) {
	s, now := open(t), time.Unix(1_800_000_000, 0)
	src := &fake{"x", func(c string) (evidence.Batch, error) { return evidence.Batch{Cursor: "9" + c}, nil }}
	if err := newEngine(t, s, &now, src).Collect(context.Background()); err != nil {
		t.Fatal(err)
	}
	var asked = "none"
	e, err := engine.New(context.Background(), engine.Options{Judge: judge(t), Store: s, HostID: "host-2", Now: func() time.Time { return now },
		Sources: []engine.Source{&fake{"x", func(c string) (evidence.Batch, error) { asked = c; return evidence.Batch{}, nil }}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Collect(context.Background()); err != nil {
		t.Fatal(err)
	}
	if asked != "" {
		t.Errorf("a cloned image goes on at %q", asked)
	}
}

func TestVolumeAndFirstSeenNeedHistory(t *testing.T) {
	s := open(t)
	now := time.Unix(1_800_000_000, 0)
	var next []evidence.Process
	pid := int64(100)
	e := newEngine(t, s, &now, &fake{"x", func(c string) (evidence.Batch, error) {
		b := evidence.Batch{Processes: next, Cursor: c + "."}
		next = nil
		return b, nil
	}})
	run := func(user string) store.Event {
		t.Helper()
		pid++
		p := listing(pid, "x", now)
		p.Username = user
		next = []evidence.Process{p}
		if err := e.Collect(context.Background()); err != nil {
			t.Fatal(err)
		}
		return rows(t, s)[0]
	}
	if r := run("al"); strings.Contains(r.Reasons, "first_seen") {
		t.Errorf("new on a host that was not watched yet: %s", r.Reasons)
	}
	for range 20 {
		now = now.Add(24 * time.Hour)
		run("al")
	}
	if r := run("mallory"); !strings.Contains(r.Reasons, "first_seen") {
		t.Errorf("a new user after three weeks: %s", r.Reasons)
	}
	var last store.Event
	for range 40 {
		last = run("al")
	}
	if !strings.Contains(last.Reasons, "volume_anomaly") {
		t.Errorf("40 in a day after one a day: %s", last.Reasons)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s, now := open(t), time.Now()
	e := newEngine(t, s, &now)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	e.Nudge()
	e.Nudge()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("still running")
	}
}

func TestNothingAttributesAWebShell(t *testing.T) {
	j := judge(t)
	j.Attribution = attribution.Config{Expected: []attribution.Entry{{User: "www-data", Reason: "deploys"}}}
	p := listing(1, "x", time.Now())
	p.Username = "www-data"
	if v := j.Judge(&p, nil, time.Now()); v.Attribution.Kind != attribution.Expected {
		t.Errorf("the entry does not attribute: %+v", v.Attribution)
	}
	p.ParentPath = "/usr/sbin/apache2"
	if v := j.Judge(&p, nil, time.Now()); v.Attribution.Attributed() || v.Severity != "critical" {
		t.Errorf("under a web server: %+v %s", v.Attribution, v.Severity)
	}
}
