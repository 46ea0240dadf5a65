//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osquery-rollcall/rollcall/tests/e2e/osqueryd"
)

// mark is in the name of everything that the live test leaves on the host for a while.
const mark = "rollcall-e2e"

// intruder is a user who was never seen on this host.
type intruder struct {
	t    *testing.T
	name string
	uid  int
	dir  string // of the tools

	scripts int
}

// newIntruder makes a user, who goes with the test.
func newIntruder(t *testing.T) *intruder {
	t.Helper()
	if _, err := exec.LookPath("useradd"); err != nil {
		t.Skip("NOT TESTED: no useradd on this host")
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(passwd)) {
		if name, _, _ := strings.Cut(line, ":"); strings.HasPrefix(name, "rce2e") {
			t.Logf("left by an earlier run: user %s", name)
			_ = exec.Command("userdel", name).Run()
		}
	}
	in := &intruder{t: t, name: fmt.Sprintf("rce2e%d", os.Getpid())}
	if out, err := exec.Command("useradd", "--no-create-home", "--no-user-group", "--shell", "/bin/sh", in.name).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: useradd: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("userdel", in.name).CombinedOutput(); err != nil {
			t.Errorf("left behind: user %s: %v: %s", in.name, err, out)
		}
	})
	out, err := exec.Command("id", "-u", in.name).Output()
	if err != nil {
		t.Fatal(err)
	}
	if in.uid, err = strconv.Atoi(strings.TrimSpace(string(out))); err != nil {
		t.Fatal(err)
	}
	return in
}

// script is a session of the user's: the login user of all that it runs, as pam_loginuid
// sets it, and the user's own rights or, as after sudo, root's.
func (in *intruder) script(root bool, text string) *exec.Cmd {
	in.t.Helper()
	// In a file, so that what starts the session does not name what it runs.
	in.scripts++
	file := filepath.Join(in.dir, fmt.Sprintf("session%d", in.scripts))
	if err := os.WriteFile(file, []byte(text+"\n"), 0o644); err != nil {
		in.t.Fatal(err)
	}
	drop := ""
	if !root {
		drop = fmt.Sprintf("setpriv --reuid=%d --regid=100 --clear-groups ", in.uid)
	}
	cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("echo %d > /proc/self/loginuid && exec %s/bin/sh %s", in.uid, drop, file))
	cmd.Env = []string{"PATH=" + in.dir + ":/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

func (in *intruder) run(root bool, text string) {
	in.t.Helper()
	if out, err := in.script(root, text).CombinedOutput(); err != nil {
		in.t.Fatalf("%s: %v: %s", text, err, out)
	}
}

// outside makes a machine that this host never spoke to: a network namespace at the
// other end of a cable, with somebody who listens there. It is gone with the test.
func outside(t *testing.T) (addr string, ok bool) {
	t.Helper()
	const space, near, far = "rce2e", "rce2e0", "rce2e1"
	_ = exec.Command("ip", "link", "del", near).Run()
	_ = exec.Command("ip", "netns", "del", space).Run()
	t.Cleanup(func() { // the cable goes with its end
		_ = exec.Command("ip", "link", "del", near).Run()
		_ = exec.Command("ip", "netns", "del", space).Run()
	})
	for _, args := range []string{
		"netns add " + space, "link add " + near + " type veth peer name " + far, "link set " + far + " netns " + space,
		"addr add 203.0.113.78/30 dev " + near, "link set " + near + " up",
		"-n " + space + " addr add 203.0.113.77/30 dev " + far, "-n " + space + " link set " + far + " up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Logf("NOT TESTED: connections: ip %s: %v: %s", args, err, out)
			return "", false
		}
	}
	l, err := listenIn("/run/netns/"+space, "203.0.113.77:0")
	if err != nil {
		t.Logf("NOT TESTED: connections: %v", err)
		return "", false
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var conns []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, c)
		}
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String(), true
}

// listenIn listens in a network namespace: a socket stays where it was made.
func listenIn(space, addr string) (l net.Listener, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and the thread ends with the goroutine
		f, e := os.Open(space)
		if e != nil {
			err = e
			return
		}
		defer f.Close()
		if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			return
		}
		l, err = net.Listen("tcp", addr)
	}()
	<-done
	return l, err
}

// night is a configuration by which now is outside business hours.
func night() string {
	now := time.Now().UTC()
	return fmt.Sprintf("attribution:\n  business_hours: {time_zone: UTC, days: [mon-sun], from: %q, to: %q}\n",
		now.Add(6*time.Hour).Format("15:00"), now.Add(8*time.Hour).Format("15:00"))
}

// TestLiveIncident is a night at a host: a user who was never seen lists services, adds
// a unit as root and connects out. Within a minute that is one incident to be escalated,
// with its timeline and with every question answered.
func TestLiveIncident(t *testing.T) {
	ext := extension(t)
	in := newIntruder(t)
	d := osqueryd.Start(t, osqueryd.Options{Extension: ext, Config: packed(t, 10), Audit: true, Rollcall: night()})
	in.dir = d.Dir
	d.Audited(60 * time.Second)
	d.Eventually(30*time.Second, "the host's services are known", func() bool {
		rows, err := d.Query("SELECT 1 FROM service_discovery_health WHERE component = 'services' AND state = 'ok'")
		return err == nil && len(rows) == 1
	})
	osqueryd.Tool(t, d.Dir, "systemctl")
	if err := os.Chmod(d.Dir, 0o755); err != nil { // the intruder's tools are here
		t.Fatal(err)
	}
	addr, out := outside(t)

	left, _ := filepath.Glob("/etc/systemd/system/" + mark + "*")
	for _, p := range left {
		t.Logf("left by an earlier run: %s", p)
		_ = os.Remove(p)
	}
	unit := fmt.Sprintf("%s-%d.service", mark, os.Getpid())
	path := filepath.Join("/etc/systemd/system", unit)
	t.Cleanup(func() {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			t.Errorf("left behind: %v", err)
		}
	})

	in.run(false, "id >/dev/null; systemctl list-units --type=service --all; systemctl list-unit-files; :")
	in.run(true, "systemctl list-timers --all; :")
	// osquery gives an event of audit the time at which it got to it, which is when it has
	// 4,096 records or two seconds of quiet: until then the order would not be the true one.
	waited := d.Eventually(time.Minute, "osquery has the commands", func() bool {
		rows, err := d.Query("SELECT 1 FROM service_discovery_events WHERE cmdline = 'systemctl list-timers --all'")
		return err == nil && len(rows) > 0
	})
	t.Logf("osquery took %v to tell of the commands", waited.Round(100*time.Millisecond))
	// Nothing starts it: it is not enabled, and the program is not there.
	in.run(true, "printf '[Unit]\\nDescription=%s\\n[Service]\\nExecStart=/tmp/.x/%s\\n' "+mark+" "+mark+" | tee "+path+" >/dev/null")
	begin := time.Now()
	if out {
		host, port, _ := net.SplitHostPort(addr)
		cmd := in.script(false, fmt.Sprintf("exec /bin/bash -c 'exec 3<>/dev/tcp/%s/%s; sleep 50'", host, port))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
	}

	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, sql := range []string{
			"SELECT component, state, detail, events_read, events_matched FROM service_discovery_health WHERE component NOT LIKE 'table:%'",
			"SELECT time, recorded, username, login_user, cmdline, score FROM service_discovery_events",
			"SELECT time, recorded, name, action, installer_username, login_user, score, attribution, incident_id FROM service_install_events",
			"SELECT incident_id, opened, updated, status, username, burst_ids, install_ids, decision, decision_reasons, summary FROM service_incidents",
		} {
			rows, err := d.Query(sql)
			t.Logf("%s: %v", sql, err)
			for _, r := range rows {
				t.Log(r)
			}
		}
	})
	var incident map[string]string
	took := d.Eventually(time.Minute, "one incident of the commands and the unit is escalated", func() bool {
		rows, err := d.Query("SELECT * FROM service_incidents WHERE burst_ids <> '[]' AND install_ids <> '[]'")
		if err != nil || len(rows) == 0 {
			return false
		}
		incident = rows[0]
		return incident["decision"] == "escalate"
	})
	t.Logf("escalated after %v: %s: %s", took.Round(100*time.Millisecond), incident["summary"], incident["decision_reasons"])
	if all := d.Must("SELECT incident_id, decision, summary FROM service_incidents WHERE decision <> 'record'"); len(all) != 1 {
		t.Errorf("%d incidents, not one: %v", len(all), all)
	}
	if !strings.Contains(incident["summary"], unit) || !strings.Contains(incident["summary"], in.name) {
		t.Errorf("the summary does not name the unit and the user: %s", incident["summary"])
	}

	// Who was it, and who logged in: of the user's own commands, and of those as root.
	events := d.Must("SELECT cmdline, username, login_user, elevated, reasons, source FROM service_discovery_events WHERE login_user = '" + in.name + "'")
	for _, want := range []struct{ cmdline, username, elevated string }{
		{"list-unit-files", in.name, "0"}, {"list-timers", "root", "1"},
	} {
		i := slices.IndexFunc(events, func(r map[string]string) bool {
			return strings.Contains(r["cmdline"], want.cmdline) && !strings.HasPrefix(r["cmdline"], "/bin/sh")
		})
		if i < 0 {
			t.Errorf("no event of %s by login user %s: %v", want.cmdline, in.name, events)
			continue
		}
		if e := events[i]; e["username"] != want.username || e["elevated"] != want.elevated {
			t.Errorf("%s was run by %s (elevated %s), want %s (%s)", want.cmdline, e["username"], e["elevated"], want.username, want.elevated)
		} else if !strings.Contains(e["reasons"], `"off_hours"`) {
			t.Errorf("%s: no reason says that it is night: %s", want.cmdline, e["reasons"])
		}
	}

	id := incident["incident_id"]
	kinds := map[string]int{}
	d.Eventually(time.Until(begin.Add(time.Minute)), "the timeline has the commands, the unit and, where it can, the connection", func() bool {
		rows, err := d.Query("SELECT kind, phase, subject, time FROM service_incident_timeline WHERE incident_id = '" + id + "' ORDER BY time")
		if err != nil {
			return false
		}
		clear(kinds)
		for _, r := range rows {
			kinds[r["kind"]]++
		}
		connections := d.Must("SELECT state FROM service_discovery_health WHERE component IN ('socket_events', 'process_open_sockets') AND state = 'ok'")
		if out && len(connections) == 0 {
			t.Log("NOT TESTED: the connection; no source of this build tells of connections")
			out = false
		}
		return kinds["command"] >= 3 && kinds["install"] >= 1 && (!out || kinds["connection"] >= 1)
	})
	t.Logf("timeline: %v", kinds)

	answers := d.Must("SELECT tier, step, question, answer, verdict, command FROM service_incident_triage WHERE incident_id = '" + id + "' ORDER BY step")
	tiers, verdicts := map[string]int{}, map[string]int{}
	for i, a := range answers {
		tiers[a["tier"]]++
		verdicts[a["verdict"]]++
		if a["question"] == "" || a["answer"] == "" || a["step"] != strconv.Itoa(i+1) {
			t.Errorf("triage: %v", a)
		}
		switch a["verdict"] {
		case "supports", "refutes", "unknown", "action":
		default:
			t.Errorf("triage: verdict %q", a["verdict"])
		}
	}
	t.Logf("triage: %v, %v", tiers, verdicts)
	// The questions of DESIGN.md, section 6, by words of each.
	text := strings.ToLower(fmt.Sprint(answers))
	for _, word := range []string{"hours", "installed", "network", "maintenance", "logon", "account", "session", "in order", "indicator", "memory", "patch", "services", "isolate", "disable", "quarantine", "watch"} {
		if !strings.Contains(text, word) {
			t.Errorf("no answer speaks of %q", word)
		}
	}
	for _, tier := range []string{"L1", "T2", "containment"} {
		if tiers[tier] == 0 {
			t.Errorf("no step for %s", tier)
		}
	}
	if verdicts["supports"] == 0 {
		t.Error("nothing of the evidence supports an intrusion")
	}
}
