package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// errGone says that a process ended before or while it was read.
var errGone = errors.New("process is gone")

// host is one machine's process file system.
type host struct {
	opts Options

	mu      sync.Mutex
	bootID  string
	boot    int64
	userNS  string
	mountNS string
	users   userList
}

// userList is the host's users, read again when the file changes.
type userList struct {
	names map[string]string
	stamp unix.Stat_t
}

// open reads what holds for the whole machine.
func (h *host) open() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bootID != "" {
		return nil
	}
	b, err := readFile(unix.AT_FDCWD, filepath.Join(h.opts.Root, "stat"), 1<<20)
	if err != nil {
		return fmt.Errorf("read boot time: %w", err)
	}
	if h.boot, err = parseBootTime(b); err != nil {
		return fmt.Errorf("read boot time: %w", err)
	}
	// Namespaces that cannot be read leave names unknown.
	h.userNS = readLink(unix.AT_FDCWD, filepath.Join(h.opts.Root, "self/ns/user"))
	h.mountNS = readLink(unix.AT_FDCWD, filepath.Join(h.opts.Root, "self/ns/mnt"))
	if b, err := readFile(unix.AT_FDCWD, filepath.Join(h.opts.Root, "sys/kernel/random/boot_id"), 64); err == nil && plainName(strings.TrimSpace(string(b))) {
		h.bootID = strings.TrimSpace(string(b))
	} else {
		h.bootID = "boot-" + strconv.FormatInt(h.boot, 10)
	}
	return nil
}

// username is the name of a uid on this host.
func (h *host) username(uid string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.users.names[uid]
}

// refreshUsers reads the list of users if it changed.
func (h *host) refreshUsers() {
	h.mu.Lock()
	defer h.mu.Unlock()
	var st unix.Stat_t
	if err := unix.Lstat(h.opts.Passwd, &st); err != nil {
		return
	}
	old := h.users.stamp
	if h.users.names != nil && st.Mtim == old.Mtim && st.Size == old.Size && st.Ino == old.Ino && st.Dev == old.Dev {
		return
	}
	b, err := readFile(unix.AT_FDCWD, h.opts.Passwd, 4<<20)
	if err != nil {
		h.opts.Logger.Debug("cannot read users", "path", h.opts.Passwd, "error", err)
		return
	}
	h.users = userList{names: parsePasswd(b), stamp: st}
}

// facts is what /proc tells about one process.
type facts struct {
	stat
	path      string
	cmdline   string
	truncated bool
	cwd       string
	id        identity
	loginUID  string
	session   string
	container string
	// native says that the process lives in the user and mount namespaces of this
	// host, so that its uids are this host's users.
	native bool
}

// openProcess opens the directory of a process. What is read through it belongs
// to that process even if its number is taken by another one later.
func (h *host) openProcess(pid int) (int, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(h.opts.Root+"/"+strconv.Itoa(pid), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, gone(err)
	}
	return fd, nil
}

// gone folds the ways in which a process can be missing into one.
func gone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return errGone
	}
	return err
}

func (h *host) stat(pid int) (stat, error) {
	fd, err := h.openProcess(pid)
	if err != nil {
		return stat{}, err
	}
	defer closeFD(fd)
	return readStat(fd)
}

func readStat(fd int) (stat, error) {
	b, err := readFile(fd, "stat", 4<<10)
	if err != nil {
		return stat{}, gone(err)
	}
	return parseStat(b)
}

// process reads one process. What its owner hides from us stays empty.
func (h *host) process(pid int) (facts, error) {
	var f facts
	fd, err := h.openProcess(pid)
	if err != nil {
		return f, err
	}
	defer closeFD(fd)
	// First what an ending process loses first.
	f.readCmdLine(fd)
	f.path = readLink(fd, "exe")
	if f.stat, err = readStat(fd); err != nil {
		return f, err
	}
	if f.pid != pid {
		return f, fmt.Errorf("process %d calls itself %d: %w", pid, f.pid, errFormat)
	}
	if b, err := readFile(fd, "status", 16<<10); err == nil {
		f.id = parseStatus(b)
	}
	f.cwd = readLink(fd, "cwd")
	if b, err := readFile(fd, "loginuid", 32); err == nil {
		f.loginUID = parseID(b)
	}
	if b, err := readFile(fd, "sessionid", 32); err == nil {
		f.session = parseID(b)
	}
	if b, err := readFile(fd, "cgroup", 16<<10); err == nil {
		f.container = parseContainer(b)
	}
	f.native = h.userNS != "" && readLink(fd, "ns/user") == h.userNS && readLink(fd, "ns/mnt") == h.mountNS
	return f, nil
}

func (f *facts) readCmdLine(fd int) {
	b, err := readFile(fd, "cmdline", maxCmdLine+1)
	if err != nil {
		return
	}
	if len(b) > maxCmdLine {
		b, f.truncated = b[:maxCmdLine], true
	}
	f.cmdline = joinArgs(splitArgs(b))
}

// evidence turns facts into what the rest of Rollcall understands, without the
// lineage.
func (h *host) evidence(f *facts, source string) evidence.Process {
	p := evidence.Process{
		Time:        h.boot + int64(f.start/userHZ),
		Platform:    evidence.Linux,
		Host:        h.opts.Host,
		PID:         int64(f.pid),
		ParentPID:   int64(f.ppid),
		Path:        f.path,
		CmdLine:     f.cmdline,
		CWD:         f.cwd,
		UID:         f.id.uid,
		LoginUID:    f.loginUID,
		Session:     f.session,
		TTY:         ttyName(f.tty),
		ContainerID: f.container,
		Source:      source,
		Truncated:   f.truncated,
	}
	switch {
	case f.id.uid == "":
	case f.id.uid == "0":
		p.Elevated = evidence.Yes
	case !f.id.capable:
		p.Elevated = evidence.No
	}
	if f.native {
		p.Username = h.username(f.id.uid)
		p.LoginUser = h.username(f.loginUID)
	}
	return p
}

// pids lists the processes there are now.
func (h *host) pids() ([]int, error) {
	d, err := os.Open(h.opts.Root)
	if err != nil {
		return nil, fmt.Errorf("open process file system: %w", err)
	}
	names, err := d.Readdirnames(-1)
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	out := make([]int, 0, len(names))
	for _, n := range names {
		if n[0] < '1' || n[0] > '9' {
			continue
		}
		if pid, err := strconv.Atoi(n); err == nil {
			out = append(out, pid)
		}
	}
	return out, nil
}

// readFile reads at most limit bytes of a regular file, following no link.
func readFile(dir int, name string, limit int) ([]byte, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, unix.EINVAL
	}
	buf := make([]byte, min(limit, 1024))
	n := 0
	for {
		got, err := retry(func() (int, error) { return unix.Read(fd, buf[n:]) })
		if err != nil {
			return nil, err
		}
		n += got
		if got == 0 || n == limit {
			return buf[:n], nil
		}
		if n == len(buf) {
			bigger := make([]byte, min(limit, 4*len(buf)))
			copy(bigger, buf)
			buf = bigger
		}
	}
}

// readLink returns where a link points, as the kernel writes it; empty if there
// is none.
func readLink(dir int, name string) string {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(dir, name, buf[:])
	if err != nil || n <= 0 {
		return ""
	}
	return strings.ToValidUTF8(string(buf[:n]), "\uFFFD")
}

// retry repeats a system call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// closeFD closes what was only read: an error has nothing to tell.
func closeFD(fd int) { _ = unix.Close(fd) }
