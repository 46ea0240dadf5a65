// Rollcall.ext is the osquery extension: it registers Rollcall's tables with the
// osquery process that started it and serves them until that process ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host"
	"github.com/osquery-rollcall/rollcall/extension/lifecycle"
	"github.com/osquery-rollcall/rollcall/extension/logline"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/extension/source/proc"
	"github.com/osquery-rollcall/rollcall/extension/source/self"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/extension/version"
)

const help = `rollcall.ext is an osquery extension; osquery starts it, people use "rollcall".

It serves the tables service_discovery_* to the osquery process behind --socket.

Usage: rollcall.ext --socket PATH [flags]

Flags:
`

// The memory of an agent on every endpoint: the collector gives memory back
// rather than growing towards the watchdog's limit.
const (
	memoryLimit = 36 << 20
	gcPercent   = 50
	// settleAfter is when the start is over: sources were read and read again. What was
	// used once since then is given back every settleEvery.
	settleAfter = 12 * time.Second
	settleEvery = 5 * time.Minute
	// roomEvery is how often the limit is set anew.
	roomEvery = 5 * time.Second
	// lastWords is how long storing what was heard last may take at the end.
	lastWords = 3 * time.Second
	// patience is how long a start waits for the end of the predecessor that a killed
	// osqueryd left behind.
	patience = time.Second
)

func main() {
	debug.SetMemoryLimit(memoryLimit)
	debug.SetGCPercent(gcPercent)
	// Whoever reads what we say may be gone: that is no reason to end.
	signal.Ignore(syscall.SIGPIPE)
	if err := lifecycle.Disinherit(); err != nil {
		fmt.Fprintln(logline.Writer(os.Stderr), "rollcall.ext:", err)
	}
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(logline.Writer(os.Stderr), "rollcall.ext:", err)
			os.Exit(1)
		}
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("rollcall.ext", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	socket := fs.String("socket", "", "osquery's extension socket (a named pipe on Windows)")
	timeout := fs.Int("timeout", 3, "seconds to wait for the socket")
	interval := fs.Int("interval", 3, "seconds between two looks at osquery")
	verbose := fs.Bool("verbose", false, "log what is going on")
	configFile := fs.String("config", "", "configuration file")
	stateDir := fs.String("state", "", "directory of the state")
	showVersion := fs.Bool("version", false, "print the version and end")
	fs.Usage = func() {
		fmt.Fprint(stdout, help)
		fs.SetOutput(stdout)
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w; see --help", err)
	}
	if *showVersion {
		fmt.Fprintln(stdout, "rollcall.ext", version.String())
		return nil
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see --help", fs.Arg(0))
	}
	if *socket == "" {
		return errors.New("--socket is missing: osquery gives it, see --help")
	}
	if *timeout < 1 || *interval < 1 {
		return errors.New("--timeout and --interval are whole seconds, at least 1")
	}

	level := hclog.Info
	if *verbose {
		level = hclog.Debug
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "rollcall", Level: level, Output: logline.Writer(stderr)})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What the kernel tells is listened to until all of it is stored.
	listening, deaf := context.WithCancel(context.WithoutCancel(ctx))
	defer deaf()
	s := &service{log: log, socket: *socket, configFile: *configFile, stateDir: *stateDir,
		timeout: time.Duration(*timeout) * time.Second, interval: time.Duration(*interval) * time.Second, stay: watched()}
	for {
		// Before all else: the kernel keeps nothing for who does not listen.
		if s.audit == nil {
			s.audit = app.NewAudit(listening, log, s.hurry)
		}
		err := s.serve(ctx)
		if !errors.Is(err, errFree) || ctx.Err() != nil {
			return errors.Join(err, s.audit.Close())
		}
		log.Info("going on in the place of the Rollcall that has ended")
		if s.deaf {
			if err := s.audit.Close(); err != nil {
				return err
			}
			s.audit, s.deaf = nil, false
		}
	}
}

// settle gives back memory that is not needed any more, and has the collector leave us
// what is, until ctx ends.
func settle(ctx context.Context, log hclog.Logger) {
	next := time.NewTimer(settleAfter)
	defer next.Stop()
	room := time.NewTicker(roomEvery)
	defer room.Stop()
	limit := int64(memoryLimit)
	for {
		select {
		case <-next.C:
		case <-room.C:
			if now := lifecycle.Room(memoryLimit); (now > memoryLimit) != (limit > memoryLimit) {
				log.Debug("memory", "limit", now)
				limit = now
			}
			continue
		case <-ctx.Done():
			return
		}
		if err := lifecycle.Settle(); err != nil {
			log.Debug("could not give memory back", "error", err)
		}
		next.Reset(settleEvery)
	}
}

// service is the extension's life beside osquery.
type service struct {
	log                          hclog.Logger
	socket, configFile, stateDir string
	timeout, interval            time.Duration
	// stay reports whether the osqueryd that started us lives; nil where none did.
	stay  func() bool
	audit *app.Audit
	// deaf says that the audit was not listened to any more.
	deaf      bool
	collector atomic.Pointer[engine.Engine]
}

// hurry asks for a collect cycle now.
func (s *service) hurry() {
	if e := s.collector.Load(); e != nil {
		e.Hurry()
	}
}

// serve runs the collector beside the tables until ctx or osquery ends. It returns
// errFree when only reading was possible until now.
func (s *service) serve(outer context.Context) (err error) {
	log := s.log
	// Everything of ours ends with ctx; osquery's end ends it before Serve returns.
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	client := core.NewClient(s.socket, core.ClientOptions{Timeout: 15 * time.Second})
	// The process connector, too, is heard until all is stored.
	hearing, hush := context.WithCancel(context.WithoutCancel(ctx))
	defer hush()
	var closers []io.Closer
	users := host.NewUsers(func(ctx context.Context) (map[string]string, error) { return core.Users(ctx, client) })
	// What takes osquery seconds is asked on a connection of its own.
	slow := core.NewClient(s.socket, core.ClientOptions{Timeout: 60 * time.Second})
	platform := evidence.ParsePlatform(runtime.GOOS)
	options := app.Options{ConfigFile: s.configFile, StateDir: s.stateDir, Logger: log, Users: users, Core: asked{client}, Braked: true}
	if s.stay != nil {
		options.Succeed = patience
	}
	var logons engine.Source
	if platform == evidence.Windows {
		logons, options.WantLogons = app.NewLogonsOnDemand(core.NewLogons(slow, platform).Logons)
	}
	central := &fleet{}
	options.Parts = central.health
	options.Sources = func(r app.Rooms) []engine.Source {
		sources := []engine.Source{proc.NewRunning(proc.Options{Logger: log.Named("proc")})}
		var better []*app.Preferred
		for _, source := range core.Sources(client, platform, core.Options{Slow: slow}) {
			if name := source.Name(); name == "process_events" || name == "bpf_process_events" {
				p := app.NewPreferred(source)
				better = append(better, p)
				source = p
			}
			sources = append(sources, source)
		}
		if logons != nil {
			sources = append(sources, logons)
		}
		starts, more := app.Executions(hearing, log, s.audit, better...)
		closers = append(closers, more...)
		sources = append(sources, self.New(self.Options{Items: self.Items(r.Places)}))
		live, more := app.Live(r, log)
		closers = append(closers, more...)
		return append(append(sources, starts...), live...)
	}
	a, err := app.Open(ctx, options)
	if err != nil {
		return errors.Join(err, client.Close(), slow.Close())
	}
	s.collector.Store(a.Engine)
	var orphaned *orphanage
	unwatched := context.CancelFunc(func() {})
	switch {
	case s.stay == nil:
	case a.Engine == nil:
		outer, unwatched = whileTaken(outer, a.Store.Dir(), func() {
			s.deaf = true
			a.Resign(log)
			if err := s.audit.Close(); err != nil {
				log.Debug("could not stop listening", "error", err)
			}
		})
	default:
		orphaned = &orphanage{time: orphanTime, stay: s.stay, awaited: func() bool { return store.Awaited(a.Store.Dir()) }}
		outer, unwatched = orphaned.watch(outer)
	}
	central.start(client, a, log.Named("central"))
	collected := make(chan struct{})
	ready := make(chan struct{})
	go func() { // ends with ctx, before serve returns
		defer close(collected)
		select {
		case <-ready:
		case <-ctx.Done():
			return
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { central.watcher.Run(ctx) })
		wg.Go(func() { settle(ctx, log) })
		if a.Engine != nil {
			if err := a.Engine.Run(ctx); err != nil {
				log.Error("collector ended", "error", err)
			}
		}
	}()
	var first sync.Once
	err = lifecycle.Serve(outer, lifecycle.Options{
		Socket: s.socket, Name: "rollcall", Version: version.Number, Timeout: s.timeout, Interval: s.interval, Tables: a.Tables, Logger: log.Named("osquery"),
		Ready: func(uuid int64) {
			log.Info("registered", "uuid", uuid, "tables", len(a.Tables))
			first.Do(func() { close(ready) })
		},
		Stay: s.stay,
		// Our own connection to the core keeps it from ending: close it first.
		Stopping: func() {
			cancel()
			_ = client.Close() // they are idle or broken; either way they are done
			_ = slow.Close()
		},
	})
	cancel()
	<-collected
	if orphaned != nil && err != nil {
		orphaned.outlive(outer, func() { err = errors.Join(err, s.finish(outer, a.Engine)) })
	}
	unwatched()
	if why := context.Cause(outer); errors.Is(why, errFree) || errors.Is(why, errSucceeded) {
		err = errors.Join(err, why)
	}
	if a.Engine != nil {
		err = errors.Join(err, s.finish(outer, a.Engine))
	}
	for _, c := range closers {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(err, client.Close(), slow.Close(), a.Close())
}

// finish stores what was heard, also after the end of ctx: all of it, where that ended
// because a successor hears what comes.
func (s *service) finish(ctx context.Context, e *engine.Engine) error {
	last, end := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer end()
	err := e.Finish(last)
	if errors.Is(context.Cause(ctx), errSucceeded) {
		err = errors.Join(err, s.audit.HandOver(last), e.Finish(last))
	}
	return err
}
