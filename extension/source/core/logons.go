package core

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
	"github.com/osquery-rollcall/rollcall/extension/source/files/peer"
	"github.com/osquery-rollcall/rollcall/extension/source/winevent"
)

const (
	lastTable     = "last"
	loggedInUsers = "logged_in_users"
	userEvents    = "user_events"
)

// lastFeed is the record of logins and starts that POSIX systems keep in wtmp.
func lastFeed(platform evidence.Platform) feed {
	return feed{
		table:   lastTable,
		columns: []string{"time", "username", "tty", "pid", "host", "type"},
		where: func(*Capabilities) []squirrel.Sqlizer {
			return []squirrel.Sqlizer{squirrel.Eq{"type": []int{userProcess, bootTime}}}
		},
		key: []string{"time", "username", "tty", "pid", "host", "type"},
		by:  "time",
		// osquery reads the whole file anyway: no windows.
		short: maxTime, first: maxTime, longest: maxTime,
		overlap:  60,
		expiry:   func(*Capabilities) int64 { return logReach },
		lookback: logLookback,
		past:     true,
		every:    30 * time.Second,
		mapper:   func(*Capabilities) mapper { return rowFunc(lastRow(platform)) },
	}
}

// A start of the host and a login in utmp's numbers (BOOT_TIME, USER_PROCESS).
const (
	bootTime    = 2
	userProcess = 7
)

// lastRow reads what wtmp tells of a login, or of a start of the host.
func lastRow(platform evidence.Platform) func(*Row, int64, *evidence.Batch) {
	return func(r *Row, when int64, b *evidence.Batch) {
		if number(r.Get("type")) == bootTime {
			b.Changes = append(b.Changes, evidence.Change{Time: when, Platform: platform, Source: lastTable, EID: fmt.Sprintf("boot/%d", when), Kind: evidence.ChangeRestart, Subject: "host", Detail: "started"})
			return
		}
		b.Logons = append(b.Logons, login(r.Map(), when, platform, lastTable, "username"))
	}
}

func login(row map[string]string, when int64, platform evidence.Platform, source, user string) evidence.Logon {
	l := evidence.Logon{
		Time: when, Platform: platform, Username: row[user], TTY: strings.TrimPrefix(row["tty"], "/dev/"), PID: number(row["pid"]), Source: source,
	}
	// X displays are recorded like hosts: ":0", "localhost:10.0".
	if host := row["host"]; !strings.HasPrefix(host, ":") {
		l.From = peer.Address(host)
	}
	switch {
	case l.From != "" && !peer.Local(l.From):
		l.Type = "remote_interactive"
	case strings.HasPrefix(row["host"], ":"), strings.HasPrefix(l.TTY, ":"), strings.HasPrefix(l.TTY, "seat"):
		l.Type = "interactive"
	case strings.HasPrefix(l.TTY, "tty") && platform == evidence.Linux, l.TTY == "console":
		l.Type = "console"
	}
	if l.Username == "root" {
		l.Privileged = evidence.Yes
	}
	l.EID = fmt.Sprintf("%s/%d/%d", l.TTY, l.PID, when) // utmp and wtmp tell of the same
	return l
}

// sessionSnapshot is who is logged in. It tells of sessions from before the first
// look too: they have their time with them.
func sessionSnapshot(platform evidence.Platform) snapshot {
	s := snapshot{
		table:   loggedInUsers,
		columns: []string{"type", "user", "tty", "host", "time", "pid"},
		where:   squirrel.Eq{"type": []string{"user", "active"}},
		key:     []string{"user", "tty", "host", "time", "pid"},
		every:   time.Minute,
		first:   true,
		brief:   true,
	}
	if platform == evidence.Windows {
		s.columns = append(s.columns, "sid")
	}
	s.changes = func(_ context.Context, c *comparison, b *evidence.Batch) error {
		for _, d := range c.changes {
			if d.is == nil {
				continue
			}
			when := number(d.is["time"])
			if when == 0 || when > c.now {
				when = c.now
			}
			l := login(d.is, when, platform, loggedInUsers, "user")
			if platform == evidence.Windows {
				l.UID, l.PID = d.is["sid"], 0
				l.Type = "interactive"
				if strings.HasPrefix(strings.ToLower(l.TTY), "rdp") {
					l.Type = "remote_interactive"
				}
			}
			b.Logons = append(b.Logons, l)
		}
		return nil
	}
	return s
}

// The types of audit messages that programs send (linux/audit.h and libaudit).
const (
	auditUserStart = 1105
	auditUserLogin = 1112
)

// accountMessages are the audit messages of changes to accounts.
var accountMessages = map[int64]struct{ subject, what string }{
	1102: {"user", "user changed"}, 1108: {"user", "password or attributes of a user changed"}, 1114: {"user", "user created"}, 1115: {"user", "user deleted"},
	1116: {"group", "group created"}, 1117: {"group", "group deleted"}, 1119: {"group", "id of a group changed"},
	1132: {"group", "group changed"}, 1133: {"group", "group's password changed"}, 1135: {"user", "account locked"}, 1136: {"user", "account unlocked"},
}

func userTypes() []int64 {
	return append(slices.Sorted(maps.Keys(accountMessages)), auditUserStart, auditUserLogin)
}

func userFeed(platform evidence.Platform) feed {
	f := feed{
		table:   userEvents,
		columns: []string{"time", "eid", "uid", "auid", "pid", "message", "type", "path", "address", "terminal"},
		key:     []string{"eid", "time", "pid", "message"},
	}
	if platform == evidence.Darwin {
		f.mapper = func(*Capabilities) mapper { return rowFunc(bsmUserRow) }
		return eventFeed(f)
	}
	f.where = func(*Capabilities) []squirrel.Sqlizer { return []squirrel.Sqlizer{squirrel.Eq{"type": userTypes()}} }
	f.mapper = func(*Capabilities) mapper { return rowFunc(auditUserRow) }
	return eventFeed(f)
}

// auditUserRow reads what programs tell the kernel's audit. Of a message osquery
// keeps the text up to its first blank ("op=PAM:session_open") and some fields: who
// the account is and whether it went well is lost, unless a version keeps more.
func auditUserRow(r *Row, when int64, b *evidence.Batch) {
	kind, _ := r.Int("type")
	fields := messageFields(r.Get("message"))
	path, uid, failed := r.Get("path"), userID(r.Get("auid")), strings.HasPrefix(fields["res"], "fail")
	if account, ok := accountMessages[kind]; ok {
		c := evidence.Change{Time: when, Platform: evidence.Linux, Kind: evidence.ChangeAccount, Source: userEvents, EID: r.Get("eid"),
			Subject: account.subject, Detail: account.what, UID: uid, PID: number(r.Get("pid"))}
		if c.UID == "" {
			c.UID = userID(r.Get("uid"))
		}
		name := fields["acct"]
		if group := fields["grp"]; group != "" && account.subject == "group" {
			name = group
		}
		if name != "" {
			c.Subject += " " + name
		}
		if op := fields["op"]; op != "" {
			c.Detail += ": " + op
		}
		if path != "" {
			c.Detail += " (" + path + ")"
		}
		if !failed {
			b.Changes = append(b.Changes, c)
		}
		return
	}
	program := path[strings.LastIndexByte(path, '/')+1:]
	switch program {
	case "cron", "crond", "atd", "systemd", "systemd-executor":
		return // sessions of jobs, and managers beside the session they are for
	}
	l := evidence.Logon{Time: when, Platform: evidence.Linux, Username: fields["acct"], UID: uid, From: peer.Address(r.Get("address")),
		TTY: strings.TrimPrefix(known(r.Get("terminal")), "/dev/"), PID: number(r.Get("pid")), Source: userEvents, EID: r.Get("eid"),
		Type: auditlog.LogonType(program)}
	if l.TTY == program || l.TTY == "ssh" {
		l.TTY = "" // what a program calls itself before there is a terminal
	}
	switch kind {
	case auditUserStart:
		if fields["op"] != "PAM:session_open" || failed {
			return
		}
		if l.Username == "root" || l.UID == "0" {
			l.Privileged = evidence.Yes
		}
	case auditUserLogin:
		// The session of who got in tells of it. Who did not has no login id; of who
		// did, it is set by then.
		if l.Failed = failed || fields["res"] == "" && uid == ""; !l.Failed {
			return
		}
	}
	b.Logons = append(b.Logons, l)
}

// messageFields takes "op=login acct="alex" res=success'" apart.
func messageFields(message string) map[string]string {
	fields := map[string]string{}
	for _, part := range strings.Fields(message) {
		if key, value, ok := strings.Cut(part, "="); ok {
			fields[key] = known(strings.Trim(value, `"'`))
		}
	}
	return fields
}

// known is empty for audit's words for what is not known.
func known(s string) string {
	switch s {
	case "?", "(none)", "(null)", "(unknown)":
		return ""
	}
	return s
}

// bsmUserRow reads the logins that sshd reports to the audit of macOS; there are no
// others in the table.
func bsmUserRow(r *Row, when int64, b *evidence.Batch) {
	text := strings.TrimRight(strings.TrimPrefix(r.Get("message"), "OpenSSH: "), "\x00 \n")
	l := evidence.Logon{Time: when, Platform: evidence.Darwin, UID: userID(r.Get("auid")), From: peer.Address(r.Get("address")),
		PID: number(r.Get("pid")), Type: "ssh", Source: userEvents, EID: r.Get("eid")}
	switch {
	case text == "" || strings.HasPrefix(text, "sshd logout"):
		return
	case strings.HasPrefix(text, "successful login "):
		l.Username = strings.TrimPrefix(text, "successful login ")
	default:
		l.Failed = true
		if _, name, ok := strings.Cut(text, "user name "); ok {
			l.Username = strings.Trim(name, `"`)
		} else if _, name, ok := strings.Cut(text, " for user "); ok {
			l.Username = name
		}
	}
	b.Logons = append(b.Logons, l)
}

// Logons reads the logons of a span of time, when an incident asks for them. On
// Windows they are never read otherwise: a domain controller has more of them than
// osquery is allowed to spend on anything.
type Logons struct {
	q        Querier
	platform evidence.Platform
}

// NewLogons makes the reader.
func NewLogons(q Querier, platform evidence.Platform) *Logons {
	return &Logons{q: q, platform: platform}
}

// The bounds of one question for logons.
const (
	maxLogons     = 5000
	maxLogonSpan  = 48 * 3600
	logonWindow   = 1800 // seconds of one query
	maxLogonRows  = 2000 // of one query
	logonPlatform = "logons are not known on this platform"
)

// Logons returns the logons between two times, in seconds since 1970 UTC, both
// included: those of people, of Windows with the ones that failed and whether they
// got administrator's rights. There are at most 5,000, the earliest first, and at
// most two days; More says that there were others. When they cannot be read, the
// error is an *evidence.Unavailable.
func (l *Logons) Logons(ctx context.Context, from, to int64) (evidence.Batch, error) {
	var b evidence.Batch
	from, to = max(from, 1), min(to, maxTime)
	if to-from > maxLogonSpan {
		to, b.More = from+maxLogonSpan, true
	}
	if from > to {
		return b, nil
	}
	var err error
	switch l.platform {
	case evidence.Windows:
		err = l.windows(ctx, from, to, &b)
	case evidence.Linux, evidence.Darwin:
		err = l.posix(ctx, from, to, &b)
	default:
		err = &evidence.Unavailable{State: evidence.StateOff, Detail: logonPlatform}
	}
	if err != nil {
		g := gate{name: "logons", needs: needs{table: lastTable, elsewhere: "use an osquery that has it"}}
		if l.platform == evidence.Windows {
			g.needs.table = windowsEventlog
		}
		return evidence.Batch{}, g.unavailable(ctx, err)
	}
	sort.SliceStable(b.Logons, func(i, j int) bool { return b.Logons[i].Time < b.Logons[j].Time })
	if len(b.Logons) > maxLogons {
		b.Logons, b.More = b.Logons[:maxLogons], true
	}
	return b, nil
}

// logonKinds are the types of logon that are asked for: not those of services and
// of the system's start, which are most.
var logonKinds = []datum{{"LogonType", "2"}, {"LogonType", "3"}, {"LogonType", "4"}, {"LogonType", "7"}, {"LogonType", "8"}, {"LogonType", "9"},
	{"LogonType", "10"}, {"LogonType", "11"}}

func (l *Logons) windows(ctx context.Context, from, to int64, b *evidence.Batch) error {
	var reader winevent.Reader
	for ; from <= to && len(b.Logons) < maxLogons; from += logonWindow {
		until := min(to, from+logonWindow-1)
		logons := logQuery{channel: winevent.Security, ids: []int64{winevent.LoggedOn, winevent.LogonFailed}, from: from, to: until, data: logonKinds}
		others := logQuery{channel: winevent.Security, ids: []int64{winevent.ExplicitLogon, winevent.Privileges}, from: from, to: until}
		sql, err := Render(squirrel.Select("datetime", "provider_name", "computer_name", "eventid", "pid", "data").From(windowsEventlog).
			Where(squirrel.Eq{"xpath": logons.and(others)}).Limit(maxLogonRows))
		if err != nil {
			return err
		}
		rows := 0
		err = l.q.Query(ctx, sql, func(r *Row) error {
			rows++
			ev, err := windowsEvent(r, windowsEventlog)
			if err != nil || ev.Time < from || ev.Time > until {
				return nil
			}
			b.Read++
			reader.Read(ev, b)
			return nil
		})
		if err != nil {
			return err
		}
		b.More = b.More || rows == maxLogonRows
	}
	reader.Flush(b)
	b.More = b.More || from <= to
	return nil
}

func (l *Logons) posix(ctx context.Context, from, to int64, b *evidence.Batch) error {
	sql, err := Render(squirrel.Select("time", "username", "tty", "pid", "host").From(lastTable).Where(squirrel.Eq{"type": userProcess}).
		Where(squirrel.GtOrEq{"time": from}).Where(squirrel.LtOrEq{"time": to}).OrderBy("time").Limit(maxLogons + 1))
	if err != nil {
		return err
	}
	row := lastRow(l.platform)
	return l.q.Query(ctx, sql, func(r *Row) error {
		when, ok := r.Int("time")
		if ok {
			b.Read++
			row(r, when, b)
		}
		return nil
	})
}
