package repl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/osquery/osquery-go/plugin/table"
	"go.uber.org/goleak"

	"github.com/osquery-rollcall/rollcall/extension/sqlshell"
	"github.com/osquery-rollcall/rollcall/tables"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a person who types lines; an error in it is returned as it is.
type script struct {
	lines   []any
	prompts []string
	history []string
}

func (s *script) ReadLine(prompt string) (string, error) {
	s.prompts = append(s.prompts, prompt)
	if len(s.lines) == 0 {
		return "", io.EOF
	}
	next := s.lines[0]
	s.lines = s.lines[1:]
	if err, ok := next.(error); ok {
		return "", err
	}
	return next.(string), nil
}

func (s *script) Remember(entry string) { s.history = append(s.history, entry) }

// pipes writes rows as "mode:a|b".
type pipes struct {
	mode string
	w    io.Writer
}

func (p pipes) Begin([]string) error { return nil }
func (p pipes) End() error           { return nil }
func (p pipes) Row(row []string) error {
	_, err := fmt.Fprintf(p.w, "%s:%s\n", p.mode, strings.Join(row, "|"))
	return err
}

func openDB(t testing.TB) *sqlshell.DB {
	t.Helper()
	rows := []map[string]string{{"rowid": "1", "name": "ann", "time": "1"}, {"rowid": "2", "name": "bob\x1b[2J", "time": "2"}}
	db, err := sqlshell.Open(context.Background(), []*tables.Table{
		{
			Name:    "service_events",
			Columns: []table.ColumnDefinition{table.TextColumn("name", table.OptimizedColumn()), table.BigIntColumn("time", table.OptimizedColumn())},
			Generate: tables.FromMaps(func(context.Context, table.QueryContext) ([]map[string]string, error) {
				return rows, nil
			}),
		},
		{
			Name:    "service_slow",
			Columns: []table.ColumnDefinition{table.TextColumn("note", table.OptimizedColumn())},
			Generate: tables.FromMaps(func(ctx context.Context, _ table.QueryContext) ([]map[string]string, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}),
		},
		{
			Name:    "broken",
			Columns: []table.ColumnDefinition{table.TextColumn("x", table.OptimizedColumn())},
			Generate: tables.FromMaps(func(context.Context, table.QueryContext) ([]map[string]string, error) {
				return nil, errors.New("no store\x1b[2J")
			}),
		},
	}, sqlshell.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func options(t testing.TB, in LineReader, interactive bool) (Options, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	return Options{
		DB: openDB(t), In: in, Out: &out, Err: &errs, Interactive: interactive,
		Modes: []string{"table", "json"}, Mode: "table",
		NewWriter: func(mode string, w io.Writer) (sqlshell.TextSink, error) { return pipes{mode, w}, nil },
		Interrupts: func() (<-chan os.Signal, func()) {
			return nil, func() {}
		},
	}, &out, &errs
}

func TestScript(t *testing.T) {
	tests := []struct {
		name, in, out, errs, err string
	}{
		{"one", "select 1;\n", "table:1\n", "", ""},
		{"no semicolon, no newline", "select 1", "table:1\n", "", ""},
		{"several lines", "select\n  name -- ; who\nfrom service_events\nwhere time = 1;", "table:ann\n", "", ""},
		{"several on a line", "select 1; select 2; select\n3;", "table:1\ntable:2\ntable:3\n", "", ""},
		{"semicolons in quotes", "select ';\n;';", "table:;\n;\n", "", ""},
		{"comment", "-- nothing\n/* ;\n; */ select 1;\n-- end", "table:1\n", "", ""},
		{"blank", "\n  \n;;\n", "", "", ""},
		{"crlf", "select 1;\r\nselect 2;\r\n", "table:1\ntable:2\n", "", ""},
		{"mode", ".mode json\nselect 1;\n.mode", "json:1\njson\n", "", ""},
		{"unknown mode", ".mode xml\nselect 1;", "table:1\n", "Error: there is no mode xml: it is one of table, json\n", "1 of the script"},
		{"unknown command", ".foo\x1b\n", "", "Error: there is no command .foo\\x1b: .help lists them\n", "1 of the script"},
		{"exit", "select 1;\n.exit\nselect 2;", "table:1\n", "", ""},
		{"quit", "quit;\nselect 2;", "", "", ""},
		{"a command inside a statement", "select '\n.exit\n';", "table:\n.exit\n\n", "", ""},
		{"tables", ".tables", "  => broken\n  => service_events\n  => service_slow\n", "", ""},
		{"tables like", ".tables EVENTS", "  => service_events\n", "", ""},
		{"tables glob", ".tables b*", "  => broken\n", "", ""},
		{"tables none", ".tables zz", "", "No table's name is like zz; .tables lists all.\n", ""},
		{"tables bad", ".tables [", "", "Error: pattern [: it has * for anything and ? for one character: syntax error in pattern\n", "1 of the script"},
		{"schema", ".schema broken", "CREATE TABLE broken(\n    `x` TEXT\n);\n", "", ""},
		{"schema none", ".schema zz", "", "Error: there is no table zz: .tables lists them\n", "1 of the script"},
		{"timer words", ".timer maybe", "", "Error: write .timer on or .timer off\n", "1 of the script"},
		{"errors go on", "select 1;\n\nselect\n  nope;\nselect 2;", "table:1\ntable:2\n", "Error: line 4, column 3: no such column: nope (did you mean note?)\n", "1 of the script"},
		{"hostile error", "select * from broken;", "", "Error: line 1, column 1: table broken: no store\\x1b[2J\n", "1 of the script"},
		{"missing table", "select * from service_event;", "", "Error: line 1, column 1: no such table: service_event (did you mean service_events?)\n", "1 of the script"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts, out, errs := options(t, Lines(strings.NewReader(tt.in)), false)
			err := Run(context.Background(), opts)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error = %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.out, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.errs, errs.String()); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInteractive(t *testing.T) {
	in := &script{lines: []any{
		"select 1, -- one", "2;",
		"select 'x", ErrInterrupted, // gives up the statement
		ErrInterrupted,
		"select", "3;",
		"selec 4;",
		".help",
		".timer on", "select 5;",
	}}
	opts, out, errs := options(t, in, true)
	if err := Run(context.Background(), opts); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"table:1|2\n", "table:3\n", "table:5\n", ".schema [TABLE]", "Modes: table, json"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
	for _, want := range []string{
		".help lists commands", "(.exit or Ctrl-D leaves)",
		"Error: near \"selec\": syntax error\n  selec 4;\n  ^\n", "Run time: 0.0", " s, 1 rows\n",
	} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("messages lack %q:\n%s", want, errs)
		}
	}
	wantHistory := []string{"select 1, -- one", "2;", "select 3;", "selec 4;", ".help", ".timer on", "select 5;"}
	if diff := cmp.Diff(wantHistory, in.history); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if in.prompts[0] != "rollcall> " || in.prompts[1] != "     ...> " || in.prompts[2] != "rollcall> " {
		t.Errorf("prompts = %q", in.prompts[:3])
	}
}

func TestCtrlCStopsTheQueryAlone(t *testing.T) {
	for _, interactive := range []bool{true, false} {
		in := &script{lines: []any{"select * from service_slow;", "select 2;"}}
		opts, out, errs := options(t, in, interactive)
		presses, stops := 0, 0
		opts.Interrupts = func() (<-chan os.Signal, func()) {
			ch := make(chan os.Signal, 1)
			if presses++; presses == 1 {
				ch <- os.Interrupt
			}
			return ch, func() { stops++ }
		}
		err := Run(context.Background(), opts)
		if interactive {
			if err != nil || !strings.Contains(errs.String(), "Interrupted.") || !strings.Contains(out.String(), "table:2") {
				t.Errorf("error = %v, output %q, messages %q", err, out, errs)
			}
		} else if !errors.Is(err, ErrInterrupted) || out.Len() > 0 {
			t.Errorf("a script: error = %v, output %q", err, out)
		}
		if stops != presses {
			t.Errorf("%d subscriptions, %d ended", presses, stops)
		}
	}
}

func TestContextEndsTheSession(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	opts, _, _ := options(t, &script{lines: []any{"select * from service_slow;", "select 2;"}}, true)
	if err := Run(ctx, opts); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v", err)
	}
}

type brokenPipe struct{}

var errPipe = errors.New("broken pipe")

func (brokenPipe) Write([]byte) (int, error) { return 0, errPipe }

func TestOutputErrorEndsTheSession(t *testing.T) {
	for _, line := range []string{"select 1;", ".tables"} {
		opts, _, _ := options(t, &script{lines: []any{line, line}}, true)
		opts.Out = brokenPipe{}
		if err := Run(context.Background(), opts); !errors.Is(err, errPipe) {
			t.Errorf("%s: error = %v", line, err)
		}
	}
}

func TestInputErrors(t *testing.T) {
	boom := errors.New("tty gone")
	opts, _, _ := options(t, &script{lines: []any{boom}}, true)
	if err := Run(context.Background(), opts); !errors.Is(err, boom) {
		t.Errorf("error = %v", err)
	}
	opts, _, _ = options(t, Lines(strings.NewReader(strings.Repeat("x", maxStatement+10))), false)
	if err := Run(context.Background(), opts); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Errorf("a long line: error = %v", err)
	}
	long := strings.Repeat("x", maxStatement/2)
	opts, out, errs := options(t, Lines(strings.NewReader(long+"\n"+long+"\nselect 1;")), false)
	if err := Run(context.Background(), opts); err == nil || !strings.Contains(errs.String(), "was dropped") || out.String() != "table:1\n" {
		t.Errorf("a long statement: error = %v, output %q, messages %q", err, out, errs)
	}
	opts, _, _ = options(t, &script{}, true)
	opts.Mode = "xml"
	if err := Run(context.Background(), opts); err == nil || !strings.Contains(err.Error(), "table, json") {
		t.Errorf("an unknown mode: error = %v", err)
	}
}

func TestComplete(t *testing.T) {
	c := Completer{DB: openDB(t), Modes: []string{"table", "json"}}
	tests := []struct {
		line string // with | where the cursor is
		head string
		want []string
		tail string
	}{
		{"sel|", "", []string{"select"}, ""},
		{"SEL|", "", []string{"SELECT"}, ""},
		{"select * from ser|;", "select * from ", []string{"service_events", "service_slow"}, ";"},
		{"select na| from service_events", "select ", []string{"name"}, " from service_events"},
		{"select no| from service_events", "select ", []string{"not"}, " from service_events"},
		{"select no|", "select ", []string{"not", "note"}, ""},
		{"select service_events.t| from x", "select service_events.", []string{"time"}, " from x"},
		{"select e.| from service_events e", "select e.", []string{"name", "time"}, " from service_events e"},
		{"select ä, na|", "select ä, ", []string{"name"}, ""},
		{"select zz|", "select ", nil, ""},
		{"select |", "select ", nil, ""},
		{".ta|", "", []string{".tables"}, ""},
		{".|", "", []string{".exit", ".help", ".mode", ".quit", ".schema", ".tables", ".timer"}, ""},
		{".schema b|", ".schema ", []string{"broken"}, ""},
		{".mode |", ".mode ", []string{"json", "table"}, ""},
		{".timer o|", ".timer ", []string{"off", "on"}, ""},
		{".timer on o|", ".timer on ", nil, ""},
	}
	for _, tt := range tests {
		before, after, _ := strings.Cut(tt.line, "|")
		head, words, tail := c.Complete(before+after, len([]rune(before)))
		if head != tt.head || tail != tt.tail {
			t.Errorf("%s: head %q, tail %q", tt.line, head, tail)
		}
		if diff := cmp.Diff(tt.want, words); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.line, diff)
		}
	}
}

func FuzzComplete(f *testing.F) {
	f.Add("select na from service_events e where e.ti", 9)
	f.Add(".mode js", 8)
	f.Add("\xff.é", 2)
	db := openDB(f)
	f.Fuzz(func(t *testing.T, line string, pos int) {
		head, _, tail := Completer{DB: db}.Complete(line, pos)
		if len([]rune(head))+len([]rune(tail)) > len([]rune(line)) {
			t.Fatalf("Complete(%q, %d) = %q, %q", line, pos, head, tail)
		}
	})
}

// FuzzScript checks that no input panics, hangs, or puts what steers a terminal
// among the messages.
func FuzzScript(f *testing.F) {
	for _, s := range []string{"select 1;\n.tables\n", "select '", ".schema \x1b[2J", "/* ;\n", ".mode\n.timer on\n;", "select\n\n;\n.exit"} {
		f.Add(s)
	}
	db := openDB(f)
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > 4096 {
			return
		}
		opts, _, errs := Options{
			DB: db, In: Lines(strings.NewReader(in)), Out: io.Discard, Modes: []string{"table"}, Mode: "table",
			NewWriter: func(mode string, w io.Writer) (sqlshell.TextSink, error) { return pipes{mode, w}, nil },
		}, 0, &bytes.Buffer{}
		opts.Err = errs
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = Run(ctx, opts)
		for _, b := range errs.Bytes() {
			if b != '\n' && (b < ' ' || b > '~') {
				t.Fatalf("%q among the messages: %q", b, errs)
			}
		}
	})
}

func TestHistoryFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state", "rollcall", "history")
	if data, err := ReadHistory(path); data != nil || err != nil {
		t.Fatalf("no file: %q, %v", data, err)
	}
	for _, text := range []string{"select 1;\n", "select 1;\nselect 2;\n"} {
		if err := WriteHistory(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if data, err := ReadHistory(path); string(data) != text || err != nil {
			t.Fatalf("%q, %v", data, err)
		}
	}
	if runtime.GOOS != "windows" {
		for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
			if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v", p, info.Mode(), err)
			}
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	big := strings.Repeat("x\n", maxHistory)
	if err := os.WriteFile(path, []byte(big), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadHistory(path); len(data) != maxHistory || err != nil {
		t.Errorf("a big file: %d bytes, %v", len(data), err)
	}
}

func TestHistoryRefusesLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: that the history follows no link: links need a privilege on Windows")
	}
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "history")
	if err := os.WriteFile(target, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skip("NOT TESTED: that the history follows no link:", err)
	}
	if data, err := ReadHistory(link); err == nil {
		t.Errorf("read %q through a link", data)
	}
	if err := WriteHistory(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(target); string(data) != "secret" {
		t.Errorf("wrote through a link: %q", data)
	}
	linkDir := filepath.Join(dir, "linkdir")
	if err := os.Symlink(dir, linkDir); err != nil {
		t.Fatal(err)
	}
	if err := WriteHistory(filepath.Join(linkDir, "history"), nil); err == nil {
		t.Error("wrote into a directory that is a link")
	}
}

func TestHistoryPath(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: the place of the history on " + runtime.GOOS)
	}
	home := t.TempDir()
	env := map[string]string{"HOME": home}
	get := func(k string) string { return env[k] }
	if p, err := HistoryPath(get); err != nil || p != filepath.Join(home, ".local/state/rollcall/history") {
		t.Errorf("%q, %v", p, err)
	}
	env["XDG_STATE_HOME"] = home
	if p, err := HistoryPath(get); err != nil || p != filepath.Join(home, "rollcall/history") {
		t.Errorf("%q, %v", p, err)
	}
	env["XDG_STATE_HOME"] = "relative"
	if p, err := HistoryPath(get); err != nil || p != filepath.Join(home, ".local/state/rollcall/history") {
		t.Errorf("%q, %v", p, err)
	}
	for _, h := range []string{"", "relative", filepath.Join(home, "none")} {
		env["HOME"] = h
		if p, err := HistoryPath(get); err == nil {
			t.Errorf("HOME=%q: %q", h, p)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: a home that belongs to another account (needs root)")
	}
	if err := os.Chown(home, 12345, 12345); err != nil {
		t.Skip("NOT TESTED: a home that belongs to another account:", err)
	}
	env["HOME"] = home
	if p, err := HistoryPath(get); err == nil {
		t.Errorf("another's home: %q", p)
	}
}
