// Package auditlog reads the log of the Linux audit daemon: what was executed, by
// whom and from where, with the words of the command line as the program got
// them; sessions and failed authentications; connections (where connect is
// audited); units and init scripts that were put in place (where their
// directories are watched); changes of accounts and of auditing itself. It also
// reads what auditd's plugins send to syslog, raw output of ausearch, and enriched
// logs.
//
// A session is PAM's (USER_START, op=PAM:session_open), which every program that
// lets somebody in reports once; a USER_LOGIN counts only where no such record of
// the session came before, or when it failed. Those of cron, and of the manager
// of a user's own services, are no logons of anybody. Rules that auditd loads when
// it starts are no changes.
//
// It runs on every platform: logs are read where the responder is.
package auditlog

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// Source is the name of what was read.
const Source = "auditlog"

// The bounds of events whose records have not all come.
const (
	maxOpen     = 256
	maxOpenText = 32 << 20
	maxArgs     = 8192    // words of one command line
	maxArgText  = 2 << 20 // bytes of one command line (the kernel's own is 128 KiB a word)
	maxPath     = 16 << 10
	maxAge      = 3 // seconds of the log's time that an event waits for a record
)

// event is what the records of one event say.
type event struct {
	node, id string
	second   int64
	key      string // in Decoder's open
	order    uint64
	syscall  bool
	failed   bool
	exec     bool     // an EXECVE record, or a system call of that name
	call     callKind // what else it was
	flags    uint64
	p        evidence.Process
	argc     int
	args     []string         // the first words, whole
	pieces   map[int][]string // the others, and what else came of the first
	size     int
	cut      bool
	title    []byte
	peer     []byte // of a socket
	files    []file
}

// Decoder puts records together to events. Records of several events may mix.
type Decoder struct {
	open  map[string]*event
	key   []byte // of the record under way
	order uint64
	size  int
	users users
}

// NewDecoder returns a Decoder for one log.
func NewDecoder() *Decoder { return &Decoder{open: map[string]*event{}} }

// IsRecord reports whether the line is an audit record.
func IsRecord(line []byte) bool {
	_, ok := parseHeader(line)
	return ok
}

// Time returns when a record was made, in seconds since 1970 UTC; 0 when the line
// is none.
func Time(line []byte) int64 {
	h, _ := parseHeader(line)
	return h.second
}

// Line takes one line and adds to the batch what is complete with it. ok says
// whether the line is a record.
func (d *Decoder) Line(line []byte, to *evidence.Batch) (ok bool) {
	h, ok := parseHeader(line)
	if !ok {
		return false
	}
	d.record(&h, to)
	return true
}

// Record takes one record and adds to the batch what is complete with it. A Decoder has
// either lines or records.
func (d *Decoder) Record(r *Record, to *evidence.Batch) {
	if r.typ != "" { // others say nothing
		d.record(&r.header, to)
	}
}

func (d *Decoder) record(h *header, to *evidence.Batch) {
	switch h.typ {
	case "SYSCALL", "EXECVE", "CWD", "PROCTITLE", "EOE", "SOCKADDR":
	case "PATH":
		if !tellsOfUnit(h.body) {
			return
		}
	case "USER_CMD":
		if p, ok := userCommand(h); ok {
			to.Processes = append(to.Processes, p)
		}
		return
	default:
		d.users.record(h, to)
		return
	}
	d.key = append(append(append(d.key[:0], h.node...), 0), h.stamp...)
	e := d.open[string(d.key)]
	if e == nil {
		if h.typ == "EOE" {
			return
		}
		d.expire(h.second, to)
		d.order++
		key := string(d.key)
		e = &event{node: h.node, id: key[len(h.node)+1:], second: h.second, key: key, order: d.order}
		d.open[key] = e
	}
	before := e.size
	done := e.record(h)
	d.size += e.size - before
	if done {
		d.close(e.key, to)
	}
	for len(d.open) > maxOpen || d.size > maxOpenText {
		d.close(d.oldest(), to)
	}
}

// Flush adds the events that still wait for records.
func (d *Decoder) Flush(to *evidence.Batch) {
	for len(d.open) > 0 {
		d.close(d.oldest(), to)
	}
}

// expire closes events that have waited long enough by the log's own time.
func (d *Decoder) expire(now int64, to *evidence.Batch) {
	for len(d.open) > 0 {
		key := d.oldest()
		if now-d.open[key].second <= maxAge {
			return
		}
		d.close(key, to)
	}
}

func (d *Decoder) oldest() (key string) {
	order := d.order + 1
	for k, e := range d.open {
		if e.order < order {
			key, order = k, e.order
		}
	}
	return key
}

func (d *Decoder) close(key string, to *evidence.Batch) {
	e := d.open[key]
	d.size -= e.size
	delete(d.open, key)
	if p, ok := e.process(); ok {
		to.Processes = append(to.Processes, p)
	}
	if c, ok := e.connection(); ok {
		to.Connections = append(to.Connections, c)
	}
	to.Installs = append(to.Installs, e.installs()...)
}

// record takes one record and reports whether it was the last one.
func (e *event) record(h *header) (last bool) {
	switch h.typ {
	case "SYSCALL":
		e.syscall = true
		e.system(h.body)
	case "EXECVE":
		e.exec = true
		e.execve(h.body)
	case "SOCKADDR":
		e.sockaddr(h.body)
	case "PATH":
		e.file(h.body)
	case "CWD":
		fields(h.body, func(key, raw []byte) {
			if string(key) == "cwd" && len(raw) <= maxPath {
				e.size += len(raw)
				e.p.CWD = untrusted(raw)
			}
		})
	case "PROCTITLE":
		fields(h.body, func(key, raw []byte) {
			if string(key) == "proctitle" && len(raw) <= maxArgText {
				e.size += len(raw)
				e.title = []byte(untrusted(raw))
			}
		})
		return e.syscall // the kernel writes the title last
	case "EOE":
		return true
	}
	return false
}

// execCalls are execve and execveat by the kernel's number of the architecture.
var execCalls = map[string][]string{
	"c000003e": {"59", "322"},        // x86_64
	"40000003": {"11", "358"},        // i386
	"c00000b7": {"221", "281"},       // aarch64
	"40000028": {"11", "387"},        // arm
	"c0000015": {"11", "362"},        // ppc64le
	"80000016": {"11", "354"},        // s390x
	"c00000f3": {"221", "281"},       // riscv64
	"4000003e": {"520", "545", "59"}, // x32
}

func (e *event) system(body []byte) {
	p := &e.p
	var arch, number, exit, first, second, third []byte
	fields(body, func(key, raw []byte) {
		switch string(key) {
		case "arch":
			arch = raw
		case "syscall":
			number = raw
		case "success":
			e.failed = string(raw) == "no"
		case "exit":
			exit = raw
		case "a0":
			first = raw
		case "a1":
			second = raw
		case "a2":
			third = raw
		case "SYSCALL":
			switch s := plain(raw); s {
			case "execve", "execveat":
				e.exec = true
			default:
				e.call = callNames[s]
			}
		case "pid":
			p.PID = id(raw)
		case "ppid":
			p.ParentPID = id(raw)
		case "auid":
			p.LoginUID = unset(raw)
		case "euid":
			p.UID = unset(raw)
		case "tty":
			p.TTY = terminal(raw)
		case "ses":
			p.Session = unset(raw)
		case "exe":
			p.Path = untrusted(raw)
		case "AUID":
			p.LoginUser = name(raw)
		case "EUID":
			p.Username = name(raw)
		}
	})
	for _, c := range execCalls[string(arch)] {
		e.exec = e.exec || c == string(number)
	}
	if e.call == none {
		e.call = calls[string(arch)][string(number)]
	}
	switch e.call {
	case socketcall: // which one is its first argument
		e.call = none
		if n, ok := socketcalls[string(first)]; ok {
			e.call = n
		}
	case open:
		e.flags, _ = strconv.ParseUint(string(second), 16, 64)
	case openat:
		e.flags, _ = strconv.ParseUint(string(third), 16, 64)
	}
	// A socket that doesn't wait connects in its own time.
	if e.call == connect && (string(exit) == "-115" || string(exit) == "EINPROGRESS") {
		e.failed = false
	}
	switch p.UID {
	case "":
	case "0":
		p.Elevated = evidence.Yes
	default:
		p.Elevated = evidence.No
	}
}

// execve takes the words of a record. Long command lines come in several, a long
// word in pieces: a2[0]=... a2[1]=...
func (e *event) execve(body []byte) {
	fields(body, func(key, raw []byte) {
		if string(key) == "argc" {
			e.argc, _ = strconv.Atoi(string(raw))
			return
		}
		if len(key) < 2 || key[0] != 'a' || bytes.HasSuffix(key, []byte("_len")) {
			return
		}
		digits, piece, _ := bytes.Cut(key[1:], []byte("["))
		n, err := strconv.Atoi(string(digits))
		if err != nil || n < 0 {
			return
		}
		if n >= maxArgs || e.size+len(raw) > maxArgText {
			e.cut = true
			return
		}
		e.size += len(raw) + 16
		whole := len(piece) == 0
		if whole && n <= len(e.args) && len(e.pieces) == 0 { // as nearly all are
			if n == len(e.args) {
				e.args = append(e.args, "")
			}
			e.args[n] = untrusted(raw)
			return
		}
		if e.pieces == nil {
			e.pieces = map[int][]string{}
		}
		if whole {
			if n < len(e.args) {
				e.args[n] = ""
			}
			e.pieces[n] = e.pieces[n][:0]
		}
		e.pieces[n] = append(e.pieces[n], untrusted(raw))
	})
}

// word is a word of the command line; ok is false where its record is missing.
func (e *event) word(n int) (w string, ok bool) {
	pieces, ok := e.pieces[n]
	if n >= len(e.args) {
		return strings.Join(pieces, ""), ok
	}
	if ok {
		return e.args[n] + strings.Join(pieces, ""), true
	}
	return e.args[n], true
}

func (e *event) process() (evidence.Process, bool) {
	if !e.exec || e.failed {
		return evidence.Process{}, false
	}
	p := e.p
	p.Time, p.Platform, p.Host = e.second, evidence.Linux, e.node
	p.Source, p.EID = Source, e.id
	var words []string
	switch {
	case len(e.args)+len(e.pieces) > 0:
		known := len(e.args)
		for n := range e.pieces {
			if n >= len(e.args) {
				known++
			}
		}
		count := min(max(e.argc, known), maxArgs)
		words = make([]string, 0, min(count, known))
		for i := range count {
			w, ok := e.word(i)
			if !ok {
				// A record is missing: the words after it would take wrong places.
				p.Truncated = true
				break
			}
			words = append(words, w)
		}
		p.Truncated = p.Truncated || e.cut || e.argc > maxArgs
	case len(e.title) > 0:
		p.CmdLine, p.Truncated = e.titleLine()
	}
	if len(words) > 0 {
		p.CmdLine = Quote(words)
	}
	if p.Path == "" && p.CmdLine == "" {
		return evidence.Process{}, false
	}
	return p, true
}

// titleLine makes a command line of the title of the process, which is a copy of
// the words' first 128 bytes.
func (e *event) titleLine() (line string, truncated bool) {
	if len(e.title) == 0 {
		return "", false
	}
	var words []string
	for _, w := range bytes.Split(bytes.TrimRight(e.title, "\x00"), []byte{0}) {
		words = append(words, string(w))
	}
	return Quote(words), len(e.title) >= 127
}

// userCommand reads what sudo itself reports. The process it starts is its child,
// whose id it does not tell.
func userCommand(h *header) (evidence.Process, bool) {
	p := evidence.Process{Time: h.second, Platform: evidence.Linux, Host: h.node, Source: Source, EID: h.id(), ArgsJoined: true}
	failed := false
	inner := func(key, raw []byte) {
		switch string(key) {
		case "cwd":
			p.CWD = untrusted(raw)
		case "cmd":
			p.CmdLine = untrusted(raw)
		case "exe":
			p.ParentPath = untrusted(raw)
		case "terminal":
			p.TTY = terminal(raw)
		case "res":
			failed = strings.HasPrefix(plain(raw), "fail")
		}
	}
	fields(h.body, func(key, raw []byte) {
		switch string(key) {
		case "pid":
			p.ParentPID = id(raw)
		case "auid":
			p.LoginUID = unset(raw)
		case "ses":
			p.Session = unset(raw)
		case "AUID":
			p.LoginUser = name(raw)
		case "msg":
			fields(bytes.Trim(raw, "'"), inner)
		}
	})
	return p, p.CmdLine != "" && !failed
}

func id(raw []byte) int64 {
	n, err := strconv.ParseUint(string(raw), 10, 32)
	if err != nil {
		return 0
	}
	return int64(n)
}

// terminal names a terminal as its path under /dev does: the kernel's log says
// pts0.
func terminal(raw []byte) string {
	s := plain(raw)
	if n, ok := strings.CutPrefix(s, "pts"); ok && n != "" && n[0] >= '0' && n[0] <= '9' {
		return "pts/" + n
	}
	return strings.TrimPrefix(s, "/dev/")
}

// unset is "" for the kernel's word for nobody and no session.
func unset(raw []byte) string {
	switch s := plain(raw); s {
	case "4294967295", "-1", "unset":
		return ""
	default:
		return s
	}
}

// name is a user as an enriched log resolved it on its own host.
func name(raw []byte) string {
	s := plain(raw)
	if s == "unset" || strings.HasPrefix(s, "unknown(") {
		return ""
	}
	return s
}
