package tables_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tables"
)

var update = flag.Bool("update", false, "write the golden files")

// clock is when the golden rows are asked for.
func clock() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// remembered is a store with a little of everything.
type remembered struct{}

func (remembered) EventRows(_ context.Context, _ store.Filter, fn func(store.EventRow) error) (bool, error) {
	full := store.Event{
		ID: 7, EventID: "aa11", Recorded: 1_800_000_010, Score: 62, Severity: "high", Scope: "all", Family: "sc", RuleIDs: `["r1"]`,
		Reasons: `[{"factor":"obfuscated","weight":1.6,"evidence":"caret"}]`, Technique: "T1007", Canonical: `["sc query"]`,
		Ancestry: `[{"pid":5,"path":"C:\\Windows\\explorer.exe","cmdline":"explorer"}]`, Elevated: "1", RemoteHost: "dc01", Attribution: "none",
		Process: evidence.Process{Time: 1_800_000_000, Platform: evidence.Windows, Host: "h", PID: 6, ParentPID: 5, Path: `C:\Windows\System32\sc.exe`,
			CmdLine: "s^c query", CWD: `C:\`, ParentPath: `C:\Windows\explorer.exe`, ParentCmdLine: "explorer", UID: "S-1-5-18", Username: "SYSTEM",
			LoginUser: "al", LoginSource: "10.0.0.1", LogonID: "0x3e7", Session: "1", ContainerID: "c", Source: "a,b", EID: "e"},
	}
	bare := store.Event{ID: 8, EventID: "bb22", Recorded: 1_800_000_011, RuleIDs: "[]", Reasons: "[]", Canonical: "[]", Ancestry: "[]", Severity: "informational"}
	return false, errors.Join(fn(&bare), fn(&full))
}

func (remembered) Baselines(context.Context) (map[store.BaselineKey]baseline.State, error) {
	var busy baseline.State
	for d := int64(20); d > 0; d-- {
		for h := range int64(3) {
			busy = busy.Observe(clock().Unix() - d*86_400 + h*3600)
		}
	}
	return map[store.BaselineKey]baseline.State{
		{Username: "zoe", Family: "sc"}: busy, {Username: "al", Family: "systemctl"}: baseline.State{}.Observe(clock().Unix() - 60), {Username: "al", Family: "net"}: {},
	}, nil
}

func (remembered) Health(context.Context) ([]store.Health, error) {
	return []store.Health{
		{Component: "process_events", State: "ok", LastEvent: 1_800_000_000, Checked: clock().Unix() - 7, Read: 100, Matched: 3},
		{Component: "proc_connector", State: "off", Detail: "not needed", Remedy: "nothing", Dropped: 2, Gaps: 1, Checked: clock().Unix() + 60},
		{Component: "rules", State: "ok", Detail: "3 loaded"},
	}, nil
}

func (remembered) Stats() []tables.Stats {
	return []tables.Stats{
		{Table: "service_discovery_events", Calls: 4, Rows: 40, Slowest: 1500 * time.Microsecond},
		{Table: "service_discovery_score", Calls: 9, Errors: 2, Panics: 1, Timeouts: 1, LastText: "no answer"},
	}
}

func (remembered) RuleStats(context.Context) (map[string]store.RuleStat, error) {
	return map[string]store.RuleStat{"00000000-0000-4000-8000-000000000001": {Matches: 5, LastMatch: 1_800_000_000}}, nil
}

// Judge finds what says "query" and shows what it was asked.
func (remembered) Judge(p *evidence.Process, _ engine.History, _ time.Time) engine.Verdict {
	v := engine.Verdict{Judgement: engine.Judgement{Verdict: score.Verdict{Severity: "informational"}}, Commands: []cmdline.Command{{Canonical: strings.ToLower(p.CmdLine)}, {}}}
	if strings.Contains(p.CmdLine, "query") {
		v.Matched, v.T1007, v.Scope, v.Technique, v.RuleIDs = true, true, rule.ScopeAll, "T1007", []string{"r1"}
		v.Score, v.Severity = 62, "high"
		v.Reasons = []score.Reason{{Factor: "obfuscated", Weight: 1.6, Evidence: "a > b"}}
		v.RemoteHost = "dc01"
		v.Attribution = attribution.Result{Kind: attribution.None}
	}
	v.Commands[0].Canonical += " [" + string(p.Platform) + " " + p.Path + " " + p.Username + " " + p.ParentPath + "]"
	return v
}

func ruleSet(t *testing.T) *rule.Set {
	t.Helper()
	return (&rule.Set{}).With(fstest.MapFS{
		"good.yml": {Data: []byte("title: Good\nid: 00000000-0000-4000-8000-000000000001\ndescription: Finds it.\nlevel: low\ntags: [attack.t1007]\nreferences: [https://example.com/a]\nfalsepositives: [Administrators]\nlogsource: {category: process_creation, product: linux}\ndetection: {sel: {Tool: sc}, condition: sel}\nrollcall: {scope: all, family: sc}\n")},
		"bad.yml":  {Data: []byte("title: Bad\nid: 00000000-0000-4000-8000-000000000002\nlogsource: {category: process_creation, product: zeek}\ndetection: {sel: {Image: /a}, condition: sel}\n")},
		"none.yml": {Data: []byte("title: [")},
	}, "/etc/rules.d")
}

func equals(column string, values ...string) table.QueryContext {
	var list []table.Constraint
	for _, v := range values {
		list = append(list, table.Constraint{Operator: table.OperatorEquals, Expression: v})
	}
	return table.QueryContext{Constraints: map[string]table.ConstraintList{column: {Constraints: list}}}
}

// TestRowsAreGolden compares each table's rows for the same facts with a file; -update
// writes it.
func TestRowsAreGolden(t *testing.T) {
	for _, c := range []struct {
		tab *tables.Table
		q   table.QueryContext
	}{
		{tables.ServiceDiscoveryEvents(remembered{}, nobody{}), table.QueryContext{}},
		{tables.ServiceDiscoveryBaselines(remembered{}, clock), table.QueryContext{}},
		{tables.ServiceDiscoveryHealth(remembered{}, remembered{}, clock), table.QueryContext{}},
		{tables.ServiceDiscoveryRules(ruleSet(t), remembered{}), table.QueryContext{}},
		{tables.ServiceDiscoveryScore(remembered{}, evidence.Linux, clock), equals("cmdline", "SC query", "ls")},
	} {
		t.Run(c.tab.Name, func(t *testing.T) {
			rows, err := c.tab.Generate.Maps(context.Background(), c.q)
			if err != nil {
				t.Fatal(err)
			}
			var columns []string
			for _, col := range c.tab.Columns {
				columns = append(columns, col.Name)
			}
			var b strings.Builder
			for i, row := range rows {
				fmt.Fprintf(&b, "row %d\n", i+1)
				for _, col := range append(columns, "rowid") {
					if v, ok := row[col]; ok {
						fmt.Fprintf(&b, "  %s = %q\n", col, v)
					} else {
						fmt.Fprintf(&b, "  %s\n", col)
					}
				}
			}
			path := filepath.Join("testdata", c.tab.Name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(b.String(), "\n")); d != "" {
				t.Errorf("(-want +got)\n%s\nif that is right: go test ./tables -update", d)
			}
		})
	}
}

// broken is a store that cannot be read.
type broken struct{}

var errBroken = errors.New("no disk")

func (broken) EventRows(context.Context, store.Filter, func(store.EventRow) error) (bool, error) {
	return false, errBroken
}
func (broken) Baselines(context.Context) (map[store.BaselineKey]baseline.State, error) {
	return nil, errBroken
}
func (broken) Health(context.Context) ([]store.Health, error) { return nil, errBroken }
func (broken) RuleStats(context.Context) (map[string]store.RuleStat, error) {
	return nil, errBroken
}

func TestAStoreThatCannotBeReadIsAnError(t *testing.T) {
	for _, tab := range []*tables.Table{
		tables.ServiceDiscoveryEvents(broken{}, nobody{}), tables.ServiceDiscoveryBaselines(broken{}, clock),
		tables.ServiceDiscoveryHealth(broken{}, remembered{}, clock), tables.ServiceDiscoveryRules(ruleSet(t), broken{}),
	} {
		if rows, err := tab.Generate.Maps(context.Background(), table.QueryContext{}); !errors.Is(err, errBroken) || len(rows) != 0 {
			t.Errorf("%s: %v, %v", tab.Name, rows, err)
		}
	}
}

// asked is every input of the score table's rows.
func asked(t *testing.T, tab *tables.Table, q table.QueryContext) []string {
	t.Helper()
	rows, err := tab.Generate.Maps(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		out = append(out, strings.Join([]string{r["cmdline"], r["platform"], r["path"], r["username"], r["parent_path"]}, "|"))
	}
	sort.Strings(out)
	return out
}

// TestScoreInputs: every combination of what is given, echoed as it was given.
func TestScoreInputs(t *testing.T) {
	tab := tables.ServiceDiscoveryScore(remembered{}, evidence.Linux, clock)
	q := equals("cmdline", "a", "b", "a")
	q.Constraints["platform"] = equals("platform", "Windows", "").Constraints["platform"]
	q.Constraints["username"] = equals("username", "al").Constraints["username"]
	if d := cmp.Diff([]string{"a|Windows||al|", "a|||al|", "b|Windows||al|", "b|||al|"}, asked(t, tab, q)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	odd := []string{"", " ", "\x00", "ünï\xff", strings.Repeat("x", 100_000), "'; DROP TABLE x"}
	for _, line := range odd {
		if got := asked(t, tab, equals("cmdline", line)); !slices.Contains(got, line+"||||") {
			t.Errorf("%.20q is not echoed", line)
		}
	}
	like := table.QueryContext{Constraints: map[string]table.ConstraintList{"cmdline": {Constraints: []table.Constraint{{Operator: table.OperatorLike, Expression: "s%"}}}}}
	if got := asked(t, tables.ServiceDiscoveryScore(remembered{}, evidence.Linux, clock), like); len(got) != 1 || got[0] != "||||" {
		t.Errorf("LIKE alone: %v", got)
	}
}

// TestScoreRecallsWhatWasAsked: a re-scan without values answers for the last inputs, as
// many as there were, and not for ever.
func TestScoreRecallsWhatWasAsked(t *testing.T) {
	now := clock()
	tab := tables.ServiceDiscoveryScore(remembered{}, evidence.Linux, func() time.Time { return now })
	var lines []string
	for i := range 9000 {
		lines = append(lines, fmt.Sprint("line ", i))
	}
	if n := len(asked(t, tab, equals("cmdline", lines...))); n != 9000 {
		t.Fatalf("%d rows for 9,000 inputs", n)
	}
	if n := len(asked(t, tab, table.QueryContext{})); n != 9001 { // and the empty line
		t.Errorf("a re-scan has %d rows", n)
	}
	now = now.Add(31 * time.Second)
	if n := len(asked(t, tab, table.QueryContext{})); n != 1 {
		t.Errorf("after half a minute a re-scan has %d rows", n)
	}
	// Huge inputs are judged, and not all kept.
	big := []string{}
	for i := range 20 {
		big = append(big, fmt.Sprint(i)+strings.Repeat("x", 1<<20))
	}
	if n := len(asked(t, tab, equals("cmdline", big...))); n != 20 {
		t.Errorf("%d rows for 20 huge inputs", n)
	}
	if n := len(asked(t, tab, table.QueryContext{})); n < 2 || n > 12 {
		t.Errorf("a re-scan after huge inputs has %d rows", n)
	}
}

// TestScoreIsBounded: an IN list times an IN list.
func TestScoreIsBounded(t *testing.T) {
	tab := tables.ServiceDiscoveryScore(remembered{}, evidence.Linux, clock)
	var many []string
	for i := range 500 {
		many = append(many, fmt.Sprint(i))
	}
	q := equals("cmdline", many...)
	q.Constraints["username"] = equals("username", many...).Constraints["username"]
	if n := len(asked(t, tab, q)); n != 10_000 {
		t.Errorf("%d rows", n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tab.Generate.Maps(ctx, q); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: %v", err)
	}
}
