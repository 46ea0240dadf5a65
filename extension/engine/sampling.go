package engine

import (
	"fmt"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// How many rows of a flood are stored. Every command is judged, learned and counted
// in its burst; what is left out is only the row of one more of the same.
const (
	// burstRows is how many rows one burst brings in a cycle, and longRows how many
	// once it has brought longBurst of them.
	burstRows = 200
	longRows  = 40
	longBurst = 2000
	// cycleRows is how many rows a cycle brings of all bursts.
	cycleRows = 2000
	// brakeRows is how many rows one burst brings in a cycle while there is more to be
	// done than the brake allows, and brakeCycle how many all do.
	brakeRows  = 20
	brakeCycle = 200
	// maxCounted bounds the bursts whose rows are counted.
	maxCounted = 4096
	// floodShown is how long health tells of a flood after its end.
	floodShown = 10 * time.Minute
)

// sampling thins floods out.
type sampling struct {
	stored map[string]int // rows by burst
	// left is how many rows this cycle left out, and last when one did.
	left int64
	last time.Time
	text string
}

// thin leaves rows out of a batch whose bursts are floods. What is stored is the
// rarest: what a burst shows of itself, what is stronger than all before it, then one
// of each kind of command, one of each command, and only then more of the same. Less
// of it is kept while the brake asks for it.
func (s *sampling) thin(b *store.Batch, now time.Time, braked bool) {
	s.left = 0
	groups := map[string][]*store.Event{}
	for _, ev := range b.Events {
		groups[floodKey(ev)] = append(groups[floodKey(ev)], ev)
	}
	shown := shownBy(b.Bursts)
	keep := make(map[*store.Event]bool, len(b.Events))
	floods, worst := 0, ""
	for key, list := range groups {
		budget := burstRows
		if s.stored[key] >= longBurst {
			budget = longRows
		}
		if braked {
			budget = brakeRows
		}
		for _, ev := range pick(list, budget, shown) {
			keep[ev] = true
		}
		if len(list) > budget {
			floods++
			if worst == "" || len(list) > len(groups[worst]) {
				worst = key
			}
		}
	}
	kept, most := filter(b.Events, keep), cycleRows
	if braked {
		most = brakeCycle
	}
	if len(kept) > most {
		clear(keep)
		for _, ev := range pick(kept, most, nil) {
			keep[ev] = true
		}
		kept = filter(kept, keep)
	}
	s.left = int64(len(b.Events) - len(kept))
	b.Events = kept
	s.count(kept)
	if s.left > 0 {
		s.last = now
		s.text = fmt.Sprintf("a flood of commands: %d bursts brought more rows than are stored, they are counted in service_discovery_bursts", max(floods, 1))
		if worst != "" {
			ev := groups[worst][0]
			s.text += fmt.Sprintf("; the largest by %s: %s", nonEmpty(person(&ev.Process), "an unknown user"), clip(ev.Canonical, 200))
		}
	}
}

// health is the row that says what was left out; each is told once.
func (s *sampling) health(now time.Time) store.Health {
	h := store.Health{Component: "sampling", State: evidence.StateOK, Detail: "every command has its row", Dropped: s.left}
	s.left = 0
	if !s.last.IsZero() && now.Sub(s.last) < floodShown {
		h.State, h.Detail = evidence.StateDegraded, s.text
		h.Remedy = "SELECT username, events, distinct_commands FROM service_discovery_bursts ORDER BY events DESC LIMIT 10"
	}
	return h
}

func (s *sampling) count(kept []*store.Event) {
	if s.stored == nil {
		s.stored = map[string]int{}
	}
	for _, ev := range kept {
		key := floodKey(ev)
		if _, known := s.stored[key]; !known && len(s.stored) >= maxCounted {
			// The long ones are what counting is for.
			for k, n := range s.stored {
				if n < longBurst {
					delete(s.stored, k)
				}
			}
			if len(s.stored) >= maxCounted {
				clear(s.stored)
			}
		}
		s.stored[key]++
	}
}

// floodKey is the burst of an event, or its user and family where it has none.
func floodKey(ev *store.Event) string {
	if ev.BurstID != "" {
		return ev.BurstID
	}
	p := &ev.Process
	return strings.Join([]string{p.Host, p.Username, p.LoginUser, ev.Family}, "\x00")
}

// shownBy are the ids of the events that bursts show.
func shownBy(bursts []*incident.Burst) map[string]bool {
	out := map[string]bool{}
	for _, x := range bursts {
		for i := range x.Sample {
			out[x.Sample[i].ID] = true
		}
		out[x.Best.ID] = true
		if x.Loose != nil {
			out[x.Loose.ID] = true
		}
	}
	return out
}

// pick returns at most about budget of the events, the rarest first; what is shown or
// stronger than all before it comes on top.
func pick(list []*store.Event, budget int, shown map[string]bool) []*store.Event {
	if len(list) <= budget {
		return list
	}
	const ranks = 4
	var by [ranks][]*store.Event
	best := -1
	kinds, commands := map[string]bool{}, map[string]bool{}
	for _, ev := range list {
		kind, command := kindOf(ev), ev.Process.ParentPath+"\x00"+ev.Canonical
		rank := ranks - 1
		switch {
		case ev.Score > best || shown[ev.EventID]:
			rank = 0
		case !kinds[kind]:
			rank = 1
		case !commands[command]:
			rank = 2
		}
		best = max(best, ev.Score)
		kinds[kind], commands[command] = true, true
		by[rank] = append(by[rank], ev)
	}
	out := by[0]
	for _, l := range by[1:] {
		out = append(out, l[:min(len(l), max(budget-len(out), 0))]...)
	}
	return out
}

// kindOf is what commands have in common that differ in their operands alone: what
// they run, the rules, how strong they are, and under what.
func kindOf(ev *store.Event) string {
	words := strings.Fields(clip(ev.Canonical, 256))
	return strings.Join(words[:min(len(words), 2)], " ") + "\x00" + ev.RuleIDs + "\x00" + ev.Severity + "\x00" + ev.Process.ParentPath + "\x00" + ev.RemoteHost
}

func filter(list []*store.Event, keep map[*store.Event]bool) []*store.Event {
	out := make([]*store.Event, 0, len(keep))
	for _, ev := range list {
		if keep[ev] {
			out = append(out, ev)
		}
	}
	return out
}

// clip cuts a text for a person at a whole character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
