// Package cases holds decisions by example and judges them through the rooms that
// rollcall query --from uses.
package cases_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/osquery-rollcall/rollcall/extension/app"
	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/incident"
	"github.com/osquery-rollcall/rollcall/extension/source/files"
	"github.com/osquery-rollcall/rollcall/extension/store"
)

type example struct {
	Name     string           `yaml:"name"`
	Answer   string           `yaml:"answer"`
	Why      string           `yaml:"why"`
	Host     string           `yaml:"host"`
	Config   string           `yaml:"config"`
	Contains []string         `yaml:"contains"`
	Bursts   int              `yaml:"bursts"`
	Events   []map[string]any `yaml:"events"`
	History  struct {
		Days   int              `yaml:"days"`
		At     string           `yaml:"at"`
		Events []map[string]any `yaml:"events"`
	} `yaml:"history"`
}

// day is the day of the cases, a Thursday.
func day(t *testing.T) time.Time { return time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC) }

func at(t *testing.T, text string) time.Duration {
	t.Helper()
	for _, layout := range []string{"15:04:05", "15:04"} {
		if c, err := time.Parse(layout, text); err == nil {
			return time.Duration(c.Hour())*time.Hour + time.Duration(c.Minute())*time.Minute + time.Duration(c.Second())*time.Second
		}
	}
	t.Fatalf("%q is no time of day", text)
	return 0
}

// lines writes the evidence of a case as JSON lines, each event as often as it says.
func (x *example) lines(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	id := 0
	write := func(e map[string]any, when time.Time) {
		id++
		e = maps.Clone(e)
		for _, k := range []string{"at", "every", "times"} {
			delete(e, k)
		}
		e["time"], e["host"], e["id"] = when.Unix(), x.Host, fmt.Sprint(id)
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(b, '\n'))
	}
	for d := x.History.Days; d > 0; d-- {
		when := day(t).AddDate(0, 0, -d).Add(at(t, x.History.At))
		if when.Weekday() == time.Saturday || when.Weekday() == time.Sunday {
			continue
		}
		for _, e := range x.History.Events {
			write(e, when)
		}
	}
	for _, e := range x.Events {
		times, step := 1, time.Duration(0)
		if n, ok := e["times"].(int); ok {
			times = n
		}
		if s, ok := e["every"].(string); ok {
			var err error
			if step, err = time.ParseDuration(s); err != nil {
				t.Fatal(err)
			}
		}
		when := day(t).Add(at(t, e["at"].(string)))
		for i := range times {
			if pid, ok := e["pid"].(int); ok && times > 1 {
				e = maps.Clone(e)
				e["pid"] = pid + i%2 + 1
			}
			write(e, when.Add(time.Duration(i)*step))
		}
	}
	return out.Bytes()
}

// judge reads the evidence of a case from a file, as a responder does.
func judge(t *testing.T, x *example) (incidents []*incident.Incident, bursts []*incident.Burst) {
	t.Helper()
	ctx, dir := context.Background(), t.TempDir()
	evidence, conf := filepath.Join(dir, "evidence.jsonl"), filepath.Join(dir, "rollcall.yaml")
	for path, data := range map[string][]byte{evidence: x.lines(t), conf: []byte(x.Config)} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	from, err := files.Open([]string{evidence}, files.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	a, err := app.Open(ctx, app.Options{ConfigFile: conf, Temporary: true, Replay: true, Now: func() time.Time {
		if n := from.Newest(); n > 0 {
			return time.Unix(n, 0).UTC()
		}
		return day(t)
	}, Sources: func(app.Rooms) (out []engine.Source) {
		for _, s := range from.Sources() {
			out = append(out, s)
		}
		return out
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if len(a.Notes) > 0 {
		t.Fatalf("configuration: %q", a.Notes)
	}
	for range 1000 {
		if from.Drained() {
			break
		}
		if err := a.Engine.Collect(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, acc := range from.Accounts() {
		if len(acc.Notes) > 0 {
			t.Fatalf("evidence: %q", acc.Notes)
		}
	}
	if err := a.Store.Incidents(ctx, store.IncidentFilter{}, func(i *incident.Incident) error { incidents = append(incidents, i); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := a.Store.Bursts(ctx, store.Filter{}, func(b *incident.Burst) error { bursts = append(bursts, b); return nil }); err != nil {
		t.Fatal(err)
	}
	return incidents, bursts
}

func load(t *testing.T) []*example {
	t.Helper()
	data, err := os.ReadFile("cases.yml")
	if err != nil {
		t.Fatal(err)
	}
	var list []*example
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list
}

func rank(d string) int {
	return map[string]int{incident.Record: 1, incident.Review: 2, incident.Escalate: 3}[d]
}

func TestCases(t *testing.T) {
	for _, x := range load(t) {
		t.Run(x.Name, func(t *testing.T) {
			if x.Why == "" || x.Host == "" || len(x.Events) == 0 {
				t.Fatal("a case says why, on which host, and has events")
			}
			incidents, bursts := judge(t, x)
			got, all := "none", ""
			for _, i := range incidents {
				if i.Opened < day(t).Unix() {
					continue // of the history
				}
				if rank(i.Decision) > rank(got) {
					got = i.Decision
				}
				b, err := json.Marshal(i)
				if err != nil {
					t.Fatal(err)
				}
				all += string(b) + "\n"
				if len(i.Bursts)+len(i.Installs) == 0 {
					continue // merged into another
				}
				if len(i.Timeline()) == 0 || len(i.Triage()) < 13 {
					t.Errorf("incident %s has no timeline or answers", i.ID)
				}
			}
			if got == "none" && x.Answer == incident.Record && len(bursts) > 0 {
				got = incident.Record // recorded as a burst, too quiet for an incident of its own
			}
			if got != x.Answer {
				for _, i := range incidents {
					t.Logf("%s: %q; %s; attribution %+v", i.Decision, i.DecisionReasons, i.Summary, i.Attribution)
					for _, b := range i.Bursts {
						t.Logf("  burst %d: %+v", b.Score, b.Best.Attribution)
					}
				}
				t.Errorf("decided %s, want %s: %s", got, x.Answer, x.Why)
			}
			for _, want := range x.Contains {
				if !strings.Contains(all, want) {
					t.Errorf("nothing says %q", want)
				}
			}
			if x.Bursts > 0 && len(bursts) != x.Bursts {
				t.Errorf("%d bursts, want %d", len(bursts), x.Bursts)
			}
		})
	}
}
