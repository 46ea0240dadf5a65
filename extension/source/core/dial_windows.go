package core

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"

	"github.com/osquery-rollcall/rollcall/extension/trust"
)

// dial connects to a named pipe of SYSTEM, the administrators or ourselves. The
// connection is anonymous: whoever serves the pipe cannot act as us.
func dial(ctx context.Context, path string) (net.Conn, error) {
	conn, err := winio.DialPipeContext(ctx, path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		return nil, err
	}
	pipe, ok := conn.(interface{ Fd() uintptr })
	if !ok {
		err = errors.New("the pipe has no handle to ask whose it is")
	} else {
		err = trust.Pipe(windows.Handle(pipe.Fd()))
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%w: %w", ErrUnsafe, err)
	}
	return conn, nil
}

func brokenPipe(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA)
}
