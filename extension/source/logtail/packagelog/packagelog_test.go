package packagelog

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

var (
	newest = time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC)
	berlin = time.FixedZone("", 3600)
)

func change(at, subject, detail string) evidence.Change {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		panic(err)
	}
	return evidence.Change{Time: t.Unix(), Platform: evidence.Linux, Kind: evidence.ChangePackage, Subject: subject, Detail: detail, Source: Source}
}

func by(c evidence.Change, user, uid string) evidence.Change {
	c.Username, c.UID = user, uid
	return c
}

func TestLines(t *testing.T) {
	tests := []struct {
		name     string
		location *time.Location
		log      string
		want     []evidence.Change
		strange  int
		open     bool
	}{
		{"dpkg", berlin, `2025-06-24 14:36:25 startup archives unpack
2025-06-24 14:36:25 install nginx:amd64 <none> 1.22.1-9
2025-06-24 14:36:26 status half-installed nginx:amd64 1.22.1-9
2025-06-24 14:36:27 upgrade libssl3:amd64 3.0.16-1 3.0.19-1
2025-06-24 14:36:28 upgrade libssl3:amd64 3.0.19-1 3.0.19-1
2025-06-24 14:36:29 remove telnetd:all 0.17 <none>
2025-06-24 14:36:30 purge telnetd:all 0.17 <none>`, []evidence.Change{
			change("2025-06-24T13:36:25Z", "nginx 1.22.1-9", "installed"),
			change("2025-06-24T13:36:27Z", "libssl3 3.0.19-1", "changed from 3.0.16-1"),
			change("2025-06-24T13:36:28Z", "libssl3 3.0.19-1", "reinstalled"),
			change("2025-06-24T13:36:29Z", "telnetd 0.17", "removed"),
			change("2025-06-24T13:36:30Z", "telnetd", "purged"),
		}, 0, false},
		{"apt", nil, `
Start-Date: 2026-01-05  07:28:46
Commandline: apt-get install -y nginx curl
Requested-By: anna (1000)
Install: nginx:amd64 (1.22.1-9), libx:amd64 (1.0, automatic), curl:amd64 (7.88.1)
Upgrade: tzdata:all (2025b-0, 2025b-1)
End-Date: 2026-01-05  07:28:50

Start-Date: 2026-01-06  06:00:01
Commandline: /usr/bin/unattended-upgrade
Upgrade: openssl:amd64 (3.0.16, 3.0.19)
Error: Sub-process /usr/bin/dpkg returned an error code (1)
End-Date: 2026-01-06  06:00:09`, []evidence.Change{
			by(change("2026-01-05T07:28:46Z", "nginx, curl, tzdata and 1 more", "install 3, upgrade 1: apt-get install -y nginx curl"), "anna", "1000"),
			change("2026-01-06T06:00:01Z", "openssl", "upgrade 1: /usr/bin/unattended-upgrade (failed: Sub-process /usr/bin/dpkg returned an error code (1))"),
		}, 0, false},
		{"apt that was cut off", nil, "Start-Date: 2026-01-05  07:28:46\nRemove: a:amd64 (1)\nStart-Date: 2026-01-05  07:30:00\nCommandline: apt-get autoremove",
			[]evidence.Change{change("2026-01-05T07:28:46Z", "a", "remove 1")}, 0, true},
		{"only what depends", nil, "Start-Date: 2026-01-05  07:28:46\nInstall: a:amd64 (1, automatic), b:amd64 (2, automatic)\nEnd-Date: 2026-01-05  07:28:47",
			[]evidence.Change{change("2026-01-05T07:28:46Z", "2 packages", "install 2")}, 0, false},
		{"yum, the year before", berlin, "Mar 07 09:00:00 Installed: 1:nginx-1.20.1-1.el7.x86_64\nJan 31 09:00:00 Erased: telnet-0.17-66.el7.x86_64", []evidence.Change{
			change("2025-03-07T08:00:00Z", "1:nginx-1.20.1-1.el7.x86_64", "installed"),
			change("2026-01-31T08:00:00Z", "telnet-0.17-66.el7.x86_64", "erased"),
		}, 0, false},
		{"dnf", nil, `2026-01-05T07:28:46+0100 INFO --- logging initialized ---
2026-01-05T07:28:47+0100 SUBDEBUG Installed: nginx-1:1.20.1-1.el9.x86_64
2026-01-05T06:28:48Z SUBDEBUG Upgraded: curl-7.76.1-1.el9.x86_64`, []evidence.Change{
			change("2026-01-05T06:28:47Z", "nginx-1:1.20.1-1.el9.x86_64", "installed"),
			change("2026-01-05T06:28:48Z", "curl-7.76.1-1.el9.x86_64", "upgraded"),
		}, 0, false},
		{"of another form", nil, "hello\n2026-01-05 07:28:46 install nginx\n2026-01-05 07:28:46 frobnicate a b c\n2026-99-05 07:28:46 install a b c\nInstall: x (1)", nil, 4, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := NewDecoder(newest, tt.location)
			var got evidence.Batch
			strange := 0
			for line := range strings.SplitSeq(tt.log, "\n") {
				if !d.Line([]byte(line), &got) {
					strange++
				}
			}
			if diff := cmp.Diff(tt.want, got.Changes); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if strange != tt.strange {
				t.Errorf("%d lines are strange, want %d", strange, tt.strange)
			}
			if d.Settled() == tt.open {
				t.Errorf("settled: %v", d.Settled())
			}
		})
	}
}

func TestTime(t *testing.T) {
	d := NewDecoder(newest, nil)
	for line, want := range map[string]string{
		"2026-01-05 07:28:46 install a b c":         "2026-01-05T07:28:46Z",
		"Start-Date: 2026-01-05  07:28:46":          "2026-01-05T07:28:46Z",
		"End-Date: 2026-01-05  07:28:47":            "2026-01-05T07:28:47Z",
		"Jan 05 07:28:46 Installed: a-1":            "2026-01-05T07:28:46Z",
		"2026-01-05T07:28:46+0000 INFO Installed: ": "2026-01-05T07:28:46Z",
		"Commandline: apt":                          "1970-01-01T00:00:00Z",
		"":                                          "1970-01-01T00:00:00Z",
	} {
		if got := time.Unix(d.Time([]byte(line)), 0).UTC().Format(time.RFC3339); got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

func TestBounds(t *testing.T) {
	d := NewDecoder(newest, nil)
	var got evidence.Batch
	d.Line([]byte("Start-Date: 2026-01-05  07:28:46"), &got)
	d.Line([]byte("Commandline: "+strings.Repeat("ä", 5000)), &got)
	for range 100 {
		d.Line([]byte("Install: "+strings.Repeat("p:amd64 (1), ", 10_000)+strings.Repeat("x", 5000)+" (1)"), &got)
	}
	d.Line([]byte("End-Date: 2026-01-05  07:28:47"), &got)
	if len(got.Changes) != 1 || len(got.Changes[0].Subject)+len(got.Changes[0].Detail) > 4*maxText {
		t.Errorf("%d changes, %+v", len(got.Changes), got.Changes)
	}
	if !strings.HasSuffix(got.Changes[0].Subject, " and 1000092 more") {
		t.Errorf("subject %q", got.Changes[0].Subject)
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("2025-06-24 14:36:25 install nginx:amd64 <none> 1.22.1-9\n2025-06-24 14:36:29 remove telnetd:all 0.17 <none>"))
	f.Add([]byte("Start-Date: 2026-01-05  07:28:46\nCommandline: apt\nRequested-By: a (1)\nInstall: a:b (1, automatic), c (2)\nError: x\nEnd-Date: 1"))
	f.Add([]byte("Mar 07 09:00:00 Installed: 1:nginx\n2026-01-05T07:28:46+0100 SUBDEBUG Upgraded: a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := NewDecoder(newest, berlin)
		var got evidence.Batch
		for line := range strings.SplitSeq(string(b), "\n") {
			d.Time([]byte(line))
			d.Line([]byte(line), &got)
		}
		d.Flush(&got)
		if !d.Settled() {
			t.Error("something is left")
		}
		for _, c := range got.Changes {
			if c.Time <= 0 || c.Kind != evidence.ChangePackage || c.Subject == "" || len(c.Subject)+len(c.Detail) > 8*maxText {
				t.Errorf("%+v", c)
			}
		}
	})
}
