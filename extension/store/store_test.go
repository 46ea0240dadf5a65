package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tests/permit"
)

func event(n int64) *store.Event {
	return &store.Event{EventID: fmt.Sprint("e", n), Identity: 1000 + n, Recorded: n, Score: 25, Severity: "low", RuleIDs: "[]", Reasons: "[]",
		Canonical: "[]", Ancestry: "[]", Process: evidence.Process{Time: n, PID: n, CmdLine: "systemctl", Source: "test"}}
}

func ids(t *testing.T, s *store.Store, f store.Filter) []string {
	t.Helper()
	var out []string
	if _, err := s.Events(context.Background(), f, func(e *store.Event) error { out = append(out, e.EventID); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRowsCursorsAndBaselinesSurvive(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := open(t, dir)
	st := baseline.State{}.Observe(86_400 * 100)
	key := store.BaselineKey{Username: "al", Family: "sc"}
	b := &store.Batch{Now: 5, Events: []*store.Event{event(1), event(2), event(3)}, Cursors: map[string]string{"a": "17"},
		Baselines: map[store.BaselineKey]baseline.State{key: st}, Rules: map[string]store.RuleStat{"r": {Matches: 2, LastMatch: 9}},
		Health: []store.Health{{Component: "a", State: "ok", Read: 3}}, Gaps: map[string][]evidence.Gap{"a": {{From: 1, To: 2, Reason: "x"}}}}
	if err := s.Commit(ctx, b); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(ctx, &store.Batch{Rules: b.Rules, Health: b.Health}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	if got := fmt.Sprint(ids(t, s, store.Filter{})); got != "[e3 e2 e1]" {
		t.Errorf("events %s, want the newest first", got)
	}
	two := int64(2)
	if got := fmt.Sprint(ids(t, s, store.Filter{RecordedFrom: &two})); got != "[e3 e2]" {
		t.Errorf("recorded >= 2: %s", got)
	}
	if got := fmt.Sprint(ids(t, s, store.Filter{TimeTo: &two})); got != "[e2 e1]" {
		t.Errorf("time <= 2: %s", got)
	}
	if c, err := s.Cursors(ctx); err != nil || c["a"] != "17" {
		t.Errorf("cursors %v, %v", c, err)
	}
	if all, err := s.Baselines(ctx); err != nil || all[key] != st {
		t.Errorf("baseline %+v, want %+v (%v)", all[key], st, err)
	}
	if r, err := s.RuleStats(ctx); err != nil || r["r"].Matches != 4 || r["r"].LastMatch != 9 {
		t.Errorf("rule statistics %v, %v", r, err)
	}
	if h, err := s.Health(ctx); err != nil || len(h) != 1 || h[0].Read != 6 {
		t.Errorf("health %+v, %v", h, err)
	}
}

func TestABatchIsAllOrNothing(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Commit(ctx, &store.Batch{Events: []*store.Event{event(1)}, Cursors: map[string]string{"a": "1"}}); err == nil {
		t.Fatal("a cancelled commit succeeded")
	}
	if got := ids(t, s, store.Filter{}); len(got) != 0 {
		t.Errorf("rows of a failed batch: %v", got)
	}
	if c, _ := s.Cursors(context.Background()); len(c) != 0 {
		t.Errorf("cursors of a failed batch: %v", c)
	}
	if err := s.Commit(context.Background(), &store.Batch{Events: []*store.Event{event(1)}}); err != nil {
		t.Errorf("the store is unusable after a failed batch: %v", err)
	}
}

func TestASecondSightingIsNoNews(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer s.Close()
	if err := s.Commit(ctx, &store.Batch{Events: []*store.Event{event(100)}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		time, identity int64
		fresh          bool
	}{{100, 1100, false}, {104, 1100, false}, {95, 1100, false}, {120, 1100, true}, {100, 1101, true}} {
		e := event(100)
		e.EventID, e.Identity, e.Process.Time = "other", c.identity, c.time
		known, err := s.Sightings(ctx, []*store.Event{e})
		if err != nil || len(known) != 1 || (len(known[0]) == 0) != c.fresh {
			t.Errorf("time %d identity %d: %v, want fresh %v (%v)", c.time, c.identity, known, c.fresh, err)
		}
	}
}

func TestOneWriterManyReaders(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := open(t, dir)
	defer s.Close()
	if _, err := store.Open(ctx, dir); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a second writer got %v, want ErrLocked", err)
	}
	if store.Free(dir) {
		t.Error("what somebody writes to is free")
	}
	r, err := store.OpenReadOnly(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := s.Commit(ctx, &store.Batch{Events: []*store.Event{event(1)}}); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, r, store.Filter{}); len(got) != 1 {
		t.Errorf("the reader sees %v", got)
	}
	if err := r.Commit(ctx, &store.Batch{}); err == nil {
		t.Error("a reader could write")
	}
}

func TestCorruptIsSetAside(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"header": func(b []byte) []byte { copy(b, "this is no database at all"); return b },
		"empty page": func(b []byte) []byte {
			for i := 100; i < 4096; i++ {
				b[i] = 0xff
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			if err := s.Commit(context.Background(), &store.Batch{Events: []*store.Event{event(1)}}); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, store.FileName)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(data), 0o600); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			defer s.Close()
			if s.Recovered == "" {
				t.Fatal("not reported")
			}
			if _, err := os.Stat(s.Recovered); err != nil {
				t.Errorf("the damaged file is gone: %v", err)
			}
			if err := s.Commit(context.Background(), &store.Batch{Events: []*store.Event{event(2)}}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNewerIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite.OpenConn(filepath.Join(dir, store.FileName), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlitex.ExecuteTransient(conn, "PRAGMA user_version = 999", nil); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(context.Background(), dir); !errors.Is(err, store.ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
}

func TestRefusesADirectoryOthersCanWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	permit.Write(t, dir)
	if _, err := store.Open(context.Background(), dir); err == nil || !strings.Contains(err.Error(), "others can write") {
		t.Errorf("a directory others can write to: %v", err)
	}
}

func TestPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: modes of files, which Windows has not")
	}
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir)
	info, err := os.Stat(filepath.Join(dir, store.FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("database mode %v, %v", info.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, store.FileName)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, store.FileName)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(context.Background(), dir); err == nil {
		t.Error("a link in place of the database was followed")
	}
}

func TestTrim(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer s.Close()
	old, recent := event(1), event(2)
	recent.Recorded = 40 * 86_400
	if err := s.Commit(ctx, &store.Batch{Events: []*store.Event{old, recent}}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Trim(ctx, 41*86_400); err != nil || n != 1 {
		t.Errorf("removed %d, %v", n, err)
	}
	if got := fmt.Sprint(ids(t, s, store.Filter{})); got != "[e2]" {
		t.Errorf("left %s", got)
	}
}

// TestAwait: who waits to write is seen by who writes, and by others who would wait.
func TestAwait(t *testing.T) {
	dir := t.TempDir()
	if store.Awaited(dir) || store.Awaited(filepath.Join(dir, "none")) {
		t.Error("somebody waits")
	}
	claim, err := store.Await(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Await(dir); !errors.Is(err, store.ErrLocked) || !store.Awaited(dir) {
		t.Errorf("nobody waits: %v", err)
	}
	s, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal("whoever waits keeps others from writing:", err)
	}
	if err := errors.Join(s.Close(), claim.Release()); err != nil {
		t.Error(err)
	}
	if store.Awaited(dir) {
		t.Error("it waits still")
	}
}
