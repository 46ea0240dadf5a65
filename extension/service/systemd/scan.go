package systemd

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
)

// The bounds of a scan.
const (
	defaultUnits   = 20000
	defaultEntries = 20000
	maxNotes       = 200
	maxDropIns     = 128
	maxCommands    = 256
	maxRead        = 256 << 20 // bytes of unit files read by one scan
	maxMerged      = 32 << 20  // bytes of settings of one scan
	// settle is how long a file must have been left alone before its times can be
	// trusted to show the next change: file systems stamp in ticks.
	settle = 100 * time.Millisecond
)

// Scanner scans again and again and reads only what changed. It is safe for
// concurrent use.
type Scanner struct {
	root string
	o    Options

	mu    sync.Mutex
	units map[string]cachedFile
	last  *Result
	trace map[string]files.Seen
	// looked is what the last scan looked at; trace is the same, or nil when it
	// cannot tell the next change.
	looked map[string]files.Seen
}

type cachedFile struct {
	info files.Info
	file *unitFile
	used bool
}

// NewScanner returns a Scanner of the host below root.
func NewScanner(root string, o Options) *Scanner {
	if o.MaxUnits <= 0 {
		o.MaxUnits = defaultUnits
	}
	if o.MaxEntries <= 0 {
		o.MaxEntries = defaultEntries
	}
	return &Scanner{root: root, o: o, units: map[string]cachedFile{}}
}

// Scan reads what changed since the last time. The Result is shared: it must not
// be changed.
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
		ctx: ctx, sc: sc, tree: files.New(sc.root, files.Options{Trust: sc.o.Trust}), result: &Result{Changed: true},
		lists: map[string][]files.Entry{}, programs: map[programKey]program{}, began: began,
	}
	if _, err := s.tree.Lstat("/"); err != nil {
		return nil, fmt.Errorf("scan units below %s: %w", sc.root, err)
	}
	s.facts()
	if err := s.run(); err != nil {
		return nil, fmt.Errorf("scan units below %s: %w", sc.root, err)
	}
	for p, c := range sc.units {
		if !c.used {
			delete(sc.units, p)
			continue
		}
		c.used = false
		sc.units[p] = c
	}
	sc.last, sc.trace, sc.looked = s.result, s.tree.Trace(), s.tree.Trace()
	for _, seen := range sc.trace {
		if (!seen.Info.IsDir() || seen.Listed) && max(seen.Info.CTime, seen.Info.MTime) >= began && seen.Info.CTime <= time.Now().UnixNano() {
			sc.trace = nil // too fresh to tell the next change by
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

// scan is one pass.
type scan struct {
	ctx    context.Context
	sc     *Scanner
	tree   *files.Tree
	result *Result
	began  int64

	lists    map[string][]files.Entry
	programs map[programKey]program
	read     int
	merged   int

	hostname, machineID string
}

func (s *scan) note(p, format string, args ...any) {
	if len(s.result.Notes) >= maxNotes {
		s.result.NotesLeftOut++
		return
	}
	s.result.Notes = append(s.result.Notes, Note{Path: p, Detail: fmt.Sprintf(format, args...)})
}

// dangling notes a name that leads to nothing.
func (s *scan) dangling(p, format string, args ...any) {
	if s.note(p, format, args...); s.result.NotesLeftOut == 0 {
		s.result.Notes[len(s.result.Notes)-1].Dangling = true
	}
}

// facts are what host-wide specifiers stand for.
func (s *scan) facts() {
	line := func(p string) string {
		b, _, err := s.tree.ReadFile(p, 4096)
		if err != nil {
			return ""
		}
		first, _, _ := strings.Cut(string(b), "\n")
		return strings.TrimSpace(first)
	}
	s.machineID = line("/etc/machine-id")
	s.hostname = s.sc.o.Hostname
	if s.hostname == "" && strings.Trim(s.sc.root, "/") == "" {
		if name, err := os.Hostname(); err == nil {
			s.hostname = name
		}
	}
	if s.hostname == "" {
		s.hostname = line("/etc/hostname")
	}
}

func (s *scan) run() error {
	views := []*view{{scope: System, dirs: systemDirs()}, {scope: User, dirs: userDirs("", "")}}
	for _, o := range s.owners() {
		own := false
		for _, base := range []string{path.Join("/", o.Home, ".config/systemd"), path.Join("/", o.Home, ".local/share/systemd"), o.runtime + "/systemd"} {
			if o.Home == "" && !strings.HasPrefix(base, "/run/") {
				continue
			}
			if _, err := s.tree.Resolve(base, o.UID); err == nil {
				own = true
			} else if errors.Is(err, files.ErrRemote) {
				s.note(base, "not read: %v", err)
			}
		}
		if own {
			views = append(views, &view{scope: User, owner: &o, dirs: userDirs(o.Home, o.runtime)})
		}
	}
	for _, v := range views {
		if err := s.view(v); err != nil {
			return err
		}
	}
	s.hooks()
	return s.ctx.Err()
}

// list lists a directory once a scan, sorted; a missing one is empty.
func (s *scan) list(p string, limit int) []files.Entry {
	if have, ok := s.lists[p]; ok {
		return have
	}
	entries, at, more, err := s.tree.ReadDir(p, limit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.note(p, "not listed: %v", err)
		s.unlisted(p, err)
	}
	if more {
		s.unlisted(p, nil)
		s.note(p, "more than %d names: the others are not read", limit)
	}
	for i, e := range entries {
		if !e.Dir && !e.Link && !e.File {
			if info, err := s.tree.Lstat(joined(at.Path, e.Name)); err == nil {
				entries[i].Dir, entries[i].Link, entries[i].File = info.IsDir(), info.IsLink(), info.IsRegular()
			}
		}
	}
	slices.SortFunc(entries, func(a, b files.Entry) int { return strings.Compare(a.Name, b.Name) })
	s.lists[p] = entries
	return entries
}

func joined(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

// readUnit reads and parses one file, or remembers it.
func (s *scan) readUnit(at files.Resolved) (*unitFile, error) {
	if c, ok := s.sc.units[at.Path]; ok && c.info == at.Info {
		c.used = true
		s.sc.units[at.Path] = c
		return c.file, nil
	}
	if s.read >= maxRead {
		return nil, errors.New("more bytes of units than are read")
	}
	b, _, cut, err := s.tree.ReadResolved(at, maxFile)
	if err != nil {
		return nil, err
	}
	s.read += len(b)
	f := parse(b)
	sum := sha256.Sum256(b)
	f.sum = binary.LittleEndian.Uint64(sum[:])
	if cut {
		f.cut = true
		f.problems = append(f.problems, fmt.Sprintf("longer than %d bytes: the rest is not read", maxFile))
	}
	if at.Info.CTime < s.began {
		s.sc.units[at.Path] = cachedFile{info: at.Info, file: f, used: true}
	} else {
		delete(s.sc.units, at.Path)
	}
	return f, nil
}

type programKey struct {
	path  string
	trust uint32
}

type program struct {
	onDisk   evidence.Tristate
	real     string
	info     files.Info
	writable string
}

// program looks a program up.
func (s *scan) program(p string, trust uint32) program {
	key := programKey{p, trust}
	if have, ok := s.programs[key]; ok {
		return have
	}
	at, err := s.tree.Resolve(p, trust)
	g := program{writable: at.Writable}
	switch {
	case err == nil:
		g.onDisk, g.real, g.info = evidence.Yes, at.Path, at.Info
	case errors.Is(err, fs.ErrNotExist):
		g.onDisk = evidence.No
	}
	s.programs[key] = g
	return g
}

// searchPath is where systemd looks for a program without a slash.
var searchPath = [...]string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// exec makes an Exec of one command.
func (s *scan) exec(set setting, from string, c command, sp specifiers, trust uint32, elsewhere bool) Exec {
	e := Exec{Directive: set.key, From: from, Line: set.value, Prefixes: c.prefixes, OnDisk: evidence.Unknown}
	first, whole := sp.expand(c.words[0])
	for _, w := range c.words[1:] {
		text, _ := sp.expand(w)
		e.Args = append(e.Args, text)
	}
	if strings.Contains(c.prefixes, "@") && len(e.Args) > 0 {
		e.Argv0, e.Args = e.Args[0], e.Args[1:]
	}
	e.Path = first
	switch {
	case strings.Contains(c.prefixes, "|"): // given to the user's shell
		whole = false
	case strings.HasPrefix(first, "/"):
		e.Path = simplified(first)
	case !strings.Contains(first, "/") && whole:
		for _, dir := range searchPath {
			if g := s.program(dir+"/"+first, trust); g.onDisk == evidence.Yes && !g.info.IsDir() {
				e.Path = dir + "/" + first
				break
			}
		}
	}
	e.Script = script(e)
	if elsewhere || !whole {
		return e
	}
	if !strings.HasPrefix(e.Path, "/") {
		e.OnDisk = evidence.No
		return e
	}
	g := s.program(e.Path, trust)
	e.OnDisk, e.Real, e.File, e.Writable = g.onDisk, g.real, g.info, g.writable
	if e.Script != "" && e.Writable == "" {
		e.Writable = s.program(e.Script, trust).writable
	}
	return e
}

// simplified removes what systemd removes from a path: double slashes and single
// dots; two dots stay.
func simplified(p string) string {
	if !strings.Contains(p, "//") && !strings.Contains(p, "/.") && !strings.HasSuffix(p, "/") {
		return p
	}
	var b strings.Builder
	for part := range strings.SplitSeq(p, "/") {
		if part != "" && part != "." {
			b.WriteByte('/')
			b.WriteString(part)
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// script is the file an interpreter is told to run: its first argument that is no
// option.
func script(e Exec) string {
	args := e.Args
	switch name := path.Base(e.Path); {
	case name == "env" && len(args) > 1:
		for len(args) > 1 && (strings.HasPrefix(args[0], "-") || strings.Contains(args[0], "=")) {
			args = args[1:]
		}
		if interpreter(args[0]) {
			return firstFile(args[1:])
		}
	case interpreter(e.Path):
		return firstFile(args)
	}
	return ""
}

func firstFile(args []string) string {
	for i, a := range args {
		switch {
		case a == "-c" || a == "-e" || a == "-m" || a == "-r":
			return ""
		case a == "-jar" && i+1 < len(args):
			a = args[i+1]
		case strings.HasPrefix(a, "-"):
			continue
		}
		if strings.HasPrefix(a, "/") {
			return simplified(a)
		}
		return ""
	}
	return ""
}

func interpreter(p string) bool {
	name := strings.TrimRight(path.Base(p), "0123456789.")
	switch name {
	case "sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh", "busybox", "python", "pypy", "perl", "ruby", "node", "nodejs", "php",
		"lua", "java", "tclsh", "expect", "gawk", "awk", "Rscript":
		return true
	}
	return false
}

// specifiersOf are the values of systemd.unit(5), "Specifiers", that a file
// system tells.
func (s *scan) specifiersOf(v *view, u *Unit) specifiers {
	prefix, instance, suffix, _ := parts(u.Name)
	last := prefix
	if i := strings.LastIndexByte(prefix, '-'); i >= 0 {
		last = prefix[i+1:]
	}
	sp := specifiers{
		'n': u.Name, 'N': strings.TrimSuffix(u.Name, suffix), 'p': prefix, 'P': unescapeName(prefix),
		'i': instance, 'I': unescapeName(instance), 'j': last, 'J': unescapeName(last),
		'T': "/tmp", 'V': "/var/tmp",
	}
	if instance != "" {
		sp['f'] = "/" + strings.TrimPrefix(unescapeName(instance), "/")
	} else {
		sp['f'] = "/" + strings.TrimPrefix(unescapeName(prefix), "/")
	}
	if u.Template {
		delete(sp, 'i')
		delete(sp, 'I')
		delete(sp, 'n')
		delete(sp, 'N')
		delete(sp, 'f')
	}
	if u.Path != "" {
		sp['y'], sp['Y'] = u.Path, path.Dir(u.Path)
	}
	if s.hostname != "" {
		sp['H'] = s.hostname
		sp['l'], _, _ = strings.Cut(s.hostname, ".")
		sp['q'] = sp['l']
	}
	if s.machineID != "" {
		sp['m'] = s.machineID
	}
	switch {
	case v.scope == System:
		sp['u'], sp['U'], sp['g'], sp['G'], sp['h'] = "root", "0", "root", "0", "/root"
		sp['t'], sp['S'], sp['C'], sp['L'], sp['E'] = "/run", "/var/lib", "/var/cache", "/var/log", "/etc"
	case v.owner != nil:
		o := v.owner
		sp['u'], sp['U'], sp['G'] = o.Name, strconv.FormatUint(uint64(o.UID), 10), strconv.FormatUint(uint64(o.GID), 10)
		sp['t'] = o.runtime
		if o.Home != "" {
			sp['h'], sp['C'], sp['E'] = o.Home, o.Home+"/.cache", o.Home+"/.config"
			sp['S'], sp['L'] = o.Home+"/.local/state", o.Home+"/.local/state/log"
		}
	}
	return sp
}

// hooks finds the programs systemd runs by itself.
func (s *scan) hooks() {
	type key struct{ kind, what, scope, name string }
	seen := map[key]bool{}
	real := map[string]bool{}
	for _, d := range hookDirs() {
		at, err := s.tree.Resolve(d.path, 0)
		if err != nil || real[at.Path] {
			continue
		}
		real[at.Path] = true
		for _, e := range s.list(d.path, s.sc.o.MaxEntries) {
			k := key{string(d.kind), d.what, string(d.scope), e.Name}
			if e.Dir || seen[k] {
				continue
			}
			seen[k] = true
			if s.full(d.path, d.scope) {
				return
			}
			p := joined(d.path, e.Name)
			g := s.program(p, 0)
			if g.onDisk == evidence.Yes && (g.info.IsNull() || g.info.Size == 0) {
				continue // masked
			}
			if g.onDisk == evidence.Yes && (!g.info.IsRegular() || g.info.Mode&0o111 == 0) {
				continue // not run
			}
			u := Unit{
				Name: e.Name, Kind: d.kind, Scope: d.scope, Description: d.what, Path: p, Real: g.real, Class: d.class, File: g.info, State: Enabled,
				Exec: []Exec{{Directive: string(d.kind), From: p, Path: p, OnDisk: g.onDisk, Real: g.real, File: g.info, Writable: g.writable}},
			}
			if e.Link {
				u.LinkTarget, _ = s.tree.Readlink(joined(at.Path, e.Name))
			}
			if g.writable != "" {
				u.Writable = []string{g.writable}
			}
			s.result.Units = append(s.result.Units, u)
		}
	}
}

// full notes, once, that there are more units than are kept.
func (s *scan) full(at string, scope Scope) bool {
	if len(s.result.Units) < s.sc.o.MaxUnits {
		return false
	}
	s.note(at, "more than %d units: the others are left out", s.sc.o.MaxUnits)
	s.beyond(scope)
	return true
}

func (s *scan) beyond(scope Scope) {
	if s.result.Full != System {
		s.result.Full = scope
	}
}

// unlisted remembers a directory whose names are not known. What can have none of
// systemd's, such as a link that leads in a circle, is no such.
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
