package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/engine/brake"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// Limits of one collect cycle.
const (
	// ReadLimit is the most records one read of a source returns: they are all in memory
	// at once.
	ReadLimit = 2_500
	// maxRounds bounds how often a source with more waiting is read in a cycle.
	maxRounds = 32
	// readTimeout bounds one read of a source, unless Options say otherwise.
	readTimeout = 20 * time.Second
	// maxBaselines bounds the users and families remembered.
	maxBaselines = 20_000
	// healthEvery is how often an unchanged health row is written again.
	healthEvery = 5 * time.Minute
	trimEvery   = 10 * time.Minute
	// maxStep is how far a clock goes on between two cycles unless somebody sets it.
	maxStep = 24 * time.Hour
	// muchRead is how many records make a collection whose memory is given back at once:
	// until the next collector's cycle it would be most of what is resident.
	muchRead = 5_000
	// calmAfter is for how long nobody asks for another collection when it is calm.
	calmAfter = time.Second
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

// Volatile is a source that holds in memory alone what it was not asked for yet: it is
// asked once more at the end.
type Volatile interface {
	Source
	// Volatile reports whether there can be such a thing now.
	Volatile() bool
}

// Patient is a source that compares how things are with how they were: to read it later
// loses nothing but time.
type Patient interface {
	Source
	Patient() bool
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
	// Administrator tells whether a user is in a group of this host's administrators;
	// nil when nobody knows.
	Administrator func(ctx context.Context, username string) evidence.Tristate
	// ReadTimeout bounds one read of a source, 20 s by default. A source that does
	// not end then is left to itself, and what it brings is taken when it comes.
	ReadTimeout time.Duration
	// Incidents says how evidence is joined; incident.Default by default.
	Incidents *incident.Config
	// Look tells what the host shows of an incident now; nil when the evidence is of
	// other hosts.
	Look Looker
	// WantLogons asks for the logons of this host in a span of time, around an
	// incident; nil where they are read anyhow.
	WantLogons func(from, to int64)
	// Parts are the health rows of what runs beside the engine; nil for none.
	Parts func() []store.Health
	// Whole is for recorded evidence, of any host: the row of every command is stored,
	// floods too, and HostID is not of what it tells.
	Whole bool
	// Paused collects nothing until Apply says otherwise.
	Paused bool
	// Brake keeps the processor time of the whole process within a budget; nil for none.
	Brake *brake.Brake
	// Static are health rows of parts that don't change (rules, configuration).
	Static []store.Health
}

// Engine runs the pipeline. One goroutine collects at a time.
type Engine struct {
	opts    Options
	nudge   chan struct{}
	hurry   chan struct{}
	mu      sync.Mutex // held during a collect cycle
	readers []*reader
	cursors map[string]string
	bases   map[store.BaselineKey]baseline.State
	written map[string]healthMark
	trimmed time.Time
	records int64 // read in the last collection
	largest int64 // of one source, in the last round
	waiting bool  // it left something to be read, because of the brake
	braking braking
	since   time.Time
	lineage *lineage
	moments moments // of this cycle
	echoes  *echoes
	joined  joined
	book    *incident.Book
	// hours is the hour in which something was learned of a user last, so that it is
	// learned once.
	hours    map[store.BaselineKey]int64
	names    names
	sessions sessions
	starts   starts
	recall   recall
	sampling sampling
	states   atomic.Pointer[map[string]State] // of the sources, as of the last cycle
}

// State is how a source is.
type State struct{ State, Detail string }

// States are how the sources are, by name, as of the last cycle.
func (e *Engine) States() map[string]State {
	if p := e.states.Load(); p != nil {
		return *p
	}
	return nil
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
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = readTimeout
	}
	e := &Engine{opts: o, nudge: make(chan struct{}, 1), hurry: make(chan struct{}, 1), written: map[string]healthMark{}, lineage: newLineage(), echoes: newEchoes(), hours: map[store.BaselineKey]int64{}, names: names{}}
	for _, s := range o.Sources {
		e.readers = append(e.readers, &reader{source: s})
	}
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
	if err := e.openJoined(ctx); err != nil {
		return nil, err
	}
	if err := e.openBook(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// evidenceID is the machine id that belongs to the evidence, empty where that is of any
// machine: ids of the same records are then the same wherever they are read.
func (e *Engine) evidenceID() string {
	if e.opts.Whole {
		return ""
	}
	return e.opts.HostID
}

// bindState ties the state to this machine: a cloned image starts anew.
func (e *Engine) bindState(ctx context.Context) error {
	id, since, err := e.opts.Store.Bound(ctx)
	if err != nil {
		return err
	}
	if t, err := time.Parse(time.RFC3339, since); err == nil && id == e.opts.HostID {
		e.since = t
		return nil
	}
	e.since = e.opts.Now().UTC()
	if id != "" && id != e.opts.HostID {
		e.opts.Logger.Info("state belongs to another machine, learning starts anew", "state_machine", id)
		e.cursors, e.bases = map[string]string{}, map[store.BaselineKey]baseline.State{}
	}
	return e.opts.Store.Bind(ctx, e.opts.HostID, e.since.Format(time.RFC3339))
}

// Run collects every interval, and when nudged, until ctx ends. It returns nil
// then.
func (e *Engine) Run(ctx context.Context) error {
	tick := time.NewTicker(e.opts.Interval)
	defer tick.Stop()
	calm := time.NewTimer(calmAfter)
	calm.Stop()
	defer calm.Stop()
	var much time.Time // when a collection took much last
	for {
		if err := e.Collect(ctx); err != nil && ctx.Err() == nil {
			e.opts.Logger.Error("collect cycle failed", "error", err)
		}
		calm.Stop()
		if e.tookMuch() {
			much = time.Now()
			debug.FreeOSMemory()
		} else if time.Since(much) < 2*e.opts.Interval {
			// One that was asked for between two that take much leaves its memory as well.
			calm.Reset(calmAfter)
		}
		last := e.opts.Now()
		switch {
		case !e.rest(ctx):
			return nil
		case e.left():
			continue
		}
		if !e.await(ctx, last, tick.C, calm.C) {
			return nil
		}
	}
}

// await waits until it is time to collect again after the last time, and gives memory back
// when it is calm; false says that ctx ended.
func (e *Engine) await(ctx context.Context, last time.Time, tick, calm <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-calm:
			debug.FreeOSMemory()
		case <-tick:
			return true
		case <-e.hurry:
			return true
		case <-e.nudge:
			// At most one cycle a second, whoever reads.
			if wait := time.Second - e.opts.Now().Sub(last); wait > 0 {
				select {
				case <-ctx.Done():
					return false
				case <-time.After(min(wait, time.Second)):
				}
			}
			return true
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

// Collect runs one cycle: read every source, judge, and commit rows, cursors and
// baselines together.
func (e *Engine) Collect(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.records = 0
	return e.collect(ctx, e.readers)
}

// Finish takes what volatile sources still hold, once Run has ended.
func (e *Engine) Finish(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var last []*reader
	for _, r := range e.readers {
		if v, ok := r.source.(Volatile); ok && v.Volatile() {
			last = append(last, r)
		}
	}
	if len(last) == 0 {
		return nil
	}
	// What the brake leaves is lost now.
	for range maxRounds {
		if more, err := e.cycle(ctx, last); err != nil || !more {
			return err
		}
	}
	return nil
}

func (e *Engine) collect(ctx context.Context, readers []*reader) error {
	for round := 0; round < maxRounds; round++ {
		e.opts.Brake.Begin(e.opts.Now())
		more, err := e.cycle(ctx, readers)
		e.lineage.rest()
		wait := e.opts.Brake.Done(e.opts.Now(), e.largest, more)
		e.waiting = wait && more && err == nil
		if err != nil || !more || wait {
			return err
		}
	}
	return nil
}

// tookMuch reports whether the last collection read so much that its memory counts.
func (e *Engine) tookMuch() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.records >= muchRead
}

func (e *Engine) cycle(ctx context.Context, readers []*reader) (more bool, err error) {
	now := e.opts.Now()
	if e.opts.Paused {
		b := &store.Batch{Now: now.Unix(), Health: e.health(nil, nil, now)}
		if b.Empty() {
			return false, nil
		}
		if err := e.commit(ctx, b); err != nil {
			return false, fmt.Errorf("commit a cycle: %w", err)
		}
		e.wrote(b, now)
		return false, nil
	}
	e.largest = 0
	readings := e.read(ctx, e.due(readers, now))
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	now = e.opts.Now() // of recorded evidence, the clock is known only now
	b := &store.Batch{Now: now.Unix(), Cursors: map[string]string{}, Rules: map[string]store.RuleStat{}, Gaps: map[string][]evidence.Gap{}}
	for _, r := range readings {
		name := r.source.Name()
		if r.batch.Cursor != "" && r.batch.Cursor != e.cursors[name] {
			b.Cursors[name] = r.batch.Cursor
		}
		if len(r.batch.Gaps) > 0 {
			b.Gaps[name] = r.batch.Gaps
		}
		more = more || r.batch.More
		r.reader.more = r.batch.More
		e.records += r.batch.Read
		e.largest = max(e.largest, r.batch.Read)
	}
	all, echoed := e.complete(ctx, readings)
	sightings, contexts, matched := e.sight(all, echoed)
	sightings, resighted, err := e.fresh(ctx, sightings)
	b.Resighted = resighted
	if e.joined.changed {
		b.Cursors[joinedCursor] = e.joined.text(now.Unix())
	}
	if err != nil {
		// A write mends what a read found damaged; the evidence comes again.
		nothing := &store.Batch{Now: now.Unix(), Cursors: map[string]string{}, Baselines: map[store.BaselineKey]baseline.State{}}
		return false, errors.Join(err, e.commit(ctx, nothing))
	}
	h := &history{known: e.bases, changed: map[store.BaselineKey]baseline.State{}, learned: now.Sub(e.since) >= learnAfter, now: now.Unix()}
	if e.opts.Administrator != nil {
		h.admins = func(username string) evidence.Tristate { return e.opts.Administrator(ctx, username) }
	}
	facts := incident.Facts{Now: now.Unix()}
	installs, err := e.installs(ctx, readings, now)
	if err != nil {
		return false, err
	}
	e.learnSessions(all, h) // who becomes root as the system allows is known at once
	e.moments = nil         // processes came since
	rejudged := e.rejudge(h, now)
	young := e.judgeInstalls(installs, h, now, &facts)
	e.judgeCommands(sightings, young, b, h, now, &facts)
	for _, c := range contexts {
		facts.Contexts = append(facts.Contexts, e.contextOf(c.process, c.verdict))
	}
	e.around(ctx, readings, h, now, &facts)
	e.tell(ctx, b, installs, facts)
	if !e.opts.Whole {
		e.sampling.thin(b, now, e.sampled())
	}
	b.Baselines = h.changed
	b.Health = e.health(readings, matched, now)
	if b.Empty() {
		rejudged()
		return more, nil
	}
	if err := e.commit(ctx, b); err != nil {
		// What the book took in comes again with the evidence.
		e.joined = joined{}
		return false, errors.Join(fmt.Errorf("commit a cycle: %w", err), e.openBook(ctx))
	}
	e.joined.changed = false
	rejudged()
	for k, v := range b.Cursors {
		e.cursors[k] = v
	}
	for k, v := range b.Baselines {
		e.bases[k] = v
	}
	e.wrote(b, now)
	if len(b.Events) > 0 {
		e.opts.Logger.Debug("collected", "events", len(b.Events))
	}
	since := now.Sub(e.trimmed)
	if since < 0 || since >= maxStep {
		e.trimmed = now // a clock that was just set says nothing about what is old
	}
	if since >= trimEvery && since < maxStep && !e.deferred(since-trimEvery) {
		e.trimmed = now
		if n, err := e.opts.Store.Trim(ctx, now.Unix()); err != nil {
			return more, err
		} else if n > 0 {
			level := hclog.Info
			if e.opts.Whole {
				level = hclog.Error // who reads recorded evidence asks about all of it
			}
			e.opts.Logger.Log(level, "removed the oldest events: more than are kept", "count", n, "kept", store.MaxEvents)
		}
	}
	return more, nil
}

// wrote remembers which health rows are written.
func (e *Engine) wrote(b *store.Batch, now time.Time) {
	for _, h := range b.Health {
		e.written[h.Component] = healthMark{h.State, h.Detail, now}
	}
}

// Apply takes another judge, other rules for incidents and other health rows of what
// the configuration says, from the next cycle on.
func (e *Engine) Apply(judge *Judge, cfg incident.Config, enabled bool, static []store.Health) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opts.Judge, e.opts.Incidents, e.opts.Paused = judge, &cfg, !enabled
	cfg.HostUUID, cfg.Weights = e.evidenceID(), judge.Weights
	e.book.Reconfigure(cfg)
	for _, h := range static {
		i := slices.IndexFunc(e.opts.Static, func(s store.Health) bool { return s.Component == h.Component })
		if i < 0 {
			e.opts.Static = append(e.opts.Static, h)
			continue
		}
		e.opts.Static = slices.Clone(e.opts.Static)
		e.opts.Static[i] = h
	}
}

// commit writes a batch. When the store had to begin a new database, everything the
// engine knows goes with it.
func (e *Engine) commit(ctx context.Context, b *store.Batch) error {
	err := e.opts.Store.Commit(ctx, b)
	if !errors.Is(err, store.ErrRecovered) {
		return err
	}
	e.opts.Logger.Error("the state was damaged", "error", err)
	if err := e.opts.Store.Bind(ctx, e.opts.HostID, e.since.Format(time.RFC3339)); err != nil {
		return err
	}
	for k, v := range e.cursors {
		if _, ok := b.Cursors[k]; !ok {
			b.Cursors[k] = v
		}
	}
	for k, v := range e.bases {
		if _, ok := b.Baselines[k]; !ok {
			b.Baselines[k] = v
		}
	}
	e.written = map[string]healthMark{}
	for i, h := range e.opts.Static {
		if h.Component == "store" {
			e.opts.Static = slices.Clone(e.opts.Static)
			e.opts.Static[i].State, e.opts.Static[i].Detail = evidence.StateDegraded, err.Error()
		}
	}
	return e.opts.Store.Commit(ctx, b)
}

// hostOf is the host that evidence is of: this one where it names none. Windows' event
// log calls it by its name and domain, everything else by its name alone.
func (e *Engine) hostOf(platform evidence.Platform, name string) string {
	if name == "" {
		return e.opts.Host
	}
	if first, domain, full := strings.Cut(name, "."); full && domain != "" && platform == evidence.Windows && strings.EqualFold(first, e.opts.Host) {
		return e.opts.Host
	}
	return name
}

// complete puts the processes of all sources in the order of time and fills in
// what another event tells: users' names, the parent, the ancestry. What was told of
// before is apart.
func (e *Engine) complete(ctx context.Context, readings []reading) ([]*evidence.Process, []echo) {
	var all []*evidence.Process
	for _, r := range readings {
		for i := range r.batch.Processes {
			all = append(all, &r.batch.Processes[i])
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Time < all[j].Time })
	for _, p := range all {
		p.Host = e.hostOf(p.Platform, p.Host)
	}
	for _, r := range readings {
		for i := range r.batch.Logons {
			l := &r.batch.Logons[i]
			e.fill(ctx, l.Platform, &l.Host, &l.Username, l.UID)
			e.names.learn(l.Platform, l.Host, l.UID, l.Username)
			e.sessions.remember(l)
		}
		for i := range r.batch.Changes {
			if c := &r.batch.Changes[i]; c.Kind == evidence.ChangeRestart {
				e.starts.remember(nonEmpty(c.Host, e.opts.Host), c.Time)
			}
		}
	}
	for _, p := range all {
		if p.ContainerID != "" {
			continue // ids in a container are its own
		}
		if firstProcess(p) {
			e.starts.remember(p.Host, p.Time)
		}
		e.names.learn(p.Platform, p.Host, p.UID, p.Username)
		if !noLogin(p.LoginUID) {
			e.names.learn(p.Platform, p.Host, p.LoginUID, p.LoginUser)
		}
		e.fill(ctx, p.Platform, &p.Host, &p.Username, p.UID)
		if !noLogin(p.LoginUID) {
			e.fill(ctx, p.Platform, &p.Host, &p.LoginUser, p.LoginUID)
		}
	}
	for _, p := range all {
		login := loginOf(p)
		if p.LoginSource == "" && (login != "" || p.LogonID != "") {
			p.LoginSource = e.sessions.from(p.Host, login, p.LogonID, p.Time)
		}
	}
	all, echoed := e.echoes.part(all)
	// A parent and its child often share a second, in either order of arrival:
	// remember first, then look up.
	for _, p := range all {
		if !scriptBlock(p) {
			e.lineage.remember(p)
		}
	}
	for _, p := range all {
		if scriptBlock(p) {
			e.lineage.within(p)
		}
		e.lineage.complete(p)
		if p.LoginUser == "" && p.LoginUID == "" && p.ContainerID == "" {
			p.LoginUser = e.lineage.caller(p)
		}
	}
	return all, echoed
}

// judge makes an event of a process that matched.
func (e *Engine) judge(s *sighting, h History, around Surroundings, now time.Time) (ev *store.Event, v Verdict, err error) {
	err = guarded(func() {
		v = e.opts.Judge.verdict(&s.event.Process, s.understood, h, around, now)
		ev = e.event(&s.event.Process, s.event.Identity, v, now)
	})
	return ev, v, err
}

// event writes a verdict as a row: masked, printable, bounded.
func (e *Engine) event(p *evidence.Process, identity int64, v Verdict, now time.Time) *store.Event {
	ev := &store.Event{
		Recorded: now.Unix(), Identity: identity,
		Score: v.Score, Severity: v.Severity, Scope: string(v.Scope), Family: shown(v.Family),
		RuleIDs: jsonText(v.RuleIDs), Reasons: jsonText(v.Reasons), Technique: v.Technique,
		Canonical: jsonText(presentAll(v.Canonical)), RemoteHost: shown(v.RemoteHost), Attribution: string(v.Attribution.Kind),
		Process: *p,
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d\x00%d", e.evidenceID(), p.Time, p.PID, identity))
	if p.PID == 0 { // then the source's own id tells it from the next
		sum = sha256.Sum256(fmt.Appendf(sum[:], "%s\x00%s", p.Source, p.EID))
	}
	ev.EventID = hex.EncodeToString(sum[:10])
	switch p.Elevated {
	case evidence.Yes:
		ev.Elevated = "1"
	case evidence.No:
		ev.Elevated = "0"
	}
	q := &ev.Process
	ev.Ancestry = ancestryText(p.Ancestry)
	shownProcess(q)
	return ev
}

// ancestryText is an ancestry as it is stored.
func ancestryText(ancestry []evidence.Ancestor) string {
	chain := make([]ancestorText, 0, len(ancestry))
	for i, a := range ancestry {
		if i == maxAncestors {
			break
		}
		cmd := a.CmdLine
		if len(cmd) > maxRemembered {
			cmd = cmd[:maxRemembered]
		}
		chain = append(chain, ancestorText{present(cmd), shown(a.Path), a.PID})
	}
	return jsonText(chain)
}

// ancestorText is one of a stored ancestry.
type ancestorText struct {
	CmdLine string `json:"cmdline"`
	Path    string `json:"path"`
	PID     int64  `json:"pid"`
}

// ancestorsIn reads the JSON list this package wrote.
func ancestorsIn(text string) []evidence.Ancestor {
	var chain []ancestorText
	if err := json.Unmarshal([]byte(text), &chain); err != nil {
		return nil
	}
	out := make([]evidence.Ancestor, len(chain))
	for i, a := range chain {
		out[i] = evidence.Ancestor{PID: a.PID, Path: a.Path, CmdLine: a.CmdLine}
	}
	return out
}

// shownProcess makes the texts of a process fit to be stored.
func shownProcess(q *evidence.Process) {
	q.CmdLine, q.ParentCmdLine = present(q.CmdLine), present(q.ParentCmdLine)
	for _, s := range []*string{&q.Path, &q.ParentPath, &q.UID, &q.Username, &q.LoginUser, &q.LoginSource, &q.LogonID, &q.Session, &q.ContainerID, &q.CWD, &q.Host, &q.Source, &q.EID} {
		*s = shown(*s)
	}
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
	if e.opts.Parts != nil {
		for _, h := range e.opts.Parts() {
			add(h)
		}
	}
	if e.opts.Paused {
		add(store.Health{Component: "collector", State: evidence.StateOff, Detail: "switched off by the configuration (enabled: false)", Remedy: "set enabled: true"})
	} else if _, was := e.written["collector"]; was {
		add(store.Health{Component: "collector", State: evidence.StateOK})
	}
	add(e.sampling.health(now))
	if e.opts.Brake != nil {
		add(e.brakeHealth(now))
	}
	states := make(map[string]State, len(readings))
	defer func() { e.states.Store(&states) }()
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
		for i := range r.batch.Installs {
			h.LastEvent = max(h.LastEvent, r.batch.Installs[i].Time)
		}
		for i := range r.batch.Logons {
			h.LastEvent = max(h.LastEvent, r.batch.Logons[i].Time)
		}
		for i := range r.batch.Connections {
			h.LastEvent = max(h.LastEvent, r.batch.Connections[i].Time)
		}
		h.Matched += int64(len(r.batch.Installs))
		states[h.Component] = State{h.State, h.Detail}
		add(h)
	}
	return out
}

// ids reads the JSON list this package wrote.
func ids(list string) []string {
	var out []string
	if err := json.Unmarshal([]byte(list), &out); err != nil {
		return nil
	}
	return out
}
