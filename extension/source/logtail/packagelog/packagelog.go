// Package packagelog reads what package managers log about what they did: dpkg and
// apt (Debian and its relatives), yum and dnf (Red Hat's).
//
// dpkg tells of each package, apt of each command with who asked for it: both are
// wanted, the one for what changed and the other for whose doing it was.
package packagelog

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/syslog"
)

// Source is the name of what was read.
const Source = "package_log"

const (
	// maxText bounds a text that is handed on, in bytes.
	maxText = 1024
	// maxNamed is how many packages of one command are named.
	maxNamed = 8
)

// Decoder reads one log, in the order of its lines.
type Decoder struct {
	location *time.Location
	dates    *syslog.Decoder
	apt      *command // what apt has begun to tell of
}

// command is one run of apt.
type command struct {
	time      int64
	line      string
	user, uid string
	named     []string
	counts    [len(actions)]int
	failed    string
}

// actions are what apt does to packages, by the words it logs.
var actions = [...]string{"Install", "Reinstall", "Upgrade", "Downgrade", "Remove", "Purge"}

// NewDecoder returns a Decoder. Times are those of location, as package managers
// write them; where a year is missing (yum) it is the last one in which the day is
// not after newest.
func NewDecoder(newest time.Time, location *time.Location) *Decoder {
	if location == nil {
		location = time.UTC
	}
	return &Decoder{location: location, dates: syslog.NewDecoder(newest, location)}
}

// Line takes one line and adds what it tells to the batch. ok says whether it has
// the form of one of these logs.
func (d *Decoder) Line(line []byte, to *evidence.Batch) (ok bool) {
	if key, value, found := bytes.Cut(line, []byte(": ")); found && aptKey(key) {
		d.aptLine(string(key), value, to)
		return true
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return true // between two commands of apt
	}
	if c, known := d.dpkg(line); known {
		if c != nil {
			to.Changes = append(to.Changes, *c)
		}
		return true
	}
	return d.rpm(line, to)
}

// Settled reports whether nothing waits for further lines.
func (d *Decoder) Settled() bool { return d.apt == nil }

// Time returns when the line was written, in seconds since 1970 UTC; 0 when it
// doesn't tell.
func (d *Decoder) Time(line []byte) int64 {
	for _, key := range []string{"Start-Date: ", "End-Date: "} {
		if value, ok := bytes.CutPrefix(line, []byte(key)); ok {
			return d.date(string(value))
		}
	}
	if t := d.date(string(line[:min(len(line), len(dateForm))])); t > 0 {
		return t
	}
	return d.dates.Time(line)
}

const dateForm = "2006-01-02 15:04:05"

// date reads the date that dpkg and apt write; apt puts two blanks in the middle.
func (d *Decoder) date(s string) int64 {
	s = strings.TrimSpace(s)
	if len(s) > 2*len(dateForm) {
		return 0
	}
	t, err := time.ParseInLocation(dateForm, strings.Join(strings.Fields(s), " "), d.location)
	if err != nil || t.Unix() < 0 {
		return 0
	}
	return t.Unix()
}

// dpkg reads "2025-05-20 12:00:00 upgrade nginx:amd64 1.22.1-9 1.22.1-9+deb12u1".
// known says that dpkg wrote it; most of what it writes is no change.
func (d *Decoder) dpkg(line []byte) (c *evidence.Change, known bool) {
	if len(line) < len(dateForm)+2 || len(line) > 4*maxText || line[len(dateForm)] != ' ' {
		return nil, false
	}
	at := d.date(string(line[:len(dateForm)]))
	if at == 0 {
		return nil, false
	}
	f := strings.Fields(string(line[len(dateForm):]))
	if len(f) == 0 {
		return nil, false
	}
	switch f[0] {
	case "install", "upgrade", "remove", "purge":
	case "startup", "status", "configure", "trigproc", "conffile", "disappear":
		return nil, true
	default:
		return nil, false
	}
	if len(f) != 4 {
		return nil, false
	}
	name, old, version := withoutArch(f[1]), f[2], f[3]
	if name == "" {
		return nil, false
	}
	c = &evidence.Change{Time: at, Platform: evidence.Linux, Kind: evidence.ChangePackage, Source: Source}
	c.Subject, c.Detail = name+" "+version, "installed"
	switch {
	case f[0] == "remove":
		c.Subject, c.Detail = name+" "+old, "removed"
	case f[0] == "purge":
		c.Subject, c.Detail = name, "purged"
	case f[0] == "upgrade" && old == version:
		c.Detail = "reinstalled"
	case f[0] == "upgrade" && old != "<none>":
		c.Detail = "changed from " + old
	}
	c.Subject, c.Detail = clip(c.Subject), clip(c.Detail)
	return c, true
}

func withoutArch(name string) string {
	name, _, _ = strings.Cut(name, ":")
	return strings.TrimSpace(strings.ToValidUTF8(name, "\ufffd"))
}

// rpm reads what yum and dnf say of one package:
//
//	May 20 12:00:00 Installed: nginx-1.20.1-1.el7.x86_64
//	2025-05-20T12:00:00+0000 SUBDEBUG Installed: nginx-1:1.20.1-1.el9.x86_64
func (d *Decoder) rpm(line []byte, to *evidence.Batch) bool {
	if len(line) > 4*maxText {
		return false
	}
	at := d.dates.Time(line)
	if at == 0 {
		return false
	}
	text := string(line)
	if len(text) > 16 && text[15] == ' ' && text[3] == ' ' {
		text = text[16:]
	} else {
		_, text, _ = strings.Cut(text, " ")
		_, text, _ = strings.Cut(text, " ") // how serious it is
	}
	if c, ok := syslog.Package(text); ok {
		c.Time, c.Source = at, Source
		to.Changes = append(to.Changes, c)
	}
	return true
}

func aptKey(key []byte) bool {
	switch string(key) {
	case "Start-Date", "End-Date", "Commandline", "Requested-By", "Comment", "Error":
		return true
	}
	return action(string(key)) >= 0
}

func action(key string) int {
	for i, a := range actions {
		if a == key {
			return i
		}
	}
	return -1
}

// aptLine reads one line of apt's history; a command is told when it has ended.
func (d *Decoder) aptLine(key string, value []byte, to *evidence.Batch) {
	if key == "Start-Date" {
		d.Flush(to) // of one that never ended
		if at := d.date(string(value)); at > 0 {
			d.apt = &command{time: at}
		}
		return
	}
	c := d.apt
	if c == nil {
		return
	}
	switch key {
	case "End-Date":
		d.Flush(to)
	case "Commandline":
		c.line = clip(string(value))
	case "Requested-By":
		// "anna (1000)"
		user, id, _ := strings.Cut(string(value), " (")
		c.user, c.uid = clip(user), clip(strings.TrimSuffix(id, ")"))
	case "Error":
		c.failed = clip(string(value))
	default:
		if i := action(key); i >= 0 {
			c.packages(i, value)
		}
	}
}

// packages reads "nginx:amd64 (1.22.1-9), libssl3:amd64 (3.0.1, 3.0.2)".
func (c *command) packages(i int, list []byte) {
	for len(list) > 0 {
		one, rest, found := bytes.Cut(list, []byte("), "))
		name, _, _ := bytes.Cut(one, []byte(" ("))
		if n := withoutArch(string(name[:min(len(name), maxText/maxNamed)])); n != "" {
			c.counts[i]++
			if !bytes.Contains(one, []byte("automatic")) && len(c.named) < maxNamed {
				c.named = append(c.named, n)
			}
		}
		if !found {
			return
		}
		list = rest
	}
}

// Flush adds a command of apt's that has not told of its end.
func (d *Decoder) Flush(to *evidence.Batch) {
	c := d.apt
	d.apt = nil
	if c == nil {
		return
	}
	var said []string
	total := 0
	for i, n := range c.counts {
		if n > 0 {
			said = append(said, fmt.Sprintf("%s %d", strings.ToLower(actions[i]), n))
			total += n
		}
	}
	if total == 0 && c.line == "" {
		return
	}
	out := evidence.Change{Time: c.time, Platform: evidence.Linux, Kind: evidence.ChangePackage, Source: Source, Username: c.user, UID: c.uid}
	out.Subject = strings.Join(c.named, ", ")
	switch more := total - len(c.named); {
	case len(c.named) == 0:
		out.Subject = fmt.Sprintf("%d packages", total)
	case more > 0:
		out.Subject += fmt.Sprintf(" and %d more", more)
	}
	out.Detail = strings.Join(said, ", ")
	if c.line != "" {
		out.Detail = strings.TrimPrefix(out.Detail+": "+c.line, ": ")
	}
	if c.failed != "" {
		out.Detail += " (failed: " + c.failed + ")"
	}
	to.Changes = append(to.Changes, out)
}

func clip(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
