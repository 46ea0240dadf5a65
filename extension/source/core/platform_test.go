package core_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

// pipeline runs sources of a machine through the real engine.
type pipeline struct {
	m       *machine
	store   *store.Store
	collect func(context.Context) error
}

func (m *machine) pipeline(sources ...core.Source) *pipeline {
	m.t.Helper()
	set, err := rule.Embedded()
	if err != nil {
		m.t.Fatal(err)
	}
	s, err := store.Open(context.Background(), m.t.TempDir())
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = s.Close() })
	o := engine.Options{Judge: &engine.Judge{Rules: set, Weights: score.DefaultWeights()}, Store: s, HostID: "host-1", Host: "host-1",
		Now: func() time.Time { return time.Unix(m.hands.wall, 0) }}
	for _, src := range sources {
		o.Sources = append(o.Sources, src)
	}
	e, err := engine.New(context.Background(), o)
	if err != nil {
		m.t.Fatal(err)
	}
	return &pipeline{m, s, e.Collect}
}

func (p *pipeline) cycle() {
	p.m.t.Helper()
	if err := p.collect(context.Background()); err != nil {
		p.m.t.Fatal(err)
	}
}

// told are the commands and installs that a source has told of, and its health.
func (p *pipeline) told(source string) (commands, installs []string, health store.Health) {
	p.m.t.Helper()
	ctx := context.Background()
	names := func(list string) bool { return slices.Contains(strings.Split(list, ","), source) }
	_, err := p.store.Events(ctx, store.Filter{}, func(e *store.Event) error {
		if names(e.Process.Source) {
			commands = append(commands, e.Process.CmdLine)
		}
		return nil
	})
	if err != nil {
		p.m.t.Fatal(err)
	}
	err = p.store.Installs(ctx, store.Filter{}, func(i *store.Install) error {
		if names(i.Install.Source) {
			installs = append(installs, i.Install.Name)
		}
		return nil
	})
	if err != nil {
		p.m.t.Fatal(err)
	}
	return commands, installs, p.health()[source]
}

func (p *pipeline) health() map[string]store.Health {
	p.m.t.Helper()
	list, err := p.store.Health(context.Background())
	if err != nil {
		p.m.t.Fatal(err)
	}
	out := map[string]store.Health{}
	for _, h := range list {
		out[h.Component] = h
	}
	return out
}

// TestPlatformTableRows: what each source of the design's platform table, in both
// columns, tells of commands and of installs becomes rows, and health says that it works.
func TestPlatformTableRows(t *testing.T) {
	for _, tt := range []struct {
		platform evidence.Platform
		source   string
		command  string // a part of the row's command line, empty for a source of installs alone
		install  string // the service's name, empty for a source of commands alone
	}{
		{evidence.Linux, "process_events", "systemctl list-units", ""},
		{evidence.Linux, "bpf_process_events", "systemctl list-unit-files", ""},
		{evidence.Linux, "syslog_events", "systemctl list-units", "updater.service"},
		{evidence.Darwin, "es_process_events", "launchctl list", ""},
		{evidence.Darwin, "process_events", "launchctl list", ""},
		{evidence.Darwin, "launchd", "", "com.apple.updates"},
		{evidence.Windows, "process_etw_events", "tasklist /svc", ""},
		{evidence.Windows, "windows_events", "sc", "BTOBTO"},
		{evidence.Windows, "windows_eventlog_sysmon", "sc", "PSEXESVC"},
		{evidence.Windows, "windows_eventlog_4688", "sc", ""},
		{evidence.Windows, "powershell_events", "Get-Service", ""},
		{evidence.Windows, "windows_eventlog_powershell", "Get-Service", ""},
		{evidence.Windows, "windows_eventlog_system", "", "BTOBTO"},
		{evidence.Windows, "windows_eventlog_security", "", "BTOBTO"},
		{evidence.Windows, "services", "", "mimidrv"},
	} {
		t.Run(string(tt.platform)+"/"+tt.source, func(t *testing.T) {
			m := prepare(t, tt.platform, tt.source, "")
			p := m.pipeline(m.source(tt.source))
			p.cycle()
			m.later(tt.source)
			m.hands.pass(301)
			p.cycle()
			commands, installs, health := p.told(tt.source)
			has := func(list []string, part string) bool {
				return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, part) })
			}
			if tt.command != "" && !has(commands, tt.command) {
				t.Errorf("no row of %q: %q", tt.command, commands)
			}
			if tt.install != "" && !has(installs, tt.install) {
				t.Errorf("no row of %q: %q", tt.install, installs)
			}
			if health.State != evidence.StateOK || health.Read == 0 || health.Matched == 0 || health.Remedy != "" {
				t.Errorf("health: %+v", health)
			}
		})
	}
}
