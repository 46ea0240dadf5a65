package tables

import (
	"context"
	"fmt"
	"time"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/store"
)

// HealthReader reads the state of sources and parts.
type HealthReader interface {
	Health(ctx context.Context) ([]store.Health, error)
}

// StatsReader reads the counts of the tables' guard.
type StatsReader interface{ Stats() []Stats }

// ServiceDiscoveryHealth is the table of what Rollcall sees and what it cannot.
func ServiceDiscoveryHealth(r HealthReader, g StatsReader, clock func() time.Time) *Table {
	return &Table{
		Name:        "service_discovery_health",
		Description: "The state of every source of evidence and part of Rollcall: what works, what is off, what was lost, and what to do.",
		Columns: []table.ColumnDefinition{
			text("component", "Source or part."),
			text("state", "ok, degraded, off or failed."),
			text("detail", "What is wrong, or what is known."),
			bigint("last_event", "Time of the newest evidence, seconds since 1970 UTC."),
			bigint("lag_seconds", "Seconds since the source was last read."),
			bigint("events_read", "Records read since the state was begun."),
			bigint("events_matched", "Records that matched a rule."),
			bigint("events_dropped", "Records known to be lost."),
			bigint("gaps", "Spans of time in which evidence may have been missed."),
			text("remedy", "What turns it on or mends it."),
		},
		Examples: []string{
			"SELECT component, state, detail, remedy FROM service_discovery_health WHERE state <> 'ok'",
		},
		Generate: func(ctx context.Context, _ table.QueryContext) (*Rows, error) {
			parts, err := r.Health(ctx)
			if err != nil {
				return nil, err
			}
			now := clock().Unix()
			rows := &Rows{}
			for _, h := range parts {
				rows.Add(keyed(h.Component))
				rows.Texts("component", h.Component, "state", h.State, "detail", h.Detail, "remedy", h.Remedy)
				rows.Known("last_event", h.LastEvent)
				rows.Int("events_read", h.Read)
				rows.Int("events_matched", h.Matched)
				rows.Int("events_dropped", h.Dropped)
				rows.Int("gaps", h.Gaps)
				if h.Checked > 0 {
					rows.Int("lag_seconds", max(0, now-h.Checked))
				}
			}
			for _, s := range g.Stats() {
				state, detail := "ok", fmt.Sprintf("%d calls, %d rows, slowest %v", s.Calls, s.Rows, s.Slowest.Round(time.Millisecond))
				if s.Panics+s.Timeouts+s.Refused > 0 {
					// Packs ask for what is degraded: a text that changes with every
					// call would be news with every call.
					state = "degraded"
					detail = fmt.Sprintf("%d panics, %d timeouts, %d refused; last: %s", s.Panics, s.Timeouts, s.Refused, s.LastText)
				}
				rows.Add(keyed("table", s.Table))
				rows.Texts("component", "table:"+s.Table, "state", state, "detail", detail)
				rows.Int("events_read", s.Calls)
				rows.Int("events_matched", s.Rows)
				rows.Int("events_dropped", s.Errors)
				rows.Int("gaps", 0)
			}
			return rows, nil
		},
	}
}
