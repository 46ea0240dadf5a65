package packs_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

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
    bytes: 1
    ms: 1
`

const policy = `policies:
  - name: Fine
    description: That it is fine.
    resolution: Mend it.
    query: SELECT 1
    platform: any
`

func TestBadEntriesAreRefused(t *testing.T) {
	if c, err := packs.Parse([]byte(good + policy)); err != nil || len(c.Queries) != 1 || len(c.Policies) != 1 {
		t.Fatalf("the good one: %v, %v", c, err)
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
		{"recorded > 5", "recorded > 5 -- yes", "comment"},
		{"version: 5.0.0", "version: new", "version"},
		{"attack: [T1007]", "attack: []", "ATT&CK"},
		{"rows: 1", "rows: 1\n    colour: red", "colour not found"},
		{"rows: 1", "rows: -1", "budget"},
		{"rows: 1", "rows: .nan", "budget"},
		{"bytes: 1", "bytes: 0", "budget"},
		{"ms: 1", "", "budget"},
		{"ms: 1", "ms: 1\n    core: {macos: SELECT 1}", `core: platform "macos"`},
		{"ms: 1", "ms: 1\n    core: {linux: SELECT 1;}", "core, linux: query has a ;"},
		{good, good + good[len("queries:\n"):], "there twice"},
		{good, "queries: []\n", "no query"},
		{good + policy, "", "read the catalogue"},
		{good, "queries: [", "read the catalogue"},
		{"name: Fine", "name:", "policy"},
		{"resolution: Mend it.", "", `policy "Fine": name, description, query and resolution`},
		{"SELECT 1\n    platform: any", "SELECT 1;\n    platform: any", `policy "Fine": query has a ;`},
		{"platform: any", "platform: beos", `policy "Fine": platform "beos"`},
		{"name: Fine", "name: one", "there twice"},
		{"policies:", "decorators: {load: [SELECT 1;]}\npolicies:", "decorators: query has a ;"},
		{"policies:", "decorators: {interval: {90: [SELECT 1]}}\npolicies:", "whole minutes"},
		{"policies:", "options: {macos: {}}\npolicies:", `options: platform "macos"`},
	} {
		text := strings.Replace(good+policy, c.from, c.to, 1)
		if _, err := packs.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: %v, want %q", c.to, c.from, err, c.want)
		}
	}
}

func load(t *testing.T) *packs.Catalogue {
	t.Helper()
	c, err := packs.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestMissions: every question the mission asks of a fleet has a query.
func TestMissions(t *testing.T) {
	names := strings.Join(load(t).Names(), " ")
	for _, want := range []string{
		"service_discovery_events", "service_discovery_bursts", "service_incident_escalations", "service_incident_reviews",
		"service_install_events", "service_inventory_drift", "service_incident_triage", "service_incident_timeline",
		"service_discovery_health", "service_discovery_unexpected_users", "service_discovery_off_hours", "service_discovery_remote",
		"service_discovery_web_parents", "service_discovery_database_parents", "service_discovery_office_parents",
		"service_discovery_network_after", "service_discovery_logons_before", "service_discovery_allowed", "service_discovery_baselines",
	} {
		if !strings.Contains(" "+names+" ", " "+want+" ") {
			t.Errorf("no query %s", want)
		}
	}
}

// TestBudget: what all queries together may cost a host.
func TestBudget(t *testing.T) {
	c := load(t)
	cost := c.Cost()
	if err := cost.Check(); err != nil {
		t.Errorf("the catalogue is over budget: %v", err)
	}
	t.Logf("%d queries: %.1f rows, %.0f bytes, %.1f s of CPU a day", len(c.Queries), cost.Rows, cost.Bytes, cost.MS/1000)
	over := packs.Cost{Rows: packs.MaxRowsPerDay + 1, Bytes: packs.MaxBytesPerDay + 1, MS: packs.MaxMSPerDay + 1}
	if err := over.Check(); err == nil || strings.Count(err.Error(), "a day") != 3 {
		t.Errorf("over all budgets: %v", err)
	}
	one, err := packs.Parse([]byte(strings.Replace(good, "rows: 1", "rows: 51", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Cost().Check(); err == nil {
		t.Error("51 rows a day are no error: this test shows nothing")
	}
}

// TestWindowsCoverIntervals: a row that appears between two runs is seen by one of them.
func TestWindowsCoverIntervals(t *testing.T) {
	window := regexp.MustCompile(`(recorded|updated|first_seen|last_seen) > CAST\(strftime\('%s', 'now'\) AS INTEGER\) - (\d+)`)
	table := regexp.MustCompile(`FROM (service_\w+)`)
	checked := 0
	for _, q := range load(t).Queries {
		switch table.FindStringSubmatch(q.SQL)[1] {
		case "service_discovery_health":
			continue
		case "service_inventory":
			if !strings.Contains(q.SQL, "first_seen >") {
				continue // what is, not what happened
			}
		}
		if q.Name == "service_discovery_allowed" {
			continue // a day that is over
		}
		all := window.FindAllStringSubmatch(q.SQL, -1)
		if len(all) == 0 {
			t.Errorf("%s: no window", q.Name)
		}
		for _, m := range all {
			if seconds, err := strconv.Atoi(m[2]); err != nil || seconds < 3*q.Interval {
				t.Errorf("%s: a window of %s s for an interval of %d s", q.Name, m[2], q.Interval)
			}
			checked++
		}
	}
	if checked < 15 {
		t.Errorf("only %d windows", checked)
	}
}

// TestNoColumnIsNewsByItself: rows must not change while nothing happened.
func TestNoColumnIsNewsByItself(t *testing.T) {
	changing := regexp.MustCompile(`\b(lag_seconds|events_read|events_matched|events_dropped|last_event|matches|last_match|last_seen|state|pid)\b`)
	for _, q := range load(t).Queries {
		selected, _, _ := strings.Cut(q.SQL, "FROM")
		for _, m := range changing.FindAllString(selected, -1) {
			ofEvent := m == "pid" && strings.Contains(q.SQL, "service_discovery_events")
			ofHealth := m == "state" && strings.Contains(q.SQL, "service_discovery_health")
			if !ofEvent && !ofHealth {
				t.Errorf("%s selects %s, which changes by itself", q.Name, m)
			}
		}
		if regexp.MustCompile(`SELECT\s+\*|\.\*`).MatchString(q.SQL) {
			t.Errorf("%s selects everything", q.Name)
		}
	}
}
