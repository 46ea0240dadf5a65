package incident

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

const t0 = 1_800_000_000

func verdict(n int) Verdict {
	return Verdict{Score: n, Severity: score.Severity(n), Attribution: none(), Reasons: []score.Reason{{Factor: "rule_level", Weight: -1.1}}}
}

func command0(id string, at int64, user string, n int) Command {
	return Command{ID: id, Time: at, Host: "h", Actor: Actor{Username: user, Session: "s-" + user}, Canonical: []string{"systemctl list-units " + id}, Family: "systemctl", Scope: "all", Verdict: verdict(n)}
}

func install0(id string, at int64, user string, n int) Install {
	return Install{ID: id, Time: at, Host: "h", Action: evidence.Created, Kind: "systemd", Name: id + ".service", Path: "/opt/" + id, Actor: Actor{Username: user, Session: "s-" + user}, Verdict: verdict(n)}
}

// last are the incidents as they were told last.
func last(all map[string]*Incident, c Changed) map[string]*Incident {
	for _, x := range c.Incidents {
		all[x.ID] = x
	}
	return all
}

func TestBurstsSplitOnAQuietGap(t *testing.T) {
	b := NewBook(Default())
	var cmds []Command
	for i, at := range []int64{0, 60, 1800, 3700, 3700 + 1801, 3700 + 1801 + 1799} {
		cmds = append(cmds, command0(fmt.Sprint(i), t0+at, "al", 25))
	}
	cmds = append(cmds, command0("other", t0+30, "bo", 25))
	got := b.Add(Facts{Now: t0 + 9000, Commands: cmds})
	sizes := map[string][]int64{}
	for _, x := range got.Bursts {
		sizes[x.Actor.Username] = append(sizes[x.Actor.Username], x.Events)
	}
	// 1800 s is the gap itself, 1900 and 1801 are more.
	if fmt.Sprint(sizes) != "map[al:[3 1 2] bo:[1]]" {
		t.Errorf("bursts %v", sizes)
	}
	if len(got.BurstOf) != 7 || got.BurstOf["0"] != got.BurstOf["1"] || got.BurstOf["0"] == got.BurstOf["3"] {
		t.Errorf("where commands went: %v", got.BurstOf)
	}
	// A late command between two joins one of them and loses nothing.
	again := b.Add(Facts{Now: t0 + 9100, Commands: []Command{command0("late", t0+2000, "al", 25)}})
	if len(again.Bursts) != 1 || again.Bursts[0].Events != 4 && again.Bursts[0].Events != 2 {
		t.Errorf("late: %+v", again.Bursts)
	}
}

func TestAThousandCallsAreOneBurst(t *testing.T) {
	b := NewBook(Default())
	quiet := verdict(12)
	quiet.Attribution = attribution.Result{Kind: attribution.Management, Subject: "zabbix", Strength: 0.8}
	all := map[string]*Incident{}
	var told int
	for cycle := range 100 {
		var cmds []Command
		for i := range 10 {
			c := command0(fmt.Sprint(cycle, "-", i), t0+int64(cycle*36+i), "zabbix", 12)
			c.Verdict = quiet
			cmds = append(cmds, c)
		}
		c := b.Add(Facts{Now: t0 + int64(cycle*36+10), Commands: cmds})
		told += len(c.Bursts)
		last(all, c)
		if len(c.Bursts) != 1 || c.Bursts[0].Events != int64((cycle+1)*10) {
			t.Fatalf("cycle %d: %d bursts", cycle, len(c.Bursts))
		}
		if x := c.Bursts[0]; len(x.Sample) > maxSample || len(x.Distinct) > maxDistinct || len(x.Commands) > maxShown {
			t.Fatalf("a burst grows without bound: %d %d %d", len(x.Sample), len(x.Distinct), len(x.Commands))
		}
	}
	if len(all) != 1 {
		t.Fatalf("%d incidents", len(all))
	}
	for _, x := range all {
		if x.Decision != Record || x.Updated > t0+100 {
			t.Errorf("%s, updated %d s after it began: counts that grow are no news", x.Decision, x.Updated-t0)
		}
	}
	if told != 100 {
		t.Errorf("the burst was told %d times", told)
	}
}

func TestInstallsJoinWhatTheyFollow(t *testing.T) {
	for _, c := range []struct {
		name     string
		in       Install
		decision string
		relation string
		same     bool // in the burst's incident
	}{
		{"same session, suspicious", install0("i", t0+39, "al", 45), Escalate, BySession, true},
		{"same session, ordinary, soon", install0("i", t0+39, "al", 5), Escalate, BySession, true},
		{"same session, ordinary, hours later", install0("i", t0+6*3600, "al", 5), Review, BySession, true},
		{"another user, ordinary, soon", install0("i", t0+39, "bo", 5), Review, ByHost, true},
		{"another user, suspicious, soon", install0("i", t0+39, "bo", 25), Escalate, ByHost, true},
		{"another user, hours later", install0("i", t0+6*3600, "bo", 5), Record, "", false},
		{"before the listing", install0("i", t0-60, "al", 5), Record, "", false},
		{"high by itself, hours later", install0("i", t0+6*3600, "bo", 65), Escalate, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, order := range []string{"together", "one by one"} {
				b := NewBook(Default())
				all := map[string]*Incident{}
				cmd := command0("c", t0, "al", 25)
				if order == "together" {
					last(all, b.Add(Facts{Now: t0 + 7*3600, Commands: []Command{cmd}, Installs: []Install{c.in}}))
				} else {
					last(all, b.Add(Facts{Now: t0 + 30, Commands: []Command{cmd}}))
					last(all, b.Add(Facts{Now: t0 + 7*3600, Installs: []Install{c.in}}))
				}
				var with *Incident
				for _, x := range all {
					if len(x.Installs) > 0 {
						with = x
					}
				}
				if with == nil || (len(with.Bursts) > 0) != c.same || with.Decision != c.decision || with.Installs[0].Relation != c.relation {
					t.Errorf("%s: %+v", order, with)
				}
			}
		})
	}
}

// TestWhatWeakAccountsFor: that somebody works here accounts for a look at services, for
// a little more only so far, and not for what they install.
func TestWhatWeakAccountsFor(t *testing.T) {
	for _, c := range []struct {
		name     string
		kind     attribution.Kind
		strength float64
		score    int
		install  *Install
		decision string
	}{
		{"low", attribution.KnownUser, attribution.Weak, 39, nil, Record},
		{"medium", attribution.KnownUser, attribution.Weak, 49, nil, Review},
		{"more than that", attribution.KnownUser, attribution.Weak, 50, nil, Escalate},
		{"weaker, medium", attribution.KnownUser, attribution.Weak / 2, 44, nil, Review},
		{"weaker, more than that", attribution.KnownUser, attribution.Weak / 2, 45, nil, Escalate},
		{"a habit, medium", attribution.KnownUser, 0.3, 55, nil, Record},
		{"low, and an ordinary unit of nobody's hours later", attribution.KnownUser, attribution.Weak, 25, new(install0("i", t0+6*3600, "al", 5)), Escalate},
		{"a habit, and an ordinary unit", attribution.KnownUser, 0.3, 25, new(install0("i", t0+6*3600, "al", 5)), Record},
		{"an agent, and an ordinary unit", attribution.Management, attribution.Weak, 25, new(install0("i", t0+6*3600, "al", 5)), Record},
		{"low, and another's unit", attribution.KnownUser, attribution.Weak, 25, new(install0("i", t0+60, "bo", 5)), Record},
	} {
		b := NewBook(Default())
		cmd := command0("c", t0, "al", c.score)
		cmd.Attribution = attribution.Result{Kind: c.kind, Subject: "al", Basis: "b", Strength: c.strength}
		facts := Facts{Now: t0 + 7*3600, Commands: []Command{cmd}}
		if c.install != nil {
			facts.Installs = []Install{*c.install}
		}
		worst := Record
		for _, x := range last(map[string]*Incident{}, b.Add(facts)) {
			if x.Decision == Escalate || worst == Record {
				worst = x.Decision
			}
		}
		if worst != c.decision {
			t.Errorf("%s: %s", c.name, worst)
		}
	}
}

func TestCapsKeepTheStrongest(t *testing.T) {
	b := NewBook(Default())
	var list []Install
	for i := range 500 {
		n := 5
		if i == 3 {
			n = 95
		}
		list = append(list, install0(fmt.Sprint("s", i), t0+int64(i), "al", n))
	}
	var logons []Logon
	for i := range 5000 {
		logons = append(logons, Logon{Time: t0 + int64(i%400), Host: "h", Username: fmt.Sprint("u", i), Failed: true})
	}
	logons = append(logons, Logon{Time: t0 + 399, Host: "h", Username: "al", From: "192.0.2.1"})
	all := last(map[string]*Incident{}, b.Add(Facts{Now: t0 + 600, Installs: list, Logons: logons}))
	if len(all) != 1 {
		t.Fatalf("%d incidents of one run", len(all))
	}
	for _, x := range all {
		if len(x.Installs) > maxInstalls || len(x.Logons) > maxLogons || x.LeftOut["install"] == 0 || x.LeftOut["logon"] == 0 {
			t.Errorf("%d installs, %d logons, left out %v", len(x.Installs), len(x.Logons), x.LeftOut)
		}
		if x.Decision != Escalate || !strings.Contains(x.Summary, "critical") && x.Score < 95 {
			t.Errorf("the strongest was lost: %s, %d", x.Decision, x.Score)
		}
		own := false
		for _, l := range x.Logons {
			own = own || l.Username == "al"
		}
		if !own {
			t.Error("the actor's own logon was pushed out")
		}
	}
}

// TestRestore goes on in another Book from what was stored.
func TestRestore(t *testing.T) {
	b := NewBook(Default())
	first := b.Add(Facts{Now: t0 + 10, Commands: []Command{command0("c", t0, "al", 25)}, Logons: []Logon{{Time: t0 - 5, Host: "h", Username: "al", From: "10.0.0.1"}}})
	data, err := json.Marshal(struct {
		B []*Burst
		I []*Incident
	}{first.Bursts, first.Incidents})
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		B []*Burst
		I []*Incident
	}
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	again := NewBook(Default())
	again.Restore(stored.B, stored.I, Facts{}, nil)
	second := again.Add(Facts{Now: t0 + 100, Commands: []Command{command0("d", t0+60, "al", 25)}, Installs: []Install{install0("i", t0+90, "al", 30)}})
	if len(second.Incidents) != 1 || second.Incidents[0].ID != first.Incidents[0].ID || second.Bursts[0].ID != first.Bursts[0].ID || second.Bursts[0].Events != 2 {
		t.Fatalf("%+v", second)
	}
	x := second.Incidents[0]
	if len(x.Bursts) != 1 || x.Bursts[0] != second.Bursts[0] || len(x.Logons) != 1 || x.Decision != Escalate || x.Updated != t0+100 {
		t.Errorf("%+v", x)
	}
}

func TestUnusualConnections(t *testing.T) {
	conn := func(at int64, addr string, port int64) Connection {
		return Connection{Time: at, Host: "h", RemoteAddr: addr, RemotePort: port, Actor: Actor{Username: "al", Session: "s-al"}, Verdict: verdict(0)}
	}
	b := NewBook(Default())
	var usual []Connection
	for d := range int64(3) {
		usual = append(usual, conn(t0-d*86400, "198.51.100.1", 443))
	}
	b.Add(Facts{Now: t0, Connections: usual})
	for _, c := range []struct {
		addr string
		port int64
		want bool
	}{
		{"198.51.100.1", 443, false}, {"198.51.100.2", 443, true}, {"127.0.0.1", 443, false}, {"::1", 443, false}, {"fe80::1", 443, false}, {"224.0.0.1", 5353, false},
		{"10.0.0.1", 443, false}, {"10.0.0.2", 445, true}, {"2001:db8::1", 443, true}, {"2001:db8::2", 443, true}, {"not an address", 1, false}, {"::ffff:198.51.100.1", 443, false},
	} {
		got := b.Add(Facts{Now: t0 + 10, Connections: []Connection{conn(t0+5, c.addr, c.port)}})
		if (len(got.Unusual) == 1) != c.want {
			t.Errorf("%s:%d unusual %v, want %v", c.addr, c.port, !c.want, c.want)
		}
	}
	for i := range 60 {
		var flood []Connection
		for j := range maxDestinations / 20 {
			n := i*maxDestinations/20 + j
			flood = append(flood, conn(t0, fmt.Sprintf("203.%d.%d.%d", n>>16, n>>8&255, n&255), 443))
		}
		b.Add(Facts{Now: t0, Connections: flood})
	}
	if len(b.dests) > maxDestinations {
		t.Errorf("%d destinations are remembered", len(b.dests))
	}
	if _, ok := b.dests["198.51.100.1"]; !ok {
		t.Error("a destination of several days was forgotten for a flood")
	}
}

// TestWhatWeakAccountsForIsOneActors: that somebody works here does not part what one
// person did in several sessions, once some of it has to be looked at.
func TestWhatWeakAccountsForIsOneActors(t *testing.T) {
	for name, c := range map[string]struct {
		first     int
		second    string // who it is
		incidents int
	}{
		"the same person's":                   {60, "al", 1},
		"another's":                           {60, "bo", 2},
		"the same person's, nothing striking": {25, "al", 2},
	} {
		b := NewBook(Default())
		one, two := command0("one", t0, "al", c.first), command0("two", t0+5, c.second, 25)
		two.Actor.Session = "another"
		for _, cmd := range []*Command{&one, &two} {
			cmd.Attribution = attribution.Result{Kind: attribution.KnownUser, Subject: cmd.Actor.Username, Basis: "b", Strength: attribution.Weak}
		}
		all := last(map[string]*Incident{}, b.Add(Facts{Now: t0 + 10, Commands: []Command{one, two}}))
		if len(all) != c.incidents {
			t.Errorf("%s: %d incidents", name, len(all))
		}
	}
}

// TestAFloodOfActors: what thousands of users do neither grows without bound nor pushes out
// what is to be escalated.
func TestAFloodOfActors(t *testing.T) {
	cfg := Default()
	b := NewBook(cfg)
	b.Add(Facts{Now: t0, Commands: []Command{command0("mallory", t0, "mallory", 45)}})
	for cycle := range 10 {
		var cmds []Command
		for i := range 500 {
			name := fmt.Sprint("u", cycle*500+i)
			cmds = append(cmds, command0(name, t0+int64(cycle)+1, name, 25))
		}
		b.Add(Facts{Now: t0 + int64(cycle) + 1, Commands: cmds})
		bursts := 0
		for _, list := range b.host("h").bursts {
			bursts += len(list)
		}
		if n := len(b.host("h").incidents); n > cfg.MaxOpen || bursts > cfg.MaxBursts || cycle == 9 && (n < cfg.MaxOpen || bursts < cfg.MaxBursts/4) {
			t.Errorf("after cycle %d: %d incidents, %d bursts", cycle, n, bursts)
		}
	}
	got := b.Add(Facts{Now: t0 + 60, Installs: []Install{install0("implant", t0+60, "mallory", 5)}})
	if len(got.Incidents) != 1 || got.Incidents[0].Decision != Escalate || got.Incidents[0].Opened != t0 {
		t.Errorf("the install is not part of what came before: %+v", got.Incidents)
	}
}
