package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/engine/brake"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// endless has as many listings of one user as anybody asks for, and a needle in each read.
type endless struct {
	now    *time.Time
	spent  *time.Duration // what they cost
	pid    int64
	limits []int
	dry    bool
}

func (*endless) Name() string { return "endless" }
func (s *endless) Read(_ context.Context, _ string, limit int) (evidence.Batch, error) {
	if s.dry {
		return evidence.Batch{Cursor: fmt.Sprint(s.pid)}, nil
	}
	s.limits = append(s.limits, limit)
	list := listings(limit, s.pid+1, *s.now, func(int) string { return "systemctl list-units" })
	list[limit/2].CmdLine = fmt.Sprintf("systemctl list-dependencies needle-%d.service", len(s.limits))
	list[limit/2].ParentPath = fmt.Sprintf("/opt/tool%d", len(s.limits))
	s.pid += int64(limit)
	*s.spent += time.Duration(limit) * 400 * time.Microsecond
	return evidence.Batch{Processes: list, Read: int64(limit), More: true, Cursor: fmt.Sprint(s.pid)}, nil
}

// patient is a source that can wait.
type patient struct{ reads atomic.Int32 }

func (*patient) Name() string  { return "patient" }
func (*patient) Patient() bool { return true }
func (p *patient) Read(_ context.Context, cursor string, _ int) (evidence.Batch, error) {
	p.reads.Add(1)
	return evidence.Batch{Cursor: cursor + "."}, nil
}

// TestOverItsBudget is a host that brings ten times what the budget has room for: reads
// are bounded, what can wait is read once a minute, the routine has fewer rows, each
// needle has its own, all is counted, health says what is done, and at last that it is
// over.
func TestOverItsBudget(t *testing.T) {
	s, now, spent := open(t), start, time.Duration(0)
	src, other := &endless{now: &now, spent: &spent}, &patient{}
	e, err := engine.New(context.Background(), engine.Options{Judge: judge(t), Store: s, Sources: []engine.Source{src, other}, HostID: "h", Now: func() time.Time { return now },
		Brake: brake.New(0.06, func() (time.Duration, error) { return spent, nil })})
	if err != nil {
		t.Fatal(err)
	}
	const cycles = 40
	seen := map[string]bool{}
	rowsOf := func() map[string]string {
		out := map[string]string{}
		for _, h := range health(t, s) {
			out[h.Component] = h.Detail
			if h.Component == "brake" && h.State == evidence.StateDegraded {
				for _, word := range []string{"further apart", "put off by up to 1m0s (patient)", "fewer have a row"} {
					seen[word] = seen[word] || strings.Contains(h.Detail, word)
				}
			}
		}
		return out
	}
	for range cycles {
		collect(t, e)
		now = now.Add(5 * time.Second)
		rowsOf()
	}
	for _, limit := range src.limits[4:] {
		if limit > 1000 {
			t.Errorf("a read of %d records, which take %v, at 60 ms a second", limit, time.Duration(limit)*400*time.Microsecond)
		}
	}
	if len(src.limits) > cycles+4 {
		t.Errorf("%d reads in %d cycles", len(src.limits), cycles)
	}
	if n := int(other.reads.Load()); n > cycles/2 || n < 4 {
		t.Errorf("what can wait was read %d times in %d cycles", n, cycles)
	}
	if len(seen) != 3 {
		t.Errorf("health said %v, at last %q", seen, rowsOf()["brake"])
	}
	all, needles := 0, 0
	for _, r := range rows(t, s) {
		all++
		if strings.Contains(r.Process.CmdLine, "needle") {
			needles++
		}
	}
	if needles != len(src.limits) {
		t.Errorf("%d of %d needles have a row", needles, len(src.limits))
	}
	if all > len(src.limits)*50+1000 {
		t.Errorf("%d rows", all)
	}
	if events, _ := bursts(t, s); events != src.pid {
		t.Errorf("bursts count %d of %d", events, src.pid)
	}
	dropped := int64(0)
	for _, h := range health(t, s) {
		if h.Component == "sampling" {
			dropped = h.Dropped
		}
	}
	if dropped+int64(all) != src.pid {
		t.Errorf("%d rows and %d without one of %d", all, dropped, src.pid)
	}
	src.dry = true
	for range 30 {
		collect(t, e)
		now = now.Add(time.Minute)
	}
	if h := health(t, s)["brake"]; h.State != evidence.StateOK || !strings.Contains(h.Detail, "within 6 % of a processor") {
		t.Errorf("health afterwards %+v", h)
	}
}

// dear is a source whose reads cost much.
type dear struct{ reads atomic.Int64 }

func (*dear) Name() string { return "dear" }
func (d *dear) Read(_ context.Context, cursor string, _ int) (evidence.Batch, error) {
	d.reads.Add(1)
	return evidence.Batch{Cursor: cursor + "."}, nil
}

// TestARestEndsForWhatCannotWait: while the brake rests, neither the clock nor a table
// that is read make it collect; a source that runs over does, as long as something is left.
func TestARestEndsForWhatCannotWait(t *testing.T) {
	s, src := open(t), &dear{}
	// 1 % of a processor: a bucket of 40 ms, of which a read takes 32.
	b := brake.New(0.01, func() (time.Duration, error) { return time.Duration(src.reads.Load()) * 32 * time.Millisecond, nil })
	e, err := engine.New(context.Background(), engine.Options{Judge: judge(t), Store: s, Sources: []engine.Source{src}, HostID: "h", Interval: time.Millisecond, Brake: b})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }() // ends with ctx
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	reads := func(n int64) bool {
		for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(time.Millisecond) {
			if src.reads.Load() >= n {
				return true
			}
		}
		return false
	}
	if !reads(1) {
		t.Fatal("nothing is read")
	}
	// Nudges are for nothing: were they followed, there would be thousands of reads.
	for range 50 {
		e.Nudge()
		time.Sleep(time.Millisecond)
	}
	if n := src.reads.Load(); n > 4 {
		t.Errorf("%d reads during a rest", n)
	}
	n := src.reads.Load()
	e.Hurry()
	if !reads(n + 1) {
		t.Error("a source that runs over is not read")
	}
}
