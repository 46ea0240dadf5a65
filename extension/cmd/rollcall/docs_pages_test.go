package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"gopkg.in/yaml.v3"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/packs"
	"github.com/osquery-rollcall/rollcall/packs/check"
)

// block is a fenced block of a page, its indent taken away.
type block struct{ language, before, text string }

// fence is what begins and ends a block, with the indent it has in a list.
var fence = regexp.MustCompile("^( *)```([a-z]*)$")

// blocks are those of a page; before is the last line of prose in front of each.
func blocks(t *testing.T, path string) []block {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	var open *block
	var before, indent string
	for _, line := range strings.Split(string(data), "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open == nil && m != nil:
			open, indent = &block{language: m[2], before: before}, m[1]
		case open != nil && m != nil:
			out, open = append(out, *open), nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		case strings.TrimSpace(line) != "":
			before = strings.TrimSpace(line)
		}
	}
	if open != nil {
		t.Fatalf("%s: a block has no end", path)
	}
	return out
}

// written are the pages that people wrote.
func written(t *testing.T) []string {
	t.Helper()
	pages := []string{filepath.Join(committed, "../SECURITY.md")}
	err := filepath.WalkDir(committed, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "reference" {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return nil
	})
	if err != nil || len(pages) < 13 {
		t.Fatalf("only %d pages: %v", len(pages), err)
	}
	return pages
}

// TestLinksLead: a link of a page, written or generated, leads to a file that is there.
func TestLinksLead(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	pages := written(t)
	for name := range pagesOf(t) {
		if filepath.Ext(name) == ".md" {
			pages = append(pages, filepath.Join(committed, filepath.FromSlash(name)))
		}
	}
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			if strings.HasPrefix(m[1], "https://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// TestSQLOfThePagesCompiles: every query on a page, in a block or handed to rollcall
// query, compiles against the tables of osquery and Rollcall.
func TestSQLOfThePagesCompiles(t *testing.T) {
	handed := regexp.MustCompile(`rollcall query[^"\n]*"([^"]+)"`)
	inline := regexp.MustCompile("`(SELECT [^`]+)`")
	queries := map[string]string{}
	for _, page := range written(t) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		add := func(sql string) {
			sql = strings.Join(strings.Fields(sql), " ")
			queries[fmt.Sprintf("%s %d", filepath.Base(page), len(queries))] = sql
		}
		for _, b := range blocks(t, page) {
			if b.language == "sql" {
				add(b.text)
			}
		}
		for _, m := range handed.FindAllStringSubmatch(string(data), -1) {
			add(m[1])
		}
		for _, m := range inline.FindAllStringSubmatch(string(data), -1) {
			add(m[1])
		}
	}
	if len(queries) < 15 {
		t.Errorf("only %d queries were found", len(queries))
	}
	all := map[string]any{}
	for name, sql := range queries {
		all[name] = map[string]any{"query": sql, "interval": 60}
	}
	data, err := json.Marshal(map[string]any{"queries": all})
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs := call(t, string(data), "packs", "check", "--quiet", "-")
	for _, line := range strings.Split(out+errs, "\n") {
		// A page may ask for everything; a fleet may not.
		if strings.Contains(line, "error:") && !strings.Contains(line, "bound") {
			t.Error(line)
		}
	}
	if code > 1 {
		t.Errorf("packs check ended with %d: %s", code, errs)
	}
}

// TestAnalystCardIsComplete: the card names every question of the triage's, and only
// queries, tables and columns that exist.
func TestAnalystCardIsComplete(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(committed, "analyst-card.md"))
	if err != nil {
		t.Fatal(err)
	}
	card := string(data)
	source, err := os.ReadFile("../../incident/triage.go")
	if err != nil {
		t.Fatal(err)
	}
	questions := regexp.MustCompile(`Tier: (?:L1|T2), Question: "([^"]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(questions) < 12 {
		t.Errorf("only %d questions were found in triage.go", len(questions))
	}
	for _, q := range questions {
		if !strings.Contains(card, "| "+q[1]+" |") {
			t.Errorf("the card lacks %q", q[1])
		}
	}
	known := []string{}
	for _, tab := range check.Tables() {
		known = append(known, tab.Name)
		for _, c := range tab.Columns {
			known = append(known, c.Name, tab.Name+"."+c.Name)
		}
	}
	c, err := packs.Load()
	if err != nil {
		t.Fatal(err)
	}
	known = append(known, c.Names()...)
	for _, m := range regexp.MustCompile("`(service_[a-z_.]+)`").FindAllStringSubmatch(card, -1) {
		if !slices.Contains(known, m[1]) {
			t.Errorf("the card names %s, which is no table, column or query", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`service_[a-z_]+`: ([a-z_, ]+)").FindAllStringSubmatch(card, -1) {
		for _, name := range strings.FieldsFunc(m[1], func(r rune) bool { return r == ',' || r == ' ' }) {
			if strings.Contains(name, "_") && !slices.Contains(known, name) {
				t.Errorf("the card names %s, which is no column", name)
			}
		}
	}
}

// TestGuideOfANewRule follows the guide: the rule on the page loads, its examples hold,
// the command finds it.
func TestGuideOfANewRule(t *testing.T) {
	var text string
	for _, b := range blocks(t, filepath.Join(committed, "guides/new-rule.md")) {
		if b.language == "yaml" {
			text = b.text
		}
	}
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	set = set.With(fstest.MapFS{"nssm.yml": {Data: []byte(text)}}, "/etc/rollcall/rules.d")
	for _, r := range set.Refused() {
		t.Fatalf("refused: %v", r.Err)
	}
	var head struct{ ID string }
	if err := yaml.Unmarshal([]byte(text), &head); err != nil {
		t.Fatal(err)
	}
	hit := func(line string) bool {
		p := evidence.Process{CmdLine: line, Platform: evidence.Windows}
		res := cmdline.Parse(cmdline.Input{Text: line, Platform: evidence.Windows})
		return slices.ContainsFunc(set.Match(&p, &res), func(h rule.Hit) bool { return h.Rule.ID == head.ID })
	}
	for _, r := range set.Rules() {
		if r.ID != head.ID {
			continue
		}
		if len(r.Matching) < 2 || len(r.NotMatching) < 2 {
			t.Error("the rule on the page lacks examples")
		}
		for _, e := range r.Matching {
			if !hit(e) {
				t.Errorf("does not find %s", e)
			}
		}
		for _, e := range r.NotMatching {
			if hit(e) {
				t.Errorf("finds %s", e)
			}
		}
	}
	dir := t.TempDir()
	if code, out, _ := call(t, "", "score", "--platform", "windows", "nssm list"); code != 0 || !strings.Contains(out, "no rule matches") {
		t.Errorf("step 1: %d, %s", code, out)
	}
	if err := os.Mkdir(filepath.Join(dir, "rules.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"rules.d/nssm.yml": text, "rollcall.yaml": "rules_dir: " + filepath.Join(dir, "rules.d") + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "rollcall.yaml")
	if code, out, errs := call(t, "", "rules", "--config", conf); code != 0 || !strings.Contains(out, "Services Listed With nssm") {
		t.Errorf("step 3: %d, %s", code, errs)
	}
	if code, out, errs := call(t, "", "score", "--config", conf, "--platform", "windows", "nssm list"); code != 0 || !strings.Contains(out, "Verdict: 25 (low)") {
		t.Errorf("step 4: %d, %s%s", code, out, errs)
	}
}

// TestGuidesOfCode follows the guides of a source and a table: their files, laid over
// the repository, build and pass their own tests.
func TestGuidesOfCode(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: the pages against the built rooms (-short)")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []struct{ page, pkg, tests string }{
		{"guides/new-source.md", "./extension/source/jumplog", "."},
		{"guides/new-table.md", "./tables", "TestServiceDiscoveryUsers"},
	} {
		t.Run(filepath.Base(g.page), func(t *testing.T) {
			dir := t.TempDir()
			replace := map[string]string{}
			for i, b := range blocks(t, filepath.Join(committed, g.page)) {
				if b.language != "go" {
					continue
				}
				name := strings.Trim(b.before, "`:")
				if !strings.HasSuffix(name, ".go") {
					t.Fatalf("the block after %q has no file", b.before)
				}
				at := filepath.Join(dir, fmt.Sprintf("%d.go", i))
				if err := os.WriteFile(at, []byte(b.text), 0o600); err != nil {
					t.Fatal(err)
				}
				replace[filepath.Join(root, filepath.FromSlash(name))] = at
				if out, err := exec.Command("gofmt", "-l", at).CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("%s is not gofmt-ed: %v %s", name, err, out)
				}
			}
			if len(replace) != 2 {
				t.Fatalf("%d files on the page, want the code and its test", len(replace))
			}
			data, err := json.Marshal(map[string]any{"Replace": replace})
			if err != nil {
				t.Fatal(err)
			}
			overlay := filepath.Join(dir, "overlay.json")
			if err := os.WriteFile(overlay, data, 0o600); err != nil {
				t.Fatal(err)
			}
			// Apart, since go test would run it in a folder that is not there.
			program := filepath.Join(dir, "guide.test")
			build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", program, g.pkg)
			build.Dir = root
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			run := exec.Command(program, "-test.v", "-test.run", g.tests)
			run.Dir = dir
			out, err := run.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
