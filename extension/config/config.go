// Package config is Rollcall's configuration: one YAML file, put together from
// each room's own options, checked as a whole. A bad file never stops detection:
// the caller keeps what it had and shows the error.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
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
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Default(), fmt.Errorf("not valid: %w", err)
	}
	var root yaml.Node
	_ = yaml.Unmarshal(data, &root) // decoded above: cannot fail differently
	if err := c.check(&root); err != nil {
		return Default(), err
	}
	return c, nil
}

func (c Config) check(root *yaml.Node) error {
	if c.CollectInterval < time.Second || c.CollectInterval > time.Hour {
		return at(root, "collect_interval", fmt.Errorf("collect_interval is %v: must be 1s to 1h", c.CollectInterval))
	}
	switch c.LogLevel {
	case "trace", "debug", "info", "warn", "error":
	default:
		return at(root, "log_level", fmt.Errorf("log_level is %q: must be trace, debug, info, warn or error", c.LogLevel))
	}
	names := score.DefaultWeights()
	keys := make([]string, 0, len(c.Weights))
	for k := range c.Weights {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		if _, ok := names[k]; !ok {
			return at(root, k, fmt.Errorf("weights: no factor %q%s", k, nearest(k, names)))
		}
		if v := c.Weights[k]; v < -10 || v > 10 {
			return at(root, k, fmt.Errorf("weights: %s is %v: must be -10 to 10", k, v))
		}
	}
	for i, e := range c.Attribution.Expected {
		if e.Reason == "" {
			return at(root, "expected", fmt.Errorf("attribution: expected entry %d has no reason", i+1))
		}
		if e.User == "" && e.Parent == "" && e.Command == "" {
			return at(root, "expected", fmt.Errorf("attribution: expected entry %d (%s) names no user, parent or command: it would attribute everything", i+1, e.Reason))
		}
	}
	return nil
}

// at adds the place of a key to an error.
func at(root *yaml.Node, key string, err error) error {
	if n := find(root, key, 0); n != nil {
		return fmt.Errorf("line %d, column %d: %w", n.Line, n.Column, err)
	}
	return err
}

func find(n *yaml.Node, key string, depth int) *yaml.Node {
	if n == nil || depth > 32 {
		return nil
	}
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i]
			}
		}
	}
	for _, c := range n.Content {
		if f := find(c, key, depth+1); f != nil {
			return f
		}
	}
	return nil
}

// nearest suggests the valid name that differs least.
func nearest(key string, names score.Weights) string {
	best, dist := "", 4
	for n := range names {
		if d := distance(key, n); d < dist || d == dist && n < best {
			best, dist = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance is Levenshtein's, for short names.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur := make([]int, len(b)+1)
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
		}
		prev = cur
	}
	return prev[len(b)]
}
