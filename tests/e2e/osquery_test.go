//go:build linux

// Package e2e runs the real extension under the real osquery, where that is
// installed.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/tests/e2e/osqueryd"
	"github.com/osquery-rollcall/rollcall/tests/programs"
)

// shipped is where rollcall.ext is built, once, for the tests that need it.
var shipped struct {
	dir  string
	once sync.Once
	err  error
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if shipped.dir, err = os.MkdirTemp("/var/lib", "rollcall-e2e-ext-"); err == nil {
			defer os.RemoveAll(shipped.dir)
			err = os.Chmod(shipped.dir, 0o755)
		}
		shipped.err = err // every test says that it is skipped, or fails by it
		return m.Run()
	}())
}

// extension is the built rollcall.ext. The test is skipped where osquery is not
// installed.
func extension(t *testing.T) string {
	t.Helper()
	osqueryd.Find(t)
	shipped.once.Do(func() {
		if shipped.err == nil {
			shipped.err = programs.Build("../..", shipped.dir, programs.Extension)
		}
	})
	if shipped.err != nil {
		t.Fatal(shipped.err)
	}
	return filepath.Join(shipped.dir, programs.Extension)
}

// packed is a configuration with the committed pack, every query at interval seconds; 0
// leaves the intervals.
func packed(t testing.TB, interval int) map[string]any {
	t.Helper()
	p, err := osqueryd.Pack("../../packs/osquery/t1007.conf", interval)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"packs": map[string]any{"t1007": p}}
}

// start runs osqueryd with audit and the pack of the catalogue, every query at
// interval seconds.
func start(t *testing.T, interval int) *osqueryd.Daemon {
	t.Helper()
	return osqueryd.Start(t, osqueryd.Options{Extension: extension(t), Config: packed(t, interval), Audit: true})
}

// TestTypedCommandReachesTheLog is the product's first promise: what is typed on
// the host is a scored row in osqueryd's results log within 30 seconds.
func TestTypedCommandReachesTheLog(t *testing.T) {
	d := start(t, 10)
	d.Audited(60 * time.Second)
	systemctl := osqueryd.Tool(t, d.Dir, "systemctl")
	ls := osqueryd.Tool(t, d.Dir, "ls")
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
	took := d.Eventually(30*time.Second, "the listing is in the results log", func() bool {
		for _, r := range d.Results() {
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
	for _, r := range d.Results() {
		c, _ := r["columns"].(map[string]any)
		if strings.Contains(fmt.Sprint(c["cmdline"]), marker) && c["path"] != "/bin/sh" && !strings.Contains(fmt.Sprint(c["cmdline"]), "--type=service") {
			t.Errorf("restart or ls made a row: %v", c)
		}
	}
}

// TestQueriesOnTheRealCore is the table of queries that must be right on osquery
// as in the embedded shell.
func TestQueriesOnTheRealCore(t *testing.T) {
	t.Parallel()
	d := osqueryd.Start(t, osqueryd.Options{Extension: extension(t), Config: packed(t, 3600)})
	sleeper := exec.Command("/bin/sleep", "120")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() })
	where := fmt.Sprintf("p.pid IN (1, 2, %d, %d)", os.Getpid(), sleeper.Process.Pid)
	plain := d.Must("SELECT p.pid, s.score FROM processes p JOIN service_discovery_score s ON s.cmdline = p.cmdline WHERE " + where + " ORDER BY p.pid")
	once := d.Must("WITH s AS MATERIALIZED (SELECT * FROM service_discovery_score WHERE cmdline IN (SELECT cmdline FROM processes)) SELECT p.pid, s.score FROM processes p JOIN s USING (cmdline) WHERE " + where + " ORDER BY p.pid")
	cross := d.Must("SELECT p.pid, s.score FROM service_discovery_score s CROSS JOIN processes p WHERE s.cmdline IN (SELECT cmdline FROM processes) AND s.cmdline = p.cmdline AND " + where + " ORDER BY p.pid")
	if len(plain) < 3 || fmt.Sprint(plain) != fmt.Sprint(once) || fmt.Sprint(plain) != fmt.Sprint(cross) {
		t.Errorf("three forms of one join differ:\nplain %v\nonce  %v\ncross %v", plain, once, cross)
	}
	for _, c := range Queries {
		t.Run(c.Name, func(t *testing.T) {
			rows, err := d.Query(c.SQL)
			if err != nil {
				t.Fatalf("%s: %v", c.SQL, err)
			}
			if got := Render(rows, c.Columns); got != c.Want {
				t.Errorf("%s\n got %s\nwant %s", c.SQL, got, c.Want)
			}
		})
	}
}

// committed are the files of a folder of packs.
func committed(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../../packs", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no packs/%s: %v", pattern, err)
	}
	return files
}

// TestAListingIsLoggedOnce: the kernel's audit tells of a command at once and osquery's
// of the same some seconds later, mostly after the pack asked: the row stays as it was
// logged.
func TestAListingIsLoggedOnce(t *testing.T) {
	const listings = 20
	d := start(t, 3)
	d.Audited(60 * time.Second)
	systemctl := osqueryd.Tool(t, d.Dir, "systemctl")
	for i := range listings {
		if err := exec.Command(systemctl, "--type=service", fmt.Sprintf("--lines=%d", 100+i)).Run(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	logged := func() map[string]int {
		times := map[string]int{}
		for _, r := range d.Results() {
			c, _ := r["columns"].(map[string]any)
			if r["name"] == "pack_t1007_service_discovery_events" && c["path"] == systemctl {
				times[fmt.Sprint(c["cmdline"])]++
			}
		}
		return times
	}
	d.Eventually(60*time.Second, "all are in the log", func() bool { return len(logged()) == listings })
	d.Eventually(60*time.Second, "osquery has told of all", func() bool {
		rows := d.Must("SELECT source FROM service_discovery_events WHERE time > 0 AND path = '" + systemctl + "'")
		named := 0
		for _, r := range rows {
			if strings.Contains(r["source"], "process_events") {
				named++
			}
		}
		return named == listings
	})
	time.Sleep(8 * time.Second) // two more rounds of the schedule
	for cmdline, n := range logged() {
		if n != 1 {
			t.Errorf("%s is logged %d times", cmdline, n)
		}
	}
}
