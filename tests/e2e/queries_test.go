package e2e

import (
	"context"
	"sort"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/sqlshell"
)

// Query is one query with the rows it must give, on osquery and in the embedded
// shell alike.
type Query struct {
	Name    string
	SQL     string
	Columns []string
	Want    string
}

// Queries covers what SQLite does with constraints on the way to a generator: OR,
// IN, LIKE, LIMIT, empty values, joins and re-scans.
var Queries = []Query{
	{"equals", "SELECT cmdline, score FROM service_discovery_score WHERE cmdline = 'systemctl'", []string{"cmdline", "score"}, "systemctl|25"},
	{"in", "SELECT cmdline, score FROM service_discovery_score WHERE cmdline IN ('systemctl', 'ls', 'service --status-all') ORDER BY cmdline", []string{"cmdline", "score"}, "ls|0\nservice --status-all|25\nsystemctl|25"},
	{"or", "SELECT cmdline, score FROM service_discovery_score WHERE cmdline = 'systemctl' OR cmdline = 'chkconfig --list'", []string{"cmdline", "score"}, "chkconfig --list|25\nsystemctl|25"},
	{"or over two columns", "SELECT cmdline, platform, score FROM service_discovery_score WHERE cmdline = 'sc query' AND platform = 'windows' OR cmdline = 'systemctl' AND platform = 'linux'", []string{"cmdline", "platform", "score"}, "sc query|windows|25\nsystemctl|linux|25"},
	{"same command twice", "SELECT count(*) AS n FROM service_discovery_score WHERE cmdline = 'systemctl' OR cmdline = 'systemctl'", []string{"n"}, "1"},
	{"platform in", "SELECT platform, t1007 FROM service_discovery_score WHERE cmdline = 'sc query' AND platform IN ('windows', 'linux') ORDER BY platform", []string{"platform", "t1007"}, "linux|0\nwindows|1"},
	{"like beside equals", "SELECT cmdline FROM service_discovery_score WHERE cmdline IN ('systemctl', 'ls') AND cmdline LIKE 'sys%'", []string{"cmdline"}, "systemctl"},
	{"limit", "SELECT cmdline FROM service_discovery_score WHERE cmdline IN ('a', 'b', 'c') ORDER BY cmdline LIMIT 2", []string{"cmdline"}, "a\nb"},
	{"offset", "SELECT cmdline FROM service_discovery_score WHERE cmdline IN ('a', 'b', 'c') ORDER BY cmdline LIMIT 2 OFFSET 1", []string{"cmdline"}, "b\nc"},
	{"empty value", "SELECT cmdline, score FROM service_discovery_score WHERE cmdline = ''", []string{"cmdline", "score"}, "|0"},
	{"empty value in a list", "SELECT cmdline, score FROM service_discovery_score WHERE cmdline IN ('', 'systemctl')", []string{"cmdline", "score"}, "systemctl|25\n|0"},
	{"null", "SELECT cmdline FROM service_discovery_score WHERE cmdline IS NULL", []string{"cmdline"}, ""},
	{"other column", "SELECT cmdline FROM service_discovery_score WHERE cmdline IN ('systemctl', 'ls') AND score >= 20", []string{"cmdline"}, "systemctl"},
	{"score is text", "SELECT cmdline FROM service_discovery_score WHERE cmdline = 'systemctl' AND score = 'abc'", []string{"cmdline"}, ""},
	{"subquery", "SELECT cmdline FROM service_discovery_score WHERE cmdline IN (SELECT 'systemctl' UNION SELECT 'ls') AND t1007 = 1", []string{"cmdline"}, "systemctl"},
	{"values join", "WITH v(c) AS (VALUES ('systemctl'), ('ls'), ('')) SELECT v.c, s.score FROM v JOIN service_discovery_score s ON s.cmdline = v.c", []string{"c", "score"}, "ls|0\nsystemctl|25\n|0"},
	{"left join", "WITH v(c) AS (VALUES ('systemctl'), ('ls')) SELECT v.c, s.score FROM v LEFT JOIN service_discovery_score s ON s.cmdline = v.c AND s.t1007 = 1", []string{"c", "score"}, "ls|\nsystemctl|25"},
	{"aggregate", "SELECT sum(t1007) AS n, max(score) AS worst FROM service_discovery_score WHERE cmdline IN ('systemctl', 'ls', 'rc-status')", []string{"n", "worst"}, "2|25"},
	{"reasons are JSON", "SELECT json_extract(reasons, '$[0].factor') AS factor FROM service_discovery_score WHERE cmdline = 'systemctl'", []string{"factor"}, "rule_level"},
	{"rules", "SELECT count(*) AS n FROM service_discovery_rules WHERE enabled = 1 AND origin = 'embedded' AND technique = 'T1007' AND rule_id <> ''", []string{"n"}, "47"},
	{"events with a window", "SELECT count(*) AS n FROM service_discovery_events WHERE recorded > 4000000000 AND recorded < 4100000000", []string{"n"}, "0"},
	{"events by a text", "SELECT count(*) AS n FROM service_discovery_events WHERE time = 'abc'", []string{"n"}, "0"},
	{"health", "SELECT state FROM service_discovery_health WHERE component = 'rules'", []string{"state"}, "ok"},
}

// Render writes rows for comparison, in no particular order.
func Render(rows []map[string]string, columns []string) string {
	var lines []string
	for _, r := range rows {
		var cells []string
		for _, c := range columns {
			cells = append(cells, r[c])
		}
		lines = append(lines, strings.Join(cells, "|"))
	}
	sort.Slice(lines, func(i, j int) bool {
		// the empty cell sorts last, as the expectations are written
		a, b := lines[i], lines[j]
		if strings.HasPrefix(a, "|") != strings.HasPrefix(b, "|") {
			return strings.HasPrefix(b, "|") && !strings.HasPrefix(a, "|")
		}
		return a < b
	})
	return strings.Join(lines, "\n")
}

// TestQueriesInTheEmbeddedShell runs the same table without osquery.
func TestQueriesInTheEmbeddedShell(t *testing.T) {
	ctx := context.Background()
	a, err := app.Open(ctx, app.Options{Temporary: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := a.Engine.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	db, err := sqlshell.Open(ctx, a.Tables, sqlshell.Options{Warn: func(string) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range Queries {
		t.Run(c.Name, func(t *testing.T) {
			var rows []map[string]string
			err := db.Query(ctx, c.SQL, func(cols []string, row []sqlshell.Value) error {
				r := map[string]string{}
				for i, v := range row {
					r[cols[i]] = v.Text
				}
				rows = append(rows, r)
				return nil
			})
			if err != nil {
				t.Fatalf("%s: %v", c.SQL, err)
			}
			if got := Render(rows, c.Columns); got != c.Want {
				t.Errorf("%s\n got %s\nwant %s", c.SQL, got, c.Want)
			}
		})
	}
}
