// Package files reads a host's files without trusting whoever may write them:
// links are followed one component at a time inside a root, only regular files
// are opened and never for longer or more than was allowed, and on the way it is
// noted who could exchange what was found.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// The bounds of one path.
const (
	maxLinks      = 40   // as the kernel's own
	maxPath       = 4096 // bytes
	maxComponents = 256
)

// The reasons a path is not read. They wrap what the file system said, where it
// said anything.
var (
	ErrNotRegular = errors.New("not a regular file")
	ErrLoop       = errors.New("too many links")
	ErrRemote     = errors.New("on a network or user file system")
	ErrPath       = errors.New("not a usable path")
	ErrTooLong    = errors.New("longer than is read")
)

// Unix file type bits of Info.Mode; the same on every platform.
const (
	modeType = 0o170000
	modeDir  = 0o040000
	modeReg  = 0o100000
	modeLink = 0o120000
	modeChar = 0o020000

	sticky     = 0o1000
	groupWrite = 0o020
	otherWrite = 0o002
)

// Info is what the file system says about a file. Two equal Infos are the same
// unchanged file. Times are nanoseconds since 1970 UTC, 0 when unknown.
type Info struct {
	Dev, Ino uint64
	Size     int64
	Mode     uint32 // unix type and permission bits
	UID, GID uint32
	MTime    int64
	CTime    int64
	BTime    int64 // birth
	Links    uint32
}

// IsDir reports whether it is a directory.
func (i Info) IsDir() bool { return i.Mode&modeType == modeDir }

// IsRegular reports whether it is a regular file.
func (i Info) IsRegular() bool { return i.Mode&modeType == modeReg }

// IsLink reports whether it is a symbolic link.
func (i Info) IsLink() bool { return i.Mode&modeType == modeLink }

// IsNull reports whether it is the null device, by which systemd masks.
func (i Info) IsNull() bool { return i.Mode&modeType == modeChar }

// Kind names the type in words.
func (i Info) Kind() string {
	switch i.Mode & modeType {
	case modeDir:
		return "directory"
	case modeReg:
		return "file"
	case modeLink:
		return "link"
	case modeChar:
		return "character device"
	case 0o060000:
		return "block device"
	case 0o010000:
		return "fifo"
	case 0o140000:
		return "socket"
	}
	return "unknown"
}

// Entry is one name of a directory. Kind is empty when the file system did not
// tell without another call.
type Entry struct {
	Name string
	Dir  bool
	Link bool
	File bool
}

// Resolved is where a path leads.
type Resolved struct {
	// Path has no links left; absolute inside the root.
	Path string
	Info Info
	// Writable is the first component on the way, link or directory or the file
	// itself, that someone other than root and the trusted user can write or
	// replace; empty when there is none.
	Writable string
	// Links counts the links that were followed.
	Links int
}

// Options of a Tree.
type Options struct {
	// Trust are users whose hold on a file counts as root's; for trees that were
	// made by somebody else, such as those of tests.
	Trust []uint32
}

// Tree reads files below a root, as a process whose root that is would see them.
// It remembers directories, so it is for one scan and one goroutine.
type Tree struct {
	root   string
	trust  map[uint32]bool
	remote map[string]string // mount points not to be entered, with their type
	empty  map[uint32]bool   // groups without members other than root
	known  map[uint32]bool   // groups that are listed
	dirs   map[dirKey]dirResult
	trace  map[string]Seen
}

// Seen is what one path looked like when it was looked at.
type Seen struct {
	Info Info
	Err  bool
	// Listed says that the names in a directory mattered, not only who may write it.
	Listed bool
}

type dirKey struct {
	path  string
	trust uint32
}

type dirResult struct {
	res Resolved
	err error
}

// New returns a Tree of the files below root.
func New(root string, o Options) *Tree {
	t := &Tree{
		root: strings.TrimRight(root, "/"), trust: map[uint32]bool{0: true},
		dirs: map[dirKey]dirResult{}, trace: map[string]Seen{},
	}
	for _, u := range o.Trust {
		t.trust[u] = true
	}
	if t.root == "" {
		t.remote = remoteMounts()
	}
	return t
}

// Trace is every path that was looked at, to tell later whether anything changed.
func (t *Tree) Trace() map[string]Seen { return t.trace }

// Unchanged reports whether every path of a trace still looks the same.
func Unchanged(root string, trace map[string]Seen) bool {
	root = strings.TrimRight(root, "/")
	for p, was := range trace {
		now, err := lstat(root + p)
		if (err != nil) != was.Err {
			return false
		}
		if err != nil || now == was.Info {
			continue
		}
		if was.Info.IsDir() && !was.Listed {
			// Only its owner and permissions mattered.
			a, b := now, was.Info
			a.Size, a.MTime, a.CTime, a.Links = 0, 0, 0, 0
			b.Size, b.MTime, b.CTime, b.Links = 0, 0, 0, 0
			if a == b {
				continue
			}
		}
		return false
	}
	return true
}

// Lstat looks at an already resolved path without following its last component.
func (t *Tree) Lstat(p string) (Info, error) {
	if mount, kind := t.remoteAt(p); mount != "" {
		return Info{}, fmt.Errorf("%s (%s): %w", mount, kind, ErrRemote)
	}
	info, err := lstat(t.root + p)
	seen := Seen{Info: info, Err: err != nil, Listed: t.trace[p].Listed}
	t.trace[p] = seen
	return info, err
}

func (t *Tree) remoteAt(p string) (mount, kind string) {
	if kind, ok := t.remote[p]; ok {
		return p, kind
	}
	return "", ""
}

// Clean makes a path absolute and lexically plain; ok is false for one that no
// file can have.
func Clean(p string) (string, bool) {
	if p == "" || len(p) > maxPath || strings.IndexByte(p, 0) >= 0 || p[0] != '/' {
		return "", false
	}
	return p, true
}

// Resolve follows a path to its end. trust is the user, besides root, whose hold
// on it is in order; 0 for none. A path that ends nowhere is an error that wraps
// fs.ErrNotExist, with what is known of the way in the result.
func (t *Tree) Resolve(p string, trust uint32) (Resolved, error) {
	r, err := t.walk(p, trust, 0, false)
	return r, err
}

// Parent follows a path but for its last component.
func (t *Tree) Parent(p string, trust uint32) (Resolved, error) {
	r, err := t.walk(p, trust, 0, true)
	return r, err
}

func (t *Tree) walk(p string, trust uint32, links int, keepLast bool) (Resolved, error) {
	p, ok := Clean(p)
	if !ok {
		return Resolved{}, ErrPath
	}
	dir, last := path.Split(strings.TrimRight(p, "/"))
	if last == "" {
		return t.directory("/", trust, links)
	}
	if last == "." || last == ".." {
		return t.directory(p, trust, links)
	}
	at, err := t.directory(dir, trust, links)
	if err != nil {
		return at, err
	}
	return t.step(at, last, trust, keepLast)
}

// directory resolves a path that must be a directory, remembering each.
func (t *Tree) directory(p string, trust uint32, links int) (Resolved, error) {
	key := dirKey{p, trust}
	if have, ok := t.dirs[key]; ok {
		have.res.Links += links
		if have.res.Links > maxLinks {
			return have.res, ErrLoop
		}
		return have.res, have.err
	}
	if len(t.dirs) > 20000 {
		clear(t.dirs)
	}
	at := Resolved{Path: "/", Links: links}
	info, err := t.Lstat("/")
	if err != nil {
		return at, err
	}
	at.Info = info
	if t.writable(info, "/", trust) {
		at.Writable = "/"
	}
	n := 0
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." {
			continue
		}
		if n++; n > maxComponents {
			return at, ErrPath
		}
		if part == ".." {
			at.Path = path.Dir(at.Path)
			if at.Info, err = t.Lstat(at.Path); err != nil {
				return at, err
			}
			continue
		}
		at, err = t.step(at, part, trust, false)
		if err == nil && !at.Info.IsDir() {
			err = fmt.Errorf("%s is a %s, no directory: %w", at.Path, at.Info.Kind(), fs.ErrNotExist)
		}
		if err != nil {
			break
		}
	}
	if links == 0 {
		t.dirs[key] = dirResult{at, err}
	}
	return at, err
}

// step goes from a directory to one name in it and follows it if it is a link.
func (t *Tree) step(at Resolved, name string, trust uint32, keepLink bool) (Resolved, error) {
	dir := at.Info
	next := at
	next.Path = join(at.Path, name)
	info, err := t.Lstat(next.Path)
	if err != nil {
		next.Info = Info{}
		if next.Writable == "" && dir.IsDir() && t.anyone(dir, join(at.Path, "."), trust) {
			next.Writable = at.Path // sticky or not: what isn't there can be made
		}
		return next, err
	}
	next.Info = info
	if next.Writable == "" {
		switch {
		case info.IsLink():
			// A link has no permissions; in a sticky directory its owner can replace it.
			if dir.Mode&sticky != 0 && t.anyone(dir, at.Path, trust) && !t.trusted(info.UID, trust) {
				next.Writable = next.Path
			}
		case t.writable(info, next.Path, trust):
			next.Writable = next.Path
		}
	}
	if !info.IsLink() || keepLink {
		return next, nil
	}
	if next.Links++; next.Links > maxLinks {
		return next, fmt.Errorf("%s: %w", next.Path, ErrLoop)
	}
	target, err := readlink(t.root + next.Path)
	if err != nil {
		return next, err
	}
	if target == "" || len(target) > maxPath {
		return next, ErrPath
	}
	if target[0] != '/' {
		target = join(at.Path, target)
	}
	end, err := t.walk(target, trust, next.Links, false)
	if next.Writable != "" {
		end.Writable = next.Writable
	}
	return end, err
}

func join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

func (t *Tree) trusted(uid, trust uint32) bool { return t.trust[uid] || uid == trust }

// writable reports whether someone else can write a file or, in a directory,
// replace what others have there.
func (t *Tree) writable(i Info, p string, trust uint32) bool {
	if i.IsDir() && i.Mode&sticky != 0 && t.trusted(i.UID, trust) {
		return false
	}
	return t.anyone(i, p, trust)
}

// anyone reports whether someone else may write to it at all.
func (t *Tree) anyone(i Info, p string, trust uint32) bool {
	if i.IsNull() {
		return false
	}
	if !t.trusted(i.UID, trust) || i.Mode&otherWrite != 0 {
		return true
	}
	if i.Mode&groupWrite == 0 || i.GID == 0 {
		return false
	}
	if trust != 0 && i.GID == trust {
		return false // a user's own group
	}
	if t.known == nil {
		t.loadGroups()
	}
	// The group bits are the mask of an access list where there is one.
	return !t.known[i.GID] || !t.empty[i.GID] || hasAccessList(t.root+p)
}

// loadGroups learns which groups nobody but root is in.
func (t *Tree) loadGroups() {
	t.empty, t.known = map[uint32]bool{}, map[uint32]bool{}
	primary := map[uint32]bool{}
	for _, u := range t.Users() {
		if !t.trust[u.UID] {
			primary[u.GID] = true
		}
	}
	b, _, err := t.ReadFile("/etc/group", 4<<20)
	if err != nil {
		return
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		f := strings.Split(line, ":")
		if len(f) < 4 {
			continue
		}
		gid, ok := number(f[2])
		if !ok {
			continue
		}
		members := false
		for m := range strings.SplitSeq(f[3], ",") {
			members = members || (m != "" && m != "root")
		}
		t.known[gid] = true
		t.empty[gid] = !members && !primary[gid]
	}
}

// User is one line of /etc/passwd.
type User struct {
	Name     string
	UID, GID uint32
	Home     string
	Shell    string
}

// Users are the users of /etc/passwd, 10,000 at most.
func (t *Tree) Users() []User {
	b, _, err := t.ReadFile("/etc/passwd", 4<<20)
	if err != nil {
		return nil
	}
	var all []User
	for line := range strings.SplitSeq(string(b), "\n") {
		f := strings.Split(line, ":")
		if len(f) < 7 || f[0] == "" {
			continue
		}
		uid, ok1 := number(f[2])
		gid, ok2 := number(f[3])
		if !ok1 || !ok2 {
			continue
		}
		all = append(all, User{Name: f[0], UID: uid, GID: gid, Home: f[5], Shell: strings.TrimSpace(f[6])})
		if len(all) == 10000 {
			break
		}
	}
	return all
}

func number(s string) (uint32, bool) {
	if s == "" || len(s) > 10 {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return uint32(n), n <= 1<<32-1
}

// ReadFile reads up to limit bytes of a regular file, following links. cut says
// that there was more.
func (t *Tree) ReadFile(p string, limit int) (b []byte, cut bool, err error) {
	r, err := t.Resolve(p, 0)
	if err != nil {
		return nil, false, err
	}
	b, _, cut, err = t.ReadResolved(r, limit)
	return b, cut, err
}

// ReadResolved reads up to limit bytes of the regular file a path leads to. A link
// that appeared on the way since is not followed. info is the file's that was read.
func (t *Tree) ReadResolved(r Resolved, limit int) (b []byte, info Info, cut bool, err error) {
	if !r.Info.IsRegular() {
		return nil, r.Info, false, fmt.Errorf("%s is a %s: %w", r.Path, r.Info.Kind(), ErrNotRegular)
	}
	return readFile(t.root, r.Path, limit)
}

// ReadDir lists up to limit names of a directory, in no order; more says that
// there are others. The path is followed.
func (t *Tree) ReadDir(p string, limit int) (entries []Entry, at Resolved, more bool, err error) {
	at, err = t.Resolve(p, 0)
	if err != nil {
		return nil, at, false, err
	}
	if !at.Info.IsDir() {
		return nil, at, false, fmt.Errorf("%s is a %s, no directory: %w", at.Path, at.Info.Kind(), fs.ErrInvalid)
	}
	seen := t.trace[at.Path]
	seen.Listed = true
	t.trace[at.Path] = seen
	entries, more, err = readDir(t.root, at.Path, limit)
	return entries, at, more, err
}

// Readlink reads one link of an already resolved directory.
func (t *Tree) Readlink(p string) (string, error) {
	s, err := readlink(t.root + p)
	if err == nil && len(s) > maxPath {
		return "", ErrPath
	}
	return s, err
}

// Path is where a path leads, as this process must spell it.
func (t *Tree) Path(r Resolved) string { return t.root + r.Path }

// Open opens the regular file a path leads to. A link that appeared on the way since
// is not followed.
func (t *Tree) Open(r Resolved) (*os.File, error) {
	if !r.Info.IsRegular() {
		return nil, fmt.Errorf("%s is a %s: %w", r.Path, r.Info.Kind(), ErrNotRegular)
	}
	return openFile(t.root, r.Path)
}

// Hash writes the regular file a path leads to into w, unless it is longer than
// limit.
func (t *Tree) Hash(ctx context.Context, r Resolved, w io.Writer, limit int64) error {
	f, err := t.Open(r)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	for total := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(buf)
		if total += int64(n); total > limit {
			return fmt.Errorf("%s: %w", r.Path, ErrTooLong)
		}
		if _, werr := w.Write(buf[:n]); werr != nil {
			return werr
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", r.Path, err)
		}
	}
}
