package store

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	sq "github.com/Masterminds/squirrel"
	"zombiezen.com/go/sqlite"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// maxSightings bounds the rows that Sightings returns for one event, of each kind.
const maxSightings = 64

// wordsInOrder is up to how many words osquery's audit keeps them in order.
const wordsInOrder = 10

// Sightings returns, for each event, the stored ones of the same identity within
// SightingWindow that may be of the same start: those of its process and of those it
// descends from, of processes that descend from it, and of logs that have no process.
// Those of its launchers within LaunchWindow are among them. For an event that may be
// dated late they are those of its process from before as well, and where its words may
// be in disorder, those of another identity, too.
//
// The rows of one command are gone through once for all events of a batch: a flood of it
// costs each event what its own process has of rows, not what the flood has.
func (s *Store) Sightings(ctx context.Context, events []*Event) (found [][]*Event, err error) {
	if len(events) == 0 {
		return nil, nil
	}
	conn, give, err := s.take(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for known events: %w", err)
	}
	defer func() { give(err) }()
	kinds := make([][sightingKinds][]*Event, len(events))
	for _, l := range lookups(events) {
		rows := sq.Select(append([]string{"id"}, eventColumns...)...).From("events").
			Where(sq.And{sq.GtOrEq{"time": l.from}, sq.LtOrEq{"time": l.to}}).OrderBy("time", "id")
		if !l.disorder {
			rows = rows.Where(sq.Eq{"identity": l.events[0].e.Identity})
		}
		err = s.query(conn, rows, func(st *sqlite.Stmt) error {
			l.row(st, kinds)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look for known events: %w", err)
		}
	}
	found = make([][]*Event, len(events))
	for i := range kinds {
		found[i] = slices.Concat(kinds[i][:]...)
	}
	return found, nil
}

// The kinds of rows that an event may be one with, in the order in which they are tried.
const (
	nearby = iota
	launching
	before
	disordered
	sightingKinds
)

// wanted is an event of a batch whose rows are looked for.
type wanted struct {
	index int // in the batch
	e     *Event
	from  int64 // the oldest row that counts
}

// lookup is one pass over the rows of a span, for events that are close in time. They
// are of one identity, or all may have their words in disorder.
type lookup struct {
	events   []wanted // by time
	from, to int64
	disorder bool
	// by are the events that a row with a process's id concerns, under those the events
	// whose own process it is. Those without a process are loose.
	by, under map[int64][]int
	loose     []int
	columns   struct{ time, pid, parent, identity, ancestry, path int }
}

// lookups puts events together that are looked for in one pass.
func lookups(events []*Event) (out []*lookup) {
	byIdentity, disorder := map[int64][]wanted{}, []wanted(nil)
	var order []int64
	for i, e := range events {
		p := &e.Process
		reach := max(LaunchWindow, p.Late)
		if p.ParentPID <= 0 && (p.PID != 0 || p.ParentPath == "") && p.Late == 0 {
			reach = SightingWindow
		}
		if _, ok := byIdentity[e.Identity]; !ok {
			order = append(order, e.Identity)
		}
		byIdentity[e.Identity] = append(byIdentity[e.Identity], wanted{i, e, p.Time - reach})
		if p.Late > 0 && p.PID != 0 && strings.Count(p.CmdLine, " ") >= wordsInOrder {
			disorder = append(disorder, wanted{i, e, p.Time - p.Late})
		}
	}
	for _, id := range order {
		out = append(out, passes(byIdentity[id], false)...)
	}
	return append(out, passes(disorder, true)...)
}

// passes cuts a list where nothing that concerns the events before a cut concerns those
// after it.
func passes(list []wanted, disorder bool) (out []*lookup) {
	slices.SortStableFunc(list, func(a, b wanted) int { return cmp.Compare(a.e.Process.Time, b.e.Process.Time) })
	for _, w := range list {
		to := w.e.Process.Time + SightingWindow
		if n := len(out); n > 0 && w.from <= out[n-1].to {
			l := out[n-1]
			l.events, l.from, l.to = append(l.events, w), min(l.from, w.from), max(l.to, to)
			continue
		}
		out = append(out, &lookup{events: []wanted{w}, from: w.from, to: to, disorder: disorder})
	}
	for _, l := range out {
		l.index()
	}
	return out
}

func (l *lookup) index() {
	l.by, l.under = map[int64][]int{}, map[int64][]int{}
	column := func(name string) int { return slices.Index(eventColumns, name) + 1 } // the id comes first
	c := &l.columns
	c.time, c.pid, c.parent, c.identity, c.ancestry, c.path = column("time"), column("pid"), column("parent"), column("identity"), column("ancestry"), column("path")
	for i, w := range l.events {
		p := &w.e.Process
		if p.PID == 0 {
			l.loose = append(l.loose, i)
		}
		for _, pid := range related(p) {
			if list := l.by[pid]; pid != 0 && (len(list) == 0 || list[len(list)-1] != i) {
				l.by[pid] = append(list, i)
			}
		}
		if p.PID != 0 {
			l.under[p.PID] = append(l.under[p.PID], i)
		}
	}
}

// row gives a row to the events that it may be one with.
func (l *lookup) row(st *sqlite.Stmt, kinds [][sightingKinds][]*Event) {
	at, pid, parent := st.ColumnInt64(l.columns.time), st.ColumnInt64(l.columns.pid), st.ColumnInt64(l.columns.parent)
	var known *Event
	give := func(i int, kind int) {
		list := &kinds[l.events[i].index][kind]
		if n := len(*list); n >= maxSightings || n > 0 && known != nil && (*list)[n-1].ID == known.ID {
			return
		}
		if known == nil {
			e := scanEvent(st)
			known = &e
		}
		copied := *known
		*list = append(*list, &copied)
	}
	if l.disorder {
		identity := st.ColumnInt64(l.columns.identity)
		for _, i := range l.under[pid] {
			if w := &l.events[i]; parent == w.e.Process.ParentPID && identity != w.e.Identity && at >= w.from && at <= w.e.Process.Time+SightingWindow {
				give(i, disordered)
			}
		}
		return
	}
	near := func(i int) bool {
		t := l.events[i].e.Process.Time
		return at >= t-SightingWindow && at <= t+SightingWindow
	}
	if pid == 0 {
		first, _ := slices.BinarySearchFunc(l.events, at-SightingWindow, func(w wanted, t int64) int { return cmp.Compare(w.e.Process.Time, t) })
		for i := first; i < len(l.events) && near(i); i++ {
			give(i, nearby)
		}
	}
	for _, i := range l.by[pid] {
		p := &l.events[i].e.Process
		switch {
		case near(i):
			give(i, nearby)
		case at >= p.Time-LaunchWindow && at < p.Time && p.ParentPID > 0:
			give(i, launching)
		case p.Late > 0 && p.PID != 0 && at >= p.Time-p.Late && at < p.Time:
			give(i, before)
		}
	}
	below := func(i int) {
		p := &l.events[i].e.Process
		switch {
		case near(i):
			give(i, nearby)
		case p.Late > 0 && at >= p.Time-p.Late && at < p.Time:
			give(i, before)
		}
	}
	for _, i := range l.under[parent] {
		below(i)
	}
	if len(l.under) > 0 {
		for ancestor := range pidsIn(st.ColumnText(l.columns.ancestry)) {
			for _, i := range l.under[ancestor] {
				below(i)
			}
		}
	}
	l.looser(st, at, pid, give)
}

// looser gives a row to events without a process: those near by, and those that a
// launcher of that name reports of later.
func (l *lookup) looser(st *sqlite.Stmt, at, pid int64, give func(i, kind int)) {
	byTime := func(i int, t int64) int { return cmp.Compare(l.events[i].e.Process.Time, t) }
	first, _ := slices.BinarySearchFunc(l.loose, at-SightingWindow, byTime)
	name := ""
	for _, i := range l.loose[first:] {
		p := &l.events[i].e.Process
		switch {
		case p.Time > at+LaunchWindow:
			return
		case p.Time <= at+SightingWindow:
			if pid != 0 {
				give(i, nearby)
			}
		case p.ParentPID <= 0 && p.ParentPath != "":
			if name == "" {
				name = "/" + path.Base(st.ColumnText(l.columns.path))
			}
			if strings.EqualFold(name, "/"+path.Base(p.ParentPath)) {
				give(i, launching)
			}
		}
	}
}

// pidsIn are the ids of the processes of a stored ancestry. What else the text may hold
// is in quotes, whose own are escaped.
func pidsIn(ancestry string) func(yield func(int64) bool) {
	return func(yield func(int64) bool) {
		const key = `"pid":`
		for {
			_, rest, ok := strings.Cut(ancestry, key)
			if !ok {
				return
			}
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return
			}
			if pid, err := strconv.ParseInt(rest[:end], 10, 64); err == nil && !yield(pid) {
				return
			}
			ancestry = rest[end:]
		}
	}
}

// related are the ids of a process and those above it.
func related(p *evidence.Process) []int64 {
	ids := []int64{p.ParentPID}
	if p.PID != 0 {
		ids = append(ids, p.PID)
	}
	for _, a := range p.Ancestry {
		ids = append(ids, a.PID)
	}
	return ids
}
