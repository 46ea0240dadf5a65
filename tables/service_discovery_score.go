package tables

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// Scorer gives the verdict on a process without history.
type Scorer interface {
	Judge(p *evidence.Process, h engine.History, now time.Time) engine.Verdict
}

// The bounds of one call: inputs come from whoever may query.
const (
	maxInputs  = 10_000
	maxRecent  = 2 * maxInputs
	recentLife = 30 * time.Second
	// maxRecentText bounds what is remembered of inputs, in bytes.
	maxRecentText = 8 << 20
)

// input is what a row of service_discovery_score is asked about.
type input struct{ cmdline, platform, path, username, parentPath string }

// recentInputs remembers what was asked a moment ago: after a re-scan an IN list
// can arrive empty, and the rows must be the same.
type recentInputs struct {
	mu   sync.Mutex
	last map[input]time.Time
	size int
}

func (i input) size() int {
	return len(i.cmdline) + len(i.platform) + len(i.path) + len(i.username) + len(i.parentPath)
}

func (r *recentInputs) remember(in []input, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || len(r.last)+len(in) > maxRecent || r.size > maxRecentText {
		r.last, r.size = map[input]time.Time{}, 0
	}
	for _, one := range in {
		if _, ok := r.last[one]; !ok {
			if r.size += one.size(); r.size > maxRecentText {
				return
			}
		}
		r.last[one] = now
	}
}

// recall returns them with the empty input, which osquery's "= ”" hides: it
// calls without a value then.
func (r *recentInputs) recall(now time.Time) []input {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []input{{}}
	for in, at := range r.last {
		if now.Sub(at) > recentLife {
			r.size -= in.size()
			delete(r.last, in)
		} else if in != (input{}) {
			out = append(out, in)
		}
	}
	return out
}

// ServiceDiscoveryScore is the table that gives the verdict on command lines you
// name; hostPlatform is what an input without platform is read as.
func ServiceDiscoveryScore(s Scorer, hostPlatform evidence.Platform, clock func() time.Time) *Table {
	recent := &recentInputs{}
	return &Table{
		Name:        "service_discovery_score",
		Description: "The verdict on a command line you give in WHERE cmdline = or IN: what it runs, which rules match, how it scores and why. Without history: baselines and sessions are not asked.",
		Columns: []table.ColumnDefinition{
			integer("score", "0 to 100; 0 when no rule matches."),
			required(text("cmdline", "The command line to judge (input).")),
			pushed(text("platform", "Platform to read it as (input): windows, linux, darwin; this host's when not given.")),
			pushed(text("path", "Image that runs, when known (input).")),
			pushed(text("username", "User who runs it (input).")),
			pushed(text("parent_path", "Image of the parent (input).")),
			text("severity", "informational, low, medium, high or critical, by score."),
			integer("t1007", "1 when it is System Service Discovery."),
			text("scope", "How much is asked: all, single, registry, files, ..."),
			text("technique", "ATT&CK technique, empty when no rule matches."),
			text("rule_ids", "JSON list of the rules that match."),
			text("reasons", "JSON list of what makes up the score."),
			text("simple_commands", "JSON list of everything it runs, in one spelling."),
			text("remote_host", "Machine the question is for, when it is another one."),
			text("attribution", "Whose operation it is, when that shows."),
		},
		Examples: []string{
			"SELECT score, severity, scope, reasons FROM service_discovery_score WHERE cmdline = 'systemctl list-units --type=service'",
			"WITH s AS MATERIALIZED (SELECT * FROM service_discovery_score WHERE cmdline IN (SELECT cmdline FROM processes)) SELECT p.pid, p.name, s.score, s.scope FROM processes p JOIN s USING (cmdline) WHERE s.t1007 = 1",
			"SELECT c.command, s.score FROM service_discovery_score s CROSS JOIN crontab c WHERE s.cmdline IN (SELECT command FROM crontab) AND s.cmdline = c.command",
		},
		Generate: func(ctx context.Context, q table.QueryContext) (*Rows, error) {
			now := clock()
			inputs := inputsOf(q)
			if len(inputs) == 0 {
				inputs = recent.recall(now)
			} else {
				recent.remember(inputs, now)
			}
			rows := &Rows{}
			for _, in := range inputs {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				addScore(rows, s, in, hostPlatform, now)
			}
			return rows, nil
		},
	}
}

// inputsOf is every combination of the inputs given, bounded.
func inputsOf(q table.QueryContext) []input {
	orEmpty := func(v []string) []string {
		if len(v) == 0 {
			return []string{""}
		}
		return v
	}
	platforms, paths := orEmpty(values(q, "platform")), orEmpty(values(q, "path"))
	users, parents := orEmpty(values(q, "username")), orEmpty(values(q, "parent_path"))
	var out []input
	for _, c := range values(q, "cmdline") {
		for _, pl := range platforms {
			for _, pa := range paths {
				for _, u := range users {
					for _, pp := range parents {
						if len(out) >= maxInputs {
							return out
						}
						out = append(out, input{c, pl, pa, u, pp})
					}
				}
			}
		}
	}
	return out
}

func addScore(rows *Rows, s Scorer, in input, host evidence.Platform, now time.Time) {
	p := evidence.Process{CmdLine: in.cmdline, Path: in.path, Username: in.username, ParentPath: in.parentPath, Platform: evidence.ParsePlatform(in.platform)}
	if in.platform == "" {
		p.Platform = host
	}
	v := s.Judge(&p, nil, now)
	simple := make([]string, 0, len(v.Commands))
	for i := range v.Commands {
		if c := v.Commands[i].Canonical; c != "" {
			simple = append(simple, c)
		}
	}
	rows.Add(keyed(in.cmdline, in.platform, in.path, in.username, in.parentPath))
	// Inputs come back as they were given: SQLite compares them again.
	rows.Texts("cmdline", in.cmdline, "platform", in.platform, "path", in.path, "username", in.username, "parent_path", in.parentPath)
	rows.Int("score", int64(v.Score))
	rows.Texts("severity", v.Severity, "t1007", yes(v.T1007), "scope", string(v.Scope), "technique", v.Technique,
		"rule_ids", list(v.RuleIDs), "reasons", list(v.Reasons), "simple_commands", list(engine.Presentable(simple)),
		"remote_host", engine.Presentable([]string{v.RemoteHost})[0], "attribution", string(v.Attribution.Kind))
}

// list writes a JSON list, < and > as they are; an empty one is [].
func list[T any](v []T) string {
	if len(v) == 0 {
		return "[]"
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "[]"
	}
	return strings.TrimSuffix(b.String(), "\n")
}
