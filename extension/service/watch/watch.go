// Package watch tells what changed among the services of a Linux host: created,
// modified, turned on or off, removed. It compares what the inventory finds with
// what the cursor remembers, so that nothing is lost over a restart, and asks the
// kernel which files changed, so that nothing is read when none did.
package watch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
)

// SourceName is the source's name in rows and health.
const SourceName = "services"

const (
	defaultFull   = 5 * time.Minute
	defaultRecent = 24 * time.Hour
	// maxFirst bounds the rows of a host's first scan.
	maxFirst = 50
	// maxHeld is how long a row waits for the package manager to say whose a file
	// is, maxBlink how long a file that systemd makes anew may be missing.
	maxHeld  = 60 * time.Second
	maxBlink = 3 * time.Second
	// settle is how long after the last change of the packages' database it is taken
	// to be changing.
	settle = 3 * time.Second
	// slack is how far the clocks of files and ours may be apart, tick how much a
	// file's may be behind because it is set in ticks.
	slack = 2 * time.Second
	tick  = 20 * time.Millisecond
	// maxGaps bounds what one read says of what could not be read.
	maxGaps = 20
	// hashTime is how long one read may read programs for the inventory's hashes.
	hashTime = 100 * time.Millisecond
)

// Options is what a Source is made of.
type Options struct {
	// Inventory reads the services, below its root; of this host when nil.
	Inventory *inventory.Reader
	// Weights find the command of a service that a row shows; the defaults when nil.
	Weights score.Weights
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// FullEvery is how often everything is compared even when no file is said to
	// have changed: 5 minutes when 0.
	FullEvery time.Duration
	// Recent is how young a service must be to be told of by a host's first scan: 24
	// hours when 0.
	Recent time.Duration
	Logger hclog.Logger
}

// Source is the source of installs on Linux. It is safe for concurrent use.
type Source struct {
	inv    *inventory.Reader
	judge  inventory.Judge
	now    func() time.Time
	every  time.Duration
	recent time.Duration
	settle time.Duration
	log    hclog.Logger

	mu     sync.Mutex
	cursor string // of snap
	snap   *snapshot
	// scanned is when services were compared last, told up to when all that changed
	// was told; 0 before the first time.
	scanned time.Time
	told    time.Time
	dirty   bool
	held    map[string]time.Time
	notify  *notifier
	// left says what the last comparison left out, empty for nothing.
	left string
	// polling says that the kernel does not tell what changes.
	polling bool
	closed  bool

	seen atomic.Pointer[map[string]int64]
}

// New returns a Source. It opens nothing before the first Read.
func New(o Options) *Source {
	if o.Inventory == nil {
		o.Inventory = inventory.New("/", inventory.Options{})
	}
	if o.Weights == nil {
		o.Weights = score.DefaultWeights()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FullEvery <= 0 {
		o.FullEvery = defaultFull
	}
	if o.Recent <= 0 {
		o.Recent = defaultRecent
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return &Source{
		inv: o.Inventory, judge: inventory.Judge{Weights: o.Weights}, now: o.Now, every: o.FullEvery, recent: o.Recent, settle: settle, log: o.Logger,
		held: map[string]time.Time{},
	}
}

// Name is the source's name in rows and health.
func (s *Source) Name() string { return SourceName }

// Patient implements engine.Patient: a later comparison shows what an earlier one would.
func (*Source) Patient() bool { return true }

// Close ends the waiting for changes. Reads after it fail.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.stop()
}

func (s *Source) stop() error {
	if s.notify == nil {
		return nil
	}
	n := s.notify
	s.notify = nil
	return n.close()
}

// FirstSeen is when a service was first seen on this host, seconds since 1970 UTC;
// 0 before the first read, and for one that no read told of yet.
func (s *Source) FirstSeen(_ context.Context, v *inventory.Service) int64 {
	seen := s.seen.Load()
	if seen == nil {
		return 0
	}
	return (*seen)[keyOf(v)]
}

// Read compares the services with what the cursor remembers and returns at most
// limit installs. The cursor of the Batch remembers those it returns, and no others.
func (s *Source) Read(ctx context.Context, cursor string, limit int) (evidence.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return evidence.Batch{}, errors.New("read what changed among services: closed")
	case runtime.GOOS != "linux" && s.inv.Root() == "/":
		return evidence.Batch{}, &evidence.Unavailable{State: evidence.StateOff, Detail: "what changes among services is read from files on Linux only"}
	}
	now := s.now()
	s.inv.HashSome(ctx, hashTime)
	var gaps []evidence.Gap
	if s.snap == nil || cursor != s.cursor {
		snap, gap := s.remember(cursor, now)
		s.snap, s.cursor, s.dirty = snap, cursor, true
		s.held, s.told = map[string]time.Time{}, time.Time{}
		if gap != "" {
			gaps = append(gaps, evidence.Gap{To: now.Unix(), Reason: gap})
		}
	}
	if s.quiet(now) {
		s.told = now
		return evidence.Batch{Cursor: cursor}, s.whole()
	}
	services, err := s.services(ctx)
	if err != nil {
		s.dirty = true
		return evidence.Batch{}, fmt.Errorf("read what changed among services: %w", err)
	}
	c := &comparison{s: s, ctx: ctx, now: now, old: s.snap, next: newSnapshot(), services: services, tree: files.New(s.inv.Root(), files.Options{})}
	rows, more := c.run(max(limit, 1))
	gaps = append(gaps, c.gaps...)
	b := evidence.Batch{Cursor: cursor, Installs: rows, More: more, Gaps: gaps}
	if len(rows) > 0 || c.first {
		b.Read = int64(len(services))
	}
	if c.differs {
		if b.Cursor, err = c.next.encode(); err != nil {
			s.dirty = true
			return evidence.Batch{}, err
		}
	}
	for k := range s.held {
		if !c.waiting[k] {
			delete(s.held, k)
		}
	}
	s.snap, s.cursor = c.next, b.Cursor
	s.scanned, s.dirty = now, more || len(s.held) > 0 || c.again
	if !more && len(s.held) == 0 {
		s.told = now
	}
	seen := make(map[string]int64, len(c.next.Records))
	for k, r := range c.next.Records {
		if r.Gone == 0 {
			seen[k] = r.Seen
		}
	}
	s.seen.Store(&seen)
	s.left = ""
	for _, n := range s.inv.Notes() {
		if n.Bound {
			s.left = fmt.Sprintf("%q: %s", brief(n.Path), brief(n.Detail))
		}
	}
	return b, s.whole()
}

// whole is the state while more services are there than are read: among those left out
// may be the one that the others are to hide.
func (s *Source) whole() error {
	if s.left == "" {
		return nil
	}
	return &evidence.Unavailable{State: evidence.StateDegraded, Detail: "not all services are watched: " + s.left,
		Remedy: "look who made that many, and remove them"}
}

// remember reads a cursor; gap says why a new one is begun.
func (s *Source) remember(cursor string, now time.Time) (snap *snapshot, gap string) {
	if cursor == "" {
		return newSnapshot(), ""
	}
	snap, err := decode(cursor)
	if err != nil {
		s.log.Error("begin to watch services anew", "error", err)
		return newSnapshot(), err.Error() + ": services are learned anew"
	}
	if snap.Time > now.Add(slack).Unix() {
		s.log.Info("services were compared in the future", "time", snap.Time)
		snap.Time = now.Unix()
	}
	return snap, ""
}

// quiet reports whether nothing can have changed since the last comparison.
func (s *Source) quiet(now time.Time) bool {
	changed := true
	if s.notify != nil {
		var err error
		if changed, err = s.notify.changed(); err != nil {
			s.poll(err)
		}
	}
	since := now.Sub(s.scanned)
	return !changed && !s.dirty && since >= 0 && since < s.every
}

// poll goes on without the kernel's word on what changes.
func (s *Source) poll(why error) {
	if err := s.stop(); err != nil {
		s.log.Debug("stop waiting for changes", "error", err)
	}
	s.polling = true
	if !errors.Is(why, errors.ErrUnsupported) {
		s.log.Info("changes of services are found by the times of files", "reason", why)
	}
}

// services reads the inventory, and makes sure that what changes from now on is
// told.
func (s *Source) services(ctx context.Context) ([]inventory.Service, error) {
	if s.notify == nil && !s.polling {
		n, err := newNotifier(s.inv.Root())
		if err != nil {
			s.poll(err)
		} else {
			s.notify = n
		}
	}
	for range 4 {
		all, err := s.inv.Services(ctx)
		if err != nil || s.notify == nil {
			return all, err
		}
		added, err := s.notify.sync(s.inv.Looked)
		switch {
		case err != nil:
			s.poll(err)
			return all, nil
		case added == 0:
			return all, nil
		}
		// What happened in directories nobody watched yet may have been missed.
	}
	s.dirty = true
	return s.inv.Services(ctx)
}

// installing reports whether a package manager works, or did just now: whose a
// file is cannot be told then.
func (s *Source) installing(tree *files.Tree, now time.Time) bool {
	root := s.inv.Root()
	if packagesLocked(root) {
		return true
	}
	for _, p := range pkg.Databases() {
		if at, err := tree.Resolve(p, 0); err == nil {
			if age := now.UnixNano() - at.Info.CTime; age >= 0 && age < int64(s.settle) && at.Info.Size > 0 {
				return true
			}
		}
	}
	return false
}
