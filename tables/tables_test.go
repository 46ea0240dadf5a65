package tables_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tables"
)

func all(t *testing.T) []*tables.Table {
	t.Helper()
	a, err := app.Open(context.Background(), app.Options{Temporary: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	if err := a.Engine.Collect(context.Background()); err != nil {
		t.Fatal(err)
	}
	return a.Tables
}

func TestEveryColumnIsDeclaredOnPurpose(t *testing.T) {
	for _, tab := range all(t) {
		if tab.Description == "" || len(tab.Examples) == 0 {
			t.Errorf("%s lacks a description or an example", tab.Name)
		}
		first := tab.Columns[0]
		if first.Required || first.Additional || first.Index {
			t.Errorf("%s: the first column is pushed; LIMIT arrives there", tab.Name)
		}
		columns := map[string]bool{"rowid": true}
		for _, c := range tab.Columns {
			columns[c.Name] = true
			if c.Description == "" {
				t.Errorf("%s.%s has no description", tab.Name, c.Name)
			}
			if !c.Additional && !c.Optimized || c.Index {
				t.Errorf("%s.%s: an option-less column becomes an index in osquery", tab.Name, c.Name)
			}
		}
		rows, err := tab.Generate.Maps(context.Background(), table.QueryContext{Constraints: map[string]table.ConstraintList{
			"cmdline": {Constraints: []table.Constraint{{Operator: table.OperatorEquals, Expression: "systemctl"}}}}})
		if err != nil {
			t.Errorf("%s: %v", tab.Name, err)
		}
		ids := map[string]bool{}
		for _, r := range rows {
			if r["rowid"] == "" || ids[r["rowid"]] {
				t.Errorf("%s: a row without a rowid of its own: %v", tab.Name, r)
			}
			ids[r["rowid"]] = true
			for k := range r {
				if !columns[k] {
					t.Errorf("%s: a row has %q, which is no column", tab.Name, k)
				}
			}
		}
	}
}

// events is a reader that shows what it was asked.
type events struct{ asked store.Filter }

func (e *events) EventRows(_ context.Context, f store.Filter, fn func(store.EventRow) error) (bool, error) {
	e.asked = f
	return false, fn(&store.Event{ID: 7, EventID: "e7", Score: 25, Severity: "low"})
}

type nobody struct{}

func (nobody) Nudge() {}

func TestConstraintsBecomeBounds(t *testing.T) {
	n := func(i int64) *int64 { return &i }
	for _, c := range []struct {
		name     string
		list     []table.Constraint
		from, to *int64
	}{
		{"none", nil, nil, nil},
		{"both", []table.Constraint{{Operator: table.OperatorGreaterThan, Expression: "5"}, {Operator: table.OperatorLessThanOrEquals, Expression: "9"}}, n(5), n(9)},
		{"loosest of two", []table.Constraint{{Operator: table.OperatorGreaterThanOrEquals, Expression: "5"}, {Operator: table.OperatorGreaterThanOrEquals, Expression: "3"}}, n(3), nil},
		{"equals", []table.Constraint{{Operator: table.OperatorEquals, Expression: "5"}}, n(5), n(5)},
		{"in", []table.Constraint{{Operator: table.OperatorEquals, Expression: "5"}, {Operator: table.OperatorEquals, Expression: "2"}}, n(2), n(5)},
		{"text", []table.Constraint{{Operator: table.OperatorGreaterThan, Expression: "abc"}}, nil, nil},
		{"text in a list", []table.Constraint{{Operator: table.OperatorEquals, Expression: "5"}, {Operator: table.OperatorEquals, Expression: "x"}}, nil, nil},
		{"overflow", []table.Constraint{{Operator: table.OperatorLessThan, Expression: "99999999999999999999"}}, nil, nil},
		{"limit and not understood", []table.Constraint{{Operator: 73, Expression: "5"}, {Operator: 68, Expression: ""}, {Operator: table.OperatorLike, Expression: "5%"}}, nil, nil},
	} {
		r := &events{}
		rows, err := tables.ServiceDiscoveryEvents(r, nobody{}).Generate.Maps(context.Background(), table.QueryContext{Constraints: map[string]table.ConstraintList{"recorded": {Constraints: c.list}}})
		if err != nil || len(rows) != 1 || rows[0]["rowid"] != "7" {
			t.Errorf("%s: %v, %v", c.name, rows, err)
		}
		if d := cmp.Diff(store.Filter{RecordedFrom: c.from, RecordedTo: c.to}, r.asked); d != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, d)
		}
	}
}

func TestGuard(t *testing.T) {
	g := tables.NewGuard(100*time.Millisecond, 1, nil)
	release := make(chan struct{})
	wrap := func(name string, gen table.GenerateFunc) *tables.Table {
		return g.Wrap(&tables.Table{Name: name, Generate: tables.FromMaps(gen)})
	}
	ctx, q := context.Background(), table.QueryContext{}
	panics := wrap("panics", func(context.Context, table.QueryContext) ([]map[string]string, error) {
		rows := []map[string]string{}
		return rows[len(rows)+1:], nil
	})
	fails := wrap("fails", func(context.Context, table.QueryContext) ([]map[string]string, error) {
		return nil, errors.New("no disk")
	})
	slow := wrap("slow", func(context.Context, table.QueryContext) ([]map[string]string, error) { <-release; return nil, nil })
	good := wrap("good", func(context.Context, table.QueryContext) ([]map[string]string, error) {
		return []map[string]string{{"a": "b"}}, nil
	})
	for _, c := range []struct {
		tab  *tables.Table
		want string
	}{{panics, "panics: internal error"}, {fails, "fails: no disk"}, {slow, "slow: no answer within"}, {good, "good: too many queries"}} {
		if _, err := c.tab.Generate.Maps(ctx, q); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.tab.Name, err, c.want)
		}
	}
	close(release)
	g.Wait()
	if rows, err := good.Generate.Maps(ctx, q); err != nil || len(rows) != 1 {
		t.Errorf("after the slow one ended: %v, %v", rows, err)
	}
	got := map[string]tables.Stats{}
	for _, s := range g.Stats() {
		got[s.Table] = s
	}
	if got["panics"].Panics != 1 || got["fails"].Errors != 1 || got["slow"].Timeouts != 1 || got["good"].Refused != 1 || got["good"].Rows != 1 {
		t.Errorf("counts %+v", got)
	}
}
