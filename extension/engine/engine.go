package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/secret"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// Limits of one collect cycle.
const (
	// ReadLimit is the most records one read of a source returns.
	ReadLimit = 10_000
	// maxRounds bounds how often a source with more waiting is read in a cycle.
	maxRounds = 8
	// readTimeout bounds one read of a source: others don't wait for it.
	readTimeout = 20 * time.Second
	// maxBaselines bounds the users and families remembered.
	maxBaselines = 20_000
	// healthEvery is how often an unchanged health row is written again.
	healthEvery = 5 * time.Minute
	trimEvery   = 10 * time.Minute
	// learnAfter is how long a host is watched before something is called new.
	learnAfter = 3 * 24 * time.Hour
)

// Source is where evidence comes from.
type Source interface {
	// Name is the source's name in rows and health ("process_events").
	Name() string
	// Read returns what came after cursor (empty at first), at most limit
	// records. *evidence.Unavailable says that there is nothing to read from.
	Read(ctx context.Context, cursor string, limit int) (evidence.Batch, error)
}

// Options is what an Engine is made of.
type Options struct {
	Judge   *Judge
	Store   *store.Store
	Sources []Source
	Logger  hclog.Logger
	// Interval between collect cycles, 10 s by default.
	Interval time.Duration
	// HostID makes event ids unique across a fleet (the machine id).
	HostID string
	Host   string
	// Now is the clock; time.Now by default.
	Now func() time.Time
	// Users names user ids; nil leaves them as the source has them.
	Users interface {
		Name(ctx context.Context, uid string) string
	}
	// Static are health rows of parts that don't change (rules, configuration).
	Static []store.Health
}

// Engine runs the pipeline. One goroutine collects at a time.
type Engine struct {
	opts    Options
	nudge   chan struct{}
	mu      sync.Mutex // held during a collect cycle
	cursors map[string]string
	bases   map[store.BaselineKey]baseline.State
	written map[string]healthMark
	trimmed time.Time
	since   time.Time
	lineage *lineage
}

type healthMark struct {
	state, detail string
	at            time.Time
}

// New returns an engine that goes on where the store's cursors say.
func New(ctx context.Context, o Options) (*Engine, error) {
	if o.Interval <= 0 {
		o.Interval = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	e := &Engine{opts: o, nudge: make(chan struct{}, 1), written: map[string]healthMark{}, lineage: newLineage()}
	var err error
	if e.cursors, err = o.Store.Cursors(ctx); err != nil {
		return nil, err
	}
	if e.bases, err = o.Store.Baselines(ctx); err != nil {
		return nil, err
	}
	if err := e.bindState(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// bindState ties the state to this machine: a cloned image starts anew.
func (e *Engine) bindState(ctx context.Context) error {
	st := e.opts.Store
	id, err := st.Meta(ctx, "machine")
	if err != nil {
		return err
	}
	since, err := st.Meta(ctx, "learning_since")
	if err != nil {
		return err
	}
	if t, err := time.Parse(time.RFC3339, since); err == nil && (id == e.opts.HostID || id == "") {
		e.since = t
		return nil
	}
	e.since = e.opts.Now().UTC()
	if id != "" && id != e.opts.HostID {
		e.opts.Logger.Info("state belongs to another machine, learning starts anew", "state_machine", id)
		e.cursors, e.bases = map[string]string{}, map[store.BaselineKey]baseline.State{}
	}
	if err := st.SetMeta(ctx, "machine", e.opts.HostID); err != nil {
		return err
	}
	return st.SetMeta(ctx, "learning_since", e.since.Format(time.RFC3339))
}

// Of implements History.
func (e *Engine) Of(username, family string) (baseline.State, float64) {
	var host, days float64
	for k, s := range e.bases {
		if k.Family == family && k.Username != username {
			host += s.Count
			days = max(days, s.Days)
		}
	}
	if days > 0 {
		host /= days
	}
	return e.bases[store.BaselineKey{Username: username, Family: family}], host
}

// Learned implements History.
func (e *Engine) Learned() bool { return e.opts.Now().Sub(e.since) >= learnAfter }

// Run collects every interval, and when nudged, until ctx ends. It returns nil
// then.
func (e *Engine) Run(ctx context.Context) error {
	tick := time.NewTicker(e.opts.Interval)
	defer tick.Stop()
	for {
		if err := e.Collect(ctx); err != nil && ctx.Err() == nil {
			e.opts.Logger.Error("collect cycle failed", "error", err)
		}
		last := e.opts.Now()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-e.nudge:
			// At most one cycle a second, whoever reads.
			if wait := time.Second - e.opts.Now().Sub(last); wait > 0 {
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(min(wait, time.Second)):
				}
			}
		}
	}
}

// Nudge asks for a collect cycle soon and does not wait for it.
func (e *Engine) Nudge() {
	select {
	case e.nudge <- struct{}{}:
	default:
	}
}

// reading is what one source brought in a cycle.
type reading struct {
	source Source
	batch  evidence.Batch
	err    error
}

// Collect runs one cycle: read every source, judge, and commit rows, cursors and
// baselines together.
func (e *Engine) Collect(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for round := 0; round < maxRounds; round++ {
		more, err := e.cycle(ctx)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (e *Engine) cycle(ctx context.Context) (more bool, err error) {
	now := e.opts.Now()
	readings := e.read(ctx)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	b := &store.Batch{Now: now.Unix(), Cursors: map[string]string{}, Rules: map[string]store.RuleStat{}, Gaps: map[string][]evidence.Gap{}}
	matched := map[string]int64{}
	var events []*store.Event
	for _, p := range e.complete(ctx, readings) {
		ev, err := e.judge(p, now)
		if err != nil {
			e.opts.Logger.Error("could not judge a process", "source", p.Source, "error", err)
			continue
		}
		if ev != nil {
			matched[p.Source]++
			events = append(events, ev)
		}
	}
	for _, r := range readings {
		name := r.source.Name()
		if r.batch.Cursor != "" && r.batch.Cursor != e.cursors[name] {
			b.Cursors[name] = r.batch.Cursor
		}
		if len(r.batch.Gaps) > 0 {
			b.Gaps[name] = r.batch.Gaps
		}
		more = more || r.batch.More
	}
	events = merge(events)
	if events, err = e.opts.Store.Fresh(ctx, events); err != nil {
		return false, err
	}
	b.Events = events
	b.Baselines = e.learn(events)
	for _, ev := range events {
		for _, id := range splitIDs(ev.RuleIDs) {
			st := b.Rules[id]
			st.Matches++
			st.LastMatch = max(st.LastMatch, ev.Process.Time)
			b.Rules[id] = st
		}
	}
	b.Health = e.health(readings, matched, now)
	if len(b.Events)+len(b.Cursors)+len(b.Health)+len(b.Gaps) == 0 {
		return false, nil
	}
	if err := e.opts.Store.Commit(ctx, b); err != nil {
		return false, fmt.Errorf("commit a cycle: %w", err)
	}
	for k, v := range b.Cursors {
		e.cursors[k] = v
	}
	for k, v := range b.Baselines {
		e.bases[k] = v
	}
	for _, h := range b.Health {
		e.written[h.Component] = healthMark{h.State, h.Detail, now}
	}
	if len(events) > 0 {
		e.opts.Logger.Debug("collected", "events", len(events))
	}
	if now.Sub(e.trimmed) >= trimEvery {
		e.trimmed = now
		if n, err := e.opts.Store.Trim(ctx, now.Unix()); err != nil {
			return more, err
		} else if n > 0 {
			e.opts.Logger.Info("removed old events", "count", n)
		}
	}
	return more, nil
}

// complete puts the processes of all sources in the order of time and fills in
// what another event tells: users' names, the parent, the ancestry.
func (e *Engine) complete(ctx context.Context, readings []reading) []*evidence.Process {
	var all []*evidence.Process
	for _, r := range readings {
		for i := range r.batch.Processes {
			all = append(all, &r.batch.Processes[i])
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Time < all[j].Time })
	// A parent and its child often share a second, in either order of arrival:
	// remember first, then look up.
	for _, p := range all {
		e.lineage.remember(p)
	}
	for _, p := range all {
		if p.Host == "" {
			p.Host = e.opts.Host
		}
		e.lineage.complete(p)
		if e.opts.Users == nil || p.ContainerID != "" {
			continue // ids in a container are its own
		}
		if p.Username == "" {
			p.Username = e.opts.Users.Name(ctx, p.UID)
		}
		if p.LoginUser == "" {
			p.LoginUser = e.opts.Users.Name(ctx, p.LoginUID)
		}
	}
	return all
}

// read asks every source at once, so that a slow one delays no other's time.
func (e *Engine) read(ctx context.Context) []reading {
	out := make([]reading, len(e.opts.Sources))
	var wg sync.WaitGroup
	for i, s := range e.opts.Sources {
		wg.Add(1)
		go func() {
			defer wg.Done()
			out[i] = e.readOne(ctx, s)
		}()
	}
	wg.Wait()
	return out
}

func (e *Engine) readOne(ctx context.Context, s Source) (r reading) {
	r.source = s
	defer func() {
		// A source that panics is a failed source, not a dead extension.
		if v := recover(); v != nil {
			r.batch, r.err = evidence.Batch{}, fmt.Errorf("source %s panicked: %v", s.Name(), v)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r.batch, r.err = s.Read(ctx, e.cursors[s.Name()], ReadLimit)
	return r
}

// judge makes an event of a process, nil when no rule matched.
func (e *Engine) judge(p *evidence.Process, now time.Time) (ev *store.Event, err error) {
	defer func() {
		if r := recover(); r != nil {
			ev, err = nil, fmt.Errorf("judge panicked: %v", r)
		}
	}()
	v := e.opts.Judge.Judge(p, e, now)
	if !v.Matched {
		return nil, nil
	}
	return e.event(p, v, now), nil
}

// event writes a verdict as a row: masked, printable, bounded.
func (e *Engine) event(p *evidence.Process, v Verdict, now time.Time) *store.Event {
	identity := identityOf(p)
	ev := &store.Event{
		Recorded: now.Unix(), Identity: identity,
		Score: v.Score, Severity: v.Severity, Scope: string(v.Scope), Family: v.Family,
		RuleIDs: jsonText(v.RuleIDs), Reasons: jsonText(v.Reasons), Technique: v.Technique,
		Canonical: jsonText(clean(v.Canonical)), RemoteHost: printable(v.RemoteHost), Attribution: string(v.Attribution.Kind),
		Process: *p,
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d\x00%d", e.opts.HostID, p.Time, p.PID, identity))
	ev.EventID = hex.EncodeToString(sum[:10])
	switch p.Elevated {
	case evidence.Yes:
		ev.Elevated = "1"
	case evidence.No:
		ev.Elevated = "0"
	}
	q := &ev.Process
	q.CmdLine, q.ParentCmdLine = present(p.CmdLine), present(p.ParentCmdLine)
	chain := make([]map[string]any, 0, len(p.Ancestry))
	for _, a := range p.Ancestry {
		chain = append(chain, map[string]any{"pid": a.PID, "path": printable(a.Path), "cmdline": present(a.CmdLine)})
	}
	ev.Ancestry = jsonText(chain)
	for _, s := range []*string{&q.Path, &q.ParentPath, &q.UID, &q.Username, &q.LoginUser, &q.LoginSource, &q.LogonID, &q.Session, &q.ContainerID, &q.CWD, &q.Host, &q.Source, &q.EID} {
		*s = printable(strings.ToValidUTF8(*s, "\ufffd"))
	}
	return ev
}

// maxText bounds a text column.
const maxText = 16 << 10

// present masks, cuts and cleans a command line for storing.
func present(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "..."
	}
	s, _ = secret.MaskIn(strings.ToValidUTF8(s, "\ufffd"))
	return printable(s)
}

func clean(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = printable(strings.ToValidUTF8(s, "\ufffd"))
	}
	return out
}

// identityOf is the same for one process start whichever source saw it: sources
// differ in quoting and in the time by a little.
func identityOf(p *evidence.Process) int64 {
	h := sha256.New()
	var pid [8]byte
	binary.LittleEndian.PutUint64(pid[:], uint64(p.PID))
	h.Write(pid[:])
	if p.PID == 0 {
		fmt.Fprintf(h, "%s\x00%s\x00%d", p.Source, p.EID, p.Time)
	}
	words := strings.FieldsFunc(p.CmdLine, func(r rune) bool {
		return r == ' ' || r == '\t' || r == '\n' || r == '\'' || r == '"' || r == '\\'
	})
	for _, w := range words {
		h.Write([]byte(w))
		h.Write([]byte{0})
	}
	return int64(binary.LittleEndian.Uint64(h.Sum(nil)) >> 1)
}

// merge makes one event of sightings of one process start in a cycle; the first
// names all sources.
func merge(events []*store.Event) []*store.Event {
	sort.SliceStable(events, func(i, j int) bool { return events[i].Process.Time < events[j].Process.Time })
	byIdentity := map[int64]*store.Event{}
	out := events[:0]
	for _, ev := range events {
		first, ok := byIdentity[ev.Identity]
		if ok && ev.Process.Time-first.Process.Time <= 5 {
			if !strings.Contains(","+first.Process.Source+",", ","+ev.Process.Source+",") {
				first.Process.Source += "," + ev.Process.Source
			}
			fill(first, ev)
			continue
		}
		byIdentity[ev.Identity] = ev
		out = append(out, ev)
	}
	return out
}

// fill takes what only the second sighting knows.
func fill(to, from *store.Event) {
	a, b := &to.Process, &from.Process
	for _, f := range []struct{ to, from *string }{
		{&a.Path, &b.Path}, {&a.ParentPath, &b.ParentPath}, {&a.ParentCmdLine, &b.ParentCmdLine}, {&a.CWD, &b.CWD},
		{&a.Username, &b.Username}, {&a.UID, &b.UID}, {&a.LoginUser, &b.LoginUser}, {&a.LoginSource, &b.LoginSource},
		{&a.Session, &b.Session}, {&a.ContainerID, &b.ContainerID}, {&a.LogonID, &b.LogonID}, {&to.Elevated, &from.Elevated},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	if len(from.Ancestry) > len(to.Ancestry) {
		to.Ancestry = from.Ancestry
	}
	if a.ParentPID == 0 {
		a.ParentPID = b.ParentPID
	}
}

// learn observes fresh events and returns the baselines that changed.
func (e *Engine) learn(events []*store.Event) map[store.BaselineKey]baseline.State {
	changed := map[store.BaselineKey]baseline.State{}
	for _, ev := range events {
		if ev.Scope == "single" {
			continue
		}
		k := store.BaselineKey{Username: ev.Process.Username, Family: ev.Family}
		st, ok := changed[k]
		if !ok {
			st, ok = e.bases[k]
			if !ok && len(e.bases)+len(changed) >= maxBaselines {
				continue
			}
		}
		changed[k] = st.Observe(ev.Process.Time)
	}
	return changed
}

// health returns the rows that changed since they were written last.
func (e *Engine) health(readings []reading, matched map[string]int64, now time.Time) []store.Health {
	var out []store.Health
	add := func(h store.Health) {
		m, ok := e.written[h.Component]
		if ok && m.state == h.State && m.detail == h.Detail && now.Sub(m.at) < healthEvery && h.Read+h.Matched+h.Dropped+h.Gaps == 0 {
			return
		}
		h.Checked = now.Unix()
		out = append(out, h)
	}
	for _, h := range e.opts.Static {
		add(h)
	}
	for _, r := range readings {
		h := store.Health{Component: r.source.Name(), State: evidence.StateOK, Read: r.batch.Read, Matched: matched[r.source.Name()],
			Dropped: r.batch.Dropped, Gaps: int64(len(r.batch.Gaps))}
		var off *evidence.Unavailable
		switch {
		case errors.As(r.err, &off):
			h.State, h.Detail, h.Remedy = off.State, off.Detail, off.Remedy
		case r.err != nil:
			h.State, h.Detail = evidence.StateFailed, r.err.Error()
		case r.batch.Dropped > 0 || len(r.batch.Gaps) > 0:
			h.State = evidence.StateDegraded
			h.Detail = "records were lost"
			if len(r.batch.Gaps) > 0 {
				h.Detail = r.batch.Gaps[len(r.batch.Gaps)-1].Reason
			}
		}
		for i := range r.batch.Processes {
			h.LastEvent = max(h.LastEvent, r.batch.Processes[i].Time)
		}
		add(h)
	}
	return out
}

// splitIDs reads the JSON list this package wrote.
func splitIDs(s string) []string {
	s = strings.Trim(s, "[]")
	if s == "" {
		return nil
	}
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.Trim(parts[i], `"`)
	}
	return parts
}
