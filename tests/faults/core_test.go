//go:build linux

package faults

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/osquery-rollcall/rollcall/tests/fakecore"
)

// coreFaults are those of a core that answers, and how.
func coreFaults() []fault {
	return []fault{
		{name: "late answer", tried: "a query is answered 20 s late, after the deadline", holds: "the late answer is nobody else's, and no event is lost", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			f.works(core, 1)
			core.Delay(fakecore.Query, 20*time.Second, 2)
			core.AddExecs(f, listing(2, "systemctl list-dependencies late.service"))
			f.found(core, 70*time.Second, "systemctl list-dependencies late.service")
			r.alive()
		}},
		{name: "answer cut off", tried: "the connection breaks inside of 20 answers", holds: "no event is lost or there twice", run: func(f *trial) {
			core := f.auditing()
			f.start(started{core: core})
			f.registered(core)
			want := map[string]bool{}
			for i := range int64(20) {
				line := fmt.Sprintf("systemctl list-dependencies cut%d.service", i)
				want[line] = true
				core.AddExecs(f, listing(i+1, line))
				core.CutNextAnswer(int(1 + i*37))
				time.Sleep(300 * time.Millisecond)
			}
			f.once(core, want)
		}},
		{name: "connections dropped", tried: "every connection breaks, ten times", holds: "it connects again, and no event is lost", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			want := map[string]bool{}
			for i := range int64(10) {
				line := fmt.Sprintf("systemctl list-dependencies drop%d.service", i)
				want[line] = true
				core.AddExecs(f, listing(i+1, line))
				core.DropConnections()
				time.Sleep(400 * time.Millisecond)
			}
			r.alive()
			f.once(core, want)
		}},
		{name: "queries fail", tried: "the core answers 30 queries with an error", holds: "health shows it, and the events come in the end", run: func(f *trial) {
			core := f.auditing()
			f.start(started{core: core})
			f.registered(core)
			f.works(core, 1)
			core.Fail(fakecore.Query, 1, "database is locked", 0)
			core.AddExecs(f, listing(2, "systemctl list-dependencies failed.service"))
			f.eventually(20*time.Second, "health shows it", func() bool {
				h := f.health(core, "process_events")
				return h != nil && h["state"] != "ok"
			})
			core.Heal(fakecore.Query)
			f.found(core, 40*time.Second, "systemctl list-dependencies failed.service")
		}},
		{name: "garbage in an answer", tried: "for 8 s noise in the answers, at random places", holds: "it goes on, and the events come when the core is sane again", run: func(f *trial) {
			core := f.auditing()
			between := f.between(core)
			r := f.start(started{core: core})
			f.registered(core)
			f.works(core, 1)
			between.noise.Store(true)
			time.Sleep(8 * time.Second)
			f.eventually(10*time.Second, "two answers are spoilt", func() bool { return between.spoilt.Load() >= 2 })
			between.noise.Store(false)
			f.note("%d answers spoilt", between.spoilt.Load())
			r.alive()
			if m := r.memory("VmHWM"); m > room(120) {
				f.Errorf("%.0f MB at most", m)
			}
			f.works(core, 2)
		}},
		{name: "huge rows", tried: "40 events of 2 MiB each", holds: "the events between them have their rows, memory stays bounded", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			f.works(core, 1)
			huge := strings.Repeat("A", 2<<20)
			for i := range int64(40) {
				core.AddExecs(f, listing(10+2*i, "systemctl list-units "+huge), listing(11+2*i, fmt.Sprintf("systemctl list-dependencies between%d.service", i)))
			}
			want := map[string]bool{}
			for i := range 40 {
				want[fmt.Sprintf("systemctl list-dependencies between%d.service", i)] = true
			}
			f.once(core, want)
			m := r.memory("VmHWM")
			f.note("%.0f MB at most", m)
			if m > room(200) {
				f.Errorf("%.0f MB at most", m)
			}
		}},
		{name: "the same events again", tried: "the core tells each event three times", holds: "each has one row", run: func(f *trial) {
			core := f.auditing()
			f.start(started{core: core})
			f.registered(core)
			want := map[string]bool{}
			for i := range int64(30) {
				line := fmt.Sprintf("systemctl list-dependencies again%d.service", i)
				want[line] = true
				e := listing(i+1, line)
				core.AddExecs(f, e, e, e)
			}
			f.once(core, want)
		}},
		{name: "the core's clock jumps", tried: "events of a year ahead, of 1970, of the year 36812 and before", holds: "the events of now have their rows", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			now := time.Now().Unix()
			for i, at := range []int64{now + 365*86400, 0, 1, -5, 1 << 40, 1 << 62, now - 3000, now + 600} {
				e := listing(int64(100+i), fmt.Sprintf("systemctl list-dependencies jump%d.service", i))
				e.Time = at
				core.AddExecs(f, e)
			}
			f.works(core, 1)
			time.Sleep(2 * time.Second)
			f.works(core, 2)
			r.alive()
		}},
		{name: "tables vanish", tried: "the core drops the tables that are asked", holds: "health says so; it goes on when they are back", run: func(f *trial) {
			core := f.auditing()
			r := f.start(started{core: core})
			f.registered(core)
			f.works(core, 1)
			core.Exec(f, `ALTER TABLE process_events RENAME TO gone`)
			f.eventually(30*time.Second, "health says so", func() bool {
				h := f.health(core, "process_events")
				return h != nil && h["state"] != "ok"
			})
			r.alive()
			core.Exec(f, `ALTER TABLE gone RENAME TO process_events`)
			f.works(core, 2)
		}},
	}
}

// once waits until each of the command lines has a row, and exactly one.
func (f *trial) once(core *fakecore.Core, want map[string]bool) {
	f.Helper()
	var got map[string]int
	f.eventually(60*time.Second, fmt.Sprintf("%d rows", len(want)), func() bool {
		got = map[string]int{}
		n := 0
		for _, row := range f.audited(core) {
			if got[row["cmdline"]]++; want[row["cmdline"]] && got[row["cmdline"]] == 1 {
				n++
			}
		}
		return n == len(want)
	})
	for line := range want {
		if got[line] != 1 {
			f.Errorf("%s has %d rows", line, got[line])
		}
	}
}

// proxy is between the extension and the core.
type proxy struct {
	noise  atomic.Bool
	spoilt atomic.Int64
}

// between puts itself on the core's socket and hands everything on.
func (f *trial) between(core *fakecore.Core) *proxy {
	f.Helper()
	p := &proxy{}
	behind := core.Socket() + "-core"
	f.must(os.Rename(core.Socket(), behind))
	l, err := net.Listen("unix", core.Socket())
	f.must(err)
	f.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("unix", behind)
			if err != nil {
				_ = c.Close()
				return
			}
			go func() { // both end with either connection
				_, _ = io.Copy(back, c)
				_ = back.Close()
			}()
			go func() {
				p.spoil(c, back)
				_ = c.Close()
				_ = back.Close()
			}()
		}
	}()
	return p
}

// spoil copies, and puts noise into some of it.
func (p *proxy) spoil(to io.Writer, from io.Reader) {
	random := rand.New(rand.NewPCG(1, 2))
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if p.noise.Load() && n > 40 && random.IntN(3) > 0 {
			p.spoilt.Add(1)
			for range 1 + random.IntN(12) {
				buf[20+random.IntN(n-20)] = byte(random.Uint32())
			}
		}
		if _, werr := to.Write(buf[:n]); werr != nil || err != nil {
			return
		}
	}
}
