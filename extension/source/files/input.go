package files

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
	"github.com/osquery-rollcall/rollcall/extension/source/evtx"
	"github.com/osquery-rollcall/rollcall/extension/source/files/columns"
	"github.com/osquery-rollcall/rollcall/extension/source/files/fieldmap"
	"github.com/osquery-rollcall/rollcall/extension/source/files/packages"
	"github.com/osquery-rollcall/rollcall/extension/source/files/syslog"
)

const (
	// headSize is how much of a file tells what it is, firstLook how much of it
	// tells that it is an event log.
	headSize  = 256 << 10
	firstLook = 8 << 10
)

// input is one file.
type input struct {
	account  *Account
	opts     *Options
	open     func() (io.ReadCloser, error)
	form     form
	modified time.Time
	byLine   bool // JSON, an object a line

	decoder decoder
	count   *counter
	closers []io.Closer

	// What was read ahead, and what ended the reading, nil when nothing did.
	ready []unit
	ended error
}

// counter counts the bytes taken from a file.
type counter struct {
	r       io.Reader
	n, told int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// moved returns the bytes read since it was asked last.
func (in *input) moved() int64 {
	if in.count == nil {
		return 0
	}
	n := in.count.n - in.count.told
	in.count.told = in.count.n
	return n
}

// errExpanded ends the reading of a compressed file that becomes too large.
var errExpanded = errors.New("it expands to more than may be read")

// bounded ends with errExpanded.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errExpanded
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// content opens the file and expands it.
func (in *input) content() (io.Reader, error) {
	f, err := in.open()
	if err != nil {
		return nil, err
	}
	in.closers = append(in.closers, f)
	in.count = &counter{r: f}
	br := bufio.NewReaderSize(in.count, 8<<10) // decoders read in large pieces
	magic, err := br.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return &bounded{r: z, left: in.opts.Limits.Expanded}, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}), bytes.HasPrefix(magic, []byte("BZh")), bytes.HasPrefix(magic, []byte("\xfd7zXZ")),
		bytes.HasPrefix(magic, []byte("PK\x03\x04")):
		return nil, errors.New("compressed in a way that is not read (only gzip is); expand it first")
	case len(magic) >= 2 && (magic[0] == 0xff && magic[1] == 0xfe || magic[0] == 0xfe && magic[1] == 0xff):
		// What Windows' PowerShell writes to a file.
		return transform.NewReader(br, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder()), nil
	}
	return br, nil
}

// look reads the beginning of the file and recognises it.
func (in *input) look() error {
	r, err := in.content()
	if err != nil {
		return errors.Join(err, in.close())
	}
	head, err := readHead(r, firstLook)
	if err == nil && len(head) == firstLook && !evtx.IsEVTX(head) {
		var more []byte
		more, err = readHead(r, headSize-firstLook)
		head = append(head, more...)
	}
	if err != nil {
		return errors.Join(err, in.close())
	}
	maps := in.jsonDecoder()
	in.form = recognise(head, maps, in.modified)
	if in.form.kind == "" && len(head) == headSize {
		if t := trimText(head); len(t) > 0 && (t[0] == '{' || t[0] == '[') && looksCut(t) {
			// One large object, such as the body of a request.
			more, err := readHead(r, maxLine-headSize)
			if err != nil {
				return errors.Join(err, in.close())
			}
			head = append(head, more...)
			in.form = recognise(head, maps, in.modified)
		}
	}
	in.account.Kind = in.form.kind
	if in.form.kind == "" {
		in.account.Notes = append(in.account.Notes, "not a form of evidence that is known")
		return in.close()
	}
	line, _, _ := bytes.Cut(trimText(head), []byte("\n"))
	_, bad := decodeObject(line)
	in.byLine = bad == nil || len(line) > 0 && line[0] != '{' && line[0] != '['
	return in.rewind(head, r)
}

// rewind makes the next reading begin at the beginning: of a file, by opening it
// again when its turn comes; of standard input, from what was read.
func (in *input) rewind(head []byte, rest io.Reader) error {
	if in.account.Path != "-" {
		in.count.n = 0
		return in.close()
	}
	return in.decode(io.MultiReader(bytes.NewReader(head), rest))
}

func trimText(b []byte) []byte {
	return bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n")
}

// readHead reads up to n bytes; damage behind the first of them shows later.
func readHead(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	n, err := io.ReadFull(r, b)
	if err != nil && n == 0 && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

func (in *input) jsonDecoder() *jsonDecoder {
	return &jsonDecoder{maps: in.opts.Maps, journal: syslog.NewDecoder(in.modified, in.opts.Location), audit: auditlog.NewDecoder()}
}

// decode makes the decoder of the file's form.
func (in *input) decode(r io.Reader) error {
	switch in.form.how {
	case KindEVTX:
		e, err := evtx.NewReader(r, evtx.Limits{})
		if err != nil {
			return err
		}
		in.decoder = &evtxDecoder{e}
	case KindAudit:
		d := auditlog.NewDecoder()
		in.decoder = &lineDecoder{lines: newLines(r), line: d.Line, flush: d.Flush}
	case KindSyslog:
		d := syslog.NewDecoder(in.modified, in.opts.Location)
		in.decoder = &lineDecoder{lines: newLines(r), line: d.Line, flush: d.Flush}
	case KindPackages:
		d := packages.NewDecoder(in.modified, in.opts.Location)
		in.decoder = &lineDecoder{lines: newLines(r), line: d.Line, flush: func(*evidence.Batch) {}}
	case formTable:
		table := columns.New(in.opts.Location)
		in.decoder = &lineDecoder{lines: newLines(r), flush: func(*evidence.Batch) {}, line: func(line []byte, to *evidence.Batch) bool {
			row, ok := table.Line(line)
			if row != nil {
				in.opts.Maps.Read(row, fieldmap.File, fieldmap.About{}, to)
			}
			return ok
		}}
	case formExport:
		in.decoder = &exportDecoder{lines: newLines(r), sys: syslog.NewDecoder(in.modified, in.opts.Location)}
	case formXML:
		in.decoder = &objectDecoder{fetch: newElements(r).next, decode: decodeElement, json: in.jsonDecoder()}
	default:
		d := &objectDecoder{byLine: in.byLine, decode: decodeObject, json: in.jsonDecoder()}
		if in.byLine {
			d.fetch = newLines(r).next
		} else {
			d.fetch = newObjects(r).next
		}
		in.decoder = d
	}
	return nil
}

// ahead reads a few pieces of the file and keeps them ready.
func (in *input) ahead(ctx context.Context, workers int) {
	for range piecesAhead {
		u, err := in.next(ctx, workers)
		in.ready = append(in.ready, u)
		if err != nil && (ctx.Err() == nil || errors.Is(err, io.EOF)) {
			in.ended = err
		}
		if err != nil || full(&u.Batch, maxBatch/piecesAhead) {
			return
		}
	}
}

// next reads a piece of the file.
func (in *input) next(ctx context.Context, workers int) (u unit, err error) {
	if in.decoder == nil {
		r, err := in.content()
		if err != nil {
			return unit{}, err
		}
		if err := in.decode(r); err != nil {
			return unit{}, err
		}
	}
	defer func() {
		// A fault of a decoder costs the rest of the file, not the run.
		if v := recover(); v != nil {
			u, err = unit{}, fmt.Errorf("reading stopped on an internal error: %v", v)
		}
	}()
	return in.decoder.next(ctx, workers)
}

func (in *input) notes() ([]string, int64) {
	if in.decoder == nil {
		return nil, 0
	}
	return in.decoder.notes()
}

func (in *input) close() error {
	var errs []error
	for _, c := range in.closers {
		errs = append(errs, c.Close())
	}
	in.closers = nil
	return errors.Join(errs...)
}

// find expands paths to files and recognises them, in order.
func (r *Reader) find(paths []string) (found []*input, err error) {
	seen := map[string]bool{}
	for _, p := range paths {
		if seen[p] {
			continue
		}
		seen[p] = true
		if p == "-" {
			in := r.input(p, time.Now())
			in.open = func() (io.ReadCloser, error) { return io.NopCloser(r.opts.Stdin), nil }
			if err := in.look(); err != nil {
				in.account.Notes = append(in.account.Notes, err.Error())
				in.form = form{}
			}
			found = append(found, in)
			continue
		}
		info, err := os.Stat(p)
		if err != nil {
			return found, fmt.Errorf("read evidence: %w", err)
		}
		if info.IsDir() {
			in, err := r.walk(p, len(found))
			found = append(found, in...)
			if err != nil {
				return found, err
			}
			continue
		}
		if !info.Mode().IsRegular() {
			return found, fmt.Errorf("read evidence: %s is no regular file; pass what comes from a pipe as -", p)
		}
		found = append(found, r.regular(p, info, func() (io.ReadCloser, error) { return openRegular(os.OpenFile, p) }))
	}
	return found, nil
}

func (r *Reader) input(path string, modified time.Time) *input {
	return &input{account: &Account{Path: path}, opts: &r.opts, modified: modified}
}

func (r *Reader) regular(path string, info fs.FileInfo, open func() (io.ReadCloser, error)) *input {
	in := r.input(path, info.ModTime())
	in.account.Bytes = info.Size()
	in.open = open
	if err := in.look(); err != nil {
		in.account.Notes = append(in.account.Notes, err.Error())
		in.form, in.account.Kind = form{}, ""
		in.account.Lost++
	}
	return in
}

// walk finds the regular files of a folder. os.Root keeps it inside, whatever
// becomes a link while it looks.
func (r *Reader) walk(dir string, have int) (found []*input, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	defer func() { _ = root.Close() }() // only read from
	type folder struct {
		name  string
		depth int
	}
	todo := []folder{{".", 0}}
	for len(todo) > 0 {
		cur := todo[0]
		todo = todo[1:]
		entries, err := readDir(root, cur.name, r.opts.Limits.Files)
		if err != nil {
			found = append(found, r.unread(filepath.Join(dir, cur.name), err))
			if len(entries) == 0 {
				continue
			}
		}
		for _, e := range entries {
			name := filepath.Join(cur.name, e.Name())
			path := filepath.Join(dir, name)
			switch {
			case e.IsDir() && cur.depth+1 >= r.opts.Limits.Depth:
				found = append(found, r.unread(path, fmt.Errorf("not read: deeper than %d folders", r.opts.Limits.Depth)))
			case e.IsDir():
				todo = append(todo, folder{name, cur.depth + 1})
			case !e.Type().IsRegular():
				found = append(found, r.unread(path, errors.New("not read: a link or special file")))
			default:
				info, err := e.Info()
				if err != nil {
					found = append(found, r.unread(path, err))
					continue
				}
				found = append(found, r.regular(path, info, func() (io.ReadCloser, error) {
					root, err := os.OpenRoot(dir)
					if err != nil {
						return nil, err
					}
					defer func() { _ = root.Close() }() // the file stays open
					return openRegular(root.OpenFile, name)
				}))
			}
			if have+len(found) > r.opts.Limits.Files || len(todo) > r.opts.Limits.Files {
				return found, fmt.Errorf("read evidence: more than %d files in %s", r.opts.Limits.Files, dir)
			}
		}
	}
	return found, nil
}

func (r *Reader) unread(path string, err error) *input {
	in := r.input(path, time.Time{})
	in.account.Notes = []string{err.Error()}
	in.account.Lost = 1
	return in
}

// readDir lists a folder by name, up to limit entries.
func readDir(root *os.Root, name string, limit int) ([]fs.DirEntry, error) {
	d, err := openRoot(root, name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(limit + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		if a.Name() < b.Name() {
			return -1
		}
		return 1
	})
	return entries, err
}

func openRoot(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("no longer a folder")
	}
	return root.Open(name)
}

// openRegular opens a file that must be a regular one also at this moment; what
// became a pipe meanwhile does not keep the opening waiting.
func openRegular(open func(name string, flag int, perm os.FileMode) (*os.File, error), name string) (io.ReadCloser, error) {
	f, err := open(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("no regular file")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

var _ interface {
	Name() string
	Read(context.Context, string, int) (evidence.Batch, error)
} = (*Source)(nil)
