package engine

import (
	"cmp"
	"hash/maphash"
	"slices"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/winargv"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// The bounds of what is remembered of processes.
const (
	maxProcesses = 16_384
	maxAncestors = 16
	// maxRemembered bounds a remembered command line, in bytes, maxPath a path and maxName
	// every other text.
	maxRemembered = 1024
	maxPath       = 4096
	maxName       = 512
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

// packed is a remembered process in few bytes and without a pointer: its texts stand one
// behind the other among those of others, so that nothing else of the answer they came in
// stays. A pid of 0 is that of an entry whose texts had to make room.
type packed struct {
	pid, parent, time int64
	key               uint64
	ends              [textsOfOne]uint16
	at                place
	argsJoined        bool
	// parental says that it was somebody's parent since the ring last came by.
	parental bool
	// earlier is the index in the ring of the process that had the id before, -1 for
	// none. It holds only while that entry is still of this id, and older.
	earlier int32
}

// textsOfOne is how many texts are remembered of a process.
const textsOfOne = 14

// size is how long its texts are, in bytes.
func (r *packed) size() int { return int(r.ends[textsOfOne-1]) }

// textsOf are the texts that are remembered of a process, each of them bounded. Of a path
// the end counts, which names the program.
func textsOf(p *evidence.Process) [textsOfOne]string {
	texts := [textsOfOne]string{p.Path, p.CmdLine, p.Username, p.LoginUser, p.Session, p.LogonID, p.UID, p.CWD, p.ContainerID, p.LoginSource,
		p.LoginUID, p.ParentPath, p.ParentCmdLine, p.Host}
	for i := range texts {
		most := maxName
		switch i {
		case 0, 7, 11:
			texts[i] = texts[i][max(len(texts[i])-maxPath, 0):]
			continue
		case 1, 12:
			most = maxRemembered
		}
		texts[i] = texts[i][:min(len(texts[i]), most)]
	}
	return texts
}

// unpack returns the process of an entry.
func (l *lineage) unpack(i int) remembered {
	r := &l.ring[i]
	texts, from := l.lend(i), uint16(0)
	next := func(i int) string {
		text := texts[from:r.ends[i]]
		from = r.ends[i]
		return text
	}
	return remembered{pid: r.pid, parent: r.parent, time: r.time, argsJoined: r.argsJoined,
		path: next(0), cmdline: next(1), username: next(2), loginUser: next(3), session: next(4), logonID: next(5), uid: next(6),
		cwd: next(7), containerID: next(8), loginSource: next(9), loginUID: next(10), parentPath: next(11), parentCmdline: next(12), host: next(13)}
}

// lend is a copy of the texts of an entry.
func (l *lineage) lend(i int) string {
	if len(l.lent) < len(l.ring) {
		l.lent = append(l.lent, make([]string, cap(l.ring)-len(l.lent))...)
	}
	if l.lent[i] == "" {
		r := &l.ring[i]
		l.lent[i] = string(l.texts.read(r.at, r.size()))
	}
	return l.lent[i]
}

// set fills an entry.
func (l *lineage) set(i int, r packed) {
	l.ring[i] = r
	if i < len(l.lent) {
		l.lent[i] = ""
	}
}

// rest ends a cycle: what was lent is not shared any more.
func (l *lineage) rest() { clear(l.lent) }

// hostOf is the host of an entry.
func (l *lineage) hostOf(i int) []byte {
	r := &l.ring[i]
	return l.texts.read(r.at, r.size())[r.ends[textsOfOne-2]:]
}

// lineage remembers the processes seen last, so that events that name only a
// parent's id get its program and ancestry, also when it has ended since. A ring
// of fixed size: the oldest entry makes room, unless it was a parent lately: what
// runs for months and starts others is not forgotten for what they start.
//
// Recorded evidence comes in large pieces, in which an id is used again and again:
// the processes that had an id are chained, newest first.
type lineage struct {
	seed  maphash.Seed
	ring  []packed
	texts pieces
	// lent are texts that were asked for since the last cycle, by index in ring, so that
	// all whose ancestor one is share them.
	lent  []string
	next  int
	byPID map[uint64]int32 // index in ring of the newest process, by keyOf its id
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
	return &lineage{seed: maphash.MakeSeed(), byPID: map[uint64]int32{}}
}

func (l *lineage) keyOf(host string, pid int64) uint64 {
	return maphash.Comparable(l.seed, processKey{host, pid})
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
	r := packed{pid: p.PID, parent: p.ParentPID, time: p.Time, key: l.keyOf(p.Host, p.PID), argsJoined: p.ArgsJoined, earlier: -1}
	known, ok := l.byPID[r.key]
	var i int
	switch {
	case ok && l.ring[known].time > p.Time:
		return // late evidence of an earlier process does not replace a later one
	case ok && l.ring[known].parent == p.ParentPID && p.Time-l.ring[known].time < execWithin:
		// The same process ran another program (exec): what it is now counts for
		// its children.
		i = int(known)
		r.earlier, r.parental = l.ring[i].earlier, l.ring[i].parental
		l.texts.drop(l.ring[i].at, l.ring[i].size())
		l.ring[i].pid = 0
	default:
		if i = l.room(); ok && i != int(known) {
			r.earlier = known
		}
	}
	texts := textsOf(p)
	end := 0
	for j := range texts {
		end += len(texts[j])
		r.ends[j] = uint16(end)
	}
	if !l.texts.fits(end) {
		l.texts.turn(l)
	}
	r.at = l.texts.write(int32(i), end, texts[:])
	l.set(i, r)
	l.byPID[r.key] = int32(i)
}

// room is the place of the next entry: a new one, or that of the oldest entry that
// was nobody's parent lately.
func (l *lineage) room() int {
	if n := len(l.ring); n < maxProcesses {
		if n == cap(l.ring) {
			l.ring = slices.Grow(l.ring, min(max(n, 256), maxProcesses-n))
		}
		l.ring = append(l.ring, packed{})
		return n
	}
	for range maxSpared {
		if !l.ring[l.next].parental {
			break
		}
		l.ring[l.next].parental = false
		l.next = (l.next + 1) % maxProcesses
	}
	i := l.next
	if l.ring[i].pid != 0 {
		l.texts.drop(l.ring[i].at, l.ring[i].size())
		l.forget(int32(i))
	}
	l.next = (l.next + 1) % maxProcesses
	return i
}

// forget empties an entry.
func (l *lineage) forget(i int32) {
	if key := l.ring[i].key; l.byPID[key] == i {
		delete(l.byPID, key)
	}
	l.set(int(i), packed{earlier: -1})
}

// where is the place of the texts of an entry, while it has any.
func (l *lineage) where(i int32) (at place, ok bool) { return l.ring[i].at, l.ring[i].pid != 0 }

// moved notes where the texts of an entry are now.
func (l *lineage) moved(i int32, to place) { l.ring[i].at = to }

// spare reports whether an entry was somebody's parent lately, which counts once.
func (l *lineage) spare(i int32) bool {
	was := l.ring[i].parental
	l.ring[i].parental = false
	return was
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
	return l.unpack(i), true
}

// holder is the index of the process that had an id at a time, -1 for none.
func (l *lineage) holder(host string, pid, at int64) int {
	key := l.keyOf(host, pid)
	i, ok := l.byPID[key]
	if !ok || pid <= 0 {
		return -1
	}
	for range maxHolders {
		r := &l.ring[i]
		if r.time <= at+1 {
			return int(i)
		}
		if r.earlier < 0 || l.ring[r.earlier].key != key || l.ring[r.earlier].time > r.time {
			return -1
		}
		i = r.earlier
	}
	return -1
}

// chain is the ancestry of a process, its parent first.
func (l *lineage) chain(host string, own, parent, at int64) []evidence.Ancestor {
	return l.chainOf(remembered{host: host, pid: own, parent: parent, time: at})
}

// chainOf is the ancestry of a process, its parent first. What a source itself says
// of a parent counts for more than a process that once had its id.
func (l *lineage) chainOf(child remembered) []evidence.Ancestor {
	var all [maxAncestors]evidence.Ancestor
	out, host, own := all[:0], child.host, child.pid
	at, parent, path, cmdline := child.time, child.parent, child.parentPath, child.parentCmdline
	for len(out) < len(all) && parent > 0 && parent != own && !slices.ContainsFunc(out, func(a evidence.Ancestor) bool { return a.PID == parent }) {
		i := l.holder(host, parent, at)
		var texts string
		var r *packed
		if i >= 0 {
			r, texts = &l.ring[i], l.lend(i)
		}
		if r == nil || path != "" && winargv.Base(texts[:r.ends[0]]) != winargv.Base(path) {
			// A parent of the process itself is in its own fields.
			if len(out) > 0 && (path != "" || cmdline != "") {
				out = append(out, evidence.Ancestor{PID: parent, Path: path, CmdLine: cmdline})
			}
			break
		}
		r.parental = true
		out = append(out, evidence.Ancestor{PID: r.pid, Path: texts[:r.ends[0]], CmdLine: texts[r.ends[0]:r.ends[1]]})
		at, parent, path, cmdline = r.time, r.parent, texts[r.ends[10]:r.ends[11]], texts[r.ends[11]:r.ends[12]]
	}
	if len(out) == 0 {
		return nil
	}
	return append(make([]evidence.Ancestor, 0, len(out)), out...)
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
		if r := &l.ring[i]; r.pid != 0 && r.time >= at-before && r.time <= at+after && string(l.hostOf(i)) == host {
			out = append(out, l.unpack(i))
		}
	}
	slices.SortStableFunc(out, func(a, b remembered) int { return cmp.Compare(b.time, a.time) })
	if len(out) > limit {
		out = out[:limit]
	}
	return out
}
