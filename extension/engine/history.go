package engine

import (
	"time"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// history is what was learned before a cycle and what the cycle adds, so that a
// burst within one cycle is a burst too.
type history struct {
	known   map[store.BaselineKey]baseline.State
	changed map[store.BaselineKey]baseline.State
	learned bool
	now     int64
	// admins tells who administers the host; nil when nobody knows.
	admins func(username string) evidence.Tristate
	// pools are the sums over all users by family, made when first asked for.
	pools map[string]pool
	// first is when something was learned first, 0 when that was not looked for yet.
	first int64
}

// pool is the discounted number of commands and of days, over users.
type pool struct{ count, days float64 }

// Of implements History.
func (h *history) Of(username, family string) (baseline.State, float64) {
	if h.pools == nil {
		h.pools = map[string]pool{}
		for k, s := range h.known {
			s = s.Advance(h.now) // who has been gone for long counts little
			p := h.pools[k.Family]
			h.pools[k.Family] = pool{p.count + s.Count, p.days + s.Days}
		}
	}
	k := store.BaselineKey{Username: username, Family: family}
	own := h.known[k].Advance(h.now)
	others := h.pools[family]
	others.count -= own.Count
	others.days -= own.Days
	rate := 0.0
	if others.count > 1e-6 && others.days > 1e-6 {
		rate = others.count / others.days
	}
	if s, ok := h.changed[k]; ok {
		return s, rate
	}
	return h.known[k], rate
}

// Administrator implements History.
func (h *history) Administrator(username string) evidence.Tristate {
	if h.admins == nil {
		return evidence.Unknown
	}
	return h.admins(username)
}

// Watched implements History.
func (h *history) Watched(at int64) bool {
	if h.learned {
		return true
	}
	if h.first == 0 {
		h.first = h.now
		for _, m := range []map[store.BaselineKey]baseline.State{h.known, h.changed} {
			for _, s := range m {
				if s.FirstSeen > 0 {
					h.first = min(h.first, s.FirstSeen)
				}
			}
		}
	}
	return at-h.first >= int64(learnAfter/time.Second)
}

// observe learns one command. One from the future, by a clock that was wrong, is
// learned as of now.
func (h *history) observe(username, family string, at int64) {
	k := store.BaselineKey{Username: username, Family: family}
	st, ok := h.changed[k]
	if !ok {
		if st, ok = h.known[k]; !ok && len(h.known)+len(h.changed) >= maxBaselines {
			return
		}
	}
	h.changed[k] = st.Observe(min(at, h.now))
}
