package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/osquery-rollcall/rollcall/extension/score"
)

// schemaVersion is the dialect of JSON Schema.
const schemaVersion = "https://json-schema.org/draft/2020-12/schema"

// durationPattern is what time.ParseDuration takes, without a sign.
const durationPattern = `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`

// hints are what the types do not say, by the option's path ("[]" is an item).
var hints = map[string]string{
	"enabled":                        "Turns Rollcall on. Off, it collects nothing; its tables and what they hold stay.",
	"collect_interval":               "Time between two collect cycles, 1s to 1h.",
	"cpu_budget":                     "Share of one processor that the extension keeps to as a mean, in per cent, 0.5 to 100; 0 is 3 for each processor, at most 30, which keeps it clear of osquery's watchdog.",
	"rules_dir":                      "Folder of the user's Sigma rules, a whole path.",
	"log_level":                      "How much is logged.",
	"weights":                        "Log-odds of factors, in place of the built-in ones, -10 to 10.",
	"attribution":                    "Whose operations are legitimate.",
	"attribution.expected":           "Operations that are known and wanted, each with its reason and, better, an end.",
	"attribution.maintenance":        "Windows of time in which changes are wanted.",
	"attribution.agents":             "Management agents and tools in use.",
	"attribution.scanners":           "Authorised vulnerability and inventory scanners.",
	"attribution.cases":              "Responders' own operations, each with an end.",
	"attribution.business_hours":     "When people usually work.",
	"attribution.critical_assets":    "Patterns of hosts on which less is needed to escalate.",
	"attribution.sensitive_accounts": "Patterns of users for whom less is needed to escalate.",
	"attribution.known_user":         "When habit makes an operation its user's own.",
	"incident":                       "How events become incidents, and which of them escalate.",
	"incident.burst_gap":             "Quiet time that ends a burst of commands, 1s to 24h.",
	"incident.window_before":         "How far before a burst or install what belongs to it is looked for, 1s to 168h.",
	"incident.window_after":          "How far after it, 1s to 168h.",
	"incident.watch":                 "How long an incident stays watched and reopens on news, 0s to 720h.",
	"incident.keep":                  "How long an incident with its evidence is kept, 1h to 17520h.",
	"ioc_files":                      "Indicators of compromise: plain lists, CSV or STIX 2.1 bundles; whole paths.",
	"vuln_files":                     "Findings of vulnerability scanners: OSV, Trivy or Grype JSON, CSV; whole paths.",
}

// choices are the values that an option is chosen from.
func choices() map[string][]string {
	return map[string][]string{
		"log_level":                    {"trace", "debug", "info", "warn", "error"},
		"incident.escalate_command":    severities,
		"incident.escalate_install":    severities,
		"incident.escalate_stakes":     severities,
		"incident.review_unattributed": severities,
		"incident.review_attributed":   severities,
	}
}

// Schema is the JSON Schema of the configuration, the file's and a fleet's, made from
// the Go types. The same types give the same bytes.
func Schema() ([]byte, error) {
	root, err := schemaOf(reflect.TypeFor[Config](), reflect.ValueOf(Default()), "")
	if err != nil {
		return nil, err
	}
	root["$schema"] = schemaVersion
	root["title"] = "Rollcall's configuration"
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(out, '\n'), nil
}

// schemaOf is the schema of one type; def is its default, invalid for none.
func schemaOf(t reflect.Type, def reflect.Value, path string) (map[string]any, error) {
	out := map[string]any{}
	if h := hints[path]; h != "" {
		out["description"] = h
	}
	if list := choices()[path]; list != nil {
		out["enum"] = list
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		out["type"], out["pattern"] = "string", durationPattern
		if def.IsValid() {
			out["default"] = short(def.Interface().(time.Duration))
		}
		return out, nil
	case t == reflect.TypeFor[time.Time]():
		out["type"], out["format"] = "string", "date-time"
		return out, nil
	case reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]()):
		return out, nil // its own affair
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), reflect.Value{}, path)
	case reflect.String:
		out["type"] = "string"
	case reflect.Bool:
		out["type"] = "boolean"
	case reflect.Int, reflect.Int64:
		out["type"] = "integer"
	case reflect.Float64:
		out["type"] = "number"
	case reflect.Slice:
		items, err := schemaOf(t.Elem(), reflect.Value{}, path+"[]")
		if err != nil {
			return nil, err
		}
		out["type"], out["items"] = "array", items
		return out, nil
	case reflect.Map:
		values, err := schemaOf(t.Elem(), reflect.Value{}, path+"[]")
		if err != nil {
			return nil, err
		}
		out["type"], out["additionalProperties"] = "object", values
		if path == "weights" {
			out["propertyNames"] = map[string]any{"enum": slices.Sorted(maps.Keys(score.DefaultWeights()))}
			values["minimum"], values["maximum"] = -10, 10
		}
		return out, nil
	case reflect.Struct:
		return schemaOfStruct(out, t, def, path)
	default:
		return nil, fmt.Errorf("schema of %s: no word for a %s", path, t)
	}
	if def.IsValid() && !def.IsZero() {
		out["default"] = def.Interface()
	}
	return out, nil
}

func schemaOfStruct(out map[string]any, t reflect.Type, def reflect.Value, path string) (map[string]any, error) {
	properties := map[string]any{}
	for _, f := range options(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		var d reflect.Value
		if def.IsValid() {
			d = def.FieldByIndex(f.Index)
		}
		at := name
		if path != "" {
			at = path + "." + name
		}
		s, err := schemaOf(f.Type, d, at)
		if err != nil {
			return nil, err
		}
		properties[name] = s
	}
	out["type"], out["properties"], out["additionalProperties"] = "object", properties, false
	return out, nil
}
