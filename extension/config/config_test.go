package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/config"
	"github.com/osquery-rollcall/rollcall/tests/permit"
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
enabled: true
ioc_files: [` + filepath.Join(t.TempDir(), "bad.txt") + `]
vuln_files: [` + filepath.Join(t.TempDir(), "osv.json") + `]
incident: {burst_gap: 10m, window_before: 2h, window_after: 30m, watch: 48h, keep: 240h, escalate_command: high, escalate_install: critical, escalate_stakes: medium, review_unattributed: medium, review_attributed: critical}
attribution:
  expected:
    - {user: a, parent: b, command: c, host: d, reason: e, expires: 2026-12-31T00:00:00Z}
    - {id: i, user: a, commands: [c, d], path: /usr/bin/e, exact: true, reason: r}
    - {name: app.service, path: /opt/app/app, sha256: ` + strings.Repeat("0a", 32) + `, signer: Example, package: app, reason: r}
    - {path: /opt/app/app, remote: 10.0.0.0/8, reason: r}
  maintenance:
    - {reference: CHG-1, from: 2026-12-01T20:00:00Z, to: 2026-12-02T04:00:00+02:00, hosts: [web-*], users: [al], reason: r, expires: 2027-01-01T00:00:00Z}
    - {reference: CHG-2, weekdays: [tue, sat-sun], weeks: [2, 3], hours: "22:00-04:00", time_zone: Europe/Berlin, reason: r}
  agents:
    - {name: sccm, reason: r}
    - {name: ours, programs: [/opt/ours/bin/agent], payloads: [/etc/ours/*], users: [ours], sources: [10.1.2.3], hosts: ["*"], reason: r, expires: 2027-01-01T00:00:00Z}
  scanners:
    - {name: nessus, users: ['CORP\scan'], sources: [10.9.0.0/24, "fd00::/8"], services: [scan*], hosts: [a], from: 2026-01-01T00:00:00Z, to: 2027-01-01T00:00:00Z, weekdays: [sat], weeks: [1], hours: 20:00-24:00, time_zone: UTC, reason: r, expires: 2027-01-01T00:00:00Z}
  cases:
    - {id: IR-1, users: [ir-*], sources: [10.1.1.0/24], hosts: [db-1], reason: r, expires: 2026-12-24T00:00:00Z}
  business_hours: {time_zone: America/New_York, days: [mon-thu, friday], from: 08:00, to: "18:30", holidays: [2026-12-25, 01-01]}
  critical_assets: [dc-*]
  sensitive_accounts: [root]
  known_user: {off: false, days: 4, user_days: 10}
`))
	if err != nil {
		t.Error(err)
	}
}

// TestMistakesInAttribution: each is named with its place.
func TestMistakesInAttribution(t *testing.T) {
	for in, want := range map[string]string{
		"expected: [{name: x, path: /y, reason: r}]":                                                      "line 1, column 26: attribution: expected entry 1 (r) is about a service: it needs sha256, signer or package too",
		"expected: [{name: x, sha256: 00, reason: r}]":                                                    "it needs its name and the path",
		"expected: [{name: x, path: /y, sha256: 00, reason: r}]":                                          "not 64 hexadecimal digits",
		"expected: [{user: x, package: y, reason: r}]":                                                    "no name of a service",
		"expected: [{user: x, remote: 0.0.0.0/0, reason: r}]":                                             "takes every remote address",
		"expected: [{user: x, remote: 10.0.0.0/99, reason: r}]":                                           "is no network",
		"expected: [{user: x, remote: 10.0.0.1, command: y, reason: r}]":                                  "make two entries",
		"maintenance: [{from: 2026-12-01T00:00:00Z, reason: r}]":                                          "line 1, column 29: attribution: maintenance window 1 has no reference",
		"maintenance: [{reference: C1}]":                                                                  "(C1) has no reason",
		"maintenance: [{reference: C1, reason: r}]":                                                       "(C1) has no time",
		"maintenance: [{reference: C1, from: 2026-12-01T00:00:00Z, reason: r}]":                           "(C1) has no time",
		"maintenance: [{reference: C1, weekdays: [mon-sun], reason: r}]":                                  "(C1) is always",
		"maintenance: [{reference: C1, weekdays: [moon], reason: r}]":                                     `"moon" is no day`,
		"maintenance: [{reference: C1, hours: 22, reason: r}]":                                            `"22" are no hours`,
		"maintenance: [{reference: C1, hours: 22:00-25:00, reason: r}]":                                   `"25:00" is no time of day`,
		"maintenance: [{reference: C1, hours: 22:00-22:00, reason: r}]":                                   "begin and end are the same",
		"maintenance: [{reference: C1, hours: 1:00-2:00, weeks: [2], reason: r}]":                         "weeks and no weekdays",
		"maintenance: [{reference: C1, weekdays: [tue], weeks: [6], reason: r}]":                          "has week 6",
		"maintenance: [{reference: C1, weekdays: [tue], time_zone: Mars, reason: r}]":                     `no time zone "Mars"`,
		"maintenance: [{reference: C1, from: 2026-12-02T00:00:00Z, to: 2026-12-01T00:00:00Z, reason: r}]": "ends before it begins",
		"maintenance: [{reference: C1, from: 2026-01-02T00:00:00Z, to: 2026-12-01T00:00:00Z, reason: r}]": "longer than 31 days",
		"maintenance: [{reference: C1, weeks: x}]":                                                        `weeks is "x": must be a list`,
		"maintenance: [{reference: C1, weeks: [x]}]":                                                      `an entry of weeks is "x": must be a whole number`,
		"agents: [{reason: r}]":                                             "agent 1 has no name",
		"agents: [{name: sccm}]":                                            "(sccm) has no reason",
		"agents: [{name: zabix, reason: r}]":                                `did you mean "zabbix"?`,
		"agents: [{name: ansible, reason: r}]":                              "needs the users it logs in as",
		"agents: [{name: x, programs: ['*'], reason: r}]":                   "takes every program",
		"agents: [{name: x, programs: ['*/agent'], reason: r}]":             "a name alone attributes nothing",
		"agents: [{name: ansible, users: [x], sources: [jump], reason: r}]": `has the source "jump"`,
		"agents: [{name: ansible, sources: [10.0.0.1], reason: r}]":         "sources and no users",
		"agents: [{name: x, users: ['*'], programs: [/x], reason: r}]":      "takes every user",
		"scanners: [{name: x, users: [a], reason: r}]":                      "and sources, its addresses",
		"scanners: [{name: x, users: [a], sources: [\"::/0\"], reason: r}]": "which is everywhere",
		"cases: [{id: x, users: [a], reason: r}]":                           "has no expiry",
		"cases: [{users: [a], reason: r}]":                                  "case 1 has no id",
		"business_hours: {time_zone: Nowhere}":                              "line 1, column 32: attribution: business_hours: no time zone",
		"business_hours: {from: 7}":                                         `line 1, column 15: attribution: business_hours: "7" is no time of day`,
		"business_hours: {from: 07:00, to: 07:00}":                          "begin and end at the same time",
		"business_hours: {days: [mon-fr]}":                                  `"mon-fr" is no day`,
		"business_hours: {holidays: [2026-02-30]}":                          `line 1, column 43: attribution: business_hours: "2026-02-30" is no date`,
		"critical_assets: ['']":                                             "line 1, column 33: attribution: critical_assets has an empty entry",
		"sensitive_accounts: [al, ' ']":                                     "sensitive_accounts has an empty entry",
		"known_user: {days: -1}":                                            "line 1, column 28: attribution: known_user: days is -1",
		"known_user: {days: 1.5}":                                           `days is "1.5": must be a whole number`,
		"known_user: {off: maybe}":                                          `off is "maybe": must be true or false`,
	} {
		if _, err := config.Parse([]byte("attribution: {" + in + "}")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n %v, want %q", in, err, want)
		}
	}
}

func TestMistakesInIncident(t *testing.T) {
	for in, want := range map[string]string{
		"incident: {burst_gap: 0s}":                       "line 1, column 12: incident: burst_gap is 0s: must be 1s to 24h",
		"incident: {window_after: 200h}":                  "incident: window_after is 200h0m0s: must be 1s to 168h",
		"incident: {watch: -1s}":                          "incident: watch is -1s: must be 0s to 720h",
		"incident: {keep: 2h}":                            "line 1, column 1: incident: keep is 2h, shorter than watch (24h)",
		"incident: {escalate_command: loud}":              `line 1, column 12: incident: escalate_command is "loud": must be informational`,
		"incident: {escalate_comand: low}":                `did you mean "escalate_command"?`,
		"enabled: perhaps":                                `enabled is "perhaps": must be true or false`,
		"ioc_files: [bad.txt]":                            `line 1, column 13: ioc_files has "bad.txt": must be a whole path`,
		"vuln_files: [x]":                                 `line 1, column 14: vuln_files has "x"`,
		"ioc_files: bad.txt":                              "must be a list",
		"ioc_files: [" + strings.Repeat("/x, ", 65) + "]": "ioc_files names 65 files: at most 64",
	} {
		if _, err := config.Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

// TestWhatIsLeftOutHasItsDefault, also within a part that is there.
func TestWhatIsLeftOutHasItsDefault(t *testing.T) {
	c, err := config.Parse([]byte("enabled:\nincident:\n  burst_gap: 5m\n  watch:\n"))
	want := config.Default()
	want.Incident.BurstGap = 5 * time.Minute
	if err != nil || !c.Enabled {
		t.Fatalf("%+v, %v", c, err)
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if c, err = config.Parse([]byte("enabled: false")); err != nil || c.Enabled {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestOpenTrusted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.txt")
	if err := os.WriteFile(path, []byte("evil.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.OpenTrusted(path, "the indicators")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	permit.Write(t, path)
	if _, err := config.OpenTrusted(path, "the indicators"); err == nil || !strings.Contains(err.Error(), "refuse the indicators "+path) {
		t.Error(err)
	}
	if _, err := config.OpenTrusted(path+".none", "the indicators"); !os.IsNotExist(errors.Unwrap(err)) {
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
	permit.Write(t, path)
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

// TestMistakesAreBounded: what is said of a file stays a text that can be shown.
func TestMistakesAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range 25 {
		fmt.Fprintf(&text, "unheard_of_%02d: 1\n", i)
	}
	_, err := config.Parse([]byte(text.String()))
	var all config.Mistakes
	if !errors.As(err, &all) || len(all) != 25 || !strings.HasSuffix(err.Error(), "; and 5 more") || strings.Count(err.Error(), "no option") != 20 {
		t.Errorf("%v", err)
	}
}
