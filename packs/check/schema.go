package check

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/tables"
)

// osquerySchema holds osquery's own tables, one a line: name, platforms, "event"
// or "-", then columns as name:TYPE with marks behind a second colon (r required,
// i index, a additional, o optimized, h hidden) and, behind a @, the platforms that
// have the column when not all of the table's do. TestOsquerySchema makes it from
// osquery's specs.
//
//go:embed osquery.schema
var osquerySchema string

// schemaTable is one table a query may use.
type schemaTable struct {
	*tables.Table
	platforms []string // empty for all
	event     bool     // osquery's event tables: rows of a stream
	window    []string // columns that a query of a growing table must bound
	columns   map[string]schemaColumn
}

type schemaColumn struct {
	index     int
	pushed    bool
	bounds    bool // a constraint on it bounds how much is read, however long a host lives
	required  bool
	platforms []string // empty for the table's
}

// nothing answers for a table that is only compiled against.
func nothing(context.Context, table.QueryContext) (*tables.Rows, error) { return nil, nil }

// schema is every table by name: osquery's and those of own.
func schema(own []*tables.Table) (map[string]*schemaTable, error) {
	out := map[string]*schemaTable{}
	for i, line := range strings.Split(strings.TrimSpace(osquerySchema), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		t, err := parseTable(line)
		if err != nil {
			return nil, fmt.Errorf("osquery's schema, line %d: %w", i+1, err)
		}
		out[t.Name] = t
	}
	for _, t := range own {
		s := &schemaTable{Table: &tables.Table{Name: t.Name, Columns: t.Columns, Generate: nothing}}
		s.index()
		for _, name := range []string{"recorded", "updated"} {
			if s.columns[name].pushed {
				s.window = append(s.window, name)
			}
		}
		out[t.Name] = s
	}
	return out, nil
}

func (t *schemaTable) index() {
	if t.columns == nil {
		t.columns = map[string]schemaColumn{}
	}
	for i, c := range t.Columns {
		k := t.columns[c.Name]
		k.index, k.required, k.pushed = i, c.Required, c.Required || c.Index || c.Additional
		k.bounds = k.pushed && c.Name != "score"
		t.columns[c.Name] = k
	}
}

func parseTable(line string) (*schemaTable, error) {
	fields := strings.Fields(line)
	if len(fields) < 4 {
		return nil, fmt.Errorf("too short: %q", line)
	}
	t := &schemaTable{Table: &tables.Table{Name: fields[0], Generate: nothing}, columns: map[string]schemaColumn{}, event: fields[2] == "event"}
	if fields[1] != "all" {
		t.platforms = strings.Split(fields[1], ",")
	}
	for _, f := range fields[3:] {
		var col schemaColumn
		def, platforms, limited := strings.Cut(f, "@")
		if limited {
			col.platforms = strings.Split(platforms, ",")
		}
		parts := strings.Split(def, ":")
		if len(parts) < 2 || parts[0] == "" {
			return nil, fmt.Errorf("column %q", f)
		}
		c := table.ColumnDefinition{Name: parts[0], Type: table.ColumnTypeText, Optimized: true}
		switch parts[1] {
		case "TEXT", "DATETIME":
		case "INTEGER":
			c.Type = table.ColumnTypeInteger
		case "BIGINT", "UNSIGNED_BIGINT":
			c.Type = table.ColumnTypeBigInt
		case "DOUBLE":
			c.Type = table.ColumnTypeDouble
		default:
			return nil, fmt.Errorf("type of column %q", f)
		}
		if len(parts) > 2 {
			for _, m := range parts[2] {
				switch m {
				case 'r':
					c.Required = true
				case 'i':
					c.Index = true
				case 'a':
					c.Additional = true
				case 'h':
					c.Hidden = true
				}
			}
		}
		t.Columns = append(t.Columns, c)
		t.columns[c.Name] = col
	}
	t.index()
	return t, nil
}

// OsqueryTables are osquery's own tables as far as a query can tell when it is
// compiled; none has a row.
func OsqueryTables() ([]*tables.Table, error) {
	s, err := schema(nil)
	if err != nil {
		return nil, err
	}
	out := make([]*tables.Table, 0, len(s))
	for _, t := range s {
		out = append(out, t.Table)
	}
	return out, nil
}

// on reports whether a thing limited to some platforms is there on platform.
func on(platforms []string, platform string) bool {
	return len(platforms) == 0 || slices.Contains(platforms, platform)
}
