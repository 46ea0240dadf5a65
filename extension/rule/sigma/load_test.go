package sigma

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func withID(id, detection string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("id: " + id + "\n" + ruleText(detection))}
}

func TestLoadFS(t *testing.T) {
	fsys := fstest.MapFS{
		"rules/a.yml":       withID("1", one("A: x")),
		"rules/b.yml":       {Data: []byte(ruleText(one("A|nope: x")))},
		"rules/c/d.YAML":    withID("2", one("A: y")),
		"rules/e.yml":       {Data: []byte(ruleText(one("A: 1")) + "---\n" + ruleText(one("A: 2")))},
		"rules/f.yml":       withID("1", one("A: z")),
		"rules/g.txt":       {Data: []byte("no rule")},
		"rules/h.yml":       {Data: []byte(strings.Repeat("#", MaxFile+1))},
		"rules/i.yml":       {Mode: fs.ModeNamedPipe},
		"elsewhere/top.yml": withID("3", one("A: x")),
	}
	var got []string
	for _, l := range LoadFS(fsys, "rules") {
		if (l.Rule == nil) == (l.Err == nil) {
			t.Errorf("%s: rule %v, error %v", l.Path, l.Rule, l.Err)
		}
		got = append(got, fmt.Sprintf("%s %v", l.Path, l.Err))
	}
	want := []string{
		"rules/a.yml <nil>",
		"rules/b.yml 5:7: not supported: modifier: nope",
		"rules/c/d.YAML <nil>",
		"rules/e.yml <nil>",
		"rules/e.yml <nil>",
		"rules/f.yml 1: duplicate id: 1 is also in rules/a.yml",
		"rules/h.yml file too large: more than 1048576 bytes",
		"rules/i.yml not a regular file",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoadFSOfNoDirectory(t *testing.T) {
	loaded := LoadFS(fstest.MapFS{}, "absent")
	if len(loaded) != 1 || !errors.Is(loaded[0].Err, fs.ErrNotExist) {
		t.Errorf("loaded %v", loaded)
	}
}

func TestLoadFSDoesNotFollowLinks(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside.yml")
	rules := filepath.Join(dir, "rules")
	if err := os.Mkdir(rules, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside, []byte(ruleText(one("A: x"))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(rules, "link.yml")); err != nil {
		t.Skipf("NOT TESTED: that links are not followed, on %s: %v", runtime.GOOS, err)
	}
	if _, err := os.Lstat(filepath.Join(rules, "link.yml")); err != nil { // wine makes none, and no error
		t.Skipf("NOT TESTED: that links are not followed, on %s, which made none: %v", runtime.GOOS, err)
	}
	loaded := LoadFS(os.DirFS(rules), ".")
	if len(loaded) != 1 || loaded[0].Err == nil {
		t.Errorf("loaded %+v", loaded)
	}
}

func TestLoadFSStopsAtMaxFiles(t *testing.T) {
	fsys := fstest.MapFS{}
	for i := range MaxFiles + 5 {
		fsys[fmt.Sprintf("%06d.yml", i)] = &fstest.MapFile{Data: []byte("x")}
	}
	loaded := LoadFS(fsys, ".")
	if len(loaded) != MaxFiles+1 {
		t.Fatalf("%d results", len(loaded))
	}
	if err := loaded[MaxFiles].Err; err.Error() != "too many rule files" {
		t.Errorf("the last is %v", err)
	}
}

func TestSurvey(t *testing.T) {
	fsys := fstest.MapFS{
		"a.yml": withID("1", one("A: x")),
		"b.yml": {Data: []byte(ruleText(one("A|nope: x")))},
		"c.yml": {Data: []byte(ruleText(one("A|never: x")))},
		"d.yml": {Data: []byte("title: x\nlogsource: {category: dns}\ncorrelation: {}\n")},
		"e.yml": {Data: []byte("title: [")},
	}
	want := Report{
		All:             Tally{Rules: 5, Loaded: 1},
		ProcessCreation: Tally{Rules: 3, Loaded: 1},
		Refused: []Refusal{
			{"not supported: modifier", 2, 2, "b.yml:5:7: not supported: modifier: nope"},
			{"invalid YAML", 1, 0, "e.yml:1: invalid YAML: did not find expected node content"},
			{"not supported: correlation rule", 1, 0, "d.yml:3:1: not supported: correlation rule"},
		},
	}
	got := Survey(fsys, ".")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	text := got.String()
	for _, s := range []string{"1 of 5 rules", "1 of 3 rules load (33.3 %)", "2 refused (2 process_creation): not supported: modifier"} {
		if !strings.Contains(text, s) {
			t.Errorf("%q is not in\n%s", s, text)
		}
	}
}

// TestPublishedRules reads a checkout of SigmaHQ's rules, which have a licence of
// their own and are no part of this project.
func TestPublishedRules(t *testing.T) {
	dir := os.Getenv("SIGMA_RULES")
	if dir == "" {
		t.Skip("NOT TESTED: that the rules SigmaHQ publishes load; set SIGMA_RULES to a checkout of its repository")
	}
	for _, sub := range []string{"rules", "rules-emerging-threats", "rules-threat-hunting"} {
		report := Survey(os.DirFS(dir), sub)
		t.Logf("%s\n%s", sub, report)
		if report.All.Rules == 0 {
			t.Errorf("%s: no rules", sub)
		}
		if loaded := report.All.Loaded * 1000; loaded < report.All.Rules*995 {
			t.Errorf("%s: fewer than 99.5 %% load", sub)
		}
	}
	services := []string{"attack.t1007", "attack.t1543.002", "attack.t1543.003", "attack.t1569.002"}
	tagged := 0
	for _, sub := range []string{"rules", "rules-emerging-threats", "rules-threat-hunting"} {
		for _, l := range LoadFS(os.DirFS(dir), sub) {
			if l.Err != nil {
				data, err := os.ReadFile(filepath.Join(dir, l.Path))
				if err != nil {
					t.Fatal(err)
				}
				for _, tag := range services {
					if strings.Contains(string(data), tag) {
						t.Errorf("%s, tagged %s: %v", l.Path, tag, l.Err)
					}
				}
				continue
			}
			for _, tag := range services {
				for _, have := range l.Rule.Tags {
					if have == tag {
						tagged++
					}
				}
			}
			l.Rule.Needs(byLength)
		}
	}
	t.Logf("%d tags of service techniques on rules that load", tagged)
	if tagged == 0 {
		t.Error("no rule is tagged with a service technique")
	}
}
