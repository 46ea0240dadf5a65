package auditlog

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/tests/cputime"
)

func decodeAll(t testing.TB, lines ...string) (b evidence.Batch) {
	t.Helper()
	d := NewDecoder()
	for _, l := range lines {
		for _, one := range strings.Split(l, "\n") {
			d.Line([]byte(one), &b)
		}
	}
	d.Flush(&b)
	if d.size != 0 {
		t.Errorf("%d bytes are left", d.size)
	}
	return b
}

func decode(t testing.TB, lines ...string) []evidence.Process {
	t.Helper()
	return decodeAll(t, lines...).Processes
}

const call = `arch=c000003e syscall=59 success=yes exit=0 a0=55 a1=66 items=2 ppid=100 pid=200 auid=1000 uid=1000 gid=1000 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=3 comm="systemctl" exe="/usr/bin/systemctl" subj=unconfined key="exec"`

func event0(serial int, records ...string) string {
	var b strings.Builder
	for _, r := range records {
		typ, body, _ := strings.Cut(r, " ")
		fmt.Fprintf(&b, "type=%s msg=audit(1700000000.999:%d): %s\n", typ, serial, body)
	}
	return b.String()
}

func TestLines(t *testing.T) {
	base := evidence.Process{Time: 1_700_000_000, Platform: evidence.Linux, PID: 200, ParentPID: 100, Path: "/usr/bin/systemctl",
		UID: "0", LoginUID: "1000", Session: "3", TTY: "pts/0", Elevated: evidence.Yes, Source: Source, EID: "1700000000.999:7"}
	with := func(f func(*evidence.Process)) []evidence.Process {
		p := base
		f(&p)
		return []evidence.Process{p}
	}
	long := strings.Repeat("x y", 100)
	tests := []struct {
		name string
		log  string
		want []evidence.Process
	}{
		{"a plain one", event0(7, "SYSCALL "+call, `EXECVE argc=2 a0="systemctl" a1="list-units"`, `CWD cwd="/root"`, `PATH item=0 name="/usr/bin/systemctl" inode=1`, `PROCTITLE proctitle=73797374656D63746C006C6973742D756E697473`),
			with(func(p *evidence.Process) { p.CmdLine, p.CWD = "systemctl list-units", "/root" })},
		{"encoded words, an empty one, a quote, a line break", event0(7, "SYSCALL "+call, `EXECVE argc=6 a0="sh" a1="-c" a2=`+enc("systemctl list-units | grep 'a b'")+` a3="" a4=`+enc("x\ny")+` a5="?"`, `CWD cwd=`+enc("/a b")),
			with(func(p *evidence.Process) {
				p.CWD = "/a b"
				p.CmdLine = `sh -c 'systemctl list-units | grep '\''a b'\''' '' 'x` + "\n" + `y' '?'`
			})},
		{"a long word in pieces over several records", event0(7, "SYSCALL "+call, `EXECVE argc=4 a0="echo" a1_len=600 a1[0]=`+enc(long), `EXECVE a1[1]=`+enc(long)+` a2="b"`, `EXECVE a3="c"`, `EOE `),
			with(func(p *evidence.Process) { p.CmdLine = "echo '" + long + long + "' b c" })},
		{"more than ten words", event0(7, "SYSCALL "+call, `EXECVE argc=12 a0="e" a1="1" a2="2" a3="3" a4="4" a5="5" a6="6" a7="7" a8="8" a9="9" a10="10" a11="11"`),
			with(func(p *evidence.Process) { p.CmdLine = "e 1 2 3 4 5 6 7 8 9 10 11" })},
		{"a record is missing", event0(7, "SYSCALL "+call, `EXECVE argc=4 a0="echo" a1="b"`, `EXECVE a3="d"`),
			with(func(p *evidence.Process) { p.CmdLine, p.Truncated = "echo b", true })},
		{"enriched", event0(7, "SYSCALL "+call+"\x1dARCH=x86_64 SYSCALL=execve AUID=\"anna\" UID=\"anna\" EUID=\"root\"", `EXECVE argc=1 a0="systemctl"`),
			with(func(p *evidence.Process) { p.CmdLine, p.LoginUser, p.Username = "systemctl", "anna", "root" })},
		{"nobody logged in", event0(7, "SYSCALL "+strings.NewReplacer("auid=1000", "auid=4294967295", "ses=3", "ses=4294967295", "tty=pts0", "tty=(none)", "euid=0", "euid=33").Replace(call)+"\x1dAUID=\"unset\" EUID=\"www-data\"", `EXECVE argc=1 a0="id"`),
			with(func(p *evidence.Process) {
				p.CmdLine, p.LoginUID, p.Session, p.TTY, p.UID, p.Username, p.Elevated = "id", "", "", "", "33", "www-data", evidence.No
			})},
		{"the words only in the title", event0(7, "SYSCALL "+call, `PROCTITLE proctitle=73797374656D63746C002D2D74797065003D`),
			with(func(p *evidence.Process) { p.CmdLine = "systemctl --type =" })},
		{"an execution that failed", event0(7, "SYSCALL "+strings.Replace(call, "success=yes exit=0", "success=no exit=-2", 1), `EXECVE argc=1 a0="x"`), nil},
		{"another system call", event0(7, "SYSCALL "+strings.Replace(call, "syscall=59", "syscall=257", 1), `CWD cwd="/"`, `PROCTITLE proctitle="x"`), nil},
		{"records of two events mix",
			"type=SYSCALL msg=audit(1700000000.999:7): " + call + "\ntype=SYSCALL msg=audit(1700000001.100:8): " + strings.Replace(call, "pid=200", "pid=201", 1) +
				"\ntype=EXECVE msg=audit(1700000000.999:7): argc=1 a0=\"a\"\ntype=EXECVE msg=audit(1700000001.100:8): argc=1 a0=\"b\"",
			append(with(func(p *evidence.Process) { p.CmdLine = "a" }), with(func(p *evidence.Process) {
				p.CmdLine, p.PID, p.Time, p.EID = "b", 201, 1_700_000_001, "1700000001.100:8"
			})...)},
		{"sent to syslog by the plugin, with a node", strings.ReplaceAll(event0(7, "SYSCALL "+call, `EXECVE argc=1 a0="a"`), "type=", "Nov 14 22:13:20 web1 audisp-syslog[9]: node=web1 type="),
			with(func(p *evidence.Process) { p.CmdLine, p.Host = "a", "web1" })},
		{"the kernel's own lines", "Nov 14 22:13:20 web1 kernel: audit: type=1300 audit(1700000000.999:7): " + call + "\nNov 14 22:13:20 web1 kernel: audit: type=1309 audit(1700000000.999:7): argc=1 a0=\"a\"",
			with(func(p *evidence.Process) { p.CmdLine = "a" })},
		{"ausearch --raw with separators", "----\n" + event0(7, "SYSCALL "+call, `EXECVE argc=1 a0="a"`) + "----\n",
			with(func(p *evidence.Process) { p.CmdLine = "a" })},
		{"sudo's own report", `type=USER_CMD msg=audit(1700000000.999:7): pid=300 uid=1000 auid=1000 ses=3 msg='cwd="/home/a b" cmd=` + enc("systemctl list-units") + ` exe="/usr/bin/sudo" terminal=pts/0 res=success'` + "\x1dUID=\"anna\" AUID=\"anna\"",
			[]evidence.Process{{Time: 1_700_000_000, Platform: evidence.Linux, ParentPID: 300, ParentPath: "/usr/bin/sudo", CmdLine: "systemctl list-units", CWD: "/home/a b",
				LoginUID: "1000", LoginUser: "anna", Session: "3", TTY: "pts/0", ArgsJoined: true, Source: Source, EID: "1700000000.999:7"}}},
		{"a record inside another's text", `type=USER_AUTH msg=audit(1700000000.999:7): pid=1 msg='acct="x type=EXECVE msg=audit(1.1:1): argc=1 a0="evil" '`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, decode(t, tt.log)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func enc(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }

func TestIsRecord(t *testing.T) {
	for s, want := range map[string]bool{
		"type=SYSCALL msg=audit(1.2:3): x":                       true,
		"node=a type=SYSCALL msg=audit(1.2:3): x":                true,
		"type=SYSCALL msg=audit(1.2:3":                           false,
		"type=SYSCALL msg=audit(99999999999999.2:3): ":           false,
		"type=SYSCALL msg=audit(-1.2:3): ":                       false,
		"type= msg=audit(1.2:3): x":                              false,
		"sshd: user='type=EXECVE msg=audit(1.1:1): a0=x":         false,
		"anna ran type=EXECVE msg=audit(1.1:1): argc=1 a0=\"x\"": false,
		"": false,
	} {
		if got := IsRecord([]byte(s)); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestBounds(t *testing.T) {
	start := cputime.Start()
	d := NewDecoder()
	var all evidence.Batch
	for i := range 20_000 { // events that never end
		d.Line([]byte(fmt.Sprintf(`type=EXECVE msg=audit(1700000000.1:%d): argc=1 a0="%s"`, i, strings.Repeat("x", 1000))), &all)
		if len(d.open) > maxOpen || d.size > maxOpenText {
			t.Fatalf("%d events with %d bytes wait", len(d.open), d.size)
		}
	}
	for i := range 400_000 { // one event that never ends
		d.Line([]byte(fmt.Sprintf(`type=EXECVE msg=audit(1700000000.1:1): argc=2000000000 a0[%d]=41 a%d="x"`, i, i)), &all)
	}
	d.Flush(&all)
	got := all.Processes
	if p := got[len(got)-1]; !p.Truncated || len(p.CmdLine) > maxArgText {
		t.Errorf("a command line of %d bytes, truncated: %v", len(p.CmdLine), p.Truncated)
	}
	if el := start.Took(); el > 20*time.Second {
		t.Errorf("it took %v", el)
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte(event0(7, "SYSCALL "+call, `EXECVE argc=3 a0="a" a1=4142 a2[0]=41`, `EXECVE a2[1]=42`, `CWD cwd="/"`, `PROCTITLE proctitle=4100`)))
	f.Add([]byte("node=x type=USER_CMD msg=audit(1.1:1): pid=1 msg='cmd=41 res=success'\x1dAUID=\"a\""))
	f.Add([]byte(event0(7, sys("c000003e", "42", "a0=3"), "SOCKADDR saddr=020001BBCB0071070000000000000000", "PROCTITLE proctitle=41")))
	f.Add([]byte(event0(7, sys("c000003e", "257", "a2=241"), `PATH name="/etc/systemd/system/a.service" nametype=CREATE`, "EOE ")))
	f.Add([]byte(user("USER_START", "pid=1 auid=1 ses=3", `op=PAM:session_open acct="a" exe="/usr/sbin/sshd" addr=1.2.3.4 res=success`) + user("USER_MGMT", "pid=1", `op=a b grp="c" acct=41 res=success`)))
	f.Add([]byte("type=CONFIG_CHANGE msg=audit(1.1:1): auid=1 op=remove_rule key=\"a\" list=4 res=1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := NewDecoder()
		var got evidence.Batch
		for _, line := range strings.Split(string(b), "\n") {
			d.Line([]byte(line), &got)
		}
		d.Flush(&got)
		for _, c := range got.Connections {
			if c.RemoteAddr == "" || c.RemotePort < 1 || c.RemotePort > 65535 {
				t.Errorf("%+v", c)
			}
		}
		for _, i := range got.Installs {
			if i.Name == "" || i.UnitPath == "" || i.Kind == "" || i.Action == "" {
				t.Errorf("%+v", i)
			}
		}
		for _, l := range got.Logons {
			if l.Username == "" && !l.Failed {
				t.Errorf("%+v", l)
			}
		}
		for _, c := range got.Changes {
			if c.Kind == "" || c.Subject == "" || len(c.Detail) > 16*maxText {
				t.Errorf("%+v", c)
			}
		}
		if d.size != 0 || len(d.open) != 0 {
			t.Errorf("%d events with %d bytes are left", len(d.open), d.size)
		}
	})
}

func BenchmarkLine(b *testing.B) {
	lines := strings.Split(event0(7, "SYSCALL "+call, `EXECVE argc=2 a0="systemctl" a1="list-units"`, `CWD cwd="/root"`, `PATH item=0 name="/usr/bin/systemctl"`, `PROCTITLE proctitle=73797374656D63746C`), "\n")
	d := NewDecoder()
	b.ReportAllocs()
	for b.Loop() {
		var got evidence.Batch
		for _, l := range lines {
			d.Line([]byte(l), &got)
		}
	}
}

// TestWords: in whatever order and pieces words come, each is what was told of it last.
func TestWords(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var e event
		e.exec, e.argc = true, rnd.IntN(5)
		told := map[int]string{}
		for next := range rnd.IntN(9) {
			n := next
			if rnd.IntN(3) == 0 {
				n = rnd.IntN(6)
			}
			text := string(rune('a' + rnd.IntN(26)))
			if rnd.IntN(4) == 0 {
				e.execve(fmt.Appendf(nil, `a%d[%d]="%s"`, n, next, text))
				told[n] += text
			} else {
				e.execve(fmt.Appendf(nil, `a%d="%s"`, n, text))
				told[n] = text
			}
		}
		var want []string
		truncated := false
		for i := range max(e.argc, len(told)) {
			w, ok := told[i]
			if !ok {
				truncated = len(told) > 0
				break
			}
			want = append(want, w)
		}
		p, _ := e.process()
		if line := strings.Join(want, " "); p.CmdLine != line || len(want) > 0 && p.Truncated != truncated {
			t.Fatalf("%q, truncated %v; want %q, %v (%v)", p.CmdLine, p.Truncated, line, truncated, told)
		}
	}
}
