package tables

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// BaselineReader reads what is normal.
type BaselineReader interface {
	Baselines(ctx context.Context) (map[store.BaselineKey]baseline.State, error)
}

// ServiceDiscoveryBaselines is the table of what is normal on this host, as of clock.
func ServiceDiscoveryBaselines(r BaselineReader, clock func() time.Time) *Table {
	return &Table{
		Name:        "service_discovery_baselines",
		Description: "What is normal for each user and command family on this host: the daily rate Rollcall has learned.",
		Columns: []table.ColumnDefinition{
			text("username", "User."),
			text("family", "Command family (sc, systemctl, ...)."),
			text("hour_of_week", "JSON object of the hours of the week (0 is Monday 00:00 UTC) with commands, to how often, 1 to 15."),
			double("mean_per_day", "Expected commands a day."),
			double("variance", "Variance of the number a day."),
			bigint("observations", "Commands learned from."),
			bigint("first_seen", "First of them, seconds since 1970 UTC."),
			bigint("last_seen", "Last of them."),
			integer("learned", "1 when enough days were seen to call a count unusual."),
		},
		Examples: []string{"SELECT username, family, mean_per_day, observations FROM service_discovery_baselines ORDER BY observations DESC"},
		Generate: func(ctx context.Context, _ table.QueryContext) (*Rows, error) {
			all, err := r.Baselines(ctx)
			if err != nil {
				return nil, err
			}
			now := clock().Unix()
			rows := &Rows{}
			// A map has no order; people and golden files like one.
			for _, k := range slices.SortedFunc(maps.Keys(all), func(a, b store.BaselineKey) int {
				return cmp.Or(strings.Compare(a.Username, b.Username), strings.Compare(a.Family, b.Family))
			}) {
				s := all[k].Advance(now)
				mean, variance := s.Predict(0)
				rows.Add(keyed(k.Username, k.Family))
				rows.Texts("username", k.Username, "family", k.Family, "hour_of_week", profile(&s.Hours),
					"mean_per_day", fmt.Sprintf("%.4f", mean), "variance", fmt.Sprintf("%.4f", variance), "learned", yes(s.Learned()))
				rows.Int("observations", int64(s.Observations))
				rows.Known("first_seen", s.FirstSeen)
				rows.Known("last_seen", s.LastSeen)
			}
			return rows, nil
		},
	}
}

// profile writes the hours with commands as a JSON object, in order.
func profile(p *baseline.Profile) string {
	var b strings.Builder
	for h := range 168 {
		if n := p.Hour(h); n > 0 {
			fmt.Fprintf(&b, `,"%d":%d`, h, n)
		}
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}
