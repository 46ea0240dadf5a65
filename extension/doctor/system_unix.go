//go:build unix

package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func filesRoot() string { return "/" }

func superuser() bool { return os.Geteuid() == 0 }

func owner(info fs.FileInfo) (uid uint32, known bool) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid, true
	}
	return 0, false
}

func diskRoom(path string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, fmt.Errorf("look at the file system of %s: %w", path, err)
	}
	size := uint64(st.Bsize) //nolint:unconvert // int64 on Linux, uint32 on macOS
	return st.Bavail * size, st.Blocks * size, nil
}
