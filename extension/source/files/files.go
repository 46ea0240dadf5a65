// Package files reads evidence from files, for a responder who has logs and no
// osquery: event logs of Windows (also as XML), the Linux audit log, syslog and the journal, logs
// of package managers, Zeek's conn.log and the log of Windows' firewall, osquery's
// results logs, and the JSON that Elastic, Defender, CrowdStrike and others export.
// What a file is shows its content, whatever its name.
//
// Files are hostile input: regular files alone are read, no link is followed in
// a folder, everything is bounded, and what can't be read of a file is named in
// its Account and costs only that part.
package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/fieldmap"
)

const (
	// maxBatch is the most of each kind of evidence that one Read returns.
	maxBatch = 10_000
	// piecesAhead is how many pieces of a file are read at once.
	piecesAhead = 4
	// maxWorkers bounds the files that are read at once, and what they hold.
	maxWorkers = 8
	// readBudget is how long one Read goes on: its caller waits no more than 20 s.
	readBudget = 5 * time.Second
	// progressEvery is how often progress is told.
	progressEvery = 200 * time.Millisecond
)

// Options are how files are read. The zero value is usable.
type Options struct {
	Stdin    io.Reader      // what "-" is; os.Stdin by default
	Maps     *fieldmap.Set  // fieldmap.Builtin by default
	Location *time.Location // of times without a zone (syslog); UTC by default
	Progress func(Progress) // called from Read, at most five times a second, one call at a time
	Limits   Limits
}

// Limits bound what is read; a zero value is that limit's default.
type Limits struct {
	Files    int   // found in folders, 100,000
	Depth    int   // of folders, 32
	Expanded int64 // bytes a compressed file may become, 8 GiB
}

// Progress is how far the reading is.
type Progress struct {
	Path              string // the file being read
	Files, TotalFiles int
	Bytes, TotalBytes int64 // of the files as they are on disk
	Read, Matched     int64 // records, and evidence of any kind in them
}

// Account is what became of one file.
type Account struct {
	Path    string
	Kind    string // "" when the file was not recognised or not opened
	Bytes   int64  // its size; what was read of standard input
	Read    int64  // records
	Matched int64  // evidence of any kind in them
	Bare    int64  // processes whose command line the evidence doesn't have
	Lost    int64  // records, lines or chunks that could not be read
	Oldest  int64  // of its evidence, seconds since 1970 UTC
	Newest  int64
	Done    bool
	Notes   []string // what was not read, and why
}

// Reader reads files.
type Reader struct {
	opts    Options
	sources []*Source

	mu       sync.Mutex
	accounts []*Account
	newest   int64
	total    Progress
	told     time.Time

	callbacks sync.Mutex // held during a call of the options' functions
}

// Open finds the files that paths name (files, folders, "-" for standard input)
// and recognises them. Files that can't be read, or that are of no known form,
// are in Accounts; the error says that a path that was given can't be used, or
// that there are too many files.
func Open(paths []string, opts Options) (*Reader, error) {
	if opts.Stdin == nil {
		opts.Stdin = os.Stdin
	}
	if opts.Location == nil {
		opts.Location = time.UTC
	}
	if opts.Maps == nil {
		maps, err := fieldmap.Builtin()
		if err != nil {
			return nil, err
		}
		opts.Maps = maps
	}
	if opts.Limits.Files <= 0 {
		opts.Limits.Files = 100_000
	}
	if opts.Limits.Depth <= 0 {
		opts.Limits.Depth = 32
	}
	if opts.Limits.Expanded <= 0 {
		opts.Limits.Expanded = 8 << 30
	}
	r := &Reader{opts: opts}
	found, err := r.find(paths)
	if err != nil {
		return nil, errors.Join(err, r.closeInputs(found))
	}
	byKind := map[string]*Source{}
	for _, in := range found {
		r.accounts = append(r.accounts, in.account)
		if in.form.kind == "" {
			in.account.Done = true
			continue
		}
		s := byKind[in.account.Kind]
		if s == nil {
			s = &Source{reader: r, name: in.account.Kind}
			byKind[s.name] = s
			r.sources = append(r.sources, s)
		}
		s.inputs = append(s.inputs, in)
		r.total.TotalFiles++
		r.total.TotalBytes += in.account.Bytes
	}
	slices.SortFunc(r.sources, func(a, b *Source) int { return strings.Compare(a.name, b.name) })
	for _, s := range r.sources {
		// By time, so that what happened first is known when the next is judged.
		slices.SortStableFunc(s.inputs, func(a, b *input) int {
			return cmp.Or(cmp.Compare(a.form.first, b.form.first), strings.Compare(a.account.Path, b.account.Path))
		})
	}
	return r, nil
}

// Sources returns one source for each kind of file, in the order of their names.
// Each is an engine's source.
func (r *Reader) Sources() []*Source { return r.sources }

// Accounts returns what became of each file so far, in the order they were found.
func (r *Reader) Accounts() []Account {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Account, len(r.accounts))
	for i, a := range r.accounts {
		out[i] = *a
		out[i].Notes = slices.Clone(a.Notes)
	}
	return out
}

// Newest returns the time of the newest evidence of any kind read so far, in
// seconds since 1970 UTC: what "now" is to the evidence. 0 is none.
func (r *Reader) Newest() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest
}

// Drained reports whether every source has handed out all that it has.
func (r *Reader) Drained() bool {
	for _, s := range r.sources {
		s.mu.Lock()
		more := s.last == nil || s.last.More
		s.mu.Unlock()
		if more {
			return false
		}
	}
	return true
}

// Close closes the files that are open.
func (r *Reader) Close() error {
	var all []*input
	for _, s := range r.sources {
		s.mu.Lock()
		all = append(all, s.inputs...)
		s.mu.Unlock()
	}
	return r.closeInputs(all)
}

func (r *Reader) closeInputs(list []*input) error {
	var errs []error
	for _, in := range list {
		if err := in.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", in.account.Path, err))
		}
	}
	return errors.Join(errs...)
}

// Source reads the files of one kind, one after another as far as its caller can
// tell: those that come next are parsed ahead, by goroutines that end with the call
// that started them.
type Source struct {
	reader *Reader
	name   string

	mu     sync.Mutex
	inputs []*input
	at     int // the input being read
	queue  evidence.Batch
	gaps   []evidence.Gap
	lost   int64

	// The last batch is kept until the next is asked for: who could not store it
	// asks again with the same cursor.
	step  int64
	asked string
	last  *evidence.Batch
}

// Name is the kind of the files: "evtx", "auditlog", "syslog", "journal",
// "package_log", "osquery_log", or the name of a field map.
func (s *Source) Name() string { return s.name }

// Read returns what follows, of each kind of evidence at most limit and at most
// 10,000, in the order of their times within each. Asked again with the cursor that
// it was asked with last, it returns the same again. A cursor that it did not return
// means the beginning to a Source that has not been read, and an error later.
func (s *Source) Read(ctx context.Context, cursor string, limit int) (evidence.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit <= 0 || limit > maxBatch {
		limit = maxBatch
	}
	switch {
	case s.last == nil: // a cursor of an earlier run says nothing of these files
	case cursor == s.last.Cursor:
	case cursor == s.asked:
		return *s.last, nil
	default:
		return evidence.Batch{}, fmt.Errorf("read files: cursor %q is not the last one", cursor)
	}
	deadline := time.Now().Add(readBudget)
	for s.at < len(s.inputs) && !full(&s.queue, limit) && time.Now().Before(deadline) {
		if err := s.advance(ctx); err != nil {
			// What was read stays in the queue for the next call.
			return evidence.Batch{}, err
		}
	}
	b := take(&s.queue, limit)
	b.Read, b.Dropped, b.Gaps = s.queue.Read, s.lost, s.gaps
	s.queue.Read, s.lost, s.gaps = 0, 0, nil
	b.More = size(&s.queue) > 0 || s.at < len(s.inputs)
	s.step++
	b.Cursor = "files:" + strconv.FormatInt(s.step, 10)
	s.asked, s.last = cursor, &b
	return b, nil
}

// advance parses some pieces of the current file and of those that come next, in
// parallel, and books those that are the next ones in order. The error is the
// context's.
func (s *Source) advance(ctx context.Context) error {
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	var todo []*input
	for _, in := range s.inputs[s.at:min(s.at+2*workers, len(s.inputs))] {
		if len(in.ready) == 0 && in.ended == nil {
			todo = append(todo, in)
		}
	}
	if n := min(workers, len(todo)); n == 1 {
		todo[0].ahead(ctx, workers)
	} else {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				for i := next.Add(1) - 1; i < int64(len(todo)); i = next.Add(1) - 1 {
					todo[i].ahead(ctx, max(workers/len(todo), 1))
				}
			})
		}
		wg.Wait()
	}
	for s.at < len(s.inputs) {
		in := s.inputs[s.at]
		for _, u := range in.ready {
			s.take(in, u)
		}
		in.ready = nil
		if in.ended == nil {
			break
		}
		s.finish(in, in.ended)
		s.at++
	}
	return ctx.Err()
}

// take books what a piece brought.
func (s *Source) take(in *input, u unit) {
	add(&s.queue, &u.Batch)
	r := s.reader
	r.mu.Lock()
	a := in.account
	a.Read += u.Read
	a.Matched += size(&u.Batch)
	a.Bare += u.bare
	times(&u.Batch, func(t int64) {
		if t <= 0 {
			return
		}
		if a.Oldest == 0 || t < a.Oldest {
			a.Oldest = t
		}
		a.Newest = max(a.Newest, t)
		r.newest = max(r.newest, t)
	})
	moved := in.moved()
	r.total.Bytes += moved
	r.total.Read += u.Read
	r.total.Matched += size(&u.Batch)
	r.total.Path = a.Path
	tell := r.opts.Progress != nil && time.Since(r.told) >= progressEvery
	if tell {
		r.told = time.Now()
	}
	progress := r.total
	r.mu.Unlock()
	if tell {
		r.callbacks.Lock()
		defer r.callbacks.Unlock()
		r.opts.Progress(progress)
	}
}

// finish closes a file and turns what was lost of it into gaps.
func (s *Source) finish(in *input, err error) {
	notes, lost := in.notes()
	if !errors.Is(err, io.EOF) {
		notes = append(slices.Clone(notes), err.Error())
		lost++
	}
	if closeErr := in.close(); closeErr != nil {
		notes = append(slices.Clone(notes), closeErr.Error())
	}
	r := s.reader
	r.mu.Lock()
	a := in.account
	if a.Bare > 0 {
		notes = append(slices.Clone(notes), fmt.Sprintf("%d of its processes have no command line: the policy \"Include command line in process creation events\" was off", a.Bare))
	}
	a.Notes = append(a.Notes, notes...)
	a.Lost += lost
	a.Done = true
	r.total.Files++
	from, to := a.Oldest, a.Newest
	r.mu.Unlock()
	s.lost += lost
	if lost > 0 || a.Bare > 0 {
		reason := a.Path + ": " + strings.Join(notes, "; ")
		if len(reason) > 1024 {
			reason = strings.ToValidUTF8(reason[:1024], "") + "..."
		}
		s.gaps = append(s.gaps, evidence.Gap{From: from, To: to, Reason: reason})
	}
}
