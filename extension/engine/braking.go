package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/engine/brake"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// brakeShown is how long health tells of the brake after it was on.
const brakeShown = 10 * time.Minute

// braking is what the brake made the engine do.
type braking struct {
	// last is the hardest that it was on since begun, and until when.
	last         brake.Level
	begun, until time.Time
	// deferred are the sources whose reads were put off since.
	deferred map[string]bool
}

// rest does nothing for as long as the brake wants; false means that ctx has ended.
func (e *Engine) rest(ctx context.Context) bool {
	e.mu.Lock()
	wait := e.opts.Brake.Rest(e.opts.Now())
	e.mu.Unlock()
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-e.hurry:
			// What would be lost is read at once, as long as there is anything left for it.
			e.mu.Lock()
			spare := e.opts.Brake.Spare(e.opts.Now())
			if spare {
				e.opts.Brake.Rested()
			}
			e.mu.Unlock()
			if spare {
				return true
			}
		case <-timer.C:
			e.mu.Lock()
			defer e.mu.Unlock()
			e.opts.Brake.Rested()
			return true
		}
	}
}

// left reports whether the brake left something to be read.
func (e *Engine) left() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.waiting
}

// Hurry asks for a collect cycle because a source that can't hold back what comes has
// little room left; a rest of the brake ends for it while something is left to spend.
func (e *Engine) Hurry() {
	select {
	case e.hurry <- struct{}{}:
	default:
	}
}

// due are the readers to be read now: while the brake is on, the patient ones wait.
func (e *Engine) due(readers []*reader, now time.Time) []*reader {
	level, _ := e.opts.Brake.Level()
	out := make([]*reader, 0, len(readers))
	for _, r := range readers {
		p, ok := r.source.(Patient)
		age := now.Sub(r.begun)
		if level >= brake.Deferring && ok && p.Patient() && !r.more && age >= 0 && age < brake.Patience && r.pending == nil {
			e.braking.put(r.source.Name())
			continue
		}
		r.begun = now
		out = append(out, r)
	}
	return out
}

// put notes a source whose read was put off.
func (b *braking) put(name string) {
	if b.deferred == nil {
		b.deferred = map[string]bool{}
	}
	b.deferred[name] = true
}

func inBrackets(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// deferred reports whether work that is due since a time waits for the brake.
func (e *Engine) deferred(since time.Duration) bool {
	level, _ := e.opts.Brake.Level()
	return level >= brake.Deferring && since < trimEvery
}

// sampled reports whether the routine is sampled.
func (e *Engine) sampled() bool {
	level, _ := e.opts.Brake.Level()
	return level >= brake.Sampling
}

// brakeHealth is the row that says what the brake does, and did in the last minutes.
func (e *Engine) brakeHealth(now time.Time) store.Health {
	h := store.Health{Component: "brake", State: evidence.StateOK, Detail: "within " + e.opts.Brake.Budget()}
	if err := e.opts.Brake.Err(); err != nil {
		h.State, h.Detail, h.Remedy = evidence.StateDegraded, "nothing keeps the processor time within "+e.opts.Brake.Budget()+": "+err.Error(), "look after osqueryd's log: its watchdog may end the extension under load"
		return h
	}
	b := &e.braking
	level, since := e.opts.Brake.Level()
	if level > brake.Off {
		if b.until.IsZero() || now.Sub(b.until) >= brakeShown || now.Before(b.until) {
			*b = braking{begun: since, deferred: b.deferred}
		}
		b.last, b.until = max(b.last, level), now
	}
	if b.until.IsZero() || now.Sub(b.until) >= brakeShown || now.Before(b.until) {
		return h
	}
	h.State = evidence.StateDegraded
	var did []string
	for l := brake.Pacing; l <= b.last; l++ {
		switch l {
		case brake.Pacing:
			did = append(did, "reads are further apart")
		case brake.Deferring:
			did = append(did, fmt.Sprintf("work that can wait was put off by up to %v%s", brake.Patience, inBrackets(slices.Sorted(maps.Keys(b.deferred)))))
		case brake.Sampling:
			did = append(did, "of commands seen over and over fewer have a row of their own (sampling counts the others)")
		}
	}
	h.Detail = fmt.Sprintf("more work than %s allows since %s: %s", e.opts.Brake.Budget(), b.begun.UTC().Format(time.RFC3339), strings.Join(did, ", "))
	if level == brake.Off {
		h.Detail += "; it is over"
	}
	h.Remedy = "SELECT component, events_read FROM service_discovery_health ORDER BY events_read DESC LIMIT 5 shows what brings most; cpu_budget in the configuration allows more"
	return h
}
