// Package results reads the rows of Rollcall's tables back from the results logs of
// osquery, as its loggers and fleet managers write them: a line a row, a line a query
// (differential or snapshot), and the bodies of the TLS logger, also where exports
// wrapped them.
//
// Rows are known by their columns, not by the name of the query, which packs and fleet
// managers change. Logs are hostile input: everything is bounded, and a line that can't
// be read costs that line.
package results

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/report"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// The bounds of what is read.
const (
	maxLine     = 16 << 20
	maxExpanded = 8 << 30   // bytes of one file, after decompression
	maxKept     = 256 << 20 // bytes of all rows that are kept
	maxHosts    = 5_000
	maxText     = 16 << 10
	maxDepth    = 5 // of what exports put around a result
	maxEntries  = 5_000
	maxSteps    = 200
)

// Account is what became of one log.
type Account struct {
	Lines  int64
	Rows   int64 // of Rollcall's tables
	Broken int64 // lines that could not be read
	Left   int64 // rows beyond the bounds
}

// Set is the rows of any number of logs.
type Set struct {
	groups map[string]*group
	kept   int64
}

// group is the rows of one host.
type group struct {
	host      report.Host
	incidents map[string]*kept
	installs  map[string]*report.Install
	runs      map[string]*run
	commands  map[string]report.Command
	baselines map[[2]string]report.Baseline
	health    map[string]part
	newest    int64
}

// kept is an incident with its rows. At is when its own row was logged.
type kept struct {
	row     report.Incident
	known   bool // its own row was among the results
	at      int64
	entries map[entryKey]timed[incident.Entry]
	steps   map[int]timed[incident.Answer]
}

type run struct {
	row report.Run
	at  int64
}

type part struct {
	row report.Health
	at  int64
}

type timed[T any] struct {
	row T
	at  int64
}

type entryKey struct {
	time            int64
	kind            string
	subject, detail string
	eid             string
}

// marks are texts of which every row of ours has one: the names of columns.
func marks() [][]byte {
	return [][]byte{[]byte(`incident_id`), []byte(`install_id`), []byte(`event_id`), []byte(`burst_id`), []byte(`hour_of_week`), []byte(`remedy`)}
}

// Read adds the rows of one log. The error is that of the reading; what was read before
// stays.
func (s *Set) Read(r io.Reader) (Account, error) {
	var a Account
	in := bufio.NewReaderSize(r, 256<<10)
	if head, _ := in.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return a, fmt.Errorf("decompress the results: %w", err)
		}
		in = bufio.NewReaderSize(io.LimitReader(z, maxExpanded), 256<<10)
	}
	if head, _ := in.Peek(3); bytes.Equal(head, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3)
	}
	markers := marks()
	var line, whole []byte
	tooLong := false
	for {
		piece, err := in.ReadSlice('\n')
		if len(line)+len(piece) > maxLine {
			tooLong, line = true, line[:0]
		} else if !tooLong {
			line = append(line, piece...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return a, fmt.Errorf("read the results: %w", err)
		}
		text := bytes.TrimSpace(line)
		if len(text) > 0 || tooLong {
			a.Lines++
			ours := slices.ContainsFunc(markers, func(m []byte) bool { return bytes.Contains(text, m) })
			switch {
			case tooLong:
				a.Broken++
			case whole != nil && len(whole)+len(line) > maxLine:
				s.lines(whole, markers, &a)
				s.lines(line, markers, &a)
				whole = nil
			case whole != nil || a.Lines == 1 && !json.Valid(text):
				// Perhaps one object over many lines.
				whole = append(whole, line...)
			case ours:
				if !s.object(text, &a) {
					a.Broken++
				}
			}
		}
		line, tooLong = line[:0], false
		if err != nil {
			break
		}
	}
	if whole != nil && !s.object(whole, &a) {
		s.lines(whole, markers, &a)
	}
	return a, nil
}

// lines reads what was no single object after all, line by line.
func (s *Set) lines(text []byte, markers [][]byte, a *Account) {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && slices.ContainsFunc(markers, func(m []byte) bool { return bytes.Contains(line, m) }) && !s.object(line, a) {
			a.Broken++
		}
	}
}

// object reads what a line holds; it is false for what is no JSON.
func (s *Set) object(text []byte, a *Account) bool {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return false
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return false
	}
	s.walk(v, 0, a)
	return true
}

// walk finds results in what exports wrapped around them.
func (s *Set) walk(v any, depth int, a *Account) {
	if depth > maxDepth {
		return
	}
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			s.walk(x, depth+1, a)
		}
	case map[string]any:
		if rows := rowsOf(v); rows != nil {
			s.result(v, rows, a)
			return
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			switch x := v[k].(type) {
			case []any, map[string]any:
				s.walk(x, depth+1, a)
			}
		}
	}
}

// rowsOf returns the rows of a result that are there, not those that went; nil for what
// is no result.
func rowsOf(o map[string]any) []any {
	if _, named := o["name"].(string); !named {
		return nil
	}
	if columns, ok := o["columns"].(map[string]any); ok {
		if o["action"] == "removed" {
			return []any{}
		}
		return []any{columns}
	}
	if rows, ok := o["snapshot"].([]any); ok {
		return rows
	}
	if diff, ok := o["diffResults"].(map[string]any); ok {
		switch added := diff["added"].(type) {
		case []any:
			return added
		case map[string]any:
			return []any{added}
		}
		return []any{}
	}
	return nil
}

// row is the columns of one row.
type row map[string]any

func (r row) text(name string) string {
	var s string
	switch v := r[name].(type) {
	case string:
		s = v
	case json.Number:
		s = v.String()
	}
	if len(s) > maxText {
		s = s[:maxText] + "..."
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// number is a whole number, or otherwise where there is none.
func (r row) number(name string, otherwise int64) int64 {
	s := r.text(name)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > -1e15 && f < 1e15 {
		return int64(f)
	}
	return otherwise
}

// list is a JSON list of texts.
func (r row) list(name string) []string {
	var out []string
	if err := json.Unmarshal([]byte(r.text(name)), &out); err != nil {
		return nil
	}
	return out
}

func (r row) has(names ...string) bool {
	for _, n := range names {
		if _, ok := r[n]; !ok {
			return false
		}
	}
	return true
}

// result files the rows of one result.
func (s *Set) result(o map[string]any, rows []any, a *Account) {
	env := row(o)
	decorations, _ := o["decorations"].(map[string]any)
	name := cmp.Or(row(decorations).text("hostname"), env.text("hostname"))
	at := env.number("unixTime", 0)
	for _, x := range rows {
		columns, ok := x.(map[string]any)
		if !ok {
			continue
		}
		r := row(columns)
		kind := kindOf(r, env.text("name"))
		if kind == none {
			continue
		}
		a.Rows++
		size := int64(0)
		for k := range r {
			size += int64(len(k) + len(r.text(k)))
		}
		g := s.group(cmp.Or(env.text("hostIdentifier"), name, r.text("host")))
		if g == nil || s.kept+size > maxKept {
			a.Left++
			continue
		}
		s.kept += size
		if g.host.Name == "" {
			g.host.Name = cmp.Or(name, r.text("host"))
		}
		g.host.Platform = cmp.Or(g.host.Platform, r.text("platform"))
		g.newest = max(g.newest, at)
		g.add(kind, r, at, a)
	}
}

func (s *Set) group(key string) *group {
	if s.groups == nil {
		s.groups = map[string]*group{}
	}
	g := s.groups[key]
	if g == nil {
		if len(s.groups) >= maxHosts {
			return nil
		}
		g = &group{
			host: report.Host{}, incidents: map[string]*kept{}, installs: map[string]*report.Install{}, runs: map[string]*run{},
			commands: map[string]report.Command{}, baselines: map[[2]string]report.Baseline{}, health: map[string]part{},
		}
		s.groups[key] = g
	}
	return g
}

// kind is the table a row is of.
type kind int

const (
	none kind = iota
	anIncident
	anEntry
	aConnection // an entry of a query that left its kind out
	aLogon
	aStep
	anInstall
	aCommand
	aRun
	aBaseline
	aPart
)

// kindOf tells a row's table by its columns, and where those leave its kind out by the
// query's name.
func kindOf(r row, query string) kind {
	switch {
	case r.has("incident_id", "decision", "summary"):
		return anIncident
	case r.has("incident_id", "step", "question", "answer"):
		return aStep
	case r.has("incident_id", "phase", "subject", "time"):
		switch {
		case r.has("kind"):
			return anEntry
		case strings.HasSuffix(query, "network_after"):
			return aConnection
		case strings.HasSuffix(query, "logons_before"):
			return aLogon
		}
	case r.has("install_id", "action", "name"):
		return anInstall
	case r.has("event_id", "cmdline", "score"):
		return aCommand
	case r.has("burst_id", "start_time", "events"):
		return aRun
	case r.has("hour_of_week", "username", "family"):
		return aBaseline
	case r.has("component", "state", "remedy"):
		return aPart
	}
	return none
}

func (g *group) incident(id string) *kept {
	k := g.incidents[id]
	if k == nil {
		k = &kept{entries: map[entryKey]timed[incident.Entry]{}, steps: map[int]timed[incident.Answer]{}}
		k.row.ID = id
		g.incidents[id] = k
	}
	return k
}

func (g *group) add(kind kind, r row, at int64, a *Account) {
	switch kind {
	case anIncident:
		g.addIncident(r, at)
	case anEntry:
		g.addEntry(r, r.text("kind"), at, a)
	case aConnection:
		g.addEntry(r, "connection", at, a)
	case aLogon:
		g.addEntry(r, "logon", at, a)
	case aStep:
		k, n := g.incident(r.text("incident_id")), int(r.number("step", 0))
		if old, ok := k.steps[n]; ok && old.at > at {
			return
		} else if !ok && len(k.steps) >= maxSteps {
			a.Left++
			return
		}
		k.steps[n] = timed[incident.Answer]{incident.Answer{
			Tier: r.text("tier"), Step: n, Question: r.text("question"), Answer: r.text("answer"), Verdict: r.text("verdict"), Evidence: r.list("evidence"),
			SQL: r.text("sql"), Command: r.text("command"),
		}, at}
	case anInstall:
		id := r.text("install_id")
		g.installs[id] = &report.Install{
			ID: id, Time: r.number("time", 0), Action: r.text("action"), Kind: r.text("kind"), Name: r.text("name"),
			Program: cmp.Or(r.text("image_path"), strings.TrimSpace(r.text("path")+" "+r.text("args"))), UnitPath: r.text("unit_path"), Account: r.text("account"),
			Installer: cmp.Or(r.text("installer_cmdline"), r.text("installer_path")), Username: r.text("installer_username"), LoginUser: r.text("login_user"),
			Package: r.text("package"), Attribution: r.text("attribution"), Basis: r.text("attribution_detail"), Score: points(r, 0), Severity: r.text("severity"),
			Reasons: report.Reasons(r.text("reasons")), IncidentID: r.text("incident_id"),
		}
	case aCommand:
		id := r.text("event_id")
		g.commands[id] = report.Command{ID: id, Time: r.number("time", 0), Username: cmp.Or(r.text("login_user"), r.text("username"))}
	case aRun:
		g.addRun(r, at)
	case aBaseline:
		b := report.Baseline{Username: r.text("username"), Family: r.text("family"), Learned: r.text("learned") == "1"}
		var hours map[string]int
		if err := json.Unmarshal([]byte(r.text("hour_of_week")), &hours); err != nil {
			return
		}
		for k, n := range hours {
			if h, err := strconv.Atoi(k); err == nil && h >= 0 && h < len(b.Hours) {
				b.Hours[h] = min(max(n, 0), 1<<20)
			}
		}
		if !strings.HasPrefix(b.Family, "@") {
			g.baselines[[2]string{b.Username, b.Family}] = b
		}
	case aPart:
		name := r.text("component")
		if old, ok := g.health[name]; ok && old.at > at {
			return
		}
		g.health[name] = part{report.Health{Component: name, State: r.text("state"), Detail: r.text("detail"), Remedy: r.text("remedy"),
			LastEvent: r.number("last_event", 0), Read: r.number("events_read", -1), Dropped: r.number("events_dropped", -1), Gaps: r.number("gaps", -1)}, at}
	}
}

// points is a score, 0 to 100.
func points(r row, otherwise int64) int {
	return int(min(max(r.number("score", otherwise), otherwise), 100))
}

func (g *group) addIncident(r row, at int64) {
	k := g.incident(r.text("incident_id"))
	g.host.UUID = cmp.Or(g.host.UUID, r.text("host_uuid"))
	if k.known && k.at > at {
		return
	}
	opened := r.number("opened", 0)
	k.known, k.at = true, at
	k.row = report.Incident{
		ID: k.row.ID, Decision: r.text("decision"), DecisionReasons: r.list("decision_reasons"), Score: points(r, 0), Severity: r.text("severity"), Status: r.text("status"),
		Summary: r.text("summary"), Username: r.text("username"), LoginUser: r.text("login_user"), Attribution: r.text("attribution"), Basis: r.text("attribution_detail"),
		Opened: opened, Last: r.number("last_time", 0), Updated: r.number("updated", at), RunIDs: r.list("burst_ids"), InstallIDs: r.list("install_ids"),
		Reasons: report.Reasons(r.text("reasons")),
	}
}

func (g *group) addEntry(r row, kind string, at int64, a *Account) {
	k := g.incident(r.text("incident_id"))
	e := incident.Entry{
		Time: r.number("time", 0), Phase: r.text("phase"), Kind: kind, Subject: r.text("subject"), Detail: r.text("detail"), Score: points(r, -1),
		Source: r.text("source"), EID: r.text("eid"),
	}
	key := entryKey{e.Time, e.Kind, e.Subject, e.Detail, e.EID}
	if old, ok := k.entries[key]; ok && old.at > at {
		return
	} else if !ok && len(k.entries) >= maxEntries {
		a.Left++
		return
	}
	k.entries[key] = timed[incident.Entry]{e, at}
}

func (g *group) addRun(r row, at int64) {
	id := r.text("burst_id")
	if old, ok := g.runs[id]; ok && old.at > at {
		return
	}
	x := report.Run{
		ID: id, Start: r.number("start_time", 0), End: r.number("end_time", 0), Username: cmp.Or(r.text("login_user"), r.text("username")), Families: r.list("families"),
		Events: r.number("events", 0), Attribution: r.text("attribution"), Score: points(r, 0), Severity: r.text("severity"), Reasons: report.Reasons(r.text("reasons")),
	}
	if p, err := strconv.ParseFloat(r.text("tail_probability"), 64); err == nil && p > 0 && p <= 1 {
		if e, err := strconv.ParseFloat(r.text("expected_events"), 64); err == nil && e >= 0 && e < 1e12 {
			x.Known, x.Expected, x.Tail = true, e, p
		}
	}
	g.runs[id] = &run{x, at}
}

// Hosts returns what the rows tell of each host.
func (s *Set) Hosts() []*report.Host {
	var out []*report.Host
	for _, key := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[key]
		h := g.host
		h.Name = cmp.Or(h.Name, key)
		for _, id := range slices.Sorted(maps.Keys(g.incidents)) {
			h.Incidents = append(h.Incidents, g.incidents[id].whole())
		}
		for _, id := range slices.Sorted(maps.Keys(g.installs)) {
			h.Installs = append(h.Installs, g.installs[id])
		}
		for _, id := range slices.Sorted(maps.Keys(g.runs)) {
			h.Runs = append(h.Runs, &g.runs[id].row)
		}
		for _, id := range slices.Sorted(maps.Keys(g.commands)) {
			h.Commands = append(h.Commands, g.commands[id])
		}
		for _, k := range slices.SortedFunc(maps.Keys(g.baselines), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
			h.Baselines = append(h.Baselines, g.baselines[k])
		}
		for _, name := range slices.Sorted(maps.Keys(g.health)) {
			p := g.health[name]
			if p.at > 0 {
				// A source that mended itself is not logged again.
				p.row.Detail = strings.TrimSpace(p.row.Detail + " (as logged on " + report.Moment(p.at) + ")")
			}
			h.Health = append(h.Health, p.row)
		}
		if len(h.Commands) > 0 && len(h.Baselines) == 0 {
			h.Notes = append(h.Notes, "What is usual on this host is not in these results: service_discovery_baselines has it.")
		}
		out = append(out, &h)
	}
	return out
}

// whole is the incident with its rows in order.
func (k *kept) whole() *report.Incident {
	x := k.row
	for _, e := range k.entries {
		x.Timeline = append(x.Timeline, e.row)
	}
	slices.SortFunc(x.Timeline, func(a, b incident.Entry) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Subject, b.Subject), strings.Compare(a.Detail, b.Detail), strings.Compare(a.EID, b.EID))
	})
	for _, n := range slices.Sorted(maps.Keys(k.steps)) {
		x.Triage = append(x.Triage, k.steps[n].row)
	}
	if n := len(x.Timeline); n > 0 {
		x.Last = max(x.Last, x.Timeline[n-1].Time)
		if x.Opened == 0 {
			x.Opened = x.Timeline[0].Time
		}
	}
	if !k.known {
		x.Summary = "The incident's own row is not among these results"
		for _, e := range x.Timeline {
			x.Score = max(x.Score, e.Score)
		}
		x.Severity = score.Severity(x.Score)
	}
	return &x
}
