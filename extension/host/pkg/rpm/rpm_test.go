package rpm_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/host/pkg/rpm"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg/rpm/rpmtest"
)

const (
	file = 0o100644
	dir  = 0o040755
	link = 0o120777
)

// packages are a small one, one of many pages, and one that rpm makes of a key.
func packages() []rpmtest.Package {
	big := rpmtest.Package{Name: "big", Version: "2", Release: "3.fc41", Epoch: 4, Long: true}
	for i := range 500 {
		big.Files = append(big.Files, rpmtest.File{Path: fmt.Sprintf("/usr/share/big/dir%d/file%d", i%9, i), Content: fmt.Sprint(i), Mode: file})
	}
	return []rpmtest.Package{
		{Name: "small", Files: []rpmtest.File{
			{Path: "/usr/lib/systemd/system", Mode: dir},
			{Path: "/usr/lib/systemd/system/a.service", Content: "unit", Mode: file},
			{Path: "/usr/lib/systemd/system/b.service", Mode: link, Link: "a.service"},
			{Path: "/etc/a.conf", Content: "conf", Mode: 0o100600, Flags: 1, Verify: 0xffffffff &^ 0b1000011},
			{Path: "/run/a.sock", Mode: file, Flags: 1 << 6},
			{Path: "/usr/bin/other's", Content: "x", Mode: file, State: 1},
			{Path: "/usr/bin/i386", Content: "x", Mode: file, State: 4},
		}},
		big,
		{Name: "gpg-pubkey"},
	}
}

func headers() (all [][]byte) {
	for _, p := range packages() {
		all = append(all, p.Header())
	}
	return all
}

// made is each kind of database with headers.
func made(t testing.TB, all [][]byte) map[string]func() rpm.DB {
	t.Helper()
	must := func(db rpm.DB, err error) rpm.DB {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	mem := func(open func(b *bytes.Reader) (rpm.DB, error), b []byte) func() rpm.DB {
		return func() rpm.DB { return must(open(bytes.NewReader(b))) }
	}
	bdb := func(r *bytes.Reader) (rpm.DB, error) { return rpm.OpenBDB(r, r.Size()) }
	name := "rpmdb ?#%.sqlite" // what a URI would take for its own
	if runtime.GOOS == "windows" {
		name = "rpmdb #%.sqlite" // no file there has a question mark
	}
	at := filepath.Join(t.TempDir(), name)
	conn, err := rpmtest.SQLite(context.Background(), at, all)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	return map[string]func() rpm.DB{
		"ndb":        mem(func(r *bytes.Reader) (rpm.DB, error) { return rpm.OpenNDB(r, r.Size()) }, rpmtest.NDB(all)),
		"bdb":        mem(bdb, rpmtest.BDB(all, 4096, binary.LittleEndian)),
		"bdb 512":    mem(bdb, rpmtest.BDB(all, 512, binary.LittleEndian)),
		"bdb 32768":  mem(bdb, rpmtest.BDB(all, 32768, binary.LittleEndian)),
		"bdb, s390x": mem(bdb, rpmtest.BDB(all, 4096, binary.BigEndian)),
		"sqlite":     func() rpm.DB { return must(rpm.OpenSQLite(context.Background(), at, false)) },
	}
}

func TestKinds(t *testing.T) {
	all := headers()
	for name, open := range made(t, all) {
		t.Run(name, func(t *testing.T) {
			db := open()
			defer db.Close()
			var got [][]byte
			var where []uint64
			damaged, err := db.Each(context.Background(), func(at uint64, h []byte) error {
				got, where = append(got, bytes.Clone(h)), append(where, at)
				return nil
			})
			if err != nil || damaged != 0 {
				t.Fatalf("%d damaged, %v", damaged, err)
			}
			if diff := cmp.Diff(all, got); diff != "" {
				t.Fatal(diff)
			}
			for i, at := range where {
				if h, err := db.Header(context.Background(), at); err != nil || !bytes.Equal(h, all[i]) {
					t.Errorf("header %d at %d: %v", i, at, err)
				}
			}
			for _, at := range []uint64{0, 1, 7777, 1 << 63} {
				if h, err := db.Header(context.Background(), at); err == nil && !slices.ContainsFunc(all, func(x []byte) bool { return bytes.Equal(x, h) }) {
					t.Errorf("%d bytes at %d, where nothing is", len(h), at)
				}
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err := db.Each(ctx, func(uint64, []byte) error { return nil }); err == nil {
				t.Error("read on after the end")
			}
		})
	}
}

func TestHeader(t *testing.T) {
	var got []string
	for _, blob := range headers() {
		h, err := rpm.ParseHeader(blob)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.Name()+" "+h.Version())
		h.Paths(func(p string) {
			if !strings.Contains(p, "big") {
				got = append(got, p)
			}
		})
	}
	want := []string{"small 1-1", "/usr/lib/systemd/system/a.service", "/usr/lib/systemd/system/b.service", "/etc/a.conf", "big 4:2-3.fc41", "gpg-pubkey 1-1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	h, err := rpm.ParseHeader(packages()[0].Header())
	if err != nil {
		t.Fatal(err)
	}
	sum, _ := hex.DecodeString("f5dd10bfbf34b88dee51bf63e59ac0c2ef8d5ee3ed73a2a8ad2ecdac2bb2de6e")
	same := func(s string) string { return s }
	for _, c := range []struct {
		path string
		want rpm.File
		ok   bool
	}{
		{"/usr/lib/systemd/system/a.service", rpm.File{Path: "/usr/lib/systemd/system/a.service", Mode: file, Size: 4, Digest: sum}, true},
		{"/usr/lib/systemd/system/b.service", rpm.File{Path: "/usr/lib/systemd/system/b.service", Mode: link, Link: "a.service"}, true},
		{"/etc/a.conf", rpm.File{Path: "/etc/a.conf", Mode: 0o100600, Size: -1, AnyMode: true}, true},
		{"/etc/a.service", rpm.File{}, false},
		{"/run/a.sock", rpm.File{}, false},
		{"", rpm.File{}, false},
	} {
		f, ok := h.File(c.path, same)
		if len(f.Digest) > 0 && c.want.Digest != nil {
			c.want.Digest = f.Digest // that it is right, verifying shows
			if len(f.Digest) != 32 {
				t.Errorf("%s: digest %x", c.path, f.Digest)
			}
		}
		if diff := cmp.Diff(c.want, f); ok != c.ok || diff != "" {
			t.Errorf("%s: %v\n%s", c.path, ok, diff)
		}
	}
	for _, c := range []struct {
		algorithm int
		digest    string
		size      int
	}{
		{-1, strings.Repeat("ab", 16), 16}, {2, strings.Repeat("ab", 20), 20}, {11, strings.Repeat("ab", 28), 28}, {9, strings.Repeat("ab", 48), 48},
		{10, strings.Repeat("AB", 64), 64}, {12, strings.Repeat("ab", 32), 0}, {8, strings.Repeat("ab", 16), 0}, {8, strings.Repeat("zz", 32), 0},
	} {
		p := rpmtest.Package{Name: "x", Algorithm: c.algorithm, Files: []rpmtest.File{{Path: "/a", Mode: file, Digest: c.digest}}}
		h, err := rpm.ParseHeader(p.Header())
		if err != nil {
			t.Fatal(err)
		}
		if f, _ := h.File("/a", same); len(f.Digest) != c.size {
			t.Errorf("algorithm %d, %s: %x", c.algorithm, c.digest, f.Digest)
		}
	}
}

// What lies in the log beside the database is read where its index is there, and
// nothing is made where it isn't.
func TestLog(t *testing.T) {
	at := filepath.Join(t.TempDir(), "rpmdb.sqlite")
	all := headers()
	conn, err := rpmtest.SQLite(context.Background(), at, all[:1])
	if err != nil {
		t.Fatal(err)
	}
	count := func(path string, wal bool) int {
		t.Helper()
		db, err := rpm.OpenSQLite(context.Background(), path, wal)
		if err != nil {
			return -1
		}
		defer db.Close()
		n := 0
		if _, err := db.Each(context.Background(), func(uint64, []byte) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(at, true); n != 1 {
		t.Errorf("%d of 1 with the log", n)
	}
	if err := rpmtest.Add(conn, all[1]); err != nil {
		t.Fatal(err)
	}
	if n := count(at, true); n != 2 {
		t.Errorf("%d of 2 with the log", n)
	}
	// A copy without the index, as after a crash.
	crashed := filepath.Join(t.TempDir(), "rpmdb.sqlite")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(at + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(crashed+suffix, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	count(crashed, true)
	count(crashed, false)
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(crashed), "*")); len(names) != 2 {
		t.Errorf("files were made: %q", names)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count(at, false); n != 2 {
		t.Errorf("%d of 2 without a log", n)
	}
	if n := count(filepath.Join(t.TempDir(), "none"), false); n != -1 {
		t.Errorf("%d of a database that is not there", n)
	}
}

// Each bit that flips and each byte that is missing costs what it damages, never more
// than time and memory that are bounded.
func TestDamage(t *testing.T) {
	all := headers()
	kinds := map[string][]byte{"Packages.db": rpmtest.NDB(all), "Packages": rpmtest.BDB(all, 512, binary.LittleEndian)}
	at := filepath.Join(t.TempDir(), "rpmdb.sqlite")
	conn, err := rpmtest.SQLite(context.Background(), at, all)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if kinds["rpmdb.sqlite"], err = os.ReadFile(at); err != nil {
		t.Fatal(err)
	}
	rounds := 400
	if testing.Short() {
		rounds = 60
	}
	random := rand.New(rand.NewPCG(1, 2))
	for kind, whole := range kinds {
		found := 0
		for i := range rounds {
			b := bytes.Clone(whole)
			if i%4 == 0 {
				b = b[:random.IntN(len(b))]
			} else {
				for range 1 + random.IntN(16) {
					b[random.IntN(len(b))] ^= 1 << random.IntN(8)
				}
				b[random.IntN(min(len(b), 1024))] ^= 1 << random.IntN(8)
			}
			found += survive(t, kind, b)
		}
		t.Logf("%s: %d of %d packages of damaged files were still read", kind, found, rounds*len(all))
	}
}

// survive reads all there is to read of a damaged database.
func survive(t testing.TB, kind string, b []byte) (found int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var db rpm.DB
	var err error
	switch kind {
	case "Packages.db":
		db, err = rpm.OpenNDB(bytes.NewReader(b), int64(len(b)))
	case "Packages":
		db, err = rpm.OpenBDB(bytes.NewReader(b), int64(len(b)))
	default:
		at := filepath.Join(t.TempDir(), "rpmdb.sqlite")
		if err := os.WriteFile(at, b, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err = rpm.OpenSQLite(ctx, at, false)
	}
	if err != nil {
		return 0
	}
	defer db.Close()
	_, _ = db.Each(ctx, func(at uint64, blob []byte) error {
		if _, err := db.Header(ctx, at); err != nil && kind != "rpmdb.sqlite" {
			t.Fatalf("found at %d and not there: %v", at, err)
		}
		if h, err := rpm.ParseHeader(blob); err == nil {
			found++
			look(t, h)
		}
		return nil
	})
	if ctx.Err() != nil {
		t.Fatalf("a damaged %s took more than a minute", kind)
	}
	return found
}

func look(t testing.TB, h rpm.Header) {
	t.Helper()
	_ = h.Version()
	n := 0
	h.Paths(func(p string) {
		if n++; p[0] != '/' || strings.ContainsAny(p, "\n\x00") {
			t.Fatalf("path %q", p)
		}
		if n < 4 {
			if f, ok := h.File(p, func(s string) string { return s }); !ok || f.Path != p {
				t.Fatalf("%q is a path of the package, and no file of it: %+v", p, f)
			}
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, h := range headers() {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := rpm.ParseHeader(b); err == nil {
			if h.Name() == "" {
				t.Fatal("a package without a name")
			}
			look(t, h)
		}
	})
}

func FuzzDatabases(f *testing.F) {
	all := headers()[:1]
	f.Add(rpmtest.NDB(all))
	f.Add(rpmtest.BDB(all, 512, binary.LittleEndian))
	f.Add(rpmtest.BDB(all, 512, binary.BigEndian))
	f.Fuzz(func(t *testing.T, b []byte) {
		survive(t, "Packages.db", b)
		survive(t, "Packages", b)
	})
}

// rpm itself reads the database of Berkeley DB the tests make: its form is right.
func TestTheirOwnReader(t *testing.T) {
	bin, err := exec.LookPath("rpm")
	if err != nil {
		t.Skip("NOT TESTED: rpm's own reading of the tests' databases: no rpm here")
	}
	for _, page := range []int{512, 4096} {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "Packages"), rpmtest.BDB(headers(), page, binary.LittleEndian), 0o644); err != nil {
			t.Fatal(err)
		}
		var complaints bytes.Buffer
		cmd := exec.Command(bin, "--dbpath", root, "--define", "_db_backend bdb_ro", "-qa", "--qf", "%{NAME} %{EVR}\n")
		cmd.Stderr = &complaints // of indexes that are not there
		out, err := cmd.Output()
		if strings.Contains(complaints.String(), "invalid %_db_backend") {
			t.Skip("NOT TESTED: rpm's own reading of Berkeley DB: this rpm has none")
		}
		if want := "small 1-1\nbig 4:2-3.fc41\ngpg-pubkey 1-1\n"; err != nil || string(out) != want {
			t.Errorf("pages of %d: %v\n%s%s", page, err, out, complaints.String())
		}
	}
}

// TestRecorded reads databases of real hosts: RPMDBS names a folder of them, however
// deep. Where rpm is here and can read them, it must find the same.
func TestRecorded(t *testing.T) {
	folder := os.Getenv("RPMDBS")
	if folder == "" {
		t.Skip("NOT TESTED: databases of real hosts: RPMDBS names no folder")
	}
	bin, _ := exec.LookPath("rpm")
	found := 0
	err := filepath.WalkDir(folder, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		var db rpm.DB
		backend := map[string]string{"rpmdb.sqlite": "sqlite", "Packages.db": "ndb", "Packages": "bdb_ro"}[e.Name()]
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return err
		}
		switch backend {
		case "sqlite":
			db, err = rpm.OpenSQLite(context.Background(), p, false)
		case "ndb":
			db, err = rpm.OpenNDB(f, st.Size())
		case "bdb_ro":
			db, err = rpm.OpenBDB(f, st.Size())
		default:
			return nil
		}
		if err != nil {
			t.Errorf("%s: %v", p, err)
			return nil
		}
		defer db.Close()
		found++
		var got []string
		names, digests := 0, 0
		same := func(s string) string { return s }
		start := time.Now()
		damaged, err := db.Each(context.Background(), func(_ uint64, blob []byte) error {
			h, err := rpm.ParseHeader(blob)
			if err != nil {
				t.Errorf("%s: %v", p, err)
				return nil
			}
			got = append(got, h.Name()+" "+h.Version())
			one := ""
			h.Paths(func(p string) { names, one = names+1, p })
			if f, _ := h.File(one, same); f.Digest != nil {
				digests++
			}
			return nil
		})
		took := time.Since(start)
		if err != nil || damaged > 0 || len(got) == 0 || digests == 0 {
			t.Errorf("%s: %d packages, %d damaged, %d of them with digests: %v", p, len(got), damaged, digests, err)
		}
		t.Logf("%s: %d packages, %d files in %v", p, len(got), names, took)
		if bin == "" || backend == "ndb" {
			return nil
		}
		copied := t.TempDir()
		b, err := os.ReadFile(p)
		if err == nil {
			err = os.WriteFile(filepath.Join(copied, e.Name()), b, 0o644)
		}
		if err != nil {
			return err
		}
		out, err := exec.Command(bin, "--dbpath", copied, "--define", "_db_backend "+backend, "-qa", "--qf", "%{NAME} %{EVR}\n").Output()
		want := strings.Split(strings.TrimSpace(string(out)), "\n")
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: rpm says %v\n%s", p, err, diff)
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("%d databases in %s: %v", found, folder, err)
	}
}

func BenchmarkEach(b *testing.B) {
	p := packages()[1]
	var all [][]byte
	for i := range 200 {
		p.Name = fmt.Sprint("p", i)
		all = append(all, p.Header())
	}
	for name, open := range made(b, all) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				db := open()
				n := 0
				if _, err := db.Each(context.Background(), func(_ uint64, blob []byte) error {
					h, err := rpm.ParseHeader(blob)
					h.Paths(func(string) { n++ })
					return err
				}); err != nil || n != 100000 {
					b.Fatal(n, err)
				}
				_ = db.Close()
			}
		})
	}
}
