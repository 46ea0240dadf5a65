package core_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/core"
)

var update = flag.Bool("update", false, "write the golden files")

// prepare makes a machine on which a source is the one to read.
func prepare(t *testing.T, platform evidence.Platform, source, version string) *machine {
	m := newMachine(t, platform, version)
	off := func(tables ...string) {
		for _, table := range tables {
			m.exec("UPDATE osquery_events SET active = 0 WHERE name = ? AND type = 'subscriber'", table)
		}
	}
	switch source {
	case "bpf_process_events":
		off("process_events")
	case "bpf_socket_events":
		off("socket_events")
	case "process_open_sockets":
		off("socket_events", "bpf_socket_events")
		m.dropEvents("3", "5156")
	case "process_events":
		off("es_process_events")
	case "windows_eventlog_sysmon", "windows_eventlog_system", "windows_eventlog_security", "windows_eventlog_application", "windows_eventlog_setup":
		off("windows_events")
	case "windows_eventlog_4688":
		off("windows_events", "process_etw_events")
		m.dropEvents("1", "3", "12", "13")
	case "windows_eventlog_5156":
		m.dropEvents("3")
	case "windows_eventlog_powershell":
		off("powershell_events")
	case "windows_events":
		off("process_etw_events")
	}
	return m
}

// dropEvents takes events out of the event logs.
func (m *machine) dropEvents(ids ...string) {
	var rest []map[string]string
	for _, ev := range m.events {
		keep := true
		for _, id := range ids {
			keep = keep && ev["eventid"] != id
		}
		if keep {
			rest = append(rest, ev)
		}
	}
	m.events = rest
}

// later changes what a snapshot shows.
func (m *machine) later(table string) bool {
	if _, err := os.Stat(filepath.Join("testdata", string(m.platform), table+".then.json")); err != nil {
		return false
	}
	m.load(table, table+".then")
	return true
}

// Every source of every platform reads its recorded rows, once.
func TestGolden(t *testing.T) {
	for _, platform := range []evidence.Platform{evidence.Linux, evidence.Darwin, evidence.Windows} {
		for _, s := range core.Sources(nil, platform, core.Options{}) {
			t.Run(string(platform)+"/"+s.Name(), func(t *testing.T) {
				m := prepare(t, platform, s.Name(), "")
				f := m.follow(s.Name())
				if s.Name() == "process_open_sockets" {
					// What is there at the first look is no news.
					m.exec("UPDATE process_open_sockets SET state = 'SYN_SENT' WHERE state = 'ESTABLISHED'")
					f.read(10_000)
					m.exec("UPDATE process_open_sockets SET state = 'ESTABLISHED' WHERE state = 'SYN_SENT'")
				} else {
					f.read(10_000)
				}
				for range 8 { // the rarest look is once an hour
					m.hands.pass(500)
					m.later(s.Name())
					f.read(10_000)
				}
				golden(t, filepath.Join("testdata", string(platform), s.Name()+".golden"), f.all)
				for _, p := range f.all.Processes {
					if p.Source != s.Name() || p.Platform != platform {
						t.Errorf("a process of %q on %q", p.Source, p.Platform)
					}
				}
			})
		}
	}
}

// golden compares the facts of a batch, one a line, with what was written down.
func golden(t *testing.T, path string, b evidence.Batch) {
	t.Helper()
	var out strings.Builder
	add := func(kind string, facts any) {
		list := reflect.ValueOf(facts)
		for i := range list.Len() {
			out.WriteString(kind + " " + compact(t, list.Index(i)) + "\n")
		}
	}
	add("process", b.Processes)
	add("install", b.Installs)
	add("logon", b.Logons)
	add("connection", b.Connections)
	add("change", b.Changes)
	add("gap", b.Gaps)
	if out.Len() == 0 {
		t.Error("the fixture tells nothing")
	}
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")); diff != "" {
		t.Error(diff)
	}
}

// compact is a struct without its zero fields.
func compact(t *testing.T, v reflect.Value) string {
	t.Helper()
	var b strings.Builder
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			continue
		}
		raw, err := json.Marshal(v.Field(i).Interface())
		if err != nil {
			t.Fatal(err)
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(v.Type().Field(i).Name + "=" + strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(raw)))
	}
	return b.String()
}

// An osquery of five years ago is read as well, without the columns it lacks.
func TestOlderOsquery(t *testing.T) {
	for _, platform := range []evidence.Platform{evidence.Linux, evidence.Darwin, evidence.Windows} {
		for _, s := range core.Sources(nil, platform, core.Options{}) {
			t.Run(string(platform)+"/"+s.Name(), func(t *testing.T) {
				if s.Name() == "process_etw_events" {
					t.Skip("NOT TESTED: a table that osquery has since 5.8")
				}
				m := prepareOld(t, platform, s.Name())
				f := m.follow(s.Name())
				first := f.read(10_000)
				m.hands.pass(500)
				f.read(10_000)
				if s.Name() == "es_process_events" {
					if len(first.Processes) == 0 || first.Processes[0].Session != "" {
						t.Errorf("got %+v", first.Processes)
					}
					if n := len(m.asked("session_id")); n != 1 {
						t.Errorf("a column that is not there was asked for %d times", n)
					}
				}
			})
		}
	}
}

// prepareOld is prepare for version 5.0.1, whose fixtures lose the newer columns.
func prepareOld(t *testing.T, platform evidence.Platform, source string) *machine {
	m := prepare(t, platform, source, "")
	old := newSchema(t, string(platform)+"-5.0.1")
	for table, columns := range old {
		if table == "windows_eventlog" {
			continue // render fills it
		}
		var names []string
		for _, c := range strings.Split(columns, ", ") {
			name, _, _ := strings.Cut(c, " ")
			names = append(names, name)
		}
		m.exec("ALTER TABLE " + table + " RENAME TO newer_" + table)
		m.exec("CREATE TABLE " + table + " (" + columns + ")")
		have := map[string]bool{}
		if err := m.columns("newer_"+table, have); err != nil {
			t.Fatal(err)
		}
		var both []string
		for _, n := range names {
			if have[n] {
				both = append(both, n)
			}
		}
		list := strings.Join(both, ", ")
		m.exec("INSERT INTO " + table + " (" + list + ") SELECT " + list + " FROM newer_" + table)
	}
	return m
}

func newSchema(t *testing.T, of string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("testdata/schema.txt")
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]string{}
	for _, line := range strings.Split(string(raw), "\n") {
		if head, columns, ok := strings.Cut(line, ": "); ok {
			if who, name, _ := strings.Cut(head, " "); who == of {
				tables[name] = columns
			}
		}
	}
	return tables
}

func (m *machine) columns(table string, into map[string]bool) error {
	return m.Query(context.Background(), "SELECT name FROM pragma_table_info('"+table+"') LIMIT 1000", func(r *core.Row) error {
		into[r.Get("name")] = true
		return nil
	})
}
