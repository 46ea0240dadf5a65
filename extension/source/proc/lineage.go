package proc

import (
	"container/list"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// lineages remembers recent processes, so that the parents of one that starts
// are known even if they have ended. The least recently used are forgotten.
type lineages struct {
	limit int
	byPID map[int]*list.Element
	order *list.List
}

// ancestorLine is one remembered process.
type ancestorLine struct {
	pid, ppid int
	path      string
	cmdline   string
	// parents are its ancestors when it was forked, nearest first.
	parents []evidence.Ancestor
}

func newLineages(limit int) *lineages {
	return &lineages{limit: limit, byPID: make(map[int]*list.Element), order: list.New()}
}

func (l *lineages) get(pid int) *ancestorLine {
	el := l.byPID[pid]
	if el == nil {
		return nil
	}
	l.order.MoveToFront(el)
	return el.Value.(*ancestorLine)
}

// put remembers a process in place of an older one of the same number.
func (l *lineages) put(a *ancestorLine) {
	if el := l.byPID[a.pid]; el != nil {
		el.Value = a
		l.order.MoveToFront(el)
		return
	}
	for len(l.byPID) >= l.limit {
		last := l.order.Back()
		delete(l.byPID, last.Value.(*ancestorLine).pid)
		l.order.Remove(last)
	}
	l.byPID[a.pid] = l.order.PushFront(a)
}

// forked notes a child, which runs what its parent runs until it executes
// something else.
func (l *lineages) forked(parent, child int) {
	a := &ancestorLine{pid: child, ppid: parent}
	if p := l.get(parent); p != nil {
		a.path, a.cmdline = p.path, p.cmdline
		a.parents = below(p)
	} else {
		a.parents = []evidence.Ancestor{{PID: int64(parent)}}
	}
	l.put(a)
}

// below is the ancestry of a child of p.
func below(p *ancestorLine) []evidence.Ancestor {
	n := min(len(p.parents), maxAncestry-1)
	out := make([]evidence.Ancestor, 0, n+1)
	out = append(out, evidence.Ancestor{PID: int64(p.pid), Path: p.path, CmdLine: p.cmdline})
	return append(out, p.parents[:n]...)
}

// executed notes what a process runs now.
func (l *lineages) executed(pid, ppid int, path, cmdline string) *ancestorLine {
	a := l.get(pid)
	if a == nil {
		a = &ancestorLine{pid: pid, ppid: ppid}
		if p := l.get(ppid); p != nil {
			a.parents = below(p)
		} else if ppid > 0 {
			a.parents = []evidence.Ancestor{{PID: int64(ppid)}}
		}
		l.put(a)
	}
	a.path, a.cmdline = path, clip(cmdline, maxAncestorCmdLine)
	return a
}
