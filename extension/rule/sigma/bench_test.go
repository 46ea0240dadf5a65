package sigma

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// process is an event as a caller would have it: no map.
type process struct {
	image, commandLine, parentImage, originalFileName [1]string
}

func (p *process) Values(field string) ([]string, bool) {
	switch field {
	case "Image":
		return p.image[:], true
	case "CommandLine":
		return p.commandLine[:], true
	case "ParentImage":
		return p.parentImage[:], true
	case "OriginalFileName":
		return p.originalFileName[:], true
	}
	return nil, false
}

// benchEvent is a benign command line of 140 bytes.
var benchEvent = process{
	image: [1]string{`C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe`},
	commandLine: [1]string{`"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe" --type=utility ` +
		`--utility-sub-type=network.mojom.NetworkService --lang=de --mojo`},
	parentImage:      [1]string{`C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe`},
	originalFileName: [1]string{"msedge.exe"},
}

// benchRules are 40 rules in the manner of process_creation rules: a program by
// path or original name, words of its command line, now and then a filter,
// several dashes, a regular expression.
func benchRules(tb testing.TB) []*Rule {
	tb.Helper()
	tools := []string{"sc", "net", "net1", "tasklist", "wmic", "reg", "powershell", "pwsh", "psservice", "driverquery"}
	shapes := []string{
		`selection_img:
    - Image|endswith: '\%[1]s.exe'
    - OriginalFileName: '%[1]s.exe'
selection_cli:
    CommandLine|contains: [' query', ' qc', 'queryex', 'enumdepend', 'sdshow', 'start', '/svc', 'service', 'getkeyname']
condition: all of selection_*`,
		`selection:
    CommandLine|contains|all: ['%[1]s', 'list', 'brief']
filter_main_x:
    ParentImage|startswith: ['C:\Program Files\', 'C:\Program Files (x86)\']
condition: selection and not 1 of filter_main_*`,
		`selection_a:
    CommandLine|contains|windash: [' -svc', ' -%[1]s', ' -all']
selection_b:
    CommandLine|contains: '%[1]s'
condition: all of selection_*`,
		`selection:
    CommandLine|re: '(?i)(get|query)-?(%[1]s|service|process)\s+-\w+'
condition: selection`,
	}
	var rules []*Rule
	for i, shape := range shapes {
		for _, tool := range tools {
			r := rule(tb, strings.ReplaceAll(shape, "%[1]s", tool))
			r.Title = fmt.Sprintf("%d %s", i, tool)
			rules = append(rules, r)
		}
	}
	return rules
}

func BenchmarkNoMatch40Rules(b *testing.B) {
	rules := benchRules(b)
	e := &benchEvent
	for _, r := range rules {
		if m, ok := r.Match(e); ok {
			b.Fatalf("%s matches: %v", r.Title, m.Evidence())
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range rules {
			r.Match(e)
		}
	}
}

func BenchmarkMatchEvidence(b *testing.B) {
	r := benchRules(b)[0]
	e := &process{
		image:       [1]string{`C:\Windows\System32\sc.exe`},
		commandLine: [1]string{`sc  query type= service state= all`},
	}
	b.ReportAllocs()
	for b.Loop() {
		m, ok := r.Match(e)
		if !ok || len(m.Evidence()) < 2 {
			b.Fatal("no match")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	data := []byte(ruleText("selection_img:\n  - Image|endswith: '\\sc.exe'\n  - OriginalFileName: sc.exe\n" +
		"selection_cli:\n  CommandLine|contains: [' query', ' qc', 'queryex']\ncondition: all of selection_*"))
	b.ReportAllocs()
	for b.Loop() {
		if _, errs := Parse(data); len(errs) > 0 {
			b.Fatal(errs)
		}
	}
}
