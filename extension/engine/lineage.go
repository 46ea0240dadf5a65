package engine

import (
	"cmp"
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// The bounds of what is remembered of processes.
const (
	maxProcesses = 16_384
	maxAncestors = 16
	// maxRemembered bounds a remembered command line, in bytes.
	maxRemembered = 1024
	// maxHolders bounds how many processes that had the same id are looked through,
	// and maxSpared how many parents are spared for one new entry.
	maxHolders = 256
	maxSpared  = 64
	// execWithin is for how long after its start a process that runs another program
	// is told from one that got its id later, from the same parent; seconds.
	execWithin = 6 * 3600
	// maxLaunches is how many launchers are remembered whose forks are looked for.
	maxLaunches = 64
)

// remembered is what later events need of an earlier process.
type remembered struct {
	pid, parent int64
	time        int64
	host        string
	path        string
	cmdline     string
	username    string
	loginUser   string
	session     string
	logonID     string
	uid         string
	loginUID    string
	cwd         string
	containerID string
	loginSource string
	argsJoined  bool
	// parentPath and parentCmdline are what the source itself told of the parent, for
	// when the parent's own start was never seen.
	parentPath, parentCmdline string
}

// processKey names a process among those of several hosts.
type processKey struct {
	host string
	pid  int64
}

// packed is a remembered process in few bytes: its texts stand one behind the other in
// an allocation of their own, so that nothing else of the answer they came in stays.
type packed struct {
	host              string
	pid, parent, time int64
	texts             string
	ends              [13]uint32
	argsJoined        bool
	// parental says that it was somebody's parent since the ring last came by.
	parental bool
	// earlier is the index in the ring of the process that had the id before, -1 for
	// none. It holds only while that entry is still of this id, and older.
	earlier int32
}

func (r *packed) key() processKey { return processKey{r.host, r.pid} }

func pack(p *evidence.Process) packed {
	r := packed{host: p.Host, pid: p.PID, parent: p.ParentPID, time: p.Time, argsJoined: p.ArgsJoined, earlier: -1}
	texts := [len(r.ends)]string{p.Path, p.CmdLine[:min(len(p.CmdLine), maxRemembered)], p.Username, p.LoginUser, p.Session, p.LogonID, p.UID, p.CWD, p.ContainerID, p.LoginSource,
		p.LoginUID, p.ParentPath, p.ParentCmdLine[:min(len(p.ParentCmdLine), maxRemembered)]}
	r.texts = strings.Join(texts[:], "")
	end := 0
	for i := range texts {
		end += len(texts[i])
		r.ends[i] = uint32(end)
	}
	return r
}

func (r *packed) unpack() remembered {
	from := uint32(0)
	next := func(i int) string {
		text := r.texts[from:r.ends[i]]
		from = r.ends[i]
		return text
	}
	return remembered{host: r.host, pid: r.pid, parent: r.parent, time: r.time, argsJoined: r.argsJoined,
		path: next(0), cmdline: next(1), username: next(2), loginUser: next(3), session: next(4), logonID: next(5), uid: next(6),
		cwd: next(7), containerID: next(8), loginSource: next(9), loginUID: next(10), parentPath: next(11), parentCmdline: next(12)}
}

// lineage remembers the processes seen last, so that events that name only a
// parent's id get its program and ancestry, also when it has ended since. A ring
// of fixed size: the oldest entry makes room, unless it was a parent lately: what
// runs for months and starts others is not forgotten for what they start.
//
// Recorded evidence comes in large pieces, in which an id is used again and again:
// the processes that had an id are chained, newest first.
type lineage struct {
	ring  []packed
	next  int
	byPID map[processKey]int // index in ring of the newest process with the id
	// launches are the last launchers, a ring too.
	launches   []launch
	nextLaunch int
}

// launch is a launcher, and which process starts its command: sudo itself, or a fork of
// it that nobody tells of, because it runs no program of its own.
type launch struct {
	processKey
	parent, time int64
	starter      int64 // 0 while the command was not seen
}

func newLineage() *lineage {
	return &lineage{byPID: make(map[processKey]int)}
}

func (l *lineage) remember(p *evidence.Process) {
	if p.PID <= 0 {
		return
	}
	l.place(p)
	if forks[winargv.Base(p.Path)] {
		l.launch(p)
	}
}

// forks are the launchers that may start their command from a fork of theirs; the others
// become it.
var forks = map[string]bool{"sudo": true, "dzdo": true, "doas": true, "su": true, "runuser": true, "run0": true, "pkexec": true}

// launch remembers a launcher.
func (l *lineage) launch(p *evidence.Process) {
	x := launch{processKey: processKey{p.Host, p.PID}, parent: p.ParentPID, time: p.Time}
	for i := range l.launches {
		if y := &l.launches[i]; y.processKey == x.processKey && y.parent == x.parent && x.time-y.time <= store.SightingWindow {
			return // by another source, or it became another launcher
		}
	}
	if len(l.launches) < maxLaunches {
		l.launches = append(l.launches, x)
		return
	}
	l.launches[l.nextLaunch] = x
	l.nextLaunch = (l.nextLaunch + 1) % maxLaunches
}

// adopt finds the launcher of a command whose parent nobody told of, and remembers the
// parent as its fork. One launcher starts one command; of several it is the one that
// started last before the fork. What a launcher reports to a log of its command names the
// launcher, whoever of its forks starts it.
func (l *lineage) adopt(p *evidence.Process) {
	if p.PID <= 0 || p.ParentPID <= 0 || len(l.launches) == 0 {
		return
	}
	held := l.holder(p.Host, p.ParentPID, p.Time) >= 0
	var found *launch
	var from remembered
	for i := range l.launches {
		x := &l.launches[i]
		fits := x.pid < p.ParentPID && !held && x.starter == 0 || x.pid == p.ParentPID
		if !fits || x.host != p.Host || x.pid == p.PID || p.Time < x.time-1 || p.Time-x.time > store.LaunchWindow || found != nil && found.pid > x.pid {
			continue
		}
		r, ok := l.find(p.Host, x.pid, p.Time)
		if !ok || !forks[winargv.Base(r.path)] || !runs(r.cmdline, p.CmdLine) || p.ParentPath != "" && winargv.Base(p.ParentPath) != winargv.Base(r.path) ||
			differ(p.LoginUID, r.loginUID) || differ(p.Session, r.session) || differ(p.ContainerID, r.containerID) {
			continue
		}
		found, from = x, r
	}
	if found == nil {
		return
	}
	found.starter = p.ParentPID
	if found.pid == p.ParentPID {
		return
	}
	fork := evidence.Process{Host: p.Host, PID: p.ParentPID, ParentPID: from.pid, Time: from.time, Path: from.path, CmdLine: from.cmdline, ArgsJoined: from.argsJoined, Username: from.username,
		UID: from.uid, LoginUser: from.loginUser, LoginUID: from.loginUID, LoginSource: from.loginSource, LogonID: from.logonID, Session: from.session, CWD: from.cwd, ContainerID: from.containerID}
	l.place(&fork)
}

// differ reports whether two sources tell of a different thing.
func differ(a, b string) bool { return a != "" && b != "" && a != b }

// place puts a process into the ring.
func (l *lineage) place(p *evidence.Process) {
	r := pack(p)
	if i, ok := l.byPID[r.key()]; ok {
		if l.ring[i].time > p.Time {
			return // late evidence of an earlier process does not replace a later one
		}
		if l.ring[i].parent == p.ParentPID && p.Time-l.ring[i].time < execWithin {
			// The same process ran another program (exec): what it is now counts for
			// its children.
			r.earlier, r.parental = l.ring[i].earlier, l.ring[i].parental
			l.ring[i] = r
			return
		}
		r.earlier = int32(i)
	}
	i := l.room()
	if i == int(r.earlier) {
		r.earlier = -1
	}
	l.ring[i] = r
	l.byPID[r.key()] = i
}

// room is the place of the next entry: a new one, or that of the oldest entry that
// was nobody's parent lately.
func (l *lineage) room() int {
	if len(l.ring) < maxProcesses {
		l.ring = append(l.ring, packed{})
		return len(l.ring) - 1
	}
	for range maxSpared {
		if !l.ring[l.next].parental {
			break
		}
		l.ring[l.next].parental = false
		l.next = (l.next + 1) % maxProcesses
	}
	i := l.next
	if old := &l.ring[i]; l.byPID[old.key()] == i {
		delete(l.byPID, old.key())
	}
	l.next = (l.next + 1) % maxProcesses
	return i
}

// complete fills in the parent and ancestry that the source did not give.
func (l *lineage) complete(p *evidence.Process) {
	l.adopt(p)
	if len(p.Ancestry) == 0 {
		l.ancestors(p)
	}
	if len(p.Ancestry) == 0 {
		return
	}
	if p.ParentPath == "" {
		p.ParentPath = p.Ancestry[0].Path
	}
	if p.ParentCmdLine == "" {
		p.ParentCmdLine = p.Ancestry[0].CmdLine
	}
}

func (l *lineage) ancestors(p *evidence.Process) {
	p.Ancestry = l.chainOf(remembered{host: p.Host, pid: p.PID, parent: p.ParentPID, time: p.Time, parentPath: p.ParentPath, parentCmdline: p.ParentCmdLine})
}

// find returns the process that had an id at a time, if it is remembered and the id was
// not used again since.
func (l *lineage) find(host string, pid, at int64) (r remembered, ok bool) {
	i := l.holder(host, pid, at)
	if i < 0 {
		return r, false
	}
	return l.ring[i].unpack(), true
}

// holder is the index of the process that had an id at a time, -1 for none.
func (l *lineage) holder(host string, pid, at int64) int {
	key := processKey{host, pid}
	i, ok := l.byPID[key]
	if !ok || pid <= 0 {
		return -1
	}
	for range maxHolders {
		r := &l.ring[i]
		if r.time <= at+1 {
			return i
		}
		if r.earlier < 0 || l.ring[r.earlier].key() != key || l.ring[r.earlier].time > r.time {
			return -1
		}
		i = int(r.earlier)
	}
	return -1
}

// chain is the ancestry of a process, its parent first.
func (l *lineage) chain(host string, own, parent, at int64) []evidence.Ancestor {
	return l.chainOf(remembered{host: host, pid: own, parent: parent, time: at})
}

// chainOf is the ancestry of a process, its parent first. What a source itself says
// of a parent counts for more than a process that once had its id.
func (l *lineage) chainOf(child remembered) (out []evidence.Ancestor) {
	host, seen := child.host, map[int64]bool{child.pid: true}
	for len(out) < maxAncestors && child.parent > 0 && !seen[child.parent] {
		seen[child.parent] = true
		i := l.holder(host, child.parent, child.time)
		var r remembered
		if i >= 0 {
			r = l.ring[i].unpack()
		}
		if i < 0 || child.parentPath != "" && winargv.Base(r.path) != winargv.Base(child.parentPath) {
			// A parent of the process itself is in its own fields.
			if len(out) > 0 && (child.parentPath != "" || child.parentCmdline != "") {
				out = append(out, evidence.Ancestor{PID: child.parent, Path: child.parentPath, CmdLine: child.parentCmdline})
			}
			break
		}
		l.ring[i].parental = true
		out = append(out, evidence.Ancestor{PID: r.pid, Path: r.path, CmdLine: r.cmdline})
		child = r
	}
	return out
}

// scriptBlock reports what PowerShell ran within a process of its own that goes on: no
// process started.
func scriptBlock(p *evidence.Process) bool {
	return p.Platform == evidence.Windows && p.ParentPID == 0 && p.Path == "powershell.exe" && p.PID > 0
}

// within fills in what the process that a script block ran in tells.
func (l *lineage) within(p *evidence.Process) {
	r, ok := l.find(p.Host, p.PID, p.Time)
	if !ok {
		return
	}
	if b := winargv.Base(r.path); b == "powershell" || b == "pwsh" {
		p.Path = r.path
	}
	p.ParentPID, p.ParentPath, p.ParentCmdLine = r.parent, r.parentPath, r.parentCmdline
	for _, f := range []struct {
		to   *string
		from string
	}{{&p.Username, r.username}, {&p.UID, r.uid}, {&p.LoginUser, r.loginUser}, {&p.LoginUID, r.loginUID}, {&p.Session, r.session}, {&p.LogonID, r.logonID}, {&p.LoginSource, r.loginSource}, {&p.CWD, r.cwd}} {
		if *f.to == "" {
			*f.to = f.from
		}
	}
}

// caller is who called sudo or its like, where the source tells of root alone: the
// user of the nearest ancestor above it.
func (l *lineage) caller(p *evidence.Process) string {
	if p.Platform == evidence.Windows || p.UID != "0" && p.Username != "root" {
		return ""
	}
	became := launchers[winargv.Base(p.Path)]
	for _, a := range p.Ancestry {
		r, ok := l.find(p.Host, a.PID, p.Time)
		if !ok {
			return ""
		}
		if became && r.username != "" && r.username != "root" && r.uid != "0" {
			return r.username
		}
		switch winargv.Base(a.Path) {
		case "sudo", "su", "doas", "pkexec":
			became = true
		}
	}
	return ""
}

// around returns the processes that started on a host from before to after seconds
// around a time, at most limit, the nearest before it first.
func (l *lineage) around(host string, at, before, after int64, limit int) []remembered {
	var out []remembered
	for i := range l.ring {
		if r := &l.ring[i]; r.host == host && r.time >= at-before && r.time <= at+after {
			out = append(out, r.unpack())
		}
	}
	slices.SortStableFunc(out, func(a, b remembered) int { return cmp.Compare(b.time, a.time) })
	if len(out) > limit {
		out = out[:limit]
	}
	return out
}
