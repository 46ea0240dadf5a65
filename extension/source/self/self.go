// Package self watches what Rollcall itself stands on: its program, configuration,
// rules and state, what makes osquery load it, and the kernel's audit rules. Whoever
// changes those behind a package manager's back blinds what watches the host, so that
// a change is evidence like the install of a service.
//
// Files are looked at, not opened, as long as nothing about them has changed, and no
// link is followed. The first look learns; what was learned is the cursor, so that a
// change made while Rollcall did not run is told too.
package self

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/trust"
)

// Name is the source's name in rows and health.
const Name = "self"

// Kind is the kind of the installs it tells of, and Factor the sign that a score
// counts.
const (
	Kind   = "rollcall"
	Factor = "self_tampering"
)

const (
	lookEvery = 30 * time.Second
	// maxHeld is how long a change of a package's file waits for the package manager to
	// say that it made it.
	maxHeld = 2 * time.Minute
	// shownFor is how long health shows a change.
	shownFor = time.Hour
	// maxRules bounds the files of the rules' directory, maxHash the bytes of one file
	// that are hashed.
	maxRules = 1000
	maxHash  = 128 << 20
	// maxTold is how many changes one look tells; more of them at once are counted.
	maxTold = 50
	// maxCursor bounds a cursor that is read back.
	maxCursor = 1 << 20
)

// Look is what of a file is looked at.
type Look int

// The ways to look at a file.
const (
	Content   Look = iota // what is in it, whose it is, who may do what with it
	Identity              // that it is the same one, whose and not shorter: it is written all the time
	Directory             // a directory's owner and permissions, and that it is the same one
	Listing               // as Directory, and the content of each file in it
)

// Item is a file or directory to watch.
type Item struct {
	Path string
	// What it is to Rollcall, in words ("configuration").
	What string
	Look Look
	// Scale weakens the sign: what people change in their daily work counts less. 0
	// means 1.
	Scale float64
	// Guarded says that only root (Windows: SYSTEM and the administrators) may be able to
	// change it, and that nobody else looks.
	Guarded bool
}

// Places are where Rollcall's own things are; empty ones are not watched.
type Places struct {
	Program  string // the running program's file
	Config   string
	RulesDir string
	IOCFiles []string
	StateDir string
	Database string
}

// Items are what to watch on this platform. Editing configuration and rules is an
// administrator's work and counts for less.
func Items(p Places) []Item {
	const edited = 0.6
	all := []Item{
		{p.Program, "program", Content, 1, true},
		{p.Config, "configuration", Content, edited, false},
		{p.RulesDir, "rules", Listing, edited, false},
		{p.StateDir, "state directory", Directory, 1, false},
		{p.Database, "database", Identity, 1, false},
	}
	for _, f := range p.IOCFiles {
		all = append(all, Item{f, "indicators", Content, edited, false})
	}
	dir := "/etc/osquery"
	switch runtime.GOOS {
	case "windows":
		dir = filepath.Join(os.Getenv("ProgramFiles"), "osquery")
	case "darwin":
		dir = "/var/osquery"
	}
	all = append(all, Item{filepath.Join(dir, "extensions.load"), "load file of osquery", Content, 1, true}, Item{filepath.Join(dir, "osquery.flags"), "flags of osquery", Content, 0.8, true})
	return slices.DeleteFunc(all, func(i Item) bool { return i.Path == "" })
}

// Audit is the state of the kernel's audit.
type Audit struct {
	Enabled bool `json:"e"`
	Rules   int  `json:"r"`
}

// Options is what a Source is made of.
type Options struct {
	Items []Item
	// Packaged names the package a file belongs to and whether the file is what that
	// package brought; nil asks this host's package databases.
	Packaged func(ctx context.Context, path string) (name string, verified bool)
	// Audit asks the kernel; nil asks this host's, where that may be asked.
	Audit func() (Audit, error)
	// Every is the time between two looks, 30 s when 0.
	Every time.Duration
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Source tells of changes to what Rollcall stands on. It is safe for concurrent use.
type Source struct {
	o Options

	mu     sync.Mutex
	cursor string
	known  *memory
	looked time.Time
	held   map[string]time.Time // changes of packages' files, since when
	// fewer is since when the audit is weaker than it was: rules are loaded anew by
	// taking all away first.
	fewer time.Time
	// told is when a change was told last, and said which.
	told time.Time
	said evidence.Change
	// state is what the last look said of health.
	state error
}

// memory is what was learned, by path.
type memory struct {
	Files map[string]mark `json:"f"`
	Audit *Audit          `json:"a,omitempty"`
}

// New returns a Source. It looks at nothing before the first Read.
func New(o Options) *Source {
	if o.Packaged == nil {
		o.Packaged = packaged
	}
	if o.Audit == nil {
		o.Audit = kernelAudit
	}
	if o.Every <= 0 {
		o.Every = lookEvery
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Source{o: o, held: map[string]time.Time{}}
}

// Name implements engine.Source.
func (*Source) Name() string { return Name }

// Patient implements engine.Patient: a later look shows what an earlier one would.
func (*Source) Patient() bool { return true }

// Read implements engine.Source: the changes since the look that cursor is of.
func (s *Source) Read(ctx context.Context, cursor string, _ int) (evidence.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	if s.known == nil || cursor != s.cursor {
		s.known, s.cursor, s.looked = parse(cursor), cursor, time.Time{}
		clear(s.held)
	}
	if since := now.Sub(s.looked); since >= 0 && since < s.o.Every {
		return evidence.Batch{Cursor: cursor}, s.state
	}
	s.looked = now
	learning := s.known.Files == nil
	seen := s.look(ctx)
	if err := ctx.Err(); err != nil {
		return evidence.Batch{}, err
	}
	b := evidence.Batch{Read: int64(len(seen))}
	next := &memory{Files: seen}
	if !learning {
		s.compare(ctx, next, now, &b)
	}
	s.audit(next, now, &b)
	text, err := json.Marshal(next)
	if err != nil {
		return evidence.Batch{}, fmt.Errorf("write down what was seen: %w", err)
	}
	s.known, s.cursor = next, string(text)
	b.Cursor = s.cursor
	if len(b.Changes) > 0 {
		s.told, s.said = now, b.Changes[len(b.Changes)-1]
	}
	s.state = nil
	if !s.told.IsZero() && now.Sub(s.told) < shownFor && now.Sub(s.told) >= 0 {
		s.state = s.tampered()
	} else if problem := s.unguarded(); problem != "" {
		s.state = &evidence.Unavailable{State: evidence.StateDegraded, Detail: problem, Remedy: "leave it to root, on Windows to SYSTEM and the administrators"}
	}
	return b, s.state
}

// unguarded says which of the guarded files others can change, empty when none.
func (s *Source) unguarded() string {
	for _, it := range s.o.Items {
		if !it.Guarded {
			continue
		}
		f, err := os.OpenFile(it.Path, openFlags, 0)
		if err != nil {
			continue // what is not there, or a link, is told as a change
		}
		err = trust.File(f)
		f.Close()
		if err != nil {
			return fmt.Sprintf("%s %s is not safe: %v", subject(it), it.Path, err)
		}
	}
	return ""
}

// subject is what an item is called.
func subject(it Item) string {
	if strings.HasSuffix(it.What, "osquery") || it.Path == auditRules {
		return "the " + it.What
	}
	return "Rollcall's " + it.What
}

// tampered is the state after a change.
func (s *Source) tampered() error {
	return &evidence.Unavailable{State: evidence.StateDegraded,
		Detail: fmt.Sprintf("%s was changed at %s: %s", s.said.Subject, time.Unix(s.said.Time, 0).UTC().Format(time.RFC3339), s.said.Detail),
		Remedy: "SELECT * FROM service_install_events WHERE kind = 'rollcall'"}
}

// parse reads a cursor; one that is none learns anew.
func parse(cursor string) *memory {
	m := &memory{}
	if cursor == "" || len(cursor) > maxCursor || json.Unmarshal([]byte(cursor), m) != nil {
		return &memory{}
	}
	return m
}

// look looks at every item, and at the files of listings.
func (s *Source) look(ctx context.Context) map[string]mark {
	seen := map[string]mark{}
	for _, it := range s.o.Items {
		if _, twice := seen[it.Path]; twice || ctx.Err() != nil {
			continue
		}
		m := lookAt(ctx, it.Path, it.Look, s.known.Files[it.Path])
		seen[it.Path] = m
		if it.Look != Listing || m.Kind != kindDir {
			continue
		}
		for _, name := range names(it.Path) {
			p := filepath.Join(it.Path, name)
			seen[p] = lookAt(ctx, p, Content, s.known.Files[p])
		}
	}
	return seen
}

// item is what a path is to Rollcall: an item, or a file of a listing.
func (s *Source) item(path string) (it Item, ok bool) {
	for _, it := range s.o.Items {
		switch {
		case it.Path == path:
			return it, true
		case it.Look == Listing && filepath.Dir(path) == filepath.Clean(it.Path):
			return Item{Path: path, What: it.What, Look: Content, Scale: it.Scale}, true
		}
	}
	return Item{}, false
}

// compare tells what is other than it was known. What a package manager did is learned
// and not told; what it may be doing waits, and stays in next as it was.
func (s *Source) compare(ctx context.Context, next *memory, now time.Time, b *evidence.Batch) {
	paths := make([]string, 0, len(next.Files))
	for p := range next.Files {
		paths = append(paths, p)
	}
	for p := range s.known.Files {
		if _, there := next.Files[p]; !there {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	more := 0
	defer func() {
		if more > 0 {
			last := &b.Changes[len(b.Changes)-1]
			last.Detail += fmt.Sprintf(", and %d more files were changed", more)
		}
	}()
	for _, p := range paths {
		it, ok := s.item(p)
		if !ok {
			continue // it is watched no more
		}
		was, known := s.known.Files[p]
		is, there := next.Files[p]
		if !known {
			if dir, listed := s.known.Files[filepath.Dir(p)]; !listed || dir.Kind != kindDir {
				continue // it is watched only now
			}
			was = mark{Kind: kindNone}
		}
		if !there {
			is = mark{Kind: kindNone}
		}
		changes := was.changes(is, it.Look)
		if len(changes) == 0 {
			delete(s.held, p)
			continue
		}
		owner := ""
		if it.Look == Content {
			var verified bool
			if owner, verified = s.o.Packaged(ctx, p); verified {
				delete(s.held, p)
				continue
			}
		}
		if owner != "" {
			since, held := s.held[p]
			if !held {
				since = now
				s.held[p] = now
			}
			if wait := now.Sub(since); wait >= 0 && wait < maxHeld {
				next.Files[p] = was
				continue
			}
		}
		delete(s.held, p)
		if len(b.Installs) >= maxTold {
			more++
			continue
		}
		s.tell(it, is, owner, changes, now, b)
	}
}

// tell makes evidence of a change.
func (s *Source) tell(it Item, is mark, owner string, changes []string, now time.Time, b *evidence.Batch) {
	at, basis := now.Unix(), evidence.BasisFirstSeen
	if c := is.CTime / int64(time.Second); c > 0 && c <= at {
		at, basis = c, evidence.BasisChange
	}
	what := subject(it)
	in := evidence.Install{
		Time: at, TimeBasis: basis, Platform: evidence.ParsePlatform(runtime.GOOS), Action: evidence.Modified, Kind: Kind,
		Name: filepath.Base(it.Path), DisplayName: what, UnitPath: it.Path, Changes: changes, SHA256: is.Sum, Package: owner,
		Signs:  []evidence.Sign{{Factor: Factor, Evidence: what + " was changed: " + strings.Join(changes, ", "), Scale: it.Scale}},
		Source: Name, EID: fmt.Sprintf("%d-%d", now.UnixNano(), len(b.Installs)),
	}
	if owner != "" {
		in.PackageVerified = evidence.No
	}
	b.Installs = append(b.Installs, in)
	b.Changes = append(b.Changes, evidence.Change{Time: at, Platform: in.Platform, Kind: evidence.ChangeAudit, Subject: what + " " + it.Path,
		Detail: strings.Join(changes, ", "), Source: Name, EID: in.EID})
}

// auditRules is what the kernel's audit is called where a path would be.
const auditRules = "audit rules"

// audit tells when the kernel's audit was switched off or has fewer rules, unless the
// next look finds it as it was: rules are loaded anew by taking all away first.
func (s *Source) audit(next *memory, now time.Time, b *evidence.Batch) {
	is, err := s.o.Audit()
	was := s.known.Audit
	if err != nil {
		next.Audit = was
		return
	}
	next.Audit = &is
	if was == nil || is.Enabled == was.Enabled && is.Rules >= was.Rules || is.Enabled && !was.Enabled {
		s.fewer = time.Time{}
		return
	}
	if s.fewer.IsZero() {
		s.fewer = now
		next.Audit = was
		return
	}
	s.fewer = time.Time{}
	var changes []string
	if was.Enabled && !is.Enabled {
		changes = append(changes, "enabled: 1 -> 0")
	}
	if is.Rules < was.Rules {
		changes = append(changes, fmt.Sprintf("rules: %d -> %d", was.Rules, is.Rules))
	}
	s.tell(Item{Path: auditRules, What: "kernel's audit", Scale: 1}, mark{}, "", changes, now, b)
}
