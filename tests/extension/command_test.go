//go:build linux

package extension

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWithoutOsquery finds real evidence on a host that has no osquery: what starts
// while "rollcall query --for" runs is a row.
func TestWithoutOsquery(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: the kernel's process connector needs root")
	}
	dir := t.TempDir()
	tool := filepath.Join(dir, "systemctl")
	data, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tool, data, 0o755); err != nil {
		t.Fatal(err)
	}
	// What the tool runs for its first word: it waits for the end of its input.
	if err := os.WriteFile(filepath.Join(dir, "status"), []byte("read x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	marker := fmt.Sprintf("m%d.service", time.Now().UnixNano())
	cmd := exec.Command(filepath.Join(shipped, "rollcall"), "query", "--temporary", "--for", "6s", "--format", "json",
		"SELECT cmdline, username, scope, source, parent_path FROM service_discovery_events; SELECT component, state, detail, remedy FROM service_discovery_health WHERE component = 'proc_connector'")
	cmd.Env = []string{"PATH=/nonexistent"} // no osquery to be found
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// On a busy machine nobody knows when it has begun to look, so one starts after the
	// other.
	for running := true; running; {
		one := exec.Command(tool, "status", marker)
		one.Dir = dir
		in, err := one.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := one.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if running = false; err != nil {
				t.Errorf("rollcall query: %v\n%s", err, stderr.String())
			}
		case <-time.After(250 * time.Millisecond):
		}
		_ = in.Close()
		_ = one.Wait()
	}
	out := stdout.String()
	if strings.Contains(out, `"state":"off"`) || strings.Contains(out, `"state":"failed"`) {
		t.Skipf("NOT TESTED: this kernel or namespace has no process connector: %s", out)
	}
	if !strings.Contains(out, marker) || !strings.Contains(out, "proc_connector") || !strings.Contains(out, `"single"`) {
		t.Errorf("no row of %s: %s", marker, out)
	}
}

// TestShellReadsAPipe runs statements and commands from standard input.
func TestShellReadsAPipe(t *testing.T) {
	cmd := exec.Command(filepath.Join(shipped, "rollcall"), "shell", "--temporary", "--mode", "csv")
	cmd.Stdin = strings.NewReader(".tables\nSELECT score,\n  scope FROM service_discovery_score WHERE cmdline = 'systemctl' AND platform = 'linux';\n.exit\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("rollcall shell: %v", err)
	}
	for _, want := range []string{"service_discovery_events", "score,scope\n25,all\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
}

// TestScoreLines feeds the command JSON lines as a measuring program would.
func TestScoreLines(t *testing.T) {
	in := `{"id":"a","platform":"windows","cmdline":"sc  query","path":"C:\\Windows\\System32\\sc.exe","unknown":{"x":1}}
{"id":"b","platform":"macos","cmdline":"launchctl list"}

not json
{"id":"c","cmdline":""}
{"id":"d","platform":"windows","path":"C:\\Users\\Public\\a.exe","cmdline":"a.exe query","original_filename":"sc.exe","parent":"C:\\Windows\\System32\\inetsrv\\w3wp.exe"}
`
	cmd := exec.Command(filepath.Join(shipped, "rollcall"), "score", "--format", "json", "-")
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("rollcall score: %v", err)
	}
	type verdict struct {
		ID        string
		T1007     bool
		Scope     string
		Technique string
		Score     int
		Severity  string
		RuleIDs   []string `json:"rule_ids"`
		Canonical []string
		Reasons   []struct{ Factor string }
		Error     string
	}
	var got []verdict
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		var v verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		got = append(got, v)
	}
	if len(got) != 5 {
		t.Fatalf("%d lines, want 5: %s", len(got), out)
	}
	if v := got[0]; v.ID != "a" || !v.T1007 || v.Scope != "all" || v.Technique != "T1007" || v.Score != 25 || v.Severity != "low" || len(v.RuleIDs) != 1 || fmt.Sprint(v.Canonical) != "[sc query]" {
		t.Errorf("first verdict %+v", v)
	}
	if v := got[1]; v.ID != "b" || !v.T1007 {
		t.Errorf("second verdict %+v", v)
	}
	if v := got[2]; v.Error == "" || v.T1007 {
		t.Errorf("a line that is no JSON: %+v", v)
	}
	if v := got[3]; v.ID != "c" || v.T1007 || v.Score != 0 {
		t.Errorf("an empty command line: %+v", v)
	}
	if v := got[4]; v.ID != "d" || v.Severity != "critical" || len(v.Reasons) < 3 {
		t.Errorf("a renamed copy under a web server: %+v", v)
	}
}
