// Package report makes one page of what Rollcall found, for people who were not
// there: what happened and what to do about it, each incident with its reasons and a
// picture of its time, what was observed against what is usual, the services that were
// installed, and what could not be seen.
//
// The page is one HTML file that loads nothing, runs nothing and works without
// JavaScript. All texts in it come from evidence, so from an attacker: they can't
// become markup, a policy in the page forbids what they could do if they did, and
// characters that deceive the eye are shown as escapes.
package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// The bounds of one page. What is beyond them is counted on the page.
const (
	MaxHosts     = 200
	MaxIncidents = 200 // in full, in the whole page, the most urgent first
	MaxRecorded  = 50  // lines of a host for what was only recorded
	MaxTimeline  = 100 // entries of an incident
	MaxInstalls  = 100 // of a host, the highest scores first
	MaxRuns      = 12  // of a host
)

// Report is what a page shows.
type Report struct {
	Title   string
	Made    time.Time
	Version string   // of Rollcall
	From    []string // what it was made from, in words
	Notes   []string // what was not read, in words
	Hosts   []*Host
}

// Host is what is known of one host.
type Host struct {
	Name     string
	UUID     string // of the operating system's installation; empty when unknown
	Platform string

	Incidents []*Incident
	Installs  []*Install
	Runs      []*Run
	Commands  []Command
	Baselines []Baseline
	Health    []Health
	Notes     []string // what is not known of this host, in words
}

// Incident is an incident as its tables tell it.
type Incident struct {
	ID              string
	Decision        string
	DecisionReasons []string
	Score           int
	Severity        string
	Status          string
	Summary         string
	Username        string
	LoginUser       string
	Attribution     string
	Basis           string // of the attribution, in words
	Opened          int64  // seconds since 1970 UTC
	Last            int64
	Updated         int64
	RunIDs          []string
	InstallIDs      []string
	Reasons         []score.Reason
	Timeline        []incident.Entry
	Triage          []incident.Answer
}

// Install is one service that was installed or changed.
type Install struct {
	ID          string
	Time        int64
	Action      string
	Kind        string
	Name        string
	Program     string
	UnitPath    string
	Account     string
	Installer   string // command line
	Username    string
	LoginUser   string
	Package     string
	Attribution string
	Basis       string
	Score       int
	Severity    string
	Reasons     []score.Reason
	IncidentID  string
}

// Run is one burst of commands that listed services.
type Run struct {
	ID          string
	Start, End  int64
	Username    string
	Families    []string
	Events      int64
	Known       bool    // the two below are known
	Expected    float64 // commands a day
	Tail        float64 // probability of as many
	Attribution string
	Score       int
	Severity    string
	Reasons     []score.Reason
}

// Command is when somebody listed services.
type Command struct {
	ID       string
	Time     int64
	Username string // who logged in, else who it ran as: the user of a baseline
	Family   string
}

// Baseline is what is usual for one user and command family.
type Baseline struct {
	Username string
	Family   string
	Hours    [168]int // how busy each hour of the week is, Monday 00:00 UTC first
	Learned  bool
}

// Health is the state of one source of evidence or part of Rollcall.
type Health struct {
	Component string
	State     string
	Detail    string
	Remedy    string
	LastEvent int64
	Read      int64 // -1 when unknown, and so the two below
	Dropped   int64
	Gaps      int64
}

// Merge puts hosts of the same name and installation together, and in order: the
// most urgent first. What is of one id counts once.
func (r *Report) Merge() {
	var out []*Host
	for _, h := range r.Hosts {
		i := slices.IndexFunc(out, func(o *Host) bool {
			return strings.EqualFold(o.Name, h.Name) && (o.UUID == h.UUID || o.UUID == "" || h.UUID == "")
		})
		if i < 0 {
			out = append(out, h)
			continue
		}
		o := out[i]
		o.UUID, o.Platform = cmp.Or(o.UUID, h.UUID), cmp.Or(o.Platform, h.Platform)
		o.Incidents = once(o.Incidents, h.Incidents, func(x *Incident) string { return x.ID })
		o.Installs = once(o.Installs, h.Installs, func(x *Install) string { return x.ID })
		o.Runs = once(o.Runs, h.Runs, func(x *Run) string { return x.ID })
		o.Commands = once(o.Commands, h.Commands, func(x Command) string { return x.ID })
		o.Baselines = once(o.Baselines, h.Baselines, func(x Baseline) string { return x.Username + "\x00" + x.Family })
		o.Health = once(o.Health, h.Health, func(x Health) string { return x.Component })
		o.Notes = once(o.Notes, h.Notes, func(s string) string { return s })
	}
	for _, h := range out {
		slices.SortStableFunc(h.Incidents, func(a, b *Incident) int { return byUrgency(a, b) })
		slices.SortStableFunc(h.Installs, func(a, b *Install) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(b.Time, a.Time), strings.Compare(a.ID, b.ID))
		})
		slices.SortStableFunc(h.Runs, func(a, b *Run) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(b.Start, a.Start), strings.Compare(a.ID, b.ID))
		})
		slices.SortStableFunc(h.Health, func(a, b Health) int {
			return cmp.Or(cmp.Compare(trouble(b.State), trouble(a.State)), strings.Compare(a.Component, b.Component))
		})
	}
	slices.SortStableFunc(out, func(a, b *Host) int {
		worst := func(h *Host) *Incident {
			if len(h.Incidents) == 0 {
				return &Incident{Decision: incident.Record, Score: -1}
			}
			return h.Incidents[0]
		}
		x, y := worst(a), worst(b)
		return cmp.Or(cmp.Compare(urgency(y.Decision), urgency(x.Decision)), cmp.Compare(y.Score, x.Score), strings.Compare(a.Name, b.Name))
	})
	r.Hosts = out
}

func once[T any](a, b []T, key func(T) string) []T {
	seen := make(map[string]bool, len(a))
	for _, x := range a {
		seen[key(x)] = true
	}
	for _, x := range b {
		if k := key(x); !seen[k] {
			seen[k] = true
			a = append(a, x)
		}
	}
	return a
}

func byUrgency(a, b *Incident) int {
	return cmp.Or(cmp.Compare(urgency(b.Decision), urgency(a.Decision)), cmp.Compare(b.Score, a.Score), cmp.Compare(b.Opened, a.Opened), strings.Compare(a.ID, b.ID))
}

func urgency(decision string) int {
	switch decision {
	case incident.Escalate:
		return 2
	case incident.Review, "":
		// Of one whose own row is missing only the rest is known: somebody has to look.
		return 1
	}
	return 0
}

// Newest leaves out what is older than a span before the newest of anything.
func (r *Report) Newest(span time.Duration) {
	var newest int64
	saw := func(t int64) {
		if sane(t) {
			newest = max(newest, t)
		}
	}
	for _, h := range r.Hosts {
		for _, x := range h.Incidents {
			saw(max(x.Opened, x.Last))
		}
		for _, x := range h.Installs {
			saw(x.Time)
		}
		for _, x := range h.Runs {
			saw(x.End)
		}
		for _, x := range h.Commands {
			saw(x.Time)
		}
	}
	from := newest - int64(span/time.Second)
	for _, h := range r.Hosts {
		h.Incidents = slices.DeleteFunc(h.Incidents, func(x *Incident) bool { return max(x.Opened, x.Last) < from })
		h.Installs = slices.DeleteFunc(h.Installs, func(x *Install) bool { return x.Time < from })
		h.Runs = slices.DeleteFunc(h.Runs, func(x *Run) bool { return x.End < from })
		h.Commands = slices.DeleteFunc(h.Commands, func(x Command) bool { return x.Time < from })
	}
}
