//go:build linux

package fleet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/tests/e2e/osqueryd"
)

// planted marks what the attack leaves on the host it runs on.
const planted = "rollcall-fleet-test"

// sweep takes away what a run that was killed has left.
func sweep(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob("/etc/systemd/system/" + planted + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range left {
		t.Logf("left by an earlier run: %s", p)
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
}

// attack does what an intruder does, harmlessly: asks for the services as a user of no
// name, and adds a unit that runs something of /tmp. It returns when that was done.
func attack(t *testing.T, dir string) time.Time {
	t.Helper()
	systemctl := osqueryd.Tool(t, dir, "systemctl")
	for _, argv := range [][]string{
		{"/bin/sh", "-c", systemctl + " list-units --type=service --all; " + systemctl + " list-unit-files; :"},
		{systemctl, "list-timers"},
	} {
		if err := exec.Command(argv[0], argv[1:]...).Run(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(1100 * time.Millisecond) // after, to the second
	unit := filepath.Join("/etc/systemd/system", fmt.Sprintf("%s-%d.service", planted, os.Getpid()))
	t.Cleanup(func() {
		if err := os.Remove(unit); err != nil && !os.IsNotExist(err) {
			t.Errorf("left behind: %v", err)
		}
	})
	// Nothing starts it: it is not enabled, and the program is not there.
	text := "[Unit]\nDescription=" + planted + "\n[Service]\nExecStart=/tmp/.x/" + planted + "\n[Install]\nWantedBy=multi-user.target\n"
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return time.Now()
}

// TestFleetOfOsqueryd is the same story with the real osqueryd: 5 daemons, of which one
// is this host and audits it, and the others are hosts of their own.
func TestFleetOfOsqueryd(t *testing.T) {
	osqueryd.Find(t)
	sweep(t)
	const interval = 12
	c := startCentral(t)
	f := &fleet{t: t, central: c, pack: pack(t, interval), patient: 30 * time.Second, by: map[string]way{}}
	keys := osqueryd.Home(t)
	for name, data := range map[string][]byte{"ca.pem": c.ca, "secret": []byte(c.secret)} {
		if err := os.WriteFile(filepath.Join(keys, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := map[string]string{hostName(1): none, hostName(2): none, hostName(3): none, hostName(4): "", hostName(5): louder}
	daemons := map[string]*osqueryd.Daemon{}
	for i := 1; i <= hosts; i++ {
		name := hostName(i)
		f.by[name] = byOption
		if i > 3 {
			f.by[name] = byView
		}
		c.push(name, conf(f.pack, f.by[name], first[name]))
		o := osqueryd.Options{Extension: filepath.Join(shipped, "rollcall.ext"), Flags: []string{
			"--host_identifier=specified", "--specified_identifier=" + name, "--tls_hostname=" + c.address, "--tls_server_certs=" + filepath.Join(keys, "ca.pem"),
			"--enroll_secret_path=" + filepath.Join(keys, "secret"), "--enroll_tls_endpoint=/enroll",
			"--config_plugin=tls", "--config_tls_endpoint=/config", "--config_refresh=3",
			"--logger_plugin=tls", "--logger_tls_endpoint=/log", "--logger_tls_period=1", "--tls_disable_status_log=true",
			"--disable_distributed=false", "--distributed_plugin=tls", "--distributed_interval=1", "--distributed_tls_read_endpoint=/read", "--distributed_tls_write_endpoint=/write",
		}}
		if i == 1 {
			o.Audit = true
		} else {
			o.Island = name
		}
		daemons[name] = osqueryd.Prepare(t, o)
	}
	for i := 1; i <= hosts; i++ {
		daemons[hostName(i)].Run()
	}
	f.enrolled(3 * time.Minute)
	attacked := hostName(1)
	daemons[attacked].Audited(2 * time.Minute)
	before, err := f.score(hostName(2))
	if err != nil {
		t.Fatal(err)
	}

	done := attack(t, daemons[attacked].Dir)
	f.escalated(attacked, planted, done, 2*interval*time.Second)
	inForce := func(w way) string { return "from the " + string(w) }
	const badAgain = "in force: "
	// What it was sent first is in force before it is replaced.
	f.await(before, step{hostName(5), louder, expectation{higher, "the first one is in force", "ok", inForce(byView)}})
	f.together(before,
		step{hostName(1), louder, expectation{higher, "a change is live", "ok", inForce(byOption)}},
		step{hostName(2), louder, expectation{higher, "a change is live", "ok", inForce(byOption)}},
		step{hostName(3), disabled, expectation{same, "it is switched off", "off", inForce(byOption)}},
		step{hostName(4), louder, expectation{higher, "a change is live", "ok", inForce(byView)}},
		step{hostName(5), badKey, expectation{higher, "a bad one is refused and the last good one stays", "degraded", "output_to_file"}},
	)
	f.together(before,
		step{hostName(1), none, expectation{same, "{} restores the defaults", "ok", inForce(byOption)}},
		step{hostName(2), badText, expectation{higher, "a bad one is refused and the last good one stays", "degraded", badAgain}},
		step{hostName(3), none, expectation{same, "{} switches it on again", "ok", inForce(byOption)}},
		step{hostName(4), badKey, expectation{higher, "a bad one is refused and the last good one stays", "degraded", badAgain}},
		step{hostName(5), none, expectation{same, "{} restores the defaults", "ok", inForce(byView)}},
	)
	f.together(before,
		step{hostName(2), none, expectation{same, "{} restores the defaults", "ok", inForce(byOption)}},
		step{hostName(4), none, expectation{same, "{} restores the defaults", "ok", inForce(byView)}},
	)
	for _, name := range []string{hostName(2), hostName(4), hostName(5)} {
		reported := false
		for _, r := range c.logged(name, "service_discovery_config") {
			reported = reported || r.Columns["component"] == "central_config" && r.Columns["state"] == "degraded" && strings.Contains(r.Columns["detail"], "refused")
		}
		if !reported {
			t.Errorf("%s: the central log says nothing of what was refused: %v", name, c.logged(name, "service_discovery_config"))
		}
	}
	// The evidence behind it came in its own queries' time.
	commands := false
	for _, e := range c.logged(attacked, "service_discovery_events") {
		source := e.Columns["source"] // the first that told of it
		commands = commands || strings.Contains(e.Columns["cmdline"], "list-unit-files") && (source == "kaudit" || source == "process_events")
	}
	installs := false
	for _, e := range c.logged(attacked, "service_install_events") {
		installs = installs || strings.Contains(e.Columns["name"], planted)
	}
	if !commands || !installs {
		t.Errorf("in the central log: the commands %v, the unit %v", commands, installs)
	}

	f.quiet(attacked, planted)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 1; i <= hosts; i++ {
		if h := c.host(hostName(i)); h.enrols != 1 {
			t.Errorf("%s enrolled %d times", h.name, h.enrols)
		}
	}
}
