package sigma

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const complete = `title: Service enumeration
id: 0b8f9e0c-5a25-4d4e-9a40-6f9c2f4a1c11
name: service_enumeration
related:
  - id: 5e2a0f38-2f0e-4f0c-8a3c-0d1f6b0a2d22
    type: derived
taxonomy: sigma
status: test
description: |
  Finds a listing of services.
license: Apache-2.0
author: A. Author, B. Author
references: [https://example.org/a, https://example.org/b]
date: 2024-05-06
modified: 2025-01-02
tags:
  - attack.discovery
  - attack.t1007
logsource:
  category: process_creation
  product: windows
  service: sysmon
  definition: Needs command lines
  channel: x
detection:
  selection:
    CommandLine|contains: query
  condition: selection
fields: [CommandLine]
falsepositives: [Administrators]
level: low
scope: [server]
rollcall:
  family: sc
  weight: 2
`

func TestParseReadsEveryKey(t *testing.T) {
	rules, errs := Parse([]byte(complete))
	if len(errs) > 0 || len(rules) != 1 {
		t.Fatalf("%d rules, errors %v", len(rules), errs)
	}
	r := rules[0]
	var custom struct {
		Family string
		Weight int
	}
	node := r.Custom["rollcall"]
	if err := node.Decode(&custom); err != nil || custom.Family != "sc" || custom.Weight != 2 {
		t.Errorf("custom key: %+v, %v", custom, err)
	}
	if n := r.LogSource.Custom["channel"]; n.Value != "x" {
		t.Errorf("custom key of the log source: %q", n.Value)
	}
	want := map[string]any{
		"title": "Service enumeration", "id": "0b8f9e0c-5a25-4d4e-9a40-6f9c2f4a1c11", "name": "service_enumeration",
		"related":  []Related{{"5e2a0f38-2f0e-4f0c-8a3c-0d1f6b0a2d22", "derived"}},
		"taxonomy": "sigma", "status": "test", "description": "Finds a listing of services.\n", "license": "Apache-2.0",
		"author": "A. Author, B. Author", "references": []string{"https://example.org/a", "https://example.org/b"},
		"date": "2024-05-06", "modified": "2025-01-02", "tags": []string{"attack.discovery", "attack.t1007"},
		"logsource": []string{"process_creation", "windows", "sysmon", "Needs command lines"},
		"fields":    []string{"CommandLine"}, "falsepositives": []string{"Administrators"}, "level": Low, "scope": []string{"server"},
	}
	l := r.LogSource
	got := map[string]any{
		"title": r.Title, "id": r.ID, "name": r.Name, "related": r.Related, "taxonomy": r.Taxonomy, "status": r.Status,
		"description": r.Description, "license": r.License, "author": r.Author, "references": r.References,
		"date": r.Date, "modified": r.Modified, "tags": r.Tags,
		"logsource": []string{l.Category, l.Product, l.Service, l.Definition},
		"fields":    r.Fields, "falsepositives": r.FalsePositives, "level": r.Level, "scope": r.Scope,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseDefaults(t *testing.T) {
	r := rule(t, one("A: x"))
	if r.Level != "" || r.Taxonomy != "sigma" || r.Custom != nil || r.Line != 1 {
		t.Errorf("level %q, taxonomy %q, custom %v, line %d", r.Level, r.Taxonomy, r.Custom, r.Line)
	}
}

func TestParseSeveralDocuments(t *testing.T) {
	data := "---\n" + ruleText(one("A: x")) + "---\n" + ruleText(one("A|nope: x")) + "---\n---\n" + ruleText(one("A: y")) + "...\n"
	rules, errs := Parse([]byte(data))
	if len(rules) != 2 {
		t.Fatalf("%d rules, errors %v", len(rules), errs)
	}
	if rules[0].Line != 2 || rules[1].Line != 17 {
		t.Errorf("rules on lines %d and %d, want 2 and 17", rules[0].Line, rules[1].Line)
	}
	var u *UnsupportedError
	if len(errs) != 1 || !errors.As(errs[0], &u) || u.Line != 13 || u.Column != 7 {
		t.Errorf("errors %v", errs)
	}
}

func TestParseRefuses(t *testing.T) {
	const rest = "logsource: {category: x}\ndetection: {s: {A: x}, condition: s}\n"
	tests := []struct {
		name string
		yaml string
		want string // the whole message
	}{
		// Features of Sigma that this package does not have.
		{"correlation rule", "title: x\ncorrelation:\n  type: event_count\n", "2:1: not supported: correlation rule"},
		{"filter rule", "title: x\nlogsource: {product: x}\nfilter: {rules: any}\n", "3:1: not supported: filter rule"},
		{"collection", "action: global\ntitle: x\n", "1:1: not supported: rule collection (action)"},
		{"taxonomy", "title: x\ntaxonomy: ecs\n" + rest, "2:11: not supported: taxonomy: ecs"},
		{"count", ruleText("s: {A: x}\ncondition: s | count() by B > 5"), "5:16: not supported: aggregation expression: | count"},
		{"near", ruleText("s: {A: x}\ncondition: s | near t"), "5:16: not supported: near"},
		{"timeframe", ruleText("s: {A: x}\ntimeframe: 5m\ncondition: s"), "5:3: not supported: timeframe"},
		{"unknown modifier", ruleText(one("A|contains|lower: x")), "5:16: not supported: modifier: lower"},
		{"unknown modifier of a quoted key", ruleText(one("'A|lower': x")), "5:8: not supported: modifier: lower"},
		{"modifier in capitals", ruleText(one("A|Contains: x")), "5:7: not supported: modifier: Contains"},
		{"time modifier", ruleText(one("A|hour: 5")), "5:7: not supported: time modifier: hour"},
		{"placeholder", ruleText(one("A|expand: '%x%'")), "5:15: not supported: placeholder: %x%"},
		{"look-around", ruleText(one("A|re: 'a(?=b)'")), "5:11: not supported: regular expression: error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
		{"back-reference", ruleText(one(`A|re: '(a)\1'`)), "5:11: not supported: regular expression: error parsing regexp: invalid escape sequence: `\\1`"},
		{"huge regular expression", ruleText(one(`A|re: '` + strings.Repeat("a{900}", 7) + "'")), "5:11: not supported: regular expression: larger than 5000 instructions"},
		{"too many variants", ruleText(one("A|windash|base64: '-a -b -c -d -e'")), "5:23: not supported: value with too many variants: -a -b -c -d -e"},
		{"quantifier", ruleText("a: {A: x}\ncondition: 2 of a*"), "5:14: not supported: condition quantifier: 2 of"},
		{"any of", ruleText("a: {A: x}\ncondition: any of a*"), "5:14: not supported: condition quantifier: any of"},
		{"condition word", ruleText("a: {A: x}\ncondition: a xor b"), "5:16: not supported: condition word: xor"},
		{"merge key", ruleText("a: &a {A: x}\nb:\n  <<: *a\ncondition: b"), "6:5: not supported: YAML merge key"},
		{"tag", ruleText(one("A: !!binary eA==")), "5:8: not supported: YAML tag: !!binary"},

		// Rules that the specification does not allow.
		{"nothing", "", "no rule in file"},
		{"only comments", "# nothing\n---\n", "no rule in file"},
		{"not YAML", "title: [x\n", "1: invalid YAML: did not find expected ',' or ']'"},
		{"a list", "- title: x\n", "1:1: a mapping is needed: rule"},
		{"no title", rest, "1:1: mandatory key missing: title"},
		{"empty title", "title: ''\n" + rest, "1:8: mandatory key missing: title"},
		{"long title", "title: " + strings.Repeat("x", 257) + "\n" + rest, "1:8: text too long: title"},
		{"title is a list", "title: [x]\n" + rest, "1:8: a text is needed: title"},
		{"no log source", "title: x\ndetection: {s: {A: x}, condition: s}\n", "1:1: mandatory key missing: logsource"},
		{"empty log source", "title: x\nlogsource: {definition: y}\ndetection: {s: {A: x}, condition: s}\n", "2:12: logsource names no category, product or service"},
		{"no detection", "title: x\nlogsource: {product: y}\n", "1:1: mandatory key missing: detection"},
		{"key twice", "title: x\ntitle: y\n" + rest, "2:1: key given twice: title"},
		{"field twice", ruleText("s:\n  A: x\n  A: y\ncondition: s"), "6:5: key given twice: A"},
		{"level", "title: x\nlevel: urgent\n" + rest, "2:8: unknown level: urgent"},
		{"status", "title: x\nstatus: new\n" + rest, "2:9: unknown status: new"},
		{"related type", "title: x\nrelated: [{id: a, type: twin}]\n" + rest, "2:25: unknown related type: twin"},
		{"related without id", "title: x\nrelated: [{type: similar}]\n" + rest, "2:11: related needs id and type"},
		{"tags are no list", "title: x\ntags: attack.t1007\n" + rest, "2:7: a list is needed: tags"},

		{"no condition", ruleText("s: {A: x}"), "4:3: mandatory key missing: condition"},
		{"empty condition", ruleText("s: {A: x}\ncondition: ''"), "5:14: empty condition"},
		{"empty list of conditions", ruleText("s: {A: x}\ncondition: []"), "5:14: empty condition"},
		{"condition is a mapping", ruleText("s: {A: x}\ncondition: {a: b}"), "5:14: a text is needed: condition"},
		{"undefined identifier", ruleText("s: {A: x}\ncondition: s and t"), "5:20: undefined search identifier: t"},
		{"undefined pattern", ruleText("s: {A: x}\ncondition: s and not 1 of t*"), "5:29: undefined search identifier: t*"},
		{"only underscores", ruleText("_s: {A: x}\ncondition: 1 of them"), "5:19: undefined search identifier: them"},
		{"pattern without quantifier", ruleText("s1: {A: x}\ncondition: s*"), "5:14: pattern in condition without 1 of or all of: s*"},
		{"open parenthesis", ruleText("s: {A: x}\ncondition: (s"), "5:16: missing parenthesis in condition"},
		{"closing parenthesis", ruleText("s: {A: x}\ncondition: s)"), "5:15: unexpected word in condition: )"},
		{"operator at the end", ruleText("s: {A: x}\ncondition: s and"), "5:19: condition ends early"},
		{"operator at the beginning", ruleText("s: {A: x}\ncondition: or s"), "5:14: unexpected word in condition: or"},
		{"no operator", ruleText("s: {A: x}\nt: {A: y}\ncondition: s t"), "6:16: unexpected word in condition: t"},
		{"of nothing", ruleText("s: {A: x}\ncondition: 1 of"), "5:18: search identifier or pattern expected in condition"},
		{"in the second condition", ruleText("s: {A: x}\ncondition:\n  - s\n  - t"), "7:7: undefined search identifier: t"},
		{"deep parentheses", ruleText("s: {A: x}\ncondition: " + strings.Repeat("(", 65) + "s" + strings.Repeat(")", 65)), "5:78: condition nested too deep"},

		{"operator as a name", ruleText("not: {A: x}\ncondition: not"), "4:3: unusable name of a search identifier: not"},
		{"modifier of an identifier", ruleText("s|contains: {A: x}\ncondition: s"), "4:3: unusable name of a search identifier: s|contains"},
		{"scalar as identifier", ruleText("s: x\ncondition: s"), "4:6: a search identifier is a mapping or a list: s"},
		{"empty map", ruleText("s: {}\ncondition: s"), "4:6: empty search identifier: s"},
		{"empty list", ruleText("s: []\ncondition: s"), "4:6: empty search identifier: s"},
		{"list in a list", ruleText("s: [[x]]\ncondition: s"), "4:7: a mapping is needed: s"},
		{"empty values", ruleText(one("A: []")), "5:8: empty list of values: A"},
		{"map as value", ruleText(one("A: {B: x}")), "5:8: a value must be a text, number or boolean: A"},
		{"null in a list", ruleText(one("A: ['', null]")), "5:13: null cannot be one of several values: A"},
		{"null with a modifier", ruleText(one("A|contains: null")), "5:17: null cannot be modified: A|contains"},
		{"null keyword", ruleText("k: [null]\ncondition: k"), "4:7: null cannot be one of several values"},
		{"empty keyword", ruleText("k: ['']\ncondition: k"), "4:7: empty keyword"},
		{"empty field", ruleText(one("'': x")), "5:5: empty field name"},

		{"all with one value", ruleText(one("A|contains|all: x")), "5:21: all needs several values: A|contains|all"},
		{"all with a list of one", ruleText(one("A|contains|all: [x]")), "5:21: all needs several values: A|contains|all"},
		{"modifier twice", ruleText(one("A|contains|contains: x")), "5:16: modifier given twice: contains"},
		{"two places", ruleText(one("A|contains|endswith: x")), "5:16: modifier cannot follow contains: endswith"},
		{"empty modifier", ruleText(one("A|: x")), "5:7: empty modifier"},
		{"base64 after contains", ruleText(one("A|contains|base64: x")), "5:16: modifier must stand before contains: base64"},
		{"windash after base64", ruleText(one("A|base64|windash: x")), "5:14: modifier must stand before the encoding: windash"},
		{"wide after base64", ruleText(one("A|base64|wide: x")), "5:14: modifier must stand before other encodings: wide"},
		{"base64 of a wildcard", ruleText(one("A|base64: 'x*'")), "5:15: base64 of a wildcard: x*"},
		{"base64offset of too little", ruleText(one("A|base64offset|contains: x")), "5:30: value too short for base64offset: x"},
		{"base64 of a number", ruleText(one("A|base64: 5")), "5:15: base64 needs a text: 5"},
		{"re after contains", ruleText(one("A|contains|re: x")), "5:16: modifier needs an unmodified value: re"},
		{"contains after re", ruleText(one("A|re|contains: x")), "5:5: modifiers cannot be combined: re and contains"},
		{"cased re", ruleText(one("A|re|cased: x")), "5:5: modifiers cannot be combined: re and cased"},
		{"i without re", ruleText(one("A|i: x")), "5:7: modifier must follow re: i"},
		{"re of a number", ruleText(one("A|re: 5")), "5:11: re needs a text: 5"},
		{"cidr after windash", ruleText(one("A|windash|cidr: 10.0.0.0/8")), "5:15: modifier needs an unmodified value: cidr"},
		{"cidr of a name", ruleText(one("A|cidr: localhost")), "5:13: cidr needs an address range: localhost"},
		{"cidr with host bits", ruleText(one("A|cidr: 10.0.0.1/8")), "5:13: cidr needs an address range: 10.0.0.1/8"},
		{"gt of a text", ruleText(one("A|gt: '5'")), "5:11: gt needs a number: 5"},
		{"gt and lt", ruleText(one("A|gt|lt: 5")), "5:10: modifier needs an unmodified value: lt"},
		{"exists of a text", ruleText(one("A|exists: 'true'")), "5:15: exists needs true or false: A|exists"},
		{"exists all", ruleText(one("A|exists|all: [true, false]")), "5:5: modifiers cannot be combined: exists and all"},
		{"exists neq", ruleText(one("A|exists|neq: true")), "5:5: modifiers cannot be combined: exists and neq"},
		{"contains before fieldref", ruleText(one("A|contains|fieldref: B")), "5:16: modifier needs an unmodified value: fieldref"},
		{"fieldref with a wildcard", ruleText(one("A|fieldref: 'B*'")), "5:17: fieldref needs the name of a field: B*"},
		{"keyword exists", ruleText(one("'|exists': true")), "5:5: modifier needs a field: exists"},
		{"keyword startswith", ruleText(one("'|startswith': x")), "5:5: modifier needs a field: startswith"},
		{"keyword neq", ruleText(one("'|neq': x")), "5:5: modifier needs a field: neq"},

		{"too deep", "title: x\n" + rest + "extra: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), "4:71: YAML too large or nested too deep"},
		{"too large a file", strings.Repeat("#", MaxFile+1), "file too large: 1048577 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules, errs := Parse([]byte(tt.yaml))
			if len(rules) != 0 || len(errs) != 1 {
				t.Fatalf("%d rules, errors %v", len(rules), errs)
			}
			if got := errs[0].Error(); got != tt.want {
				t.Errorf("error\n%s\nwant\n%s\nin\n%s", got, tt.want, clip(tt.yaml))
			}
			var invalid *InvalidError
			var unsupported *UnsupportedError
			if errors.As(errs[0], &unsupported) != strings.Contains(tt.want, "not supported") ||
				errors.As(errs[0], &unsupported) == errors.As(errs[0], &invalid) {
				t.Errorf("error is a %T", errs[0])
			}
		})
	}
}

func TestParseRefusesAliasBombs(t *testing.T) {
	var b strings.Builder
	b.WriteString("title: x\nlogsource: {product: y}\ndetection: {s: {A: x}, condition: s}\na: &a [x, x, x, x, x, x, x, x, x]\n")
	for c := 'b'; c <= 'i'; c++ {
		b.WriteString(string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+", ", 9) + "]\n")
	}
	for name, data := range map[string]string{
		"bomb":  b.String(),
		"cycle": "title: x\nlogsource: {product: y}\ndetection: {s: {A: x}, condition: s}\nextra: &a [*a]\n",
	} {
		_, errs := Parse([]byte(data))
		var invalid *InvalidError
		if len(errs) != 1 || !errors.As(errs[0], &invalid) || invalid.Reason != "YAML too large or nested too deep" {
			t.Errorf("%s: errors %v", name, errs)
		}
	}
}

func TestRegexBudgetIsPerFile(t *testing.T) {
	one := ruleText(one("A|re: '" + strings.Repeat("a{900}", 5) + "'"))
	_, errs := Parse([]byte(strings.Repeat("---\n"+one, 50)))
	if len(errs) != 6 { // 44 of 4,506 instructions fit into 200,000
		t.Errorf("%d errors", len(errs))
	}
}

func TestTaxonomyCanBeAllowed(t *testing.T) {
	data := []byte("title: x\ntaxonomy: ecs\nlogsource: {product: y}\ndetection: {s: {A: x}, condition: s}\n")
	if rules, errs := Parse(data, WithTaxonomies("other", "ecs")); len(rules) != 1 || rules[0].Taxonomy != "ecs" {
		t.Errorf("%d rules, errors %v", len(rules), errs)
	}
}

func TestQuotationsAreClipped(t *testing.T) {
	_, errs := Parse([]byte(ruleText(one("A|cidr: " + strings.Repeat("ä", 5000)))))
	if len(errs) != 1 || len(errs[0].Error()) > 300 {
		t.Errorf("%d errors, the first of %d bytes", len(errs), len(errs[0].Error()))
	}
}
