// Package rpmtest makes databases as rpm makes them, for tests of what reads them.
package rpmtest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/adler32"
	"path"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Package is one package and its files.
type Package struct {
	Name, Version, Release string
	Epoch                  uint32
	// Algorithm of the digests, RFC 4880's number; 0 is SHA-256, -1 leaves it out.
	Algorithm int
	// Long says that sizes have 64 bits.
	Long  bool
	Files []File
}

// File is one file of a package.
type File struct {
	Path, Content string
	Mode          uint16 // with its type
	Link          string
	Digest        string // of Content where it is empty
	Flags         uint32
	Verify        uint32 // 0 is all
	State         byte
}

const (
	chars, int16s, int32s, int64s, text, texts, binaries = 1, 3, 4, 5, 6, 8, 7
)

// Header is the package's as the database holds it.
func (p Package) Header() []byte {
	var dirs, names, digests, links []string
	var index, modes, flags, verify, sizes, states []uint64
	for _, f := range p.Files {
		dir, name := path.Split(f.Path)
		at := slices.Index(dirs, dir)
		if at < 0 {
			at = len(dirs)
			dirs = append(dirs, dir)
		}
		if f.Digest == "" && f.Mode&0o170000 == 0o100000 {
			sum := sha256.Sum256([]byte(f.Content))
			f.Digest = hex.EncodeToString(sum[:])
		}
		names, digests, links = append(names, name), append(digests, f.Digest), append(links, f.Link)
		index, modes, flags = append(index, uint64(at)), append(modes, uint64(f.Mode)), append(flags, uint64(f.Flags))
		verify, sizes, states = append(verify, uint64(cmp.Or(f.Verify, 1<<32-1))), append(sizes, uint64(len(f.Content))), append(states, uint64(f.State))
	}
	b := &header{}
	b.texts(1000, text, p.Name)
	b.texts(1001, text, cmp.Or(p.Version, "1"))
	b.texts(1002, text, cmp.Or(p.Release, "1"))
	if p.Epoch > 0 {
		b.numbers(1003, int32s, []uint64{uint64(p.Epoch)})
	}
	if len(p.Files) > 0 {
		if !p.Long {
			b.numbers(1028, int32s, sizes)
		}
		b.numbers(1029, chars, states)
		b.numbers(1030, int16s, modes)
		b.texts(1035, texts, digests...)
		b.texts(1036, texts, links...)
		b.numbers(1037, int32s, flags)
		b.numbers(1045, int32s, verify)
		b.numbers(1116, int32s, index)
		b.texts(1117, texts, names...)
		b.texts(1118, texts, dirs...)
		if p.Long {
			b.numbers(5008, int64s, sizes)
		}
		if p.Algorithm >= 0 {
			b.numbers(5011, int32s, []uint64{uint64(cmp.Or(p.Algorithm, 8))})
		}
	}
	return b.bytes()
}

// header puts a header together: an index and the values.
type header struct {
	index, data []byte
	n           uint32
}

func (h *header) entry(tag, kind uint32, count int) {
	h.n++
	for _, v := range []uint32{tag, kind, uint32(len(h.data)), uint32(count)} {
		h.index = binary.BigEndian.AppendUint32(h.index, v)
	}
}

func (h *header) texts(tag, kind uint32, all ...string) {
	h.entry(tag, kind, len(all))
	for _, s := range all {
		h.data = append(append(h.data, s...), 0)
	}
}

func (h *header) numbers(tag, kind uint32, all []uint64) {
	width := map[uint32]int{chars: 1, int16s: 2, int32s: 4, int64s: 8}[kind]
	for len(h.data)%width != 0 {
		h.data = append(h.data, 0)
	}
	h.entry(tag, kind, len(all))
	for _, v := range all {
		b := binary.BigEndian.AppendUint64(nil, v)
		h.data = append(h.data, b[8-width:]...)
	}
}

// bytes closes the header: all of it is one region, whose trailer repeats how long its
// index is.
func (h *header) bytes() []byte {
	region := &header{}
	region.entry(63, binaries, 16)
	binary.BigEndian.PutUint32(region.index[8:], uint32(len(h.data)))
	trailer := &header{}
	trailer.entry(63, binaries, 16)
	binary.BigEndian.PutUint32(trailer.index[8:], uint32(-int32(16*(h.n+1))))
	out := binary.BigEndian.AppendUint32(nil, h.n+1)
	out = binary.BigEndian.AppendUint32(out, uint32(len(h.data)+16))
	return slices.Concat(out, region.index, h.index, h.data, trailer.index)
}

// NDB is a Packages.db with the headers.
func NDB(headers [][]byte) []byte {
	le := binary.LittleEndian
	slots := make([]byte, 4096)
	copy(slots, "RpmP")
	le.PutUint32(slots[8:], 1)
	le.PutUint32(slots[12:], 1)
	le.PutUint32(slots[16:], uint32(len(headers)+1))
	for at := 32; at < len(slots); at += 16 {
		copy(slots[at:], "Slot")
	}
	var blobs []byte
	for i, h := range headers {
		units := (16 + len(h) + 12 + 15) / 16
		b := make([]byte, 16*units)
		copy(b, "BlbS")
		le.PutUint32(b[4:], uint32(i+1))
		le.PutUint32(b[8:], 1)
		le.PutUint32(b[12:], uint32(len(h)))
		copy(b[16:], h)
		tail := b[len(b)-12:]
		le.PutUint32(tail, adler32.Checksum(b[:len(b)-12]))
		le.PutUint32(tail[4:], uint32(len(h)))
		copy(tail[8:], "BlbE")
		slot := slots[32+16*i:]
		le.PutUint32(slot[4:], uint32(i+1))
		le.PutUint32(slot[8:], uint32((len(slots)+len(blobs))/16))
		le.PutUint32(slot[12:], uint32(units))
		blobs = append(blobs, b...)
	}
	return append(slots, blobs...)
}

// BDB is a Packages with the headers, of pages of a size: one bucket, whose pages hold
// two headers each. Headers of less than a quarter of a page lie in it.
func BDB(headers [][]byte, page int, order binary.ByteOrder) []byte {
	pages := [][]byte{make([]byte, page)}
	add := func(kind byte) (no uint32, p []byte) {
		no, p = uint32(len(pages)), make([]byte, page)
		order.PutUint32(p[8:], no)
		p[25] = kind
		pages = append(pages, p)
		return no, p
	}
	no, at := add(13)
	end := page
	put := func(kind byte, data []byte) {
		end -= 1 + len(data)
		at[end] = kind
		copy(at[end+1:], data)
		n := order.Uint16(at[20:])
		order.PutUint16(at[26+2*int(n):], uint16(end))
		order.PutUint16(at[20:], n+1)
		order.PutUint16(at[22:], uint16(end))
	}
	// rpm counts in the byte order of the machine, as the pages do.
	number := func(v uint32) []byte {
		b := make([]byte, 4)
		order.PutUint32(b, v)
		return b
	}
	put(1, number(0))
	put(1, number(uint32(len(headers)+1)))
	for i, h := range headers {
		if order.Uint16(at[20:]) >= 4 {
			next, p := add(13)
			order.PutUint32(at[16:], next)
			order.PutUint32(p[12:], no)
			no, at, end = next, p, page
		}
		put(1, number(uint32(i+1)))
		if len(h) < page/4 {
			put(1, h)
			continue
		}
		out := make([]byte, 11)
		order.PutUint32(out[3:], uint32(len(pages)))
		order.PutUint32(out[7:], uint32(len(h)))
		put(3, out)
		for rest := h; len(rest) > 0; {
			this, p := add(7)
			n := copy(p[26:], rest)
			rest = rest[n:]
			order.PutUint16(p[22:], uint16(n))
			if len(rest) > 0 {
				order.PutUint32(p[16:], this+1)
			}
		}
	}
	m := pages[0]
	order.PutUint32(m[12:], 0x061561)
	order.PutUint32(m[16:], 9)
	order.PutUint32(m[20:], uint32(page))
	m[25] = 8
	order.PutUint32(m[32:], uint32(len(pages)-1))
	order.PutUint32(m[88:], uint32(len(headers)+1)) // how many keys
	order.PutUint32(m[96:], 1)                      // the first bucket's page
	return bytes.Join(pages, nil)
}

// SQLite makes an rpmdb.sqlite with the headers, its log turned on as rpm does. The
// connection is the caller's: what was written lies in the log until it is closed.
func SQLite(ctx context.Context, file string, headers [][]byte) (*sqlite.Conn, error) {
	conn, err := sqlite.OpenConn(file, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", file, err)
	}
	conn.SetInterrupt(ctx.Done())
	for _, s := range []string{"PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0", "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)"} {
		if err := sqlitex.ExecuteTransient(conn, s, nil); err != nil {
			return nil, fmt.Errorf("make %s: %w", file, err)
		}
	}
	for _, h := range headers {
		if err := Add(conn, h); err != nil {
			return nil, err
		}
	}
	return conn, nil
}

// Add adds a header.
func Add(conn *sqlite.Conn, header []byte) error {
	return sqlitex.Execute(conn, "INSERT INTO Packages (blob) VALUES (?)", &sqlitex.ExecOptions{Args: []any{header}})
}
