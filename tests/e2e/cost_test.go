//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/packs"
	"github.com/osquery-rollcall/rollcall/tests/e2e/osqueryd"
	"github.com/osquery-rollcall/rollcall/tests/simulate"
)

// days is how many days of life a state holds.
const days = 30

// live fills the state of an island with what a Linux server of the simulated fleet
// sees in 30 days that end now: administrators, an agent that asks every three hours,
// or every two minutes on a busy host, and an intrusion on the last day.
func live(t *testing.T, state, name string, busy bool) {
	t.Helper()
	ctx := context.Background()
	f := simulate.New(11, 60, days+1, 0, 0)
	host := -1
	for i, h := range f.Hosts {
		if h.Kind == simulate.LinuxServer && h.Agent == "zabbix" {
			host = i
			h.Busy = busy
			break
		}
	}
	if host < 0 {
		t.Fatal("the simulated fleet has no such host")
	}
	f.Intrusions = append(f.Intrusions, simulate.Intrusion{Host: host, Day: days - 1, Story: "a stolen administrator at night, with a hidden unit"})
	s, err := store.Open(ctx, state)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conf := filepath.Join(t.TempDir(), "rollcall.yaml")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, judge, _, err := app.NewJudge(conf)
	if err != nil {
		t.Fatal(err)
	}
	shift := time.Now().Unix()/3600*3600 - (simulate.Start + days*86400)
	clock := time.Unix(simulate.Start+shift, 0)
	source := &simulate.Feed{}
	e, err := engine.New(ctx, engine.Options{Judge: judge, Store: s, Sources: []engine.Source{source}, HostID: osqueryd.MachineID(name), Host: name, Now: func() time.Time { return clock },
		Administrator: func(_ context.Context, user string) evidence.Tristate {
			if strings.HasPrefix(user, "adm-") {
				return evidence.Yes
			}
			return evidence.No
		}})
	if err != nil {
		t.Fatal(err)
	}
	for d := range days {
		day := f.Day(host, d)
		for h := range int64(24) {
			from := simulate.Start + int64(d)*86400 + h*3600
			source.Batch = hourOf(&day.Batch, from, shift, name)
			clock = time.Unix(from+shift+3600, 0)
			if err := e.Collect(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// hourOf is what happened in an hour, as if it had been on this host, shift seconds
// later.
func hourOf(b *evidence.Batch, from, shift int64, name string) (out evidence.Batch) {
	within := func(t *int64, host *string) bool {
		if *t < from || *t >= from+3600 {
			return false
		}
		*t, *host = *t+shift, name
		return true
	}
	for _, p := range b.Processes {
		if within(&p.Time, &p.Host) {
			out.Processes = append(out.Processes, p)
		}
	}
	for _, i := range b.Installs {
		if within(&i.Time, &i.Host) {
			out.Installs = append(out.Installs, i)
		}
	}
	for _, l := range b.Logons {
		if within(&l.Time, &l.Host) {
			out.Logons = append(out.Logons, l)
		}
	}
	for _, c := range b.Connections {
		if within(&c.Time, &c.Host) {
			out.Connections = append(out.Connections, c)
		}
	}
	for _, c := range b.Changes {
		if within(&c.Time, &c.Host) {
			out.Changes = append(out.Changes, c)
		}
	}
	return out
}

// ran is the time that all threads of a process have run.
func ran(pid int) time.Duration {
	var sum int64
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(data), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		sum += n
	}
	return time.Duration(sum)
}

// TestCost measures what the pack costs a host in a day, on the real osqueryd with a
// state of 30 days: osquery's worker and the extension together. ROLLCALL_COST=1 runs
// the pack by the schedule as well, a day's worth of it sixty times as fast, and
// compares with what osquery says of it.
func TestCost(t *testing.T) {
	t.Parallel()
	ext := extension(t)
	c, err := packs.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []struct {
		name  string
		busy  bool
		times float64 // the budget, which is for the median host
	}{{"usual host", false, 1}, {"busy host", true, 3}} {
		t.Run(host.name, func(t *testing.T) {
			state := filepath.Join(osqueryd.Home(t), "state")
			if err := os.Mkdir(state, 0o700); err != nil {
				t.Fatal(err)
			}
			island := strings.ReplaceAll(host.name, " ", "-")
			live(t, state, island, host.busy)
			info, err := os.Stat(filepath.Join(state, "rollcall.db"))
			if err != nil {
				t.Fatal(err)
			}
			conf := map[string]any{}
			if os.Getenv("ROLLCALL_COST") != "" {
				conf = packedFast(t, c)
			}
			d := osqueryd.Start(t, osqueryd.Options{Extension: ext, State: state, Config: map[string]any{}, Island: island})
			known := d.Must("SELECT (SELECT count(*) FROM service_discovery_events) AS events, (SELECT count(*) FROM service_discovery_bursts) AS bursts, (SELECT count(*) FROM service_incidents) AS incidents")
			t.Logf("a state of %d days, %d KiB: %v", days, info.Size()>>10, known)
			d.Eventually(30*time.Second, "the host's services are known", func() bool {
				rows, err := d.Query("SELECT 1 FROM service_discovery_health WHERE component = 'services' AND state = 'ok'")
				return err == nil && len(rows) == 1
			})
			perDay, rowsPerDay := direct(t, d, c)
			t.Logf("%s: %.1f CPU seconds and %.0f rows a day", host.name, perDay, rowsPerDay)
			if budget := host.times * packs.MaxMSPerDay / 1000; perDay > budget {
				t.Errorf("all queries take %.1f CPU seconds a day, the budget is %.0f", perDay, budget)
			}
			if rowsPerDay > packs.MaxRowsPerDay && !host.busy {
				t.Errorf("%.0f rows a day, the budget is %d", rowsPerDay, packs.MaxRowsPerDay)
			}
			if len(conf) == 0 {
				return
			}
			d.Stop()
			scheduled(t, osqueryd.Start(t, osqueryd.Options{Extension: ext, State: state, Config: conf, Island: island, Flags: []string{"--pack_refresh_interval=5"}}), c)
		})
	}
}

// direct runs every query of the pack some times and says what that costs in a day at
// its interval, and how many rows a day bring: of what is asked for three days back, a
// third.
func direct(t *testing.T, d *osqueryd.Daemon, c *packs.Catalogue) (perDay, rowsPerDay float64) {
	t.Helper()
	const runs = 8
	client := core.NewClient(d.Socket, core.ClientOptions{})
	defer client.Close()
	worker, ext := d.Worker(), d.Extension()
	if worker == 0 || ext == 0 {
		t.Fatalf("worker %d, extension %d", worker, ext)
	}
	ask := func(sql string) (rows int) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := client.Query(ctx, sql, func(*core.Row) error { rows++; return nil }); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		return rows
	}
	// What they do when nobody asks is not the queries'.
	w0, e0, t0 := ran(worker), ran(ext), time.Now()
	time.Sleep(11 * time.Second) // a cycle of the collector
	idle := float64(ran(worker)-w0+ran(ext)-e0) / float64(time.Since(t0))
	t.Logf("when nobody asks: %.2f %% of a core, of which the extension %.2f %%", idle*100, float64(ran(ext)-e0)/float64(time.Since(t0))*100)
	for _, q := range c.Queries {
		ask(q.SQL) // what is read for the first time is not what it costs every time
		rows := 0
		w, e, begin := ran(worker), ran(ext), time.Now()
		for range runs {
			rows = ask(q.SQL)
		}
		took := time.Since(begin)
		osq, own := ran(worker)-w, ran(ext)-e
		each := max((osq+own-time.Duration(idle*float64(took)))/runs, 0)
		share := float64(rows)
		if strings.Contains(q.SQL, "- 259200") {
			share /= 3
		}
		rowsPerDay += share
		perDay += each.Seconds() * q.RunsPerDay()
		t.Logf("%-36s every %5d s: %4d rows, %6.2f ms (osquery %.2f, extension %.2f), %5.2f s a day",
			q.Name, q.Interval, rows, ms(each), ms(osq)/runs, ms(own)/runs, each.Seconds()*q.RunsPerDay())
	}
	return perDay, rowsPerDay
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// faster is how much faster than the clock a schedule runs that is measured.
const faster = 60

// packedFast is the pack with a sixtieth of its intervals.
func packedFast(t *testing.T, c *packs.Catalogue) map[string]any {
	t.Helper()
	conf := packed(t, 0)
	queries := conf["packs"].(map[string]any)["t1007"].(map[string]any)["queries"].(map[string]any)
	for _, q := range c.Queries {
		queries[q.Name].(map[string]any)["interval"] = max(q.Interval/faster, 1)
	}
	return conf
}

// scheduled runs the pack by osquery's schedule for six minutes, six hours of it, and
// compares what the processes used with what osquery's own books say.
func scheduled(t *testing.T, d *osqueryd.Daemon, c *packs.Catalogue) {
	t.Helper()
	const span = 6 * time.Minute
	worker, ext := d.Worker(), d.Extension()
	w, e := ran(worker), ran(ext)
	time.Sleep(span)
	w, e = ran(worker)-w, ran(ext)-e
	scale := float64(24*time.Hour) / float64(span*faster)
	rows := d.Must("SELECT name, interval, executions, user_time, system_time, wall_time_ms, average_memory, denylisted FROM osquery_schedule ORDER BY name")
	var books float64
	for _, r := range rows {
		n, _ := strconv.ParseFloat(r["executions"], 64)
		user, _ := strconv.ParseFloat(r["user_time"], 64)
		system, _ := strconv.ParseFloat(r["system_time"], 64)
		interval, _ := strconv.ParseFloat(r["interval"], 64)
		if n == 0 {
			t.Errorf("%s never ran", r["name"])
			continue
		}
		day := (user + system) / n / 1000 * 86400 / (interval * faster)
		books += day
		t.Logf("%-48s ran %4.0f times: user %5.0f ms, system %5.0f ms, %.2f s a day, denylisted %s", r["name"], n, user, system, day, r["denylisted"])
		if r["denylisted"] != "0" {
			t.Errorf("%s is denylisted", r["name"])
		}
	}
	if len(rows) != len(c.Queries) {
		t.Errorf("%d queries are scheduled, the catalogue has %d", len(rows), len(c.Queries))
	}
	byName := map[string]int{}
	for _, r := range d.Results() {
		byName[fmt.Sprint(r["name"])]++
	}
	t.Logf("by the schedule, in a day: osquery's books %.1f s; its worker used %.1f s and the extension %.1f s, with all else they did; rows of the first run %v",
		books, w.Seconds()*scale, e.Seconds()*scale, byName)
	if books > packs.MaxMSPerDay/1000 {
		t.Errorf("osquery's books say %.1f s a day", books)
	}
}
