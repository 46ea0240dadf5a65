package check

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Fleet's forms, by its documentation: "YAML files", "Agent configuration" and
// "fleetctl apply".
var (
	reportFields = map[string]kind{"name": text, "description": text, "query": text, "platform": text, "interval": integer,
		"observer_can_run": boolean, "automations_enabled": boolean, "logging": text, "min_osquery_version": text, "discard_data": boolean,
		"labels_include_any": texts, "labels_include_all": texts, "labels_exclude_any": texts, "path": text, "paths": text}
	policyFields = map[string]kind{"name": text, "description": text, "query": text, "platform": text, "resolution": text, "critical": boolean,
		"calendar_events_enabled": boolean, "conditional_access_enabled": boolean, "run_script": mapping, "install_software": object,
		"labels_include_any": texts, "labels_include_all": texts, "labels_exclude_any": texts, "type": text, "path": text, "paths": text}
	labelFields = map[string]kind{"name": text, "description": text, "query": text, "platform": text, "label_membership_type": text,
		"hosts": list, "criteria": mapping, "path": text, "paths": text}
	agentFields = map[string]kind{"config": mapping, "overrides": mapping, "command_line_flags": mapping, "extensions": mapping,
		"update_channels": mapping, "script_execution_timeout": integer, "path": text}
	fleetFields = map[string]kind{"name": text, "settings": mapping, "team_settings": mapping, "org_settings": mapping, "agent_options": mapping,
		"controls": object, "policies": list, "reports": list, "queries": list, "software": object, "labels": list}
)

// logging is how Fleet has osquery log a report's rows.
var logging = []string{"snapshot", "differential", "differential_ignore_removals"}

// fleetKeys reports whether a mapping is a file of Fleet's GitOps: default.yml or one
// of fleets/.
func fleetKeys(m map[string]*yaml.Node) bool {
	for _, k := range []string{"settings", "team_settings", "org_settings", "agent_options", "policies", "reports", "labels"} {
		if _, ok := m[k]; ok {
			return true
		}
	}
	return m["queries"] != nil && m["queries"].Kind == yaml.SequenceNode
}

func (r *run) fleetFile(d *yaml.Node, all map[string]*yaml.Node) {
	r.fleet = true
	m := r.fields(d, "", "the file", fleetFields, "agent_options", "controls", "policies")
	for _, pair := range [][2]string{{"queries", "reports"}, {"team_settings", "settings"}} {
		if all[pair[0]] != nil && all[pair[1]] != nil {
			r.add(Error, all[pair[0]], "", fmt.Sprintf("%s and %s: they are the old and the new name of the same", pair[0], pair[1]))
		}
	}
	if all["queries"] == nil && all["reports"] == nil {
		r.add(Error, d, "", "the file has no reports")
	}
	settings := m["settings"]
	if settings == nil {
		settings = m["team_settings"]
	}
	switch {
	case m["org_settings"] != nil && (m["name"] != nil || settings != nil):
		r.add(Error, m["org_settings"], "", "org_settings is for default.yml, name and settings are for the others")
	case m["org_settings"] != nil:
		settings = m["org_settings"]
	case m["name"] == nil || settings == nil:
		r.add(Error, d, "", "either org_settings, or name and settings, are needed")
	}
	if s := keys(settings); s != nil && s["path"] == nil {
		if _, ok := s["secrets"]; !ok {
			r.add(Error, settings, "", "settings has no secrets: hosts could not enroll")
		}
	}
	for _, k := range []string{"reports", "queries"} {
		r.items(m[k], "report", r.report)
	}
	r.items(m["policies"], "policy", r.policy)
	r.items(m["labels"], "label", r.label)
	r.agentOptions(m["agent_options"])
}

// list checks a file that holds one list, by what its first entry has.
func (r *run) list(d *yaml.Node) {
	r.fleet = true
	for _, item := range d.Content {
		m := keys(value(item))
		switch {
		case m["label_membership_type"] != nil || m["hosts"] != nil || m["criteria"] != nil:
			r.items(d, "label", r.label)
			return
		case m["interval"] != nil || m["logging"] != nil || m["automations_enabled"] != nil:
			r.items(d, "report", r.report)
			return
		case m["resolution"] != nil || m["critical"] != nil:
			r.items(d, "policy", r.policy)
			return
		}
	}
	r.items(d, "report", r.report)
}

// items checks the entries of a list, each of which may stand in another file, and
// that no two have one name.
func (r *run) items(l *yaml.Node, what string, check func(n *yaml.Node, name string)) {
	if l == nil {
		return
	}
	seen := map[string]bool{}
	for _, item := range l.Content {
		n := value(item)
		m := keys(n)
		if m["path"] != nil || m["paths"] != nil {
			if len(m) > 1 {
				r.add(Error, n, "", what+" with a path has other fields too")
			}
			continue
		}
		name := str(m["name"])
		check(n, name)
		if seen[name] && name != "" {
			r.add(Error, n, name, "two of this name: Fleet keeps one")
		}
		seen[name] = true
	}
}

func (r *run) report(n *yaml.Node, name string) { r.scheduled(n, name, reportFields) }

func (r *run) scheduled(n *yaml.Node, name string, known map[string]kind) {
	m := r.fields(n, name, "the report", known, "name", "query")
	r.platform(m["platform"], name, fleetPlatforms)
	r.labels(m, n, name)
	interval := r.interval(m["interval"], name, 0)
	how := str(m["logging"])
	if how != "" && !slices.Contains(logging, how) {
		r.add(Error, m["logging"], name, fmt.Sprintf("logging is %q: must be %s", clip(how), strings.Join(logging, ", ")))
	}
	switch {
	case interval == 0:
		r.add(Warning, n, name, "no interval: it runs only when somebody asks")
	case str(m["automations_enabled"]) != "true":
		r.add(Warning, n, name, "automations_enabled is not true: its rows go to no log")
	default:
		r.snapshot(n, name, how == "" || how == "snapshot", interval)
	}
	if q := m["query"]; q != nil {
		r.sql(q, name, q.Value, platforms(str(m["platform"])))
	}
}

func (r *run) labels(m map[string]*yaml.Node, n *yaml.Node, name string) {
	given := 0
	for _, k := range []string{"labels_include_any", "labels_include_all", "labels_exclude_any"} {
		if m[k] != nil {
			given++
		}
	}
	if given > 1 {
		r.add(Error, n, name, "only one of labels_include_any, labels_include_all and labels_exclude_any")
	}
}

func (r *run) policy(n *yaml.Node, name string) {
	m := r.fields(n, name, "the policy", policyFields, "name", "query")
	r.platform(m["platform"], name, fleetPlatforms)
	r.labels(m, n, name)
	if q := m["query"]; q != nil {
		r.sql(q, name, q.Value, platforms(str(m["platform"])))
	}
}

func (r *run) label(n *yaml.Node, name string) {
	m := r.fields(n, name, "the label", labelFields, "name")
	r.platform(m["platform"], name, fleetPlatforms)
	switch how := str(m["label_membership_type"]); how {
	case "dynamic", "":
		if m["query"] == nil {
			r.add(Error, n, name, "a dynamic label has no query")
		}
	case "manual":
		if m["query"] != nil {
			r.add(Error, m["query"], name, "a manual label has no query, but hosts")
		}
	case "host_vitals":
	default:
		r.add(Error, m["label_membership_type"], name, fmt.Sprintf("label_membership_type is %q: must be dynamic, manual or host_vitals", clip(how)))
	}
	if q := m["query"]; q != nil {
		r.sql(q, name, q.Value, platforms(str(m["platform"])))
	}
}

func (r *run) agentOptions(n *yaml.Node) {
	if n == nil {
		return
	}
	r.fleet = true
	m := r.fields(n, "agent_options", "agent_options", agentFields)
	if m["config"] != nil {
		r.configuration(m["config"], "agent_options")
	}
	if f := m["command_line_flags"]; f != nil {
		for k := range pairs(f) {
			switch _, known := r.options[k.Value]; {
			case !known:
				r.add(Error, k, "command_line_flags", fmt.Sprintf("osquery has no flag %q%s", clip(k.Value), nearest(k.Value, r.options)))
			case k.Value == "extensions_autoload" || k.Value == "host_identifier" || k.Value == "database_path":
				r.add(Error, k, "command_line_flags", k.Value+" would break Fleet's agent")
			}
		}
		if len(f.Content) == 0 {
			r.add(Warning, f, "command_line_flags", "empty: this clears the flags of all hosts")
		}
	}
	o := m["overrides"]
	if o == nil {
		return
	}
	for k, v := range pairs(r.fields(o, "overrides", "overrides", map[string]kind{"platforms": mapping})["platforms"]) {
		if v.Kind != yaml.MappingNode {
			r.add(Error, v, "overrides", clip(k.Value)+" must be a mapping (name: value)")
			continue
		}
		r.configuration(v, "overrides of "+k.Value)
		if len(v.Content) > 0 && keys(v)["options"] == nil && m["config"] != nil {
			r.add(Warning, k, "overrides", clip(k.Value)+" has no options: an override is not merged with config, it replaces it")
		}
	}
}

// The specs of "fleetctl apply".
var (
	specFields      = map[string]kind{"apiVersion": text, "kind": text, "spec": mapping}
	specQueryFields = withField(withField(reportFields, "team", text), "fleet", text)
	specPackFields  = map[string]kind{"name": text, "description": text, "disabled": boolean, "platform": text, "targets": mapping, "queries": list}
	packEntryFields = map[string]kind{"query": text, "name": text, "description": text, "interval": integer, "snapshot": boolean, "removed": boolean,
		"shard": integer, "platform": text, "version": text, "denylist": boolean}
	targetFields = map[string]kind{"labels": texts, "teams": texts, "fleets": texts}
	specKinds    = []string{"query", "report", "pack", "policy", "label", "config", "team", "fleet", "enroll_secret", "user_roles"}
)

func withField(m map[string]kind, name string, k kind) map[string]kind {
	out := map[string]kind{name: k}
	for n, v := range m {
		out[n] = v
	}
	return out
}

func (r *run) isSpec(d *yaml.Node) bool {
	m := keys(d)
	return m["apiVersion"] != nil || m["kind"] != nil && m["spec"] != nil
}

// specs checks the documents that are specs, which refer to each other.
func (r *run) specs(docs []*yaml.Node) {
	named := map[string]*yaml.Node{}  // queries by name
	packed := map[string]*yaml.Node{} // the platform a pack runs them on, nil for all
	for _, d := range docs {
		s := keys(keys(d)["spec"])
		switch str(keys(d)["kind"]) {
		case "query", "report":
			named[str(s["name"])] = d
		case "pack":
			if s["queries"] == nil {
				continue
			}
			for _, item := range s["queries"].Content {
				e := keys(value(item))
				where := e["platform"]
				if where == nil {
					where = s["platform"]
				}
				packed[str(e["query"])] = where
			}
		}
	}
	for _, d := range docs {
		if !r.isSpec(d) {
			continue
		}
		m := r.fields(d, "", "the spec", specFields, "apiVersion", "kind", "spec")
		s := m["spec"]
		if v := m["apiVersion"]; v != nil && v.Value != "v1" {
			r.add(Error, v, "", fmt.Sprintf("apiVersion is %q: must be v1", clip(v.Value)))
		}
		if s == nil {
			continue
		}
		name := str(keys(s)["name"])
		switch what := str(m["kind"]); what {
		case "query", "report":
			where, ok := packed[name]
			if !ok || keys(s)["interval"] != nil {
				r.scheduled(s, name, specQueryFields)
				continue
			}
			q := r.fields(s, name, "the query", specQueryFields, "name", "query")
			if q["platform"] != nil {
				where = q["platform"]
			}
			if q["query"] != nil {
				r.sql(q["query"], name, q["query"].Value, platforms(str(where)))
			}
		case "pack":
			r.specPack(s, name, named)
		case "policy":
			r.policy(s, name)
		case "label":
			r.label(s, name)
		case "config", "team", "fleet":
			options := keys(s)["agent_options"]
			if what != "config" {
				options = keys(keys(s)[what])["agent_options"]
			}
			// Only GitOps expands variables.
			r.agentOptions(options)
			r.fleet = false
		default:
			if !slices.Contains(specKinds, what) {
				r.add(Error, m["kind"], name, fmt.Sprintf("no kind %q: %s", clip(what), strings.Join(specKinds, ", ")))
			}
		}
	}
}

func (r *run) specPack(s *yaml.Node, name string, named map[string]*yaml.Node) {
	m := r.fields(s, name, "the pack", specPackFields, "name", "queries")
	r.platform(m["platform"], name, osqueryPlatforms)
	if m["targets"] != nil {
		r.fields(m["targets"], name, "targets", targetFields)
	}
	if m["queries"] == nil {
		return
	}
	for _, item := range m["queries"].Content {
		n := value(item)
		e := r.fields(n, name, "the pack's query", packEntryFields, "query", "interval")
		query := str(e["query"])
		if query != "" && len(named) > 0 && named[query] == nil {
			r.add(Error, e["query"], name, fmt.Sprintf("no query %q in this file%s", clip(query), nearest(query, named)))
		}
		r.platform(e["platform"], name, osqueryPlatforms)
		r.shard(e["shard"], name)
		r.snapshot(n, query, str(e["snapshot"]) == "true", r.interval(e["interval"], query, 1))
	}
}
