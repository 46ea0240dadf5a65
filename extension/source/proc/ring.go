package proc

import (
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// ring holds processes until they are read and acknowledged, the newest ones if
// there are too many. Its rows are numbered from 1 on.
type ring struct {
	limit    int
	maxBytes int
	rows     []evidence.Process
	bytes    int
	first    uint64 // number of rows[0]
	dropped  int64  // rows lost since they were last reported
	from, to int64  // when the lost rows happened
}

func newRing(limit, maxBytes int) *ring {
	return &ring{limit: limit, maxBytes: maxBytes, first: 1}
}

func weight(p *evidence.Process) int {
	n := 512 + len(p.CmdLine) + len(p.Path) + len(p.CWD)
	for i := range p.Ancestry {
		n += 40 + len(p.Ancestry[i].Path)
	}
	return n
}

// push adds p and returns its number.
func (r *ring) push(p evidence.Process) {
	w := weight(&p)
	for len(r.rows) > 0 && (len(r.rows) >= r.limit || r.bytes+w > r.maxBytes) {
		if r.dropped == 0 {
			r.from = r.rows[0].Time
		}
		r.to = r.rows[0].Time
		r.dropped++
		r.drop(1)
	}
	r.rows = append(r.rows, p)
	r.bytes += w
}

// drop forgets the n oldest rows.
func (r *ring) drop(n int) {
	for i := range n {
		r.bytes -= weight(&r.rows[i])
		r.rows[i] = evidence.Process{}
	}
	r.rows = r.rows[n:]
	r.first += uint64(n)
	if len(r.rows) == 0 {
		r.rows = nil
	}
}

// acknowledge forgets the rows up to number n.
func (r *ring) acknowledge(n uint64) {
	if n >= r.first {
		r.drop(int(min(n-r.first+1, uint64(len(r.rows)))))
	}
}
