package tables

import (
	"context"
	"strconv"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/incident"
)

// ServiceIncidentTimeline is the table of what happened before, in and after each
// incident.
func ServiceIncidentTimeline(r IncidentReader) *Table {
	return &Table{
		Name:        "service_incident_timeline",
		Description: "What happened before, during and after an incident, in one order: commands, installs, connections, logons, changes. Ask for one incident_id, or a window of recorded or updated.",
		Columns: []table.ColumnDefinition{
			text("phase", "before, during or after the listing of services."),
			pushed(text("incident_id", "Incident it belongs to.")),
			bigint("time", "When it happened, seconds since 1970 UTC."),
			pushed(bigint("recorded", "When Rollcall opened the incident.")),
			pushed(bigint("updated", "When something of the incident changed last. Packs ask by this column.")),
			text("kind", "command, install, connection, logon or change."),
			text("subject", "What it was about."),
			text("detail", "Who did it, and what else is known."),
			integer("score", "Score of a command or install; empty for the others."),
			text("source", "Where the evidence came from."),
			text("eid", "The source's own id of the record."),
		},
		Examples: []string{
			"SELECT datetime(time, 'unixepoch') AS at, phase, kind, subject, detail, score FROM service_incident_timeline WHERE updated > strftime('%s', 'now') - 86400 ORDER BY incident_id, time",
		},
		Generate: func(ctx context.Context, q table.QueryContext) (*Rows, error) {
			rows := &Rows{}
			err := r.Incidents(ctx, incidentFilter(q), func(x *incident.Incident) error {
				for i, e := range x.Timeline() {
					rows.Add(keyed(x.ID, strconv.Itoa(i)))
					rows.Int("time", e.Time)
					rows.Int("recorded", x.Recorded)
					rows.Int("updated", x.Updated)
					rows.Texts("phase", e.Phase, "incident_id", x.ID, "kind", e.Kind, "subject", e.Subject, "detail", e.Detail, "source", e.Source, "eid", e.EID)
					if e.Score >= 0 {
						rows.Int("score", int64(e.Score))
					}
				}
				return nil
			})
			return rows, err
		},
	}
}
