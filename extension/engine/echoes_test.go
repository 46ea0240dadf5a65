package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// teller is a source that brings what a test put into it, once.
type teller struct {
	name  string
	queue []evidence.Process
	at    int
}

func (s *teller) Name() string { return s.name }
func (s *teller) Read(_ context.Context, cursor string, _ int) (evidence.Batch, error) {
	b := evidence.Batch{Processes: s.queue, Read: int64(len(s.queue)), Cursor: cursor}
	if len(s.queue) > 0 {
		s.at++
		b.Cursor = fmt.Sprint(s.at)
	}
	s.queue = nil
	return b, nil
}

// duo is a host whose starts the kernel tells at once, and osquery late.
type duo struct {
	t               *testing.T
	store           *store.Store
	now             time.Time
	kernel, osquery *teller
	collect         func(context.Context) error
}

func newDuo(t *testing.T) *duo {
	d := &duo{t: t, store: open(t), now: time.Unix(1_800_000_000, 0), kernel: &teller{name: "kaudit"}, osquery: &teller{name: "process_events"}}
	d.restart()
	return d
}

// restart begins with what the store knows.
func (d *duo) restart() {
	d.collect = newEngine(d.t, d.store, &d.now, d.kernel, d.osquery).Collect
}

func (d *duo) cycle() {
	d.t.Helper()
	if err := d.collect(context.Background()); err != nil {
		d.t.Fatal(err)
	}
}

// start is of the kernel's telling, late is osquery's of the same, seconds later.
func (d *duo) start(pid, parent int64, words ...string) evidence.Process {
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; strings.ContainsAny(w, " '") {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return evidence.Process{Platform: evidence.Linux, PID: pid, ParentPID: parent, Path: "/usr/bin/" + words[0], CmdLine: strings.Join(quoted, " "),
		Time: d.now.Unix(), Source: "kaudit", EID: fmt.Sprint("1:", pid), Username: "al", UID: "0"}
}

func (d *duo) late(by, pid, parent int64, words ...string) evidence.Process {
	p := d.start(pid, parent, words...)
	p.Time, p.Late, p.Source, p.EID, p.ArgsJoined = p.Time+by, 120, "process_events", fmt.Sprint(pid), true
	p.CmdLine, _ = core.RestoreArgs(strings.Join(words, " "))
	return p
}

// disorder is how osquery's audit orders words.
func disorder(words ...string) []string {
	var out []string
	for i, w := range words {
		if i == 2 && len(words) > 10 {
			out = append(out, words[10:]...)
		}
		if i < 10 {
			out = append(out, w)
		}
	}
	return out
}

func TestEchoes(t *testing.T) {
	list := []string{"systemctl", "list-units"}
	// More words than osquery keeps in order, and one that keeps the order from being
	// restored.
	long := []string{"systemctl", "list-units", "--all", "a", "b", "c", "d", "e", "f", "g", "h $x", "i"}
	for _, tt := range []struct {
		name string
		run  func(d *duo)
		want []string // source and command line of each row
	}{
		{"in one cycle", func(d *duo) {
			d.kernel.queue = append(d.kernel.queue, d.start(7, 3, list...))
			d.osquery.queue = append(d.osquery.queue, d.late(12, 7, 3, list...))
			d.cycle()
		}, []string{"kaudit,process_events systemctl list-units"}},
		{"in two cycles", func(d *duo) {
			d.osquery.queue = append(d.osquery.queue, d.late(0, 6, 3, "ls"))
			d.kernel.queue = append(d.kernel.queue, d.start(7, 3, list...))
			d.cycle()
			d.osquery.queue = append(d.osquery.queue, d.late(60, 7, 3, list...))
			d.cycle()
		}, []string{"kaudit,process_events systemctl list-units"}},
		{"osquery first", func(d *duo) {
			d.osquery.queue = append(d.osquery.queue, d.late(1, 7, 3, list...))
			d.cycle()
			d.kernel.queue = append(d.kernel.queue, d.start(7, 3, list...))
			d.cycle()
		}, []string{"process_events,kaudit systemctl list-units"}},
		{"a start of ours between", func(d *duo) {
			d.kernel.queue = append(d.kernel.queue, d.start(7, 3, list...))
			d.cycle()
			d.restart()
			d.osquery.queue = append(d.osquery.queue, d.late(100, 7, 3, list...))
			d.cycle()
		}, []string{"kaudit,process_events systemctl list-units"}},
		{"words in disorder", func(d *duo) {
			d.kernel.queue = append(d.kernel.queue, d.start(7, 3, long...))
			d.osquery.queue = append(d.osquery.queue, d.late(12, 7, 3, disorder(long...)...))
			d.cycle()
		}, []string{"kaudit,process_events systemctl list-units --all a b c d e f g 'h $x' i"}},
		{"words in disorder, a start of ours between", func(d *duo) {
			d.kernel.queue = append(d.kernel.queue, d.start(7, 3, long...))
			d.cycle()
			d.restart()
			d.osquery.queue = append(d.osquery.queue, d.late(12, 7, 3, disorder(long...)...))
			d.cycle()
		}, []string{"kaudit,process_events systemctl list-units --all a b c d e f g 'h $x' i"}},
		{"sudo and what it runs", func(d *duo) {
			d.kernel.queue = append(d.kernel.queue, d.start(7, 3, "sudo", "systemctl", "list-units"), d.start(8, 7, list...))
			d.cycle()
			d.restart()
			d.osquery.queue = append(d.osquery.queue, d.late(20, 7, 3, "sudo", "systemctl", "list-units"))
			d.cycle()
			d.osquery.queue = append(d.osquery.queue, d.late(20, 8, 7, list...))
			d.cycle()
		}, []string{"kaudit,process_events systemctl list-units"}},
		{"sudo and what it runs, by osquery alone", func(d *duo) {
			d.osquery.queue = append(d.osquery.queue, d.late(5, 7, 3, "sudo", "systemctl", "list-units"), d.late(5, 8, 7, list...))
			d.cycle()
		}, []string{"process_events systemctl list-units"}},
		{"sudo by one, what it runs by the other", func(d *duo) {
			d.kernel.queue = append(d.kernel.queue, d.start(7, 3, "sudo", "systemctl", "list-units"))
			d.osquery.queue = append(d.osquery.queue, d.late(5, 8, 7, list...))
			d.cycle()
		}, []string{"kaudit,process_events systemctl list-units"}},
		{"lost by the kernel's reader", func(d *duo) {
			d.kernel.queue = append(d.kernel.queue, d.start(7, 3, list...))
			d.osquery.queue = append(d.osquery.queue, d.late(12, 7, 3, list...), d.late(12, 9, 3, list...))
			d.cycle()
		}, []string{"kaudit,process_events systemctl list-units", "process_events systemctl list-units"}},
		{"the same process again, another command", func(d *duo) {
			d.kernel.queue = append(d.kernel.queue, d.start(7, 3, list...))
			d.osquery.queue = append(d.osquery.queue, d.late(12, 7, 3, "systemctl", "list-timers"))
			d.cycle()
		}, []string{"kaudit systemctl list-units", "process_events systemctl list-timers"}},
		{"an id used again", func(d *duo) {
			d.kernel.queue = append(d.kernel.queue, d.start(7, 3, list...))
			d.cycle()
			d.osquery.queue = append(d.osquery.queue, d.late(121, 7, 3, list...), d.late(20, 7, 4, list...))
			d.cycle()
			d.restart()
			d.osquery.queue = append(d.osquery.queue, d.late(300, 7, 3, list...))
			d.cycle()
		}, []string{"kaudit systemctl list-units", "process_events systemctl list-units", "process_events systemctl list-units", "process_events systemctl list-units"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDuo(t)
			tt.run(d)
			var got []string
			for _, r := range rows(t, d.store) {
				got = append(got, r.Process.Source+" "+r.Process.CmdLine)
			}
			for _, w := range tt.want {
				found := false
				for i := range got {
					if found = got[i] == w; found {
						got = append(got[:i], got[i+1:]...)
						break
					}
				}
				if !found {
					t.Errorf("no row %q", w)
				}
			}
			if len(got) > 0 {
				t.Errorf("too many: %q", got)
			}
		})
	}
}

// TestEchoDatesNothing: a late date moves neither a row nor a parent.
func TestEchoDatesNothing(t *testing.T) {
	d := newDuo(t)
	at := d.now.Unix()
	d.kernel.queue = append(d.kernel.queue, d.start(5, 1, "bash"))
	d.osquery.queue = append(d.osquery.queue, d.late(11, 5, 1, "bash"))
	d.cycle()
	d.now = d.now.Add(5 * time.Second) // before the late date of its parent
	d.kernel.queue = append(d.kernel.queue, d.start(7, 5, "systemctl", "list-units"))
	d.cycle()
	d.osquery.queue = append(d.osquery.queue, d.late(9, 7, 5, "systemctl", "list-units"))
	d.cycle()
	got := rows(t, d.store)
	if len(got) != 1 || got[0].Process.Time != at+5 || got[0].Process.ParentPath != "/usr/bin/bash" || got[0].Process.Source != "kaudit,process_events" {
		t.Errorf("%+v", got)
	}
	bases, err := d.store.Baselines(context.Background())
	if err != nil || bases[store.BaselineKey{Username: "al", Family: "systemctl"}].Observations != 1 {
		t.Errorf("baselines %+v, %v", bases, err)
	}
}

// TestFinish: what a volatile source still holds at the end is stored, and nobody else
// is asked.
func TestFinish(t *testing.T) {
	s, now := open(t), time.Unix(1_800_000_000, 0)
	heard, other := &volatile{teller{name: "kaudit"}, true}, &teller{name: "process_events"}
	idle := &volatile{teller{name: "proc_connector"}, false}
	e := newEngine(t, s, &now, heard, other, idle)
	if err := e.Collect(context.Background()); err != nil {
		t.Fatal(err)
	}
	for i, x := range []*teller{&heard.teller, other, &idle.teller} {
		x.queue = append(x.queue, listing(int64(7+i), x.name, now))
	}
	if err := e.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, s); len(got) != 1 || got[0].Process.PID != 7 {
		t.Errorf("rows %+v", got)
	}
	cursors, err := s.Cursors(context.Background())
	if err != nil || cursors["kaudit"] != "1" || cursors["process_events"] != "" {
		t.Errorf("cursors %v, %v", cursors, err)
	}
}

// volatile is a source that keeps in memory alone what it has not told.
type volatile struct {
	teller
	running bool
}

func (v *volatile) Volatile() bool { return v.running }
