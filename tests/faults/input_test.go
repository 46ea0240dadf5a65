//go:build linux

package faults

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

// all are the tables whose rows must never break a log line.
var all = []string{"service_discovery_events", "service_discovery_bursts", "service_discovery_baselines", "service_install_events", "service_incidents",
	"service_incident_timeline", "service_incident_triage", "service_discovery_health", "service_discovery_rules", "service_inventory"}

// clean looks through every row of every table for what breaks a log line or deceives
// a reader.
func (f *trial) clean(core *fakecore.Core) {
	f.Helper()
	for _, table := range all {
		rows, err := f.ask(core, table)
		if err != nil {
			f.Errorf("%s: %v", table, err)
			continue
		}
		for _, r := range rows {
			for column, value := range r {
				// Commands of triage have lines of their own.
				own := table == "service_incident_triage" && column == "command"
				bad := strings.IndexFunc(value, func(c rune) bool {
					return unicode.IsControl(c) && !(own && c == '\n') || unicode.In(c, unicode.Cf, unicode.Zl, unicode.Zp)
				})
				if bad >= 0 || !utf8.ValidString(value) {
					f.Errorf("%s.%s holds %q", table, column, value[max(bad-20, 0):min(len(value), max(bad, 0)+20)])
				}
			}
		}
	}
}

// input are the faults of what an attacker writes.
func input() []fault {
	// hostile feeds command lines and looks that the needle after them has its row, that
	// no row holds what it must not, and that memory stays bounded.
	hostile := func(most float64, lines func() []string) func(*trial) {
		return func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			f.works(core, 1)
			for i, line := range lines() {
				e := listing(int64(100+i), line)
				core.AddExecs(f, e)
				e = listing(int64(50_000+i), "systemctl list-units")
				e.CWD, e.Path = line[:min(len(line), 5000)], "/usr/bin/systemctl"
				core.AddExecs(f, e)
			}
			f.works(core, 9_000_000)
			f.clean(core)
			r.alive()
			m := r.memory("VmHWM")
			f.note("%.0f MB at most", m)
			if m > room(most) {
				f.Errorf("%.0f MB at most, want %.0f", m, most)
			}
			if h := f.health(core, "process_events"); h["state"] != "ok" {
				f.Errorf("health %v", h)
			}
		}
	}
	return []fault{
		{name: "command lines of 1 MiB", tried: "20 of them, that match", holds: "judged, cut to 16 KiB, memory bounded", run: hostile(160, func() (out []string) {
			for i := range 20 {
				out = append(out, fmt.Sprintf("systemctl list-units %d ", i)+strings.Repeat("unit.service ", (1<<20)/13))
			}
			return out
		})},
		{name: "deep nesting", tried: "shells, substitutions, braces and quotes thousands deep", holds: "bounded time, the next event has its row", run: hostile(160, func() []string {
			return []string{
				strings.Repeat("sh -c '", 5000) + "systemctl list-units", strings.Repeat("$(", 100_000) + "systemctl", strings.Repeat("`", 100_001), strings.Repeat("(", 100_000), strings.Repeat("{a,b}", 20_000),
				strings.Repeat("a|", 100_000) + "systemctl list-units", strings.Repeat("sudo ", 50_000) + "systemctl list-units", strings.Repeat("env A=b ", 50_000) + "systemctl status", "bash -c \"" + strings.Repeat("eval ", 50_000) + "systemctl\"",
				strings.Repeat("if true; then ", 20_000) + "systemctl list-units", "sh -c 'for i in " + strings.Repeat("{1..9999}", 50) + "; do systemctl status $i; done'", "sh -c '" + strings.Repeat("a() { a; }; ", 5000) + "systemctl'",
				"printf %s " + strings.Repeat("$((1+", 20_000) + "1", "sh -c 'x=" + strings.Repeat("${x:-", 20_000) + "'",
			}
		})},
		{name: "nested encodings", tried: "base64 in PowerShell in base64, 20 deep; a shell's base64 -d", holds: "bounded time, the next event has its row", run: hostile(160, func() []string {
			line := "Get-Service"
			for range 20 {
				var wide []byte
				for _, c := range line {
					wide = append(wide, byte(c), 0)
				}
				if line = "powershell -enc " + base64.StdEncoding.EncodeToString(wide); len(line) > 300_000 {
					break
				}
			}
			return []string{line, "sh -c \"echo " + strings.Repeat(base64.StdEncoding.EncodeToString([]byte("systemctl list-units;")), 2000) + " | base64 -d | sh\""}
		})},
		{name: "no UTF-8", tried: "every byte alone, cut sequences, surrogates, overlong forms", holds: "rows are valid UTF-8", run: hostile(120, func() (out []string) {
			for b := 0x80; b < 0x100; b += 7 {
				out = append(out, fmt.Sprintf("systemctl list-units %c", b)+string([]byte{byte(b)}))
			}
			return append(out, "systemctl list-units \xed\xa0\x80", "systemctl list-units \xc0\xaf", "systemctl list-units \xf4\x90\x80\x80", "\xff\xfes\x00y\x00s\x00", "systemctl\xff list-units")
		})},
		{name: "NUL", tried: "NULs in command line, path and directory", holds: "no row holds one", run: hostile(120, func() []string {
			return []string{"systemctl\x00list-units", "\x00", strings.Repeat("\x00", 100_000), "systemctl list-units \x00 --all", "sh\x00-c\x00systemctl list-units"}
		})},
		{name: "escapes and newlines", tried: "ANSI colours, cursor moves, titles, CR, LF, backspace, separators", holds: "no row holds one", run: hostile(120, func() []string {
			return []string{"systemctl list-units \x1b[2J\x1b[31mroot\x1b[0m", "systemctl list-units \x1b]0;title\x07", "systemctl list-units\r\n{\"fake\":\"log line\"}", "systemctl list-units\n\n\n", "systemctl list-units \b\b\b\b\bstatus x", "systemctl list-units \u2028 \u2029 \u0085 \x7f \u009b31m"}
		})},
		{name: "invisible characters", tried: "marks of direction, blanks of no width, tags", holds: "no row holds one", run: hostile(120, func() []string {
			return []string{"systemctl list-units \u202egnp.exe", "systemctl list\u200b-units", "systemctl \u2066list-units\u2069", "systemctl list-units \ufeff", "systemctl list-units \U000e0041\U000e0042", "systemctl\u00ad list-units"}
		})},
		{name: "homoglyphs", tried: "Cyrillic and full-width letters in the program's name", holds: "not taken for the program, the next event has its row", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			for i, name := range []string{"\u0455ystemctl", "s\u0443stemctl", "\uff53\uff59stemctl", "systemct\u217c"} {
				e := listing(int64(10+i), name+" list-units --homoglyph")
				e.Path = "/tmp/" + name
				core.AddExecs(f, e)
			}
			f.works(core, 1)
			for _, row := range f.audited(core) {
				if strings.Contains(row["canonical"], `"systemctl list-units --homoglyph"`) {
					f.Errorf("taken for systemctl: %v", row["cmdline"])
				}
			}
			f.clean(core)
			r.alive()
		}},
		{name: "many users", tried: "one listing by each of 10,000 users (100,000 where slow), and one of another kind", holds: "the other has its row, all are counted, memory bounded", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			f.works(core, 1)
			users, patience := 10_000, 60*time.Second
			if os.Getenv("FAULTS_SLOW") != "" {
				users, patience = 100_000, 8*time.Minute
			}
			core.Exec(f, `WITH RECURSIVE n(i) AS (SELECT 10000 UNION ALL SELECT i + 1 FROM n WHERE i < 109999) INSERT INTO users (uid, username) SELECT i, 'u' || i FROM n`)
			eid := int64(1000)
			for range 20 {
				batch := make([]fakecore.ExecEvent, users/20)
				for i := range batch {
					eid++
					batch[i] = listing(eid, "systemctl list-units --type=service")
					batch[i].UID, batch[i].EUID, batch[i].AUID = 9000+eid, 9000+eid, 9000+eid
				}
				core.AddExecs(f, batch...)
			}
			needle := listing(eid+1, "systemctl list-unit-files --state=enabled")
			core.AddExecs(f, needle)
			f.found(core, patience, needle.CmdLine)
			r.alive()
			var h map[string]string
			f.eventually(patience, "all are read", func() bool {
				h = f.health(core, "process_events")
				n, _ := strconv.Atoi(h["events_matched"])
				return n >= users
			})
			m := r.memory("VmHWM")
			f.note("%s matched, %s without a row, %.0f MB at most", h["events_matched"], f.health(core, "sampling")["events_dropped"], m)
			if m > room(200) {
				f.Errorf("%.0f MB at most", m)
			}
		}},
		{name: "fork storm", tried: "5,000 programs a second for 8 s, two needles in them", holds: "both have their rows, nothing is lost, memory bounded", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			f.works(core, 1)
			eid := int64(1000)
			const rounds, each = 80, 500
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			begin := time.Now()
			for round := range rounds {
				batch := make([]fakecore.ExecEvent, each)
				for i := range batch {
					eid++
					batch[i] = listing(eid, fmt.Sprintf("cc1 -quiet -o /tmp/x%d.o x%d.c", eid, eid))
					batch[i].Path, batch[i].Parent = "/usr/lib/gcc/cc1", 100_000+eid-1
				}
				if round == 20 || round == 60 {
					batch[each/2].CmdLine, batch[each/2].Path = fmt.Sprintf("systemctl list-dependencies storm%d.service", round), "/usr/bin/systemctl"
				}
				core.AddExecs(f, batch...)
				<-tick.C
			}
			rate := float64(rounds*each) / time.Since(begin).Seconds()
			f.found(core, 60*time.Second, "systemctl list-dependencies storm20.service")
			f.found(core, 60*time.Second, "systemctl list-dependencies storm60.service")
			r.alive()
			var h map[string]string
			f.eventually(30*time.Second, "all are read", func() bool {
				h = f.health(core, "process_events")
				n, _ := strconv.Atoi(h["events_read"])
				return n >= rounds*each
			})
			m := r.memory("VmHWM")
			f.note("%.0f/s, %s read, %s dropped, %s gaps, %.0f MB at most", rate, h["events_read"], h["events_dropped"], h["gaps"], m)
			if h["events_dropped"] != "0" || h["gaps"] != "0" {
				f.Errorf("health %v", h)
			}
			if m > room(200) {
				f.Errorf("%.0f MB at most", m)
			}
		}},
		{name: "flood of matching events", tried: "12,000 listings of one user, and one of another kind", holds: "the other has its row; few of the flood do, and health counts the rest", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			f.works(core, 1)
			const flood = 12_000
			batch := make([]fakecore.ExecEvent, flood)
			for i := range batch {
				batch[i] = listing(int64(1000+i), fmt.Sprintf("systemctl list-dependencies flood%d.service", i))
			}
			batch[flood/2].CmdLine = "systemctl list-sockets --all"
			core.AddExecs(f, batch...)
			f.found(core, 60*time.Second, "systemctl list-sockets --all")
			r.alive()
			rows := len(f.audited(core))
			var dropped int
			f.eventually(30*time.Second, "health counts the rest", func() bool {
				dropped, _ = strconv.Atoi(f.health(core, "sampling")["events_dropped"])
				rows = len(f.audited(core))
				return rows+dropped >= flood+1
			})
			f.note("%d rows, %d counted without", rows, dropped)
			if rows > 2500 || rows+dropped > flood+20 {
				f.Errorf("%d rows, %d without", rows, dropped)
			}
			events := 0
			bursts, err := f.ask(core, "service_discovery_bursts")
			f.must(err)
			for _, b := range bursts {
				n, _ := strconv.Atoi(b["events"])
				events += n
			}
			if events < flood {
				f.Errorf("bursts count %d of %d", events, flood)
			}
		}},
		{name: "more work than the budget", tried: "for 30 s, 150 programs and 150 listings of one user a second, and 6 of other kinds among them, with a budget of 3 % of a processor", holds: "processor time stays within it, each of the 6 has its row, all are counted, health says what is done about it", run: braked},
		{name: "events lost by the core", tried: "osquery keeps events for 5 s, the extension is down for 9 s", holds: "the gap is reported", run: func(f *trial) {
			core, state := f.auditing(), f.TempDir()
			f.must(syscall.Chmod(state, 0o700))
			core.SetFlag(f, "events_expiry", "5")
			core.Exec(f, `DELETE FROM osquery_flags WHERE rowid NOT IN (SELECT max(rowid) FROM osquery_flags GROUP BY name)`)
			r := f.start(started{core: core, state: state})
			f.registered(core)
			f.works(core, 1)
			r.kill(core)
			core.AddExecs(f, listing(2, "systemctl list-dependencies lost.service"))
			time.Sleep(9 * time.Second)
			core.Exec(f, `DELETE FROM process_events`)
			f.start(started{core: core, state: state})
			f.registered(core)
			f.eventually(20*time.Second, "a gap", func() bool {
				h := f.health(core, "process_events")
				n, _ := strconv.Atoi(h["gaps"])
				return n > 0
			})
			f.works(core, 3)
		}},
		{name: "processes that vanish", tried: "400 programs of the host that end at once", holds: "it goes on", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			for range 400 {
				_ = exec.Command("/bin/true").Run()
			}
			r.alive()
			f.works(core, 1)
		}},
	}
}

// braked gives a small budget much more work than it has room for.
func braked(f *trial) {
	const (
		budget = 0.03
		rounds = 30
		each   = 150 // of programs and of listings
	)
	core := f.auditing()
	r := f.start(started{core: core, config: fmt.Sprintf("collect_interval: 1s\ncpu_budget: %v\n", 100*budget)})
	f.registered(core)
	f.works(core, 1)
	begin, before := time.Now(), seconds(r.cmd.Process.Pid)
	eid := int64(1000)
	var needles []string
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for round := range rounds {
		var batch []fakecore.ExecEvent
		for i := range each {
			eid += 2
			program := listing(eid, fmt.Sprintf("cc1 -quiet -o /tmp/x%d.o x%d.c", eid, eid))
			program.Path = "/usr/lib/gcc/cc1"
			batch = append(batch, program, listing(eid+1, fmt.Sprintf("systemctl list-units --type=service unit%d", i%7)))
		}
		if round%5 == 2 {
			batch[each].CmdLine, batch[each].Path = fmt.Sprintf("systemctl list-dependencies braked%d.service", round), "/usr/bin/systemctl"
			needles = append(needles, batch[each].CmdLine)
		}
		core.AddExecs(f, batch...)
		<-tick.C
	}
	// Looking at tables is work that nothing brakes: it is not part of what is measured.
	spent, took := seconds(r.cmd.Process.Pid)-before, time.Since(begin)
	allowed := budget*took.Seconds() + 0.5
	f.note("%.2f s of a processor in %.0f s, %.1f %%", spent, took.Seconds(), 100*spent/took.Seconds())
	if spent > allowed {
		f.Errorf("%.2f s of a processor in %v, the budget is %.2f", spent, took, allowed)
	}
	h := f.health(core, "brake")
	if h["state"] != "degraded" || !strings.Contains(h["detail"], "3 % of a processor allows since") || !strings.Contains(h["detail"], "further apart") {
		f.Errorf("health %v", h)
	}
	f.eventually(5*time.Minute, "each of another kind has its row", func() bool {
		time.Sleep(4 * time.Second) // to be asked is work, too
		found := 0
		for _, row := range f.audited(core) {
			if slices.Contains(needles, row["cmdline"]) {
				found++
			}
		}
		return found == len(needles)
	})
	f.eventually(5*time.Minute, "all are counted", func() bool {
		time.Sleep(4 * time.Second)
		bursts, err := f.ask(core, "service_discovery_bursts")
		f.must(err)
		events := 0
		for _, b := range bursts {
			n, _ := strconv.Atoi(b["events"])
			events += n
		}
		return events >= rounds*each+1
	})
	h = f.health(core, "brake")
	f.note("%s", h["detail"])
	if h := f.health(core, "process_events"); h["events_dropped"] != "0" || h["gaps"] != "0" {
		f.Errorf("health %v", h)
	}
	r.alive()
}
