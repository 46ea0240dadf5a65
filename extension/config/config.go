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
)

// MaxFile is the largest configuration that is read, in bytes.
const MaxFile = 1 << 20

// Config is the configuration; the zero value is not valid, see Default.
type Config struct {
	// CollectInterval is the time between collect cycles, 1 s to 1 h.
	CollectInterval time.Duration `yaml:"collect_interval"`
	// RulesDir holds the user's Sigma rules (*.yml).
	RulesDir string `yaml:"rules_dir"`
	// LogLevel is trace, debug, info, warn or error.
	LogLevel string `yaml:"log_level"`
	// Weights override factors' log-odds, by the factor's name.
	Weights map[string]float64 `yaml:"weights"`
	// Attribution declares whose operations are legitimate.
	Attribution attribution.Config `yaml:"attribution"`
}

// Default is the configuration without a file.
func Default() Config {
	return Config{CollectInterval: 10 * time.Second, RulesDir: RulesDir(), LogLevel: "info"}
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
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && !mustExist {
			return Default(), nil
		}
		return Default(), fmt.Errorf("open the configuration: %w", err)
	}
	defer f.Close()
	if err := Trusted(f); err != nil {
		return Default(), fmt.Errorf("refuse the configuration %s: %w", path, err)
	}
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
	for i, e := range c.Attribution.Expected {
		where := lookUp(root, "attribution", "expected", strconv.Itoa(i))
		if strings.TrimSpace(e.Reason) == "" {
			return placed(where, fmt.Errorf("attribution: expected entry %d has no reason", i+1))
		}
		if strings.Trim(e.User+e.Parent+e.Command, "* ") == "" {
			return placed(where, fmt.Errorf("attribution: expected entry %d (%s) names no user, parent or command: it would attribute everything", i+1, e.Reason))
		}
	}
	return nil
}
