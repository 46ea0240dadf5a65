package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

var start = time.Unix(1_800_000_000, 0)

// queue is a source that hands out what a test puts in, once.
type queue struct {
	name string
	next []evidence.Process
	n    int
}

func (q *queue) Name() string { return q.name }
func (q *queue) Read(context.Context, string, int) (evidence.Batch, error) {
	b := evidence.Batch{Processes: q.next, Read: int64(len(q.next))}
	if len(q.next) > 0 {
		q.n++
		q.next = nil
	}
	b.Cursor = fmt.Sprint(q.n)
	return b, nil
}

func collect(t *testing.T, e *engine.Engine) {
	t.Helper()
	if err := e.Collect(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func health(t *testing.T, s *store.Store) map[string]store.Health {
	t.Helper()
	list, err := s.Health(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]store.Health{}
	for _, h := range list {
		out[h.Component] = h
	}
	return out
}

// stuck is a source that minds no context until it is released.
type stuck struct {
	calls   atomic.Int32
	release chan struct{}
}

func (s *stuck) Name() string { return "stuck" }
func (s *stuck) Read(_ context.Context, cursor string, _ int) (evidence.Batch, error) {
	s.calls.Add(1)
	<-s.release
	return evidence.Batch{Processes: []evidence.Process{listing(99, "stuck", start)}, Cursor: cursor + "x", Read: 1}, nil
}

// TestAStuckSourceHoldsUpNobody: the first cycle waits for it for its time, the next
// ones not at all, it is not asked twice, and what it brings in the end is taken.
func TestAStuckSourceHoldsUpNobody(t *testing.T) {
	s, now := open(t), start
	bad := &stuck{release: make(chan struct{})}
	good := &queue{name: "good"}
	e, err := engine.New(context.Background(), engine.Options{Judge: judge(t), Store: s, Sources: []engine.Source{bad, good}, HostID: "h",
		Now: func() time.Time { return now }, ReadTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(5) {
		good.next = []evidence.Process{listing(10+i, "good", now)}
		collect(t, e)
	}
	if n := bad.calls.Load(); n != 1 {
		t.Errorf("it was asked %d times at once", n)
	}
	if h := health(t, s)["stuck"]; h.State != evidence.StateFailed || !strings.Contains(h.Detail, "does not answer within 2s") {
		t.Errorf("health %+v", h)
	}
	if got := rows(t, s); len(got) != 5 {
		t.Errorf("%d rows of the good source", len(got))
	}
	close(bad.release)
	for until := time.Now().Add(time.Minute); time.Now().Before(until); {
		collect(t, e)
		if len(rows(t, s)) == 6 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if got := rows(t, s); len(got) != 6 {
		t.Errorf("%d rows after it woke up", len(got))
	}
	if h := health(t, s)["stuck"]; h.State != evidence.StateOK {
		t.Errorf("health after it woke up %+v", h)
	}
	for range 200 { // the read that the last cycle may have begun
		if collect(t, e); bad.calls.Load() >= 2 {
			break
		}
	}
}

// TestMoreIsReadAtOnce: a source with more waiting is read again in the same cycle,
// but not for ever.
func TestMoreIsReadAtOnce(t *testing.T) {
	s, now := open(t), start
	calls := 0
	e := newEngine(t, s, &now, &fake{"x", func(c string) (evidence.Batch, error) {
		calls++
		return evidence.Batch{Processes: []evidence.Process{listing(int64(calls), "x", now)}, Cursor: c + ".", More: calls < 4, Read: 1}, nil
	}})
	collect(t, e)
	if calls != 4 || len(rows(t, s)) != 4 {
		t.Errorf("%d calls, %d rows", calls, len(rows(t, s)))
	}
	calls = -1000 // always more
	collect(t, e)
	if n := calls + 1000; n < 2 || n > 32 {
		t.Errorf("an endless source was read %d times in one cycle", n)
	}
}

// TestAFailedCommitLosesNothing breaks the store for a cycle: the cursor stays, the
// same evidence comes again and is one row, learned once.
func TestAFailedCommitLosesNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	other, err := sqlite.OpenConn(filepath.Join(dir, store.FileName), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	now := start
	var asked []string
	e := newEngine(t, s, &now, &fake{"x", func(c string) (evidence.Batch, error) {
		asked = append(asked, c)
		if c == "1" {
			return evidence.Batch{Cursor: "1"}, nil
		}
		return evidence.Batch{Processes: []evidence.Process{listing(5, "x", now)}, Cursor: "1"}, nil
	}})
	script := func(sql string) {
		t.Helper()
		if err := sqlitex.ExecuteScript(other, sql, nil); err != nil {
			t.Fatal(err)
		}
	}
	script("CREATE TRIGGER broken BEFORE INSERT ON cursors BEGIN SELECT RAISE(ABORT, 'broken on purpose'); END;")
	for range 2 {
		if err := e.Collect(context.Background()); err == nil || !strings.Contains(err.Error(), "broken on purpose") {
			t.Fatalf("collect: %v", err)
		}
	}
	if n := len(rows(t, s)); n != 0 {
		t.Errorf("%d rows of failed cycles", n)
	}
	script("DROP TRIGGER broken;")
	collect(t, e)
	collect(t, e)
	if got := fmt.Sprint(asked); got != "[   1]" {
		t.Errorf("asked at %q", asked)
	}
	bases, err := s.Baselines(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	stats, err := s.RuleStats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(rows(t, s)); n != 1 || bases[store.BaselineKey{Username: "al", Family: "systemctl"}].Observations != 1 || len(stats) != 1 {
		t.Errorf("%d rows, baselines %+v, rules %+v", n, bases, stats)
	}
	for id, st := range stats {
		if st.Matches != 1 {
			t.Errorf("rule %s matched %d times", id, st.Matches)
		}
	}
}

// TestDamageIsSurvived: the state is damaged under a running engine; it goes on in a
// new one with what it knows, and health says so.
func TestDamageIsSurvived(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now, q := start, &queue{name: "x"}
	e, err := engine.New(context.Background(), engine.Options{Judge: judge(t), Store: s, Sources: []engine.Source{q}, HostID: "h",
		Now: func() time.Time { return now }, Static: []store.Health{{Component: "store", State: "ok"}}})
	if err != nil {
		t.Fatal(err)
	}
	q.next = []evidence.Process{listing(1, "x", now)}
	collect(t, e)
	path := filepath.Join(dir, store.FileName)
	other, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	var roots []int64
	// The update makes the others read their pages again.
	for _, sql := range []string{"UPDATE meta SET value = value || ''", "PRAGMA wal_checkpoint(TRUNCATE)", "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'events'"} {
		if err := sqlitex.ExecuteTransient(other, sql, &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
			roots = append(roots, st.ColumnInt64(0))
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range roots[1:] { // the first is the checkpoint's
		if _, err := f.WriteAt([]byte(strings.Repeat("garbage!", 512)), (page-1)*4096); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range int64(4) {
		now = now.Add(10 * time.Second)
		q.next = []evidence.Process{listing(10+i, "x", now)}
		if err := e.Collect(context.Background()); err != nil {
			t.Logf("cycle %d: %v", i, err)
		}
	}
	if got := rows(t, s); len(got) == 0 || got[0].Process.PID != 13 {
		t.Fatalf("rows after the damage: %+v", got)
	}
	if h := health(t, s)["store"]; h.State != evidence.StateDegraded || !strings.Contains(h.Detail, "set aside") {
		t.Errorf("health of the store %+v", h)
	}
	bases, err := s.Baselines(context.Background())
	if n := bases[store.BaselineKey{Username: "al", Family: "systemctl"}].Observations; err != nil || n < 3 {
		t.Errorf("the new database knows %d observations, %v", n, err)
	}
	if m, since, err := s.Bound(context.Background()); m != "h" || since == "" || err != nil {
		t.Errorf("bound to %q since %q, %v", m, since, err)
	}
}

// TestEveryTextIsClean puts a secret, controls and far too much into every text a
// source can fill, and looks at every text of the row.
func TestEveryTextIsClean(t *testing.T) {
	const dirt = "\x1b[31m\n\u202e\u200b\u2028\xff\x00"
	fillAll := func(p *evidence.Process, value string) {
		v := reflect.ValueOf(p).Elem()
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() == reflect.String && v.Type().Field(i).Name != "Platform" {
				f.SetString(value)
			}
		}
	}
	for name, value := range map[string]string{"dirt": "a" + dirt + "b", "length": strings.Repeat("x", 200_000)} {
		t.Run(name, func(t *testing.T) {
			s, now := open(t), start
			p := listing(1, "x", now)
			fillAll(&p, value)
			p.CmdLine = "systemctl list-units --host 'a" + value + "' --password hunter2"
			p.ParentCmdLine = "mysql --password=hunter2 " + value
			p.Path, p.ContainerID = "/usr/bin/systemctl", ""
			for range 100 {
				p.Ancestry = append(p.Ancestry, evidence.Ancestor{PID: 5, Path: "/p" + value, CmdLine: "c --token=hunter2 " + value})
			}
			e := newEngine(t, s, &now, &fake{"x", func(string) (evidence.Batch, error) {
				return evidence.Batch{Processes: []evidence.Process{p}, Cursor: "1"}, nil
			}})
			collect(t, e)
			got := rows(t, s)
			if len(got) != 1 {
				t.Fatalf("%d rows", len(got))
			}
			texts := map[string]string{}
			for _, v := range []reflect.Value{reflect.ValueOf(got[0]), reflect.ValueOf(got[0].Process)} {
				for i := range v.NumField() {
					if v.Field(i).Kind() == reflect.String {
						texts[v.Type().Field(i).Name] = v.Field(i).String()
					}
				}
			}
			if len(texts) < 25 {
				t.Fatalf("only %d texts looked at", len(texts))
			}
			for field, text := range texts {
				for _, bad := range []string{"hunter2", "\x1b", "\n", "\u202e", "\u200b", "\u2028", "\xff", "\x00"} {
					if strings.Contains(text, bad) {
						t.Errorf("%s holds %q", field, bad)
					}
				}
				if len(text) > 700_000 || field != "Ancestry" && len(text) > 150_000 {
					t.Errorf("%s has %d bytes", field, len(text))
				}
			}
			for _, field := range []string{"Canonical", "Reasons", "RuleIDs", "Ancestry"} {
				var list []any
				if err := json.Unmarshal([]byte(texts[field]), &list); err != nil || len(list) == 0 {
					t.Errorf("%s is no JSON list: %v", field, err)
				}
			}
		})
	}
}

// TestHealthIsWrittenWhenItSaysSomething: a change at once, the same again seldom.
func TestHealthIsWrittenWhenItSaysSomething(t *testing.T) {
	s, now := open(t), start
	var err error
	e := newEngine(t, s, &now, &fake{"x", func(string) (evidence.Batch, error) { return evidence.Batch{}, err }})
	checked := func() int64 { collect(t, e); return health(t, s)["x"].Checked - start.Unix() }
	if n := checked(); n != 0 {
		t.Errorf("first written at %d", n)
	}
	for range 5 {
		now = now.Add(10 * time.Second)
		if n := checked(); n != 0 {
			t.Errorf("written again after %d s without news", n)
		}
	}
	err = errors.New("gone")
	now = now.Add(10 * time.Second)
	if n := checked(); n != 60 || health(t, s)["x"].State != evidence.StateFailed {
		t.Errorf("a failure after 60 s was written at %d", n)
	}
	err = &evidence.Unavailable{State: evidence.StateOff, Detail: "not on", Remedy: "turn it on"}
	now = now.Add(10 * time.Second)
	if n := checked(); n != 70 || health(t, s)["x"].Remedy != "turn it on" {
		t.Errorf("turned off after 70 s was written at %d", n)
	}
	err = nil
	now = now.Add(10 * time.Second)
	if n := checked(); n != 80 || health(t, s)["x"].Remedy != "" {
		t.Errorf("good again after 80 s was written at %d", n)
	}
	now = now.Add(6 * time.Minute)
	if n := checked(); n != 440 {
		t.Errorf("after 6 minutes without news it was written at %d", n)
	}
}

// TestReadsNudgeAtMostOncePerSecond: however many ask.
func TestReadsNudgeAtMostOncePerSecond(t *testing.T) {
	s := open(t)
	var cycles atomic.Int32
	e, err := engine.New(context.Background(), engine.Options{Judge: judge(t), Store: s, HostID: "h", Interval: time.Hour,
		Sources: []engine.Source{&fake{"x", func(string) (evidence.Batch, error) { cycles.Add(1); return evidence.Batch{}, nil }}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	began := time.Now()
	for time.Since(began) < 2500*time.Millisecond || cycles.Load() < 2 && time.Since(began) < time.Minute {
		e.Nudge()
		time.Sleep(time.Millisecond)
	}
	n := int(cycles.Load())
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if most := int(time.Since(began)/time.Second) + 1; n < 2 || n > most {
		t.Errorf("%d cycles, want 2 to %d", n, most)
	}
}

// TestAClonedStateForgetsForGood: a cloned state forgets what the other machine learned, also
// after the next start.
func TestAClonedStateForgetsForGood(t *testing.T) {
	s, now, q := open(t), start, &queue{name: "x"}
	e := newEngine(t, s, &now, q)
	q.next = []evidence.Process{listing(1, "x", now)}
	collect(t, e)
	clone := func() map[store.BaselineKey]int32 {
		t.Helper()
		if _, err := engine.New(context.Background(), engine.Options{Judge: judge(t), Store: s, HostID: "host-2", Now: func() time.Time { return now }}); err != nil {
			t.Fatal(err)
		}
		bases, err := s.Baselines(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		out := map[store.BaselineKey]int32{}
		for k, b := range bases {
			out[k] = b.Observations
		}
		return out
	}
	for i := range 2 {
		if got := clone(); len(got) != 0 {
			t.Errorf("start %d on another machine knows %v", i+1, got)
		}
	}
	if n := len(rows(t, s)); n != 1 {
		t.Errorf("the evidence is gone: %d rows", n)
	}
}

// TestABurstInOneCycle: forty in one read are as unusual as forty in forty.
func TestABurstInOneCycle(t *testing.T) {
	s, now, q := open(t), start, &queue{name: "x"}
	e := newEngine(t, s, &now, q)
	pid := int64(0)
	run := func(n int) {
		t.Helper()
		for range n {
			pid++
			q.next = append(q.next, listing(pid, "x", now))
		}
		collect(t, e)
	}
	for range 20 {
		run(1)
		now = now.Add(24 * time.Hour)
	}
	run(60)
	anomalies := 0
	for _, r := range rows(t, s) {
		if strings.Contains(r.Reasons, "volume_anomaly") {
			anomalies++
		}
	}
	if anomalies < 40 || anomalies > 59 {
		t.Errorf("%d of 60 in one cycle are unusual", anomalies)
	}
	// And it does not become normal within days.
	for range 2 {
		now = now.Add(24 * time.Hour)
		run(60)
		if r := rows(t, s)[0]; !strings.Contains(r.Reasons, "volume_anomaly") {
			t.Errorf("60 on %v: %s", now, r.Reasons)
		}
	}
}

// TestFirstSeenLastsAVisit: the whole first visit is new, however cycles cut it, and the
// next day it isn't; before the host was watched long enough nothing is.
func TestFirstSeenLastsAVisit(t *testing.T) {
	s, now, q := open(t), start, &queue{name: "x"}
	e := newEngine(t, s, &now, q)
	pid := int64(0)
	run := func(user string) bool {
		t.Helper()
		pid++
		p := listing(pid, "x", now)
		p.Username = user
		q.next = []evidence.Process{p}
		collect(t, e)
		return strings.Contains(rows(t, s)[0].Reasons, "first_seen")
	}
	if run("early") {
		t.Error("new on a host that is not known yet")
	}
	now = now.Add(4 * 24 * time.Hour)
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {10 * time.Second, true}, {20 * time.Minute, true}, {2 * time.Hour, false}, {24 * time.Hour, false}} {
		now = now.Add(c.after)
		if got := run("mallory"); got != c.want {
			t.Errorf("%v later: new %v, want %v", c.after, got, c.want)
		}
	}
	if run("early") {
		t.Error("a user who was there before is new")
	}
}

// TestOthersFillIn: a new user is measured by the rate of one other user, not of all
// together, and those who left long ago fade.
func TestOthersFillIn(t *testing.T) {
	s, now, q := open(t), start, &queue{name: "x"}
	e := newEngine(t, s, &now, q)
	pid := int64(0)
	add := func(user string, n int) {
		for range n {
			pid++
			p := listing(pid, "x", now)
			p.Username = user
			q.next = append(q.next, p)
		}
	}
	for range 20 {
		for u := range 10 {
			add(fmt.Sprint("user", u), 2)
		}
		add("new", 1)
		collect(t, e)
		now = now.Add(24 * time.Hour)
	}
	// Two a day each, twenty together: fifteen of one user are many.
	add("new", 15)
	collect(t, e)
	if r := rows(t, s)[0]; !strings.Contains(r.Reasons, "volume_anomaly") {
		t.Errorf("fifteen a day beside ten users of two: %s", r.Reasons)
	}
}

// TestAClockInTheFuture: evidence dated years ahead does not stop learning.
func TestAClockInTheFuture(t *testing.T) {
	s, now, q := open(t), start, &queue{name: "x"}
	e := newEngine(t, s, &now, q)
	p := listing(1, "x", now.Add(20*365*24*time.Hour))
	q.next = []evidence.Process{p}
	collect(t, e)
	bases, err := s.Baselines(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if b := bases[store.BaselineKey{Username: "al", Family: "systemctl"}]; b.LastSeen != start.Unix() || b.Day != int32(start.Unix()/86_400) {
		t.Errorf("learned as of %d", b.LastSeen)
	}
}

// TestSightingsKnowTogether: a row of two sightings is judged by what both know.
func TestSightingsKnowTogether(t *testing.T) {
	s, now := open(t), start
	a, b := listing(7, "process_events", now), listing(7, "proc_connector", now)
	a.ArgsJoined, a.UID, a.LoginUID = true, "0", "1000"
	b.CmdLine, b.ParentPath, b.Username = "systemctl 'list-units'", "/usr/sbin/apache2", "www-data"
	e := newEngine(t, s, &now,
		&fake{"process_events", func(string) (evidence.Batch, error) {
			return evidence.Batch{Processes: []evidence.Process{a}, Cursor: "1"}, nil
		}},
		&fake{"proc_connector", func(string) (evidence.Batch, error) {
			return evidence.Batch{Processes: []evidence.Process{b}, Cursor: "1"}, nil
		}})
	collect(t, e)
	got := rows(t, s)
	if len(got) != 1 {
		t.Fatalf("%d rows", len(got))
	}
	r := got[0]
	if !strings.Contains(r.Reasons, "web_ancestor") || r.Process.CmdLine != b.CmdLine || r.Process.UID != "0" || r.Process.Source != "process_events,proc_connector" {
		t.Errorf("%+v", r)
	}
	h := health(t, s)
	if h["process_events"].Matched != 1 || h["proc_connector"].Matched != 1 {
		t.Errorf("matches by source: %+v", h)
	}
}

// TestEvidenceThatNeverParses is judged, stored or left, and never fatal.
func TestEvidenceThatNeverParses(t *testing.T) {
	s, now, q := open(t), start, &queue{name: "x"}
	e := newEngine(t, s, &now, q)
	for i, line := range []string{"", "\x00", "'", `"`, "$(", "`", "((((((", strings.Repeat("sh -c '", 5000), strings.Repeat("a|", 100_000), strings.Repeat("\xff", 70_000),
		"powershell -enc " + strings.Repeat("A", 100_000), "cmd /c " + strings.Repeat("^", 50_000), "systemctl list-units '"} {
		for _, platform := range []evidence.Platform{evidence.Windows, evidence.Linux, evidence.Darwin, "", "plan9"} {
			q.next = append(q.next, evidence.Process{Platform: platform, PID: int64(i), ParentPID: int64(-i), CmdLine: line, Path: line, Time: now.Unix() - int64(i*1000), Source: "x"})
		}
	}
	collect(t, e)
	if h := health(t, s)["x"]; h.State != evidence.StateOK {
		t.Errorf("health %+v", h)
	}
}

// TestAPanicInTheMiddle costs one process, not the cycle.
func TestAPanicInTheMiddle(t *testing.T) {
	s, now, q := open(t), start, &queue{name: "x"}
	j := judge(t)
	set := j.Rules
	e, err := engine.New(context.Background(), engine.Options{Judge: &engine.Judge{Rules: set, Weights: score.DefaultWeights(), Understand: panicsOn("boom")},
		Store: s, Sources: []engine.Source{q}, HostID: "h", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	q.next = []evidence.Process{listing(1, "x", now), {CmdLine: "boom", PID: 2, Time: now.Unix(), Source: "x"}, listing(3, "x", now)}
	collect(t, e)
	if n := len(rows(t, s)); n != 2 {
		t.Errorf("%d rows beside the one that panics", n)
	}
}

// TestUsersRuleJudgesTheProcess: a rule about the process has the whole line's evasion
// and is not attributed when that hides something.
func TestUsersRuleJudgesTheProcess(t *testing.T) {
	j := judge(t)
	j.Rules = j.Rules.With(fstest.MapFS{"a.yml": {Data: []byte("title: Encoded\nid: 00000000-0000-4000-8000-000000000001\nlevel: medium\ntags: [attack.t1059.001]\nlogsource: {category: process_creation, product: windows}\ndetection: {sel: {CommandLine|contains: ' -enc '}, condition: sel}\n")}}, "/r")
	j.Attribution = attribution.Config{Expected: []attribution.Entry{{User: "svc", Reason: "deploys"}}}
	p := evidence.Process{Platform: evidence.Windows, Username: "svc", CmdLine: "powershell.exe -enc RwBlAHQALQBEAGEAdABlAA=="} // Get-Date
	v := j.Judge(&p, nil, start)
	if !v.Matched || v.T1007 || v.Technique != "T1059.001" || v.Attribution.Attributed() || !strings.Contains(fmt.Sprint(v.Reasons), "encoded") {
		t.Errorf("%+v", v)
	}
}

func TestNothingAttributesWhatIsHidden(t *testing.T) {
	j := judge(t)
	j.Attribution = attribution.Config{Expected: []attribution.Entry{{User: "svc", Reason: "deploys"}}}
	for line, want := range map[string]bool{
		"sc query": true, "cmd /c sc query": true,
		`cmd /c "s^c q^uery"`: false, "powershell -enc cwBjACAAcQB1AGUAcgB5AA==": false,
	} {
		p := evidence.Process{Platform: evidence.Windows, Username: "svc", CmdLine: line}
		v := j.Judge(&p, nil, start)
		if !v.T1007 || v.Attribution.Attributed() != want {
			t.Errorf("%s: T1007 %v, attribution %+v, want attributed %v", line, v.T1007, v.Attribution, want)
		}
	}
	for _, parent := range []string{`C:\inetpub\w3wp.exe`, `C:\x\sqlservr.exe`, `C:\x\WINWORD.EXE`, `C:\x\chrome.exe`, `C:\x\OUTLOOK.EXE`} {
		p := evidence.Process{Platform: evidence.Windows, Username: "svc", CmdLine: "sc query", ParentPath: parent}
		if v := j.Judge(&p, nil, start); v.Attribution.Attributed() {
			t.Errorf("under %s: %+v", parent, v.Attribution)
		}
	}
}

// panicsOn understands every line but one.
func panicsOn(text string) func(cmdline.Input) cmdline.Result {
	return func(in cmdline.Input) cmdline.Result {
		if in.Text == text {
			panic("on purpose")
		}
		return cmdline.Parse(in)
	}
}
