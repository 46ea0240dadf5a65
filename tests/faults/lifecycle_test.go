//go:build linux

package faults

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

// lifecycleFaults are those of living beside osquery.
func lifecycleFaults() []fault {
	return []fault{
		{name: "core busy", tried: "three pings take 6 s each", holds: "it stays, and its tables answer meanwhile", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			core.Delay(fakecore.Ping, 6*time.Second, 3)
			before := core.Calls(fakecore.Ping)
			f.eventually(40*time.Second, "three slow pings", func() bool {
				r.alive()
				if _, err := f.ask(core, "service_discovery_health"); err != nil {
					f.Fatalf("a table while the core is busy: %v", err)
				}
				return core.Calls(fakecore.Ping) >= before+4
			})
			f.works(core, 1)
		}},
		{name: "core stuck", tried: "no ping is ever answered", holds: "it gives up after a minute, with an error", slow: true, run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			core.Delay(fakecore.Ping, time.Hour, 0)
			if status := r.end(90 * time.Second); status == 0 {
				f.Error("status 0")
			}
		}},
		{name: "core gone", tried: "the core dies", holds: "it ends with an error within 10 s", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			core.Stop()
			begin := time.Now()
			if status := r.end(10 * time.Second); status == 0 {
				f.Error("status 0")
			}
			f.note("%.1f s", time.Since(begin).Seconds())
		}},
		{name: "osqueryd killed and started again", tried: "watcher and core die, and the next one starts an extension while the old one is there", holds: "nothing of the old one is in the way: it goes on until then and gives the state up, the new one writes, each event has one row", run: succeeded},
		{name: "osqueryd killed for good", tried: "watcher and core die", holds: "it ends with an error within 10 s", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core, watched: true})
			f.registered(core)
			f.works(core, 1)
			core.Stop()
			r.orphan()
			begin := time.Now()
			r.end(10 * time.Second)
			f.note("%.1f s", time.Since(begin).Seconds())
			if !strings.Contains(r.said.String(), "rollcall.ext: ") {
				f.Error("it ended without an error")
			}
		}},
		{name: "core replaced", tried: "another core takes over the socket", holds: "it ends within 30 s: nobody would call it again", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			core.Stop()
			_ = os.Remove(core.Socket())
			f.must(core.Listen())
			if status := r.end(30 * time.Second); status == 0 {
				f.Error("status 0")
			}
		}},
		{name: "lost registration", tried: "the core forgets it and answers pings", holds: "it notices within 30 s and ends with an error", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			core.Forget(f.registered(core))
			begin := time.Now()
			if status := r.end(30 * time.Second); status == 0 {
				f.Error("status 0")
			}
			f.note("%.0f s", time.Since(begin).Seconds())
		}},
		{name: "duplicate registration", tried: "refused as duplicate five times", holds: "it tries again and is registered", run: func(f *trial) {
			core := f.auditing()
			core.RefuseDuplicate(5)
			f.start(started{core: core})
			f.registered(core)
			if n := core.Calls(fakecore.Register); n < 6 {
				f.Errorf("registered after %d calls", n)
			}
		}},
		{name: "refused for good", tried: "refused as duplicate for ever", holds: "it ends with an error within 30 s", run: func(f *trial) {
			core := f.auditing()
			core.RefuseDuplicate(0)
			if status := f.start(started{core: core}).end(30 * time.Second); status == 0 {
				f.Error("status 0")
			}
		}},
		{name: "terminated", tried: "SIGTERM while it collects", holds: "it ends within 2 s with status 0 and gives the state up", run: func(f *trial) {
			core, state := f.auditing(), filepath.Join(f.TempDir(), "state")
			r := f.start(started{core: core, state: state})
			f.registered(core)
			f.works(core, 1)
			begin := time.Now()
			r.signal(syscall.SIGTERM)
			if status := r.end(2 * time.Second); status != 0 {
				f.Errorf("status %d", status)
			}
			f.note("%.2f s", time.Since(begin).Seconds())
			if len(core.Registered()) != 0 {
				f.Error("it did not take leave")
			}
			f.start(started{core: core, state: state})
			f.registered(core)
			f.found(core, 5*time.Second, "systemctl list-dependencies works-1.service")
		}},
		{name: "terminated while the core is stuck", tried: "SIGTERM while a query takes an hour", holds: "it ends within 3 s", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			f.works(core, 1)
			core.Delay(fakecore.Query, time.Hour, 0)
			time.Sleep(2 * time.Second)
			begin := time.Now()
			r.signal(syscall.SIGTERM)
			r.end(3 * time.Second)
			f.note("%.2f s", time.Since(begin).Seconds())
		}},
		{name: "asked to shut down", tried: "the core's shutdown call", holds: "it ends within 3 s with status 0", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			p, err := core.Dial(f.registered(core))
			f.must(err)
			defer p.Close()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_ = p.Shutdown(ctx) // it may end before it answers
			if status := r.end(3 * time.Second); status != 0 {
				f.Errorf("status %d", status)
			}
		}},
		{name: "second instance", tried: "another one on the same state, under another core", holds: "it serves the first one's rows, read-only, and says so", run: func(f *trial) {
			core, other, state := f.auditing(), f.auditing(), filepath.Join(f.TempDir(), "state")
			f.start(started{core: core, state: state})
			f.registered(core)
			f.works(core, 1)
			second := f.start(started{core: other, state: state})
			f.registered(other)
			f.found(other, 10*time.Second, "systemctl list-dependencies works-1.service")
			if !strings.Contains(second.said.String(), "read-only") {
				f.Errorf("it does not say so")
			}
			f.works(core, 2)
		}},
		{name: "no socket", tried: "nobody serves the socket", holds: "it ends with an error after its --timeout", run: func(f *trial) {
			r := f.start(started{socket: filepath.Join(f.TempDir(), "em")})
			if status := r.end(10 * time.Second); status == 0 {
				f.Error("status 0")
			}
		}},
		{name: "somebody else's socket", tried: "the socket belongs to uid 4321", holds: "it is refused, and nothing is sent", root: true, run: func(f *trial) {
			core := f.auditing()
			f.must(os.Chown(core.Socket(), 4321, 4321))
			r := f.start(started{core: core})
			if status := r.end(15 * time.Second); status == 0 {
				f.Error("status 0")
			}
			if n := core.Calls(fakecore.Register); n != 0 || len(core.Queries()) != 0 {
				f.Errorf("%d registrations, %d queries", n, len(core.Queries()))
			}
		}},
		{name: "silent socket", tried: "somebody accepts on the socket and never answers", holds: "it ends with an error within 30 s", run: func(f *trial) {
			f.listen(func(c net.Conn) { <-f.Context().Done() })
		}},
		{name: "half-open socket", tried: "each connection is closed in the middle of an answer", holds: "it ends with an error within 30 s", run: func(f *trial) {
			f.listen(func(c net.Conn) {
				buf := make([]byte, 64)
				_, _ = c.Read(buf)
				_, _ = c.Write([]byte{0x80, 0x01, 0x00})
			})
		}},
		{name: "garbage for a core", tried: "the socket answers with noise", holds: "it ends with an error within 30 s", run: func(f *trial) {
			f.listen(func(c net.Conn) {
				buf := make([]byte, 4096)
				noise := make([]byte, 4096)
				for i := range noise {
					noise[i] = byte(i*7 + i>>3)
				}
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := c.Write(noise); err != nil {
						return
					}
				}
			})
		}},
		{name: "kill -9", tried: "killed 12 times while events arrive, the log of the database torn each time", holds: "every event has one row", run: killed},
		{name: "nobody reads its log", tried: "the reader of its standard error has gone, and there is something to say", holds: "it goes on", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core, quiet: true})
			f.registered(core)
			core.Fail(fakecore.Query, 1, "no such table: x", 20)
			core.DropConnections()
			time.Sleep(3 * time.Second)
			r.alive()
			core.Heal(fakecore.Query)
			f.works(core, 1)
		}},
		{name: "few file descriptors", tried: "a limit of 160 open files, 300 connections at once", holds: "it goes on; or it ends with an error, and a new start works", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core, limit: "ulimit -n 160"})
			uuid := f.registered(core)
			var conns []net.Conn
			for range 300 {
				if c, err := net.Dial("unix", fmt.Sprintf("%s.%d", core.Socket(), uuid)); err == nil {
					conns = append(conns, c)
				}
			}
			time.Sleep(3 * time.Second)
			for _, c := range conns {
				_ = c.Close()
			}
			f.note("%d connections", len(conns))
			select {
			case <-r.ended:
				if status := r.end(time.Second); status == 0 {
					f.Error("status 0")
				}
				f.note("it ends")
				r.kill(core)
				f.start(started{core: core})
				f.registered(core)
			default:
			}
			f.works(core, 1)
		}},
		{name: "hardly any file descriptors", tried: "a limit of 12 open files from the start", holds: "it works or ends with an error: it never hangs", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core, limit: "ulimit -n 12"})
			select {
			case <-r.ended:
				if status := r.end(time.Second); status == 0 {
					f.Error("status 0")
				}
				f.note("it ends")
			case <-time.After(15 * time.Second):
				f.eventually(15*time.Second, "it ends, or answers", func() bool {
					select {
					case <-r.ended:
						return true
					default:
					}
					_, err := f.ask(core, "service_discovery_health")
					return err == nil
				})
			}
		}},
		{name: "many calls at once", tried: "64 table calls at once with constraints that make no sense", holds: "each is answered, and events go on", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			uuid := f.registered(core)
			var wg sync.WaitGroup
			tables := []string{"service_discovery_events", "service_discovery_bursts", "service_install_events", "service_incidents", "service_incident_triage", "service_incident_timeline", "service_discovery_score", "service_discovery_health"}
			var mu sync.Mutex
			refused := 0
			for i := range 64 {
				wg.Go(func() {
					p, err := core.Dial(uuid)
					if err != nil {
						f.Errorf("dial: %v", err)
						return
					}
					defer p.Close()
					ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
					defer cancel()
					_, err = p.Generate(ctx, tables[i%len(tables)], nil, fakecore.Constraint{Column: "recorded", Op: []int{2, 4, 8, 68, 72, 73, 74, 999, -1}[i%9], Expr: []string{"abc", "", "-9223372036854775808", "99999999999999999999", "1e400", "\x00", "'; DROP TABLE events; --"}[i%7], Affinity: "BIGINT"},
						fakecore.Constraint{Column: "incident_id", Op: 2, Expr: strings.Repeat("x", 1<<i%16)}, fakecore.Constraint{Column: "cmdline", Op: 65, Expr: "%"}, fakecore.Constraint{Column: "no such column", Op: 2, Expr: "1"})
					if err != nil {
						mu.Lock()
						refused++
						mu.Unlock()
						if !strings.Contains(err.Error(), "status 1") {
							f.Errorf("a call ended with %v", err)
						}
					}
				})
			}
			wg.Wait()
			f.note("%d of 64 told to come again", refused)
			r.alive()
			f.works(core, 1)
		}},
	}
}

// listen serves a socket in a way of its own; rollcall.ext ends with an error.
func (f *trial) listen(serve func(net.Conn)) {
	f.Helper()
	dir, err := os.MkdirTemp("", "core")
	f.must(err)
	f.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "em")
	l, err := net.Listen("unix", socket)
	f.must(err)
	f.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the test
				defer c.Close()
				serve(c)
			}()
		}
	}()
	r := f.start(started{socket: socket})
	begin := time.Now()
	if status := r.end(30 * time.Second); status == 0 {
		f.Error("status 0")
	}
	f.note("ended after %.1f s", time.Since(begin).Seconds())
}

// succeeded kills osqueryd and starts it again.
func succeeded(f *trial) {
	core, state := f.auditing(), filepath.Join(f.TempDir(), "state")
	pidfile := filepath.Join(f.TempDir(), "pid")
	old := f.start(started{core: core, state: state, watched: true, pidfile: pidfile})
	f.registered(core)
	f.works(core, 1)
	const rounds = 3
	for round := range rounds {
		core.Stop()
		begin := time.Now()
		old.orphan()
		f.must(core.Listen())
		f.eventually(5*time.Second, "the pid file is free", func() bool {
			file := f.lock(pidfile)
			return file != nil && file.Close() == nil
		})
		old.alive()
		next := f.start(started{core: core, state: state, watched: true, pidfile: pidfile})
		old.end(10 * time.Second)
		took := time.Since(begin)
		f.note("%.1f s", took.Seconds())
		said := old.said.String()
		if !strings.Contains(said, "rollcall.ext: ") {
			f.Error("it ended without an error")
		}
		// A machine that takes longer to start a program is forgiven.
		if took < 5*time.Second && !strings.Contains(said, "next one's Rollcall goes on") {
			f.Error("it ended, and not for its successor")
		}
		f.registered(core)
		f.works(core, int64(round+2))
		next.alive()
		old = next
	}
	got := map[string]int{}
	for _, row := range f.audited(core) {
		got[row["cmdline"]]++
	}
	for i := range rounds + 1 {
		if line := fmt.Sprintf("systemctl list-dependencies works-%d.service", i+1); got[line] != 1 {
			f.Errorf("%s has %d rows", line, got[line])
		}
	}
}

// killed ends it at every moment and tears what was written last.
func killed(f *trial) {
	core, state := f.auditing(), filepath.Join(f.TempDir(), "state")
	// Together no flood, whose rows are thinned out: some rounds end before they read.
	const rounds, each = 12, 16
	want := map[string]bool{}
	eid := int64(0)
	for round := range rounds {
		r := f.start(started{core: core, state: state})
		f.registered(core)
		for range each {
			eid++
			line := fmt.Sprintf("systemctl list-dependencies k%d.service", eid)
			want[line] = true
			core.AddExecs(f, listing(eid, line))
		}
		time.Sleep(time.Duration(90*(round%9)) * time.Millisecond)
		r.kill(core)
		// What the disk had not got yet: the end of the log is cut, or noise.
		if log, err := os.OpenFile(filepath.Join(state, "rollcall.db-wal"), os.O_RDWR, 0); err == nil {
			info, err := log.Stat()
			f.must(err)
			if n := info.Size(); round%2 == 0 && n > 4096 {
				f.must(log.Truncate(n - 1000))
			} else if n > 0 {
				_, err = log.WriteAt([]byte(strings.Repeat("torn", 500)), n)
				f.must(err)
			}
			_ = log.Close()
		}
	}
	f.start(started{core: core, state: state})
	f.registered(core)
	var got map[string]int
	f.eventually(30*time.Second, fmt.Sprintf("%d rows", len(want)), func() bool {
		got = map[string]int{}
		for _, row := range f.audited(core) {
			got[row["cmdline"]]++
		}
		return len(got) >= len(want)
	})
	for line := range want {
		if got[line] != 1 {
			f.Errorf("%s has %d rows", line, got[line])
		}
	}
	f.note("%d kills, %d rows, 0 lost, 0 twice", rounds, len(want))
}
