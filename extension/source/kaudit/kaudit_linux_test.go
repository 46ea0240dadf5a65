package kaudit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	libaudit "github.com/elastic/go-libaudit/v2"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/auditlog"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var begin = time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)

// kernel is one that a test plays.
type kernel struct {
	*Source
	t      *testing.T
	clock  time.Time
	policy policy
	err    error
	cursor string
}

func newKernel(t *testing.T, o Options) *kernel {
	k := &kernel{Source: New(o), t: t, clock: begin, policy: policy{enabled: true}}
	k.now = func() time.Time { return k.clock }
	k.ask = func() (policy, error) { return k.policy, k.err }
	k.start()
	return k
}

// start listens to nobody.
func (k *kernel) start() {
	k.look()
	k.begin()
	k.client = &libaudit.AuditClient{}
}

// executed sends the records of one execution.
func (k *kernel) executed(serial int) {
	at := fmt.Sprintf("audit(%d.123:%d): ", k.clock.Unix(), serial)
	k.record(1300, []byte(at+`arch=c000003e syscall=59 success=yes exit=0 ppid=1 pid=200 auid=1000 uid=1000 euid=0 tty=pts0 ses=3 comm="id" exe="/usr/bin/id" key=(null)`))
	k.record(1309, []byte(at+`argc=2 a0="id" a1="-u"`))
	k.record(1307, []byte(at+`cwd="/root"`))
	k.record(1302, []byte(at+`item=0 name="/usr/bin/id" inode=1 nametype=NORMAL`))
	k.record(1327, []byte(at+"proctitle=6964002D75"))
	k.record(1320, []byte(at))
}

func (k *kernel) read(limit int) (evidence.Batch, error) {
	b, err := k.Read(context.Background(), k.cursor, limit)
	k.cursor = b.Cursor
	return b, err
}

func (k *kernel) want(serials ...int) evidence.Batch {
	k.t.Helper()
	b, err := k.read(0)
	if err != nil {
		k.t.Fatal(err)
	}
	if got := serialsOf(b); fmt.Sprint(got) != fmt.Sprint(serials) {
		k.t.Errorf("got %v, want %v", got, serials)
	}
	return b
}

func serialsOf(b evidence.Batch) (out []int) {
	for _, p := range b.Processes {
		var n int
		if _, err := fmt.Sscanf(p.EID[strings.IndexByte(p.EID, ':')+1:], "%d", &n); err != nil {
			n = -1
		}
		out = append(out, n)
	}
	return out
}

func TestRows(t *testing.T) {
	k := newKernel(t, Options{})
	k.executed(7)
	k.record(1105, []byte("audit(1772366400.5:8): pid=9 uid=0 auid=1000 ses=4 msg='op=PAM:session_open grantors=pam_unix acct=\"anna\" exe=\"/usr/sbin/sshd\" hostname=10.0.0.9 addr=10.0.0.9 terminal=ssh res=success'\x00"))
	k.record(1305, []byte(`audit(1772366400.6:9): op=remove_rule auid=1000 ses=4 key="x" list=4 res=1`))
	k.record(1305, []byte("nonsense"))
	k.record(1305, nil)
	b := k.want(7)
	want := evidence.Process{Time: begin.Unix(), Platform: evidence.Linux, PID: 200, ParentPID: 1, Path: "/usr/bin/id", CmdLine: "id -u", CWD: "/root",
		UID: "0", LoginUID: "1000", Session: "3", TTY: "pts/0", Elevated: evidence.Yes, Source: "kaudit", EID: fmt.Sprintf("%d.123:7", begin.Unix())}
	if d := cmp.Diff([]evidence.Process{want}, b.Processes); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if len(b.Logons) != 1 || b.Logons[0].Username != "anna" || b.Logons[0].Source != "kaudit" || len(b.Changes) != 1 || b.Changes[0].Source != "kaudit" {
		t.Errorf("%+v", b)
	}
	if b.Read != 3 || b.Dropped != 0 || len(b.Gaps) != 0 || b.More {
		t.Errorf("%+v", b)
	}
}

// TestSameAsTheLog: the kernel's records say of a program what the daemon's log of
// them says, so that both are one row.
func TestSameAsTheLog(t *testing.T) {
	k := newKernel(t, Options{})
	k.executed(7)
	heard := k.want(7).Processes[0]
	var logged evidence.Batch
	dec := auditlog.NewDecoder()
	at := fmt.Sprintf("msg=audit(%d.123:7): ", begin.Unix())
	for _, l := range []string{
		"type=SYSCALL " + at + `arch=c000003e syscall=59 success=yes exit=0 ppid=1 pid=200 auid=1000 uid=1000 euid=0 tty=pts0 ses=3 comm="id" exe="/usr/bin/id" key=(null)` + "\x1dARCH=x86_64 SYSCALL=execve",
		"type=EXECVE " + at + `argc=2 a0="id" a1="-u"`, "type=CWD " + at + `cwd="/root"`, "type=PROCTITLE " + at + "proctitle=6964002D75"} {
		dec.Line([]byte(l), &logged)
	}
	heard.Source = auditlog.Source
	if d := cmp.Diff(logged.Processes, []evidence.Process{heard}); d != "" {
		t.Errorf("-logged +heard:\n%s", d)
	}
}

// osquery is one that has a row of process_events.
type osquery map[string]string

// Query implements core.Querier.
func (o osquery) Query(_ context.Context, sql string, row func(*core.Row) error) error {
	switch {
	case strings.Contains(sql, "FROM osquery_registry"):
		return row(core.NewRow("name", "process_events"))
	case strings.Contains(sql, "FROM osquery_events"):
		return errors.Join(row(core.NewRow("name", "auditeventpublisher", "type", "publisher", "active", "1", "events", "1")),
			row(core.NewRow("name", "process_events", "publisher", "auditeventpublisher", "type", "subscriber", "active", "1", "events", "1")))
	case strings.Contains(sql, "FROM process_events"):
		var pairs []string
		for k, v := range o {
			pairs = append(pairs, k, v)
		}
		return row(core.NewRow(pairs...))
	}
	return nil
}

// TestSameAsOsquery: of the same executions, this source and process_events say the
// same where the engine looks to make one row of them.
func TestSameAsOsquery(t *testing.T) {
	for _, argv := range [][]string{
		{"systemctl", "list-units"},
		{"sh", "-c", "systemctl 'list-units' | grep \"a b\"", "", "x\ny", `it's \ so`},
		{"e", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"},
	} {
		k := newKernel(t, Options{})
		at := fmt.Sprintf("audit(%d.123:7): ", begin.Unix())
		k.record(1300, []byte(at+`arch=c000003e syscall=59 success=yes exit=0 ppid=100 pid=200 auid=4294967295 uid=0 euid=33 tty=(none) ses=4294967295 comm="x" exe="/usr/bin/x"`))
		args := fmt.Sprintf("argc=%d", len(argv))
		byName := map[string]string{}
		for i, a := range argv {
			args += fmt.Sprintf(" a%d=%X", i, a)
			if a == "" {
				args += `""`
			}
			byName[fmt.Sprintf("a%d", i)] = a
		}
		k.record(1309, []byte(at+args))
		k.record(1307, []byte(at+"cwd="+fmt.Sprintf("%X", "/srv/a b")))
		k.record(1320, []byte(at))
		ours := k.want(7).Processes[0]

		var joined []string
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			joined = append(joined, byName[name])
		}
		events := core.NewProcessEvents(osquery{"time": fmt.Sprint(begin.Unix()), "eid": "0000000007", "pid": "200", "parent": "100", "path": "/usr/bin/x", "cmdline": strings.Join(joined, " "),
			"cwd": fmt.Sprintf("%X", "/srv/a b"), "uid": "0", "euid": "33", "auid": "4294967295", "syscall": "execve"}, func() (int64, time.Duration) { return begin.Unix() + 5, 0 })
		b, err := events.Read(t.Context(), "", 10)
		if err != nil || len(b.Processes) != 1 {
			t.Fatalf("%d rows, %v", len(b.Processes), err)
		}
		theirs := b.Processes[0]
		words := func(s string) string {
			return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\n'\"\\", r) }), "|")
		}
		ours.CmdLine, theirs.CmdLine = words(ours.CmdLine), words(theirs.CmdLine)
		theirs.ArgsJoined, theirs.Late, theirs.Source, theirs.EID = ours.ArgsJoined, ours.Late, ours.Source, ours.EID
		if d := cmp.Diff(theirs, ours); d != "" {
			t.Errorf("%q: -osquery +kaudit:\n%s", argv, d)
		}
	}
}

func TestExactlyOnce(t *testing.T) {
	k := newKernel(t, Options{})
	for i := 1; i <= 5; i++ {
		k.executed(i)
	}
	b, err := k.Read(t.Context(), "", 2)
	if err != nil || !b.More || fmt.Sprint(serialsOf(b)) != "[1 2]" {
		t.Fatalf("%v, %v", serialsOf(b), err)
	}
	again, err := k.Read(t.Context(), "", 2)
	if d := cmp.Diff(b, again); err != nil || d != "" {
		t.Errorf("asked again: %v %s", err, d)
	}
	k.cursor = b.Cursor
	k.want(3, 4, 5)
	k.want()
	// Stopped and started again, what nobody has read is still there, what was
	// acknowledged is not.
	k.executed(6)
	k.client = nil
	k.clock = k.clock.Add(time.Minute)
	k.start()
	k.executed(9)
	if b := k.want(6, 9); len(b.Gaps) != 0 {
		t.Errorf("%+v", b.Gaps)
	}
	// Another run does not know the rows of this one; what was missed is a gap.
	old := k.cursor
	k = newKernel(t, Options{})
	k.clock = begin.Add(time.Hour)
	k.run, k.started = "", time.Time{}
	k.start()
	k.cursor = old
	k.executed(20)
	if b := k.want(20); len(b.Gaps) != 1 || b.Gaps[0].From != begin.Add(time.Minute).Unix() || b.Gaps[0].To != k.clock.Unix() {
		t.Errorf("%+v", b.Gaps)
	}
	for _, c := range []string{"x", "a|b|c", "a|1", k.run + "|99999|1", k.run + "|1|-1", "||"} {
		if _, err := k.Read(t.Context(), c, 0); err != nil {
			t.Errorf("cursor %q: %v", c, err)
		}
	}
}

func TestLosses(t *testing.T) {
	k := newKernel(t, Options{Ring: 3})
	k.executed(1)
	k.want(1)
	k.overflow()
	if b := k.want(); len(b.Gaps) != 1 {
		t.Errorf("what the kernel discarded is no gap: %+v", b)
	}
	k.executed(12) // 2 to 11 never come
	k.executed(13)
	if b := k.want(12, 13); b.Dropped != 0 {
		t.Errorf("what may still be on its way is lost: %+v", b)
	}
	k.clock = k.clock.Add(settle)
	k.want()
	k.executed(14)
	k.clock = k.clock.Add(settle)
	if b := k.want(14); b.Dropped != 10 || len(b.Gaps) != 1 {
		t.Errorf("%+v", b)
	}
	k.executed(15 + reorder)
	k.executed(15 + 2*reorder) // so far that it is known at once
	b := k.want(15+reorder, 15+2*reorder)
	for range 2 {
		k.clock = k.clock.Add(settle)
		b.Dropped += k.want().Dropped
	}
	if b.Dropped != 2*reorder-1 || k.Stats().Lost != 10+2*reorder-1 || k.Stats().Overflows != 1 {
		t.Errorf("%d dropped, %+v", b.Dropped, k.Stats())
	}
	for i := 1; i <= 5; i++ { // more than waits
		k.executed(15 + 2*reorder + i)
	}
	if b := k.want(15+2*reorder+3, 15+2*reorder+4, 15+2*reorder+5); b.Dropped != 2 || len(b.Gaps) != 1 || k.Stats().Dropped != 2 {
		t.Errorf("%+v", b)
	}
	k.policy.lost = 5
	k.policy.owner = 77
	k.clock = k.clock.Add(askEvery)
	if b := k.want(); len(b.Gaps) != 1 || !strings.Contains(b.Gaps[0].Reason, "auditctl -s") {
		t.Errorf("%+v", b.Gaps)
	}
}

// TestFilling: who reads is told in time that there is much to read.
func TestFilling(t *testing.T) {
	told := 0
	k := newKernel(t, Options{Ring: 8, Filling: func() { told++ }})
	for i := 1; i <= 6; i++ {
		k.executed(i)
	}
	k.want(1, 2, 3, 4, 5, 6)
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	k.want()
	for i := 7; i <= 10; i++ {
		k.executed(i)
	}
	if told != 2 {
		t.Errorf("told %d times", told)
	}
}

func TestWaiting(t *testing.T) {
	k := newKernel(t, Options{})
	at := fmt.Sprintf("audit(%d.123:7): ", begin.Unix())
	k.record(1300, []byte(at+`arch=c000003e syscall=59 success=yes pid=200 exe="/usr/bin/id"`))
	k.record(1309, []byte(at+`argc=1 a0="id"`))
	k.want()
	k.clock = k.clock.Add(settle)
	k.want(7)
	k.want()
}

func TestState(t *testing.T) {
	check := func(k *kernel, state, in string) {
		t.Helper()
		k.clock = k.clock.Add(askEvery)
		k.executed(int(k.clock.Unix()))
		b, err := k.read(0)
		if len(b.Processes) != 1 {
			t.Errorf("%d rows", len(b.Processes))
		}
		var u *evidence.Unavailable
		if state == "" && err != nil || state != "" && (!errors.As(err, &u) || u.State != state || !strings.Contains(u.Detail, in) || u.Remedy == "") {
			t.Errorf("%v, want %s with %q", err, state, in)
		}
	}
	k := newKernel(t, Options{})
	check(k, "", "")
	k.policy.missing = "the kernel has no audit rules"
	check(k, evidence.StateOff, "no audit rules")
	k.policy.enabled = false
	check(k, evidence.StateOff, "switched off")
	// A record tells at once that somebody has changed that.
	k.policy = policy{enabled: true}
	k.record(1305, fmt.Appendf(nil, `audit(%d.6:%d): op=add_rule key="x" list=4 res=1`, k.clock.Unix(), k.clock.Unix()+1))
	if _, err := k.read(0); err != nil {
		t.Errorf("rules were added: %v", err)
	}
	k.err = errors.New("not you")
	check(k, "", "")
	k.clock = k.clock.Add(silence)
	_, err := k.read(0)
	var u *evidence.Unavailable
	if !errors.As(err, &u) || u.State != evidence.StateOff || !strings.Contains(u.Detail, "within 10m") || !strings.Contains(u.Detail, "not you") {
		t.Error(err)
	}
	k.client, k.Source.err = nil, errors.New("the socket broke")
	if _, err = k.read(0); !errors.As(err, &u) || u.State != evidence.StateFailed || !strings.Contains(u.Detail, "broke") {
		t.Error(err)
	}
	k.start()
	k.executed(int(k.clock.Unix()) + 1)
	if b, _ := k.read(0); len(b.Gaps) != 1 || !strings.Contains(b.Gaps[0].Reason, "broke") {
		t.Errorf("%+v", b.Gaps)
	}

	off := New(Options{})
	if _, err := off.Read(t.Context(), "", 0); !errors.As(err, &u) {
		t.Error(err)
	}
	for _, e := range []error{unix.EPERM, unix.EPROTONOSUPPORT} {
		if err := refused(e); !errors.As(err, &u) || u.State != evidence.StateOff {
			t.Error(err)
		}
	}
	if err := off.Close(); err != nil {
		t.Error(err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := off.Start(canceled); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := k.Read(canceled, "", 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The system calls that tests make rules of, on this architecture.
var (
	execs    = []int{unix.SYS_EXECVE, unix.SYS_EXECVEAT}
	connects = []int{unix.SYS_CONNECT}
	every    []int // all of them, as the file watches have it
)

// wire is a rule as the kernel takes it. Conditions are pairs of a field and a
// value that it equals.
func wire(list, action uint32, calls []int, conditions ...uint32) []byte {
	b := make([]byte, ruleSize)
	u32 := func(at int, v uint32) { binary.NativeEndian.PutUint32(b[at:], v) }
	u32(ruleList, list)
	u32(ruleAction, action)
	u32(ruleFieldCount, uint32(len(conditions)/2))
	for i := 0; i < len(conditions); i += 2 {
		const equal = 0x40000000
		u32(ruleFields+2*i, conditions[i])
		u32(ruleValues+2*i, conditions[i+1])
		u32(ruleValues+64*4+2*i, equal)
	}
	for i := range 64 {
		if calls == nil {
			u32(ruleMask+4*i, 1<<32-1)
		}
	}
	for _, c := range calls {
		at := ruleMask + 4*(c/32)
		u32(at, binary.NativeEndian.Uint32(b[at:])|1<<(c%32))
	}
	return b
}

func TestRules(t *testing.T) {
	const (
		auid = 9
		perm = 106
		cwd  = 1307
	)
	native := nativeArch()
	all := wire(listExit, actionAlways, execs, fieldArch, native)
	watch := wire(listExit, actionAlways, every, 105, 11, perm, 2)
	tests := []struct {
		name  string
		rules [][]byte
		want  string
	}{
		{"none", nil, "no audit rules"},
		{"all", [][]byte{all}, ""},
		{"as osquery sets it, without an architecture", [][]byte{wire(listExit, actionAlways, execs)}, ""},
		{"with a key, successful ones", [][]byte{wire(listExit, actionAlways, execs, fieldArch, native, fieldSuccess, 1, fieldKey, 4)}, ""},
		{"every call", [][]byte{wire(listExit|listPrepend, actionAlways, every, fieldArch, native)}, ""},
		{"others", [][]byte{watch, wire(listExit, actionAlways, connects, fieldArch, native)}, "some"},
		{"no call of use", [][]byte{wire(listExit, actionAlways, connects, fieldArch, native), []byte("short")}, "none of the kernel's 2 audit rules"},
		{"of another architecture", [][]byte{wire(listExit, actionAlways, execs, fieldArch, 0x40000003^1)}, "none"},
		{"of people", [][]byte{wire(listExit, actionAlways, execs, fieldArch, native, auid, 1000)}, "only some"},
		{"of people, then all", [][]byte{wire(listExit, actionAlways, execs, fieldArch, native, auid, 1000), all}, ""},
		{"never before", [][]byte{wire(listExit, actionNever, execs, fieldArch, native), all}, "comes before"},
		{"never after", [][]byte{all, wire(listExit, actionNever, execs, fieldArch, native)}, ""},
		{"never of one user", [][]byte{wire(listExit, actionNever, execs, fieldArch, native, auid, 1000), all}, ""},
		{"never any task", [][]byte{wire(listTask, actionNever, every), all}, "never,task"},
		{"excluded", [][]byte{all, wire(listExclude, actionAlways, every, fieldType, typeExecve)}, "type 1309"},
		{"something else excluded", [][]byte{all, wire(listExclude, actionAlways, every, fieldType, cwd)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := missing(tt.rules)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestSerials(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		var s serials
		first := uint64(rnd.IntN(1000))
		s.add(first)
		lost, want, at := int64(0), int64(0), first
		var late []uint64
		for range 3000 {
			at++
			switch rnd.IntN(20) {
			case 0:
				want++
				continue
			case 1:
				late = append(late, at)
				continue
			case 2:
				if rnd.IntN(50) == 0 {
					n := uint64(rnd.IntN(2000))
					want += int64(n)
					at += n
					for _, l := range late {
						lost += s.add(l)
					}
					late = nil
				}
			}
			lost += s.add(at)
			lost += s.add(at) // its other records
			if len(late) > 5 {
				for _, l := range late {
					lost += s.add(l)
				}
				late = nil
			}
		}
		for _, l := range late {
			lost += s.add(l)
		}
		// What is missing at the very end is not known to have existed.
		for top := s.top; top < at; top++ {
			want--
		}
		if lost += s.settle(s.top); lost != want {
			t.Fatalf("round %d: %d lost, want %d", round, lost, want)
		}
		if again := s.settle(s.top); again != 0 {
			t.Fatalf("settled again: %d", again)
		}
	}
	var s serials
	for _, n := range []uint64{1<<32 - 2, 1<<32 - 1, 0, 1, 2} {
		if lost := s.add(n); lost != 0 {
			t.Errorf("%d: %d lost where 32 bits are full", n, lost)
		}
	}
	if lost := s.add(1 << 40); lost != 0 || s.settle(s.top) != 0 {
		t.Error("a number out of the blue")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(uint16(1300), []byte(`audit(1700000000.123:7): arch=c000003e syscall=59 success=yes pid=200`), uint16(1309), []byte(`audit(1700000000.123:7): argc=1 a0="id"`))
	f.Add(uint16(1105), []byte(`audit(1.1:1): pid=1 msg='op=PAM:session_open acct="a" exe="/b" res=success'`), uint16(0), []byte("audit(:): "))
	f.Fuzz(func(t *testing.T, a uint16, first []byte, b uint16, second []byte) {
		k := newKernel(t, Options{Ring: 4})
		for range 3 {
			k.record(a, first)
			k.record(b, second)
		}
		k.clock = k.clock.Add(time.Hour)
		got, err := k.read(0)
		if err != nil || got.Dropped < 0 || len(k.gaps) > 64 {
			t.Errorf("%+v, %v", got, err)
		}
		for _, p := range got.Processes {
			if p.Source != name {
				t.Errorf("%+v", p)
			}
		}
	})
}

func FuzzRule(f *testing.F) {
	f.Add(make([]byte, ruleSize))
	full := make([]byte, ruleSize+16)
	binary.NativeEndian.PutUint32(full[ruleList:], listExit)
	binary.NativeEndian.PutUint32(full[ruleFieldCount:], 1<<31)
	f.Add(full)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := parseRule(b)
		if ok && (len(b) < ruleSize || len(r.fields) > 64 || len(r.fields) != len(r.values)) {
			t.Errorf("%+v", r)
		}
		missing([][]byte{b, b})
	})
}

func BenchmarkRecord(b *testing.B) {
	k := newKernel(nil, Options{})
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		k.executed(n)
	}
}

// TestHandOver: of two that listen at the same time each event is told by one, whenever
// its records come and wherever they are at that moment.
func TestHandOver(t *testing.T) {
	old := newKernel(t, Options{})
	next := newKernel(t, Options{})
	next.run = "the next"
	both := []*kernel{old}
	records := func(serial int, from, to int) {
		at := fmt.Sprintf("audit(%d.123:%d): ", begin.Unix(), serial)
		for _, r := range []struct {
			typ  uint16
			text string
		}{
			{1300, `arch=c000003e syscall=59 success=yes ppid=1 pid=200 uid=0 euid=0 exe="/usr/bin/id"`}, {1309, `argc=1 a0="id"`}, {1307, `cwd="/"`}, {1320, ""},
		}[from:to] {
			for _, k := range both {
				k.record(r.typ, []byte(at+r.text))
			}
		}
	}
	records(1, 0, 4)
	records(2, 0, 2)
	both = append(both, next) // it begins in the middle of the second
	records(2, 2, 4)
	records(3, 0, 4)
	records(5, 0, 4) // the fourth comes later
	records(6, 0, 1)
	old.want(1, 2, 3, 5) // and this is stored
	records(7, 0, 4)
	old.leave()
	records(6, 1, 4)
	records(4, 0, 4)
	records(8, 0, 4)
	old.complete()
	records(9, 0, 4)
	if b := old.want(7, 6, 4); b.Dropped != 0 || len(b.Gaps) != 0 {
		t.Errorf("%+v", b)
	}
	last := old.cursor
	next.cursor = last
	records(10, 0, 1)
	if b := next.want(8, 9); b.Dropped != 0 || len(b.Gaps) != 0 {
		t.Errorf("%+v", b)
	}
	records(10, 1, 4)
	next.want(10)

	// Numbers of another start of the kernel are others.
	again := newKernel(t, Options{})
	again.run, again.boot, again.cursor = "again", "another", last
	again.executed(3)
	again.want(3)
	// Who heard nothing leaves everything.
	idle := newKernel(t, Options{})
	if err := idle.HandOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	idle.executed(1)
	idle.want()
	fresh := newKernel(t, Options{})
	fresh.run, fresh.cursor = "fresh", idle.cursor
	fresh.executed(1)
	fresh.want(1)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := idle.HandOver(canceled); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestHandOverLogons: what is not a process is left in the same way, also where numbers
// begin again.
func TestHandOverLogons(t *testing.T) {
	k := newKernel(t, Options{})
	for _, serial := range []uint32{1<<32 - 2, 1<<32 - 1, 1, 2} {
		k.record(1105, fmt.Appendf(nil, "audit(1772366400.5:%d): pid=9 uid=0 auid=1000 ses=4 msg='op=PAM:session_open grantors=pam_unix acct=\"anna\" exe=\"/usr/sbin/sshd\" hostname=10.0.0.9 addr=10.0.0.9 terminal=ssh res=success'", serial))
	}
	k.cursor = fmt.Sprintf("theirs|7|%d|%s|%d", begin.Unix(), k.boot, 1)
	b := k.want()
	if len(b.Logons) != 1 || b.Logons[0].EID != "1772366400.5:2" || b.Read != 1 {
		t.Errorf("%+v", b)
	}
}
