package kaudit

import (
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// ring holds what was decoded until it is read and acknowledged, the newest of it
// if there is too much. Its entries are numbered from 1 on.
type ring struct {
	limit, maxBytes int
	entries         []entry
	rows, bytes     int
	first           uint64 // number of entries[0]
	dropped         int64  // rows lost since that was last reported
	from, to        int64  // when they happened
}

// entry is what one record completed.
type entry struct {
	batch evidence.Batch
	time  int64
	rows  int
	bytes int
}

const (
	ringRows  = 8192
	ringBytes = 16 << 20
)

func newRing(limit, maxBytes int) *ring { return &ring{limit: limit, maxBytes: maxBytes, first: 1} }

func entryOf(b evidence.Batch, at int64) entry {
	e := entry{batch: b, time: at, bytes: 256}
	for i := range b.Processes {
		p := &b.Processes[i]
		e.bytes += 512 + len(p.CmdLine) + len(p.Path) + len(p.CWD)
	}
	e.bytes += 512*(len(b.Installs)+len(b.Connections)) + 256*(len(b.Logons)+len(b.Changes))
	for i := range b.Changes {
		e.bytes += len(b.Changes[i].Detail)
	}
	e.rows = rowsOf(&b)
	return e
}

func rowsOf(b *evidence.Batch) int {
	return len(b.Processes) + len(b.Installs) + len(b.Logons) + len(b.Connections) + len(b.Changes)
}

func (r *ring) push(e entry) {
	for len(r.entries) > 0 && (r.rows+e.rows > r.limit || r.bytes+e.bytes > r.maxBytes) {
		oldest := &r.entries[0]
		if r.dropped == 0 {
			r.from = oldest.time
		}
		r.to = oldest.time
		r.dropped += int64(oldest.rows)
		r.drop(1)
	}
	r.entries = append(r.entries, e)
	r.rows += e.rows
	r.bytes += e.bytes
}

// drop forgets the n oldest entries.
func (r *ring) drop(n int) {
	for i := range n {
		r.rows -= r.entries[i].rows
		r.bytes -= r.entries[i].bytes
		r.entries[i] = entry{}
	}
	r.entries = r.entries[n:]
	r.first += uint64(n)
	if len(r.entries) == 0 {
		r.entries = nil
	}
}

// acknowledge forgets the entries up to number n.
func (r *ring) acknowledge(n uint64) {
	if n >= r.first {
		r.drop(int(min(n-r.first+1, uint64(len(r.entries)))))
	}
}

// leave drops what somebody else has taken. Numbers stay.
func (r *ring) leave(m mark) {
	for i := range r.entries {
		e := &r.entries[i]
		m.leave(&e.batch)
		now := entryOf(e.batch, e.time)
		r.rows += now.rows - e.rows
		r.bytes += now.bytes - e.bytes
		*e = now
	}
}

// take adds the oldest entries to a batch, up to limit rows but at least one entry,
// and returns the number of the last one.
func (r *ring) take(limit int, to *evidence.Batch) (last uint64) {
	last = r.first - 1
	have := 0
	for i := range r.entries {
		e := &r.entries[i]
		if have > 0 && have+e.rows > limit {
			to.More = true
			return last
		}
		have += e.rows
		last++
		to.Processes = append(to.Processes, e.batch.Processes...)
		to.Installs = append(to.Installs, e.batch.Installs...)
		to.Logons = append(to.Logons, e.batch.Logons...)
		to.Connections = append(to.Connections, e.batch.Connections...)
		to.Changes = append(to.Changes, e.batch.Changes...)
	}
	return last
}
