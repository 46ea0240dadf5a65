package core_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
)

// seen are the installs of a batch, in short.
func seen(b evidence.Batch) (out []string) {
	for _, in := range b.Installs {
		out = append(out, in.Action+" "+in.Name)
	}
	return out
}

func TestSnapshotChanges(t *testing.T) {
	m := newMachine(t, evidence.Windows, "")
	f := m.follow("services")
	step := func(want []string, sql ...string) {
		t.Helper()
		for _, s := range sql {
			m.exec(s)
		}
		m.hands.pass(61)
		if diff := cmp.Diff(want, seen(f.read(10_000))); diff != "" {
			t.Error(diff)
		}
	}
	add := func(name, start string) string {
		return fmt.Sprintf("INSERT INTO services (name, service_type, start_type, path) VALUES ('%s', 'OWN_PROCESS', '%s', 'C:\\x.exe')", name, start)
	}
	step(nil) // what is there at first is no news
	step(nil)
	step([]string{"created Evil"}, add("Evil", "AUTO_START"))
	step(nil, "UPDATE services SET status = 'STOPPED', pid = 5")
	step([]string{"modified Evil"}, "UPDATE services SET path = 'C:\\y.exe' WHERE name = 'Evil'")
	step([]string{"disabled Evil"}, "UPDATE services SET start_type = 'DISABLED' WHERE name = 'Evil'")
	f.src = m.source("services") // a new process goes on where the old one was
	step([]string{"enabled Evil"}, "UPDATE services SET start_type = 'DEMAND_START' WHERE name = 'Evil'")
	step([]string{"modified Evil"}, "UPDATE services SET start_type = 'AUTO_START' WHERE name = 'Evil'")
	step(nil, "UPDATE services SET name = 'EVIL' WHERE name = 'Evil'", "UPDATE services SET name = 'Evil' WHERE name = 'EVIL'")
	// Once away may be osquery's failure to open it.
	step(nil, "DELETE FROM services WHERE name = 'Evil'")
	step(nil, add("Evil", "AUTO_START"), "UPDATE services SET path = 'C:\\y.exe' WHERE name = 'Evil'")
	step(nil, "DELETE FROM services WHERE name = 'Evil'")
	step([]string{"removed Evil"})
	step(nil)
	step([]string{"created Evil"}, add("Evil", "AUTO_START"))
}

// An unchanged table costs no new cursor, and time passes in it all the same.
func TestSnapshotCursorStays(t *testing.T) {
	m := newMachine(t, evidence.Windows, "")
	f := m.follow("services")
	f.read(10)
	first := f.cursor
	for range 5 {
		m.hands.pass(61)
		f.read(10)
	}
	if f.cursor != first {
		t.Error("the cursor changed with nothing else")
	}
	if len(first) > 4000 {
		t.Errorf("a cursor of %d bytes for five services", len(first))
	}
	// Written an hour ago: that is before the last look.
	m.exec("UPDATE registry SET mtime = ? WHERE name = 'Spooler'", m.hands.wall-200)
	m.exec("UPDATE services SET path = 'x' WHERE name = 'Spooler'")
	m.hands.pass(61)
	if b := f.read(10); len(b.Installs) != 1 || b.Installs[0].TimeBasis != evidence.BasisFirstSeen || b.Installs[0].Time != m.hands.wall {
		t.Errorf("got %+v", b.Installs)
	}
	m.exec("UPDATE registry SET mtime = ? WHERE name = 'Spooler'", m.hands.wall+20)
	m.exec("UPDATE services SET path = 'y' WHERE name = 'Spooler'")
	m.hands.pass(61)
	if b := f.read(10); len(b.Installs) != 1 || b.Installs[0].TimeBasis != evidence.BasisKeyTime || b.Installs[0].Time != m.hands.wall-41 {
		t.Errorf("got %+v", b.Installs)
	}
}

// The registry that cannot be asked leaves the time open, not the install out.
func TestSnapshotWithoutRegistry(t *testing.T) {
	m := newMachine(t, evidence.Windows, "")
	f := m.follow("services")
	f.read(10)
	m.exec("DROP TABLE registry")
	m.exec("UPDATE services SET path = 'x' WHERE name = 'Spooler'")
	m.hands.pass(61)
	if b := f.read(10); len(b.Installs) != 1 || b.Installs[0].TimeBasis != evidence.BasisFirstSeen {
		t.Errorf("got %+v", b.Installs)
	}
}

// A read whose rows were not stored comes again.
func TestSnapshotReadAgain(t *testing.T) {
	m := newMachine(t, evidence.Windows, "")
	f := m.follow("services")
	f.read(10)
	m.exec("DELETE FROM services WHERE name = 'Gone'")
	m.exec("UPDATE services SET path = 'x' WHERE name = 'Spooler'")
	for range 3 {
		m.hands.pass(61)
		b, err := f.src.Read(context.Background(), f.cursor, 10)
		if err != nil || len(b.Installs) != 1 {
			t.Fatalf("got %v, %v", seen(b), err)
		}
	}
}

// osquery answers with nothing when it fails: that is no removal of everything.
func TestSnapshotEmpty(t *testing.T) {
	m := newMachine(t, evidence.Windows, "")
	f := m.follow("services")
	f.read(10)
	m.exec("DELETE FROM services")
	for range 3 {
		m.hands.pass(61)
		_, err := f.src.Read(context.Background(), f.cursor, 10)
		if u := unavailable(t, err); u.State != evidence.StateDegraded || !strings.Contains(u.Detail, "empty") {
			t.Errorf("got %v", u)
		}
	}
	m.load("services", "services")
	m.hands.pass(61)
	if b := f.read(10); len(b.Installs) != 0 {
		t.Errorf("got %v", seen(b))
	}
}

func TestSnapshotBounds(t *testing.T) {
	m := newMachine(t, evidence.Darwin, "")
	m.exec("DELETE FROM launchd")
	f := m.follow("launchd")
	f.read(10)
	long := strings.Repeat("/Users/mallory/Library/LaunchAgents/", 9)
	m.begin()
	for i := range 4300 {
		m.exec("INSERT INTO launchd (path, label, program, program_arguments) VALUES (?, ?, ?, ?)",
			fmt.Sprintf("%s%d.plist", long, i), fmt.Sprintf("%d%d", i*7919, i), fmt.Sprintf("/tmp/%d%s", i*104729, strings.Repeat("x", 900)), fmt.Sprintf("%d %s", i*15485863, strings.Repeat("y", 900)))
	}
	m.exec("INSERT INTO launchd (path, label, program) VALUES ('/Library/LaunchDaemons/z.plist', 'z', '/opt/z')")
	m.exec("COMMIT")
	m.hands.pass(301)
	b := f.read(10)
	if len(b.Installs) != 4096 || b.Dropped != 4301-4096 {
		t.Errorf("%d installs, %d dropped", len(b.Installs), b.Dropped)
	}
	found := false
	for _, in := range b.Installs {
		found = found || in.Name == "z"
	}
	if !found {
		t.Error("a user's folder pushed the system's out")
	}
	if len(f.cursor) > 2<<20 {
		t.Errorf("a cursor of %d bytes", len(f.cursor))
	}
	// The same again is nothing new, though values are remembered by their hashes.
	f.src = m.source("launchd")
	m.hands.pass(301)
	if b := f.read(10); len(b.Installs) != 0 {
		t.Errorf("%d changes of nothing: %v", len(b.Installs), b.Installs[0])
	}
	m.exec("UPDATE launchd SET program = program || 'z' WHERE path LIKE '%/100.plist'")
	m.hands.pass(301)
	if b := f.read(10); len(b.Installs) > 1 {
		t.Errorf("%d changes of one", len(b.Installs))
	}
}

// Connections that come and go between looks are told once each.
func TestOpenSockets(t *testing.T) {
	m := prepare(t, evidence.Linux, "process_open_sockets", "")
	f := m.follow("process_open_sockets")
	if b := f.read(10); len(b.Connections) != 0 {
		t.Errorf("at the first look: %v", b.Connections)
	}
	open := func(pid, port int) {
		m.insert("process_open_sockets", map[string]string{"pid": fmt.Sprint(pid), "fd": "9", "family": "2", "protocol": "6", "local_address": "10.0.0.2",
			"local_port": fmt.Sprint(port), "remote_address": "203.0.113.9", "remote_port": "443", "state": "ESTABLISHED"})
	}
	count := func(want int) {
		t.Helper()
		m.hands.pass(31)
		if b := f.read(10); len(b.Connections) != want {
			t.Errorf("got %v", b.Connections)
		}
	}
	count(0)
	open(70, 50001)
	open(70, 50001) // a second descriptor of the same
	open(71, 50002)
	m.exec("INSERT INTO process_open_sockets (pid, protocol, local_address, local_port, remote_address, remote_port, state) VALUES (72, 6, '10.0.0.2', 5, '10.0.0.2', 6, 'ESTABLISHED')")
	count(2)
	count(0)
	m.exec("DELETE FROM process_open_sockets WHERE pid = 70")
	count(0)
	open(70, 50001)
	count(1)
	f.src = m.source("process_open_sockets")
	count(0)
}

func TestSnapshotBadCursor(t *testing.T) {
	for _, cursor := range []string{"x", "s1:", "s1:AAAA", "s1:!!", `{"v":1}`, "s1:" + strings.Repeat("A", 3<<20)} {
		m := newMachine(t, evidence.Windows, "")
		f := m.follow("services")
		f.cursor = cursor
		if b := f.read(10); len(b.Gaps) != 1 || len(b.Installs) != 0 {
			t.Errorf("%.20q: %v %v", cursor, b.Gaps, seen(b))
		}
		m.exec("UPDATE services SET path = 'x' WHERE name = 'Spooler'")
		m.hands.pass(61)
		if b := f.read(10); len(b.Installs) != 1 || len(b.Gaps) != 0 {
			t.Errorf("%.20q: then %v %v", cursor, b.Gaps, seen(b))
		}
	}
}

func FuzzSnapshotCursor(f *testing.F) {
	m := newMachine(f, evidence.Windows, "")
	src := m.source("services")
	b, err := src.Read(context.Background(), "", 10)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Cursor)
	f.Add("")
	f.Add("s1:" + b.Cursor[9:])
	f.Fuzz(func(t *testing.T, text string) {
		m.t = t
		m.hands.pass(61)
		b, err := src.Read(context.Background(), text, 10)
		if err != nil {
			t.Fatal(err)
		}
		m.hands.pass(61)
		next, err := src.Read(context.Background(), b.Cursor, 10)
		if err != nil || len(next.Gaps) != 0 || next.Cursor == "" {
			t.Fatalf("its own cursor: %v %v", err, next.Gaps)
		}
	})
}

var _ core.Source = (*core.Snapshots)(nil)
var _ core.Source = (*core.Events)(nil)
