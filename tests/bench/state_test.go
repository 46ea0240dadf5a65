//go:build linux

package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/osquery/osquery-go/plugin/table"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tables"
)

const perBatch = 1000

// event is a scored row of the usual size.
func event(n, recorded int64) *store.Event {
	e := &store.Event{
		EventID: fmt.Sprintf("%020x", n), Recorded: recorded, Identity: n * 7919, Score: 34, Severity: "low", Scope: "all", Family: "systemctl",
		RuleIDs:   `["f0b5b867-8c97-5fc4-a6ed-21da829b3185"]`,
		Reasons:   `[{"factor":"rule","weight":-1.0986,"evidence":"Units Listed With systemctl"},{"factor":"elevated","weight":0.2,"evidence":"uid 0"}]`,
		Technique: "T1007", Canonical: `["systemctl list-units --type=service --all"]`, Elevated: "1", Attribution: "none",
		Ancestry: `[{"cmdline":"-bash","path":"/usr/bin/bash","pid":4711},{"cmdline":"sshd: alice@pts/0","path":"/usr/sbin/sshd","pid":4700}]`,
	}
	e.Process = evidence.Process{
		Time: recorded - 3, Platform: linux, Host: "web01.example", PID: 5000 + n%30_000, ParentPID: 4711, Path: "/usr/bin/systemctl",
		CmdLine: "systemctl list-units --type=service --all", CWD: "/home/alice", ParentPath: "/usr/bin/bash", ParentCmdLine: "-bash",
		UID: "0", Username: "root", LoginUser: "alice", LoginSource: "10.0.0.7", Session: "12", Source: "process_events", EID: strconv.FormatInt(n, 10),
	}
	return e
}

func events(from, n, recorded int64) []*store.Event {
	out := make([]*store.Event, n)
	for i := range out {
		out[i] = event(from+int64(i), recorded+int64(i)/100)
	}
	return out
}

func openStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// statements runs statements that answer nothing.
func statements(t *testing.T, conn *sqlite.Conn, list ...string) {
	t.Helper()
	for _, text := range list {
		if err := sqlitex.ExecuteTransient(conn, text, nil); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// rawInserter writes the same rows with the same pragmas into the same tables and
// indexes through SQLite's own calls: what cannot be beaten.
func rawInserter(t *testing.T, like string) func([]*store.Event) {
	t.Helper()
	src, err := sqlite.OpenConn(like, sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite.OpenConn(filepath.Join(t.TempDir(), "raw.db"), sqlite.OpenReadWrite|sqlite.OpenCreate|sqlite.OpenWAL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	statements(t, conn, "PRAGMA synchronous = NORMAL", "PRAGMA foreign_keys = ON", "PRAGMA journal_size_limit = 4194304", "PRAGMA cache_size = -2048")
	var columns []string
	for query, each := range map[string]func(*sqlite.Stmt){
		"SELECT sql FROM sqlite_master WHERE tbl_name = 'events' AND sql IS NOT NULL ORDER BY type DESC": func(st *sqlite.Stmt) { statements(t, conn, st.ColumnText(0)) },
		"SELECT name FROM pragma_table_info('events') WHERE name <> 'id'":                                func(st *sqlite.Stmt) { columns = append(columns, st.ColumnText(0)) },
	} {
		if err := sqlitex.ExecuteTransient(src, query, &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error { each(st); return nil }}); err != nil {
			t.Fatal(err)
		}
	}
	if err := src.Close(); err != nil {
		t.Fatal(err)
	}
	st, err := conn.Prepare("INSERT INTO events (" + strings.Join(columns, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(columns)-1) + ")")
	if err != nil {
		t.Fatal(err)
	}
	return func(list []*store.Event) {
		end, err := sqlitex.ImmediateTransaction(conn)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			for i, c := range columns {
				bind(t, st, i+1, c, e)
			}
			if _, err := st.Step(); err != nil {
				t.Fatal(err)
			}
			if err := st.Reset(); err != nil {
				t.Fatal(err)
			}
		}
		end(&err)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// bind binds one column of a row.
func bind(t *testing.T, st *sqlite.Stmt, i int, column string, e *store.Event) {
	p := &e.Process
	switch column {
	case "event_id":
		st.BindText(i, e.EventID)
	case "time":
		st.BindInt64(i, p.Time)
	case "recorded":
		st.BindInt64(i, e.Recorded)
	case "identity":
		st.BindInt64(i, e.Identity)
	case "score":
		st.BindInt64(i, int64(e.Score))
	case "severity":
		st.BindText(i, e.Severity)
	case "scope":
		st.BindText(i, e.Scope)
	case "family":
		st.BindText(i, e.Family)
	case "rule_ids":
		st.BindText(i, e.RuleIDs)
	case "reasons":
		st.BindText(i, e.Reasons)
	case "technique":
		st.BindText(i, e.Technique)
	case "pid":
		st.BindInt64(i, p.PID)
	case "path":
		st.BindText(i, p.Path)
	case "cmdline":
		st.BindText(i, p.CmdLine)
	case "canonical":
		st.BindText(i, e.Canonical)
	case "parent":
		st.BindInt64(i, p.ParentPID)
	case "parent_path":
		st.BindText(i, p.ParentPath)
	case "parent_cmdline":
		st.BindText(i, p.ParentCmdLine)
	case "ancestry":
		st.BindText(i, e.Ancestry)
	case "uid":
		st.BindText(i, p.UID)
	case "username":
		st.BindText(i, p.Username)
	case "login_user":
		st.BindText(i, p.LoginUser)
	case "login_source":
		st.BindText(i, p.LoginSource)
	case "session":
		st.BindText(i, p.Session)
	case "elevated":
		st.BindText(i, e.Elevated)
	case "cwd":
		st.BindText(i, p.CWD)
	case "attribution":
		st.BindText(i, e.Attribution)
	case "platform":
		st.BindText(i, string(p.Platform))
	case "host":
		st.BindText(i, p.Host)
	case "source":
		st.BindText(i, p.Source)
	case "eid":
		st.BindText(i, p.EID)
	default: // what is empty in these rows
		st.BindText(i, "")
	}
}

// TestIngest writes batches of scored rows.
func TestIngest(t *testing.T) {
	s := openStore(t)
	raw := rawInserter(t, filepath.Join(s.Dir(), store.FileName))
	next := [2]int64{1, 1}
	ctx := t.Context()
	now := time.Now().Unix()
	// The rows are made outside of what is measured.
	batches := [2][][]*store.Event{}
	take := func(k int) []*store.Event {
		if len(batches[k]) == 0 {
			t.Fatal("no rows left")
		}
		b := batches[k][0]
		batches[k] = batches[k][1:]
		return b
	}
	var list [2]series
	list[0].name, list[1].name = "ingest", "ingest raw"
	const perRound = 4
	for r := range rounds + 1 {
		for k := range 2 {
			for range perRound {
				batches[k] = append(batches[k], events(next[k], perBatch, now))
				next[k] += perBatch
			}
			c := timed(perRound, func() {
				if k == 1 {
					raw(take(k))
					return
				}
				if err := s.Commit(ctx, &store.Batch{Events: take(k), Now: now}); err != nil {
					t.Fatal(err)
				}
			})
			if r > 0 { // the first warms up
				list[k].list = append(list[k].list, c)
			}
		}
	}
	budgets.keep(list[:]...)
	ratio := list[0].ratio(list[1], ofCPU)
	add(t, "ingest of 1,000 scored rows", list[0].cpu(), "raw SQLite inserts "+short(list[1].cpu()), ratio, 1.5)
}

// nobody is not nudged.
type nobody struct{}

func (nobody) Nudge() {}

// source gives the engine processes, one of which in a thousand matches.
type source struct {
	next, left int64
	per        int
	batch      []evidence.Process
}

func (*source) Name() string { return "process_events" }

func (s *source) Read(_ context.Context, _ string, limit int) (evidence.Batch, error) {
	n := min(s.per, limit, int(s.left))
	s.batch = make([]evidence.Process, n)
	now := time.Now().Unix()
	for i := range s.batch {
		s.next++
		p := &s.batch[i]
		*p = benign[s.next%10]
		if s.next%1000 == 0 {
			*p = matching[0]
			p.CmdLine += " --lines=" + strconv.FormatInt(s.next, 10)
		}
		p.Time, p.PID, p.ParentPID, p.UID, p.Source, p.EID = now, 1000+s.next%60_000, 1000+s.next%97, "0", "process_events", strconv.FormatInt(s.next, 10)
	}
	s.left -= int64(n)
	return evidence.Batch{Processes: s.batch, Cursor: strconv.FormatInt(s.next, 10), Read: int64(n), More: s.left > 0 && s.per == limit}, nil
}

// window asks a store for the rows recorded from a time on, as a pack does.
func window(t *testing.T, s *store.Store, from int64) func() int {
	t.Helper()
	events := tables.ServiceDiscoveryEvents(s, nobody{})
	query := table.QueryContext{Constraints: map[string]table.ConstraintList{"recorded": {Affinity: "BIGINT",
		Constraints: []table.Constraint{{Operator: table.OperatorGreaterThanOrEquals, Expression: strconv.FormatInt(from, 10)}}}}}
	return func() int {
		rows, err := events.Generate(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Free()
		return rows.Len()
	}
}

// collector is an engine over a store, and the source that feeds it.
func collector(t *testing.T, s *store.Store) (*engine.Engine, *source) {
	t.Helper()
	src := &source{per: perBatch}
	e, err := engine.New(t.Context(), engine.Options{Judge: &engine.Judge{Rules: rules(t), Weights: score.DefaultWeights()}, Store: s, Sources: []engine.Source{src}, HostID: "m", Host: "h"})
	if err != nil {
		t.Fatal(err)
	}
	return e, src
}

// TestGrowth asks for the newest 1,000 rows, and collects 1,000 processes, with ever
// more kept, each time beside a store that keeps no more than that. BENCH_ROWS raises
// the most that is kept: to 10000000, with some minutes and 12 GB to spare.
func TestGrowth(t *testing.T) {
	ctx := t.Context()
	now := time.Now().Unix()
	small, big := openStore(t), openStore(t)
	for _, s := range []*store.Store{small, big} {
		if err := s.Commit(ctx, &store.Batch{Events: events(1, perBatch, now), Now: now}); err != nil {
			t.Fatal(err)
		}
	}
	fill := filler(t, big)
	few, many := window(t, small, now-60), window(t, big, now-60)
	smallEngine, smallSource := collector(t, small)
	bigEngine, bigSource := collector(t, big)
	most := 1_000_000
	if n, err := strconv.Atoi(os.Getenv("BENCH_ROWS")); err == nil {
		most = n
	}
	for rows := 10_000; rows <= most; rows *= 10 {
		fill(rows/10, rows)
		got := 0
		list := measure([]string{fmt.Sprintf("window among %d rows", rows), fmt.Sprintf("window beside %d rows", rows)},
			func() { got = many() }, func() { few() })
		if got < perBatch || got > perBatch+100 {
			t.Fatalf("%d rows", got)
		}
		cycles := []series{{name: fmt.Sprintf("cycle among %d rows", rows)}, {name: fmt.Sprintf("cycle beside %d rows", rows)}}
		for range 3 * rounds {
			for k, e := range []*engine.Engine{bigEngine, smallEngine} {
				src := []*source{bigSource, smallSource}[k]
				src.left = perBatch
				cycles[k].list = append(cycles[k].list, timed(1, func() {
					if err := e.Collect(ctx); err != nil {
						t.Fatal(err)
					}
				}))
			}
		}
		budgets.keep(append(list, cycles...)...)
		add(t, fmt.Sprintf("window of 1,000 among %d rows", rows), list[0].cpu(), "among 1,000 "+short(list[1].cpu()), list[0].ratio(list[1], ofCPU), 2)
		add(t, fmt.Sprintf("cycle of 1,000 processes at %d rows", rows), cycles[0].cpu(), "at 1,000 "+short(cycles[1].cpu()), cycles[0].ratio(cycles[1], ofCPU), 2)
	}
}

// filler returns what adds older rows to a store, from one number in all to another.
func filler(t *testing.T, s *store.Store) func(from, to int) {
	t.Helper()
	conn, err := sqlite.OpenConn(filepath.Join(s.Dir(), store.FileName), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	conn.SetBlockOnBusy()
	statements(t, conn, "PRAGMA synchronous = OFF", "PRAGMA cache_size = -131072")
	var columns, picks []string
	if err := sqlitex.ExecuteTransient(conn, "SELECT name FROM pragma_table_info('events') WHERE name <> 'id'", &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
		columns = append(columns, st.ColumnText(0))
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range columns {
		switch c {
		case "event_id":
			c = "printf('%s-%d', event_id, n)"
		case "time", "recorded":
			c += " - 3600 - n"
		case "identity":
			c = "identity + n * 1000003"
		}
		picks = append(picks, c)
	}
	return func(from, to int) {
		statements(t, conn, fmt.Sprintf("INSERT INTO events (id, %s) WITH RECURSIVE g(n) AS (SELECT %d UNION ALL SELECT n + 1 FROM g WHERE n < %d) SELECT -(n * 1000 + id), %s FROM g, (SELECT * FROM events WHERE id BETWEEN 1 AND 1000)",
			strings.Join(columns, ", "), from/1000, to/1000-1, strings.Join(picks, ", ")), "PRAGMA wal_checkpoint(TRUNCATE)")
	}
}
