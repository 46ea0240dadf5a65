// Package logtail follows the log files of a Linux host while they are written:
// the audit daemon's, those of syslog, and those of package managers.
//
// A file is known by its device and inode, by a hash of its beginning and by a
// hash of what stands before the place where reading goes on. So reading goes on
// at the right byte after a rotation by renaming, by copying and truncating, or
// with compression (gzip), however many of them there were meanwhile: the old file
// is read to its end, then those between, then the new one. The file that is being
// read is also kept open, so that what is written to it after it was removed is
// still read.
//
// A log that was removed, cut or rewritten, and not by a rotation, is told as a
// Change: hiding traces is what that is for.
//
// Decoders keep state from line to line. The position therefore also says how far
// back the lines lie that made this state. Reading from a cursor again brings the
// same rows again, also after a restart.
//
// journald's files are not read. Its syslog forwarding (ForwardToSyslog=yes, with
// rsyslog or syslog-ng) writes what is followed here; for a look at what it holds
// there is "journalctl -o export | rollcall query --from -".
package logtail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	pkgfiles "github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
	"github.com/osquery-rollcall/rollcall/extension/source/files/syslog"
	"github.com/osquery-rollcall/rollcall/extension/source/logtail/packagelog"
)

const (
	// readBytes bounds what one Read takes from all files, in bytes.
	readBytes = 8 << 20
	// maxRows bounds what one Read returns.
	maxRows = 10_000
	// firstBytes is how far from its end the first reading of a file begins.
	firstBytes = 4 << 20
	// settle is how long a log is quiet before what waits for more lines is told
	// without them.
	settle = 5 * time.Second
	// unused is how long nobody has written to a rotated file before an empty new
	// one is taken for its successor: programs go on writing to the old one until
	// they are told.
	unused = time.Minute
)

// Options are how logs are followed. The zero value is usable.
type Options struct {
	// Root is the directory below which the logs are; empty means the host's own.
	Root string
	// Host is the name of this host: rows of its own that have a short form of the
	// name get this one. Empty leaves names as they are logged.
	Host string
	// Location is the zone of times that are logged without; time.Local by default.
	Location *time.Location
	// Lookback is how old what is read at the very first start may be, 24 h by
	// default. No more than the last 4 MiB of each file are read then.
	Lookback time.Duration
	// Trust are users, besides root, who may place links on the way to the logs.
	Trust []uint32
	// Audited tells what keeps the kernel from auditing every program that starts,
	// nil is nothing (package kaudit's Check). An audit log without them would look
	// as well as one with. It may be nil.
	Audited func() error
	// Now is the clock; time.Now by default.
	Now func() time.Time
	// Logger may be nil.
	Logger hclog.Logger
}

// decoder understands the lines of one log.
type decoder interface {
	// Line takes one line; ok says whether it has the log's form.
	Line(line []byte, to *evidence.Batch) (ok bool)
	// Time is when a line was written, in seconds since 1970 UTC; 0 is unknown.
	Time(line []byte) int64
	// Flush tells what waits for more lines.
	Flush(to *evidence.Batch)
}

// settler is a decoder that knows whether it waits for more lines.
type settler interface{ Settled() bool }

// kind is a sort of log.
type kind struct {
	name  string
	paths []string
	// span is how many seconds of the log's own time its decoder holds something
	// back at most; 0 for one that is a settler.
	span int64
	// dated says that the decoder finds the year of a time by the day it was made on.
	dated bool
	// rules says that what is logged depends on audit rules.
	rules   bool
	decoder func(now time.Time, location *time.Location) decoder
	absent  evidence.Unavailable
}

type auditDecoder struct{ *auditlog.Decoder }

func (auditDecoder) Time(line []byte) int64 { return auditlog.Time(line) }

// Source follows the logs of one kind. It is an engine's source.
type Source struct {
	kind kind
	opts Options

	mu     sync.Mutex
	files  []*follower
	cursor string // that the followers stand at
	valid  bool   // they do
	turn   int    // which file is read first
	buf    []byte // of the scanner

	asked   time.Time // when Audited was
	unruled error     // what it said
}

// askEvery is how often Audited is asked.
const askEvery = time.Minute

// NewAudit follows the log of the audit daemon.
func NewAudit(o Options) *Source {
	return newSource(kind{
		name: auditlog.Source, paths: []string{"/var/log/audit/audit.log"}, span: 4, rules: true,
		decoder: func(time.Time, *time.Location) decoder { return auditDecoder{auditlog.NewDecoder()} },
		absent: evidence.Unavailable{Detail: "there is no /var/log/audit/audit.log: no audit daemon writes one",
			Remedy: "install auditd, with a rule such as -a always,exit -F arch=b64 -S execve,execveat; or turn on osquery's process_events"},
	}, o)
}

// NewSyslog follows the logs of syslog.
func NewSyslog(o Options) *Source {
	return newSource(kind{
		name: syslog.Source, paths: []string{"/var/log/auth.log", "/var/log/secure", "/var/log/syslog", "/var/log/messages"}, span: 8, dated: true,
		decoder: func(now time.Time, location *time.Location) decoder { return syslog.NewDecoder(now, location) },
		absent: evidence.Unavailable{Detail: "there is no auth.log, secure, syslog or messages in /var/log: the journal alone keeps what programs report",
			Remedy: "install rsyslog and set ForwardToSyslog=yes in journald.conf; to look into the journal: journalctl -o export | rollcall query --from - SQL"},
	}, o)
}

// NewPackages follows the logs of package managers.
func NewPackages(o Options) *Source {
	return newSource(kind{
		name: packagelog.Source, paths: []string{"/var/log/dpkg.log", "/var/log/apt/history.log", "/var/log/yum.log", "/var/log/dnf.rpm.log"}, dated: true,
		decoder: func(now time.Time, location *time.Location) decoder { return packagelog.NewDecoder(now, location) },
		absent:  evidence.Unavailable{Detail: "there is no log of dpkg, apt, yum or dnf in /var/log"},
	}, o)
}

func newSource(k kind, o Options) *Source {
	o.Root = strings.TrimRight(o.Root, "/")
	if o.Location == nil {
		o.Location = time.Local
	}
	if o.Lookback <= 0 {
		o.Lookback = 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	s := &Source{kind: k, opts: o}
	for _, p := range k.paths {
		s.files = append(s.files, &follower{path: p, source: s})
	}
	return s
}

// Name is the source's name: "auditlog", "syslog" or "package_log".
func (s *Source) Name() string { return s.kind.name }

// Close lets go of the files that are open. Reading opens them again.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.letGo())
	}
	return errors.Join(errs...)
}

// Read returns what was logged since cursor, at most limit rows (0 means 10,000),
// but for those that one line completes together. An empty cursor begins at most
// Lookback and 4 MiB before the end of each file, and a gap says so if something
// lies before that.
//
// The error is an *evidence.Unavailable when there is no log and when none can be
// read. It also is one when only some of them can be read, or when the log is no
// evidence of programs for want of rules: then the batch is to be used.
func (s *Source) Read(ctx context.Context, cursor string, limit int) (evidence.Batch, error) {
	if !supported {
		return evidence.Batch{}, &evidence.Unavailable{State: evidence.StateOff, Detail: "these logs are those of Linux"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit <= 0 || limit > maxRows {
		limit = maxRows
	}
	var b evidence.Batch
	now := s.opts.Now()
	if !s.valid || cursor != s.cursor {
		if err := s.rewind(cursor); err != nil {
			b.Gaps = append(b.Gaps, evidence.Gap{From: now.Add(-s.opts.Lookback).Unix(), To: now.Unix(),
				Reason: fmt.Sprintf("the stored position could not be read (%v): reading began anew", err)})
		}
	}
	s.valid = false
	sc := &scene{tree: pkgfiles.New(s.opts.Root, pkgfiles.Options{Trust: s.opts.Trust}), now: now}
	defer sc.close()
	var troubles []error
	readable := 0
	first := s.turn % len(s.files)
	for i := range s.files {
		f := s.files[(first+i)%len(s.files)]
		room := limit - rows(&b)
		if room <= 0 {
			b.More, s.turn = true, first+i
			break
		}
		q := quota{bytes: readBytes / int64(len(s.files)), rows: max(room/(len(s.files)-i), 1)}
		more, err := f.read(ctx, sc, q, &b)
		switch {
		case ctx.Err() != nil:
			return evidence.Batch{}, fmt.Errorf("follow %s: %w", f.path, ctx.Err())
		case err == nil:
			readable++
		case !errors.Is(err, fs.ErrNotExist) || f.pos != nil:
			troubles = append(troubles, fmt.Errorf("%s: %w", f.path, plain(err)))
		}
		b.More = b.More || more
	}
	var err error
	if s.cursor, err = s.position(); err != nil {
		return evidence.Batch{}, err
	}
	b.Cursor, s.valid = s.cursor, true
	if s.kind.rules && s.opts.Audited != nil && readable > 0 && (s.asked.IsZero() || now.Sub(s.asked) >= askEvery || now.Before(s.asked)) {
		s.asked, s.unruled = now, s.opts.Audited()
	}
	return b, s.state(readable, troubles)
}

// plain leaves out what a path error repeats.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// state says what is wrong; nil is nothing.
func (s *Source) state(readable int, troubles []error) error {
	if len(troubles) == 0 {
		if readable > 0 {
			return s.unruled
		}
		u := s.kind.absent
		u.State = evidence.StateOff
		return &u
	}
	joined := errors.Join(troubles...)
	u := &evidence.Unavailable{State: evidence.StateFailed, Detail: "cannot read " + strings.ReplaceAll(joined.Error(), "\n", "; "), Remedy: "look at who owns the file and its directories"}
	if readable > 0 {
		u.State = evidence.StateDegraded
	}
	switch {
	case errors.Is(joined, fs.ErrPermission):
		u.Remedy = "run Rollcall as root, or let it read the file"
	case errors.Is(joined, fs.ErrNotExist):
		u.Remedy = "the log was there before: see whether what writes it still runs, and who removed it"
	case errors.Is(joined, errLink):
		u.Remedy = "replace the link by the log itself, or let root alone write to its directory"
	}
	return u
}

// rewind makes every follower stand where a cursor says.
func (s *Source) rewind(cursor string) error {
	at, err := parseCursor(cursor)
	for _, f := range s.files {
		f.rewind(at[f.path])
	}
	return err
}

// position is the cursor of where the followers stand.
func (s *Source) position() (string, error) {
	at := map[string]*position{}
	for _, f := range s.files {
		if f.pos != nil {
			at[f.path] = f.pos
		}
	}
	return cursorText(at)
}

// rows counts what is in a batch.
func rows(b *evidence.Batch) int {
	return len(b.Processes) + len(b.Installs) + len(b.Logons) + len(b.Connections) + len(b.Changes)
}

// scene is what the files look like during one Read.
type scene struct {
	tree   *pkgfiles.Tree
	now    time.Time
	opened []*os.File
}

func (sc *scene) close() {
	for _, f := range sc.opened {
		_ = f.Close() // only read from
	}
}

// quota is what one file may bring in one Read.
type quota struct {
	bytes int64
	rows  int
}
