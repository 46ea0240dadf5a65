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
	// lastWords is how long storing what was heard last may take at the end.
	lastWords = 3 * time.Second
)

func main() {
	debug.SetMemoryLimit(memoryLimit)
	debug.SetGCPercent(gcPercent)
	// Whoever reads what we say may be gone: that is no reason to end.
	signal.Ignore(syscall.SIGPIPE)
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
	return serve(ctx, log, *socket, *configFile, *stateDir, time.Duration(*timeout)*time.Second, time.Duration(*interval)*time.Second)
}

// settle gives back memory that is not needed any more, until ctx ends.
func settle(ctx context.Context, log hclog.Logger) {
	next := time.NewTimer(settleAfter)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-ctx.Done():
			return
		}
		if err := lifecycle.Settle(); err != nil {
			log.Debug("could not give memory back", "error", err)
		}
		next.Reset(settleEvery)
	}
}

// serve runs the collector beside the tables until ctx or osquery ends.
func serve(outer context.Context, log hclog.Logger, socket, configFile, stateDir string, timeout, interval time.Duration) (err error) {
	// Everything of ours ends with ctx; osquery's end ends it before Serve returns.
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	client := core.NewClient(socket, core.ClientOptions{Timeout: 15 * time.Second})
	// What the kernel tells is listened to until all of it is stored.
	listening, deaf := context.WithCancel(context.WithoutCancel(ctx))
	defer deaf()
	var collector atomic.Pointer[engine.Engine]
	hurry := func() {
		if e := collector.Load(); e != nil {
			e.Hurry()
		}
	}
	var closers []io.Closer
	users := host.NewUsers(func(ctx context.Context) (map[string]string, error) { return core.Users(ctx, client) })
	// What takes osquery seconds is asked on a connection of its own.
	slow := core.NewClient(socket, core.ClientOptions{Timeout: 60 * time.Second})
	platform := evidence.ParsePlatform(runtime.GOOS)
	options := app.Options{ConfigFile: configFile, StateDir: stateDir, Logger: log, Users: users, Core: asked{client}, Braked: true}
	var logons engine.Source
	if platform == evidence.Windows {
		logons, options.WantLogons = app.NewLogonsOnDemand(core.NewLogons(slow, platform).Logons)
	}
	central := &fleet{}
	options.Parts = central.health
	options.Sources = func(r app.Rooms) []engine.Source {
		sources := []engine.Source{proc.NewRunning(proc.Options{Logger: log.Named("proc")})}
		var better []*app.Preferred
		for _, s := range core.Sources(client, platform, core.Options{Slow: slow}) {
			if name := s.Name(); name == "process_events" || name == "bpf_process_events" {
				p := app.NewPreferred(s)
				better = append(better, p)
				s = p
			}
			sources = append(sources, s)
		}
		if logons != nil {
			sources = append(sources, logons)
		}
		starts, more := app.Executions(listening, log, hurry, better...)
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
	collector.Store(a.Engine)
	stay := watched()
	if a.Engine == nil && stay != nil {
		var taken context.CancelFunc
		outer, taken = whileTaken(outer, a.Store.Dir())
		defer taken()
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
		Socket: socket, Name: "rollcall", Version: version.Number, Timeout: timeout, Interval: interval, Tables: a.Tables, Logger: log.Named("osquery"),
		Ready: func(uuid int64) {
			log.Info("registered", "uuid", uuid, "tables", len(a.Tables))
			first.Do(func() { close(ready) })
		},
		Stay: stay,
		// Our own connection to the core keeps it from ending: close it first.
		Stopping: func() {
			cancel()
			_ = client.Close() // they are idle or broken; either way they are done
			_ = slow.Close()
		},
	})
	cancel()
	if errors.Is(context.Cause(outer), errFree) {
		err = errors.Join(err, errFree)
	}
	<-collected
	if a.Engine != nil {
		last, end := context.WithTimeout(context.WithoutCancel(outer), lastWords)
		err = errors.Join(err, a.Engine.Finish(last))
		end()
	}
	for _, c := range closers {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(err, client.Close(), slow.Close(), a.Close())
}
