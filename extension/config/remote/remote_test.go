package remote_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/config/remote"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// core is osquery as a Watcher sees it.
type core struct {
	mu      sync.Mutex
	view    []map[string]string // nil: no such view
	err     error               // of every query
	options map[string]string
	optErr  error
	asked   []string
	wait    time.Duration
}

func (c *core) set(change func(*core)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

func (c *core) Query(ctx context.Context, sql string) ([]map[string]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, sql)
	if c.wait > 0 {
		select {
		case <-time.After(c.wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	if c.view == nil {
		return nil, errors.New("query failed: no such table: rollcall_config")
	}
	return c.view, nil
}

func (c *core) Options(context.Context) (map[string]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.options, c.optErr
}

func rows(texts ...string) []map[string]string {
	out := []map[string]string{}
	for _, t := range texts {
		out = append(out, map[string]string{"json": t})
	}
	return out
}

// host is where configurations are put in force.
type host struct {
	got  []config.Config
	fail error
}

func (h *host) apply(_ context.Context, c config.Config) error {
	h.got = append(h.got, c)
	if h.fail != nil && c.LogLevel == "trace" {
		return h.fail
	}
	return nil
}

func (h *host) level() string {
	if len(h.got) == 0 {
		return ""
	}
	return h.got[len(h.got)-1].LogLevel
}

func watcher(c *core) (*remote.Watcher, *host) {
	h := &host{}
	base := config.Default()
	base.LogLevel = "warn"
	return remote.New(remote.Options{Base: base, Querier: c, Optioner: c, Apply: h.apply}), h
}

// TestLife goes through what happens to a fleet's configuration, one step after the
// other.
func TestLife(t *testing.T) {
	debug, info := config.Hash([]byte(`{"log_level":"debug"}`)), config.Hash([]byte(`{"log_level":"info"}`))
	empty := config.Hash([]byte("{}"))
	for name, steps := range map[string][]struct {
		what    string
		change  func(*core)
		applied int    // calls of Apply so far
		level   string // of the last one
		from    string
		hash    string
		state   string
		detail  string
	}{
		"by the view": {
			{"nothing yet", func(*core) {}, 0, "", remote.FromHost, "", evidence.StateOK, "in force: the host's own"},
			{"it appears", func(c *core) { c.view = rows(`{"log_level": "debug"}`) }, 1, "debug", remote.FromView, debug, evidence.StateOK, debug + " from the view"},
			{"it stays", func(*core) {}, 1, "debug", remote.FromView, debug, evidence.StateOK, ""},
			{"other blanks", func(c *core) { c.view = rows(`{ "log_level":"debug" }`) }, 2, "debug", remote.FromView, debug, evidence.StateOK, ""},
			{"it changes", func(c *core) { c.view = rows(`{"log_level": "info"}`) }, 3, "info", remote.FromView, info, evidence.StateOK, ""},
			{"bad JSON", func(c *core) { c.view = rows(`{"log_level": `) }, 3, "info", remote.FromView, info, evidence.StateDegraded, "refused: line 1, column 15: not valid JSON"},
			{"still bad", func(*core) {}, 3, "info", remote.FromView, info, evidence.StateDegraded, "refused"},
			{"a bad option", func(c *core) { c.view = rows(`{"log_levl": "info"}`) }, 3, "info", remote.FromView, info, evidence.StateDegraded, `no option "log_levl", did you mean "log_level"?; in force: ` + info},
			{"a bad value", func(c *core) { c.view = rows(`{"log_level": "loud"}`) }, 3, "info", remote.FromView, info, evidence.StateDegraded, `log_level is "loud"`},
			{"mended", func(c *core) { c.view = rows(`{"log_level": "debug"}`) }, 4, "debug", remote.FromView, debug, evidence.StateOK, ""},
			{"not now", func(c *core) { c.view = nil }, 4, "debug", remote.FromView, debug, evidence.StateOK, ""},
			{"an option meanwhile", func(c *core) { c.options = map[string]string{remote.Option: `{"log_level": "error"}`} }, 4, "debug", remote.FromView, debug, evidence.StateOK, ""},
			{"no row", func(c *core) { c.view = rows() }, 4, "debug", remote.FromView, debug, evidence.StateDegraded, "has 0 rows: must have 1"},
			{"two rows", func(c *core) { c.view = rows("{}", "{}") }, 4, "debug", remote.FromView, debug, evidence.StateDegraded, "has more than 1 rows"},
			{"another column", func(c *core) { c.view = []map[string]string{{"jsn": "{}"}} }, 4, "debug", remote.FromView, debug, evidence.StateDegraded, "has no column json"},
			{"an empty text", func(c *core) { c.view = rows("") }, 4, "debug", remote.FromView, debug, evidence.StateDegraded, "is empty: {} is none"},
			{"an empty object", func(c *core) { c.view = rows("{}") }, 5, "warn", remote.FromView, empty, evidence.StateOK, ""},
			{"switched off", func(c *core) { c.view = rows(`{"enabled": false}`) }, 6, "warn", remote.FromView, config.Hash([]byte(`{"enabled":false}`)), evidence.StateOff, "switched off by"},
			{"switched on", func(c *core) { c.view = rows("{}") }, 7, "warn", remote.FromView, empty, evidence.StateOK, ""},
		},
		"by the option": {
			{"no option", func(c *core) { c.options = map[string]string{"verbose": "true", remote.Option: " "} }, 0, "", remote.FromHost, "", evidence.StateOK, ""},
			{"an option", func(c *core) { c.options = map[string]string{remote.Option: `{"log_level":"info"}`} }, 1, "info", remote.FromOption, info, evidence.StateOK, info + " from the option"},
			{"a bad one", func(c *core) { c.options = map[string]string{remote.Option: "null"} }, 1, "info", remote.FromOption, info, evidence.StateDegraded, "must be an object"},
			{"taken away", func(c *core) { c.options = nil }, 1, "info", remote.FromOption, info, evidence.StateDegraded, "must be an object"},
			{"an empty object", func(c *core) { c.options = map[string]string{remote.Option: "{}"} }, 2, "warn", remote.FromOption, empty, evidence.StateOK, ""},
			{"a view takes over", func(c *core) { c.view = rows(`{"log_level":"debug"}`) }, 3, "debug", remote.FromView, debug, evidence.StateOK, ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := &core{}
			w, h := watcher(c)
			for _, s := range steps {
				c.set(s.change)
				w.Poll(t.Context())
				got := w.Status()
				if len(h.got) != s.applied || h.level() != s.level || got.From != s.from || got.Hash != s.hash {
					t.Errorf("%s: applied %d times, last %q, from %s %s; want %d, %q, %s %s", s.what, len(h.got), h.level(), got.From, got.Hash, s.applied, s.level, s.from, s.hash)
				}
				state, detail, remedy := w.Health()
				if state != s.state || !strings.Contains(detail, s.detail) {
					t.Errorf("%s: %s, %q; want %s, %q", s.what, state, detail, s.state, s.detail)
				}
				if (state == evidence.StateOK) != (remedy == "") {
					t.Errorf("%s: %s with the remedy %q", s.what, state, remedy)
				}
				if got.Enabled != (s.state != evidence.StateOff) {
					t.Errorf("%s: enabled %v", s.what, got.Enabled)
				}
			}
		})
	}
}

// TestWhatCannotBePutInForceIsRolledBack: the one before is put back, and the new one
// tried again.
func TestWhatCannotBePutInForceIsRolledBack(t *testing.T) {
	c := &core{view: rows(`{"log_level": "debug"}`)}
	w, h := watcher(c)
	w.Poll(t.Context())
	h.fail = errors.New("no space")
	c.set(func(c *core) { c.view = rows(`{"log_level": "trace"}`) })
	w.Poll(t.Context())
	if len(h.got) != 3 || h.level() != "debug" {
		t.Fatalf("%d calls, last %q", len(h.got), h.level())
	}
	if state, detail, _ := w.Health(); state != evidence.StateDegraded || !strings.Contains(detail, "cannot be put in force: no space") {
		t.Errorf("%s, %s", state, detail)
	}
	h.fail = nil
	w.Poll(t.Context())
	if state, _, _ := w.Health(); len(h.got) != 4 || h.level() != "trace" || state != evidence.StateOK {
		t.Errorf("%d calls, last %q, %s", len(h.got), h.level(), state)
	}
}

// TestABusyCoreIsNoNews: what cannot be read changes nothing, and is said only when it
// lasts.
func TestABusyCoreIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &core{view: rows(`{"log_level": "debug"}`), options: map[string]string{remote.Option: `{"log_level": "error"}`}}
		w, h := watcher(c)
		w.Poll(t.Context())
		c.set(func(c *core) { c.err = errors.New("timed out") })
		for range 20 {
			w.Poll(t.Context())
			time.Sleep(20 * time.Second)
		}
		if state, _, _ := w.Health(); state != evidence.StateOK || h.level() != "debug" || len(h.got) != 1 {
			t.Errorf("after minutes: %s, %d calls, %q", state, len(h.got), h.level())
		}
		time.Sleep(10 * time.Minute)
		state, detail, _ := w.Health()
		if state != evidence.StateDegraded || !strings.Contains(detail, "timed out") {
			t.Errorf("after long: %s, %s", state, detail)
		}
		time.Sleep(time.Hour)
		if _, later, _ := w.Health(); later != detail {
			t.Errorf("the text changes by itself: %s, %s", detail, later)
		}
		c.set(func(c *core) { c.err = nil; c.view = nil })
		w.Poll(t.Context())
		if state, _, _ := w.Health(); state != evidence.StateOK || h.level() != "debug" {
			t.Errorf("it answers again: %s, %q", state, h.level())
		}
	})
}

func TestTheOptionMayFail(t *testing.T) {
	c := &core{optErr: errors.New("closed")}
	w, h := watcher(c)
	w.Poll(t.Context())
	if s := w.Status(); s.Unread.IsZero() || len(h.got) != 0 {
		t.Errorf("%+v", s)
	}
}

// TestRunLooksInIntervals: at once, then so often that a change is in force within a
// minute, and not after its end.
func TestRunLooksInIntervals(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Second, time.Hour} {
		t.Run(fmt.Sprint(interval), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &core{}
				h := &host{}
				w := remote.New(remote.Options{Base: config.Default(), Querier: c, Interval: interval, Apply: h.apply})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					w.Run(ctx)
				}()
				synctest.Wait()
				if len(c.asked) != 1 {
					t.Errorf("asked %d times at once", len(c.asked))
				}
				c.set(func(c *core) { c.view = rows(`{"log_level": "debug"}`) })
				time.Sleep(remote.MaxInterval + time.Second)
				synctest.Wait()
				if h.level() != "debug" {
					t.Errorf("after %v: %q", remote.MaxInterval, h.level())
				}
				cancel()
				<-done
				n := len(c.asked)
				time.Sleep(time.Hour)
				if len(c.asked) != n {
					t.Error("it goes on after its end")
				}
			})
		})
	}
}

// TestASlowCoreIsGivenUp: a look ends, and its end by ctx is no failure.
func TestASlowCoreIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &core{wait: time.Hour}
		w, _ := watcher(c)
		start := time.Now()
		w.Poll(t.Context())
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("a look took %v", d)
		}
		if w.Status().Unread.IsZero() {
			t.Error("a slow core is not noticed")
		}
		w, _ = watcher(c)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		w.Poll(ctx)
		if s := w.Status(); !s.Unread.IsZero() || s.Error != "" {
			t.Errorf("its end is a failure: %+v", s)
		}
	})
}

// TestWithoutOsquery: a Watcher that has nobody to ask changes nothing.
func TestWithoutOsquery(t *testing.T) {
	h := &host{}
	w := remote.New(remote.Options{Base: config.Default(), Apply: h.apply})
	w.Poll(t.Context())
	if s := w.Status(); s.From != remote.FromHost || !s.Enabled || len(h.got) != 0 {
		t.Errorf("%+v", s)
	}
}
