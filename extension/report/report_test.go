package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/cmd/rollcall/term"
	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

// monday is a Monday, 00:00 UTC.
const monday = 1795996800 // 2026-11-30

func write(t testing.TB, r *Report) string {
	t.Helper()
	var out bytes.Buffer
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// full is a host with something everywhere, every text made by text.
func full(text func(what string) string) *Host {
	reasons := []score.Reason{{Factor: text("factor"), Weight: 1.5, Evidence: text("evidence")}, {Factor: "attribution", Weight: -2, Evidence: text("why")}}
	return &Host{
		Name: text("host"), UUID: text("uuid"), Platform: text("platform"), Notes: []string{text("hostnote")},
		Incidents: []*Incident{
			{
				ID: text("id"), Decision: incident.Escalate, DecisionReasons: []string{text("decided")}, Score: 95, Severity: text("severity"), Status: text("status"),
				Summary: text("summary"), Username: text("user"), LoginUser: text("login"), Attribution: text("attribution"), Basis: text("basis"),
				Opened: monday, Last: monday + 60, Reasons: reasons,
				Timeline: []incident.Entry{
					{Time: monday, Phase: incident.PhaseBefore, Kind: "logon", Subject: text("subject"), Detail: text("detail"), Score: -1, Source: text("source"), EID: text("eid")},
					{Time: monday + 5, Phase: incident.PhaseDuring, Kind: "command", Subject: text("command"), Score: 80},
					{Time: monday + 9000, Phase: text("phase"), Kind: text("kind"), Subject: text("odd"), Score: -1},
				},
				Triage: []incident.Answer{
					{Tier: incident.L1, Step: 1, Question: text("question"), Answer: text("answer"), Verdict: incident.Supports, Evidence: []string{text("fact")}, SQL: text("sql")},
					{Tier: text("tier"), Step: 2, Question: "?", Answer: "!", Verdict: text("verdict"), Command: text("containment")},
				},
			},
			{ID: "r", Decision: incident.Record, Score: 3, Severity: text("lowseverity"), Summary: text("lowsummary"), Username: text("lowuser"), Attribution: text("lowattribution")},
			{ID: "x", Decision: text("decision"), Summary: text("oddsummary")},
		},
		Installs: []*Install{{
			ID: "i", Time: monday, Action: text("action"), Kind: text("servicekind"), Name: text("service"), Program: text("program"), UnitPath: text("unit"), Account: text("account"),
			Installer: text("installer"), Username: text("by"), Package: text("package"), Attribution: text("installattribution"), Basis: text("installbasis"), Score: 60,
			Severity: text("installseverity"), Reasons: reasons,
		}},
		Runs:      []*Run{{ID: "b", Start: monday, End: monday + 9, Username: text("runner"), Families: []string{text("family")}, Events: 3, Known: true, Expected: 1, Tail: 0.1, Attribution: text("runattribution")}},
		Commands:  []Command{{ID: "1", Time: monday, Username: text("runner")}, {ID: "2", Time: monday, Username: text("other")}},
		Baselines: []Baseline{{Username: text("runner"), Family: text("family"), Learned: true}},
		Health:    []Health{{Component: text("component"), State: text("state"), Detail: text("known"), Remedy: text("remedy"), LastEvent: monday}},
	}
}

// TestEveryTextIsShownAndNoneIsMarkup has the same attack in every text of a report.
func TestEveryTextIsShownAndNoneIsMarkup(t *testing.T) {
	plain := map[string]bool{}
	r := &Report{Title: "title", Hosts: []*Host{full(func(what string) string { plain[what] = true; return "zz" + what })}, From: []string{"zzfrom"}, Notes: []string{"zznote"}}
	page := write(t, r)
	for what := range plain {
		if what == "eid" || what == "decision" || what == "phase" || what == "family" {
			continue // looked at below, or not shown
		}
		if !strings.Contains(page, "zz"+what) {
			t.Errorf("the page lacks %s", what)
		}
	}
	for _, attack := range []string{
		`<script>document.title='pwned'</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</title><script>alert(1)</script>`,
		`</style><style>*{display:none}`, `</svg></details><iframe src="javascript:alert(1)">`, `<!--`, `]]>`, `{{.}}`, `javascript:alert(1)`, `--><b>`, "\x00<b>", "\u202e<b>",
	} {
		bad := write(t, &Report{
			Title: attack, Version: attack, From: []string{attack}, Notes: []string{attack},
			Hosts: []*Host{full(func(string) string { return attack })},
		})
		same := write(t, &Report{
			Title: "harmless", Version: "harmless", From: []string{"harmless"}, Notes: []string{"harmless"},
			Hosts: []*Host{full(func(string) string { return "harmless" })},
		})
		if d := cmp.Diff(tags(same), tags(bad)); d != "" {
			t.Errorf("%q changed the markup (-want +got)\n%s", attack, d)
		}
		for _, hidden := range []string{"\x00", "\u202e"} {
			if strings.Contains(bad, hidden) {
				t.Errorf("%q reached the page", hidden)
			}
		}
	}
}

// tags are the tags of a page with their attributes' names.
func tags(page string) (out []string) {
	values := regexp.MustCompile(`="[^"]*"`)
	for _, m := range regexp.MustCompile(`<[^>]*>`).FindAllString(page, -1) {
		out = append(out, values.ReplaceAllString(m, "="))
	}
	return out
}

func TestPageLoadsNothing(t *testing.T) {
	page := write(t, &Report{Hosts: []*Host{full(func(what string) string { return what })}})
	for _, bad := range []string{"<script", "<link", "<img", "<iframe", "src=", "http:", "https:", "@import", "url(", "style=", "onload", "onclick"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(page)
	if style == nil {
		t.Fatal("no style")
	}
	sum := sha256.Sum256([]byte(style[1]))
	want := `<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; style-src &#39;sha256-` +
		strings.ReplaceAll(base64.StdEncoding.EncodeToString(sum[:]), "+", "&#43;") + `&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;">`
	if !strings.Contains(page, want) {
		t.Errorf("the policy is not %s", want)
	}
	if p, s := strings.Index(page, "Content-Security-Policy"), strings.Index(page, "<title>"); p < 0 || p > s {
		t.Error("the policy must come before what it governs")
	}
}

func TestPageIsBounded(t *testing.T) {
	r := &Report{}
	long := strings.Repeat("x\u202e", 4_000)
	for h := range 3 {
		host := &Host{Name: fmt.Sprint("host", h)}
		for i := range 300 {
			x := &Incident{ID: fmt.Sprint(h, "-", i), Decision: incident.Review, Score: i % 100, Summary: long, Opened: monday + int64(i)}
			if i < 40 {
				x.Decision = incident.Escalate
			}
			for j := range 500 {
				x.Timeline = append(x.Timeline, incident.Entry{Time: monday + int64(j), Kind: "command", Subject: long, Detail: long, Score: j % 7})
			}
			host.Incidents = append(host.Incidents, x)
		}
		for i := range 500 {
			host.Installs = append(host.Installs, &Install{ID: fmt.Sprint(h, i), Name: long, Score: i % 100, Time: monday})
		}
		r.Hosts = append(r.Hosts, host)
	}
	page := write(t, r)
	if n := strings.Count(page, "<article"); n != MaxIncidents {
		t.Errorf("%d incidents in full, want %d", n, MaxIncidents)
	}
	if n := strings.Count(page, "<article class=\"incident i-escalate\""); n != 120 {
		t.Errorf("%d of 120 to escalate are in full: the most urgent come first", n)
	}
	for _, want := range []string{"700 incidents are left out", "400 more entries are left out", "400 more changes with lower scores are left out"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	t.Logf("%d MB", len(page)>>20)
	if n := len(page) >> 20; n > 40 {
		t.Errorf("a page of %d MB", n)
	}
}

func TestHeadline(t *testing.T) {
	health := func(states ...string) (out []Health) {
		for i, s := range states {
			out = append(out, Health{Component: fmt.Sprint(i), State: s})
		}
		return out
	}
	for _, c := range []struct {
		name      string
		decisions []string
		health    []Health
		headline  string
		caution   string
	}{
		{"nothing", nil, nil, "Nothing needs an analyst.", ""},
		{"recorded", []string{incident.Record}, nil, "Nothing needs an analyst.", ""},
		{"blind", nil, health(evidence.StateFailed, evidence.StateDegraded), "Nothing needs an analyst.", "1 source of evidence has failed: what is not here may still have happened."},
		{"lossy", nil, health(evidence.StateDegraded, evidence.StateDegraded, evidence.StateOff), "Nothing needs an analyst.", "2 sources of evidence lost some of it: see the sources below."},
		{"review", []string{incident.Review, incident.Record}, nil, "1 incident is to be reviewed.", ""},
		{"no row of its own", []string{""}, nil, "1 incident is to be reviewed.", ""},
		{"both", []string{incident.Review, incident.Escalate, incident.Escalate}, nil, "2 incidents are for the second tier, 1 more to review.", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &Host{Name: "a", Health: c.health}
			for i, d := range c.decisions {
				h.Incidents = append(h.Incidents, &Incident{ID: fmt.Sprint(i), Decision: d})
			}
			r := &Report{Hosts: []*Host{h}}
			r.Merge()
			p := r.view()
			if p.Headline != c.headline || p.Caution != c.caution {
				t.Errorf("%q, %q", p.Headline, p.Caution)
			}
		})
	}
}

func TestMerge(t *testing.T) {
	r := &Report{Hosts: []*Host{
		{Name: "b", Incidents: []*Incident{{ID: "1", Decision: incident.Record, Score: 90}}},
		{Name: "a", UUID: "u1", Incidents: []*Incident{{ID: "2", Decision: incident.Review, Score: 30}}, Health: []Health{{Component: "x", State: evidence.StateOK}, {Component: "y", State: evidence.StateFailed}}},
		{Name: "A", Platform: "linux", Incidents: []*Incident{{ID: "2"}, {ID: "3", Decision: incident.Escalate, Score: 50}, {ID: "4", Decision: incident.Escalate, Score: 70}}},
		{Name: "a", UUID: "u2"},
	}}
	r.Merge()
	var got []string
	for _, h := range r.Hosts {
		s := h.Name + " " + h.UUID + " " + h.Platform
		for _, x := range h.Incidents {
			s += " " + x.ID
		}
		for _, x := range h.Health {
			s += " " + x.Component
		}
		got = append(got, s)
	}
	if d := cmp.Diff([]string{"a u1 linux 4 3 2 y x", "b   1", "a u2 "}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestNewest(t *testing.T) {
	h := &Host{
		Incidents: []*Incident{{ID: "old", Opened: monday - 90000, Last: monday - 86401}, {ID: "new", Opened: monday - 90000, Last: monday - 10}},
		Installs:  []*Install{{ID: "old", Time: monday - 86401}, {ID: "new", Time: monday}},
		Runs:      []*Run{{ID: "old", End: 5}, {ID: "new", End: monday}},
		Commands:  []Command{{ID: "old", Time: 5}, {ID: "wrong", Time: 1 << 50}, {ID: "new", Time: monday - 86400}},
	}
	(&Report{Hosts: []*Host{h}}).Newest(24 * time.Hour)
	if len(h.Incidents) != 1 || len(h.Installs) != 1 || len(h.Runs) != 1 || len(h.Commands) != 2 {
		t.Errorf("%d incidents, %d installs, %d runs, %d commands", len(h.Incidents), len(h.Installs), len(h.Runs), len(h.Commands))
	}
}

func TestShown(t *testing.T) {
	for _, c := range []struct {
		in   string
		most int
		want string
	}{
		{"plain", 10, "plain"},
		{"exe.\u202egpj", 20, `exe.\u202egpj`},
		{"a\nb\x1b[31m", 20, `a\nb\x1b[31m`},
		{"zehn Zeichen", 4, "zehn\u2026 (8 more characters)"},
		{"äöüß", 4, "äöüß"},
		{"äöüß", 3, "äöü\u2026 (1 more characters)"},
		{strings.Repeat("\u202e", 4), 13, `\u202e\u202e` + "\u2026 (2 more characters)"},
		{"\xff\xfe", 9, `\xff\xfe`},
	} {
		if got := shown(c.in, c.most); got != c.want {
			t.Errorf("shown(%q, %d) = %q, want %q", c.in, c.most, got, c.want)
		}
	}
	if got := shownLines("a\n\u202eb", 9); got != "a\n\\u202eb" {
		t.Errorf("%q", got)
	}
}

func TestSpan(t *testing.T) {
	for seconds, want := range map[int64]string{0: "0 s", 59: "59 s", 60: "1 min", 136: "2 min 16 s", 3600: "1 h", 3660: "1 h 1 min", 39 * 60: "39 min", 86400 + 7200: "1 d 2 h", 40*86400 + 5: "40 d"} {
		if got := span(seconds); got != want {
			t.Errorf("span(%d) = %q, want %q", seconds, got, want)
		}
	}
}

func TestScoreIsExplainedHonestly(t *testing.T) {
	sum := func(x *Incident, h *Host) *incidentView {
		v := &incidentView{}
		v.reasons(x, h)
		return v
	}
	own := sum(&Incident{Score: 92, Reasons: []score.Reason{{Weight: -0.8}, {Weight: 3.2}}}, &Host{})
	if own.Sum != "Sum +2.40 in log-odds: 92 of 100" || own.ReasonsOf != "" {
		t.Errorf("%+v", own)
	}
	floor := sum(&Incident{Score: 60, Reasons: []score.Reason{{Weight: -0.8}, {Weight: -3}}}, &Host{})
	if floor.Sum != "Score 60 of 100" {
		t.Errorf("a sum that is none: %q", floor.Sum)
	}
	host := &Host{
		Runs:     []*Run{{ID: "r1", Score: 40, Reasons: []score.Reason{{Factor: "run", Weight: -0.4}}}, {ID: "r2", Score: 99, Reasons: []score.Reason{{Weight: 9}}}},
		Installs: []*Install{{ID: "s1", Name: "evil", Score: 50, Reasons: []score.Reason{{Factor: "install", Weight: 0}}}},
	}
	part := sum(&Incident{ID: "x", Score: 80, RunIDs: []string{"r1"}, InstallIDs: []string{"s1"}}, host)
	if part.ReasonsOf != "the service evil" || len(part.Reasons) != 1 || part.Reasons[0].Factor != "install" || part.Sum != "Sum +0.00 in log-odds: 50 of 100" {
		t.Errorf("%+v", part)
	}
	if none := sum(&Incident{ID: "x", Score: 80}, host); none.Sum != "" || none.Reasons == nil || len(none.Reasons) != 0 {
		t.Errorf("%+v", none)
	}
}

func TestBars(t *testing.T) {
	for _, r := range viewReasons([]score.Reason{{Weight: -1}, {Weight: 3}, {Weight: 0}}) {
		if r.Zero != 25 || r.X < 0 || r.X+r.Width > 100 || r.Negative && r.X+r.Width != r.Zero || !r.Negative && r.X != r.Zero {
			t.Errorf("%+v", r)
		}
	}
	if r := viewReasons([]score.Reason{{Weight: 0}})[0]; r.Width != 0 || r.Zero != 0 {
		t.Errorf("%+v", r)
	}
}

// TestPictureOfTime has timelines of all shapes: what is drawn stays in the picture, in
// order, and covers nothing else.
func TestPictureOfTime(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := append(kindsInOrder(), "unknown")
	subjects := []string{"", "x", "systemctl list-units --type=service --all", "日本語のコマンド行です", strings.Repeat("W", 300)}
	for round := range 400 {
		n := 1 + rng.IntN(MaxTimeline)
		entries := make([]incident.Entry, n)
		at := int64(monday)
		for i := range entries {
			if steps := []int64{0, 0, 1, 7, 60, 3600, 200_000}; round%2 == 0 {
				at += steps[rng.IntN(len(steps))]
			} else {
				at += rng.Int64N(4)
			}
			entries[i] = incident.Entry{Time: at, Kind: kinds[rng.IntN(len(kinds))], Subject: subjects[rng.IntN(len(subjects))], Score: rng.IntN(102) - 1,
				Phase: []string{incident.PhaseBefore, incident.PhaseDuring, incident.PhaseAfter}[rng.IntN(3)]}
		}
		for _, s := range sizes() {
			check(t, draw(entries, s, "a"), entries, s)
			if t.Failed() {
				t.Fatalf("round %d, %s", round, s.class)
			}
		}
	}
}

func check(t *testing.T, c *chart, entries []incident.Entry, s size) {
	t.Helper()
	drawn := 0
	rows := map[float64][]mark{}
	for _, m := range c.Marks {
		rows[m.Y] = append(rows[m.Y], m)
		if m.X < c.Left || m.X+m.Width > c.Right+0.01 || m.Y < 0 || m.Y+m.Height > c.Bottom {
			t.Errorf("mark outside: %+v", m)
		}
	}
	for _, row := range rows {
		type thing struct {
			from, to float64
			what     string
		}
		var all []thing
		for _, m := range row {
			all = append(all, thing{m.X, m.X + m.Width, "mark " + m.Text})
			if m.Label == "" {
				continue
			}
			long := s.letter * float64(term.Width(m.Label))
			if long > m.LWidth+0.01 {
				t.Errorf("label %q is longer than its room", m.Label)
			}
			from := m.LX
			if m.LAnchor == "end" {
				from = m.LX + m.TextX - long
			}
			all = append(all, thing{from, from + long, "label " + m.Label})
			var first, last int
			switch n, _ := fmt.Sscanf(m.Text, "%d\u2013%d", &first, &last); n {
			case 1:
				drawn++
			case 2:
				drawn += last - first + 1
			}
		}
		slices.SortFunc(all, func(a, b thing) int { return int(1000 * (a.from - b.from)) })
		for i := 1; i < len(all); i++ {
			if all[i].from < all[i-1].to-0.01 {
				t.Errorf("%s (%.1f to %.1f) covers %s (%.1f to %.1f)", all[i].what, all[i].from, all[i].to, all[i-1].what, all[i-1].from, all[i-1].to)
			}
		}
	}
	if long := duringText; c.During.Width > 0 && (c.During.Anchor == "start" && c.During.TX+long > c.Right+0.01 || c.During.Anchor == "end" && c.During.TX-long < 0) {
		t.Errorf("the text of during is outside: %+v", c.During)
	}
	if c.During.Width < 0 || c.During.Width > 0 && (c.During.X < c.Left-0.01 || c.During.X+c.During.Width > c.Right+0.01) {
		t.Errorf("during: %+v", c.During)
	}
	reach := -100.0
	for _, k := range c.Ticks {
		if !strings.Contains(k.Text, ":") {
			continue
		}
		from := map[string]float64{"start": k.X, "middle": k.X - tickText/2, "end": k.X - tickText}[k.Anchor]
		if from < reach {
			t.Errorf("times cover each other: %+v", c.Ticks)
		}
		reach = from + tickText
	}
	x := positions(entries, s.left, c.Right)
	if !slices.IsSorted(x) {
		t.Errorf("positions out of order: %v", x)
	}
}

func TestMarksStandForAllEntries(t *testing.T) {
	var entries []incident.Entry
	for i := range 40 {
		entries = append(entries, incident.Entry{Time: monday + int64(i/4), Kind: []string{"command", "logon"}[i%2], Score: i})
	}
	c := draw(entries, sizes()[1], "a")
	total := 0
	for _, m := range c.Marks {
		var n int
		switch {
		case strings.Contains(m.Title, "entries"):
			fmt.Sscanf(m.Title, "%d", &n)
		default:
			n = 1
		}
		total += n
	}
	if total != len(entries) {
		t.Errorf("marks stand for %d of %d entries", total, len(entries))
	}
	if !strings.Contains(c.Marks[len(c.Marks)-1].Class, "k-command") && !strings.Contains(c.Marks[0].Class, "k-logon") {
		t.Errorf("classes: %+v", c.Marks)
	}
}

func TestFolded(t *testing.T) {
	entry := func(kind, phase string, score int) incident.Entry {
		return incident.Entry{Kind: kind, Phase: phase, Score: score}
	}
	var entries []incident.Entry
	add := func(n int, e incident.Entry) {
		for range n {
			entries = append(entries, e)
		}
	}
	add(foldFrom-1, entry("change", "before", -1))
	add(foldFrom, entry("logon", "before", -1))
	add(foldFrom+2, entry("logon", "after", -1))
	add(2*foldFrom, entry("command", "after", 20))
	add(1, entry("change", "after", -1))
	want := slices.Repeat([]int{1}, foldFrom-1)
	want = append(append(want, foldFrom), make([]int, foldFrom-1)...)
	want = append(append(want, foldFrom+2), make([]int, foldFrom+1)...)
	want = append(want, slices.Repeat([]int{1}, 2*foldFrom+1)...)
	if d := cmp.Diff(want, folded(entries)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	h := &Host{Incidents: []*Incident{{Decision: incident.Review, Timeline: entries}}}
	page := write(t, &Report{Hosts: []*Host{h}})
	if n := strings.Count(page, `<li class="fold">`); n != 2 {
		t.Errorf("%d folds, want 2", n)
	}
	if n := strings.Count(page, `<li class="entry `); n != len(entries) {
		t.Errorf("%d entries, want %d", n, len(entries))
	}
}

func TestHeat(t *testing.T) {
	base := Baseline{Username: "al", Family: "systemctl", Learned: true}
	base.Hours[9] = 5  // Monday 09
	base.Hours[10] = 1 // what is observed below, learned already
	h := &Host{
		Baselines: []Baseline{base},
		Commands: []Command{
			{ID: "1", Time: monday + 10*3600, Username: "al", Family: "systemctl"},             // Monday 10
			{ID: "2", Time: monday + 86400 + 11*3600 + 5, Username: "al", Family: "systemctl"}, // Tuesday 11: within two hours, of a weekday
			{ID: "3", Time: monday + 86400 + 12*3600, Username: "al", Family: "systemctl"},     // Tuesday 12: not
			{ID: "4", Time: monday + 5*86400 + 9*3600, Username: "al", Family: "systemctl"},    // Saturday 09: not
			{ID: "5", Time: monday + 9*3600, Username: "eve", Family: "sc"},                    // somebody else's hour
			{ID: "6", Time: monday - 30*86400, Username: "al", Family: "systemctl"},            // not of the week
			{ID: "7", Time: 1 << 50, Username: "al"},                                           // a wrong clock
		},
	}
	list, from, to := heats(h)
	if to != monday+5*86400+10*3600 || from != to-week*3600 {
		t.Fatalf("%d to %d", from, to)
	}
	var got []string
	for _, x := range list {
		got = append(got, fmt.Sprintf("%s: %s", x.Title, x.Note))
	}
	if d := cmp.Diff([]string{"All users: 5 commands, 3 at unusual hours", "al: 4 commands, 2 at unusual hours", "eve: 1 command, 1 at unusual hours"}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	cell := func(hour int) cell { return list[0].Cells[hour] }
	for hour, want := range map[int]string{9: "1 5 2 odd", 10: "1 0 0 seen", 24 + 11: "1 0 0 seen", 24 + 12: "1 0 0 odd", 5*24 + 9: "1 0 0 odd", 0: "0 0 0 "} {
		c := cell(hour)
		if got := fmt.Sprintf("%d %d %d %s", c.Count, c.Habit, c.Level, c.Class); got != want || c.Hour != hour {
			t.Errorf("hour %d: %s, want %s", hour, got, want)
		}
	}
	if baseline.HourOfWeek(monday) != 0 {
		t.Fatal("monday is none")
	}
	h.Baselines = nil
	if list, _, _ := heats(h); list[0].Unusual != 0 || list[0].Learned || list[0].Note != "5 commands; what is usual is not known yet" {
		t.Errorf("without baselines: %+v", list[0].Note)
	}
	if list, _, _ := heats(&Host{}); list != nil {
		t.Errorf("without commands: %v", list)
	}
}

func TestReasonsOfAnything(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int
	}{{`[{"factor":"a","weight":1}]`, 1}, {`[]`, 0}, {``, 0}, {`{}`, 0}, {`nonsense`, 0}} {
		if got := Reasons(c.in); len(got) != c.want {
			t.Errorf("%s: %v", c.in, got)
		}
	}
}
