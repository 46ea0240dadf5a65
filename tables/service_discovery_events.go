package tables

import (
	"context"
	"slices"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/store"
)

// EventReader reads recorded events, newest first.
type EventReader interface {
	EventRows(ctx context.Context, f store.Filter, fn func(store.EventRow) error) (more bool, err error)
}

// Nudger asks for fresh evidence without waiting for it.
type Nudger interface{ Nudge() }

// ServiceDiscoveryEvents is the table of commands that enumerated services.
func ServiceDiscoveryEvents(r EventReader, n Nudger) *Table {
	t := &Table{
		Name:        "service_discovery_events",
		Description: "Commands that listed or queried services (ATT&CK T1007), scored and explained. One row is one process start; rows never change once recorded. A query gets at most the newest 10,000 of the window it asks for, the newest 200,000 where recorded evidence is read.",
		Columns: []table.ColumnDefinition{
			text("event_id", "Id of the event, unique across a fleet and stable across restarts."),
			pushed(bigint("time", "When the command ran, seconds since 1970 UTC.")),
			pushed(bigint("recorded", "When Rollcall recorded it; late evidence has a late recorded time. Packs ask by this column.")),
			pushed(integer("score", "0 to 100. Packs bound it from below, so that what is routine is not even read.")),
			text("severity", "informational, low, medium, high or critical, by score."),
			text("scope", "How much was asked: all, single, registry, files, driver, acl, schtasks, cron, process, tool."),
			text("rule_ids", "JSON list of the Sigma rules that matched."),
			text("reasons", "JSON list of what makes up the score: factor, weight in log-odds, evidence."),
			text("technique", "ATT&CK technique."),
			bigint("pid", "Process id."),
			text("path", "Image that ran."),
			text("cmdline", "Command line with secrets masked."),
			text("canonical", "JSON list of the simple commands that matched, in one spelling."),
			bigint("parent", "Process id of the parent."),
			text("parent_path", "Image of the parent."),
			text("parent_cmdline", "Command line of the parent, secrets masked."),
			text("ancestry", "JSON list of pid, path and cmdline of the ancestors, nearest first."),
			text("uid", "Effective user id, or SID."),
			text("username", "Effective user."),
			text("login_user", "User who logged in, before sudo and its like."),
			text("login_source", "Where that login came from."),
			text("logon_id", "Logon id (Windows)."),
			text("elevated", "1 when it ran with administrative rights, 0 when not, empty when unknown."),
			text("session", "Login session."),
			text("container_id", "Container it ran in."),
			text("cwd", "Working directory."),
			text("remote_host", "Machine the question was for, when it was another one."),
			text("attribution", "Whose legitimate operation it is: expected, system, package, ... or none."),
			text("burst_id", "Burst it belongs to."),
			text("host", "Host it ran on."),
			text("platform", "windows, linux or darwin."),
			text("source", "Where the evidence came from; several sources are separated by commas."),
			text("eid", "The source's own id of the record."),
		},
		Examples: []string{
			"SELECT datetime(time, 'unixepoch') AS at, username, cmdline, score, severity FROM service_discovery_events WHERE recorded > strftime('%s', 'now') - 3600 ORDER BY score DESC",
			"SELECT username, count(*) AS n, max(score) AS worst FROM service_discovery_events GROUP BY username",
		},
	}
	pool := &Pool{}
	heads := HeadsOf(columnsOf(t, store.EventFields()))
	t.Generate = func(ctx context.Context, q table.QueryContext) (*Rows, error) {
		n.Nudge()
		var f store.Filter
		f.RecordedFrom, f.RecordedTo = bounds(q, "recorded")
		f.TimeFrom, f.TimeTo = bounds(q, "time")
		f.ScoreFrom, f.ScoreTo = bounds(q, "score")
		rows := pool.Rows()
		_, err := r.EventRows(ctx, f, func(e store.EventRow) error {
			rows.Copy(heads, e)
			return nil
		})
		return rows, err
	}
	return t
}

// columnsOf names the column of t that each of the fields is shown in, "" for none. Both
// have the same names, save for the row's id.
func columnsOf(t *Table, fields []string) []string {
	columns := make([]string, len(fields))
	for i, name := range fields {
		switch {
		case name == "id":
			columns[i] = "rowid"
		case slices.ContainsFunc(t.Columns, func(c table.ColumnDefinition) bool { return c.Name == name }):
			columns[i] = name
		}
	}
	return columns
}
