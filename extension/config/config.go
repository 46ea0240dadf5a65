// Package config is Rollcall's configuration: one YAML file, put together from
// each room's own options, checked as a whole. A bad file never stops detection:
// the caller keeps what it had and shows the error.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/osquery-rollcall/rollcall/extension/attribution"
	"github.com/osquery-rollcall/rollcall/extension/score"
	"github.com/osquery-rollcall/rollcall/extension/trust"
)

// MaxFile is the largest configuration that is read, in bytes.
const MaxFile = 1 << 20

// MaxFeeds is how many files ioc_files and vuln_files may name each.
const MaxFeeds = 64

// MinBudget and MaxBudget bound cpu_budget, in per cent of one processor.
const (
	MinBudget = 0.5
	MaxBudget = 100.0
)

// Config is the configuration; the zero value is not valid, see Default.
type Config struct {
	// Enabled turns Rollcall on, as it is by default. Off, it collects nothing; its
	// tables and what they hold stay.
	Enabled bool `yaml:"enabled"`
	// CollectInterval is the time between collect cycles, 1 s to 1 h.
	CollectInterval time.Duration `yaml:"collect_interval"`
	// CPUBudget is the share of one processor, in per cent, that the extension keeps to
	// as a mean, 0.5 to 100; 0 is what keeps it clear of osquery's watchdog.
	CPUBudget float64 `yaml:"cpu_budget"`
	// RulesDir holds the user's Sigma rules (*.yml).
	RulesDir string `yaml:"rules_dir"`
	// LogLevel is trace, debug, info, warn or error.
	LogLevel string `yaml:"log_level"`
	// Weights override factors' log-odds, by the factor's name.
	Weights map[string]float64 `yaml:"weights"`
	// Attribution declares whose operations are legitimate.
	Attribution attribution.Config `yaml:"attribution"`
	// Incident says how events become incidents and which of them escalate.
	Incident Incident `yaml:"incident"`
	// IOCFiles are indicators of compromise: plain lists, CSV or STIX 2.1 bundles, as
	// whole paths of files that only root writes.
	IOCFiles []string `yaml:"ioc_files"`
	// VulnFiles are findings of vulnerability scanners (OSV, Trivy or Grype JSON, CSV),
	// as whole paths of files that only root writes.
	VulnFiles []string `yaml:"vuln_files"`
}

// Incident says how events become incidents and which of them escalate.
type Incident struct {
	// BurstGap is the quiet time that ends a burst of commands, 1 s to 24 h.
	BurstGap time.Duration `yaml:"burst_gap"`
	// WindowBefore and WindowAfter are how far around a burst or an install what
	// belongs to it is looked for, 1 s to 168 h.
	WindowBefore time.Duration `yaml:"window_before"`
	WindowAfter  time.Duration `yaml:"window_after"`
	// Watch is how long an incident stays watched and reopens on news, 0 s to 720 h.
	Watch time.Duration `yaml:"watch"`
	// Keep is how long an incident with its evidence is kept, 1 h to 17520 h.
	Keep time.Duration `yaml:"keep"`
	// EscalateCommand and EscalateInstall are the severities from which an
	// unattributed command or burst, or install, escalates.
	EscalateCommand string `yaml:"escalate_command"`
	EscalateInstall string `yaml:"escalate_install"`
	// EscalateStakes is the same where a critical asset or a sensitive account is
	// involved.
	EscalateStakes string `yaml:"escalate_stakes"`
	// ReviewUnattributed and ReviewAttributed are the severities from which somebody
	// reviews it.
	ReviewUnattributed string `yaml:"review_unattributed"`
	ReviewAttributed   string `yaml:"review_attributed"`
}

// Default is the configuration without a file.
func Default() Config {
	return Config{Enabled: true, CollectInterval: 10 * time.Second, RulesDir: RulesDir(), LogLevel: "info", Incident: DefaultIncident()}
}

// DefaultIncident is how incidents are made without configuration.
func DefaultIncident() Incident {
	return Incident{
		BurstGap: 30 * time.Minute, WindowBefore: time.Hour, WindowAfter: time.Hour, Watch: 24 * time.Hour, Keep: 30 * 24 * time.Hour,
		EscalateCommand: "medium", EscalateInstall: "high", EscalateStakes: "low", ReviewUnattributed: "low", ReviewAttributed: "high",
	}
}

// ScoreWeights are the default weights with the overrides.
func (c Config) ScoreWeights() score.Weights {
	w := score.DefaultWeights()
	for k, v := range c.Weights {
		w[k] = v
	}
	return w
}

// Load reads a configuration file. A file that does not exist is the default when
// it need not exist. The file must be a regular one that only its owner, root or
// ourselves, can write.
func Load(path string, mustExist bool) (Config, error) {
	f, err := OpenTrusted(path, "the configuration")
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && !mustExist {
			return Default(), nil
		}
		return Default(), err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return Default(), fmt.Errorf("read the configuration: %w", err)
	}
	if len(data) > MaxFile {
		return Default(), fmt.Errorf("the configuration %s is larger than 1 MiB", path)
	}
	c, err := Parse(data)
	if err != nil {
		return Default(), fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// OpenTrusted opens a file that the configuration names, or the configuration: a
// regular one that only its owner, root or ourselves, can write. what says in errors
// what it is ("the indicators").
func OpenTrusted(path, what string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	if err := trust.File(f); err != nil {
		return nil, errors.Join(fmt.Errorf("refuse %s %s: %w", what, path, err), f.Close())
	}
	return f, nil
}

// Parse reads a configuration and checks it; errors name line and column.
func Parse(data []byte) (Config, error) {
	c := Default()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return c, nil
	case err != nil:
		return Default(), fmt.Errorf("not valid YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(&more); err == nil {
		return Default(), placed(&more, errors.New("a second document: only one is read"))
	} else if !errors.Is(err, io.EOF) {
		return Default(), fmt.Errorf("not valid YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	root := doc.Content[0]
	if err := fits(root, reflect.TypeFor[Config](), ""); err != nil {
		return Default(), err
	}
	if err := root.Decode(&c); err != nil {
		return Default(), fmt.Errorf("not valid: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := c.check(root); err != nil {
		return Default(), err
	}
	return c, nil
}

func (c Config) check(root *yaml.Node) error {
	if c.CollectInterval < time.Second || c.CollectInterval > time.Hour {
		return placed(lookUp(root, "collect_interval"), fmt.Errorf("collect_interval is %v: must be 1s to 1h", c.CollectInterval))
	}
	if b := c.CPUBudget; b != 0 && !(b >= MinBudget && b <= MaxBudget) { // NaN too
		return placed(lookUp(root, "cpu_budget"), fmt.Errorf("cpu_budget is %v: must be 0, or %v to %v", b, MinBudget, MaxBudget))
	}
	if c.RulesDir != "" && !filepath.IsAbs(c.RulesDir) {
		return placed(lookUp(root, "rules_dir"), fmt.Errorf("rules_dir is %q: must be a whole path", c.RulesDir))
	}
	switch c.LogLevel {
	case "trace", "debug", "info", "warn", "error":
	default:
		return placed(lookUp(root, "log_level"), fmt.Errorf("log_level is %q: must be trace, debug, info, warn or error", c.LogLevel))
	}
	factors := score.DefaultWeights()
	names := slices.Sorted(maps.Keys(factors))
	for _, k := range slices.Sorted(maps.Keys(c.Weights)) {
		where := lookUp(root, "weights", k)
		if _, ok := factors[k]; !ok {
			return placed(where, fmt.Errorf("weights: no factor %q%s", k, nearest(k, names)))
		}
		if v := c.Weights[k]; !(v >= -10 && v <= 10) { // NaN too
			return placed(where, fmt.Errorf("weights: %s is %v: must be -10 to 10", k, v))
		}
	}
	if path, err := c.Attribution.Check(); err != nil {
		return placed(lookUp(root, append([]string{"attribution"}, path...)...), fmt.Errorf("attribution: %w", err))
	}
	if err := c.Incident.check(root); err != nil {
		return err
	}
	for _, list := range []struct {
		key   string
		files []string
	}{{"ioc_files", c.IOCFiles}, {"vuln_files", c.VulnFiles}} {
		if len(list.files) > MaxFeeds {
			return placed(lookUp(root, list.key), fmt.Errorf("%s names %d files: at most %d are read", list.key, len(list.files), MaxFeeds))
		}
		for i, f := range list.files {
			if !filepath.IsAbs(f) {
				return placed(lookUp(root, list.key, strconv.Itoa(i)), fmt.Errorf("%s has %q: must be a whole path", list.key, f))
			}
		}
	}
	return nil
}

// severities are the bands of a score, from the least.
var severities = []string{"informational", "low", "medium", "high", "critical"}

func (n Incident) check(root *yaml.Node) error {
	const day = 24 * time.Hour
	for _, d := range []struct {
		key      string
		value    time.Duration
		min, max time.Duration
	}{
		{"burst_gap", n.BurstGap, time.Second, day},
		{"window_before", n.WindowBefore, time.Second, 7 * day},
		{"window_after", n.WindowAfter, time.Second, 7 * day},
		{"watch", n.Watch, 0, 30 * day},
		{"keep", n.Keep, time.Hour, 2 * 365 * day},
	} {
		if d.value < d.min || d.value > d.max {
			return placed(lookUp(root, "incident", d.key), fmt.Errorf("incident: %s is %v: must be %v to %v", d.key, d.value, short(d.min), short(d.max)))
		}
	}
	if n.Keep < n.Watch {
		return placed(lookUp(root, "incident"), fmt.Errorf("incident: keep is %v, shorter than watch (%v)", short(n.Keep), short(n.Watch)))
	}
	for _, l := range [][2]string{
		{"escalate_command", n.EscalateCommand}, {"escalate_install", n.EscalateInstall}, {"escalate_stakes", n.EscalateStakes},
		{"review_unattributed", n.ReviewUnattributed}, {"review_attributed", n.ReviewAttributed},
	} {
		if !slices.Contains(severities, l[1]) {
			return placed(lookUp(root, "incident", l[0]), fmt.Errorf("incident: %s is %q: must be informational, low, medium, high or critical", l[0], l[1]))
		}
	}
	return nil
}

// short writes a duration without the zeros at its end.
func short(d time.Duration) string {
	if d >= time.Hour && d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}
