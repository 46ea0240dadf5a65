package rpm

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The layout of a hash of Berkeley DB: a page of facts, then pages of keys and values
// by turns, whose offsets stand after a head of 26 bytes. A value that is too long for
// its page is a chain of other pages.
const (
	bdbMagic    = 0x00061561
	bdbMeta     = 8
	bdbHash     = 13
	bdbUnsorted = 2 // before 4.6
	bdbOverflow = 7
	bdbInline   = 1 // an item in the page
	bdbOutside  = 3 // an item in a chain
	bdbHead     = 26
	bdbChecksum = 1
)

type bdb struct {
	r     io.ReaderAt
	size  int64
	page  int
	last  uint32
	order binary.ByteOrder
}

// OpenBDB reads a Packages of size bytes.
func OpenBDB(r io.ReaderAt, size int64) (DB, error) {
	m, err := readAt(r, size, 0, 512)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	d := &bdb{r: r, size: size, order: binary.LittleEndian}
	if d.order.Uint32(m[12:]) != bdbMagic {
		d.order = binary.BigEndian
	}
	page := d.order.Uint32(m[20:])
	// Encrypted ones and those with sums have another head; rpm makes neither.
	if d.order.Uint32(m[12:]) != bdbMagic || m[25] != bdbMeta || m[24] != 0 || m[26]&bdbChecksum != 0 ||
		page < 512 || page > 64<<10 || page&(page-1) != 0 {
		return nil, ErrFormat
	}
	d.page = int(page)
	d.last = uint32(min(int64(d.order.Uint32(m[32:])), size/int64(page)-1))
	return d, nil
}

func (d *bdb) Close() error { return nil }

func (d *bdb) read(no uint32, spent *total) ([]byte, error) {
	if no == 0 || no > d.last {
		return nil, ErrFormat
	}
	if err := spent.add(d.page); err != nil {
		return nil, err
	}
	b, err := readAt(d.r, d.size, int64(no)*int64(d.page), d.page)
	if err == nil && d.order.Uint32(b[8:]) != no {
		err = ErrFormat
	}
	return b, err
}

func (d *bdb) Each(ctx context.Context, fn func(uint64, []byte) error) (damaged int, err error) {
	var spent total
	for no := uint32(1); no <= d.last; no++ {
		if err := ctx.Err(); err != nil {
			return damaged, err
		}
		p, err := d.read(no, &spent)
		if errors.Is(err, errTotal) {
			return damaged, err
		}
		if err != nil {
			damaged++
			continue
		}
		if p[25] != bdbHash && p[25] != bdbUnsorted {
			continue
		}
		n := d.order.Uint16(p[20:])
		for i := uint16(0); i+1 < n; i += 2 {
			value, err := d.pair(ctx, p, i, &spent)
			if errors.Is(err, errTotal) || ctx.Err() != nil {
				return damaged, cmp.Or(ctx.Err(), err)
			}
			if err != nil {
				damaged++
				continue
			}
			if value == nil {
				continue
			}
			if err := fn(uint64(no)<<16|uint64(i), value); err != nil {
				return damaged, err
			}
		}
	}
	return damaged, nil
}

func (d *bdb) Header(ctx context.Context, at uint64) ([]byte, error) {
	if at>>16 > uint64(d.last) {
		return nil, ErrFormat
	}
	var spent total
	p, err := d.read(uint32(at>>16), &spent)
	if err != nil {
		return nil, err
	}
	i := uint16(at)
	if p[25] != bdbHash && p[25] != bdbUnsorted || int(i)+1 >= int(d.order.Uint16(p[20:])) {
		return nil, ErrFormat
	}
	value, err := d.pair(ctx, p, i, &spent)
	if err == nil && value == nil {
		err = ErrFormat
	}
	return value, err
}

// pair reads the value of the key at an index of a page, nil for key 0: that counts
// the packages.
func (d *bdb) pair(ctx context.Context, p []byte, i uint16, spent *total) ([]byte, error) {
	key, kind, err := d.item(p, i)
	if err != nil || kind != bdbInline || len(key) != 4 {
		return nil, ErrFormat
	}
	if binary.LittleEndian.Uint32(key) == 0 {
		return nil, nil
	}
	value, kind, err := d.item(p, i+1)
	switch {
	case err != nil:
		return nil, err
	case kind == bdbInline:
		return value, nil
	case kind != bdbOutside || len(value) < 11:
		return nil, ErrFormat
	}
	return d.chain(ctx, d.order.Uint32(value[3:]), d.order.Uint32(value[7:]), spent)
}

// item is one item of a page: the first lies at the end of it, the others each before
// the last.
func (d *bdb) item(p []byte, i uint16) (data []byte, kind byte, err error) {
	if bdbHead+2*(int(i)+1) > len(p) {
		return nil, 0, ErrFormat
	}
	end := len(p)
	if i > 0 {
		end = int(d.order.Uint16(p[bdbHead+2*(int(i)-1):]))
	}
	at := int(d.order.Uint16(p[bdbHead+2*int(i):]))
	if at < bdbHead || at >= end || end > len(p) {
		return nil, 0, ErrFormat
	}
	return p[at+1 : end], p[at], nil
}

// chain reads a value of n bytes that begins at a page.
func (d *bdb) chain(ctx context.Context, no, n uint32, spent *total) ([]byte, error) {
	if n > maxHeader || int64(n) > d.size {
		return nil, ErrFormat
	}
	value := make([]byte, 0, min(n, 128<<10))
	for uint32(len(value)) < n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := d.read(no, spent)
		if err != nil {
			return nil, err
		}
		here := int(d.order.Uint16(p[22:]))
		if p[25] != bdbOverflow || here == 0 || bdbHead+here > len(p) || uint32(len(value)+here) > n {
			return nil, ErrFormat
		}
		value = append(value, p[bdbHead:bdbHead+here]...)
		no = d.order.Uint32(p[16:])
	}
	return value, nil
}
