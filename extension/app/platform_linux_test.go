package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/service/inventory"
	"github.com/osquery-rollcall/rollcall/extension/service/watch"
	"github.com/osquery-rollcall/rollcall/extension/source/logtail"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// bare is a Linux host without osquery: a tree of files, and the sources that read it
// through the real engine.
type bare struct {
	t       *testing.T
	root    string
	store   *store.Store
	collect func(context.Context) error
}

// newBare makes the host; audited is what its kernel says of its audit rules.
func newBare(t *testing.T, audited error, tree map[string]string) *bare {
	t.Helper()
	b := &bare{t: t, root: t.TempDir()}
	b.plant(tree)
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if b.store, err = store.Open(context.Background(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.store.Close() })
	own := []uint32{uint32(os.Getuid())}
	services := watch.New(watch.Options{Inventory: inventory.New(b.root, inventory.Options{Trust: own})})
	o := logtail.Options{Root: b.root, Host: "web1", Location: time.UTC, Trust: own, Audited: func() error { return audited }}
	logs := []*logtail.Source{logtail.NewAudit(o), logtail.NewSyslog(o)}
	sources := []engine.Source{services}
	t.Cleanup(func() { _ = services.Close() })
	for _, l := range logs {
		sources = append(sources, l)
		t.Cleanup(func() { _ = l.Close() })
	}
	e, err := engine.New(context.Background(), engine.Options{Judge: &engine.Judge{Rules: set, Weights: score.DefaultWeights()}, Store: b.store, Sources: sources, HostID: "h", Host: "web1", Users: names{}})
	if err != nil {
		t.Fatal(err)
	}
	b.collect = e.Collect
	return b
}

// names are the host's users.
type names struct{}

func (names) Name(_ context.Context, uid string) string {
	return map[string]string{"0": "root", "1000": "anna"}[uid]
}

func (b *bare) plant(tree map[string]string) {
	b.t.Helper()
	for name, text := range tree {
		path := filepath.Join(b.root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if target, link := strings.CutPrefix(text, "-> "); err == nil && link {
			err = os.Symlink(target, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err == nil && (strings.Contains(name, "init.d") || strings.Contains(name, "generators")) {
			err = os.Chmod(path, 0o755)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// until collects until ok, for half a minute.
func (b *bare) until(what string, ok func() bool) {
	b.t.Helper()
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if err := b.collect(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		if ok() {
			return
		}
		if time.Since(begin) > 30*time.Second {
			b.t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func (b *bare) events() (out []store.Event) {
	b.t.Helper()
	if _, err := b.store.Events(b.t.Context(), store.Filter{}, func(e *store.Event) error { out = append(out, *e); return nil }); err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bare) installs() (out []evidence.Install) {
	b.t.Helper()
	if err := b.store.Installs(b.t.Context(), store.Filter{}, func(i *store.Install) error { out = append(out, i.Install); return nil }); err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bare) health(component string) store.Health {
	b.t.Helper()
	list, err := b.store.Health(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range list {
		if h.Component == component {
			return h
		}
	}
	b.t.Fatalf("no health of %s", component)
	return store.Health{}
}

const webUnit = "[Unit]\nDescription=web\n[Service]\nExecStart=/usr/sbin/web\n[Install]\nWantedBy=multi-user.target\n"

// auditLog is what the audit daemon writes of anna's "sudo systemctl list-units", and
// authLog what sudo does.
func auditLog(at time.Time) string {
	stamp := fmt.Sprintf("msg=audit(%d.123:", at.Unix())
	return "type=SYSCALL " + stamp + `71): arch=c000003e syscall=59 success=yes exit=0 ppid=400 pid=410 auid=1000 uid=1000 euid=0 tty=pts0 ses=3 comm="sudo" exe="/usr/bin/sudo" key=(null)` + "\n" +
		"type=EXECVE " + stamp + `71): argc=3 a0="sudo" a1="systemctl" a2="list-units"` + "\n" +
		"type=PROCTITLE " + stamp + "71): proctitle=7375646F\n" +
		"type=SYSCALL " + stamp + `72): arch=c000003e syscall=59 success=yes exit=0 ppid=410 pid=411 auid=1000 uid=0 euid=0 tty=pts0 ses=3 comm="systemctl" exe="/usr/bin/systemctl" key=(null)` + "\n" +
		"type=EXECVE " + stamp + `72): argc=2 a0="systemctl" a1="list-units"` + "\n" +
		"type=PROCTITLE " + stamp + "72): proctitle=73797374656D63746C\n"
}

func authLog(at time.Time) string {
	return at.UTC().Format(time.RFC3339) + " web1 sudo: anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/systemctl list-units\n"
}

// TestPlatformTableOfAHostWithoutOsquery: what the design's platform table has for Linux
// beside osquery's tables, in both columns.
func TestPlatformTableOfAHostWithoutOsquery(t *testing.T) {
	t.Run("commands", func(t *testing.T) {
		at := time.Now().Add(-time.Minute)
		for _, tt := range []struct {
			name string
			tree map[string]string
			want string // sources
		}{
			{"the audit daemon's log", map[string]string{"var/log/audit/audit.log": auditLog(at)}, "auditlog"},
			{"sudo in syslog", map[string]string{"var/log/auth.log": authLog(at)}, "syslog"},
			{"both are one", map[string]string{"var/log/audit/audit.log": auditLog(at), "var/log/auth.log": authLog(at)}, "auditlog,syslog"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				b := newBare(t, nil, tt.tree)
				var rows []store.Event
				b.until("a row of "+tt.want, func() bool {
					rows = b.events()
					return len(rows) > 0 && rows[0].Process.Source == tt.want
				})
				p := rows[0].Process
				if len(rows) != 1 || !strings.HasSuffix(p.CmdLine, "systemctl list-units") || p.Username != "root" || p.LoginUser != "anna" {
					t.Errorf("%d rows, %+v", len(rows), p)
				}
				for source := range strings.SplitSeq(tt.want, ",") {
					if h := b.health(source); h.State != evidence.StateOK || h.Read == 0 || h.Matched == 0 {
						t.Errorf("health: %+v", h)
					}
				}
			})
		}
	})
	t.Run("installs", func(t *testing.T) {
		for _, tt := range []struct {
			name   string
			tree   map[string]string
			want   string // the service's name
			action string
		}{
			{"a unit", map[string]string{"etc/systemd/system/evil.service": "[Service]\nExecStart=/tmp/x\n"}, "evil.service", evidence.Created},
			{"a drop-in", map[string]string{"etc/systemd/system/web.service.d/x.conf": "[Service]\nExecStartPost=/tmp/x\n"}, "web.service", evidence.Modified},
			{"a generator", map[string]string{"etc/systemd/system-generators/gen": "#!/bin/sh\n/tmp/x\n"}, "gen", evidence.Created},
			{"an init script", map[string]string{"etc/init.d/evil": "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: evil\n### END INIT INFO\n/tmp/x\n"}, "evil", evidence.Created},
			{"an enablement link", map[string]string{"etc/systemd/system/multi-user.target.wants/web.service": "-> /usr/lib/systemd/system/web.service"}, "web.service", evidence.Enabled},
		} {
			t.Run(tt.name, func(t *testing.T) {
				b := newBare(t, nil, map[string]string{
					"usr/lib/systemd/system/web.service": webUnit, "usr/sbin/web": "binary", "etc/systemd/system/.keep": "", "etc/init.d/.keep": "", "etc/systemd/system-generators/.keep": "",
				})
				b.until("the services are known", func() bool { return b.health(watch.SourceName).State == evidence.StateOK })
				b.plant(tt.tree)
				b.until("a row of "+tt.want, func() bool {
					return slices.ContainsFunc(b.installs(), func(i evidence.Install) bool { return i.Name == tt.want && i.Action == tt.action })
				})
				if h := b.health(watch.SourceName); h.State != evidence.StateOK || h.Matched == 0 {
					t.Errorf("health: %+v", h)
				}
			})
		}
	})
}

// TestHealthOfAHostWithoutOsquery: what health says of such a host's logs in each of the
// ways it can be.
func TestHealthOfAHostWithoutOsquery(t *testing.T) {
	unruled := &evidence.Unavailable{State: evidence.StateOff, Detail: "the kernel has no audit rules", Remedy: "auditctl -a always,exit"}
	at := time.Now().Add(-time.Minute)
	for _, tt := range []struct {
		name             string
		audited          error
		tree             map[string]string
		component, state string
		detail, remedy   string
	}{
		{"nothing on", nil, nil, "auditlog", evidence.StateOff, "no audit daemon writes one", "install auditd"},
		{"nothing on", nil, nil, "syslog", evidence.StateOff, "the journal alone", "ForwardToSyslog=yes"},
		{"events off: no rules", unruled, map[string]string{"var/log/audit/audit.log": auditLog(at)}, "auditlog", evidence.StateOff, "no audit rules", "auditctl"},
		{"not to be read", nil, map[string]string{"var/log/audit/audit.log/x": ""}, "auditlog", evidence.StateFailed, "audit.log", "own"},
		{"one of two not to be read", nil, map[string]string{"var/log/auth.log": authLog(at), "var/log/syslog/x": ""}, "syslog", evidence.StateDegraded, "syslog", "own"},
	} {
		t.Run(tt.name+"/"+tt.component, func(t *testing.T) {
			b := newBare(t, tt.audited, tt.tree)
			if err := b.collect(t.Context()); err != nil {
				t.Fatal(err)
			}
			if h := b.health(tt.component); h.State != tt.state || !strings.Contains(h.Detail, tt.detail) || !strings.Contains(h.Remedy, tt.remedy) {
				t.Errorf("%+v", h)
			}
		})
	}
}
