package tables

import (
	"context"
	"encoding/binary"
	"io"
	"iter"
	"slices"
	"strconv"
	"sync"

	"github.com/osquery/osquery-go/plugin/table"
)

// Generator answers a query. It may return more rows than were asked for, never fewer.
type Generator func(ctx context.Context, q table.QueryContext) (*Rows, error)

// FromMaps is the generator that answers with the maps of gen.
func FromMaps(gen table.GenerateFunc) Generator {
	return func(ctx context.Context, q table.QueryContext) (*Rows, error) {
		maps, err := gen(ctx, q)
		if err != nil {
			return nil, err
		}
		return RowsOf(maps), nil
	}
}

// Maps answers with a map of column to value for each row.
func (g Generator) Maps(ctx context.Context, q table.QueryContext) ([]map[string]string, error) {
	rows, err := g(ctx, q)
	if err != nil {
		return nil, err
	}
	return rows.Maps(), nil
}

// Rows are the rows of one answer, kept as the bytes that osquery is sent: for each row
// a Thrift map of column to value. A map of Go's for each would cost dozens of
// allocations and more time than all else that a table does.
//
// The zero value has no rows, and so has nil, which can be read. The texts that are
// added are copied.
type Rows struct {
	full [][]byte // whole rows
	last []byte   // whole rows and, from head on, the row that is being written
	head int
	n    int
	pool *Pool // where pieces come from and go to; nil for none
}

// Pool keeps the pieces of answers that were sent for the next ones: memory that has
// been used is cheaper than new memory. The zero value is empty.
type Pool struct{ pieces sync.Pool }

// Rows are no rows yet, whose memory is the pool's. Free gives it back.
func (p *Pool) Rows() *Rows { return &Rows{pool: p} }

// piece is an empty piece.
func (p *Pool) piece() []byte {
	if used, ok := p.pieces.Get().(*[nextPiece]byte); ok {
		return used[:0]
	}
	return make([]byte, 0, nextPiece)
}

// Free empties rows that nobody reads any more, nor texts of them.
func (r *Rows) Free() {
	if r == nil || r.pool == nil {
		return
	}
	for p := range r.pieces() {
		if cap(p) == nextPiece {
			r.pool.pieces.Put((*[nextPiece]byte)(p[:nextPiece]))
		}
	}
	*r = Rows{pool: r.pool}
}

// The sizes of the pieces that rows are written into, in bytes: most answers are short.
const (
	firstPiece = 8 << 10
	nextPiece  = 64 << 10
	// usualRow is what most rows fit in.
	usualRow = 4 << 10
)

// Thrift's numbers, in the binary protocol: a map of strings begins with the types of
// its keys and values and the number of its pairs, a string with its length.
const (
	thriftString = 11
	mapHeader    = 6
	lengthSize   = 4
	// maxNumber is the most digits of an int64, with its sign.
	maxNumber = 20
)

// RowsOf are rows that were made as maps.
func RowsOf(maps []map[string]string) *Rows {
	r := &Rows{}
	for _, row := range maps {
		r.begin()
		for column, value := range row {
			r.Text(column, value)
		}
	}
	return r
}

// Add begins a row. Its id is stable, and unique among the rows of a query; the cells
// that follow are its own.
func (r *Rows) Add(id int64) {
	r.begin()
	r.Int("rowid", id)
}

func (r *Rows) begin() {
	r.head = len(r.last)
	r.last = append(r.room(mapHeader), thriftString, thriftString, 0, 0, 0, 0)
	r.n++
}

// Text gives the row that was added last a value in a column it has none in yet.
func (r *Rows) Text(column, value string) { r.Texts(column, value) }

// Texts is Text for pairs of column and value.
func (r *Rows) Texts(pairs ...string) {
	n := 0
	for _, text := range pairs {
		n += lengthSize + len(text)
	}
	// A field that is written for each text would cost as much as all the rest while
	// garbage is collected.
	b := r.room(n)
	for _, text := range pairs {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...)
	}
	r.last = b
	r.count(len(pairs) / 2)
}

// Int is Text for a number.
func (r *Rows) Int(column string, n int64) {
	b := r.room(2*lengthSize + len(column) + maxNumber)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(column))), column...)
	at := len(b)
	b = strconv.AppendInt(append(b, 0, 0, 0, 0), n, 10)
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-lengthSize))
	r.last = b
	r.count(1)
}

// Known is Int for a number that is unknown when zero.
func (r *Rows) Known(column string, n int64) {
	if n == 0 {
		r.Text(column, "")
		return
	}
	r.Int(column, n)
}

// Fields are texts that can be copied one by one.
type Fields interface {
	Append(to []byte, field int) []byte
}

// Heads are what stands before the value of each of the Fields: its column, and room for
// the value's length. A field without a head is left out.
type Heads [][]byte

// HeadsOf are the heads of fields that are shown in these columns, "" for none.
func HeadsOf(columns []string) Heads {
	heads := make(Heads, len(columns))
	for i, column := range columns {
		if column != "" {
			head := append(binary.BigEndian.AppendUint32(nil, uint32(len(column))), column...)
			heads[i] = append(head, 0, 0, 0, 0)
		}
	}
	return heads
}

// Copy adds a row of the fields that have a head; the row's id is one of them.
func (r *Rows) Copy(heads Heads, from Fields) {
	r.begin()
	b, n := r.room(usualRow), 0
	for field, head := range heads {
		if head == nil {
			continue
		}
		b = append(b, head...)
		at := len(b)
		b = from.Append(b, field)
		binary.BigEndian.PutUint32(b[at-lengthSize:], uint32(len(b)-at))
		n++
	}
	r.last = b
	r.count(n)
}

// count adds n pairs to those of the row.
func (r *Rows) count(n int) {
	of := r.last[r.head+2 : r.head+mapHeader]
	binary.BigEndian.PutUint32(of, binary.BigEndian.Uint32(of)+uint32(n))
}

// room is the last piece, with room for n bytes more: where they don't fit, another, into
// which the row that is being written has moved.
func (r *Rows) room(n int) []byte {
	if len(r.last)+n <= cap(r.last) {
		return r.last
	}
	row := r.last[r.head:]
	var piece []byte
	switch size := 2 * (len(row) + n); {
	case size > nextPiece:
		piece = make([]byte, 0, size)
	case r.pool != nil:
		piece = r.pool.piece()
	case r.last == nil:
		piece = make([]byte, 0, max(size, firstPiece))
	default:
		piece = make([]byte, 0, nextPiece)
	}
	if r.head > 0 {
		r.full = append(r.full, r.last[:r.head])
	}
	r.last, r.head = append(piece, row...), 0
	return r.last
}

// Len is how many rows there are.
func (r *Rows) Len() int {
	if r == nil {
		return 0
	}
	return r.n
}

// pieces are the rows as they were written, none split between two.
func (r *Rows) pieces() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if r == nil {
			return
		}
		for _, p := range r.full {
			if !yield(p) {
				return
			}
		}
		if len(r.last) > 0 {
			yield(r.last)
		}
	}
}

// WriteTo writes the rows as the elements of a Thrift list of maps, in the binary
// protocol.
func (r *Rows) WriteTo(w io.Writer) (total int64, err error) {
	for p := range r.pieces() {
		n, err := w.Write(p)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// All yields the rows in the order in which they were added.
func (r *Rows) All() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for p := range r.pieces() {
			for len(p) > 0 {
				end := mapHeader
				for range 2 * binary.BigEndian.Uint32(p[2:]) {
					end += lengthSize + int(binary.BigEndian.Uint32(p[end:]))
				}
				if !yield(Row(p[:end:end])) {
					return
				}
				p = p[end:]
			}
		}
	}
}

// Maps are the rows as maps of column to value.
func (r *Rows) Maps() []map[string]string {
	maps := make([]map[string]string, 0, r.Len())
	for row := range r.All() {
		m := map[string]string{}
		for column, value := range row.Cells() {
			m[string(column)] = string(value)
		}
		maps = append(maps, m)
	}
	return slices.Clip(maps)
}

// Row is one of Rows.
type Row []byte

// Cells yields columns and values, in the order in which they were given. They are
// valid as long as they are not changed.
func (row Row) Cells() iter.Seq2[[]byte, []byte] {
	return func(yield func(column, value []byte) bool) {
		if len(row) < mapHeader {
			return
		}
		rest := row[mapHeader:]
		next := func() []byte {
			end := lengthSize + int(binary.BigEndian.Uint32(rest))
			text := rest[lengthSize:end:end]
			rest = rest[end:]
			return text
		}
		for len(rest) > 0 {
			column := next()
			if !yield(column, next()) {
				return
			}
		}
	}
}
