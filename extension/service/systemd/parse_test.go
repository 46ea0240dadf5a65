package systemd

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// The syntax of systemd.syntax(7), and what the parser of systemd 252 does beyond it.
func TestUnitFilesAreReadAsSystemdReadsThem(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
		refused    bool
	}{
		{"plain", "[Service]\nExecStart=/bin/a\n", []string{"ExecStart=/bin/a"}, false},
		{"blanks around", "  [Service] \n\tExecStart \t= /bin/a  \n", []string{"ExecStart=/bin/a"}, false},
		{"no end of line", "[Service]\nExecStart=/bin/a", []string{"ExecStart=/bin/a"}, false},
		{"continued", "[Service]\nExecStart=/bin/a \\\n  b \\\n\tc\nUser=x\n", []string{"ExecStart=/bin/a    b  \tc", "User=x"}, false},
		{"comments in a continuation", "[Service]\nExecStart=/bin/a \\\n# one\n  ; two \\\n  b\n", []string{"ExecStart=/bin/a    b"}, false},
		{"a comment is not continued", "[Service]\n# x \\\nExecStart=/bin/a\n", []string{"ExecStart=/bin/a"}, false},
		{"two backslashes are none", "[Service]\nExecStart=/bin/a \\\\\nUser=x\n", []string{`ExecStart=/bin/a \\`, "User=x"}, false},
		{"three are one", "[Service]\nExecStart=/bin/a \\\\\\\nUser=x\n", []string{`ExecStart=/bin/a \\ User=x`}, false},
		{"ends continued", "[Service]\nExecStart=/bin/a \\", []string{"ExecStart=/bin/a"}, false},
		{"reset", "[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=/bin/b\n", []string{"ExecStart=/bin/a", "ExecStart=", "ExecStart=/bin/b"}, false},
		{"repeated sections", "[Service]\nUser=a\n[Unit]\nDescription=d\n[Service]\nExecStart=/b\n", []string{"User=a", "Description=d", "ExecStart=/b"}, false},
		{"other sections", "[X-Service]\nExecStart=/no\n[service]\nExecStart=/no\n[Service]\nExecStart=/b\n", []string{"ExecStart=/b"}, false},
		{"keys have their case", "[Service]\nexecstart=/no\nExecStart=/b\n", []string{"ExecStart=/b"}, false},
		{"carriage returns end lines", "# hidden\r[Service]\rExecStart=/bin/a\r", []string{"ExecStart=/bin/a"}, false},
		{"dos", "[Service]\r\nExecStart=/bin/a \\\r\n b\r\n", []string{"ExecStart=/bin/a   b"}, false},
		{"a nul ends a line", "# hidden\x00[Service]\x00ExecStart=/bin/a\x00", []string{"ExecStart=/bin/a"}, false},
		{"byte order mark", "\ufeff[Service]\nExecStart=/bin/a\n", []string{"ExecStart=/bin/a"}, false},
		{"outside of a section", "ExecStart=/no\n[Service]\nExecStart=/b\n", []string{"ExecStart=/b"}, false},
		{"no assignment", "[Service]\nExecStart\nExecStart=/b\n", []string{"ExecStart=/b"}, false},
		{"equals in the value", "[Service]\nExecStart=/b --x=1\n", []string{"ExecStart=/b --x=1"}, false},
		{"broken header", "[Service]\nExecStart=/b\n[Bad\nUser=x\n", []string{"ExecStart=/b"}, true},
		{"not UTF-8", "[Service]\nExecStart=/b\n\xff=1\nUser=x\n", []string{"ExecStart=/b"}, true},
		{"a comment that is not UTF-8", "[Service]\n# \xff\nExecStart=/b\n", []string{"ExecStart=/b"}, false},
		{"a long line", "[Service]\nExecStart=/b " + strings.Repeat("x", 5000) + "\n", []string{"ExecStart=/b " + strings.Repeat("x", 5000)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := parse([]byte(c.text))
			var got []string
			for _, s := range f.settings {
				got = append(got, s.key+"="+s.value)
			}
			if d := cmp.Diff(c.want, got); d != "" || f.refused != c.refused {
				t.Errorf("refused %v, settings (-want +got):\n%s", f.refused, d)
			}
		})
	}
}

// The command lines of systemd.service(5).
func TestCommandLinesAreSplitAsSystemdSplitsThem(t *testing.T) {
	for _, c := range []struct {
		line string
		want [][]string // prefixes, words
		fail bool
	}{
		{`/bin/echo one`, [][]string{{"", "/bin/echo", "one"}}, false},
		{`-/bin/echo`, [][]string{{"-", "/bin/echo"}}, false},
		{`@/bin/sh init -c x`, [][]string{{"@", "/bin/sh", "init", "-c", "x"}}, false},
		{`-+!!/bin/echo`, [][]string{{"-+!!", "/bin/echo"}}, false},
		{`"-/bin/my echo" x`, [][]string{{"-", "/bin/my echo", "x"}}, false},
		{`/bin/echo one ; /bin/echo "two two"`, [][]string{{"", "/bin/echo", "one"}, {"", "/bin/echo", "two two"}}, false},
		{`/bin/echo / >/dev/null & \; /bin/ls`, [][]string{{"", "/bin/echo", "/", ">/dev/null", "&", ";", "/bin/ls"}}, false},
		{`/bin/echo a;b ;c`, [][]string{{"", "/bin/echo", "a;b", ";c"}}, false},
		{`/bin/echo one;`, [][]string{{"", "/bin/echo", "one;"}}, false},
		{`/bin/echo 'a b' "c d"e\x41\101\s\n`, [][]string{{"", "/bin/echo", "a b", "c deAA \n"}}, false},
		{`/bin/echo "\u00e9" 'it\'s'`, [][]string{{"", "/bin/echo", "é", "it's"}}, false},
		{`/bin/echo \z \d`, [][]string{{"", "/bin/echo", `\z`, `\d`}}, false},
		{`/bin/echo ""`, [][]string{{"", "/bin/echo", ""}}, false},
		{`/bin/echo "open`, nil, true},
		{`- /bin/echo`, nil, true},
		{`/bin/echo ; `, [][]string{{"", "/bin/echo"}}, false},
	} {
		got, err := commands(c.line)
		var all [][]string
		for _, g := range got {
			all = append(all, append([]string{g.prefixes}, g.words...))
		}
		if d := cmp.Diff(c.want, all); d != "" || (err != nil) != c.fail {
			t.Errorf("%s: %v (-want +got):\n%s", c.line, err, d)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]Kind{
		"a.service": Service, "a@.timer": Timer, "a@b.socket": Socket, ".hidden.service": Service, "a.b.path": PathUnit, `a\x2db.service`: Service,
		"a.target": "target", "@.service": "", ".service": "", "a.conf": "", "a b.service": "", "a\n.service": "", "a\xff.service": "", "é.service": "",
		strings.Repeat("a", 248) + ".service": "", "service": "",
	} {
		if got := typeOf(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string][]string{
		"a.service":         {"a.service"},
		"a-b-c.service":     {"a-b-c.service", "a-b-.service", "a-.service"},
		"a-b@x.service":     {"a-b@x.service", "a-b@.service", "a-@.service", "a-@x.service"},
		"a--.service":       {"a--.service", "a-.service"},
		"-a.service":        {"-a.service"},
		"foo-bar-.service":  {"foo-bar-.service", "foo-.service"},
		"@odd.service":      {"@odd.service", "@.service"},
		"no-suffix-of-unit": {"no-suffix-of-unit", "no-suffix-of-", "no-suffix-", "no-"},
	} {
		if d := cmp.Diff(want, dropInNames(name)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if got := unescapeName(`a-b\x2dc`); got != "a/b-c" {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("[Service]\nExecStart=-/bin/a \\\n# c\n \"b c\" ; /bin/d\nUser=%u\n"))
	f.Add([]byte("\ufeff[Unit]\rDescription=x\x00[Timer]\nOnCalendar=\n[Bad"))
	f.Add([]byte("[Service]\nExecStart=\\\n\\\n\\"))
	sp := specifiers{'n': "a.service", 'i': "%i", 'h': "/root"}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFile {
			return
		}
		got := parse(b)
		if len(got.settings) > maxSettings || len(got.problems) > maxProblems {
			t.Fatalf("%d settings, %d problems", len(got.settings), len(got.problems))
		}
		for _, s := range got.settings {
			if !utf8.ValidString(s.value) || strings.ContainsAny(s.value, "\n\r\x00") {
				t.Fatalf("value %q", s.value)
			}
			cs, err := commands(s.value)
			for _, c := range cs {
				if len(c.words) == 0 || c.words[0] == "" || len(c.words) > maxWords {
					t.Fatalf("%q: command %q, %v", s.value, c.words, err)
				}
				for _, w := range c.words {
					sp.expand(w)
				}
			}
		}
		// A comment in front changes nothing.
		again := parse(append([]byte("# x\n"), b...))
		if again.refused != got.refused || len(again.settings) != len(got.settings) {
			if !strings.HasPrefix(string(b), "\ufeff") {
				t.Fatalf("a comment changes %d settings into %d", len(got.settings), len(again.settings))
			}
		}
	})
}

// A value written with quotes comes back as it was.
func FuzzCommandRoundTrip(f *testing.F) {
	f.Add("a b", `c"d'`, `e\f`)
	f.Add("", ";", "\t")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		words := []string{"/bin/x", a, b, c}
		line := ""
		for _, w := range words {
			if strings.ContainsRune(w, 0) {
				return
			}
			line += ` "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(w) + `"`
		}
		got, err := commands(line)
		if err != nil || len(got) != 1 || !slices.Equal(got[0].words, words) {
			t.Fatalf("%q: %v %q", line, err, got)
		}
	})
}
