package tables

import (
	"strconv"
	"strings"

	"github.com/osquery/osquery-go/plugin/table"
)

// values returns the constants a column is compared with for equality, in order
// and once each; more than one means any of them (IN).
func values(q table.QueryContext, column string) []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range q.Constraints[column].Constraints {
		if c.Operator == table.OperatorEquals && !seen[c.Expression] {
			seen[c.Expression] = true
			out = append(out, c.Expression)
		}
	}
	return out
}

// bounds returns the loosest range that holds every row the constraints on an
// integer column can let through; nil means no bound. Operators and texts that
// are not understood bound nothing: SQLite filters again.
func bounds(q table.QueryContext, column string) (from, to *int64) {
	var eqFrom, eqTo *int64
	for _, c := range q.Constraints[column].Constraints {
		n, err := strconv.ParseInt(strings.TrimSpace(c.Expression), 10, 64)
		if err != nil {
			if c.Operator == table.OperatorEquals {
				return nil, nil // a text among an IN list: leave it to SQLite
			}
			continue
		}
		switch c.Operator {
		case table.OperatorEquals:
			eqFrom, eqTo = lesser(eqFrom, n), greater(eqTo, n)
		case table.OperatorGreaterThan, table.OperatorGreaterThanOrEquals:
			from = lesser(from, n)
		case table.OperatorLessThan, table.OperatorLessThanOrEquals:
			to = greater(to, n)
		}
	}
	if eqFrom != nil {
		return eqFrom, eqTo
	}
	return from, to
}

func lesser(have *int64, n int64) *int64 {
	if have == nil || n < *have {
		return &n
	}
	return have
}

func greater(have *int64, n int64) *int64 {
	if have == nil || n > *have {
		return &n
	}
	return have
}

func yes(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
