package wine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

// patience is how long anything may take before it counts as never.
const patience = 2 * time.Minute

// program is a program as it is shipped.
func program(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("ROLLCALL_PROGRAMS")
	if dir == "" {
		t.Skip("NOT TESTED: the programs of Windows; make wine sets ROLLCALL_PROGRAMS to their folder")
	}
	return filepath.Join(dir, name)
}

// etw makes the core a Windows osquery with process events.
func etw(t *testing.T) *fakecore.Core {
	core := fakecore.Start(t)
	core.Exec(t, `UPDATE osquery_info SET build_platform = 'windows'`)
	for _, name := range []string{"process_events", "auditeventpublisher"} {
		core.Exec(t, `DELETE FROM osquery_registry WHERE name = ?`, name)
		core.Exec(t, `DELETE FROM osquery_events WHERE name = ?`, name)
	}
	core.Exec(t, `CREATE TABLE process_etw_events (type TEXT, pid BIGINT, ppid BIGINT, session_id INTEGER, path TEXT, cmdline TEXT,
		username TEXT, token_elevation_type TEXT, token_elevation_status INTEGER, mandatory_label TEXT, time BIGINT, eid INTEGER)`)
	core.Exec(t, `INSERT INTO osquery_registry VALUES ('table', 'process_etw_events', 0, 0, 1)`)
	core.Exec(t, `INSERT INTO osquery_events VALUES ('etw_process_publisher', 'etw_process_publisher', 'publisher', 1, 1, 0, 1),
		('process_etw_events', 'etw_process_publisher', 'subscriber', 1, 1, 0, 1)`)
	core.SetFlag(t, "disable_events", "false")
	core.SetFlag(t, "enable_process_etw_events", "true")
	return core
}

// running is rollcall.ext.exe under a core.
type running struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan error
}

func start(t *testing.T, core *fakecore.Core) *running {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "rollcall.yaml")
	if err := os.WriteFile(conf, []byte("collect_interval: 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &running{ended: make(chan error, 1)}
	r.cmd = exec.Command(program(t, "rollcall.ext.exe"), "--socket", core.Socket(), "--timeout", "60", "--interval", "1",
		"--config", conf, "--state", filepath.Join(t.TempDir(), "state"))
	r.cmd.Stderr = &r.stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.cmd.Wait() }() // ends with the process, which the cleanup ends
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		err := <-r.ended
		if t.Failed() {
			t.Logf("rollcall.ext.exe ended with %v and said:\n%s", err, r.stderr.String())
		}
	})
	return r
}

// end waits for the end of the process.
func (r *running) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ended:
		r.ended <- err
		return err
	case <-time.After(patience):
		t.Fatal("rollcall.ext.exe still runs")
		return nil
	}
}

// TestExtension registers on a named pipe, serves every table, tells the listing from the
// question, and ends when it is asked to.
func TestExtension(t *testing.T) {
	core := etw(t)
	r := start(t, core)
	ext := core.WaitRegistered(t, "rollcall")
	tables := ext.Registry["table"]
	if len(tables) != 11 {
		t.Errorf("%d tables", len(tables))
	}
	core.Exec(t, `INSERT INTO process_etw_events VALUES
		('ProcessStart', 6700, 4564, 2, 'C:\Windows\System32\sc.exe', 'sc  query', 'CORP\alex', 'TokenElevationTypeFull', 1, 'Mandatory Label\High Mandatory Level', ?1, 201),
		('ProcessStart', 6701, 4564, 2, 'C:\Windows\System32\whoami.exe', 'whoami', 'CORP\alex', '', 0, '', ?1, 202)`, time.Now().Unix())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ask := func(table string, constraints ...fakecore.Constraint) []map[string]string {
		t.Helper()
		p, err := core.Dial(ext.UUID)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		rows, err := p.Generate(ctx, table, nil, constraints...)
		if err != nil {
			t.Errorf("%s: %v", table, err)
		}
		return rows
	}
	for name := range tables {
		ask(name)
	}
	if rows := ask("service_discovery_score", fakecore.Constraint{Column: "cmdline", Op: 2, Expr: `cmd /c "s^c query"`}); len(rows) != 1 ||
		rows[0]["severity"] != "high" {
		t.Errorf("the verdict on a hidden sc query: %v", rows)
	}
	if rows := ask("service_discovery_rules"); len(rows) < 20 {
		t.Errorf("%d rules", len(rows))
	}
	var found []map[string]string
	for len(found) == 0 && ctx.Err() == nil {
		if found = ask("service_discovery_events"); len(found) == 0 {
			select {
			case <-time.After(200 * time.Millisecond):
			case err := <-r.ended:
				r.ended <- err
				t.Fatalf("it ended: %v", err)
			}
		}
	}
	if len(found) != 1 || found[0]["canonical"] != `["sc query"]` || found[0]["username"] != `CORP\alex` || found[0]["source"] != "process_etw_events" ||
		found[0]["elevated"] != "1" || found[0]["platform"] != "windows" {
		t.Errorf("events: %v", found)
	}
	health := map[string]string{}
	for _, row := range ask("service_discovery_health") {
		health[row["component"]] = row["state"]
	}
	if health["process_etw_events"] != "ok" || health["store"] != "ok" {
		t.Errorf("health: %v", health)
	}
	p, err := core.Dial(ext.UUID)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Shutdown(ctx); err != nil {
		t.Errorf("asking it to end: %v", err)
	}
	if err := r.end(t); err != nil {
		t.Errorf("it was asked to end and ended with %v", err)
	}
}

// TestCoreDies ends the process with an error, so that whoever watches it starts it again.
func TestCoreDies(t *testing.T) {
	core := etw(t)
	r := start(t, core)
	core.WaitRegistered(t, "rollcall")
	core.Stop()
	var exit *exec.ExitError
	if err := r.end(t); !errors.As(err, &exit) {
		t.Errorf("it ended with %v", err)
	}
}

// TestCommand runs what people run.
func TestCommand(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.yaml")
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	for path, text := range map[string]string{good: "log_level: debug\n", bad: "log_levl: debug\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(status int, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, program(t, "rollcall.exe"), args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != status {
			t.Errorf("rollcall %q: status %d (%v), want %d\n%s%s", args, got, err, status, stdout.String(), stderr.String())
		}
		return stdout.String() + stderr.String()
	}
	if out := run(0, "score", `cmd /c "s^c query"`); !strings.Contains(out, "hidden by [caret]") || !strings.Contains(out, "T1007") {
		t.Errorf("score: %s", out)
	}
	out := run(0, "query", "--format", "json", "--state", filepath.Join(t.TempDir(), "state"),
		"SELECT severity, scope FROM service_discovery_score WHERE cmdline = 'sc query'")
	var rows []map[string]string
	if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != 1 || rows[0]["scope"] != "all" || rows[0]["severity"] != "low" {
		t.Errorf("query: %s, %v", out, err)
	}
	if out := run(0, "config", "check", good); !strings.Contains(out, "valid") {
		t.Errorf("config check: %s", out)
	}
	if out := run(1, "config", "check", bad); !strings.Contains(out, `no option "log_levl"`) {
		t.Errorf("config check: %s", out)
	}
}
