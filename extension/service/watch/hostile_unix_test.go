//go:build unix

package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// Whatever comes among the services, a read ends soon, rows are told, and what
// cannot be read is told as well.
func TestHostileChanges(t *testing.T) {
	h := newHost(t, Options{})
	h.learn()
	h.plant(map[string]string{
		"etc/systemd/system/good.service":           evil,
		"etc/systemd/system/loop.service":           "-> loop.service",
		"etc/systemd/system/new\nline.service":      evil,
		"etc/systemd/system/bad\xff.service":        evil,
		"etc/systemd/system/bad\xff.service.d/x":    "x",
		"etc/systemd/system/dir.service/x":          "x",
		"etc/systemd/system/up.service":             "-> ../../../../../../../../../etc/shadow",
		"etc/systemd/system/long.service":           "[Service]\nExecStart=/bin/sh " + strings.Repeat("x", 500000) + "\n",
		"etc/systemd/system/many.service":           "[Service]\n" + strings.Repeat("ExecStartPre=/bin/true a\nExecStartPre=/bin/true b\n", 1000) + "ExecStart=/dev/shm/.x\n",
		"etc/systemd/system/excess.service":         "[Service]\n" + strings.Repeat("ExecStartPre=/bin/true\n", 5000) + "ExecStart=/dev/shm/.x\n",
		"etc/init.d/new\nline":                      "#!/bin/sh\nDAEMON=/usr/sbin/web\n",
		"etc/init.d/bad\xff":                        "#!/bin/sh\n/dev/shm/x\xff\n",
		"etc/init.d/opener":                         "#!/bin/sh\n" + strings.Repeat("((", 100000),
		"etc/rc2.d/S01loop":                         "-> S01loop",
		"etc/systemd/system-generators/\xff\n":      "x",
		"home/ana/.config/systemd/user/x.service.d": "-> ../../../..",
	})
	dir := h.path("etc/systemd/system")
	for _, p := range []string{filepath.Join(dir, "fifo.service"), filepath.Join(dir, "good.service.d.conf"), h.path("etc/init.d/fifo"), h.path("etc/rc.local"), h.path("etc/inittab")} {
		if err := syscall.Mkfifo(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mknod(filepath.Join(dir, "device.service"), syscall.S_IFCHR|0o644, 5<<8); err != nil {
		t.Log("NOT TESTED: a device node in place of a unit:", err)
	}
	for _, p := range []string{filepath.Join(dir, "sparse.service"), h.path("etc/init.d/sparse")} {
		f, err := os.OpenFile(p, os.O_CREATE|os.O_WRONLY, 0o755)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("#!/bin/sh\n[Service]\nExecStart=/usr/sbin/web\n"); err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(10 << 30); err != nil {
			t.Log("NOT TESTED: a sparse file of 10 GB:", err)
		}
		_ = f.Close()
	}
	h.plant(map[string]string{"etc/systemd/system/heavy.service": "[Service]\nExecStart=" + strings.TrimPrefix(filepath.Join(dir, "sparse.service"), h.root) + "\n"})
	began := time.Now()
	b := h.read()
	if took := time.Since(began); took > 2*time.Minute {
		t.Errorf("took %v", took)
	}
	for _, name := range []string{"good.service", "long.service", "many.service", "sparse.service", "heavy.service", "excess.service"} {
		i := slices.IndexFunc(b.Installs, func(in evidence.Install) bool { return in.Name == name })
		if i < 0 {
			t.Errorf("%s is not told", name)
			continue
		}
		in := b.Installs[i]
		for _, c := range in.Changes {
			if len(c) > 4*maxValue {
				t.Errorf("%s: a change of %d bytes", name, len(c))
			}
		}
		switch name {
		case "many.service":
			if in.ImagePath != "/dev/shm/.x" {
				t.Errorf("%s: %s", name, in.ImagePath)
			}
		case "excess.service", "sparse.service":
			if !slices.ContainsFunc(in.Signs, func(x evidence.Sign) bool { return x.Factor == "obfuscated" }) {
				t.Errorf("%s: %+v", name, in.Signs)
			}
		case "heavy.service":
			if in.SHA256 != "" {
				t.Error("10 GB were hashed")
			}
		}
	}
	var reasons strings.Builder
	for round := 0; round < 5 && (round == 0 || len(b.Gaps) > 0); round++ {
		for _, g := range b.Gaps {
			reasons.WriteString(g.Reason + "\n")
		}
		h.src.dirty = true
		b = h.read()
	}
	for _, want := range []string{"fifo.service", "dir.service", `new\nline.service`, `bad\xff.service`, "sparse.service", "init.d/fifo", "init.d/sparse", "init.d/opener", "rc.local", "inittab"} {
		if !strings.Contains(reasons.String(), want) {
			t.Errorf("nothing says that %s could not be read:\n%s", want, reasons.String())
		}
	}
	h.src.dirty = true
	if b := h.read(); len(b.Installs)+len(b.Gaps) != 0 {
		t.Errorf("told twice: %+v %+v", b.Installs, b.Gaps)
	}
}

// More units than are kept: memory, time and rows are bounded, and what is pushed
// out is not told to be removed.
func TestMoreServicesThanAreKept(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: 25,000 units, which take a while to make")
	}
	h := newHost(t, Options{})
	h.plant(map[string]string{"etc/systemd/system/zz-good.service": evil, "home/ana/.config/systemd/user/u.service": evil})
	h.learn()
	dir := h.path("run/systemd/system")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h.plant(map[string]string{"etc/x.service": "[Service]\nExecStart=/usr/sbin/web\n"})
	for i := range 25000 {
		if err := os.Symlink("/etc/x.service", filepath.Join(dir, fmt.Sprintf("u%05d.service", i))); err != nil {
			t.Skip("NOT TESTED: 25,000 units:", err)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began, rows, rounds := time.Now(), 0, 0
	for more := true; more && rounds < 6; rounds++ {
		b, err := h.src.Read(context.Background(), h.cursor, 10_000)
		var off *evidence.Unavailable
		if !errors.As(err, &off) || off.State != evidence.StateDegraded || !strings.Contains(off.Detail, "20000 units") {
			t.Fatalf("the state is %v", err)
		}
		for _, in := range b.Installs {
			if in.Action == evidence.Removed {
				t.Fatalf("%s was not removed", in.Name)
			}
		}
		rows += len(b.Installs)
		h.cursor, more = b.Cursor, b.More
	}
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	kept := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) >> 20
	t.Logf("%d rows in %d reads, %v, %d MB kept, a cursor of %d KB", rows, rounds, took, kept, len(h.cursor)>>10)
	if rows > maxRecords || rows < 15000 || took > 5*time.Minute || kept > 128 || len(h.cursor) > 4<<20 {
		t.Error("not bounded")
	}
	runtime.KeepAlive(h)
}

// Files come, go and change their kind while services are compared.
func TestServicesThatVanish(t *testing.T) {
	h := newHost(t, Options{})
	h.learn()
	dir := h.path("etc/systemd/system")
	h.plant(map[string]string{"etc/systemd/system/.keep": ""})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			p := filepath.Join(dir, fmt.Sprintf("v%d.service", i%20))
			_ = os.RemoveAll(p)
			switch i % 4 {
			case 0:
				_ = os.WriteFile(p, []byte(evil), 0o644)
			case 1:
				_ = os.Symlink("/etc/passwd", p)
			case 2:
				_ = syscall.Mkfifo(p, 0o644)
			default:
				_ = os.Mkdir(p, 0o755)
			}
		}
	})
	reads := 0
	for until := time.Now().Add(time.Second); time.Now().Before(until); reads++ {
		h.read()
	}
	close(stop)
	wg.Wait()
	for i := range 20 {
		_ = os.RemoveAll(filepath.Join(dir, fmt.Sprintf("v%d.service", i)))
	}
	h.read()
	h.plant(map[string]string{"etc/systemd/system/x.service": evil})
	time.Sleep(2 * tick)
	if got := h.rows(); !strings.Contains(got, "created systemd x.service") {
		t.Errorf("after %d reads: %q", reads, got)
	}
}

// TestMoreThanIsRead: while there are more scripts than are read, the state says so, also
// when nothing changes any more, and no longer when they are gone.
func TestMoreThanIsRead(t *testing.T) {
	h := newHost(t, Options{})
	h.learn()
	tree, names := map[string]string{}, []string(nil)
	for i := range 5100 {
		name := fmt.Sprintf("etc/init.d/many%d", i)
		tree[name], names = "", append(names, name)
	}
	h.plant(tree)
	state := func() string {
		t.Helper()
		for range 50 {
			b, err := h.src.Read(context.Background(), h.cursor, 10_000)
			var off *evidence.Unavailable
			if err != nil && (!errors.As(err, &off) || off.State != evidence.StateDegraded) {
				t.Fatal(err)
			}
			h.cursor = b.Cursor
			if !b.More && len(b.Installs) == 0 {
				if off != nil {
					return off.Detail
				}
				return ""
			}
		}
		t.Fatal("it does not come to rest")
		return ""
	}
	for range 2 {
		if got := state(); !strings.Contains(got, "not all services are watched") || !strings.Contains(got, "init.d") {
			t.Errorf("the state is %q", got)
		}
	}
	h.remove(names...)
	if got := state(); got != "" {
		t.Errorf("afterwards the state is %q", got)
	}
}
