package pictures

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/tests/programs"
)

const (
	root    = "../.."
	columns = 112
)

var update = flag.Bool("update", false, "write the picture")

// run runs the program at a terminal of its own, in the folder of the example.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("NOT TESTED: the README's picture, there is no /dev/ptmx:", err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("NOT TESTED: the README's picture:", err)
	}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: columns}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = filepath.Join(root, "docs/example")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "TERM=xterm-256color", "LC_ALL=C.UTF-8", "ROLLCALL_CONFIG=" + filepath.Join(t.TempDir(), "none.yaml")}
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var out bytes.Buffer
	// A terminal whose last user is gone reads as EIO.
	if _, err := io.Copy(&out, master); err != nil && !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("rollcall %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

// quoted writes arguments as they are typed.
func quoted(args []string) string {
	var out []string
	for _, a := range args {
		if strings.ContainsAny(a, " \"%\\^&|<>") {
			a = "'" + a + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}

// TestPicture: what the README shows is what the program writes now. "make pictures"
// draws it anew.
func TestPicture(t *testing.T) {
	dir := t.TempDir()
	if err := programs.Build(root, dir, programs.Command); err != nil {
		t.Fatal(err)
	}
	program, err := filepath.Abs(filepath.Join(dir, programs.Command))
	if err != nil {
		t.Fatal(err)
	}
	list := run(t, program, "incident", "--from", "evidence")
	plain, err := lines(list)
	if err != nil || len(plain) == 0 {
		t.Fatalf("%v\n%q", err, list)
	}
	var first strings.Builder
	for _, p := range plain[0] {
		first.WriteString(p.text)
	}
	id, _, _ := strings.Cut(first.String(), " ")
	if len(id) < 12 {
		t.Fatalf("no id in %q", list)
	}
	var scenes []scene
	for _, s := range []struct {
		args []string
		most int
	}{
		{[]string{"score", `cmd /c "s^c  qu^ery | find /i "running" > %TEMP%\s.txt"`}, 0},
		{[]string{"incident", "--from", "evidence"}, 0},
		{[]string{"incident", "--from", "evidence", id[:4]}, 43},
	} {
		scenes = append(scenes, scene{"rollcall " + quoted(s.args), run(t, program, s.args...), s.most})
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, line := range plain {
		for _, p := range line {
			text.WriteString(p.text)
		}
		text.WriteByte('\n')
	}
	if !strings.Contains(string(readme), "$ cd docs/example && rollcall incident --from evidence\n"+text.String()+"```\n") {
		t.Errorf("the README shows something else than\n%s", text.String())
	}
	got, err := draw("Rollcall at work, on the evidence in docs/example", columns, scenes)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(root, "docs/terminal.svg")
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Fatalf("docs/terminal.svg is not what the program writes now (make pictures):\nit has    %s\nnow it is %s", w[i], g[i])
			}
		}
		t.Fatalf("docs/terminal.svg has %d lines, now there are %d (make pictures)", len(w), len(g))
	}
}

// TestLines: what would steer a terminal is no picture.
func TestLines(t *testing.T) {
	got, err := lines("a \x1b[1mb\x1b[0m\r\n\r\n\x1b[2;31mc\x1b[md\r\n")
	if err != nil || fmt.Sprint(got) != "[[{a  {false false 0}} {b {true false 0}}] [] [{c {false true 31}} {d {false false 0}}]]" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"\x1b[2J", "a\x07", "\x1b[38;5;9m", "a\rb"} {
		if got, err := lines(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
	for _, s := range []scene{{typed: "x", output: "\x07"}, {typed: "x", output: "\x1b]0;x\x07"}} {
		if _, err := draw("t", 10, []scene{s}); err == nil {
			t.Errorf("%q was drawn", s.output)
		}
	}
	if got := fmt.Sprint(fold([]piece{{"abc", style{}}, {"defg", style{bold: true}}}, 5)); got != "[[{abc {false false 0}} {de {true false 0}}] [{fg {true false 0}}]]" {
		t.Error(got)
	}
	out, err := draw(`<"&>`, 10, []scene{{typed: "<&>", output: "<b>\n1\n2\n3", most: 2}})
	if err != nil || strings.Contains(out, "<b>") || !strings.Contains(out, "&lt;b&gt;") || !strings.Contains(out, "[2 more lines]") {
		t.Errorf("%v\n%s", err, out)
	}
}
