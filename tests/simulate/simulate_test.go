package simulate_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/rule"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/store"
	"github.com/osquery-rollcall/rollcall/tests/simulate"
)

// declared is what the fleet's administrators say of it: working hours, the agents
// with their accounts and sources, the scanner, the maintenance windows. Nobody is
// told of a single administrator.
const declared = `
attribution:
  business_hours: {time_zone: UTC, days: [mon-fri], from: "07:00", to: "19:00", holidays: [2026-07-04, 2026-07-17]}
  agents:
    - {name: zabbix, reason: monitoring}
    - {name: sccm, reason: software distribution}
    - {name: ansible, users: [ansible], sources: [10.0.0.5], reason: configuration management}
  scanners:
    - {name: nessus, users: [svc-scan, '*\svc-scan'], sources: [10.9.9.9], services: ["tenable_mw_scan*"], weekdays: [sun], hours: "02:00-06:00", time_zone: UTC, reason: vulnerability scans}
  maintenance:
    - {reference: CHG-1, weekdays: [sat], hours: "01:00-07:00", time_zone: UTC, users: ["adm-*", '*\adm-*'], reason: patching}
`

// hour is what happened between two times: a live host is read as it goes, and knows
// nothing of what comes later.
func hour(b *evidence.Batch, from, to int64) evidence.Batch {
	return evidence.Batch{
		Processes:   within(b.Processes, from, to, func(p evidence.Process) int64 { return p.Time }),
		Installs:    within(b.Installs, from, to, func(i evidence.Install) int64 { return i.Time }),
		Logons:      within(b.Logons, from, to, func(l evidence.Logon) int64 { return l.Time }),
		Connections: within(b.Connections, from, to, func(c evidence.Connection) int64 { return c.Time }),
		Changes:     within(b.Changes, from, to, func(c evidence.Change) int64 { return c.Time }),
	}
}

func within[T any](list []T, from, to int64, at func(T) int64) (out []T) {
	for _, x := range list {
		if t := at(x); from <= t && t < to {
			out = append(out, x)
		}
	}
	return out
}

// result is what was made of the fleet.
type result struct {
	hostDays, intrusions, escalated int
	falseEscalations, falseReviews  int
	records                         int
	missed                          []string
	escalations, reviews            map[string]int // false ones, by what they look like
	took                            time.Duration
	perStory                        map[string][2]int
	below                           map[int][]string // incidents of intrusions that were not escalated
}

func load(t testing.TB, text string) config.Config {
	t.Helper()
	c, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// run judges a fleet host by host, through the engine that osqueryd's hosts run.
func run(t testing.TB, f *simulate.Fleet, days int, weights func(score.Weights)) result {
	t.Helper()
	started := time.Now()
	rules, err := rule.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	cfg := load(t, declared)
	w := cfg.ScoreWeights()
	if weights != nil {
		weights(w)
	}
	judge := &engine.Judge{Rules: rules, Weights: w, Attribution: cfg.Attribution}
	total := result{intrusions: len(f.Intrusions), escalations: map[string]int{}, reviews: map[string]int{}, perStory: map[string][2]int{}, below: map[int][]string{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				if err := runHost(t, f, i, days, judge, &mu, &total); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range f.Hosts {
		next <- i
	}
	close(next)
	wg.Wait()
	total.took = time.Since(started)
	return total
}

func runHost(t testing.TB, f *simulate.Fleet, n, days int, judge *engine.Judge, mu *sync.Mutex, total *result) (err error) {
	ctx := context.Background()
	st, err := store.OpenTemporary(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	clock := time.Unix(simulate.Start, 0)
	source := &simulate.Feed{}
	e, err := engine.New(ctx, engine.Options{Judge: judge, Store: st, Sources: []engine.Source{source}, HostID: f.Hosts[n].Name, Host: f.Hosts[n].Name, Now: func() time.Time { return clock },
		Administrator: func(_ context.Context, user string) evidence.Tristate {
			if strings.Contains(user, "adm-") || user == `CORP\tmpadmin` {
				return evidence.Yes
			}
			return evidence.No
		}})
	if err != nil {
		return err
	}
	all := map[string]*incident.Incident{} // the store lets go of what is closed and old
	for d := range days {
		day := f.Day(n, d)
		for h := range int64(24) {
			from := simulate.Start + int64(d)*86400 + h*3600
			source.Batch = hour(&day.Batch, from, from+3600)
			if source.Empty() {
				continue
			}
			clock = time.Unix(from+3600, 0)
			if err := e.Collect(ctx); err != nil {
				return fmt.Errorf("%s, day %d: %w", f.Hosts[n].Name, d, err)
			}
		}
		if d%7 == 6 || d == days-1 {
			if err := st.Incidents(ctx, store.IncidentFilter{}, func(x *incident.Incident) error { all[x.ID] = x; return nil }); err != nil {
				return err
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	total.hostDays += days
	found := map[int]bool{}
	for _, x := range all {
		planted := -1
		for i, in := range f.Intrusions {
			if in.Host == n && x.Last >= in.From && x.Opened <= in.To {
				planted = i
			}
		}
		switch {
		case planted >= 0 && x.Decision == incident.Escalate:
			found[planted] = true
		case planted >= 0:
			total.below[planted] = append(total.below[planted], x.Decision+": "+look(x))
		case x.Decision == incident.Escalate:
			total.falseEscalations++
			total.escalations[look(x)]++
		case x.Decision == incident.Review:
			total.falseReviews++
			total.reviews[look(x)]++
		default:
			total.records++
		}
	}
	for i, in := range f.Intrusions {
		if in.Host != n {
			continue
		}
		s := total.perStory[in.Story]
		s[1]++
		if found[i] {
			s[0]++
			total.escalated++
		} else {
			total.missed = append(total.missed, fmt.Sprintf("%s on %s, day %d", in.Story, f.Hosts[n].Name, in.Day)+"\n      "+strings.Join(total.below[i], "\n      "))
		}
		total.perStory[in.Story] = s
	}
	return nil
}

// look is what a false alarm looks like, for a person who mends it.
func look(x *incident.Incident) string {
	why := ""
	for _, y := range x.Bursts {
		if y.Loose != nil {
			why = " | " + y.Loose.Attribution.Basis
		}
		for _, r := range y.Reasons {
			why += " " + r.Factor
		}
	}
	return time.Unix(x.Opened, 0).UTC().Format("Mon 15:04 ") + strings.Join(x.DecisionReasons, "; ") + " | " + x.Summary + why
}

func (r result) print(t testing.TB, title string) {
	t.Helper()
	per := func(n, of int) string { return fmt.Sprintf("%.3f", float64(n)*float64(of)/float64(max(r.hostDays, 1))) }
	t.Logf("%s: %d host-days in %v; intrusions escalated %d of %d (%.1f %%); false escalations %d (%s per 10,000 host-days), false reviews %d (%s per 1,000), recorded only %d",
		title, r.hostDays, r.took.Round(time.Second), r.escalated, r.intrusions, 100*float64(r.escalated)/float64(max(r.intrusions, 1)),
		r.falseEscalations, per(r.falseEscalations, 10_000), r.falseReviews, per(r.falseReviews, 1000), r.records)
}

func top(t testing.TB, what string, m map[string]int) {
	t.Helper()
	var list []string
	for k := range m {
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b string) int { return m[b] - m[a] })
	for i, k := range list {
		if i == 12 {
			break
		}
		t.Logf("  %s x%d: %s", what, m[k], k)
	}
}

func fleetSize(t testing.TB) (hosts, days int) {
	hosts, days = 40, 40
	if s := os.Getenv("ROLLCALL_SIMULATE"); s != "" {
		if _, err := fmt.Sscanf(s, "%dx%d", &hosts, &days); err != nil {
			t.Fatalf("ROLLCALL_SIMULATE is HOSTSxDAYS, not %q", s)
		}
	}
	return hosts, days
}

// TestFleet holds the figures of the issue on a small fleet, and on the whole one
// with ROLLCALL_SIMULATE=1000x60 (make simulate).
func TestFleet(t *testing.T) {
	hosts, days := fleetSize(t)
	r := run(t, simulate.New(1, hosts, days, min(40, hosts/2), min(20, days/2)), days, nil)
	r.print(t, "fleet")
	for s, n := range r.perStory {
		t.Logf("  %d of %d: %s", n[0], n[1], s)
	}
	for _, m := range r.missed {
		t.Logf("  missed: %s", m)
	}
	top(t, "false escalation", r.escalations)
	top(t, "false review", r.reviews)
	if 100*r.escalated < 95*r.intrusions {
		t.Errorf("%d of %d intrusions were escalated: at least 95 %% have to be", r.escalated, r.intrusions)
	}
	// Of a small fleet one false alarm is allowed, whatever share that is.
	if n := max(1, r.hostDays/10_000); r.falseEscalations > n {
		t.Errorf("%d false escalations in %d host-days: at most %d", r.falseEscalations, r.hostDays, n)
	}
	if n := max(1, r.hostDays/1000); r.falseReviews > n {
		t.Errorf("%d false reviews in %d host-days: at most %d", r.falseReviews, r.hostDays, n)
	}
}

// TestColdStart plants the intrusions on the second day.
func TestColdStart(t *testing.T) {
	hosts, _ := fleetSize(t)
	r := run(t, simulate.New(2, hosts, 3, min(40, hosts/2), 1), 3, nil)
	r.print(t, "cold start")
	for _, m := range r.missed {
		t.Logf("  missed: %s", m)
	}
	if 100*r.escalated < 90*r.intrusions {
		t.Errorf("%d of %d intrusions were escalated: at least 90 %% have to be", r.escalated, r.intrusions)
	}
}

// TestFactorsWorth switches each factor of the context off in turn and says what
// that costs. It fails nothing: it is for who sets weights.
func TestFactorsWorth(t *testing.T) {
	if os.Getenv("ROLLCALL_SIMULATE_FACTORS") == "" {
		t.Skip("NOT TESTED: what each factor is worth takes minutes; make simulate runs it (ROLLCALL_SIMULATE_FACTORS=1)")
	}
	const hosts, days = 120, 40
	base := run(t, simulate.New(3, hosts, days, 40, 20), days, nil)
	base.print(t, "all factors")
	for _, d := range score.Definitions() {
		switch d.Family {
		case score.Novelty, score.Volume, score.Privilege, score.Lineage, score.Chain, score.Evasion, score.Attribution:
			r := run(t, simulate.New(3, hosts, days, 40, 20), days, func(w score.Weights) { w[d.Name] = 0 })
			if r.escalated != base.escalated || r.falseEscalations != base.falseEscalations || r.falseReviews != base.falseReviews {
				t.Logf("without %-28s escalated %+d, false escalations %+d, false reviews %+d", d.Name, r.escalated-base.escalated, r.falseEscalations-base.falseEscalations, r.falseReviews-base.falseReviews)
			} else {
				t.Logf("without %-28s no difference", d.Name)
			}
		}
	}
}
