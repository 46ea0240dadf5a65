package engine

import (
	"hash/maphash"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// echoes knows the starts of programs that a source told of at their moment, so that
// they are recognised when a source that dates them later tells of them as well:
// osquery's process_events, of what was heard from the kernel itself. Nothing is to be
// learned from such an echo but that its source saw it too. It is not judged again, and
// its date does not count. A ring of fixed size: the oldest start makes room.
type echoes struct {
	seed   maphash.Seed
	needed bool // a source that dates late was read
	ring   []start
	next   int
	byKey  map[uint64]int // index in ring of the newest start of the key
}

// start is one program's.
type start struct {
	key, bytes uint64
	time       int64
	matched    *matchedStart // nil while no rule matches
}

// matchedStart is what the echo of a command that made a row needs to find it.
type matchedStart struct {
	cmdline    string
	argsJoined bool
	truncated  bool
}

// maxStarts bounds the starts remembered: 15 s, which is how late osquery's audit
// usually is at most, at 1,000 programs a second.
const maxStarts = 16_384

func newEchoes() *echoes {
	return &echoes{seed: maphash.MakeSeed(), byKey: map[uint64]int{}}
}

// startKey tells a process that runs a program from others.
type startKey struct {
	host        string
	pid, parent int64
	path        string
}

func (x *echoes) key(p *evidence.Process) uint64 {
	return maphash.Comparable(x.seed, startKey{p.Host, p.PID, p.ParentPID, p.Path})
}

// echo is a process that was told of before.
type echo struct {
	process *evidence.Process
	of      int // index in ring
	key     uint64
}

// part takes the echoes out of all.
func (x *echoes) part(all []*evidence.Process) (rest []*evidence.Process, echoed []echo) {
	if !x.needed {
		for _, p := range all {
			x.needed = x.needed || p.Late > 0
		}
		if !x.needed {
			return all, nil
		}
	}
	for _, p := range all {
		if p.Late == 0 && p.PID > 0 && p.ParentPID > 0 {
			x.remember(p)
		}
	}
	rest = all[:0:0]
	for _, p := range all {
		if i, ok := x.of(p); ok {
			echoed = append(echoed, echo{p, i, x.ring[i].key})
		} else {
			rest = append(rest, p)
		}
	}
	return rest, echoed
}

// sighting is the echo of a start that made a row, as a sighting of that very start.
func (x *echoes) sighting(e echo) (p *evidence.Process, ok bool) {
	s := &x.ring[e.of]
	if s.key != e.key || s.matched == nil {
		return nil, false
	}
	p = e.process
	p.Time, p.Late = s.time, 0
	p.CmdLine, p.ArgsJoined, p.Truncated = s.matched.cmdline, s.matched.argsJoined, s.matched.truncated
	return p, true
}

func (x *echoes) remember(p *evidence.Process) {
	s := start{key: x.key(p), bytes: histogram(p.CmdLine), time: p.Time}
	if i, ok := x.byKey[s.key]; ok && x.ring[i].bytes == s.bytes && x.ring[i].time <= p.Time && p.Time-x.ring[i].time <= store.SightingWindow {
		return // another source of the same, or the same again
	}
	if len(x.ring) < maxStarts {
		x.byKey[s.key] = len(x.ring)
		x.ring = append(x.ring, s)
		return
	}
	if old := x.ring[x.next].key; x.byKey[old] == x.next {
		delete(x.byKey, old)
	}
	x.ring[x.next] = s
	x.byKey[s.key] = x.next
	x.next = (x.next + 1) % maxStarts
}

// of returns which start in the ring a process is the echo of.
func (x *echoes) of(p *evidence.Process) (index int, ok bool) {
	if p.Late == 0 || p.PID <= 0 || p.ParentPID <= 0 {
		return 0, false
	}
	i, ok := x.byKey[x.key(p)]
	if !ok {
		return 0, false
	}
	s := &x.ring[i]
	return i, p.Time >= s.time-1 && p.Time <= s.time+p.Late && (p.Truncated || s.bytes == histogram(p.CmdLine))
}

// matches notes that a start made a row, and returns which one it is in the ring.
func (x *echoes) matches(p *evidence.Process) (index int, ok bool) {
	if !x.needed || p.Late > 0 {
		return 0, false
	}
	i, ok := x.byKey[x.key(p)]
	if !ok || x.ring[i].time != p.Time {
		return 0, false
	}
	if x.ring[i].matched == nil {
		x.ring[i].matched = &matchedStart{p.CmdLine, p.ArgsJoined, p.Truncated}
	}
	return i, true
}

// histogram is the same for command lines of the same words, whatever their order and
// quotes: osquery's audit joins words without quotes, and from the eleventh on in
// another order. Two of different words can have the same one; that the same process
// runs the same program with both is another matter.
func histogram(cmdline string) uint64 {
	var h uint64
	for i := range len(cmdline) {
		switch c := cmdline[i]; c {
		case ' ', '\t', '\n', '\'', '"', '\\':
		default:
			h += spread(uint64(c) + 1)
		}
	}
	return h
}

// spread makes distant numbers of near ones.
func spread(n uint64) uint64 {
	n *= 0x9e3779b97f4a7c15
	n ^= n >> 29
	n *= 0xbf58476d1ce4e5b9
	return n ^ n>>32
}

// again reports whether p, which is dated late, tells of the start that the row q is of.
// Texts of both are as they are stored.
func again(q, p *store.Event) bool {
	a, b := &q.Process, &p.Process
	if b.Late == 0 || a.PID == 0 || b.PID == 0 {
		return false
	}
	if d := b.Time - a.Time; d < -store.SightingWindow || d > b.Late {
		return false
	}
	same := a.PID == b.PID && a.ParentPID == b.ParentPID
	if q.Identity == p.Identity {
		return same || launched(a, b) || launched(b, a)
	}
	return same && a.Path == b.Path && histogram(a.CmdLine) == histogram(b.CmdLine)
}
