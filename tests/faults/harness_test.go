//go:build linux

// Package faults breaks things around the real rollcall.ext, one named fault after the
// other, and looks whether what must hold does. Its osquery is a fake core that speaks
// the extension protocol; the faults that need a real osqueryd, or minutes, say so.
//
//	FAULTS_SLOW=1     runs the slow ones too
//	FAULTS_STRICT=1   holds each to the times and the memory it names, which takes a
//	                  machine of one's own; without it a fault fails when a time is
//	                  exceeded tenfold, or the memory twofold
//	FAULTS_WATCHDOG=5m runs osqueryd's watchdog at its restrictive level for that long
package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/osquery-rollcall/rollcall/tests/fakecore"
	"github.com/osquery-rollcall/rollcall/tests/programs"
)

// shipped is the directory of the programs, built once.
var shipped string

func TestMain(m *testing.M) { os.Exit(programs.Main(m, "../..", &shipped)) }

// fault is one thing that goes wrong.
type fault struct {
	name  string
	tried string // what is done
	holds string // what must hold
	slow  bool   // longer than half a minute
	root  bool   // needs root
	run   func(f *trial)
}

// trial is a fault under way.
type trial struct {
	*testing.T
	noted []string
}

// note adds a figure to the table.
func (f *trial) note(format string, args ...any) {
	f.noted = append(f.noted, fmt.Sprintf(format, args...))
}

// limit is how long something may take that is to take d: a busy machine is forgiven,
// and the table tells what it took.
func (f *trial) limit(d time.Duration) time.Duration {
	if os.Getenv("FAULTS_STRICT") != "" {
		return d
	}
	return max(10*d, 2*time.Minute)
}

// room is how much memory something may take that is to take so many MB: how far the
// collector is behind depends on who else is there.
func room(mb float64) float64 {
	if os.Getenv("FAULTS_STRICT") != "" {
		return mb
	}
	return 2 * mb
}

// row is one line of the table.
type row struct{ name, tried, holds, result, figures string }

// runAll runs faults side by side and prints the table.
func runAll(t *testing.T, faults []fault) {
	var mu sync.Mutex
	rows := make([]row, len(faults))
	t.Run("fault", func(t *testing.T) {
		for i, f := range faults {
			t.Run(strings.ReplaceAll(f.name, " ", "_"), func(t *testing.T) {
				t.Parallel()
				x := &trial{T: t}
				defer func() {
					result := "held"
					switch {
					case t.Failed():
						result = "BROKEN"
					case t.Skipped():
						result = "not tried"
					}
					mu.Lock()
					defer mu.Unlock()
					rows[i] = row{f.name, f.tried, f.holds, result, strings.Join(x.noted, ", ")}
				}()
				switch {
				case f.slow && os.Getenv("FAULTS_SLOW") == "":
					t.Skip("NOT TESTED: a fault that takes long; set FAULTS_SLOW=1")
				case f.root && os.Geteuid() != 0:
					t.Skip("NOT TESTED: a fault that needs root")
				}
				begin := time.Now()
				f.run(x)
				if took := time.Since(begin); took > 5*time.Second {
					x.note("%.0f s", took.Seconds())
				}
			})
		}
	})
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "#\tfault\twhat was tried\twhat must hold\tresult\tfigures")
	held, tried := 0, 0
	for i, r := range rows {
		if r.name == "" {
			continue // not among those that -run names
		}
		if r.result == "held" {
			held++
		}
		if r.result != "not tried" {
			tried++
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", i+1, r.name, r.tried, r.holds, r.result, r.figures)
	}
	_ = w.Flush()
	fmt.Printf("%s%d of %d faults tried, %d held\n", b.String(), tried, len(faults), held)
}

// running is rollcall.ext under a core.
type running struct {
	f     *trial
	cmd   *exec.Cmd
	said  *programs.Output
	ended chan struct{}
	err   error
}

// started says how rollcall.ext is run.
type started struct {
	core   *fakecore.Core
	socket string // instead of core's
	state  string // a new directory when empty
	config string // the text of the configuration; a plain one when empty
	file   string // of the configuration, instead
	limit  string // a line of shell before it
	env    []string
	quiet  bool // nobody reads what it says
	// watched starts it from another program, as osqueryd's watcher does: it is that one
	// which signal and orphan mean, and the end is that of both.
	watched bool
	// pidfile is locked by what watches it, as osqueryd's is, and nobody else is meant to
	// have it.
	pidfile string
}

// watcher is a program that starts another one and looks on.
const watcher = "#!/bin/sh\n\"$@\" &\nwait\n"

func (f *trial) start(o started) *running {
	f.Helper()
	if o.socket == "" {
		o.socket = o.core.Socket()
	}
	if o.state == "" {
		o.state = filepath.Join(f.TempDir(), "state")
	}
	if o.file == "" {
		if o.config == "" {
			// Trials ask tables over and over, which no budget is for.
			o.config = "collect_interval: 1s\ncpu_budget: 100\n"
		}
		o.file = f.file("rollcall.yaml", o.config)
	}
	args := []string{filepath.Join(shipped, "rollcall.ext"), "--socket", o.socket, "--timeout", "5", "--interval", "1", "--state", o.state, "--config", o.file}
	if o.limit != "" {
		args = append([]string{"/bin/sh", "-c", o.limit + `; exec "$@"`, "sh"}, args...)
	}
	if o.watched {
		script := f.file("osqueryd", watcher) // the kernel names a script's process by its file
		f.must(os.Chmod(script, 0o700))
		args = append([]string{script}, args...)
	}
	r := &running{f: f, cmd: exec.Command(args[0], args[1:]...), said: &programs.Output{}, ended: make(chan struct{})}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: o.watched}
	r.cmd.Env = append(os.Environ(), o.env...)
	if !o.quiet {
		r.cmd.Stderr = r.said
	}
	if o.quiet {
		// A pipe whose reader has gone.
		reader, writer, err := os.Pipe()
		if err != nil {
			f.Fatal(err)
		}
		r.cmd.Stderr, r.cmd.Stdout = writer, writer
		defer writer.Close()
		defer reader.Close()
	}
	if o.pidfile != "" {
		held := f.lock(o.pidfile)
		if held == nil {
			f.Fatal("the pid file is locked")
		}
		r.cmd.ExtraFiles = []*os.File{held}
		defer held.Close()
	}
	if err := r.cmd.Start(); err != nil {
		f.Fatal(err)
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.ended)
	}()
	f.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		if o.watched {
			_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
		}
		<-r.ended
		if said := r.said.String(); f.Failed() && said != "" {
			f.Logf("rollcall.ext said:\n%s", said[max(0, len(said)-6000):])
		}
		if strings.Contains(r.said.String(), "panic:") || strings.Contains(r.said.String(), "goroutine ") && !strings.Contains(r.said.String(), "internal error") {
			f.Errorf("rollcall.ext panicked")
		}
	})
	return r
}

// lock locks a file for as long as anybody has it open; nil when somebody else does.
func (f *trial) lock(path string) *os.File {
	f.Helper()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	f.must(err)
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil
	}
	return file
}

// end waits for the program's end, which is to come within a time, and returns its
// status.
func (r *running) end(within time.Duration) int {
	r.f.Helper()
	limit := r.f.limit(within)
	select {
	case <-r.ended:
	case <-time.After(limit):
		r.f.Fatalf("still running after %v", limit)
	}
	var exit *exec.ExitError
	if errors.As(r.err, &exit) {
		return exit.ExitCode()
	}
	if r.err != nil {
		r.f.Fatal(r.err)
	}
	return 0
}

func (r *running) alive() {
	r.f.Helper()
	select {
	case <-r.ended:
		r.f.Fatalf("it ended: %v", r.err)
	default:
	}
}

func (r *running) signal(s os.Signal) {
	r.f.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.f.Fatal(err)
	}
}

// orphan kills what watches it, and nothing else.
func (r *running) orphan() {
	r.f.Helper()
	r.f.must(r.cmd.Process.Kill())
}

// kill is kill -9; the core forgets it.
func (r *running) kill(core *fakecore.Core) {
	r.f.Helper()
	_ = r.cmd.Process.Kill()
	<-r.ended
	core.DropConnections()
	for _, e := range core.Registered() {
		core.Forget(e.UUID)
	}
}

// memory is a figure of /proc/PID/status in MB (VmRSS, VmHWM).
func (r *running) memory(name string) float64 {
	r.f.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		r.f.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				r.f.Fatal(err)
			}
			return float64(kb) / 1024
		}
	}
	r.f.Fatalf("no %s", name)
	return 0
}

// file writes a private file of that name into a new directory.
func (f *trial) file(name, content string) string {
	f.Helper()
	path := filepath.Join(f.TempDir(), name)
	f.write(path, content)
	return path
}

func (f *trial) write(path, content string) {
	f.Helper()
	f.must(os.MkdirAll(filepath.Dir(path), 0o700))
	f.must(os.WriteFile(path, []byte(content), 0o600))
}

func (f *trial) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// eventually waits for cond.
func (f *trial) eventually(limit time.Duration, what string, cond func() bool) {
	f.Helper()
	limit = f.limit(limit)
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(50 * time.Millisecond) {
		if cond() {
			return
		}
	}
	f.Fatalf("not within %v: %s", limit, what)
}

// state tells how the sources are, for a failure.
func (f *trial) state(core *fakecore.Core) {
	if !f.Failed() {
		return
	}
	all, err := f.ask(core, "service_discovery_health")
	if err != nil {
		f.Logf("no health: %v", err)
	}
	for _, r := range all {
		if c := r["component"]; c == "process_events" || c == "store" || c == "sampling" || r["state"] == "failed" {
			f.Logf("health %v", r)
		}
	}
}

// auditing is a core that looks like osquery with process auditing on.
func (f *trial) auditing() *fakecore.Core {
	f.Helper()
	core := fakecore.Start(f)
	f.Cleanup(func() { f.state(core) })
	for k, v := range map[string]string{"disable_events": "false", "disable_audit": "false", "audit_allow_process_events": "true", "audit_allow_config": "true"} {
		core.SetFlag(f, k, v)
	}
	core.Exec(f, `DELETE FROM osquery_flags WHERE rowid NOT IN (SELECT max(rowid) FROM osquery_flags GROUP BY name)`)
	core.Exec(f, `UPDATE osquery_events SET active = 1`)
	core.Exec(f, `INSERT INTO users (uid, username) VALUES (4242, 'mallory')`)
	return core
}

// registered waits for the extension and returns its id.
func (f *trial) registered(core *fakecore.Core) int64 {
	f.Helper()
	var uuid int64
	f.eventually(20*time.Second, "the extension is registered", func() bool {
		for _, e := range core.Registered() {
			if p, err := core.Dial(e.UUID); err == nil {
				_ = p.Close()
				uuid = e.UUID
				return true
			}
		}
		return false
	})
	return uuid
}

// ask reads a table as osquery does; an error is nil rows.
func (f *trial) ask(core *fakecore.Core, table string, constraints ...fakecore.Constraint) ([]map[string]string, error) {
	f.Helper()
	registered := core.Registered()
	if len(registered) == 0 {
		return nil, errors.New("nobody is registered")
	}
	p, err := core.Dial(registered[0].UUID)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return p.Generate(ctx, table, nil, constraints...)
}

// audited are the events that came from the core: the host's own are left out.
func (f *trial) audited(core *fakecore.Core) []map[string]string {
	f.Helper()
	all, err := f.ask(core, "service_discovery_events")
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(all, func(r map[string]string) bool { return !strings.Contains(r["source"], "process_events") })
}

// health is one row of service_discovery_health.
func (f *trial) health(core *fakecore.Core, component string) map[string]string {
	f.Helper()
	all, err := f.ask(core, "service_discovery_health")
	if err != nil {
		return nil
	}
	for _, r := range all {
		if r["component"] == component {
			return r
		}
	}
	return nil
}

// listing is one of services that the core saw.
func listing(eid int64, cmdline string) fakecore.ExecEvent {
	return fakecore.ExecEvent{Time: time.Now().Unix(), EID: eid, PID: 100_000 + eid, Parent: 1, Path: "/usr/bin/systemctl", CmdLine: cmdline, UID: 0, AUID: 4242}
}

// found waits for the row of a command line and returns it.
func (f *trial) found(core *fakecore.Core, limit time.Duration, cmdline string) map[string]string {
	f.Helper()
	var row map[string]string
	f.eventually(limit, "a row of "+cmdline, func() bool {
		for _, r := range f.audited(core) {
			if r["cmdline"] == cmdline {
				row = r
				return true
			}
		}
		return false
	})
	return row
}

// works shows that it collects: a command of this moment has its row.
func (f *trial) works(core *fakecore.Core, eid int64) {
	f.Helper()
	line := fmt.Sprintf("systemctl list-dependencies works-%d.service", eid)
	core.AddExecs(f, listing(eid, line))
	f.found(core, 30*time.Second, line)
}

// tmpfs mounts a small file system until the trial ends.
func (f *trial) tmpfs(size string) string {
	f.Helper()
	dir := f.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0700"); err != nil {
		f.Skipf("NOT TESTED: cannot mount a tmpfs: %v", err)
	}
	f.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}
