package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
)

// fixtureTime is when the recorded rows begin: 2026-03-02 09:00:00 UTC.
const fixtureTime = int64(1_772_442_000)

// machine is an osquery of one platform that answers from recorded rows: the SQL
// really runs, on tables with the columns of osquery's specs.
type machine struct {
	t        testing.TB
	platform evidence.Platform
	hands    *hands

	mu      sync.Mutex
	db      *sqlite.Conn
	events  []map[string]string // of windows_eventlog
	queries []string
	// fail, when set, decides the fate of a query; cost passes time for it.
	fail func(sql string) error
	cost func(sql string) time.Duration
}

// publishers are the subscribers of osquery's events by platform, and theirs.
var publishers = map[evidence.Platform]map[string]string{
	evidence.Linux: {"process_events": "auditeventpublisher", "socket_events": "auditeventpublisher", "user_events": "auditeventpublisher",
		"syslog_events": "syslog", "bpf_process_events": "BPFEventPublisher", "bpf_socket_events": "BPFEventPublisher"},
	evidence.Darwin: {"es_process_events": "endpointsecurity", "process_events": "openbsm", "socket_events": "openbsm", "user_events": "openbsm"},
	evidence.Windows: {"process_etw_events": "etw_process_publisher", "windows_events": "WindowsEventLogPublisher",
		"powershell_events": "WindowsEventLogPublisher"},
}

// flagsOn is what turns all events on.
var flagsOn = map[string]string{
	"disable_events": "false", "disable_audit": "false", "audit_allow_config": "true", "audit_allow_process_events": "true",
	"audit_allow_sockets": "true", "audit_allow_user_events": "true", "enable_bpf_events": "true", "enable_syslog": "true",
	"disable_endpointsecurity": "false", "enable_process_etw_events": "true", "enable_windows_events_publisher": "true",
	"enable_windows_events_subscriber": "true", "enable_powershell_events_subscriber": "true",
	"windows_event_channels": "System,Application,Setup,Security", "events_expiry": "3600", "syslog_events_expiry": "2592000",
}

// newMachine is an osquery of a version ("" for the newest) with everything on and
// the recorded rows in it.
func newMachine(t testing.TB, platform evidence.Platform, version string) *machine {
	t.Helper()
	db, err := sqlite.OpenConn(":memory:", sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	m := &machine{t: t, platform: platform, db: db, hands: &hands{wall: fixtureTime + 20, mono: time.Hour}}
	schema, err := os.ReadFile("testdata/schema.txt")
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]string{}
	for _, line := range strings.Split(string(schema), "\n") {
		head, columns, ok := strings.Cut(line, ": ")
		of, name, _ := strings.Cut(head, " ")
		if ok && (of == string(platform) || (version != "" && of == string(platform)+"-"+version)) {
			tables[name] = columns
		}
	}
	for name, columns := range tables {
		m.exec("CREATE TABLE " + name + " (" + columns + ")")
		m.exec("INSERT INTO osquery_registry_names VALUES ('" + name + "')")
	}
	m.exec("INSERT INTO osquery_registry (registry, name, active) SELECT 'table', name, 1 FROM osquery_registry_names")
	m.exec("INSERT INTO osquery_info (version, start_time, pid) VALUES ('5.23.0', ?, 7)", fixtureTime-86400)
	for subscriber, publisher := range publishers[platform] {
		m.exec("DELETE FROM osquery_events WHERE name = ?", publisher)
		m.exec("INSERT INTO osquery_events (name, publisher, type, events, active) VALUES (?1, ?1, 'publisher', 9, 1)", publisher)
		m.exec("INSERT INTO osquery_events (name, publisher, type, active) VALUES (?, ?, 'subscriber', 1)", subscriber, publisher)
	}
	for name, value := range flagsOn {
		m.flag(name, value)
	}
	files, err := filepath.Glob(filepath.Join("testdata", string(platform), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".json"); !strings.Contains(name, ".") {
			m.load(name, name)
		}
	}
	return m
}

// load fills a table with the rows of a fixture.
func (m *machine) load(table, fixture string) {
	m.t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", string(m.platform), fixture+".json"))
	if err != nil {
		m.t.Fatal(err)
	}
	var rows []map[string]string
	if err := json.Unmarshal(raw, &rows); err != nil {
		m.t.Fatalf("%s: %v", fixture, err)
	}
	if table == "windows_eventlog" {
		m.events = rows
		return
	}
	m.exec("DELETE FROM " + table)
	m.insert(table, rows...)
}

func (m *machine) insert(table string, rows ...map[string]string) {
	m.t.Helper()
	defer func(begun bool) {
		if begun {
			m.exec("COMMIT")
		}
	}(len(rows) > 1 && m.begin())
	for _, row := range rows {
		names := make([]string, 0, len(row))
		for name := range row {
			names = append(names, name)
		}
		slices.Sort(names)
		args := make([]any, len(names))
		for i, name := range names {
			args[i] = row[name]
		}
		m.exec(fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(names, ", "), strings.TrimSuffix(strings.Repeat("?, ", len(names)), ", ")), args...)
	}
}

func (m *machine) begin() bool {
	m.exec("BEGIN")
	return true
}

func (m *machine) exec(sql string, args ...any) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if strings.Contains(sql, "osquery_registry_names") {
		if err := sqlitex.ExecuteTransient(m.db, "CREATE TABLE IF NOT EXISTS osquery_registry_names (name TEXT)", nil); err != nil {
			m.t.Fatal(err)
		}
	}
	run := sqlitex.ExecuteTransient
	if len(args) > 0 {
		run = sqlitex.Execute // which keeps the statement
	}
	if err := run(m.db, sql, &sqlitex.ExecOptions{Args: args}); err != nil {
		m.t.Fatalf("%s: %v", sql, err)
	}
}

func (m *machine) flag(name, value string) {
	m.exec("DELETE FROM osquery_flags WHERE name = ?", name)
	m.exec("INSERT INTO osquery_flags (name, value) VALUES (?, ?)", name, value)
}

// asked are the queries so far that contain a text.
func (m *machine) asked(part string) (out []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range m.queries {
		if strings.Contains(q, part) {
			out = append(out, q)
		}
	}
	return out
}

var (
	eventTables = regexp.MustCompile(`FROM (\w+_events)\b`)
	timeBounds  = regexp.MustCompile(`WHERE .*\btime (>=|IN|=)`)
	limits      = regexp.MustCompile(`LIMIT (\d+)$`)
	xpaths      = regexp.MustCompile(`xpath = '((?:[^']|'')*)'`)
)

// Query implements core.Querier.
func (m *machine) Query(ctx context.Context, sql string, row func(*core.Row) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queries = append(m.queries, sql)
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.fail != nil {
		if err := m.fail(sql); err != nil {
			return err
		}
	}
	if m.cost != nil {
		m.hands.mono += m.cost(sql)
	}
	m.manners(sql)
	if xpath := xpaths.FindStringSubmatch(sql); xpath != nil {
		m.render(strings.ReplaceAll(xpath[1], "''", "'"))
	}
	err := sqlitex.ExecuteTransient(m.db, sql, &sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
		pairs := make([]string, 0, 2*stmt.ColumnCount())
		for i := range stmt.ColumnCount() {
			pairs = append(pairs, stmt.ColumnName(i), stmt.ColumnText(i))
		}
		return row(core.NewRow(pairs...))
	}})
	if err != nil {
		// As osquery words it, without the binding's own ornaments.
		if at := strings.Index(err.Error(), "no such "); at >= 0 {
			return &core.StatusError{Op: "query", Code: 1, Message: err.Error()[at:]}
		}
	}
	return err
}

// manners fails the test on a query that would harm a real osquery.
func (m *machine) manners(sql string) {
	if table := eventTables.FindStringSubmatch(sql); table != nil && table[1] != "osquery_events" && !timeBounds.MatchString(sql) {
		m.t.Errorf("no bound on time: %s", sql)
	}
	if strings.Contains(sql, "osquery_schedule") || strings.Contains(sql, "osquery_packs") {
		m.t.Errorf("the scheduler holds the lock: %s", sql)
	}
	if strings.Contains(sql, "windows_eventlog") && !strings.Contains(sql, "name = ") && len(xpaths.FindAllString(sql, -1)) != 1 {
		m.t.Errorf("not one xpath: %s", sql)
	}
	if !strings.Contains(sql, "FROM osquery_") {
		n := 0
		if l := limits.FindStringSubmatch(sql); l != nil {
			n, _ = strconv.Atoi(l[1])
		}
		if n == 0 || n > 10_000 {
			m.t.Errorf("no limit of at most 10,000: %s", sql)
		}
	}
}

// The parts of the event log's query language that are in use.
var (
	queryForm    = regexp.MustCompile(`^<QueryList><Query Id="0">((?:<Select Path="[^"]+">[^<]+</Select>)+)(?:<Suppress Path="([^"]+)">([^<]+)</Suppress>)?</Query></QueryList>$`)
	selectForm   = regexp.MustCompile(`<Select Path="([^"]+)">([^<]+)</Select>`)
	idTerms      = regexp.MustCompile(`^\((?:EventID=\d+|\(EventID>=\d+ and EventID<=\d+\))(?: or (?:EventID=\d+|\(EventID>=\d+ and EventID<=\d+\)))*\)`)
	idTerm       = regexp.MustCompile(`EventID(?:=(\d+)|>=(\d+) and EventID<=(\d+))`)
	rangeTerm    = regexp.MustCompile(`TimeCreated\[@SystemTime>='([^']+)'(?: and @SystemTime<='([^']+)')?\]`)
	recentTerm   = regexp.MustCompile(`TimeCreated\[timediff\(@SystemTime\) <= (\d+)\]`)
	dataTerm     = regexp.MustCompile(`Data\[@Name='(\w+)'\]='([^']*)'`)
	termsInQuery = regexp.MustCompile(`EventID[<>=]|@SystemTime|Data\[`)
)

// render does what windows_eventlog does: the events that a query selects, newest
// first, each with the query in its xpath column.
func (m *machine) render(xpath string) {
	m.t.Helper()
	form := queryForm.FindStringSubmatch(xpath)
	if form == nil {
		m.t.Fatalf("not a query of an event log: %s", xpath)
	}
	selects := selectForm.FindAllStringSubmatch(form[1], -1)
	var wanted []func(map[string]string) bool
	for _, s := range selects {
		if s[1] != selects[0][1] {
			m.t.Fatalf("osquery asks one channel: %s", xpath)
		}
		wanted = append(wanted, m.compile(s[2]))
	}
	unwanted := func(map[string]string) bool { return false }
	if form[2] != "" {
		unwanted = m.compile(form[3])
	}
	var hits []map[string]string
	for _, ev := range m.events {
		hit := false
		for _, want := range wanted {
			hit = hit || ev["channel"] == selects[0][1] && want(ev)
		}
		if hit && !unwanted(ev) {
			hits = append(hits, ev)
		}
	}
	slices.SortStableFunc(hits, func(a, b map[string]string) int { return strings.Compare(b["datetime"], a["datetime"]) })
	var err error
	defer sqlitex.Save(m.db)(&err)
	if err = sqlitex.Execute(m.db, "DELETE FROM windows_eventlog", nil); err != nil {
		m.t.Fatal(err)
	}
	for _, ev := range hits {
		err = sqlitex.Execute(m.db, `INSERT INTO windows_eventlog (datetime, provider_name, provider_guid, computer_name, eventid, task, level, keywords, data, pid, tid, xpath)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, &sqlitex.ExecOptions{Args: []any{ev["datetime"], ev["provider_name"], ev["provider_guid"], ev["computer_name"],
			ev["eventid"], ev["task"], ev["level"], ev["keywords"], ev["data"], ev["pid"], ev["tid"], xpath}})
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// compile is what an expression selects.
func (m *machine) compile(expr string) func(map[string]string) bool {
	m.t.Helper()
	expr = html.UnescapeString(expr)
	if n := len(termsInQuery.FindAllString(expr, -1)); n > 20 {
		m.t.Fatalf("%d terms are more than Windows takes: %s", n, expr)
	}
	if expr == "*" {
		return func(map[string]string) bool { return true }
	}
	var system, data string
	switch {
	case strings.HasPrefix(expr, "*[EventData["):
		data = strings.TrimSuffix(strings.TrimPrefix(expr, "*[EventData["), "]]")
	case strings.HasPrefix(expr, "*[System["):
		var ok bool
		if system, data, ok = strings.Cut(strings.TrimPrefix(expr, "*[System["), "] and EventData["); ok {
			data = strings.TrimSuffix(data, "]]")
		} else {
			system = strings.TrimSuffix(system, "]]")
		}
	default:
		m.t.Fatalf("unknown expression: %s", expr)
	}
	var all []func(map[string]string) bool
	if ids := idTerms.FindString(system); ids != "" {
		list := idTerm.FindAllStringSubmatch(ids, -1)
		all = append(all, func(ev map[string]string) bool {
			id, _ := strconv.Atoi(ev["eventid"])
			return slices.ContainsFunc(list, func(t []string) bool {
				from, _ := strconv.Atoi(t[1] + t[2])
				to, _ := strconv.Atoi(t[1] + t[3])
				return from <= id && id <= to
			})
		})
		system = strings.TrimPrefix(strings.TrimPrefix(system, ids), " and ")
	}
	if t := rangeTerm.FindStringSubmatch(system); t != nil {
		// The service compares ticks; the texts here have one form.
		from, to := tick(m.t, t[1]), time.Time{}
		if t[2] != "" {
			to = tick(m.t, t[2])
		}
		all = append(all, func(ev map[string]string) bool {
			at := tick(m.t, ev["datetime"])
			return !at.Before(from) && (to.IsZero() || !at.After(to))
		})
		system = strings.Replace(system, t[0], "", 1)
	}
	if t := recentTerm.FindStringSubmatch(system); t != nil {
		ms, _ := strconv.ParseInt(t[1], 10, 64)
		all = append(all, func(ev map[string]string) bool {
			return time.Unix(m.hands.wall, 0).Sub(tick(m.t, ev["datetime"])) <= time.Duration(ms)*time.Millisecond
		})
		system = strings.Replace(system, t[0], "", 1)
	}
	if system != "" {
		m.t.Fatalf("not understood: %q of %s", system, expr)
	}
	if data != "" {
		var terms [][]string
		for _, d := range strings.Split(data, " or ") {
			t := dataTerm.FindStringSubmatch(d)
			if t == nil {
				m.t.Fatalf("not understood: %q of %s", d, expr)
			}
			terms = append(terms, t)
		}
		all = append(all, func(ev map[string]string) bool {
			var values struct{ EventData map[string]string }
			_ = json.Unmarshal([]byte(ev["data"]), &values)
			for _, t := range terms {
				if v, ok := values.EventData[t[1]]; ok && v == t[2] {
					return true
				}
			}
			return false
		})
	}
	return func(ev map[string]string) bool {
		for _, f := range all {
			if !f(ev) {
				return false
			}
		}
		return true
	}
}

func tick(t testing.TB, s string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// source is one of the machine's sources.
func (m *machine) source(name string) core.Source {
	m.t.Helper()
	for _, s := range core.Sources(m, m.platform, core.Options{Clock: m.hands.clock}) {
		if s.Name() == name {
			return s
		}
	}
	m.t.Fatalf("no source %s", name)
	return nil
}

// follower reads a source as the engine does: the cursor goes with the rows.
type follower struct {
	m      *machine
	src    core.Source
	cursor string
	all    evidence.Batch
}

func (m *machine) follow(name string) *follower { return &follower{m: m, src: m.source(name)} }

// read reads until nothing more waits and returns what came.
func (f *follower) read(limit int) evidence.Batch {
	f.m.t.Helper()
	var got evidence.Batch
	for range 2000 {
		b, err := f.src.Read(context.Background(), f.cursor, limit)
		if err != nil {
			f.m.t.Fatalf("%s: %v", f.src.Name(), err)
		}
		if b.Cursor != "" {
			f.cursor = b.Cursor
		}
		if len(f.cursor) > 2<<20 {
			f.m.t.Fatalf("a cursor of %d bytes", len(f.cursor))
		}
		got = join(got, b)
		if !b.More {
			f.all = join(f.all, got)
			return got
		}
		f.m.hands.pass(31) // the source may want a rest
	}
	f.m.t.Fatal("reading does not end")
	return got
}

func join(a, b evidence.Batch) evidence.Batch {
	a.Processes = append(a.Processes, b.Processes...)
	a.Installs = append(a.Installs, b.Installs...)
	a.Logons = append(a.Logons, b.Logons...)
	a.Connections = append(a.Connections, b.Connections...)
	a.Changes = append(a.Changes, b.Changes...)
	a.Gaps = append(a.Gaps, b.Gaps...)
	a.Read += b.Read
	a.Dropped += b.Dropped
	return a
}

func unavailable(t testing.TB, err error) *evidence.Unavailable {
	t.Helper()
	var u *evidence.Unavailable
	if !errors.As(err, &u) {
		t.Fatalf("got %v", err)
	}
	return u
}
