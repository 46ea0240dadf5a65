package packs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// File is one generated file; its name is relative to the folder it goes to, with
// slashes.
type File struct {
	Name string
	Data []byte
}

// Options change what is generated.
type Options struct {
	// FleetQueries writes Fleet's files in the form before 4.83: "queries" for
	// "reports", "team_settings" for "settings", teams/ for fleets/.
	FleetQueries bool
	// FleetFree leaves out what needs Fleet Premium: labels on reports.
	FleetFree bool
	// Shard lets osquery run packs on this percentage of the hosts, 1 to 100; 0 is
	// 100.
	Shard int
}

// The formats.
const (
	Osquery     = "osquery"
	Fleet       = "fleet"
	FleetLegacy = "fleet-legacy"
	Osctrl      = "osctrl"
)

// Formats are the formats' names.
func Formats() []string { return []string{Osquery, Fleet, FleetLegacy, Osctrl} }

// Generate writes the catalogue in a format; the first file holds the queries. The
// same catalogue and options give the same bytes.
func (c *Catalogue) Generate(format string, o Options) ([]File, error) {
	if o.Shard == 0 {
		o.Shard = 100
	}
	if o.Shard < 1 || o.Shard > 100 {
		return nil, fmt.Errorf("shard is %d: must be 1 to 100", o.Shard)
	}
	switch format {
	case Osquery:
		return c.osquery(o)
	case Fleet:
		return c.fleet(o)
	case FleetLegacy:
		return c.fleetLegacy()
	case Osctrl:
		return c.osctrl(o)
	}
	return nil, fmt.Errorf("no format %q", format)
}

// jsonFile writes v the way people read it.
func jsonFile(name string, v any) (File, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return File{}, fmt.Errorf("write %s: %w", name, err)
	}
	return File{name, b.Bytes()}, nil
}

// yamlFile writes documents behind a comment.
func yamlFile(name, comment string, docs ...any) (File, error) {
	var b bytes.Buffer
	for _, line := range strings.Split(comment, "\n") {
		fmt.Fprintln(&b, strings.TrimRight("# "+line, " "))
	}
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	for _, d := range docs {
		if err := enc.Encode(d); err != nil {
			return File{}, fmt.Errorf("write %s: %w", name, err)
		}
	}
	if err := enc.Close(); err != nil {
		return File{}, fmt.Errorf("write %s: %w", name, err)
	}
	return File{name, b.Bytes()}, nil
}

// optionsFor are osquery's options for one platform, or for all of them together.
func (c *Catalogue) optionsFor(platforms ...string) map[string]any {
	out := map[string]any{}
	for _, p := range append([]string{"any"}, platforms...) {
		for k, v := range c.Options[p] {
			out[k] = v
		}
	}
	return out
}

// corePlatforms are the platforms that have queries for hosts without the extension.
func (c *Catalogue) corePlatforms() []string {
	var out []string
	for _, p := range Platforms() {
		if slices.ContainsFunc(c.Queries, func(q Query) bool { return q.Core[p] != "" }) {
			out = append(out, p)
		}
	}
	return out
}
