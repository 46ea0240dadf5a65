// Package report_test looks at reports in a real browser: what the page shows is what
// the rows behind it say, nothing in evidence becomes a part of the page, and it can be
// read on a phone, a laptop and paper. Without Chromium it is skipped.
package report_test

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/baseline"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/report"
	"github.com/osquery-rollcall/rollcall/extension/report/results"
	"github.com/osquery-rollcall/rollcall/extension/source/files"
)

//go:embed harness.html
var harness []byte

// browser finds Chromium, or skips the test so that nobody overlooks it.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	fmt.Fprintln(os.Stderr, "SKIPPED: reports were NOT looked at in a browser: there is no Chromium (apt-get install chromium, or name one in CHROMIUM)")
	t.Skip("NOT TESTED: the page in a browser: no Chromium")
	return ""
}

// chromium runs the browser without a window and returns what it printed.
func chromium(t *testing.T, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser(t), append([]string{"--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
		"--disable-background-networking", "--user-data-dir=" + t.TempDir()}, args...)...)
	if os.Geteuid() == 0 {
		// Root can't have Chromium's sandbox; the pages are our own.
		cmd.Args = slices.Insert(cmd.Args, 1, "--no-sandbox")
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, errs.String())
	}
	return out.Bytes()
}

// look is what the harness saw at one width.
type look struct {
	Width, Page                  int
	Wide, Covered, Hidden, Faint []string
	Looks                        looks
}

type looks struct {
	Title, Headline, Caution string
	Notes, Tiles, Queue      []string
	Hosts                    []hostLook
	Active, Links            []string
	Ground, Marked, Styled   string
}

type hostLook struct {
	Name      string
	Incidents []incidentLook
	Heats     []heatLook
	Installs  []installLook
	Runs      []runLook
	Health    []struct{ Component, State string }
	Recorded  []struct{ Incidents, User, Attribution string }
}

type incidentLook struct {
	ID, Decision, Score, Severity, Summary, Status, User, Attribution, Sum string
	Decided                                                                []string
	Reasons                                                                []reasonLook
	Timeline                                                               []entryLook
	Marks                                                                  []struct{ Text, Kind, To string }
	Targets                                                                bool
	Triage                                                                 []stepLook
}

type reasonLook struct {
	Factor, Weight, Evidence string
	Bar                      float64
	Down                     bool
}

type entryLook struct{ No, At, Kind, Phase, Subject, Detail, Score, Source string }

type stepLook struct {
	Tier, Step, Question, Verdict, Answer string
	Evidence                              []string
	Command, SQL                          string
}

type heatLook struct {
	Title, Note string
	Cells       []int
	Dots        []struct{ Title, Kind string }
}

type installLook struct {
	Score, Time, Name, Program, Whose string
	Why                               []string
}

type runLook struct {
	Score, Began, User, Events, Expected string
	Bar                                  float64
}

// served is a page with what asked for more.
type served struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func serve(t *testing.T, page []byte) *served {
	t.Helper()
	s := &served{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch r.URL.Path {
		case "/harness":
			_, _ = w.Write(harness)
		case "/page":
			_, _ = w.Write(page)
		case "/favicon.ico":
		default:
			s.mu.Lock()
			s.asked = append(s.asked, r.URL.Path)
			s.mu.Unlock()
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// see looks at a page at some widths.
func see(t *testing.T, page []byte, widths string, args ...string) (seen []look, asked []string) {
	t.Helper()
	s := serve(t, page)
	out := chromium(t, append(args, "--virtual-time-budget=60000", "--dump-dom", s.URL+"/harness?widths="+widths)...)
	_, rest, ok := bytes.Cut(out, []byte("BEGIN"))
	code, _, ok2 := bytes.Cut(rest, []byte("END</pre>"))
	if !ok || !ok2 {
		t.Fatalf("the harness did not end:\n%.2000s", out)
	}
	data, err := base64.StdEncoding.DecodeString(string(code))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &seen); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return seen, s.asked
}

const attack = `<script>document.documentElement.dataset.marked='x'</script><img src=/leak>"'--></style></svg>{{.}}`

// story writes three weeks of a web server: its administrator, its agent, an intrusion,
// and texts that would like to be markup.
func story(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	id := 0
	day := time.Date(2026, 11, 9, 0, 0, 0, 0, time.UTC) // a Monday
	put := func(at time.Time, kv map[string]any) {
		id++
		e := map[string]any{"time": at.Unix(), "host": "web1.example.com", "platform": "linux", "id": strconv.Itoa(id)}
		for k, v := range kv {
			e[k] = v
		}
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(b, '\n'))
	}
	type m = map[string]any
	for d := range 19 {
		at := day.AddDate(0, 0, d)
		agent := m{"kind": "process", "username": "root", "login_user": "ansible", "login_source": "10.0.0.5", "session": "21"}
		put(at.Add(3*time.Hour-time.Second), m{"kind": "logon", "username": "ansible", "type": "ssh", "from": "10.0.0.5"})
		put(at.Add(3*time.Hour), with(agent, m{"pid": 1000 + 2*d, "ppid": 999, "path": "/usr/bin/python3", "cmdline": "/usr/bin/python3 /home/ansible/.ansible/tmp/ansible-tmp-1/AnsiballZ_service_facts.py",
			"parent_path": "/usr/bin/sudo", "parent_cmdline": "sudo -H -S -n -u root /bin/sh -c python3"}))
		put(at.Add(3*time.Hour+time.Second), with(agent, m{"pid": 1001 + 2*d, "ppid": 1000 + 2*d, "path": "/usr/bin/systemctl", "cmdline": "systemctl list-units --type service --all"}))
		if w := at.Weekday(); w != time.Saturday && w != time.Sunday {
			put(at.Add(9*time.Hour+time.Duration(d)*time.Minute), m{"kind": "process", "username": "root", "login_user": "alice", "session": "7", "tty": "pts/0", "pid": 100, "path": "/usr/bin/systemctl",
				"cmdline": "systemctl list-units --type=service", "parent_path": "/usr/bin/sudo", "parent_cmdline": "sudo systemctl list-units --type=service"})
		}
	}
	night := day.AddDate(0, 0, 19).Add(2*time.Hour + 14*time.Minute) // a Saturday
	for i := range 5 {
		put(night.Add(-40*time.Minute+time.Duration(i)*time.Second), m{"kind": "logon", "username": "oper", "type": "ssh", "failed": true, "from": "203.0.113.77"})
	}
	web := func(after time.Duration, pid int, path, cmd string) {
		put(night.Add(after), m{"kind": "process", "username": "www-data", "uid": "33", "pid": pid, "ppid": 40, "path": path, "cmdline": cmd, "parent_path": "/usr/sbin/apache2", "parent_cmdline": "/usr/sbin/apache2 -k start"})
	}
	web(0, 501, "/usr/bin/id", "id")
	web(5*time.Second, 502, "/usr/bin/netstat", "netstat -tulpn")
	web(9*time.Second, 503, "/usr/bin/systemctl", "systemctl list-units --type=service --all")
	web(14*time.Second, 504, "/usr/bin/systemctl", "systemctl list-unit-files > '/dev/shm/"+attack+"'")
	web(22*time.Second, 505, "/usr/sbin/service", "service --status-all")
	put(night.Add(70*time.Second), m{"kind": "connection", "username": "www-data", "pid": 512, "path": "/dev/shm/" + attack, "remote_addr": "198.51.100.9", "remote_port": 8443})
	put(night.Add(140*time.Second), m{"kind": "install", "service_kind": "systemd", "name": "upd" + attack + ".service", "image_path": "/dev/shm/.x/upd " + attack, "path": "/dev/shm/.x/upd",
		"unit_path": "/etc/systemd/system/upd.service", "installer_pid": 520, "installer_path": "/usr/bin/bash", "installer_cmdline": "bash -c '" + attack + "'", "installer_username": "root", "installer_uid": "0"})
	put(night.Add(150*time.Second), m{"kind": "change", "change": "account", "subject": "user " + attack, "detail": "added to group sudo \u202e" + attack, "username": "root"})
	put(night.Add(40*time.Minute), m{"kind": "logon", "username": attack, "type": "ssh", "from": "203.0.113.77"})
	return out.Bytes()
}

func with(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// judge reads evidence as a responder does.
func judge(t *testing.T, evidence []byte) *app.App {
	t.Helper()
	ctx, dir := context.Background(), t.TempDir()
	name, conf := filepath.Join(dir, "evidence.jsonl"), filepath.Join(dir, "rollcall.yaml")
	for path, data := range map[string][]byte{name: evidence, conf: []byte(`attribution:
  business_hours: {time_zone: UTC, days: [mon-fri], from: "07:00", to: "19:00"}
  agents: [{name: ansible, users: [ansible], sources: [10.0.0.5], reason: configuration management}]
`)} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	from, err := files.Open([]string{name}, files.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close() })
	a, err := app.Open(ctx, app.Options{ConfigFile: conf, Temporary: true, Replay: true, Now: func() time.Time {
		if n := from.Newest(); n > 0 {
			return time.Unix(n, 0).UTC()
		}
		return time.Date(2026, 11, 9, 0, 0, 0, 0, time.UTC)
	}, Sources: func(app.Rooms) (out []engine.Source) {
		for _, s := range from.Sources() {
			out = append(out, s)
		}
		return out
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	for range 1000 {
		if from.Drained() {
			break
		}
		if err := a.Engine.Collect(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// rows asks a table for all of its rows.
func rows(t *testing.T, a *app.App, name string) []map[string]string {
	t.Helper()
	for _, x := range a.Tables {
		if x.Name == name {
			out, err := x.Generate.Maps(context.Background(), table.QueryContext{})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
	}
	t.Fatalf("no table %s", name)
	return nil
}

func fromState(t *testing.T, a *app.App) []byte {
	t.Helper()
	hosts, err := report.FromState(context.Background(), a.Store, "")
	if err != nil {
		t.Fatal(err)
	}
	return page(t, &report.Report{Title: "Looked at", Made: time.Unix(1795996800, 0), Hosts: hosts, Notes: []string{attack}})
}

func page(t *testing.T, r *report.Report) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// fromResults writes the rows as osqueryd logs them, and makes the page of that.
func fromResults(t *testing.T, a *app.App) []byte {
	t.Helper()
	var log bytes.Buffer
	for _, name := range []string{"service_discovery_events", "service_discovery_bursts", "service_discovery_baselines", "service_discovery_health", "service_install_events",
		"service_incidents", "service_incident_timeline", "service_incident_triage"} {
		for _, r := range rows(t, a, name) {
			line, err := json.Marshal(map[string]any{
				"name": "pack/Global/t1007/" + name, "hostIdentifier": "4C4C4544", "unixTime": 1795996800, "action": "added", "columns": r,
				"decorations": map[string]string{"hostname": "web1.example.com"},
			})
			if err != nil {
				t.Fatal(err)
			}
			log.Write(append(line, '\n'))
		}
	}
	var s results.Set
	if _, err := s.Read(&log); err != nil {
		t.Fatal(err)
	}
	return page(t, &report.Report{Title: "Looked at", Made: time.Unix(1795996800, 0), Hosts: s.Hosts()})
}

// visible is how the page writes a text of the evidence.
func visible(s string) string {
	return strings.ReplaceAll(s, "\u202e", `\u202e`)
}

func list(t *testing.T, text string) (out []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return out
}

// expected is what the page must show, from the rows of the tables.
func expected(t *testing.T, a *app.App) (incidents []incidentLook, installs []installLook) {
	t.Helper()
	verdicts := map[string]string{"supports": "speaks for an intrusion", "refutes": "speaks against one", "unknown": "no verdict", "action": "to do"}
	tiers := map[string]string{"L1": "First tier: is it an intrusion?", "T2": "Second tier: how far did it go?", "containment": "Containment: commands to run, none of which Rollcall ran"}
	for _, r := range rows(t, a, "service_incidents") {
		if r["decision"] == "record" {
			continue
		}
		x := incidentLook{
			ID: r["incident_id"], Decision: r["decision"], Score: r["score"], Severity: r["severity"], Summary: visible(r["summary"]), Status: r["status"], User: r["username"],
			Attribution: r["attribution"], Decided: list(t, r["decision_reasons"]), Targets: true,
		}
		if r["login_user"] != "" && r["login_user"] != r["username"] {
			x.User = r["login_user"] + " as " + r["username"]
		}
		if r["attribution_detail"] != "" {
			x.Attribution += " (" + r["attribution_detail"] + ")"
		}
		for i, d := range x.Decided {
			x.Decided[i] = visible(d)
		}
		var reasons []struct {
			Factor, Evidence string
			Weight           float64
		}
		if err := json.Unmarshal([]byte(r["reasons"]), &reasons); err != nil {
			t.Fatal(err)
		}
		for _, y := range reasons {
			x.Reasons = append(x.Reasons, reasonLook{Factor: strings.ReplaceAll(y.Factor, "_", " "), Weight: signed(y.Weight), Evidence: visible(y.Evidence), Down: y.Weight < 0, Bar: y.Weight})
		}
		for _, e := range rows(t, a, "service_incident_timeline") {
			if e["incident_id"] != x.ID {
				continue
			}
			at, err := strconv.ParseInt(e["time"], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			x.Timeline = append(x.Timeline, entryLook{
				No: strconv.Itoa(len(x.Timeline) + 1), At: time.Unix(at, 0).UTC().Format("15:04:05"), Kind: e["kind"], Phase: e["phase"], Subject: visible(e["subject"]),
				Detail: visible(e["detail"]), Score: e["score"], Source: e["source"],
			})
		}
		for _, s := range rows(t, a, "service_incident_triage") {
			if s["incident_id"] != x.ID {
				continue
			}
			y := stepLook{Tier: tiers[s["tier"]], Step: s["step"], Question: visible(s["question"]), Verdict: verdicts[s["verdict"]], Answer: visible(s["answer"]), Evidence: list(t, s["evidence"]), Command: s["command"], SQL: s["sql"]}
			for i := range y.Evidence {
				y.Evidence[i] = visible(y.Evidence[i])
			}
			y.Evidence = y.Evidence[:min(len(y.Evidence), 8)]
			x.Triage = append(x.Triage, y)
		}
		incidents = append(incidents, x)
	}
	for _, r := range rows(t, a, "service_install_events") {
		at, err := strconv.ParseInt(r["time"], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		x := installLook{Score: r["score"], Time: time.Unix(at, 0).UTC().Format(time.DateTime), Name: visible(r["name"]), Program: visible(r["image_path"]), Whose: strings.ReplaceAll(r["attribution"], "none", "nobody's")}
		var reasons []struct {
			Factor string
			Weight float64
		}
		if err := json.Unmarshal([]byte(r["reasons"]), &reasons); err != nil {
			t.Fatal(err)
		}
		for _, y := range reasons {
			x.Why = append(x.Why, signed(y.Weight)+" "+strings.ReplaceAll(y.Factor, "_", " "))
		}
		installs = append(installs, x)
	}
	return incidents, installs
}

func signed(x float64) string { return strings.Replace(fmt.Sprintf("%+.2f", x), "-", "\u2212", 1) }

// plainer takes from a look what rows don't have.
func plainer(list []incidentLook) []incidentLook {
	out := slices.Clone(list)
	for i := range out {
		x := &out[i]
		x.Sum, x.Marks, x.Reasons, x.Triage = "", nil, slices.Clone(x.Reasons), slices.Clone(x.Triage)
		for j := range x.Reasons {
			x.Reasons[j].Bar = 0
		}
		for j := range x.Triage {
			x.Triage[j].Evidence = append([]string{}, x.Triage[j].Evidence...)
		}
	}
	return out
}

func TestPageShowsTheRowsBehindIt(t *testing.T) {
	browser(t)
	a := judge(t, story(t))
	wantIncidents, wantInstalls := expected(t, a)
	if len(wantIncidents) != 1 || len(wantIncidents[0].Timeline) < 10 || len(wantIncidents[0].Triage) < 14 || len(wantInstalls) != 1 {
		t.Fatalf("the story is not what it was: %d incidents, %d entries, %d answers, %d installs", len(wantIncidents), len(wantIncidents[0].Timeline), len(wantIncidents[0].Triage), len(wantInstalls))
	}
	for name, page := range map[string][]byte{"state": fromState(t, a), "results": fromResults(t, a)} {
		t.Run(name, func(t *testing.T) {
			seen, asked := see(t, page, "1366")
			got := seen[0].Looks
			if len(got.Hosts) != 1 || got.Hosts[0].Name != "web1.example.com" {
				t.Fatalf("hosts: %+v", got.Hosts)
			}
			h := got.Hosts[0]
			if d := cmp.Diff(plainer(wantIncidents), plainer(h.Incidents)); d != "" {
				t.Errorf("incidents (-rows +page)\n%s", d)
			}
			if d := cmp.Diff(wantInstalls, h.Installs); d != "" {
				t.Errorf("installs (-rows +page)\n%s", d)
			}
			checkBars(t, wantIncidents[0].Reasons, h.Incidents[0].Reasons)
			checkMarks(t, h.Incidents[0])
			checkHeat(t, a, h.Heats)
			checkRuns(t, a, h.Runs)
			checkRecorded(t, a, h)
			if want := "1 incident is for the second tier."; got.Headline != want {
				t.Errorf("headline %q, want %q", got.Headline, want)
			}
			if want := []string{"escalate " + wantIncidents[0].Score + " " + wantIncidents[0].Summary}; !slices.Equal(got.Queue, want) {
				t.Errorf("queue %q, want %q", got.Queue, want)
			}
			var health []string
			for _, x := range h.Health {
				health = append(health, x.Component+" "+x.State)
			}
			for _, r := range rows(t, a, "service_discovery_health") {
				if strings.HasPrefix(r["component"], "table:") {
					continue // counts of a running program, of the moment they are asked for
				}
				if !slices.Contains(health, r["component"]+" "+r["state"]) {
					t.Errorf("the page lacks the source %s %s: %q", r["component"], r["state"], health)
				}
			}
			if len(got.Active) > 0 || len(got.Links) > 0 || got.Marked != "" || len(asked) > 0 {
				t.Errorf("evidence became a part of the page: %q %q %q, and it asked for %q", got.Active, got.Links, got.Marked, asked)
			}
		})
	}
}

// checkBars holds the lengths of bars against the weights.
func checkBars(t *testing.T, want, got []reasonLook) {
	t.Helper()
	scale := 0.0
	for i := range got {
		w := want[i].Bar
		if w < 0 {
			w = -w
		}
		if w > 0.2 && scale == 0 {
			scale = got[i].Bar / w
		}
		if d := got[i].Bar - w*scale; scale > 0 && (d > 0.6 || d < -0.6) {
			t.Errorf("%s: a bar of %.1f for a weight of %.2f, at %.1f a unit", got[i].Factor, got[i].Bar, want[i].Bar, scale)
		}
	}
	if scale == 0 {
		t.Error("no bars")
	}
}

// checkMarks sees that the picture has every entry of the list, under its kind.
func checkMarks(t *testing.T, x incidentLook) {
	t.Helper()
	drawn := map[string]string{}
	for _, m := range x.Marks {
		first, last := 0, 0
		switch n, _ := fmt.Sscanf(m.Text, "%d\u2013%d", &first, &last); n {
		case 1:
			last = first
		case 0:
			t.Errorf("mark %q", m.Text)
		}
		for i := first; i <= last; i++ {
			drawn[strconv.Itoa(i)] = m.Kind
		}
	}
	for _, e := range x.Timeline {
		if kind := drawn[e.No]; !strings.Contains(kind, "k-"+e.Kind) {
			t.Errorf("entry %s, %s, is drawn as %q", e.No, e.Kind, kind)
		}
	}
}

// checkHeat counts the commands of the last week by the hour, from the rows.
func checkHeat(t *testing.T, a *app.App, got []heatLook) {
	t.Helper()
	if len(got) == 0 {
		t.Fatal("no picture of the week")
	}
	var newest int64
	var times []int64
	for _, r := range rows(t, a, "service_discovery_events") {
		at, err := strconv.ParseInt(r["time"], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		times, newest = append(times, at), max(newest, at)
	}
	to := (newest/3600 + 1) * 3600
	count := map[int]int{}
	for _, at := range times {
		if at >= to-168*3600 {
			count[baseline.HourOfWeek(at)]++
		}
	}
	names := []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}
	want := map[string]bool{}
	for h, n := range count {
		noun := "commands"
		if n == 1 {
			noun = "command"
		}
		want[fmt.Sprintf("%s %02d:00 UTC: %d %s", names[h/24], h%24, n, noun)] = true
	}
	odd := 0
	for _, d := range got[0].Dots {
		title, _, _ := strings.Cut(d.Title, ",")
		if !want[title] {
			t.Errorf("a dot that no row explains: %q", d.Title)
		}
		delete(want, title)
		if d.Kind == "odd" {
			odd++
			if !strings.HasPrefix(title, "Sat 02:00") {
				t.Errorf("unusual: %q", d.Title)
			}
		}
	}
	if len(want) > 0 || odd != 1 {
		t.Errorf("not drawn: %v; %d unusual hours, want 1", want, odd)
	}
	usual := 0
	for _, level := range got[0].Cells {
		if level > 0 {
			usual++
		}
	}
	// The agent at 03 on seven days, the administrator at 09 on five.
	if len(got[0].Cells) != 168 || usual != 12 {
		t.Errorf("%d of %d hours are usual, want 12 of 168", usual, len(got[0].Cells))
	}
}

func checkRuns(t *testing.T, a *app.App, got []runLook) {
	t.Helper()
	byTime := map[string]map[string]string{}
	for _, r := range rows(t, a, "service_discovery_bursts") {
		at, err := strconv.ParseInt(r["start_time"], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		byTime[time.Unix(at, 0).UTC().Format(time.DateTime)] = r
	}
	if len(got) != min(len(byTime), report.MaxRuns) {
		t.Errorf("%d runs of %d", len(got), len(byTime))
	}
	for _, x := range got {
		r := byTime[x.Began]
		want := "not learned"
		if r["expected_events"] != "" {
			f, err := strconv.ParseFloat(r["expected_events"], 64)
			if err != nil {
				t.Fatal(err)
			}
			want = fmt.Sprintf("%.1f", f)
		}
		if x.Events != r["events"] || x.Score != r["score"] || x.Expected != want || (x.Bar > 0) != (r["expected_events"] != "") {
			t.Errorf("%+v for %v", x, r)
		}
	}
}

func checkRecorded(t *testing.T, a *app.App, h hostLook) {
	t.Helper()
	want, got := 0, 0
	for _, r := range rows(t, a, "service_incidents") {
		if r["decision"] == "record" {
			want++
		}
	}
	for _, x := range h.Recorded {
		n, err := strconv.Atoi(x.Incidents)
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	if want == 0 || got != want {
		t.Errorf("%d recorded, want %d", got, want)
	}
}

// TestPageFits looks at the page on a small phone, a phone, a tablet and a laptop, by
// day and by night.
func TestPageFits(t *testing.T) {
	browser(t)
	a := judge(t, story(t))
	hosts, err := report.FromState(context.Background(), a.Store, "")
	if err != nil {
		t.Fatal(err)
	}
	long := *hosts[0]
	long.Name, long.UUID = strings.Repeat("a-very-long-host-name.", 12), "u"
	long.Health = []report.Health{{Component: strings.Repeat("component", 9), State: "failed", Detail: strings.Repeat("detail", 60), Remedy: strings.Repeat("remedy", 60)}, {Component: "x", State: "degraded"}, {Component: "y", State: "off"}}
	both := page(t, &report.Report{Title: strings.Repeat("title", 40), Version: "1", Made: time.Unix(1795996800, 0), Hosts: append(hosts, &long), From: []string{strings.Repeat("/path", 60)}, Notes: []string{strings.Repeat("note", 80)}})
	for name, scheme := range map[string]string{"light": "1", "dark": "0"} {
		t.Run(name, func(t *testing.T) {
			seen, _ := see(t, both, "320,390,768,1366", "--blink-settings=preferredColorScheme="+scheme)
			for _, s := range seen {
				if s.Page > s.Width || len(s.Wide) > 0 {
					t.Errorf("at %d the page is %d wide: %q", s.Width, s.Page, s.Wide)
				}
				if len(s.Covered) > 0 {
					t.Errorf("at %d in the pictures: %q", s.Width, s.Covered)
				}
				if len(s.Hidden) > 0 {
					t.Errorf("at %d text is cut off: %q", s.Width, s.Hidden)
				}
				if len(s.Faint) > 0 {
					t.Errorf("at %d hard to read: %q", s.Width, s.Faint)
				}
				// The policy lets the page's own style through.
				if want := map[string]string{"light": "rgb(20, 32, 46)", "dark": "rgb(11, 14, 19)"}[name]; s.Looks.Ground != want {
					t.Errorf("the head is %s, want %s", s.Looks.Ground, want)
				}
			}
		})
	}
}

// TestPolicyHolds puts what an attacker would like to have into the page: the policy
// keeps it from doing anything. Without the policy it would.
func TestPolicyHolds(t *testing.T) {
	browser(t)
	good := page(t, &report.Report{Hosts: []*report.Host{{Name: "a"}}})
	evil := `<body><script>document.documentElement.setAttribute("data-marked", "run")</script><p id="styled" style="color: rgb(1, 2, 3)">x</p><img src="/leak-img"><iframe src="/leak-frame"></iframe>` +
		`<link rel="stylesheet" href="/leak-style"><object data="/leak-object"></object><video src="/leak-video"></video><style>@import "/leak-import";</style>`
	bad := bytes.Replace(good, []byte("<body>"), []byte(evil), 1)
	seen, asked := see(t, bad, "800")
	if l := seen[0].Looks; l.Marked != "" || l.Styled == "rgb(1, 2, 3)" || len(asked) > 0 {
		t.Errorf("the policy let through: marked %q, colour %q, asked for %q", l.Marked, l.Styled, asked)
	}
	start := bytes.Index(bad, []byte(`<meta http-equiv="Content-Security-Policy"`))
	end := bytes.IndexByte(bad[start:], '>')
	open := append(slices.Clone(bad[:start]), bad[start+end+1:]...)
	seen, asked = see(t, open, "800")
	if l := seen[0].Looks; l.Marked != "run" || l.Styled != "rgb(1, 2, 3)" || len(asked) < 4 {
		t.Errorf("the test can't tell: marked %q, colour %q, asked for %q", l.Marked, l.Styled, asked)
	}
}

// TestPagePrints makes a PDF and reads it, where there is a reader.
func TestPagePrints(t *testing.T) {
	browser(t)
	hosts := []*report.Host{{Name: "paper"}}
	for i := range 12 {
		// The last are folded on the screen.
		hosts[0].Incidents = append(hosts[0].Incidents, &report.Incident{ID: fmt.Sprint("id", i), Decision: "review", Score: 50 - i, Severity: "medium", Summary: fmt.Sprint("summary", i), DecisionReasons: []string{fmt.Sprint("decided", i, "x")}})
	}
	dir := t.TempDir()
	name, pdf := filepath.Join(dir, "page.html"), filepath.Join(dir, "page.pdf")
	if err := os.WriteFile(name, page(t, &report.Report{Hosts: hosts}), 0o600); err != nil {
		t.Fatal(err)
	}
	chromium(t, "--no-pdf-header-footer", "--print-to-pdf="+pdf, "file://"+name)
	data, err := os.ReadFile(pdf)
	if err != nil || !bytes.HasPrefix(data, []byte("%PDF-")) {
		t.Fatalf("%v, %.20q", err, data)
	}
	reader, err := exec.LookPath("pdftotext")
	if err != nil {
		t.Log("SKIPPED in part: no pdftotext to read the PDF with")
		return
	}
	text, err := exec.Command(reader, "-layout", pdf, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		if !bytes.Contains(text, fmt.Append(nil, "decided", i, "x")) {
			t.Errorf("incident %d is folded on paper", i)
		}
	}
}
