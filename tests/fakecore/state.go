package fakecore

import (
	"fmt"
	"maps"
	"slices"

	"github.com/osquery/osquery-go/gen/osquery"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// What a fleet manager changes in a core that runs, and what the core itself knows.
// These return errors, so that whatever stands in for osqueryd around a core can call
// them from goroutines of its own.

// Rows asks the core's tables, without faults and manners: as the core itself does.
func (c *Core) Rows(sql string, args ...any) ([]map[string]string, error) {
	c.dbMu.Lock()
	defer c.dbMu.Unlock()
	rows := []map[string]string{}
	err := sqlitex.Execute(c.db, sql, &sqlitex.ExecOptions{Args: args, ResultFunc: func(stmt *sqlite.Stmt) error {
		row := make(map[string]string, stmt.ColumnCount())
		for i := range stmt.ColumnCount() {
			row[stmt.ColumnName(i)] = stmt.ColumnText(i)
		}
		rows = append(rows, row)
		return nil
	}})
	return rows, err
}

// SetOption sets an option as a configuration does. There is no taking it back, as
// with osquery: an option that a configuration no longer names keeps its value.
func (c *Core) SetOption(name, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.options[name] = &osquery.InternalOptionInfo{Value: value, Type: "string"}
	c.notify()
}

// SetViews makes the views of a configuration, in place of those that were there.
func (c *Core) SetViews(views map[string]string) error {
	old, err := c.Rows(`SELECT name FROM sqlite_master WHERE type = 'view'`)
	if err != nil {
		return fmt.Errorf("listing views: %w", err)
	}
	for _, v := range old {
		if _, err := c.Rows(fmt.Sprintf("DROP VIEW %q", v["name"])); err != nil {
			return fmt.Errorf("dropping a view: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(views)) {
		if _, err := c.Rows(fmt.Sprintf("CREATE VIEW %q AS %s", name, views[name])); err != nil {
			return fmt.Errorf("making view %s: %w", name, err)
		}
	}
	return nil
}

// list puts an extension's plugins into osquery_registry.
func (c *Core) list(e Extension) error {
	for registry, items := range e.Registry {
		for name := range items {
			if _, err := c.Rows(`INSERT INTO osquery_registry VALUES (?, ?, ?, 0, 1)`, registry, name, e.UUID); err != nil {
				return fmt.Errorf("listing %s %s: %w", registry, name, err)
			}
		}
	}
	return nil
}

// unlist takes them out again. Tests drop the core's tables to see what happens:
// that there is nothing to take out of is no error.
func (c *Core) unlist(uuid int64) {
	_, _ = c.Rows(`DELETE FROM osquery_registry WHERE owner_uuid = ? AND owner_uuid <> 0`, uuid)
}
