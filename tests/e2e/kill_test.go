//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// gap is a span that a source is known to have missed something of.
type gap struct {
	source   string
	from, to time.Time
}

func (g gap) String() string {
	return g.source + " " + g.from.UTC().Format("15:04:05") + " to " + g.to.UTC().Format("15:04:05")
}

// has reports whether a moment lies in the span, both of whose seconds belong to it.
func (g gap) has(at time.Time) bool { return !at.Before(g.from) && at.Before(g.to.Add(time.Second)) }

// killing is one run under load.
type killing struct {
	t     *testing.T
	d     *osqueryd.Daemon
	since int64 // seconds

	kernel   *kernelReader
	load     *load
	marks    map[time.Time]string
	kills    int
	rows     needles // of service_discovery_events
	recorded needles // of process_events
}

func startKilling(t *testing.T, d *osqueryd.Daemon) *killing {
	t.Helper()
	k := &killing{t: t, d: d, since: time.Now().Unix() - 1, kernel: readKernel(t), marks: map[time.Time]string{}}
	k.load = startLoad(t, d.Dir)
	return k
}

// lastKilled is what had been killed last at a time.
func (k *killing) lastKilled(at time.Time) (what string) {
	var last time.Time
	for when, mark := range k.marks {
		if name, found := strings.CutSuffix(mark, " killed"); found && when.Before(at) && when.After(last) {
			last, what = when, name
		}
	}
	return what
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
	k.d.Eventually(5*time.Minute, "all rows are there", func() bool {
		if k.count(); len(k.rows) != last {
			last, quiet = len(k.rows), 0
			return false
		}
		quiet++
		// Some of the collector's cycles, also on a busy machine.
		return len(k.rows) == len(started) || quiet >= 12
	})
	k.kernel.end()
	k.t.Logf("%d programs, %d of them listings; the kernel told of %d (and dropped some for this reader %d times), osquery still has %d, Rollcall has %d",
		all, len(started), len(k.kernel.seen), k.kernel.lost, len(k.recorded), len(k.rows))
	if k.kernel.lost == 0 && len(k.kernel.seen)*5 < len(started)*4 {
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
	// What the kernel did not audit, nobody can tell of: its rules are an osqueryd's, who
	// may be killed with them half changed.
	maps.DeleteFunc(started, func(n int, _ time.Time) bool { return k.kernel.lost == 0 && k.kernel.seen[n] == 0 && k.rows[n] == 0 })
	return started
}

// gaps are the spans that the sources of programs are known to have missed something of,
// as they are in the state.
func (k *killing) gaps() (out []gap) {
	k.t.Helper()
	conn, err := sqlite.OpenConn(filepath.Join(k.d.State, "rollcall.db"), sqlite.OpenReadOnly)
	if err != nil {
		k.t.Fatal(err)
	}
	defer conn.Close()
	err = sqlitex.Execute(conn, "SELECT source, from_time, to_time FROM gaps WHERE source IN ('process_events', 'kaudit') AND to_time >= ? ORDER BY from_time",
		&sqlitex.ExecOptions{Args: []any{k.since}, ResultFunc: func(stmt *sqlite.Stmt) error {
			out = append(out, gap{stmt.ColumnText(0), time.Unix(stmt.ColumnInt64(1), 0), time.Unix(stmt.ColumnInt64(2), 0)})
			return nil
		}})
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

// account checks that each listing is a row, or in a gap that is told; atLeast is the
// share of them, in percent, that must be rows however slow the machine is.
func (k *killing) account(started map[int]time.Time, atLeast int) {
	k.t.Helper()
	gaps := k.gaps()
	told := func(source string, at time.Time) bool {
		return slices.ContainsFunc(gaps, func(g gap) bool { return g.source == source && g.has(at) })
	}
	lost, both, after := 0, 0, map[string]int{}
	for n, at := range started {
		if k.rows[n] > 0 {
			continue
		}
		lost++
		after[k.lastKilled(at)]++
		kernel, osquery := told("kaudit", at), told("process_events", at)
		switch {
		case kernel && osquery:
			both++
		case !kernel && !osquery:
			k.t.Errorf("k%d.service, started at %s, is lost, and no gap tells of it", n, at.UTC().Format("15:04:05.000"))
		}
	}
	k.t.Logf("%d rounds, %d listings: %d rows, %d lost (by what was killed last: %v), %d of them in gaps of both readers", k.kills, len(started), len(started)-lost, lost, after, both)
	for _, g := range gaps {
		k.t.Log("gap:", g)
	}
	if len(started) < k.kills*needlesPerSecond/2 || (len(started)-lost)*100 < len(started)*atLeast {
		k.t.Errorf("of %d listings %d are lost", len(started), lost)
	}
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
// What the kernel audits, an independent reader counts. Two sources of Rollcall's tell
// of it: osquery, who loses what it holds in memory with its worker (the audit records
// that it has not handed on, up to 4,096; the events of its database that are not
// written yet) and hears nothing until the successor has found audit; and the kernel
// itself, as long as an extension runs, which it goes on doing while the watcher makes
// another worker, and after the end of the daemon until the next one's extension listens.
// So what one of them misses the other has, but for the moments around the end of the
// extension, when osquery missed something, too. What both missed is told.
func TestKilled(t *testing.T) {
	rounds := 3
	if os.Getenv("ROLLCALL_KILLS") != "" {
		rounds = 20
	}
	d := osqueryd.Start(t, osqueryd.Options{Extension: extension(t), Config: map[string]any{}, Audit: true, Flags: []string{"--events_max=500000"}})
	d.Audited(60 * time.Second)
	for _, tt := range []struct {
		what    string
		pause   int // so that not everything ends with its beginning
		atLeast int // percent
		kill    func(k *killing)
	}{
		{"extension", 0, 90, func(k *killing) {
			ext := d.Extension()
			k.kill("extension", ext)
			k.serving(ext, d.Extension)
		}},
		// In turn: a watcher takes longer and longer to replace a worker that is killed
		// again and again.
		{"worker and daemon", 3, 80, func(k *killing) {
			worker := d.Worker()
			k.kill("worker", worker)
			k.serving(worker, d.Worker)
			k.pause(k.kills)
			k.mark("daemon killed")
			d.Kill()
			d.Run()
			k.serving(0, d.Worker)
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			k := startKilling(t, d)
			for n := range rounds {
				k.pause(n + tt.pause)
				tt.kill(k)
				k.kills++
			}
			k.pause(8)
			started := k.settle()
			k.account(started, tt.atLeast)
			k.show(started)
		})
	}
	rows := d.Must("SELECT events_dropped FROM service_discovery_health WHERE component = 'sampling' AND events_dropped > 0")
	if len(rows) > 0 {
		t.Errorf("the load was taken for a flood: %v", rows)
	}
}
