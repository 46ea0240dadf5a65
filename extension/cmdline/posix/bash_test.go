//go:build unix

package posix

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// writer writes harmless shell text: every program it names does not exist.
type writer struct {
	*rand.Rand
	depth int
	// maybe is above zero where nobody can say whether it will run: of a variable that
	// is set there the reader knows one value.
	maybe int
}

func (w *writer) one(list ...string) string { return list[w.IntN(len(list))] }

// text is a run of letters without a meaning to a shell.
func (w *writer) text() string {
	return w.one("systemctl", "list-units", "sc", "query", "a", "x1", "status", "nginx", "--all", "-t", "service", "launchctl", "etc/init.d", "k=v", "7", "@", "%s", "net", "start")
}

// word is a word of a command in one of the ways a shell lets it be written.
func (w *writer) word() string {
	var parts []string
	for range 1 + w.IntN(3) {
		t := w.text()
		cut := w.IntN(len(t) + 1)
		switch w.IntN(22) {
		case 0, 1, 2, 3:
			parts = append(parts, t)
		case 4:
			parts = append(parts, "'"+t+" "+w.text()+"'")
		case 5:
			parts = append(parts, `"`+t+"  "+w.text()+`"`)
		case 6:
			parts = append(parts, t[:cut]+`""`+t[cut:])
		case 7:
			parts = append(parts, t[:cut]+`'`+t[cut:]+`'`)
		case 8:
			if cut < len(t) {
				t = t[:cut] + `\` + t[cut:]
			}
			parts = append(parts, t)
		case 9:
			parts = append(parts, "$'"+t+w.one(`\x73`, `\t`, `\143`, `\\`, `\'`, ``)+"'")
		case 10:
			parts = append(parts, w.one("${v}", `"$v"`, "${w}", `"${w}"`))
		case 11:
			parts = append(parts, w.one("${v:-"+t+"}", "${unset:-"+t+"}", fmt.Sprintf("${fresh%d:=%s}", w.Uint32(), t), "${v:+"+t+"}", `"${unset-`+t+`}"`))
		case 12:
			parts = append(parts, w.one("${v:1:3}", "${v:2}", "${v: -2}", "${v:0:-1}", "${#v}"))
		case 13:
			parts = append(parts, w.one("${v#s}", "${v##*s}", "${v%l}", "${v%%t*}", "${v/t/T}", "${v//s/z}", "${v^^}", "${v,,}", "${v^}"))
		case 14:
			parts = append(parts, "$(echo "+w.quoted()+")")
		case 15:
			parts = append(parts, "`echo "+t+"`")
		case 16:
			parts = append(parts, "$(printf '%s' "+t+")")
		case 17:
			parts = append(parts, "{"+t+","+w.text()+"}")
		case 18:
			parts = append(parts, fmt.Sprintf("$((%d%s%d))", w.IntN(9), w.one("+", "*", "-"), w.IntN(9)))
		case 19:
			parts = append(parts, w.one("{1..3}", "{a..c}", "{3..1}"))
		case 20:
			parts = append(parts, w.one("${IFS}", "$1", "$@", `"$@"`, "$#"))
		case 21:
			parts = append(parts, w.one("${l[0]}", `"${l[@]}"`, "${l[1]}", "${#l[@]}"))
		}
	}
	return strings.Join(parts, "")
}

func (w *writer) quoted() string {
	return w.one(w.text(), "'"+w.text()+"'", `"`+w.text()+` $v"`)
}

// command is a simple command. Its name is plain, so that it isn't a builtin.
func (w *writer) command() string {
	s := w.one("systemctl", "sc", `"launchctl"`, `sy"s"temctl`, `\sc`, "sys''temctl", "$v", "tool")
	for range w.IntN(4) {
		s += " " + w.word()
	}
	if w.IntN(6) == 0 {
		s += w.one(" >null", " 2>null", " </dev/null", " 2>&1", " <<<x", " &>null")
	}
	if w.IntN(8) == 0 {
		s = w.one("A=b ", "LC_ALL=C ", "v=other ") + s
	}
	return s
}

// statement is a command or something built of some.
func (w *writer) statement() string {
	if w.depth >= 3 {
		return w.command()
	}
	w.depth++
	defer func() { w.depth-- }()
	kind := w.IntN(22)
	if sets := kind == 10 || kind >= 13 && kind <= 15; sets && w.maybe > 0 {
		return w.command()
	}
	switch kind {
	case 0:
		return w.command() + " | " + w.command()
	case 1:
		return w.command() + " && " + w.statement()
	case 2:
		return w.command() + " || " + w.command()
	case 3:
		return "{ " + w.statement() + "; }"
	case 4:
		return "( " + w.statement() + " )"
	case 5:
		w.maybe++
		defer func() { w.maybe-- }()
		return "if " + w.command() + "; then " + w.statement() + "; else " + w.statement() + "; fi"
	case 6:
		return "for i in " + w.text() + " " + w.text() + `; do sc "$i" $i; done`
	case 7:
		return "f() { " + w.statement() + "; }; f " + w.text()
	case 8:
		return "case " + w.one("$v", w.text()) + " in " + w.one("sys*", "a|x1", "*") + ") " + w.statement() + ";; *) " + w.statement() + ";; esac"
	case 9:
		if w.depth > 1 {
			return w.command()
		}
		return "sc <<E\n" + w.text() + " $v\nE\n"
	case 10:
		return "v=" + w.one(w.text(), "'"+w.text()+" "+w.text()+"'", "${v}"+w.text(), "$(echo "+w.text()+")") + "; " + w.statement()
	case 11:
		return "eval " + w.one(`'sc "'`+w.text()+`'"'`, `sc\ `+w.text(), `"sc $w"`)
	case 12:
		return w.command() + " & " + w.command()
	case 13:
		return "w=" + w.text() + " v+=" + w.text() + "; " + w.statement()
	case 14:
		return "l=(" + w.text() + " " + w.text() + "); " + w.statement()
	case 15:
		return "set -- " + w.text() + " " + w.text() + "; " + w.statement()
	case 16:
		return "while true; do " + w.statement() + "; break; done"
	case 17:
		return "[[ -n x ]] && " + w.statement()
	case 18:
		return "time " + w.command()
	default:
		return w.command()
	}
}

func (w *writer) line() string {
	s := w.statement()
	for range w.IntN(3) {
		next := w.one("; ", "\n", " # not a command\n", " && ")
		if strings.HasSuffix(s, "\n") { // a here-document has ended
			next = ""
		}
		s += next + w.statement()
	}
	return "v=systemctl w='two words' l=(one 'and two')\nset -- first 'the second'\n" + s
}

// handler makes bash write down what it would start: nothing of the text can be found.
// A damaged loop has no end: it gets a second.
const handler = `PATH=/nowhere
ulimit -t 1 -f 1024
command_not_found_handle() { printf '%s\0' "$#" "$@" >>"$OUT"; }
`

// bash runs text and returns the words of each program it would have started.
func bash(t *testing.T, program, text string) (ran [][]string, stderr string) {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	// By a file: what watches this machine for listings of services is not to see these.
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte(handler+text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--noprofile", "--norc", script)
	cmd.Dir = dir
	cmd.Env = []string{"OUT=" + out}
	var said bytes.Buffer
	cmd.Stderr = &said
	_ = cmd.Run() // what it exits with is the text's
	data, err := os.ReadFile(out)
	if os.IsNotExist(err) {
		return nil, said.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
	for len(words) > 0 {
		n, err := strconv.Atoi(words[0])
		if err != nil || n >= len(words) {
			break // cut at the limit, or two wrote words of several lines at once
		}
		ran = append(ran, words[1:n+1])
		words = words[n+1:]
	}
	return ran, said.String()
}

// understood are the words of the commands that are read from text, with those of what
// it hands to eval.
func understood(text string) ([][]string, error) {
	list, err := Parse(text, Options{}, budget())
	var found [][]string
	for _, s := range list {
		found = append(found, s.Argv)
		if len(s.Argv) > 1 && s.Argv[0] == "eval" {
			more, merr := Parse(strings.Join(s.Argv[1:], " "), Options{}, budget())
			err = errors.Join(err, merr)
			for _, m := range more {
				found = append(found, m.Argv)
			}
		}
	}
	return found, err
}

// lines is how many texts are held against bash: ROLLCALL_BASH_LINES says it otherwise.
func lines() int {
	if n, err := strconv.Atoi(os.Getenv("ROLLCALL_BASH_LINES")); err == nil {
		return n
	}
	return 200
}

// TestWhatBashRunsIsFound holds the reader against bash itself: each program that bash
// starts on generated text, with the words it gives it, is among what was read.
func TestWhatBashRunsIsFound(t *testing.T) {
	program, err := exec.LookPath("bash")
	if err != nil {
		t.Skipf("NOT TESTED: against bash: %v", err)
	}
	w := &writer{Rand: rand.New(rand.NewPCG(1007, 1543))}
	compared := 0
	for range lines() {
		text := w.line()
		ran, stderr := bash(t, program, text)
		if strings.Contains(stderr, "syntax error") {
			t.Fatalf("the writer wrote what bash does not read: %s\n%s", text, stderr)
		}
		found, err := understood(text)
		if err != nil {
			t.Errorf("%v: %s", err, text)
			continue
		}
		for _, argv := range ran {
			compared++
			if !slices.ContainsFunc(found, func(f []string) bool { return slices.Equal(f, argv) }) {
				t.Errorf("bash ran %q of\n%s\nread were %q", argv, text, found)
			}
		}
	}
	t.Logf("%d lines, %d programs started by bash", lines(), compared)
	if compared < lines() {
		t.Errorf("only %d programs were started by %d lines", compared, lines())
	}
}

// unset is a variable that no text sets.
var unset = regexp.MustCompile(`\$[a-zA-Z_0-9]+`)

// TestWhatBashRunsOfDamagedTextIsFound: a mistake in a text must not hide what bash runs
// of it all the same.
func TestWhatBashRunsOfDamagedTextIsFound(t *testing.T) {
	program, err := exec.LookPath("bash")
	if err != nil {
		t.Skipf("NOT TESTED: against bash: %v", err)
	}
	w := &writer{Rand: rand.New(rand.NewPCG(7, 1))}
	compared, missed := 0, 0
	for range lines() {
		text := w.line()
		at := strings.LastIndex(text[:strings.Index(text, "second'")], "\n") + 1
		at += w.IntN(len(text) - at)
		switch w.IntN(3) {
		case 0:
			text = text[:at] + text[at+1:]
		case 1:
			text = text[:at] + w.one("'", `"`, "`", "$", "(", ")", "{", "}", ";", "&", "|", "<", `\`, "#", "!", "\n", " ", "[", "]", "=") + text[at:]
		case 2:
			text = text[:at]
		}
		ran, stderr := bash(t, program, text)
		found, err := understood(text)
		for _, argv := range ran {
			compared++
			// What depends on a variable that the mistake has left unset is not known.
			if !slices.ContainsFunc(found, func(f []string) bool { return unset.ReplaceAllString(f[0], "") == argv[0] }) {
				missed++
				t.Logf("bash ran %q of\n%s\nread were %q, %v\n%s", argv, text, found, err, stderr)
			}
		}
	}
	t.Logf("%d damaged texts, %d programs started by bash, %d of them not found", lines(), compared, missed)
	if missed*100 > compared {
		t.Errorf("a mistake hid %d of %d programs", missed, compared)
	}
}
