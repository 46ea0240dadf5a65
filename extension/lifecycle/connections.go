package lifecycle

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// connections buffers the server's connections and keeps count of them, so that
// at the end the idle ones can be closed at once and the busy ones when their
// answer is out. Thrift's server by itself waits for its clients to hang up.
type connections struct {
	mu       sync.Mutex
	open     map[thrift.TTransport]*connection
	draining bool
	empty    chan struct{} // closed while there are none
}

// maxConnections bounds the connections served at once: osquery has one for each call
// under way, and whoever holds more would leave us without file descriptors.
const maxConnections = 96

// connection is one of osquery's connections to us.
type connection struct {
	thrift.TTransport
	owner *connections
	users int // the server asks for a transport each for input and output

	// Guarded by owner.mu.
	busy   bool // between the first byte of a request and the last of its answer
	closed bool // by us
}

var _ thrift.TTransportFactory = (*connections)(nil)

func newConnections() *connections {
	empty := make(chan struct{})
	close(empty)
	return &connections{open: map[thrift.TTransport]*connection{}, empty: empty}
}

// GetTransport is called by the server, twice for each connection.
func (c *connections) GetTransport(raw thrift.TTransport) (thrift.TTransport, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn, ok := c.open[raw]
	if !ok {
		conn = &connection{TTransport: raw, owner: c, closed: c.draining || len(c.open) >= maxConnections}
		if len(c.open) == 0 {
			c.empty = make(chan struct{})
		}
		c.open[raw] = conn
	}
	conn.users++
	return thrift.NewTBufferedTransport(conn, bufferSize), nil
}

func (c *connection) Read(p []byte) (int, error) {
	c.owner.mu.Lock()
	closed := c.closed
	c.owner.mu.Unlock()
	if closed {
		return 0, io.EOF
	}
	n, err := c.TTransport.Read(p)
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	if n > 0 {
		c.busy = true
	}
	if err != nil && c.closed {
		err = io.EOF // not a failure worth a line in the log
	}
	return n, err
}

// Flush ends an answer.
func (c *connection) Flush(ctx context.Context) error {
	err := c.TTransport.Flush(ctx)
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	c.busy = false
	if c.owner.draining {
		c.closed = true
		_ = c.TTransport.Close()
	}
	return err
}

// Close is called by the server when it is done with a transport.
func (c *connection) Close() error {
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	c.closed = true
	if c.users--; c.users == 0 {
		delete(c.owner.open, c.TTransport)
		if len(c.owner.open) == 0 {
			close(c.owner.empty)
		}
	}
	return c.TTransport.Close()
}

// drain closes idle connections now, busy ones when they have answered, and
// what is left at the deadline.
func (c *connections) drain(deadline time.Time) {
	c.mu.Lock()
	c.draining = true
	c.closeIf(func(conn *connection) bool { return !conn.busy })
	c.mu.Unlock()
	c.wait(deadline)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeIf(func(*connection) bool { return true })
}

// wait returns when there are no connections, or at the deadline.
func (c *connections) wait(deadline time.Time) {
	c.mu.Lock()
	empty := c.empty
	c.mu.Unlock()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-empty:
	case <-timer.C:
	}
}

// closeIf needs c.mu.
func (c *connections) closeIf(which func(*connection) bool) {
	for _, conn := range c.open {
		if which(conn) {
			conn.closed = true
			_ = conn.TTransport.Close()
		}
	}
}
