// Package tables is Rollcall's SQL face: one file a table, its columns beside
// its generator. Generators read through the small interfaces declared next to
// them and hold no detection logic. The same tables are served to osquery and to
// the embedded SQL shell.
package tables

import (
	"github.com/osquery/osquery-go/plugin/table"
)

// Table is one table: its schema, its documentation and its generator.
type Table struct {
	Name        string
	Description string
	Columns     []table.ColumnDefinition
	// Examples are queries that run as they stand.
	Examples []string
	Generate Generator
}
