package core

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
)

// maxSeen bounds the keys a cursor carries: 15 seconds at 546 programs a second.
const maxSeen = 8192

// cursor is where reading of a table that grows with time goes on. It is stored as
// JSON.
//
// osquery stamps an event with the second in which it stored it, and a read at
// that moment may or may not see it; logs get their records a little after the
// time that is in them. So each read goes over the last seconds again, and the
// keys of what was found there tell old from new.
type cursor struct {
	Version int `json:"v"`
	// Through is the second up to which everything has been read, but for what
	// osquery stores late.
	Through int64 `json:"through"`
	// From is where the next read begins: Through less the overlap, but not before
	// Floor.
	From int64 `json:"from"`
	// Floor is the first second whose keys are all there, when there were more keys
	// than a cursor may carry. With After, those of that second are there for the
	// rows behind After only.
	Floor int64     `json:"floor,omitempty"`
	After *position `json:"after,omitempty"`
	// Todo are the spans that a read which stopped at its limit has left, oldest
	// first, and Next is what Through becomes when they are done.
	Todo []span `json:"todo,omitempty"`
	Next int64  `json:"next,omitempty"`
	// Started is when the osquery was started that was read, 0 when unknown.
	Started int64 `json:"started,omitempty"`
	// Seen holds the keys by second, eight bytes each.
	Seen map[int64]keys `json:"seen,omitempty"`

	known map[uint64]bool // the same keys, to look them up
}

// span is a range of seconds, both ends included.
type span struct {
	From  int64     `json:"from"`
	To    int64     `json:"to"`
	After *position `json:"after,omitempty"` // within From: what was read
}

// position is a row in the order of reading.
type position struct {
	Time int64 `json:"time"`
	EID  int64 `json:"eid"`
	// A table without event ids is ordered by a column of which several rows can
	// have the same value: Text is that of the last row, Keys are of all rows so far
	// that have it.
	Text string `json:"text,omitempty"`
	Keys keys   `json:"keys,omitempty"`
}

type keys []uint64

func (k keys) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 8*len(k))
	for _, key := range k {
		raw = binary.BigEndian.AppendUint64(raw, key)
	}
	return base64.StdEncoding.AppendEncode(nil, raw), nil
}

func (k *keys) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return err
	}
	if len(raw)%8 != 0 {
		return fmt.Errorf("%d bytes are not whole keys", len(raw))
	}
	*k = make(keys, 0, len(raw)/8)
	for ; len(raw) > 0; raw = raw[8:] {
		*k = append(*k, binary.BigEndian.Uint64(raw))
	}
	return nil
}

// maxCursorText is more than any cursor that we write takes.
const maxCursorText = 1 << 20

func parseCursor(text string) (*cursor, error) {
	if len(text) > maxCursorText {
		return nil, fmt.Errorf("reading the cursor: %d bytes", len(text))
	}
	var c cursor
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, fmt.Errorf("reading the cursor: %w", err)
	}
	if c.Version != 1 {
		return nil, fmt.Errorf("reading the cursor: version %d is unknown", c.Version)
	}
	// Times far out of range would overflow sums further on.
	for _, t := range append([]int64{c.Through, c.From, c.Floor, c.Next, c.Started}, spanTimes(c.Todo)...) {
		if t < 0 || t > maxTime {
			return nil, fmt.Errorf("reading the cursor: time %d", t)
		}
	}
	return &c, nil
}

// maxTime is later than any honest clock (the year 36812).
const maxTime = 1 << 40

func spanTimes(spans []span) []int64 {
	var times []int64
	for _, s := range spans {
		times = append(times, s.From, s.To)
	}
	return times
}

func (c *cursor) text() (string, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("writing the cursor: %w", err)
	}
	return string(raw), nil
}

func (c *cursor) has(key uint64) bool {
	if c.known == nil {
		c.known = map[uint64]bool{}
		for _, k := range c.Seen {
			for _, key := range k {
				c.known[key] = true
			}
		}
	}
	return c.known[key]
}

// add remembers a key; has was asked about it before.
func (c *cursor) add(t int64, key uint64) {
	if c.Seen == nil {
		c.Seen = map[int64]keys{}
	}
	c.Seen[t] = append(c.Seen[t], key)
	c.known[key] = true
}

// again is how many rows that are known come again where a span begins.
func (c *cursor) again(s span) (n int) {
	if s.After != nil {
		return 0
	}
	for t, k := range c.Seen {
		if t >= s.From && t <= s.To {
			n += len(k)
		}
	}
	return n
}

// done closes the reading of all spans.
func (c *cursor) done(overlap int64) {
	c.Through, c.Next = c.Next, 0
	c.From = max(c.Through-overlap, c.Floor, 0)
	if c.Floor < c.From {
		c.Floor, c.After = 0, nil
	}
	for t := range c.Seen {
		if t < c.From {
			delete(c.Seen, t)
		}
	}
}

// begin is the first span's start in the next read.
func (c *cursor) begin(to int64) span { return span{From: c.From, To: to, After: c.After} }

// prune drops the oldest keys where there are too many; last is the last row
// that was read.
func (c *cursor) prune(last *position) {
	total := 0
	times := make([]int64, 0, len(c.Seen))
	for t, k := range c.Seen {
		times = append(times, t)
		total += len(k)
	}
	if total <= maxSeen {
		return
	}
	slices.Sort(times)
	drop := func(t int64) {
		total -= len(c.Seen[t])
		delete(c.Seen, t)
	}
	// Keys of a future that the clock was set back from are the first to go: they
	// save repetition and nothing else.
	latest := max(c.Through, c.Next)
	for n := len(times); total > maxSeen && n > 0 && times[n-1] > latest; n-- {
		drop(times[n-1])
		times = times[:n-1]
	}
	for i, t := range times {
		if total <= maxSeen {
			return
		}
		drop(t)
		c.Floor, c.After = t+1, nil
		if i == len(times)-1 && last != nil && last.Time == t {
			// Even one second holds too many: go on exactly behind its last row, at
			// the price of missing what osquery files into it before that row.
			c.Floor, c.After = t, last
		}
	}
}
