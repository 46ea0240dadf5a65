// Package packages reads what package managers log of what they did: dpkg.log,
// apt's history.log, yum.log, dnf.log and dnf.rpm.log.
package packages

import (
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/syslog"
)

// Source is the name of what was read.
const Source = "package_log"

const (
	// maxNames bounds the packages of one line of apt.
	maxNames = 5000
	// maxText bounds a text that is handed on, in bytes.
	maxText = 1024
)

// Decoder reads one log, of whichever of the managers.
type Decoder struct {
	location *time.Location
	dated    *syslog.Decoder

	// What the paragraph of apt's history says so far.
	begun   int64
	command string
	user    string
	uid     string
}

// NewDecoder returns a Decoder. Times without a year are taken for the last such
// day before newest, and those without a zone for times in location.
func NewDecoder(newest time.Time, location *time.Location) *Decoder {
	if location == nil {
		location = time.UTC
	}
	return &Decoder{location: location, dated: syslog.NewDecoder(newest, location)}
}

// IsLine reports whether a line is one of these logs'.
func IsLine(line []byte) bool {
	d := NewDecoder(time.Date(2096, 12, 31, 0, 0, 0, 0, time.UTC), nil)
	var none evidence.Batch
	return d.Line(line, &none)
}

// Time returns the time of a line, or what it says of the lines that follow; 0
// when it has none.
func (d *Decoder) Time(line []byte) int64 {
	s := string(line)
	if rest, ok := strings.CutPrefix(s, "Start-Date: "); ok {
		return d.stamp(rest)
	}
	if len(s) > len(time.DateTime) {
		if t := d.stamp(s[:len(time.DateTime)]); t > 0 {
			return t
		}
	}
	return d.dated.Time(line)
}

// stamp reads "2023-11-14 22:13:20", which apt writes with two blanks.
func (d *Decoder) stamp(s string) int64 {
	t, err := time.ParseInLocation(time.DateTime, strings.Replace(strings.TrimSpace(s), "  ", " ", 1), d.location)
	if err != nil || t.Unix() < 0 {
		return 0
	}
	return t.Unix()
}

// Line takes one line and adds what it tells to the batch. ok says whether the
// line has the form of one of these logs.
func (d *Decoder) Line(line []byte, to *evidence.Batch) (ok bool) {
	s := string(line)
	if key, value, found := strings.Cut(s, ": "); found && d.apt(key, value, to) {
		return true
	}
	if len(s) > len(time.DateTime)+1 && s[10] == ' ' && s[len(time.DateTime)] == ' ' {
		if t := d.stamp(s[:len(time.DateTime)]); t > 0 {
			return d.dpkg(t, s[len(time.DateTime)+1:], to)
		}
	}
	return d.rpm(line, s, to)
}

// aptWords are what apt did, by the keys of its history.
var aptWords = map[string]string{"Install": "installed", "Reinstall": "reinstalled", "Upgrade": "upgraded", "Downgrade": "downgraded", "Remove": "removed", "Purge": "purged"}

// apt reads a line of a paragraph of apt's history:
//
//	Start-Date: 2023-11-14  22:13:19
//	Commandline: apt install nginx
//	Requested-By: anna (1000)
//	Install: nginx:amd64 (1.24-1), libx:amd64 (2.0, automatic)
//	End-Date: 2023-11-14  22:13:21
func (d *Decoder) apt(key, value string, to *evidence.Batch) bool {
	if key == "Start-Date" {
		d.begun, d.command, d.user, d.uid = d.stamp(value), "", "", ""
		return d.begun > 0
	}
	if d.begun == 0 {
		return false
	}
	switch key {
	case "End-Date":
		d.begun = 0
		return true
	case "Commandline":
		d.command = clip(value)
		return true
	case "Requested-By":
		d.user, d.uid, _ = strings.Cut(strings.TrimSuffix(clip(value), ")"), " (")
		return true
	case "Error":
		return true
	}
	did := aptWords[key]
	if did == "" {
		return false
	}
	for n := 0; value != "" && n < maxNames; n++ {
		name, rest, found := strings.Cut(value, " (")
		if !found || name == "" {
			break
		}
		versions, rest, _ := strings.Cut(rest, ")")
		value = strings.TrimPrefix(rest, ", ")
		old, version, two := strings.Cut(strings.TrimSuffix(versions, ", automatic"), ", ")
		if !two {
			version = old
		}
		c := change(d.begun, name, version, did)
		c.Username, c.UID = d.user, d.uid
		if two {
			c.Detail += " from " + clip(old)
		}
		if d.command != "" {
			c.Detail += " by " + d.command
		}
		to.Changes = append(to.Changes, c)
	}
	return true
}

// dpkg reads "install nginx:amd64 <none> 1.24-1". What it says of the states in
// between tells the same again.
func (d *Decoder) dpkg(t int64, s string, to *evidence.Batch) bool {
	f := strings.Fields(s)
	if len(f) == 0 {
		return false
	}
	var did string
	switch f[0] {
	case "status", "startup", "configure", "trigproc", "conffile", "triggers-awaited", "triggers-pending", "disappear", "statoverride":
		return true
	case "install":
		did = "installed"
	case "upgrade":
		did = "upgraded"
	case "remove":
		did = "removed"
	case "purge":
		did = "purged"
	default:
		return false
	}
	if len(f) != 4 {
		return false
	}
	old, version := f[2], f[3]
	if did == "removed" || did == "purged" {
		version, old = old, ""
	}
	c := change(t, f[1], version, did)
	if old != "" && old != "<none>" {
		c.Detail += " from " + clip(old)
	}
	to.Changes = append(to.Changes, c)
	return true
}

// rpm reads "2023-11-14T22:13:20+0000 SUBDEBUG Installed: nginx-1.24-1.x86_64" and
// "Nov 14 22:13:20 Installed: nginx-1.24-1.x86_64".
func (d *Decoder) rpm(line []byte, s string, to *evidence.Batch) bool {
	var rest string
	yum := false
	if len(s) > 16 && s[3] == ' ' && s[15] == ' ' {
		rest, yum = s[16:], true
	} else {
		var level string
		var found bool
		if _, rest, found = strings.Cut(s, " "); !found {
			return false
		}
		if level, rest, found = strings.Cut(rest, " "); !found {
			return false
		}
		switch level {
		case "SUBDEBUG", "DDEBUG", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "TRACE":
		default:
			return false
		}
	}
	c, ok := syslog.Package(rest)
	t := int64(0)
	if ok || !yum {
		t = d.dated.Time(line)
	}
	if t == 0 {
		return false
	}
	if ok {
		c.Time, c.Source = t, Source
		to.Changes = append(to.Changes, c)
	}
	return true
}

func change(t int64, name, version, did string) evidence.Change {
	c := evidence.Change{Time: t, Platform: evidence.Linux, Source: Source, Kind: evidence.ChangePackage, Subject: clip(name), Detail: did}
	if version != "" && version != "<none>" {
		c.Subject += " " + clip(version)
	}
	return c
}

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "..."
}
