package check

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// osqueryOptions are osquery's flags, one a line: name, type, and "cli" or "shell"
// where a configuration cannot set them.
//
//go:embed osquery.options
var osqueryOptions string

type option struct {
	kind kind
	cli  bool
}

func readOptions(text string) (map[string]option, error) {
	kinds := map[string]kind{"bool": boolean, "int": digits, "number": digits, "text": textual}
	out := map[string]option{}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 || kinds[f[1]] == "" {
			return nil, fmt.Errorf("osquery's options, line %d: %q", i+1, line)
		}
		out[f[0]] = option{kinds[f[1]], len(f) > 2}
	}
	return out, nil
}

// textual is text, to osquery: it takes any scalar.
const textual kind = "a text or number"

// osquery's own form: https://osquery.readthedocs.io, "Configuration".
var (
	packFields = map[string]kind{"queries": mapping, "platform": text, "version": text, "shard": digits, "discovery": texts, "oncall": text, "description": text}
	// queryFields are those of a pack's and the schedule's entries.
	queryFields = map[string]kind{"query": text, "interval": digits, "platform": text, "version": text, "description": text, "value": text,
		"removed": boolean, "snapshot": boolean, "denylist": boolean, "blacklist": boolean, "shard": digits, "startup_priority": digits}
	configFields = map[string]kind{"options": mapping, "schedule": mapping, "packs": mapping, "file_paths": mapping, "file_accesses": texts,
		"file_paths_query": mapping, "exclude_paths": mapping, "yara": mapping, "prometheus_targets": mapping, "views": mapping,
		"decorators": mapping, "auto_table_construction": mapping, "events": mapping, "feature_vectors": mapping, "logger": mapping, "kafka_topics": mapping}
	decoratorFields = map[string]kind{"load": texts, "always": texts, "interval": mapping}
)

// configuration checks an osquery configuration.
func (r *run) configuration(n *yaml.Node, name string) {
	m := r.fields(n, name, "the configuration", configFields)
	r.optionValues(m["options"], r.fleet)
	for q, v := range pairs(m["schedule"]) {
		r.query(v, q.Value, nil)
	}
	for p, v := range pairs(m["packs"]) {
		if v.Kind == yaml.MappingNode {
			r.pack(v, p.Value)
		}
	}
	for k, v := range pairs(m["views"]) {
		if !text.fits(v) {
			r.add(Error, v, k.Value, "a view must be a text")
			continue
		}
		r.sql(v, "view "+k.Value, v.Value, nil)
	}
	r.decorators(m["decorators"])
}

// pairs goes through a mapping in the file's order.
func pairs(n *yaml.Node) func(yield func(k, v *yaml.Node) bool) {
	return func(yield func(k, v *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], value(n.Content[i+1])) {
				return
			}
		}
	}
}

// packsPart checks packs by name: the part of that name in osctrl, and in a
// configuration.
func (r *run) packsPart(n *yaml.Node) {
	for k, v := range pairs(n) {
		r.pack(v, k.Value)
	}
}

func (r *run) pack(n *yaml.Node, name string) {
	m := r.fields(n, name, "the pack", packFields, "queries")
	r.platform(m["platform"], name, osqueryPlatforms)
	r.shard(m["shard"], name)
	if d := m["discovery"]; d != nil {
		for _, q := range d.Content {
			r.sql(q, name+" (discovery)", value(q).Value, nil)
		}
	}
	for k, v := range pairs(m["queries"]) {
		r.query(v, k.Value, platforms(str(m["platform"])))
	}
}

// query checks an entry of a pack or a schedule; in are the platforms of its pack.
func (r *run) query(n *yaml.Node, name string, in []string) {
	m := r.fields(n, name, "the query", queryFields, "query")
	where := platforms(str(m["platform"]))
	if where == nil {
		where = in
	}
	r.platform(m["platform"], name, osqueryPlatforms)
	r.shard(m["shard"], name)
	interval := r.interval(m["interval"], name, 1)
	if m["interval"] == nil {
		r.add(Warning, n, name, "no interval: osquery takes schedule_default_interval, an hour")
	}
	snapshot := str(m["snapshot"]) == "true"
	if snapshot && m["removed"] != nil {
		r.add(Warning, m["removed"], name, "removed means nothing to a snapshot")
	}
	r.snapshot(n, name, snapshot, interval)
	if q := m["query"]; q != nil {
		r.sql(q, name, q.Value, where)
	}
}

// snapshot weighs a query that logs all its rows every time.
func (r *run) snapshot(n *yaml.Node, name string, snapshot bool, interval int) {
	if snapshot && interval > 0 && interval < 3600 {
		r.add(Warning, n, name, fmt.Sprintf("a snapshot logs all its rows, %d times a day", 86400/interval))
	}
}

// interval checks seconds: least to a week.
func (r *run) interval(n *yaml.Node, name string, least int) int {
	if n == nil {
		return 0
	}
	i, err := strconv.Atoi(n.Value)
	switch {
	case err != nil || i < least || i > 604800:
		r.add(Error, n, name, fmt.Sprintf("interval is %s: must be %d to 604800 seconds", clip(n.Value), least))
	case i > 0 && i < 10:
		r.add(Warning, n, name, fmt.Sprintf("interval is %d s: %d runs a day", i, 86400/i))
	}
	return i
}

func (r *run) shard(n *yaml.Node, name string) {
	if n == nil {
		return
	}
	if i, err := strconv.Atoi(n.Value); err != nil || i < 1 || i > 100 {
		r.add(Error, n, name, fmt.Sprintf("shard is %s: must be a percentage, 1 to 100", clip(n.Value)))
	}
}

var (
	osqueryPlatforms = []string{"darwin", "linux", "posix", "windows", "freebsd", "ubuntu", "centos", "any", "all"}
	fleetPlatforms   = []string{"darwin", "linux", "windows", "chrome"}
)

func (r *run) platform(n *yaml.Node, name string, known []string) {
	if n == nil {
		return
	}
	for _, p := range strings.Split(n.Value, ",") {
		if !slices.Contains(known, strings.TrimSpace(p)) {
			if n.Value == "" && slices.Contains(known, "chrome") {
				return // to Fleet, nothing is everywhere
			}
			r.add(Error, n, name, fmt.Sprintf("platform %q is none: %s, separated by commas", clip(p), strings.Join(known, ", ")))
		}
	}
}

func (r *run) decorators(n *yaml.Node) {
	if n == nil {
		return
	}
	m := r.fields(n, "decorators", "decorators", decoratorFields)
	statements := func(l *yaml.Node) {
		for _, q := range l.Content {
			r.sql(q, "decorators", value(q).Value, nil)
		}
	}
	for _, k := range []string{"load", "always"} {
		if m[k] != nil {
			statements(m[k])
		}
	}
	for k, v := range pairs(m["interval"]) {
		if i, err := strconv.Atoi(k.Value); err != nil || i < 60 || i%60 != 0 {
			r.add(Error, k, "decorators", fmt.Sprintf("interval %s: osquery runs decorators every whole number of minutes", clip(k.Value)))
		}
		if !texts.fits(v) {
			r.add(Error, v, "decorators", "interval holds lists of queries")
			continue
		}
		statements(v)
	}
}

// someOption reports whether a mapping has one of osquery's options.
func (r *run) someOption(n *yaml.Node) bool {
	for k := range pairs(n) {
		if _, ok := r.options[k.Value]; ok || strings.HasPrefix(k.Value, "custom_") {
			return true
		}
	}
	return false
}

// optionValues checks osquery's options. Fleet has a list of them, and refuses any
// other.
func (r *run) optionValues(n *yaml.Node, fleet bool) {
	for k, v := range pairs(n) {
		o, known := r.options[k.Value]
		switch {
		case strings.HasPrefix(k.Value, "custom_"):
			if fleet {
				r.add(Error, k, "options", fmt.Sprintf("Fleet refuses %s without --force: use the view rollcall_config", clip(k.Value)))
			}
		case !known:
			r.add(Error, k, "options", fmt.Sprintf("osquery has no option %q%s", clip(k.Value), nearest(k.Value, r.options)))
		case o.cli:
			r.add(Error, k, "options", fmt.Sprintf("%s is for the command line alone: the configuration cannot set it", k.Value))
		case o.kind == textual && v.Kind != yaml.ScalarNode || o.kind != textual && !o.kind.fits(v):
			r.add(Error, v, "options", fmt.Sprintf("%s must be %s", k.Value, o.kind))
		}
	}
}
