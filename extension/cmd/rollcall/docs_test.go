package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/packs"
	"github.com/osquery-rollcall/rollcall/packs/check"
)

const (
	committed = "../../../docs"
	casesFile = "../../../tests/cases/cases.yml"
)

func pagesOf(t *testing.T) map[string]string {
	t.Helper()
	examples, err := os.ReadFile(casesFile)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := reference(examples)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, p := range pages {
		out[p.name] = string(p.data)
	}
	return out
}

// TestReferenceIsCommitted: what is in docs/reference is what the code says now, no
// more and no less.
func TestReferenceIsCommitted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: that the reference is what the code says: it names the default places of Linux")
	}
	want := pagesOf(t)
	for name, data := range want {
		got, err := os.ReadFile(filepath.Join(committed, name))
		if err != nil {
			t.Errorf("%v: run make docs", err)
			continue
		}
		if d := cmp.Diff(strings.Split(data, "\n"), strings.Split(string(got), "\n")); d != "" {
			t.Errorf("%s is not what the code says, run make docs (-code +committed):\n%.2000s", name, d)
		}
	}
	err := filepath.WalkDir(filepath.Join(committed, "reference"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(committed, path)
		if err == nil && want[filepath.ToSlash(rel)] == "" {
			t.Errorf("%s is no page of the reference any more: remove it", rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReferenceHasEverything: a table, column, rule, factor, key, query or agent that
// is in the code is in its page, and says what it is.
func TestReferenceHasEverything(t *testing.T) {
	pages := pagesOf(t)
	has := func(page, what, text string) {
		t.Helper()
		if strings.TrimSpace(text) == "" {
			t.Errorf("%s: %s has no text", page, what)
		} else if !strings.Contains(pages[page], text) {
			t.Errorf("%s lacks %s: %q", page, what, text)
		}
	}
	cells := func(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |" }
	for _, tab := range check.Tables() {
		has("reference/tables.md", tab.Name, "\n## "+tab.Name+"\n\n"+plainText(tab.Description))
		for _, c := range tab.Columns {
			if c.Description == "" {
				t.Errorf("%s.%s has no description", tab.Name, c.Name)
			}
			has("reference/tables.md", tab.Name+"."+c.Name, cells(literal(c.Name), strings.ToLower(string(c.Type)), plainText(c.Description)))
		}
		for _, e := range tab.Examples {
			has("reference/tables.md", tab.Name, e)
		}
		var f fleetTable
		if err := yaml.Unmarshal([]byte(pages["reference/fleet/"+tab.Name+".yml"]), &f); err != nil || f.Name != tab.Name || len(f.Columns) != len(tab.Columns) {
			t.Errorf("Fleet's schema of %s: %v, %d columns", tab.Name, err, len(f.Columns))
		}
		has("reference/osquery/rollcall.json", tab.Name, `"name": "`+tab.Name+`"`)
	}
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range set.Rules() {
		has("reference/rules.md", r.Title, "\n## "+plainText(r.Title)+"\n\n"+plainText(r.Description))
		for _, e := range append(r.Matching, r.NotMatching...) {
			has("reference/rules.md", r.Title, e)
		}
	}
	for _, d := range append(score.Definitions(), score.InstallDefinitions()...) {
		has("reference/factors.md", d.Name, cells(literal(d.Name), string(d.Family)))
		has("reference/factors.md", d.Name, plainText(sentence(d.Meaning)))
	}
	for _, n := range attribution.KnownAgents() {
		has("reference/agents.md", n, "- "+literal(n)+"\n")
	}
	c, err := packs.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range c.Queries {
		has("reference/queries.md", q.Name, "\n## "+q.Name+"\n\n"+plainText(q.Description))
		has("reference/queries.md", q.Name, q.SQL)
	}
	for _, p := range c.Policies {
		has("reference/queries.md", p.Name, p.SQL)
	}
}

// TestEveryKeyIsExplained: a key without a word fails, as does a word for a key that is
// no more.
func TestEveryKeyIsExplained(t *testing.T) {
	schema, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := configKeys(schema)
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) < 60 {
		t.Errorf("only %d keys", len(keys))
	}
	seen := map[string]bool{}
	for _, k := range keys {
		seen[k.path] = true
		if k.about == "" || k.kind == "" {
			t.Errorf("%s is not explained: say what it does in docs_config.go", k.path)
		}
	}
	for path := range keyMeanings() {
		if !seen[path] {
			t.Errorf("docs_config.go explains %s, which is no key", path)
		}
	}
}

func TestDecisionsPage(t *testing.T) {
	got, err := decisionsPage([]byte("- {name: a case, answer: review, why: Because., config: 'x: y'}\n"))
	if err != nil || !strings.Contains(string(got), "\n## A case: review\n\nBecause.\n\nNeeds:\n\n```yaml\nx: y\n```\n") {
		t.Errorf("%v\n%s", err, got)
	}
	for _, bad := range []string{"- {name: a, answer: record}\n", "- [", "x: y\n"} {
		if _, err := decisionsPage([]byte(bad)); err == nil {
			t.Errorf("%q is taken for decisions", bad)
		}
	}
	var list []struct{ Name string }
	data, err := os.ReadFile(casesFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &list); err != nil || len(list) < 12 {
		t.Errorf("%d cases: %v", len(list), err)
	}
	if n := strings.Count(pagesOf(t)["reference/decisions.md"], "\n## "); n != len(list) {
		t.Errorf("%d of %d cases are on the page", n, len(list))
	}
}

func TestDocsCommand(t *testing.T) {
	docs := func(args ...string) (string, string, error) {
		var out, errs strings.Builder
		err := runDocs(context.Background(), &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}, args)
		return out.String(), errs.String(), err
	}
	dir := t.TempDir()
	out, errs, err := docs("--out", dir, "--cases", casesFile)
	if want := len(pagesOf(t)); err != nil || errs != "" || strings.Count(out, "\n") != want {
		t.Errorf("%v, %s%s: want %d pages", err, out, errs, want)
	}
	for name, data := range pagesOf(t) {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != data {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out, errs, err := docs("--out", t.TempDir(), "--cases", filepath.Join(dir, "none")); err != nil || strings.Contains(out, "decisions") || !strings.Contains(errs, "left out") {
		t.Errorf("without cases: %v, %s%s", err, out, errs)
	}
	for _, bad := range [][]string{{}, {"--out"}, {"--out", "x", "more"}} {
		if _, _, err := docs(bad...); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestMarkdownIsEscaped(t *testing.T) {
	if got := plainText("a|b <i> `c` d_e *f*\ng "); got != "a\\|b &lt;i> \\`c\\` d\\_e \\*f\\* g" {
		t.Error(got)
	}
	if got := anchor("Services Listed With sc (x)"); got != "services-listed-with-sc-x" {
		t.Error(got)
	}
}
