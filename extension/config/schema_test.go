package config

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func schemaTree(t *testing.T) map[string]any {
	t.Helper()
	data, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Schema()
	if err != nil || !bytes.Equal(data, again) {
		t.Error("two schemas differ")
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// at finds a property by its path.
func at(t *testing.T, s map[string]any, path string) map[string]any {
	t.Helper()
	for _, step := range strings.Split(path, ".") {
		name, item := strings.CutSuffix(step, "[]")
		properties, _ := s["properties"].(map[string]any)
		s, _ = properties[name].(map[string]any)
		if item && s != nil {
			s, _ = s["items"].(map[string]any)
		}
		if s == nil {
			t.Fatalf("no %s in the schema", path)
		}
	}
	return s
}

func TestSchemaSaysWhatTheTypesSay(t *testing.T) {
	s := schemaTree(t)
	if s["$schema"] != schemaVersion || s["type"] != "object" || s["additionalProperties"] != false {
		t.Errorf("the root: %v", s)
	}
	for path, want := range map[string]map[string]any{
		"enabled":                         {"type": "boolean", "default": true},
		"collect_interval":                {"type": "string", "pattern": durationPattern, "default": "10s"},
		"log_level":                       {"type": "string", "default": "info", "enum": []any{"trace", "debug", "info", "warn", "error"}},
		"attribution.expected[].user":     {"type": "string"},
		"attribution.expected[].expires":  {"type": "string", "format": "date-time"},
		"attribution.expected[].exact":    {"type": "boolean"},
		"attribution.maintenance[].weeks": {"type": "array"},
		"incident.escalate_command":       {"type": "string", "default": "medium"},
		"ioc_files":                       {"type": "array"},
	} {
		got := at(t, s, path)
		for k, v := range want {
			if !reflect.DeepEqual(got[k], v) {
				t.Errorf("%s: %s is %v, want %v", path, k, got[k], v)
			}
		}
	}
	names := at(t, s, "weights")["propertyNames"].(map[string]any)["enum"].([]any)
	if !slices.Contains(names, any("obfuscated")) {
		t.Errorf("weights: %v", names)
	}
}

// TestSchemaKnowsEveryOption walks the types: the schema has what the file may have,
// and a hint is about an option that is there.
func TestSchemaKnowsEveryOption(t *testing.T) {
	s := schemaTree(t)
	seen := map[string]bool{}
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		switch {
		case typ == reflect.TypeFor[time.Time]():
		case typ.Kind() == reflect.Slice:
			walk(typ.Elem(), path+"[]")
		case typ.Kind() == reflect.Struct:
			for _, f := range options(typ) {
				name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
				p := strings.TrimPrefix(path+"."+name, ".")
				seen[p] = true
				if at(t, s, p)["type"] == nil {
					t.Errorf("%s has no type", p)
				}
				walk(f.Type, p)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	if len(seen) < 40 {
		t.Errorf("only %d options", len(seen))
	}
	for p := range hints {
		if !seen[p] {
			t.Errorf("a hint for %s, which is no option", p)
		}
	}
	for p := range choices() {
		if !seen[p] {
			t.Errorf("choices for %s, which is no option", p)
		}
	}
	for i := range reflect.TypeFor[Config]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[Config]().Field(i).Tag.Get("yaml"), ",")
		if hints[name] == "" {
			t.Errorf("option %s has no hint: say in schema.go what it is", name)
		}
	}
}

// TestSchemaAgreesWithParse: what the schema allows or forbids in an option, so does
// the reader.
func TestSchemaAgreesWithParse(t *testing.T) {
	s := schemaTree(t)
	pattern := regexp.MustCompile(durationPattern)
	for in, want := range map[string]bool{"10s": true, "1m30s": true, "1.5h": true, "500ms": true, "10": false, "soon": false, "": false, "-1s": false} {
		if got := pattern.MatchString(in); got != want {
			t.Errorf("%q matches the pattern of durations: %v", in, got)
		}
		if _, err := time.ParseDuration(in); want && err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
	for path, list := range choices() {
		option := path[strings.LastIndexByte(path, '.')+1:]
		for _, value := range append(slices.Clone(list), "nonsense") {
			text := option + ": " + value
			if strings.HasPrefix(path, "incident.") {
				text = "incident: {" + text + "}"
			}
			_, err := Parse([]byte(text))
			if (err == nil) != slices.Contains(list, value) {
				t.Errorf("%s: %v", text, err)
			}
		}
		if at(t, s, path)["enum"] == nil {
			t.Errorf("%s has no enum", path)
		}
	}
}

func TestSchemaOfOtherTypes(t *testing.T) {
	type more struct {
		P *string `yaml:"p"`
		N int64   `yaml:"n"`
		X string  `yaml:"-"`
		Y string
	}
	s, err := schemaOf(reflect.TypeFor[more](), reflect.Value{}, "")
	if err != nil {
		t.Fatal(err)
	}
	p := s["properties"].(map[string]any)
	if len(p) != 2 || p["p"].(map[string]any)["type"] != "string" || p["n"].(map[string]any)["type"] != "integer" {
		t.Errorf("%v", s)
	}
	if _, err := schemaOf(reflect.TypeFor[struct {
		C []map[string]chan int `yaml:"c"`
	}](), reflect.Value{}, ""); err == nil || !strings.Contains(err.Error(), "c[]") {
		t.Errorf("a channel: %v", err)
	}
}
