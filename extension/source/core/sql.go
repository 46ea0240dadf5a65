package core

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/Masterminds/squirrel"
)

// Render turns a statement into SQL text with its arguments written into it as
// literals, since osquery takes no parameters. Arguments may be text, integers,
// booleans and finite floats. Text with a NUL byte in it is refused: SQLite
// would end the statement there.
//
// The statement must use question marks (squirrel's default); those inside
// quotes are left alone. squirrel's own DebugSqlizer does not escape quotes.
func Render(stmt squirrel.Sqlizer) (string, error) {
	sql, args, err := stmt.ToSql()
	if err != nil {
		return "", fmt.Errorf("building SQL: %w", err)
	}
	var b strings.Builder
	b.Grow(len(sql) + 16*len(args))
	next := 0
	var quote byte // the quote we are inside of
	for i := 0; i < len(sql); i++ {
		ch := sql[i]
		switch {
		case quote != 0:
			if ch == quote {
				quote = 0
			}
		case ch == '\'' || ch == '"' || ch == '`':
			quote = ch
		case ch == '?':
			if next == len(args) {
				return "", fmt.Errorf("building SQL: %d arguments for more placeholders", len(args))
			}
			literal, err := Literal(args[next])
			if err != nil {
				return "", fmt.Errorf("building SQL: argument %d: %w", next+1, err)
			}
			b.WriteString(literal)
			next++
			continue
		}
		b.WriteByte(ch)
	}
	if next != len(args) {
		return "", fmt.Errorf("building SQL: %d arguments for %d placeholders", len(args), next)
	}
	return b.String(), nil
}

// Literal is one value as an SQL literal.
func Literal(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "NULL", nil
	case string:
		if strings.IndexByte(v, 0) >= 0 {
			return "", fmt.Errorf("text with a NUL byte in it")
		}
		return "'" + strings.ReplaceAll(v, "'", "''") + "'", nil
	case int:
		return strconv.Itoa(v), nil
	case int32:
		return strconv.FormatInt(int64(v), 10), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint32:
		return strconv.FormatUint(uint64(v), 10), nil
	case uint64:
		if v > math.MaxInt64 {
			return "", fmt.Errorf("%d is more than SQLite's largest integer", v)
		}
		return strconv.FormatUint(v, 10), nil
	case bool:
		if v {
			return "1", nil
		}
		return "0", nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", fmt.Errorf("%v has no literal", v)
		}
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return text, nil
	}
	return "", fmt.Errorf("no literal for a %T", value)
}

// Asker runs SQL in osquery and returns all rows of the answer.
type Asker interface {
	Query(ctx context.Context, sql string) ([]map[string]string, error)
}

// Ask runs a statement.
func Ask(ctx context.Context, q Asker, stmt squirrel.Sqlizer) ([]map[string]string, error) {
	sql, err := Render(stmt)
	if err != nil {
		return nil, err
	}
	return q.Query(ctx, sql)
}
