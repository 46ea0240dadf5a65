package winargv

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{``, nil},
		{" \t ", nil},
		{`sc query`, []string{"sc", "query"}},
		{`sc  query`, []string{"sc", "query"}},
		{"sc\tquery\ttype= service", []string{"sc", "query", "type=", "service"}},
		{`  sc query`, []string{"sc", "query"}},
		{`"sc" query `, []string{"sc", "query"}},
		{`s"c" query`, []string{"sc", "query"}},
		{`"C:\Program Files\a.exe" x`, []string{`C:\Program Files\a.exe`, "x"}},
		// The program's word has no escapes: the quote after a backslash closes.
		{`"C:\dir\" x`, []string{`C:\dir\`, "x"}},
		{`C:\"Program Files"\a.exe x`, []string{`C:\Program Files\a.exe`, "x"}},
		// The examples of Microsoft's reference.
		{`p "a b c" d e`, []string{"p", "a b c", "d", "e"}},
		{`p "ab\"c" "\\" d`, []string{"p", `ab"c`, `\`, "d"}},
		{`p a\\\b d"e f"g h`, []string{"p", `a\\\b`, "de fg", "h"}},
		{`p a\\\"b c d`, []string{"p", `a\"b`, "c", "d"}},
		{`p a\\\\"b c" d e`, []string{"p", `a\\b c`, "d", "e"}},
		{`p a"b"" c d`, []string{"p", `ab" c d`}},
		{`p "a""b"`, []string{"p", `a"b`}},
		{`p "" x`, []string{"p", "", "x"}},
		{`p """x"""`, []string{"p", `"x"`}},
		{`p "unbalanced x`, []string{"p", "unbalanced x"}},
		{`p trailing\`, []string{"p", `trailing\`}},
		{`p \"`, []string{"p", `"`}},
		{`wmic /node:"127.0.0.1" service where (caption like "%Spooler%")`,
			[]string{"wmic", "/node:127.0.0.1", "service", "where", "(caption", "like", "%Spooler%)"}},
		{`"C:\Windows\system32\cmd.exe" /c "wmic.exe process /FORMAT:list"`,
			[]string{`C:\Windows\system32\cmd.exe`, "/c", "wmic.exe process /FORMAT:list"}},
		{`"`, []string{""}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, Split(tt.line)); diff != "" {
			t.Errorf("Split(%q) (-want +got):\n%s", tt.line, diff)
		}
	}
}

func TestTail(t *testing.T) {
	tests := []struct {
		line string
		n    int
		want string
	}{
		{`cmd /c "sc query"`, 0, `cmd /c "sc query"`},
		{`cmd /c "sc query"`, 1, `/c "sc query"`},
		{`cmd   /c   "sc query" & x`, 2, `"sc query" & x`},
		{`"C:\a b\cmd.exe" /c x  y `, 2, `x  y `},
		{`cmd`, 1, ``},
		{`cmd`, 9, ``},
		{``, 0, ``},
		{` cmd a`, -1, `cmd a`},
	}
	for _, tt := range tests {
		if got := Tail(tt.line, tt.n); got != tt.want {
			t.Errorf("Tail(%q, %d) = %q, want %q", tt.line, tt.n, got, tt.want)
		}
	}
}

func TestBase(t *testing.T) {
	tests := []struct{ path, want string }{
		{`C:\Windows\System32\SC.EXE`, "sc"},
		{`"C:\Windows\System32\SC.EXE"`, "sc"},
		{`C:/Windows/System32/sc.exe`, "sc"},
		{`sc`, "sc"},
		{`SC.exe. . `, "sc"},
		{`net1.COM`, "net1"},
		{`run.bat`, "run"},
		{`run.cmd`, "run"},
		{`run.ps1`, "run.ps1"},
		{`\\?\GLOBALROOT\Device\HarddiskVolume1\Windows\System32\sc.exe`, "sc"},
		{`C:sc.exe`, "sc"},
		{`C:\"Program Files"\x\a.exe`, "a"},
		{`C:\"Windows"\System32\"sc".exe`, "sc"},
		{`.exe`, ".exe"},
		{`C:\dir\`, ""},
		{``, ""},
		{`...`, ""},
		{`svc.exe.exe`, "svc.exe"},
	}
	for _, tt := range tests {
		if got := Base(tt.path); got != tt.want {
			t.Errorf("Base(%q) = %q, want %q", tt.path, got, tt.want)
		}
	}
}

func TestOddQuotes(t *testing.T) {
	tests := []struct {
		line string
		want bool
	}{
		{`sc query`, false},
		{`"sc" "query"`, false},
		{`s"c" query`, true},
		{`"s"c query`, true},
		{`sc q"uer"y`, true},
		{`sc qu""ery`, true},
		{`""sc query`, true},
		{`sc "quer"y`, true},
		{`"C:\Program Files\a.exe" -x`, false},
		{`C:\"Program Files"\a.exe`, false},
		{`wmic /node:"127.0.0.1" service`, false},
		{`reg add x /d"abc"`, false},
		{`tool name="x y" other="z"`, false},
		{`tool "{\"a\":\"b\"}"`, false},
		{`tool ""`, false},
		{`"C:\Windows\system32\cmd.exe" /c "sc query"`, false},
	}
	for _, tt := range tests {
		if got := OddQuotes(tt.line); got != tt.want {
			t.Errorf("OddQuotes(%q) = %v, want %v", tt.line, got, tt.want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{`sc query`, `p a\\\"b c d`, `"`, `p "a""b" \\`, "\x00\xff \" \\"} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, line string, n int) {
		args := Split(line)
		total := 0
		for _, a := range args {
			total += len(a)
		}
		if total > len(line) {
			t.Fatalf("Split(%q) gave %d bytes of %d", line, total, len(line))
		}
		if tail := Tail(line, n%8); !strings.HasSuffix(line, tail) {
			t.Fatalf("Tail(%q, %d) = %q is no suffix", line, n%8, tail)
		}
		for k := 1; k < len(args) && k < 8; k++ {
			// What Tail leaves holds exactly the rest of the arguments, read as
			// arguments: put a program before it to have it read so.
			if diff := cmp.Diff(args[k:], Split("p " + Tail(line, k))[1:]); diff != "" {
				t.Fatalf("Tail(%q, %d): %s", line, k, diff)
			}
		}
		Base(line)
		OddQuotes(line)
	})
}

func BenchmarkSplit(b *testing.B) {
	const line = `"C:\Windows\system32\cmd.exe" /c "wmic.exe service get name,displayname,pathname,startmode"`
	b.ReportAllocs()
	for b.Loop() {
		Split(line)
	}
}
