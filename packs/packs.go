// Package packs is the catalogue of scheduled queries and what is generated from
// it for osquery and the fleet managers.
package packs

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"

	"gopkg.in/yaml.v3"
)

//go:embed catalogue.yml
var catalogue []byte

// Query is one scheduled query.
type Query struct {
	Name           string   `yaml:"name"`
	Description    string   `yaml:"description"`
	SQL            string   `yaml:"query"`
	Interval       int      `yaml:"interval"` // seconds
	Platform       string   `yaml:"platform"`
	Version        string   `yaml:"version"`
	Attack         []string `yaml:"attack"`
	Severity       string   `yaml:"severity"`
	Value          string   `yaml:"value"`
	FalsePositives []string `yaml:"false_positives"`
	Rows           int      `yaml:"rows"` // budget of one run
	MS             int      `yaml:"ms"`   // budget of one run, milliseconds of CPU
}

// Catalogue returns the queries, checked, in the order of the file.
func Catalogue() ([]Query, error) {
	return parse(catalogue)
}

func parse(data []byte) ([]Query, error) {
	var file struct {
		Queries []Query `yaml:"queries"`
	}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	if len(file.Queries) == 0 {
		return nil, errors.New("the catalogue has no query")
	}
	seen := map[string]bool{}
	for _, q := range file.Queries {
		if err := q.check(); err != nil {
			return nil, fmt.Errorf("query %q: %w", q.Name, err)
		}
		if seen[q.Name] {
			return nil, fmt.Errorf("query %q is there twice", q.Name)
		}
		seen[q.Name] = true
	}
	return file.Queries, nil
}

func (q Query) check() error {
	switch {
	case q.Name == "" || q.Description == "" || q.SQL == "" || q.Value == "":
		return fmt.Errorf("name, description, query and value are needed")
	case q.Interval < 10 || q.Interval > 604800:
		return fmt.Errorf("interval is %d: must be 10 to 604800 seconds", q.Interval)
	case strings.Trim(q.Name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
		return fmt.Errorf("name is of a to z, digits and _: central logs are searched for it")
	case strings.Trim(q.Version, "0123456789.") != "" || q.Version == "":
		return fmt.Errorf("version %q is none", q.Version)
	case len(q.Attack) == 0:
		return fmt.Errorf("no ATT&CK technique")
	case q.Rows < 0 || q.MS <= 0:
		return fmt.Errorf("the budget of rows and ms is not set")
	case strings.ContainsAny(q.SQL, ";$"):
		return fmt.Errorf("query has a ; or $, which fleet managers take for something else")
	case strings.Contains(q.SQL, "service_discovery_events") && !strings.Contains(q.SQL, "recorded"):
		return fmt.Errorf("query reads events without a window by recorded")
	}
	for _, p := range strings.Split(q.Platform, ",") {
		switch p {
		case "any", "linux", "windows", "darwin":
		default:
			return fmt.Errorf("platform %q is none", p)
		}
	}
	switch q.Severity {
	case "informational", "low", "medium", "high", "critical":
	default:
		return fmt.Errorf("severity %q is none", q.Severity)
	}
	return nil
}

// OsqueryName is the file an osquery pack is written to.
const OsqueryName = "t1007.conf"

// discovery keeps a pack off where the extension is not registered. osquery caches
// a "no" for pack_refresh_interval (an hour): start it with
// --extensions_require=rollcall.
const discovery = "SELECT 1 FROM osquery_registry WHERE registry = 'table' AND name = 'service_discovery_events' AND active = 1"

// Osquery writes the queries as an osquery pack.
func Osquery(queries []Query) ([]byte, error) {
	type entry struct {
		Query       string `json:"query"`
		Interval    int    `json:"interval"`
		Platform    string `json:"platform,omitempty"`
		Version     string `json:"version"`
		Description string `json:"description"`
		Value       string `json:"value"`
		// Rows that leave a window are no news.
		Removed  bool `json:"removed"`
		Snapshot bool `json:"snapshot"`
		// A query that once ran into the watchdog must not blind the host for a day.
		Denylist bool `json:"denylist"`
	}
	entries := map[string]entry{}
	for _, q := range queries {
		e := entry{Query: q.SQL, Interval: q.Interval, Version: q.Version, Description: q.Description, Value: q.Value}
		if q.Platform != "any" {
			e.Platform = q.Platform
		}
		entries[q.Name] = e
	}
	pack := struct {
		Discovery []string         `json:"discovery"`
		Queries   map[string]entry `json:"queries"`
	}{[]string{discovery}, entries}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(pack); err != nil {
		return nil, fmt.Errorf("write the pack: %w", err)
	}
	return []byte(b.String()), nil
}

// Names returns the queries' names, sorted.
func Names(queries []Query) []string {
	out := make([]string, 0, len(queries))
	for _, q := range queries {
		out = append(out, q.Name)
	}
	sort.Strings(out)
	return out
}
