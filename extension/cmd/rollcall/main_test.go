package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// call runs the command as main would.
func call(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &environment{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	return run(context.Background(), env, args), out.String(), errs.String()
}

// TestExamplesInHelp: every command has examples, of flags that it has.
func TestExamplesInHelp(t *testing.T) {
	flags := regexp.MustCompile(`--[a-z-]+`)
	seen := 0
	for _, c := range append(commands(), command{name: "packs check"}) {
		if c.name == "version" {
			continue
		}
		code, help, errs := call(t, "", append(strings.Fields(c.name), "--help")...)
		if code != 0 || errs != "" || !strings.HasPrefix(help, "Usage: rollcall "+c.name) {
			t.Errorf("%s --help: exit %d, %q, %.60q", c.name, code, errs, help)
		}
		if name := strings.Fields(c.name); len(name) == 1 {
			if _, same, _ := call(t, "", "help", c.name); same != help {
				t.Errorf("rollcall help %s says something else", c.name)
			}
		}
		_, examples, ok := strings.Cut(help, "\nExamples:\n")
		_, list, _ := strings.Cut(strings.TrimSuffix(help, examples), "\nFlags:\n")
		if !ok {
			t.Errorf("%s --help has no examples", c.name)
		}
		for _, line := range strings.Split(strings.TrimSpace(examples), "\n") {
			if !strings.Contains(line, "rollcall "+strings.Fields(c.name)[0]) {
				t.Errorf("%s: example %q is of another command", c.name, line)
			}
			for _, f := range flags.FindAllString(strings.NewReplacer("'", " ", `"`, " ").Replace(line[strings.Index(line, "rollcall"):]), -1) {
				if seen++; !strings.Contains(list, "  "+f+" ") && f != "--type" {
					t.Errorf("%s: example %q has the flag %s, which is not listed", c.name, line, f)
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d flags in examples", seen)
	}
}

// TestRecordedEvidenceIsNotOfThisHost: a log that names no host is of none, and its
// incident has the same id wherever it is read.
func TestRecordedEvidenceIsNotOfThisHost(t *testing.T) {
	log := filepath.Join(t.TempDir(), "audit.log")
	err := os.WriteFile(log, []byte(`type=SYSCALL msg=audit(1795676400.123:42): arch=c000003e syscall=59 success=yes exit=0 ppid=700 pid=701 auid=1000 uid=33 gid=33 euid=33 tty=(none) ses=4 comm="systemctl" exe="/usr/bin/systemctl" key=(null)
type=EXECVE msg=audit(1795676400.123:42): argc=3 a0="systemctl" a1="list-units" a2="--type=service"
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs := call(t, "", "query", "--from", log, "--format", "csv", "SELECT incident_id, host, host_uuid FROM service_incidents")
	if want := "incident_id,host,host_uuid\n181dd6c0177ba596e75f,,\n"; code != 0 || out != want {
		t.Errorf("exit %d, %q, want %q; %s", code, out, want, errs)
	}
	code, out, errs = call(t, "", "query", "--from", log, "--format", "csv", "SELECT host FROM service_discovery_events")
	if want := "host\n\"\"\n"; code != 0 || out != want && out != "host\n\n" {
		t.Errorf("exit %d, %q, want %q; %s", code, out, want, errs)
	}
}

// TestFlagsInAnyOrder: people write flags behind what they are about, too.
func TestFlagsInAnyOrder(t *testing.T) {
	sql := "SELECT 7 AS seven"
	for _, args := range [][]string{
		{"query", "--temporary", "--format", "csv", sql}, {"query", sql, "--temporary", "--format=csv"},
		{"query", "--temporary", sql, "--format", "csv"}, {"query", "--format", "csv", "--temporary", "--", sql},
	} {
		if code, out, errs := call(t, "", args...); code != 0 || !strings.Contains(out, "seven\n7\n") {
			t.Errorf("%q: exit %d, %q %s", args, code, out, errs)
		}
	}
	// Behind "--" nothing is a flag, and of a command line that is scored everything is its own.
	if code, _, errs := call(t, "", "query", "--temporary", "--", sql, "--format"); code != 2 || !strings.Contains(errs, "name one SQL text") {
		t.Errorf("exit %d, %s", code, errs)
	}
	if code, out, errs := call(t, "", "score", "systemctl", "list-units", "--type=service"); code != 0 || !strings.Contains(out, "systemctl list-units --type=service") {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
}

func TestMistakesInTheCall(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "name a command"},
		{[]string{"scroe"}, `no command "scroe", did you mean "score"?`},
		{[]string{"foo"}, `no command "foo"; rollcall --help lists them`},
		{[]string{"unheard-of"}, `no command "unheard-of"; rollcall --help lists them`},
		{[]string{"query"}, "name one SQL text"},
		{[]string{"query", "a", "b"}, "name one SQL text"},
		{[]string{"query", "--nonsense", "a"}, "flag provided but not defined: -nonsense"},
		{[]string{"query", "--for", "soon", "a"}, `invalid value "soon"`},
		{[]string{"query", "--for", "-1s", "a"}, "cannot be negative"},
		{[]string{"query", "--format", "xml", "a"}, "xml"},
		{[]string{"shell", "a"}, `unexpected argument "a"`},
		{[]string{"score"}, "name a command line"},
		{[]string{"score", "--format", "xml", "a"}, "text or json"},
		{[]string{"score", "--platform", "plan9", "a"}, "windows, linux or darwin"},
		{[]string{"score", "-"}, "needs --format json"},
		{[]string{"score", "--format"}, "flag needs an argument"},
		{[]string{"rules", "a"}, `unexpected argument "a"`},
		{[]string{"rules", "--survey", "main_test.go"}, "names a directory"},
		{[]string{"packs", "a"}, `unexpected argument "a"`},
		{[]string{"packs", "--format", "xml"}, "--format is osquery"},
	} {
		code, stdout, stderr := call(t, "", c.args...)
		if code != 2 || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("%q: exit %d, %q, want %q (stdout %q)", c.args, code, stderr, c.want, stdout)
		}
		if strings.Count(stderr, c.want) != 1 {
			t.Errorf("%q: said more than once: %s", c.args, stderr)
		}
	}
}

func TestFailuresAreOne(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"query", "--temporary", "SELECT nonsense FROM service_discovery_events"}, "nonsense"},
		{[]string{"query", "--temporary", "SELEC 1"}, "syntax error"},
		{[]string{"query", "--temporary", "DELETE FROM service_discovery_events"}, ""},
		{[]string{"rules", "--survey", "/nonexistent"}, "survey rules"},
		{[]string{"packs", "--out", "/dev/null/x"}, "write packs"},
	} {
		code, _, stderr := call(t, "", c.args...)
		if code != 1 || !strings.Contains(stderr, c.want) || !strings.HasPrefix(stderr, "rollcall: ") {
			t.Errorf("%q: exit %d, %q, want %q", c.args, code, stderr, c.want)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"--help"}, {"-h"}} {
		code, stdout, stderr := call(t, "", args...)
		if code != 0 || stderr != "" {
			t.Errorf("%q: exit %d, %q", args, code, stderr)
		}
		for _, c := range commands() {
			if !strings.Contains(stdout, "  "+c.name+" ") || c.brief == "" {
				t.Errorf("%q: the help lacks %s", args, c.name)
			}
		}
	}
	for _, c := range commands() {
		if c.name == "version" {
			continue
		}
		code, stdout, stderr := call(t, "", c.name, "--help")
		if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "Usage: rollcall "+c.name) || !strings.Contains(stdout, "\n  -") {
			t.Errorf("%s --help: exit %d, %q, %q", c.name, code, stdout, stderr)
		}
	}
	if code, stdout, _ := call(t, "", "--version"); code != 0 || !strings.HasPrefix(stdout, "rollcall ") {
		t.Errorf("--version: %d %q", code, stdout)
	}
}

// TestScoreTextIsGolden is what a person reads.
func TestScoreTextIsGolden(t *testing.T) {
	for name, args := range map[string][]string{
		"score_obfuscated": {`cmd /c "s^c  query"`},
		"score_benign":     {"--platform", "linux", "ls -l /tmp"},
		"score_web":        {"--platform", "linux", "--user", "www-data", "--parent", "/usr/sbin/nginx", "sh -c 'systemctl --type=service > /tmp/o'"},
		"score_terminal":   {"--platform", "linux", "systemctl status '\x1b[31mred'"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := call(t, "", append([]string{"score"}, args...)...)
			if code != 0 || stderr != "" {
				t.Fatalf("exit %d, %q", code, stderr)
			}
			if strings.Contains(stdout, "\x1b") {
				t.Errorf("a terminal would obey: %q", stdout)
			}
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(stdout), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), stdout); d != "" {
				t.Errorf("(-want +got)\n%s\nif that is right: go test ./extension/cmd/rollcall -update", d)
			}
		})
	}
}

func TestScoreJSON(t *testing.T) {
	code, stdout, _ := call(t, "", "score", "--format", "json", "--platform", "windows", "sc query > out.txt")
	var v scoreOutput
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s", code, err, stdout)
	}
	if !v.T1007 || v.Scope != "all" || v.Technique != "T1007" || v.Score <= 0 || len(v.RuleIDs) == 0 || len(v.Reasons) < 2 || v.Reasons[0].Factor != "rule_level" {
		t.Errorf("%+v", v)
	}
	code, stdout, _ = call(t, "", "score", "--format", "json", "ls")
	for _, want := range []string{`"t1007":false`, `"rule_ids":[]`, `"reasons":[]`, `"canonical":[]`} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit %d, no %s in %s", code, want, stdout)
		}
	}
	_, stdout, _ = call(t, "", "score", "--format", "json", "--platform", "windows", "sc query --password=hunter2")
	if strings.Contains(stdout, "hunter2") {
		t.Errorf("a secret is shown: %s", stdout)
	}
}

func lines(t *testing.T, stdin string) []scoreOutput {
	t.Helper()
	code, stdout, stderr := call(t, stdin, "score", "--format", "json", "-")
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d, %q", code, stderr)
	}
	var out []scoreOutput
	dec := json.NewDecoder(strings.NewReader(stdout))
	for {
		var v scoreOutput
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
}

// TestScoreLines: one verdict a line, whatever the lines are like.
func TestScoreLines(t *testing.T) {
	const good = `{"id":"g","platform":"linux","cmdline":"systemctl"}`
	for name, c := range map[string]struct {
		in   string
		want string // of each line: id, or ! for an error
	}{
		"nothing":          {"", ""},
		"empty lines":      {"\n\n  \n\t\n", ""},
		"one":              {good, "g"},
		"with its end":     {good + "\n", "g"},
		"Windows lines":    {good + "\r\n\r\n" + good + "\r\n", "g g"},
		"a mark first":     {"\ufeff" + good + "\n" + good, "g g"},
		"no JSON":          {"hello\n" + good, "! g"},
		"half an object":   {`{"id":"x"` + "\n" + good, "! g"},
		"a list":           {"[1]\n" + good, "! g"},
		"null":             {"null\n" + good, " g"},
		"wrong type":       {`{"cmdline":5}` + "\n" + good, "! g"},
		"unknown field":    {`{"id":"u","more":{"x":[1]}}`, "u"},
		"bytes":            {"\xff\xfe\x00\n" + good, "! g"},
		"five megabytes":   {`{"id":"big","cmdline":"` + strings.Repeat("a ", 5<<19) + `"}` + "\n" + good, "! g"},
		"two megabytes":    {`{"id":"big","platform":"linux","cmdline":"` + strings.Repeat("a ", 1<<20) + `"}` + "\n" + good, "big g"},
		"a tail of a line": {good + "\n" + strings.Repeat("x", 9<<20), "g !"},
	} {
		var got []string
		for _, v := range lines(t, c.in) {
			id := v.ID
			if v.Error != "" {
				id = "!"
			}
			got = append(got, id)
			if v.RuleIDs == nil || v.Reasons == nil || v.Canonical == nil || v.Severity == "" {
				t.Errorf("%s: a verdict lacks something: %+v", name, v)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestScoreLinesKeepTheirOrder mixes quick and slow lines.
func TestScoreLinesKeepTheirOrder(t *testing.T) {
	var b strings.Builder
	const n = 1500
	for i := range n {
		line := "ls"
		if i%7 == 0 {
			line = strings.Repeat("systemctl list-units; ", 40)
		}
		fmt.Fprintf(&b, "{\"id\":\"%d\",\"platform\":\"linux\",\"cmdline\":%q}\n", i, line)
	}
	got := lines(t, b.String())
	if len(got) != n {
		t.Fatalf("%d verdicts", len(got))
	}
	for i, v := range got {
		if v.ID != fmt.Sprint(i) || v.T1007 != (i%7 == 0) {
			t.Fatalf("line %d is %s, T1007 %v", i, v.ID, v.T1007)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error)  { return 0, errors.New("broken cable") }
func (failing) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestScoreLinesSayWhatFailed(t *testing.T) {
	var out, errs bytes.Buffer
	env := &environment{stdin: failing{}, stdout: &out, stderr: &errs}
	if code := run(context.Background(), env, []string{"score", "--format", "json", "-"}); code != 1 || !strings.Contains(errs.String(), "broken cable") {
		t.Errorf("input: exit %d, %s", code, errs.String())
	}
	errs.Reset()
	env = &environment{stdin: strings.NewReader(strings.Repeat("{}\n", 5000)), stdout: failing{}, stderr: &errs}
	if code := run(context.Background(), env, []string{"score", "--format", "json", "-"}); code != 1 || !strings.Contains(errs.String(), "no room") {
		t.Errorf("output: exit %d, %s", code, errs.String())
	}
}

// TestAnInterruptEndsScore although its input is open.
func TestAnInterruptEndsScore(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, &environment{stdin: r, stdout: io.Discard, stderr: io.Discard}, []string{"score", "--format", "json", "-"})
	}()
	cancel()
	select {
	case code := <-done:
		if code != 130 {
			t.Errorf("exit %d, want 130", code)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits for more input")
	}
}

func TestQueryFormats(t *testing.T) {
	const sql = "SELECT score, scope, cmdline FROM service_discovery_score WHERE cmdline = 'systemctl' AND platform = 'linux'"
	for format, want := range map[string]string{
		"csv":   "score,scope,cmdline\n25,all,systemctl\n",
		"json":  `"scope":"all"`,
		"table": "systemctl",
	} {
		code, stdout, stderr := call(t, "", "query", "--temporary", "--format", format, sql)
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit %d, %q %q", format, code, stdout, stderr)
		}
	}
	if code, stdout, stderr := call(t, sql, "query", "--temporary", "--format", "csv", "-"); code != 0 || !strings.Contains(stdout, "25,all,systemctl") {
		t.Errorf("from standard input: exit %d, %q %q", code, stdout, stderr)
	}
	code, stdout, stderr := call(t, "", "query", "--state", t.TempDir(), "--format", "csv", "SELECT state FROM service_discovery_health WHERE component = 'store'")
	if code != 0 || stdout != "state\nok\n" {
		t.Errorf("with a state of its own: exit %d, %q %q", code, stdout, stderr)
	}
}

func TestRulesAndPacks(t *testing.T) {
	code, stdout, stderr := call(t, "", "rules")
	if code != 0 || strings.Count(stdout, "\n") < 35 || !strings.Contains(stdout, "windows") || stderr != "" {
		t.Errorf("rules: exit %d, %d lines, %q", code, strings.Count(stdout, "\n"), stderr)
	}
	if code, stdout, _ := call(t, "", "rules", "--survey", "../../rule/rules"); code != 0 || !strings.Contains(stdout, "(100.0 %)") {
		t.Errorf("survey: exit %d, %s", code, stdout)
	}
	code, pack, _ := call(t, "", "packs")
	if code != 0 || !json.Valid([]byte(pack)) {
		t.Errorf("packs: exit %d, %s", code, pack)
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	code, stdout, _ = call(t, "", "packs", "--out", dir)
	first, _, _ := strings.Cut(stdout, "\n")
	data, err := os.ReadFile(first)
	if code != 0 || err != nil || string(data) != pack || filepath.Dir(first) != dir {
		t.Errorf("packs --out: exit %d, %q, %v", code, stdout, err)
	}
	conf := filepath.Join(t.TempDir(), "rollcall.yaml")
	if err := os.WriteFile(conf, []byte("log_levl: info\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := call(t, "", "rules", "--config", conf); code != 0 || stdout == "" || !strings.Contains(stderr, `did you mean "log_level"?`) {
		t.Errorf("with a bad configuration: exit %d, %q", code, stderr)
	}
}
