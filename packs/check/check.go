// Package check says what is wrong with scheduled queries before a fleet runs them:
// those of the catalogue, and any osquery pack or configuration, Fleet YAML or
// osctrl part. SQL is compiled against the tables' schemas, never run.
package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/sqlshell"
	"github.com/osquery-rollcall/rollcall/packs"
	"github.com/osquery-rollcall/rollcall/tables"
)

// The limits on one file: what is checked may come from anybody.
const (
	MaxFile     = 8 << 20 // bytes
	maxFindings = 1000
	maxDepth    = 64 // of nested YAML
)

// The levels of a Finding.
const (
	Error   = "error"   // it will not work, or not do what it says
	Warning = "warning" // it will cost, or may not do what it says
)

// Finding is one thing that is wrong.
type Finding struct {
	Level string
	Line  int    // in the file; 0 when unknown
	Name  string // of the query or policy it is about
	Text  string
}

func (f Finding) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	b.WriteString(f.Level + ": ")
	if f.Name != "" {
		b.WriteString(f.Name + ": ")
	}
	b.WriteString(f.Text)
	return b.String()
}

// Checker knows the tables. It is for one goroutine at a time.
type Checker struct {
	db      *sqlshell.DB
	tables  map[string]*schemaTable
	options map[string]option
}

// New returns a Checker that knows osquery's tables and Rollcall's.
func New(ctx context.Context) (*Checker, error) {
	s, err := schema(Tables())
	if err != nil {
		return nil, err
	}
	options, err := readOptions(osqueryOptions)
	if err != nil {
		return nil, err
	}
	list := make([]*tables.Table, 0, len(s))
	for _, t := range s {
		list = append(list, t.Table)
	}
	db, err := sqlshell.Open(ctx, list, sqlshell.Options{})
	if err != nil {
		return nil, fmt.Errorf("open the tables' schemas: %w", err)
	}
	return &Checker{db, s, options}, nil
}

// Close releases what a Checker holds.
func (c *Checker) Close() error { return c.db.Close() }

// run is the check of one file.
type run struct {
	*Checker
	ctx      context.Context
	findings []Finding
	fleet    bool // the file is for Fleet's GitOps, which expands $word
}

// File checks one file of any form that is known.
func (c *Checker) File(ctx context.Context, data []byte) []Finding {
	r := &run{Checker: c, ctx: ctx}
	if len(data) > MaxFile {
		r.add(Error, nil, "", fmt.Sprintf("larger than %d MiB", MaxFile>>20))
		return r.findings
	}
	docs, err := documents(data)
	if err != nil {
		r.add(Error, nil, "", err.Error())
		return r.findings
	}
	if len(docs) == 0 {
		r.add(Error, nil, "", "empty")
	}
	r.specs(docs)
	for _, d := range docs {
		if r.isSpec(d) {
			continue
		}
		r.document(d, data)
	}
	slices.SortStableFunc(r.findings, func(a, b Finding) int { return a.Line - b.Line })
	return r.findings
}

// documents reads YAML, or JSON the way osquery writes it: with whole lines of
// comments and with lines that go on behind a backslash.
func documents(data []byte) ([]*yaml.Node, error) {
	if text := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), " \t\r\n"); len(text) > 0 && (text[0] == '{' || text[0] == '/' || text[0] == '[') {
		lines := strings.Split(string(data), "\n")
		for i, l := range lines {
			if t := strings.TrimSpace(l); strings.HasPrefix(t, "//") || strings.HasPrefix(t, "#") {
				lines[i] = ""
			} else if strings.HasSuffix(l, `\`) && strings.Count(l, `"`)%2 == 1 {
				lines[i] = strings.TrimSuffix(l, `\`)
			}
		}
		data = []byte(strings.Join(lines, "\n"))
	}
	var docs []*yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, fmt.Errorf("neither JSON nor YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
			continue
		}
		if !shallow(doc.Content[0], 0) {
			return nil, fmt.Errorf("nested deeper than %d", maxDepth)
		}
		docs = append(docs, doc.Content[0])
	}
}

// shallow reports whether a tree is of a sane depth and its own: an alias could
// stand for itself.
func shallow(n *yaml.Node, depth int) bool {
	if depth > maxDepth || n.Kind == yaml.AliasNode && n.Alias.Kind != yaml.ScalarNode {
		return false
	}
	for _, c := range n.Content {
		if !shallow(c, depth+1) {
			return false
		}
	}
	return true
}

func (r *run) add(level string, n *yaml.Node, name, text string) {
	if len(r.findings) >= maxFindings {
		return
	}
	f := Finding{Level: level, Name: clip(name), Text: text}
	if n != nil {
		f.Line = n.Line
	}
	r.findings = append(r.findings, f)
}

// clip shortens and cleans a text of the file for a message.
func clip(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == '\u009b' {
			return ' '
		}
		return c
	}, s)
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "..."
	}
	return s
}

// document checks a document that is no "apiVersion: v1" spec.
func (r *run) document(d *yaml.Node, data []byte) {
	m := keys(d)
	switch {
	case d.Kind == yaml.SequenceNode:
		r.list(d)
	case d.Kind != yaml.MappingNode:
		r.add(Error, d, "", "not a form that is known: a list or a mapping is expected")
	case isCatalogue(m):
		r.catalogue(d, data)
	case m["queries"] != nil && m["queries"].Kind == yaml.MappingNode:
		r.pack(d, "")
	case fleetKeys(m):
		r.fleetFile(d, m)
	case m["config"] != nil || m["overrides"] != nil || m["command_line_flags"] != nil:
		r.fleet = true
		r.agentOptions(d)
	case m["schedule"] != nil || m["packs"] != nil || m["options"] != nil || m["decorators"] != nil || m["views"] != nil:
		r.configuration(d, "")
	case texts.fits(nonNil(m["load"])) || texts.fits(nonNil(m["always"])):
		r.decorators(d)
	case len(d.Content) > 0 && everyValue(d, func(v *yaml.Node) bool { return keys(v)["queries"] != nil }):
		r.packsPart(d)
	case everyValue(d, func(v *yaml.Node) bool { return v.Kind == yaml.ScalarNode }) && r.someOption(d):
		r.optionValues(d, false)
	default:
		r.add(Error, d, "", "not a form that is known: an osquery pack or configuration, a part of osctrl's, Fleet's YAML, or the catalogue")
	}
}

// keys are the values of a mapping by key; nil for anything else.
func keys(n *yaml.Node) map[string]*yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	out := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		out[n.Content[i].Value] = value(n.Content[i+1])
	}
	return out
}

func value(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// nonNil is a node that holds nothing where there is none.
func nonNil(n *yaml.Node) *yaml.Node {
	if n == nil {
		return &yaml.Node{}
	}
	return n
}

func everyValue(n *yaml.Node, ok func(*yaml.Node) bool) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !ok(value(n.Content[i+1])) {
			return false
		}
	}
	return true
}

func isCatalogue(m map[string]*yaml.Node) bool {
	q := m["queries"]
	return q != nil && q.Kind == yaml.SequenceNode && len(q.Content) > 0 && keys(q.Content[0])["attack"] != nil
}

// catalogue checks Rollcall's own form.
func (r *run) catalogue(d *yaml.Node, data []byte) {
	c, err := packs.Parse(data)
	if err != nil {
		r.add(Error, nil, "", err.Error())
		return
	}
	if err := c.Cost().Check(); err != nil {
		r.add(Error, nil, "", "over budget: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	m := keys(d)
	for i, q := range c.Queries {
		n := value(m["queries"].Content[i])
		r.sql(keys(n)["query"], q.Name, q.SQL, platforms(q.Platform))
		for _, p := range packs.Platforms() {
			if sql := q.Core[p]; sql != "" {
				r.sql(keys(keys(n)["core"])[p], q.Name+" (core, "+p+")", sql, []string{p})
			}
		}
	}
	for i, p := range c.Policies {
		r.sql(keys(value(m["policies"].Content[i]))["query"], p.Name, p.SQL, platforms(p.Platform))
	}
	r.decorators(m["decorators"])
	for platform, values := range keys(m["options"]) {
		_ = platform // Parse knows the platforms
		r.optionValues(values, false)
	}
}

// platforms are those that a list names, nil for all.
func platforms(list string) []string {
	var out []string
	for _, p := range strings.Split(list, ",") {
		switch strings.TrimSpace(p) {
		case "any", "all", "":
			return nil
		case "posix":
			out = append(out, "linux", "darwin")
		case "ubuntu", "centos": // osquery takes them for Linux
			out = append(out, "linux")
		default:
			out = append(out, strings.TrimSpace(p))
		}
	}
	return out
}

// kind is what a field must hold.
type kind string

const (
	text    kind = "a text"
	integer kind = "a whole number"
	digits  kind = "a number" // osquery takes "300" for 300
	boolean kind = "true or false"
	list    kind = "a list"
	texts   kind = "a list of texts"
	mapping kind = "a mapping (name: value)"
	object  kind = "" // anything; checked elsewhere or by nobody
)

func (k kind) fits(n *yaml.Node) bool {
	switch k {
	case text:
		return n.Kind == yaml.ScalarNode && n.Tag != "!!null"
	case integer:
		return n.Tag == "!!int"
	case digits:
		return n.Tag == "!!int" || n.Tag == "!!str" && n.Value != "" && strings.Trim(n.Value, "0123456789") == ""
	case boolean:
		return n.Tag == "!!bool"
	case list:
		return n.Kind == yaml.SequenceNode
	case texts:
		return n.Kind == yaml.SequenceNode && !slices.ContainsFunc(n.Content, func(i *yaml.Node) bool { return !text.fits(value(i)) })
	case mapping:
		return n.Kind == yaml.MappingNode
	}
	return true
}

// fields checks a mapping's keys and what they hold, and returns the values that
// are as they should be.
func (r *run) fields(n *yaml.Node, name, where string, known map[string]kind, need ...string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	if n == nil || n.Kind != yaml.MappingNode {
		r.add(Error, n, name, where+" must be a mapping (name: value)")
		return out
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], value(n.Content[i+1])
		want, ok := known[k.Value]
		switch {
		case seen[k.Value]:
			r.add(Error, k, name, fmt.Sprintf("%s is there twice", clip(k.Value)))
		case !ok:
			r.add(Error, k, name, fmt.Sprintf("no field %q in %s%s", clip(k.Value), where, nearest(k.Value, known)))
		case v.Tag == "!!null":
		case !want.fits(v):
			r.add(Error, v, name, fmt.Sprintf("%s must be %s", k.Value, want))
		default:
			out[k.Value] = v
		}
		seen[k.Value] = true
	}
	for _, k := range need {
		if out[k] == nil && !(seen[k] && known[k] != text && known[k] != digits) {
			r.add(Error, n, name, fmt.Sprintf("%s has no %s", where, k))
		}
	}
	return out
}

func nearest[V any](key string, known map[string]V) string {
	names := make([]string, 0, len(known))
	for k := range known {
		names = append(names, k)
	}
	slices.Sort(names)
	return config.Nearest(key, names)
}

// str is a field's text, empty when it is not there.
func str(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	return n.Value
}

// Readable reports whether a generated file is one that File reads: flag files are
// not.
func Readable(name string) bool {
	return strings.HasSuffix(name, ".conf") || strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".yml")
}
