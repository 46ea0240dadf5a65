package packs

import "strings"

// spec is a document of "fleetctl apply": Fleet's form before GitOps, and Kolide
// Fleet's.
type spec struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Spec       any    `yaml:"spec"`
}

func v1(kind string, s any) spec { return spec{"v1", kind, s} }

// specQuery is a query that a pack schedules.
type specQuery struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	Query       string `yaml:"query"`
}

type specPack struct {
	Name        string          `yaml:"name"`
	Description string          `yaml:"description"`
	Platform    string          `yaml:"platform,omitempty"`
	Targets     specTargets     `yaml:"targets"`
	Queries     []specPackQuery `yaml:"queries"`
}

type specTargets struct {
	Labels []string `yaml:"labels"`
}

type specPackQuery struct {
	// Query names the query; Name is what the log says.
	Query       string `yaml:"query"`
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	Interval    int    `yaml:"interval"`
	Platform    string `yaml:"platform,omitempty"`
	Version     string `yaml:"version"`
	Snapshot    bool   `yaml:"snapshot"`
	Removed     bool   `yaml:"removed"`
	Denylist    bool   `yaml:"denylist"`
}

func (c *Catalogue) fleetLegacy() ([]File, error) {
	main := specPack{Name: "t1007", Description: "Service discovery and what follows it (ATT&CK T1007, T1543), by Rollcall.", Targets: specTargets{[]string{labelName}}}
	var queries, scheduled, core, policies, all []any
	for _, q := range c.Queries {
		sql := strings.TrimSpace(q.SQL)
		queries = append(queries, v1("query", specQuery{q.Name, q.Description, sql}))
		main.Queries = append(main.Queries, q.inPack(q.Name, q.Platform))
		scheduled = append(scheduled, v1("query", q.report(q.Name, sql, q.Platform)))
	}
	for _, p := range c.corePlatforms() {
		pack := specPack{Name: coreName(p), Description: "What osquery's own tables tell of service discovery, for hosts without Rollcall.", Platform: p, Targets: specTargets{[]string{coreLabel}}}
		for _, q := range c.Queries {
			if q.Core[p] == "" {
				continue
			}
			name := q.Name + "_core_" + p
			core = append(core, v1("query", specQuery{name, q.coarse().Description, strings.TrimSpace(q.Core[p])}))
			pack.Queries = append(pack.Queries, q.coarse().inPack(name, p))
		}
		core = append(core, v1("pack", pack))
	}
	for _, p := range c.policies() {
		policies = append(policies, v1("policy", p))
	}
	for _, l := range labels() {
		all = append(all, v1("label", l))
	}
	var files []File
	for _, f := range []struct {
		name, comment string
		docs          []any
	}{
		{"t1007.yml", "Queries, and the pack that schedules them: for Fleet's packs and Kolide Fleet.", append(queries, v1("pack", main))},
		{"t1007-core.yml", "The same for hosts without the extension, by osquery's own tables alone. Kolide's\npresent agent loads no foreign extension: this is what its hosts can run.", core},
		{"scheduled.yml", "The queries with their schedule, for \"fleetctl apply\" from 4.35 on, in place of t1007.yml.", scheduled},
		{"policies.yml", "Policies for \"fleetctl apply\".", policies},
		{"labels.yml", "The labels that the packs are for: apply these first.", all},
		{"agent-options.yml", strings.TrimPrefix(agentComment, generated+"\n"), []any{v1("config", map[string]any{"agent_options": c.agentOptions()})}},
	} {
		file, err := yamlFile(f.name, generated+"\n"+f.comment, f.docs...)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func (q Query) inPack(query, platform string) specPackQuery {
	return specPackQuery{
		Query: query, Name: q.Name, Description: q.Description, Interval: q.Interval, Platform: fleetPlatform(platform), Version: q.Version, Denylist: q.Denylist,
	}
}
