package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reported runs "rollcall report".
func reported(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &environment{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	err = runReport(context.Background(), env, args)
	return out.String(), errs.String(), err
}

// webShell is evidence of a web shell on a host, a line an event.
func webShell(host string) string {
	var out strings.Builder
	for i, cmd := range []string{"systemctl list-units --type=service", "systemctl list-unit-files"} {
		fmt.Fprintf(&out, `{"kind":"process","platform":"linux","time":%d,"host":%q,"id":"%d","username":"www-data","uid":"33","pid":%d,"ppid":40,"path":"/usr/bin/systemctl","cmdline":%q,"parent_path":"/usr/sbin/apache2","parent_cmdline":"/usr/sbin/apache2 -k start"}`+"\n",
			1795831200+i, host, i, 50+i, cmd)
	}
	return out.String()
}

func save(t *testing.T, dir, name, data string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// resultsLog is rows of an incident as osqueryd logs them.
func resultsLog(t *testing.T, host, id string) string {
	t.Helper()
	var out strings.Builder
	for _, columns := range []map[string]string{
		{"incident_id": id, "decision": "escalate", "summary": "asked on " + host, "opened": "1795831200", "score": "90", "severity": "critical", "status": "open", "username": "eve"},
		{"incident_id": id, "time": "1795831205", "phase": "during", "kind": "command", "subject": "sc query", "detail": "by eve", "score": "70"},
	} {
		b, err := json.Marshal(map[string]any{"name": "pack_t1007_x", "hostIdentifier": host, "unixTime": 1795831300, "columns": columns, "action": "added"})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(b, '\n'))
	}
	return out.String()
}

func TestReportMistakes(t *testing.T) {
	var u *usageError
	for _, args := range [][]string{{}, {"--out", "x", "y"}, {"--out", "-", "--days", "-1"}} {
		if _, _, err := reported(t, "", args...); !errors.As(err, &u) {
			t.Errorf("%q: %v", args, err)
		}
	}
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"nothing there":      {"--out", "-", "--from", filepath.Join(dir, "none")},
		"no evidence in":     {"--out", "-", "--from", save(t, dir, "noise", "hello\n")},
		"no place to write":  {"--out", filepath.Join(dir, "none", "x.html"), "--from", save(t, dir, "r.log", resultsLog(t, "h1", "aa"))},
		"nothing on stdin":   {"--out", "-", "--from", "-"},
		"an empty directory": {"--out", "-", "--from", t.TempDir()},
		"no database":        {"--out", "-", "--from", save(t, dir, "broken/rollcall.db", "not a database at all, but long enough to look at")},
	} {
		out, _, err := reported(t, "", args...)
		if err == nil || errors.As(err, &u) || out != "" {
			t.Errorf("%s: %v, %d bytes", name, err, len(out))
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".rollcall-report-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestReportOfHostWithoutState(t *testing.T) {
	t.Setenv("ROLLCALL_STATE", filepath.Join(t.TempDir(), "none"))
	if _, _, err := reported(t, "", "--out", "-"); err == nil || !strings.Contains(err.Error(), "run as root, or name what to report on with --from") {
		t.Errorf("%v", err)
	}
}

// TestReportOfAnything gives a report all it can be made of.
func TestReportOfAnything(t *testing.T) {
	dir := t.TempDir()
	evidence := save(t, dir, "ev/web1.jsonl", webShell("web1"))
	state := filepath.Join(dir, "state")
	if code, _, stderr := call(t, "", "query", "--state", state, "--from", save(t, dir, "other.jsonl", webShell("web2")), "SELECT 1"); code != 0 {
		t.Fatal(stderr)
	}
	results := save(t, dir, "logs/osqueryd.results.log", resultsLog(t, "web3", "aa")+`{"name":"other","columns":{"pid":"1"},"action":"added"}`+"\n")
	save(t, dir, "logs/osqueryd.INFO", "I1126 noise\n")
	save(t, dir, "logs/old/results.log", resultsLog(t, "web4", "bb"))
	for _, c := range []struct {
		name  string
		args  []string
		stdin string
		want  []string
	}{
		{"evidence", []string{"--from", evidence}, "", []string{"web1"}},
		{"a folder of evidence", []string{"--from", filepath.Dir(evidence)}, "", []string{"web1"}},
		{"a state", []string{"--from", state}, "", []string{"web2"}},
		{"a database", []string{"--from", filepath.Join(state, "rollcall.db")}, "", []string{"web2"}},
		{"results", []string{"--from", results}, "", []string{"web3"}},
		{"a folder of results", []string{"--from", filepath.Join(dir, "logs")}, "", []string{"web3", "web4"}},
		{"standard input", []string{"--from", "-"}, resultsLog(t, "web5", "cc"), []string{"web5"}},
		{"all", []string{"--from", evidence, "--from", state, "--from", filepath.Join(dir, "logs"), "--from", "-"}, resultsLog(t, "web5", "cc"), []string{"web1", "web2", "web3", "web4", "web5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "report.html")
			stdout, stderr, err := reported(t, c.stdin, append(c.args, "--out", out, "--title", "Of <"+c.name+">")...)
			if err != nil || stdout != "" {
				t.Fatalf("%v, %q %q", err, stdout, stderr)
			}
			page, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				host := fmt.Sprint("web", i+1)
				want := false
				for _, w := range c.want {
					want = want || w == host
				}
				if got := bytes.Contains(page, []byte("<h2>"+host+"</h2>")); got != want {
					t.Errorf("a section for %s: %v, want %v", host, got, want)
				}
			}
			if n := bytes.Count(page, []byte("<article")); n != len(c.want) {
				t.Errorf("%d incidents, want %d", n, len(c.want))
			}
			if !bytes.Contains(page, []byte("<title>Of &lt;"+c.name+"&gt;</title>")) {
				t.Error("not its title")
			}
			info, err := os.Stat(out)
			if err != nil || info.Mode().Perm() != 0o600 && os.PathSeparator == '/' {
				t.Errorf("%v, %v", info.Mode(), err)
			}
		})
	}
}

func TestReportOfNewestDays(t *testing.T) {
	old := strings.ReplaceAll(strings.ReplaceAll(webShell("web1"), "1795831", "1795031"), `"id":"`, `"id":"o`)
	path := save(t, t.TempDir(), "ev.jsonl", old+webShell("web1"))
	for days, want := range map[string]int{"0": 2, "3": 1} {
		out, _, err := reported(t, "", "--out", "-", "--from", path, "--days", days)
		if err != nil || strings.Count(out, "<article") != want {
			t.Errorf("%s days: %d incidents, want %d; %v", days, strings.Count(out, "<article"), want, err)
		}
	}
}
