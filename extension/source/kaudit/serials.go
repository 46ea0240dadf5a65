package kaudit

// serials counts the events that never came. The kernel numbers them one after
// another; their records can overtake each other by a little.
type serials struct {
	begun bool
	base  uint64 // every number below is accounted for
	top   uint64 // the highest that came, or base-1
	seen  [reorder]bool
}

// reorder is by how many numbers a record may be late.
const reorder = 512

// add takes the number of a record and returns how many events are known to be
// lost now.
func (s *serials) add(n uint64) (lost int64) {
	switch {
	case !s.begun:
		s.begun, s.base, s.top = true, n+1, n
		return 0
	case n < s.base && s.base-n <= 1<<31:
		return 0 // one that was taken for lost, or another record of one that came
	case n < s.base:
		// They began again: 32 bits were full.
		lost = s.settle(s.top)
		s.begun = false
		return lost + s.add(n)
	case n-s.base >= 1<<31:
		return 0 // no kernel goes that fast
	}
	if n-s.base >= reorder {
		lost = s.advance(n - reorder + 1)
	}
	s.seen[n%reorder] = true
	s.top = max(s.top, n)
	return lost
}

// advance accounts for the numbers below to.
func (s *serials) advance(to uint64) (lost int64) {
	if to-s.base > reorder {
		lost = int64(to - s.base - reorder)
	}
	for range min(to-s.base, reorder) {
		at := s.base % reorder
		if !s.seen[at] {
			lost++
		}
		s.seen[at] = false
		s.base++
	}
	s.base = to
	return lost
}

// settle accounts for the numbers up to one that came long ago.
func (s *serials) settle(upTo uint64) (lost int64) {
	if !s.begun || upTo < s.base || upTo > s.top {
		return 0
	}
	return s.advance(upTo + 1)
}

// maxSecond is later than any honest clock.
const maxSecond = 1 << 40
