package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/hashicorp/go-hclog"
	"github.com/osquery/osquery-go/gen/osquery"
	"github.com/osquery/osquery-go/plugin/table"
	"github.com/osquery/osquery-go/transport"

	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/tables"
)

// hangUpInterval is the time between two looks whether who asked is there still.
const hangUpInterval = 50 * time.Millisecond

// server registers the tables with osquery and answers for them on a socket of ours.
// osquery-go's server does the same, but hands out rows as maps alone, which cost more
// than all else, and gives its own client 200 ms to come up.
type server struct {
	opts   *Options
	client *core.Client
	log    hclog.Logger
	conns  *connections
	work   context.Context // generators end with it
	tables map[string]*tables.Table

	registered chan int64    // receives the uuid once
	left       chan struct{} // closed when osquery has asked us to shut down
	leave      sync.Once

	mu      sync.Mutex
	stopped bool
	uuid    int64 // 0 when not registered
	thrift  *thrift.TSimpleServer
	ended   chan struct{} // closed when thrift's server has no connection left
}

func newServer(work context.Context, opts *Options, client *core.Client, conns *connections) *server {
	s := &server{opts: opts, client: client, log: opts.Logger, conns: conns, work: work, tables: map[string]*tables.Table{},
		registered: make(chan int64, 1), left: make(chan struct{}), ended: make(chan struct{})}
	for _, t := range opts.Tables {
		s.tables[t.Name] = t
	}
	return s
}

// run registers and serves until stop, which returns nil, or until something is wrong.
// The end of ctx ends a registration under way.
func (s *server) run(ctx context.Context) error {
	uuid, err := s.register(ctx)
	if err != nil || uuid == 0 {
		return err
	}
	path := endpoint(s.opts.Socket, uuid)
	// The uuid is ours; what lies at its path is left from somebody who was killed.
	if err := clearStale(path); err != nil {
		s.log.Warn("could not remove a stale socket", "error", err)
	}
	socket, err := transport.OpenServer(path, max(s.opts.Timeout, clientTimeout))
	if err != nil {
		return fmt.Errorf("serving tables: %w", err)
	}
	processor := osquery.NewExtensionProcessor(answerer{s})
	processor.AddToProcessorMap("call", caller{s})
	server := thrift.NewTSimpleServer4(processor, socket, s.conns, thrift.NewTBinaryProtocolFactoryConf(nil))
	server.SetLogContext(ctx)
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		s.deregister(ctx, uuid)
		return nil
	}
	s.uuid, s.thrift = uuid, server
	s.mu.Unlock()
	s.registered <- uuid

	if err := server.Listen(); err != nil {
		return fmt.Errorf("serving tables: %w", err)
	}
	err = server.AcceptLoop()
	// Where stop came first, the socket was made after it was closed.
	_ = socket.Interrupt()
	if err := clearStale(path); err != nil {
		s.log.Debug("could not remove our socket", "error", err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnserved, err) // a new start serves again
	}
	return nil
}

// register makes us known to osquery; uuid 0 says that ctx ended meanwhile.
func (s *server) register(ctx context.Context) (uuid int64, err error) {
	registry := osquery.ExtensionRegistry{"table": {}}
	for name, t := range s.tables {
		registry["table"][name] = table.NewPlugin(name, t.Columns, nil).Routes()
	}
	for _, other := range []string{"config", "distributed", "logger"} {
		registry[other] = osquery.ExtensionRouteTable{}
	}
	info := &osquery.InternalExtensionInfo{Name: s.opts.Name, Version: s.opts.Version}
	until := time.Now().Add(s.opts.Tolerance.Duplicate)
	pause := 100 * time.Millisecond
	for {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		uuid, err := s.client.Register(call, info, registry)
		cancel()
		switch {
		case err == nil:
			return uuid, nil
		case ctx.Err() != nil:
			return 0, nil
		}
		// Our predecessor's name is taken until osquery has noticed its death.
		duplicate := strings.Contains(strings.ToLower(err.Error()), "duplicate")
		var status *core.StatusError
		transient := !errors.As(err, &status)
		if !duplicate && !transient || time.Now().Add(pause).After(until) {
			return 0, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		s.log.Warn("registration failed, trying again", "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return 0, nil
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Second)
	}
}

// stop takes leave of osquery, if it is there still, and serves no new connections.
// What is under way is left to connections.
func (s *server) stop(ctx context.Context, coreIsThere bool) {
	s.mu.Lock()
	uuid, server, again := s.uuid, s.thrift, s.stopped
	s.stopped, s.uuid = true, 0
	s.mu.Unlock()
	if again {
		return
	}
	if uuid != 0 && coreIsThere {
		s.deregister(ctx, uuid)
	}
	if server == nil {
		close(s.ended)
		return
	}
	go func() { // ends when the connections are closed, which wait looks after
		defer close(s.ended)
		_ = server.Stop()
	}()
}

// wait returns when nothing is served any more, or at the deadline.
func (s *server) wait(deadline time.Time) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
	}
}

func (s *server) deregister(ctx context.Context, uuid int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := s.client.Deregister(ctx, uuid); err != nil {
		s.log.Debug("could not deregister", "error", err)
	}
}

// asked reports whether osquery has asked us to shut down.
func (s *server) asked() bool {
	select {
	case <-s.left:
		return true
	default:
		return false
	}
}

// answerer answers osquery's calls, save for tables.
type answerer struct{ *server }

var _ osquery.Extension = answerer{}

func (answerer) Ping(context.Context) (*osquery.ExtensionStatus, error) {
	return &osquery.ExtensionStatus{Message: "OK"}, nil
}

func (a answerer) Shutdown(context.Context) error {
	a.leave.Do(func() { close(a.left) })
	return nil
}

// Call is caller's.
func (answerer) Call(context.Context, string, string, osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, error) {
	return nil, errors.New("answered elsewhere")
}

// caller answers calls of tables. It is the processor that Thrift would generate, but
// for the rows, which are written as they are kept.
type caller struct{ *server }

var _ thrift.TProcessorFunction = caller{}

// Process reads the arguments of a call and writes the answer.
func (c caller) Process(ctx context.Context, seq int32, in, out thrift.TProtocol) (bool, thrift.TException) {
	args := osquery.ExtensionCallArgs{}
	err := args.Read(ctx, in)
	if err == nil {
		err = in.ReadMessageEnd(ctx)
	}
	if err != nil {
		x := thrift.NewTApplicationException(thrift.PROTOCOL_ERROR, err.Error())
		_ = errors.Join(out.WriteMessageBegin(ctx, "call", thrift.EXCEPTION, seq), x.Write(ctx, out), out.WriteMessageEnd(ctx), out.Flush(ctx))
		return false, thrift.WrapTException(err)
	}
	status, rows := c.answer(ctx, &args, in.Transport())
	defer rows.Free()
	if err := write(ctx, out, seq, status, rows); err != nil {
		return false, thrift.WrapTException(err)
	}
	return true, nil
}

// answer calls a table under the end of the service and as long as who asked is there.
func (c caller) answer(ctx context.Context, args *osquery.ExtensionCallArgs, peer thrift.TTransport) (*osquery.ExtensionStatus, *tables.Rows) {
	t := c.tables[args.Item]
	if args.Registry != "table" || t == nil {
		return &osquery.ExtensionStatus{Code: 1, Message: fmt.Sprintf("unknown %s: %s", args.Registry, args.Item)}, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(c.work, cancel)()
	gone := make(chan struct{})
	go func() { // ends with ctx, before answer returns
		defer close(gone)
		tick := time.NewTicker(hangUpInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if !peer.IsOpen() {
					cancel()
				}
			}
		}
	}()
	defer func() {
		cancel()
		<-gone
	}()
	var rows *tables.Rows
	// osquery-go reads the request and tells of columns.
	answer := table.NewPlugin(t.Name, t.Columns, func(ctx context.Context, q table.QueryContext) (_ []map[string]string, err error) {
		rows, err = c.guarded(ctx, t, q)
		return nil, err
	}).Call(ctx, args.Request)
	if rows == nil {
		rows = tables.RowsOf(answer.Response)
	}
	return answer.Status, rows
}

// guarded turns a panic into the failure of one query.
func (c caller) guarded(ctx context.Context, t *tables.Table, q table.QueryContext) (rows *tables.Rows, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			c.log.Error("a table failed", "table", t.Name, "panic", cause, "stack", string(debug.Stack()))
			rows, err = nil, fmt.Errorf("%s: internal error: %v", t.Name, cause)
		}
	}()
	return t.Generate(ctx, q)
}

// write writes an ExtensionResponse as the result of a call.
func write(ctx context.Context, out thrift.TProtocol, seq int32, status *osquery.ExtensionStatus, rows *tables.Rows) error {
	for _, step := range []func() error{
		func() error { return out.WriteMessageBegin(ctx, "call", thrift.REPLY, seq) },
		func() error { return out.WriteFieldBegin(ctx, "success", thrift.STRUCT, 0) },
		func() error { return out.WriteFieldBegin(ctx, "status", thrift.STRUCT, 1) },
		func() error { return status.Write(ctx, out) },
		func() error { return out.WriteFieldBegin(ctx, "response", thrift.LIST, 2) },
		func() error { return out.WriteListBegin(ctx, thrift.MAP, rows.Len()) },
		func() error { _, err := rows.WriteTo(out.Transport()); return err },
		func() error { return out.WriteFieldStop(ctx) }, // of the response
		func() error { return out.WriteFieldStop(ctx) }, // of the result
		func() error { return out.WriteMessageEnd(ctx) },
		func() error { return out.Flush(ctx) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("writing an answer: %w", err)
		}
	}
	return nil
}

func endpoint(socket string, uuid int64) string { return fmt.Sprintf("%s.%d", socket, uuid) }
