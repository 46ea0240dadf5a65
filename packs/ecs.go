package packs

import (
	_ "embed"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

//go:embed ecs.yml
var ecsFile []byte

// ECS is how Rollcall's columns are called in the Elastic Common Schema.
type ECS struct {
	Version string `yaml:"version"`
	// Convert names columns by what their text is: seconds since 1970, json, boolean.
	Convert map[string][]string `yaml:"convert"`
	Tables  map[string]ECSTable `yaml:"tables"`
}

// ECSTable is one table's part.
type ECSTable struct {
	Constants map[string]string `yaml:"constants"` // by field
	Fields    map[string]string `yaml:"fields"`    // column to field
}

// LoadECS returns the field map.
func LoadECS() (*ECS, error) {
	var e ECS
	dec := yaml.NewDecoder(strings.NewReader(string(ecsFile)))
	dec.KnownFields(true)
	if err := dec.Decode(&e); err != nil {
		return nil, fmt.Errorf("read the field map: %w", err)
	}
	return &e, nil
}
