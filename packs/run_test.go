package packs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/report/results"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/sqlshell"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/packs"
	"github.com/osquery-rollcall/rollcall/packs/check"
	"github.com/osquery-rollcall/rollcall/tables"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

// host is Rollcall's tables over a real store, beside osquery's tables without rows.
type host struct {
	*sqlshell.DB
	store *store.Store
	now   time.Time
}

type quiet struct{}

func (quiet) Nudge()                {}
func (quiet) Stats() []tables.Stats { return nil }

// seen tells that services without a package are new.
type seen struct{ since int64 }

func (f seen) FirstSeen(_ context.Context, s *inventory.Service) int64 {
	if s.Package == "" {
		return f.since
	}
	return 1
}

// services is a host's inventory.
type services []inventory.Service

func (s services) Services(context.Context) ([]inventory.Service, error) { return s, nil }
func (s services) ScoreService(x *inventory.Service) (score.Verdict, bool) {
	return score.Verdict{Score: len(x.Name) % 50, Severity: "low"}, true
}

func newHost(t *testing.T) *host {
	t.Helper()
	ctx, now := context.Background(), time.Now()
	s, err := store.OpenTemporary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	list := services{
		{Name: "new.service", Path: "/opt/new"},
		{Name: "weak.service", Package: "weak", Looked: true, Writable: []string{"/opt/weak"}},
	}
	for i := range 300 {
		list = append(list, inventory.Service{Name: fmt.Sprintf("unit%d.service", i), Package: "systemd"})
	}
	all, err := check.OsqueryTables()
	if err != nil {
		t.Fatal(err)
	}
	all = append(all,
		tables.ServiceDiscoveryEvents(s, quiet{}), tables.ServiceDiscoveryBursts(s, quiet{}), tables.ServiceDiscoveryBaselines(s, time.Now),
		tables.ServiceDiscoveryRules(set, s), tables.ServiceDiscoveryHealth(s, quiet{}, time.Now), tables.ServiceInstallEvents(s, quiet{}),
		tables.ServiceInventory(list, list, seen{now.Unix() - 100}), tables.ServiceIncidents(s, quiet{}), tables.ServiceIncidentTimeline(s), tables.ServiceIncidentTriage(s))
	db, err := sqlshell.Open(ctx, all, sqlshell.Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &host{db, s, now}
}

// rows runs a query and returns its rows as osquery would compare them.
func (h *host) rows(t *testing.T, sql string) []string {
	t.Helper()
	var out []string
	err := h.Query(context.Background(), sql, func(cols []string, row []sqlshell.Value) error {
		var b strings.Builder
		for i, v := range row {
			fmt.Fprintf(&b, "%s=%s\n", cols[i], v.Text)
		}
		out = append(out, b.String())
		return nil
	})
	if err != nil {
		t.Errorf("%s: %v", sql, err)
	}
	return out
}

// day fills the store with what a busy server sees in a day: listings, a burst with
// its incident, installs.
func (h *host) day(t *testing.T, at int64) {
	t.Helper()
	b := &store.Batch{Now: at, Cursors: map[string]string{}}
	reasons := `[{"factor":"rule_level","weight":-1.1,"evidence":"low"},{"factor":"first_seen","weight":0.7,"evidence":"never before"},{"factor":"off_hours","weight":0.7,"evidence":"02:14 Sat"},{"factor":"remote_session","weight":0.3,"evidence":"192.0.2.7"},{"factor":"web_ancestor","weight":3.2,"evidence":"/usr/sbin/nginx"}]`
	long := strings.Repeat("x", 400)
	for i := range 20 {
		id := fmt.Sprintf("e-%d-%d", at, i)
		kind, why := "none", reasons
		switch i % 4 {
		case 0:
			kind = "expected"
		case 1:
			why = strings.Replace(reasons, "web_", "database_", 1)
		case 2:
			why = strings.Replace(reasons, "web_", "office_", 1)
		}
		b.Events = append(b.Events, &store.Event{
			EventID: id, Recorded: at + int64(i), Identity: at*100 + int64(i), Score: 20 + 3*i, Severity: "low", Scope: "all", Family: "systemctl", RuleIDs: `["r"]`,
			Reasons: why, Technique: "T1007", Canonical: `["systemctl list-units --type=service"]`, Ancestry: `[{"pid":1,"path":"` + long + `"}]`, Elevated: "1", RemoteHost: "other", Attribution: kind,
			Process: evidence.Process{Time: at + int64(i), Platform: evidence.Linux, PID: 100, Path: "/usr/bin/systemctl", CmdLine: "systemctl " + long, ParentPath: "/usr/sbin/nginx", Username: "root", LoginUser: "al", Source: "process_events", EID: id},
		})
	}
	actor := incident.Actor{Username: "root"}
	burst := &incident.Burst{ID: fmt.Sprintf("b-%d", at), Key: fmt.Sprint(at), Actor: actor, Start: at, End: at + 60, Recorded: at, Updated: at + 60, Events: 20, Score: 45, Severity: "medium",
		Families: []string{"systemctl"}, Commands: []string{"systemctl list-units"}, Best: incident.Command{ID: "e", Time: at, CmdLine: "systemctl"}, IncidentID: fmt.Sprintf("i-%d", at)}
	x := &incident.Incident{ID: burst.IncidentID, Actor: actor, Opened: at, Recorded: at, Updated: at + 60, Last: at + 60, Status: incident.Open, Bursts: []*incident.Burst{burst},
		Decision: incident.Escalate, DecisionReasons: []string{"under a web server"}, Attribution: attribution.Result{Kind: attribution.None}, Score: 80, Severity: "critical", Summary: long}
	for i := range 10 {
		x.Connections = append(x.Connections, incident.Connection{Time: at + 100 + int64(i), Actor: actor, RemoteAddr: "192.0.2.1", RemotePort: 443, Unusual: "new here"})
		x.Logons = append(x.Logons, incident.Logon{Time: at - 100 - int64(i), Username: "al", From: "192.0.2.7", Failed: i%2 == 0})
	}
	for i := range 3 {
		b.Installs = append(b.Installs, &store.Install{InstallID: fmt.Sprintf("n-%d-%d", at, i), Recorded: at, Identity: at*100 + int64(i), Score: 30, Severity: "low", Reasons: "[]", Attribution: "none",
			Install: evidence.Install{Time: at, TimeBasis: evidence.BasisChange, Platform: evidence.Linux, Action: evidence.Created, Kind: "systemd", Name: "x.service", Path: "/opt/x", Source: "watch", EID: fmt.Sprint(at, i)}})
	}
	b.Baselines = map[store.BaselineKey]baseline.State{
		{Username: "al", Family: "systemctl"}: learned(at), {Username: "al", Family: "@session"}: learned(at),
		{Username: "gone", Family: "systemctl"}: learned(at - 60*86400),
	}
	burst.Expected, burst.Tail = 1.5, 0.0004
	x.Actor.LoginUser, x.Attribution.Subject, x.Attribution.Basis = "al", "al", "nobody knows"
	x.Reasons = []score.Reason{{Factor: "rule_level", Weight: -1.1, Evidence: "low"}}
	y := *x
	y.ID, y.Decision = x.ID+"r", incident.Review
	b.Bursts, b.Incidents = []*incident.Burst{burst}, []*incident.Incident{x, &y}
	b.Health = []store.Health{{Component: "process_events", State: evidence.StateDegraded, Detail: "lost 3"}, {Component: "config", State: evidence.StateOK, Detail: "loaded"}}
	if err := h.store.Commit(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

// learned is what ten days of a command at the same hour teach.
func learned(at int64) baseline.State {
	var s baseline.State
	for d := int64(10); d > 0; d-- {
		s = s.Observe(at - d*86400)
	}
	return s
}

// TestReportFromResults: what the pack logs is enough to draw a report from, with what
// is usual beside what was observed.
func TestReportFromResults(t *testing.T) {
	h, c := newHost(t), load(t)
	h.day(t, h.now.Unix()-1000)
	var log bytes.Buffer
	for _, q := range c.Queries {
		err := h.Query(context.Background(), q.SQL, func(cols []string, row []sqlshell.Value) error {
			columns := map[string]string{}
			for i, v := range row {
				columns[cols[i]] = v.Text
			}
			return json.NewEncoder(&log).Encode(map[string]any{
				"name": "pack_t1007_" + q.Name, "hostIdentifier": "h1", "unixTime": h.now.Unix(), "action": "added", "columns": columns,
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var set results.Set
	if a, err := set.Read(&log); err != nil || a.Broken != 0 || a.Left != 0 {
		t.Fatalf("read the results: %+v, %v", a, err)
	}
	hosts := set.Hosts()
	if len(hosts) != 1 {
		t.Fatalf("%d hosts", len(hosts))
	}
	x := hosts[0]
	if len(x.Incidents) != 2 || len(x.Installs) != 3 || len(x.Runs) != 1 || len(x.Commands) == 0 || len(x.Health) == 0 {
		t.Errorf("%d incidents, %d installs, %d runs, %d commands, %d parts", len(x.Incidents), len(x.Installs), len(x.Runs), len(x.Commands), len(x.Health))
	}
	for _, i := range x.Incidents {
		if i.LoginUser != "al" || i.Basis == "" || len(i.Reasons) != 1 || len(i.Timeline) == 0 {
			t.Errorf("incident %s: login user %q, basis %q, %d reasons, %d entries", i.ID, i.LoginUser, i.Basis, len(i.Reasons), len(i.Timeline))
		}
	}
	for _, r := range x.Runs {
		if !r.Known || r.Expected != 1.5 || r.Tail != 0.0004 {
			t.Errorf("run %s: %v, expected %v, tail %v", r.ID, r.Known, r.Expected, r.Tail)
		}
	}
	if len(x.Baselines) != 1 {
		t.Fatalf("baselines %+v, want al's of systemctl alone", x.Baselines)
	}
	b := x.Baselines[0]
	busy := 0
	for _, n := range b.Hours {
		busy += n
	}
	if b.Username != "al" || b.Family != "systemctl" || !b.Learned || busy != 10 {
		t.Errorf("baseline %+v", b)
	}
}

// TestEveryQueryRuns runs all SQL of the catalogue on the real tables, beside
// osquery's: queries, core queries, policies, decorators, discovery.
func TestEveryQueryRuns(t *testing.T) {
	h, c := newHost(t), load(t)
	h.day(t, h.now.Unix()-1000)
	h.day(t, h.now.Add(-24*time.Hour).Unix())
	for _, q := range c.Queries {
		if rows := h.rows(t, q.SQL); len(rows) == 0 {
			t.Errorf("%s: no rows, though there is what it asks for", q.Name)
		}
		for _, sql := range q.Core {
			h.rows(t, sql)
		}
	}
	for _, p := range c.Policies {
		passes := len(h.rows(t, p.SQL)) > 0
		want := p.Name == "Rollcall's rules are current" || p.Name == "Rollcall's files belong to root alone"
		if passes != want {
			t.Errorf("policy %q passes: %v", p.Name, passes)
		}
	}
	for _, sql := range append(slices.Clone(c.Decorators.Load), packs.Registered) {
		h.rows(t, sql)
	}
	for _, list := range c.Decorators.Interval {
		for _, sql := range list {
			h.rows(t, sql)
		}
	}
}

// TestRowsAreLoggedOnce: osquery logs a row that was not there in the run before. What
// a query returns again must be the same to the letter, and evidence that comes late
// is returned like any other.
func TestRowsAreLoggedOnce(t *testing.T) {
	h, c := newHost(t), load(t)
	h.day(t, h.now.Unix()-1000)
	logged := map[string]map[string]int{}
	run := func() {
		for _, q := range c.Queries {
			if logged[q.Name] == nil {
				logged[q.Name] = map[string]int{}
			}
			for _, r := range h.rows(t, q.SQL) {
				logged[q.Name][r]++
			}
		}
	}
	run()
	run()
	for name, rows := range logged {
		for r, n := range rows {
			if n != 2 {
				t.Errorf("%s: a row of the first run is not in the second: %s", name, r)
			}
		}
	}
	before := len(logged["service_discovery_events"])
	late := &store.Event{EventID: "late", Recorded: h.now.Unix(), Identity: 7, Score: 50, Severity: "medium", Reasons: "[]", RuleIDs: "[]", Canonical: "[]", Ancestry: "[]",
		Process: evidence.Process{Time: h.now.Unix() - 90_000, Platform: evidence.Linux, CmdLine: "systemctl", Source: "process_events", EID: "late"}}
	if err := h.store.Commit(context.Background(), &store.Batch{Now: h.now.Unix(), Events: []*store.Event{late}}); err != nil {
		t.Fatal(err)
	}
	run()
	if got := len(logged["service_discovery_events"]); got != before+1 {
		t.Errorf("evidence of yesterday that came now: %d new rows, want 1", got-before)
	}
}

// TestCost measures every query on a host with 30 days of state and compares with its
// budget; osquery's own share, which is not measured here, is in the budget too.
func TestCost(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: what the queries cost (-short)")
	}
	h, c := newHost(t), load(t)
	for d := range 30 {
		h.day(t, h.now.Add(-time.Duration(d)*24*time.Hour).Unix()-1000)
	}
	var perDay float64
	for _, q := range c.Queries {
		best := time.Hour
		var rows int
		runtime.GC()
		for range 5 {
			start := cputime.StartAll()
			rows = len(h.rows(t, q.SQL))
			best = min(best, start.Took())
		}
		perDay += q.RunsPerDay() * best.Seconds()
		t.Logf("%-36s %4d s %5d rows %8.2f ms (budget %d)", q.Name, q.Interval, rows, best.Seconds()*1000, q.MS)
		// The budget is of CPU: a machine that does other things is forgiven.
		if best > 5*time.Duration(q.MS)*time.Millisecond {
			t.Errorf("%s takes %v, its budget is %d ms", q.Name, best, q.MS)
		}
	}
	t.Logf("all: %.1f s a day", perDay)
	if perDay*1000 > packs.MaxMSPerDay {
		t.Errorf("all queries take %.1f s a day", perDay)
	}
}
