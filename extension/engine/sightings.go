package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
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
		known := slices.DeleteFunc(latest[id], func(s *sighting) bool {
			age := p.Time - s.event.Process.Time
			return age > store.SightingWindow && (age > store.LaunchWindow || !launches(s.event.Process.Path))
		})
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
			absorb(&s.event.Process, p)
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
	if p.PID != 0 && (launched(own, p) || replaced(own, p)) {
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
		absorb(own, p)
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
	rows := map[int64]*store.Event{} // by id: what one event tells of a row counts for the next
	for i, s := range list {
		p := &s.event.Process
		for j, k := range known[i] {
			if rows[k.ID] == nil {
				k.Process.Ancestry = ancestorsIn(k.Ancestry)
				rows[k.ID] = k
			}
			known[i][j] = rows[k.ID]
		}
		same := func(k *store.Event) bool { return k.Identity == s.event.Identity && sameStart(&k.Process, p) }
		j := slices.IndexFunc(known[i], same)
		if j < 0 && p.Late > 0 {
			q := &store.Event{Identity: s.event.Identity, Process: *p}
			shownProcess(&q.Process)
			j = slices.IndexFunc(known[i], func(k *store.Event) bool { return again(k, q) })
		}
		var row *store.Event
		if j >= 0 {
			row = known[i][j]
		} else if row = e.joined.of(s.event); row != nil && rows[row.ID] != nil {
			row = rows[row.ID]
		}
		if row == nil {
			fresh = append(fresh, s)
			continue
		}
		rows[row.ID] = row
		e.joined.note(row, s.event, j < 0)
		before, pid, above := row.Process.Source, row.Process.PID, len(row.Process.Ancestry)
		shownProcess(p)
		if absorb(&row.Process, p); row.Process.Source != before || row.Process.PID != pid {
			if len(row.Process.Ancestry) > above {
				row.Ancestry = ancestryText(row.Process.Ancestry)
			}
			if !slices.Contains(resighted, row) {
				resighted = append(resighted, row)
			}
		}
	}
	return fresh, resighted, nil
}

// maxJoined is of how many stored rows of launchers the commands are remembered.
const maxJoined = 64

// joined remembers which commands the rows of launchers tell of that were stored before
// the command was seen: a row is not rewritten, and what comes later may tell of the
// command alone.
type joined struct {
	ring    []joinedRow
	next    int
	changed bool // since it was written
}

type joinedRow struct{ row, command *store.Event }

// of returns the row that tells of a command already, nil for none.
func (x *joined) of(command *store.Event) *store.Event {
	for i := range x.ring {
		j := &x.ring[i]
		j.command.Process.Source = j.row.Process.Source
		if j.command.Identity == command.Identity && (sameStart(&j.command.Process, &command.Process) || again(j.command, command)) {
			return j.row
		}
	}
	return nil
}

// note remembers the command of a launcher's row, and how the row is now; through says
// that the row was found by another command of it.
func (x *joined) note(row, command *store.Event, through bool) {
	known := false
	for i := range x.ring {
		j := &x.ring[i]
		if j.row.ID == row.ID {
			j.row, known = row, known || j.command.Process.PID == command.Process.PID && j.command.Process.Path == command.Process.Path
		}
	}
	if known || !through && !launched(&row.Process, &command.Process) && !replaced(&row.Process, &command.Process) {
		return
	}
	copied := *command
	x.changed = true
	if len(x.ring) < maxJoined {
		x.ring = append(x.ring, joinedRow{row, &copied})
		return
	}
	x.ring[x.next] = joinedRow{row, &copied}
	x.next = (x.next + 1) % maxJoined
}

const (
	// joinedCursor is the name under which what is joined outlives a restart, beside the
	// cursors of sources.
	joinedCursor = "@joined"
	// maxWritten is how many of the newest are written, and joinedFor for how long one is
	// of use: until the slowest source told of it, seconds.
	maxWritten = 16
	joinedFor  = 3600
)

// joinedText is a joined command as it is stored.
type joinedText struct {
	EventID  string           `json:"event_id"`
	Identity int64            `json:"identity"`
	Process  evidence.Process `json:"process"`
}

// text is what is to be stored of the rows that are of use at a time: masked, as
// everything that is stored.
func (x *joined) text(now int64) string {
	var list []joinedText
	for i := range x.ring {
		j := x.ring[(x.next+len(x.ring)-1-i)%len(x.ring)] // the newest first
		p := j.command.Process
		if now-p.Time > joinedFor || len(list) == maxWritten {
			continue
		}
		shownProcess(&p)
		p.Ancestry = slices.Clone(p.Ancestry)
		for k := range p.Ancestry {
			p.Ancestry[k].Path, p.Ancestry[k].CmdLine = shown(p.Ancestry[k].Path), ""
		}
		list = append(list, joinedText{j.row.EventID, j.command.Identity, p})
	}
	slices.Reverse(list)
	return jsonText(list)
}

// openJoined puts back what was joined before a restart.
func (e *Engine) openJoined(ctx context.Context) error {
	var list []joinedText
	if text := e.cursors[joinedCursor]; text == "" || json.Unmarshal([]byte(text), &list) != nil {
		return nil // none, or not of this program's writing
	}
	now := e.opts.Now().Unix()
	for _, j := range list[max(0, len(list)-maxWritten):] {
		if j.EventID == "" || now-j.Process.Time > joinedFor {
			continue
		}
		command := &store.Event{Identity: j.Identity, Process: j.Process}
		if _, err := e.opts.Store.Events(ctx, store.Filter{EventID: j.EventID}, func(row *store.Event) error {
			row.Process.Ancestry = ancestorsIn(row.Ancestry)
			e.joined.ring = append(e.joined.ring, joinedRow{row, command})
			return nil
		}); err != nil {
			return fmt.Errorf("read what launchers started: %w", err)
		}
	}
	return nil
}

// launchers run one command for somebody and add nothing to it.
var launchers = map[string]bool{
	"sudo": true, "doas": true, "dzdo": true, "pkexec": true, "su": true, "runuser": true, "run0": true, "setpriv": true, "gosu": true, "su-exec": true, "setuidgid": true,
	"env": true, "timeout": true, "nohup": true, "nice": true, "ionice": true, "setsid": true, "stdbuf": true, "time": true, "chrt": true, "taskset": true,
}

// launches reports whether a program is a launcher.
func launches(path string) bool { return launchers[winargv.Base(path)] }

// launched reports whether p is a launcher that started q, or started the launcher that
// did; or what became it, as the shell of "ssh host sudo ..." does.
func launched(p, q *evidence.Process) bool {
	return p.PID != 0 && p.PID != q.PID && behind(q, p.PID) && (launches(p.Path) || q.ParentPID != p.PID || launches(q.ParentPath))
}

// behind reports whether a process is the parent of q, or a launcher above that with
// nothing but launchers between.
func behind(q *evidence.Process, pid int64) bool {
	if q.ParentPID == pid {
		return true
	}
	for _, a := range q.Ancestry {
		if !launches(a.Path) {
			return false
		}
		if a.PID == pid {
			return true
		}
	}
	return false
}

// reports reports whether q can be what the launcher p reported to a log that does not
// tell of whom it is.
func reports(p, q *evidence.Process) bool {
	return p.PID != 0 && q.PID == 0 && q.ParentPID == 0 && launches(p.Path) && winargv.Base(p.Path) == winargv.Base(q.ParentPath) &&
		!named(p.Source, q.Source) && person(p) != "" && strings.EqualFold(person(p), person(q))
}

// replaced reports whether p became q in the same process, one of them a launcher: env
// its command, or the shell that ssh starts the sudo it was to run.
func replaced(p, q *evidence.Process) bool {
	return p.PID != 0 && p.PID == q.PID && p.Path != q.Path && (launches(p.Path) || launches(q.Path)) && runs(p.CmdLine, q.CmdLine)
}

// runs reports whether a launcher's command line ends with a command, or with what a
// shell is to run ("sudo -i"), whatever the quotes.
func runs(launcher, command string) bool {
	if argv0, rest, _ := strings.Cut(command, " "); strings.HasPrefix(rest, "-c ") && strings.HasSuffix(argv0, "sh") {
		command = rest[len("-c "):]
	}
	launcher, command = unquoted.Replace(launcher), unquoted.Replace(command)
	return command != "" && len(launcher) > len(command) && strings.HasSuffix(launcher, command)
}

// unquoted takes out what depends on how words are quoted.
var unquoted = strings.NewReplacer(" ", "", "\t", "", "\n", "", "'", "", `"`, "", `\`, "")

// sameStart reports whether two sightings of one command on one host are of the same
// start: by its process id; by that of the launcher that started it; or, where a log
// has no id, by the user whom two sources name.
func sameStart(p, q *evidence.Process) bool {
	d := q.Time - p.Time
	if d >= -store.SightingWindow && d <= store.LaunchWindow && (launched(p, q) || reports(p, q)) || d <= store.SightingWindow && d >= -store.LaunchWindow && launched(q, p) {
		return true // sudo may have asked for a password first
	}
	if d > store.SightingWindow || d < -store.SightingWindow {
		return false
	}
	if p.PID != 0 && q.PID != 0 {
		return p.PID == q.PID
	}
	report, told := p, q
	if p.PID != 0 {
		report, told = q, p
	}
	if launcher := report.ParentPID; launcher != 0 { // sudo's log names sudo
		switch {
		case told.PID == launcher || behind(told, launcher):
			return true
		case told.PID == 0 && told.ParentPID != 0, told.PID != 0 && (launches(told.Path) || len(told.Ancestry) > 0 && launches(told.Ancestry[0].Path)):
			return false // of another launcher
		}
	}
	if named(p.Source, q.Source) {
		return p.EID == q.EID && p.Time == q.Time
	}
	who, other := person(p), person(q)
	return who != "" && (strings.EqualFold(who, other) || p.Username != "" && strings.EqualFold(p.Username, q.Username) && (p.LoginUser == "" || q.LoginUser == ""))
}

// absorb takes what only the second sighting of a start knows, also who it is of, where
// the first is what a launcher reports of its command.
func absorb(to, from *evidence.Process) {
	if to.PID != 0 || from.PID == 0 {
		if another := to.PID != 0 && from.PID == 0 && winargv.Base(to.Path) != winargv.Base(command(from)); another || launched(to, from) {
			from = above(to, from)
		}
		merge(to, from)
		return
	}
	if name := winargv.Base(from.Path); (launches(from.Path) || strings.HasSuffix(name, "sh")) && name != winargv.Base(command(to)) {
		l := *from
		l.ParentPID, l.ParentPath, l.ParentCmdLine = from.PID, from.Path, from.CmdLine
		l.Ancestry = append([]evidence.Ancestor{{PID: from.PID, Path: from.Path, CmdLine: from.CmdLine}}, from.Ancestry...)
		l.Path, l.OriginalFileName, l.CmdLine = "", "", ""
		merge(to, &l)
		return
	}
	if to.PID = from.PID; to.ParentPID == from.PID {
		to.ParentPID = from.ParentPID // it became the command, as pkexec does
	}
	merge(to, from)
}

// command is the program of what a log reports.
func command(p *evidence.Process) string {
	first, _, _ := strings.Cut(p.CmdLine, " ")
	return first
}

// above is what a launcher's command tells of the launcher: nobody is its own parent.
func above(launcher, command *evidence.Process) *evidence.Process {
	c := *command
	c.ParentPID, c.ParentPath, c.ParentCmdLine, c.Ancestry = 0, "", "", nil
	if i := slices.IndexFunc(command.Ancestry, func(a evidence.Ancestor) bool { return a.PID == launcher.PID }); i >= 0 && i+1 < len(command.Ancestry) {
		c.Ancestry = command.Ancestry[i+1:]
		c.ParentPID, c.ParentPath, c.ParentCmdLine = c.Ancestry[0].PID, c.Ancestry[0].Path, c.Ancestry[0].CmdLine
	}
	return &c
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
	if whole(to.ParentPath, from.ParentPath) {
		to.ParentPath = from.ParentPath
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

// whole reports whether a path is of the program that a log gave the name of alone.
func whole(name, path string) bool {
	const separators = `/\`
	return name != "" && !strings.ContainsAny(name, separators) && strings.ContainsAny(path, separators) && winargv.Base(name) == winargv.Base(path)
}
