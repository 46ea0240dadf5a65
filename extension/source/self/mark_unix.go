//go:build unix

package self

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags follow no link and keep a FIFO from blocking the open.
const openFlags = os.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC

func (m *mark) system(_ string, info fs.FileInfo) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	m.UID, m.GID, m.Ino = st.Uid, st.Gid, st.Ino
	m.Dev, m.CTime = device(st), changeTime(st)
}
