package core

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"
)

// Defaults of a Client.
const (
	DefaultTimeout = 30 * time.Second
	// DefaultMaxRows is a little above the 10,000 rows that a query should ask
	// for at most, so that an off-by-one is not an outage.
	DefaultMaxRows   = 10_500
	DefaultMaxString = 1 << 20
	DefaultMaxBytes  = 64 << 20
)

const (
	minBackoff = 20 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// ClientOptions are the settings of a Client; zero values mean the defaults.
type ClientOptions struct {
	// Timeout bounds calls whose context has no deadline.
	Timeout time.Duration
	// MaxRows, MaxString and MaxBytes bound one response: its rows, one string
	// (bytes) and everything together (bytes).
	MaxRows   int
	MaxString int
	MaxBytes  int64
}

// Client talks to an osquery process over its extension socket. It is safe for
// concurrent use; calls are made one after the other. It connects when it is
// first used, and again after any failure: after a timeout the answer to the
// old request would arrive as the answer to the next one, so a connection that
// failed once is never used again.
type Client struct {
	path    string
	timeout time.Duration
	limits  limits

	turn chan struct{} // held by the call that uses the connection

	// Guarded by turn.
	session  *session
	failures int
	nextDial time.Time

	dialled atomic.Int64

	mu     sync.Mutex
	closed bool
	live   net.Conn // so that Close can interrupt a call
	done   chan struct{}
}

// session is one connection.
type session struct {
	wire   *wire
	proto  *protocol
	rpc    *osquery.ExtensionManagerClient
	seq    int32
	reused bool
}

// NewClient makes a client for the socket (a named pipe on Windows) at path. It
// does not connect.
func NewClient(path string, opts ClientOptions) *Client {
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.MaxRows <= 0 {
		opts.MaxRows = DefaultMaxRows
	}
	if opts.MaxString <= 0 {
		opts.MaxString = DefaultMaxString
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = DefaultMaxBytes
	}
	return &Client{
		path:    path,
		timeout: opts.Timeout,
		limits:  limits{rows: opts.MaxRows, string: opts.MaxString, bytes: opts.MaxBytes},
		turn:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
}

// Path is the socket the client talks to.
func (c *Client) Path() string { return c.path }

// Connections is how many connections were made so far: behind another one there may
// be another osquery.
func (c *Client) Connections() int64 { return c.dialled.Load() }

// Close ends the connection, interrupting a call under way. The client cannot be
// used again.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	close(c.done)
	if c.live == nil {
		return nil
	}
	conn := c.live
	c.live = nil
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the connection to osquery: %w", err)
	}
	return nil
}

// Query runs SQL in osquery and gives each row to row as it is decoded. The
// whole answer has arrived when Query returns nil; on an error, rows may have
// been given already. An error of row's ends the query and is returned.
// row must not call the client. SQL that osquery refuses is a *StatusError.
//
// SQL on an event table must constrain time; see the package documentation.
func (c *Client) Query(ctx context.Context, sql string, row func(*Row) error) error {
	return c.call(ctx, "query", func(s *session) error {
		s.seq++
		return s.proto.query(s.seq, sql, row)
	})
}

// Ping asks osquery for a sign of life.
func (c *Client) Ping(ctx context.Context) error {
	return c.call(ctx, "ping", func(s *session) error {
		status, err := s.rpc.Ping(context.Background())
		if err != nil {
			return err
		}
		return statusError("ping", status)
	})
}

// Extension is an extension that osquery knows.
type Extension struct {
	Name       string
	Version    string
	SDKVersion string
}

// Extensions returns the registered extensions by their uuid.
func (c *Client) Extensions(ctx context.Context) (map[int64]Extension, error) {
	var found map[int64]Extension
	err := c.call(ctx, "extensions", func(s *session) error {
		list, err := s.rpc.Extensions(context.Background())
		if err != nil {
			return err
		}
		found = make(map[int64]Extension, len(list))
		for uuid, info := range list {
			if info != nil {
				found[int64(uuid)] = Extension{Name: info.Name, Version: info.Version, SDKVersion: info.SdkVersion}
			}
		}
		return nil
	})
	return found, err
}

// Option is one of osquery's flags.
type Option struct {
	Value   string
	Default string
	Type    string
}

// Options returns osquery's flags by name. They include the options of the
// osquery configuration whose names begin with "custom_".
func (c *Client) Options(ctx context.Context) (map[string]Option, error) {
	var found map[string]Option
	err := c.call(ctx, "options", func(s *session) error {
		list, err := s.rpc.Options(context.Background())
		if err != nil {
			return err
		}
		found = make(map[string]Option, len(list))
		for name, info := range list {
			if info != nil {
				found[name] = Option{Value: info.Value, Default: info.DefaultValue, Type: info.Type}
			}
		}
		return nil
	})
	return found, err
}

// Register announces an extension and returns the uuid osquery gave it. A
// refusal, such as that of a duplicate name, is a *StatusError.
func (c *Client) Register(ctx context.Context, info *osquery.InternalExtensionInfo, registry osquery.ExtensionRegistry) (uuid int64, err error) {
	err = c.call(ctx, "registerExtension", func(s *session) error {
		status, err := s.rpc.RegisterExtension(context.Background(), info, registry)
		if err != nil {
			return err
		}
		if status != nil {
			uuid = int64(status.UUID)
		}
		return statusError("registerExtension", status)
	})
	return uuid, err
}

// Deregister takes an extension's announcement back.
func (c *Client) Deregister(ctx context.Context, uuid int64) error {
	return c.call(ctx, "deregisterExtension", func(s *session) error {
		status, err := s.rpc.DeregisterExtension(context.Background(), osquery.ExtensionRouteUUID(uuid))
		if err != nil {
			return err
		}
		return statusError("deregisterExtension", status)
	})
}

func statusError(op string, status *osquery.ExtensionStatus) error {
	if status == nil {
		return fmt.Errorf("%w: %s without a status", errProtocol, op)
	}
	if status.Code != 0 {
		return &StatusError{Op: op, Code: status.Code, Message: status.Message}
	}
	return nil
}

// call runs one request on the connection, dialling first where needed.
func (c *Client) call(ctx context.Context, op string, request func(*session) error) error {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return fmt.Errorf("osquery %s: waiting for an earlier call: %w", op, ctx.Err())
	case <-c.done:
		return fmt.Errorf("osquery %s: %w", op, ErrClosed)
	}
	for {
		err := c.attempt(ctx, request)
		if errors.Is(err, errStale) {
			// The connection had died since the last call, before this one was
			// heard: nothing was asked yet.
			continue
		}
		if err == nil {
			return nil
		}
		var status *StatusError
		if errors.As(err, &status) {
			return err
		}
		return fmt.Errorf("osquery %s: %w", op, err)
	}
}

// errStale is a connection that was closed by the peer while nobody used it.
var errStale = errors.New("connection was closed meanwhile")

func (c *Client) attempt(ctx context.Context, request func(*session) error) error {
	if c.session == nil {
		if err := c.dial(ctx); err != nil {
			return err
		}
	}
	s := c.session
	reused := s.reused
	s.reused = true
	if err := c.enter(s); err != nil {
		return err
	}

	deadline, _ := ctx.Deadline()
	if err := s.wire.SetDeadline(deadline); err != nil {
		c.drop()
		if reused {
			return errStale
		}
		return fmt.Errorf("setting the deadline: %w", err)
	}
	// A deadline ends the call by itself; a cancellation has to be told.
	stop := context.AfterFunc(ctx, func() { _ = s.wire.SetDeadline(longAgo) })
	s.wire.refill(c.limits.bytes)
	err := request(s)
	untouched := stop()

	var status *StatusError
	var callback *callbackError
	switch {
	case err == nil || errors.As(err, &status):
		if !untouched {
			c.drop() // its deadline is being moved under us
		}
		c.failures = 0
		return err
	case errors.As(err, &callback):
		c.drop()
		c.failures = 0
		return callback.err
	}
	heard := s.wire.seen
	c.drop()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case c.isClosed():
		return ErrClosed
	case isTimeout(err):
		// The connection's clock and the context's need not agree to the microsecond.
		return context.DeadlineExceeded
	case reused && !heard && dead(err):
		return errStale
	}
	c.failed()
	return err
}

// dial connects, not before the pause that earlier failures earned.
func (c *Client) dial(ctx context.Context) error {
	if wait := time.Until(c.nextDial); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting to connect again: %w", ctx.Err())
		case <-c.done:
			return ErrClosed
		}
	}
	conn, err := dial(ctx, c.path)
	if err != nil {
		c.failed()
		return fmt.Errorf("connecting to %s: %w", c.path, err)
	}
	c.dialled.Add(1)
	w := &wire{Conn: conn}
	p := newProtocol(w, c.limits)
	c.session = &session{
		wire:  w,
		proto: p,
		rpc:   osquery.NewExtensionManagerClient(thrift.NewTStandardClient(p, p)),
	}
	return nil
}

// failed lengthens the pause before the next connection.
func (c *Client) failed() {
	pause := min(minBackoff<<min(c.failures, 10), maxBackoff)
	c.failures++
	c.nextDial = time.Now().Add(pause)
}

// enter shows the connection to Close.
func (c *Client) enter(s *session) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		c.session = nil
		_ = s.wire.Conn.Close()
		return ErrClosed
	}
	c.live = s.wire.Conn
	return nil
}

// drop closes the connection for good.
func (c *Client) drop() {
	c.mu.Lock()
	c.live = nil
	c.mu.Unlock()
	if c.session != nil {
		_ = c.session.wire.Conn.Close()
		c.session = nil
	}
}

func (c *Client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func isTimeout(err error) bool {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return true
	}
	var te thrift.TTransportException
	return errors.As(err, &te) && te.TypeId() == thrift.TIMED_OUT
}
