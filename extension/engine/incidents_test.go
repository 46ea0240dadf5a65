package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// script is a source that hands out what a test put in.
type script struct {
	name string
	next evidence.Batch
	n    int
}

func (q *script) Name() string { return q.name }
func (q *script) Read(context.Context, string, int) (evidence.Batch, error) {
	b := q.next
	q.next = evidence.Batch{}
	if q.n++; len(b.Processes)+len(b.Installs)+len(b.Logons)+len(b.Connections) > 0 {
		b.Cursor = strings.Repeat("x", q.n)
	}
	return b, nil
}

type rig struct {
	t     *testing.T
	store *store.Store
	clock time.Time
	a, b  *script
	e     *engine.Engine
}

func newRig(t *testing.T, st *store.Store, at time.Time) *rig {
	t.Helper()
	rules, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, store: st, clock: at, a: &script{name: "a"}, b: &script{name: "b"}}
	r.e, err = engine.New(context.Background(), engine.Options{Judge: &engine.Judge{Rules: rules, Weights: score.DefaultWeights()}, Store: st,
		Sources: []engine.Source{r.a, r.b}, HostID: "machine", Host: "h", Now: func() time.Time { return r.clock }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) collect() {
	r.t.Helper()
	if err := r.e.Collect(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) incidents() (out []*incident.Incident) {
	r.t.Helper()
	if err := r.store.Incidents(context.Background(), store.IncidentFilter{}, func(x *incident.Incident) error { out = append(out, x); return nil }); err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) installs() (out []*store.Install) {
	r.t.Helper()
	if err := r.store.Installs(context.Background(), store.Filter{}, func(x *store.Install) error { out = append(out, x); return nil }); err != nil {
		r.t.Fatal(err)
	}
	return out
}

func asked(at time.Time, pid int64) evidence.Process {
	return evidence.Process{Time: at.Unix(), Platform: evidence.Windows, PID: pid, ParentPID: 50, Path: `C:\Windows\System32\tasklist.exe`, CmdLine: `tasklist  /svc`,
		Username: `CORP\mallory`, LogonID: "0x771", Source: "a", EID: "1"}
}

func planted(at time.Time, source, eid string) evidence.Install {
	return evidence.Install{Time: at.Unix(), TimeBasis: evidence.BasisEvent, Platform: evidence.Windows, Action: evidence.Created, Name: "evil", ImagePath: `C:\Users\Public\evil.exe`,
		ServiceType: "0x10", StartType: "2", Account: "LocalSystem", Source: source, EID: eid}
}

// TestAnIncidentGoesOnAfterARestart lists services, restarts, and installs: one
// incident with one id, told by both sources of the install.
func TestAnIncidentGoesOnAfterARestart(t *testing.T) {
	st := temporary(t)
	at := time.Unix(1_800_000_000, 0)
	r := newRig(t, st, at.Add(10*time.Second))
	r.a.next.Processes = []evidence.Process{asked(at, 100)}
	r.collect()
	before := r.incidents()
	if len(before) != 1 || before[0].Decision != incident.Review || before[0].Status != incident.Open {
		t.Fatalf("after the listing: %+v", before)
	}
	// The same evidence again changes nothing.
	r.a.next.Processes = []evidence.Process{asked(at, 100)}
	r.collect()
	if again := r.incidents(); len(again) != 1 || again[0].Bursts[0].Events != 1 {
		t.Errorf("the same evidence again: %+v", again)
	}

	r = newRig(t, st, at.Add(2*time.Minute))
	r.a.next.Installs = []evidence.Install{planted(at.Add(39*time.Second), "a", "7")}
	r.b.next.Installs = []evidence.Install{planted(at.Add(40*time.Second), "b", "9")}
	r.collect()
	after := r.incidents()
	if len(after) != 1 || after[0].ID != before[0].ID || after[0].Decision != incident.Escalate || after[0].Updated <= before[0].Updated {
		t.Fatalf("after the install: %+v", after)
	}
	rows := r.installs()
	if len(rows) != 1 || rows[0].Install.Source != "a,b" || rows[0].IncidentID != before[0].ID || rows[0].Severity != "high" {
		t.Errorf("the install: %+v", *rows[0])
	}
	if in := after[0].Installs; len(in) != 1 || in[0].Relation != incident.ByHost || !strings.Contains(strings.Join(after[0].DecisionReasons, ";"), "39 s after services were listed") {
		t.Errorf("why: %q, %+v", after[0].DecisionReasons, in)
	}
	// News of another cycle from the second source only is no second row.
	r.b.next.Installs = []evidence.Install{planted(at.Add(41*time.Second), "c", "1")}
	r.collect()
	if rows := r.installs(); len(rows) != 1 {
		t.Errorf("%d rows of one install", len(rows))
	}
	// The same source's next one is.
	r.a.next.Installs = []evidence.Install{planted(at.Add(60*time.Second), "a,b", "8")}
	r.collect()
	if rows := r.installs(); len(rows) != 2 {
		t.Errorf("%d rows of two installs by one source", len(rows))
	}
	// Watched, then closed.
	for _, c := range []struct {
		later time.Duration
		want  string
	}{{2 * time.Hour, incident.Watching}, {26 * time.Hour, incident.Closed}} {
		r.clock = at.Add(c.later)
		r.a.next.Logons = []evidence.Logon{{Time: r.clock.Unix(), Username: "nobody", Source: "a", EID: c.want}}
		r.collect()
		if got := r.incidents(); len(got) != 1 || got[0].Status != c.want {
			t.Errorf("%v later: %s, want %s", c.later, got[0].Status, c.want)
		}
	}
}

// TestUnderAYoungService runs a command under a service that was installed a minute
// before: nothing attributes that, and it is the service's incident.
func TestUnderAYoungService(t *testing.T) {
	st := temporary(t)
	at := time.Unix(1_800_000_000, 0)
	r := newRig(t, st, at.Add(2*time.Minute))
	r.a.next.Installs = []evidence.Install{planted(at, "a", "7")}
	p := asked(at.Add(time.Minute), 100)
	p.Username, p.LogonID, p.ParentPath, p.ParentCmdLine = `NT AUTHORITY\SYSTEM`, "0x3e7", `C:\Users\Public\evil.exe`, `C:\Users\Public\evil.exe`
	r.a.next.Processes = []evidence.Process{p}
	r.collect()
	got := r.incidents()
	if len(got) != 1 || got[0].Decision != incident.Escalate || len(got[0].Bursts) != 1 || len(got[0].Installs) != 1 {
		t.Fatalf("%+v", got)
	}
	if why := strings.Join(got[0].DecisionReasons, "; "); !strings.Contains(why, "the young service evil") {
		t.Errorf("why: %s", why)
	}
}

// TestApply swaps the judge and switches collecting off and on.
func TestApply(t *testing.T) {
	st := temporary(t)
	at := time.Unix(1_800_000_000, 0)
	r := newRig(t, st, at.Add(time.Minute))
	rules, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	w := score.DefaultWeights()
	r.e.Apply(&engine.Judge{Rules: rules, Weights: w}, incident.Default(), false, nil)
	r.a.next.Processes = []evidence.Process{asked(at, 100)}
	r.collect()
	if n := len(r.incidents()); n != 0 {
		t.Errorf("%d incidents while it is off", n)
	}
	state := func() string {
		all, err := st.Health(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range all {
			if h.Component == "collector" {
				return h.State
			}
		}
		return ""
	}
	if got := state(); got != evidence.StateOff {
		t.Errorf("health says %q", got)
	}
	cfg := incident.Default()
	cfg.EscalateCommand = 5
	r.e.Apply(&engine.Judge{Rules: rules, Weights: w}, cfg, true, nil)
	r.collect()
	if got := r.incidents(); len(got) != 1 || got[0].Decision != incident.Escalate {
		t.Errorf("with another threshold: %+v", got)
	}
	if got := state(); got != evidence.StateOK {
		t.Errorf("health says %q", got)
	}
}

// TestOneRowOfSudo sees one command of sudo by the audit log and by sudo's own log, in
// one cycle or two: one row with both sources and the user behind sudo.
func TestOneRowOfSudo(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	sudo := evidence.Process{Time: at.Unix(), Platform: evidence.Linux, PID: 700, ParentPID: 600, Path: "/usr/bin/sudo", CmdLine: "sudo systemctl list-units", UID: "0", Username: "root",
		LoginUID: "1000", LoginUser: "alice", Source: "process_events", EID: "1", ArgsJoined: true}
	child := evidence.Process{Time: at.Unix(), Platform: evidence.Linux, PID: 701, ParentPID: 700, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units", UID: "0", Username: "root",
		LoginUID: "1000", LoginUser: "alice", CWD: "/root", Source: "process_events", EID: "2", ArgsJoined: true}
	log := evidence.Process{Time: at.Unix() + 1, Platform: evidence.Linux, ParentPath: "sudo", Path: "/usr/bin/systemctl", CmdLine: "/usr/bin/systemctl list-units", Username: "root", LoginUser: "alice",
		TTY: "pts/0", Source: "syslog", EID: "9", ArgsJoined: true}
	other := log
	other.EID, other.LoginUser, other.Time = "10", "bob", log.Time+1
	for name, cycles := range map[string][][]evidence.Process{
		"together":        {{sudo, child, log, other}},
		"audit first":     {{sudo, child}, {log, other}},
		"the log first":   {{log, other}, {sudo, child}},
		"one by one":      {{sudo}, {child}, {log}, {other}},
		"and all again":   {{sudo, child, log, other}, {other, log, child, sudo}},
		"with its number": {{sudo, child}, {func() evidence.Process { l := log; l.ParentPID = 700; return l }(), other}},
	} {
		t.Run(name, func(t *testing.T) {
			st := temporary(t)
			r := newRig(t, st, at.Add(time.Minute))
			for _, ps := range cycles {
				r.a.next.Processes = ps
				r.collect()
			}
			users := map[string]string{}
			if _, err := st.Events(context.Background(), store.Filter{}, func(e *store.Event) error {
				if users[e.Process.LoginUser] != "" {
					t.Errorf("a second row of %s: %+v", e.Process.LoginUser, e.Process)
				}
				users[e.Process.LoginUser] = e.Process.Source
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if len(users) != 2 || len(strings.Split(users["alice"], ",")) != 2 || users["bob"] != "syslog" {
				t.Errorf("rows by user: %v", users)
			}
		})
	}
}

// temporary is a store of the test's own.
func temporary(t testing.TB) *store.Store {
	t.Helper()
	st, err := store.OpenTemporary(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}
