package report

import (
	"cmp"
	"crypto/sha256"
	_ "embed" // the page's template and style
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/score"
)

//go:embed page.html.tmpl
var pageTemplate string

//go:embed page.css
var pageStyle string

// page is what the template shows. Every text in it went through shown.
type page struct {
	Title, Version, Made, Period string
	Policy                       string
	Style                        template.CSS
	Tone                         string // escalate, review or calm
	Headline, Caution            string
	Tiles                        []tile
	Queue                        []*incidentView // what somebody has to look at
	Hosts                        []*hostView
	From, Notes                  []string
}

type tile struct{ Number, Label, Note, Class string }

type hostView struct {
	Anchor, Name, About string
	Escalate, Review    int
	Recorded            int
	Worst               *badge
	Incidents           []*incidentView
	Log                 []logView
	LogLeft             int
	Heats               []heat
	HeatPeriod          string
	HeatLearned         bool
	Runs                []runView
	RunsLeft            int
	Installs            []installView
	InstallsLeft        int
	Unattributed        int
	InstallsAll         int
	Health              []healthView
	Trouble             int
	Notes               []string
}

type badge struct {
	Score           int
	Severity, Class string
}

func newBadge(n int, severity string) badge {
	return badge{Score: n, Severity: shown(severity, maxWord), Class: score.Severity(n)}
}

// logView is the incidents of one user and attribution that were only recorded.
type logView struct {
	Badge                      badge
	Incidents                  int
	First, Last                string
	User, Attribution, Summary string
	first, last                int64
}

type incidentView struct {
	Anchor, Host, HostAnchor string
	ID, Decision, Status     string
	Class                    string // of the decision
	Badge                    badge
	Summary                  string
	Opened, Last, Lasted     string
	User, Attribution        string
	DecisionReasons          []string
	Reasons                  []reasonView
	ReasonsOf                string // whose they are, when not the incident's own
	Sum                      string
	Charts                   []*chart
	Folds                    []foldView
	EntriesLeft              int
	Tiers                    []tierView
	Open                     bool
}

type reasonView struct {
	Factor, Evidence, Weight string
	Negative                 bool
	X, Width, Zero           float64 // of its bar, 0 to 100
}

type entryView struct {
	Anchor                       string
	Number                       int
	Date, Clock, Phase, Kind     string // Date is empty when it is that of the entry before
	Subject, Detail, Source, EID string
	Class                        string // of its kind
	Badge                        *badge
}

// foldView is an entry of a timeline, or many of one kind under a line of their own.
type foldView struct {
	Fold    string // the line; empty for one entry
	Date    string // as an entry's
	Entries []entryView
}

type tierView struct {
	Name, Title string
	Steps       []stepView
}

type stepView struct {
	Step                 int
	Question, Answer     string
	Verdict, VerdictText string
	Evidence             []string
	EvidenceLeft         int
	SQL, Command         string
}

type runView struct {
	Start, Lasted, User, Families string
	Events                        int64
	Known                         bool
	Expected, Chance              string
	Bar, Mark                     float64 // 0 to 100: what was observed and what is expected
	Unusual                       bool
	Attribution                   string
	Badge                         badge
}

type installView struct {
	Time, Action, Kind, Name   string
	Program, UnitPath, Account string
	By, User, Package          string
	Attribution, Basis         string
	Badge                      badge
	Reasons                    []reasonView
	Incident, IncidentAnchor   string
}

type healthView struct {
	Component, State, Detail, Remedy, LastEvent string
	Class                                       string // of the state
	Read, Dropped, Gaps                         string
}

// trouble ranks the state of a source.
func trouble(state string) int {
	switch state {
	case evidence.StateFailed:
		return 3
	case evidence.StateDegraded:
		return 2
	case evidence.StateOff:
		return 1
	}
	return 0
}

// Write writes the page. It merges and sorts the report's hosts.
func (r *Report) Write(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{"n": measure}).Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	r.Merge()
	if err := t.Execute(w, r.view()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// measure writes a length of a picture.
func measure(x float64) string { return strconv.FormatFloat(round1(x), 'f', -1, 64) }

// policy forbids everything but the page's own style: no script, no connection, no
// picture, no form, no other base.
func policy() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}

func (r *Report) view() *page {
	p := &page{
		Title: shown(cmp.Or(r.Title, "Service discovery report"), maxWord), Version: shown(r.Version, maxWord), Made: Moment(r.Made.Unix()),
		Policy: policy(), Style: template.CSS(pageStyle), From: shownAll(r.From, maxLine), Notes: shownAll(r.Notes, maxLine),
	}
	hosts := r.Hosts
	if n := len(hosts) - MaxHosts; n > 0 {
		hosts = hosts[:MaxHosts]
		p.Notes = append(p.Notes, fmt.Sprintf("%s are left out: a page has at most %d.", many(n, "host", "hosts"), MaxHosts))
	}
	full := r.inFull(hosts)
	t := totals{}
	for i, h := range hosts {
		v := viewHost(h, fmt.Sprintf("h%d", i+1), full, &t)
		p.Hosts = append(p.Hosts, v)
		p.Queue = append(p.Queue, v.Incidents...)
	}
	slices.SortStableFunc(p.Queue, func(a, b *incidentView) int {
		return cmp.Or(cmp.Compare(urgency(b.Decision), urgency(a.Decision)), cmp.Compare(b.Badge.Score, a.Badge.Score), strings.Compare(b.Opened, a.Opened))
	})
	for i, x := range p.Queue {
		x.Open = i < 10
	}
	if t.left > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%s left out: a page shows the %d most urgent. Ask for fewer hosts or days to see them.", many(t.left, "incident is", "incidents are"), MaxIncidents))
	}
	p.Tone, p.Headline, p.Caution = t.headline()
	p.Tiles = t.tiles()
	if t.first > 0 {
		from, to := time.Unix(t.first, 0).UTC().Format(time.DateOnly), time.Unix(t.last, 0).UTC().Format(time.DateOnly)
		if p.Period = from; to != from {
			p.Period += " to " + to
		}
	}
	return p
}

// inFull are the incidents that are shown with all that belongs to them.
func (r *Report) inFull(hosts []*Host) map[*Incident]bool {
	var all []*Incident
	for _, h := range hosts {
		for _, x := range h.Incidents {
			if urgency(x.Decision) > 0 {
				all = append(all, x)
			}
		}
	}
	slices.SortStableFunc(all, byUrgency)
	full := map[*Incident]bool{}
	for _, x := range all[:min(len(all), MaxIncidents)] {
		full[x] = true
	}
	return full
}

// totals are what the page's head tells.
type totals struct {
	escalate, review, recorded int
	closed                     int // of the escalated
	installs, unattributed     int
	commands                   int
	failed, degraded           int
	left                       int
	first, last                int64
}

func (t *totals) saw(at int64) {
	if !sane(at) {
		return
	}
	if t.first == 0 || at < t.first {
		t.first = at
	}
	t.last = max(t.last, at)
}

func (t *totals) headline() (tone, headline, caution string) {
	switch {
	case t.escalate > 0:
		tone, headline = "escalate", many(t.escalate, "incident is for the second tier", "incidents are for the second tier")
		if t.review > 0 {
			headline += fmt.Sprintf(", %d more to review", t.review)
		}
	case t.review > 0:
		tone, headline = "review", many(t.review, "incident is to be reviewed", "incidents are to be reviewed")
	default:
		tone, headline = "calm", "Nothing needs an analyst"
	}
	switch {
	case t.failed > 0:
		caution = many(t.failed, "source of evidence has failed", "sources of evidence have failed") + ": what is not here may still have happened."
	case t.degraded > 0:
		caution = many(t.degraded, "source of evidence lost some of it", "sources of evidence lost some of it") + ": see the sources below."
	}
	return tone, headline + ".", caution
}

func (t *totals) tiles() []tile {
	n := func(x int) string { return fmt.Sprint(x) }
	class := func(x int, name string) string {
		if x == 0 {
			return "none"
		}
		return name
	}
	tiles := []tile{
		{n(t.escalate), "to escalate", "", class(t.escalate, "escalate")},
		{n(t.review), "to review", "", class(t.review, "review")},
		{n(t.recorded), "only recorded", "attributed or unremarkable", "plain"},
		{n(t.installs), "service changes", n(t.unattributed) + " nobody accounts for", "plain"},
		{n(t.commands), "questions about services", "", "plain"},
		{n(t.failed + t.degraded), "blind spots", "sources failed or degraded", class(t.failed+t.degraded, "review")},
	}
	if t.escalate > 0 {
		// Closed is what was quiet for long, not what somebody has seen to.
		tiles[0].Note = n(t.escalate-t.closed) + " still watched, " + n(t.closed) + " quiet since"
	}
	return tiles
}

func viewHost(h *Host, anchor string, full map[*Incident]bool, t *totals) *hostView {
	v := &hostView{Anchor: anchor, Name: shown(cmp.Or(h.Name, unnamed), maxWord), Notes: shownAll(h.Notes, maxLine)}
	about := []string{}
	if h.Platform != "" {
		about = append(about, shown(h.Platform, maxWord))
	}
	if h.UUID != "" {
		about = append(about, shown(h.UUID, maxWord))
	}
	v.About = strings.Join(about, ", ")
	own := map[string]string{}      // anchors of incidents
	recorded := map[[2]string]int{} // where a user and attribution is in the log
	for _, x := range h.Incidents {
		t.saw(x.Opened)
		t.saw(x.Last)
		if v.Worst == nil || x.Score > v.Worst.Score {
			b := newBadge(x.Score, x.Severity)
			v.Worst = &b
		}
		switch urgency(x.Decision) {
		case 2:
			t.escalate++
			v.Escalate++
			if x.Status == incident.Closed {
				t.closed++
			}
		case 1:
			t.review++
			v.Review++
		default:
			t.recorded++
			v.Recorded++
			v.log(x, recorded)
			continue
		}
		if !full[x] {
			t.left++
			continue
		}
		a := fmt.Sprintf("%s-i%d", anchor, len(v.Incidents)+1)
		own[x.ID] = a
		v.Incidents = append(v.Incidents, viewIncident(x, h, v, a, true))
	}
	v.commands(h, t)
	for i, x := range h.Runs {
		if i == MaxRuns {
			v.RunsLeft = len(h.Runs) - i
			break
		}
		v.Runs = append(v.Runs, viewRun(x))
	}
	for i, x := range h.Installs {
		t.saw(x.Time)
		t.installs++
		v.InstallsAll++
		if x.Attribution == "" || x.Attribution == "none" {
			t.unattributed++
			v.Unattributed++
		}
		if i < MaxInstalls {
			v.Installs = append(v.Installs, viewInstall(x, own))
		} else {
			v.InstallsLeft++
		}
	}
	for _, x := range h.Health {
		switch x.State {
		case evidence.StateFailed:
			t.failed++
			v.Trouble++
		case evidence.StateDegraded:
			t.degraded++
			v.Trouble++
		}
		v.Health = append(v.Health, viewHealth(x))
	}
	return v
}

// log counts an incident that was only recorded. Those with the highest scores come
// first, so the first of a user and attribution is its worst.
func (v *hostView) log(x *Incident, at map[[2]string]int) {
	key := [2]string{cmp.Or(x.LoginUser, x.Username), x.Attribution}
	i, ok := at[key]
	if !ok {
		if len(v.Log) >= MaxRecorded {
			v.LogLeft++
			return
		}
		i = len(v.Log)
		at[key] = i
		y := viewIncident(x, nil, v, "", false)
		v.Log = append(v.Log, logView{Badge: y.Badge, User: y.User, Attribution: y.Attribution, Summary: y.Summary, first: x.Opened, last: x.Opened})
	}
	l := &v.Log[i]
	l.Incidents++
	l.first, l.last = min(l.first, x.Opened), max(l.last, x.Opened)
	l.First, l.Last = Moment(l.first), Moment(l.last)
}

func (v *hostView) commands(h *Host, t *totals) {
	for _, c := range h.Commands {
		t.saw(c.Time)
	}
	t.commands += len(h.Commands)
	var from, to int64
	v.Heats, from, to = heats(h)
	if len(v.Heats) > 0 {
		v.HeatPeriod = time.Unix(from, 0).UTC().Format("2006-01-02 15:04") + " to " + time.Unix(to, 0).UTC().Format("2006-01-02 15:04") + " UTC"
		v.HeatLearned = v.Heats[0].Learned
	}
}

func viewIncident(x *Incident, h *Host, hv *hostView, anchor string, full bool) *incidentView {
	v := &incidentView{
		Anchor: anchor, Host: hv.Name, HostAnchor: hv.Anchor, ID: shown(x.ID, maxWord), Decision: shown(cmp.Or(x.Decision, "unknown"), maxWord), Status: shown(x.Status, maxWord),
		Class: []string{incident.Record, incident.Review, incident.Escalate}[urgency(x.Decision)],
		Badge: newBadge(x.Score, x.Severity), Summary: shown(x.Summary, maxLine), Opened: Moment(x.Opened), Last: Moment(x.Last),
		User: shown(cmp.Or(x.LoginUser, x.Username, "unknown"), maxWord), Attribution: attributed(x.Attribution),
	}
	if d := x.Last - x.Opened; x.Last > 0 && d >= 0 {
		v.Lasted = span(d)
	}
	if x.LoginUser != "" && x.Username != "" && x.LoginUser != x.Username {
		v.User += " as " + shown(x.Username, maxWord)
	}
	if x.Basis != "" {
		v.Attribution += " (" + shown(x.Basis, maxLine) + ")"
	}
	if !full {
		return v
	}
	v.DecisionReasons = shownAll(x.DecisionReasons, maxLine)
	v.reasons(x, h)
	entries := slices.Clone(x.Timeline)
	slices.SortStableFunc(entries, func(a, b incident.Entry) int { return cmp.Compare(a.Time, b.Time) })
	entries, v.EntriesLeft = within(entries, MaxTimeline)
	if len(entries) > 0 {
		for _, s := range sizes() {
			v.Charts = append(v.Charts, draw(entries, s, anchor))
		}
	}
	day := ""
	all := make([]entryView, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		y := entryView{
			Anchor: fmt.Sprintf("%s-t%d", anchor, i+1), Number: i + 1, Clock: clock(e.Time), Phase: shown(e.Phase, maxWord), Kind: shown(e.Kind, maxWord),
			Subject: shown(e.Subject, maxEntry), Detail: shown(e.Detail, maxEntry), Source: shown(e.Source, maxWord), EID: shown(e.EID, maxWord),
		}
		if slices.Contains(kindsInOrder(), e.Kind) {
			y.Class = "k-" + e.Kind
		}
		if d := date(e.Time); d != day {
			day, y.Date = d, d
		}
		if e.Score >= 0 {
			b := newBadge(e.Score, score.Severity(e.Score))
			y.Badge = &b
		}
		all = append(all, y)
	}
	for i, n := range folded(entries) {
		f := foldView{Entries: all[i : i+n]}
		switch n {
		case 0:
			continue
		case 1:
		default:
			f.Fold = fmt.Sprintf("%s, %s to %s: %s, \u2026", many(n, all[i].Kind, all[i].Kind+"s"), all[i].Clock, all[i+n-1].Clock, fitted(all[i].Subject, 80))
			f.Date, all[i].Date = all[i].Date, ""
		}
		v.Folds = append(v.Folds, f)
	}
	v.triage(x)
	return v
}

// within leaves out what is too much: what scores least goes first, and of that the
// latest.
func within(entries []incident.Entry, most int) (kept []incident.Entry, left int) {
	if len(entries) <= most {
		return entries, 0
	}
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(entries[b].Score, entries[a].Score) })
	order = order[:most]
	slices.Sort(order)
	for _, i := range order {
		kept = append(kept, entries[i])
	}
	return kept, len(entries) - most
}

// reasons shows what makes up the score; where an incident doesn't have them, those of
// its strongest part.
func (v *incidentView) reasons(x *Incident, h *Host) {
	list, of := x.Reasons, x.Score
	if len(list) == 0 {
		of = -1
		for _, y := range h.Runs {
			if slices.Contains(x.RunIDs, y.ID) && y.Score > of && len(y.Reasons) > 0 {
				list, of, v.ReasonsOf = y.Reasons, y.Score, "its strongest run of commands"
			}
		}
		for _, y := range h.Installs {
			if (slices.Contains(x.InstallIDs, y.ID) || y.IncidentID == x.ID) && y.Score > of && len(y.Reasons) > 0 {
				list, of, v.ReasonsOf = y.Reasons, y.Score, "the service "+shown(y.Name, maxWord)
			}
		}
	}
	v.Reasons = viewReasons(list)
	if len(list) == 0 {
		return
	}
	sum := 0.0
	for _, r := range list {
		sum += r.Weight
	}
	v.Sum = fmt.Sprintf("Score %d of 100", of)
	// Attribution can't lower a score below a floor, which is in no weight.
	if n := 100 / (1 + math.Exp(-sum)); math.Abs(n-float64(of)) <= 1.5 {
		v.Sum = fmt.Sprintf("Sum %s in log-odds: %d of 100", signed(sum), of)
	}
}

func signed(x float64) string {
	return strings.Replace(fmt.Sprintf("%+.2f", x), "-", "\u2212", 1)
}

func viewReasons(list []score.Reason) []reasonView {
	least, most := 0.0, 0.0
	for _, r := range list {
		least, most = math.Min(least, r.Weight), math.Max(most, r.Weight)
	}
	room := math.Max(most-least, 0.01)
	out := make([]reasonView, 0, len(list))
	for _, r := range list {
		zero := -least / room * 100
		x, width := zero, r.Weight/room*100
		if width < 0 {
			x, width = zero+width, -width
		}
		out = append(out, reasonView{
			Factor: shown(strings.ReplaceAll(r.Factor, "_", " "), maxWord), Evidence: shown(r.Evidence, maxLine), Weight: signed(r.Weight), Negative: r.Weight < 0,
			X: round1(x), Width: round1(width), Zero: round1(zero),
		})
	}
	return out
}

func round1(x float64) float64 { return math.Round(x*10) / 10 }

// maxEvidence is how many facts of an answer are listed.
const maxEvidence = 8

func (v *incidentView) triage(x *Incident) {
	titles := map[string]string{incident.L1: "First tier: is it an intrusion?", incident.T2: "Second tier: how far did it go?", incident.Containment: "Containment: commands to run, none of which Rollcall ran"}
	verdicts := map[string]string{incident.Supports: "speaks for an intrusion", incident.Refutes: "speaks against one", incident.Unknown: "no verdict", incident.Action: "to do"}
	steps := slices.Clone(x.Triage)
	slices.SortStableFunc(steps, func(a, b incident.Answer) int { return cmp.Compare(a.Step, b.Step) })
	for _, a := range steps {
		s := stepView{
			Step: a.Step, Question: shown(a.Question, maxLine), Answer: shown(a.Answer, maxLine), Verdict: shown(a.Verdict, maxWord), VerdictText: cmp.Or(verdicts[a.Verdict], shown(a.Verdict, maxWord)),
			SQL: shownLines(a.SQL, maxCommand), Command: shownLines(a.Command, maxCommand),
		}
		if verdicts[a.Verdict] == "" {
			s.Verdict = incident.Unknown
		}
		s.Evidence = shownAll(a.Evidence[:min(len(a.Evidence), maxEvidence)], maxLine)
		s.EvidenceLeft = len(a.Evidence) - len(s.Evidence)
		if n := len(v.Tiers); n == 0 || v.Tiers[n-1].Name != shown(a.Tier, maxWord) {
			v.Tiers = append(v.Tiers, tierView{Name: shown(a.Tier, maxWord), Title: cmp.Or(titles[a.Tier], shown(a.Tier, maxWord))})
		}
		last := &v.Tiers[len(v.Tiers)-1]
		last.Steps = append(last.Steps, s)
	}
}

// attributed is whose legitimate operation something is, in words.
func attributed(kind string) string {
	return shown(strings.ReplaceAll(cmp.Or(kind, "none"), "_", " "), maxWord)
}

func viewRun(x *Run) runView {
	v := runView{
		Start: Moment(x.Start), User: shown(cmp.Or(x.Username, "unknown"), maxWord), Families: shown(strings.Join(x.Families, ", "), maxWord), Events: x.Events, Known: x.Known,
		Attribution: attributed(x.Attribution), Badge: newBadge(x.Score, x.Severity),
	}
	if d := x.End - x.Start; d >= 0 {
		v.Lasted = span(d)
	}
	if !x.Known {
		return v
	}
	v.Expected, v.Chance = fmt.Sprintf("%.1f", x.Expected), fmt.Sprintf("%.2g", x.Tail)
	v.Unusual = x.Tail < 0.001
	room := math.Max(math.Max(float64(x.Events), x.Expected), 1)
	v.Bar, v.Mark = round1(float64(x.Events)/room*98), round1(math.Max(0, x.Expected)/room*98)
	return v
}

func viewInstall(x *Install, anchors map[string]string) installView {
	v := installView{
		Time: Moment(x.Time), Action: shown(x.Action, maxWord), Kind: shown(strings.ReplaceAll(x.Kind, "_", " "), maxWord), Name: shown(x.Name, maxWord), Program: shown(x.Program, maxLine),
		UnitPath: shown(x.UnitPath, maxLine), Account: shown(x.Account, maxWord), By: shown(x.Installer, maxLine), User: shown(cmp.Or(x.LoginUser, x.Username), maxWord),
		Package: shown(x.Package, maxWord), Attribution: attributed(x.Attribution), Basis: shown(x.Basis, maxLine), Badge: newBadge(x.Score, x.Severity),
		Reasons: viewReasons(x.Reasons), Incident: shown(x.IncidentID, maxWord), IncidentAnchor: anchors[x.IncidentID],
	}
	return v
}

func viewHealth(x Health) healthView {
	v := healthView{
		Component: shown(x.Component, maxWord), State: shown(x.State, maxWord), Detail: shown(x.Detail, maxLine), Remedy: shown(x.Remedy, maxLine),
		Class: []string{evidence.StateOK, evidence.StateOff, evidence.StateDegraded, evidence.StateFailed}[trouble(x.State)],
	}
	if x.LastEvent > 0 {
		v.LastEvent = Moment(x.LastEvent)
	}
	if x.Read >= 0 {
		v.Read, v.Dropped, v.Gaps = fmt.Sprint(x.Read), fmt.Sprint(x.Dropped), fmt.Sprint(x.Gaps)
	}
	return v
}
