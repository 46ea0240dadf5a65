package lineedit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/osquery/osquery-go/plugin/table"
	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/extension/sqlshell"
	"github.com/osquery-rollcall/rollcall/extension/sqlshell/repl"
	"github.com/osquery-rollcall/rollcall/tables"
)

// childHistory names the history file for the child: the test's own program,
// which then is a shell at the terminal that the parent made.
const childHistory = "LINEEDIT_TEST_HISTORY"

func TestMain(m *testing.M) {
	if history := os.Getenv(childHistory); history != "" {
		if err := child(history); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		fmt.Println("child: done")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type plainSink struct{ w io.Writer }

func (p plainSink) Begin([]string) error { return nil }
func (p plainSink) End() error           { return nil }
func (p plainSink) Row(row []string) error {
	_, err := fmt.Fprintln(p.w, "row:"+strings.Join(row, "|"))
	return err
}

func child(history string) (err error) {
	ctx := context.Background()
	db, err := sqlshell.Open(ctx, []*tables.Table{{
		Name:    "service_slow",
		Columns: []table.ColumnDefinition{table.TextColumn("note", table.OptimizedColumn())},
		Generate: func(ctx context.Context, _ table.QueryContext) (*tables.Rows, error) {
			fmt.Println("waiting")
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}}, sqlshell.Options{})
	if err != nil {
		return err
	}
	modes := []string{"plain"}
	e, err := Open(history, repl.Completer{DB: db, Modes: modes}.Complete)
	if err != nil {
		return err
	}
	err = repl.Run(ctx, repl.Options{
		DB: db, In: e, Out: os.Stdout, Err: os.Stdout, Modes: modes, Mode: "plain", Interactive: true,
		NewWriter: func(_ string, w io.Writer) (sqlshell.TextSink, error) { return plainSink{w}, nil },
	})
	if cerr := e.Close(); err == nil {
		err = cerr
	}
	return err
}

// screen collects what the child writes to its terminal.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// wait waits until the text shows up n times.
func (s *screen) wait(t *testing.T, text string, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); strings.Count(s.String(), text) < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q did not show up %d times on the terminal:\n%q", text, n, s)
		}
	}
}

// terminal makes a pseudo-terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("NOT TESTED: the line editor at a terminal, there is no /dev/ptmx:", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("NOT TESTED: the line editor at a terminal:", err)
	}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func TestAtATerminal(t *testing.T) {
	history := filepath.Join(t.TempDir(), "rollcall", "history")
	if err := repl.WriteHistory(history, []byte("select 'from before';\n")); err != nil {
		t.Fatal(err)
	}
	master, slave := terminal(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childHistory+"="+history, "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close() // the child has its own
	ended := false
	defer func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	var s screen
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(&s, master) // ends with an error when the child has gone
	}()
	send := func(text string) {
		if _, err := master.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}

	s.wait(t, "rollcall> ", 1)
	send("sel\t 1 + 1;\r") // completion
	s.wait(t, "row:2", 1)
	send("\x1b[A\x1b[A\r") // up, up: the entry from the file
	s.wait(t, "row:from before", 1)
	send("select * from service_s\t;\r")
	s.wait(t, "waiting", 1)
	send("\x03") // stops the query
	s.wait(t, "Interrupted.", 1)
	send("select 'typed\r")
	s.wait(t, "...> ", 1)
	send("\x03") // gives the statement up
	send("select 7 * 6;\r")
	s.wait(t, "row:42", 1)
	send("\x04") // end of file
	s.wait(t, "child: done", 1)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the child: %v", err)
	}
	ended = true
	<-copied

	data, err := os.ReadFile(history)
	if err != nil {
		t.Fatal(err)
	}
	want := "select 'from before';\nselect 1 + 1;\nselect 'from before';\nselect * from service_slow;\nselect 7 * 6;\n"
	if string(data) != want {
		t.Errorf("history = %q, want %q", data, want)
	}
	if info, err := os.Stat(history); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("history: %v, %v", info.Mode(), err)
	}
}
