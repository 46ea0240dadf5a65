package engine

import (
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

func TestStarts(t *testing.T) {
	var s starts
	if got := s.before("h", 100); got != 0 {
		t.Errorf("nobody told, but it started at %d", got)
	}
	for _, at := range []int64{500, 100, 300, 300, 0, -4} { // recorded evidence comes in any order
		s.remember("Host.example", at)
	}
	for at, want := range map[int64]int64{99: 0, 100: 100, 299: 100, 300: 300, 501: 500} {
		if got := s.before("hOST.example", at); got != want {
			t.Errorf("before %d it started at %d, want %d", at, got, want)
		}
	}
	if got := s.before("other", 400); got != 0 {
		t.Errorf("another host started at %d", got)
	}
	for i := range int64(2 * maxRestarts) {
		s.remember("h", 1000+i)
	}
	if n := len(s.byHost["h"]); n != maxRestarts {
		t.Errorf("%d starts are remembered, want %d", n, maxRestarts)
	}
	for i := range maxSessions + 5 {
		s.remember(string(rune(i+0x4e00)), 7)
	}
	if n := len(s.byHost); n > maxSessions {
		t.Errorf("%d hosts are remembered, want at most %d", n, maxSessions)
	}
}

func TestFirstProcess(t *testing.T) {
	for _, c := range []struct {
		name string
		p    evidence.Process
		want bool
	}{
		{"init", evidence.Process{Platform: evidence.Linux, PID: 1, UID: "0", CmdLine: "/sbin/init"}, true},
		{"init after the first file system", evidence.Process{Platform: evidence.Linux, PID: 1, UID: "0", CmdLine: "/usr/lib/systemd/systemd --switched-root --system --deserialize 31"}, true},
		{"systemd is upgraded", evidence.Process{Platform: evidence.Linux, PID: 1, UID: "0", CmdLine: "/usr/lib/systemd/systemd --system --deserialize 97"}, false},
		{"a user's", evidence.Process{Platform: evidence.Linux, PID: 1, UID: "1000", CmdLine: "/sbin/init"}, false},
		{"another", evidence.Process{Platform: evidence.Linux, PID: 812, UID: "0", CmdLine: "/sbin/init"}, false},
		{"wininit", evidence.Process{Platform: evidence.Windows, PID: 612, Path: `C:\Windows\system32\wininit.exe`}, true},
		{"elsewhere", evidence.Process{Platform: evidence.Windows, PID: 612, Path: `C:\Users\Public\wininit.exe`}, false},
		{"a process id of Windows", evidence.Process{Platform: evidence.Windows, PID: 1, Path: `C:\Windows\System32\cmd.exe`}, false},
	} {
		if got := firstProcess(&c.p); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
