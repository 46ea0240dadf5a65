package rule

import (
	"sync"

	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule/sigma"
)

// plan is which rules to look at for what, on one platform.
type plan struct {
	once sync.Once
	// byTool are the rules to look at for a command of the tool, rest those for all
	// other commands, in the order of the set.
	byTool map[string][]*Rule
	rest   []*Rule
	// whole are the rules about the process, whatever it runs.
	whole  []*Rule
	filter filter
}

// plan returns the plan of a platform.
func (s *Set) plan(platform evidence.Platform) *plan {
	p := &s.plans[len(s.plans)-1]
	switch platform {
	case evidence.Windows:
		p = &s.plans[0]
	case evidence.Linux:
		p = &s.plans[1]
	case evidence.Darwin:
		p = &s.plans[2]
	case "":
		p = &s.plans[3]
	}
	p.once.Do(func() { p.build(platform, s.rules) })
	return p
}

func (p *plan) build(platform evidence.Platform, rules []*Rule) {
	var needs [][][]sigma.Clue
	tools := map[*Rule][]string{}
	p.byTool = map[string][]*Rule{}
	for _, r := range rules {
		if !r.appliesTo(platform) {
			continue
		}
		alternatives := r.Needs(taste)
		needs = append(needs, alternatives)
		if r.rawOnly {
			p.whole = append(p.whole, r)
			continue
		}
		names := toolsOf(alternatives)
		tools[r] = names
		for _, t := range names {
			p.byTool[t] = nil
		}
	}
	// A rule that names no tools is looked at for each.
	for _, r := range rules {
		names, ok := tools[r]
		switch {
		case !ok:
		case names == nil:
			p.rest = append(p.rest, r)
			for t := range p.byTool {
				p.byTool[t] = append(p.byTool[t], r)
			}
		default:
			for _, t := range names {
				if list := p.byTool[t]; len(list) == 0 || list[len(list)-1] != r {
					p.byTool[t] = append(list, r)
				}
			}
		}
	}
	switch platform {
	case evidence.Windows, evidence.Linux, evidence.Darwin:
		p.filter = newFilter(platform, needs)
	default:
		p.filter.all = true // a command line's language is not known
	}
}

// toolsOf are the tools of which one is the command's in every alternative; nil when
// that is not so.
func toolsOf(alternatives [][]sigma.Clue) []string {
	var out []string
	for _, clues := range alternatives {
		tool, ok := clueOf(clues, "Tool")
		if !ok || !tool.Whole {
			return nil
		}
		for _, t := range tool.Texts {
			out = append(out, t.Literal)
		}
	}
	return out
}

// Hit is one rule that matched one simple command.
type Hit struct {
	Rule *Rule
	// Command is the index of the simple command, or -1 for the process as a whole.
	Command int
	Match   sigma.Match
}

// Match returns the rules that match the process p and the commands it runs, by
// rule id and command.
func (s *Set) Match(p *evidence.Process, res *cmdline.Result) []Hit {
	plan := s.plan(p.Platform)
	var hits []Hit
	for i := range res.Commands {
		cmd := &res.Commands[i]
		rules, ok := plan.byTool[cmd.Tool]
		if !ok {
			rules = plan.rest
		}
		if len(rules) == 0 {
			continue
		}
		ev := newEvent(p, cmd, res.Commands)
		for _, r := range rules {
			if m, ok := r.Rule.Match(ev); ok {
				hits = append(hits, Hit{Rule: r, Command: i, Match: m})
			}
		}
	}
	if len(plan.whole) == 0 {
		return hits
	}
	ev := newEvent(p, nil, nil)
	for _, r := range plan.whole {
		if m, ok := r.Rule.Match(ev); ok {
			hits = append(hits, Hit{Rule: r, Command: -1, Match: m})
		}
	}
	return hits
}
