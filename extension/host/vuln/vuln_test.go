package vuln

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var scanNames = []string{"osv.json", "trivy.json", "grype.json", "oldtrivy.json", "nothing.json", "list.csv", "semicolons.csv", "bare.csv"}

// TestScans holds what is read of each kind against what was written down.
func TestScans(t *testing.T) {
	var b strings.Builder
	for _, name := range scanNames {
		found, err := Load(name, bytes.NewReader(read(t, name)))
		fmt.Fprintf(&b, "%s: %d, %v\n", name, len(found), err)
		for _, f := range found {
			fmt.Fprintf(&b, "  %s\n", f)
			if len(f.Names) > 0 || f.Path != "" {
				fmt.Fprintf(&b, "    also %q, at %q\n", f.Names, f.Path)
			}
		}
	}
	golden := filepath.Join("testdata", "scans.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(string(read(t, "scans.golden")), b.String()); d != "" {
		t.Error(d)
	}
}

func TestNoScans(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrFormat},
		{"blank", " \n\t ", ErrFormat},
		{"another object", `{"name": "x", "dependencies": {"a": [1, {}]}}`, ErrFormat},
		{"prose", "Dear Sir,\nthere are no vulnerabilities, at all, of any kind", ErrFormat},
		{"another list", "host,address,port\na,10.0.0.1,22\n", ErrFormat},
		{"a list of others", "[1, 2]", ErrParts},
		{"too deep", `{"other": ` + strings.Repeat("[", maxDepth+1), ErrFormat},
		{"cut off", `{"matches": [{"vulnerability": {"id": "CVE-1"}`, io.ErrUnexpectedEOF},
		{"one huge text", `{"Results": [{"Vulnerabilities": [{"Title": "` + strings.Repeat("x", maxPart+1<<20), ErrLarge},
		{"one huge field", `package,id` + "\n" + `"` + strings.Repeat("x", maxPart+1<<20), ErrLarge},
	} {
		found, err := Load("x", strings.NewReader(c.in))
		if !errors.Is(err, c.want) || len(found) != 0 {
			t.Errorf("%s: %d findings, %v", c.name, len(found), err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "scan x: ") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	broken := errors.New("broken disk")
	for _, in := range []string{"", " ", `{"matches": [`, "package,id\n"} {
		if _, err := Load("x", io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken))); !errors.Is(err, broken) {
			t.Errorf("%q and a broken disk: %v", in, err)
		}
	}
}

// TestDamaged: what came before the damage is kept.
func TestDamaged(t *testing.T) {
	b := read(t, "trivy.json")
	found, err := Load("x", bytes.NewReader(b[:bytes.Index(b, []byte("CVE-2021-44228"))]))
	if len(found) != 3 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d findings, %v", len(found), err)
	}
}

// endless repeats one text for ever.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

// TestBounds: no file makes us read or keep without end.
func TestBounds(t *testing.T) {
	for name, r := range map[string]io.Reader{
		"findings": io.MultiReader(strings.NewReader(`{"matches": [`), &endless{text: `{"vulnerability": {"id": "CVE-1"}, "artifact": {"name": "a"}},`}),
		"lines":    io.MultiReader(strings.NewReader("package,id\n"), &endless{text: "a,CVE-1\n"}),
		"entries":  io.MultiReader(strings.NewReader(`{"results": [{"packages": [{"vulnerabilities": [`), &endless{text: `{"id": "CVE-1"},`}),
	} {
		if found, err := Load("x", r); !errors.Is(err, ErrMany) || len(found) > maxFindings {
			t.Errorf("%s: %d, %v", name, len(found), err)
		}
	}
	for name, r := range map[string]io.Reader{
		"elsewhere": io.MultiReader(strings.NewReader(`{"other": [`), &endless{text: `{"a": [1, "x"]},                                                        `}),
		"blanks":    &endless{text: strings.Repeat(" ", 4096)},
	} {
		l := &loader{in: &limited{r: io.LimitReader(r, 2<<20), left: 1 << 20, part: maxPart}}
		if err := l.load(); !errors.Is(err, ErrLarge) || len(l.found) != 0 {
			t.Errorf("%s: %d, %v", name, len(l.found), err)
		}
	}
	long := strings.Repeat("ä", 1000)
	found, err := Load(long, strings.NewReader("package,id,title,path\n"+long+","+long+","+long+","+long+"\n"))
	if err != nil || len(found) != 1 || len(found[0].ID) > maxText+3 || len(found[0].Title) > maxTitle+3 || len(found[0].Path) > 4*maxText+3 || len(found[0].Scan) > maxText+3 {
		t.Errorf("%d, %v, %+v", len(found), err, found)
	}
}

func TestSet(t *testing.T) {
	var lists [][]Finding
	for _, name := range scanNames[:4] {
		found, _ := Load(name, bytes.NewReader(read(t, name)))
		lists = append(lists, found, found)
	}
	s := NewSet(lists...)
	ids := func(list []Finding) []string {
		var out []string
		for _, f := range list {
			out = append(out, f.ID+" "+f.Severity+" "+f.Package)
		}
		return out
	}
	for _, c := range []struct {
		name     string
		packages []string
		paths    []string
		want     []string
	}{
		{name: "nothing", packages: []string{"", " ", "bash"}, paths: []string{"", "/", "/usr/bin/x"}},
		{name: "by name", packages: []string{"Nginx"}, want: []string{"CVE-2023-44487 high nginx", "CVE-2009-4487  nginx", "CVE-2023-44487 negligible nginx-core"}},
		{name: "as a manager names it", packages: []string{"openssl:amd64", "nginx-core 1.22.1", "musl=1.1"},
			want: []string{"CVE-2024-6119 high openssl", "CVE-2019-1 low musl", "DEBIAN-CVE-2024-1  openssl", "CVE-2023-44487 negligible nginx-core"}},
		{name: "by the system's name", packages: []string{"libssl3"}, want: []string{"CVE-2024-6119 high openssl", "DEBIAN-CVE-2024-1  openssl"}},
		{name: "with a colon in it", packages: []string{"org.apache.logging.log4j:log4j-core"}, want: []string{"CVE-2021-44228 critical org.apache.logging.log4j:log4j-core"}},
		{name: "by path", paths: []string{"/usr/local/bin/agentd", "/opt/app/lib/log4j-core-2.14.1.jar"},
			want: []string{"CVE-2021-44228 critical log4j-core", "CVE-2021-44228 critical org.apache.logging.log4j:log4j-core", "CVE-2024-24790 critical stdlib"}},
	} {
		got := append(ids(s.For(c.packages)), ids(s.At(c.paths))...)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
	if got := NewSet().For([]string{"nginx"}); len(got) != 0 {
		t.Errorf("found in nothing: %v", got)
	}
	if n := NewSet(lists...).Len(); n != 10 {
		t.Errorf("%d findings", n)
	}
}

func TestSeverity(t *testing.T) {
	for in, want := range map[string]string{"": "", "HIGH": High, " Important ": High, "moderate": Medium, "UNKNOWN": "", "none": Negligible, "0": Negligible, "0.1": Low, "3.9": Low,
		"4.0": Medium, "6.9": Medium, "7": High, "9.0": Critical, "10": Critical, "10.1": "", "-1": "", "NaN": "", "Inf": "", "CVSS:3.1/AV:N": ""} {
		if got := severity(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// TestScansChange: a scan is read again when it changes, and stays when it goes.
func TestScansChange(t *testing.T) {
	files := fstest.MapFS{"a.csv": {Data: []byte("a,1,CVE-1,low\n"), ModTime: time.Unix(1, 0)}}
	opened, closed := 0, 0
	s := NewScans([]string{"a.csv", "b.csv"}, func(p string) (fs.File, error) {
		f, err := files.Open(p)
		if err == nil {
			opened++
			f = counted{f, &closed}
		}
		return f, err
	})
	look := func(want string, problems ...string) {
		t.Helper()
		set, bad := s.Set()
		var got []string
		for _, f := range set.For([]string{"a", "b"}) {
			got = append(got, f.ID)
		}
		if d := cmp.Diff(want, strings.Join(got, " ")); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(problems, bad); d != "" {
			t.Error(d)
		}
	}
	const noB = "open the scan b.csv: open b.csv: file does not exist"
	look("CVE-1", noB)
	before, _ := s.Set()
	look("CVE-1", noB)
	if after, _ := s.Set(); after != before {
		t.Error("read again without a change")
	}
	files["b.csv"] = &fstest.MapFile{Data: []byte("b,1,CVE-2,high\n"), ModTime: time.Unix(1, 0)}
	look("CVE-2 CVE-1")
	files["a.csv"] = &fstest.MapFile{Data: []byte("a,1,CVE-3,critical\n"), ModTime: time.Unix(2, 0)}
	look("CVE-3 CVE-2")
	files["a.csv"] = &fstest.MapFile{Data: []byte("nonsense"), ModTime: time.Unix(3, 0)}
	bad := "scan a.csv: " + ErrFormat.Error()
	look("CVE-3 CVE-2", bad)
	look("CVE-3 CVE-2", bad)
	delete(files, "a.csv")
	look("CVE-3 CVE-2", "open the scan a.csv: open a.csv: file does not exist")
	files["a.csv"] = &fstest.MapFile{Mode: fs.ModeDir}
	look("CVE-3 CVE-2", "the scan a.csv is not a regular file")
	if opened != closed {
		t.Errorf("%d opened, %d closed", opened, closed)
	}
}

type counted struct {
	fs.File
	closed *int
}

func (c counted) Close() error { *c.closed++; return c.File.Close() }

func FuzzLoad(f *testing.F) {
	for _, name := range scanNames {
		f.Add(read(f, name))
	}
	f.Add([]byte(`{"results": [{"packages": [{"vulnerabilities": [{}, null, []], "groups": [null], "package": []}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := Load("x", bytes.NewReader(b))
		if err != nil && !strings.HasPrefix(err.Error(), "scan x: ") {
			t.Fatal(err)
		}
		for _, v := range found {
			if v.ID == "" || v.Package == "" || len(v.Names) > maxNames || len(v.String()) > 8*maxText || strings.ContainsAny(v.String(), "\n\r\t") {
				t.Fatalf("%+v", v)
			}
			if got := NewSet(found).For([]string{v.Package}); Name(v.Package) != "" && len(got) == 0 {
				t.Fatalf("%+v is not found again", v)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	var in bytes.Buffer
	in.WriteString(`{"SchemaVersion": 2, "Results": [{"Class": "os-pkgs", "Vulnerabilities": [`)
	for i := range 5000 {
		if i > 0 {
			in.WriteByte(',')
		}
		fmt.Fprintf(&in, `{"VulnerabilityID": "CVE-2024-%d", "PkgName": "p%d", "InstalledVersion": "1", "Severity": "LOW", "Description": "%s"}`, i, i%500, strings.Repeat("text ", 200))
	}
	in.WriteString(`]}]}`)
	b.SetBytes(int64(in.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if found, err := Load("x", bytes.NewReader(in.Bytes())); err != nil || len(found) != 5000 {
			b.Fatal(len(found), err)
		}
	}
}
