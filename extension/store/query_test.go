package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

// TestEveryColumnComesBack fills every field and compares.
func TestEveryColumnComesBack(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer s.Close()
	want := store.Event{
		ID: 1, EventID: "id", Recorded: 2, Identity: 3, Score: 4, Severity: "high", Scope: "all", Family: "sc", RuleIDs: "[1]", Reasons: "[2]",
		Technique: "T1007", Canonical: "[3]", Ancestry: "[4]", Elevated: "1", RemoteHost: "remote", Attribution: "none",
		Process: evidence.Process{
			Time: 5, Platform: evidence.Linux, Host: "host", PID: 6, ParentPID: 7, Path: "/path", CmdLine: "cmd \x00 'ünïcode'", CWD: "/cwd",
			ParentPath: "/parent", ParentCmdLine: "parent -x", UID: "8", Username: "al", LoginUser: "bo", LoginSource: "10.0.0.1",
			LogonID: "0x3e7", Session: "9", ContainerID: "c", Source: "src", EID: "eid",
		},
	}
	if err := s.Commit(ctx, &store.Batch{Events: []*store.Event{&want}}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Events(ctx, store.Filter{}, func(got *store.Event) error {
		if d := cmp.Diff(want, *got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilters(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	var b store.Batch
	for i := int64(1); i <= 5; i++ {
		e := event(i)
		e.Process.Time, e.Recorded = 100-i, 10*i // late evidence: the newest recorded is the oldest
		b.Events = append(b.Events, e)
	}
	if err := s.Commit(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	n := func(i int64) *int64 { return &i }
	for _, c := range []struct {
		f    store.Filter
		want string
	}{
		{store.Filter{}, "[e5 e4 e3 e2 e1]"},
		{store.Filter{RecordedFrom: n(30)}, "[e5 e4 e3]"},
		{store.Filter{RecordedTo: n(29)}, "[e2 e1]"},
		{store.Filter{RecordedFrom: n(20), RecordedTo: n(40)}, "[e4 e3 e2]"},
		{store.Filter{TimeFrom: n(97)}, "[e1 e2 e3]"},
		{store.Filter{TimeFrom: n(96), TimeTo: n(97)}, "[e3 e4]"},
		{store.Filter{RecordedFrom: n(20), TimeFrom: n(97)}, "[e3 e2]"},
		{store.Filter{RecordedFrom: n(1 << 62)}, "[]"},
		{store.Filter{RecordedFrom: n(-1 << 63), RecordedTo: n(1<<63 - 1)}, "[e5 e4 e3 e2 e1]"},
		{store.Filter{EventID: "e2"}, "[e2]"},
		{store.Filter{EventID: "e2' OR 1"}, "[]"},
	} {
		if got := fmt.Sprint(ids(t, s, c.f)); got != c.want {
			t.Errorf("%+v: %s, want %s", c.f, got, c.want)
		}
	}
}

// TestAWindowIsReadThroughItsIndex asks SQLite for its plan: neither a scan nor a sort.
func TestAWindowIsReadThroughItsIndex(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	one, two := int64(1), int64(2)
	for name, c := range map[string]struct {
		f     store.Filter
		index string
	}{
		"recorded from":     {store.Filter{RecordedFrom: &one}, "events_recorded"},
		"recorded window":   {store.Filter{RecordedFrom: &one, RecordedTo: &two}, "events_recorded"},
		"time from":         {store.Filter{TimeFrom: &one}, "events_time"},
		"time window":       {store.Filter{TimeFrom: &one, TimeTo: &two}, "events_time"},
		"recorded and time": {store.Filter{RecordedFrom: &one, TimeFrom: &one}, "events_recorded"},
		"nothing":           {store.Filter{}, "events_recorded"},
	} {
		text, args, err := store.EventsQuery(c.f).ToSql()
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		err = sqlitex.ExecuteTransient(s.WriteConn(), "EXPLAIN QUERY PLAN "+text, &sqlitex.ExecOptions{Args: args, ResultFunc: func(st *sqlite.Stmt) error {
			plan = append(plan, st.ColumnText(3))
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(plan, "; ")
		if !strings.Contains(got, c.index) || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("%s: %s, want %s and no sort", name, got, c.index)
		}
	}
}

// TestManyRows fills the store with 100,000 rows: a window of the newest costs a
// fraction of reading it all, and one read has its cap.
func TestManyRows(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: 100,000 rows, in short mode")
	}
	const rows = 100_000
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer s.Close()
	for at := int64(0); at < rows; at += 10_000 {
		var b store.Batch
		for i := at; i < at+10_000; i++ {
			b.Events = append(b.Events, event(i))
		}
		if err := s.Commit(ctx, &b); err != nil {
			t.Fatal(err)
		}
	}
	read := func(f store.Filter) (n int, more bool, took time.Duration) {
		took = time.Hour
		for range 3 {
			n = 0
			start := cputime.Start()
			var err error
			if more, err = s.Events(ctx, f, func(*store.Event) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
			took = min(took, start.Took())
		}
		return n, more, took
	}
	from, old := int64(rows-100), int64(100)
	all, more, allTook := read(store.Filter{})
	if all != store.MaxRows || !more {
		t.Errorf("one read gave %d rows, more %v", all, more)
	}
	for name, f := range map[string]store.Filter{"newest": {RecordedFrom: &from}, "oldest": {RecordedTo: &old}, "oldest by time": {TimeTo: &old}} {
		n, more, took := read(f)
		if n < 100 || n > 101 || more {
			t.Errorf("%s: %d rows, more %v", name, n, more)
		}
		if took > allTook/10 {
			t.Errorf("%s: %v for %d rows, %v for %d: is the index used?", name, took, n, allTook, all)
		}
	}
	for _, most := range []int{rows - 1, rows} {
		s.ReadUpTo(most)
		if n, more, _ := read(store.Filter{}); n != most || more != (most < rows) {
			t.Errorf("one read up to %d gave %d rows, more %v", most, n, more)
		}
	}
	known, err := s.Sightings(ctx, []*store.Event{event(50_000), event(rows + 1)})
	if err != nil || len(known) != 2 || len(known[0]) != 1 || len(known[1]) != 0 || known[0][0].EventID != event(50_000).EventID {
		t.Errorf("known: %v, %v", known, err)
	}
}

func TestTrimByNumber(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer s.Close()
	b := &store.Batch{Now: 10, Gaps: map[string][]evidence.Gap{}}
	for i := int64(1); i <= 4; i++ {
		b.Events = append(b.Events, event(i))
		b.Gaps["a"] = append(b.Gaps["a"], evidence.Gap{From: i})
	}
	if err := s.Commit(ctx, b); err != nil {
		t.Fatal(err)
	}
	// The newest ids move up to where the cap leaves two.
	execute(t, s, fmt.Sprintf("UPDATE events SET id = id + %d WHERE id > 2; UPDATE gaps SET id = id + %d WHERE id > 2", store.MaxEvents-2, store.MaxGaps-2))
	n, err := s.Trim(ctx, 11)
	if err != nil || n != 2 {
		t.Errorf("removed %d, %v", n, err)
	}
	if got := fmt.Sprint(ids(t, s, store.Filter{})); got != "[e4 e3]" {
		t.Errorf("left %s", got)
	}
	if gaps := count(t, s, "SELECT count(*) FROM gaps"); gaps != 2 {
		t.Errorf("%d gaps left", gaps)
	}
	if n, err := s.Trim(ctx, 11); n != 0 || err != nil {
		t.Errorf("nothing to remove: %d, %v", n, err)
	}
	// An id that was freed is not given to a new row: rows are known by it.
	if err := s.Commit(ctx, &store.Batch{Events: []*store.Event{event(9)}}); err != nil {
		t.Fatal(err)
	}
	if id := count(t, s, "SELECT max(id) FROM events"); id != store.MaxEvents+3 {
		t.Errorf("the new row has id %d", id)
	}
}

// TestNothingIsReadableByOthers looks at every file while the store is in use.
func TestNothingIsReadableByOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: modes of files, which Windows has not")
	}
	dir := filepath.Join(t.TempDir(), "deep", "state")
	s := open(t, dir)
	defer s.Close()
	if err := s.Commit(context.Background(), full(1)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v %v", info.Mode(), err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 3 {
		t.Fatalf("files: %v, %v", files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", f.Name(), info.Mode(), err)
		}
	}
}
