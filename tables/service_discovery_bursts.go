package tables

import (
	"cmp"
	"context"
	"fmt"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// BurstReader reads bursts, the last updated first.
type BurstReader interface {
	Bursts(ctx context.Context, f store.Filter, fn func(*incident.Burst) error) error
}

// ServiceDiscoveryBursts is the table of users' runs of service discovery.
func ServiceDiscoveryBursts(r BurstReader, n Nudger) *Table {
	return &Table{
		Name:        "service_discovery_bursts",
		Description: "Runs of commands that listed or queried services, by one user in one session, split on a quiet gap. A row grows while its run goes on.",
		Columns: []table.ColumnDefinition{
			text("burst_id", "Id of the burst, unique across a fleet and stable across restarts."),
			bigint("start_time", "First command, seconds since 1970 UTC."),
			pushed(bigint("end_time", "Last command so far.")),
			bigint("recorded", "When Rollcall saw the first of it."),
			pushed(bigint("updated", "When something of it changed last. Packs ask by this column.")),
			text("username", "Effective user."),
			text("login_user", "User who logged in, before sudo and its like."),
			text("session", "Login session, or logon id."),
			text("host", "Host it happened on."),
			text("origin", "Program that all of it descends from: an agent, a server; empty for what a person typed."),
			text("families", "JSON list of the command families used."),
			text("commands", "JSON list of the distinct commands in one spelling, at most 32."),
			text("remote_hosts", "JSON list of the other machines that were asked about."),
			integer("events", "Commands in it."),
			integer("distinct_commands", "Distinct commands in it, counted up to 256."),
			double("expected_events", "Commands a day that this user's history makes one expect; empty when nothing was learned."),
			double("tail_probability", "Probability of as many in a day if nothing had changed; empty when nothing was learned."),
			text("attribution", "Whose legitimate operation it is, or none."),
			integer("score", "0 to 100: the strongest command, plus variety and chain."),
			text("severity", "informational, low, medium, high or critical, by score."),
			text("reasons", "JSON list of what makes up the score."),
			text("incident_id", "Incident it belongs to."),
		},
		Examples: []string{
			"SELECT datetime(start_time, 'unixepoch') AS at, username, events, distinct_commands, score, severity FROM service_discovery_bursts WHERE updated > strftime('%s', 'now') - 86400 ORDER BY score DESC",
		},
		Generate: func(ctx context.Context, q table.QueryContext) (*Rows, error) {
			n.Nudge()
			var f store.Filter
			f.RecordedFrom, f.RecordedTo = bounds(q, "updated")
			f.TimeFrom, f.TimeTo = bounds(q, "end_time")
			rows := &Rows{}
			err := r.Bursts(ctx, f, func(x *incident.Burst) error {
				addBurst(rows, x)
				return nil
			})
			return rows, err
		},
	}
}

func addBurst(rows *Rows, x *incident.Burst) {
	rows.Add(keyed(x.ID))
	rows.Int("start_time", x.Start)
	rows.Int("end_time", x.End)
	rows.Int("recorded", x.Recorded)
	rows.Int("updated", x.Updated)
	rows.Int("events", x.Events)
	rows.Int("distinct_commands", int64(len(x.Distinct)))
	rows.Int("score", int64(x.Score))
	rows.Texts("burst_id", x.ID, "username", x.Actor.Username, "login_user", x.Actor.LoginUser, "session", cmp.Or(x.Actor.Session, x.Actor.LogonID),
		"host", x.Host, "origin", x.Origin, "families", list(x.Families), "commands", list(x.Commands), "remote_hosts", list(x.Remotes),
		"attribution", string(x.Attribution().Kind), "severity", x.Severity, "reasons", list(x.Reasons), "incident_id", x.IncidentID)
	if x.Tail > 0 {
		rows.Texts("expected_events", fmt.Sprintf("%.4f", x.Expected), "tail_probability", fmt.Sprintf("%.6g", x.Tail))
	}
}
