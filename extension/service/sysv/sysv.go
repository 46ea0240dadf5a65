// Package sysv reads the services of a Linux host that systemd does not define:
// System V init scripts and their runlevel links, OpenRC scripts and runlevels,
// runit and s6 service directories, inittab and rc.local. It starts nothing.
//
// Scripts may be anybody's work: whatever is odd about one becomes a Note.
package sysv

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/cmdline/posix"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
)

// Kind is the system that starts a service.
type Kind string

// The kinds.
const (
	SysV    Kind = "sysv"
	OpenRC  Kind = "openrc"
	Runit   Kind = "runit"
	S6      Kind = "s6"
	Inittab Kind = "inittab"
	Upstart Kind = "upstart"
)

// The bounds of a scan.
const (
	maxScript   = 256 << 10
	maxServices = 5000
	maxEntries  = 5000
	maxNotes    = 100
	maxLinks    = 64
	settle      = 100 * time.Millisecond
	// maxReading is how long one scan reads scripts it does not know as a shell does.
	maxReading = 3 * time.Second
)

// Service is one service.
type Service struct {
	Name        string
	Kind        Kind
	Description string
	// Path is the script, Real where it leads; Real is empty when it isn't there.
	Path string
	Real string
	File files.Info
	// LinkTarget is the text of the link, when Path is one.
	LinkTarget string
	// Provides and DefaultStart are the script's own header (LSB or chkconfig).
	Provides     []string
	DefaultStart []string
	// Runlevels are those it is started in, Links what does that.
	Runlevels []string
	Links     []string
	Enabled   bool
	// Program is what the script starts and Args its arguments, as far as the text
	// tells without running it; OnDisk whether it is there.
	Program string
	Args    string
	Account string
	OnDisk  evidence.Tristate
	// Runs are further commands the script's text starts.
	Runs []Run
	// Sum tells one text of the script from another; 0 when it could not be read.
	Sum uint64
	// Writable are files and directories of it that someone other than root can
	// write or replace.
	Writable []string
}

// Note is something that could not be read, or was left out.
type Note struct {
	Path   string
	Detail string
}

// Result is what one scan found. It is shared and must not be changed.
type Result struct {
	Services []Service
	Notes    []Note
	Changed  bool
	// Unlisted are directories that could not be listed, or not wholly: what is not
	// told of them may be there. Full says that there are more services than are kept.
	Unlisted []string
	Full     bool
}

// Options of a scan.
type Options struct {
	// Trust are users that count as root for the question who can write a file.
	Trust []uint32
}

// Scanner scans again and again and reads only when something changed. It is safe
// for concurrent use.
type Scanner struct {
	root string
	o    Options

	mu    sync.Mutex
	last  *Result
	trace map[string]files.Seen
	// looked is what the last scan looked at; trace is the same, or nil when it
	// cannot tell the next change.
	looked map[string]files.Seen
	// runs are the commands of scripts by their text.
	runs map[[sha256.Size]byte]commands
}

// commands are those of one text; problem says why they are not all.
type commands struct {
	runs    []Run
	problem string
}

// NewScanner returns a Scanner of the host below root ("/" is this host).
func NewScanner(root string, o Options) *Scanner { return &Scanner{root: root, o: o} }

// Scan reads the services below root once.
func Scan(ctx context.Context, root string, o Options) (*Result, error) {
	return NewScanner(root, o).Scan(ctx)
}

// Scan reads the services when anything changed since the last time.
func (sc *Scanner) Scan(ctx context.Context) (*Result, error) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if sc.last != nil && sc.trace != nil && files.Unchanged(sc.root, sc.trace) {
		r := *sc.last
		r.Changed = false
		return &r, nil
	}
	began := time.Now().Add(-settle).UnixNano()
	s := &scan{
		ctx: ctx, tree: files.New(sc.root, files.Options{Trust: sc.o.Trust}), result: &Result{Changed: true},
		known: sc.runs, runs: map[[sha256.Size]byte]commands{}, until: time.Now().Add(maxReading),
	}
	for _, part := range []func(){s.initScripts, s.rcLocal, s.runit, s.s6, s.inittab, s.upstart} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part()
	}
	slices.SortStableFunc(s.result.Services, func(a, b Service) int {
		if c := strings.Compare(string(a.Kind), string(b.Kind)); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	sc.last, sc.trace, sc.looked, sc.runs = s.result, s.tree.Trace(), s.tree.Trace(), s.runs
	if s.late {
		sc.trace = nil // the next scan goes on
	}
	for _, seen := range sc.trace {
		if (!seen.Info.IsDir() || seen.Listed) && seen.Info.CTime >= began && seen.Info.CTime <= time.Now().UnixNano() {
			sc.trace = nil
			break
		}
	}
	return s.result, nil
}

// Looked is every path the last scan looked at, for whoever waits for one of them
// to change. It is shared and must not be changed.
func (sc *Scanner) Looked() map[string]files.Seen {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return sc.looked
}

type scan struct {
	ctx    context.Context
	tree   *files.Tree
	result *Result
	// known and runs are the commands of scripts by their text, of the scan before
	// and of this one.
	known, runs map[[sha256.Size]byte]commands
	// until is when reading scripts as a shell ends; late says that it did, for this
	// time.
	until time.Time
	late  bool
}

func (s *scan) note(p, format string, args ...any) {
	if len(s.result.Notes) < maxNotes {
		s.result.Notes = append(s.result.Notes, Note{p, fmt.Sprintf(format, args...)})
	}
}

// list lists a directory, sorted; real is where it lies.
func (s *scan) list(p string) (entries []files.Entry, real string) {
	entries, at, more, err := s.tree.ReadDir(p, maxEntries)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.note(p, "not listed: %v", err)
		s.unlisted(p, err)
	}
	if more {
		s.unlisted(p, nil)
		s.note(p, "more than %d names: the others are not read", maxEntries)
	}
	slices.SortFunc(entries, func(a, b files.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, at.Path
}

func (s *scan) add(v Service) {
	switch {
	case len(s.result.Services) < maxServices:
		s.result.Services = append(s.result.Services, v)
	case !s.result.Full:
		s.result.Full = true
		s.note(v.Path, "more than %d services: the others are left out", maxServices)
	}
}

// unlisted remembers a directory whose names are not known. What can have none of
// an init's, such as a link that leads in a circle, is no such.
func (s *scan) unlisted(p string, err error) {
	for _, settled := range []error{fs.ErrNotExist, fs.ErrInvalid, files.ErrRemote, files.ErrLoop, files.ErrPath} {
		if errors.Is(err, settled) {
			return
		}
	}
	if len(s.result.Unlisted) < maxNotes {
		s.result.Unlisted = append(s.result.Unlisted, p)
	}
}

// script reads a script: where it leads, its text, who can write it. ok is false
// for what no init system runs.
func (s *scan) script(v *Service) (text string, ok bool) {
	if at, err := s.tree.Parent(v.Path, 0); err == nil && at.Info.IsLink() {
		v.LinkTarget, _ = s.tree.Readlink(at.Path)
	}
	at, err := s.tree.Resolve(v.Path, 0)
	mark(v, at.Writable)
	if err != nil {
		s.note(v.Path, "%v", err)
		return "", false
	}
	v.Real, v.File = at.Path, at.Info
	if at.Info.IsDir() {
		return "", false
	}
	b, _, cut, err := s.tree.ReadResolved(at, maxScript)
	if err != nil {
		if !at.Info.IsNull() {
			s.note(v.Path, "%v", err)
		}
		return "", false
	}
	if cut {
		s.note(v.Path, "longer than %d bytes: the rest is not read", maxScript)
	}
	s.read(v, b)
	return string(b), true
}

// read tells the text of a script apart and finds the commands in it.
func (s *scan) read(v *Service, b []byte) {
	sum := sha256.Sum256(b)
	v.Sum = binary.LittleEndian.Uint64(sum[:])
	c, ok := s.runs[sum]
	if !ok {
		c, ok = s.known[sum]
	}
	if !ok && time.Now().After(s.until) {
		s.late = true
		s.note(v.Path, "its commands are not read yet: other scripts took too long")
		return
	}
	if !ok {
		var err error
		c.runs, err = runsOf(string(b))
		if errors.Is(err, posix.ErrBudget) || errors.Is(err, posix.ErrNesting) || errors.Is(err, posix.ErrTooLong) {
			c.problem = fmt.Sprintf("not all of its commands are read: %v", err)
		}
	}
	s.runs[sum] = c
	if c.problem != "" {
		s.note(v.Path, "%s", c.problem)
	}
	v.Runs = slices.Clone(c.runs)
}

// program looks the program of a service up, and those its script runs besides.
func (s *scan) program(v *Service) {
	v.Runs = slices.DeleteFunc(v.Runs, func(r Run) bool { return r.Path == v.Program && !handed(path.Base(r.Path)) })
	for i := range v.Runs {
		r := &v.Runs[i]
		if strings.ContainsAny(r.Path, "$`*?[") {
			continue // only the shell knows
		}
		at, err := s.tree.Resolve(r.Path, 0)
		r.Writable = at.Writable
		mark(v, at.Writable)
		switch {
		case err == nil:
			r.OnDisk = evidence.Yes
		case errors.Is(err, fs.ErrNotExist) && !strings.HasPrefix(r.Path, "/usr/") && !usualPlace(r.Path):
			// Scripts ask for tools that may not be there before they run them.
			r.OnDisk = evidence.No
		}
	}
	if !strings.HasPrefix(v.Program, "/") {
		return
	}
	at, err := s.tree.Resolve(v.Program, 0)
	mark(v, at.Writable)
	switch {
	case err == nil:
		v.OnDisk = evidence.Yes
	case errors.Is(err, fs.ErrNotExist):
		v.OnDisk = evidence.No
	}
}

func mark(v *Service, p string) {
	if p != "" && len(v.Writable) < 16 && !slices.Contains(v.Writable, p) {
		v.Writable = append(v.Writable, p)
	}
}

// initScripts reads /etc/init.d, which System V init and OpenRC share.
func (s *scan) initScripts() {
	links := s.rcLinks()
	levels := s.openrcLevels()
	seen := map[string]bool{}
	for _, dir := range []string{"/etc/init.d", "/etc/rc.d/init.d"} {
		at, err := s.tree.Resolve(dir, 0)
		if err != nil || seen[at.Path] {
			continue
		}
		seen[at.Path] = true
		entries, real := s.list(dir)
		for _, e := range entries {
			name := e.Name
			started := links[join(real, name)]
			if name == "README" || name == "functions" || name == "functions.sh" || strings.HasPrefix(name, ".depend") || e.Dir {
				continue
			}
			v := Service{Name: name, Kind: SysV, Path: join(dir, name)}
			text, ok := s.script(&v)
			if !ok && v.Real == "" && v.LinkTarget == "" {
				continue
			}
			if ok && v.File.Mode&0o111 == 0 && len(started) == 0 {
				continue // no init runs it
			}
			h := parseScript(text)
			h.apply(&v)
			if v.Kind == OpenRC {
				v.Runlevels = levels[name]
				for _, l := range v.Runlevels {
					v.Links = append(v.Links, "/etc/runlevels/"+l+"/"+name)
				}
			} else {
				for _, l := range started {
					if len(v.Links) < maxLinks {
						v.Links = append(v.Links, l.path)
					}
					if !slices.Contains(v.Runlevels, l.level) {
						v.Runlevels = append(v.Runlevels, l.level)
					}
				}
			}
			v.Enabled = len(v.Runlevels) > 0
			s.program(&v)
			s.add(v)
		}
	}
	s.strayLinks(links, seen)
}

type rcLink struct{ level, path, name string }

// rcLinks are the start links of every runlevel, by the script they lead to.
func (s *scan) rcLinks() map[string][]rcLink {
	links := map[string][]rcLink{}
	seen := map[string]bool{}
	for _, base := range []string{"/etc", "/etc/rc.d"} {
		for _, level := range []string{"0", "1", "2", "3", "4", "5", "6", "S"} {
			dir := base + "/rc" + level + ".d"
			entries, real := s.list(dir)
			if real == "" || seen[real] {
				continue
			}
			seen[real] = true
			for _, e := range entries {
				if len(e.Name) < 4 || e.Name[0] != 'S' || e.Name[1] < '0' || e.Name[1] > '9' || e.Name[2] < '0' || e.Name[2] > '9' {
					continue
				}
				p := join(real, e.Name)
				to, err := s.tree.Readlink(p)
				switch {
				case err != nil:
					to = p // a script of its own
				case !strings.HasPrefix(to, "/"):
					to = join(real, to)
				}
				if at, err := s.tree.Parent(to, 0); err == nil || errors.Is(err, fs.ErrNotExist) {
					to = at.Path
				}
				links[to] = append(links[to], rcLink{level, join(dir, e.Name), e.Name[3:]})
			}
		}
	}
	return links
}

// strayLinks are start links to scripts that lie elsewhere than init scripts do.
func (s *scan) strayLinks(links map[string][]rcLink, dirs map[string]bool) {
	var all []string
	for to := range links {
		if !dirs[path.Dir(to)] {
			all = append(all, to)
		}
	}
	slices.Sort(all)
	for _, to := range all {
		first := links[to][0]
		v := Service{Name: first.name, Kind: SysV, Path: first.path, Enabled: true}
		for _, l := range links[to] {
			if len(v.Links) < maxLinks {
				v.Links = append(v.Links, l.path)
			}
			if !slices.Contains(v.Runlevels, l.level) {
				v.Runlevels = append(v.Runlevels, l.level)
			}
		}
		if text, ok := s.script(&v); ok {
			parseScript(text).apply(&v)
		}
		v.Kind = SysV
		s.program(&v)
		s.add(v)
	}
}

// openrcLevels are the runlevels each OpenRC service is in.
func (s *scan) openrcLevels() map[string][]string {
	levels := map[string][]string{}
	runlevels, _ := s.list("/etc/runlevels")
	for _, l := range runlevels {
		if !l.Dir && !l.Link {
			continue
		}
		entries, _ := s.list("/etc/runlevels/" + l.Name)
		for _, e := range entries {
			if !e.Dir {
				levels[e.Name] = append(levels[e.Name], l.Name)
			}
		}
	}
	return levels
}

// rcLocal reads the script that runs after all others.
func (s *scan) rcLocal() {
	seen := map[string]bool{}
	for _, p := range []string{"/etc/rc.local", "/etc/rc.d/rc.local"} {
		at, err := s.tree.Resolve(p, 0)
		if err != nil || seen[at.Path] {
			continue
		}
		seen[at.Path] = true
		v := Service{Name: "rc.local", Kind: SysV, Path: p, Description: "commands run at the end of booting"}
		if _, ok := s.script(&v); !ok {
			continue
		}
		v.Enabled = v.File.Mode&0o111 != 0
		s.program(&v)
		s.add(v)
	}
	for _, dir := range []string{"/etc/local.d"} { // OpenRC's "local"
		entries, _ := s.list(dir)
		for _, e := range entries {
			if e.Dir || !strings.HasSuffix(e.Name, ".start") {
				continue
			}
			v := Service{Name: e.Name, Kind: OpenRC, Path: join(dir, e.Name), Description: "commands run at the end of booting"}
			if _, ok := s.script(&v); ok {
				v.Enabled = v.File.Mode&0o111 != 0
				s.program(&v)
				s.add(v)
			}
		}
	}
}

// runit reads service directories: those in use are enabled.
func (s *scan) runit() {
	enabled := map[string][]string{}
	used := map[string]bool{}
	for _, dir := range []string{"/etc/runit/runsvdir/default", "/etc/runit/runsvdir/current", "/etc/service", "/var/service", "/service"} {
		entries, real := s.list(dir)
		if used[real] {
			continue
		}
		used[real] = true
		for _, e := range entries {
			if e.Name[0] == '.' || (!e.Dir && !e.Link) {
				continue
			}
			if at, err := s.tree.Resolve(join(real, e.Name), 0); err == nil && at.Info.IsDir() {
				enabled[at.Path] = append(enabled[at.Path], join(dir, e.Name))
			} else if err != nil {
				s.note(join(dir, e.Name), "%v", err)
			}
		}
	}
	seen := map[string]bool{}
	one := func(name, dir, real string) {
		if seen[real] {
			return
		}
		seen[real] = true
		run := join(dir, "run")
		if at, err := s.tree.Parent(run, 0); err != nil || at.Info.IsDir() {
			return
		}
		v := Service{Name: name, Kind: Runit, Path: run, Links: enabled[real]}
		text, _ := s.script(&v)
		v.Program, v.Args, v.Account = execLine(text)
		_, err := s.tree.Lstat(join(real, "down"))
		v.Enabled = len(v.Links) > 0 && err != nil
		s.program(&v)
		s.add(v)
	}
	for _, dir := range []string{"/etc/sv", "/usr/share/runit/sv"} {
		entries, _ := s.list(dir)
		for _, e := range entries {
			if at, err := s.tree.Resolve(join(dir, e.Name), 0); err == nil && at.Info.IsDir() && e.Name[0] != '.' {
				one(e.Name, join(dir, e.Name), at.Path)
			}
		}
	}
	var rest []string
	for real := range enabled {
		rest = append(rest, real)
	}
	slices.Sort(rest)
	for _, real := range rest {
		one(path.Base(enabled[real][0]), enabled[real][0], real)
	}
}

// s6 reads the service directories of s6 and s6-rc.
func (s *scan) s6() {
	for _, dir := range []string{"/run/service", "/etc/s6/sv", "/etc/s6-overlay/s6-rc.d", "/etc/services.d"} {
		entries, _ := s.list(dir)
		for _, e := range entries {
			if e.Name[0] == '.' || (!e.Dir && !e.Link) {
				continue
			}
			run := join(join(dir, e.Name), "run")
			if at, err := s.tree.Parent(run, 0); err != nil || at.Info.IsDir() {
				continue
			}
			v := Service{Name: e.Name, Kind: S6, Path: run, Enabled: dir == "/run/service" || dir == "/etc/services.d"}
			text, _ := s.script(&v)
			v.Program, v.Args, v.Account = execLine(text)
			s.program(&v)
			s.add(v)
		}
	}
}

// inittab reads the programs init itself starts.
func (s *scan) inittab() {
	at, err := s.tree.Resolve("/etc/inittab", 0)
	if err != nil {
		return
	}
	b, _, _, err := s.tree.ReadResolved(at, maxScript)
	if err != nil {
		s.note("/etc/inittab", "%v", err)
		return
	}
	for _, e := range parseInittab(string(b)) {
		v := Service{
			Name: e.id, Kind: Inittab, Path: "/etc/inittab", Real: at.Path, File: at.Info, Description: e.action, Program: e.program, Args: e.args,
			Enabled: e.action != "off",
		}
		for _, r := range e.levels {
			v.Runlevels = append(v.Runlevels, string(r))
		}
		mark(&v, at.Writable)
		s.program(&v)
		s.add(v)
	}
}

// upstart reads the jobs of the init that Ubuntu 14.04 and RHEL 6 have.
func (s *scan) upstart() {
	entries, _ := s.list("/etc/init")
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name, ".conf")
		if !ok || e.Dir {
			continue
		}
		v := Service{Name: name, Kind: Upstart, Path: "/etc/init/" + e.Name}
		text, ok := s.script(&v)
		if !ok {
			continue
		}
		v.Description, v.Program, v.Args, v.Enabled = parseUpstart(text)
		s.program(&v)
		s.add(v)
	}
}

func join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}
