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
		"collect_interval: 1ms":                            "line 1, column 1: collect_interval is 1ms",
		"log_level: loud":                                  `line 1, column 1: log_level is "loud"`,
		"log_level: info\nweights:\n  obfuscatd: 1":        `line 3, column 3: weights: no factor "obfuscatd", did you mean "obfuscated"?`,
		"weights: {encoded: 99}":                           "line 1, column 11: weights: encoded is 99",
		"nonsense: 1":                                      "line 1: field nonsense not found",
		"a: [":                                             "line 1",
		"attribution:\n  expected:\n    - user: al":        "line 2, column 3: attribution: expected entry 1 has no reason",
		"attribution:\n  expected:\n    - reason: for all": "it would attribute everything",
	} {
		if _, err := config.Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
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
