//go:build linux

package fleet

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

// collectThen collects once as of a time gone by, and leaves the state as a Rollcall
// does that was stopped then.
func collectThen(t *testing.T, fake *fakecore.Core, state string, then time.Time) {
	t.Helper()
	ctx := context.Background()
	s, err := store.Open(ctx, state)
	if err != nil {
		t.Fatal(err)
	}
	_, judge, _, err := app.NewJudge(localConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	client := core.NewClient(fake.Socket(), core.ClientOptions{})
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	source := core.NewProcessEvents(client, func() (int64, time.Duration) { return then.Unix(), time.Second })
	e, err := engine.New(ctx, engine.Options{Judge: judge, Store: s, Sources: []engine.Source{source}, HostID: app.MachineID(name), Host: name, Now: func() time.Time { return then }})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLateEvidence: osquery kept an hour of events that nobody read, since the core was
// away and the laptop asleep. They are in the central log once, whatever is started
// again afterwards, and though central itself is away for a while.
func TestLateEvidence(t *testing.T) {
	t.Parallel()
	const interval, late = 1, 40
	fake := auditing(t)
	fake.SetFlag(t, "events_expiry", "86400")
	fake.Exec(t, `DELETE FROM osquery_flags WHERE rowid NOT IN (SELECT max(rowid) FROM osquery_flags GROUP BY name)`)
	state, config := t.TempDir(), localConfig(t)
	if err := os.Chmod(state, 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	asleep := now.Add(-70 * time.Minute)
	listing := func(eid int64, at time.Time, unit string) fakecore.ExecEvent {
		return fakecore.ExecEvent{Time: at.Unix(), EID: eid, PID: 1000 + eid, Parent: 1, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units --type=service --lines=" + unit, UID: 1000, EUID: 1000, AUID: 1000}
	}
	fake.AddExecs(t, listing(1, asleep.Add(-time.Minute), "known"))
	collectThen(t, fake, state, asleep)
	want := map[string]bool{"known": true}
	for i := range late {
		unit := fmt.Sprintf("late%d", i)
		want[unit] = true
		fake.AddExecs(t, listing(int64(2+i), asleep.Add(time.Duration(10+i)*time.Second), unit))
	}

	c := startCentral(t)
	c.push(hostName(1), conf(pack(t, interval), byOption, none))
	agent := startAgent(t, c, hostName(1), fake)
	ext := startExtension(t, fake, state, config)
	seen := func() map[string][]row {
		out := map[string][]row{}
		for _, r := range c.host(hostName(1)).of("service_discovery_events") {
			unit := r.Columns["cmdline"][strings.LastIndexByte(r.Columns["cmdline"], '=')+1:]
			if want[unit] || strings.HasPrefix(unit, "new") {
				out[unit] = append(out[unit], r)
			}
		}
		return out
	}
	arrived := func(what string, limit time.Duration, n int) {
		t.Helper()
		begin := time.Now()
		if !c.wait(limit, func() bool { return len(seen()) >= n }) {
			t.Fatalf("%s: %d of %d in the central log after %v", what, len(seen()), n, limit)
		}
		t.Logf("%s: %d in the central log after %v", what, n, time.Since(begin).Round(100*time.Millisecond))
	}
	arrived("an hour of events", 2*time.Minute, len(want))

	// The extension is killed and started again; the core goes away and comes back.
	agent.kill(func() {
		ext.kill()
		for _, e := range fake.Registered() { // as osquery does when it has noticed
			fake.Forget(e.UUID)
		}
		ext = startExtension(t, fake, state, config)
		fake.WaitRegistered(t, "rollcall")
	})
	fake.Stop()
	select {
	case <-ext.ended:
	case <-time.After(2 * time.Minute):
		t.Fatal("the extension outlives its core by 15 s")
	}
	// Central is away while more happens.
	c.away(true)
	if err := fake.Listen(); err != nil {
		t.Fatal(err)
	}
	startExtension(t, fake, state, config)
	fake.WaitRegistered(t, "rollcall")
	for i := range 5 {
		unit := fmt.Sprintf("new%d", i)
		want[unit] = true
		fake.AddExecs(t, listing(int64(100+i), time.Now(), unit))
	}
	time.Sleep(3 * interval * time.Second)
	c.away(false)
	arrived("what came while central was away", 2*time.Minute, len(want))
	time.Sleep(3 * interval * time.Second) // what is not to come again would be here

	c.mu.Lock()
	defer c.mu.Unlock()
	for unit, rows := range seen() {
		if len(rows) != 1 {
			t.Errorf("%s is %d times in the central log: %v", unit, len(rows), rows)
		}
		r := rows[0].Columns
		at, _ := strconv.ParseInt(r["time"], 10, 64)
		recorded, _ := strconv.ParseInt(r["recorded"], 10, 64)
		if strings.HasPrefix(unit, "late") && (recorded-at < 3600 || recorded < now.Unix()) {
			t.Errorf("%s happened at %d and was recorded at %d: not an hour late", unit, at, recorded)
		}
	}
	// The same holds for every other query about events.
	times := map[string]int{}
	for _, r := range c.host(hostName(1)).rows {
		if id := r.Columns["event_id"]; id != "" {
			key := r.Name + " " + id
			if times[key]++; times[key] == 2 {
				t.Errorf("%s logs event %s twice", r.Name, id)
			}
		}
	}
}
