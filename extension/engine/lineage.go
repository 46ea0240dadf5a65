package engine

import (
	"cmp"
	"slices"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// The bounds of what is remembered of processes.
const (
	maxProcesses = 16_384
	maxAncestors = 16
	// maxRemembered bounds a remembered command line, in bytes.
	maxRemembered = 1024
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
	cwd         string
	containerID string
	loginSource string
	argsJoined  bool
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
	ends              [10]uint32
	argsJoined        bool
}

func (r *packed) key() processKey { return processKey{r.host, r.pid} }

func pack(p *evidence.Process) packed {
	r := packed{host: p.Host, pid: p.PID, parent: p.ParentPID, time: p.Time, argsJoined: p.ArgsJoined}
	texts := [len(r.ends)]string{p.Path, p.CmdLine[:min(len(p.CmdLine), maxRemembered)], p.Username, p.LoginUser, p.Session, p.LogonID, p.UID, p.CWD, p.ContainerID, p.LoginSource}
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
		cwd: next(7), containerID: next(8), loginSource: next(9)}
}

// lineage remembers the processes seen last, so that events that name only a
// parent's id get its program and ancestry, also when it has ended since. A ring
// of fixed size: the oldest entry makes room.
type lineage struct {
	ring  []packed
	next  int
	byPID map[processKey]int // index in ring of the newest process with the id
}

func newLineage() *lineage {
	return &lineage{byPID: make(map[processKey]int)}
}

func (l *lineage) remember(p *evidence.Process) {
	if p.PID <= 0 {
		return
	}
	r := pack(p)
	if i, ok := l.byPID[r.key()]; ok {
		if l.ring[i].time > p.Time {
			return // late evidence of an earlier process does not replace a later one
		}
		if l.ring[i].parent == p.ParentPID {
			// The same process ran another program (exec): what it is now counts for
			// its children.
			l.ring[i] = r
			return
		}
	}
	if len(l.ring) < maxProcesses {
		l.byPID[r.key()] = len(l.ring)
		l.ring = append(l.ring, r)
		return
	}
	if old := &l.ring[l.next]; l.byPID[old.key()] == l.next {
		delete(l.byPID, old.key())
	}
	l.ring[l.next] = r
	l.byPID[r.key()] = l.next
	l.next = (l.next + 1) % maxProcesses
}

// complete fills in the parent and ancestry that the source did not give.
func (l *lineage) complete(p *evidence.Process) {
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
	p.Ancestry = l.chain(p.Host, p.PID, p.ParentPID, p.Time)
}

// find returns the process that had an id at a time, if it is remembered and the id was
// not used again since.
func (l *lineage) find(host string, pid, at int64) (r remembered, ok bool) {
	i, ok := l.byPID[processKey{host, pid}]
	if !ok || pid <= 0 || l.ring[i].time > at+1 {
		return r, false
	}
	return l.ring[i].unpack(), true
}

// chain is the ancestry of a process, its parent first.
func (l *lineage) chain(host string, own, parent, at int64) (out []evidence.Ancestor) {
	seen := map[int64]bool{own: true}
	for pid, before := parent, at; len(out) < maxAncestors && pid > 0 && !seen[pid]; {
		seen[pid] = true
		r, ok := l.find(host, pid, before)
		if !ok {
			break
		}
		out = append(out, evidence.Ancestor{PID: r.pid, Path: r.path, CmdLine: r.cmdline})
		pid, before = r.parent, r.time
	}
	return out
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
