package core

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

const (
	checkInterval = time.Minute
	firstRetry    = 2 * time.Second
	// failureLife is how long the failure to ask osquery stands for all sources.
	failureLife = time.Second

	// A log that has records will have some an hour later; one that has none may get
	// some when somebody turns something on.
	loggedLife = time.Hour
	silentLife = 10 * time.Minute

	// stalledAfter is how long an audit publisher may be without a new event before
	// somebody else is suspected to get them.
	stalledAfter = 5 * time.Minute
)

// watch knows what one osquery can see, for all sources that read from it.
type watch struct {
	q        Querier
	clock    Clock
	platform evidence.Platform
	specs    []spec

	turn chan struct{} // held by who asks

	// Guarded by turn.
	caps   *Capabilities
	at     time.Duration
	over   int64                            // the connection it was asked over
	off    map[string]*evidence.Unavailable // sources that are not to be read
	failed error
	failAt time.Duration
	logs   map[Log]sighting
	audit  stall
}

// sighting is whether a log had records at a time.
type sighting struct {
	has bool
	at  time.Duration
}

// stall is since when a publisher's count of events stands where it stands.
type stall struct {
	events int64
	since  time.Duration
	known  bool
}

func newWatch(q Querier, platform evidence.Platform, clock Clock, specs []spec) *watch {
	return &watch{q: q, clock: clock, platform: platform, specs: specs, turn: make(chan struct{}, 1), logs: map[Log]sighting{}}
}

// look returns what osquery can see, as of at most age ago, and what keeps the
// named source from being read.
func (w *watch) look(ctx context.Context, name string, age time.Duration) (*Capabilities, *evidence.Unavailable, error) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("asking osquery what it can see: %w", ctx.Err())
	}
	_, now := w.clock()
	if w.caps == nil || now-w.at >= age || w.over != connections(w.q) {
		if w.failed != nil && now-w.failAt < failureLife && now >= w.failAt && age > 0 {
			return nil, nil, w.failed
		}
		if err := w.ask(ctx, now); err != nil {
			w.failed, w.failAt = nil, now
			if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
				w.failed = err
			}
			return nil, nil, err
		}
	}
	return w.caps, w.off[name], nil
}

func (w *watch) ask(ctx context.Context, now time.Duration) error {
	caps, err := Discover(ctx, w.q)
	if err != nil {
		return err
	}
	switch w.platform {
	case evidence.Linux:
		err = w.holder(ctx, caps, now)
	case evidence.Windows:
		err = w.sight(ctx, caps, now)
	}
	if err != nil {
		return err
	}
	w.caps, w.at, w.over, w.failed = caps, now, connections(w.q), nil
	w.off = map[string]*evidence.Unavailable{}
	for _, c := range plan(caps, w.specs) {
		w.off[c.Source] = c.Off
	}
	return nil
}

const auditPublisher = "auditeventpublisher"

// auditDaemons are programs that take the kernel's audit for themselves.
var auditDaemons = []string{"auditd", "auditbeat", "go-audit"}

// holder finds the program that holds the kernel's audit when osquery's publisher
// runs but gets nothing: the publisher does not tell.
func (w *watch) holder(ctx context.Context, caps *Capabilities, now time.Duration) error {
	publisher := caps.Publishers[auditPublisher]
	if disabled, _ := caps.Flag("disable_audit"); disabled || !publisher.Active {
		w.audit = stall{}
		return nil
	}
	if !w.audit.known || w.audit.events != publisher.Events {
		w.audit = stall{events: publisher.Events, since: now, known: true}
	}
	if publisher.Events > 0 && now-w.audit.since < stalledAfter {
		return nil
	}
	sql, err := Render(squirrel.Select("pid", "name").From("processes").Where(squirrel.Eq{"name": auditDaemons}).Limit(1))
	if err != nil {
		return err
	}
	err = w.q.Query(ctx, sql, func(r *Row) error {
		caps.AuditHolder = r.Get("name") + " (pid " + r.Get("pid") + ")"
		return nil
	})
	return w.minor(err, "asking osquery for audit daemons")
}

// sight looks which of the event logs that sources need have records at all. A
// channel that is not there, one without records and one that osquery may not
// read look alike.
func (w *watch) sight(ctx context.Context, caps *Capabilities, now time.Duration) error {
	caps.Logs = map[Log]bool{}
	if !caps.Tables[windowsEventlog] {
		return nil
	}
	var logs []Log
	for _, s := range w.specs {
		if s.needs.log.Channel != "" {
			logs = append(logs, s.needs.log)
		}
		logs = append(logs, s.asks...)
	}
	for _, log := range logs {
		seen, known := w.logs[log]
		life := silentLife
		if seen.has {
			life = loggedLife
		}
		if !known || now-seen.at >= life || now < seen.at {
			found, err := w.probe(ctx, log)
			if err != nil {
				return err
			}
			seen = sighting{has: found, at: now}
			w.logs[log] = seen
		}
		caps.Logs[log] = seen.has
	}
	return nil
}

// probe reads the newest record of a log: osquery makes rows as they are taken, so
// that LIMIT 1 costs one row.
func (w *watch) probe(ctx context.Context, log Log) (found bool, err error) {
	xpath := logQuery{channel: log.Channel}
	if log.ID != 0 {
		xpath = logQuery{channel: log.Channel, ids: []int64{log.ID}, recent: 24 * time.Hour}
	}
	sql, err := Render(squirrel.Select("datetime").From(windowsEventlog).Where(squirrel.Eq{"xpath": xpath.text()}).Limit(1))
	if err != nil {
		return false, err
	}
	err = w.q.Query(ctx, sql, func(*Row) error {
		found = true
		return nil
	})
	return found, w.minor(err, "looking into event log "+log.Channel)
}

// minor lets go what osquery itself refuses: it is no reason to know nothing.
func (w *watch) minor(err error, what string) error {
	var status *StatusError
	if err == nil || errors.As(err, &status) {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// gate decides whether a source is read now. It is not safe for concurrent use.
type gate struct {
	watch *watch
	name  string
	needs needs

	checked bool
	at      time.Duration
	over    int64         // the connection that it was checked over
	retry   time.Duration // until the next look while there is trouble
	caps    *Capabilities
	trouble error
}

func newGate(w *watch, s spec) gate { return gate{watch: w, name: s.name, needs: s.needs} }

// pass finds out, once a minute, whether the source can be read. While it cannot,
// it looks again sooner: osquery starts its publishers after it has loaded the
// extensions.
func (g *gate) pass(ctx context.Context) error {
	_, now := g.watch.clock()
	wait := checkInterval
	if g.trouble != nil {
		wait = g.retry
	}
	if g.checked && now-g.at < wait && g.over == connections(g.watch.q) {
		return g.trouble
	}
	age := wait
	if !g.checked {
		age = 0 // something was not as it had been
		if g.caps == nil {
			age = firstRetry
		}
	}
	caps, off, err := g.watch.look(ctx, g.name, age)
	if err != nil {
		g.checked = false
		return g.unavailable(ctx, err)
	}
	g.checked, g.at, g.over, g.caps, g.trouble = true, now, connections(g.watch.q), caps, nil
	if off != nil {
		g.trouble = off
		g.retry = min(max(2*g.retry, firstRetry), checkInterval)
	} else {
		g.retry = 0
	}
	return g.trouble
}

// unavailable says what an error means to who looks after the host. The caller's
// own cancellation stays what it is.
func (g *gate) unavailable(ctx context.Context, err error) error {
	if cause := ctx.Err(); errors.Is(cause, context.Canceled) {
		return fmt.Errorf("reading %s: %w", g.name, cause)
	}
	u := &evidence.Unavailable{State: evidence.StateFailed, Detail: err.Error()}
	var status *StatusError
	var already *evidence.Unavailable
	switch {
	case errors.As(err, &already):
		return already
	case missingTable(err):
		g.checked = false // it was there when we looked
		return g.needs.absent()
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
