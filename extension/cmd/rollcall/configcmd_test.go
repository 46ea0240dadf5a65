package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// configCommand runs "rollcall config" with its errors as main would show them.
func configCommand(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out bytes.Buffer
	env := &environment{stdin: strings.NewReader(stdin), stdout: &out, stderr: &out, getenv: func(string) string { return "" }}
	err := runConfig(context.Background(), env, args)
	switch e := err.(type) {
	case nil:
		return 0, out.String(), ""
	case *usageError:
		return 2, out.String(), e.Error()
	}
	return 1, out.String(), err.Error()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigCheck(t *testing.T) {
	t.Setenv("ROLLCALL_CONFIG", "")
	good := write(t, "rollcall.yaml", "log_level: debug\nweights: {encoded: 1}\n")
	bad := write(t, "rollcall.yaml", "log_level: debug\nweights:\n  encodd: 1\n")
	central := write(t, "central.json", `{"log_level": "warn"}`)
	badCentral := write(t, "central.json", "{\n  \"log_levl\": \"warn\"}")
	for _, c := range []struct {
		args  []string
		stdin string
		code  int
		want  string
	}{
		{[]string{"check", good}, "", 0, good + ": valid\n"},
		{[]string{"check", bad}, "", 1, `line 3, column 3: weights: no factor "encodd", did you mean "encoded"?`},
		{[]string{"check", "-"}, "log_level: info", 0, "-: valid"},
		{[]string{"check", "-"}, "log_level: \x1b[31m", 1, "-: "},
		{[]string{"check", "--central", central, good}, "", 0, central + ": valid over " + good + ", sha256 "},
		{[]string{"check", "--central", badCentral, good}, "", 1, `line 2, column 3: no option "log_levl", did you mean "log_level"?`},
		{[]string{"check", "--central", "-", good}, "{", 1, "not valid JSON"},
		{[]string{"check", "/nonexistent"}, "", 1, "open /nonexistent: "},
		{[]string{"check", "--central", "/nonexistent", good}, "", 1, "open /nonexistent: "},
		{[]string{"check", "-"}, strings.Repeat("#", 1<<20+1), 1, "larger than 1 MiB"},
		{[]string{"check", "a", "b"}, "", 2, `unexpected argument "b"`},
		{[]string{"schema", "a"}, "", 2, `unexpected argument "a"`},
		{[]string{"chekc"}, "", 2, `no command "chekc"`},
		{nil, "", 2, "check, show or schema"},
		{[]string{"show", "--format", "xml"}, "", 2, "text or json"},
		{[]string{"show", bad}, "", 1, "encodd"},
		{[]string{"show", "--central", badCentral, good}, "", 1, "log_levl"},
	} {
		code, stdout, stderr := configCommand(t, c.stdin, c.args...)
		if all := stdout + stderr; code != c.code || !strings.Contains(all, c.want) || strings.Contains(all, "\x1b") {
			t.Errorf("%q: %d, %q, want %d, %q", c.args, code, all, c.code, c.want)
		}
	}
}

// TestConfigCheckOfTheHostsOwn: what Rollcall itself would refuse is refused here.
func TestConfigCheckOfTheHostsOwn(t *testing.T) {
	own := write(t, "rollcall.yaml", "log_level: debug\n")
	t.Setenv("ROLLCALL_CONFIG", own)
	if code, stdout, _ := configCommand(t, "", "check"); code != 0 || stdout != own+": valid\n" {
		t.Errorf("%d, %q", code, stdout)
	}
	if runtime.GOOS != "windows" { // which has no such mode
		if err := os.Chmod(own, 0o666); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := configCommand(t, "", "check"); code != 1 || !strings.Contains(stderr, "others can write") {
			t.Errorf("a file others can write: %d, %q", code, stderr)
		}
	}
	t.Setenv("ROLLCALL_CONFIG", filepath.Join(t.TempDir(), "missing"))
	if code, _, stderr := configCommand(t, "", "check"); code != 1 || !strings.Contains(stderr, "open the configuration") {
		t.Errorf("a named file that is missing: %d, %q", code, stderr)
	}
}

func TestConfigShow(t *testing.T) {
	file := write(t, "rollcall.yaml", "log_level: debug\nweights: {encoded: 1}\n")
	central := write(t, "central.json", `{"weights": {"encoded": 2}, "enabled": false}`)
	code, stdout, stderr := configCommand(t, "", "show", "--central", central, file)
	if code != 0 || stderr != "" {
		t.Fatalf("%d, %s", code, stderr)
	}
	lines := map[string]string{}
	for _, l := range strings.Split(strings.TrimSpace(stdout), "\n") {
		key, rest, _ := strings.Cut(l, " ")
		lines[key] = strings.Join(strings.Fields(rest), " ")
	}
	for key, want := range map[string]string{"enabled": "false fleet", "log_level": "debug file, line 1", "weights.encoded": "2 fleet", "collect_interval": "10s default"} {
		if lines[key] != want {
			t.Errorf("%s: %q, want %q", key, lines[key], want)
		}
	}
	code, stdout, stderr = configCommand(t, "", "show", "--format", "json", file)
	var rows []map[string]string
	if err := json.Unmarshal([]byte(stdout), &rows); err != nil || code != 0 || stderr != "" || len(rows) < 5 {
		t.Errorf("%d, %v, %s%s", code, err, stdout, stderr)
	}
	for _, r := range rows {
		if len(r) != 3 || r["key"] == "" || r["origin"] == "" {
			t.Errorf("%v", r)
		}
	}
}

func TestConfigSchema(t *testing.T) {
	code, stdout, stderr := configCommand(t, "", "schema")
	var schema map[string]any
	if err := json.Unmarshal([]byte(stdout), &schema); err != nil || code != 0 || stderr != "" {
		t.Fatalf("%d, %v, %s", code, err, stderr)
	}
	if schema["properties"].(map[string]any)["collect_interval"] == nil {
		t.Errorf("%s", stdout)
	}
}

func TestConfigHelp(t *testing.T) {
	_, stdout, _ := configCommand(t, "", "--help")
	if !strings.HasPrefix(stdout, "Usage: rollcall config") || !strings.Contains(stdout, "\n  --central") {
		t.Errorf("%s", stdout)
	}
}

// TestConfigCheckSaysAll: one look at a file is enough.
func TestConfigCheckSaysAll(t *testing.T) {
	code, stdout, _ := configCommand(t, "attribution:\n  expectd: []\ncollect_intervall: 5s\nioc_files: [1, {}, []]\nlog_level: info\nlog_level: info\n", "check", "-")
	want := []string{
		`line 2, column 3: no option "expectd", did you mean "expected"?`, `line 3, column 1: no option "collect_intervall", did you mean "collect_interval"?`,
		"line 4, column 16: an entry of ioc_files must be a text", "line 4, column 20: an entry of ioc_files must be a text", "line 6, column 1: log_level is there twice",
	}
	if code != 1 || strings.Count(stdout, "\n") != len(want) {
		t.Errorf("exit %d, %s", code, stdout)
	}
	for _, w := range want {
		if !strings.Contains(stdout, ": "+w+"\n") {
			t.Errorf("lacks %q:\n%s", w, stdout)
		}
	}
}
