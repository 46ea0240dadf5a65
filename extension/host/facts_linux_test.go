package host_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/host"
	"github.com/osquery-rollcall/rollcall/extension/host/pkg"
	"github.com/osquery-rollcall/rollcall/extension/incident"
)

// madeUp makes a host's files and processes in a directory.
func madeUp(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	put("/proc/stat", fmt.Sprintf("btime %d\n", at-1000))
	link("mnt:[1]", "/proc/self/ns/mnt")
	process := func(pid int, comm, exe, env string, args ...string) {
		dir := fmt.Sprintf("/proc/%d/", pid)
		put(dir+"stat", fmt.Sprintf("%d (%s) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 500 0 0\n", pid, comm))
		put(dir+"status", "TracerPid:\t0\n")
		put(dir+"maps", "")
		put(dir+"environ", env)
		put(dir+"cmdline", strings.Join(args, "\x00"))
		link("mnt:[1]", dir+"ns/mnt")
		link(exe, dir+"exe")
	}
	process(100, "nginx", "/usr/sbin/nginx", "")
	process(201, "a\nb", "/memfd:\x1b[2J\u202e (deleted)", "", "x")
	process(207, "bash", "/usr/bin/bash", "LD_PRELOAD=/opt/h.so --password=hunter22", "bash")
	process(300, "agent", "/opt/agent (deleted)", "", "/opt/agent", "-d")
	process(301, "python3", "/usr/bin/python3 (deleted)", "", "python3", "-u", "/opt/x.py")
	process(302, "python3", "/usr/bin/python3 (deleted)", "", "python3", "/opt/other.py") // not of the incident
	process(303, "sh", "/bin/sh (deleted)", "", "sh")                                     // nor this
	process(206, "db", "/tmp/db", "")                                                     // nor this
	put("/usr/sbin/nginx", "x")
	put("/usr/bin/bash", "x")
	put("/etc/passwd", "al:x:1000:1000::/home/al:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n")
	put("/etc/group", "sudo:x:27:al\nwww-data:x:33:\n")
	put("/etc/sudoers", "www-data ALL = NOPASSWD: /usr/sbin/service\n")
	return root
}

// TestMadeUpHost holds all that a look tells against what was written down.
func TestMadeUpHost(t *testing.T) {
	root := madeUp(t)
	f := host.NewFacts(engine.Presentable, host.Options{
		Host: "web1", Platform: evidence.Linux, Root: root, Proc: filepath.Join(root, "proc"), Trust: []uint32{uint32(os.Geteuid())}, Owner: owner, Scans: scans(), Now: clock,
		Services: func(context.Context) (int, []string) { return 3, []string{"agent.service (72 high): of no package"} },
		Missing:  func() map[string]string { return map[string]string{"connections": "socket_events is off"} },
	})
	golden(t, "linux", f.Look(context.Background(), intrusion(evidence.Linux)))
}

// TestRealHost looks at this process and finds that those of an hour ago are gone.
func TestRealHost(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	db := pkg.Open("/")
	f := host.NewFacts(engine.Presentable, host.Options{Platform: evidence.Linux, Owner: db.Owner, Timeout: time.Minute})
	now := time.Now().Unix()
	x := &incident.Incident{Bursts: []*incident.Burst{{Best: incident.Command{Time: now, PID: int64(os.Getpid())},
		Sample: []incident.Command{{Time: now - 3600, PID: int64(os.Getpid()), Actor: incident.Actor{PIDs: []int64{int64(1 << 30)}}}}}}}
	got := f.Look(context.Background(), x)
	if got.Gone != 1 || got.Looked < now {
		t.Errorf("%+v", got)
	}
	// Tests are built among temporary files, and are told so.
	want := fmt.Sprintf(") runs %s, from where everyone may write.", self)
	if told := strings.Contains(strings.Join(got.Memory, "\n"), want); told != strings.HasPrefix(self, "/tmp/") {
		t.Errorf("%q", got.Memory)
	}
}

func BenchmarkFacts(b *testing.B) {
	db := pkg.Open("/")
	f := host.NewFacts(engine.Presentable, host.Options{Platform: evidence.Linux, Owner: db.Owner})
	x := intrusion(evidence.Linux)
	x.Host = ""
	x.Bursts[0].Best.PID = int64(os.Getpid())
	x.Bursts[0].Best.Time = time.Now().Unix()
	db.Owner("/bin/sh")
	for b.Loop() {
		f.Look(context.Background(), x)
	}
}
