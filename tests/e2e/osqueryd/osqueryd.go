//go:build linux

// Package osqueryd runs the real osqueryd with Rollcall's extension, for the tests
// that need it. Where osquery is not installed they skip, and say so.
package osqueryd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const osqueryd = "osqueryd"

// Missing begins the reason of every test that is skipped.
const Missing = "NOT TESTED: against real osquery: "

// Programs are osquery's own.
type Programs struct{ Osqueryd, Osqueryi string }

// Find looks for osquery's programs: by OSQUERYD and OSQUERYI, then on PATH. The test
// is skipped without them, and without root.
func Find(tb testing.TB) Programs {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip(Missing + "needs root")
	}
	find := func(env, name string) string {
		if p := os.Getenv(env); p != "" {
			return p
		}
		p, err := exec.LookPath(name)
		if err != nil {
			tb.Skipf(Missing+"no %s on PATH; set %s", name, env)
		}
		return p
	}
	return Programs{find("OSQUERYD", "osqueryd"), find("OSQUERYI", "osqueryi")}
}

// Home makes a directory that osquery loads extensions from: root's and not sticky.
// It goes with the test.
func Home(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/var/lib", "rollcall-e2e-")
	if err != nil {
		tb.Skipf(Missing+"%v", err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Tool makes a program of that name that does nothing, so that a test needs no
// systemd and harms no service.
func Tool(tb testing.TB, dir, name string) string {
	tb.Helper()
	data, err := os.ReadFile("/bin/true")
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o755); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Options say how a daemon runs.
type Options struct {
	// Extension is the built rollcall.ext.
	Extension string
	// Config is osquery's configuration; nil where a flag names another plugin for it.
	Config map[string]any
	// Rollcall is the text of Rollcall's own configuration, "" for none.
	Rollcall string
	// Audit turns process events on: one daemon at a time can have them.
	Audit bool
	// Island, when it is not empty, is the name of a host that the daemon has for itself:
	// its own process ids, hostname, machine id and units. The network is shared.
	Island string
	// Logs is a directory that the daemon has for /var/log; the host's own when empty.
	Logs string
	// State is a directory with what Rollcall knows already; a new one when empty.
	State string
	Flags []string
}

// Daemon is a running osqueryd with the extension loaded.
type Daemon struct {
	Dir    string
	Socket string
	State  string

	tb     testing.TB
	o      Options
	p      Programs
	cmd    *exec.Cmd
	ended  chan struct{}
	output string // the file of what it says, and its extension
}

// Start runs a daemon until the test ends. It returns once the extension is registered.
func Start(tb testing.TB, o Options) *Daemon {
	tb.Helper()
	d := Prepare(tb, o)
	d.Run()
	d.Registered(30 * time.Second)
	return d
}

// Prepare makes the daemon's files and runs nothing yet.
func Prepare(tb testing.TB, o Options) *Daemon {
	tb.Helper()
	p := Find(tb)
	if o.Audit {
		KeepAudit(tb)
	}
	dir := Home(tb)
	d := &Daemon{Dir: dir, Socket: filepath.Join(dir, "em"), State: o.State, tb: tb, o: o, p: p, output: filepath.Join(dir, "output")}
	if d.State == "" {
		d.State = filepath.Join(dir, "state")
	}
	for _, sub := range []string{filepath.Join(dir, "log"), filepath.Join(dir, "db"), filepath.Join(dir, "units"), d.State} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	files := map[string]string{"extensions.load": o.Extension + "\n", "rollcall.yaml": o.Rollcall}
	if o.Config != nil {
		conf, err := json.Marshal(o.Config)
		if err != nil {
			tb.Fatal(err)
		}
		files["osquery.conf"] = string(conf)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		d.Stop()
		if tb.Failed() {
			tb.Logf("osqueryd %s said (end):\n%s", o.Island, tail(d.Said(), 6000))
		}
	})
	return d
}

// Run starts osqueryd, for the first time or again.
func (d *Daemon) Run() {
	d.tb.Helper()
	args := []string{"--pidfile=" + filepath.Join(d.Dir, "pid"), "--database_path=" + filepath.Join(d.Dir, "db"), "--logger_path=" + filepath.Join(d.Dir, "log"),
		"--extensions_socket=" + d.Socket, "--extensions_autoload=" + filepath.Join(d.Dir, "extensions.load"), "--extensions_timeout=10",
		"--extensions_interval=3", "--extensions_require=rollcall", "--schedule_splay_percent=0", "--verbose", "--config_path=" + filepath.Join(d.Dir, "osquery.conf")}
	if d.o.Audit {
		args = append(args, "--disable_events=false", "--disable_audit=false", "--audit_allow_config=true", "--audit_allow_process_events=true")
	} else {
		args = append(args, "--disable_events=true", "--disable_audit=true")
	}
	args = append(args, d.o.Flags...)
	d.cmd = exec.Command(d.p.Osqueryd, args...)
	if d.o.Island != "" {
		d.cmd = exec.Command("/bin/sh", append([]string{"-c", island, "island", d.o.Island, d.Dir, d.p.Osqueryd}, args...)...)
		d.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS}
		if err := os.WriteFile(filepath.Join(d.Dir, "machine-id"), []byte(MachineID(d.o.Island)+"\n"), 0o444); err != nil {
			d.tb.Fatal(err)
		}
	}
	if d.o.Logs != "" {
		d.cmd = Within(`mount --bind "$0" /var/log; exec "$@"`, d.o.Logs, append([]string{d.p.Osqueryd}, args...)...)
	}
	config := filepath.Join(d.Dir, "rollcall.yaml")
	if d.o.Rollcall == "" {
		config = ""
	}
	d.cmd.Env = append(os.Environ(), "ROLLCALL_STATE="+d.State, "ROLLCALL_CONFIG="+config)
	// A file, and no pipe, whose end would be that of an extension which is left behind.
	output, err := os.OpenFile(d.output, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		d.tb.Fatal(err)
	}
	defer output.Close()
	d.cmd.Stdout, d.cmd.Stderr = output, output
	if err := d.cmd.Start(); err != nil {
		d.tb.Fatal(err)
	}
	cmd, ended := d.cmd, make(chan struct{})
	d.ended = ended
	go func() { // ends with the program, which Stop waits for
		defer close(ended)
		_ = cmd.Wait()
	}()
}

// Within runs a script of the shell's where what it mounts is for it and what it starts
// alone; $0 is arg0.
func Within(script, arg0 string, args ...string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", append([]string{"-c", "set -e; mount --make-rprivate /; " + script, arg0}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	return cmd
}

// island makes a host of its own for one osqueryd: $1 is its name, $2 the directory of
// its files, the rest the command. osqueryd must not be the first process: its worker
// would take itself for an orphan.
const island = `set -e
name=$1; dir=$2; shift 2
mount --make-rprivate /
mount -t proc proc /proc
mount --bind "$dir/units" /etc/systemd/system
[ ! -e /etc/machine-id ] || mount --bind "$dir/machine-id" /etc/machine-id
echo "$name" > /proc/sys/kernel/hostname
"$@" &
wait $!`

// MachineID is the machine id of the island of that name.
func MachineID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// Registered waits for the extension.
func (d *Daemon) Registered(limit time.Duration) time.Duration {
	d.tb.Helper()
	return d.Eventually(limit, "the extension is registered", func() bool {
		rows, err := d.Query("SELECT name FROM osquery_extensions WHERE name = 'rollcall'")
		return err == nil && len(rows) == 1
	})
}

// Serving reports whether osqueryd answers and an extension of it does, without asking
// either for anything.
func (d *Daemon) Serving() bool {
	answers := func(path string) bool {
		c, err := net.Dial("unix", path)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	list, err := filepath.Glob(d.Socket + ".*")
	return err == nil && slices.ContainsFunc(list, answers) && answers(d.Socket)
}

// Audited waits until process events are read, by osquery and by Rollcall.
func (d *Daemon) Audited(limit time.Duration) {
	d.tb.Helper()
	d.Eventually(limit, "process_events is read", func() bool {
		rows, err := d.Query("SELECT state FROM service_discovery_health WHERE component = 'process_events'")
		return err == nil && len(rows) == 1 && rows[0]["state"] == "ok"
	})
}

// Stop ends the daemon as its service manager does.
func (d *Daemon) Stop() {
	if d.cmd == nil || d.cmd.Process == nil {
		return
	}
	if d.o.Island != "" {
		_ = d.cmd.Process.Kill() // the first process of the island: all others go with it
		<-d.ended
		return
	}
	_ = d.cmd.Process.Signal(os.Interrupt)
	select {
	case <-d.ended:
	case <-time.After(15 * time.Second):
		d.Kill()
	}
	for _, pid := range d.family() { // what outlived it
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Kill kills watcher and worker at once, and leaves the extension behind.
func (d *Daemon) Kill() {
	worker := d.Worker()
	_ = d.cmd.Process.Kill()
	if worker > 0 {
		_ = syscall.Kill(worker, syscall.SIGKILL)
	}
	<-d.ended
	// Until all threads of the worker have ended the pid file is locked, and there can be no
	// other daemon. An extension must not keep it.
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(5 * time.Millisecond) {
		pid, err := os.OpenFile(filepath.Join(d.Dir, "pid"), os.O_RDWR, 0)
		if os.IsNotExist(err) {
			return
		}
		if err != nil {
			d.tb.Fatal(err)
		}
		err = syscall.Flock(int(pid.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		_ = pid.Close()
		if err == nil {
			return
		}
	}
	d.tb.Error("the pid file of a dead osqueryd is locked")
}

// Ended is closed when osqueryd has ended.
func (d *Daemon) Ended() <-chan struct{} { return d.ended }

// Said is what osqueryd and its extension said that is out of the ordinary.
func (d *Daemon) Said() string {
	said, err := os.ReadFile(d.output)
	if err != nil {
		return err.Error()
	}
	return quieter(string(said))
}

// Watcher is the process id of osqueryd's watcher.
func (d *Daemon) Watcher() int { return d.cmd.Process.Pid }

// Worker is the process id of osqueryd's worker, 0 when there is none.
func (d *Daemon) Worker() int {
	// It blanks its arguments; on an island the first of the family is a shell.
	family := d.family()
	for _, p := range processes() {
		if _, parent, ok := stat(p.parent); p.name == osqueryd && ok && parent == osqueryd && slices.Contains(family, p.parent) {
			return p.pid
		}
	}
	return 0
}

// Extension is the process id of rollcall.ext, 0 when there is none.
func (d *Daemon) Extension() int {
	for _, p := range processes() {
		if p.name == "rollcall.ext" && slices.Contains(arguments(p.pid), d.Socket) {
			return p.pid
		}
	}
	return 0
}

// family are the processes that were started with the daemon's socket.
func (d *Daemon) family() []int {
	var pids []int
	for _, p := range processes() {
		args := arguments(p.pid)
		if slices.Contains(args, d.Socket) || slices.Contains(args, "--extensions_socket="+d.Socket) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

type process struct {
	pid, parent int
	name        string
}

func processes() []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fields, name, ok := stat(pid); ok {
			parent, _ := strconv.Atoi(fields[1])
			if fields[0] != "Z" {
				out = append(out, process{pid, parent, name})
			}
		}
	}
	return out
}

// stat reads /proc/PID/stat: the name, and what follows it.
func stat(pid int) (fields []string, name string, ok bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, "", false
	}
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return nil, "", false
	}
	fields = strings.Fields(string(data[end+1:]))
	return fields, string(data[open+1 : end]), len(fields) > 13
}

// CPU is what a process has used so far, to a hundredth of a second.
func CPU(pid int) time.Duration {
	fields, _, ok := stat(pid)
	if !ok {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100)
}

// Resident is the memory of a process in bytes.
func Resident(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(data))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

func arguments(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
}

// Query asks the running daemon through osqueryi.
func (d *Daemon) Query(sql string) ([]map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.p.Osqueryi, "--connect", d.Socket, "--json", sql)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("osqueryi: %w: %s", err, errs.String())
	}
	i := bytes.IndexByte(out.Bytes(), '[')
	if i < 0 {
		return nil, fmt.Errorf("osqueryi printed no JSON: %q %q", out.String(), errs.String())
	}
	var rows []map[string]string
	if err := json.Unmarshal(out.Bytes()[i:], &rows); err != nil {
		return nil, fmt.Errorf("osqueryi: %w: %q", err, out.String())
	}
	return rows, nil
}

// Must asks, and fails the test on an error.
func (d *Daemon) Must(sql string) []map[string]string {
	d.tb.Helper()
	rows, err := d.Query(sql)
	if err != nil {
		d.tb.Fatalf("%s: %v", sql, err)
	}
	return rows
}

// Eventually waits for ok, or fails the test after limit. It returns how long it took.
func (d *Daemon) Eventually(limit time.Duration, what string, ok func() bool) time.Duration {
	d.tb.Helper()
	pause := 200 * time.Millisecond
	if d.o.Audit {
		// osquery hands on what audit told when it has 4,096 records or two seconds of
		// quiet: whoever asks all the time by a program of its own waits for ever.
		pause = 2500 * time.Millisecond
	}
	begin := time.Now()
	for time.Since(begin) < limit {
		if ok() {
			return time.Since(begin)
		}
		<-time.After(pause)
	}
	d.tb.Fatalf("not within %v: %s", limit, what)
	return limit
}

// Results are the rows of the daemon's results log on disk.
func (d *Daemon) Results() []map[string]any {
	f, err := os.Open(filepath.Join(d.Dir, "log", "osqueryd.results.log"))
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []map[string]any
	for dec := json.NewDecoder(f); ; {
		var r map[string]any
		if err := dec.Decode(&r); err != nil {
			return out // the end, or a line that is being written
		}
		out = append(out, r)
	}
}

// Pack reads a committed pack of osquery's and shortens its intervals: every query that
// runs less often than each interval seconds runs so. 0 leaves them.
func Pack(path string, interval int) (map[string]any, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	var p map[string]any
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	queries, ok := p["queries"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s has no queries", path)
	}
	for _, name := range slices.Sorted(maps.Keys(queries)) {
		q, ok := queries[name].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s: %s is no query", path, name)
		}
		if interval > 0 {
			q["interval"] = interval
		}
	}
	return p, nil
}

func tail(s string, n int) string {
	if len(s) > n {
		return s[len(s)-n:]
	}
	return s
}

// quieter leaves out what osquery says when nothing is wrong.
func quieter(s string) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, "I") {
			out.WriteString(line)
		}
	}
	return out.String()
}
