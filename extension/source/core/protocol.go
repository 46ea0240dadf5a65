package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"
)

const (
	bufferSize   = 64 << 10
	maxColumns   = 512     // osquery's widest table has about a hundred
	maxNameBytes = 1 << 10 // a column's name
	maxInterned  = 4096    // names kept for one connection
	// maxEntries bounds the maps of the small answers (options, extensions).
	// An osquery process has about 400 options.
	maxEntries = 10_000
)

// limits are what one response may amount to.
type limits struct {
	rows   int
	bytes  int64 // of the whole response
	string int   // of one string
}

// wire is a connection as Thrift wants it, with a budget of bytes to read.
// thrift.TSocket would do but for its deadlines: it sets one for each read,
// where a call has one for all of them.
type wire struct {
	net.Conn
	left int64
	seen bool // something was read since the last refill
}

func (w *wire) refill(n int64) { w.left, w.seen = n, false }

func (w *wire) Read(p []byte) (int, error) {
	if w.left <= 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > w.left {
		p = p[:w.left]
	}
	n, err := w.Conn.Read(p)
	w.left -= int64(n)
	w.seen = w.seen || n > 0
	return n, err
}

func (w *wire) Open() error                 { return nil }
func (w *wire) IsOpen() bool                { return w.Conn != nil }
func (w *wire) Flush(context.Context) error { return nil }
func (w *wire) RemainingBytes() uint64      { return uint64(max(w.left, 0)) }

// protocol is Thrift's binary protocol with bounds on what a peer can make us
// allocate: the generated code sizes maps and lists by the number the peer sends.
type protocol struct {
	*thrift.TBinaryProtocol
	buffered *thrift.TBufferedTransport
	limits   limits

	names   map[string]string
	row     Row
	scratch []byte
	ends    []int
}

func newProtocol(w *wire, lim limits) *protocol {
	// A TSocket would take its timeouts from this configuration; wire does not.
	conf := &thrift.TConfiguration{
		MaxMessageSize:     int32(lim.string),
		TBinaryStrictRead:  thrift.BoolPtr(true),
		TBinaryStrictWrite: thrift.BoolPtr(true),
	}
	buffered := thrift.NewTBufferedTransport(w, bufferSize)
	return &protocol{
		TBinaryProtocol: thrift.NewTBinaryProtocolConf(buffered, conf),
		buffered:        buffered,
		limits:          lim,
		names:           make(map[string]string, 32),
	}
}

func (p *protocol) ReadMapBegin(ctx context.Context) (key, value thrift.TType, n int, err error) {
	key, value, n, err = p.TBinaryProtocol.ReadMapBegin(ctx)
	return key, value, n, checkCount(n, maxEntries, err)
}

func (p *protocol) ReadListBegin(ctx context.Context) (elem thrift.TType, n int, err error) {
	elem, n, err = p.TBinaryProtocol.ReadListBegin(ctx)
	return elem, n, checkCount(n, maxEntries, err)
}

func (p *protocol) ReadSetBegin(ctx context.Context) (elem thrift.TType, n int, err error) {
	elem, n, err = p.TBinaryProtocol.ReadSetBegin(ctx)
	return elem, n, checkCount(n, maxEntries, err)
}

func checkCount(n, limit int, err error) error {
	if err != nil {
		return err
	}
	if n < 0 || n > limit {
		return fmt.Errorf("%w: %d elements", ErrTooLarge, n)
	}
	return nil
}

var errProtocol = errors.New("osquery sent something that is not its protocol")

// query sends one query and gives every row of the answer to fn as it arrives.
func (p *protocol) query(seq int32, sql string, fn func(*Row) error) error {
	ctx := context.Background() // deadlines are the connection's
	args := osquery.ExtensionManagerQueryArgs{Sql: sql}
	if err := p.WriteMessageBegin(ctx, "query", thrift.CALL, seq); err != nil {
		return err
	}
	if err := args.Write(ctx, p); err != nil {
		return err
	}
	if err := p.Flush(ctx); err != nil {
		return err
	}

	name, kind, gotSeq, err := p.ReadMessageBegin(ctx)
	if err != nil {
		return err
	}
	if kind == thrift.EXCEPTION {
		refused := thrift.NewTApplicationException(thrift.UNKNOWN_APPLICATION_EXCEPTION, "")
		if err := refused.Read(ctx, p); err != nil {
			return err
		}
		return refused
	}
	if kind != thrift.REPLY || gotSeq != seq || name != "query" {
		return fmt.Errorf("%w: %q message %d of type %d in answer to query %d", errProtocol, name, gotSeq, kind, seq)
	}

	var status osquery.ExtensionStatus
	answered := false
	err = p.fields(ctx, func(id int16, kind thrift.TType) (bool, error) {
		if id != 0 || kind != thrift.STRUCT {
			return false, nil
		}
		answered = true
		return true, p.fields(ctx, func(id int16, kind thrift.TType) (bool, error) {
			switch {
			case id == 1 && kind == thrift.STRUCT:
				return true, status.Read(ctx, p)
			case id == 2 && kind == thrift.LIST:
				return true, p.rows(ctx, fn)
			}
			return false, nil
		})
	})
	if err != nil {
		return err
	}
	if !answered {
		return fmt.Errorf("%w: an answer without a response", errProtocol)
	}
	if status.Code != 0 {
		return &StatusError{Op: "query", Code: status.Code, Message: status.Message}
	}
	return nil
}

// fields walks a struct; what take does not take is skipped.
func (p *protocol) fields(ctx context.Context, take func(id int16, kind thrift.TType) (bool, error)) error {
	for {
		_, kind, id, err := p.ReadFieldBegin(ctx)
		if err != nil {
			return err
		}
		if kind == thrift.STOP {
			return nil
		}
		taken, err := take(id, kind)
		if err == nil && !taken {
			err = p.Skip(ctx, kind)
		}
		if err != nil {
			return err
		}
	}
}

func (p *protocol) rows(ctx context.Context, fn func(*Row) error) error {
	kind, n, err := p.TBinaryProtocol.ReadListBegin(ctx)
	if err := checkCount(n, p.limits.rows, err); err != nil {
		return err
	}
	if n > 0 && kind != thrift.MAP {
		return fmt.Errorf("%w: rows of type %v", errProtocol, kind)
	}
	for range n {
		if err := p.readRow(ctx); err != nil {
			return err
		}
		if err := fn(&p.row); err != nil {
			return &callbackError{err}
		}
	}
	return nil
}

// callbackError tells an error of the caller's from one of the connection.
type callbackError struct{ err error }

func (e *callbackError) Error() string { return e.err.Error() }
func (e *callbackError) Unwrap() error { return e.err }

// readRow decodes one map<string,string> into p.row: names are interned, and all
// values share one string, so that a row costs one allocation.
func (p *protocol) readRow(ctx context.Context) error {
	key, value, n, err := p.TBinaryProtocol.ReadMapBegin(ctx)
	if err := checkCount(n, maxColumns, err); err != nil {
		return err
	}
	if n > 0 && (key != thrift.STRING || value != thrift.STRING) {
		return fmt.Errorf("%w: a row of %v and %v", errProtocol, key, value)
	}
	names := p.row.names
	if cap(names) < n {
		names = make([]string, n)
		copy(names, p.row.names)
	}
	names = names[:n]
	p.scratch, p.ends = p.scratch[:0], p.ends[:0]
	for i := range n {
		if names[i], err = p.readName(ctx, names[i]); err != nil {
			return err
		}
		if err := p.readValue(ctx); err != nil {
			return err
		}
		p.ends = append(p.ends, len(p.scratch))
	}
	text := string(p.scratch)
	values, start := p.row.values[:0], 0
	for _, end := range p.ends {
		values = append(values, text[start:end])
		start = end
	}
	p.row.names, p.row.values = names, values
	if cap(p.scratch) > 4*bufferSize {
		p.scratch = nil // one huge row is no reason to hold that much for good
	}
	return nil
}

// readName reads a column's name. Rows of one answer have the same columns in
// the same order, so the previous row's name is the likely one.
func (p *protocol) readName(ctx context.Context, likely string) (string, error) {
	n, err := p.ReadI32(ctx)
	if err := checkCount(int(n), maxNameBytes, err); err != nil {
		return "", err
	}
	b, err := p.buffered.Peek(int(n))
	if err != nil {
		return "", err
	}
	name := likely
	if string(b) != likely {
		var known bool
		if name, known = p.names[string(b)]; !known {
			name = string(b)
			if len(p.names) < maxInterned {
				p.names[name] = name
			}
		}
	}
	_, err = p.buffered.Discard(int(n))
	return name, err
}

func (p *protocol) readValue(ctx context.Context) error {
	n32, err := p.ReadI32(ctx)
	if err := checkCount(int(n32), int(min(p.limits.bytes, math.MaxInt32)), err); err != nil {
		return err
	}
	// A value that is too long is cut: one row must not hide all that come with it.
	room := p.limits.string
	for n := int(n32); n > 0; {
		// In pieces, so that memory follows what was sent and not what was announced.
		part := min(n, bufferSize)
		b, err := p.buffered.Peek(part)
		if err != nil {
			return err
		}
		p.scratch = append(p.scratch, b[:min(len(b), room)]...)
		room -= min(len(b), room)
		if _, err := p.buffered.Discard(part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// dead reports that the peer went away, rather than that it was slow or wrong.
func dead(err error) bool {
	var te thrift.TTransportException
	if errors.As(err, &te) && (te.TypeId() == thrift.END_OF_FILE || te.TypeId() == thrift.NOT_OPEN) {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || brokenPipe(err)
}

var longAgo = time.Unix(1, 0)
