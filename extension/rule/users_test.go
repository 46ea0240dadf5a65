package rule_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/rule/sigma"
)

// user writes a rule as a user would: n makes the id, product and detection vary.
func user(n int, product, detection string, more ...string) *fstest.MapFile {
	logsource := "category: process_creation"
	if product != "" {
		logsource += ", product: " + product
	}
	return &fstest.MapFile{Data: []byte(fmt.Sprintf("title: Rule %d\nid: 00000000-0000-4000-8000-%012d\nlogsource: {%s}\ndetection:\n  sel: %s\n  condition: sel\n%s\n",
		n, n, logsource, detection, strings.Join(more, "\n")))}
}

func load(t *testing.T, files fstest.MapFS) *rule.Set {
	t.Helper()
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return set.With(files, "/etc/rules.d")
}

func find(set *rule.Set, title string) *rule.Rule {
	for _, r := range set.Rules() {
		if r.Title == title {
			return r
		}
	}
	return nil
}

// hits returns the titles of the users' rules that match.
func hits(set *rule.Set, p evidence.Process) []string {
	res := cmdline.Parse(cmdline.Input{Text: p.CmdLine, Platform: p.Platform, Path: p.Path})
	var out []string
	for _, h := range set.Match(&p, &res) {
		if h.Rule.Origin != "embedded" {
			out = append(out, fmt.Sprintf("%s@%d", h.Rule.Title, h.Command))
		}
	}
	return out
}

func TestUsersRules(t *testing.T) {
	set := load(t, fstest.MapFS{
		"a.yml":     user(1, "linux", "{Image|endswith: /ncat}", "level: high", "tags: [attack.command-and-control, attack.t1571]"),
		"b.yml":     user(2, "", "{CommandLine|contains: secretword}"),
		"c.yaml":    user(3, "windows", "{User|contains: svc_, ParentImage|endswith: '\\winword.exe'}"),
		"sub/d.yml": user(4, "linux", "{Tool: systemctl, Verb: list-units}", "tags: [attack.t1007]", "rollcall: {scope: all, family: mine}"),
		"e.yml":     user(5, "any", "[firstword, secondword]"),
		"note.txt":  {Data: []byte("no rule")},
	})
	for _, r := range set.Refused() {
		t.Errorf("%s refused: %v", r.Origin, r.Err)
	}
	for _, c := range []struct {
		name string
		p    evidence.Process
		want string
	}{
		{"raw field", evidence.Process{Platform: evidence.Linux, Path: "/usr/bin/ncat", CmdLine: "ncat -l 1"}, "[Rule 1@-1]"},
		{"product gates", evidence.Process{Platform: evidence.Windows, Path: `C:/x/ncat`, CmdLine: "ncat -l 1"}, "[]"},
		{"any platform, once however many commands", evidence.Process{Platform: evidence.Linux, CmdLine: "echo a; echo b; echo secretword; echo c"}, "[Rule 2@-1]"},
		{"and on darwin", evidence.Process{Platform: evidence.Darwin, CmdLine: "echo secretword"}, "[Rule 2@-1]"},
		{"two fields", evidence.Process{Platform: evidence.Windows, CmdLine: "x", Username: `CORP\SVC_a`, ParentPath: `C:\Office\WINWORD.EXE`}, "[Rule 3@-1]"},
		{"one of two fields", evidence.Process{Platform: evidence.Windows, CmdLine: "x", Username: `CORP\al`, ParentPath: `C:\Office\WINWORD.EXE`}, "[]"},
		{"canonical, each command it is true of", evidence.Process{Platform: evidence.Linux, CmdLine: "systemctl list-units; true; systemctl list-units --all"}, "[Rule 4@0 Rule 4@2]"},
		{"keywords", evidence.Process{Platform: evidence.Linux, CmdLine: "run firstword"}, "[Rule 5@-1]"},
		{"unknown platform matches any product", evidence.Process{Path: "/usr/bin/ncat", CmdLine: "ncat"}, "[Rule 1@-1]"},
		{"nothing", evidence.Process{}, "[]"},
	} {
		if got := fmt.Sprint(hits(set, c.p)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	a, b, d := find(set, "Rule 1"), find(set, "Rule 2"), find(set, "Rule 4")
	if a.Technique() != "T1571" || a.T1007() || a.Severity() != sigma.High || a.Family != "custom" || a.Origin != "/etc/rules.d/a.yml" {
		t.Errorf("rule 1: %s %v %s %s %s", a.Technique(), a.T1007(), a.Severity(), a.Family, a.Origin)
	}
	if b.Technique() != "" || b.Severity() != sigma.Medium {
		t.Errorf("a rule without tags and level: %q %s", b.Technique(), b.Severity())
	}
	if !d.T1007() || d.Scope != rule.ScopeAll || d.Family != "mine" {
		t.Errorf("rule 4: %v %s %s", d.T1007(), d.Scope, d.Family)
	}
}

// TestRefusedRules: what cannot be loaded is named with its file and reason, and
// spoils nothing else.
func TestRefusedRules(t *testing.T) {
	set := load(t, fstest.MapFS{
		"good.yml":    user(1, "linux", "{Image: /a}"),
		"twice.yml":   user(1, "linux", "{Image: /b}"),
		"yaml.yml":    {Data: []byte("title: [")},
		"empty.yml":   {Data: nil},
		"product.yml": user(2, "zeek", "{Image: /a}"),
		"service.yml": {Data: []byte("title: S\nid: 00000000-0000-4000-8000-000000000003\nlogsource: {product: windows, service: system}\ndetection: {sel: {EventID: 7045}, condition: sel}\n")},
		"noid.yml":    {Data: []byte("title: N\nlogsource: {category: process_creation}\ndetection: {sel: {Image: /a}, condition: sel}\n")},
		"nolog.yml":   {Data: []byte("title: L\nid: 00000000-0000-4000-8000-000000000004\ndetection: {sel: {Image: /a}, condition: sel}\n")},
		"detail.yml":  user(5, "linux", "{Image: /a}", "rollcall: [1]"),
	})
	got := map[string]string{}
	for _, r := range set.Refused() {
		got[strings.TrimPrefix(r.Origin, "/etc/rules.d/")] = r.Err.Error()
	}
	for file, want := range map[string]string{
		"twice.yml": "duplicate id", "yaml.yml": "YAML", "empty.yml": "no rule", "product.yml": `product "zeek"`, "service.yml": `service "system"`,
		"noid.yml": "no id", "nolog.yml": "logsource", "detail.yml": "rollcall section",
	} {
		if !strings.Contains(got[file], want) {
			t.Errorf("%s: %q, want %q", file, got[file], want)
		}
		delete(got, file)
	}
	if len(got) > 0 {
		t.Errorf("refused besides: %v", got)
	}
	if find(set, "Rule 1") == nil {
		t.Error("the good rule is gone")
	}
}

// TestAnEmbeddedRuleIsNotReplaced: also not by its id in capitals.
func TestAnEmbeddedRuleIsNotReplaced(t *testing.T) {
	base, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{base.Rules()[0].ID, strings.ToUpper(base.Rules()[0].ID)} {
		set := base.With(fstest.MapFS{"x.yml": {Data: []byte("title: Mine\nid: " + id + "\nlogsource: {category: process_creation}\ndetection: {sel: {Image: /a}, condition: sel}\n")}}, "/r")
		if len(set.Rules()) != len(base.Rules()) || len(set.Refused()) != 1 || !strings.Contains(set.Refused()[0].Err.Error(), "loaded already") {
			t.Errorf("%s: %d rules, refused %v", id, len(set.Rules()), set.Refused())
		}
	}
	if len(base.Refused()) != 0 {
		t.Error("With changed the set it was called on")
	}
}

func TestScopesAreOrdered(t *testing.T) {
	order := []rule.Scope{rule.ScopeSingle, rule.ScopeProcess, rule.ScopeACL, rule.ScopeRegistry, rule.ScopeAll, rule.ScopeTool}
	for i, a := range order {
		for j, b := range order {
			if a.Wider(b) != (i > j) {
				t.Errorf("%s wider than %s: %v", a, b, a.Wider(b))
			}
		}
		if !a.Wider("") || rule.Scope("").Wider(a) {
			t.Errorf("%s beside none", a)
		}
	}
}
