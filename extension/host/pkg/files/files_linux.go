package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func lstat(p string) (Info, error) {
	if p == "" {
		p = "/"
	}
	var st unix.Statx_t
	err := retry(func() error {
		return unix.Statx(unix.AT_FDCWD, p, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC,
			unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
	})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return lstatOld(p) // before Linux 4.11, or under an old seccomp filter
	}
	if err != nil {
		return Info{}, &os.PathError{Op: "look at", Path: p, Err: err}
	}
	i := Info{
		Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino, Size: int64(st.Size), Mode: uint32(st.Mode), UID: st.Uid, GID: st.Gid,
		MTime: st.Mtime.Sec*1e9 + int64(st.Mtime.Nsec), CTime: st.Ctime.Sec*1e9 + int64(st.Ctime.Nsec), Links: st.Nlink,
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		i.BTime = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return i, nil
}

func lstatOld(p string) (Info, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Lstat(p, &st) }); err != nil {
		return Info{}, &os.PathError{Op: "look at", Path: p, Err: err}
	}
	return fromStat(&st), nil
}

func fromStat(st *unix.Stat_t) Info {
	return Info{
		Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size, Mode: st.Mode, UID: st.Uid, GID: st.Gid, //nolint:unconvert // 32 bits on some
		MTime: st.Mtim.Nano(), CTime: st.Ctim.Nano(), Links: uint32(st.Nlink),
	}
}

func retry(f func() error) error {
	for range 16 {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return unix.EINTR
}

func readlink(p string) (string, error) {
	var buf [maxPath + 1]byte
	var n int
	err := retry(func() (err error) {
		n, err = unix.Readlink(p, buf[:])
		return err
	})
	if err != nil {
		return "", &os.PathError{Op: "read link", Path: p, Err: err}
	}
	return string(buf[:n]), nil
}

// open opens a path without links, one component after the other, so that a link
// put there meanwhile fails instead of leading elsewhere.
func open(root, p string, flags int) (int, error) {
	if root == "" {
		root = "/"
	}
	fail := func(err error) (int, error) { return -1, &os.PathError{Op: "open", Path: p, Err: err} }
	at, err := openat(unix.AT_FDCWD, root, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return fail(err)
	}
	parts := strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
	if len(parts) == 0 {
		parts = []string{"."}
	}
	for i, part := range parts {
		f := unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW
		if i == len(parts)-1 {
			f = flags | unix.O_NOFOLLOW
		}
		next, err := openat(at, part, f)
		_ = unix.Close(at)
		if err != nil {
			return fail(err)
		}
		at = next
	}
	return at, nil
}

func openat(at int, name string, flags int) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = unix.Openat(at, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

func readFile(root, p string, limit int) ([]byte, Info, bool, error) {
	// Non-blocking: a FIFO without a writer, or a lease another process holds,
	// would stop us here.
	fd, err := open(root, p, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, Info{}, false, err
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, Info{}, false, &os.PathError{Op: "look at", Path: p, Err: err}
	}
	info := fromStat(&st)
	if !info.IsRegular() {
		return nil, info, false, fmt.Errorf("%s is a %s: %w", p, info.Kind(), ErrNotRegular)
	}
	size := min(max(info.Size, 512), int64(limit)) + 1
	b := make([]byte, 0, size)
	for len(b) <= limit {
		if len(b) == cap(b) { // /proc and files that grow
			b = append(b, make([]byte, min(cap(b), limit+1-len(b)))...)[:len(b)]
		}
		var n int
		err := retry(func() (err error) {
			n, err = unix.Read(fd, b[len(b):min(cap(b), limit+1)])
			return err
		})
		if err != nil {
			return nil, info, false, &os.PathError{Op: "read", Path: p, Err: err}
		}
		if n == 0 {
			return b, info, false, nil
		}
		b = b[:len(b)+n]
	}
	return b[:limit], info, true, nil
}

func openFile(root, p string) (*os.File, error) {
	fd, err := open(root, p, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, &os.PathError{Op: "look at", Path: p, Err: err}
	}
	if info := fromStat(&st); !info.IsRegular() {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("%s is a %s: %w", p, info.Kind(), ErrNotRegular)
	}
	return os.NewFile(uintptr(fd), p), nil
}

func readDir(root, p string, limit int) ([]Entry, bool, error) {
	fd, err := open(root, p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK)
	if err != nil {
		return nil, false, err
	}
	d := os.NewFile(uintptr(fd), root+p)
	defer d.Close()
	var all []Entry
	for len(all) <= limit {
		some, err := d.ReadDir(min(1024, limit+1-len(all)))
		for _, e := range some {
			t := e.Type()
			all = append(all, Entry{Name: e.Name(), Dir: t.IsDir(), Link: t&os.ModeSymlink != 0, File: t.IsRegular()})
		}
		if errors.Is(err, io.EOF) || (err == nil && len(some) == 0) {
			return all, false, nil
		}
		if err != nil {
			return all, false, fmt.Errorf("list %s: %w", p, err)
		}
	}
	return all[:limit], true, nil
}

func hasAccessList(p string) bool {
	n, err := unix.Lgetxattr(p, "system.posix_acl_access", nil)
	return err == nil && n > 0
}

// remoteMounts are the mount points where a system call may wait for another
// machine or for a user's process.
func remoteMounts() map[string]string {
	b, err := readMounts()
	if err != nil {
		return nil
	}
	remote := map[string]string{}
	for line := range strings.SplitSeq(string(b), "\n") {
		before, after, ok := strings.Cut(line, " - ")
		if !ok {
			continue
		}
		f := strings.Fields(before)
		kind, _, _ := strings.Cut(after, " ")
		if len(f) < 5 || !isRemote(kind) {
			continue
		}
		if at := unescapeMount(f[4]); at != "/" {
			remote[at] = kind
		}
	}
	return remote
}

func readMounts() ([]byte, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 4<<20))
}

func isRemote(kind string) bool {
	switch kind {
	case "nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "autofs", "ceph", "coda", "9p", "glusterfs", "lustre", "gpfs", "beegfs", "ocfs2", "davfs":
		return true
	}
	return kind == "fuse" || strings.HasPrefix(kind, "fuse.")
}

// unescapeMount undoes the octal escapes of mountinfo.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, ok := octal(s[i+1 : i+4]); ok {
				b.WriteByte(n)
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func octal(s string) (byte, bool) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '7' {
			return 0, false
		}
		n = n*8 + int(s[i]-'0')
	}
	return byte(n), n < 256
}
