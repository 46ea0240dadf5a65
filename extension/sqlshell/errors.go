package sqlshell

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"zombiezen.com/go/sqlite"
)

// Error is what is wrong with a query, and where.
type Error struct {
	// Line and Column are where in the text of the whole query, from 1; Column
	// counts characters. An error that came up while a statement ran points at
	// the statement's start.
	Line, Column int
	// Offset is the same place in bytes, from 0.
	Offset int
	// Hint says what a person can do about it; may be empty.
	Hint string
	// Err is the reason: a generator's error, a *RequiredError or SQLite's text.
	Err error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("line %d, column %d: %v", e.Line, e.Column, e.Err)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

func newError(sql string, off int, err error) *Error {
	before := sql[:off]
	line := 1 + strings.Count(before, "\n")
	return &Error{
		Line:   line,
		Column: 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]),
		Offset: off,
		Err:    err,
	}
}

// wrap explains an error of SQLite's at sql[off:].
func (db *DB) wrap(sql string, off int, err error) error {
	if ctxErr := db.ctx.Err(); ctxErr != nil {
		return fmt.Errorf("query stopped: %w", context.Cause(db.ctx))
	}
	switch {
	case db.failed != nil:
		return newError(sql, off, db.failed)
	case db.denied != "" && sqlite.ErrCode(err).ToPrimary() == sqlite.ResultAuth:
		return newError(sql, off, errors.New(db.denied))
	}
	text := message(err)
	e := newError(sql, off, errors.New(text))
	e.Hint = db.hint(text)
	return e
}

// message is SQLite's own text for an error, without what the layers between
// put before it.
func message(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	text := err.Error()
	if rest, ok := strings.CutPrefix(text, sqlite.ErrCode(err).Message()+": "); ok {
		text = rest
	}
	return text
}

// hint suggests what to do about SQLite's error text.
func (db *DB) hint(text string) string {
	if name, ok := strings.CutPrefix(text, "no such table: "); ok {
		if best := nearest(name, db.names); best != "" {
			return "did you mean " + best + "?"
		}
		return "only Rollcall's own tables are here; osquery's are in osqueryi"
	}
	if name, ok := strings.CutPrefix(text, "no such column: "); ok {
		// "x.name" or "name"; which table is meant is not known.
		name = name[strings.LastIndexByte(name, '.')+1:]
		var cols []string
		for _, t := range db.names {
			for _, c := range db.Table(t).Columns {
				cols = append(cols, c.Name)
			}
		}
		if best := nearest(name, cols); best != "" {
			return "did you mean " + best + "?"
		}
	}
	return ""
}

// nearest is the candidate that a typing mistake or two turn into name, or "".
func nearest(name string, candidates []string) string {
	const longest = 64 // names are compared in quadratic time
	if len(name) > longest {
		return ""
	}
	name = strings.ToLower(name)
	best, bestDist := "", 1+min(2, len(name)/3)
	for _, c := range candidates {
		if len(c) > longest {
			continue
		}
		if d := distance(name, strings.ToLower(c)); d < bestDist {
			best, bestDist = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two strings in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diag, row[j] = row[j], min(row[j]+1, row[j-1]+1, diag+cost)
		}
	}
	return row[len(b)]
}
