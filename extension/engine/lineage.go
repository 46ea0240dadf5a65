package engine

import (
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
	path        string
	cmdline     string
}

// lineage remembers the processes seen last, so that events that name only a
// parent's id get its program and ancestry, also when it has ended since. A ring
// of fixed size: the oldest entry makes room.
type lineage struct {
	ring  []remembered
	next  int
	byPID map[int64]int // index in ring of the newest process with the id
}

func newLineage() *lineage {
	return &lineage{byPID: make(map[int64]int)}
}

func (l *lineage) remember(p *evidence.Process) {
	if p.PID <= 0 {
		return
	}
	r := remembered{pid: p.PID, parent: p.ParentPID, time: p.Time, path: p.Path, cmdline: p.CmdLine}
	if len(r.cmdline) > maxRemembered {
		r.cmdline = strings.Clone(r.cmdline[:maxRemembered]) // or all of it is kept
	}
	if i, ok := l.byPID[p.PID]; ok {
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
		l.byPID[p.PID] = len(l.ring)
		l.ring = append(l.ring, r)
		return
	}
	if old := l.ring[l.next]; l.byPID[old.pid] == l.next {
		delete(l.byPID, old.pid)
	}
	l.ring[l.next] = r
	l.byPID[p.PID] = l.next
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
	seen := map[int64]bool{p.PID: true}
	pid, before := p.ParentPID, p.Time
	for len(p.Ancestry) < maxAncestors && pid > 0 && !seen[pid] {
		seen[pid] = true
		i, ok := l.byPID[pid]
		if !ok || l.ring[i].time > before+1 {
			// Unknown, or an id that was used again for a younger process.
			break
		}
		r := l.ring[i]
		p.Ancestry = append(p.Ancestry, evidence.Ancestor{PID: r.pid, Path: r.path, CmdLine: r.cmdline})
		pid, before = r.parent, r.time
	}
}
