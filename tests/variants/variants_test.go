package variants

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// variant is one generated command line and what it must be judged as.
type variant struct {
	platform evidence.Platform
	line     line
	base     base
	by       []string // the changes, innermost first

	hides  hiding
	remote string
	loud   bool
}

func (v variant) with(c change) (variant, bool) {
	l, ok := c.apply(v.line)
	if !ok || c.asks && v.base.scope == "" {
		return v, false
	}
	v.line = l
	v.by = append(v.by[:len(v.by):len(v.by)], c.name)
	switch {
	case c.hides == hidden || v.hides == hidden:
		v.hides = hidden
	case c.hides == either:
		v.hides = either
	}
	if v.remote == "" {
		v.remote = c.remote // what is nearest to the command is where it runs
	}
	v.loud = v.loud || c.loud || c.remote != ""
	return v, true
}

// pairs is how many combinations of changes are drawn for each base.
const pairs = 12

// generate returns every base under every single change and record, and some of
// the combinations of two or three, the same ones each time.
func generate(g language) []variant {
	var out []variant
	seen := map[string]bool{}
	add := func(v variant) {
		key := fmt.Sprint(v.line.text, v.line.path, v.line.joined, v.line.original)
		if !seen[key] {
			seen[key] = true
			out = append(out, v)
		}
	}
	random := rand.New(rand.NewPCG(1, uint64(len(g.name))))
	all := append(append([]change(nil), g.spellings...), g.wrappings...)
	for _, b := range g.bases {
		start := variant{platform: g.platform, line: b.line, base: b, remote: b.remote, loud: b.remote != ""}
		hosts := []variant{start}
		if g.needs {
			hosts = hosts[:0]
			for _, w := range g.wrappings {
				if v, ok := start.with(w); ok {
					hosts = append(hosts, v)
				}
			}
		}
		for _, v := range hosts {
			add(v)
			for _, r := range g.records {
				if v, ok := v.with(r); ok {
					add(v)
				}
			}
		}
		for i, c := range all {
			if g.needs && i >= len(g.spellings) {
				break
			}
			v, ok := start.with(c)
			if !ok {
				continue
			}
			if g.needs {
				if v, ok = v.with(g.wrappings[i%len(g.wrappings)]); !ok {
					continue
				}
			}
			add(v)
			for _, r := range g.records {
				if v, ok := v.with(r); ok {
					add(v)
				}
			}
		}
		for range pairs {
			v, ok := start, true
			spellings, wrappings := random.IntN(2), 1+random.IntN(2)
			if g.needs {
				spellings, wrappings = 2, 1
			}
			for range spellings {
				if ok {
					v, ok = v.with(g.spellings[random.IntN(len(g.spellings))])
				}
			}
			for range wrappings {
				if ok {
					v, ok = v.with(g.wrappings[random.IntN(len(g.wrappings))])
				}
			}
			if ok {
				add(v)
			}
			if ok && len(g.records) > 0 {
				if v, ok := v.with(g.records[random.IntN(len(g.records))]); ok {
					add(v)
				}
			}
		}
	}
	return out
}

// wrong says in words what the verdict on v lacks, or "".
func wrong(v variant, got engine.Verdict) string {
	var out []string
	if got.T1007 != (v.base.scope != "") || string(got.Scope) != v.base.scope {
		out = append(out, fmt.Sprintf("scope %q, want %q", got.Scope, v.base.scope))
	}
	if v.base.scope == "" {
		return strings.Join(out, "; ")
	}
	concealed := false
	for _, r := range got.Reasons {
		concealed = concealed || r.Factor == "obfuscated" || r.Factor == "encoded"
	}
	if v.hides != either && concealed != (v.hides == hidden) {
		out = append(out, fmt.Sprintf("hidden %v, want %v", concealed, v.hides == hidden))
	}
	if !strings.EqualFold(got.RemoteHost, v.remote) {
		out = append(out, fmt.Sprintf("remote host %q, want %q", got.RemoteHost, v.remote))
	}
	if !v.loud && !concealed {
		switch {
		case v.base.scope == "single" && got.Score >= 40:
			out = append(out, fmt.Sprintf("a question about one is %d", got.Score))
		case v.base.scope == "all" && (got.Score < 20 || got.Score >= 40):
			out = append(out, fmt.Sprintf("a bare listing is %d", got.Score))
		}
	}
	return strings.Join(out, "; ")
}

// TestVariants judges every variant and fails on any wrong one. VARIANTS=all
// prints each change's count too, VARIANTS=dump every command line.
func TestVariants(t *testing.T) {
	_, judge, _, err := app.NewJudge("")
	if err != nil {
		t.Fatal(err)
	}
	type tally struct{ right, all int }
	families, changes := map[string]*tally{}, map[string]*tally{}
	count := func(m map[string]*tally, key string, ok bool) {
		if m[key] == nil {
			m[key] = &tally{}
		}
		m[key].all++
		if ok {
			m[key].right++
		}
	}
	now := time.Now()
	total, failed := tally{}, 0
	for _, g := range []language{windows, powershell, linux, macos} {
		for _, v := range generate(g) {
			p := evidence.Process{Platform: v.platform, CmdLine: v.line.text, Path: v.line.path, OriginalFileName: v.line.original, ArgsJoined: v.line.joined}
			says := wrong(v, judge.Judge(&p, nil, now))
			ok := says == ""
			total.all++
			if ok {
				total.right++
			} else if failed++; failed <= 200 || os.Getenv("VARIANTS") != "" {
				t.Errorf("%s, %s by %s: %s: %s", g.name, v.base.family, strings.Join(v.by, ", "), v.line.text, says)
			}
			count(families, g.name+": "+v.base.family, ok)
			if len(v.by) == 0 {
				count(changes, g.name+": as it is", ok)
			}
			for _, c := range v.by {
				count(changes, g.name+": "+c, ok)
			}
			if os.Getenv("VARIANTS") == "dump" {
				fmt.Printf("%s\t%s\t%q\n", g.name, v.base.scope, v.line.text)
			}
		}
	}
	table := func(title string, m map[string]*tally) {
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "%s\tright\tof\n", title)
		names := make([]string, 0, len(m))
		for k := range m {
			names = append(names, k)
		}
		sort.Strings(names)
		for _, k := range names {
			fmt.Fprintf(w, "%s\t%d\t%d\n", k, m[k].right, m[k].all)
		}
		_ = w.Flush()
	}
	if testing.Verbose() {
		table("family", families)
		if os.Getenv("VARIANTS") != "" {
			table("change", changes)
		}
	}
	fmt.Printf("variants: %d of %d right\n", total.right, total.all)
	if total.all < 1500 {
		t.Errorf("only %d variants", total.all)
	}
}
