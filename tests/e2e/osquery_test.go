//go:build linux

// Package e2e runs the real extension under the real osquery, where that is
// installed.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// binary finds an osquery program: by environment, then on PATH.
func binary(t *testing.T, env, name string) string {
	t.Helper()
	if p := os.Getenv(env); p != "" {
		return p
	}
	p, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("NOT TESTED AGAINST REAL OSQUERY: no %s on PATH; set %s", name, env)
	}
	return p
}

// extension builds rollcall.ext the way it is shipped, into dir.
func extension(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(dir, "rollcall.ext")
	build := exec.Command("go", "build", "-trimpath", "-o", out, "../../extension")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the extension: %v\n%s", err, msg)
	}
	if err := os.Chmod(out, 0o755); err != nil {
		t.Fatal(err)
	}
	return out
}

// daemon is a running osqueryd with the extension loaded.
type daemon struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	osqi   string
	socket string
	stderr *bytes.Buffer
}

// home makes a directory osquery loads extensions from: root's and not sticky.
func home(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "rollcall-e2e-")
	if err != nil {
		t.Skipf("NOT TESTED AGAINST REAL OSQUERY: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// start runs osqueryd with audit and the pack of the catalogue, every query at
// interval seconds.
func start(t *testing.T, interval int) *daemon {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED AGAINST REAL OSQUERY: needs root")
	}
	osqueryd, osqi := binary(t, "OSQUERYD", "osqueryd"), binary(t, "OSQUERYI", "osqueryi")
	dir := home(t)
	ext := extension(t, dir)
	pack, err := os.ReadFile("../../packs/osquery/t1007.conf")
	if err != nil {
		t.Fatal(err)
	}
	var p map[string]any
	if err := json.Unmarshal(pack, &p); err != nil {
		t.Fatal(err)
	}
	for _, q := range p["queries"].(map[string]any) {
		q.(map[string]any)["interval"] = interval
	}
	conf, err := json.Marshal(map[string]any{"packs": map[string]any{"t1007": p}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"osquery.conf": string(conf), "extensions.load": ext + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"log", "db", "state"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d := &daemon{t: t, dir: dir, osqi: osqi, socket: filepath.Join(dir, "em"), stderr: &bytes.Buffer{}}
	restore := auditLimits(t)
	d.cmd = exec.Command(osqueryd, "--config_path="+filepath.Join(dir, "osquery.conf"), "--pidfile="+filepath.Join(dir, "pid"),
		"--database_path="+filepath.Join(dir, "db"), "--logger_path="+filepath.Join(dir, "log"), "--extensions_socket="+d.socket,
		"--extensions_autoload="+filepath.Join(dir, "extensions.load"), "--extensions_timeout=10", "--extensions_interval=3",
		"--extensions_require=rollcall", "--disable_audit=false", "--audit_allow_config=true", "--audit_allow_process_events=true",
		"--disable_events=false", "--schedule_splay_percent=0", "--verbose")
	d.cmd.Env = append(os.Environ(), "ROLLCALL_STATE="+filepath.Join(dir, "state"), "ROLLCALL_CONFIG=")
	d.cmd.Stdout, d.cmd.Stderr = d.stderr, d.stderr
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.cmd.Process.Signal(os.Interrupt)
		done := make(chan struct{})
		go func() { _ = d.cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(15 * time.Second):
			_ = d.cmd.Process.Kill()
			<-done
		}
		restore()
		if t.Failed() {
			t.Logf("osqueryd said (end):\n%s", tail(d.stderr.String(), 4000))
		}
	})
	d.eventually(30*time.Second, "the extension is registered", func() bool {
		rows, err := d.query("SELECT name FROM osquery_extensions WHERE name = 'rollcall'")
		return err == nil && len(rows) == 1
	})
	return d
}

// auditLimits remembers what osquery leaves changed and returns what puts it back.
func auditLimits(t *testing.T) func() {
	t.Helper()
	auditctl, err := exec.LookPath("auditctl")
	if err != nil {
		t.Log("no auditctl: audit's backlog limit is not put back after osquery changed it")
		return func() {}
	}
	before, err := exec.Command(auditctl, "-s").Output()
	if err != nil {
		return func() {}
	}
	return func() {
		for _, line := range strings.Split(string(before), "\n") {
			f := strings.Fields(line)
			if len(f) != 2 {
				continue
			}
			switch f[0] {
			case "backlog_limit":
				_ = exec.Command(auditctl, "-b", f[1]).Run()
			case "backlog_wait_time":
				_ = exec.Command(auditctl, "--backlog_wait_time", f[1]).Run()
			}
		}
	}
}

// query asks the running daemon through osqueryi.
func (d *daemon) query(sql string) ([]map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, d.osqi, "--connect", d.socket, "--json", sql).Output()
	if err != nil {
		return nil, fmt.Errorf("osqueryi: %w", err)
	}
	i := bytes.IndexByte(out, '[')
	if i < 0 {
		return nil, fmt.Errorf("osqueryi printed no JSON: %q", out)
	}
	var rows []map[string]string
	if err := json.Unmarshal(out[i:], &rows); err != nil {
		return nil, fmt.Errorf("osqueryi: %w: %q", err, out)
	}
	return rows, nil
}

func (d *daemon) must(sql string) []map[string]string {
	d.t.Helper()
	rows, err := d.query(sql)
	if err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
	return rows
}

func (d *daemon) eventually(limit time.Duration, what string, ok func() bool) time.Duration {
	d.t.Helper()
	begin := time.Now()
	for time.Since(begin) < limit {
		if ok() {
			return time.Since(begin)
		}
		time.Sleep(300 * time.Millisecond)
	}
	d.t.Fatalf("not within %v: %s", limit, what)
	return limit
}

// results are the rows of the daemon's results log.
func (d *daemon) results() []map[string]any {
	data, err := os.ReadFile(filepath.Join(d.dir, "log", "osqueryd.results.log"))
	if err != nil {
		return nil
	}
	var out []map[string]any
	for _, line := range strings.Split(string(data), "\n") {
		var r map[string]any
		if json.Unmarshal([]byte(line), &r) == nil {
			out = append(out, r)
		}
	}
	return out
}

func tail(s string, n int) string {
	if len(s) > n {
		return s[len(s)-n:]
	}
	return s
}

// fakeTool makes a program of that name that does nothing, so that the test needs
// no systemd.
func fakeTool(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTypedCommandReachesTheLog is the product's first promise: what is typed on
// the host is a scored row in osqueryd's results log within 30 seconds.
func TestTypedCommandReachesTheLog(t *testing.T) {
	d := start(t, 10)
	d.eventually(60*time.Second, "process_events is read", func() bool {
		rows, err := d.query("SELECT state FROM service_discovery_health WHERE component = 'process_events'")
		return err == nil && len(rows) == 1 && rows[0]["state"] == "ok"
	})
	systemctl := fakeTool(t, d.dir, "systemctl")
	ls := fakeTool(t, d.dir, "ls")
	marker := fmt.Sprintf("e2e-%d", time.Now().UnixNano())
	for _, argv := range [][]string{
		{"/bin/sh", "-c", systemctl + " --type=service --lines=" + marker[4:10] + "; :"},
		{systemctl, "restart", marker},
		{ls, "-la", "/tmp/" + marker},
	} {
		if err := exec.Command(argv[0], argv[1:]...).Run(); err != nil {
			t.Fatal(err)
		}
	}
	var row map[string]any
	took := d.eventually(30*time.Second, "the listing is in the results log", func() bool {
		for _, r := range d.results() {
			c, _ := r["columns"].(map[string]any)
			if r["name"] == "pack_t1007_service_discovery_events" && c["path"] == systemctl && strings.Contains(fmt.Sprint(c["cmdline"]), "--type=service") {
				row = c
				return true
			}
		}
		return false
	})
	t.Logf("in the log after %v", took.Round(100*time.Millisecond))
	for _, want := range []string{"score", "severity", "rule_ids", "reasons", "parent_path", "username", "event_id", "source"} {
		if v := fmt.Sprint(row[want]); v == "" || v == "<nil>" || v == "[]" {
			t.Errorf("column %s is empty in %v", want, row)
		}
	}
	if row["username"] != "root" || row["score"] == "0" {
		t.Errorf("username %v, score %v", row["username"], row["score"])
	}
	time.Sleep(12 * time.Second) // one more round of the schedule: what is not to come would be here
	for _, r := range d.results() {
		c, _ := r["columns"].(map[string]any)
		if strings.Contains(fmt.Sprint(c["cmdline"]), marker) && c["path"] != "/bin/sh" && !strings.Contains(fmt.Sprint(c["cmdline"]), "--type=service") {
			t.Errorf("restart or ls made a row: %v", c)
		}
	}
}

// TestQueriesOnTheRealCore is the table of queries that must be right on osquery
// as in the embedded shell.
func TestQueriesOnTheRealCore(t *testing.T) {
	d := start(t, 3600)
	sleeper := exec.Command("/bin/sleep", "120")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() })
	where := fmt.Sprintf("p.pid IN (1, 2, %d, %d)", os.Getpid(), sleeper.Process.Pid)
	plain := d.must("SELECT p.pid, s.score FROM processes p JOIN service_discovery_score s ON s.cmdline = p.cmdline WHERE " + where + " ORDER BY p.pid")
	once := d.must("WITH s AS MATERIALIZED (SELECT * FROM service_discovery_score WHERE cmdline IN (SELECT cmdline FROM processes)) SELECT p.pid, s.score FROM processes p JOIN s USING (cmdline) WHERE " + where + " ORDER BY p.pid")
	cross := d.must("SELECT p.pid, s.score FROM service_discovery_score s CROSS JOIN processes p WHERE s.cmdline IN (SELECT cmdline FROM processes) AND s.cmdline = p.cmdline AND " + where + " ORDER BY p.pid")
	if len(plain) < 3 || fmt.Sprint(plain) != fmt.Sprint(once) || fmt.Sprint(plain) != fmt.Sprint(cross) {
		t.Errorf("three forms of one join differ:\nplain %v\nonce  %v\ncross %v", plain, once, cross)
	}
	for _, c := range Queries {
		t.Run(c.Name, func(t *testing.T) {
			rows, err := d.query(c.SQL)
			if err != nil {
				t.Fatalf("%s: %v", c.SQL, err)
			}
			if got := Render(rows, c.Columns); got != c.Want {
				t.Errorf("%s\n got %s\nwant %s", c.SQL, got, c.Want)
			}
		})
	}
}
