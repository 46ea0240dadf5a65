package tables

import (
	"context"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// IncidentReader reads incidents, the last updated first.
type IncidentReader interface {
	Incidents(ctx context.Context, f store.IncidentFilter, fn func(*incident.Incident) error) error
}

// ServiceIncidents is the table of incidents.
func ServiceIncidents(r IncidentReader, n Nudger) *Table {
	return &Table{
		Name:        "service_incidents",
		Description: "Bursts of service discovery and installs of services with all that belongs to them: what happened, whose it is, and whether an analyst has to look (record, review, escalate). A row changes when news comes.",
		Columns: []table.ColumnDefinition{
			text("decision", "record, review (tier 1 looks) or escalate (tier 2)."),
			pushed(text("incident_id", "Id of the incident, unique across a fleet and stable across restarts.")),
			text("summary", "What happened, in a sentence or two."),
			text("decision_reasons", "JSON list of why, in words."),
			bigint("opened", "Its first evidence, seconds since 1970 UTC."),
			bigint("last_time", "Its last evidence so far."),
			pushed(bigint("recorded", "When Rollcall opened it.")),
			pushed(bigint("updated", "When something of it that matters changed last. Packs ask by this column.")),
			text("status", "open, watching (reopens by news) or closed."),
			text("username", "User behind it."),
			text("login_user", "User who logged in, before sudo and its like."),
			text("host", "Host it happened on."),
			text("host_uuid", "Id of this installation of the operating system."),
			text("burst_ids", "JSON list of its bursts."),
			text("install_ids", "JSON list of its installs."),
			integer("connections", "Unusual connections around it."),
			integer("logons", "Logons around it, failed ones included."),
			text("attribution", "Whose legitimate operation it is, or none."),
			text("attribution_detail", "Subject and basis of the attribution."),
			integer("score", "0 to 100: its strongest part, and what came with it."),
			text("severity", "informational, low, medium, high or critical, by score."),
			text("reasons", "JSON list of what makes up the score."),
		},
		Examples: []string{
			"SELECT datetime(opened, 'unixepoch') AS at, decision, severity, username, summary FROM service_incidents WHERE updated > strftime('%s', 'now') - 86400 ORDER BY score DESC",
			"SELECT incident_id, summary, decision_reasons FROM service_incidents WHERE decision = 'escalate' AND status <> 'closed'",
		},
		Generate: func(ctx context.Context, q table.QueryContext) (*Rows, error) {
			n.Nudge()
			rows := &Rows{}
			err := r.Incidents(ctx, incidentFilter(q), func(x *incident.Incident) error {
				addIncident(rows, x)
				return nil
			})
			return rows, err
		},
	}
}

func incidentFilter(q table.QueryContext) store.IncidentFilter {
	f := store.IncidentFilter{IDs: values(q, "incident_id")}
	f.RecordedFrom, f.RecordedTo = bounds(q, "recorded")
	f.UpdatedFrom, f.UpdatedTo = bounds(q, "updated")
	return f
}

func addIncident(rows *Rows, x *incident.Incident) {
	bursts, installs := []string{}, []string{}
	for _, y := range x.Bursts {
		bursts = append(bursts, y.ID)
	}
	for _, in := range x.Installs {
		installs = append(installs, in.ID)
	}
	rows.Add(keyed(x.ID))
	rows.Int("opened", x.Opened)
	rows.Int("last_time", x.Last)
	rows.Int("recorded", x.Recorded)
	rows.Int("updated", x.Updated)
	rows.Int("connections", int64(len(x.Connections)))
	rows.Int("logons", int64(len(x.Logons)))
	rows.Int("score", int64(x.Score))
	rows.Texts("decision", x.Decision, "incident_id", x.ID, "summary", x.Summary, "decision_reasons", list(x.DecisionReasons), "status", x.Status,
		"username", x.Actor.Username, "login_user", x.Actor.LoginUser, "host", x.Host, "host_uuid", x.HostUUID, "burst_ids", list(bursts), "install_ids", list(installs),
		"attribution", string(x.Attribution.Kind), "attribution_detail", detail(x.Attribution.Subject, x.Attribution.Basis), "severity", x.Severity, "reasons", list(x.Reasons))
}

func detail(subject, basis string) string {
	if subject == "" || basis == "" {
		return subject + basis
	}
	return subject + ": " + basis
}
