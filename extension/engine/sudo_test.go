package engine_test

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// run is one command that somebody starts through sudo, as everybody tells of it.
type run struct {
	at int64 // when sudo starts
	// asks is how long sudo asks for a password, seconds.
	asks int64
	// sudo is its process id; the command's follows, with that of a fork between where
	// there is one. Where chain is set, sudo runs timeout and that the command.
	sudo        int64
	fork, chain bool
	// shell is set where a shell of ssh's became sudo.
	shell bool
	// whole is set where the command was given with its path: what sudo reports is then
	// what was typed, word for word.
	whole bool
}

// Who tells of a run: of sudo's start, of the command's and, in a chain, of the one
// between; sudo to the kernel's audit; sudo to syslog; osquery of the starts, late.
const (
	tellsShell = iota
	tellsSudo
	tellsReport
	tellsMiddle
	tellsCommand
	tellsSyslog
	tellsShellAgain
	tellsSudoAgain
	tellsMiddleAgain
	tellsCommandAgain
)

// tell is what one of them says, nothing where there is nothing to say.
func (r run) tell(who int) (source string, out []evidence.Process) {
	words, from := []string{"systemctl", "list-units"}, "/usr/bin/"
	if r.whole {
		words[0], from = from+words[0], ""
	}
	starter, middle := r.sudo, []string(nil)
	next := r.sudo + 1
	if r.fork {
		starter, next = next, next+1
	}
	if r.chain {
		middle = append([]string{"timeout", "9"}, words...)
	}
	behind := words
	if r.chain {
		behind = middle
	}
	began := r.at + r.asks
	start := func(at, pid, parent int64, words ...string) evidence.Process {
		return evidence.Process{Platform: evidence.Linux, Time: at, PID: pid, ParentPID: parent, Path: "/usr/bin/" + path.Base(words[0]), CmdLine: strings.Join(words, " "), UID: "0", Username: "root",
			LoginUID: "1000", LoginUser: "alice", Session: "3", Source: "kaudit", EID: fmt.Sprintf("%d:%d", at, pid)}
	}
	report := evidence.Process{Platform: evidence.Linux, Time: began, CmdLine: from + strings.Join(behind, " "), ArgsJoined: true, LoginUser: "alice", CWD: "/home/alice"}
	var p evidence.Process
	switch who {
	case tellsSudo, tellsSudoAgain:
		p = start(r.at, r.sudo, 600, append([]string{"sudo", "-n"}, behind...)...)
	case tellsShell, tellsShellAgain:
		if !r.shell {
			return "", nil
		}
		p = start(r.at, r.sudo, 600, "bash", "-c", "'sudo -n "+strings.Join(behind, " ")+"'")
	case tellsMiddle, tellsMiddleAgain:
		if !r.chain {
			return "", nil
		}
		p = start(began, next, starter, middle...)
	case tellsCommand, tellsCommandAgain:
		if r.chain {
			starter, next = next, next+1
		}
		p = start(began, next, starter, words...)
	case tellsReport:
		p = report
		p.LoginUID, p.ParentPID, p.ParentPath, p.Source, p.EID = "1000", r.sudo, "/usr/bin/sudo", "kaudit", fmt.Sprintf("%d:report %d", began, r.sudo)
	case tellsSyslog:
		p = report
		p.Path, p.ParentPath, p.UID, p.Username, p.Source, p.EID = "/usr/bin/"+path.Base(behind[0]), "sudo", "0", "root", "syslog", fmt.Sprint("line ", r.sudo)
	}
	if who >= tellsShellAgain {
		p.Time, p.Late, p.Source, p.EID, p.ArgsJoined = p.Time+3, 120, "process_events", fmt.Sprint(p.PID), true
	}
	return p.Source, []evidence.Process{p}
}

// orders are the ways in which the sources can tell of a run: each in its own order, the
// others before, between and after.
func orders() map[string][]int {
	kernel := []int{tellsShell, tellsSudo, tellsReport, tellsMiddle, tellsCommand}
	late := []int{tellsShellAgain, tellsSudoAgain, tellsMiddleAgain, tellsCommandAgain}
	with := func(i int) []int { return slices.Insert(slices.Clone(kernel), i, tellsSyslog) }
	return map[string][]int{
		"syslog first":            slices.Concat(with(0), late),
		"syslog after sudo":       slices.Concat(with(2), late),
		"syslog in between":       slices.Concat(with(3), late),
		"syslog after the kernel": slices.Concat(with(5), late),
		"syslog last":             slices.Concat(kernel, late, []int{tellsSyslog}),
		"no report":               slices.Concat([]int{tellsShell, tellsSudo, tellsMiddle, tellsCommand, tellsSyslog}, late),
		"no report, syslog first": slices.Concat([]int{tellsSyslog, tellsShell, tellsSudo, tellsMiddle, tellsCommand}, late),
		"the command first":       slices.Concat([]int{tellsCommand, tellsMiddle, tellsShell, tellsSudo, tellsReport, tellsSyslog}, late),
	}
}

// TestSudoIsOneRow: what sudo runs is one row, whoever tells of it, in whatever order
// and in how many cycles; and two runs of the same command are two.
func TestSudoIsOneRow(t *testing.T) {
	const at = 1_800_000_000
	j := judge(t)
	for _, tt := range []struct {
		name string
		runs []run
	}{
		{"sudo starts it", []run{{at: at, sudo: 700}}},
		{"a fork of sudo starts it", []run{{at: at, sudo: 700, fork: true}}},
		{"sudo starts it by its path", []run{{at: at, sudo: 700, whole: true}}},
		{"a fork of sudo starts it by its path", []run{{at: at, sudo: 700, fork: true, whole: true}}},
		{"twice through forks, by its path", []run{{at: at, sudo: 700, fork: true, whole: true}, {at: at + 1, sudo: 710, fork: true, whole: true}}},
		{"sudo asks first", []run{{at: at, asks: 40, sudo: 700}}},
		{"sudo asks first, a fork starts it", []run{{at: at, asks: 40, sudo: 700, fork: true}}},
		{"through timeout", []run{{at: at, sudo: 700, chain: true}}},
		{"through a fork and timeout", []run{{at: at, sudo: 700, fork: true, chain: true}}},
		{"from a shell", []run{{at: at, sudo: 700, shell: true}}},
		{"from a shell, through a fork", []run{{at: at, sudo: 700, shell: true, fork: true}}},
		{"twice", []run{{at: at, sudo: 700}, {at: at + 1, sudo: 710}}},
		{"twice in a second", []run{{at: at, sudo: 700}, {at: at, sudo: 710}}},
		{"twice through forks", []run{{at: at, sudo: 700, fork: true}, {at: at + 1, sudo: 710, fork: true}}},
		{"twice in a second through forks", []run{{at: at, sudo: 700, fork: true}, {at: at, sudo: 710, fork: true}}},
		{"twice through forks and timeout", []run{{at: at, sudo: 700, fork: true, chain: true}, {at: at + 2, sudo: 710, fork: true, chain: true}}},
		{"twice, sudo asks the first time", []run{{at: at, asks: 20, sudo: 700, fork: true}, {at: at + 23, sudo: 710, fork: true}}},
	} {
		for order, whos := range orders() {
			for _, cycles := range []string{"one by one", "run by run", "in turns", "at once"} {
				switch {
				case (len(tt.runs) == 1 || testing.Short()) && (cycles == "run by run" || cycles == "in turns"):
					continue // for one run they are as the others
				case order == "the command first" && (cycles == "one by one" || cycles == "in turns"):
					continue // the kernel tells in order
				case tt.runs[0].asks > 0 && strings.Contains(order, "syslog first"):
					continue // sudo writes it when it was answered
				}
				t.Run(tt.name+"/"+order+"/"+cycles, func(t *testing.T) { testRuns(t, j, tt.runs, whos, cycles) })
			}
		}
	}
}

// testRuns lets everybody tell of runs: each in a cycle, run by run in one or by turns;
// or the sources of one run or of all in one.
func testRuns(t *testing.T, j *engine.Judge, runs []run, whos []int, cycles string) {
	s := temporary(t)
	tellers := map[string]*teller{"kaudit": {name: "kaudit"}, "syslog": {name: "syslog"}, "process_events": {name: "process_events"}}
	e, err := engine.New(context.Background(), engine.Options{Judge: j, Store: s, Sources: []engine.Source{tellers["kaudit"], tellers["syslog"], tellers["process_events"]},
		HostID: "host-1", Now: func() time.Time { return time.Unix(1_800_000_100, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	collect := func() {
		if err := e.Collect(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	// osquery was heard before.
	tellers["process_events"].queue = []evidence.Process{{Platform: evidence.Linux, Time: 1_799_999_990, Late: 120, PID: 9, ParentPID: 8, Path: "/usr/bin/ls", CmdLine: "ls", Source: "process_events", EID: "1"}}
	collect()
	say := func(r run, who int) {
		if source, ps := r.tell(who); ps != nil {
			tellers[source].queue = append(tellers[source].queue, ps...)
		}
		if cycles == "one by one" || cycles == "in turns" {
			collect()
		}
	}
	if cycles == "in turns" {
		for _, who := range whos {
			for _, r := range runs {
				say(r, who)
			}
		}
	} else {
		for _, r := range runs {
			for _, who := range whos {
				say(r, who)
			}
			if cycles == "run by run" {
				collect()
			}
		}
	}
	collect()
	got := rows(t, s)
	if len(got) != len(runs) {
		t.Errorf("%d rows of %d commands", len(got), len(runs))
	}
	paths := map[int64]string{}
	for _, r := range runs {
		for _, who := range []int{tellsSudo, tellsMiddle, tellsCommand} {
			if _, ps := r.tell(who); ps != nil {
				paths[ps[0].PID] = ps[0].Path
			}
		}
	}
	for i := range got {
		p := &got[i].Process
		if shell := p.Path == "/usr/bin/bash" && runs[0].shell && paths[p.PID] == "/usr/bin/sudo"; p.PID == 0 || p.Path != paths[p.PID] && !shell {
			t.Errorf("%s as %d", p.Path, p.PID)
		}
		if p.ParentPath == "sudo" {
			t.Errorf("its parent has no path: %s", p.Path)
		}
		sources := strings.Split(p.Source, ",")
		slices.Sort(sources)
		if !slices.Equal(sources, []string{"kaudit", "process_events", "syslog"}) || p.LoginUser != "alice" || p.Username != "root" {
			t.Errorf("by %s: %s of %s", p.Source, p.Username, p.LoginUser)
		}
	}
	for i := range got {
		if p := &got[i].Process; t.Failed() {
			t.Logf("+%d %d/%d %s %q %s %s", p.Time-1_800_000_000, p.PID, p.ParentPID, p.Path, p.CmdLine, p.Source, got[i].Ancestry)
		}
	}
}

// TestSudoIsOneRowAfterRestart: what was joined is known to the next process, too.
func TestSudoIsOneRowAfterRestart(t *testing.T) {
	ctx := context.Background()
	j := judge(t)
	s := temporary(t)
	kernel, osquery := &teller{name: "kaudit"}, &teller{name: "process_events"}
	begin := func() *engine.Engine {
		e, err := engine.New(ctx, engine.Options{Judge: j, Store: s, Sources: []engine.Source{kernel, osquery}, HostID: "host-1", Now: func() time.Time { return time.Unix(1_800_000_100, 0) }})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	collect := func(e *engine.Engine) {
		if err := e.Collect(ctx); err != nil {
			t.Fatal(err)
		}
	}
	r := run{at: 1_800_000_000, sudo: 700, fork: true}
	e := begin()
	for _, who := range []int{tellsSudo, tellsReport, tellsCommand} {
		_, ps := r.tell(who)
		kernel.queue = append(kernel.queue, ps...)
		collect(e)
	}
	e = begin()
	// osquery tells of the command alone: its parent, a fork of sudo's, nobody ever saw.
	_, ps := r.tell(tellsCommandAgain)
	osquery.queue = append(osquery.queue, ps...)
	collect(e)
	got := rows(t, s)
	if len(got) != 1 || got[0].Process.Source != "kaudit,process_events" {
		t.Errorf("%d rows of one command: %+v", len(got), got)
	}
}
