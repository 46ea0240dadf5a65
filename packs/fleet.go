package packs

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	// labelName and coreLabel are Fleet's labels of hosts with and without the
	// extension.
	labelName = "Rollcall"
	coreLabel = "Without Rollcall"

	generated = "Generated from packs/catalogue.yml by \"rollcall packs\": change that."
)

// fleetReport is a report of Fleet's GitOps (a "query" before 4.83).
type fleetReport struct {
	Name               string   `yaml:"name"`
	Description        string   `yaml:"description"`
	Query              string   `yaml:"query"`
	Platform           string   `yaml:"platform,omitempty"`
	MinOsqueryVersion  string   `yaml:"min_osquery_version,omitempty"`
	Interval           int      `yaml:"interval"`
	AutomationsEnabled bool     `yaml:"automations_enabled"`
	Logging            string   `yaml:"logging"`
	ObserverCanRun     bool     `yaml:"observer_can_run"`
	LabelsIncludeAny   []string `yaml:"labels_include_any,omitempty"`
}

type fleetPolicy struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	Resolution  string `yaml:"resolution"`
	Query       string `yaml:"query"`
	Platform    string `yaml:"platform,omitempty"`
	Critical    bool   `yaml:"critical"`
}

type fleetLabel struct {
	Name                string `yaml:"name"`
	Description         string `yaml:"description"`
	Query               string `yaml:"query"`
	LabelMembershipType string `yaml:"label_membership_type"`
}

// report is a query as Fleet schedules it. Logging "differential_ignore_removals" is
// osquery's "removed": false.
func (q Query) report(name, sql, platform string) fleetReport {
	return fleetReport{
		Name: name, Description: q.Description + " " + q.Value, Query: strings.TrimSpace(sql), Platform: fleetPlatform(platform),
		MinOsqueryVersion: q.Version, Interval: q.Interval, AutomationsEnabled: true, Logging: "differential_ignore_removals", ObserverCanRun: true,
	}
}

// fleetPlatform is a platform in Fleet's terms, which have no word for any.
func fleetPlatform(platform string) string {
	if platform == "any" {
		return ""
	}
	return platform
}

func (c *Catalogue) policies() []fleetPolicy {
	var out []fleetPolicy
	for _, p := range c.Policies {
		out = append(out, fleetPolicy{p.Name, p.Description, p.Resolution, strings.TrimSpace(p.SQL), fleetPlatform(p.Platform), p.Critical})
	}
	return out
}

func labels() []fleetLabel {
	return []fleetLabel{
		{labelName, "Hosts on which Rollcall's extension is registered with osquery.", Registered, "dynamic"},
		{coreLabel, "Hosts on which it is not: they get what osquery's own tables can tell.", unregistered, "dynamic"},
	}
}

// fleetAgent are options that Fleet's own default has; agent options replace it.
var fleetAgent = map[string]any{
	"disable_distributed": false, "distributed_interval": 10, "distributed_plugin": "tls", "distributed_tls_max_attempts": 3,
	"logger_tls_endpoint": "/api/osquery/log", "logger_tls_period": 10, "pack_delimiter": "/",
}

// noConfig is the view by which a fleet configures Rollcall, saying nothing.
const noConfig = "SELECT '{}' AS json"

// agentConfig is the "config" of Fleet's agent options for one platform.
func (c *Catalogue) agentConfig(platform string) map[string]any {
	options := c.optionsFor(platform)
	for k, v := range fleetAgent {
		options[k] = v
	}
	return map[string]any{"options": options, "decorators": c.decorators(), "views": map[string]string{"rollcall_config": noConfig}}
}

// agentOptions holds the options for Linux, whose hosts go by many platforms' names
// (ubuntu, rhel, ...), and an override for each other platform. Overrides are not
// merged with the rest, so each is whole.
func (c *Catalogue) agentOptions() map[string]any {
	overrides := map[string]any{}
	for _, p := range Platforms() {
		if p != "linux" {
			overrides[p] = c.agentConfig(p)
		}
	}
	return map[string]any{"config": c.agentConfig("linux"), "overrides": map[string]any{"platforms": overrides}}
}

const agentComment = generated + `
The view rollcall_config configures Rollcall on all hosts, live: put the configuration
between the quotes as JSON, for example
  SELECT '{"log_level": "debug"}' AS json
with each single quote in it doubled. {} is the local file or the defaults. Check it with
"rollcall config check --central". Fleet refuses the option custom_rollcall without --force.
Put "command_line_flags" here only with all of a host's flags: it replaces them.`

func (c *Catalogue) fleet(o Options) ([]File, error) {
	kind, folder, settings := "reports", "fleets", "settings"
	if o.FleetQueries {
		kind, folder, settings = "queries", "teams", "team_settings"
	}
	var reports, core []fleetReport
	for _, q := range c.Queries {
		r := q.report(q.Name, q.SQL, q.Platform)
		if !o.FleetFree {
			r.LabelsIncludeAny = []string{labelName}
		}
		reports = append(reports, r)
	}
	for _, p := range c.corePlatforms() {
		for _, q := range c.Queries {
			if q.Core[p] == "" {
				continue
			}
			// A fleet has one report of a name.
			r := q.coarse().report(q.Name+"_core_"+p, q.Core[p], p)
			if !o.FleetFree {
				r.LabelsIncludeAny = []string{coreLabel}
			}
			core = append(core, r)
		}
	}
	name := func(part string) string { return fmt.Sprintf("lib/rollcall.%s.yml", part) }
	coreName := fmt.Sprintf("lib/rollcall-core.%s.yml", kind)
	path := func(names ...string) []map[string]string {
		var out []map[string]string
		for _, n := range names {
			out = append(out, map[string]string{"path": "../" + n})
		}
		return out
	}
	listed, coreComment := []string{name(kind), coreName}, "For hosts without the extension: osquery's own tables, coarser and without a score."
	if o.FleetFree {
		listed = listed[:1]
		coreComment += "\nWithout labels nothing keeps these off hosts with the extension: list one of the two files."
	}
	example := &yaml.Node{Kind: yaml.MappingNode}
	for _, e := range []struct {
		key string
		v   any
	}{
		{"name", "Rollcall pilot"},
		{settings, map[string]any{"secrets": []map[string]string{{"secret": "$ROLLCALL_ENROLL_SECRET"}}}},
		{"agent_options", map[string]string{"path": "../" + name("agent-options")}},
		{"controls", nil},
		{"policies", path(name("policies"))},
		{kind, path(listed...)},
		{"software", nil},
	} {
		var k, v yaml.Node
		k.SetString(e.key)
		if err := v.Encode(e.v); err != nil {
			return nil, fmt.Errorf("write %s: %w", folder, err)
		}
		example.Content = append(example.Content, &k, &v)
	}
	var files []File
	for _, f := range []struct {
		name, comment string
		doc           any
	}{
		{name(kind), generated, reports},
		{coreName, generated + "\n" + coreComment, core},
		{name("policies"), generated, c.policies()},
		{name("labels"), generated + "\nList it under \"labels\" in default.yml, beside the labels that are there: those that\nare not listed are deleted.", labels()},
		{name("agent-options"), agentComment, c.agentOptions()},
		{folder + "/rollcall.yml", generated + "\nAn example: hosts of their own for a pilot (Fleet Premium). Elsewhere, name the same\nfiles in the YAML you have.", example},
	} {
		file, err := yamlFile(f.name, f.comment, f.doc)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}
