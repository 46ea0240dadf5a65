package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// configKey is one key of the configuration, as its schema has it.
type configKey struct {
	path, kind, def, about string
	values                 []string
}

// schemaNode is what is read of a JSON Schema.
type schemaNode struct {
	Type        string                 `json:"type"`
	Description string                 `json:"description"`
	Format      string                 `json:"format"`
	Pattern     string                 `json:"pattern"`
	Default     json.RawMessage        `json:"default"`
	Enum        []string               `json:"enum"`
	Properties  map[string]*schemaNode `json:"properties"`
	Items       *schemaNode            `json:"items"`
}

// configKeys are all keys, in the order of their paths; "[]" is an item of a list.
func configKeys(schema []byte) ([]configKey, error) {
	var root schemaNode
	if err := json.Unmarshal(schema, &root); err != nil {
		return nil, fmt.Errorf("read the configuration's schema: %w", err)
	}
	meanings := keyMeanings()
	var keys []configKey
	var walk func(n *schemaNode, path string)
	walk = func(n *schemaNode, path string) {
		for _, name := range slices.Sorted(maps.Keys(n.Properties)) {
			p, at := n.Properties[name], strings.TrimPrefix(path+"."+name, ".")
			k := configKey{path: at, kind: kindOf(p), values: p.Enum, about: p.Description}
			if k.about == "" {
				k.about = meanings[at]
			}
			if len(p.Default) > 0 && p.Type != "object" {
				k.def = strings.Trim(string(p.Default), `"`)
			}
			keys = append(keys, k)
			walk(p, at)
			if p.Items != nil {
				walk(p.Items, at+"[]")
			}
		}
	}
	walk(&root, "")
	return keys, nil
}

func kindOf(n *schemaNode) string {
	switch {
	case n.Type == "string" && n.Format == "date-time":
		return "time"
	case n.Type == "string" && n.Pattern != "":
		return "duration"
	case n.Type == "string":
		return "text"
	case n.Type == "boolean":
		return "true or false"
	case n.Type == "array" && n.Items != nil && n.Items.Type != "object":
		return "list of " + strings.TrimSuffix(kindOf(n.Items), "s") + "s"
	case n.Type == "array":
		return "list"
	case n.Type == "object":
		return "mapping"
	}
	return n.Type
}

func configPage(keys []configKey) []byte {
	m := newMarkdown("Configuration", "One YAML file: `/etc/rollcall/rollcall.yaml`, on macOS `/Library/Application Support/Rollcall/rollcall.yaml`,\n"+
		"on Windows `%ProgramData%\\Rollcall\\rollcall.yaml`; `ROLLCALL_CONFIG` names another. It need not exist. It must\n"+
		"belong to root (or to whoever runs Rollcall) and nobody else may write it; else it is refused and\n"+
		"`service_discovery_health` says so. A file with a mistake changes nothing: what was in force stays.\n\n"+
		"`rollcall config check` says what is wrong, `rollcall config show` what is in force and where it comes from.\n"+
		"A fleet lays its own over it, live: the view `rollcall_config` or the option `custom_rollcall`, the same keys as\n"+
		"JSON. Editors complete by [the schema](configuration.schema.json).")
	m.code("yaml", `collect_interval: 10s
weights:
  output_to_file: 0.5
attribution:
  business_hours: {time_zone: Europe/Berlin, days: [mon-fri], from: "07:00", to: "19:00"}
  expected:
    - {user: zabbix, command: systemctl list-units*, reason: "monitoring, CHG-1234", expires: 2027-06-30T00:00:00Z}
incident:
  escalate_command: medium`)
	m.WriteString("\n`[]` is an entry of a list. Durations are written with their unit (`30s`, `24h`), times as `2027-06-30T00:00:00Z`.\n")
	m.head("key", "kind", "default", "what it does")
	for _, k := range keys {
		about := plainText(k.about)
		if len(k.values) > 0 {
			about += " One of: " + strings.Join(k.values, ", ") + "."
		}
		m.row(literal(k.path), k.kind, literal(k.def), about)
	}
	return m.Bytes()
}

// keyMeanings are those of the keys that the schema says nothing about: the fields of
// entries.
func keyMeanings() map[string]string {
	schedule := map[string]string{
		"from":      "When it begins to apply.",
		"to":        "When it ends to apply.",
		"weekdays":  "Days it begins on: sat, mon-fri.",
		"weeks":     "Which of the month's weekdays, 1 to 5: tue with 2 is the second Tuesday.",
		"hours":     "When it begins and ends, such as 22:00-04:00; all day without.",
		"time_zone": "That of weekdays and hours, such as Europe/Berlin; the host's own without.",
	}
	common := map[string]string{
		"hosts":   "Patterns of the hosts it is for; all without.",
		"reason":  "Why it is legitimate.",
		"expires": "When the entry ends.",
	}
	out := map[string]string{
		"attribution.expected[].id":       "What rows call the entry; its reason without.",
		"attribution.expected[].user":     "Pattern of the effective or the login user.",
		"attribution.expected[].parent":   "Pattern of the path of the program that started the command or did the install.",
		"attribution.expected[].command":  "Pattern of the command in its one spelling (column canonical); for an install, of the service's command line.",
		"attribution.expected[].commands": "More such patterns: each command that ran must match one.",
		"attribution.expected[].host":     "Pattern of the host.",
		"attribution.expected[].path":     "Pattern of the program that runs; for a service, its program.",
		"attribution.expected[].name":     "Name of a service: the entry is then about installs, and needs path and one of sha256, signer and package.",
		"attribution.expected[].sha256":   "Hash of the service's program.",
		"attribution.expected[].signer":   "Who signed the service's program; the signature must hold.",
		"attribution.expected[].package":  "Package the service belongs to; its files must verify.",
		"attribution.expected[].remote":   "Other end of a connection: an address, a network such as 10.0.0.0/8, or a pattern of its name.",
		"attribution.expected[].exact":    "Takes every value as it stands, * included.",

		"attribution.maintenance[].reference": "The change or ticket behind it; it must be there.",
		"attribution.maintenance[].users":     "Patterns of the users it is for; all without.",

		"attribution.agents[].name":     "Name of a known agent (see agents.md), or of one with its own programs.",
		"attribution.agents[].programs": "Paths of its programs, in places that only root or SYSTEM writes.",
		"attribution.agents[].payloads": "Paths of what it runs, in such places unless users and sources say who brings it.",
		"attribution.agents[].users":    "Accounts it runs as or logs in with.",
		"attribution.agents[].sources":  "Addresses and networks it logs in from.",

		"attribution.scanners[].name":     "What rows call it.",
		"attribution.scanners[].users":    "Its login accounts; they must be there.",
		"attribution.scanners[].sources":  "Its addresses and networks; they must be there.",
		"attribution.scanners[].services": "Names of its temporary services beyond the usual ones.",

		"attribution.cases[].id":      "The case.",
		"attribution.cases[].users":   "The responders' accounts.",
		"attribution.cases[].sources": "Addresses and networks they work from.",

		"attribution.business_hours.time_zone": "That of the hours, such as Europe/Berlin; the host's own without.",
		"attribution.business_hours.days":      "Days people work: mon-fri.",
		"attribution.business_hours.from":      "When they begin, such as 07:00.",
		"attribution.business_hours.to":        "When they end, such as 19:00; before from, it is the next morning's.",
		"attribution.business_hours.holidays":  "Days off: 2026-12-25, or 12-25 for every year's.",

		"attribution.known_user.off":       "Turns it off: habit attributes nothing.",
		"attribution.known_user.days":      "Days with the same family in the same hours that make it the user's own; 3 without.",
		"attribution.known_user.user_days": "Days of interactive work that make it so in business hours; 5 without.",

		"incident.escalate_command":    "Severity from which an unattributed command or burst escalates.",
		"incident.escalate_install":    "Severity from which an unattributed install escalates.",
		"incident.escalate_stakes":     "The same where a critical asset or a sensitive account is involved.",
		"incident.review_unattributed": "Severity from which somebody reviews what is unattributed.",
		"incident.review_attributed":   "Severity from which somebody reviews what is attributed.",
	}
	for _, list := range []string{"expected", "maintenance", "agents", "scanners", "cases"} {
		for name, meaning := range common {
			if list != "expected" || name != "hosts" {
				out["attribution."+list+"[]."+name] = meaning
			}
		}
	}
	for _, list := range []string{"maintenance", "scanners"} {
		for name, meaning := range schedule {
			out["attribution."+list+"[]."+name] = meaning
		}
	}
	return out
}
