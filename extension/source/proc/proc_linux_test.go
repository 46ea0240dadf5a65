package proc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeProcess is one entry of a process file system made for a test.
type fakeProcess struct {
	pid, ppid int
	start     int
	exe       string
	args      string // separated by NUL
	uid       string
	loginUID  string
	cgroup    string
	flags     int
	userNS    string
	state     string
}

func (p fakeProcess) write(t *testing.T, root string) {
	t.Helper()
	dir := filepath.Join(root, strconv.Itoa(p.pid))
	if err := os.MkdirAll(filepath.Join(dir, "ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	if p.state == "" {
		p.state = "S"
	}
	if p.userNS == "" {
		p.userNS = "user:[1]"
	}
	file := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(name, target string) {
		_ = os.Remove(filepath.Join(dir, name))
		if target == "" {
			return
		}
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	file("stat", strconv.Itoa(p.pid)+" (x) "+p.state+" "+strconv.Itoa(p.ppid)+" 1 1 34817 1 "+strconv.Itoa(p.flags)+" 0 0 0 0 0 0 0 0 20 0 1 0 "+strconv.Itoa(p.start)+" 1 1\n")
	file("status", "Name:\tx\nUid:\t"+p.uid+"\t"+p.uid+"\t0\t0\nCapEff:\t0000000000000000\n")
	file("cmdline", p.args)
	file("loginuid", p.loginUID)
	file("sessionid", "7")
	file("cgroup", p.cgroup)
	link("exe", p.exe)
	link("cwd", "/tmp")
	link("ns/user", p.userNS)
	link("ns/mnt", "mnt:[1]")
}

// fixture makes a process file system with the given processes.
func fixture(t *testing.T, ps ...fakeProcess) Options {
	t.Helper()
	root := t.TempDir()
	for dir, content := range map[string]string{"stat": "cpu 1\nbtime 1700000000\n", "sys/kernel/random/boot_id": "b00t\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, dir)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, dir), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	self := filepath.Join(root, "self/ns")
	if err := os.MkdirAll(self, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"user": "user:[1]", "mnt": "mnt:[1]", "pid": initPIDNamespace} {
		if err := os.Symlink(target, filepath.Join(self, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range ps {
		p.write(t, root)
	}
	passwd := filepath.Join(root, "passwd")
	if err := os.WriteFile(passwd, []byte("root:x:0:0::/root:/bin/sh\nal:x:1000:1000::/home/al:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return Options{Root: root, Passwd: passwd, Host: "web-1"}
}

var container = strings.Repeat("0a", 32)

func machine() []fakeProcess {
	return []fakeProcess{
		{pid: 1, start: 1, exe: "/sbin/init", args: "init\x00", uid: "0", loginUID: unsetID},
		{pid: 2, start: 1, uid: "0", flags: kernelThread},
		{pid: 50, ppid: 1, start: 500, exe: "/usr/sbin/sshd", args: "sshd: al [priv]\x00\x00\x00", uid: "0", loginUID: "1000"},
		{pid: 60, ppid: 50, start: 600, exe: "/bin/bash", args: "-bash\x00", uid: "1000", loginUID: "1000"},
		{pid: 70, ppid: 60, start: 700, exe: "/usr/bin/systemctl", args: "systemctl\x00list-units\x00--state=not found\x00", uid: "1000", loginUID: "1000"},
		{pid: 80, ppid: 1, start: 800, exe: "/tmp/x (deleted)", args: "x\x00", uid: "1000", loginUID: unsetID, cgroup: "0::/docker/" + container, userNS: "user:[2]"},
		{pid: 90, ppid: 1, start: 900, exe: "/bin/z", args: "z\x00", uid: "0", state: "Z"},
	}
}

func read(t *testing.T, r *Running, cursor string, limit int) evidence.Batch {
	t.Helper()
	b, err := r.Read(context.Background(), cursor, limit)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pidsOf(b evidence.Batch) []int64 {
	var out []int64
	for _, p := range b.Processes {
		out = append(out, p.PID)
	}
	return out
}

func equal(a []int64, b ...int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestRunningReadsEverything(t *testing.T) {
	r := NewRunning(fixture(t, machine()...))
	b := read(t, r, "", 0)
	if got := pidsOf(b); !equal(got, 1, 50, 60, 70, 80) {
		t.Fatalf("processes %v", got)
	}
	p := b.Processes[3]
	want := evidence.Process{
		Time: 1700000007, Platform: evidence.Linux, Host: "web-1", PID: 70, ParentPID: 60,
		Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units '--state=not found'", CWD: "/tmp",
		ParentPath: "/bin/bash", ParentCmdLine: "-bash", UID: "1000", Username: "al", LoginUID: "1000", LoginUser: "al",
		Session: "7", TTY: "pts/1", Elevated: evidence.No, Source: "processes",
	}
	if len(p.Ancestry) != 3 || p.Ancestry[1].CmdLine != "'sshd: al [priv]'" || p.Ancestry[2].Path != "/sbin/init" {
		t.Errorf("ancestry %+v", p.Ancestry)
	}
	if !strings.HasPrefix(p.EID, "b00t:70:700:") {
		t.Errorf("eid %q", p.EID)
	}
	p.Ancestry, p.EID = nil, ""
	if got, want := p, want; !sameProcess(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	boxed := b.Processes[4]
	if boxed.ContainerID != container || boxed.Username != "" || boxed.UID != "1000" || boxed.Path != "/tmp/x (deleted)" || boxed.LoginUID != "" {
		t.Errorf("process of a container: %+v", boxed)
	}
	if b.Processes[0].Elevated != evidence.Yes || b.Processes[0].Username != "root" {
		t.Errorf("init: %+v", b.Processes[0])
	}
}

func sameProcess(a, b evidence.Process) bool {
	a.Ancestry, b.Ancestry = nil, nil
	return a.Time == b.Time && a.CmdLine == b.CmdLine && a.Path == b.Path && a.CWD == b.CWD && a.PID == b.PID && a.ParentPID == b.ParentPID &&
		a.ParentPath == b.ParentPath && a.ParentCmdLine == b.ParentCmdLine && a.UID == b.UID && a.Username == b.Username && a.LoginUID == b.LoginUID &&
		a.LoginUser == b.LoginUser && a.Session == b.Session && a.TTY == b.TTY && a.Elevated == b.Elevated && a.Source == b.Source && a.Host == b.Host && a.Platform == b.Platform
}

func TestRunningReturnsEachProcessOnce(t *testing.T) {
	opts := fixture(t, machine()...)
	r := NewRunning(opts)
	first := read(t, r, "", 2)
	if !first.More || !equal(pidsOf(first), 1, 50) {
		t.Fatalf("first read: %v, more %v", pidsOf(first), first.More)
	}
	rest := read(t, r, first.Cursor, 100)
	if rest.More || !equal(pidsOf(rest), 60, 70, 80) {
		t.Fatalf("second read: %v", pidsOf(rest))
	}
	if b := read(t, r, rest.Cursor, 100); len(b.Processes) != 0 {
		t.Fatalf("third read: %v", pidsOf(b))
	}
	// One more in the very tick that was read last, and one later.
	fakeProcess{pid: 81, ppid: 1, start: 800, exe: "/bin/a", args: "a\x00", uid: "0"}.write(t, opts.Root)
	fakeProcess{pid: 82, ppid: 1, start: 801, exe: "/bin/b", args: "b\x00", uid: "0"}.write(t, opts.Root)
	next := read(t, r, rest.Cursor, 100)
	if !equal(pidsOf(next), 81, 82) {
		t.Fatalf("fourth read: %v", pidsOf(next))
	}
	// A new program in an old process.
	fakeProcess{pid: 60, ppid: 50, start: 600, exe: "/usr/bin/systemctl", args: "systemctl\x00", uid: "1000"}.write(t, opts.Root)
	again := read(t, r, next.Cursor, 100)
	if !equal(pidsOf(again), 60) || again.Processes[0].CmdLine != "systemctl" {
		t.Fatalf("fifth read: %v", pidsOf(again))
	}
	// After a restart of Rollcall the cursor alone has to do.
	if b := read(t, NewRunning(opts), again.Cursor, 100); len(b.Processes) != 0 {
		t.Fatalf("read after a restart: %v", pidsOf(b))
	}
	// A cursor of another boot, or a broken one, starts afresh.
	for _, c := range []string{"other|800|1", "b00t|x|", "b00t", "|||", "b00t|-1|a,b"} {
		if b := read(t, NewRunning(opts), c, 100); len(b.Processes) != 7 {
			t.Errorf("cursor %q: %v", c, pidsOf(b))
		}
	}
}

func TestRunningSurvivesHostileEntries(t *testing.T) {
	opts := fixture(t,
		fakeProcess{pid: 10, start: 1, exe: "/bin/a", args: strings.Repeat("x", 2<<20), uid: "0"},
		fakeProcess{pid: 11, start: 2, exe: "/bin/\xff\nb", args: "a\nb\x00\xff\x00", uid: "0"},
		fakeProcess{pid: 12, start: 3, ppid: 12, exe: "/bin/self", args: "self\x00", uid: "0"},
		fakeProcess{pid: 13, start: 4, ppid: 14, exe: "/bin/loop", args: "loop\x00", uid: "0"},
		fakeProcess{pid: 14, start: 4, ppid: 13, exe: "/bin/loop", args: "loop\x00", uid: "0"},
		fakeProcess{pid: 15, start: 5, exe: "", args: "", uid: "0"},
	)
	// A directory, a link and an empty entry where a process should be.
	for _, pid := range []string{"20", "21"} {
		if err := os.MkdirAll(filepath.Join(opts.Root, pid, "stat"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(opts.Root, "10"), filepath.Join(opts.Root, "22")); err != nil {
		t.Fatal(err)
	}
	// Somebody else's file behind a link.
	cmdline := filepath.Join(opts.Root, "15", "cmdline")
	if err := os.Remove(cmdline); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", cmdline); err != nil {
		t.Fatal(err)
	}
	b := read(t, NewRunning(opts), "", 0)
	if !equal(pidsOf(b), 10, 11, 12, 13, 14, 15) {
		t.Fatalf("processes %v", pidsOf(b))
	}
	if p := b.Processes[0]; !p.Truncated || len(p.CmdLine) != maxCmdLine {
		t.Errorf("a command line of 2 MiB: %d bytes, truncated %v", len(p.CmdLine), p.Truncated)
	}
	if p := b.Processes[1]; p.CmdLine != "'a\nb' \uFFFD" || p.Path != "/bin/\uFFFD\nb" {
		t.Errorf("odd bytes: %q %q", p.CmdLine, p.Path)
	}
	if p := b.Processes[2]; len(p.Ancestry) != 0 {
		t.Errorf("a process that is its own parent: %+v", p.Ancestry)
	}
	if p := b.Processes[3]; len(p.Ancestry) > maxAncestry {
		t.Errorf("%d ancestors", len(p.Ancestry))
	}
	if p := b.Processes[5]; p.CmdLine != "" {
		t.Errorf("a link was followed: %q", p.CmdLine)
	}
}

func TestRunningSeesNewUsers(t *testing.T) {
	opts := fixture(t, fakeProcess{pid: 5, start: 1, exe: "/a", args: "a\x00", uid: "77"})
	r := NewRunning(opts)
	if b := read(t, r, "", 0); b.Processes[0].Username != "" {
		t.Errorf("unknown user is %q", b.Processes[0].Username)
	}
	if err := os.WriteFile(opts.Passwd, []byte("new:x:77:77::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if b := read(t, r, "", 0); b.Processes[0].Username != "new" {
		t.Errorf("new user is %q", b.Processes[0].Username)
	}
}

func TestRunningUnavailable(t *testing.T) {
	_, err := NewRunning(Options{Root: t.TempDir()}).Read(context.Background(), "", 0)
	var u *evidence.Unavailable
	if !errors.As(err, &u) || u.Remedy == "" {
		t.Errorf("without a process file system: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := NewRunning(fixture(t, machine()...)).Read(ctx, "", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
}

func TestRunningOnThisMachine(t *testing.T) {
	cmd := exec.Command("/bin/sleep", "300")
	if err := cmd.Start(); err != nil {
		t.Skipf("NOT TESTED: reading the live /proc: %v", err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	r := NewRunning(Options{})
	// The child may not have turned into sleep yet.
	var found *evidence.Process
	cursor := ""
	for deadline := time.Now().Add(time.Minute); found == nil && time.Now().Before(deadline); {
		b := read(t, r, cursor, 0)
		cursor = b.Cursor
		for i, p := range b.Processes {
			if p.PID == int64(cmd.Process.Pid) && p.CmdLine == "/bin/sleep 300" {
				found = &b.Processes[i]
			}
		}
	}
	if found == nil {
		t.Fatal("a running process was not found")
	}
	if found.ParentPID != int64(os.Getpid()) || found.ParentPath == "" || found.UID != strconv.Itoa(os.Geteuid()) || found.CWD == "" {
		t.Errorf("%+v", found)
	}
	if d := time.Now().Unix() - found.Time; d < -2 || d > 60 {
		t.Errorf("started %d s ago", d)
	}
}

func startConnector(t *testing.T, opts Options) *Connector {
	t.Helper()
	c := NewConnector(opts)
	err := c.Start(context.Background())
	var u *evidence.Unavailable
	if errors.As(err, &u) {
		t.Skipf("NOT TESTED: the process connector: %v (%s)", err, u.Remedy)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// drain reads until f is content or time is up.
func drain(t *testing.T, c *Connector, f func([]evidence.Process) bool) []evidence.Process {
	t.Helper()
	var all []evidence.Process
	cursor := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		b, err := c.Read(context.Background(), cursor, 50)
		if err != nil {
			t.Fatal(err)
		}
		cursor = b.Cursor
		all = append(all, b.Processes...)
		if f(all) {
			break
		}
	}
	return all
}

func TestConnectorSeesEveryExec(t *testing.T) {
	c := startConnector(t, Options{})
	const runs = 200
	want := map[int64]bool{}
	for range runs {
		cmd := exec.Command("/bin/true", "rollcall", "a b")
		if err := cmd.Run(); err != nil {
			t.Skipf("NOT TESTED: counting short processes: %v", err)
		}
		want[int64(cmd.Process.Pid)] = true
	}
	seen, named := 0, 0
	all := drain(t, c, func(ps []evidence.Process) bool {
		seen, named = 0, 0
		for _, p := range ps {
			if want[p.PID] {
				seen++
				if p.CmdLine == "/bin/true rollcall 'a b'" {
					named++
				}
			}
		}
		return seen >= runs
	})
	t.Logf("%d of %d short processes seen, %d with their command line; stats %+v", seen, runs, named, c.Stats())
	// What the kernel discards on a busy machine is no fault, as long as it is said.
	if st := c.Stats(); seen != runs && st.Overflows+st.Dropped == 0 {
		t.Errorf("%d of %d processes seen, and nothing said of the others: %+v", seen, runs, st)
	}
	for _, p := range all {
		if !want[p.PID] {
			continue
		}
		if p.ParentPID != int64(os.Getpid()) || len(p.Ancestry) < 2 || p.ParentPath == "" {
			t.Errorf("lineage of a short process: %+v", p)
			break
		}
		if d := time.Now().Unix() - p.Time; d < -1 || d > 60 {
			t.Errorf("started %d s ago", d)
		}
	}
	if named == 0 {
		t.Error("no command line of a short process was seen")
	}
}

func TestConnectorKnowsParentsThatHaveGone(t *testing.T) {
	c := startConnector(t, Options{})
	// The parent lives long enough to be looked at, and is gone when its child turns
	// into another program.
	cmd := exec.Command("/bin/sh", "-c", "(/bin/sleep 4; exec /bin/sleep 3.4) & /bin/sleep 2")
	if err := cmd.Run(); err != nil {
		t.Skipf("NOT TESTED: orphans: %v", err)
	}
	var orphan *evidence.Process
	drain(t, c, func(ps []evidence.Process) bool {
		for i := range ps {
			if ps[i].CmdLine == "/bin/sleep 3.4" {
				orphan = &ps[i]
			}
		}
		return orphan != nil
	})
	if orphan == nil {
		t.Fatal("the orphan was not seen")
	}
	if orphan.ParentPID != int64(cmd.Process.Pid) || !strings.Contains(orphan.ParentCmdLine, "exec /bin/sleep 3.4") {
		t.Errorf("parent %d %q of %+v, want %d", orphan.ParentPID, orphan.ParentCmdLine, orphan, cmd.Process.Pid)
	}
}

func TestConnectorStopsWithItsContext(t *testing.T) {
	c := NewConnector(Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var u *evidence.Unavailable
	if err := c.Start(ctx); errors.As(err, &u) {
		t.Skipf("NOT TESTED: the end of the process connector: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(ctx); err == nil {
		t.Error("started twice")
	}
	cancel()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	var last error
	for range 10000 {
		if _, last = c.Read(context.Background(), "", 1000); last != nil {
			break
		}
		b, _ := c.Read(context.Background(), "", 1000)
		_, _ = c.Read(context.Background(), b.Cursor, 1)
	}
	if !errors.As(last, &u) || u.State != evidence.StateOff {
		t.Errorf("after the end: %v", last)
	}
	// And again from the start.
	if err := c.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestConnectorKeepsRowsUntilAcknowledged(t *testing.T) {
	c := NewConnector(fixture(t))
	c.run = "r"
	for i := range 5 {
		c.ring.push(evidence.Process{PID: int64(i)})
	}
	a, err := c.Read(context.Background(), "", 3)
	if err != nil || !a.More || !equal(pidsOf(a), 0, 1, 2) {
		t.Fatalf("%v %v", pidsOf(a), err)
	}
	if b, _ := c.Read(context.Background(), "", 3); !equal(pidsOf(b), 0, 1, 2) {
		t.Fatalf("rows that were not acknowledged: %v", pidsOf(b))
	}
	if b, _ := c.Read(context.Background(), "other|99", 3); !equal(pidsOf(b), 0, 1, 2) {
		t.Fatalf("a cursor of another run: %v", pidsOf(b))
	}
	if b, _ := c.Read(context.Background(), a.Cursor, 3); !equal(pidsOf(b), 3, 4) || b.More {
		t.Fatalf("the rest: %v", pidsOf(b))
	}
}

func TestConnectorReportsLosses(t *testing.T) {
	opts := fixture(t)
	opts.Ring = 4
	c := NewConnector(opts)
	for i := range 10 {
		c.ring.push(evidence.Process{PID: int64(i), Time: int64(100 + i)})
	}
	c.overflow()
	b, err := c.Read(context.Background(), "", 0)
	if err != nil || b.Dropped != 6 || len(b.Gaps) != 2 || b.Gaps[1].From != 100 || b.Gaps[1].To != 105 {
		t.Fatalf("%+v %v", b, err)
	}
	if b, _ := c.Read(context.Background(), b.Cursor, 0); b.Dropped != 0 || len(b.Gaps) != 0 {
		t.Errorf("losses reported twice: %+v", b)
	}
}

func TestConnectorRefusesContainers(t *testing.T) {
	opts := fixture(t)
	ns := filepath.Join(opts.Root, "self/ns/pid")
	if err := os.Remove(ns); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("pid:[4026532999]", ns); err != nil {
		t.Fatal(err)
	}
	err := NewConnector(opts).Start(context.Background())
	var u *evidence.Unavailable
	if !errors.As(err, &u) || u.State != evidence.StateOff || u.Remedy == "" {
		t.Errorf("in another pid namespace: %v", err)
	}
}

func BenchmarkRunningFirst(b *testing.B) {
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		batch, err := NewRunning(Options{}).Read(context.Background(), "", 0)
		if err != nil {
			b.Fatal(err)
		}
		n = len(batch.Processes)
	}
	b.ReportMetric(float64(n), "processes")
}

func BenchmarkRunningNothingNew(b *testing.B) {
	r := NewRunning(Options{})
	batch, err := r.Read(context.Background(), "", 0)
	if err != nil {
		b.Fatal(err)
	}
	cursor := batch.Cursor
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Read(context.Background(), cursor, 0); err != nil {
			b.Fatal(err)
		}
	}
}
