// Package evtx reads Windows event log files: the processes, script blocks and
// services that Security 4688 and 4697, System 7045, PowerShell 4104 and Sysmon 1
// tell of.
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
	"time"

	"github.com/Velocidex/ordereddict"
	velocidex "www.velocidex.com/golang/evtx"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// The names of what was read, as Source of the evidence gives them.
const (
	SourceSecurity   = "evtx_security"
	SourceSystem     = "evtx_system"
	SourcePowerShell = "evtx_powershell"
	SourceSysmon     = "evtx_sysmon"
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

// Batch is what one chunk brought.
type Batch struct {
	Processes []evidence.Process
	Installs  []evidence.Install
	Records   int64 // records read, of whatever event
	// Bare counts processes whose command line the log doesn't have: for 4688 it
	// is a policy that is off by default.
	Bare int64
}

// Reader reads one file from its beginning to its end, chunk by chunk.
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
	buf     []byte
	scripts scripts
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
	e := &Reader{r: r, limits: limits.withDefaults(), buf: make([]byte, chunkSize), scripts: newScripts()}
	header := e.buf[:fileHeaderSize]
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

func (e *Reader) damaged(format string, args ...any) {
	e.lost++
	e.note(fmt.Sprintf("chunk %d: ", e.chunk) + fmt.Sprintf(format, args...))
}

// Next reads the next chunk. At the end of the file the error is io.EOF, which
// may come with the script blocks whose end was missing.
func (e *Reader) Next(ctx context.Context) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return Batch{}, err
	}
	if e.done {
		return Batch{}, io.EOF
	}
	start := time.Now()
	defer func() { e.spent += time.Since(start) }()
	switch {
	case e.spent > e.limits.Time:
		return e.stop(fmt.Sprintf("reading stopped at chunk %d after %v", e.chunk, e.limits.Time))
	case e.records >= e.limits.Records:
		return e.stop(fmt.Sprintf("reading stopped at chunk %d after %d records", e.chunk, e.records))
	case e.read+chunkSize > e.limits.Bytes:
		return e.stop(fmt.Sprintf("reading stopped at chunk %d after %d bytes", e.chunk, e.read))
	}
	n, err := io.ReadFull(e.r, e.buf)
	e.read += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		return e.stop("")
	case errors.Is(err, io.ErrUnexpectedEOF):
		if !allZero(e.buf[:n]) {
			e.damaged("the file ends after %d of its %d bytes", n, chunkSize)
			// The records that are there can still be sound, but the checksum covers
			// what is missing; a file cut short is not one that was altered.
			clear(e.buf[n:])
			b := e.parse(n)
			last, err := e.stop("")
			b.Processes = append(b.Processes, last.Processes...)
			return b, err
		}
		return e.stop("")
	case err != nil:
		last, _ := e.stop("")
		return last, fmt.Errorf("read chunk %d: %w", e.chunk, err)
	}
	b := e.parse(chunkSize)
	e.chunk++
	return b, nil
}

func (e *Reader) stop(why string) (Batch, error) {
	if why != "" {
		e.lost++
		e.note(why)
	}
	e.done = true
	return Batch{Processes: e.scripts.flush()}, io.EOF
}

// parse reads the chunk in e.buf, of which have bytes are there.
func (e *Reader) parse(have int) (b Batch) {
	if string(e.buf[:8]) != chunkMagic {
		if !allZero(e.buf) {
			e.damaged("wrong signature")
		}
		return Batch{}
	}
	header, data := checkChunk(e.buf)
	if header != nil {
		e.damaged("%v", header)
		return Batch{}
	}
	partial := have < chunkSize
	if data != nil && !partial {
		if !e.dirty {
			e.damaged("%v", data)
			return Batch{}
		}
		// A log that was copied while Windows wrote to it: the checksum of the chunk
		// in use is behind its records.
		e.damaged("%v; read as far as it holds together, since the log was in use", data)
	}
	n, refused, err := checkRecords(e.buf[:have])
	if err != nil && !partial {
		e.damaged("%v; read the %d before it", err, n)
	}
	if refused > 0 {
		e.damaged("%d of its records were passed by: reading them would cost too much", refused)
	}
	if n == 0 {
		return Batch{}
	}
	defer func() {
		if r := recover(); r != nil {
			e.damaged("the parser failed: %v", r)
			b = Batch{}
		}
	}()
	c := &velocidex.Chunk{Fd: bytes.NewReader(e.buf), Header: velocidex.ChunkHeader{FirstEventRecNumber: 1, LastEventRecNumber: uint64(n)}}
	records, err := c.Parse(0)
	if err != nil {
		e.damaged("%v", err)
		return Batch{}
	}
	b.Records = int64(len(records))
	e.records += b.Records
	for _, r := range records {
		if event, ok := r.Event.(*ordereddict.Dict); ok {
			e.event(&b, event, r.Header.FileTime)
		}
	}
	return b
}
