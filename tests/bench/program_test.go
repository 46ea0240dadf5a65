//go:build linux

package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

// build makes the extension the way it is shipped.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rollcall.ext")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./extension")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// run starts the extension beside a core and returns once it is registered.
func run(t *testing.T, program string, core *fakecore.Core, state string) (cmd *exec.Cmd, took time.Duration) {
	t.Helper()
	cmd = exec.Command(program, "--socket", core.Socket(), "--timeout", "10", "--interval", "3", "--state", state)
	cmd.Env = append(os.Environ(), "ROLLCALL_CONFIG="+filepath.Join(state, "none.yaml"))
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	core.WaitRegistered(t, "rollcall")
	return cmd, time.Since(start)
}

func end(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// TestStart measures from exec to the registration.
func TestStart(t *testing.T) {
	program := build(t)
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	mb := float64(info.Size()) / (1 << 20)
	budgets.add(t, result{"size of the stripped program", fmt.Sprintf("%.1f MiB", mb), "", "", "<= 20 MB", mb*1.048576 <= 20, false})
	s := series{name: "start"}
	for i := range rounds {
		core := fakecore.Start(t)
		cmd, took := run(t, program, core, filepath.Join(t.TempDir(), strconv.Itoa(i)))
		s.list = append(s.list, cost{cpu: cmdTime(cmd.Process.Pid), wall: took})
		end(t, cmd)
	}
	budgets.keep(s)
	budgets.add(t, result{"start to registered, first start", short(s.wall()) + " on the clock, " + short(s.cpu()) + " of a processor", "", "", "<= 300 ms", s.wall() <= 300*time.Millisecond, false})
	state := filepath.Join(t.TempDir(), "again")
	again := series{name: "start again"}
	for i := range rounds + 1 {
		core := fakecore.Start(t)
		cmd, took := run(t, program, core, state)
		if i > 0 {
			again.list = append(again.list, cost{cpu: cmdTime(cmd.Process.Pid), wall: took})
		}
		end(t, cmd)
	}
	budgets.keep(again)
	budgets.add(t, result{"start to registered, again", short(again.wall()) + " on the clock, " + short(again.cpu()) + " of a processor", "", "", "<= 300 ms", again.wall() <= 300*time.Millisecond, false})
}

// cmdTime is the processor time of a process so far.
func cmdTime(pid int) time.Duration {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0
	}
	var sum time.Duration
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // a thread that ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err == nil {
			sum += time.Duration(n)
		}
	}
	return sum
}

// resident reads the resident memory of a process, now and at most, in MB.
func resident(pid string) (now, most float64) {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kb, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "VmRSS:":
			now = kb * 1024 / 1e6
		case "VmHWM:":
			most = kb * 1024 / 1e6
		}
	}
	return now, most
}

// TestIdle watches the extension beside a core with nothing to tell.
func TestIdle(t *testing.T) {
	program := build(t)
	core := fakecore.Start(t)
	cmd, _ := run(t, program, core, filepath.Join(t.TempDir(), "state"))
	defer end(t, cmd)
	time.Sleep(12 * time.Second) // the first cycles look at the whole host
	const length = 30 * time.Second
	before := cmdTime(cmd.Process.Pid)
	time.Sleep(length)
	used := cmdTime(cmd.Process.Pid) - before
	share := 100 * float64(used) / float64(length)
	now, _ := resident(strconv.Itoa(cmd.Process.Pid))
	budgets.add(t, result{"idle, of one core", fmt.Sprintf("%.2f %%", share), "", "", "<= 0.3 %", share <= 0.3, false})
	budgets.add(t, result{"idle, resident", fmt.Sprintf("%.1f MB", now), "", "", "<= 30 MB", now <= 30, false})
}

// childOf is set in the process whose memory is measured.
const childOf = "ROLLCALL_BENCH_CHILD"

// TestMemory sends 1,000,000 processes through the engine, in a process of its own.
func TestMemory(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childOf+"="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var now, most, perEvent float64
	if _, err := fmt.Sscan(string(out), &now, &most, &perEvent); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	budgets.add(t, result{"resident after 1,000,000 events", fmt.Sprintf("%.1f MB", now), "", "", "<= 45 MB", now <= 45, false})
	budgets.add(t, result{"at most meanwhile", fmt.Sprintf("%.1f MB", most), "", "", "<= 80 MB", most <= 80, false})
	budgets.add(t, result{"collect, one event of these", fmt.Sprintf("%.2f µs", perEvent), "", "", "", false, true})
}

// child is the process that TestMemory measures: the engine with the limits that the
// extension sets.
func child() int {
	debug.SetMemoryLimit(36 << 20)
	debug.SetGCPercent(50)
	ctx := context.Background()
	err := func() error {
		s, err := store.Open(ctx, os.Getenv(childOf))
		if err != nil {
			return err
		}
		set, err := rule.Embedded()
		if err != nil {
			return err
		}
		src := &source{per: engine.ReadLimit, left: 1_000_000}
		e, err := engine.New(ctx, engine.Options{Judge: &engine.Judge{Rules: set, Weights: score.DefaultWeights()}, Store: s, Sources: []engine.Source{src}, HostID: "m", Host: "h"})
		if err != nil {
			return err
		}
		start := cpuTime()
		for src.left > 0 {
			if err := e.Collect(ctx); err != nil {
				return err
			}
		}
		used := cpuTime() - start
		src.batch = nil
		for range 3 { // as time would
			src.left = 1
			if err := e.Collect(ctx); err != nil {
				return err
			}
			runtime.GC()
		}
		now, most := resident("self")
		fmt.Printf("%.2f %.2f %.3f\n", now, most, float64(used)/1e3/1e6)
		return s.Close()
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
