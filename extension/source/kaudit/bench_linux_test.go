package kaudit

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// table is a source of process_events: what the core has told already.
type table struct{ rows []evidence.Process }

func (*table) Name() string { return "process_events" }

func (t *table) Read(context.Context, string, int) (evidence.Batch, error) {
	b := evidence.Batch{Processes: t.rows, Read: int64(len(t.rows))}
	t.rows = nil
	return b, nil
}

// BenchmarkBeside is what one start of a program costs from the kernel's records to the
// end of the engine, by whom it is told: the kernel, osquery, or both. One in 40 lists
// services.
func BenchmarkBeside(b *testing.B) {
	const cycle = 2000 // 10 s at 200 a second
	for _, tt := range []struct {
		name            string
		kernel, osquery bool
	}{{"kernel", true, false}, {"osquery", false, true}, {"both", true, true}} {
		b.Run(tt.name, func(b *testing.B) {
			set, err := rule.Embedded()
			if err != nil {
				b.Fatal(err)
			}
			s, err := store.OpenTemporary(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			k, t := newKernel(nil, Options{}), &table{}
			e, err := engine.New(b.Context(), engine.Options{Judge: &engine.Judge{Rules: set, Weights: score.DefaultWeights()}, Store: s, Sources: []engine.Source{k.Source, t},
				Now: func() time.Time { return k.clock }})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				path, line, args := "/srv/bin/routine", fmt.Sprintf("routine %d", n), fmt.Sprintf(`argc=2 a0="routine" a1="%d"`, n)
				if n%40 == 0 {
					path, line, args = "/usr/bin/systemctl", fmt.Sprintf("systemctl list-dependencies k%d.service", n), fmt.Sprintf(`argc=3 a0="systemctl" a1="list-dependencies" a2="k%d.service"`, n)
				}
				pid := 1000 + n%30_000
				if tt.kernel {
					at := fmt.Sprintf("audit(%d.123:%d): ", k.clock.Unix(), n)
					k.record(1300, fmt.Appendf(nil, `%sarch=c000003e syscall=59 success=yes exit=0 a0=7ffd1 a1=7ffd2 a2=7ffd3 a3=8 items=2 ppid=77 pid=%d auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=3 comm="routine" exe="%s" subj=unconfined key=(null)`, at, pid, path))
					k.record(1309, []byte(at+args))
					k.record(1307, []byte(at+`cwd="/root"`))
					k.record(1302, []byte(at+`item=0 name="/srv/bin/routine" inode=34 dev=fe:01 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0`))
					k.record(1302, []byte(at+`item=1 name="/lib64/ld-linux-x86-64.so.2" inode=35 dev=fe:01 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0`))
					k.record(1327, []byte(at+"proctitle=726F7574696E6500313233"))
					k.record(1320, []byte(at))
				}
				if tt.osquery {
					t.rows = append(t.rows, evidence.Process{Time: k.clock.Unix() + 1, Late: 15, Platform: evidence.Linux, PID: int64(pid), ParentPID: 77, Path: path, CmdLine: line, CWD: "/root",
						UID: "0", LoginUID: "1000", Elevated: evidence.Yes, ArgsJoined: true, Source: "process_events", EID: fmt.Sprint(n)})
				}
				if n%cycle == 0 {
					k.clock = k.clock.Add(10 * time.Second)
					if err := e.Collect(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
