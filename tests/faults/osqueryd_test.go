//go:build linux

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/tests/programs"
)

// TestWatchdog runs the extension under the real osqueryd, whose watchdog is at its
// restrictive level (100 MB, 5 % of a core for long) and watches extensions too, while
// the host starts programs. Neither worker nor extension may be killed. It turns no
// auditing on, which belongs to the whole host: osqueryd's own work is the tables that
// Rollcall asks for and its schedule.
func TestWatchdog(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("FAULTS_WATCHDOG"))
	if err != nil || length < time.Minute {
		t.Skip("NOT TESTED: the watchdog at its restrictive level; set FAULTS_WATCHDOG=5m")
	}
	osqueryd := os.Getenv("OSQUERYD")
	if osqueryd == "" {
		if osqueryd, err = exec.LookPath("osqueryd"); err != nil {
			t.Skip("NOT TESTED: against real osquery: no osqueryd on PATH; set OSQUERYD")
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: against real osquery: needs root")
	}
	dir, err := os.MkdirTemp("/var/lib", "rollcall-watchdog-") // osqueryd loads nothing from sticky directories
	if err != nil {
		t.Skipf("NOT TESTED: against real osquery: %v", err)
	}
	defer os.RemoveAll(dir)
	data, err := os.ReadFile(filepath.Join(shipped, "rollcall.ext"))
	if err != nil {
		t.Fatal(err)
	}
	ext := filepath.Join(dir, "rollcall.ext")
	for path, content := range map[string]string{
		ext: string(data), filepath.Join(dir, "extensions.load"): ext + "\n",
		filepath.Join(dir, "osquery.conf"): `{"schedule": {"e": {"query": "SELECT count(*) FROM service_discovery_events WHERE recorded > strftime('%s','now') - 600", "interval": 5}, "i": {"query": "SELECT count(*) FROM service_inventory", "interval": 30}, "t": {"query": "SELECT * FROM service_incident_triage WHERE updated > strftime('%s','now') - 600", "interval": 10}}}`,
	} {
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	said := &programs.Output{}
	cmd := exec.Command(osqueryd, "--ephemeral", "--disable_database", "--config_path="+filepath.Join(dir, "osquery.conf"), "--pidfile="+filepath.Join(dir, "pid"), "--database_path="+filepath.Join(dir, "db"),
		"--logger_path="+dir, "--extensions_socket="+filepath.Join(dir, "em"), "--extensions_autoload="+filepath.Join(dir, "extensions.load"), "--extensions_require=rollcall",
		"--enable_extensions_watchdog=true", "--watchdog_level=1", "--watchdog_delay=10", "--verbose", "--disable_audit=true")
	cmd.Env = append(os.Environ(), "ROLLCALL_STATE="+filepath.Join(dir, "state"), "ROLLCALL_CONFIG="+filepath.Join(dir, "none.yaml"))
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("osqueryd said:\n%s", tail(said.String(), 8000))
		}
	}()
	first := extensionPID(ext, 30*time.Second)
	if first == 0 {
		t.Fatal("the extension does not run")
	}
	started := 0
	began := time.Now()
	cpu := 0.0
	for time.Since(began) < length {
		for range 20 { // about 100 a second
			_ = exec.Command("/bin/true").Run()
			started++
		}
		time.Sleep(150 * time.Millisecond)
		now := extensionPID(ext, 0)
		if now != first {
			t.Fatalf("after %v the extension is process %d, it was %d", time.Since(began).Round(time.Second), now, first)
		}
		cpu = seconds(now)
	}
	for _, bad := range []string{"watchdog: stopping", "Stopping worker", "stopping extension", "Maximum sustainable CPU", "Memory limits exceeded", "respawn"} {
		for line := range strings.Lines(said.String()) {
			if strings.Contains(strings.ToLower(line), strings.ToLower(bad)) {
				t.Errorf("osqueryd said %q", strings.TrimSpace(line))
			}
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", first))
	if err != nil {
		t.Fatal(err)
	}
	resident := ""
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS:") || strings.HasPrefix(line, "VmHWM:") {
			resident += " " + strings.Join(strings.Fields(line), " ")
		}
	}
	fmt.Printf("watchdog: %v, %d programs started, no kill; the extension took %.1f s of CPU (%.2f %% of a core),%s\n",
		time.Since(began).Round(time.Second), started, cpu, 100*cpu/time.Since(began).Seconds(), resident)
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// extensionPID is the process that runs the program at path; 0 when there is none
// within limit.
func extensionPID(path string, limit time.Duration) int {
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		all, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, exe := range all {
			if to, err := os.Readlink(exe); err == nil && to == path {
				pid, _ := strconv.Atoi(strings.Split(exe, "/")[2])
				return pid
			}
		}
		if time.Since(begin) >= limit {
			return 0
		}
	}
}

// seconds is the CPU time of a process.
func seconds(pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}
