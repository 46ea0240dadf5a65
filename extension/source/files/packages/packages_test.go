package packages

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// at is 2023-11-14 22:13:20 UTC.
const at = 1_700_000_000

const (
	dpkg = "2023-11-14 22:13:20 startup archives unpack\n2023-11-14 22:13:20 install nginx:amd64 <none> 1.24-1\n2023-11-14 22:13:20 status half-installed nginx:amd64 1.24-1\n" +
		"2023-11-14 22:13:20 upgrade libc6:amd64 2.36 2.37\n2023-11-14 22:13:20 remove auditd:amd64 3.0 <none>\n2023-11-14 22:13:20 purge auditd:amd64 3.0 <none>\n"
	apt = "\nStart-Date: 2023-11-14  22:13:20\nCommandline: apt install nginx\nRequested-By: anna (1000)\nInstall: nginx:amd64 (1.24-1), libx:amd64 (2.0, automatic)\nUpgrade: libc6:amd64 (2.36, 2.37)\nEnd-Date: 2023-11-14  22:13:21\n" +
		"\nStart-Date: 2023-11-14  22:13:20\nCommandline: apt remove auditd\nRemove: auditd:amd64 (3.0)\nEnd-Date: 2023-11-14  22:13:21\n"
	yum = "Nov 14 22:13:20 Installed: nginx-1.24-1.x86_64\nNov 14 22:13:20 Erased: audit-3.0-1.x86_64\n"
	dnf = "2023-11-14T22:13:20+0000 INFO --- logging initialized ---\n2023-11-14T22:13:20+0000 SUBDEBUG Installed: nginx-1:1.24-1.el9.x86_64\n2023-11-14T22:13:20Z DDEBUG Command: dnf install nginx \n"
)

func read(text string) (b evidence.Batch, strange int) {
	d := NewDecoder(time.Unix(at+3600, 0), nil)
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\n"); line != "" && !d.Line([]byte(line), &b) {
			strange++
		}
	}
	return b, strange
}

func TestLogs(t *testing.T) {
	c := func(subject, detail string) evidence.Change {
		return evidence.Change{Time: at, Platform: evidence.Linux, Kind: evidence.ChangePackage, Subject: subject, Detail: detail, Source: Source}
	}
	anna := func(c evidence.Change) evidence.Change {
		c.Username, c.UID = "anna", "1000"
		return c
	}
	tests := []struct {
		name, text string
		want       []evidence.Change
		strange    int
	}{
		{"dpkg", dpkg, []evidence.Change{c("nginx:amd64 1.24-1", "installed"), c("libc6:amd64 2.37", "upgraded from 2.36"), c("auditd:amd64 3.0", "removed"), c("auditd:amd64 3.0", "purged")}, 0},
		{"apt", apt, []evidence.Change{anna(c("nginx:amd64 1.24-1", "installed by apt install nginx")), anna(c("libx:amd64 2.0", "installed by apt install nginx")),
			anna(c("libc6:amd64 2.37", "upgraded from 2.36 by apt install nginx")), c("auditd:amd64 3.0", "removed by apt remove auditd")}, 0},
		{"yum", yum, []evidence.Change{c("nginx-1.24-1.x86_64", "installed"), c("audit-3.0-1.x86_64", "erased")}, 0},
		{"dnf", dnf, []evidence.Change{c("nginx-1:1.24-1.el9.x86_64", "installed")}, 0},
		{"lines of others", "hello\nInstall: x (1)\nNov 14 22:13:20 web1 sshd[1]: x: y\n2023-11-14 22:13:20 hello\n2023-11-14 22:13:20 install a\nStart-Date: x\n", nil, 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, strange := read(tt.text)
			if d := cmp.Diff(evidence.Batch{Changes: tt.want}, got); d != "" || strange != tt.strange {
				t.Errorf("%d lines of another form; -want +got:\n%s", strange, d)
			}
		})
	}
}

func TestIsLine(t *testing.T) {
	for _, text := range []string{dpkg, apt, yum, dnf} {
		line := strings.Split(strings.TrimSpace(text), "\n")[0]
		if !IsLine([]byte(line)) {
			t.Errorf("not recognised: %s", line)
		}
		if got := NewDecoder(time.Unix(at+3600, 0), nil).Time([]byte(line)); got != at {
			t.Errorf("time of %s: %d", line, got)
		}
	}
	for _, line := range []string{"", "Nov 14 22:13:20 web1 sudo[8]: anna : TTY=pts/0", "type=SYSCALL msg=audit(1.1:1): x", "2023-11-14T22:13:20Z web1 kernel: x", "2023-11-14 22:13:20 ERROR failed"} {
		if IsLine([]byte(line)) {
			t.Errorf("recognised: %s", line)
		}
	}
}

func TestBounds(t *testing.T) {
	got, _ := read("Start-Date: 2023-11-14  22:13:20\nCommandline: " + strings.Repeat("x", 1<<20) + "\nInstall: " + strings.Repeat("a (1), ", 500_000) + "\nUpgrade: " + strings.Repeat("(", 100_000) + "\n")
	if len(got.Changes) != maxNames || len(got.Changes[0].Detail) > 2*maxText {
		t.Errorf("%d changes", len(got.Changes))
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{dpkg, apt, yum, dnf} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, _ := read(text)
		for _, c := range got.Changes {
			if c.Subject == "" || c.Time <= 0 || c.Kind == "" || len(fmt.Sprint(c)) > 8*maxText {
				t.Errorf("%+v", c)
			}
		}
	})
}
