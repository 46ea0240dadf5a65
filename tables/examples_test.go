package tables_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/sqlshell"
	"github.com/osquery-rollcall/rollcall/tables"
)

// coreTable stands in for one of osquery's own.
func coreTable(name string, columns []string, rows ...map[string]string) *tables.Table {
	t := &tables.Table{Name: name, Generate: tables.FromMaps(func(context.Context, table.QueryContext) ([]map[string]string, error) { return rows, nil })}
	for _, c := range columns {
		t.Columns = append(t.Columns, table.TextColumn(c))
	}
	return t
}

// TestEveryExampleRuns runs the examples of all tables as they stand; those of the score
// table that join osquery's tables must find the row that is there.
func TestEveryExampleRuns(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: the examples join a Linux host's tables")
	}
	ctx := context.Background()
	list := all(t)
	list = append(list,
		coreTable("processes", []string{"pid", "name", "cmdline"},
			map[string]string{"rowid": "1", "pid": "10", "name": "systemctl", "cmdline": "systemctl list-units"},
			map[string]string{"rowid": "2", "pid": "11", "name": "cat", "cmdline": "cat /etc/hosts"}),
		coreTable("crontab", []string{"command"}, map[string]string{"rowid": "1", "command": "systemctl list-units"}))
	db, err := sqlshell.Open(ctx, list, sqlshell.Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	examples := 0
	for _, tab := range list {
		for _, sql := range tab.Examples {
			examples++
			n := 0
			if err := db.Query(ctx, sql, func([]string, []sqlshell.Value) error { n++; return nil }); err != nil {
				t.Errorf("%s: %s: %v", tab.Name, sql, err)
			}
			if tab.Name == "service_discovery_score" && n != 1 {
				t.Errorf("%s: %d rows, want 1", sql, n)
			}
		}
	}
	if examples < 8 {
		t.Errorf("only %d examples", examples)
	}
}

// TestPushedColumns names the columns that generators use; all others stay with SQLite.
func TestPushedColumns(t *testing.T) {
	want := map[string]string{
		"service_discovery_events.time": "additional", "service_discovery_events.recorded": "additional", "service_discovery_events.score": "additional",
		"service_discovery_score.cmdline": "required", "service_discovery_score.platform": "additional", "service_discovery_score.path": "additional",
		"service_discovery_score.username": "additional", "service_discovery_score.parent_path": "additional",
	}
	for _, tab := range all(t) {
		for _, c := range tab.Columns {
			name, got := tab.Name+"."+c.Name, ""
			switch {
			case c.Required:
				got = "required"
				if !c.Optimized {
					t.Errorf("%s: a required column that is not optimized is called once a value", name)
				}
			case c.Additional:
				got = "additional"
			}
			if _, ok := want[name]; !ok && tab.Name != "service_discovery_events" && tab.Name != "service_discovery_score" {
				continue // other tables have their own tests
			}
			if got != want[name] {
				t.Errorf("%s is %q, want %q", name, got, want[name])
			}
		}
	}
}

// TestGuardUnderLoad has many callers at once: no more run together than may, every
// call is counted, and the counts are readable meanwhile.
func TestGuardUnderLoad(t *testing.T) {
	const callers, slots = 60, 4
	g := tables.NewGuard(time.Minute, slots, nil)
	var mu sync.Mutex
	running, most := 0, 0
	tab := g.Wrap(&tables.Table{Name: "x", Generate: tables.FromMaps(func(context.Context, table.QueryContext) ([]map[string]string, error) {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		time.Sleep(2 * time.Millisecond)
		mu.Lock()
		running--
		mu.Unlock()
		return []map[string]string{{}, {}}, nil
	})})
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if _, err := tab.Generate.Maps(context.Background(), table.QueryContext{}); err != nil {
				t.Error(err)
			}
			g.Stats()
		})
	}
	wg.Wait()
	g.Wait()
	if most > slots {
		t.Errorf("%d ran at once", most)
	}
	if s := g.Stats(); len(s) != 1 || s[0].Calls != callers || s[0].Rows != 2*callers || s[0].Errors != 0 || s[0].Slowest <= 0 || s[0].Busy < s[0].Slowest {
		t.Errorf("counts %+v", s)
	}
}

// TestGuardGivesTheCallersEnd: a caller that gives up does not wait for the generator,
// and the generator is told.
func TestGuardGivesTheCallersEnd(t *testing.T) {
	g := tables.NewGuard(time.Hour, 1, nil)
	told := make(chan struct{})
	tab := g.Wrap(&tables.Table{Name: "x", Generate: tables.FromMaps(func(ctx context.Context, _ table.QueryContext) ([]map[string]string, error) {
		<-ctx.Done()
		close(told)
		return nil, ctx.Err()
	})})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := tab.Generate.Maps(ctx, table.QueryContext{}); err == nil {
		t.Error("no error")
	}
	<-told
	g.Wait()
}
