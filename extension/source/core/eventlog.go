package core

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/winevent"
)

const (
	windowsEventlog = "windows_eventlog"
	windowsEvents   = "windows_events"
)

// logQuery selects events of one channel in the event log's own query language,
// which osquery's windows_eventlog takes in its xpath column. The table's other
// constraints are no substitute: it joins several ids and the times to
// "(EventID=1) or (EventID=2) and TimeCreated[...]", where the times bind to the
// last id alone, and SQLite asks for the ids of an IN list one by one.
//
// Windows refuses an expression of more than 22 terms: ids that follow each other
// are asked for by their bounds.
type logQuery struct {
	channel string
	ids     []int64
	// from and to bound the time, in seconds since 1970 UTC, both included; to 0 is
	// no bound. recent bounds it instead, by the event log's own clock.
	from, to int64
	recent   time.Duration
	// data are conditions on the event's values, of which one must hold.
	data []datum
	// but are conditions that hold for events which are left out.
	but []datum
}

// datum is a value of an event.
type datum struct{ name, value string }

func (q logQuery) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<QueryList><Query Id="0"><Select Path="%s">`, q.channel)
	q.selection(&b)
	b.WriteString("</Select>")
	if len(q.but) > 0 {
		fmt.Fprintf(&b, `<Suppress Path="%s">*[EventData[%s]]</Suppress>`, q.channel, anyOf(q.but))
	}
	b.WriteString("</Query></QueryList>")
	return b.String()
}

// and adds a second selection of the same channel.
func (q logQuery) and(other logQuery) string {
	var b strings.Builder
	other.selection(&b)
	return strings.Replace(q.text(), "</Select>", `</Select><Select Path="`+q.channel+`">`+b.String()+"</Select>", 1)
}

func (q logQuery) selection(b *strings.Builder) {
	var terms []string
	if len(q.ids) > 0 {
		terms = append(terms, "("+strings.Join(idTerms(q.ids), " or ")+")")
	}
	switch {
	case q.recent > 0:
		terms = append(terms, fmt.Sprintf("TimeCreated[timediff(@SystemTime) &lt;= %d]", q.recent.Milliseconds()))
	case q.from > 0 && q.to > 0:
		// The end is the second's own: comparing is by ticks of 100 ns.
		terms = append(terms, fmt.Sprintf("TimeCreated[@SystemTime&gt;='%s' and @SystemTime&lt;='%s']", stamp(q.from), stamp(q.to+1)))
	case q.from > 0:
		terms = append(terms, fmt.Sprintf("TimeCreated[@SystemTime&gt;='%s']", stamp(q.from)))
	}
	switch {
	case len(terms) == 0:
		b.WriteString("*")
	case len(q.data) == 0:
		fmt.Fprintf(b, "*[System[%s]]", strings.Join(terms, " and "))
	default:
		fmt.Fprintf(b, "*[System[%s] and EventData[%s]]", strings.Join(terms, " and "), anyOf(q.data))
	}
}

// idTerms are the conditions for ids, in order and without gaps between those that
// are given by their bounds.
func idTerms(ids []int64) []string {
	ids = slices.Sorted(slices.Values(ids))
	var terms []string
	for len(ids) > 0 {
		n := 1
		for n < len(ids) && ids[n] <= ids[n-1]+1 {
			n++
		}
		if run := ids[:n]; run[n-1] > run[0]+1 {
			terms = append(terms, fmt.Sprintf("(EventID&gt;=%d and EventID&lt;=%d)", run[0], run[n-1]))
		} else {
			for _, id := range slices.Compact(run) {
				terms = append(terms, "EventID="+strconv.FormatInt(id, 10))
			}
		}
		ids = ids[n:]
	}
	return terms
}

func anyOf(data []datum) string {
	terms := make([]string, len(data))
	for i, d := range data {
		terms[i] = fmt.Sprintf("Data[@Name='%s']='%s'", d.name, d.value)
	}
	return strings.Join(terms, " or ")
}

// lastStamp is the year 9999, the last that the form has room for.
const lastStamp = 253_402_300_799

func stamp(t int64) string {
	return time.Unix(min(t, lastStamp), 0).UTC().Format("2006-01-02T15:04:05.000Z")
}

// The lookback and reach of the logs of Windows, in seconds: they keep their
// records themselves, over days.
const (
	logLookback = 24 * 3600
	logReach    = 7 * 24 * 3600
	logOverlap  = 60
)

// logFeed is windows_eventlog, narrowed to the events of one channel.
func logFeed(name string, q logQuery, lookback int64, every time.Duration) feed {
	return feed{
		table:   windowsEventlog,
		columns: []string{"datetime", "provider_name", "computer_name", "eventid", "pid", "data"},
		key:     []string{"datetime", "provider_name", "eventid", "pid", "data"},
		by:      "datetime",
		when:    func(r *Row) (int64, bool) { return winevent.ParseTime(r.Get("datetime")) },
		within: func(stmt squirrel.SelectBuilder, s span) squirrel.SelectBuilder {
			q := q
			q.from, q.to = max(s.From, 1), s.To
			if s.To == maxTime {
				q.to = 0
			}
			return stmt.Where(squirrel.Eq{"xpath": q.text()})
		},
		overlap:  logOverlap,
		expiry:   func(*Capabilities) int64 { return logReach },
		lookback: lookback,
		past:     true,
		short:    3600, first: 3600, longest: 24 * 3600,
		every:  every,
		mapper: func(*Capabilities) mapper { return &eventMapper{source: name} },
	}
}

// eventMapper reads Windows' events, from windows_eventlog and windows_events.
type eventMapper struct {
	source string
	reader winevent.Reader
	// bare counts the processes without a command line, of all.
	bare, all int
}

func (m *eventMapper) row(r *Row, when int64, b *evidence.Batch) {
	ev, err := windowsEvent(r, m.source)
	if err != nil {
		b.Dropped++
		return
	}
	if ev.Time == 0 {
		ev.Time = when
	}
	before := len(b.Processes)
	m.reader.Read(ev, b)
	if ev.ID == winevent.ProcessCreated {
		for _, p := range b.Processes[before:] {
			m.all++
			if p.CmdLine == "" {
				m.bare++
			}
		}
	}
}

func (m *eventMapper) done(b *evidence.Batch) string {
	m.reader.Flush(b)
	// Some processes of the kernel have no command line, and every host starts
	// others.
	if m.all >= 5 && m.bare == m.all {
		return "events 4688 come without command lines: turn on the policy 'Include command line in process creation events' " +
			`(HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System\Audit, ProcessCreationIncludeCmdLine_Enabled = 1)`
	}
	return ""
}

// windowsEvent is the event that a row tells of.
func windowsEvent(r *Row, source string) (*winevent.Event, error) {
	data, err := winevent.ParseData(r.Get("data"))
	if err != nil {
		return nil, err
	}
	ev := &winevent.Event{Provider: r.Get("provider_name"), Host: r.Get("computer_name"), Data: data, Source: source, EID: r.Get("eid")}
	ev.ID, _ = r.Int("eventid")
	ev.Time, _ = winevent.ParseTime(r.Get("datetime"))
	if pid, ok := r.Int("pid"); ok && pid > 0 {
		ev.PID = pid
	}
	if ev.EID == "" {
		// osquery does not tell a record's number.
		ev.EID = r.Get("eventid") + "/" + r.Get("datetime")
	}
	return ev, nil
}

// channels are the event logs that osquery's windows_events table is fed from, in
// small letters.
func channels(caps *Capabilities) map[string]bool {
	list, known := caps.Flags["windows_event_channels"]
	if !known {
		list = "System,Application,Setup,Security"
	}
	out := map[string]bool{}
	for _, c := range strings.Split(list, ",") {
		if c = strings.ToLower(strings.Trim(strings.TrimSpace(c), `"'`)); c != "" {
			out[c] = true
		}
	}
	return out
}

// wanted is the condition for the rows of windows_events that are worth reading.
func wanted(caps *Capabilities, processes bool) squirrel.Sqlizer {
	if !channels(caps)[strings.ToLower(winevent.Sysmon)] {
		return squirrel.Eq{"eventid": eventIDs(caps, processes)}
	}
	// The plus signs keep SQLite from splitting the OR into several scans.
	return squirrel.Or{squirrel.Eq{"+eventid": eventIDs(caps, processes)},
		squirrel.And{squirrel.Eq{"+eventid": winevent.SysmonFile}, squirrel.Like{"data": `%\\services\\%`}}}
}

// eventIDs are the ids worth reading from windows_events. It has to be asked for
// them all: which channels it is fed from changes with a flag.
func eventIDs(caps *Capabilities, processes bool) []int64 {
	on := channels(caps)
	var ids []int64
	if on[strings.ToLower(winevent.Security)] {
		ids = append(ids, securityIDs()...)
		if processes {
			ids = append(ids, winevent.ProcessCreated)
		}
	}
	if on[strings.ToLower(winevent.System)] {
		ids = append(ids, systemIDs()...)
	}
	if on[strings.ToLower(winevent.Sysmon)] {
		ids = append(ids, sysmonIDs()...)
	}
	if on[strings.ToLower(winevent.PowerShell)] {
		ids = append(ids, winevent.ScriptBlock)
	}
	if on[strings.ToLower(winevent.Application)] {
		ids = append(ids, winevent.InstallerIDs()...)
	}
	if on[strings.ToLower(winevent.Setup)] {
		ids = append(ids, winevent.PackageState)
	}
	if on[strings.ToLower(winevent.Terminal)] {
		ids = append(ids, terminalIDs()...)
	}
	return ids
}

func securityIDs() []int64 {
	return append(winevent.AccountIDs(), winevent.ServiceAdded, winevent.AuditCleared, winevent.AuditPolicy,
		winevent.TaskCreated, winevent.TaskDeleted, winevent.TaskEnabled, winevent.TaskDisabled, winevent.TaskChanged)
}

func systemIDs() []int64 {
	return []int64{winevent.ServiceNew, winevent.StartChanged, winevent.LogCleared, winevent.Updated}
}

func terminalIDs() []int64 { return []int64{winevent.SessionBegun, winevent.SessionResumed} }

// sysmonIDs leave out the files that Sysmon sees made (11): there can be more of
// them than of all else, and a log cannot be asked for those of services alone.
func sysmonIDs() []int64 {
	return []int64{winevent.SysmonProcess, winevent.SysmonConnection, winevent.SysmonKey, winevent.SysmonValue}
}
