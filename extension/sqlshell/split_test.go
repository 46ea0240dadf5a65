package sqlshell

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"zombiezen.com/go/sqlite"
)

func TestSplit(t *testing.T) {
	tests := []struct {
		in    string
		stmts []string
		rest  string
	}{
		{"", nil, ""},
		{"select 1", nil, "select 1"},
		{"select 1;", []string{"select 1;"}, ""},
		{"a;b; c", []string{"a;", "b;"}, " c"},
		{"select ';', \";\", `;`, [;];", []string{"select ';', \";\", `;`, [;];"}, ""},
		{"select 'it''s;';", []string{"select 'it''s;';"}, ""},
		{"select 'open;", nil, "select 'open;"},
		{"-- a;b\nx;", []string{"-- a;b\nx;"}, ""},
		{"/* ; */x;", []string{"/* ; */x;"}, ""},
		{"/*/;*/x;", []string{"/*/;*/x;"}, ""},
		{"x /* open;", nil, "x /* open;"},
		{"1-2;3/4;", []string{"1-2;", "3/4;"}, ""},
		{"x-- open;", nil, "x-- open;"},
	}
	for _, tt := range tests {
		stmts, rest := Split(tt.in)
		if diff := cmp.Diff(tt.stmts, stmts); diff != "" || rest != tt.rest {
			t.Errorf("Split(%q) = %q, %q", tt.in, stmts, rest)
		}
	}
}

func TestBlank(t *testing.T) {
	for in, want := range map[string]bool{
		"": true, " \n": true, ";;": true, "-- x": true, "/* x */ -- y": true,
		"/* open": false, "/": false, "-": false, "x": false, "'": false, "/*/": false,
	} {
		if got := Blank(in); got != want {
			t.Errorf("Blank(%q) = %v", in, got)
		}
	}
}

// FuzzSplit checks that nothing is lost and that a statement which SQLite
// accepts ends where SQLite ends it.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{
		"select 1; select 2", "select ';'';', [;], \";\", `;` --;\n;/*;*/;", "/*/;*/select 1;", "select x'00';-", "'", "select 1\v;",
		"select $a;b", "select 1 /* ;", "select 1 -- ;", "select \"a\"\"b;\";", "explain select 1;", "\ufeffselect 1;",
	} {
		f.Add(s)
	}
	conn, err := sqlite.OpenConn(":memory:", sqlite.OpenReadWrite, sqlite.OpenMemory)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = conn.Close() })
	f.Fuzz(func(t *testing.T, sql string) {
		stmts, rest := Split(sql)
		if strings.Join(stmts, "")+rest != sql {
			t.Fatalf("Split(%q) lost text: %q, %q", sql, stmts, rest)
		}
		for _, s := range stmts {
			if more, r := Split(s); len(more) != 1 || r != "" {
				t.Fatalf("Split(%q) of one statement = %q, %q", s, more, r)
			}
		}
		if Blank(sql) != (skipBlank(sql, 0) == len(sql)) && !strings.Contains(sql, "/*") {
			t.Fatalf("Blank(%q)", sql)
		}
		if strings.Contains(sql, "\x00") || len(sql) > 4096 {
			return
		}
		pos := skipBlank(sql, 0)
		if pos == len(sql) {
			return
		}
		stmt, trailing, err := conn.PrepareTransient(sql[pos:])
		if err != nil {
			return
		}
		defer func() { _ = stmt.Finalize() }()
		end := len(sql) - trailing
		if end == 0 || sql[end-1] != ';' || strings.Contains(strings.ToLower(sql[:end]), "trigger") {
			return
		}
		first, _ := Split(sql[pos:])
		if len(first) == 0 && trailing == 0 && (strings.Contains(sql, "--") || strings.Contains(sql, "/*")) {
			return // the semicolon is in a comment at the end
		}
		if len(first) == 0 || pos+len(first[0]) != end {
			t.Fatalf("Split(%q) = %q, SQLite ends the statement at %d", sql[pos:], first, end-pos)
		}
	})
}

// FuzzQuery checks that no text of SQL panics or writes, and that positions lie
// within it.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"select * from people where who = 'ann' or city like '%l%' limit 1", "select * from events a, events b using (time)",
		"with x as materialized (select * from scores where cmdline in (select who from people)) select * from x",
		"create temp table t as select * from events; select rowid from t;", "select 'a' regexp '[', split('a,b', ',', -1)",
		"attach 'x' as y", "pragma table_info(events)", "select regex_split('', 'a*', 0)", "--\n;/*", "explain query plan select * from people",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if len(sql) > 2048 {
			return
		}
		db := open(t, Options{Lookup: len(sql)%2 == 0}, events(), people(), scores())
		ctx, cancel := context.WithTimeout(context.Background(), 200e6)
		defer cancel()
		n := 0
		err := db.Query(ctx, sql, func(cols []string, row []Value) error {
			if n++; len(cols) != len(row) {
				t.Fatalf("%d columns, %d values", len(cols), len(row))
			}
			if n > 1000 {
				return context.Canceled
			}
			return nil
		})
		if e, ok := err.(*Error); ok && (e.Offset < 0 || e.Offset > len(sql) || e.Line < 1 || e.Column < 1) {
			t.Fatalf("position %+v in %q", e, sql)
		}
	})
}
