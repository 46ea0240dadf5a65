//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/osquery-rollcall/rollcall/tests/e2e/osqueryd"
)

// The steady load under which things are killed: process starts a second, and how many
// of them list services. The latter stay below what Rollcall takes for a flood.
const (
	startsPerSecond  = 200
	needlesPerSecond = 5
)

// needles are the numbers of the listings somebody saw.
type needles map[int]int

var needle = regexp.MustCompile(`list-dependencies"?(?: a2=")? ?k(\d+)\.service`)

func (n needles) add(text string) {
	if m := needle.FindStringSubmatch(text); m != nil {
		i, _ := strconv.Atoi(m[1])
		n[i]++
	}
}

// load starts programs at a steady rate until it is stopped.
type load struct {
	stop, done chan struct{}

	mu      sync.Mutex
	started map[int]time.Time // of the needles
	all     int
	err     error
}

func startLoad(t *testing.T, dir string) *load {
	t.Helper()
	systemctl, other := osqueryd.Tool(t, dir, "systemctl"), osqueryd.Tool(t, dir, "routine")
	l := &load{stop: make(chan struct{}), done: make(chan struct{}), started: map[int]time.Time{}}
	go func() {
		defer close(l.done)
		begin := time.Now()
		for n := 0; ; n++ {
			// By the clock and not by ticks, so that a slow moment is made up for.
			wait := time.NewTimer(time.Until(begin.Add(time.Duration(n) * time.Second / startsPerSecond)))
			select {
			case <-l.stop:
				wait.Stop()
				return
			case <-wait.C:
			}
			cmd := exec.Command(other, strconv.Itoa(n))
			listing := n%(startsPerSecond/needlesPerSecond) == 0
			if listing {
				cmd = exec.Command(systemctl, "list-dependencies", fmt.Sprintf("k%d.service", n))
			}
			at := time.Now()
			err := cmd.Run()
			l.mu.Lock()
			l.all++
			if err != nil {
				l.err = err
			} else if listing {
				l.started[n] = at
			}
			l.mu.Unlock()
		}
	}()
	return l
}

// end stops the load and returns when each needle was started, and how many programs
// were in all.
func (l *load) end(t *testing.T) (map[int]time.Time, int) {
	t.Helper()
	close(l.stop)
	<-l.done
	if l.err != nil {
		t.Fatalf("the load: %v", l.err)
	}
	return l.started, l.all
}

// kernelReader counts the needles in the kernel's own records, beside whoever owns
// audit. It shares no code with Rollcall.
type kernelReader struct {
	fd   int
	done chan struct{}
	stop chan struct{}

	seen needles
	lost int // times the kernel had to drop records for this reader
}

func readKernel(t *testing.T) *kernelReader {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	if err := errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000}),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}),
	); err != nil {
		_ = unix.Close(fd)
		t.Fatal(err)
	}
	r := &kernelReader{fd: fd, done: make(chan struct{}), stop: make(chan struct{}), seen: needles{}}
	go func() {
		defer close(r.done)
		buf := make([]byte, 64<<10)
		for {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			switch {
			case errors.Is(err, unix.ENOBUFS):
				r.lost++
			case err == nil && n > 16 && buf[4] == 0x1d && buf[5] == 0x05: // 1309: the arguments
				r.seen.add(string(buf[16:n]))
			case err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
				return
			}
			select {
			case <-r.stop:
				return
			default:
			}
		}
	}()
	t.Cleanup(r.end)
	return r
}

func (r *kernelReader) end() {
	select {
	case <-r.done:
	default:
		close(r.stop)
		<-r.done
		_ = unix.Close(r.fd)
	}
}

// soon waits for what must come within half a minute.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within 30 s: %s", what)
}

// show draws what became of the needles, second by second.
func show(t *testing.T, started map[int]time.Time, recorded, rows needles, marks map[time.Time]string) {
	var first time.Time
	for _, at := range started {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	type second struct {
		started, recorded, rows int
		marks                   string
	}
	seconds := map[int]*second{}
	end := 0
	get := func(at time.Time) *second {
		i := int(at.Sub(first) / time.Second)
		end = max(end, i)
		if seconds[i] == nil {
			seconds[i] = &second{}
		}
		return seconds[i]
	}
	for n, at := range started {
		s := get(at)
		s.started++
		if recorded[n] > 0 {
			s.recorded++
		}
		if rows[n] > 0 {
			s.rows++
		}
	}
	for at, m := range marks {
		get(at).marks += " " + m
	}
	for i := range end + 1 {
		if s := seconds[i]; s != nil {
			t.Logf("%3d s (%s): started %d, osquery %d, Rollcall %d%s", i, first.UTC().Add(time.Duration(i)*time.Second).Format("05"), s.started, s.recorded, s.rows, s.marks)
		}
	}
}

// outage is a time in which nobody held the kernel's audit.
type outage struct{ from, to time.Time }

func (o outage) String() string {
	return o.from.UTC().Format("15:04:05") + " to " + o.to.UTC().Format("15:04:05")
}

// killing is one run under load.
type killing struct {
	t     *testing.T
	d     *osqueryd.Daemon
	since int64 // seconds

	kernel   *kernelReader
	load     *load
	outages  []outage
	marks    map[time.Time]string
	rows     needles // of service_discovery_events
	recorded needles // of process_events
}

func startKilling(t *testing.T, d *osqueryd.Daemon) *killing {
	t.Helper()
	k := &killing{t: t, d: d, since: time.Now().Unix() - 1, kernel: readKernel(t), marks: map[time.Time]string{}}
	k.load = startLoad(t, d.Dir)
	return k
}

func (k *killing) mark(what string) { k.marks[time.Now()] = what }

// pause lets things run for a time that is another one every time.
func (k *killing) pause(n int) { time.Sleep(time.Duration(500+130*(n%9)) * time.Millisecond) }

func (k *killing) kill(what string, pid int) {
	k.t.Helper()
	k.mark(what + " killed")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		k.t.Fatalf("kill the %s (pid %d): %v", what, pid, err)
	}
}

// serving waits until osqueryd and the extension answer, after the process that had the
// id before has a successor.
func (k *killing) serving(before int, now func() int) {
	k.t.Helper()
	soon(k.t, "a successor", func() bool { pid := now(); return pid != 0 && pid != before })
	k.mark("a successor runs")
	soon(k.t, "the extension serves", k.d.Serving)
	k.mark("serving")
}

// count asks who has which needles.
func (k *killing) count() {
	k.rows, k.recorded = needles{}, needles{}
	for _, r := range k.d.Must(fmt.Sprintf("SELECT cmdline FROM service_discovery_events WHERE recorded >= %d", k.since)) {
		k.rows.add(r["cmdline"])
	}
	// As a set: in a daemon, osquery answers a constraint on time with rows twice.
	for _, r := range k.d.Must(fmt.Sprintf("SELECT DISTINCT cmdline FROM process_events WHERE time >= %d AND cmdline LIKE '%%list-dependencies k%%'", k.since)) {
		k.recorded.add(r["cmdline"])
	}
}

// settle ends the load and waits until no more rows come.
func (k *killing) settle() (started map[int]time.Time) {
	k.t.Helper()
	k.d.Registered(60 * time.Second)
	k.d.Audited(60 * time.Second)
	started, all := k.load.end(k.t)
	last, quiet := -1, 0
	k.d.Eventually(90*time.Second, "all rows are there", func() bool {
		if k.count(); len(k.rows) != last {
			last, quiet = len(k.rows), 0
			return false
		}
		quiet++
		// Two of the collector's cycles.
		return len(k.rows) == len(started) || quiet >= 6
	})
	k.kernel.end()
	k.t.Logf("%d programs, %d of them listings; the kernel told of %d (and dropped some for this reader %d times), osquery still has %d, Rollcall has %d",
		all, len(started), len(k.kernel.seen), k.kernel.lost, len(k.recorded), len(k.rows))
	if k.kernel.lost == 0 && len(k.kernel.seen) != len(started) {
		k.t.Errorf("the kernel told of %d of %d: the load is not audited", len(k.kernel.seen), len(started))
	}
	for n, times := range k.rows {
		if _, ok := started[n]; !ok || times != 1 {
			k.t.Errorf("k%d.service is there %d times, started %v", n, times, ok)
		}
	}
	for n := range k.recorded {
		if k.rows[n] == 0 {
			k.t.Errorf("k%d.service is in process_events and not in service_discovery_events", n)
		}
	}
	return started
}

// health is a count of service_discovery_health.
func (k *killing) health(component, column string) string {
	k.t.Helper()
	rows := k.d.Must("SELECT " + column + " FROM service_discovery_health WHERE component = '" + component + "'")
	if len(rows) != 1 {
		k.t.Fatalf("%d rows of health of %s", len(rows), component)
	}
	return rows[0][column]
}

// gaps are the spans in which process_events is known to have missed something, as they
// are in the state.
func (k *killing) gaps() (out []outage) {
	k.t.Helper()
	conn, err := sqlite.OpenConn(filepath.Join(k.d.State, "rollcall.db"), sqlite.OpenReadOnly)
	if err != nil {
		k.t.Fatal(err)
	}
	defer conn.Close()
	err = sqlitex.Execute(conn, "SELECT from_time, to_time FROM gaps WHERE source = 'process_events' ORDER BY from_time", &sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
		out = append(out, outage{time.Unix(stmt.ColumnInt64(0), 0), time.Unix(stmt.ColumnInt64(1), 0)})
		return nil
	}})
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

// show says what became of the load, second by second, when something is wrong.
func (k *killing) show(started map[int]time.Time) {
	if k.t.Failed() || os.Getenv("ROLLCALL_KILLS_SHOW") != "" {
		show(k.t, started, k.recorded, k.rows, k.marks)
		k.t.Log(k.d.Said())
	}
}

// TestKilled kills the extension, and then osquery's worker and the whole daemon in
// turn, under a steady load. ROLLCALL_KILLS=1 kills each 20 times, else it is 3 times.
//
// Whatever happens to the extension, its rows are what the kernel audited. With its
// worker osquery loses what it holds in memory: the audit records that it has not
// handed on (up to 4,096), the events of its database that are not written yet (it
// writes them without a log of its own), and what happens until its successor has
// found audit. So rows are then at least what osquery has, each once, they miss only
// what happened around a kill, and that something is missing is told.
func TestKilled(t *testing.T) {
	rounds := 3
	if os.Getenv("ROLLCALL_KILLS") != "" {
		rounds = 20
	}
	d := osqueryd.Start(t, osqueryd.Options{Extension: extension(t), Config: map[string]any{}, Audit: true, Flags: []string{"--events_max=500000"}})
	d.Audited(60 * time.Second)

	t.Run("the extension", func(t *testing.T) {
		k := startKilling(t, d)
		for n := range rounds {
			k.pause(n)
			ext := d.Extension()
			k.kill("extension", ext)
			k.serving(ext, d.Extension)
		}
		k.pause(8)
		started := k.settle()
		for n, at := range started {
			if k.rows[n] == 0 {
				t.Errorf("k%d.service, started at %v, is lost", n, at)
			}
		}
		if len(started) < rounds*needlesPerSecond {
			t.Errorf("only %d listings", len(started))
		}
		k.show(started)
	})

	t.Run("osquery", func(t *testing.T) {
		k := startKilling(t, d)
		// Before its end osquery holds some seconds of records; after its start it has to
		// find audit first.
		const before, after = 10 * time.Second, 8 * time.Second
		for n := range rounds {
			k.pause(n)
			from, worker := time.Now(), d.Worker()
			k.kill("worker", worker)
			k.serving(worker, d.Worker)
			k.outages = append(k.outages, outage{from, time.Now()})
			k.pause(n + 3)
			from = time.Now()
			k.mark("daemon killed")
			d.Kill()
			d.Run()
			k.serving(0, d.Worker)
			k.outages = append(k.outages, outage{from, time.Now()})
		}
		time.Sleep(after + 10*time.Second)
		started := k.settle()
		lost, untold, calm, gaps := 0, 0, 0, k.gaps()
		for n, at := range started {
			near := false
			for _, o := range k.outages {
				near = near || at.After(o.from.Add(-before)) && at.Before(o.to.Add(after))
			}
			if !near {
				calm++
			}
			if k.rows[n] == 0 {
				lost++
				if !near {
					t.Errorf("k%d.service is lost, and nothing was killed around %v", n, at)
				}
				if !slices.ContainsFunc(gaps, func(o outage) bool { return at.After(o.from.Add(-before)) && at.Before(o.to.Add(after)) }) {
					untold++
				}
			}
		}
		t.Logf("%d kills of osquery: %d listings lost with it, %d of them outside of the gaps that are told: %v", 2*rounds, lost, untold, gaps)
		if untold > lost/4 {
			t.Errorf("%d listings of %d are lost, and no gap tells of it", untold, lost)
		}
		if calm < needlesPerSecond*5 {
			t.Errorf("only %d listings in calm times", calm)
		}
		if n := k.health("process_events", "gaps"); n != strconv.Itoa(len(gaps)) {
			t.Errorf("health tells of %s gaps of %d", n, len(gaps))
		}
		k.show(started)
	})
	rows := d.Must("SELECT events_dropped FROM service_discovery_health WHERE component = 'sampling' AND events_dropped > 0")
	if len(rows) > 0 {
		t.Errorf("the load was taken for a flood: %v", rows)
	}
}
