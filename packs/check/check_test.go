package check_test

import (
	"context"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/packs"
	"github.com/osquery-rollcall/rollcall/packs/check"
)

func checker(t testing.TB) *check.Checker {
	t.Helper()
	c, err := check.New(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestNothingIsWrongWithOurs: the catalogue and all that is generated from it pass.
func TestNothingIsWrongWithOurs(t *testing.T) {
	c := checker(t)
	look := func(name string, data []byte) {
		for _, f := range c.File(context.Background(), data) {
			t.Errorf("%s: %s", name, f)
		}
	}
	look("catalogue", packs.Source())
	catalogue, err := packs.Load()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, format := range packs.Formats() {
		for _, o := range []packs.Options{{}, {FleetQueries: true}, {FleetFree: true}} {
			files, err := catalogue.Generate(format, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if check.Readable(f.Name) {
					look(format+"/"+f.Name, f.Data)
					n++
				}
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d files", n)
	}
}

const packHead = `{"queries": {"q": {"interval": 300, "query": "`

// TestFindings: what is wrong, by form.
func TestFindings(t *testing.T) {
	c := checker(t)
	sql := func(q string) string { return packHead + q + `"}}}` }
	onLinux := func(q string) string {
		return `{"queries": {"q": {"interval": 300, "platform": "linux", "query": "` + q + `"}}}`
	}
	report := func(more string) string {
		return "- {name: a, query: SELECT 1, interval: 300, automations_enabled: true, logging: differential" + more + "}"
	}
	for _, x := range []struct {
		name, in string
		want     []string // one for each finding, in order
	}{
		{"a good pack", sql("SELECT pid FROM processes;"), nil},
		{"a good pack of all fields", `{"platform": "posix", "version": "1.4.5", "shard": "10", "oncall": "x", "discovery": ["SELECT 1"], "queries": {"q": {"query": "SELECT 1", "interval": "300",
			"platform": "any", "version": "5.0.0", "description": "d", "value": "v", "removed": false, "snapshot": false, "denylist": true, "shard": 5, "startup_priority": 1}}}`, nil},
		{"comments and lines that go on", "// about\n{\"queries\": {\n# q\n\"q\": {\"interval\": 300, \"query\": \"SELECT pid \\\n FROM processes\"}}}", nil},
		{"a mark first", "\ufeff" + sql("SELECT 1"), nil},
		{"no table", sql("SELECT pid FROM proceses"), []string{`error: q: no table proceses in osquery 5.23 or Rollcall, did you mean "processes"?`}},
		{"no table of ours", sql("SELECT 1 FROM service_discovery_everything"), []string{"error: q: no table service_discovery_everything"}},
		{"somebody else's table", sql("SELECT 1 FROM kolide_macos_profiles"), []string{"warning: q: no table kolide_macos_profiles"}},
		{"no column", sql("SELECT p.cmdlien FROM processes p"), []string{`error: q: no column p.cmdlien, did you mean "cmdline"?`}},
		{"a function of osquery's", sql("SELECT version_compare('1', '2')"), []string{"warning: q: function version_compare is not known here"}},
		{"a syntax error", sql("SELEC 1"), []string{"error: q: does not compile: near"}},
		{"it writes", sql("DELETE FROM processes"), []string{"error: q: does not compile"}},
		{"two statements", sql("SELECT 1; SELECT 2"), []string{"error: q: more than one statement"}},
		{"nothing", sql(" "), []string{"error: q: query is empty"}},
		{"a stream without a bound", onLinux("SELECT pid FROM process_events"), []string{"warning: q: process_events is a stream of events"}},
		{"a time that is only selected", onLinux("SELECT time, pid AS time_of FROM process_events p WHERE pid > 1"), []string{"a stream"}},
		{"a stream with a bound", onLinux("SELECT pid FROM process_events p WHERE p.time > strftime('%s', 'now') - 300"), nil},
		{"the bound first", onLinux("SELECT pid FROM process_events p WHERE 300 < p.time"), nil},
		{"a bound that keeps the cursor", onLinux("SELECT pid FROM process_events WHERE CAST(time AS INTEGER) > 300"), nil},
		{"a window that is not asked for", sql("SELECT event_id FROM service_discovery_events WHERE score > 3"), []string{"warning: q: service_discovery_events grows"}},
		{"a window in a subquery", sql("SELECT pid FROM processes WHERE cmdline IN (SELECT cmdline FROM service_discovery_events AS e WHERE e.recorded > 5)"), nil},
		{"a required column", sql("SELECT path FROM file"), []string{"error: q: file needs path or directory in the WHERE clause"}},
		{"a required column of ours", sql("SELECT score FROM service_discovery_score AS s"), []string{"error: q: service_discovery_score needs cmdline"}},
		{"the required column", sql("SELECT f.path FROM file f WHERE f.directory = '/etc'"), nil},
		{"another platform's table", onLinux("SELECT name FROM services"), []string{"error: q: linux has no table services: only windows"}},
		{"one platform's table everywhere", sql("SELECT name FROM services"), []string{"warning: q: runs everywhere, but services is on windows alone"}},
		{"a pack's platform is its queries'", `{"platform": "windows", "queries": {"q": {"interval": 300, "query": "SELECT name FROM services"}}}`, nil},
		{"a column called as a table", sql("SELECT name, users FROM (SELECT name, 1 AS users, 2 AS services FROM processes)"), nil},
		{"a query that never ends", sql("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT x FROM c"), nil},
		{"an unknown field", `{"queries": {"q": {"query": "SELECT 1", "interval": 300, "remved": false}}}`, []string{`error: q: no field "remved" in the query, did you mean "removed"?`}},
		{"an unknown field of a pack", `{"discovry": [], "queries": {}}`, []string{`no field "discovry" in the pack, did you mean "discovery"?`}},
		{"a field twice", `{"queries": {"q": {"query": "SELECT 1", "query": "SELECT 2", "interval": 300}}}`, []string{"query is there twice"}},
		{"a field of a wrong kind", `{"queries": {"q": {"query": "SELECT 1", "interval": 300, "removed": "no", "snapshot": 1}}}`, []string{"removed must be true or false", "snapshot must be true or false"}},
		{"no query", `{"queries": {"q": {"interval": 300}}}`, []string{"the query has no query"}},
		{"no mapping", `{"queries": {"q": "SELECT 1"}}`, []string{"the query must be a mapping", "no interval"}},
		{"no interval", `{"queries": {"q": {"query": "SELECT 1"}}}`, []string{"warning: q: no interval"}},
		{"intervals", `{"queries": {"a": {"query": "SELECT 1", "interval": 0}, "b": {"query": "SELECT 1", "interval": 604801}, "c": {"query": "SELECT 1", "interval": "often"}, "d": {"query": "SELECT 1", "interval": 5}}}`,
			[]string{"a: interval is 0", "b: interval is 604801", "c: interval must be a number", "c: no interval", "warning: d: interval is 5 s: 17280 runs"}},
		{"a platform", `{"queries": {"q": {"query": "SELECT 1", "interval": 300, "platform": "macos"}}}`, []string{`platform "macos" is none`}},
		{"a shard", `{"shard": 101, "queries": {"q": {"query": "SELECT 1", "interval": 300, "shard": 0}}}`, []string{"shard is 101", "q: shard is 0"}},
		{"a frequent snapshot", `{"queries": {"q": {"query": "SELECT 1", "interval": 300, "snapshot": true, "removed": false}}}`, []string{"removed means nothing", "logs all its rows, 288 times a day"}},
		{"a discovery query", `{"discovery": ["SELECT 1 FROM nothing_at_all"], "queries": {}}`, []string{"(discovery): no table nothing_at_all"}},

		{"a configuration", `{"options": {"disable_events": false, "events_max": "50000", "custom_rollcall": "{}", "host_identifier": "uuid"}, "schedule": {"s": {"query": "SELECT 1", "interval": 60}},
			"packs": {"p": {"queries": {"q": {"query": "SELEC", "interval": 60}}}, "file": "/etc/osquery/packs/t1007.conf"}, "views": {"v": "SELECT 1 AS x"}, "decorators": {"load": ["SELECT 1 AS y"], "interval": {"60": ["SELECT 2 AS z"]}}}`,
			[]string{"q: does not compile"}},
		{"options", `{"options": {"disable_event": false, "config_refresh": 60, "events_max": true, "disable_audit": "no"}}`,
			[]string{`no option "disable_event", did you mean "disable_events"?`, "config_refresh is for the command line alone", "events_max must be a number", "disable_audit must be true or false"}},
		{"decorators", `{"decorators": {"load": "SELECT 1", "always": ["SELECT nosuch"], "interval": {"90": ["SELECT 1"], "60": "SELECT 1"}}}`,
			[]string{"load must be a list of texts", "decorators: no column nosuch", "interval 90", "interval holds lists"}},
		{"an unknown part of a configuration", `{"schedule": {}, "shedule": {}}`, []string{`no field "shedule" in the configuration, did you mean "schedule"?`}},
		{"views", `{"views": {"a": 1, "b": ["x"], "c": "SELECT nosuch"}}`, []string{"view a: does not compile", "b: a view must be a text", "view c: no column nosuch"}},
		{"osctrl's packs", `{"t": {"queries": {"q": {"query": "SELEC", "interval": 60}}}}`, []string{"q: does not compile"}},
		{"osctrl's decorators", `{"load": ["SELECT 1 AS a"], "interval": {"59": []}}`, []string{"interval 59"}},
		{"osctrl's options", `{"custom_rollcall": "{}", "disable_evnts": true}`, []string{`no option "disable_evnts"`}},

		{"a good report", report(", platform: 'darwin,linux', min_osquery_version: 5.0.0, observer_can_run: true, discard_data: false, description: d, labels_include_any: [x]"), nil},
		{"reports", report(", lgging: x") + "\n" + report(", platform: posix"), []string{`no field "lgging" in the report, did you mean "logging"?`, `platform "posix" is none: darwin, linux, windows, chrome`, "a: two of this name"}},
		{"logging", "- {name: a, query: SELECT 1, interval: 300, automations_enabled: true, logging: diff}", []string{`logging is "diff": must be snapshot, differential, differential_ignore_removals`}},
		{"a report that tells nobody", "- {name: a, query: SELECT 1, interval: 300, logging: snapshot}", []string{"its rows go to no log"}},
		{"a report that never runs", "- {name: a, query: SELECT 1, logging: snapshot}", []string{"runs only when somebody asks"}},
		{"a report without a name", "- {query: SELECT 1, interval: 300, automations_enabled: true, logging: differential}", []string{"the report has no name"}},
		{"a dollar", "- {name: a, query: \"SELECT '$HOME', '\\\\$x', '$'\", interval: 300, automations_enabled: true, logging: differential}", []string{`takes $HOME for a variable of the environment: write \$HOME`}},
		{"a dollar in osquery's pack", sql("SELECT '$HOME'"), nil},
		{"an interval in text", "- {name: a, query: SELECT 1, interval: 5m, automations_enabled: true, logging: differential}", []string{"interval must be a whole number", "no interval"}},
		{"labels of two kinds", report(", labels_include_any: [a], labels_exclude_any: [b]"), []string{"only one of labels_include_any"}},
		{"a good policy", "- {name: p, query: SELECT 1, resolution: r, description: d, critical: true, platform: linux}", nil},
		{"policies", "- {name: p, resolution: r, critical: yes}\n- {name: q, query: SELEC 1, resolution: r}", []string{"critical must be true or false", "the policy has no query", "q: does not compile"}},
		{"labels", "- {name: a, label_membership_type: dynamic}\n- {name: b, label_membership_type: manual, query: SELECT 1}\n- {name: c, label_membership_type: odd, query: SELECT 1}\n- {name: d, label_membership_type: manual, hosts: [x]}",
			[]string{"a: a dynamic label has no query", "b: a manual label has no query, but hosts", `c: label_membership_type is "odd"`}},
		{"a good fleet", "name: x\nsettings: {secrets: []}\nagent_options: {path: a.yml}\ncontrols:\npolicies:\nreports:\n  - path: a.yml\nsoftware:\n", nil},
		{"a good default", "org_settings: {secrets: []}\nagent_options:\ncontrols:\npolicies:\nqueries:\nlabels:\n  - path: l.yml\n", nil},
		{"a bad fleet", "name: x\nteam_settings: {features: {}}\nsettings: {secrets: []}\nreport:\npolicies:\n  - {path: a.yml, name: b}\n",
			[]string{"the file has no agent_options", "the file has no controls", "has no reports", "team_settings and settings", `no field "report" in the file, did you mean "reports"?`, "a path has other fields"}},
		{"neither", "agent_options:\ncontrols:\npolicies:\nreports:\n", []string{"either org_settings, or name and settings"}},
		{"both", "org_settings: {secrets: []}\nname: x\nagent_options:\ncontrols:\npolicies:\nreports:\n", []string{"org_settings is for default.yml"}},
		{"no secrets", "name: x\nsettings: {features: {}}\nagent_options:\ncontrols:\npolicies:\nreports:\n", []string{"settings has no secrets"}},
		{"good agent options", "config: {options: {disable_events: false}, views: {v: SELECT 1 AS x}}\noverrides: {platforms: {darwin: {options: {disable_events: false}}}}\ncommand_line_flags: {extensions_require: rollcall}\n", nil},
		{"agent options", "config: {options: {custom_rollcall: x, logger_plugin: tls}, view: {}}\noverrides: {platforms: {windows: {views: {}}, linux: }}\ncommand_line_flags: {extensions_autoload: x, verbos: true}\n",
			[]string{`no field "view" in the configuration, did you mean "views"?`, "Fleet refuses custom_rollcall without --force", "logger_plugin is for the command line alone", "windows has no options", "linux must be a mapping", "extensions_autoload would break", `no flag "verbos", did you mean "verbose"?`}},
		{"flags that clear", "config: {}\ncommand_line_flags: {}\n", []string{"clears the flags of all hosts"}},

		{"good specs", "apiVersion: v1\nkind: query\nspec: {name: a, query: SELECT 1}\n---\napiVersion: v1\nkind: pack\nspec: {name: p, targets: {labels: [x]}, queries: [{query: a, name: b, interval: 60, removed: false}]}\n", nil},
		{"a pack's platform is its queries'", "apiVersion: v1\nkind: query\nspec: {name: a, query: SELECT name FROM services}\n---\napiVersion: v1\nkind: pack\nspec: {name: p, platform: windows, queries: [{query: a, interval: 60}]}\n", nil},
		{"a dollar in a spec", "apiVersion: v1\nkind: query\nspec: {name: a, query: \"SELECT '$HOME'\", interval: 60, automations_enabled: true, logging: differential}\n", nil},
		{"specs", "apiVersion: v2\nkind: query\nspec: {name: abc, query: SELECT 1}\n---\napiVersion: v1\nkind: pack\nspec: {name: p, target: {}, queries: [{query: abd, interval: 60, platform: mac}, {query: abc}]}\n---\napiVersion: v1\nkind: quiz\nspec: {}\n---\napiVersion: v1\nkind: query\n",
			[]string{`apiVersion is "v2"`, `no field "target" in the pack, did you mean "targets"?`, `no query "abd" in this file, did you mean "abc"?`, `platform "mac"`, "has no interval", `no kind "quiz"`, "the spec has no spec"}},
		{"a spec's agent options", "apiVersion: v1\nkind: config\nspec: {agent_options: {config: {options: {custom_x: 1}}}}\n---\napiVersion: v1\nkind: team\nspec: {team: {name: t, agent_options: {confg: {}}}}\n",
			[]string{"Fleet refuses custom_x", `no field "confg" in agent_options, did you mean "config"?`}},
		{"a spec's policy and label", "apiVersion: v1\nkind: policy\nspec: {name: a}\n---\napiVersion: v1\nkind: label\nspec: {name: b}\n", []string{"the policy has no query", "a dynamic label has no query"}},

		{"the catalogue, too dear", "queries:\n- {name: a, description: d, query: SELECT 1, interval: 10, platform: any, version: 5.0.0, attack: [T1007], severity: low, value: v, rows: 51, bytes: 1, ms: 100, core: {linux: SELECT name FROM services}}\n",
			[]string{"over budget: 51.0 rows a day: at most 50; 864.0 s of CPU a day", "a (core, linux): linux has no table services"}},
		{"the catalogue, wrong", "queries:\n- {name: a, attack: [T1007]}\n", []string{`query "a": name, description, query and value`}},

		{"nothing at all", "", []string{"empty"}},
		{"a text", "hello", []string{"not a form that is known"}},
		{"a mapping of no form", "a: 1\n", []string{"not a form that is known"}},
		{"no YAML", "a: [", []string{"neither JSON nor YAML"}},
		{"an alias of itself", "a: &a [*a]", []string{"nested deeper"}},
		{"deep", strings.Repeat("[", 100) + strings.Repeat("]", 100), []string{"nested deeper"}},
		{"a name with escapes", "{\"queries\": {\"\\u001b[31m\": {\"query\": \"SELEC\", \"interval\": 60}}}", []string{"error:  [31m: does not compile"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			got := c.File(context.Background(), []byte(x.in))
			for i, f := range got {
				if i >= len(x.want) || !strings.Contains(f.String(), x.want[i]) {
					t.Errorf("finding %d: %s", i, f)
				}
				if f.Level != check.Error && f.Level != check.Warning {
					t.Errorf("level %q", f.Level)
				}
			}
			if len(got) < len(x.want) {
				t.Errorf("%d findings, want %q", len(got), x.want)
			}
		})
	}
}

// TestLinesAreNamed: a person finds the place.
func TestLinesAreNamed(t *testing.T) {
	got := checker(t).File(context.Background(), []byte("{\n  \"queries\": {\n    \"q\": {\n      \"query\": \"SELEC\",\n      \"interval\": 60\n    }\n  }\n}\n"))
	if len(got) != 1 || got[0].Line != 4 {
		t.Errorf("%v", got)
	}
}

// TestBounds: a file does not make the check endless.
func TestBounds(t *testing.T) {
	c := checker(t)
	if got := c.File(context.Background(), make([]byte, check.MaxFile+1)); len(got) != 1 || !strings.Contains(got[0].Text, "larger than") {
		t.Errorf("%v", got)
	}
	if got := c.File(context.Background(), []byte("a: &a [x]\nqueries: {q: {query: SELECT 1, interval: *a}}\n")); len(got) == 0 {
		t.Error("aliases of lists pass")
	}
	var b strings.Builder
	b.WriteString("[")
	for range 3000 {
		b.WriteString("{bad: 1}, ")
	}
	b.WriteString("]")
	if got := c.File(context.Background(), []byte(b.String())); len(got) != 1000 {
		t.Errorf("%d findings", len(got))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got := c.File(ctx, []byte(packHead+`SELECT 1"}}}`)); len(got) != 1 || got[0].Level != check.Error {
		t.Errorf("without time: %v", got)
	}
}

func FuzzFile(f *testing.F) {
	for _, s := range []string{packHead + `SELECT 1"}}}`, "- {name: a, query: SELECT 1, interval: 1}", "apiVersion: v1\nkind: pack\nspec: {queries: [{}]}", "config: {options: {}}",
		"name: x\nreports: [{path: y}]", "{\"options\": {\"a\": 1}}", "a: &a [*a]", "queries: [{attack: 1}]", "labels: [{criteria: {}}]", "? [a]\n: b", "- *x", "{1: {queries: {}}}"} {
		f.Add([]byte(s))
	}
	c := checker(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 8192 {
			return
		}
		for _, x := range c.File(context.Background(), data) {
			if x.Text == "" || x.Line < 0 || strings.ContainsAny(x.Name, "\x1b\n") {
				t.Errorf("%+v", x)
			}
		}
	})
}
