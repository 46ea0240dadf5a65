package files

import (
	"cmp"
	"slices"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// add appends what is in one batch to another, the count of records with it.
func add(to *evidence.Batch, from *evidence.Batch) {
	to.Processes = append(to.Processes, from.Processes...)
	to.Installs = append(to.Installs, from.Installs...)
	to.Logons = append(to.Logons, from.Logons...)
	to.Connections = append(to.Connections, from.Connections...)
	to.Changes = append(to.Changes, from.Changes...)
	to.Read += from.Read
}

// size is how much evidence is in a batch, of all kinds.
func size(b *evidence.Batch) int64 {
	return int64(len(b.Processes) + len(b.Installs) + len(b.Logons) + len(b.Connections) + len(b.Changes))
}

// full reports whether a batch holds n of any kind.
func full(b *evidence.Batch, n int) bool {
	return len(b.Processes) >= n || len(b.Installs) >= n || len(b.Logons) >= n || len(b.Connections) >= n || len(b.Changes) >= n
}

// take removes the first n of each kind, in the order of their times.
func take(q *evidence.Batch, n int) evidence.Batch {
	return evidence.Batch{
		Processes:   front(&q.Processes, n, func(p *evidence.Process) int64 { return p.Time }),
		Installs:    front(&q.Installs, n, func(i *evidence.Install) int64 { return i.Time }),
		Logons:      front(&q.Logons, n, func(l *evidence.Logon) int64 { return l.Time }),
		Connections: front(&q.Connections, n, func(c *evidence.Connection) int64 { return c.Time }),
		Changes:     front(&q.Changes, n, func(c *evidence.Change) int64 { return c.Time }),
	}
}

func front[T any](q *[]T, n int, at func(*T) int64) []T {
	if n = min(n, len(*q)); n == 0 {
		return nil
	}
	out := slices.Clone((*q)[:n])
	if *q = (*q)[n:]; len(*q) == 0 {
		*q = nil // the memory behind it would stay
	}
	slices.SortStableFunc(out, func(a, b T) int { return cmp.Compare(at(&a), at(&b)) })
	return out
}

// times calls f with the time of everything in a batch.
func times(b *evidence.Batch, f func(int64)) {
	for i := range b.Processes {
		f(b.Processes[i].Time)
	}
	for i := range b.Installs {
		f(b.Installs[i].Time)
	}
	for i := range b.Logons {
		f(b.Logons[i].Time)
	}
	for i := range b.Connections {
		f(b.Connections[i].Time)
	}
	for i := range b.Changes {
		f(b.Changes[i].Time)
	}
}

// firstTime is the first time that a batch tells, 0 when it tells none.
func firstTime(b *evidence.Batch) (first int64) {
	times(b, func(t int64) {
		if first == 0 && t > 0 {
			first = t
		}
	})
	return first
}
