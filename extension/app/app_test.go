package app_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/osquery/osquery-go/plugin/table"
	"go.uber.org/goleak"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tests/permit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, o app.Options) *app.App {
	t.Helper()
	a, err := app.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// rows asks a table of the app by name, as osquery would.
func rows(t *testing.T, a *app.App, name string, constraints map[string]table.ConstraintList) []map[string]string {
	t.Helper()
	for _, tab := range a.Tables {
		if tab.Name == name {
			out, err := tab.Generate.Maps(context.Background(), table.QueryContext{Constraints: constraints})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
	}
	t.Fatalf("no table %s", name)
	return nil
}

func health(t *testing.T, a *app.App) map[string]string {
	t.Helper()
	if a.Engine != nil {
		if err := a.Engine.Collect(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]string{}
	for _, r := range rows(t, a, "service_discovery_health", nil) {
		out[r["component"]] = r["state"] + ": " + r["detail"]
	}
	return out
}

// once is a source that brings one listing of services.
type once struct{}

func (once) Name() string { return "once" }
func (once) Read(context.Context, string, int) (evidence.Batch, error) {
	return evidence.Batch{Processes: []evidence.Process{{Platform: evidence.Linux, PID: 5, CmdLine: "systemctl list-units", Time: time.Now().Unix(), Source: "once"}}, Cursor: "1", Read: 1}, nil
}

func sources(list ...engine.Source) func(app.Rooms) []engine.Source {
	return func(app.Rooms) []engine.Source { return list }
}

func TestFromEvidenceToTheTable(t *testing.T) {
	dir := t.TempDir()
	conf := write(t, filepath.Join(dir, "etc", "rollcall.yaml"), "weights: {elevated: 0}\nrules_dir: "+filepath.Join(dir, "rules.d")+"\n")
	write(t, filepath.Join(dir, "rules.d", "mine.yml"), "title: Mine\nid: 00000000-0000-4000-8000-000000000001\nlevel: critical\nlogsource: {category: process_creation}\ndetection: {sel: {CommandLine|contains: list-units}, condition: sel}\n")
	a := open(t, app.Options{ConfigFile: conf, StateDir: filepath.Join(dir, "state"), Sources: sources(once{})})
	h := health(t, a)
	if len(a.Notes) != 0 || !strings.HasPrefix(h["config"], "ok") || !strings.HasPrefix(h["rules"], "ok") || !strings.HasPrefix(h["store"], "ok") {
		t.Errorf("notes %v, health %v", a.Notes, h)
	}
	got := rows(t, a, "service_discovery_events", nil)
	if len(got) != 1 || got[0]["severity"] != "critical" || !strings.Contains(got[0]["rule_ids"], "00000000-0000-4000-8000-000000000001") {
		t.Errorf("rows %v", got)
	}
	// Beside it a second one reads the same rows and collects nothing.
	b := open(t, app.Options{ConfigFile: conf, StateDir: filepath.Join(dir, "state"), Sources: func(app.Rooms) []engine.Source {
		t.Error("the second one has sources")
		return nil
	}})
	if b.Engine != nil || !b.Store.ReadOnly() || len(b.Notes) != 1 {
		t.Errorf("the second one: engine %v, notes %v", b.Engine != nil, b.Notes)
	}
	if again := rows(t, b, "service_discovery_events", nil); len(again) != 1 || again[0]["event_id"] != got[0]["event_id"] {
		t.Errorf("the second one's rows %v", again)
	}
}

// TestWhatIsWrongIsSaidAndDetectionGoesOn with each of the user's files.
func TestWhatIsWrongIsSaidAndDetectionGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		prepare   func(t *testing.T, dir string)
		component string
		want      string
	}{
		"configuration with a mistake": {func(t *testing.T, dir string) { write(t, filepath.Join(dir, "c.yaml"), "log_levl: info") }, "config", `degraded: ` + "%s" + `: line 1, column 1: no option "log_levl"`},
		"no configuration at all":      {func(*testing.T, string) {}, "config", "degraded: open the configuration"},
		"a bad rule": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "c.yaml"), "rules_dir: "+filepath.Join(dir, "rules.d"))
			write(t, filepath.Join(dir, "rules.d", "x.yml"), "title: [")
		}, "rules", "1 refused"},
		"a rule others can write": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "c.yaml"), "rules_dir: "+filepath.Join(dir, "rules.d"))
			permit.Write(t, write(t, filepath.Join(dir, "rules.d", "x.yml"), "title: x"))
		}, "rules", "1 refused"},
		"rules others can write": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "c.yaml"), "rules_dir: "+filepath.Join(dir, "rules.d"))
			write(t, filepath.Join(dir, "rules.d", "x.yml"), "title: x")
			permit.Write(t, filepath.Join(dir, "rules.d"))
		}, "config", "degraded: refuse rules in"},
		"a state that cannot be": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "c.yaml"), "")
			write(t, filepath.Join(dir, "state"), "a file")
		}, "store", "degraded: temporary"},
		"a corrupt state": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "c.yaml"), "")
			write(t, filepath.Join(dir, "state", "rollcall.db"), strings.Repeat("garbage ", 2000))
		}, "store", "degraded: a corrupt database was set aside"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.prepare(t, dir)
			conf := filepath.Join(dir, "c.yaml")
			a := open(t, app.Options{ConfigFile: conf, StateDir: filepath.Join(dir, "state"), Sources: sources(once{})})
			h := health(t, a)
			want := c.want
			if strings.Contains(want, "%s") {
				want = fmt.Sprintf(want, conf)
			}
			if !strings.Contains(h[c.component], want) {
				t.Errorf("%s is %q, want %q", c.component, h[c.component], want)
			}
			for _, other := range []string{"config", "rules", "store"} {
				if other != c.component && !strings.HasPrefix(h[other], "ok") {
					t.Errorf("%s is blamed too: %q", other, h[other])
				}
			}
			if len(a.Notes) == 0 {
				t.Error("nothing is said to a person")
			}
			if got := rows(t, a, "service_discovery_events", nil); len(got) != 1 {
				t.Errorf("%d rows", len(got))
			}
		})
	}
}

func TestTemporaryLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	a, err := app.Open(context.Background(), app.Options{Temporary: true, ConfigFile: write(t, filepath.Join(t.TempDir(), "c.yaml"), "")})
	if err != nil {
		t.Fatal(err)
	}
	dir := a.Store.Dir()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

// scripted is a source whose answer a test sets, and which counts its starts and ends.
type scripted struct {
	err           atomic.Value
	starts, stops atomic.Int32
}

func (s *scripted) Name() string { return "scripted" }
func (s *scripted) Read(context.Context, string, int) (evidence.Batch, error) {
	if err, ok := s.err.Load().(error); ok && !errors.Is(err, errNone) {
		return evidence.Batch{}, err
	}
	return evidence.Batch{Cursor: "read"}, nil
}
func (s *scripted) Start(context.Context) error { s.starts.Add(1); return nil }
func (s *scripted) Close() error                { s.stops.Add(1); return nil }

var errNone = fmt.Errorf("none")

// TestFallback runs the second source only while the first is not there; slow is not
// absent.
func TestFallback(t *testing.T) {
	ctx := context.Background()
	first, second := &scripted{}, &scripted{}
	p := app.NewPreferred(first)
	f := app.NewFallback(ctx, second, p)
	early, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	if _, err := f.Read(early, "", 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the first was asked: %v", err)
	}
	cancel()
	step := func(name string, firstErr error, wantOff bool, starts, stops int32) {
		t.Helper()
		first.err.Store(fmt.Errorf("%w", firstErr))
		_, _ = p.Read(ctx, "", 1)
		b, err := f.Read(ctx, "", 1)
		var off *evidence.Unavailable
		if errors.As(err, &off) != wantOff || !wantOff && b.Cursor != "read" {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
		if second.starts.Load() != starts || second.stops.Load() != stops {
			t.Errorf("%s: %d starts, %d stops", name, second.starts.Load(), second.stops.Load())
		}
	}
	missing := &evidence.Unavailable{State: evidence.StateOff, Detail: "no table"}
	step("the first is missing", missing, false, 1, 0)
	step("still", missing, false, 1, 0)
	step("it is there", errNone, true, 1, 1)
	step("it is slow", context.DeadlineExceeded, true, 1, 1)
	step("it is missing again", missing, false, 2, 1)
	wrapped := app.NewPreferred(f)
	if !f.Volatile() || !wrapped.Volatile() || p.Volatile() {
		t.Errorf("volatile: %v, wrapped %v, the first %v", f.Volatile(), wrapped.Volatile(), p.Volatile())
	}
	if err := f.Close(); err != nil || second.stops.Load() != 2 {
		t.Errorf("close: %v, %d stops", err, second.stops.Load())
	}
	if f.Volatile() {
		t.Error("volatile after its end")
	}
	alone := app.NewFallback(ctx, &scripted{})
	if b, err := alone.Read(ctx, "", 1); err != nil || b.Cursor != "read" {
		t.Errorf("with nothing preferred: %+v, %v", b, err)
	}
	if err := errors.Join(alone.Close(), alone.Close()); err != nil {
		t.Error(err)
	}
}

func TestMachineID(t *testing.T) {
	if id := app.MachineID("host"); id == "" {
		t.Error("no id")
	}
}

// TestSucceed: who takes another one's place waits for its end, shows it, and goes on
// without it where that does not come.
func TestSucceed(t *testing.T) {
	state := t.TempDir()
	none := sources()
	first, err := app.Open(t.Context(), app.Options{StateDir: state, Sources: none})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := app.Open(t.Context(), app.Options{StateDir: state, Sources: none, Succeed: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if reader.Engine != nil || !store.Awaited(state) {
		t.Errorf("it writes (%v), or does not show that it waits", reader.Engine != nil)
	}
	reader.Resign(hclog.NewNullLogger())
	if store.Awaited(state) {
		t.Error("it waits still")
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	opened := make(chan *app.App, 1)
	go func() {
		a, err := app.Open(t.Context(), app.Options{StateDir: state, Sources: none, Succeed: time.Hour})
		if err != nil {
			t.Error(err)
		}
		opened <- a
	}()
	for !store.Awaited(state) {
		time.Sleep(10 * time.Millisecond)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	second := <-opened
	if second == nil {
		return
	}
	if second.Engine == nil || store.Awaited(state) {
		t.Errorf("it does not write (%v), or waits still", second.Engine == nil)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}
