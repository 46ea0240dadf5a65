// Package lifecycle is how Rollcall lives beside osquery: it waits for the
// extension socket, registers the tables, serves them, watches that osquery is
// there and still knows us, and ends in good order.
//
// osquery-go's own Run ends at the first ping that fails. A core that is busy
// with a heavy query answers late, though, and restarting an extension for that
// costs its tables for seconds; while a core that forgot us, or was replaced by
// another on the same socket, answers every ping and will never call again.
// Serve tells these apart.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	osquerygo "github.com/osquery/osquery-go"
	"github.com/osquery/osquery-go/gen/osquery"
	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/tables"
)

// MaxSocketPath is the longest path of an extension socket: osquery appends a
// dot and up to five digits, and a socket's address holds 103 bytes.
const MaxSocketPath = osquerygo.MaxSocketPathCharacters

// The ends of Serve that are osquery's doing. Test for them with errors.Is.
var (
	// ErrCoreGone says that nobody serves osquery's socket any more.
	ErrCoreGone = errors.New("osquery has gone away")
	// ErrCoreStuck says that osquery did not answer for as long as is tolerated.
	ErrCoreStuck = errors.New("osquery does not answer")
	// ErrForgotten says that osquery answers but does not know us any more.
	ErrForgotten = errors.New("osquery no longer knows this extension")
	// ErrUnserved says that our own socket is served no more: a connection could not be
	// accepted, for want of file descriptors or memory.
	ErrUnserved = errors.New("the extension's socket is served no more")
	// ErrRefused says that osquery refused to register us.
	ErrRefused = errors.New("osquery refused the registration")
)

// Options are what Serve needs to know.
type Options struct {
	// Socket is the path of osquery's extension socket; a pipe's name on Windows.
	Socket string
	// Name and Version are what osquery shows of us.
	Name    string
	Version string
	// Timeout is how long to wait for the socket to appear: osquery's --timeout.
	// 0 means 3 seconds.
	Timeout time.Duration
	// Interval is the time between two looks at osquery: its --interval. It is
	// taken as at most 5 seconds, so that a dead core is noticed within 10;
	// 0 means 3 seconds.
	Interval time.Duration
	Tables   []*tables.Table
	Logger   hclog.Logger
	// Ready is called once we are registered and answer on our own socket.
	Ready func(uuid int64)
	// Stopping is called once, as soon as the end begins: whoever holds
	// connections to osquery closes them there, since osquery waits for them
	// before it ends.
	Stopping func()

	Tolerance Tolerance
}

// Tolerance is how much is put up with; zero values mean the defaults.
type Tolerance struct {
	Busy      time.Duration // without an answer from osquery: 60 s
	Gone      time.Duration // with nobody on the socket: 2 s
	Duplicate time.Duration // being refused as a duplicate of our predecessor: 20 s
	Forgotten time.Duration // at most between two looks whether we are known: 10 s
	Drain     time.Duration // for queries under way when the end comes: 1.2 s
}

const (
	pollSocket    = 10 * time.Millisecond
	pingTimeout   = 5 * time.Second
	callTimeout   = 10 * time.Second // registration
	farewell      = 400 * time.Millisecond
	bufferSize    = 64 << 10
	maxInterval   = 5 * time.Second
	clientTimeout = 30 * time.Second // on Windows, between two bytes of a call
)

func (o *Options) normalise() error {
	if o.Name == "" {
		return errors.New("an extension needs a name")
	}
	if o.Socket == "" {
		return errors.New("no extension socket was given")
	}
	if len(o.Socket) > MaxSocketPath {
		return fmt.Errorf("the extension socket's path has %d characters and may have %d: %s", len(o.Socket), MaxSocketPath, o.Socket)
	}
	defaults := []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&o.Timeout, 3 * time.Second}, {&o.Interval, 3 * time.Second},
		{&o.Tolerance.Busy, time.Minute}, {&o.Tolerance.Gone, 2 * time.Second}, {&o.Tolerance.Duplicate, 20 * time.Second},
		{&o.Tolerance.Forgotten, 10 * time.Second}, {&o.Tolerance.Drain, 1200 * time.Millisecond},
	}
	for _, d := range defaults {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	o.Interval = min(o.Interval, maxInterval)
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return nil
}

// Serve registers the tables with osquery and serves them until ctx ends or
// osquery asks us to shut down, which returns nil, or until something is wrong
// that only a new start can mend, which is an error: the caller then exits with
// a status other than zero, and osquery's watcher starts us again.
//
// At the end queries under way get a moment to finish, and nothing of Serve runs
// on, save a generator that ignores the end of its context.
func Serve(ctx context.Context, opts Options) error {
	if err := opts.normalise(); err != nil {
		return err
	}
	client, err := connect(ctx, opts)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	s := &service{
		opts:    opts,
		log:     opts.Logger,
		client:  client,
		manager: newManager(ctx, client, opts.Socket, opts.Logger),
		conns:   newConnections(),
	}
	return s.run(ctx)
}

// connect waits for osquery to answer on its socket.
func connect(ctx context.Context, opts Options) (*core.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	for {
		// A new client each time: a client pauses longer after each failure, and
		// here the socket may appear at any moment.
		client := core.NewClient(opts.Socket, core.ClientOptions{})
		err := client.Ping(ctx)
		var refused *core.StatusError
		if err == nil || errors.As(err, &refused) {
			return client, nil
		}
		_ = client.Close()
		if errors.Is(err, core.ErrUnsafe) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("osquery did not answer on %s within %v: %w", opts.Socket, opts.Timeout, err)
		case <-time.After(pollSocket):
		}
	}
}

// service is one run of Serve.
type service struct {
	opts    Options
	log     hclog.Logger
	client  *core.Client
	manager *manager
	conns   *connections
}

func (s *service) run(ctx context.Context) (err error) {
	defer func() { _ = s.client.Close() }()

	// Generators run under work, which ends when the time to drain is over.
	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()

	server, err := osquerygo.NewExtensionManagerServer(s.opts.Name, s.opts.Socket,
		osquerygo.ExtensionVersion(s.opts.Version),
		osquerygo.ServerTimeout(max(s.opts.Timeout, clientTimeout)),
		osquerygo.WithClient(s.manager),
		osquerygo.WithTransportFactory(s.conns),
	)
	if err != nil {
		return fmt.Errorf("preparing to serve tables: %w", err)
	}
	for _, t := range s.opts.Tables {
		server.RegisterPlugin(table.NewPlugin(t.Name, t.Columns, s.guard(work, t), table.WithDescription(t.Description)))
	}

	served := make(chan error, 1)
	go func() { served <- s.start(ctx, server) }()

	watchCtx, stopWatching := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- s.watch(watchCtx) }()

	serving, watching := true, true
	select {
	case <-ctx.Done():
		s.log.Info("stopping")
	case <-s.manager.left:
		// A shutdown request. The server itself ends only when osquery has closed
		// its connections, and osquery may wait for us to close ours.
		s.log.Info("osquery asked for shutdown")
	case err = <-served:
		serving = false
		if err == nil && !s.manager.gone() {
			err = ErrUnserved // a new start serves again
		}
	case err = <-watched:
		watching = false
	}

	deadline := time.Now().Add(s.opts.Tolerance.Drain)
	if s.opts.Stopping != nil {
		s.opts.Stopping()
	}
	stopWatching()
	if watching {
		<-watched
	}
	if errors.Is(err, ErrCoreGone) || errors.Is(err, ErrForgotten) || errors.Is(err, ErrCoreStuck) {
		s.manager.disown() // there is nobody to take leave of
	}
	if stopErr := server.Shutdown(context.WithoutCancel(ctx)); stopErr != nil {
		s.log.Debug("could not deregister", "error", stopErr)
	}
	_ = s.client.Close()
	s.conns.drain(deadline)
	abandon()
	if serving {
		// The listener is closed, or nothing was ever started; either way start
		// has only to return.
		select {
		case served := <-served:
			if err == nil && ctx.Err() == nil {
				err = served
			}
		case <-time.After(time.Until(deadline) + farewell):
			s.log.Warn("the server did not stop in time")
		}
	}
	s.conns.wait(time.Now().Add(farewell))
	s.manager.tidy()
	if ctx.Err() != nil {
		// Whatever failed because we were told to end is no failure.
		return nil
	}
	return err
}

// start registers and serves until the server is stopped.
func (s *service) start(ctx context.Context, server *osquerygo.ExtensionManagerServer) error {
	until := time.Now().Add(s.opts.Tolerance.Duplicate)
	pause := 100 * time.Millisecond
	for {
		err := server.Start()
		refusal := s.manager.refusal()
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case refusal == nil:
			return fmt.Errorf("serving tables: %w", err)
		}
		// Our predecessor's name is taken until osquery has noticed its death.
		duplicate := strings.Contains(strings.ToLower(refusal.Error()), "duplicate")
		var status *core.StatusError
		transient := !errors.As(refusal, &status)
		if !duplicate && !transient || time.Now().Add(pause).After(until) {
			return fmt.Errorf("%w: %w", ErrRefused, refusal)
		}
		s.log.Warn("registration failed, trying again", "error", refusal, "pause", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Second)
	}
}

// guard runs a table's generator under the end of the service, and turns a
// panic into the failure of one query.
func (s *service) guard(work context.Context, t *tables.Table) table.GenerateFunc {
	return func(ctx context.Context, query table.QueryContext) (rows []map[string]string, err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(work, cancel)()
		defer func() {
			if cause := recover(); cause != nil {
				s.log.Error("a table failed", "table", t.Name, "panic", cause, "stack", string(debug.Stack()))
				rows, err = nil, fmt.Errorf("%s: internal error: %v", t.Name, cause)
			}
		}()
		return t.Generate(ctx, query)
	}
}

// watch looks after osquery and our place in it. It returns nil when ctx ends.
func (s *service) watch(ctx context.Context) error {
	var uuid int64
	select {
	case uuid = <-s.manager.registered:
	case <-ctx.Done():
		return nil
	}
	if err := s.answer(ctx, uuid); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	s.log.Info("registered", "uuid", uuid, "tables", len(s.opts.Tables), "socket", s.opts.Socket)
	if s.opts.Ready != nil {
		s.opts.Ready(uuid)
	}

	now := time.Now()
	heard, known := now, now // when osquery last answered, and last knew us
	var gone time.Time       // since when nobody is on the socket
	trouble := false
	pause := s.opts.Interval
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = s.opts.Interval
		err := s.ping(ctx)
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, core.ErrUnreachable) || errors.Is(err, core.ErrUnsafe):
			if gone.IsZero() {
				gone = now
			}
			if now.Sub(gone) >= s.opts.Tolerance.Gone {
				return fmt.Errorf("%w: %w", ErrCoreGone, err)
			}
			pause = min(s.opts.Interval, s.opts.Tolerance.Gone/4)
			trouble = true
			continue
		case err != nil:
			gone = time.Time{}
			if silent := now.Sub(heard); silent >= s.opts.Tolerance.Busy {
				return fmt.Errorf("%w: for %v: %w", ErrCoreStuck, silent.Round(time.Second), err)
			}
			if !trouble {
				s.log.Warn("osquery answers slowly", "error", err)
			}
			trouble = true
			continue
		}
		if trouble {
			s.log.Info("osquery answers again", "after", now.Sub(heard).Round(time.Millisecond))
			known = time.Time{} // it may be another osquery
		}
		gone, trouble, heard = time.Time{}, false, now
		if now.Sub(known) < s.opts.Tolerance.Forgotten-s.opts.Interval {
			continue
		}
		switch found, err := s.isKnown(ctx, uuid); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.log.Debug("could not ask for extensions", "error", err)
		case !found && !s.manager.holds(uuid):
			// osquery asked us to shut down, and we took leave.
			<-ctx.Done()
			return nil
		case !found:
			return fmt.Errorf("%w: uuid %d", ErrForgotten, uuid)
		default:
			known = now
		}
	}
}

// answer waits until our own socket answers, as osquery will find it.
func (s *service) answer(ctx context.Context, uuid int64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	path := endpoint(s.opts.Socket, uuid)
	for {
		if err := restrict(path); err == nil {
			self := core.NewClient(path, core.ClientOptions{})
			err = self.Ping(ctx)
			_ = self.Close()
			if err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("our own socket %s does not answer: %w", path, ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (s *service) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return s.client.Ping(ctx)
}

func (s *service) isKnown(ctx context.Context, uuid int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	extensions, err := s.client.Extensions(ctx)
	if err != nil {
		return false, err
	}
	_, found := extensions[uuid]
	return found, nil
}

func endpoint(socket string, uuid int64) string { return fmt.Sprintf("%s.%d", socket, uuid) }

// manager is osquery-go's view of our own client: its NewClient would wait
// 200 ms and write every value on its own.
type manager struct {
	// life ends a registration under way: osquery-go holds a lock meanwhile that its
	// shutdown needs, and its interface has no context.
	life   context.Context
	client *core.Client
	socket string
	log    hclog.Logger

	registered chan int64    // receives the uuid once
	left       chan struct{} // closed when osquery-go has deregistered us
	leave      sync.Once

	mu      sync.Mutex
	uuid    int64  // 0 when not registered
	path    string // of our own socket
	refused error
}

var _ osquerygo.ExtensionManager = (*manager)(nil)

func newManager(life context.Context, client *core.Client, socket string, log hclog.Logger) *manager {
	return &manager{life: life, client: client, socket: socket, log: log, registered: make(chan int64, 1), left: make(chan struct{})}
}

// refusal is why the last registration failed, if it was that which failed.
func (m *manager) refusal() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}

// gone reports whether we have taken leave.
func (m *manager) gone() bool {
	select {
	case <-m.left:
		return true
	default:
		return false
	}
}

// holds reports whether we are registered under uuid as far as we know.
func (m *manager) holds(uuid int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.uuid == uuid
}

// disown forgets the registration, so that nobody is told of its end.
func (m *manager) disown() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uuid = 0
}

// tidy removes our socket where stopping came between making and serving it.
func (m *manager) tidy() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.path == "" {
		return
	}
	if err := clearStale(m.path); err != nil {
		m.log.Debug("could not remove our socket", "error", err)
	}
}

func (m *manager) RegisterExtension(info *osquery.InternalExtensionInfo, registry osquery.ExtensionRegistry) (*osquery.ExtensionStatus, error) {
	ctx, cancel := context.WithTimeout(m.life, callTimeout)
	defer cancel()
	uuid, err := m.client.Register(ctx, info, registry)
	m.mu.Lock()
	m.uuid, m.refused = uuid, err
	if err == nil {
		m.path = endpoint(m.socket, uuid)
	}
	m.mu.Unlock()
	if err != nil {
		return status(err)
	}
	// The uuid is ours; what lies at its path is left from somebody who was killed.
	if err := clearStale(endpoint(m.socket, uuid)); err != nil {
		m.log.Warn("could not remove a stale socket", "error", err)
	}
	select {
	case m.registered <- uuid:
	default:
	}
	return &osquery.ExtensionStatus{UUID: osquery.ExtensionRouteUUID(uuid)}, nil
}

func (m *manager) DeregisterExtension(uuid osquery.ExtensionRouteUUID) (*osquery.ExtensionStatus, error) {
	defer m.leave.Do(func() { close(m.left) })
	m.mu.Lock()
	known := m.uuid != 0 && m.uuid == int64(uuid)
	m.uuid = 0
	m.mu.Unlock()
	if !known {
		return &osquery.ExtensionStatus{}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if err := m.client.Deregister(ctx, int64(uuid)); err != nil {
		return status(err)
	}
	return &osquery.ExtensionStatus{}, nil
}

// status gives osquery-go a refusal as it expects it.
func status(err error) (*osquery.ExtensionStatus, error) {
	var refused *core.StatusError
	if errors.As(err, &refused) {
		return &osquery.ExtensionStatus{Code: refused.Code, Message: refused.Message}, nil
	}
	return nil, err
}

func (m *manager) Close() {}

func (m *manager) Ping() (*osquery.ExtensionStatus, error) {
	if err := m.client.Ping(context.Background()); err != nil {
		return status(err)
	}
	return &osquery.ExtensionStatus{}, nil
}

func (m *manager) Extensions() (osquery.InternalExtensionList, error) {
	found, err := m.client.Extensions(context.Background())
	if err != nil {
		return nil, err
	}
	list := make(osquery.InternalExtensionList, len(found))
	for uuid, e := range found {
		list[osquery.ExtensionRouteUUID(uuid)] = &osquery.InternalExtensionInfo{Name: e.Name, Version: e.Version, SdkVersion: e.SDKVersion}
	}
	return list, nil
}

func (m *manager) Options() (osquery.InternalOptionList, error) {
	found, err := m.client.Options(context.Background())
	if err != nil {
		return nil, err
	}
	list := make(osquery.InternalOptionList, len(found))
	for name, o := range found {
		list[name] = &osquery.InternalOptionInfo{Value: o.Value, DefaultValue: o.Default, Type: o.Type}
	}
	return list, nil
}

func (m *manager) Query(sql string) (*osquery.ExtensionResponse, error) {
	response := &osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{}}
	err := m.client.Query(context.Background(), sql, func(r *core.Row) error {
		response.Response = append(response.Response, r.Map())
		return nil
	})
	if err != nil {
		if response.Status, err = status(err); err != nil {
			return nil, err
		}
	}
	return response, nil
}

// errUnused is what osquery-go's server never asks its client for.
var errUnused = errors.New("not offered by this client")

func (m *manager) Call(string, string, osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, error) {
	return nil, errUnused
}

func (m *manager) GetQueryColumns(string) (*osquery.ExtensionResponse, error) {
	return nil, errUnused
}
