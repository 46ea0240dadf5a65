package logtail

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// supported says that there are such logs on this platform.
const supported = true

// openFlags follow no link in the last part and don't wait for a pipe's other end.
const openFlags = os.O_RDONLY | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_NOCTTY

// look asks what an open file is now. It must be a regular one.
func look(file *os.File) (*opened, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = unix.Fstat(int(fd), &st) }); err != nil {
		return nil, err
	}
	if serr != nil {
		return nil, &fs.PathError{Op: "look at", Path: file.Name(), Err: serr}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("it is no regular file")
	}
	return &opened{
		identity: identity{Dev: uint64(st.Dev), Ino: st.Ino},   //nolint:unconvert // 32 bits on some
		file:     file, size: st.Size, links: uint64(st.Nlink), //nolint:unconvert // 32 bits on some
		mtime: time.Unix(st.Mtim.Unix()), ctime: time.Unix(st.Ctim.Unix()),
	}, nil
}
