package core

import (
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

const (
	// maxKept bounds the rows that a snapshot remembers, of those that come and go
	// maxBrief.
	maxKept  = 4096
	maxBrief = 8192
	// maxPart and maxValue bound one remembered value, in bytes, that is part of a key
	// or not; of longer ones a hash stands for the rest.
	maxPart  = 160
	maxValue = 256
	// maxStateText is more than any packed state that we write takes, maxState bounds
	// one that is unpacked.
	maxStateText = 2 << 20
	maxState     = 32 << 20
)

// snapshot describes a table that shows how things are, so that what happened is
// seen by comparing it with how they were.
type snapshot struct {
	table   string
	columns []string
	where   squirrel.Sqlizer
	// order puts first what must not be lost when there are more rows than can be
	// remembered.
	order []string
	// key are the columns that say which thing a row is, values those whose change is
	// worth telling.
	key, values []string
	// fold says that case makes no difference to keys.
	fold bool
	// keep decides whether a row takes part; it may note facts. Every row does when
	// it is nil.
	keep func(r *Row, facts map[string]bool) bool
	// first says that the rows of the first look are news too.
	first bool
	// brief says that things come and go and nobody has to know that they went.
	brief bool
	// more are rows that the table leaves out.
	more func(ctx context.Context, c *comparison, add func(row map[string]string)) error
	// every is the least time between two looks.
	every time.Duration
	// changes makes evidence of what is different.
	changes func(ctx context.Context, c *comparison, b *evidence.Batch) error
	// books are kept of all that a look shows.
	books *books
}

// comparison is what differs between two looks.
type comparison struct {
	q Querier
	// since is when the look before was, now when this one is.
	since, now int64
	changes    []difference
	facts      map[string]bool
	// caps are what osquery can see, at is now by the count that nobody can set.
	caps *Capabilities
	at   time.Duration
}

// difference is one thing that appeared (was is nil), changed, or went (is is nil).
type difference struct{ was, is map[string]string }

// ask runs a statement that helps to understand the differences. What osquery
// refuses stays unknown.
func (c *comparison) ask(ctx context.Context, stmt squirrel.SelectBuilder, row func(*Row) error) error {
	_, err := c.answered(ctx, stmt, row)
	return err
}

// answered runs a statement and reports whether osquery did not refuse it.
func (c *comparison) answered(ctx context.Context, stmt squirrel.SelectBuilder, row func(*Row) error) (bool, error) {
	sql, err := Render(stmt)
	if err != nil {
		return false, err
	}
	err = c.q.Query(ctx, sql, row)
	var status *StatusError
	if errors.As(err, &status) {
		return false, nil
	}
	return err == nil, err
}

// Snapshots reads a table that shows how things are.
type Snapshots struct {
	shot  snapshot
	q     Querier
	clock Clock

	mu   sync.Mutex
	gate gate
	pace pace
	// The last cursor and what is in it.
	text  string
	state *state
}

func newSnapshots(s snapshot, q Querier, clock Clock, g gate) *Snapshots {
	return &Snapshots{shot: s, q: q, clock: clock, gate: g, pace: pace{every: s.every}}
}

// Name is the source's name.
func (s *Snapshots) Name() string { return s.gate.name }

// Patient reports whether a later look shows what an earlier one would: not of what comes
// and goes.
func (s *Snapshots) Patient() bool { return !s.shot.brief }

// Read returns what is different from the look that cursor remembers; an empty
// cursor remembers none, and the first look is where all begins. A thing has to be
// away in two looks to count as gone. limit is of no concern: what is different
// between two looks is returned whole.
//
// An empty cursor in the answer means that it was too soon for a look. When the
// table cannot be read, the error is an *evidence.Unavailable.
func (s *Snapshots) Read(ctx context.Context, text string, _ int) (evidence.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.gate.pass(ctx); err != nil {
		return evidence.Batch{}, err
	}
	wall, begin := s.clock()
	if !s.pace.due(begin) {
		return evidence.Batch{}, nil
	}
	batch, err := s.look(ctx, text, min(max(wall, 0), maxTime), begin)
	_, end := s.clock()
	s.pace.done(begin, end)
	if err != nil {
		return evidence.Batch{}, s.gate.unavailable(ctx, err)
	}
	return batch, nil
}

func (s *Snapshots) look(ctx context.Context, text string, now int64, at time.Duration) (evidence.Batch, error) {
	var batch evidence.Batch
	old, err := s.recall(text)
	if err != nil {
		batch.Gaps = []evidence.Gap{{From: now, To: now, Reason: "what was stored of " + s.shot.table + " could not be read: changes up to now were missed"}}
	}
	c := &comparison{q: s.q, now: now, at: at, caps: s.gate.caps, facts: map[string]bool{}}
	found, err := s.rows(ctx, c, &batch)
	if err != nil {
		return batch, err
	}
	if len(found) == 0 && old != nil && len(old.Rows) > 1 && !s.shot.brief && !s.shot.first {
		// osquery answers so when it failed, too.
		return batch, &evidence.Unavailable{State: evidence.StateDegraded, Detail: "osquery's " + s.shot.table + " came back empty",
			Remedy: "look into osqueryd's log; osqueryd must run as root or SYSTEM"}
	}
	next := &state{At: now, Rows: map[string]entry{}}
	if old != nil {
		c.since = old.At
	}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		is := found[key]
		e := entry{Values: s.remember(is)}
		was, known := entry{}, false
		if old != nil {
			was, known = old.Rows[key]
		}
		switch {
		case !known && (old != nil || s.shot.first):
			c.changes = append(c.changes, difference{is: is})
		case known && !slices.EqualFunc(was.Values, e.Values, sameValue):
			c.changes = append(c.changes, difference{was: s.recalled(key, was), is: is})
		}
		next.Rows[key] = e
	}
	if old != nil && !s.shot.brief {
		for _, key := range slices.Sorted(maps.Keys(old.Rows)) {
			if _, still := found[key]; still {
				continue
			}
			was := old.Rows[key]
			if was.Missed {
				c.changes = append(c.changes, difference{was: s.recalled(key, was)})
			} else if len(next.Rows) < s.max() {
				was.Missed = true
				next.Rows[key] = was
			}
		}
	}
	if len(c.changes) > 0 {
		if err := s.shot.changes(ctx, c, &batch); err != nil {
			return batch, err
		}
	}
	if s.shot.books != nil {
		s.shot.books.keep(ctx, c, found)
	}
	if old != nil && len(c.changes) == 0 && next.same(old) {
		batch.Cursor = text // a new time alone is not worth storing
		old.At = now
		return batch, nil
	}
	batch.Cursor, err = next.text()
	s.text, s.state = batch.Cursor, next
	return batch, err
}

// rows reads the table.
func (s *Snapshots) rows(ctx context.Context, c *comparison, batch *evidence.Batch) (map[string]map[string]string, error) {
	stmt := squirrel.Select(s.shot.columns...).From(s.shot.table).OrderBy(s.shot.order...).Limit(maxRows)
	if s.shot.where != nil {
		stmt = stmt.Where(s.shot.where)
	}
	sql, err := Render(stmt)
	if err != nil {
		return nil, err
	}
	found := map[string]map[string]string{}
	add := func(row map[string]string) {
		batch.Read++
		parts := make([]string, len(s.shot.key))
		for i, name := range s.shot.key {
			parts[i] = bounded(row[name], maxPart)
		}
		key := strings.Join(parts, "\x1f")
		if s.shot.fold {
			key = strings.ToLower(key)
		}
		if _, twice := found[key]; !twice && len(found) >= s.max() {
			batch.Dropped++
			return
		}
		found[key] = row
	}
	if s.shot.more != nil {
		// First, so that what is hidden is not what finds no room.
		if err := s.shot.more(ctx, c, add); err != nil {
			return nil, err
		}
	}
	err = s.q.Query(ctx, sql, func(r *Row) error {
		if s.shot.keep == nil || s.shot.keep(r, c.facts) {
			add(r.Map())
		}
		return nil
	})
	return found, err
}

func (s *Snapshots) max() int {
	if s.shot.brief {
		return maxBrief
	}
	return maxKept
}

// bounded cuts a value; what was cut off is known by its hash.
func bounded(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..." + digest(s)
}

// digest stands for a text that is too long to remember.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return digestMark + hex.EncodeToString(sum[:8])
}

const digestMark = "#"

// sameValue compares a remembered value, which may be a digest, with a new one.
func sameValue(was, is string) bool {
	return was == is || (strings.HasPrefix(was, digestMark) && was == digest(is))
}

// remember are the values of a row that are compared.
func (s *Snapshots) remember(row map[string]string) []string {
	if len(s.shot.values) == 0 {
		return nil
	}
	out := make([]string, len(s.shot.values))
	for i, name := range s.shot.values {
		out[i] = bounded(row[name], maxValue)
	}
	return out
}

// recalled is a row as far as it is remembered.
func (s *Snapshots) recalled(key string, e entry) map[string]string {
	row := map[string]string{}
	for i, part := range strings.Split(key, "\x1f") {
		if i < len(s.shot.key) {
			row[s.shot.key[i]] = part
		}
	}
	for i, v := range e.Values {
		if i < len(s.shot.values) {
			row[s.shot.values[i]] = v
		}
	}
	return row
}

// recall is the state that a cursor holds, nil for an empty one.
func (s *Snapshots) recall(text string) (*state, error) {
	if text == "" {
		return nil, nil
	}
	if text == s.text && s.state != nil {
		return s.state, nil
	}
	st, err := parseState(text)
	if err != nil {
		return nil, err
	}
	s.text, s.state = text, st
	return st, nil
}

// state is what a snapshot's cursor holds.
type state struct {
	At   int64            `json:"at"` // the time of the look
	Rows map[string]entry `json:"rows"`
}

// entry is what is remembered of one row.
type entry struct {
	Values []string `json:"v,omitempty"`
	Missed bool     `json:"m,omitempty"` // it was away in the last look
}

func (s *state) same(other *state) bool {
	return maps.EqualFunc(s.Rows, other.Rows, func(a, b entry) bool { return a.Missed == b.Missed && slices.Equal(a.Values, b.Values) })
}

const stateVersion = "s1:"

// text packs the state. Where it grows out of bounds, values are remembered by
// their digests alone.
func (s *state) text() (string, error) {
	text, err := s.pack()
	if err != nil || len(text) <= maxStateText/2 {
		return text, err
	}
	for _, e := range s.Rows {
		for i, v := range e.Values {
			if len(v) > len(digest("")) {
				e.Values[i] = digest(v)
			}
		}
	}
	return s.pack()
}

func (s *state) pack() (string, error) {
	var packed bytes.Buffer
	packed.WriteString(stateVersion)
	b64 := base64.NewEncoder(base64.RawStdEncoding, &packed)
	w, err := flate.NewWriter(b64, flate.BestSpeed)
	if err != nil {
		return "", fmt.Errorf("writing a snapshot: %w", err)
	}
	if err := json.NewEncoder(w).Encode(s); err != nil {
		return "", fmt.Errorf("writing a snapshot: %w", err)
	}
	if err := cmp.Or(w.Close(), b64.Close()); err != nil {
		return "", fmt.Errorf("writing a snapshot: %w", err)
	}
	return packed.String(), nil
}

func parseState(text string) (*state, error) {
	packed, ok := strings.CutPrefix(text, stateVersion)
	if !ok || len(text) > maxStateText {
		return nil, errors.New("reading a snapshot: of another kind")
	}
	r := flate.NewReader(base64.NewDecoder(base64.RawStdEncoding, strings.NewReader(packed)))
	raw, err := io.ReadAll(io.LimitReader(r, maxState+1))
	if err != nil {
		return nil, fmt.Errorf("reading a snapshot: %w", err)
	}
	var s state
	if len(raw) > maxState {
		return nil, errors.New("reading a snapshot: too large")
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("reading a snapshot: %w", err)
	}
	if s.At < 0 || s.At > maxTime || len(s.Rows) > maxBrief {
		return nil, errors.New("reading a snapshot: out of bounds")
	}
	return &s, nil
}
