package memory

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func never() bool { return false }

func TestParseMaps(t *testing.T) {
	long := "/" + strings.Repeat("x", maxLine)
	for _, c := range []struct {
		name, in string
		want     areas
	}{
		{"nothing", "", areas{}},
		{"no code", "7f00-7f10 rw-p 00000000 00:00 0 \n", areas{}},
		{"a file, twice", "7f00-7f10 r-xp 0 fe:00 1    /a b\n7f10-7f20 r-xp 0 fe:00 1    /a b\n", areas{files: []string{"/a b"}}},
		{"without its end", "7f00-7f10 r-xp 0 fe:00 1 /a", areas{files: []string{"/a"}}},
		{"no path and no blank", "1000-3000 rwxp 0 00:00 0", areas{anonymous: 1, writable: 1, bytes: 0x2000}},
		{"backwards", "3000-1000 r-xp 0 00:00 0\n", areas{anonymous: 1}},
		{"named by itself", "1000-2000 r-xp 0 00:00 0    [anon: not the heap]\n", areas{anonymous: 1, bytes: 4096}},
		{"the kernel's", "1000-2000 r-xp 0 00:00 0    [vdso]\n1000-2000 --xp 0 00:00 0    [vsyscall]\n1000-2000 r-xp 0 00:00 0 [uprobes]\n", areas{}},
		{"nonsense", "r-xp\n\n    \nx y\n7f00-7f10 r-x\n", areas{}},
		{"a line longer than any", "7f00-7f10 r-xp 0 fe:00 1    " + long + "\n7f00-7f10 r-xp 0 fe:00 1    /b\n", areas{files: []string{("7f00-7f10 r-xp 0 fe:00 1    " + long)[28:maxLine], "/b"}}},
		{"no text", "7f00-7f10 r-xp 0 fe:00 1    /\xff\n", areas{files: []string{"/\uFFFD"}}},
	} {
		got, err := parseMaps(strings.NewReader(c.in), never)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(areas{})); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
	if _, err := parseMaps(iotest.ErrReader(errors.New("no")), never); err == nil {
		t.Error("a read that failed is no error")
	}
	if got, err := parseMaps(strings.NewReader(strings.Repeat("x\n", 5000)), func() bool { return true }); err != nil || !got.cut {
		t.Errorf("not stopped: %+v, %v", got, err)
	}
}

func TestManyFiles(t *testing.T) {
	var b strings.Builder
	for i := range 2 * maxMapped {
		b.WriteString("7f00-7f10 r-xp 0 fe:00 1    /usr/lib/" + strings.Repeat("a", i+1) + "\n")
	}
	b.WriteString("7f00-7f10 r-xp 0 fe:00 1    /memfd:last (deleted)\n")
	got, err := parseMaps(strings.NewReader(b.String()), never)
	if err != nil || got.left != maxMapped || len(got.files) != maxMapped+1 || got.files[maxMapped] != "/memfd:last (deleted)" {
		t.Errorf("%d files, %d left, %v", len(got.files), got.left, err)
	}
}

func TestParsePreloads(t *testing.T) {
	pad := "P=" + strings.Repeat("x", 3*maxLine) + "\x00"
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"others", "A=1\x00XLD_PRELOAD=/a\x00LD_PRELOAD\x00B=LD_PRELOAD=/a\x00", nil},
		{"empty", "LD_PRELOAD=\x00LD_PRELOAD= : \x00", nil},
		{"both", "A=1\x00LD_PRELOAD=/a.so:b.so\x00LD_AUDIT=/c.so", []string{"LD_PRELOAD=/a.so:b.so", "LD_AUDIT=/c.so"}},
		{"after a long one", pad + "LD_PRELOAD=/a.so\x00", []string{"LD_PRELOAD=/a.so"}},
		{"in a long one", "P=" + strings.Repeat("x", maxLine-2) + "LD_PRELOAD=/a.so\x00", nil},
		{"a long one itself", "LD_PRELOAD=" + strings.Repeat("y", 2*maxLine) + "\x00", []string{"LD_PRELOAD=" + strings.Repeat("y", maxLine-len("LD_PRELOAD="))}},
	} {
		got, cut, err := parsePreloads(strings.NewReader(c.in), never)
		if err != nil || cut {
			t.Errorf("%s: cut %v, %v", c.name, cut, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
	if _, cut, err := parsePreloads(strings.NewReader(strings.Repeat(pad, maxEnviron/len(pad)+1)+"LD_PRELOAD=/a.so\x00"), never); err != nil || !cut {
		t.Errorf("cut %v, %v", cut, err)
	}
	if _, _, err := parsePreloads(iotest.ErrReader(errors.New("no")), never); err == nil {
		t.Error("a read that failed is no error")
	}
}

func TestParseStat(t *testing.T) {
	good := "12 (a) (b) S 1 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0\n"
	got, err := parseStat([]byte(good))
	if want := (stat{comm: "a) (b", state: 'S', flags: 4194304, start: 123}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "12", ")(", "12 (a)", "12 (a) SS 1 1 1 0 -1 1 0 0 0 0 0 0 0 0 20 0 1 0 1", "12 (a) S 1 1 1 0 -1 x 0 0 0 0 0 0 0 0 20 0 1 0 1",
		"12 (a) S 1 1 1 0 -1 1 0 0 0 0 0 0 0 0 20 0 1 0 -1", "12 (a) S 1 1 1 0 -1 1 0 0 0 0 0 0 0 0 20 0 1 0 x"} {
		if _, err := parseStat([]byte(bad)); !errors.Is(err, errFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "btime", "btime x\n", "btime -1\n"} {
		if _, err := parseBoot([]byte(bad)); !errors.Is(err, errFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestRuntimes(t *testing.T) {
	for file, want := range map[string]string{"python3.11": "Python", "python": "Python", "pythonx": "", "node": "Node.js", "nodes": "", "php-fpm8.2": "PHP",
		"qemu-system-x86_64": "QEMU", "beam.smp": "Erlang", "java": "Java", "javac": "", "bash": "", "": "", "Google Chrome Helper (Renderer)": "Chrome"} {
		if got := runtimeOf(file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
}

func FuzzMaps(f *testing.F) {
	f.Add([]byte("7f00-7f10 r-xp 0 fe:00 1    /a b\n1000-3000 rwxp 0 00:00 0\n"))
	f.Add([]byte("7f00-7f10 r-xp 0 fe:00 1    /memfd:x (deleted)\n1-2 r-xp 0 00:00 0 [heap]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseMaps(bytes.NewReader(b), never)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Count(b, []byte{'\n'}) + 1
		if a.anonymous+len(a.files)+a.left > lines || a.writable > a.anonymous || len(a.files) > 4*maxMapped {
			t.Fatalf("%+v of %d lines", a, lines)
		}
	})
}

func FuzzPreloads(f *testing.F) {
	f.Add([]byte("A=1\x00LD_PRELOAD=/a.so\x00LD_AUDIT=x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, _, err := parsePreloads(bytes.NewReader(b), never)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range found {
			if name, value, ok := strings.Cut(v, "="); !ok || name != "LD_PRELOAD" && name != "LD_AUDIT" || len(libraries(value)) == 0 && strings.Trim(value, " :") == "" {
				t.Fatalf("%q", v)
			}
		}
	})
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("12 (a) (b) S 1 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStat(b)
		if err == nil && s.start < 0 {
			t.Fatalf("%+v", s)
		}
		if parseTracer(b) < 0 {
			t.Fatal("a tracer below zero")
		}
	})
}
