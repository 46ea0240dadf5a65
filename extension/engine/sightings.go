package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// sighting is a process that matches a rule, and what it was understood as.
type sighting struct {
	event *store.Event
	understood
}

// discovery is a process that only another technique's rule matches.
type discovery struct {
	process *evidence.Process
	verdict Verdict
}

// sight finds the processes that match a rule and makes one of those that are the
// same process start, seen by several sources: it names all and knows what any of
// them knows. Matched counts by source.
func (e *Engine) sight(all []*evidence.Process, echoed []echo) (out []*sighting, contexts []discovery, matched map[string]int64) {
	matched = map[string]int64{}
	latest := map[int64][]*sighting{}
	started := map[int]*sighting{} // by the start in echoes
	see := func(p *evidence.Process) {
		u, err := e.match(p)
		if err != nil {
			e.opts.Logger.Error("could not judge a process", "source", p.Source, "error", err)
			return
		}
		if len(u.hits) == 0 {
			return
		}
		if u.hits[0].Rule.Context() {
			contexts = append(contexts, discovery{p, e.opts.Judge.verdict(p, u, nil, Surroundings{}, time.Time{})})
			return
		}
		matched[p.Source]++
		start, remembered := e.echoes.matches(p)
		id := identityOf(p.Host, u.canonical(p))
		known := slices.DeleteFunc(latest[id], func(s *sighting) bool { return p.Time-s.event.Process.Time > store.SightingWindow })
		if i := slices.IndexFunc(known, func(s *sighting) bool { return sameStart(&s.event.Process, p) }); i >= 0 {
			known[i].join(p, u)
			latest[id] = known
			if remembered {
				started[start] = known[i]
			}
			return
		}
		s := &sighting{&store.Event{Identity: id, Process: *p}, u}
		latest[id] = append(known, s)
		out = append(out, s)
		if remembered {
			started[start] = s
		}
	}
	for _, p := range all {
		see(p)
	}
	for _, x := range echoed {
		p, ok := e.echoes.sighting(x)
		if !ok {
			continue
		}
		if s := started[x.of]; s != nil {
			matched[p.Source]++
			merge(&s.event.Process, p)
			continue
		}
		see(p)
	}
	return out, contexts, matched
}

// join makes one of two sightings of a start. Of a launcher and what it launches the
// latter is the command, and who called the launcher is behind it.
func (s *sighting) join(p *evidence.Process, u understood) {
	own := &s.event.Process
	if launched(own, p) {
		child, launcher := *p, *own
		launcher.CmdLine, launcher.ArgsJoined = child.CmdLine, child.ArgsJoined // its own is another
		merge(&child, &launcher)
		child.Source = own.Source
		merge(&child, &evidence.Process{Source: p.Source})
		*own = child
	} else {
		if own.ArgsJoined && !p.ArgsJoined && !p.Truncated {
			s.understood = u
		}
		merge(own, p)
	}
	if marks(u) > marks(s.understood) {
		s.understood = u
	}
}

// marks counts what hides the commands: the sighting that shows it is the one to
// judge.
func marks(u understood) (n int) {
	for i := range u.Commands {
		n += len(u.Commands[i].Obfuscation)
	}
	return n
}

// fresh drops the sightings that a row tells of already, and returns the rows of
// which they tell more.
func (e *Engine) fresh(ctx context.Context, list []*sighting) (fresh []*sighting, resighted []*store.Event, err error) {
	events := make([]*store.Event, len(list))
	for i, s := range list {
		events[i] = s.event
	}
	known, err := e.opts.Store.Sightings(ctx, events)
	if err != nil {
		return nil, nil, err
	}
	for i, s := range list {
		p := &s.event.Process
		same := func(k *store.Event) bool { return k.Identity == s.event.Identity && sameStart(&k.Process, p) }
		j := slices.IndexFunc(known[i], same)
		if j < 0 && p.Late > 0 {
			q := &store.Event{Identity: s.event.Identity, Process: *p}
			shownProcess(&q.Process)
			j = slices.IndexFunc(known[i], func(k *store.Event) bool { return again(k, q) })
		}
		if j < 0 {
			fresh = append(fresh, s)
			continue
		}
		row := known[i][j]
		before := row.Process.Source
		shownProcess(p)
		if merge(&row.Process, p); row.Process.Source != before {
			resighted = append(resighted, row)
		}
	}
	return fresh, resighted, nil
}

// launchers run one command for somebody and add nothing to it.
var launchers = map[string]bool{
	"sudo": true, "doas": true, "pkexec": true, "su": true, "runuser": true, "run0": true, "env": true, "timeout": true, "nohup": true, "nice": true,
	"ionice": true, "setsid": true, "stdbuf": true, "time": true, "chrt": true,
}

// launched reports whether p is a launcher that started q.
func launched(p, q *evidence.Process) bool {
	return p.PID != 0 && q.ParentPID == p.PID && launchers[winargv.Base(p.Path)]
}

// sameStart reports whether two sightings of one command on one host are of the same
// start: by its process id; by that of the launcher that started it; or, where a log
// has no id, by the user whom two sources name.
func sameStart(p, q *evidence.Process) bool {
	if d := p.Time - q.Time; d > store.SightingWindow || d < -store.SightingWindow {
		return false
	}
	if p.PID != 0 && q.PID != 0 {
		return p.PID == q.PID || launched(p, q) || launched(q, p)
	}
	if p.ParentPID != 0 && p.ParentPID == q.PID || q.ParentPID != 0 && q.ParentPID == p.PID {
		return true // sudo's log names sudo
	}
	if named(p.Source, q.Source) {
		return p.EID == q.EID && p.Time == q.Time
	}
	who, other := person(p), person(q)
	return who != "" && (strings.EqualFold(who, other) || p.Username != "" && strings.EqualFold(p.Username, q.Username) && (p.LoginUser == "" || q.LoginUser == ""))
}

// named reports whether a list of sources names one.
func named(list, source string) bool { return strings.Contains(","+list+",", ","+source+",") }

// match finds the rules that match. It recovers, as judge does: what is read is
// hostile, and one process is not worth the extension.
func (e *Engine) match(p *evidence.Process) (u understood, err error) {
	defer func() {
		if r := recover(); r != nil {
			u, err = understood{}, fmt.Errorf("matching panicked: %v", r)
		}
	}()
	if j := e.opts.Judge; j.Understand == nil && !j.Rules.MayMatch(p) {
		return understood{}, nil // most are, and need no reading
	}
	return e.opts.Judge.match(p), nil
}

// identityOf is the same for one command on one host, however the source spells it.
func identityOf(host string, canonical []string) int64 {
	h := sha256.New()
	h.Write([]byte(strings.ToLower(host)))
	for _, c := range canonical {
		h.Write([]byte{0})
		h.Write([]byte(c))
	}
	return int64(binary.LittleEndian.Uint64(h.Sum(nil)) >> 1)
}

// merge takes what only the second sighting of a process start knows.
func merge(to, from *evidence.Process) {
	for source := range strings.SplitSeq(from.Source, ",") {
		if !named(to.Source, source) {
			to.Source += "," + source
		}
	}
	if to.ArgsJoined && !from.ArgsJoined && !from.Truncated && from.CmdLine != "" {
		to.CmdLine, to.ArgsJoined = from.CmdLine, false
	}
	for _, f := range []struct{ to, from *string }{
		{&to.Path, &from.Path}, {&to.OriginalFileName, &from.OriginalFileName}, {&to.CWD, &from.CWD},
		{&to.ParentPath, &from.ParentPath}, {&to.ParentCmdLine, &from.ParentCmdLine},
		{&to.Username, &from.Username}, {&to.UID, &from.UID}, {&to.LoginUser, &from.LoginUser}, {&to.LoginUID, &from.LoginUID},
		{&to.LoginSource, &from.LoginSource}, {&to.LogonID, &from.LogonID}, {&to.Session, &from.Session}, {&to.TTY, &from.TTY},
		{&to.IntegrityLevel, &from.IntegrityLevel}, {&to.ContainerID, &from.ContainerID},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	if to.Elevated == evidence.Unknown {
		to.Elevated = from.Elevated
	}
	if len(from.Ancestry) > len(to.Ancestry) {
		to.Ancestry = from.Ancestry
	}
	if to.ParentPID == 0 {
		to.ParentPID = from.ParentPID
	}
}
