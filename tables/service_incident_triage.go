package tables

import (
	"context"
	"strconv"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/incident"
)

// ServiceIncidentTriage is the table of the analyst's questions, answered for each
// incident.
func ServiceIncidentTriage(r IncidentReader) *Table {
	return &Table{
		Name:        "service_incident_triage",
		Description: "The analyst's questions about an incident, answered from evidence, with the SQL to go on and the commands for containment. Rollcall runs none of them. Ask for one incident_id, or a window of recorded or updated.",
		Columns: []table.ColumnDefinition{
			text("tier", "Whose question it is: L1, T2 or containment."),
			pushed(text("incident_id", "Incident it is about.")),
			integer("step", "Place in the order of the questions, from 1."),
			pushed(bigint("recorded", "When Rollcall opened the incident.")),
			pushed(bigint("updated", "When something of the incident changed last. Packs ask by this column.")),
			text("question", "What an analyst asks."),
			text("answer", "What the evidence says; what could not be known, and why."),
			text("verdict", "supports or refutes an intrusion, unknown, or action (something to do)."),
			text("evidence", "JSON list of the facts behind the answer."),
			text("sql", "Query to go on from here."),
			text("command", "Command for the host's shell (PowerShell on Windows), safe to paste; empty when a name in it cannot be pasted safely."),
		},
		Examples: []string{
			"SELECT step, question, answer, verdict FROM service_incident_triage WHERE updated > strftime('%s', 'now') - 86400 ORDER BY incident_id, step",
			"SELECT question, command FROM service_incident_triage WHERE tier = 'containment'",
		},
		Generate: func(ctx context.Context, q table.QueryContext) (*Rows, error) {
			rows := &Rows{}
			err := r.Incidents(ctx, incidentFilter(q), func(x *incident.Incident) error {
				for _, a := range x.Triage() {
					rows.Add(keyed(x.ID, strconv.Itoa(a.Step)))
					rows.Int("step", int64(a.Step))
					rows.Int("recorded", x.Recorded)
					rows.Int("updated", x.Updated)
					rows.Texts("tier", a.Tier, "incident_id", x.ID, "question", a.Question, "answer", a.Answer, "verdict", a.Verdict,
						"evidence", list(a.Evidence), "sql", a.SQL, "command", a.Command)
				}
				return nil
			})
			return rows, err
		},
	}
}
