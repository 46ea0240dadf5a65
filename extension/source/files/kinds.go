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
	"github.com/osquery-rollcall/rollcall/extension/source/files/columns"
	"github.com/osquery-rollcall/rollcall/extension/source/files/fieldmap"
	"github.com/osquery-rollcall/rollcall/extension/source/files/packages"
	"github.com/osquery-rollcall/rollcall/extension/source/files/syslog"
)

// The kinds of files, which name the sources. JSON of a field map has the map's
// name.
const (
	KindEVTX     = "evtx"
	KindAudit    = auditlog.Source
	KindSyslog   = syslog.Source
	KindJournal  = syslog.SourceJournal
	KindOsquery  = "osquery_log"
	KindPackages = packages.Source
)

// linesAtOnce is how many lines one step of a decoder reads.
const linesAtOnce = 512

// unit is what one step of a decoder brought.
type unit struct {
	evidence.Batch
	bare int64 // processes whose command line the evidence doesn't have
}

// decoder reads one file, step by step.
type decoder interface {
	// next reads a bounded piece, with as many as workers goroutines that have ended
	// when it returns. The last piece comes with io.EOF.
	next(ctx context.Context, workers int) (unit, error)
	// notes says what could not be read, and lost how much that was.
	notes() (said []string, lost int64)
}

// form is what a file was recognised as.
type form struct {
	kind  string // names its source; "" is none
	how   string // which decoder reads it: one of the kinds of log, or formTable or formJSON
	first int64  // time of its first record, 0 unknown
}

const (
	formExport = "journal_export"
	formTable  = "table"
	formJSON   = "json"
	formXML    = "xml"
)

// recognise tells what a file is by its beginning.
func recognise(head []byte, maps *jsonDecoder, modified time.Time) form {
	if evtx.IsEVTX(head) {
		return form{KindEVTX, KindEVTX, evtx.FirstTime(head)}
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(text) == 0 {
		return form{}
	}
	if text[0] == '{' || text[0] == '[' {
		return recogniseJSON(text, maps)
	}
	if isEventXML(text) {
		return recogniseXML(text, maps)
	}
	whole := text
	sys, packs := syslog.NewDecoder(modified, nil), packages.NewDecoder(modified, nil)
	for range 64 { // a log may begin with separators, or in the middle of a line
		line, rest, more := bytes.Cut(text, []byte("\n"))
		line = bytes.TrimRight(line, "\r")
		switch {
		case columns.IsHeader(line):
			return recogniseTable(whole, maps)
		case auditlog.IsRecord(line) && (bytes.HasPrefix(line, []byte("type=")) || bytes.HasPrefix(line, []byte("node="))):
			return form{KindAudit, KindAudit, auditlog.Time(line)}
		case bytes.HasPrefix(line, []byte("__CURSOR=")), bytes.HasPrefix(line, []byte("__REALTIME_TIMESTAMP=")):
			return form{KindJournal, formExport, exportTime(text)}
		case packages.IsLine(line):
			return form{KindPackages, KindPackages, packs.Time(line)}
		case syslog.IsLine(line):
			return form{KindSyslog, KindSyslog, sys.Time(line)}
		case len(line) > 0 && line[0] == '{':
			if f := recogniseJSON(line, maps); f.kind != "" {
				return f
			}
		}
		if !more {
			break
		}
		text = rest
	}
	return form{}
}

// recogniseTable looks at the first rows of a log that names its columns.
func recogniseTable(text []byte, maps *jsonDecoder) form {
	table := columns.New(nil)
	f := form{how: formTable}
	for range 200 {
		line, rest, more := bytes.Cut(text, []byte("\n"))
		if row, _ := table.Line(bytes.TrimRight(line, "\r")); row != nil {
			var got evidence.Batch
			source, _ := maps.maps.Read(row, fieldmap.File, fieldmap.About{}, &got)
			if source == "" {
				return form{}
			}
			f.kind = source
			if f.first = firstTime(&got); f.first > 0 {
				break
			}
		}
		if !more {
			break
		}
		text = rest
	}
	return f
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
func recogniseJSON(text []byte, maps *jsonDecoder) form {
	return recogniseObjects(form{how: formJSON}, newObjects(bytes.NewReader(text)).next, decodeObject, maps)
}

func recogniseXML(text []byte, maps *jsonDecoder) form {
	f := recogniseObjects(form{how: formXML}, newElements(bytes.NewReader(text)).next, decodeElement, maps)
	f.kind = KindWindows
	return f
}

func recogniseObjects(f form, fetch func() ([]byte, error), decode func([]byte) (fieldmap.Object, error), maps *jsonDecoder) form {
	for range 200 {
		b, err := fetch()
		if err != nil {
			break
		}
		o, err := decode(b)
		if err != nil {
			continue
		}
		var got evidence.Batch
		kind := maps.object(o, &got)
		if kind == "" {
			continue
		}
		if f.kind == "" {
			f.kind = kind
		}
		if f.first = firstTime(&got); f.first > 0 {
			break
		}
	}
	return f
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

func (d *evtxDecoder) next(ctx context.Context, workers int) (unit, error) {
	b, err := d.r.Next(ctx, workers)
	return unit{b.Batch, b.Bare}, err
}

func (d *evtxDecoder) notes() ([]string, int64) { return d.r.Notes(), d.r.Lost() }

// lineDecoder reads a log line by line.
type lineDecoder struct {
	damage
	lines  *lines
	number int64
	// line reads one; flush what waits for an end.
	line    func(line []byte, to *evidence.Batch) (ok bool)
	flush   func(to *evidence.Batch)
	strange int64
}

func (d *lineDecoder) next(ctx context.Context, _ int) (u unit, err error) {
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
			d.flush(&u.Batch)
			if d.strange > 0 {
				d.note(0, "%d lines of another form were passed by", d.strange)
			}
			return u, err
		case len(bytes.TrimSpace(line)) == 0:
			continue
		}
		if !d.line(line, &u.Batch) {
			d.strange++
			continue
		}
		u.Read++
		if full(&u.Batch, maxBatch) {
			break
		}
	}
	return u, nil
}

// objectDecoder reads JSON, an object a line or in any other layout, or XML.
type objectDecoder struct {
	damage
	fetch   func() ([]byte, error)
	decode  func([]byte) (fieldmap.Object, error)
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

func (d *objectDecoder) next(ctx context.Context, _ int) (u unit, err error) {
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
			d.json.flush(&u.Batch)
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
		o, err := d.decode(b)
		if err != nil {
			d.note(1, "%s %d: %v", d.what(), d.number, err)
			continue
		}
		if kind := d.json.object(o, &u.Batch); kind == "" {
			d.strange++
			continue
		}
		u.Read++
		if full(&u.Batch, maxBatch) {
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

func (d *exportDecoder) next(ctx context.Context, _ int) (u unit, err error) {
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
			d.sys.Flush(&u.Batch)
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
			d.sys.Flush(&u.Batch)
			return u, err
		}
	}
	return u, nil
}

func (d *exportDecoder) entry(u *unit, line []byte) (binaryField string) {
	done, field := d.export.Line(line)
	if done != nil {
		d.number++
		u.Read++
		d.sys.Entry(done, &u.Batch)
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
