package watch

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/extension/host/pkg/files"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
)

// compared reports whether a read compared the services, and expects some rows.
func (h *host) compared(rows int) bool {
	h.t.Helper()
	before := h.src.scanned
	time.Sleep(time.Millisecond)
	if got := h.read().Installs; len(got) != rows {
		h.t.Errorf("%d rows, want %d: %+v", len(got), rows, got)
	}
	return h.src.scanned != before
}

func TestReadsOnlyWhenSomethingChanged(t *testing.T) {
	h := newHost(t, Options{})
	h.plant(map[string]string{"etc/systemd/system/x.service": "[Service]\nExecStart=/srv/app/x\n", "srv/app/x": "x"})
	h.learn()
	for range 20 {
		h.read()
	}
	time.Sleep(200 * time.Millisecond)
	if h.src.notify == nil {
		t.Skip("NOT TESTED: inotify, which this machine does not give")
	}
	for _, c := range []struct {
		what    string
		do      func()
		compare bool
		rows    int
	}{
		{"nothing", func() {}, false, 0},
		{"files nobody looks at", func() {
			h.plant(map[string]string{"etc/hosts": "x", "srv/app/other": "y", "tmp/x": "z", "usr/lib/other/x.service": "x"})
		}, false, 0},
		{"a unit is read", func() { _, _ = os.ReadFile(h.path("etc/systemd/system/x.service")) }, false, 0},
		{"a new unit", func() { h.plant(map[string]string{"etc/systemd/system/y.service": evil}) }, true, 1},
		{"nothing again", func() {}, false, 0},
		{"a program changes", func() { h.plant(map[string]string{"srv/app/x": "xyz"}) }, true, 1},
		{"a directory that was not there", func() { h.plant(map[string]string{"usr/local/lib/systemd/system/deep.service": evil}) }, true, 1},
		{"and another file in it", func() { h.plant(map[string]string{"usr/local/lib/systemd/system/deep2.service": evil}) }, true, 1},
		{"another directory in its place", func() {
			if err := os.Rename(h.path("usr/local/lib/systemd"), h.path("usr/local/lib/old")); err != nil {
				t.Fatal(err)
			}
			h.plant(map[string]string{"usr/local/lib/systemd/system/deep.service": evil, "usr/local/lib/systemd/system/deep2.service": evil})
		}, true, 0},
		{"a file in that one", func() { h.plant(map[string]string{"usr/local/lib/systemd/system/deep3.service": evil}) }, true, 1},
		{"a file in the one that is elsewhere", func() { h.plant(map[string]string{"usr/local/lib/old/system/z.service": evil}) }, false, 0},
		{"a user's first unit", func() { h.plant(map[string]string{"home/ana/.config/systemd/user/u.service": evil}) }, true, 1},
		{"a new user", func() { h.plant(map[string]string{"home/bob/.config/systemd/user/u.service": evil}) }, true, 1},
		{"permissions", func() {
			if err := os.Chmod(h.path("srv/app/x"), 0o777); err != nil { //nolint:gosec // that is the test
				t.Fatal(err)
			}
		}, true, 1},
		{"a directory is removed", func() { h.remove("usr/local/lib/systemd") }, true, 3},
	} {
		c.do()
		if got := h.compared(c.rows); got != c.compare {
			t.Errorf("%s: compared %v", c.what, got)
		}
		time.Sleep(2 * tick)
		h.read()
	}
	h.src.every = time.Nanosecond
	if !h.compared(0) {
		t.Error("not compared though it is time")
	}
	h.src.every = time.Hour
	h.src.poll(os.ErrClosed)
	h.plant(map[string]string{"etc/systemd/system/polled.service": evil})
	if !h.compared(1) || !h.compared(0) {
		t.Error("without inotify, each read compares")
	}
}

func TestMoreEventsThanAreKept(t *testing.T) {
	n, err := newNotifier(t.TempDir())
	if err != nil {
		t.Skip("NOT TESTED: inotify:", err)
	}
	defer func() { _ = n.close() }()
	if !n.matters(-1, unix.IN_Q_OVERFLOW, nil) {
		t.Error("an overflow means that anything may have changed")
	}
	if n.matters(7, unix.IN_CREATE, []byte("x")) {
		t.Error("a watch that is gone")
	}
	// A queue that never empties ends, too.
	if raised, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events"); err == nil {
		t.Logf("the kernel keeps %s", raised)
	}
	h := newHost(t, Options{})
	h.learn()
	h.read()
	dir := h.path("etc/systemd/system/multi-user.target.wants")
	h.plant(map[string]string{"etc/systemd/system/multi-user.target.wants/.keep": ""})
	h.read()
	for i := range 20000 {
		p := filepath.Join(dir, ".noise")
		if i%2 == 0 {
			p += "2"
		}
		if f, err := os.Create(p); err == nil {
			_ = f.Close()
		}
	}
	h.plant(map[string]string{"etc/systemd/system/x.service": evil})
	if rows := len(h.read().Installs); rows != 1 {
		t.Errorf("%d rows", rows)
	}
}

// Every program writes to /dev/null: a host with a masked unit must not be scanned
// for that.
func TestDevicesAreNotWaitedFor(t *testing.T) {
	n, err := newNotifier("/")
	if err != nil {
		t.Skip("NOT TESTED: inotify:", err)
	}
	defer func() { _ = n.close() }()
	const link, char, fifo, dir = 0o120777, 0o020666, 0o010644, 0o040755
	looked := map[string]files.Seen{
		"/":                   {Info: files.Info{Mode: dir}},
		"/dev":                {Info: files.Info{Mode: dir}},
		"/dev/null":           {Info: files.Info{Mode: char}},
		"/dev/shm":            {Info: files.Info{Mode: dir}},
		"/dev/shm/x":          {Err: true},
		"/proc/self/exe":      {Info: files.Info{Mode: link}},
		"/var/tmp/fifo":       {Info: files.Info{Mode: fifo}},
		"/etc/systemd":        {Info: files.Info{Mode: dir}, Listed: true},
		"/etc/passwd":         {Info: files.Info{Mode: 0o100644}},
		"/usr/lib/nowhere/at": {Err: true},
	}
	if _, err := n.sync(func(fn func(string, files.Seen)) {
		for p, s := range looked {
			fn(p, s)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for dir := range n.dirs {
		switch dir {
		case "/", "/dev/shm", "/etc", "/etc/systemd":
		default:
			t.Errorf("%s is watched", dir)
		}
	}
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := null.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	_ = null.Close()
	if changed, err := n.changed(); changed || err != nil {
		t.Errorf("changed %v, %v", changed, err)
	}
}

func TestLocked(t *testing.T) {
	p := filepath.Join(t.TempDir(), "lock")
	f, err := os.Create(p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if locked(p) || locked(p+"2") {
		t.Error("nobody holds it")
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		t.Skip("NOT TESTED: locks:", err)
	}
	if !locked(p) {
		t.Error("it is held")
	}
}

// What a source opens, it closes.
func TestClose(t *testing.T) {
	open := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("NOT TESTED: open files:", err)
		}
		return len(all)
	}
	h := newHost(t, Options{})
	before := open()
	src := New(Options{Inventory: inventory.New(h.root, trust())})
	if _, err := src.Read(t.Context(), "", 10); err != nil {
		t.Fatal(err)
	}
	if src.notify != nil && open() <= before {
		t.Error("nothing is open")
	}
	for range 2 {
		if err := src.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := open(); after > before {
		t.Errorf("%d files open, %d before", after, before)
	}
}
