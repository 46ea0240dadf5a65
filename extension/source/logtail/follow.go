package logtail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// follower follows one log.
type follower struct {
	source *Source
	path   string

	pos *position // nil until the log was seen
	// dec has read up to pos; nil when its state has to be made from the lines before.
	dec   decoder
	day   int // of the clock, on which dec was made
	marks marks
	// held is the file at pos, kept open for the case that it is removed.
	held *opened
	// active is when lines were read last, flushed that dec holds nothing back.
	active   time.Time
	flushed  bool
	scratch  evidence.Batch
	lastLine []byte // the beginning of the line read last
}

// sampleEvery is how far apart the lines are whose times are looked at, in bytes.
const sampleEvery = 8 << 10

// rewind makes the follower stand at a position; what it knows besides is gone.
func (f *follower) rewind(pos *position) {
	f.pos, f.dec = nil, nil
	if pos != nil {
		own := *pos
		f.pos = &own
	}
}

// letGo closes the file that is held.
func (f *follower) letGo() error {
	if f.held == nil {
		return nil
	}
	file := f.held.file
	f.held = nil
	if err := file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", f.path, err)
	}
	return nil
}

// hold keeps the file of the position open and closes the one that was.
func (f *follower) hold(sc *scene, o *opened) {
	if o == nil || o.zipped || f.held != nil && f.held.file == o.file {
		return
	}
	_ = f.letGo() // only read from
	for i, file := range sc.opened {
		if file == o.file {
			sc.opened = append(sc.opened[:i], sc.opened[i+1:]...)
			f.held = o
			return
		}
	}
}

// read adds what follows to the batch. more says that it stopped at its quota. An
// error that wraps fs.ErrNotExist says that there is no log.
func (f *follower) read(ctx context.Context, sc *scene, q quota, to *evidence.Batch) (more bool, err error) {
	cur, missing := f.source.open(sc, f.path)
	switch {
	case missing == nil:
		cur.current = true
	case f.pos == nil:
		return false, missing
	}
	if f.pos == nil {
		if err := f.begin(ctx, sc, cur, to); err != nil {
			return false, err
		}
	}
	if f.source.kind.dated && f.dec != nil && f.day != sc.now.YearDay() {
		f.dec = nil
	}
	for range maxRotated {
		at, rewritten, err := f.find(ctx, sc, cur)
		if err != nil {
			return false, err
		}
		if at == nil {
			if cur == nil {
				return false, missing
			}
			if at, err = f.lost(sc, cur, to); err != nil {
				return false, err
			}
		}
		if rewritten {
			f.tell(to, at.ctime, "rewritten: what was read of it, up to byte %d, is no longer there as it was", f.pos.Off)
			f.anew(at, at.size)
		}
		lines, end, err := f.lines(ctx, sc, at, &q, to)
		if err != nil {
			return false, err
		}
		f.hold(sc, at)
		if !end {
			return true, nil
		}
		var next *opened
		if !at.current {
			if next, err = f.successor(ctx, sc, at, cur, to); err != nil {
				return false, err
			}
		}
		if next == nil {
			f.quiet(sc, to)
			if errors.Is(missing, fs.ErrNotExist) && sc.now.Sub(at.mtime) < unused {
				missing = nil // between two steps of a rotation, or a removed log that is still written to
			}
			return false, missing
		}
		f.turn(at, next, lines, &q, to)
	}
	return true, nil
}

// begin chooses where the very first reading of a log begins.
func (f *follower) begin(ctx context.Context, sc *scene, cur *opened, to *evidence.Batch) error {
	since := sc.now.Add(-f.source.opts.Lookback).Unix()
	f.pos = &position{identity: cur.identity, Since: since, Until: cur.size}
	f.dec = nil
	dec := f.decoder(sc)
	first, _, err := newScanner(io.NewSectionReader(cur.file, 0, 2*maxLine), nil, 0, false).next()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", f.path, err)
	}
	from := dec.Time(first)
	begun := since
	if start := cur.size - firstBytes; start > 0 {
		// What an event began with that ends behind the start is wanted, too.
		if f.pos.Warm, _, err = cur.line(max(start-firstBuffer, 0)); err != nil {
			return fmt.Errorf("read %s: %w", f.path, err)
		}
		var line []byte
		if f.pos.Off, line, err = cur.line(start); err != nil {
			return fmt.Errorf("read %s: %w", f.path, err)
		}
		begun = max(begun, dec.Time(line))
		if err := f.identify(ctx, cur, nil); err != nil {
			return err
		}
	}
	if from > 0 && from < begun {
		to.Gaps = append(to.Gaps, evidence.Gap{From: from, To: begun, Reason: fmt.Sprintf("%s was not followed before: no more than its last %v and %d MiB are read", f.path, f.source.opts.Lookback, firstBytes>>20)})
		f.source.opts.Logger.Info("begin to follow a log", "path", f.path, "size", cur.size, "offset", f.pos.Off)
	}
	return nil
}

func (f *follower) decoder(sc *scene) decoder {
	f.day = sc.now.YearDay()
	return f.source.kind.decoder(sc.now, f.source.opts.Location)
}

// verdict is what a file is to the position.
type verdict uint8

const (
	other   verdict = iota
	same            // it goes on there
	changed         // it begins alike, but what was read is no longer there
)

// match compares a file with the position.
func (f *follower) match(ctx context.Context, o *opened) (verdict, error) {
	p := f.pos
	if p.Head.N == 0 {
		if o.identity == p.identity {
			return same, nil
		}
		return other, nil
	}
	r, err := o.content(ctx, 0)
	if err != nil {
		return other, damaged(err)
	}
	head := make([]byte, p.Head.N)
	if n, err := io.ReadFull(r, head); err != nil || !p.Head.matches(head[:n]) {
		return other, damaged(err)
	}
	if !o.zipped && o.size < p.Off {
		return changed, nil
	}
	if r, err = o.content(ctx, p.Off-int64(p.Tail.N)); err != nil {
		if errors.Is(err, errDamaged) {
			return changed, nil
		}
		return other, err
	}
	tail := make([]byte, p.Tail.N)
	if n, err := io.ReadFull(r, tail); err != nil || !p.Tail.matches(tail[:n]) {
		return changed, damaged(err)
	}
	return same, nil
}

// damaged leaves out the errors that say that a file is not what was looked for.
func damaged(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errDamaged) {
		return nil
	}
	return err
}

// find finds the file of the position: the log, the file that was kept open, one
// that a rotation left. rewritten says that it is the log, but not as it was. nil
// is none.
func (f *follower) find(ctx context.Context, sc *scene, cur *opened) (at *opened, rewritten bool, err error) {
	own := cur != nil && cur.identity == f.pos.identity
	var first []*opened
	if own {
		first = append(first, cur)
	} else if f.held != nil && f.held.identity == f.pos.identity {
		held, err := look(f.held.file)
		if err != nil {
			return nil, false, err
		}
		first = append(first, held)
	}
	for _, o := range first {
		switch v, err := f.match(ctx, o); {
		case err != nil:
			return nil, false, err
		case v == same:
			return o, false, nil
		case v == changed && o.current:
			rewritten = true
		}
	}
	list, err := sc.rotations(f.path)
	if err != nil {
		return nil, false, err
	}
	// By identity first: that says more, and costs less, than what they contain.
	for _, byIdentity := range []bool{true, false} {
		for _, r := range list {
			if r.unread || byIdentity != (r.identity == f.pos.identity) || !byIdentity && f.pos.Head.N == 0 {
				continue
			}
			o, err := f.source.open(sc, r.name)
			if err != nil {
				continue // it is gone, or no longer what it was
			}
			if v, err := f.match(ctx, o); err != nil || v == same {
				return o, false, err
			}
		}
	}
	if cur != nil && !own {
		switch v, err := f.match(ctx, cur); {
		case err != nil:
			return nil, false, err
		case v == same:
			return cur, false, nil
		case v == changed:
			rewritten = true
		}
	}
	if rewritten {
		return cur, true, nil
	}
	return nil, false, nil
}

// anew makes the position the beginning of a file of which what is older than what
// was read, up to an offset, is known.
func (f *follower) anew(o *opened, until int64) {
	f.pos = &position{identity: o.identity, Last: f.pos.Last, Since: f.pos.Last, Until: until}
	f.dec = nil
}

// lost goes on where the file of the position is gone: with the oldest rotated file
// that is newer than what was read, else with the log.
func (f *follower) lost(sc *scene, cur *opened, to *evidence.Batch) (*opened, error) {
	list, err := sc.rotations(f.path)
	if err != nil {
		return nil, err
	}
	if f.dec != nil {
		f.dec.Flush(&f.scratch)
		f.take(to)
	}
	old := f.pos
	next := cur
	reason := "the file that was read is gone"
	cleared := cur.identity == old.identity
	for _, r := range list {
		if old.Last == 0 || r.mtime/1e9 <= old.Last || r.identity == cur.identity {
			continue
		}
		if r.unread {
			reason = r.name + " is compressed in a way that is not read (gzip is)"
			cleared = false
			continue
		}
		if o, err := f.source.open(sc, r.name); err == nil {
			next = o
			break
		}
	}
	from := old.Last
	if from == 0 {
		from = sc.now.Unix()
	}
	to.Gaps = append(to.Gaps, evidence.Gap{From: from, To: sc.now.Unix(), Reason: f.path + ": " + reason + "; what was written to it after that is not known"})
	if cleared && old.Off > 0 {
		f.tell(to, cur.ctime, "cut: the %d bytes that were read of it are no longer there, nor in a rotated file", old.Off)
	}
	if next == cur {
		f.anew(cur, cur.size)
	} else {
		f.anew(next, 0)
	}
	return next, nil
}

// tell adds what happened to the log itself.
func (f *follower) tell(to *evidence.Batch, at time.Time, format string, args ...any) {
	f.source.opts.Logger.Warn("a log was changed", "path", f.path, "what", fmt.Sprintf(format, args...))
	to.Changes = append(to.Changes, evidence.Change{
		Time: max(at.Unix(), f.pos.Last), Platform: evidence.Linux, Host: f.source.opts.Host, Kind: evidence.ChangeAudit, Subject: f.path, Detail: fmt.Sprintf(format, args...),
		Source: f.source.kind.name, EID: fmt.Sprintf("%d:%d:%d", f.pos.Dev, f.pos.Ino, f.pos.Off),
	})
}

// lines reads a file from the position on. end says that all of it was read, but
// for a line that has no end yet.
func (f *follower) lines(ctx context.Context, sc *scene, at *opened, q *quota, to *evidence.Batch) (lines *scanner, end bool, err error) {
	if err := f.warm(ctx, sc, at); err != nil {
		return nil, false, err
	}
	p := f.pos
	r, err := at.content(ctx, p.Off)
	if err != nil {
		if damaged(err) != nil {
			return nil, false, fmt.Errorf("read %s: %w", f.path, err)
		}
		r = failing{err}
	}
	limited := &io.LimitedReader{R: r, N: q.bytes}
	lines = newScanner(limited, f.source.buf, p.Off, p.Skip)
	defer func(s *scanner) { f.source.keep(s.buf) }(lines)
	have := rows(to)
	var failure error
	for n := 0; rows(to)-have < q.rows; n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		line, where, err := lines.next()
		if err == nil {
			f.feed(line, where, to, false)
			continue
		}
		end = limited.N > 0
		switch {
		case errors.Is(err, io.EOF):
		case damaged(err) == nil:
			to.Gaps = append(to.Gaps, evidence.Gap{From: p.Last, To: at.mtime.Unix(), Reason: f.path + ": " + err.Error()})
		default:
			failure = fmt.Errorf("read %s: %w", f.path, err)
		}
		break
	}
	q.bytes, q.rows = limited.N, q.rows-(rows(to)-have)
	// What was told counts as read, also when the rest can't be.
	if err := f.moved(ctx, sc, at, lines, to); err != nil {
		return nil, false, err
	}
	return lines, end, failure
}

// failing is a reader that can't be read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// moved takes over into the position what a scanner has read.
func (f *follower) moved(ctx context.Context, sc *scene, at *opened, lines *scanner, to *evidence.Batch) error {
	p := f.pos
	p.identity = at.identity
	to.Dropped += lines.dropped
	lines.dropped = 0
	if !lines.consumed {
		return nil
	}
	lines.consumed = false
	p.Off, p.Skip = lines.off, lines.skip
	f.active, f.flushed = sc.now, false
	if t := f.dec.Time(f.lastLine); t > 0 {
		p.Last = t
	}
	if p.Off >= p.Until {
		p.Since, p.Until = 0, 0
	}
	f.standing()
	return f.identify(ctx, at, lines.tail())
}

// standing finds how far back the lines lie that made the decoder's state.
func (f *follower) standing() {
	p := f.pos
	if s, ok := f.dec.(settler); ok {
		if s.Settled() {
			p.Warm, p.Before = p.Off, nil
		}
		return
	}
	if warm, ok := f.marks.start(f.source.kind.span, p.Off); ok {
		p.Warm, p.Before = warm, nil
	}
}

// identify notes what the file begins with and what stands before the position; a
// nil tail is looked up.
func (f *follower) identify(ctx context.Context, o *opened, tail []byte) error {
	p := f.pos
	if tail == nil {
		var err error
		n := min(p.Off, tailSize)
		if tail, err = o.readAt(p.Off-n, int(n)); err != nil {
			return fmt.Errorf("read %s: %w", f.path, err)
		}
	}
	p.Tail = digestOf(tail)
	n := int(min(p.Off, headSize))
	if n <= p.Head.N {
		return nil
	}
	r, err := o.content(ctx, 0)
	if err != nil {
		return fmt.Errorf("read the beginning of %s: %w", f.path, err)
	}
	head := make([]byte, n)
	if _, err := io.ReadFull(r, head); err != nil {
		return fmt.Errorf("read the beginning of %s: %w", f.path, err)
	}
	p.Head = digestOf(head)
	return nil
}

// feed hands a line to the decoder. A silent one only makes its state.
func (f *follower) feed(line []byte, at int64, to *evidence.Batch, silent bool) {
	line = bytes.Trim(line, "\x00\r")
	if len(line) == 0 {
		return
	}
	if f.marks.due(at) {
		f.marks.note(at, f.dec.Time(line[:min(len(line), maxTimed)]))
	}
	f.lastLine = append(f.lastLine[:0], line[:min(len(line), maxTimed)]...)
	ok := f.dec.Line(line, &f.scratch)
	if silent {
		empty(&f.scratch)
		return
	}
	if ok {
		to.Read++
	}
	f.take(to)
}

// maxTimed is the part of a line that has its time, in bytes.
const maxTimed = 1 << 10

// take moves what the decoder told into the batch.
func (f *follower) take(to *evidence.Batch) {
	b := &f.scratch
	if rows(b) == 0 {
		return
	}
	since, host := f.pos.Since, f.source.opts.Host
	for i := range b.Processes {
		if p := &b.Processes[i]; p.Time >= since {
			p.Host = ownHost(p.Host, host)
			to.Processes = append(to.Processes, *p)
		}
	}
	for i := range b.Installs {
		if p := &b.Installs[i]; p.Time >= since {
			p.Host = ownHost(p.Host, host)
			to.Installs = append(to.Installs, *p)
		}
	}
	for i := range b.Logons {
		if p := &b.Logons[i]; p.Time >= since {
			p.Host = ownHost(p.Host, host)
			to.Logons = append(to.Logons, *p)
		}
	}
	for i := range b.Connections {
		if p := &b.Connections[i]; p.Time >= since {
			p.Host = ownHost(p.Host, host)
			to.Connections = append(to.Connections, *p)
		}
	}
	for i := range b.Changes {
		if p := &b.Changes[i]; p.Time >= since {
			p.Host = ownHost(p.Host, host)
			to.Changes = append(to.Changes, *p)
		}
	}
	empty(b)
}

// empty makes room for the next rows where the last ones were.
func empty(b *evidence.Batch) {
	b.Processes, b.Installs, b.Logons = b.Processes[:0], b.Installs[:0], b.Logons[:0]
	b.Connections, b.Changes = b.Connections[:0], b.Changes[:0]
}

// ownHost is the host's own name for a short or long form of it; names of others,
// whose logs are collected here, stay.
func ownHost(logged, own string) string {
	short := func(s string) string {
		s, _, _ = strings.Cut(s, ".")
		return s
	}
	if logged == "" || own != "" && strings.EqualFold(short(logged), short(own)) {
		return own
	}
	return logged
}

// warm makes the decoder's state from the lines before the position.
func (f *follower) warm(ctx context.Context, sc *scene, at *opened) error {
	if f.dec != nil {
		return nil
	}
	p := f.pos
	f.dec = f.decoder(sc)
	f.marks = marks{}
	f.active, f.flushed = sc.now.Add(-time.Nanosecond), false // no line of now
	if b := p.Before; b != nil {
		old, err := f.before(ctx, sc, b)
		if err != nil {
			return err
		}
		if old != nil {
			if err := f.replay(ctx, old, b.Off, toEnd); err != nil {
				return err
			}
		}
		f.marks = marks{}
	}
	return f.replay(ctx, at, p.Warm, p.Off)
}

// before finds the file that was read before the one of the position; nil is none.
func (f *follower) before(ctx context.Context, sc *scene, b *place) (*opened, error) {
	list, err := sc.rotations(f.path)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if r.unread {
			continue
		}
		o, err := f.source.open(sc, r.name)
		if err != nil {
			continue
		}
		content, err := o.content(ctx, 0)
		if err != nil {
			if damaged(err) != nil {
				return nil, err
			}
			continue
		}
		head := make([]byte, b.Head.N)
		if _, err := io.ReadFull(content, head); err == nil && b.Head.matches(head) {
			return o, nil
		}
	}
	return nil, ctx.Err()
}

// toEnd is behind the end of every file.
const toEnd = maxContent

// replay feeds the decoder what was read already.
func (f *follower) replay(ctx context.Context, o *opened, from, to int64) error {
	if from >= to {
		return nil
	}
	cut := to != toEnd && to-from > 2*maxWarm
	if cut {
		from = to - maxWarm
	}
	r, err := o.content(ctx, from)
	if err != nil {
		if damaged(err) == nil {
			return nil
		}
		return fmt.Errorf("read %s: %w", f.path, err)
	}
	// It may begin within a line, which is then passed by as one that is too long.
	lines := newScanner(io.LimitReader(r, min(to-from, 2*maxWarm)), nil, from, cut)
	for {
		line, at, err := lines.next()
		if err != nil {
			if damaged(err) != nil {
				return fmt.Errorf("read %s: %w", f.path, err)
			}
			if line, at = lines.rest(); to == toEnd {
				f.feed(line, at, nil, true)
			}
			return nil
		}
		f.feed(line, at, nil, true)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// quiet tells what waits for more lines when none have come for a while.
func (f *follower) quiet(sc *scene, to *evidence.Batch) {
	if f.flushed || f.source.kind.span == 0 || f.active.Equal(sc.now) {
		return
	}
	// After a restart only the last line tells for how long it has been quiet.
	last := time.Unix(f.pos.Last, 0)
	if sc.now.Sub(f.active) < settle && (f.pos.Last == 0 || sc.now.Sub(last) < settle) {
		return
	}
	f.dec.Flush(&f.scratch)
	f.take(to)
	f.flushed = true
	f.marks = marks{}
	f.pos.Warm, f.pos.Before = f.pos.Off, nil
}

// successor finds the file that follows a rotated one that was read; nil is none
// yet.
func (f *follower) successor(ctx context.Context, sc *scene, at, cur *opened, to *evidence.Batch) (*opened, error) {
	list, err := sc.rotations(f.path)
	if err != nil {
		return nil, err
	}
	known := at.links > 0
	var next *opened
	for _, r := range list {
		if r.identity == at.identity || r.mtime < at.mtime.UnixNano() {
			continue
		}
		if r.unread {
			known = true
			if r.mtime > at.mtime.UnixNano() {
				to.Gaps = append(to.Gaps, evidence.Gap{From: at.mtime.Unix(), To: r.mtime / 1e9, Reason: r.name + " is compressed in a way that is not read (gzip is)"})
			}
			continue
		}
		o, err := f.source.open(sc, r.name)
		if err != nil {
			continue
		}
		v, err := f.match(ctx, o)
		if err != nil {
			return nil, err
		}
		switch {
		case v != other:
			known = true // it is the same, compressed
		case next == nil && r.mtime > at.mtime.UnixNano():
			next = o
		}
	}
	if !known && !f.pos.Told {
		f.tell(to, at.ctime, "removed while it was followed, and not by a rotation")
		f.pos.Told = true
	}
	if next == nil && cur != nil && (cur.size > 0 || sc.now.Sub(at.mtime) >= unused) {
		next = cur
	}
	return next, nil
}

// turn goes on with the next file. What the decoder waits for can be in it.
func (f *follower) turn(at, next *opened, lines *scanner, q *quota, to *evidence.Batch) {
	have := rows(to)
	line, where := lines.rest()
	f.feed(line, where, to, false)
	q.rows -= rows(to) - have
	to.Dropped += lines.dropped
	old := f.pos
	f.pos = &position{identity: next.identity, Last: old.Last}
	if _, ok := f.dec.(settler); !ok && old.Warm < old.Off && old.Head.N > 0 {
		f.pos.Before = &place{identity: at.identity, Head: old.Head, Off: old.Warm}
	}
	f.marks = marks{}
	// One that was edited and put in the place of the old one has its lines once
	// more.
	if head, err := next.readAt(0, old.Head.N); err == nil && old.Head.N > 0 && !next.zipped && old.Head.matches(head) {
		f.tell(to, next.ctime, "rewritten: another file, which begins as it did, was put in its place")
		f.dec.Flush(&f.scratch)
		f.take(to)
		f.anew(next, next.size)
	}
}

// marks are the times of lines, some way apart.
type marks struct {
	list []mark
	last int64 // where the last one was looked for
	any  bool
}

type mark struct{ at, second int64 }

// maxWarm bounds how far back the lines may lie that make a decoder's state.
const maxWarm = 4 << 20

func (m *marks) due(at int64) bool { return !m.any || at-m.last >= sampleEvery }

func (m *marks) note(at, second int64) {
	m.any, m.last = true, at
	if second > 0 {
		m.list = append(m.list, mark{at, second})
	}
}

// start is where lines begin that are at most span seconds older than the last one;
// ok is false while that is before the first mark.
func (m *marks) start(span, off int64) (at int64, ok bool) {
	if len(m.list) == 0 {
		return 0, false
	}
	newest := m.list[len(m.list)-1].second
	keep := 0
	for i, k := range m.list {
		if k.second < newest-span || off-k.at > maxWarm {
			keep = i
			at, ok = k.at, true
		}
	}
	m.list = append(m.list[:0], m.list[keep:]...)
	return at, ok
}

// keep keeps a buffer for the next scanner, unless a line made it large.
func (s *Source) keep(buf []byte) {
	if cap(buf) <= 4*firstBuffer {
		s.buf = buf
	} else {
		s.buf = nil
	}
}
