package watch

import (
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// locked reports whether a process holds a lock on a file, as dpkg and rpm do
// while they work.
func locked(p string) bool {
	fd, err := unix.Open(p, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &lock); err != nil {
		return false
	}
	return lock.Type != unix.F_UNLCK
}

// packagesLocked reports whether a package manager works below root.
func packagesLocked(root string) bool {
	root = strings.TrimRight(root, "/")
	for _, p := range []string{"/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend", "/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"} {
		if locked(root + p) {
			return true
		}
	}
	var st unix.Stat_t
	return unix.Lstat(root+"/var/lib/pacman/db.lck", &st) == nil
}
