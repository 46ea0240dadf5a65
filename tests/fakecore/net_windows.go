package fakecore

import (
	"net"
	"path/filepath"
	"time"

	"github.com/Microsoft/go-winio"
)

// Pipes have a name space of their own: the directory only makes the name unique.
func address(dir string) string { return `\\.\pipe\` + filepath.Base(dir) + ".em" }

// pipe is a listener and the connection that was spent on it.
type pipe struct {
	net.Listener
	spent net.Conn
}

// listen serves a pipe. Wine hands a pipe's first client to an instance that go-winio
// opens only to own the name and never answers on; Windows keeps clients away from
// it. A connection that nobody uses takes that place; where somebody else was quicker,
// the pipe is made anew.
func listen(path string) (net.Listener, error) {
	for tries := 1; ; tries++ {
		l, err := winio.ListenPipe(path, nil)
		if err != nil {
			return nil, err
		}
		patience := time.Second
		spent, err := winio.DialPipe(path, &patience)
		if err == nil {
			return &pipe{l, spent}, nil
		}
		_ = l.Close()
		if tries == 20 {
			return nil, err
		}
	}
}

func (p *pipe) Close() error {
	_ = p.spent.Close()
	return p.Listener.Close()
}

func dial(path string) (net.Conn, error) {
	patience := 5 * time.Second
	return winio.DialPipe(path, &patience)
}
