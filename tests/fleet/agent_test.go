//go:build linux

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/sqlshell"
	"github.com/osquery-rollcall/rollcall/tables"
	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

// agent stands in for osqueryd where that is not installed: its remote plugins (enroll,
// config, logger, distributed) and its scheduler, over a fake core. Queries really run,
// on the tables of whatever extension is registered with the core.
type agent struct {
	name    string
	core    *fakecore.Core
	central *central
	client  *http.Client
	key     string

	mu       sync.Mutex
	failures []string // of scheduled queries and of calls, while central was there
	killing  bool     // the extension is being killed, in the middle of a call too

	once       sync.Once
	configured chan struct{} // closed when the core has its first configuration

	schedule map[string]*scheduled
	pending  []map[string]any // lines that central has not taken yet
	packs    map[string]bool  // what discovery said, kept as osquery keeps it
}

// scheduled is one query of a pack.
type scheduled struct {
	sql      string
	interval time.Duration
	next     time.Time
	seen     map[string]bool // the rows of the run before
	removed  bool
}

// startAgent runs an agent until the test ends. It returns once the core has its
// configuration: extensions come after that.
func startAgent(t *testing.T, c *central, name string, core *fakecore.Core) *agent {
	t.Helper()
	a := &agent{name: name, core: core, central: c, client: c.client(), schedule: map[string]*scheduled{}, packs: map[string]bool{}, configured: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		a.client.CloseIdleConnections()
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, f := range a.failures {
			t.Errorf("%s: %s", name, f)
		}
	})
	select {
	case <-a.configured:
	case <-time.After(2 * time.Minute):
		t.Fatalf("%s has no configuration", name)
	}
	return a
}

func (a *agent) failed(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.failures) < 10 {
		a.failures = append(a.failures, fmt.Sprintf(format, args...))
	}
}

// run is osqueryd's life: it enrolls, takes its configuration, waits for the extension
// as --extensions_require makes it wait, and then does everything in its turn.
func (a *agent) run(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var config, distributed, flush time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if a.key == "" {
			a.report(ctx, "enroll", a.enroll(ctx))
			continue
		}
		if now.After(config) {
			config = now.Add(time.Second)
			a.report(ctx, "config", a.refresh(ctx))
		}
		if len(a.core.Registered()) == 0 {
			continue
		}
		a.runDue(ctx, now)
		if now.After(distributed) {
			distributed = now.Add(500 * time.Millisecond)
			a.report(ctx, "distributed", a.distributed(ctx))
		}
		if now.After(flush) {
			flush = now.Add(500 * time.Millisecond)
			a.report(ctx, "log", a.flush(ctx))
		}
	}
}

// kill lets the extension be killed: a call that it is in fails.
func (a *agent) kill(kill func()) {
	set := func(now bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.killing = now
	}
	set(true)
	defer set(false)
	kill()
}

func (a *agent) killed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.killing
}

func (a *agent) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil && !a.central.isAway() && !a.killed() {
		a.failed("%s: %v", what, err)
	}
}

func (a *agent) url(path string) string { return "https://" + a.central.address + path }

func (a *agent) enroll(ctx context.Context) error {
	var out struct {
		Key     string `json:"node_key"`
		Invalid bool   `json:"node_invalid"`
	}
	if err := call(ctx, a.client, a.url("/enroll"), map[string]any{"enroll_secret": a.central.secret, "host_identifier": a.name}, &out); err != nil {
		return err
	}
	if out.Invalid || out.Key == "" {
		return errors.New("refused")
	}
	a.key = out.Key
	return nil
}

// configuration is the part of osquery's that matters here.
type configuration struct {
	Options map[string]any
	Views   map[string]string
	Packs   map[string]struct {
		Discovery []string
		Queries   map[string]struct {
			Query    string
			Interval int
			Removed  *bool
		}
	}
}

func (a *agent) refresh(ctx context.Context) error {
	var conf configuration
	if err := call(ctx, a.client, a.url("/config"), map[string]any{"node_key": a.key}, &conf); err != nil {
		return err
	}
	for name, v := range conf.Options {
		a.core.SetOption(name, fmt.Sprint(v))
	}
	if err := a.core.SetViews(conf.Views); err != nil {
		return err
	}
	a.once.Do(func() { close(a.configured) })
	if len(a.core.Registered()) == 0 {
		return nil
	}
	keep := map[string]bool{}
	for pack, p := range conf.Packs {
		on, known := a.packs[pack]
		if !known {
			on = true
			for _, sql := range p.Discovery {
				rows, err := a.query(ctx, sql)
				if err != nil {
					return fmt.Errorf("discovery of %s: %w", pack, err)
				}
				on = on && len(rows) > 0
			}
			a.packs[pack] = on
		}
		if !on {
			continue
		}
		for name, q := range p.Queries {
			name = "pack_" + pack + "_" + name
			keep[name] = true
			if old := a.schedule[name]; old == nil || old.sql != q.Query {
				a.schedule[name] = &scheduled{sql: q.Query, seen: map[string]bool{}, removed: q.Removed == nil || *q.Removed}
			}
			a.schedule[name].interval = time.Duration(q.Interval) * time.Second
		}
	}
	maps.DeleteFunc(a.schedule, func(name string, _ *scheduled) bool { return !keep[name] })
	return nil
}

// runDue runs the scheduled queries whose time has come, and logs the rows that were
// not there in the run before.
func (a *agent) runDue(ctx context.Context, now time.Time) {
	for _, name := range slices.Sorted(maps.Keys(a.schedule)) {
		s := a.schedule[name]
		if now.Before(s.next) {
			continue
		}
		s.next = now.Add(s.interval)
		rows, err := a.query(ctx, s.sql)
		if errors.Is(err, errNoExtension) {
			continue // between two lives of it; osquery logs a failure and goes on
		}
		if err != nil {
			a.report(ctx, name, err)
			continue
		}
		seen := map[string]bool{}
		for _, r := range rows {
			text, err := json.Marshal(r)
			if err != nil {
				a.report(ctx, name, err)
				continue
			}
			seen[string(text)] = true
			if s.seen[string(text)] {
				continue
			}
			a.pending = append(a.pending, map[string]any{"name": name, "hostIdentifier": a.name, "action": "added", "unixTime": now.Unix(), "columns": r})
		}
		if s.removed {
			a.failed("%s logs what leaves", name)
		}
		s.seen = seen
	}
}

func (a *agent) flush(ctx context.Context) error {
	if len(a.pending) == 0 {
		return nil
	}
	if err := call(ctx, a.client, a.url("/log"), map[string]any{"node_key": a.key, "log_type": "result", "data": a.pending}, &struct{}{}); err != nil {
		return err
	}
	a.pending = nil
	return nil
}

func (a *agent) distributed(ctx context.Context) error {
	var in struct{ Queries map[string]string }
	if err := call(ctx, a.client, a.url("/read"), map[string]any{"node_key": a.key}, &in); err != nil || len(in.Queries) == 0 {
		return err
	}
	results, statuses, messages := map[string]any{}, map[string]int{}, map[string]string{}
	for id, sql := range in.Queries {
		rows, err := a.query(ctx, sql)
		results[id], statuses[id] = rows, 0
		if err != nil {
			statuses[id], messages[id] = 1, err.Error()
		}
	}
	return call(ctx, a.client, a.url("/write"), map[string]any{"node_key": a.key, "queries": results, "statuses": statuses, "messages": messages}, &struct{}{})
}

// errNoExtension says that nothing is registered now.
var errNoExtension = errors.New("no extension is registered")

// query runs SQL over the tables of the registered extension, beside the core's own.
func (a *agent) query(ctx context.Context, sql string) ([]map[string]string, error) {
	list := a.core.Registered()
	if len(list) == 0 {
		return nil, errNoExtension
	}
	ext := list[len(list)-1]
	tabs := []*tables.Table{a.coreTable("osquery_registry", "registry", "name", "active")}
	for name := range ext.Registry["table"] {
		tab, err := a.remote(ctx, ext.UUID, name)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoExtension, err)
		}
		tabs = append(tabs, tab)
	}
	db, err := sqlshell.Open(ctx, tabs, sqlshell.Options{Strict: true})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows := []map[string]string{}
	err = db.Query(ctx, sql, func(columns []string, values []sqlshell.Value) error {
		row := make(map[string]string, len(columns))
		for i, c := range columns {
			row[c] = values[i].Text
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil && a.core.Registered() == nil {
		return nil, fmt.Errorf("%w: %w", errNoExtension, err)
	}
	return rows, err
}

// coreTable is a table of the core's.
func (a *agent) coreTable(name string, columns ...string) *tables.Table {
	t := &tables.Table{Name: name}
	for _, c := range columns {
		t.Columns = append(t.Columns, table.TextColumn(c))
	}
	t.Generate = tables.FromMaps(func(context.Context, table.QueryContext) ([]map[string]string, error) {
		return a.core.Rows("SELECT rowid, " + strings.Join(columns, ", ") + " FROM " + name)
	})
	return t
}

// remote is a table of the extension's, called over its socket as osquery calls it.
func (a *agent) remote(ctx context.Context, uuid int64, name string) (*tables.Table, error) {
	p, err := a.core.Dial(uuid)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	defined, err := p.Columns(ctx, name)
	if err != nil {
		return nil, err
	}
	t := &tables.Table{Name: name}
	for _, c := range defined {
		if c["id"] != "column" {
			continue
		}
		var op int
		if _, err := fmt.Sscan(c["op"], &op); err != nil {
			return nil, fmt.Errorf("column %s of %s: options %q", c["name"], name, c["op"])
		}
		t.Columns = append(t.Columns, table.ColumnDefinition{
			Name: c["name"], Type: table.ColumnType(c["type"]),
			Index: op&1 != 0, Required: op&2 != 0, Additional: op&4 != 0, Optimized: op&8 != 0, Hidden: op&16 != 0,
		})
	}
	t.Generate = tables.FromMaps(func(ctx context.Context, q table.QueryContext) ([]map[string]string, error) {
		var constraints []fakecore.Constraint
		for column, list := range q.Constraints {
			for _, c := range list.Constraints {
				constraints = append(constraints, fakecore.Constraint{Column: column, Op: int(c.Operator), Expr: c.Expression, Affinity: string(list.Affinity)})
			}
		}
		p, err := a.core.Dial(uuid)
		if err != nil {
			return nil, err
		}
		defer p.Close()
		return p.Generate(ctx, name, nil, constraints...)
	})
	return t, nil
}
