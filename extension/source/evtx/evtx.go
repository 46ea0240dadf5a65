// Package evtx gets events out of Windows event log files. What they tell is read
// by winevent.
//
// A file is hostile input and often damaged. Each of its chunks (64 KiB) is read
// only when its checksums hold, each record only when walking it beforehand shows
// that it can be parsed at a bounded cost; what can't be read is named in Notes
// and the rest goes on.
package evtx

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/Velocidex/ordereddict"
	velocidex "www.velocidex.com/golang/evtx"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/winevent"
)

// The names of what was read, as Source of the evidence gives them.
const (
	SourceSecurity    = "evtx_security"
	SourceSystem      = "evtx_system"
	SourcePowerShell  = "evtx_powershell"
	SourceSysmon      = "evtx_sysmon"
	SourceApplication = "evtx_application"
	SourceSetup       = "evtx_setup"
	SourceTerminal    = "evtx_terminal_services"
)

// Limits bound the reading of one file; a zero value is that limit's default.
type Limits struct {
	Bytes   int64         // size of the file, 8 GiB
	Records int64         // records read, 50,000,000
	Time    time.Duration // time spent in Next, 10 min
}

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 8 << 30
	}
	if l.Records <= 0 {
		l.Records = 50_000_000
	}
	if l.Time <= 0 {
		l.Time = 10 * time.Minute
	}
	return l
}

// maxNotes bounds what is said about one file's damage.
const maxNotes = 20

// Batch is what one call of Next brought; Read counts the records, of whatever
// event.
type Batch struct {
	evidence.Batch
	// Bare counts processes whose command line the log doesn't have: for 4688 it
	// is a policy that is off by default.
	Bare int64
}

// Reader reads one file from its beginning to its end.
type Reader struct {
	r       io.Reader
	limits  Limits
	dirty   bool
	chunk   int // the next one's number
	read    int64
	records int64
	spent   time.Duration
	lost    int64
	notes   []string
	more    int // notes left out
	slots   []slot
	meaning winevent.Reader
	done    bool
}

// IsEVTX reports whether a file that begins with head is an event log.
func IsEVTX(head []byte) bool { return bytes.HasPrefix(head, []byte(fileMagic)) }

// FirstTime returns when the first record of a file that begins with head was
// written, in seconds since 1970 UTC; 0 when head doesn't tell.
func FirstTime(head []byte) int64 {
	const at = fileHeaderSize + chunkHeaderSize
	if len(head) < at+recordHeader || string(head[at:at+4]) != recordMagic {
		return 0
	}
	return fromFiletime(binary.LittleEndian.Uint64(head[at+16:]))
}

// NewReader reads the header of the file. Damage to it is noted and does not stop
// the reading; the error says that r is no event log or can't be read.
func NewReader(r io.Reader, limits Limits) (*Reader, error) {
	e := &Reader{r: r, limits: limits.withDefaults(), meaning: winevent.Reader{Whole: true}}
	header := make([]byte, fileHeaderSize)
	if n, err := io.ReadFull(r, header); err != nil {
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the file header: %w", err)
		}
		if !IsEVTX(header[:n]) {
			return nil, errors.New("not an event log: wrong signature")
		}
		e.note("it ends within its header")
		e.done = true
		return e, nil
	}
	if !IsEVTX(header) {
		return nil, errors.New("not an event log: wrong signature")
	}
	e.read = fileHeaderSize
	if err := checkFileHeader(header); err != nil {
		e.note(err.Error())
		return e, nil
	}
	e.dirty = binary.LittleEndian.Uint32(header[120:])&flagDirty != 0
	if major := binary.LittleEndian.Uint16(header[38:]); major != 3 {
		return nil, fmt.Errorf("event log of version %d, not 3", major)
	}
	if size := binary.LittleEndian.Uint16(header[40:]); size != fileHeaderSize {
		e.note(fmt.Sprintf("its header says that it has %d bytes; read with %d", size, fileHeaderSize))
	}
	return e, nil
}

// Notes says what of the file was not read, and why.
func (e *Reader) Notes() []string {
	if e.more == 0 {
		return e.notes
	}
	return append(e.notes[:len(e.notes):len(e.notes)], fmt.Sprintf("and %d more", e.more))
}

// Lost is how many chunks were not read, in whole or in part.
func (e *Reader) Lost() int64 { return e.lost }

func (e *Reader) note(s string) {
	if len(e.notes) == maxNotes {
		e.more++
		return
	}
	e.notes = append(e.notes, s)
}

// slot is one chunk on its way.
type slot struct {
	buf     []byte
	have    int // bytes of the chunk that are there
	records []*velocidex.EventRecord
	damage  []string
}

// Next reads the chunks that follow, at most workers of them and at least one,
// and parses each in a goroutine of its own that has ended when it returns. At
// the end of the file the error is io.EOF, which may come with the evidence whose
// end was missing.
func (e *Reader) Next(ctx context.Context, workers int) (b Batch, err error) {
	if err := ctx.Err(); err != nil {
		return Batch{}, err
	}
	if e.done {
		return Batch{}, io.EOF
	}
	start := time.Now()
	defer func() { e.spent += time.Since(start) }()
	if why := e.limit(); why != "" {
		e.lost++
		e.note(fmt.Sprintf("reading stopped at chunk %d after %s", e.chunk, why))
		e.finish(&b)
		return b, io.EOF
	}
	n, err := e.fill(max(workers, 1))
	if n == 1 {
		e.slots[0].parse(e.dirty)
	} else {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { e.slots[i].parse(e.dirty) })
		}
		wg.Wait()
	}
	for i := range n {
		e.take(&b, &e.slots[i])
	}
	if err != nil {
		e.finish(&b)
	}
	return b, err
}

// limit says which limit is reached, "" none.
func (e *Reader) limit() string {
	switch {
	case e.spent > e.limits.Time:
		return e.limits.Time.String()
	case e.records >= e.limits.Records:
		return fmt.Sprintf("%d records", e.records)
	case e.read+chunkSize > e.limits.Bytes:
		return fmt.Sprintf("%d bytes", e.read)
	}
	return ""
}

// fill reads up to the given number of chunks and returns how many there are. The
// error, io.EOF at the end of the file, comes with the last of them.
func (e *Reader) fill(chunks int) (n int, err error) {
	for n < chunks && (n == 0 || e.read+chunkSize <= e.limits.Bytes) {
		if n == len(e.slots) {
			e.slots = append(e.slots, slot{buf: make([]byte, chunkSize)})
		}
		s := &e.slots[n]
		have, err := io.ReadFull(e.r, s.buf)
		e.read += int64(have)
		s.have, s.damage = have, nil
		switch {
		case err == nil:
			n++
		case errors.Is(err, io.EOF):
			return n, io.EOF
		case errors.Is(err, io.ErrUnexpectedEOF):
			if allZero(s.buf[:have]) {
				return n, io.EOF
			}
			// The records that are there can still be sound, but the checksum covers
			// what is missing; a file cut short is not one that was altered.
			s.damaged("the file ends after %d of its %d bytes", have, chunkSize)
			clear(s.buf[have:])
			return n + 1, io.EOF
		default:
			return n, fmt.Errorf("read chunk %d: %w", e.chunk+n, err)
		}
	}
	return n, nil
}

// take books a parsed chunk and reads its events.
func (e *Reader) take(b *Batch, s *slot) {
	for _, d := range s.damage {
		e.lost++
		e.note(fmt.Sprintf("chunk %d: %s", e.chunk, d))
	}
	e.chunk++
	e.records += int64(len(s.records))
	b.Read += int64(len(s.records))
	for _, r := range s.records {
		if event, ok := r.Event.(*ordereddict.Dict); ok {
			e.event(b, event, r.Header.FileTime)
		}
	}
	s.records = nil
}

// finish ends the reading with what waits for more.
func (e *Reader) finish(b *Batch) {
	e.done = true
	e.slots = nil
	e.meaning.Flush(&b.Batch)
}

func (s *slot) damaged(format string, args ...any) {
	s.damage = append(s.damage, fmt.Sprintf(format, args...))
}

// parse parses the chunk, of a log that was in use when dirty.
func (s *slot) parse(dirty bool) {
	defer func() {
		if r := recover(); r != nil {
			s.damaged("the parser failed: %v", r)
			s.records = nil
		}
	}()
	if string(s.buf[:8]) != chunkMagic {
		if !allZero(s.buf) {
			s.damaged("wrong signature")
		}
		return
	}
	header, data := checkChunk(s.buf)
	if header != nil {
		s.damaged("%v", header)
		return
	}
	partial := s.have < chunkSize
	if data != nil && !partial {
		if !dirty {
			s.damaged("%v", data)
			return
		}
		// A log that was copied while Windows wrote to it: the checksum of the chunk
		// in use is behind its records.
		s.damaged("%v; read as far as it holds together, since the log was in use", data)
	}
	n, refused, err := checkRecords(s.buf[:s.have])
	if err != nil && !partial {
		s.damaged("%v; read the %d before it", err, n)
	}
	if refused > 0 {
		s.damaged("%d of its records were passed by: reading them would cost too much", refused)
	}
	if n == 0 {
		return
	}
	c := &velocidex.Chunk{Fd: bytes.NewReader(s.buf), Header: velocidex.ChunkHeader{FirstEventRecNumber: 1, LastEventRecNumber: uint64(n)}}
	if s.records, err = c.Parse(0); err != nil {
		s.damaged("%v", err)
	}
}
