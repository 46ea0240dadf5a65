package fieldmap

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// at is 2023-11-14 22:13:20 UTC.
const at = 1_700_000_000

func object(t testing.TB, s string) Object {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var o Object
	if err := dec.Decode(&o); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return o
}

// TestKinds reads one object of each form that is no process; the processes have
// their tests in package files.
func TestKinds(t *testing.T) {
	set, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	connection := func(c evidence.Connection) evidence.Batch {
		c.Time = at
		return evidence.Batch{Connections: []evidence.Connection{c}}
	}
	logon := func(l evidence.Logon) evidence.Batch {
		l.Time = at
		return evidence.Batch{Logons: []evidence.Logon{l}}
	}
	install := func(i evidence.Install) evidence.Batch {
		i.Time, i.TimeBasis, i.Action = at, evidence.BasisEvent, evidence.Created
		return evidence.Batch{Installs: []evidence.Install{i}}
	}
	change := func(c evidence.Change) evidence.Batch {
		c.Time = at
		return evidence.Batch{Changes: []evidence.Change{c}}
	}
	none := evidence.Batch{}
	zeek := evidence.Connection{Protocol: "tcp", LocalAddr: "10.0.0.9", LocalPort: 50001, RemoteAddr: "203.0.113.7", RemotePort: 443, Source: "zeek", EID: "C1"}
	zeekIn := zeek
	zeekIn.Inbound, zeekIn.LocalAddr, zeekIn.LocalPort, zeekIn.RemoteAddr, zeekIn.RemotePort = true, "10.0.0.9", 443, "203.0.113.7", 50001

	tests := []struct {
		name, within, json, source string
		want                       evidence.Batch
	}{
		{"generic install", File, `{"kind":"install","time":1700000000,"host":"ws1","platform":"windows","name":"Upd","image_path":"C:\\u.exe","start_type":"auto","account":"LocalSystem","pid":9,"ppid":1,"username":"CORP\\anna","parent_path":"C:\\i.exe","service_kind":"windows_service","eid":"7"}`, "ndjson",
			install(evidence.Install{Platform: evidence.Windows, Host: "ws1", Kind: "windows_service", Name: "Upd", ImagePath: `C:\u.exe`, StartType: "auto", Account: "LocalSystem", InstallerPID: 9, InstallerUsername: `CORP\anna`, InstallerPath: `C:\i.exe`, Source: "ndjson", EID: "7"})},
		{"generic install with an action", File, `{"kind":"Install","time":"2023-11-14T22:13:20Z","unit_path":"/etc/systemd/system/a.service","action":"Removed"}`, "ndjson", evidence.Batch{Installs: []evidence.Install{
			{Time: at, TimeBasis: evidence.BasisEvent, Action: evidence.Removed, UnitPath: "/etc/systemd/system/a.service", Source: "ndjson"}}}},
		{"generic logon", File, `{"kind":"logon","time":"2023-11-14T23:13:20+01:00","host":"ws1","platform":"windows","username":"CORP\\anna","type":"RemoteInteractive","from":"::ffff:10.0.0.5","failed":true,"privileged":true,"tty":"x","session":"3"}`, "ndjson",
			logon(evidence.Logon{Platform: evidence.Windows, Host: "ws1", Username: `CORP\anna`, Type: "remote_interactive", From: "10.0.0.5", Failed: true, Privileged: evidence.Yes, TTY: "x", LogonID: "3", Source: "ndjson"})},
		{"generic connection", File, `{"kind":"connection","time":1700000000,"pid":7,"ppid":5,"path":"/usr/bin/curl","cmdline":"curl x","protocol":"TCP","remote_addr":"203.0.113.7","remote_port":443,"local_addr":"10.0.0.9","local_port":50001,"remote_name":"c2.example","uid":0}`, "ndjson",
			connection(evidence.Connection{Platform: evidence.Linux, PID: 7, ParentPID: 5, Path: "/usr/bin/curl", CmdLine: "curl x", Protocol: "tcp", RemoteAddr: "203.0.113.7", RemotePort: 443, LocalAddr: "10.0.0.9", LocalPort: 50001, RemoteName: "c2.example", UID: "0", Source: "ndjson"})},
		{"generic change", File, `{"kind":"change","time":1700000000,"change":"account","subject":"user evil","detail":"created","username":"root","uid":"0","pid":7}`, "ndjson",
			change(evidence.Change{Kind: evidence.ChangeAccount, Subject: "user evil", Detail: "created", Username: "root", UID: "0", PID: 7, Source: "ndjson"})},
		{"generic, of no kind that is known", File, `{"kind":"Event","subject":"x","remote_addr":"203.0.113.7"}`, "", none},
		{"generic, without what is needed", File, `{"kind":"change","change":"weather","subject":"x"}`, "ndjson", none},
		{"generic, a connection to itself", File, `{"kind":"connection","remote_addr":"127.0.0.1","remote_port":443}`, "ndjson", none},
		{"generic, ports and numbers that are none", File, `{"kind":"connection","time":1700000000,"remote_addr":"203.0.113.7","remote_port":99999,"pid":-1,"local_port":"x"}`, "ndjson", connection(evidence.Connection{RemoteAddr: "203.0.113.7", Source: "ndjson"})},

		{"ECS network, outbound", File, `{"@timestamp":"2023-11-14T22:13:20Z","event":{"category":["network"],"type":["connection","start"],"id":"e1"},"host":{"name":"web1","os":{"type":"linux"}},"process":{"pid":7,"executable":"/usr/bin/curl"},"user":{"name":"root","id":"0"},"network":{"transport":"tcp","direction":"egress"},"source":{"ip":"10.0.0.9","port":50001},"destination":{"ip":"203.0.113.7","port":443,"domain":"c2.example"}}`, "ecs",
			connection(evidence.Connection{Platform: evidence.Linux, Host: "web1", PID: 7, Path: "/usr/bin/curl", Username: "root", UID: "0", Protocol: "tcp", LocalAddr: "10.0.0.9", LocalPort: 50001, RemoteAddr: "203.0.113.7", RemotePort: 443, RemoteName: "c2.example", Source: "ecs", EID: "e1"})},
		{"ECS network, inbound, keys with dots", File, `{"@timestamp":"2023-11-14T22:13:20Z","event.category":"network","network.direction":"inbound","source.ip":"203.0.113.7","source.port":50001,"destination.ip":"10.0.0.9","destination.port":22,"host.name":"web1"}`, "ecs",
			connection(evidence.Connection{Host: "web1", Inbound: true, LocalAddr: "10.0.0.9", LocalPort: 22, RemoteAddr: "203.0.113.7", RemotePort: 50001, Source: "ecs"})},
		{"ECS network, the end of one", File, `{"@timestamp":"2023-11-14T22:13:20Z","event":{"category":["network"],"type":["end"]},"source":{"ip":"10.0.0.9"},"destination":{"ip":"203.0.113.7"}}`, "ecs", none},
		{"ECS authentication of Windows", File, `{"@timestamp":"2023-11-14T22:13:20Z","event":{"category":["authentication"],"type":["start"],"outcome":"failure","action":"logon-failed"},"host":{"name":"ws1","os":{"family":"windows"}},"user":{"domain":"CORP","name":"anna","id":"S-1-5-21-1"},"source":{"ip":"10.0.0.5"},"winlog":{"logon":{"type":"RemoteInteractive","id":"0x99"}}}`, "ecs",
			logon(evidence.Logon{Platform: evidence.Windows, Host: "ws1", Username: `CORP\anna`, UID: "S-1-5-21-1", Type: "remote_interactive", From: "10.0.0.5", LogonID: "0x99", Failed: true, Source: "ecs"})},
		{"ECS authentication of Linux", File, `{"@timestamp":"2023-11-14T22:13:20Z","event":{"category":["authentication","session"],"type":["info"],"outcome":"success"},"host":{"name":"web1"},"user":{"name":"anna"},"source":{"ip":"10.0.0.5"},"system":{"auth":{"ssh":{"method":"publickey"}}}}`, "ecs",
			logon(evidence.Logon{Host: "web1", Username: "anna", Type: "ssh", From: "10.0.0.5", Source: "ecs"})},
		{"ECS, a logoff", File, `{"@timestamp":"2023-11-14T22:13:20Z","event":{"category":["authentication"],"type":["end"]},"user":{"name":"anna"}}`, "ecs", none},
		{"ECS, accounts", File, `{"@timestamp":"2023-11-14T22:13:20Z","event":{"category":["iam"],"action":"added-user-account","outcome":"success"},"user":{"name":"root","target":{"name":"evil"}}}`, "ecs",
			change(evidence.Change{Kind: evidence.ChangeAccount, Subject: "user evil", Detail: "added-user-account", Username: "root", Source: "ecs"})},
		{"ECS, packages", File, `{"@timestamp":"2023-11-14T22:13:20Z","event":{"category":["package"],"action":"package_installed"},"package":{"name":"nginx","version":"1.24"}}`, "ecs",
			change(evidence.Change{Kind: evidence.ChangePackage, Subject: "nginx 1.24", Detail: "package_installed", Source: "ecs"})},
		{"Winlogbeat's 7045", File, `{"@timestamp":"2023-11-14T22:13:20Z","event":{"code":"7045"},"winlog":{"computer_name":"ws1","event_data":{"ServiceName":"Upd","ImagePath":"C:\\u.exe","ServiceType":"user mode service","StartType":"auto start","AccountName":"LocalSystem"},"user":{"identifier":"S-1-5-18"}}}`, "ecs",
			install(evidence.Install{Platform: evidence.Windows, Host: "ws1", Name: "Upd", ImagePath: `C:\u.exe`, ServiceType: "user mode service", StartType: "auto start", Account: "LocalSystem", InstallerUID: "S-1-5-18", Source: "ecs"})},
		{"Winlogbeat's 4697, a number", File, `{"@timestamp":"2023-11-14T22:13:20Z","winlog":{"event_id":4697,"computer_name":"ws1","event_data":{"ServiceName":"Upd","ServiceFileName":"C:\\u.exe","SubjectDomainName":"CORP","SubjectUserName":"anna"}}}`, "ecs",
			install(evidence.Install{Platform: evidence.Windows, Host: "ws1", Name: "Upd", ImagePath: `C:\u.exe`, InstallerUsername: `CORP\anna`, Source: "ecs"})},

		{"Defender, a connection", File, `{"Timestamp":"2023-11-14T22:13:20Z","DeviceName":"ws1","ActionType":"ConnectionSuccess","RemoteIP":"203.0.113.7","RemotePort":443,"RemoteUrl":"c2.example","LocalIP":"10.0.0.9","LocalPort":50001,"Protocol":"Tcp","InitiatingProcessFileName":"a.exe","InitiatingProcessId":9,"InitiatingProcessAccountName":"anna"}`, "defender",
			connection(evidence.Connection{Platform: evidence.Windows, Host: "ws1", PID: 9, Path: "a.exe", Username: "anna", Protocol: "tcp", LocalAddr: "10.0.0.9", LocalPort: 50001, RemoteAddr: "203.0.113.7", RemotePort: 443, RemoteName: "c2.example", Source: "defender"})},
		{"Defender, a logon", File, `{"Timestamp":"2023-11-14T22:13:20Z","DeviceName":"ws1","ActionType":"LogonFailed","LogonType":"Network","AccountDomain":"corp","AccountName":"anna","RemoteIP":"10.0.0.5","RemotePort":50001,"InitiatingProcessFileName":"x"}`, "defender",
			logon(evidence.Logon{Host: "ws1", Username: `corp\anna`, Type: "network", From: "10.0.0.5", Failed: true, Source: "defender"})},
		{"CrowdStrike, a connection", File, `{"event_simpleName":"NetworkConnectIP4","event_platform":"Win","ComputerName":"ws1","timestamp":"1700000000999","ImageFileName":"a","CommandLine":"b","Protocol":"6","LocalAddressIP4":"10.0.0.9","LocalPort":"50001","RemoteAddressIP4":"203.0.113.7","RemotePort":"443"}`, "crowdstrike",
			connection(evidence.Connection{Platform: evidence.Windows, Host: "ws1", Path: "a", CmdLine: "b", Protocol: "tcp", LocalAddr: "10.0.0.9", LocalPort: 50001, RemoteAddr: "203.0.113.7", RemotePort: 443, Source: "crowdstrike"})},
		{"CrowdStrike, a logon", File, `{"#event_simpleName":"UserLogonFailed2","event_platform":"Win","ComputerName":"ws1","@timestamp":"1700000000999","LogonType":"10","UserName":"anna","RemoteAddressIP4":"10.0.0.5"}`, "crowdstrike",
			logon(evidence.Logon{Platform: evidence.Windows, Host: "ws1", Username: "anna", Type: "remote_interactive", From: "10.0.0.5", Failed: true, Source: "crowdstrike"})},

		{"Zeek", File, `{"ts":1700000000.5,"uid":"C1","id.orig_h":"10.0.0.9","id.orig_p":50001,"id.resp_h":"203.0.113.7","id.resp_p":443,"proto":"tcp","conn_state":"SF","local_orig":true,"local_resp":false}`, "zeek", connection(zeek)},
		{"Zeek, from elsewhere", File, `{"ts":1700000000.5,"uid":"C1","id.orig_h":"203.0.113.7","id.orig_p":50001,"id.resp_h":"10.0.0.9","id.resp_p":443,"proto":"tcp","conn_state":"SF","local_orig":false,"local_resp":true}`, "zeek", connection(zeekIn)},
		{"Zeek, no connection", File, `{"ts":1700000000.5,"uid":"C1","id.orig_h":"10.0.0.9","id.orig_p":8,"id.resp_h":"203.0.113.7","id.resp_p":0,"proto":"icmp","conn_state":"OTH"}`, "zeek", none},
		{"Zeek, another log", File, `{"ts":1700000000.5,"uid":"C1","id.orig_h":"10.0.0.9","id.orig_p":8,"id.resp_h":"203.0.113.7","id.resp_p":53,"query":"x"}`, "", none},

		{"osquery socket_events", Osquery, `{"action":"connect","status":"succeeded","auid":"1000","family":"2","protocol":"0","local_address":"10.0.0.9","local_port":"50001","remote_address":"203.0.113.7","remote_port":"443","path":"/usr/bin/curl","pid":"7","time":"1700000000","eid":"3"}`, "osquery_log",
			connection(evidence.Connection{Platform: evidence.Linux, PID: 7, Path: "/usr/bin/curl", UID: "1000", LocalAddr: "10.0.0.9", LocalPort: 50001, RemoteAddr: "203.0.113.7", RemotePort: 443, Source: "osquery_log", EID: "3"})},
		{"osquery socket_events, a bind", Osquery, `{"action":"bind","status":"succeeded","local_address":"0.0.0.0","local_port":"80","remote_address":"203.0.113.7","remote_port":"0","path":"/usr/bin/curl","pid":"7"}`, "osquery_log", none},
		{"osquery process_open_sockets", Osquery, `{"pid":"7","fd":"3","socket":"9","family":"10","protocol":"17","local_address":"::","local_port":"50001","remote_address":"2001:db8::7","remote_port":"443","path":"","state":""}`, "osquery_log",
			connection(evidence.Connection{PID: 7, Protocol: "udp", LocalPort: 50001, RemoteAddr: "2001:db8::7", RemotePort: 443, Host: "h", Source: "osquery_log"})},
		{"osquery process_open_sockets, one that listens", Osquery, `{"pid":"7","fd":"3","protocol":"6","local_address":"0.0.0.0","local_port":"22","remote_address":"0.0.0.0","remote_port":"0","path":"","state":"LISTEN"}`, "osquery_log", none},
		{"osquery last", Osquery, `{"username":"anna","tty":"pts/0","pid":"9","type":"7","type_name":"user-process","time":"1700000000","host":"10.0.0.5"}`, "osquery_log",
			logon(evidence.Logon{Username: "anna", TTY: "pts/0", PID: 9, From: "10.0.0.5", Source: "osquery_log"})},
		{"osquery last, a logout", Osquery, `{"username":"anna","tty":"pts/0","pid":"9","type":"8","time":"1700000000","host":""}`, "", none},
		{"osquery logged_in_users", Osquery, `{"type":"user","user":"anna","tty":"tty1","host":"","time":"1700000000","pid":"9"}`, "osquery_log", logon(evidence.Logon{Username: "anna", TTY: "tty1", PID: 9, Source: "osquery_log"})},
		{"osquery services", Osquery, `{"name":"Upd","service_type":"OWN_PROCESS","display_name":"Update","status":"RUNNING","pid":"9","start_type":"AUTO_START","path":"C:\\u.exe","module_path":"","user_account":"LocalSystem"}`, "osquery_log",
			install(evidence.Install{Platform: evidence.Windows, Host: "h", Name: "Upd", DisplayName: "Update", ServiceType: "OWN_PROCESS", StartType: "AUTO_START", ImagePath: `C:\u.exe`, Account: "LocalSystem", Source: "osquery_log"})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			about := About{Time: at}
			for _, i := range tt.want.Installs {
				about.Host = i.Host
			}
			for _, c := range tt.want.Connections {
				about.Host = c.Host
			}
			var got evidence.Batch
			source, ok := set.Read(object(t, tt.json), tt.within, about, &got)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			some := len(tt.want.Installs)+len(tt.want.Logons)+len(tt.want.Connections)+len(tt.want.Changes) > 0
			if source != tt.source || ok != some {
				t.Errorf("source %q, told %v", source, ok)
			}
		})
	}
}

func TestLogonType(t *testing.T) {
	for in, want := range map[string]string{
		"10": "remote_interactive", "3": "network", "Network": "network", "CachedInteractive": "cached_interactive", "NetworkCleartext": "network_cleartext",
		"NewCredentials": "new_credentials", "Remote Interactive": "remote_interactive", "x": "", "": "", "99": "", "password": "ssh", "Cached Credentials": "cached_interactive",
	} {
		if got := logonType(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzRead reads any object with every map.
func FuzzRead(f *testing.F) {
	set, err := Builtin()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"kind":"connection","remote_addr":"203.0.113.7","remote_port":1}`)
	f.Add(`{"event":{"category":["network","authentication"]},"destination":{"ip":"1.2.3.4"},"user":{"name":"a"}}`)
	f.Add(`{"event_simpleName":"UserLogon","LogonType":2,"UserName":"a"}`)
	f.Add(`{"name":"a","service_type":"b","start_type":"c","path":"d"}`)
	f.Fuzz(func(t *testing.T, s string) {
		var o Object
		dec := json.NewDecoder(strings.NewReader(s))
		dec.UseNumber()
		if dec.Decode(&o) != nil {
			return
		}
		for _, within := range []string{File, Osquery} {
			var got evidence.Batch
			source, ok := set.Read(o, within, About{Host: "h", Time: 1}, &got)
			n := len(got.Processes) + len(got.Installs) + len(got.Logons) + len(got.Connections) + len(got.Changes)
			if ok != (n == 1) || ok && source == "" || n > 1 {
				t.Errorf("%d, %v, %q", n, ok, source)
			}
			for _, c := range got.Connections {
				if c.RemoteAddr == "" || c.RemotePort < 0 || c.RemotePort > 65535 || c.Time < 0 {
					t.Errorf("%+v", c)
				}
			}
		}
	})
}
