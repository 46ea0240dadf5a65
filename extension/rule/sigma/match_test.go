package sigma

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// event is an Event of a test: the values of its fields, and "message" as what
// keywords are searched in.
type event map[string][]string

func (e event) Values(field string) ([]string, bool) {
	v, ok := e[field]
	return v, ok
}

func (e event) Keywords() []string { return e["message"] }

// mute is an event without keywords.
type mute struct{ fields event }

func (m mute) Values(field string) ([]string, bool) { return m.fields.Values(field) }

// command is an event with a command line.
func command(line string) event { return event{"CommandLine": {line}} }

// rule makes a rule of the text of its detection section.
func rule(tb testing.TB, detection string, opts ...Option) *Rule {
	tb.Helper()
	rules, errs := Parse([]byte(ruleText(detection)), opts...)
	if len(errs) > 0 || len(rules) != 1 {
		tb.Fatalf("Parse: %d rules, errors %v, in\n%s", len(rules), errs, detection)
	}
	return rules[0]
}

// ruleText makes a rule whose detection section begins on line 4, indented by two.
func ruleText(detection string) string {
	var b strings.Builder
	b.WriteString("title: Test\nlogsource: {category: process_creation}\ndetection:\n")
	for line := range strings.Lines(strings.TrimRight(detection, "\n")) {
		b.WriteString("  " + line)
	}
	b.WriteString("\n")
	return b.String()
}

// one makes a detection with one line in one selection.
func one(line string) string { return "s:\n  " + line + "\ncondition: s" }

func TestMatch(t *testing.T) {
	tests := []struct {
		name      string
		detection string
		event     event
		want      bool
	}{
		// Values: whole, ignoring case.
		{"equal", one(`A: value`), event{"A": {"value"}}, true},
		{"equal in other case", one(`A: VaLuE`), event{"A": {"vAlUe"}}, true},
		{"part is not equal", one(`A: value`), event{"A": {"values"}}, false},
		{"other value", one(`A: value`), event{"A": {"other"}}, false},
		{"no field", one(`A: value`), event{"B": {"value"}}, false},
		{"field without values", one(`A: value`), event{"A": {}}, false},
		{"field names are exact", one(`a: value`), event{"A": {"value"}}, false},
		{"one of several event values", one(`A: value`), event{"A": {"x", "value"}}, true},
		{"case beyond ASCII", one(`A: ÄRGER`), event{"A": {"ärger"}}, true},
		{"case of Greek with final sigma", one(`A: ΟΔΟΣ`), event{"A": {"οδος"}}, true},
		{"case of Cyrillic", one(`A|contains: служба`), event{"A": {"Windows СЛУЖБА 1"}}, true},
		{"different letters beyond ASCII", one(`A: ä`), event{"A": {"ö"}}, false},
		{"long s is not s", one(`A: service`), event{"A": {"\u017Fervice"}}, false},
		{"kelvin sign is not k", one(`A: kill`), event{"A": {"\u212Aill"}}, false},
		{"integer", one(`EventID: 4688`), event{"EventID": {"4688"}}, true},
		{"integer is no prefix", one(`EventID: 4688`), event{"EventID": {"46880"}}, false},
		{"integer in hexadecimal, decimal event", one(`A: 0x1F`), event{"A": {"31"}}, true},
		{"integer in hexadecimal, as written", one(`A: 0x1F`), event{"A": {"0x1f"}}, true},
		{"negative integer", one(`A: -5`), event{"A": {"-5"}}, true},
		{"float", one(`A: 1.5`), event{"A": {"1.5"}}, true},
		{"boolean", one(`A: true`), event{"A": {"True"}}, true},
		{"boolean of another kind", one(`A: false`), event{"A": {"true"}}, false},
		{"yes is a text", one(`A: yes`), event{"A": {"YES"}}, true},
		{"date is a text", one(`A: 2024-01-31`), event{"A": {"2024-01-31"}}, true},
		{"empty", one(`A: ''`), event{"A": {""}}, true},
		{"empty is not absent", one(`A: ''`), event{}, false},
		{"empty is not a blank", one(`A: ''`), event{"A": {" "}}, false},
		{"null of an absent field", one(`A: null`), event{}, true},
		{"null of a field without values", one(`A: null`), event{"A": {}}, true},
		{"null is not empty", one(`A: null`), event{"A": {""}}, false},
		{"null written as a tilde", one(`A: ~`), event{}, true},
		{"null written as nothing", one(`A:`), event{"A": {"x"}}, false},
		{"quoted null is a text", one(`A: 'null'`), event{}, false},
		{"not null", "s: {A: null}\ncondition: not s", event{"A": {"x"}}, true},

		// Wildcards and escapes.
		{"star at the end", one(`A: 'C:\Temp*'`), event{"A": {`c:\temp\x.exe`}}, true},
		{"star alone matches the empty value", one(`A: '*'`), event{"A": {""}}, true},
		{"star alone needs the field", one(`A: '*'`), event{}, false},
		{"star in the middle", one(`A: 'sc*query'`), event{"A": {"sc.exe  query"}}, true},
		{"star matches nothing too", one(`A: 'a*b'`), event{"A": {"ab"}}, true},
		{"star crosses lines", one(`A: 'a*b'`), event{"A": {"a\nb"}}, true},
		{"parts of a pattern do not overlap", one(`A: 'aba*ba'`), event{"A": {"aba"}}, false},
		{"middle part before the end", one(`A: 'a*bc*c'`), event{"A": {"abc"}}, false},
		{"parts in order", one(`A: '*one*two*'`), event{"A": {"two one"}}, false},
		{"question mark", one(`A: 'prog?.exe'`), event{"A": {"progA.exe"}}, true},
		{"question mark needs a character", one(`A: 'prog?.exe'`), event{"A": {"prog.exe"}}, false},
		{"question mark is one character", one(`A: 'prog?.exe'`), event{"A": {"progAB.exe"}}, false},
		{"question mark and a long character", one(`A: 'a?c'`), event{"A": {"a€c"}}, true},
		{"question mark and a stray byte", one(`A: 'a?c'`), event{"A": {"a\xffc"}}, true},
		{"question mark at the end", one(`A: '*.ex?'`), event{"A": {"a.exe"}}, true},
		{"question marks in the middle", one(`A: '*a??b*'`), event{"A": {"xxa12byy"}}, true},
		{"escaped star", one(`A: 'a\*b'`), event{"A": {"a*b"}}, true},
		{"escaped star is no wildcard", one(`A: 'a\*b'`), event{"A": {"axb"}}, false},
		{"escaped question mark", one(`A: 'a\?b'`), event{"A": {"a?b"}}, true},
		{"escaped question mark is no wildcard", one(`A: 'a\?b'`), event{"A": {"axb"}}, false},
		{"backslash before a star", one(`A: 'a\\*'`), event{"A": {`a\b`}}, true},
		{"backslash before a star needs the backslash", one(`A: 'a\\*'`), event{"A": {"a*"}}, false},
		{"three backslashes and a star", one(`A: 'a\\\*'`), event{"A": {`a\*`}}, true},
		{"three backslashes and a star are no wildcard", one(`A: 'a\\\*'`), event{"A": {`a\x`}}, false},
		{"single backslash", one(`A: 'a\b'`), event{"A": {`a\b`}}, true},
		{"double backslash is one", one(`A: 'a\\b'`), event{"A": {`a\b`}}, true},
		{"double backslash is not two", one(`A: 'a\\b'`), event{"A": {`a\\b`}}, false},
		{"three backslashes are two", one(`A: 'a\\\b'`), event{"A": {`a\\b`}}, true},
		{"four backslashes are two", one(`A: 'a\\\\b'`), event{"A": {`a\\b`}}, true},
		{"backslash at the end", one(`A: 'a\'`), event{"A": {`a\`}}, true},

		// Lists and maps.
		{"list of values", one(`A: [x, y]`), event{"A": {"y"}}, true},
		{"none of a list", one(`A: [x, y]`), event{"A": {"z"}}, false},
		{"map needs all fields", one(`{A: x, B: y}`), event{"A": {"x"}, "B": {"z"}}, false},
		{"map has all fields", one(`{A: x, B: y}`), event{"A": {"x"}, "B": {"y"}}, true},
		{"list of maps", "s: [{A: x}, {B: y}]\ncondition: s", event{"B": {"y"}}, true},
		{"none of a list of maps", "s: [{A: x}, {B: y}]\ncondition: s", event{"A": {"y"}, "B": {"x"}}, false},
		{"alias", "a: &v {A: x}\nb: *v\ncondition: b", event{"A": {"x"}}, true},

		// Keywords.
		{"keyword", "k: [evilservice]\ncondition: k", event{"message": {"the EvilService started"}}, true},
		{"second keyword", "k: [one, two]\ncondition: k", event{"message": {"number two"}}, true},
		{"no keyword", "k: [one, two]\ncondition: k", event{"message": {"three"}}, false},
		{"keyword with a wildcard", "k: ['a*z']\ncondition: k", event{"message": {"--abcz--"}}, true},
		{"number as keyword", "k: [4688]\ncondition: k", event{"message": {"id 4688 new"}}, true},
		{"all keywords", "k:\n  '|all': [one, two]\ncondition: k", event{"message": {"two", "one"}}, true},
		{"not all keywords", "k:\n  '|all': [one, two]\ncondition: k", event{"message": {"one"}}, false},
		{"keyword as regular expression", "k:\n  '|re': 'a[0-9]b'\ncondition: k", event{"message": {"xa5b"}}, true},
		{"keywords and maps in a list", "k: [word, {A: x}]\ncondition: k", event{"A": {"x"}}, true},

		// Generic modifiers.
		{"contains", one(`A|contains: query`), event{"A": {"sc QUERY x"}}, true},
		{"contains at the ends", one(`A|contains: query`), event{"A": {"query"}}, true},
		{"contains not", one(`A|contains: query`), event{"A": {"sc qc"}}, false},
		{"contains with wildcards", one(`A|contains: 'a*c'`), event{"A": {"xabcx"}}, true},
		{"contains a number", one(`A|contains: 468`), event{"A": {"4688"}}, true},
		{"contains in the second value", one(`A|contains: x`), event{"A": {"a", "bxb"}}, true},
		{"startswith", one(`A|startswith: adm`), event{"A": {"Administrator"}}, true},
		{"startswith not later", one(`A|startswith: adm`), event{"A": {"x adm"}}, false},
		{"endswith", one(`A|endswith: '\sc.exe'`), event{"A": {`C:\Windows\SC.EXE`}}, true},
		{"endswith not before", one(`A|endswith: '\sc.exe'`), event{"A": {`C:\sc.exe.txt`}}, false},
		{"endswith longer than the value", one(`A|endswith: '\sc.exe'`), event{"A": {`sc.exe`}}, false},
		{"endswith beyond ASCII", one(`A|endswith: 'dienstÄ'`), event{"A": {"x Dienstä"}}, true},
		{"contains all", one(`A|contains|all: [one, two]`), event{"A": {"two and one"}}, true},
		{"contains all in several values", one(`A|contains|all: [one, two]`), event{"A": {"xonex", "xtwox"}}, true},
		{"contains not all", one(`A|contains|all: [one, two]`), event{"A": {"one"}}, false},
		{"all before contains", one(`A|all|contains: [one, two]`), event{"A": {"two and one"}}, true},
		{"all whole values", one(`A|all: [x, y]`), event{"A": {"y", "x"}}, true},
		{"cased", one(`A|cased: Value`), event{"A": {"Value"}}, true},
		{"cased in other case", one(`A|cased: Value`), event{"A": {"value"}}, false},
		{"contains cased", one(`A|contains|cased: Foo`), event{"A": {"xFoox"}}, true},
		{"contains cased in other case", one(`A|contains|cased: Foo`), event{"A": {"xfoox"}}, false},
		{"cased beyond ASCII", one(`A|cased|startswith: Ä`), event{"A": {"äb"}}, false},
		{"exists", one(`A|exists: true`), event{"A": {"x"}}, true},
		{"exists without values", one(`A|exists: true`), event{"A": {}}, true},
		{"exists not", one(`A|exists: true`), event{"B": {"x"}}, false},
		{"does not exist", one(`A|exists: false`), event{"B": {"x"}}, true},
		{"does not exist but does", one(`A|exists: false`), event{"A": {""}}, false},
		{"neq", one(`A|neq: x`), event{"A": {"y"}}, true},
		{"neq but equal", one(`A|neq: x`), event{"A": {"X"}}, false},
		{"neq with a list", one(`A|neq: [x, y]`), event{"A": {"y"}}, false},
		{"neq number", one(`A|neq: 5`), event{"A": {"6"}}, true},
		{"neq of an absent field", one(`A|neq: x`), event{}, true},
		{"neq null", one(`A|neq: null`), event{"A": {"x"}}, true},
		{"neq contains", one(`A|contains|neq: x`), event{"A": {"axb"}}, false},

		// Regular expressions.
		{"re", one(`A|re: 'sc\s+query'`), event{"A": {"cmd /c sc  query"}}, true},
		{"re is cased", one(`A|re: query`), event{"A": {"QUERY"}}, false},
		{"re with i", one(`A|re|i: query`), event{"A": {"QUERY"}}, true},
		{"re without m", one(`A|re: '^b'`), event{"A": {"a\nb"}}, false},
		{"re with m", one(`A|re|m: '^b$'`), event{"A": {"a\nb\nc"}}, true},
		{"re without s", one(`A|re: 'a.b'`), event{"A": {"a\nb"}}, false},
		{"re with s", one(`A|re|s: 'a.b'`), event{"A": {"a\nb"}}, true},
		{"re with i, m and s", one(`A|re|i|m|s: '^B.C$'`), event{"A": {"a\nb\nc\nd"}}, true},
		{"re has no wildcards", one(`A|re: 'a*b'`), event{"A": {"axb"}}, true},
		{"re anchored", one(`A|re: '^a{2,3}$'`), event{"A": {"aaaa"}}, false},
		{"re dollar before a final newline", one(`A|re: 'query$'`), event{"A": {"sc query\n"}}, true},
		{"re dollar before two newlines", one(`A|re: 'query$'`), event{"A": {"sc query\n\n"}}, false},
		{"re list", one(`A|re: ['^x', '^y']`), event{"A": {"yes"}}, true},
		{"re all", one(`A|re|all: ['x', 'y']`), event{"A": {"x"}}, false},
		{"re neq", one(`A|re|neq: 'x'`), event{"A": {"abc"}}, true},
		{"re with inline flag", one(`A|re: '(?i)query'`), event{"A": {"Query"}}, true},

		// Encodings. "sc query" in Base64 is c2MgcXVlcnk=.
		{"base64", one(`A|base64: 'sc query'`), event{"A": {"c2MgcXVlcnk="}}, true},
		{"base64 contains", one(`A|base64|contains: 'sc query'`), event{"A": {"-e c2MgcXVlcnk= x"}}, true},
		{"base64offset 0", one(`A|base64offset|contains: 'sc query'`), event{"A": {b64("sc query; more")}}, true},
		{"base64offset 1", one(`A|base64offset|contains: 'sc query'`), event{"A": {b64("1sc query; more")}}, true},
		{"base64offset 2", one(`A|base64offset|contains: 'sc query'`), event{"A": {b64("12sc query; more")}}, true},
		{"base64offset elsewhere", one(`A|base64offset|contains: 'sc query'`), event{"A": {b64("123sc config")}}, false},
		{"base64offset all", one(`A|base64offset|contains|all: [query, start]`), event{"A": {b64("query 1 start")}}, true},
		{"base64offset not all", one(`A|base64offset|contains|all: [query, start]`), event{"A": {b64("query 1 stop")}}, false},
		{"base64 of an escape", one(`A|base64: 'a\*'`), event{"A": {b64("a*")}}, true},
		{"utf16le base64", one(`A|utf16le|base64|contains: cmd`), event{"A": {b64("c\x00m\x00d\x00")}}, true},
		{"wide base64offset", one(`A|wide|base64offset|contains: cmd`), event{"A": {b64("x\x00c\x00m\x00d\x00x\x00")}}, true},
		{"utf16be base64", one(`A|utf16be|base64: cmd`), event{"A": {b64("\x00c\x00m\x00d")}}, true},
		{"utf16 base64 has a byte order mark", one(`A|utf16|base64: cmd`), event{"A": {b64("\xff\xfec\x00m\x00d\x00")}}, true},
		{"wide as it is", one(`A|wide|contains: cmd`), event{"A": {"..c\x00M\x00d\x00.."}}, true},
		{"utf16 as it is", one(`A|utf16|startswith: é`), event{"A": {"\xff\xfe\xe9\x00x\x00"}}, true},
		{"wide beyond the basic plane", one(`A|wide|base64: '😀'`), event{"A": {b64("\x3d\xd8\x00\xde")}}, true},

		// windash.
		{"windash as written", one(`A|contains|windash: ' -all'`), event{"A": {"ipconfig -all"}}, true},
		{"windash slash", one(`A|contains|windash: ' -all'`), event{"A": {"ipconfig /ALL"}}, true},
		{"windash en dash", one(`A|contains|windash: ' -all'`), event{"A": {"ipconfig –all"}}, true},
		{"windash em dash", one(`A|contains|windash: ' -all'`), event{"A": {"ipconfig —all"}}, true},
		{"windash horizontal bar", one(`A|contains|windash: ' -all'`), event{"A": {"ipconfig ―all"}}, true},
		{"windash from a slash", one(`A|windash|contains: ' /svc'`), event{"A": {"tasklist -svc"}}, true},
		{"windash from an em dash", one(`A|windash|contains: ' —svc'`), event{"A": {"tasklist /svc"}}, true},
		{"windash mixed", one(`A|contains|windash: '-a -b'`), event{"A": {"x /a –b"}}, true},
		{"windash no other", one(`A|contains|windash: ' -all'`), event{"A": {"ipconfig +all"}}, false},
		{"windash not a figure dash", one(`A|contains|windash: ' -all'`), event{"A": {"ipconfig \u2012all"}}, false},
		{"windash endswith", one(`A|endswith|windash: ' -svc'`), event{"A": {"tasklist —SVC"}}, true},
		{"windash all", one(`A|contains|all|windash: [' -a', ' -b']`), event{"A": {"x /a —b"}}, true},
		{"windash base64offset", one(`A|windash|base64offset|contains: ' -svc'`), event{"A": {b64("tasklist /svc ")}}, true},

		// Numbers.
		{"gt", one(`A|gt: 5`), event{"A": {"6"}}, true},
		{"gt equal", one(`A|gt: 5`), event{"A": {"5"}}, false},
		{"gte equal", one(`A|gte: 5`), event{"A": {"5"}}, true},
		{"lt", one(`A|lt: 5`), event{"A": {"4.9"}}, true},
		{"lt greater", one(`A|lt: 5`), event{"A": {"10"}}, false},
		{"lte", one(`A|lte: 2.5`), event{"A": {"2.5"}}, true},
		{"negative", one(`A|lt: 0`), event{"A": {"-1"}}, true},
		{"no number", one(`A|lt: 5`), event{"A": {"four"}}, false},
		{"empty is no number", one(`A|lt: 5`), event{"A": {""}}, false},
		{"hexadecimal event", one(`A|gte: 996`), event{"A": {"0x3e7"}}, true},
		{"large numbers are exact", one(`A|gt: 9007199254740993`), event{"A": {"9007199254740992"}}, false},
		{"infinity is no number", one(`A|gt: 5`), event{"A": {"inf"}}, false},
		{"number in exponents", one(`A|gt: 5`), event{"A": {"1e3"}}, true},

		// Networks.
		{"cidr v4", one(`A|cidr: 10.0.0.0/8`), event{"A": {"10.1.2.3"}}, true},
		{"cidr v4 outside", one(`A|cidr: 10.0.0.0/8`), event{"A": {"11.1.2.3"}}, false},
		{"cidr list", one(`A|cidr: [127.0.0.0/8, '::1/128']`), event{"A": {"::1"}}, true},
		{"cidr v6", one(`A|cidr: 'fe80::/10'`), event{"A": {"FE80::1"}}, true},
		{"cidr v6 with zone", one(`A|cidr: 'fe80::/10'`), event{"A": {"fe80::1%eth0"}}, true},
		{"cidr v6 outside", one(`A|cidr: 'fe80::/10'`), event{"A": {"2001:db8::1"}}, false},
		{"cidr of a mapped address", one(`A|cidr: 192.168.0.0/16`), event{"A": {"::ffff:192.168.1.1"}}, true},
		{"cidr v6 of a mapped address", one(`A|cidr: '::ffff:0:0/96'`), event{"A": {"::ffff:192.168.1.1"}}, true},
		{"cidr no address", one(`A|cidr: 10.0.0.0/8`), event{"A": {"10.1.2"}}, false},
		{"cidr of one address", one(`A|cidr: 10.1.2.3`), event{"A": {"10.1.2.3"}}, true},

		// References to fields.
		{"fieldref", one(`A|fieldref: B`), event{"A": {"x"}, "B": {"X"}}, true},
		{"fieldref different", one(`A|fieldref: B`), event{"A": {"x"}, "B": {"xy"}}, false},
		{"fieldref absent", one(`A|fieldref: B`), event{"A": {"x"}}, false},
		{"fieldref several values", one(`A|fieldref: B`), event{"A": {"x", "y"}, "B": {"z", "y"}}, true},
		{"fieldref list", one(`A|fieldref: [B, C]`), event{"A": {"x"}, "B": {"y"}, "C": {"x"}}, true},
		{"fieldref all", one(`A|fieldref|all: [B, C]`), event{"A": {"x"}, "B": {"y"}, "C": {"x"}}, false},
		{"fieldref startswith", one(`A|fieldref|startswith: B`), event{"A": {"Xyz"}, "B": {"xy"}}, true},
		{"fieldref endswith", one(`A|fieldref|endswith: B`), event{"A": {"xÄ"}, "B": {"ä"}}, true},
		{"fieldref endswith not", one(`A|fieldref|endswith: B`), event{"A": {"xyz"}, "B": {"xy"}}, false},
		{"fieldref contains", one(`A|fieldref|contains: B`), event{"A": {"a XY b"}, "B": {"xy"}}, true},
		{"fieldref contains not", one(`A|fieldref|contains: B`), event{"A": {"a xz b"}, "B": {"xy"}}, false},
		{"fieldref cased", one(`A|fieldref|cased: B`), event{"A": {"x"}, "B": {"X"}}, false},
		{"fieldref neq", one(`A|fieldref|neq: B`), event{"A": {"x"}, "B": {"y"}}, true},

		// Percent signs mean nothing without expand.
		{"percent", one(`A: '%name%'`), event{"A": {"%NAME%"}}, true},

		// Conditions: a and b hold, c does not.
		{"or", abc(`c or a`), ab, true},
		{"and", abc(`a and c`), ab, false},
		{"and binds closer than or", abc(`a or b and c`), ab, true},
		{"and binds closer than or, left", abc(`c and b or a`), ab, true},
		{"parentheses", abc(`(a or b) and c`), ab, false},
		{"nested parentheses", abc(`((a) and (not (c)))`), ab, true},
		{"not", abc(`not c`), ab, true},
		{"not binds closer than and", abc(`not c and a`), ab, true},
		{"not of parentheses", abc(`not (a and b)`), ab, false},
		{"not not", abc(`not not a`), ab, true},
		{"1 of them", abc(`1 of them`), ab, true},
		{"all of them", abc(`all of them`), ab, false},
		{"not all of them", abc(`not all of them`), ab, true},
		{"and not 1 of", "sel_x: {A: x}\nfil_x: {A: y}\nfil_z: {A: z}\ncondition: sel_x and not 1 of fil_*", event{"A": {"x"}}, true},
		{"1 of pattern", "sel_x: {A: x}\nsel_y: {A: y}\nother: {A: z}\ncondition: 1 of sel_*", event{"A": {"y"}}, true},
		{"1 of pattern is not all identifiers", "sel_x: {A: x}\nother: {A: z}\ncondition: 1 of sel_*", event{"A": {"z"}}, false},
		{"all of pattern", "sel_x: {A: x}\nsel_y: {B: y}\ncondition: all of sel*", event{"A": {"x"}}, false},
		{"all of pattern holds", "sel_x: {A: x}\nsel_y: {B: y}\ncondition: all of sel*", event{"A": {"x"}, "B": {"y"}}, true},
		{"star before the name", "x_sel: {A: x}\ny_fil: {A: y}\ncondition: 1 of *_fil", event{"A": {"y"}}, true},
		{"stars inside the name", "a_mid_z: {A: x}\na_z: {A: y}\ncondition: 1 of a*mid*z", event{"A": {"y"}}, false},
		{"of a plain name", "sel: {A: x}\nsel_y: {A: y}\ncondition: 1 of sel", event{"A": {"y"}}, false},
		{"them leaves out underscores", "_s: {A: x}\nt: {A: y}\ncondition: 1 of them", event{"A": {"x"}}, false},
		{"patterns leave out underscores", "_s: {A: x}\nt: {A: y}\ncondition: all of *", event{"A": {"y"}}, true},
		{"underscore by name", "_s: {A: x}\ncondition: _s", event{"A": {"x"}}, true},
		{"underscore by pattern", "_s: {A: x}\ncondition: 1 of _s*", event{"A": {"x"}}, true},
		{"list of conditions", "a: {A: x}\nb: {B: y}\ncondition: [a, b]", event{"B": {"y"}}, true},
		{"none of a list of conditions", "a: {A: x}\nb: {B: y}\ncondition: [a, b]", event{"B": {"x"}}, false},
		{"capital operators", abc(`a AND NOT c`), ab, true},
		{"over several lines", "a: {A: x}\nb: {B: y}\ncondition: |\n  a\n  and b", event{"A": {"x"}, "B": {"y"}}, true},
		{"hyphen in a name", "sel-1: {A: x}\ncondition: sel-1", event{"A": {"x"}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rule(t, tt.detection)
			m, got := r.Match(tt.event)
			if got != tt.want {
				t.Fatalf("Match = %v, want %v\nevent %q\n%s", got, tt.want, tt.event, tt.detection)
			}
			if !got && m.Evidence() != nil {
				t.Error("evidence without a match")
			}
			checkNeeds(t, r, tt.event)
		})
	}
}

func abc(condition string) string {
	return "a: {A: x}\nb: {B: y}\nc: {C: z}\ncondition: " + condition
}

var ab = event{"A": {"x"}, "B": {"y"}}

// length makes a text worth its length.
func length(t Text) int { return len(t.Literal) }

var byLength = Taste{Worth: func(_ string, t Text) int { return length(t) }, ASCII: func(string) bool { return false }}

// checkNeeds fails when a rule matches an event that lacks what it says to need.
func checkNeeds(tb testing.TB, r *Rule, e event) {
	tb.Helper()
	if _, ok := r.Match(e); !ok {
		return
	}
	needs := r.Needs(byLength)
	for _, clues := range needs {
		all := true
		for _, c := range clues {
			values := e[c.Field]
			if c.Field == "" {
				values = e.Keywords()
			}
			one := false
			for _, v := range values {
				one = one || holds(c.Texts, c.Whole, v)
			}
			all = all && one
		}
		if all {
			return
		}
	}
	if len(needs) > 0 {
		tb.Fatalf("%q matches without any of %v", e, needs)
	}
}

// holds reports whether one of the texts is in a value, where it says to be.
func holds(texts []Text, whole bool, value string) bool {
	b := []byte(value)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 32
		}
	}
	for _, t := range texts {
		for i := range len(b) - len(t.Literal) + 1 {
			if string(b[i:i+len(t.Literal)]) != t.Literal || whole && len(b) != len(t.Literal) {
				continue
			}
			if !t.Edge || i == 0 || !nameByte(b[i-1]) {
				return true
			}
		}
	}
	return false
}

func TestPlaceholders(t *testing.T) {
	values := WithPlaceholders(map[string][]string{
		"Servers": {"srv*", "db?"},
		"domain":  {"corp", "test"},
	})
	tests := []struct {
		name   string
		line   string
		value  string
		wanted bool
	}{
		{"pattern", `A|expand: '%Servers%'`, "SRV17", true},
		{"second value", `A|expand: '%Servers%'`, "db1", true},
		{"no value", `A|expand: '%Servers%'`, "web1", false},
		{"inside a value", `A|expand: 'x-%Servers%-y'`, "x-srv1-y", true},
		{"two in a value", `A|expand: '%domain%\%Servers%'`, `test%Servers%`, true},
		{"two in a value, both meant", `A|expand: '%domain%/%Servers%'`, `test/srv9`, true},
		{"with contains", `A|contains|expand: '%domain%'`, `my.corp.example`, true},
		{"before contains", `A|expand|contains: '%domain%'`, `my.corp.example`, true},
		{"escaped", `A|expand: '\%plain%domain%'`, `%plaincorp`, true},
		{"lone percent sign", `A|expand: '%domain% at 100%'`, `test at 100%`, true},
		{"no placeholder", `A|expand: 'plain'`, `plain`, true},
		{"encoded", `A|expand|base64: '%domain%'`, b64("test"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rule(t, one(tt.line), values)
			if _, got := r.Match(event{"A": {tt.value}}); got != tt.wanted {
				t.Errorf("Match = %v, want %v", got, tt.wanted)
			}
			checkNeeds(t, r, event{"A": {tt.value}})
		})
	}
}

func TestKeywordsNeedAKeyworder(t *testing.T) {
	r := rule(t, "k: [word]\ncondition: k")
	if _, ok := r.Match(mute{event{"message": {"word"}}}); ok {
		t.Error("a keyword matched an event that cannot be searched as a whole")
	}
	if !r.UsesKeywords() {
		t.Error("UsesKeywords = false")
	}
	if rule(t, one(`A: word`)).UsesKeywords() {
		t.Error("UsesKeywords of a rule without keywords")
	}
}

func TestEvidence(t *testing.T) {
	tests := []struct {
		name      string
		detection string
		event     event
		want      []Evidence
	}{
		{
			"every part that matched, sorted",
			"sel_img: {Image|endswith: ['\\sc.exe', '\\net.exe']}\nsel_cli: {CommandLine|contains|all: [query, type]}\nsel_b: {B: 1}\ncondition: 1 of sel_*",
			event{"Image": {`C:\Windows\System32\sc.exe`}, "CommandLine": {"SC query type= service"}},
			[]Evidence{
				{"sel_cli", "CommandLine", "contains|all", "query", "SC query type= service"},
				{"sel_cli", "CommandLine", "contains|all", "type", "SC query type= service"},
				{"sel_img", "Image", "endswith", `\sc.exe`, `C:\Windows\System32\sc.exe`},
			},
		},
		{
			"a filter that does not match is no evidence",
			"a: {A: x}\nfilter: {B: y}\ncondition: a and not filter",
			event{"A": {"x"}, "B": {"z"}},
			[]Evidence{{"a", "A", "", "x", "x"}},
		},
		{
			"double negation",
			"a: {A: x}\nb: {B: y}\ncondition: not (b or not a)",
			event{"A": {"x"}},
			[]Evidence{{"a", "A", "", "x", "x"}},
		},
		{
			"null, exists and neq",
			"a: {A: null, B|exists: true, C|neq: x}\ncondition: a",
			event{"B": {"b"}, "C": {"c"}},
			[]Evidence{{"a", "A", "", "null", ""}, {"a", "B", "exists", "true", "b"}, {"a", "C", "neq", "x", "c"}},
		},
		{
			"keyword, and a selection named twice",
			"k: [evil]\ncondition: k or 1 of k*",
			event{"message": {"good", "so evil"}},
			[]Evidence{{"k", "", "", "evil", "so evil"}},
		},
		{
			"field reference",
			"s: {A|fieldref: B}\ncondition: s",
			event{"A": {"x", "y"}, "B": {"Y"}},
			[]Evidence{{"s", "A", "fieldref", "B", "y"}},
		},
		{
			"only the alternative that matched",
			"s: [{A: x, B: y}, {A: x, B: z}]\ncondition: s",
			event{"A": {"x"}, "B": {"z"}},
			[]Evidence{{"s", "A", "", "x", "x"}, {"s", "B", "", "z", "z"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rule(t, tt.detection)
			m, ok := r.Match(tt.event)
			if !ok {
				t.Fatal("no match")
			}
			if m.Rule() != r {
				t.Error("Match.Rule is another rule")
			}
			if diff := cmp.Diff(tt.want, m.Evidence()); diff != "" {
				t.Errorf("evidence (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEventFields(t *testing.T) {
	r := rule(t, "a: {B|contains: x, A|fieldref: C}\nb: [word, {A: 1}]\ncondition: a or b")
	if diff := cmp.Diff([]string{"A", "B", "C"}, r.EventFields()); diff != "" {
		t.Error(diff)
	}
}

func TestNeeds(t *testing.T) {
	// Clues are written "field=text,text", with ^ for an edge and ! for a whole value;
	// those of one alternative are joined by " & ", the alternatives are lines.
	tests := []struct {
		name      string
		detection string
		want      string
	}{
		{"equal", one(`A: Value`), "A!=^value"},
		{"list", one(`A: [One, Two]`), "A!=^one,^two"},
		{"longest of a pattern", one(`A: 'ab*cde?f'`), "A=cde"},
		{"start of a pattern", one(`A|startswith: abcd`), "A=^abcd"},
		{"end", one(`A|endswith: '\x.exe'`), `A=\x.exe`},
		{"all", one(`A|contains|all: [a, longer]`), "A=a & A=longer"},
		{"star", one(`A: '*'`), ""},
		{"one of a list is open", one(`A: [x, '*']`), ""},
		{"two fields", "a: {A: x, B: y}\ncondition: a", "A!=^x & B!=^y"},
		{"a field that needs nothing", "a: {A: x, B: null}\ncondition: a", "A!=^x"},
		{"null", one(`A: null`), ""},
		{"neq", one(`A|neq: x`), ""},
		{"number", one(`A: 0x10`), "A!=^0x10,^16"},
		{"numeric bound", one(`A|gt: 5`), ""},
		{"network", one(`A|cidr: 10.0.0.0/8`), ""},
		{"beyond ASCII", one(`A: 'äbcö'`), "A=bc"},
		{"windash", one(`A|contains|windash: ' -svc'`), "A=svc"},
		{"cased", one(`A|contains|cased: SVC`), "A=svc"},
		{"base64offset", one(`A|base64offset|contains: ab`), "A=yw,fi,hy"},
		{"re", one(`A|re: 'sc(\.exe)?\s+Query'`), "A=^query"},
		{"re alternatives", one(`A|re: '^(alpha|beta|gamma)$'`), "A=^alpha,^beta,^gamma"},
		{"re with a common start", one(`A|re: '^/etc/(init\.d|rc[0-9]\.d|systemd(/system)?)$'`), "A=^/etc/init.d,^/etc/rc,^/etc/systemd"},
		{"re behind a slash", one(`A|re: '(^|/)(lse|les)\.sh'`), "A=.sh"},
		{"re behind a part that may be missing", one(`A|re: '^/(a/)?name'`), "A=^name"},
		{"re optional", one(`A|re: 'x*(abc)?'`), ""},
		{"re repeated", one(`A|re: '(?:abc){2,}'`), "A=abc"},
		{"re without case, k and s fold beyond ASCII", one(`A|re|i: 'tasklist'`), "A=ta"},
		{"and of selections", "a: {A: x}\nb: {B: longer}\ncondition: a and b", "A!=^x & B!=^longer"},
		{"or of selections", "a: {A: x}\nb: {B: y}\ncondition: a or b", "A!=^x\nB!=^y"},
		{"or with one that needs nothing", "a: {A: x}\nb: {B: null}\ncondition: a or b", ""},
		{"list of maps", "a: [{A: x}, {B: y}]\ncondition: a", "A!=^x\nB!=^y"},
		{"and of or", "a: {A: x}\nb: {B: y}\nc: {C: z}\ncondition: a and (b or c)", "A!=^x & B!=^y\nA!=^x & C!=^z"},
		{"and not", "a: {A: x}\nb: {A: longer}\ncondition: a and not b", "A!=^x"},
		{"not", "a: {A: x}\ncondition: not a", ""},
		{"keyword", "a: [word]\ncondition: a", "=word"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var lines []string
			for _, clues := range rule(t, tt.detection).Needs(byLength) {
				var parts []string
				for _, c := range clues {
					part := c.Field
					if c.Whole {
						part += "!"
					}
					var texts []string
					for _, x := range c.Texts {
						if x.Edge {
							x.Literal = "^" + x.Literal
						}
						texts = append(texts, x.Literal)
					}
					parts = append(parts, part+"="+strings.Join(texts, ","))
				}
				slices.Sort(parts)
				lines = append(lines, strings.Join(parts, " & "))
			}
			slices.Sort(lines)
			if diff := cmp.Diff(tt.want, strings.Join(lines, "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestValuesAreBounded(t *testing.T) {
	long := strings.Repeat("x", MaxValue)
	r := rule(t, one(`A|contains: needle`))
	if _, ok := r.Match(event{"A": {long[:MaxValue-6] + "needle"}}); !ok {
		t.Error("the last bytes that are examined are not")
	}
	if _, ok := r.Match(event{"A": {long + "needle"}}); ok {
		t.Error("bytes after MaxValue are examined")
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	rules := benchRules(t)
	e := benchEvent
	for _, r := range rules {
		if n := testing.AllocsPerRun(100, func() { r.Match(&e) }); n != 0 {
			t.Errorf("%s: %v allocations", r.Title, n)
		}
	}
}
