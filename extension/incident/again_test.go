package incident

import (
	"fmt"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
)

// accounted is a command judged anew: it is a scanner's.
func accounted(c Command) Rejudged {
	c.Verdict = verdict(5)
	c.Attribution = attribution.Result{Kind: attribution.Scanner, Subject: "nessus", Strength: 0.9}
	return Rejudged{Command: c}
}

// TestRejudgeALongBurst: of a burst with more commands than are kept, the strongest that
// nobody is known for stays until all are accounted for.
func TestRejudgeALongBurst(t *testing.T) {
	b := NewBook(Default())
	var cmds []Command
	for i := range 2 * maxSample {
		cmds = append(cmds, command0(fmt.Sprint(i), t0+int64(i), "al", 25+i%20))
	}
	first := b.Add(Facts{Now: t0 + 100, Commands: cmds})
	x := first.Bursts[0]
	if x.Loose == nil || x.Loose.Score != 44 || first.Incidents[0].Decision != Escalate {
		t.Fatalf("at first: %+v", x.Loose)
	}
	for i, c := range cmds[1:] {
		b.Rejudge(nil, []Rejudged{accounted(c)})
		if x.Loose == nil {
			t.Fatalf("after %d of %d nobody's is left", i+1, len(cmds))
		}
	}
	if got := b.Add(Facts{Now: t0 + 110}); len(got.Incidents) != 1 || got.Incidents[0].Decision == Record || x.Attributed != x.Events-1 || x.Loose.ID != "0" {
		t.Errorf("all but one: %d of %d, loose %+v, %+v", x.Attributed, x.Events, x.Loose, got.Incidents)
	}
	b.Rejudge(nil, []Rejudged{accounted(cmds[0])})
	got := b.Add(Facts{Now: t0 + 120})
	if x.Loose != nil || len(got.Bursts) != 1 || len(got.Incidents) != 1 || got.Incidents[0].Decision != Record || got.Incidents[0].Attribution.Kind != attribution.Scanner || got.Incidents[0].Updated != t0+120 {
		t.Errorf("all of them: loose %+v, %+v", x.Loose, got.Incidents)
	}
	if more := b.Add(Facts{Now: t0 + 130}); len(more.Bursts)+len(more.Incidents) != 0 {
		t.Errorf("told again: %+v", more)
	}
}

// TestRejudgeTakesBack: what was accounted for can become nobody's.
func TestRejudgeTakesBack(t *testing.T) {
	b := NewBook(Default())
	mine := accounted(command0("c", t0, "al", 45)).Command
	in := install0("i", t0+10, "al", 70)
	in.Attribution = mine.Attribution
	first := b.Add(Facts{Now: t0 + 20, Commands: []Command{mine}, Installs: []Install{in}})
	for _, x := range first.Incidents {
		if x.Decision == Escalate {
			t.Fatalf("at first: %+v", x)
		}
	}
	if b.Under("h", in.Path, "", t0+11).Subject != "nessus" || b.YoungService("h", in.Path, "", t0+11) != "" {
		t.Error("the service is not the scanner's")
	}
	theirs := command0("c", t0, "al", 45)
	in.Verdict = verdict(70)
	b.Rejudge([]Install{in}, []Rejudged{{Command: theirs, Was: true}})
	if b.Under("h", in.Path, "", t0+11).Attributed() || b.YoungService("h", in.Path, "", t0+11) != in.Name {
		t.Error("the service is still the scanner's")
	}
	got := b.Add(Facts{Now: t0 + 30})
	if len(got.Bursts) != 1 || got.Bursts[0].Loose == nil || got.Bursts[0].Attributed != 0 || got.Bursts[0].Best.Score != 45 {
		t.Errorf("the burst: %+v", got.Bursts)
	}
	for _, x := range got.Incidents {
		if x.Decision != Escalate || x.Attribution.Attributed() {
			t.Errorf("%s %+v", x.Decision, x.Attribution)
		}
	}
	if len(got.Incidents) == 0 {
		t.Error("no incident was told")
	}
	// What is of nobody's burst changes nothing.
	b.Rejudge([]Install{install0("none", t0, "al", 1)}, []Rejudged{{Command: command0("none", t0, "bo", 90)}})
	if more := b.Add(Facts{Now: t0 + 40}); len(more.Bursts)+len(more.Incidents) != 0 {
		t.Errorf("told of what is not there: %+v", more)
	}
}

// TestRightsOfALogon: what Windows gave a logon is in the timeline, and among what the
// incident's own accounts may do.
func TestRightsOfALogon(t *testing.T) {
	b := NewBook(Default())
	got := b.Add(Facts{Now: t0 + 10, Commands: []Command{command0("c", t0, `CORP\al`, 45)}, Logons: []Logon{
		{Time: t0 - 5, Host: "h", Username: `CORP\al`, Type: "remote_interactive", From: "10.0.0.1", Privileged: true},
		{Time: t0 - 4, Host: "h", Username: `CORP\bo`, Type: "network", From: "10.0.0.2", Failed: true},
	}})
	if len(got.Incidents) != 1 {
		t.Fatalf("%d incidents", len(got.Incidents))
	}
	x := got.Incidents[0]
	var lines []string
	for _, e := range x.Timeline() {
		if e.Kind == "logon" {
			lines = append(lines, e.Subject+": "+e.Detail)
		}
	}
	if len(lines) != 2 || lines[0] != `logon of CORP\al: remote_interactive, from 10.0.0.1, with administrator's rights` || lines[1] != `failed logon of CORP\bo: network, from 10.0.0.2` {
		t.Errorf("the timeline: %q", lines)
	}
	if a := x.accounts(); len(a.Evidence) != 1 || a.Evidence[0] != `CORP\al logged on with administrator's rights` {
		t.Errorf("what the accounts may do: %+v", a)
	}
}
