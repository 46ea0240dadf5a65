package tables

import (
	"context"
	"fmt"
	"runtime/debug"
	"sort"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/osquery/osquery-go/plugin/table"
)

// Guard stands around every generator: a deadline, recovery from panics, a cap on
// how many run at once, and counts. Tables reach osquery through it alone.
type Guard struct {
	deadline time.Duration
	slots    chan struct{}
	log      hclog.Logger
	running  sync.WaitGroup

	mu    sync.Mutex
	stats map[string]*Stats
}

// Stats counts a table's calls since the program started.
type Stats struct {
	Table    string
	Calls    int64
	Rows     int64
	Errors   int64
	Timeouts int64
	Panics   int64
	Refused  int64 // no free slot within the deadline
	Busy     time.Duration
	Slowest  time.Duration
	Last     time.Time
	LastText string // the last error
}

// NewGuard returns a guard that ends a generator's wait after deadline and lets at
// most concurrent of them run.
func NewGuard(deadline time.Duration, concurrent int, log hclog.Logger) *Guard {
	if log == nil {
		log = hclog.NewNullLogger()
	}
	return &Guard{deadline: deadline, slots: make(chan struct{}, concurrent), log: log, stats: map[string]*Stats{}}
}

// Wrap returns t with its generator guarded.
func (g *Guard) Wrap(t *Table) *Table {
	guarded := *t
	inner := t.Generate
	guarded.Generate = func(ctx context.Context, q table.QueryContext) (*Rows, error) {
		return g.call(ctx, t.Name, inner, q)
	}
	return &guarded
}

// Wait returns when every generator has ended, also those whose caller gave up.
func (g *Guard) Wait() { g.running.Wait() }

// Stats returns the counts by table.
func (g *Guard) Stats() []Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Stats, 0, len(g.stats))
	for _, s := range g.stats {
		out = append(out, *s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Table < out[j].Table })
	return out
}

type outcome struct {
	rows     *Rows
	err      error
	panicked bool
}

func (g *Guard) call(ctx context.Context, name string, gen Generator, q table.QueryContext) (*Rows, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, g.deadline)
	defer cancel()
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		err := fmt.Errorf("%s: too many queries run at once, try again", name)
		g.count(name, start, outcome{err: err}, func(s *Stats) { s.Refused++ })
		return nil, err
	}
	done := make(chan outcome, 1)
	g.running.Add(1)
	go func() {
		defer g.running.Done()
		defer func() { <-g.slots }()
		done <- g.recovered(ctx, name, gen, q)
	}()
	select {
	case o := <-done:
		g.count(name, start, o, nil)
		return o.rows, o.err
	case <-ctx.Done():
		// The generator keeps its slot until it ends.
		err := fmt.Errorf("%s: no answer within %v: %w", name, g.deadline, ctx.Err())
		g.count(name, start, outcome{err: err}, func(s *Stats) { s.Timeouts++ })
		return nil, err
	}
}

func (g *Guard) recovered(ctx context.Context, name string, gen Generator, q table.QueryContext) (o outcome) {
	defer func() {
		if r := recover(); r != nil {
			g.log.Error("table panicked", "table", name, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			o = outcome{err: fmt.Errorf("%s: internal error: %v", name, r), panicked: true}
		}
	}()
	rows, err := gen(ctx, q)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return outcome{rows: rows, err: err}
}

func (g *Guard) count(name string, start time.Time, o outcome, also func(*Stats)) {
	took := time.Since(start)
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats[name]
	if s == nil {
		s = &Stats{Table: name}
		g.stats[name] = s
	}
	s.Calls++
	s.Rows += int64(o.rows.Len())
	s.Busy += took
	s.Slowest = max(s.Slowest, took)
	s.Last = start
	if o.err != nil {
		s.Errors++
		s.LastText = o.err.Error()
	}
	if o.panicked {
		s.Panics++
	}
	if also != nil {
		also(s)
	}
}
