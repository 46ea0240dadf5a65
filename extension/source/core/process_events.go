package core

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
	"github.com/osquery-rollcall/rollcall/extension/source/winevent"
)

const (
	processEvents    = "process_events"
	bpfProcessEvents = "bpf_process_events"
	esProcessEvents  = "es_process_events"
	etwProcessEvents = "process_etw_events"
	powershellEvents = "powershell_events"

	// maxAuditArgs is what the kernel puts into one audit record of arguments
	// (MAX_EXECVE_AUDIT_LEN is 7,500); osquery reads the first record alone.
	maxAuditArgs = 7_400

	// auditLate is how many seconds after a start osquery dates it at most, which is
	// when it has taken its records from a queue and put them together: some seconds on
	// a quiet host, some fifteen at 200 starts a second, more where it is held up.
	auditLate = 120
)

// NewProcessEvents makes the source of the programs that osquery's audit publisher
// saw being started: its process_events table on Linux. clock may be nil for the
// system's.
//
// Failed executions never get into that table on Linux; forks and signals, which
// may, are left out.
func NewProcessEvents(q Querier, clock Clock) *Events {
	if clock == nil {
		clock = systemClock()
	}
	s := linuxProcesses()
	w := newWatch(q, evidence.Linux, clock, []spec{s})
	return newEvents(*s.feed, q, clock, newGate(w, s))
}

func auditFeed() feed {
	return eventFeed(feed{
		table:   processEvents,
		columns: []string{"time", "eid", "pid", "parent", "path", "cmdline", "cwd", "uid", "euid", "auid"},
		key:     []string{"eid", "time", "pid", "cmdline"},
		where: func(*Capabilities) []squirrel.Sqlizer {
			// Forks, vforks, clones and signals share the table when switched on.
			return []squirrel.Sqlizer{squirrel.Eq{"syscall": []string{"execve", "execveat"}}}
		},
		mapper: func(*Capabilities) mapper { return rowFunc(auditRow) },
	})
}

func auditRow(r *Row, when int64, b *evidence.Batch) {
	cmdline, _ := RestoreArgs(r.Get("cmdline"))
	p := unixProcess(r, when, evidence.Linux, processEvents, r.Get("euid"))
	p.CmdLine, p.CWD = cmdline, auditPath(r.Get("cwd"))
	p.LoginUID, p.ArgsJoined, p.Late = userID(r.Get("auid")), true, auditLate
	p.Truncated = len(cmdline) >= maxAuditArgs
	b.Processes = append(b.Processes, p)
}

// unixProcess is what the tables of POSIX systems have in common.
func unixProcess(r *Row, when int64, platform evidence.Platform, source, uid string) evidence.Process {
	p := evidence.Process{
		Time: when, Platform: platform, Path: r.Get("path"), CWD: r.Get("cwd"),
		UID: userID(uid), Source: source, EID: r.Get("eid"),
	}
	p.PID, _ = r.Int("pid")
	// -1 is osquery's way of not knowing.
	if parent, ok := r.Int("parent"); ok && parent > 0 {
		p.ParentPID = parent
	}
	switch p.UID {
	case "":
	case "0":
		p.Elevated = evidence.Yes
	default:
		p.Elevated = evidence.No
	}
	return p
}

// userID is a numeric user id, or empty where the kernel says it is not set.
func userID(s string) string {
	if s == "4294967295" || s == "-1" {
		return ""
	}
	return s
}

// auditPath decodes a path as an audit record writes it: in quotes, or in hex
// when it holds blanks, quotes or control characters.
func auditPath(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	if raw, err := hex.DecodeString(s); err == nil && len(raw) > 0 && raw[0] == '/' {
		return string(raw)
	}
	return s
}

func bpfFeed() feed {
	return eventFeed(feed{
		table:   bpfProcessEvents,
		columns: []string{"time", "eid", "pid", "parent", "uid", "path", "cwd", "cmdline", "json_cmdline", "probe_error"},
		key:     []string{"eid", "time", "pid", "cmdline"},
		mapper:  func(*Capabilities) mapper { return rowFunc(bpfRow) },
	})
}

func bpfRow(r *Row, when int64, b *evidence.Batch) {
	p := unixProcess(r, when, evidence.Linux, bpfProcessEvents, r.Get("uid"))
	p.CmdLine, p.ArgsJoined = r.Get("cmdline"), true
	var argv []string
	if err := json.Unmarshal([]byte(r.Get("json_cmdline")), &argv); err == nil && len(argv) > 0 {
		p.CmdLine, p.ArgsJoined = auditlog.Quote(argv), false
	}
	p.Truncated = r.Get("probe_error") == "1"
	b.Processes = append(b.Processes, p)
}

func esFeed() feed {
	return eventFeed(feed{
		table:   esProcessEvents,
		columns: []string{"time", "eid", "pid", "parent", "path", "cmdline", "cmdline_count", "cwd", "uid", "username"},
		// Since 5.15.
		optional: []string{"session_id"},
		key:      []string{"eid", "time", "pid", "cmdline"},
		where: func(*Capabilities) []squirrel.Sqlizer {
			return []squirrel.Sqlizer{squirrel.Eq{"event_type": "exec"}}
		},
		mapper: func(*Capabilities) mapper { return rowFunc(esRow) },
	})
}

// esRow reads a row of Endpoint Security. The table's euid is no help: it carries
// the effective group.
func esRow(r *Row, when int64, b *evidence.Batch) {
	p := unixProcess(r, when, evidence.Darwin, esProcessEvents, r.Get("uid"))
	p.Username, p.Session = r.Get("username"), userID(r.Get("session_id"))
	if p.Elevated == evidence.No {
		p.Elevated = evidence.Unknown // the id is the real one: a set-uid program has another
	}
	argc, _ := r.Int("cmdline_count")
	p.CmdLine, p.ArgsJoined = strings.TrimSuffix(r.Get("cmdline"), " "), true
	if argv, ok := splitQuoted(r.Get("cmdline")); ok && int64(len(argv)) == argc {
		p.CmdLine, p.ArgsJoined = auditlog.Quote(argv), false
	}
	b.Processes = append(b.Processes, p)
}

// splitQuoted takes apart what es_process_events makes of an argv: each argument is
// followed by a blank, and stands in double quotes, with backslashes before quotes
// and backslashes, when it holds a blank or a double quote.
func splitQuoted(s string) (argv []string, ok bool) {
	for s != "" {
		if s[0] != '"' {
			word, rest, found := strings.Cut(s, " ")
			if !found {
				return nil, false
			}
			argv, s = append(argv, word), rest
			continue
		}
		var word strings.Builder
		i := 1
		for ; i < len(s) && s[i] != '"'; i++ {
			if s[i] == '\\' {
				i++
			}
			if i < len(s) {
				word.WriteByte(s[i])
			}
		}
		if i+1 >= len(s) || s[i+1] != ' ' {
			return nil, false
		}
		argv, s = append(argv, word.String()), s[i+2:]
	}
	return argv, true
}

// bsmFeed is process_events on macOS, from the kernel's BSM audit.
func bsmFeed() feed {
	return eventFeed(feed{
		table:   processEvents,
		columns: []string{"time", "eid", "pid", "parent", "path", "cmdline", "cwd", "euid", "auid", "status"},
		key:     []string{"eid", "time", "pid", "cmdline"},
		mapper:  func(*Capabilities) mapper { return rowFunc(bsmRow) },
	})
}

func bsmRow(r *Row, when int64, b *evidence.Batch) {
	if status := r.Get("status"); status != "" && status != "0" {
		return // nothing was started
	}
	p := unixProcess(r, when, evidence.Darwin, processEvents, r.Get("euid"))
	p.CmdLine, p.ArgsJoined = strings.TrimSuffix(r.Get("cmdline"), " "), true
	p.LoginUID = userID(r.Get("auid"))
	b.Processes = append(b.Processes, p)
}

func etwFeed() feed {
	return eventFeed(feed{
		table: etwProcessEvents,
		columns: []string{"time", "eid", "pid", "ppid", "session_id", "path", "cmdline", "username", "token_elevation_type",
			"token_elevation_status", "mandatory_label"},
		key: []string{"eid", "time", "pid", "cmdline"},
		where: func(*Capabilities) []squirrel.Sqlizer {
			return []squirrel.Sqlizer{squirrel.Eq{"type": "ProcessStart"}}
		},
		// The time is the event's own, up to 10 s before the two halves of it are put
		// together.
		overlap: 30,
		mapper:  func(*Capabilities) mapper { return rowFunc(etwRow) },
	})
}

func etwRow(r *Row, when int64, b *evidence.Batch) {
	p := evidence.Process{
		Time: when, Platform: evidence.Windows, Path: r.Get("path"), CmdLine: r.Get("cmdline"), Username: r.Get("username"),
		Session: r.Get("session_id"), IntegrityLevel: winevent.Integrity(r.Get("mandatory_label")), Source: etwProcessEvents, EID: r.Get("eid"),
	}
	p.PID, _ = r.Int("pid")
	p.ParentPID, _ = r.Int("ppid")
	// Old versions of the event don't tell of the token, which osquery gives as 0.
	if r.Get("token_elevation_type") != "" {
		switch r.Get("token_elevation_status") {
		case "1":
			p.Elevated = evidence.Yes
		case "0":
			p.Elevated = evidence.No
		}
	} else {
		p.Elevated = winevent.Elevated(p.IntegrityLevel)
	}
	b.Processes = append(b.Processes, p)
}

func powershellFeed() feed {
	f := eventFeed(feed{
		table:   powershellEvents,
		columns: []string{"time", "datetime", "script_block_id", "script_text"},
		key:     []string{"datetime", "script_block_id", "script_text"},
		by:      "time",
		mapper:  func(*Capabilities) mapper { return rowFunc(powershellRow) },
	})
	return f
}

// maxScript bounds the text of one script block that is taken.
const maxScript = 1 << 20

// powershellRow reads a script block: what a process ran, though not which one.
func powershellRow(r *Row, when int64, b *evidence.Batch) {
	text := r.Get("script_text")
	if text == "" {
		return
	}
	p := evidence.Process{
		Time: when, Platform: evidence.Windows, Path: "powershell.exe", CmdLine: text, Source: powershellEvents, EID: r.Get("script_block_id"),
	}
	if t, ok := winevent.ParseTime(r.Get("datetime")); ok {
		p.Time = t
	}
	if len(text) > maxScript {
		p.CmdLine, p.Truncated = text[:maxScript], true
	}
	b.Processes = append(b.Processes, p)
}

// number is the text of a count that may be missing.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
