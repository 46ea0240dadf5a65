// Package repl is the interactive shell over Rollcall's tables: it reads
// statements and dot-commands, from a person at a terminal or from a pipe, and
// writes results and what is wrong.
package repl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/sqlshell"
)

// maxStatement bounds what is collected until a semicolon, in bytes.
const maxStatement = 1 << 20

// ErrInterrupted is what a LineReader returns when the person pressed Ctrl-C at
// the prompt, and the reason of a query that Ctrl-C stopped.
var ErrInterrupted = errors.New("interrupted")

// DB is what the shell asks; *sqlshell.DB is one.
type DB interface {
	Run(ctx context.Context, sql string, sink sqlshell.Sink) error
	Tables() []string
	Columns(table string) []table.ColumnDefinition
	Schema(table string) string
}

// LineReader reads lines, from a line editor or from a pipe.
type LineReader interface {
	// ReadLine returns the next line without its end: io.EOF when there is none,
	// ErrInterrupted when the person gave up the line.
	ReadLine(prompt string) (string, error)
	// Remember adds an entry to the history that the person can go back to.
	Remember(entry string)
}

// Options are what a shell works with.
type Options struct {
	DB  DB
	In  LineReader
	Out io.Writer // results
	Err io.Writer // messages to the person

	// NewWriter makes what writes results in a mode. It is called for each run.
	NewWriter func(mode string, w io.Writer) (sqlshell.TextSink, error)
	// Modes are the modes of NewWriter; Mode is the one to begin with.
	Modes []string
	Mode  string

	// Waiting tells the person that a run takes its time, until something is written to
	// the writer it returns or stop is called. Nil tells nothing.
	Waiting func(w io.Writer) (out io.Writer, stop func())

	// Interactive says that a person types: there are greetings and prompts,
	// errors are no failure of the shell, and Ctrl-C stops a query only.
	Interactive bool
	// Interrupts subscribes to Ctrl-C while a query runs, until stop is called.
	// Nil means the process's interrupt signal.
	Interrupts func() (ch <-chan os.Signal, stop func())
	// Visible makes text safe for the terminal. Nil escapes all but ASCII.
	Visible func(string) string
}

// shell is one session.
type shell struct {
	Options
	out    *errWriter
	timer  bool
	failed int
	line   int // of the script, from 1
}

// errExit ends a session from a command.
var errExit = errors.New("exit")

// Run reads and runs until the input ends, .exit, or ctx ends. In a script
// (not Interactive) statements go on after one that failed; in the end Run fails
// if any did. An error of Out ends the session and is returned.
func Run(ctx context.Context, opts Options) error {
	if opts.Interrupts == nil {
		opts.Interrupts = osInterrupts
	}
	if opts.Visible == nil {
		opts.Visible = visible
	}
	s := &shell{Options: opts, out: &errWriter{w: opts.Out}}
	if !slices.Contains(s.Modes, s.Mode) {
		return fmt.Errorf("mode %q: it is one of %s", s.Mode, strings.Join(s.Modes, ", "))
	}
	if s.Interactive {
		s.say("Rollcall's tables. Statements end with a semicolon; .help lists commands.")
	}
	err := s.loop(ctx)
	if err != nil && !errors.Is(err, errExit) {
		return err
	}
	if s.failed > 0 && !s.Interactive {
		return fmt.Errorf("%d of the script's statements or commands failed", s.failed)
	}
	return nil
}

func osInterrupts() (<-chan os.Signal, func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt)
	return ch, func() { signal.Stop(ch) }
}

func visible(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r >= ' ' && r <= '~' {
			b.WriteByte(s[0])
		} else {
			q := strconv.QuoteToASCII(s[:size])
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[size:]
	}
	return b.String()
}

// say tells the person something; what it is about is in the text already safe.
func (s *shell) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Err, format+"\n", args...) // nobody is left to tell
}

func (s *shell) loop(ctx context.Context) error {
	var buf strings.Builder // of the statements that are not complete
	start := 1              // the line buf begins at
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		prompt := "rollcall> "
		if buf.Len() > 0 {
			prompt = "     ...> "
		}
		line, err := s.In.ReadLine(prompt)
		switch {
		case errors.Is(err, io.EOF):
			if s.Interactive {
				s.say("")
				return nil
			}
			if !sqlshell.Blank(buf.String()) {
				return s.runSQL(ctx, buf.String(), start)
			}
			return nil
		case errors.Is(err, ErrInterrupted) && s.Interactive:
			if buf.Len() == 0 {
				s.say("(.exit or Ctrl-D leaves)")
			}
			buf.Reset()
			continue
		case err != nil:
			return fmt.Errorf("read a statement: %w", err)
		}
		s.line++
		if buf.Len() == 0 {
			start = s.line
			if cmd, ok := command(line); ok {
				if err := s.runCommand(cmd); err != nil {
					return err
				}
				continue
			}
			if strings.TrimSpace(line) == "" {
				continue
			}
		}
		if buf.Len()+len(line) >= maxStatement {
			buf.Reset()
			s.fail("a statement is longer than %d bytes and was dropped", maxStatement)
			continue
		}
		buf.WriteString(line)
		buf.WriteByte('\n')
		if !strings.Contains(line, ";") && !sqlshell.Blank(buf.String()) {
			continue
		}
		stmts, rest := sqlshell.Split(buf.String())
		buf.Reset()
		run := strings.Join(stmts, "")
		if !sqlshell.Blank(rest) {
			buf.WriteString(rest)
		}
		if sqlshell.Blank(run) {
			continue
		}
		s.remember(run)
		if err := s.runSQL(ctx, run, start); err != nil {
			return err
		}
		start = s.line
	}
}

// remember keeps statements as one line of history where that means the same.
func (s *shell) remember(sql string) {
	lines := strings.Split(strings.TrimSpace(sql), "\n")
	for _, l := range lines {
		if len(lines) > 1 && (strings.Contains(l, "--") || strings.Count(l, "'")%2 != 0 || strings.Count(l, `"`)%2 != 0) {
			for _, l := range lines {
				s.In.Remember(l)
			}
			return
		}
	}
	s.In.Remember(strings.Join(lines, " "))
}

// runSQL runs statements that began at a line of the script. Its error ends the
// session.
func (s *shell) runSQL(ctx context.Context, sql string, line int) error {
	var out io.Writer = s.out
	stop := func() {}
	if s.Waiting != nil {
		out, stop = s.Waiting(s.out)
	}
	defer stop()
	w, err := s.NewWriter(s.Mode, out)
	if err != nil {
		return err
	}
	counter := &counter{TextSink: w}
	begin := time.Now()
	err = s.cancellable(ctx, func(ctx context.Context) error {
		return s.DB.Run(ctx, sql, sqlshell.Texts(counter))
	})
	stop()
	switch {
	case s.out.err != nil:
		return fmt.Errorf("write the results: %w", s.out.err)
	case err == nil:
	case errors.Is(err, ErrInterrupted):
		if !s.Interactive {
			return err
		}
		s.say("Interrupted.")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		s.explain(err, sql, line)
	}
	if s.timer {
		s.say("Run time: %.3f s, %d rows", time.Since(begin).Seconds(), counter.rows)
	}
	return nil
}

// cancellable runs f with a context that Ctrl-C ends.
func (s *shell) cancellable(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	ch, stop := s.Interrupts()
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-ch:
			cancel(ErrInterrupted)
		case <-ctx.Done():
		}
	}()
	err := f(ctx)
	stop()
	cancel(nil)
	<-done
	return err
}

// explain shows an error of a query and where it is.
func (s *shell) explain(err error, sql string, line int) {
	var e *sqlshell.Error
	if !errors.As(err, &e) || e.Offset > len(sql) {
		s.fail("%s", s.Visible(err.Error()))
		return
	}
	text := e.Err.Error()
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	if !s.Interactive {
		s.fail("line %d, column %d: %s", line+e.Line-1, e.Column, s.Visible(text))
		return
	}
	s.fail("%s", s.Visible(text))
	from := strings.LastIndexByte(sql[:e.Offset], '\n') + 1
	source, _, _ := strings.Cut(sql[from:], "\n")
	// The caret needs characters that are one column each.
	if plain(source) {
		s.say("  %s\n  %s^", source, strings.Repeat(" ", e.Offset-from))
	}
}

func plain(s string) bool {
	const longest = 160
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= longest
}

// fail tells what did not work.
func (s *shell) fail(format string, args ...any) {
	s.failed++
	s.say("Error: "+format, args...)
}

// counter counts the rows that pass.
type counter struct {
	sqlshell.TextSink
	rows int
}

func (c *counter) Row(row []string) error {
	c.rows++
	return c.TextSink.Row(row)
}

// errWriter remembers that the output failed.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.w.Write(p)
	if err != nil {
		e.err = err
	}
	return n, err
}

// Lines makes a LineReader of a pipe or a file. Lines are at most 1 MiB long.
func Lines(r io.Reader) LineReader { return &lines{r: bufio.NewReader(r)} }

type lines struct{ r *bufio.Reader }

func (l *lines) ReadLine(string) (string, error) {
	var b strings.Builder
	for {
		part, more, err := l.r.ReadLine()
		if err != nil {
			return "", err
		}
		if b.Len()+len(part) > maxStatement {
			return "", fmt.Errorf("a line is longer than %d bytes", maxStatement)
		}
		b.Write(part)
		if !more {
			return b.String(), nil
		}
	}
}

func (l *lines) Remember(string) {}
