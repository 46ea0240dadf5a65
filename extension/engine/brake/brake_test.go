package brake_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/engine/brake"
)

var begin = time.Unix(1_800_000_000, 0)

// host is a clock, and a processor that does a collector's work.
type host struct {
	now    time.Time
	spent  time.Duration
	per    time.Duration // what a record costs
	fixed  time.Duration // what a round costs
	beside time.Duration // what the process takes a second for something else
	queue  float64       // records that wait
	rate   float64       // records that come a second
	looks  []look
	most   int // records of one round
	rounds int
}

type look struct {
	at    time.Time
	spent time.Duration
}

func (h *host) clock() (time.Duration, error) { return h.spent, nil }

// pass lets time go by, in steps, so that what is beside goes on.
func (h *host) pass(d time.Duration) {
	for ; d > 0; d -= 100 * time.Millisecond {
		step := min(d, 100*time.Millisecond)
		h.now = h.now.Add(step)
		h.spent += time.Duration(float64(h.beside) * step.Seconds())
		h.queue += h.rate * step.Seconds()
		h.looks = append(h.looks, look{h.now, h.spent})
	}
}

// run collects as the engine does, every interval, for a time.
func (h *host) run(b *brake.Brake, interval, length time.Duration) {
	for end := h.now.Add(length); h.now.Before(end); {
		next := h.now.Add(interval)
		for {
			b.Begin(h.now)
			limit := b.Limit(10_000)
			n := min(limit, max(int(h.queue), 0))
			h.queue -= float64(n)
			h.most, h.rounds = max(h.most, n), h.rounds+1
			cost := h.fixed + time.Duration(n)*h.per
			h.spent += cost
			h.pass(cost) // on one processor
			more := n == limit
			wait := b.Done(h.now, int64(n), more)
			if rest := b.Rest(h.now); rest > 0 {
				h.pass(rest)
				b.Rested()
			}
			if !more || !wait && h.rounds%8 == 0 || !h.now.Before(end) {
				break
			}
		}
		if d := next.Sub(h.now); d > 0 {
			h.pass(d)
		}
	}
}

// worst is the most that was spent in any span, after the first minute.
func (h *host) worst(span time.Duration) (most time.Duration) {
	i := 0
	for _, l := range h.looks {
		for h.looks[i].at.Add(span).Before(l.at) {
			i++
		}
		if h.looks[i].at.Sub(begin) > time.Minute {
			most = max(most, l.spent-h.looks[i].spent)
		}
	}
	return most
}

// TestWhatIsWithinTheBudgetIsLeftAlone: reads are as large and as often as without.
func TestWhatIsWithinTheBudgetIsLeftAlone(t *testing.T) {
	h := &host{now: begin, per: 15 * time.Microsecond, fixed: 5 * time.Millisecond, rate: 900}
	b := brake.New(0.06, h.clock)
	h.run(b, 10*time.Second, 10*time.Minute)
	if level, _ := b.Level(); level != brake.Off || h.rounds != 60 {
		t.Errorf("%v after %d rounds", level, h.rounds)
	}
}

// TestALoadStaysWithin is loads of many times the budget, in reads of any cost: the mean
// is within the budget, and no two spans of the watchdog's in a row are over its limit.
func TestALoadStaysWithin(t *testing.T) {
	for _, c := range []struct {
		name   string
		budget float64
		h      host
	}{
		{"cheap records", 0.06, host{per: 15 * time.Microsecond, fixed: 5 * time.Millisecond, rate: 20_000}},
		{"dear records", 0.06, host{per: 150 * time.Microsecond, fixed: 5 * time.Millisecond, rate: 2000}},
		{"one processor", 0.03, host{per: 60 * time.Microsecond, fixed: 5 * time.Millisecond, rate: 2000}},
		{"something beside", 0.06, host{per: 60 * time.Microsecond, fixed: 5 * time.Millisecond, rate: 2000, beside: 30 * time.Millisecond}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &c.h
			h.now = begin
			b := brake.New(c.budget, h.clock)
			h.run(b, 10*time.Second, 20*time.Minute)
			level, since := b.Level()
			if level != brake.Sampling || since.Sub(begin) > time.Minute {
				t.Errorf("%v since %v", level, since.Sub(begin))
			}
			mean := h.spent.Seconds() / h.now.Sub(begin).Seconds()
			if mean > 1.1*c.budget || mean < 0.5*c.budget {
				t.Errorf("%.4f processors in the mean, the budget is %.4f", mean, c.budget)
			}
			// Two spans of three seconds, at 5/3 of the budget each: the watchdog's limit.
			if limit, worst := time.Duration(c.budget/0.6*6*float64(time.Second)), h.worst(6*time.Second); worst > limit {
				t.Errorf("%v in six seconds, the watchdog's limit is %v", worst, limit)
			}
		})
	}
}

// TestItLetsGo: after a load of minutes what waited is read, and reads are as before.
func TestItLetsGo(t *testing.T) {
	h := &host{now: begin, per: 20 * time.Microsecond, fixed: 2 * time.Millisecond, rate: 6000}
	b := brake.New(0.06, h.clock)
	h.run(b, 10*time.Second, 5*time.Minute)
	if level, _ := b.Level(); level != brake.Sampling {
		t.Fatalf("%v under load", level)
	}
	h.rate = 100
	h.run(b, 10*time.Second, 20*time.Minute)
	level, since := b.Level()
	if level != brake.Off || !since.IsZero() || h.queue > 1100 {
		t.Errorf("%v since %v, %.0f wait", level, since, h.queue)
	}
}

// TestAPaceThatSufficesSamplesNothing: where larger reads further apart are cheap enough,
// nothing more is done than to wait with what can wait.
func TestAPaceThatSufficesSamplesNothing(t *testing.T) {
	h := &host{now: begin, per: 20 * time.Microsecond, fixed: 100 * time.Millisecond, rate: 500}
	b := brake.New(0.06, h.clock)
	h.run(b, time.Second, 10*time.Minute) // 11 % at a round a second
	level, _ := b.Level()
	if mean := h.spent.Seconds() / h.now.Sub(begin).Seconds(); level != brake.Deferring || mean > 0.066 {
		t.Errorf("%v, %.4f processors", level, mean)
	}
}

// TestWhatOthersTake: a process whose tables are asked without end still collects.
func TestWhatOthersTake(t *testing.T) {
	h := &host{now: begin, per: 20 * time.Microsecond, fixed: 2 * time.Millisecond, rate: 300, beside: 500 * time.Millisecond}
	b := brake.New(0.06, h.clock)
	h.run(b, 10*time.Second, 20*time.Minute)
	if h.queue > 10_000 {
		t.Errorf("%.0f records of %.0f wait", h.queue, h.rate*h.now.Sub(begin).Seconds())
	}
}

// TestClocks: a clock that is set, and one that can't be read, stop nothing for long.
func TestClocks(t *testing.T) {
	h := &host{now: begin, per: 50 * time.Microsecond, rate: 5000}
	b := brake.New(0.06, h.clock)
	h.run(b, 10*time.Second, time.Minute)
	for _, jump := range []time.Duration{365 * 24 * time.Hour, -20 * 365 * 24 * time.Hour, 10 * time.Hour} {
		h.now = h.now.Add(jump)
		if rest := b.Rest(h.now); rest > 30*time.Second {
			t.Errorf("after %v a rest of %v", jump, rest)
		}
		b.Rested()
		h.looks = nil
		h.run(b, 10*time.Second, 2*time.Minute)
		if level, _ := b.Level(); level != brake.Sampling {
			t.Errorf("%v after %v", level, jump)
		}
	}
	broken := brake.New(0.06, func() (time.Duration, error) { return 0, errors.New("no clock") })
	broken.Begin(begin)
	if broken.Done(begin, 10_000, true) || broken.Rest(begin) != 0 || broken.Limit(10_000) != 10_000 || !broken.Spare(begin) || broken.Err() == nil {
		t.Error("it brakes without a clock")
	}
	var none *brake.Brake
	none.Begin(begin)
	none.Rested()
	if level, _ := none.Level(); none.Done(begin, 1, true) || none.Rest(begin) != 0 || none.Limit(7) != 7 || level != brake.Off || none.Err() != nil {
		t.Error("none brakes")
	}
}

// TestSpentGrows: the process's own clock goes on with what it does.
func TestSpentGrows(t *testing.T) {
	before, err := brake.Spent()
	if err != nil {
		t.Fatal(err)
	}
	x := 1.0
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		for i := range 100_000 {
			x = math.Sqrt(x + float64(i))
		}
		if after, err := brake.Spent(); err != nil || after-before >= 20*time.Millisecond {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Errorf("it stands still at %v (%v)", before, x)
}
