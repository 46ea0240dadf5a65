package rule_test

import (
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
)

// Every embedded rule carries examples, and every one of them must hold: what a
// rule's file says it matches is matched by that rule.
func TestExamplesBesideTheRules(t *testing.T) {
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Rules()) < 35 {
		t.Fatalf("only %d rules loaded", len(set.Rules()))
	}
	for _, r := range set.Rules() {
		t.Run(strings.ReplaceAll(r.Title, " ", "_"), func(t *testing.T) {
			if len(r.Matching) == 0 || len(r.NotMatching) == 0 {
				t.Errorf("rule %s needs examples that match and that don't", r.ID)
			}
			if r.Scope == "" || r.Family == "custom" || r.Description == "" || len(r.FalsePositives) == 0 || len(r.References) == 0 {
				t.Errorf("rule %s lacks scope, family, description, false positives or references", r.ID)
			}
			for _, ex := range r.Matching {
				if !matches(set, r, ex) {
					t.Errorf("should match: %s", ex)
				}
			}
			for _, ex := range r.NotMatching {
				if matches(set, r, ex) {
					t.Errorf("should not match: %s", ex)
				}
			}
		})
	}
}

func matches(set *rule.Set, want *rule.Rule, text string) bool {
	p := evidence.Process{CmdLine: text, Platform: evidence.Linux}
	switch want.LogSource.Product {
	case "windows":
		p.Platform = evidence.Windows
	case "macos":
		p.Platform = evidence.Darwin
	}
	res := cmdline.Parse(cmdline.Input{Text: text, Platform: p.Platform})
	for _, h := range set.Match(&p, &res) {
		if h.Rule.ID == want.ID {
			return true
		}
	}
	return false
}
