//go:build !windows

package core

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/osquery-rollcall/rollcall/extension/trust"
)

// dial connects to a socket that belongs to root or to ourselves. The owner of
// the file is checked first, since connecting already tells a stranger that we
// are here, and then whoever answers: the file could have been replaced between.
func dial(ctx context.Context, path string) (net.Conn, error) {
	info, err := os.Lstat(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		return nil, err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("%w: it is not a socket but %s", ErrUnsafe, info.Mode())
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || !trust.User(stat.Uid) {
		return nil, fmt.Errorf("%w: its owner is neither root nor uid %d", ErrUnsafe, os.Geteuid())
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		return nil, err
	}
	uid, known, err := peerUID(conn.(*net.UnixConn))
	if err == nil && known && !trust.User(uid) {
		err = fmt.Errorf("%w: uid %d answers on it", ErrUnsafe, uid)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func brokenPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
