package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

// TestSightingsFindAllThatCount compares with what each event alone asks for, of random
// rows: by process, by launcher, by those that descend from it, by logs without a process.
func TestSightingsFindAllThatCount(t *testing.T) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(1, 2))
	pid := func() int64 { return int64(r.IntN(12)) }
	random := func(i int) *store.Event {
		e := event(int64(i))
		p := &e.Process
		e.EventID, e.Identity = fmt.Sprintf("r%d", i), int64(r.IntN(3))
		p.Time, p.PID, p.ParentPID = 10_000+int64(r.IntN(1500)), pid(), pid()
		p.Path, p.ParentPath = []string{"/usr/bin/sudo", "/usr/bin/systemctl"}[r.IntN(2)], []string{"", "/usr/bin/sudo"}[r.IntN(2)]
		e.Ancestry = "[]"
		if above := pid(); above > 5 {
			e.Ancestry = fmt.Sprintf(`[{"cmdline":"x \"pid\":3}","path":"/x","pid":%d}]`, above)
			p.Ancestry = []evidence.Ancestor{{PID: above, Path: "/x"}}
		}
		return e
	}
	s := open(t, t.TempDir())
	defer s.Close()
	var rows, asked []*store.Event
	for i := range 400 {
		rows = append(rows, random(i))
	}
	if err := s.Commit(ctx, &store.Batch{Events: rows}); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		e := random(1000 + i)
		if r.IntN(2) == 0 {
			e.Process.Late = 120
		}
		if r.IntN(3) == 0 {
			e.Process.CmdLine = "a b c d e f g h i j k l"
		}
		asked = append(asked, e)
	}
	found, err := s.Sightings(ctx, asked)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for i, e := range asked {
		var want []string
		for _, row := range rows {
			if counts(row, e) {
				want = append(want, row.EventID)
			}
		}
		var got []string
		for _, f := range found[i] {
			got = append(got, f.EventID)
		}
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("event %d: %s is missing among %v", i, w, got)
			}
		}
		alone, err := s.Sightings(ctx, []*store.Event{e})
		if err != nil || len(alone[0]) != len(found[i]) {
			t.Errorf("event %d: %d rows among others, %d alone (%v)", i, len(found[i]), len(alone[0]), err)
		}
		total += len(want)
	}
	if total < 100 {
		t.Errorf("only %d rows count", total)
	}
}

// counts is what Sightings promises, of one row and one event.
func counts(row, e *store.Event) bool {
	q, p := &row.Process, &e.Process
	d := p.Time - q.Time
	near := d >= -store.SightingWindow && d <= store.SightingWindow
	above := q.PID != 0 && (q.PID == p.PID || q.PID == p.ParentPID || slices.ContainsFunc(p.Ancestry, func(a evidence.Ancestor) bool { return a.PID == q.PID }))
	below := p.PID != 0 && (q.ParentPID == p.PID || slices.ContainsFunc(q.Ancestry, func(a evidence.Ancestor) bool { return a.PID == p.PID }))
	if row.Identity != e.Identity {
		return p.Late > 0 && p.PID != 0 && len(p.CmdLine) > 20 && q.PID == p.PID && q.ParentPID == p.ParentPID && d >= -store.SightingWindow && d <= p.Late
	}
	switch {
	case near && (q.PID == 0 || p.PID == 0 || above || below):
		return true
	case d > store.SightingWindow && d <= store.LaunchWindow && p.ParentPID > 0 && above:
		return true
	case d > store.SightingWindow && d <= store.LaunchWindow && p.PID == 0 && p.ParentPID == 0 && p.ParentPath != "" && q.Path == "/usr/bin/sudo":
		return true
	}
	return d > store.SightingWindow && d <= p.Late && p.PID != 0 && (above || below)
}

// TestAFloodOfOneCommandIsLookedForOnce: four times as many of one command, among four
// times as many rows of it, cost about four times as much, not sixteen.
func TestAFloodOfOneCommandIsLookedForOnce(t *testing.T) {
	ctx := context.Background()
	cost := func(n int) time.Duration {
		s := open(t, t.TempDir())
		defer s.Close()
		flood := func(from int) (out []*store.Event) {
			for i := range n {
				e := event(int64(from + i))
				e.Identity, e.Process.Time, e.Process.PID, e.Process.ParentPID, e.Process.Late = 7, 10_000, int64(100_000+from+i), 1, 120
				out = append(out, e)
			}
			return out
		}
		if err := s.Commit(ctx, &store.Batch{Events: flood(0)}); err != nil {
			t.Fatal(err)
		}
		asked, took := flood(n), time.Hour
		for range 3 {
			watch := cputime.Start()
			if _, err := s.Sightings(ctx, asked); err != nil {
				t.Fatal(err)
			}
			took = min(took, watch.Took())
		}
		return took
	}
	if few, many := cost(1000), cost(4000); many > 9*few {
		t.Errorf("1,000 among 1,000 cost %v, 4,000 among 4,000 %v", few, many)
	}
}
