package sqlshell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/osquery/osquery-go/plugin/table"
	"go.uber.org/goleak"

	"github.com/osquery-rollcall/rollcall/tables"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a table over fixed rows that remembers how it was called.
type fake struct {
	tables.Table
	mu    sync.Mutex
	calls []string
}

func newFake(name string, cols []table.ColumnDefinition, rows ...map[string]string) *fake {
	f := &fake{Table: tables.Table{Name: name, Columns: cols}}
	f.Generate = tables.FromMaps(func(_ context.Context, qc table.QueryContext) ([]map[string]string, error) {
		f.record(qc)
		return rows, nil
	})
	return f
}

// record notes the constraints as "column op expression" in column order.
func (f *fake) record(qc table.QueryContext) {
	var parts []string
	for _, c := range f.Columns {
		for _, con := range qc.Constraints[c.Name].Constraints {
			parts = append(parts, fmt.Sprintf("%s %d %s", c.Name, con.Operator, con.Expression))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.Join(parts, ", "))
}

func (f *fake) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

// events, people and scores stand for the three ways Rollcall's tables declare
// their columns.
func events() *fake {
	return newFake("events", []table.ColumnDefinition{
		table.TextColumn("eid", table.OptimizedColumn()),
		table.BigIntColumn("time", table.AdditionalColumn()),
		table.TextColumn("name", table.AdditionalColumn(), table.ColumnDescription("who\nit was")),
		table.IntegerColumn("score", table.OptimizedColumn()),
		table.DoubleColumn("p", table.OptimizedColumn()),
		table.TextColumn("secret", table.OptimizedColumn(), table.HiddenColumn()),
	},
		map[string]string{"rowid": "1", "eid": "a", "time": "100", "name": "ann", "score": "10", "p": "0.5", "secret": "x"},
		map[string]string{"rowid": "2", "eid": "b", "time": "200", "name": "bob", "score": "20", "p": "", "secret": "y"},
		map[string]string{"rowid": "3", "eid": "c", "time": "300", "name": "", "score": ""},
		map[string]string{"rowid": "4", "eid": "d", "time": "400", "score": "abc", "p": "1e3"},
	)
}

func people() *fake {
	return newFake("people", []table.ColumnDefinition{
		table.TextColumn("city"), // without options: an index, as in osquery
		table.TextColumn("who", table.IndexColumn()),
	},
		map[string]string{"rowid": "ann@x", "who": "ann", "city": "Ulm"},
		map[string]string{"rowid": "bob@x", "who": "bob", "city": "Bonn"},
		map[string]string{"rowid": "cy@x", "who": "cy", "city": "Ulm"},
	)
}

// scores echoes its required input.
func scores() *fake {
	f := &fake{Table: tables.Table{Name: "scores", Columns: []table.ColumnDefinition{
		table.BigIntColumn("score", table.OptimizedColumn()),
		table.TextColumn("cmdline", table.RequiredColumn(), table.OptimizedColumn()),
	}}}
	f.Generate = tables.FromMaps(func(_ context.Context, qc table.QueryContext) ([]map[string]string, error) {
		f.record(qc)
		var rows []map[string]string
		for _, c := range qc.Constraints["cmdline"].Constraints {
			if c.Operator == table.OperatorEquals {
				rows = append(rows, map[string]string{
					"rowid": c.Expression, "cmdline": c.Expression, "score": fmt.Sprint(len(c.Expression)),
				})
			}
		}
		return rows, nil
	})
	return f
}

func open(t testing.TB, opts Options, fakes ...*fake) *DB {
	t.Helper()
	var tabs []*tables.Table
	for _, f := range fakes {
		tabs = append(tabs, &f.Table)
	}
	db, err := Open(context.Background(), tabs, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// rows runs sql and returns each row as "a|b", NULL written out.
func rows(t testing.TB, db *DB, sql string) []string {
	t.Helper()
	got, err := tryRows(db, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

func tryRows(db *DB, sql string) ([]string, error) {
	got := []string{}
	err := db.Query(context.Background(), sql, func(_ []string, row []Value) error {
		var cells []string
		for _, v := range row {
			if v.Kind == Null {
				cells = append(cells, "NULL")
				continue
			}
			cells = append(cells, v.Text)
		}
		got = append(got, strings.Join(cells, "|"))
		return nil
	})
	return got, err
}

func TestQueries(t *testing.T) {
	tests := []struct {
		sql  string
		want []string
	}{
		{"SELECT 1 WHERE 0", []string{}},
		{"SELECT eid FROM events", []string{"a", "b", "c", "d"}},
		{"SELECT * FROM events WHERE eid = 'a'", []string{"a|100|ann|10|0.5"}},
		{"SELECT eid, secret FROM events WHERE eid = 'b'", []string{"b|y"}},

		// every operator, on a column that is pushed down
		{"SELECT eid FROM events WHERE time = 200", []string{"b"}},
		{"SELECT eid FROM events WHERE time > 200", []string{"c", "d"}},
		{"SELECT eid FROM events WHERE time >= 200 AND time < 400", []string{"b", "c"}},
		{"SELECT eid FROM events WHERE time <= 100", []string{"a"}},
		{"SELECT eid FROM events WHERE time <> 100", []string{"b", "c", "d"}},
		{"SELECT eid FROM events WHERE time IS 100", []string{"a"}},
		{"SELECT eid FROM events WHERE time IS NOT 100", []string{"b", "c", "d"}},
		{"SELECT eid FROM events WHERE time IN (100, 300, 300, 7)", []string{"a", "c"}},
		{"SELECT eid FROM events WHERE time NOT IN (100, 300)", []string{"b", "d"}},
		{"SELECT eid FROM events WHERE time BETWEEN 150 AND 350", []string{"b", "c"}},
		{"SELECT eid FROM events WHERE time = 'abc'", []string{}},
		{"SELECT eid FROM events WHERE time = '200'", []string{"b"}},
		{"SELECT eid FROM events WHERE name LIKE 'A%'", []string{"a"}},
		{"SELECT eid FROM events WHERE name GLOB 'b*'", []string{"b"}},
		{"SELECT eid FROM events WHERE name REGEXP '^(ann|bob)$'", []string{"a", "b"}},
		{"SELECT eid FROM events WHERE name > 'ann'", []string{"b"}},
		{"SELECT eid FROM events WHERE name IN ('bob', 'ann', NULL)", []string{"a", "b"}},

		// OR, which SQLite joins by rowid
		{"SELECT eid FROM events WHERE time = 100 OR time = 300 OR name = 'bob' ORDER BY 1", []string{"a", "b", "c"}},
		{"SELECT who FROM people WHERE who = 'ann' OR city = 'Bonn' ORDER BY 1", []string{"ann", "bob"}},
		{"SELECT who FROM people WHERE who = 'ann' OR city = 'Ulm' ORDER BY 1", []string{"ann", "cy"}},

		// what is not there: text is empty, a number is NULL
		{"SELECT eid, name FROM events WHERE name = ''", []string{"c|", "d|"}},
		{"SELECT eid FROM events WHERE name IS NULL", []string{}},
		{"SELECT eid FROM events WHERE score IS NULL", []string{"c", "d"}},
		{"SELECT eid FROM events WHERE score IS NOT NULL", []string{"a", "b"}},
		{"SELECT eid, p, typeof(p) FROM events", []string{"a|0.5|real", "b|NULL|null", "c|NULL|null", "d|1000.0|real"}},
		{"SELECT typeof(eid), typeof(time), typeof(score) FROM events LIMIT 1", []string{"text|integer|integer"}},

		// order, limits, sets, aggregates, windows
		{"SELECT eid FROM events ORDER BY time DESC LIMIT 2 OFFSET 1", []string{"c", "b"}},
		{"SELECT eid FROM events LIMIT 2", []string{"a", "b"}},
		{"SELECT eid FROM events WHERE time IN (100, 200, 300) LIMIT 2", []string{"a", "b"}},
		{"SELECT count(*), sum(score), max(time), avg(p) FROM events", []string{"4|30|400|500.25"}},
		{"SELECT city, count(*) FROM people GROUP BY city HAVING count(*) > 1", []string{"Ulm|2"}},
		{"SELECT name FROM events WHERE name <> '' UNION SELECT who FROM people ORDER BY 1", []string{"ann", "bob", "cy"}},
		{"SELECT who FROM people EXCEPT SELECT name FROM events", []string{"cy"}},
		{"SELECT eid, rank() OVER (ORDER BY time DESC) FROM events ORDER BY eid LIMIT 2", []string{"a|4", "b|3"}},
		{"SELECT DISTINCT city FROM people ORDER BY 1", []string{"Bonn", "Ulm"}},

		// joins, subqueries, CTEs
		{"SELECT eid, city FROM events JOIN people ON who = name ORDER BY 1", []string{"a|Ulm", "b|Bonn"}},
		{"SELECT eid, city FROM events LEFT JOIN people ON who = name ORDER BY 1", []string{"a|Ulm", "b|Bonn", "c|NULL", "d|NULL"}},
		{"SELECT a.eid, b.eid FROM events a JOIN events b ON b.time = a.time + 100 ORDER BY 1", []string{"a|b", "b|c", "c|d"}},
		{"SELECT who FROM people WHERE EXISTS (SELECT 1 FROM events WHERE name = who)", []string{"ann", "bob"}},
		{"SELECT who, (SELECT max(time) FROM events WHERE name = who) FROM people", []string{"ann|100", "bob|200", "cy|NULL"}},
		{"WITH u AS (SELECT who FROM people WHERE city = 'Ulm') SELECT * FROM u", []string{"ann", "cy"}},
		{"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n", []string{"1", "2", "3"}},
		{"WITH s AS MATERIALIZED (SELECT * FROM scores WHERE cmdline IN (SELECT who FROM people)) SELECT who, s.score FROM people JOIN s ON s.cmdline = who ORDER BY 1", []string{"ann|3", "bob|3", "cy|2"}},

		// a required column
		{"SELECT score FROM scores WHERE cmdline = 'sc query'", []string{"8"}},
		{"SELECT cmdline FROM scores WHERE cmdline IN ('aa', 'b', '')", []string{"aa", "b"}},
		{"SELECT who, score FROM people CROSS JOIN scores ON cmdline = who", []string{"ann|3", "bob|3", "cy|2"}},
		{"SELECT * FROM scores WHERE cmdline = ''", []string{}},
		{"SELECT * FROM scores WHERE cmdline IS NULL", []string{}},

		// functions
		{`SELECT json_extract('{"a":[1,2]}', '$.a[1]')`, []string{"2"}},
		{`SELECT value FROM json_each('["x","y"]')`, []string{"x", "y"}},
		{`SELECT regex_match('pid=42 uid=7', 'uid=(\d+)', 1), regex_match('x', 'y', 0), regex_match('x', 'x', 5)`, []string{"7|NULL|NULL"}},
		{`SELECT regex_split('a--b---c', '-+', 2), split('/usr//bin/sc', '/', 1), split('a', '/', 3)`, []string{"c|bin|NULL"}},
		{`SELECT inet_aton('1.2.3.4'), inet_aton('::1'), in_cidr_block('10.0.0.0/8', '10.9.9.9'), in_cidr_block('10.0.0.0/8', 'x')`, []string{"16909060|NULL|1|0"}},
		{`SELECT to_base64('sc'), from_base64('c2M='), from_base64('!'), sha256('')`, []string{"c2M=|sc||e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}},
		{`SELECT regexp(NULL, 'a'), NULL REGEXP 'a', md5(NULL), sqrt(4), concat('a', NULL, 'b')`, []string{"NULL|NULL|NULL|2.0|ab"}},

		// temporary things, several statements, comments
		{"CREATE TEMP TABLE t AS SELECT eid FROM events; SELECT count(*) FROM t; DROP TABLE t", []string{"4"}},
		{"CREATE VIEW v AS SELECT who FROM people WHERE city = 'Ulm'; SELECT * FROM v; DROP VIEW v", []string{"ann", "cy"}},
		{"CREATE TABLE k(x); CREATE INDEX kx ON k(x); INSERT INTO k VALUES (1), (2); DELETE FROM k WHERE x = 1; SELECT * FROM k; DROP TABLE k", []string{"2"}},
		{";; SELECT 1;; -- two\n/* ; */ SELECT 'a;b' -- end", []string{"1", "a;b"}},
		{" -- nothing\n", []string{}},
		{"PRAGMA table_info('people')", []string{"0|city|TEXT|0|NULL|0", "1|who|TEXT|0|NULL|0"}},
		{"SELECT name FROM pragma_table_info('people')", []string{"city", "who"}},
	}
	for _, lookup := range []bool{false, true} {
		db := open(t, Options{Lookup: lookup}, events(), people(), scores())
		for _, tt := range tests {
			t.Run(fmt.Sprint(tt.sql, lookup), func(t *testing.T) {
				if diff := cmp.Diff(tt.want, rows(t, db, tt.sql)); diff != "" {
					t.Errorf("rows (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestLookup: what no generator reads is looked up in the rows of one call, and nothing is
// lost by it: not what is the same in another case or as a number, nor what is missing.
func TestLookup(t *testing.T) {
	var many []map[string]string
	for i := range 3000 {
		many = append(many, map[string]string{"k": fmt.Sprint("k", i%1000), "n": fmt.Sprint(i), "rowid": fmt.Sprint(i)})
	}
	many = append(many, map[string]string{"n": "7"}, map[string]string{"k": "5"}, map[string]string{"k": "K7"})
	columns := []table.ColumnDefinition{table.TextColumn("k", table.OptimizedColumn()), table.IntegerColumn("n", table.OptimizedColumn())}
	a, b := newFake("a", columns, many...), newFake("b", columns, many[:1000]...)
	for _, lookup := range []bool{false, true} {
		db := open(t, Options{Lookup: lookup}, a, b)
		for sql, want := range map[string]string{
			"SELECT count(*) FROM a JOIN b ON a.k = b.k":                           "3000",
			"SELECT count(*) FROM a JOIN b ON a.k = b.k AND a.n = b.n":             "1000",
			"SELECT count(*) FROM a LEFT JOIN b ON a.k = b.k WHERE b.k IS NULL":    "3",
			"SELECT count(*) FROM a WHERE k = 'k7'":                                "3",
			"SELECT count(*) FROM a WHERE k = 'k7' COLLATE NOCASE":                 "4",
			"SELECT count(*) FROM a WHERE k = ''":                                  "1",
			"SELECT count(*) FROM a WHERE k IS NULL":                               "0",
			"SELECT count(*) FROM a WHERE k = 5":                                   "1",
			"SELECT count(*) FROM a WHERE n = '7'":                                 "2",
			"SELECT count(*) FROM a WHERE k IN ('k1', 'k2', 'none')":               "6",
			"SELECT count(*) FROM a WHERE k = 'k1' OR k = 'k2'":                    "6",
			"SELECT count(*) FROM a WHERE k = (SELECT k FROM b WHERE n = 9)":       "3",
			"SELECT group_concat(n) FROM (SELECT n FROM a WHERE k = 'k3' LIMIT 2)": "3,1003",
		} {
			a.take()
			if got := rows(t, db, sql); len(got) != 1 || got[0] != want {
				t.Errorf("%s (%v): %v, want %s", sql, lookup, got, want)
			}
			if calls := a.take(); lookup && len(calls) != 1 {
				t.Errorf("%s: %d calls", sql, len(calls))
			}
		}
	}
}

// The operators are osquery's numbers; 68 to 74 are those it passes on without
// naming them.
func TestPushdown(t *testing.T) {
	tests := []struct {
		sql  string
		want []string // one element a call
	}{
		{"SELECT eid FROM events", []string{""}},
		{"SELECT eid FROM events WHERE time = 1", []string{"time 2 1"}},
		{"SELECT eid FROM events WHERE time > 1 AND time <= 9", []string{"time 4 1, time 8 9"}},
		{"SELECT eid FROM events WHERE time >= 1 AND time < 9", []string{"time 32 1, time 16 9"}},
		{"SELECT eid FROM events WHERE time <> 1", []string{"time 68 1"}},
		{"SELECT eid FROM events WHERE time IS 1", []string{"time 72 1"}},
		{"SELECT eid FROM events WHERE time = 'abc'", []string{"time 2 abc"}},
		{"SELECT eid FROM events WHERE time > 1.5", []string{"time 4 1.5"}},
		{"SELECT eid FROM events WHERE name LIKE 'a%'", []string{"name 65 a%"}},
		{"SELECT eid FROM events WHERE name GLOB 'a*'", []string{"name 66 a*"}},
		{"SELECT eid FROM events WHERE name REGEXP 'a'", []string{"name 67 a"}},
		// ranges over text stay with SQLite
		{"SELECT eid FROM events WHERE name > 'a'", []string{""}},
		// no value to pass
		{"SELECT eid FROM events WHERE name = ''", []string{""}},
		{"SELECT eid FROM events WHERE time IS NULL", []string{""}},
		// Optimized alone is not pushed down, without options is
		{"SELECT eid FROM events WHERE eid = 'a' AND score = 1", []string{""}},
		{"SELECT who FROM people WHERE city = 'Ulm'", []string{"city 2 Ulm"}},
		{"SELECT who FROM people LIMIT 2 OFFSET 1", []string{"city 74 1, city 73 2"}},
		{"SELECT eid FROM events LIMIT 2", []string{""}},
		// one call an element
		{"SELECT eid FROM events WHERE time IN (1, 2)", []string{"time 2 1", "time 2 2"}},
		{"SELECT eid FROM events WHERE time = 1 OR name = 'x'", []string{"time 2 1", "name 2 x"}},
		{"SELECT eid FROM people CROSS JOIN events ON name = who", []string{"name 2 ann", "name 2 bob", "name 2 cy"}},
		// a nested loop over the same scan asks once
		{"SELECT eid FROM people CROSS JOIN events", []string{""}},
	}
	ev, pe := events(), people()
	db := open(t, Options{}, ev, pe)
	for _, tt := range tests {
		t.Run(tt.sql, func(t *testing.T) {
			ev.take()
			pe.take()
			rows(t, db, tt.sql)
			got := ev.take()
			if !strings.Contains(tt.sql, "events") {
				got = pe.take()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestQueryContextNamesEveryColumn(t *testing.T) {
	var got table.QueryContext
	f := events()
	f.Generate = tables.FromMaps(func(_ context.Context, qc table.QueryContext) ([]map[string]string, error) {
		got = qc
		return nil, nil
	})
	db := open(t, Options{}, f)
	rows(t, db, "SELECT eid FROM events WHERE time = 5")
	want := map[string]table.ConstraintList{
		"eid":    {Affinity: "TEXT", Constraints: []table.Constraint{}},
		"time":   {Affinity: "BIGINT", Constraints: []table.Constraint{{Operator: table.OperatorEquals, Expression: "5"}}},
		"name":   {Affinity: "TEXT", Constraints: []table.Constraint{}},
		"score":  {Affinity: "INTEGER", Constraints: []table.Constraint{}},
		"p":      {Affinity: "DOUBLE", Constraints: []table.Constraint{}},
		"secret": {Affinity: "TEXT", Constraints: []table.Constraint{}},
	}
	if diff := cmp.Diff(want, got.Constraints); diff != "" {
		t.Errorf("constraints (-want +got):\n%s", diff)
	}
}

func TestRequiredColumn(t *testing.T) {
	tests := []struct {
		sql   string
		calls int
		warns bool
	}{
		{"SELECT * FROM scores", 0, true},
		{"SELECT * FROM scores WHERE score > 3", 0, true},
		{"SELECT * FROM scores LIMIT 1", 0, true},
		{"SELECT * FROM scores a JOIN scores b USING (score)", 0, true},
		{"SELECT * FROM scores WHERE cmdline = 'x'", 1, false},
		// given, though without a value
		{"SELECT * FROM scores WHERE cmdline = ''", 1, false},
		{"SELECT * FROM scores WHERE cmdline IS NULL", 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.sql, func(t *testing.T) {
			var warnings []string
			f := scores()
			db := open(t, Options{Warn: func(s string) { warnings = append(warnings, s) }}, f)
			rows(t, db, tt.sql)
			if got := len(f.take()); got != tt.calls {
				t.Errorf("calls = %d, want %d", got, tt.calls)
			}
			if tt.warns && (len(warnings) != 1 || !strings.Contains(warnings[0], "scores") || !strings.Contains(warnings[0], "cmdline")) {
				t.Errorf("warnings = %q", warnings)
			}
			if !tt.warns && len(warnings) > 0 {
				t.Errorf("warnings = %q, want none", warnings)
			}

			strict := open(t, Options{Strict: true}, scores())
			_, err := tryRows(strict, tt.sql)
			var re *RequiredError
			if errors.As(err, &re) != tt.warns {
				t.Errorf("strict: error = %v", err)
			}
		})
	}
}

func TestWarnOnceAStatement(t *testing.T) {
	n := 0
	db := open(t, Options{Warn: func(string) { n++ }}, scores(), people())
	rows(t, db, "SELECT * FROM people LEFT JOIN scores ON 1")
	rows(t, db, "SELECT * FROM scores")
	if n != 2 {
		t.Errorf("warned %d times, want 2", n)
	}
}

func TestRowID(t *testing.T) {
	num := newFake("num", []table.ColumnDefinition{table.TextColumn("v")},
		map[string]string{"rowid": "-7", "v": "a"}, map[string]string{"rowid": "9223372036854775807", "v": "b"})
	db := open(t, Options{}, num, people(), newFake("bare", []table.ColumnDefinition{table.TextColumn("v")},
		map[string]string{"v": "a"}, map[string]string{"v": "b"}))
	if diff := cmp.Diff([]string{"-7|a", "9223372036854775807|b"}, rows(t, db, "SELECT rowid, v FROM num")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"0|a", "1|b"}, rows(t, db, "SELECT rowid, v FROM bare")); diff != "" {
		t.Error(diff)
	}
	first := rows(t, db, "SELECT rowid FROM people")
	if diff := cmp.Diff(first, rows(t, db, "SELECT rowid FROM people")); diff != "" {
		t.Errorf("hashed row ids change: %s", diff)
	}
	if got := rows(t, db, "SELECT count(DISTINCT rowid) FROM people"); got[0] != "3" {
		t.Errorf("distinct row ids = %s", got[0])
	}
}

func TestConvert(t *testing.T) {
	tests := []struct {
		typ      table.ColumnType
		in, want string // want is typeof|value
	}{
		{"TEXT", "", "text|"},
		{"TEXT", "a\x00b", "text|a\x00b"},
		{"BLOB", "\xff", "text|\xff"},
		{"INTEGER", "", "null|NULL"},
		{"INTEGER", "12", "integer|12"},
		{"INTEGER", "4294967295", "integer|-1"}, // 32 bits, as osquery
		{"BIGINT", "4294967295", "integer|4294967295"},
		{"BIGINT", " \t-5", "integer|-5"},
		{"BIGINT", "+5", "integer|5"},
		{"BIGINT", "0x1F", "integer|31"},
		{"BIGINT", "0x", "integer|0"},
		{"BIGINT", "010", "integer|8"},
		{"BIGINT", "09", "integer|0"},
		{"BIGINT", "0", "integer|0"},
		{"BIGINT", "12abc", "integer|12"},
		{"BIGINT", "1.9", "integer|1"},
		{"BIGINT", "abc", "null|NULL"},
		{"BIGINT", "-", "null|NULL"},
		{"BIGINT", "9223372036854775807", "integer|9223372036854775807"},
		{"BIGINT", "9223372036854775808", "null|NULL"},
		{"BIGINT", "-9223372036854775808", "integer|-9223372036854775808"},
		{"BIGINT", "-9223372036854775809", "null|NULL"},
		{"UNSIGNED BIGINT", "18446744073709551615", "null|NULL"},
		{"DOUBLE", "", "null|NULL"},
		{"DOUBLE", "0.1", "real|0.1"},
		{"DOUBLE", "1e400", "real|Inf"},
		{"DOUBLE", "1.5x", "null|NULL"},
		{"DOUBLE", "1_0", "null|NULL"},
		{"DOUBLE", "0x10", "real|16.0"},
		{"DOUBLE", "0x1p4", "real|16.0"},
		{"DOUBLE", "0x", "null|NULL"},
		{"DOUBLE", "xp", "null|NULL"},
		{"DOUBLE", "nan", "null|NULL"},
		{"UNKNOWN", "x", "null|NULL"},
	}
	for _, tt := range tests {
		t.Run(string(tt.typ)+" "+tt.in, func(t *testing.T) {
			db := open(t, Options{}, newFake("t", []table.ColumnDefinition{table.NewColumn("v", tt.typ)}, map[string]string{"rowid": "1", "v": tt.in}))
			if diff := cmp.Diff([]string{tt.want}, rows(t, db, "SELECT typeof(v), v FROM t")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotAllowed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "out.db")
	tests := []struct{ sql, want string }{
		{"ATTACH '" + file + "' AS x", "ATTACH"},
		{"ATTACH ':memory:' AS x", "ATTACH"},
		{"DETACH main", "not allowed here"},
		{"VACUUM INTO '" + file + "'", "not allowed here"},
		{"PRAGMA temp_store = FILE", "PRAGMA temp_store"},
		{"PRAGMA temp_store_directory = '" + dir + "'", "PRAGMA temp_store_directory"},
		{"PRAGMA writable_schema = ON", "PRAGMA writable_schema"},
		{"PRAGMA main.max_page_count = 99999999", "PRAGMA max_page_count"},
		{"SELECT load_extension('x')", "not allowed here"},
		{"SELECT load_extension('x', 'y')", "not allowed here"},
		{"INSERT INTO people VALUES ('x', 'y')", "table people may not be modified"},
		{"UPDATE people SET city = 'x'", "table people may not be modified"},
		{"DELETE FROM PEOPLE", "table people may not be modified"},
		{"CREATE VIRTUAL TABLE z USING fts5(a)", "not allowed here"},
		{"CREATE VIRTUAL TABLE z USING people", "not allowed here"},
		{"CREATE TABLE q(a); CREATE TRIGGER r AFTER INSERT ON q BEGIN SELECT 1; END", "not allowed here"},
		{"CREATE TABLE q(a); ANALYZE", "not allowed here"},
		{"SELECT zeroblob(1000000000)", "too big"},
		{"SELECT readfile('/etc/passwd')", "no such function"},
		{"SELECT writefile('x', 'y')", "no such function"},
		{"SELECT fts3_tokenizer('x', 'y')", ""},
	}
	for _, tt := range tests {
		t.Run(tt.sql, func(t *testing.T) {
			db := open(t, Options{}, people())
			_, err := tryRows(db, tt.sql)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one with %q", err, tt.want)
			}
			// and the shell goes on
			if got := rows(t, db, "SELECT count(*) FROM people"); got[0] != "3" {
				t.Errorf("afterwards: %v", got)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("wrote %v", left)
			}
		})
	}
}

func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: that a temporary table cannot outgrow its cap (-short)")
	}
	db := open(t, Options{})
	_, err := tryRows(db, "CREATE TEMP TABLE big(x); INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) SELECT zeroblob(1000000) FROM n")
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("error = %v, want a full database", err)
	}
}

func TestErrors(t *testing.T) {
	boom := errors.New("the store is locked: try again\x00")
	bad := events()
	bad.Generate = tables.FromMaps(func(context.Context, table.QueryContext) ([]map[string]string, error) { return nil, boom })
	wild := people()
	wild.Generate = tables.FromMaps(func(context.Context, table.QueryContext) ([]map[string]string, error) { panic("index out of range") })
	db := open(t, Options{}, bad, wild, scores())

	tests := []struct {
		sql          string
		line, column int
		offset       int
		want         string
	}{
		{"SELECT * FROM nope", 1, 1, 0, "no such table: nope (only Rollcall's own tables"},
		{"SELECT * FROM score", 1, 1, 0, "did you mean scores?"},
		{"SELECT cmdlin FROM scores", 1, 8, 7, "no such column: cmdlin (did you mean cmdline?)"},
		{"SELECT 1;\n  SELEC 2", 2, 3, 12, `near "SELEC": syntax error`},
		{"SELECT 'ä',\nxyz", 2, 1, 13, "no such column: xyz"},
		{"SELECT 1; SELECT (2", 1, 11, 10, "incomplete input"},
		{"SELECT 1; SELECT * FROM events", 1, 11, 10, "table events: the store is locked: try again"},
		{"SELECT * FROM people", 1, 1, 0, "table people panicked: index out of range"},
		{"SELECT 'a' REGEXP '('", 1, 1, 0, "regular expression"},
		{"SELECT 'a' REGEXP '" + strings.Repeat("a", maxPattern+1) + "'", 1, 1, 0, "too big"},
		{"SELECT 1\x00", 1, 9, 8, "NUL"},
	}
	for _, tt := range tests {
		t.Run(tt.sql, func(t *testing.T) {
			_, err := tryRows(db, tt.sql)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error = %v, want an *Error", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %q, want one with %q", err, tt.want)
			}
			got := [3]int{e.Line, e.Column, e.Offset}
			if tt.want[0] == 'n' && strings.HasPrefix(tt.want, "no such table") {
				return // where SQLite points for a table differs by version
			}
			if want := [3]int{tt.line, tt.column, tt.offset}; got != want && !strings.HasPrefix(tt.want, "did you mean s") {
				t.Errorf("position = %v, want %v (%v)", got, want, err)
			}
		})
	}
	if _, err := tryRows(db, "SELECT * FROM events"); !errors.Is(err, boom) {
		t.Errorf("error = %v, want the generator's own", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	ok := people()
	dup := people()
	dup.Name = "People"
	noCols, noGen, noName, twice, quote := people(), people(), people(), people(), people()
	noCols.Columns = nil
	noGen.Generate = nil
	noName.Name = ""
	twice.Columns = append(twice.Columns, table.TextColumn("WHO"))
	quote.Columns = []table.ColumnDefinition{table.TextColumn("a` TEXT, `b")}
	for name, tabs := range map[string][]*tables.Table{
		"same name":        {&ok.Table, &dup.Table},
		"no columns":       {&noCols.Table},
		"no generator":     {&noGen.Table},
		"no name":          {&noName.Table},
		"nil":              {nil},
		"column twice":     {&twice.Table},
		"quote in a name":  {&quote.Table},
		"context is ended": {&ok.Table},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if name == "context is ended" {
				cancel()
			}
			db, err := Open(ctx, tabs, Options{})
			if err == nil {
				t.Error("no error")
				_ = db.Close()
			}
		})
	}
}

func TestCancel(t *testing.T) {
	slow := events()
	started := make(chan struct{}, 1)
	slow.Generate = tables.FromMaps(func(ctx context.Context, _ table.QueryContext) ([]map[string]string, error) {
		started <- struct{}{}
		<-ctx.Done()
		return nil, nil // cut short, and silent about it
	})
	db := open(t, Options{}, slow, people())
	for _, sql := range []string{
		"SELECT * FROM events",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n CROSS JOIN people",
	} {
		t.Run(sql, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				select {
				case <-started:
				case <-time.After(50 * time.Millisecond):
				}
				cancel()
			}()
			begin := time.Now()
			err := db.Query(ctx, sql, func([]string, []Value) error { return nil })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error = %v, want context.Canceled", err)
			}
			if took := time.Since(begin); took > time.Minute {
				t.Errorf("took %v", took)
			}
			// the next query is not affected
			if got := rows(t, db, "SELECT count(*) FROM people"); got[0] != "3" {
				t.Errorf("afterwards: %v", got)
			}
		})
	}
	t.Run("while waiting for another", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		err := db.Query(context.Background(), "SELECT 1", func([]string, []Value) error {
			return db.Query(ctx, "SELECT 2", func([]string, []Value) error { return nil })
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want context.DeadlineExceeded", err)
		}
	})
}

func TestSinkErrorIsReturned(t *testing.T) {
	db := open(t, Options{}, people())
	stop := errors.New("stop")
	n := 0
	err := db.Query(context.Background(), "SELECT * FROM people", func([]string, []Value) error { n++; return stop })
	if err != stop || n != 1 {
		t.Errorf("error = %v after %d rows", err, n)
	}
	if got := rows(t, db, "SELECT 1"); got[0] != "1" {
		t.Errorf("afterwards: %v", got)
	}
}

type recorder struct{ log []string }

func (r *recorder) Begin(cols []string) error {
	r.log = append(r.log, "begin "+strings.Join(cols, ","))
	return nil
}
func (r *recorder) Row(row []string) error {
	r.log = append(r.log, "row "+strings.Join(row, ","))
	return nil
}
func (r *recorder) End() error { r.log = append(r.log, "end"); return nil }

func TestSink(t *testing.T) {
	db := open(t, Options{})
	var r recorder
	err := db.Run(context.Background(), "CREATE TEMP TABLE t(x); SELECT x FROM t; SELECT 1 AS a, NULL AS b, 2.50 AS c, x'4142' AS d", Texts(&r))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"begin x", "end", "begin a,b,c,d", "row 1,,2.5,AB", "end"}
	if diff := cmp.Diff(want, r.log); diff != "" {
		t.Error(diff)
	}
	var kinds []Value
	err = db.Query(context.Background(), "SELECT 1, NULL, 2.5, x'41', 't'", func(_ []string, row []Value) error {
		kinds = append(kinds, row...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKinds := []Value{{Kind: Integer, Int: 1, Text: "1"}, {}, {Kind: Float, Float: 2.5, Text: "2.5"}, {Kind: Blob, Text: "A"}, {Kind: Text, Text: "t"}}
	if diff := cmp.Diff(wantKinds, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestColumnNames(t *testing.T) {
	db := open(t, Options{}, events(), people())
	tests := []struct {
		sql  string
		want []string
	}{
		{"SELECT 1, 'a' AS b, count(*), p.who FROM people p", []string{"1", "b", "count(*)", "who"}},
		{"SELECT a.eid, b.eid, b.time AS eid, b.p FROM events a, events b -- all\n;", []string{"eid", "eid", "eid", "p"}},
		{"SELECT 1 AS a, 2 AS a", []string{"a", "a"}},
		{"SELECT 1 AS 'a:1', 2 AS 'a:1', 3 AS a", []string{"a:1", "a:1", "a"}},
		{"SELECT count(*), count(*) FROM people", []string{"count(*)", "count(*)"}},
		{"SELECT 1 AS '', 2 AS x", []string{"", "x"}},
		{"VALUES (1, 2)", []string{"column1", "column2"}},
		{"WITH x AS (SELECT 1 AS a) SELECT x.a, y.a FROM x, x y", []string{"a", "a"}},
		{"PRAGMA table_info(people)", []string{"cid", "name", "type", "notnull", "dflt_value", "pk"}},
		{"SELECT * FROM people a, people b", []string{"city", "who", "city", "who"}},
	}
	for _, tt := range tests {
		var got []string
		if err := db.Query(context.Background(), tt.sql, func(cols []string, _ []Value) error {
			got = append(got[:0], cols...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.sql, diff)
		}
	}
}

func TestConcurrentQueries(t *testing.T) {
	db := open(t, Options{}, events(), people())
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 20 {
				got, err := tryRows(db, "SELECT count(*) FROM events JOIN people ON who = name")
				if err != nil || got[0] != "2" {
					t.Errorf("got %v, %v", got, err)
				}
			}
		}()
	}
	wg.Wait()
}

func TestClosed(t *testing.T) {
	db := open(t, Options{})
	for range 2 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tryRows(db, "SELECT 1"); err == nil {
		t.Error("a closed database answers")
	}
}

func TestSchema(t *testing.T) {
	db := open(t, Options{}, scores(), people(), events())
	if diff := cmp.Diff([]string{"events", "people", "scores"}, db.Tables()); diff != "" {
		t.Error(diff)
	}
	want := "CREATE TABLE events(\n" +
		"    `eid` TEXT,\n" +
		"    `time` BIGINT,\n" +
		"    `name` TEXT, -- who it was\n" +
		"    `score` INTEGER,\n" +
		"    `p` DOUBLE,\n" +
		"    `secret` TEXT HIDDEN\n" +
		");"
	if diff := cmp.Diff(want, db.Schema("EVENTS")); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(db.Schema("scores"), "`cmdline` TEXT -- required") {
		t.Error(db.Schema("scores"))
	}
	if db.Schema("x") != "" || db.Columns("x") != nil || len(db.Columns("people")) != 2 {
		t.Error("schema of a table that is not there")
	}
}

// What a generator returns may hold anything.
func TestHostileValues(t *testing.T) {
	values := []string{"'; DROP TABLE x; --", "\x1b[2J", "a\x00b", "\xff\xfe", strings.Repeat("x", 1<<20), "\u202eabc", "%_*?[", `"`}
	var rs []map[string]string
	for i, v := range values {
		rs = append(rs, map[string]string{"rowid": fmt.Sprint(i), "v": v})
	}
	db := open(t, Options{}, newFake("h", []table.ColumnDefinition{table.TextColumn("v")}, rs...))
	if diff := cmp.Diff(values, rows(t, db, "SELECT v FROM h")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(values[:1], rows(t, db, "SELECT v FROM h WHERE v = '''; DROP TABLE x; --'")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func BenchmarkScan(b *testing.B) {
	var rs []map[string]string
	for i := range 1000 {
		rs = append(rs, map[string]string{"rowid": fmt.Sprint(i), "eid": "e", "time": fmt.Sprint(i), "name": "n", "score": "1"})
	}
	db := open(b, Options{}, newFake("big", events().Columns, rs...))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := db.Query(context.Background(), "SELECT eid, time, name, score FROM big WHERE time >= 0", func([]string, []Value) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
		if n != 1000 {
			b.Fatal(n)
		}
	}
}
