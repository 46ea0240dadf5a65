//go:build unix

package systemd

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whatever lies in the directories, a scan ends soon, keeps little, and tells.
func TestHostileFileSystem(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "etc/systemd/system")
	plant(t, root, map[string]string{
		"etc/systemd/system/good.service":                              service("/bin/good"),
		"etc/systemd/system/loop.service":                              "-> loop.service",
		"etc/systemd/system/deep.service":                              "-> ../../../l0/x",
		"l0":                                                           "-> l1",
		"l1":                                                           "-> l0",
		"etc/systemd/system/up.service":                                "-> ../../../../../../../../../../../../etc/shadow",
		"etc/systemd/system/new\nline.service":                         service("/bin/x"),
		"etc/systemd/system/bad\xff.service":                           service("/bin/x"),
		"etc/systemd/system/dir.service/x":                             "x",
		"etc/systemd/system/wants.service.wants":                       "x",
		"etc/systemd/system/good.service.d":                            "-> /etc/systemd/system",
		"etc/systemd/system/proc.service":                              service("/proc/self/root/bin/x"),
		"etc/systemd/system/many.service":                              "[Service]\n" + strings.Repeat("ExecStart=/bin/x\n", 20000),
		"etc/systemd/system/words.service":                             "[Service]\nExecStart=/bin/x " + strings.Repeat("a ", 100000) + "\n",
		"etc/systemd/system/percent.service":                           "[Service]\nExecStart=/bin/x " + strings.Repeat("%n", 60000) + "\n",
		"etc/systemd/system/dots.service":                              "[Service]\nExecStart=" + strings.Repeat("/..", 2000) + "/bin/x\n",
		"etc/systemd/system/" + strings.Repeat("a-", 120) + ".service": service("/bin/dashes"),
		"etc/systemd/system/fifo-link.service":                         "-> /fifo",
	})
	for _, p := range []string{"fifo.service", "../../../fifo", "good.service.d.fifo"} {
		if err := syscall.Mkfifo(filepath.Join(dir, p), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "good2.service.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "good2.service.d/x.conf"), 0o644); err != nil {
		t.Fatal(err)
	}
	plant(t, root, map[string]string{"etc/systemd/system/good2.service": service("/bin/good2")})
	short, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	if l, err := net.Listen("unix", filepath.Join(short, "s")); err == nil {
		t.Cleanup(func() { _ = l.Close() })
		if err := os.Rename(filepath.Join(short, "s"), filepath.Join(dir, "sock.service")); err != nil {
			t.Log("NOT TESTED: a socket in place of a unit:", err)
		}
	}
	if err := syscall.Mknod(filepath.Join(dir, "device.service"), syscall.S_IFCHR|0o644, 5<<8); err != nil {
		t.Log("NOT TESTED: a device node in place of a unit:", err)
	}
	sparse, err := os.Create(filepath.Join(dir, "sparse.service"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sparse.WriteString(service("/bin/sparse")); err != nil {
		t.Fatal(err)
	}
	if err := sparse.Truncate(10 << 30); err != nil {
		t.Log("NOT TESTED: a sparse unit of 10 GB:", err)
	}
	_ = sparse.Close()
	if os.Getuid() == 0 {
		t.Log("NOT TESTED: unreadable files, which root can read")
	} else if err := os.Chmod(filepath.Join(dir, "good2.service"), 0); err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	r := scanned(t, root)
	if took := time.Since(began); took > 2*time.Minute {
		t.Errorf("took %v", took)
	}
	if u := find(t, r, "good.service"); len(u.Exec) != 1 || u.Exec[0].Path != "/bin/good" {
		t.Errorf("%+v", u)
	}
	if u := find(t, r, "sparse.service"); len(u.Exec) != 1 || len(u.Problems) == 0 {
		t.Errorf("sparse: %d commands, %v", len(u.Exec), u.Problems)
	}
	if u := find(t, r, "many.service"); len(u.Exec) > maxCommands || len(u.Problems) == 0 {
		t.Errorf("many: %d commands, %v", len(u.Exec), u.Problems)
	}
	if u := find(t, r, "words.service"); len(u.Exec) != 1 || len(u.Exec[0].Args) > maxWords {
		t.Errorf("words: %d", len(u.Exec))
	}
	if u := find(t, r, "up.service"); u.Real != "" {
		t.Errorf("left the root: %s", u.Real)
	}
	notes := ""
	for _, n := range r.Notes {
		notes += fmt.Sprintf("%q %q\n", n.Path, n.Detail)
	}
	for _, want := range []string{"fifo.service", "deep.service", `new\nline.service`, `bad\xff.service`, "dir.service", "x.conf", "fifo-link.service"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note of %s: %s", want, notes)
		}
	}
}

func TestHundredThousandUnits(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: 100,000 units, which take a while to make")
	}
	root := t.TempDir()
	dir := filepath.Join(root, "run/systemd/system")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(dir, "u0.service")
	if err := os.WriteFile(first, []byte(service("/bin/x")), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 100000; i++ { // hard links would run out: 65,000 on ext4
		if err := os.Symlink("/etc/x.service", filepath.Join(dir, fmt.Sprintf("u%d.service", i))); err != nil {
			t.Skip("NOT TESTED: 100,000 units:", err)
		}
	}
	plant(t, root, map[string]string{"etc/systemd/system/good.service": service("/bin/good"), "etc/x.service": service("/bin/x")})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	sc := NewScanner(root, options())
	r, err := sc.Scan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	kept := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d units, %d notes, %v, %d MB kept", len(r.Units), len(r.Notes), took, kept>>20)
	if len(r.Units) > defaultUnits || len(r.Notes) == 0 || took > 5*time.Minute || kept > 64<<20 {
		t.Error("not bounded")
	}
	find(t, r, "good.service")
	runtime.KeepAlive(sc)
}

// Files come and go while they are read.
func TestFilesVanish(t *testing.T) {
	root := t.TempDir()
	plant(t, root, map[string]string{"etc/systemd/system/good.service": service("/bin/good")})
	dir := filepath.Join(root, "etc/systemd/system")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			p := filepath.Join(dir, fmt.Sprintf("v%d.service", i%50))
			switch i % 4 {
			case 0:
				_ = os.Remove(p) // writing into a FIFO would wait
				_ = os.WriteFile(p, []byte(service("/bin/v")), 0o644)
			case 1:
				_ = os.Remove(p)
				_ = os.Symlink("/etc/passwd", p)
			case 2:
				_ = os.Remove(p)
				_ = syscall.Mkfifo(p, 0o644)
			default:
				_ = os.Remove(p)
				_ = os.Mkdir(p, 0o755)
			}
		}
	}()
	sc := NewScanner(root, options())
	for until := time.Now().Add(time.Second); time.Now().Before(until); {
		r, err := sc.Scan(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		find(t, r, "good.service")
	}
	close(stop)
	<-done
}
