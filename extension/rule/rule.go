// Package rule holds what Rollcall looks for: Sigma rules, its own (embedded, one
// behaviour a file) and the user's, matched against a process and each simple
// command it runs.
//
// Rules see Sigma's own field names of the raw event (Image, CommandLine,
// ParentImage, User, ...) and the canonical simple command: Tool, Verb, Object,
// Target, RemoteHost, Arguments, Options, Paths, Wrappers, PipedTo, PipedFrom,
// Siblings, Members, Obfuscation, OutputFile, Canonical.
package rule

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule/sigma"
)

//go:embed rules/*.yml
var embedded embed.FS

// Scope says how much a command asked for.
type Scope string

// The scopes of Rollcall's own rules, from most to least telling.
const (
	ScopeTool     Scope = "tool"     // a program that enumerates by itself
	ScopeAll      Scope = "all"      // every service
	ScopeRegistry Scope = "registry" // the registry's Services key
	ScopeFiles    Scope = "files"    // the directories of service definitions
	ScopeACL      Scope = "acl"      // who may change services
	ScopeDriver   Scope = "driver"   // kernel drivers
	ScopeSchtasks Scope = "schtasks" // scheduled tasks
	ScopeCron     Scope = "cron"     // cron tables
	ScopeProcess  Scope = "process"  // processes, filtered for services
	ScopeSingle   Scope = "single"   // one service
	ScopeContext  Scope = "context"  // another technique, shown near service discovery
)

// rank orders scopes; an unknown one counts as asking for all.
func (s Scope) rank() int {
	switch s {
	case ScopeSingle:
		return 1
	case ScopeProcess, ScopeCron, ScopeSchtasks:
		return 2
	case ScopeACL, ScopeDriver:
		return 3
	case ScopeFiles, ScopeRegistry:
		return 4
	case ScopeTool:
		return 6
	}
	return 5
}

// Wider reports whether s asks for more than t.
func (s Scope) Wider(t Scope) bool { return t == "" || s != "" && s.rank() > t.rank() }

// Rule is one loaded rule.
type Rule struct {
	*sigma.Rule
	// Origin is "embedded" or the file a user's rule was read from.
	Origin string
	Scope  Scope
	// Family groups rules about one way of asking, for baselines ("sc").
	Family string
	// Matching and NotMatching are the examples beside the rule.
	Matching    []string
	NotMatching []string

	technique string
	t1007     bool
	rawOnly   bool // uses no field of the canonical command
}

// Technique is the first ATT&CK technique among the rule's tags ("T1007").
func (r *Rule) Technique() string { return r.technique }

// T1007 reports whether the rule is about System Service Discovery.
func (r *Rule) T1007() bool { return r.t1007 }

// Context reports whether what the rule finds is only of interest near service
// discovery: another of ATT&CK's Discovery techniques.
func (r *Rule) Context() bool { return r.Scope == ScopeContext }

// Severity is the rule's level; rules without one are medium, as Sigma has it.
func (r *Rule) Severity() sigma.Level {
	if r.Level == "" {
		return sigma.Medium
	}
	return r.Level
}

// Refused is a rule file, or a rule in one, that could not be loaded.
type Refused struct {
	Origin string
	Title  string
	ID     string
	Err    error
}

// Set is a set of loaded rules. It is immutable and safe for concurrent use.
type Set struct {
	rules   []*Rule
	refused []Refused
	plans   [5]plan // by platform, made when it is needed first
}

// Rules are the loaded rules, ordered by id.
func (s *Set) Rules() []*Rule { return s.rules }

// Refused are the rules that could not be loaded, and why.
func (s *Set) Refused() []Refused { return s.refused }

// Embedded loads the rules that come with Rollcall.
func Embedded() (*Set, error) {
	s := &Set{}
	s.load(embedded, "rules", "embedded")
	if len(s.refused) > 0 {
		return nil, fmt.Errorf("load embedded rule %s: %w", s.refused[0].Origin, s.refused[0].Err)
	}
	return s, nil
}

// With returns the set with the rules of another directory added: a user's. A
// rule whose id is loaded already replaces nothing and is refused.
func (s *Set) With(fsys fs.FS, origin string) *Set {
	out := &Set{rules: append([]*Rule(nil), s.rules...), refused: append([]Refused(nil), s.refused...)}
	out.load(fsys, ".", origin)
	return out
}

func (s *Set) load(fsys fs.FS, dir, origin string) {
	have := map[string]bool{}
	for _, r := range s.rules {
		have[strings.ToLower(r.ID)] = true
	}
	for _, l := range sigma.LoadFS(fsys, dir) {
		from := origin
		if origin != "embedded" {
			from = origin + "/" + l.Path
		}
		if l.Err != nil {
			ref := Refused{Origin: from, Err: l.Err}
			if l.Rule != nil {
				ref.Title, ref.ID = l.Rule.Title, l.Rule.ID
			}
			s.refused = append(s.refused, ref)
			continue
		}
		id := strings.ToLower(l.Rule.ID)
		if have[id] {
			s.refused = append(s.refused, Refused{Origin: from, Title: l.Rule.Title, ID: l.Rule.ID, Err: fmt.Errorf("id %s is loaded already", l.Rule.ID)})
			continue
		}
		r, err := newRule(l.Rule, from)
		if err != nil {
			s.refused = append(s.refused, Refused{Origin: from, Title: l.Rule.Title, ID: l.Rule.ID, Err: err})
			continue
		}
		have[id] = true
		s.rules = append(s.rules, r)
	}
	sort.SliceStable(s.rules, func(i, j int) bool { return s.rules[i].ID < s.rules[j].ID })
}

// details is the "rollcall" mapping of a rule file.
type details struct {
	Scope    Scope  `yaml:"scope"`
	Family   string `yaml:"family"`
	Examples struct {
		Match   []string `yaml:"match"`
		NoMatch []string `yaml:"no_match"`
	} `yaml:"examples"`
}

func newRule(sr *sigma.Rule, origin string) (*Rule, error) {
	r := &Rule{Rule: sr, Origin: origin}
	if c := sr.LogSource.Category; c != "process_creation" {
		what := fmt.Sprintf("category %q", c)
		if c == "" && sr.LogSource.Service != "" {
			what = fmt.Sprintf("service %q", sr.LogSource.Service)
		}
		return nil, fmt.Errorf("logsource %s: only the category process_creation is read", what)
	}
	switch sr.LogSource.Product {
	case "", "any", "windows", "linux", "macos":
	default:
		return nil, fmt.Errorf("logsource product %q: only windows, linux and macos are read", sr.LogSource.Product)
	}
	if sr.ID == "" {
		return nil, errors.New("the rule has no id: matches are counted and reported by it")
	}
	if node, ok := sr.Custom["rollcall"]; ok {
		var d details
		if err := node.Decode(&d); err != nil {
			return nil, fmt.Errorf("read the rollcall section: %w", err)
		}
		r.Scope, r.Family = d.Scope, d.Family
		r.Matching, r.NotMatching = d.Examples.Match, d.Examples.NoMatch
	}
	if r.Family == "" {
		r.Family = "custom"
	}
	for _, t := range sr.Tags {
		name, ok := strings.CutPrefix(strings.ToLower(t), "attack.t")
		if !ok || name == "" || name[0] < '0' || name[0] > '9' {
			continue
		}
		if r.technique == "" {
			r.technique = "T" + name
		}
		if name == "1007" {
			r.technique, r.t1007 = "T1007", true
		}
	}
	r.rawOnly = true
	for _, f := range sr.EventFields() {
		if _, ok := commandFields[f]; ok {
			r.rawOnly = false
		}
	}
	return r, nil
}

// appliesTo compares the rule's product with the platform; an unknown platform
// or a rule without product match each other.
func (r *Rule) appliesTo(p evidence.Platform) bool {
	switch r.LogSource.Product {
	case "", "any":
		return true
	case "windows":
		return p == evidence.Windows || p == ""
	case "linux":
		return p == evidence.Linux || p == ""
	case "macos":
		return p == evidence.Darwin || p == ""
	}
	return false
}
