//go:build linux

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"
	"unsafe"

	sigmago "github.com/bradleyjkemp/sigma-go"
	"github.com/bradleyjkemp/sigma-go/evaluator"
	ahocorasick "github.com/petar-dambovaliev/aho-corasick"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/cmdline"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

const linux, windows = evidence.Linux, evidence.Windows

// benign are everyday processes as live sources record them.
var benign = []evidence.Process{
	{Platform: linux, Path: "/usr/bin/gcc", ArgsJoined: true, CmdLine: "/usr/bin/gcc -O2 -Wall -Wextra -g -fstack-protector-strong -I/usr/include/glib-2.0 -I. -c -o build/obj/module_parser.o src/module_parser.c"},
	{Platform: linux, Path: "/bin/sh", ArgsJoined: true, CmdLine: "/bin/sh -c [ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi"},
	{Platform: linux, Path: "/bin/sh", ArgsJoined: true, CmdLine: "/bin/sh -c command -v debian-sa1 > /dev/null && debian-sa1 1 1"},
	{Platform: linux, Path: "/bin/ls", ArgsJoined: true, CmdLine: "ls --color=auto -la /home/alice/projects/weather/extension /home/alice/projects/weather/models", CWD: "/home/alice"},
	{Platform: linux, Path: "/bin/sed", ArgsJoined: true, CmdLine: `sed -ne s/^session\.save_handler=\(.*\)$/\1/p`},
	{Platform: linux, Path: "/bin/grep", ArgsJoined: true, CmdLine: "grep --color=auto -rn EXECVE /var/log/audit", CWD: "/root"},
	{Platform: linux, Path: "/usr/bin/date", ArgsJoined: true, CmdLine: "date +%s"},
	{Platform: linux, Path: "/usr/bin/sudo", ArgsJoined: true, CmdLine: "sudo -u postgres timeout 30 psql -At -c select 1"},
	{Platform: linux, Path: "/usr/bin/python3.11", ArgsJoined: true, CmdLine: "/usr/bin/python3 -u /opt/backup/agent.py --daemon --config /etc/backup/agent.conf"},
	{Platform: linux, Path: "/usr/bin/find", ArgsJoined: true, CmdLine: "find -O3 /var/lib/php/sessions/ -ignore_readdir_race -depth -mindepth 1 -name sess_* -type f -cmin +24 -delete"},
	{Platform: windows, Path: `C:\Program Files\Google\Chrome\Application\chrome.exe`, OriginalFileName: "chrome.exe", CmdLine: `"C:\Program Files\Google\Chrome\Application\chrome.exe" --type=renderer --lang=en-US --device-scale-factor=1 --num-raster-threads=4`},
	{Platform: windows, Path: `C:\Windows\System32\svchost.exe`, OriginalFileName: "svchost.exe", CmdLine: `C:\Windows\system32\svchost.exe -k netsvcs -p -s Schedule`},
	{Platform: windows, Path: `C:\Windows\System32\conhost.exe`, OriginalFileName: "CONHOST.EXE", CmdLine: `\??\C:\Windows\system32\conhost.exe 0xffffffff -ForceV1`},
	{Platform: windows, Path: `C:\Windows\System32\cmd.exe`, OriginalFileName: "Cmd.Exe", CmdLine: `C:\Windows\system32\cmd.exe /c ""C:\Build Tools\make.bat" all "`},
}

// longest is a command line of 140 bytes that has to be looked at to its end.
var longest = evidence.Process{Platform: linux, Path: "/bin/sh", ArgsJoined: true,
	CmdLine: "/bin/sh -c cd / && test -x /usr/lib/apt/apt.daily && run-parts --report /var/cache/updates/daily.d --arg=unattended --delay 180 >> /dev/null"}

// matching are commands that rules match, plain and hidden.
var matching = []evidence.Process{
	{Platform: linux, Path: "/usr/bin/systemctl", CmdLine: "systemctl list-units --type=service --all"},
	{Platform: linux, Path: "/bin/bash", ArgsJoined: true, CmdLine: "bash -c systemctl list-unit-files | grep enabled", Username: "mallory", LoginUser: "mallory"},
	{Platform: linux, Path: "/bin/ls", ArgsJoined: true, CmdLine: "ls -la /etc/init.d"},
	{Platform: windows, Path: `C:\Windows\System32\sc.exe`, CmdLine: "sc  query type= service state= all"},
	{Platform: windows, Path: `C:\Windows\System32\cmd.exe`, CmdLine: `cmd.exe /c "s^c  q^uery state= all | find "RUNNING""`},
	{Platform: windows, Path: `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, CmdLine: "powershell.exe -nop -w hidden -enc RwBlAHQALQBTAGUAcgB2AGkAYwBlAA=="},
}

func rules(t testing.TB) *rule.Set {
	set, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// toolNames are the tools that the rules name, long enough to be rare in text.
func toolNames(t testing.TB) []string {
	seen := map[string]bool{}
	for _, f := range files(t) {
		for _, m := range regexp.MustCompile(`(?m)^\s+(?:Tool: |- )([a-z][a-z0-9-]{3,})$`).FindAllStringSubmatch(string(f), -1) {
			seen[m[1]] = true
		}
	}
	var out []string
	for name := range seen {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// files are the embedded rules' texts.
func files(t testing.TB) [][]byte {
	paths, err := filepath.Glob(filepath.Join("..", "..", "extension", "rule", "rules", "*.yml"))
	if err != nil || len(paths) < 30 {
		t.Fatalf("%d rules: %v", len(paths), err)
	}
	var out [][]byte
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	return out
}

// automaton is the plainest fast form of Aho and Corasick's: a table of all states
// and bytes, both cases of a letter alike. It counts matches.
type automaton struct {
	next  [][256]uint16
	final []bool
}

func newAutomaton(words []string) *automaton {
	a := &automaton{next: make([][256]uint16, 1), final: make([]bool, 1)}
	for _, w := range words {
		at := uint16(0)
		for i := range len(w) {
			if a.next[at][w[i]] == 0 {
				a.next = append(a.next, [256]uint16{})
				a.final = append(a.final, false)
				a.next[at][w[i]] = uint16(len(a.next) - 1)
			}
			at = a.next[at][w[i]]
		}
		a.final[at] = true
	}
	fail := make([]uint16, len(a.next))
	queue := []uint16{}
	for c := range 256 {
		if s := a.next[0][c]; s != 0 {
			queue = append(queue, s)
		}
	}
	for k := 0; k < len(queue); k++ {
		s := queue[k]
		for c := range 256 {
			below := a.next[fail[s]][c]
			if to := a.next[s][c]; to != 0 {
				fail[to] = below
				a.final[to] = a.final[to] || a.final[below]
				queue = append(queue, to)
			} else {
				a.next[s][c] = below
			}
		}
	}
	for s := range a.next {
		for c := 'A'; c <= 'Z'; c++ {
			a.next[s][c] = a.next[s][c+32]
		}
	}
	return a
}

func (a *automaton) count(text string) (n int) {
	at := uint16(0)
	for i := range len(text) {
		at = a.next[at][text[i]]
		if a.final[at] {
			n++
		}
	}
	return n
}

// TestBenign is the hot path: the processes that no rule matches.
func TestBenign(t *testing.T) {
	set, names := rules(t), toolNames(t)
	a := newAutomaton(names)
	builder := ahocorasick.NewAhoCorasickBuilder(ahocorasick.Opts{AsciiCaseInsensitive: true, DFA: true})
	library := builder.Build(names)
	if len(names) < 100 || a.count("x systemctl y TASKLIST") != 2 {
		t.Fatalf("%d names", len(names))
	}
	found, named := 0, 0
	list := measure([]string{"benign", "benign aho-corasick table", "benign aho-corasick library", "benign parse"},
		func() {
			for i := range benign {
				if set.MayMatch(&benign[i]) {
					found++
				}
			}
		},
		func() {
			for i := range benign {
				named += a.count(benign[i].CmdLine)
			}
		},
		func() {
			for i := range benign {
				for it := library.Iter(benign[i].CmdLine); it.Next() != nil; {
				}
			}
		},
		func() {
			for i := range benign {
				p := &benign[i]
				res := cmdline.Parse(cmdline.Input{Text: p.CmdLine, Platform: p.Platform, Path: p.Path, CWD: p.CWD, OriginalFileName: p.OriginalFileName, ArgsJoined: p.ArgsJoined})
				found += len(set.Match(p, &res))
			}
		})
	if found != 0 {
		t.Fatalf("%d of the benign match", found)
	}
	allocs := testing.AllocsPerRun(100, func() {
		for i := range benign {
			set.MayMatch(&benign[i])
		}
	})
	budgets.keep(list...)
	n := time.Duration(len(benign))
	ours, limit := list[0], list[1]
	if list[2].cpu() < limit.cpu() {
		limit = list[2]
	}
	ratio := ours.ratio(limit, ofCPU)
	budgets.add(t, result{"benign process, to \"no match\"", fmt.Sprintf("%s, %.0f allocations", short(ours.cpu()/n), allocs),
		"Aho-Corasick over the same bytes " + short(limit.cpu()/n), ratioText(ratio), "<= 3x, 0 allocations", ratio <= 3 && allocs == 0, false})
	budgets.add(t, result{"the same, read as a shell would", short(list[3].cpu() / n), "the above " + short(ours.cpu()/n), ratioText(list[3].ratio(ours, ofCPU)), "", false, true})

	if len(longest.CmdLine) != 140 {
		t.Fatalf("%d bytes", len(longest.CmdLine))
	}
	list = measure([]string{"benign 140 bytes", "benign 140 bytes aho-corasick table"}, func() {
		if set.MayMatch(&longest) {
			found++
		}
	}, func() { named += a.count(longest.CmdLine) })
	if found != 0 {
		t.Fatal("the longest may match")
	}
	t.Logf("the automaton found %d names", named)
	budgets.keep(list...)
	ratio = list[0].ratio(list[1], ofCPU)
	budgets.add(t, result{"140 bytes, looked at to the end", short(list[0].cpu()), "Aho-Corasick " + short(list[1].cpu()), ratioText(ratio), "<= 1 µs, <= 3x",
		list[0].cpu() <= time.Microsecond && ratio <= 3, false})
}

// TestMatching is the whole way of a command that matches.
func TestMatching(t *testing.T) {
	set := rules(t)
	judge := &engine.Judge{Rules: set, Weights: score.DefaultWeights()}
	now := time.Now()
	var sigmas []*evaluator.RuleEvaluator
	for _, text := range files(t) {
		r, err := sigmago.ParseRule(text)
		if err != nil {
			continue
		}
		sigmas = append(sigmas, evaluator.ForRule(r))
	}
	if len(sigmas) < 30 {
		t.Fatalf("sigma-go reads %d rules", len(sigmas))
	}
	alternation := regexp.MustCompile(`(?i)\b(` + strings.Join(toolNames(t), "|") + `)\b.*(query|list|status|show|service|svc|init\.d|systemd)`)
	type event map[string]interface{}
	var events []event
	for i := range matching {
		p := &matching[i]
		for _, c := range cmdline.Parse(cmdline.Input{Text: p.CmdLine, Platform: p.Platform, Path: p.Path, ArgsJoined: p.ArgsJoined}).Commands {
			events = append(events, event{"Image": p.Path, "CommandLine": p.CmdLine, "Tool": c.Tool, "Verb": c.Verb, "Object": c.Object,
				"Canonical": c.Canonical, "Options": strings.Join(c.Options, " "), "Paths": strings.Join(c.Paths, " ")})
		}
	}
	parsed := make([]cmdline.Result, len(matching))
	for i := range matching {
		p := &matching[i]
		parsed[i] = cmdline.Parse(cmdline.Input{Text: p.CmdLine, Platform: p.Platform, Path: p.Path, ArgsJoined: p.ArgsJoined})
		if v := judge.Judge(p, nil, now); !v.T1007 {
			t.Fatalf("%s does not match", p.CmdLine)
		}
	}
	ctx, sink := context.Background(), 0
	list := measure([]string{"matching", "matching rules alone", "matching sigma-go", "matching regexp alternation"},
		func() {
			for i := range matching {
				sink += judge.Judge(&matching[i], nil, now).Score
			}
		},
		func() {
			for i := range matching {
				sink += len(set.Match(&matching[i], &parsed[i]))
			}
		},
		func() {
			for _, e := range events {
				for _, s := range sigmas {
					if r, err := s.Matches(ctx, map[string]interface{}(e)); err == nil && r.Match {
						sink++
					}
				}
			}
		},
		func() {
			for i := range matching {
				if alternation.MatchString(matching[i].CmdLine) {
					sink++
				}
			}
		})
	budgets.keep(list...)
	n := time.Duration(len(matching))
	one := list[0].cpu() / n
	budgets.add(t, result{"matching command: parse, rules, score", short(one), "", "", "<= 25 µs", one <= 25*time.Microsecond, false})
	budgets.add(t, result{"its rules alone", short(list[1].cpu() / n), fmt.Sprintf("sigma-go v0.6.6, %d of the rules: %s", len(sigmas), short(list[2].cpu()/n)), ratioText(list[1].ratio(list[2], ofCPU)), "", false, true})
	budgets.add(t, result{"the same, whole way", short(one), "naive regexp alternation on raw text: " + short(list[3].cpu()/n), ratioText(list[0].ratio(list[3], ofCPU)), "", false, true})
	if sink == 0 {
		t.Error("nothing was found")
	}
	for i := range matching {
		p := &matching[i]
		s := measure([]string{fmt.Sprintf("matching %d", i+1)}, func() { sink += judge.Judge(p, nil, now).Score })
		budgets.keep(s...)
		t.Logf("%s: %s", short(s[0].cpu()), p.CmdLine)
	}
}

// TestBaseline is what an event of a known user and family adds.
func TestBaseline(t *testing.T) {
	s := baseline.State{Count: 40, Days: 12, Day: 19_000, FirstSeen: 1, Observations: 40}
	sink := 0.0
	list := measure([]string{"baseline"}, func() {
		s = s.Observe(19_000 * 86_400)
		sink += s.Tail(int(s.Today%50), 1, 1)
	})
	budgets.keep(list...)
	size := unsafe.Sizeof(s) + unsafe.Sizeof(store.BaselineKey{})
	own := unsafe.Sizeof(s)
	budgets.add(t, result{"baseline update and tail", short(list[0].cpu()), "", "", "<= 1 µs", list[0].cpu() <= time.Microsecond, false})
	budgets.add(t, result{"baseline of a key", fmt.Sprintf("%d B (%d with its key)", own, size), "", "", "<= 128 B", own <= 128, false})
	if sink == 0 {
		t.Error("no tail")
	}
}

// TestPassedOver tells how many of recorded processes are passed over, where CORPORA
// names the folder they are in, and fails if one of them matches.
func TestPassedOver(t *testing.T) {
	dir := os.Getenv("CORPORA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "corpora")
	}
	set := rules(t)
	type share struct{ over, unmatched int }
	classes := map[string]*share{}
	for _, name := range []string{"t1007_positives.jsonl", "t1007_negatives.jsonl"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Skipf("NOT TESTED: %v; set CORPORA to the folder with it", err)
		}
		scan := bufio.NewScanner(f)
		scan.Buffer(make([]byte, 1<<20), 16<<20)
		for scan.Scan() {
			var r struct {
				Platform, Path, CmdLine, Class string
				Original                       string `json:"original_filename"`
			}
			if err := json.Unmarshal(scan.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			p := evidence.Process{Platform: evidence.ParsePlatform(r.Platform), Path: r.Path, CmdLine: r.CmdLine, OriginalFileName: r.Original}
			// What was recorded on Linux came from a source that joins words, or was typed.
			p.ArgsJoined = p.Platform == linux && r.Path != ""
			res := cmdline.Parse(cmdline.Input{Text: p.CmdLine, Platform: p.Platform, Path: p.Path, OriginalFileName: p.OriginalFileName, ArgsJoined: p.ArgsJoined})
			may, hit := set.MayMatch(&p), len(set.Match(&p, &res)) > 0
			if hit && !may {
				t.Errorf("passed over though it matches: %s", p.CmdLine)
			}
			if r.Class == "" {
				continue // a positive
			}
			if classes[r.Class] == nil {
				classes[r.Class] = &share{}
			}
			if !hit {
				classes[r.Class].unmatched++
			}
			if !may {
				classes[r.Class].over++
			}
		}
		if err := errors.Join(scan.Err(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for k := range classes {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		c := classes[k]
		budgets.add(t, result{"passed over: " + k, fmt.Sprintf("%d of %d", c.over, c.unmatched), "processes that no rule matches", fmt.Sprintf("%.1f %%", 100*float64(c.over)/float64(max(1, c.unmatched))), "", false, true})
	}
}
