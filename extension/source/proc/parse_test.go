package proc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

const statTail = " S 1 77 77 34816 77 4194304 117 0 0 0 0 0 0 0 20 0 1 0 245500 3133440 383 1 2 3"

func TestParseStat(t *testing.T) {
	want := stat{pid: 77, ppid: 1, state: 'S', tty: 34816, flags: 4194304, start: 245500}
	for _, name := range []string{"bash", "a b", ") R 9 9 (", "((", "\n", "\xff\xfe", ""} {
		got, err := parseStat([]byte("77 (" + name + ")" + statTail))
		if err != nil || got != want {
			t.Errorf("parseStat with the name %q = %+v, %v", name, got, err)
		}
	}
	for _, in := range []string{"", "77", "77 (x)", "77 (x) S 1", "x (y)" + statTail, "-1 (y)" + statTail, "77 )(" + statTail, "77 (x) S 1 1 1 x 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"} {
		if got, err := parseStat([]byte(in)); err == nil {
			t.Errorf("parseStat(%q) = %+v, want an error", in, got)
		}
	}
}

func TestTTYName(t *testing.T) {
	for n, want := range map[int]string{0: "", 34816: "pts/0", 34821: "pts/5", 1025: "tty1", 1088: "ttyS0", 136<<8 | 1<<20: "pts/256", -1: ""} {
		if got := ttyName(n); got != want {
			t.Errorf("ttyName(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestParseStatus(t *testing.T) {
	got := parseStatus([]byte("Name:\tUid:\t9 9\nUid:\t1000\t0\t1000\t1000\nCapEff:\t0000000000000000\n"))
	if got.uid != "0" || got.capable {
		t.Errorf("parseStatus = %+v", got)
	}
	if got := parseStatus([]byte("CapEff:\t000001ffffffffff\nUid:\tx y\n")); !got.capable || got.uid != "" {
		t.Errorf("parseStatus = %+v", got)
	}
}

func TestParseID(t *testing.T) {
	for in, want := range map[string]string{"1000": "1000", "4294967295": "", "0\n": "0", "": "", "-1": "", "1a": "", strings.Repeat("1", 40): ""} {
		if got := parseID([]byte(in)); got != want {
			t.Errorf("parseID(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseContainer(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	tests := map[string]string{
		"0::/system.slice/docker-" + id + ".scope\n":                             id,
		"12:pids:/docker/" + id + "\n11:cpu:/docker/" + id:                       id,
		"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope": id,
		"0::/kubepods/besteffort/pod0/" + id:                                     id,
		"0::/../../" + id + "/init":                                              id,
		"0::/machine.slice/libpod-" + id + ".scope/container":                    id,
		"0::/lxc.payload.web1/system.slice/x.service":                            "web1",
		"4:memory:/lxc/web2":                                                     "web2",
		"0::/user.slice/user-1000.slice/session-3.scope":                         "",
		"0::/docker/" + id[:63]:                                                  "",
		"0::/docker/" + strings.ToUpper(id):                                      "",
		"0::/system.slice:docker:" + id:                                          id,
		"":                                                                       "",
		"nonsense":                                                               "",
		"1:name=systemd:/lxc/../../etc;x":                                        "",
	}
	for in, want := range tests {
		if got := parseContainer([]byte(in)); got != want {
			t.Errorf("parseContainer(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestJoinArgs(t *testing.T) {
	tests := []struct {
		raw, want string
	}{
		{"systemctl\x00list-units\x00--type=service\x00", "systemctl list-units --type=service"},
		{"sh\x00-c\x00systemctl | grep x\x00", "sh -c 'systemctl | grep x'"},
		{"echo\x00it's\x00", `echo 'it'\''s'`},
		{"echo\x00\x00x\x00", "echo '' x"},
		{"echo\x00a\nb\x00", "echo 'a\nb'"},
		{"echo\x00$HOME\x00*\x00~\x00", "echo '$HOME' '*' '~'"},
		{"echo\x00\xff\xfe\x00", "echo \uFFFD"},
		{"nginx: worker process\x00\x00\x00\x00", "'nginx: worker process'"},
		{"", ""},
		{"\x00\x00", ""},
		{"a=b\x00c", "a=b c"},
	}
	for _, tt := range tests {
		if got := joinArgs(splitArgs([]byte(tt.raw))); got != tt.want {
			t.Errorf("joinArgs(%q) = %q, want %q", tt.raw, got, tt.want)
		}
	}
}

func TestParsePasswd(t *testing.T) {
	got := parsePasswd([]byte("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n#no:x:5:5\nbroken\n:x:7:7:\nal:x:1000:1000::/home/al:/bin/sh\nbad:x:-1:0:\n\xff:x:8:8:\n"))
	want := map[string]string{"0": "root", "1000": "al", "8": "\uFFFD"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseBootTime(t *testing.T) {
	if got, err := parseBootTime([]byte("cpu 1 2\nbtime 1700000000\nprocesses 3\n")); err != nil || got != 1700000000 {
		t.Errorf("parseBootTime = %d, %v", got, err)
	}
	for _, in := range []string{"", "btime x", "btime -5"} {
		if _, err := parseBootTime([]byte(in)); err == nil {
			t.Errorf("parseBootTime(%q): want an error", in)
		}
	}
}

// message builds what the kernel sends.
func message(what uint32, data ...uint32) []byte {
	b := make([]byte, eventDataAt+4*len(data))
	put := binary.NativeEndian
	put.PutUint32(b, uint32(len(b)))
	put.PutUint32(b[netlinkHeader:], connectorProc)
	put.PutUint32(b[netlinkHeader+4:], connectorProc)
	put.PutUint32(b[eventAt:], what)
	put.PutUint64(b[eventAt+8:], 42)
	for i, d := range data {
		put.PutUint32(b[eventDataAt+4*i:], d)
	}
	return b
}

func TestParseEvents(t *testing.T) {
	both := append(message(eventFork, 10, 11, 12, 13), message(eventExec, 20, 21)...)
	got := parseEvents(both)
	want := []event{{what: eventFork, nanos: 42, parent: 11, pid: 12, tgid: 13}, {what: eventExec, nanos: 42, pid: 20, tgid: 21}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(event{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := range both {
		parseEvents(both[:i])
	}
	if got := parseEvents(message(eventFork, 1, 2)); len(got) != 0 {
		t.Errorf("a fork cut short gave %+v", got)
	}
	other := message(eventExec, 20, 21)
	other[netlinkHeader] = 9
	if got := parseEvents(other); len(got) != 0 {
		t.Errorf("a message of another connector gave %+v", got)
	}
}

func TestLineagesOutliveTheirProcesses(t *testing.T) {
	l := newLineages(3)
	l.executed(100, 1, "/usr/sbin/sshd", "sshd -D")
	l.forked(100, 101)
	l.executed(101, 100, "/bin/bash", "bash")
	l.forked(101, 102)
	got := l.executed(102, 1, "/usr/bin/systemctl", "systemctl")
	want := []evidence.Ancestor{{PID: 101, Path: "/bin/bash", CmdLine: "bash"}, {PID: 100, Path: "/usr/sbin/sshd", CmdLine: "sshd -D"}, {PID: 1}}
	if diff := cmp.Diff(want, got.parents); diff != "" || got.ppid != 101 {
		t.Errorf("ppid %d (-want +got):\n%s", got.ppid, diff)
	}
	// The number comes back: what was remembered of the old process goes.
	l.forked(100, 102)
	if got := l.get(102); got.ppid != 100 || got.path != "/usr/sbin/sshd" {
		t.Errorf("a number that came back is %+v", got)
	}
	for pid := 200; pid < 300; pid++ {
		l.forked(pid, pid+1)
	}
	if len(l.byPID) > 3 || l.order.Len() > 3 {
		t.Errorf("%d lineages kept, want at most 3", len(l.byPID))
	}
}

func TestAncestryIsBounded(t *testing.T) {
	l := newLineages(1000)
	for pid := 1; pid < 500; pid++ {
		l.forked(pid, pid+1)
	}
	if got := len(l.get(500).parents); got != maxAncestry {
		t.Errorf("%d ancestors, want %d", got, maxAncestry)
	}
}

func TestRing(t *testing.T) {
	r := newRing(4, 1<<20)
	for i := range 6 {
		r.push(evidence.Process{PID: int64(i), Time: int64(i)})
	}
	if r.dropped != 2 || r.from != 0 || r.to != 1 || r.first != 3 || r.rows[0].PID != 2 {
		t.Fatalf("ring = %+v", r)
	}
	r.acknowledge(1)
	if len(r.rows) != 4 {
		t.Fatalf("an old acknowledgement dropped rows")
	}
	r.acknowledge(4)
	if len(r.rows) != 2 || r.rows[0].PID != 4 {
		t.Fatalf("ring = %+v", r)
	}
	r.acknowledge(1000)
	if len(r.rows) != 0 || r.bytes != 0 {
		t.Fatalf("ring = %+v", r)
	}
	small := newRing(100, 2000)
	for range 10 {
		small.push(evidence.Process{CmdLine: strings.Repeat("x", 600)})
	}
	if len(small.rows) != 1 || small.dropped != 9 {
		t.Errorf("a ring of 2000 bytes holds %d rows, dropped %d", len(small.rows), small.dropped)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("77 (a b)" + statTail))
	f.Add([]byte("1 () S"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStat(b)
		if err == nil && (s.pid <= 0 || s.ppid < 0) {
			t.Errorf("parseStat(%q) = %+v", b, s)
		}
		ttyName(s.tty)
	})
}

func FuzzParseCgroup(f *testing.F) {
	f.Add([]byte("0::/docker/" + strings.Repeat("ab", 32)))
	f.Add([]byte("0::/lxc/a\n1:x:/lxc.payload.b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id := parseContainer(b); id != "" && !plainName(id) {
			t.Errorf("parseContainer(%q) = %q", b, id)
		}
		parseStatus(b)
		parsePasswd(b)
		parseBootTime(b)
	})
}

func FuzzCmdLine(f *testing.F) {
	f.Add([]byte("sh\x00-c\x00it's \"x\"\x00"))
	f.Add([]byte("\xff\x00\n\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		args := splitArgs(b)
		line := joinArgs(args)
		if !utf8.ValidString(line) || bytes.IndexByte([]byte(line), 0) >= 0 {
			t.Errorf("joinArgs(%q) = %q", args, line)
		}
		back := unquote(line)
		for i := range args {
			args[i] = strings.ToValidUTF8(args[i], "\uFFFD")
		}
		if fmt.Sprintf("%q", back) != fmt.Sprintf("%q", args) {
			t.Errorf("%q reads back as %q, want %q", line, back, args)
		}
	})
}

// unquote reads back what joinArgs wrote.
func unquote(line string) []string {
	var out []string
	if line == "" {
		return out
	}
	var word strings.Builder
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case ' ':
			out = append(out, word.String())
			word.Reset()
		case '\\':
			i++
			word.WriteByte(line[i])
		case '\'':
			end := strings.IndexByte(line[i+1:], '\'')
			word.WriteString(line[i+1 : i+1+end])
			i += end + 1
		default:
			word.WriteByte(line[i])
		}
	}
	return append(out, word.String())
}

func FuzzParseEvents(f *testing.F) {
	f.Add(message(eventFork, 1, 2, 3, 4))
	f.Add(append(message(eventNone, 0), message(eventExec, 5, 5)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := len(parseEvents(b)); n > len(b)/netlinkHeader {
			t.Errorf("%d events in %d bytes", n, len(b))
		}
	})
}
