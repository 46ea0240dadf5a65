package pkg

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"  //nolint:gosec // as dpkg does
	"crypto/sha1" //nolint:gosec // as apk does
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func plant(t testing.TB, root string, tree map[string]string) {
	t.Helper()
	for name, text := range tree {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(to, p)
		} else {
			err = os.WriteFile(p, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func sum(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) } //nolint:gosec // as dpkg does

type answer struct {
	path      string
	name      string // "" when nobody's
	ok, known bool
	missing   bool
}

func check(t *testing.T, d *DB, all []answer) {
	t.Helper()
	for _, a := range all {
		p, owned := d.Owner(a.path)
		if p.Name != a.name || owned != (a.name != "") {
			t.Errorf("%s is %q's (%v), want %q", a.path, p.Name, owned, a.name)
		}
		for range 2 { // read, then remembered
			ok, known, err := d.Verify(context.Background(), a.path)
			if ok != a.ok || known != a.known || errors.Is(err, fs.ErrNotExist) != a.missing {
				t.Errorf("%s: ok %v, known %v, %v", a.path, ok, known, err)
			}
		}
	}
}

const status = `Package: ssh
Status: install ok installed
Architecture: amd64
Version: 1:9.2
Conffiles:
 /etc/init.d/ssh %s
 /etc/old.conf 0123456789abcdef0123456789abcdef obsolete
Description: a
 /etc/not-a-conffile 0123456789abcdef0123456789abcdef

Package: libc6
Status: install ok installed
Architecture: i386
Multi-Arch: same
Version: 2.36

Package: gone
Status: purge ok not-installed
Version: 1
`

func debian(t testing.TB, merged bool) string {
	t.Helper()
	root := t.TempDir()
	tree := map[string]string{
		"var/lib/dpkg/status":                fmt.Sprintf(status, sum("init")),
		"var/lib/dpkg/info/ssh.list":         "/.\n/lib\n/lib/systemd\n/lib/systemd/system\n/lib/systemd/system/ssh.service\n/usr\n/usr/sbin\n/usr/sbin/sshd\n/etc\n/etc/init.d\n/etc/init.d/ssh\n/usr/bin/tool\n/usr/sbin/sshd-link\n",
		"var/lib/dpkg/info/ssh.md5sums":      sum("unit") + "  lib/systemd/system/ssh.service\n" + sum("sshd") + "  usr/sbin/sshd\n" + sum("tool") + "  usr/bin/tool\nnot a line\n",
		"var/lib/dpkg/info/libc6:i386.list":  "/usr/lib/libc.so\n",
		"var/lib/dpkg/info/wrap.list":        "/usr/bin/tool\n",
		"var/lib/dpkg/info/wrap.md5sums":     sum("wrapped") + "  usr/bin/tool\n",
		"var/lib/dpkg/info/ssh.postinst":     "x",
		"var/lib/dpkg/diversions":            "/usr/bin/tool\n/usr/bin/tool.real\nwrap\n/usr/bin/mine\n/usr/bin/mine.dist\n:\n",
		"usr/lib/systemd/system/ssh.service": "unit",
		"usr/sbin/sshd":                      "changed",
		"etc/init.d/ssh":                     "init",
		"usr/bin/tool":                       "wrapped",
		"usr/bin/tool.real":                  "tool",
		"usr/lib/systemd/system/new.service": "x",
		"usr/lib/libc.so":                    "x",
	}
	if merged {
		tree["lib"] = "-> usr/lib"
	} else {
		tree["lib/systemd/system/ssh.service"] = "unit"
	}
	plant(t, root, tree)
	return root
}

func skipWindows(t testing.TB) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: package databases of a Linux host, on Windows")
	}
}

func TestDpkg(t *testing.T) {
	skipWindows(t)
	root := debian(t, true)
	d := Open(root)
	check(t, d, []answer{
		{"/lib/systemd/system/ssh.service", "ssh", true, true, false},
		{"/usr/lib/systemd/system/ssh.service", "ssh", true, true, false},
		{"/usr/lib/systemd/../systemd/system/ssh.service", "ssh", true, true, false},
		{"/usr/sbin/sshd", "ssh", false, true, false},
		{"/etc/init.d/ssh", "ssh", true, true, false},
		{"/usr/bin/tool", "wrap", true, true, false},
		{"/usr/bin/tool.real", "ssh", true, true, false},
		{"/usr/bin/mine", "", false, false, true},
		{"/usr/lib/systemd/system/new.service", "", false, false, false},
		{"/usr/lib/systemd/system", "", false, false, false}, // a directory is nobody's
		{"/usr/lib/libc.so", "libc6", false, false, false},
		{"/etc/init.d/none", "", false, false, true},
		{"", "", false, false, false},
		{"relative", "", false, false, false},
	})
	if p, _ := d.Owner("/usr/lib/libc.so"); p.Version != "2.36" || p.Manager != "dpkg" {
		t.Errorf("%+v", p)
	}
	if p, _ := d.Owner("/usr/sbin/sshd"); p.Version != "1:9.2" {
		t.Errorf("%+v", p)
	}
}

// Where /lib is a directory of its own, a file there is not the one in /usr/lib.
func TestUnmergedUsr(t *testing.T) {
	skipWindows(t)
	check(t, Open(debian(t, false)), []answer{
		{"/lib/systemd/system/ssh.service", "ssh", true, true, false},
		{"/usr/lib/systemd/system/ssh.service", "", false, false, false},
	})
}

func TestChangesAreSeen(t *testing.T) {
	skipWindows(t)
	root := debian(t, true)
	d := Open(root)
	now := time.Now().Add(time.Hour) // all files are old
	d.now = func() time.Time { now = now.Add(2 * checkEvery); return now }
	check(t, d, []answer{{"/usr/sbin/sshd", "ssh", false, true, false}})
	if err := os.WriteFile(filepath.Join(root, "usr/sbin/sshd"), []byte("sshd"), 0o644); err != nil {
		t.Fatal(err)
	}
	check(t, d, []answer{{"/usr/sbin/sshd", "ssh", true, true, false}})
	if _, known, fresh := d.Remembered("/usr/sbin/sshd"); !known || !fresh {
		t.Error("a verdict is not remembered")
	}
	if _, _, fresh := d.Remembered("/usr/bin/tool"); fresh {
		t.Error("a file that was never read is remembered")
	}
	plant(t, root, map[string]string{"var/lib/dpkg/info/new.list": "/usr/lib/systemd/system/new.service\n"})
	check(t, d, []answer{{"/usr/lib/systemd/system/new.service", "new", false, false, false}})
	if err := os.RemoveAll(filepath.Join(root, "var/lib/dpkg")); err != nil {
		t.Fatal(err)
	}
	check(t, d, []answer{{"/usr/sbin/sshd", "", false, false, false}})
	if m := d.Managers(); len(m) != 0 {
		t.Errorf("managers %v", m)
	}
}

func TestApk(t *testing.T) {
	skipWindows(t)
	root := t.TempDir()
	q := sha1.Sum([]byte("nginx")) //nolint:gosec // as apk does
	plant(t, root, map[string]string{
		"lib/apk/db/installed": "C:Q1x\nP:nginx\nV:1.2-r0\nF:usr\nF:usr/sbin\nR:nginx\na:0:0:755\nZ:Q1" + base64.StdEncoding.EncodeToString(q[:]) +
			"\nF:etc/init.d\nR:nginx\nZ:Q1bad\n\nP:base\nV:3\nF:\nR:root-file\n",
		"usr/sbin/nginx": "nginx", "etc/init.d/nginx": "x", "root-file": "y",
	})
	check(t, Open(root), []answer{
		{"/usr/sbin/nginx", "nginx", true, true, false}, {"/etc/init.d/nginx", "nginx", false, false, false}, {"/root-file", "base", false, false, false},
		{"/usr/sbin", "", false, false, false},
	})
}

func TestPacman(t *testing.T) {
	skipWindows(t)
	root := t.TempDir()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	fmt.Fprintf(w, "#mtree\n/set type=file\n./usr/bin/a time=1 sha256digest=%x\n./usr/bin/b\\040c sha256digest=%x\n", sha256.Sum256([]byte("a")), sha256.Sum256([]byte("other")))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	plant(t, root, map[string]string{
		"var/lib/pacman/local/ALPM_DB_VERSION": "9",
		"var/lib/pacman/local/a-1-1/desc":      "%NAME%\na\n\n%VERSION%\n1-1\n",
		"var/lib/pacman/local/a-1-1/files":     "%FILES%\nusr/\nusr/bin/\nusr/bin/a\nusr/bin/b c\n\n%BACKUP%\netc/x\tabc\n",
		"var/lib/pacman/local/a-1-1/mtree":     z.String(),
		"usr/bin/a":                            "a", "usr/bin/b c": "b", "etc/x": "x",
	})
	check(t, Open(root), []answer{
		{"/usr/bin/a", "a", true, true, false}, {"/usr/bin/b c", "a", false, true, false}, {"/usr/bin", "", false, false, false}, {"/etc/x", "", false, false, false},
	})
}

func TestNoDatabase(t *testing.T) {
	d := Open(t.TempDir())
	if _, ok := d.Owner("/bin/sh"); ok || len(d.Managers()) != 0 || len(d.Problems()) != 0 {
		t.Errorf("managers %v, problems %v", d.Managers(), d.Problems())
	}
}

func TestSmallInMemory(t *testing.T) {
	skipWindows(t)
	root := t.TempDir()
	tree := map[string]string{"var/lib/dpkg/status": ""}
	for p := range 500 {
		var list strings.Builder
		for f := range 250 {
			fmt.Fprintf(&list, "/usr/share/doc/package-with-a-name-%d/some/file-%d.html\n", p, f)
		}
		tree[fmt.Sprintf("var/lib/dpkg/info/p%d.list", p)] = list.String()
	}
	plant(t, root, tree)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d := Open(root)
	if _, ok := d.Owner("/usr/share/doc/package-with-a-name-499/some/file-249.html"); !ok {
		t.Fatal("not found")
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 10<<20 {
		t.Errorf("125,000 files of 500 packages take %d KB", kept>>10)
	}
	runtime.KeepAlive(d)
}

func FuzzDpkg(f *testing.F) {
	f.Add(fmt.Sprintf(status, sum("x")), "/.\n/a\n/a/b\n", "d41d8cd98f00b204e9800998ecf8427e  a/b\n", "/a\n/b\n:\n")
	f.Add("Package: a\n\n\n", "/\n\n/x\n", "x", "/a\n")
	f.Fuzz(func(t *testing.T, status, list, sums, diversions string) {
		parseStatus(status, func(e statusEntry) {
			if e.name == "" {
				t.Fatal("a package without a name")
			}
		})
		parseList(list, func(p string) {
			if p == "" || p[0] != '/' || strings.Contains(p, "\n") {
				t.Fatalf("path %q", p)
			}
		})
		if s := parseSums(sums, "/a/b", func(p string) string { return p }); s != nil && len(s) != 16 {
			t.Fatalf("digest %x", s)
		}
		parseDiversions(diversions, func(from, to, _ string) {
			if from[0] != '/' || to[0] != '/' {
				t.Fatalf("%q -> %q", from, to)
			}
		})
	})
}

func FuzzOthers(f *testing.F) {
	f.Add("P:a\nV:1\nF:usr/bin\nR:x\nZ:Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n", "%NAME%\na\n%FILES%\nusr/bin/x\n", "./usr/bin/x sha256digest=00 mode=1\n")
	f.Fuzz(func(t *testing.T, apk, desc, mtree string) {
		same := func(p string) string { return p }
		parseApk(apk, func(name, _, file, _ string) {
			if name == "" || file[0] != '/' {
				t.Fatalf("%q %q", name, file)
			}
		})
		if s := apkDigest(apk, "/usr/bin/x", same); s != nil && len(s) != 20 {
			t.Fatalf("digest %x", s)
		}
		sections(desc, "%NAME%", "%FILES%")
		if s := mtreeDigest(strings.NewReader(mtree), "/usr/bin/x", same); s != nil && len(s) != 32 {
			t.Fatalf("digest %x", s)
		}
	})
}

func BenchmarkOwner(b *testing.B) {
	skipWindows(b)
	d := Open(debian(b, true))
	b.ReportAllocs()
	for b.Loop() {
		d.Owner("/usr/lib/systemd/system/ssh.service")
	}
}

func BenchmarkIndexThisHost(b *testing.B) {
	if _, err := os.Stat(dpkgInfo); err != nil {
		b.Skip("NOT TESTED: no dpkg here")
	}
	for b.Loop() {
		Open("/").Managers()
	}
}
