package engine

import "encoding/binary"

const (
	// pieceBytes is the size of one piece; a text may be half as long.
	pieceBytes = 64 << 10
	// maxPieces bounds them all: 8 MiB, which is 512 bytes for each process of the ring.
	maxPieces = 128
	// pieceHead is what stands before a text: its owner and its length.
	pieceHead = 4 + 2
)

// place is where a text stands.
type place struct{ piece, from uint16 }

// pieces are the memory of many texts that are all written, and nearly all forgotten, in
// one order: bounded in bytes whatever their lengths, made once, and nothing that the
// collector has to follow. A piece is written anew as a whole when at least half of it was
// forgotten, so there are up to twice as many as the texts need, and no more where those
// grow shorter.
type pieces struct {
	list  [][]byte // by number; nil where the number is free
	after []uint16 // by number: the piece to write next; they are a ring, the oldest after the newest
	live  []int32  // by number: bytes that are not forgotten, heads included
	free  []uint16 // numbers
	now   uint16   // the piece that is written
}

// owners are who has texts in pieces, by number.
type owners interface {
	// where is where the owner's text stands, if it has one.
	where(owner int32) (at place, ok bool)
	moved(owner int32, to place)
	// spare reports whether an owner should be kept where not all can be.
	spare(owner int32) bool
	// forget takes the owner's text away.
	forget(owner int32)
}

// fits reports whether a text of n bytes has room in the piece that is written. After
// turn it does.
func (t *pieces) fits(n int) bool {
	return len(t.list) > 0 && len(t.list[t.now])+pieceHead+n < pieceBytes
}

// write puts texts one behind the other, n bytes in all.
func (t *pieces) write(owner int32, n int, texts []string) place {
	b := t.list[t.now]
	b = binary.LittleEndian.AppendUint32(b, uint32(owner))
	b = binary.LittleEndian.AppendUint16(b, uint16(n))
	at := place{t.now, uint16(len(b))}
	for _, s := range texts {
		b = append(b, s...)
	}
	t.list[t.now] = b
	t.live[t.now] += int32(pieceHead + n)
	return at
}

// read is the text of n bytes at a place, until the next write.
func (t *pieces) read(at place, n int) []byte { return t.list[at.piece][at.from:][:n] }

// drop forgets a text.
func (t *pieces) drop(at place, n int) { t.live[at.piece] -= int32(pieceHead + n) }

// turn goes on to another piece: the oldest where at least half of it was forgotten, else
// a new one, and where there may be no more, the oldest with what is to be spared.
func (t *pieces) turn(o owners) {
	if len(t.list) == 0 {
		t.add()
		return
	}
	oldest := t.after[t.now]
	if t.live[oldest] > pieceBytes/2 && t.add() {
		return
	}
	second := t.after[oldest]
	t.sweep(oldest, oldest, o)
	if second != t.now && second != oldest && t.live[oldest] <= pieceBytes/4 && t.live[second] <= pieceBytes/4 {
		// There are more than are needed.
		t.sweep(second, oldest, o)
		t.after[oldest] = t.after[second]
		t.list[second] = nil
		t.free = append(t.free, second)
	}
	t.now = oldest
}

// add begins a new piece behind the one that is written; false when there are enough.
func (t *pieces) add() bool {
	var n uint16
	switch {
	case len(t.free) > 0:
		n = t.free[len(t.free)-1]
		t.free = t.free[:len(t.free)-1]
	case len(t.list) < maxPieces:
		n = uint16(len(t.list))
		t.list, t.after, t.live = append(t.list, nil), append(t.after, n), append(t.live, 0)
	default:
		return false
	}
	t.list[n], t.live[n] = make([]byte, 0, pieceBytes), 0
	t.after[n], t.after[t.now] = t.after[t.now], n
	t.now = n
	return true
}

// sweep moves what is in use in a piece to the front of it, or to the end of another: all
// of it where that is half a piece at most, else what is to be spared, up to that.
func (t *pieces) sweep(n, to uint16, o owners) {
	b, kept, live := t.list[n], t.list[to], t.live[to]
	if n == to {
		kept, live = b[:0], 0
	}
	crowded, most := t.live[n] > pieceBytes/2, len(kept)+pieceBytes/2
	for from := 0; from < len(b); {
		owner := int32(binary.LittleEndian.Uint32(b[from:]))
		next := from + pieceHead + int(binary.LittleEndian.Uint16(b[from+4:]))
		if at, ok := o.where(owner); ok && at == (place{n, uint16(from + pieceHead)}) {
			if !crowded || o.spare(owner) && len(kept)+next-from <= most {
				o.moved(owner, place{to, uint16(len(kept) + pieceHead)})
				kept, live = append(kept, b[from:next]...), live+int32(next-from)
			} else {
				o.forget(owner)
			}
		}
		from = next
	}
	t.live[n], t.list[to], t.live[to] = 0, kept, live
}
