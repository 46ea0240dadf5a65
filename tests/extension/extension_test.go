//go:build linux

// Package extension runs the real rollcall.ext and rollcall against a fake core
// that speaks osquery's extension protocol: what must hold on every machine,
// osquery or not.
package extension

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/tests/fakecore"
	"github.com/osquery-rollcall/rollcall/tests/programs"
)

// patience is how long anything may take before it counts as never.
const patience = 2 * time.Minute

// shipped is the directory of the programs, built once.
var shipped string

func TestMain(m *testing.M) { os.Exit(programs.Main(m, "../..", &shipped)) }

// running is rollcall.ext under a core.
type running struct {
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	ended  chan error
}

func start(t *testing.T, core *fakecore.Core, state string, more ...string) *running {
	t.Helper()
	args := append([]string{"--socket", core.Socket(), "--timeout", "10", "--interval", "1", "--state", state}, more...)
	r := &running{cmd: exec.Command(filepath.Join(shipped, "rollcall.ext"), args...), stderr: &bytes.Buffer{}, ended: make(chan error, 1)}
	r.cmd.Stderr = r.stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.cmd.Wait() }()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("rollcall.ext said:\n%s", r.stderr.String())
		}
	})
	return r
}

func (r *running) kill(t *testing.T) {
	t.Helper()
	_ = r.cmd.Process.Kill()
	select {
	case err := <-r.ended:
		r.ended <- err
	case <-time.After(patience):
		t.Fatal("rollcall.ext survived kill -9")
	}
}

// config writes a configuration with a collect interval of a second.
func config(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rollcall.yaml")
	if err := os.WriteFile(path, []byte("collect_interval: 1s\nlog_level: info\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// auditing makes the core look like osquery with process auditing on.
func auditing(t *testing.T) *fakecore.Core {
	core := fakecore.Start(t)
	for k, v := range map[string]string{"disable_events": "false", "disable_audit": "false", "audit_allow_process_events": "true", "audit_allow_config": "true"} {
		core.SetFlag(t, k, v)
	}
	core.Exec(t, `DELETE FROM osquery_flags WHERE rowid NOT IN (SELECT max(rowid) FROM osquery_flags GROUP BY name)`)
	core.Exec(t, `UPDATE osquery_events SET active = 1`)
	core.Exec(t, `INSERT INTO users (uid, username) VALUES (4242, 'mallory')`)
	return core
}

func generate(t *testing.T, core *fakecore.Core, table string, constraints ...fakecore.Constraint) []map[string]string {
	t.Helper()
	ext := core.WaitRegistered(t, "rollcall")
	p, err := core.Dial(ext.UUID)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rows, err := p.Generate(ctx, table, nil, constraints...)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// eventually waits for cond.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(100 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}

func TestOneCommandBecomesOneScoredRow(t *testing.T) {
	core := auditing(t)
	start(t, core, t.TempDir(), "--config", config(t))
	core.WaitRegistered(t, "rollcall")
	now := time.Now().Unix()
	core.AddExecs(t,
		fakecore.ExecEvent{Time: now, EID: 1, PID: 900, Parent: 1, Path: "/usr/sbin/nginx", CmdLine: "nginx: worker process", UID: 33, EUID: 33, AUID: 4294967295},
		fakecore.ExecEvent{Time: now, EID: 2, PID: 901, Parent: 900, Path: "/bin/sh", CmdLine: "sh -c systemctl list-units --type=service", UID: 4242, EUID: 4242, AUID: 4294967295},
		fakecore.ExecEvent{Time: now, EID: 3, PID: 902, Parent: 901, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units --type=service", UID: 4242, EUID: 4242, AUID: 4242},
		fakecore.ExecEvent{Time: now, EID: 4, PID: 903, Parent: 1, Path: "/usr/bin/systemctl", CmdLine: "systemctl restart nginx", UID: 0, AUID: 4242},
		fakecore.ExecEvent{Time: now, EID: 5, PID: 904, Parent: 1, Path: "/bin/ls", CmdLine: "ls -la /tmp", UID: 0, AUID: 4242},
		fakecore.ExecEvent{Time: now, EID: 6, PID: 905, Parent: 1, Path: "/usr/bin/mysql", CmdLine: "ssh -i k root@db7 systemctl status; mysql --password=hunter2", UID: 0, AUID: 4242},
	)
	var rows []map[string]string
	eventually(t, "rows of the events", func() bool {
		rows = nil
		for _, r := range generate(t, core, "service_discovery_events") {
			if strings.Contains(r["source"], "process_events") {
				rows = append(rows, r)
			}
		}
		return len(rows) >= 2
	})
	byPID := map[string]map[string]string{}
	for _, r := range rows {
		byPID[r["pid"]] = r
	}
	if byPID["903"] != nil || byPID["904"] != nil {
		t.Errorf("restart and ls are no service discovery: %v", byPID)
	}
	got := byPID["902"]
	if got == nil {
		t.Fatalf("no row for the listing: %v", rows)
	}
	for column, want := range map[string]string{
		"cmdline": "systemctl list-units --type=service", "path": "/usr/bin/systemctl", "username": "mallory", "login_user": "mallory", "uid": "4242",
		"parent": "901", "parent_path": "/bin/sh", "parent_cmdline": "sh -c systemctl list-units --type=service", "scope": "all", "technique": "T1007",
		"platform": "linux", "source": "process_events", "elevated": "0", "attribution": "none", "canonical": `["systemctl list-units --type=service"]`,
	} {
		if got[column] != want {
			t.Errorf("%s is %q, want %q", column, got[column], want)
		}
	}
	var reasons []struct{ Factor, Evidence string }
	if err := json.Unmarshal([]byte(got["reasons"]), &reasons); err != nil {
		t.Fatal(err)
	}
	if len(reasons) < 2 || reasons[1].Factor != "web_ancestor" || reasons[1].Evidence != "/usr/sbin/nginx" {
		t.Errorf("a child of a web server scores by it: %v", got["reasons"])
	}
	if got["severity"] != "critical" {
		t.Errorf("severity is %s (%s), want critical", got["severity"], got["score"])
	}
	for _, r := range rows {
		if strings.Contains(fmt.Sprint(r), "hunter2") {
			t.Errorf("a password was stored: %v", r)
		}
		if r["rowid"] == "" || r["event_id"] == "" {
			t.Errorf("a row without id: %v", r)
		}
	}
}

// TestKilledWhileCollecting kills the extension twenty times while events arrive:
// no row is lost and none is there twice.
func TestKilledWhileCollecting(t *testing.T) {
	core := auditing(t)
	state, cfg := t.TempDir(), config(t)
	const rounds, perRound = 20, 50
	want := map[string]bool{}
	eid := int64(0)
	for round := range rounds {
		core.Exec(t, fmt.Sprintf(`INSERT INTO users (uid, username) VALUES (%d, 'user%d')`, 4300+round, round))
	}
	for round := range rounds {
		r := start(t, core, state, "--config", cfg)
		core.WaitRegistered(t, "rollcall")
		for i := range perRound {
			eid++
			unit := fmt.Sprintf("k%d-%d.service", round, i)
			want["systemctl list-dependencies "+unit] = true
			core.AddExecs(t, fakecore.ExecEvent{Time: time.Now().Unix(), EID: eid, PID: 10_000 + eid, Parent: 1, Path: "/usr/bin/systemctl",
				CmdLine: "systemctl list-dependencies " + unit, UID: 0, AUID: 4300 + int64(round)}) // a user a round: a thousand rows of one burst would be a flood
			if i%10 == 0 {
				time.Sleep(time.Duration(round*3) * time.Millisecond)
			}
		}
		// Somewhere between the first read and after the commit.
		time.Sleep(time.Duration(50*(round%8)) * time.Millisecond)
		r.kill(t)
		core.DropConnections()
		for _, e := range core.Registered() {
			core.Forget(e.UUID)
		}
	}
	start(t, core, state, "--config", cfg)
	var got map[string]int
	eventually(t, fmt.Sprintf("all %d rows", len(want)), func() bool {
		got = map[string]int{}
		for _, row := range generate(t, core, "service_discovery_events") {
			if strings.Contains(row["source"], "process_events") {
				got[row["cmdline"]]++
			}
		}
		return len(got) >= len(want)
	})
	for c := range want {
		if got[c] != 1 {
			t.Errorf("%s is there %d times", c, got[c])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d different rows, want %d", len(got), len(want))
	}
}

// TestCommandBesideTheExtension reads the running extension's rows, and says that
// it does.
func TestCommandBesideTheExtension(t *testing.T) {
	core := auditing(t)
	state := t.TempDir()
	start(t, core, state, "--config", config(t))
	core.AddExecs(t, fakecore.ExecEvent{Time: time.Now().Unix(), EID: 1, PID: 77, Parent: 1, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-timers", UID: 0, AUID: 4242})
	eventually(t, "the event is stored", func() bool {
		for _, r := range generate(t, core, "service_discovery_events") {
			if r["cmdline"] == "systemctl list-timers" {
				return true
			}
		}
		return false
	})
	cmd := exec.Command(filepath.Join(shipped, "rollcall"), "query", "--state", state, "--format", "json", "SELECT cmdline FROM service_discovery_events WHERE cmdline = 'systemctl list-timers'; SELECT state FROM service_discovery_health WHERE component = 'process_events'")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("rollcall query: %v\n%s", err, stderr.String())
	}
	if !strings.Contains(stdout.String(), `"systemctl list-timers"`) || !strings.Contains(stdout.String(), `"ok"`) {
		t.Errorf("rollcall query shows %s", stdout.String())
	}
	if !strings.Contains(stderr.String(), "read-only") {
		t.Errorf("it does not say that it only reads: %s", stderr.String())
	}
}

// TestEnds covers how the program ends: each with one clear line and a status.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		status int
		stderr string
	}{
		{"unknown flag", []string{"--nonsense"}, 1, "rollcall.ext: flag provided but not defined: -nonsense; see --help"},
		{"no socket", nil, 1, "rollcall.ext: --socket is missing: osquery gives it, see --help"},
		{"stray argument", []string{"--socket", "/tmp/x", "y"}, 1, `rollcall.ext: unexpected argument "y"; see --help`},
		{"bad number", []string{"--socket", "/tmp/x", "--timeout", "0"}, 1, "rollcall.ext: --timeout and --interval are whole seconds, at least 1"},
		{"long socket", []string{"--socket", "/tmp/" + strings.Repeat("x", 100), "--timeout", "1", "--state", t.TempDir()}, 1, "97"},
		{"nobody there", []string{"--socket", filepath.Join(t.TempDir(), "em"), "--timeout", "1", "--state", t.TempDir()}, 1, "rollcall.ext: "},
		{"version", []string{"--version"}, 0, ""},
		{"help", []string{"--help"}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, filepath.Join(shipped, "rollcall.ext"), c.args...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			status := 0
			if errors.As(err, &exit) {
				status = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			if last := lines[len(lines)-1]; status != c.status || !strings.Contains(last, c.stderr) {
				t.Errorf("status %d, said %q; want %d, %q", status, last, c.status, c.stderr)
			}
			if c.status == 0 && stdout.Len() == 0 {
				t.Error("printed nothing")
			}
		})
	}
}

// TestCoreDies ends the program with an error soon after osquery's end, so that
// whoever watches it starts it again.
func TestCoreDies(t *testing.T) {
	core := auditing(t)
	r := start(t, core, t.TempDir(), "--config", config(t))
	core.WaitRegistered(t, "rollcall")
	core.Stop()
	select {
	case err := <-r.ended:
		if err == nil {
			t.Error("ended with status 0")
		}
		r.ended <- err
	case <-time.After(patience):
		t.Errorf("still running %v after the core's death", patience)
	}
}

// TestTerminated drains and ends with status 0.
func TestTerminated(t *testing.T) {
	core := auditing(t)
	r := start(t, core, t.TempDir(), "--config", config(t))
	core.WaitRegistered(t, "rollcall")
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
		r.ended <- err
	case <-time.After(patience):
		t.Errorf("still running %v after the signal", patience)
	}
}
