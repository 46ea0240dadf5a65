package core

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

const (
	processEvents = "process_events"

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

	checkInterval = time.Minute
	firstRetry    = 2 * time.Second

	// maxAuditArgs is what the kernel puts into one audit record of arguments
	// (MAX_EXECVE_AUDIT_LEN is 7,500); osquery reads the first record alone.
	maxAuditArgs = 7_400

	auditFlags = "--disable_audit=false --audit_allow_config=true --audit_allow_process_events=true --disable_events=false"
)

// Clock tells the time twice: as the host has it, in seconds since 1970 UTC, and
// as a count that nobody can set.
type Clock func() (wall int64, monotonic time.Duration)

func systemClock() Clock {
	start := time.Now()
	return func() (int64, time.Duration) { return time.Now().Unix(), time.Since(start) }
}

// ProcessEvents reads the programs that osquery's audit publisher saw being
// started: its process_events table on Linux.
//
// Failed executions never get into that table on Linux; forks and signals, which
// may, are left out.
type ProcessEvents struct {
	q     Querier
	clock Clock

	mu     sync.Mutex
	window int64 // seconds; adapts to how much happens

	checked   bool
	checkedAt time.Duration
	retry     time.Duration // until the next look while there is trouble
	caps      *Capabilities
	trouble   error

	// When this process last finished reading, to tell a clock that was set from
	// time that passed.
	lastThrough int64
	lastAt      time.Duration
}

// NewProcessEvents makes the source. clock may be nil for the system's.
func NewProcessEvents(q Querier, clock Clock) *ProcessEvents {
	if clock == nil {
		clock = systemClock()
	}
	return &ProcessEvents{q: q, clock: clock, window: firstWindow}
}

// Name is the source's name, which is also that of its table.
func (p *ProcessEvents) Name() string { return processEvents }

// Read returns at most limit (and at most 10,000) programs started since cursor,
// oldest first, each once. An empty cursor begins with what osquery still
// holds, up to an hour. The cursor in the answer says where to go on, also after
// a restart; when More is set, more can be read at once.
//
// Each row is known by its eid, time, pid and command line together, because
// osquery's event ids begin again when its database is reset. After the clock
// was set back, rows may come twice, never not at all.
//
// When the table cannot be read, the error is an *evidence.Unavailable.
func (p *ProcessEvents) Read(ctx context.Context, text string, limit int) (evidence.Batch, error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if limit <= 0 || limit > maxRows {
		limit = maxRows
	}
	if err := p.check(ctx); err != nil {
		return evidence.Batch{}, err
	}
	batch := evidence.Batch{}
	cur, gaps := p.resume(text)
	batch.Gaps = gaps
	if err := p.drain(ctx, cur, limit, &batch); err != nil {
		return evidence.Batch{}, p.unavailable(ctx, err)
	}
	batch.More = len(cur.Todo) > 0
	var err error
	batch.Cursor, err = cur.text()
	return batch, err
}

// resume reads the cursor and plans what to read.
func (p *ProcessEvents) resume(text string) (*cursor, []evidence.Gap) {
	wall, mono := p.clock()
	now := min(max(wall, 0), maxTime)
	expiry := p.caps.EventsExpiry()
	cur, err := parseCursor(text)
	if text == "" || err != nil {
		from := max(now-min(expiry, maxLookback), 0)
		var gaps []evidence.Gap
		if text != "" {
			gaps = []evidence.Gap{{From: from, To: from, Reason: "the stored cursor could not be read; reading began again with what osquery still holds"}}
		}
		p.lastThrough, p.lastAt = now, mono
		return &cursor{Version: 1, Next: now, Todo: []span{{From: from, To: now}}}, gaps
	}
	if len(cur.Todo) > 0 {
		return cur, nil
	}

	// Time as it passed; unknown (negative) after a restart of ours.
	elapsed := int64(-1)
	if p.lastThrough == cur.Through {
		elapsed = int64((mono - p.lastAt) / time.Second)
	}
	p.lastThrough, p.lastAt = now, mono
	cur.Next = now

	since := now - cur.Through
	back := since < -overlap
	if elapsed >= 0 {
		back = elapsed-since > overlap
	}
	var gaps []evidence.Gap
	switch {
	case back:
		// The clock was set back by more than the overlap. What was stored between
		// the last read and that moment lies in the future; what was stored since
		// then lies within the time that passed, or anywhere osquery still holds.
		recent := expiry
		if elapsed >= 0 {
			recent = min(elapsed+overlap, expiry)
		}
		old := cur.begin(maxTime)
		if old.From <= now {
			old = span{From: now + 1, To: maxTime}
		}
		cur.Todo = []span{{From: max(now-recent, 0), To: now}, old}
		cur.Floor, cur.After = 0, nil
	case since > expiry:
		// Longer away than osquery keeps events, or the clock was set forward.
		// Remains of the time before may still be there.
		horizon := now - expiry
		cur.Todo = []span{
			cur.begin(min(cur.From+maxLookback, horizon-1)),
			{From: horizon, To: now},
		}
		if elapsed < 0 || elapsed > expiry {
			gaps = []evidence.Gap{{From: cur.Through, To: horizon,
				Reason: fmt.Sprintf("osquery keeps events for %d s and was not read for %d s", expiry, since)}}
		}
	default:
		cur.Todo = []span{cur.begin(max(now, cur.Through))}
	}
	return cur, gaps
}

// drain reads the cursor's spans until they are done or the limit is reached.
func (p *ProcessEvents) drain(ctx context.Context, cur *cursor, limit int, batch *evidence.Batch) error {
	var last *position
	// A clock that stepped a little can leave nothing to read.
	cur.Todo = slices.DeleteFunc(cur.Todo, func(s span) bool { return s.From > s.To })
	for page := 0; len(cur.Todo) > 0; page++ {
		if page == maxPages || len(batch.Processes) >= limit {
			break
		}
		current := &cur.Todo[0]
		until, full, at, err := p.page(ctx, cur, *current, limit, batch)
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
		cur.done(overlap)
	}
	return nil
}

// page runs one query over the beginning of a span, up to and including until.
// full says that there is more up to there, behind last.
func (p *ProcessEvents) page(ctx context.Context, cur *cursor, s span, limit int, batch *evidence.Batch) (until int64, full bool, last *position, err error) {
	until = s.To
	size := max(limit-len(batch.Processes), minPage)
	stmt := squirrel.
		Select("time", "eid", "pid", "parent", "path", "cmdline", "cwd", "uid", "euid", "auid").
		From(processEvents).
		// Forks, vforks, clones and signals share the table when switched on.
		Where(squirrel.Eq{"syscall": []string{"execve", "execveat"}}).
		OrderBy("time", "CAST(eid AS INTEGER)").
		Limit(uint64(size))
	windowed := s.To-s.From >= shortSpan && s.To != maxTime
	if windowed {
		// osquery looks up one second of events when time is given by "=", which is
		// how SQLite asks for the values of an IN list, but ignores any upper bound:
		// every page of a long range would read all events up to now.
		until = min(s.To, s.From+p.window-1)
		seconds := make([]int64, 0, p.window)
		for t := s.From; t <= until; t++ {
			seconds = append(seconds, t)
		}
		stmt = stmt.Where(squirrel.Eq{"time": seconds})
	} else {
		stmt = stmt.Where(squirrel.GtOrEq{"time": s.From}).Where(squirrel.LtOrEq{"time": s.To})
	}
	if s.After != nil {
		// The plus signs keep SQLite from splitting the OR into several scans.
		stmt = stmt.Where("(+time > ? OR CAST(eid AS INTEGER) > ?)", s.After.Time, s.After.EID)
	}
	sql, err := Render(stmt)
	if err != nil {
		return 0, false, nil, err
	}

	rows := 0
	keep := cur.Next - overlap
	err = p.q.Query(ctx, sql, func(r *Row) error {
		if rows++; len(batch.Processes) >= limit {
			full = true // the rest is for the next Read
			return nil
		}
		batch.Read++
		when, ok := r.Int("time")
		if !ok || when < 0 || when > maxTime {
			batch.Dropped++
			return nil
		}
		eid, _ := r.Int("eid")
		last = &position{Time: when, EID: eid}
		key := eventKey(r)
		if cur.has(key) {
			batch.Read--
			return nil
		}
		if when >= keep {
			cur.add(when, key)
		}
		batch.Processes = append(batch.Processes, process(r, when))
		return nil
	})
	if err != nil {
		return 0, false, nil, err
	}
	full = full || rows == size
	if windowed {
		switch {
		case full:
			p.window = max(p.window/4, 1)
		case rows < size/4:
			p.window = min(p.window*2, maxWindow)
		}
	}
	// A page that was full of rows without a time gives nothing to go on from.
	return until, full && last != nil, last, nil
}

// eventKey identifies an event among all that one host ever had. It is a
// cryptographic hash since whoever chooses the command line could otherwise make
// an event look like one that was seen.
func eventKey(r *Row) uint64 {
	h := sha256.New()
	for _, column := range []string{"eid", "time", "pid", "cmdline"} {
		h.Write([]byte(r.Get(column)))
		h.Write([]byte{0})
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

func process(r *Row, when int64) evidence.Process {
	cmdline, _ := RestoreArgs(r.Get("cmdline"))
	proc := evidence.Process{
		Time:       when,
		Platform:   evidence.Linux,
		Path:       r.Get("path"),
		CmdLine:    cmdline,
		CWD:        auditPath(r.Get("cwd")),
		UID:        userID(r.Get("euid")),
		LoginUID:   userID(r.Get("auid")),
		Source:     processEvents,
		EID:        r.Get("eid"),
		ArgsJoined: true,
		Truncated:  len(cmdline) >= maxAuditArgs,
	}
	proc.PID, _ = r.Int("pid")
	// -1 is osquery's way of not knowing.
	if parent, ok := r.Int("parent"); ok && parent > 0 {
		proc.ParentPID = parent
	}
	switch proc.UID {
	case "":
	case "0":
		proc.Elevated = evidence.Yes
	default:
		proc.Elevated = evidence.No
	}
	return proc
}

// userID is a numeric user id, or empty where the kernel says it is not set.
func userID(s string) string {
	if s == "4294967295" || s == "-1" {
		return ""
	}
	return s
}

// auditPath decodes a path as an audit record writes it: in quotes, or in hex
// when it holds blanks, quotes or control characters.
func auditPath(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	if raw, err := hex.DecodeString(s); err == nil && len(raw) > 0 && raw[0] == '/' {
		return string(raw)
	}
	return s
}

// check finds out, once a minute, whether there can be events at all. While there
// cannot, it looks again sooner: osquery starts its publishers after it has
// loaded the extensions.
func (p *ProcessEvents) check(ctx context.Context) error {
	_, mono := p.clock()
	wait := checkInterval
	if p.trouble != nil {
		wait = p.retry
	}
	if p.checked && mono-p.checkedAt < wait {
		return p.trouble
	}
	caps, err := Discover(ctx, p.q)
	if err != nil {
		p.checked = false
		return p.unavailable(ctx, err)
	}
	p.checked, p.checkedAt, p.caps = true, mono, caps
	p.trouble = nil
	if u := diagnose(caps); u != nil {
		p.trouble = u
		p.retry = min(max(2*p.retry, firstRetry), checkInterval)
	} else {
		p.retry = 0
	}
	return p.trouble
}

func diagnose(caps *Capabilities) *evidence.Unavailable {
	remedy := "start osqueryd with " + auditFlags
	if !caps.Tables[processEvents] {
		return &evidence.Unavailable{State: evidence.StateOff,
			Detail: "this osquery has no process_events table",
			Remedy: "use an osquery built for Linux with its audit tables, started with " + auditFlags}
	}
	var wrong []string
	for _, want := range []struct {
		flag string
		set  bool
	}{{"disable_events", false}, {"disable_audit", false}, {"audit_allow_process_events", true}} {
		if set, known := caps.Flag(want.flag); known && set != want.set {
			wrong = append(wrong, fmt.Sprintf("%s=%t", want.flag, set))
		}
	}
	if len(wrong) > 0 {
		return &evidence.Unavailable{State: evidence.StateOff,
			Detail: "osquery's process auditing is off: " + strings.Join(wrong, ", "), Remedy: remedy}
	}
	if !caps.EventsActive(processEvents) {
		return &evidence.Unavailable{State: evidence.StateFailed,
			Detail: "osquery's audit publisher is not active",
			Remedy: remedy + "; it needs root (CAP_AUDIT_CONTROL, CAP_AUDIT_READ), the host's own namespaces, and no auditd beside it"}
	}
	publisher := caps.Publishers[caps.Subscribers[processEvents].Publisher]
	if allowed, known := caps.Flag("audit_allow_config"); known && !allowed && publisher.Events == 0 {
		return &evidence.Unavailable{State: evidence.StateOff,
			Detail: "osquery may not configure auditing (audit_allow_config=false) and no event has arrived",
			Remedy: remedy}
	}
	return nil
}

// unavailable says what an error means to who looks after the host. The caller's
// own cancellation stays what it is.
func (p *ProcessEvents) unavailable(ctx context.Context, err error) error {
	if cause := ctx.Err(); errors.Is(cause, context.Canceled) {
		return fmt.Errorf("reading process_events: %w", cause)
	}
	u := &evidence.Unavailable{State: evidence.StateFailed, Detail: err.Error()}
	var status *StatusError
	switch {
	case missingTable(err):
		p.checked = false // it was there when we looked
		u.State, u.Detail = evidence.StateOff, "this osquery has no process_events table"
		u.Remedy = "use an osquery built for Linux with its audit tables, started with " + auditFlags
	case errors.As(err, &status):
		u.Remedy = "compare osquery's version with the versions this release was tested with"
	case errors.Is(err, ErrUnreachable), errors.Is(err, ErrClosed):
		u.Remedy = "start osqueryd, with --disable_extensions=false and this extension socket"
	case errors.Is(err, ErrUnsafe):
		u.Remedy = "let root own the extension socket and its directory"
	case errors.Is(err, context.DeadlineExceeded):
		u.State = evidence.StateDegraded
		u.Remedy = "osquery did not answer in time: look for slow scheduled queries"
	default:
		u.Remedy = "look into osqueryd's log; reading is tried again by itself"
	}
	return u
}
