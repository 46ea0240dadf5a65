package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	sq "github.com/Masterminds/squirrel"
	"zombiezen.com/go/sqlite"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
)

// The caps of what is kept of installs, bursts, incidents and what was around them.
const (
	MaxInstalls  = 50_000
	MaxBursts    = 50_000
	MaxIncidents = 20_000
	MaxAround    = 20_000
	aroundAge    = 48 * time.Hour
)

// Install is one row of service_install_events.
type Install struct {
	ID        int64
	InstallID string
	Recorded  int64
	// Identity is equal for sightings of one install by several sources.
	Identity int64

	Score       int
	Severity    string
	Reasons     string // JSON
	Attribution string
	Basis       string // of the attribution, in words
	IncidentID  string
	Install     evidence.Install
}

// FreshInstalls returns the installs that no source has brought before: of one
// identity within window seconds, unless it is the same source's with another id.
func (s *Store) FreshInstalls(ctx context.Context, installs []*Install, window int64) (fresh []*Install, err error) {
	if len(installs) == 0 {
		return nil, nil
	}
	conn, give, err := s.take(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for known installs: %w", err)
	}
	defer func() { give(err) }()
	for _, in := range installs {
		known := false
		err = s.query(conn, sq.Select("1").From("installs").
			Where(sq.Or{sq.And{sq.Eq{"identity": in.Identity}, sq.GtOrEq{"time": in.Install.Time - window}, sq.LtOrEq{"time": in.Install.Time + window},
				sq.Expr("NOT (instr(',' || json_extract(data, '$.Source') || ',', ',' || ? || ',') > 0 AND json_extract(data, '$.EID') <> ?)", in.Install.Source, in.Install.EID)}, sq.Eq{"install_id": in.InstallID}}).Limit(1),
			func(*sqlite.Stmt) error { known = true; return nil })
		if err != nil {
			return nil, fmt.Errorf("look for install %s: %w", in.InstallID, err)
		}
		if !known {
			fresh = append(fresh, in)
		}
	}
	return fresh, nil
}

func (s *Store) commitIncidents(b *Batch) error {
	for _, in := range b.Installs {
		data, err := json.Marshal(in.Install)
		if err != nil {
			return fmt.Errorf("write install %s: %w", in.InstallID, err)
		}
		if err := s.exec(sq.Insert("installs").
			Columns("install_id", "time", "recorded", "identity", "score", "severity", "reasons", "attribution", "basis", "incident_id", "data").
			Values(in.InstallID, in.Install.Time, in.Recorded, in.Identity, in.Score, in.Severity, in.Reasons, in.Attribution, in.Basis, in.IncidentID, string(data)).
			Suffix("ON CONFLICT (install_id) DO NOTHING")); err != nil {
			return fmt.Errorf("store install %s: %w", in.InstallID, err)
		}
	}
	for _, x := range b.Bursts {
		data, err := json.Marshal(x)
		if err != nil {
			return fmt.Errorf("write burst %s: %w", x.ID, err)
		}
		if err := s.exec(sq.Insert("bursts").Columns("burst_id", "start_time", "end_time", "recorded", "updated", "data").
			Values(x.ID, x.Start, x.End, x.Recorded, x.Updated, string(data)).
			Suffix("ON CONFLICT (burst_id) DO UPDATE SET start_time = excluded.start_time, end_time = excluded.end_time, updated = excluded.updated, data = excluded.data")); err != nil {
			return fmt.Errorf("store burst %s: %w", x.ID, err)
		}
	}
	for _, x := range b.Incidents {
		data, err := json.Marshal(x)
		if err != nil {
			return fmt.Errorf("write incident %s: %w", x.ID, err)
		}
		if err := s.exec(sq.Insert("incidents").Columns("incident_id", "opened", "last_time", "recorded", "updated", "status", "decision", "data").
			Values(x.ID, x.Opened, x.Last, x.Recorded, x.Updated, x.Status, x.Decision, string(data)).
			Suffix(`ON CONFLICT (incident_id) DO UPDATE SET opened = excluded.opened, last_time = excluded.last_time, updated = excluded.updated,
				status = excluded.status, decision = excluded.decision, data = excluded.data`)); err != nil {
			return fmt.Errorf("store incident %s: %w", x.ID, err)
		}
	}
	var around []aroundRow
	for _, l := range b.Around.Logons {
		around = append(around, aroundRow{"logon", l.Time, l})
	}
	for _, c := range b.Around.Connections {
		around = append(around, aroundRow{"connection", c.Time, c})
	}
	for _, c := range b.Around.Changes {
		around = append(around, aroundRow{"change", c.Time, c})
	}
	for _, r := range around {
		data, err := json.Marshal(r.value)
		if err != nil {
			return fmt.Errorf("write a %s: %w", r.kind, err)
		}
		if err := s.exec(sq.Insert("around").Columns("kind", "time", "data").Values(r.kind, r.time, string(data)).
			Suffix("ON CONFLICT DO NOTHING")); err != nil {
			return fmt.Errorf("store a %s: %w", r.kind, err)
		}
	}
	for address, d := range b.Destinations {
		if err := s.exec(sq.Insert("destinations").Columns("address", "first_seen", "last_seen", "days").Values(address, d.First, d.Last, d.Days).
			Suffix("ON CONFLICT (address) DO UPDATE SET last_seen = excluded.last_seen, days = excluded.days")); err != nil {
			return fmt.Errorf("store a destination: %w", err)
		}
	}
	return nil
}

type aroundRow struct {
	kind  string
	time  int64
	value any
}

// trimIncidents removes what is old or too much; an incident that is open or watched
// stays.
func (s *Store) trimIncidents(now int64) error {
	old := now - int64(MaxAge/time.Second)
	for _, q := range []sq.DeleteBuilder{
		sq.Delete("installs").Where(sq.Lt{"recorded": old}),
		sq.Delete("installs").Where(sq.Expr("id <= (SELECT max(id) FROM installs) - ?", MaxInstalls)),
		sq.Delete("bursts").Where(sq.Lt{"updated": old}),
		sq.Delete("bursts").Where(sq.Expr("id <= (SELECT max(id) FROM bursts) - ?", MaxBursts)),
		sq.Delete("incidents").Where(sq.And{sq.Lt{"updated": old}, sq.Eq{"status": incident.Closed}}),
		sq.Delete("incidents").Where(sq.And{sq.Expr("id <= (SELECT max(id) FROM incidents) - ?", MaxIncidents), sq.Eq{"status": incident.Closed}}),
		sq.Delete("around").Where(sq.Lt{"time": now - int64(aroundAge/time.Second)}),
		sq.Delete("around").Where(sq.Expr("id <= (SELECT max(id) FROM around) - ?", MaxAround)),
		sq.Delete("destinations").Where(sq.Lt{"last_seen": now - 2*int64(MaxAge/time.Second)}),
	} {
		if err := s.exec(q); err != nil {
			return fmt.Errorf("remove what is old: %w", err)
		}
	}
	return nil
}

// windowed adds a filter's bounds on its two columns, and the order: newest first by
// the column that is bounded.
func (s *Store) windowed(q sq.SelectBuilder, recorded, at string, f Filter) sq.SelectBuilder {
	by := recorded
	if f.RecordedFrom == nil && f.RecordedTo == nil && (f.TimeFrom != nil || f.TimeTo != nil) {
		by = at
	}
	q = q.OrderBy(by+" DESC", "id DESC").Limit(uint64(s.mostRows()))
	for _, b := range []struct {
		column   string
		from, to *int64
	}{{recorded, f.RecordedFrom, f.RecordedTo}, {at, f.TimeFrom, f.TimeTo}} {
		if b.from != nil {
			q = q.Where(sq.GtOrEq{b.column: *b.from})
		}
		if b.to != nil {
			q = q.Where(sq.LtOrEq{b.column: *b.to})
		}
	}
	return q
}

// Installs calls fn with the newest installs that f lets through, newest first.
func (s *Store) Installs(ctx context.Context, f Filter, fn func(*Install) error) error {
	q := s.windowed(sq.Select("id", "install_id", "recorded", "identity", "score", "severity", "reasons", "attribution", "basis", "incident_id", "data").From("installs"), "recorded", "time", f)
	err := s.reading(ctx, q, func(st *sqlite.Stmt) error {
		in := Install{ID: st.ColumnInt64(0), InstallID: st.ColumnText(1), Recorded: st.ColumnInt64(2), Identity: st.ColumnInt64(3), Score: st.ColumnInt(4),
			Severity: st.ColumnText(5), Reasons: st.ColumnText(6), Attribution: st.ColumnText(7), Basis: st.ColumnText(8), IncidentID: st.ColumnText(9)}
		if err := json.Unmarshal([]byte(st.ColumnText(10)), &in.Install); err != nil {
			return fmt.Errorf("%w: install %s: %w", errDamaged, in.InstallID, err)
		}
		return fn(&in)
	})
	if err != nil {
		return fmt.Errorf("read installs: %w", err)
	}
	return nil
}

// Bursts calls fn with the newest bursts that f lets through: its recorded bounds
// are of the last update, its time bounds of the end.
func (s *Store) Bursts(ctx context.Context, f Filter, fn func(*incident.Burst) error) error {
	return decoded(ctx, s, s.windowed(sq.Select("data").From("bursts"), "updated", "end_time", f), "burst", fn)
}

// IncidentFilter bounds a read of incidents; empty bounds nothing.
type IncidentFilter struct {
	IDs []string
	// Recorded bounds are of the opening, Updated bounds of the last change.
	RecordedFrom, RecordedTo *int64
	UpdatedFrom, UpdatedTo   *int64
	LastFrom                 *int64 // by the time of the last evidence
}

// maxIDs bounds a list of ids in a query.
const maxIDs = 500

// Incidents calls fn with the incidents that f lets through, the last updated first.
func (s *Store) Incidents(ctx context.Context, f IncidentFilter, fn func(*incident.Incident) error) error {
	q := s.windowed(sq.Select("data").From("incidents"), "updated", "recorded", Filter{RecordedFrom: f.UpdatedFrom, RecordedTo: f.UpdatedTo, TimeFrom: f.RecordedFrom, TimeTo: f.RecordedTo})
	if n := len(f.IDs); n > 0 && n <= maxIDs {
		q = q.Where(sq.Eq{"incident_id": f.IDs})
	}
	if f.LastFrom != nil {
		q = q.Where(sq.GtOrEq{"last_time": *f.LastFrom})
	}
	return decoded(ctx, s, q, "incident", fn)
}

// FindIncidents returns the incidents whose id begins with prefix, at most ten.
func (s *Store) FindIncidents(ctx context.Context, prefix string) (out []*incident.Incident, err error) {
	if prefix == "" || strings.Trim(prefix, "0123456789abcdef") != "" {
		return nil, nil
	}
	q := sq.Select("data").From("incidents").Where(sq.GtOrEq{"incident_id": prefix}).Where(sq.Lt{"incident_id": prefix + "g"}).Limit(10)
	err = decoded(ctx, s, q, "incident", func(x *incident.Incident) error { out = append(out, x); return nil })
	return out, err
}

func decoded[T any](ctx context.Context, s *Store, q sq.Sqlizer, what string, fn func(*T) error) error {
	err := s.reading(ctx, q, func(st *sqlite.Stmt) error {
		x := new(T)
		if err := json.Unmarshal([]byte(st.ColumnText(0)), x); err != nil {
			return fmt.Errorf("%w: %s: %w", errDamaged, what, err)
		}
		return fn(x)
	})
	if err != nil {
		return fmt.Errorf("read %ss: %w", what, err)
	}
	return nil
}

// Around returns the logons, connections and changes remembered since then.
func (s *Store) Around(ctx context.Context, since int64) (f incident.Facts, err error) {
	err = s.reading(ctx, sq.Select("kind", "data").From("around").Where(sq.GtOrEq{"time": since}).OrderBy("time").Limit(MaxAround), func(st *sqlite.Stmt) error {
		var err error
		data := []byte(st.ColumnText(1))
		switch st.ColumnText(0) {
		case "logon":
			f.Logons, err = appended(f.Logons, data)
		case "connection":
			f.Connections, err = appended(f.Connections, data)
		case "change":
			f.Changes, err = appended(f.Changes, data)
		}
		return err
	})
	if err != nil {
		return incident.Facts{}, fmt.Errorf("read what was around: %w", err)
	}
	return f, nil
}

func appended[T any](list []T, data []byte) ([]T, error) {
	var x T
	if err := json.Unmarshal(data, &x); err != nil {
		return list, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return append(list, x), nil
}

// Destinations returns what is known of the addresses this host connects to.
func (s *Store) Destinations(ctx context.Context) (map[string]incident.Destination, error) {
	out := map[string]incident.Destination{}
	err := s.reading(ctx, sq.Select("address", "first_seen", "last_seen", "days").From("destinations"), func(st *sqlite.Stmt) error {
		out[st.ColumnText(0)] = incident.Destination{First: st.ColumnInt64(1), Last: st.ColumnInt64(2), Days: st.ColumnInt64(3)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read destinations: %w", err)
	}
	return out, nil
}
