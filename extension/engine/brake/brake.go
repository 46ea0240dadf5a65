// Package brake keeps a collector within a share of the processors. osquery's watchdog
// ends an extension that takes more than its limit twice in a row, three seconds each:
// what is lost then is everything, so work is spread out and the routine is cut down
// before it comes to that.
//
// It is a bucket of processor time that fills at the budget's rate and is emptied by
// what the whole process takes, whatever it takes it for. A collector that finds it
// empty rests until it is full, so that what it reads comes in larger pieces, which
// cost less. What does not help soon is followed by more: see Level.
package brake

import (
	"fmt"
	"runtime"
	"time"
)

// Level is how hard the brake is on. Each includes those before it.
type Level int

const (
	// Off: nothing is done otherwise.
	Off Level = iota
	// Pacing: reads are further apart, and bounded.
	Pacing
	// Deferring: what only compares how things are with how they were waits.
	Deferring
	// Sampling: more is waiting than can be read within the budget, so that what is
	// seen over and over is counted, not judged and stored each time.
	Sampling
)

// String is the level as health shows it.
func (l Level) String() string {
	switch l {
	case Pacing:
		return "pacing"
	case Deferring:
		return "deferring"
	case Sampling:
		return "sampling"
	}
	return "off"
}

const (
	// watchdogShare is the share of all processors that osquery's watchdog leaves an
	// extension at its restrictive level, and margin how much of it is used: the rest
	// is for what is done between two looks at the clock.
	watchdogShare = 0.05
	margin        = 0.6
	// most is the share of one processor that is taken however many there are.
	most = 0.3
	// window is how long the watchdog looks, twice three seconds.
	window = 6 * time.Second
	// longest is the longest rest, and Patience how long what is deferred waits.
	longest = 30 * time.Second
	// Patience is how long deferred work waits at most.
	Patience = time.Minute
	// deferAfter is how long pacing has to last before work is deferred, sampleAfter how
	// long more has to be waiting before the routine is sampled, and calmFor how long
	// all has to be well before the brake is off.
	deferAfter  = 15 * time.Second
	sampleAfter = 20 * time.Second
	calmFor     = 45 * time.Second
	// fewest is the fewest records of a read, and known how many make a measurement of
	// what one costs; dearest and cheapest bound what it says, in seconds.
	fewest   = 500
	known    = 200
	dearest  = 1e-3
	cheapest = 2e-6
)

// Default is the budget that keeps clear of osquery's watchdog at its restrictive level,
// as a share of one processor.
func Default() float64 {
	return min(watchdogShare*margin*float64(runtime.NumCPU()), most)
}

// Brake is one process's. It is not safe for concurrent use.
type Brake struct {
	rate  float64       // processors
	depth time.Duration // of the bucket
	spent func() (time.Duration, error)

	begun  bool
	at     time.Time
	taken  time.Duration
	credit time.Duration
	err    error

	per    float64 // what a record costs, seconds
	before time.Duration
	round  bool // one goes on

	resting bool
	level   Level
	since   time.Time // when the brake was put on
	behind  time.Time // since when more is waiting than was read, zero for not
	caught  time.Time // since when it is not, zero where it never was
	calm    time.Time // since when the bucket is full, zero for not
}

// New returns a Brake that leaves a process budget of one processor (0.06 is six per
// cent of one) as a mean over some seconds. spent is what it has taken since its start.
func New(budget float64, spent func() (time.Duration, error)) *Brake {
	// What is taken in any window is at most the bucket and what flows in meanwhile.
	depth := time.Duration(budget * (1/margin - 1) * float64(window))
	return &Brake{rate: budget, depth: depth, spent: spent, credit: depth, per: 20e-6}
}

// measure takes note of what was spent up to now.
func (b *Brake) measure(now time.Time) {
	if b == nil {
		return
	}
	taken, err := b.spent()
	if b.err = err; err != nil {
		return
	}
	flow := now.Sub(b.at)
	if !b.begun || flow < 0 || flow > time.Hour {
		// The start is the start's own, and a clock that was set tells nothing.
		b.begun, b.at, b.taken, b.credit = true, now, taken, b.depth
		return
	}
	change := b.flow(flow) - (taken - b.taken)
	if !b.round && b.credit < 0 {
		// What was taken for something else than to collect may not keep the collector
		// from its work for ever.
		change = max(change, b.flow(flow)/4)
	}
	// Beyond some time's flow nothing can be made up for, and a rest has its bound.
	b.credit = max(min(b.credit+change, b.depth), -b.flow(longest))
	b.at, b.taken = now, taken
}

func (b *Brake) flow(d time.Duration) time.Duration { return time.Duration(float64(d) * b.rate) }

// Begin begins a round of reading.
func (b *Brake) Begin(now time.Time) {
	if b == nil {
		return
	}
	b.measure(now)
	b.before, b.round = b.taken, true
}

// Done ends a round: of the source that brought most came records, and more says that
// there is more to be read. It reports whether the next round has to wait.
func (b *Brake) Done(now time.Time, records int64, more bool) (wait bool) {
	if b == nil || b.err != nil {
		return false
	}
	b.measure(now)
	b.round = false
	if records >= known {
		cost := min(max((b.taken-b.before).Seconds()/float64(records), cheapest), dearest)
		b.per += (cost - b.per) / 2
	}
	switch {
	case b.credit < b.depth/4:
		b.resting = true
	case b.credit >= b.depth*9/10:
		b.resting = false
	}
	b.grade(now, more)
	return b.resting
}

// grade finds how hard the brake is on.
func (b *Brake) grade(now time.Time, more bool) {
	if b.resting {
		b.calm = time.Time{}
		if b.level == Off {
			b.level, b.since = Pacing, now
		}
	}
	if b.level == Off {
		return
	}
	switch {
	case !more && b.credit > -b.depth:
		b.behind = time.Time{}
		if b.caught.IsZero() {
			b.caught = now
		}
	case b.resting && b.behind.IsZero():
		b.behind, b.caught = now, time.Time{}
	}
	if !b.resting && b.calm.IsZero() {
		b.calm = now
	}
	switch {
	case !b.calm.IsZero() && now.Sub(b.calm) >= calmFor:
		b.level, b.since, b.behind, b.caught, b.calm = Off, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	case !b.behind.IsZero() && now.Sub(b.behind) >= sampleAfter:
		b.level = Sampling
	case b.level == Sampling && b.behind.IsZero() && now.Sub(b.caught) >= calmFor:
		b.level = Deferring
	case now.Sub(b.since) >= deferAfter && b.level < Deferring:
		b.level = Deferring
	}
}

// Rest is how long to do nothing so that the bucket is full again; 0 when it need not
// be.
func (b *Brake) Rest(now time.Time) time.Duration {
	if b == nil || b.err != nil || !b.resting {
		return 0
	}
	b.measure(now)
	if b.credit >= b.depth*9/10 {
		b.resting = false
		return 0
	}
	return min(time.Duration(float64(b.depth-b.credit)/b.rate), longest)
}

// Rested ends a rest, whether or not the bucket is full: it had its time.
func (b *Brake) Rested() {
	if b != nil {
		b.resting = false
	}
}

// Spare reports whether something is left for what can't wait, during a rest.
func (b *Brake) Spare(now time.Time) bool {
	if b == nil {
		return true
	}
	b.measure(now)
	return b.err != nil || b.credit > 0
}

// Limit is how many records the next read may bring of the most that it could.
func (b *Brake) Limit(limit int) int {
	if b == nil || b.err != nil {
		return limit
	}
	n := max(b.credit, b.depth/2).Seconds() / b.per
	return min(max(int(n), fewest), limit)
}

// Level is how hard the brake is on, since when.
func (b *Brake) Level() (Level, time.Time) {
	if b == nil || b.err != nil {
		return Off, time.Time{}
	}
	return b.level, b.since
}

// Budget is the budget as a person reads it.
func (b *Brake) Budget() string { return fmt.Sprintf("%.3g %% of a processor", 100*b.rate) }

// Err is why nothing is measured, nil when it is.
func (b *Brake) Err() error {
	if b == nil {
		return nil
	}
	return b.err
}
