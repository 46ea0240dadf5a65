package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
	"github.com/osquery-rollcall/rollcall/extension/source/evtx"
	"github.com/osquery-rollcall/rollcall/extension/source/files/syslog"
)

// The kinds of files, which name the sources. JSON of a field map has the map's
// name.
const (
	KindEVTX    = "evtx"
	KindAudit   = auditlog.Source
	KindSyslog  = syslog.Source
	KindJournal = syslog.SourceJournal
	KindOsquery = "osquery_log"
	kindExport  = "journal_export"
)

// linesAtOnce is how many lines one step of a decoder reads.
const linesAtOnce = 512

// unit is what one step of a decoder brought.
type unit struct {
	processes []evidence.Process
	installs  []evidence.Install
	read      int64 // records
	bare      int64 // processes whose command line the evidence doesn't have
}

// decoder reads one file, step by step.
type decoder interface {
	// next reads a bounded piece. The last piece comes with io.EOF.
	next(ctx context.Context) (unit, error)
	// notes says what could not be read, and lost how much that was.
	notes() (said []string, lost int64)
}

// recognise tells the kind of a file by its beginning, and the time of its first
// record where that can be told. "" is no kind.
func recognise(head []byte, maps *jsonDecoder, modified time.Time) (kind string, first int64) {
	if evtx.IsEVTX(head) {
		return KindEVTX, evtx.FirstTime(head)
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(text) == 0 {
		return "", 0
	}
	if text[0] == '{' || text[0] == '[' {
		return recogniseJSON(text, maps)
	}
	sys := syslog.NewDecoder(modified, nil)
	for range 64 { // a log may begin with separators, or in the middle of a line
		line, rest, more := bytes.Cut(text, []byte("\n"))
		line = bytes.TrimRight(line, "\r")
		switch {
		case auditlog.IsRecord(line) && (bytes.HasPrefix(line, []byte("type=")) || bytes.HasPrefix(line, []byte("node="))):
			return KindAudit, auditlog.Time(line)
		case bytes.HasPrefix(line, []byte("__CURSOR=")), bytes.HasPrefix(line, []byte("__REALTIME_TIMESTAMP=")):
			return kindExport, exportTime(text)
		case syslog.IsLine(line):
			return KindSyslog, sys.Time(line)
		case len(line) > 0 && line[0] == '{':
			if kind, first := recogniseJSON(line, maps); kind != "" {
				return kind, first
			}
		}
		if !more {
			break
		}
		text = rest
	}
	return "", 0
}

func exportTime(text []byte) int64 {
	_, rest, found := bytes.Cut(text, []byte("__REALTIME_TIMESTAMP="))
	if !found {
		return 0
	}
	digits, _, _ := bytes.Cut(rest, []byte("\n"))
	return syslog.EntryTime(syslog.Entry{"__REALTIME_TIMESTAMP": string(digits)})
}

// recogniseJSON looks at the first objects: what they are, and the first time.
func recogniseJSON(text []byte, maps *jsonDecoder) (kind string, first int64) {
	objects := newObjects(bytes.NewReader(text))
	for range 200 {
		b, err := objects.next()
		if err != nil {
			break
		}
		o, err := decodeObject(b)
		if err != nil {
			continue
		}
		ps, k := maps.object(o)
		if k == "" {
			continue
		}
		if kind == "" {
			kind = k
		}
		for _, p := range ps {
			if p.Time > 0 {
				return kind, p.Time
			}
		}
	}
	return kind, 0
}

// looksCut reports whether a text ends within its first JSON object.
func looksCut(text []byte) bool {
	_, err := newObjects(bytes.NewReader(text)).next()
	return errors.Is(err, io.ErrUnexpectedEOF)
}

// damage collects notes about one file.
type damage struct {
	said []string
	lost int64
	more int64
}

const maxNotes = 20

func (d *damage) note(lost int64, format string, args ...any) {
	d.lost += lost
	if len(d.said) == maxNotes {
		d.more++
		return
	}
	d.said = append(d.said, fmt.Sprintf(format, args...))
}

func (d *damage) notes() ([]string, int64) {
	if d.more == 0 {
		return d.said, d.lost
	}
	return append(d.said[:len(d.said):len(d.said)], fmt.Sprintf("and %d more", d.more)), d.lost
}

// evtxDecoder reads an event log.
type evtxDecoder struct{ r *evtx.Reader }

func (d *evtxDecoder) next(ctx context.Context) (unit, error) {
	b, err := d.r.Next(ctx)
	return unit{processes: b.Processes, installs: b.Installs, read: b.Records, bare: b.Bare}, err
}

func (d *evtxDecoder) notes() ([]string, int64) { return d.r.Notes(), d.r.Lost() }

// lineDecoder reads a log line by line.
type lineDecoder struct {
	damage
	lines  *lines
	number int64
	// line reads one; flush what waits for an end.
	line    func(line []byte) (ps []evidence.Process, ok bool)
	flush   func() []evidence.Process
	strange int64
}

func (d *lineDecoder) next(ctx context.Context) (u unit, err error) {
	for range linesAtOnce {
		if err := ctx.Err(); err != nil {
			return u, err
		}
		line, err := d.lines.next()
		d.number++
		switch {
		case errors.Is(err, errTooLong):
			d.note(1, "line %d: %v", d.number, err)
			continue
		case err != nil:
			u.processes = append(u.processes, d.flush()...)
			if d.strange > 0 {
				d.note(0, "%d lines of another form were passed by", d.strange)
			}
			return u, err
		case len(bytes.TrimSpace(line)) == 0:
			continue
		}
		ps, ok := d.line(line)
		if !ok {
			d.strange++
			continue
		}
		u.read++
		u.processes = append(u.processes, ps...)
	}
	return u, nil
}

// objectDecoder reads JSON, an object a line or in any other layout.
type objectDecoder struct {
	damage
	fetch   func() ([]byte, error)
	byLine  bool
	json    *jsonDecoder
	number  int64
	strange int64
}

func (d *objectDecoder) what() string {
	if d.byLine {
		return "line"
	}
	return "object"
}

func (d *objectDecoder) next(ctx context.Context) (u unit, err error) {
	for range linesAtOnce {
		if err := ctx.Err(); err != nil {
			return u, err
		}
		b, err := d.fetch()
		d.number++
		switch {
		case errors.Is(err, errTooLong):
			d.note(1, "%s %d: %v", d.what(), d.number, err)
			continue
		case err != nil:
			u.processes = append(u.processes, d.json.journal.Flush()...)
			if d.strange > 0 {
				d.note(0, "%d objects of another form were passed by", d.strange)
			}
			if errors.Is(err, io.ErrUnexpectedEOF) && !d.byLine {
				d.note(1, "it ends within object %d", d.number)
				err = io.EOF
			}
			return u, err
		case len(bytes.TrimSpace(b)) == 0:
			continue
		}
		o, err := decodeObject(b)
		if err != nil {
			d.note(1, "%s %d: %v", d.what(), d.number, err)
			continue
		}
		ps, kind := d.json.object(o)
		if kind == "" {
			d.strange++
			continue
		}
		u.read++
		u.processes = append(u.processes, ps...)
		if len(u.processes) >= maxBatch {
			break
		}
	}
	return u, nil
}

// exportDecoder reads the journal's export format.
type exportDecoder struct {
	damage
	lines  *lines
	export syslog.Export
	sys    *syslog.Decoder
	number int64
}

// maxField bounds a binary field of the journal that is kept, in bytes.
const maxField = 1 << 20

func (d *exportDecoder) next(ctx context.Context) (u unit, err error) {
	for range linesAtOnce {
		if err := ctx.Err(); err != nil {
			return u, err
		}
		line, err := d.lines.next()
		if errors.Is(err, errTooLong) {
			d.note(1, "a field is %v", err)
			continue
		}
		if err != nil {
			d.entry(&u, nil)
			u.processes = append(u.processes, d.sys.Flush()...)
			return u, err
		}
		name := d.entry(&u, line)
		if name == "" {
			continue
		}
		if err := d.binary(name); err != nil {
			d.note(1, "a binary field of entry %d: %v", d.number+1, err)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = io.EOF
			}
			u.processes = append(u.processes, d.sys.Flush()...)
			return u, err
		}
	}
	return u, nil
}

func (d *exportDecoder) entry(u *unit, line []byte) (binaryField string) {
	done, field := d.export.Line(line)
	if done != nil {
		d.number++
		u.read++
		u.processes = append(u.processes, d.sys.Entry(done)...)
	}
	return field
}

// binary reads the length and the bytes of a field.
func (d *exportDecoder) binary(name string) error {
	var length [8]byte
	if _, err := io.ReadFull(d.lines.r, length[:]); err != nil {
		return io.ErrUnexpectedEOF
	}
	n := syslog.BinaryLength(length)
	if n > 1<<40 {
		return errors.New("its length makes no sense")
	}
	keep := min(n, maxField)
	value, err := io.ReadAll(io.LimitReader(d.lines.r, int64(keep)))
	if err != nil || uint64(len(value)) < keep {
		return io.ErrUnexpectedEOF
	}
	if _, err := io.CopyN(io.Discard, d.lines.r, int64(n-keep)); err != nil {
		return io.ErrUnexpectedEOF
	}
	d.export.Set(name, value)
	if c, err := d.lines.r.ReadByte(); err != nil || c != '\n' {
		return errors.New("it doesn't end where it says")
	}
	return nil
}
