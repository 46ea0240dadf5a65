// Package engine is the pipeline: the one place that knows the order of the rooms
// and talks to the store.
package engine

import (
	"fmt"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline/secret"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// Judge turns one process into a verdict: understand, match, attribute, score.
// It is immutable and safe for concurrent use.
type Judge struct {
	Rules       *rule.Set
	Weights     score.Weights
	Attribution attribution.Config
	// Understand reads a command line; cmdline.Parse by default.
	Understand func(cmdline.Input) cmdline.Result
}

// newFor is how long after its first command a user's family is new, in seconds:
// the commands of one visit are as new as its first.
const newFor = 3600

// volumeTail is the probability below which a day's count is an anomaly.
const volumeTail = 0.001

// History is what is known of earlier commands; nil for none.
type History interface {
	// Of returns the baseline of a user and family and the host's own rate a day.
	Of(username, family string) (state baseline.State, hostRate float64)
	// Learned reports whether the host was watched long enough to call
	// something new.
	Learned() bool
}

// Verdict is what Rollcall makes of one command line.
type Verdict struct {
	// Matched reports whether any rule matched; T1007 whether one about service
	// discovery did.
	Matched     bool
	T1007       bool
	Scope       rule.Scope
	Technique   string
	Family      string
	RuleIDs     []string
	Canonical   []string // the simple commands that matched, masked
	RemoteHost  string
	Attribution attribution.Result
	score.Verdict

	// Commands is everything the command line runs, and Hits what matched.
	Commands []cmdline.Command
	Issues   []string
	Hits     []rule.Hit
}

// Judge scores the process p against its history at the time now.
func (j *Judge) Judge(p *evidence.Process, h History, now time.Time) Verdict {
	res := j.understand(p)
	v := Verdict{Commands: res.Commands, Issues: res.Issues, Verdict: score.Verdict{Severity: "informational"}}
	v.Hits = j.Rules.Match(p, &res)
	if len(v.Hits) == 0 {
		return v
	}
	v.Matched = true
	best := v.Hits[0].Rule
	families := map[string]bool{}
	seenRule := map[string]bool{}
	seenCmd := map[int]bool{}
	var cmds []cmdline.Command
	for _, hit := range v.Hits {
		r := hit.Rule
		if better(r, best) {
			best = r
		}
		if r.T1007() {
			v.T1007 = true
			if r.Scope != rule.ScopeSingle {
				families[r.Family] = true
			}
			scope := r.Scope
			if scope == "" {
				scope = rule.ScopeAll
			}
			if scope.Wider(v.Scope) {
				v.Scope = scope
			}
		}
		if !seenRule[r.ID] {
			seenRule[r.ID] = true
			v.RuleIDs = append(v.RuleIDs, r.ID)
		}
		if hit.Command >= 0 && !seenCmd[hit.Command] {
			seenCmd[hit.Command] = true
			cmds = append(cmds, res.Commands[hit.Command])
		}
	}
	v.Technique, v.Family = best.Technique(), best.Family
	if v.T1007 {
		v.Technique = "T1007"
	}
	raw := make([]string, 0, len(cmds))
	for i := range cmds {
		raw = append(raw, cmds[i].Canonical)
		masked, _ := secret.MaskIn(cmds[i].Canonical)
		v.Canonical = append(v.Canonical, masked)
		if v.RemoteHost == "" {
			v.RemoteHost = cmds[i].RemoteHost
		}
	}
	if len(cmds) == 0 {
		masked, _ := secret.MaskIn(p.CmdLine)
		v.Canonical = []string{masked}
		cmds = res.Commands // the rule is about the process: all of it counts
	}
	lineage, _ := score.SuspiciousAncestor(p)
	if lineage == "script_host" {
		lineage = "" // script hosts are unusual, not unattributable: the OS uses them
	}
	v.Attribution = attribution.Attribute(attribution.Facts{
		Process: p, Canonical: raw, Concealed: score.Concealed(cmds), Lineage: lineage, Now: now,
	}, j.Attribution)
	factors := score.CommandFactors(p, cmds, len(families))
	factors = append(factors, historyFactors(p, best, h, now)...)
	if v.Attribution.Attributed() {
		factors = append(factors, score.Factor{Name: "attribution", Scale: v.Attribution.Strength,
			Evidence: strings.TrimSpace(fmt.Sprintf("%s %s: %s", v.Attribution.Kind, v.Attribution.Subject, v.Attribution.Basis))})
	}
	v.Verdict = score.Sum(best.Severity(), best.Title, factors, j.Weights)
	for i := range v.Reasons {
		v.Reasons[i].Evidence = present(v.Reasons[i].Evidence)
	}
	return v
}

func (j *Judge) understand(p *evidence.Process) cmdline.Result {
	parse := j.Understand
	if parse == nil {
		parse = cmdline.Parse
	}
	return parse(cmdline.Input{
		Text: p.CmdLine, Platform: p.Platform, Path: p.Path, CWD: p.CWD,
		OriginalFileName: p.OriginalFileName, ArgsJoined: p.ArgsJoined,
	})
}

// better prefers the higher level, then the wider scope.
func better(a, b *rule.Rule) bool {
	pa, pb := score.PriorOf(a.Severity()), score.PriorOf(b.Severity())
	if pa != pb {
		return pa > pb
	}
	return a.Scope.Wider(b.Scope)
}

func historyFactors(p *evidence.Process, r *rule.Rule, h History, now time.Time) []score.Factor {
	if h == nil || r.Scope == rule.ScopeSingle {
		return nil
	}
	st, host := h.Of(p.Username, r.Family)
	who := nonEmpty(p.Username, "this user")
	switch {
	case h.Learned() && st.Observations == 0:
		return []score.Factor{{Name: "first_seen", Evidence: fmt.Sprintf("%s never used %s here before", who, r.Family)}}
	case h.Learned() && p.Time >= st.FirstSeen && p.Time-st.FirstSeen < newFor:
		return []score.Factor{{Name: "first_seen", Evidence: fmt.Sprintf("%s first used %s here %d s before", who, r.Family, p.Time-st.FirstSeen)}}
	case !st.Learned():
		return nil
	}
	st = st.Advance(now.Unix())
	k := int(st.Today) + 1
	mean, _ := st.Predict(host)
	tail := st.Tail(k, 1, host)
	if tail > volumeTail {
		return nil
	}
	return []score.Factor{{Name: "volume_anomaly", Evidence: fmt.Sprintf("%d today, %.1f a day expected (p=%.2g)", k, mean, tail)}}
}

func nonEmpty(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
