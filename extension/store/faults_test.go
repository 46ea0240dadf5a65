package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// writerEnv makes the test binary a writer that is going to be killed.
const writerEnv = "ROLLCALL_TEST_STORE_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		fmt.Fprintln(os.Stderr, writeForever(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// perBatch is how many events one batch of the writer carries.
const perBatch = 7

func writeForever(dir string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, dir)
	if err != nil {
		return err
	}
	cursors, err := s.Cursors(ctx)
	if err != nil {
		return err
	}
	n, _ := strconv.ParseInt(cursors["w"], 10, 64)
	for {
		n++
		b := &store.Batch{Cursors: map[string]string{"w": fmt.Sprint(n)}, Rules: map[string]store.RuleStat{"r": {Matches: perBatch}}}
		for i := range int64(perBatch) {
			b.Events = append(b.Events, event(n*perBatch+i))
		}
		if err := s.Commit(ctx, b); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// TestKilledWhileWriting kills a writer again and again: what it had reported as
// written is there, each time rows, counts and cursor together.
func TestKilledWhileWriting(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "state")
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range 12 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), writerEnv+"="+dir)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatalf("the writer wrote nothing: %s", stderr.String())
		}
		killer := time.AfterFunc(time.Duration(rng.IntN(60))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		reported := int64(0)
		for {
			if n, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
				reported = n
			}
			if !lines.Scan() {
				break
			}
		}
		_ = cmd.Wait()
		killer.Stop()

		s, err := store.Open(context.Background(), dir)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if s.Recovered != "" {
			t.Fatalf("round %d: a kill damaged the database", round)
		}
		cursors, err := s.Cursors(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.ParseInt(cursors["w"], 10, 64)
		if n < reported {
			t.Errorf("round %d: %d batches were reported, %d are there", round, reported, n)
		}
		if rows := count(t, s, "SELECT count(*) FROM events"); rows != n*perBatch {
			t.Errorf("round %d: %d rows beside cursor %d", round, rows, n)
		}
		if matches := count(t, s, "SELECT matches FROM rule_stats"); matches != n*perBatch {
			t.Errorf("round %d: %d matches beside cursor %d", round, matches, n)
		}
		if text := answer(t, s, "PRAGMA integrity_check"); text != "ok" {
			t.Errorf("round %d: %s", round, text)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func answer(t *testing.T, s *store.Store, sql string) string {
	t.Helper()
	var out string
	if err := sqlitex.ExecuteTransient(s.WriteConn(), sql, &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
		out = st.ColumnText(0)
		return nil
	}}); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func count(t *testing.T, s *store.Store, sql string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(answer(t, s, sql), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func execute(t *testing.T, s *store.Store, sql string) {
	t.Helper()
	if err := sqlitex.ExecuteScript(s.WriteConn(), sql, nil); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// full is a batch with something for every table.
func full(n int64) *store.Batch {
	return &store.Batch{
		Now: n, Events: []*store.Event{event(n), event(n + 1)}, Cursors: map[string]string{"a": fmt.Sprint(n)},
		Baselines: map[store.BaselineKey]baseline.State{{Username: "al", Family: "sc"}: baseline.State{}.Observe(n)},
		Rules:     map[string]store.RuleStat{"r": {Matches: 1, LastMatch: n}},
		Health:    []store.Health{{Component: "a", State: "ok", Read: 1}},
		Gaps:      map[string][]evidence.Gap{"a": {{From: 1, To: n, Reason: "x"}}},
	}
}

func contents(t *testing.T, s *store.Store) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, table := range []string{"events", "cursors", "baselines", "rule_stats", "health", "gaps"} {
		out[table] = count(t, s, "SELECT count(*) FROM "+table)
	}
	return out
}

// TestAFailureInTheMiddleLeavesNothing makes the statement on each table fail in turn.
func TestAFailureInTheMiddleLeavesNothing(t *testing.T) {
	ctx := context.Background()
	for _, table := range []string{"events", "cursors", "baselines", "rule_stats", "health", "gaps"} {
		t.Run(table, func(t *testing.T) {
			s := open(t, t.TempDir())
			defer s.Close()
			execute(t, s, "CREATE TEMP TRIGGER fails BEFORE INSERT ON main."+table+" BEGIN SELECT RAISE(ABORT, 'broken on purpose'); END;")
			if err := s.Commit(ctx, full(10)); err == nil || !strings.Contains(err.Error(), "broken on purpose") {
				t.Fatalf("commit: %v", err)
			}
			for name, n := range contents(t, s) {
				if n != 0 {
					t.Errorf("%d rows of a failed batch in %s", n, name)
				}
			}
			execute(t, s, "DROP TRIGGER fails;")
			if err := s.Commit(ctx, full(10)); err != nil {
				t.Fatalf("after the failure: %v", err)
			}
			if n := contents(t, s); n["events"] != 2 || n["cursors"] != 1 || n["gaps"] != 1 {
				t.Errorf("after the failure: %v", n)
			}
		})
	}
}

// TestFullDisk stops at a page limit as at a full disk: what was there stays, and
// with room again writing goes on.
func TestFullDisk(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer s.Close()
	if err := s.Commit(ctx, full(10)); err != nil {
		t.Fatal(err)
	}
	pages := count(t, s, "PRAGMA page_count")
	answer(t, s, fmt.Sprintf("PRAGMA max_page_count = %d", pages+2))
	big := full(20)
	for i := range int64(200) {
		e := event(100 + i)
		e.Process.CmdLine = strings.Repeat("x", 1000)
		big.Events = append(big.Events, e)
	}
	if err := s.Commit(ctx, big); sqlite.ErrCode(err).ToPrimary() != sqlite.ResultFull {
		t.Fatalf("commit to a full disk: %v", err)
	}
	if n := contents(t, s); n["events"] != 2 {
		t.Errorf("after a failed batch: %v", n)
	}
	if c, err := s.Cursors(ctx); err != nil || c["a"] != "10" {
		t.Errorf("the cursor moved without its rows: %v %v", c, err)
	}
	answer(t, s, "PRAGMA max_page_count = 1000000")
	if err := s.Commit(ctx, big); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if n := contents(t, s); n["events"] != 204 {
		t.Errorf("with room again: %v", n)
	}
}

// TestDamageToTheSmallTablesIsFoundAtOnce garbles every page in turn: Open either
// works with all of what it starts from readable, or sets the file aside.
func TestDamageToTheSmallTablesIsFoundAtOnce(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := open(t, dir)
	b := full(10)
	for i := range 300 {
		b.Baselines[store.BaselineKey{Username: fmt.Sprint("user", i), Family: "sc"}] = baseline.State{}.Observe(10)
		b.Events = append(b.Events, event(int64(100+i)))
	}
	if err := s.Commit(ctx, b); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, store.FileName)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	aside := 0
	for at := 0; at+page <= len(sound); at += page {
		bad := append([]byte(nil), sound...)
		for i := at; i < at+page; i++ {
			bad[i] = byte(i*7 + 13)
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		if s.Recovered != "" {
			aside++
			if got, err := os.ReadFile(s.Recovered); err != nil || len(got) != len(bad) {
				t.Errorf("page %d: the damaged file was not kept: %v", at/page, err)
			}
		}
		if _, err := s.Baselines(ctx); err != nil {
			t.Errorf("page %d: %v", at/page, err)
		}
		if _, err := s.Cursors(ctx); err != nil {
			t.Errorf("page %d: %v", at/page, err)
		}
		if _, err := s.Health(ctx); err != nil {
			t.Errorf("page %d: %v", at/page, err)
		}
		if _, _, err := s.Bound(ctx); err != nil {
			t.Errorf("page %d: %v", at/page, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if aside < 3 {
		t.Errorf("only %d of %d damaged pages were noticed", aside, len(sound)/page)
	}
}

// TestDamageFoundLater damages the events under a running store: the read fails, the
// next batch says so and the one after is written.
func TestDamageFoundLater(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := open(t, dir)
	defer s.Close()
	b := &store.Batch{}
	for i := range int64(2000) {
		b.Events = append(b.Events, event(i))
	}
	if err := s.Commit(ctx, b); err != nil {
		t.Fatal(err)
	}
	answer(t, s, "PRAGMA wal_checkpoint(TRUNCATE)")
	f, err := os.OpenFile(filepath.Join(dir, store.FileName), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, info.Size()-48*4096)
	for i := range noise {
		noise[i] = byte(i*11 + 5)
	}
	if _, err := f.WriteAt(noise, 48*4096); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Events(ctx, store.Filter{}, func(*store.Event) error { return nil }); err == nil {
		t.Fatal("garbage was read as events")
	}
	if err := s.Commit(ctx, full(10)); !errors.Is(err, store.ErrRecovered) {
		t.Fatalf("the next batch: %v, want ErrRecovered", err)
	}
	if err := s.Commit(ctx, full(10)); err != nil {
		t.Fatalf("the batch after: %v", err)
	}
	if got := ids(t, s, store.Filter{}); len(got) != 2 {
		t.Errorf("rows of the new database: %v", got)
	}
	aside, err := filepath.Glob(filepath.Join(dir, store.FileName+".corrupt-*"))
	if err != nil || len(aside) == 0 {
		t.Errorf("the damaged file is gone: %v %v", aside, err)
	}
	if _, err := store.Open(ctx, dir); !errors.Is(err, store.ErrLocked) {
		t.Errorf("the directory was given up: %v", err)
	}
}

// TestTruncated cuts the file at several places.
func TestTruncated(t *testing.T) {
	for _, keep := range []int64{0, 1, 50, 100, 4096, 5000, 3 * 4096} {
		dir := t.TempDir()
		s := open(t, dir)
		if err := s.Commit(context.Background(), full(10)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, store.FileName), keep); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
		if keep > 1 && s.Recovered == "" { // SQLite takes a byte for an empty file
			t.Errorf("cut to %d bytes: not reported", keep)
		}
		if err := s.Commit(context.Background(), full(20)); err != nil {
			t.Errorf("cut to %d bytes: %v", keep, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestReadOnly: a reader writes nothing, and one of a newer database ends.
func TestReadOnly(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	if _, err := store.OpenReadOnly(ctx, dir); err == nil {
		t.Error("a state that is not there was opened")
	}
	s := open(t, dir)
	defer s.Close()
	r, err := store.OpenReadOnly(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Commit(ctx, full(1)); err == nil {
		t.Error("a reader committed")
	}
	if err := r.Bind(ctx, "m", "s"); err == nil {
		t.Error("a reader bound the state")
	}
	if n, err := r.Trim(ctx, 1<<40); n != 0 || err != nil {
		t.Errorf("a reader trimmed: %d, %v", n, err)
	}
	if !r.ReadOnly() || s.ReadOnly() {
		t.Error("who writes?")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	answer(t, s, "PRAGMA user_version = 1")
	if _, err := store.OpenReadOnly(ctx, dir); !errors.Is(err, store.ErrOlder) || !strings.Contains(err.Error(), "older Rollcall") {
		t.Errorf("an older database: %v, want ErrOlder", err)
	}
	answer(t, s, "PRAGMA user_version = 999")
	done := make(chan error, 1)
	go func() {
		_, err := store.OpenReadOnly(ctx, dir)
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, store.ErrNewer) {
			t.Errorf("a newer database: %v, want ErrNewer", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("reading a newer database hangs")
	}
}

// TestReadsGoOnBesideWrites: neither waits for the other, and rows of a batch appear
// together.
func TestReadsGoOnBesideWrites(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer s.Close()
	done := make(chan error, 1)
	go func() {
		for i := range int64(100) {
			if err := s.Commit(ctx, &store.Batch{Events: []*store.Event{event(2 * i), event(2*i + 1)}}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if n := len(ids(t, s, store.Filter{})); n != 200 {
				t.Errorf("%d rows at the end", n)
			}
			return
		default:
		}
		if n := len(ids(t, s, store.Filter{})); n%2 != 0 {
			t.Fatalf("half a batch was visible: %d rows", n)
		}
	}
}

func TestAnotherMachinesState(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := open(t, dir)
	if err := s.Bind(ctx, "one", "2026-01-01T00:00:00Z"); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(ctx, full(10)); err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(ctx, "one", "2026-01-01T00:00:00Z"); err != nil {
		t.Fatal(err)
	}
	if n := contents(t, s); n["baselines"] != 1 || n["cursors"] != 1 {
		t.Errorf("binding to the same machine forgot %v", n)
	}
	if err := s.Bind(ctx, "two", "2026-02-02T00:00:00Z"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	if d := cmp.Diff(map[string]int64{"events": 2, "cursors": 0, "baselines": 0, "rule_stats": 0, "health": 0, "gaps": 1}, contents(t, s)); d != "" {
		t.Errorf("another machine's state (-want +got)\n%s", d)
	}
	if m, since, err := s.Bound(ctx); m != "two" || since != "2026-02-02T00:00:00Z" || err != nil {
		t.Errorf("bound to %q since %q, %v", m, since, err)
	}
}
