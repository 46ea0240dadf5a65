package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/doctor"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// now is the time on the made-up hosts.
var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// uid is whose a file of a made-up host is.
type uid uint32

func file(data string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(data), Mode: 0o644, Sys: uid(0)}
}

func directory() *fstest.MapFile { return &fstest.MapFile{Mode: fs.ModeDir | 0o755, Sys: uid(0)} }

// patient is a made-up host that a case changes.
type patient struct {
	doctor.Host
	files  fstest.MapFS
	state  doctor.State
	audit  doctor.Audit
	config config.Config
}

func (p *patient) set(name, data string) { p.files[name] = file(data) }

func (p *patient) health(component string) *store.Health {
	for i := range p.state.Health {
		if p.state.Health[i].Component == component {
			return &p.state.Health[i]
		}
	}
	p.state.Health = append(p.state.Health, store.Health{Component: component})
	return &p.state.Health[len(p.state.Health)-1]
}

// program is one that was built from this module for this machine: the test itself.
func program(t *testing.T) string {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// healthy is a Linux host on which all is well.
func healthy(t *testing.T) *patient {
	t.Helper()
	p := &patient{audit: doctor.Audit{Enabled: 1, PID: 612, Limit: 8192}, config: config.Default()}
	p.config.IOCFiles, p.config.VulnFiles = []string{"/etc/rollcall/ioc.txt"}, []string{"/etc/rollcall/scan.json"}
	p.files = fstest.MapFS{
		"opt/osquery/bin/osqueryd": file("osqueryd"),
		"etc/osquery/osquery.flags": file("# flags\n--disable_events=false\n--disable_audit=false\n--audit_allow_config\n--audit_allow_process_events=true\n--audit_allow_sockets=true\n" +
			"--extensions_require=rollcall\n--extensions_timeout=10\n"),
		"etc/osquery/extensions.load":                 file("# ours\n/usr/lib/rollcall/rollcall.ext\n"),
		"etc/osquery/osquery.conf":                    file("# comment\n{\"options\": {\"events_max\": 60000},\n// more\n\"packs\": {\"t1007\": \"/usr/share/rollcall/packs/osquery/t1007.conf\"}}"),
		"usr/share/rollcall/packs/osquery/t1007.conf": file(`{"queries": {"a": {"query": "SELECT * FROM service_discovery_events"}, "b": {"query": "SELECT 1"}}}`),
		"usr/lib/rollcall/rollcall.ext":               {Data: []byte(program(t)), Mode: 0o755, Sys: uid(0)},
		"usr/lib/rollcall":                            directory(),
		"var/osquery/osquery.em":                      {Mode: fs.ModeSocket | 0o600, Sys: uid(0)},
		"proc/612/comm":                               file("osqueryd\n"),
		"proc/612/cmdline":                            file("/opt/osquery/bin/osqueryd\x00--flagfile\x00/etc/osquery/osquery.flags\x00--config_path\x00/etc/osquery/osquery.conf\x00"),
		"proc/700/comm":                               file("rollcall.ext\n"),
		"proc/700/cmdline":                            file("/usr/lib/rollcall/rollcall.ext\x00--socket\x00/var/osquery/osquery.em\x00"),
		"proc/self/comm":                              file("not a number"),
		"etc/rollcall/rollcall.yaml":                  file("collect_interval: 10s\n"),
		"var/lib/rollcall":                            {Mode: fs.ModeDir | 0o700, Sys: uid(0)},
		"var/lib/rollcall/rollcall.db-wal":            {Data: make([]byte, 1<<20), Mode: 0o600, Sys: uid(0)},
		"var/lib/rollcall/rollcall.db":                {Data: make([]byte, 2<<20), Mode: 0o600, Sys: uid(0)},
	}
	p.state = doctor.State{Machine: "m1", Newest: now.Unix() - 30, Health: []store.Health{
		{Component: "collector", State: evidence.StateOK, Checked: now.Unix() - 4},
		{Component: "process_events", State: evidence.StateOK, LastEvent: now.Unix() - 30, Read: 100, Checked: now.Unix() - 4},
		{Component: "kaudit", State: evidence.StateOff, Detail: "not needed: process_events is read"},
		{Component: "central_config", State: evidence.StateOK, Detail: "in force: the host's own configuration"},
	}}
	p.Host = doctor.Host{
		Platform: evidence.Linux, Arch: runtime.GOARCH, Now: now, Superuser: true, Files: p.files, Machine: "m1", ConfigFile: "/etc/rollcall/rollcall.yaml", StateDir: "/var/lib/rollcall",
		Owner: func(i fs.FileInfo) (uint32, bool) { u, ok := i.Sys().(uid); return uint32(u), ok },
		Package: func(path string) (string, string, bool) {
			return "osquery", "5.23.0-1", path == "/opt/osquery/bin/osqueryd"
		},
		Audit:      func() (doctor.Audit, error) { return p.audit, nil },
		Synced:     func() (bool, bool) { return true, true },
		Disk:       func(string) (uint64, uint64, error) { return 50 << 30, 100 << 30, nil },
		Config:     func(string, bool) (config.Config, error) { return p.config, nil },
		Rules:      func(string) (int, []string, error) { return 50, nil, nil },
		Indicators: func(string) (int, []string, error) { return 7, nil, nil },
		Scan:       func(string) (int, []string, error) { return 3, nil, nil },
		State:      func(context.Context, string) (doctor.State, error) { return p.state, nil },
	}
	return p
}

func (p *patient) diagnose() []doctor.Check { return doctor.Diagnose(context.Background(), p.Host) }

func find(t *testing.T, checks []doctor.Check, name string) doctor.Check {
	t.Helper()
	for _, c := range checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %s", name)
	return doctor.Check{}
}

func TestHealthyHost(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: a healthy Linux host, on Windows: its programs are not Linux's")
	}
	checks := healthy(t).diagnose()
	want := map[string]string{
		"osquery": "osquery at /opt/osquery/bin/osqueryd, 5.23.0-1 (package osquery)", "osquery_runs": "osqueryd runs (pid 612)", "events_kept": "60000 events for 3600 s",
		"audit_owner": "osqueryd (pid 612) holds the kernel's audit, nothing was lost", "pack": "1 scheduled queries ask for Rollcall's tables", "collector": "collected 4s ago",
		"process_evidence": "process_events, the last 30s ago", "database": "/var/lib/rollcall/rollcall.db, 3.0 MB", "indicators": "7 from 1 files", "vulnerability_scans": "3 from 1 files",
		"source process_events": "last evidence 2026-11-28 11:59:30Z; 100 read", "rules": "50 are in force", "disk": "50.0 of 100.0 GB are free at /var/lib/rollcall",
	}
	for _, c := range checks {
		state := doctor.OK
		if c.Name == "source kaudit" {
			state = doctor.Skip
		}
		if c.State != state || c.Remedy != "" {
			t.Errorf("%+v, want %s", c, state)
		}
		if w, ok := want[c.Name]; ok && c.Detail != w {
			t.Errorf("%s: %q, want %q", c.Name, c.Detail, w)
		}
		delete(want, c.Name)
	}
	if len(want) > 0 {
		t.Errorf("not checked: %v", want)
	}
	if got := doctor.Worst(checks); got != doctor.OK {
		t.Errorf("worst is %s", got)
	}
}

// trouble is one thing that is wrong, the check that must find it, and words of what it
// must say.
type trouble struct {
	name   string
	change func(p *patient)
	check  string
	state  string
	detail string
	remedy string
}

func troubles() []trouble {
	remove := func(names ...string) func(p *patient) {
		return func(p *patient) {
			for _, n := range names {
				delete(p.files, n)
			}
		}
	}
	flags := func(line string) func(p *patient) {
		return func(p *patient) {
			p.files["etc/osquery/osquery.flags"].Data = append(p.files["etc/osquery/osquery.flags"].Data, line+"\n"...)
		}
	}
	const ext, load, sock = "usr/lib/rollcall/rollcall.ext", "etc/osquery/extensions.load", "var/osquery/osquery.em"
	return []trouble{
		{"not root", func(p *patient) { p.Superuser = false }, "privileges", doctor.Warn, "not root", "sudo rollcall doctor"},

		{"no osquery", remove("opt/osquery/bin/osqueryd", "proc/612/comm"), "osquery", doctor.Warn, "none of its usual places", "https://osquery.io/downloads"},
		{"an old osquery", func(p *patient) { p.Package = func(string) (string, string, bool) { return "osquery", "4.9.0", true } }, "osquery", doctor.Warn, "4.9.0", "osquery 5 or later"},
		{"osquery without a package", func(p *patient) { p.Package = nil }, "osquery", doctor.OK, "osquery at /opt/osquery/bin/osqueryd", ""},
		{"Orbit beside it", func(p *patient) { p.set("opt/orbit/bin/orbit/linux/stable/orbit", "") }, "osquery", doctor.OK, "; Orbit at /opt/orbit/bin/orbit/linux/stable/orbit", ""},

		{"osqueryd does not run", remove("proc/612/comm"), "osquery_runs", doctor.Fail, "no osqueryd runs", "sudo systemctl enable --now osqueryd"},
		{"only osqueryi", func(p *patient) {
			remove("opt/osquery/bin/osqueryd", "proc/612/comm")(p)
			p.set("usr/bin/osqueryi", "")
		}, "osquery_runs", doctor.Warn, "osqueryi alone", "install the daemon"},
		{"no osquery to run", remove("opt/osquery/bin/osqueryd", "proc/612/comm"), "osquery_runs", doctor.Skip, "no osquery", ""},

		{"no extension", func(p *patient) { remove(ext, "proc/700/comm")(p); p.set(load, "") }, "extension_file", doctor.Fail, "none of its usual places", "install Rollcall's package"},
		{"no extension, no osquery", func(p *patient) {
			remove(ext, "proc/700/comm", "opt/osquery/bin/osqueryd", "proc/612/comm")(p)
		}, "extension_file", doctor.Warn, "none of its usual places", "install"},
		{"a named extension is gone", remove(ext), "extension_file", doctor.Fail, "is not there", "take the line out"},
		{"an extension that is a directory", func(p *patient) { p.files[ext] = directory() }, "extension_file", doctor.Fail, "not a regular file", "not a directory"},
		{"an extension of another name", func(p *patient) {
			p.set(load, "/usr/lib/rollcall/rollcall")
			p.files["usr/lib/rollcall/rollcall"] = p.files[ext]
		}, "extension_file", doctor.Fail, "does not end in .ext", "rollcall.ext"},
		{"an extension of somebody", func(p *patient) { p.files[ext].Sys = uid(1000) }, "extension_file", doctor.Fail, "belongs to uid 1000", "sudo chown root /usr/lib/rollcall/rollcall.ext"},
		{"an extension that others write", func(p *patient) { p.files[ext].Mode = 0o777 }, "extension_file", doctor.Fail, "others can write", "sudo chmod go-w /usr/lib/rollcall/rollcall.ext"},
		{"an extension that can't be executed", func(p *patient) { p.files[ext].Mode = 0o644 }, "extension_file", doctor.Fail, "may not be executed", "chmod 0755"},
		{"an extension that is a script", func(p *patient) { p.files[ext].Data = []byte("#!/bin/sh\n") }, "extension_file", doctor.Warn, "no build information", "install Rollcall's package anew"},
		{"an extension for another machine", func(p *patient) { p.Arch = "riscv64" }, "extension_file", doctor.Fail, "this is linux/riscv64", "package for this machine"},

		{"a sticky directory", func(p *patient) { p.files["usr/lib/rollcall"].Mode |= fs.ModeSticky }, "extension_directory", doctor.Fail, "is sticky", "move rollcall.ext"},
		{"a directory that others write", func(p *patient) { p.files["usr/lib/rollcall"].Mode = fs.ModeDir | 0o777 }, "extension_directory", doctor.Fail, "others can write to /usr/lib/rollcall", "sudo chmod go-w /usr/lib/rollcall"},
		{"a directory above that is somebody's", func(p *patient) { p.files["usr"] = &fstest.MapFile{Mode: fs.ModeDir | 0o755, Sys: uid(7)} }, "extension_directory", doctor.Fail, "/usr belongs to uid 7", "sudo chown root /usr"},
		{"no directory", func(p *patient) { remove(ext)(p) }, "extension_directory", doctor.Skip, "no rollcall.ext", ""},

		{"no extensions.load", remove(load), "extension_autoload", doctor.Fail, "is not there", "echo /usr/lib/rollcall/rollcall.ext | sudo tee -a /etc/osquery/extensions.load"},
		{"extensions.load of others", func(p *patient) { p.set(load, "/usr/lib/other.ext\n") }, "extension_autoload", doctor.Fail, "does not name rollcall.ext", "sudo tee -a /etc/osquery/extensions.load && sudo systemctl restart osqueryd"},
		{"extensions.load names it twice", func(p *patient) { p.set(load, "/usr/lib/rollcall/rollcall.ext\r\n/opt/rollcall/rollcall.ext\n") }, "extension_autoload", doctor.Warn, "2 times", "leave one line"},
		{"extensions.load that others write", func(p *patient) { p.files[load].Mode = 0o666 }, "extension_autoload", doctor.Fail, "others decide what root's osqueryd runs", "chmod go-w"},
		{"extensions.load elsewhere", func(p *patient) {
			flags("--extensions_autoload=/srv/my ext.load")(p)
			p.set("srv/my ext.load", "/usr/lib/rollcall")
		}, "extension_autoload", doctor.OK, "/srv/my ext.load names /usr/lib/rollcall", ""},
		{"extensions.load elsewhere, not there", flags("--extensions_autoload=/srv/my ext.load"), "extension_autoload", doctor.Fail, "/srv/my ext.load is not there", "sudo tee -a '/srv/my ext.load'"},
		{"extensions are off", flags("--disable_extensions"), "extension_autoload", doctor.Fail, "disable_extensions (/etc/osquery/osquery.flags)", "take --disable_extensions out"},
		{"the launcher loads", func(p *patient) {
			remove("opt/osquery/bin/osqueryd", "proc/612/comm")(p)
			p.set("usr/local/kolide-k2/bin/osqueryd", "")
		}, "extension_autoload", doctor.Skip, "Kolide's launcher decides", "in its configuration"},

		{"nobody waits", func(p *patient) { p.set("etc/osquery/osquery.flags", "--extensions_require=other") }, "extensions_require", doctor.Warn, "does not wait for rollcall", "add --extensions_require=rollcall to /etc/osquery/osquery.flags"},
		{"several are waited for", flags("--extensions_require=other, rollcall"), "extensions_require", doctor.OK, "other, rollcall", ""},
		{"nobody waits long", flags("--extensions_timeout=1"), "extensions_require", doctor.Warn, "waits 1 s", "--extensions_timeout=10"},
		{"Orbit does not wait", func(p *patient) {
			p.set("proc/612/cmdline", "/opt/orbit/bin/osqueryd/linux/stable/osqueryd\x00--config_plugin=tls\x00")
		}, "extensions_require", doctor.Warn, "does not wait", "agent options"},

		{"no socket", remove(sock), "core_socket", doctor.Fail, "is not there", "sudo systemctl restart osqueryd"},
		{"a file for a socket", func(p *patient) { p.set(sock, "") }, "core_socket", doctor.Fail, "is no socket", "sudo rm /var/osquery/osquery.em"},
		{"a socket of somebody", func(p *patient) { p.files[sock].Sys = uid(33) }, "core_socket", doctor.Fail, "belongs to uid 33", "chown root"},
		{"a socket for everybody", func(p *patient) { p.files[sock].Mode = fs.ModeSocket | 0o777 }, "core_socket", doctor.Fail, "others can ask osqueryd", "chmod go-w"},
		{"a socket with a long name", flags("--extensions_socket=/run/" + strings.Repeat("x", 100)), "core_socket", doctor.Fail, "at most 97 work", "a shorter --extensions_socket"},
		{"a socket elsewhere", func(p *patient) {
			flags("--extensions_socket /nonsense\n--extensions_socket=\"/run/em\"")(p)
			p.files["run/em"] = p.files[sock]
		}, "core_socket", doctor.OK, "/run/em is root's", ""},

		{"the extension does not run", remove("proc/700/comm"), "extension_runs", doctor.Fail, "no rollcall.ext runs", "osqueryd's log says why"},

		{"no events", flags("--disable_events"), "events", doctor.Fail, "disable_events is true (/etc/osquery/osquery.flags)", "put --disable_events=false into /etc/osquery/osquery.flags, then sudo systemctl restart osqueryd"},
		{"no events by the command line", func(p *patient) {
			p.files["proc/612/cmdline"].Data = append(p.files["proc/612/cmdline"].Data, "--disable_events=true\x00"...)
		}, "events", doctor.Fail, "disable_events is true (its command line)", ""},
		{"no events by the configuration", func(p *patient) { p.set("etc/osquery/osquery.conf", `{"options": {"disable_events": true}}`) }, "events", doctor.Fail, "(/etc/osquery/osquery.conf)", ""},
		{"no events by a part of the configuration", func(p *patient) { p.set("etc/osquery/osquery.conf.d/x.conf", `{"options": {"disable_events": "1"}}`) }, "events", doctor.Fail, "(/etc/osquery/osquery.conf.d/x.conf)", ""},
		{"the configuration can't turn extensions off", func(p *patient) { p.set("etc/osquery/osquery.conf", `{"options": {"disable_extensions": true}}`) }, "extension_autoload", doctor.OK, "", ""},
		{"flags that can't be read", func(p *patient) { p.files["etc/osquery/osquery.flags"] = directory() }, "events", doctor.Skip, "not a regular file", "sudo rollcall doctor"},
		{"flags in a file of a file", func(p *patient) {
			flags("--flagfile=/etc/more.flags")(p)
			p.set("etc/more.flags", "--flagfile=/etc/osquery/osquery.flags\n--disable_events=t\n")
		}, "events", doctor.Fail, "(/etc/more.flags)", ""},
		{"flags of the unit", func(p *patient) {
			p.set("proc/612/cmdline", "/opt/osquery/bin/osqueryd\x00")
			p.set("etc/default/osqueryd", "# env\nFLAG_FILE=\"/etc/my.flags\"\n")
			p.set("etc/my.flags", "--disable_events=true")
		}, "events", doctor.Fail, "(/etc/my.flags)", ""},
		{"flags that the user names", func(p *patient) { p.FlagFile = "/etc/mine"; p.set("etc/mine", "--disable_events=true") }, "events", doctor.Fail, "(/etc/mine)", "into /etc/mine"},
		{"a fleet's flags, and evidence in spite of them", flags("--config_plugin=tls\n--disable_audit=true"), "process_flags", doctor.OK, "process_events is read, by options of the fleet's server", ""},
		{"a fleet's flags", func(p *patient) {
			flags("--config_plugin=tls\n--disable_events=true")(p)
			p.health("process_events").State = evidence.StateOff
		}, "events", doctor.Warn, "server may say otherwise", "set disable_events=false in the fleet's options"},

		{"no audit", flags("--nodisable_events\n--disable_audit=true"), "process_flags", doctor.Warn, "disable_audit is true", "--disable_audit=false"},
		{"audit by default", func(p *patient) { p.set("etc/osquery/osquery.flags", "") }, "process_flags", doctor.Warn, "audit_allow_config is false (osquery's default)", "put --disable_audit=false --audit_allow_config=true into"},
		{"no sockets", flags("--audit_allow_sockets=false"), "socket_flags", doctor.Skip, "optional", "--audit_allow_sockets=true"},
		{"no users without audit", flags("--disable_audit=true"), "user_flags", doctor.Skip, "disable_audit is true", "--disable_audit=false"},
		{"no users", flags("--audit_allow_user_events=false"), "user_flags", doctor.Skip, "optional", "--audit_allow_user_events=true"},

		{"events that go soon", flags("--events_expiry=60"), "events_kept", doctor.Warn, "after 60 s (/etc/osquery/osquery.flags)", "--events_expiry=3600"},
		{"few events", func(p *patient) { p.set("etc/osquery/osquery.conf", `{"options": {"events_max": 100}}`) }, "events_kept", doctor.Warn, "100 events", "--events_max=50000"},

		{"auditd holds the audit", func(p *patient) { p.audit.PID = 50; p.set("proc/50/comm", "auditd\n") }, "audit_owner", doctor.Warn, "auditd (pid 50) holds", "systemctl disable --now auditd"},
		{"somebody holds the audit", func(p *patient) { p.audit.PID = 51 }, "audit_owner", doctor.Warn, "another namespace (pid 51)", ""},
		{"nobody holds the audit", func(p *patient) { p.audit.PID = 0 }, "audit_owner", doctor.Fail, "nobody holds", "CAP_AUDIT_CONTROL"},
		{"nobody need hold the audit", func(p *patient) { p.audit.PID = 0; flags("--disable_audit=true")(p) }, "audit_owner", doctor.OK, "nobody holds", ""},
		{"audit is off", func(p *patient) { p.audit.Enabled = 0 }, "audit_owner", doctor.Fail, "is off", "--audit_allow_config=true"},
		{"audit lost records", func(p *patient) { p.audit.Lost = 12 }, "audit_owner", doctor.Warn, "lost 12 audit records", "backlog_limit=16384"},
		{"audit is behind", func(p *patient) { p.audit.Backlog = 8000 }, "audit_owner", doctor.Warn, "8000 of 8192", "backlog_limit=16384"},
		{"audit is locked", func(p *patient) { p.audit.PID = 50; p.audit.Enabled = 2; flags("--disable_audit=true")(p) }, "audit_owner", doctor.Warn, "locked until the next start", "rules.d"},
		{"audit is not for others", func(p *patient) { p.Audit = func() (doctor.Audit, error) { return doctor.Audit{}, doctor.ErrDenied } }, "audit_owner", doctor.Skip, "only root", "sudo rollcall doctor"},
		{"a kernel without audit", func(p *patient) {
			p.Audit = func() (doctor.Audit, error) { return doctor.Audit{}, fmt.Errorf("x: %w", doctor.ErrNone) }
		}, "audit_owner", doctor.Skip, "no audit", ""},
		{"audit that fails", func(p *patient) { p.Audit = func() (doctor.Audit, error) { return doctor.Audit{}, errors.New("boom") } }, "audit_owner", doctor.Warn, "boom", "auditctl -s"},
		{"audit that is not looked at", func(p *patient) { p.Audit = nil }, "audit_owner", doctor.Skip, "not looked at", ""},

		{"a bad configuration", func(p *patient) {
			p.Config = func(string, bool) (config.Config, error) { return config.Default(), errors.New("line 3: no key \"x\"") }
		}, "configuration", doctor.Fail, "line 3", "rollcall config check /etc/rollcall/rollcall.yaml"},
		{"a configuration of somebody", func(p *patient) {
			p.files["etc/rollcall/rollcall.yaml"].Sys = uid(5)
			p.Config = func(string, bool) (config.Config, error) { return config.Default(), errors.New("it belongs to uid 5") }
		}, "configuration", doctor.Fail, "the defaults are in force", "sudo chown root /etc/rollcall/rollcall.yaml"},
		{"no configuration", remove("etc/rollcall/rollcall.yaml"), "configuration", doctor.OK, "the defaults", ""},

		{"refused rules", func(p *patient) {
			p.Rules = func(string) (int, []string, error) {
				return 50, []string{"a.yml: x", "b.yml: y", "c.yml: z", "d.yml: w"}, nil
			}
		}, "rules", doctor.Warn, "50 rules are in force, 4 are refused: a.yml: x; b.yml: y; c.yml: z; and 1 more", "rollcall rules lists them"},
		{"rules of somebody", func(p *patient) {
			p.config.RulesDir = "/etc/rollcall/rules.d"
			p.Rules = func(string) (int, []string, error) { return 50, nil, errors.New("it belongs to uid 5") }
		}, "rules", doctor.Fail, "uid 5", "chown -R root /etc/rollcall/rules.d"},
		{"no rules of one's own", func(p *patient) { p.Rules = func(string) (int, []string, error) { return 50, nil, fs.ErrNotExist } }, "rules", doctor.OK, "built-in", ""},
		{"no directory of rules", func(p *patient) { p.config.RulesDir = "" }, "rules", doctor.Skip, "built-in", ""},

		{"no indicators", func(p *patient) { p.config.IOCFiles = nil }, "indicators", doctor.Skip, "none are configured", "ioc_files in /etc/rollcall/rollcall.yaml"},
		{"indicators that can't be read", func(p *patient) {
			p.Indicators = func(string) (int, []string, error) { return 0, nil, errors.New("gone") }
		}, "indicators", doctor.Fail, "gone", "take it out of ioc_files"},
		{"indicators of somebody", func(p *patient) {
			p.files["etc/rollcall/ioc.txt"] = &fstest.MapFile{Mode: 0o666, Sys: uid(0)}
			p.Indicators = func(string) (int, []string, error) { return 0, nil, errors.New("others can write to it") }
		}, "indicators", doctor.Fail, "others", "sudo chmod go-w /etc/rollcall/ioc.txt"},
		{"indicators in part", func(p *patient) {
			p.Indicators = func(string) (int, []string, error) { return 7, []string{"line 3: ?"}, nil }
		}, "indicators", doctor.Warn, "/etc/rollcall/ioc.txt: line 3: ?", "mend those lines"},
		{"no scans", func(p *patient) { p.config.VulnFiles = nil }, "vulnerability_scans", doctor.Skip, "none are configured", "vuln_files"},
		{"a damaged scan", func(p *patient) {
			p.Scan = func(string) (int, []string, error) { return 0, nil, errors.New("not understood") }
		}, "vulnerability_scans", doctor.Fail, "not understood", "take it out of vuln_files"},

		{"a fleet's configuration is refused", func(p *patient) {
			*p.health("central_config") = store.Health{Component: "central_config", State: evidence.StateDegraded, Detail: "refused", Remedy: "mend it"}
		}, "central_configuration", doctor.Warn, "refused", "mend it"},
		{"a fleet switched it off", func(p *patient) {
			*p.health("central_config") = store.Health{Component: "central_config", State: evidence.StateOff, Detail: "off", Remedy: "switch it on"}
		}, "central_configuration", doctor.Warn, "off", "switch it on"},
		{"no fleet", func(p *patient) { p.state.Health = p.state.Health[:3] }, "central_configuration", doctor.Skip, "nothing is known", ""},

		{"no state", remove("var/lib/rollcall", "var/lib/rollcall/rollcall.db", "var/lib/rollcall/rollcall.db-wal"), "state_directory", doctor.Fail, "never collected here", "start osqueryd with the extension"},
		{"state is a link", func(p *patient) {
			p.files["var/lib/rollcall"] = &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: []byte("/srv"), Sys: uid(0)}
		}, "state_directory", doctor.Fail, "not a directory, or a link", "sudo mv"},
		{"state of somebody", func(p *patient) { p.files["var/lib/rollcall"].Sys = uid(9) }, "state_directory", doctor.Fail, "belongs to uid 9", "chown root /var/lib/rollcall"},
		{"state that others read", func(p *patient) { p.files["var/lib/rollcall"].Mode = fs.ModeDir | 0o755 }, "state_directory", doctor.Warn, "others can look into", "sudo chmod 0700 /var/lib/rollcall"},
		{"no database", remove("var/lib/rollcall/rollcall.db"), "database", doctor.Fail, "never collected here", "start osqueryd"},
		{"a broken database", func(p *patient) {
			p.State = func(context.Context, string) (doctor.State, error) { return doctor.State{}, errors.New("malformed") }
		}, "database", doctor.Fail, "malformed", "sets it aside by itself"},
		{"an older database", func(p *patient) {
			p.State = func(context.Context, string) (doctor.State, error) { return doctor.State{}, store.ErrOlder }
		}, "database", doctor.Warn, "older Rollcall", "start osqueryd with this version's extension once"},
		{"a database of another machine", func(p *patient) { p.state.Machine = "m2" }, "database", doctor.Warn, "another machine", "nothing is to be done"},
		{"a database that was set aside", func(p *patient) {
			p.set("var/lib/rollcall/rollcall.db.corrupt-1", "")
			p.set("var/lib/rollcall/rollcall.db.corrupt-1-wal", "")
		}, "database", doctor.Warn, "set aside: rollcall.db.corrupt-1", "faults of the disk"},
		{"a database that is not looked at", func(p *patient) { p.State = nil }, "database", doctor.Skip, "not looked at", ""},

		{"nothing was collected lately", func(p *patient) {
			for i := range p.state.Health {
				p.state.Health[i].Checked = now.Unix() - 3600
			}
		}, "collector", doctor.Fail, "nothing was collected for 1h0m0s", "sudo systemctl restart osqueryd"},
		{"nothing was collected ever", func(p *patient) {
			for i := range p.state.Health {
				p.state.Health[i].Checked = 0
			}
		}, "collector", doctor.Fail, "nothing was collected yet", ""},
		{"collected seldom, as configured", func(p *patient) {
			p.config.CollectInterval = time.Hour
			for i := range p.state.Health {
				p.state.Health[i].Checked = now.Unix() - 3600
			}
		}, "collector", doctor.OK, "collected 1h0m0s ago", ""},
		{"switched off", func(p *patient) {
			*p.health("collector") = store.Health{Component: "collector", State: evidence.StateOff, Detail: "enabled: false", Remedy: "set enabled: true"}
		}, "collector", doctor.Warn, "enabled: false", "set enabled: true"},
		{"no state to see the collector by", func(p *patient) { p.State = nil }, "collector", doctor.Skip, "no state", ""},

		{"no program is seen", func(p *patient) {
			h := p.health("process_events")
			h.State, h.Remedy = evidence.StateFailed, "turn it on"
		}, "process_evidence", doctor.Fail, "process_events is failed, kaudit is off", "turn it on"},
		{"no source of programs", func(p *patient) { p.state.Health = p.state.Health[:1] }, "process_evidence", doctor.Fail, "no source tells of programs that start", "as root"},
		{"no program was seen yet", func(p *patient) { p.health("process_events").LastEvent = 0 }, "process_evidence", doctor.Warn, "nothing came yet", "run a program"},
		{"no program was seen lately", func(p *patient) { p.health("process_events").LastEvent = now.Unix() - 2*86400 }, "process_evidence", doctor.Warn, "48h0m0s ago", "run a program"},
		{"no state to see evidence by", func(p *patient) { p.State = nil }, "process_evidence", doctor.Skip, "no state", ""},

		{"a source fails", func(p *patient) {
			h := p.health("process_events")
			h.State, h.Detail, h.Remedy = evidence.StateFailed, "gone", "bring it back"
		}, "source process_events", doctor.Fail, "gone; last evidence", "bring it back"},
		{"a source loses", func(p *patient) {
			h := p.health("process_events")
			h.State, h.Dropped, h.Gaps = evidence.StateDegraded, 5, 2
		}, "source process_events", doctor.Warn, "5 lost, 2 gaps", ""},
		{"a source in a state nobody knows", func(p *patient) { p.health("new").State = "odd" }, "source new", doctor.Warn, "odd", ""},

		{"no pack", func(p *patient) { p.set("etc/osquery/osquery.conf", "{}") }, "pack", doctor.Warn, "nothing is logged", `put "packs": {"t1007": "/usr/share/rollcall/packs/osquery/t1007.conf"} into /etc/osquery/osquery.conf`},
		{"no pack on the disk", func(p *patient) {
			p.set("etc/osquery/osquery.conf", "{}")
			remove("usr/share/rollcall/packs/osquery/t1007.conf")(p)
		}, "pack", doctor.Warn, "nothing is logged", "sudo rollcall packs --format osquery --out /etc/osquery; put"},
		{"no configuration of osquery", remove("etc/osquery/osquery.conf"), "pack", doctor.Warn, "nothing is logged", "into /etc/osquery/osquery.conf"},
		{"osquery's configuration is broken", func(p *patient) { p.set("etc/osquery/osquery.conf", "{") }, "pack", doctor.Fail, "/etc/osquery/osquery.conf: unexpected end", "mend the JSON"},
		{"a pack is gone", remove("usr/share/rollcall/packs/osquery/t1007.conf"), "pack", doctor.Fail, "t1007.conf", "packs check"},
		{"a pack in the configuration", func(p *patient) {
			p.set("etc/osquery/osquery.conf", `{"packs": {"x": {"queries": {"q": {"query": "select * from SERVICE_INCIDENTS"}}}}}`)
		}, "pack", doctor.OK, "1 scheduled", ""},
		{"scheduled by itself", func(p *patient) {
			p.set("etc/osquery/osquery.conf", `{"schedule": {"q": {"query": "select * from service_install_events", "interval": 60}}}`)
		}, "pack", doctor.OK, "1 scheduled", ""},
		{"packs by a star", func(p *patient) {
			p.set("etc/osquery/osquery.conf", `{"packs": {"*": "/etc/osquery/packs/*"}}`)
			p.set("etc/osquery/packs/a.conf", `{"queries": {"q": {"query": "SELECT 1 FROM service_inventory"}}}`)
			p.set("etc/osquery/packs/b.conf", `{"queries": {}}`)
		}, "pack", doctor.OK, "1 scheduled", ""},
		{"a fleet's schedule", flags("--config_plugin=tls"), "pack", doctor.Skip, "fleet's server", "osquery_schedule"},

		{"a clock that stopped", func(p *patient) { p.Now = time.Unix(0, 0) }, "clock", doctor.Fail, "the clock says 1970-01-01", "timedatectl set-ntp true"},
		{"a clock that was ahead", func(p *patient) { p.state.Newest = now.Unix() + 7200 }, "clock", doctor.Warn, "2h0m0s in the future", "timedatectl"},
		{"a clock nobody keeps", func(p *patient) { p.Synced = func() (bool, bool) { return false, true } }, "clock", doctor.Warn, "nothing keeps the clock right", "timedatectl"},
		{"a clock nobody knows of", func(p *patient) { p.Synced = func() (bool, bool) { return false, false } }, "clock", doctor.OK, "2026-11-28", ""},

		{"a full disk", func(p *patient) { p.Disk = func(string) (uint64, uint64, error) { return 1 << 20, 1 << 40, nil } }, "disk", doctor.Fail, "nothing more can be remembered", "make room"},
		{"a nearly full disk", func(p *patient) { p.Disk = func(string) (uint64, uint64, error) { return 500 << 20, 1 << 40, nil } }, "disk", doctor.Warn, "0.5 of 1024.0 GB", "make room"},
		{"a disk that can't be looked at", func(p *patient) { p.Disk = func(string) (uint64, uint64, error) { return 0, 0, errors.New("gone") } }, "disk", doctor.Skip, "gone", ""},
		{"the disk of a state to come", func(p *patient) {
			remove("var/lib/rollcall", "var/lib/rollcall/rollcall.db", "var/lib/rollcall/rollcall.db-wal")(p)
			p.Disk = func(path string) (uint64, uint64, error) { return 0, 0, errors.New("of " + path) }
		}, "disk", doctor.Skip, "of /var/lib", ""},
	}
}

func TestTroubles(t *testing.T) {
	for _, x := range troubles() {
		t.Run(x.name, func(t *testing.T) {
			p := healthy(t)
			x.change(p)
			c := find(t, p.diagnose(), x.check)
			if c.State != x.state || !strings.Contains(c.Detail, x.detail) || !strings.Contains(c.Remedy, x.remedy) {
				t.Errorf("%+v\nwant %s, %q, %q", c, x.state, x.detail, x.remedy)
			}
			if (c.State == doctor.Warn || c.State == doctor.Fail) && c.Remedy == "" && !strings.HasPrefix(c.Name, "source ") {
				t.Errorf("%s says %s and no remedy", c.Name, c.State)
			}
		})
	}
}

// TestEveryCheckHasItsTrouble compares what is checked with what is tested.
func TestEveryCheckHasItsTrouble(t *testing.T) {
	tested := map[string]bool{}
	for _, x := range troubles() {
		if x.state != doctor.OK {
			tested[x.check] = true
		}
	}
	var missing []string
	for _, c := range healthy(t).diagnose() {
		if !tested[c.Name] && !strings.HasPrefix(c.Name, "source ") {
			missing = append(missing, c.Name)
		}
	}
	if len(missing) > 0 {
		t.Errorf("nothing is ever wrong with %q", missing)
	}
}

// TestNothingIsKnown has a host of which nothing can be asked.
func TestNothingIsKnown(t *testing.T) {
	for _, platform := range []evidence.Platform{evidence.Linux, evidence.Darwin, evidence.Windows, ""} {
		checks := doctor.Diagnose(context.Background(), doctor.Host{Platform: platform, Files: fstest.MapFS{}, Now: now})
		if len(checks) < 15 {
			t.Errorf("%s: %d checks", platform, len(checks))
		}
		for _, c := range checks {
			if c.Detail == "" || c.Name == "" {
				t.Errorf("%s: %+v", platform, c)
			}
		}
	}
}

func TestOtherPlatforms(t *testing.T) {
	for _, x := range []struct {
		platform evidence.Platform
		files    fstest.MapFS
		config   string
		state    string
		want     map[string]string
	}{
		{evidence.Windows, fstest.MapFS{
			"Program Files/osquery/osqueryd/osqueryd.exe": file(""),
			"Program Files/osquery/osquery.flags":         file("\xef\xbb\xbf--disable_events=false\r\n--enable_process_etw_events=true\r\n--extensions_require=rollcall\r\n"),
			"Program Files/osquery/extensions.load":       file("C:\\Program Files\\Rollcall\\rollcall.ext.exe\r\n"),
			"Program Files/osquery/osquery.conf":          file(`{"packs": {"t1007": "C:\\Program Files\\Rollcall\\packs\\t1007.conf"}}`),
			"Program Files/Rollcall/packs/t1007.conf":     file(`{"queries": {"a": {"query": "SELECT * FROM service_incidents"}}}`),
			"Program Files/Rollcall/rollcall.ext.exe":     {Data: []byte(program(t)), Mode: 0o644},
			"ProgramData/Rollcall/state/rollcall.db":      file(""),
		}, `C:\ProgramData\Rollcall\rollcall.yaml`, `C:\ProgramData\Rollcall\state`, map[string]string{
			"osquery": "ok", "osquery_runs": "skip", "extension_file": "fail", "extension_directory": "skip", "extension_autoload": "ok", "extensions_require": "ok", "core_socket": "skip",
			"events": "ok", "process_flags": "fail", "pack": "ok", "configuration": "skip", "state_directory": "ok", "privileges": "warn",
		}},
		{evidence.Darwin, fstest.MapFS{
			"opt/osquery/lib/osquery.app/Contents/MacOS/osqueryd": file(""),
			"opt/osquery/lib/osquery.app/Contents/Info.plist":     file("<dict><key>CFBundleShortVersionString</key>\n<string>5.23.0</string></dict>"),
			"var/osquery/osquery.flags":                           file("--disable_endpointsecurity=false\n"),
			"var/osquery/extensions.load":                         file("/opt/rollcall/rollcall.ext\n"),
			"opt/rollcall/rollcall.ext":                           {Data: []byte(program(t)), Mode: 0o755, Sys: uid(0)},
			"var/osquery/osquery.em":                              {Mode: fs.ModeSocket | 0o600, Sys: uid(0)},
		}, "/Library/Application Support/Rollcall/rollcall.yaml", "/Library/Application Support/Rollcall/state", map[string]string{
			"osquery": "ok", "extension_file": "fail", "extension_directory": "ok", "extension_autoload": "ok", "extensions_require": "warn", "core_socket": "ok",
			"events": "ok", "process_flags": "ok", "pack": "warn", "state_directory": "fail", "socket_flags": "skip",
		}},
	} {
		t.Run(string(x.platform), func(t *testing.T) {
			if string(x.platform) == runtime.GOOS {
				t.Skip("NOT TESTED: that a program of another platform is refused, on " + runtime.GOOS)
			}
			checks := doctor.Diagnose(context.Background(), doctor.Host{Platform: x.platform, Arch: runtime.GOARCH, Files: x.files, Now: now, ConfigFile: x.config, StateDir: x.state,
				Owner: func(i fs.FileInfo) (uint32, bool) { u, ok := i.Sys().(uid); return uint32(u), ok }})
			for name, state := range x.want {
				if c := find(t, checks, name); c.State != state {
					t.Errorf("%+v, want %s", c, state)
				}
			}
			// The program of this test is of another platform.
			if c := find(t, checks, "extension_file"); !strings.Contains(c.Detail, "was built for "+runtime.GOOS) {
				t.Errorf("%+v", c)
			}
			if c := find(t, checks, "osquery"); x.platform == evidence.Darwin && !strings.HasSuffix(c.Detail, ", 5.23.0") {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestWorst(t *testing.T) {
	for _, x := range []struct {
		states []string
		want   string
	}{{nil, doctor.OK}, {[]string{doctor.Skip}, doctor.OK}, {[]string{doctor.OK, doctor.Warn, doctor.Skip}, doctor.Warn}, {[]string{doctor.Fail, doctor.Warn}, doctor.Fail}} {
		var checks []doctor.Check
		for _, s := range x.states {
			checks = append(checks, doctor.Check{State: s})
		}
		if got := doctor.Worst(checks); got != x.want {
			t.Errorf("%v: %s", x.states, got)
		}
	}
}

// TestThisHost runs the checks on the real host: whatever they find, they find it in
// order, with remedies, and change nothing.
func TestThisHost(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	h := doctor.ThisHost("", state, "")
	checks := doctor.Diagnose(context.Background(), h)
	seen := map[string]bool{}
	name := regexp.MustCompile(`^[a-z_]+( [a-z_0-9:]+)?$`)
	for _, c := range checks {
		if seen[c.Name] || !name.MatchString(c.Name) || !slices.Contains([]string{doctor.OK, doctor.Warn, doctor.Fail, doctor.Skip}, c.State) || c.Detail == "" {
			t.Errorf("%+v", c)
		}
		seen[c.Name] = true
	}
	if c := find(t, checks, "state_directory"); c.State != doctor.Fail {
		t.Errorf("%+v", c)
	}
	if _, err := os.Stat(state); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the doctor made %s: %v", state, err)
	}
	if c := find(t, checks, "disk"); c.State == doctor.Skip {
		t.Errorf("%+v", c)
	}
}

// TestStateIsRead has a real state.
func TestStateIsRead(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "state")
	st, err := store.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close() // as the extension has it open
	err = errors.Join(st.Bind(ctx, "m1", "0"), st.Commit(ctx, &store.Batch{
		Events: []*store.Event{{EventID: "a", Process: evidence.Process{Time: 50}}, {EventID: "b", Process: evidence.Process{Time: 90}}},
		Health: []store.Health{{Component: "x", State: evidence.StateOK}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := doctor.ThisHost("", dir, "").State(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(doctor.State{Machine: "m1", Newest: 90, Health: []store.Health{{Component: "x", State: evidence.StateOK}}}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func FuzzFlags(f *testing.F) {
	f.Add("--disable_events=false\n--flagfile=/etc/osquery/osquery.flags\n--nodisable_audit", `{"options": {"events_max": 1}, "packs": {"*": "/etc/osquery/packs/*"}}`, "/usr/lib/rollcall/rollcall.ext\n#x")
	f.Add("\xef\xbb\xbf--=\n-\n--no\n--extensions_autoload=..", "# x\n{\"packs\": {\"a\": {\"queries\": {}}}}", "\ufeffrollcall")
	f.Fuzz(func(t *testing.T, flags, conf, load string) {
		files := fstest.MapFS{
			"opt/osquery/bin/osqueryd": file(""), "etc/osquery/osquery.flags": file(flags), "etc/osquery/osquery.conf": file(conf), "etc/osquery/extensions.load": file(load),
			"proc/5/comm": file("osqueryd"), "proc/5/cmdline": file(flags),
		}
		for _, c := range doctor.Diagnose(context.Background(), doctor.Host{Platform: evidence.Linux, Files: files, Now: now, StateDir: "/var/lib/rollcall"}) {
			if c.Name == "" || c.Detail == "" || c.State == "" {
				t.Errorf("%+v", c)
			}
		}
	})
}
