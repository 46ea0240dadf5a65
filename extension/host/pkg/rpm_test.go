package pkg

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/osquery-rollcall/rollcall/extension/host/pkg/rpm/rpmtest"
)

const (
	rpmPlain = 0o100644
	rpmProg  = 0o100755
	rpmLink  = 0o120777
)

func redhat() [][]byte {
	many := rpmtest.Package{Name: "many"}
	for i := range 200 {
		many.Files = append(many.Files, rpmtest.File{Path: fmt.Sprintf("/usr/share/many/%d", i), Content: "x", Mode: rpmPlain})
	}
	return [][]byte{
		rpmtest.Package{Name: "sshd", Version: "9.9", Release: "2.fc41", Epoch: 1, Files: []rpmtest.File{
			{Path: "/usr/lib/systemd/system", Mode: 0o040755},
			{Path: "/usr/lib/systemd/system/sshd.service", Content: "unit", Mode: rpmPlain},
			{Path: "/usr/lib/systemd/system/ssh.service", Mode: rpmLink, Link: "sshd.service"},
			{Path: "/usr/lib/systemd/system/away.service", Mode: rpmLink, Link: "sshd.service"},
			{Path: "/usr/lib/systemd/system/bad.service", Mode: rpmLink, Link: "altered.service"},
			{Path: "/usr/lib/systemd/system/altered.service", Content: "1234", Mode: rpmPlain},
			{Path: "/usr/lib/systemd/system/longer.service", Content: "1234", Mode: rpmPlain},
			{Path: "/usr/lib/systemd/system/linked.service", Content: "unit", Mode: rpmPlain},
			{Path: "/usr/sbin/sshd", Content: "sshd", Mode: rpmProg},
			{Path: "/usr/bin/loose", Content: "x", Mode: rpmProg},
			{Path: "/usr/bin/tight", Content: "x", Mode: rpmProg},
			{Path: "/usr/bin/gone", Content: "x", Mode: rpmProg},
			{Path: "/usr/bin/undigested", Content: "x", Mode: rpmPlain, Digest: "none"},
			{Path: "/etc/sshd.conf", Content: "conf", Mode: 0o100600, Flags: 1},
			{Path: "/etc/any.conf", Content: "conf", Mode: rpmPlain, Flags: 1, Verify: 0xffffffff &^ 3},
			{Path: "/run/ghost.service", Mode: rpmPlain, Flags: 1 << 6},
			{Path: "/lib/udev/rule", Content: "rule", Mode: rpmPlain},
		}}.Header(),
		rpmtest.Package{Name: "gpg-pubkey"}.Header(),
		many.Header(),
	}
}

var redhatFiles = map[string]string{
	"usr/lib/systemd/system/sshd.service":    "unit",
	"usr/lib/systemd/system/ssh.service":     "-> sshd.service",
	"usr/lib/systemd/system/away.service":    "-> mine.service",
	"usr/lib/systemd/system/bad.service":     "-> altered.service",
	"usr/lib/systemd/system/mine.service":    "unit",
	"usr/lib/systemd/system/altered.service": "4321",
	"usr/lib/systemd/system/longer.service":  "12345",
	"usr/lib/systemd/system/linked.service":  "-> sshd.service",
	"usr/sbin/sshd":                          "sshd",
	"usr/bin/loose":                          "x",
	"usr/bin/tight":                          "x",
	"usr/bin/undigested":                     "x",
	"etc/sshd.conf":                          "changed",
	"etc/any.conf":                           "changed",
	"run/ghost.service":                      "x",
	"usr/lib/udev/rule":                      "rule",
	"lib":                                    "-> usr/lib",
}

// answers of a host with these packages and files.
var redhatAnswers = []answer{
	{"/usr/lib/systemd/system/sshd.service", "sshd", true, true, false},
	{"/lib/systemd/system/sshd.service", "sshd", true, true, false},
	{"/usr/lib/systemd/system/ssh.service", "sshd", true, true, false},
	{"/usr/lib/systemd/system/away.service", "sshd", false, true, false},
	{"/usr/lib/systemd/system/bad.service", "sshd", false, true, false},
	{"/usr/lib/systemd/system/mine.service", "", false, false, false},
	{"/usr/lib/systemd/system/altered.service", "sshd", false, true, false},
	{"/usr/lib/systemd/system/longer.service", "sshd", false, true, false},
	{"/usr/lib/systemd/system/linked.service", "sshd", false, true, false},
	{"/usr/lib/systemd/system", "", false, false, false},
	{"/usr/sbin/sshd", "sshd", true, true, false},
	{"/usr/bin/loose", "sshd", false, true, false},
	{"/usr/bin/tight", "sshd", true, true, false},
	{"/usr/bin/gone", "sshd", false, false, true},
	{"/usr/bin/undigested", "sshd", false, false, false},
	{"/etc/sshd.conf", "sshd", false, true, false},
	{"/etc/any.conf", "sshd", false, false, false},
	{"/run/ghost.service", "", false, false, false},
	{"/usr/lib/udev/rule", "sshd", true, true, false},
	{"/usr/share/many/199", "many", false, false, true},
}

// redhatRoot is a host without a database.
func redhatRoot(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	plant(t, root, redhatFiles)
	for name, mode := range map[string]os.FileMode{"usr/sbin/sshd": 0o755, "usr/bin/loose": 0o755 | os.ModeSetuid, "usr/bin/tight": 0o500, "etc/sshd.conf": 0o600} {
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// rpmSQLite plants an rpmdb.sqlite whose log is empty, as rpm leaves it.
func rpmSQLite(t testing.TB, at string, headers [][]byte) {
	t.Helper()
	if err := rpmOpen(t, at, headers).Close(); err != nil {
		t.Fatal(err)
	}
}

func rpmOpen(t testing.TB, at string, headers [][]byte) *sqlite.Conn {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	conn, err := rpmtest.SQLite(context.Background(), at, headers)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestRPM(t *testing.T) {
	skipWindows(t)
	if runtime.GOOS == "darwin" {
		t.Skip("NOT TESTED: setuid programs of a Linux host, on macOS")
	}
	for name, database := range map[string]func(root string){
		"ndb": func(root string) {
			plant(t, root, map[string]string{"usr/lib/sysimage/rpm/Packages.db": string(rpmtest.NDB(redhat())), "var/lib/rpm": "-> ../../usr/lib/sysimage/rpm"})
		},
		"bdb": func(root string) {
			plant(t, root, map[string]string{"var/lib/rpm/Packages": string(rpmtest.BDB(redhat(), 4096, binary.LittleEndian))})
		},
		"sqlite": func(root string) { rpmSQLite(t, filepath.Join(root, "usr/lib/sysimage/rpm/rpmdb.sqlite"), redhat()) },
		"an empty one beside an old one": func(root string) {
			rpmSQLite(t, filepath.Join(root, "var/lib/rpm/rpmdb.sqlite"), nil)
			plant(t, root, map[string]string{"var/lib/rpm/Packages": string(rpmtest.BDB(redhat(), 4096, binary.LittleEndian))})
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := redhatRoot(t)
			database(root)
			d := Open(root)
			d.now = func() time.Time { return time.Now().Add(time.Hour) } // all files are old
			check(t, d, redhatAnswers)
			if p, _ := d.Owner("/usr/sbin/sshd"); p.Version != "1:9.9-2.fc41" || p.Manager != "rpm" {
				t.Errorf("%+v", p)
			}
			if m, p := d.Managers(), d.Problems(); len(m) != 1 || m[0] != "rpm" || len(p) > 0 {
				t.Errorf("managers %v, problems %v", m, p)
			}
			if _, known, fresh := d.Remembered("/usr/bin/undigested"); known || !fresh {
				t.Error("that nothing is known of a file is not remembered")
			}
		})
	}
}

// Since Fedora 42 /usr/sbin is a link, and packages name either.
func TestMergedSbin(t *testing.T) {
	skipWindows(t)
	root := t.TempDir()
	plant(t, root, map[string]string{
		"usr/bin/a": "a", "usr/bin/b": "b", "usr/sbin": "-> bin",
		"var/lib/rpm/Packages.db": string(rpmtest.NDB([][]byte{rpmtest.Package{Name: "p", Files: []rpmtest.File{
			{Path: "/usr/sbin/a", Content: "a", Mode: rpmPlain}, {Path: "/usr/bin/b", Content: "b", Mode: rpmPlain},
		}}.Header()})),
	})
	check(t, Open(root), []answer{
		{"/usr/sbin/a", "p", true, true, false}, {"/usr/bin/a", "p", true, true, false}, {"/usr/sbin/b", "p", true, true, false}, {"/usr/bin/b", "p", true, true, false},
	})
}

// While rpm works, and after it was killed, what it wrote last lies in the log.
func TestRPMLog(t *testing.T) {
	skipWindows(t)
	root := t.TempDir()
	plant(t, root, map[string]string{"usr/bin/new": "new"})
	at := filepath.Join(root, "var/lib/rpm/rpmdb.sqlite")
	conn := rpmOpen(t, at, redhat())
	d := Open(root)
	now := time.Now()
	d.now = func() time.Time { now = now.Add(2 * checkEvery); return now }
	check(t, d, []answer{{"/usr/bin/new", "", false, false, false}, {"/usr/share/many/1", "many", false, false, true}})
	if err := rpmtest.Add(conn, rpmtest.Package{Name: "new", Files: []rpmtest.File{{Path: "/usr/bin/new", Content: "new", Mode: rpmPlain}}}.Header()); err != nil {
		t.Fatal(err)
	}
	check(t, d, []answer{{"/usr/bin/new", "new", true, true, false}})
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, d, []answer{{"/usr/bin/new", "new", true, true, false}})
	if p := d.Problems(); len(p) > 0 {
		t.Errorf("problems %v", p)
	}
	// A log without its index: rpm was killed, and the machine started anew.
	if err := os.WriteFile(at+"-wal", bytes.Repeat([]byte{1}, 5000), 0o644); err != nil {
		t.Fatal(err)
	}
	check(t, d, []answer{{"/usr/bin/new", "new", true, true, false}})
	if p := d.Problems(); len(p) != 1 || !strings.Contains(p[0], "installed last") {
		t.Errorf("problems %v", p)
	}
	if names, _ := filepath.Glob(at + "*"); len(names) != 2 {
		t.Errorf("files were made: %v", names)
	}
}

// A damaged database costs what is damaged, and is told of.
func TestRPMDamaged(t *testing.T) {
	skipWindows(t)
	random := rand.New(rand.NewPCG(3, 4))
	for _, kind := range []string{"Packages.db", "Packages", "rpmdb.sqlite"} {
		for range 30 {
			root := t.TempDir()
			at := filepath.Join(root, "var/lib/rpm", kind)
			switch kind {
			case "Packages.db":
				plant(t, root, map[string]string{"var/lib/rpm/Packages.db": string(rpmtest.NDB(redhat()))})
			case "Packages":
				plant(t, root, map[string]string{"var/lib/rpm/Packages": string(rpmtest.BDB(redhat(), 1024, binary.LittleEndian))})
			default:
				rpmSQLite(t, at, redhat())
			}
			b, err := os.ReadFile(at)
			if err != nil {
				t.Fatal(err)
			}
			for range 1 + random.IntN(30) {
				b[random.IntN(len(b))] ^= 1 << random.IntN(8)
			}
			b = b[:len(b)-random.IntN(len(b))/2]
			if err := os.WriteFile(at, b, 0o644); err != nil {
				t.Fatal(err)
			}
			plant(t, root, redhatFiles)
			d := Open(root)
			for _, a := range redhatAnswers {
				d.Owner(a.path)
				_, _, _ = d.Verify(context.Background(), a.path)
			}
		}
	}
	root := t.TempDir()
	b := rpmtest.NDB(redhat())
	b[len(b)-40] ^= 1
	plant(t, root, map[string]string{"var/lib/rpm/Packages.db": string(b)})
	d := Open(root)
	check(t, d, []answer{{"/usr/sbin/sshd", "sshd", false, false, true}, {"/usr/share/many/1", "", false, false, true}})
	if p := d.Problems(); len(p) != 1 || !strings.Contains(p[0], "1 records") {
		t.Errorf("problems %v", p)
	}
}

// What others can write says nothing; a FIFO in the place of the database stops nobody.
func TestRPMHostile(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: special files of a Linux host, elsewhere")
	}
	root := t.TempDir()
	plant(t, root, map[string]string{"usr/bin/x": "x"})
	rpmSQLite(t, filepath.Join(root, "var/lib/rpm/rpmdb.sqlite"), redhat())
	if err := os.Chmod(filepath.Join(root, "var/lib/rpm"), 0o777); err != nil {
		t.Fatal(err)
	}
	d := Open(root)
	check(t, d, []answer{{"/usr/share/many/1", "", false, false, true}})
	if p := d.Problems(); len(p) != 1 || !strings.Contains(p[0], "can write") {
		t.Errorf("problems %v", p)
	}
	root = t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var/lib/rpm"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"rpmdb.sqlite", "Packages.db", "Packages"} {
		if out, err := exec.Command("mkfifo", filepath.Join(root, "var/lib/rpm", kind)).CombinedOutput(); err != nil {
			t.Skipf("NOT TESTED: FIFOs in the place of databases: %v %s", err, out)
		}
	}
	d = Open(root)
	if m, p := d.Managers(), d.Problems(); len(m) > 0 || len(p) != 3 {
		t.Errorf("managers %v, problems %v", m, p)
	}
}

const spec = `Name: %s
Version: %s
Release: 1
Summary: A test
License: none
BuildArch: noarch
%%description
A test.
%%install
mkdir -p %%{buildroot}/usr/lib/systemd/system %%{buildroot}/usr/sbin %%{buildroot}/etc %%{buildroot}/run
echo '[Service]' > %%{buildroot}/usr/lib/systemd/system/%[1]s.service
ln -s %[1]s.service %%{buildroot}/usr/lib/systemd/system/alias-%[1]s.service
echo '#!/bin/sh' > %%{buildroot}/usr/sbin/%[1]s
echo 'a=1' > %%{buildroot}/etc/%[1]s.conf
echo 'b=1' > %%{buildroot}/etc/%[1]s.free
%%files
/usr/lib/systemd/system/%[1]s.service
/usr/lib/systemd/system/alias-%[1]s.service
%%attr(0755, root, root) /usr/sbin/%[1]s
%%config(noreplace) /etc/%[1]s.conf
%%config %%verify(not md5 size mtime) /etc/%[1]s.free
%%ghost /run/%[1]s.state
`

// Real packages in a real database: what rpm says of each file, this says, too.
func TestWithRPM(t *testing.T) {
	for _, tool := range []string{"rpm", "rpmbuild"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NOT TESTED: packages and databases of rpm's own: no %s here", tool)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: packages and databases of rpm's own: rpm needs root to install below another root")
	}
	top, root := t.TempDir(), t.TempDir()
	run := func(name string, args ...string) (string, error) {
		out, err := exec.Command(name, args...).CombinedOutput()
		return string(out), err
	}
	build := func(name, version, algorithm string) string {
		t.Helper()
		plant(t, top, map[string]string{name + version + ".spec": fmt.Sprintf(spec, name, version)})
		if out, err := run("rpmbuild", "-bb", "--define", "_topdir "+top, "--define", "_source_filedigest_algorithm "+algorithm,
			"--define", "_binary_filedigest_algorithm "+algorithm, filepath.Join(top, name+version+".spec")); err != nil {
			t.Fatalf("rpmbuild: %v\n%s", err, out)
		}
		return filepath.Join(top, "RPMS/noarch", name+"-"+version+"-1.noarch.rpm")
	}
	const dbpath = "/usr/lib/sysimage/rpm"
	rpm := func(args ...string) (string, error) {
		return run("rpm", append([]string{"--root", root, "--dbpath", dbpath, "--define", "_db_backend sqlite"}, args...)...)
	}
	must := func(args ...string) {
		t.Helper()
		if out, err := rpm(args...); err != nil {
			t.Fatalf("rpm %v: %v\n%s", args, err, out)
		}
	}
	must("-i", "--nodeps", build("one", "1", "8"), build("two", "2", "10"))
	d := Open(root)
	now := time.Now().Add(time.Hour)
	d.now = func() time.Time { now = now.Add(2 * checkEvery); return now }
	agree := func() {
		t.Helper()
		for _, name := range []string{"one", "two"} {
			broken, _ := rpm("-V", "--nodeps", name)
			for _, f := range []string{"/usr/lib/systemd/system/%s.service", "/usr/lib/systemd/system/alias-%s.service", "/usr/sbin/%s", "/etc/%s.conf", "/etc/%s.free"} {
				f = fmt.Sprintf(f, name)
				out, err := rpm("-q", "--qf", "%{NAME} %{EVR}", "-f", f)
				p, ok := d.Owner(f)
				if (err == nil) != ok || ok && p.Name+" "+p.Version != out {
					t.Errorf("%s is %+v's, rpm says %s", f, p, out)
				}
				verified, known, verr := d.Verify(context.Background(), f)
				bad := ""
				for line := range strings.SplitSeq(broken, "\n") {
					if strings.HasSuffix(line, " "+f) {
						bad = strings.Fields(line)[0]
					}
				}
				// Mode and time by themselves: only rights that were handed out count here.
				fine := bad == "" || bad[0] != 'm' && !strings.ContainsAny(bad, "S5L")
				if strings.HasSuffix(f, ".free") {
					if known {
						t.Errorf("%s is not to be verified, and was: %v", f, verified)
					}
				} else if err == nil && bad != "missing" && (verr != nil || !known || verified != fine) {
					t.Errorf("%s: verified %v, known %v, %v; rpm says %q", f, verified, known, verr, bad)
				}
			}
		}
	}
	agree()
	if m, p := d.Managers(), d.Problems(); len(m) != 1 || m[0] != "rpm" || len(p) > 0 {
		t.Fatalf("managers %v, problems %v", m, p)
	}
	if p, ok := d.Owner("/run/one.state"); ok {
		t.Errorf("a ghost is %+v's", p)
	}
	for name, text := range map[string]string{"usr/lib/systemd/system/one.service": "[Service]!", "etc/one.conf": "a=2\n", "etc/two.free": "b=2\n", "usr/sbin/two": "#!/bin/hs\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	alias := filepath.Join(root, "usr/lib/systemd/system/alias-two.service")
	if err := os.Remove(alias); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("one.service", alias); err != nil {
		t.Fatal(err)
	}
	// rpm looks at the link alone; here what it leads to counts, too.
	if ok, known, err := d.Verify(context.Background(), "/usr/lib/systemd/system/alias-one.service"); ok || !known || err != nil {
		t.Errorf("a link to a changed unit verifies: %v %v %v", ok, known, err)
	}
	if err := os.Remove(filepath.Join(root, "usr/lib/systemd/system/alias-one.service")); err != nil {
		t.Fatal(err)
	}
	agree()
	must("-U", "--nodeps", "--force", build("one", "2", "1"))
	agree()
	must("-e", "--nodeps", "two")
	agree()
	if p := d.Problems(); len(p) > 0 {
		t.Errorf("problems %v", p)
	}
}

func BenchmarkIndexRPM(b *testing.B) {
	skipWindows(b)
	root := b.TempDir()
	p := rpmtest.Package{}
	for i := range 150 {
		p.Files = append(p.Files, rpmtest.File{Path: fmt.Sprintf("/usr/share/doc/package/some/file-%d.html", i), Content: "x", Mode: rpmPlain})
	}
	var all [][]byte
	for i := range 2000 {
		p.Name = fmt.Sprint("p", i)
		all = append(all, p.Header())
	}
	rpmSQLite(b, filepath.Join(root, "var/lib/rpm/rpmdb.sqlite"), all)
	b.ReportAllocs()
	for b.Loop() {
		if m := Open(root).Managers(); len(m) != 1 {
			b.Fatal(m)
		}
	}
}
