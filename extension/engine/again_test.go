package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// scan is what a scanner does on a host: it logs on over the network, installs a service
// for a while, and that asks for the services.
type scan struct {
	*rig
	at   time.Time
	want [][2]int64 // spans whose logons were asked for
}

func newScan(t *testing.T) *scan {
	t.Helper()
	rules, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	st := temporary(t)
	s := &scan{at: time.Unix(1_800_000_000, 0)}
	s.rig = &rig{t: t, store: st, clock: s.at.Add(10 * time.Second), a: &script{name: "a"}, b: &script{name: "b"}}
	conf := attribution.Config{Scanners: []attribution.Authorised{{Name: "nessus", Users: []string{`CORP\svc_scan`}, Sources: []string{"10.9.0.0/24"}, Reason: "weekly scan"}}}
	s.e, err = engine.New(context.Background(), engine.Options{Judge: &engine.Judge{Rules: rules, Weights: score.DefaultWeights(), Attribution: conf}, Store: st,
		Sources: []engine.Source{s.a, s.b}, HostID: "machine", Host: "h", Now: func() time.Time { return s.clock },
		WantLogons: func(from, to int64) { s.want = append(s.want, [2]int64{from, to}) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const scanService = `C:\Windows\tenable_mw_scan_142a90.exe`

func (s *scan) run() {
	s.a.next.Installs = []evidence.Install{{Time: s.at.Unix(), TimeBasis: evidence.BasisEvent, Platform: evidence.Windows, Action: evidence.Created, Name: "tenable_mw_scan_142a90",
		ImagePath: scanService, ServiceType: "0x10", StartType: "3", Account: "LocalSystem", Source: "a", EID: "7"}}
	for i, line := range []string{"sc query", "net start", "tasklist /svc"} {
		s.a.next.Processes = append(s.a.next.Processes, evidence.Process{Time: s.at.Unix() + 2 + int64(i), Platform: evidence.Windows, PID: 700 + int64(i), ParentPID: 600, ParentPath: scanService,
			ParentCmdLine: scanService, Path: `C:\Windows\System32\cmd.exe`, CmdLine: "cmd.exe /c " + line, Username: `NT AUTHORITY\SYSTEM`, LogonID: "0x3e7", Source: "a", EID: line})
	}
	s.collect()
}

func (s *scan) logon(from string) {
	s.clock = s.clock.Add(10 * time.Second)
	s.b.next.Logons = []evidence.Logon{{Time: s.at.Unix() - 5, Platform: evidence.Windows, Username: `CORP\svc_scan`, Type: "network", From: from, LogonID: "0x9a1", Source: "b", EID: "1"}}
	s.collect()
}

func (s *scan) only() *incident.Incident {
	s.t.Helper()
	all := s.incidents()
	open := all[:0]
	for _, x := range all {
		if len(x.Bursts)+len(x.Installs) > 0 {
			open = append(open, x)
		}
	}
	if len(open) != 1 {
		s.t.Fatalf("%d incidents: %+v", len(open), open)
	}
	return open[0]
}

// TestLogonsThatComeLater: Windows tells of logons when an incident asks. What was judged
// without them is judged anew, the incident with it; the rows of what happened stay.
func TestLogonsThatComeLater(t *testing.T) {
	s := newScan(t)
	s.run()
	before := s.only()
	if before.Decision != incident.Escalate || before.Attribution.Attributed() {
		t.Fatalf("before anybody is known: %s %+v %q", before.Decision, before.Attribution, before.DecisionReasons)
	}
	if len(s.want) == 0 || s.want[0][0] > s.at.Unix()-60 || s.want[0][1] < s.at.Unix() {
		t.Fatalf("logons that were asked for: %v", s.want)
	}
	rows := s.installs()
	s.logon("10.9.0.5")
	after := s.only()
	if after.ID != before.ID || after.Decision != incident.Record || after.Attribution.Kind != attribution.Scanner || after.Attribution.Subject != "nessus" || after.Updated <= before.Updated || after.Score >= before.Score {
		t.Errorf("after: %s %d %+v %q", after.Decision, after.Score, after.Attribution, after.DecisionReasons)
	}
	if len(after.Installs) != 1 || after.Installs[0].Attribution.Kind != attribution.Scanner || len(after.Bursts) != 1 {
		t.Fatalf("what it holds: %+v", after)
	}
	y := after.Bursts[0]
	if y.Loose != nil || y.Attributed != 3 || y.Best.Attribution.Kind != attribution.Scanner || y.Best.Never != "" || y.Score >= before.Bursts[0].Score {
		t.Errorf("the burst: %d of %d attributed, %+v", y.Attributed, y.Events, y.Best)
	}
	if now := s.installs(); len(now) != len(rows) || now[0].Attribution != rows[0].Attribution || now[0].Recorded != rows[0].Recorded {
		t.Errorf("the row of the install changed: %+v", now)
	}
	// Nothing more is known: nothing more is said.
	s.clock = s.clock.Add(10 * time.Second)
	s.collect()
	if again := s.only(); again.Updated != after.Updated || again.Decision != after.Decision {
		t.Errorf("and later: %s, updated %d after %d", again.Decision, again.Updated, after.Updated)
	}
}

// TestLogonsFromElsewhere: the scanner's account from another address accounts for nothing.
func TestLogonsFromElsewhere(t *testing.T) {
	s := newScan(t)
	s.run()
	before := s.only()
	s.logon("198.51.100.7")
	after := s.only()
	if after.Decision != incident.Escalate || after.Attribution.Attributed() || after.Score < before.Score {
		t.Errorf("after: %s %d %+v", after.Decision, after.Score, after.Attribution)
	}
}

// TestWhereSomebodyCameFromComesLater: a command's login source counts when it is known,
// and what was new then is not called known because it was seen since.
func TestWhereSomebodyCameFromComesLater(t *testing.T) {
	s := newScan(t)
	p := asked(s.at, 100)
	p.Session = ""
	s.a.next.Processes = []evidence.Process{p}
	s.collect()
	before := s.only()
	s.clock = s.clock.Add(10 * time.Second)
	s.b.next.Logons = []evidence.Logon{{Time: s.at.Unix() - 5, Platform: evidence.Windows, Username: `CORP\mallory`, Type: "remote_interactive", From: "198.51.100.7", LogonID: "0x771", Source: "b", EID: "1"}}
	s.collect()
	after := s.only()
	best := after.Bursts[0].Best
	factors := map[string]bool{}
	for _, r := range best.Reasons {
		factors[r.Factor] = true
	}
	if best.From != "198.51.100.7" || !factors["remote_session"] || after.Bursts[0].Events != 1 || after.Score < before.Score {
		t.Errorf("it came from %q: %+v, %d after %d", best.From, best.Reasons, after.Score, before.Score)
	}
	for _, r := range before.Bursts[0].Best.Reasons {
		if !factors[r.Factor] {
			t.Errorf("%s is gone", r.Factor)
		}
	}
}
