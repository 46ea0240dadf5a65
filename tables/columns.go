package tables

import "github.com/osquery/osquery-go/plugin/table"

// Columns are Optimized unless the generator uses them: osquery turns columns
// without any option into indexes, and then filters twice.

func text(name, description string) table.ColumnDefinition {
	return table.TextColumn(name, table.OptimizedColumn(), table.ColumnDescription(description))
}

func bigint(name, description string) table.ColumnDefinition {
	return table.BigIntColumn(name, table.OptimizedColumn(), table.ColumnDescription(description))
}

func integer(name, description string) table.ColumnDefinition {
	return table.IntegerColumn(name, table.OptimizedColumn(), table.ColumnDescription(description))
}

func double(name, description string) table.ColumnDefinition {
	return table.DoubleColumn(name, table.OptimizedColumn(), table.ColumnDescription(description))
}

// pushed marks a range or key the generator uses: both bounds arrive in one call.
func pushed(c table.ColumnDefinition) table.ColumnDefinition {
	c.Optimized, c.Additional = false, true
	return c
}

// required marks an input: a whole IN list arrives in one call.
func required(c table.ColumnDefinition) table.ColumnDefinition {
	c.Required = true
	return c
}
