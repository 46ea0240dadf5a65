package core

import (
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/syslog"
)

const (
	syslogEvents = "syslog_events"
	// syslogExpiry is osquery's default for syslog_events_expiry, in seconds.
	syslogExpiry = 30 * 24 * 3600
	// maxReporters bounds the processes whose last report is remembered.
	maxReporters = 256
)

// syslogTags are the beginnings of the tags of programs that tell something of use,
// whatever their case.
var syslogTags = []string{"su", "pkexec", "cron", "anacron", "sysmon", "sshd", "login", "useradd", "userdel", "usermod", "newusers", "groupadd", "groupdel",
	"groupmod", "gpasswd", "passwd", "chpasswd", "chage", "chsh", "chfn", "systemd", "systemctl", "yum", "dnf"}

func syslogFeed() feed {
	f := eventFeed(feed{
		table:   syslogEvents,
		columns: []string{"time", "eid", "datetime", "host", "tag", "message"},
		key:     []string{"eid", "time", "tag", "message"},
		where: func(*Capabilities) []squirrel.Sqlizer {
			var tags squirrel.Or
			for _, t := range syslogTags {
				tags = append(tags, squirrel.Like{"tag": t + "%"})
			}
			return []squirrel.Sqlizer{tags}
		},
		mapper: func(*Capabilities) mapper {
			return &syslogMapper{decoder: syslog.NewDecoder(time.Unix(0, 0), nil), ids: map[string]string{}}
		},
	})
	f.expiry = func(c *Capabilities) int64 { return c.seconds("syslog_events_expiry", syslogExpiry) }
	return f
}

// syslogMapper reads messages of syslog, as package syslog reads those in files.
// Any local user can send one under any tag: what is made of them is as good as
// that.
type syslogMapper struct {
	decoder *syslog.Decoder
	// ids are the last rows by who reports, a process or else a program, since the
	// decoder holds some reports back until it knows that they are complete.
	ids map[string]string
}

func (m *syslogMapper) row(r *Row, when int64, b *evidence.Batch) {
	tag, host, eid := r.Get("tag"), r.Get("host"), r.Get("eid")
	at := time.Unix(when, 0)
	if t, err := time.Parse(time.RFC3339Nano, r.Get("datetime")); err == nil && t.Unix() > 0 {
		at = t
	}
	if host == "" || strings.ContainsAny(host+tag, " \t\n:") {
		return
	}
	if len(m.ids) >= maxReporters {
		clear(m.ids)
	}
	message := strings.TrimSpace(r.Get("message"))
	if !strings.Contains(message, " : (command continued) ") {
		ident, pid, _ := strings.Cut(strings.TrimSuffix(tag, "]"), "[")
		m.ids[ident], m.ids[pid] = eid, eid
	}
	m.take(b, eid, func(to *evidence.Batch) {
		m.decoder.Line([]byte(at.UTC().Format(time.RFC3339)+" "+host+" "+tag+": "+message), to)
	})
}

func (m *syslogMapper) done(b *evidence.Batch) string {
	m.take(b, "", m.decoder.Flush)
	return ""
}

// take adds what decode finds, under this source's name.
func (m *syslogMapper) take(b *evidence.Batch, eid string, decode func(*evidence.Batch)) {
	var found evidence.Batch
	decode(&found)
	of := func(pid int64, ident string) string {
		who := ident
		if pid > 0 {
			who = strconv.FormatInt(pid, 10)
		}
		if id, ok := m.ids[who]; ok && who != "" {
			return id
		}
		return eid
	}
	for _, p := range found.Processes {
		p.Source, p.EID = syslogEvents, of(p.ParentPID, p.ParentPath) // it is the child of who reports
		b.Processes = append(b.Processes, p)
	}
	for _, l := range found.Logons {
		l.Source, l.EID = syslogEvents, of(l.PID, "")
		b.Logons = append(b.Logons, l)
	}
	for _, c := range found.Changes {
		c.Source, c.EID = syslogEvents, of(c.PID, "")
		b.Changes = append(b.Changes, c)
	}
	for _, in := range found.Installs {
		in.Source, in.EID = syslogEvents, of(in.InstallerPID, "")
		b.Installs = append(b.Installs, in)
	}
	for _, c := range found.Connections {
		c.Source, c.EID = syslogEvents, eid
		b.Connections = append(b.Connections, c)
	}
}
