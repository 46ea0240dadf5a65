package kaudit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	libaudit "github.com/elastic/go-libaudit/v2"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
)

const (
	// askEvery is how often the kernel is asked for its rules.
	askEvery = 30 * time.Second
	// settle is how long it is quiet before what waits for more records is told
	// without them.
	settle = 5 * time.Second
	// silence is how long no program may have started where the rules can't be
	// looked at, before they are taken not to log any.
	silence = 10 * time.Minute
	// settling is how soon the kernel is asked again while not every program is audited.
	settling = 5 * time.Second
	// warnEvery is how often lost records are logged.
	warnEvery = time.Minute
	// overlap is how long the records of an event may take to come that is older than
	// another one of which all have come: whoever makes them may be made to wait.
	overlap = 300 * time.Millisecond

	enable  = "auditctl -e 1"
	addRule = "auditctl -a always,exit -F arch=b64 -S execve,execveat -k exec"
)

// Check tells what keeps the kernel from auditing every program that starts, as an
// *evidence.Unavailable; nil when it does, and where that may not be asked.
func Check() error { return check(ask()) }

func check(p policy, err error) error {
	switch {
	case err != nil:
		return nil
	case !p.enabled:
		return switchedOff()
	case p.missing != "":
		return &evidence.Unavailable{State: evidence.StateOff, Detail: p.missing, Remedy: addRule}
	}
	return nil
}

// Source is what the kernel audits. It needs root on the host itself.
type Source struct {
	opts Options
	// now and ask are the clock and the kernel; tests have others.
	now func() time.Time
	ask func() (policy, error)

	records, lost, overflows, dropped atomic.Int64

	mu      sync.Mutex
	client  *libaudit.AuditClient // nil unless started
	sock    *socket               // the client's
	emptied uint64                // what sock told last of being empty
	empty   chan struct{}         // closed when it tells again; nil while nobody waits
	done    chan struct{}
	cancel  func() bool // lets go of the context
	ending  *atomic.Bool
	err     error     // why the records ended
	run     string    // tells the rows of this start from those of an earlier one
	started time.Time // for the first time

	dec     *auditlog.Decoder
	serials serials
	top     uint64    // the highest number
	topAt   time.Time // when that was so
	ring    *ring
	gaps    []evidence.Gap
	missed  int64     // events lost since that was last reported
	last    int64     // second of the last record
	heard   time.Time // when it came
	exec    time.Time // when the last execution did
	flushed bool
	told    evidence.Batch // by the record under way
	warned  time.Time

	boot    string // tells the numbers of this start of the kernel from those of another
	mine    mark   // where a successor begins, once this one leaves
	theirs  mark   // where the predecessor left
	partial mark   // the event that the first record was not the first of

	asked   time.Time
	stale   bool // a record told of a change of policy since
	policy  policy
	unasked error // why the policy is not known
	held    bool  // the kernel keeps records for a daemon that does not come
}

// New returns the source, not started.
func New(o Options) *Source {
	if o.Ring <= 0 {
		o.Ring = ringRows
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return &Source{opts: o, now: time.Now, ask: ask, ring: newRing(o.Ring, ringBytes), boot: bootID()}
}

// Name is the source's name in evidence.
func (*Source) Name() string { return name }

// Stats returns the counts since the first start.
func (s *Source) Stats() Stats {
	return Stats{Records: s.records.Load(), Lost: s.lost.Load(), Overflows: s.overflows.Load(), Dropped: s.dropped.Load()}
}

// Start begins to listen, until ctx ends or Close is called. It returns an
// *evidence.Unavailable where the kernel does not let us.
func (s *Source) Start(ctx context.Context) error {
	// Every moment counts: who asks for the rules first has not heard it.
	err := s.start(ctx)
	s.look()
	return err
}

func (s *Source) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return errors.New("the kernel's audit is listened to already")
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("listen to the kernel's audit: %w", err)
	}
	if err := foreign(); err != nil {
		return err
	}
	sock, err := listen()
	if err != nil {
		return refused(err)
	}
	sock.overflow, sock.emptied = s.overflow, s.noteEmpty
	s.begin()
	s.client, s.sock, s.err = &libaudit.AuditClient{Netlink: sock}, sock, nil
	s.done = make(chan struct{})
	client, ending := s.client, new(atomic.Bool)
	s.ending = ending
	s.cancel = context.AfterFunc(ctx, func() {
		ending.Store(true)
		_ = client.Close()
	})
	go s.receive(client, s.done)
	return nil
}

// begin begins to listen. Rows of before, that were not read yet, stay.
func (s *Source) begin() {
	now := s.now()
	if s.run == "" {
		s.run, s.started = strconv.FormatInt(now.UnixNano(), 36), now
	}
	if s.err != nil {
		s.gap(evidence.Gap{From: min(s.heard.Unix(), now.Unix()), To: now.Unix(), Reason: "it ended, and was not listened to: " + s.err.Error()})
	}
	s.dec, s.serials, s.flushed = auditlog.NewDecoder(), serials{}, true
	s.mine, s.partial = mark{}, mark{}
	s.heard, s.exec, s.topAt = now, now, now
}

// Close ends listening and waits until it has ended. What was not read yet can
// still be read.
func (s *Source) Close() error {
	s.mu.Lock()
	client, done, cancel, ending := s.client, s.done, s.cancel, s.ending
	s.mu.Unlock()
	if client == nil {
		return nil
	}
	cancel()
	ending.Store(true)
	err := client.Close()
	<-done
	if err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close the kernel's audit: %w", err)
	}
	return nil
}

// refused is the error for a kernel that does not let us listen.
func refused(err error) error {
	u := &evidence.Unavailable{State: evidence.StateFailed, Detail: err.Error(), Remedy: "look at the kernel's log"}
	switch {
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EINVAL):
		u.State, u.Remedy = evidence.StateOff, "this kernel is built without CONFIG_AUDIT: use the process connector"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ECONNREFUSED):
		u.State, u.Remedy = evidence.StateOff, "run as root on the host itself, outside of containers (CAP_AUDIT_READ, and CAP_AUDIT_CONTROL to look at the rules)"
	}
	return u
}

// foreign tells a network namespace that the kernel sends no records to.
func foreign() error {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil // not known is not foreign
	}
	if first, err := os.Readlink("/proc/1/ns/net"); err == nil && first != own {
		return refused(fmt.Errorf("the kernel sends its audit records to the host's network namespace alone: %w", unix.EPERM))
	}
	return nil
}

func switchedOff() error {
	return &evidence.Unavailable{State: evidence.StateOff, Detail: "the kernel's auditing is switched off (enabled 0)", Remedy: enable + "; " + addRule}
}

// look asks the kernel for its policy, from time to time.
func (s *Source) look() {
	s.mu.Lock()
	now := s.now()
	every := askEvery
	if s.unasked == nil && check(s.policy, nil) != nil {
		every = settling
	}
	due := s.asked.IsZero() || s.stale || now.Sub(s.asked) >= every || now.Before(s.asked)
	s.stale = false
	s.mu.Unlock()
	if !due {
		return
	}
	held := holds()
	p, err := s.ask()
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.policy
	first := s.asked.IsZero() || s.unasked != nil
	s.asked, s.unasked, s.held = now, err, held
	if err != nil {
		return
	}
	s.policy = p
	// A kernel that keeps records for a daemon which never comes counts those as lost
	// that were heard here.
	if n := p.lost - before.lost; !first && n > 0 && n < 1<<31 && (p.owner != 0 || !held) {
		s.gap(evidence.Gap{From: max(s.last, now.Add(-askEvery).Unix()), To: now.Unix(), Reason: "the kernel could not queue all of its audit records: see \"lost\" and \"backlog_limit\" of auditctl -s"})
	}
}

// holds reports whether the kernel was started with audit=1.
func holds() bool {
	b, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return false
	}
	for _, w := range strings.Fields(string(b)) {
		if w == "audit=1" || w == "audit=on" {
			return true
		}
	}
	return false
}

// receive takes records off the socket until it is closed.
func (s *Source) receive(client *libaudit.AuditClient, done chan struct{}) {
	defer close(done)
	err := s.listen(client)
	// Closing again is harmless where the end came from Close or the context.
	_ = client.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel()
	s.client = nil
	if !s.ending.Load() {
		s.err = err
		s.opts.Logger.Error("the kernel's audit ended", "error", err)
	}
}

// listen handles records until the socket fails or is closed. A panic over a
// record must not end the program, only this source.
func (s *Source) listen(client *libaudit.AuditClient) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("handle an audit record: %v", r)
		}
	}()
	for {
		m, err := client.Receive(false)
		if err != nil {
			return err
		}
		s.record(uint16(m.Type), m.Data)
	}
}

// overflow notes that the kernel discarded records. How many events that were shows
// when the number of a later one does.
func (s *Source) overflow() {
	n := s.overflows.Add(1)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missing(now.Unix())
	if now.Sub(s.warned) >= warnEvery {
		s.warned = now
		s.opts.Logger.Warn("audit records came faster than they were read", "overflows", n)
	}
}

// record takes one record.
func (s *Source) record(typ uint16, data []byte) {
	s.records.Add(1)
	data = bytes.TrimRight(data, "\x00\n")
	r, ok := auditlog.ReadRecord(typ, data)
	second, serial := r.Second(), r.Serial()
	if !ok || serial > math.MaxUint32 { // the kernel's have 32 bits
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mine.set && s.mine.ahead(serial) > 0 {
		return // the successor's
	}
	if !s.serials.begun && continues(typ) {
		s.partial = mark{true, serial}
	}
	s.heard, s.flushed = s.now(), false
	switch typ {
	case typeExecve:
		s.exec = s.heard
	case typeConfig:
		s.stale = true
	}
	s.gone(s.serials.add(serial), second)
	s.last = second
	if s.partial.set && serial == s.partial.serial {
		return // half of what it says was not heard
	}
	s.dec.Record(&r, &s.told)
	if rowsOf(&s.told) > 0 {
		s.push(s.told)
		s.told = evidence.Batch{}
	}
}

// gone notes events that never came.
func (s *Source) gone(n int64, now int64) {
	if n <= 0 {
		return
	}
	s.missed += n
	s.lost.Add(n)
	s.missing(now)
}

// missing notes that records since the last one are missing.
func (s *Source) missing(now int64) {
	s.gap(evidence.Gap{From: min(max(s.last, s.started.Unix()), now), To: now, Reason: "audit records came faster than they were read, or the kernel's rate limit held them back"})
}

// gap adds a gap, or widens the last one of the same kind.
func (s *Source) gap(g evidence.Gap) {
	if n := len(s.gaps); n > 0 && (s.gaps[n-1].Reason == g.Reason && g.From <= s.gaps[n-1].To+1 || n >= 64) {
		s.gaps[n-1].To = max(g.To, s.gaps[n-1].To)
		return
	}
	s.gaps = append(s.gaps, g)
}

// push puts what was decoded into the ring, under this source's name.
func (s *Source) push(b evidence.Batch) {
	for i := range b.Processes {
		b.Processes[i].Source = name
	}
	for i := range b.Installs {
		b.Installs[i].Source = name
	}
	for i := range b.Logons {
		b.Logons[i].Source = name
	}
	for i := range b.Connections {
		b.Connections[i].Source = name
	}
	for i := range b.Changes {
		b.Changes[i].Source = name
	}
	if s.theirs.set {
		s.theirs.leave(&b)
		// Their last events are complete: what comes is ours alone.
		s.theirs.set = s.theirs.ahead(s.serials.top) < reorder
	}
	if e := entryOf(b, s.last); e.rows > 0 {
		before := s.ring.rows
		s.ring.push(e)
		if half := s.opts.Ring / 2; before < half && s.ring.rows >= half && s.opts.Filling != nil {
			s.opts.Filling()
		}
	}
}

// Read returns what the kernel told since cursor, in order, at most limit rows (0
// means 10,000) but for those that one record completes together. What it returns
// is kept until a later call's cursor shows that it arrived.
//
// The error is an *evidence.Unavailable if it does not listen and nothing is left
// to read, and also while not every program that starts is audited: the batch with
// what else came is to be used then.
func (s *Source) Read(ctx context.Context, cursor string, limit int) (evidence.Batch, error) {
	if err := ctx.Err(); err != nil {
		return evidence.Batch{Cursor: cursor}, fmt.Errorf("read the kernel's audit: %w", err)
	}
	if limit <= 0 {
		limit = 10_000
	}
	s.look()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.client != nil && !s.flushed && now.Sub(s.heard) >= settle {
		var b evidence.Batch
		s.dec.Flush(&b)
		s.push(b)
		s.flushed = true
	}
	if now.Sub(s.topAt) >= settle || now.Before(s.topAt) {
		s.gone(s.serials.settle(s.top), s.last)
		s.top, s.topAt = s.serials.top, now
	}
	run, seq, until, left := s.parseCursor(cursor)
	if run == s.run && run != "" {
		s.ring.acknowledge(seq)
	} else if left.set {
		s.theirs = left
		s.ring.leave(left)
	}
	if s.client == nil && len(s.ring.entries) == 0 {
		return evidence.Batch{Cursor: cursor}, s.stopped()
	}
	var b evidence.Batch
	if run != s.run && until > 0 && until < s.started.Unix() {
		b.Gaps = append(b.Gaps, evidence.Gap{From: until, To: s.started.Unix(), Reason: "the kernel keeps no audit records for who does not listen"})
	}
	last := s.ring.take(limit, &b)
	b.Read = int64(rowsOf(&b))
	b.Gaps = append(b.Gaps, s.gaps...)
	b.Dropped = s.missed
	s.gaps, s.missed = nil, 0
	if s.ring.dropped > 0 {
		b.Dropped += s.ring.dropped
		s.dropped.Add(s.ring.dropped)
		b.Gaps = append(b.Gaps, evidence.Gap{From: s.ring.from, To: s.ring.to, Reason: "more was audited than was read in time"})
		s.ring.dropped = 0
	}
	// How far it was listened: by the minute, so that a quiet host's cursor rests.
	heard := now.Truncate(time.Minute).Unix()
	switch {
	case b.Read > 0 && !b.More || s.client == nil:
		heard = now.Unix()
	case run == s.run && until <= now.Unix():
		heard = max(heard, until)
	}
	if s.mine.set {
		heard = now.Unix() // the successor hears since before
	}
	b.Cursor = fmt.Sprintf("%s|%d|%d", s.run, last, heard)
	if s.mine.set && s.mine.serial > 0 && s.boot != "" {
		b.Cursor += fmt.Sprintf("|%s|%d", s.boot, s.mine.serial)
	}
	return b, s.state(now)
}

// parseCursor reads a cursor: which run's it is, the number of the last row and the
// second until when it was listened, and where that run left off in favour of a
// successor.
func (s *Source) parseCursor(cursor string) (run string, seq uint64, until int64, left mark) {
	f := strings.Split(cursor, "|")
	if len(f) != 3 && len(f) != 5 {
		return "", 0, 0, mark{}
	}
	seq, err := strconv.ParseUint(f[1], 10, 63)
	if err != nil {
		return "", 0, 0, mark{}
	}
	if until, err = strconv.ParseInt(f[2], 10, 64); err != nil || until < 0 || until > maxSecond {
		return "", 0, 0, mark{}
	}
	if len(f) == 5 && f[3] == s.boot && s.boot != "" {
		if n, err := strconv.ParseUint(f[4], 10, 32); err == nil {
			left = mark{true, n}
		}
	}
	return f[0], seq, until, left
}

func (s *Source) stopped() error {
	u := &evidence.Unavailable{State: evidence.StateOff, Detail: "the kernel's audit is not listened to", Remedy: "start Rollcall again"}
	if s.err != nil {
		u.State, u.Detail = evidence.StateFailed, s.err.Error()
	}
	return u
}

// state says what keeps the kernel from telling of every program that starts.
func (s *Source) state(now time.Time) error {
	if s.unasked != nil && now.Sub(s.exec) >= silence {
		return &evidence.Unavailable{State: evidence.StateOff,
			Detail: fmt.Sprintf("no program was told of within %v, and the kernel's audit rules can't be looked at: %v", silence, s.unasked), Remedy: addRule}
	}
	return check(s.policy, s.unasked)
}
