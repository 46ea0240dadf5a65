package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/config"
)

func local(t *testing.T) config.Config {
	t.Helper()
	c, err := config.Parse([]byte("collect_interval: 30s\nlog_level: warn\nweights: {encoded: 1, obfuscated: 2}\nattribution:\n  expected:\n    - {user: al, reason: works here}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOverlay(t *testing.T) {
	base := local(t)
	for name, c := range map[string]struct {
		in   string
		want func(*config.Config)
	}{
		"nothing":         {"{}", func(*config.Config) {}},
		"nothing of each": {`{"log_level": null, "weights": {}, "attribution": null, "enabled": null}`, func(*config.Config) {}},
		"a text":          {`{"log_level": "debug"}`, func(c *config.Config) { c.LogLevel = "debug" }},
		"a duration":      {"\n{\t\"collect_interval\": \"1m30s\"}\r\n", func(c *config.Config) { c.CollectInterval = 90 * time.Second }},
		"one of a map":    {`{"weights": {"encoded": -0.5}}`, func(c *config.Config) { c.Weights = map[string]float64{"encoded": -0.5, "obfuscated": 2} }},
		"a list": {`{"attribution": {"expected": [{"user": "b\u00f6b \ud83d\ude00", "reason": "a\/b"}]}}`, func(c *config.Config) {
			c.Attribution.Expected[0].User, c.Attribution.Expected[0].Reason = "böb 😀", "a/b"
		}},
		"an empty list":    {`{"attribution": {"expected": []}}`, func(c *config.Config) { c.Attribution.Expected = c.Attribution.Expected[:0] }},
		"switched off":     {`{"enabled": false, "log_level": "error"}`, func(c *config.Config) { c.LogLevel, c.Enabled = "error", false }},
		"switched on":      {`{"enabled": true}`, func(*config.Config) {}},
		"a word like YAML": {`{"attribution": {"expected": [{"user": "yes", "reason": "~"}]}}`, func(c *config.Config) { c.Attribution.Expected[0].User, c.Attribution.Expected[0].Reason = "yes", "~" }},
	} {
		t.Run(name, func(t *testing.T) {
			want := local(t)
			c.want(&want)
			got, err := config.Overlay(base, []byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(local(t), base); d != "" {
				t.Errorf("the base was changed: %s", d)
			}
		})
	}
}

func TestOverlayErrors(t *testing.T) {
	base := local(t)
	for in, want := range map[string]string{
		"":                                  "is empty: {} is none",
		" \n":                               "is empty",
		"null":                              "line 1, column 1: the configuration",
		"[]":                                "line 1, column 1: the configuration must be an object",
		"log_level: debug":                  "line 1, column 1: not valid JSON",
		`{"log_level": "debug"`:             "line 1, column 22: not valid JSON: it ends too early",
		"{\n  \"a\" 1}":                     "line 2, column 7: not valid JSON",
		`{"log_level": 'debug'}`:            "line 1, column 15: not valid JSON",
		`{} {}`:                             "line 1, column 4: something follows",
		`{"log_levl": "debug"}`:             `line 1, column 2: no option "log_levl", did you mean "log_level"?`,
		`{"log_level": "loud"}`:             `line 1, column 2: log_level is "loud"`,
		"{\"weights\":\n  {\"encodd\": 1}}": `line 2, column 4: weights: no factor "encodd", did you mean "encoded"?`,
		`{"weights": {"encoded": 1e400}}`:   "encoded is \"1e400\": must be a number",
		`{"weights": {"encoded": "much"}}`:  `line 1, column 25: encoded is "much": must be a number`,
		`{"weights": [1]}`:                  "line 1, column 13: weights must be a mapping",
		`{"collect_interval": 10}`:          `line 1, column 22: collect_interval is "10": must be a duration`,
		`{"collect_interval": "1ms"}`:       "collect_interval is 1ms: must be 1s to 1h",
		`{"log_level": "info", "log_level": "warn"}`:                         "line 1, column 23: log_level is there twice",
		`{"enabled": "never"}`:                                               `line 1, column 13: enabled is "never": must be true or false`,
		`{"enabled": 0}`:                                                     "must be true or false",
		`{"enabled": true, "enabled": false}`:                                "enabled is there twice",
		`{"attribution": {"expected": [{"usr": "al"}]}}`:                     `line 1, column 32: no option "usr", did you mean "user"?`,
		`{"attribution": {"expected": [{"user": "al"}]}}`:                    "expected entry 1 has no reason",
		strings.Repeat(`{"weights":`, 40) + "1" + strings.Repeat("}", 40):    "nested deeper",
		strings.Repeat(`[`, 40) + strings.Repeat("]", 40):                    "nested deeper",
		`{"log_level": "` + strings.Repeat("x", config.MaxFile) + `"}`:       "larger than 1 MiB",
		"{\"log_level\": \"\xff\xfe\"}":                                      "log_level is",
		`{"log_level": "` + strings.Repeat("\\u001b", 20) + `"}`:             "log_level is",
		"{\"é\": 1, \"log_levl\": 1}":                                        `no option "é"`,
		"{\"log_level\": \"warn\", \"rules_dir\": \"é\", \"collect\": \"\"}": `line 1, column 41: no option "collect"`,
	} {
		got, err := config.Overlay(base, []byte(in))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", in, err, want)
			continue
		}
		if strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%.60q: the error holds control characters: %q", in, err)
		}
		if d := cmp.Diff(base, got); d != "" {
			t.Errorf("%.60q: an error that changes something: %s", in, d)
		}
	}
}

func TestHashIsThatOfTheMeaning(t *testing.T) {
	a, b, c := config.Hash([]byte(`{"log_level": "debug"}`)), config.Hash([]byte("\n{\n  \"log_level\":\"debug\" }")), config.Hash([]byte(`{"log_level": "info"}`))
	if a != b || a == c || len(a) != 12 {
		t.Errorf("%s %s %s", a, b, c)
	}
	if config.Hash([]byte(" no JSON ")) != config.Hash([]byte("no JSON")) || config.Hash(nil) == config.Hash([]byte("x")) {
		t.Error("what is no JSON has a hash too")
	}
}

func TestSettingsSayWhereFrom(t *testing.T) {
	got, err := config.Settings([]byte("log_level: warn\nweights:\n  encoded: 1\n  obfuscated: 2\nattribution:\n  expected:\n    - {user: al, reason: x}\n"), []byte(`{"weights": {"encoded": 3}, "enabled": false}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"collect_interval": "10s|default", "log_level": "warn|file, line 1", "weights.encoded": "3|fleet", "weights.obfuscated": "2|file, line 4",
		"attribution.expected[0].user": "al|file, line 7", "attribution.expected[0].reason": "x|file, line 7", "enabled": "false|fleet",
		"rules_dir": config.RulesDir() + "|default",
	}
	for _, s := range got {
		if w, ok := want[s.Key]; ok && w != s.Value+"|"+s.Origin {
			t.Errorf("%s: %s|%s, want %s", s.Key, s.Value, s.Origin, w)
		} else if !ok && s.Origin != "default" {
			t.Errorf("%+v", s)
		}
		delete(want, s.Key)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	if got, err := config.Settings(nil, nil); err != nil || len(got) < 3 {
		t.Errorf("without a file: %v, %v", got, err)
	}
	if _, err := config.Settings([]byte("log_level: loud"), nil); err == nil {
		t.Error("a bad file")
	}
	if _, err := config.Settings(nil, []byte("{")); err == nil || !strings.Contains(err.Error(), "fleet") {
		t.Errorf("a bad fleet: %v", err)
	}
}

func FuzzOverlay(f *testing.F) {
	for _, s := range []string{"{}", `{"log_level": "debug"}`, `{"enabled": false}`, `{"weights": {"encoded": 1e400}}`, "{", "[[[", `{"a": {"b": [1, null, true, "\ud83d"]}}`, `{"attribution": {"expected": [{"expires": "2026-12-31T00:00:00Z"}]}}`} {
		f.Add([]byte(s))
	}
	base := config.Default()
	base.Weights = map[string]float64{"encoded": 1}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		got, err := config.Overlay(base, data)
		if err != nil && err.Error() == "" {
			t.Error("an error without a word")
		}
		if base.Weights["encoded"] != 1 || len(base.Weights) != 1 {
			t.Fatal("the base was changed")
		}
		if got.CollectInterval < time.Second || got.CollectInterval > time.Hour {
			t.Errorf("accepted an interval of %v", got.CollectInterval)
		}
		if _, serr := config.Settings(nil, data); err == nil && serr != nil {
			t.Errorf("accepted, but not shown: %v", serr)
		}
	})
}
