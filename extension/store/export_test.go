package store

import (
	sq "github.com/Masterminds/squirrel"
	"zombiezen.com/go/sqlite"
)

// EventsQuery shows the statement behind Events.
func EventsQuery(f Filter) sq.SelectBuilder { return eventsQuery(f, EventFields(), MaxRows) }

// WriteConn is the writer's connection.
func (s *Store) WriteConn() *sqlite.Conn { return s.write }
