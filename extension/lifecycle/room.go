package lifecycle

import (
	"runtime/debug"
	"runtime/metrics"
)

// Room sets how much memory the collector may let us have: as much as at most says, and
// where what is in use needs more, a quarter beside that. A limit below what is in use
// would have it collect without end, for half of a processor and nothing. It returns the
// limit, in bytes.
func Room(atMost int64) int64 {
	limit := roomFor(atMost, inUse())
	if debug.SetMemoryLimit(-1) != limit {
		debug.SetMemoryLimit(limit)
	}
	return limit
}

// used is what the program's memory is made of, in bytes.
type used struct {
	live  uint64 // of the heap, reached by the last collection
	other uint64 // beside the heap: stacks, the runtime's own
}

func roomFor(atMost int64, u used) int64 {
	return max(atMost, int64(u.live+u.live/4+u.other))
}

func inUse() used {
	const live, all, objects, unused, free, released = 0, 1, 2, 3, 4, 5
	list := []metrics.Sample{live: {Name: "/gc/heap/live:bytes"}, all: {Name: "/memory/classes/total:bytes"}, objects: {Name: "/memory/classes/heap/objects:bytes"},
		unused: {Name: "/memory/classes/heap/unused:bytes"}, free: {Name: "/memory/classes/heap/free:bytes"}, released: {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(list)
	figure := func(i int) uint64 {
		if list[i].Value.Kind() != metrics.KindUint64 {
			return 0 // another Go does not have it
		}
		return list[i].Value.Uint64()
	}
	heap := figure(objects) + figure(unused) + figure(free) + figure(released)
	return used{live: figure(live), other: figure(all) - min(heap, figure(all))}
}
