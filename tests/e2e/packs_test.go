//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/osquery-rollcall/rollcall/packs"
	"github.com/osquery-rollcall/rollcall/tests/e2e/osqueryd"
)

// checked runs osqueryd --config_check on a configuration. Elsewhere are options that
// osquery has on other platforms alone: it ignores them here, and says so.
func checked(t *testing.T, conf map[string]any, elsewhere ...string) error {
	t.Helper()
	dir := t.TempDir()
	data, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "osquery.conf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(osqueryd.Find(t).Osqueryd, "--config_check", "--config_path="+path, "--database_path="+filepath.Join(dir, "db"),
		"--logger_path="+dir, "--pidfile="+filepath.Join(dir, "pid"), "--extensions_socket="+filepath.Join(dir, "em"), "--disable_extensions", "--verbose").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	// What it does not like and goes on without.
	for line := range strings.Lines(string(out)) {
		if _, flag, ok := strings.Cut(strings.TrimSpace(line), "unknown or invalid flag: "); ok && slices.Contains(elsewhere, flag) {
			continue
		}
		if strings.HasPrefix(line, "E") || strings.HasPrefix(line, "W") || strings.Contains(line, "Cannot parse") || strings.Contains(line, "is not valid") {
			return fmt.Errorf("it says: %s", line)
		}
	}
	return nil
}

// TestConfigCheck has osqueryd read every committed pack for it, each as part of a
// configuration, and what osctrl would serve.
func TestConfigCheck(t *testing.T) {
	t.Parallel()
	osqueryd.Find(t)
	if err := checked(t, map[string]any{"options": map[string]any{"no_such_option": true}}); err == nil {
		t.Error("an option that osquery does not have was accepted: the check checks nothing")
	}
	for _, file := range committed(t, "osquery/*.conf") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var part map[string]any
			if err := json.Unmarshal(data, &part); err != nil {
				t.Fatal(err)
			}
			conf := part
			if _, pack := part["queries"]; pack {
				conf = map[string]any{"packs": map[string]any{"t1007": part}}
			}
			if err := checked(t, conf); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("Fleet's agent options", func(t *testing.T) {
		data, err := os.ReadFile("../../packs/fleet/lib/rollcall.agent-options.yml")
		if err != nil {
			t.Fatal(err)
		}
		var agent struct{ Config map[string]any }
		if err := yaml.Unmarshal(data, &agent); err != nil || len(agent.Config) == 0 {
			t.Fatalf("%v: %s", err, data)
		}
		if err := checked(t, agent.Config); err != nil {
			t.Error(err)
		}
	})
	t.Run("osctrl", func(t *testing.T) {
		c, err := packs.Load()
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := slices.Concat(slices.Collect(maps.Keys(c.Options["darwin"])), slices.Collect(maps.Keys(c.Options["windows"])))
		conf := map[string]any{}
		for _, name := range []string{"packs", "options", "decorators"} {
			data, err := os.ReadFile("../../packs/osctrl/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var part any
			if err := json.Unmarshal(data, &part); err != nil {
				t.Fatal(err)
			}
			conf[name] = part
		}
		if err := checked(t, conf, elsewhere...); err != nil {
			t.Error(err)
		}
	})
}

// TestFlagsAreKnown: osqueryd does not start with a flag that it does not know.
func TestFlagsAreKnown(t *testing.T) {
	osqueryd.Find(t)
	out, err := exec.Command(osqueryd.Find(t).Osqueryd, "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range committed(t, "osquery/linux.flags") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Fields(string(data)) {
			name, _, _ := strings.Cut(line, "=")
			if !strings.Contains(string(out), "    "+name+" ") {
				t.Errorf("%s: osqueryd knows no %s", file, name)
			}
		}
	}
}

// TestCatalogueOnOsquery runs every SQL of the catalogue that is for this platform on
// osquery with the extension.
func TestCatalogueOnOsquery(t *testing.T) {
	t.Parallel()
	c, err := packs.Load()
	if err != nil {
		t.Fatal(err)
	}
	d := osqueryd.Start(t, osqueryd.Options{Extension: extension(t), Config: map[string]any{}})
	all := map[string]string{"the pack's discovery query": packs.Registered}
	here := func(platforms string) bool {
		return platforms == "any" || slices.Contains(strings.Split(platforms, ","), "linux")
	}
	for _, q := range c.Queries {
		if here(q.Platform) {
			all["query "+q.Name] = q.SQL
		}
		if sql := q.Core["linux"]; sql != "" {
			all["core query "+q.Name] = sql
		}
	}
	for _, p := range c.Policies {
		if here(p.Platform) {
			all["policy "+p.Name] = p.SQL
		}
	}
	decorators := slices.Clone(c.Decorators.Load)
	for _, list := range c.Decorators.Interval {
		decorators = append(decorators, list...)
	}
	for i, sql := range decorators {
		all[fmt.Sprintf("decorator %d", i)] = sql
	}
	if _, err := d.Query("SELECT no_such_column FROM service_discovery_events"); err == nil {
		t.Error("an error of SQL is not seen")
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		rows, err := d.Query(all[name])
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// All a host without incidents has to say, beyond the tables' being empty.
		for _, must := range []string{"the pack's", "decorator", "query service_discovery_config", "policy Rollcall is registered", "policy No escalated"} {
			if strings.HasPrefix(name, must) && len(rows) == 0 {
				t.Errorf("%s has no row", name)
			}
		}
	}
	t.Logf("%d statements", len(all))
}
