package tables

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// BaselineReader reads what is normal.
type BaselineReader interface {
	Baselines(ctx context.Context) (map[store.BaselineKey]baseline.State, error)
}

// ServiceDiscoveryBaselines is the table of what is normal on this host.
func ServiceDiscoveryBaselines(r BaselineReader) *Table {
	return &Table{
		Name:        "service_discovery_baselines",
		Description: "What is normal for each user and command family on this host: the daily rate Rollcall has learned.",
		Columns: []table.ColumnDefinition{
			text("username", "User."),
			text("family", "Command family (sc, systemctl, ...)."),
			text("hour_of_week", "JSON object of the hours of the week (0 is Monday 00:00 UTC) with commands, to their number."),
			double("mean_per_day", "Expected commands a day."),
			double("variance", "Variance of the number a day."),
			bigint("observations", "Commands learned from."),
			bigint("first_seen", "First of them, seconds since 1970 UTC."),
			bigint("last_seen", "Last of them."),
			integer("learned", "1 when enough days were seen to call a count unusual."),
		},
		Examples: []string{"SELECT username, family, mean_per_day, observations FROM service_discovery_baselines ORDER BY observations DESC"},
		Generate: func(ctx context.Context, _ table.QueryContext) ([]map[string]string, error) {
			all, err := r.Baselines(ctx)
			if err != nil {
				return nil, err
			}
			now := time.Now().Unix()
			rows := make([]map[string]string, 0, len(all))
			for k, s := range all {
				s = s.Advance(now)
				hours := map[string]uint16{}
				for h, n := range s.Hours {
					if n > 0 {
						hours[fmt.Sprint(h)] = n
					}
				}
				profile, err := json.Marshal(hours)
				if err != nil {
					return nil, fmt.Errorf("write the hours of %s/%s: %w", k.Username, k.Family, err)
				}
				mean, variance := s.Predict(0)
				rows = append(rows, map[string]string{
					"rowid": keyed(k.Username, k.Family), "username": k.Username, "family": k.Family, "hour_of_week": string(profile),
					"mean_per_day": fmt.Sprintf("%.4f", mean), "variance": fmt.Sprintf("%.4f", variance),
					"observations": itoa(s.Observations), "first_seen": known(s.FirstSeen), "last_seen": known(s.LastSeen), "learned": yes(s.Learned()),
				})
			}
			return rows, nil
		},
	}
}
