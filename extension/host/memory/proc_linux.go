package memory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
)

// Options says where things are; empty fields are this host's.
type Options struct {
	// Proc is the process file system, Root where the host's files are.
	Proc, Root string
	// Trust are users whose files count as root's, for trees of tests.
	Trust []uint32
	// Owner names the package a file belongs to: a library that a package brought is
	// no sign when it is preloaded, nor one that an upgrade replaced. Nil knows none.
	Owner func(path string) (name string, ok bool)
}

// Proc looks at processes through Linux's process file system. It is safe for
// concurrent use.
type Proc struct {
	opts Options
}

// NewProc returns a Proc; nothing is read yet.
func NewProc(o Options) *Proc {
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Owner == nil {
		o.Owner = func(string) (string, bool) { return "", false }
	}
	return &Proc{opts: o}
}

// look is one look at processes.
type look struct {
	ctx  context.Context
	opts Options
	r    *Report
	tree *files.Tree
	boot int64
	// mount and root tell who sees the same files as we do.
	mount string
	root  files.Info
}

// Look looks at the processes of q and tells r. It ends early when ctx does; what
// it had no time for is a problem in r.
func (p *Proc) Look(ctx context.Context, q Question, r *Report) {
	q = q.bounded(r)
	l := &look{ctx: ctx, opts: p.opts, r: r, tree: files.New(p.opts.Root, files.Options{Trust: p.opts.Trust})}
	b, err := l.read(unix.AT_FDCWD, path.Join(p.opts.Proc, "stat"), 4<<20)
	if err == nil {
		l.boot, err = parseBoot(b)
	}
	if err != nil {
		r.problem("the time of boot could not be read: %v", err)
		return
	}
	l.mount = readLink(unix.AT_FDCWD, path.Join(p.opts.Proc, "self/ns/mnt"))
	l.root, _ = l.tree.Lstat("/")
	l.preload()

	done := map[int64]bool{}
	for i, x := range q.Processes {
		if ctx.Err() != nil {
			r.problem("there was no time to look at %d of the processes", len(q.Processes)-i)
			return
		}
		done[x.PID] = true
		l.process(x.PID, x.Seen, nil)
	}
	if len(q.Programs) > 0 {
		l.programs(q.Programs, done)
	}
}

// preload tells of libraries that the dynamic linker puts into every program.
func (l *look) preload() {
	b, cut, err := l.tree.ReadFile("/etc/ld.so.preload", 64<<10)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.r.problem("/etc/ld.so.preload could not be read: %v", err)
		}
		return
	}
	if cut {
		l.r.problem("/etc/ld.so.preload is longer than 64 KiB: the rest was not read")
	}
	for line := range strings.Lines(text(b)) {
		line, _, _ = strings.Cut(line, "#")
		for _, lib := range libraries(line) {
			if _, owned := l.opts.Owner(lib); !owned {
				l.r.sign("/etc/ld.so.preload loads %s into every program.", shorten(lib))
			}
		}
	}
}

// programs looks for processes that run one of some programs.
func (l *look) programs(wanted []Program, done map[int64]bool) {
	byPath := map[string][]Program{}
	for _, w := range wanted {
		byPath[w.Path] = append(byPath[w.Path], w)
		if at, err := l.tree.Resolve(w.Path, 0); err == nil && at.Path != w.Path {
			byPath[at.Path] = append(byPath[at.Path], w)
		}
	}
	dir, err := l.open(unix.AT_FDCWD, l.opts.Proc, unix.O_DIRECTORY)
	if err != nil {
		l.r.problem("the processes could not be listed: %v", err)
		return
	}
	defer closeFD(dir)
	pids, err := numbers(dir)
	if err != nil {
		l.r.problem("the processes could not be listed: %v", err)
		return
	}
	found := 0
	for _, pid := range pids {
		if l.ctx.Err() != nil {
			l.r.problem("not all processes could be looked through in time")
			return
		}
		exe := readLink(dir, strconv.FormatInt(pid, 10)+"/exe")
		if exe == "" || done[pid] {
			continue
		}
		which := byPath[exe]
		if len(which) == 0 {
			which = byPath[strings.TrimSuffix(exe, deletedMark)]
		}
		if len(which) == 0 {
			continue
		}
		if found == maxProcesses {
			l.r.problem("more than %d processes run the programs involved: the others were not looked at", maxProcesses)
			return
		}
		if l.process(pid, 0, which) {
			found++
		}
	}
}

// numbers are the names in a directory that are process numbers, in order.
func numbers(dir int) ([]int64, error) {
	buf := make([]byte, 32<<10)
	var out []int64
	for len(out) < 1<<20 {
		n, err := retry(func() (int, error) { return unix.ReadDirent(dir, buf) })
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			break
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			if name[0] < '1' || name[0] > '9' {
				continue
			}
			if pid, err := strconv.ParseInt(name, 10, 32); err == nil {
				out = append(out, pid)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// facts are what is known of one process while it is looked at.
type facts struct {
	pid  int64
	who  string // in words
	comm string
	argv []string
	exe  string // as the kernel has it
	file string // without the mark of a deleted file
	// deleted says that no file has the name it was started from.
	deleted bool
	// ours says that the process sees the files that we see under the same names.
	ours bool
}

// process looks at one process. seen is when it must have been running, 0 for any
// time; wanted, where there are any, are the programs it must be. It reports
// whether the process was looked at.
func (l *look) process(pid, seen int64, wanted []Program) bool {
	fd, err := l.open(unix.AT_FDCWD, path.Join(l.opts.Proc, strconv.FormatInt(pid, 10)), unix.O_DIRECTORY)
	if err != nil {
		l.missed(pid, seen, err)
		return false
	}
	// All is read through this descriptor: it stays with the process, whoever gets its
	// number afterwards.
	defer closeFD(fd)
	b, err := l.read(fd, "stat", 4<<10)
	if err != nil {
		l.missed(pid, seen, err)
		return false
	}
	s, err := parseStat(b)
	if err != nil {
		l.r.problem("process %d could not be read: %v", pid, err)
		return false
	}
	if s.state == 'Z' || s.state == 'X' || seen != 0 && l.boot+s.start > seen+slack {
		if seen != 0 {
			l.r.gone()
		}
		return false
	}
	if s.flags&kernelThread != 0 {
		l.r.looked()
		return true
	}
	f := facts{pid: pid, comm: s.comm, who: fmt.Sprintf("Process %d (%s)", pid, s.comm)}
	if b, err := l.read(fd, "cmdline", 64<<10); err == nil {
		f.argv = splitArgs(b)
	}
	if len(wanted) > 0 && !slices.ContainsFunc(wanted, func(w Program) bool { return w.Argument == "" || slices.Contains(f.argv, w.Argument) }) {
		return false
	}
	l.r.looked()
	f.exe = readLink(fd, "exe")
	f.ours = l.sameFiles(fd)
	f.file = f.exe
	if file, ok := strings.CutSuffix(f.exe, deletedMark); ok && !(f.ours && l.exists(f.exe)) {
		f.file, f.deleted = file, true
	}
	l.program(&f)
	l.maps(fd, &f)
	l.preloads(fd, &f)
	l.tracer(fd, &f)
	l.name(&f)
	return true
}

// missed notes a process that could not be looked at.
func (l *look) missed(pid, seen int64, err error) {
	switch {
	case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH):
		l.r.problem("process %d could not be read: %v", pid, err)
	case seen != 0:
		l.r.gone()
	}
}

// sameFiles reports whether a process has our mounts, or at least our root, as
// services in a sandbox do: then its paths are ours.
func (l *look) sameFiles(fd int) bool {
	if ns := readLink(fd, "ns/mnt"); ns != "" && ns == l.mount {
		return true
	}
	var st unix.Statx_t
	if _, err := retry(func() (int, error) {
		return 0, unix.Statx(fd, "root", unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st)
	}); err != nil {
		return false
	}
	return l.root.Ino != 0 && st.Ino == l.root.Ino && unix.Mkdev(st.Dev_major, st.Dev_minor) == l.root.Dev
}

// exists reports whether there is a regular file of a name.
func (l *look) exists(p string) bool {
	at, err := l.tree.Resolve(p, 0)
	return err == nil && at.Info.IsRegular()
}

// rootsOwn reports a file that only root can write or replace.
func (l *look) rootsOwn(p string) bool {
	at, err := l.tree.Resolve(p, 0)
	return err == nil && at.Info.IsRegular() && at.Writable == ""
}

// upgraded reports a deleted file in whose place there is one of a package: what
// every upgrade leaves behind.
func (l *look) upgraded(f *facts, p string) bool {
	if !f.ours || !l.exists(p) {
		return false
	}
	_, owned := l.opts.Owner(p)
	return owned
}

// program tells of the program that a process runs.
func (l *look) program(f *facts) {
	switch file := shorten(f.file); {
	case f.exe == "":
		l.r.problem("which program process %d (%s) runs could not be read", f.pid, f.comm)
	case strings.HasPrefix(f.exe, memfdMark):
		l.r.sign("%s runs a program that was never on the disk (%s).", f.who, strings.TrimPrefix(file, "/"))
	case f.deleted && l.upgraded(f, f.file):
	case f.deleted && f.ours && l.exists(f.file):
		l.r.sign("%s runs what was %s before another file took its place.", f.who, file)
	case f.deleted:
		l.r.sign("%s runs %s, which was deleted since it was started.", f.who, file)
	case temporary(f.file):
		l.r.sign("%s runs %s, from where everyone may write.", f.who, file)
	}
}

// maps tells of what can be executed in a process besides its program.
func (l *look) maps(fd int, f *facts) {
	in, err := l.open(fd, "maps", 0)
	if err != nil {
		l.unread(f, "memory map", err)
		return
	}
	defer closeFD(in)
	a, err := parseMaps(descriptor(in), func() bool { return l.ctx.Err() != nil })
	if err != nil {
		l.unread(f, "memory map", err)
		return
	}
	if a.cut || a.left > 0 {
		l.r.problem("the memory map of process %d (%s) is longer than was read", f.pid, f.comm)
	}
	runtime := l.runtime(f, a.files)
	if a.anonymous > 0 {
		if runtime != "" {
			l.r.problem("process %d (%s) has executable memory that no file stands behind, which tells nothing: %s makes its code while it runs", f.pid, f.comm, runtime)
		} else {
			also := ""
			switch {
			case a.writable > 0 && a.writable == a.anonymous:
				also = ", writable too"
			case a.writable > 0:
				also = fmt.Sprintf(", %d of them writable too", a.writable)
			}
			l.r.sign("%s has %s of executable memory that no file stands behind (%d KiB%s).", f.who, plural(a.anonymous, "area"), a.bytes>>10, also)
		}
	}
	if a.heap {
		l.r.sign("%s has a heap that can be executed.", f.who)
	}
	if a.stack {
		l.r.sign("%s has a stack that can be executed.", f.who)
	}
	for _, file := range a.files {
		if file == f.exe {
			continue
		}
		l.mapped(f, file, runtime)
	}
}

// mapped tells of one file from which a process executes.
func (l *look) mapped(f *facts, file, runtime string) {
	name, deleted := strings.CutSuffix(file, deletedMark)
	if deleted && f.ours && l.exists(file) {
		name, deleted = file, false
	}
	switch {
	case strings.HasPrefix(file, memfdMark):
		if runtime == "" {
			l.r.sign("%s executes code that was never on the disk (%s).", f.who, shorten(strings.TrimPrefix(name, "/")))
		}
	case deleted && l.upgraded(f, name):
	case deleted:
		l.r.sign("%s executes code from %s, which was deleted since it was loaded.", f.who, shorten(name))
	case temporary(name):
		l.r.sign("%s executes code from %s, from where everyone may write.", f.who, shorten(name))
	}
}

// runtime is what makes code in a process by design: the program itself or a
// library. Where we see the same files it must be root's own, so that nobody hides
// behind a name.
func (l *look) runtime(f *facts, mapped []string) string {
	good := func(p string) bool {
		if f.ours {
			return l.rootsOwn(p)
		}
		return !temporary(p)
	}
	if is := runtimeOf(base(f.file)); is != "" && !f.deleted && good(f.file) {
		return is
	}
	for _, file := range mapped {
		if is := engineOf(path.Base(file)); is != "" && good(file) {
			return is
		}
	}
	return ""
}

// preloads tells of libraries that were put into a process when it started.
func (l *look) preloads(fd int, f *facts) {
	in, err := l.open(fd, "environ", 0)
	if err != nil {
		l.unread(f, "environment", err)
		return
	}
	defer closeFD(in)
	found, cut, err := parsePreloads(descriptor(in), func() bool { return l.ctx.Err() != nil })
	if err != nil {
		l.unread(f, "environment", err)
	}
	if cut {
		l.r.problem("the environment of process %d (%s) is longer than was read", f.pid, f.comm)
	}
	for _, v := range found {
		_, list, _ := strings.Cut(v, "=")
		if f.ours && !slices.ContainsFunc(libraries(list), func(lib string) bool { return !l.packaged(lib) }) {
			continue
		}
		l.r.sign("%s was started with %s.", f.who, shorten(v))
	}
}

// packaged reports a library that a package brought. One that is named without its
// directory comes from the directories of the system.
func (l *look) packaged(lib string) bool {
	if strings.HasPrefix(lib, "/") {
		_, owned := l.opts.Owner(lib)
		return owned
	}
	return false
}

func (l *look) unread(f *facts, what string, err error) {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
		err = errors.New("it ended")
	}
	l.r.problem("the %s of process %d (%s) could not be read: %v", what, f.pid, f.comm, err)
}

// tracer tells who traces a process.
func (l *look) tracer(fd int, f *facts) {
	b, err := l.read(fd, "status", 16<<10)
	if err != nil {
		l.unread(f, "state", err)
		return
	}
	by := parseTracer(b)
	if by == 0 {
		return
	}
	who := ""
	if exe := readLink(unix.AT_FDCWD, path.Join(l.opts.Proc, strconv.FormatInt(by, 10), "exe")); exe != "" {
		who = " (" + shorten(exe) + ")"
	}
	l.r.sign("%s is being traced by process %d%s.", f.who, by, who)
}

// places are where a name typed by a person is looked for.
var places = [...]string{"/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin"}

// name tells of a process that goes by the name of something else. Programs do go
// by other names than their files' (links, scripts, titles): only the names of the
// kernel's threads and of other programs of the system are told of.
func (l *look) name(f *facts) {
	if f.exe == "" {
		return
	}
	if t := threadOf(f.comm, f.argv); t != "" {
		l.r.sign("%s calls itself %s as a thread of the kernel does, but runs %s.", f.who, shorten(t), shorten(f.file))
		return
	}
	if !f.ours {
		return
	}
	own := base(f.file)
	names := []string{f.comm}
	if len(f.argv) > 0 {
		// A title has more after the name: "sshd: root@pts/0".
		a, _, _ := strings.Cut(strings.TrimPrefix(f.argv[0], "-"), " ")
		names = append(names, path.Base(strings.TrimSuffix(a, ":")))
	}
	for _, n := range names {
		// The kernel keeps 15 bytes of a name; an emulator goes by what it emulates.
		if n == "" || n == "." || n == "/" || n == own || len(n) == 15 && strings.HasPrefix(own, n) || runtimeOf(own) == "QEMU" {
			continue
		}
		if other := l.other(n, f); other != "" {
			l.r.sign("%s calls itself %s, but runs %s and not %s.", f.who, n, shorten(f.file), other)
			return
		}
	}
}

// other is the program of the system that a name stands for, if it is not the one
// the process runs: empty for names that no program has, and for scripts, which go
// by their own name while an interpreter runs.
func (l *look) other(name string, f *facts) string {
	if strings.ContainsRune(name, '/') || name == ".." {
		return ""
	}
	self, err := l.tree.Resolve(f.file, 0)
	known := err == nil && !f.deleted
	if len(f.argv) > 0 && strings.HasPrefix(f.argv[0], "/") && path.Base(f.argv[0]) == name && known {
		at, err := l.tree.Resolve(f.argv[0], 0)
		if err == nil && at.Writable == "" && at.Info.Ino == self.Info.Ino && at.Info.Dev == self.Info.Dev {
			return ""
		}
	}
	found := ""
	for _, dir := range places {
		at, err := l.tree.Resolve(dir+"/"+name, 0)
		if err != nil || !at.Info.IsRegular() {
			continue
		}
		if at.Path == f.file || known && at.Info.Ino == self.Info.Ino && at.Info.Dev == self.Info.Dev {
			return ""
		}
		if found != "" {
			continue
		}
		if b, _, _, err := l.tree.ReadResolved(at, 2); err == nil && string(b) != "#!" {
			found = dir + "/" + name
		}
	}
	return found
}

// open opens a name below a directory, following no link.
func (l *look) open(dir int, name string, flags int) (int, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(dir, name, flags|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, err
	}
	if flags&unix.O_DIRECTORY != 0 {
		return fd, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		closeFD(fd)
		return -1, unix.EINVAL
	}
	return fd, nil
}

// read reads up to limit bytes of a file below a directory.
func (l *look) read(dir int, name string, limit int64) ([]byte, error) {
	fd, err := l.open(dir, name, 0)
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	return io.ReadAll(io.LimitReader(descriptor(fd), limit))
}

// descriptor reads from an open file. It leaves the closing to others.
type descriptor int

func (d descriptor) Read(b []byte) (int, error) {
	n, err := retry(func() (int, error) { return unix.Read(int(d), b) })
	switch {
	case err != nil:
		return 0, err
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// readLink is where a link points as the kernel writes it; empty if there is none.
// The target is not looked at.
func readLink(dir int, name string) string {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(dir, name, buf[:])
	if err != nil || n <= 0 {
		return ""
	}
	return text(buf[:n])
}

func retry(call func() (int, error)) (int, error) {
	for range 16 {
		if n, err := call(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
	return -1, unix.EINTR
}

// closeFD closes what was only read: an error has nothing to tell.
func closeFD(fd int) { _ = unix.Close(fd) }
