package term

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files anew")

type result struct {
	cols []string
	rows [][]string
}

func write(t testing.TB, format string, opts Options, results ...result) string {
	t.Helper()
	var buf bytes.Buffer
	w, err := New(format, &buf, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if err := w.Begin(r.cols); err != nil {
			t.Fatal(err)
		}
		for _, row := range r.rows {
			if err := w.Row(row); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.End(); err != nil {
			t.Fatal(err)
		}
	}
	return buf.String()
}

var (
	plain = result{[]string{"time", "severity", "cmdline"}, [][]string{
		{"100", "low", "sc query"},
		{"200", "critical", "cmd /c \"s^c  QuErY\" | find \"x\""},
		{"", "", ""},
	}}
	wide = result{[]string{"id", "reason", "cmdline"}, [][]string{
		{"1", "日本語のサービス", "systemctl list-units --type=service --all --no-pager"},
		{"2", "émoji 🚨 café", strings.Repeat("A", 70)},
		{"3", "none", "x"},
	}}
	hostile = result{[]string{"name\x1b[31m", "value"}, [][]string{
		{"escape", "\x1b[2J\x1b]0;owned\x07"},
		{"c1", "\u009b31m \x9b \x7f"},
		{"lines", "one\r\ntwo\tthree"},
		{"bidi", "abc\u202egpj.exe\u2066 \u200f"},
		{"hidden", "a\u200bb\u00adc\ufeffd\u3164e\U000e0041\ufe0f"},
		{"bytes", "\xff\xfeok\xc3"},
		{"nul", "a\x00b"},
		{"marks", "a\u0301" + strings.Repeat("\u0300", 6) + " \u0301x"},
		{"mark first", "\u0301"},
		{"space", "s\u00a0c\u3000q"},
		{"quotes", `"a", 'b', c\d`},
	}}
	empty = result{[]string{"a", "b"}, nil}
	twice = result{[]string{"a", "b", "a"}, [][]string{{"1", "2", "3"}}}
)

func TestGolden(t *testing.T) {
	tests := []struct {
		name    string
		opts    Options
		results []result
	}{
		{"plain", Options{}, []result{plain}},
		{"plain_unicode", Options{Unicode: true}, []result{plain}},
		{"wide_72", Options{Unicode: true, Terminal: true, Width: 72}, []result{wide}},
		{"wide_40", Options{Unicode: true, Terminal: true, Width: 40}, []result{wide}},
		{"wide_20", Options{Unicode: true, Terminal: true, Width: 20}, []result{wide}},
		{"wide_ascii", Options{}, []result{wide}},
		{"hostile", Options{Unicode: true}, []result{hostile}},
		{"hostile_terminal", Options{Unicode: true, Terminal: true, Width: 80}, []result{hostile}},
		{"empty", Options{}, []result{empty}},
		{"empty_terminal", Options{Terminal: true, Width: 80}, []result{empty}},
		{"twice", Options{}, []result{twice, empty, plain}},
		{"color", Options{Color: true, Unicode: true, Terminal: true, Width: 60}, []result{plain}},
	}
	for _, tt := range tests {
		for _, format := range Formats() {
			name := tt.name + "." + format
			t.Run(name, func(t *testing.T) {
				got := write(t, format, tt.opts, tt.results...)
				file := filepath.Join("testdata", name+".golden")
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestJSONParses(t *testing.T) {
	got := write(t, JSON, Options{}, hostile)
	var rows []map[string]string
	if err := json.Unmarshal([]byte(got), &rows); err != nil {
		t.Fatal(err)
	}
	for i, row := range hostile.rows {
		if want := strings.ToValidUTF8(row[1], "\ufffd"); utf8.ValidString(row[1]) && rows[i]["value"] != want {
			t.Errorf("row %d = %q, want %q", i, rows[i]["value"], want)
		}
	}
	var one []map[string]string
	if err := json.Unmarshal([]byte(write(t, JSON, Options{}, twice)), &one); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]map[string]string{{"a": "3", "b": "2"}}, one); diff != "" {
		t.Error(diff)
	}
}

func TestCSVParses(t *testing.T) {
	got, err := csv.NewReader(strings.NewReader(write(t, CSV, Options{}, plain, result{}))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append([][]string{plain.cols}, plain.rows...), got[:4]); diff != "" {
		t.Error(diff)
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	for width := 10; width < 120; width++ {
		for _, r := range []result{plain, wide, hostile} {
			out := write(t, Table, Options{Unicode: true, Terminal: true, Width: width}, r)
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if !strings.HasPrefix(out, "┌") {
				continue // written as lines, which the terminal wraps
			}
			first := Width(lines[0])
			for _, l := range lines {
				if w := Width(l); w > width || w != first {
					t.Errorf("width %d: %d columns, the first line has %d: %s", width, w, first, l)
				}
			}
		}
	}
}

// Rows after the sample are written with the sample's widths.
func TestTableStreams(t *testing.T) {
	var buf bytes.Buffer
	w, err := New(Table, &buf, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Begin([]string{"v"}); err != nil {
		t.Fatal(err)
	}
	for range 5 * sampleRows {
		if err := w.Row([]string{"abc"}); err != nil {
			t.Fatal(err)
		}
	}
	if buf.Len() == 0 {
		t.Error("nothing was written before the end")
	}
	if err := w.Row([]string{"longer than the others"}); err != nil {
		t.Fatal(err)
	}
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(buf.String(), "| abc |\n"); n != 5*sampleRows {
		t.Errorf("%d rows", n)
	}
	if !strings.Contains(buf.String(), "| longer than the others |\n") {
		t.Error("the long row is missing")
	}
}

func TestHugeCellIsCut(t *testing.T) {
	out := write(t, Table, Options{Terminal: true, Width: 40}, result{[]string{"a", "b"}, [][]string{{strings.Repeat("x", 1<<20), "y"}}})
	if n := strings.Count(out, "\n"); n > maxCellLines+5 {
		t.Errorf("%d lines", n)
	}
	if !strings.Contains(out, "...") {
		t.Error("nothing says that the cell was cut")
	}
}

func TestRowsOfTheWrongLength(t *testing.T) {
	for _, format := range Formats() {
		write(t, format, Options{Width: 40}, result{[]string{"a", "b"}, [][]string{{"1"}, {"1", "2", "3"}, nil}})
	}
}

type failing struct{ after int }

var errDisk = errors.New("disk full")

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestWriteErrors(t *testing.T) {
	for _, format := range Formats() {
		for _, after := range []int{0, 10, 5000} {
			w, err := New(format, &failing{after: after}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = w.Begin([]string{"a"})
			for range 3000 {
				if err == nil {
					err = w.Row([]string{"abcdefgh"})
				}
			}
			if err == nil {
				err = w.End()
			}
			if !errors.Is(err, errDisk) {
				t.Errorf("%s after %d bytes: error = %v", format, after, err)
			}
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	_, err := New("yaml", io.Discard, Options{})
	if err == nil || !strings.Contains(err.Error(), "table, json, csv, line") {
		t.Errorf("error = %v", err)
	}
}

func TestPaint(t *testing.T) {
	on, off := Options{Color: true}, Options{}
	if got := on.Paint("critical"); got != "\x1b[1;31mcritical\x1b[0m" {
		t.Errorf("%q", got)
	}
	if got := on.Paint("Spooler"); got != "Spooler" {
		t.Errorf("%q", got)
	}
	if off.Paint("critical") != "critical" || off.Bold("x") != "x" || on.Bold("x") != "\x1b[1mx\x1b[0m" {
		t.Error("colours without being asked for")
	}
	for _, w := range []string{"informational", "low", "medium", "high", "critical"} {
		if on.Paint(w) == w {
			t.Errorf("severity %s has no colour", w)
		}
	}
}

func TestDetect(t *testing.T) {
	env := func(kv ...string) func(string) string {
		return func(k string) string {
			for i := 0; i < len(kv); i += 2 {
				if kv[i] == k {
					return kv[i+1]
				}
			}
			return ""
		}
	}
	tests := []struct {
		name string
		env  func(string) string
		w    int
		esc  bool
		want Options
	}{
		{"utf8", env("LANG", "de_DE.UTF-8"), 120, true, Options{Terminal: true, Width: 120, Unicode: true, Color: true}},
		{"LC_ALL first", env("LANG", "de_DE.UTF-8", "LC_ALL", "C"), 80, true, Options{Terminal: true, Width: 80, Color: true}},
		{"NO_COLOR", env("LANG", "C", "NO_COLOR", "1"), 80, true, Options{Terminal: true, Width: 80}},
		{"dumb", env("LANG", "C", "TERM", "dumb"), 80, true, Options{Terminal: true, Width: 80}},
		{"no escapes", env("LANG", "C"), 80, false, Options{Terminal: true, Width: 80}},
		{"COLUMNS", env("LANG", "C", "COLUMNS", "33"), 0, false, Options{Terminal: true, Width: 33}},
		{"COLUMNS nonsense", env("LANG", "C", "COLUMNS", "-1"), 0, false, Options{Terminal: true, Width: 80}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, detect(tt.env, tt.w, tt.esc, false)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if diff := cmp.Diff(Options{Unicode: true}, Detect(f, env("LANG", "C.UTF-8", "COLUMNS", "33"))); diff != "" {
		t.Errorf("a file (-want +got):\n%s", diff)
	}
}

func TestWidth(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "日本": 4, "é": 1, "e\u0301": 1, "🚨": 2, "ｆｕｌｌ": 8, "한글": 4, "─": 1} {
		if got := Width(s); got != want {
			t.Errorf("Width(%q) = %d, want %d", s, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	tests := []struct {
		s     string
		width int
		want  []string
	}{
		{"", 5, []string{""}},
		{"abc", 5, []string{"abc"}},
		{"abcdefg", 3, []string{"abc", "def", "g"}},
		{"one two three", 8, []string{"one two", "three"}},
		{"a bcdefgh", 8, []string{"a bcdefg", "h"}},
		{"日本語", 5, []string{"日本", "語"}},
		{"日本", 1, []string{"日", "本"}},
		{"abcd    ", 4, []string{"abcd"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, wrap(tt.s, tt.width, 100)); diff != "" {
			t.Errorf("wrap(%q, %d) (-want +got):\n%s", tt.s, tt.width, diff)
		}
	}
	if diff := cmp.Diff([]string{"abcde", "fg..."}, wrap("abcdefghijklm", 5, 2)); diff != "" {
		t.Error(diff)
	}
}

// safe fails the test when text could steer a terminal.
func safe(t *testing.T, out string) {
	t.Helper()
	if !utf8.ValidString(out) {
		t.Fatalf("not UTF-8: %q", out)
	}
	for _, r := range out {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r) || r == '\u2028' || r == '\u2029') {
			t.Fatalf("%U reaches the terminal: %q", r, out)
		}
	}
}

// FuzzWriters checks that nothing steers the terminal in any format, that tables
// stay within it, and that JSON and CSV mean what went in.
func FuzzWriters(f *testing.F) {
	for _, r := range hostile.rows {
		f.Add(r[0], r[1], 40, true)
	}
	f.Add("a", strings.Repeat("日", 50), 21, true)
	f.Add("", "", 0, false)
	f.Fuzz(func(t *testing.T, col, val string, width int, uni bool) {
		width = max(0, width%200)
		r := result{[]string{col, "severity", "x"}, [][]string{{val, "high", val + val}, {"", val, col}}}
		o := Options{Terminal: true, Width: width, Unicode: uni}
		for _, format := range Formats() {
			out := write(t, format, o, r)
			safe(t, out)
			if format == Table && width > 0 && (strings.HasPrefix(out, "┌") || strings.HasPrefix(out, "+-")) {
				for _, l := range strings.Split(out, "\n") {
					if Width(l) > width {
						t.Fatalf("%d columns in a terminal of %d: %q", Width(l), width, l)
					}
				}
			}
		}
		var rows []map[string]string
		if err := json.Unmarshal([]byte(write(t, JSON, Options{}, r)), &rows); err != nil {
			t.Fatal(err)
		}
		if col != "severity" && col != "x" && utf8.ValidString(col) && utf8.ValidString(val) && rows[0][col] != val {
			t.Fatalf("JSON gives %q for %q", rows[0][col], val)
		}
		recs, err := csv.NewReader(strings.NewReader(write(t, CSV, Options{}, r))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		// The reader folds line ends.
		if fold := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }; recs[1][0] != fold(val) {
			t.Fatalf("CSV gives %q for %q", recs[1][0], val)
		}
	})
}

func BenchmarkTable(b *testing.B) {
	for b.Loop() {
		w := newTable(io.Discard, Options{Unicode: true, Terminal: true, Width: 100})
		_ = w.Begin(wide.cols)
		for range 300 {
			for _, r := range wide.rows {
				_ = w.Row(r)
			}
		}
		_ = w.End()
	}
}
