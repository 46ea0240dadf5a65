package incident

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The phases of a timeline.
const (
	PhaseBefore = "before"
	PhaseDuring = "during"
	PhaseAfter  = "after"
)

// Entry is one thing that happened before, in or after an incident.
type Entry struct {
	Time    int64
	Phase   string
	Kind    string // command, install, connection, logon or change
	Subject string
	Detail  string
	Score   int // -1 when the kind has none
	Source  string
	EID     string
}

// Timeline is all that belongs to an incident in the order of time. During is from
// the first to the last listing of services, or the first install where nobody
// listed any.
func (x *Incident) Timeline() []Entry {
	from, to := x.Opened, x.Opened
	for i, y := range x.Bursts {
		if i == 0 {
			from, to = y.Start, y.End
		}
		from, to = min(from, y.Start), max(to, y.End)
	}
	var out []Entry
	add := func(e Entry) {
		switch {
		case e.Time < from:
			e.Phase = PhaseBefore
		case e.Time > to:
			e.Phase = PhaseAfter
		default:
			e.Phase = PhaseDuring
		}
		out = append(out, e)
	}
	for _, y := range x.Bursts {
		for _, c := range y.Sample {
			add(Entry{Time: c.Time, Kind: "command", Subject: nonEmpty(strings.Join(c.Canonical, "; "), c.CmdLine), Detail: by(c.Actor, "", c.Remote) + tail(c.Technique, c.Parent, "child of "), Score: c.Score, Source: c.Source, EID: c.EID})
		}
		if n := y.Events - int64(len(y.Sample)); n > 0 {
			add(Entry{Time: y.End, Kind: "command", Subject: fmt.Sprintf("and %d more of this burst", n), Detail: by(y.Actor, "", ""), Score: -1})
		}
		for _, c := range y.Contexts {
			add(Entry{Time: c.Time, Kind: "command", Subject: c.CmdLine, Detail: by(c.Actor, "", "") + tail(c.Technique, "", ""), Score: -1, Source: c.Source, EID: c.EID})
		}
	}
	for _, in := range x.Installs {
		detail := in.Action + tail("", nonEmpty(in.Image, in.Path), "runs ") + tail("", in.Installer, "by ")
		add(Entry{Time: in.Time, Kind: "install", Subject: in.Name, Detail: detail, Score: in.Score, Source: in.Source, EID: in.EID})
	}
	for i := range x.Connections {
		c := &x.Connections[i]
		direction := "to "
		if c.Inbound {
			direction = "from "
		}
		add(Entry{Time: c.Time, Kind: "connection", Subject: direction + address(c), Detail: by(c.Actor, c.Path, "") + tail("", c.Unusual, ""), Score: -1, Source: c.Source, EID: c.EID})
	}
	for _, l := range x.Logons {
		what := "logon"
		if l.Failed {
			what = "failed logon"
		}
		rights := ""
		if l.Privileged {
			rights = ", with administrator's rights"
		}
		add(Entry{Time: l.Time, Kind: "logon", Subject: what + " of " + l.Username, Detail: strings.TrimPrefix(tail(l.Type, l.From, "from ")+tail("", l.TTY, "on ")+rights, ", "), Score: -1, Source: l.Source, EID: l.EID})
	}
	for _, c := range x.Changes {
		add(Entry{Time: c.Time, Kind: "change", Subject: c.Kind + ": " + c.Subject, Detail: strings.TrimPrefix(tail(c.Detail, c.Username, "by "), ", "), Score: -1, Source: c.Source, EID: c.EID})
	}
	slices.SortStableFunc(out, func(a, b Entry) int { return cmp.Compare(a.Time, b.Time) })
	return out
}

// by says who did something.
func by(a Actor, path, remote string) string {
	s := "by " + nonEmpty(a.Username, "an unknown user")
	if a.LoginUser != "" && !sameAccount(a.LoginUser, a.Username) {
		s += " (logged in as " + a.LoginUser + ")"
	}
	if path != "" {
		s += ", " + path
	}
	if remote != "" {
		s += ", asking " + remote
	}
	return s
}

func tail(first, second, word string) string {
	s := ""
	if first != "" {
		s = ", " + first
	}
	if second != "" {
		s += ", " + word + second
	}
	return s
}
