package memory

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// childRole makes the test program a process to be looked at: it does what the role
// says, tells that it is ready and waits for the end of its input.
const childRole = "ROLLCALL_MEMORY_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := child(role, os.Getenv("ROLLCALL_MEMORY_FILE")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	flag.Parse()
	os.Exit(m.Run())
}

func child(role, file string) error {
	switch name, arg, _ := strings.Cut(role, " "); name {
	case "idle":
	case "anonymous":
		if _, err := unix.Mmap(-1, 0, 8192, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
			return err
		}
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	case "map":
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		if _, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE); err != nil {
			return err
		}
		if arg == "remove" {
			return os.Remove(file)
		}
	case "mapmem":
		fd, err := unix.MemfdCreate("stage2", 0)
		if err != nil {
			return err
		}
		if err := unix.Ftruncate(fd, 4096); err != nil {
			return err
		}
		_, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_SHARED)
		return err
	case "rename":
		return os.WriteFile("/proc/self/comm", []byte(arg), 0)
	}
	return nil
}

// start runs a child and waits until it is ready.
func start(t *testing.T, cmd *exec.Cmd, role, file string) int64 {
	t.Helper()
	cmd.Env = append(cmd.Env, childRole+"="+role, "ROLLCALL_MEMORY_FILE="+file)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("child %s: %q, %v", role, line, err)
	}
	return int64(cmd.Process.Pid)
}

// copyTo copies the test program.
func copyTo(t *testing.T, path string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// plain is a directory that is not among those for temporary files.
func plain(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(".", "run")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if dir, err = filepath.Abs(dir); err != nil {
		t.Fatal(err)
	}
	if temporary(dir + "/") {
		t.Skip("NOT TESTED: programs outside of temporary directories: the tree lies among them")
	}
	return dir
}

func lookAt(t *testing.T, o Options, q Question) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var r Report
	NewProc(o).Look(ctx, q, &r)
	return r.Result()
}

func now(pids ...int64) Question {
	var q Question
	for _, p := range pids {
		q.Processes = append(q.Processes, Process{PID: p, Seen: time.Now().Unix()})
	}
	return q
}

// TestRealProcesses looks at processes of our own in the real process file system.
func TestRealProcesses(t *testing.T) {
	dir := plain(t)
	root := filepath.Join(t.TempDir(), "nothing") // no /etc/ld.so.preload of this host
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	idle := copyTo(t, filepath.Join(dir, "idle"))
	shm := filepath.Join("/dev/shm", fmt.Sprintf("rollcall-test-%d", os.Getpid()))
	copyTo(t, shm)
	t.Cleanup(func() { _ = os.Remove(shm) })
	run := func(path string, env ...string) *exec.Cmd {
		return &exec.Cmd{Path: path, Args: []string{path}, Env: env}
	}

	for _, c := range []struct {
		name string
		do   func(t *testing.T) int64
		want []string // PID and DIR stand for the process and its directory
	}{
		{"nothing", func(t *testing.T) int64 { return start(t, run(idle), "idle", "") }, nil},
		{"deleted", func(t *testing.T) int64 {
			gone := copyTo(t, filepath.Join(dir, "gone"))
			pid := start(t, run(gone), "idle", "")
			if err := os.Remove(gone); err != nil {
				t.Fatal(err)
			}
			return pid
		}, []string{"Process PID (gone) runs DIR/gone, which was deleted since it was started."}},
		{"in memory", func(t *testing.T) int64 {
			fd, err := unix.MemfdCreate("payload", 0)
			if err != nil {
				t.Fatal(err)
			}
			f := os.NewFile(uintptr(fd), "payload")
			defer f.Close()
			b, err := os.ReadFile(idle)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(b); err != nil {
				t.Fatal(err)
			}
			cmd := run("/proc/self/fd/3")
			cmd.ExtraFiles = []*os.File{f}
			return start(t, cmd, "idle", "")
		}, []string{"Process PID (COMM) runs a program that was never on the disk (memfd:payload)."}},
		{"temporary", func(t *testing.T) int64 { return start(t, run(shm), "idle", "") },
			[]string{"Process PID (COMM) runs " + shm + ", from where everyone may write."}},
		{"preloaded", func(t *testing.T) int64 {
			return start(t, run(idle, "LD_PRELOAD=/opt/x/libhook.so", "A=LD_PRELOAD=/no"), "idle", "")
		}, []string{"Process PID (idle) was started with LD_PRELOAD=/opt/x/libhook.so."}},
		{"anonymous", func(t *testing.T) int64 { return start(t, run(idle), "anonymous", "") },
			[]string{"Process PID (idle) has 2 areas of executable memory that no file stands behind (12 KiB, 1 of them writable too)."}},
		{"deleted library", func(t *testing.T) int64 {
			return start(t, run(idle), "map remove", copyTo(t, filepath.Join(dir, "lib.so")))
		},
			[]string{"Process PID (idle) executes code from DIR/lib.so, which was deleted since it was loaded."}},
		{"temporary library", func(t *testing.T) int64 { return start(t, run(idle), "map", shm) },
			[]string{"Process PID (idle) executes code from " + shm + ", from where everyone may write."}},
		{"library in memory", func(t *testing.T) int64 { return start(t, run(idle), "mapmem", "") },
			[]string{"Process PID (idle) executes code that was never on the disk (memfd:stage2)."}},
		{"as a kernel thread", func(t *testing.T) int64 { return start(t, run(idle), "rename kworker/0:9", "") },
			[]string{"Process PID (kworker/0:9) calls itself kworker/0:9 as a thread of the kernel does, but runs DIR/idle."}},
		{"a title of a kernel thread", func(t *testing.T) int64 {
			cmd := run(idle)
			cmd.Args = []string{"[kworker/u8:3]"}
			return start(t, cmd, "idle", "")
		}, []string{"Process PID (idle) calls itself [kworker/u8:3] as a thread of the kernel does, but runs DIR/idle."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pid := c.do(t)
			got := lookAt(t, Options{Root: root}, now(pid))
			comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			if err != nil {
				t.Fatal(err)
			}
			names := strings.NewReplacer("PID", fmt.Sprint(pid), "DIR", dir, "COMM", strings.TrimSpace(string(comm)))
			want := Result{Looked: 1}
			for _, s := range c.want {
				want.Signs = append(want.Signs, names.Replace(s))
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestBorrowedName goes by the name of a program that this host has.
func TestBorrowedName(t *testing.T) {
	if _, err := os.Stat("/usr/bin/sleep"); err != nil {
		t.Skip("NOT TESTED: a process of our own: no sleep")
	}
	dir := plain(t)
	idle := copyTo(t, filepath.Join(dir, "idle"))
	pid := start(t, &exec.Cmd{Path: idle, Args: []string{idle}}, "rename sleep", "")
	got := lookAt(t, Options{}, now(pid))
	want := fmt.Sprintf("Process %d (sleep) calls itself sleep, but runs %s and not /usr/bin/sleep.", pid, idle)
	if !strings.Contains(strings.Join(got.Signs, "\n"), want) {
		t.Errorf("no %q in %q", want, got.Signs)
	}
}

func TestTraced(t *testing.T) {
	// A tracer is a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dir := plain(t)
	idle := copyTo(t, filepath.Join(dir, "idle"))
	cmd := &exec.Cmd{Path: idle, Args: []string{idle}, SysProcAttr: &syscall.SysProcAttr{Ptrace: true}}
	if err := cmd.Start(); err != nil {
		t.Skipf("NOT TESTED: a traced process: tracing is not allowed here: %v", err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
	}()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	got := lookAt(t, Options{}, now(int64(cmd.Process.Pid)))
	want := fmt.Sprintf("Process %d (idle) is being traced by process %d (%s).", cmd.Process.Pid, unix.Gettid(), self)
	if !strings.Contains(strings.Join(got.Signs, "\n"), want) {
		t.Errorf("no %q in %q", want, got.Signs)
	}
}

// TestOthersNumber: who has the number now but started later is not looked at.
func TestOthersNumber(t *testing.T) {
	dir := plain(t)
	gone := copyTo(t, filepath.Join(dir, "gone"))
	cmd := &exec.Cmd{Path: gone, Args: []string{gone}}
	pid := start(t, cmd, "idle", "")
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	hour := time.Now().Add(-time.Hour).Unix()
	q := Question{Processes: []Process{{PID: pid, Seen: hour}, {PID: 1 << 30, Seen: hour}, {PID: -3, Seen: hour}, {PID: 0, Seen: hour}}}
	if d := cmp.Diff(Result{Gone: 2}, lookAt(t, Options{Root: dir}, q)); d != "" {
		t.Error(d)
	}
	// Seen again later, it is the one.
	q.Processes = append(q.Processes, Process{PID: pid, Seen: time.Now().Unix()})
	if got := lookAt(t, Options{Root: dir}, q); len(got.Signs) != 1 || got.Gone != 1 || got.Looked != 1 {
		t.Errorf("%+v", got)
	}
}

// TestPrograms finds processes by their program, also when it was deleted, and by
// an interpreter's script.
func TestPrograms(t *testing.T) {
	dir := plain(t)
	gone := copyTo(t, filepath.Join(dir, "gone"))
	pid := start(t, &exec.Cmd{Path: gone, Args: []string{gone, "/srv/script"}}, "idle", "")
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	sign := []string{fmt.Sprintf("Process %d (gone) runs %s, which was deleted since it was started.", pid, gone)}
	for _, c := range []struct {
		name string
		q    Question
		want Result
	}{
		{"path", Question{Programs: []Program{{Path: gone}}}, Result{Signs: sign, Looked: 1}},
		{"script", Question{Programs: []Program{{Path: gone, Argument: "/srv/script"}}}, Result{Signs: sign, Looked: 1}},
		{"another script", Question{Programs: []Program{{Path: gone, Argument: "/srv/other"}}}, Result{}},
		{"another path", Question{Programs: []Program{{Path: gone + "2"}}}, Result{}},
		{"once", Question{Processes: now(pid).Processes, Programs: []Program{{Path: gone}}}, Result{Signs: sign, Looked: 1}},
	} {
		if d := cmp.Diff(c.want, lookAt(t, Options{Root: dir}, c.q)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// fake is a process of a made-up process file system.
type fake struct {
	pid           int
	comm, exe     string
	args, env     []string
	maps          string
	tracer, start int
	elsewhere     bool // in other mounts
	state, flags  string
}

const bootTime = 1_700_000_000

func (f fake) write(t *testing.T, proc string) {
	t.Helper()
	dir := filepath.Join(proc, fmt.Sprint(f.pid))
	if err := os.MkdirAll(filepath.Join(dir, "ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	state, flags := "S", "4194304"
	if f.state != "" {
		state = f.state
	}
	if f.flags != "" {
		flags = f.flags
	}
	ns := "mnt:[1]"
	if f.elsewhere {
		ns = "mnt:[2]"
	}
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("stat", fmt.Sprintf("%d (%s) %s 1 1 1 0 -1 %s 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", f.pid, f.comm, state, flags, f.start*userHZ))
	put("status", fmt.Sprintf("Name:\t%s\nTracerPid:\t%d\n", f.comm, f.tracer))
	put("maps", f.maps)
	put("cmdline", strings.Join(f.args, "\x00")+"\x00")
	put("environ", strings.Join(f.env, "\x00")+"\x00")
	if err := os.Symlink(ns, filepath.Join(dir, "ns/mnt")); err != nil {
		t.Fatal(err)
	}
	if f.exe != "" {
		if err := os.Symlink(f.exe, filepath.Join(dir, "exe")); err != nil {
			t.Fatal(err)
		}
	}
}

// machine makes a host in a directory: its process file system and its files.
func machine(t *testing.T, list []fake, files map[string]string, links map[string]string) Options {
	t.Helper()
	root := t.TempDir()
	proc := filepath.Join(root, "proc")
	if err := os.MkdirAll(filepath.Join(proc, "self/ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(proc, "stat"), []byte(fmt.Sprintf("cpu 1 2 3\nbtime %d\n", bootTime)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("mnt:[1]", filepath.Join(proc, "self/ns/mnt")); err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		f.write(t, proc)
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o755)
		if strings.HasPrefix(name, "/home/") {
			mode = 0o777
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range links {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	owned := map[string]string{"/usr/sbin/nginx": "nginx", "/usr/lib/libssl.so": "libssl3", "/usr/lib/libjemalloc.so.2": "libjemalloc2"}
	return Options{Proc: proc, Root: root, Trust: []uint32{uint32(os.Geteuid())}, Owner: func(p string) (string, bool) { n, ok := owned[p]; return n, ok }}
}

const (
	codeOf = "55f0aa000000-55f0aa100000 r-xp 00001000 fe:00 4242    "
	data   = "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n"
	vdso   = "7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0    [vdso]\nffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0    [vsyscall]\n"
	jit    = "7f1100000000-7f1100010000 r-xp 00000000 00:00 0 \n"
	rwx    = "7f2200000000-7f2200001000 rwxp 00000000 00:00 0 \n"
)

// TestMadeUpHost holds every sentence against what was written down.
func TestMadeUpHost(t *testing.T) {
	elf := "\x7fELF"
	o := machine(t, []fake{
		{pid: 100, comm: "nginx", exe: "/usr/sbin/nginx", args: []string{"nginx: worker process"}, maps: codeOf + "/usr/sbin/nginx\n" + data + vdso},
		{pid: 101, comm: "nginx", exe: "/usr/sbin/nginx (deleted)", maps: codeOf + "/usr/sbin/nginx (deleted)\n" + codeOf + "/usr/lib/libssl.so (deleted)\n"},
		{pid: 102, comm: "agent", exe: "/opt/agent (deleted)", maps: ""},
		{pid: 103, comm: "x", exe: "/opt/no more (deleted)", maps: ""},
		{pid: 104, comm: "odd", exe: "/opt/odd (deleted)", maps: codeOf + "/opt/odd (deleted)\n"}, // its name
		{pid: 105, comm: "3", exe: "/memfd:a b (deleted)", maps: codeOf + "/memfd:a b (deleted)\n" + codeOf + "/memfd: (deleted)\n"},
		{pid: 106, comm: "java", exe: "/usr/bin/java", maps: jit + rwx},
		{pid: 107, comm: "node", exe: "/home/al/node", maps: jit + rwx}, // everyone can write it
		{pid: 108, comm: "app", exe: "/usr/bin/app", maps: rwx + codeOf + "/usr/lib/jvm/libjvm.so\n" + codeOf + "/memfd:doublemapper (deleted)\n"},
		{pid: 109, comm: "app", exe: "/usr/bin/app", maps: "7f-80 r-xp 0 00:00 0    [heap]\n7f-80 rwxp 0 00:00 0    [stack]\n7f0000-7f1000 r-xp 0 00:00 0    [anon:glibc: malloc]\n" +
			"7f0000-7f1000 rwxs 0 00:01 9    /dev/zero (deleted)\n7f0000-7f1000 r-xs 0 00:01 9    /SYSV00000000 (deleted)\n"},
		{pid: 110, comm: "app", exe: "/usr/bin/app", env: []string{"PATH=/bin", "LD_PRELOAD=/usr/lib/libjemalloc.so.2", "LD_AUDIT= "}, maps: ""},
		{pid: 111, comm: "app", exe: "/usr/bin/app", env: []string{"LD_PRELOAD=/usr/lib/libjemalloc.so.2 /home/al/h.so", "LD_AUDIT=/a.so"}, maps: codeOf + "/home/al/h.so\n"},
		{pid: 112, comm: "app", exe: "/usr/bin/app", maps: codeOf + "/var/tmp/.x/lib with blanks.so\n" + codeOf + "/dev/shm/y (deleted)\n"},
		{pid: 113, comm: "app", exe: "/usr/bin/app", tracer: 106, maps: ""},
		{pid: 114, comm: "app", exe: "/usr/bin/app", tracer: 999, maps: ""},
		{pid: 115, comm: "kworker/0:0", exe: "/usr/bin/app", maps: ""},
		{pid: 116, comm: "kworker/0:1", flags: "69238880", maps: ""}, // the kernel's own
		{pid: 117, comm: "sshd", exe: "/opt/agent", args: []string{"/opt/agent"}, maps: ""},
		{pid: 118, comm: "agent", exe: "/opt/agent", args: []string{"sshd: root@pts/0"}, maps: ""},
		{pid: 119, comm: "sh", exe: "/usr/bin/dash", args: []string{"-sh"}, maps: ""},                                  // a link
		{pid: 120, comm: "backup", exe: "/usr/bin/python3.11", args: []string{"python3", "/usr/bin/backup"}, maps: ""}, // a script
		{pid: 121, comm: "unattended-upgr", exe: "/usr/bin/python3.11", args: []string{"/usr/bin/python3"}, maps: rwx},
		{pid: 122, comm: "app", exe: "/app/server (deleted)", elsewhere: true, maps: codeOf + "/usr/lib/libssl.so (deleted)\n" + rwx},
		{pid: 123, comm: "java", exe: "/opt/java/bin/java", elsewhere: true, env: []string{"LD_PRELOAD=/usr/lib/libjemalloc.so.2"}, maps: rwx},
		{pid: 124, comm: "java", exe: "/tmp/java", elsewhere: true, maps: rwx},
		{pid: 125, comm: "zombie", exe: "/tmp/x", state: "Z", maps: rwx},
		{pid: 126, comm: "late", exe: "/tmp/x", start: 5000, maps: rwx},
		{pid: 127, comm: "hidden", maps: ""},
		{pid: 128, comm: "a) b (c", exe: "/usr/bin/a) b (c", args: []string{"/usr/bin/a) b (c"}, maps: ""},
		{pid: 129, comm: "a-very-long-nam", exe: "/usr/bin/a-very-long-name", maps: ""},
		{pid: 130, comm: "systemd", exe: "/usr/lib/systemd/systemd", args: []string{"/sbin/init"}, maps: ""},
	}, map[string]string{
		"/usr/sbin/nginx": elf, "/usr/lib/libssl.so": elf, "/opt/agent": elf, "/opt/odd (deleted)": elf, "/usr/bin/java": elf, "/home/al/node": elf,
		"/usr/bin/app": elf, "/usr/lib/jvm/libjvm.so": elf, "/usr/sbin/sshd": elf + " ssh", "/usr/bin/dash": elf, "/usr/bin/python3.11": elf, "/usr/bin/backup": "#!/usr/bin/python3\n",
		"/usr/lib/systemd/systemd": elf, "/usr/bin/a-very-long-name": elf,
		"/etc/ld.so.preload": "# nothing\n/usr/lib/libjemalloc.so.2 /usr/local/lib/libprocess.so\n",
	}, map[string]string{"/usr/bin/sh": "dash", "/usr/bin/python3": "python3.11", "/sbin": "usr/sbin", "/usr/sbin/init": "../lib/systemd/systemd"})
	var q Question
	for pid := int64(100); pid <= 131; pid++ {
		q.Processes = append(q.Processes, Process{PID: pid, Seen: bootTime + 4000})
	}
	got := lookAt(t, o, q)
	var b strings.Builder
	for _, s := range got.Signs {
		fmt.Fprintln(&b, s)
	}
	fmt.Fprintf(&b, "\nlooked at %d, gone %d\n\n", got.Looked, got.Gone)
	for _, s := range got.Problems {
		fmt.Fprintln(&b, s)
	}
	golden := filepath.Join("testdata", "host.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Error(d)
	}
}

// TestBounds: what is too much is left out and said.
func TestBounds(t *testing.T) {
	var list []fake
	var q Question
	for pid := 1000; pid < 1000+maxProcesses+5; pid++ {
		list = append(list, fake{pid: pid, comm: "m", exe: "/memfd:m (deleted)"})
		q.Processes = append(q.Processes, Process{PID: int64(pid), Seen: bootTime + 10})
	}
	long := strings.Repeat(codeOf+"/usr/bin/x\n", maxMaps/50)
	list = append(list, fake{pid: 1, comm: "long", exe: "/usr/bin/x", maps: long})
	o := machine(t, list, map[string]string{"/usr/bin/x": "x"}, nil)
	got := lookAt(t, o, q)
	if len(got.Signs) != maxSigns || got.Looked != maxProcesses {
		t.Errorf("%d signs, %d looked at", len(got.Signs), got.Looked)
	}
	want := []string{"more than 64 processes are involved: the others were not looked at", "32 more signs are not listed"}
	if d := cmp.Diff(want, got.Problems); d != "" {
		t.Error(d)
	}
	got = lookAt(t, o, Question{Programs: []Program{{Path: "/memfd:m"}}})
	if got.Looked != maxProcesses || len(got.Problems) != 2 {
		t.Errorf("%d looked at, %q", got.Looked, got.Problems)
	}
	got = lookAt(t, o, Question{Processes: []Process{{PID: 1, Seen: bootTime}}})
	if d := cmp.Diff(Result{Looked: 1, Problems: []string{"the memory map of process 1 (long) is longer than was read"}}, got); d != "" {
		t.Error(d)
	}
}

// TestUnreadable: links, pipes and strange texts in the place of the kernel's files
// are refused and said.
func TestUnreadable(t *testing.T) {
	o := machine(t, []fake{
		{pid: 1, comm: "link", exe: "/usr/bin/x"}, {pid: 2, comm: "pipe", exe: "/usr/bin/x"}, {pid: 3, comm: "text", exe: "/usr/bin/x"}, {pid: 4, comm: "dir", exe: "/usr/bin/x"},
	}, map[string]string{"/usr/bin/x": "x"}, nil)
	replace := func(pid int, name string, with func(path string) error) {
		path := filepath.Join(o.Proc, fmt.Sprint(pid), name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := with(path); err != nil {
			t.Fatal(err)
		}
	}
	replace(1, "maps", func(p string) error { return os.Symlink("/etc/passwd", p) })
	replace(2, "environ", func(p string) error { return unix.Mkfifo(p, 0o600) })
	replace(3, "stat", func(p string) error { return os.WriteFile(p, []byte("nonsense"), 0o600) })
	if err := os.Rename(filepath.Join(o.Proc, "4"), filepath.Join(o.Proc, "real")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(o.Proc, "4")); err != nil {
		t.Fatal(err)
	}
	var q Question
	for pid := int64(1); pid <= 4; pid++ {
		q.Processes = append(q.Processes, Process{PID: pid, Seen: bootTime})
	}
	want := Result{Looked: 2, Problems: []string{
		"the memory map of process 1 (link) could not be read: too many levels of symbolic links",
		"the environment of process 2 (pipe) could not be read: invalid argument",
		"process 3 could not be read: not in the format of the process file system",
		"process 4 could not be read: not a directory",
	}}
	if d := cmp.Diff(want, lookAt(t, o, q)); d != "" {
		t.Error(d)
	}
	var r Report
	NewProc(Options{Proc: t.TempDir()}).Look(context.Background(), q, &r)
	if got := r.Result(); len(got.Problems) != 1 || !strings.HasPrefix(got.Problems[0], "the time of boot could not be read: ") {
		t.Errorf("%+v", got)
	}
}

// TestNoTime: a look whose time is over says what it did not do.
func TestNoTime(t *testing.T) {
	o := machine(t, []fake{{pid: 1, comm: "a", exe: "/x"}, {pid: 2, comm: "a", exe: "/x"}}, nil, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var r Report
	NewProc(o).Look(ctx, Question{Processes: []Process{{1, bootTime}, {2, bootTime}}}, &r)
	if d := cmp.Diff(Result{Problems: []string{"there was no time to look at 2 of the processes"}}, r.Result()); d != "" {
		t.Error(d)
	}
	r = Report{}
	NewProc(o).Look(ctx, Question{Programs: []Program{{Path: "/x"}}}, &r)
	if d := cmp.Diff(Result{Problems: []string{"not all processes could be looked through in time"}}, r.Result()); d != "" {
		t.Error(d)
	}
}

func BenchmarkLook(b *testing.B) {
	p, q := NewProc(Options{}), now(int64(os.Getpid()))
	for b.Loop() {
		var r Report
		p.Look(context.Background(), q, &r)
	}
}

// BenchmarkPrograms looks through all processes of the host.
func BenchmarkPrograms(b *testing.B) {
	p := NewProc(Options{})
	for b.Loop() {
		var r Report
		p.Look(context.Background(), Question{Programs: []Program{{Path: "/no/such"}}}, &r)
	}
}
