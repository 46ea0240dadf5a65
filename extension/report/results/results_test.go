package results_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/report"
	"github.com/osquery-rollcall/rollcall/extension/report/results"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/tables"
)

// line is a result as osquery's loggers write it.
func line(query string, at int64, columns string) string {
	return fmt.Sprintf(`{"name":"pack_t1007_%s","hostIdentifier":"4C4C","calendarTime":"Sat Nov 28","unixTime":%d,"epoch":0,"counter":1,"numerics":false,"decorations":{"host_uuid":"4C4C","hostname":"web1"},"columns":%s,"action":"added"}`+"\n", query, at, columns)
}

const (
	incidentRow = `{"incident_id":"da9c","opened":"100","status":"open","username":"www-data","host":"web1","host_uuid":"3d12","burst_ids":"[\"b1\"]","install_ids":"[\"i1\"]","attribution":"none","decision":"escalate","decision_reasons":"[\"a web ancestor\"]","score":"97","severity":"critical","summary":"www-data asked"}`
	entryRow    = `{"incident_id":"da9c","time":"105","recorded":"110","phase":"during","kind":"command","subject":"systemctl","detail":"by www-data","score":"94","source":"process_events","eid":"7"}`
	stepRow     = `{"incident_id":"da9c","tier":"L1","step":"1","recorded":"110","question":"Known?","answer":"No.","verdict":"supports","evidence":"[\"x\"]","command":"true"}`
	installRow  = `{"install_id":"i1","time":"130","action":"created","kind":"systemd","name":"evil.service","path":"/tmp/e","args":"-x","image_path":"","account":"root","unit_path":"/etc/systemd/system/evil.service","installer_cmdline":"bash","installer_username":"root","attribution":"none","attribution_detail":"","score":"82","severity":"critical","reasons":"[{\"factor\":\"a\",\"weight\":1.5,\"evidence\":\"e\"}]","incident_id":"da9c","platform":"linux","host":"web1","source":"services","eid":"9"}`
	commandRow  = `{"event_id":"e1","time":"105","score":"94","severity":"critical","username":"www-data","login_user":"","cmdline":"systemctl","attribution":"none","reasons":"[]"}`
	runRow      = `{"burst_id":"b1","start_time":"100","end_time":"105","username":"www-data","families":"[\"systemctl\"]","events":"3","attribution":"none","score":"99","severity":"critical","reasons":"[]"}`
	partRow     = `{"component":"process_events","state":"failed","detail":"no audit","remedy":"turn it on"}`
	baseRow     = `{"username":"al","family":"systemctl","hour_of_week":"{\"9\":3,\"200\":1,\"x\":2}","mean_per_day":"0.5","learned":"1"}`
)

// all is one row of each table.
func all() string {
	return line("service_incident_escalations", 200, incidentRow) + line("service_incident_timeline", 200, entryRow) + line("service_incident_triage", 200, stepRow) +
		line("service_install_events", 200, installRow) + line("service_discovery_events", 200, commandRow) + line("service_discovery_bursts", 200, runRow) +
		line("service_discovery_health", 200, partRow) + line("baselines", 200, baseRow)
}

func wanted() *report.Host {
	base := report.Baseline{Username: "al", Family: "systemctl", Learned: true}
	base.Hours[9] = 3
	return &report.Host{
		Name: "web1", UUID: "3d12", Platform: "linux",
		Incidents: []*report.Incident{{
			ID: "da9c", Decision: "escalate", DecisionReasons: []string{"a web ancestor"}, Score: 97, Severity: "critical", Status: "open", Summary: "www-data asked",
			Username: "www-data", Attribution: "none", Opened: 100, Last: 105, Updated: 200, RunIDs: []string{"b1"}, InstallIDs: []string{"i1"},
			Timeline: []incident.Entry{{Time: 105, Phase: "during", Kind: "command", Subject: "systemctl", Detail: "by www-data", Score: 94, Source: "process_events", EID: "7"}},
			Triage:   []incident.Answer{{Tier: "L1", Step: 1, Question: "Known?", Answer: "No.", Verdict: "supports", Evidence: []string{"x"}, Command: "true"}},
		}},
		Installs: []*report.Install{{
			ID: "i1", Time: 130, Action: "created", Kind: "systemd", Name: "evil.service", Program: "/tmp/e -x", UnitPath: "/etc/systemd/system/evil.service", Account: "root",
			Installer: "bash", Username: "root", Attribution: "none", Score: 82, Severity: "critical", Reasons: []score.Reason{{Factor: "a", Weight: 1.5, Evidence: "e"}}, IncidentID: "da9c",
		}},
		Runs:      []*report.Run{{ID: "b1", Start: 100, End: 105, Username: "www-data", Families: []string{"systemctl"}, Events: 3, Attribution: "none", Score: 99, Severity: "critical", Reasons: []score.Reason{}}},
		Commands:  []report.Command{{ID: "e1", Time: 105, Username: "www-data"}},
		Baselines: []report.Baseline{base},
		Health:    []report.Health{{Component: "process_events", State: "failed", Detail: "no audit (as logged on 1970-01-01 00:03:20)", Remedy: "turn it on", Read: -1, Dropped: -1, Gaps: -1}},
	}
}

func read(t testing.TB, logs ...string) ([]*report.Host, results.Account) {
	t.Helper()
	var s results.Set
	var sum results.Account
	for _, l := range logs {
		a, err := s.Read(strings.NewReader(l))
		if err != nil {
			t.Fatal(err)
		}
		sum.Lines, sum.Rows, sum.Broken, sum.Left = sum.Lines+a.Lines, sum.Rows+a.Rows, sum.Broken+a.Broken, sum.Left+a.Left
	}
	return s.Hosts(), sum
}

func same(t *testing.T, want, got any) {
	t.Helper()
	if d := gocmp.Diff(want, got, gocmp.AllowUnexported(score.Reason{})); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestForms has the same rows in every form that loggers and fleet managers write.
func TestForms(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(all()), "\n")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(all())); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	tls := `{"node_key":"k","log_type":"result","data":[` + strings.Join(lines, ",") + `]}`
	if err := json.Indent(&pretty, []byte(tls), "", "  "); err != nil {
		t.Fatal(err)
	}
	each := func(f func(string) string) string {
		var out []string
		for _, l := range lines {
			out = append(out, f(l))
		}
		return strings.Join(out, "\n") + "\n"
	}
	replace := func(from, to string) func(string) string {
		return func(l string) string { return strings.Replace(l, from, to, 1) }
	}
	for name, log := range map[string]string{
		"a line a row":        all(),
		"Windows line ends":   strings.ReplaceAll(all(), "\n", "\r\n"),
		"a byte order mark":   "\xef\xbb\xbf" + all(),
		"no last line end":    strings.TrimSpace(all()),
		"compressed":          zipped.String(),
		"Fleet's names":       strings.ReplaceAll(all(), "pack_t1007_", "pack/Global/t1007/"),
		"a list":              "[" + strings.Join(lines, ",\n") + "]",
		"TLS":                 tls,
		"TLS over many lines": pretty.String(),
		"snapshot": each(func(l string) string {
			l = strings.Replace(l, `"columns":{`, `"snapshot":[{`, 1)
			return strings.Replace(l, `},"action":"added"}`, `}],"action":"snapshot"}`, 1)
		}),
		"differential": each(func(l string) string {
			l = strings.Replace(l, `"columns":{`, `"diffResults":{"removed":[],"added":[{`, 1)
			return strings.Replace(l, `},"action":"added"}`, `}]}}`, 1)
		}),
		"exported":               each(func(l string) string { return `{"_index":"x","_source":{"osquery":{"result":` + l + `}}}` }),
		"time as text":           each(replace(`"unixTime":200`, `"unixTime":"200"`)),
		"decorations on top":     each(replace(`"decorations":{"host_uuid":"4C4C","hostname":"web1"}`, `"hostname":"web1"`)),
		"numbers as numbers":     strings.NewReplacer(`"score":"97"`, `"score":97`, `"time":"105"`, `"time":105.0`, `"step":"1"`, `"step":1`).Replace(all()),
		"twice":                  all() + all(),
		"rows of others between": `{"name":"x","columns":{"pid":"1","event_id":"no row of ours"},"action":"added"}` + "\n" + all() + "not JSON\n{\"incident_id\":}\n" + line("q", 300, `{"incident_id":"of a table we don't know"}`),
	} {
		t.Run(name, func(t *testing.T) {
			hosts, a := read(t, log)
			same(t, []*report.Host{wanted()}, hosts)
			if want := int64(8); a.Rows != want && name != "twice" || a.Left != 0 {
				t.Errorf("%+v", a)
			}
			if broken := int64(strings.Count(name, "between")); a.Broken != broken {
				t.Errorf("%d broken lines, want %d", a.Broken, broken)
			}
		})
	}
}

func TestLaterRowsReplace(t *testing.T) {
	later := strings.NewReplacer(`"status":"open"`, `"status":"closed"`, `"score":"97"`, `"score":"99"`).Replace(incidentRow)
	answered := strings.Replace(stepRow, "No.", "Yes.", 1)
	moved := strings.Replace(entryRow, `"phase":"during"`, `"phase":"after"`, 1)
	grown := strings.Replace(runRow, `"events":"3"`, `"events":"9","expected_events":"1.5","tail_probability":"0.01"`, 1)
	mended := strings.Replace(partRow, "failed", "degraded", 1)
	for _, order := range [][]string{{all(), line("x", 300, later) + line("x", 300, answered) + line("x", 300, moved) + line("x", 300, grown) + line("x", 300, mended)}, nil} {
		if order == nil {
			order = []string{line("x", 300, later) + line("x", 300, answered) + line("x", 300, moved) + line("x", 300, grown) + line("x", 300, mended), all()}
		}
		hosts, _ := read(t, order...)
		x := hosts[0].Incidents[0]
		if x.Status != "closed" || x.Score != 99 || x.Triage[0].Answer != "Yes." || len(x.Timeline) != 1 || x.Timeline[0].Phase != "after" || len(x.Triage) != 1 {
			t.Errorf("%+v", x)
		}
		if r := hosts[0].Runs[0]; r.Events != 9 || !r.Known || r.Expected != 1.5 || r.Tail != 0.01 {
			t.Errorf("%+v", r)
		}
		if h := hosts[0].Health[0]; h.State != "degraded" {
			t.Errorf("%+v", h)
		}
	}
}

func TestRemovedRowsAreGone(t *testing.T) {
	hosts, a := read(t, strings.ReplaceAll(all(), `"action":"added"`, `"action":"removed"`)+
		`{"name":"x","diffResults":{"removed":[`+incidentRow+`]}}`+"\n"+`{"name":"x","diffResults":{"added":"","removed":""},"incident_id":1}`+"\n")
	if len(hosts) != 0 || a.Rows != 0 {
		t.Errorf("%d hosts, %+v", len(hosts), a)
	}
}

func TestHostsAreTold(t *testing.T) {
	second := strings.NewReplacer(`"hostIdentifier":"4C4C"`, `"hostIdentifier":"5D5D"`, `"hostname":"web1"`, `"hostname":"web2"`).Replace
	bare := strings.NewReplacer(`"hostIdentifier":"4C4C",`, "", `"decorations":{"host_uuid":"4C4C","hostname":"web1"},`, "", `"host":"web1"`, `"host":"web3"`).Replace
	hosts, _ := read(t, all()+second(all())+bare(line("x", 1, incidentRow)))
	var got []string
	for _, h := range hosts {
		got = append(got, fmt.Sprintf("%s %d %d", h.Name, len(h.Incidents), len(h.Installs)))
	}
	same(t, []string{"web1 1 1", "web2 1 1", "web3 1 0"}, got)
}

func TestIncidentWithoutItsRow(t *testing.T) {
	hosts, _ := read(t, line("pack_x_service_discovery_network_after", 9, `{"incident_id":"a","time":"50","phase":"after","subject":"to 198.51.100.9:8443","detail":"","score":""}`)+
		line("service_discovery_logons_before", 9, `{"incident_id":"a","time":"40","phase":"before","subject":"failed logon of eve","detail":"","score":""}`)+
		line("of nobody", 9, `{"incident_id":"a","time":"45","phase":"before","subject":"?","detail":""}`)+line("x", 9, strings.Replace(entryRow, "da9c", "a", 1)))
	x := hosts[0].Incidents[0]
	if x.Decision != "" || x.Score != 94 || x.Severity != "critical" || x.Opened != 40 || x.Last != 105 || !strings.Contains(x.Summary, "not among these results") {
		t.Errorf("%+v", x)
	}
	var kinds []string
	for _, e := range x.Timeline {
		kinds = append(kinds, e.Kind)
	}
	same(t, []string{"logon", "connection", "command"}, kinds)
}

func TestHabitsAreMissed(t *testing.T) {
	hosts, _ := read(t, line("x", 1, commandRow))
	if len(hosts[0].Notes) != 1 {
		t.Errorf("%q", hosts[0].Notes)
	}
}

func TestHostile(t *testing.T) {
	deep := strings.Repeat(`{"incident_id":`, 5000) + "1" + strings.Repeat("}", 5000)
	for name, log := range map[string]string{
		"empty":                     "",
		"blank lines":               "\n\n \n",
		"binary":                    "\x00\x01\xff" + strings.Repeat("\xfe", 1000),
		"deep":                      deep,
		"not even compressed":       "\x1f\x8bnonsense",
		"a cut first line":          `":"x","incident_id":"y"}` + "\n" + all(),
		"values of all types":       `{"name":"x","columns":{"incident_id":[1],"decision":{"a":1},"summary":null,"opened":true,"score":1e99},"unixTime":-5}` + "\n",
		"huge numbers":              line("x", 1, strings.NewReplacer(`"100"`, `"99999999999999999999"`, `"97"`, `"-5"`).Replace(incidentRow)),
		"no names":                  line("x", 1, strings.NewReplacer("da9c", "", "web1", "").Replace(incidentRow)),
		"a line that never ends":    all() + strings.Repeat("x", 17<<20),
		"many lines that are none":  "{\n" + strings.Repeat(`"incident_id": "x"`+"\n", 10_000),
		"more than a text may hold": line("x", 1, strings.Replace(incidentRow, "www-data asked", strings.Repeat("\xff", 100_000), 1)),
	} {
		t.Run(name, func(t *testing.T) {
			var s results.Set
			a, err := s.Read(strings.NewReader(log))
			if err != nil && name != "not even compressed" {
				t.Fatal(err)
			}
			r := report.Report{Hosts: s.Hosts()}
			var page bytes.Buffer
			if err := r.Write(&page); err != nil {
				t.Fatal(err)
			}
			for _, h := range r.Hosts {
				for _, x := range h.Incidents {
					if x.Score < 0 || x.Score > 100 {
						t.Errorf("score %d", x.Score)
					}
				}
			}
			if (name == "a cut first line" || name == "a line that never ends") && (a.Rows != 8 || a.Broken != 1) {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestColumnsAreThoseOfTheTables compares the names in the source with the tables'.
func TestColumnsAreThoseOfTheTables(t *testing.T) {
	columns := map[string]bool{"hostname": true, "hostIdentifier": true, "unixTime": true, "name": true} // of osquery's own envelope
	for _, x := range []*tables.Table{
		tables.ServiceDiscoveryEvents(nil, nil), tables.ServiceDiscoveryBursts(nil, nil), tables.ServiceDiscoveryHealth(nil, nil, nil), tables.ServiceDiscoveryBaselines(nil, nil),
		tables.ServiceInstallEvents(nil, nil), tables.ServiceIncidents(nil, nil), tables.ServiceIncidentTimeline(nil), tables.ServiceIncidentTriage(nil),
	} {
		for _, c := range x.Columns {
			columns[c.Name] = true
		}
	}
	f, err := parser.ParseFile(token.NewFileSet(), "results.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		switch sel.Sel.Name {
		case "text", "number", "list", "has":
			for _, arg := range call.Args {
				lit, ok := arg.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					continue
				}
				name, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				if seen++; !columns[name] {
					t.Errorf("no table has the column %q", name)
				}
			}
		}
		return true
	})
	if seen < 60 {
		t.Errorf("%d names were looked at", seen)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(all())
	f.Add("[" + strings.ReplaceAll(strings.TrimSpace(all()), "\n", ",") + "]")
	f.Add(strings.ReplaceAll(all(), "columns", "snapshot"))
	f.Fuzz(func(t *testing.T, log string) {
		var s results.Set
		if _, err := s.Read(strings.NewReader(log)); err != nil && !strings.HasPrefix(log, "\x1f\x8b") {
			t.Fatal(err)
		}
		for _, h := range s.Hosts() {
			for _, x := range h.Incidents {
				if x.Score < 0 || x.Score > 100 {
					t.Errorf("score %d", x.Score)
				}
				if !slices.IsSortedFunc(x.Timeline, func(a, b incident.Entry) int { return cmp.Compare(a.Time, b.Time) }) {
					t.Error("a timeline out of order")
				}
			}
		}
	})
}
