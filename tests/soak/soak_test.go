//go:build linux

// Package soak runs the real rollcall.ext for minutes at 1,000 process events a second
// from a fake core, and looks whether memory and cost stay flat and nothing is lost.
//
//	SOAK=5m go test -count=1 -timeout 1h -v ./tests/soak
//
// What memory and an event cost is judged on a machine of one's own. SOAK_FIGURES=told
// only tells it, and judges what no other load may change: that nothing is lost unsaid.
package soak

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

const (
	perSecond = 1000
	perBatch  = 100
	// needleEvery is how many batches there are between two needles.
	needleEvery = 50
	// kept is how long the core keeps events; its own default is longer, but the core is
	// part of this process.
	kept = 3 * time.Minute
	// filling is how long it takes to fill what is filled and bounded, up to a third of the
	// run. Of these, by what smaps and the runtime's own figures showed minute by minute:
	// the rings of processes and starts (17 s at this rate), the holes between what stays
	// in the heap (6 minutes), the pages of the program that are used now and then (given
	// back every 5 minutes, there again in 3), SQLite's pages (the larger part in 10
	// minutes, 4 MB at most).
	filling = 10 * time.Minute
	// The limits: MB resident at the end, and how the last minutes compare with the first
	// ones after the filling, in memory and in the cost of an event, as ratios.
	most   = 45.0
	growth = 1.15
	dearer = 1.4
	// steepest is the slope of resident memory, MB a minute, that is flat: 1.5 MB in the
	// half hour.
	steepest = 0.05
	// group is how many minutes make one point of the slope.
	group = 2
)

// minute is one line of the table.
type minute struct {
	at            time.Duration
	resident      float64 // MB, the mean of a look each second
	most          float64 // MB, the most of these
	cpu           float64 // seconds so far
	perEvent      float64 // microseconds in this minute
	read          int64
	gaps, dropped int64
	planted       int
	found         int
}

func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil || length < time.Minute {
		t.Skip("NOT TESTED: minutes of load; set SOAK=5m or longer")
	}
	figure := t.Errorf
	if os.Getenv("SOAK_FIGURES") == "told" {
		figure = func(format string, args ...any) { fmt.Printf("not judged: "+format+"\n", args...) }
	}
	program := filepath.Join(t.TempDir(), "rollcall.ext")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "../../extension")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	core := fakecore.Start(t)
	for k, v := range map[string]string{"disable_events": "false", "disable_audit": "false", "audit_allow_process_events": "true", "audit_allow_config": "true"} {
		core.SetFlag(t, k, v)
	}
	core.Exec(t, `DELETE FROM osquery_flags WHERE rowid NOT IN (SELECT max(rowid) FROM osquery_flags GROUP BY name)`)
	core.Exec(t, `UPDATE osquery_events SET active = 1`)
	config := filepath.Join(t.TempDir(), "rollcall.yaml")
	if err := os.WriteFile(config, []byte("log_level: info\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	cmd := exec.Command(program, "--socket", core.Socket(), "--timeout", "60", "--interval", "3", "--state", state, "--config", config)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
		if t.Failed() {
			t.Logf("rollcall.ext said:\n%s", said.String())
		}
	}()
	core.WaitRegistered(t, "rollcall")

	w := &work{t: t, core: core, pid: cmd.Process.Pid, asked: time.Now(), planted: map[string]bool{}, found: map[string]bool{}}
	tick := time.NewTicker(time.Second * perBatch / perSecond)
	defer tick.Stop()
	begin := time.Now()
	var minutes []minute
	var looks []float64 // at resident memory, since the last minute
	fmt.Printf("%6s %9s %9s %8s %9s %10s %5s %8s %8s\n", "minute", "resident", "at most", "cpu", "us/event", "read", "gaps", "dropped", "needles")
	sent := int64(0)
	last := w.look(0)
	for n := 0; time.Since(begin) < length; n++ {
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			t.Fatalf("it ended after %v: %v", time.Since(begin), err)
		}
		// A ticker drops ticks under load: what is behind is sent at once.
		for due := int64(time.Since(begin).Seconds() * perSecond); sent+perBatch <= due; sent += perBatch {
			w.batch(int(sent / perBatch))
		}
		if n%10 == 9 {
			looks = append(looks, w.memory("VmRSS"))
		}
		if n%100 == 99 {
			// Only what was read: on a busy machine the reader may be that far behind.
			core.Exec(t, `DELETE FROM process_events WHERE time < ? AND eid <= ?`, time.Now().Add(-kept).Unix(), fmt.Sprintf("%010d", last.read))
		}
		if minutesSoFar := len(minutes); time.Since(begin) >= time.Duration(minutesSoFar+1)*time.Minute {
			m := w.look(time.Since(begin))
			m.resident, m.most = mean(looks), slices.Max(append(looks, m.resident))
			looks = looks[:0]
			m.perEvent = (m.cpu - last.cpu) / float64(max(m.read-last.read, 1)) * 1e6
			last = m
			minutes = append(minutes, m)
			fmt.Printf("%6.1f %6.1f MB %6.1f MB %6.1f s %9.1f %10d %5d %8d %4d/%d\n", m.at.Minutes(), m.resident, m.most, m.cpu, m.perEvent, m.read, m.gaps, m.dropped, m.found, m.planted)
		}
	}
	// The last needles take a cycle to be found.
	for wait := time.Now(); time.Since(wait) < 5*time.Minute && (w.look(0).read < sent || len(w.found) < len(w.planted)); time.Sleep(time.Second) {
	}
	end := w.look(time.Since(begin))
	if n := len(minutes); n > 0 {
		end.resident = minutes[n-1].resident // at one moment it depends on the cycle
	}
	fmt.Printf("sent %d events in %v (%.0f/s): %d read, %d of %d needles found, %.1f MB resident in the last minute, %.1f MB at most, %d gaps, %d dropped\n",
		sent, time.Since(begin).Round(time.Second), float64(sent)/time.Since(begin).Seconds(), end.read, end.found, end.planted, end.resident, w.memory("VmHWM"), end.gaps, end.dropped)
	if end.found != end.planted {
		t.Errorf("%d of %d needles found", end.found, end.planted)
	}
	if end.resident > most {
		figure("%.1f MB resident in the last minute, at most %.0f", end.resident, most)
	}
	if end.read < sent {
		judge := t.Errorf
		if end.gaps > 0 {
			judge = figure
		}
		judge("%d of %d events read, %d gaps reported", end.read, sent, end.gaps)
	}
	filled := slices.IndexFunc(minutes, func(m minute) bool { return m.at > min(filling, length/3) })
	if filled < 0 {
		return
	}
	later := minutes[filled:]
	if len(later) >= 5*group {
		by, give := slope(later)
		fmt.Printf("from minute %d on resident memory goes by %+.3f MB a minute, give or take %.3f\n", filled+1, by, give)
		if by-2*give > steepest {
			figure("resident memory grows by %.3f MB a minute, give or take %.3f", by, give)
		}
	}
	if len(later) >= 3 {
		n := (len(later) + 2) / 3
		early, late := later[:n], later[len(later)-n:]
		if was, is := median(early, resident), median(late, resident); is > was*growth {
			figure("resident memory grew from %.1f to %.1f MB", was, is)
		}
		if was, is := median(early, perEvent), median(late, perEvent); is > was*dearer {
			figure("an event costs %.1f us, before %.1f", is, was)
		}
	}
}

func resident(m minute) float64 { return m.resident }
func perEvent(m minute) float64 { return m.perEvent }

// median is that of a figure of some minutes.
func median(minutes []minute, figure func(minute) float64) float64 {
	var list []float64
	for _, m := range minutes {
		list = append(list, figure(m))
	}
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

func mean(list []float64) float64 {
	sum := 0.0
	for _, x := range list {
		sum += x
	}
	return sum / float64(max(len(list), 1))
}

// slope is that of the line nearest to the minutes' resident memory, MB a minute, and its
// standard error. Neighbours are alike, and would pass for more than they tell: the points
// are the means of groups.
func slope(minutes []minute) (by, give float64) {
	var at, mb []float64
	for part := range slices.Chunk(minutes[len(minutes)%group:], group) {
		var when, much []float64
		for _, m := range part {
			when, much = append(when, m.at.Minutes()), append(much, m.resident)
		}
		at, mb = append(at, mean(when)), append(mb, mean(much))
	}
	middle, level := mean(at), mean(mb)
	var xx, xy float64
	for i := range at {
		xx += (at[i] - middle) * (at[i] - middle)
		xy += (at[i] - middle) * (mb[i] - level)
	}
	by = xy / xx
	rest := 0.0
	for i := range at {
		off := mb[i] - level - by*(at[i]-middle)
		rest += off * off
	}
	return by, math.Sqrt(rest / float64(len(at)-2) / xx)
}

// work plants and looks.
type work struct {
	t       *testing.T
	core    *fakecore.Core
	pid     int
	eid     int64
	asked   time.Time // when the needles were asked for last
	planted map[string]bool
	found   map[string]bool
}

// programs are what a busy build host starts.
var programs = []string{"/usr/bin/cc1 -quiet -o /tmp/cc%d.s main%d.c", "/usr/bin/as -o obj%d.o /tmp/cc%d.s", "/bin/sh -c make -C dir%d all V=%d", "/usr/bin/git rev-parse HEAD~%d --verify %d", "/usr/bin/python3 -m pytest tests/test_%d.py -k case%d"}

// batch sends events; one in needleEvery has a needle in it.
func (w *work) batch(n int) {
	now := time.Now().Unix()
	events := make([]fakecore.ExecEvent, perBatch)
	for i := range events {
		w.eid++
		line := fmt.Sprintf(programs[w.eid%int64(len(programs))], w.eid%9973, w.eid)
		path, _, _ := strings.Cut(line, " ")
		events[i] = fakecore.ExecEvent{Time: now, EID: w.eid, PID: 1000 + w.eid%30_000, Parent: 1000 + (w.eid/7)%30_000, Path: path, CmdLine: line, UID: 1000, EUID: 1000, AUID: 1000}
	}
	if n%needleEvery == needleEvery/2 {
		line := fmt.Sprintf("systemctl list-dependencies needle%d.service", n)
		events[perBatch/2].Path, events[perBatch/2].CmdLine = "/usr/bin/systemctl", line
		w.planted[line] = true
	}
	w.core.AddExecs(w.t, events...)
}

func (w *work) ask(table string, c ...fakecore.Constraint) []map[string]string {
	w.t.Helper()
	registered := w.core.Registered()
	if len(registered) == 0 {
		w.t.Fatal("it is not registered")
	}
	p, err := w.core.Dial(registered[0].UUID)
	if err != nil {
		w.t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	rows, err := p.Generate(ctx, table, nil, c...)
	if err != nil {
		w.t.Fatalf("%s: %v", table, err)
	}
	return rows
}

// needles counts those that have a row. It asks for those of the last minutes, as a
// scheduled query does: an answer that grows with the run is memory that grows.
func (w *work) needles() {
	since := w.asked.Add(-2 * time.Minute)
	w.asked = time.Now()
	for _, r := range w.ask("service_discovery_events", fakecore.Constraint{Column: "recorded", Op: 32, Expr: strconv.FormatInt(since.Unix(), 10), Affinity: "BIGINT"}) {
		if w.planted[r["cmdline"]] {
			w.found[r["cmdline"]] = true
		}
	}
}

// look takes the figures of a minute.
func (w *work) look(at time.Duration) minute {
	w.t.Helper()
	w.needles()
	m := minute{at: at, resident: w.memory("VmRSS"), planted: len(w.planted), found: len(w.found)}
	for _, r := range w.ask("service_discovery_health") {
		if r["component"] == "process_events" {
			m.read, m.gaps, m.dropped = number(r["events_read"]), number(r["gaps"]), number(r["events_dropped"])
		}
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.pid))
	if err != nil {
		w.t.Fatal(err)
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	m.cpu = float64(number(fields[11])+number(fields[12])) / 100 // in ticks of 10 ms
	return m
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// memory is a figure of /proc/PID/status, in MB.
func (w *work) memory(name string) float64 {
	w.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.pid))
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			return float64(number(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))) * 1024 / 1e6
		}
	}
	w.t.Fatalf("no %s", name)
	return 0
}
