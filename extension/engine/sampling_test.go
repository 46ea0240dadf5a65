package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

func listings(n int, first int64, at time.Time, line func(i int) string) []evidence.Process {
	out := make([]evidence.Process, n)
	for i := range out {
		out[i] = listing(first+int64(i), "x", at)
		out[i].CmdLine = line(i)
	}
	return out
}

func bursts(t *testing.T, s *store.Store) (events int64, n int) {
	t.Helper()
	if err := s.Bursts(context.Background(), store.Filter{}, func(b *incident.Burst) error { events += b.Events; n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return events, n
}

// TestAFloodPushesNothingOut plants needles in the middle of a flood by the same user:
// their rows are there, the flood has few, its burst counts all, and health says how
// many have no row.
func TestAFloodPushesNothingOut(t *testing.T) {
	for name, line := range map[string]func(i int) string{
		"one command":           func(int) string { return "systemctl list-units" },
		"a new operand each":    func(i int) string { return fmt.Sprintf("systemctl list-dependencies unit-%d.service", i) },
		"two commands by turns": func(i int) string { return []string{"systemctl list-units", "systemctl list-timers"}[i%2] },
	} {
		t.Run(name, func(t *testing.T) {
			s, now, q := open(t), start, &queue{name: "x"}
			e := newEngine(t, s, &now, q)
			const flood = 3000
			q.next = listings(flood, 1000, now, line)
			other := listing(9001, "x", now)
			other.CmdLine = "systemctl list-unit-files --state=enabled"
			hidden := listing(9002, "x", now)
			hidden.CmdLine = `sh -c "s''ystemctl list-un''its"`
			hidden.Path = "/bin/sh"
			web := listing(9003, "x", now)
			web.ParentPath = "/usr/sbin/nginx"
			q.next = append(q.next[:flood/2:flood/2], append([]evidence.Process{other, hidden, web}, q.next[flood/2:]...)...)
			collect(t, e)
			got := map[int64]store.Event{}
			for _, r := range rows(t, s) {
				got[r.Process.PID] = r
			}
			for _, pid := range []int64{9001, 9002, 9003} {
				if _, ok := got[pid]; !ok {
					t.Errorf("the needle %d has no row among %d", pid, len(got))
				}
			}
			if len(got) < 100 || len(got) > 300 {
				t.Errorf("%d rows of a flood", len(got))
			}
			if events, _ := bursts(t, s); events != flood+3 {
				t.Errorf("bursts count %d, want %d", events, flood+3)
			}
			h := health(t, s)["sampling"]
			if h.State != evidence.StateDegraded || h.Dropped != int64(flood+3-len(got)) || !strings.Contains(h.Detail, "al: ") {
				t.Errorf("%d rows, health %+v", len(got), h)
			}
			// A quiet cycle drops nothing, and in the end it is over.
			now = now.Add(15 * time.Minute)
			collect(t, e)
			if after := health(t, s)["sampling"]; after.State != evidence.StateOK || after.Dropped != h.Dropped {
				t.Errorf("health afterwards %+v", after)
			}
		})
	}
}

// TestWhatIsNoFloodHasItsRows is the common case: nothing is left out.
func TestWhatIsNoFloodHasItsRows(t *testing.T) {
	s, now, q := open(t), start, &queue{name: "x"}
	e := newEngine(t, s, &now, q)
	q.next = listings(200, 1000, now, func(int) string { return "systemctl list-units" })
	collect(t, e)
	if n := len(rows(t, s)); n != 200 {
		t.Errorf("%d of 200 rows", n)
	}
	if h := health(t, s)["sampling"]; h.State != evidence.StateOK || h.Dropped != 0 {
		t.Errorf("health %+v", h)
	}
}

// TestALongFloodIsThinnedMore: what goes on for an hour may not push out what is older,
// and a command of another kind is stored all the same.
func TestALongFloodIsThinnedMore(t *testing.T) {
	s, now, q := open(t), start, &queue{name: "x"}
	e := newEngine(t, s, &now, q)
	const cycles, each = 60, 400
	for i := range cycles {
		now = now.Add(10 * time.Second)
		q.next = listings(each, int64(1000+i*each), now, func(int) string { return "systemctl list-units" })
		if i == cycles-1 {
			q.next[each-1].CmdLine = "systemctl list-sockets"
		}
		collect(t, e)
	}
	all := rows(t, s)
	if len(all) > 5000 {
		t.Errorf("%d rows of %d", len(all), cycles*each)
	}
	if all[0].Canonical != `["systemctl list-sockets"]` && all[len(all)-1].Canonical != `["systemctl list-sockets"]` {
		found := false
		for _, r := range all {
			found = found || r.Canonical == `["systemctl list-sockets"]`
		}
		if !found {
			t.Error("the needle has no row")
		}
	}
	if events, n := bursts(t, s); events != cycles*each || n != 1 {
		t.Errorf("%d bursts count %d", n, events)
	}
}

// TestAFloodOfUsers is bounded over all bursts, and the odd one out is kept.
func TestAFloodOfUsers(t *testing.T) {
	s, now, q := open(t), start, &queue{name: "x"}
	e := newEngine(t, s, &now, q)
	q.next = listings(5000, 1000, now, func(int) string { return "systemctl list-units" })
	for i := range q.next {
		q.next[i].Username = fmt.Sprintf("user%d", i)
	}
	q.next[4900].CmdLine = "systemctl list-sockets"
	collect(t, e)
	got := rows(t, s)
	if len(got) < 1000 || len(got) > 2100 {
		t.Errorf("%d rows", len(got))
	}
	found := false
	for _, r := range got {
		found = found || r.Canonical == `["systemctl list-sockets"]`
	}
	if !found {
		t.Error("the needle has no row")
	}
}
