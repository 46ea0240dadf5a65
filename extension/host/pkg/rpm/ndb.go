package rpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
)

// The layout of ndb: a header of 32 bytes in the place of the first two slots, pages
// of slots, then blobs in blocks of 16 bytes, each with a head and a tail. All numbers
// are little endian.
const (
	ndbMagic = 'R' | 'p'<<8 | 'm'<<16 | 'P'<<24
	ndbSlot  = 'S' | 'l'<<8 | 'o'<<16 | 't'<<24
	ndbHead  = 'B' | 'l'<<8 | 'b'<<16 | 'S'<<24
	ndbTail  = 'B' | 'l'<<8 | 'b'<<16 | 'E'<<24

	ndbPage     = 4096
	ndbUnit     = 16
	ndbTailSize = 12
	maxNDBPages = 1024
)

type ndb struct {
	r    io.ReaderAt
	size int64
	// slots is where the slots end, in slots.
	slots int64
}

// OpenNDB reads a Packages.db of size bytes.
func OpenNDB(r io.ReaderAt, size int64) (DB, error) {
	head, err := readAt(r, size, 0, 32)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	le := binary.LittleEndian
	pages := le.Uint32(head[12:])
	if le.Uint32(head) != ndbMagic || le.Uint32(head[4:]) != 0 || pages == 0 {
		return nil, ErrFormat
	}
	return &ndb{r: r, size: size, slots: min(int64(pages), maxNDBPages) * ndbPage / ndbUnit}, nil
}

func (d *ndb) Close() error { return nil }

func (d *ndb) Each(ctx context.Context, fn func(uint64, []byte) error) (damaged int, err error) {
	var spent total
	for page := int64(0); page < d.slots; page += ndbPage / ndbUnit {
		if err := ctx.Err(); err != nil {
			return damaged, err
		}
		b, err := readAt(d.r, d.size, page*ndbUnit, ndbPage)
		if err != nil {
			return damaged, err
		}
		for i := int64(0); i < ndbPage/ndbUnit; i++ {
			slot := b[i*ndbUnit:][:ndbUnit]
			if page+i < 2 || binary.LittleEndian.Uint32(slot[4:]) == 0 {
				continue
			}
			blob, err := d.blob(slot, &spent)
			if errors.Is(err, errTotal) {
				return damaged, err
			}
			if err != nil {
				damaged++
				continue
			}
			if err := fn(uint64(page+i), blob); err != nil {
				return damaged, err
			}
		}
	}
	return damaged, nil
}

func (d *ndb) Header(_ context.Context, at uint64) ([]byte, error) {
	if at < 2 || at >= uint64(d.slots) {
		return nil, ErrFormat
	}
	slot, err := readAt(d.r, d.size, int64(at)*ndbUnit, ndbUnit)
	if err != nil {
		return nil, err
	}
	return d.blob(slot, new(total))
}

// blob reads what a slot leads to, and checks its sum.
func (d *ndb) blob(slot []byte, spent *total) ([]byte, error) {
	le := binary.LittleEndian
	id, at, blocks := le.Uint32(slot[4:]), int64(le.Uint32(slot[8:]))*ndbUnit, int64(le.Uint32(slot[12:]))*ndbUnit
	if le.Uint32(slot) != ndbSlot || blocks < ndbUnit+ndbTailSize || blocks > maxHeader {
		return nil, ErrFormat
	}
	if err := spent.add(int(blocks)); err != nil {
		return nil, err
	}
	b, err := readAt(d.r, d.size, at, int(blocks))
	if err != nil {
		return nil, err
	}
	n, tail := le.Uint32(b[12:]), b[blocks-ndbTailSize:]
	if le.Uint32(b) != ndbHead || le.Uint32(b[4:]) != id || int64(n) > blocks-ndbUnit-ndbTailSize || le.Uint32(tail[8:]) != ndbTail ||
		le.Uint32(tail[4:]) != n || le.Uint32(tail) != adler32.Checksum(b[:blocks-ndbTailSize]) {
		return nil, ErrFormat
	}
	return b[ndbUnit:][:n], nil
}
