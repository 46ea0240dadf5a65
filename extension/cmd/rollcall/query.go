package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/mattn/go-isatty"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/cmd/rollcall/term"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/host"
	"github.com/osquery-rollcall/rollcall/extension/logline"
	"github.com/osquery-rollcall/rollcall/extension/source/proc"
	"github.com/osquery-rollcall/rollcall/extension/sqlshell"
	"github.com/osquery-rollcall/rollcall/extension/sqlshell/repl"
	"github.com/osquery-rollcall/rollcall/extension/sqlshell/repl/lineedit"
)

const queryHelp = `Usage: rollcall query [flags] 'SQL'

Runs SQL (SQLite's) over Rollcall's tables on this host, without osquery. The
evidence is what runs now and, for root on Linux, everything that starts during
--for. Beside a running Rollcall extension it shows what that has stored.
With "-" the SQL is read from standard input.

With --from the evidence is recorded: event logs of Windows (.evtx, or exported
as XML or JSON), audit.log, syslog, exports of the journal, osquery's results
logs, and JSON of Elastic, Defender, CrowdStrike and others, from files and
folders, recognised by content. Text may be UTF-8 or, with its mark, UTF-16.
Name --from once for each; "--from -" reads standard input. The state is then a
temporary one unless --state names a directory.

Flags:

Examples:
  rollcall query "SELECT component, state, remedy FROM service_discovery_health"
  rollcall query --for 30s "SELECT username, cmdline, score FROM service_discovery_events"
  rollcall query --from /evidence "SELECT name, action, score FROM service_install_events"
  rollcall query --format csv "SELECT name, path, account FROM service_inventory" > services.csv
`

const shellHelp = `Usage: rollcall shell [flags]

Reads SQL statements and commands (.help) and answers them.

Flags:

Examples:
  rollcall shell
  rollcall shell --from /evidence
  echo "SELECT title FROM service_discovery_rules;" | rollcall shell --mode line
`

// session is the tables opened for a person.
type session struct {
	from      *fromFiles
	app       *app.App
	db        *sqlshell.DB
	cancel    context.CancelFunc
	collector chan struct{}
	closers   []io.Closer
}

type sessionFlags struct {
	configFile, stateDir string
	temporary, verbose   bool
	from                 paths
	fieldMaps            string
}

// paths is a flag that can be given several times.
type paths []string

func (p *paths) String() string     { return strings.Join(*p, ", ") }
func (p *paths) Set(s string) error { *p = append(*p, s); return nil }

func (f *sessionFlags) open(ctx context.Context, env *environment) (*session, error) {
	level := hclog.Error
	if f.verbose {
		level = hclog.Debug
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "rollcall", Level: level, Output: logline.Writer(env.stderr)})
	life, cancel := context.WithCancel(ctx)
	s := &session{cancel: cancel}
	var err error
	o := app.Options{ConfigFile: f.configFile, StateDir: f.stateDir, Temporary: f.temporary, Logger: log}
	if len(f.from) == 0 { // recorded ids are of other hosts
		o.Users = host.NewUsers(host.Passwd)
	}
	if len(f.from) > 0 {
		if s.from, err = openFrom(env, f.from, f.fieldMaps); err != nil {
			cancel()
			return nil, err
		}
		o.Replay, o.Now, o.Temporary = true, s.from.now, f.temporary || f.stateDir == ""
	}
	o.Sources = func(r app.Rooms) []engine.Source {
		if s.from != nil {
			return s.from.sources()
		}
		sources := []engine.Source{proc.NewRunning(proc.Options{Logger: log.Named("proc")})}
		audit := app.NewAudit(life, log, nil)
		starts, closers := app.Executions(life, log, audit)
		live, more := app.Live(r, log)
		s.closers = append(append(closers, audit), more...)
		return append(append(sources, starts...), live...)
	}
	s.app, err = app.Open(ctx, o)
	if err != nil {
		cancel()
		if s.from != nil {
			err = errors.Join(err, s.from.Close())
		}
		return nil, err
	}
	for _, n := range s.app.Notes {
		fmt.Fprintln(env.stderr, "rollcall:", n)
	}
	s.db, err = sqlshell.Open(ctx, s.app.Tables, sqlshell.Options{Strict: true, Lookup: true, Warn: func(msg string) { fmt.Fprintln(env.stderr, "rollcall:", msg) }})
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// collect reads the evidence: once, or for as long as d.
func (s *session) collect(ctx context.Context, env *environment, d time.Duration) error {
	if s.app.Engine == nil {
		return nil
	}
	if s.from != nil {
		err := s.from.collect(ctx, s.app.Engine.Collect)
		s.from.report(env.stderr)
		return err
	}
	if err := s.app.Engine.Collect(ctx); err != nil {
		return err
	}
	if d <= 0 {
		return nil
	}
	fmt.Fprintf(env.stderr, "rollcall: collecting for %v\n", d)
	defer startWaiting(env.stderr, func(since time.Duration) string {
		return fmt.Sprintf("rollcall: %d s left", int((d-since).Seconds()+0.5))
	})()
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.app.Engine.Collect(ctx)
}

// background collects until close.
func (s *session) background(ctx context.Context) {
	if s.app.Engine == nil || s.from != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := s.cancel
	s.cancel = func() { cancel(); stop() }
	s.collector = make(chan struct{})
	go func() { // close waits for it
		defer close(s.collector)
		_ = s.app.Engine.Run(ctx) // it logs its own errors and ends with ctx
	}()
}

func (s *session) close() error {
	var errs []error
	s.cancel()
	if s.collector != nil {
		<-s.collector
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	for _, c := range s.closers {
		errs = append(errs, c.Close())
	}
	if s.from != nil {
		errs = append(errs, s.from.Close())
	}
	return errors.Join(append(errs, s.app.Close())...)
}

// terminal is how results look on this environment's output.
func terminal(env *environment) term.Options {
	if f, ok := env.stdout.(*os.File); ok {
		return term.Detect(f, env.getenv)
	}
	return term.Options{}
}

func runQuery(ctx context.Context, env *environment, args []string) (err error) {
	fs := newFlags(env, "query", queryHelp)
	var f sessionFlags
	f.flags(fs)
	format := fs.String("format", term.Table, strings.Join(term.Formats(), ", "))
	duration := fs.Duration("for", 0, "collect this long before answering")
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return usage("query: name one SQL text in quotes, or - for standard input")
	}
	if *duration < 0 {
		return usage("query: --for cannot be negative")
	}
	sql := fs.Arg(0)
	if sql == "-" {
		b, err := io.ReadAll(io.LimitReader(env.stdin, 1<<20))
		if err != nil {
			return fmt.Errorf("read SQL: %w", err)
		}
		sql = string(b)
	}
	stop := func() {}
	out := bufio.NewWriter(&firstWrite{env.stdout, func() { stop() }})
	w, err := term.New(*format, out, terminal(env))
	if err != nil {
		return usage("query: %v", err)
	}
	s, err := f.open(ctx, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.collect(ctx, env, *duration); err != nil {
		return fmt.Errorf("collect evidence: %w", err)
	}
	stop = startWaiting(env.stderr, working)
	defer func() { stop() }()
	if err := s.db.Run(ctx, sql, sqlshell.Texts(w)); err != nil {
		return errors.Join(err, out.Flush())
	}
	return out.Flush()
}

func runShell(ctx context.Context, env *environment, args []string) (err error) {
	fs := newFlags(env, "shell", shellHelp)
	var f sessionFlags
	f.flags(fs)
	mode := fs.String("mode", term.Table, strings.Join(term.Formats(), ", "))
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return usage("shell: unexpected argument %q", fs.Arg(0))
	}
	s, err := f.open(ctx, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.collect(ctx, env, 0); err != nil {
		return fmt.Errorf("collect evidence: %w", err)
	}
	s.background(ctx)
	looks := terminal(env)
	opts := repl.Options{
		DB: s.db, Out: env.stdout, Err: env.stderr, Modes: term.Formats(), Mode: *mode, Visible: looks.Visible,
		NewWriter: func(mode string, w io.Writer) (sqlshell.TextSink, error) { return term.New(mode, w, looks) },
		Waiting: func(w io.Writer) (io.Writer, func()) {
			stop := startWaiting(env.stderr, working)
			return &firstWrite{w, stop}, stop
		},
	}
	if in, ok := env.stdin.(*os.File); ok && isatty.IsTerminal(in.Fd()) {
		history, err := repl.HistoryPath(env.getenv)
		if err != nil {
			history = ""
		}
		completer := &repl.Completer{DB: s.db, Modes: term.Formats()}
		editor, err := lineedit.Open(history, completer.Complete)
		if err != nil {
			fmt.Fprintln(env.stderr, "rollcall:", err)
		}
		if editor != nil {
			defer func() { err = errors.Join(err, editor.Close()) }()
			opts.In, opts.Interactive = editor, true
		}
	}
	if opts.In == nil {
		opts.In = repl.Lines(env.stdin)
	}
	return repl.Run(ctx, opts)
}
