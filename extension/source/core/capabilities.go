package core

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/Masterminds/squirrel"
)

// Querier runs SQL in osquery; *Client is one.
type Querier interface {
	Query(ctx context.Context, sql string, row func(*Row) error) error
}

// connections is how many connections a Querier that knows has made, 0 of others.
func connections(q Querier) int64 {
	if c, ok := q.(interface{ Connections() int64 }); ok {
		return c.Connections()
	}
	return 0
}

// Capabilities are what a running osquery can see. They change only when osquery
// starts again, except for whether publishers are active.
type Capabilities struct {
	// Version is osquery's own, such as "5.23.0".
	Version string
	// StartTime is when osquery started, seconds since 1970 UTC; 0 when unknown.
	StartTime int64
	// Tables are the names of all tables, those of extensions included.
	Tables map[string]bool
	// Publishers and Subscribers are the parts of osquery's event system by name.
	Publishers  map[string]EventPart
	Subscribers map[string]EventPart
	// Flags are the flags that decide whether there are events, by name.
	Flags map[string]string
	// AuditHolder is the program that holds the kernel's audit, while osquery gets
	// no events from it: "auditd (pid 612)". Empty when there is none.
	AuditHolder string
	// Logs says which of Windows' event logs, and which events in them, have
	// records that osquery can read.
	Logs map[Log]bool
}

// Log is an event log of Windows, or one of its events where ID is not 0.
type Log struct {
	Channel string
	ID      int64
}

// EventPart is an event publisher or subscriber.
type EventPart struct {
	Publisher     string // the publisher's name, of a subscriber the one it listens to
	Subscriptions int64
	Events        int64 // since osquery started
	Active        bool
}

// eventFlags are the flags worth knowing. Asking for these alone keeps secrets
// that other flags carry (enrolment, TLS) out of our memory.
var eventFlags = []string{
	"disable_events", "disable_audit", "audit_allow_config", "audit_allow_process_events", "audit_allow_sockets", "audit_allow_user_events",
	"audit_allow_fork_process_events", "audit_persist", "events_expiry", "events_max", "events_optimize",
	"enable_bpf_events", "disable_endpointsecurity", "enable_process_etw_events", "enable_powershell_events_subscriber",
	"enable_windows_events_publisher", "enable_windows_events_subscriber", "windows_event_channels", "enable_syslog", "syslog_events_expiry",
}

// Discover asks osquery what it can see. It costs four small queries.
func Discover(ctx context.Context, q Querier) (*Capabilities, error) {
	c := &Capabilities{
		Tables:      map[string]bool{},
		Publishers:  map[string]EventPart{},
		Subscribers: map[string]EventPart{},
		Flags:       map[string]string{},
	}
	flags := make([]any, len(eventFlags))
	for i, name := range eventFlags {
		flags[i] = name
	}
	parts := []struct {
		what string
		stmt squirrel.Sqlizer
		row  func(*Row) error
	}{
		{"tables", squirrel.Select("name").From("osquery_registry").Where(squirrel.Eq{"registry": "table"}),
			func(r *Row) error {
				c.Tables[r.Get("name")] = true
				return nil
			}},
		{"events", squirrel.Select("name", "publisher", "type", "subscriptions", "events", "active").From("osquery_events"),
			func(r *Row) error {
				part := EventPart{Publisher: r.Get("publisher"), Active: r.Get("active") == "1"}
				part.Subscriptions, _ = r.Int("subscriptions")
				part.Events, _ = r.Int("events")
				if r.Get("type") == "publisher" {
					c.Publishers[r.Get("name")] = part
				} else {
					c.Subscribers[r.Get("name")] = part
				}
				return nil
			}},
		{"flags", squirrel.Select("name", "value").From("osquery_flags").Where(squirrel.Eq{"name": flags}),
			func(r *Row) error {
				c.Flags[r.Get("name")] = r.Get("value")
				return nil
			}},
		{"version", squirrel.Select("version", "start_time").From("osquery_info"),
			func(r *Row) error {
				c.Version = r.Get("version")
				c.StartTime, _ = r.Int("start_time")
				return nil
			}},
	}
	for _, part := range parts {
		sql, err := Render(part.stmt)
		if err == nil {
			err = q.Query(ctx, sql, part.row)
		}
		if err != nil {
			return nil, fmt.Errorf("asking osquery for its %s: %w", part.what, err)
		}
	}
	return c, nil
}

// Flag reports whether a boolean flag is set; known is false where this osquery
// has no such flag.
func (c *Capabilities) Flag(name string) (set, known bool) {
	value, known := c.Flags[name]
	return value == "true" || value == "1", known
}

// EventsExpiry is how long osquery keeps events, in seconds.
func (c *Capabilities) EventsExpiry() int64 { return c.seconds("events_expiry", defaultExpiry) }

func (c *Capabilities) seconds(flag string, otherwise int64) int64 {
	n, err := strconv.ParseInt(c.Flags[flag], 10, 64)
	if err != nil || n <= 0 || n > maxTime {
		return otherwise
	}
	return n
}

// EventsActive reports whether a subscriber and its publisher run.
func (c *Capabilities) EventsActive(subscriber string) bool {
	s, ok := c.Subscribers[subscriber]
	return ok && s.Active && c.Publishers[s.Publisher].Active
}

// Users returns the names of osquery's users table by uid, as text, and on Windows
// by SID too.
func Users(ctx context.Context, q Querier) (map[string]string, error) {
	sql, err := Render(squirrel.Select("uid", "uuid", "username").From("users").Limit(maxUsers))
	if err != nil {
		return nil, err
	}
	users := map[string]string{}
	err = q.Query(ctx, sql, func(r *Row) error {
		// The first name of a uid wins, as in getpwuid.
		if uid := r.Get("uid"); users[uid] == "" {
			users[uid] = r.Get("username")
		}
		if sid := r.Get("uuid"); strings.HasPrefix(sid, "S-1-") {
			users[sid] = r.Get("username")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("asking osquery for users: %w", err)
	}
	return users, nil
}

const maxUsers = 10_000

// missingTable reports that osquery does not know a table.
func missingTable(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && containsFold(status.Message, "no such table")
}

// missingColumn returns the name of a column that osquery does not know.
func missingColumn(err error) (string, bool) {
	var status *StatusError
	if !errors.As(err, &status) {
		return "", false
	}
	_, name, found := strings.Cut(status.Message, "no such column: ")
	name, _, _ = strings.Cut(name, " ")
	return strings.Trim(name, "\"`'"), found
}
