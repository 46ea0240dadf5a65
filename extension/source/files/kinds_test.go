package files

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// readEvidence reads every source to its end, of all kinds at most limit at once.
func readEvidence(t testing.TB, r *Reader, limit int) (all evidence.Batch) {
	t.Helper()
	for _, s := range r.Sources() {
		for cursor, more := "", true; more; {
			b, err := s.Read(t.Context(), cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			if limit > 0 && (len(b.Processes) > limit || len(b.Installs) > limit || len(b.Logons) > limit || len(b.Connections) > limit || len(b.Changes) > limit) {
				t.Fatalf("more than %d of a kind", limit)
			}
			b.Read = 0
			add(&all, &b)
			cursor, more = b.Cursor, b.More
		}
	}
	return all
}

// result is a line of osquery's results log.
func result(counter int, action, columns string) string {
	return fmt.Sprintf(`{"name":"q","hostIdentifier":"h","unixTime":1700000000,"epoch":0,"counter":%d,"action":%q,"columns":%s}`+"\n", counter, action, columns)
}

func TestKinds(t *testing.T) {
	const (
		stamp   = "Nov 14 22:13:20 web1 "
		service = `{"name":"Upd","service_type":"OWN_PROCESS","display_name":"Update","status":"RUNNING","pid":"9","start_type":"AUTO_START","path":"C:\\u.exe","module_path":"","user_account":"LocalSystem"}`
	)
	stopped := strings.Replace(service, "RUNNING", "STOPPED", 1)
	moved := strings.Replace(service, `C:\\u.exe`, `C:\\v.exe`, 1)
	linux := func(l evidence.Logon) evidence.Batch {
		l.Time, l.Platform, l.Host = at, evidence.Linux, "web1"
		if l.Source == "" {
			l.Source = "syslog"
		}
		return evidence.Batch{Logons: []evidence.Logon{l}}
	}
	account := func(subject, detail string) evidence.Batch {
		return evidence.Batch{Changes: []evidence.Change{{Time: at, Platform: evidence.Linux, Host: "web1", Kind: evidence.ChangeAccount, Subject: subject, Detail: detail, PID: 7, Source: "syslog"}}}
	}
	unit := func(change func(*evidence.Install)) evidence.Batch {
		i := evidence.Install{Time: at, TimeBasis: evidence.BasisEvent, Platform: evidence.Linux, Host: "web1", Action: evidence.Enabled, Kind: "systemd", Name: "a.service", UnitPath: "/etc/systemd/system/a.service", Source: "syslog"}
		change(&i)
		return evidence.Batch{Installs: []evidence.Install{i}}
	}
	listed := func(action, path string, changes ...string) evidence.Batch {
		return evidence.Batch{Installs: []evidence.Install{{Time: at, TimeBasis: evidence.BasisFirstSeen, Platform: evidence.Windows, Host: "h", Action: action, Name: "Upd", DisplayName: "Update", ImagePath: path,
			ServiceType: "OWN_PROCESS", StartType: "AUTO_START", Account: "LocalSystem", Changes: changes, Source: "osquery_log"}}}
	}
	connection := func(c evidence.Connection) evidence.Batch {
		c.Time, c.Protocol = at, "tcp"
		return evidence.Batch{Connections: []evidence.Connection{c}}
	}
	sent := evidence.Connection{Platform: evidence.Linux, Host: "web1", UID: "1000", LocalAddr: "10.0.0.9", LocalPort: 50001, RemoteAddr: "203.0.113.7", RemotePort: 443, Source: "syslog"}
	got := evidence.Connection{Platform: evidence.Linux, Host: "web1", Inbound: true, LocalAddr: "10.0.0.9", LocalPort: 22, RemoteAddr: "203.0.113.7", RemotePort: 50001, Source: "syslog"}
	passed := sent
	passed.UID = ""
	none := evidence.Batch{}
	tests := []struct {
		name, text, kind string
		want             evidence.Batch
	}{
		{"sshd and its session", stamp + "sshd[7]: Accepted publickey for anna from 10.0.0.5 port 50001 ssh2: RSA SHA256:x\n" + stamp + "sshd[7]: pam_unix(sshd:session): session opened for user anna(uid=1000) by (uid=0)\n" + stamp + "systemd-logind[5]: New session 5 of user anna.\n", "syslog",
			linux(evidence.Logon{Username: "anna", Type: "ssh", From: "10.0.0.5", PID: 7, LogonID: "5"})},
		{"sshd, whose session nobody tells", stamp + "sshd[7]: Accepted password for root from 10.0.0.5 port 50001 ssh2\nNov 14 22:20:00 web1 kernel: x\n", "syslog",
			linux(evidence.Logon{Username: "root", UID: "0", Privileged: evidence.Yes, Type: "ssh", From: "10.0.0.5", PID: 7})},
		{"sshd, a failure", stamp + "sshd-session[7]: Failed password for invalid user x from y from 10.0.0.5 port 50001 ssh2\n" + stamp + "sshd[7]: Failed none for anna from 10.0.0.5 port 1 ssh2\n" + stamp + "sshd[7]: Failed password for\n", "syslog",
			linux(evidence.Logon{Username: "x from y", Type: "ssh", From: "10.0.0.5", PID: 7, Failed: true})},
		{"sshd, a failure that is repeated", stamp + "sshd[7]: message repeated 5 times: [ Failed password for anna from 10.0.0.5 port 50001 ssh2]\n", "syslog", linux(evidence.Logon{Username: "anna", Type: "ssh", From: "10.0.0.5", PID: 7, Failed: true})},
		{"a session at the desk", stamp + "gdm-password]: pam_unix(gdm-password:session): session opened for user anna(uid=1000) by (uid=0)\n" + stamp + "systemd-logind[5]: New session '5' of user 'anna' with class 'user' and type 'wayland'.\n", "syslog",
			linux(evidence.Logon{Username: "anna", Type: "interactive", LogonID: "5"})},
		{"a session that only logind tells of", stamp + "systemd-logind[5]: New session c2 of user anna.\n" + stamp + "systemd-logind[5]: New session '6' of user 'gdm' with class 'greeter' and type 'wayland'.\n", "syslog", linux(evidence.Logon{Username: "anna", LogonID: "c2"})},
		{"cron's sessions", stamp + "CRON[7]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)\n" + stamp + "systemd-logind[5]: New session 6 of user root.\n" + stamp + "systemd[8]: pam_unix(systemd-user:session): session opened for user anna(uid=1000) by (uid=0)\n", "syslog", none},
		{"sudo's session", stamp + "sudo[7]: pam_unix(sudo:session): session opened for user root(uid=0) by anna(uid=1000)\n", "syslog", linux(evidence.Logon{Username: "root", UID: "0", Privileged: evidence.Yes, Type: "sudo", PID: 7})},
		{"su's failure", stamp + "su[7]: pam_unix(su:auth): authentication failure; logname=anna uid=1000 euid=0 tty=/dev/pts/0 ruser=anna rhost=  user=root\n", "syslog", linux(evidence.Logon{Username: "root", Type: "sudo", TTY: "pts/0", PID: 7, Failed: true})},
		{"a new user", stamp + "useradd[7]: new user: name=evil, UID=1001, GID=1001, home=/home/evil, shell=/bin/bash, from=/dev/pts/0\n" + stamp + "useradd[7]: failed adding user 'evil', exit code: 9\n", "syslog",
			account("user evil", "useradd: new user: name=evil, UID=1001, GID=1001, home=/home/evil, shell=/bin/bash, from=/dev/pts/0")},
		{"a new member", stamp + "usermod[7]: add 'evil' to group 'sudo'\n" + stamp + "usermod[7]: add 'evil' to shadow group 'sudo'\n", "syslog", account("user evil", "usermod: add 'evil' to group 'sudo'")},
		{"a new member by gpasswd", stamp + "gpasswd[7]: user evil added by root to group sudo\n", "syslog", account("user evil", "gpasswd: user evil added by root to group sudo")},
		{"a new group", stamp + "groupadd[7]: group added to /etc/group: name=evil, GID=1001\n" + stamp + "groupadd[7]: new group: name=evil, GID=1001\n", "syslog", account("group evil", "groupadd: new group: name=evil, GID=1001")},
		{"a password", stamp + "passwd[7]: pam_unix(passwd:chauthtok): password changed for evil\n" + stamp + "passwd[7]: pam_unix(passwd:chauthtok): authentication failure\n", "syslog", account("user evil", "passwd: password changed for evil")},
		{"a unit that is turned on", stamp + "systemctl[7]: Created symlink /etc/systemd/system/multi-user.target.wants/a.service → /etc/systemd/system/a.service.\n", "syslog", unit(func(i *evidence.Install) { i.InstallerPID = 7 })},
		{"a unit that is turned on, older", stamp + "systemd[1]: Created symlink from /etc/systemd/system/multi-user.target.wants/a.service to /etc/systemd/system/a.service.\n", "syslog", unit(func(*evidence.Install) {})},
		{"a unit that is turned off, newer", stamp + "systemd[1]: Removed '/etc/systemd/system/multi-user.target.wants/a.service'.\n", "syslog",
			unit(func(i *evidence.Install) {
				i.Action, i.UnitPath = evidence.Disabled, "/etc/systemd/system/multi-user.target.wants/a.service"
			})},
		{"a unit that is masked", stamp + "systemd[1]: Created symlink /etc/systemd/system/a.service → /dev/null.\n", "syslog", unit(func(i *evidence.Install) { i.Action = evidence.Disabled })},
		{"what systemd says besides", stamp + "systemd[1]: Reloading.\n" + stamp + "systemd[1]: Created symlink /tmp/a → /tmp/b.\n" + stamp + "systemd[1]: Removed slice x.\n" + stamp + "sh[1]: Created symlink /etc/systemd/system/x.wants/a.service → /a.\n", "syslog", none},
		{"yum in syslog", stamp + "yum[7]: Installed: nginx-1.24-1.x86_64\n", "syslog", evidence.Batch{Changes: []evidence.Change{{Time: at, Platform: evidence.Linux, Host: "web1", Kind: evidence.ChangePackage, Subject: "nginx-1.24-1.x86_64", Detail: "installed", PID: 7, Source: "syslog"}}}},
		{"a firewall, outbound", stamp + "kernel: [   12.5] [UFW ALLOW] IN= OUT=eth0 SRC=10.0.0.9 DST=203.0.113.7 LEN=60 TOS=0x00 TTL=64 ID=1 DF PROTO=TCP SPT=50001 DPT=443 WINDOW=64240 SYN URGP=0 UID=1000 GID=1000\n", "syslog", connection(sent)},
		{"a firewall, inbound", stamp + "kernel: ssh: IN=eth0 OUT= MAC=00:11 SRC=203.0.113.7 DST=10.0.0.9 LEN=60 PROTO=TCP SPT=50001 DPT=22\n", "syslog", connection(got)},
		{"a firewall, passed on", stamp + "kernel: IN=eth0 OUT=eth1 SRC=10.0.0.9 DST=203.0.113.7 PROTO=TCP SPT=50001 DPT=443\n", "syslog", connection(passed)},
		{"a firewall, refused or no connection", stamp + "kernel: [UFW BLOCK] IN=eth0 OUT= SRC=203.0.113.7 DST=10.0.0.9 PROTO=TCP SPT=50001 DPT=22\n" + stamp + "kernel: IN=eth0 OUT= SRC=203.0.113.7 DST=10.0.0.9 PROTO=ICMP TYPE=3 CODE=1 [SRC=10.0.0.9 DST=203.0.113.7 PROTO=TCP SPT=50001 DPT=443 ]\n" +
			stamp + "kernel: IN=lo OUT= SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=1 DPT=2\n" + stamp + "kernel: BIN=x SRC=10.0.0.9 DST=203.0.113.7 PROTO=TCP\n", "syslog", none},
		{"a firewall in the journal", `{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1700000000999999","_HOSTNAME":"web1","_TRANSPORT":"kernel","SYSLOG_IDENTIFIER":"kernel","MESSAGE":"IN= OUT=eth0 SRC=10.0.0.9 DST=203.0.113.7 PROTO=TCP SPT=50001 DPT=443 UID=1000"}` + "\n" +
			`{"__CURSOR":"d","__REALTIME_TIMESTAMP":"1700000000999999","_HOSTNAME":"web1","_TRANSPORT":"syslog","SYSLOG_IDENTIFIER":"kernel","MESSAGE":"IN= OUT=eth0 SRC=10.0.0.9 DST=203.0.113.8 PROTO=TCP SPT=50001 DPT=443"}`, "journal",
			func() evidence.Batch { c := sent; c.Source, c.EID = "journal", "c"; return connection(c) }()},
		{"sshd in the journal", `{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1700000000999999","_HOSTNAME":"web1","SYSLOG_IDENTIFIER":"sshd","_COMM":"sshd","_PID":"7","_UID":"0","MESSAGE":"Accepted publickey for anna from 10.0.0.5 port 50001 ssh2"}` + "\n" +
			`{"__CURSOR":"d","__REALTIME_TIMESTAMP":"1700000000999999","_HOSTNAME":"web1","SYSLOG_IDENTIFIER":"sshd","_COMM":"logger","_PID":"7","MESSAGE":"Accepted publickey for evil from 10.0.0.5 port 50001 ssh2"}`, "journal",
			linux(evidence.Logon{Username: "anna", Type: "ssh", From: "10.0.0.5", PID: 7, Source: "journal", EID: "c"})},
		{"Sysmon for Linux, a connection", stamp + `sysmon: <Event><System><Provider Name="Linux-Sysmon"/><EventID>3</EventID><TimeCreated SystemTime="2023-11-14T22:13:20.9Z"/><EventRecordID>4</EventRecordID><Computer>web1</Computer></System><EventData><Data Name="ProcessId">7</Data><Data Name="Image">/usr/bin/curl</Data><Data Name="User">anna</Data><Data Name="Protocol">tcp</Data><Data Name="Initiated">true</Data><Data Name="SourceIp">10.0.0.9</Data><Data Name="SourcePort">50001</Data><Data Name="DestinationIp">203.0.113.7</Data><Data Name="DestinationPort">443</Data></EventData></Event>`, "syslog",
			connection(evidence.Connection{Platform: evidence.Linux, Host: "web1", PID: 7, Path: "/usr/bin/curl", Username: "anna", LocalAddr: "10.0.0.9", LocalPort: 50001, RemoteAddr: "203.0.113.7", RemotePort: 443, Source: "sysmon_linux", EID: "4"})},
		{"Sysmon for Linux, files", stamp + `sysmon: <Event><System><Provider Name="Linux-Sysmon"/><EventID>11</EventID><EventRecordID>4</EventRecordID></System><EventData><Data Name="ProcessId">7</Data><Data Name="Image">/usr/bin/cp</Data><Data Name="User">root</Data><Data Name="TargetFilename">/etc/systemd/system/a.service</Data></EventData></Event>` + "\n" +
			stamp + `sysmon: <Event><System><Provider Name="Linux-Sysmon"/><EventID>11</EventID></System><EventData><Data Name="TargetFilename">/tmp/a.service</Data></EventData></Event>`, "syslog",
			unit(func(i *evidence.Install) {
				i.Action, i.Source, i.EID, i.InstallerPID, i.InstallerPath, i.InstallerUsername = evidence.Created, "sysmon_linux", "4", 7, "/usr/bin/cp", "root"
			})},
		{"the audit log", `type=USER_START msg=audit(1700000000.999:7): pid=7 uid=0 auid=1000 ses=3 msg='op=PAM:session_open acct="anna" exe="/usr/sbin/sshd" hostname=10.0.0.5 addr=10.0.0.5 terminal=ssh res=success'` + "\n", "auditlog",
			evidence.Batch{Logons: []evidence.Logon{{Time: at, Platform: evidence.Linux, Username: "anna", UID: "1000", Type: "ssh", From: "10.0.0.5", PID: 7, LogonID: "3", Source: "auditlog", EID: "1700000000.999:7"}}}},
		{"dpkg.log", "2023-11-14 22:13:20 startup archives install\n2023-11-14 22:13:20 install nginx:amd64 <none> 1.24-1\n", "package_log",
			evidence.Batch{Changes: []evidence.Change{{Time: at, Platform: evidence.Linux, Kind: evidence.ChangePackage, Subject: "nginx:amd64 1.24-1", Detail: "installed", Source: "package_log"}}}},
		{"Zeek, a table", "#separator \\x09\n#unset_field\t-\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tconn_state\tlocal_orig\tlocal_resp\n#types\tx\n1700000000.5\tC1\t10.0.0.9\t50001\t203.0.113.7\t443\ttcp\tSF\tT\tF\n#close\tx\n", "zeek",
			connection(evidence.Connection{LocalAddr: "10.0.0.9", LocalPort: 50001, RemoteAddr: "203.0.113.7", RemotePort: 443, Source: "zeek", EID: "C1"})},
		{"Zeek, JSON", `{"ts":1700000000.5,"uid":"C1","id.orig_h":"203.0.113.7","id.orig_p":50001,"id.resp_h":"10.0.0.9","id.resp_p":443,"proto":"tcp","conn_state":"SF","local_orig":false,"local_resp":true}`, "zeek",
			connection(evidence.Connection{Inbound: true, LocalAddr: "10.0.0.9", LocalPort: 443, RemoteAddr: "203.0.113.7", RemotePort: 50001, Source: "zeek", EID: "C1"})},
		{"Windows' firewall", "#Version: 1.5\n#Software: Microsoft Windows Firewall\n#Time Format: Local\n#Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin icmptype icmpcode info path pid\n\n" +
			"2023-11-14 22:13:20 ALLOW TCP 203.0.113.7 10.0.0.9 50001 445 0 - 0 0 0 - - - RECEIVE 4\n2023-11-14 22:13:21 DROP TCP 203.0.113.7 10.0.0.9 50001 445 0 - 0 0 0 - - - RECEIVE 4\n", "windows_firewall",
			connection(evidence.Connection{Platform: evidence.Windows, PID: 4, Inbound: true, LocalAddr: "10.0.0.9", LocalPort: 445, RemoteAddr: "203.0.113.7", RemotePort: 50001, Source: "windows_firewall"})},
		{"osquery, user_events", result(1, "added", `{"uid":"0","auid":"1000","pid":"7","type":"1105","message":"op=PAM:session_open acct=\"anna\" exe=\"/usr/sbin/sshd\" hostname=10.0.0.5 addr=10.0.0.5 terminal=ssh res=success'","path":"/usr/sbin/sshd","address":"10.0.0.5","terminal":"ssh","time":"1700000000","eid":"9"}`), "osquery_log",
			evidence.Batch{Logons: []evidence.Logon{{Time: at, Platform: evidence.Linux, Host: "h", Username: "anna", UID: "1000", Type: "ssh", From: "10.0.0.5", PID: 7, Source: "osquery_log", EID: "9"}}}},
		{"osquery, a new service", result(3, "added", service), "osquery_log", listed(evidence.Created, `C:\u.exe`)},
		{"osquery, a service that is gone", result(3, "removed", service), "osquery_log", listed(evidence.Removed, `C:\u.exe`)},
		{"osquery, a service that changed", result(3, "removed", service) + result(3, "added", moved), "osquery_log", listed(evidence.Modified, `C:\v.exe`, `image_path: C:\u.exe -> C:\v.exe`)},
		{"osquery, a service that started", result(3, "removed", stopped) + result(3, "added", service), "osquery_log", none},
		{"osquery, the services it found first", result(0, "added", service), "osquery_log", none},
		{"osquery, a batch of services", `{"name":"q","hostIdentifier":"h","unixTime":1700000000,"counter":4,"diffResults":{"added":[` + moved + `],"removed":[` + service + `]}}`, "osquery_log", listed(evidence.Modified, `C:\v.exe`, `image_path: C:\u.exe -> C:\v.exe`)},
		{"osquery, a snapshot of services", `{"name":"q","hostIdentifier":"h","unixTime":1700000000,"counter":4,"action":"snapshot","snapshot":[` + service + `]}`, "osquery_log", none},
		{"osquery, a connection that ended", result(3, "removed", `{"pid":"7","local_address":"10.0.0.9","local_port":"1","remote_address":"203.0.113.7","remote_port":"443"}`), "osquery_log", none},
		{"generic", `{"kind":"logon","time":1700000000,"host":"web1","platform":"linux","username":"anna","type":"ssh","from":"10.0.0.5"}`, "ndjson", linux(evidence.Logon{Username: "anna", Type: "ssh", From: "10.0.0.5", Source: "ndjson"})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Open([]string{write(t, filepath.Join(t.TempDir(), "f"), tt.text)}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if len(r.Sources()) != 1 || r.Sources()[0].Name() != tt.kind {
				t.Fatalf("accounts %+v", r.Accounts())
			}
			all := readEvidence(t, r, 0)
			if d := cmp.Diff(tt.want, all); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if a := r.Accounts()[0]; a.Lost != 0 || a.Matched != size(&all) || size(&all) > 0 && (r.Newest() != at || a.Oldest != at) {
				t.Errorf("account %+v, newest %d", a, r.Newest())
			}
		})
	}
}

// TestManyLogons reads far more of one kind than of another: no batch holds more
// than its limit, nothing is lost, and what waits is bounded.
func TestManyLogons(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	const n = 30_000
	for i := range n {
		fmt.Fprintf(&b, `{"kind":"logon","username":"u%d","time":%d}`+"\n", i, at+i)
		if i%1000 == 0 {
			fmt.Fprintf(&b, `{"cmdline":"c%d","time":%d}`+"\n", i, at+i)
		}
	}
	write(t, filepath.Join(dir, "a"), b.String())
	r, err := Open([]string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := r.Sources()[0]
	var logons, processes int
	var last int64
	for cursor, more := "", true; more; {
		b, err := s.Read(t.Context(), cursor, 700)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Logons) > 700 || len(b.Processes) > 700 {
			t.Fatalf("%d logons, %d processes", len(b.Logons), len(b.Processes))
		}
		for _, l := range b.Logons {
			if l.Time < last {
				t.Fatal("out of order")
			}
			last = l.Time
		}
		// A step of each file that is read ahead, at most.
		if waits := len(s.queue.Logons); waits > 700+2*maxWorkers*piecesAhead*linesAtOnce {
			t.Fatalf("%d logons wait", waits)
		}
		logons += len(b.Logons)
		processes += len(b.Processes)
		cursor, more = b.Cursor, b.More
	}
	if logons != n || processes != n/1000 {
		t.Errorf("%d logons, %d processes", logons, processes)
	}
}

// TestOrderOfFiles reads many files in parallel, and in the order of their times.
func TestOrderOfFiles(t *testing.T) {
	dir := t.TempDir()
	const files = 60
	var want []string
	for f := range files {
		var b strings.Builder
		for i := range 1 + (f*37)%200 {
			c := fmt.Sprintf("f%03d-%d", f, i)
			fmt.Fprintf(&b, `{"cmdline":%q,"time":%d}`+"\n", c, at+f*1000+i)
			want = append(want, c)
		}
		write(t, filepath.Join(dir, fmt.Sprintf("%02d.json", (f*7)%files)), b.String())
	}
	for range 3 {
		r, err := Open([]string{dir}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range readEvidence(t, r, 100).Processes {
			got = append(got, p.CmdLine)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("-want +got:\n%s", d)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
