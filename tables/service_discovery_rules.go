package tables

import (
	"context"
	"hash/fnv"
	"strings"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// RuleStats reads how often rules matched.
type RuleStats interface {
	RuleStats(ctx context.Context) (map[string]store.RuleStat, error)
}

// ServiceDiscoveryRules is the table of loaded and refused rules.
func ServiceDiscoveryRules(set *rule.Set, stats RuleStats) *Table {
	return &Table{
		Name:        "service_discovery_rules",
		Description: "The Sigma rules that are loaded, with their matches on this host, and those that were refused with the reason.",
		Columns: []table.ColumnDefinition{
			text("rule_id", "Id of the rule."),
			text("title", "Title."),
			text("description", "What it finds."),
			text("level", "Sigma level; it sets the score a match starts with."),
			text("technique", "ATT&CK technique."),
			text("platforms", "Platform it is for; empty for any."),
			text("scope", "How much the command asks for (Rollcall's own rules)."),
			text("family", "Command family, the unit of baselines (Rollcall's own rules)."),
			text("origin", "embedded, or the file it was read from."),
			bigint("matches", "Events it matched on this host since the state was begun."),
			bigint("last_match", "Time of the last one, seconds since 1970 UTC."),
			text("references", "JSON list of references."),
			text("false_positives", "JSON list of known false positives."),
			integer("enabled", "1 when it is matched, 0 when it was refused."),
			text("error", "Why it was refused, with line and column."),
		},
		Examples: []string{
			"SELECT title, level, platforms, matches FROM service_discovery_rules ORDER BY matches DESC",
			"SELECT origin, error FROM service_discovery_rules WHERE enabled = 0",
		},
		Generate: func(ctx context.Context, _ table.QueryContext) (*Rows, error) {
			counts, err := stats.RuleStats(ctx)
			if err != nil {
				return nil, err
			}
			rows := &Rows{}
			for _, r := range set.Rules() {
				st := counts[r.ID]
				rows.Add(keyed(r.ID, r.Origin))
				rows.Texts("rule_id", r.ID, "title", strings.Join(strings.Fields(r.Title), " "), "description", strings.Join(strings.Fields(r.Description), " "),
					"level", string(r.Severity()), "technique", r.Technique(), "platforms", r.LogSource.Product, "scope", string(r.Scope), "family", r.Family,
					"origin", r.Origin, "references", list(r.References), "false_positives", list(r.FalsePositives), "enabled", "1", "error", "")
				rows.Int("matches", st.Matches)
				rows.Known("last_match", st.LastMatch)
			}
			for _, r := range set.Refused() {
				rows.Add(keyed(r.ID, r.Origin, r.Err.Error()))
				rows.Texts("rule_id", r.ID, "title", r.Title, "origin", r.Origin, "enabled", "0",
					"error", r.Err.Error(), "matches", "0", "references", "[]", "false_positives", "[]")
			}
			return rows, nil
		},
	}
}

// keyed is a stable row id from texts that identify the row.
func keyed(parts ...string) int64 {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return int64(h.Sum64() >> 1)
}
