package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func started(pid, parent, at int64, path string) *evidence.Process {
	return &evidence.Process{PID: pid, ParentPID: parent, Time: at, Path: path, CmdLine: path + " -x"}
}

func ancestry(l *lineage, p *evidence.Process) string {
	l.complete(p)
	var out []string
	for _, a := range p.Ancestry {
		out = append(out, fmt.Sprintf("%d:%s", a.PID, a.Path))
	}
	return strings.Join(out, " ")
}

func TestLineage(t *testing.T) {
	for _, c := range []struct {
		name string
		seen []*evidence.Process
		p    *evidence.Process
		want string
	}{
		{"chain", []*evidence.Process{started(1, 0, 1, "/init"), started(5, 1, 2, "/sshd"), started(9, 5, 3, "/bash")}, started(20, 9, 4, "/x"), "9:/bash 5:/sshd 1:/init"},
		{"parent unknown", nil, started(20, 9, 4, "/x"), ""},
		{"exec replaces", []*evidence.Process{started(9, 5, 3, "/sh"), started(9, 5, 3, "/python")}, started(20, 9, 4, "/x"), "9:/python"},
		{"the id was used again before", []*evidence.Process{started(9, 5, 3, "/old"), started(9, 6, 10, "/new")}, started(20, 9, 11, "/x"), "9:/new"},
		{"the id was used again after", []*evidence.Process{started(9, 5, 3, "/old"), started(9, 6, 10, "/new")}, started(20, 9, 4, "/x"), "9:/old"},
		{"the id was used twice after", []*evidence.Process{started(9, 5, 3, "/old"), started(9, 6, 10, "/new"), started(9, 7, 20, "/newer")}, started(20, 9, 4, "/x"), "9:/old"},
		{"the id was used only after", []*evidence.Process{started(9, 6, 10, "/new")}, started(20, 9, 4, "/x"), ""},
		{"the same parent's next child, a day later", []*evidence.Process{started(9, 5, 3, "/old"), started(9, 5, 90003, "/new")}, started(20, 9, 4, "/x"), "9:/old"},
		{"a parent's start was never seen", []*evidence.Process{under(started(9, 5, 3, "/bin/sh"), "/usr/sbin/nrpe")}, started(20, 9, 4, "/x"), "9:/bin/sh 5:/usr/sbin/nrpe"},
		{"an ancestor's id was used again", []*evidence.Process{started(5, 1, 100, "/young"), started(9, 5, 3, "/bash")}, started(20, 9, 4, "/x"), "9:/bash"},
		{"late evidence of an earlier one", []*evidence.Process{started(9, 6, 10, "/new"), started(9, 5, 3, "/old")}, started(20, 9, 11, "/x"), "9:/new"},
		{"same second, clock off by one", []*evidence.Process{started(9, 5, 5, "/bash")}, started(20, 9, 4, "/x"), "9:/bash"},
		{"its own parent", []*evidence.Process{started(9, 9, 3, "/x")}, started(9, 9, 3, "/x"), ""},
		{"a loop", []*evidence.Process{started(7, 8, 3, "/a"), started(8, 7, 3, "/b")}, started(20, 7, 4, "/x"), "7:/a 8:/b"},
		{"ids that are none", []*evidence.Process{started(0, 0, 3, "/a"), started(-5, 0, 3, "/b")}, started(20, -5, 4, "/x"), ""},
	} {
		l := newLineage()
		for _, p := range c.seen {
			l.remember(p)
		}
		if got := ancestry(l, c.p); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func under(p *evidence.Process, parent string) *evidence.Process {
	p.ParentPath = parent
	return p
}

// TestLineageSparesParents starts far more than is remembered under one daemon.
func TestLineageSparesParents(t *testing.T) {
	l := newLineage()
	l.remember(started(2, 1, 1, "/agent"))
	for i := int64(0); i < 3*maxProcesses; i++ {
		p := started(100+i, 2, 10+i, "/x")
		l.remember(p)
		if got := ancestry(l, p); got != "2:/agent" {
			t.Fatalf("after %d starts: %q", i, got)
		}
	}
}

func TestLineageKeepsWhatTheSourceSays(t *testing.T) {
	l := newLineage()
	l.remember(started(9, 5, 3, "/bash"))
	p := started(20, 9, 4, "/x")
	p.Ancestry = []evidence.Ancestor{{PID: 9, Path: "/zsh", CmdLine: "zsh -l"}}
	if got := ancestry(l, p); got != "9:/zsh" || p.ParentPath != "/zsh" || p.ParentCmdLine != "zsh -l" {
		t.Errorf("%s, parent %s %s", got, p.ParentPath, p.ParentCmdLine)
	}
	p = started(20, 9, 4, "/x")
	p.ParentPath = "/usr/bin/bash"
	if l.complete(p); p.ParentPath != "/usr/bin/bash" || p.ParentCmdLine != "/bash -x" {
		t.Errorf("parent %s %s", p.ParentPath, p.ParentCmdLine)
	}
	p = started(20, 9, 4, "/x")
	p.ParentPath = "/fish" // not what has the id: nothing of that is known
	if got := ancestry(l, p); got != "" || p.ParentPath != "/fish" || p.ParentCmdLine != "" {
		t.Errorf("%q, parent %s %s", got, p.ParentPath, p.ParentCmdLine)
	}
}

// TestLineageIsBounded fills it three times over: the oldest go, the newest stay, and
// neither index nor texts grow.
func TestLineageIsBounded(t *testing.T) {
	l := newLineage()
	long := strings.Repeat("x", 10*maxRemembered)
	const n = 3*maxProcesses + 17
	for i := int64(1); i <= n; i++ {
		p := started(i, i-1, i, "/p")
		p.CmdLine = long
		l.remember(p)
	}
	// Half a piece may be lost to each.
	if least := maxPieces * pieceBytes / 2 / (maxRemembered + 128); len(l.ring) != maxProcesses || len(l.byPID) < least {
		t.Errorf("%d entries, %d indexed of at least %d", len(l.ring), len(l.byPID), least)
	}
	checkLineage(t, l)
	if r, ok := l.find("", n-1000, n-1000); !ok || r.cmdline != long[:maxRemembered] || r.path != "/p" {
		t.Errorf("one of the newest: %v, %q with %d bytes", ok, r.path, len(r.cmdline))
	}
	p := started(n+1, n, n+1, "/x")
	if l.complete(p); len(p.Ancestry) != maxAncestors {
		t.Errorf("%d ancestors", len(p.Ancestry))
	}
	if got := ancestry(l, started(n+2, 5, n+2, "/x")); got != "" {
		t.Errorf("one that should have gone: %s", got)
	}
	// Ids used over and over: what is evicted must not take a newer one with it.
	l = newLineage()
	for i := int64(0); i < n; i++ {
		l.remember(started(1+i%500, i, i, "/p"))
	}
	if len(l.byPID) != 500 {
		t.Errorf("%d of 500 ids indexed", len(l.byPID))
	}
	checkLineage(t, l)
}

// checkLineage looks whether index, entries and texts are of one mind.
func checkLineage(t *testing.T, l *lineage) {
	t.Helper()
	for key, i := range l.byPID {
		if l.ring[i].key != key || l.ring[i].pid == 0 || len(l.unpack(int(i)).cmdline) > maxRemembered {
			t.Fatalf("process %x is at an entry of %d with %d bytes", key, l.ring[i].pid, len(l.unpack(int(i)).cmdline))
		}
	}
	live := make([]int32, len(l.texts.list))
	for i := range l.ring {
		if r := &l.ring[i]; r.pid != 0 {
			live[r.at.piece] += int32(pieceHead + r.size())
		}
	}
	made := 0
	for n, b := range l.texts.list {
		if b != nil {
			made++
		}
		if live[n] != l.texts.live[n] || int(live[n]) > len(b) || b != nil && cap(b) != pieceBytes {
			t.Fatalf("piece %d has %d bytes in use of %d, and counts %d", n, live[n], len(b), l.texts.live[n])
		}
	}
	if made > maxPieces || made+len(l.texts.free) != len(l.texts.list) {
		t.Fatalf("%d pieces, %d numbers free of %d", made, len(l.texts.free), len(l.texts.list))
	}
}

// TestLineageTexts starts processes with texts of all lengths, of which some are parents
// for long, and compares each answer with what was told; the memory of long texts is
// given back when they are short again.
func TestLineageTexts(t *testing.T) {
	l := newLineage()
	random := rand.New(rand.NewPCG(1, 2))
	told := map[int64]string{}
	text := func(most int) string { return strings.Repeat(string(rune('a'+random.IntN(26))), random.IntN(most+1)) }
	for _, phase := range []struct{ starts, length int }{{40_000, 60}, {30_000, 20_000}, {60_000, 60}} {
		for range phase.starts {
			pid := 1 + random.Int64N(30_000)
			p := started(pid, 1+random.Int64N(200), 100, "/bin/"+text(phase.length/2))
			p.CmdLine, p.CWD, p.Host, p.Username = text(phase.length), text(phase.length), "h", text(8)
			l.remember(p)
			texts := textsOf(p)
			told[pid] = strings.Join(texts[:], "|")
			if random.IntN(4) == 0 {
				l.complete(started(40_000, 1+random.Int64N(100), 100, "/x"))
			}
		}
		checkLineage(t, l)
		known := 0
		for pid, want := range told {
			r, ok := l.find("h", pid, 100)
			if !ok {
				continue
			}
			known++
			got := strings.Join([]string{r.path, r.cmdline, r.username, r.loginUser, r.session, r.logonID, r.uid, r.cwd, r.containerID, r.loginSource, r.loginUID, r.parentPath, r.parentCmdline, r.host}, "|")
			if got != want {
				t.Fatalf("process %d: %.80q, told %.80q", pid, got, want)
			}
		}
		pieces := len(l.texts.list) - len(l.texts.free)
		if known < 500 || phase.length > 60 && pieces != maxPieces || phase.length <= 60 && pieces > maxPieces*3/4 {
			t.Errorf("texts of up to %d bytes: %d processes known, %d pieces", phase.length, known, pieces)
		}
		t.Logf("texts of up to %d bytes: %d processes known, %d pieces", phase.length, known, pieces)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "ünï 日本 🙂": "ünï 日本 🙂", "a\nb\tc\r": `a\nb\tc\r`, "\x1b[31m": `\u001b[31m`, "\x7f": `\u007f`, "\u0085": `\u0085`,
		"a\u202eb": `a\u202eb`, "\u200b": `\u200b`, "\ufeff": `\ufeff`, "\u2028": `\u2028`, "\U000e0041": `\U000e0041`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if got := printable(printable(in)); got != want {
			t.Errorf("%q twice: %q", in, got)
		}
	}
}

func FuzzPresent(f *testing.F) {
	f.Add("sc query --password=x \x1b\xff")
	f.Add(strings.Repeat("p=", maxText))
	f.Fuzz(func(t *testing.T, s string) {
		got := present(s)
		if strings.IndexFunc(got, hidden) >= 0 || strings.ContainsRune(got, 0) {
			t.Errorf("%q holds what is hidden", got)
		}
	})
}

func TestJSONText(t *testing.T) {
	for want, v := range map[string]any{
		"[]": []string(nil), `["a > b & c"]`: []string{"a > b & c"}, `["\"\\"]`: []string{`"\`},
	} {
		if got := jsonText(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	if got := jsonText(func() {}); got != "[]" {
		t.Errorf("what cannot be written: %s", got)
	}
	if got := fmt.Sprint(ids(`["a,b","c"]`), ids("[]"), ids("broken")); got != "[a,b c] [] []" {
		t.Errorf("ids %s", got)
	}
}

// TestAwait: a calm moment is no reason to collect.
func TestAwait(t *testing.T) {
	e := &Engine{nudge: make(chan struct{}, 1), opts: Options{Now: func() time.Time { return time.Unix(1, 0) }}}
	calm, tick := make(chan time.Time), make(chan time.Time)
	due := make(chan bool)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wait := func() { due <- e.await(ctx, time.Unix(0, 0), tick, calm) }
	go wait()
	calm <- time.Time{}
	select {
	case calm <- time.Time{}: // it waits on
	case <-due:
		t.Fatal("it was calm, and a collection was due")
	}
	tick <- time.Time{}
	if !<-due {
		t.Error("after a tick nothing was due")
	}
	go wait()
	e.Nudge()
	if !<-due {
		t.Error("after a nudge nothing was due")
	}
	go wait()
	cancel()
	if <-due {
		t.Error("a collection was due when the context ended")
	}
}
