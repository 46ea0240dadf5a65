// Package packs is the catalogue of what a fleet schedules and what is generated
// from it: osquery packs, and the forms of the fleet managers.
package packs

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

//go:embed catalogue.yml
var catalogue []byte

// The budgets of a fleet: what one host may cost.
const (
	MaxRowsPerDay  = 50        // rows logged by a median host
	MaxBytesPerDay = 100 << 10 // bytes of these rows
	MaxMSPerDay    = 120_000   // milliseconds of CPU of all scheduled queries
)

// Catalogue is all of it, in the order of the file.
type Catalogue struct {
	Queries    []Query    `yaml:"queries"`
	Policies   []Policy   `yaml:"policies"`
	Decorators Decorators `yaml:"decorators"`
	// Options are osquery's options by platform; "any" holds those for all.
	Options map[string]map[string]any `yaml:"options"`
}

// Query is one scheduled query.
type Query struct {
	Name           string            `yaml:"name"`
	Description    string            `yaml:"description"`
	SQL            string            `yaml:"query"`
	Core           map[string]string `yaml:"core"`     // by platform: the same on osquery's tables alone
	Interval       int               `yaml:"interval"` // seconds
	Platform       string            `yaml:"platform"`
	Version        string            `yaml:"version"`
	Attack         []string          `yaml:"attack"`
	Severity       string            `yaml:"severity"`
	Value          string            `yaml:"value"`
	FalsePositives []string          `yaml:"false_positives"`
	Denylist       bool              `yaml:"denylist"`
	Rows           float64           `yaml:"rows"`  // budget: rows logged in a day
	Bytes          int               `yaml:"bytes"` // budget: bytes of one row
	MS             int               `yaml:"ms"`    // budget: milliseconds of CPU of one run
}

// RunsPerDay is how often a query runs on a host that is always on.
func (q Query) RunsPerDay() float64 { return 86400 / float64(q.Interval) }

// Policy is a question of Fleet's to a host, answered by whether there are rows.
type Policy struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	Resolution  string `yaml:"resolution"`
	SQL         string `yaml:"query"`
	Platform    string `yaml:"platform"`
	Critical    bool   `yaml:"critical"`
}

// Decorators are queries whose columns osquery adds to all it logs.
type Decorators struct {
	Load     []string         `yaml:"load"`
	Interval map[int][]string `yaml:"interval"`
}

// Platforms are those the catalogue knows, in order.
func Platforms() []string { return []string{"linux", "darwin", "windows"} }

// Load returns the built-in catalogue, checked.
func Load() (*Catalogue, error) { return Parse(catalogue) }

// Parse reads a catalogue and checks it.
func Parse(data []byte) (*Catalogue, error) {
	var c Catalogue
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	if len(c.Queries) == 0 {
		return nil, errors.New("the catalogue has no query")
	}
	seen := map[string]bool{}
	for _, q := range c.Queries {
		if err := q.check(); err != nil {
			return nil, fmt.Errorf("query %q: %w", q.Name, err)
		}
		if seen[q.Name] {
			return nil, fmt.Errorf("query %q is there twice", q.Name)
		}
		seen[q.Name] = true
	}
	for _, p := range c.Policies {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("policy %q: %w", p.Name, err)
		}
		if seen[p.Name] {
			return nil, fmt.Errorf("policy %q is there twice", p.Name)
		}
		seen[p.Name] = true
	}
	if err := c.Decorators.check(); err != nil {
		return nil, fmt.Errorf("decorators: %w", err)
	}
	for p := range c.Options {
		if p != "any" && !slices.Contains(Platforms(), p) {
			return nil, fmt.Errorf("options: platform %q is none", p)
		}
	}
	return &c, nil
}

func (q Query) check() error {
	switch {
	case q.Name == "" || q.Description == "" || q.SQL == "" || q.Value == "":
		return errors.New("name, description, query and value are needed")
	case q.Interval < 10 || q.Interval > 604800:
		return fmt.Errorf("interval is %d: must be 10 to 604800 seconds", q.Interval)
	case strings.Trim(q.Name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
		return errors.New("name is of a to z, digits and _: central logs are searched for it")
	case strings.Trim(q.Version, "0123456789.") != "" || q.Version == "":
		return fmt.Errorf("version %q is none", q.Version)
	case len(q.Attack) == 0:
		return errors.New("no ATT&CK technique")
	case !(q.Rows >= 0) || q.Bytes <= 0 || q.MS <= 0:
		return errors.New("the budget of rows, bytes and ms is not set")
	}
	if err := checkSQL(q.SQL); err != nil {
		return err
	}
	for p, sql := range q.Core {
		if !slices.Contains(Platforms(), p) {
			return fmt.Errorf("core: platform %q is none", p)
		}
		if err := checkSQL(sql); err != nil {
			return fmt.Errorf("core, %s: %w", p, err)
		}
	}
	if err := checkPlatform(q.Platform); err != nil {
		return err
	}
	switch q.Severity {
	case "informational", "low", "medium", "high", "critical":
	default:
		return fmt.Errorf("severity %q is none", q.Severity)
	}
	return nil
}

func (p Policy) check() error {
	if p.Name == "" || p.Description == "" || p.SQL == "" || p.Resolution == "" {
		return errors.New("name, description, query and resolution are needed")
	}
	if err := checkSQL(p.SQL); err != nil {
		return err
	}
	return checkPlatform(p.Platform)
}

func (d Decorators) check() error {
	all := slices.Clone(d.Load)
	for seconds, list := range d.Interval {
		if seconds <= 0 || seconds%60 != 0 {
			return fmt.Errorf("interval %d: osquery runs whole minutes only", seconds)
		}
		all = append(all, list...)
	}
	for _, sql := range all {
		if err := checkSQL(sql); err != nil {
			return err
		}
	}
	return nil
}

func checkSQL(sql string) error {
	if strings.ContainsAny(sql, ";$") {
		return errors.New("query has a ; or $, which fleet managers take for something else")
	}
	quoted := false
	for i := range len(sql) {
		if sql[i] == '\'' {
			quoted = !quoted
		}
		if !quoted && (strings.HasPrefix(sql[i:], "--") || strings.HasPrefix(sql[i:], "/*")) {
			return errors.New("query has a comment, which would end it once it is one line")
		}
	}
	return nil
}

func checkPlatform(list string) error {
	for _, p := range strings.Split(list, ",") {
		if p != "any" && !slices.Contains(Platforms(), p) {
			return fmt.Errorf("platform %q is none", p)
		}
	}
	return nil
}

// oneLine is a query as one line; a text in quotes has no line breaks.
func oneLine(sql string) string {
	lines := strings.Split(strings.TrimSpace(sql), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, " ")
}

// Names returns the queries' names, sorted.
func (c *Catalogue) Names() []string {
	out := make([]string, 0, len(c.Queries))
	for _, q := range c.Queries {
		out = append(out, q.Name)
	}
	slices.Sort(out)
	return out
}

// Cost is what the queries' budgets add up to on a median host in a day.
type Cost struct {
	Rows, Bytes, MS float64
}

// Cost sums the budgets.
func (c *Catalogue) Cost() Cost {
	var sum Cost
	for _, q := range c.Queries {
		sum.Rows += q.Rows
		sum.Bytes += q.Rows * float64(q.Bytes)
		sum.MS += q.RunsPerDay() * float64(q.MS)
	}
	return sum
}

// Check says what of a fleet's budget is overdrawn.
func (c Cost) Check() error {
	var errs []error
	if c.Rows > MaxRowsPerDay {
		errs = append(errs, fmt.Errorf("%.1f rows a day: at most %d", c.Rows, MaxRowsPerDay))
	}
	if c.Bytes > MaxBytesPerDay {
		errs = append(errs, fmt.Errorf("%.0f bytes a day: at most %d", c.Bytes, MaxBytesPerDay))
	}
	if c.MS > MaxMSPerDay {
		errs = append(errs, fmt.Errorf("%.1f s of CPU a day: at most %d", c.MS/1000, MaxMSPerDay/1000))
	}
	return errors.Join(errs...)
}

// Source is the built-in catalogue as it is written.
func Source() []byte { return slices.Clone(catalogue) }
