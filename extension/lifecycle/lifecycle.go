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
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	osquerygo "github.com/osquery/osquery-go"

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
	// Ready is called once we are registered and answer on our own socket, and again
	// with each successor of that osquery.
	Ready func(uuid int64)
	// Stopping is called once, as soon as the end begins: whoever holds
	// connections to osquery closes them there, since osquery waits for them
	// before it ends.
	Stopping func()
	// Stay reports whether the osquery that is gone will have a successor on its socket
	// that does not start us again: a worker whose watcher, our parent, lives. Then
	// Serve waits for it and registers again. nil is never.
	Stay func() bool

	Tolerance Tolerance

	again bool // it is a successor that is waited for
}

// Tolerance is how much is put up with; zero values mean the defaults.
type Tolerance struct {
	Busy      time.Duration // without an answer from osquery: 60 s
	Gone      time.Duration // with nobody on the socket: 2 s
	Duplicate time.Duration // being refused as a duplicate of our predecessor: 20 s
	Forgotten time.Duration // at most between two looks whether we are known: 10 s
	Away      time.Duration // waiting for a successor, which a watcher may put off by a minute: 5 min
	Drain     time.Duration // for queries under way when the end comes: 1.2 s
}

const (
	pollSocket    = 10 * time.Millisecond
	pingTimeout   = 5 * time.Second
	callTimeout   = 10 * time.Second // registration
	selfTimeout   = 2 * time.Second  // one look whether our own socket answers
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
		{&o.Tolerance.Forgotten, 10 * time.Second}, {&o.Tolerance.Away, 5 * time.Minute}, {&o.Tolerance.Drain, 1200 * time.Millisecond},
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
	var stopping sync.Once
	stop := func() {
		if opts.Stopping != nil {
			stopping.Do(opts.Stopping)
		}
	}
	served := false
	ready := opts.Ready
	opts.Ready = func(uuid int64) {
		served = true
		if ready != nil {
			ready(uuid)
		}
	}
	var since time.Time // when there was an osquery last
	for {
		err := once(ctx, opts, stop)
		if served {
			served, since = false, time.Now()
			opts.again = true
		}
		if err == nil || since.IsZero() || !opts.waits(err) || time.Since(since) >= opts.Tolerance.Away {
			stop()
			return err
		}
		opts.Logger.Info("waiting for osquery's successor", "because", err)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-time.After(pollSocket):
		}
	}
}

// waits reports whether an end is one of osquery's worker alone.
func (o *Options) waits(err error) bool {
	for _, final := range []error{ErrRefused, ErrUnserved, ErrCoreStuck, core.ErrUnsafe} {
		if errors.Is(err, final) {
			return false
		}
	}
	return o.Stay != nil && o.Stay()
}

// once serves one osquery. stop is called as soon as the end of all begins.
func once(ctx context.Context, opts Options, stop func()) error {
	client, err := connect(ctx, opts)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { _ = client.Close() }()
	return (&service{opts: &opts, log: opts.Logger, client: client, end: stop}).run(ctx)
}

// connect waits for osquery to answer on its socket.
func connect(ctx context.Context, opts Options) (*core.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	var why error // of the last try that was not cut short
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
		if why == nil || ctx.Err() == nil {
			why = err
		}
		if opts.again && !opts.Stay() {
			return nil, ErrCoreGone
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("osquery did not answer on %s within %v: %w", opts.Socket, opts.Timeout, why)
		case <-time.After(pollSocket):
		}
	}
}

// service is one run of Serve.
type service struct {
	opts   *Options
	log    hclog.Logger
	client *core.Client
	server *server
	end    func() // tells that it is the end of all
}

func (s *service) run(ctx context.Context) (err error) {
	// Generators run under work, which ends when the time to drain is over.
	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	conns := newConnections()
	s.server = newServer(work, s.opts, s.client, conns)

	runCtx, stopRunning := context.WithCancel(ctx)
	defer stopRunning()
	served := make(chan error, 1)
	go func() { served <- s.server.run(runCtx) }()
	watched := make(chan error, 1)
	go func() { watched <- s.watch(runCtx) }()

	serving, watching := true, true
	select {
	case <-ctx.Done():
		s.log.Info("stopping")
	case <-s.server.left:
		// A shutdown request. osquery may wait for us to close our connections.
		s.log.Info("osquery asked for shutdown")
	case err = <-served:
		serving = false
	case err = <-watched:
		watching = false
	}

	deadline := time.Now().Add(s.opts.Tolerance.Drain)
	if err == nil || !s.opts.waits(err) {
		s.end()
	}
	stopRunning()
	if watching {
		<-watched
	}
	nobody := errors.Is(err, ErrCoreGone) || errors.Is(err, ErrForgotten) || errors.Is(err, ErrCoreStuck)
	s.server.stop(ctx, !nobody)
	_ = s.client.Close()
	conns.drain(deadline)
	abandon()
	if serving {
		// The listener is closed, or nothing was ever started; either way run has only
		// to return.
		select {
		case served := <-served:
			if err == nil && ctx.Err() == nil {
				err = served
			}
		case <-time.After(time.Until(deadline) + farewell):
			s.log.Warn("the server did not stop in time")
		}
	}
	conns.wait(time.Now().Add(farewell))
	s.server.wait(time.Now().Add(farewell))
	if ctx.Err() != nil {
		// Whatever failed because we were told to end is no failure.
		return nil
	}
	return err
}

// watch looks after osquery and our place in it. It returns nil when ctx ends.
func (s *service) watch(ctx context.Context) error {
	var uuid int64
	select {
	case uuid = <-s.server.registered:
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
		case !found && s.server.asked():
			// osquery takes leave of us before we are done.
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
			// A connection nobody will answer must not take all the time there is.
			try, cancel := context.WithTimeout(ctx, selfTimeout)
			self := core.NewClient(path, core.ClientOptions{})
			err = self.Ping(try)
			cancel()
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
