package packs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/packs"
	"github.com/osquery-rollcall/rollcall/packs/check"
)

// ecsFields are the schema's fields that the map uses, by their type in ECS.
var ecsFields = map[string]string{
	"boolean":         "file.code_signature.valid",
	"date":            "@timestamp event.created event.end event.start file.created file.ctime file.mtime",
	"float":           "event.risk_score",
	"keyword":         "container.id destination.address dll.path event.action event.category event.dataset event.id event.kind event.module event.provider event.reason event.type file.code_signature.subject_name file.hash.sha256 file.path file.target_path host.id host.name host.os.type package.name package.version process.entry_leader.executable process.executable process.parent.executable process.real_user.name process.working_directory related.hosts rule.description rule.id rule.name rule.reference rule.ruleset service.name service.state service.type source.address threat.framework threat.tactic.name threat.technique.id user.id user.name user.target.name",
	"long":            "event.sequence process.parent.pid process.pid",
	"match_only_text": "error.message message",
	"wildcard":        "process.command_line process.parent.command_line",
}

// TestECSMapsEveryColumn: a column without a field would be lost on the way, and a
// field twice would hold one of two columns.
func TestECSMapsEveryColumn(t *testing.T) {
	ecs, err := packs.LoadECS()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for kind, list := range ecsFields {
		for _, f := range strings.Fields(list) {
			types[f] = kind
		}
	}
	converts := map[string]string{}
	for how, columns := range ecs.Convert {
		for _, c := range columns {
			if converts[c] != "" {
				t.Errorf("%s is converted twice", c)
			}
			converts[c] = how
		}
	}
	used := map[string]bool{}
	served := map[string]bool{}
	for _, tab := range check.Tables() {
		served[tab.Name] = true
		m, ok := ecs.Tables[tab.Name]
		if !ok {
			if tab.Name != "service_discovery_score" { // a function, which nobody schedules
				t.Errorf("no map for %s", tab.Name)
			}
			continue
		}
		columns, fields := map[string]bool{}, map[string]string{}
		for _, c := range tab.Columns {
			columns[c.Name] = true
			f := m.Fields[c.Name]
			if f == "" {
				t.Errorf("%s.%s has no field", tab.Name, c.Name)
			}
			if fields[f] != "" {
				t.Errorf("%s: %s and %s are both %s", tab.Name, fields[f], c.Name, f)
			}
			fields[f] = c.Name
			used[c.Name] = true
			own := strings.HasPrefix(f, "rollcall.")
			if !own && types[f] == "" {
				t.Errorf("%s.%s: the schema has no field %q", tab.Name, c.Name, f)
			}
			switch {
			case own:
			case (types[f] == "date") != (converts[c.Name] == "seconds"):
				t.Errorf("%s.%s: %s is a %s, converted from %q", tab.Name, c.Name, f, types[f], converts[c.Name])
			case (types[f] == "boolean") != (converts[c.Name] == "boolean"):
				t.Errorf("%s.%s: %s is a %s, converted from %q", tab.Name, c.Name, f, types[f], converts[c.Name])
			}
		}
		for c := range m.Fields {
			if !columns[c] {
				t.Errorf("%s has no column %s", tab.Name, c)
			}
		}
		for f := range m.Constants {
			if types[f] == "" || fields[f] != "" {
				t.Errorf("%s: the constant %s is no field of the schema, or a column's", tab.Name, f)
			}
		}
		for _, must := range []string{"event.kind", "event.category", "event.type", "event.dataset"} {
			if m.Constants[must] == "" {
				t.Errorf("%s has no %s", tab.Name, must)
			}
		}
		if !slices.Contains([]string{"alert", "asset", "event", "state"}, m.Constants["event.kind"]) {
			t.Errorf("%s: event.kind is %q", tab.Name, m.Constants["event.kind"])
		}
	}
	for name := range ecs.Tables {
		if !served[name] {
			t.Errorf("a map for %s, which is no table", name)
		}
	}
	for c := range converts {
		if !used[c] {
			t.Errorf("%s is converted, but no table has it", c)
		}
	}
}
