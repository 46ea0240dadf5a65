package check

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/sqlshell"
)

// compileTime bounds the compilation of one query.
const compileTime = 5 * time.Second

var (
	missing   = regexp.MustCompile(`no such (table|column|function|collation sequence): (\S+)`)
	planScan  = regexp.MustCompile(`^SCAN (\S+) VIRTUAL TABLE INDEX -?\d+:(.*)$`)
	variables = regexp.MustCompile(`(\\?)\$(\{\w+\}|\w+)`)
)

// sql checks one query for the platforms it runs on, nil for all.
func (r *run) sql(n *yaml.Node, name, sql string, on []string) {
	if r.fleet {
		for _, m := range variables.FindAllStringSubmatch(sql, 4) {
			if m[1] == "" {
				r.add(Error, n, name, fmt.Sprintf("Fleet's GitOps takes $%s for a variable of the environment: write \\$%s", clip(m[2]), clip(m[2])))
			}
		}
	}
	stmt, more := single(sql)
	if sqlshell.Blank(stmt) {
		r.add(Error, n, name, "query is empty")
		return
	}
	if more {
		r.add(Error, n, name, "more than one statement: results of the last alone are logged")
		return
	}
	used := r.references(stmt)
	plan, err := r.compile(stmt)
	if err != nil {
		r.add(r.level(err), n, name, r.explain(err, used))
		return
	}
	r.platformsOf(n, name, used, on)
	r.constraints(n, name, stmt, used, plan)
}

// single is the first statement, without its semicolon.
func single(sql string) (stmt string, more bool) {
	stmts, rest := sqlshell.Split(sql)
	for _, s := range append(stmts, rest) {
		s = strings.TrimRight(strings.TrimSpace(s), ";")
		switch {
		case sqlshell.Blank(s):
		case stmt == "":
			stmt = s
		default:
			return stmt, true
		}
	}
	return stmt, false
}

// compile makes SQLite plan a statement and returns the plan's lines.
func (r *run) compile(stmt string) ([]string, error) {
	ctx, cancel := context.WithTimeout(r.ctx, compileTime)
	defer cancel()
	var plan []string
	err := r.db.Query(ctx, "EXPLAIN QUERY PLAN "+stmt, func(_ []string, row []sqlshell.Value) error {
		if len(row) == 4 {
			plan = append(plan, row[3].Text)
		}
		return nil
	})
	return plan, err
}

// level is how bad an error of the compiler is: what another extension may bring is
// not ours to judge.
func (r *run) level(err error) string {
	m := missing.FindStringSubmatch(err.Error())
	if m == nil || m[1] == "column" {
		return Error
	}
	if m[1] == "table" && (strings.HasPrefix(m[2], "service_") || nearest(m[2], r.tables) != "") {
		return Error
	}
	return Warning
}

func (r *run) explain(err error, used []reference) string {
	var e *sqlshell.Error
	said := err.Error()
	if errors.As(err, &e) && e.Err != nil {
		said = e.Err.Error()
	}
	m := missing.FindStringSubmatch(said)
	if m == nil {
		return "does not compile: " + clip(said)
	}
	switch m[1] {
	case "table":
		return fmt.Sprintf("no table %s in osquery 5.23 or Rollcall%s: not checked further", clip(m[2]), nearest(m[2], r.tables))
	case "column":
		var names []string
		column := m[2][strings.LastIndexByte(m[2], '.')+1:]
		for _, u := range used {
			for k := range u.table.columns {
				names = append(names, k)
			}
		}
		slices.Sort(names)
		return fmt.Sprintf("no column %s%s", clip(m[2]), config.Nearest(column, names))
	}
	return fmt.Sprintf("%s %s is not known here: not checked further", m[1], clip(m[2]))
}

// platformsOf says which tables are not where the query runs.
func (r *run) platformsOf(n *yaml.Node, name string, used []reference, where []string) {
	var limited []string
	for _, u := range used {
		if len(u.table.platforms) == 0 || slices.Contains(limited, u.table.Name) {
			continue
		}
		for _, p := range where {
			if (p == "linux" || p == "darwin" || p == "windows") && !on(u.table.platforms, p) {
				r.add(Error, n, name, fmt.Sprintf("%s has no table %s: only %s", p, u.table.Name, strings.Join(u.table.platforms, ", ")))
				limited = append(limited, u.table.Name)
			}
		}
		if len(where) == 0 {
			r.add(Warning, n, name, fmt.Sprintf("runs everywhere, but %s is on %s alone: name the platform", u.table.Name, strings.Join(u.table.platforms, ", ")))
			limited = append(limited, u.table.Name)
		}
	}
}

// constraints looks for scans of what must not be read whole.
func (r *run) constraints(n *yaml.Node, name, stmt string, used []reference, plan []string) {
	bounded := timeBounded(stmt)
	said := map[string]bool{}
	for _, line := range plan {
		m := planScan.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for _, u := range used {
			if !strings.EqualFold(u.alias, m[1]) || said[u.table.Name] {
				continue
			}
			if text := u.table.unbounded(indexes(m[2]), bounded); text != "" {
				level := Warning
				if strings.Contains(text, "needs") {
					level = Error
				}
				r.add(level, n, name, text)
				said[u.table.Name] = true
			}
		}
	}
}

// unbounded says what is wrong with a scan to which only constraints on the columns
// of pushed arrive; bounded says that the query compares a time.
func (t *schemaTable) unbounded(pushed []int, bounded bool) string {
	has := func(match func(schemaColumn) bool) (any bool, names []string) {
		for _, c := range t.Columns {
			k := t.columns[c.Name]
			if !match(k) {
				continue
			}
			names = append(names, c.Name)
			any = any || slices.Contains(pushed, k.index)
		}
		return any, names
	}
	if given, names := has(func(c schemaColumn) bool { return c.required }); len(names) > 0 && !given {
		return fmt.Sprintf("%s needs %s in the WHERE clause: without it there are no rows", t.Name, strings.Join(names, " or "))
	}
	if t.event && !bounded {
		return fmt.Sprintf("%s is a stream of events, read without a bound on time: after a stop, or without events_optimize, everything kept is logged", t.Name)
	}
	if given, _ := has(func(c schemaColumn) bool { return c.bounds }); len(t.window) > 0 && !given {
		return fmt.Sprintf("%s grows, and is read without a window by %s: everything kept is read each time", t.Name, strings.Join(t.window, " or "))
	}
	return ""
}

// indexes are the columns in the text of a plan's index ("2:4 5:32 ").
func indexes(text string) []int {
	var out []int
	for _, f := range strings.Fields(text) {
		col, _, _ := strings.Cut(f, ":")
		if i, err := strconv.Atoi(col); err == nil {
			out = append(out, i)
		}
	}
	return out
}

// reference is a table that a query names.
type reference struct {
	alias string // what the plan calls it
	table *schemaTable
}

// references are the tables a query names, with the names it gives them.
func (r *run) references(stmt string) []reference {
	var out []reference
	tokens := lex(stmt)
	from := []bool{false} // whether a FROM clause is open, for each open parenthesis
	for i, t := range tokens {
		top := &from[len(from)-1]
		switch {
		case t.is("("):
			from = append(from, *top)
			continue
		case t.is(")"):
			if len(from) > 1 {
				from = from[:len(from)-1]
			}
			continue
		case t.is("from", "join"):
			*top = true
			continue
		case t.is("select", "where", "on", "using", "group", "order", "having", "limit", "union", "except", "intersect", "values", "with"):
			*top = false
			continue
		}
		tab := r.tables[strings.ToLower(t.text)]
		if t.kind != word || tab == nil || !*top || i == 0 || !tokens[i-1].is("from", "join", ",", "(", ".") {
			continue
		}
		ref := reference{tab.Name, tab}
		next := i + 1
		if next < len(tokens) && tokens[next].is("as") {
			next++
		}
		if next < len(tokens) && tokens[next].kind == word && (tokens[next].name || !keywords[strings.ToLower(tokens[next].text)]) {
			ref.alias = tokens[next].text
		}
		out = append(out, ref)
	}
	return out
}

// timeBounded reports whether a query compares a column that holds an event's time or
// place. osquery's own cursor of events is kept only when "time" itself has no
// constraint, so a comparison of CAST(time AS INTEGER) counts too.
func timeBounded(stmt string) bool {
	tokens := lex(stmt)
	compares := func(i int, more ...string) bool {
		return i >= 0 && i < len(tokens) && tokens[i].is(append(more, "<", ">", "<=", ">=", "=", "==")...)
	}
	for i, t := range tokens {
		if t.kind != word || !t.is("time", "datetime", "eid", "timestamp", "time_range") {
			continue
		}
		after := i + 1
		for after < len(tokens) && tokens[after].is(")", "as", "integer", "bigint", "int") {
			after++
		}
		before := i - 1
		if before > 0 && tokens[before].is(".") {
			before -= 2
		}
		for before >= 0 && tokens[before].is("(", "cast", "+") {
			before--
		}
		if compares(after, "between", "in") || compares(before) {
			return true
		}
	}
	return false
}

type lexKind uint8

const (
	word  lexKind = iota // a name or keyword, quoted or not
	other                // a number, a text, an operator
)

type lexeme struct {
	kind lexKind
	text string
	name bool // quoted as a name: no keyword
}

func (l lexeme) is(any ...string) bool {
	return !l.name && slices.ContainsFunc(any, func(s string) bool { return strings.EqualFold(l.text, s) })
}

// keywords may follow a table's name without naming it anew.
var keywords = map[string]bool{
	"where": true, "join": true, "left": true, "right": true, "full": true, "inner": true, "outer": true, "cross": true, "natural": true,
	"on": true, "using": true, "group": true, "order": true, "limit": true, "having": true, "union": true, "except": true, "intersect": true,
	"indexed": true, "not": true, "window": true, "and": true, "or": true,
}

// lex cuts SQL into words and the rest; comments are left out.
func lex(sql string) []lexeme {
	var out []lexeme
	for i := 0; i < len(sql); {
		c := sql[i]
		end := i + 1
		switch {
		case strings.IndexByte(" \t\r\n\f", c) >= 0:
			i = end
			continue
		case strings.HasPrefix(sql[i:], "--"):
			if end = strings.IndexByte(sql[i:], '\n'); end < 0 {
				return out
			}
			i += end
			continue
		case strings.HasPrefix(sql[i:], "/*"):
			if end = strings.Index(sql[i+2:], "*/"); end < 0 {
				return out
			}
			i += end + 4
			continue
		case c == '\'' || c == '"' || c == '`' || c == '[':
			closing := c
			if c == '[' {
				closing = ']'
			}
			for end < len(sql) && sql[end] != closing {
				end++
			}
			inner := sql[i+1 : end]
			if end < len(sql) {
				end++
			}
			if c == '\'' {
				out = append(out, lexeme{other, inner, true})
			} else {
				out = append(out, lexeme{word, inner, true})
			}
		case isWord(c):
			for end < len(sql) && isWord(sql[end]) {
				end++
			}
			k := word
			if c >= '0' && c <= '9' {
				k = other
			}
			out = append(out, lexeme{k, sql[i:end], false})
		default:
			if end < len(sql) && strings.IndexByte("<>=!|", c) >= 0 && strings.IndexByte("<>=|", sql[end]) >= 0 {
				end++
			}
			out = append(out, lexeme{other, sql[i:end], false})
		}
		i = end
	}
	return out
}

func isWord(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
