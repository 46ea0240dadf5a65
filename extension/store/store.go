// Package store is what Rollcall remembers: one SQLite file in WAL mode with one
// writer. Only engine writes; tables read.
package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	sq "github.com/Masterminds/squirrel"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitemigration"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
)

// FileName is the database's name in the state directory.
const FileName = "rollcall.db"

// The caps of what is kept.
const (
	MaxEvents = 200_000
	MaxAge    = 30 * 24 * time.Hour
	// MaxBytes is how large the database may be before the oldest events go.
	MaxBytes = 512 << 20
	MaxGaps  = 10_000
	// MaxRows is the most one read returns, newest first, where nobody asked for more: see
	// [Store.ReadUpTo].
	MaxRows = 10_000
	// SightingWindow is how far apart sources may date one process start, seconds.
	SightingWindow = 5
	// LaunchWindow is for how long a launcher may ask for a password before it starts its
	// command, seconds.
	LaunchWindow = 300
)

// ErrLocked says that another process writes to the state directory; it can be
// read still.
var ErrLocked = errors.New("another rollcall writes to this state directory")

// ErrNewer says that a newer Rollcall wrote the database.
var ErrNewer = errors.New("the database was written by a newer rollcall: upgrade, or set the file aside")

// ErrOlder says that an older Rollcall wrote a database that is to be read only: whoever
// writes to it brings it up to date.
var ErrOlder = errors.New("an older Rollcall wrote the database: it can't be read before it is brought up to date")

// ErrRecovered says that a batch was not written because the database was found
// damaged: it was set aside, a new one is in its place, and the batch can be
// written again.
var ErrRecovered = errors.New("the database was damaged and set aside")

// errDamaged is damage that SQLite reports as text, not as a code.
var errDamaged = errors.New("the database is damaged")

// Event is one row of service_discovery_events.
type Event struct {
	ID       int64
	EventID  string
	Recorded int64
	// Identity is equal for sightings of one process start by several sources.
	Identity int64

	Score     int
	Severity  string
	Scope     string
	Family    string
	RuleIDs   string // JSON
	Reasons   string // JSON
	Technique string
	Canonical string // JSON

	Ancestry    string // JSON
	Elevated    string
	RemoteHost  string
	Attribution string
	BurstID     string
	Process     evidence.Process
}

// Health is the state of one source or part.
type Health struct {
	Component string
	State     string
	Detail    string
	Remedy    string
	LastEvent int64
	Checked   int64
	Read      int64
	Matched   int64
	Dropped   int64
	Gaps      int64
}

// RuleStat counts a rule's matches.
type RuleStat struct {
	Matches   int64
	LastMatch int64
}

// BaselineKey names a baseline.
type BaselineKey struct{ Username, Family string }

// Batch is what one collect cycle writes, all or nothing.
type Batch struct {
	Events []*Event
	// Resighted are stored events of which another source told more.
	Resighted []*Event
	Cursors   map[string]string
	Baselines map[BaselineKey]baseline.State
	Rules     map[string]RuleStat // added to what is there
	Health    []Health
	Gaps      map[string][]evidence.Gap
	Installs  []*Install
	// Bursts and Incidents replace what is there under their ids.
	Bursts       []*incident.Burst
	Incidents    []*incident.Incident
	Around       incident.Facts // logons, connections and changes to remember
	Destinations map[string]incident.Destination
	Now          int64
}

// Empty reports whether there is nothing to write.
func (b *Batch) Empty() bool {
	return len(b.Events)+len(b.Resighted)+len(b.Cursors)+len(b.Health)+len(b.Gaps)+len(b.Installs)+len(b.Bursts)+len(b.Incidents)+len(b.Destinations)+
		len(b.Around.Logons)+len(b.Around.Connections)+len(b.Around.Changes)+len(b.Baselines) == 0
}

// Store is an open state directory.
type Store struct {
	dir      string
	temp     bool
	readOnly bool
	lock     *fileLock
	// write is owned by whoever holds writeMu; nil while no database can be opened.
	write   *sqlite.Conn
	writeMu chan struct{}
	// damaged is set by a read that met damage; the next Commit sees to it.
	damaged atomic.Bool
	// failed is set by an error of the disk; the next Commit opens the database anew.
	failed atomic.Bool

	readMu sync.Mutex // guards the pointer, not the pool
	pool   *sqlitex.Pool
	rows   int // the most one read returns, 0 for MaxRows

	// Recovered is the file a corrupt database was set aside to by Open, empty for
	// none.
	Recovered string
}

// Open opens the state directory for writing, creating it if need be. It returns
// ErrLocked when another process has it open, ErrNewer for a database of a later
// version. A corrupt database is set aside and a new one begun.
func Open(ctx context.Context, dir string) (*Store, error) {
	if err := secureDir(dir); err != nil {
		return nil, err
	}
	lock, err := acquire(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, lock: lock, writeMu: make(chan struct{}, 1)}
	if err := s.open(ctx); err != nil {
		if !corrupt(err) {
			return nil, errors.Join(err, lock.release())
		}
		aside, err := s.replace(ctx)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.Recovered = aside
	}
	return s, nil
}

// lockName is the file that the one who writes holds a lock on.
const lockName = "rollcall.lock"

// Free reports whether nobody writes to a state directory any more.
func Free(dir string) bool {
	lock, err := acquire(filepath.Join(dir, lockName))
	return err == nil && lock.release() == nil
}

// nextName is the file that who waits to write holds a lock on.
const nextName = "rollcall.next"

// Claim is a successor's: it waits until nobody writes to a state directory any more.
type Claim struct{ lock *fileLock }

// Await shows who writes to a state directory that a successor waits for its end. It
// returns ErrLocked when another one does already.
func Await(dir string) (*Claim, error) {
	lock, err := acquire(filepath.Join(dir, nextName))
	if err != nil {
		return nil, err
	}
	return &Claim{lock}, nil
}

// Release waits no more; there may be nothing to release.
func (c *Claim) Release() error {
	if c == nil {
		return nil
	}
	return c.lock.release()
}

// Awaited reports whether a successor waits.
func Awaited(dir string) bool {
	claim, err := Await(dir)
	if err == nil {
		_ = claim.Release() // it was only tried
	}
	return errors.Is(err, ErrLocked)
}

// replace sets the database aside and begins a new one. The caller is the only
// writer.
func (s *Store) replace(ctx context.Context) (aside string, err error) {
	if s.write != nil {
		_ = s.write.Close() // it is damaged: what it says on closing is no news
		s.write = nil
	}
	if pool := s.swap(nil); pool != nil {
		_ = pool.Close()
	}
	if aside, err = setAside(s.path(), time.Now()); err != nil {
		return "", fmt.Errorf("set a corrupt database aside: %w", err)
	}
	if err := s.open(ctx); err != nil {
		return aside, err
	}
	s.damaged.Store(false)
	return aside, nil
}

// reopen closes and opens the database, which reads its log again. The caller is the
// only writer.
func (s *Store) reopen(ctx context.Context) error {
	if s.write != nil {
		_ = s.write.Close() // what it says on closing is no news
		s.write = nil
	}
	if pool := s.swap(nil); pool != nil {
		_ = pool.Close()
	}
	return s.open(ctx)
}

func (s *Store) swap(pool *sqlitex.Pool) (old *sqlitex.Pool) {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	old, s.pool = s.pool, pool
	return old
}

// take lends a connection for reading; give takes it back and looks at the error
// of what was read.
func (s *Store) take(ctx context.Context) (conn *sqlite.Conn, give func(error), err error) {
	s.readMu.Lock()
	pool := s.pool
	s.readMu.Unlock()
	if pool == nil {
		return nil, nil, errors.New("no database is open")
	}
	if conn, err = pool.Take(ctx); err != nil {
		return nil, nil, err
	}
	return conn, func(err error) {
		switch {
		case corrupt(err):
			s.damaged.Store(true)
		case ioFailed(err):
			s.failed.Store(true)
		}
		pool.Put(conn)
	}, nil
}

// OpenTemporary opens a store of its own that goes with Close.
func OpenTemporary(ctx context.Context) (*Store, error) {
	dir, err := os.MkdirTemp("", "rollcall-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary state directory: %w", err)
	}
	s, err := Open(ctx, dir)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	s.temp = true
	return s, nil
}

// upToDate is how long a reader waits for a database to be brought up to date.
const upToDate = time.Second

// OpenReadOnly opens a state directory another process writes to. It returns ErrNewer
// for a database of a later version, ErrOlder for one of an earlier.
func OpenReadOnly(ctx context.Context, dir string) (*Store, error) {
	s := &Store{dir: dir, readOnly: true}
	if _, err := os.Stat(s.path()); err != nil {
		return nil, fmt.Errorf("open state read-only: %w", err)
	}
	pool, err := sqlitex.NewPool(s.path(), sqlitex.PoolOptions{Flags: sqlite.OpenReadOnly, PoolSize: 2, PrepareConn: prepareReader})
	if err != nil {
		return nil, fmt.Errorf("open state read-only: %w", err)
	}
	s.pool = pool
	check := func() error {
		conn, give, err := s.take(ctx)
		if err != nil {
			return err
		}
		err = refuseOther(conn)
		give(err) // before Close, which waits for it
		return err
	}
	err = check()
	for until := time.Now().Add(upToDate); errors.Is(err, ErrOlder) && time.Now().Before(until) && ctx.Err() == nil; err = check() {
		// Who writes to it may have begun this moment, and be at it.
		select {
		case <-ctx.Done():
		case <-time.After(upToDate / 20):
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open state read-only: %w", err), pool.Close())
	}
	return s, nil
}

func (s *Store) path() string { return filepath.Join(s.dir, FileName) }

// Dir is the state directory.
func (s *Store) Dir() string { return s.dir }

// Temporary reports whether the state goes with Close.
func (s *Store) Temporary() bool { return s.temp }

// ReadOnly reports whether another process writes.
func (s *Store) ReadOnly() bool { return s.readOnly }

func (s *Store) open(ctx context.Context) (err error) {
	if err := createPrivate(s.path()); err != nil {
		return err
	}
	conn, err := sqlite.OpenConn(s.path(), sqlite.OpenReadWrite|sqlite.OpenWAL)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	conn.SetBlockOnBusy()
	for _, pragma := range []string{"PRAGMA synchronous = NORMAL", "PRAGMA foreign_keys = ON", "PRAGMA journal_size_limit = 4194304", cacheSize(1024)} {
		if err := sqlitex.ExecuteTransient(conn, pragma, nil); err != nil {
			return fmt.Errorf("set up the database: %w", err)
		}
	}
	if err := refuseNewer(conn); err != nil {
		return err
	}
	if err := sqlitemigration.Migrate(ctx, conn, schema); err != nil {
		return fmt.Errorf("bring the database up to date: %w", err)
	}
	if err := checkSmall(conn); err != nil {
		return err
	}
	pool, err := sqlitex.NewPool(s.path(), sqlitex.PoolOptions{Flags: sqlite.OpenReadOnly, PoolSize: 4, PrepareConn: prepareReader})
	if err != nil {
		return fmt.Errorf("open the database for reading: %w", err)
	}
	s.write = conn
	s.swap(pool)
	return nil
}

// checkSmall looks for damage in the tables that everything starts from; events
// would take too long, and a damaged one is noticed when it is read.
func checkSmall(conn *sqlite.Conn) error {
	for _, name := range []string{"meta", "cursors", "baselines", "rule_stats", "health"} {
		var problem string
		err := sqlitex.ExecuteTransient(conn, "PRAGMA quick_check('"+name+"')", &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
			if text := st.ColumnText(0); text != "ok" {
				problem = text
			}
			return nil
		}})
		if err != nil {
			return fmt.Errorf("check table %s: %w", name, err)
		}
		if problem != "" {
			return fmt.Errorf("%w: table %s: %s", errDamaged, name, problem)
		}
	}
	return nil
}

// cacheSize bounds what a connection keeps of the file, in KiB. It takes twice as much:
// with what SQLite adds to it, a page is a little more than a power of two.
func cacheSize(kib int) string { return fmt.Sprintf("PRAGMA cache_size = -%d", kib) }

// prepareReader sets up a connection for reading. There are several, lent in turn, so
// each would come to hold the same, and the system has it anyway.
func prepareReader(conn *sqlite.Conn) error {
	return sqlitex.ExecuteTransient(conn, cacheSize(256), nil)
}

// refuseNewer is for who brings an older database up to date.
func refuseNewer(conn *sqlite.Conn) error {
	if err := refuseOther(conn); !errors.Is(err, ErrOlder) {
		return err
	}
	return nil
}

// refuseOther is for who can't bring a database up to date.
func refuseOther(conn *sqlite.Conn) error {
	var version int
	err := sqlitex.ExecuteTransient(conn, "PRAGMA user_version", &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
		version = st.ColumnInt(0)
		return nil
	}})
	if err != nil {
		return fmt.Errorf("read the database's version: %w", err)
	}
	other := ErrOlder
	switch n := len(schema.Migrations); {
	case version == n:
		return nil
	case version > n:
		other = ErrNewer
	}
	return fmt.Errorf("%w (version %d, this is %d)", other, version, len(schema.Migrations))
}

func corrupt(err error) bool {
	if errors.Is(err, errDamaged) {
		return true
	}
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		return true
	}
	return false
}

// ioFailed reports whether the disk, or what is between it and us, failed.
func ioFailed(err error) bool { return sqlite.ErrCode(err).ToPrimary() == sqlite.ResultIOErr }

// Close ends all connections and gives the directory up.
func (s *Store) Close() error {
	var errs []error
	if pool := s.swap(nil); pool != nil {
		errs = append(errs, pool.Close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release())
	}
	if s.temp {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// eventColumns are the columns of the events table, in the order scan and insert
// use.
var eventColumns = []string{
	"event_id", "time", "recorded", "identity", "score", "severity", "scope", "family", "rule_ids", "reasons", "technique",
	"pid", "path", "cmdline", "canonical", "parent", "parent_path", "parent_cmdline", "ancestry", "uid", "username",
	"login_user", "login_source", "logon_id", "elevated", "session", "container_id", "cwd", "remote_host", "attribution",
	"platform", "host", "source", "eid", "burst_id",
}

func (e *Event) values() []any {
	p := &e.Process
	return []any{
		e.EventID, p.Time, e.Recorded, e.Identity, e.Score, e.Severity, e.Scope, e.Family, e.RuleIDs, e.Reasons, e.Technique,
		p.PID, p.Path, p.CmdLine, e.Canonical, p.ParentPID, p.ParentPath, p.ParentCmdLine, e.Ancestry, p.UID, p.Username,
		p.LoginUser, p.LoginSource, p.LogonID, e.Elevated, p.Session, p.ContainerID, p.CWD, e.RemoteHost, e.Attribution,
		string(p.Platform), p.Host, p.Source, p.EID, e.BurstID,
	}
}

// Commit writes a batch in one transaction: all of it or nothing. A database that
// turns out to be damaged is set aside and a new one begun: ErrRecovered.
func (s *Store) Commit(ctx context.Context, b *Batch) error {
	return s.writing(ctx, func() error { return s.commit(b) })
}

// writing calls fn in a transaction of its own.
func (s *Store) writing(ctx context.Context, fn func() error) error {
	if s.readOnly {
		return errors.New("write to a read-only state")
	}
	select {
	case s.writeMu <- struct{}{}:
		defer func() { <-s.writeMu }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.failed.Swap(false) {
		if err := s.reopen(ctx); err != nil && !corrupt(err) {
			s.failed.Store(true)
			return err
		}
	}
	err := errDamaged
	if s.write != nil && !s.damaged.Load() {
		err = s.transact(ctx, fn)
	}
	if ioFailed(err) {
		s.failed.Store(true)
	}
	if !corrupt(err) {
		return err
	}
	aside, replaceErr := s.replace(ctx)
	if replaceErr != nil {
		return errors.Join(err, replaceErr)
	}
	return fmt.Errorf("%w: to %s", ErrRecovered, aside)
}

func (s *Store) transact(ctx context.Context, fn func() error) (err error) {
	s.write.SetInterrupt(ctx.Done())
	defer s.write.SetInterrupt(nil)
	end, err := sqlitex.ImmediateTransaction(s.write)
	if err != nil {
		return fmt.Errorf("begin a batch: %w", err)
	}
	defer end(&err)
	return fn()
}

func (s *Store) commit(b *Batch) error {
	if err := s.insertEvents(b.Events); err != nil {
		return err
	}
	if err := s.resight(b.Resighted); err != nil {
		return err
	}
	for source, cursor := range b.Cursors {
		if err := s.exec(sq.Insert("cursors").Columns("source", "cursor").Values(source, cursor).
			Suffix("ON CONFLICT (source) DO UPDATE SET cursor = excluded.cursor")); err != nil {
			return fmt.Errorf("store the cursor of %s: %w", source, err)
		}
	}
	for k, st := range b.Baselines {
		if err := s.exec(sq.Insert("baselines").
			Columns("username", "family", "first_seen", "last_seen", "count", "days", "day", "today", "observations", "hours").
			Values(k.Username, k.Family, st.FirstSeen, st.LastSeen, st.Count, st.Days, st.Day, st.Today, st.Observations, st.Hours[:]).
			Suffix(`ON CONFLICT (username, family) DO UPDATE SET first_seen = excluded.first_seen, last_seen = excluded.last_seen,
				count = excluded.count, days = excluded.days, day = excluded.day, today = excluded.today, observations = excluded.observations, hours = excluded.hours`)); err != nil {
			return fmt.Errorf("store the baseline of %s/%s: %w", k.Username, k.Family, err)
		}
	}
	for id, r := range b.Rules {
		if err := s.exec(sq.Insert("rule_stats").Columns("rule_id", "matches", "last_match").Values(id, r.Matches, r.LastMatch).
			Suffix("ON CONFLICT (rule_id) DO UPDATE SET matches = matches + excluded.matches, last_match = max(last_match, excluded.last_match)")); err != nil {
			return fmt.Errorf("count rule %s: %w", id, err)
		}
	}
	for _, h := range b.Health {
		if err := s.exec(sq.Insert("health").
			Columns("component", "state", "detail", "remedy", "last_event", "checked", "events_read", "events_matched", "events_dropped", "gaps").
			Values(h.Component, h.State, h.Detail, h.Remedy, h.LastEvent, h.Checked, h.Read, h.Matched, h.Dropped, h.Gaps).
			Suffix(`ON CONFLICT (component) DO UPDATE SET state = excluded.state, detail = excluded.detail, remedy = excluded.remedy,
				last_event = max(last_event, excluded.last_event), checked = excluded.checked, events_read = events_read + excluded.events_read,
				events_matched = events_matched + excluded.events_matched, events_dropped = events_dropped + excluded.events_dropped, gaps = gaps + excluded.gaps`)); err != nil {
			return fmt.Errorf("store the health of %s: %w", h.Component, err)
		}
	}
	for source, gaps := range b.Gaps {
		for _, g := range gaps {
			if err := s.exec(sq.Insert("gaps").Columns("source", "from_time", "to_time", "reason", "recorded").
				Values(source, g.From, g.To, g.Reason, b.Now)); err != nil {
				return fmt.Errorf("store a gap of %s: %w", source, err)
			}
		}
	}
	return s.commitIncidents(b)
}

// insertEvents writes events with one statement, built once.
func (s *Store) insertEvents(events []*Event) error {
	if len(events) == 0 {
		return nil
	}
	text, _, err := sq.Insert("events").Columns(eventColumns...).Values(events[0].values()...).Suffix("ON CONFLICT (event_id) DO NOTHING").ToSql()
	if err != nil {
		return fmt.Errorf("build a statement: %w", err)
	}
	for _, e := range events {
		if err := sqlitex.Execute(s.write, text, &sqlitex.ExecOptions{Args: e.values()}); err != nil {
			return fmt.Errorf("store event %s: %w", e.EventID, err)
		}
	}
	return nil
}

// resight writes what another source knew of stored events: their sources, and what
// was unknown.
func (s *Store) resight(events []*Event) error {
	for _, e := range events {
		p := &e.Process
		if err := s.exec(sq.Update("events").SetMap(map[string]any{
			"source": p.Source, "username": p.Username, "uid": p.UID, "login_user": p.LoginUser, "login_source": p.LoginSource, "session": p.Session,
			"logon_id": p.LogonID, "cwd": p.CWD, "parent": p.ParentPID, "parent_path": p.ParentPath, "parent_cmdline": p.ParentCmdLine,
			"path": p.Path, "container_id": p.ContainerID, "pid": p.PID, "ancestry": e.Ancestry,
		}).Where(sq.Eq{"id": e.ID})); err != nil {
			return fmt.Errorf("name another source of event %s: %w", e.EventID, err)
		}
	}
	return nil
}

// notOpen excludes the events of bursts whose incident is open or watched.
var notOpen = sq.Expr(`burst_id NOT IN (SELECT json_extract(b.value, '$.id') FROM incidents, json_each(incidents.data, '$.bursts') b WHERE status <> ?)`, incident.Closed)

// keep is how many of the newest events stay: MaxEvents, and fewer where the database
// is larger than MaxBytes.
func (s *Store) keep() (int64, error) {
	var bytes, rows int64
	for query, to := range map[string]*int64{
		"SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size": &bytes,
		"SELECT count(*) FROM events": &rows,
	} {
		if err := sqlitex.ExecuteTransient(s.write, query, &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
			*to = st.ColumnInt64(0)
			return nil
		}}); err != nil {
			return 0, fmt.Errorf("measure the database: %w", err)
		}
	}
	if bytes <= MaxBytes {
		return MaxEvents, nil
	}
	return min(MaxEvents, rows*9/10*(MaxBytes>>10)/(bytes>>10)), nil
}

// Trim removes the oldest events beyond the caps; it is cheap when nothing is.
func (s *Store) Trim(ctx context.Context, now int64) (removed int, err error) {
	if s.readOnly {
		return 0, nil
	}
	old := now - int64(MaxAge/time.Second)
	err = s.writing(ctx, func() error {
		// What came after something young is young, whatever the clock said then.
		if err := s.exec(sq.Delete("events").Where(sq.Lt{"recorded": old}).Where(notOpen).
			Where(sq.Expr("id < (SELECT coalesce(min(id), 9223372036854775807) FROM events WHERE recorded BETWEEN ? AND ?)", old, now))); err != nil {
			return fmt.Errorf("remove old events: %w", err)
		}
		removed = s.write.Changes()
		keep, err := s.keep()
		if err != nil {
			return err
		}
		// What is open stays as long as it is not most of what there is.
		for _, q := range []sq.DeleteBuilder{
			sq.Delete("events").Where(sq.Expr("id <= (SELECT max(id) FROM events) - ?", keep)).Where(notOpen),
			sq.Delete("events").Where(sq.Expr("id <= (SELECT max(id) FROM events) - ?", 2*keep)),
		} {
			if err := s.exec(q); err != nil {
				return fmt.Errorf("remove surplus events: %w", err)
			}
			removed += s.write.Changes()
		}
		if err := s.exec(sq.Delete("gaps").Where(sq.Expr("id <= (SELECT max(id) FROM gaps) - ?", MaxGaps))); err != nil {
			return fmt.Errorf("remove surplus gaps: %w", err)
		}
		return s.trimIncidents(now)
	})
	return removed, err
}

// Bind ties the state to a machine that learns since then. What another machine
// learned and where its sources were is forgotten; its events stay.
func (s *Store) Bind(ctx context.Context, machine, since string) error {
	return s.writing(ctx, func() error {
		var was string
		err := s.query(s.write, sq.Select("value").From("meta").Where(sq.Eq{"key": metaMachine}), func(st *sqlite.Stmt) error {
			was = st.ColumnText(0)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read whose state it is: %w", err)
		}
		if was != "" && was != machine {
			for _, table := range []string{"cursors", "baselines", "rule_stats", "health", "around", "destinations"} {
				if err := s.exec(sq.Delete(table)); err != nil {
					return fmt.Errorf("forget another machine's %s: %w", table, err)
				}
			}
		}
		for key, value := range map[string]string{metaMachine: machine, metaSince: since} {
			if err := s.exec(sq.Insert("meta").Columns("key", "value").Values(key, value).
				Suffix("ON CONFLICT (key) DO UPDATE SET value = excluded.value")); err != nil {
				return fmt.Errorf("write %s: %w", key, err)
			}
		}
		return nil
	})
}

// The keys of the store's own notes.
const (
	metaMachine = "machine"
	metaSince   = "learning_since"
)

// Bound returns the machine the state is tied to and since when it learns; both are
// empty for a new one.
func (s *Store) Bound(ctx context.Context) (machine, since string, err error) {
	err = s.reading(ctx, sq.Select("key", "value").From("meta"), func(st *sqlite.Stmt) error {
		switch st.ColumnText(0) {
		case metaMachine:
			machine = st.ColumnText(1)
		case metaSince:
			since = st.ColumnText(1)
		}
		return nil
	})
	if err != nil {
		return "", "", fmt.Errorf("read whose state it is: %w", err)
	}
	return machine, since, nil
}

// Filter bounds a read by recorded, time and score; nil means no bound.
type Filter struct {
	RecordedFrom, RecordedTo *int64
	TimeFrom, TimeTo         *int64
	ScoreFrom, ScoreTo       *int64 // of events
	EventID                  string
}

// eventsQuery asks for the newest events first: newest by the column that is
// bounded, so that its index gives both the range and the order.
func eventsQuery(f Filter, fields []string, most int) sq.SelectBuilder {
	order := []string{"recorded DESC", "id DESC"}
	if f.RecordedFrom == nil && f.RecordedTo == nil && (f.TimeFrom != nil || f.TimeTo != nil) {
		order[0] = "time DESC"
	}
	q := sq.Select(fields...).From("events").OrderBy(order...).Limit(uint64(most) + 1)
	for _, b := range []struct {
		column   string
		from, to *int64
	}{{"recorded", f.RecordedFrom, f.RecordedTo}, {"time", f.TimeFrom, f.TimeTo}, {"score", f.ScoreFrom, f.ScoreTo}} {
		if b.from != nil {
			q = q.Where(sq.GtOrEq{b.column: *b.from})
		}
		if b.to != nil {
			q = q.Where(sq.LtOrEq{b.column: *b.to})
		}
	}
	if f.EventID != "" {
		q = q.Where(sq.Eq{"event_id": f.EventID})
	}
	return q
}

// ReadUpTo lets one read return n rows instead of MaxRows: for who reads no more than
// once, and wants all. It is called before the first read.
func (s *Store) ReadUpTo(n int) { s.rows = n }

func (s *Store) mostRows() int {
	if s.rows > 0 {
		return s.rows
	}
	return MaxRows
}

// Events calls fn with the newest events that f lets through, newest first, at
// most MaxRows, and reports whether there were more.
func (s *Store) Events(ctx context.Context, f Filter, fn func(*Event) error) (more bool, err error) {
	return s.events(ctx, f, append([]string{"id"}, eventColumns...), func(st *sqlite.Stmt) error {
		e := scanEvent(st)
		return fn(&e)
	})
}

func (s *Store) events(ctx context.Context, f Filter, fields []string, fn func(*sqlite.Stmt) error) (more bool, err error) {
	conn, give, err := s.take(ctx)
	if err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	defer func() { give(err) }()
	n, most := 0, s.mostRows()
	err = s.query(conn, eventsQuery(f, fields, most), func(st *sqlite.Stmt) error {
		if n++; n > most {
			more = true
			return nil
		}
		return fn(st)
	})
	if err != nil {
		return more, fmt.Errorf("read events: %w", err)
	}
	return more, nil
}

func scanEvent(st *sqlite.Stmt) Event {
	i := -1
	text := func() string { i++; return st.ColumnText(i) }
	num := func() int64 { i++; return st.ColumnInt64(i) }
	var e Event
	p := &e.Process
	e.ID = num()
	e.EventID, p.Time, e.Recorded, e.Identity = text(), num(), num(), num()
	e.Score, e.Severity, e.Scope, e.Family = int(num()), text(), text(), text()
	e.RuleIDs, e.Reasons, e.Technique = text(), text(), text()
	p.PID, p.Path, p.CmdLine, e.Canonical = num(), text(), text(), text()
	p.ParentPID, p.ParentPath, p.ParentCmdLine, e.Ancestry = num(), text(), text(), text()
	p.UID, p.Username, p.LoginUser, p.LoginSource, p.LogonID = text(), text(), text(), text(), text()
	e.Elevated, p.Session, p.ContainerID, p.CWD = text(), text(), text(), text()
	e.RemoteHost, e.Attribution = text(), text()
	p.Platform, p.Host, p.Source, p.EID = evidence.Platform(text()), text(), text(), text()
	e.BurstID = text()
	return e
}

// Cursors returns where each source goes on.
func (s *Store) Cursors(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	err := s.reading(ctx, sq.Select("source", "cursor").From("cursors"), func(st *sqlite.Stmt) error {
		out[st.ColumnText(0)] = st.ColumnText(1)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read cursors: %w", err)
	}
	return out, nil
}

// Baselines returns every baseline.
func (s *Store) Baselines(ctx context.Context) (map[BaselineKey]baseline.State, error) {
	out := map[BaselineKey]baseline.State{}
	q := sq.Select("username", "family", "first_seen", "last_seen", "count", "days", "day", "today", "observations", "hours").From("baselines")
	err := s.reading(ctx, q, func(st *sqlite.Stmt) error {
		b := baseline.State{FirstSeen: st.ColumnInt64(2), LastSeen: st.ColumnInt64(3), Count: st.ColumnFloat(4), Days: st.ColumnFloat(5),
			Day: st.ColumnInt32(6), Today: st.ColumnInt32(7), Observations: st.ColumnInt32(8)}
		if st.ColumnLen(9) == len(b.Hours) {
			st.ColumnBytes(9, b.Hours[:])
		}
		out[BaselineKey{st.ColumnText(0), st.ColumnText(1)}] = b
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read baselines: %w", err)
	}
	return out, nil
}

// RuleStats returns how often each rule matched.
func (s *Store) RuleStats(ctx context.Context) (map[string]RuleStat, error) {
	out := map[string]RuleStat{}
	err := s.reading(ctx, sq.Select("rule_id", "matches", "last_match").From("rule_stats"), func(st *sqlite.Stmt) error {
		out[st.ColumnText(0)] = RuleStat{Matches: st.ColumnInt64(1), LastMatch: st.ColumnInt64(2)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read rule statistics: %w", err)
	}
	return out, nil
}

// Health returns the state of every part, by name.
func (s *Store) Health(ctx context.Context) ([]Health, error) {
	var out []Health
	q := sq.Select("component", "state", "detail", "remedy", "last_event", "checked", "events_read", "events_matched", "events_dropped", "gaps").
		From("health").OrderBy("component")
	err := s.reading(ctx, q, func(st *sqlite.Stmt) error {
		out = append(out, Health{Component: st.ColumnText(0), State: st.ColumnText(1), Detail: st.ColumnText(2), Remedy: st.ColumnText(3),
			LastEvent: st.ColumnInt64(4), Checked: st.ColumnInt64(5), Read: st.ColumnInt64(6), Matched: st.ColumnInt64(7),
			Dropped: st.ColumnInt64(8), Gaps: st.ColumnInt64(9)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read health: %w", err)
	}
	return out, nil
}

func (s *Store) reading(ctx context.Context, q sq.Sqlizer, fn func(*sqlite.Stmt) error) (err error) {
	conn, give, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer func() { give(err) }()
	return s.query(conn, q, fn)
}

func (s *Store) query(conn *sqlite.Conn, q sq.Sqlizer, fn func(*sqlite.Stmt) error) error {
	text, args, err := q.ToSql()
	if err != nil {
		return fmt.Errorf("build a statement: %w", err)
	}
	return sqlitex.Execute(conn, text, &sqlitex.ExecOptions{Args: args, ResultFunc: fn})
}

func (s *Store) exec(q sq.Sqlizer) error {
	return s.query(s.write, q, nil)
}
