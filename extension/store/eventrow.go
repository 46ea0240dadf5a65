package store

import (
	"context"
	"slices"
	"strconv"

	"zombiezen.com/go/sqlite"
)

// EventRow is a stored event whose fields are copied one by one, as text. It is valid
// during the call that it is an argument of.
type EventRow interface {
	// Append appends the field at a place among EventFields; a process id that is unknown
	// is empty.
	Append(to []byte, field int) []byte
}

// EventFields are the names of the fields that an EventRow has, its id first: all that
// the database keeps of an event save for what it is found by.
func EventFields() []string {
	return slices.DeleteFunc(append([]string{"id"}, eventColumns...), func(name string) bool { return name == "identity" || name == "family" })
}

// EventRows is Events for whoever only hands the texts on: nothing of a row is kept, so
// that it costs its bytes and no more.
func (s *Store) EventRows(ctx context.Context, f Filter, fn func(EventRow) error) (more bool, err error) {
	row := &storedEvent{kinds: eventKinds()}
	return s.events(ctx, f, EventFields(), func(st *sqlite.Stmt) error {
		row.st = st
		return fn(row)
	})
}

// fieldKind says how a field becomes text.
type fieldKind uint8

const (
	textField fieldKind = iota
	numberField
	knownField // a number that is unknown when zero
)

// eventKinds are the kinds of EventFields.
func eventKinds() []fieldKind {
	kinds := make([]fieldKind, 0, len(eventColumns))
	for _, name := range EventFields() {
		switch name {
		case "id", "time", "recorded", "score":
			kinds = append(kinds, numberField)
		case "pid", "parent":
			kinds = append(kinds, knownField)
		default:
			kinds = append(kinds, textField)
		}
	}
	return kinds
}

// storedEvent is the row that a statement is at.
type storedEvent struct {
	st    *sqlite.Stmt
	kinds []fieldKind
}

// Append implements EventRow.
func (r *storedEvent) Append(to []byte, field int) []byte {
	switch kind := r.kinds[field]; kind {
	case textField:
		space := to[len(to):cap(to)]
		n := r.st.ColumnBytes(field, space)
		if n == len(space) { // it may be longer
			n = r.st.ColumnLen(field)
			to = slices.Grow(to, n)
			r.st.ColumnBytes(field, to[len(to):len(to)+n])
		}
		return to[:len(to)+n]
	default:
		return appendNumber(to, kind, r.st.ColumnInt64(field))
	}
}

func appendNumber(to []byte, kind fieldKind, n int64) []byte {
	if kind == knownField && n == 0 {
		return to
	}
	return strconv.AppendInt(to, n, 10)
}

// Append implements EventRow for an event that was read.
func (e *Event) Append(to []byte, field int) []byte {
	kind := eventKinds()[field]
	if field == 0 {
		return appendNumber(to, kind, e.ID)
	}
	switch v := e.values()[slices.Index(eventColumns, EventFields()[field])].(type) {
	case string:
		return append(to, v...)
	case int:
		return appendNumber(to, kind, int64(v))
	case int64:
		return appendNumber(to, kind, v)
	}
	return to
}
