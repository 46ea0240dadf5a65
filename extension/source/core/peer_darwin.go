package core

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peerUID returns the user who listens on the other end.
func peerUID(conn *net.UnixConn) (uid uint32, known bool, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false, fmt.Errorf("asking who answers: %w", err)
	}
	var cred *unix.Xucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	})
	if err == nil {
		err = credErr
	}
	if err != nil {
		return 0, false, fmt.Errorf("asking who answers: %w", err)
	}
	return cred.Uid, true, nil
}
