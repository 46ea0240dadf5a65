package packs_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/sqlshell"
	"github.com/osquery-rollcall/rollcall/packs"
)

// good is an entry that every check passes; the tests spoil one thing of it.
const good = `queries:
  - name: one
    description: What a row means.
    query: SELECT event_id FROM service_discovery_events WHERE recorded > 5
    interval: 300
    platform: linux,darwin
    version: 5.0.0
    attack: [T1007]
    severity: low
    value: What to do.
    rows: 1
    ms: 1
`

func TestBadEntriesAreRefused(t *testing.T) {
	if q, err := packs.Parse([]byte(good)); err != nil || len(q) != 1 {
		t.Fatalf("the good one: %v, %v", q, err)
	}
	for _, c := range []struct{ from, to, want string }{
		{"name: one", "name: ''", "name, description, query and value are needed"},
		{"name: one", "name: One query", "name"},
		{"description: What a row means.", "description:", "are needed"},
		{"value: What to do.", "", "are needed"},
		{"interval: 300", "interval: 9", "interval is 9"},
		{"interval: 300", "interval: 604801", "interval is 604801"},
		{"interval: 300", "", "interval is 0"},
		{"interval: 300", "interval: often", "cannot unmarshal"},
		{"platform: linux,darwin", "platform: macos", `platform "macos"`},
		{"platform: linux,darwin", "platform: 'linux, darwin'", `platform " darwin"`},
		{"platform: linux,darwin", "", `platform ""`},
		{"severity: low", "severity: bad", `severity "bad"`},
		{"recorded > 5", "recorded > 5;", "; or $"},
		{"recorded > 5", "recorded > $x", "; or $"},
		{"recorded > 5", "time > 5", "without a window"},
		{"version: 5.0.0", "version: new", "version"},
		{"attack: [T1007]", "attack: []", "ATT&CK"},
		{"rows: 1", "rows: 1\n    colour: red", "colour not found"},
		{"rows: 1", "rows: -1", "budget"},
		{good, good + good[len("queries:\n"):], "there twice"},
		{good, "queries: []", "no query"},
		{good, "", "read the catalogue"},
		{good, "queries: [", "read the catalogue"},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if _, err := packs.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: %v, want %q", c.to, c.from, err, c.want)
		}
	}
}

// TestPackIsWhatOsqueryReads looks at the JSON as a fleet manager would.
func TestPackIsWhatOsqueryReads(t *testing.T) {
	queries, err := packs.Parse([]byte(good + strings.NewReplacer("name: one", "name: two", "linux,darwin", "any", "recorded > 5", "recorded > 5 AND cmdline <> 'a & b'").Replace(good[len("queries:\n"):])))
	if err != nil {
		t.Fatal(err)
	}
	data, err := packs.Osquery(queries)
	if err != nil {
		t.Fatal(err)
	}
	var pack struct {
		Discovery []string
		Queries   map[string]map[string]any
	}
	if err := json.Unmarshal(data, &pack); err != nil {
		t.Fatal(err)
	}
	if len(pack.Discovery) != 1 || len(pack.Queries) != 2 {
		t.Fatalf("%s", data)
	}
	one, two := pack.Queries["one"], pack.Queries["two"]
	if one["platform"] != "linux,darwin" || one["interval"] != 300.0 || one["removed"] != false || one["snapshot"] != false || one["denylist"] != false || one["version"] != "5.0.0" {
		t.Errorf("one: %v", one)
	}
	if _, ok := two["platform"]; ok {
		t.Errorf("a query for any platform names one: %v", two)
	}
	if !strings.Contains(string(data), "<> 'a & b'") {
		t.Errorf("the SQL is escaped: %s", data)
	}
	again, err := packs.Osquery(queries)
	if err != nil || string(again) != string(data) {
		t.Error("the same catalogue gives another pack")
	}
	if n := packs.Names(queries); strings.Join(n, " ") != "one two" {
		t.Errorf("names %v", n)
	}
}

// TestWindowsCoverIntervals: a row that appears between two runs is seen by one of them.
func TestWindowsCoverIntervals(t *testing.T) {
	window := regexp.MustCompile(`recorded > CAST\(strftime\('%s', 'now'\) AS INTEGER\) - (\d+)`)
	queries, err := packs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queries {
		if !strings.Contains(q.SQL, "_events") {
			continue
		}
		m := window.FindStringSubmatch(q.SQL)
		if m == nil {
			t.Errorf("%s: no window by recorded", q.Name)
			continue
		}
		var seconds int
		if err := json.Unmarshal([]byte(m[1]), &seconds); err != nil || seconds < 3*q.Interval {
			t.Errorf("%s: a window of %d s for an interval of %d s", q.Name, seconds, q.Interval)
		}
	}
}

// TestColumnsExist: no select of everything, and each column is one the tables have.
func TestColumnsExist(t *testing.T) {
	ctx := context.Background()
	a, err := app.Open(ctx, app.Options{Temporary: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	db, err := sqlshell.Open(ctx, a.Tables, sqlshell.Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	queries, err := packs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	changing := regexp.MustCompile(`\b(lag_seconds|events_read|events_matched|last_event)\b`)
	for _, q := range queries {
		if strings.Contains(q.SQL, "*") {
			t.Errorf("%s selects everything", q.Name)
		}
		if m := changing.FindString(q.SQL); m != "" {
			t.Errorf("%s selects %s, which is news with every run", q.Name, m)
		}
		if err := db.Query(ctx, q.SQL+" LIMIT 0", func([]string, []sqlshell.Value) error { return nil }); err != nil {
			t.Errorf("%s: %v", q.Name, err)
		}
	}
	if err := db.Query(ctx, "SELECT nonsense FROM service_discovery_events", func([]string, []sqlshell.Value) error { return nil }); err == nil {
		t.Error("a column that does not exist is no error: this test shows nothing")
	}
}
