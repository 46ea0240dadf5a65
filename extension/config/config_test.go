package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osquery-rollcall/rollcall/extension/config"
)

func TestParse(t *testing.T) {
	c, err := config.Parse([]byte("collect_interval: 30s\nweights: {obfuscated: 2.5}\nattribution:\n  expected:\n    - {user: al, reason: works here}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.CollectInterval != 30*time.Second || c.ScoreWeights()["obfuscated"] != 2.5 || c.ScoreWeights()["encoded"] == 0 || len(c.Attribution.Expected) != 1 {
		t.Errorf("read %+v", c)
	}
	for _, ok := range []string{"", "# nothing\n", "{}", `{"log_level": "debug"}`} {
		if _, err := config.Parse([]byte(ok)); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
}

func TestErrorsSayWhere(t *testing.T) {
	for in, want := range map[string]string{
		"collect_interval: 1ms":                     "line 1, column 1: collect_interval is 1ms: must be 1s to 1h",
		"collect_interval: 2h":                      "line 1, column 1: collect_interval is 2h0m0s",
		"collect_interval: 10":                      `line 1, column 19: collect_interval is "10": must be a duration with its unit`,
		"collect_interval: soon":                    `line 1, column 19: collect_interval is "soon": must be a duration`,
		"log_level: loud":                           `line 1, column 1: log_level is "loud"`,
		"log_level: [info]":                         "line 1, column 12: log_level must be a text",
		"rules_dir: rules.d":                        `line 1, column 1: rules_dir is "rules.d": must be a whole path`,
		"log_level: info\nweights:\n  obfuscatd: 1": `line 3, column 3: weights: no factor "obfuscatd", did you mean "obfuscated"?`,
		"weights: {encoded: 99}":                    "line 1, column 11: weights: encoded is 99",
		"weights: {encoded: .nan}":                  "line 1, column 11: weights: encoded is NaN",
		"weights: {encoded: -.inf}":                 "line 1, column 11: weights: encoded is -Inf",
		"weights: {encoded: much}":                  `line 1, column 20: encoded is "much": must be a number`,
		"weights: 3":                                `line 1, column 10: weights is "3": must be a mapping`,
		"attribution: {expected: []}\nweights: {attribution: 99}": "line 2, column 11: weights: attribution is 99",
		"nonsense: 1":                           `line 1, column 1: no option "nonsense"`,
		"log_levl: info":                        `line 1, column 1: no option "log_levl", did you mean "log_level"?`,
		"attribution: {expectd: []}":            `line 1, column 15: no option "expectd", did you mean "expected"?`,
		"attribution: {expected: [{usr: al}]}":  `line 1, column 27: no option "usr", did you mean "user"?`,
		"log_level: info\nlog_level: warn":      "line 2, column 1: log_level is there twice",
		"log_level: info\n---\nlog_level: warn": "line 2, column 1: a second document",
		"[]":                                    "line 1, column 1: the configuration must be a mapping",
		"just text":                             "line 1, column 1: the configuration is \"just text\"",
		"a: [":                                  "line 1",
		"attribution:\n  expected:\n    - user: al":                                "line 3, column 7: attribution: expected entry 1 has no reason",
		"attribution:\n  expected:\n    - reason: for all":                         "line 3, column 7: attribution: expected entry 1 (for all) names no user",
		"attribution: {expected: [{command: '*', reason: x}]}":                     "it would attribute everything",
		"attribution: {expected: [{user: al, reason: x}, {user: '*', reason: y}]}": "line 1, column 49: attribution: expected entry 2 (y)",
		"attribution: {expected: [{user: al, reason: x, expires: soon}]}":          `line 1, column 57: expires is "soon": must be a time`,
		"attribution: {expected: {user: al}}":                                      "line 1, column 25: expected must be a list",
		"attribution: {expected: [al]}":                                            `line 1, column 26: an entry of expected is "al"`,
	} {
		if _, err := config.Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestAllOfYAMLIsUnderstood(t *testing.T) {
	for name, in := range map[string]string{
		"JSON":          "{\n  \"log_level\": \"warn\",\n  \"weights\": {\"encoded\": 1}, \"attribution\": {\"expected\": [{\"user\": \"al\", \"reason\": \"x\", \"expires\": \"2026-12-31T00:00:00Z\"}]}}",
		"JSON by tabs":  "{\n\t\"log_level\": \"warn\"\n}",
		"Windows lines": "log_level: warn\r\nweights:\r\n  encoded: 1\r\n",
		"a mark first":  "\ufefflog_level: warn\n",
		"aliases":       "log_level: warn\nattribution:\n  expected:\n    - &a {user: al, reason: x}\n    - *a\n",
		"nothing given": "log_level: warn\nweights:\nattribution:\ncollect_interval:\n",
		"document mark": "---\nlog_level: warn\n...\n",
	} {
		c, err := config.Parse([]byte(in))
		if err != nil || c.LogLevel != "warn" || c.CollectInterval != 10*time.Second {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// TestABadFileLeavesTheDefaults: a caller that goes on has something sound.
func TestABadFileLeavesTheDefaults(t *testing.T) {
	c, err := config.Parse([]byte("collect_interval: 30s\nlog_level: loud\nweights: {encoded: 1}"))
	if err == nil || c.CollectInterval != config.Default().CollectInterval || len(c.Weights) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestEveryOptionHasACheck walks the types: a new option must be one Parse knows.
func TestEveryOptionHasACheck(t *testing.T) {
	_, err := config.Parse([]byte(`
collect_interval: 30s
rules_dir: ` + t.TempDir() + `
log_level: trace
weights: {encoded: 1.5, obfuscated: 2}
attribution:
  expected:
    - {user: a, parent: b, command: c, host: d, reason: e, expires: 2026-12-31T00:00:00Z}
`))
	if err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "log_level: info", "weights: {encoded: .nan}", "a: &a [*a]", "attribution: {expected: [{user: x}]}", "{", "---\n---", "? [a]\n: b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		c, err := config.Parse(data)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a word")
			}
			return
		}
		if c.CollectInterval < time.Second {
			t.Errorf("accepted an interval of %v", c.CollectInterval)
		}
		for k, v := range c.ScoreWeights() {
			if !(v >= -10 && v <= 10) {
				t.Errorf("accepted %s: %v", k, v)
			}
		}
	})
}

func TestLoadRefusesWhatOthersWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rollcall.yaml")
	if _, err := config.Load(path, false); err != nil {
		t.Errorf("a default file need not exist: %v", err)
	}
	if _, err := config.Load(path, true); err == nil {
		t.Error("a named file must exist")
	}
	if err := os.WriteFile(path, []byte("log_level: warn\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := config.Load(path, true); err != nil || c.LogLevel != "warn" {
		t.Errorf("%+v, %v", c, err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path, true); err == nil || !strings.Contains(err.Error(), "others can write") {
		t.Errorf("a file others can write: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, config.MaxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path, true); err == nil {
		t.Error("a huge file was read")
	}
}
