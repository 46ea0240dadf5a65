// Package syslog reads what programs report to syslog and the journal: the
// commands they run for somebody (sudo, pkexec, cron), who logs on (sshd,
// systemd-logind, PAM's sessions of su, sudo and login), changes of accounts
// (useradd and its like, passwd) and packages (yum, dnf), services that are turned
// on or off (systemd), connections that the firewall logs (iptables, nftables), and
// the events of Sysmon for Linux. It knows the text of log files and the journal's
// own two exports.
//
// A login over ssh is one logon, though sshd, PAM and systemd-logind all tell of
// it: sshd's report waits for that of systemd-logind, whose session it gets.
// Sessions of cron, and those systemd-logind makes for them, are no logons.
package syslog

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
)

// The names of what was read.
const (
	Source        = "syslog"
	SourceJournal = "journal"
	SourceSysmon  = "sysmon_linux"
)

// message is one report.
type message struct {
	time   int64
	host   string
	ident  string // the program that reports
	pid    int64
	text   string
	source string
	eid    string
	// What the journal knows of the reporting process.
	uid, loginUID, session string
}

// Decoder reads messages in the order of their log.
type Decoder struct {
	newest   time.Time
	location *time.Location
	audit    *auditlog.Decoder

	// sudo splits long commands over several messages.
	waiting *evidence.Process
	waitFor string // whose continuation

	// A logon waits for its session.
	logon *evidence.Logon
	// jobs are the sessions of cron, for which systemd-logind makes one, too.
	jobs map[string]int64
}

// NewDecoder returns a Decoder for one log. Times without a year are taken for
// the last such day before newest, and times without a zone for times in
// location.
func NewDecoder(newest time.Time, location *time.Location) *Decoder {
	if location == nil {
		location = time.UTC
	}
	return &Decoder{newest: newest, location: location, audit: auditlog.NewDecoder()}
}

// Line takes one line of a log file and adds what it tells to the batch. ok says
// whether it has a syslog header.
func (d *Decoder) Line(line []byte, to *evidence.Batch) (ok bool) {
	if d.audit.Line(line, to) {
		return true // what the kernel or auditd's plugin sends there
	}
	m, ok := d.header(string(line))
	if !ok {
		return false
	}
	m.source = Source
	d.message(m, to)
	return true
}

// Flush adds what still waits for its end.
func (d *Decoder) Flush(to *evidence.Batch) {
	d.release(to)
	d.releaseLogon(to)
	d.audit.Flush(to)
}

func (d *Decoder) release(to *evidence.Batch) {
	if d.waiting != nil {
		to.Processes = append(to.Processes, *d.waiting)
		d.waiting = nil
	}
}

// IsLine reports whether a line has a syslog header.
func IsLine(line []byte) bool {
	// Any year will do that lets 29 February be one.
	_, ok := NewDecoder(time.Date(2096, 12, 31, 0, 0, 0, 0, time.UTC), nil).header(string(line))
	return ok
}

// Time returns the time of a line as Line would; 0 when it has none.
func (d *Decoder) Time(line []byte) int64 {
	m, _ := d.header(string(line))
	return m.time
}

// header reads the three forms in use: RFC 3164 with its relatives, the same
// with RFC 3339 times (rsyslog), and RFC 5424.
func (d *Decoder) header(s string) (m message, ok bool) {
	version := false
	if strings.HasPrefix(s, "<") {
		if end := strings.IndexByte(s, '>'); end > 1 && end < 5 {
			s = s[end+1:]
			s, version = strings.CutPrefix(s, "1 ")
		}
	}
	var rest string
	switch {
	case len(s) > 16 && s[3] == ' ' && (s[15] == ' ' || s[15] == '.'):
		const whole = len("Jan _2 15:04:05")
		fraction, after, _ := strings.Cut(s[whole:], " ")
		t, err := time.ParseInLocation("Jan _2 15:04:05", s[:whole+len(fraction)], d.location)
		if err != nil {
			return m, false
		}
		m.time, rest = d.withYear(t), after
	case len(s) > 28 && s[3] == ' ' && s[14] == ' ' && s[23] == ' ': // journalctl -o short-full
		const whole = len("Mon 2006-01-02 15:04:05 ")
		zone, after, found := strings.Cut(s[whole:], " ")
		t, err := time.ParseInLocation("Mon 2006-01-02 15:04:05 MST", s[:whole+len(zone)], d.location)
		if err != nil || !found {
			return m, false
		}
		m.time, rest = t.Unix(), after
	default:
		stamp, after, found := strings.Cut(s, " ")
		if !found || len(stamp) < 19 || len(stamp) > 40 {
			return m, false
		}
		t, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			if t, err = time.Parse("2006-01-02T15:04:05.999999999Z0700", stamp); err != nil {
				return m, false
			}
		}
		m.time, rest = t.Unix(), after
	}
	if m.time < 0 {
		return m, false
	}
	if m.host, rest, ok = strings.Cut(rest, " "); !ok || m.host == "" {
		return m, false
	}
	if version {
		return rfc5424(m, rest)
	}
	tag, text, found := strings.Cut(rest, ":")
	if !found || len(tag) > 128 {
		return m, true // a report of nobody
	}
	m.ident, m.text = tag, strings.TrimPrefix(text, " ")
	if open := strings.IndexByte(tag, '['); open >= 0 && strings.HasSuffix(tag, "]") {
		m.ident = tag[:open]
		m.pid = number(tag[open+1 : len(tag)-1])
	}
	if strings.ContainsAny(m.ident, " \t") {
		m.ident = ""
	}
	return m, true
}

// rfc5424 reads APP-NAME PROCID MSGID STRUCTURED-DATA MSG.
func rfc5424(m message, s string) (message, bool) {
	parts := strings.SplitN(s, " ", 4)
	if len(parts) < 4 {
		return m, false
	}
	m.ident, m.pid = parts[0], number(parts[1])
	text := parts[3]
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		text = rest
	} else {
		for strings.HasPrefix(text, "[") {
			end, quoted := -1, false
			for i := 0; i < len(text) && end < 0; i++ {
				switch {
				case text[i] == '\\':
					i++
				case text[i] == '"':
					quoted = !quoted
				case text[i] == ']' && !quoted:
					end = i
				}
			}
			if end < 0 {
				return m, true
			}
			text = text[end+1:]
		}
	}
	m.text = strings.TrimPrefix(strings.TrimPrefix(text, " "), "\ufeff")
	return m, true
}

// withYear puts a day without a year into the last year that ends before the log
// does, with a day for clocks and zones.
func (d *Decoder) withYear(t time.Time) int64 {
	limit := d.newest.Add(24 * time.Hour)
	year := limit.In(d.location).Year()
	for range 5 { // 29 February needs up to four years, more around 2100
		u := time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, d.location)
		if !u.After(limit) && u.Day() == t.Day() {
			return u.Unix()
		}
		year--
	}
	return 0
}

func number(s string) int64 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return int64(n)
}

// message reads one report.
func (d *Decoder) message(m message, to *evidence.Batch) {
	if m.ident == "sudo" && d.continues(m) {
		return
	}
	d.release(to)
	if d.logon != nil && m.time-d.logon.Time > sessionWait {
		d.releaseLogon(to)
	}
	p := evidence.Process{Time: m.time, Platform: evidence.Linux, Host: m.host, Source: m.source, EID: m.eid,
		LoginUID: m.loginUID, Session: m.session}
	switch m.ident {
	case "sudo":
		if sudo(&p, m) {
			d.waiting, d.waitFor = &p, m.host+"\x00"+p.LoginUser
			return
		}
	case "pkexec":
		if pkexec(&p, m) {
			to.Processes = append(to.Processes, p)
			return
		}
	case "CRON", "cron", "crond", "anacron":
		if cron(&p, m) {
			to.Processes = append(to.Processes, p)
			return
		}
	case "sysmon":
		sysmon(&p, m, to)
		return
	}
	d.reports(m, to)
}

// continues adds "user : (command continued) words" to the command it belongs to.
func (d *Decoder) continues(m message) bool {
	if d.waiting == nil {
		return false
	}
	user, text, found := strings.Cut(strings.TrimSpace(m.text), " : (command continued) ")
	if !found || m.host+"\x00"+user != d.waitFor || len(d.waiting.CmdLine)+len(text) > maxCommand {
		return false
	}
	d.waiting.CmdLine += " " + text
	return true
}

// maxCommand bounds a command put together from several messages.
const maxCommand = 256 << 10

// sudo reads "user : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id". Words
// before TTY say why it was refused.
func sudo(p *evidence.Process, m message) bool {
	user, text, found := strings.Cut(strings.TrimSpace(m.text), " : ")
	if !found || user == "" || strings.ContainsAny(user, " =;") {
		return false
	}
	p.LoginUser = user
	for first := true; ; first = false {
		if command, ok := strings.CutPrefix(text, "COMMAND="); ok {
			p.CmdLine = command
			break
		}
		var field string
		if field, text, found = strings.Cut(text, " ; "); !found {
			return false
		}
		key, value, ok := strings.Cut(field, "=")
		if !ok || key == "" || key != strings.ToUpper(key) {
			if first {
				return false // "3 incorrect password attempts", "command not allowed"
			}
			// A directory with " ; " in its name.
			p.CWD += " ; " + field
			continue
		}
		if value == "unknown" {
			value = ""
		}
		switch key {
		case "TTY":
			p.TTY = strings.TrimPrefix(value, "/dev/")
		case "PWD":
			p.CWD = value
		case "USER":
			p.Username = value
		}
	}
	if p.CmdLine == "list" || p.CmdLine == "" {
		return false // sudo -l
	}
	p.Path, _, _ = strings.Cut(p.CmdLine, " ")
	if !strings.HasPrefix(p.Path, "/") {
		p.Path = ""
	}
	asUser(p, "sudo", m)
	p.ArgsJoined = true
	return true
}

// asUser fills in what is known of a command that ident runs for somebody: it is
// a child of the reporting process, its own id is not told.
func asUser(p *evidence.Process, ident string, m message) {
	p.ParentPath, p.ParentPID = ident, m.pid
	switch p.Username {
	case "":
	case "root":
		p.Elevated, p.UID = evidence.Yes, "0"
	default:
		p.Elevated = evidence.No
	}
}

// pkexec reads "user: Executing command [USER=root] [TTY=unknown] [CWD=/] [COMMAND=/usr/bin/id]".
func pkexec(p *evidence.Process, m message) bool {
	user, text, found := strings.Cut(m.text, ": Executing command ")
	if !found || strings.ContainsAny(user, " [") {
		return false
	}
	at := strings.Index(text, "[COMMAND=")
	if at < 0 {
		return false
	}
	p.LoginUser = user
	p.CmdLine = strings.TrimSuffix(text[at+len("[COMMAND="):], "]")
	for _, f := range strings.Split(text[:at], "] ") {
		key, value, _ := strings.Cut(strings.TrimPrefix(f, "["), "=")
		if value == "unknown" {
			value = ""
		}
		switch key {
		case "USER":
			p.Username = value
		case "TTY":
			p.TTY = strings.TrimPrefix(value, "/dev/")
		case "CWD":
			p.CWD = value
		}
	}
	asUser(p, "pkexec", m)
	p.ArgsJoined = true
	return p.CmdLine != ""
}

// cron reads "(user) CMD (shell text)".
func cron(p *evidence.Process, m message) bool {
	user, text, found := strings.Cut(strings.TrimPrefix(m.text, "("), ") CMD (")
	if !found || strings.ContainsAny(user, " ()") {
		return false
	}
	p.Username = user
	// The text is cron's own: the shell's words, as they are in the table.
	p.CmdLine = strings.TrimSpace(strings.TrimSuffix(text, ")"))
	asUser(p, "cron", m)
	return p.CmdLine != ""
}

// clean makes text of a message's bytes.
func clean(b []byte) string {
	return strings.ToValidUTF8(string(bytes.TrimRight(b, "\r\n\x00")), "\ufffd")
}
