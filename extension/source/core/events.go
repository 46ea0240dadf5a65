package core

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

const (
	defaultExpiry = 3600 // seconds; osquery's default for events_expiry
	maxLookback   = 3600 // seconds a first start looks back
	overlap       = 15   // seconds read again
	maxRows       = 10_000
	minPage       = 500 // rows, so that small limits don't make many queries
	maxPages      = 64  // queries of one Read

	// A span longer than shortSpan is read in windows, second by second.
	shortSpan   = 60
	firstWindow = 60
	maxWindow   = 600

	// warnEvery is how often a source repeats what it has to say about itself.
	warnEvery = 24 * time.Hour
	// restartSlack is how many seconds osquery may be away without being missed, where
	// it is not known whether it is another one.
	restartSlack = 2
	// An osquery that ends takes with it what it has not stored yet, and one that was
	// started needs to find its publishers: some seconds on either side are not told.
	unstored = 15
	finding  = 10
)

// Clock tells the time twice: as the host has it, in seconds since 1970 UTC, and
// as a count that nobody can set.
type Clock func() (wall int64, monotonic time.Duration)

func systemClock() Clock {
	start := time.Now()
	return func() (int64, time.Duration) { return time.Now().Unix(), time.Since(start) }
}

// mapper makes evidence of the rows of one Read.
type mapper interface {
	// row takes one row, told of at when.
	row(r *Row, when int64, b *evidence.Batch)
	// done ends the rows. warning is what a person should know about them, empty for
	// nothing.
	done(b *evidence.Batch) (warning string)
}

// rowFunc is a mapper that needs one row at a time.
type rowFunc func(r *Row, when int64, b *evidence.Batch)

func (f rowFunc) row(r *Row, when int64, b *evidence.Batch) { f(r, when, b) }
func (rowFunc) done(*evidence.Batch) string                 { return "" }

// feed describes a table that gets new rows with time and how they are read.
type feed struct {
	table   string
	columns []string
	// optional are columns that older versions don't have.
	optional []string
	// where are conditions beside time.
	where func(*Capabilities) []squirrel.Sqlizer
	// key are the columns that tell a row from every other that one host ever had.
	key []string
	// by is the column whose values order the rows of one second, where the table has
	// no event ids. Several rows may have the same.
	by string
	// when is the time of a row; the time column when nil.
	when func(*Row) (int64, bool)
	// within constrains a statement to a span of seconds; the time column when nil.
	within func(stmt squirrel.SelectBuilder, s span) squirrel.SelectBuilder
	// overlap is how many seconds are read again.
	overlap int64
	// expiry is how long the table keeps rows, in seconds.
	expiry func(*Capabilities) int64
	// lookback is how many seconds a first start looks back.
	lookback int64
	// past says that the table has rows from before osquery started: it is a log of
	// the system's own.
	past bool
	// short, first and longest are the window: spans longer than short are read in
	// windows, which adapt to how much happens.
	short, first, longest int64
	// every is the least time between two reads; they are further apart where one
	// takes long.
	every time.Duration

	mapper func(*Capabilities) mapper
}

// Events reads one of osquery's tables that grow with time.
type Events struct {
	feed  feed
	q     Querier
	clock Clock

	mu      sync.Mutex
	gate    gate
	window  int64 // seconds; adapts to how much happens
	dropped map[string]bool
	most    int // rows of a page, after answers that were too large; 0 is no bound
	pace    pace
	warned  time.Duration
	warning string

	// When this process last finished reading, to tell a clock that was set from
	// time that passed.
	lastThrough int64
	lastAt      time.Duration
	told        told
}

func newEvents(f feed, q Querier, clock Clock, g gate) *Events {
	return &Events{feed: f, q: q, clock: clock, gate: g, window: f.first, dropped: map[string]bool{}, pace: pace{every: f.every}}
}

// eventFeed is a table of osquery's event system.
func eventFeed(f feed) feed {
	f.expiry, f.lookback = (*Capabilities).EventsExpiry, maxLookback
	f.short, f.first, f.longest = shortSpan, firstWindow, maxWindow
	if f.overlap == 0 {
		f.overlap = overlap
	}
	return f
}

// Name is the source's name.
func (e *Events) Name() string { return e.gate.name }

// Read returns what at most limit (and at most 10,000) rows tell that came since
// cursor, oldest first, each once. An empty cursor begins with what the table
// still holds, up to an hour, of logs up to a day. The cursor in the answer says
// where to go on, also after a restart; when More is set, more can be read at once.
// An empty cursor in the answer means that nothing was read yet: it was too soon.
//
// Each row is known by several of its columns together, because osquery's event
// ids begin again when its database is reset. After the clock was set back, rows
// may come twice, never not at all.
//
// When the table cannot be read, the error is an *evidence.Unavailable.
func (e *Events) Read(ctx context.Context, text string, limit int) (evidence.Batch, error) {
	e.mu.Lock()
	defer e.mu.Unlock()

	if limit <= 0 || limit > maxRows {
		limit = maxRows
	}
	if err := e.gate.pass(ctx); err != nil {
		return evidence.Batch{}, err
	}
	_, begin := e.clock()
	if !e.pace.due(begin) {
		return evidence.Batch{}, nil
	}
	over := connections(e.q)
	cur, read, err := e.attempt(ctx, text, limit)
	if err == nil && over > 0 && over != connections(e.q) {
		// Meanwhile it became another osquery: what came is to be read as its.
		if err := e.gate.pass(ctx); err != nil {
			return evidence.Batch{}, err
		}
		cur, read, err = e.attempt(ctx, text, limit)
	}
	_, end := e.clock()
	e.pace.done(begin, end)
	if err != nil {
		return evidence.Batch{}, e.gate.unavailable(ctx, err)
	}
	e.told.note(len(read.batch.Processes), read.goesOn, begin)
	e.warn(read.mapper.done(&read.batch), &read.batch)
	read.batch.More = len(cur.Todo) > 0
	read.batch.Cursor, err = cur.text()
	return read.batch, err
}

// attempt reads what came since the cursor.
func (e *Events) attempt(ctx context.Context, text string, limit int) (*cursor, *reading, error) {
	read := &reading{limit: limit, mapper: e.feed.mapper(e.gate.caps)}
	cur, gaps, goesOn := e.resume(text)
	read.batch.Gaps, read.goesOn = gaps, goesOn
	_, now := e.clock()
	if n := min(e.told.expect(goesOn, now), limit); n > 0 {
		read.batch.Processes = make([]evidence.Process, 0, n)
	}
	return cur, read, e.drain(ctx, cur, read)
}

// reading is what one Read has so far.
type reading struct {
	batch  evidence.Batch
	mapper mapper
	limit  int
	taken  int
	goesOn bool // with what another Read has left
}

// told is how much the reads told of lately, so that the next has room for as much:
// growing into it takes three times the memory.
type told struct {
	rate float64       // processes a second, of the reads that began anew
	last time.Duration // when the last of them did, 0 for never
	rest int           // processes of the last read that went on with what another had left
}

// note takes in a read that began at now. A rate is forgotten slowly.
func (t *told) note(processes int, goesOn bool, now time.Duration) {
	if goesOn {
		t.rest = processes
		return
	}
	if passed := (now - t.last).Seconds(); t.last > 0 && passed >= 1 {
		t.rate = max(float64(processes)/passed, t.rate*15/16)
	}
	t.last = now
}

// expect is how many processes a read at now will tell of, with some room to spare.
func (t *told) expect(goesOn bool, now time.Duration) int {
	n := float64(t.rest)
	if !goesOn {
		n = t.rate * (now - t.last).Seconds()
	}
	return int(n * 9 / 8)
}

// warn reports what a mapper has to say as a gap: not too often.
func (e *Events) warn(warning string, b *evidence.Batch) {
	wall, mono := e.clock()
	if warning == "" || (warning == e.warning && mono-e.warned < warnEvery) {
		return
	}
	e.warning, e.warned = warning, mono
	b.Gaps = append(b.Gaps, evidence.Gap{From: wall, To: wall, Reason: warning})
}

// resume reads the cursor and plans what to read, unless it goes on with what another
// Read has left.
func (e *Events) resume(text string) (cur *cursor, gaps []evidence.Gap, goesOn bool) {
	wall, mono := e.clock()
	now := min(max(wall, 0), maxTime)
	expiry := e.feed.expiry(e.gate.caps)
	cur, err := parseCursor(text)
	if text == "" || err != nil {
		from := max(now-min(expiry, e.feed.lookback), 0)
		var gaps []evidence.Gap
		if text != "" {
			gaps = []evidence.Gap{{From: from, To: from, Reason: "the stored cursor could not be read; reading began again with what osquery still holds"}}
		}
		e.lastThrough, e.lastAt = now, mono
		return &cursor{Version: 1, Next: now, Todo: []span{{From: from, To: now}}, Started: e.gate.caps.StartTime}, gaps, false
	}
	gaps = e.restarted(cur, now)
	if len(cur.Todo) > 0 {
		return cur, gaps, true
	}

	// Time as it passed; unknown (negative) after a restart of ours.
	elapsed := int64(-1)
	if e.lastThrough == cur.Through {
		elapsed = int64((mono - e.lastAt) / time.Second)
	}
	e.lastThrough, e.lastAt = now, mono
	cur.Next = now

	since := now - cur.Through
	back := since < -e.feed.overlap
	if elapsed >= 0 {
		back = elapsed-since > e.feed.overlap
	}
	switch {
	case back:
		// The clock was set back by more than the overlap. What was stored between
		// the last read and that moment lies in the future; what was stored since
		// then lies within the time that passed, or anywhere the table still holds.
		recent := expiry
		if e.feed.past {
			recent = min(expiry, e.feed.lookback)
		}
		if elapsed >= 0 {
			recent = min(elapsed+e.feed.overlap, expiry)
		}
		old := cur.begin(maxTime)
		if old.From <= now {
			old = span{From: now + 1, To: maxTime}
		}
		cur.Todo = []span{{From: max(now-recent, 0), To: now}, old}
		cur.Floor, cur.After = 0, nil
	case since > expiry:
		// Longer away than the table keeps rows, or the clock was set forward.
		// Remains of the time before may still be there.
		horizon := now - expiry
		cur.Todo = []span{
			cur.begin(min(cur.From+maxLookback, horizon-1)),
			{From: horizon, To: now},
		}
		if elapsed < 0 || elapsed > expiry {
			gaps = append(gaps, evidence.Gap{From: cur.Through, To: horizon, Reason: e.lost(expiry, since)})
		}
	default:
		cur.Todo = []span{cur.begin(max(now, cur.Through))}
	}
	return cur, gaps, false
}

// restarted is the gap of an osquery that is not the one that was read before.
func (e *Events) restarted(cur *cursor, now int64) []evidence.Gap {
	before, started := cur.Started, e.gate.caps.StartTime
	if started == 0 || e.feed.past {
		return nil
	}
	cur.Started = started
	if started == before || before == 0 && (started <= cur.Through+restartSlack || started > now) {
		return nil
	}
	return []evidence.Gap{{From: max(min(cur.Through, started)-unstored, 0), To: min(started, now) + finding,
		Reason: "osquery was started again: what it had not stored yet is gone, and it saw nothing until it had found what tells it"}}
}

func (e *Events) lost(expiry, since int64) string {
	if e.feed.past {
		return fmt.Sprintf("a log is read %d s back and was not read for %d s", expiry, since)
	}
	return fmt.Sprintf("osquery keeps events for %d s and was not read for %d s", expiry, since)
}

// drain reads the cursor's spans until they are done or the limit is reached.
func (e *Events) drain(ctx context.Context, cur *cursor, read *reading) error {
	var last *position
	// A clock that stepped a little can leave nothing to read.
	cur.Todo = slices.DeleteFunc(cur.Todo, func(s span) bool { return s.From > s.To })
	for page := 0; len(cur.Todo) > 0; page++ {
		if page == maxPages || read.taken >= read.limit {
			break
		}
		current := &cur.Todo[0]
		until, full, at, err := e.page(ctx, cur, *current, read)
		if err != nil {
			return err
		}
		switch {
		case at != nil:
			last = at
		case last == nil:
			last = current.After
		}
		if full {
			current.From, current.After = last.Time, last
			continue
		}
		if current.From, current.After = until+1, nil; current.From > current.To {
			cur.Todo = cur.Todo[1:]
		}
	}
	cur.prune(last)
	if len(cur.Todo) == 0 {
		cur.done(e.feed.overlap)
	}
	return nil
}

// page runs one query over the beginning of a span, up to and including until.
// full says that there is more up to there, behind last.
func (e *Events) page(ctx context.Context, cur *cursor, s span, read *reading) (until int64, full bool, last *position, err error) {
	until = s.To
	size := max(read.limit-read.taken, minPage)
	ties := e.ties(s)
	// What is known by its key comes again and must leave room for the rest.
	size = min(size+len(ties)+cur.again(s), maxRows)
	if e.most > 0 {
		size = min(size, e.most+len(ties))
	}
	windowed := s.To-s.From >= e.feed.short && s.To != maxTime
	if windowed {
		until = min(s.To, s.From+e.window-1)
	}
	pos := func(r *Row, when int64, key uint64) {
		if e.feed.by == "" {
			eid, _ := r.Int("eid")
			last = &position{Time: when, EID: eid}
			return
		}
		text := r.Get(e.feed.by)
		if last == nil || last.Text != text {
			last = &position{Time: when, Text: text}
			if s.After != nil && s.After.Text == text {
				last.Keys = slices.Clone(s.After.Keys)
			}
		}
		last.Keys = append(last.Keys, key)
	}
	rows, fresh := 0, 0
	keep := cur.Next - e.feed.overlap
	err = e.query(ctx, func() squirrel.SelectBuilder { return e.statement(span{s.From, until, s.After}, s, windowed, size) }, func(r *Row) error {
		if rows++; read.taken >= read.limit {
			full = true // the rest is for the next Read
			return nil
		}
		when, ok := e.when(r)
		if !ok {
			read.batch.Read++
			read.batch.Dropped++
			return nil
		}
		if when < s.From || when > until {
			return nil // a log's bounds are not to the second
		}
		key := e.key(r)
		if ties[key] && r.Get(e.feed.by) == s.After.Text {
			return nil
		}
		fresh++
		pos(r, when, key)
		if cur.has(key) {
			return nil
		}
		if when >= keep {
			cur.add(when, key)
		}
		read.batch.Read++
		read.taken++
		read.mapper.row(r, when, &read.batch)
		return nil
	})
	if errors.Is(err, ErrTooLarge) {
		e.most = max(size/8, 1) // the next Read asks for fewer
	}
	if err != nil {
		return 0, false, nil, err
	}
	if e.most > 0 {
		if e.most *= 2; e.most >= maxRows {
			e.most = 0
		}
	}
	full = full || rows == size
	if windowed {
		switch {
		case full:
			e.window = max(e.window/4, 1)
		case rows < size/4:
			e.window = min(e.window*2, e.feed.longest)
		}
	}
	if full && fresh == 0 && len(ties) > 0 {
		// As many rows as a query may return, all of one instant: what else there is
		// of it is out of reach.
		wall, _ := e.clock()
		read.batch.Gaps = append(read.batch.Gaps, evidence.Gap{From: s.From, To: min(s.From, wall), Reason: fmt.Sprintf("more than %d records of one instant", maxRows)})
		return s.From, false, nil, nil
	}
	// A page that was full of rows without a time gives nothing to go on from.
	return until, full && last != nil, last, nil
}

// ties are the keys of rows that share the position where a span goes on.
func (e *Events) ties(s span) map[uint64]bool {
	if e.feed.by == "" || s.After == nil {
		return nil
	}
	ties := make(map[uint64]bool, len(s.After.Keys))
	for _, key := range s.After.Keys {
		ties[key] = true
	}
	return ties
}

// statement selects the rows of w, which is the beginning of the span s.
func (e *Events) statement(w, s span, windowed bool, size int) squirrel.SelectBuilder {
	stmt := squirrel.Select(e.feed.columns...).From(e.feed.table).Limit(uint64(size))
	for _, name := range e.feed.optional {
		if !e.dropped[name] {
			stmt = stmt.Columns(name)
		}
	}
	if e.feed.where != nil {
		for _, cond := range e.feed.where(e.gate.caps) {
			stmt = stmt.Where(cond)
		}
	}
	switch {
	case e.feed.within != nil:
		stmt = e.feed.within(stmt, w)
	case windowed:
		// osquery looks up one second of events when time is given by "=", which is
		// how SQLite asks for the values of an IN list, but ignores any upper bound:
		// every page of a long range would read all events up to now.
		seconds := make([]int64, 0, w.To-w.From+1)
		for t := w.From; t <= w.To; t++ {
			seconds = append(seconds, t)
		}
		stmt = stmt.Where(squirrel.Eq{"time": seconds})
	default:
		stmt = stmt.Where(squirrel.GtOrEq{"time": w.From}).Where(squirrel.LtOrEq{"time": w.To})
	}
	if by := e.feed.by; by != "" {
		if s.After != nil && by != "time" {
			stmt = stmt.Where(squirrel.GtOrEq{by: s.After.Text})
		}
		return stmt.OrderBy(by)
	}
	if s.After != nil {
		// The plus signs keep SQLite from splitting the OR into several scans.
		stmt = stmt.Where("(+time > ? OR CAST(eid AS INTEGER) > ?)", s.After.Time, s.After.EID)
	}
	return stmt.OrderBy("time", "CAST(eid AS INTEGER)")
}

// query runs the statement that build makes, again without the optional columns
// that this osquery turns out not to have.
func (e *Events) query(ctx context.Context, build func() squirrel.SelectBuilder, row func(*Row) error) error {
	for {
		sql, err := Render(build())
		if err != nil {
			return err
		}
		err = e.q.Query(ctx, sql, row)
		name, missing := missingColumn(err)
		if !missing || e.dropped[name] || !slices.Contains(e.feed.optional, name) {
			return err
		}
		e.dropped[name] = true
	}
}

func (e *Events) when(r *Row) (int64, bool) {
	read := func(r *Row) (int64, bool) { return r.Int("time") }
	if e.feed.when != nil {
		read = e.feed.when
	}
	when, ok := read(r)
	return when, ok && when >= 0 && when <= maxTime
}

// key identifies a row among all that one host ever had. It is a cryptographic
// hash since whoever chooses the command line could otherwise make an event look
// like one that was seen.
func (e *Events) key(r *Row) uint64 {
	h := sha256.New()
	for _, column := range e.feed.key {
		h.Write([]byte(r.Get(column)))
		h.Write([]byte{0})
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// pace keeps the reads of a costly table apart, the further the more they cost.
type pace struct {
	every time.Duration
	next  time.Duration
	set   bool
}

const (
	// restFactor is how many times the duration of a read osquery is left in peace:
	// 2 % of a core, of the 10 % after which its watchdog kills it.
	restFactor = 50
	maxRest    = 10 * time.Minute
)

func (p *pace) due(now time.Duration) bool { return !p.set || now >= p.next }

func (p *pace) done(begin, end time.Duration) {
	if p.every <= 0 {
		return
	}
	p.next, p.set = begin+min(max(p.every, restFactor*(end-begin)), maxRest), true
}
