package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Limits on a file beside its size.
const (
	maxDocuments  = 1_000
	maxNodes      = 200_000 // with every alias written out
	maxDepth      = 64
	maxTitle      = 256    // characters, from the specification
	maxText       = 65_535 // characters, from the specification
	maxSelections = 1_000
)

// Option changes how rules are read.
type Option func(*options)

type options struct {
	placeholders map[string][]string
	taxonomies   []string
}

// WithPlaceholders supplies the values of placeholders by their names without
// percent signs. They are patterns: wildcards and escapes mean what they mean in
// a rule.
func WithPlaceholders(values map[string][]string) Option {
	values = maps.Clone(values)
	return func(o *options) { o.placeholders = values }
}

// WithTaxonomies allows rules of taxonomies other than "sigma". The caller's
// events must then have their field names.
func WithTaxonomies(names ...string) Option {
	names = slices.Clone(names)
	return func(o *options) { o.taxonomies = names }
}

func newOptions(opts []Option) options {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Parse reads the rules of one YAML file. Every document in it gives a rule or an
// error of type *[InvalidError] or *[UnsupportedError], but what follows text
// that is not YAML is lost. An empty file is an error.
func Parse(data []byte, opts ...Option) ([]*Rule, []error) {
	var rules []*Rule
	var errs []error
	for _, d := range parseFile(data, newOptions(opts)) {
		if d.err != nil {
			errs = append(errs, d.err)
		} else {
			rules = append(rules, d.rule)
		}
	}
	return rules, errs
}

// document is the reading of one YAML document: in the end a rule or an error.
type document struct {
	rule *Rule
	err  error

	data    []byte
	options options

	nodes     int // of conditions
	regexSize int
}

// parseFile reads all documents of a file; there is at least one result.
func parseFile(data []byte, o options) []*document {
	failed := func(err error) *document { return &document{rule: &Rule{}, err: err} }
	if len(data) > MaxFile {
		return []*document{failed(&InvalidError{Reason: "file too large", Detail: strconv.Itoa(len(data)) + " bytes"})}
	}
	var out []*document
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	regexes, nodes := 0, 0
	for {
		var root yaml.Node
		err := decode(decoder, &root)
		switch {
		case errors.Is(err, io.EOF):
			if len(out) == 0 {
				out = append(out, failed(&InvalidError{Reason: "no rule in file"}))
			}
			return out
		case err != nil:
			return append(out, failed(err))
		case len(out) == maxDocuments:
			return append(out, failed(&InvalidError{Reason: "too many documents in file", Line: root.Line, Column: root.Column}))
		}
		if len(root.Content) == 1 && root.Content[0].ShortTag() == "!!null" && root.Content[0].Kind == yaml.ScalarNode {
			continue // nothing between two separators
		}
		d := &document{rule: &Rule{}, data: data, options: o, regexSize: regexes}
		if d.err = d.count(&root, 0, &nodes); d.err == nil {
			d.err = d.read(&root)
		}
		regexes = d.regexSize
		d.data = nil
		out = append(out, d)
	}
}

// decode reads the next document. A fault of the YAML library is the file's
// fault to the caller.
func decode(decoder *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &InvalidError{Reason: "invalid YAML", Detail: fmt.Sprint(r)}
		}
	}()
	err = decoder.Decode(into)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	e := &InvalidError{Reason: "invalid YAML", Detail: strings.TrimPrefix(err.Error(), "yaml: ")}
	if rest, ok := strings.CutPrefix(e.Detail, "line "); ok {
		if line, what, ok := strings.Cut(rest, ": "); ok {
			if n, convErr := strconv.Atoi(line); convErr == nil {
				e.Line, e.Detail = n, what
			}
		}
	}
	return e
}

// count walks the document with its aliases written out and fails when that is
// too large, so that nothing later needs to care. Documents share one budget.
func (d *document) count(n *yaml.Node, depth int, nodes *int) error {
	if *nodes++; *nodes > maxNodes || depth > maxDepth {
		return d.invalidAt(n, 0, "YAML too large or nested too deep", "")
	}
	if n.Kind == yaml.AliasNode {
		return d.count(n.Alias, depth+1, nodes)
	}
	for _, kid := range n.Content {
		if err := d.count(kid, depth+1, nodes); err != nil {
			return err
		}
	}
	return nil
}

// invalidAt reports an invalid rule at byte off of the scalar n.
func (d *document) invalidAt(n *yaml.Node, off int, reason, detail string) error {
	line, column := d.within(n, off)
	return &InvalidError{Reason: reason, Detail: detail, Line: line, Column: column}
}

func (d *document) unsupportedAt(n *yaml.Node, off int, feature, detail string) error {
	line, column := d.within(n, off)
	return &UnsupportedError{Feature: feature, Detail: detail, Line: line, Column: column}
}

// within returns the position of byte off of a scalar. Where the file spells the
// scalar otherwise (escapes, several lines) it is the scalar's beginning.
func (d *document) within(n *yaml.Node, off int) (line, column int) {
	if off == 0 || n.Kind != yaml.ScalarNode || n.Line < 1 || n.Column < 1 || off > len(n.Value) {
		return n.Line, n.Column
	}
	source := d.data
	for range n.Line - 1 {
		_, rest, ok := bytes.Cut(source, []byte("\n"))
		if !ok {
			return n.Line, n.Column
		}
		source = rest
	}
	quote := 0
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		quote = 1
	}
	for range n.Column - 1 + quote {
		_, size := utf8.DecodeRune(source)
		source = source[size:]
	}
	if !bytes.HasPrefix(source, []byte(n.Value[:off])) {
		return n.Line, n.Column
	}
	return n.Line, n.Column + quote + utf8.RuneCountInString(n.Value[:off])
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// pair is one entry of a mapping.
type pair struct{ key, value *yaml.Node }

// pairs returns the entries of a mapping, whose keys are distinct scalars.
func (d *document) pairs(n *yaml.Node, what string) ([]pair, error) {
	if n.Kind != yaml.MappingNode {
		return nil, d.invalidAt(n, 0, "a mapping is needed", what)
	}
	seen := make(map[string]bool, len(n.Content)/2)
	var out []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolve(n.Content[i])
		switch {
		case key.Kind != yaml.ScalarNode || isNull(key):
			return nil, d.invalidAt(n.Content[i], 0, "a key must be a text", what)
		case key.ShortTag() == "!!merge":
			return nil, d.unsupportedAt(key, 0, "YAML merge key", "")
		case seen[key.Value]:
			return nil, d.invalidAt(n.Content[i], 0, "key given twice", key.Value)
		}
		seen[key.Value] = true
		out = append(out, pair{key, resolve(n.Content[i+1])})
	}
	return out, nil
}

// read reads the whole rule. It takes the log source first, so that a refused
// rule can be told by it.
func (d *document) read(root *yaml.Node) error {
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 {
		return d.invalidAt(root, 0, "a mapping is needed", "rule")
	}
	top := resolve(root.Content[0])
	d.rule.Line = top.Line
	entries, err := d.pairs(top, "rule")
	if err != nil {
		return err
	}
	find := func(key string) *yaml.Node {
		for _, e := range entries {
			if e.key.Value == key {
				return e.value
			}
		}
		return nil
	}
	if n := find("logsource"); n != nil {
		if err := d.readLogSource(n); err != nil {
			return err
		}
	}
	for _, refused := range []struct{ key, feature string }{
		{"correlation", "correlation rule"},
		{"filter", "filter rule"},
		{"action", "rule collection (action)"},
	} {
		for _, e := range entries {
			if e.key.Value == refused.key {
				return d.unsupportedAt(e.key, 0, refused.feature, "")
			}
		}
	}
	for _, mandatory := range []string{"title", "logsource", "detection"} {
		if n := find(mandatory); n == nil || isNull(n) {
			return d.invalidAt(top, 0, "mandatory key missing", mandatory)
		}
	}
	for _, e := range entries {
		if err := d.readEntry(e); err != nil {
			return err
		}
	}
	if d.rule.Taxonomy == "" {
		d.rule.Taxonomy = "sigma"
	}
	if d.rule.Taxonomy != "sigma" && !slices.Contains(d.options.taxonomies, d.rule.Taxonomy) {
		return d.unsupportedAt(find("taxonomy"), 0, "taxonomy", d.rule.Taxonomy)
	}
	return nil
}

func (d *document) readEntry(e pair) (err error) {
	r, n, key := d.rule, e.value, e.key.Value
	switch key {
	case "title":
		if r.Title, err = d.text(n, key, maxTitle); err == nil && strings.TrimSpace(r.Title) == "" {
			return d.invalidAt(n, 0, "mandatory key missing", key)
		}
	case "id":
		r.ID, err = d.text(n, key, maxTitle)
	case "name":
		r.Name, err = d.text(n, key, maxTitle)
	case "taxonomy":
		r.Taxonomy, err = d.text(n, key, maxTitle)
	case "status":
		r.Status, err = d.oneOf(n, key, "stable", "test", "experimental", "deprecated", "unsupported")
	case "level":
		var level string
		level, err = d.oneOf(n, key,
			string(Informational), string(Low), string(Medium), string(High), string(Critical))
		r.Level = Level(level)
	case "description":
		r.Description, err = d.text(n, key, maxText)
	case "license":
		r.License, err = d.text(n, key, maxText)
	case "author":
		r.Author, err = d.text(n, key, maxText)
	case "date":
		r.Date, err = d.text(n, key, maxText)
	case "modified":
		r.Modified, err = d.text(n, key, maxText)
	case "references":
		r.References, err = d.texts(n, key)
	case "tags":
		r.Tags, err = d.texts(n, key)
	case "fields":
		r.Fields, err = d.texts(n, key)
	case "falsepositives":
		r.FalsePositives, err = d.texts(n, key)
	case "scope":
		r.Scope, err = d.texts(n, key)
	case "related":
		err = d.readRelated(n)
	case "logsource": // read already
	case "detection":
		err = d.readDetection(n)
	default:
		if r.Custom == nil {
			r.Custom = map[string]yaml.Node{}
		}
		r.Custom[key] = *n
	}
	return err
}

// text reads a scalar; null is the empty text.
func (d *document) text(n *yaml.Node, key string, most int) (string, error) {
	if n.Kind != yaml.ScalarNode {
		return "", d.invalidAt(n, 0, "a text is needed", key)
	}
	if isNull(n) {
		return "", nil
	}
	if utf8.RuneCountInString(n.Value) > most {
		return "", d.invalidAt(n, 0, "text too long", key)
	}
	return n.Value, nil
}

func (d *document) oneOf(n *yaml.Node, key string, allowed ...string) (string, error) {
	s, err := d.text(n, key, maxText)
	if err == nil && s != "" && !slices.Contains(allowed, s) {
		err = d.invalidAt(n, 0, "unknown "+key, s)
	}
	return s, err
}

// texts reads a list of scalars; null is the empty list.
func (d *document) texts(n *yaml.Node, key string) ([]string, error) {
	if isNull(n) {
		return nil, nil
	}
	if n.Kind != yaml.SequenceNode {
		return nil, d.invalidAt(n, 0, "a list is needed", key)
	}
	var out []string
	for _, kid := range n.Content {
		s, err := d.text(resolve(kid), key, maxText)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (d *document) readRelated(n *yaml.Node) error {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return d.invalidAt(n, 0, "a list is needed", "related")
	}
	for _, kid := range n.Content {
		entries, err := d.pairs(resolve(kid), "related")
		if err != nil {
			return err
		}
		var rel Related
		for _, e := range entries {
			switch e.key.Value {
			case "id":
				rel.ID, err = d.text(e.value, "related id", maxTitle)
			case "type":
				rel.Type, err = d.oneOf(e.value, "related type", "derived", "obsolete", "merged", "renamed", "similar")
			default:
				err = d.invalidAt(e.key, 0, "unknown key in related", e.key.Value)
			}
			if err != nil {
				return err
			}
		}
		if rel.ID == "" || rel.Type == "" {
			return d.invalidAt(resolve(kid), 0, "related needs id and type", "")
		}
		d.rule.Related = append(d.rule.Related, rel)
	}
	return nil
}

func (d *document) readLogSource(n *yaml.Node) error {
	entries, err := d.pairs(n, "logsource")
	if err != nil {
		return err
	}
	l := &d.rule.LogSource
	for _, e := range entries {
		switch e.key.Value {
		case "category":
			l.Category, err = d.text(e.value, "category", maxTitle)
		case "product":
			l.Product, err = d.text(e.value, "product", maxTitle)
		case "service":
			l.Service, err = d.text(e.value, "service", maxTitle)
		case "definition":
			l.Definition, err = d.text(e.value, "definition", maxText)
		default:
			if l.Custom == nil {
				l.Custom = map[string]yaml.Node{}
			}
			l.Custom[e.key.Value] = *e.value
		}
		if err != nil {
			return err
		}
	}
	if l.Category == "" && l.Product == "" && l.Service == "" {
		return d.invalidAt(n, 0, "logsource names no category, product or service", "")
	}
	return nil
}

// readDetection reads the search identifiers and then the conditions over them.
func (d *document) readDetection(n *yaml.Node) error {
	entries, err := d.pairs(n, "detection")
	if err != nil {
		return err
	}
	var condition *yaml.Node
	for _, e := range entries {
		switch name := e.key.Value; {
		case name == "condition":
			condition = e.value
		case name == "timeframe":
			return d.unsupportedAt(e.key, 0, "timeframe", "")
		case keyword(name) != "" || name == "" || strings.ContainsAny(name, " \t\r\n()|*"):
			return d.invalidAt(e.key, 0, "unusable name of a search identifier", name)
		case len(d.rule.selections) == maxSelections:
			return d.invalidAt(e.key, 0, "too many search identifiers", "")
		default:
			s, err := d.readSelection(name, e.value)
			if err != nil {
				return err
			}
			d.rule.selections = append(d.rule.selections, s)
		}
	}
	if condition == nil {
		return d.invalidAt(n, 0, "mandatory key missing", "condition")
	}
	var kids []*node
	list := []*yaml.Node{condition}
	if condition.Kind == yaml.SequenceNode {
		list = condition.Content
	}
	for _, c := range list {
		c = resolve(c)
		if c.Kind != yaml.ScalarNode || isNull(c) {
			return d.invalidAt(c, 0, "a text is needed", "condition")
		}
		p := &conditionParser{doc: d, at: c, words: splitCondition(c.Value), selections: d.rule.selections}
		kid, err := p.parse()
		if err != nil {
			return err
		}
		kids = append(kids, kid)
	}
	if len(kids) == 0 {
		return d.invalidAt(condition, 0, "empty condition", "")
	}
	d.rule.condition = join(opOr, kids)
	return nil
}

// readSelection reads what a search identifier stands for: a map, or a list of
// maps and keywords.
func (d *document) readSelection(name string, n *yaml.Node) (*selection, error) {
	s := &selection{name: name}
	switch n.Kind {
	case yaml.MappingNode:
		items, err := d.readMap(name, n)
		if err != nil {
			return nil, err
		}
		s.alternatives = [][]*item{items}
		return s, nil
	case yaml.SequenceNode:
	default:
		return nil, d.invalidAt(n, 0, "a search identifier is a mapping or a list", name)
	}
	var keywords []*yaml.Node
	for _, kid := range n.Content {
		kid = resolve(kid)
		if kid.Kind == yaml.ScalarNode {
			keywords = append(keywords, kid)
			continue
		}
		items, err := d.readMap(name, kid)
		if err != nil {
			return nil, err
		}
		s.alternatives = append(s.alternatives, items)
	}
	if len(keywords) > 0 {
		it := &item{}
		if err := d.readValues(it, &chain{}, keywords); err != nil {
			return nil, err
		}
		s.alternatives = append(s.alternatives, []*item{it})
	}
	if len(s.alternatives) == 0 {
		return nil, d.invalidAt(n, 0, "empty search identifier", name)
	}
	slices.SortStableFunc(s.alternatives, func(a, b []*item) int { return costOf(a) - costOf(b) })
	return s, nil
}

func costOf(items []*item) int {
	c := 0
	for _, it := range items {
		c += it.cost()
	}
	return c
}

func (d *document) readMap(name string, n *yaml.Node) ([]*item, error) {
	entries, err := d.pairs(n, name)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, d.invalidAt(n, 0, "empty search identifier", name)
	}
	var items []*item
	for _, e := range entries {
		it, err := d.readItem(e)
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	slices.SortStableFunc(items, func(a, b *item) int { return a.cost() - b.cost() })
	return items, nil
}

// readItem reads a field with its modifiers and values.
func (d *document) readItem(e pair) (*item, error) {
	parts := strings.Split(e.key.Value, "|")
	field, names := parts[0], parts[1:]
	if field == "" && len(names) == 0 {
		return nil, d.invalidAt(e.key, 0, "empty field name", "")
	}
	c, err := d.parseChain(e.key, field, names)
	if err != nil {
		return nil, err
	}
	it := &item{field: field, modifiers: c.text, all: c.all, negated: c.negated, place: c.place, cased: c.cased}
	list := e.value.Kind == yaml.SequenceNode
	nodes := []*yaml.Node{e.value}
	if list {
		nodes = e.value.Content
	}
	switch {
	case len(nodes) == 0:
		return nil, d.invalidAt(e.value, 0, "empty list of values", e.key.Value)
	case c.all && len(nodes) == 1:
		return nil, d.invalidAt(e.value, 0, "all needs several values", e.key.Value)
	case c.typed == "exists":
		it.kind = kindExists
		if list || e.value.Kind != yaml.ScalarNode || e.value.ShortTag() != "!!bool" {
			return nil, d.invalidAt(e.value, 0, "exists needs true or false", e.key.Value)
		}
		it.exists = strings.EqualFold(e.value.Value, "true")
		it.values = []value{{source: e.value.Value}}
		return it, nil
	case !list && isNull(e.value):
		it.kind = kindNull
		if field == "" || c.negated && len(names) > 1 || !c.negated && len(names) > 0 {
			return nil, d.invalidAt(e.value, 0, "null cannot be modified", e.key.Value)
		}
		it.values = []value{{source: "null"}}
		return it, nil
	}
	return it, d.readValues(it, &c, nodes)
}

func (d *document) readValues(it *item, c *chain, nodes []*yaml.Node) error {
	for _, n := range nodes {
		n = resolve(n)
		switch {
		case n.Kind != yaml.ScalarNode:
			return d.invalidAt(n, 0, "a value must be a text, number or boolean", it.field)
		case isNull(n):
			return d.invalidAt(n, 0, "null cannot be one of several values", it.field)
		case !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp"}, n.ShortTag()):
			return d.unsupportedAt(n, 0, "YAML tag", n.Tag)
		}
		v := value{source: n.Value}
		if c.typed == "fieldref" {
			it.kind = kindFieldRef
			ref, ok := parseText(n.Value).plain()
			if !ok || ref == "" || n.ShortTag() != "!!str" {
				return d.invalidAt(n, 0, "fieldref needs the name of a field", n.Value)
			}
			v.ref = ref
		} else {
			if it.field == "" && n.Value == "" {
				return d.invalidAt(n, 0, "empty keyword", "")
			}
			var err error
			if v.alternatives, err = d.matchers(c, it.field, n); err != nil {
				return err
			}
		}
		it.values = append(it.values, v)
	}
	return nil
}

// canonicalNumber returns the decimal form of a whole number in YAML, which may
// be written otherwise (0x10); empty when n is none.
func canonicalNumber(n *yaml.Node) string {
	if n.ShortTag() != "!!int" {
		return ""
	}
	var signed int64
	if n.Decode(&signed) == nil {
		return strconv.FormatInt(signed, 10)
	}
	var unsigned uint64
	if n.Decode(&unsigned) == nil {
		return strconv.FormatUint(unsigned, 10)
	}
	return ""
}

func numberOf(n *yaml.Node) (number, bool) {
	switch n.ShortTag() {
	case "!!int":
		return parseNumber(canonicalNumber(n))
	case "!!float":
		return parseNumber(n.Value)
	}
	return number{}, false
}
