//go:build linux

// Package fleet runs Rollcall as a fleet does: enrolled hosts that get pack and
// configuration over TLS, and a central log. The same story is told with the real
// osqueryd, where it is installed, and everywhere with a stand-in.
package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/tests/e2e/osqueryd"
	"github.com/osquery-rollcall/rollcall/tests/fakecore"
	"github.com/osquery-rollcall/rollcall/tests/programs"
)

// shipped is the directory of rollcall.ext, built once.
var shipped string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		// For root where osquery loads extensions from.
		dir, err := os.MkdirTemp("/var/lib", "rollcall-fleet-")
		if err != nil {
			dir, err = os.MkdirTemp("", "rollcall-fleet-")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err := programs.Build("../..", dir, programs.Extension); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		shipped = dir
		return m.Run()
	}())
}

const (
	hosts = 5
	// live is how long a configuration that was pushed may take to be in force. It is
	// a minute by the contract; a machine that builds meanwhile takes longer.
	live = 4 * time.Minute
	// verdict asks for a score that the configuration decides on.
	verdict = "SELECT score FROM service_discovery_score WHERE cmdline = 'systemctl list-units --type=service > /tmp/s.txt' AND platform = 'linux'"
	health  = "SELECT component, state, detail FROM service_discovery_health WHERE component IN ('central_config', 'collector')"
)

func hostName(i int) string { return fmt.Sprintf("host-%d", i) }

// pack is the committed pack, every query each so many seconds.
func pack(t *testing.T, interval int) map[string]any {
	t.Helper()
	p, err := osqueryd.Pack("../../packs/osquery/t1007.conf", interval)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// way is how a configuration of Rollcall's travels.
type way string

const (
	byOption way = "option"
	byView   way = "view"
)

// conf is what central sends a host: the pack, and Rollcall's own configuration by one
// of the two ways; empty for none.
func conf(p map[string]any, by way, rollcall string) map[string]any {
	c := map[string]any{"packs": map[string]any{"t1007": p}, "options": map[string]any{}}
	if rollcall == "" {
		return c
	}
	switch by {
	case byOption:
		c["options"] = map[string]any{"custom_rollcall": rollcall}
	case byView:
		c["views"] = map[string]string{"rollcall_config": "SELECT '" + strings.ReplaceAll(rollcall, "'", "''") + "' AS json"}
	}
	return c
}

// Configurations that central sends, and what they lead to.
const (
	none     = "{}"
	louder   = `{"weights": {"output_to_file": 2.5}}`
	loudest  = `{"weights": {"output_to_file": 6}}`
	badKey   = `{"weights": {"output_to_fil": 3}}`
	badText  = `{"weights": {"output_to_file": 3}`
	disabled = `{"enabled": false}`
)

// expectation is what a host must say after a push.
type expectation struct {
	score   func(before, now int) bool
	what    string
	central string // the state of central_config
	detail  string // and a part of what it says
}

var (
	same   = func(before, now int) bool { return now == before }
	higher = func(before, now int) bool { return now > before }
)

// fleet is the hosts of one test, real or not.
type fleet struct {
	t       *testing.T
	central *central
	pack    map[string]any
	by      map[string]way
	patient time.Duration // for an answer to a distributed query
}

// score is a host's verdict.
func (f *fleet) score(name string) (int, error) {
	rows, err := f.central.ask(name, verdict, f.patient)
	if err != nil {
		return 0, err
	}
	if len(rows) != 1 {
		return 0, fmt.Errorf("%s: %d rows of a verdict", name, len(rows))
	}
	var n int
	_, err = fmt.Sscan(rows[0]["score"], &n)
	return n, err
}

// central_config and collector by component.
func (f *fleet) health(name string) (map[string]map[string]string, error) {
	rows, err := f.central.ask(name, health, f.patient)
	out := map[string]map[string]string{}
	for _, r := range rows {
		out[r["component"]] = r
	}
	return out, err
}

// expect waits until a host is as it must be, and says how long that took.
func (f *fleet) expect(name string, before int, e expectation) (time.Duration, error) {
	begin := time.Now()
	var last string
	for time.Since(begin) < live {
		now, err := f.score(name)
		if err != nil {
			return 0, err
		}
		h, err := f.health(name)
		if err != nil {
			return 0, err
		}
		c := h["central_config"]
		last = fmt.Sprintf("score %d (default %d), central_config %s: %s", now, before, c["state"], c["detail"])
		if e.score(before, now) && c["state"] == e.central && strings.Contains(c["detail"], e.detail) {
			return time.Since(begin), nil
		}
		time.Sleep(300 * time.Millisecond)
	}
	return 0, fmt.Errorf("%s: not within %v: %s; it says %s", name, live, e.what, last)
}

// step is one push to one host, and what must come of it.
type step struct {
	host string
	send string
	expectation
}

// together pushes to several hosts at once and waits for all of them.
func (f *fleet) together(before int, steps ...step) {
	f.t.Helper()
	for _, s := range steps {
		f.central.push(s.host, conf(f.pack, f.by[s.host], s.send))
	}
	f.await(before, steps...)
}

// await waits until several hosts are as they must be.
func (f *fleet) await(before int, steps ...step) {
	f.t.Helper()
	var wg sync.WaitGroup
	for _, s := range steps {
		wg.Go(func() {
			took, err := f.expect(s.host, before, s.expectation)
			if err != nil {
				f.t.Errorf("after %s by %s: %v", s.send, f.by[s.host], err)
				return
			}
			f.t.Logf("%s, %s by %s: %s after %v", s.host, s.send, f.by[s.host], s.what, took.Round(100*time.Millisecond))
		})
	}
	wg.Wait()
}

// enrolled waits for all hosts to have enrolled and to have run the pack.
func (f *fleet) enrolled(limit time.Duration) {
	f.t.Helper()
	begin := time.Now()
	if !f.central.wait(limit, func() bool {
		for i := 1; i <= hosts; i++ {
			if len(f.central.host(hostName(i)).of("service_discovery_config")) == 0 {
				return false
			}
		}
		return true
	}) {
		for i := 1; i <= hosts; i++ {
			f.t.Errorf("%s: %d rows of the pack", hostName(i), len(f.central.logged(hostName(i), "service_discovery_config")))
		}
		f.t.Fatalf("not all hosts run the pack after %v", limit)
	}
	f.t.Logf("%d hosts run the pack after %v", hosts, time.Since(begin).Round(100*time.Millisecond))
}

// escalated waits for the escalation of the attacked host, the one with a mark in its
// summary, in the central log, and says how long it took beside the contract's two
// intervals. Those hold on a machine that has nothing else to do; so what fails is not
// to come at all.
func (f *fleet) escalated(attacked, mark string, since time.Time, within time.Duration) row {
	f.t.Helper()
	var found []row
	if !f.central.wait(2*time.Minute, func() bool {
		found = slices.DeleteFunc(slices.Clone(f.central.host(attacked).of("service_incident_escalations")), func(r row) bool {
			return !strings.Contains(r.Columns["summary"], mark)
		})
		return len(found) > 0
	}) {
		f.t.Fatalf("no escalation of %s in the central log", attacked)
	}
	r := found[0]
	took := r.received.Sub(since).Round(100 * time.Millisecond)
	f.t.Logf("the escalation is in the central log %v after the last of the attack (two intervals: %v): %s", took, within, r.Columns["summary"])
	if r.HostIdentifier != attacked || r.Action != "added" || r.Columns["decision"] != "escalate" || r.Columns["decision_reasons"] == "" || r.Columns["summary"] == "" {
		f.t.Errorf("the escalation is %+v", r)
	}
	return r
}

// quiet sees that no other host escalated the attack, which its mark in summaries
// tells from what else this machine does.
func (f *fleet) quiet(attacked, mark string) {
	f.t.Helper()
	for i := 1; i <= hosts; i++ {
		name := hostName(i)
		if name == attacked {
			continue
		}
		for _, r := range f.central.logged(name, "service_incident_escalations") {
			if strings.Contains(r.Columns["summary"], mark) {
				f.t.Errorf("%s was not attacked and escalates: %v", name, r.Columns)
			}
		}
	}
}

// extension is rollcall.ext under a fake core.
type extension struct {
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	ended  chan struct{}
}

func startExtension(t *testing.T, core *fakecore.Core, state, config string) *extension {
	t.Helper()
	e := &extension{stderr: &bytes.Buffer{}, ended: make(chan struct{})}
	e.cmd = exec.Command(filepath.Join(shipped, "rollcall.ext"), "--socket", core.Socket(), "--timeout", "10", "--interval", "1", "--state", state, "--config", config)
	e.cmd.Stderr = e.stderr
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(e.ended); _ = e.cmd.Wait() }()
	t.Cleanup(func() {
		e.kill()
		if t.Failed() {
			t.Logf("rollcall.ext said:\n%s", e.stderr.String())
		}
	})
	return e
}

func (e *extension) kill() {
	_ = e.cmd.Process.Kill()
	<-e.ended
}

// localConfig is a configuration file that makes Rollcall collect every second.
func localConfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rollcall.yaml")
	if err := os.WriteFile(path, []byte("collect_interval: 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// auditing is a fake core with process events.
func auditing(t *testing.T) *fakecore.Core {
	t.Helper()
	core := fakecore.Start(t)
	for k, v := range map[string]string{"disable_events": "false", "disable_audit": "false", "audit_allow_process_events": "true", "audit_allow_config": "true"} {
		core.SetFlag(t, k, v)
	}
	core.Exec(t, `INSERT INTO users (uid, username) VALUES (33, 'www-data')`)
	return core
}

// TestFleetOnTheStandIn runs on every machine: 5 hosts, an attack on one, and central
// configurations of every kind on the others.
func TestFleetOnTheStandIn(t *testing.T) {
	t.Parallel()
	const interval = 2
	c := startCentral(t)
	f := &fleet{t: t, central: c, pack: pack(t, interval), patient: time.Minute, by: map[string]way{}}
	cores := map[string]*fakecore.Core{}
	config := localConfig(t)
	// What each host is sent from the beginning; it is looked at at once.
	first := map[string]string{hostName(1): none, hostName(2): louder, hostName(3): badKey, hostName(4): "", hostName(5): louder}
	for i := 1; i <= hosts; i++ {
		name := hostName(i)
		f.by[name] = byOption
		if i > 3 {
			f.by[name] = byView
		}
		c.push(name, conf(f.pack, f.by[name], first[name]))
		cores[name] = auditing(t)
		startAgent(t, c, name, cores[name])
		startExtension(t, cores[name], t.TempDir(), config)
	}
	f.enrolled(2 * time.Minute)
	before, err := f.score(hostName(1))
	if err != nil {
		t.Fatal(err)
	}

	attacked := hostName(1)
	now := time.Now()
	t0 := now.Unix()
	cores[attacked].AddExecs(t,
		fakecore.ExecEvent{Time: t0, EID: 1, PID: 900, Parent: 1, Path: "/usr/sbin/nginx", CmdLine: "nginx: worker process", UID: 33, EUID: 33, AUID: 4294967295},
		fakecore.ExecEvent{Time: t0, EID: 2, PID: 901, Parent: 900, Path: "/bin/sh", CmdLine: "sh -c id; systemctl list-units --type=service", UID: 33, EUID: 33, AUID: 4294967295},
		fakecore.ExecEvent{Time: t0, EID: 3, PID: 902, Parent: 901, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units --type=service", UID: 33, EUID: 33, AUID: 4294967295},
	)
	f.escalated(attacked, "www-data", now, 2*interval*time.Second)

	inForce := func(w way) string { return "from the " + string(w) }
	// What they were sent first is in force before it is replaced.
	f.await(before,
		step{hostName(2), louder, expectation{higher, "the first one is in force", "ok", inForce(byOption)}},
		step{hostName(5), louder, expectation{higher, "the first one is in force", "ok", inForce(byView)}},
	)
	f.together(before,
		step{hostName(2), badText, expectation{higher, "a bad one is refused and the last good one stays", "degraded", "refused: "}},
		step{hostName(3), none, expectation{same, "{} ends the complaint about a bad one", "ok", inForce(byOption)}},
		step{hostName(4), louder, expectation{higher, "a change is live", "ok", inForce(byView)}},
		step{hostName(5), none, expectation{same, "{} restores the defaults", "ok", inForce(byView)}},
	)
	// What was refused is in the central log, too, with the nearest valid key.
	for _, x := range []struct{ host, detail string }{{hostName(3), `output_to_file`}, {hostName(2), "not valid JSON"}} {
		if !c.wait(time.Minute, func() bool {
			for _, r := range c.host(x.host).of("service_discovery_config") {
				if r.Columns["component"] == "central_config" && r.Columns["state"] == "degraded" && strings.Contains(r.Columns["detail"], x.detail) {
					return true
				}
			}
			return false
		}) {
			t.Errorf("%s: the central log says nothing of %q: %v", x.host, x.detail, c.logged(x.host, "service_discovery_config"))
		}
	}
	f.quiet(attacked, "www-data")
}

// TestCentralRefuses: what stands in for osqueryd must not pass because central takes
// everything.
func TestCentralRefuses(t *testing.T) {
	c := startCentral(t)
	for _, x := range []struct {
		path string
		in   map[string]any
	}{
		{"/enroll", map[string]any{"enroll_secret": "wrong", "host_identifier": "x"}},
		{"/config", map[string]any{"node_key": "unknown"}},
		{"/log", map[string]any{"node_key": "", "log_type": "result", "data": []any{}}},
	} {
		var out struct {
			Key     string `json:"node_key"`
			Invalid bool   `json:"node_invalid"`
		}
		if err := call(t.Context(), c.client(), "https://"+c.address+x.path, x.in, &out); err != nil || !out.Invalid || out.Key != "" {
			t.Errorf("%s: %+v, %v", x.path, out, err)
		}
	}
	if err := call(t.Context(), (&central{}).client(), "https://"+c.address+"/enroll", map[string]any{}, &json.RawMessage{}); err == nil {
		t.Error("a client without the CA was content")
	}
}
